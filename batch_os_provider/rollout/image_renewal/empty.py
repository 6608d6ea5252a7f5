"""The strategy ``empty``: drain the pool to no nodes, change its image, prove a canary, and fill the pool again.

Only an empty pool takes another image, and its next node comes from a new deployment. A pool without nodes shows
nothing of how it was before, so that is in its metadata (``EmptyMarker``) before the first change. Each step follows
from the marker, the targets, the formula, the image and the nodes, so another run can continue after any of them. The
module is pure. Its table, first match wins; "reached" means that new nodes get what is declared and no node is older:

=============================================  ==================================================
Seen (steady)                                  Then
=============================================  ==================================================
no marker, reached                             the table of ``decide``: Done
no marker, no nodes                            Repin at once
no marker, nodes                               Refuse what cannot work; else SetMarker
marker, an image, size or formula of another   Refuse; name both, change nothing
marker, a recorded failure                     ``put_back``
marker, the formula on, reached                SetMarker(None): the end
marker, the formula on                         HoldAutoscale
not reached, the marker names another version  SetMarker with the declared one added
not reached, nodes                             Drain; nodes left after this run's drain: Undo
not reached, no nodes                          Repin
reached, targets zero                          ResizeAll to the canary
reached, targets of the canary                 prove it: Wait, or Undo; then fill
reached, the formula was held                  EnableAutoscale with the same formula and interval
reached, targets as before                     nodes missing or coming: Wait, Refuse; else SetMarker(None)
=============================================  ==================================================

``put_back``: a changed image needs an empty pool first (Drain, Repin to the version before), then the targets or the
formula come back, then the marker goes. No task is stopped on the way.
"""

from __future__ import annotations

from dataclasses import replace

from batch_os_provider.batch.empty_marker import EmptyMarker
from batch_os_provider.batch.vm_pool import VmNode, VmPool
from batch_os_provider.batch.vm_target import ImageVersion, Target
from batch_os_provider.batch.vm_view import VmPoolView
from batch_os_provider.rollout.actions import Refuse, Wait
from batch_os_provider.rollout.image_renewal.empty_view import (
    by_hand,
    foreign,
    foreign_size,
    is_reached,
    is_same_formula,
    way_back,
)
from batch_os_provider.rollout.image_renewal.move import is_made_from, refuse_move, repin, same_image
from batch_os_provider.rollout.image_renewal.steps import (
    Drain,
    EnableAutoscale,
    HoldAutoscale,
    ImageAction,
    ImageHistory,
    Repin,
    ResizeAll,
    SetMarker,
    Undo,
)
from batch_os_provider.rollout.image_renewal.target_words import words_of
from batch_os_provider.rollout.progress import name_some
from batch_os_provider.schema.declared import ImagePolicy
from batch_os_provider.schema.units import duration
from batch_os_provider.wording import counted, plural

__all__ = [
    "capacity_back",
    "is_undoable",
    "leads_to_drain",
    "next_step",
    "no_time",
    "put_back",
    "restore",
    "too_late",
]

_ZERO = (0, 0)
_BROKEN = frozenset({"starttaskfailed", "unusable", "deallocated", "deallocating"})


def next_step(seen: VmPoolView, target: Target, policy: ImagePolicy, history: ImageHistory) -> ImageAction:
    """One step of the strategy for a steady pool that is not finished, or has the marker of the strategy."""
    pool, mark = seen.pool, seen.pool.emptying
    if mark is None:
        return history.failure or _begin(seen, target, policy)
    strange = foreign(seen, target, mark, history)
    if strange is not None:
        return strange
    if history.failure is not None:
        return put_back(seen, mark, history)
    if pool.base.autoscale:
        done = is_reached(seen, target) or policy.autoscale != "hold"
        return SetMarker(None) if done else HoldAutoscale()
    if not is_reached(seen, target):
        return _change(seen, target, mark, history)
    return _fill(seen, target, mark, history)


