"""Earlier snapshots of pools, for stale reads.

A distributed service may answer a read with an older state, so a client can see a pool as it was before a write that
the service has accepted. A test must choose exactly which snapshot a read returns.

A *change* of a pool is one write, or one instant at which the pool or its nodes changed. Snapshots are kept from the
first ``stale`` rule on; for earlier times, the first snapshot counts. Jobs and tasks are always current.
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
"""Number of changes kept for one pool; a read of an older one gets the oldest."""


class Changing(Protocol):
    """The part of a world that the history uses: pools, jobs, virtual time and the number of changes."""

    now: int
    changes: int
    pools: dict[str, Pool]
    jobs: dict[str, Job]


W = TypeVar("W", bound=Changing)


class History:
    """The last snapshots of each pool of one world, each with the virtual time from which it was true."""

    def __init__(self) -> None:
        self._views: dict[str, deque[tuple[int, Pool | None]]] = {}
        self._recorded: int | None = None

    def enable(self, world: Changing, *, wanted: bool) -> None:
        """Start to keep snapshots, or remove them all. No effect if it is already on."""
        if not wanted:
            self._views, self._recorded = {}, None
        elif self._recorded is None:
            self._recorded = -1
            self.record(world)

    def record(self, world: Changing) -> None:
        """Keep a snapshot of the pools that a write or an event has changed."""
        if self._recorded is None or self._recorded == world.changes:
            return
        first, self._recorded = self._recorded < 0, world.changes
        for key in {*self._views, *world.pools}:
            pool = world.pools.get(key)
            views = self._views.get(key)
            if views is None:
                # The pool is new: a read of an earlier time does not find it.
                self._views[key] = views = deque([] if first else [(0, None)], maxlen=MAX_CHANGES + 1)
            if not views or views[-1][1] != pool:
                views.append((world.now, None if pool is None else _snapshot(pool, views[-1][1] if views else None)))

    def older_world(self, world: W, effect: Mapping[str, Any]) -> W:
        """A copy of the world in which each pool is as old as a ``stale`` effect says."""
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
    """A copy of a pool that shares unchanged nodes with the snapshot before it."""
    known = before.nodes if before is not None else {}
    nodes = {key: known[key] if known.get(key) == node else deepcopy(node) for key, node in pool.nodes.items()}
    return replace(deepcopy(replace(pool, nodes={})), nodes=nodes)


def _without_deleted_tasks(world: Changing, pool: Pool) -> Pool:
    """A snapshot without tasks that were deleted since, because their data no longer exists."""

    def kept(node: Node) -> Node:
        tasks = [(job, task) for job, task in node.running if job in world.jobs and task in world.jobs[job].tasks]
        return node if tasks == node.running else replace(node, running=tasks)

    return replace(pool, nodes={key: kept(node) for key, node in pool.nodes.items()})
