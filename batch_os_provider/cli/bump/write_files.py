"""Replaces several files, so that a kill at any moment leaves each of them whole: as it was, or as it is to be.

All new texts are first written beside their files, since a full disk is found there. Only then is file after file
replaced. After a kill some files may be new and others old. The next ``bump`` finds the old versions in the others, and
changes them too.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from batch_os_provider.runtime.replace_file import replace

__all__ = ["remove_leftovers", "replace_all"]


def replace_all(texts: Mapping[Path, bytes]) -> None:
    """Give each file its new text; its permissions stay, and a link stays a link.

    Raises:
        OSError: a file cannot be written. If none has been replaced yet, all are as they were.
    """
    files = [(_beside(path), path.resolve()) for path in texts]
    try:
        for (beside, path), text in zip(files, texts.values(), strict=True):
            if not os.access(path, os.W_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
            beside.write_bytes(text)
            shutil.copymode(path, beside)
        for beside, path in files:
            replace(beside, path)
    finally:
        remove_leftovers(texts)


def remove_leftovers(paths: Iterable[Path]) -> None:
    """Remove the texts that a killed ``replace_all`` left beside these files."""
    for path in paths:
        _beside(path).unlink(missing_ok=True)


def _beside(path: Path) -> Path:
    whole = path.resolve()
    return whole.with_name(f".{whole.name}.batch-os-bump")
