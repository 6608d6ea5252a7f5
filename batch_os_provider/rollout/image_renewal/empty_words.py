"""What the strategy ``empty`` says about its steps, and about a pool that a run leaves in the middle.

The table of ``empty`` decides; these words are for the line of a step and for the error that ends a run early.
"""

from __future__ import annotations

from batch_os_provider.batch.empty_marker import EmptyMarker
from batch_os_provider.batch.vm_view import VmPoolView
from batch_os_provider.rollout.image_renewal.empty_view import way_back
from batch_os_provider.rollout.image_renewal.steps import Drain, EnableAutoscale, HoldAutoscale, ResizeAll
from batch_os_provider.wording import counted, plural

__all__ = ["describe", "resizing", "words"]

_ZERO = (0, 0)


def resizing(seen: VmPoolView, mark: EmptyMarker) -> str:
    """What a resize under way does, in words."""
    pool = seen.pool
    nodes, tasks = len(seen.nodes), sum(node.running_tasks for node in seen.nodes)
    if pool.sizes == _ZERO and nodes:
        does, then = plural(nodes, "finishes", "finish"), plural(nodes, "leaves", "leave")
        return f"{counted(nodes, 'node')} {does} {counted(tasks, 'task')}, then {then}"
    if sum(pool.sizes) > nodes:
        return f"a resize is under way: {nodes} of {counted(sum(pool.sizes), 'node')}"
    return f"a resize is under way ({pool.base.allocation_text}); the rollout began at {sum(mark.sizes)}"


def words(action: Drain | ResizeAll | HoldAutoscale | EnableAutoscale, seen: VmPoolView) -> tuple[str, str]:
    """Phase and reason of a step, for its line."""
    if isinstance(action, Drain):
        return "drain", f"emptying the pool: {counted(len(seen.nodes), 'node')}"
    if isinstance(action, ResizeAll):
        return f"fill to {action.size + action.spot}", action.why
    turns = "off" if isinstance(action, HoldAutoscale) else "on again"
    return f"autoscale {turns}", f"turning the autoscale formula {turns}"


def describe(seen: VmPoolView, mark: EmptyMarker | None) -> str:
    """The progress so far, in words, for an error that ends a run early."""
    pool, nodes = seen.pool, len(seen.nodes)
    made_from = pool.made_from if mark is not None and mark.moves else f"image version {pool.pin_text}"
    has = f"the pool has {counted(nodes, 'node')} of {made_from}"
    if mark is None:
        return has
    text = f"{has}, a target of {sum(pool.sizes)}, and had {counted(sum(mark.sizes), 'node')} of {way_back(mark)}"
    held = mark.formula and not pool.base.autoscale
    text += "; its autoscale formula is held" if held else ""
    if sum(pool.sizes) < sum(mark.sizes) or held:
        text += "; it gets its nodes back by the next `pulumi up`, or by `batch-os restore`"
    return f"{text}; no task was stopped"
