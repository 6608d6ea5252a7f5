"""The cycle of ``surge``: add nodes, prove them, let as many old ones go, and begin again.

This is the only part that changes a pool's size, and it must be able to begin wherever an earlier run
has left it. Each step is read from the marker and the size; what fails is undone before it is told. Pure, like the
table that calls it.
"""

from __future__ import annotations

from batch_os_provider.batch.vm_pool import ImageVersion, Marker, VmNode, VmPoolView
from batch_os_provider.rollout.actions import Refuse, Wait
from batch_os_provider.rollout.image_renewal.steps import (
    ImageAction,
    ImageHistory,
    RemoveNodes,
    Resize,
    SetMarker,
    Undo,
)
from batch_os_provider.rollout.progress import name_some
from batch_os_provider.schema.declared import ImagePolicy
from batch_os_provider.wording import counted

__all__ = ["added_since", "cycle", "drains", "foreign", "is_left_in_order", "not_comparable", "tidy"]

MAX_REMOVED = 100
"""Nodes that one removenodes call may name (swagger)."""


def cycle(  # noqa: PLR0911 - a table
    seen: VmPoolView, target: ImageVersion, policy: ImagePolicy, history: ImageHistory
) -> ImageAction:
    """One step of surge: what to do is read from the marker and the size, wherever an earlier run has left it."""
    pool, mark, count = seen.pool, seen.pool.marker, len(seen.dedicated)
    behind = seen.behind(target.numbers)
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
                "Resize the pool to what it can have, then run `pulumi up` again",
                property="pool_id",
            )
        newest = max((node.allocated for node in seen.dedicated), default="")
        return SetMarker(Marker(pool.size, policy.surge, newest))
    if not _is_in_bounds(seen, mark):
        return foreign(seen, mark)
    if count > pool.size:
        # Nodes stayed that were asked to leave, and the size went down without them.
        return Resize(count, "nodes stayed that were asked to leave")
    if pool.size == mark.size:
        return _add(behind, history, mark)
    if count < pool.size:
        return _allocation(seen, mark)
    return _prove(seen, target, mark, history)


def drains(seen: VmPoolView, history: ImageHistory) -> str:
    """What a resize under way is about, in words: old nodes that finish their tasks, or somebody's resize."""
    leaving = [node for node in seen.dedicated if node.node_id in history.asked]
    if leaving:
        tasks = sum(node.running_tasks for node in leaving)
        one = len(leaving) == 1
        does = "finishes" if one else "finish"
        return (
            f"{counted(len(leaving), 'old node')} {does} {counted(tasks, 'task')}, then {'leaves' if one else 'leave'}"
        )
    return f"a resize is under way ({seen.pool.base.allocation_text})"


def tidy(seen: VmPoolView, mark: Marker) -> ImageAction:
    """Bring size and nodes back to where the cycle began, then clear the marker.

    By name, because on a shrink Batch would choose victims of its own: first what has failed or is
    behind the others, then what came last.
    """
    pool, count = seen.pool, len(seen.dedicated)
    if not _is_in_bounds(seen, mark):
        return foreign(seen, mark)
    if pool.base.autoscale:
        # Turned on since the cycle began: the formula has the say over size and nodes now, and only the marker is ours.
        return SetMarker(None)
    if count > pool.size:
        return Resize(count, "nodes stayed that were asked to leave")
    surplus = count - mark.size
    if surplus <= 0:
        return Resize(mark.size, "back to the size it had") if pool.size != mark.size else SetMarker(None)
    ours = added_since(seen, mark)
    if len(ours) < surplus:
        return foreign(seen, mark)
    newest = max((node.version for node in ours if node.version is not None), default=())
    last_first = sorted(ours, key=lambda node: (node.allocated, node.node_id), reverse=True)
    chosen = sorted(last_first, key=lambda node: (node.version == newest and not node.has_failed, node.is_ready))
    return RemoveNodes(tuple(node.node_id for node in chosen[: min(surplus, MAX_REMOVED)]), ours=True)


def is_left_in_order(seen: VmPoolView, behind: tuple[VmNode, ...], noted: Marker) -> bool:
    """Whether another run on the same pool has finished, and cleared the marker that both worked by."""
    return not behind and seen.pool.size == len(seen.dedicated) == noted.size


def _is_in_bounds(seen: VmPoolView, mark: Marker) -> bool:
    """Whether size and count are what our own steps can have made of them."""
    most = mark.size + mark.surge
    return mark.size <= seen.pool.size <= most and len(seen.dedicated) <= most


