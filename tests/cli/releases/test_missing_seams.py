"""With any private part of the SDK missing, the provider still works, with less comfort."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.simulator import NEW, SHORT_NEW, SHORT_OLD, Simulator, paas_pool
from tests.support.stack import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.stack import Stack

FOLDER = Path(__file__).parents[1] / "missing_seams"


def without(new_stack: Callable[..., Stack], seam: str) -> Stack:
    """A stack whose plugin lacks a seam, or several that are separated by commas."""
    return new_stack(PYTHONPATH=str(FOLDER), BATCH_OS_TEST_WITHOUT=seam, BATCH_OS_LOG="batch-os.log")


SEAMS = (
    *("widen", "cancel", "clean errors", "urn", "row status", "watch", "terminal", "tail"),
    *("other width", "other calls"),
)


def test_up_works_without(sim: Simulator, new_stack: Callable[..., Stack], tmp_path: Path) -> None:
    """One `up` in which each pool has a plugin process of its own, and each process lacks another seam."""
    taken = tmp_path / "taken"
    taken.mkdir()
    stack = without(new_stack, ",".join(SEAMS))
    stack.environment["BATCH_OS_TEST_ONE_EACH"] = str(taken)
    # A number of nodes of its own names each pool in the lines that lack the name of the resource.
    sizes = {f"p{number}": number for number in range(1, len(SEAMS) + 1)}
    sim.pools(*(paas_pool(name, nodes=nodes) for name, nodes in sizes.items()))
    stack.program(
        f"""
        for name in {list(sizes)}:
            own = pulumi.ProviderResource("pulumi-python", "own-" + name, {{}})
            PoolOsVersion(
                name, account_endpoint={sim.endpoint!r}, pool_id=name, target_os_version={NEW!r},
                opts=ResourceOptions(provider=own),
            )
        """
    )
    sim.speed(60)
    done = stack.up("--parallel", "32").ok()
    assert {path.name for path in taken.iterdir()} == set(SEAMS)
    log = (stack.program_folder / "batch-os.log").read_text(encoding="utf-8")
    for seam in SEAMS:
        assert f"seam '{seam}' is missing" in log
    for name, nodes in sizes.items():
        back = rf"done, {nodes} of {nodes} nodes? back, \w+; {SHORT_OLD} -> {SHORT_NEW}"
        assert re.search(back, done.text), f"the line of {name} is somewhere, if not on its row"
    assert sorted(str(each["pool"]) for each in sim.upgrades()) == sorted(sizes)
    assert {each["current_os_version"] for each in stack.all_outputs().values()} == {NEW}
    # Both seams read our ancestors in /proc; a process that cannot read them writes for programs.
    tails = set(re.findall(r'\[batch-os v1 {"pool":"[^"]+/(\w+)"', done.text))
    assert len(tails) == len({"terminal", "tail"}), tails


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
    wait_until(lambda: running.waits, "the wait begins")
    running.interrupt()
    wait_until(lambda: "cancel" in running.text.lower(), "the engine heard the first ^C")
    running.interrupt()
    assert running.wait().code != 0
    sim.speed(60)
    stack.up().ok()
    assert len(sim.upgrades()) == 1
    assert stack.outputs()["current_os_version"] == NEW
