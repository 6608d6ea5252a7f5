"""The hint of a preview in which more pools change than the engine runs at once.

The engine runs ``--parallel`` steps at a time, by default four for each processor, and an upgrade takes about an hour.
Sixty pools can then take eight hours instead of one, and Pulumi does not say why.

Only the program knows both numbers: the number of steps, and the number of its pools without known outputs, which is
how a preview shows a planned change. The program reports them at its end, when both are final. A process may run
several programs, one after the other or at the same time (Automation API), so each program has its own tally.

The waves of a fleet run one after the other, so only the widest wave of each fleet counts.
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
from batch_os_provider.engine.steps_at_once import hint
from batch_os_provider.runtime import request_log

__all__ = ["count", "hint", "together", "wave"]

Lane = tuple[object, int] | None
"""A fleet and the number of one of its waves; None for a pool outside fleets."""

_lock = threading.Lock()
_lane: ContextVar[Lane] = ContextVar("lane", default=None)


class _Tally:
    """The pools of one program."""

    def __init__(self) -> None:
        self._declared: Counter[Lane] = Counter()
        self._unchanged: Counter[Lane] = Counter()
        # Read now, because another context may be current at the end of the process.
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

    def log_hint(self) -> None:
        from pulumi.runtime.proto import engine_pb2  # noqa: PLC0415 - a private module of the SDK

        changes = self._declared - self._unchanged
        text = hint(changes.total(), self._at_once, together(changes))
        if not text or self._engine is None:
            return
        severity = engine_pb2.LogSeverity.Value("WARNING")
        try:
            self._engine.Log(engine_pb2.LogRequest(severity=severity, message=text), timeout=5)
        except grpc.RpcError as error:
            request_log.note(f"the engine is gone, so this line was lost: {text}: {error}")


_tallies: WeakKeyDictionary[object, _Tally] = WeakKeyDictionary()
"""The tallies, by the object that the SDK makes for each program."""


@contextlib.contextmanager
def wave(fleet: object, number: int) -> Iterator[None]:
    """Count the resources that are registered in this context as members of a fleet's wave."""
    before = _lane.set((fleet, number))
    try:
        yield
    finally:
        _lane.reset(before)


def count(output: pulumi.Output[Any]) -> None:
    """Count a resource of this program. A preview knows ``output`` only if the resource does not change."""
    if not pulumi.runtime.is_dry_run():
        return
    run = settings.SETTINGS.rpc_manager
    with _lock:
        tally = _tallies.get(run)
        is_first = tally is None
        if tally is None:
            tally = _tallies[run] = _Tally()
    if is_first:
        program_end.at_end(tally.log_hint)
    tally.count(output)


def together(changes: Mapping[Lane, int]) -> int:
    """How many changes the engine could run at once: all outside fleets, and the widest wave of each fleet."""
    widest: dict[object, int] = {}
    for lane, number in changes.items():
        if lane is not None:
            widest[lane[0]] = max(number, widest.get(lane[0], 0))
    return changes.get(None, 0) + sum(widest.values())
