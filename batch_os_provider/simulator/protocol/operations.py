"""The operations of Batch, by path and verb.

One table decides four things before a handler runs: whether the path exists (else 400 InvalidUri), whether the verb
does (else 405), whether the api-version has the operation, and whether the simulator implements it (else 501 with its
name). The names are the operation ids of the swagger files; faults and the audit use them.
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from batch_os_provider.simulator.protocol.api_versions import FIRST, LAST_WITH_UPGRADE, NEWEST
from batch_os_provider.simulator.world.reader import RefusedError

if TYPE_CHECKING:
    from collections.abc import Iterator

_GET_QUERY: Final = frozenset({"$select", "$expand"})
_LIST_QUERY: Final = frozenset({"$filter", "$select", "$expand", "maxresults", "$skiptoken"})

_IMAGES_QUERY: Final = frozenset({"$filter", "maxresults", "$skiptoken"})


@dataclass(frozen=True)
class Operation:
    """One operation; ``query`` are the parameters besides api-version and timeout, in lower case."""

    id: str
    method: str
    path: str
    query: frozenset[str] = frozenset()
    since: str = FIRST
    until: str = NEWEST
    implemented: bool = False

    @property
    def writes(self) -> bool:
        """Whether the operation writes, so that a read-only principal is refused."""
        return self.method not in ("GET", "HEAD")


def _implemented(name: str, method: str, path: str, query: frozenset[str] = frozenset(), *span: str) -> Operation:
    since, until = (*span, FIRST, NEWEST)[:2] if len(span) != 1 else (span[0], NEWEST)
    return Operation(name, method, path, query, since, until, implemented=True)


UPGRADE_OS: Final = "Pool_UpgradeOS"

_IMPLEMENTED: Final = (
    _implemented("Pool_Add", "POST", "/pools"),
    _implemented("Pool_List", "GET", "/pools", _LIST_QUERY),
    _implemented("Pool_Get", "GET", "/pools/{poolId}", _GET_QUERY),
    _implemented("Pool_Exists", "HEAD", "/pools/{poolId}"),
    _implemented("Pool_Delete", "DELETE", "/pools/{poolId}"),
    _implemented("Pool_Patch", "PATCH", "/pools/{poolId}"),
    _implemented("Pool_UpdateProperties", "POST", "/pools/{poolId}/updateproperties"),
    _implemented("Pool_Resize", "POST", "/pools/{poolId}/resize"),
    _implemented("Pool_StopResize", "POST", "/pools/{poolId}/stopresize"),
    _implemented("Pool_RemoveNodes", "POST", "/pools/{poolId}/removenodes"),
    _implemented("Pool_EnableAutoScale", "POST", "/pools/{poolId}/enableautoscale"),
    _implemented("Pool_DisableAutoScale", "POST", "/pools/{poolId}/disableautoscale"),
    _implemented(UPGRADE_OS, "POST", "/pools/{poolId}/upgradeos", frozenset(), FIRST, LAST_WITH_UPGRADE),
    _implemented("ComputeNode_List", "GET", "/pools/{poolId}/nodes", _LIST_QUERY),
    _implemented("ComputeNode_Get", "GET", "/pools/{poolId}/nodes/{nodeId}", _GET_QUERY),
    _implemented("Account_ListPoolNodeCounts", "GET", "/nodecounts", _LIST_QUERY, "2018-03-01.6.1"),
    _implemented("Account_ListSupportedImages", "GET", "/supportedimages", _IMAGES_QUERY, "2019-06-01.9.0"),
    _implemented("Job_Add", "POST", "/jobs"),
    _implemented("Job_List", "GET", "/jobs", _LIST_QUERY),
    _implemented("Job_Get", "GET", "/jobs/{jobId}", _GET_QUERY),
    _implemented("Job_Delete", "DELETE", "/jobs/{jobId}", frozenset({"force"})),
    _implemented("Task_Add", "POST", "/jobs/{jobId}/tasks"),
    _implemented("Task_AddCollection", "POST", "/jobs/{jobId}/addtaskcollection"),
    _implemented("Task_List", "GET", "/jobs/{jobId}/tasks", _LIST_QUERY),
    _implemented("Task_Get", "GET", "/jobs/{jobId}/tasks/{taskId}", _GET_QUERY),
    _implemented("Task_Delete", "DELETE", "/jobs/{jobId}/tasks/{taskId}"),
)


def _rows(text: str) -> Iterator[tuple[str, str, str]]:
    for line in text.splitlines():
        name, method, path = line.split(" ")
        yield name, method, path


_NOT_IMPLEMENTED: Final = tuple(
    Operation(*row)
    for row in _rows("""\
