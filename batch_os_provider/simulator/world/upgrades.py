"""The OS of a pool's nodes, replaced: ``upgradeos`` on Cloud Services pools, the automatic OS upgrade of VM pools.

This is the state machine that ``PoolOsVersion`` is about, and the return from ``upgrading`` keeps the
recorded warts: ETag and lastModified stay those of the POST, stateTransitionTime goes back to the creation time.
They are why a client must look at ``currentOSVersion`` and nothing else.

The automatic upgrade of VM pools is a sketch: with ``upgradePolicy.automaticOSUpgradePolicy`` on and a reference to
``latest``, nodes follow the images one after the other, busy ones too unless ``osRollingUpgradeDeferral`` is on.
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
    set_state(world, pool, "upgrading", world.now)
    world.touch(pool)
    pool.upgrade = Upgrade([node.id for node in pool.nodes.values() if node.state != "leavingpool"], [])
    if not pool.upgrade.pending:
        pool.upgrade.until = world.schedule(
            world.now + seconds(float(unknowns["emptyPoolUpgradeSeconds"])), "upgrade-empty", pool.key
        )
    reconcile(world, pool)


def roll_back(world: World, pool: Pool) -> None:
    """The platform takes an upgrade back: the one under way, else the last one that ended.

    Of the one under way, the nodes that were taken out go out again; those still to be taken stay as they are.

    Raises:
        BatchError: refused, as another upgrade would be.
        RefusedError: there was none, or it is being taken back already.
    """
    configuration, work = pool.cloud_service, pool.upgrade
    if configuration is None or (work is None and pool.previous_version is None):
        raise RefusedError("the pool has had no upgrade that could be rolled back")
    if work is None:
        upgrade_os(world, pool, str(pool.previous_version))
        return
    if work.rollback:
        raise RefusedError("the upgrade of the pool is being rolled back already")
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
    """A node that was taken out is off the list: back, or gone, or going, or perhaps no good any more."""
    if node is not None and node.state in ("unusable", "starttaskfailed"):
        return world.unknowns["upgradeWithFailedNode"] == "ends"
    return node is None or node.state in (*READY, "offline", "leavingpool")


def reconcile(world: World, pool: Pool) -> None:
    """In an upgrade, see which nodes are back and take the next ones out; then give tasks to free nodes."""
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
    """An empty pool has shown ``upgrading`` for long enough."""
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
    # Recorded: neither ETag nor lastModified move, and the transition time is that of the creation again.
    set_state(world, pool, "active", pool.created)


@event("back")
def node_back(world: World, key: tuple[str, ...], due: int) -> None:
    """A node came back or went: an upgrade or a resize may go on. The instant itself says nothing more."""
    del due
    pool = world.pools.get(key[0])
    if pool is not None:
        reconcile(world, pool)


# --- the automatic OS upgrade of VM pools ---


def _upgrade_next_node(world: World, pool: Pool) -> None:
    """Take the next outdated node out, unless a node is out already (or being made, or leaving)."""
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
    """What ``latest`` means for some image has moved: pools with the automatic OS upgrade begin to follow."""
    del key, due
    for pool in list(world.pools.values()):
        if pool.has_automatic_upgrade:
            reconcile(world, pool)
