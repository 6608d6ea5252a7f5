"""The lifecycle of a pool: created, changed, deleted.

Its size is in :mod:`.resizes`, its OS in :mod:`.upgrades`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from batch_os_provider.simulator.world import nodes, resizes, supported_images, tasks, vm_images
from batch_os_provider.simulator.world.clock import etag, seconds
from batch_os_provider.simulator.world.durations import DELETE_DURATION, PATCH_PAUSE
from batch_os_provider.simulator.world.errors import BatchError
from batch_os_provider.simulator.world.model import Pool
from batch_os_provider.simulator.world.pool_states import refuse_deleting, set_allocation, set_state
from batch_os_provider.simulator.world.world import event

if TYPE_CHECKING:
    from batch_os_provider.simulator.world.world import World


def add(
    world: World,
    name: str,
    props: dict[str, Any],
    configuration: tuple[dict[str, str] | None, dict[str, Any] | None],
    target: tuple[int, int],
) -> Pool:
    """Create a pool. It starts its first resize at once, which is short if the target is zero (recorded)."""
    present = world.pools.get(name.lower())
    if present is not None:
        raise BatchError("PoolBeingDeleted" if present.state == "deleting" else "PoolExists")
    now = world.now
    cloud, virtual = configuration
    _refuse_long_metadata(world, props.get("metadata"))
    if virtual is not None:
        vm_images.refuse_unknown_pin(world, virtual["imageReference"])
        supported_images.refuse_unfit_agent(world, virtual)
    pool = Pool(name, props, now, now, etag(now), "active", now, "steady", now, 0, 0, cloud, virtual)
    world.pools[pool.key] = pool
    world.record_change("pool", name, None, "active", pool=name)
    resizes.start_resize(world, pool, target, props.get("resizeTimeout"), "requeue")
    tasks.schedule(world, pool)
    return pool


def update(world: World, pool: Pool, props: dict[str, Any]) -> None:
    """Patch or update properties: a value replaces the property, None removes it."""
    refuse_deleting(pool)
    _refuse_long_metadata(world, props.get("metadata"))
    for name, value in props.items():
        if value is None:
            pool.props.pop(name, None)
        else:
            pool.props[name] = value
    world.touch(pool)


def _refuse_long_metadata(world: World, entries: object) -> None:
    limit = world.unknowns["metadataValueLimit"]
    if isinstance(limit, str) or not isinstance(entries, list):
        return
    for entry in entries:
        if isinstance(entry, dict) and len(str(entry.get("value", ""))) > limit:
            raise BatchError(
                "InvalidPropertyValue",
                ("PropertyName", "metadata"),
                ("Reason", f"The value of a metadata entry must have at most {limit} characters"),
            )


_ANY_TIME: Final = frozenset({"startTask", "certificateReferences", "applicationPackageReferences", "metadata"})


def patch(world: World, pool: Pool, props: dict[str, Any]) -> None:
    """PATCH: a few properties at any time; the others only on a steady pool without nodes (documented).

    The code of that refusal is not documented, nor is the code for a pool that is being resized.
    """
    refuse_deleting(pool)
    machine = props.pop("virtualMachineConfiguration", None)
    if machine is not None or not set(props) <= _ANY_TIME:
        if pool.allocation != "steady":
            raise BatchError("PoolBeingResized")
        if pool.nodes or pool.target_dedicated or pool.target_low_priority:
            raise BatchError(str(world.unknowns["patchNonEmptyCode"]))
        is_fresh = world.now - pool.allocation_time < seconds(PATCH_PAUSE)
        if is_fresh and world.unknowns["patchAfterSteady"] != "accepted":
            raise BatchError(str(world.unknowns["patchNonEmptyCode"]))
    if machine is not None and pool.virtual_machine is None:
        raise BatchError("OperationNotValidOnPool")
    if machine is not None:
        vm_images.refuse_unknown_pin(world, machine["imageReference"])
        supported_images.refuse_unfit_agent(world, machine)
        pool.virtual_machine, pool.resolved_latest = machine, None  # the next node begins a new deployment
    update(world, pool, props)


def delete(world: World, pool: Pool) -> None:
    """Mark a pool for deletion, and end a running resize or upgrade (202 while upgrading is recorded).

    The pool then shows a resize to zero (recorded).
    """
    refuse_deleting(pool)
    pool.upgrade = pool.resize = None
    pool.target_dedicated = pool.target_low_priority = 0
    pool.resize_errors = []
    set_allocation(world, pool, "resizing")
    set_state(world, pool, "deleting", world.now)
    world.touch(pool)
    for node in list(pool.nodes.values()):
        if node.state != "leavingpool":
            nodes.remove(world, pool, node)
    pool.delete_due = world.schedule(world.now + seconds(DELETE_DURATION), "pool-delete", pool.key)


@event("pool-delete")
def finish_delete(world: World, key: tuple[str, ...], due: int) -> None:
    """A pool marked for deletion disappears."""
    pool = world.pools.get(key[0])
    if pool is not None and pool.delete_due == due:
        del world.pools[pool.key]
        world.record_change("pool", pool.id, pool.state, None, pool=pool.id)
