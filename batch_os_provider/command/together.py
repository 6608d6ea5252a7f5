"""Many calls side by side, a bounded number at a time.

Why it exists: accounts and nodes are read over a network, so one after the other is slow and all at once is rude.
The threads of the standard library's executors hold up the end of a process; these do not, so ^C ends a command
at once.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

__all__ = ["AT_ONCE", "side_by_side"]

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
        threading.Thread(target=work, daemon=True, name="batch-os-call").start()
    results: dict[int, R] = {}
    for _ in items:
        number, result, error = ended.get()
        if error is not None:
            raise error
        results[number] = result  # type: ignore[assignment]  # a call that did not fail has a result, even if it is None
    return [results[number] for number in range(len(items))]
