"""`batch-os status`: every pool of some accounts, and which resource fits it.

It is the one list of both kinds of pools with the versions that their nodes run, for people who are about to declare
pools, or who have lost track of them.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from batch_os_provider.batch.pool import Kind
from batch_os_provider.batch.vm_target import AllocatedSince
from batch_os_provider.cli.adopt.proposal import fit
from batch_os_provider.cli.common import NO, UNREADABLE, endpoints_of, fail_on_words, print_json
from batch_os_provider.cli.inventory import Account, PoolSeen, survey
from batch_os_provider.cli.layout import Block, show
from batch_os_provider.cli.status import image_ends
from batch_os_provider.guest_os.version import same_version
from batch_os_provider.wording import counted

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["as_json", "command", "render"]


@click.command("status", short_help="Show every pool, and the resource that fits it.")
@click.argument("endpoints", metavar="ENDPOINT...", nargs=-1, required=True, callback=endpoints_of)
@click.option("--json", "wants_json", is_flag=True, help="Print one JSON document; its shape is in docs/command.md.")
@click.option(
    "--fail-on",
    "words",
    multiple=True,
    metavar="WORD,...",
    help=f"Exit with 3 if a pool shows one of: {', '.join(image_ends.WORDS)}.",
)
def command(endpoints: tuple[str, ...], words: tuple[str, ...], wants_json: bool) -> None:  # noqa: FBT001 - click passes flags so
    """Show every pool of the Batch accounts at ENDPOINT, with what it runs and which resource fits it.

    Reads only. Exit code 2 if something could not be read; the rest is shown.
    """
    wanted = fail_on_words(words, image_ends.WORDS)
    accounts = image_ends.with_ends(survey(endpoints), datetime.now(UTC))
    if wants_json:
        print_json(as_json(accounts))
    else:
        render(accounts)
    stopped = list(image_ends.tripped(wanted, accounts))
    for each in stopped:
        click.echo(f"--fail-on {each}", err=True)
    unread = [account for account in accounts if account.troubles or (wanted and account.images_error)]
    if unread:
        click.echo(f"{len(unread)} of {counted(len(accounts), 'account')} could not be read completely", err=True)
        sys.exit(UNREADABLE)
    if stopped:
        sys.exit(NO)


def as_json(accounts: list[Account]) -> dict[str, Any]:
    """The document of ``--json``, version 1."""
    return {
        "version": 1,
        "accounts": [
            {
                "endpoint": account.endpoint,
                "signed_in_as": account.signed_in_as or None,
                "error": account.error or None,
                "images_error": account.images_error or None,
                "pools": [_pool_json(pool) for pool in account.pools],
            }
            for account in accounts
        ],
    }


def _pool_json(seen: PoolSeen) -> dict[str, Any]:
    pool, fitting = seen.pool, fit(seen)
    current, target = _versions(seen)
    return {
        "id": pool.ref.pool_id,
        "url": pool.ref.url,
        "kind": pool.kind.value,
        "os_family": pool.os_family,
        "image": pool.image or None,
        "image_ends": (seen.support.ends_on or None) if seen.support is not None else None,
        "image_support": seen.support.standing if seen.support is not None else None,
        "current": current,
        "target": target,
        "nodes": pool.node_count,
        "node_versions": dict(seen.node_versions),
        "oldest_node_allocated": _oldest_allocated(seen) or None,
        "oldest_node_agent_version": (seen.vm.oldest_agent or None) if seen.vm is not None else None,
        "deallocated": len(seen.vm.deallocated) if seen.vm is not None else 0,
        "state": pool.state_text,
        "allocation": pool.allocation_text,
        "autoscale": pool.autoscale,
        "resource": fitting.resource,
        "why": fitting.why or None,
        "error": seen.trouble or None,
    }


def _versions(seen: PoolSeen) -> tuple[str | None, str | None]:
    """The current version (VM pool: of the oldest dedicated node), and the target (VM pool: of new nodes)."""
    if seen.vm is None:
        return seen.pool.current_os_version, seen.pool.target_os_version
    oldest = seen.vm.oldest()
    return oldest.version_text if oldest else None, seen.vm.pool.pin_text if seen.vm.pool.has_versions else None


def _oldest_allocated(seen: PoolSeen) -> str:
    """When the oldest dedicated node of a VM pool was allocated, in UTC to the second; empty if unknown."""
    oldest = seen.vm.oldest(AllocatedSince) if seen.vm is not None else None
    return AllocatedSince.shown(oldest) if oldest is not None else ""


def render(accounts: list[Account], console: Console | None = None) -> None:
    """One table for each account, or a block for each pool if the terminal is too narrow for a table."""
    parts: list[Text | Block] = []
    for account in accounts:
        parts.append(Text(account.endpoint, style="bold"))
        if account.error:
            tried = f", tried {account.signed_in_as}" if account.signed_in_as else ""
            parts.append(Text(f"could not be read{tried}: {account.error}\n", style="red"))
            continue
        parts.append(Text(f"{counted(len(account.pools), 'pool')}; signed in as {account.signed_in_as}"))
        if account.pools:
            parts.append(_block(account.pools))
        parts += [Text(f"could not be read: {trouble}\n", style="red") for trouble in account.troubles]
        if account.images_error:
            parts.append(
                Text(f"when the support of images ends is not known: {account.images_error}\n", style="yellow")
            )
    show(*parts, console=console)


def _block(pools: tuple[PoolSeen, ...]) -> Block:
    ends = [image_ends.shown(seen) for seen in pools]
    rows = []
    for seen, end in zip(pools, ends, strict=True):
        pool_id, *what = _what(seen)
        # A line for each fact: a version and a count on one line are hard to read.
        fields = [("kind", what[0]), ("state", what[1]), ("runs", "\n".join(_runs(seen)))]
        fields += [("image ends", "\n".join(end)), ("resource", _resource(seen))]
        rows.append((pool_id, fields))
    if not any(ends):
        return Block(_table(pools, None), rows)
    return Block(_table(pools, ends), rows, narrower=_table(pools, None))


def _table(pools: tuple[PoolSeen, ...], ends: list[list[str]] | None) -> Table:
    """One row for each pool; ``ends`` has a column. Without it, the end of an image is a line of the first column."""
    table = Table(box=SIMPLE_HEAD, show_lines=True)
    table.add_column("Pool", overflow="fold")
    # Never wrapped: a version that is cut in two cannot be copied.
    table.add_column("Runs", no_wrap=True, overflow="ignore")
    if ends is not None:
        table.add_column("Image ends", no_wrap=True, overflow="ignore")
    table.add_column("Resource", overflow="fold", min_width=len("PoolImageVersion"))
    for number, seen in enumerate(pools):
        what = [*_what(seen), *filter(None, [image_ends.line(seen) if ends is None else ""])]
        cells = [what, _runs(seen), *([ends[number]] if ends is not None else []), [_resource(seen)]]
        table.add_row(*(Text("\n".join(lines)) for lines in cells))
    return table


def _resource(seen: PoolSeen) -> str:
    """The resource that fits, or why none does."""
    fitting = fit(seen)
    return fitting.resource or f"none: {fitting.why}"


def _what(seen: PoolSeen) -> list[str]:
    """A pool's id, kind and state, line by line."""
    pool = seen.pool
    kind = "unknown kind"
    if pool.kind is Kind.CLOUD_SERVICES:
        kind = f"Cloud Services, OS family {pool.os_family}"
    elif seen.vm is not None:
        # The version of new nodes is in the next column.
        vm = seen.vm.pool
        kind = f"VM, {vm.product if vm.gallery else vm.image.removesuffix(f' {vm.pin_text}')}"
    state = f"{pool.state_text}, {pool.allocation_text}" + (", scales itself" if pool.autoscale else "")
    return [pool.ref.pool_id, kind, state]


def _runs(seen: PoolSeen) -> list[str]:
    """The versions and counts, line by line, the most important first."""
    current, target = _versions(seen)
    count = counted(seen.pool.node_count, "node")
    if seen.vm is None:
        lines = [current] if current else []
        lines += [f"-> {target}"] if target and not same_version(current, target) else []
        return [*lines, count]
    lines = [f"{number} x {text}" for text, number in seen.node_versions.items()] or [count]
    lines += [f"{len(seen.vm.deallocated)} deallocated"] if seen.vm.deallocated else []
    # A node that shows no version number is as old as its allocation.
    allocated = _oldest_allocated(seen) if any(node.version is None for node in seen.vm.judged) else ""
    lines += [f"since {allocated.partition('T')[0]}"] if allocated else []
    lines += [f"new nodes: {target}"] if target else []
    return [*lines, f"agent {seen.vm.oldest_agent}"] if seen.vm.oldest_agent else lines
