"""The lifecycle of jobs and tasks: queued, running on a node, requeued, finished.

Users of an OS upgrade ask whether a task is lost, so the simulator runs tasks. A task takes the time in its command
line (``sleep 30``), ends with the exit code there (``exit 1``), and starts again if its node is removed or reimaged.
"""

from __future__ import annotations

import re
from itertools import chain
from typing import TYPE_CHECKING, Any

from batch_os_provider.simulator.world.clock import etag, seconds
from batch_os_provider.simulator.world.durations import DEFAULT_TASK_DURATION, DELETE_DURATION
from batch_os_provider.simulator.world.errors import BatchError
from batch_os_provider.simulator.world.model import READY, Job, Node, Pool, Task
from batch_os_provider.simulator.world.world import event

if TYPE_CHECKING:
    from batch_os_provider.simulator.world.world import World

_SLEEP = re.compile(r"\b(?:sleep|timeout(?:\.exe)?)\s+(?:(?:/t|-s|-seconds)\s+)?(\d+(?:\.\d+)?)", re.IGNORECASE)
_EXIT = re.compile(r"\bexit(?:\s+/b)?\s+(\d+)", re.IGNORECASE)


def run_time(command_line: str) -> int:
    """How long the command runs, in ticks; at least a second, so that a task that always fails lets time pass."""
    match = _SLEEP.search(command_line)
    return seconds(max(1.0, float(match.group(1))) if match else DEFAULT_TASK_DURATION)


def exit_code(command_line: str) -> int:
    """The exit code of the command."""
    match = _EXIT.search(command_line)
    return int(match.group(1)) if match else 0


def set_state(world: World, job: Job, task: Task, state: str) -> None:
    """Put a task into a state now."""
    task.previous_state, task.previous_state_time = task.state, task.state_time
    task.state, task.state_time = state, world.now
    world.record_change("task", f"{job.id}/{task.id}", task.previous_state, state, pool=job.pool_id, node=task.node)


def add_job(world: World, name: str, props: dict[str, Any], pool_id: str) -> Job:
    """Create a job."""
    present = world.jobs.get(name.lower())
    if present is not None:
        raise BatchError("JobBeingDeleted" if present.state == "deleting" else "JobExists")
    job = Job(name, props, world.now, world.now, etag(world.now), "active", world.now, pool_id)
    world.jobs[job.key] = job
    world.record_change("job", name, None, "active", pool=pool_id)
    return job


def delete_job(world: World, job: Job) -> None:
    """Mark a job for deletion; its tasks stop at once."""
    if job.state == "deleting":
        raise BatchError("JobBeingDeleted")
    for task in list(job.tasks.values()):
        delete_task(world, job, task)
    before, job.state, job.state_time = job.state, "deleting", world.now
    job.delete_due = world.schedule(world.now + seconds(DELETE_DURATION / 4), "job-delete", job.key)
    world.touch(job)
    world.record_change("job", job.id, before, "deleting", pool=job.pool_id)
    schedule_pool_of(world, job)


@event("job-delete")
def job_deleted(world: World, key: tuple[str, ...], due: int) -> None:
    """A job marked for deletion disappears."""
    job = world.jobs.get(key[0])
    if job is not None and job.delete_due == due:
        del world.jobs[job.key]
        world.record_change("job", job.id, job.state, None, pool=job.pool_id)


def add_task(world: World, job: Job, name: str, props: dict[str, Any]) -> Task:
    """Queue a task."""
    if job.state != "active":
        raise BatchError("JobBeingDeleted" if job.state == "deleting" else "OperationInvalidForCurrentState")
    if name.lower() in job.tasks:
        raise BatchError("TaskExists")
    if "dependsOn" in props and not job.props.get("usesTaskDependencies"):
        raise BatchError("TaskDependenciesNotSpecifiedOnJob")
    task = Task(name, props, world.now, world.now, etag(world.now), "active", world.now)
    job.tasks[task.key] = task
    world.record_change("task", f"{job.id}/{name}", None, "active", pool=job.pool_id)
    return task


def delete_task(world: World, job: Job, task: Task) -> None:
    """Remove a task, also from its node."""
    node = _node_of(world, task)
    if node is not None:
        _release(world, job, task, node)
    del job.tasks[task.key]
    world.record_change("task", f"{job.id}/{task.id}", task.state, None, pool=job.pool_id)


def schedule_pool_of(world: World, job: Job) -> None:
    """Schedule tasks on the pool of a job, if the pool exists."""
    pool = world.pools.get(job.pool_id.lower())
    if pool is not None:
        schedule(world, pool)


