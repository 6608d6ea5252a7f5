"""How long a rollout will probably take, for the row of a preview.

Batch promises no durations, so the estimate comes from the longest recorded times (``recorded_times``), without the
time of the tasks. It serves two lines: a comparison with ``timeout``, and how long a held formula is off.
"""

from __future__ import annotations

from math import ceil

from batch_os_provider.batch.vm_pool import VmPool
from batch_os_provider.batch.wanted_image import is_windows
from batch_os_provider.recorded_times import round_of
from batch_os_provider.schema.units import duration

__all__ = ["about", "held_for", "round_seconds"]

_MINUTE = 60


def round_seconds(pool: VmPool) -> float:
    """Seconds in which nodes leave and new ones start, whatever their number."""
    return round_of(windows=is_windows(pool.agent)).most


def held_for(seconds: float, tasks: int) -> str:
    """How long a pool does not scale, in words."""
    return f"formula held for about {about(seconds)}" + (" and the time of the tasks" if tasks else "")


def about(seconds: float) -> str:
    """Seconds as text in whole minutes, rounded up: ``9m``, ``3h02m``."""
    text = duration(ceil(seconds / _MINUTE) * _MINUTE)
    return text.removesuffix("00s") or text
