"""How a program spells amounts: durations, and shares of a pool's nodes.

Why it exists: people write ``1h30m``, ``7200`` and ``10%``, configuration makes texts of numbers, and Pulumi makes
floats of them. One room reads them all, says why it cannot, and knows what was most likely meant.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

__all__ = [
    "DURATION_FORM",
    "SHARE_FORM",
    "Share",
    "parse_duration",
    "parse_share",
    "suggest_duration",
    "suggest_share",
]

DURATION_FORM = "seconds, or hours, minutes and seconds such as 90s, 45m, 1h30m or 7200; more than 0, at most 720h"
SHARE_FORM = 'a whole number of nodes from 0 on, or a whole percentage of the pool\'s nodes from "0%" to "100%"'

_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")
_DURATION = re.compile(r"(?:([0-9]+)h)?(?:([0-9]+)m)?(?:([0-9]+)s)?", re.IGNORECASE)
_UNITS = (3600, 60, 1)
# What people type: blanks, whole words, minutes after hours without their unit.
_LOOSE_DURATION = re.compile(
    r"(?:(\d+)\s*h(?:ours?|rs?)?)?\s*(?:(\d+)\s*m(?:in(?:ute)?s?)?)?\s*(?:(\d+)\s*s(?:ec(?:ond)?s?)?)?"
    r"|(\d+)\s*h(?:ours?|rs?)?\s*(\d+)",
    re.IGNORECASE | re.ASCII,
)
_LONGEST = 30 * 24 * 3600
# More digits than any pool has nodes are a slip of the hand.
_SHARE = re.compile(r"([0-9]{1,9})(%?)")
_LOOSE_SHARE = re.compile(r"([0-9]{1,3})\s*(?:%|percent|per cent|pct)", re.IGNORECASE | re.ASCII)
_ALL = 100
_MOST_NODES = 10**9


@dataclass(frozen=True)
class Share:
    """So many nodes, or, with ``percent``, so many of each hundred."""

    number: int
    percent: bool = False

    def of(self, nodes: int) -> int:
        """How many nodes of so many that is, rounded down."""
        return nodes * self.number // _ALL if self.percent else self.number

    def __str__(self) -> str:
        return f"{self.number}%" if self.percent else str(self.number)


def parse_duration(value: object) -> float:
    """Seconds, from ``90s``, ``1h30m``, ``7200`` or ``"7200"``.

    Raises:
        ValueError: anything else, zero and negatives included; the text says why.
    """
    seconds = _seconds_of(value)
    if seconds is None or not math.isfinite(seconds):
        raise ValueError("is not a duration")
    if seconds <= 0:
        raise ValueError("is not more than zero")
    if seconds > _LONGEST:
        raise ValueError("is longer than 720h")
    return seconds


def suggest_duration(value: object) -> str:
    """Spell what was most likely meant; empty where there is no honest guess."""
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
    """A share of a pool's nodes, from ``2``, ``"2"`` or ``"10%"``; ``"0%"`` is the same as ``0``.

    Raises:
        ValueError: anything else; the text says why.
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
    """Spell what was most likely meant; empty where there is no honest guess."""
    if isinstance(value, float) and 0 < value < 1:
        percent = round(value * _ALL, 6)
        return f'"{int(percent)}%"' if percent == int(percent) else ""
    match = _LOOSE_SHARE.fullmatch(value.strip()) if isinstance(value, str) else None
    return f'"{int(match[1])}%"' if match is not None and int(match[1]) <= _ALL else ""


def _seconds_of(value: object) -> float | None:
    """Seconds, unbounded; None where it is no duration at all."""
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, float)):
        return _bounded(value) if isinstance(value, int) else value
    if not isinstance(value, str):
        return None
    text = value.strip()
    if _NUMBER.fullmatch(text):
        return _bounded(float(text))
    match = _DURATION.fullmatch(text)
    if match is None or not any(match.groups()):
        return None
    return _bounded(sum(float(number or 0) * unit for number, unit in zip(match.groups(), _UNITS, strict=True)))


def _bounded(seconds: float) -> float:
    """Thousands of digits are too long like any other long time, not an error of their own."""
    return float(max(-1, min(seconds, 2 * _LONGEST)))
