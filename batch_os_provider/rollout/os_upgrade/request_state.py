"""The state of the one write: whether it was sent, whether Batch accepted it, and whether its upgrade runs.

A rollout may end at any moment, by ^C, a deadline or an error, and its last message must be true. After a lost answer
the message "no upgrade was started" is allowed only after a read of the pool confirms it.
"""

from __future__ import annotations

import enum

from batch_os_provider.batch.pool import Pool, PoolState
from batch_os_provider.guest_os.version import same_version
from batch_os_provider.rollout.actions import GRACE, Phase

__all__ = ["UpgradeRequest"]


class _Answer(enum.Enum):
    NONE = "not sent, or refused"
    UNKNOWN = "sent, and no answer came"
    ACCEPTED = "answered 202"


class UpgradeRequest:
    """What the rollout knows about its upgrade to ``target``; the rollout reports each event to it.

    ``last`` is the last view of the pool. ``came_from`` is the version from which the upgrade starts; empty before the
    first read.
    """

    def __init__(self, target: str) -> None:
        self._target = target
        self._answer = _Answer.NONE
        self._sent_from: Pool | None = None
        self._sent_at = 0.0
        self._since_answer: Pool | None = None
        self._was_shown = False
        self.last: Pool | None = None
        self.came_from = ""

    def observed(self, pool: Pool, now: float) -> None:
        """Record a view of the pool. A view that may be older than a lost POST decides nothing."""
        if self.last is None:
            self.came_from = pool.current_os_version or "unknown"
        self.last = pool
        if not (self.may_lag(now) and self._sent_from is not None and pool.fingerprint == self._sent_from.fingerprint):
            self._since_answer = pool
        self._was_shown = self._was_shown or self.is_ours(pool)

    def sending(self, pool: Pool) -> None:
        """The rollout now sends the write, on this view."""
        self._sent_from = pool
        self.came_from = pool.current_os_version or "unknown"

    def answer_lost(self, now: float) -> None:
        """Our write was sent, but the answer was lost."""
        self._answer, self._sent_at, self._since_answer = _Answer.UNKNOWN, now, None

    def accepted(self) -> None:
        """Batch answered 202, or said later that it had accepted the write."""
        self._answer, self._since_answer, self._was_shown = _Answer.ACCEPTED, None, False

    @property
    def is_lost(self) -> bool:
        """Whether our write was sent and its answer was lost."""
        return self._answer is _Answer.UNKNOWN

    @property
    def is_accepted(self) -> bool:
        """Whether Batch accepted our write."""
        return self._answer is _Answer.ACCEPTED

    def may_lag(self, now: float) -> bool:
        """Whether Batch may still show the pool as it was before our write with the lost answer."""
        return self.is_lost and now - self._sent_at < GRACE

    def is_ours(self, pool: Pool) -> bool:
        """Whether a view shows an upgrade to our target."""
        return pool.state is PoolState.UPGRADING and same_version(pool.target_os_version, self._target)

    @property
    def is_reached(self) -> bool:
        """Whether the last view shows the target, with no upgrade in flight and no lost write that may start one."""
        seen = self._since_answer
        return (
            seen is not None and seen.state is PoolState.ACTIVE and same_version(seen.current_os_version, self._target)
        )

    @property
    def goes_on(self) -> bool:
        """Whether an upgrade to our target runs in Batch, as far as the last view shows."""
        return self.is_accepted if self._since_answer is None else self.is_ours(self._since_answer)

    def describe(self, phase: Phase | None) -> str:
        """What runs in Batch, in words. ``phase`` is what the rollout waited for if no upgrade of ours runs."""
        if self.goes_on:
            seen = self._since_answer
            came_from = self.came_from if seen is None else seen.current_os_version
            return f"the upgrade {came_from or 'an unknown version'} -> {self._target} goes on in Batch"
        if self.is_reached:
            return f"the pool runs {self._target}"
        if self.is_lost and self._since_answer is None:
            return (
                f"the request to start the upgrade to {self._target} was sent and its answer is not known, "
                "so the upgrade may run in Batch"
            )
        if self.is_accepted:
            shown = "no longer shows it" if self._was_shown else "does not show it yet"
            return f"Batch accepted the upgrade to {self._target} and {shown}"
        if phase in ("resizing", "conflict"):
            because = "a resize is under way" if phase == "resizing" else "another upgrade is in flight"
            return f"no upgrade was started: {because}"
        return "no upgrade was started"
