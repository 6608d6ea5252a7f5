"""`batch-os adopt`: write a Pulumi program for the pools of accounts, or list the pools that no program declares.

A team with sixty pools does not want to copy sixty versions from a portal, and wants to notice a pool that another
person made later.
"""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from batch_os_provider.cli.adopt.declaration import DeclaredPool
from batch_os_provider.cli.adopt.declared_pools import read
from batch_os_provider.cli.adopt.outline import outline
from batch_os_provider.cli.adopt.program_text import python_program
from batch_os_provider.cli.adopt.proposal import Declaration, fit, propose
from batch_os_provider.cli.adopt.refusals import Refused, refused
from batch_os_provider.cli.adopt.yaml_text import yaml_program
from batch_os_provider.cli.common import NO, UNREADABLE, endpoints_of, fail, print_json
from batch_os_provider.cli.inventory import Account, PoolSeen, survey
from batch_os_provider.cli.layout import columns, wrapped
from batch_os_provider.errors import InputError
from batch_os_provider.wording import counted

__all__ = ["Comparison", "command", "compare"]

PYTHON, YAML = "python", "yaml"
LANGUAGES = (PYTHON, YAML)
_LONGEST_NAME = 100
"""Pulumi takes no longer name of a project."""


@click.command("adopt", short_help="Write a Pulumi program for the pools of accounts.")
@click.argument("endpoints", metavar="ENDPOINT...", nargs=-1, required=True, callback=endpoints_of)
@click.option(
    "--output", type=click.Path(path_type=Path, dir_okay=False), help="Write the program here, not to stdout."
)
@click.option("--force", is_flag=True, help="Overwrite the file of --output.")
@click.option(
    "--language",
    type=click.Choice(LANGUAGES),
    help="The language of the program. Default: yaml if --output names a .yaml file, else python.",
)
@click.option(
    "--check",
    "programs",
    metavar="PROGRAM",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Write nothing; list the pools that none of these programs declares, and those that `pulumi up` would refuse. "
    "A program, its folder, or a file of "
    "`pulumi preview --json --show-sames` or `pulumi stack export`. Can be given more than once.",
)
@click.option("--stack", "stacks", multiple=True, help="With --check: run the programs with this stack's config.")
@click.option("--config", "config", metavar="KEY=VALUE", multiple=True, help="With --check: config for the programs.")
@click.option("--json", "wants_json", is_flag=True, help="With --check: print one JSON document (docs/command.md).")
def command(  # noqa: PLR0913, PLR0917 - one argument for each option, by name
    endpoints: tuple[str, ...],
    output: Path | None,
    force: bool,  # noqa: FBT001 - click passes flags so
    language: str | None,
    programs: tuple[Path, ...],
    stacks: tuple[str, ...],
    config: tuple[str, ...],
    wants_json: bool,  # noqa: FBT001 - as above
) -> None:
    """Write a Pulumi program that declares every pool of the Batch accounts at ENDPOINT as it is now.

    Its first `pulumi up` adopts the pools and writes nothing to Batch. Exit code 2 if something could not be
    read: then no program is written. With --check, exit code 3 if no program declares a pool, or `pulumi up`
    would refuse a declared one.
    """
    if programs and (output or force or language):
        raise click.UsageError("--check writes nothing, so --output, --force and --language do not go with it")
    if not programs and (stacks or config or wants_json):
        raise click.UsageError("--stack, --config and --json go with --check")
    if force and output is None:
        raise click.UsageError("--force goes with --output")
    if programs:
        _check(endpoints, programs, stacks, config, wants_json=wants_json)
    else:
        _write(endpoints, output, _language(language, output), force=force)


def _language(asked: str | None, output: Path | None) -> str:
    """The language to write. Raises UsageError if the file's name says another one."""
    by_suffix = {".py": PYTHON, ".yaml": YAML, ".yml": YAML}
    named = by_suffix.get(output.suffix.lower()) if output is not None else None
    if asked and named and asked != named:
        raise click.UsageError(f"--language {asked} and --output {output} are of two languages")
    return asked or named or PYTHON


def _project(output: Path | None) -> str:
    """The name of the project: that of the program's folder, as far as Pulumi takes it."""
    folder = output.resolve().parent.name if output is not None else ""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", folder)[:_LONGEST_NAME].strip("-.") or "pools"


def _write(endpoints: tuple[str, ...], output: Path | None, language: str, *, force: bool) -> None:
    if output is not None and os.path.lexists(output) and not force:
        fail(f"{output} exists already; --force overwrites it")
    accounts = survey(endpoints)
    if _print_troubles(accounts):
        # A program that lacks an account looks complete, so its reader would not notice.
        click.echo("no program was written: it would lack what could not be read", err=True)
        sys.exit(UNREADABLE)
    proposals = {account.endpoint: [propose(pool) for pool in account.pools] for account in accounts}
    said = outline(proposals)
    text = python_program(said) if language == PYTHON else yaml_program(said, _project(output))
    if output is None:
        click.echo(text.encode(), nl=False)  # Python and Pulumi read a program as UTF-8, whatever the code page is
    else:
        try:
            with output.open("w" if force else "x", encoding="utf-8") as file:
                file.write(text)
        except OSError as error:
            fail(f"{output} cannot be written: {error.strerror}")
    every = [each for pools in proposals.values() for each in pools]
    declared = sum(isinstance(each, Declaration) for each in every)
    left_out = "; comments name the pools that are left out" if declared < len(every) else ""
    click.echo(f"{declared} of {counted(len(every), 'pool')} declared{left_out}", err=True)


