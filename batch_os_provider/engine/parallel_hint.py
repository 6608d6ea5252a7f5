"""The hint that a preview gives when more pools change than the engine takes at once.

The engine runs ``--parallel`` steps at a time, four for each processor by default, and an upgrade
takes an hour. Sixty pools then take eight hours instead of one, and nothing says why. Only the program knows both
numbers: how many of its pools have no known outputs in a preview, which is how Pulumi shows a planned change, and
how many steps the engine runs. It says so at its end, when both are final. One process may run many programs, one
after the other or side by side (Automation API): each has a tally of its own.

The waves of a fleet come one after the other: of each fleet its widest one counts.
"""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from typing import Any
from weakref import WeakKeyDictionary

import grpc
import pulumi
from pulumi.runtime import settings

from batch_os_provider.engine import program_end
from batch_os_provider.runtime import request_log

__all__ = ["count", "hint", "together", "wave"]

Lane = tuple[object, int] | None
"""What is registered one after the other: a fleet and the number of its wave; None for what stands by itself."""

_lock = threading.Lock()
_lane: ContextVar[Lane] = ContextVar("lane", default=None)


class _Tally:
    """The pools of one program."""

    def __init__(self) -> None:
        self._declared: Counter[Lane] = Counter()
        self._unchanged: Counter[Lane] = Counter()
        # Kept from now: at the end of the process another context may be the current one.
        self._engine = settings.get_engine()
        self._at_once: int | None = settings.SETTINGS.parallel

    def count(self, output: pulumi.Output[Any]) -> None:
        lane = _lane.get()
        with _lock:
            self._declared[lane] += 1

        def is_known(_value: object) -> None:
            with _lock:
                self._unchanged[lane] += 1

        output.apply(is_known)

    def tell(self) -> None:
        from pulumi.runtime.proto import engine_pb2  # noqa: PLC0415 - in the SDK, but not in its public face

        changes = self._declared - self._unchanged
        text = hint(changes.total(), self._at_once, together(changes))
        if not text or self._engine is None:
            return
        severity = engine_pb2.LogSeverity.Value("WARNING")
        try:
            self._engine.Log(engine_pb2.LogRequest(severity=severity, message=text), timeout=5)
        except grpc.RpcError as error:
            request_log.note(f"the engine is gone, unsaid: {text}: {error}")


_tallies: WeakKeyDictionary[object, _Tally] = WeakKeyDictionary()
"""By the object that the SDK makes for each program that it runs."""


@contextlib.contextmanager
def wave(fleet: object, number: int) -> Iterator[None]:
    """What is counted within belongs to this wave of a fleet."""
    before = _lane.set((fleet, number))
    try:
        yield
    finally:
        _lane.reset(before)


def count(output: pulumi.Output[Any]) -> None:
    """Count a resource of this program; ``output`` is known in a preview only where nothing changes."""
    if not pulumi.runtime.is_dry_run():
        return
    run = settings.SETTINGS.rpc_manager
    with _lock:
        tally = _tallies.get(run)
        is_first = tally is None
        if tally is None:
            tally = _tallies[run] = _Tally()
    if is_first:
        program_end.at_end(tally.tell)
    tally.count(output)


def together(changes: Mapping[Lane, int]) -> int:
    """How many of these changes the engine could run at once: all by themselves, and the widest wave of each fleet."""
    widest: dict[object, int] = {}
    for lane, number in changes.items():
        if lane is not None:
            widest[lane[0]] = max(number, widest.get(lane[0], 0))
    return changes.get(None, 0) + sum(widest.values())


def hint(changes: int, at_once: int | None, wanted: int | None = None) -> str:
    """The hint; empty where none is needed, or where the engine has no limit.

    Args:
        changes: how many pools change.
        at_once: how many steps the engine runs at once; None or less than 1 is no limit.
        wanted: how many of the changes could run at once; None where all could.

    """
    needed = changes if wanted is None else wanted
    if not at_once or at_once < 1 or needed <= at_once:
        return ""
    waves = "" if needed == changes else f", up to {needed} at once"
    return f"{changes} to change{waves}, engine runs {at_once}: pass --parallel {needed}"
