"""The outputs that both providers add to the inputs: their names, and their values from a pool that was read.

Create, update and refresh write the outputs, and ``diff`` reads them without a call. The states of deployed stacks
contain the names, so the names must not change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from batch_os_provider.batch.image_reference import is_gallery_image, without_version
from batch_os_provider.batch.image_version import parse_image_version
from batch_os_provider.batch.pool import GALLERIES, Pool, PoolState
from batch_os_provider.batch.vm_target import AllocatedSince, ImageVersion, Target
from batch_os_provider.schema.inputs import AUTOMATIC

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from batch_os_provider.batch.vm_pool import VmNode
    from batch_os_provider.batch.vm_view import VmPoolView

__all__ = [
    "CURRENT",
    "IMAGE",
    "IMAGE_OUTPUTS",
    "OFF",
    "OLDEST",
    "OLDEST_AGENT",
    "OLDEST_ALLOCATED",
    "OUTPUTS",
    "PIN",
    "POLICY_CHANGED",
    "RENEWING",
    "STATE",
    "UNHEALTHY",
    "UNPROVEN",
    "UPGRADE_POLICY",
    "image_of",
    "is_behind",
    "is_pin_exact",
    "known",
    "last_count",
    "lowest",
    "of_pool",
    "of_vm_pool",
]

CURRENT, FAMILY, STATE, UNHEALTHY = "current_os_version", "os_family", "pool_state", "unhealthy_nodes"
OUTPUTS = (CURRENT, FAMILY, STATE, UNHEALTHY)
"""The outputs of ``PoolOsVersion``."""
UNPROVEN = "unproven"
"""The ``pool_state`` of an active pool whose nodes have not yet passed the declared gate."""

IMAGE, PIN, OLDEST, BEHIND = "image", "pool_image_version", "oldest_node_version", "nodes_behind"
OLDEST_ALLOCATED = "oldest_node_allocated"
UPGRADE_POLICY = "upgrade_policy"
OLDEST_AGENT = "oldest_node_agent_version"
IMAGE_OUTPUTS = (IMAGE, PIN, OLDEST, OLDEST_ALLOCATED, BEHIND, STATE, UPGRADE_POLICY, OLDEST_AGENT)
"""The outputs of ``PoolImageVersion``."""
OFF = "off"
"""The ``upgrade_policy`` of a pool that Batch does not renew."""
POLICY_CHANGED = "policy changed"
"""The ``pool_state`` of an active pool with another upgrade policy than at the last `up`. The next `up` accepts it."""
RENEWING = "renewing"
"""The ``pool_state`` of an active pool with an interrupted renewal. The next `up` finishes or undoes the renewal."""


def known(names: Iterable[str], bag: Mapping[str, Any]) -> dict[str, Any]:
    """The entries of a bag with these names and values other than None."""
    return {name: bag[name] for name in names if bag.get(name) is not None}


def of_pool(pool: Pool, unhealthy_nodes: int | None, *, proven: bool = True) -> dict[str, Any]:
    """The outputs of a Cloud Services pool, without ``unhealthy_nodes`` if that is None.

    ``proven`` False makes the state of an active pool ``unproven``.
    """
    state = pool.state_text if proven or pool.state is not PoolState.ACTIVE else UNPROVEN
    outputs = {CURRENT: pool.current_os_version, FAMILY: pool.os_family, STATE: state}
    # Pulumi treats None as a removed output, so leave the key out.
    return outputs if unhealthy_nodes is None else {**outputs, UNHEALTHY: unhealthy_nodes}


def last_count(pool: Pool, olds: Mapping[str, Any]) -> int | None:
    """The last count of unhealthy nodes; None if the state has no count at the pool's present version."""
    count = olds.get(UNHEALTHY)
    same = pool.current_os_version is not None and olds.get(CURRENT) == pool.current_os_version
    return int(count) if count is not None and same else None


