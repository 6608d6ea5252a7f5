"""The declared health on the simulator and the real client, in virtual time: nodes that fail, and soaks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from batch_os_provider.batch.address import PoolRef
from batch_os_provider.errors import DeadlineError, StalledError, UnhealthyError
from batch_os_provider.rollout.context import RolloutContext
from batch_os_provider.rollout.os_upgrade.upgrade import OsUpgrade
from batch_os_provider.rollout.progress import Reporter
from batch_os_provider.schema.declared import Declared, Gate, Policy
from batch_os_provider.schema.units import Share
from tests.support.inprocess import ENDPOINT, Account
from tests.support.simulator import NEW, paas_pool
from tests.unit.rollout.doubles import VirtualWaiter
from tests.unit.rollout.stage import Listener

RENDER = PoolRef(ENDPOINT, "render")
NONE = Gate(max_unhealthy=Share(0))
TASK = {"commandLine": "setup.cmd"}


class Farm:
    """One account, one clock, and rollouts one after the other."""

    def __init__(self, **changes: Any) -> None:
        self.waiter = VirtualWaiter()
        self.account = Account(self.waiter, {"pools": [paas_pool(**changes)]})
        self.voice = Listener()

    def rollout(self, **goal: Any) -> OsUpgrade:
        """A rollout that is yet to run."""
        wanted = Declared(RENDER, NEW, Policy(), **{"timeout": 7200.0, **goal})
        return OsUpgrade(wanted, RolloutContext(self.account.client(), self.waiter, Reporter(self.voice), lambda: 0.5))

    def strike(self, fate: str, *, node: str = "tvm-002") -> None:
        """Let a node end like this when it has been upgraded; struck right after the upgrade has begun."""

        def hook(moment: str, method: str, _path: str) -> None:
            if moment == "after" and method == "POST":
                self.account.world.pool("render").nodes[node].fate = fate

        self.account.hook = hook

    def mend(self, *, node: str = "tvm-002") -> None:
        """Somebody has mended a node, by another boot."""
        mended = self.account.world.pool("render").nodes[node]
        mended.state, mended.errors, mended.start_task = "idle", [], None
        mended.boot_time = self.account.world.now

    def asked(self, operation: str) -> int:
        """How often Batch was asked for something."""
        return sum(entry.operation == operation for entry in self.account.world.audit.entries)


@pytest.fixture
def farm() -> Iterator[Farm]:
    """A farm whose upgrades end though a node has failed."""
    made = Farm()
    made.account.world.unknowns.set({"upgradeWithFailedNode": "ends"})
    yield made
    assert made.asked("Pool_UpgradeOS") == 1, "never a second upgrade"


def test_a_node_that_an_upgrade_breaks_fails_the_gate_until_it_is_mended(farm: Farm) -> None:
    farm.strike("unusable")
    for _ in range(2):
        began, lists = farm.waiter.now(), farm.asked("ComputeNode_List")
        with pytest.raises(UnhealthyError, match="1 of 3 nodes is unhealthy, max_unhealthy 0: tvm-002 is unusable"):
            farm.rollout(gate=NONE).run()
    assert farm.waiter.now() - began < 1, "the second time it fails at once"
    assert farm.asked("ComputeNode_List") - lists == 1
    farm.mend()
    rollout = farm.rollout(gate=NONE)
    assert rollout.run().pool.current_os_version == NEW
    assert (rollout.unhealthy, rollout.is_proven) == (0, True)


def test_a_node_that_an_upgrade_breaks_is_reported_where_no_gate_is_declared(farm: Farm) -> None:
    farm.strike("unusable")
    rollout = farm.rollout()
    assert rollout.run().pool.current_os_version == NEW
    assert rollout.unhealthy == 1
    assert f"the pool runs {NEW}, but 1 of 3 nodes is unhealthy: tvm-002 is unusable" in farm.voice.lines("warn")[0]


@pytest.mark.parametrize(("waits", "state"), [(True, "starttaskfailed"), (False, "idle")])
def test_a_failed_start_task_is_unhealthy_whether_the_pool_waits_for_it_or_not(waits: bool, state: str) -> None:
    farm = Farm(startTask={**TASK, "waitForSuccess": waits})
    farm.account.world.unknowns.set({"upgradeWithFailedNode": "ends"})
    farm.strike("starttaskfailed")
    with pytest.raises(UnhealthyError, match=rf"tvm-002 is {state} \(FailureExitCode"):
        farm.rollout(gate=NONE).run()


@pytest.mark.parametrize("switch", ["waits", "ends"])
def test_a_failed_node_is_told_whether_or_not_batch_ends_the_upgrade(switch: str) -> None:
    farm = Farm()
    farm.account.world.unknowns.set({"upgradeWithFailedNode": switch})
    farm.strike("unusable")
    with pytest.raises((StalledError, UnhealthyError), match="tvm-002 is unusable") as ended:
        farm.rollout(gate=NONE, stall_after=600.0).run()
    assert ("goes on in Batch" in str(ended.value)) is (switch == "waits")
    assert farm.asked("Pool_UpgradeOS") == 1


def test_a_soak_ends_so_long_after_the_newest_boot_by_the_services_clock(farm: Farm) -> None:
    farm.rollout(gate=Gate(soak=3600.0)).run()
    newest = max(node.boot_time or 0 for node in farm.account.world.pool("render").nodes.values())
    soaked = (farm.account.world.now - newest) / 10_000_000
    assert 3600 <= soaked < 3602


def test_a_soak_that_was_cut_off_goes_on_where_it_was_and_a_settled_pool_passes_at_once(farm: Farm) -> None:
    with pytest.raises(DeadlineError, match="the declared health was not confirmed"):
        farm.rollout(gate=Gate(soak=3600.0), timeout=1800.0).run()
    cut = farm.waiter.now()
    farm.rollout(gate=Gate(soak=3600.0)).run()
    assert farm.waiter.now() - cut < 2000
    began = farm.waiter.now()
    farm.rollout(gate=Gate(soak=3600.0)).run()
    assert farm.waiter.now() - began < 1


def test_a_wait_for_health_asks_no_more_than_four_times_a_minute(farm: Farm) -> None:
    farm.rollout().run()
    calls, began = len(farm.account.world.audit.entries), farm.waiter.now()
    farm.rollout(gate=Gate(soak=3600.0)).run()
    minutes = (farm.waiter.now() - began) / 60
    assert len(farm.account.world.audit.entries) - calls <= 4 * minutes + 6
