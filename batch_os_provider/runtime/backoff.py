"""How long to pause after a failed call.

One rule for every caller: doubled each time, with jitter, never sooner than Retry-After.
"""

from __future__ import annotations

from batch_os_provider.errors import ServiceError

__all__ = ["BACKOFF_CAP", "BACKOFF_FIRST", "back_off"]


BACKOFF_FIRST, BACKOFF_CAP = 1.0, 30.0
"""Seconds before a failed call is repeated; doubled each time."""


_MOST_DOUBLINGS = 16
"""More than it takes to come from ``BACKOFF_FIRST`` to ``BACKOFF_CAP``."""


def back_off(failures: int, error: ServiceError, chance: float) -> float:
    """Seconds to wait after the n-th failure in a row: doubled each time, never sooner than Retry-After."""
    # A refusal may come for hours, until the deadline: no power that is too large for a float.
    doublings = min(failures - 1, _MOST_DOUBLINGS)
    pause = min(BACKOFF_CAP, BACKOFF_FIRST * 2.0**doublings) * (0.8 + 0.4 * chance)
    return max(pause, error.reply.retry_after or 0.0)
