"""Waits that can be canceled: the only clock and the only sleep of a rollout.

A rollout waits for hours inside one call of the Pulumi engine. It must end within seconds of ^C, and it must stop when
the engine has died. Tests must simulate hours in milliseconds. So the loop sleeps and calls Batch only through a
``Waiter``.
"""

from __future__ import annotations

import enum
import threading
import time
from concurrent import futures
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, TypeVar

from batch_os_provider.errors import ServiceAnswer, TransientError
from batch_os_provider.runtime.threads import beside

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Canceled", "CancellationToken", "RealWaiter", "StopReason", "Waiter"]

T = TypeVar("T")


WRITE_GRACE = 2.0
"""Seconds that a running write may still take after a stop, so that the error can report its result."""
LONGEST_CALL = 300.0
"""Seconds after which a call is abandoned. The transport bounds each silence; this bounds an answer that never ends.
The number is large because a list of many pages is one call."""


class StopReason(enum.Enum):
    """Why everything must end."""

    CANCELED = "canceled"
    """The user pressed ^C (the engine called ``Cancel``)."""
    ENGINE_GONE = "engine gone"
    """The Pulumi engine no longer answers, so no result would be saved."""


class Canceled(Exception):  # noqa: N818 - a signal between modules that never reaches a user, not an error
    """Raised out of a wait or a call when the token was set; ``in_call``: the call had begun."""

    def __init__(self, reason: StopReason, *, in_call: bool = False) -> None:
        self.reason = reason
        self.in_call = in_call
        super().__init__(reason.value)


class CancellationToken:
    """Ends every wait of the process when it is set."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._reason: StopReason | None = None
        self._lock = threading.Lock()
        self._listeners: set[threading.Event] = set()

    @property
    def reason(self) -> StopReason | None:
        """Why to stop; None if not canceled."""
        return self._reason

    def set(self, reason: StopReason) -> None:
        """End all waits. ENGINE_GONE replaces CANCELED, because then not even a last call may be made."""
        with self._lock:
            if self._reason is None or reason is StopReason.ENGINE_GONE:
                self._reason = reason
            self._event.set()
            for listener in self._listeners:
                listener.set()

    @contextmanager
    def also_setting(self, listener: threading.Event) -> Iterator[None]:
        """Inside this context a stop sets ``listener`` too: for a wait that has two reasons to end."""
        with self._lock:
            self._listeners.add(listener)
            if self._event.is_set():
                listener.set()
        try:
            yield
        finally:
            with self._lock:
                self._listeners.discard(listener)

    def wait(self, seconds: float) -> bool:
        """Block for ``seconds`` or until set; True when set."""
        return self._event.wait(seconds)


class Waiter(Protocol):
    """The clock, sleep and caller that a rollout is given."""

    def now(self) -> float:
        """Seconds on a clock that never jumps."""

    def sleep(self, seconds: float) -> None:
        """Sleep. Raises ``Canceled``."""

    def call(self, function: Callable[[], T], *, write: bool = False) -> T:
        """Call Batch. Raises ``Canceled`` before the call or during it; a running write first gets ``WRITE_GRACE``.

        A call that takes too long raises ``TransientError``.
        """


class RealWaiter:
    """Monotonic time and the cancellation token of the process.

    Args:
        token: ends every wait.
        longest: seconds that a call may take.
    """

    def __init__(self, token: CancellationToken, longest: float = LONGEST_CALL) -> None:
        self._token = token
        self._longest = longest

    def now(self) -> float:
        """Seconds of the monotonic clock."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Sleep until the time is up or the token is set."""
        if self._token.wait(max(0.0, seconds)):
            self._raise_if_stopped()

    def call(self, function: Callable[[], T], *, write: bool = False) -> T:
        """Run ``function`` in a thread of its own, so that a silent server cannot hold up ^C.

        A read is abandoned after a stop, or when it takes too long: its thread ends later, and its result is not used.

        Raises:
            Canceled: by the token.
            TransientError: the call took too long; a write may have happened.
        """
        self._raise_if_stopped()
        wake = threading.Event()
        with self._token.also_setting(wake):
            call = beside(function, "batch-os-call")
            call.add_done_callback(lambda _: wake.set())
            wake.wait(self._longest)
        if write:
            futures.wait([call], WRITE_GRACE)
        if not call.done():
            self._raise_if_stopped(in_call=True)
            raise TransientError(
                ServiceAnswer(message=f"the answer did not end within {self._longest:g} s"),
                doing="calling Batch",
                next_step="Check the proxies between this machine and Batch, then run the command again",
            )
        return call.result()

    def _raise_if_stopped(self, *, in_call: bool = False) -> None:
        if self._token.reason is not None:
            raise Canceled(self._token.reason, in_call=in_call)
