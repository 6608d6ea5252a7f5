"""Removing the package from a project: first the resources, then, after an `up`, the package."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.simulator import OLD, Simulator

if TYPE_CHECKING:
    from tests.support.stack import Stack

UNINSTALLED = Path(__file__).parents[1] / "without_package"
NOT_FOUND = "ModuleNotFoundError: No module named 'batch_os_provider'"


def uninstall(stack: Stack) -> None:
    (stack.program_folder / "__main__.py").write_text("import pulumi\npulumi.export('x', 1)\n", encoding="utf-8")
    stack.environment["PYTHONPATH"] = str(UNINSTALLED)


def test_both_in_one_change_break_a_refresh_and_an_up_without_one_repairs_it(sim: Simulator, stack: Stack) -> None:
    stack.declare(sim, OLD)
    stack.up().ok()
    uninstall(stack)
    refreshed = stack.preview("--refresh")
    assert refreshed.code != 0
    assert NOT_FOUND in refreshed.text
    asked = len(sim.requests())
    assert "- 1 to delete" in stack.preview().ok().text
    stack.up().ok()
    assert stack.resources() == []
    stack.preview("--refresh").ok()
    stack.run("destroy", "--yes", "--skip-preview", "--refresh").ok()
    assert len(sim.requests()) == asked, "the pool was left as it is"
