"""The upgrade of a Cloud Services pool: one POST upgradeos, then reads only.

This is the rollout of ``PoolOsVersion``. It follows the table of ``decide``, sends the one write, counts the nodes and
reports each event to ``request_state``. A pool at its target is done only when its nodes are as the program declares,
even if another run upgraded it. ``health`` judges the nodes, with a list every 30 seconds until the result is clear.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from datetime import datetime

from batch_os_provider.batch.pool import Kind, Pool, PoolState
from batch_os_provider.batch.service import Service
from batch_os_provider.errors import (
    ALREADY_THERE,
    BatchOsError,
    ConflictError,
    PoolGoneError,
    RefusedError,
    StalledError,
    TokenError,
    TransientError,
    UnhealthyError,
)
from batch_os_provider.guest_os import version
from batch_os_provider.guest_os.version import same_version
from batch_os_provider.rollout.actions import GRACE, Done, Phase, Refuse, Wait
from batch_os_provider.rollout.context import RolloutContext
from batch_os_provider.rollout.loop import Outcome, Rollout
from batch_os_provider.rollout.os_upgrade import decide as table
from batch_os_provider.rollout.os_upgrade.health import Failed, Passed, Settling, Soaking, judge, unhealthy
from batch_os_provider.rollout.os_upgrade.node_tracker import NodeTracker
from batch_os_provider.rollout.os_upgrade.request_state import UpgradeRequest
from batch_os_provider.rollout.poll_schedule import MAX_FAILURES
from batch_os_provider.rollout.progress import NODE_INTERVAL, NodeCounts, Progress, name_nodes
from batch_os_provider.runtime.cancellation import Canceled
from batch_os_provider.schema.declared import Declared
from batch_os_provider.schema.units import duration
from batch_os_provider.wording import plural

__all__ = ["OsUpgrade"]

# Conflicts that end without a change of ours; the view may lag behind them.
_PASSING = frozenset({"PoolBeingResized", "PoolBeingCreated", "UpgradePoolVersionConflict"})
_PRECONDITION_FAILED = 412
# With these answers Batch did not carry out the POST. After any other failure this is unknown.
_SAID_NO = frozenset({429, 503})
_AGAIN = "Run `pulumi up` again to wait for the rest"
_SHORTEST_SOAK = 1.0
"""The shortest pause between two lists of soaking nodes: the service's clock has whole seconds."""


