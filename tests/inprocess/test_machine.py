"""Cloud Services pools: whatever befalls them, the next `up` reaches what is declared, and nothing is done twice."""

from __future__ import annotations

from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from batch_os_provider.batch.pool import Pool as Seen
from batch_os_provider.guest_os.version import same_version
from batch_os_provider.preview.plan import plan_os
from batch_os_provider.provider import PoolOsVersionProvider
from batch_os_provider.rollout.context import RolloutContext
from batch_os_provider.rollout.os_upgrade.upgrade import OsUpgrade
from batch_os_provider.rollout.progress import Reporter
from batch_os_provider.schema.declared import Declared, Policy
from batch_os_provider.simulator.state.load import load
from batch_os_provider.simulator.world import nodes, pools, resizes, upgrades
from batch_os_provider.simulator.world.clock import VirtualClock
from batch_os_provider.simulator.world.model import Pool
from batch_os_provider.simulator.world.pool_states import set_state
from batch_os_provider.simulator.world.world import World
from tests.inprocess.machine import ENDPOINT, HOUR, MINUTE, RENDER, PoolMachine, Up, run, settle_nodes
from tests.support.invariants import Kind
from tests.support.simulator import NEW, OLD, OTHER, job, paas_pool

VERSIONS = st.sampled_from((OLD, NEW, OTHER, "*"))
POLICIES = st.builds(Policy, st.sampled_from(("wait", "fail")), st.sampled_from(("fail", "wait")))
PATIENT = Policy("wait", "wait")


