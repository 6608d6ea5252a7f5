"""The two states of a pool, and the refusal that every write on a pool begins with.

``state`` and ``allocationState`` are independent (all recordings agree), and three lifecycles
(:mod:`.pools`, :mod:`.resizes`, :mod:`.upgrades`) move them; each move is recorded the same way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from batch_os_provider.simulator.world.errors import BatchError

if TYPE_CHECKING:
    from batch_os_provider.simulator.world.model import Pool
    from batch_os_provider.simulator.world.world import World


def set_state(world: World, pool: Pool, state: str, since: int) -> None:
    """Move the pool's state; ``since`` is the transition time that it shows."""
    before, pool.state, pool.state_time = pool.state, state, since
    world.record_change("pool", pool.id, before, state, pool=pool.id)


def set_allocation(world: World, pool: Pool, state: str) -> None:
    """Move the allocation state now."""
    before, pool.allocation, pool.allocation_time = pool.allocation, state, world.now
    world.record_change("allocation", pool.id, before, state, pool=pool.id)


def refuse_deleting(pool: Pool) -> None:
    """Refuse a write on a pool that is being deleted.

    Raises:
        BatchError: PoolBeingDeleted.
    """
    if pool.state == "deleting":
        raise BatchError("PoolBeingDeleted")
