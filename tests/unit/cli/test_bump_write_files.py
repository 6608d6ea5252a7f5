"""Files that `bump` replaces together: all or none, and what stays of a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from batch_os_provider.cli.bump.write_files import replace_all

if TYPE_CHECKING:
    from pathlib import Path


def test_if_one_file_cannot_be_written_none_is(tmp_path: Path) -> None:
    first, gone = tmp_path / "a.py", tmp_path / "gone" / "b.py"
    first.write_text("old", encoding="utf-8")
    with pytest.raises(OSError, match=r"b\.py"):
        replace_all({first: b"new", gone: b"new"})
    assert (first.read_text(encoding="utf-8"), list(tmp_path.iterdir())) == ("old", [first])


def test_permissions_and_a_link_stay(tmp_path: Path) -> None:
    real, link = tmp_path / "real.py", tmp_path / "__main__.py"
    real.write_text("old", encoding="utf-8")
    real.chmod(0o755)  # Windows keeps of it only whether the file may be written
    before = real.stat().st_mode
    link.symlink_to(real)
    replace_all({link: b"new"})
    assert (link.is_symlink(), real.read_bytes(), real.stat().st_mode) == (True, b"new", before)
