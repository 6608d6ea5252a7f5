"""`batch-os doctor`: why it works on a laptop and not in the pipeline.

This module prints what ``machine_checks``, ``native_checks`` and ``account_checks`` find, so that they stay free of a
terminal.
"""

from __future__ import annotations

import sys
from typing import Any

import click

from batch_os_provider.cli.common import NO, endpoints_of, print_json
from batch_os_provider.cli.doctor.account_checks import account
from batch_os_provider.cli.doctor.check import Check
from batch_os_provider.cli.doctor.machine_checks import machine
from batch_os_provider.cli.doctor.native_checks import native
from batch_os_provider.cli.layout import columns as terminal_columns
from batch_os_provider.cli.layout import wrapped
from batch_os_provider.runtime.threads import side_by_side

__all__ = ["as_json", "command", "lines"]


@click.command("doctor", short_help="Check this machine, and accounts.")
@click.argument("endpoints", metavar="[ENDPOINT]...", nargs=-1, callback=endpoints_of)
@click.option("--json", "wants_json", is_flag=True, help="Print one JSON document; its shape is in docs/command.md.")
def command(endpoints: tuple[str, ...], wants_json: bool) -> None:  # noqa: FBT001 - click passes flags so
    """Check this machine, and with reads the Batch accounts at ENDPOINT: a line for each check, with the fix below.

    Writes nothing. Exit code 3 if a check failed; a warning is not a failure.
    """
    checks = [each for found in side_by_side(lambda work: work(), _works(endpoints)) for each in found]
    if wants_json:
        print_json(as_json(checks))
    else:
        click.echo("\n".join(lines(checks, terminal_columns())))
    if any(each.status == "fail" for each in checks):
        sys.exit(NO)


def _works(endpoints: tuple[str, ...]) -> list[Any]:
    return [machine, native, *((lambda endpoint=each: account(endpoint)) for each in endpoints)]


def as_json(checks: list[Check]) -> dict[str, Any]:
    """The document of ``--json``, version 1."""
    return {
        "version": 1,
        "ok": not any(each.status == "fail" for each in checks),
        "checks": [
            {
                "about": each.about,
                "check": each.name,
                "status": each.status,
                "seen": each.seen,
                "fix": each.fix or None,
            }
            for each in checks
        ],
    }


def lines(checks: list[Check], columns: int | None = None) -> list[str]:
    """A line for each check, under its machine or account, and the fix below. Folded at ``columns``, if given."""
    width = max((len(each.name) for each in checks), default=0)
    margin = " " * (10 + width)
    if columns is not None and columns < 2 * len(margin):
        width, margin = 0, " " * 8  # too narrow for a column of names
    said: list[str] = []
    about = ""
    for each in checks:
        said += [each.about] if each.about != about else []
        about = each.about
        said.append(f"  {each.status:4}  {each.name:{width}}  {each.seen}")
        said += [f"{margin}Next: {each.fix}."] if each.fix else []
    if columns is None:
        return said
    return [piece for line in said for piece in wrapped(line, columns, indent="" if line[0] != " " else margin)]
