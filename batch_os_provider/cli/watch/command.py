"""`batch-os watch`: a live table of the pools of an account that are being changed.

Pulumi's table cuts a row at the width of the terminal, and ends with the run. `watch` needs only the right to read, so
people can follow a rollout from any machine.
"""

from __future__ import annotations

import random
import select
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from batch_os_provider.batch.client import shared_client
from batch_os_provider.batch.service import AccountReader
from batch_os_provider.cli.common import UNREADABLE, discard_unwritten, endpoints_of
from batch_os_provider.cli.watch.moving import Moving, poll
from batch_os_provider.errors import BatchOsError, TransientError
from batch_os_provider.rollout.progress import NODE_INTERVAL
from batch_os_provider.runtime.backoff import back_off
from batch_os_provider.schema.units import duration

__all__ = ["Lines", "Picture", "Screen", "Watched", "command", "follow"]

POLL_INTERVAL = 5.0
"""Seconds between two polls."""
LONGEST_PAUSE = 30.0
"""Seconds until the next poll after an error that does not pass without a change, such as a removed right."""
_NARROW = 80
"""Columns below which a table has no room, and each pool gets several lines."""
_NOTHING = "no pool is being upgraded, renewed or resized"


@dataclass(frozen=True)
class Watched:
    """The result of a poll: the pools, and for how many seconds each is being changed (None: not known).

    ``ended`` are the changes that ended since the poll before. ``trouble`` says why the poll failed; the pools are then
    those of the last successful poll.
    """

    pools: tuple[tuple[Moving, float | None], ...] = ()
    ended: tuple[Moving, ...] = ()
    trouble: str = ""


class Screen(Protocol):
    """Shows the results of polls."""

    def show(self, watched: Watched) -> None:
        """Show a result. Raises BrokenPipeError if standard output is a closed pipe."""


@click.command("watch", short_help="Follow the pools that are being changed.")
@click.argument(
    "endpoints", metavar="ENDPOINT", nargs=1, required=True, callback=lambda c, p, v: endpoints_of(c, p, (v,))
)
@click.option("--once", is_flag=True, help="Poll once, print the result, and end.")
def command(endpoints: tuple[str, ...], once: bool) -> None:  # noqa: FBT001 - click passes flags so
    """Follow the pools of the Batch account at ENDPOINT that are being upgraded, renewed or resized.

    Reads only. On a terminal a table is redrawn every few seconds; elsewhere a line is printed when something has
    changed. ^C ends it with exit code 0. When the account cannot be read for a while, watch says so and retries. Exit
    code 2 if the account cannot be read from the start.
    """
    console = Console(highlight=False)
    is_live = console.is_terminal and not console.is_dumb_terminal and not once
    try:
        client = shared_client(endpoints[0])
        with Live(console=console, auto_refresh=False) if is_live else nullcontext() as live:
            screen: Screen = (
                Picture(console, endpoints[0], live)
                if is_live or once
                else Lines(endpoints[0], click.echo, time.monotonic)
            )
            follow(client, screen, pause=time.sleep, clock=time.monotonic, once=once)
    except KeyboardInterrupt:
        return
    except BrokenPipeError:
        discard_unwritten()  # a closed pipe is how a reader ends `watch`, so it is a success here
    except BatchOsError as error:
        click.echo(f"could not be read: {error}", err=True)
        sys.exit(UNREADABLE)


def follow(  # noqa: PLR0913 - clock, sleep, time and jitter are given
    client: AccountReader,
    screen: Screen,
    *,
    pause: Callable[[float], None],
    clock: Callable[[], float],
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    chance: Callable[[], float] = random.random,
    once: bool = False,
) -> None:
    """Poll, show and wait until ``pause`` raises, or once.

    Args:
        client: the account.
        screen: shows the results.
        pause: waits so many seconds.
        clock: seconds, for changes that began after the first poll.
        now: the time, compared with the service's.
        chance: a number from 0 to 1, for jitter.
        once: end after the first poll.

    Raises:
        BatchOsError: the first poll failed, and would fail again; with ``once``, any failure.
        BrokenPipeError: standard output is a closed pipe.
    """
    begun: dict[tuple[str, str], float] = {}
    known: tuple[Moving, ...] | None = None
    failures = 0
    while True:
        try:
            found = poll(client)
        except BatchOsError as error:
            if once or (known is None and not isinstance(error, TransientError)):
                raise
            failures += 1
            wait = _pause_after(error, failures, chance())
            # This loop retries a transient error, so its advice is left out.
            why = error.reason if isinstance(error, TransientError) else str(error)
            trouble = f"could not be read: {why.rstrip('.')}; trying again in {duration(wait)}"
            screen.show(Watched(_timed(known or (), begun, clock(), now()), trouble=trouble))
        else:
            failures, wait, at = 0, POLL_INTERVAL, clock()
            keys = {(each.pool_id, each.what) for each in found}
            begun = {key: begun.get(key, at) for key in keys}
            ended = tuple(each for each in known or () if (each.pool_id, each.what) not in keys)
            known = found
            screen.show(Watched(_timed(found, begun, at, now()), ended))
        if once:
            return
        pause(wait)


