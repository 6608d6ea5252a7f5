"""What it costs to empty a pool, in words for the row of a preview.

A pool without nodes is an outage, so its line names what waits, how long, and what comes back. The line follows from
the action of the table that `up` follows. ``plan`` puts the versions behind it.
"""

from __future__ import annotations

from dataclasses import dataclass

from batch_os_provider.batch.empty_marker import EmptyMarker
from batch_os_provider.batch.vm_view import VmPoolView
from batch_os_provider.preview.estimate import held_for, round_seconds
from batch_os_provider.rollout.actions import Wait
from batch_os_provider.rollout.image_renewal import steps
from batch_os_provider.schema.declared import ImagePolicy
from batch_os_provider.schema.units import duration
from batch_os_provider.wording import counted, plural

__all__ = ["EmptyCost", "empty_cost", "stopped_nodes"]


@dataclass(frozen=True)
class EmptyCost:
    """A line without its versions; ``tasks`` finish first. ``empties``: the pool will have no nodes for a while."""

    detail: str
    tasks: int = 0
    empties: bool = True


def empty_cost(
    seen: VmPoolView, policy: ImagePolicy, action: steps.ImageAction, timeout: float, drain_timeout: float
) -> EmptyCost:
    """The line for an action of the strategy ``empty``, or for its marker under another strategy.

    Args:
        seen: the pool and its nodes as read.
        policy: as declared.
        action: what `up` would do first; neither Done nor Refuse.
        timeout: seconds that an `up` waits at most.
        drain_timeout: seconds that the tasks of a node have at most.
    """
    mark = seen.pool.emptying
    tasks = sum(node.running_tasks for node in seen.nodes)
    if mark is None and isinstance(action, steps.SetMarker) and isinstance(action.marker, EmptyMarker):
        return EmptyCost(f"empties the pool: {_outage(seen, tasks, action.marker, min(timeout, drain_timeout))}", tasks)
    if mark is None:
        waits = f"{action.why}; " if isinstance(action, Wait) else "this up first cleans up after an earlier rollout; "
        return EmptyCost(f"{waits}then it empties the pool: {counted(len(seen.nodes), 'node')}", tasks)
    has = f"the pool has {len(seen.nodes)} of {counted(sum(mark.sizes), 'node')}"
    has += ", its formula is held" if mark.formula and not seen.pool.base.autoscale else ""
    if policy.strategy != "empty":
        return EmptyCost(
            f'this up puts the pool back after an unfinished strategy="empty": {has}', tasks, empties=False
        )
    if isinstance(action, steps.SetMarker) and action.marker is None:
        return EmptyCost("this up clears the marker of a finished rollout", empties=False)
    if isinstance(action, steps.Drain | steps.HoldAutoscale) and seen.nodes:
        outage = _outage(seen, tasks, mark, min(timeout, drain_timeout))
        return EmptyCost(f"continues to empty the pool: {outage}", tasks)
    return EmptyCost(f"this up continues an unfinished rollout: {has}", tasks)


def stopped_nodes(seen: VmPoolView) -> str:
    """The warning about deallocated nodes, which leave an emptied pool too."""
    count = len(seen.deallocated)
    leaves = plural(count, "leaves too, and a running one that is", "leave too, and running ones that are")
    return f"{counted(count, 'deallocated node')} {leaves} billed {plural(count, 'takes its', 'take their')} place"


def _outage(seen: VmPoolView, tasks: int, mark: EmptyMarker, at_most: float) -> str:
    first = (
        f"{counted(tasks, 'running task')} {plural(tasks, 'finishes', 'finish')} first (at most {duration(at_most)})"
    )
    count = sum(mark.sizes)
    starts = plural(count, "new one starts", "new ones start")
    then = f"{first if tasks else 'no task runs'}, then 0 nodes until about {count} {starts}"
    return f"{then}; {held_for(round_seconds(seen.pool), tasks)}" if mark.formula else then
