"""What to do next with a VM pool: one table, first match wins, and the cycle of ``surge``.

Why it exists: nothing upgrades the nodes of a VM pool in place, so keeping it on an image version
means to let new nodes come and old ones go, without stopping a task and without ever having less
than it had. This is the pure part: what was seen, what is wanted and what this run has done, to
one action.

===============================================  ================================================
Seen                                             Then
===============================================  ================================================
deleting                                         Refuse
Cloud Services pool                              Refuse; print the ``PoolOsVersion`` to use
a state nobody has heard of                      Wait, with a warning
a resize under way                               Wait
a version that cannot be read, a gallery image   Refuse
nothing behind, pin fine                         Done (after the mark is cleared)
automatic OS upgrade on                          Wait and report; never write
pinned below target, empty                       Repin, or Refuse where a part could be lost
pinned below target, nodes present               ``when_empty`` waits, ``surge`` refuses
some behind, ``when_empty``                      Wait: scale-in and growth renew the pool
some behind, ``surge``, autoscale on             Refuse: a resize answers 409 there (the note is cleared)
some behind, ``surge``, fixed size               the cycle
===============================================  ================================================

The cycle, each step from what is seen, so that it can begin anywhere: note the size in the pool's
metadata; add nodes; prove that they are healthy and new enough; let as many old nodes finish their
tasks and go; again until none is behind; clear the note. Whatever fails is undone before it is
told: nodes that were added are removed by name, and the size goes back.

Sources: Batch 2025-06-01 (resize, removenodes, patch), ``upgradePolicy``; reimage and
disablescheduling are left out on purpose, see docs/vm-pools.md.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from batch_os_provider.decide import Done, Refuse, Wait
from batch_os_provider.pool import AllocationState, Kind, PoolState
from batch_os_provider.report import counted
from batch_os_provider.vm import Mark, Version, VmNode, VmPool, VmSeen

__all__ = [
    "ImageAction",
    "ImageHistory",
    "ImagePolicy",
    "PutMark",
    "RemoveNodes",
    "Repin",
    "Resize",
    "Undone",
    "decide_image",
    "dotted",
    "with_failure",
]

_COMING = ("creating", "starting")
MAX_REMOVED = 100
"""Nodes that one removenodes call may name (swagger)."""


@dataclass(frozen=True)
class ImagePolicy:
    """What the program declared: how nodes are renewed, and how many are added at a time."""

    strategy: Literal["surge", "when_empty"]
    surge: int = 1


@dataclass(frozen=True)
class ImageHistory:
    """What this run has done so far.

    ``noted`` is the note that it wrote or found, while it stands, and ``found`` the nodes that were there
    at its first look. ``failure`` ends the run as soon as
    everything is undone; ``may_defer``: time alone would mend it. ``asked`` are the nodes that were
    asked to leave, ``stayed`` those that did not in time.
    """

    noted: Mark | None = None
    found: frozenset[str] = frozenset()
    failure: Refuse | None = None
    may_defer: bool = False
    asked: frozenset[str] = frozenset()
    stayed: frozenset[str] = frozenset()


@dataclass(frozen=True)
class PutMark:
    """PATCH the pool's metadata: note the size that we start from, or (None) clear the note."""

    mark: Mark | None


@dataclass(frozen=True)
class Resize:
    """POST resize to this many dedicated nodes; spot nodes keep their target."""

    size: int
    why: str


@dataclass(frozen=True)
class RemoveNodes:
    """POST removenodes: these leave when their tasks are done. ``ours`` were added by the cycle and run nothing yet."""

    nodes: tuple[str, ...]
    ours: bool = False


@dataclass(frozen=True)
class Repin:
    """PATCH virtualMachineConfiguration as read, with only the image version changed."""

    version: str


@dataclass(frozen=True)
class Undone:
    """Something failed that has to be undone first: remember why, then decide again."""

    failure: Refuse
    may_defer: bool = False


ImageAction = Done | Wait | Refuse | PutMark | Resize | RemoveNodes | Repin | Undone


def dotted(version: Version) -> str:
    """A version as Azure spells it."""
    return ".".join(map(str, version))


