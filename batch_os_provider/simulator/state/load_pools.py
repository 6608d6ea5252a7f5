"""Pools and nodes of a state, as :mod:`.load` describes them.

A saved pool can be in the middle of an upgrade or a resize. Its work is read from ``simulator``, or assumed from what
is visible.
"""

from __future__ import annotations

from typing import Any, Final

from batch_os_provider.simulator.protocol import response_shapes
from batch_os_provider.simulator.protocol.api_versions import LAST_WITH_UPGRADE, NEWEST, within
from batch_os_provider.simulator.state.allocation_script import read_script
from batch_os_provider.simulator.world import vm_images
from batch_os_provider.simulator.world.clock import etag, parse_duration, seconds
from batch_os_provider.simulator.world.durations import (
    DELETE_DURATION,
    RESIZE_STEP,
    RESIZE_TIMEOUT,
    STOP_RESIZE_DURATION,
    TRANSITIONS,
)
from batch_os_provider.simulator.world.model import FATES, NODE_AGENT, Node, Pool, Resize, Upgrade
from batch_os_provider.simulator.world.nodes import create, lasts
from batch_os_provider.simulator.world.reader import Reader, StateError
from batch_os_provider.simulator.world.world import World
from batch_os_provider.wording import counted

_DERIVED_POOL: Final = ("url", "odata.metadata")
_POOL_PROPS: Final = {
    rule.wire: rule.name
    for rule in response_shapes.POOL
    if within(LAST_WITH_UPGRADE, rule.since, rule.until) or within(NEWEST, rule.since, rule.until)
}


def load_pool(world: World, row: object) -> None:
    """Add the pool of one row.

    Raises:
        StateError: it is not a pool.
    """
    reader = Reader("pools", row)
    name = reader.take("id", str)
    reader.where = f"pool {name}"
    if name.lower() in world.pools:
        raise StateError(f"Two pools have the id {name} (case does not count).")
    created = reader.take_time("creationTime", world.now)
    modified = reader.take_time("lastModified", created)
    virtual = reader.take("virtualMachineConfiguration", dict, None)
    if virtual is not None and not isinstance(virtual.get("imageReference"), dict):
        raise StateError(f"Pool {name} has a virtualMachineConfiguration without imageReference.")
    pool = Pool(
        id=name,
        props={},
        created=created,
        modified=modified,
        etag=reader.take("eTag", str, etag(modified)),
        state=reader.take("state", str, "active"),
        state_time=reader.take_time("stateTransitionTime", created),
        allocation=reader.take("allocationState", str, "steady"),
        allocation_time=reader.take_time("allocationStateTransitionTime", created),
        target_dedicated=0,
        target_low_priority=0,
        cloud_service=_cloud_service(reader.where, reader.take("cloudServiceConfiguration", dict, None)),
        virtual_machine=virtual,
        resize_errors=reader.take("resizeErrors", list, []),
    )
    world.pools[pool.key] = pool
    _load_nodes(world, pool, reader)
    work = Reader(f"{reader.where} simulator", reader.take("simulator", dict, {}))
    pool.node_counter = work.take("nodeCounter", int, len(pool.nodes))
    pool.resolved_latest = work.take("latest", str, pool.resolved_latest)
    pool.autoscale_enabled_at = work.take_time("autoScaleEnabled", None)
    pool.previous_version = work.take("previousOSVersion", str, None)
    pool.script = read_script(work, pool)
    _load_in_flight(world, pool, work)
    for key in _DERIVED_POOL:
        reader.discard(key)
    pool.props = {_POOL_PROPS[key]: value for key, value in reader.take_rest(set(_POOL_PROPS)).items()}
    _check_props(reader.where, pool.props)
    pool.props.setdefault("vmSize", "small")


_KINDS: Final[dict[str, type[Any]]] = {
    "vmSize": str,
    "taskSchedulingPolicy": dict,
    "startTask": dict,
    "networkConfiguration": dict,
    "userAccounts": list,
    "autoScaleEvaluationInterval": str,
}
"""The properties of a pool that an answer completes (:mod:`.filled_in`)."""


def _check_props(where: str, props: dict[str, Any]) -> None:
    reader = Reader(where, props)
    for name, kind in _KINDS.items():
        reader.take(name, kind, None)
    for account in props.get("userAccounts", ()):
        Reader(f"{where} userAccounts", account)
    try:
        parse_duration(props.get("autoScaleEvaluationInterval", "PT15M"))
    except ValueError as error:
        raise StateError(f"{where}: autoScaleEvaluationInterval: {error}.") from None


