"""Calls in daemon threads, which do not delay the end of the process.

The process waits for the threads of the standard library's executors, so ^C would wait for a silent server.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent import futures
from typing import TypeVar

__all__ = ["AT_ONCE", "Start", "beside", "in_a_thread", "side_by_side"]


T = TypeVar("T")


def beside(function: Callable[[], T], name: str) -> futures.Future[T]:
    """Run a function in a daemon thread of this name."""
    future: futures.Future[T] = futures.Future()

    def run() -> None:
        try:
            future.set_result(function())
        except BaseException as error:  # noqa: BLE001 - raised where the result is read
            future.set_exception(error)

    threading.Thread(target=run, daemon=True, name=name).start()
    return future


Start = Callable[[Callable[[], None]], Callable[[float], bool]]
"""Starts a function, and returns a wait: for so many seconds at most; True if the function has ended."""


def in_a_thread(function: Callable[[], None]) -> Callable[[float], bool]:
    """Start a function in a daemon thread; a ``Start``."""
    future = beside(function, "batch-os-list")
    return lambda seconds: not futures.wait([future], seconds).not_done


A = TypeVar("A")


R = TypeVar("R")


AT_ONCE = 16
"""Calls under way at a time, over all accounts."""


def side_by_side(function: Callable[[A], R], items: Sequence[A], at_once: int = AT_ONCE) -> list[R]:
    """Call a function for each item, some at a time. Return the results in the order of the items.

    Raises the error of the first call that failed.

    Args:
        function: called with each item, in a thread.
        items: the items.
        at_once: how many at a time.
    """
    waiting: queue.SimpleQueue[tuple[int, A]] = queue.SimpleQueue()
    ended: queue.SimpleQueue[tuple[int, R | None, BaseException | None]] = queue.SimpleQueue()
    for each in enumerate(items):
        waiting.put(each)

    def work() -> None:
        while True:
            try:
                number, item = waiting.get_nowait()
            except queue.Empty:
                return
            try:
                ended.put((number, function(item), None))
            except BaseException as error:  # noqa: BLE001 - raised again in the caller
                ended.put((number, None, error))

    for _ in range(min(at_once, len(items))):
        beside(work, "batch-os-call")
    results: dict[int, R] = {}
    for _ in items:
        number, result, error = ended.get()
        if error is not None:
            raise error
        results[number] = result  # type: ignore[assignment]  # a call that did not fail has a result, even if it is None
    return [results[number] for number in range(len(items))]
