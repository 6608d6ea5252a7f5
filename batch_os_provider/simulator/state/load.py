"""The whole account from JSON (:mod:`.dumping` is the way out).

A test begins with a state and ends by looking at one, so the state is data that a person can
write by hand. A pool is its own JSON as a GET shows it (2018-08-01.7.0 for Cloud Services pools, the newest
version for VM pools) plus ``nodes``; a job plus ``tasks``. What is left out is filled in with what a quiet,
healthy account would have. Work in flight is written under ``simulator``, beside what Batch itself would show, so
that a state saved in the middle of an upgrade goes on at the same instant; without it the work is made up from
what is visible. Where the two disagree (somebody edited a saved state), what is visible wins.
Images are described in :mod:`.images`, principals in :mod:`.principals`; the account's ``quota`` and what nodes to
come are in for, in :mod:`.resizes`.

A state is read aside and checked (:mod:`.checker`) before it replaces anything.
"""

from __future__ import annotations

from typing import Any, Final

from batch_os_provider.simulator.identity import principals
from batch_os_provider.simulator.identity.account_access import read_access
from batch_os_provider.simulator.identity.principals import usable_key
from batch_os_provider.simulator.protocol import request_schemas, response_shapes
from batch_os_provider.simulator.protocol.api_versions import LAST_WITH_UPGRADE, NEWEST, within
from batch_os_provider.simulator.state import consistency
from batch_os_provider.simulator.state.allocation_script import read_script
from batch_os_provider.simulator.state.dump import VERSION
from batch_os_provider.simulator.world import tasks, vm_images
from batch_os_provider.simulator.world.clock import VirtualClock, etag, seconds
from batch_os_provider.simulator.world.durations import (
    DELETE_DURATION,
    RESIZE_STEP,
    RESIZE_TIMEOUT,
    STOP_RESIZE_DURATION,
    TRANSITIONS,
    state_duration,
)
from batch_os_provider.simulator.world.errors import BatchError
from batch_os_provider.simulator.world.guest_os_images import guest_os
from batch_os_provider.simulator.world.model import FATES, WITHOUT_TASKS, Job, Node, Pool, Resize, Task, Upgrade
from batch_os_provider.simulator.world.nodes import create
from batch_os_provider.simulator.world.reader import Reader, StateError, with_defaults
from batch_os_provider.simulator.world.upgrades import reconcile
from batch_os_provider.simulator.world.world import World

__all__ = ["StateError", "load"]


def load(world: World, data: object) -> None:
    """Replace the account by a state.

    Raises:
        StateError: it is not a state, or an impossible one; nothing has changed then.
    """
    reader = Reader("state", data)
    if reader.take("version", int, VERSION) != VERSION:
        raise StateError(f"this simulator reads states of version {VERSION} only")
    virtual = reader.take("virtual", str, None)
    start = reader.parse_time("virtual", virtual) if virtual is not None else world.clock.now()
    fresh = World(VirtualClock(start, speed=0))
    fresh.unknowns = world.unknowns
    account = Reader("account", reader.take("account", dict, {}))
    fresh.account = account.take("name", str, world.account)
    fresh.key = account.take("key", str, world.key)
    if not usable_key(fresh.key):
        raise StateError("account: the key is not base64")
    fresh.access = read_access(account)
    account.finish()
    fresh.principals = [principals.read(row) for row in reader.take("principals", list, [])]
    fresh.images = [_image(row) for row in reader.take("images", list, [])]
    fresh.quota = _quota(Reader("quota", reader.take("quota", dict, {})))
    for moment in vm_images.release_times(fresh.images, fresh.now):
        fresh.schedule(moment, "image")
    for row in reader.take("pools", list, []):
        _load_pool(fresh, row)
    for row in reader.take("jobs", list, []):
        _load_job(fresh, row)
    reader.finish()
    _link_running_tasks(fresh)
    problems = consistency.problems(fresh)
    if problems:
        raise StateError(" ".join(problems))
    if virtual is not None:
        world.clock.set(start)
    before = {
        (pool.key, pool.created, node.id): node.state for pool in world.pools.values() for node in pool.nodes.values()
    }
    world.replace(fresh, start)
    for pool in list(world.pools.values()):
        _record_edits(world, pool, before)
        reconcile(world, pool)


def _record_edits(world: World, pool: Pool, before: dict[tuple[str, int, str], str]) -> None:
    """Somebody edited a saved state: a node moved (audited as by the state), and a node that is lost has no tasks."""
    for node in pool.nodes.values():
        seen = before.get((pool.key, pool.created, node.id), node.state)
        if seen != node.state:
            more = {"pool": pool.id, "dedicated": node.dedicated, "by": "state"}
            world.record_change("node", node.id, seen, node.state, **more)
        if node.running and node.state in WITHOUT_TASKS:
            tasks.evict(world, node, terminate=False)


