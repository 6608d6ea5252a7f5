"""Calls that run beside their caller, in threads that do not hold up the end of the process.

The threads of the standard library's executors do hold it up, so ^C would wait for a silent server.
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
    """Run a function beside the caller, in a thread of this name that does not hold up the end of the process."""
    future: futures.Future[T] = futures.Future()

    def run() -> None:
        try:
            future.set_result(function())
        except BaseException as error:  # noqa: BLE001 - handed to whoever asks for the result
            future.set_exception(error)

    threading.Thread(target=run, daemon=True, name=name).start()
    return future


Start = Callable[[Callable[[], None]], Callable[[float], bool]]
"""Begins to run a function, and gives what waits for its end: for so many seconds, and whether it came."""


def in_a_thread(function: Callable[[], None]) -> Callable[[float], bool]:
    """Run a function beside the caller; its thread does not hold up the end of the process."""
    future = beside(function, "batch-os-list")
    return lambda seconds: not futures.wait([future], seconds).not_done


A = TypeVar("A")


R = TypeVar("R")


AT_ONCE = 16
"""Calls under way at a time, over all accounts."""


def side_by_side(function: Callable[[A], R], items: Sequence[A], at_once: int = AT_ONCE) -> list[R]:
    """The results, in the order of the items; raises what the first failed call raised.

    Args:
        function: what is done with each item, in a thread.
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
            except BaseException as error:  # noqa: BLE001 - raised again by whoever waits
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