def schedule(world: World, pool: Pool) -> None:
    """Give queued tasks to free nodes: higher job priority first, then the longest wait."""
    if pool.state == "deleting":
        return
    leaving = pool.resize.leaving if pool.resize else ()
    free = {
        node.id: pool.slots - _slots_in_use(world, node)
        for node in pool.nodes.values()
        if node.state in READY and node.scheduling == "enabled" and node.id not in leaving
    }
    free = {name: slots for name, slots in free.items() if slots > 0}
    if not free:
        return
    waiting = [
        (-int(job.props.get("priority", 0)), task.state_time, job, task)
        for job in world.jobs.values()
        if job.pool_id.lower() == pool.key and job.state == "active"
        for task in job.tasks.values()
        if task.state == "active" and _may_run(job, task)
    ]
    waiting.sort(key=lambda row: row[:2])
    for _, _, job, task in waiting:
        needed = int(task.props.get("requiredSlots", 1))
        name = next((name for name, slots in free.items() if slots >= needed), None)
        if name is not None:
            free[name] -= needed
            _start(world, pool, pool.nodes[name.lower()], job, task)


def _may_run(job: Job, task: Task) -> bool:
    """Whether all dependencies of a task have succeeded; a failed or missing one blocks it, as in Batch."""
    wanted = task.props.get("dependsOn", {})
    spans = [range(span["start"], span["end"] + 1) for span in wanted.get("taskIdRanges", ())]
    if any(len(span) > len(job.tasks) for span in spans):
        return False  # some tasks of it are missing; do not walk a range that may be huge
    names = chain(wanted.get("taskIds", ()), *spans)
    before = (job.tasks.get(str(name).lower()) for name in names)
    return all(other is not None and other.state == "completed" and other.exit_code == 0 for other in before)


def _slots_in_use(world: World, node: Node) -> int:
    return sum(int(world.jobs[job].tasks[task].props.get("requiredSlots", 1)) for job, task in node.running)


def _start(world: World, pool: Pool, node: Node, job: Job, task: Task) -> None:
    task.pool, task.node, task.started = pool.id, node.id, world.now
    task.ended = task.exit_code = None
    task.due = world.schedule(world.now + run_time(task.props["commandLine"]), "task", job.key, task.key)
    node.running.append((job.key, task.key))
    node.tasks_run += 1
    set_state(world, job, task, "running")
    _update_node_state(world, pool.id, node)


def _update_node_state(world: World, pool_id: str, node: Node) -> None:
    """A node is running while it has a task, else idle, or offline if its scheduling is disabled."""
    state = "running" if node.running else "idle" if node.scheduling == "enabled" else "offline"
    if node.state in READY and node.state != state:
        before, node.state, node.state_time = node.state, state, world.now
        world.record_change("node", node.id, before, state, pool=pool_id, dedicated=node.dedicated)
        pool = world.pools.get(pool_id.lower())
        if pool is not None and pool.has_automatic_upgrade:
            world.schedule(world.now, "back", pool.key)  # an automatic upgrade may wait for this node


def _node_of(world: World, task: Task) -> Node | None:
    if task.state != "running" or task.pool is None or task.node is None:
        return None
    return world.node(task.pool, task.node)


def _release(world: World, job: Job, task: Task, node: Node) -> None:
    node.running.remove((job.key, task.key))
    _update_node_state(world, job.pool_id, node)


def evict(world: World, node: Node, *, terminate: bool) -> None:
    """Take the tasks from a node: they return to the queue, or end if a resize terminates them."""
    running, node.running = node.running, []
    for job_key, task_key in running:
        job = world.jobs[job_key]
        task = job.tasks[task_key]
        task.due = None
        if terminate:
            _finish(world, job, task, code=None)
            continue
        if world.unknowns["requeueCount"] == "increments":
            task.requeues += 1
            task.requeued = world.now
        set_state(world, job, task, "active")  # before task.node is cleared: the audit names the node
        task.started = task.node = task.pool = None


@event("task")
def task_ended(world: World, key: tuple[str, ...], due: int) -> None:
    """A task's command ends; a failed one runs again while it has retries left."""
    job = world.jobs.get(key[0])
    task = job.tasks.get(key[1]) if job else None
    if job is None or task is None or task.due != due:
        return
    node = _node_of(world, task)
    task.due = None
    code = exit_code(task.props["commandLine"])
    limit = int(task.props.get("constraints", {}).get("maxTaskRetryCount", 0))
    if code and (limit < 0 or task.retries < limit):
        task.retries += 1
        set_state(world, job, task, "active")
        task.started = task.node = task.pool = None
    else:
        _finish(world, job, task, code)
    if node is not None:
        node.tasks_succeeded += code == 0
        node.running.remove((job.key, task.key))
        pool = world.pool(job.pool_id)
        schedule(world, pool)
        _update_node_state(world, pool.id, node)


def _finish(world: World, job: Job, task: Task, code: int | None) -> None:
    task.ended, task.exit_code = world.now, code
    set_state(world, job, task, "completed")
    done = all(other.state == "completed" for other in job.tasks.values())
    if done and job.props.get("onAllTasksComplete") == "terminatejob":
        before, job.state, job.state_time = job.state, "completed", world.now
        world.record_change("job", job.id, before, "completed", pool=job.pool_id)
