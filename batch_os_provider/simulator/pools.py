"""The life of a pool: created, resized, upgraded, deleted.

Why it exists: this is the state machine the provider is about. ``state`` and ``allocationState`` are independent
(all recordings agree), and the return from ``upgrading`` keeps the recorded warts: ETag and lastModified stay
those of the POST, stateTransitionTime goes back to the creation time. They are why a client must look at
``currentOSVersion`` and nothing else.
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Any

from batch_os_provider.version import VersionSyntaxError, family_of

from . import nodes, tasks
from .clock import etag, parse_duration, seconds
from .errors import BatchError
from .model import READY, Node, Pool, Resize, Upgrade
from .stages import (
    ALLOCATE_FIRST,
    ALLOCATE_SHARE,
    ALLOCATE_STEP,
    DELETE,
    RESIZE_TIMEOUT,
    STAGES,
    STOP_RESIZE,
    UPGRADE_SHARE,
)
from .version_catalogue import latest_of_family, refuse_unknown_version
from .world import event

if TYPE_CHECKING:
    from .world import World

KINDS = (True, False)
"""Dedicated and low-priority nodes."""


def _set_state(world: World, pool: Pool, state: str, since: int) -> None:
    before, pool.state, pool.state_time = pool.state, state, since
    world.changed("pool", pool.id, before, state, pool=pool.id)


def _set_allocation(world: World, pool: Pool, state: str) -> None:
    before, pool.allocation, pool.allocation_time = pool.allocation, state, world.now
    world.changed("allocation", pool.id, before, state, pool=pool.id)


# --- create, change, delete ---


def add(
    world: World,
    name: str,
    props: dict[str, Any],
    configuration: tuple[dict[str, str] | None, dict[str, Any] | None],
    target: tuple[int, int],
) -> Pool:
    """Create a pool; with a target its first resize starts at once."""
    present = world.pools.get(name.lower())
    if present is not None:
        raise BatchError("PoolBeingDeleted" if present.state == "deleting" else "PoolExists")
    now = world.now
    cloud, virtual = configuration
    pool = Pool(name, props, now, now, etag(now), "active", now, "steady", now, 0, 0, cloud, virtual)
    world.pools[pool.key] = pool
    world.changed("pool", name, None, "active", pool=name)
    if any(target):
        _begin_resize(world, pool, target, props.get("resizeTimeout"), "requeue")
    tasks.schedule(world, pool)
    return pool


def refuse_deleting(pool: Pool) -> None:
    """Refuse a write on a pool that is being deleted.

    Raises:
        BatchError: PoolBeingDeleted.
    """
    if pool.state == "deleting":
        raise BatchError("PoolBeingDeleted")


def change(world: World, pool: Pool, props: dict[str, Any]) -> None:
    """Patch or update properties: what is given replaces what is there, None removes it."""
    refuse_deleting(pool)
    for name, value in props.items():
        if value is None:
            pool.props.pop(name, None)
        else:
            pool.props[name] = value
    world.touch(pool)


def delete(world: World, pool: Pool) -> None:
    """Mark a pool for deletion; a resize or an upgrade under way ends with it (202 while upgrading is recorded)."""
    refuse_deleting(pool)
    pool.upgrade = pool.resize = None
    if pool.allocation != "steady":
        _set_allocation(world, pool, "steady")
    _set_state(world, pool, "deleting", world.now)
    world.touch(pool)
    for node in list(pool.nodes.values()):
        if node.state != "leavingpool":
            nodes.leave(world, pool, node)
    pool.delete_due = world.at(world.now + seconds(DELETE), "pool-delete", pool.key)


@event("pool-delete")
def deleted(world: World, key: tuple[str, ...], due: int) -> None:
    """A pool marked for deletion disappears."""
    pool = world.pools.get(key[0])
    if pool is not None and pool.delete_due == due:
        del world.pools[pool.key]
        world.changed("pool", pool.id, pool.state, None, pool=pool.id)


# --- resize ---


def resize(world: World, pool: Pool, target: tuple[int | None, int | None], timeout: str | None, option: str) -> None:
    """Ask for another number of nodes; None keeps a number."""
    refuse_deleting(pool)
    if pool.allocation != "steady":
        raise BatchError("PoolBeingResized")
    if pool.props.get("enableAutoScale"):
        raise BatchError("OperationNotValidOnPool")
    if pool.state == "upgrading" and world.unknowns["resizeWhileUpgrading"] != "accepted":
        raise BatchError("OperationInvalidForCurrentState")
    dedicated, low_priority = target
    wanted = (
        pool.target_dedicated if dedicated is None else dedicated,
        pool.target_low_priority if low_priority is None else low_priority,
    )
    if timeout is not None:
        pool.props["resizeTimeout"] = timeout
    _begin_resize(world, pool, wanted, pool.props.get("resizeTimeout"), option)
    world.touch(pool)


def _begin_resize(world: World, pool: Pool, target: tuple[int, int], timeout: str | None, option: str) -> None:
    pool.target_dedicated, pool.target_low_priority = target
    pool.resize_errors = []
    _set_allocation(world, pool, "resizing")
    grows = any(_missing(pool, dedicated=kind) > 0 for kind in KINDS)
    due = world.at(world.now + seconds(ALLOCATE_FIRST if grows else ALLOCATE_STEP), "resize", pool.key)
    limit = seconds(RESIZE_TIMEOUT) if timeout is None else parse_duration(timeout)
    pool.resize = Resize(due, world.now + limit, option)
    for kind in KINDS:
        _shrink(world, pool, pool.resize, -_missing(pool, dedicated=kind), dedicated=kind)
    go_on(world, pool)


def _missing(pool: Pool, *, dedicated: bool) -> int:
    staying = sum(node.dedicated is dedicated and node.state != "leavingpool" for node in pool.nodes.values())
    return (pool.target_dedicated if dedicated else pool.target_low_priority) - staying


def _shrink(world: World, pool: Pool, work: Resize, surplus: int, *, dedicated: bool) -> None:
    """Batch picks the nodes that go: those that do nothing first, the newest first."""
    if surplus <= 0:
        return
    staying = [node for node in pool.nodes.values() if node.dedicated is dedicated and node.state != "leavingpool"]
    staying.reverse()
    for node in sorted(staying, key=lambda node: len(node.running))[:surplus]:
        if node.running and work.option in ("taskcompletion", "retaineddata"):
            work.leaving.append(node.id)
        else:
            nodes.leave(world, pool, node, terminate=work.option == "terminate")


def stop_resize(world: World, pool: Pool) -> None:
    """Stop a resize: what is there stays, nodes already leaving leave."""
    refuse_deleting(pool)
    if pool.allocation != "resizing" or pool.resize is None:
        raise BatchError("OperationInvalidForCurrentState")
    pool.resize.leaving = []
    pool.resize.due = world.at(world.now + seconds(STOP_RESIZE), "resize", pool.key)
    _set_allocation(world, pool, "stopping")
    world.touch(pool)


@event("resize")
def resize_step(world: World, key: tuple[str, ...], due: int) -> None:
    """The next helping of new nodes, the next look at leaving ones, or the end."""
    pool = world.pools.get(key[0])
    work = pool.resize if pool else None
    if pool is None or work is None or work.due != due:
        return
    if pool.allocation == "stopping":
        _end_resize(world, pool, "ResizeStopped", "The resize operation was stopped.")
        return
    for name in list(work.leaving):
        node = pool.nodes.get(name.lower())
        if node is None or not node.running:
            work.leaving.remove(name)
        if node is not None and not node.running:
            nodes.leave(world, pool, node)
    go_on(world, pool)
    for kind in KINDS:
        missing = _missing(pool, dedicated=kind)
        for _ in range(ceil(missing * ALLOCATE_SHARE)):
            nodes.create(world, pool, dedicated=kind)
    busy = work.leaving or any(node.state == "leavingpool" for node in pool.nodes.values())
    if not busy and not any(_missing(pool, dedicated=kind) for kind in KINDS):
        _end_resize(world, pool)
    elif world.now >= work.deadline:
        _end_resize(world, pool, "AllocationTimedout", "The resize operation did not finish within resizeTimeout.")
    else:
        work.due = world.at(world.now + seconds(ALLOCATE_STEP), "resize", pool.key)


def _end_resize(world: World, pool: Pool, code: str | None = None, message: str = "") -> None:
    pool.resize = None
    pool.resize_errors = [{"code": code, "message": message}] if code else []
    _set_allocation(world, pool, "steady")


# --- the OS upgrade ---


def upgrade_os(world: World, pool: Pool, target: str) -> None:
    """``upgradeos``: every refusal in the order of its certainty, then the first nodes go out."""
    unknowns = world.unknowns
    if pool.state == "deleting":
        raise BatchError(str(unknowns["upgradeWhileDeleting"]))
    if pool.cloud_service is None:
        raise BatchError(str(unknowns["iaasPoolCode"]))
    if pool.upgrade is not None:
        same = target == pool.cloud_service["targetOSVersion"]
        code = str(unknowns["sameTargetWhileUpgrading"]) if same else "UpgradePoolVersionConflict"
        if code == "accepted":
            return
        raise BatchError(code)
    _refuse_target(world, pool, pool.cloud_service, target)
    if pool.allocation != "steady" and unknowns["upgradeWhileResizing"] != "accepted":
        raise BatchError("PoolBeingResized")
    pool.cloud_service["targetOSVersion"] = target
    _set_state(world, pool, "upgrading", world.now)
    world.touch(pool)
    pool.upgrade = Upgrade([node.id for node in pool.nodes.values() if node.state != "leavingpool"], [])
    if not pool.upgrade.pending:
        pool.upgrade.until = world.at(
            world.now + seconds(float(unknowns["emptyPoolUpgradeSeconds"])), "upgrade-empty", pool.key
        )
    go_on(world, pool)


def _refuse_target(world: World, pool: Pool, configuration: dict[str, str], target: str) -> None:
    current, family = configuration["currentOSVersion"], configuration["osFamily"]
    newest = latest_of_family(world.images, family) if current == "*" else None
    if target == current or (
        target == newest and world.unknowns["pinnedEqualsLatest"] == "PoolVersionEqualsUpgradeVersion"
    ):
        raise BatchError("PoolVersionEqualsUpgradeVersion")
    validation = world.unknowns["versionValidation"]
    if validation != "none":
        refuse_unknown_version(world.images, target, catalogue=validation == "catalogue")
    rule = world.unknowns["wrongFamily"]
    if rule == "refused" or (rule == "refusedWithNodes" and pool.nodes):
        try:
            wrong = family_of(target) not in (None, family)
        except VersionSyntaxError:
            wrong = False
        if wrong:
            raise BatchError("PoolNotEligibleForOSVersionUpgrade")


def _returned(node: Node | None) -> bool:
    """A node that was taken out is off the list: back, or gone, or going."""
    return node is None or node.state in (*READY, "offline", "leavingpool")


def go_on(world: World, pool: Pool) -> None:
    """In an upgrade, see which nodes are back and take the next ones out; then give tasks to free nodes."""
    if pool.upgrade is not None:
        _go_on_upgrading(world, pool, pool.upgrade)
    tasks.schedule(world, pool)


def _go_on_upgrading(world: World, pool: Pool, work: Upgrade) -> None:
    find = pool.nodes.get
    work.out = [name for name in work.out if not _returned(find(name.lower()))]
    width = max(1, int(len(pool.nodes) * UPGRADE_SHARE))
    for name in list(work.pending):
        node = find(name.lower())
        if node is None or node.state == "leavingpool":
            work.pending.remove(name)
        elif len(work.out) < width and node.state not in STAGES:
            work.pending.remove(name)
            work.out.append(name)
            nodes.upgrade(world, pool, node)
    if not work.pending and not work.out and work.until is None:
        _finish_upgrade(world, pool)


@event("upgrade-empty")
def empty_upgraded(world: World, key: tuple[str, ...], due: int) -> None:
    """An empty pool has shown ``upgrading`` for long enough."""
    pool = world.pools.get(key[0])
    if pool is not None and pool.upgrade is not None and pool.upgrade.until == due:
        pool.upgrade.until = None
        go_on(world, pool)


def _finish_upgrade(world: World, pool: Pool) -> None:
    pool.upgrade = None
    if pool.cloud_service is not None:
        pool.cloud_service["currentOSVersion"] = pool.cloud_service["targetOSVersion"]
    # Recorded: neither ETag nor lastModified move, and the transition time is that of the creation again.
    _set_state(world, pool, "active", pool.created)


@event("back")
def node_back(world: World, key: tuple[str, ...], due: int) -> None:
    """A node came back or went: an upgrade or a resize may go on. The instant itself says nothing more."""
    del due
    pool = world.pools.get(key[0])
    if pool is not None:
        go_on(world, pool)
