"""The one loop: observe, decide, act once, wait, report what was seen.

Why it exists: everything hard about a rollout is in when to do things. The loop is driven by
what the pool shows now, never by what an earlier run did, so that running it again is the
recovery from anything: ^C, a kill, a lost answer, a deadline. It knows neither Pulumi nor
azure; service, clock and voice are given to it.

A write is never repeated without a read and a decision in between, a permanent error ends the
rollout at once, and the last read falls on the deadline. How often Batch is asked is ``pace``'s
business; what may be said about it when a rollout ends early is ``truth``'s.
"""

from __future__ import annotations

import contextlib
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
from batch_os_provider.pace import FIRST_CONTACT_FAILURES, MAX_FAILURES, Pace, back_off
from batch_os_provider.pool import AllocationState, Node, Pool, PoolRef, PoolState
from batch_os_provider.report import RETRYING, Nodes, Progress, Reporter, duration
from batch_os_provider.truth import Truth
from batch_os_provider.wait import Stop, Stopped, Waiter

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

__all__ = ["Goal", "Outcome", "Rollout", "Service", "read_pool"]

# Conflicts that pass by themselves; the view may lag behind them.
_PASSING = frozenset({"PoolBeingResized", "PoolBeingCreated", "UpgradePoolVersionConflict"})
_PRECONDITION_FAILED = 412
# Answers to a POST that say "not now": it was not carried out. Any other failure leaves that open.
_SAID_NO = frozenset({429, 503})
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
        self._pace = Pace(chance)
        self._truth = Truth(goal.target)
        self._history = table.History()
        self._started = waiter.now()
        self._phase: table.Phase | None = None
        self._failed_reads = 0
        self._lost_writes = 0
        self._refused_writes = 0
        self._unmet: tuple[tuple[str, ...], float] | None = None
        self._resizes: set[datetime | None] = set()
        self._counts = _Counts(self._started)

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
        except (DeadlineError, PoolGoneError):
            raise
        except BatchOsError as error:
            truth = self._truth
            if truth.goes_on or truth.is_taken or truth.is_lost:
                error.add(f"this came after {self._elapsed()}; {truth.tell(self._phase)}")
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
        now = self._waiter.now()
        self._failed_reads = 0
        self._truth.saw(seen, now)
        self._history = self._history.observed(seen, self._goal.target, now)
        if seen.allocation in (AllocationState.RESIZING, AllocationState.STOPPING):
            self._resizes.add(seen.allocation_changed_at)
        if self._counts.since is None and self._truth.is_ours(seen):
            # While a pool is upgrading this is the time of its POST (recordings); afterwards it is not.
            self._counts.since = seen.changed_at

    def _upgrade(self, action: table.Upgrade, seen: Pool) -> float:
        """Send the one write. Whatever comes back, the next thing is a read."""
        self._truth.sending(seen)
        self._say("starting", "starting the upgrade")
        try:
            since = self._waiter.call(
                lambda: self._service.upgrade_os(self._goal.ref, action.target, action.etag), write=True
            )
        except ConflictError as error:
            return self._refused_write(error, seen)
        except TransientError as error:
            if error.reply.status not in _SAID_NO:
                self._truth.lost(self._waiter.now())
            self._lost_writes += 1
            self._give_up_after(self._lost_writes, MAX_FAILURES, error)
            return self._retrying(error, self._pace.after_failed_write(self._lost_writes, error))
        except Stopped as stopped:
            if stopped.in_call:
                self._truth.lost(self._waiter.now())
            raise
        return self._taken(since)

    def _taken(self, since: datetime | None) -> float:
        """Batch has taken our upgrade: from here on there are reads only."""
        now = self._waiter.now()
        self._counts = _Counts(now, since)
        self._truth.taken()
        self._history = self._history.accepted(now)
        self._pace.quicken()
        return 0.0

    def _refused_write(self, error: ConflictError, seen: Pool) -> float:
        """Note a 409, a 412 or "already there", and whether it can still turn into another answer."""
        if error.code == ALREADY_THERE and self._truth.is_lost:
            # The POST whose answer was lost has worked after all, and the pool does not show it yet.
            return self._taken(None)
        now = self._waiter.now()
        if self._unmet is None or self._unmet[0] != seen.fingerprint:
            self._unmet = (seen.fingerprint, now)
        # A view that lags behind another actor's change, or behind a lost POST of ours, meets 412 for a while.
        lagging = error.reply.status == _PRECONDITION_FAILED and now - self._unmet[1] < table.GRACE
        passing = error.code in _PASSING or lagging or self._truth.may_lag(now)
        self._refused_writes += 1
        self._history = self._history.refused(error.reply, seen, lasting=not passing)
        return self._retrying(error, self._pace.after_failed_write(self._refused_writes, error))

    def _wait(self, action: table.Wait) -> float:
        if action.warning:
            self._reporter.warn_once(action.warning, action.warning)
        why = action.why
        if action.phase == "resizing" and len(self._resizes) > 1:
            why += f", number {len(self._resizes)} since this began"
        if action.phase in ("upgrading", "joined"):
            self._look_at_nodes(force=self._pace.is_new(action.phase))
        self._pace.enter(action.phase)
        self._phase = action.phase
        self._say(action.phase, why)
        return self._pace.next_poll()

    def _look_at_nodes(self, *, force: bool) -> None:
        """Read the nodes when a line with counts is due. Counts are comfort: a failure costs a warning only."""
        now, counts = self._waiter.now(), self._counts
        if not force and now - counts.at < self._reporter.node_interval:
            return
        counts.at = now
        try:
            counts.take(self._waiter.call(lambda: self._service.list_nodes(self._goal.ref)), now)
        except BatchOsError as error:
            self._reporter.warn_once("nodes", f"node counts are not available: {error}")
            counts.nodes = None

    def _say(self, phase: str, why: str, detail: str = "") -> None:
        now = self._waiter.now()
        nodes = self._counts.nodes if phase in ("upgrading", "joined") else None
        idle = now - self._counts.moved_at if nodes is not None and nodes.nodes else 0.0
        elapsed = now - self._started
        said = Progress(self._truth.came_from, self._goal.target, phase, why, elapsed, nodes, idle, detail)
        self._reporter.progress(said, now)

    def _read_failed(self, error: TransientError) -> float:
        self._failed_reads += 1
        limit = FIRST_CONTACT_FAILURES if self._truth.last is None else MAX_FAILURES
        self._give_up_after(self._failed_reads, limit, error)
        return self._retrying(error, self._pace.after_failed_read(self._failed_reads, error))

    def _give_up_after(self, failures: int, limit: int, error: ServiceError) -> None:
        if failures >= limit:
            error.add(f"given up after {failures} tries in {self._elapsed()}")
            raise error

    def _retrying(self, error: ServiceError, pause: float) -> float:
        self._say(RETRYING, str(error.reply).rstrip("."), f"; trying again in {duration(pause)}")
        return pause

    def _done(self, seen: Pool) -> Outcome:
        target, counts = self._goal.target, self._counts
        if not self._truth.is_taken and table.same_version(self._truth.came_from, target):
            self._reporter.summary(f"already runs {target}, nothing was written")
            return Outcome(seen)
        if counts.since is not None:
            # The pool is at its target: not even ^C takes that back, it only costs the count.
            with contextlib.suppress(Stopped):
                self._look_at_nodes(force=True)
        nodes = counts.nodes if counts.since is not None else None
        counted = f"{nodes}, " if nodes is not None else ""
        self._reporter.summary(f"{self._truth.came_from} -> {target}: done, {counted}{self._elapsed()}")
        if nodes is not None and nodes.laggards():
            named = nodes.name_laggards()
            self._reporter.warn_once("unhealthy", f"the pool runs {target}, but not every node is back: {named}")
        return Outcome(seen)

    def _refused(self, action: table.Refuse) -> BatchOsError:
        ref, last = self._goal.ref, self._truth.last
        if last is not None and last.state is PoolState.DELETING:
            return PoolGoneError(action.seen, pool=ref.url, next_step=action.next_step)
        return RefusedError(action.seen, pool=ref.url, next_step=action.next_step, answer=action.answer)

    def _deadline(self) -> Outcome:
        target, truth, nodes = self._goal.target, self._truth, self._counts.nodes
        counted = str(nodes) if truth.goes_on and nodes is not None else ""
        if self._goal.defer and truth.last is not None:
            at = truth.last.current_os_version or "an unknown version"
            state = counted or truth.tell(self._phase)
            self._reporter.warn_once("deferred", f"still at {at}; upgrade to {target} was deferred: {state}")
            return Outcome(truth.last, deferred=True)
        raise DeadlineError(
            f"{target} was not reached within the timeout of {duration(self._goal.timeout)}; {truth.tell(self._phase)}"
            + (f" ({counted})" if counted else ""),
            pool=self._goal.ref.url,
            next_step=f"{self._next_step()}. To allow more time declare a longer timeout, "
            'or on_timeout="defer" to let this `up` succeed and plan the rest again',
        )

    def _interrupted(self, reason: Stop) -> InterruptedRolloutError:
        why = "interrupted by ^C" if reason is Stop.CANCELED else "the Pulumi engine is gone"
        return InterruptedRolloutError(
            f"{why} after {self._elapsed()}; {self._truth.tell(self._phase)}",
            pool=self._goal.ref.url,
            next_step=self._next_step(),
        )

    def _next_step(self) -> str:
        # Pulumi keeps its old state when a step fails, so a program that was reverted looks unchanged to it.
        back = ". To go back instead, revert the program and run `pulumi up --refresh`" if self._truth.goes_on else ""
        return _RESUMES + back

    def _elapsed(self) -> str:
        return duration(self._waiter.now() - self._started)


class _Counts:
    """The last count of nodes: since when an upgrade runs, in the service's time, and when a node last moved."""

    def __init__(self, now: float, since: datetime | None = None) -> None:
        self.since = since
        self.nodes: Nodes | None = None
        self.at = float("-inf")
        self.moved_at = now
        self._movement: object = None

    def take(self, nodes: tuple[Node, ...], now: float) -> None:
        """Take in a list of nodes."""
        self.nodes = Nodes(nodes, self.since)
        if self.nodes.movement() != self._movement:
            self._movement, self.moved_at = self.nodes.movement(), now


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
