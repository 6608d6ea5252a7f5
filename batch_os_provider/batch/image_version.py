"""The grammar of an exact image version: numbers with dots, as Azure spells them.

Nodes, pins and programs all have such versions, and each is compared by its numbers. So the grammar stands below the
values that are read from Batch.
"""

from __future__ import annotations

import re

__all__ = ["LARGEST_PART", "Version", "parse_image_version"]

_DIGITS = re.compile(r"[0-9]{1,10}(\.[0-9]{1,10}){1,4}")
LARGEST_PART = 2**32 - 1
"""The largest part of an image version: Azure stores each part as an unsigned 32-bit number."""

Version = tuple[int, ...]


def parse_image_version(text: object) -> Version | None:
    """An exact image version such as ``20348.2461.240510`` as numbers; None for anything else, ``latest`` included."""
    if not isinstance(text, str) or not _DIGITS.fullmatch(text):
        return None
    numbers = tuple(int(part) for part in text.split("."))
    return numbers if max(numbers) <= LARGEST_PART else None
