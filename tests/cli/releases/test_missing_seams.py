"""With any private part of the SDK missing, the provider still works, with less comfort."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.simulator import NEW, SHORT_NEW, SHORT_OLD, Simulator
from tests.support.stack import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.stack import Stack

FOLDER = Path(__file__).parents[1] / "missing_seams"


def without(new_stack: Callable[..., Stack], seam: str) -> Stack:
    """A stack whose plugin lacks one seam."""
    return new_stack(PYTHONPATH=str(FOLDER), BATCH_OS_TEST_WITHOUT=seam, BATCH_OS_LOG="batch-os.log")


SEAMS = (
    *("widen", "cancel", "clean errors", "urn", "row status", "watch", "terminal", "tail"),
    *("other width", "other calls"),
)


@pytest.mark.parametrize("seam", SEAMS)
def test_up_works_without(sim: Simulator, new_stack: Callable[..., Stack], seam: str) -> None:
    stack = without(new_stack, seam)
    stack.declare(sim, NEW)
    sim.speed(60)
    done = stack.up().ok()
    assert re.search(rf"done, 3 of 3 nodes back, \w+; {SHORT_OLD} -> {SHORT_NEW}", done.text), (
        "the line is somewhere, if not on the row"
    )
    assert stack.outputs()["current_os_version"] == NEW
    assert len(sim.upgrades()) == 1
    assert ("[batch-os v1 " in done.text) is (seam in {"terminal", "tail"}), "both are told by our ancestors in /proc"
    assert f"seam '{seam}' is missing" in (stack.program_folder / "batch-os.log").read_text(encoding="utf-8")


def test_without_clean_errors_the_text_is_still_there(sim: Simulator, new_stack: Callable[..., Stack]) -> None:
    stack = without(new_stack, "clean errors")
    stack.declare(sim, NEW, pool_id="nobody")
    failed = stack.up()
    assert failed.code != 0
    assert "Traceback" in failed.text
    assert "Batch says that it does not exist (404 PoolNotFound)" in failed.flat


def test_without_cancel_the_second_ctrl_c_ends_it_and_up_resumes(
    sim: Simulator, new_stack: Callable[..., Stack]
) -> None:
    stack = without(new_stack, "cancel")
    stack.declare(sim, NEW)
    running = stack.start_up()
    wait_until(lambda: "nodes back" in running.text, "the wait begins")
    running.interrupt()
    wait_until(lambda: "cancel" in running.text.lower(), "the engine heard the first ^C")
    running.interrupt()
    assert running.wait().code != 0
    sim.speed(60)
    stack.up().ok()
    assert len(sim.upgrades()) == 1
    assert stack.outputs()["current_os_version"] == NEW
