"""Text files of users, in any encoding that their tools write.

PowerShell 5 redirects as UTF-16 with a byte order mark, some editors put one before UTF-8, and a path that a user names
may be a folder, or missing. Each case becomes a sentence here. Programs, previews, config and tokens are all read so.
"""

from __future__ import annotations

from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from pathlib import Path

__all__ = ["NotTextError", "decoded", "read_text"]

_ENCODINGS = {BOM_UTF8: "utf-8-sig", BOM_UTF16_LE: "utf-16", BOM_UTF16_BE: "utf-16"}


class NotTextError(ValueError):
    """A file is not text, or cannot be read; the error is a sentence that names the file."""


def decoded(raw: bytes, name: str) -> str:
    """The text of these bytes: UTF-8, or UTF-16 with a byte order mark.

    Raises:
        NotTextError: they are neither; the error begins with ``name``.
    """
    encoding = next((encoding for mark, encoding in _ENCODINGS.items() if raw.startswith(mark)), "utf-8")
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError as error:
        raise NotTextError(f"{name} is not text in UTF-8 or UTF-16") from error


def read_text(path: Path) -> str:
    """The text of a file.

    Raises:
        NotTextError: the path is missing, a folder, not readable, or not text.
    """
    try:
        raw = path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        why = error.strerror if isinstance(error, OSError) else error
        raise NotTextError(f"{path} cannot be read: {why}") from error
    return decoded(raw, str(path))
