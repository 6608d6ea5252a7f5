"""What is known of a pool's nodes while a rollout waits: who is back, when one last moved, when the last one booted.

Three questions need more than one look. That no node moves is seen by comparing lists; since when the
newest boot has stood is seen on our own clock too, where the service's cannot be read; and which nodes are back
depends on when the upgrade began.
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
    """The lists of nodes that one rollout has read since the upgrade it is about began.

    ``since`` is that beginning in the service's time, ``nodes`` the last list, None where the last try to read one
    failed. Times are seconds on the rollout's clock.

    Args:
        now: the present.
        since: when the upgrade began, where it is known.
    """

    def __init__(self, now: float, since: datetime | None = None) -> None:
        self.since = since
        self.nodes: NodeCounts | None = None
        self.tried_at = float("-inf")
        self._read_at = self._moved_at = self._booted_at = now
        self._movement: object = None
        self._boot: object = self

    def take(self, nodes: tuple[Node, ...], now: float) -> None:
        """Take in a list of nodes."""
        self.nodes, self._read_at = NodeCounts(nodes, self.since), now
        if self.nodes.movement() != self._movement:
            self._movement, self._moved_at = self.nodes.movement(), now
        if newest_boot(nodes) != self._boot:
            self._boot, self._booted_at = newest_boot(nodes), now

    @property
    def idle(self) -> float:
        """Seconds for which no node has moved, up to the last list; 0 where there are none to move."""
        return self._read_at - self._moved_at if self.nodes is not None and self.nodes.nodes else 0.0

    def age(self, seen_at: datetime | None) -> float:
        """Seconds for which the newest boot is known to be past: by the service's clock, or because we have seen it.

        A clock of the service that is wrong, or not told, makes this too small and never too large, but for one that
        runs ahead of its own timestamps.
        """
        nodes = self.nodes.nodes if self.nodes is not None else ()
        return max(age_of(nodes, seen_at, self.since), self._read_at - self._booted_at)
