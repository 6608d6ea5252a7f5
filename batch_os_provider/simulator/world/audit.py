"""The audit: every request and every change of state, in one sequence.

Tests read it to check a rollout: how often was an upgrade requested, was a task lost, which requests were sent while
nothing changed. It never contains secrets or the User-Agent: a request is recorded by operation, method and path.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from batch_os_provider.simulator.world.clock import iso, wall_now

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_ENTRIES = 200_000
"""Number of entries kept; older ones are removed, so that a long benchmark does not use all memory."""


@dataclass(slots=True)
class Entry:
    """One request or one transition; the status of a request is set when it is known."""

    seq: int
    kind: str
    virtual: int
    wall: int
    operation: str | None = None
    method: str | None = None
    path: str | None = None
    status: int | None = None
    code: str | None = None
    pool: str | None = None
    detail: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The entry in the shape of ``GET /_simulator/audit``."""
        return {
            "seq": self.seq,
            "kind": self.kind,
            "virtual": iso(self.virtual),
            "wall": iso(self.wall),
            "operation": self.operation,
            "method": self.method,
            "path": self.path,
            "status": self.status,
            "code": self.code,
            "pool": self.pool,
            "detail": self.detail,
        }


class Audit:
    """The sequence of entries."""

    def __init__(self, wall: Callable[[], int] = wall_now) -> None:
        self._wall = wall
        self._seq = 0
        self.entries: deque[Entry] = deque(maxlen=MAX_ENTRIES)

    def _append(self, kind: str, virtual: int) -> Entry:
        self._seq += 1
        entry = Entry(self._seq, kind, virtual, self._wall())
        self.entries.append(entry)
        return entry

    def request(self, virtual: int, operation: str | None, method: str, path: str, pool: str | None) -> Entry:
        """Record a request, before its effects, so that they follow it in the sequence."""
        entry = self._append("request", virtual)
        entry.operation, entry.method, entry.path, entry.pool = operation, method, path, pool
        return entry

    def transition(
        self, virtual: int, ago: int, resource: str, name: str, change: tuple[str | None, str | None], **more: Any
    ) -> None:
        """Record a change of state of a pool, allocation, node, job or task; ``change`` is from and to (None: absent).

        Events are processed late, so ``ago`` real ticks are subtracted from the wall time.
        """
        entry = self._append("transition", virtual)
        entry.wall -= ago
        entry.pool = more.pop("pool", None)
        entry.detail = {"resource": resource, "id": name, "from": change[0], "to": change[1], **more}

    def clear(self) -> None:
        """Remove all entries and restart their numbering."""
        self.entries.clear()
        self._seq = 0