def foreign(seen: VmPoolView, mark: Marker, what: str = "somebody else resized it") -> Refuse:
    """The refusal to work on what our own steps cannot have made: which size is wanted only people can know."""
    size, count = seen.pool.size, len(seen.dedicated)
    now = f"the target is now {size}" if size != mark.size else f"there are {count} now"
    return Refuse(
        f"{what}: the rollout began at {mark.size} nodes and {now}; nothing more was changed",
        f"Set the size that you want, remove the metadata entry batch-os ({mark}) if it is there, "
        "then run `pulumi up` again",
        property="pool_id",
    )


def _add(behind: tuple[VmNode, ...], history: ImageHistory, mark: Marker) -> ImageAction:
    left = [node for node in behind if node.node_id not in history.stayed]
    if not left:
        return Undo(_stayed(history), may_defer=True)
    more = min(mark.surge, len(left))
    return Resize(mark.size + more, f"adding {more}")


def _stayed(history: ImageHistory) -> Refuse:
    names = sorted(history.stayed)
    whose = "its" if len(names) == 1 else "their"
    return Refuse(
        f"{counted(len(names), 'old node')} did not finish {whose} tasks within drain_timeout: {name_some(names)}; "
        "no task was stopped",
        "Run `pulumi up` again when their tasks are done, or declare a longer drain_timeout",
        property="drain_timeout",
    )


def _allocation(seen: VmPoolView, mark: Marker) -> ImageAction:
    pool = seen.pool
    if not pool.resize_errors:
        # Steady, short and without an error: an undo that was cut off. Nothing comes by itself; begin again.
        return Resize(mark.size if len(seen.dedicated) <= mark.size else pool.size, "asking again for what is missing")
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
    seen: VmPoolView, target: ImageVersion, mark: Marker, history: ImageHistory
) -> ImageAction:
    """The nodes that came last are the canary: healthy, and new enough, or no old node is touched."""
    surplus = seen.pool.size - mark.size
    ours = sorted(added_since(seen, mark), key=lambda node: (node.allocated, node.node_id))
    if len(ours) < surplus:
        return foreign(seen, mark, "the nodes that were added cannot be told from the others")
    behind = seen.behind(target.numbers)
    canary, old = ours[-surplus:], frozenset(node.node_id for node in behind)
    untouched = _untouched(seen, mark, surplus)
    wrong = next((node for node in canary if node.node_id in old), None)
    if wrong is not None and wrong.node_id in history.found:
        # Added by an earlier run, for an older target: Batch was not asked yet for a node of this one.
        return tidy(seen, mark)
    if wrong is not None:
        return Undo(
            Refuse(
                f"Batch still allocates {wrong.version_text} (node {wrong.node_id}); {untouched}",
                _older(wrong, target),
            )
        )
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
        ready = "is not ready" if len(starting) == 1 else "are not ready"
        return Wait("proving", f"{len(starting)} of {len(ours)} new nodes {ready} yet")
    leaving = [node for node in behind if node.node_id not in history.stayed]
    if not leaving:
        return Undo(_stayed(history), may_defer=True)
    chosen = sorted(leaving, key=lambda node: (node.running_tasks, node.is_ready, node.node_id))[:surplus]
    return RemoveNodes(tuple(node.node_id for node in chosen[:MAX_REMOVED]))


def _older(node: VmNode, target: ImageVersion) -> str:
    """What to do where Batch allocates an older version than the target."""
    if node.version is not None and target.is_of_another_product(node.version):
        first = node.version[0]
        return (
            f"Declare a target_image_version of the pool's own image ({first}.*), or move the work to a pool that is "
            f"made of the image with {target}"
        )
    return "Wait until the image version is offered in this region, or declare an older target_image_version"


def not_comparable(seen: VmPoolView, mark: Marker, node: VmNode, next_step: str) -> Refuse:
    """The refusal to go on with a new node whose version cannot be compared: a canary that has failed."""
    shows = f"{node.version_text!r} in place of a version number" if node.version_text else "no version number"
    untouched = _untouched(seen, mark, max(seen.pool.size - mark.size, 0))
    return Refuse(
        f"the new node {node.node_id} shows {shows}, so it cannot be compared; {untouched}",
        next_step,
    )


def _untouched(seen: VmPoolView, mark: Marker, surplus: int) -> str:
    """What can be said of the old nodes: the ones of ours beyond the surplus have taken somebody's place."""
    renewed = len(added_since(seen, mark)) - surplus
    if renewed <= 0:
        return "no old node was touched"
    return f"{counted(renewed, 'node')} {'is' if renewed == 1 else 'are'} renewed, no other was touched"


def added_since(seen: VmPoolView, mark: Marker) -> tuple[VmNode, ...]:
    """The nodes that came after the marker was made."""
    return tuple(node for node in seen.dedicated if mark.newest and node.allocated > mark.newest)
