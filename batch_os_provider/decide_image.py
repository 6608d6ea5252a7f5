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
nothing behind, pin fine                         Done (after the mark is cleared)
automatic OS upgrade on                          Wait and report; never write
a version that cannot be read, a gallery image   Refuse
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

from batch_os_provider.decide import Done, Refuse, Wait
from batch_os_provider.image_steps import ImageAction, ImageHistory, ImagePolicy, Repin, dotted
from batch_os_provider.pool import AllocationState, Kind, Pool, PoolState
from batch_os_provider.surge import added_since, cycle, drains, foreign, is_left_in_order, tidy
from batch_os_provider.vm import Version, VmSeen

__all__ = ["decide_image", "refuse_kind"]

_COMING = ("creating", "starting")


def decide_image(seen: VmSeen, target: Version, policy: ImagePolicy, history: ImageHistory) -> ImageAction:  # noqa: C901, PLR0911 - a table
    """The next action for a VM pool, on a node list begun after our last write."""
    pool = seen.pool
    base = pool.base
    if base.state is PoolState.DELETING:
        return Refuse(
            "it is being deleted", "Remove the resource from the program, or create the pool again", property="pool_id"
        )
    if base.kind is not Kind.VM:
        return refuse_kind(base)
    if base.state is not PoolState.ACTIVE or base.allocation is AllocationState.UNKNOWN:
        odd = f"state {base.state_text!r} with allocation state {base.allocation_text!r}"
        return Wait(
            "unknown state", f"Batch shows {odd}", f"Batch shows {odd}, which this release does not know; waiting"
        )
    if not pool.is_steady:
        return Wait("resizing", drains(seen, history))
    behind, unreadable = seen.behind(target), _unreadable(seen)
    if history.noted is not None and pool.mark is None and not is_left_in_order(seen, behind, history.noted):
        return foreign(seen, history.noted, "its note in the metadata is gone")
    pinned_below = not pool.is_latest and (pool.pin is None or pool.pin < target)
    if not behind and not pinned_below and not unreadable:
        return _finished(seen, history)
    if pool.automatic:
        why = f"{len(behind)} nodes behind; automatic OS upgrade is on and renews them, nothing is written"
        return Wait("automatic", why)
    if unreadable:
        return unreadable
    if pool.mark is not None and (pinned_below or policy.strategy == "when_empty" or base.autoscale):
        return tidy(seen, pool.mark)
    if pinned_below:
        return _pinned(seen, target, policy)
    if policy.strategy == "when_empty":
        left = f"{len(behind)} of {len(seen.dedicated)} nodes behind"
        return Wait("until renewed", f"{left}; scale-in and growth renew them")
    if base.autoscale:
        return Refuse(
            f"{len(behind)} nodes are behind, and the pool scales itself: Batch refuses a resize there (409)",
            'Declare strategy="when_empty": nodes are renewed as the pool scales in and out',
            property="strategy",
        )
    return cycle(seen, behind, policy, history)


def refuse_kind(pool: Pool) -> Refuse:
    """The refusal of a pool that is no VM pool."""
    ref = pool.ref
    return Refuse(
        "it is not a VM pool, so its nodes have no image version",
        f'Use PoolOsVersion("{ref.pool_id}", account_endpoint="{ref.endpoint}", pool_id="{ref.pool_id}", '
        f'target_os_version="{pool.current_os_version or "<version>"}") for a Cloud Services pool',
        property="pool_id",
    )


def _unreadable(seen: VmSeen) -> ImageAction | None:
    """What to do where a version cannot be read; a node of ours that has failed is the cycle's business."""
    if seen.pool.gallery:
        return Refuse(
            f"it uses a gallery image ({seen.pool.image}), whose nodes tell no image version that can be compared",
            "Keep the version of a gallery image where the pool is declared; remove this resource",
            property="pool_id",
        )
    ours = added_since(seen, seen.pool.mark) if seen.pool.mark is not None else ()
    unread = [node for node in seen.dedicated if node.version is None and not (node in ours and node.has_failed)]
    strange = next((node for node in unread if node.state not in _COMING), None)
    if strange is not None:
        told = f"{strange.version_text!r}" if strange.version_text else "none"
        return Refuse(
            f"the image version of node {strange.node_id} cannot be read (Batch tells {told})",
            "Look at the node's virtualMachineInfo.imageReference.exactVersion; remove the node if it is broken",
            property="pool_id",
        )
    return Wait("allocating", f"{len(unread)} nodes are being created") if unread else None


def _finished(seen: VmSeen, history: ImageHistory) -> ImageAction:
    """Nothing is behind: what a cycle has left is put in order, then it is done."""
    pool = seen.pool
    if pool.mark is not None:
        return tidy(seen, pool.mark)
    if history.failure is not None:
        return history.failure
    if pool.resize_errors:
        return Refuse(
            f"no node is behind, but its last resize failed ({pool.resize_errors[0]}), so it is not as it was declared",
            "Resize the pool to what it can have, then run `pulumi up` again",
            property="pool_id",
        )
    return Done()


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
        property="strategy",
    )
