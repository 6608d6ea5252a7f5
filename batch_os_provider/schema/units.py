"""Durations, shares of nodes and moments as a program spells them, and values as a message shows them.

People write ``1h30m``, ``PT2H``, ``7200`` and ``10%``; configuration turns numbers into text, and Pulumi turns them
into floats. This module reads all of these, explains a wrong value, and suggests what the author probably meant.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone

from batch_os_provider.wording import counted

__all__ = [
    "DURATION_FORM",
    "LONGEST",
    "SHARE_FORM",
    "Share",
    "did_you_mean",
    "duration",
    "is_unquoted",
    "parse_duration",
    "parse_share",
    "plain_duration",
    "shown",
    "suggest_duration",
    "suggest_moment",
    "suggest_share",
]

DURATION_FORM = "seconds, or hours, minutes and seconds such as 90s, 45m, 1h30m or 7200; more than 0, at most 720h"
SHARE_FORM = 'a whole number of nodes from 0 on, or a whole percentage of the pool\'s nodes from "0%" to "100%"'

_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")
_DURATION = re.compile(r"(?:([0-9]+)h)?(?:([0-9]+)m)?(?:([0-9]+)s)?", re.IGNORECASE)
_UNITS = (3600, 60, 1)
# ISO 8601, as Batch's own API and Azure templates spell durations. Months and years have no fixed length.
_ISO_DURATION = re.compile(
    r"P(?:([0-9]+)W)?(?:([0-9]+)D)?(?:T(?:([0-9]+)H)?(?:([0-9]+)M)?(?:([0-9]+(?:\.[0-9]+)?)S)?)?", re.IGNORECASE
)
_ISO_UNITS = (7 * 24 * 3600, 24 * 3600, 3600, 60, 1)
# Common spellings: blanks, whole words, minutes without a unit after hours.
_LOOSE_DURATION = re.compile(
    r"(?:(\d+)\s*h(?:ours?|rs?)?)?\s*(?:(\d+)\s*m(?:in(?:ute)?s?)?)?\s*(?:(\d+)\s*s(?:ec(?:ond)?s?)?)?"
    r"|(\d+)\s*h(?:ours?|rs?)?\s*(\d+)",
    re.IGNORECASE | re.ASCII,
)
LONGEST = 30 * 24 * 3600
"""Seconds: the longest duration that an input may have."""
# A number with more digits is a typing error: no pool has so many nodes.
_SHARE = re.compile(r"([0-9]{1,9})(%?)")
_LOOSE_SHARE = re.compile(r"([0-9]{1,3})\s*(?:%|percent|per cent|pct)", re.IGNORECASE | re.ASCII)
# A date, perhaps with a time and a zone: blanks, missing zeros and other separators are common.
_LOOSE_MOMENT = re.compile(
    r"(\d{4})(?:([-/.])(\d{1,2})\2(\d{1,2})|(\d{2})(\d{2}))"
    r"(?:(?:\s*T\s*|\s+)(\d{1,2}):?(\d{2})(?::?(\d{2})(?:[.,]\d+)?)?\s*(Z|UTC|GMT|[+-]\d{1,2}(?::?\d{2})?)?)?",
    re.IGNORECASE | re.ASCII,
)
_OF_CONFIG = re.compile(r"(?<=\d)(?: 00:00:00 \+0000 UTC|( \d\d:\d\d:\d\d [+-]\d{4}) (?:UTC|[+-]\d{4}))$", re.ASCII)
"""The end of a time of Go, whose zone stands twice; midnight in UTC was a day."""
_ALL = 100
_MOST_NODES = 10**9
_LONGEST_SHOWN = 200
_DEEPEST = 3
_EXACT = 2**53
"""A larger float has lost digits, so its integer would show digits that the author did not write."""


@dataclass(frozen=True)
class Share:
    """A number of nodes or, with ``percent``, a percentage of nodes."""

    number: int
    percent: bool = False

    def of(self, nodes: int) -> int:
        """How many of ``nodes`` the share is, rounded down."""
        return nodes * self.number // _ALL if self.percent else self.number

    def rounded_up(self, nodes: int) -> int:
        """How many of ``nodes`` the share is, rounded up."""
        return -(-nodes * self.number // _ALL) if self.percent else self.number

    def __str__(self) -> str:
        return f"{self.number}%" if self.percent else str(self.number)


def parse_duration(value: object) -> float:
    """Read a duration in seconds from ``90s``, ``1h30m``, ``7200``, ``"7200"``, ISO 8601 (``PT2H``) or a ``timedelta``.

    Raises:
        ValueError: any other value, zero and negative ones included; the text gives the reason.
    """
    seconds = _seconds_of(value)
    if seconds is None or not math.isfinite(seconds):
        raise ValueError("is not a duration")
    if seconds <= 0:
        raise ValueError("is not more than zero")
    if seconds > LONGEST:
        raise ValueError("is longer than 720h")
    return seconds


def suggest_duration(value: object) -> str:
    """The spelling that the author probably meant; empty if there is no clear guess."""
    match = _LOOSE_DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        return ""
    guess = "".join(f"{number}{unit}" for number, unit in zip(match.groups(), "hmshm", strict=True) if number)
    try:
        parse_duration(guess)
    except ValueError:
        return ""
    return guess


def parse_share(value: object) -> Share:
    """Read a share of a pool's nodes from ``2``, ``"2"`` or ``"10%"``; ``"0%"`` is the same as ``0``.

    Raises:
        ValueError: any other value; the text gives the reason.
    """
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if not 0 <= value < _MOST_NODES or value != int(value):
            raise ValueError("is not a number of nodes")
        return Share(int(value))
    match = _SHARE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError("is neither a number of nodes nor a percentage")
    number, percent = int(match[1]), bool(match[2])
    if percent and number > _ALL:
        raise ValueError("is more than all nodes")
    return Share(number, percent and number > 0)


def suggest_share(value: object) -> str:
    """The spelling that the author probably meant; empty if there is no clear guess."""
    if isinstance(value, float) and 0 < value < 1:
        percent = round(value * _ALL, 6)
        return f'"{int(percent)}%"' if percent == int(percent) else ""
    match = _LOOSE_SHARE.fullmatch(value.strip()) if isinstance(value, str) else None
    return f'"{int(match[1])}%"' if match is not None and int(match[1]) <= _ALL else ""


def is_unquoted(value: object) -> bool:
    """Whether a text is what Pulumi makes of a day or a time without quotes in a stack's config."""
    return isinstance(value, str) and _OF_CONFIG.search(value.strip()) is not None


