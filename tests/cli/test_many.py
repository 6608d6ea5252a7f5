"""Many pools in one `up`: they wait side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.simulator import NEW, Simulator, paas_pool

if TYPE_CHECKING:
    from tests.support.stack import Stack

POOLS = 20


def test_twenty_pools_wait_side_by_side(sim: Simulator, stack: Stack) -> None:
    sim.pools(*(paas_pool(f"p{number}", nodes=2) for number in range(POOLS)))
    stack.program(
        f"""
        for n in range({POOLS}):
            PoolOsVersion(f"p{{n}}", account_endpoint="{sim.endpoint}", pool_id=f"p{{n}}", target_os_version="{NEW}")
        """
    )
    sim.speed(10)
    stack.up("--parallel", str(POOLS)).ok()
    posts = sim.upgrades()
    assert sorted(entry["pool"] for entry in posts) == sorted(f"p{number}" for number in range(POOLS))
    ended = sim.transitions("pool", "active")
    assert len(ended) == POOLS
    assert posts[-1]["seq"] < min(entry["seq"] for entry in ended), "all were upgrading at once"
    assert {resource["outputs"]["current_os_version"] for resource in stack.resources()} == {NEW}
