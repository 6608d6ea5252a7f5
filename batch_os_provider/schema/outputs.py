"""What both providers add to the inputs: the names, and their values from what was seen. Pure.

Create and update write them, a refresh writes them anew, and ``diff`` reads them without asking anybody.
The names are in the states of the stacks that are deployed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from batch_os_provider.batch.pool import Pool, PoolState
from batch_os_provider.batch.vm_pool import parse_image_version

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from batch_os_provider.batch.vm_pool import VmPoolView

__all__ = [
    "CURRENT",
    "IMAGE",
    "IMAGE_OUTPUTS",
    "OLDEST",
    "OUTPUTS",
    "PIN",
    "RENEWING",
    "STATE",
    "UNHEALTHY",
    "UNPROVEN",
    "PriorState",
    "is_behind",
    "known",
    "last_count",
    "lowest",
    "of_pool",
    "of_vm_pool",
]

CURRENT, FAMILY, STATE, UNHEALTHY = "current_os_version", "os_family", "pool_state", "unhealthy_nodes"
OUTPUTS = (CURRENT, FAMILY, STATE, UNHEALTHY)
"""Of ``PoolOsVersion``."""
UNPROVEN = "unproven"
"""The ``pool_state`` of a pool that is active, and whose nodes were not seen to be as the program asks."""

IMAGE, PIN, OLDEST, BEHIND = "image", "pool_image_version", "oldest_node_version", "nodes_behind"
IMAGE_OUTPUTS = (IMAGE, PIN, OLDEST, BEHIND, STATE)
"""Of ``PoolImageVersion``."""
RENEWING = "renewing"
"""``pool_state`` of an active pool in which a renewal was cut off; the next `up` finishes or undoes it."""


def known(names: Iterable[str], bag: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a bag that has these names and is not None."""
    return {name: bag[name] for name in names if bag.get(name) is not None}


def of_pool(pool: Pool, unhealthy_nodes: int | None, *, proven: bool = True) -> dict[str, Any]:
    """The outputs of a Cloud Services pool; no count of nodes where nobody has counted."""
    state = pool.state_text if proven or pool.state is not PoolState.ACTIVE else UNPROVEN
    outputs = {CURRENT: pool.current_os_version, FAMILY: pool.os_family, STATE: state}
    # None is no output to Pulumi, and would be one that goes.
    return outputs if unhealthy_nodes is None else {**outputs, UNHEALTHY: unhealthy_nodes}


def last_count(pool: Pool, olds: Mapping[str, Any]) -> int | None:
    """The unhealthy nodes as last counted at this version, where nobody has looked since."""
    count = olds.get(UNHEALTHY)
    same = pool.current_os_version is not None and olds.get(CURRENT) == pool.current_os_version
    return int(count) if count is not None and same else None


def of_vm_pool(seen: VmPoolView, target_text: object) -> dict[str, Any]:
    """The outputs of a VM pool. Where no node is behind, nothing in them moves with a node."""
    target = parse_image_version(target_text)
    oldest = seen.oldest()
    behind = len(seen.behind(target)) if target is not None else 0
    return {
        IMAGE: seen.pool.image or None,
        PIN: seen.pool.pin_text if seen.pool.is_vm else None,
        OLDEST: oldest.version_text if oldest is not None else None,
        BEHIND: behind,
        STATE: RENEWING if seen.pool.marker is not None else seen.pool.base.state_text,
    }


def is_behind(outputs: Mapping[str, Any], target: tuple[int, ...] | None) -> bool:
    """Whether what was seen leaves something to do: a node below the target, or a pin below it."""
    if target is None:
        return False
    oldest, pin = parse_image_version(outputs.get(OLDEST)), parse_image_version(outputs.get(PIN))
    return (oldest is not None and oldest < target) or (pin is not None and pin < target)


def lowest(one: str | None, other: str | None) -> str | None:
    """The older of two versions, as it was seen; ``latest`` is none, and None where there is none at all."""
    texts = [text for text in (one, other) if text is not None and parse_image_version(text) is not None]
    return min(texts, key=lambda text: parse_image_version(text) or ()) if texts else None


@dataclass(frozen=True)
class PriorState:
    """What Pulumi's state says of a resource that exists: the version last seen, and why a change is planned.

    ``why`` is empty where a property changed, which is reason enough; ``code`` is the same for programs.
    """

    version: str
    why: str = ""
    code: str = ""
