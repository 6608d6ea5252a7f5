"""Distinguishes the ``diff`` of a refresh from the ``diff`` of a preview or an `up`.

A refresh calls ``diff`` too, to show drift. Such a ``diff`` reads no pool, because the refresh has just done so, and it
must not fail where an `up` would refuse. The engine does not say which kind of ``diff`` it calls. But only resources of
a program are checked first, so ``RefreshDetector`` remembers the resources that were checked and not read since.

Stack config ``batch:previewLook`` (``true`` or ``false``, default ``true``) decides whether a preview reads pools.
"""

from __future__ import annotations

import threading

__all__ = ["RefreshDetector"]


class RefreshDetector:
    """Knows which resources the program of this process has declared; ``looks`` is ``batch:previewLook``."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._checked: set[str] = set()
        self.looks = True

    def checked(self, urn: str) -> None:
        """Record a ``check`` of this resource."""
        with self._lock:
            self._checked.add(urn)

    def read(self, urn: str) -> None:
        """Record a ``read`` of this resource: a ``diff`` after it belongs to a refresh."""
        with self._lock:
            self._checked.discard(urn)

    def declares(self, urn: str) -> bool:
        """Whether a ``diff`` of this resource belongs to a program and not to a refresh."""
        with self._lock:
            return bool(urn) and urn in self._checked
