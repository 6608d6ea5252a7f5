"""`batch-os outdated`: the pools for which a newer version is known.

A declared version is right on the day on which it is written. This command is the nightly question after that: which
pools have a newer version by now, and where was it seen.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import Any

import click

from batch_os_provider.cli.common import NO, UNREADABLE, endpoints_of, fail_on_words, print_json
from batch_os_provider.cli.inventory import Account, survey
from batch_os_provider.cli.layout import columns, wrapped
from batch_os_provider.cli.outdated.listings import subscription_option
from batch_os_provider.cli.outdated.newest import BEHIND, NEWEST, Standing, behind
from batch_os_provider.cli.outdated.standings import standings_of
from batch_os_provider.guest_os.version import change
from batch_os_provider.wording import counted

__all__ = ["as_json", "command", "lines_of"]


@click.command("outdated", short_help="Show the pools for which a newer version is known.")
@click.argument("endpoints", metavar="ENDPOINT...", nargs=-1, required=True, callback=endpoints_of)
@click.option("--json", "wants_json", is_flag=True, help="Print one JSON document; its shape is in docs/command.md.")
@click.option("--fail-on", "words", multiple=True, metavar="behind", help="Exit with 3 if a pool is behind.")
@subscription_option
def command(
    endpoints: tuple[str, ...],
    words: tuple[str, ...],
    wants_json: bool,  # noqa: FBT001 - click passes flags so
    subscription: str,
) -> None:
    """Show which pools of the Batch accounts at ENDPOINT have a newer version, and where it was seen.

    Versions of images come from the nodes of all these accounts and, with --subscription, from Azure Resource
    Manager; versions of Cloud Services pools from the Guest OS catalogue. Reads only. Exit code 2 if an account
    could not be read; the rest is shown.
    """
    wanted = fail_on_words(words, [BEHIND])
    accounts = survey(endpoints)
    standings, unasked = standings_of(accounts, subscription, datetime.now(UTC).date())
    if wants_json:
        print_json(as_json(accounts, standings, unasked))
    else:
        width = columns()
        for line in lines_of(standings):
            indent = "    " if line.startswith("  ") else "  "
            for piece in wrapped(line, width, indent=indent) if width else [line]:
                click.echo(piece)
    for each in unasked:
        click.echo(each, err=True)
    for account in accounts:
        for trouble in account.troubles:
            click.echo(f"could not be read: {trouble}", err=True)
    if any(account.troubles for account in accounts):
        sys.exit(UNREADABLE)
    if wanted and behind(standings):
        sys.exit(NO)


def lines_of(standings: list[Standing]) -> list[str]:
    """The pools line by line: first the outdated ones, then the ones that cannot be compared, then a count."""
    lines: list[str] = []
    for each in sorted(standings, key=lambda standing: standing.word != BEHIND):
        url = each.seen.pool.ref.url
        if each.word == BEHIND:
            lines += [url, f"  behind: {_distance(each)}", f"  seen at: {each.source}"]
        elif each.word != NEWEST:
            lines += [url, f"  not known: {each.why}"]
            lines += [f"  oldest node allocated: {each.allocated}"] if each.allocated else []
            lines += [f"  newest version: {each.newest}, seen at {each.source}"] if each.newest else []
    newest = sum(each.word == NEWEST for each in standings)
    late = len(behind(standings))
    lines.append(
        f"{late} of {counted(len(standings), 'pool')} behind; {newest} without a known newer version; "
        f"{len(standings) - newest - late} not known"
    )
    return lines


def _distance(standing: Standing) -> str:
    if standing.current:
        return change(standing.current, standing.newest)
    allocated = standing.allocated[: len(standing.made)]  # to the day, if no more is known of the image
    return f"its oldest node was allocated {allocated}, before {standing.newest} was {standing.origin}"


def as_json(accounts: list[Account], standings: list[Standing], unasked: list[str]) -> dict[str, Any]:
    """The document of ``--json``, version 1."""
    rows = iter(standings)
    return {
        "version": 1,
        "not_asked": unasked,
        "accounts": [
            {
                "endpoint": account.endpoint,
                "signed_in_as": account.signed_in_as or None,
                "error": account.error or None,
                "pools": [_row(next(rows)) for _ in account.pools],
            }
            for account in accounts
        ],
    }


def _row(standing: Standing) -> dict[str, Any]:
    pool = standing.seen.pool
    return {
        "id": pool.ref.pool_id,
        "url": pool.ref.url,
        "kind": pool.kind.value,
        "standing": standing.word,
        "current": standing.current or None,
        "newest": standing.newest or None,
        "source": standing.source or None,
        "newest_made": standing.made or None,
        "oldest_node_allocated": standing.allocated or None,
        "why": standing.why or None,
        "error": standing.seen.trouble or None,
    }
