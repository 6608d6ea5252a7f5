"""An account that counts its calls, and an observer that stands before it on a clock which the test moves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from batch_os_provider.batch.address import PoolRef
from batch_os_provider.batch.empty_marker import PoolImage
from batch_os_provider.batch.pool import Node, Pool, PoolState
from batch_os_provider.batch.shared_list import LIST_INTERVAL
from batch_os_provider.batch.shared_poller import SharedPoller
from batch_os_provider.batch.supported_images import SupportedImage
from batch_os_provider.batch.vm_pool import Marker, VmNode, VmPool
from tests.unit.rollout.doubles import at, gone

NODE, VM_NODE = Node("n", "idle", None), VmNode("n", "idle", True, "", None, "", 0)
_GETS = {"Pool_Get", "VmPool_Get"}


class FakeAccount:
    """``shared_poller.Account`` that counts; its pools are what the test says that they are."""

    def __init__(self, pools: dict[PoolRef, Pool | VmPool]) -> None:
        self.pools = {ref: self.named(ref, pool) for ref, pool in pools.items()}
        self.calls: list[tuple[str, str]] = []
        self.failure: Exception | None = None
        self.during: Callable[[], None] = lambda: None

    @staticmethod
    def named(ref: PoolRef, pool: Pool | VmPool) -> Any:
        """The pool under another name."""
        return replace(pool, ref=ref) if isinstance(pool, Pool) else replace(pool, base=replace(pool.base, ref=ref))

    def _call(self, what: str, ref: PoolRef | None = None) -> Any:
        self.calls.append((what, "" if ref is None else ref.pool_id))
        self.during()
        if self.failure is not None:
            raise self.failure
        if ref is not None and ref not in self.pools:
            raise gone()
        return None if ref is None else self.pools[ref]

    def get_pool(self, ref: PoolRef) -> Pool:
        pool: Pool = self._call("Pool_Get", ref)
        return pool

    def get_vm_pool(self, ref: PoolRef) -> VmPool:
        pool: VmPool = self._call("VmPool_Get", ref)
        return pool

    def list_upgrading(self) -> tuple[Pool, ...]:
        self._call("upgrading")
        return tuple(p for p in self.pools.values() if isinstance(p, Pool) and p.state is PoolState.UPGRADING)

    def list_resizing(self) -> tuple[Pool, ...]:
        self._call("resizing")
        return tuple(p for p in self.pools.values() if isinstance(p, Pool) and p.is_being_resized)

    def list_resizing_vms(self) -> tuple[VmPool, ...]:
        self._call("resizing VMs")
        return tuple(p for p in self.pools.values() if isinstance(p, VmPool) and p.base.is_being_resized)

    def list_nodes(self, ref: PoolRef) -> tuple[Node, ...]:
        self._call("list_nodes", ref)
        return (NODE,)

    def list_vm_nodes(self, ref: PoolRef) -> tuple[VmNode, ...]:
        self._call("list_vm_nodes", ref)
        return (VM_NODE,)

    def newest_image_version(self, ref: PoolRef) -> str:
        self._call("newest_image_version", ref)
        return "1.2.3"

    def upgrade_os(self, ref: PoolRef, target: str, etag: str) -> Any:
        self._call(f"upgrade_os {target} {etag}", ref)
        return at(7)

    def set_marker(self, pool: VmPool, mark: Marker | None) -> None:
        self._call(f"put_mark {mark}", pool.base.ref)

    def resize(self, pool: VmPool, size: int) -> None:
        self._call(f"resize {size}", pool.base.ref)

    def remove_nodes(self, pool: VmPool, nodes: tuple[str, ...], timeout: float) -> None:
        self._call(f"remove_nodes {nodes} {timeout:g}", pool.base.ref)

    def repin(self, pool: VmPool, version: str, onto: PoolImage | None = None) -> None:
        self._call(f"repin {onto or version}", pool.base.ref)

    def list_supported_images(self) -> tuple[SupportedImage, ...]:
        return ()


class Hall:
    """An observer on a clock that the test moves, over pools that were all looked at once."""

    def __init__(self, pools: dict[PoolRef, Any] | None = None) -> None:
        self.now = 0.0
        self.account = FakeAccount(pools or {})
        self.observer = SharedPoller(self.account, lambda: self.now, self._start)
        self.calls(*self.account.pools)

    @staticmethod
    def _start(function: Callable[[], None]) -> Callable[[float], bool]:
        function()
        return lambda _seconds: True

    def look(self, ref: PoolRef) -> Any:
        """Look at a pool, as a rollout of its kind does."""
        is_vm = isinstance(self.account.pools.get(ref), VmPool)
        return self.observer.get_vm_pool(ref) if is_vm else self.observer.get_pool(ref)

    def calls(self, *refs: PoolRef) -> Counter[str]:
        """What looks at pools cost."""
        before = len(self.account.calls)
        for ref in refs:
            assert self.look(ref) == self.account.pools[ref], "whoever tells it"
        return Counter(what for what, _pool in self.account.calls[before:])

    def own(self, *refs: PoolRef) -> int:
        """How many of the looks were reads of one pool."""
        return sum(count for what, count in self.calls(*refs).items() if what in _GETS)

    def tick(self) -> None:
        """Let time pass to the next list."""
        self.now += LIST_INTERVAL
