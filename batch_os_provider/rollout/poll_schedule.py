"""How often a rollout calls Batch, and after how many failures it gives up.

Dozens of rollouts share an account's request limits, and a failing service must get fewer calls. Reads come quickly
when a phase begins, then every ten seconds. Jitter keeps many pools from reading at the same moment. A failed call is
repeated after a growing pause, never before Retry-After.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from batch_os_provider.batch.address import PoolRef
from batch_os_provider.errors import ServiceError
from batch_os_provider.rollout.actions import Phase
from batch_os_provider.runtime.backoff import back_off

__all__ = ["FIRST_CONTACT_FAILURES", "MAX_FAILURES", "NOT_SHARED", "POLL_CAP", "PollSchedule", "SharedPolling"]

POLL_FIRST, POLL_GROWTH, POLL_CAP = 0.5, 1.5, 10.0
"""Seconds between reads: short when a phase begins, then growing to the cap."""
MAX_FAILURES = 10
"""A rollout gives up after this many failed reads in a row, or this many writes without an answer."""
FIRST_CONTACT_FAILURES = 4
"""The same limit before the first answer from Batch: then the endpoint is probably wrong, not busy."""


class SharedPolling(Protocol):
    """The polling that the rollouts of one account share; ``shared_poller.SharedPoller`` implements it."""

    def pause(self, ref: PoolRef) -> float | None:
        """Seconds until the next list that covers this pool; None if this rollout reads the pool alone."""

    def may_list_nodes(self, ref: PoolRef, every: float) -> bool:
        """Whether this rollout may list the pool's nodes now, only for a line of progress.

        Args:
            ref: the pool.
            every: seconds between two such lists; the caller waits at least so long.
        """


class _Alone:
    """A rollout that shares its polling with no other rollout."""

    def pause(self, _ref: PoolRef) -> float | None:
        """The rollout reads the pool alone."""
        return None

    def may_list_nodes(self, _ref: PoolRef, _every: float) -> bool:
        """No other rollout uses the request limit."""
        return True


NOT_SHARED: SharedPolling = _Alone()


class PollSchedule:
    """The pauses between the calls of one rollout.

    Args:
        chance: returns a number from 0 to 1, for jitter.
    """

    def __init__(self, chance: Callable[[], float]) -> None:
        self._chance = chance
        self._interval = POLL_FIRST
        self._met: set[Phase] = set()

    def is_new(self, phase: Phase) -> bool:
        """Whether the rollout has not yet been in this phase."""
        return phase not in self._met

    def enter(self, phase: Phase) -> None:
        """Read quickly again when a phase begins: once for each, so that a flapping pool keeps to the budget."""
        if phase not in self._met:
            self._met.add(phase)
            self.reset()

    def reset(self) -> None:
        """Read quickly again: the pool is about to change."""
        self._interval = POLL_FIRST

    def next_poll(self) -> float:
        """Seconds until the next read."""
        pause = self._interval * (0.9 + 0.2 * self._chance())
        self._interval = min(self._interval * POLL_GROWTH, POLL_CAP)
        return min(pause, POLL_CAP)

    def after_failed_read(self, failures: int, error: ServiceError) -> float:
        """Seconds until a failed read is repeated: never less than the pause after a successful read."""
        return max(self.after_failed_write(failures, error), self.next_poll())

    def after_failed_write(self, failures: int, error: ServiceError) -> float:
        """Seconds until the read that follows a failed write."""
        return back_off(failures, error, self._chance())
