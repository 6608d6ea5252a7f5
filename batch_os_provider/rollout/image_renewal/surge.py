"""The cycle of ``surge``: add nodes, prove them, remove as many old nodes, and begin again.

Only this module changes the size of a pool, and it must be able to continue from any state that an earlier run left.
So each step follows from the marker and the size. A failure is undone before it is reported. The module is pure, like
the table that calls it.
"""

from __future__ import annotations

from batch_os_provider.batch.vm_pool import Marker, VmNode
from batch_os_provider.batch.vm_target import Target
from batch_os_provider.batch.vm_view import VmPoolView
from batch_os_provider.rollout.actions import Refuse, Wait
from batch_os_provider.rollout.image_renewal.steps import (
    ImageAction,
    ImageHistory,
    RemoveNodes,
    Resize,
    SetMarker,
    Undo,
)
from batch_os_provider.rollout.image_renewal.target_words import words_of
from batch_os_provider.rollout.progress import name_some
from batch_os_provider.schema.declared import ImagePolicy
from batch_os_provider.wording import counted, plural

__all__ = ["added_since", "cycle", "drains", "foreign", "is_left_in_order", "not_comparable", "tidy"]

MAX_REMOVED = 100
"""Nodes that one removenodes call may name (swagger)."""


def cycle(  # noqa: PLR0911 - a table
    seen: VmPoolView, target: Target, policy: ImagePolicy, history: ImageHistory
) -> ImageAction:
    """One step of surge. It follows from the marker and the size, so an earlier run may have ended anywhere."""
    pool, mark, count = seen.pool, seen.pool.marker, len(seen.dedicated)
    behind = seen.behind(target)
    if pool.marker_text is not None and mark is None:
        return Refuse(
            f"the pool's metadata entry batch-os holds {pool.marker_text!r}, which this provider did not write",
            "Remove or rename that metadata entry, then run `pulumi up` again",
            property="pool_id",
        )
    if mark is None:
        if history.failure is not None:
            return history.failure
        if pool.resize_errors and count < pool.size:
            return Refuse(
                f"its last resize failed ({pool.resize_errors[0]}), so adding nodes would fail too",
                "Resize the pool to a size that it can reach, then run `pulumi up` again",
                property="pool_id",
            )
        newest = max((node.allocated for node in seen.dedicated), default="")
        return SetMarker(Marker(pool.size, policy.surge_of(pool.size), newest))
    if not _is_in_bounds(seen, mark):
        return foreign(seen, mark)
    if count > pool.size:
        # Some nodes did not leave, but the target size is lower already.
        return Resize(count, "some nodes did not leave")
    if pool.size == mark.size:
        return _add(behind, history, mark)
    if count < pool.size:
        return _allocation(seen, mark)
    return _prove(seen, target, mark, history)


def drains(seen: VmPoolView, history: ImageHistory) -> str:
    """What a resize under way does, in words: old nodes finish their tasks, or another actor resizes the pool."""
    leaving = [node for node in seen.dedicated if node.node_id in history.asked]
    if leaving:
        tasks = sum(node.running_tasks for node in leaving)
        does, then = plural(len(leaving), "finishes", "finish"), plural(len(leaving), "leaves", "leave")
        return f"{counted(len(leaving), 'old node')} {does} {counted(tasks, 'task')}, then {then}"
    return f"a resize is under way ({seen.pool.base.allocation_text})"


def tidy(seen: VmPoolView, mark: Marker) -> ImageAction:
    """Restore the size and the number of nodes from before the cycle, then clear the marker.

    The nodes are removed by name, because Batch chooses the nodes itself when a pool shrinks. Failed nodes come first,
    then nodes behind the others, nodes that are not ready, and the newest nodes.
    """
    pool, count = seen.pool, len(seen.dedicated)
    if not _is_in_bounds(seen, mark):
        return foreign(seen, mark)
    if pool.base.autoscale:
        # Autoscale was turned on during the cycle. The formula now owns size and nodes; only the marker is ours.
        return SetMarker(None)
    if count > pool.size:
        return Resize(count, "some nodes did not leave")
    surplus = count - mark.size
    if surplus <= 0:
        return Resize(mark.size, "back to the size before the renewal") if pool.size != mark.size else SetMarker(None)
    ours = added_since(seen, mark)
    if len(ours) < surplus:
        return foreign(seen, mark)
    newest = max((node.version for node in ours if node.version is not None), default=())
    last_first = sorted(ours, key=lambda node: (node.allocated, node.node_id), reverse=True)
    chosen = sorted(last_first, key=lambda node: (not node.has_failed, node.version == newest, node.is_ready))
    return RemoveNodes(tuple(node.node_id for node in chosen[: min(surplus, MAX_REMOVED)]), ours=True)


def is_left_in_order(seen: VmPoolView, behind: tuple[VmNode, ...], noted: Marker) -> bool:
    """Whether another run on the same pool has finished and cleared the marker of both."""
    return not behind and seen.pool.size == len(seen.dedicated) == noted.size


def _is_in_bounds(seen: VmPoolView, mark: Marker) -> bool:
    """Whether our own steps can lead to this size and this number of nodes."""
    most = mark.size + mark.surge
    return mark.size <= seen.pool.size <= most and len(seen.dedicated) <= most