class OsUpgrade(Rollout[Pool]):
    """One run of the loop for one Cloud Services pool.

    After a run ``unhealthy`` is the number of unhealthy nodes at the target, None if the nodes were not listed.
    ``is_proven`` is whether the nodes passed the gate; True if none is declared.

    Args:
        declared: what the program declares.
        context: what the rollout gets from outside.
        report: count the nodes even if the pool already runs the target. An earlier run that was killed may have
            left broken nodes without a report.
    """

    resumes = "Run `pulumi up` again: it continues from the pool's state and starts no second upgrade"

    def __init__(self, declared: Declared, context: RolloutContext[Service], *, report: bool = False) -> None:
        super().__init__(declared.ref, declared.target, declared.timeout, context)
        self._declared = declared
        self._service = context.service
        self._report_always = report
        self._request = UpgradeRequest(declared.target)
        self._phase: Phase | None = None
        self._history = table.History()
        self._lost_writes = 0
        self._refused_writes = 0
        self._unmet: tuple[tuple[str, ...], float] | None = None
        self._resizes: set[datetime | None] = set()
        self._failed_lists = 0
        self._judged: Settling | Soaking | None = None
        self._tracker = NodeTracker(self.started)
        self.unhealthy: int | None = None
        self.is_proven = not declared.gate.is_declared

    def observe(self) -> Pool:
        """Read the pool; of a VM pool also the image version of its nodes, for the refusal."""
        pool = self._service.get_pool(self.ref)
        if pool.kind is not Kind.VM:
            return pool
        try:
            return replace(pool, image_version=self._service.newest_image_version(self.ref))
        except BatchOsError:
            # The refusal is right without the version, so a caller who may not list nodes gets it too.
            return pool

    def follow(self, seen: Pool) -> Outcome[Pool] | float:
        """Decide and act."""
        self._record(seen)
        now = self.waiter.now()
        action = table.decide(seen, self.target, self._declared.policy, self._history, now)
        if isinstance(action, Done):
            return self._prove(seen) if self._declared.gate.is_declared else self._done(seen)
        self._judged = self.unhealthy = None
        if isinstance(action, Refuse):
            raise self._refused(action)
        if isinstance(action, table.Upgrade):
            # After the deadline (a Retry-After may reach beyond it) no upgrade may start.
            return self._upgrade(action, seen) if self.remaining() > 0 else 0.0
        return self._wait(action)

    def _record(self, seen: Pool) -> None:
        """Record what later views are compared with."""
        now = self.waiter.now()
        self._request.observed(seen, now)
        self._history = self._history.observed(seen, self.target, now)
        if seen.is_being_resized:
            self._resizes.add(seen.allocation_changed_at)
        if self._tracker.since is None and self._request.is_ours(seen):
            # While a pool is upgrading this is the time of its POST (recordings); after that it is not.
            self._tracker.since = seen.changed_at

    def _upgrade(self, action: table.Upgrade, seen: Pool) -> float:
        """Send the one write. A read follows every answer."""
        self._request.sending(seen)
        self.say("starting", "starting the upgrade")
        try:
            since = self.waiter.call(lambda: self._service.upgrade_os(self.ref, action.target, action.etag), write=True)
        except ConflictError as error:
            return self._refused_write(error, seen)
        except TransientError as error:
            if error.reply.status not in _SAID_NO and not isinstance(error, TokenError):
                self._request.answer_lost(self.waiter.now())
            self._lost_writes += 1
            self.give_up_after(self._lost_writes, MAX_FAILURES, error)
            return self.retrying(error, self.schedule.after_failed_write(self._lost_writes, error))
        except Canceled as stopped:
            if stopped.in_call:
                self._request.answer_lost(self.waiter.now())
            raise
        return self._accepted(since)

    def _accepted(self, since: datetime | None) -> float:
        """Batch accepted our upgrade: from here on the rollout only reads."""
        now = self.waiter.now()
        self._tracker = NodeTracker(now, since)
        self._request.accepted()
        self._history = self._history.accepted(now)
        self.schedule.reset()
        return self.polling.pause(self.ref) or 0.0

    def _refused_write(self, error: ConflictError, seen: Pool) -> float:
        """Record a 409, a 412 or "already there", and whether a later answer can differ."""
        if error.code == ALREADY_THERE and self._request.is_lost:
            # Batch accepted the POST with the lost answer, and the pool does not show it yet.
            return self._accepted(None)
        now = self.waiter.now()
        if self._unmet is None or self._unmet[0] != seen.fingerprint:
            self._unmet = (seen.fingerprint, now)
        # For a while a view may be older than another actor's change or our lost POST; Batch answers 412 to it.
        lagging = error.reply.status == _PRECONDITION_FAILED and now - self._unmet[1] < GRACE
        passing = error.code in _PASSING or lagging or self._request.may_lag(now)
        self._refused_writes += 1
        self._history = self._history.refused(error.reply, seen, lasting=not passing)
        return self.retrying(error, self.schedule.after_failed_write(self._refused_writes, error))

    def _wait(self, action: Wait) -> float:
        if action.warning:
            self.reporter.warn_once(action.warning, action.warning)
        why = action.why
        if action.phase == "resizing" and len(self._resizes) > 1:
            why += f", number {len(self._resizes)} in this run"
        if action.phase in ("upgrading", "joined"):
            self._count_nodes(force=self.schedule.is_new(action.phase))
            self._give_up_on_a_stall()
        self.schedule.enter(action.phase)
        self._phase = action.phase
        self.say(action.phase, why)
        return self.next_read()

    def _count_nodes(self, *, force: bool) -> None:
        """List the nodes when a line with counts is due."""
        stall_after = self._declared.stall_after
        interval = min(self.reporter.node_interval, NODE_INTERVAL if stall_after is None else stall_after)
        if not force and self.waiter.now() - self._tracker.tried_at < interval:
            return
        # stall_after needs the nodes for more than a line, so other pools must not delay this list.
        if stall_after is not None or self.polling.may_list_nodes(self.ref, interval):
            self._list_nodes()

    def _list_nodes(self) -> None:
        """List the nodes. The upgrade does not depend on them, so a failure only causes a warning."""
        now, tracker = self.waiter.now(), self._tracker
        tracker.tried_at = now
        try:
            tracker.take(self.waiter.call(lambda: self._service.list_nodes(self.ref)), now)
        except BatchOsError as error:
            self.reporter.warn_once("nodes", f"node counts are not available: {error.reason}")
            tracker.nodes = None

    def _give_up_on_a_stall(self) -> None:
        """Raise StalledError if no node has moved for ``stall_after``."""
        stall_after, nodes = self._declared.stall_after, self._tracker.nodes
        if stall_after is None or nodes is None or self._tracker.idle < stall_after:
            return
        idle, named = duration(self._tracker.idle), nodes.name_laggards()
        raise StalledError(
            f"no node moved for {idle}, stall_after is {duration(stall_after)}"
            f"{f': {named}' if named else ''}; this came after {self.elapsed()}; {self.describe()}",
            pool=self.ref.url,
            next_step=f"Check what holds up the nodes; reboot or reimage the stuck nodes. {self._next_step()}",
        )

    def _prove(self, seen: Pool) -> Outcome[Pool] | float:
        """The pool runs the target: judge the nodes, or wait until the result is clear."""
        now, tracker, gate = self.waiter.now(), self._tracker, self._declared.gate
        try:
            nodes = self.waiter.call(lambda: self._service.list_nodes(self.ref))
        except TransientError as error:
            self._failed_lists += 1
            self.give_up_after(self._failed_lists, MAX_FAILURES, error)
            return self.retrying(error, self.schedule.after_failed_write(self._failed_lists, error))
        self._failed_lists = 0
        tracker.take(nodes, now)
        bad = unhealthy(nodes)
        self.unhealthy = len(bad)
        verdict = judge(nodes, gate, tracker.age(seen.seen_at))
        if isinstance(verdict, Failed):
            raise self._unhealthy(verdict)
        if isinstance(verdict, Passed):
            self.is_proven, self._judged = True, None
            return self._done(seen, f"; {verdict.why}")
        self._judged = verdict
        if isinstance(verdict, Soaking):
            self.say("soaking", "soaking", verdict.why)
            return min(NODE_INTERVAL, max(_SHORTEST_SOAK, verdict.left))
        self.say("proving", "the pool runs the target", verdict.why)
        self._give_up_on_a_stall()
        return NODE_INTERVAL

    def _unhealthy(self, verdict: Failed) -> UnhealthyError:
        return UnhealthyError(
            f"it runs {self.target}, but {verdict.why}: {name_nodes(verdict.nodes)}",
            pool=self.ref.url,
            next_step="Check their errors and start tasks; reboot, reimage or remove them, or declare a larger "
            f"max_unhealthy to accept them. {self._next_step()}",
        )

    def say(self, phase: str, why: str, detail: str = "") -> None:
        """Write a line, with node counts while an upgrade runs or nodes come back."""
        now = self.waiter.now()
        nodes = self._tracker.nodes if phase in ("upgrading", "joined", "proving") else None
        idle = self._tracker.idle if nodes is not None else 0.0
        elapsed = now - self.started
        # Before the first read, and during an upgrade to another version, the "from" is unknown.
        change = version.change(self._request.came_from, self.target)
        said = Progress(change, phase, why, elapsed, nodes, idle, detail)
        self.reporter.progress(said, now)

    def _done(self, seen: Pool, proof: str = "") -> Outcome[Pool]:
        """End with success; ``proof`` is the result of the gate, empty if none is declared."""
        target, tracker = self.target, self._tracker
        found = not self._request.is_accepted and same_version(self._request.came_from, target)
        if not proof and (self._report_always or not found):
            # The pool runs its target. A ^C does not change that; it only leaves out the count.
            with contextlib.suppress(Canceled):
                self._list_nodes()
        if found:
            self.reporter.summary(f"nothing was written{proof}; the pool already runs {version.short(target)}")
        else:
            back = f"{tracker.nodes}, " if tracker.nodes is not None and tracker.since is not None else ""
            change = version.change(self._request.came_from, target)
            self.reporter.summary(f"done, {back}{self.elapsed()}{proof}; {change}")
        if tracker.nodes is not None:
            self._report(tracker.nodes)
        return Outcome(seen)

    def _report(self, nodes: NodeCounts) -> None:
        """Warn of unhealthy nodes and of other nodes that are not back, also after a success."""
        bad = unhealthy(nodes.nodes)
        self.unhealthy = len(bad)
        if bad:
            number = f"{len(bad)} of {len(nodes.nodes)} nodes {plural(len(bad), 'is', 'are')} unhealthy"
            self.reporter.warn_once("unhealthy", f"the pool runs {self.target}, but {number}: {name_nodes(bad)}")
        late = [node for node in nodes.laggards() if node not in bad]
        if late:
            self.reporter.warn_once(
                "late", f"the pool runs {self.target}, but not every node is back: {name_nodes(late)}"
            )

    def _refused(self, action: Refuse) -> BatchOsError:
        ref, last = self.ref, self._request.last
        if last is not None and last.state is PoolState.DELETING:
            return PoolGoneError(action.reason, pool=ref.url, next_step=action.next_step)
        return RefusedError(action.reason, pool=ref.url, next_step=action.next_step, answer=action.answer)

    def defer(self) -> Outcome[Pool] | None:
        """At the deadline: succeed and report the state, if the program declares this and the pool was read."""
        last = self._request.last
        if not self._declared.defer or last is None:
            return None
        if self._request.is_reached:
            self.reporter.warn_once("deferred", f"{self.describe()}; the health check was deferred. {_AGAIN}")
            return Outcome(last, deferred=True)
        at = last.current_os_version or "an unknown version"
        text = f"still at {at}; upgrade to {self.target} was deferred: {self._counted() or self.describe()}. {_AGAIN}"
        self.reporter.warn_once("deferred", text)
        return Outcome(last, deferred=True)

    def describe(self) -> str:
        """What runs in Batch, in words."""
        described = self._request.describe(self._phase)
        return f"{described}; {self._judged.why}" if self._judged is not None else described

    def describe_all(self) -> str:
        """The same with the number of nodes that are back."""
        counted = self._counted()
        return f"{self.describe()} ({counted})" if counted else self.describe()

    def has_acted(self) -> bool:
        """Whether an upgrade to our target runs, or our write was sent."""
        return self._request.goes_on or self._request.is_accepted or self._request.is_lost

    def way_back(self) -> str:
        """How to go back. Pulumi keeps its old state when a step fails, so a revert needs a refresh to be a change."""
        back = "To go back instead, revert the program and run `pulumi up --refresh`"
        request = self._request
        return back if request.goes_on or (request.is_accepted and request.is_reached) else ""

    def missed(self) -> str:
        """What was not reached at the deadline."""
        return "the declared health was not confirmed" if self._request.is_reached else super().missed()

    def _counted(self) -> str:
        nodes = self._tracker.nodes
        return str(nodes) if self._request.goes_on and nodes is not None else ""
