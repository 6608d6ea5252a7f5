"""The cycle of ``surge``: add nodes, prove them, remove old ones, and begin again.

Only this module changes the size of a pool, and it must be able to continue from any state that an earlier run left.
So each step follows from the marker and the targets. A failure is undone before it is reported. The module is pure,
like the table that calls it. First match wins:

==========================================  ==========================================================
Seen (steady)                               Then
==========================================  ==========================================================
autoscale on                                Refuse, or with ``hold`` the marker first, then HoldAutoscale
no marker                                   SetMarker; Refuse if the first step cannot work
a marker from before the formula was off    SetMarker with the sizes of now
targets or nodes beyond the marker          Refuse: another actor resized the pool
more nodes than the target                  Resize to their number: some nodes did not leave
a target below the marker's                 Resize to the original targets, and ``surge`` more
the original targets, ``surge``             Resize to ``surge`` more
nodes missing                               Undo; where nodes have left, ask once more, then Refuse
new nodes behind, failed, starting          Undo, Undo, Wait
new nodes proven                            RemoveNodes
no node behind                              ``tidy``
==========================================  ==========================================================

With ``unavailable`` in the marker old nodes leave before new ones replace them. Without ``surge`` the canary can only
come after a first old node has left, so the first round is one node. How many more may leave follows from the nodes
that take tasks: nodes that are missing or not ready for any reason count against ``unavailable``.

A held formula is in the marker before it is turned off. ``tidy`` turns the same one on again, after the nodes of the
cycle have left by name: a formula would choose others.
"""

from __future__ import annotations

from dataclasses import replace

from batch_os_provider.batch.vm_pool import Marker, VmNode
from batch_os_provider.batch.vm_target import Target
from batch_os_provider.batch.vm_view import VmPoolView
from batch_os_provider.rollout.actions import Refuse, Wait
from batch_os_provider.rollout.image_renewal import surge_view
from batch_os_provider.rollout.image_renewal.empty_view import foreign_formula, is_same_formula
from batch_os_provider.rollout.image_renewal.steps import (
    EnableAutoscale,
    HoldAutoscale,
    ImageAction,
    ImageHistory,
    RemoveNodes,
    Resize,
    SetMarker,
    Undo,
)
from batch_os_provider.rollout.image_renewal.surge_view import MAX_REMOVED, added_since, foreign, untouched
from batch_os_provider.rollout.image_renewal.target_words import words_of
from batch_os_provider.rollout.progress import name_some
from batch_os_provider.schema.declared import ImagePolicy
from batch_os_provider.wording import counted, plural

__all__ = ["cycle", "hold", "may_hold", "not_comparable", "restore", "tidy"]


def cycle(  # noqa: PLR0911 - a table
    seen: VmPoolView, target: Target, policy: ImagePolicy, history: ImageHistory
) -> ImageAction:
    """One step of surge. It follows from the marker and the size, so an earlier run may have ended anywhere."""
    pool, mark, count = seen.pool, seen.pool.marker, len(seen.dedicated)
    old = surge_view.behind(seen, target, policy)
    if pool.marker_text is not None and mark is None:
        return _not_ours(seen)
    if mark is None:
        return history.failure or _begin(seen, policy, old)
    if not mark.begun:
        first = _begin(seen, policy, old, mark)
        return Undo(first) if isinstance(first, Refuse) else first
    if not surge_view.is_in_bounds(seen, mark):
        return foreign(seen, mark)
    left = tuple(node for node in old if node.node_id not in history.stayed)
    more = min(mark.surge, sum(node.dedicated for node in left))
    if count > pool.size or surge_view.owes(seen, mark):
        return _not_lower(seen, mark, more)
    if pool.size == mark.size and (not mark.unavailable or (more and count == pool.size)):
        if not left:
            return Undo(_stayed(history), may_defer=True)
        return _resize(mark, mark.size + more, f"adding {counted(more, 'node')}")
    if count < pool.size:
        return _allocation(seen, mark, history)
    if old and not left:
        return Undo(_stayed(history), may_defer=True)
    return _prove(seen, target, mark, history, left)


