"""OS upgrades: ``upgradeos`` on Cloud Services pools, and the automatic OS upgrade of VM pools.

``PoolOsVersion`` drives this state machine. The end of an upgrade behaves as recorded: ETag and lastModified stay those
of the POST, and stateTransitionTime returns to the creation time. So a client must read ``currentOSVersion`` only.

The automatic upgrade of VM pools is simplified: with ``upgradePolicy.automaticOSUpgradePolicy`` on and a reference to
``latest``, nodes are upgraded one after the other. Busy nodes are included unless ``osRollingUpgradeDeferral`` is on.
Rolling limits, pauses and rollbacks are not simulated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from batch_os_provider.guest_os.version import VersionSyntaxError, family_of
from batch_os_provider.simulator.world import nodes, tasks, vm_images
from batch_os_provider.simulator.world.clock import seconds
from batch_os_provider.simulator.world.durations import TRANSITIONS, UPGRADE_SHARE
from batch_os_provider.simulator.world.errors import BatchError
from batch_os_provider.simulator.world.guest_os_images import latest_of_family, refuse_unknown_version
from batch_os_provider.simulator.world.model import READY, Node, Pool, Upgrade
from batch_os_provider.simulator.world.pool_states import set_state
from batch_os_provider.simulator.world.reader import RefusedError
from batch_os_provider.simulator.world.world import event

if TYPE_CHECKING:
    from batch_os_provider.simulator.world.world import World


def upgrade_os(world: World, pool: Pool, target: str) -> None:
    """``upgradeos``: the best known refusals first, then start to upgrade the first nodes."""
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
    set_state(world, pool, "upgrading", world.now)
    world.touch(pool)
    pool.upgrade = Upgrade([node.id for node in pool.nodes.values() if node.state != "leavingpool"], [])
    if not pool.upgrade.pending:
        pool.upgrade.until = world.schedule(
            world.now + seconds(float(unknowns["emptyPoolUpgradeSeconds"])), "upgrade-empty", pool.key
        )
    reconcile(world, pool)


def roll_back(world: World, pool: Pool) -> None:
    """The platform reverts an upgrade: the running one, else the last finished one.

    Nodes that a running upgrade has already changed are upgraded again; pending nodes stay unchanged.

    Raises:
        BatchError: Batch would refuse an upgrade now.
        RefusedError: the pool has had no upgrade, or a rollback is already running.
    """
    configuration, work = pool.cloud_service, pool.upgrade
    if configuration is None or (work is None and pool.previous_version is None):
        raise RefusedError("the pool has not had an upgrade to roll back")
    if work is None:
        upgrade_os(world, pool, str(pool.previous_version))
        return
    if work.rollback:
        raise RefusedError("the upgrade of the pool is already being rolled back")
    work.rollback = True
    configuration["targetOSVersion"] = configuration["currentOSVersion"]
    world.touch(pool)
    work.pending = [node.id for node in pool.nodes.values() if node.id not in work.pending]
    reconcile(world, pool)


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


def _is_done(world: World, node: Node | None) -> bool:
    """Whether the upgrade of a node is finished: ready, removed, leaving or, by ``upgradeWithFailedNode``, failed."""
    if node is not None and node.state in ("unusable", "starttaskfailed"):
        return world.unknowns["upgradeWithFailedNode"] == "ends"
    return node is None or node.state in (*READY, "offline", "leavingpool")


def reconcile(world: World, pool: Pool) -> None:
    """Continue the work of a pool: its upgrade, its automatic upgrade, then its task queue."""
    if pool.upgrade is not None:
        _continue_upgrade(world, pool, pool.upgrade)
    if pool.has_automatic_upgrade:
        _upgrade_next_node(world, pool)
    tasks.schedule(world, pool)


def _continue_upgrade(world: World, pool: Pool, work: Upgrade) -> None:
    find = pool.nodes.get
    work.out = [name for name in work.out if not _is_done(world, find(name.lower()))]
    width = max(1, int(len(pool.nodes) * UPGRADE_SHARE))
    for name in list(work.pending):
        node = find(name.lower())
        if node is None or node.state == "leavingpool":
            work.pending.remove(name)
        elif len(work.out) < width and node.state not in TRANSITIONS:
            work.pending.remove(name)
            work.out.append(name)
            nodes.start_upgrade(world, pool, node)
    if not work.pending and not work.out and work.until is None:
        _finish_upgrade(world, pool)


@event("upgrade-empty")
def empty_pool_upgraded(world: World, key: tuple[str, ...], due: int) -> None:
    """The upgrade of an empty pool ends."""
    pool = world.pools.get(key[0])
    if pool is not None and pool.upgrade is not None and pool.upgrade.until == due:
        pool.upgrade.until = None
        reconcile(world, pool)


def _finish_upgrade(world: World, pool: Pool) -> None:
    pool.upgrade = None
    configuration = pool.cloud_service
    if configuration is not None and configuration["currentOSVersion"] != configuration["targetOSVersion"]:
        pool.previous_version = configuration["currentOSVersion"]
        configuration["currentOSVersion"] = configuration["targetOSVersion"]
    # Recorded: ETag and lastModified stay unchanged, and the transition time is the creation time again.
    set_state(world, pool, "active", pool.created)


@event("back")
def node_back(world: World, key: tuple[str, ...], due: int) -> None:
    """A node is ready or removed: continue the work of its pool. ``due`` is not needed."""
    del due
    pool = world.pools.get(key[0])
    if pool is not None:
        reconcile(world, pool)


# --- the automatic OS upgrade of VM pools ---


def _upgrade_next_node(world: World, pool: Pool) -> None:
    """Upgrade the next outdated node, unless a node is already in transition."""
    if pool.state == "deleting" or any(node.state in TRANSITIONS for node in pool.nodes.values()):
        return
    machine = pool.virtual_machine or {}
    newest = vm_images.newest(world.images, machine["imageReference"], world.now)
    if newest is None:
        return
    for node in pool.nodes.values():
        outdated = (node.image or {}).get("exactVersion") != newest
        if outdated and (node.state == "idle" or (node.state == "running" and not pool.defers_upgrade)):
            tasks.evict(world, node, terminate=False)
            # Documented: upgradingos is shown with the deferral on, rebooting otherwise.
            nodes.set_state(world, pool, node, "upgradingos" if pool.defers_upgrade else "rebooting")
            return


@event("image")
def latest_changed(world: World, key: tuple[str, ...], due: int) -> None:
    """The ``latest`` version of an image has changed: continue the automatic upgrades."""
    del key, due
    for pool in list(world.pools.values()):
        if pool.has_automatic_upgrade:
            reconcile(world, pool)