def _begin(seen: VmPoolView, target: Target, policy: ImagePolicy) -> ImageAction:
    """The first write, or why it would be in vain."""
    pool = seen.pool
    if pool.marker_text is not None:
        return Refuse(
            f"the pool's metadata entry batch-os holds {pool.marker_text!r}, which this provider did not write",
            "Remove or rename that metadata entry, then run `pulumi up` again",
            property="pool_id",
        )
    changes = not target.is_met_by(pool)
    guarded = pool.guarded_parts() if changes else []
    if guarded:
        return _guarded(pool, target, guarded)
    unfit = refuse_move(pool, target)
    if unfit is not None:
        return unfit
    if _is_empty(seen):
        return repin(pool, target.goal(pool))
    if pool.base.autoscale and policy.autoscale != "hold":
        return Refuse(
            "the pool scales itself by a formula, which would add nodes while the pool is emptied",
            'Declare autoscale="hold": `up` turns the formula off, and the same formula on again at the end',
            property="strategy",
        )
    scaled = (pool.formula, pool.interval) if pool.base.autoscale else ("", "")
    mark = EmptyMarker(pool.size, pool.target_spot, pool.product, (pool.pin_text,), *scaled, policy.canary)
    return SetMarker(mark.towards(target.goal(pool), pool.agent) if changes else mark)


def _guarded(pool: VmPool, target: Target, parts: list[str]) -> Refuse:
    to = target.text if target.image is None else str(target.goal(pool))
    return Refuse(
        f"the pool runs {pool.pin_text}, but a change would have to send {' and '.join(parts)} again, "
        "which Batch does not return in full or this release does not know",
        f"Change the image version to {to} where the pool is declared",
        property="strategy",
    )


def _change(seen: VmPoolView, target: Target, mark: EmptyMarker, history: ImageHistory) -> ImageAction:
    """The pool does not yet give what is declared: empty it, then change it."""
    pool = seen.pool
    goal = target.goal(pool)
    if not target.is_met_by(pool) and not same_image(mark.goal, goal):
        unfit = refuse_move(pool, target)
        return Undo(unfit) if unfit is not None else SetMarker(mark.towards(goal, pool.agent))
    if _is_empty(seen):
        guarded = pool.guarded_parts()
        # The spelling of the program, with the agent of the marker where Batch no longer lists the image.
        change = repin(pool, replace(goal, agent=goal.agent or mark.goal.agent))
        return Undo(_guarded(pool, target, guarded)) if guarded else change
    if not history.drains:
        return Drain()
    if pool.sizes == _ZERO or pool.resize_errors:
        return Undo(_stayed(seen, mark), may_defer=True)
    young = next((node for node in seen.nodes if target.is_behind(node)), None)
    if young is not None and pool.sizes == mark.canary_sizes:
        reason, following = words_of(target).new_node_is_behind(young, pool)
        return Undo(Refuse(f"{reason}; {_goes_back(pool, mark)}", following))
    return foreign_size(seen, mark)


def _stayed(seen: VmPoolView, mark: EmptyMarker) -> Refuse:
    """Nodes are left after the drain."""
    busy = sorted(seen.nodes, key=lambda node: (-node.running_tasks, node.node_id))
    tasks = sum(node.running_tasks for node in busy)
    names = name_some([f"{node.node_id} ({counted(node.running_tasks, 'task')})" for node in busy])
    did = plural(len(busy), "did not finish its tasks", "did not finish their tasks")
    errors = seen.pool.resize_errors
    why = f" (Batch says {errors[0]})" if errors else ""
    return Refuse(
        f"{counted(len(busy), 'node')} {did} in time: {names}{why}; {counted(tasks, 'task')} "
        f"{plural(tasks, 'still runs', 'still run')}, no task was stopped; {_goes_back(seen.pool, mark)}",
        "Run `pulumi up` again when the tasks are done, or declare a longer drain_timeout (a drain ends a minute "
        "before timeout at the latest). If Batch shows the schedulingState disabled on a node, enable it with "
        "`az batch node scheduling enable`",
        property="drain_timeout",
    )


def _goes_back(pool: VmPool, mark: EmptyMarker) -> str:
    size = "its formula" if mark.formula else counted(sum(mark.sizes), "node")
    if is_made_from(pool, mark.before):
        return f"this run puts the pool back to {size}"
    return f"this run puts the pool back to {way_back(mark)} and {size}"


