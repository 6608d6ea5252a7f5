"""What to do next with a VM pool: one table, first match wins, and the cycle of ``surge``.

Batch does not upgrade the nodes of a VM pool in place. A pool gets a new image version through new nodes, and the old
nodes leave. No task is stopped, and the pool never has fewer nodes than before. This module is pure: the pool, the
target, the policy and the history of this run give one action.

===============================================  ================================================
Seen                                             Then
===============================================  ================================================
deleting                                         Refuse
Cloud Services pool                              Refuse; print the ``PoolOsVersion`` to use
``automatic``                                    Done, or Refuse if the policy is off; never a write or a wait
a declared moment in the future                  Refuse: a new node would be behind too
automatic OS upgrade on, without a marker        Refuse; name ``automatic``
an unknown state                                 Wait, with a warning
a resize under way                               Wait
``restore`` (no input: `batch-os restore`)       go back to the marker
``empty``, or its marker                         the table of ``empty``
the marker of this run is gone                   Refuse: another person or program works on the pool
a held formula, and now another one              Refuse; name both, change nothing
nodes that cannot be compared                    Refuse; if there is a marker, undo first
nothing behind, pin fine, nodes missing          Refuse with the error of the last resize
nothing behind, pin fine                         Done (after the marker is cleared)
a recorded failure, the marker still there       undo: one step of ``tidy``
nodes that are coming up                         Wait
a marker, but pinned, ``when_empty``, autoscale  undo: one step of ``tidy`` (not while a formula is about to be held)
pinned elsewhere, empty                          Repin, or Refuse where a part could be lost
pinned elsewhere, nodes present                  ``when_empty`` waits, ``surge`` refuses
only old spot nodes, ``surge`` without           Refuse; name ``empty`` and ``max_unavailable``
``max_unavailable``
some behind, ``when_empty``                      Wait: scale-in and growth renew the pool
some behind, ``surge``, autoscale on             Refuse: Batch answers 409 to a resize (the marker is cleared);
                                                 with ``hold`` the marker, and the formula off
some behind, ``surge``, fixed size               the cycle
===============================================  ================================================

"Pinned elsewhere" is another pin for ``when_empty``, and an older pin for ``surge``.

Each step of the cycle follows from the current view, so the cycle can begin anywhere. It writes the size into the
pool's metadata (the marker), adds nodes, and proves that they are healthy and new enough. Then as many old nodes finish
their tasks and leave. This repeats until no node is behind; then the marker is cleared. A failure is undone before it
is reported: the added nodes are removed by name, and the size is restored.

Sources: Batch 2025-06-01 (resize, removenodes, patch), ``upgradePolicy``; reimage and
disablescheduling are left out on purpose, see docs/vm-pools.md.
"""

from __future__ import annotations

from datetime import datetime

from batch_os_provider.batch.empty_marker import EmptyMarker
from batch_os_provider.batch.pool import AllocationState, Kind, Pool, PoolState
from batch_os_provider.batch.vm_pool import Marker, VmNode, VmPool, sortable
from batch_os_provider.batch.vm_target import AllocatedSince, ImageVersion, Target, day_of, to_the_second
from batch_os_provider.batch.vm_view import VmPoolView
from batch_os_provider.rollout.actions import Done, Refuse, Wait
from batch_os_provider.rollout.image_renewal import empty, empty_view, empty_words
from batch_os_provider.rollout.image_renewal.automatic import check_policy, refuse_other_strategy
from batch_os_provider.rollout.image_renewal.move import moves, refuse_move, repin
from batch_os_provider.rollout.image_renewal.spot import spot_alone
from batch_os_provider.rollout.image_renewal.steps import ImageAction, ImageHistory, Undo
from batch_os_provider.rollout.image_renewal.surge import cycle, hold, may_hold, not_comparable, restore, tidy
from batch_os_provider.rollout.image_renewal.surge_view import added_since, drains, foreign, is_left_in_order
from batch_os_provider.rollout.image_renewal.surge_view import behind as behind_for
from batch_os_provider.rollout.image_renewal.target_words import words_of
from batch_os_provider.rollout.progress import name_some
from batch_os_provider.schema.declared import ImagePolicy
from batch_os_provider.wording import counted, plural

__all__ = ["another_product", "deallocated", "decide_image", "incomparable", "refuse_kind", "resize_errors"]

_EXACT_VERSION = (
    'To keep the version, declare it with strategy="empty": `up` empties the pool after its tasks and pins it'
)
"""The other way for a pool whose nodes show no version number."""


