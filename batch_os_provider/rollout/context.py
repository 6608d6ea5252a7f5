"""What a rollout gets from outside: Batch, a clock, a reporter, jitter, and the polling that it shares.

Both kinds of rollout need the same things, and a test replaces all of them: one value carries them.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from batch_os_provider.rollout.poll_schedule import NOT_SHARED, SharedPolling
from batch_os_provider.rollout.progress import Reporter
from batch_os_provider.runtime.cancellation import Waiter

__all__ = ["RolloutContext"]

Service_co = TypeVar("Service_co", covariant=True)


@dataclass(frozen=True)
class RolloutContext(Generic[Service_co]):
    """Everything that a rollout uses and does not make itself.

    Args:
        service: Batch, as the protocols of ``batch/service`` describe it.
        waiter: clock, sleep and calls; a cancellation ends each of them.
        reporter: writes the lines of progress.
        chance: returns a number from 0 to 1, for jitter.
        polling: the polling that this rollout shares with other rollouts in its account.
    """

    service: Service_co
    waiter: Waiter
    reporter: Reporter
    chance: Callable[[], float] = random.random
    polling: SharedPolling = NOT_SHARED
