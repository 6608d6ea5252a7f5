"""A language host that interrupts the program, as those since CLI 3.229 do after a failure: errors stay readable."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.interrupts import without_interrupts
from tests.support.simulator import NEW, Simulator
from tests.support.stack import base_environment, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.stack import Result, Stack

HOST = Path(__file__).parents[1] / "newer_host"
TRACEBACK = "Traceback (most recent call last)"


def interrupted(stack: Stack, sim: Simulator) -> Result:
    """An `up` whose program is interrupted while a pool is upgrading."""
    running = stack.start_up()
    wait_until(lambda: sim.upgrades() and running.waits, "the wait begins")
    (stack.program_folder / "interrupt-the-program").touch()
    # The engine lets the step under way end.
    sim.speed(60)
    ended = running.wait()
    (stack.program_folder / "interrupt-the-program").unlink()
    return ended


def test_no_traceback_follows_where_a_pool_was_declared(
    sim: Simulator, tmp_path: Path, new_stack: Callable[..., Stack]
) -> None:
    path = os.pathsep.join([str(HOST), base_environment(tmp_path)["PATH"]])
    host = {"PATH": path, "BATCH_OS_TEST_PULUMI": os.environ["BATCH_OS_TEST_PULUMI"]}
    stack = new_stack(**host)
    stack.declare(sim, NEW)
    ended = interrupted(stack, sim)
    assert ended.code != 0
    assert TRACEBACK not in ended.text, ended.text
    assert "KeyboardInterrupt" not in ended.text

    # The same without us is what a user reads elsewhere, and what the tests overlook.
    stack.program(
        """
        import asyncio, pathlib

        def program():
            pathlib.Path("interrupt-the-program").touch()
            return asyncio.sleep(20)

        pulumi.run(program)
        """
    )
    bare = stack.up()
    assert TRACEBACK in bare.text, "the host of this test interrupts"
    assert "pulumi-language-python-exec" in bare.text
    assert TRACEBACK not in without_interrupts(bare.text), bare.text
