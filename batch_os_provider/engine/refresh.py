"""What one plugin process knows of the program whose resources it serves.

A refresh asks ``diff`` as well, to show drift. It must not fail for what an `up` would refuse, and it
has just read the pool: there nothing is looked at. The engine does not say which of the two it is; but only a program's
resource is checked first, so ``RefreshDetector`` remembers what was checked and not read since.

Stack config ``batch:previewLook`` (``true`` or ``false``, default ``true``) turns the looks off.
"""

from __future__ import annotations

import threading

__all__ = ["RefreshDetector"]


class RefreshDetector:
    """Which resources the program of this process has declared, and which are only being refreshed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._checked: set[str] = set()
        self.looks = True

    def checked(self, urn: str) -> None:
        """``check`` was asked about this resource."""
        with self._lock:
            self._checked.add(urn)

    def read(self, urn: str) -> None:
        """``read`` was asked about it; a ``diff`` that comes next belongs to a refresh."""
        with self._lock:
            self._checked.discard(urn)

    def declares(self, urn: str) -> bool:
        """Whether a ``diff`` of this resource is about what a program declares."""
        with self._lock:
            return bool(urn) and urn in self._checked