class CloudServicesMachine(PoolMachine):
    """A pool of three nodes, five tasks, and everybody who has something to do with it."""

    kind: ClassVar[Kind] = "os"
    operations: ClassVar[tuple[str, ...]] = ("Pool_Get", "ComputeNode_List", "Pool_UpgradeOS")
    switches: ClassVar[tuple[str, ...]] = (
        "sameTargetWhileUpgrading",
        "upgradeWhileResizing",
        "resizeWhileUpgrading",
        "upgradeWhileDeleting",
        "nodeStateDuringUpgrade",
        "emptyPoolUpgradeSeconds",
        "requeueCount",
    )

    def __init__(self) -> None:
        super().__init__()
        self.target = NEW
        self.policy = Policy()

    def seed(self) -> dict[str, Any]:
        return {"pools": [paas_pool()], "jobs": [job("render", 40, 90, 200, 10, 60)]}

    def rollout(self, reporter: Reporter, timeout: float, *, defer: bool) -> OsUpgrade:
        goal = Declared(RENDER, self.target, self.policy, timeout, defer)
        return OsUpgrade(goal, RolloutContext(self.client, self.clock, reporter, lambda: 0.5))

    def look(self) -> Seen:
        return self.client.get_pool(RENDER)

    def plan(self) -> None:
        plan_os(self.client.get_pool(RENDER), self.client.list_nodes(RENDER), self.target, self.policy, HOUR)

    def is_empty_diff(self, seen: Seen) -> bool:
        declared = {"account_endpoint": ENDPOINT, "pool_id": "render", "target_os_version": self.target}
        known = {
            **declared,
            "target_os_version": seen.current_os_version,
            "current_os_version": seen.current_os_version,
            "pool_state": seen.state_text,
        }
        return not PoolOsVersionProvider().diff("", known, declared).changes

    def judge_success(self, up: Up) -> None:
        assert up.shown.get("state") == "active", f"I4: {up.shown}"
        assert same_version(up.shown["cloudServiceConfiguration"]["currentOSVersion"], self.target), f"I4: {up.shown}"

    def judge_up(self, up: Up) -> None:
        super().judge_up(up)
        if self.world.unknowns["sameTargetWhileUpgrading"] != "accepted":
            taken = self.effective("Pool_UpgradeOS", up)
            assert len(taken) <= 1, f"I1: {len(taken)} upgrades started by one up"

    # --- rules ---

    @rule(version=VERSIONS, policy=POLICIES)
    def declare(self, version: str, policy: Policy) -> None:
        self._step("declare")
        self.target, self.policy = version, policy

    @rule(to=VERSIONS)
    def somebody_upgrades(self, to: str) -> None:
        self._step("somebody upgrades")
        self.others(lambda pool: upgrades.upgrade_os(self.world, pool, to))

    @rule(to=st.sampled_from((OLD, NEW, OTHER)))
    def platform_rolls_back(self, to: str) -> None:
        self._step("platform rolls back")
        self.others(lambda pool: roll_back(self.world, pool, to))

    @rule(count=st.integers(0, 5))
    def somebody_resizes(self, count: int) -> None:
        self._step("somebody resizes")
        self.others(lambda pool: resizes.resize(self.world, pool, (count, 0), None, "requeue"))

    @precondition(lambda self: self.pool is not None and self.pool.allocation == "resizing")
    @rule()
    def somebody_stops_the_resize(self) -> None:
        self._step("somebody stops the resize")
        self.others(lambda pool: resizes.stop_resize(self.world, pool))

    @rule(index=st.integers(0, 4), state=st.sampled_from(("unusable", "leavingpool", "reimaging", "preempted")))
    def node_fails(self, index: int, state: str) -> None:
        self._step("a node fails")
        self.others(lambda pool: strike(self.world, pool, index, state))

    @precondition(lambda self: self.pool is not None)
    @rule(seconds=st.sampled_from((1.0, 10.0)), again=st.sampled_from((True, True, False)))
    def somebody_deletes_the_pool(self, seconds: float, again: bool) -> None:
        self._step("somebody deletes the pool")
        self.others(lambda pool: pools.delete(self.world, pool))
        self.clock.spend(seconds)
        if again:
            self.up()
            self.clock.spend(MINUTE)
            if self.pool is None:
                create(self.world)

    @precondition(lambda self: self.pool is None)
    @rule()
    def somebody_creates_the_pool(self) -> None:
        self._step("somebody creates the pool")
        create(self.world)

    @rule(
        at=st.integers(1, 40),
        act=st.sampled_from(("upgrade", "roll back", "resize", "delete", "node")),
        version=st.sampled_from((OLD, NEW, OTHER)),
        count=st.integers(0, 5),
    )
    def up_while_somebody_acts(self, at: int, act: str, version: str, count: int) -> None:
        self._step("up while somebody acts")

        def on(pool: Pool) -> None:
            if act == "upgrade":
                upgrades.upgrade_os(self.world, pool, version)
            elif act == "roll back":
                roll_back(self.world, pool, version)
            elif act == "resize":
                resizes.resize(self.world, pool, (count, 0), None, "requeue")
            elif act == "delete":
                pools.delete(self.world, pool)
            else:
                strike(self.world, pool, count, "unusable")

        self.up(cut=(at, lambda: self.others(on)))

    # --- the end ---

    def mend(self) -> None:
        self.policy = PATIENT
        if self.pool is None:
            create(self.world)
        pool = self.pool
        assert pool is not None
        settle_nodes(pool)
        if not pool.nodes:
            resizes.resize(self.world, pool, (3, 0), None, "requeue")  # somebody has to run the tasks
        upgrades.reconcile(self.world, pool)

    def teardown(self) -> None:
        super().teardown()
        pool = self.pool
        assert pool is not None
        assert pool.cloud_service is not None
        assert pool.state == "active"
        assert same_version(pool.cloud_service["currentOSVersion"], self.target), pool.cloud_service


def roll_back(world: World, pool: Pool, to: str) -> None:
    """The platform breaks off what runs and puts the pool at a version."""
    if pool.cloud_service is None or pool.state == "deleting":
        return
    pool.upgrade = None
    pool.cloud_service |= {"currentOSVersion": to, "targetOSVersion": to}
    world.touch(pool)
    if pool.state != "active":
        set_state(world, pool, "active", pool.created)


def strike(world: World, pool: Pool, index: int, state: str) -> None:
    """A node leaves its work: for ever, or as if it had been reimaged."""
    there = [node for node in pool.nodes.values() if node.state != "leavingpool"]
    if index >= len(there) or pool.state == "deleting":
        return
    if state == "leavingpool":
        nodes.remove(world, pool, there[index])
        return
    nodes.tasks.evict(world, there[index], terminate=False)
    nodes.set_state(world, pool, there[index], state)
    upgrades.reconcile(world, pool)


def create(world: World) -> None:
    """Somebody creates the pool anew; jobs that wait for it go on."""
    fresh = World(VirtualClock(world.now, speed=0))
    load(fresh, {"pools": [paas_pool()]})
    pool = fresh.pools["render"]
    pool.etag = f"{pool.etag}{world.now:X}"
    world.pools["render"] = pool
    upgrades.reconcile(world, pool)


def test_whatever_befalls_a_cloud_services_pool() -> None:
    run(CloudServicesMachine, count=24, least=400)
