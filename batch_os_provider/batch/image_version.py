"""The grammar of an exact image version: numbers with dots, as Azure spells them.

Nodes, pins and programs all have such versions, and each is compared by its numbers. So the grammar stands below the
values that are read from Batch.
"""

from __future__ import annotations

import re
from datetime import date

__all__ = ["LARGEST_PART", "Version", "made_on", "parse_image_version"]

_DIGITS = re.compile(r"[0-9]{1,10}(\.[0-9]{1,10}){1,4}")
LARGEST_PART = 2**32 - 1
"""The largest part of an image version: Azure stores each part as an unsigned 32-bit number."""

_DAY = re.compile(r"(?P<year>20[0-9]{2})(?P<month>[0-9]{2})(?P<day>[0-9]{2})[0-9]{0,2}")
_SHORT_DAY = re.compile(r"(?P<year>[0-9]{2})(?P<month>[0-9]{2})(?P<day>[0-9]{2})([0-9]{4})?")
_FIRST_YEAR = 2015
"""No image of Azure Batch is older. So 2012312359 is the last minute of 2020, and not a day of 2012."""

Version = tuple[int, ...]


def parse_image_version(text: object) -> Version | None:
    """An exact image version such as ``20348.2461.240510`` as numbers; None for anything else, ``latest`` included."""
    if not isinstance(text, str) or not _DIGITS.fullmatch(text):
        return None
    numbers = tuple(int(part) for part in text.split("."))
    return numbers if max(numbers) <= LARGEST_PART else None


def made_on(text: str) -> str:
    """The day on which a marketplace image was made, such as ``2026-09-04``; empty if its version does not show one.

    Publishers end a version with the day: ``202609040`` and ``2026082801`` (Canonical, Ubuntu HPC, RHEL, AlmaLinux),
    ``240510`` and ``2111130129`` (Windows Server). This is their habit, and no rule of Azure. An image is published
    some days after it was made.
    """
    last = text.rpartition(".")[2]
    for pattern, century in ((_DAY, 0), (_SHORT_DAY, 2000)):
        match = pattern.fullmatch(last)
        if match is None:
            continue
        try:
            day = date(century + int(match["year"]), int(match["month"]), int(match["day"]))
        except ValueError:
            continue
        if day.year >= _FIRST_YEAR:
            return day.isoformat()
    return ""