def decide_image(  # noqa: C901, PLR0911, PLR0912 - a table
    seen: VmPoolView, target: Target, policy: ImagePolicy, history: ImageHistory, now: datetime | None = None
) -> ImageAction:
    """The next action for a VM pool; the list of nodes began after our last write.

    ``now`` is for an answer of Batch without a time; None is unknown.
    """
    pool = seen.pool
    base = pool.base
    now = base.seen_at or now
    if base.state is PoolState.DELETING:
        return Refuse(
            "it is being deleted", "Remove the resource from the program, or create the pool again", property="pool_id"
        )
    if base.kind is not Kind.VM:
        return refuse_kind(base, target)
    if policy.strategy == "automatic":
        return check_policy(seen)
    if isinstance(target, AllocatedSince) and now is not None and target.is_after(now):
        return _in_the_future(target, now)
    renewed = refuse_other_strategy(pool, target, policy) if history.marker is None else None
    if renewed is not None and policy.strategy != "restore":
        return history.failure or renewed
    if base.state is not PoolState.ACTIVE or base.allocation is AllocationState.UNKNOWN:
        odd = f"state {base.state_text!r} with allocation state {base.allocation_text!r}"
        return Wait(
            "unknown state", f"Batch shows {odd}", f"Batch shows {odd}, which this release does not know; waiting"
        )
    if not pool.is_steady:
        return Wait("resizing", empty_words.resizing(seen, pool.emptying) if pool.emptying else drains(seen, history))
    if policy.strategy == "restore":
        return _restore(seen, history)
    if policy.strategy == "empty" or pool.emptying is not None or isinstance(history.marker, EmptyMarker):
        return _empty(seen, target, policy, history)
    behind = behind_for(seen, target, policy)
    if (
        isinstance(history.marker, Marker)
        and pool.marker is None
        and not is_left_in_order(seen, behind, history.marker)
    ):
        return foreign(seen, history.marker, "its marker in the metadata is gone")
    if pool.marker is not None and (pool.marker.formula or policy.autoscale == "hold"):
        strange = empty_view.foreign_formula(seen, pool.marker)
        if strange is not None:
            return strange
    by_pin = policy.strategy == "when_empty" and target.is_the_pin(pool)
    unreadable = None if by_pin and (pool.gallery or target.image is not None) else _unreadable(seen, target, now)
    if isinstance(unreadable, Refuse):
        return _cannot_judge(seen, target, unreadable, history)
    pinned_elsewhere = target.is_above_pin(pool)
    if by_pin:
        # The nodes of a pinned pool run the pin, and the pin is the version, in both directions.
        pinned_elsewhere, behind = not target.is_met_by(pool), ()
    if not behind and not pinned_elsewhere and not unreadable and pool.marker is None and not seen.judged:
        unreachable = spot_alone(seen, target, policy)
        if unreachable is not None:
            return history.failure or unreachable
    if not behind and not pinned_elsewhere and not unreadable:
        return _finished(seen, target, policy, history)
    if pool.marker is not None and (history.failure is not None or pool.automatic):
        return tidy(seen, pool.marker)
    if unreadable:
        return unreadable
    scales = base.autoscale and not may_hold(seen, policy)
    if pool.marker is not None and (pinned_elsewhere or policy.strategy == "when_empty" or scales):
        return tidy(seen, pool.marker)
    if pinned_elsewhere:
        return _pinned(seen, target, policy)
    if policy.strategy == "when_empty":
        return Wait("until renewed", "scale-in and growth renew the nodes")
    if base.autoscale:
        return (history.failure if policy.autoscale == "hold" else None) or hold(seen, policy, behind)
    return cycle(seen, target, policy, history)


def _empty(seen: VmPoolView, target: Target, policy: ImagePolicy, history: ImageHistory) -> ImageAction:
    """The strategy ``empty``, or the marker that it has left under another strategy."""
    pool, mark = seen.pool, seen.pool.emptying
    known = history.marker if isinstance(history.marker, EmptyMarker) else None
    if known is not None and mark is None and not empty_view.is_left_in_order(seen, target, known):
        return empty_view.marker_is_gone(seen, known)
    if pool.marker is not None:
        return tidy(seen, pool.marker)
    if not pool.has_versions and isinstance(target, ImageVersion) and target.image is None:
        return _no_versions(pool)
    reverted = mark is not None and bool(mark.moves) and target.image is None
    if mark is not None and (policy.strategy != "empty" or reverted):
        keep = None if reverted else target
        return empty_view.foreign_image(seen, mark) or empty.put_back(seen, mark, history, keep)
    if mark is None and empty_view.is_reached(seen, target):
        return _finished(seen, target, policy, history)
    return empty.next_step(seen, target, policy, history)


def _restore(seen: VmPoolView, history: ImageHistory) -> ImageAction:
    """What `batch-os restore` does: go back to the marker of any strategy."""
    pool = seen.pool
    if pool.emptying is not None:
        return empty.restore(seen, pool.emptying, history)
    return restore(seen, pool.marker) if pool.marker is not None else history.failure or Done()


