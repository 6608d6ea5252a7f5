"""`batch-os restore`: put a pool back to what the marker of an unfinished rollout says.

The next `pulumi up` continues such a rollout by itself. This command is for a pool that no `up` will work on again, or
that another person has changed since, so that `up` refuses it. It follows the same table as `up` on its way back.
"""

from __future__ import annotations

import sys

import click

from batch_os_provider.batch.address import PoolRef, parse_pool_url
from batch_os_provider.batch.client import shared_client
from batch_os_provider.batch.empty_marker import EmptyMarker
from batch_os_provider.batch.image_version import parse_image_version
from batch_os_provider.batch.vm_pool import MARKER, Marker
from batch_os_provider.batch.vm_target import ImageVersion
from batch_os_provider.batch.vm_view import VmPoolView
from batch_os_provider.cli.common import FAILED, INTERRUPTED, NO, UNREADABLE, fail
from batch_os_provider.errors import BatchOsError
from batch_os_provider.rollout.context import RolloutContext
from batch_os_provider.rollout.image_renewal.renewal import ImageRenewal, read_view
from batch_os_provider.rollout.progress import Reporter
from batch_os_provider.runtime.cancellation import CancellationToken, RealWaiter
from batch_os_provider.schema.declared import DeclaredImage, ImagePolicy
from batch_os_provider.schema.units import DURATION_FORM, parse_duration
from batch_os_provider.wording import counted

__all__ = ["command", "state_before", "state_now"]

_RESTORE = ImagePolicy("restore")


class _Lines:
    """The lines of the rollout, on standard error."""

    def status(self, text: str) -> None:
        """A line of progress."""
        click.echo(text, err=True)

    def info(self, text: str) -> None:
        """The summary, on standard output."""
        click.echo(text)

    def warn(self, text: str) -> None:
        """A warning."""
        click.echo(f"warning: {text}", err=True)


@click.command("restore", short_help="Put a VM pool back to what its marker says.")
@click.argument("pool_url", metavar="POOL_URL")
@click.option("--yes", is_flag=True, help="Ask nothing.")
@click.option("--drain-timeout", default="1h", show_default=True, help="How long tasks of leaving nodes may take.")
@click.option("--timeout", default="2h", show_default=True, help="How long the command waits.")
def command(pool_url: str, *, yes: bool, drain_timeout: str, timeout: str) -> None:
    """Put the VM pool at POOL_URL back to what the marker of an unfinished rollout says.

    Shows the pool now and before, and asks. Then it restores the image version (for which the pool must be empty), the
    size or the autoscale formula, and removes the marker. No task is stopped. It may be run again at any time.

    Exit codes: 1 where the pool could not be restored; 2 where it could not be read; 3 where the answer was no; 130 ^C.
    """
    try:
        ref = parse_pool_url(pool_url)
    except ValueError as error:
        fail(f"not a pool URL: {error}; allowed: https://<account>.<region>.batch.azure.com/pools/<pool id>")
    times = [_seconds(name, text) for name, text in (("--drain-timeout", drain_timeout), ("--timeout", timeout))]
    try:
        seen = read_view(shared_client(ref.endpoint), ref)
    except BatchOsError as error:
        click.echo(f"could not be read: {error}", err=True)
        sys.exit(UNREADABLE)
    marker = seen.pool.emptying or seen.pool.marker
    if marker is None:
        text = seen.pool.marker_text
        if text is not None:
            fail(f"the metadata entry {MARKER} holds {text!r}, which this provider did not write")
        click.echo("nothing to restore: the pool has no marker of an unfinished rollout")
        return
    click.echo(f"pool {ref.url}\n  now:    {state_now(seen)}\n  before: {state_before(marker)}")
    if not yes and not click.confirm("Put the pool back to what it was before?"):
        click.echo("nothing was written", err=True)
        sys.exit(NO)
    _restore(ref, marker, *times)


def _seconds(name: str, text: str) -> float:
    try:
        return parse_duration(text)
    except ValueError as error:
        fail(f"{name}: {text!r} {error}; allowed: {DURATION_FORM}")


def _restore(ref: PoolRef, marker: Marker | EmptyMarker, drain_timeout: float, timeout: float) -> None:
    way_back = marker.way_back if isinstance(marker, EmptyMarker) else "latest"
    target = ImageVersion(way_back, parse_image_version(way_back) or ())
    declared = DeclaredImage(ref, target, _RESTORE, max(drain_timeout, 300.0), timeout)
    waiter = RealWaiter(CancellationToken())
    try:
        ImageRenewal(declared, RolloutContext(shared_client(ref.endpoint), waiter, Reporter(_Lines()))).run()
    except BatchOsError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(FAILED)
    except KeyboardInterrupt:
        click.echo("interrupted by ^C; run the command again: it continues from the pool's state", err=True)
        sys.exit(INTERRUPTED)


def state_now(seen: VmPoolView) -> str:
    """What the pool shows, in words."""
    pool = seen.pool
    moved = pool.emptying is not None and bool(pool.emptying.moves)
    image = f"image {pool.product} version {pool.pin_text} ({pool.agent})" if moved else ""
    image = image or f"image version {pool.pin_text}"
    text = f"{counted(len(seen.nodes), 'node')}, target {_sizes(pool.sizes)}, {image}"
    scaled = f", scaled by {pool.formula!r} every {pool.interval}" if pool.base.autoscale else ", no formula"
    return f"{text}{scaled}"


def state_before(marker: Marker | EmptyMarker) -> str:
    """What the marker says, in words."""
    if isinstance(marker, Marker):
        sizes = (
            f"{marker.size} and {counted(marker.spot, 'spot node')}" if marker.spot else counted(marker.size, "node")
        )
        scaled = f", scaled by {marker.formula!r} every {marker.interval}" if marker.formula else ""
        missing = f", and {marker.unavailable} may be missing" if marker.unavailable else ""
        return f"{sizes}{scaled}; the rollout may have added {marker.surge}{missing}"
    scaled = f", scaled by {marker.formula!r} every {marker.interval}" if marker.formula else ", no formula"
    agent = f" ({marker.agent})" if marker.agent else ""
    return f"target {_sizes(marker.sizes)}, image {marker.image} version {marker.way_back}{agent}{scaled}"


def _sizes(sizes: tuple[int, int]) -> str:
    return f"{sizes[0]} and {counted(sizes[1], 'spot node')}" if sizes[1] else str(sizes[0])
