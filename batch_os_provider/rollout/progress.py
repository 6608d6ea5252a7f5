"""The lines of progress of a rollout: a frozen value in, one line of text out.

A rollout may take an hour. Its lines are read by a person at a terminal, or stay in the log of a CI job. A terminal
cuts the end of a row, so each line has the news first and the short versions last. This module also decides how often
a line comes: a change of phase at once, node counts at most every 30 s (2 s at a terminal). The ``Output`` decides
where the lines go.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

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
"""Seconds between two lines that differ only in node counts, in a log."""
NODE_INTERVAL_TERMINAL = 2.0
"""The same for a terminal, which replaces the line in place."""
IDLE_AFTER = 15 * 60.0
"""After so many seconds in which no node moved, the line says so, and one warning names the nodes."""
_HOUR = 3600.0
RETRYING = "trying again"
"""The phase of a line about a failed call; the next line after it comes at once."""
_WITH_REASON = frozenset({"joined", "proving"})
"""Phases whose lines give the nodes and the reason."""
_NAMED = 5
"""How many nodes one warning names."""


class Output(Protocol):
    """The place of the lines: the resource's row and the diagnostics below it."""

    def status(self, text: str) -> None:
        """Replace the text on the resource's row."""

    def info(self, text: str) -> None:
        """A line that stays, under Diagnostics."""

    def warn(self, text: str) -> None:
        """A warning that stays, under Diagnostics."""


@dataclass(frozen=True)
class NodeCounts:
    """One list of a pool's nodes: how many of them are back, and which are not.

    ``since`` is the start of the upgrade by the service's clock. If it is None, the start is unknown, and no node can
    be counted as back.
    """

    nodes: tuple[Node, ...]
    since: datetime | None

    @property
    def back(self) -> int:
        """How many nodes booted after the start of the upgrade and take tasks again."""
        return sum(node.is_back(self.since) for node in self.nodes)

    def __str__(self) -> str:
        if not self.nodes:
            return "no nodes"
        return f"{self.back} of {len(self.nodes)} nodes back" if self.since else counted(len(self.nodes), "node")

    def states(self) -> str:
        """The states of the nodes that are not up, with counts, the most frequent first; empty if all nodes are up."""
        count = Counter(node.state for node in self.nodes if not node.is_up)
        ordered = sorted(count.items(), key=lambda each: (-each[1], each[0]))
        return ", ".join(f"{number} {state}" for state, number in ordered)

    def laggards(self) -> Sequence[Node]:
        """The nodes that are not back, nodes with an error first. If ``since`` is None: the nodes that are not up."""
        found = [n for n in self.nodes if not (n.is_back(self.since) if self.since is not None else n.is_up)]
        return sorted(found, key=lambda n: (not n.error, n.node_id))

    def name_laggards(self) -> str:
        """The names of the laggards, as ``name_nodes`` writes them."""
        return name_nodes(self.laggards())

    def movement(self) -> frozenset[tuple[str, str, datetime | None]]:
        """A value that changes when a node does anything except begin or end a task; node order does not matter."""
        return frozenset((node.node_id, "up" if node.is_up else node.state, node.last_boot_time) for node in self.nodes)


@dataclass(frozen=True)
class Progress:
    """Everything that one line needs: one frozen object per event.

    ``change`` is from what to what; before the first read, only to what. Two lines differ if their ``phase`` or ``why``
    differs; ``detail`` follows ``why`` and makes no difference. ``counts`` is the news if ``nodes`` is None:
    ``2 of 4 nodes behind``.

    The text has one form: ``news, elapsed; further facts; versions``. docs/preview.md lists the forms.
    """

    change: str
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
        return "; ".join([*parts, self.change])


def _minutes(seconds: float) -> str:
    """A duration without seconds: ``34m``, ``1h05m``."""
    return duration(seconds) if seconds >= _HOUR else f"{int(seconds // 60)}m"


def name_nodes(nodes: Sequence[Node]) -> str:
    """Name the first few nodes with state and first error, and count the rest."""
    named = ", ".join(f"{n.node_id} is {n.state}" + (f" ({n.error})" if n.error else "") for n in nodes[:_NAMED])
    return named + (f" and {len(nodes) - _NAMED} more" if len(nodes) > _NAMED else "")


def name_some(names: Sequence[str], most: int = 5) -> str:
    """The first names, at most ``most``, then how many more follow."""
    named = ", ".join(names[:most])
    return f"{named} and {len(names) - most} more" if len(names) > most else named


class Reporter:
    """Decides which progress gets a line, for one pool.

    A change of phase gets a line at once, unless the same line came within the interval. A pool that flaps, or a
    service that fails every other call, must not fill a log.

    Args:
        output: the place of the lines.
        node_interval: seconds between lines that differ only in counts.
    """

    def __init__(self, output: Output, node_interval: float = NODE_INTERVAL) -> None:
        self._output = output
        self.node_interval = node_interval
        self._last_key: tuple[str, str] | None = None
        self._last_text = ""
        self._said_at: dict[tuple[str, str], float] = {}
        self._warned: set[str] = set()

    def progress(self, progress: Progress, now: float) -> None:
        """Write the line if it is due and new."""
        key, text = (progress.phase, progress.why), str(progress)
        recovered = self._last_key is not None and self._last_key[0] == RETRYING != key[0]
        due = recovered or now - self._said_at.get(key, float("-inf")) >= self.node_interval
        if not due or (key == self._last_key and text == self._last_text):
            return
        self._last_key, self._last_text, self._said_at[key] = key, text, now
        self._output.status(text)
        if progress.nodes is not None and progress.idle_for >= IDLE_AFTER:
            named = progress.nodes.name_laggards()
            self.warn_once(
                "idle",
                f"no node moved for {duration(progress.idle_for)}: {named}. Check what holds up these nodes; reboot or "
                "reimage the nodes that are stuck",
            )

    def warn_once(self, key: str, text: str) -> None:
        """Write a warning, once per rollout and key."""
        if key not in self._warned:
            self._warned.add(key)
            self._output.warn(text)

    def summary(self, text: str) -> None:
        """Write the one line that stays when the rollout is over."""
        self._output.info(text)
