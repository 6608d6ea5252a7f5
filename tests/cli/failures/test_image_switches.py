"""What nobody knows of real VM pools, on the real CLI: it ends in done or in a true refusal.

Every value of every switch is played in one process (tests/inprocess/test_image_switches.py); here is a mixture of all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from batch_os_provider.simulator.world.unknowns import VM_TABLE
from tests.support.door_marks import native_door
from tests.support.simulator import BEHIND, NEWEST, TARGET, Simulator, job, vm_pool
from tests.support.stack import wait_until

if TYPE_CHECKING:
    from tests.support.stack import Stack

pytestmark = native_door

LATEST = "latestOfNewNodes"
OWN_TESTS = {LATEST, "nodesAfterDrainTimeout"}
"""With these values nodes are older than the target, or take no tasks after a drain: by Batch's doing, not by ours."""
ALL_OTHERS = {
    row.name: next(v for v in row.allowed[::-1] if v != row.default) for row in VM_TABLE if row.name not in OWN_TESTS
}


def assert_whole(sim: Simulator, pool_id: str, nodes: int) -> None:
    """The size that it had, never fewer nodes that take tasks, and no mark."""
    pool = sim.pool(pool_id)
    assert (len(pool["nodes"]), pool["targetDedicatedNodes"]) == (nodes, nodes), pool_id
    assert not pool.get("metadata"), pool_id
    least, most = sim.capacity(nodes, pool_id)
    assert least >= nodes, f"{pool_id}: capacity fell from {nodes} to {least}"
    assert most <= nodes + 3, f"{pool_id}: {most} nodes"


def test_a_cycle_ends_whole_however_batch_behaves(sim: Simulator, stack: Stack) -> None:
    sim.unknown(**ALL_OTHERS)
    sizes = {"busy": 4, "drains": 3, "stays": 2, "short": 4}
    sim.seed(
        *(vm_pool(pool_id, nodes=nodes) for pool_id, nodes in sizes.items() if pool_id != "short"),
        vm_pool("short", nodes=4, simulator={"allocation": {"fail": "AllocationFailed", "failAfter": 1, "times": 1}}),
        vm_pool("pinned", nodes=0, version=BEHIND),
        jobs=[job("busy", *[200] * 10), job("drains", 5000, 60, 60), job("stays", 5000, 5000), job("short", *[90] * 9)],
    )
    sim.speed(120)
    stack.declare_images(
        sim,
        TARGET,
        busy={"surge": 2},
        drains={"drain_timeout": "5m"},
        stays={"drain_timeout": "5m", "surge": 2},
        short={"surge": 3},
        pinned={},
    )
    failed = stack.up().failed()
    assert "did not finish its tasks within drainTimeout: tvm-001; no task was stopped" in failed.flat
    assert "did not finish their tasks within drainTimeout: tvm-001, tvm-002; no task was stopped" in failed.flat
    assert "Batch could not allocate 2 more nodes (AllocationFailed: " in failed.flat
    assert failed.text.count("**creating failed**") == 3
    for pool_id, nodes in sizes.items():
        assert_whole(sim, pool_id, nodes)
    assert sim.pool("pinned")["virtualMachineConfiguration"]["imageReference"]["version"] == TARGET
    sim.advance(5000)
    stack.up().ok()
    sim.advance(1000)
    for pool_id, nodes in sizes.items():
        assert_whole(sim, pool_id, nodes)
        assert set(sim.versions(pool_id)) == {TARGET}
        sim.assert_tasks_ran_once(pool_id)


def test_a_pool_that_keeps_allocating_the_old_version_is_left_as_it_was(sim: Simulator, stack: Stack) -> None:
    sim.unknown(**{LATEST: "asFirstNodeEver"})
    sim.seed(vm_pool(nodes=3), vm_pool("pinned", nodes=0, version=BEHIND), jobs=[job("render", 500, 500)])
    sim.speed(120)
    stack.declare_images(sim, TARGET, render={}, pinned={})
    failed = stack.up().failed()
    assert f"Batch still allocates {BEHIND}" in failed.flat
    assert "no old node was touched" in failed.flat
    assert [node["id"] for node in sim.pool()["nodes"]] == ["tvm-001", "tvm-002", "tvm-003"]
    assert_whole(sim, "render", 3)
    sim.advance(1000)
    sim.assert_tasks_ran_once()
    # Emptied once and filled again, as when_empty would have waited for.
    for nodes in (0, 2):
        wait_until(lambda: sim.pool()["allocationState"] == "steady", "the pool is steady")
        assert sim.outside("POST", "/pools/render/resize", {"targetDedicatedNodes": nodes}, NEWEST) == 202
        sim.advance(300)
    assert f"Batch still allocates {BEHIND}" in stack.up().failed().flat
    assert sim.versions() == [BEHIND] * 2
    assert not sim.pool().get("metadata")


def test_writes_that_are_refused_since_something_moved_are_decided_again(sim: Simulator, stack: Stack) -> None:
    """A node that vanished may refuse the whole list; PATCH of a pool that has a node since has several codes."""
    sim.seed(
        vm_pool("vanished"),
        vm_pool("conflict", nodes=0, version=BEHIND),
        vm_pool("invalid", nodes=0, version=BEHIND),
    )
    gone = {"kind": "status", "status": 404, "code": "NodeNotFound"}
    sim.fault("Pool_RemoveNodes", gone, pool="vanished", nth=1)
    for pool_id, status, code in (
        ("conflict", 409, "OperationNotValidOnPool"),
        ("invalid", 400, "PropertyCannotBeUpdated"),
    ):
        sim.fault("Pool_Patch", {"kind": "status", "status": status, "code": code}, pool=pool_id, nth=1)
    sim.speed(120)
    stack.declare_images(sim, TARGET, vanished={}, conflict={}, invalid={})
    done = stack.up().ok()
    assert "HTTP 400 PropertyCannotBeUpdated" in done.flat
    assert "HTTP 404 NodeNotFound: The specified node does not exist" in done.flat
    assert_whole(sim, "vanished", 2)
    assert set(sim.versions("vanished")) == {TARGET}
    for pool_id in ("conflict", "invalid"):
        assert sim.pool(pool_id)["virtualMachineConfiguration"]["imageReference"]["version"] == TARGET