def _load_nodes(world: World, pool: Pool, reader: Reader) -> None:
    """The listed nodes; without a list, as many idle nodes as the counts say."""
    rows = reader.take("nodes", list, None)
    for row in rows or []:
        node = _load_node(reader.where, row, pool.created)
        if node.id.lower() in pool.nodes:
            raise StateError(f"Pool {pool.id} has two nodes with the same id.")
        pool.nodes[node.id.lower()] = node
    targets = []
    for kind, dedicated in (("DedicatedNodes", True), ("LowPriorityNodes", False)):
        shown, target = reader.take(f"current{kind}", int, None), reader.take(f"target{kind}", int, None)
        if rows is None:
            wanted = target or 0 if pool.allocation == "steady" else 0
            _add_idle_nodes(world, pool, wanted if shown is None else shown, dedicated=dedicated)
        elif shown is not None and shown != pool.count(dedicated=dedicated):
            present = pool.count(dedicated=dedicated)
            raise StateError(f"Pool {pool.id} has current{kind} {shown}, but lists {counted(present, 'such node')}.")
        staying = sum(node.dedicated is dedicated and node.state != "leavingpool" for node in pool.nodes.values())
        targets.append(staying if target is None else target)
    pool.target_dedicated, pool.target_low_priority = targets
    _set_images(world, pool)
    for node in pool.nodes.values():
        if node.state not in TRANSITIONS or node.due == STUCK:
            node.due = None
        else:
            node.due = world.schedule(
                node.due or world.now + lasts(world, pool, node.state, node.id), "node", pool.key, node.id
            )


def _set_images(world: World, pool: Pool) -> None:
    """A node of a VM pool has the pool's image; without exactVersion it gets the version of a node created now."""
    if pool.virtual_machine is None:
        return
    reference = pool.virtual_machine["imageReference"]
    for node in pool.nodes.values():
        given = node.image or {}
        if given.get("exactVersion", "latest") == "latest":
            pool.resolved_latest = None
            given.pop("exactVersion", None)
            given = {**vm_images.image_of_new_node(world, pool), **given}
        node.image = {**reference, **given}
    if pool.nodes and vm_images.pinned_version(reference) is None:
        pool.resolved_latest = (next(iter(pool.nodes.values())).image or {}).get("exactVersion")


def _add_idle_nodes(world: World, pool: Pool, count: int, *, dedicated: bool) -> None:
    for _ in range(count):
        node = create(world, pool, dedicated=dedicated)
        node.state, node.due, node.fate, node.boot_time = "idle", None, None, node.allocation_time


def _cloud_service(where: str, given: dict[str, Any] | None) -> dict[str, str] | None:
    if given is None:
        return None
    reader = Reader(f"{where} cloudServiceConfiguration", given)
    family = reader.take("osFamily", str)
    current = reader.take("currentOSVersion", str, None)
    target = reader.take("targetOSVersion", str, None) or reader.take("osVersion", str, None) or current or "*"
    reader.finish()
    return {"osFamily": family, "targetOSVersion": target, "currentOSVersion": current or target}


def _load_in_flight(world: World, pool: Pool, work: Reader) -> None:
    """The work in progress: as written, or derived from the visible fields."""
    now = world.now
    upgrade, resize = work.take("upgrade", dict, None), work.take("resize", dict, None)
    if pool.state == "upgrading":
        pool.upgrade = _assumed_upgrade(world, pool) if upgrade is None else _read_upgrade(pool, work.where, upgrade)
        if pool.upgrade.until is not None:
            world.schedule(pool.upgrade.until, "upgrade-empty", pool.key)
    if pool.allocation in ("resizing", "stopping") and pool.state != "deleting":
        step = STOP_RESIZE_DURATION if pool.allocation == "stopping" else RESIZE_STEP
        assumed = Resize(now + seconds(step), now + seconds(RESIZE_TIMEOUT))
        pool.resize = assumed if resize is None else _read_resize(pool, work.where, resize, assumed)
        world.schedule(pool.resize.due, "resize", pool.key)
    delete_due = work.take_time("deleteDue", now + seconds(DELETE_DURATION))
    if pool.state == "deleting":
        pool.delete_due = world.schedule(delete_due, "pool-delete", pool.key)
    work.finish()


def _present(pool: Pool, names: list[Any]) -> list[str]:
    return [str(name) for name in names if str(name).lower() in pool.nodes]


