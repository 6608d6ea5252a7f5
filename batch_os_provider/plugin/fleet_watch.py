"""Knows the fleets that the engine waits for in this process, and which resources have failed here.

When a run fails, the engine does not say why, and answers no fleet. It calls ``Cancel`` and then closes the connection,
and a person reads `grpc: the client connection is closing` for each fleet under way. So ``Cancel`` waits until all
fleets have answered, and a fleet names its own resources that have failed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection
from typing import Any

__all__ = ["FleetWatch", "name_in"]

LONGEST = 3.0
"""Seconds that ``Cancel`` waits for the fleets, which take milliseconds. The engine waits 5 s for ``Cancel``."""


def name_in(urn: str) -> str:
    """The name of a resource, which may contain the separator of its URN."""
    return urn.split("::", 3)[3]


class FleetWatch:
    """The fleets and the failures of one process, which serves one run of the engine."""

    def __init__(self) -> None:
        self._unanswered: set[threading.Event] = set()
        self._failed: set[str] = set()

    def begin(self, context: Any) -> None:
        """A fleet begins; ``context`` is that of its call, which ends when the engine gets the answer."""
        answered = threading.Event()
        self._unanswered.add(answered)

        def end() -> None:
            self._unanswered.discard(answered)
            answered.set()

        if not context.add_callback(end):
            end()

    def wait(self, longest: float = LONGEST) -> bool:
        """Block until all fleets have answered, for ``longest`` seconds. Returns whether they have."""
        until = time.monotonic() + longest
        return all(each.wait(max(0.0, until - time.monotonic())) for each in list(self._unanswered))

    def ended(self, urn: str, *, failed: bool) -> None:
        """A resource has ended. A hook of the program may have repeated it."""
        (self._failed.add if failed else self._failed.discard)(urn)

    def failed(self, urns: Collection[str]) -> list[str]:
        """The names of those of these resources that have failed, in this order."""
        return [name_in(urn) for urn in urns if urn in self._failed]
