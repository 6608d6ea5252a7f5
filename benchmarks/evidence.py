"""From a simulator's audit and the engine's events to what a run showed: pure.

The service, not the client, is asked what was requested and when a pool was done, so that both providers
are judged by one clock and one witness.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

UPGRADE = "Pool_UpgradeOS"
ACCEPTED = 202
MEASURED = ("pulumi-python:", "batchos:")
"""What the type of every resource that is measured begins with: a dynamic one, or one of the native provider."""


def instant(text: str) -> float:
    """A time of the audit, in seconds since 1970. Of its up to seven decimals, six are read."""
    return datetime.fromisoformat(text).timestamp()


@dataclass(frozen=True)
class Window:
    """A stretch of time in which pools upgraded and the reads that began in it, by operation."""

    seconds: float
    reads: Mapping[str, int]
    all_wait: bool
    """Whether all pools upgraded all the time: it is after the last 202 and before the first pool is done."""

    @property
    def count(self) -> int:
        """All reads."""
        return sum(self.reads.values())

    @property
    def per_minute(self) -> float:
        """All reads, for each minute."""
        return self.count * 60 / self.seconds if self.seconds else 0.0


@dataclass(frozen=True)
class Evidence:
    """What happened at the service, in seconds since 1970."""

    requests: tuple[tuple[float, str, str], ...]
    """When each began, its method and its operation, in order."""
    accepted: Mapping[str, float]
    """Pool -> when its upgrade was taken."""
    done: Mapping[str, float]
    """Pool -> when it was active again."""

    @classmethod
    def of(cls, entries: Iterable[Mapping[str, Any]]) -> Evidence:
        """Read an audit."""
        requests: list[tuple[float, str, str]] = []
        accepted: dict[str, float] = {}
        done: dict[str, float] = {}
        for entry in entries:
            at, detail = instant(entry["wall"]), entry["detail"]
            if entry["kind"] == "request":
                requests.append((at, entry["method"], entry["operation"]))
                if entry["operation"] == UPGRADE and entry["status"] == ACCEPTED:
                    accepted[entry["pool"]] = at
            elif detail["resource"] == "pool" and (detail["from"], detail["to"]) == ("upgrading", "active"):
                done[entry["pool"]] = at
        return cls(tuple(sorted(requests)), accepted, done)

    @property
    def upgrade_seconds(self) -> tuple[float, ...]:
        """How long the service took, for each pool that is done."""
        return tuple(self.done[pool] - self.accepted[pool] for pool in sorted(self.done) if pool in self.accepted)

    @property
    def operations(self) -> dict[str, int]:
        """How many requests there were of each operation."""
        return dict(sorted(Counter(operation for _, _, operation in self.requests).items()))

    def waiting(self) -> Window | None:
        """The window in which all pools upgrade, else the time in which any does; None where none did."""
        if not self.done or not self.accepted:
            return None
        begin, end = max(self.accepted.values()), min(self.done.values())
        all_wait = begin < end
        if not all_wait:
            begin, end = min(self.accepted.values()), max(self.done.values())
        within = Counter(op for at, method, op in self.requests if method == "GET" and begin < at < end)
        return Window(end - begin, dict(sorted(within.items())), all_wait)

    def lags(self, reported: Mapping[str, float]) -> tuple[float, ...]:
        """From a pool that is done to its resource that is done; ``reported`` has the latter for each pool."""
        return tuple(reported[pool] - self.done[pool] for pool in sorted(self.done) if pool in reported)


def resources_done(events: Sequence[tuple[float, Mapping[str, Any]]]) -> dict[str, float]:
    """The name of each resource -> when the engine said that its outputs are there."""
    reported = {}
    for at, event in events:
        metadata = event.get("resOutputsEvent", {}).get("metadata", {})
        if metadata.get("type", "").startswith(MEASURED):
            reported[str(metadata["urn"]).rpartition("::")[2]] = at
    return reported
