"""Faults on the real CLI: one stack, a pool for each; and what only a real process can meet.

The whole table is in `tests/inprocess/test_faults_and_invariants.py`. Here are a few of its rows with the real engine,
for what it does not see: that nothing is planned after it (I6), and that no key is in the state or in the output (I10).
"""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

from tests.support.door_marks import native_door
from tests.support.doors import image_version, os_version
from tests.support.simulator import NEW, TARGET, Simulator, paas_pool, vm_pool
from tests.support.stack import COMMAND_TIMEOUT

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.stack import Stack

Rule = tuple[str, int, dict[str, Any]]

FAULTS: dict[str, Rule] = {
    "f1-os-date": ("Pool_Get", 2, {"kind": "status", "status": 429, "retryAfter": 2, "retryAfterAs": "date"}),
    "f2-os-busy": ("Pool_UpgradeOS", 1, {"kind": "status", "status": 503, "retryAfter": 1}),
    "f4-os-reset": ("Pool_UpgradeOS", 1, {"kind": "reset"}),
    "f5-os-reset": ("Pool_UpgradeOS", 1, {"kind": "reset", "after": True}),
    "f5-os-truncated": ("Pool_Get", 2, {"kind": "truncate", "bytes": 40}),
    "f7-os-condition": ("Pool_UpgradeOS", 1, {"kind": "status", "status": 412}),
    "f20-os-stale": ("Pool_Get", 2, {"kind": "stale", "changes": 1}),
    "f21-os-garbage": ("Pool_Get", 2, {"kind": "garbage"}),
    "f21-os-unknown": ("Pool_Get", 2, {"kind": "unknownState"}),
    "f22-os-skew": ("Pool_Get", 2, {"kind": "clockSkew", "seconds": -7200}),
    "f2-vm-resize": ("Pool_Resize", 1, {"kind": "status", "status": 429, "retryAfter": 1}),
    "f4-vm-note": ("Pool_Patch", 1, {"kind": "dropBefore"}),
    "f5-vm-resize": ("Pool_Resize", 1, {"kind": "reset", "after": True}),
    "f5-vm-remove": ("Pool_RemoveNodes", 1, {"kind": "dropAfter"}),
    "f5-vm-clear": ("Pool_Patch", 2, {"kind": "truncate"}),
    "f7-vm-remove": ("Pool_RemoveNodes", 1, {"kind": "status", "status": 412}),
    "f20-vm-stale": ("Pool_Get", 2, {"kind": "stale", "changes": 1}),
    "f21-vm-fields": ("ComputeNode_List", 2, {"kind": "extraFields"}),
}


def declare(stack: Stack, sim: Simulator, pool_ids: list[str]) -> None:
    """Declare pools of both kinds at their targets."""
    image = {"account_endpoint": sim.endpoint, "target_image_version": TARGET, "strategy": "surge"}
    os = {"account_endpoint": sim.endpoint, "target_os_version": NEW}
    stack.write(*(os_version(name, **os) if "-os-" in name else image_version(name, **image) for name in pool_ids))


@native_door
def test_a_fault_for_each_pool_and_one_up(sim: Simulator, stack: Stack) -> None:
    sim.seed(*(paas_pool(name) if "-os-" in name else vm_pool(name, nodes=1) for name in FAULTS))
    for name, (operation, nth, effect) in FAULTS.items():
        sim.fault(operation, effect, pool=name, nth=nth)
    declare(stack, sim, list(FAULTS))
    sim.speed(60)
    ended = stack.up("--parallel", "64").ok()
    rules: Any = sim.get("faults")
    assert {rule["match"]["pool"] for rule in rules if rule["fired"]} == set(FAULTS), "each fault has struck"
    begun = [entry["pool"] for entry in sim.transitions("pool", "upgrading")]
    assert sorted(begun) == sorted(name for name in FAULTS if "-os-" in name), "one upgrade for each"
    for name in FAULTS:
        pool = sim.pool(name)
        if "-os-" in name:
            assert pool["cloudServiceConfiguration"]["currentOSVersion"] == NEW, name
        else:
            assert (set(sim.versions(name)), len(pool["nodes"]), pool.get("metadata", [])) == ({TARGET}, 1, []), name
            assert sim.capacity(1, name)[0] == 1, name
    sim.no_faults()
    previewed = stack.preview("--refresh", "--expect-no-changes").ok()
    exported = stack.run("stack", "export", "--show-secrets").ok()
    for result in (ended, previewed, exported):
        assert sim.key not in result.text


@native_door
def test_two_stacks_upgrade_one_pool_at_once(sim: Simulator, new_stack: Callable[..., Stack]) -> None:
    """Both come to the same end, and Batch has begun one upgrade of each pool."""
    pool_ids = [f"p-os-{number}" for number in range(6)]
    sim.pools(*(paas_pool(name) for name in pool_ids))
    sim.speed(10)
    stacks = [new_stack("left"), new_stack("right")]
    for stack in stacks:
        declare(stack, sim, pool_ids)
    for result in [running.wait() for running in [stack.start_up() for stack in stacks]]:
        result.ok()
    assert sorted(entry["pool"] for entry in sim.transitions("pool", "upgrading")) == pool_ids
    for stack in stacks:
        assert {each["current_os_version"] for each in stack.all_outputs().values()} == {NEW}
        stack.preview("--refresh", "--expect-no-changes").ok()


def test_a_full_disk_under_log_and_output_ends_nothing(sim: Simulator, new_stack: Callable[..., Stack]) -> None:
    """F28: the debug log cannot be written, nor what the CLI says; the upgrade and its state do not care."""
    stack = new_stack("stack", BATCH_OS_LOG="/dev/full")
    stack.declare(sim, NEW)
    sim.speed(60)
    with open("/dev/full", "w", encoding="utf-8") as full:  # noqa: PTH123 - a device
        subprocess.run(
            ["pulumi", "up", "--yes", "--skip-preview", "--non-interactive"],  # noqa: S607 - on the PATH we made
            cwd=stack.program_folder,
            env=stack.environment,
            stdin=subprocess.DEVNULL,
            stdout=full,
            stderr=full,
            timeout=COMMAND_TIMEOUT,
            check=False,
        )
    assert len(sim.upgrades()) == 1
    assert sim.pool()["cloudServiceConfiguration"]["currentOSVersion"] == NEW
    assert stack.outputs()["current_os_version"] == NEW
    stack.preview("--refresh", "--expect-no-changes").ok()
