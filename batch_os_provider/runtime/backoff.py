"""How long to pause after a failed call, and the loop that retries one.

One rule for the provider: the pause doubles each time, has jitter, and is never shorter than Retry-After.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from batch_os_provider.errors import ServiceError, TransientError

__all__ = ["BACKOFF_CAP", "BACKOFF_FIRST", "back_off", "retry"]

T = TypeVar("T")

BACKOFF_FIRST, BACKOFF_CAP = 1.0, 30.0
"""Seconds before the first retry, and the most seconds before any retry; doubled in between."""
_MOST_DOUBLINGS = 16
"""More doublings than lead from ``BACKOFF_FIRST`` to ``BACKOFF_CAP``."""


def back_off(failures: int, error: ServiceError, chance: float) -> float:
    """Seconds to wait after the n-th failure in a row: doubled each time, never less than Retry-After.

    Args:
        failures: n, from 1 on.
        error: the last failure.
        chance: a number from 0 to 1, for jitter.
    """
    # Calls may fail for hours, until the deadline: the exponent must stay small enough for a float.
    doublings = min(failures - 1, _MOST_DOUBLINGS)
    pause = min(BACKOFF_CAP, BACKOFF_FIRST * 2.0**doublings) * (0.8 + 0.4 * chance)
    return max(pause, error.reply.retry_after or 0.0)


def retry(
    call: Callable[[], T],
    *,
    tries: int,
    sleep: Callable[[float], None],
    chance: Callable[[], float] = lambda: 0.5,
    affords: Callable[[float], bool] = lambda _pause: True,
) -> T:
    """The result of a call that is repeated after a ``TransientError``.

    A rollout does not use it: between its tries it reads the pool and decides again.

    Args:
        call: the call.
        tries: how often the call is made at most; fewer if the error allows fewer (``TransientError.tries``).
        sleep: waits so many seconds.
        chance: a number from 0 to 1, for jitter.
        affords: whether the caller can wait so many seconds; if not, the last error is raised at once.

    Raises:
        TransientError: the last one. Other errors of the call are raised at once.
    """
    failures = 0
    while True:
        try:
            return call()
        except TransientError as error:
            failures += 1
            if failures >= error.tries_within(tries):
                raise
            pause = back_off(failures, error, chance())
            if not affords(pause):
                raise
        sleep(pause)
