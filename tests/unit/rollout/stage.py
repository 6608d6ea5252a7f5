"""Run one rollout on the doubles, and keep all that a test may check."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from batch_os_provider.errors import BatchOsError
from batch_os_provider.rollout.context import RolloutContext
from batch_os_provider.rollout.loop import Outcome
from batch_os_provider.rollout.os_upgrade.upgrade import OsUpgrade
from batch_os_provider.rollout.progress import NODE_INTERVAL, Reporter
from batch_os_provider.runtime.cancellation import StopReason
from batch_os_provider.schema.declared import Declared, Policy
from tests.support.examples import examples
from tests.unit.rollout.doubles import REF, V25, FakeService, Script, State, VirtualWaiter

quick = examples(100)
"""For what costs little."""

GOAL = Declared(REF, V25, Policy(), timeout=7200.0)


@dataclass
class Listener:
    """A ``progress.Output`` that keeps all lines."""

    said: list[tuple[str, str]] = field(default_factory=list)

    def status(self, text: str) -> None:
        """Keep a line of the row."""
        self.said.append(("status", text))

    def info(self, text: str) -> None:
        """Keep a line that stays."""
        self.said.append(("info", text))

    def warn(self, text: str) -> None:
        """Keep a warning."""
        self.said.append(("warn", text))

    def lines(self, kind: str) -> list[str]:
        """The lines of one kind."""
        return [text for voice, text in self.said if voice == kind]


@dataclass(frozen=True)
class Play:
    """The result of one rollout."""

    outcome: Outcome | None
    error: BatchOsError | None
    service: FakeService
    waiter: VirtualWaiter
    voice: Listener

    @property
    def text(self) -> str:
        """The error's text."""
        assert self.error is not None, f"it succeeded: {self.outcome}"
        return str(self.error)

    @property
    def end(self) -> Outcome:
        """The outcome of a rollout that succeeded."""
        assert self.outcome is not None, f"it failed: {self.error}"
        return self.outcome


def play(
    state: State | None = None,
    script: Script | None = None,
    *,
    goal: Declared = GOAL,
    stop_at: float = math.inf,
    reason: StopReason = StopReason.CANCELED,
    chance: float = 0.5,
    node_interval: float = NODE_INTERVAL,
) -> Play:
    """Run one rollout from a state through a script to its end."""
    waiter = VirtualWaiter(stop_at=stop_at, reason=reason)
    service = FakeService(waiter, state or State(), script or Script())
    voice = Listener()
    rollout = OsUpgrade(goal, RolloutContext(service, waiter, Reporter(voice, node_interval), lambda: chance))
    outcome, error = None, None
    try:
        outcome = rollout.run()
    except BatchOsError as raised:
        error = raised
    return Play(outcome, error, service, waiter, voice)


def refused(kind: type[BatchOsError], **kwargs: Any) -> Play:
    """Run a rollout that must end in an error of exactly this kind."""
    played = play(**kwargs)
    if type(played.error) is not kind:
        pytest.fail(f"expected {kind.__name__}, got {played.error or played.outcome!r}")
    return played


def wanting(**change: Any) -> Declared:
    """The usual goal with a change."""
    return replace(GOAL, **change)
