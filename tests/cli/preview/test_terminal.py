"""What a person sees: rows of the real CLI and `batch-os watch` on pseudo-terminals, read from the screen."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.simulator import NEW, OTHER, SHORT_NEW, SHORT_OLD, TARGET, Simulator, paas_pool, vm_pool
from tests.support.stack import wait_until
from tests.support.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.stack import Stack

WATCH = (sys.executable, "-c", "from batch_os_provider.cli.main import main; main()", "watch")
UP = ("pulumi", "up", "--yes", "--skip-preview")


@pytest.fixture
def on_terminal(stack: Stack) -> Iterator[Callable[..., Terminal]]:
    """Starts commands with the environment of the stack."""
    started: list[Terminal] = []

    def start(columns: int, *command: str) -> Terminal:
        started.append(Terminal(command, columns, stack.environment, stack.program_folder))
        return started[-1]

    yield start
    for each in started:
        each.end()


def declare(stack: Stack, sim: Simulator, target: str) -> None:
    where = f"account_endpoint={sim.endpoint!r}"
    stack.program(
        f"PoolOsVersion('render', pool_id='render', {where}, target_os_version={target!r})\n"
        f"PoolImageVersion('film', pool_id='film', {where}, target_image_version={TARGET!r}, strategy='surge')\n"
    )


def test_the_news_of_a_row_are_on_the_screen(
    sim: Simulator, stack: Stack, on_terminal: Callable[..., Terminal]
) -> None:
    sim.seed(paas_pool(nodes=6), vm_pool("film", nodes=2))
    declare(stack, sim, NEW)
    creating = on_terminal(120, *UP)
    wait_until(lambda: re.search(r"creating.* \d of 6 nodes back, \d+s; ", creating.line("render")), "counts at 120")
    wait_until(lambda: re.search(r"creating.* 2 of 2 nodes behind, \d+s; ", creating.line("film")), "and of VM nodes")
    table, narrow = (on_terminal(columns, *WATCH, sim.endpoint) for columns in (80, 40))
    wait_until(lambda: re.search(r"render +upgrading +\d of 6 nodes back +\d+", table.line("render")), "a table")
    assert f"{SHORT_OLD} ->" in table.line("render")
    wait_until(lambda: re.search(r"nodes\s+behind|nodes behind", table.line("film")), "the renewal, by its marker")
    wait_until(lambda: re.search(rf"\n  \d of 6 nodes back\n(.*\n)*  -> {SHORT_NEW}(\n|$)", narrow.text), "at 40")
    assert all(len(line) <= 40 for line in narrow.lines)
    narrow.interrupt()
    assert narrow.wait() == 0
    assert "Traceback" not in narrow.text
    sim.speed(60)
    assert creating.wait() == 0, creating.text
    assert re.search(r"done, 6 of 6 nodes back, \w+; ", creating.text), creating.text
    wait_until(lambda: "no pool is being upgraded, renewed or resized" in table.text, "redrawn in place")
    assert "render: upgrading has ended" in table.text
    assert table.text.count(sim.endpoint) == 1, "in place: the screen holds one picture"
    sim.speed(0)
    declare(stack, sim, OTHER)
    updating = on_terminal(140, *UP)
    said = r"updating.*\[diff: ~target_os_version\]; \d of 6 nodes back, \d+s"
    wait_until(lambda: re.search(said, updating.line("render")), "counts at 140, after what the CLI itself says")
    sim.speed(60)
    assert updating.wait() == 0, updating.text
    table.interrupt()
    assert table.wait() == 0
    for each in (creating, updating):
        assert b"batch-os v1" not in each.raw, "no program reads a terminal"


def test_watch_survives_what_passes(sim: Simulator, on_terminal: Callable[..., Terminal]) -> None:
    answer = {"kind": "status", "status": 429, "code": "TooManyRequests", "message": "Slow down.", "retryAfter": 6}
    sim.fault("Pool_List", answer, nth=1)
    terminal = on_terminal(100, *WATCH, sim.endpoint)

    def says_so() -> bool:
        text = " ".join(terminal.text.split())
        return "HTTP 429 TooManyRequests: Slow down; trying again in" in text

    wait_until(says_so, "it says so")
    wait_until(lambda: "no pool is being upgraded" in terminal.text, "it goes on")
    assert "HTTP 429" not in terminal.text, "what has passed is not shown any more"
    terminal.interrupt()
    assert terminal.wait() == 0
