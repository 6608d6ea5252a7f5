"""Writes the Pulumi program that adopts pools in YAML, for the native provider: an outline in, text out.

It says what the Python program says, and its resources have the same names. PyYAML writes each text, since a pool may
be called ``yes`` or ``1e3``; the lines are written here, since PyYAML keeps no comments.
"""

from __future__ import annotations

from collections.abc import Mapping

from batch_os_provider.cli.adopt.outline import HEADLINE, Named, Outline, Section, comment, labels, unique
from batch_os_provider.cli.yaml_scalars import literal, written
from batch_os_provider.schema import inputs
from batch_os_provider.schema.spelling import camel, in_program, spell

__all__ = ["RESERVED", "providers", "yaml_program"]

RESERVED = "pulumi"
"""The key that every YAML program has already: ``${pulumi.stack}``. A resource may have it only as its ``name``."""


def yaml_program(outline: Outline, project: str) -> str:
    """The whole program, as a ``Pulumi.yaml``.

    Args:
        outline: what the program says.
        project: the name of the Pulumi project.
    """
    used = [section for section in outline.sections if section.declares]
    accounts, keys = providers(outline), _keys(outline)
    parts = [
        f"{comment(HEADLINE)}name: {written(project)}\nruntime: yaml\n",
        f"resources:{'' if used else ' {}'}\n" + "".join(_account(each.endpoint, accounts) for each in used),
    ]
    for section in outline.sections:
        parts.append(comment(section.summary, "  "))
        parts += _pools(section, accounts[section.endpoint], keys)
    return "\n".join(parts)


def _account(endpoint: str, accounts: Mapping[str, str]) -> str:
    return (
        f"  {accounts[endpoint]}:\n    type: pulumi:providers:batchos\n    properties:\n"
        f"      {camel(inputs.ACCOUNT_ENDPOINT)}: {literal(endpoint)}\n"
    )


def _pools(section: Section, account: str, keys: Mapping[str, str]) -> list[str]:
    return [
        _resource(each, keys[each.name], account)
        if isinstance(each, Named)
        else comment(f"Pool {each.seen.pool.ref.pool_id} is not declared: {spell(each.why)}.", "  ")
        for each in section.pools
    ]


def _resource(pool: Named, key: str, account: str) -> str:
    lines = [f"  {written(key)}:", f"    type: batchos:{pool.resource}"]
    lines += [f"    name: {written(pool.name)}"] if key != pool.name else []
    lines += [
        "    properties:",
        *(f"      {name}: {literal(value)}" for name, value in in_program(pool.inputs).items()),
    ]
    lines += ["    options:", f"      provider: ${{{account}}}", "      retainOnDelete: true"]
    return comment(spell(pool.note), "  ") + "".join(f"{line}\n" for line in lines)


def _keys(outline: Outline) -> dict[str, str]:
    """The key of each resource, by its name."""
    names = {each.name for each in outline.declared}
    free = f"{RESERVED}-pool"
    while free in names:
        free = f"{free}-pool"
    return {name: free if name == RESERVED else name for name in names}


def providers(outline: Outline) -> dict[str, str]:
    """The name of the provider of each account: the account's name, unless a pool has it."""
    taken = {each.lower() for each in _keys(outline).values()}
    wanted = {each.endpoint: [f"account-{label}" for label in labels(each.endpoint)] for each in outline.sections}
    found = {}
    for endpoint, name in unique(wanted).items():
        free, number = name, 2
        while free.lower() in taken:
            free, number = f"{name}-{number}", number + 1
        taken.add(free.lower())
        found[endpoint] = free
    return found
