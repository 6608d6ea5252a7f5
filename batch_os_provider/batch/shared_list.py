"""One list for all pools that wait for the same change, instead of a read of each pool.

Sixty pools that upgrade for an hour would cost sixty reads every few seconds, only to learn that each is still
upgrading. One list of the upgrading pools shows that for all of them. The first caller after a list is due starts it,
in its own thread; all other callers are answered from it.

A list proves only that nothing has changed. A pool is read individually if the list does not contain it, if the list
shows a change, or if its last read or write began after the list. A list may also be refused, fail, hang, lag or be
wrong. So the pools are audited in turn: now and then one of them is read individually. If the list was wrong, all pools
are read individually for some minutes. No caller waits longer than ``LIST_TIMEOUT``.
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
"""Seconds from one list to the next: ``TICK_FIRST`` after a pool has joined, then doubled up to ``LIST_INTERVAL``."""
AUDIT_EVERY = 60.0
"""Seconds between two audits. An audit individually reads the pool whose last such read is the oldest."""
LIST_TIMEOUT = 10.0
"""Seconds that callers wait for a list."""
DISABLE_FOR = 300.0
"""Seconds without lists after one was refused, hung or was wrong, or after two in a row failed."""
_DUTY = 0.25
"""The share of time that lists may take, so that a large account is listed less often."""
_FORGET = 60.0
"""Seconds without a question after which a pool is forgotten."""
_LAG = 10.0
"""Seconds that a list may lag behind the pools; a longer lag disables lists."""


@dataclass
class _Waiting(Generic[P]):
    """A pool that a rollout waits for: as last seen, and since when. A list that began earlier shows nothing new."""

    seen: P
    since: float
    asked_at: float
    answer: object = None
    missed_at: float | None = None


class _Reading(Generic[P]):
    """One list, running or done."""

    def __init__(self, begun: float) -> None:
        self.begun = begun
        self.is_done = False
        self.wait: Callable[[float], bool] = lambda _seconds: self.is_done
        self.pools: Mapping[str, P] = {}
        self.failure: BaseException | None = None


class SharedList(Generic[P]):
    """The pools of one account in which the same kind of change is in progress.

    Args:
        name: the kind of change, for the debug log.
        read: lists these pools, by key.
        is_in_progress: whether the pool was still upgrading or resizing.
        is_unchanged: whether a pool is the same in two reads.
        started_at: when the change began, by the service's clock. It distinguishes a second upgrade from a list that
            lags.
        clock: seconds on a clock that never jumps.
        start: starts a list in another thread.
    """

    def __init__(  # noqa: PLR0913 - the parts of one kind of change
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
        # In the order of their last individual reads.
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
        """The pool in a list that began after its last read or list; None if it must be read individually.

        Raises:
            TransientError: the list failed once. After a second failure in a row lists are disabled.
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
        """Record an individual read: what it showed (None if the pool is gone), and when it began."""
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
        """Forget the pool, because lists prove nothing about it until its next individual read."""
        with self._lock:
            self._waiting.pop(key, None)
            self._ended.pop(key, None)

    def pause(self, key: str) -> float | None:
        """Seconds until the next list that may show this pool; None if it is read individually."""
        with self._lock:
            now = self._clock()
            if key not in self._waiting or self._is_off(now):
                return None
            soonest = 0.0
            if self._latest is not None and not self._latest.is_done:
                # While a list runs, a pool that it may not cover waits as long as the list has run already.
                soonest = max(TICK_FIRST, now - self._latest.begun)
            return max(soonest, self._due - now)

    def _is_off(self, now: float) -> bool:
        """Whether each pool is read individually, as when only one pool waits."""
        return len(self._waiting) < 2 or now < self._off_until  # noqa: PLR2004 - a list costs more than one read

    def _is_audited(self, key: str, now: float) -> bool:
        """Whether an audit is due and it is this pool's turn."""
        if now - self._audited_at < AUDIT_EVERY or next(iter(self._waiting)) != key:
            return False
        self._audited_at = now
        return True

    def _reading_for(self, mine: _Waiting[P], now: float) -> _Reading[P] | None:
        """The list that has news of this pool, started now if one is due; None if no list will have news."""
        latest = self._latest
        if latest is not None and latest.begun >= mine.since and latest is not mine.answer:
            return latest
        # A caller that comes before the next list is due has a reason (its deadline, a refused write): it reads alone.
        if now < self._due or (latest is not None and not latest.is_done):
            return None
        reading: _Reading[P] = _Reading(now)
        self._latest = reading
        self._due = now + self._interval
        self._interval = min(self._interval * 2, LIST_INTERVAL)
        reading.wait = self._start(lambda: self._run(reading))
        return reading

    def _quicken(self, now: float) -> None:
        """A pool has joined: list soon. Pools that join one after the other share this list.

        The list never comes sooner than the service allows.
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
        except BaseException as error:  # noqa: BLE001 - raised in the callers that wait for it
            reading.failure = error
        with self._lock:
            reading.is_done = True
            if self._latest is reading:
                self._judge(reading, self._clock())

    def _judge(self, reading: _Reading[P], now: float) -> None:
        """Decide when the next list is due, and whether lists stay enabled."""
        failure = reading.failure
        if isinstance(failure, TransientError):
            self._failures += 1
            if self._failures > 1:
                self._disable(now, f"it failed twice in a row: {failure.reply}")
            # Due before the callers that receive this failure try again.
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
                self._disable(now, f"it still shows {key}, which ended more than {_LAG:g} s before")
        for key in [key for key, each in self._waiting.items() if now - each.asked_at > _FORGET]:
            del self._waiting[key]

    def _failed(self, failure: BaseException) -> None:
        """Raise the failure of the list in a caller that waited for it, unless the caller reads its pool instead."""
        if isinstance(failure, TransientError) and self._clock() >= self._off_until:
            # A new error for each caller, because each rollout adds its own words.
            raise TransientError(
                failure.reply, pool=failure.pool, doing=failure.doing, next_step=failure.next_step
            ) from failure
        if not isinstance(failure, BatchOsError):
            raise failure

    def _answer(self, key: str, mine: _Waiting[P], reading: _Reading[P]) -> P | None:
        with self._lock:
            shown = reading.pools.get(key)
            if self._waiting.get(key) is not mine:
                return None  # it was read or written while the list was running
            if shown is None or not self._is_in_progress(shown) or not self._is_unchanged(shown, mine.seen):
                mine.missed_at = reading.begun if mine.missed_at is None else mine.missed_at
                return None
            mine.seen, mine.since, mine.missed_at = shown, reading.begun, None
            return shown

    def _give_up(self, reading: _Reading[P]) -> None:
        """Abandon this list. If it ends later, its result is ignored."""
        with self._lock:
            if self._latest is reading:
                self._latest = None
            self._disable(self._clock(), f"no answer within {LIST_TIMEOUT:g} s")

    def _disable(self, now: float, why: str) -> None:
        if now >= self._off_until:
            request_log.note(
                f"no list of pools that are {self._name} for {DISABLE_FOR:g} s, each is read individually: {why}"
            )
        self._off_until = now + DISABLE_FOR
        self._failures = 0
        # Forget what disabled the lists: after the pause it must not disable them again.
        self._ended.clear()
        for each in self._waiting.values():
            each.missed_at = None
