"""Finds a pool that two resources declare, and a resource whose state is that of something else.

Both are faults that no single resource shows: two owners would undo each other's versions at each `up`.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from batch_os_provider.batch.address import PoolRef
from batch_os_provider.comparison.compared import REPLACING
from batch_os_provider.schema import inputs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["DeclaredPools", "state_of_another"]


class DeclaredPools:
    """Which resource of this process declares which pool."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pools: dict[str, str] = {}

    def declared_twice(
        self, urn: str, bag: Mapping[str, Any], is_unknown: Callable[[Any], bool]
    ) -> list[inputs.Failure]:
        """Record that ``urn`` declares the pool of ``bag``, inputs that passed a check.

        Returns:
            The refusal if another resource declares it too, else an empty list.
        """
        if not urn or any(is_unknown(bag[name]) for name in REPLACING):
            return []
        ref = PoolRef(bag[inputs.ACCOUNT_ENDPOINT], bag[inputs.POOL_ID_NAME])
        other = self._other_owner(urn, ref)
        if not other:
            return []
        reason = (
            f"this pool of {ref.endpoint} is declared twice, by {other} and by {urn}; "
            "allowed: one resource of this package for each pool; remove one of them"
        )
        return [inputs.Failure(inputs.POOL_ID_NAME, reason)]

    def _other_owner(self, urn: str, pool: PoolRef) -> str:
        """Record the owner. Returns the URN of another resource that declares the pool, or ``""``."""
        with self._lock:
            self._pools[urn] = pool.key
            return next((other for other, key in self._pools.items() if key == pool.key and other != urn), "")


def state_of_another(olds: Mapping[str, Any]) -> list[inputs.Failure]:
    """Refuse the state of another dynamic resource. An alias can lead to one, such as that of a subclass."""
    if not olds or any(olds.get(name) is not None for name in REPLACING):
        return []
    reason = (
        "in the state, another dynamic resource has the name and the type of this resource or of one of its aliases; "
        "give this resource another name"
    )
    return [inputs.Failure(inputs.POOL_ID_NAME, reason)]