Pool_EvaluateAutoScale POST /pools/{poolId}/evaluateautoscale
Pool_ListUsageMetrics GET /poolusagemetrics
Pool_GetAllLifetimeStatistics GET /lifetimepoolstats
Account_ListNodeAgentSkus GET /nodeagentskus
Application_List GET /applications
Application_Get GET /applications/{applicationId}
Certificate_Add POST /certificates
Certificate_List GET /certificates
Certificate_Get GET /certificates()
Certificate_Delete DELETE_DURATION /certificates()
Certificate_CancelDeletion POST /certificates()/{canceldelete}
ComputeNode_AddUser POST /pools/{poolId}/nodes/{nodeId}/users
ComputeNode_DeleteUser DELETE_DURATION /pools/{poolId}/nodes/{nodeId}/users/{userName}
ComputeNode_UpdateUser PUT /pools/{poolId}/nodes/{nodeId}/users/{userName}
ComputeNode_Reboot POST /pools/{poolId}/nodes/{nodeId}/reboot
ComputeNode_Reimage POST /pools/{poolId}/nodes/{nodeId}/reimage
ComputeNode_Start POST /pools/{poolId}/nodes/{nodeId}/start
ComputeNode_Deallocate POST /pools/{poolId}/nodes/{nodeId}/deallocate
ComputeNode_DisableScheduling POST /pools/{poolId}/nodes/{nodeId}/disablescheduling
ComputeNode_EnableScheduling POST /pools/{poolId}/nodes/{nodeId}/enablescheduling
ComputeNode_GetRemoteLoginSettings GET /pools/{poolId}/nodes/{nodeId}/remoteloginsettings
ComputeNode_GetRemoteDesktop GET /pools/{poolId}/nodes/{nodeId}/rdp
ComputeNode_UploadBatchServiceLogs POST /pools/{poolId}/nodes/{nodeId}/uploadbatchservicelogs
ComputeNodeExtension_List GET /pools/{poolId}/nodes/{nodeId}/extensions
ComputeNodeExtension_Get GET /pools/{poolId}/nodes/{nodeId}/extensions/{extensionName}
File_ListFromComputeNode GET /pools/{poolId}/nodes/{nodeId}/files
File_GetFromComputeNode GET /pools/{poolId}/nodes/{nodeId}/files/{filePath}
File_GetPropertiesFromComputeNode HEAD /pools/{poolId}/nodes/{nodeId}/files/{filePath}
File_DeleteFromComputeNode DELETE_DURATION /pools/{poolId}/nodes/{nodeId}/files/{filePath}
Job_Patch PATCH /jobs/{jobId}
Job_Update PUT /jobs/{jobId}
Job_Disable POST /jobs/{jobId}/disable
Job_Enable POST /jobs/{jobId}/enable
Job_Terminate POST /jobs/{jobId}/terminate
Job_ListPreparationAndReleaseTaskStatus GET /jobs/{jobId}/jobpreparationandreleasetaskstatus
Job_GetTaskCounts GET /jobs/{jobId}/taskcounts
Job_GetAllLifetimeStatistics GET /lifetimejobstats
Job_ListFromJobSchedule GET /jobschedules/{jobScheduleId}/jobs
JobSchedule_Add POST /jobschedules
JobSchedule_List GET /jobschedules
JobSchedule_Get GET /jobschedules/{jobScheduleId}
JobSchedule_Exists HEAD /jobschedules/{jobScheduleId}
JobSchedule_Delete DELETE_DURATION /jobschedules/{jobScheduleId}
JobSchedule_Patch PATCH /jobschedules/{jobScheduleId}
JobSchedule_Update PUT /jobschedules/{jobScheduleId}
JobSchedule_Disable POST /jobschedules/{jobScheduleId}/disable
JobSchedule_Enable POST /jobschedules/{jobScheduleId}/enable
JobSchedule_Terminate POST /jobschedules/{jobScheduleId}/terminate
Task_Update PUT /jobs/{jobId}/tasks/{taskId}
Task_ListSubtasks GET /jobs/{jobId}/tasks/{taskId}/subtasksinfo
Task_Terminate POST /jobs/{jobId}/tasks/{taskId}/terminate
Task_Reactivate POST /jobs/{jobId}/tasks/{taskId}/reactivate
File_ListFromTask GET /jobs/{jobId}/tasks/{taskId}/files
File_GetFromTask GET /jobs/{jobId}/tasks/{taskId}/files/{filePath}
File_GetPropertiesFromTask HEAD /jobs/{jobId}/tasks/{taskId}/files/{filePath}
File_DeleteFromTask DELETE_DURATION /jobs/{jobId}/tasks/{taskId}/files/{filePath}
""")
)

OPERATIONS: Final = (*_IMPLEMENTED, *_NOT_IMPLEMENTED)

_FILES: Final = 4
"""The place of ``files`` in a path; the rest of the path is one name with slashes."""


def _key(segments: list[str]) -> tuple[str, ...]:
    """The path with its names replaced: in Batch the 2nd, 4th and 6th segments are names."""
    return tuple("{}" if place % 2 else segment for place, segment in enumerate(segments))


def _table() -> dict[tuple[str, ...], dict[str, Operation]]:
    table: dict[tuple[str, ...], dict[str, Operation]] = {}
    for operation in OPERATIONS:
        table.setdefault(_key(operation.path[1:].split("/")), {})[operation.method] = operation
    return table


_TABLE: Final = _table()


def check_id(given: object) -> None:
    """Refuse an unknown operation id, and suggest the nearest one.

    Raises:
        RefusedError: the operation does not exist.
    """
    ids = [operation.id for operation in OPERATIONS]
    if given not in ids:
        near = get_close_matches(str(given), ids, 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise RefusedError(f"unknown operation {given!r}{hint}")


def resolve(path: str) -> tuple[dict[str, Operation], list[str]]:
    """The operations of a path as sent, by method, and the names in it; empty for a path that Batch does not have."""
    segments = path[1:].split("/")
    if segments[0].startswith("certificates("):
        segments[0] = "certificates()"
    if len(segments) > _FILES + 1 and segments[_FILES] == "files":
        segments[_FILES + 1 :] = ["/".join(segments[_FILES + 1 :])]
    names = [unquote(name) for name in segments[1::2]]
    return (_TABLE.get(_key(segments), {}) if all(names) else {}), names
