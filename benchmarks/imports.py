"""What ``-X importtime`` wrote, and what one start imports that another does not: pure.

Where a plugin starts late, this is the profile that says why.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

SHOWN = 8
"""Packages of a profile."""


def import_times(stderr: str) -> dict[str, float]:
    """Module -> milliseconds that it took itself, from what ``-X importtime`` wrote."""
    taken = {}
    for line in stderr.splitlines():
        head, _, rest = line.partition("import time:")
        own, *_, module = (part.strip() for part in rest.split("|")) if rest else ("", "")
        if not head and own.isdigit():
            taken[module] = int(own) / 1000
    return taken


def extra(one: Mapping[str, float], other: Mapping[str, float]) -> list[list[Any]]:
    """The packages of the modules that only one of two starts imports, with their milliseconds, the slowest first."""
    packages: dict[str, float] = defaultdict(float)
    for module, milliseconds in one.items():
        if module not in other:
            packages[module.partition(".")[0]] += milliseconds
    slowest = sorted(packages.items(), key=lambda item: -item[1])
    return [[package, round(milliseconds, 1)] for package, milliseconds in slowest[:SHOWN]]
