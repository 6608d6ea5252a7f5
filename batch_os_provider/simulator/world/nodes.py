"""The lifecycle of a node: created, started, idle or running, reimaged, removed.

Resizes and upgrades use the same node states, so the states are here and the reasons for them in :mod:`.resizes` and
:mod:`.upgrades`. :mod:`.durations` has the states and how long they last. When a node is ready or removed, the event
``back`` continues the work of its pool at the same instant.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from zlib import crc32

from batch_os_provider.simulator.world import tasks, vm_images
from batch_os_provider.simulator.world.clock import iso
from batch_os_provider.simulator.world.durations import TRANSITIONS, machine_of, state_duration
from batch_os_provider.simulator.world.model import Node, Pool
from batch_os_provider.simulator.world.supported_images import has_fitting_agent
from batch_os_provider.simulator.world.world import event

if TYPE_CHECKING:
    from batch_os_provider.simulator.world.world import World


def set_state(world: World, pool: Pool, node: Node, state: str) -> None:
    """Put a node into a state now, and schedule the end of a temporary state."""
    before, node.state, node.state_time = node.state, state, world.now
    node.due = None
    if state in TRANSITIONS:
        node.due = world.schedule(world.now + lasts(world, pool, state, node.id), "node", pool.key, node.id)
    _record_change(world, pool, node, before, state)


def lasts(world: World, pool: Pool, state: str, name: str) -> int:
    """How long a node of this name stays in a temporary state, in ticks."""
    return state_duration(state, name, machine_of(pool.virtual_machine, pool.props.get("vmSize"), world.durations))


def _record_change(world: World, pool: Pool, node: Node, before: str | None, after: str | None) -> None:
    world.record_change("node", node.id, before, after, pool=pool.id, dedicated=node.dedicated)


def create(world: World, pool: Pool, *, dedicated: bool) -> Node:
    """Allocate one node."""
    pool.node_counter += 1
    stamp = iso(world.now)[:19].replace("-", "").replace(":", "").lower() + "z"
    name = f"tvm-{crc32(pool.key.encode())}_{pool.node_counter}-{stamp}"
    node = Node(name, dedicated, "creating", world.now, None, world.now)
    if pool.virtual_machine is not None:
        node.image = vm_images.image_of_new_node(world, pool)
    # Only a new deployment brings a new agent (best practices; Azure/Batch#1 and #88).
    node.agent = next((each.agent for each in pool.nodes.values() if each.state != "leavingpool"), node.agent)
    node.fate = _scripted_fate(pool) or _agent_fate(world, pool)
    node.due = world.schedule(world.now + lasts(world, pool, "creating", name), "node", pool.key, name)
    pool.nodes[name.lower()] = node
    _record_change(world, pool, node, None, "creating")
    return node


def _scripted_fate(pool: Pool) -> str | None:
    """The fate that the allocation script of the pool has for a new node; decrements the script's count."""
    script = pool.script
    if not script or not {"startTask", "state", "version"} & set(script):
        return None
    fate = script.get("state") or {"fail": "starttaskfailed", "hang": "hangs"}.get(script.get("startTask", ""))
    if "count" in script:
        script["count"] -= 1
        if not script["count"]:
            kept = ("fail", "failAfter", "times")
            pool.script = {name: script[name] for name in kept if name in script}
    return fate


def _agent_fate(world: World, pool: Pool) -> str | None:
    """The fate of a node whose agent is made for another image: Batch cannot install it."""
    accepts = world.unknowns["agentOfAnotherImage"] == "accepted" and pool.virtual_machine is not None
    return "unusable" if accepts and not has_fitting_agent(world, pool.virtual_machine or {}) else None


def start_upgrade(world: World, pool: Pool, node: Node) -> None:
    """Take a node out to replace its OS: its tasks return to the queue first."""
    tasks.evict(world, node, terminate=False)
    set_state(world, pool, node, str(world.unknowns["nodeStateDuringUpgrade"]))


def remove(world: World, pool: Pool, node: Node, *, terminate: bool = False) -> None:
    """Remove a node from its pool; its tasks are requeued or terminated first."""
    tasks.evict(world, node, terminate=terminate)
    node.fate = None
    set_state(world, pool, node, "leavingpool")


def begin_start_task(world: World, pool: Pool, node: Node) -> bool:
    """Start the pool's start task on a node that has booted; True if the node must wait for its success."""
    upgraded = pool.upgrade is not None and node.id in pool.upgrade.out
    if pool.start_task is None or (upgraded and world.unknowns["startTaskAfterUpgrade"] == "notRun"):
        return False
    node.start_task = {"state": "running", "startTime": iso(world.now), "retryCount": 0}
    return bool(pool.start_task.get("waitForSuccess", True))


def end_start_task(world: World, node: Node) -> None:
    """End the start task: with success, unless the fate of the node is a failure (real failure rates are unknown)."""
    if node.start_task is not None and node.start_task["state"] == "running":
        failed = node.fate == "starttaskfailed"
        ended: dict[str, Any] = {"state": "completed", "endTime": iso(world.now), "exitCode": int(failed)}
        ended["result"] = "failure" if failed else "success"
        if failed:
            message = "The task exited with an exit code representing a failure"
            ended["failureInfo"] = {"category": "usererror", "code": "FailureExitCode", "message": message}
        node.start_task = {**node.start_task, **ended}


def _end_boot(world: World, pool: Pool, node: Node) -> str:
    """The state of a node after its boot: ready, or the state of its fate."""
    end_start_task(world, node)
    fate, node.fate = node.fate, None
    if fate in ("unusable", "unknown"):
        node.errors = [{"code": "Unknown", "message": "The compute node could not be set up."}]
        return fate
    if fate == "starttaskfailed" and pool.start_task is not None and pool.start_task.get("waitForSuccess", True):
        return fate
    return "idle" if node.scheduling == "enabled" else "offline"


@event("node")
def state_ended(world: World, key: tuple[str, ...], due: int) -> None:
    """A temporary state of a node ends: enter the next one."""
    pool = world.pools.get(key[0])
    node = pool.nodes.get(key[1].lower()) if pool else None
    if pool is None or node is None or node.due != due:
        return
    transition = TRANSITIONS[node.state]
    if transition.then == "gone":
        del pool.nodes[node.id.lower()]
        _record_change(world, pool, node, node.state, None)
        world.schedule(world.now, "back", pool.key)
        return
    if transition.boots:
        node.boot_time = world.now
        if pool.has_automatic_upgrade and node.state in ("upgradingos", "rebooting"):
            node.image, node.shown_version = vm_images.image_of_new_node(world, pool), None
    elif node.state == "starting" and node.boot_time is None:
        node.boot_time = world.now
    then = transition.then
    if then == "waitingforstarttask" and not begin_start_task(world, pool, node):
        then = "ready"
    if then == "ready":
        then = _end_boot(world, pool, node)
    set_state(world, pool, node, then)
    if then == "waitingforstarttask" and node.fate == "hangs":
        node.due = None
    if then not in TRANSITIONS:
        world.schedule(world.now, "back", pool.key)