def _fill(seen: VmPoolView, target: Target, mark: EmptyMarker, history: ImageHistory) -> ImageAction:
    """The pool gives what is declared: prove it with few nodes, then bring the others."""
    pool = seen.pool
    if pool.sizes == _ZERO and mark.canary_sizes != _ZERO:
        count = counted(sum(mark.canary_sizes), "node")
        return ResizeAll(*mark.canary_sizes, f"adding {count} to prove {_named(target, mark)}")
    if mark.formula or pool.sizes == mark.canary_sizes:
        unproven = _prove(seen, target, mark, history)
        if unproven is not None:
            return unproven
        if mark.formula:
            return EnableAutoscale(mark.formula, mark.interval)
        if pool.sizes != mark.sizes:
            return ResizeAll(*mark.sizes, f"filling the pool: {counted(sum(mark.sizes), 'node')}")
    return _filled(seen, mark, history) or SetMarker(None)


def _named(target: Target, mark: EmptyMarker) -> str:
    if mark.moves:
        return str(mark.goal)
    return target.text if isinstance(target, ImageVersion) else f"new nodes of {mark.goal.version}"


def _prove(seen: VmPoolView, target: Target, mark: EmptyMarker, history: ImageHistory) -> ImageAction | None:
    """The next step until every node of the canary is healthy; None then."""
    missing = _missing(seen, history)
    if isinstance(missing, Refuse):
        return Undo(Refuse(f"{missing.reason}; {_goes_back(seen.pool, mark)}", missing.next_step))
    if missing is not None:
        return missing
    numbers = target.numbers if isinstance(target, ImageVersion) else None
    wrong = next((node for node in seen.nodes if numbers and node.version not in (None, numbers)), None)
    back = _goes_back(seen.pool, mark)
    if wrong is not None:
        return Undo(
            Refuse(
                f"the pool is pinned to {target.text}, but the new node {wrong.node_id} shows {wrong.version_text}; "
                f"{back}",
                "Check the versions of the image in this region, or declare another target_image_version",
            )
        )
    broken = next((node for node in seen.nodes if node.has_failed or node.is_deallocated), None)
    if broken is not None:
        why = f": {broken.error}" if broken.error else ""
        return Undo(
            Refuse(
                f"the canary failed: the new node {broken.node_id} is {_state(broken)}{why}; {back}",
                "Fix the start task or the image, or declare another version, then run `pulumi up` again",
            )
        )
    waits = _starting([node for node in seen.nodes if not node.is_ready], len(seen.nodes))
    return None if waits is None else Wait("canary", waits.why)


def too_late(seen: VmPoolView, mark: EmptyMarker) -> Undo:
    """The end of a canary that is not ready shortly before the deadline: there is still time to go back."""
    names = name_some([f"{node.node_id} is {node.state}" for node in seen.nodes if not node.is_ready])
    return Undo(
        Refuse(
            f"the canary was not ready in time: {names}; {_goes_back(seen.pool, mark)}",
            "Check the start task of the new node, or declare a longer timeout, then run `pulumi up` again",
        ),
        may_defer=True,
    )


def leads_to_drain(action: ImageAction) -> bool:
    """Whether this step is one of those before the pool is empty."""
    begins = isinstance(action, SetMarker) and isinstance(action.marker, EmptyMarker)
    return begins or isinstance(action, HoldAutoscale | Drain)


def no_time(left: float, least: float, refused: str = "") -> Undo:
    """The end of a rollout that has too little time left to drain the pool: it would end with an empty pool.

    ``refused`` is the code of the last refusal by Batch, which has taken the time.
    """
    why = f"; Batch refused the last step with {refused}" if refused else ""
    return Undo(
        Refuse(
            f"{duration(max(left, 0.0))} of timeout is left, and to empty the pool takes up to {duration(least)}{why}",
            "Declare a longer timeout, or run `pulumi up` again",
            property="timeout",
        ),
        may_defer=True,
    )


def is_undoable(action: ImageAction, mark: EmptyMarker) -> bool:
    """Whether the pool goes back if Batch refuses this step for good. The steps that end a rollout stay to be done."""
    if isinstance(action, ResizeAll):
        return (action.size, action.spot) != mark.sizes
    return isinstance(action, HoldAutoscale | Drain | Repin)


def _state(node: VmNode) -> str:
    return node.state if node.state in _BROKEN else f"{node.state}, but its start task failed"


def _starting(nodes: list[VmNode], count: int) -> Wait | None:
    ready = plural(len(nodes), "is not ready", "are not ready")
    return Wait("proving", f"{len(nodes)} of {count} new nodes {ready} yet") if nodes else None


