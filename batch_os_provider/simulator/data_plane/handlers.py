"""One function for each operation: from a checked request to an answer.

Here, and only here, the wire meets the world. A handler looks its resource up, honours the
conditional headers, lets a lifecycle do the work and shows the result; it decides nothing by itself.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from batch_os_provider.simulator.data_plane.filters import parse_filter
from batch_os_provider.simulator.data_plane.odata import MAX_RESULTS, link, page, parse_select, select
from batch_os_provider.simulator.protocol import request_schemas
from batch_os_provider.simulator.protocol.redaction import redact
from batch_os_provider.simulator.protocol.response_shapes import (
    counts_json,
    job_json,
    node_json,
    pool_json,
    task_json,
    visible,
    wire_names,
)
from batch_os_provider.simulator.protocol.wire import Answer
from batch_os_provider.simulator.world import pools, resizes, tasks, upgrades, vm_images
from batch_os_provider.simulator.world.clock import http_date
from batch_os_provider.simulator.world.errors import BatchError

if TYPE_CHECKING:
    from collections.abc import Callable

    from batch_os_provider.simulator.data_plane.request import Request
    from batch_os_provider.simulator.world.model import Job, Pool, Task

    Rows = list[tuple[str, Callable[[], dict[str, Any]]]]

MAX_COLLECTION: Final = 100
"""Tasks in one addtaskcollection."""
NODE_COUNTS_PAGE: Final = 10
"""Pools in one page of node counts."""

_COMMON_FILTERS: Final = frozenset({"id", "state", "creationTime", "lastModified", "stateTransitionTime"})
_FILTERS: Final = {
    "pools": _COMMON_FILTERS | {"allocationState", "allocationStateTransitionTime"},
    "nodes": frozenset({"id", "state", "stateTransitionTime", "lastBootTime", "allocationTime"}),
    "poolnodecounts": frozenset({"poolId"}),
    "supportedimages": frozenset({"osType", "verificationType", "nodeAgentSKUId"}),
    "jobs": _COMMON_FILTERS,
    "tasks": _COMMON_FILTERS,
}


def _with_etag(
    status: int, resource: Pool | Job | Task, *headers: tuple[str, str], body: dict[str, Any] | None = None
) -> Answer:
    stamps = [("ETag", resource.etag), ("Last-Modified", http_date(resource.modified))]
    return Answer(status, body, [*stamps, *headers])


def _accepted(request: Request, resource: Pool | Job | Task, status: int = 202) -> Answer:
    return _with_etag(status, resource, ("DataServiceId", request.url))


def _created(request: Request, resource: Pool | Job | Task) -> Answer:
    url = f"{request.url}/{resource.id}"
    return _with_etag(201, resource, ("DataServiceId", url), ("Location", url))


def _single(request: Request, kind: str, item: dict[str, Any], resource: Pool | Job | Task | None = None) -> Answer:
    wanted = request.query.get("$select")
    names = parse_select(wanted, wire_names(kind)) if wanted else None
    body = {"odata.metadata": f"{request.base}/$metadata#{kind}/@Element", **select(item, names)}
    return Answer(200, body) if resource is None else _with_etag(200, resource, body=body)


def _list_page(request: Request, kind: str, rows: Rows, limit: int = MAX_RESULTS) -> Answer:
    query = request.query
    passes = parse_filter(query["$filter"], _FILTERS[kind]) if query.get("$filter") else None
    wanted = query.get("$select")
    names = parse_select(wanted, wire_names(kind)) if wanted and kind != "poolnodecounts" else None
    body = page(rows, query, limit, passes, partial(link, request.url, query))
    body["value"] = [select(item, names) for item in body["value"]]
    return Answer(200, {"odata.metadata": f"{request.base}/$metadata#{kind}", **body})


# --- pools ---


def _pool(request: Request) -> Pool:
    pool = request.world.pool(request.names[0])
    if not visible(request.world, pool, request.version):
        raise BatchError("PoolNotFound")
    request.check_condition(pool)
    return pool


def _pool_body(request: Request, pool: Pool) -> dict[str, Any]:
    return redact(pool_json(request.world, pool, request.version, request.base))


def pool_add(request: Request) -> Answer:
    """Pool_Add."""
    body = request.json(request_schemas.POOL_ADD)
    name = body.pop("id")
    cloud = body.pop("cloudServiceConfiguration", None)
    virtual = body.pop("virtualMachineConfiguration", None)
    if cloud is None and virtual is None:
        raise BatchError("MissingRequiredProperty", ("PropertyName", "virtualMachineConfiguration"))
    if cloud is not None and virtual is not None:
        raise BatchError(
            "InvalidPropertyValue",
            ("PropertyName", "virtualMachineConfiguration"),
            ("Reason", "cloudServiceConfiguration and virtualMachineConfiguration exclude each other"),
        )
    if cloud is not None:
        version = cloud.get("targetOSVersion", "*")
        cloud = {"osFamily": cloud["osFamily"], "targetOSVersion": version, "currentOSVersion": version}
    target = (body.pop("targetDedicatedNodes", 0), body.pop("targetLowPriorityNodes", 0))
    return _created(request, pools.add(request.world, name, body, (cloud, virtual), target))


def pool_list(request: Request) -> Answer:
    """Pool_List."""
    world, version = request.world, request.version
    rows: Rows = [
        (pool.key, partial(_pool_body, request, pool)) for pool in world.pools.values() if visible(world, pool, version)
    ]
    return _list_page(request, "pools", rows)


def pool_get(request: Request) -> Answer:
    """Pool_Get."""
    pool = _pool(request)
    return _single(request, "pools", _pool_body(request, pool), pool)


def pool_exists(request: Request) -> Answer:
    """Pool_Exists."""
    return _with_etag(200, _pool(request))


def pool_delete(request: Request) -> Answer:
    """Pool_Delete."""
    pool = _pool(request)
    pools.delete(request.world, pool)
    return Answer(202)


def pool_patch(request: Request) -> Answer:
    """Pool_Patch."""
    pool = _pool(request)
    pools.patch(request.world, pool, request.json(request_schemas.POOL_PATCH))
    return _accepted(request, pool, 200)


def pool_update_properties(request: Request) -> Answer:
    """Pool_UpdateProperties: replaces start task, packages, certificates and metadata as a whole."""
    pool = request.world.pool(request.names[0])  # no conditional headers here, by the swagger file
    body = request.json(request_schemas.POOL_UPDATE)
    pools.update(request.world, pool, {"startTask": None, **{name: value or None for name, value in body.items()}})
    return _accepted(request, pool, 204)


def pool_resize(request: Request) -> Answer:
    """Pool_Resize."""
    pool = _pool(request)
    body = request.json(request_schemas.POOL_RESIZE)
    target = (body.get("targetDedicatedNodes"), body.get("targetLowPriorityNodes"))
    if target == (None, None):
        raise BatchError("MissingRequiredProperty", ("PropertyName", "targetDedicatedNodes"))
    option = body.get("nodeDeallocationOption", "requeue")
    resizes.resize(request.world, pool, target, body.get("resizeTimeout"), option)
    return _accepted(request, pool)


def pool_remove_nodes(request: Request) -> Answer:
    """Pool_RemoveNodes."""
    pool = _pool(request)
    body = request.json(request_schemas.POOL_REMOVE_NODES)
    option = body.get("nodeDeallocationOption", "requeue")
    resizes.remove_nodes(request.world, pool, body["nodeList"], body.get("resizeTimeout"), option)
    return _accepted(request, pool)


def pool_enable_autoscale(request: Request) -> Answer:
    """Pool_EnableAutoScale."""
    pool = _pool(request)
    resizes.enable_autoscale(request.world, pool, request.json(request_schemas.POOL_ENABLE_AUTOSCALE))
    return _accepted(request, pool, 200)


def pool_disable_autoscale(request: Request) -> Answer:
    """Pool_DisableAutoScale."""
    pool = request.world.pool(request.names[0])  # no conditional headers here, by the swagger file
    resizes.disable_autoscale(request.world, pool)
    return _accepted(request, pool, 200)


def pool_stop_resize(request: Request) -> Answer:
    """Pool_StopResize."""
    pool = _pool(request)
    resizes.stop_resize(request.world, pool)
    return _accepted(request, pool)


def pool_upgrade_os(request: Request) -> Answer:
    """Pool_UpgradeOS."""
    body = request.json(request_schemas.POOL_UPGRADE_OS)
    pool = _pool(request)
    upgrades.upgrade_os(request.world, pool, body["targetOSVersion"])
    return _accepted(request, pool)


# --- nodes ---


def node_list(request: Request) -> Answer:
    """ComputeNode_List."""
    pool = _pool(request)
    rows: Rows = [
        (node.id.lower(), partial(node_json, request.world, pool, node, request.version, request.base))
        for node in pool.nodes.values()
    ]
    return _list_page(request, "nodes", rows)


def node_get(request: Request) -> Answer:
    """ComputeNode_Get."""
    pool = _pool(request)
    node = request.world.node(*request.names)
    return _single(request, "nodes", node_json(request.world, pool, node, request.version, request.base))


def node_counts(request: Request) -> Answer:
    """Account_ListPoolNodeCounts."""
    rows: Rows = [
        (pool.key, partial(counts_json, pool, request.version))
        for pool in request.world.pools.values()
        if visible(request.world, pool, request.version)
    ]
    return _list_page(request, "poolnodecounts", rows, NODE_COUNTS_PAGE)


def supported_images(request: Request) -> Answer:
    """Account_ListSupportedImages."""
    world = request.world
    rows: Rows = [(key, partial(dict, item)) for key, item in vm_images.supported_images(world.images, world.now)]
    return _list_page(request, "supportedimages", rows)


# --- jobs and tasks ---


def _job(request: Request) -> Job:
    return request.world.job(request.names[0])


def job_add(request: Request) -> Answer:
    """Job_Add."""
    body = request.json(request_schemas.JOB_ADD)
    name, pool_id = body.pop("id"), body.pop("poolInfo")["poolId"]
    return _created(request, tasks.add_job(request.world, name, body, pool_id))


def job_list(request: Request) -> Answer:
    """Job_List."""
    rows: Rows = [
        (job.key, partial(job_json, job, request.version, request.base)) for job in request.world.jobs.values()
    ]
    return _list_page(request, "jobs", rows)


def job_get(request: Request) -> Answer:
    """Job_Get."""
    job = _job(request)
    request.check_condition(job)
    return _single(request, "jobs", job_json(job, request.version, request.base), job)


def job_delete(request: Request) -> Answer:
    """Job_Delete."""
    job = _job(request)
    request.check_condition(job)
    tasks.delete_job(request.world, job)
    return Answer(202)


def task_add(request: Request) -> Answer:
    """Task_Add."""
    job = _job(request)
    body = request.json(request_schemas.TASK_ADD)
    task = tasks.add_task(request.world, job, body.pop("id"), body)
    tasks.schedule_pool_of(request.world, job)
    return _created(request, task)


def task_add_collection(request: Request) -> Answer:
    """Task_AddCollection: each task succeeds or fails for itself."""
    job = _job(request)
    given = request.json(request_schemas.TASK_COLLECTION)["value"]
    if len(given) > MAX_COLLECTION:
        raise BatchError("RequestBodyTooLarge")
    results: list[dict[str, Any]] = []
    for item in given:
        body = request_schemas.check(item, request_schemas.TASK_ADD, request.version)
        name = body.pop("id")
        try:
            task = tasks.add_task(request.world, job, name, body)
        except BatchError as error:
            message = {"lang": "en-US", "value": error.message}
            results.append({"status": "clienterror", "taskId": name, "error": {"code": error.code, "message": message}})
            continue
        shown = task_json(job, task, request.version, request.base)
        results.append(
            {
                "status": "success",
                "taskId": task.id,
                "eTag": task.etag,
                "lastModified": shown["lastModified"],
                "location": shown["url"],
            }
        )
    tasks.schedule_pool_of(request.world, job)
    return Answer(200, {"odata.metadata": f"{request.base}/$metadata#taskaddresult", "value": results})


def task_list(request: Request) -> Answer:
    """Task_List."""
    job = _job(request)
    rows: Rows = [
        (task.key, partial(task_json, job, task, request.version, request.base)) for task in job.tasks.values()
    ]
    return _list_page(request, "tasks", rows)


def task_get(request: Request) -> Answer:
    """Task_Get."""
    job = _job(request)
    task = request.world.task(*request.names)
    request.check_condition(task)
    return _single(request, "tasks", task_json(job, task, request.version, request.base), task)


def task_delete(request: Request) -> Answer:
    """Task_Delete."""
    job = _job(request)
    task = request.world.task(*request.names)
    request.check_condition(task)
    tasks.delete_task(request.world, job, task)
    tasks.schedule_pool_of(request.world, job)
    return Answer(200)


HANDLERS: Final[dict[str, Callable[[Request], Answer]]] = {
    "Pool_Add": pool_add,
    "Pool_List": pool_list,
    "Pool_Get": pool_get,
    "Pool_Exists": pool_exists,
    "Pool_Delete": pool_delete,
    "Pool_Patch": pool_patch,
    "Pool_UpdateProperties": pool_update_properties,
    "Pool_Resize": pool_resize,
    "Pool_StopResize": pool_stop_resize,
    "Pool_RemoveNodes": pool_remove_nodes,
    "Pool_EnableAutoScale": pool_enable_autoscale,
    "Pool_DisableAutoScale": pool_disable_autoscale,
    "Pool_UpgradeOS": pool_upgrade_os,
    "ComputeNode_List": node_list,
    "ComputeNode_Get": node_get,
    "Account_ListPoolNodeCounts": node_counts,
    "Account_ListSupportedImages": supported_images,
    "Job_Add": job_add,
    "Job_List": job_list,
    "Job_Get": job_get,
    "Job_Delete": job_delete,
    "Task_Add": task_add,
    "Task_AddCollection": task_add_collection,
    "Task_List": task_list,
    "Task_Get": task_get,
    "Task_Delete": task_delete,
}
"""Operation id -> its function."""
