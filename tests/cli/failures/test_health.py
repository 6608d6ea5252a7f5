"""Health that is declared, on the real CLI: a failed gate stays failed, refreshed or not, and holds up others."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from tests.support.simulator import CREATED, NEW, OLD, Simulator, paas_pool
from tests.support.stack import wait_until

if TYPE_CHECKING:
    from tests.support.stack import Stack

ERRORS = [{"code": "AgentLost", "message": "The agent does not answer"}]
GATE = "1 of 3 nodes is unhealthy, max_unhealthy 0"


def declare_two(sim: Simulator, stack: Stack, target: str) -> None:
    """A pool with a gate, and one that depends on it."""
    where = f"account_endpoint={sim.endpoint!r}, target_os_version={target!r}"
    stack.program(
        f"""
        first = PoolOsVersion("first", pool_id="render", max_unhealthy=0, {where})
        PoolOsVersion("then", pool_id="after", {where}, opts=ResourceOptions(depends_on=[first]))
        """
    )


def version_of(sim: Simulator, pool: str) -> str:
    return str(sim.pool(pool)["cloudServiceConfiguration"]["currentOSVersion"])


def upgraded(sim: Simulator) -> list[str | None]:
    """The pools whose upgrade Batch has taken, in order."""
    return [each["pool"] for each in sim.upgrades()]


def test_a_failed_gate_stays_failed_until_the_node_is_mended_and_nothing_that_depends_on_it_begins(
    sim: Simulator, stack: Stack
) -> None:
    sim.pools(paas_pool(), paas_pool("after"))
    sim.unknown(upgradeWithFailedNode="ends")
    declare_two(sim, stack, OLD)
    stack.up().ok()
    declare_two(sim, stack, NEW)
    running = stack.start_up()
    wait_until(lambda: sim.pool()["nodes"][0]["state"] == "reimaging", "the first node is taken out")
    sim.change_node("tvm-001", simulator={"fate": "unusable"})
    sim.speed(60)
    failed = running.wait().failed()
    assert f"it runs {NEW}, but {GATE}: tvm-001 is unusable" in failed.flat
    assert "starts no second upgrade" in failed.flat
    assert stack.all_outputs()["render"]["current_os_version"] == OLD, "a failed update keeps the old state"

    assert f"{GATE}: tvm-001 is unusable" in stack.preview().ok().flat
    assert GATE in stack.up().failed().flat
    assert GATE in stack.up("--refresh").failed().flat
    seen = stack.all_outputs()["render"]
    assert (seen["current_os_version"], seen["pool_state"], seen["unhealthy_nodes"]) == (NEW, "unproven", 1)
    assert "the pool has not yet met max_unhealthy and soak" in stack.preview().ok().flat
    assert GATE in stack.up().failed().flat, "not by what the refresh has written either"
    assert upgraded(sim) == ["render"]
    assert version_of(sim, "after") == OLD

    sim.change_node("tvm-001", state="idle", errors=[])
    stack.up().ok()
    assert upgraded(sim) == ["render", "after"]
    assert version_of(sim, "after") == NEW
    seen = stack.all_outputs()["render"]
    assert (seen["pool_state"], seen["unhealthy_nodes"]) == ("active", 0)
    stack.run("preview", "--refresh", "--expect-no-changes").ok()


def test_a_pool_that_is_adopted_has_to_be_healthy_too_and_a_failed_create_stores_nothing(
    sim: Simulator, stack: Stack
) -> None:
    sim.change_node("tvm-002", state="unusable", errors=ERRORS)
    stack.declare(sim, OLD, max_unhealthy=0)
    failed = stack.up().failed()
    assert f"it runs {OLD}, but {GATE}: tvm-002 is unusable (AgentLost: The agent does not answer)" in failed.flat
    assert stack.resources() == []
    stack.declare(sim, OLD, max_unhealthy="34%")
    stack.up().ok()
    assert stack.outputs()["unhealthy_nodes"] == 1
    assert "unchanged" in stack.refresh().ok().text
    assert not sim.writes()


def test_an_interrupted_soak_says_what_is_so_and_a_settled_pool_passes_at_once(sim: Simulator, stack: Stack) -> None:
    recent = datetime.now(timezone.utc) - timedelta(minutes=20)
    sim.change_node("tvm-002", lastBootTime=recent.strftime("%Y-%m-%dT%H:%M:%SZ"))
    stack.declare(sim, OLD, soak="1h")
    running = stack.start_up()
    wait_until(lambda: "soaking" in running.text, "it soaks")
    running.interrupt()
    stopped = running.wait().failed()
    assert f"the pool runs {OLD}; 0 of 3 nodes are unhealthy; the newest boot was 2" in stopped.flat
    sim.change_node("tvm-002", lastBootTime=CREATED)
    stack.up().ok()
    assert stack.outputs()["pool_state"] == "active"
    assert not sim.writes()


def test_a_stall_is_an_error_that_names_the_nodes_and_the_next_up_joins(sim: Simulator, stack: Stack) -> None:
    stack.declare(sim, NEW, stall_after="2s")
    stalled = stack.up().failed()
    assert "stall_after is 2s: tvm-001 is reimaging" in stalled.flat
    assert f"the upgrade {OLD} -> {NEW} goes on in Batch" in stalled.flat
    stack.declare(sim, NEW)
    sim.speed(60)
    stack.up().ok()
    assert upgraded(sim) == ["render"]
    assert version_of(sim, "render") == NEW
