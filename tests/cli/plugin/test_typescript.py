"""The TypeScript programs of the page on the real CLI: an SDK of the native provider, and the token of Python's."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.support.simulator import NEW, Simulator, paas_pool
from tests.support.typescript import Workspace, install, node_host, workspace

if TYPE_CHECKING:
    from tests.support.stack import Stack

ENDPOINT = "https://myaccount.westeurope.batch.azure.com"
DECLARED = "WA-GUEST-OS-7.58_202511-01"


@pytest.fixture
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The programs of the page."""
    return workspace(tmp_path_factory)


def test_the_programs_of_the_page_and_a_fleet(sim: Simulator, stack: Stack, compiled: Workspace) -> None:
    """One `up` of a program that imports them. Then a Python program that declares one pool of it changes nothing."""
    pools = ("render", "frames", "encode", "shade")
    sim.pools(*map(paas_pool, pools))
    sim.speed(60)
    stack.run("config", "set", "batchKey", sim.key, "--secret").ok()
    here = {ENDPOINT: sim.endpoint, DECLARED: NEW}
    named = {**here, "accountKey:": f'accountName: "{sim.account}", accountKey:'}
    program = install(compiled, stack.program_folder, {"native": named, "dynamic": here, "fleet": named})
    with node_host(program, stack.environment) as options:
        done = stack.up(*options).ok()
    upgraded = [each["pool"] for each in sim.upgrades()]
    assert sorted(upgraded) == sorted(pools)
    assert upgraded.index("encode") < upgraded.index("shade"), "the canary is a wave of its own"
    for name in ("version", "framesVersion", "shade"):
        assert re.search(rf'{name} *: "{NEW}"', done.text), name
    assert 'waves : [ [0]: [ [0]: "encode" ] [1]: [ [0]: "shade" ] ]' in done.flat
    assert stack.outputs()["current_os_version"] == NEW
    assert sim.key not in done.text
    assert sim.key not in stack.state_file.read_text(encoding="utf-8")

    asked = len(sim.requests())
    stack.declare(sim, NEW, name="frames", pool_id="frames")
    assert stack.steps() == [], "neither a change nor another resource"
    assert len(sim.requests()) == asked
