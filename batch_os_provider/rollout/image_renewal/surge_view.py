"""What the cycle of ``surge`` sees in a pool: its own nodes, what it may still change, and what another actor changed.

Each step of the cycle compares the pool with the marker. These comparisons and their words are pure and have no
order, so they stand apart from the table of steps in ``surge``.
"""

from __future__ import annotations

from batch_os_provider.batch.vm_pool import Marker, VmNode
from batch_os_provider.batch.vm_target import Target
from batch_os_provider.batch.vm_view import VmPoolView
from batch_os_provider.rollout.actions import Refuse
from batch_os_provider.rollout.image_renewal.empty_view import by_hand, is_same_formula
from batch_os_provider.rollout.image_renewal.steps import ImageHistory
from batch_os_provider.schema.declared import ImagePolicy
from batch_os_provider.wording import counted, plural

__all__ = [
    "MAX_REMOVED",
    "added_since",
    "behind",
    "drains",
    "foreign",
    "gives_back",
    "has_more",
    "held_words",
    "is_held",
    "is_in_bounds",
    "is_left_in_order",
    "most_leaving",
    "not_ready",
    "owes",
    "rounds",
    "spare",
    "takes_spot",
    "untouched",
]

MAX_REMOVED = 100
"""Nodes that one removenodes call may name (swagger)."""
_GONE = "preempted"
"""A spot node that Azure has taken away: Batch replaces it by itself, or not."""


def behind(seen: VmPoolView, target: Target, policy: ImagePolicy) -> tuple[VmNode, ...]:
    """The nodes that the cycle renews."""
    return seen.behind(target, spot=takes_spot(seen, policy))


def takes_spot(seen: VmPoolView, policy: ImagePolicy) -> bool:
    """Whether spot nodes count too: for ``when_empty``, and for the cycle if its marker allows missing nodes.

    Without a marker the policy decides.
    """
    mark = seen.pool.marker
    if policy.strategy == "when_empty" and mark is None:
        return True
    return policy.strategy == "surge" and (policy.renews_spot if mark is None else mark.unavailable > 0)


def added_since(seen: VmPoolView, mark: Marker) -> tuple[VmNode, ...]:
    """The nodes that were allocated after the marker was written; spot nodes too if the cycle renews them."""
    nodes = seen.nodes if mark.unavailable else seen.dedicated
    return tuple(node for node in nodes if mark.newest and node.allocated > mark.newest and node.state != _GONE)


def is_held(seen: VmPoolView) -> bool:
    """Whether the pool's formula is off, and only the marker has it."""
    pool = seen.pool
    return pool.marker is not None and bool(pool.marker.formula) and not pool.base.autoscale


def held_words(seen: VmPoolView) -> str:
    """What to say about a formula that is off, for an error that ends a run early; empty if none is."""
    if not is_held(seen):
        return ""
    return "; its autoscale formula is held; it comes back by the next `pulumi up`, or by `batch-os restore`"


def has_more(mark: Marker) -> bool:
    """Whether the pool lacks nodes or its formula while the cycle of this marker works."""
    return mark.unavailable > 0 or bool(mark.formula)


def gives_back(seen: VmPoolView) -> bool:
    """Whether the pool lacks nodes or its formula while the cycle works, so that a run must not end in between."""
    return seen.pool.marker is not None and (seen.pool.marker.unavailable > 0 or is_held(seen))


def owes(seen: VmPoolView, mark: Marker) -> bool:
    """Whether the cycle has lowered a target and not yet restored it."""
    pool = seen.pool
    return bool(mark.unavailable) and (pool.size < mark.size or pool.target_spot < mark.spot)


def not_ready(seen: VmPoolView) -> tuple[VmNode, ...]:
    """The nodes that take no tasks, except the deallocated ones, which an operator has stopped."""
    return tuple(node for node in seen.nodes if not node.is_ready and not node.is_deallocated)


def spare(seen: VmPoolView, mark: Marker) -> int:
    """How many ready nodes may leave until as many nodes take tasks as ``unavailable`` allows."""
    ready = sum(node.is_ready for node in seen.nodes)
    least = sum(mark.sizes) - sum(node.is_deallocated for node in seen.nodes) - mark.unavailable
    return max(0, ready - max(0, least))


