"""Finds the pools of an account that are being changed, for `batch-os watch`.

Batch has no list of rollouts. A pool's state shows an upgrade, its allocation state a resize, and the marker in its
metadata (``vm_pool.MARKER``) a renewal of its nodes; the nodes show the progress. ``poll`` reads one list of pools,
a second one if some are not VM pools, and the nodes of each pool that is being upgraded or renewed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from batch_os_provider.batch.empty_marker import EmptyMarker
from batch_os_provider.batch.pool import Kind, Pool, PoolState, parse_time
from batch_os_provider.batch.service import AccountReader
from batch_os_provider.batch.vm_pool import VmPool
from batch_os_provider.batch.vm_target import AllocatedSince
from batch_os_provider.batch.vm_view import VmPoolView
from batch_os_provider.errors import PoolGoneError
from batch_os_provider.guest_os import version
from batch_os_provider.rollout.image_renewal.move import change_text
from batch_os_provider.rollout.image_renewal.surge_view import added_since
from batch_os_provider.rollout.progress import NodeCounts
from batch_os_provider.runtime.threads import side_by_side
from batch_os_provider.wording import counted

__all__ = ["Moving", "poll"]


@dataclass(frozen=True)
class Moving:
    """A pool that is being changed.

    ``what`` is ``upgrading``, ``renewing`` or ``resizing``. ``news`` is the progress and ``more`` the cause of a delay,
    both short. ``since`` is when the change began in the service's time, None if the pool does not show that.
    """

    pool_id: str
    what: str
    news: str
    more: str = ""
    versions: str = ""
    since: datetime | None = None


def poll(client: AccountReader) -> tuple[Moving, ...]:
    """The pools of an account that are being changed, by id.

    Raises:
        BatchOsError: a list could not be read; see ``client``.
    """
    newest = client.list_vm_pools()
    pools = client.list_pools() if any(not each.is_vm for each in newest) else ()
    upgrading = [each for each in pools if each.state is PoolState.UPGRADING and each.kind is not Kind.VM]
    busy = {each.ref.key for each in upgrading}
    others = [each for each in newest if each.base.ref.key not in busy and _is_moving(each)]
    reads: list[Callable[[], Moving | None]] = [lambda each=each: _upgrading(client, each) for each in upgrading]  # type: ignore[misc]
    reads += [lambda each=each: _changing(client, each) for each in others]  # type: ignore[misc]
    found = [each for each in side_by_side(lambda read: read(), reads) if each is not None]
    return tuple(sorted(found, key=lambda each: each.pool_id.lower()))


def _is_moving(pool: VmPool) -> bool:
    return pool.base.state is not PoolState.DELETING and (pool.is_marked or pool.base.is_being_resized)


def _upgrading(client: AccountReader, pool: Pool) -> Moving | None:
    """An upgrade of the OS; None if the pool is gone since it was listed."""
    try:
        nodes = NodeCounts(client.list_nodes(pool.ref), pool.changed_at)
    except PoolGoneError:
        return None
    change = version.change(pool.current_os_version or "", pool.target_os_version or "an unknown version")
    return Moving(pool.ref.pool_id, "upgrading", str(nodes), nodes.states(), change, pool.changed_at)


def _changing(client: AccountReader, pool: VmPool) -> Moving | None:
    """A renewal, or a resize; None if the pool is gone since it was listed."""
    sizes = f"{pool.current} of {counted(pool.size, 'node')}"
    began = pool.base.allocation_changed_at if pool.base.is_being_resized else None
    if pool.emptying is not None and pool.is_vm:
        return _emptying(pool, pool.emptying, began)
    if pool.marker is None or not pool.is_vm:
        scales = "the pool scales itself" if pool.base.autoscale else ""
        return Moving(pool.base.ref.pool_id, "resizing", sizes, scales, since=began)
    try:
        seen = VmPoolView(pool, client.list_vm_nodes(pool.base.ref))
    except PoolGoneError:
        return None
    added = added_since(seen, pool.marker)
    old = [node for node in seen.dedicated if node not in added]
    wanted = max(((node.version, node.version_text) for node in added if node.version is not None), default=None)
    behind = [node for node in old if wanted is None or node.version is None or node.version < wanted[0]]
    oldest = min(((node.version, node.version_text) for node in behind if node.version is not None), default=None)
    versions = version.change(oldest[1] if oldest else "", wanted[1]) if wanted else oldest[1] if oldest else ""
    if not versions and behind and (first_node := AllocatedSince.oldest(behind)) is not None:
        versions = f"oldest node {AllocatedSince.shown(first_node).partition('T')[0]}"
    news = f"{len(behind)} of {counted(len(seen.dedicated), 'node')} behind"
    # The marker has no time; the first node that was added has one.
    first = parse_time(min((node.allocated for node in added if node.allocated), default=None))
    held = "formula held" if pool.marker.formula and not pool.base.autoscale else ""
    more = ", ".join(filter(None, (f"resizing, {sizes}" if pool.base.is_being_resized else "", held)))
    return Moving(pool.base.ref.pool_id, "renewing", news, more, versions, first or began)


def _emptying(pool: VmPool, mark: EmptyMarker, began: datetime | None) -> Moving:
    """The strategy ``empty``: how many nodes the pool has, of how many before."""
    news = f"{pool.current + pool.spot} of {counted(sum(mark.sizes), 'node')}, strategy empty"
    more = "formula held" if mark.formula and not pool.base.autoscale else ""
    change = version.change(mark.way_back if len(mark.pins) > 1 else "", mark.goal.version)
    change = change_text(mark.before, mark.goal) if mark.moves else change
    return Moving(pool.base.ref.pool_id, "renewing", news, more, change, began)
