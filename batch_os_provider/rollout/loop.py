"""The one loop: read the pool, act, wait, until the target is reached or the time is up.

The loop follows the pool as Batch shows it now, never the memory of an earlier run. So another run recovers from
everything: ^C, a kill, a lost answer, a deadline. The loop imports neither Pulumi nor azure; ``context`` carries the
clock and the output.

Each kind of rollout is a subclass. It defines how to read the pool, how to act on it, and what an error reports when
the rollout ends early. A permanent error ends the rollout at once, failures in a row are counted, and the last read
falls on the deadline. ``poll_schedule`` decides how often a rollout calls Batch.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

from batch_os_provider.batch.address import PoolRef
from batch_os_provider.errors import (
    BatchOsError,
    CredentialError,
    DeadlineError,
    InterruptedRolloutError,
    PoolGoneError,
    ServiceError,
    StalledError,
    TokenError,
    TransientError,
    UnhealthyError,
)
from batch_os_provider.rollout.context import RolloutContext
from batch_os_provider.rollout.poll_schedule import FIRST_CONTACT_FAILURES, MAX_FAILURES, PollSchedule
from batch_os_provider.rollout.progress import RETRYING
from batch_os_provider.runtime.backoff import retry
from batch_os_provider.runtime.cancellation import Canceled, StopReason, Waiter
from batch_os_provider.schema.units import duration
from batch_os_provider.wording import counted

__all__ = ["Outcome", "Rollout", "read"]

Seen = TypeVar("Seen")


@dataclass(frozen=True)
class Outcome(Generic[Seen]):
    """How a rollout ended: the last view of the pool, and whether reaching the target was deferred."""

    pool: Seen
    deferred: bool = False


class Rollout(ABC, Generic[Seen]):
    """One run of the loop for one pool; a subclass is a kind of rollout.

    ``resumes`` is the next step after an early end, as a sentence.

    Args:
        ref: the pool.
        target: the declared version.
        timeout: seconds, from now.
        context: what the rollout gets from outside.
    """

    resumes: ClassVar[str]

    def __init__(self, ref: PoolRef, target: str, timeout: float, context: RolloutContext[object]) -> None:
        self.ref = ref
        self.target = target
        self.waiter = context.waiter
        self.reporter = context.reporter
        self.polling = context.polling
        self.schedule = PollSchedule(context.chance)
        self.started = self.waiter.now()
        self._timeout = timeout
        self._has_read = False
        self._failed_reads = 0

    @abstractmethod
    def observe(self) -> Seen:
        """Read the pool from Batch; runs inside ``waiter.call``."""

    @abstractmethod
    def follow(self, seen: Seen) -> Outcome[Seen] | float:
        """Decide and act: return the outcome, or the seconds until the next read. Raises to refuse."""

    @abstractmethod
    def defer(self) -> Outcome[Seen] | None:
        """At the deadline: the outcome if the program declares it as a success, else None."""

    @abstractmethod
    def describe(self) -> str:
        """What runs in Batch now, in words, for an error that ends the rollout early."""

    @abstractmethod
    def describe_all(self) -> str:
        """The same as ``describe``, with the progress so far."""

    @abstractmethod
    def has_acted(self) -> bool:
        """Whether the next `up` will find a write of this rollout or an unfinished change."""

    @abstractmethod
    def way_back(self) -> str:
        """How to go back, as a sentence; empty if this is not possible or not needed."""

    def missed(self) -> str:
        """What was not reached at the deadline, for the start of the error."""
        return f"{self.target} was not reached"

    @abstractmethod
    def say(self, phase: str, why: str, detail: str = "") -> None:
        """Write a line of progress: ``why``, then ``detail``. A new ``detail`` alone does not cause a line."""

    def run(self) -> Outcome[Seen]:
        """Reach the target.

        Returns:
            The outcome; ``deferred`` only if the program declares it.

        Raises:
            RefusedError, PoolGoneError, DeadlineError, StalledError, UnhealthyError, InterruptedRolloutError,
            CredentialError, ServiceError: each reports the reason and what runs in Batch.
        """
        try:
            return self._loop()
        except Canceled as stopped:
            raise self._interrupted(stopped.reason) from None
        except (DeadlineError, PoolGoneError, StalledError, UnhealthyError):
            raise
        except BatchOsError as error:
            if self.has_acted():
                error.add(f"this came after {self.elapsed()}; {self.describe()}")
                if isinstance(error, CredentialError | TokenError):
                    error.next_step = f"{error.next_step}. {self.resumes}"
            raise

    def _loop(self) -> Outcome[Seen]:
        while True:
            pause = self._step()
            if isinstance(pause, Outcome):
                return pause
            remaining = self.remaining()
            if remaining <= 0:
                return self._deadline()
            self.waiter.sleep(min(pause, remaining))

    def _step(self) -> Outcome[Seen] | float:
        try:
            seen = self.waiter.call(self.observe)
        except TransientError as error:
            self._failed_reads += 1
            limit = MAX_FAILURES if self._has_read else FIRST_CONTACT_FAILURES
            self.give_up_after(self._failed_reads, limit, error)
            return self.retrying(error, self.schedule.after_failed_read(self._failed_reads, error))
        self._has_read, self._failed_reads = True, 0
        return self.follow(seen)

    def next_read(self) -> float:
        """Seconds until the next read: the shared list, or a read of this pool alone."""
        shared = self.polling.pause(self.ref)
        return self.schedule.next_poll() if shared is None else shared

    def remaining(self) -> float:
        """Seconds until the deadline."""
        return self.started + self._timeout - self.waiter.now()

    def elapsed(self) -> str:
        """The time since the start, in words."""
        return duration(self.waiter.now() - self.started)

    def retrying(self, error: ServiceError, pause: float) -> float:
        """Report that a call failed and when the next call comes; return that pause."""
        self.say(RETRYING, str(error.reply).rstrip("."), f"trying again in {duration(pause)}")
        return pause

    def give_up_after(self, failures: int, limit: int, error: TransientError) -> None:
        """Raise the error after too many failures."""
        if failures >= error.tries_within(limit):
            error.add(f"given up after {counted(failures, 'try', 'tries')} in {self.elapsed()}")
            raise error

    def _deadline(self) -> Outcome[Seen]:
        deferred = self.defer()
        if deferred is not None:
            return deferred
        raise DeadlineError(
            f"{self.missed()} within the timeout of {duration(self._timeout)}; {self.describe_all()}",
            pool=self.ref.url,
            next_step=f"{self._next_step()}. To allow more time declare a longer timeout, "
            'or on_timeout="defer" to let this `up` succeed and plan the rest again',
        )

    def _interrupted(self, reason: StopReason) -> InterruptedRolloutError:
        return InterruptedRolloutError(
            f"{_why(reason)} after {self.elapsed()}; {self.describe()}", pool=self.ref.url, next_step=self._next_step()
        )

    def _next_step(self) -> str:
        back = self.way_back()
        return f"{self.resumes}. {back}" if back else self.resumes


def read(
    ref: PoolRef, look: Callable[[], Seen], waiter: Waiter, chance: Callable[[], float] = random.random
) -> Seen | None:
    """Read a pool once, for a refresh, with a bounded number of tries; None if the pool does not exist.

    Raises:
        InterruptedRolloutError, CredentialError, ServiceError: as ``Rollout.run``.
    """
    try:
        return retry(lambda: waiter.call(look), tries=FIRST_CONTACT_FAILURES, sleep=waiter.sleep, chance=chance)
    except PoolGoneError:
        return None
    except TransientError as error:
        error.add(f"given up after {counted(error.tries_within(FIRST_CONTACT_FAILURES), 'try', 'tries')}")
        raise
    except Canceled as stopped:
        raise InterruptedRolloutError(
            f"{_why(stopped.reason)} while the pool was read; nothing was written",
            pool=ref.url,
            next_step="Run the command again",
        ) from None


def _why(reason: StopReason) -> str:
    return "interrupted by ^C" if reason is StopReason.CANCELED else "the Pulumi engine is gone"
