"""Each row of the table of VM pools: what a preview tells, what an `up` does, and what is never written."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from tests.support.simulator import ABOVE, BEHIND, NEWEST, TARGET, Simulator, vm_pool
from tests.support.stack import wait_until

if TYPE_CHECKING:
    from tests.support.stack import Stack

AUTOSCALE = {
    "enableAutoScale": True,
    "autoScaleFormula": "$TargetDedicatedNodes=2",
    "autoScaleEvaluationInterval": "PT15M",
}
AUTOMATIC: dict[str, Any] = {
    "upgradePolicy": {"mode": "automatic", "automaticOSUpgradePolicy": {"enableAutomaticOSUpgrade": True}}
}


def configured(pool: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {**pool, "virtualMachineConfiguration": {**pool["virtualMachineConfiguration"], **changes}}


def test_refused_already_in_preview(sim: Simulator, stack: Stack) -> None:
    """One refusal as Pulumi shows it; tests/inprocess/test_refused_previews.py has all of them."""
    sim.seed(vm_pool(version=BEHIND))
    stack.declare_images(sim, TARGET, render={})
    refused = stack.run("preview").failed()
    assert f"the pool is pinned to {BEHIND}, so new nodes would get that version too" in refused.flat
    assert not sim.writes()


def test_nothing_behind_is_adopted_and_an_empty_pinned_pool_is_pinned_anew(sim: Simulator, stack: Stack) -> None:
    spot = {**vm_pool()["nodes"][0], "id": "spot", "isDedicated": False}
    mixed = vm_pool("above", exact=ABOVE, version=ABOVE, currentLowPriorityNodes=1, targetLowPriorityNodes=1)
    mixed["nodes"].append(spot)
    pinned = configured(vm_pool("pinned", nodes=0, version=BEHIND), licenseType="Windows_Server")
    sim.seed(vm_pool("same", exact=TARGET), mixed, vm_pool("empty", nodes=0), pinned)
    stack.declare_images(sim, TARGET, same={}, above={}, empty={}, pinned={"strategy": "when_empty"})
    shown = stack.preview().ok().flat
    assert f"no change needed; all 2 nodes run {TARGET} or newer" in shown
    assert "no change needed; it has no nodes" in shown
    assert f"the pinned pool is empty: this up re-pins it; {BEHIND} -> {TARGET}" in shown
    assert not sim.writes()
    said = stack.up().ok().flat
    assert f"nothing was written, 2 nodes at the target or newer; {TARGET}" in said
    assert f"nothing was written, no nodes, new nodes get the newest version; {TARGET}" in said
    assert f"nothing was written, 2 nodes at the target or newer, 1 spot node not renewed; {TARGET}" in said
    assert re.search(rf"done, no nodes, pinned to {TARGET}, \w+; {BEHIND} -> {TARGET}", said), said
    (patch,) = sim.writes()
    assert (patch["operation"], patch["pool"], patch["status"]) == ("Pool_Patch", "pinned", 200)
    read = pinned["virtualMachineConfiguration"]
    changed = {**read, "imageReference": {**read["imageReference"], "version": TARGET}}
    assert sim.pool("pinned")["virtualMachineConfiguration"] == changed, "only the version has changed"
    outputs = stack.all_outputs()
    assert outputs["above"]["oldest_node_version"] == outputs["above"]["pool_image_version"] == ABOVE
    behind = {name: each["nodes_behind"] for name, each in outputs.items()}
    assert behind == {"same": 0, "above": 1, "empty": 0, "pinned": 0}, "the old spot node is counted"
    assert "unchanged" in stack.preview("--refresh", "--expect-no-changes").ok().text


def test_what_only_waits_writes_nothing_until_the_pool_was_renewed(sim: Simulator, stack: Stack) -> None:
    sim.seed(
        vm_pool("automatic", **AUTOMATIC),
        vm_pool("pinned", version=BEHIND),
        vm_pool("renewed"),
        vm_pool("scaled", **AUTOSCALE),
    )
    waits = {"strategy": "when_empty"}
    pools = {"pinned": waits, "renewed": waits, "scaled": waits}
    stack.declare_images(sim, TARGET, automatic={}, **pools)
    refused = stack.run("preview").failed().flat
    assert "automatic OS upgrade is on: Batch renews the nodes in place, region by region over weeks, so " in refused
    assert 'Next: Declare strategy="automatic": then a preview shows a policy that was turned off or changed' in refused
    stack.declare_images(sim, TARGET, automatic={"strategy": "automatic", "target_image_version": None}, **pools)
    running = stack.start_up()
    expected = (
        f"the pinned pool holds 2 nodes: this up waits until it is empty, at most 2h00m; {BEHIND} -> {TARGET}",
        f"2 of 2 nodes behind; this up waits, at most 2h00m, and writes nothing; {BEHIND} -> {TARGET}",
        "nothing was written; automatic OS upgrade is on, 2 nodes",
        "its upgrades interrupt running tasks: set osRollingUpgradeDeferral",
        f"pinned to {BEHIND} with 2 nodes; waiting until the pool is empty",
        "; scale-in and growth renew the nodes; ",
    )
    wait_until(lambda: all(each in running.text for each in expected), "all of them wait")
    sim.advance(3600)
    assert not sim.writes()
    sim.change("scaled", nodes=vm_pool(exact=TARGET)["nodes"])
    for pool_id in ("pinned", "renewed"):
        assert sim.outside("POST", f"/pools/{pool_id}/resize", {"targetDedicatedNodes": 0}, NEWEST) == 202
    sim.advance(60)
    # An empty pool on `latest` is done; one that is pinned is pinned anew.
    running.wait().ok()
    ours = [entry for entry in sim.writes() if entry["operation"] != "Pool_Resize"]
    assert [(entry["operation"], entry["pool"], entry["status"]) for entry in ours] == [("Pool_Patch", "pinned", 200)]
    assert "unchanged" in stack.preview("--refresh", "--expect-no-changes").ok().text
    # Somebody changes the upgrade policy of the pool that Batch renews, and then turns it off.
    on = AUTOMATIC["upgradePolicy"]["automaticOSUpgradePolicy"]
    sim.change("automatic", upgradePolicy={"automaticOSUpgradePolicy": {**on, "osRollingUpgradeDeferral": True}})
    shown = stack.preview("--refresh").ok().flat
    assert "no change needed; its upgrade policy is another one than at the last `up`" in shown
    sim.change("automatic", upgradePolicy={"mode": "automatic"})
    assert "an up would be refused: automatic OS upgrade is off (upgradePolicy." in (
        stack.run("preview", "--refresh").failed().flat
    )