def foreign(seen: VmPoolView, mark: Marker, what: str = "another person or program resized the pool") -> Refuse:
    """The refusal of a size that our own steps cannot lead to: only the owner knows which size is right."""
    size, count = seen.pool.size, len(seen.dedicated)
    now = f"the target is now {size}" if size != mark.size else f"there {plural(count, 'is', 'are')} {count} now"
    return Refuse(
        f"{what}: the rollout began at {counted(mark.size, 'node')} and {now}; nothing more was changed",
        f"Set the size that you want, remove the metadata entry batch-os ({mark}) if it is there, "
        "then run `pulumi up` again",
        property="pool_id",
    )


def _add(behind: tuple[VmNode, ...], history: ImageHistory, mark: Marker) -> ImageAction:
    left = [node for node in behind if node.node_id not in history.stayed]
    if not left:
        return Undo(_stayed(history), may_defer=True)
    more = min(mark.surge, len(left))
    return Resize(mark.size + more, f"adding {counted(more, 'node')}")


def _stayed(history: ImageHistory) -> Refuse:
    names = sorted(history.stayed)
    did_not = plural(len(names), "did not finish its tasks", "did not finish their tasks")
    return Refuse(
        f"{counted(len(names), 'old node')} {did_not} within drain_timeout: {name_some(names)}; no task was stopped",
        "Run `pulumi up` again when their tasks are done, or declare a longer drain_timeout",
        property="drain_timeout",
    )


def _allocation(seen: VmPoolView, mark: Marker) -> ImageAction:
    pool = seen.pool
    if not pool.resize_errors:
        # Steady, too few nodes, no error: an interrupted undo. Batch adds no node without a new request.
        return Resize(
            mark.size if len(seen.dedicated) <= mark.size else pool.size, "asking again for the missing nodes"
        )
    missing = pool.size - len(seen.dedicated)
    return Undo(
        Refuse(
            f"Batch could not allocate {counted(missing, 'more node')} ({'; '.join(pool.resize_errors)}); "
            f"{_untouched(seen, mark, pool.size - mark.size - missing)}",
            "Ask for more core quota, or declare a smaller surge, then run `pulumi up` again",
            property="surge",
        )
    )


def _prove(  # noqa: PLR0911 - a table
    seen: VmPoolView, target: Target, mark: Marker, history: ImageHistory
) -> ImageAction:
    """The newest nodes are the canary: no old node is removed until they are healthy and new enough."""
    surplus = seen.pool.size - mark.size
    ours = sorted(added_since(seen, mark), key=lambda node: (node.allocated, node.node_id))
    if len(ours) < surplus:
        return foreign(seen, mark, "the added nodes cannot be distinguished from the others")
    behind = seen.behind(target)
    canary, old = ours[-surplus:], frozenset(node.node_id for node in behind)
    untouched = _untouched(seen, mark, surplus)
    wrong = next((node for node in canary if node.node_id in old), None)
    if wrong is not None and wrong.node_id in history.found:
        # An earlier run added this node for an older target. Batch has not yet been asked for a node of this target.
        return tidy(seen, mark)
    if wrong is not None:
        reason, next_step = words_of(target).new_node_is_behind(wrong, seen.pool)
        return Undo(Refuse(f"{reason}; {untouched}", next_step))
    broken = next((node for node in ours if node.has_failed or (node.is_deallocated and node in canary)), None)
    if broken is not None:
        why = f": {broken.error}" if broken.error else ""
        return Undo(
            Refuse(
                f"the new node {broken.node_id} is {broken.state}{why}; {untouched}",
                "Fix the start task or the image, then run `pulumi up` again",
            )
        )
    starting = [node for node in ours if not node.is_ready and not node.is_deallocated]
    if starting:
        ready = plural(len(starting), "is not ready", "are not ready")
        return Wait("proving", f"{len(starting)} of {len(ours)} new nodes {ready} yet")
    leaving = [node for node in behind if node.node_id not in history.stayed]
    if not leaving:
        return Undo(_stayed(history), may_defer=True)
    chosen = sorted(leaving, key=lambda node: (node.running_tasks, node.is_ready, node.node_id))[:surplus]
    return RemoveNodes(tuple(node.node_id for node in chosen[:MAX_REMOVED]))


def not_comparable(seen: VmPoolView, target: Target, mark: Marker, node: VmNode, next_step: str) -> Refuse:
    """The refusal to continue with a failed canary: a new node that the target cannot judge."""
    untouched = _untouched(seen, mark, max(seen.pool.size - mark.size, 0))
    return Refuse(f"{words_of(target).new_node_is_silent(node)}; {untouched}", next_step)


def _untouched(seen: VmPoolView, mark: Marker, surplus: int) -> str:
    """What happened to the old nodes, in words. Each new node beyond the surplus has replaced an old node."""
    renewed = len(added_since(seen, mark)) - surplus
    if renewed <= 0:
        return "no old node was touched"
    return f"{counted(renewed, 'node')} {plural(renewed, 'is', 'are')} renewed, no other node was touched"


def added_since(seen: VmPoolView, mark: Marker) -> tuple[VmNode, ...]:
    """The nodes that were allocated after the marker was written."""
    return tuple(node for node in seen.dedicated if mark.newest and node.allocated > mark.newest)
