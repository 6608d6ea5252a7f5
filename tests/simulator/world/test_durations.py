"""How long nodes of VM pools take, beside the recorded times (`90-durations` of the recordings)."""

from __future__ import annotations

import pytest

from batch_os_provider.recorded_times import ALLOCATION, LINUX_START, REMOVAL, WINDOWS_START
from batch_os_provider.simulator.state.dump import dump
from batch_os_provider.simulator.state.load import StateError, load
from batch_os_provider.simulator.world import resizes
from batch_os_provider.simulator.world.clock import TICKS, parse_iso
from tests.simulator.seeds import paas, pass_time, vm

UBUNTU, EL, WINDOWS = "batch.node.ubuntu 24.04", "batch.node.el 9", "batch.node.windows amd64"


def pool(agent: str, size: str, nodes: int = 0) -> dict:
    made = vm(nodes=nodes, vmSize=size)
    made["virtualMachineConfiguration"]["nodeAgentSKUId"] = agent
    return made


def moments(world, state: str | None) -> list[float]:
    """Seconds from now until the nodes of the pool reach a state; None is gone."""
    began = world.now
    pass_time(world, 3600)
    return [since(began, entry) for entry in world.audit.entries if is_about(entry, state)]


def is_about(entry, state: str | None) -> bool:
    about = entry.kind == "transition" and entry.detail["resource"] == "node"
    return about and entry.detail["to"] == state


def since(began: int, entry) -> float:
    return (parse_iso(entry.to_json()["virtual"]) - began) / TICKS


@pytest.mark.parametrize(
    ("agent", "size", "least", "most"),
    [
        (UBUNTU, "standard_d2s_v3", LINUX_START.least, LINUX_START.most),
        (EL, "standard_d1_v2", LINUX_START.least, LINUX_START.most),
        (WINDOWS, "standard_d2s_v3", 140, 165),
        (WINDOWS, "Standard_D16s_v5", 140, 165),
        (WINDOWS, "STANDARD_D1_V2", 400, WINDOWS_START.most),
        (WINDOWS, "standard_a1_v2", 400, WINDOWS_START.most),
    ],
)
def test_nodes_come_all_at_once_and_are_idle_after_the_recorded_time(world, agent, size, least, most):
    load(world, {"pools": [pool(agent, size)]})
    resizes.resize(world, world.pool("v"), (8, None), None, "requeue")
    began = world.now
    idle = moments(world, "idle")
    allocated = [since(began, entry) for entry in world.audit.entries if is_about(entry, "creating")]
    assert (len(idle), len(allocated), len(set(allocated))) == (8, 8, 1)
    assert ALLOCATION.least <= allocated[0] <= ALLOCATION.most
    assert all(least <= each - allocated[0] <= most for each in idle), idle


def test_a_removed_node_is_gone_after_the_recorded_time(world):
    load(world, {"pools": [pool(WINDOWS, "standard_d2s_v3", nodes=2)]})
    resizes.remove_nodes(world, world.pool("v"), [next(iter(world.pool("v").nodes))], None, "taskcompletion")
    (gone,) = moments(world, None)
    assert REMOVAL.least <= gone <= REMOVAL.most


def test_short_durations_and_cloud_services_pools_are_as_before(world):
    load(world, {"pools": [pool(WINDOWS, "standard_d2s_v3"), paas(nodes=0)], "durations": "short"})
    assert dump(world, "http://127.0.0.1:1")["durations"] == "short"
    for each in world.pools.values():
        resizes.resize(world, each, (1, None), None, "requeue")
    assert all(75 <= each <= 85 for each in moments(world, "idle"))
    load(world, {"pools": []})
    assert "durations" not in dump(world, "http://127.0.0.1:1")


def test_other_durations_are_refused(world):
    with pytest.raises(StateError, match="durations is recorded or short, not 'fast'"):
        load(world, {"durations": "fast"})
