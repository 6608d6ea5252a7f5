"""Writes the whole account as JSON; :mod:`.load` reads it.

A run can continue from a state file, so the file has everything: the JSON that Batch would return, and under
``simulator`` the work in progress.
"""

from __future__ import annotations

from typing import Any, Final

from batch_os_provider.simulator.protocol import response_shapes
from batch_os_provider.simulator.protocol.api_versions import LAST_WITH_UPGRADE, NEWEST
from batch_os_provider.simulator.world import vm_images
from batch_os_provider.simulator.world.clock import iso
from batch_os_provider.simulator.world.durations import RECORDED, TRANSITIONS
from batch_os_provider.simulator.world.model import Job, Node, Pool
from batch_os_provider.simulator.world.world import World

VERSION: Final = 1
"""The version of the state format."""


def dump(world: World, base: str) -> dict[str, Any]:
    """The state at the current virtual time; :func:`.load` reads it."""
    return {
        "version": VERSION,
        "virtual": iso(world.now),
        "account": {"name": world.account, "key": world.key, **world.access},
        "principals": world.principals,
        "images": world.images,
        **({} if world.supported is None else {"supportedImages": world.supported}),
        **({} if world.durations == RECORDED else {"durations": world.durations}),
        **({"quota": world.quota} if world.quota else {}),
        "pools": [_dump_pool(world, pool, base) for pool in world.pools.values()],
        "jobs": [_dump_job(job, base) for job in world.jobs.values()],
    }


def _times(**times: int | None) -> dict[str, str]:
    return {name: iso(value) for name, value in times.items() if value is not None}


def _dump_pool(world: World, pool: Pool, base: str) -> dict[str, Any]:
    version = LAST_WITH_UPGRADE if pool.cloud_service is not None else NEWEST
    work: dict[str, Any] = {"nodeCounter": pool.node_counter, **_times(deleteDue=pool.delete_due)}
    work |= _times(autoScaleEnabled=pool.autoscale_enabled_at)
    if pool.resolved_latest is not None:
        work["latest"] = pool.resolved_latest
    if pool.previous_version is not None:
        work["previousOSVersion"] = pool.previous_version
    if pool.script:
        work["allocation"] = dict(pool.script)
    if pool.upgrade is not None:
        up = pool.upgrade
        work["upgrade"] = {"pending": up.pending, "out": up.out, **_times(until=up.until)}
        if up.rollback:
            work["upgrade"]["rollback"] = True
    if pool.resize is not None:
        size = pool.resize
        work["resize"] = {
            "nodeDeallocationOption": size.option,
            "leaving": size.leaving,
            "removal": size.removal,
            "earlierErrors": size.earlier_errors,
            **_times(due=size.due, deadline=size.deadline),
        }
    nodes = []
    for node in pool.nodes.values():
        shown = response_shapes.node_json(world, pool, node, version, base)
        nodes.append({**shown, "state": node.state, "simulator": _dump_node_work(world, node)})
    return {**response_shapes.pool_json(world, pool, version, base), "simulator": work, "nodes": nodes}


def _dump_node_work(world: World, node: Node) -> dict[str, Any]:
    work: dict[str, Any] = dict(_times(due=node.due))
    if node.fate is not None:
        work["fate" if node.state in TRANSITIONS else "nextFate"] = node.fate
    if node.state in TRANSITIONS and node.due is None:
        work["stuck"] = True
    if node.boot_time is None:
        work |= {"unbooted": True, "agent": node.agent}
    version, shown = ((image or {}).get("exactVersion") for image in (node.image, vm_images.shown_image(world, node)))
    if version != shown:
        work["imageVersion"] = version
    if version is not None and node.shown_version is None:
        work["shownBySwitch"] = shown
    return work


def _dump_job(job: Job, base: str) -> dict[str, Any]:
    listed = [
        {**response_shapes.task_json(job, task, LAST_WITH_UPGRADE, base), "simulator": _times(due=task.due)}
        for task in job.tasks.values()
    ]
    shown = response_shapes.job_json(job, LAST_WITH_UPGRADE, base)
    return {**shown, "simulator": _times(deleteDue=job.delete_due), "tasks": listed}
