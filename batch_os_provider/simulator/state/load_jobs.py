"""Jobs and tasks of a state, as :mod:`.load` describes them.

A saved task can be running. Its node is found when all pools and jobs are read.
"""

from __future__ import annotations

from typing import Final

from batch_os_provider.simulator.protocol import request_schemas, response_shapes
from batch_os_provider.simulator.protocol.api_versions import NEWEST
from batch_os_provider.simulator.world import tasks
from batch_os_provider.simulator.world.clock import etag, seconds
from batch_os_provider.simulator.world.durations import (
    DELETE_DURATION,
)
from batch_os_provider.simulator.world.errors import BatchError
from batch_os_provider.simulator.world.model import Job, Task
from batch_os_provider.simulator.world.reader import Reader, StateError, with_defaults
from batch_os_provider.simulator.world.world import World

_DERIVED_WORK: Final = ("url", "odata.metadata", "poolInfo", "executionInfo", "nodeInfo")
_PROPS: Final = {
    kind: response_shapes.wire_names(kind)
    - {"id", "eTag", "lastModified", "creationTime", "state", "stateTransitionTime", "stats"}
    for kind in ("jobs", "tasks")
}


def load_job(world: World, row: object) -> None:
    """Add the job of one row, with its tasks.

    Raises:
        StateError: it is not a job.
    """
    reader = Reader("jobs", row)
    name = reader.take("id", str)
    reader.where = f"job {name}"
    if name.lower() in world.jobs:
        raise StateError(f"Two jobs have the id {name} (case does not count).")
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
    Reader(reader.where, job.props).take("constraints", dict, None)
    world.jobs[job.key] = job
    for task in rows:
        _load_task(world, job, task)


def _load_task(world: World, job: Job, row: object) -> None:
    reader = Reader(f"job {job.id} tasks", row)
    name = reader.take("id", str)
    reader.where = f"task {job.id}/{name}"
    if name.lower() in job.tasks:
        raise StateError(f"Job {job.id} has two tasks with the id {name} (case does not count).")
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
    Reader(reader.where, task.props).take("constraints", dict, None)
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
