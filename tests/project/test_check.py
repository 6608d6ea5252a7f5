"""Which tests `make check` runs for which changes."""

from __future__ import annotations

import pytest

from scripts.check import ROOT, chosen, selected
from scripts.setting_up import SetupError

TOP = sorted(each.relative_to(ROOT).as_posix() for each in (ROOT / "tests" / "unit").glob("test_*.py"))


@pytest.mark.parametrize(
    ("files", "tests"),
    [
        (["batch_os_provider/rollout/loop.py"], ["tests/unit/rollout"]),
        (["batch_os_provider/rollout/os_upgrade/upgrade.py"], ["tests/unit/rollout"]),
        (
            ["batch_os_provider/cli/status/x.py", "batch_os_provider/batch/pool.py"],
            ["tests/unit/batch", "tests/unit/cli"],
        ),
        (["batch_os_provider/simulator/world/world.py"], ["tests/simulator"]),
        (["batch_os_provider/crud.py"], TOP),
        (["batch_os_provider/gone_room/module.py"], TOP),
        (["tests/unit/cli/test_comment.py"], ["tests/unit/cli/test_comment.py"]),
        (["tests/unit/cli/test_comment.py", "batch_os_provider/cli/main.py"], ["tests/unit/cli"]),
        (["tests/unit/rollout/doubles.py"], ["tests/unit/rollout"]),
        (["tests/unit/cli/test_that_was_removed.py"], []),
        (["tests/inprocess/test_move.py"], ["tests/inprocess/test_move.py"]),
        (["tests/cli/main_road/test_main_road.py"], []),
        (["pyproject.toml", "tests/unit/cli/test_comment.py"], ["tests/unit"]),
        (["tests/support/trial.py"], ["tests/unit"]),
        (["scripts/matrix.py", ".github/workflows/ci.yml"], ["tests/project"]),
        (["docs/undo.md"], []),
        ([], []),
    ],
)
def test_the_tests_of_changed_files(files: list[str], tests: list[str]) -> None:
    assert selected(files) == tests


def test_every_room_has_tests_of_its_name() -> None:
    package = ROOT / "batch_os_provider"
    rooms = {each.parent.name for each in package.glob("*/__init__.py")} - {"simulator"}
    assert [room for room in sorted(rooms) if not (ROOT / "tests" / "unit" / room).is_dir()] == []


def test_all_is_the_only_word() -> None:
    assert chosen(["all"]) == ["tests/unit"]
    with pytest.raises(SetupError, match="ARGS=all or nothing, not tests/unit"):
        chosen(["tests/unit"])
