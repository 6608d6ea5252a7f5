"""Reads accounts: their pools, and the image versions that VM nodes run.

``status`` and ``adopt`` need the same reads, and both must report what they could not read. Errors are kept beside the
results, so that one closed account does not hide the others.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from batch_os_provider.batch.client import shared_client
from batch_os_provider.batch.pool import Kind, Pool
from batch_os_provider.batch.service import AccountReader
from batch_os_provider.batch.supported_images import ImageSupport
from batch_os_provider.batch.vm_pool import VmNode, VmPool
from batch_os_provider.batch.vm_view import VmPoolView
from batch_os_provider.errors import ApiRetiredError, BatchOsError, PoolGoneError
from batch_os_provider.runtime.backoff import retry
from batch_os_provider.runtime.threads import side_by_side

__all__ = ["Account", "PoolSeen", "ask", "survey"]

T = TypeVar("T")

_TRIES = 3
_LONGEST_PAUSE = 10.0
"""Seconds. Where the service asks for a longer pause, the error is reported: a person waits at a terminal."""


@dataclass(frozen=True)
class PoolSeen:
    """A pool. ``vm`` is set for VM pools; ``retired`` says why a Cloud Services pool cannot be read any more.

    ``trouble`` is the error of the read of its nodes or of the pool; empty if the reads succeeded. ``support`` is what
    Batch's list says about a VM pool's image; None if it says nothing or was not read.
    """

    pool: Pool
    vm: VmPoolView | None = None
    retired: str = ""
    trouble: str = ""
    support: ImageSupport | None = None

    @property
    def node_versions(self) -> Mapping[str, int]:
        """The number of nodes by image version, oldest first; ``unknown`` if a node shows none."""
        if self.vm is None:
            return {}
        ordered = sorted(self.vm.nodes, key=lambda node: node.version or (float("inf"),))
        return Counter(node.version_text or "unknown" for node in ordered)


@dataclass(frozen=True)
class Account:
    """An account. ``error`` says why its pools could not be listed; empty if they could.

    ``images_error`` says why its supported images could not be listed; empty if they could, or were not asked for.
    """

    endpoint: str
    signed_in_as: str = ""
    error: str = ""
    pools: tuple[PoolSeen, ...] = ()
    images_error: str = ""

    @property
    def troubles(self) -> tuple[str, ...]:
        """Each error of a read of this account."""
        return (self.error,) * bool(self.error) + tuple(each.trouble for each in self.pools if each.trouble)


def survey(
    endpoints: Sequence[str],
    connect: Callable[[str], AccountReader] = shared_client,
    pause: Callable[[float], None] = time.sleep,
) -> list[Account]:
    """Read accounts concurrently, then concurrently what the lists do not show of their pools.

    Args:
        endpoints: the accounts, normalised.
        connect: returns an account's client, or raises ``CredentialError``.
        pause: waits so many seconds before a retry.
    """
    clients = {each: _try(partial(connect, each)) for each in endpoints}
    lists: list[Callable[[], Sequence[Pool | VmPool] | BatchOsError]] = []
    for client in clients.values():
        if not isinstance(client, BatchOsError):
            lists += [partial(ask, client.list_pools, pause), partial(ask, client.list_vm_pools, pause)]
    answers = iter(side_by_side(lambda call: call(), lists))
    accounts = [
        Account(endpoint, error=str(client))
        if isinstance(client, BatchOsError)
        else _account(endpoint, client.signed_in_as, next(answers), next(answers))
        for endpoint, client in clients.items()
    ]
    wanted = [(clients[account.endpoint], pool) for account in accounts for pool in account.pools]
    whole = iter(side_by_side(lambda each: _complete(*each, pause), wanted))
    return [replace(each, pools=tuple(pool for pool in (next(whole) for _ in each.pools) if pool)) for each in accounts]


def _try(call: Callable[[], T]) -> T | BatchOsError:
    try:
        return call()
    except BatchOsError as error:
        return error


def ask(call: Callable[[], T], pause: Callable[[float], None]) -> T | BatchOsError:
    """The answer of a call, with a few tries; the last error if all of them failed."""
    return _try(lambda: retry(call, tries=_TRIES, sleep=pause, affords=lambda seconds: seconds <= _LONGEST_PAUSE))


def _account(
    endpoint: str,
    signed_in_as: str,
    pools: Iterable[Pool | VmPool] | BatchOsError,
    vm_pools: Iterable[Pool | VmPool] | BatchOsError,
) -> Account:
    for answer in (pools, vm_pools):
        if isinstance(answer, BatchOsError):
            return Account(endpoint, signed_in_as, error=str(answer))
    newest = {each.base.ref.key: each for each in vm_pools if isinstance(each, VmPool)}  # type: ignore[union-attr]
    found = {each.ref.key: each for each in pools if isinstance(each, Pool)}  # type: ignore[union-attr]
    seen = []
    for key, pool in (found | {key: each.base for key, each in newest.items() if key not in found}).items():
        if pool.kind is Kind.VM and key not in newest:
            continue  # deleted between the two lists
        seen.append(PoolSeen(pool, VmPoolView(newest[key], ()) if pool.kind is Kind.VM else None))
    return Account(endpoint, signed_in_as, pools=tuple(sorted(seen, key=lambda each: each.pool.ref.pool_id.lower())))


def _complete(client: AccountReader | BatchOsError, seen: PoolSeen, pause: Callable[[float], None]) -> PoolSeen | None:
    """A pool with what its list does not show; None if it is gone since."""
    if isinstance(client, BatchOsError):
        return seen
    ref = seen.pool.ref
    answer: Pool | tuple[VmNode, ...] | BatchOsError
    if seen.pool.kind is Kind.UNKNOWN:
        # The newest API version does not show the configuration of a Cloud Services pool; this read does, or fails.
        answer = ask(partial(client.get_pool, ref), pause)
    elif seen.vm is not None and seen.pool.node_count:
        answer = ask(partial(client.list_vm_nodes, ref), pause)
    else:
        return seen
    return _with(seen, answer)


def _with(seen: PoolSeen, answer: Pool | tuple[VmNode, ...] | BatchOsError) -> PoolSeen | None:
    if isinstance(answer, PoolGoneError):
        return None
    if isinstance(answer, ApiRetiredError):
        return replace(seen, retired=answer.reason)
    if isinstance(answer, BatchOsError):
        return replace(seen, trouble=str(answer))
    if isinstance(answer, Pool):
        return replace(seen, pool=answer)
    return replace(seen, vm=VmPoolView(seen.vm.pool, answer) if seen.vm is not None else None)
