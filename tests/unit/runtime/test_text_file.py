"""Text files in every encoding that a person's tools write."""

from __future__ import annotations

from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from typing import TYPE_CHECKING

import pytest

from batch_os_provider.runtime.text_file import NotTextError, read_text

if TYPE_CHECKING:
    from pathlib import Path

TEXT = "Größe: 1\r\n日本\n"


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(TEXT.encode(), id="utf-8"),
        pytest.param(TEXT.encode("utf-8-sig"), id="utf-8-sig"),
        pytest.param(BOM_UTF16_LE + TEXT.encode("utf-16-le"), id="utf-16-le"),
        pytest.param(BOM_UTF16_BE + TEXT.encode("utf-16-be"), id="utf-16-be"),
    ],
)
def test_the_text_is_the_same_in_every_encoding(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "file").write_bytes(raw)
    assert read_text(tmp_path / "file") == TEXT


@pytest.mark.parametrize("raw", [b"\xe9", BOM_UTF16_LE + b"x", TEXT.encode("utf-16-le")[:5] + b"\xff"])
def test_what_is_no_text_is_said_so(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "file").write_bytes(raw)
    with pytest.raises(NotTextError, match="is not text in UTF-8 or UTF-16"):
        read_text(tmp_path / "file")


@pytest.mark.parametrize(
    ("name", "why"), [("missing", "No such file"), (".", "(Is a directory|Permission denied)"), ("a\0b", "null")]
)
def test_a_file_that_cannot_be_read_is_said_so(tmp_path: Path, name: str, why: str) -> None:
    with pytest.raises(NotTextError, match=f"cannot be read: .*{why}"):
        read_text(tmp_path / name)