def hold(seen: VmPoolView, policy: ImagePolicy, old: tuple[VmNode, ...]) -> ImageAction:
    """The step for a pool that scales itself: the marker, which has the formula, and then the formula off."""
    pool, mark, count = seen.pool, seen.pool.marker, len(old)
    if policy.autoscale != "hold":
        return Refuse(
            f"{counted(count, 'node')} {plural(count, 'is', 'are')} behind, and the pool scales itself: "
            "Batch refuses to resize such a pool (409)",
            'Declare autoscale="hold": `up` turns the formula off, renews the nodes, and turns the same formula on '
            'again; or strategy="when_empty": nodes are renewed as the pool scales in and out',
            property="strategy",
        )
    if pool.marker_text is not None and mark is None:
        return _not_ours(seen)
    if mark is not None:
        return HoldAutoscale()
    first = _begin(seen, policy, old)
    if not isinstance(first, SetMarker) or not isinstance(first.marker, Marker):
        return first
    return SetMarker(replace(first.marker, formula=pool.formula, interval=pool.interval, begun=False))


def may_hold(seen: VmPoolView, policy: ImagePolicy) -> bool:
    """Whether the next step is to turn the formula off: the marker has it, and the cycle has not begun."""
    mark = seen.pool.marker
    return policy.autoscale == "hold" and mark is not None and not mark.begun


def _not_ours(seen: VmPoolView) -> Refuse:
    return Refuse(
        f"the pool's metadata entry batch-os holds {seen.pool.marker_text!r}, which this provider did not write",
        "Remove or rename that metadata entry, then run `pulumi up` again",
        property="pool_id",
    )


def _begin(
    seen: VmPoolView, policy: ImagePolicy, old: tuple[VmNode, ...], held: Marker | None = None
) -> SetMarker | Wait | Refuse:
    """The marker, or why the first step would be in vain. ``held`` is the marker with the formula that is off."""
    pool = seen.pool
    if pool.resize_errors and seen.is_short:
        return Refuse(
            f"its last resize failed ({pool.resize_errors[0]}), so adding nodes would fail too",
            "Resize the pool to a size that it can reach, then run `pulumi up` again",
            property="pool_id",
        )
    surge, unavailable = policy.surge_of(pool.size), policy.unavailable_of(sum(pool.sizes))
    nodes = seen.nodes if unavailable else seen.dedicated
    newest = max((node.allocated for node in nodes), default="")
    mark = Marker(pool.size, surge, newest, pool.target_spot if unavailable else 0, unavailable)
    if unavailable and not seen.is_short and not (surge and any(node.dedicated for node in old)):
        first = _next_to_leave(seen, mark, old, 0)
        if not isinstance(first, RemoveNodes):
            return first
    return SetMarker(mark if held is None else replace(mark, formula=held.formula, interval=held.interval))


def _resize(mark: Marker, size: int, why: str) -> Resize:
    """A resize, of spot nodes to their original target if the cycle may have lowered that."""
    return Resize(size, why, mark.spot if mark.unavailable else None)


def _not_lower(seen: VmPoolView, mark: Marker, more: int) -> Resize:
    """The resize after nodes were asked to leave: to the nodes that stayed, and at least to the original targets.

    ``more`` nodes are added for the next round.
    """
    pool, count = seen.pool, len(seen.dedicated)
    if count > pool.size:
        least = mark.size if mark.unavailable else 0
        return _resize(mark, max(count, least), "some nodes did not leave")
    lacks = sum(mark.sizes) - min(pool.size, mark.size) - pool.target_spot
    text = f"bringing back {counted(lacks, 'node')}"
    return _resize(mark, max(mark.size + more, count), f"{text}, adding {more}" if more else text)


def restore(seen: VmPoolView, mark: Marker) -> ImageAction:
    """One step of `batch-os restore`: back to the marker, also where another person changed the pool since."""
    if not mark.formula:
        return tidy(seen, mark)
    if seen.pool.base.autoscale:
        return SetMarker(None) if is_same_formula(seen.pool, mark) else HoldAutoscale()
    if mark.begun and surge_view.is_in_bounds(seen, mark):
        return tidy(seen, mark)
    return EnableAutoscale(mark.formula, mark.interval)


