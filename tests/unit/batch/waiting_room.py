"""A shared list on a clock that only moves when told, over pools that the test changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from batch_os_provider.batch.shared_list import SharedList


class Seen(NamedTuple):
    """A pool, as far as a list knows pools."""

    version: str = "1 -> 2"
    at_it: bool = True
    began: int = 0


class Room:
    """A shared list on a clock that the test moves, over pools that the test changes.

    A list is read at once, or takes ``takes`` seconds for who waits; ``meanwhile`` is what others do in them.
    """

    def __init__(self, *waiting: str) -> None:
        self.now = 0.0
        self.takes = 0.0
        self.failure: BaseException | None = None
        self.meanwhile: Callable[[], None] = lambda: None
        self.end: Callable[[], None] = lambda: None
        self.lists: list[float] = []
        self.pools: dict[str, Seen] = {key: Seen() for key in waiting}
        self.shared = SharedList[Seen](
            "at it",
            read=self._read,
            is_in_progress=lambda seen: seen.at_it,
            is_unchanged=lambda one, other: one.version == other.version,
            started_at=lambda seen: seen.began,
            clock=lambda: self.now,
            start=self._start,
        )
        self.read(*waiting)

    def read(self, *keys: str) -> None:
        """Read pools by themselves."""
        for key in keys:
            self.shared.take(key, self.pools.get(key), self.now)

    def told(self, *keys: str) -> str:
        """Look at pools, and which of them a list told; each other one is read by itself, as the observer does."""
        told = ""
        for key in keys:
            if self.shared.look(key) is not None:
                told += key
            elif key in self.pools:
                self.read(key)
        return told

    def wait(self, key: str = "a") -> None:
        """Sleep as long as the pool is told to."""
        pause = self.shared.pause(key)
        assert pause is not None, "there is no list to wait for"
        self.now += pause

    def are_used(self) -> bool:
        """Whether lists are used at all."""
        return self.shared.pause("a") is not None

    def _read(self) -> dict[str, Seen]:
        if self.failure is not None:
            raise self.failure
        return {key: seen for key, seen in self.pools.items() if seen.at_it}

    def _start(self, function: Callable[[], None]) -> Callable[[float], bool]:
        self.lists.append(self.now)
        ends, has_ended = self.now + self.takes, False

        def end() -> None:
            nonlocal has_ended
            if not has_ended:
                has_ended = True
                function()

        def wait(seconds: float) -> bool:
            meanwhile, self.meanwhile = self.meanwhile, lambda: None
            meanwhile()
            if not has_ended and ends - self.now > seconds:
                self.now += seconds
                return False
            self.now = max(self.now, ends)
            end()
            return True

        self.end = end
        if not self.takes:
            end()
        return wait


def steady(*keys: str) -> Room:
    """At the beginning of a tick, long after the last pool has joined."""
    room = Room(*keys)
    for _ in range(8):
        room.told(*keys)
        room.wait()
    room.told(*keys)
    return room