def _no_versions(pool: VmPool) -> Refuse:
    return Refuse(
        f"it uses an image outside of a gallery ({pool.image}), which has no versions",
        "Declare nodes_since in place of target_image_version, or create the pool from a gallery image",
        property=ImageVersion.property,
    )


def refuse_kind(pool: Pool, target: Target) -> Refuse:
    """The refusal of a pool that is not a VM pool."""
    ref = pool.ref
    has = "its nodes have no image version" if isinstance(target, ImageVersion) else "its nodes are not replaced"
    return Refuse(
        f"it is not a VM pool, so {has}",
        f'Use PoolOsVersion("{ref.pool_id}", account_endpoint="{ref.endpoint}", pool_id="{ref.pool_id}", '
        f'target_os_version="{pool.current_os_version or "<version>"}") for a Cloud Services pool',
        property="pool_id",
    )


def _in_the_future(target: AllocatedSince, now: datetime) -> Refuse:
    shown = to_the_second(sortable(now))
    return Refuse(
        f"nodes_since {target.text} is in the future: the clock of Batch shows {shown}, so new nodes would be behind "
        "too",
        f'Declare a moment that has passed, such as nodes_since="{day_of(now)}"',
        property=target.property,
    )


def incomparable(seen: VmPoolView, now: datetime | None = None) -> Refuse | None:
    """Why the nodes of a pool never show a version that can be compared; None if they do, or may do so later.

    ``now`` is the time for the line to paste.
    """
    instead = (
        f'Declare nodes_since="{day_of(now)}" in place of target_image_version: nodes that were allocated before that '
        "day are renewed"
    )
    if not seen.pool.has_versions:
        return _no_versions(seen.pool)
    # The image of a pool changes only while it is empty, so the nodes of a pinned pool run the pin.
    if seen.pool.pin is not None:
        return None
    if seen.pool.gallery:
        return _silent_gallery(seen, instead)
    strange = [node for node in _unread(seen, ImageVersion) if node.version_text and not node.is_coming]
    if not strange:
        return None
    shown = " and ".join(map(repr, sorted({node.version_text for node in strange})[:3]))
    return Refuse(
        f"its nodes do not show a version number (Batch shows {shown} for {len(strange)} of "
        f"{len(seen.compared)} nodes), so the version of a node cannot be compared",
        f"{instead}. {_EXACT_VERSION}",
        property=ImageVersion.property,
    )


def _silent_gallery(seen: VmPoolView, instead: str) -> Refuse | None:
    """The refusal of a gallery image whose nodes show no version; None if every node shows one, or may do so later."""
    silent = [node for node in _unread(seen, ImageVersion) if not node.is_coming]
    if not silent and seen.compared:
        return None
    shows = (
        f"Batch shows no version of {len(silent)} of {len(seen.compared)} nodes"
        if silent
        else "it has no running nodes"
    )
    return Refuse(
        f"it uses a gallery image without a version ({seen.pool.image}), and {shows}, so the version of a node cannot "
        "be compared",
        'Declare strategy="empty": `up` pins the pool to the version. Or d' + instead[1:],
        property=ImageVersion.property,
    )


def _unread(seen: VmPoolView, by: Target | type[Target]) -> list[VmNode]:
    """The nodes that the target cannot judge, except failed nodes of the cycle, which the cycle handles."""
    ours = _ours(seen)
    return [node for node in seen.compared if not by.reads(node) and not (node in ours and node.has_failed)]


def _unreadable(seen: VmPoolView, target: Target, now: datetime | None) -> Refuse | Wait | None:
    """The action if a node cannot be judged now; None if every node can."""
    never = incomparable(seen, now) if isinstance(target, ImageVersion) else None
    if never is not None:
        return never
    unread, words = _unread(seen, target), words_of(target)
    silent = [] if target.is_known_by_pin(seen.pool) else [node for node in unread if not node.is_coming]
    if silent:
        names, failed = [node.node_id for node in silent], [node.node_id for node in silent if node.has_failed]
        states = ", ".join(sorted({node.state for node in silent}))
        shows = plural(len(silent), f"shows no {words.lacking}, so it", f"show no {words.lacking}, so they")
        return Refuse(
            f"{counted(len(silent), 'node')} {shows} cannot be compared: {name_some(names)} ({states})",
            f"Fix what has failed ({name_some(failed)}), then run `pulumi up` again"
            if failed
            else f"Run `pulumi up` again when Batch shows {words.source} of every node",
            property="pool_id",
        )
    coming = [node for node in unread if node.is_coming]
    return (
        Wait("allocating", f"{counted(len(coming), 'node')} {plural(len(coming), 'is', 'are')} starting")
        if coming
        else None
    )


