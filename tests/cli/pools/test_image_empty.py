"""The strategy `empty` on the real CLI: pools of all kinds side by side, a failure, a kill, and `batch-os restore`."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING, Any

from tests.support import fork_server
from tests.support import simulator as simulators
from tests.support.door_marks import native_door
from tests.support.simulator import ABOVE, BEHIND, MOVED, NEWEST, NOBLE, TARGET, Simulator, job, vm_pool
from tests.support.stack import wait_until

if TYPE_CHECKING:
    from tests.support.stack import Stack

pytestmark = native_door

SETUP = {"commandLine": "cmd /c setup", "waitForSuccess": True}
FORMULA = "$TargetDedicatedNodes = 3;  // nights"
SCALED = {"enableAutoScale": True, "autoScaleFormula": FORMULA, "autoScaleEvaluationInterval": "PT7M"}
EMPTY = {"strategy": "empty"}
HOLD = {"strategy": "empty", "autoscale": "hold"}
JAMMY = simulators.IMAGES["ubuntu"]
FROM, TO = (":".join(image.reference.values()) for image in (JAMMY, NOBLE))
TO_NOBLE = {**EMPTY, "target_image": TO, "target_image_version": "latest"}
IMAGES = [JAMMY.row, NOBLE.row, {**MOVED, "versions": [*MOVED["versions"], {"version": ABOVE}]}]


def spot(pool_id: str) -> dict[str, Any]:
    """A pinned pool of two spot nodes."""
    pool = vm_pool(pool_id, version=BEHIND)
    for node in pool["nodes"]:
        node["isDedicated"] = False
    sizes = {"DedicatedNodes": 0, "LowPriorityNodes": 2}
    return {**pool, **{f"{kind}{name}": count for name, count in sizes.items() for kind in ("current", "target")}}


def with_agent(pool: dict[str, Any], version: str) -> dict[str, Any]:
    """The pool, whose nodes have this version of the node agent."""
    for node in pool["nodes"]:
        node["nodeAgentInfo"] = {"version": version}
    return pool


def assert_filled(sim: Simulator, pool_id: str, size: tuple[int, int], pin: str, metadata: object = None) -> None:
    """The pool has its pin and its targets, each node has the pin, and the marker is gone."""
    pool = sim.pool(pool_id)
    assert pool["virtualMachineConfiguration"]["imageReference"]["version"] == pin, pool_id
    assert (pool["targetDedicatedNodes"], pool["targetLowPriorityNodes"]) == size, pool_id
    assert sim.versions(pool_id) == [pin] * sum(size), pool_id
    assert (pool.get("metadata") or []) == (metadata or []), pool_id


def restore(sim: Simulator, pool_id: str, *arguments: str, answer: str = "") -> subprocess.CompletedProcess[str]:
    """Run `batch-os restore` on a pool."""
    return subprocess.run(  # noqa: S603 - our own command
        [*fork_server.command("batch-os"), "restore", f"{sim.endpoint}/pools/{pool_id}", *arguments],
        env={**sim.environment, "NO_PROXY": "127.0.0.1", "PATH": "/usr/bin:/bin"},
        input=answer,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_pools_are_emptied_and_filled_go_back_and_show_a_changed_pin(sim: Simulator, stack: Stack) -> None:
    owner = [{"name": "owner", "value": "render team"}]
    sim.seed(
        vm_pool("busy", nodes=3, version=BEHIND, metadata=owner),
        vm_pool("scaled", nodes=3, version=BEHIND, **SCALED),
        vm_pool("follows", nodes=2),
        vm_pool("zero", nodes=0, version=BEHIND),
        spot("spot"),
        with_agent(vm_pool("jammy", nodes=2, image=JAMMY, version=JAMMY.behind), "1.9.27"),
        jobs=[job("busy", *[400] * 5), job("scaled", 90, 90), job("spot", 90), job("jammy", 60)],
        images=IMAGES,
    )
    pools = {"busy": {**EMPTY, "canary": 2}, "scaled": HOLD, "follows": EMPTY, "zero": EMPTY, "spot": EMPTY}
    pools["jammy"] = TO_NOBLE
    stack.declare_images(sim, TARGET, **pools)
    shown = stack.preview().ok().flat
    first = (
        "empties the pool: 3 running tasks finish first (at most 1h00m), then 0 nodes until about 3 new ones start; "
    )
    assert f"{first}{BEHIND} -> {TARGET}" in shown
    held = "2 running tasks finish first (at most 1h00m), then 0 nodes until about 3 new ones start; formula held "
    assert f"{held}for about 10m and the time of the tasks; {BEHIND} -> {TARGET}" in shown
    assert f"no task runs, then 0 nodes until about 2 new ones start; latest -> {TARGET}" in shown
    assert f"the pinned pool is empty: this up re-pins it; {BEHIND} -> {TARGET}" in shown
    moves = f"about 2 new ones start; node agent {JAMMY.agent} -> {NOBLE.agent}; canary of 1 new node: if it fails, "
    assert (
        "ANOTHER IMAGE: empties the pool: 1 running task finishes first (at most 1h00m), then 0 nodes until " in shown
    )
    assert f"{moves}the old image and node agent come back; {FROM} {JAMMY.behind} -> {TO} latest" in shown
    assert not sim.writes()

    sim.speed(120)
    said = stack.up().ok()
    assert re.search(rf"done, 3 nodes, pinned to {TARGET}, \w+; {BEHIND} -> {TARGET}", said.flat), said.text
    assert "scaled by its formula" in said.flat
    assert_filled(sim, "busy", (3, 0), TARGET, owner)
    assert_filled(sim, "follows", (2, 0), TARGET)
    assert_filled(sim, "zero", (0, 0), TARGET)
    assert_filled(sim, "spot", (0, 2), TARGET)
    assert sim.pool("jammy")["virtualMachineConfiguration"] == {
        "imageReference": {**NOBLE.reference, "version": "latest"},
        "nodeAgentSKUId": NOBLE.agent,
    }
    outputs = stack.all_outputs()["jammy"]
    assert (outputs["image"], outputs["oldest_node_agent_version"]) == (f"{TO.replace(':', ' ')} latest", "1.12.39")
    scaled = sim.pool("scaled")
    assert {name: scaled[name] for name in SCALED} == SCALED
    assert not scaled["metadata"]
    sim.advance(4000)
    for pool_id in ("busy", "scaled", "spot", "jammy"):
        sim.assert_tasks_ran_once(pool_id)
    operations = [entry["operation"] for entry in sim.writes() if entry["pool"] == "scaled" and entry["status"] < 300]
    assert operations[:3] == ["Pool_Patch", "Pool_DisableAutoScale", "Pool_Resize"]
    assert operations[-2:] == ["Pool_EnableAutoScale", "Pool_Patch"]
    stack.preview("--refresh", "--expect-no-changes").ok()

    # Somebody changes a pin by hand to a newer version: drift. The pull request of another pool is reverted.
    machine = {**sim.pool("zero")["virtualMachineConfiguration"]}
    machine["imageReference"] = {**machine["imageReference"], "version": ABOVE}
    assert sim.outside("PATCH", "/pools/zero", {"virtualMachineConfiguration": machine}, NEWEST) == 200
    # The other pull request is reverted too: the program names the image from before.
    pools["jammy"] = {**EMPTY, "target_image": FROM, "target_image_version": JAMMY.behind}
    stack.declare_images(sim, TARGET, **{**pools, "follows": {**EMPTY, "target_image_version": BEHIND}})
    shown = stack.preview("--refresh").ok().flat
    assert f"ROLLBACK: the pinned pool is empty: this up re-pins it; {ABOVE} -> {TARGET}" in shown
    assert (
        f"ROLLBACK: empties the pool: no task runs, then 0 nodes until about 2 new ones start; {TARGET} -> {BEHIND}"
        in shown
    )
    assert f"come back; {TO} latest -> {FROM} {JAMMY.behind}" in shown
    stack.up("--refresh").ok()
    assert sim.pool("jammy")["virtualMachineConfiguration"]["nodeAgentSKUId"] == JAMMY.agent
    assert_filled(sim, "jammy", (2, 0), JAMMY.behind)
    assert_filled(sim, "follows", (2, 0), BEHIND)
    assert_filled(sim, "zero", (0, 0), TARGET)


def test_what_fails_goes_back_and_what_is_killed_is_restored(sim: Simulator, stack: Stack) -> None:
    sim.seed(
        vm_pool(
            "start",
            nodes=2,
            version=BEHIND,
            startTask=SETUP,
            simulator={"allocation": {"startTask": "fail", "count": 1}},
        ),
        vm_pool("jammy", nodes=1, image=JAMMY, simulator={"allocation": {"state": "unusable", "count": 1}}),
        vm_pool("drain", nodes=2, version=BEHIND),
        vm_pool("killed", nodes=2, version=BEHIND, **SCALED),
        vm_pool("restored", nodes=3, version=BEHIND, **SCALED),
        vm_pool("replaced", nodes=2, **SCALED),
        jobs=[job("start", 90, 90), job("drain", 36_000), job("killed", 300), job("restored", 300, 300)],
        images=IMAGES,
    )
    pools = {"start": EMPTY, "drain": {**EMPTY, "drain_timeout": "5m"}, "killed": HOLD, "restored": HOLD}
    pools["replaced"] = {"strategy": "surge", "autoscale": "hold"}
    pools["jammy"] = TO_NOBLE
    stack.declare_images(sim, TARGET, **pools)
    # Two are killed when they have been told to drain, and one when it has been told to grow; the others get no further
    # than their marker.
    sim.fault("Pool_Resize", {"kind": "delay", "seconds": 600}, pool="start")
    sim.fault("Pool_Resize", {"kind": "delay", "seconds": 600}, pool="drain")
    sim.fault("Pool_Resize", {"kind": "delay", "seconds": 600}, pool="jammy")
    sim.speed(20)
    running = stack.start_up()

    def begun() -> bool:
        marked = all(sim.seen(pool, "Pool_Patch", 200) for pool in pools)
        return marked and all(sim.seen(pool, "Pool_Resize", 202) for pool in ("killed", "restored", "replaced"))

    wait_until(begun, "each has its marker, the two drain", 120)
    # The CLI first: it writes its state when a plugin ends, and a kill in the middle would leave half a file.
    running.kill()
    stack.kill_plugins()
    stack.run("cancel", "--yes").ok()
    sim.no_faults()
    sim.speed(120)
    wait_until(lambda: not sim.pool("restored")["nodes"], "the drained pool", 120)
    held = sim.pool("restored")
    assert not held["enableAutoScale"]
    assert held["targetDedicatedNodes"] == 0

    refused = restore(sim, "restored", answer="n\n")
    assert (refused.returncode, "nothing was written" in refused.stderr) == (3, True), refused
    assert (
        f"before: target 3, image microsoftwindowsserver:windowsserver:2022-datacenter-core version {BEHIND}"
        in refused.stdout
    )
    assert f"scaled by {FORMULA!r} every PT7M" in refused.stdout
    done = restore(sim, "restored", "--yes")
    assert done.returncode == 0, done
    back = sim.pool("restored")
    assert {name: back[name] for name in SCALED} == SCALED
    assert not back["metadata"]
    again = restore(sim, "restored")
    assert (again.returncode, "nothing to restore" in again.stdout) == (0, True), again

    failed = stack.up("--continue-on-error").failed()
    assert "pools/start: the canary failed: the new node" in failed.flat, failed.text
    assert f"this run puts the pool back to {BEHIND} and 2 nodes" in failed.flat, failed.text
    assert "pools/drain: 1 node did not finish its tasks in time: tvm-001 (1 task)" in failed.flat, failed.text
    for pool_id in ("start", "drain"):
        assert_filled(sim, pool_id, (2, 0), BEHIND)
    replaced = sim.pool("replaced")
    assert {name: replaced[name] for name in SCALED} == SCALED
    assert (BEHIND in sim.versions("replaced"), replaced["metadata"]) == (False, [])
    assert f"this run puts the pool back to {FROM} latest and 1 node" in failed.flat, failed.text
    back = sim.pool("jammy")["virtualMachineConfiguration"]
    assert back == {"imageReference": {**JAMMY.reference, "version": "latest"}, "nodeAgentSKUId": JAMMY.agent}
    killed = sim.pool("killed")
    assert {name: killed[name] for name in SCALED} == SCALED
    assert killed["virtualMachineConfiguration"]["imageReference"]["version"] == TARGET
    assert not killed["metadata"]
    for pool_id in ("start", "killed"):
        sim.advance(1000)
        sim.assert_tasks_ran_once(pool_id)
