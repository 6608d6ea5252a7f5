"""What happened: every request and every change of state, in one sequence.

The audit is the oracle of the tests (was there one upgrade? was a task lost? what was asked
while nothing moved?), so it is kept apart from the world it describes. Secrets and User-Agent never get in:
a request is recorded by operation, method and path alone.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from batch_os_provider.simulator.world.clock import iso, wall_now

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_ENTRIES = 200_000
"""Entries kept; older ones fall out (``seq`` shows it), so that a long benchmark does not eat the machine."""


@dataclass(slots=True)
class Entry:
    """One request or one transition; a request's status is filled in when it is known."""

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
    """The sequence."""

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
        """Record that a pool, allocation, node, job or task changed its state, from and to (None: not there).

        The world notices late what has happened, so ``ago`` real ticks are taken off the wall time.
        """
        entry = self._append("transition", virtual)
        entry.wall -= ago
        entry.pool = more.pop("pool", None)
        entry.detail = {"resource": resource, "id": name, "from": change[0], "to": change[1], **more}

    def clear(self) -> None:
        """Forget everything, the numbering included."""
        self.entries.clear()
        self._seq = 0
