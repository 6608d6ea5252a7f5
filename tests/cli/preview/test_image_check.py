"""What a program may declare of VM pools, and what a plan tells: inputs, drift, and pools that another stack keeps."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tests.support.simulator import ABOVE, BEHIND, OLD, TARGET, Simulator, vm_pool

if TYPE_CHECKING:
    from tests.support.stack import Stack


def test_bad_inputs_are_check_failures(sim: Simulator, stack: Stack) -> None:
    bad = {
        "target_image_version": ("20348.2461.x", "is not an exact image version; allowed: exact numbers with dots"),
        "strategy": ("Surge", "did you mean surge?"),
        "surge": (
            "2.5%",
            "is neither a number of nodes nor a percentage; allowed: a whole number of nodes from 0 to 100",
        ),
        "max_unavailable": (101, "is more than 100 nodes; allowed: a whole number of nodes from 0 to 100"),
        "drain_timeout": ("4m", "is shorter than 5m, the shortest resizeTimeout that Batch allows"),
        "timeout": ("2 parsecs", "is not a duration; allowed:"),
        "on_timeout": ("Defer", "did you mean defer?"),
        "pool_id": ("my pool", "did you mean my-pool?"),
        "account_endpoint": ("http://acct.westeurope.batch.azure.com", "http is for loopback only"),
    }
    words = ", ".join(f"{name}={value!r}" for name, (value, _) in bad.items())
    stack.program(f"PoolImageVersion('render', {words})\n")
    failed = stack.run("preview").failed()
    for name, (_, expected) in bad.items():
        assert f"property {name} value" in failed.flat, failed.text
        assert expected in failed.flat, failed.text
    assert not sim.requests()


def test_one_pool_declared_by_both_resources_names_both(sim: Simulator, stack: Stack) -> None:
    sim.seed(vm_pool(exact=TARGET))
    stack.program(
        f"""
        image = PoolImageVersion(
            "image", account_endpoint="{sim.endpoint}", pool_id="render", target_image_version="{TARGET}",
            strategy="surge",
        )
        PoolOsVersion(
            "os", account_endpoint="{sim.endpoint}", pool_id="Render", target_os_version="{OLD}",
            opts=ResourceOptions(depends_on=image),
        )
        """
    )
    failed = stack.run("preview").failed()
    assert "is declared twice" in failed.flat
    assert "PoolImageVersion::image" in failed.flat
    assert "PoolOsVersion::os" in failed.flat
    assert not sim.writes()


def test_an_older_node_is_drift_and_a_newer_one_is_not(sim: Simulator, stack: Stack) -> None:
    sim.seed(vm_pool("drifts", exact=TARGET), vm_pool("newer", exact=TARGET))
    stack.declare_images(sim, TARGET, drifts={}, newer={})
    stack.up().ok()
    sim.change_node("tvm-002", "drifts", virtualMachineInfo=vm_pool()["nodes"][0]["virtualMachineInfo"])
    sim.change_node("tvm-002", "newer", virtualMachineInfo=vm_pool(exact=ABOVE)["nodes"][0]["virtualMachineInfo"])
    assert f'~ target_image_version : "{TARGET}" => "{BEHIND}"' in stack.refresh().ok().flat, "Pulumi aligns the names"
    shown = stack.preview().ok()
    assert shown.text.count("target_image_version") == 1, "the newer pool has no diff"
    assert f'~ target_image_version: "{BEHIND}" => "{TARGET}"' in shown.text
    assert (
        "1 of 2 nodes behind, 0 running tasks, none will be stopped; surge 1: 1 round, +1 node at a time; "
        f"{BEHIND} -> {TARGET}"
    ) in shown.flat
    sim.speed(100)
    stack.up().ok()
    assert set(sim.versions("drifts")) == {TARGET}
    assert not [entry for entry in sim.writes() if entry["pool"] == "newer"]
    # A program that asks for more than there is: told in the plan of the change.
    stack.declare_images(sim, ABOVE, drifts={}, newer={"surge": 2})
    shown = stack.preview().ok()
    for count in (1, 2):
        assert re.search(rf"{count} of 2 nodes behind, [^>]*; {TARGET} -> {ABOVE}", shown.flat), shown.flat
