"""The schemas of request bodies, by operation and api-version.

The check is strict: a misspelt property that a simulator ignores is only found on the real service. Unknown, missing
and wrongly typed properties are refused with the codes of Batch. Objects that the simulator only stores are not checked
inside.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

from batch_os_provider.simulator.protocol.api_versions import FIRST, NEWEST, within
from batch_os_provider.simulator.world.clock import parse_duration, seconds
from batch_os_provider.simulator.world.durations import RESIZE_TIMEOUT_MINIMUM
from batch_os_provider.simulator.world.errors import BatchError

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_INT32 = 2**31
MAX_NODE_LIST: Final = 100
"""Nodes in one removenodes (documented)."""


@dataclass(frozen=True)
class Prop:
    """One property: its kind, its name inside the simulator (``inner``), and the versions that have it.

    ``allowed`` words are in lower case here; on the wire, case does not count.
    """

    name: str
    kind: str
    required: bool = False
    since: str = FIRST
    until: str = NEWEST
    inner: str = ""
    allowed: tuple[str, ...] = ()
    parts: tuple[Prop, ...] = field(default=())


_OLD = "2017-01-01.4.0"
_LOW_PRIORITY = "2017-05-01.5.0"
_LAST_CLOUD_SERVICES = "2024-02-01.19.0"
_LAST_CERTIFICATES = "2024-07-01.20.0"
_CONTAINERS = "2017-09-01.6.0"
_SLOTS = "2020-09-01.12.0"
_EMPTY_POOL_PATCH = "2024-07-01.20.0"

_START_TASK: Final = Prop(
    "startTask",
    "object",
    parts=(
        Prop("commandLine", "string", required=True),
        Prop("containerSettings", "object", since=_CONTAINERS),
        Prop("resourceFiles", "array"),
        Prop("environmentSettings", "array"),
        Prop("runElevated", "bool", until="2016-07-01.3.1"),
        Prop("userIdentity", "object", since="2017-01-01.4.0"),
        Prop("maxTaskRetryCount", "int"),
        Prop("waitForSuccess", "bool"),
    ),
)
_CLOUD_SERVICE: Final = Prop(
    "cloudServiceConfiguration",
    "object",
    until=_LAST_CLOUD_SERVICES,
    parts=(
        Prop("osFamily", "string", required=True),
        Prop("targetOSVersion", "string", until="2018-08-01.7.0"),
        Prop("currentOSVersion", "string", until="2017-06-01.5.1"),
        Prop("osVersion", "string", since="2018-12-01.8.0", inner="targetOSVersion"),
    ),
)
_VIRTUAL_MACHINE: Final = Prop(
    "virtualMachineConfiguration",
    "object",
    parts=(
        Prop(
            "imageReference",
            "object",
            required=True,
            parts=(
                *(Prop(name, "string") for name in ("publisher", "offer", "sku", "version")),
                Prop("virtualMachineImageId", "string"),
                Prop("sharedGalleryImageId", "string", since=_EMPTY_POOL_PATCH),
                Prop("communityGalleryImageId", "string", since=_EMPTY_POOL_PATCH),
            ),
        ),
        Prop("nodeAgentSKUId", "string", required=True),
        Prop("windowsConfiguration", "object"),
        Prop("dataDisks", "array"),
        Prop("licenseType", "string"),
        *(
            Prop(name, "object")
            for name in (
                *("containerConfiguration", "diskEncryptionConfiguration", "nodePlacementConfiguration"),
                *("osDisk", "securityProfile", "serviceArtifactReference"),
            )
        ),
        Prop("extensions", "array"),
    ),
)
_CERTIFICATES: Final = Prop("certificateReferences", "array", until=_LAST_CERTIFICATES)
_PACKAGES: Final = Prop("applicationPackageReferences", "array")
_METADATA: Final = Prop("metadata", "array")
_COMMUNICATION_MODE: Final = Prop(
    "targetNodeCommunicationMode",
    "string",
    since="2022-10-01.16.0",
    until="2024-07-01.20.0",
    allowed=("default", "classic", "simplified"),
)
_TARGETS: Final = (
    Prop("targetDedicated", "count", until=_OLD, inner="targetDedicatedNodes"),
    Prop("targetDedicatedNodes", "count", since=_LOW_PRIORITY),
    Prop("targetLowPriorityNodes", "count", since=_LOW_PRIORITY),
    Prop("resizeTimeout", "resizeTimeout"),
)
_LATER_PATCH: Final = tuple(
    Prop(name, kind, since=_EMPTY_POOL_PATCH)
    for name, kind in (
        ("displayName", "string"),
        ("vmSize", "string"),
        ("enableInterNodeCommunication", "bool"),
        ("taskSlotsPerNode", "int"),
        ("taskSchedulingPolicy", "object"),
        ("networkConfiguration", "object"),
        ("userAccounts", "array"),
        ("mountConfiguration", "array"),
        ("upgradePolicy", "object"),
    )
)

POOL_ADD: Final = (
    Prop("id", "id", required=True),
    Prop("displayName", "string"),
    Prop("vmSize", "string", required=True),
    _CLOUD_SERVICE,
    _VIRTUAL_MACHINE,
    *_TARGETS,
    Prop("enableAutoScale", "bool"),
    Prop("autoScaleFormula", "string"),
    Prop("autoScaleEvaluationInterval", "duration"),
    Prop("enableInterNodeCommunication", "bool"),
    Prop("networkConfiguration", "object"),
    _START_TASK,
    _CERTIFICATES,
    _PACKAGES,
    Prop("applicationLicenses", "array", since=_LOW_PRIORITY, until=_LAST_CLOUD_SERVICES),
    Prop("maxTasksPerNode", "int", until="2020-03-01.11.0", inner="taskSlotsPerNode"),
    Prop("taskSlotsPerNode", "int", since=_SLOTS),
    Prop("taskSchedulingPolicy", "object"),
    Prop("userAccounts", "array", since="2017-01-01.4.0"),
    _METADATA,
    Prop("mountConfiguration", "array", since="2019-08-01.10.0"),
    Prop("upgradePolicy", "object", since="2024-02-01.19.0"),
    Prop("resourceTags", "object", since="2023-11-01.18.0", until="2024-07-01.20.0"),
    _COMMUNICATION_MODE,
)
POOL_PATCH: Final = (
    _START_TASK,
    _CERTIFICATES,
    _PACKAGES,
    _METADATA,
    Prop("virtualMachineConfiguration", "object", since=_EMPTY_POOL_PATCH, parts=_VIRTUAL_MACHINE.parts),
    *_LATER_PATCH,
    Prop("resourceTags", "object", since=_EMPTY_POOL_PATCH, until=_EMPTY_POOL_PATCH),
    _COMMUNICATION_MODE,
)
POOL_UPDATE: Final = (
    _START_TASK,
    Prop("certificateReferences", "array", required=True, until="2023-11-01.18.0"),
    Prop("certificateReferences", "array", since="2024-02-01.19.0", until=_LAST_CERTIFICATES),
    Prop("applicationPackageReferences", "array", required=True),
    Prop("metadata", "array", required=True),
    _COMMUNICATION_MODE,
)
POOL_RESIZE: Final = (
    *_TARGETS,
    Prop("nodeDeallocationOption", "string", allowed=("requeue", "terminate", "taskcompletion", "retaineddata")),
)
POOL_REMOVE_NODES: Final = (
    Prop("nodeList", "nodeList", required=True),
    Prop("resizeTimeout", "resizeTimeout"),
    Prop("nodeDeallocationOption", "string", allowed=("requeue", "terminate", "taskcompletion", "retaineddata")),
)
POOL_ENABLE_AUTOSCALE: Final = (
    Prop("autoScaleFormula", "string"),
    Prop("autoScaleEvaluationInterval", "duration"),
)
POOL_UPGRADE_OS: Final = (Prop("targetOSVersion", "string", required=True),)
JOB_ADD: Final = (
    Prop("id", "id", required=True),
    Prop("displayName", "string"),
    Prop("priority", "int"),
    Prop("constraints", "object"),
    Prop("poolInfo", "object", required=True, parts=(Prop("poolId", "string", required=True),)),
    Prop("commonEnvironmentSettings", "array"),
    Prop("onAllTasksComplete", "string", allowed=("noaction", "terminatejob")),
    Prop("onTaskFailure", "string", allowed=("noaction", "performexitoptionsjobaction")),
    _METADATA,
    Prop("usesTaskDependencies", "bool"),
    Prop("jobManagerTask", "object"),
    Prop("jobPreparationTask", "object"),
    Prop("jobReleaseTask", "object"),
    Prop("networkConfiguration", "object", since="2018-08-01.7.0"),
    Prop("maxParallelTasks", "int", since="2022-01-01.15.0"),
    Prop("allowTaskPreemption", "bool", since="2022-01-01.15.0"),
)
DEPENDS_ON: Final = (Prop("taskIds", "names"), Prop("taskIdRanges", "spans"))
TASK_ADD: Final = (
    Prop("id", "id", required=True),
    Prop("displayName", "string"),
    Prop("commandLine", "string", required=True),
    Prop("resourceFiles", "array"),
    Prop("outputFiles", "array", since=_LOW_PRIORITY),
    Prop("environmentSettings", "array"),
    Prop("affinityInfo", "object"),
    Prop(
        "constraints",
        "object",
        parts=(
            Prop("maxWallClockTime", "duration"),
            Prop("retentionTime", "duration"),
            Prop("maxTaskRetryCount", "int"),
        ),
    ),
    Prop("requiredSlots", "int", since=_SLOTS),
    Prop("runElevated", "bool", until="2016-07-01.3.1"),
    Prop("userIdentity", "object", since="2017-01-01.4.0"),
    _PACKAGES,
    Prop("containerSettings", "object", since=_CONTAINERS),
    Prop("exitConditions", "object"),
    Prop("multiInstanceSettings", "object"),
    Prop("authenticationTokenSettings", "object", until="2024-07-01.20.0"),
    Prop("dependsOn", "object", parts=DEPENDS_ON),
)
TASK_COLLECTION: Final = (Prop("value", "array", required=True),)


@cache
def _properties(schema: tuple[Prop, ...], version: str) -> dict[str, Prop]:
    return {prop.name: prop for prop in schema if within(version, prop.since, prop.until)}


def check(body: object, schema: tuple[Prop, ...], version: str, path: str = "") -> dict[str, Any]:
    """The checked body under its inner names; null is the same as absent.

    Raises:
        BatchError: InvalidRequestBody, UnsupportedProperty, MissingRequiredProperty, InvalidPropertyValue.
    """
    if not isinstance(body, dict):
        raise BatchError("InvalidRequestBody", ("Reason", "The body must be a JSON object"))
    properties = _properties(schema, version)
    result: dict[str, Any] = {}
    for name, value in body.items():
        prop = properties.get(name)
        if prop is None:
            if name.startswith("odata."):
                continue
            raise BatchError("UnsupportedProperty", ("PropertyName", path + name))
        if value is None:
            continue
        result[prop.inner or name] = _value(prop, value, version, path + name)
    for prop in properties.values():
        if prop.required and (prop.inner or prop.name) not in result:
            raise BatchError("MissingRequiredProperty", ("PropertyName", path + prop.name))
    return result


_TYPES: Final[dict[str, tuple[type, str]]] = {
    "string": (str, "a non-empty string"),
    "id": (str, "1 to 64 letters, digits, hyphens and underscores"),
    "int": (int, "a 32-bit integer"),
    "count": (int, "an integer of 0 or more"),
    "bool": (bool, "true or false"),
    "duration": (str, "an ISO 8601 duration"),
    "resizeTimeout": (str, "an ISO 8601 duration of at least 5 minutes"),
    "nodeList": (list, f"1 to {MAX_NODE_LIST} node ids"),
    "names": (list, "a list of ids"),
    "spans": (list, "a list of objects with an integer start and end"),
    "object": (dict, "an object"),
    "array": (list, "an array"),
}


def _value(prop: Prop, value: Any, version: str, path: str) -> Any:
    kind, wanted = _TYPES[prop.kind]
    right = isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
    if not right or not _in_range(prop, value):
        if prop.allowed:
            wanted = "one of " + ", ".join(prop.allowed)
        shown = value if isinstance(value, (str, int, float, bool)) else type(value).__name__
        raise BatchError(
            "InvalidPropertyValue",
            ("PropertyName", path),
            ("PropertyValue", str(shown)),
            ("Reason", f"The value must be {wanted}"),
        )
    if prop.allowed:
        return value.lower()  # some clients send taskCompletion, most taskcompletion
    return check(value, prop.parts, version, path + ".") if prop.parts else value


def _in_range(prop: Prop, value: Any) -> bool:
    if prop.kind in ("duration", "resizeTimeout"):
        try:
            length = parse_duration(value)
        except ValueError:
            length = -1
        return length >= (0 if prop.kind == "duration" else seconds(RESIZE_TIMEOUT_MINIMUM))
    if prop.kind == "string":
        return bool(value) and (not prop.allowed or value.lower() in prop.allowed)
    if prop.kind == "id":
        return _ID.fullmatch(value) is not None
    if prop.kind in ("int", "count"):
        return bool((0 if prop.kind == "count" else -_INT32) <= value < _INT32)
    if prop.kind == "nodeList" and not 1 <= len(value) <= MAX_NODE_LIST:
        return False
    each = _ELEMENTS.get(prop.kind)
    return each is None or all(each(element) for element in value)


def _is_name(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _is_span(value: object) -> bool:
    return isinstance(value, dict) and all(type(value.get(name)) is int for name in ("start", "end"))


_ELEMENTS: Final = {"nodeList": _is_name, "names": _is_name, "spans": _is_span}
