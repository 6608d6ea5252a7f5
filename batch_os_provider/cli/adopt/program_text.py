"""Writes the Pulumi program that adopts pools: declarations in, text out.

People read, review and keep the program, so it reads as if a person had written it: each endpoint once, one resource
for each pool, stable names, and a sentence for each pool that is left out.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from batch_os_provider.batch.address import is_loopback
from batch_os_provider.cli.adopt.proposal import Declaration, Left
from batch_os_provider.schema import inputs
from batch_os_provider.wording import counted

__all__ = ["constants", "program", "resource_names"]

WIDTH = 88
"""Characters in a line of a comment: the default of Python formatters."""

Proposal = Declaration | Left


def program(accounts: Mapping[str, Sequence[Proposal]]) -> str:
    """The whole program.

    Args:
        accounts: the proposals for the pools of each account, by its endpoint.
    """
    names, endpoints = resource_names(accounts), constants(list(accounts))
    declared = [each for pools in accounts.values() for each in pools if isinstance(each, Declaration)]
    parts = ['"""Azure Batch pools and the version that each is kept at, as `batch-os adopt` found them."""\n']
    if declared:
        parts.append(f"from batch_os_provider import {', '.join(sorted({each.resource for each in declared}))}\n")
    used = {each.inputs[inputs.ACCOUNT_ENDPOINT] for each in declared}
    lines = [f'{endpoints[endpoint]} = "{endpoint}"\n' for endpoint in accounts if endpoint in used]
    parts += ["".join(lines)] if lines else []
    for endpoint, pools in accounts.items():
        kept = sum(isinstance(each, Declaration) for each in pools)
        parts.append(
            _comment(
                f"{endpoint}: {kept} of {counted(len(pools), 'pool')} declared" if pools else f"{endpoint}: no pools"
            )
        )
        for each in pools:
            if isinstance(each, Declaration):
                parts.append(_resource(each, names[each.seen.pool.ref.key], endpoints[endpoint]))
            else:
                parts.append(_comment(f"Pool {each.seen.pool.ref.pool_id} is not declared: {each.why}."))
    return "\n".join(parts)


def _comment(text: str) -> str:
    lines = textwrap.wrap(
        text, WIDTH, initial_indent="# ", subsequent_indent="# ", break_long_words=False, break_on_hyphens=False
    )
    return "".join(f"{line}\n" for line in lines)


def _resource(declaration: Declaration, name: str, constant: str) -> str:
    bag = {key: value for key, value in declaration.inputs.items() if key != inputs.ACCOUNT_ENDPOINT}
    lines = [f'    "{name}",', f"    {inputs.ACCOUNT_ENDPOINT}={constant},"]
    lines += [f'    {key}="{value}",' for key, value in bag.items()]
    note = _comment(f"{declaration.note}.") if declaration.note else ""
    return f"{note}{declaration.resource}(\n" + "".join(f"{line}\n" for line in lines) + ")\n"


def constants(endpoints: Sequence[str]) -> dict[str, str]:
    """A Python constant for each endpoint: the account's name, and more of the host if two accounts share a name."""
    chosen = _unique({each: [re.sub(r"\W", "_", label).upper() for label in _labels(each)] for each in endpoints})
    return {each: f"ACCOUNT_{name}" if name[0].isdigit() else name for each, name in chosen.items()}


def resource_names(accounts: Mapping[str, Sequence[Proposal]]) -> dict[str, str]:
    """A name for each pool, by its key: the pool's id, after its account if two accounts have this id."""
    wanted = {}
    for endpoint, pools in accounts.items():
        labels = _labels(endpoint)
        for each in pools:
            ref = each.seen.pool.ref
            wanted[ref.key] = [ref.pool_id, *(f"{label}-{ref.pool_id}" for label in labels)]
    return _unique(wanted)


def _labels(endpoint: str) -> list[str]:
    """Possible names of an account, from its bare name to its whole address."""
    parts = urlsplit(endpoint)
    host, port = (parts.hostname or "").replace(":", "."), f".{parts.port}" if parts.port else ""
    whole = re.sub(r"[^a-z0-9]+", "-", host + port).strip("-")
    if is_loopback(endpoint):
        return [whole]
    labels = host.split(".")
    return [labels[0], "-".join(labels[:2]), whole]


def _unique(wanted: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """For each key its first name that no other key needs, ignoring case; with a number if all are taken."""
    level = dict.fromkeys(wanted, 0)
    longest = max((len(names) for names in wanted.values()), default=0)
    for _ in range(longest):
        taken: dict[str, list[str]] = {}
        for key, names in wanted.items():
            taken.setdefault(names[level[key]].lower(), []).append(key)
        for keys in taken.values():
            if len(keys) > 1:
                for key in keys:
                    level[key] = min(level[key] + 1, len(wanted[key]) - 1)
    chosen: dict[str, str] = {}
    for key, names in wanted.items():
        name, number = names[level[key]], 2
        while name.lower() in {each.lower() for each in chosen.values()}:
            name, number = f"{names[level[key]]}-{number}", number + 1
        chosen[key] = name
    return chosen
