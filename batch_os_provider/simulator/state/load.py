"""Reads the whole account from JSON (:mod:`.dump` writes it).

A test starts from a state and ends with a check of one, so people must be able to write it by hand. A pool is its JSON
as a GET returns it (2018-08-01.7.0 for Cloud Services pools, the newest version for VM pools) plus ``nodes``; a job has
``tasks``. Missing fields get the values of an idle, healthy account.

Work in progress is under ``simulator``, so a state that was saved during an upgrade continues at the same instant.
Without it, the work is derived from the visible fields. If both disagree because a saved state was edited, the visible
fields win. :mod:`.vm_images` describes images, :mod:`.principals` principals, :mod:`.resizes` the ``quota`` and the
allocation script of a pool.

A new state is read and checked (:mod:`.consistency`) before it replaces the account.
"""

from __future__ import annotations

from typing import Any

from batch_os_provider.simulator.identity import principals
from batch_os_provider.simulator.identity.account_access import read_access
from batch_os_provider.simulator.identity.principals import usable_key
from batch_os_provider.simulator.state import consistency
from batch_os_provider.simulator.state.dump import VERSION
from batch_os_provider.simulator.state.load_jobs import load_job
from batch_os_provider.simulator.state.load_pools import load_pool
from batch_os_provider.simulator.world import supported_images, tasks, vm_images
from batch_os_provider.simulator.world.clock import VirtualClock
from batch_os_provider.simulator.world.durations import RECORDED, SHORT
from batch_os_provider.simulator.world.guest_os_images import guest_os
from batch_os_provider.simulator.world.model import WITHOUT_TASKS, Pool
from batch_os_provider.simulator.world.reader import Reader, StateError
from batch_os_provider.simulator.world.upgrades import reconcile
from batch_os_provider.simulator.world.world import World

__all__ = ["StateError", "load"]


def load(world: World, data: object) -> None:
    """Replace the account with a state.

    Raises:
        StateError: the state is invalid or cannot exist; the account is unchanged.
    """
    reader = Reader("state", data)
    if reader.take("version", int, VERSION) != VERSION:
        raise StateError(f"this simulator reads states of version {VERSION} only")
    virtual = reader.take("virtual", str, None)
    start = reader.parse_time("virtual", virtual) if virtual is not None else world.clock.now()
    fresh = World(VirtualClock(start, speed=0))
    fresh.unknowns = world.unknowns
    account = Reader("account", reader.take("account", dict, {}))
    fresh.account = account.take("name", str, world.account)
    fresh.key = account.take("key", str, world.key)
    if not usable_key(fresh.key):
        raise StateError("account: the key is not base64")
    fresh.access = read_access(account)
    account.finish()
    fresh.principals = [principals.read(row) for row in reader.take("principals", list, [])]
    fresh.images = [_image(row) for row in reader.take("images", list, [])]
    supported = reader.take("supportedImages", list, None)
    fresh.supported = None if supported is None else [supported_images.read(row) for row in supported]
    fresh.durations = reader.take("durations", str, RECORDED)
    if fresh.durations not in (RECORDED, SHORT):
        raise StateError(f"durations is {RECORDED} or {SHORT}, not {fresh.durations!r}")
    fresh.quota = _quota(Reader("quota", reader.take("quota", dict, {})))
    for moment in vm_images.release_times(fresh.images, fresh.now):
        fresh.schedule(moment, "image")
    for row in reader.take("pools", list, []):
        load_pool(fresh, row)
    for row in reader.take("jobs", list, []):
        load_job(fresh, row)
    reader.finish()
    _link_running_tasks(fresh)
    problems = consistency.problems(fresh)
    if problems:
        raise StateError(" ".join(problems))
    if virtual is not None:
        world.clock.set(start)
    before = {
        (pool.key, pool.created, node.id): node.state for pool in world.pools.values() for node in pool.nodes.values()
    }
    world.replace(fresh, start)
    for pool in list(world.pools.values()):
        _record_edits(world, pool, before)
        reconcile(world, pool)


def _record_edits(world: World, pool: Pool, before: dict[tuple[str, int, str], str]) -> None:
    """Audit nodes whose state the new state changes, and requeue the tasks of nodes that cannot run them."""
    for node in pool.nodes.values():
        seen = before.get((pool.key, pool.created, node.id), node.state)
        if seen != node.state:
            more = {"pool": pool.id, "dedicated": node.dedicated, "by": "state"}
            world.record_change("node", node.id, seen, node.state, **more)
        if node.running and node.state in WITHOUT_TASKS:
            tasks.evict(world, node, terminate=False)


def _quota(reader: Reader) -> dict[str, int]:
    names = ("dedicatedNodes", "lowPriorityNodes")
    quota = {name: value for name in names if (value := reader.take(name, int, None)) is not None}
    reader.finish()
    return quota


def _image(row: object) -> dict[str, Any]:
    """One row of ``images``: a Guest OS version or a VM image."""
    return guest_os(row) if isinstance(row, dict) and "osVersion" in row else vm_images.read(row)


def _link_running_tasks(world: World) -> None:
    """Link running tasks to their nodes, and set the state of nodes that have none."""
    for job in world.jobs.values():
        for task in job.tasks.values():
            pool = world.pools.get((task.pool or "").lower())
            node = pool.nodes.get((task.node or "").lower()) if pool else None
            if task.state == "running" and node is not None:
                node.running.append((job.key, task.key))
    for pool in world.pools.values():
        for node in pool.nodes.values():
            node.state = node.state or ("running" if node.running else "idle")
