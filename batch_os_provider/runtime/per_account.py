"""One value for each account of a process: its client, its poller, its snapshot.

The engine calls one plugin process for many resources at the same time, and all of them must share the
connections and lists of an account. A test that begins as a new process calls ``reset``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

__all__ = ["PerAccount", "reset"]

T = TypeVar("T")

_all: list[PerAccount[Any]] = []


class PerAccount(Generic[T]):
    """The values of one kind, by endpoint. Made once per module, since ``reset`` keeps a reference to each.

    Args:
        make: makes the value of an endpoint, on the first call for it. An error is raised and not kept.
    """

    def __init__(self, make: Callable[[str], T]) -> None:
        self._make = make
        self._values: dict[str, T] = {}
        self._lock = threading.Lock()
        _all.append(self)

    def __call__(self, endpoint: str) -> T:
        """Return the value of this endpoint."""
        with self._lock:
            if endpoint not in self._values:
                self._values[endpoint] = self._make(endpoint)
            return self._values[endpoint]

    def put(self, endpoint: str, value: T) -> None:
        """Replace the value of an endpoint: a test gives a double."""
        with self._lock:
            self._values[endpoint] = value

    def clear(self) -> None:
        """Forget all values."""
        with self._lock:
            self._values.clear()


def reset() -> None:
    """Forget all values of every kind, as a new process does."""
    for each in _all:
        each.clear()
