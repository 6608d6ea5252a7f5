"""The world: all resources of the account, and the heap of scheduled events.

It has no threads or timers. Each request first processes all due events in order, each at its exact virtual time. So
the order does not depend on the speed, a frozen clock stops all lifecycles, and a test can advance hours in a
millisecond.

An event on the heap (time, kind, key) is only a hint. The ``due`` field of the resource decides, and an event that does
not agree with it is ignored. Events of the same time are ordered by kind and key, so that a state that is read back
continues in the same way.
"""

from __future__ import annotations

import heapq
import threading
from typing import TYPE_CHECKING, Any

from batch_os_provider.simulator.world.audit import Audit
from batch_os_provider.simulator.world.clock import VirtualClock, next_etag
from batch_os_provider.simulator.world.durations import RECORDED
from batch_os_provider.simulator.world.errors import BatchError
from batch_os_provider.simulator.world.history import History
from batch_os_provider.simulator.world.issued_tokens import Issued
from batch_os_provider.simulator.world.model import Job, Node, Pool, Task
from batch_os_provider.simulator.world.unknowns import Unknowns

if TYPE_CHECKING:
    from collections.abc import Callable

    from batch_os_provider.simulator.world.model import Actor

    Event = Callable[["World", tuple[str, ...], int], None]

DEFAULT_ACCOUNT = "batchsim"
DEFAULT_KEY = "YmF0Y2hzaW0taXMtbm90LWF6dXJlLWFuZC10aGlzLWtleS1pcy1uby1zZWNyZXQtYXQtYWxsLTAwMDAwMDAwMA=="
"""Published on purpose: it only opens a simulator on loopback."""

_NO_LIMIT = 1_000_000


class World:
    """Everything the simulated account contains.

    Hold ``lock`` while you use the world; the handlers of the server and a test in the same process share it.
    ``changes`` counts changes, so that the state file is written only after one.
    """

    def __init__(self, clock: VirtualClock | None = None) -> None:
        self.clock = clock or VirtualClock()
        self.now = self.clock.now()
        self.audit = Audit()
        self.unknowns = Unknowns()
        self.history = History()
        self.lock = threading.RLock()
        self.account = DEFAULT_ACCOUNT
        self.key = DEFAULT_KEY
        self.access: dict[str, Any] = {}
        """``allowedAuthenticationModes`` and ``publicNetworkAccess``, if they are not the default."""
        self.principals: list[dict[str, Any]] = []
        self.issued = Issued()
        self.images: list[dict[str, Any]] = []
        self.supported: list[dict[str, Any]] | None = None
        """``supportedImages`` of the seed; None is the list in :mod:`.supported_images`."""
        self.quota: dict[str, int] = {}
        self.durations = RECORDED
        """Those of the nodes of VM pools: see :mod:`.durations`."""
        self.pools: dict[str, Pool] = {}
        self.jobs: dict[str, Job] = {}
        self.actors: dict[str, Actor] = {}
        self.changes = 0
        self._heap: list[tuple[int, str, tuple[str, ...]]] = []

    # --- time ---

    def advance(self) -> int:
        """Process all due events and return the virtual time."""
        until = max(self.clock.now(), self.now)
        heap = self._heap
        self.history.record(self)
        while heap and heap[0][0] <= until:
            due, kind, key = heapq.heappop(heap)
            self.now = max(due, self.now)
            EVENTS[kind](self, key, due)
            if not heap or heap[0][0] > due:
                self.history.record(self)
        self.now = until
        return until

    def next_due(self) -> int | None:
        """When the next event is due; None without one."""
        return self._heap[0][0] if self._heap else None

    def schedule(self, due: int, kind: str, *key: str) -> int:
        """Schedule an event; the caller stores the returned time in the ``due`` field of the resource."""
        heapq.heappush(self._heap, (due, kind, key))
        return due

    def replace(self, fresh: World, now: int) -> None:
        """Take over the account of another world, and continue from virtual time ``now``."""
        self.account, self.key, self.access = fresh.account, fresh.key, fresh.access
        self.principals, self.images, self.quota = fresh.principals, fresh.images, fresh.quota
        self.supported, self.durations = fresh.supported, fresh.durations
        self.pools, self.jobs, self._heap = fresh.pools, fresh.jobs, fresh._heap
        self.now = now
        self.changes += 1
        for actor in self.actors.values():
            if actor.due is not None:
                self.schedule(actor.due, "actor", actor.id)

    def record_change(self, resource: str, name: str, before: str | None, after: str | None, **more: Any) -> None:
        """Record a transition at the current virtual time."""
        self.changes += 1
        self.audit.transition(self.now, self.clock.real_ago(self.now), resource, name, (before, after), **more)

    def touch(self, resource: Pool | Job | Task) -> None:
        """Give a written resource a new ETag and lastModified. Two writes at the same time get different ETags."""
        self.changes += 1
        resource.modified, resource.etag = self.now, next_etag(resource.etag, self.now)

    def remaining_quota(self, *, dedicated: bool) -> int:
        """The number of nodes of one kind that the quota still allows."""
        limit = self.quota.get("dedicatedNodes" if dedicated else "lowPriorityNodes")
        if limit is None:
            return _NO_LIMIT
        return max(0, limit - sum(pool.count(dedicated=dedicated) for pool in self.pools.values()))

    # --- lookups ---

    def pool(self, name: str) -> Pool:
        """A pool by id.

        Raises:
            BatchError: PoolNotFound.
        """
        pool = self.pools.get(name.lower())
        if pool is None:
            raise BatchError("PoolNotFound")
        return pool

    def node(self, pool: str, name: str) -> Node:
        """A node by pool and id.

        Raises:
            BatchError: PoolNotFound, NodeNotFound.
        """
        node = self.pool(pool).nodes.get(name.lower())
        if node is None:
            raise BatchError("NodeNotFound")
        return node

    def job(self, name: str) -> Job:
        """A job by id.

        Raises:
            BatchError: JobNotFound.
        """
        job = self.jobs.get(name.lower())
        if job is None:
            raise BatchError("JobNotFound")
        return job

    def task(self, job: str, name: str) -> Task:
        """A task by job and id.

        Raises:
            BatchError: JobNotFound, TaskNotFound.
        """
        task = self.job(job).tasks.get(name.lower())
        if task is None:
            raise BatchError("TaskNotFound")
        return task


EVENTS: dict[str, Event] = {}
"""Kind of event -> its function; each lifecycle module registers its own with :func:`event`."""


def event(kind: str) -> Callable[[Event], Event]:
    """Register the function that runs when a ``kind`` is due. It must check the ``due`` field of the resource."""

    def register(function: Event) -> Event:
        EVENTS[kind] = function
        return function

    return register
