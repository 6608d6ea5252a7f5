"""Writes text files, whole or not at all.

A command that is stopped while it writes must not leave half a file, which another program would read.
"""

from __future__ import annotations

from pathlib import Path

from batch_os_provider.runtime.replace_file import replace

__all__ = ["write_whole"]


def write_whole(path: Path, text: str) -> None:
    """Write a file atomically, and make the folders above it. Raises OSError."""
    path = path.resolve()  # a link stays a link
    if path.exists() and not path.is_file():
        path.write_bytes(text.encode())  # a device or a pipe; a folder is an OSError
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.new")
    try:
        beside.write_bytes(text.encode())
        replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
