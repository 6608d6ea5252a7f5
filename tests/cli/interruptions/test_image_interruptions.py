"""Renewals that end early: kill -9, ^C, deadlines, and two who do the same at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.support.door_marks import native_door
from tests.support.simulator import ABOVE, BEHIND, MOVED, TARGET, Simulator, job, vm_pool
from tests.support.stack import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.stack import Stack

pytestmark = native_door

HELD = {"kind": "status", "status": 503, "code": "ServerBusy", "retryAfter": 600}
"""Whoever gets this answer does nothing more for ten minutes."""


def assert_renewed(sim: Simulator, pool_id: str, nodes: int) -> None:
    """The size it had, all nodes at the target, never fewer, at most one more, and no mark."""
    pool = sim.pool(pool_id)
    assert (len(pool["nodes"]), pool["targetDedicatedNodes"]) == (nodes, nodes), pool_id
    assert set(sim.versions(pool_id)) == {TARGET}, pool_id
    assert not pool.get("metadata"), pool_id
    least, most = sim.capacity(nodes, pool_id)
    assert least >= nodes, f"{pool_id}: capacity fell from {nodes} to {least}"
    assert most <= nodes + 1, f"{pool_id}: {most} nodes"


def test_kill_9_after_each_step_and_the_next_up_finishes(sim: Simulator, stack: Stack) -> None:
    """Six pools, each held at another step of its cycle; one kill hits all of them. The new node of one is broken."""
    sizes = {"marked": 2, "resized": 2, "proven": 2, "draining": 2, "clearing": 1, "broken": 2}
    start = {"commandLine": "cmd /c setup", "waitForSuccess": True}
    broken = {"startTask": start, "simulator": {"allocation": {"startTask": "fail", "count": 1}}}
    sim.seed(
        *(vm_pool(name, nodes=nodes, **(broken if name == "broken" else {})) for name, nodes in sizes.items()),
        jobs=[job("draining", 2500, 2500, 50), job("proven", 600, 600)],
    )
    sim.fault("Pool_Resize", HELD, pool="marked")
    for pool_id in ("proven", "broken"):
        sim.fault("Pool_RemoveNodes", HELD, pool=pool_id)
    sim.fault("Pool_Patch", HELD, pool="clearing", nth=2)
    stack.declare_images(sim, TARGET, **{pool_id: {} for pool_id in sizes})
    running = stack.start_up()
    asked = ("resized", "proven", "draining", "clearing", "broken")
    wait_until(lambda: all(sim.seen(pool_id, "Pool_Resize", 202) for pool_id in asked), "nodes are asked for")
    sim.fault("Pool_Get", HELD, pool="resized")
    sim.speed(60)

    def held() -> bool:
        return bool(
            sim.seen("marked", "Pool_Resize", 503)
            and sim.seen("resized", "Pool_Get", 503)
            and sim.seen("proven", "Pool_RemoveNodes", 503)
            and sim.seen("broken", "Pool_RemoveNodes", 503)
            and sim.seen("draining", "Pool_RemoveNodes", 202)
            and sim.seen("clearing", "Pool_Patch", 503)
        )

    wait_until(held, "each is held at its step")
    sim.speed(0)
    running.kill()
    sim.no_faults()
    written = len(sim.writes())
    wait_until(lambda: stack.plugins() == [], "the orphaned plugin ends by itself")
    assert len(sim.writes()) == written, "the orphan writes nothing"
    assert {len(sim.pool(pool_id).get("metadata", [])) for pool_id in sizes} == {1}, "each is marked"
    assert sim.pool("draining")["allocationState"] == "resizing"
    stack.run("cancel", "--yes").ok()
    sim.speed(300)
    failed = stack.up().failed()
    assert "is starttaskfailed: The task exited with an exit code representing a failure" in failed.flat
    assert failed.text.count("**creating failed**") == 1
    assert [node["id"] for node in sim.pool("broken")["nodes"]] == ["tvm-001", "tvm-002"], "it was undone first"
    assert not sim.pool("broken").get("metadata")
    # The start task was fixed: now it goes through.
    stack.up().ok()
    sim.advance(3000)
    for pool_id, nodes in sizes.items():
        assert_renewed(sim, pool_id, nodes)
    for pool_id in ("draining", "proven"):
        sim.assert_tasks_ran_once(pool_id)
    assert len(sim.seen("clearing", "Pool_Resize")) == 1
    stack.preview("--refresh", "--expect-no-changes").ok()


def test_ctrl_c_while_nodes_drain(sim: Simulator, stack: Stack) -> None:
    sim.seed(vm_pool(), jobs=[job("render", 2000, 2000)])
    stack.declare_images(sim, TARGET, render={})
    sim.speed(60)
    running = stack.start_up()
    wait_until(lambda: sim.seen("render", "Pool_RemoveNodes", 202), "a node drains")
    sim.speed(0)
    wait_until(lambda: "1 old node finishes 1 task, then leaves" in running.text, "it says so")
    running.interrupt()
    # 3 s are ours and the CLI may take five more; nothing else would end it, so a slow machine may have time.
    wait_until(lambda: "interrupted by ^C" in running.text, "the wait ends")
    ended = running.wait().failed()
    assert "interrupted by ^C" in ended.flat
    assert "2 of 3 nodes are behind; the renewal began at 2 nodes, 1 is extra now; no task was stopped" in ended.flat
    assert "Run `pulumi up` again: it continues from the pool's state, or undoes the unfinished renewal" in ended.flat
    sim.speed(300)
    stack.up().ok()
    assert_renewed(sim, "render", 2)
    sim.assert_tasks_ran_once()


def test_a_revert_after_ctrl_c_is_put_in_order_with_a_refresh(sim: Simulator, stack: Stack) -> None:
    sim.seed(vm_pool())
    stack.declare_images(sim, BEHIND, render={})
    stack.up().ok()
    stack.declare_images(sim, TARGET, render={})
    running = stack.start_up()
    wait_until(lambda: sim.seen("render", "Pool_Resize", 202), "a node is ordered")
    running.interrupt()
    running.wait().failed()
    stack.declare_images(sim, BEHIND, render={})
    sim.speed(60)
    wait_until(lambda: sim.pool()["allocationState"] == "steady", "the extra node is there")
    stack.up("--refresh").ok()
    pool = sim.pool()
    assert (pool["targetDedicatedNodes"], len(pool["nodes"])) == (2, 2)
    assert "batch-os" not in str(pool.get("metadata", []))
    assert "unchanged" in stack.preview("--refresh").ok().text


def test_deferred_and_failing_deadlines_are_truthful(sim: Simulator, stack: Stack) -> None:
    sim.seed(vm_pool("waits"), vm_pool("surges"))
    later = {"timeout": "3s", "on_timeout": "defer"}
    stack.declare_images(sim, TARGET, waits={"strategy": "when_empty", **later}, surges=later)
    deferred = stack.up().ok()
    assert f"renewal to {TARGET} was deferred: 2 of 2 nodes are behind; nothing is under way" in deferred.flat
    assert (
        f"renewal to {TARGET} was deferred: 2 of 2 nodes are behind; the renewal began at 2 nodes, 1 more is ordered; "
        "no task was stopped"
    ) in deferred.flat
    outputs = stack.all_outputs()
    for pool_id in ("waits", "surges"):
        assert (outputs[pool_id]["nodes_behind"], outputs[pool_id]["oldest_node_version"]) == (2, BEHIND)
    planned = stack.preview().ok()
    assert "~ 2 to update" in planned.text
    waits = "2 of 2 nodes behind; this up waits, at most 3s, and writes nothing"
    assert f"{waits}; {BEHIND} -> {TARGET}" in planned.flat, planned.text
    assert "2 of 2 nodes behind; a resize is under way (resizing)" in planned.flat
    stack.declare_images(sim, TARGET, surges={"timeout": "2s"})
    failed = stack.up().failed()
    assert f"{TARGET} was not reached within the timeout of 2s; 2 of 2 nodes are behind; " in failed.flat
    assert "the renewal began at 2 nodes" in failed.flat
    assert 'To allow more time declare a longer timeout, or onTimeout: "defer"' in failed.flat
    stack.declare_images(sim, TARGET, surges={})
    sim.speed(120)
    stack.up().ok()
    assert_renewed(sim, "surges", 2)


def test_two_stacks_on_one_pool_come_to_the_same_end(sim: Simulator, new_stack: Callable[..., Stack]) -> None:
    sizes = {"one": 2, "many": 4}
    sim.seed(*(vm_pool(pool_id, nodes=nodes) for pool_id, nodes in sizes.items()), jobs=[job("many", *[300] * 10)])
    sim.speed(60)
    stacks = [new_stack("left"), new_stack("right")]
    for stack in stacks:
        stack.declare_images(sim, TARGET, one={}, many={})
    ended = [running.wait() for running in [stack.start_up() for stack in stacks]]
    for result in ended:
        result.ok()
    sim.advance(1000)
    for pool_id, nodes in sizes.items():
        assert_renewed(sim, pool_id, nodes)
        assert len(sim.seen(pool_id, "Pool_RemoveNodes", 202)) == nodes, "each old node was removed once"
    sim.assert_tasks_ran_once("many")
    for stack in stacks:
        assert {each["nodes_behind"] for each in stack.all_outputs().values()} == {0}


def marked(pool: dict[str, Any], size: int) -> dict[str, Any]:
    """A pool that an unfinished cycle has left: it began at this size, and the nodes above it are its own."""
    note = f'{{"v":1,"size":{size},"surge":1,"newest":"2018-11-01T00:00:00.000000Z"}}'
    for node in pool["nodes"][size:]:
        node["allocationTime"] = "2024-06-01T00:00:00Z"
    return {**pool, "metadata": [{"name": "batch-os", "value": note}]}


def test_what_an_unfinished_cycle_left_and_others_have_changed_since(sim: Simulator, stack: Stack) -> None:
    """Three pools with a marker: one was made larger, the target of one was raised, the strategy of one is another."""
    newer = {**MOVED, "versions": [*MOVED["versions"], {"version": ABOVE, "since": "2024-06-13T00:00:00Z"}]}
    # Another program renewed its old nodes too: 7 is neither 3 nor 3 + 1.
    larger = marked(vm_pool("larger", nodes=7, exact=TARGET), 3)
    # The nodes that the first run has added are behind by now, and that is not what Batch still allocates.
    raised = marked(vm_pool("raised", nodes=3), 2)
    raised["nodes"][2] |= {"virtualMachineInfo": vm_pool(exact=TARGET)["nodes"][0]["virtualMachineInfo"]}
    sim.seed(larger, raised, marked(vm_pool("undone", nodes=3), 2), images=[newer])
    sim.speed(120)
    stack.declare_images(
        sim,
        TARGET,
        larger={},
        raised={"target_image_version": ABOVE},
        undone={"strategy": "when_empty", "timeout": "4s", "on_timeout": "defer"},
    )
    # A preview that looks would refuse the first one, and the rollout has to find it out itself.
    stack.run("config", "set", "batch:previewLook", "false").ok()
    said = stack.up().failed()
    assert "another person or program resized the pool: the rollout began at 3 nodes" in said.flat
    assert set(stack.all_outputs()) == {"raised", "undone"}
    assert f"Batch still allocates {TARGET}" not in said.flat, "it allocates the newest there is"
    sim.advance(600)
    assert not sim.seen("larger", "Pool_RemoveNodes"), "nodes that somebody else has asked for were removed"
    assert len(sim.pool("larger")["nodes"]) == 7
    assert set(sim.versions("raised")) == {ABOVE}
    assert len(sim.pool("raised")["nodes"]) == 2
    assert len(sim.pool("undone")["nodes"]) == 2, "the extra node is left until the pool is renewed"
    assert not sim.pool("raised").get("metadata")
    assert not sim.pool("undone").get("metadata")
