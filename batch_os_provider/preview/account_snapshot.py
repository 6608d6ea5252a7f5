"""One account, looked at once for all rows of a preview.

The engine asks about one resource after the other, so a preview of sixty pools that reads
each in turn takes sixty times as long. The first look lists the account's pools; the second that needs nodes
is a sign of more to come, and the nodes of every pool that is likely to be asked about are then read side by
side. All looks at an account together may hold up a preview for ten seconds; what fails is remembered, and
told once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as Late  # a class of its own before Python 3.11
from typing import Generic, TypeVar

from batch_os_provider.batch.address import PoolRef
from batch_os_provider.batch.pool import Kind, Node, Pool
from batch_os_provider.batch.service import AccountReader
from batch_os_provider.batch.vm_pool import VmNode, VmPool, VmPoolView
from batch_os_provider.errors import BatchOsError, PoolGoneError, RefusedError
from batch_os_provider.guest_os.version import same_version
from batch_os_provider.runtime.backoff import retry
from batch_os_provider.runtime.cancellation import Waiter
from batch_os_provider.runtime.threads import beside
from batch_os_provider.schema.units import duration

__all__ = ["BUDGET", "FRESH_FOR", "AccountSnapshot", "NotChecked"]

BUDGET = 10.0
"""Seconds that all looks at one account may hold up one process, together."""
FRESH_FOR = 60.0
"""Seconds for which a list of pools is good: within an `up`, a resource may be asked about an hour after another."""
_CONFIRM_AFTER = 1.0
"""Seconds after which a refusal is not built on a list any more, but on a read of the pool."""
_AT_ONCE = 16
_TRIES = 3

T = TypeVar("T")
P = TypeVar("P")
N = TypeVar("N")


class NotChecked(Exception):  # noqa: N818 - an answer between modules that never reaches a user, not an error
    """There is no look to be had. ``told``: the same was said before in this process."""

    def __init__(self, why: str, *, told: bool) -> None:
        self.why = why
        self.told = told
        super().__init__(why)


class _Listing(Generic[P, N]):
    """The pools of an account at one moment, and the nodes that were asked for since."""

    def __init__(self, taken_at: float, pools: Mapping[str, P]) -> None:
        self.taken_at = taken_at
        self.pools = pools
        self._nodes: dict[str, Future[tuple[N, ...]]] = {}

    def nodes(
        self,
        ref: PoolRef,
        read: Callable[[PoolRef], Future[tuple[N, ...]]],
        likely: Callable[[], Iterable[PoolRef]],
    ) -> Future[tuple[N, ...]]:
        """The nodes of a pool; from the second pool on, those of every pool that is likely to be asked about."""
        if ref.key not in self._nodes:
            wanted = [ref] if not self._nodes else [ref, *likely()]
            for each in wanted:
                if each.key not in self._nodes:
                    self._nodes[each.key] = read(each)
        return self._nodes[ref.key]


class AccountSnapshot:
    """Looks at one account.

    Args:
        connect: gives the account's client; called within the first look, so that its errors are remembered too.
        waiter: clock, sleep and caller; ends everything on ^C.
        budget: seconds that all looks together may take.
    """

    def __init__(self, connect: Callable[[], AccountReader], waiter: Waiter, *, budget: float = BUDGET) -> None:
        self._connect = connect
        self._waiter = waiter
        self._budget = self._left = budget
        self._failure = ""
        self._gate = threading.Semaphore(_AT_ONCE)
        self._lock = threading.RLock()
        self._os: _Listing[Pool, Node] | None = None
        self._vm: _Listing[VmPool, VmNode] | None = None

    def pool(self, ref: PoolRef) -> Pool:
        """A pool as the last API version with upgradeos shows it, at most ``FRESH_FOR`` old.

        Raises:
            NotLookedAt, PoolGoneError, Stopped: see there.
            ApiRetiredError: Batch no longer answers that version.
        """
        with self._lock:
            pool = self._find(self._os_album, ref)
            if pool.kind is Kind.UNKNOWN:
                # The newest version does not show what such a pool is; a read of its own tells, or refuses.
                return self._required(lambda: self._task(lambda: self._connect().get_pool(ref)))
            return pool

    def nodes(self, ref: PoolRef, target: str) -> tuple[Node, ...] | None:
        """The nodes of a Cloud Services pool; None where they cannot be listed, or not in time: they are comfort.

        Args:
            ref: the pool.
            target: what it is to run; pools of the account that do not run it are likely to be asked about too.
        """

        def likely() -> Iterable[PoolRef]:
            return [
                pool.ref
                for pool in album.pools.values()
                if pool.kind is Kind.CLOUD_SERVICES
                and pool.node_count
                and not same_version(pool.current_os_version, target)
            ]

        with self._lock:
            album = self._os_album()
            if self._failure:
                return None
            try:
                return self._wait(
                    album.nodes(ref, lambda each: self._task(lambda: self._connect().list_nodes(each)), likely)
                )
            except (BatchOsError, Late):
                return None

    def vm(self, ref: PoolRef) -> VmPoolView:
        """A VM pool and its nodes, the pool at most ``FRESH_FOR`` old.

        Raises:
            NotLookedAt, PoolGoneError, Stopped: see there.
        """

        def likely() -> Iterable[PoolRef]:
            return [pool.base.ref for pool in album.pools.values() if pool.is_vm and pool.base.node_count]

        def read(each: PoolRef) -> Future[tuple[VmNode, ...]]:
            return self._task(lambda: self._connect().list_vm_nodes(each))

        with self._lock:
            pool = self._find(self._vm_album, ref)
            album = self._vm_album()
            if pool.base.kind is Kind.UNKNOWN:
                return VmPoolView(self._required(lambda: self._task(lambda: self._connect().get_vm_pool(ref))), ())
            if not pool.is_vm or not pool.base.node_count:
                return VmPoolView(pool, ())
            return VmPoolView(pool, self._required(lambda: album.nodes(ref, read, likely)))

    def refresh_if_stale(self) -> bool:
        """Forget the lists if they are so old that a refusal should not be built on them; whether it was so."""
        with self._lock:
            taken = [album.taken_at for album in (self._os, self._vm) if album is not None]
            if not taken or self._waiter.now() - min(taken) < _CONFIRM_AFTER:
                return False
            self._os = self._vm = None
            return True

    def _os_album(self) -> _Listing[Pool, Node]:
        if self._os is None or self._is_old(self._os.taken_at):
            pools = self._required(lambda: self._task(lambda: self._connect().list_pools()), _TRIES)
            self._os = _Listing(self._waiter.now(), {pool.ref.key: pool for pool in pools})
        return self._os

    def _vm_album(self) -> _Listing[VmPool, VmNode]:
        if self._vm is None or self._is_old(self._vm.taken_at):
            pools = self._required(lambda: self._task(lambda: self._connect().list_vm_pools()), _TRIES)
            self._vm = _Listing(self._waiter.now(), {pool.base.ref.key: pool for pool in pools})
        return self._vm

    def _find(self, album: Callable[[], _Listing[P, N]], ref: PoolRef) -> P:
        """The pool in the list; an `up` may have made it since, so the list is made anew before it is called gone."""
        if ref.key not in album().pools:
            self.refresh_if_stale()
        pools = album().pools
        if ref.key not in pools:
            raise PoolGoneError("it is not among the account's pools", pool=ref.url)
        return pools[ref.key]

    def _is_old(self, taken_at: float) -> bool:
        return self._waiter.now() - taken_at > FRESH_FOR

    def _required(self, start: Callable[[], Future[T]], tries: int = 1) -> T:
        """The result of a call that a look cannot do without; once it has failed there are no more looks."""
        try:
            return retry(
                lambda: self._wait(start()),
                tries=tries,
                sleep=self._sleep,
                chance=lambda: 0.0,
                affords=lambda pause: pause < self._left,
            )
        except (PoolGoneError, RefusedError):
            raise
        except BatchOsError as error:
            raise self._remember(str(error)) from error
        except Late:
            text = f"Batch did not answer within the {duration(self._budget)} that looks at an account may take"
            raise self._remember(text) from None

    def _sleep(self, seconds: float) -> None:
        """Pause, on the account's time."""
        self._left -= seconds
        self._waiter.sleep(seconds)

    def _wait(self, task: Future[T]) -> T:
        """The result, on the account's time."""
        began = self._waiter.now()
        try:
            return self._waiter.call(lambda: task.result(max(0.0, self._left)))
        finally:
            self._left = max(0.0, self._left - (self._waiter.now() - began))

    def _task(self, function: Callable[[], T]) -> Future[T]:
        if self._failure:
            raise NotChecked(self._failure, told=True)
        if self._left <= 0.0:
            raise Late  # nobody would wait for it

        def run() -> T:
            with self._gate:
                return function()

        return beside(run, "batch-os-look")

    def _remember(self, why: str) -> NotChecked:
        self._failure = why
        return NotChecked(why, told=False)