def decide_image(seen: VmSeen, target: Version, policy: ImagePolicy, history: ImageHistory) -> ImageAction:  # noqa: C901, PLR0911 - a table
    """The next action for a VM pool, on a node list begun after our last write."""
    pool = seen.pool
    base = pool.base
    if base.state is PoolState.DELETING:
        return Refuse("it is being deleted", "Remove the resource from the program, or create the pool again")
    if base.kind is not Kind.VM:
        return _refuse_kind(pool)
    if base.state is not PoolState.ACTIVE or base.allocation is AllocationState.UNKNOWN:
        odd = f"state {base.state_text!r} with allocation state {base.allocation_text!r}"
        return Wait(
            "unknown state", f"Batch shows {odd}", f"Batch shows {odd}, which this release does not know; waiting"
        )
    if not pool.is_steady:
        return Wait("resizing", _resizing(seen, history))
    behind, unreadable = seen.behind(target), _unreadable(seen)
    if history.noted is not None and pool.mark is None and not _is_left_in_order(seen, behind, history.noted):
        return _foreign(seen, history.noted, "its note in the metadata is gone")
    pinned_below = not pool.is_latest and (pool.pin is None or pool.pin < target)
    if not behind and not pinned_below and not unreadable:
        return _finished(seen, history)
    if pool.automatic:
        why = f"{len(behind)} nodes behind; automatic OS upgrade is on and renews them, nothing is written"
        return Wait("automatic", why)
    if unreadable:
        return unreadable
    if pool.mark is not None and (pinned_below or policy.strategy == "when_empty" or base.autoscale):
        return _tidy(seen, pool.mark)
    if pinned_below:
        return _pinned(seen, target, policy)
    if policy.strategy == "when_empty":
        left = f"{len(behind)} of {len(seen.dedicated)} nodes behind"
        return Wait("until renewed", f"{left}; scale-in and growth renew them")
    if base.autoscale:
        return Refuse(
            f"{len(behind)} nodes are behind, and the pool scales itself: Batch refuses a resize there (409)",
            'Declare strategy="when_empty": nodes are renewed as the pool scales in and out',
        )
    return _cycle(seen, behind, policy, history)


def _refuse_kind(pool: VmPool) -> Refuse:
    ref = pool.base.ref
    return Refuse(
        "it is not a VM pool, so its nodes have no image version",
        f'Use PoolOsVersion("{ref.pool_id}", account_endpoint="{ref.endpoint}", pool_id="{ref.pool_id}", '
        f'target_os_version="{pool.base.current_os_version or "<version>"}") for a Cloud Services pool',
    )


def _unreadable(seen: VmSeen) -> ImageAction | None:
    """What to do where a version cannot be read; a node of ours that has failed is the cycle's business."""
    if seen.pool.gallery:
        return Refuse(
            f"it uses a gallery image ({seen.pool.image}), whose nodes tell no image version that can be compared",
            "Keep the version of a gallery image where the pool is declared; remove this resource",
        )
    ours = _ours(seen, seen.pool.mark) if seen.pool.mark is not None else ()
    unread = [node for node in seen.dedicated if node.version is None and not (node in ours and node.has_failed)]
    strange = next((node for node in unread if node.state not in _COMING), None)
    if strange is not None:
        told = f"{strange.version_text!r}" if strange.version_text else "none"
        return Refuse(
            f"the image version of node {strange.node_id} cannot be read (Batch tells {told})",
            "Look at the node's virtualMachineInfo.imageReference.exactVersion; remove the node if it is broken",
        )
    return Wait("allocating", f"{len(unread)} nodes are being created") if unread else None


def _resizing(seen: VmSeen, history: ImageHistory) -> str:
    leaving = [node for node in seen.dedicated if node.node_id in history.asked]
    if leaving:
        tasks = sum(node.running_tasks for node in leaving)
        one = len(leaving) == 1
        does = "finishes" if one else "finish"
        return (
            f"{counted(len(leaving), 'old node')} {does} {counted(tasks, 'task')}, then {'leaves' if one else 'leave'}"
        )
    return f"a resize is under way ({seen.pool.base.allocation_text})"


def _finished(seen: VmSeen, history: ImageHistory) -> ImageAction:
    """Nothing is behind: what a cycle has left is put in order, then it is done."""
    pool = seen.pool
    if pool.mark is not None:
        return _tidy(seen, pool.mark)
    if history.failure is not None:
        return history.failure
    if pool.resize_errors:
        return Refuse(
            f"no node is behind, but its last resize failed ({pool.resize_errors[0]}), so it is not as it was declared",
            "Resize the pool to what it can have, then run `pulumi up` again",
        )
    return Done()