def _missing(seen: VmPoolView, history: ImageHistory) -> ImageAction | None:
    """What to do about missing nodes; None if none is missing. Batch adds no node without a new request."""
    pool = seen.pool
    lacks = sum(pool.sizes) - len(seen.nodes)
    if lacks <= 0:
        return None
    if pool.sizes not in history.sizes or not pool.resize_errors:
        return ResizeAll(*pool.sizes, "asking again for the missing nodes")
    more = counted(lacks, "more node")
    return Refuse(
        f"Batch could not allocate {more} of {sum(pool.sizes)} ({'; '.join(pool.resize_errors)})",
        "Ask for more core quota, then run `pulumi up` again: it asks for the missing nodes",
        property="pool_id",
    )


def _filled(seen: VmPoolView, mark: EmptyMarker, history: ImageHistory) -> ImageAction | None:
    """The next step until all nodes are back; None then. Batch adds and removes spot nodes at any time."""
    missing = _missing(seen, history) if seen.is_short or seen.pool.sizes not in history.sizes else None
    if isinstance(missing, Refuse):
        runs = f"the pool runs {seen.pool.pin_text}" if len(mark.pins) > 1 else "the canary is healthy"
        return Refuse(f"{runs}, but {missing.reason}", missing.next_step, property=missing.property)
    return missing or _starting([node for node in seen.nodes if node.is_coming], len(seen.nodes))


def put_back(  # noqa: PLR0911 - a table
    seen: VmPoolView, mark: EmptyMarker, history: ImageHistory, keep: Target | None = None
) -> ImageAction:
    """Restore what the marker says: image, then targets or formula; then clear the marker.

    ``keep`` is what another strategy declares: an image that it declares too stays.
    """
    pool = seen.pool
    if pool.base.autoscale:
        return SetMarker(None)
    kept = keep is not None and (
        is_reached(seen, keep) or (not isinstance(keep, ImageVersion) and keep.is_met_by(pool))
    )
    if not is_made_from(pool, mark.before) and not kept:
        guarded = pool.guarded_parts()
        if guarded:
            return Refuse(
                f"the image cannot go back to {way_back(mark)}: a change would have to send {' and '.join(guarded)}",
                f"Set the image version where the pool is declared, then {by_hand(seen)}",
                property="pool_id",
            )
        if _is_empty(seen):
            return repin(pool, mark.before)
        if pool.sizes != _ZERO or history.drains < _MOST_DRAINS:
            return Drain()
        names = name_some([node.node_id for node in seen.nodes])
        first = f"{history.failure.reason}; " if history.failure is not None else ""
        return Refuse(
            f"{first}the image cannot go back to {way_back(mark)} while new nodes finish their tasks: {names}",
            "Run `pulumi up` again when the tasks are done: it continues",
            property="drain_timeout",
        )
    if mark.formula:
        return EnableAutoscale(mark.formula, mark.interval)
    if pool.sizes != mark.sizes:
        return ResizeAll(*mark.sizes, "back to the size before the rollout")
    return SetMarker(None)


def restore(seen: VmPoolView, mark: EmptyMarker, history: ImageHistory) -> ImageAction:
    """One step of `batch-os restore`: back to the marker, also where another person changed the pool since."""
    pool = seen.pool
    if pool.product.casefold() != mark.image.casefold() and not mark.agent:
        return Refuse(
            f"the marker is of the image {mark.image}, and the pool now has {pool.product}: only a version is "
            "restored, since the marker does not have the node agent SKU of its image",
            "Set the image where the pool is declared, or remove the metadata entry batch-os",
        )
    if pool.base.autoscale and not (is_same_formula(pool, mark) and is_made_from(pool, mark.before)):
        return HoldAutoscale()
    return put_back(seen, mark, history)


_MOST_DRAINS = 3
"""Drains in one run: one to change the image, and two to change it back."""


def capacity_back(seen: VmPoolView) -> ImageAction | None:
    """The write that gives an empty pool of the image before its nodes again, for a run that ends now; None else."""
    pool, mark = seen.pool, seen.pool.emptying
    if mark is None or not pool.is_steady or pool.sizes != _ZERO or not is_made_from(pool, mark.before):
        return None
    if mark.formula:
        return EnableAutoscale(mark.formula, mark.interval)
    return ResizeAll(*mark.sizes, "back to the size before the rollout: the time is up")


def _is_empty(seen: VmPoolView) -> bool:
    return not seen.nodes and seen.pool.sizes == _ZERO
