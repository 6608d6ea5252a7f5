"""The renewal of a VM pool's nodes: the kind of rollout that ``PoolImageVersion`` runs.

It follows the table of ``decide`` in the loop of ``rollout``. Every step reads the pool and its nodes again, and every
write may safely be sent again: a marker, an absolute size, node ids. So only the marker in the pool has to survive a
crash.
"""

from __future__ import annotations

from dataclasses import replace

from batch_os_provider.batch.address import PoolRef
from batch_os_provider.batch.empty_marker import EmptyMarker
from batch_os_provider.batch.image_version import parse_image_version
from batch_os_provider.batch.pool import PoolState
from batch_os_provider.batch.service import VmService
from batch_os_provider.batch.vm_pool import VmPool
from batch_os_provider.batch.vm_target import ImageVersion
from batch_os_provider.batch.vm_view import VmPoolView
from batch_os_provider.errors import ConflictError, PermanentError, PoolGoneError, RefusedError, TransientError
from batch_os_provider.rollout.actions import GRACE, Done, Refuse, Wait
from batch_os_provider.rollout.context import RolloutContext
from batch_os_provider.rollout.image_renewal import (
    automatic,
    empty,
    empty_words,
    steps,
    summary,
    surge_time,
    surge_view,
    writes,
)
from batch_os_provider.rollout.image_renewal.decide import decide_image
from batch_os_provider.rollout.image_renewal.move import change_text, moves
from batch_os_provider.rollout.image_renewal.pace import Pace
from batch_os_provider.rollout.image_renewal.target_words import words_of
from batch_os_provider.rollout.loop import Outcome, Rollout
from batch_os_provider.rollout.poll_schedule import MAX_FAILURES
from batch_os_provider.rollout.progress import NODE_INTERVAL, RETRYING, Progress, name_some
from batch_os_provider.schema.declared import DeclaredImage
from batch_os_provider.wording import counted, plural

__all__ = ["ImageRenewal", "read_view"]

_ENABLED_TWICE, _ENABLE_PAUSE = "TooManyEnableAutoScaleRequests", 30.0
"""The refusal of a second enableautoscale, and the seconds that Batch wants between the two (status table)."""
_SHORTEST_DRAIN = 300.0
"""Seconds: the shortest resizeTimeout that Batch allows."""
_TIME_TO_GO_BACK = 60.0
"""Seconds before the deadline at which a drain ends, so that this run can still restore the size."""
_TIME_FOR_CANARY = 300.0
"""Seconds before the deadline at which a canary must be ready, so that this run can still go back."""
# Conflicts that end without a change of ours; the view may lag behind them.
_PASSING = frozenset({"PoolBeingResized", "PoolBeingCreated", "ConditionNotMet"})


def read_view(service: VmService, ref: PoolRef) -> VmPoolView:
    """Read the pool, then its nodes; of a pool of another kind only the pool."""
    pool = service.get_vm_pool(ref)
    return VmPoolView(pool, service.list_vm_nodes(ref) if pool.is_vm else ())


