"""``nodes_since`` on the real CLI: pools whose nodes show ``latest``, a gallery and a pinned pool in one stack."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from tests.support.door_marks import native_door
from tests.support.simulator import IMAGES, Simulator, job, vm_pool

if TYPE_CHECKING:
    from tests.support.stack import Stack

pytestmark = native_door

ALLOCATED = "2018-11-01T00:00:00Z"
"""When the seeded nodes were allocated."""


def test_pools_on_latest_are_renewed_by_the_age_of_their_nodes(sim: Simulator, stack: Stack) -> None:
    """Preview, `up`, a quiet refresh, nodes that come and go, and a drift; then two moments that are refused."""
    sim.unknown(exactVersionOfLatest="latest")
    hpc, older, ubuntu = (IMAGES[name] for name in ("ubuntu-hpc", "windows-2019", "ubuntu"))
    gallery = vm_pool("gallery-2", image=ubuntu)
    gallery["virtualMachineConfiguration"]["imageReference"] = {"virtualMachineImageId": "/galleries/team/images/cfd"}
    sim.seed(
        vm_pool("hpc_1", nodes=3, image=hpc, exact="latest"),
        vm_pool("pinned", nodes=1, image=older, version=older.behind),
        gallery,
        vm_pool("Scaling", nodes=0, image=ubuntu),
        images=[image.row for image in (hpc, older, ubuntu)],
        jobs=[job("hpc_1", *[90] * 4)],
    )
    today = sim.get("state")["virtual"][:10]
    since: dict[str, Any] = {"nodes_since": today}
    declared = {"hpc_1": {**since, "surge": 2}, "pinned": since, "gallery-2": since, "Scaling": since}
    stack.declare_images(sim, "", **declared)
    shown = stack.preview().ok().flat
    ends = f"allocated since 2018-11-01 -> {today}"
    assert re.search(rf"3 of 3 nodes behind, .*?surge 2: 2 rounds, \+2 nodes at a time; {ends}", shown), shown
    assert f"the pool stays pinned to {older.behind}; {ends}" in shown
    assert "no change needed; it has no nodes" in shown
    assert not sim.writes()
    sim.speed(120)
    done = stack.up().ok().flat
    assert re.search(rf"done, 3 nodes new enough, \w+; {ends}", done), done
    assert not {"tvm-001", "tvm-002", "tvm-003"} & {node["id"] for node in sim.pool("hpc_1")["nodes"]}
    assert sim.versions("pinned") == [older.behind], "a new node of a pinned pool gets the pin"
    sim.advance(1000)
    sim.assert_tasks_ran_once("hpc_1")
    outputs = stack.all_outputs()["hpc_1"]
    assert outputs["nodes_behind"] == 0
    assert outputs.get("oldest_node_allocated") is None
    # A pool that scales gets nodes, which are all new enough: nothing to see.
    sim.outside("POST", "/pools/Scaling/resize", {"targetDedicatedNodes": 2})
    sim.advance(1000)
    stack.refresh("--expect-no-changes").ok()
    # Somebody brings an old node back.
    nodes = sim.pool("gallery-2")["nodes"]
    nodes[0]["allocationTime"] = ALLOCATED
    sim.change("gallery-2", nodes=nodes)
    drift = stack.run("preview", "--refresh", "--diff").ok().flat
    assert f'nodesSince: "{ALLOCATED}" => "{today}"' in drift, drift
    stack.declare_images(sim, "", hpc_1={"nodes_since": "2999-01-01"}, pinned=since, Scaling=since)
    failed = stack.run("preview").failed().flat
    assert "nodesSince 2999-01-01 is in the future: the clock of Batch shows " in failed
    assert f'Next: Declare a moment that has passed, such as nodesSince: "{today[:4]}' in failed
    stack.declare_images(sim, "", hpc_1={**since, "target_image_version": hpc.target})
    wrong = stack.run("preview").failed().flat
    assert "targetImageVersion and nodesSince are declared; allowed: exactly one of them" in wrong
