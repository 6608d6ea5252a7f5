"""The actions of other people, and of the platform, on a pool.

A rollout must handle a pool that others change. Actions of people follow the same rules as their calls to Batch,
including refusals. Actions of the platform on nodes have no call, so their rules are here.

An action selects nodes by ``ids``, or the first ``count`` suitable nodes of the pool. If a node is not suitable, or too
few are, the action changes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from batch_os_provider.simulator.world import nodes, pools, resizes, tasks, upgrades
from batch_os_provider.simulator.world.durations import TRANSITIONS
from batch_os_provider.simulator.world.reader import RefusedError
from batch_os_provider.wording import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from batch_os_provider.simulator.world.model import Node, Pool
    from batch_os_provider.simulator.world.world import World

    Do = Mapping[str, Any]

STUCK_STATES: Final = (
    *("unusable", "unknown", "creating", "starting", "rebooting", "reimaging", "upgradingos"),
    "waitingforstarttask",
)
"""States that ``stick`` can put a node into."""
_FAILED: Final = ("unusable", "unknown", "starttaskfailed")


def _choose_nodes(pool: Pool, do: Do, fits: Callable[[Node], bool], wanted: str) -> list[Node]:
    """The selected nodes. ``fits`` says whether a node is suitable; ``wanted`` describes such nodes in errors."""
    if do.get("ids") is None:
        found = [node for node in pool.nodes.values() if fits(node)][: do["count"]]
        if len(found) < do["count"]:
            there = f"{counted(len(found), 'node')} {wanted}"
            raise RefusedError(f"the pool has {there}, and count is {do['count']}")
        return found
    found = []
    for name in do["ids"]:
        node = pool.nodes.get(name.lower())
        if node is None:
            raise RefusedError(f"node {name!r} is not in the pool")
        if not fits(node):
            raise RefusedError(f"node {node.id} ({node.state}) is not one of the nodes {wanted}")
        found.append(node)
    return found


def _is_staying(node: Node) -> bool:
    return node.state != "leavingpool"


def _is_in_transition(node: Node) -> bool:
    return node.state in TRANSITIONS and _is_staying(node)


# --- people ---


def _resize(world: World, pool: Pool, do: Do) -> None:
    target = (do.get("targetDedicatedNodes"), do.get("targetLowPriorityNodes"))
    resizes.resize(world, pool, target, None, "requeue")


def _delete(world: World, pool: Pool, _do: Do) -> None:
    pools.delete(world, pool)


def _upgrade(world: World, pool: Pool, do: Do) -> None:
    upgrades.upgrade_os(world, pool, do["targetOSVersion"])


def _add_nodes(world: World, pool: Pool, do: Do) -> None:
    resizes.resize(world, pool, (pool.target_dedicated + do["count"], None), None, "requeue")


def _remove_nodes(world: World, pool: Pool, do: Do) -> None:
    names = [node.id for node in _choose_nodes(pool, do, _is_staying, "not leaving the pool")]
    resizes.remove_nodes(world, pool, names, None, "requeue")


# --- the platform ---


def _rollback(world: World, pool: Pool, _do: Do) -> None:
    upgrades.roll_back(world, pool)


def _preempt(world: World, pool: Pool, do: Do) -> None:
    for node in _choose_nodes(pool, do, lambda node: not node.dedicated and _is_staying(node), "with low priority"):
        tasks.evict(world, node, terminate=False)
        nodes.set_state(world, pool, node, "preempted")


def _stick(world: World, pool: Pool, do: Do) -> None:
    state = do.get("state")
    for node in (
        _choose_nodes(pool, do, _is_staying, "not leaving the pool")
        if state
        else _choose_nodes(pool, do, _is_in_transition, "in transition")
    ):
        if state:
            tasks.evict(world, node, terminate=False)
            nodes.set_state(world, pool, node, state)
        node.due = None


def _fail_start_task(_world: World, pool: Pool, do: Do) -> None:
    """The next start task of each node fails. A booting node fails at the end of this boot."""
    if pool.start_task is None:
        raise RefusedError("the pool has no start task that could fail")
    for node in _choose_nodes(pool, do, _is_staying, "not leaving the pool"):
        node.fate = "starttaskfailed"


def _recover(world: World, pool: Pool, do: Do) -> None:
    """A stuck node continues; a failed node reboots; a preempted node is allocated again."""

    def needs_recovery(node: Node) -> bool:
        return node.state in (*_FAILED, "preempted") or (node.state in TRANSITIONS and node.due is None)

    for node in _choose_nodes(pool, do, needs_recovery, "stuck, failed or preempted"):
        node.fate, node.errors = None, []
        if node.state in TRANSITIONS:
            node.due = world.schedule(
                world.now + nodes.lasts(world, pool, node.state, node.id), "node", pool.key, node.id
            )
        else:
            nodes.set_state(world, pool, node, "creating" if node.state == "preempted" else "rebooting")


ACTIONS: Final[Mapping[str, Callable[[World, Pool, Do], None]]] = {
    "resize": _resize,
    "delete": _delete,
    "upgrade": _upgrade,
    "rollback": _rollback,
    "addNodes": _add_nodes,
    "removeNodes": _remove_nodes,
    "preempt": _preempt,
    "stick": _stick,
    "failStartTask": _fail_start_task,
    "recover": _recover,
}
"""Kind -> action. An action that raises ``BatchError`` or ``RefusedError`` has changed nothing."""


def perform(world: World, name: str, do: Do) -> None:
    """Run an action on a pool now.

    Raises:
        BatchError: Batch refuses it.
        RefusedError: the pool or its nodes do not allow it.
    """
    pool = world.pool(name)
    ACTIONS[do["kind"]](world, pool, do)
    world.changes += 1
    upgrades.reconcile(world, pool)
