"""Small accounts to start from."""

from __future__ import annotations

from typing import Any

from batch_os_provider.simulator.world.world import World

OLD = "WA-GUEST-OS-5.24_201810-01"
NEW = "WA-GUEST-OS-5.25_201811-01"


def paas(name: str = "p", nodes: int = 3, current: str = OLD, **more: Any) -> dict[str, Any]:
    """An idle Cloud Services pool."""
    listed = [{"id": f"tvm-{place}"} for place in range(1, nodes + 1)]
    return {
        "id": name,
        "cloudServiceConfiguration": {"osFamily": "5", "currentOSVersion": current},
        "nodes": listed,
        **more,
    }


def vm(name: str = "v", nodes: int = 2, version: str = "latest", **more: Any) -> dict[str, Any]:
    """An idle VM pool."""
    image = {"publisher": "canonical", "offer": "ubuntu", "sku": "22_04-lts", "version": version}
    machine = {"imageReference": image, "nodeAgentSKUId": "batch.node.ubuntu 22.04"}
    return {"id": name, "virtualMachineConfiguration": machine, "targetDedicatedNodes": nodes, **more}


def job(*commands: str, name: str = "j", pool: str = "p", **more: Any) -> dict[str, Any]:
    """A job whose tasks t1, t2, ... run these commands."""
    tasks = [{"id": f"t{place}", "commandLine": command} for place, command in enumerate(commands, 1)]
    return {"id": name, "poolInfo": {"poolId": pool}, "tasks": tasks, **more}


def pass_time(world: World, count: float) -> None:
    """Advance by a number of virtual seconds."""
    world.clock.advance(count)
    world.advance()


def moves(world: World, resource: str, name: str | None = None) -> list[tuple[str | None, str | None]]:
    """The transitions of a kind of resource, in order."""
    return [
        (entry.detail["from"], entry.detail["to"])
        for entry in world.audit.entries
        if entry.kind == "transition" and entry.detail["resource"] == resource and name in (None, entry.detail["id"])
    ]


WINDOWS = {"publisher": "microsoftwindowsserver", "offer": "windowsserver", "sku": "2022-datacenter-core"}
FIRST, SECOND = "20348.2227.240104", "20348.2402.240402"
MOVING = [
    {**WINDOWS, "versions": [{"version": FIRST}, {"version": SECOND, "since": "2018-08-24T08:00:00Z"}]},
]
"""An image whose ``latest`` moves a quarter of an hour after the start time of the tests."""


def windows(name: str = "v", nodes: int = 4, exact: str | None = FIRST, **more: Any) -> dict[str, Any]:
    """An idle VM pool on ``latest``, with listed nodes."""
    image = {**WINDOWS, "version": more.pop("version", "latest")}
    machine = {"imageReference": image, "nodeAgentSKUId": "batch.node.windows amd64"}
    listed: list[dict[str, Any]] = [{"id": f"tvm-{place}"} for place in range(1, nodes + 1)]
    for each in listed if exact else ():
        each["virtualMachineInfo"] = {"imageReference": {**image, "exactVersion": exact}}
    return {"id": name, "virtualMachineConfiguration": machine, "nodes": listed, **more}


def versions(pool: Any) -> list[str]:
    """The exact version of each node of a pool of the world."""
    return [node.image["exactVersion"] for node in pool.nodes.values()]
