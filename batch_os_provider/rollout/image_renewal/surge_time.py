"""The cycle of ``surge`` and the deadline: a pool that lacks nodes or its formula must get them back in time.

A run that ends between two steps leaves its marker, and the next run continues. But until then the pool has fewer nodes
(``max_unavailable``) or does not scale (a held formula). So such a run begins no round that it cannot end. The module
is pure.
"""

from __future__ import annotations

from batch_os_provider.batch.vm_pool import Marker
from batch_os_provider.batch.vm_view import VmPoolView
from batch_os_provider.rollout.actions import Refuse, Wait
from batch_os_provider.rollout.image_renewal import surge_view
from batch_os_provider.rollout.image_renewal.steps import (
    EnableAutoscale,
    HoldAutoscale,
    ImageAction,
    RemoveNodes,
    Resize,
    SetMarker,
    Undo,
)
from batch_os_provider.rollout.image_renewal.surge_view import untouched
from batch_os_provider.rollout.progress import name_some
from batch_os_provider.schema.units import duration

__all__ = ["capacity_back", "in_time", "is_undoable"]


def in_time(action: ImageAction, seen: VmPoolView, left: float, round_takes: float, proof_takes: float) -> ImageAction:
    """The action, or the way back if too little time is left for it.

    Args:
        action: a step of a cycle without a recorded failure.
        seen: the pool and its nodes as read.
        left: seconds until the deadline.
        round_takes: seconds that must be left when a round begins.
        proof_takes: seconds before the deadline at which new nodes must be ready while a formula is held.
    """
    mark, holds = seen.pool.marker, isinstance(action, HoldAutoscale)
    if mark is None or not (holds or surge_view.gives_back(seen)):
        return action
    if isinstance(action, Wait) and action.phase == "proving" and surge_view.is_held(seen):
        return _too_late(seen, mark) if left < proof_takes else action
    adds = isinstance(action, Resize) and action.size > mark.size
    leaves = isinstance(action, RemoveNodes) and not action.ours
    return _no_time(left, round_takes) if (holds or adds or leaves) and left < round_takes else action


def capacity_back(seen: VmPoolView) -> Resize | EnableAutoscale | None:
    """The write that brings back a formula or nodes that have left, for a run that ends now; None if none is needed."""
    pool, mark = seen.pool, seen.pool.marker
    if mark is None or not pool.is_steady or pool.base.autoscale:
        return None
    if mark.formula:
        return EnableAutoscale(mark.formula, mark.interval)
    if not surge_view.owes(seen, mark):
        return None
    return Resize(max(pool.size, mark.size), "back to the size before the renewal: the time is up", mark.spot)


def is_undoable(action: ImageAction, mark: Marker) -> bool:
    """Whether the pool gets back what it lacks if Batch refuses this step for good. Its last steps stay to be done."""
    if not surge_view.has_more(mark):
        return False
    return isinstance(action, HoldAutoscale | RemoveNodes | Resize) or (
        isinstance(action, SetMarker) and action.marker is not None
    )


def _too_late(seen: VmPoolView, mark: Marker) -> Undo:
    """The end of a proof shortly before the deadline: there is still time to turn the formula on again."""
    names = name_some([f"{node.node_id} is {node.state}" for node in surge_view.not_ready(seen)])
    return Undo(
        Refuse(
            f"the nodes were not ready in time: {names}; {untouched(seen, mark, seen.pool.size - mark.size)}",
            "Check the start task of the new nodes, or declare a longer timeout, then run `pulumi up` again",
        ),
        may_defer=True,
    )


def _no_time(left: float, least: float) -> Undo:
    """The end of a rollout that has too little time left for another round, after which the pool lacks nothing."""
    return Undo(
        Refuse(
            f"{duration(max(left, 0.0))} of timeout is left, and another round takes up to {duration(least)}",
            "Declare a longer timeout, or run `pulumi up` again: it continues",
            property="timeout",
        ),
        may_defer=True,
    )
