"""Many pools in one `up`: they wait side by side, and ask hardly more than one of them would."""

from __future__ import annotations

from typing import TYPE_CHECKING

from batch_os_provider.batch.shared_list import TICK_FIRST
from batch_os_provider.batch.shared_poller import COUNT_EVERY
from benchmarks.evidence import Evidence
from tests.support.door_marks import both_doors
from tests.support.doors import os_version
from tests.support.simulator import NEW, Simulator, paas_pool

if TYPE_CHECKING:
    from tests.support.stack import Stack

POOLS = 20


@both_doors
def test_twenty_pools_wait_side_by_side(sim: Simulator, stack: Stack) -> None:
    sim.pools(*(paas_pool(f"p{number}", nodes=2) for number in range(POOLS)))
    where = {"account_endpoint": sim.endpoint, "target_os_version": NEW}
    stack.write(*(os_version(f"p{number}", **where) for number in range(POOLS)))
    sim.speed(10)
    stack.up("--parallel", str(POOLS)).ok()
    posts = sim.upgrades()
    assert sorted(entry["pool"] for entry in posts) == sorted(f"p{number}" for number in range(POOLS))
    ended = sim.transitions("pool", "active")
    assert len(ended) == POOLS
    assert posts[-1]["seq"] < min(entry["seq"] for entry in ended), "all were upgrading at once"
    assert {each["current_os_version"] for each in stack.all_outputs().values()} == {NEW}
    window = Evidence.of(sim.get("audit")["entries"]).waiting()
    assert window is not None
    assert window.all_wait
    reads = dict(window.reads)
    # Bounds that the length of the wait alone decides: of 20 pools or of one.
    assert 1 < reads.pop("Pool_List") <= 1 + window.seconds / TICK_FIRST
    assert reads.pop("ComputeNode_List", 0) <= 1 + window.seconds / COUNT_EVERY
    # The look that follows each write may come after the last write; pools that read themselves would do it again.
    assert reads.pop("Pool_Get", 0) <= POOLS
    assert reads == {}