def _tidy(seen: VmSeen, mark: Mark) -> ImageAction:
    """Bring size and nodes back to where the cycle began, then clear the note.

    By name, because on a shrink Batch would choose victims of its own: first what has failed or is
    behind the others, then what came last.
    """
    pool, count = seen.pool, len(seen.dedicated)
    if not _is_in_bounds(seen, mark):
        return _foreign(seen, mark)
    if pool.base.autoscale:
        # Turned on since the cycle began: the formula has the say over size and nodes now, and only the note is ours.
        return PutMark(None)
    if count > pool.size:
        return Resize(count, "nodes stayed that were asked to leave")
    surplus = count - mark.size
    if surplus <= 0:
        return Resize(mark.size, "back to the size it had") if pool.size != mark.size else PutMark(None)
    ours = _ours(seen, mark)
    if len(ours) < surplus:
        return _foreign(seen, mark)
    newest = max((node.version for node in ours if node.version is not None), default=())
    last_first = sorted(ours, key=lambda node: (node.allocated, node.node_id), reverse=True)
    chosen = sorted(last_first, key=lambda node: (node.version == newest and not node.has_failed, node.is_ready))
    return RemoveNodes(tuple(node.node_id for node in chosen[: min(surplus, MAX_REMOVED)]), ours=True)


def _is_left_in_order(seen: VmSeen, behind: tuple[VmNode, ...], noted: Mark) -> bool:
    """Whether another run on the same pool has finished, and cleared the note that both worked by."""
    return not behind and seen.pool.size == len(seen.dedicated) == noted.size


def _is_in_bounds(seen: VmSeen, mark: Mark) -> bool:
    """Whether size and count are what our own steps can have made of them."""
    most = mark.size + mark.surge
    return mark.size <= seen.pool.size <= most and len(seen.dedicated) <= most


def _pinned(seen: VmSeen, target: Version, policy: ImagePolicy) -> ImageAction:
    pool = seen.pool
    if not seen.nodes and pool.size == 0 and pool.target_spot == 0:
        guarded = pool.guarded_parts()
        if guarded:
            return Refuse(
                f"the pool is pinned to {pool.pin_text} and empty, but a change would have to send "
                f"{' and '.join(guarded)} again, which Batch does not give back whole",
                f"Change the image version to {dotted(target)} where the pool is declared",
            )
        return Repin(dotted(target))
    if policy.strategy == "when_empty":
        return Wait("until empty", f"pinned to {pool.pin_text} with {len(seen.nodes)} nodes; waiting until it is empty")
    return Refuse(
        f"the pool is pinned to {pool.pin_text}, so new nodes would get that version too, and its image cannot be "
        f"changed while it has nodes ({len(seen.nodes)})",
        'Declare strategy="when_empty" and let the pool go empty, or move the work to a second pool on the new version',
    )


def _cycle(  # noqa: PLR0911 - a table
    seen: VmSeen, behind: tuple[VmNode, ...], policy: ImagePolicy, history: ImageHistory
) -> ImageAction:
    """One step of surge: what to do is read from the note and the size, wherever an earlier run has left it."""
    pool, mark, count = seen.pool, seen.pool.mark, len(seen.dedicated)
    if pool.mark_text is not None and mark is None:
        return Refuse(
            f"the pool's metadata entry batch-os holds {pool.mark_text!r}, which is no note of this provider",
            "Remove or rename that metadata entry, then run `pulumi up` again",
        )
    if mark is None:
        if history.failure is not None:
            return history.failure
        if pool.resize_errors and count < pool.size:
            return Refuse(
                f"its last resize failed ({pool.resize_errors[0]}), so adding nodes would fail too",
                "Resize the pool to what it can have, then run `pulumi up` again",
            )
        newest = max((node.allocated for node in seen.dedicated), default="")
        return PutMark(Mark(pool.size, policy.surge, newest))
    if not _is_in_bounds(seen, mark):
        return _foreign(seen, mark)
    if history.failure is not None:
        return _tidy(seen, mark)
    if count > pool.size:
        # Nodes stayed that were asked to leave, and the size went down without them.
        return Resize(count, "nodes stayed that were asked to leave")
    if pool.size == mark.size:
        return _add(behind, history, mark)
    if count < pool.size:
        return _allocation(seen, mark)
    return _prove(seen, behind, mark, history)


def _foreign(seen: VmSeen, mark: Mark, what: str = "somebody else resized it") -> Refuse:
    size, count = seen.pool.size, len(seen.dedicated)
    now = f"the target is now {size}" if size != mark.size else f"there are {count} now"
    return Refuse(
        f"{what}: the rollout began at {mark.size} nodes and {now}; nothing more was changed",
        f"Set the size that you want, remove the metadata entry batch-os ({mark}) if it is there, "
        "then run `pulumi up` again",
    )


