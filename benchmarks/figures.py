"""Several values of one thing as a page shows them: the median, and from where to where they went.

A mean of three runs hides the one that was disturbed, and a number without its spread says nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

EMPTY = "-"
"""What stands for no number."""


@dataclass(frozen=True)
class Figure:
    """Repeats of one measurement."""

    values: tuple[float, ...]

    @classmethod
    def of(cls, values: Sequence[float]) -> Figure:
        """A figure of at least one value.

        Raises:
            ValueError: without a value.
        """
        if not values:
            raise ValueError("no value was measured")
        return cls(tuple(values))

    @property
    def median(self) -> float:
        """The one in the middle; of an even number the mean of the two."""
        return float(median(self.values))

    def text(self, unit: str = "", digits: int = 1) -> str:
        """``61.2 s (60.9 to 61.8)``; the spread only where there are repeats."""
        if math.isnan(self.median):
            return EMPTY
        shown = f"{self.median:,.{digits}f}{unit}"
        least, most = (f"{each:,.{digits}f}" for each in (min(self.values), max(self.values)))
        return shown if len(self.values) == 1 else f"{shown} ({least} to {most})"


def figure(runs: Sequence[dict[str, Any]], value: Callable[[dict[str, Any]], float]) -> Figure:
    """The figure of one value of each run; what is not a number was not seen in that run, and is left out."""
    values = [value(run) for run in runs]
    return Figure.of([each for each in values if not math.isnan(each)] or values[:1])


def ratio(of: Figure, to: Figure) -> float:
    """A median to another."""
    return of.median / to.median
