from __future__ import annotations

from pathlib import Path

import pytest

from batch_os_provider.runtime.replace_file import replace


class InUse:
    """A file that another program has open for some tries."""

    def __init__(self, tries: int, code: int) -> None:
        self.tries, self.code = tries, code
        self.pauses: list[float] = []

    def move(self, source: Path, target: Path) -> None:
        if self.tries:
            self.tries -= 1
            error = PermissionError(13, "Access is denied", str(target))
            error.winerror = self.code  # type: ignore[attr-defined]  # as on Windows
            raise error
        source.replace(target)


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    new, old = tmp_path / "new", tmp_path / "old"
    new.write_text("new", encoding="utf-8")
    old.write_text("old", encoding="utf-8")
    return new, old


@pytest.mark.parametrize("code", [5, 32])
def test_a_file_in_use_is_tried_again(files: tuple[Path, Path], code: int) -> None:
    file = InUse(5, code)
    replace(*files, move=file.move, pause=file.pauses.append)
    assert files[1].read_text(encoding="utf-8") == "new"
    assert (len(file.pauses), round(sum(file.pauses), 2)) == (5, 1.05)


def test_a_file_that_stays_in_use_is_an_error_and_stays_as_it_was(files: tuple[Path, Path]) -> None:
    file = InUse(100, 32)
    with pytest.raises(PermissionError):
        replace(*files, move=file.move, pause=file.pauses.append)
    assert files[1].read_text(encoding="utf-8") == "old"


def test_another_refusal_is_not_tried_again(files: tuple[Path, Path]) -> None:
    file = InUse(1, 17)
    with pytest.raises(PermissionError):
        replace(*files, move=file.move, pause=file.pauses.append)
    assert file.pauses == []


def test_a_missing_file_is_an_error_at_once(tmp_path: Path) -> None:
    waited: list[float] = []
    with pytest.raises(FileNotFoundError):
        replace(tmp_path / "none", tmp_path / "old", pause=waited.append)
    assert waited == []
