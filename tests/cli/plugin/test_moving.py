"""A stack moves from the dynamic provider to the native one and back, by alias: no replacement, no write to Batch."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from tests.support.plugin import FLEET, OS
from tests.support.simulator import OLD, Simulator, paas_pool
from tests.support.stack import PROJECT, STACK, TYPE

if TYPE_CHECKING:
    from tests.support.stack import Stack

NAMES = ("calm", "render")
FARM = ("a", "b", "c")


def python(stack: Stack, sim: Simulator, options: str = "None", fleet: str = "") -> None:
    (stack.program_folder / "Pulumi.yaml").write_text(f"name: {PROJECT}\nruntime: python\n", encoding="utf-8")
    declared = {"account_endpoint": sim.endpoint, "target_os_version": OLD, "timeout": "2h"}
    stack.program(
        f"""
        for name in {NAMES!r}:
            PoolOsVersion(name, pool_id=name, **{declared!r}, opts={options})
        PoolFleet("farm", pools={list(FARM)!r}, max_unhealthy=0, **{declared!r}, {fleet})
        """
    )


def yaml(stack: Stack, sim: Simulator, timeouts: dict[str, str]) -> None:
    resources: dict[str, Any] = {
        name: {
            "type": "batchos:PoolOsVersion",
            "properties": {
                "accountEndpoint": sim.endpoint,
                "poolId": name,
                "targetOsVersion": OLD,
                "timeout": timeout,
            },
            "options": {"retainOnDelete": True},
        }
        for name, timeout in timeouts.items()
    }
    farm = {"accountEndpoint": sim.endpoint, "targetOsVersion": OLD, "timeout": "2h", "maxUnhealthy": 0}
    resources["farm"] = {
        "type": "batchos:PoolFleet",
        "properties": {"pools": [*FARM], **farm},
        "options": {"retainOnDelete": True},
    }
    program = {"name": PROJECT, "runtime": "yaml", "resources": resources}
    (stack.program_folder / "Pulumi.yaml").write_text(json.dumps(program), encoding="utf-8")


def kinds(stack: Stack) -> dict[str, str]:
    found = stack.deployment()["resources"]
    return {each["urn"].rpartition("::")[2]: each["type"] for each in found if "/pools/" in each.get("id", "")}


def test_a_stack_moves_there_and_back(sim: Simulator, stack: Stack) -> None:
    sim.pools(*map(paas_pool, (*NAMES, *FARM)))
    every = (*NAMES, *(f"farm-{name}" for name in FARM))
    python(stack, sim)
    stack.up().ok()
    assert kinds(stack) == dict.fromkeys(every, TYPE)

    # The schema has the alias. What is the same by meaning is no change; a changed input is one update.
    yaml(stack, sim, {"calm": "120m", "render": "3h"})
    moved = stack.up().ok()
    assert re.search(r"~ 1 updated\s+6 unchanged", moved.text), moved.text
    assert kinds(stack) == dict.fromkeys(every, OS)

    # Back: the program names the alias. What the native provider has written is updated once.
    former = {name: f"urn:pulumi:{STACK}::{PROJECT}::{FLEET}${OS}::farm-{name}" for name in FARM}
    python(
        stack,
        sim,
        f"ResourceOptions(aliases=[pulumi.Alias(type_={OS!r})])",
        f"aliases={former!r}, opts=ResourceOptions(aliases=[pulumi.Alias(type_={FLEET!r})])",
    )
    back = stack.up().ok()
    assert re.search(r"~ 1 updated\s+6 unchanged", back.text), back.text
    assert kinds(stack) == dict.fromkeys(every, TYPE)
    assert stack.all_outputs()["render"]["timeout"] == "2h"
    written = {name for each in stack.resources() for name in each["outputs"] if name != "__provider"}
    assert not [name for name in written if name.lower() != name]
    assert "unchanged" in stack.preview("--expect-no-changes").ok().text
    assert not sim.writes()
