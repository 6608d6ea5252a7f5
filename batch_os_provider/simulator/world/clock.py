"""Virtual time, and the time formats of Batch.

A rollout takes minutes, a test milliseconds, and the order of events must not depend on the speed. Every timestamp of a
resource is virtual and comes from one :class:`VirtualClock`. Times of the connection (Date, the signature window, token
expiry, Retry-After) are wall time.

Times are integers: ticks of 100 ns since 1970. Batch prints seven decimals and builds its ETags from such ticks (since
the year 1). Integers make both exact, and a state file is read back without loss.
"""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from email.utils import formatdate
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

TICKS = 10_000_000
"""Ticks in a second."""

_YEAR_ONE = 621_355_968_000_000_000
_ISO = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:Z|\+00:00)")
_DURATION = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?")
_DATE_PARTS = 6


def wall_now() -> int:
    """The wall clock, in ticks."""
    return time.time_ns() // 100


def seconds(count: float) -> int:
    """A number of seconds, in ticks."""
    return round(count * TICKS)


@lru_cache(maxsize=8192)
def iso(ticks: int) -> str:
    """A time as Batch prints it in JSON: up to seven decimals, and Z."""
    whole, rest = divmod(ticks, TICKS)
    text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole))
    return f"{text}.{rest:07d}".rstrip("0") + "Z" if rest else text + "Z"


def parse_iso(text: str) -> int:
    """Read a time of a state file.

    Raises:
        ValueError: not a UTC time.
    """
    match = _ISO.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a UTC time such as 2018-08-24T07:46:48.3436665Z")
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:_DATE_PARTS])
    whole = int(datetime(year, month, day, hour, minute, second, tzinfo=UTC).timestamp())
    return whole * TICKS + int((match.group(7) or "0")[:7].ljust(7, "0"))


def format_duration(ticks: int) -> str:
    """A duration as Batch prints it: ``PT6M`` for six minutes, also where it was sent as ``PT06M00S``."""
    whole, rest = divmod(ticks, TICKS)
    minutes, left = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    fraction = f".{rest:07d}".rstrip("0") if rest else ""
    parts = ((f"{hours}", "H"), (f"{minutes}", "M"), (f"{left}{fraction}", "S"))
    clock = "".join(f"{count}{unit}" for count, unit in parts if count != "0")
    if not days and not clock:
        return "PT0S"
    return "P" + (f"{days}D" if days else "") + (f"T{clock}" if clock else "")


@lru_cache(maxsize=1024)
def _http_date(second: int) -> str:
    return formatdate(second, usegmt=True)


def http_date(ticks: int) -> str:
    """A time as in ``Date`` and ``Last-Modified``: RFC 1123, ending in GMT (some clients require it)."""
    return _http_date(ticks // TICKS)


def etag(ticks: int) -> str:
    """The ETag that Batch builds from the time of a change: hexadecimal ticks since the year 1, no quotes."""
    return f"0x{ticks + _YEAR_ONE:X}"


def next_etag(previous: str, ticks: int) -> str:
    """The ETag after ``previous``: always a later one, even if the clock is frozen."""
    try:
        last = int(previous, 16) - _YEAR_ONE
    except ValueError:  # a seed may hold any text
        last = 0
    return etag(max(ticks, last + 1))


def parse_duration(text: str) -> int:
    """An ISO 8601 duration of days, hours, minutes and seconds, in ticks.

    Raises:
        ValueError: anything else.
    """
    match = _DURATION.fullmatch(text)
    if match is None or not any(match.groups()):
        raise ValueError(f"{text!r} is not a duration such as PT15M")
    days, hours, minutes, secs = match.groups()
    return seconds(int(days or 0) * 86_400 + int(hours or 0) * 3_600 + int(minutes or 0) * 60 + float(secs or 0))


def _monotonic() -> int:
    return time.monotonic_ns() // 100


class VirtualClock:
    """Time that runs ``speed`` times as fast as real time; 0 freezes it.

    A change of speed or an advance moves the base along, so virtual time is continuous and never runs backwards.
    """

    def __init__(self, start: int | None = None, speed: float = 1.0, monotonic: Callable[[], int] = _monotonic) -> None:
        self._monotonic = monotonic
        self._base = wall_now() if start is None else start
        self._since = monotonic()
        self._speed = speed

    @property
    def speed(self) -> float:
        """Virtual seconds per real second."""
        return self._speed

    def now(self) -> int:
        """The virtual time, in ticks."""
        return self._base + int((self._monotonic() - self._since) * self._speed)

    def real_ago(self, virtual: int) -> int:
        """Real ticks since a virtual time; times that an advance skipped count as the time of the advance."""
        since_base = self._monotonic() - self._since
        if not self._speed or virtual <= self._base:
            return since_base
        return max(0, since_base - int((virtual - self._base) / self._speed))

    def set_speed(self, speed: float) -> None:
        """Change the speed from now on."""
        self.set(self.now())
        self._speed = speed

    def advance(self, count: float) -> None:
        """Advance by a number of virtual seconds."""
        self.set(self.now() + seconds(count))

    def set(self, now: int) -> None:
        """Continue from this virtual time (a loaded state can have its own)."""
        self._since, self._base = self._monotonic(), now