def _pause_after(error: BatchOsError, failures: int, chance: float) -> float:
    """Seconds until the next poll: longer after each failure, and never sooner than the service asks."""
    if not isinstance(error, TransientError):
        return LONGEST_PAUSE
    return max(POLL_INTERVAL, back_off(failures, error, chance))


def _timed(
    pools: tuple[Moving, ...], begun: dict[tuple[str, str], float], at: float, now: datetime
) -> tuple[tuple[Moving, float | None], ...]:
    """Each pool with the seconds since its change began: by the service's time, else since the first poll with it."""
    timed: list[tuple[Moving, float | None]] = []
    for each in pools:
        watched = at - begun.get((each.pool_id, each.what), at)
        by_service = (now - each.since).total_seconds() if each.since is not None else 0.0
        seconds = max(by_service, watched)
        timed.append((each, seconds if seconds > 0 or each.since is not None else None))
    return tuple(timed)


class Lines:
    """Prints a line for a pool when its progress changes, at most every 30 seconds: for logs and pipes.

    Args:
        endpoint: the account.
        say: prints and flushes a line.
        clock: seconds.
    """

    def __init__(self, endpoint: str, say: Callable[[str], object], clock: Callable[[], float]) -> None:
        self._endpoint = endpoint
        self._say = say
        self._clock = clock
        self._said: dict[tuple[str, str], tuple[str, float]] = {}
        self._last = ""

    def show(self, watched: Watched) -> None:
        """Print what is new."""
        _end_without_reader()
        for each in watched.ended:
            self._say(f"{each.pool_id}: {each.what} has ended")
            self._said.pop((each.pool_id, each.what), None)
        for each, seconds in watched.pools:
            key, news = (each.pool_id, each.what), f"{each.news} {each.more}"
            before, at = self._said.get(key, ("", float("-inf")))
            if before == "" or (news != before and self._clock() - at >= NODE_INTERVAL):
                self._said[key] = (news, self._clock())
                self._say(f"{each.pool_id}: {_line(each, seconds)}")
        state = watched.trouble or ("" if watched.pools else f"{self._endpoint}: {_NOTHING}")
        # The pause in the text differs each time, and one error is printed once.
        if state and state.partition("; trying again")[0] != self._last:
            self._say(state)
        self._last = state.partition("; trying again")[0]


class Picture:
    """Draws a table, or lines if a table has no room: redrawn in place on a terminal, else printed.

    Args:
        console: the terminal or file.
        endpoint: the account.
        live: redraws in place; None prints.
    """

    def __init__(self, console: Console, endpoint: str, live: Live | None = None) -> None:
        self._console = console
        self._endpoint = endpoint
        self._live = live
        self._ended: list[str] = []

    def show(self, watched: Watched) -> None:
        """Draw the result."""
        self._ended = [*self._ended, *(f"{each.pool_id}: {each.what} has ended" for each in watched.ended)][-5:]
        parts: list[RenderableType] = [Text(self._endpoint, style="bold", overflow="fold")]
        if watched.pools:
            parts.append(_narrow(watched) if self._console.width < _NARROW else _table(watched))
        elif not watched.trouble:
            parts.append(Text(_NOTHING))
        parts += [Text(each, overflow="fold") for each in self._ended]
        if watched.trouble:
            parts.append(Text(watched.trouble, style="red", overflow="fold"))
        drawn = Group(*parts)
        if self._live is None:
            self._console.print(drawn)
        else:
            self._live.update(drawn, refresh=True)


def _line(moving: Moving, seconds: float | None) -> str:
    """One pool as a line, like those of a rollout: the news first, the versions last."""
    news = ", ".join(filter(None, (moving.what, moving.news, _for(seconds))))
    return "; ".join(filter(None, (news, moving.more, moving.versions)))


def _for(seconds: float | None) -> str:
    return "" if seconds is None else duration(seconds)


def _narrow(watched: Watched) -> Text:
    blocks = []
    for each, seconds in watched.pools:
        lines = [each.pool_id, "  " + ", ".join(filter(None, (each.what, _for(seconds)))), f"  {each.news}"]
        lines += [f"  {each.more}"] * bool(each.more)
        lines += [f"  {part}" for part in each.versions.split(" ", 1) if part]
        blocks.append("\n".join(lines))
    return Text("\n".join(blocks), overflow="fold")


def _table(watched: Watched) -> Table:
    table = Table(box=SIMPLE_HEAD)
    for name in ("Pool", "What", "Nodes", "For", "Versions"):
        table.add_column(name, overflow="fold", no_wrap=name == "For")
    for each, seconds in watched.pools:
        news = f"{each.news}\n{each.more}" if each.more else each.news
        table.add_row(*(Text(cell) for cell in (each.pool_id, each.what, news, _for(seconds), each.versions)))
    return table


def _end_without_reader() -> None:
    """Raise BrokenPipeError if standard output is a closed pipe, also while nothing is written to it."""
    if sys.platform == "win32":  # it has no poll
        return
    try:
        poller = select.poll()
        poller.register(sys.stdout.fileno(), 0)
    except (AttributeError, OSError, ValueError):
        return  # standard output is closed, or not a file
    if any(event & select.POLLERR for _, event in poller.poll(0)):
        raise BrokenPipeError
