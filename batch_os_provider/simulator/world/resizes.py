"""The size of a pool: resize, removenodes, and the refusals of autoscale.

A VM pool gets a new image only with new nodes, so a rollout consists of these calls. Two parts of
the state make them fail: the ``quota`` of the account (counted in nodes, not cores; all pools share it), and the
allocation script of a pool, ``allocation`` in its ``simulator`` object::

    {"fail": "AllocationFailed", "failAfter": 0, "times": 1,
     "version": "20348.2227.240104", "startTask": "fail", "state": "unusable", "count": 2}

``fail`` ends a resize with that resizeError after ``failAfter`` more nodes (``AllocationTimedout``: only after the
resizeTimeout). ``times`` is the number of resizes that fail (default: all). ``version``, ``startTask`` and ``state``
apply to the next ``count`` nodes (default: all). ``startTask`` is ``fail`` (the node becomes starttaskfailed if the
pool waits for success) or ``hang`` (it stays in waitingforstarttask). ``state`` is the final state instead of idle:
``unusable`` or ``unknown``. The numbers count down, and the state shows the remaining ones. A single node can have its
own ``fate`` in its ``simulator`` object (``starttaskfailed``, ``hangs``, ``unusable``, ``unknown``); a ``stuck`` node
stays in its state.

A node that a removal waits for (taskcompletion) gets no new tasks. Assumption: a removal from a pool with fewer nodes
than its target keeps the errors of the failed resize.
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Any, Final

from batch_os_provider.simulator.world import nodes
from batch_os_provider.simulator.world.clock import parse_duration, seconds
from batch_os_provider.simulator.world.durations import (
    EMPTY_RESIZE_DURATION,
    ENABLE_AUTOSCALE_PAUSE,
    FIRST_NODES_DELAY,
    RESIZE_SHARE,
    RESIZE_STEP,
    RESIZE_TIMEOUT,
    STOP_RESIZE_DURATION,
    machine_of,
)
from batch_os_provider.simulator.world.errors import BatchError
from batch_os_provider.simulator.world.model import Node, Pool, Resize
from batch_os_provider.simulator.world.pool_states import refuse_deleting, set_allocation
from batch_os_provider.simulator.world.upgrades import reconcile
from batch_os_provider.simulator.world.world import event

if TYPE_CHECKING:
    from batch_os_provider.simulator.world.world import World

NODE_KINDS = (True, False)
"""Dedicated and low-priority nodes."""
_WAITS_FOR_TASKS: Final = ("taskcompletion", "retaineddata")
MESSAGES: Final = {
    "AccountCoreQuotaReached": "The specified account has reached core quota.",
    "AccountLowPriorityCoreQuotaReached": "The specified account has reached low-priority core quota.",
    "AllocationFailed": "Desired number of compute nodes could not be allocated.",
    "AllocationTimedout": "The resize operation did not finish within resizeTimeout.",
    "RemoveNodesFailed": "Not all of the specified nodes could be removed within resizeTimeout.",
    "ResizeStopped": "Desired number of {kind} nodes could not be allocated due to a stop resize operation",
    "Unknown": "An unknown error occurred during the resize operation.",
}
"""The codes of resizeErrors, and their messages; that of ResizeStopped is recorded."""


def _refuse(world: World, pool: Pool, *, autoscale: bool) -> None:
    """The refusals that resize and removenodes share."""
    refuse_deleting(pool)
    if pool.allocation != "steady":
        raise BatchError("PoolBeingResized")
    if autoscale:
        raise BatchError("OperationNotValidOnPool")
    if pool.state == "upgrading" and world.unknowns["resizeWhileUpgrading"] != "accepted":
        raise BatchError("OperationInvalidForCurrentState")


# --- resize ---


def resize(world: World, pool: Pool, target: tuple[int | None, int | None], timeout: str | None, option: str) -> None:
    """Set new targets; None keeps a target."""
    _refuse(world, pool, autoscale=pool.autoscale_enabled)
    dedicated, low_priority = target
    wanted = (
        pool.target_dedicated if dedicated is None else dedicated,
        pool.target_low_priority if low_priority is None else low_priority,
    )
    if timeout is not None:
        pool.props["resizeTimeout"] = timeout
    start_resize(world, pool, wanted, pool.props.get("resizeTimeout"), option)
    world.touch(pool)


def start_resize(world: World, pool: Pool, target: tuple[int, int], timeout: str | None, option: str) -> None:
    """Start a resize to a target, for any caller."""
    pool.target_dedicated, pool.target_low_priority = target
    pool.resize_errors = []
    set_allocation(world, pool, "resizing")
    grows = any(_missing(pool, dedicated=kind) > 0 for kind in NODE_KINDS)
    after = FIRST_NODES_DELAY if grows else RESIZE_STEP if pool.nodes else EMPTY_RESIZE_DURATION
    due = world.schedule(world.now + seconds(after), "resize", pool.key)
    pool.resize = Resize(due, _deadline(world, timeout), option)
    for kind in NODE_KINDS:
        _shrink(world, pool, pool.resize, -_missing(pool, dedicated=kind), dedicated=kind)
    reconcile(world, pool)


def _deadline(world: World, timeout: str | None) -> int:
    return world.now + (seconds(RESIZE_TIMEOUT) if timeout is None else parse_duration(timeout))


def _staying(pool: Pool, *, dedicated: bool) -> list[Node]:
    return [node for node in pool.nodes.values() if node.dedicated is dedicated and node.state != "leavingpool"]


def _missing(pool: Pool, *, dedicated: bool) -> int:
    return pool.target(dedicated=dedicated) - len(_staying(pool, dedicated=dedicated))


def _shrink(world: World, pool: Pool, work: Resize, surplus: int, *, dedicated: bool) -> None:
    """Remove surplus nodes. Batch chooses them: idle nodes first, and the newest of those first."""
    if surplus <= 0:
        return
    staying = _staying(pool, dedicated=dedicated)
    staying.reverse()
    for node in sorted(staying, key=lambda node: len(node.running))[:surplus]:
        _remove(world, pool, work, node)


def _remove(world: World, pool: Pool, work: Resize, node: Node) -> None:
    """Remove a node: now, or when its tasks have ended."""
    if node.running and work.option in _WAITS_FOR_TASKS:
        work.leaving.append(node.id)
    else:
        nodes.remove(world, pool, node, terminate=work.option == "terminate")


# --- nodes removed by name ---


def remove_nodes(world: World, pool: Pool, names: list[str], timeout: str | None, option: str) -> None:
    """``removenodes``: lowers the target at once by the number of removed nodes."""
    refused = pool.autoscale_enabled and world.unknowns["removeNodesOnAutoscale"] != "accepted"
    _refuse(world, pool, autoscale=refused)
    chosen = _nodes_by_id(world, pool, names)
    set_allocation(world, pool, "resizing")
    due = world.schedule(world.now + seconds(RESIZE_STEP), "resize", pool.key)
    pool.resize = Resize(due, _deadline(world, timeout), option, removal=True, earlier_errors=pool.resize_errors)
    pool.resize_errors = []
    for node in chosen:
        pool.adjust_target(-1, dedicated=node.dedicated)
        _remove(world, pool, pool.resize, node)
    reconcile(world, pool)
    world.touch(pool)


def _nodes_by_id(world: World, pool: Pool, names: list[str]) -> list[Node]:
    found = []
    for key in dict.fromkeys(name.lower() for name in names):
        node = pool.nodes.get(key)
        if node is None and world.unknowns["removeNodesUnknownId"] != "ignored":
            raise BatchError("NodeNotFound")
        if node is not None and node.state != "leavingpool":
            found.append(node)
    return found


def _cancel_removals(world: World, pool: Pool, work: Resize) -> None:
    """Keep the nodes that the resize waited for."""
    kept = [node for name in work.leaving if (node := pool.nodes.get(name.lower())) is not None]
    for node in kept:
        if world.unknowns["removeNodesTimeoutTarget"] == "restored":
            pool.adjust_target(1, dedicated=node.dedicated)
        if world.unknowns["nodesAfterDrainTimeout"] == "disabled":
            node.scheduling = "disabled"
    work.leaving = []


# --- going on, stopping, ending ---


def stop_resize(world: World, pool: Pool) -> None:
    """Stop a resize: nodes that are leaving still leave, all others stay."""
    refuse_deleting(pool)
    if pool.allocation != "resizing" or pool.resize is None:
        raise BatchError("OperationInvalidForCurrentState")
    _cancel_removals(world, pool, pool.resize)
    pool.resize.due = world.schedule(world.now + seconds(STOP_RESIZE_DURATION), "resize", pool.key)
    set_allocation(world, pool, "stopping")
    reconcile(world, pool)
    world.changes += 1  # recorded: neither ETag nor lastModified changes


@event("resize")
def resize_step(world: World, key: tuple[str, ...], due: int) -> None:
    """One step of a resize: add new nodes, remove nodes whose tasks have ended, or finish."""
    pool = world.pools.get(key[0])
    work = pool.resize if pool else None
    if pool is None or work is None or work.due != due:
        return
    if pool.allocation == "stopping":
        _finish(world, pool, ["ResizeStopped"])
        return
    for name in list(work.leaving):
        node = pool.nodes.get(name.lower())
        if node is None or not node.running:
            work.leaving.remove(name)
        if node is not None and not node.running:
            nodes.remove(world, pool, node)
    reconcile(world, pool)
    grows = not work.removal or world.unknowns["removeNodesWhileShort"] == "fillsUp"
    blocked = {kind: _grow(world, pool, dedicated=kind) for kind in NODE_KINDS} if grows else {}
    codes = list(dict.fromkeys(code for code in blocked.values() if code))
    busy = bool(work.leaving) or any(node.state == "leavingpool" for node in pool.nodes.values())
    missing = [0 if blocked.get(kind) else _missing(pool, dedicated=kind) for kind in NODE_KINDS]
    if not busy and (not any(missing) or (work.removal and (not grows or max(missing) <= 0))):
        _finish(world, pool, codes)
    elif world.now >= work.deadline:
        waited = work.removal and bool(work.leaving)
        _cancel_removals(world, pool, work)
        _finish(world, pool, [str(world.unknowns["removeNodesTimeoutCode"]) if waited else "AllocationTimedout"])
    else:
        work.due = world.schedule(world.now + seconds(RESIZE_STEP), "resize", pool.key)


def _grow(world: World, pool: Pool, *, dedicated: bool) -> str | None:
    """Add the next new nodes of one kind; returns the error code if no more can be added."""
    script = pool.script or {}
    missing = _missing(pool, dedicated=dedicated)
    if missing <= 0:
        return None
    fails = script.get("fail")
    room = world.remaining_quota(dedicated=dedicated)
    scripted = script.get("failAfter", 0) if fails else missing
    at_once = bool(machine_of(pool.virtual_machine, pool.props.get("vmSize"), world.durations))  # recorded
    batch = min(missing if at_once else ceil(missing * RESIZE_SHARE), room, scripted)
    for _ in range(batch):
        nodes.create(world, pool, dedicated=dedicated)
    if fails and "failAfter" in script:
        script["failAfter"] -= batch
    if missing == batch:
        return None
    if fails and scripted == batch:
        return None if fails == "AllocationTimedout" else str(fails)
    if room == batch:
        return "AccountCoreQuotaReached" if dedicated else "AccountLowPriorityCoreQuotaReached"
    return None


def _message(pool: Pool, code: str) -> str:
    only_low_priority = _missing(pool, dedicated=False) > 0 >= _missing(pool, dedicated=True)
    return MESSAGES.get(code, code).replace("{kind}", "low priority" if only_low_priority else "dedicated")


def _finish(world: World, pool: Pool, codes: list[str]) -> None:
    work, pool.resize = pool.resize, None
    script = pool.script or {}
    if script.get("fail") in codes and "times" in script:
        script["times"] -= 1
        if not script["times"]:
            pool.script = {name: script[name] for name in script if name not in ("fail", "failAfter", "times")}
    short = any(_missing(pool, dedicated=kind) for kind in NODE_KINDS)
    kept = work.earlier_errors if work is not None and short else []
    pool.resize_errors = [{"code": code, "message": _message(pool, code)} for code in codes] or kept
    set_allocation(world, pool, "steady")
    reconcile(world, pool)


# --- autoscale: formulas are stored and returned, never evaluated ---


def enable_autoscale(world: World, pool: Pool, given: dict[str, Any]) -> None:
    """``enableautoscale``: with a new formula or interval, or with those that the pool has."""
    refuse_deleting(pool)
    if pool.allocation == "resizing":  # while stopping it was accepted (recorded)
        raise BatchError("PoolBeingResized")
    if not given.get("autoScaleFormula") and not pool.props.get("autoScaleFormula"):
        raise BatchError("MissingRequiredProperty", ("PropertyName", "autoScaleFormula"))
    last, refusal = pool.autoscale_enabled_at, world.unknowns["enableAutoscaleWithin30s"]
    if last is not None and world.now - last < seconds(ENABLE_AUTOSCALE_PAUSE) and refusal != "accepted":
        raise BatchError(str(refusal))
    pool.autoscale_enabled_at = world.now
    pool.props |= {"autoScaleEvaluationInterval": "PT15M", **pool.props, "enableAutoScale": True, **given}
    world.touch(pool)


def disable_autoscale(world: World, pool: Pool) -> None:
    """``disableautoscale``: also removes the formula."""
    refuse_deleting(pool)
    for name in ("enableAutoScale", "autoScaleFormula", "autoScaleEvaluationInterval"):
        pool.props.pop(name, None)
    world.touch(pool)