def most_leaving(mark: Marker, surplus: int, *, is_proven: bool) -> int:
    """How many old nodes may leave in one step: the canary goes first, alone where no node was added before."""
    if not is_proven:
        return 1
    return min(MAX_REMOVED, surplus + mark.unavailable)


def rounds(dedicated: int, spot: int, surge: int, unavailable: int) -> int:
    """How many rounds renew so many old nodes."""
    count = 0
    while (dedicated or (spot and unavailable)) and surge + unavailable > 0:
        mark, surplus = Marker(0, surge, "", unavailable=unavailable), min(surge, dedicated)
        most = most_leaving(mark, surplus, is_proven=bool(count or surplus))
        leaving = min(dedicated, most)
        dedicated -= leaving
        spot -= min(spot, most - leaving, unavailable - max(0, leaving - surplus))
        count += 1
    return count


def is_in_bounds(seen: VmPoolView, mark: Marker) -> bool:
    """Whether our own steps can lead to these targets and this number of nodes."""
    pool, most = seen.pool, mark.size + mark.surge
    if not mark.size - mark.unavailable <= pool.size <= most or len(seen.dedicated) > most:
        return False
    return not mark.unavailable or mark.spot - mark.unavailable <= pool.target_spot <= mark.spot


def is_left_in_order(seen: VmPoolView, left: tuple[VmNode, ...], noted: Marker) -> bool:
    """Whether another run on the same pool has finished and cleared the marker of both."""
    if noted.formula:
        return not left and seen.pool.base.autoscale and is_same_formula(seen.pool, noted)
    spot = not noted.unavailable or seen.pool.target_spot == noted.spot
    return not left and spot and seen.pool.size == len(seen.dedicated) == noted.size


def foreign(seen: VmPoolView, mark: Marker, what: str = "another person or program resized the pool") -> Refuse:
    """The refusal of a size that our own steps cannot lead to: only the owner knows which size is right."""
    size, count, spot = seen.pool.size, len(seen.dedicated), seen.pool.target_spot
    now = f"the target is now {size}" if size != mark.size else f"there {plural(count, 'is', 'are')} {count} now"
    began = counted(mark.size, "node")
    if mark.unavailable and spot != mark.spot:
        began, now = f"{began} and {counted(mark.spot, 'spot node')}", f"{now}, of spot nodes {spot}"
    if mark.formula:
        return Refuse(
            f"{what}: the rollout began at {began} and {now}; its autoscale formula is "
            f"{'on' if seen.pool.base.autoscale else 'held'}, and nothing more was changed",
            f"Decide what is right, then {by_hand(seen)}. The entry was {mark}",
            property="pool_id",
        )
    return Refuse(
        f"{what}: the rollout began at {began} and {now}; nothing more was changed",
        f"Set the size that you want, remove the metadata entry batch-os ({mark}) if it is there, "
        "then run `pulumi up` again",
        property="pool_id",
    )


def drains(seen: VmPoolView, history: ImageHistory) -> str:
    """What a resize under way does, in words: old nodes finish their tasks, or another actor resizes the pool."""
    leaving = [node for node in seen.nodes if node.node_id in history.asked]
    if leaving:
        tasks = sum(node.running_tasks for node in leaving)
        does, then = plural(len(leaving), "finishes", "finish"), plural(len(leaving), "leaves", "leave")
        return f"{counted(len(leaving), 'old node')} {does} {counted(tasks, 'task')}, then {then}"
    return f"a resize is under way ({seen.pool.base.allocation_text})"


def untouched(seen: VmPoolView, mark: Marker, surplus: int) -> str:
    """What happened to the old nodes, in words. Each new node beyond the surplus has replaced an old node."""
    renewed = len(added_since(seen, mark)) - surplus
    if renewed <= 0:
        return "no old node was touched"
    if mark.unavailable:
        return f"{counted(renewed, 'old node')} {plural(renewed, 'has', 'have')} left, no other node was touched"
    return f"{counted(renewed, 'node')} {plural(renewed, 'is', 'are')} renewed, no other node was touched"