def _quota(reader: Reader) -> dict[str, int]:
    names = ("dedicatedNodes", "lowPriorityNodes")
    quota = {name: value for name in names if (value := reader.take(name, int, None)) is not None}
    reader.finish()
    return quota


def _image(row: object) -> dict[str, Any]:
    """One row of the catalogue: a Guest OS version or an image of virtual machines."""
    return guest_os(row) if isinstance(row, dict) and "osVersion" in row else vm_images.read(row)


_DERIVED_POOL: Final = ("url", "odata.metadata")
_POOL_PROPS: Final = {
    rule.wire: rule.name
    for rule in response_shapes.POOL
    if within(LAST_WITH_UPGRADE, rule.since, rule.until) or within(NEWEST, rule.since, rule.until)
}


def _load_pool(world: World, row: object) -> None:
    reader = Reader("pools", row)
    name = reader.take("id", str)
    reader.where = f"pool {name}"
    if name.lower() in world.pools:
        raise StateError(f"There are two pools with the id {name} (ids are compared without case).")
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
    pool.props.setdefault("vmSize", "small")


def _load_nodes(world: World, pool: Pool, reader: Reader) -> None:
    """The nodes as listed; or, without a list, as many idle ones as the counts say."""
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
            raise StateError(f"Pool {pool.id} says current{kind} {shown}, but {present} such nodes are listed.")
        staying = sum(node.dedicated is dedicated and node.state != "leavingpool" for node in pool.nodes.values())
        targets.append(staying if target is None else target)
    pool.target_dedicated, pool.target_low_priority = targets
    _set_images(world, pool)
    for node in pool.nodes.values():
        if node.state not in TRANSITIONS or node.due == STUCK:
            node.due = None
        else:
            node.due = world.schedule(
                node.due or world.now + state_duration(node.state, node.id), "node", pool.key, node.id
            )


def _set_images(world: World, pool: Pool) -> None:
    """A node of a VM pool shows the pool's reference; one without exactVersion is taken for one made now."""
    if pool.virtual_machine is None:
        return
    reference = pool.virtual_machine["imageReference"]
    for node in pool.nodes.values():
        given = node.image or {}
        if "exactVersion" not in given:
            pool.resolved_latest = None
            given = {**vm_images.image_of_new_node(world, pool), **given}
        node.image = {**reference, **given}
    if pool.nodes and vm_images.pinned_version(reference) is None:
        pool.resolved_latest = (next(iter(pool.nodes.values())).image or {}).get("exactVersion")


def _add_idle_nodes(world: World, pool: Pool, count: int, *, dedicated: bool) -> None:
    for _ in range(count):
        node = create(world, pool, dedicated=dedicated)
        node.state, node.due, node.fate = "idle", None, None


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
    """What is in flight: as written, or made up from what is visible."""
    now = world.now
    upgrade, resize = work.take("upgrade", dict, None), work.take("resize", dict, None)
    if pool.state == "upgrading":
        pool.upgrade = _assumed_upgrade(world, pool) if upgrade is None else _read_upgrade(pool, work.where, upgrade)
        if pool.upgrade.until is not None:
            world.schedule(pool.upgrade.until, "upgrade-empty", pool.key)
    if pool.allocation in ("resizing", "stopping"):
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
    """Nodes in the middle of it are out; nodes that have not booted since it began are still to be taken."""
    out = [node.id for node in pool.nodes.values() if node.state in ("reimaging", "rebooting", "starting")]
    old = [node.id for node in pool.nodes.values() if node.boot_time <= pool.state_time and node.id not in out]
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
"""Stands for "never" while a node is being read."""
_DERIVED_NODE: Final = (
    *("url", "odata.metadata", "ipAddress", "affinityId", "vmSize", "runningTasksCount", "runningTaskSlotsCount"),
    *("startTask", "endpointConfiguration", "nodeAgentInfo", "recentTasks", "certificateReferences"),
)


def _read_fate(work: Reader, state: str) -> str | None:
    """How the present boot of a node ends, or the next one of a node that is up."""
    fate, later = work.take("fate", str, None), work.take("nextFate", str, None)
    moved_on = state not in TRANSITIONS and fate in FATES  # somebody has moved it on
    return later or (None if moved_on else fate)


