"""The two states of a pool, and the check that every write on a pool starts with.

``state`` and ``allocationState`` are independent (all recordings agree). Three lifecycles (:mod:`.pools`,
:mod:`.resizes`, :mod:`.upgrades`) change them, and all changes are recorded here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from batch_os_provider.simulator.world.errors import BatchError

if TYPE_CHECKING:
    from batch_os_provider.simulator.world.model import Pool
    from batch_os_provider.simulator.world.world import World


def set_state(world: World, pool: Pool, state: str, since: int) -> None:
    """Set the state of a pool; ``since`` is the transition time that the pool shows."""
    before, pool.state, pool.state_time = pool.state, state, since
    world.record_change("pool", pool.id, before, state, pool=pool.id)


def set_allocation(world: World, pool: Pool, state: str) -> None:
    """Set the allocation state of a pool now."""
    before, pool.allocation, pool.allocation_time = pool.allocation, state, world.now
    world.record_change("allocation", pool.id, before, state, pool=pool.id)


def refuse_deleting(pool: Pool) -> None:
    """Refuse a write on a pool that is being deleted.

    Raises:
        BatchError: PoolBeingDeleted.
    """
    if pool.state == "deleting":
        raise BatchError("PoolBeingDeleted")
