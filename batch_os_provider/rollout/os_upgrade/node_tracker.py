"""The nodes of a pool during a rollout: which are back, when a node last moved, and when the newest boot was.

Each of these needs more than one list. Two lists show whether a node has moved. Our own clock measures the time since
the newest boot if the service's clock is unknown. Which nodes are back depends on the start of the upgrade.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from batch_os_provider.rollout.os_upgrade.health import age_of, newest_boot
from batch_os_provider.rollout.progress import NodeCounts

if TYPE_CHECKING:
    from datetime import datetime

    from batch_os_provider.batch.pool import Node

__all__ = ["NodeTracker"]


class NodeTracker:
    """The lists of nodes that one rollout has read since its upgrade began.

    ``since`` is the start of the upgrade by the service's clock. ``nodes`` is the last list, None if the last read
    failed. Other times are seconds on the rollout's clock.

    Args:
        now: the current time on the rollout's clock.
        since: the start of the upgrade; None if it is unknown.
    """

    def __init__(self, now: float, since: datetime | None = None) -> None:
        self.since = since
        self.nodes: NodeCounts | None = None
        self.tried_at = float("-inf")
        self._read_at = self._moved_at = self._booted_at = now
        self._movement: object = None
        self._boot: object = self

    def take(self, nodes: tuple[Node, ...], now: float) -> None:
        """Record a list of nodes."""
        self.nodes, self._read_at = NodeCounts(nodes, self.since), now
        if self.nodes.movement() != self._movement:
            self._movement, self._moved_at = self.nodes.movement(), now
        if newest_boot(nodes) != self._boot:
            self._boot, self._booted_at = newest_boot(nodes), now

    @property
    def idle(self) -> float:
        """Seconds without a move of any node, up to the last list; 0 if the pool has no nodes."""
        return self._read_at - self._moved_at if self.nodes is not None and self.nodes.nodes else 0.0

    def age(self, seen_at: datetime | None) -> float:
        """Seconds since the newest boot, by the service's clock or by our own.

        If the service's clock is wrong or unknown, the result is too small, never too large (unless that clock runs
        ahead of its own timestamps).
        """
        nodes = self.nodes.nodes if self.nodes is not None else ()
        return max(age_of(nodes, seen_at, self.since), self._read_at - self._booted_at)
