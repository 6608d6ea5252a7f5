"""One account, read once for all rows of a preview.

The engine asks about one resource after the other. If each of sixty pools were read in turn, a preview would take sixty
times as long. So the first call lists the account's pools. The second call that needs nodes shows that more will
follow: the nodes of every pool that the engine is likely to ask about are then read side by side. All reads of an
account together may delay a preview by ten seconds. A failure is remembered and reported once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from typing import Generic, TypeVar

from batch_os_provider.batch.address import PoolRef
from batch_os_provider.batch.pool import Kind, Node, Pool
from batch_os_provider.batch.service import AccountReader
from batch_os_provider.batch.vm_pool import VmNode, VmPool
from batch_os_provider.batch.vm_view import VmPoolView
from batch_os_provider.errors import BatchOsError, PoolGoneError, RefusedError
from batch_os_provider.guest_os.version import same_version
from batch_os_provider.runtime.backoff import retry
from batch_os_provider.runtime.cancellation import Waiter
from batch_os_provider.runtime.threads import beside
from batch_os_provider.schema.units import duration

__all__ = ["BUDGET", "FRESH_FOR", "AccountSnapshot", "NotChecked"]

BUDGET = 10.0
"""Seconds by which all reads of one account together may delay one process."""
FRESH_FOR = 60.0
"""Seconds for which a list of pools is used: within one `up`, the engine may ask about two resources an hour apart."""
_CONFIRM_AFTER = 1.0
"""Seconds after which a list is too old for a refusal, so the pool is read again."""
_AT_ONCE = 16
_TRIES = 3

T = TypeVar("T")
P = TypeVar("P")
N = TypeVar("N")


class NotChecked(Exception):  # noqa: N818 - an answer between modules that never reaches a user, not an error
    """The account cannot be read. ``is_reported``: this process has reported the same reason before."""

    def __init__(self, why: str, *, is_reported: bool) -> None:
        self.why = why
        self.is_reported = is_reported
        super().__init__(why)


class _Listing(Generic[P, N]):
    """The pools of an account at one moment, and the nodes that were read since then."""

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
        """The nodes of a pool; the second call also starts to read the nodes of all ``likely`` pools."""
        if ref.key not in self._nodes:
            wanted = [ref] if not self._nodes else [ref, *likely()]
            for each in wanted:
                if each.key not in self._nodes:
                    self._nodes[each.key] = read(each)
        return self._nodes[ref.key]


class AccountSnapshot:
    """What one account shows.

    Args:
        connect: returns the account's client; called within the first read, so that its errors are remembered too.
        waiter: clock, sleep and caller; ends everything on ^C.
        budget: seconds that all reads together may take.
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
            NotChecked, PoolGoneError, Canceled: see there.
            ApiRetiredError: Batch no longer answers that version.
        """
        with self._lock:
            pool = self._find(self._os_listing, ref)
            if pool.kind is Kind.UNKNOWN:
                # The newest version does not show what kind such a pool is; a read of the pool shows it, or fails.
                return self._required(lambda: self._task(lambda: self._connect().get_pool(ref)))
            return pool

    def nodes(self, ref: PoolRef, target: str) -> tuple[Node, ...] | None:
        """The nodes of a Cloud Services pool; None if they cannot be listed in time. A plan can do without them.

        Args:
            ref: the pool.
            target: the declared version. The engine is likely to ask also about the pools that do not run this version.
        """

        def likely() -> Iterable[PoolRef]:
            return [
                pool.ref
                for pool in listing.pools.values()
                if pool.kind is Kind.CLOUD_SERVICES
                and pool.node_count
                and not same_version(pool.current_os_version, target)
            ]

        with self._lock:
            listing = self._os_listing()
            if self._failure:
                return None
            try:
                return self._wait(
                    listing.nodes(ref, lambda each: self._task(lambda: self._connect().list_nodes(each)), likely)
                )
            except (BatchOsError, TimeoutError):
                return None

    def vm(self, ref: PoolRef) -> VmPoolView:
        """A VM pool and its nodes, the pool at most ``FRESH_FOR`` old.

        Raises:
            NotChecked, PoolGoneError, Canceled: see there.
        """

        def likely() -> Iterable[PoolRef]:
            return [pool.base.ref for pool in listing.pools.values() if pool.is_vm and pool.base.node_count]

        def read(each: PoolRef) -> Future[tuple[VmNode, ...]]:
            return self._task(lambda: self._connect().list_vm_nodes(each))

        with self._lock:
            pool = self._find(self._vm_listing, ref)
            listing = self._vm_listing()
            if pool.base.kind is Kind.UNKNOWN:
                return VmPoolView(self._required(lambda: self._task(lambda: self._connect().get_vm_pool(ref))), ())
            if not pool.is_vm or not pool.base.node_count:
                return VmPoolView(pool, ())
            return VmPoolView(pool, self._required(lambda: listing.nodes(ref, read, likely)))

    def refresh_if_stale(self) -> bool:
        """Forget the lists if they are too old for a refusal. Return whether they were."""
        with self._lock:
            taken = [listing.taken_at for listing in (self._os, self._vm) if listing is not None]
            if not taken or self._waiter.now() - min(taken) < _CONFIRM_AFTER:
                return False
            self._os = self._vm = None
            return True

    def _os_listing(self) -> _Listing[Pool, Node]:
        if self._os is None or self._is_old(self._os.taken_at):
            pools = self._required(lambda: self._task(lambda: self._connect().list_pools()), _TRIES)
            self._os = _Listing(self._waiter.now(), {pool.ref.key: pool for pool in pools})
        return self._os

    def _vm_listing(self) -> _Listing[VmPool, VmNode]:
        if self._vm is None or self._is_old(self._vm.taken_at):
            pools = self._required(lambda: self._task(lambda: self._connect().list_vm_pools()), _TRIES)
            self._vm = _Listing(self._waiter.now(), {pool.base.ref.key: pool for pool in pools})
        return self._vm

    def _find(self, listing: Callable[[], _Listing[P, N]], ref: PoolRef) -> P:
        """The pool in the list. An `up` may have made the pool since, so an old list is read again before the error."""
        if ref.key not in listing().pools:
            self.refresh_if_stale()
        pools = listing().pools
        if ref.key not in pools:
            raise PoolGoneError("the account has no such pool", pool=ref.url)
        return pools[ref.key]

    def _is_old(self, taken_at: float) -> bool:
        return self._waiter.now() - taken_at > FRESH_FOR

    def _required(self, start: Callable[[], Future[T]], tries: int = 1) -> T:
        """The result of a call that a plan needs; after its failure nothing more is read of this account."""
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
        except TimeoutError:
            text = f"Batch did not answer within {duration(self._budget)}, the time that a preview gives one account"
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
            raise NotChecked(self._failure, is_reported=True)
        if self._left <= 0.0:
            raise TimeoutError  # no time is left to wait for the result

        def run() -> T:
            with self._gate:
                return function()

        return beside(run, "batch-os-preview")

    def _remember(self, why: str) -> NotChecked:
        self._failure = why
        return NotChecked(why, is_reported=False)
