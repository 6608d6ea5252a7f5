"""What a renewal by ``surge`` costs, in words for the row of a preview.

A reviewer must see how many nodes come and go at a time, and how often. The numbers follow from the same arithmetic
as the steps of `up`.
"""

from __future__ import annotations

from dataclasses import dataclass

from batch_os_provider.batch.vm_pool import VmNode
from batch_os_provider.batch.vm_view import VmPoolView
from batch_os_provider.rollout.image_renewal import surge_view
from batch_os_provider.schema.declared import ImagePolicy
from batch_os_provider.wording import counted

__all__ = ["SurgeCost", "surge_cost"]


@dataclass(frozen=True)
class SurgeCost:
    """A part of a line: ``rounds`` of the cycle, and the ``tasks`` of the nodes that leave."""

    detail: str
    rounds: int
    tasks: int


def surge_cost(seen: VmPoolView, behind: tuple[VmNode, ...], policy: ImagePolicy) -> SurgeCost:
    """The cost of renewing the nodes that are behind.

    Args:
        seen: the pool and its nodes as read; the values of its marker apply before those of the policy.
        behind: the nodes that the rollout renews.
        policy: as declared.
    """
    mark, sizes = seen.pool.marker, seen.pool.sizes
    surge = policy.surge_of(sizes[0]) if mark is None else mark.surge
    unavailable = policy.unavailable_of(sum(sizes)) if mark is None else mark.unavailable
    names = (policy.surge, policy.max_unavailable) if mark is None else (surge, unavailable)
    dedicated = sum(node.dedicated for node in behind)
    rounds = surge_view.rounds(dedicated, len(behind) - dedicated, surge, unavailable)
    declared, takes = [], []
    more = min(surge, dedicated)
    if more:
        declared.append(f"surge {names[0]}")
        takes.append(f"+{counted(more, 'node')}")
    if unavailable:
        declared.append(f"max_unavailable {names[1]}")
        takes.append(f"up to {counted(min(unavailable, len(behind)), 'node')} missing")
    return SurgeCost(
        f"{', '.join(declared)}: {counted(rounds, 'round')}, {' and '.join(takes)} at a time",
        rounds,
        sum(node.running_tasks for node in behind),
    )
