"""What a renewal by ``surge`` costs, in words for the row of a preview.

A reviewer must see how many nodes come and go at a time, how often, and whether that fits into ``timeout``. The numbers
follow from the same arithmetic as the steps of `up`, and the times from recordings (``recorded_times``).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from batch_os_provider.batch.vm_pool import VmNode
from batch_os_provider.batch.vm_view import VmPoolView
from batch_os_provider.batch.wanted_image import is_windows
from batch_os_provider.preview.estimate import about, held_for, round_seconds
from batch_os_provider.rollout.image_renewal import surge_view
from batch_os_provider.schema.declared import ImagePolicy
from batch_os_provider.schema.units import duration
from batch_os_provider.wording import counted, plural

__all__ = ["SurgeCost", "surge_cost"]

_HALF_HOUR, _LONGEST = 1800, 720 * 3600
_MOST = 100
"""Nodes in one step."""


@dataclass(frozen=True)
class SurgeCost:
    """A part of a line: ``rounds`` of the cycle, and the ``tasks`` of the nodes that leave.

    ``seconds`` is an estimate without the time of the tasks. ``too_long`` says that it exceeds ``timeout``, and what to
    declare; empty if it does not.
    """

    detail: str
    rounds: int
    tasks: int
    seconds: float
    too_long: str = ""


def surge_cost(seen: VmPoolView, behind: tuple[VmNode, ...], policy: ImagePolicy, timeout: float) -> SurgeCost:
    """The cost of renewing the nodes that are behind.

    Args:
        seen: the pool and its nodes as read; the values of its marker apply before those of the policy.
        behind: the nodes that the rollout renews.
        policy: as declared.
        timeout: seconds that an `up` takes at most.
    """
    mark, sizes = seen.pool.marker, seen.pool.sizes
    surge = policy.surge_of(sizes[0]) if mark is None else mark.surge
    unavailable = policy.unavailable_of(sum(sizes)) if mark is None else mark.unavailable
    names = (policy.surge, policy.max_unavailable) if mark is None else (surge, unavailable)
    dedicated = sum(node.dedicated for node in behind)
    old = (dedicated, len(behind) - dedicated)
    rounds = surge_view.rounds(*old, surge, unavailable)
    declared, takes = [], []
    more = min(surge, dedicated)
    if more:
        declared.append(f"surge {names[0]}")
        takes.append(f"+{counted(more, 'node')}")
    if unavailable:
        declared.append(f"max_unavailable {names[1]}")
        takes.append(f"up to {counted(min(unavailable, len(behind)), 'node')} missing")
    one = round_seconds(seen.pool)
    tasks = sum(node.running_tasks for node in behind)
    detail = f"{', '.join(declared)}: {counted(rounds, 'round')}, {' and '.join(takes)} at a time"
    if seen.pool.base.autoscale or surge_view.is_held(seen):
        detail += f"; {held_for(rounds * one, tasks)}"
    if rounds * one <= timeout:
        return SurgeCost(detail, rounds, tasks, rounds * one)
    takes_about = f"{counted(rounds, 'round')} {plural(rounds, 'takes', 'take')} about {about(rounds * one)}"
    nodes = f"small {'Windows' if is_windows(seen.pool.agent) else 'Linux'} nodes"
    why = f"{takes_about} (estimated from recorded times of {nodes}, without tasks), and timeout is {duration(timeout)}"
    # The steps of an unfinished renewal are those of its marker.
    larger = _larger(old, surge, unavailable, int(timeout // one)) if mark is None else ""
    ways = " or ".join(filter(None, (larger, _longer(rounds * one)))) or "larger steps and a longer timeout"
    return SurgeCost(detail, rounds, tasks, rounds * one, f"{why}: declare {ways}")


def _larger(old: tuple[int, int], surge: int, unavailable: int, most: int) -> str:
    """The smallest step with which so many rounds are enough, as a program declares it, else empty."""
    adds = surge > 0
    for step in range(max(surge, unavailable) + 1, _MOST + 1):
        rounds = surge_view.rounds(*old, *((step, unavailable) if adds else (0, step)))
        if 0 < rounds <= most:
            return f"surge={step}" if adds else f"max_unavailable={step}"
    return ""


def _longer(seconds: float) -> str:
    """A timeout that is long enough, in half hours."""
    halves = ceil(seconds / _HALF_HOUR)
    if halves * _HALF_HOUR > _LONGEST:
        return ""
    hours, half = divmod(halves, 2)
    return f'timeout="{f"{hours}h" if hours else ""}{"30m" if half else ""}"'
