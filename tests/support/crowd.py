"""Many rollouts in one process on one virtual clock, side by side and yet the same in every run.

Each runs in a thread of its own, but only one of them at a time: whoever sleeps, waits or lets a call take its time
hands over to the one whose time comes next. So calls overlap as they do on a network, hours pass in a second, and the
order of everything is that of the virtual times.
"""

from __future__ import annotations

import heapq
import itertools
import math
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from batch_os_provider.batch.address import PoolRef
from batch_os_provider.batch.shared_poller import SharedPoller
from batch_os_provider.batch.vm_target import ImageVersion
from batch_os_provider.errors import BatchOsError
from batch_os_provider.rollout.context import RolloutContext
from batch_os_provider.rollout.image_renewal.renewal import ImageRenewal
from batch_os_provider.rollout.os_upgrade.upgrade import OsUpgrade
from batch_os_provider.rollout.progress import NODE_INTERVAL, Reporter
from batch_os_provider.schema.declared import Declared, DeclaredImage, ImagePolicy, Policy
from tests.support.inprocess import ENDPOINT, Account
from tests.support.simulator import NEW, TARGET
from tests.unit.rollout.stage import Listener

if TYPE_CHECKING:
    from batch_os_provider.rollout.loop import Rollout

T = TypeVar("T")


class _Task:
    """One thread that runs when it is its turn."""

    def __init__(self, function: Callable[[], None]) -> None:
        self._function = function
        self._turn = threading.Semaphore(0)
        self.is_over = False
        self.failure: BaseException | None = None
        self.thread: threading.Thread | None = None

    def resume(self, back: threading.Semaphore) -> None:
        """Let it run until it hands back."""
        if self.thread is None:
            self.thread = threading.Thread(target=self._run, args=(back,), daemon=True)
            self.thread.start()
        else:
            self._turn.release()
        back.acquire()

    def hand_back(self, back: threading.Semaphore) -> None:
        """Let the others run."""
        back.release()
        self._turn.acquire()

    def _run(self, back: threading.Semaphore) -> None:
        try:
            self._function()
        except BaseException as error:  # noqa: BLE001 - raised where the crowd is run
            self.failure = error
        finally:
            self.is_over = True
            back.release()


class Scheduler:
    """The clock, and whose turn it is."""

    def __init__(self) -> None:
        self._now = 0.0
        self._queue: list[tuple[float, int, _Task]] = []
        self._numbers = itertools.count()
        self._back = threading.Semaphore(0)
        self._running: _Task | None = None

    def now(self) -> float:
        """Virtual seconds since the start."""
        return self._now

    def spend(self, seconds: float) -> None:
        """Let time pass; the others go on meanwhile."""
        task = self._running
        assert seconds >= 0, "a negative sleep is a bug"
        if task is None:
            self._now += seconds
            return
        self._add(self._now + seconds, task)
        task.hand_back(self._back)

    def start(self, function: Callable[[], None], after: float = 0.0) -> Callable[[float], bool]:
        """``shared_list.Start``."""
        task = _Task(function)
        self._add(self._now + after, task)

        def wait(seconds: float) -> bool:
            until = self._now + seconds
            while not task.is_over and self._now < until:
                self.spend(0.01)
            return task.is_over

        return wait

    def run(self) -> None:
        """Until nobody has anything to do. Raises what a task has raised."""
        while self._queue:
            due, _number, task = heapq.heappop(self._queue)
            self._now = max(self._now, due)
            self._running = task
            task.resume(self._back)
            self._running = None
            if task.failure is not None:
                raise task.failure

    def _add(self, due: float, task: _Task) -> None:
        heapq.heappush(self._queue, (due, next(self._numbers), task))


class CrowdWaiter:
    """``cancellation.Waiter`` of one rollout."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler

    def now(self) -> float:
        """Virtual seconds."""
        return self._scheduler.now()

    def sleep(self, seconds: float) -> None:
        """Sleep."""
        self._scheduler.spend(seconds)

    def call(self, function: Callable[[], T], *, write: bool = False) -> T:
        """Call."""
        del write
        return function()


class Member:
    """One rollout of the crowd, and how it ended."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.listener = Listener()
        self.rollout: Rollout[Any] | None = None
        self.outcome: Any = None
        self.error: BatchOsError | None = None
        self.ended_at = math.nan


class Crowd:
    """An account, one observer, and rollouts that go through it.

    Args:
        pools: as a seed holds them.
        more: the rest of the seed.
    """

    def __init__(self, *pools: dict[str, Any], **more: Any) -> None:
        self.scheduler = Scheduler()
        self.account = Account(self.scheduler, {"pools": list(pools), **more})
        self.faults = self.account.faults
        self.observer = SharedPoller(self.account.client(), self.scheduler.now, self.scheduler.start)
        self.members: list[Member] = []
        self.beginning = self.account.world.now

    def upgrade(self, name: str, *, after: float = 0.0, policy: Policy | None = None, **goal: Any) -> Member:
        """Let a pool be upgraded, from ``after`` on."""
        wanted = Declared(
            PoolRef(ENDPOINT, name), **{"target": NEW, "policy": policy or Policy(), "timeout": 7200.0, **goal}
        )

        def make(member: Member, waiter: CrowdWaiter) -> Rollout[Any]:
            reporter = Reporter(member.listener, NODE_INTERVAL)
            return OsUpgrade(wanted, RolloutContext(self.observer, waiter, reporter, lambda: 0.5, self.observer))

        return self._add(name, after, make)

    def renew(self, name: str, *, after: float = 0.0, surge: int = 1) -> Member:
        """Let the nodes of a VM pool be renewed."""
        target = ImageVersion.parse(TARGET)
        wanted = DeclaredImage(PoolRef(ENDPOINT, name), target, ImagePolicy("surge", surge), 3600.0, 7200.0)

        def make(member: Member, waiter: CrowdWaiter) -> Rollout[Any]:
            return ImageRenewal(
                wanted,
                RolloutContext(
                    self.observer, waiter, Reporter(member.listener, NODE_INTERVAL), lambda: 0.5, self.observer
                ),
            )

        return self._add(name, after, make)

    def _add(self, name: str, after: float, make: Callable[[Member, CrowdWaiter], Rollout[Any]]) -> Member:
        member = Member(name)

        def run() -> None:
            member.rollout = make(member, CrowdWaiter(self.scheduler))
            try:
                member.outcome = member.rollout.run()
            except BatchOsError as error:
                member.error = error
            member.ended_at = self.scheduler.now()

        self.members.append(member)
        self.scheduler.start(run, after)
        return member

    def run(self) -> None:
        """Until every rollout has ended."""
        self.scheduler.run()
        self.account.world.advance()

    def requests(self, operation: str = "", *, pool: str = "") -> list[Any]:
        """The audit's requests, of one operation, of one pool."""
        return [
            entry
            for entry in self.account.world.audit.entries
            if entry.kind == "request" and operation in ("", entry.operation) and pool in ("", entry.pool)
        ]

    def became(self, state: str) -> list[Any]:
        """The audit's transitions of pools into a state."""
        return [
            entry
            for entry in self.account.world.audit.entries
            if entry.kind == "transition" and (entry.detail["resource"], entry.detail["to"]) == ("pool", state)
        ]
