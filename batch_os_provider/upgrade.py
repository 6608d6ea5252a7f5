"""The upgrade of a Cloud Services pool: one POST upgradeos, then reads only.

Why it exists: this is what ``rollout``'s loop does for ``PoolOsVersion``. It follows ``decide``'s
table, sends the one write, counts the nodes that are back, and keeps ``truth`` informed.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from batch_os_provider import decide as table
from batch_os_provider.errors import (
    ALREADY_THERE,
    BatchOsError,
    ConflictError,
    PoolGoneError,
    RefusedError,
    TokenError,
    TransientError,
)
from batch_os_provider.pace import MAX_FAILURES
from batch_os_provider.pool import AllocationState, Kind, Node, Pool, PoolRef, PoolState
from batch_os_provider.report import Nodes, Progress, Reporter
from batch_os_provider.rollout import Outcome, Rollout
from batch_os_provider.truth import Truth
from batch_os_provider.wait import Stopped, Waiter

__all__ = ["Goal", "OsUpgrade", "Service"]

# Conflicts that pass by themselves; the view may lag behind them.
_PASSING = frozenset({"PoolBeingResized", "PoolBeingCreated", "UpgradePoolVersionConflict"})
_PRECONDITION_FAILED = 412
# Answers to a POST that say "not now": it was not carried out. Any other failure leaves that open.
_SAID_NO = frozenset({429, 503})


class Service(Protocol):
    """What an upgrade needs of Batch; ``client.BatchClient`` is the real one."""

    def get_pool(self, ref: PoolRef) -> Pool:
        """Read the pool."""

    def list_nodes(self, ref: PoolRef) -> tuple[Node, ...]:
        """Read all its nodes."""

    def upgrade_os(self, ref: PoolRef, target: str, etag: str) -> datetime | None:
        """Start the upgrade, once."""

    def newest_image_version(self, ref: PoolRef) -> str:
        """Read the newest image version on a VM pool's nodes; empty where there is none."""


@dataclass(frozen=True)
class Goal:
    """What one upgrade is to reach, and how long it may take.

    ``timeout`` is in seconds and starts when work starts; ``defer`` makes the deadline a success
    that tells the truth instead of an error.
    """

    ref: PoolRef
    target: str
    policy: table.Policy
    timeout: float
    defer: bool = False


