"""How pools were: for a read that lags behind.

A service of many machines may answer a read with what another of them knew a moment ago, and then
a client sees the pool as it was before the write that it has just been told is taken. Which older view is shown must
be exact, or a test is no test.

A *change* of a pool is one write, or one instant at which something moved in it or in its nodes. Nothing is kept
until the first ``stale`` rule is given, and then from that instant on: before it, a pool has always been as it was
then. Jobs and tasks are never old.
"""

from __future__ import annotations

from collections import deque
from copy import copy, deepcopy
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from batch_os_provider.simulator.world.clock import seconds

if TYPE_CHECKING:
    from collections.abc import Mapping

    from batch_os_provider.simulator.world.model import Job, Node, Pool

MAX_CHANGES: Final = 200
"""Changes that are kept of one pool; a view older than all of them is the oldest."""


class Changing(Protocol):
    """What is needed of a world: its pools and jobs, its virtual time, and how much has happened in it."""

    now: int
    changes: int
    pools: dict[str, Pool]
    jobs: dict[str, Job]


W = TypeVar("W", bound=Changing)


class History:
    """The last views of each pool of one world, each with the virtual time since when it was so."""

    def __init__(self) -> None:
        self._views: dict[str, deque[tuple[int, Pool | None]]] = {}
        self._recorded: int | None = None

    def enable(self, world: Changing, *, wanted: bool) -> None:
        """Begin to keep views, or forget them all; what goes on already goes on."""
        if not wanted:
            self._views, self._recorded = {}, None
        elif self._recorded is None:
            self._recorded = -1
            self.record(world)

    def record(self, world: Changing) -> None:
        """A write or an instant is over: keep what it has changed."""
        if self._recorded is None or self._recorded == world.changes:
            return
        first, self._recorded = self._recorded < 0, world.changes
        for key in {*self._views, *world.pools}:
            pool = world.pools.get(key)
            views = self._views.get(key)
            if views is None:
                # Whoever saw nothing of a pool before it was made still sees nothing.
                self._views[key] = views = deque([] if first else [(0, None)], maxlen=MAX_CHANGES + 1)
            if not views or views[-1][1] != pool:
                views.append((world.now, None if pool is None else _snapshot(pool, views[-1][1] if views else None)))

    def older_world(self, world: W, effect: Mapping[str, Any]) -> W:
        """A world to read from in which each pool is as old as a ``stale`` effect says."""
        older = copy(world)
        found = [(key, self._view(views, world.now, effect)) for key, views in self._views.items()]
        older.pools = {key: _without_deleted_tasks(world, pool) for key, pool in found if pool is not None}
        return older

    def _view(self, views: deque[tuple[int, Pool | None]], now: int, effect: Mapping[str, Any]) -> Pool | None:
        if effect.get("changes") is not None:
            return views[max(0, len(views) - 1 - int(effect["changes"]))][1]
        then = now - seconds(effect["seconds"])
        return next((pool for since, pool in reversed(views) if since <= then), views[0][1])


def _snapshot(pool: Pool, before: Pool | None) -> Pool:
    """A copy of a pool that shares with the view before it the nodes that are as they were."""
    known = before.nodes if before is not None else {}
    nodes = {key: known[key] if known.get(key) == node else deepcopy(node) for key, node in pool.nodes.items()}
    return replace(deepcopy(replace(pool, nodes={})), nodes=nodes)


def _without_deleted_tasks(world: Changing, pool: Pool) -> Pool:
    """The view of a pool without tasks that have been deleted since: nobody could show them any more."""

    def kept(node: Node) -> Node:
        tasks = [(job, task) for job, task in node.running if job in world.jobs and task in world.jobs[job].tasks]
        return node if tasks == node.running else replace(node, running=tasks)

    return replace(pool, nodes={key: kept(node) for key, node in pool.nodes.items()})
