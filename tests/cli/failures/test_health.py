"""Health that is declared, on the real CLI: a failed gate stays failed, refreshed or not, and holds up others."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
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


def test_a_sick_pool_a_soak_and_a_stall_store_nothing_and_the_next_up_passes(sim: Simulator, stack: Stack) -> None:
    """A pool that is adopted has to be healthy, ^C ends a soak, and a stall names the nodes."""
    sim.pools(*map(paas_pool, ("sick", "soaks", "stalls")))
    sim.change_node("tvm-002", "sick", state="unusable", errors=ERRORS)
    recent = datetime.now(UTC) - timedelta(minutes=20)
    sim.change_node("tvm-002", "soaks", lastBootTime=recent.strftime("%Y-%m-%dT%H:%M:%SZ"))

    def declare(sick: int | str, **stalls: str) -> None:
        inputs: dict[str, dict[str, int | str]] = {
            "sick": {"target_os_version": OLD, "max_unhealthy": sick},
            "soaks": {"target_os_version": OLD, "soak": "1h"},
            "stalls": {"target_os_version": NEW, **stalls},
        }
        stack.program(
            "".join(
                f"PoolOsVersion({name!r}, **{ {'account_endpoint': sim.endpoint, 'pool_id': name, **each}!r})\n"
                for name, each in inputs.items()
            )
        )

    declare(0, stall_after="2s")
    running = stack.start_up("--continue-on-error")
    wait_until(lambda: "soaking" in running.text and running.text.count("**creating failed**") == 2, "one still soaks")
    running.interrupt()
    failed = running.wait().failed()
    assert f"it runs {OLD}, but {GATE}: tvm-002 is unusable (AgentLost: The agent does not answer)" in failed.flat
    assert f"the pool runs {OLD}; 0 of 3 nodes are unhealthy; the newest boot was 2" in failed.flat
    assert "stall_after is 2s: tvm-001 is reimaging" in failed.flat
    assert f"the upgrade {OLD} -> {NEW} goes on in Batch" in failed.flat
    assert stack.resources() == [], "a failed create stores nothing"

    # One unhealthy node is allowed, the pool has settled, and the upgrade goes on.
    declare("34%")
    sim.change_node("tvm-002", "soaks", lastBootTime=CREATED)
    sim.speed(60)
    stack.up().ok()
    outputs = stack.all_outputs()
    assert outputs["sick"]["unhealthy_nodes"] == 1
    assert outputs["soaks"]["pool_state"] == "active"
    assert version_of(sim, "stalls") == NEW
    assert "unchanged" in stack.refresh().ok().text
    assert upgraded(sim) == ["stalls"]
