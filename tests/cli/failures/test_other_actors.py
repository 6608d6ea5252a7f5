"""Pools that somebody else is changing, and pools that cannot be upgraded at all."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING

from tests.support.simulator import BEHIND, NEW, OLD, OTHER, SHORT_NEW, SHORT_OLD, Simulator, paas_pool, vm_pool
from tests.support.stack import wait_until

if TYPE_CHECKING:
    from tests.support.stack import Stack

FAMILY_5 = "WA-GUEST-OS-5.25_201811-01"


def upgrade_from_outside(sim: Simulator, target: str) -> None:
    """Another actor starts an upgrade of the pool."""
    assert sim.outside("POST", "/pools/render/upgradeos", {"targetOSVersion": target}) == 202


def resize_from_outside(sim: Simulator, nodes: int) -> None:
    """Another actor starts a resize of the pool."""
    assert sim.outside("POST", "/pools/render/resize", {"targetDedicatedNodes": nodes}) == 202


def test_joins_an_upgrade_to_the_same_target(sim: Simulator, stack: Stack) -> None:
    upgrade_from_outside(sim, NEW)
    stack.declare(sim, NEW)
    running = stack.start_up()
    wait_until(lambda: re.search(r"0 of 3 nodes back, \d+s", running.text), "it waits")
    sim.speed(60)
    joined = running.wait().ok()
    assert len(sim.upgrades()) == 1, "the one from outside"
    assert re.search(rf"done, 3 of 3 nodes back, \w+; {SHORT_OLD} -> {SHORT_NEW}", joined.text)


def test_refuses_while_another_target_is_in_flight_naming_both(sim: Simulator, stack: Stack) -> None:
    upgrade_from_outside(sim, OTHER)
    stack.declare(sim, NEW)
    refused = stack.up().failed()
    assert f"an upgrade {OLD} -> {OTHER} is in flight, and {NEW} is declared" in refused.flat
    assert 'on_conflict="wait"' in refused.flat
    assert len(sim.upgrades()) == 1


def test_on_conflict_wait_waits_then_upgrades(sim: Simulator, stack: Stack) -> None:
    upgrade_from_outside(sim, OTHER)
    stack.declare(sim, NEW, on_conflict="wait")
    sim.speed(60)
    stack.up().ok()
    assert [entry["status"] for entry in sim.upgrades()] == [202, 202]
    assert sim.pool()["cloudServiceConfiguration"]["currentOSVersion"] == NEW


def test_revert_mid_flight_is_refused_and_works_afterwards(sim: Simulator, stack: Stack) -> None:
    stack.declare(sim, OLD)
    stack.up().ok()
    upgrade_from_outside(sim, NEW)
    # The reviewed way back: the commit that changed the target is reverted while the upgrade runs.
    stack.declare(sim, OLD, timeout="45m")
    refused = stack.up().failed()
    assert "Batch cannot cancel or reverse a running upgrade" in refused.flat
    sim.speed(60)
    wait_until(lambda: sim.pool()["state"] == "active", "the upgrade from outside ends")
    stack.up().ok()
    assert sim.pool()["cloudServiceConfiguration"]["currentOSVersion"] == OLD
    assert len(sim.upgrades()) == 2


def test_waits_for_a_resize_and_never_stops_it(sim: Simulator, stack: Stack) -> None:
    resize_from_outside(sim, 5)
    stack.declare(sim, NEW)
    running = stack.start_up()
    wait_until(lambda: re.search(r"a resize is under way \(resizing\), \d+s", running.text), "it waits")
    sim.speed(60)
    running.wait().ok()
    assert len(sim.pool()["nodes"]) == 5
    assert not sim.requests("Pool_StopResize")
    (post,) = sim.upgrades()
    assert post["status"] == 202, "it was sent only when the pool was steady"


def test_if_resizing_fail_refuses(sim: Simulator, stack: Stack) -> None:
    resize_from_outside(sim, 5)
    stack.declare(sim, NEW, if_resizing="fail")
    refused = stack.up().failed()
    assert "a resize is under way (resizing); this `up` does not stop it" in refused.flat
    assert not sim.upgrades()
    assert sim.pool()["allocationState"] == "resizing"


def test_another_family_is_refused_without_a_write(sim: Simulator, stack: Stack) -> None:
    stack.declare(sim, FAMILY_5)
    refused = stack.up().failed()
    assert f"property target_os_version value {{{FAMILY_5}}} has a problem: an up would be refused: " in refused.flat
    assert "it is of OS family 5, but the pool is of OS family 4" in refused.flat
    assert not sim.writes()


def test_vm_pool_is_refused_with_what_to_use_instead(sim: Simulator, stack: Stack) -> None:
    sim.pools(vm_pool())
    stack.declare(sim, NEW)
    refused = stack.up().failed()
    assert "it is a VM pool (image microsoftwindowsserver windowsserver 2022-datacenter-core latest)" in refused.flat
    assert (
        f'PoolImageVersion("render", account_endpoint="{sim.endpoint}", pool_id="render", '
        f'target_image_version="{BEHIND}", strategy="surge")'
    ) in refused.flat
    assert not sim.writes()


def test_vm_pool_keeps_the_declared_target_over_a_refresh(sim: Simulator, stack: Stack) -> None:
    stack.declare(sim, OLD)
    stack.up().ok()
    sim.pools(vm_pool())
    stack.refresh().ok()
    outputs = stack.outputs()
    assert outputs["target_os_version"] == OLD
    assert "current_os_version" not in outputs, "None values are not kept in a Pulumi state"


def test_api_version_no_longer_answered(sim: Simulator, stack: Stack) -> None:
    stack.declare(sim, OLD)
    stack.up().ok()
    sim.unknown(retiredApiVersions="before-2025-06-01")
    stack.declare(sim, NEW)
    refused = stack.up().failed()
    assert "Batch no longer answers API version 2018-08-01.7.0, the last one with upgradeos" in refused.flat
    assert "Move the work to a VM pool" in refused.flat
    assert not sim.writes()
    # A refresh tells it and keeps what is known: it must not block the whole stack, nor drop the pool.
    refreshed = stack.refresh().ok()
    assert "Batch no longer answers API version" in refreshed.flat
    assert stack.outputs()["target_os_version"] == OLD


def test_vm_pool_is_told_apart_also_where_the_old_api_is_gone(sim: Simulator, stack: Stack) -> None:
    sim.pools(vm_pool())
    sim.unknown(retiredApiVersions="before-2025-06-01")
    stack.declare(sim, NEW)
    assert "it is a VM pool" in stack.up().failed().flat


def test_pool_that_does_not_exist(sim: Simulator, stack: Stack) -> None:
    stack.declare(sim, NEW, pool_id="nobody")
    failed = stack.up().failed()
    assert f"pool {sim.endpoint}/pools/nobody: Batch says that it does not exist (404 PoolNotFound)" in failed.flat
    assert "Check account_endpoint and pool_id" in failed.flat
    assert "request id" in failed.flat
    assert not sim.writes()


def test_pool_gone_at_refresh_is_dropped_from_the_state(sim: Simulator, stack: Stack) -> None:
    stack.declare(sim, OLD)
    stack.up().ok()
    sim.pools()
    stack.refresh().ok()
    assert stack.resources() == []


def test_pool_being_deleted_is_refused_and_is_not_gone(sim: Simulator, stack: Stack) -> None:
    stack.declare(sim, OLD)
    stack.up().ok()
    assert sim.outside("DELETE", "/pools/render") == 202
    stack.refresh().ok()
    assert len(stack.resources()) == 1
    stack.declare(sim, NEW)
    assert "it is being deleted" in stack.up().failed().flat
    assert not sim.upgrades()


def test_empty_pool_is_upgraded_too(sim: Simulator, stack: Stack) -> None:
    sim.pools(paas_pool(nodes=0))
    stack.declare(sim, NEW)
    sim.speed(60)
    assert re.search(rf"done, no nodes, \w+; {SHORT_OLD} -> {SHORT_NEW}", stack.up().ok().text)


def test_busy_answers_are_never_met_with_a_second_post_without_a_read(sim: Simulator, stack: Stack) -> None:
    busy = {"kind": "status", "status": 503, "code": "ServerBusy", "retryAfter": 1}
    # Each fault counts the requests that reach it, so the second one meets the second POST.
    conflict = {"kind": "status", "status": 409, "code": "PoolBeingResized", "retryAfter": 1}
    sim.fault("Pool_UpgradeOS", busy, nth=1)
    sim.fault("Pool_UpgradeOS", conflict, nth=1)
    stack.declare(sim, NEW)
    sim.speed(60)
    stack.up().ok()
    order = [entry["operation"] for entry in sim.requests("Pool_UpgradeOS", "Pool_Get")]
    assert order.count("Pool_UpgradeOS") == 3
    assert ("Pool_UpgradeOS", "Pool_UpgradeOS") not in list(pairwise(order))
    statuses = [entry["status"] for entry in sim.upgrades()]
    assert statuses == [503, 409, 202]