def of_vm_pool(
    seen: VmPoolView, target: Target | None, strategy: object = None, *, renews_spot: bool = False
) -> dict[str, Any]:
    """The outputs of a VM pool; ``target`` is None if the pool is only read.

    ``nodes_behind`` counts old spot nodes under each strategy. An old spot node is drift only where the strategy renews
    it; with ``surge`` only if ``renews_spot`` (``max_unavailable`` is declared).

    While no node is older than the target, a new or removed node changes none of them but the oldest version. So the
    oldest allocation time is left out while no node is behind: nodes of a pool that scales itself come and go.
    """
    every = strategy == "when_empty" or renews_spot
    oldest = ImageVersion.oldest((*seen.judged, *seen.spot) if every else seen.compared)
    behind = _behind(seen, target, strategy) if target is not None else ()
    outputs = {
        IMAGE: seen.pool.image or None,
        PIN: seen.pool.pin_text if seen.pool.is_vm else None,
        OLDEST: oldest.version_text if oldest is not None else None,
        BEHIND: len(behind),
        STATE: RENEWING if seen.pool.is_marked else seen.pool.base.state_text,
    }
    outputs |= {OLDEST_AGENT: seen.oldest_agent} if seen.oldest_agent else {}
    if strategy == AUTOMATIC:
        return {**outputs, UPGRADE_POLICY: seen.pool.upgrade_policy if seen.pool.automatic else OFF}
    drifts = renews_spot or strategy != "surge" or not seen.dedicated
    by_time = AllocatedSince.oldest(
        seen.compared if target is None else [node for node in behind if drifts or node.dedicated]
    )
    if by_time is None or (target is not None and target.property != AllocatedSince.property):
        return outputs
    return {**outputs, OLDEST_ALLOCATED: AllocatedSince.shown(by_time)}


def _behind(seen: VmPoolView, target: Target, strategy: object) -> tuple[VmNode, ...]:
    """The nodes that are older than the target, or of another pin or image; spot nodes too."""
    exact = target.image is not None or is_pin_exact(strategy, seen.pool.pin_text, seen.pool.image)
    if isinstance(target, ImageVersion) and exact:
        # The nodes of a pinned pool run the pin.
        return () if target.is_met_by(seen.pool) else seen.nodes
    if target.image is not None and not target.is_met_by(seen.pool):
        return seen.nodes
    return seen.behind(target, spot=True)


def is_behind(outputs: Mapping[str, Any], target: Target | None, strategy: object = None) -> bool:
    """Whether the outputs show a node or a pin that is not what the target asks for; False if ``target`` is None.

    For the strategies that change a pin, the pin is the version, exactly. Else the target is a floor.
    """
    if target is None or strategy == AUTOMATIC:
        return target is not None and outputs.get(UPGRADE_POLICY) == OFF
    if target.image is not None and (image_of(outputs) != target.image.name.casefold() or bool(outputs.get(BEHIND))):
        return True
    if isinstance(target, AllocatedSince):
        return _moment(outputs.get(OLDEST_ALLOCATED), target.moment) < target.moment
    oldest, pin = parse_image_version(outputs.get(OLDEST)), parse_image_version(outputs.get(PIN))
    if not target.numbers:
        return str(outputs.get(PIN)).casefold() != target.text.casefold()
    if target.image is not None or is_pin_exact(strategy, outputs.get(PIN), outputs.get(IMAGE)):
        return pin != target.numbers
    return (oldest is not None and oldest < target.numbers) or (pin is not None and pin < target.numbers)


def image_of(outputs: Mapping[str, Any]) -> str:
    """The image without its version, in lower case, as ``target_image`` names it; empty if the outputs have none."""
    image, pin = str(outputs.get(IMAGE) or ""), str(outputs.get(PIN) or "")
    if image.startswith("/"):
        return without_version({GALLERIES[0]: image}).casefold()
    parts = image.removesuffix(f" {pin}").split()
    return ":".join(parts[:3]).casefold()


def _moment(text: object, otherwise: str) -> str:
    """The sortable form of an output's time; ``otherwise`` without a time."""
    try:
        return AllocatedSince.parse(text).moment
    except ValueError:
        return otherwise


def is_pin_exact(strategy: object, pin: object, image: object) -> bool:
    """Whether the version of a pool with this pin and image is the pin, in both directions.

    ``empty`` also pins a pool on latest, and ``when_empty`` one with a gallery image.
    """
    is_pinned = isinstance(pin, str) and (pin.lower() != "latest" or is_gallery_image(image))
    return (strategy == "empty" and isinstance(pin, str)) or (strategy == "when_empty" and is_pinned)


def lowest(one: str | None, other: str | None) -> str | None:
    """The older of two version texts, as spelled; None if neither is an exact version (``latest`` is not exact)."""
    texts = [text for text in (one, other) if text is not None and parse_image_version(text) is not None]
    return min(texts, key=lambda text: parse_image_version(text) or ()) if texts else None
