"""Knows that the resources of a fleet's wave have ended in this process, before the engine knows it.

When a resource has failed, the engine closes its connections, also that of the fleet's ``Construct``. A person would
then read `grpc: the client connection is closing` in place of what happened. So the fleet answers first: when every
resource of the wave has ended and one has failed, the call of the last resource waits until the fleet has answered.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["Wave", "WaveWatch"]

LONGEST = 1.0
"""Seconds that an answer waits for that of its fleet, which takes milliseconds."""


class Wave:
    """The resources of one wave, by URN, with the calls that register them. ``changed`` is set when one has ended."""

    def __init__(self, urns: Collection[str], answered: threading.Event) -> None:
        self.changed = threading.Event()
        self.answered = answered
        self.calls: dict[str, Any] = {}
        self._urns = urns
        self._failed: dict[str, bool] = {}

    def end(self, urn: str, *, failed: bool) -> None:
        """A resource has ended here."""
        self._failed[urn] = failed
        self.changed.set()

    @property
    def failed(self) -> list[str]:
        """The names of resources that have failed, if no other resource of the wave is under way; else empty."""
        is_over = all(urn in self._failed or (urn in self.calls and self.calls[urn].done()) for urn in self._urns)
        return [urn.rpartition("::")[2] for urn, failed in list(self._failed.items()) if failed] if is_over else []


class WaveWatch:
    """The waves of this process that are under way."""

    def __init__(self) -> None:
        self._waves: dict[str, Wave] = {}

    @contextmanager
    def over(self, urns: Collection[str], answered: threading.Event) -> Iterator[Wave]:
        """Watch a wave, from before its first call; ``answered`` is set when its fleet has answered the engine."""
        wave = Wave(urns, answered)
        self._waves.update(dict.fromkeys(urns, wave))
        try:
            yield wave
        finally:
            for urn in urns:
                self._waves.pop(urn, None)

    def ended(self, urn: str, *, failed: bool) -> None:
        """A resource has ended. Blocks for a moment if its fleet has to answer first."""
        wave = self._waves.get(urn)
        if wave is None:
            return
        wave.end(urn, failed=failed)
        if wave.failed:
            wave.answered.wait(LONGEST)
