"""The operations on jobs and tasks.

Like :mod:`.pool_handlers`: the rules of the queue are in ``world.tasks``.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from batch_os_provider.simulator.data_plane.answers import created, list_page, single
from batch_os_provider.simulator.protocol import request_schemas
from batch_os_provider.simulator.protocol.response_shapes import job_json, task_json
from batch_os_provider.simulator.protocol.wire import Answer
from batch_os_provider.simulator.world import tasks
from batch_os_provider.simulator.world.errors import BatchError

if TYPE_CHECKING:
    from batch_os_provider.simulator.data_plane.answers import Rows
    from batch_os_provider.simulator.data_plane.request import Request
    from batch_os_provider.simulator.world.model import Job

MAX_COLLECTION: Final = 100
"""Tasks in one addtaskcollection."""


def _job(request: Request) -> Job:
    return request.world.job(request.names[0])


def job_add(request: Request) -> Answer:
    """Job_Add."""
    body = request.json(request_schemas.JOB_ADD)
    name, pool_id = body.pop("id"), body.pop("poolInfo")["poolId"]
    return created(request, tasks.add_job(request.world, name, body, pool_id))


def job_list(request: Request) -> Answer:
    """Job_List."""
    rows: Rows = [
        (job.key, partial(job_json, job, request.version, request.base)) for job in request.world.jobs.values()
    ]
    return list_page(request, "jobs", rows)


def job_get(request: Request) -> Answer:
    """Job_Get."""
    job = _job(request)
    request.check_condition(job)
    return single(request, "jobs", job_json(job, request.version, request.base), job)


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
    return created(request, task)


def task_add_collection(request: Request) -> Answer:
    """Task_AddCollection: each task succeeds or fails separately."""
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
                "status": "Success",
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
    return list_page(request, "tasks", rows)


def task_get(request: Request) -> Answer:
    """Task_Get."""
    job = _job(request)
    task = request.world.task(*request.names)
    request.check_condition(task)
    return single(request, "tasks", task_json(job, task, request.version, request.base), task)


def task_delete(request: Request) -> Answer:
    """Task_Delete."""
    job = _job(request)
    task = request.world.task(*request.names)
    request.check_condition(task)
    tasks.delete_task(request.world, job, task)
    tasks.schedule_pool_of(request.world, job)
    return Answer(200)
