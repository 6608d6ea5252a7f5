"""Pins the plural forms of the simulator's messages, each with 0, 1 and 2.

A new message with a number is one more row of ``MESSAGES``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from batch_os_provider.simulator.faults import actor_actions
from batch_os_provider.simulator.state.load import load
from batch_os_provider.simulator.world.clock import VirtualClock
from batch_os_provider.simulator.world.reader import RefusedError, StateError
from batch_os_provider.simulator.world.world import World
from tests.simulator.seeds import job, paas
from tests.unit.plurals import wrong_plurals


def refused(*pools: dict[str, Any], jobs: tuple[dict[str, Any], ...] = (), **more: Any) -> str:
    with pytest.raises(StateError) as raised:
        load(World(VirtualClock(speed=0)), {"pools": list(pools), "jobs": list(jobs), **more})
    return str(raised.value)


def too_few(number: int) -> str:
    world = World(VirtualClock(speed=0))
    load(world, {"pools": [paas(nodes=number)]})
    with pytest.raises(RefusedError) as raised:
        actor_actions.perform(world, "p", {"kind": "removeNodes", "count": number + 1})
    return str(raised.value)


def crowded(number: int) -> str:
    tasks = [{"id": f"t{place}", "state": "running", "nodeInfo": {"nodeId": "tvm-1"}} for place in range(number)]
    return refused(paas(nodes=1, taskSlotsPerNode=number - 1), jobs=({**job(), "tasks": tasks},))


MESSAGES: dict[str, tuple[tuple[int, ...], Callable[[int], str]]] = {
    "nodes for an action": ((0, 1, 2), too_few),
    "a steady pool": ((0, 1, 2), lambda number: refused(paas(nodes=number, targetDedicatedNodes=5))),
    "listed nodes": ((0, 1, 2), lambda number: refused(paas(nodes=number, currentDedicatedNodes=5))),
    "tasks and slots": ((1, 2, 3), crowded),
    "unknown properties": ((1, 2), lambda number: refused(**{f"name{place}": 1 for place in range(number)})),
}


@pytest.mark.parametrize(("name", "number"), [(name, number) for name, row in MESSAGES.items() for number in row[0]])
def test_plural_forms(name: str, number: int) -> None:
    text = MESSAGES[name][1](number)
    if name != "unknown properties":
        assert str(number) in text
    assert wrong_plurals(text) == []
    assert ("properties" in text) is (name == "unknown properties" and number > 1)
