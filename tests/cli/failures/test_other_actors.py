"""Pools that somebody else is changing, and pools that cannot be upgraded at all.

What an `up` would refuse is refused by a preview: `tests/inprocess/test_refused_previews.py` has the table.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from tests.support.door_marks import native_door
from tests.support.doors import os_version
from tests.support.simulator import NEW, OLD, OTHER, SHORT_NEW, SHORT_OLD, Simulator, paas_pool, vm_pool
from tests.support.stack import wait_until

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.support.stack import Stack

pytestmark = native_door


def declare(stack: Stack, sim: Simulator, pools: Mapping[str, Mapping[str, Any]]) -> None:
    """Declare pools by their ids."""
    stack.write(*(os_version(name, account_endpoint=sim.endpoint, **inputs) for name, inputs in pools.items()))


def upgrade_from_outside(sim: Simulator, pool_id: str, target: str) -> None:
    """Another actor starts an upgrade of the pool."""
    assert sim.outside("POST", f"/pools/{pool_id}/upgradeos", {"targetOSVersion": target}) == 202


def test_pools_that_others_change_that_are_empty_busy_or_missing_in_one_up(sim: Simulator, stack: Stack) -> None:
    """Joined, waited for, retried or refused: each pool by its own state, side by side."""
    names = ("joins", "waits", "resizes", "empty", "busy")
    sim.pools(*(paas_pool(name, nodes=0 if name == "empty" else 3) for name in names))
    upgrade_from_outside(sim, "joins", NEW)
    upgrade_from_outside(sim, "waits", OTHER)
    assert sim.outside("POST", "/pools/resizes/resize", {"targetDedicatedNodes": 5}) == 202
    # Each fault counts the requests that reach it, so the second one meets the second POST.
    for status, code in ((503, "ServerBusy"), (409, "PoolBeingResized")):
        refusal = {"kind": "status", "status": status, "code": code, "retryAfter": 1}
        sim.fault("Pool_UpgradeOS", refusal, pool="busy", nth=1)
    pools: dict[str, dict[str, Any]] = {name: {"target_os_version": NEW} for name in (*names, "nobody")}
    pools["waits"]["on_conflict"] = "wait"
    declare(stack, sim, pools)
    running = stack.start_up("--continue-on-error", "--parallel", "8")
    expected = (
        r"joins creating \(\d+s\) (0 of 3 nodes back|upgrading), \d+s",
        r"resizes creating \(\d+s\) a resize is under way \(resizing\), \d+s",
        r"waits creating \(\d+s\) another upgrade is in flight .*, \d+s; ",
    )
    wait_until(lambda: all(re.search(each, running.text) for each in expected), "they wait")
    sim.speed(60)
    ended = running.wait().failed()
    assert {sim.pool(name)["cloudServiceConfiguration"]["currentOSVersion"] for name in names} == {NEW}
    answers = {name: [each["status"] for each in sim.seen(name, "Pool_UpgradeOS")] for name in names}
    assert answers == {
        "joins": [202],  # the one from outside
        "waits": [202, 202],
        "resizes": [202],  # sent only when the pool was steady
        "empty": [202],
        "busy": [503, 409, 202],
    }
    assert re.search(rf"joins .*done, 3 of 3 nodes back, \w+; {SHORT_OLD} -> {SHORT_NEW}", ended.text), ended.text
    assert re.search(rf"empty .*done, no nodes, \w+; {SHORT_OLD} -> {SHORT_NEW}", ended.text), ended.text
    assert len(sim.pool("resizes")["nodes"]) == 5
    assert not sim.requests("Pool_StopResize")
    order = [each["operation"] for each in sim.requests("Pool_UpgradeOS", "Pool_Get") if each["pool"] == "busy"]
    assert ("Pool_UpgradeOS", "Pool_UpgradeOS") not in list(pairwise(order)), "a read comes before a second POST"
    missing = f"pool {sim.endpoint}/pools/nobody: Batch says that it does not exist (404 PoolNotFound)"
    assert missing in ended.flat
    assert ended.text.count("**creating failed**") == 1
    assert "Check accountEndpoint and poolId" in ended.flat
    assert "request id" in ended.flat


def test_what_has_become_of_pools_since_the_last_up(sim: Simulator, stack: Stack) -> None:
    names = ("reverted", "dying", "gone", "replaced")
    sim.pools(*map(paas_pool, names))
    pools: dict[str, dict[str, Any]] = {name: {"target_os_version": OLD} for name in names}
    declare(stack, sim, pools)
    stack.up().ok()
    upgrade_from_outside(sim, "reverted", NEW)
    assert sim.outside("DELETE", "/pools/dying") == 202
    # The reviewed way back: the commit that changed the target is reverted while the upgrade runs.
    pools["reverted"]["timeout"] = "45m"
    declare(stack, sim, pools)
    assert "Batch cannot cancel or reverse a running upgrade" in stack.up().failed().flat

    kept = [sim.pool(name) for name in ("reverted", "dying")]
    sim.pools(*kept, vm_pool("replaced"))
    stack.refresh().ok()
    outputs = stack.all_outputs()
    assert set(outputs) == {"reverted", "dying", "replaced"}, "one that is being deleted is not gone"
    assert outputs["replaced"]["target_os_version"] == OLD
    assert "current_os_version" not in outputs["replaced"], "None values are not kept in a Pulumi state"

    pools["dying"]["target_os_version"] = NEW
    declare(stack, sim, {"dying": pools["dying"]})
    assert "it is being deleted" in stack.up().failed().flat
    sim.speed(60)
    wait_until(lambda: sim.pool("reverted")["state"] == "active", "the upgrade from outside ends")
    declare(stack, sim, {"reverted": pools["reverted"]})
    stack.up().ok()
    assert sim.pool("reverted")["cloudServiceConfiguration"]["currentOSVersion"] == OLD
    assert [each["pool"] for each in sim.upgrades()] == ["reverted", "reverted"]

    sim.unknown(retiredApiVersions="before-2025-06-01")
    pools["reverted"]["target_os_version"] = NEW
    declare(stack, sim, {"reverted": pools["reverted"]})
    refused = stack.up().failed()
    assert "Batch no longer answers API version 2018-08-01.7.0, the last one with upgradeos" in refused.flat
    assert "Move the work to a VM pool" in refused.flat
    assert len(sim.upgrades()) == 2
    # A refresh says so and keeps what is known: it must not block the whole stack, nor drop the pool.
    assert "Batch no longer answers API version" in stack.refresh().ok().flat
    assert stack.outputs()["target_os_version"] == OLD
