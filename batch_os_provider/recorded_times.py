"""How long Batch takes, as public recordings of the service show it, in seconds.

No document promises a duration, but a preview must say whether a renewal can end in time. So the recorded ranges are
here, in one place, for the estimate of the preview and for the defaults of the simulator.

Source: timestamps in ten public recordings of VM pools from 2021 to 2026, with one to four small nodes (A1 v2, D1 v2,
D2s v3); docs/vm-pools.md has the table. Other sizes, regions and images may take longer.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ALLOCATION", "LINUX_START", "REMOVAL", "WINDOWS_START", "Times", "round_of"]


@dataclass(frozen=True)
class Times:
    """The shortest and the longest recorded time."""

    least: float
    most: float

    def __add__(self, other: Times) -> Times:
        return Times(self.least + other.least, self.most + other.most)


ALLOCATION = Times(27, 57)
"""From a resize to the steady pool with its new nodes, which come all at once."""
LINUX_START = Times(16, 49)
"""From the allocation of a Linux node to idle, a short start task included."""
WINDOWS_START = Times(77, 448)
"""The same of a Windows node."""
REMOVAL = Times(36, 41)
"""From removenodes to the steady pool, for a node without tasks."""


def round_of(*, windows: bool) -> Times:
    """One round of a renewal without tasks: nodes are allocated, start, and others leave."""
    return ALLOCATION + (WINDOWS_START if windows else LINUX_START) + REMOVAL
