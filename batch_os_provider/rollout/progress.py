"""What is said while waiting: frozen progress in, one line of text out.

A rollout may take an hour, and the reader is either a person at a terminal or
a CI log that keeps every line. A terminal cuts the end of a row, so each line has the news first and the
short versions last; and it stands alone. How often lines come is decided here, in one place: phase
changes at once, node counts at most every 30 s (2 s at a terminal). Where the lines go is the ``Output``'s business.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from batch_os_provider.guest_os import version
from batch_os_provider.schema.units import duration
from batch_os_provider.wording import counted

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from batch_os_provider.batch.pool import Node

__all__ = [
    "NODE_INTERVAL",
    "NODE_INTERVAL_TERMINAL",
    "RETRYING",
    "NodeCounts",
    "Output",
    "Progress",
    "Reporter",
    "name_nodes",
    "name_some",
]

NODE_INTERVAL = 30.0
"""Seconds between two lines that differ in node counts only, in a log."""
NODE_INTERVAL_TERMINAL = 2.0
"""The same where the engine's stdout is known to be a terminal, which replaces the line in place."""
IDLE_AFTER = 15 * 60.0
"""Seconds without any node moving after which the line says so, and the nodes are named once."""
_HOUR = 3600.0
RETRYING = "trying again"
"""The phase of a line about a failed call; the first line after it is said at once."""
_WITH_REASON = frozenset({"joined", "proving"})
"""Phases whose lines give the nodes and the reason."""
_NAMED = 5
"""How many nodes one warning names."""


class Output(Protocol):
    """Where lines go: the resource's row, and the diagnostics under it."""

    def status(self, text: str) -> None:
        """Replace the text on the resource's row."""

    def info(self, text: str) -> None:
        """A line that stays, under Diagnostics."""

    def warn(self, text: str) -> None:
        """A warning that stays, under Diagnostics."""


@dataclass(frozen=True)
class NodeCounts:
    """One look at a pool's nodes: how many are back of all, and those that are not.

    ``since`` is the start of the upgrade in the service's time; None when it is not known, and
    then nobody can say which nodes are back.
    """

    nodes: tuple[Node, ...]
    since: datetime | None

    @property
    def back(self) -> int:
        """Nodes that booted after the start of the upgrade and take tasks again."""
        return sum(node.is_back(self.since) for node in self.nodes)

    def __str__(self) -> str:
        if not self.nodes:
            return "no nodes"
        return f"{self.back} of {len(self.nodes)} nodes back" if self.since else counted(len(self.nodes), "node")

    def states(self) -> str:
        """How many of the nodes that are not back are in which state, the most first; empty where all are up."""
        count = Counter(node.state for node in self.nodes if not node.is_up)
        ordered = sorted(count.items(), key=lambda each: (-each[1], each[0]))
        return ", ".join(f"{number} {state}" for state, number in ordered)

    def laggards(self) -> Sequence[Node]:
        """The nodes that are not back, those with an error first; without a start to count from, those not up."""
        found = [n for n in self.nodes if not (n.is_back(self.since) if self.since is not None else n.is_up)]
        return sorted(found, key=lambda n: (not n.error, n.node_id))

    def name_laggards(self) -> str:
        """Name them."""
        return name_nodes(self.laggards())

    def movement(self) -> frozenset[tuple[str, str, datetime | None]]:
        """Changes whenever a node does anything but begin or end a task; node order does not matter."""
        return frozenset((node.node_id, "up" if node.is_up else node.state, node.last_boot_time) for node in self.nodes)


@dataclass(frozen=True)
class Progress:
    """Everything one line needs: one frozen object per event.

    ``came_from`` is empty while nothing was seen yet. ``phase`` and ``why`` are what makes two
    lines different; ``detail`` follows ``why`` and does not. ``counts`` is the news where ``nodes``
    has none, such as ``2 of 4 nodes behind``.

    The text has one form: ``news, elapsed; what is known besides; versions``. docs/preview.md lists it.
    """

    came_from: str
    target: str
    phase: str
    why: str
    elapsed: float
    nodes: NodeCounts | None = None
    idle_for: float = 0.0
    detail: str = ""
    counts: str = ""

    def __str__(self) -> str:
        counts = self.counts if self.nodes is None else str(self.nodes)
        parts = [f"{counts or self.why}, {duration(self.elapsed)}"]
        if self.idle_for >= IDLE_AFTER:
            parts.append(f"no node moved for {_minutes(self.idle_for)}")
        if counts and self.why and (self.nodes is None or self.phase in _WITH_REASON):
            parts.append(self.why)
        if self.detail:
            parts.append(self.detail)
        if self.nodes is not None and self.nodes.states():
            parts.append(self.nodes.states())
        # Before anything was seen, and while an upgrade away from the target runs, there is no "from".
        return "; ".join([*parts, version.change(self.came_from, self.target)])


def _minutes(seconds: float) -> str:
    """A duration without seconds: ``34m``, ``1h05m``."""
    return duration(seconds) if seconds >= _HOUR else f"{int(seconds // 60)}m"


def name_nodes(nodes: Sequence[Node]) -> str:
    """Name the first few nodes with state and first error, and count the rest."""
    named = ", ".join(f"{n.node_id} is {n.state}" + (f" ({n.error})" if n.error else "") for n in nodes[:_NAMED])
    return named + (f" and {len(nodes) - _NAMED} more" if len(nodes) > _NAMED else "")


def name_some(names: Sequence[str], most: int = 5) -> str:
    """Names in a row; beyond ``most`` only how many more there are."""
    named = ", ".join(names[:most])
    return f"{named} and {len(names) - most} more" if len(names) > most else named


class Reporter:
    """Decides which progress is worth a line, for one pool.

    A change of phase is said at once, unless the same was said within the interval: a pool that
    flaps, or a service that fails every other call, must not fill a log.

    Args:
        voice: where the lines go.
        node_interval: seconds between lines that differ in counts only.
    """

    def __init__(self, voice: Output, node_interval: float = NODE_INTERVAL) -> None:
        self._voice = voice
        self.node_interval = node_interval
        self._last_key: tuple[str, str] | None = None
        self._last_text = ""
        self._said_at: dict[tuple[str, str], float] = {}
        self._warned: set[str] = set()

    def progress(self, progress: Progress, now: float) -> None:
        """Say it when it is due and new."""
        key, text = (progress.phase, progress.why), str(progress)
        recovered = self._last_key is not None and self._last_key[0] == RETRYING != key[0]
        due = recovered or now - self._said_at.get(key, float("-inf")) >= self.node_interval
        if not due or (key == self._last_key and text == self._last_text):
            return
        self._last_key, self._last_text, self._said_at[key] = key, text, now
        self._voice.status(text)
        if progress.nodes is not None and progress.idle_for >= IDLE_AFTER:
            named = progress.nodes.name_laggards()
            self.warn_once("idle", f"no node moved for {duration(progress.idle_for)}: {named}")

    def warn_once(self, key: str, text: str) -> None:
        """A warning that is said once per rollout and key."""
        if key not in self._warned:
            self._warned.add(key)
            self._voice.warn(text)

    def summary(self, text: str) -> None:
        """The one line that stays when the rollout is over."""
        self._voice.info(text)
