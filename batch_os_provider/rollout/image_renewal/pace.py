"""When a renewal reads the pool again: it learns from its first round how long a step of each kind takes.

A renewal of many rounds waits for the same steps again and again: an allocation with its start, and a removal. With
the usual pauses the end of each is seen up to ten seconds late, so a tenth of a short round is lost. With the time that
the last step of the kind took, the pool is read rarely before that time and often around it: fewer calls, and less is
lost.
"""

from __future__ import annotations

from batch_os_provider.rollout.poll_schedule import POLL_CAP

__all__ = ["Pace"]

_LEAST = 1.0
"""Seconds: the shortest pause around an expected end."""
_OFTEN = 0.02
"""The pause around the expected end, as a share of the time that the step takes."""
_MARGIN = 0.06
"""How much earlier or later than expected the end may come, as a share of the same time."""
_UNKNOWN, _FIRST = 0.1, 3.0
"""The longest pause if the time is not known: a share of the time that the step has taken so far, at least 3 s."""


class Pace:
    """The steps of one run: what each kind has taken, and the one under way. Times are seconds on one clock."""

    def __init__(self) -> None:
        self._took: dict[str, float] = {}
        self._step = ""
        self._since = 0.0

    def begin(self, step: str, now: float) -> None:
        """A step of this kind begins, and the one before has ended; an empty kind is none that is waited for."""
        if self._step:
            self._took[self._step] = now - self._since
        self._step, self._since = step, now

    def pause(self, now: float, usual: float) -> float:
        """Seconds until the next read, given the usual pause."""
        if not self._step:
            return usual
        elapsed, takes = now - self._since, self._took.get(self._step)
        if takes is None or elapsed > takes * (1 + _MARGIN) + _LEAST:
            return min(usual, max(_FIRST, elapsed * _UNKNOWN))
        often = max(_LEAST, takes * _OFTEN)
        before = takes * (1 - _MARGIN) - elapsed
        return min(POLL_CAP, max(often, before))