def _print_troubles(accounts: list[Account]) -> bool:
    troubles = [trouble for account in accounts for trouble in account.troubles]
    for trouble in troubles:
        click.echo(f"could not be read: {trouble}", err=True)
    return bool(troubles)


@dataclass(frozen=True)
class Comparison:
    """The pools of accounts, compared with the declared pools.

    ``undeclared``: pools that a resource fits and no program declares. ``unfit``: pools that no resource fits.
    ``missing``: declarations of pools that do not exist. ``open``: declarations whose pool only a deployment knows.
    ``refused``: declarations that `up` would refuse.
    """

    pools: int
    undeclared: tuple[PoolSeen, ...]
    unfit: tuple[PoolSeen, ...]
    missing: tuple[DeclaredPool, ...]
    open: tuple[DeclaredPool, ...]
    refused: tuple[Refused, ...] = ()


def compare(accounts: list[Account], declared: list[DeclaredPool]) -> Comparison:
    """Compare. Where an account could not be listed, its declarations are not reported as missing."""
    pools = {seen.pool.ref.key: seen for account in accounts for seen in account.pools}
    keys = {each.ref.key for each in declared if each.ref is not None}
    left = [seen for key, seen in pools.items() if key not in keys]
    read_whole = {account.endpoint for account in accounts if not account.error}
    return Comparison(
        pools=len(pools),
        undeclared=tuple(seen for seen in left if fit(seen).resource is not None),
        unfit=tuple(seen for seen in left if fit(seen).resource is None),
        missing=tuple(
            each for each in declared if each.ref and each.ref.endpoint in read_whole and each.ref.key not in pools
        ),
        open=tuple(each for each in declared if each.ref is None),
        refused=refused(accounts, declared),
    )


def _check(
    endpoints: tuple[str, ...],
    programs: tuple[Path, ...],
    stacks: tuple[str, ...],
    config: tuple[str, ...],
    *,
    wants_json: bool,
) -> None:
    given = dict(each.partition("=")[::2] for each in config)
    if not all("=" in each for each in config):
        raise click.BadParameter("a config value has the form key=value", param_hint="--config")
    try:
        declared = [each for source in programs for each in read(source, stacks, given)]
    except InputError as error:
        fail(str(error))
    accounts = survey(endpoints)
    found = compare(accounts, declared)
    unread = _print_troubles(accounts)
    if wants_json:
        print_json(_as_json(found, accounts))
    else:
        width = columns()
        for line in _lines(found, " that could be read" if unread else ""):
            click.echo("\n".join(wrapped(line, width, indent="    ")) if width else line)
    if unread:
        sys.exit(UNREADABLE)
    if found.undeclared or found.refused:
        sys.exit(NO)


def _lines(found: Comparison, which: str) -> list[str]:
    lines = [f"{seen.pool.ref.url} is not declared; {fit(seen).resource} fits it" for seen in found.undeclared]
    for each in found.refused:
        lines += [
            f"{each.url} ({each.declared.name}): an up would be refused: {each.why}.",
            f"    Next: {each.next_step}.",
        ]
    lines += [f"note: {seen.pool.ref.url} cannot be declared: {fit(seen).why}" for seen in found.unfit]
    lines += [
        f"note: {each.program} declares {each.ref.url} ({each.name}), which does not exist"
        for each in found.missing
        if each.ref
    ]
    for unknown in found.open:
        pool = f"pool {unknown.pool_id}" if unknown.pool_id else "a pool"
        lines.append(f"note: {unknown.program} declares {pool} ({unknown.name}), and {unknown.unknown}")
    pools = f"{counted(found.pools, 'pool')}{which}"
    if found.refused:
        lines.append(f"refused by `up`: {len(found.refused)} of {pools}")
    return [*lines, f"not declared: {len(found.undeclared) or 'none'} of {pools}"]


def _as_json(found: Comparison, accounts: list[Account]) -> dict[str, Any]:
    return {
        "version": 1,
        "pools": found.pools,
        "undeclared": [{"url": each.pool.ref.url, "resource": fit(each).resource} for each in found.undeclared],
        "cannot_be_declared": [{"url": each.pool.ref.url, "why": fit(each).why} for each in found.unfit],
        "missing": [
            {"url": each.ref.url, "program": each.program, "name": each.name} for each in found.missing if each.ref
        ],
        "refused": [
            {
                "url": each.url,
                "program": each.declared.program,
                "name": each.declared.name,
                "property": each.property,
                "why": each.why,
                "next_step": each.next_step,
            }
            for each in found.refused
        ],
        "not_known_yet": [
            {"pool_id": each.pool_id or None, "program": each.program, "name": each.name, "why": each.unknown}
            for each in found.open
        ],
        "errors": [trouble for account in accounts for trouble in account.troubles],
    }
