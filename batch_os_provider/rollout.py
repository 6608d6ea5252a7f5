"""The one loop: observe, decide, act once, wait, report what was seen.

Why it exists: everything hard about a rollout is in when to do things. The loop is driven by
what the pool shows now, never by what an earlier run did, so that running it again is the
recovery from anything: ^C, a kill, a lost answer, a deadline. It knows neither Pulumi nor
azure; service, clock and voice are given to it.

The rules of the wait:

* reads come quickly at first and then every ten seconds, a little shorter or longer by chance
  so that many pools do not ask in step; the last one falls on the deadline;
* a failed call is repeated after a growing pause, never sooner than Retry-After, and the
  rollout ends after a few failures in a row: fewer while Batch has not answered once;
* a write is never repeated without a read and a decision in between;
* a permanent error ends it at once.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

from batch_os_provider import decide as table
from batch_os_provider.errors import (
    BatchOsError,
    ConflictError,
    DeadlineError,
    InterruptedRolloutError,
    PoolGoneError,
    RefusedError,
    ServiceError,
    TransientError,
)
from batch_os_provider.pool import AllocationState, Node, Pool, PoolRef, PoolState
from batch_os_provider.report import Nodes, Progress, Reporter, duration
from batch_os_provider.wait import Stop, Stopped, Waiter

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

__all__ = ["FIRST_CONTACT_FAILURES", "MAX_FAILURES", "Goal", "Outcome", "Rollout", "Service", "read_pool"]

T = TypeVar("T")

POLL_FIRST, POLL_GROWTH, POLL_CAP = 0.5, 1.5, 10.0
"""Seconds between reads: quick after every change of phase, then capped."""
BACKOFF_FIRST, BACKOFF_CAP = 1.0, 30.0
"""Seconds before a failed call is repeated; doubled each time."""
MAX_FAILURES = 10
"""Failures in a row (reads), or in all (writes), after which the rollout gives up."""
FIRST_CONTACT_FAILURES = 4
"""The same while Batch has not answered once: then the endpoint is more likely wrong than busy."""

# Conflicts that pass by themselves; the view may lag behind them.
_PASSING = frozenset({"PoolBeingResized", "PoolBeingCreated", "UpgradePoolVersionConflict"})
_RESUMES = "Run `pulumi up` again: it goes on from what it finds and starts no second upgrade"


class Service(Protocol):
    """What the loop needs of Batch; ``client.BatchClient`` is the real one."""

    def get_pool(self, ref: PoolRef) -> Pool:
        """Read the pool."""

    def list_nodes(self, ref: PoolRef) -> tuple[Node, ...]:
        """Read all its nodes."""

    def upgrade_os(self, ref: PoolRef, target: str, etag: str) -> datetime | None:
        """Start the upgrade, once."""


@dataclass(frozen=True)
class Goal:
    """What one rollout is to reach, and how long it may take.

    ``timeout`` is in seconds and starts when work starts; ``defer`` makes the deadline a success
    that tells the truth instead of an error.
    """

    ref: PoolRef
    target: str
    policy: table.Policy
    timeout: float
    defer: bool = False


@dataclass(frozen=True)
class Outcome:
    """How a rollout ended: the last look at the pool, and whether the target is still to be reached."""

    pool: Pool
    deferred: bool = False


class Rollout:
    """One run of the loop for one pool.

    Args:
        goal: what to reach.
        service: Batch.
        waiter: clock, sleep and caller; ends everything on ^C.
        reporter: says what is seen.
        chance: a number from 0 to 1, for jitter.

    """

    def __init__(
        self,
        goal: Goal,
        service: Service,
        waiter: Waiter,
        reporter: Reporter,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._goal = goal
        self._service = service
        self._waiter = waiter
        self._reporter = reporter
        self._chance = chance
        self._started = waiter.now()
        self._history = table.History()
        self._seen: Pool | None = None
        self._came_from = ""
        self._phase = ""
        self._in_doubt = False
        self._interval = POLL_FIRST
        self._failed_reads = 0
        self._failed_writes = 0
        self._resizes: set[datetime | None] = set()
        self._since: datetime | None = None
        self._nodes: Nodes | None = None
        self._nodes_at = float("-inf")
        self._moved_at = self._started

    def run(self) -> Outcome:
        """Reach the goal.

        Returns:
            The outcome; ``deferred`` only where the goal allows it.

        Raises:
            RefusedError, PoolGoneError, DeadlineError, InterruptedRolloutError, CredentialError,
            ServiceError: each says what was seen and whether an upgrade goes on in Batch.

        """
        try:
            return self._loop()
        except Stopped as stopped:
            raise self._interrupted(stopped.reason) from None
        except BatchOsError as error:
            if self._runs() and not isinstance(error, (DeadlineError, RefusedError, PoolGoneError)):
                error.add(f"this came after {self._elapsed()}; {self._what_runs()}")
            raise

    def _loop(self) -> Outcome:
        while True:
            pause = self._step()
            if isinstance(pause, Outcome):
                return pause
            remaining = self._started + self._goal.timeout - self._waiter.now()
            if remaining <= 0:
                return self._deadline()
            self._waiter.sleep(min(pause, remaining))

    def _step(self) -> Outcome | float:
        """One look and what follows from it: the outcome, or how long to wait."""
        try:
            seen = self._waiter.call(lambda: self._service.get_pool(self._goal.ref))
        except TransientError as error:
            return self._read_failed(error)
        self._note(seen)
        now = self._waiter.now()
        action = table.decide(seen, self._goal.target, self._goal.policy, self._history, now)
        if isinstance(action, table.Done):
            return self._done(seen)
        if isinstance(action, table.Refuse):
            raise self._refused(action)
        if isinstance(action, table.Upgrade):
            return self._upgrade(action, seen)
        return self._wait(action, seen)

    def _note(self, seen: Pool) -> None:
        """Keep what later looks are compared with."""
        if self._seen is None:
            self._came_from = seen.current_os_version or "unknown"
        self._seen = seen
        self._failed_reads = 0
        self._in_doubt = False
        self._history = self._history.observed(seen, self._goal.target, self._waiter.now())
        if seen.allocation in (AllocationState.RESIZING, AllocationState.STOPPING):
            self._resizes.add(seen.allocation_changed_at)
        if self._since is None and self._is_ours(seen):
            # While a pool is upgrading this is the time of its POST (recordings); afterwards it is not.
            self._since = seen.changed_at

    def _upgrade(self, action: table.Upgrade, seen: Pool) -> float:
        """Send the one write. Whatever comes back, the next thing is a read."""
        self._say("starting", "starting the upgrade")
        try:
            self._since = self._waiter.call(
                lambda: self._service.upgrade_os(self._goal.ref, action.target, action.etag), write=True
            )
        except ConflictError as error:
            lasting = error.code not in _PASSING
            self._history = self._history.refused(error.reply, seen, lasting=lasting)
            return self._write_failed(error)
        except TransientError as error:
            self._in_doubt = True
            self._give_up_after(self._failed_writes + 1, MAX_FAILURES, error)
            return self._write_failed(error)
        except Stopped as stopped:
            self._in_doubt = stopped.in_call
            raise
        self._history = self._history.accepted(self._waiter.now())
        self._moved_at = self._waiter.now()
        self._interval = POLL_FIRST
        return 0.0

    def _wait(self, action: table.Wait, seen: Pool) -> float:
        if action.warning:
            self._reporter.warn_once(action.warning, action.warning)
        why = action.why
        if action.phase == "resizing" and len(self._resizes) > 1:
            why += f", number {len(self._resizes)} since this began"
        if action.phase in ("upgrading", "joined"):
            self._look_at_nodes(force=action.phase != self._phase)
        self._say(action.phase, why)
        return self._next_poll()

    def _look_at_nodes(self, *, force: bool) -> None:
        """Read the nodes when a line with counts is due. Counts are comfort: a failure costs a warning only."""
        now = self._waiter.now()
        if not force and now - self._nodes_at < self._reporter.node_interval:
            return
        self._nodes_at = now
        try:
            looked = Nodes(self._waiter.call(lambda: self._service.list_nodes(self._goal.ref)), self._since)
        except BatchOsError as error:
            self._reporter.warn_once("nodes", f"node counts are not available: {error}")
            self._nodes = None
            return
        if self._nodes is None or looked.movement() != self._nodes.movement():
            self._moved_at = now
        self._nodes = looked

    def _say(self, phase: str, why: str) -> None:
        now = self._waiter.now()
        if phase != self._phase:
            self._phase, self._interval = phase, POLL_FIRST
        nodes = self._nodes if phase in ("upgrading", "joined") else None
        idle = now - self._moved_at if nodes is not None and nodes.nodes else 0.0
        said = Progress(self._came_from, self._goal.target, phase, why, now - self._started, nodes, idle)
        self._reporter.progress(said, now)

    def _next_poll(self) -> float:
        pause = self._interval * (0.9 + 0.2 * self._chance())
        self._interval = min(self._interval * POLL_GROWTH, POLL_CAP)
        return min(pause, POLL_CAP)

    def _read_failed(self, error: TransientError) -> float:
        self._failed_reads += 1
        limit = FIRST_CONTACT_FAILURES if self._seen is None else MAX_FAILURES
        self._give_up_after(self._failed_reads, limit, error)
        return self._back_off(self._failed_reads, error)

    def _write_failed(self, error: ServiceError) -> float:
        self._failed_writes += 1
        return self._back_off(self._failed_writes, error)

    def _give_up_after(self, failures: int, limit: int, error: ServiceError) -> None:
        if failures >= limit:
            error.add(f"given up after {failures} tries in {self._elapsed()}")
            raise error

    def _back_off(self, failures: int, error: ServiceError) -> float:
        pause = back_off(failures, error, self._chance())
        self._say("trying again", f"{error.reply}; trying again in {duration(pause)}")
        return pause

    def _done(self, seen: Pool) -> Outcome:
        target = self._goal.target
        if self._history.accepted_at is None and table.same_version(self._came_from, target):
            self._reporter.summary(f"already runs {target}, nothing was written")
            return Outcome(seen)
        if self._since is not None:
            self._look_at_nodes(force=True)
        counted = f"{self._nodes}, " if self._nodes is not None and self._since is not None else ""
        self._reporter.summary(f"{self._came_from} -> {target}: done, {counted}{self._elapsed()}")
        if self._nodes is not None and self._nodes.laggards() and self._since is not None:
            named = self._nodes.name_laggards()
            self._reporter.warn_once("unhealthy", f"the pool runs {target}, but not every node is back: {named}")
        return Outcome(seen)

    def _refused(self, action: table.Refuse) -> BatchOsError:
        if self._seen is not None and self._seen.state is PoolState.DELETING:
            kind: type[BatchOsError] = PoolGoneError
        else:
            kind = RefusedError
        return kind(action.seen, pool=self._goal.ref.url, next_step=action.next_step, answer=action.answer)

    def _deadline(self) -> Outcome:
        target, waited = self._goal.target, duration(self._goal.timeout)
        if self._goal.defer and self._seen is not None:
            state = str(self._nodes) if self._runs() and self._nodes is not None else self._what_runs()
            at = self._seen.current_os_version or "an unknown version"
            self._reporter.warn_once("deferred", f"still at {at}; upgrade to {target} was deferred: {state}")
            return Outcome(self._seen, deferred=True)
        counted = f" ({self._nodes})" if self._runs() and self._nodes is not None else ""
        raise DeadlineError(
            f"{target} was not reached within the timeout of {waited}; {self._what_runs()}{counted}",
            pool=self._goal.ref.url,
            next_step=f"{_RESUMES}. To allow more time declare a longer timeout, "
            'or on_timeout="defer" to let this `up` succeed and plan the rest again',
        )

    def _interrupted(self, reason: Stop) -> InterruptedRolloutError:
        why = "interrupted by ^C" if reason is Stop.CANCELED else "the Pulumi engine is gone"
        return InterruptedRolloutError(
            f"{why} after {self._elapsed()}; {self._what_runs()}", pool=self._goal.ref.url, next_step=_RESUMES
        )

    def _is_ours(self, seen: Pool) -> bool:
        return seen.state is PoolState.UPGRADING and table.same_version(seen.target_os_version, self._goal.target)

    def _runs(self) -> bool:
        """Whether an upgrade to our target is known to run in Batch."""
        if self._history.accepted_at is not None:
            return self._history.astray_since is None
        return self._seen is not None and self._is_ours(self._seen)

    def _what_runs(self) -> str:
        """The truth about Batch, for an error that ends the wait."""
        if self._runs():
            return f"the upgrade {self._came_from} -> {self._goal.target} goes on in Batch"
        if self._in_doubt:
            return (
                f"the request to start the upgrade to {self._goal.target} was sent and its answer is not known, "
                "so it may run in Batch"
            )
        if self._history.accepted_at is not None:
            return f"Batch took the upgrade to {self._goal.target} and does not show it any more"
        last = self._phase if self._phase in ("resizing", "conflict") else ""
        because = {"resizing": ": a resize is under way", "conflict": ": another upgrade is in flight"}.get(last, "")
        return f"no upgrade was started{because}"

    def _elapsed(self) -> str:
        return duration(self._waiter.now() - self._started)


def back_off(failures: int, error: ServiceError, chance: float) -> float:
    """Seconds to wait after the n-th failure in a row: doubled each time, never sooner than Retry-After."""
    pause = min(BACKOFF_CAP, BACKOFF_FIRST * 2.0 ** (failures - 1)) * (0.8 + 0.4 * chance)
    return max(pause, error.reply.retry_after or 0.0)


def read_pool(
    ref: PoolRef, service: Service, waiter: Waiter, chance: Callable[[], float] = random.random
) -> Pool | None:
    """One look at a pool, for refresh: bounded tries; None when there is no such pool.

    Raises:
        InterruptedRolloutError, CredentialError, ServiceError: as ``Rollout.run``.

    """
    failures = 0
    try:
        while True:
            try:
                return waiter.call(lambda: service.get_pool(ref))
            except PoolGoneError:
                return None
            except TransientError as error:
                failures += 1
                if failures >= FIRST_CONTACT_FAILURES:
                    error.add(f"given up after {failures} tries")
                    raise
                waiter.sleep(back_off(failures, error, chance()))
    except Stopped as stopped:
        why = "interrupted by ^C" if stopped.reason is Stop.CANCELED else "the Pulumi engine is gone"
        raise InterruptedRolloutError(
            f"{why} while the pool was read; nothing was written", pool=ref.url, next_step="Run the command again"
        ) from None