def _load_node(where: str, row: object, created: int) -> Node:
    reader = Reader(f"{where} nodes", row)
    name = reader.take("id", str)
    reader.where = f"{where} node {name}"
    boot = reader.take_time("lastBootTime", created)
    work = Reader(f"{reader.where} simulator", reader.take("simulator", dict, {}))
    machine, state = reader.take("virtualMachineInfo", dict, {}), reader.take("state", str, "")
    node = Node(
        id=name,
        dedicated=reader.take("isDedicated", bool, default=True),
        state=state,
        state_time=reader.take_time("stateTransitionTime", boot),
        boot_time=boot,
        allocation_time=reader.take_time("allocationTime", created),
        due=STUCK if work.take("stuck", bool, default=False) else work.take_time("due", None),
        fate=_read_fate(work, state),
        scheduling=reader.take("schedulingState", str, "enabled"),
        image=machine.get("imageReference"),
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


_DERIVED_WORK: Final = ("url", "odata.metadata", "poolInfo", "executionInfo", "nodeInfo")
_PROPS: Final = {
    kind: response_shapes.wire_names(kind)
    - {"id", "eTag", "lastModified", "creationTime", "state", "stateTransitionTime", "stats"}
    for kind in ("jobs", "tasks")
}


def _load_job(world: World, row: object) -> None:
    reader = Reader("jobs", row)
    name = reader.take("id", str)
    reader.where = f"job {name}"
    if name.lower() in world.jobs:
        raise StateError(f"There are two jobs with the id {name} (ids are compared without case).")
    created = reader.take_time("creationTime", world.now)
    modified = reader.take_time("lastModified", created)
    pool_id = Reader(f"{reader.where} poolInfo", reader.take("poolInfo", dict)).take("poolId", str)
    work = Reader(f"{reader.where} simulator", reader.take("simulator", dict, {}))
    rows = reader.take("tasks", list, [])
    tag, state = reader.take("eTag", str, etag(modified)), reader.take("state", str, "active")
    job = Job(name, {}, created, modified, tag, state, reader.take_time("stateTransitionTime", created), pool_id)
    delete_due = work.take_time("deleteDue", world.now + seconds(DELETE_DURATION / 4))
    if state == "deleting":
        job.delete_due = world.schedule(delete_due, "job-delete", job.key)
    work.finish()
    for key in _DERIVED_WORK:
        reader.discard(key)
    job.props = reader.take_rest(_PROPS["jobs"])
    world.jobs[job.key] = job
    for task in rows:
        _load_task(world, job, task)


def _load_task(world: World, job: Job, row: object) -> None:
    reader = Reader(f"job {job.id} tasks", row)
    name = reader.take("id", str)
    reader.where = f"task {job.id}/{name}"
    if name.lower() in job.tasks:
        raise StateError(f"Job {job.id} has two tasks with the id {name} (ids are compared without case).")
    created = reader.take_time("creationTime", job.created)
    modified = reader.take_time("lastModified", created)
    execution = Reader(f"{reader.where} executionInfo", reader.take("executionInfo", dict, {}))
    place = Reader(f"{reader.where} nodeInfo", reader.take("nodeInfo", dict, {}))
    work = Reader(f"{reader.where} simulator", reader.take("simulator", dict, {}))
    node = place.take("nodeId", str, None)
    task = Task(
        id=name,
        props={},
        created=created,
        modified=modified,
        etag=reader.take("eTag", str, etag(modified)),
        state=reader.take("state", str, "active"),
        state_time=reader.take_time("stateTransitionTime", created),
        previous_state=reader.take("previousState", str, None),
        previous_state_time=reader.take_time("previousStateTransitionTime", None),
        pool=None if node is None else place.take("poolId", str, job.pool_id),
        node=node,
        started=execution.take_time("startTime", None),
        ended=execution.take_time("endTime", None),
        exit_code=execution.take("exitCode", int, None),
        retries=execution.take("retryCount", int, 0),
        requeues=execution.take("requeueCount", int, 0),
        requeued=execution.take_time("lastRequeueTime", None),
        due=work.take_time("due", None),
    )
    for key in _DERIVED_WORK:
        reader.discard(key)
    task.props = with_defaults(reader.take_rest(_PROPS["tasks"]), commandLine="cmd /c rem")
    try:
        request_schemas.check(task.props.get("dependsOn", {}), request_schemas.DEPENDS_ON, NEWEST, "dependsOn.")
    except BatchError as error:
        said = (value for key, value in error.values if key != "PropertyValue")
        raise StateError(f"{reader.where}: {': '.join(said)}.") from None
    job.tasks[task.key] = task
    if task.state == "running":
        task.started = world.now if task.started is None else task.started
        task.due = world.schedule(
            task.due or world.now + tasks.run_time(task.props["commandLine"]), "task", job.key, task.key
        )


def _link_running_tasks(world: World) -> None:
    """Tie running tasks to their nodes, and give a node without a state the one that follows."""
    for job in world.jobs.values():
        for task in job.tasks.values():
            pool = world.pools.get((task.pool or "").lower())
            node = pool.nodes.get((task.node or "").lower()) if pool else None
            if task.state == "running" and node is not None:
                node.running.append((job.key, task.key))
    for pool in world.pools.values():
        for node in pool.nodes.values():
            node.state = node.state or ("running" if node.running else "idle")