def _ours(seen: VmPoolView) -> tuple[VmNode, ...]:
    return added_since(seen, seen.pool.marker) if seen.pool.marker is not None else ()


def _cannot_judge(seen: VmPoolView, target: Target, refuse: Refuse, history: ImageHistory) -> ImageAction:
    """Refuse; in the middle of a cycle first remove everything that the cycle added."""
    mark = seen.pool.marker
    if mark is None:
        return history.failure or refuse
    if history.failure is not None:
        return tidy(seen, mark)
    canary = next((node for node in _ours(seen) if not target.reads(node) and not node.is_coming), None)
    return Undo(refuse if canary is None else not_comparable(seen, target, mark, canary, refuse.next_step))


def _finished(seen: VmPoolView, target: Target, policy: ImagePolicy, history: ImageHistory) -> ImageAction:
    """No node is behind: prove the last nodes and clean up what a cycle left, then finish."""
    pool = seen.pool
    if pool.marker is not None:
        proves = pool.marker.unavailable and pool.marker.begun and history.failure is None and not pool.base.autoscale
        return cycle(seen, target, policy, history) if proves else tidy(seen, pool.marker)
    if history.failure is not None:
        return history.failure
    if seen.is_short and pool.resize_errors:
        missing = pool.size - len(seen.dedicated)
        lacks = f"{missing} of {pool.size} nodes {plural(missing, 'is', 'are')} missing"
        return Refuse(
            f"no node is behind, but {lacks} since the last resize failed ({pool.resize_errors[0]})",
            "Resize the pool to a size that it can reach, then run `pulumi up` again",
            property="pool_id",
        )
    return Done()


def _pinned(seen: VmPoolView, target: Target, policy: ImagePolicy) -> ImageAction:
    pool, goal = seen.pool, target.goal(seen.pool)
    unfit = refuse_move(pool, target)
    if unfit is not None:
        return unfit
    if not seen.nodes and pool.size == 0 and pool.target_spot == 0:
        guarded = pool.guarded_parts()
        if guarded:
            return Refuse(
                f"the pool is {pool.pinned} and empty, but a change would have to send "
                f"{' and '.join(guarded)} again, which Batch does not return in full or this "
                "release does not know",
                f"Change the image version to {goal if target.image else goal.version} where the pool is declared",
            )
        return repin(pool, goal)
    nodes = counted(len(seen.nodes), "node")
    if policy.strategy == "when_empty":
        has = f"made from {pool.made_from}" if moves(pool, target) else pool.pinned
        return Wait("until empty", f"{has} with {nodes}; waiting until the pool is empty")
    held = ', autoscale="hold"' if pool.base.autoscale else ""
    return Refuse(
        f"the pool is pinned to {pool.pin_text}, so new nodes would get that version too, and its image cannot be "
        f"changed while the pool has {nodes}",
        f'Declare strategy="empty"{held}: `up` lets the tasks finish, empties the pool, changes its image and fills it '
        'again; or declare strategy="when_empty" and let the pool become empty',
        property="strategy",
    )


def resize_errors(seen: VmPoolView) -> str:
    """The warning about errors of an earlier resize, after which no node is missing."""
    return (
        f"its last resize ended with an error ({seen.past_errors[0]}), but the pool has its target "
        f"of {counted(seen.pool.size, 'dedicated node')}: Batch keeps the error until the next resize"
    )


def deallocated(seen: VmPoolView, target: Target) -> str:
    """The warning about deallocated nodes. A renewal would replace a machine that is not billed by one that is."""
    stopped = seen.deallocated
    older = [node for node in stopped if target.is_behind(node)]
    text = f"{counted(len(stopped), 'deallocated node')} not changed"
    names = name_some([node.node_id for node in stopped])
    if not older:
        return f"{text}: {names}"
    which = f"{len(older)} of them" if len(stopped) > 1 else "it"
    are = words_of(target).are_older(len(older))
    return f"{text}: {names}; {which} {are}. To renew such a node start it, then run `pulumi up` again"


def another_product(seen: VmPoolView, target: Target) -> str:
    """The warning about a version of another product than the pool runs; empty if it is the same or unknown.

    The first number of a gallery image's version says nothing about the product.
    """
    if isinstance(target, AllocatedSince) or seen.pool.gallery or moves(seen.pool, target):
        return ""
    oldest = seen.oldest()
    runs = oldest.version if oldest is not None else seen.pool.pin
    if runs is None or not target.is_of_another_product(runs):
        return ""
    shown = oldest.version_text if oldest is not None else seen.pool.pin_text
    return (
        f"the pool runs {shown} and {target} is declared: another first number means another product, and an image of "
        f"{runs[0]}.* never gets its versions. Declare a version {runs[0]}.*, or create a pool from the other image"
    )
