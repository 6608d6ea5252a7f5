"""How often Batch is asked, and when asking is given up.

Dozens of rollouts share an account's request limits, and a failing service must
get fewer calls, not more. Reads come quickly when a phase begins and then every ten seconds, a
little shorter or longer by chance so that many pools do not ask in step. A failed call is
repeated after a growing pause, never sooner than Retry-After.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from batch_os_provider.batch.address import PoolRef
from batch_os_provider.errors import ServiceError
from batch_os_provider.rollout.actions import Phase
from batch_os_provider.runtime.backoff import back_off

__all__ = ["FIRST_CONTACT_FAILURES", "MAX_FAILURES", "NOT_SHARED", "PollSchedule", "SharedPolling"]

POLL_FIRST, POLL_GROWTH, POLL_CAP = 0.5, 1.5, 10.0
"""Seconds between reads: quick when a phase begins, then growing to the cap."""
MAX_FAILURES = 10
"""Failures in a row (reads), or in all (writes without an answer), after which a rollout gives up."""
FIRST_CONTACT_FAILURES = 4
"""The same while Batch has not answered once: then the endpoint is more likely wrong than busy."""


class SharedPolling(Protocol):
    """What a rollout must know of others that wait in its account; ``shared_poller.SharedPoller`` is the real one."""

    def pause(self, ref: PoolRef) -> float | None:
        """Seconds until the next look that serves all of them; None where this pool is looked at by itself."""

    def may_list_nodes(self, ref: PoolRef, every: float) -> bool:
        """Whether this pool's nodes may be read now, only to say how far they are.

        Args:
            ref: the pool.
            every: seconds between two such reads of its nodes, which the caller keeps.
        """


class _Alone:
    """A rollout that knows of no other."""

    def pause(self, _ref: PoolRef) -> float | None:
        """There is no look but its own."""
        return None

    def may_list_nodes(self, _ref: PoolRef, _every: float) -> bool:
        """Nobody else does."""
        return True


NOT_SHARED: SharedPolling = _Alone()


class PollSchedule:
    """The spacing of one rollout's calls.

    Args:
        chance: a number from 0 to 1, for jitter.
    """

    def __init__(self, chance: Callable[[], float]) -> None:
        self._chance = chance
        self._interval = POLL_FIRST
        self._met: set[Phase] = set()

    def is_new(self, phase: Phase) -> bool:
        """Whether this phase has not been entered yet."""
        return phase not in self._met

    def enter(self, phase: Phase) -> None:
        """Ask quickly again when a phase begins; once for each, so that a flapping view keeps to the budget."""
        if phase not in self._met:
            self._met.add(phase)
            self.reset()

    def reset(self) -> None:
        """Ask quickly again: something is about to happen."""
        self._interval = POLL_FIRST

    def next_poll(self) -> float:
        """Seconds until the next read."""
        pause = self._interval * (0.9 + 0.2 * self._chance())
        self._interval = min(self._interval * POLL_GROWTH, POLL_CAP)
        return min(pause, POLL_CAP)

    def after_failed_read(self, failures: int, error: ServiceError) -> float:
        """Seconds until a failed read is repeated: never sooner than a good one would be followed by the next."""
        return max(self.after_failed_write(failures, error), self.next_poll())

    def after_failed_write(self, failures: int, error: ServiceError) -> float:
        """Seconds until the read that follows a failed write."""
        return back_off(failures, error, self._chance())
