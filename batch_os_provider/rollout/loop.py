"""The one loop: look, follow, wait, until it is done or time is up.

Everything hard about a rollout is in when to do things. The loop is driven by
what the pool shows now, never by what an earlier run did, so that running it again is the
recovery from anything: ^C, a kill, a lost answer, a deadline. It knows neither Pulumi nor
azure; the clock and the voice are given to it.

Each kind of rollout is a subclass that says how to look, what follows from a look, and what is
true when it ends early. A permanent error ends it at once, failures in a row are counted, and
the last look falls on the deadline. How often Batch is asked is ``poll_schedule``'s business.
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
from batch_os_provider.rollout.poll_schedule import (
    FIRST_CONTACT_FAILURES,
    MAX_FAILURES,
    NOT_SHARED,
    PollSchedule,
    SharedPolling,
)
from batch_os_provider.rollout.progress import RETRYING, Reporter
from batch_os_provider.runtime.backoff import retry
from batch_os_provider.runtime.cancellation import Canceled, StopReason, Waiter
from batch_os_provider.schema.units import duration

__all__ = ["Outcome", "Rollout", "read"]

Seen = TypeVar("Seen")


@dataclass(frozen=True)
class Outcome(Generic[Seen]):
    """How a rollout ended: the last look, and whether the target is still to be reached."""

    pool: Seen
    deferred: bool = False


class Rollout(ABC, Generic[Seen]):
    """One run of the loop for one pool; a subclass is a kind of rollout.

    ``resumes`` is what a reader should do after an early end, as a sentence.

    Args:
        ref: the pool.
        target: the declared version.
        timeout: seconds, from now.
        waiter: clock, sleep and caller; ends everything on ^C.
        reporter: says what is seen.
        chance: a number from 0 to 1, for jitter.
        company: others that wait in the same account.
    """

    resumes: ClassVar[str]

    def __init__(  # noqa: PLR0913, PLR0917 - all that a loop needs from outside
        self,
        ref: PoolRef,
        target: str,
        timeout: float,
        waiter: Waiter,
        reporter: Reporter,
        chance: Callable[[], float] = random.random,
        company: SharedPolling = NOT_SHARED,
    ) -> None:
        self.ref = ref
        self.target = target
        self.waiter = waiter
        self.reporter = reporter
        self.pace = PollSchedule(chance)
        self.company = company
        self.started = waiter.now()
        self._timeout = timeout
        self._looked = False
        self._failed_looks = 0

    @abstractmethod
    def look(self) -> Seen:
        """Call Batch and return what is seen; runs inside ``waiter.call``."""

    @abstractmethod
    def follow(self, seen: Seen) -> Outcome[Seen] | float:
        """Decide and act on a look: the outcome, or seconds until the next look. Raises to refuse."""

    @abstractmethod
    def defer(self) -> Outcome[Seen] | None:
        """At the deadline: the outcome where the program wants it to be a success, or None."""

    @abstractmethod
    def tell(self) -> str:
        """Say what runs in Batch now, for an error that ends the rollout early."""

    @abstractmethod
    def tell_all(self) -> str:
        """The same, with how far it is."""

    @abstractmethod
    def has_acted(self) -> bool:
        """Whether something runs, or was written, that the next `up` will find."""

    @abstractmethod
    def way_back(self) -> str:
        """What to do instead of going on, as a sentence; empty where there is nothing to go back from."""

    def missed(self) -> str:
        """What is missing at the deadline, for the error's beginning."""
        return f"{self.target} was not reached"

    @abstractmethod
    def say(self, phase: str, why: str, detail: str = "") -> None:
        """Say a line of progress: ``why``, then ``detail``, which makes no new line by itself."""

    def run(self) -> Outcome[Seen]:
        """Reach the target.

        Returns:
            The outcome; ``deferred`` only where the goal allows it.

        Raises:
            RefusedError, PoolGoneError, DeadlineError, StalledError, UnhealthyError, InterruptedRolloutError,
            CredentialError, ServiceError: each says what was seen and what goes on in Batch.
        """
        try:
            return self._loop()
        except Canceled as stopped:
            raise self._interrupted(stopped.reason) from None
        except (DeadlineError, PoolGoneError, StalledError, UnhealthyError):
            raise
        except BatchOsError as error:
            if self.has_acted():
                error.add(f"this came after {self.elapsed()}; {self.tell()}")
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
            seen = self.waiter.call(self.look)
        except TransientError as error:
            self._failed_looks += 1
            limit = MAX_FAILURES if self._looked else FIRST_CONTACT_FAILURES
            self.give_up_after(self._failed_looks, limit, error)
            return self.retrying(error, self.pace.after_failed_read(self._failed_looks, error))
        self._looked, self._failed_looks = True, 0
        return self.follow(seen)

    def next_look(self) -> float:
        """Seconds until the next look: the one that serves all who wait, or one of its own."""
        shared = self.company.pause(self.ref)
        return self.pace.next_poll() if shared is None else shared

    def remaining(self) -> float:
        """Seconds until the deadline."""
        return self.started + self._timeout - self.waiter.now()

    def elapsed(self) -> str:
        """How long it has taken, in words."""
        return duration(self.waiter.now() - self.started)

    def retrying(self, error: ServiceError, pause: float) -> float:
        """Say that a call failed and when the next one comes."""
        self.say(RETRYING, str(error.reply).rstrip("."), f"trying again in {duration(pause)}")
        return pause

    def give_up_after(self, failures: int, limit: int, error: TransientError) -> None:
        """Raise the error when it has come too often."""
        if failures >= min(limit, error.tries):
            error.add(f"given up after {failures} tries in {self.elapsed()}")
            raise error

    def _deadline(self) -> Outcome[Seen]:
        deferred = self.defer()
        if deferred is not None:
            return deferred
        raise DeadlineError(
            f"{self.missed()} within the timeout of {duration(self._timeout)}; {self.tell_all()}",
            pool=self.ref.url,
            next_step=f"{self._next_step()}. To allow more time declare a longer timeout, "
            'or on_timeout="defer" to let this `up` succeed and plan the rest again',
        )

    def _interrupted(self, reason: StopReason) -> InterruptedRolloutError:
        return InterruptedRolloutError(
            f"{_why(reason)} after {self.elapsed()}; {self.tell()}", pool=self.ref.url, next_step=self._next_step()
        )

    def _next_step(self) -> str:
        back = self.way_back()
        return f"{self.resumes}. {back}" if back else self.resumes


def read(
    ref: PoolRef, look: Callable[[], Seen], waiter: Waiter, chance: Callable[[], float] = random.random
) -> Seen | None:
    """One look at a pool, for refresh: bounded tries; None when there is no such pool.

    Raises:
        InterruptedRolloutError, CredentialError, ServiceError: as ``Rollout.run``.
    """
    try:
        return retry(lambda: waiter.call(look), tries=FIRST_CONTACT_FAILURES, sleep=waiter.sleep, chance=chance)
    except PoolGoneError:
        return None
    except TransientError as error:
        error.add(f"given up after {FIRST_CONTACT_FAILURES} tries")
        raise
    except Canceled as stopped:
        raise InterruptedRolloutError(
            f"{_why(stopped.reason)} while the pool was read; nothing was written",
            pool=ref.url,
            next_step="Run the command again",
        ) from None


def _why(reason: StopReason) -> str:
    return "interrupted by ^C" if reason is StopReason.CANCELED else "the Pulumi engine is gone"