def tidy(seen: VmPoolView, mark: Marker) -> ImageAction:  # noqa: PLR0911 - a table
    """Restore the size and the number of nodes from before the cycle, the formula, then clear the marker.

    The nodes are removed by name, because Batch chooses the nodes itself when a pool shrinks. Failed nodes come first,
    then nodes behind the others, nodes that are not ready, and the newest nodes.
    """
    pool, count = seen.pool, len(seen.dedicated)
    if mark.formula and pool.base.autoscale:
        return foreign_formula(seen, mark) or SetMarker(None)
    if mark.formula and not mark.begun:
        return EnableAutoscale(mark.formula, mark.interval)
    if not surge_view.is_in_bounds(seen, mark):
        return foreign(seen, mark)
    if pool.base.autoscale:
        # Autoscale was turned on during the cycle. The formula now owns size and nodes; only the marker is ours.
        return SetMarker(None)
    if count > pool.size:
        return _not_lower(seen, mark, 0)
    surplus = count - mark.size
    if surplus <= 0:
        if pool.size != mark.size or surge_view.owes(seen, mark):
            return _resize(mark, mark.size, "back to the size before the renewal")
        return EnableAutoscale(mark.formula, mark.interval) if mark.formula else SetMarker(None)
    ours = [node for node in added_since(seen, mark) if node.dedicated]
    if len(ours) < surplus:
        return foreign(seen, mark)
    newest = max((node.version for node in ours if node.version is not None), default=())
    last_first = sorted(ours, key=lambda node: (node.allocated, node.node_id), reverse=True)
    chosen = sorted(last_first, key=lambda node: (not node.has_failed, node.version == newest, node.is_ready))
    return RemoveNodes(tuple(node.node_id for node in chosen[: min(surplus, MAX_REMOVED)]), ours=True)


def _stayed(history: ImageHistory) -> Refuse:
    names = sorted(history.stayed)
    did_not = plural(len(names), "did not finish its tasks", "did not finish their tasks")
    return Refuse(
        f"{counted(len(names), 'old node')} {did_not} within drain_timeout: {name_some(names)}; no task was stopped",
        "Run `pulumi up` again when their tasks are done, or declare a longer drain_timeout",
        property="drain_timeout",
    )


def _allocation(seen: VmPoolView, mark: Marker, history: ImageHistory) -> ImageAction:
    pool, count = seen.pool, len(seen.dedicated)
    if not pool.resize_errors:
        # Steady, too few nodes, no error: an interrupted undo. Batch adds no node without a new request.
        size = mark.size if count <= mark.size else pool.size
        return _resize(mark, size, "asking again for the missing nodes")
    if mark.unavailable and count < mark.size:
        return _still_missing(seen, mark, history)
    missing = pool.size - count
    return Undo(
        Refuse(
            f"Batch could not allocate {counted(missing, 'more node')} ({'; '.join(pool.resize_errors)}); "
            f"{untouched(seen, mark, pool.size - mark.size - missing)}",
            "Ask for more core quota, or declare a smaller surge, then run `pulumi up` again. Without spare quota "
            "declare surge=0, max_unavailable=1: then an old node leaves first",
            property="surge",
        )
    )


def _still_missing(seen: VmPoolView, mark: Marker, history: ImageHistory) -> ImageAction:
    """What to do if the nodes that have left cannot be replaced: the marker stays, so the next run asks again."""
    if mark.sizes not in history.sizes:
        return _resize(mark, mark.size, "asking again for the missing nodes")
    missing = mark.size - len(seen.dedicated)
    return Refuse(
        f"Batch could not bring back {counted(missing, 'node')} of {mark.size} "
        f"({'; '.join(seen.pool.resize_errors)}); the target size is still {mark.size}, and no other node was touched",
        "Free or ask for core quota, then run `pulumi up` again: it asks for the missing nodes and continues",
        property="max_unavailable",
    )


