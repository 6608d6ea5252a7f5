"""The cycle of `surge`: nodes come, are proven, old ones finish and go; and whatever fails is undone first."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from tests.support.door_marks import native_door
from tests.support.simulator import ABOVE, BEHIND, MOVED, NEWEST, TARGET, Simulator, job, vm_pool
from tests.support.stack import wait_until

if TYPE_CHECKING:
    from tests.support.stack import Stack

pytestmark = native_door

OURS = "batch-os"
SETUP = {"commandLine": "cmd /c setup", "waitForSuccess": True}


def script(**words: Any) -> dict[str, Any]:
    """What the nodes that are added are in for."""
    return {"simulator": {"allocation": words}}


def assert_as_before(sim: Simulator, pool_id: str, nodes: list[str]) -> None:
    """The very nodes that were there before are all there is, all take tasks, and the mark is gone."""
    pool = sim.pool(pool_id)
    assert [node["id"] for node in pool["nodes"]] == nodes, pool_id
    assert pool["targetDedicatedNodes"] == len(nodes), pool_id
    assert not pool.get("metadata"), pool_id
    assert sim.capacity(len(nodes), pool_id)[0] == len(nodes), pool_id


def assert_renewed(sim: Simulator, pool_id: str, nodes: int, surge: int) -> None:
    """As many nodes as before, none behind, never fewer, never more than the surge, and the mark is gone."""
    pool = sim.pool(pool_id)
    assert (len(pool["nodes"]), pool["targetDedicatedNodes"]) == (nodes, nodes), pool_id
    assert BEHIND not in sim.versions(pool_id), pool_id
    assert OURS not in [entry["name"] for entry in pool.get("metadata", [])], pool_id
    least, most = sim.capacity(nodes, pool_id)
    assert least >= nodes, f"{pool_id}: capacity fell from {nodes} to {least}"
    assert most <= nodes + surge, f"{pool_id}: {most} nodes"


def test_busy_nodes_finish_their_tasks_and_go(sim: Simulator, stack: Stack) -> None:
    busy = vm_pool("busy", nodes=5, metadata=[{"name": "owner", "value": "render team"}])
    spot = vm_pool("spot", nodes=1, targetLowPriorityNodes=1, currentLowPriorityNodes=1)
    spot["nodes"].append({**spot["nodes"][0], "id": "cheap", "isDedicated": False})
    half = vm_pool("half", nodes=2)
    half["nodes"][1] |= {"virtualMachineInfo": vm_pool(exact=ABOVE)["nodes"][0]["virtualMachineInfo"]}
    surges = {"surge1": 1, "surge2": 2, "surge5": 5}
    large = [vm_pool(pool_id, nodes=20) for pool_id in surges]
    sparing = vm_pool("sparing", nodes=4, targetLowPriorityNodes=1, currentLowPriorityNodes=1)
    sparing["nodes"].append({**sparing["nodes"][0], "id": "cheap", "isDedicated": False})
    sim.seed(
        busy, spot, half, sparing, *large, jobs=[job("busy", *[400] * 12), job("spot", 400, 90), job("half", 10, 700)]
    )
    more = {pool_id: {"surge": surge} for pool_id, surge in surges.items()}
    more["sparing"] = {"surge": 0, "max_unavailable": "50%"}
    stack.declare_images(sim, TARGET, busy={"surge": 2}, spot={}, half={"surge": 5}, **more)
    shown = stack.preview().ok().flat
    expected = "5 of 5 nodes behind, 5 running tasks, none will be stopped; surge 2: 3 rounds, +2 nodes at a time; "
    assert f"{expected}{BEHIND} -> {TARGET}" in shown
    assert "5 of 5 nodes behind, 0 running tasks, none will be stopped; maxUnavailable 50%: 3 rounds, up to 2 " in shown
    assert not sim.writes()
    sim.speed(120)
    said = stack.up().ok()
    for done in ("5 nodes at the target or newer", "1 node at the target or newer, 1 spot node not renewed"):
        assert re.search(rf"done, {done}, \w+; {BEHIND} -> {TARGET}", said.flat), said.text
    sim.advance(4000)
    for pool_id, nodes, surge in (("busy", 5, 2), ("spot", 1, 1), ("half", 2, 1)):
        sim.assert_tasks_ran_once(pool_id)
        if pool_id != "spot":
            assert_renewed(sim, pool_id, nodes, surge)
    assert len(sim.seen("half", "Pool_Resize", 202)) == 1
    least, most = sim.capacity(4, "sparing")
    assert (least, most) == (2, 4)
    assert set(sim.versions("sparing")) == {TARGET}
    assert [node["isDedicated"] for node in sim.pool("sparing")["nodes"]].count(False) == 1
    for pool_id, surge in surges.items():
        assert_renewed(sim, pool_id, 20, surge)
        for operation in ("Pool_Resize", "Pool_RemoveNodes"):
            assert len(sim.seen(pool_id, operation, 202)) == 20 // surge, pool_id
    assert sim.pool("busy")["metadata"] == [{"name": "owner", "value": "render team"}]
    assert sorted(sim.versions("spot")) == [BEHIND, TARGET]
    assert "cheap" in [node["id"] for node in sim.pool("spot")["nodes"]]
    assert stack.all_outputs()["busy"] == {
        "account_endpoint": sim.endpoint,
        "pool_id": "busy",
        "target_image_version": TARGET,
        "strategy": "surge",
        "surge": 2,
        "image": "microsoftwindowsserver windowsserver 2022-datacenter-core latest",
        "pool_image_version": "latest",
        "oldest_node_version": TARGET,
        "oldest_node_agent_version": "1.12.39",
        "nodes_behind": 0,
        "pool_state": "active",
    }
    stack.refresh("--expect-no-changes").ok()
    stack.preview("--expect-no-changes").ok()


def test_what_fails_is_undone_before_it_is_told(sim: Simulator, stack: Stack) -> None:
    sim.seed(
        vm_pool("version", **script(version=BEHIND)),
        vm_pool("start", startTask=SETUP, **script(startTask="fail")),
        vm_pool("unusable", **script(state="unusable")),
        vm_pool("allocation", nodes=4, **script(fail="AllocationFailed", failAfter=1)),
        vm_pool("never", **script(fail="AllocationTimedout")),
        vm_pool("quota", **script(fail="AccountCoreQuotaReached")),
        vm_pool("later", **script(fail="AllocationFailed", failAfter=1)),
        jobs=[job("version", 500, 500), job("start", *[100] * 6), job("allocation", *[150] * 8)],
    )
    sim.speed(120)
    pools = ("version", "start", "unusable", "allocation", "never", "quota", "later")
    stack.declare_images(sim, TARGET, **{name: {"surge": 2} if name == "allocation" else {} for name in pools})
    failed = stack.up().failed()
    for expected in (
        f"pools/version: Batch still allocates {BEHIND} (node tvm-",
        "is starttaskfailed: The task exited with an exit code representing a failure; no old node was touched",
        "is unusable: The compute node could not be set up.; no old node was touched",
        "pools/allocation: Batch could not allocate 1 more node (AllocationFailed: ",
        "pools/never: Batch could not allocate 1 more node (AllocationTimedout: ",
        "pools/quota: Batch could not allocate 1 more node (AccountCoreQuotaReached: ",
        "pools/later: Batch could not allocate 1 more node (AllocationFailed: ",
    ):
        assert expected in failed.flat, failed.text
    assert failed.text.count("Ask for more core quota, or declare a smaller surge") >= 3
    for pool_id in ("version", "start", "unusable", "never", "quota"):
        assert_as_before(sim, pool_id, ["tvm-001", "tvm-002"])
    assert_as_before(sim, "allocation", ["tvm-001", "tvm-002", "tvm-003", "tvm-004"])
    old = {f"tvm-00{number}" for number in range(1, 5)}
    for entry in sim.requests("Pool_RemoveNodes"):
        assert entry["pool"] == "later" or not old & set(entry["detail"].get("nodes", []))
    # The second growth of the last one found no more nodes: its first old node had left by then.
    assert sorted(sim.versions("later")) == [BEHIND, TARGET]
    assert not sim.pool("later").get("metadata")
    assert sim.capacity(2, "later")[0] == 2
    (told,) = set(re.findall(r"error: pool \S+/later: (.*)", failed.text))
    assert "no old node was touched" not in told, "one of two was renewed"
    sim.advance(4000)
    for pool_id in ("version", "start", "allocation"):
        sim.assert_tasks_ran_once(pool_id)


def test_a_drain_that_times_out_goes_on_with_others_and_names_the_node(sim: Simulator, stack: Stack) -> None:
    sim.seed(
        vm_pool("one", nodes=3),
        vm_pool("all", nodes=2),
        jobs=[job("one", 4000, 60, 60), job("all", 4000, 4000)],
    )
    sim.speed(120)
    stack.declare_images(sim, TARGET, one={"drain_timeout": "5m"}, all={"drain_timeout": "5m", "surge": 2})
    failed = stack.up().failed()
    assert "1 old node did not finish its tasks within drainTimeout: tvm-001; no task was stopped" in failed.flat
    assert "1 old node did not finish its tasks within drainTimeout: tvm-001; no task was stopped" in failed.flat
    assert "2 old nodes did not finish their tasks within drainTimeout: tvm-001, tvm-002" in failed.flat
    assert "Run `pulumi up` again when their tasks are done, or declare a longer drainTimeout" in failed.flat
    assert sorted(sim.versions("one")) == [BEHIND, TARGET, TARGET]
    for pool_id, nodes in (("one", 3), ("all", 2)):
        pool = sim.pool(pool_id)
        assert (len(pool["nodes"]), pool["targetDedicatedNodes"]) == (nodes, nodes)
        assert not pool.get("metadata")
        assert sim.capacity(nodes, pool_id)[0] == nodes
    # Their tasks are done: the next `up` finishes.
    sim.advance(4000)
    stack.up().ok()
    for pool_id, nodes, surge in (("one", 3, 1), ("all", 2, 2)):
        assert_renewed(sim, pool_id, nodes, surge)
        sim.assert_tasks_ran_once(pool_id)


def test_what_others_do_meanwhile(sim: Simulator, stack: Stack) -> None:
    """Time stands still while the new nodes start, and the world changes."""
    image = {**MOVED, "versions": [*MOVED["versions"], {"version": ABOVE, "since": "2026-06-01T00:05:00Z"}]}
    preempted = vm_pool("preempted", nodes=1, targetLowPriorityNodes=1, currentLowPriorityNodes=1)
    preempted["nodes"].append({**preempted["nodes"][0], "id": "spot", "isDedicated": False})
    sim.seed(
        vm_pool("resized", nodes=3),
        vm_pool("broken", nodes=3),
        vm_pool("moving", nodes=3),
        preempted,
        jobs=[job("broken", 100, 100, 100, 100)],
        images=[image],
        virtual="2026-06-01T00:00:00Z",
    )
    stack.declare_images(sim, TARGET, resized={}, broken={}, moving={}, preempted={})
    running = stack.start_up()
    pools = ("resized", "broken", "moving", "preempted")
    wait_until(lambda: all(sim.seen(pool, "Pool_Resize", 202) for pool in pools), "nodes are asked for")
    sim.advance(45)
    wait_until(lambda: running.text.count("1 of 1 new nodes is not ready yet") >= 4, "the new nodes start")
    assert sim.outside("POST", "/pools/resized/resize", {"targetDedicatedNodes": 7}, NEWEST) == 202
    sim.change_node("tvm-003", "broken", state="unusable")
    sim.change_node("spot", "preempted", state="preempted")
    sim.speed(120)
    failed = running.wait().failed()
    assert re.search(
        r"another person or program resized the pool: the rollout began at 3 nodes\b[^.]*\b7\b", failed.flat
    ), failed.text
    assert "nothing more was changed" in failed.flat
    assert "remove the metadata entry batch-os" in failed.flat
    assert failed.text.count("**creating failed**") == 1
    ours = [entry["operation"] for entry in sim.writes() if entry["pool"] == "resized"]
    assert ours == ["Pool_Patch", "Pool_Resize", "Pool_Resize"], "the last one is not ours"
    # A node that broke takes no tasks; nothing else was lost.
    assert sorted(sim.versions("broken")) == [TARGET] * 3 or ABOVE in sim.versions("broken")
    assert sim.capacity(3, "broken")[0] == 2
    assert {node["state"] for node in sim.pool("broken")["nodes"]} <= {"idle", "running"}
    # `latest` has moved on the way: all are at the floor or above it, and that is the end.
    assert set(sim.versions("moving")) == {TARGET, ABOVE}
    assert_renewed(sim, "moving", 3, 1)
    # Spot nodes come and go by themselves.
    assert len(sim.seen("preempted", "Pool_RemoveNodes", 202)) == 1
    assert BEHIND not in [
        version
        for version, node in zip(sim.versions("preempted"), sim.pool("preempted")["nodes"], strict=True)
        if node["isDedicated"]
    ]
    # Who resized it says what to do, and the next `up` goes on.
    sim.change("resized", metadata=[])
    stack.up().ok()
    assert_renewed(sim, "resized", 7, 7)


def test_a_new_node_that_breaks_in_a_later_round_is_the_one_that_goes(sim: Simulator, stack: Stack) -> None:
    sim.seed(vm_pool(nodes=3))
    sim.fault("Pool_RemoveNodes", {"kind": "status", "status": 503, "retryAfter": 3}, nth=3)
    stack.declare_images(sim, TARGET, render={})
    sim.speed(120)
    running = stack.start_up()
    wait_until(lambda: sim.seen("render", "Pool_RemoveNodes", 503), "the third round is about to remove a node")
    second = sim.pool()["nodes"][-2]["id"]
    sim.change_node(second, state="unusable")
    failed = running.wait().failed()
    assert f"the new node {second} is unusable" in failed.flat
    pool = sim.pool()
    assert len(pool["nodes"]) == 3
    assert not pool.get("metadata")
    assert {node["state"] for node in pool["nodes"]} == {"idle"}, "a healthy node was removed and the broken one kept"
