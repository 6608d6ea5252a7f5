"""Old spot nodes under ``surge``: what a pool of them alone is refused with, and what is said where they stay.

Batch adds and removes spot nodes at any time, so ``surge`` leaves them alone, unless ``max_unavailable`` lets it remove
nodes first. A success that hides old nodes would be wrong, so each of them is counted and the ways to renew them are
named.
"""

from __future__ import annotations

from batch_os_provider.batch.vm_target import Target
from batch_os_provider.batch.vm_view import VmPoolView
from batch_os_provider.rollout.actions import Refuse
from batch_os_provider.rollout.image_renewal.target_words import words_of
from batch_os_provider.schema.declared import ImagePolicy
from batch_os_provider.wording import counted, plural

__all__ = ["old_spot_note", "spot_alone"]


def spot_alone(seen: VmPoolView, target: Target, policy: ImagePolicy) -> Refuse | None:
    """The refusal of ``surge`` for a pool whose only nodes are spot nodes, some of them old; None for any other."""
    old = _left(seen, target, policy)
    if not old or seen.dedicated:
        return None
    return Refuse(
        f"{counted(old, 'spot node')} {words_of(target).are_older(old)}, the pool has no dedicated nodes, and "
        'strategy="surge" renews only those',
        _ways(seen),
        property="strategy",
    )


def old_spot_note(seen: VmPoolView, target: Target, policy: ImagePolicy) -> str:
    """The warning about old spot nodes that stay beside dedicated ones, else empty."""
    old = _left(seen, target, policy)
    if not old:
        return ""
    stay = plural(old, "stays as it is", "stay as they are")
    return f"{counted(old, 'spot node')} {words_of(target).are_older(old)} and {stay}. {_ways(seen)}"


def _left(seen: VmPoolView, target: Target, policy: ImagePolicy) -> int:
    """How many old spot nodes the strategy does not renew."""
    return len(seen.old_spot(target)) if policy.strategy == "surge" and not policy.renews_spot else 0


def _ways(seen: VmPoolView) -> str:
    held = ', autoscale="hold"' if seen.pool.base.autoscale else ""
    return (
        f"To renew spot nodes too declare max_unavailable=1{held}: they leave after their tasks, before new ones come; "
        f'or strategy="empty"{held}: `up` lets the tasks finish, empties the pool and fills it again'
    )
