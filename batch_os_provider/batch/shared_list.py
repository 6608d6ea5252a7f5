"""One list for all pools that wait for the same thing, in place of a read of each.

Sixty pools that upgrade for an hour would cost an account sixty reads every few seconds, for the one
word ``upgrading``. A list of the pools that still are has that word for all of them. Whoever comes first when a list
is due reads it, in a thread of its own; all others are answered from it.

A list is only ever evidence that nothing has changed. A pool that is not in it, or that it shows to be anything else,
is read by itself before anybody is told, and so is a pool whose last read or write began after the list. A list may
also be refused, fail, hang, lag or lie: each pool in turn is read by itself once in a while to find that out, and then
every pool is, for some minutes. Nobody waits here longer than ``LIST_TIMEOUT``.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from batch_os_provider.errors import BatchOsError, TransientError
from batch_os_provider.runtime import request_log
from batch_os_provider.runtime.backoff import BACKOFF_FIRST
from batch_os_provider.runtime.threads import Start, in_a_thread

__all__ = ["AUDIT_EVERY", "DISABLE_FOR", "LIST_INTERVAL", "LIST_TIMEOUT", "TICK_FIRST", "SharedList"]

P = TypeVar("P")


TICK_FIRST, LIST_INTERVAL = 0.5, 3.0
"""Seconds from one list to the next: quick when a pool has joined, then doubled up to the second number."""
AUDIT_EVERY = 60.0
"""Seconds after which the pool that was longest not read by itself is, whatever the list says."""
LIST_TIMEOUT = 10.0
"""Seconds that a list may take; one that takes longer is not waited for."""
DISABLE_FOR = 300.0
"""Seconds without lists after one was refused, hung, or did not tell the truth, or two in a row have failed."""
_DUTY = 0.25
"""The share of time that lists may take, so that a huge account is listed less often."""
_FORGET = 60.0
"""Seconds after which a pool is forgotten about which nobody asks any more."""
_LAG = 10.0
"""Seconds that a list may be behind what a pool itself shows; one that is further behind is not believed any more."""


@dataclass
class _Waiting(Generic[P]):
    """A pool that somebody waits for: as last seen, and since when only a later list tells anything new."""

    seen: P
    since: float
    asked_at: float
    answer: object = None
    missed_at: float | None = None


class _Reading(Generic[P]):
    """One list, from its beginning on."""

    def __init__(self, begun: float) -> None:
        self.begun = begun
        self.is_done = False
        self.wait: Callable[[float], bool] = lambda _seconds: self.is_done
        self.pools: Mapping[str, P] = {}
        self.failure: BaseException | None = None


class SharedList(Generic[P]):
    """The pools of one account that are at one thing.

    Args:
        name: what they are at, for the debug log.
        read: lists them, by key.
        is_in_progress: whether a pool is still being upgraded or resized, as it was seen.
        is_unchanged: whether one of them is unchanged from one look to the next.
        started_at: when it began, by the service's clock. It tells a second upgrade from a list that lags.
        clock: seconds on a clock that never jumps.
        start: runs a list beside the caller.
    """

    def __init__(  # noqa: PLR0913 - what one kind of wait is
        self,
        name: str,
        *,
        read: Callable[[], Mapping[str, P]],
        is_in_progress: Callable[[P], bool],
        is_unchanged: Callable[[P, P], bool],
        started_at: Callable[[P], object],
        clock: Callable[[], float] = time.monotonic,
        start: Start = in_a_thread,
    ) -> None:
        self._name = name
        self._read = read
        self._is_in_progress = is_in_progress
        self._is_unchanged = is_unchanged
        self._started_at = started_at
        self._clock = clock
        self._start = start
        self._lock = threading.RLock()
        # In the order in which they were last read by themselves.
        self._waiting: dict[str, _Waiting[P]] = {}
        self._ended: dict[str, tuple[float, P]] = {}
        self._latest: _Reading[P] | None = None
        self._interval = TICK_FIRST
        self._quickened_at = float("-inf")
        self._due = float("-inf")
        self._not_before = float("-inf")
        self._audited_at = clock()
        self._failures = 0
        self._off_until = float("-inf")

    def look(self, key: str) -> P | None:
        """The pool as a list shows it that began after the last look at it; None where it has to be read by itself.

        Raises:
            TransientError: the list failed, for the first time in a row.
        """
        with self._lock:
            now = self._clock()
            mine = self._waiting.get(key)
            if mine is None:
                return None
            mine.asked_at = now
            if self._is_off(now) or self._is_audited(key, now):
                return None
            reading = self._reading_for(mine, now)
            if reading is None:
                return None
            mine.answer = reading
        if not reading.wait(LIST_TIMEOUT):
            self._give_up(reading)
            return None
        if reading.failure is not None:
            self._failed(reading.failure)
            return None
        return self._answer(key, mine, reading)

    def take(self, key: str, seen: P | None, begun: float) -> None:
        """Note a read of the pool by itself: what it showed, None where it is gone, and when it began."""
        with self._lock:
            now = self._clock()
            mine = self._waiting.pop(key, None)
            if seen is not None and self._is_in_progress(seen):
                self._ended.pop(key, None)
                if mine is None:
                    self._waiting[key] = _Waiting(seen, begun, now)
                    self._quicken(now)
                    return
                missed_at = mine.missed_at if self._is_unchanged(seen, mine.seen) else None
                self._waiting[key] = _Waiting(seen, begun, now, mine.answer, missed_at)
                if missed_at is not None and now - missed_at > _LAG:
                    self._disable(now, f"it has not shown {key} for {_LAG:g} s")
            elif mine is not None and mine.answer is not None:
                self._ended[key] = (now, mine.seen)

    def expect(self, key: str, seen: P) -> None:
        """Record that Batch accepted our write, which starts what ``seen`` shows; ignore lists that started before."""
        self.take(key, seen, self._clock())

    def forget(self, key: str) -> None:
        """Forget the pool: what a list says of it proves nothing any more."""
        with self._lock:
            self._waiting.pop(key, None)
            self._ended.pop(key, None)

    def pause(self, key: str) -> float | None:
        """Seconds until the next list, for who waits for this pool; None where it is looked at by itself."""
        with self._lock:
            now = self._clock()
            if key not in self._waiting or self._is_off(now):
                return None
            soonest = 0.0
            if self._latest is not None and not self._latest.is_done:
                # The slower the list, the less often we read the pools that it does not cover.
                soonest = max(TICK_FIRST, now - self._latest.begun)
            return max(soonest, self._due - now)

    def _is_off(self, now: float) -> bool:
        """Whether everybody reads for himself: one pool alone is better off with its own read."""
        return len(self._waiting) < 2 or now < self._off_until  # noqa: PLR2004 - company

    def _is_audited(self, key: str, now: float) -> bool:
        """Whether it is this pool's turn to be read by itself."""
        if now - self._audited_at < AUDIT_EVERY or next(iter(self._waiting)) != key:
            return False
        self._audited_at = now
        return True

    def _reading_for(self, mine: _Waiting[P], now: float) -> _Reading[P] | None:
        """The list that can tell of this pool, begun now if one is due; None where there is none to wait for."""
        latest = self._latest
        if latest is not None and latest.begun >= mine.since and latest is not mine.answer:
            return latest
        # A look that comes between two lists is one that cannot wait: a deadline, a write that was refused.
        if now < self._due or (latest is not None and not latest.is_done):
            return None
        reading: _Reading[P] = _Reading(now)
        self._latest = reading
        self._due = now + self._interval
        self._interval = min(self._interval * 2, LIST_INTERVAL)
        reading.wait = self._start(lambda: self._run(reading))
        return reading

    def _quicken(self, now: float) -> None:
        """A pool has joined: look soon, but pools that join one after the other do not make a list each.

        Nor do they make one that comes too soon for the service.
        """
        if now - self._quickened_at < LIST_INTERVAL:
            return
        self._quickened_at = now
        self._interval = TICK_FIRST
        self._due = max(self._not_before, min(self._due, now + TICK_FIRST))

    def _run(self, reading: _Reading[P]) -> None:
        """Read the list."""
        try:
            reading.pools = self._read()
        except BaseException as error:  # noqa: BLE001 - handed to those who wait for it
            reading.failure = error
        with self._lock:
            reading.is_done = True
            if self._latest is reading:
                self._judge(reading, self._clock())

    def _judge(self, reading: _Reading[P], now: float) -> None:
        """Decide what comes after this list, and whether there are to be more."""
        failure = reading.failure
        if isinstance(failure, TransientError):
            self._failures += 1
            if self._failures > 1:
                self._disable(now, f"it failed twice in a row: {failure.reply}")
            # Not later than those come back who are told of the failure.
            self._due = self._not_before = now + max(0.8 * BACKOFF_FIRST, failure.reply.retry_after or 0.0)
            return
        if failure is not None:
            self._disable(now, str(failure))
            return
        self._failures = 0
        self._not_before = reading.begun + (now - reading.begun) / _DUTY
        self._due = max(self._due, self._not_before)
        for key, (ended_at, seen) in list(self._ended.items()):
            if reading.begun < ended_at:
                continue
            shown = reading.pools.get(key)
            if (
                shown is None
                or not self._is_unchanged(shown, seen)
                or self._started_at(shown) != self._started_at(seen)
            ):
                del self._ended[key]
            elif reading.begun - ended_at > _LAG:
                self._disable(now, f"it still shows {key}, which had ended {_LAG:g} s before")
        for key in [key for key, each in self._waiting.items() if now - each.asked_at > _FORGET]:
            del self._waiting[key]

    def _failed(self, failure: BaseException) -> None:
        """Raise what those have to know who waited for the list."""
        if isinstance(failure, TransientError) and self._clock() >= self._off_until:
            # A new one for each: every rollout adds its own words to it.
            raise TransientError(
                failure.reply, pool=failure.pool, doing=failure.doing, next_step=failure.next_step
            ) from failure
        if not isinstance(failure, BatchOsError):
            raise failure

    def _answer(self, key: str, mine: _Waiting[P], reading: _Reading[P]) -> P | None:
        with self._lock:
            shown = reading.pools.get(key)
            if self._waiting.get(key) is not mine:
                return None  # it was read, or written to, while the list was under way
            if shown is None or not self._is_in_progress(shown) or not self._is_unchanged(shown, mine.seen):
                mine.missed_at = reading.begun if mine.missed_at is None else mine.missed_at
                return None
            mine.seen, mine.since, mine.missed_at = shown, reading.begun, None
            return shown

    def _give_up(self, reading: _Reading[P]) -> None:
        """Wait for this list no longer. Its end, if there is one, decides nothing."""
        with self._lock:
            if self._latest is reading:
                self._latest = None
            self._disable(self._clock(), f"no answer within {LIST_TIMEOUT:g} s")

    def _disable(self, now: float, why: str) -> None:
        if now >= self._off_until:
            request_log.note(
                f"no list of pools that are {self._name} for {DISABLE_FOR:g} s, each is read by itself: {why}"
            )
        self._off_until = now + DISABLE_FOR
        self._failures = 0
        # Held against lists once, and not again while there are none.
        self._ended.clear()
        for each in self._waiting.values():
            each.missed_at = None
