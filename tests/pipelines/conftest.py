"""Fixtures: a build machine, and a simulator that tells who may only read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pipelines.machine import STACKS, Machine, make_template
from tests.pipelines.servers import TOKEN
from tests.support import fork_server
from tests.support import simulator as simulators
from tests.support.simulator import Simulator
from tests.support.stack import made_once

STARTED_AS_BY_USERS = {"test_a_cancelled_run_ends_in_time_and_a_hung_one_by_force"}
"""Tests in which no process comes from a fork server."""
READER = "batch-os-reader"
"""Who pull requests sign in as: a client on GitHub, a connection on Azure DevOps."""


@pytest.fixture
def sim() -> Iterator[Simulator]:
    """A simulator with a pool for each stack, which checks Entra tokens; its time runs fast."""
    for simulator in simulators.running_command(["--tls", "--speed", "60"]):
        simulator.pools(*map(simulators.paas_pool, STACKS))
        yield simulator


@pytest.fixture
def identities(sim: Simulator) -> dict[str, dict[str, str]]:
    """What GitHub gives a job whose workflow names this client, by client: the reader may not write."""
    found = {}
    for name in (READER, "batch-os-writer"):
        given = sim.by_oidc(name, "ACTIONS_ID_TOKEN_REQUEST", readOnly=name == READER)
        found[name] = {key: value for key, value in given.items() if not key.startswith("ARM_")}
    return found


@pytest.fixture
def connections(sim: Simulator) -> dict[str, dict[str, str]]:
    """Azure DevOps' service connections, as the task AzureCLI announces each: the reader may not write."""
    found = {}
    for name in (READER, *(f"batch-os-{stack}" for stack in STACKS)):
        # All connections of a job are asked for with the same bearer, which its client has to itself.
        given = sim.by_pipelines(f"client-of-{name}", secret=TOKEN, readOnly=name == READER)
        found[name] = {
            "AZURESUBSCRIPTION_SERVICE_CONNECTION_ID": given["AZURESUBSCRIPTION_SERVICE_CONNECTION_ID"],
            "AZURESUBSCRIPTION_CLIENT_ID": given["ARM_CLIENT_ID"],
            "AZURESUBSCRIPTION_TENANT_ID": given["ARM_TENANT_ID"],
            **{key: given[key] for key in ("AZURE_AUTHORITY_HOST", "REQUESTS_CA_BUNDLE", "SYSTEM_OIDCREQUESTURI")},
        }
    return found


@pytest.fixture(scope="session")
def machine_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with stacks, to be copied."""
    assert "BATCH_OS_TEST_PULUMI" in os.environ, "the Pulumi CLI is needed; run the tests with `make test`"
    return made_once(tmp_path_factory, "machine", make_template)


@pytest.fixture
def machine(
    tmp_path: Path,
    machine_template: Path,
    sim: Simulator,
    identities: dict[str, dict[str, str]],
    connections: dict[str, dict[str, str]],
    request: pytest.FixtureRequest,
) -> Iterator[Machine]:
    """A build machine whose repository is the promotion example, its three stacks made and never deployed."""
    forks = "" if request.node.name in STARTED_AS_BY_USERS else fork_server.address()
    made = Machine(tmp_path / "machine", machine_template, identities, connections, forks)
    try:
        for stack in STACKS:
            made.configure(stack, accountEndpoint=sim.endpoint, poolId=stack)
        yield made
    finally:
        made.end()
