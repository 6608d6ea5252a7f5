"""Simulators for tests: frozen clocks, so that time passes only where a test says so."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from batch_os_provider.simulator.server import Simulator, running
from batch_os_provider.simulator.world.clock import VirtualClock, parse_iso
from batch_os_provider.simulator.world.world import World
from tests.simulator.raw_client import Client


@pytest.fixture
def world() -> World:
    """An empty account at a known time, without any server."""
    return World(VirtualClock(parse_iso("2018-08-24T07:46:48.3436665Z"), speed=0))


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    """One server for a file of tests; :func:`client` empties it for each."""
    with running(speed=0) as started:
        yield started


@pytest.fixture
def client(simulator: Simulator) -> Client:
    """A signing client on an empty account."""
    client = Client(simulator)
    client.control("POST", "reset")
    return client
