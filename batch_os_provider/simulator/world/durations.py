"""How long things take: the lifecycles as data.

Durations are the least known part of the service, so they stand in one table where they can be
read, doubted and changed. One number is recorded: three small nodes took about 96 s in all to upgrade
(2016-04-05). With one node of three out at a time that is at most 32 s for each: 22 s of reimaging and 8 s of
starting, with up to a tenth more by node. All other numbers are assumptions of a plausible order of size.

Jitter is not chance: it follows from the ids, so that a run can be repeated and a state file continued.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from zlib import crc32

from batch_os_provider.simulator.world.clock import seconds


@dataclass(frozen=True)
class Transition:
    """A node state that ends by itself: what follows, after how many seconds, and whether the machine boots then."""

    after: float
    then: str
    boots: bool = False


TRANSITIONS: Final = {
    "creating": Transition(40, "starting", boots=True),
    "rebooting": Transition(22, "starting", boots=True),
    "reimaging": Transition(22, "starting", boots=True),
    "upgradingos": Transition(22, "starting", boots=True),
    "starting": Transition(8, "waitingforstarttask"),
    "waitingforstarttask": Transition(6, "ready"),
    "leavingpool": Transition(15, "gone"),
}
"""Node state -> stage. ``waitingforstarttask`` is skipped without a start task to wait for; ``ready`` is idle
(offline where scheduling is disabled)."""

JITTER: Final = 0.06
"""A stage takes up to this part longer, by node (22 + 8 s and 6 % is below the 32 s of the recording)."""

UPGRADE_SHARE: Final = 0.2
"""The part of a pool's nodes that an upgrade takes out at a time (at least one node)."""

FIRST_NODES_DELAY: Final = 30.0
"""Seconds from a resize to its first new node."""
RESIZE_STEP: Final = 5.0
"""Seconds between two helpings of new nodes, and between two looks at nodes that leave."""
RESIZE_SHARE: Final = 0.25
"""The part of the missing nodes in one helping."""
STOP_RESIZE_DURATION: Final = 10.0
"""Seconds in allocation state ``stopping``."""
DELETE_DURATION: Final = 20.0
"""Seconds in pool state ``deleting`` (job: a quarter of it)."""
DEFAULT_TASK_DURATION: Final = 60.0
"""Seconds a task runs when its command line does not say (``sleep 30``, ``timeout /t 30``, ``Start-Sleep 30``)."""
RESIZE_TIMEOUT: Final = 900.0
"""Seconds: the default resizeTimeout of the service (PT15M)."""
ENABLE_AUTOSCALE_PAUSE: Final = 30.0
"""Seconds between two enableautoscale (documented)."""
RESIZE_TIMEOUT_MINIMUM: Final = 300.0
"""Seconds: a smaller resizeTimeout is refused."""


def state_duration(state: str, name: str) -> int:
    """How long this node stays in this state, in ticks."""
    share = crc32(f"{name}/{state}".encode()) / 0xFFFF_FFFF
    return seconds(TRANSITIONS[state].after * (1 + JITTER * share))
