"""What somebody else, or the platform, does to a pool.

A rollout is not alone with its pool. What other people do goes through the same rules as if they had
called Batch, refusals included; what the platform does to nodes has no call, and its rules are here.

Nodes are chosen by ``ids``, or as the first ``count`` of the pool that fit. If one does not fit, or there are too few,
nothing happens at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from batch_os_provider.simulator.world import nodes, pools, resizes, tasks, upgrades
from batch_os_provider.simulator.world.durations import TRANSITIONS, state_duration
from batch_os_provider.simulator.world.reader import RefusedError

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
    """The chosen nodes, each of which ``fits``; ``wanted`` is the word for those."""
    if do.get("ids") is None:
        found = [node for node in pool.nodes.values() if fits(node)][: do["count"]]
        if len(found) < do["count"]:
            raise RefusedError(f"the pool has {len(found)} nodes {wanted}, and count is {do['count']}")
        return found
    found = []
    for name in do["ids"]:
        node = pool.nodes.get(name.lower())
        if node is None:
            raise RefusedError(f"the pool has no node {name!r}")
        if not fits(node):
            raise RefusedError(f"node {node.id} ({node.state}) is not one of those {wanted}")
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
    names = [node.id for node in _choose_nodes(pool, do, _is_staying, "that stay")]
    resizes.remove_nodes(world, pool, names, None, "requeue")


# --- the platform ---


def _rollback(world: World, pool: Pool, _do: Do) -> None:
    upgrades.roll_back(world, pool)


def _preempt(world: World, pool: Pool, do: Do) -> None:
    for node in _choose_nodes(pool, do, lambda node: not node.dedicated and _is_staying(node), "of low priority"):
        tasks.evict(world, node, terminate=False)
        nodes.set_state(world, pool, node, "preempted")


def _stick(world: World, pool: Pool, do: Do) -> None:
    state = do.get("state")
    for node in (
        _choose_nodes(pool, do, _is_staying, "that stay")
        if state
        else _choose_nodes(pool, do, _is_in_transition, "on their way")
    ):
        if state:
            tasks.evict(world, node, terminate=False)
            nodes.set_state(world, pool, node, state)
        node.due = None


def _fail_start_task(_world: World, pool: Pool, do: Do) -> None:
    """A node's next start task fails: of a node on its way up, the one it is about to run."""
    if pool.start_task is None:
        raise RefusedError("the pool has no start task that could fail")
    for node in _choose_nodes(pool, do, _is_staying, "that stay"):
        node.fate = "starttaskfailed"


def _recover(world: World, pool: Pool, do: Do) -> None:
    """A stuck node goes on from where it is; a failed one boots again, a preempted one is allocated again."""

    def needs_recovery(node: Node) -> bool:
        return node.state in (*_FAILED, "preempted") or (node.state in TRANSITIONS and node.due is None)

    for node in _choose_nodes(pool, do, needs_recovery, "that are stuck or have failed"):
        node.fate, node.errors = None, []
        if node.state in TRANSITIONS:
            node.due = world.schedule(world.now + state_duration(node.state, node.id), "node", pool.key, node.id)
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
"""Kind -> what is done; each may raise ``BatchError`` or ``RefusedError``, and has done nothing then."""


def perform(world: World, name: str, do: Do) -> None:
    """Do it to a pool, at this instant.

    Raises:
        BatchError: Batch refuses it.
        RefusedError: it cannot be done to this pool or its nodes.
    """
    pool = world.pool(name)
    ACTIONS[do["kind"]](world, pool, do)
    world.changes += 1
    upgrades.reconcile(world, pool)