def _prove(  # noqa: PLR0911 - a table
    seen: VmPoolView, target: Target, mark: Marker, history: ImageHistory, left: tuple[VmNode, ...]
) -> ImageAction:
    """The newest nodes are the canary: no more old nodes are removed until they are healthy and new enough."""
    surplus = seen.pool.size - mark.size
    ours = sorted(added_since(seen, mark), key=lambda node: (node.allocated, node.node_id))
    if sum(node.dedicated for node in ours) < surplus:
        return foreign(seen, mark, "the added nodes cannot be distinguished from the others")
    canary = ours if mark.unavailable else ours[-surplus:]
    so_far = untouched(seen, mark, surplus)
    wrong = next((node for node in canary if target.is_behind(node)), None)
    if wrong is not None and wrong.node_id in history.found:
        # An earlier run added this node for an older target. Batch has not yet been asked for a node of this target.
        return tidy(seen, mark)
    if wrong is not None:
        reason, next_step = words_of(target).new_node_is_behind(wrong, seen.pool)
        return Undo(Refuse(f"{reason}; {so_far}", next_step))
    broken = next((node for node in ours if node.has_failed or (node.is_deallocated and node in canary)), None)
    if broken is not None:
        why = f": {broken.error}" if broken.error else ""
        return Undo(
            Refuse(
                f"the new node {broken.node_id} is {broken.state}{why}; {so_far}",
                "Fix the start task or the image, then run `pulumi up` again",
            )
        )
    starting = [node for node in ours if not node.is_ready and not node.is_deallocated]
    if starting:
        ready = plural(len(starting), "is not ready", "are not ready")
        return Wait("proving", f"{len(starting)} of {len(ours)} new nodes {ready} yet")
    if not left:
        return tidy(seen, mark)
    if mark.unavailable:
        leaves = _next_to_leave(seen, mark, left, surplus)
        return Undo(leaves, may_defer=True) if isinstance(leaves, Refuse) else leaves
    chosen = sorted(left, key=lambda node: (node.running_tasks, node.is_ready, node.node_id))[:surplus]
    return RemoveNodes(tuple(node.node_id for node in chosen[:MAX_REMOVED]))


def _next_to_leave(
    seen: VmPoolView, mark: Marker, left: tuple[VmNode, ...], surplus: int
) -> RemoveNodes | Wait | Refuse:
    """The old nodes that leave next, within ``unavailable``; why none may leave, if that is so.

    A node that is not ready takes no tasks anyway, so such nodes go first. A dedicated node goes before a spot node,
    whose replacement may not come.
    """
    is_proven = surplus > 0 or bool(added_since(seen, mark))
    most = surge_view.most_leaving(mark, surplus, is_proven=is_proven)
    in_order = sorted(left, key=lambda node: (node.is_ready, not node.dedicated, node.running_tasks, node.node_id))
    ready, spot = surge_view.spare(seen, mark), mark.unavailable
    chosen: list[str] = []
    for node in in_order:
        if len(chosen) == most or (node.is_ready and not ready) or (not node.dedicated and not spot):
            continue
        chosen.append(node.node_id)
        ready -= node.is_ready
        spot -= not node.dedicated
    if chosen:
        return RemoveNodes(tuple(chosen))
    down, missing = surge_view.not_ready(seen), max(0, sum(mark.sizes) + surplus - len(seen.nodes))
    coming = [node for node in down if node.is_coming]
    if coming:
        return Wait("proving", f"{counted(len(coming), 'node')} {plural(len(coming), 'is', 'are')} starting")
    names = name_some([f"{node.node_id} ({node.state})" for node in down])
    lacks = f"{counted(missing, 'node')} {plural(missing, 'is', 'are')} missing" if missing else ""
    fails = f"{counted(len(down), 'node')} {plural(len(down), 'is', 'are')} not ready: {names}" if down else ""
    return Refuse(
        f"{' and '.join(filter(None, (lacks, fails)))}; max_unavailable {mark.unavailable} allows no more",
        "Fix or remove these nodes (or set the size that the pool can have), or declare a larger max_unavailable, then "
        "run `pulumi up` again",
        property="max_unavailable",
    )


def not_comparable(seen: VmPoolView, target: Target, mark: Marker, node: VmNode, next_step: str) -> Refuse:
    """The refusal to continue with a failed canary: a new node that the target cannot judge."""
    so_far = untouched(seen, mark, max(seen.pool.size - mark.size, 0))
    return Refuse(f"{words_of(target).new_node_is_silent(node)}; {so_far}", next_step)
