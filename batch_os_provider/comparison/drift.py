"""What a refresh writes into the inputs of a state.

A preview shows only differences of inputs. So drift that a refresh saw becomes a value of the declared target.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from batch_os_provider.batch.vm_target import ImageVersion, Target
from batch_os_provider.schema import inputs
from batch_os_provider.schema import outputs as out

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["image_drift"]


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
    if isinstance(target, ImageVersion) and out.is_pin_exact(strategy, observed[out.PIN], observed[out.IMAGE]):
        # The pin is the version, also where it is newer; a pool that someone put on latest shows that word.
        return {inputs.IMAGE_TARGET: observed[out.PIN]}
    if target is None or isinstance(target, ImageVersion):
        lowest = out.lowest(observed[out.OLDEST], observed[out.PIN])
        return {inputs.IMAGE_TARGET: lowest} if lowest else {}
    return {inputs.NODES_SINCE: observed[out.OLDEST_ALLOCATED]}
