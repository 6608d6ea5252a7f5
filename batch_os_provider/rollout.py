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

import contextlib
import enum
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from batch_os_provider import decide as table
from batch_os_provider.errors import (
    ALREADY_THERE,
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

__all__ = ["FIRST_CONTACT_FAILURES", "MAX_FAILURES", "Goal", "Outcome", "Rollout", "Service", "back_off", "read_pool"]

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
# Answers to a POST that say "not now": it was not carried out. Any other failure leaves that open.
_SAID_NO = frozenset({429, 503})
_RESUMES = "Run `pulumi up` again: it goes on from what it finds and starts no second upgrade"


class _Post(enum.Enum):
    """What is known of our one write."""

    NONE = "none"
    UNKNOWN = "sent, and no answer came"
    TAKEN = "202"


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
        self._phase: table.Phase | None = None
        self._phases: set[table.Phase] = set()
        self._post = _Post.NONE
        self._told = False
        self._seen_since_post: Pool | None = None
        self._interval = POLL_FIRST
        self._failed_reads = 0
        self._lost_writes = 0
        self._refused_writes = 0
        self._resizes: set[datetime | None] = set()
        self._since: datetime | None = None
        self._nodes: Nodes | None = None
        self._nodes_at = float("-inf")
        self._movement: object = None
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
            if not self._told and (self._post is not _Post.NONE or self._goes_on()):
                error.add(f"this came after {self._elapsed()}; {self._what_runs()}")
            raise

    def _loop(self) -> Outcome:
        while True:
            pause = self._step()
            if isinstance(pause, Outcome):
                return pause
            remaining = self._remaining()
            if remaining <= 0:
                return self._deadline()
            self._waiter.sleep(min(pause, remaining))

    def _remaining(self) -> float:
        return self._started + self._goal.timeout - self._waiter.now()

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
            # No time is left to see it through, or a Retry-After reaches beyond the deadline: start nothing.
            return self._upgrade(action, seen) if self._remaining() > 0 else 0.0
        return self._wait(action)

    def _note(self, seen: Pool) -> None:
        """Keep what later looks are compared with."""
        if self._seen is None:
            self._came_from = seen.current_os_version or "unknown"
        self._seen = self._seen_since_post = seen
        self._failed_reads = 0
        self._history = self._history.observed(seen, self._goal.target, self._waiter.now())
        if seen.allocation in (AllocationState.RESIZING, AllocationState.STOPPING):
            self._resizes.add(seen.allocation_changed_at)
        if self._since is None and self._is_ours(seen):
            # While a pool is upgrading this is the time of its POST (recordings); afterwards it is not.
            self._since = seen.changed_at

    def _upgrade(self, action: table.Upgrade, seen: Pool) -> float:
        """Send the one write. Whatever comes back, the next thing is a read."""
        self._came_from = seen.current_os_version or "unknown"
        self._say("starting", "starting the upgrade")
        try:
            since = self._waiter.call(
                lambda: self._service.upgrade_os(self._goal.ref, action.target, action.etag), write=True
            )
        except ConflictError as error:
            if error.code == ALREADY_THERE and self._post is _Post.UNKNOWN:
                # The POST whose answer was lost has worked after all, and the pool does not show it yet.
                return self._taken(None)
            self._refused_writes += 1
            self._history = self._history.refused(error.reply, seen, lasting=error.code not in _PASSING)
            return self._back_off(self._refused_writes, error)
        except TransientError as error:
            if error.reply.status not in _SAID_NO:
                self._post, self._seen_since_post = _Post.UNKNOWN, None
            self._lost_writes += 1
            self._give_up_after(self._lost_writes, MAX_FAILURES, error)
            return self._back_off(self._lost_writes, error)
        except Stopped as stopped:
            if stopped.in_call:
                self._post, self._seen_since_post = _Post.UNKNOWN, None
            raise
        return self._taken(since)

    def _taken(self, since: datetime | None) -> float:
        """Batch has taken our upgrade: from here on there are reads only."""
        self._since = since
        self._post, self._seen_since_post = _Post.TAKEN, None
        self._history = self._history.accepted(self._waiter.now())
        self._moved_at = self._waiter.now()
        self._interval = POLL_FIRST
        return 0.0

    def _wait(self, action: table.Wait) -> float:
        if action.warning:
            self._reporter.warn_once(action.warning, action.warning)
        why = action.why
        if action.phase == "resizing" and len(self._resizes) > 1:
            why += f", number {len(self._resizes)} since this began"
        if action.phase in ("upgrading", "joined"):
            self._look_at_nodes(force=action.phase not in self._phases)
        self._enter(action.phase)
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
        if looked.movement() != self._movement:
            self._movement, self._moved_at = looked.movement(), now
        self._nodes = looked

    def _enter(self, phase: table.Phase) -> None:
        """Poll quickly again when a phase begins; once for each, so that a flapping view keeps to the budget."""
        if phase not in self._phases:
            self._phases.add(phase)
            self._interval = POLL_FIRST
        self._phase = phase

    def _say(self, phase: str, why: str, detail: str = "") -> None:
        now = self._waiter.now()
        nodes = self._nodes if phase in ("upgrading", "joined") else None
        idle = now - self._moved_at if nodes is not None and nodes.nodes else 0.0
        said = Progress(self._came_from, self._goal.target, phase, why, now - self._started, nodes, idle, detail)
        self._reporter.progress(said, now)

    def _next_poll(self) -> float:
        pause = self._interval * (0.9 + 0.2 * self._chance())
        self._interval = min(self._interval * POLL_GROWTH, POLL_CAP)
        return min(pause, POLL_CAP)

    def _read_failed(self, error: TransientError) -> float:
        self._failed_reads += 1
        limit = FIRST_CONTACT_FAILURES if self._seen is None else MAX_FAILURES
        self._give_up_after(self._failed_reads, limit, error)
        # Never sooner than a read that succeeds would be followed: failing must not make more calls.
        return max(self._back_off(self._failed_reads, error), self._next_poll())

    def _give_up_after(self, failures: int, limit: int, error: ServiceError) -> None:
        if failures >= limit:
            error.add(f"given up after {failures} tries in {self._elapsed()}")
            raise error

    def _back_off(self, failures: int, error: ServiceError) -> float:
        pause = back_off(failures, error, self._chance())
        why = str(error.reply).rstrip(".")
        self._say("trying again", why, f"; trying again in {duration(pause)}")
        return pause

    def _done(self, seen: Pool) -> Outcome:
        target = self._goal.target
        if self._history.accepted_at is None and table.same_version(self._came_from, target):
            self._reporter.summary(f"already runs {target}, nothing was written")
            return Outcome(seen)
        if self._since is not None:
            # The pool is at its target: not even ^C takes that back, it only costs the count.
            with contextlib.suppress(Stopped):
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
        self._told = action.tells_ours
        return kind(action.seen, pool=self._goal.ref.url, next_step=action.next_step, answer=action.answer)

    def _deadline(self) -> Outcome:
        target, waited = self._goal.target, duration(self._goal.timeout)
        counted = str(self._nodes) if self._goes_on() and self._nodes is not None else ""
        if self._goal.defer and self._seen is not None:
            at = self._seen.current_os_version or "an unknown version"
            text = f"still at {at}; upgrade to {target} was deferred: {counted or self._what_runs()}"
            self._reporter.warn_once("deferred", text)
            return Outcome(self._seen, deferred=True)
        self._told = True
        raise DeadlineError(
            f"{target} was not reached within the timeout of {waited}; {self._what_runs()}"
            + (f" ({counted})" if counted else ""),
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

    def _goes_on(self) -> bool:
        """Whether an upgrade to our target runs in Batch, as far as anybody can know."""
        seen = self._seen_since_post
        return self._post is _Post.TAKEN if seen is None else self._is_ours(seen)

    def _what_runs(self) -> str:
        """Tell the truth about Batch, for an error that ends the wait."""
        target, seen = self._goal.target, self._seen_since_post
        if self._goes_on():
            came_from = self._came_from if seen is None else seen.current_os_version
            return f"the upgrade {came_from} -> {target} goes on in Batch"
        if self._post is _Post.UNKNOWN and seen is None:
            return (
                f"the request to start the upgrade to {target} was sent and its answer is not known, "
                "so it may run in Batch"
            )
        if self._post is _Post.TAKEN:
            return f"Batch took the upgrade to {target} and does not show it any more"
        if self._phase in ("resizing", "conflict"):
            because = "a resize is under way" if self._phase == "resizing" else "another upgrade is in flight"
            return f"no upgrade was started: {because}"
        return "no upgrade was started"

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