def _add(behind: tuple[VmNode, ...], history: ImageHistory, mark: Mark) -> ImageAction:
    left = [node for node in behind if node.node_id not in history.stayed]
    if not left:
        return Undone(_stayed(history), may_defer=True)
    more = min(mark.surge, len(left))
    return Resize(mark.size + more, f"adding {more}")


def _stayed(history: ImageHistory) -> Refuse:
    names = sorted(history.stayed)
    whose = "its" if len(names) == 1 else "their"
    named = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")  # noqa: PLR2004 - a few names
    return Refuse(
        f"{counted(len(names), 'old node')} did not finish {whose} tasks within drain_timeout: {named}; "
        "no task was stopped",
        "Run `pulumi up` again when their tasks are done, or declare a longer drain_timeout",
    )


def _allocation(seen: VmSeen, mark: Mark) -> ImageAction:
    pool = seen.pool
    if not pool.resize_errors:
        # Steady, short and without an error: an undo that was cut off. Nothing comes by itself; begin again.
        return Resize(mark.size if len(seen.dedicated) <= mark.size else pool.size, "asking again for what is missing")
    missing = pool.size - len(seen.dedicated)
    return Undone(
        Refuse(
            f"Batch could not allocate {missing} more nodes ({'; '.join(pool.resize_errors)}); "
            f"{_untouched(seen, mark, pool.size - mark.size - missing)}",
            "Ask for more core quota, or declare a smaller surge, then run `pulumi up` again",
        )
    )


def _prove(  # noqa: PLR0911 - a table
    seen: VmSeen, behind: tuple[VmNode, ...], mark: Mark, history: ImageHistory
) -> ImageAction:
    """The nodes that came last are the canary: healthy, and new enough, or no old node is touched."""
    surplus = seen.pool.size - mark.size
    ours = sorted(_ours(seen, mark), key=lambda node: (node.allocated, node.node_id))
    if len(ours) < surplus:
        return _foreign(seen, mark, "the nodes that were added cannot be told from the others")
    canary, old = ours[-surplus:], frozenset(node.node_id for node in behind)
    untouched = _untouched(seen, mark, surplus)
    wrong = next((node for node in canary if node.node_id in old), None)
    if wrong is not None and wrong.node_id in history.found:
        # Added by an earlier run, for an older target: Batch was not asked yet for a node of this one.
        return _tidy(seen, mark)
    if wrong is not None:
        return Undone(
            Refuse(
                f"Batch still allocates {wrong.version_text} (node {wrong.node_id}); {untouched}",
                "Wait until the image version is offered in this region, or declare an older target_image_version",
            )
        )
    broken = next((node for node in ours if node.has_failed), None)
    if broken is not None:
        why = f": {broken.error}" if broken.error else ""
        return Undone(
            Refuse(
                f"the new node {broken.node_id} is {broken.state}{why}; {untouched}",
                "Mend the start task or the image, then run `pulumi up` again",
            )
        )
    starting = [node for node in ours if not node.is_ready]
    if starting:
        return Wait("proving", f"{len(starting)} of {len(ours)} new nodes are not ready yet")
    leaving = [node for node in behind if node.node_id not in history.stayed]
    if not leaving:
        return Undone(_stayed(history), may_defer=True)
    chosen = sorted(leaving, key=lambda node: (node.running_tasks, node.is_ready, node.node_id))[:surplus]
    return RemoveNodes(tuple(node.node_id for node in chosen[:MAX_REMOVED]))


def _untouched(seen: VmSeen, mark: Mark, surplus: int) -> str:
    """What can be said of the old nodes: the ones of ours beyond the surplus have taken somebody's place."""
    renewed = len(_ours(seen, mark)) - surplus
    return f"{renewed} nodes are renewed, no other was touched" if renewed > 0 else "no old node was touched"


def _ours(seen: VmSeen, mark: Mark) -> tuple[VmNode, ...]:
    """The nodes that came after the note was made."""
    return tuple(node for node in seen.dedicated if mark.newest and node.allocated > mark.newest)


def with_failure(history: ImageHistory, failure: Refuse, *, may_defer: bool = False) -> ImageHistory:
    """Remember why the cycle has to be undone; the first reason counts."""
    if history.failure is not None:
        return history
    return replace(history, failure=failure, may_defer=may_defer)
