"""The life of a node: created, started, idle or running, reimaged, gone.

Why it exists: an OS upgrade is visible only in its nodes, one at a time, so the steps of a node are kept apart
from the reasons for them (:mod:`.pools`). The steps and their durations are the table in :mod:`.stages`.
When a node is back, or gone, the event ``back`` tells the pool at the same instant.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from zlib import crc32

from . import tasks
from .clock import iso
from .model import READY, Node, Pool
from .stages import STAGES, lasts
from .version_catalogue import exact_image
from .world import event

if TYPE_CHECKING:
    from .world import World


def move(world: World, pool: Pool, node: Node, state: str) -> None:
    """Put a node into a state now, and note when that state ends by itself."""
    before, node.state, node.state_time = node.state, state, world.now
    node.due = None
    if state in STAGES:
        node.due = world.at(world.now + lasts(state, node.id), "node", pool.key, node.id)
    world.changed("node", node.id, before, state, pool=pool.id)


def create(world: World, pool: Pool, *, dedicated: bool) -> Node:
    """Allocate one node."""
    pool.node_counter += 1
    stamp = iso(world.now)[:19].replace("-", "").replace(":", "").lower() + "z"
    name = f"tvm-{crc32(pool.key.encode())}_{pool.node_counter}-{stamp}"
    node = Node(name, dedicated, "creating", world.now, world.now, world.now)
    if pool.virtual_machine is not None:
        node.image = exact_image(world.images, pool.virtual_machine["imageReference"])
    node.due = world.at(world.now + lasts("creating", name), "node", pool.key, name)
    pool.nodes[name.lower()] = node
    world.changed("node", name, None, "creating", pool=pool.id)
    return node


def upgrade(world: World, pool: Pool, node: Node) -> None:
    """Take a node out to replace its OS: its tasks go back to the queue first."""
    tasks.evict(world, node, terminate=False)
    move(world, pool, node, str(world.unknowns["nodeStateDuringUpgrade"]))


def leave(world: World, pool: Pool, node: Node, *, terminate: bool = False) -> None:
    """Take a node out for good."""
    tasks.evict(world, node, terminate=terminate)
    move(world, pool, node, "leavingpool")


def begin_start_task(world: World, pool: Pool, node: Node) -> bool:
    """Start the pool's start task on a node that has booted; True if the node must wait for its success."""
    upgraded = pool.upgrade is not None and node.id in pool.upgrade.out
    if pool.start_task is None or (upgraded and world.unknowns["startTaskAfterUpgrade"] == "notRun"):
        return False
    node.start_task = {"state": "running", "startTime": iso(world.now), "retryCount": 0}
    return bool(pool.start_task.get("waitForSuccess", True))


def end_start_task(world: World, node: Node) -> None:
    """The start task ended, always well: no recording or document says how often it fails."""
    if node.start_task is not None and node.start_task["state"] == "running":
        ended: dict[str, Any] = {"state": "completed", "endTime": iso(world.now), "exitCode": 0, "result": "success"}
        node.start_task = {**node.start_task, **ended}


@event("node")
def stage_ended(world: World, key: tuple[str, ...], due: int) -> None:
    """A node's present state ends: go on to the next one."""
    pool = world.pools.get(key[0])
    node = pool.nodes.get(key[1].lower()) if pool else None
    if pool is None or node is None or node.due != due:
        return
    stage = STAGES[node.state]
    if stage.then == "gone":
        del pool.nodes[node.id.lower()]
        world.changed("node", node.id, node.state, None, pool=pool.id)
        world.at(world.now, "back", pool.key)
        return
    if stage.boots:
        node.boot_time = world.now
    then = stage.then
    if then == "waitingforstarttask" and not begin_start_task(world, pool, node):
        then = "ready"
    if then == "ready":
        end_start_task(world, node)
        then = "idle" if node.scheduling == "enabled" else "offline"
    move(world, pool, node, then)
    if then in (*READY, "offline"):
        world.at(world.now, "back", pool.key)
