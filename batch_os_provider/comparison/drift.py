"""What a refresh writes into the inputs of a state.

A preview shows only differences of inputs. So drift that a refresh saw becomes a value of the declared target.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from batch_os_provider.batch.pool import PoolState
from batch_os_provider.batch.vm_target import ImageVersion, Target
from batch_os_provider.schema import inputs
from batch_os_provider.schema import outputs as out

if TYPE_CHECKING:
    from collections.abc import Mapping

    from batch_os_provider.batch.empty_marker import PoolImage
    from batch_os_provider.batch.wanted_image import WantedImage

__all__ = ["has_other_policy", "image_drift", "other_image"]


def image_drift(observed: Mapping[str, Any], target: Target | None, strategy: object) -> dict[str, Any]:
    """The target as an input, with what a VM pool shows in place of what is declared.

    Args:
        observed: the outputs of the pool that was read.
        target: what the state declares; None if a program only reads the pool.
        strategy: the declared strategy.

    Returns:
        One input, or an empty mapping if the pool is as declared or shows nothing to compare.
    """
    if target is not None and not out.is_behind(observed, target, strategy):
        return {}
    if strategy == inputs.AUTOMATIC:
        return {}  # the output upgrade_policy shows it: no input names a policy
    exact = target is not None and target.image is not None
    exact = exact or out.is_pin_exact(strategy, observed[out.PIN], observed[out.IMAGE])
    if isinstance(target, ImageVersion) and exact:
        # The pin is the version, also where it is newer; a pool that someone put on latest shows that word.
        return {inputs.IMAGE_TARGET: observed[out.PIN]}
    if target is None or isinstance(target, ImageVersion):
        lowest = out.lowest(observed[out.OLDEST], observed[out.PIN])
        return {inputs.IMAGE_TARGET: lowest} if lowest else {}
    # A pool of another image may have no node that is too old, or none that shows its age.
    oldest = observed.get(out.OLDEST_ALLOCATED)
    return {inputs.NODES_SINCE: oldest} if oldest and (target.image is None or oldest < target.moment) else {}


def other_image(has: PoolImage, image: WantedImage) -> dict[str, Any]:
    """The declared image and node agent SKU as inputs, with what the pool has where that is another one."""
    same = has.name.casefold() == image.name.casefold()
    found = {} if same else {inputs.TARGET_IMAGE: has.name}
    is_other = image.agent.casefold() not in ("", has.agent.casefold())
    return {**found, **({inputs.NODE_AGENT: has.agent} if is_other else {})}


def has_other_policy(state: Mapping[str, Any], observed: Mapping[str, Any]) -> bool:
    """Whether an active pool that Batch renews has another upgrade policy than at the last `up`, or still has it."""
    if observed[out.STATE] != PoolState.ACTIVE.value or observed[out.UPGRADE_POLICY] == out.OFF:
        return False
    before = state.get(out.UPGRADE_POLICY)
    return before not in (None, observed[out.UPGRADE_POLICY]) or state.get(out.STATE) == out.POLICY_CHANGED