def _assumed_upgrade(world: World, pool: Pool) -> Upgrade:
    """Booting nodes are being upgraded; nodes that have not booted since the upgrade began are pending."""
    out = [node.id for node in pool.nodes.values() if node.state in ("reimaging", "rebooting", "starting")]
    old = [node.id for node in pool.nodes.values() if (node.boot_time or 0) <= pool.state_time and node.id not in out]
    until = None if pool.nodes else world.now + seconds(float(world.unknowns["emptyPoolUpgradeSeconds"]))
    return Upgrade(old, out, until)


def _read_upgrade(pool: Pool, where: str, given: dict[str, Any]) -> Upgrade:
    reader = Reader(f"{where} upgrade", given)
    pending, out = reader.take("pending", list, []), reader.take("out", list, [])
    until, back = reader.take_time("until", None), reader.take("rollback", bool, default=False)
    reader.finish()
    return Upgrade(_present(pool, pending), _present(pool, out), until, back)


def _read_resize(pool: Pool, where: str, given: dict[str, Any], assumed: Resize) -> Resize:
    reader = Reader(f"{where} resize", given)
    due, deadline = reader.take_time("due", assumed.due), reader.take_time("deadline", assumed.deadline)
    option, leaving = reader.take("nodeDeallocationOption", str, "requeue"), reader.take("leaving", list, [])
    removal, earlier = reader.take("removal", bool, default=False), reader.take("earlierErrors", list, [])
    reader.finish()
    return Resize(due, deadline, option, _present(pool, leaving), removal, earlier)


STUCK: Final = -1
"""The ``due`` of a stuck node while it is read."""
_DERIVED_NODE: Final = (
    *("url", "odata.metadata", "ipAddress", "affinityId", "vmSize", "runningTasksCount", "runningTaskSlotsCount"),
    *("startTask", "endpointConfiguration", "recentTasks", "certificateReferences"),
)


def _read_fate(work: Reader, state: str) -> str | None:
    """How the current boot of a node ends, or the next boot of a node that is up."""
    fate, later = work.take("fate", str, None), work.take("nextFate", str, None)
    moved_on = state not in TRANSITIONS and fate in FATES  # the saved state was edited
    return later or (None if moved_on else fate)


def _read_version(work: Reader, image: dict[str, Any]) -> Any:
    """Put the real version into the image of a node; return the version that the state makes it show, if any.

    A number that the state sets is also the real version. An edited exactVersion no longer follows the switch.
    """
    real, by_switch = work.take("imageVersion", str, None), work.take("shownBySwitch", str, None)
    given = image.get("exactVersion")
    shown = None if given == by_switch else given
    if real is not None and shown in (None, "latest"):
        image["exactVersion"] = real
    return shown


def _load_node(where: str, row: object, created: int) -> Node:
    reader = Reader(f"{where} nodes", row)
    name = reader.take("id", str)
    reader.where = f"{where} node {name}"
    work = Reader(f"{reader.where} simulator", reader.take("simulator", dict, {}))
    machine, state = reader.take("virtualMachineInfo", dict, {}), reader.take("state", str, "")
    unbooted = work.take("unbooted", bool, default=state in ("creating", "starting"))
    boot = reader.take_time("lastBootTime", None if unbooted else created)
    image = dict(Reader(f"{reader.where} virtualMachineInfo", machine).take("imageReference", dict, {}))
    shown = _read_version(work, image)
    node = Node(
        id=name,
        dedicated=reader.take("isDedicated", bool, default=True),
        state=state,
        state_time=reader.take_time("stateTransitionTime", created if boot is None else boot),
        boot_time=boot,
        allocation_time=reader.take_time("allocationTime", created),
        due=STUCK if work.take("stuck", bool, default=False) else work.take_time("due", None),
        fate=_read_fate(work, state),
        scheduling=reader.take("schedulingState", str, "enabled"),
        image=image or None,
        shown_version=shown,
        agent=work.take("agent", str, str(reader.take("nodeAgentInfo", dict, {}).get("version", NODE_AGENT))),
        tasks_run=reader.take("totalTasksRun", int, 0),
        tasks_succeeded=reader.take("totalTasksSucceeded", int, 0),
        start_task=reader.take("startTaskInfo", dict, None),
        errors=reader.take("errors", list, []),
    )
    work.finish()
    for key in _DERIVED_NODE:
        reader.discard(key)
    reader.finish()
    return node
