"""The durations of node states and of operations.

Durations are the least known part of the service, so they are in one table. For VM pools they are recorded (2021 to
2026, small pools): a node leaves ``creating`` after 10 s, and is idle 16 to 49 s after its allocation with Linux, 148 s
with Windows, and 400 to 448 s with Windows on a machine of one core. A removed node is gone after 36 to 41 s.

For Cloud Services pools one number is recorded: three small nodes took about 96 s in total to upgrade (2016-04-05).
With one node of three out at a time, each took at most 32 s: 22 s of reimaging and 8 s of starting, plus up to 6 % by
node. All other numbers are assumptions of a plausible size. They are also the ``short`` durations of VM pools, with
which tests save time.

The jitter of a node is derived from its id, so that a run can be repeated and a state file continued.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from zlib import crc32

from batch_os_provider.recorded_times import REMOVAL
from batch_os_provider.simulator.world.clock import seconds


@dataclass(frozen=True)
class Transition:
    """The end of a temporary node state: after how many seconds, the next state, and whether the machine boots."""

    after: float
    then: str
    boots: bool = False


TRANSITIONS: Final = {
    "creating": Transition(40, "starting"),
    "rebooting": Transition(22, "starting", boots=True),
    "reimaging": Transition(22, "starting", boots=True),
    "upgradingos": Transition(22, "starting", boots=True),
    "starting": Transition(8, "waitingforstarttask"),
    "waitingforstarttask": Transition(6, "ready"),
    "leavingpool": Transition(15, "gone"),
}
"""Node state -> its end, of Cloud Services pools. ``waitingforstarttask`` is skipped if the pool does not wait for a
start task; ``ready`` means idle (offline if scheduling is disabled)."""

RECORDED, SHORT = "recorded", "short"
"""The durations of VM pools: the recorded ones (default), or the same as those of Cloud Services pools."""
LINUX, WINDOWS, SMALL_WINDOWS = "linux", "windows", "small windows"
_STARTING: Final = {LINUX: 26.0, WINDOWS: 138.0, SMALL_WINDOWS: 410.0}
_OF_MACHINES: Final = {"creating": 10.0, "leavingpool": REMOVAL.least}
_ONE_CORE: Final = re.compile(r"(standard|basic)_(a|d|ds)1(_v2)?", re.IGNORECASE)

JITTER: Final = 0.06
"""A state lasts up to this fraction longer, by node (22 + 8 s plus 6 % is below the recorded 32 s)."""

UPGRADE_SHARE: Final = 0.2
"""The fraction of the nodes of a pool that an upgrade takes out at a time (at least one node)."""

FIRST_NODES_DELAY: Final = 30.0
"""Seconds from a resize to its first new nodes."""
RESIZE_STEP: Final = 5.0
"""Seconds between two steps of a resize: each adds new nodes and removes nodes whose tasks have ended."""
EMPTY_RESIZE_DURATION: Final = 1.4
"""Seconds of a resize that has nothing to do: 1.3 to 2.3 after a pool is created without nodes (recorded)."""
RESIZE_SHARE: Final = 0.25
"""The fraction of the missing nodes that one step adds. With recorded durations all come at once: the allocation times
of the nodes of one resize differ by less than 0.1 ms (six recordings of two to four nodes)."""
STOP_RESIZE_DURATION: Final = 10.0
"""Seconds in allocation state ``stopping``."""
DELETE_DURATION: Final = 20.0
"""Seconds in pool state ``deleting`` (job: a quarter of it)."""
DEFAULT_TASK_DURATION: Final = 60.0
"""Seconds that a task runs if its command has no duration (``sleep 30``, ``timeout /t 30``, ``Start-Sleep 30``)."""
RESIZE_TIMEOUT: Final = 900.0
"""Seconds: the default resizeTimeout of the service (PT15M)."""
ENABLE_AUTOSCALE_PAUSE: Final = 30.0
"""Seconds between two enableautoscale (documented)."""
PATCH_PAUSE: Final = 12.0
"""Seconds after a resize in which the image cannot be changed, if the switch ``patchAfterSteady`` says so."""
RESIZE_TIMEOUT_MINIMUM: Final = 300.0
"""Seconds: a smaller resizeTimeout is refused."""


def state_duration(state: str, name: str, machine: str = "") -> int:
    """How long a node stays in a temporary state, in ticks; ``machine`` is that of ``machine_of``."""
    share = crc32(f"{name}/{state}".encode()) / 0xFFFF_FFFF
    after = TRANSITIONS[state].after
    if machine:
        after = _STARTING[machine] if state == "starting" else _OF_MACHINES.get(state, after)
    return seconds(after * (1 + JITTER * share))


def machine_of(virtual_machine: Mapping[str, Any] | None, size: object, durations: str) -> str:
    """The kind of a pool's machines, by which recorded durations differ; empty if it has none of these durations.

    Args:
        virtual_machine: the ``virtualMachineConfiguration`` of the pool.
        size: its ``vmSize``.
        durations: ``RECORDED`` or ``SHORT``.
    """
    if virtual_machine is None or durations != RECORDED:
        return ""
    if "windows" not in str(virtual_machine.get("nodeAgentSKUId", "")).lower():
        return LINUX
    return SMALL_WINDOWS if _ONE_CORE.fullmatch(str(size)) else WINDOWS