class ImageRenewal(Rollout[VmPoolView]):
    """One run of the loop for one VM pool.

    Args:
        declared: what the program declares.
        context: what the rollout gets from outside.
    """

    resumes = "Run `pulumi up` again: it continues from the pool's state, or undoes the unfinished renewal"

    def __init__(self, declared: DeclaredImage, context: RolloutContext[VmService]) -> None:
        super().__init__(declared.ref, declared.target.text, declared.timeout, context)
        self._declared = declared
        self._words = words_of(declared.target)
        self._service = context.service
        self._history = steps.ImageHistory()
        self._pace = Pace()
        self._seen: VmPoolView | None = None
        self._ordered = 0
        self._came_from = ""
        self._moved = ""
        self._written = 0
        self._lost_writes = 0
        self._refused: tuple[object, str, int] = (None, "", 0)
        self._refused_since = 0.0
        self._spent: set[str] = set()
        self._lagging_since: float | None = None
        self._counted_at = float("-inf")

    def observe(self) -> VmPoolView:
        """Read pool and nodes. During a resize the nodes decide nothing, so they are listed only for the line."""
        pool, seen = self._service.get_vm_pool(self.ref), self._seen
        if not pool.is_vm:
            return VmPoolView(pool, ())
        self._look_up(pool)
        goes_on = seen is not None and seen.pool.is_being_resized and pool.is_being_resized
        if seen is not None and goes_on and self.remaining() > 0 and not self._may_count():
            return VmPoolView(pool, seen.nodes)
        self._counted_at = self.waiter.now()
        return VmPoolView(pool, self._service.list_vm_nodes(self.ref))

    def _look_up(self, pool: VmPool) -> None:
        """Look up the node agent SKU of another image, once; a failure is that of a read."""
        image = self._declared.target.image
        if image is not None and image.needs_lookup(pool):
            found = image.looked_up(self._service.list_supported_images(), pool)
            self._declared = replace(self._declared, target=replace(self._declared.target, image=found))

    def _may_count(self) -> bool:
        due = self.waiter.now() - self._counted_at >= NODE_INTERVAL
        return due and self.polling.may_list_nodes(self.ref, NODE_INTERVAL)

    def follow(self, seen: VmPoolView) -> Outcome[VmPoolView] | float:
        """Decide and act."""
        action: steps.ImageAction = Wait("lagging", "Batch does not show the last change yet")
        if not self._lags(seen):
            self._record(seen)
            action = decide_image(seen, self._declared.target, self._declared.policy, self._history)
            action = self._in_time(action, seen)
        if isinstance(action, Done):
            return self._done(seen)
        if isinstance(action, Refuse):
            return self._refuse(action, seen)
        if isinstance(action, Wait):
            return self._wait(action)
        if isinstance(action, steps.Undo):
            self._history = steps.with_failure(self._history, action.failure, may_defer=action.may_defer)
            return 0.0
        # At the deadline a step that undoes is still allowed; a step that begins something is not.
        if self.remaining() <= 0 and self._history.failure is None and self._begins(action):
            back = empty.capacity_back(seen) or surge_time.capacity_back(seen)
            return self._write(back, seen) if back is not None else 0.0
        return self._write(action, seen)

    def _lags(self, seen: VmPoolView) -> bool:
        """Whether a view may be older than our last write; for at most ``GRACE``, since Batch documents neither sign.

        An accepted write ends the ETag that it was conditional on. A steady pool lists as many nodes as it reports.
        """
        pool, now = seen.pool, self.waiter.now()
        spot = len(seen.nodes) - len(seen.dedicated)
        differs = pool.current != len(seen.dedicated) or (self._counts_spot(seen) and pool.spot != spot)
        older = pool.base.etag in self._spent or (pool.is_steady and differs)
        if not older:
            self._lagging_since = None
        elif self._lagging_since is None:
            self._lagging_since = now
        return self._lagging_since is not None and now - self._lagging_since < GRACE

    def _in_time(self, action: steps.ImageAction, seen: VmPoolView) -> steps.ImageAction:
        """The action, or the way back if too little time is left for it: a deadline must not find an emptied pool."""
        mark = seen.pool.emptying
        if isinstance(action, Wait) and action.phase == "canary" and mark is not None:
            is_late = self.remaining() < min(_TIME_FOR_CANARY, self._declared.timeout / 4)
            return empty.too_late(seen, mark) if is_late else action
        least, is_empty = _SHORTEST_DRAIN + _TIME_TO_GO_BACK, self._declared.policy.strategy == "empty"
        begins = is_empty and self._history.failure is None and empty.leads_to_drain(action)
        if begins and self.remaining() < least:
            return empty.no_time(self.remaining(), least, self._refused[1])
        if self._history.failure is not None:
            return action
        return surge_time.in_time(
            action, seen, self.remaining(), least, min(_TIME_FOR_CANARY, self._declared.timeout / 4)
        )

    def _counts_spot(self, seen: VmPoolView) -> bool:
        """Whether spot nodes are part of what the rollout works on."""
        return self._is_emptying(seen) or (seen.pool.marker is not None and seen.pool.marker.unavailable > 0)

    def _is_emptying(self, seen: VmPoolView) -> bool:
        """Whether the strategy ``empty`` works on the pool: it counts spot nodes too."""
        return seen.pool.emptying is not None or self._declared.policy.strategy in ("empty", "restore")

    @staticmethod
    def _begins(action: steps.ImageAction) -> bool:
        undoes = isinstance(action, steps.SetMarker) and action.marker is None
        grows = isinstance(action, steps.ResizeAll | steps.EnableAutoscale)
        return not undoes and not grows and not (isinstance(action, steps.RemoveNodes) and action.ours)

    def _record(self, seen: VmPoolView) -> None:
        if self._seen is None:
            self._history = replace(self._history, found=frozenset(node.node_id for node in seen.nodes))
        self._seen, self._ordered = seen, seen.pool.size
        marker = seen.pool.marker or seen.pool.emptying
        if marker is not None:
            self._history = replace(self._history, marker=marker)
        self._came_from = self._came_from or self._begun_at(seen)
        self._moved = self._moved or self._move(seen)
        if seen.pool.is_steady and self._history.asked:
            there = {node.node_id for node in seen.nodes}
            stayed = self._history.asked & there
            if stayed:
                names, tasks = sorted(stayed), plural(len(stayed), "its tasks", "their tasks")
                self.reporter.warn_once(
                    f"stayed {names}",
                    f"{counted(len(names), 'old node')} did not finish {tasks} within drain_timeout: "
                    f"{name_some(names)}; no task was stopped",
                )
            history = self._history
            self._history = replace(history, asked=frozenset(), stayed=history.stayed | stayed)

    def _begun_at(self, seen: VmPoolView) -> str:
        """What the pool had before, for the lines."""
        if not self._is_emptying(seen) or not isinstance(self._declared.target, ImageVersion):
            return self._words.came_from(seen)
        mark = None if self._declared.policy.strategy == "restore" else seen.pool.emptying
        shown = mark.way_back if mark is not None else seen.pool.pin_text
        return shown if parse_image_version(shown) != self._declared.target.numbers else ""

    def _move(self, seen: VmPoolView) -> str:
        """From which image to which one, for the lines; empty if the pool keeps its image."""
        mark, target = seen.pool.emptying, self._declared.target
        if self._declared.policy.strategy == "restore":
            return ""
        if mark is not None and mark.moves and not moves(seen.pool, target):
            return change_text(mark.before, mark.goal)
        return change_text(seen.pool.made_from, target.goal(seen.pool)) if moves(seen.pool, target) else ""

    def _change(self, *, changes: bool = True) -> str:
        """From what to what, as the end of a line; only the target if nothing changes."""
        return (self._moved if changes else "") or self._words.change(self._came_from if changes else "")

    def _write(self, action: steps.ImageAction, seen: VmPoolView) -> float:
        """Send one write. A read follows every answer."""
        pool = seen.pool
        self.say(*writes.words(action, seen, self._declared.target, self._declared.policy))
        if isinstance(action, steps.SetMarker) and action.marker is None:
            # Also if the answer is lost: a view that still shows the marker restores it.
            self._history = replace(self._history, marker=None)
        try:
            self.waiter.call(
                lambda: writes.send(self._service, action, pool, self._leaving_time(action, pool)), write=True
            )
        except ConflictError as error:
            return self._refused_write(error, seen, action)
        except PermanentError as error:
            return self._undo_refused(error, seen, action)
        except TransientError as error:
            self._lost_writes += 1
            self.give_up_after(self._lost_writes, MAX_FAILURES, error)
            pause = self.schedule.after_failed_write(self._lost_writes, error)
            return self.retrying(error, max(pause, _ENABLE_PAUSE if error.code == _ENABLED_TWICE else 0.0))
        self._written += 1
        self._lost_writes = 0
        if pool.base.etag:
            self._spent.add(pool.base.etag)
        if isinstance(action, steps.Resize):
            self._ordered = action.size
        self._history = steps.with_accepted(self._history, action)
        self.schedule.reset()
        self._pace.begin(steps.waited_for(action), self.waiter.now())
        return 0.0

    def _leaving_time(self, action: steps.ImageAction, pool: VmPool) -> float:
        """Seconds that nodes may take to leave: a drain beyond our deadline would leave the pool without them.

        Whole seconds: no document says that Batch accepts a fraction in a resizeTimeout.
        """
        is_bounded = pool.marker is not None and surge_view.has_more(pool.marker)
        if isinstance(action, steps.RemoveNodes) and not is_bounded:
            return self._declared.drain_timeout
        left = max(_SHORTEST_DRAIN, self.remaining() - _TIME_TO_GO_BACK)
        return float(int(min(self._declared.drain_timeout, left)))

    def _undo_refused(self, error: PermanentError, seen: VmPoolView, action: steps.ImageAction) -> float:
        """A write that Batch will never accept: the pool first gets back what it lacks. Else raises the error."""
        emptying, mark = seen.pool.emptying, seen.pool.marker
        undoable = mark is not None and surge_time.is_undoable(action, mark)
        undoable = undoable if emptying is None else empty.is_undoable(action, emptying)
        if self._history.failure is not None or not undoable:
            raise error
        failure = Refuse(str(error.reason).rstrip("."), error.next_step, error.reply)
        self._history = steps.with_failure(self._history, failure)
        return 0.0

    def _refused_write(self, error: ConflictError, seen: VmPoolView, action: steps.ImageAction) -> float:
        """Read again. The same refusal twice for an unchanged pool ends the cycle, after an undo."""
        view = (seen.pool.base.fingerprint, type(action))
        times = self._refused[2] + 1 if self._refused[:2] == (view, error.code) else 1
        self._refused = (view, error.code, times)
        now = self.waiter.now()
        self._refused_since = now if times == 1 else self._refused_since
        # The deployment of a pool that has just become empty may still be going away.
        may_pass = isinstance(action, steps.Repin) and now - self._refused_since < GRACE
        if times > 1 and error.code not in _PASSING and not may_pass:
            mark = seen.pool.emptying
            is_undone = seen.pool.marker is not None or (mark is not None and empty.is_undoable(action, mark))
            if self._history.failure is not None or not is_undone:
                raise error
            why = f"Batch refused the same step twice while nothing changed: {error.reply}"
            failure = Refuse(why, "Read the service's text, then run `pulumi up` again", error.reply)
            self._history = steps.with_failure(self._history, failure)
        return self.retrying(error, self.schedule.after_failed_write(times, error))

    def next_read(self) -> float:
        """Seconds until the next read: the shared list, or what the steps of this run took so far."""
        shared = self.polling.pause(self.ref)
        return shared if shared is not None else self._pace.pause(self.waiter.now(), self.schedule.next_poll())

    def _wait(self, action: Wait) -> float:
        if action.warning:
            self.reporter.warn_once(action.warning, action.warning)
        self.schedule.enter(action.phase)
        self.say(action.phase, action.why)
        return self.next_read()

    def say(self, phase: str, why: str, detail: str = "") -> None:
        """Write a line."""
        now = self.waiter.now()
        elapsed, counts = now - self.started, self._counts() if phase != RETRYING else ""
        said = Progress(self._change(), phase, why, elapsed, detail=detail, counts=counts)
        self.reporter.progress(said, now)

    def _counts(self) -> str:
        """How many of the nodes are behind; empty before the first read and if the pool has no nodes."""
        seen = self._seen
        spot = seen is not None and surge_view.takes_spot(seen, self._declared.policy)
        if seen is None or not (seen.nodes if spot else seen.dedicated) or self._is_emptying(seen):
            return ""
        return steps.tally(seen, self._declared.target, spot=spot)

    def _done(self, seen: VmPoolView) -> Outcome[VmPoolView]:
        """Write the summary and its warnings."""
        declared = self._declared
        if declared.policy.strategy == "automatic":
            self.reporter.summary(f"nothing was written; {automatic.report(seen, declared.target)}")
        else:
            what = summary.reached(seen, declared, self._words)
            news = f"done, {what}, {self.elapsed()}" if self._written else f"nothing was written, {what}"
            self.reporter.summary(f"{news}; {self._change(changes=bool(self._written))}")
        for code, text in summary.warnings(seen, declared):
            self.reporter.warn_once(code, text)
        return Outcome(seen)

    def _refuse(self, action: Refuse, seen: VmPoolView) -> Outcome[VmPoolView]:
        """End with the refusal; a failure that needs only more time may be deferred."""
        if self._declared.defer and self._history.may_defer:
            text = f"{self._words.renewal} was deferred: {action.reason}. {action.next_step}"
            self.reporter.warn_once("deferred", text)
            return Outcome(seen, deferred=True)
        if action == self._history.failure:
            # This error reports the failure, and it is undone, so ``describe`` must not repeat it.
            self._history = replace(self._history, failure=None)
        kind = PoolGoneError if seen.pool.base.state is PoolState.DELETING else RefusedError
        raise kind(action.reason, pool=self.ref.url, next_step=action.next_step, answer=action.answer)

    def defer(self) -> Outcome[VmPoolView] | None:
        """At the deadline: succeed and report the state, if the program declares this and the pool was read."""
        failure = self._history.failure
        if not self._declared.defer or self._seen is None or (failure is not None and not self._history.may_defer):
            return None
        text = f"{self._words.renewal} was deferred: {self.describe()}. {self.resumes}"
        self.reporter.warn_once("deferred", text)
        return Outcome(self._seen, deferred=True)

    def missed(self) -> str:
        """What was not reached at the deadline."""
        return self._words.missed

    def describe(self) -> str:
        """The progress so far, in words."""
        seen, marker = self._seen, self._history.marker
        if seen is None:
            return "nothing was changed"
        failure = self._history.failure
        if isinstance(marker, EmptyMarker) or self._is_emptying(seen):
            text = empty_words.describe(seen, marker if isinstance(marker, EmptyMarker) else None)
            return f"{failure.reason}; undoing that: {text}" if failure is not None else text
        count = len(seen.dedicated)
        behind, judged = len(surge_view.behind(seen, self._declared.target, self._declared.policy)), len(seen.judged)
        judged += len(seen.nodes) - count if surge_view.takes_spot(seen, self._declared.policy) else 0
        text = f"{behind} of {judged} nodes {plural(behind, 'is', 'are')} behind"
        text += f", {len(seen.deallocated)} deallocated" if seen.deallocated else ""
        if marker is not None:
            text += f"; the renewal began at {counted(marker.size, 'node')}"
            extra = count - marker.size
            text += f", {extra} {plural(extra, 'is', 'are')} extra now" if extra > 0 else ""
            text += f", {-extra} {plural(-extra, 'is', 'are')} missing now" if extra < 0 else ""
            more = self._ordered - count if self._ordered > max(count, marker.size) else 0
            text += f", {more} more {plural(more, 'is', 'are')} ordered" if more else ""
            text += surge_view.held_words(seen)
            text += "; no task was stopped"
        elif not self._written:
            text += "; nothing is under way"
        return f"{failure.reason}; undoing that: {text}" if failure is not None else text

    def describe_all(self) -> str:
        """The same as ``describe``, which has the counts."""
        return self.describe()

    def has_acted(self) -> bool:
        """Whether this run has written something, or the pool has the marker of an unfinished renewal."""
        return bool(self._written) or self._history.marker is not None

    def way_back(self) -> str:
        """How to go back to the image of before; else empty, since on latest Batch allocates no older version."""
        marker = self._history.marker
        if not isinstance(marker, EmptyMarker) or len(marker.images) == 1:
            return ""
        if marker.moves:
            agent = f', node_agent_sku="{marker.agent}"' if marker.agent else ""
            return f'To go back declare target_image="{marker.image}", target_image_version="{marker.way_back}"{agent}'
        if parse_image_version(marker.way_back) is None:
            return ""
        return f'To go back declare target_image_version="{marker.way_back}"'
