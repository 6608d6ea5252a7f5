"""`scripts/actionlint.py` without an actionlint: the pinned release and no other, else Go, else clear words."""

from __future__ import annotations

import hashlib
import io
import tarfile
from pathlib import Path
from typing import Any

import pytest

from scripts import actionlint

PROGRAM = b"#!/bin/sh\necho 1.7.12\n"


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The script as a module, with a cache of its own, no programs on PATH, and a release on this machine."""
    release = tmp_path / "release.tar.gz"
    with tarfile.open(release, "w:gz") as files:
        member = tarfile.TarInfo("actionlint")
        member.size = len(PROGRAM)
        files.addfile(member, io.BytesIO(PROGRAM))
    sums = dict.fromkeys(actionlint.SHA256, hashlib.sha256(release.read_bytes()).hexdigest())
    monkeypatch.setattr(actionlint, "SHA256", sums)
    monkeypatch.setattr(actionlint, "RELEASE", release.as_uri())
    monkeypatch.setattr(actionlint, "CACHE", tmp_path / "cache")
    monkeypatch.setenv("PATH", str(tmp_path))
    return actionlint


def test_the_release_with_the_pinned_checksum_is_accepted(script: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert script.main() == 0
    place = Path(capsys.readouterr().out.strip())
    assert place.read_bytes() == PROGRAM
    assert [each.name for each in script.CACHE.iterdir()] == [place.name], "nothing half made is left"


def test_another_release_is_not(script: Any, capsys: pytest.CaptureFixture[str]) -> None:
    script.SHA256.update(dict.fromkeys(script.SHA256, "0" * 64))
    assert script.main() == 1
    said = capsys.readouterr().err
    assert f"not the pinned {'0' * 64}" in said
    assert "Go is not installed, so it cannot be built from source" in said
    assert "Install actionlint 1.7.12" in said
    assert list(script.CACHE.iterdir()) == []


def test_without_a_network_it_says_what_to_install(
    script: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(script, "RELEASE", "http://127.0.0.1:9/{system}")
    assert script.main() == 1
    assert "error: no actionlint: the official release could not be fetched" in capsys.readouterr().err


def test_an_old_one_on_path_is_not_used(script: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = tmp_path / "actionlint"
    old.write_text("#!/bin/sh\necho 1.6.0\n", encoding="utf-8")
    old.chmod(0o755)
    assert script.main() == 0
    said = capsys.readouterr()
    assert said.out.strip() != str(old)
    assert "is older than 1.7.7" in said.err
