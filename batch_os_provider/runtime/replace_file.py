"""Moves a file over another one, also while a program reads the other one.

POSIX always can. Windows refuses while another program has the file open, and virus scanners and indexers open each new
file for a moment. So a refusal of that kind is tried again for a second.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

__all__ = ["replace"]

_IN_USE = (5, 32)
"""Windows: access is denied; another process uses the file (`ERROR_ACCESS_DENIED`, `ERROR_SHARING_VIOLATION`)."""
_PAUSES = (0.05, 0.1, 0.2, 0.3, 0.4)


def replace(
    source: Path,
    target: Path,
    *,
    move: Callable[[Path, Path], object] = Path.replace,
    pause: Callable[[float], None] = time.sleep,
) -> None:
    """Move ``source`` to ``target``. Raises OSError, on Windows after about a second if the file stays in use."""
    for seconds in _PAUSES:
        try:
            move(source, target)
        except OSError as error:
            if getattr(error, "winerror", None) not in _IN_USE:
                raise
            pause(seconds)
        else:
            return
    move(source, target)
