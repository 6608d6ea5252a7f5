"""The cells without a client library: requests signed by the published rules, raw answers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from tests.simulator.raw_client import LAST, NEWEST, Client
from tests.simulator.seeds import NEW, OLD

Request = tuple[str, str, Any]
UPDATE = {"certificateReferences": [], "applicationPackageReferences": [], "metadata": []}
POOL = {"id": "n", "vmSize": "small", "cloudServiceConfiguration": {"osFamily": "5"}}
JOB = {"id": "n", "poolInfo": {"poolId": "p"}}
TASK = {"id": "n", "commandLine": "sleep 1"}
SCALE = {"autoScaleFormula": "$TargetDedicatedNodes=1"}


def cell(client: Client, *, good: Request, status: int, bad: Request, code: str, version: str = LAST) -> None:
    """The good request is answered with this status, the bad one after it is refused with this code."""
    query = f"api-version={version}"
    done = client(*good, query=query)
    assert done.status == status, done
    method, path, body = bad
    path, _, more = path.partition("?")
    refused = client(method, path, body, query=f"{query}&{more}" if more else query)
    assert refused.status >= 400, refused
    # An answer to HEAD has no body, so no code either.
    assert method == "HEAD" or refused.code == code, refused


def upgrade(client: Client) -> None:
    """To the version that it has, to another, and to a third while that runs."""
    assert client.upgrade(OLD).code == "PoolVersionEqualsUpgradeVersion"
    assert client.upgrade(NEW).status == 202
    assert client.upgrade("*").code == "UpgradePoolVersionConflict"


FILTER = "?$filter=colour%20eq%20'red'"
ROWS: dict[str, tuple[Request, int, Request, str]] = {
    "Pool_Add": (("POST", "/pools", POOL), 201, ("POST", "/pools", POOL), "PoolExists"),
    "Pool_List": (("GET", "/pools", None), 200, ("GET", f"/pools{FILTER}", None), "InvalidQueryParameterValue"),
    "Pool_Get": (("GET", "/pools/p", None), 200, ("GET", "/pools/q", None), "PoolNotFound"),
    "Pool_Exists": (("HEAD", "/pools/p", None), 200, ("HEAD", "/pools/q", None), ""),
    "Pool_Delete": (("DELETE", "/pools/p", None), 202, ("DELETE", "/pools/p", None), "PoolBeingDeleted"),
    "Pool_Patch": (
        ("PATCH", "/pools/p", {"metadata": []}),
        200,
        ("PATCH", "/pools/p", {"colour": 1}),
        "UnsupportedProperty",
    ),
    "Pool_UpdateProperties": (
        ("POST", "/pools/p/updateproperties", UPDATE),
        204,
        ("POST", "/pools/p/updateproperties", {"metadata": []}),
        "MissingRequiredProperty",
    ),
    "Pool_Resize": (
        ("POST", "/pools/p/resize", {"targetDedicatedNodes": 5}),
        202,
        ("POST", "/pools/p/resize", {"targetDedicatedNodes": 6}),
        "PoolBeingResized",
    ),
    "Pool_RemoveNodes": (
        ("POST", "/pools/p/removenodes", {"nodeList": ["tvm-1"]}),
        202,
        ("POST", "/pools/p/removenodes", {"nodeList": ["tvm-2"]}),
        "PoolBeingResized",
    ),
    "Pool_EnableAutoScale": (
        ("POST", "/pools/p/enableautoscale", SCALE),
        200,
        ("POST", "/pools/p/enableautoscale", SCALE),
        "TooManyEnableAutoScaleRequests",
    ),
    "Pool_DisableAutoScale": (
        ("POST", "/pools/p/disableautoscale", None),
        200,
        ("POST", "/pools/q/disableautoscale", None),
        "PoolNotFound",
    ),
    "ComputeNode_List": (("GET", "/pools/p/nodes", None), 200, ("GET", "/pools/q/nodes", None), "PoolNotFound"),
    "ComputeNode_Get": (
        ("GET", "/pools/p/nodes/tvm-1", None),
        200,
        ("GET", "/pools/p/nodes/tvm-9", None),
        "NodeNotFound",
    ),
    "Account_ListPoolNodeCounts": (
        ("GET", "/nodecounts", None),
        200,
        ("GET", f"/nodecounts{FILTER}", None),
        "InvalidQueryParameterValue",
    ),
    "Job_Add": (("POST", "/jobs", JOB), 201, ("POST", "/jobs", JOB), "JobExists"),
    "Job_List": (("GET", "/jobs", None), 200, ("GET", f"/jobs{FILTER}", None), "InvalidQueryParameterValue"),
    "Job_Get": (("GET", "/jobs/j", None), 200, ("GET", "/jobs/q", None), "JobNotFound"),
    "Job_Delete": (("DELETE", "/jobs/j", None), 202, ("DELETE", "/jobs/j", None), "JobBeingDeleted"),
    "Task_Add": (("POST", "/jobs/j/tasks", TASK), 201, ("POST", "/jobs/j/tasks", TASK), "TaskExists"),
    "Task_AddCollection": (
        ("POST", "/jobs/j/addtaskcollection", {"value": [TASK]}),
        200,
        ("POST", "/jobs/j/addtaskcollection", {"value": [{**TASK, "id": f"t{n}"} for n in range(101)]}),
        "RequestBodyTooLarge",
    ),
    "Task_List": (("GET", "/jobs/j/tasks", None), 200, ("GET", "/jobs/q/tasks", None), "JobNotFound"),
    "Task_Get": (("GET", "/jobs/j/tasks/t1", None), 200, ("GET", "/jobs/j/tasks/t9", None), "TaskNotFound"),
    "Task_Delete": (("DELETE", "/jobs/j/tasks/t1", None), 200, ("DELETE", "/jobs/j/tasks/t1", None), "TaskNotFound"),
}


def stop_resize(client: Client) -> None:
    """Only a resize can be stopped."""
    assert client("POST", "/pools/p/stopresize").code == "OperationInvalidForCurrentState"
    assert client("POST", "/pools/p/resize", {"targetDedicatedNodes": 5}).status == 202
    assert client("POST", "/pools/p/stopresize").status == 202


CELLS: dict[str, Callable[[Client], None]] = {
    **{
        name: partial(cell, good=good, status=status, bad=bad, code=code)
        for name, (good, status, bad, code) in ROWS.items()
    },
    "Pool_UpgradeOS": upgrade,
    "Pool_StopResize": stop_resize,
    "Account_ListSupportedImages": partial(
        cell,
        good=("GET", "/supportedimages", None),
        status=200,
        bad=("GET", f"/supportedimages{FILTER}", None),
        code="InvalidQueryParameterValue",
        version=NEWEST,
    ),
}
