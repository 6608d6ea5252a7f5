"""The TypeScript programs of the page on the real CLI: an SDK of the native provider, and the token of Python's."""

from __future__ import annotations

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


def test_both_programs_of_the_page(sim: Simulator, stack: Stack, compiled: Workspace) -> None:
    """One `up` of a program that imports both. Then the Python program that declares the same changes nothing."""
    sim.pools(paas_pool("render"), paas_pool("frames"))
    sim.speed(60)
    stack.run("config", "set", "batchKey", sim.key, "--secret").ok()
    here = {ENDPOINT: sim.endpoint, DECLARED: NEW}
    named = {"accountKey:": f'accountName: "{sim.account}", accountKey:'}
    program = install(compiled, stack.program_folder, {"native": {**here, **named}, "dynamic": here})
    with node_host(program, stack.environment) as options:
        done = stack.up(*options).ok()
    assert {each["pool"] for each in sim.upgrades()} == {"render", "frames"}
    assert f'framesVersion: "{NEW}" version : "{NEW}"' in done.flat
    assert stack.outputs()["current_os_version"] == NEW
    assert sim.key not in done.text
    assert sim.key not in stack.state_file.read_text(encoding="utf-8")

    asked = len(sim.requests())
    stack.declare(sim, NEW, name="frames", pool_id="frames")
    assert stack.steps() == [], "neither a change nor another resource"
    assert len(sim.requests()) == asked
