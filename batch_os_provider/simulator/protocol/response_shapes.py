"""Pools, nodes, jobs and tasks as JSON, in the shape of the requested api-version.

The JSON of a pool depends on the version: two node counts or one, ``targetOSVersion`` or ``osVersion``, with or without
the state ``upgrading``. A provider must handle all of them. The rules are tables of (name, since, until), read once for
each version.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final
from zlib import crc32

from batch_os_provider.simulator.protocol import filled_in
from batch_os_provider.simulator.protocol.api_versions import (
    FIRST,
    LAST_WITH_UPGRADE,
    NEWEST,
    NO_CLOUD_SERVICES,
    OS_VERSION_RENAMED,
    VERSIONS,
    within,
)
from batch_os_provider.simulator.world import vm_images
from batch_os_provider.simulator.world.clock import iso

if TYPE_CHECKING:
    from collections.abc import Mapping

    from batch_os_provider.simulator.world.model import Job, Node, Pool, Task
    from batch_os_provider.simulator.world.world import World


@dataclass(frozen=True, eq=False)
class Rule:
    """The inner property ``name`` is on the wire as ``wire`` from ``since`` to ``until``.

    Compared by identity: a whole table is the key of a cache that every row uses, so its hash must be cheap.
    """

    name: str
    wire: str
    since: str = FIRST
    until: str = NEWEST


_BEFORE_LOW_PRIORITY: Final = "2017-01-01.4.0"
_LOW_PRIORITY: Final = "2017-05-01.5.0"
_BEFORE_SLOTS: Final = "2020-03-01.11.0"
_SLOTS: Final = "2020-09-01.12.0"
_BEFORE_NO_CLOUD_SERVICES: Final = "2024-02-01.19.0"

POOL: Final = (
    Rule("odata.metadata", "odata.metadata"),
    Rule("id", "id"),
    Rule("displayName", "displayName"),
    Rule("url", "url"),
    Rule("eTag", "eTag"),
    Rule("lastModified", "lastModified"),
    Rule("creationTime", "creationTime"),
    Rule("state", "state"),
    Rule("stateTransitionTime", "stateTransitionTime"),
    Rule("allocationState", "allocationState"),
    Rule("allocationStateTransitionTime", "allocationStateTransitionTime"),
    Rule("vmSize", "vmSize"),
    Rule("cloudServiceConfiguration", "cloudServiceConfiguration"),
    Rule("virtualMachineConfiguration", "virtualMachineConfiguration"),
    Rule("resizeTimeout", "resizeTimeout"),
    Rule("resizeError", "resizeError", until=_BEFORE_LOW_PRIORITY),
    Rule("resizeErrors", "resizeErrors", since=_LOW_PRIORITY),
    Rule("currentDedicatedNodes", "currentDedicated", until=_BEFORE_LOW_PRIORITY),
    Rule("targetDedicatedNodes", "targetDedicated", until=_BEFORE_LOW_PRIORITY),
    Rule("currentDedicatedNodes", "currentDedicatedNodes", since=_LOW_PRIORITY),
    Rule("targetDedicatedNodes", "targetDedicatedNodes", since=_LOW_PRIORITY),
    Rule("currentLowPriorityNodes", "currentLowPriorityNodes", since=_LOW_PRIORITY),
    Rule("targetLowPriorityNodes", "targetLowPriorityNodes", since=_LOW_PRIORITY),
    Rule("enableAutoScale", "enableAutoScale"),
    Rule("autoScaleFormula", "autoScaleFormula"),
    Rule("autoScaleEvaluationInterval", "autoScaleEvaluationInterval"),
    Rule("enableInterNodeCommunication", "enableInterNodeCommunication"),
    Rule("networkConfiguration", "networkConfiguration"),
    Rule("startTask", "startTask"),
    Rule("certificateReferences", "certificateReferences", until="2024-07-01.20.0"),
    Rule("applicationPackageReferences", "applicationPackageReferences"),
    Rule("applicationLicenses", "applicationLicenses", since=_LOW_PRIORITY, until=_BEFORE_NO_CLOUD_SERVICES),
    Rule("taskSlotsPerNode", "maxTasksPerNode", until=_BEFORE_SLOTS),
    Rule("taskSlotsPerNode", "taskSlotsPerNode", since=_SLOTS),
    Rule("taskSchedulingPolicy", "taskSchedulingPolicy"),
    Rule("userAccounts", "userAccounts", since="2017-01-01.4.0"),
    Rule("metadata", "metadata"),
    Rule("mountConfiguration", "mountConfiguration", since="2019-08-01.10.0"),
    Rule("upgradePolicy", "upgradePolicy", since="2024-02-01.19.0"),
    Rule("resourceTags", "resourceTags", since="2023-11-01.18.0", until="2024-07-01.20.0"),
    Rule(
        "targetNodeCommunicationMode", "targetNodeCommunicationMode", since="2022-10-01.16.0", until="2024-07-01.20.0"
    ),
    Rule(
        "currentNodeCommunicationMode", "currentNodeCommunicationMode", since="2022-10-01.16.0", until="2024-07-01.20.0"
    ),
)

NODE: Final = (
    Rule("odata.metadata", "odata.metadata"),
    Rule("id", "id"),
    Rule("url", "url"),
    Rule("state", "state"),
    Rule("schedulingState", "schedulingState"),
    Rule("stateTransitionTime", "stateTransitionTime"),
    Rule("lastBootTime", "lastBootTime"),
    Rule("allocationTime", "allocationTime"),
    Rule("ipAddress", "ipAddress"),
    Rule("affinityId", "affinityId"),
    Rule("vmSize", "vmSize"),
    Rule("totalTasksRun", "totalTasksRun"),
    Rule("runningTasksCount", "runningTasksCount", since="2016-07-01.3.1"),
    Rule("runningTaskSlotsCount", "runningTaskSlotsCount", since=_SLOTS),
    Rule("totalTasksSucceeded", "totalTasksSucceeded", since="2016-07-01.3.1"),
    Rule("startTask", "startTask"),
    Rule("startTaskInfo", "startTaskInfo"),
    Rule("errors", "errors"),
    Rule("isDedicated", "isDedicated", since=_LOW_PRIORITY),
    Rule("nodeAgentInfo", "nodeAgentInfo", since="2018-12-01.8.0"),
    Rule("virtualMachineInfo", "virtualMachineInfo", since="2021-06-01.14.0"),
    Rule("certificateReferences", "certificateReferences", until="2024-07-01.20.0"),
)

NEWER_NODE_STATES: Final = {
    "preempted": (_LOW_PRIORITY, "unusable"),
    "upgradingos": ("2024-02-01.19.0", "rebooting"),
    "deallocated": (NO_CLOUD_SERVICES, "offline"),
    "deallocating": (NO_CLOUD_SERVICES, "offline"),
}
"""Node state -> the version that introduced it, and the state that older versions return instead (an assumption, except
for upgradingos)."""

NODE_STATES: Final = {
    "idle": "idle",
    "rebooting": "rebooting",
    "reimaging": "reimaging",
    "running": "running",
    "unusable": "unusable",
    "creating": "creating",
    "starting": "starting",
    "waitingforstarttask": "waitingForStartTask",
    "starttaskfailed": "startTaskFailed",
    "unknown": "unknown",
    "leavingpool": "leavingPool",
    "offline": "offline",
    "preempted": "preempted",
    "upgradingos": "upgradingOS",
    "deallocated": "deallocated",
    "deallocating": "deallocating",
}
"""Node state -> its name in node counts."""

_COUNTS_SINCE: Final = {
    "leavingPool": "2018-08-01.7.0",
    "upgradingOS": "2024-02-01.19.0",
    "deallocated": NO_CLOUD_SERVICES,
    "deallocating": NO_CLOUD_SERVICES,
}


@cache
def _names(table: tuple[Rule, ...], version: str) -> tuple[tuple[str, str], ...]:
    return tuple((rule.name, rule.wire) for rule in table if within(version, rule.since, rule.until))


def _shaped(table: tuple[Rule, ...], version: str, full: Mapping[str, Any]) -> dict[str, Any]:
    return {wire: full[name] for name, wire in _names(table, version) if name in full}


@cache
def wire_names(kind: str) -> frozenset[str]:
    """The properties of all versions, for ``$select``: a property that this version lacks is absent from the answer."""
    if kind in ("pools", "nodes"):
        return frozenset(rule.wire for rule in (POOL if kind == "pools" else NODE)) | _NOT_SIMULATED[kind]
    return _JOB_NAMES if kind == "jobs" else _TASK_NAMES


_NOT_SIMULATED: Final = {
    "pools": {"stats", "autoScaleRun", "identity"},
    "nodes": {"endpointConfiguration", "recentTasks"},
}
_COMMON: Final = frozenset(
    {"id", "displayName", "url", "eTag", "lastModified", "creationTime", "state", "stateTransitionTime"}
    | {"previousState", "previousStateTransitionTime", "constraints", "executionInfo", "stats"}
)
_JOB_NAMES: Final = _COMMON | {
    *("priority", "poolInfo", "metadata", "usesTaskDependencies", "onAllTasksComplete", "onTaskFailure"),
    *("commonEnvironmentSettings", "jobManagerTask", "jobPreparationTask", "jobReleaseTask"),
    *("networkConfiguration", "maxParallelTasks", "allowTaskPreemption"),
}
_TASK_NAMES: Final = _COMMON | {
    *("commandLine", "nodeInfo", "environmentSettings", "resourceFiles", "outputFiles", "affinityInfo"),
    *("userIdentity", "dependsOn", "exitConditions", "requiredSlots", "applicationPackageReferences"),
    *("containerSettings", "multiInstanceSettings", "authenticationTokenSettings", "runElevated"),
}


def _cloud_service(world: World, pool: Pool, version: str) -> dict[str, str] | None:
    configuration = pool.cloud_service
    if configuration is None or within(version, FIRST, LAST_WITH_UPGRADE):
        return configuration
    shown = world.unknowns["cloudServicePoolInNewestVersion"]
    if within(version, NO_CLOUD_SERVICES, NEWEST) and shown != "osVersion":
        return None
    return {"osFamily": configuration["osFamily"], "osVersion": configuration["targetOSVersion"]}


def visible(world: World, pool: Pool, version: str) -> bool:
    """Whether this version has the pool."""
    hidden = world.unknowns["cloudServicePoolInNewestVersion"] == "PoolNotFound"
    return not (hidden and pool.cloud_service is not None and within(version, NO_CLOUD_SERVICES, NEWEST))


def pool_json(world: World, pool: Pool, version: str, base: str) -> dict[str, Any]:
    """One pool. ``base`` is the account URL without a trailing slash."""
    renamed = within(version, OS_VERSION_RENAMED, NEWEST)
    full: dict[str, Any] = {
        "id": pool.id,
        "url": f"{base}/pools/{pool.id}",
        "eTag": pool.etag,
        "lastModified": iso(pool.modified),
        "creationTime": iso(pool.created),
        "state": "active" if renamed and pool.state == "upgrading" else pool.state,
        "stateTransitionTime": iso(pool.state_time),
        "allocationState": pool.allocation,
        "allocationStateTransitionTime": iso(pool.allocation_time),
        "resizeTimeout": "PT15M",
        "currentDedicatedNodes": pool.count(dedicated=True),
        "targetDedicatedNodes": pool.target_dedicated,
        "currentLowPriorityNodes": pool.count(dedicated=False),
        "targetLowPriorityNodes": pool.target_low_priority,
        "enableAutoScale": False,
        "enableInterNodeCommunication": False,
        "taskSlotsPerNode": 1,
        "taskSchedulingPolicy": {},
        **pool.props,
    }
    machine = pool.virtual_machine
    filled_in.fill_in_pool(full, version, windows="windows" in str((machine or {}).get("nodeAgentSKUId")))
    if pool.resize_errors and pool.allocation == "steady":
        full["resizeErrors"], full["resizeError"] = pool.resize_errors, pool.resize_errors[0]
    configuration = _cloud_service(world, pool, version)
    if configuration is not None:
        full["cloudServiceConfiguration"] = dict(configuration)
    if machine is not None:
        full["virtualMachineConfiguration"] = filled_in.virtual_machine(machine)
        full.setdefault("certificateReferences", [])
        if pool.node_counter:  # recorded only once the pool has had nodes
            wanted = pool.props.get("targetNodeCommunicationMode")
            full["currentNodeCommunicationMode"] = "classic" if wanted == "classic" else "simplified"
    return _shaped(POOL, version, full)


def node_state(state: str, version: str) -> str:
    """A node state as this version returns it."""
    since, instead = NEWER_NODE_STATES.get(state, (FIRST, state))
    return state if within(version, since, NEWEST) else instead


def node_json(world: World, pool: Pool, node: Node, version: str, base: str) -> dict[str, Any]:
    """One node."""
    address = crc32(node.id.encode())
    image = vm_images.shown_image(world, node)
    slots = [int(world.jobs[job].tasks[task].props.get("requiredSlots", 1)) for job, task in node.running]
    full: dict[str, Any] = {
        "id": node.id,
        "url": f"{base}/pools/{pool.id}/nodes/{node.id}",
        "state": node_state(node.state, version),
        "schedulingState": node.scheduling,
        "stateTransitionTime": iso(node.state_time),
        "allocationTime": iso(node.allocation_time),
        "ipAddress": f"10.{address >> 16 & 255}.{address >> 8 & 255}.{address & 255}",
        "affinityId": f"TVM:{node.id}",
        "vmSize": pool.props["vmSize"].lower(),
        "totalTasksRun": node.tasks_run,
        "runningTasksCount": len(node.running),
        "runningTaskSlotsCount": sum(slots),
        "totalTasksSucceeded": node.tasks_succeeded,
        "isDedicated": node.dedicated,
        "virtualMachineInfo": {"imageReference": filled_in.image_reference(image)} if image else {},
    }
    if node.boot_time is not None:
        full["lastBootTime"] = iso(node.boot_time)
        full["nodeAgentInfo"] = {"lastUpdateTime": full["lastBootTime"], "version": node.agent}
        full["certificateReferences"] = pool.props.get("certificateReferences", [])
    if pool.start_task is not None:
        full["startTask"] = filled_in.start_task(pool.start_task, version)
    if node.start_task is not None:
        full["startTaskInfo"] = node.start_task
    if node.errors:
        full["errors"] = node.errors
    return _shaped(NODE, version, full)


def counts_json(pool: Pool, version: str) -> dict[str, Any]:
    """The node counts of one pool, zeroes included."""
    wanted = [name for name in NODE_STATES.values() if within(version, _COUNTS_SINCE.get(name, FIRST), NEWEST)]
    answer: dict[str, Any] = {"poolId": pool.id}
    for kind, dedicated in (("dedicated", True), ("lowPriority", False)):
        counts = dict.fromkeys(wanted, 0)
        chosen = [node for node in pool.nodes.values() if node.dedicated is dedicated]
        for node in chosen:
            name = NODE_STATES[node_state(node.state, version)]
            if name in counts:
                counts[name] += 1
        answer[kind] = {**counts, "total": len(chosen)}
    return answer


def job_json(job: Job, version: str, base: str) -> dict[str, Any]:
    """One job."""
    execution: dict[str, Any] = {"startTime": iso(job.created), "poolId": job.pool_id}
    if job.state == "completed":
        execution |= {"endTime": iso(job.state_time), "terminateReason": "AllTasksCompleted"}
    return {
        "id": job.id,
        "url": f"{base}/jobs/{job.id}",
        "eTag": job.etag,
        "lastModified": iso(job.modified),
        "creationTime": iso(job.created),
        "state": job.state,
        "stateTransitionTime": iso(job.state_time),
        **filled_in.job(job.props, version),
        "poolInfo": {"poolId": job.pool_id},
        "executionInfo": execution,
    }


def task_json(job: Job, task: Task, version: str, base: str) -> dict[str, Any]:
    """One task."""
    execution: dict[str, Any] = {"retryCount": task.retries, "requeueCount": task.requeues}
    times = {"startTime": task.started, "endTime": task.ended, "lastRequeueTime": task.requeued}
    execution |= {name: iso(value) for name, value in times.items() if value is not None}
    if task.exit_code is not None:
        execution["exitCode"] = task.exit_code
    if task.state == "completed" and within(version, _LOW_PRIORITY, NEWEST):
        execution["result"] = "success" if task.exit_code == 0 else "failure"
    shown: dict[str, Any] = {
        "id": task.id,
        "url": f"{base}/jobs/{job.id}/tasks/{task.id}",
        "eTag": task.etag,
        "lastModified": iso(task.modified),
        "creationTime": iso(task.created),
        "state": task.state,
        "stateTransitionTime": iso(task.state_time),
        **filled_in.task(task.props, version),
        "executionInfo": execution,
    }
    if task.previous_state is not None and task.previous_state_time is not None:
        shown["previousState"] = task.previous_state
        shown["previousStateTransitionTime"] = iso(task.previous_state_time)
    if task.node is not None:
        shown["nodeInfo"] = {
            "affinityId": f"TVM:{task.node}",
            "nodeUrl": f"{base}/pools/{task.pool}/nodes/{task.node}",
            "poolId": task.pool,
            "nodeId": task.node,
        }
    return shown


assert set(NEWER_NODE_STATES) <= set(NODE_STATES)  # noqa: S101 - both tables have the same states
assert VERSIONS[-1] == NEWEST  # noqa: S101 - "until NEWEST" must mean "still there"
