"""Refuses a state that cannot exist.

A test that starts from an impossible state proves nothing. Each function below checks one rule and yields a sentence
for each violation; a new rule is a new function.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from batch_os_provider.simulator.identity import principals
from batch_os_provider.simulator.protocol.response_shapes import NODE_STATES
from batch_os_provider.simulator.world.model import FATES, READY, WITHOUT_TASKS, Node, Pool
from batch_os_provider.wording import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from batch_os_provider.simulator.world.world import World

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_POOL_STATES: Final = ("active", "deleting", "upgrading")
_ALLOCATION_STATES: Final = ("steady", "resizing", "stopping")
_JOB_STATES: Final = ("active", "completed", "deleting")
_TASK_STATES: Final = ("active", "running", "completed")


def _ids(world: World) -> Iterator[str]:
    names = [pool.id for pool in world.pools.values()] + [job.id for job in world.jobs.values()]
    for name in names:
        if _ID.fullmatch(name) is None:
            yield f"{name!r} is not an id: 1 to 64 letters, digits, hyphens and underscores."


def _principals(world: World) -> Iterator[str]:
    yield from principals.duplicates(world.principals)


def _states(world: World) -> Iterator[str]:
    shown = [
        *((f"Pool {pool.id}", pool.state, _POOL_STATES) for pool in world.pools.values()),
        *((f"Pool {pool.id} (allocation)", pool.allocation, _ALLOCATION_STATES) for pool in world.pools.values()),
        *((f"Node {node.id}", node.state, tuple(NODE_STATES)) for _, node in _nodes(world)),
        *((f"Node {node.id} (scheduling)", node.scheduling, ("enabled", "disabled")) for _, node in _nodes(world)),
        *((f"Job {job.id}", job.state, _JOB_STATES) for job in world.jobs.values()),
        *(
            (f"Task {job.id}/{task.id}", task.state, _TASK_STATES)
            for job in world.jobs.values()
            for task in job.tasks.values()
        ),
    ]
    for name, state, known in shown:
        if state not in known:
            yield f"{name} is in the state {state!r}, which is not one of {', '.join(known)}."


def _nodes(world: World) -> Iterator[tuple[Pool, Node]]:
    for pool in world.pools.values():
        for node in pool.nodes.values():
            yield pool, node


def _configurations(world: World) -> Iterator[str]:
    for pool in world.pools.values():
        if (pool.cloud_service is None) is (pool.virtual_machine is None):
            yield (f"Pool {pool.id} must have either cloudServiceConfiguration or virtualMachineConfiguration.")


def _upgrades(world: World) -> Iterator[str]:
    for pool in world.pools.values():
        if pool.state != "upgrading":
            versions = pool.cloud_service or {}
            if pool.state == "active" and versions.get("targetOSVersion") != versions.get("currentOSVersion"):
                yield (
                    f"Pool {pool.id} is active with targetOSVersion {versions['targetOSVersion']} and currentOSVersion "
                    f"{versions['currentOSVersion']}; they differ only while the pool is upgrading."
                )
        elif pool.cloud_service is None:
            yield f"Pool {pool.id} is a VM pool and upgrading; only Cloud Services pools have that state."
        elif pool.upgrade is not None and pool.upgrade.rollback:
            continue
        elif pool.cloud_service["targetOSVersion"] == pool.cloud_service["currentOSVersion"]:
            yield f"Pool {pool.id} is upgrading from {pool.cloud_service['currentOSVersion']} to the same version."


def _allocations(world: World) -> Iterator[str]:
    for pool in world.pools.values():
        if pool.allocation != "steady" or pool.state == "deleting":
            continue
        for kind, target, dedicated in (
            ("dedicated", pool.target_dedicated, True),
            ("low-priority", pool.target_low_priority, False),
        ):
            present = sum(node.dedicated is dedicated and node.state != "leavingpool" for node in pool.nodes.values())
            if present != target and not pool.resize_errors:
                yield (
                    f"Pool {pool.id} is steady with {counted(present, f'{kind} node')} and a target of {target}; "
                    "a steady pool without resizeErrors has as many nodes as its target."
                )


def _scripts(world: World) -> Iterator[str]:
    for name, number in world.quota.items():
        if number < 0:
            yield f"quota: {name} cannot be {number}."
    for pool, node in _nodes(world):
        if node.fate is not None and node.fate not in FATES:
            yield f"Node {node.id} of pool {pool.id} has the fate {node.fate!r}, not one of {', '.join(FATES)}."


def _running_tasks(world: World) -> Iterator[str]:
    for job in world.jobs.values():
        for task in job.tasks.values():
            if task.state != "running":
                continue
            pool = world.pools.get((task.pool or "").lower())
            if pool is None or (task.node or "").lower() not in pool.nodes:
                yield (
                    f"Task {job.id}/{task.id} is running, but its nodeInfo does not name a node of its pool. Give the "
                    "task the state active: the simulator starts it on a free node."
                )
    for pool, node in _nodes(world):
        if node.running and node.state != "running" and node.state not in WITHOUT_TASKS:
            yield f"Node {node.id} of pool {pool.id} is {node.state}, but tasks are running on it."
        if len(node.running) > pool.slots:
            load = f"{counted(len(node.running), 'task')} and has {counted(pool.slots, 'slot')}"
            yield f"Node {node.id} of pool {pool.id} runs {load}."


def _schedulable(world: World) -> Iterator[str]:
    for pool, node in _nodes(world):
        if node.scheduling == "disabled" and node.state in READY and not node.running:
            yield (
                f"Node {node.id} of pool {pool.id} has disabled scheduling and no tasks, so its state is offline, "
                f"not {node.state}."
            )


CHECKS: Final[tuple[Callable[[World], Iterator[str]], ...]] = (
    _ids,
    _principals,
    _states,
    _configurations,
    _upgrades,
    _allocations,
    _scripts,
    _running_tasks,
    _schedulable,
)


def problems(world: World) -> list[str]:
    """The violations found by the first check that finds any; later checks rely on earlier ones."""
    for check in CHECKS:
        found = list(check(world))
        if found:
            return found
    return []