class OsUpgrade(Rollout[Pool]):
    """One run of the loop for one Cloud Services pool.

    Args:
        goal: what to reach.
        service: Batch.
        waiter: clock, sleep and caller; ends everything on ^C.
        reporter: says what is seen.
        chance: a number from 0 to 1, for jitter.
    """

    resumes = "Run `pulumi up` again: it goes on from what it finds and starts no second upgrade"

    def __init__(
        self,
        goal: Goal,
        service: Service,
        waiter: Waiter,
        reporter: Reporter,
        chance: Callable[[], float] = random.random,
    ) -> None:
        super().__init__(goal.ref, goal.target, goal.timeout, waiter, reporter, chance)
        self._goal = goal
        self._service = service
        self._truth = Truth(goal.target)
        self._phase: table.Phase | None = None
        self._history = table.History()
        self._lost_writes = 0
        self._refused_writes = 0
        self._unmet: tuple[tuple[str, ...], float] | None = None
        self._resizes: set[datetime | None] = set()
        self._counts = _Counts(self.started)

    def look(self) -> Pool:
        """Read the pool; of a VM pool also what its nodes run, for the refusal."""
        pool = self._service.get_pool(self.ref)
        if pool.kind is not Kind.VM:
            return pool
        try:
            return replace(pool, image_version=self._service.newest_image_version(self.ref))
        except BatchOsError:
            # The refusal is right without it: whoever may not list nodes still learns that it is a VM pool.
            return pool

    def follow(self, seen: Pool) -> Outcome[Pool] | float:
        """Decide and act."""
        self._note(seen)
        now = self.waiter.now()
        action = table.decide(seen, self.target, self._goal.policy, self._history, now)
        if isinstance(action, table.Done):
            return self._done(seen)
        if isinstance(action, table.Refuse):
            raise self._refused(action)
        if isinstance(action, table.Upgrade):
            # No time is left to see it through, or a Retry-After reaches beyond the deadline: start nothing.
            return self._upgrade(action, seen) if self.remaining() > 0 else 0.0
        return self._wait(action)

    def _note(self, seen: Pool) -> None:
        """Keep what later looks are compared with."""
        now = self.waiter.now()
        self._failed_reads = 0
        self._truth.saw(seen, now)
        self._history = self._history.observed(seen, self.target, now)
        if seen.allocation in (AllocationState.RESIZING, AllocationState.STOPPING):
            self._resizes.add(seen.allocation_changed_at)
        if self._counts.since is None and self._truth.is_ours(seen):
            # While a pool is upgrading this is the time of its POST (recordings); afterwards it is not.
            self._counts.since = seen.changed_at

    def _upgrade(self, action: table.Upgrade, seen: Pool) -> float:
        """Send the one write. Whatever comes back, the next thing is a read."""
        self._truth.sending(seen)
        self.say("starting", "starting the upgrade")
        try:
            since = self.waiter.call(lambda: self._service.upgrade_os(self.ref, action.target, action.etag), write=True)
        except ConflictError as error:
            return self._refused_write(error, seen)
        except TransientError as error:
            if error.reply.status not in _SAID_NO and not isinstance(error, TokenError):
                self._truth.lost(self.waiter.now())
            self._lost_writes += 1
            self.give_up_after(self._lost_writes, MAX_FAILURES, error)
            return self.retrying(error, self.pace.after_failed_write(self._lost_writes, error))
        except Stopped as stopped:
            if stopped.in_call:
                self._truth.lost(self.waiter.now())
            raise
        return self._taken(since)

    def _taken(self, since: datetime | None) -> float:
        """Batch has taken our upgrade: from here on there are reads only."""
        now = self.waiter.now()
        self._counts = _Counts(now, since)
        self._truth.taken()
        self._history = self._history.accepted(now)
        self.pace.quicken()
        return 0.0

    def _refused_write(self, error: ConflictError, seen: Pool) -> float:
        """Note a 409, a 412 or "already there", and whether it can still turn into another answer."""
        if error.code == ALREADY_THERE and self._truth.is_lost:
            # The POST whose answer was lost has worked after all, and the pool does not show it yet.
            return self._taken(None)
        now = self.waiter.now()
        if self._unmet is None or self._unmet[0] != seen.fingerprint:
            self._unmet = (seen.fingerprint, now)
        # A view that lags behind another actor's change, or behind a lost POST of ours, meets 412 for a while.
        lagging = error.reply.status == _PRECONDITION_FAILED and now - self._unmet[1] < table.GRACE
        passing = error.code in _PASSING or lagging or self._truth.may_lag(now)
        self._refused_writes += 1
        self._history = self._history.refused(error.reply, seen, lasting=not passing)
        return self.retrying(error, self.pace.after_failed_write(self._refused_writes, error))

    def _wait(self, action: table.Wait) -> float:
        if action.warning:
            self.reporter.warn_once(action.warning, action.warning)
        why = action.why
        if action.phase == "resizing" and len(self._resizes) > 1:
            why += f", number {len(self._resizes)} since this began"
        if action.phase in ("upgrading", "joined"):
            self._look_at_nodes(force=self.pace.is_new(action.phase))
        self.pace.enter(action.phase)
        self._phase = action.phase
        self.say(action.phase, why)
        return self.pace.next_poll()

    def _look_at_nodes(self, *, force: bool) -> None:
        """Read the nodes when a line with counts is due. Counts are comfort: a failure costs a warning only."""
        now, counts = self.waiter.now(), self._counts
        if not force and now - counts.at < self.reporter.node_interval:
            return
        counts.at = now
        try:
            counts.take(self.waiter.call(lambda: self._service.list_nodes(self.ref)), now)
        except BatchOsError as error:
            self.reporter.warn_once("nodes", f"node counts are not available: {error}")
            counts.nodes = None

    def say(self, phase: str, why: str, detail: str = "") -> None:
        """Say a line, with node counts where an upgrade runs."""
        now = self.waiter.now()
        nodes = self._counts.nodes if phase in ("upgrading", "joined") else None
        idle = now - self._counts.moved_at if nodes is not None and nodes.nodes else 0.0
        elapsed = now - self.started
        said = Progress(self._truth.came_from, self.target, phase, why, elapsed, nodes, idle, detail)
        self.reporter.progress(said, now)

    def _done(self, seen: Pool) -> Outcome[Pool]:
        target, counts = self.target, self._counts
        if not self._truth.is_taken and table.same_version(self._truth.came_from, target):
            self.reporter.summary(f"already runs {target}, nothing was written")
            return Outcome(seen)
        if counts.since is not None:
            # The pool is at its target: not even ^C takes that back, it only costs the count.
            with contextlib.suppress(Stopped):
                self._look_at_nodes(force=True)
        nodes = counts.nodes if counts.since is not None else None
        counted = f"{nodes}, " if nodes is not None else ""
        self.reporter.summary(f"{self._truth.came_from} -> {target}: done, {counted}{self.elapsed()}")
        if nodes is not None and nodes.laggards():
            named = nodes.name_laggards()
            self.reporter.warn_once("unhealthy", f"the pool runs {target}, but not every node is back: {named}")
        return Outcome(seen)

    def _refused(self, action: table.Refuse) -> BatchOsError:
        ref, last = self.ref, self._truth.last
        if last is not None and last.state is PoolState.DELETING:
            return PoolGoneError(action.seen, pool=ref.url, next_step=action.next_step)
        return RefusedError(action.seen, pool=ref.url, next_step=action.next_step, answer=action.answer)

    def defer(self) -> Outcome[Pool] | None:
        """At the deadline: succeed with the truth, where the goal allows it and a look was had."""
        last = self._truth.last
        if not self._goal.defer or last is None:
            return None
        at = last.current_os_version or "an unknown version"
        text = f"still at {at}; upgrade to {self.target} was deferred: {self._counted() or self.tell()}"
        self.reporter.warn_once("deferred", text)
        return Outcome(last, deferred=True)

    def tell(self) -> str:
        """Say what runs in Batch."""
        return self._truth.tell(self._phase)

    def tell_all(self) -> str:
        """The same with the nodes that are back."""
        counted = self._counted()
        return f"{self.tell()} ({counted})" if counted else self.tell()

    def has_acted(self) -> bool:
        """Whether an upgrade to our target runs, or a write of ours was sent."""
        return self._truth.goes_on or self._truth.is_taken or self._truth.is_lost

    def way_back(self) -> str:
        """Pulumi keeps its old state when a step fails, so a program that was reverted looks unchanged to it."""
        back = "To go back instead, revert the program and run `pulumi up --refresh`"
        return back if self._truth.goes_on else ""

    def _counted(self) -> str:
        nodes = self._counts.nodes
        return str(nodes) if self._truth.goes_on and nodes is not None else ""


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