def suggest_moment(value: object) -> str:
    """The date or the UTC time that the author probably meant; empty if there is no clear guess.

    A day without quotes in a stack's config reaches the program as ``2026-11-24 00:00:00 +0000 UTC`` (Pulumi 3.259).
    """
    if isinstance(value, date):
        value = value.isoformat()
    if isinstance(value, str):
        value = _OF_CONFIG.sub(r"\1", value.strip())
    match = _LOOSE_MOMENT.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        return ""
    try:
        year, month, day = int(match[1]), int(match[3] or match[5]), int(match[4] or match[6])
        if match[7] is None:
            return date(year, month, day).isoformat()
        hour, minute, second = int(match[7]), int(match[8]), int(match[9] or 0)
        local = datetime(year, month, day, hour, minute, second, tzinfo=_zone(match[10] or ""))
        return f"{local.astimezone(UTC).replace(tzinfo=None).isoformat()}Z"
    except (ValueError, OverflowError):
        return ""


def _zone(text: str) -> timezone:
    """The zone of ``+01:00``, ``-0530`` or ``+2``; UTC for any other text. Raises ValueError beyond a day."""
    if not text.startswith(("+", "-")):
        return UTC
    digits = text[1:].replace(":", "")
    hours, minutes = (int(digits), 0) if len(digits) <= len("00") else (int(digits[:-2]), int(digits[-2:]))
    offset = timedelta(hours=hours, minutes=minutes)
    return timezone(offset if text.startswith("+") else -offset)


def plain_duration(value: timedelta) -> str | float:
    """A ``timedelta`` as Pulumi can store it: ``2h``, ``1h30m``; a number if it is not positive whole seconds."""
    seconds = value.total_seconds()
    if seconds <= 0 or not seconds.is_integer():
        return seconds
    numbers = (int(seconds) // 3600, int(seconds) % 3600 // 60, int(seconds) % 60)
    return "".join(f"{number}{unit}" for number, unit in zip(numbers, "hms", strict=True) if number)


def did_you_mean(guess: str | None) -> str:
    """The end of a reason that names the nearest allowed value; empty without a clear guess."""
    return f"; did you mean {guess}?" if guess else ""


def shown(value: object) -> str:
    """A value as a message shows it: with a bounded length and without a password.

    Pulumi turns every number into a float, so a whole float is shown as the integer of the program. Text before an
    ``@`` is left out, since it may be a password before a host.
    """
    return _shown(value, _DEEPEST)


def _shown(value: object, depth: int) -> str:
    if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT:
        return str(int(value))
    if isinstance(value, str) and "@" in value:
        value = "...@" + value.rpartition("@")[2]
    if type(value) in {list, tuple, dict} and not depth:
        return "..."
    if isinstance(value, list) and type(value) is list:
        text = f"[{', '.join(_shown(each, depth - 1) for each in value[:_LONGEST_SHOWN])}]"
    elif isinstance(value, tuple) and type(value) is tuple:
        text = f"({', '.join(_shown(each, depth - 1) for each in value[:_LONGEST_SHOWN])})"
    elif isinstance(value, dict) and type(value) is dict:
        some = list(value.items())[:_LONGEST_SHOWN]
        text = "{" + ", ".join(f"{_repr(key)}: {_shown(each, depth - 1)}" for key, each in some) + "}"
    else:
        text = _repr(value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}... ({counted(len(text), 'character')})"


def _repr(value: object) -> str:
    try:
        return repr(value)
    except Exception:  # noqa: BLE001 - the repr of any object may fail, and a message must not
        return f"a value of type {type(value).__name__}"


def _seconds_of(value: object) -> float | None:
    """Seconds without the limits of a timeout; None if the value is not a duration."""
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return _bounded(value) if isinstance(value, int) else value
    return _seconds_of_text(value.strip()) if isinstance(value, str) else None


def _seconds_of_text(text: str) -> float | None:
    if _NUMBER.fullmatch(text):
        return _bounded(float(text))
    for form, units in ((_DURATION, _UNITS), (_ISO_DURATION, _ISO_UNITS)):
        match = form.fullmatch(text)
        if match is not None and any(match.groups()):
            return _bounded(sum(float(number or 0) * unit for number, unit in zip(match.groups(), units, strict=True)))
    return None


def _bounded(seconds: float) -> float:
    """Limit the number, so that one with thousands of digits is too long like any other long duration."""
    return float(max(-1, min(seconds, 2 * LONGEST)))


def duration(seconds: float) -> str:
    """Seconds as text with at most two units: ``45s``, ``3m10s``, ``2h05m``; negative ones as ``0s``."""
    whole = max(0, round(seconds))
    minutes, rest = divmod(whole, 60)
    hours, minutes_rest = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes_rest:02d}m"
    return f"{minutes}m{rest:02d}s" if minutes else f"{rest}s"
