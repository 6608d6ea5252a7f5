"""Dynamic resources of other packages, in the same plugin process: they run as if this provider were not there."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

import pytest

from batch_os_provider.guest_os.version import change
from tests.support.simulator import NEW, OLD, Simulator
from tests.support.stack import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.stack import Stack

NEIGHBOUR = '''
"""A dynamic provider that knows nothing of batch_os_provider."""
import atexit, threading, time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from pulumi import dynamic

HERE = Path(__file__).parent
lock = threading.Lock()
running = peak = 0


def until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)


class Provider(dynamic.ResourceProvider):
    def create(self, props):
        global running, peak
        atexit.register((HERE / "exit-handlers-ran").touch)
        with lock:
            running += 1
            peak = max(peak, running)
        try:
            self.work(props["does"], props["name"])
        finally:
            with lock:
                running -= 1
        return dynamic.CreateResult(props["name"], {"peak": peak})

    def work(self, does, name):
        (HERE / f"{name}-began").touch()
        if does == "crowd":
            until(lambda: peak >= 4)
            time.sleep(0.5)  # time for a fifth to come in, if it may
        elif does == "wait":
            until(lambda: (HERE / f"{name}-may-end").exists())
            # Nothing of Python may have been shut down under a call that runs.
            with ThreadPoolExecutor() as executor:
                executor.submit((HERE / f"{name}-ended").touch).result()
        elif does == "fail":
            raise ValueError("an error of another package")


class Other(dynamic.Resource):
    peak: object

    def __init__(self, name, does, opts=None):
        super().__init__(Provider(), name, {"name": name, "does": does, "peak": None}, opts)
'''


@pytest.fixture
def folder(stack: Stack) -> Path:
    (stack.program_folder / "neighbour.py").write_text(NEIGHBOUR, encoding="utf-8")
    return stack.program_folder


def declare(stack: Stack, sim: Simulator, others: str) -> None:
    stack.program(
        f"""
        from neighbour import Other
        pool = PoolOsVersion("render", account_endpoint="{sim.endpoint}", pool_id="render", target_os_version="{NEW}")
        """
        + others
    )


def test_they_run_four_at_once_and_keep_their_tracebacks(sim: Simulator, stack: Stack, folder: Path) -> None:
    """The pool comes first: what began before the server was widened is not counted, and when that is, is a race."""
    declare(
        stack,
        sim,
        """
        crowd = [Other(f"o{n}", "crowd", ResourceOptions(depends_on=[pool])) for n in range(7)]
        Other("broken", "fail", ResourceOptions(depends_on=crowd))
        """,
    )
    sim.speed(60)
    ended = stack.up("--parallel", "16")
    assert ended.code != 0
    assert "ValueError: an error of another package" in ended.text
    assert "Traceback (most recent call last)" in ended.text
    assert 'neighbour.py", line' in ended.text, "where it was raised"
    assert re.search(rf"done, 3 of 3 nodes back, \w+; {change(OLD, NEW)}", ended.text), ended.text
    others = [each for each in stack.deployment()["resources"] if each["type"] == "pulumi-python:dynamic:Resource"]
    assert max(each["outputs"]["peak"] for each in others) == 4


def test_neither_a_kill_of_the_cli_nor_ctrl_c_cuts_them_off(sim: Simulator, stack: Stack, folder: Path) -> None:
    stack.environment["BATCH_OS_LOG"] = str(folder / "batch-os.log")
    declare(stack, sim, 'Other("first", "wait")\n')
    running = stack.start_up()
    wait_until(lambda: running.waits and (folder / "first-began").exists(), "both are at work")
    running.kill()
    log = folder / "batch-os.log"
    wait_until(lambda: "our rollouts end" in log.read_text(encoding="utf-8"), "the loss of the engine is seen")
    time.sleep(5)  # more than the process has to end itself; that it does not can only be seen by waiting
    asked = len(sim.requests())
    assert len(stack.plugins()) == 1
    assert not (folder / "first-ended").exists()
    (folder / "first-may-end").touch()
    wait_until(lambda: not stack.plugins(), "the process ends after the last call")
    assert (folder / "first-ended").exists()
    assert (folder / "exit-handlers-ran").exists()
    assert len(sim.requests()) == asked, "our rollout had stopped"

    stack.run("cancel", "--yes").ok()
    declare(stack, sim, 'Other("second", "wait")\n')
    running = stack.start_up()
    wait_until(lambda: running.waits and (folder / "second-began").exists(), "both are at work")
    running.interrupt()
    wait_until(lambda: "interrupted by ^C" in running.text, "our rollout ends")
    assert not (folder / "second-ended").exists()
    (folder / "second-may-end").touch()
    running.wait().failed()
    assert (folder / "second-ended").exists()
    assert '"id": "second"' in stack.run("stack", "export").ok().text, "the engine saved what it made"
