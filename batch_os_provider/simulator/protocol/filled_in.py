"""What the service adds to a resource, and what it spells differently than the client sent it.

A client reads back more than it wrote, and some of it in other letters. A provider that compares both, or sends an
answer back, must not take such a difference for a change. The state keeps what was sent; this module completes an
answer. The values are recorded (2024 to 2026); the first version that has a property is from its description.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from batch_os_provider.simulator.protocol.api_versions import NEWEST, ORDER
from batch_os_provider.simulator.world.clock import format_duration, parse_duration
from batch_os_provider.simulator.world.vm_images import MARKETPLACE

if TYPE_CHECKING:
    from collections.abc import Mapping

NO_LIMIT: Final = "P10675199DT2H48M5.4775807S"
"""The longest duration that .NET has."""
_USER: Final = {"autoUser": {"scope": "pool", "elevationLevel": "nonadmin"}}
_USER_IDENTITY: Final = "2017-01-01.4.0"
_RETENTION: Final = "2018-12-01.8.0"
_WAITS: Final = "2019-06-01.9.0"
"""Before, waitForSuccess had another default; what those versions show is not recorded."""
_SLOTS: Final = "2020-09-01.12.0"
_PREEMPTION: Final = "2022-01-01.15.0"
_ACCELERATED: Final = "2023-05-01.17.0"


def _has(version: str, since: str) -> bool:
    return ORDER[version] >= ORDER[since]


def fill_in_pool(full: dict[str, Any], version: str, *, windows: bool) -> None:
    """Complete the properties of a pool in place (the values of the state stay as they are)."""
    full["vmSize"] = full["vmSize"].lower()
    full["taskSchedulingPolicy"] = _policy(full["taskSchedulingPolicy"], version)
    if "startTask" in full:
        full["startTask"] = start_task(full["startTask"], version)
    if "autoScaleEvaluationInterval" in full:
        full["autoScaleEvaluationInterval"] = format_duration(parse_duration(full["autoScaleEvaluationInterval"]))
    if "userAccounts" in full:
        login = {"windowsUserConfiguration": {"loginMode": "batch"}} if windows else {}
        defaults: dict[str, Any] = {"elevationLevel": "nonadmin", **login}
        full["userAccounts"] = [
            {**defaults, **each} if isinstance(each, dict) else each for each in full["userAccounts"]
        ]
    if "networkConfiguration" in full and _has(version, _ACCELERATED):
        defaults = {"dynamicVNetAssignmentScope": "none", "enableAcceleratedNetworking": False}
        full["networkConfiguration"] = {**defaults, **full["networkConfiguration"]}


def _policy(given: Mapping[str, Any], version: str) -> dict[str, Any]:
    policy = dict(given)
    policy["nodeFillType"] = str(policy.get("nodeFillType", "spread")).capitalize()
    if version == NEWEST:
        policy.setdefault("jobDefaultOrder", "none")
    return policy


def image_reference(given: Mapping[str, Any]) -> dict[str, Any]:
    """An imageReference; that of a marketplace image always has a version."""
    return {**given, "version": given.get("version", "latest")} if set(MARKETPLACE) <= set(given) else dict(given)


def virtual_machine(given: Mapping[str, Any]) -> dict[str, Any]:
    """A virtualMachineConfiguration."""
    shown = {**given, "imageReference": image_reference(given["imageReference"])}
    placement = given.get("nodePlacementConfiguration")
    if isinstance(placement, dict) and isinstance(placement.get("policy"), str):
        shown["nodePlacementConfiguration"] = {**placement, "policy": placement["policy"].capitalize()}
    return shown


def start_task(given: Mapping[str, Any], version: str) -> dict[str, Any]:
    """A start task, of a pool or of a node."""
    defaults: dict[str, Any] = {"userIdentity": _USER} if _has(version, _USER_IDENTITY) else {}
    if _has(version, _WAITS):
        defaults |= {"maxTaskRetryCount": 0, "waitForSuccess": True}
    return {**defaults, **given}


def job(given: Mapping[str, Any], version: str) -> dict[str, Any]:
    """The declared properties of a job."""
    defaults: dict[str, Any] = {"priority": 0, "usesTaskDependencies": False}
    if _has(version, _PREEMPTION):
        defaults |= {"maxParallelTasks": -1, "allowTaskPreemption": False}
    defaults |= {"onAllTasksComplete": "noaction", "onTaskFailure": "noaction"}
    limits = {"maxWallClockTime": NO_LIMIT, "maxTaskRetryCount": 0, **given.get("constraints", {})}
    return {**defaults, **given, "constraints": limits}


def task(given: Mapping[str, Any], version: str) -> dict[str, Any]:
    """The declared properties of a task."""
    kept = "P7D" if _has(version, _RETENTION) else NO_LIMIT
    limits = {"maxWallClockTime": NO_LIMIT, "retentionTime": kept, "maxTaskRetryCount": 0}
    defaults: dict[str, Any] = {"userIdentity": _USER} if _has(version, _USER_IDENTITY) else {}
    if _has(version, _SLOTS):
        defaults["requiredSlots"] = 1
    return {**defaults, **given, "constraints": {**limits, **given.get("constraints", {})}}
