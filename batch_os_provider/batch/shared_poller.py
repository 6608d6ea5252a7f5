"""One poller for all rollouts that wait in one account, with about as many calls as one rollout makes.

Each rollout polls its own pool and knows nothing of the others. The poller stands between the rollouts and the client.
It answers reads of a pool from a shared list where it can, and limits the reads of nodes that only serve progress
lines. It passes on all other calls.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import TypeVar

from batch_os_provider.batch.address import PoolRef
from batch_os_provider.batch.empty_marker import EmptyMarker, PoolImage
from batch_os_provider.batch.pool import Kind, Node, Pool, PoolState
from batch_os_provider.batch.service import PolledAccount
from batch_os_provider.batch.shared_list import SharedList
from batch_os_provider.batch.supported_images import SupportedImage
from batch_os_provider.batch.vm_pool import Marker, VmNode, VmPool
from batch_os_provider.errors import PoolGoneError
from batch_os_provider.runtime.threads import Start, in_a_thread

__all__ = ["COUNT_EVERY", "SharedPoller"]

P = TypeVar("P")

COUNT_EVERY = 5.0
"""Seconds between two reads of nodes for progress in one account. With more than six pools, each pool has its turn less
often than every 30 s."""
_TURN_LOST = 15.0
"""Seconds without a question after which a pool loses its turn."""


class SharedPoller:
    """One account for all rollouts that wait in it: implements ``Service``, ``VmService`` and ``SharedPolling``.

    Args:
        account: the client.
        clock: seconds on a clock that never jumps.
        start: starts a list in another thread.
    """

    def __init__(
        self,
        account: PolledAccount,
        clock: Callable[[], float] = time.monotonic,
        start: Start = in_a_thread,
    ) -> None:
        self._account = account
        self._clock = clock
        self._upgrading = SharedList[Pool](
            "upgrading",
            read=lambda: {pool.ref.key: pool for pool in account.list_upgrading()},
            is_in_progress=_is_upgrading,
            is_unchanged=_upgrades_as,
            started_at=lambda pool: pool.changed_at,
            clock=clock,
            start=start,
        )
        self._resizing = SharedList[Pool](
            "resizing",
            read=lambda: {pool.ref.key: pool for pool in account.list_resizing()},
            is_in_progress=_is_resizing,
            is_unchanged=lambda one, other: one.current_os_version == other.current_os_version,
            started_at=lambda pool: pool.allocation_changed_at,
            clock=clock,
            start=start,
        )
        self._vms = SharedList[VmPool](
            "resizing (VM)",
            read=lambda: {pool.base.ref.key: pool for pool in account.list_resizing_vms()},
            is_in_progress=lambda pool: pool.is_being_resized,
            is_unchanged=lambda one, other: one.marker_text == other.marker_text,
            started_at=lambda pool: pool.base.allocation_changed_at,
            clock=clock,
            start=start,
        )
        self._lock = threading.Lock()
        self._read: dict[str, Pool] = {}
        self._turns: dict[str, float] = {}
        self._counted_at = float("-inf")

    # Reads and writes of Cloud Services pools.

    def get_pool(self, ref: PoolRef) -> Pool:
        """The pool; from a list if other pools wait too and the list shows no change. Raises as ``BatchClient``."""
        for shared in (self._upgrading, self._resizing):
            shown = shared.look(ref.key)
            if shown is not None:
                return shown
        pool = self._read_alone(ref, self._account.get_pool, self._upgrading, self._resizing)
        with self._lock:
            self._read[ref.key] = pool
        return pool

    def list_nodes(self, ref: PoolRef) -> tuple[Node, ...]:
        """As ``BatchClient``."""
        return self._account.list_nodes(ref)

    def upgrade_os(self, ref: PoolRef, target: str, etag: str) -> datetime | None:
        """As ``BatchClient``. Reads that began before the answer are ignored, since they do not show this upgrade."""
        self._forget(ref)
        since = self._account.upgrade_os(ref, target, etag)
        with self._lock:
            seen = self._read.get(ref.key)
        if seen is not None:
            self._upgrading.expect(ref.key, replace(seen, state=PoolState.UPGRADING, target_os_version=target))
        return since

    def newest_image_version(self, ref: PoolRef) -> str:
        """As ``BatchClient``."""
        return self._account.newest_image_version(ref)

    # Reads and writes of VM pools. The pool is read individually after each write.

    def get_vm_pool(self, ref: PoolRef) -> VmPool:
        """The pool, as ``get_pool``. Raises as ``BatchClient``."""
        shown = self._vms.look(ref.key)
        if shown is not None:
            return shown
        return self._read_alone(ref, self._account.get_vm_pool, self._vms)

    def list_vm_nodes(self, ref: PoolRef) -> tuple[VmNode, ...]:
        """As ``BatchClient``."""
        return self._account.list_vm_nodes(ref)

    def set_marker(self, pool: VmPool, marker: Marker | EmptyMarker | None) -> None:
        """As ``BatchClient``."""
        self._forget(pool.base.ref)
        self._account.set_marker(pool, marker)

    def resize(self, pool: VmPool, size: int) -> None:
        """As ``BatchClient``."""
        self._forget(pool.base.ref)
        self._account.resize(pool, size)

    def remove_nodes(self, pool: VmPool, nodes: tuple[str, ...], timeout: float) -> None:
        """As ``BatchClient``."""
        self._forget(pool.base.ref)
        self._account.remove_nodes(pool, nodes, timeout)

    def resize_all(self, pool: VmPool, dedicated: int, spot: int, timeout: float | None = None) -> None:
        """As ``BatchClient``."""
        self._forget(pool.base.ref)
        self._account.resize_all(pool, dedicated, spot, timeout)

    def disable_autoscale(self, pool: VmPool) -> None:
        """As ``BatchClient``."""
        self._forget(pool.base.ref)
        self._account.disable_autoscale(pool)

    def enable_autoscale(self, pool: VmPool, formula: str, interval: str) -> None:
        """As ``BatchClient``."""
        self._forget(pool.base.ref)
        self._account.enable_autoscale(pool, formula, interval)

    def repin(self, pool: VmPool, version: str, onto: PoolImage | None = None) -> None:
        """As ``BatchClient``."""
        self._forget(pool.base.ref)
        self._account.repin(pool, version, onto)

    def list_supported_images(self) -> tuple[SupportedImage, ...]:
        """As ``BatchClient``."""
        return self._account.list_supported_images()

    # SharedPolling.

    def pause(self, ref: PoolRef) -> float | None:
        """Seconds until the next list that may show this pool; None if it is read individually."""
        pauses = (shared.pause(ref.key) for shared in (self._upgrading, self._resizing, self._vms))
        return min((pause for pause in pauses if pause is not None), default=None)

    def may_list_nodes(self, ref: PoolRef, every: float) -> bool:
        """Whether this pool may read its nodes for progress now; pools take turns in the order in which they asked."""
        with self._lock:
            now = self._clock()
            self._turns[ref.key] = now
            for key in [key for key, asked_at in self._turns.items() if now - asked_at > _TURN_LOST]:
                del self._turns[key]
            if now - self._counted_at < min(COUNT_EVERY, every) or next(iter(self._turns)) != ref.key:
                return False
            del self._turns[ref.key]
            self._counted_at = now
            return True

    def _read_alone(self, ref: PoolRef, read: Callable[[PoolRef], P], *lists: SharedList[P]) -> P:
        """Read a pool individually, and record the result in the lists, also if the pool is gone."""
        begun = self._clock()
        try:
            pool = read(ref)
        except PoolGoneError:
            for shared in lists:
                shared.take(ref.key, None, begun)
            raise
        for shared in lists:
            shared.take(ref.key, pool, begun)
        return pool

    def _forget(self, ref: PoolRef) -> None:
        for shared in (self._upgrading, self._resizing):
            shared.forget(ref.key)
        self._vms.forget(ref.key)


def _is_upgrading(pool: Pool) -> bool:
    """Whether the pool is upgrading and shows both versions, which a wait for an upgrade needs."""
    is_known = pool.current_os_version is not None and pool.target_os_version is not None
    return pool.kind is Kind.CLOUD_SERVICES and pool.state is PoolState.UPGRADING and is_known


def _upgrades_as(one: Pool, other: Pool) -> bool:
    versions = [f"{pool.current_os_version} -> {pool.target_os_version}".casefold() for pool in (one, other)]
    return versions[0] == versions[1]


def _is_resizing(pool: Pool) -> bool:
    at_rest = pool.kind is Kind.CLOUD_SERVICES and pool.state is PoolState.ACTIVE
    return at_rest and pool.current_os_version is not None and pool.is_being_resized
