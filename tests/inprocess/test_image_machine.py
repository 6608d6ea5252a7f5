"""VM pools: whatever befalls them, no task is stopped, no node is missing or left over, the next `up` gets there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from batch_os_provider.batch.image_version import parse_image_version
from batch_os_provider.batch.vm_pool import MARKER
from batch_os_provider.batch.vm_target import AllocatedSince, ImageVersion, Target
from batch_os_provider.batch.vm_view import VmPoolView
from batch_os_provider.errors import RefusedError
from batch_os_provider.image_provider import PoolImageVersionProvider
from batch_os_provider.preview.plan import plan_image
from batch_os_provider.rollout.context import RolloutContext
from batch_os_provider.rollout.image_renewal.renewal import ImageRenewal, read_view
from batch_os_provider.rollout.progress import Reporter
from batch_os_provider.schema.declared import DeclaredImage, ImagePolicy
from batch_os_provider.schema.outputs import of_vm_pool
from batch_os_provider.simulator.state.load import load
from batch_os_provider.simulator.world import nodes, pools, resizes, tasks, upgrades
from batch_os_provider.simulator.world.audit import Entry
from batch_os_provider.simulator.world.clock import VirtualClock, iso, parse_iso
from batch_os_provider.simulator.world.model import READY, Pool
from batch_os_provider.simulator.world.world import World
from tests.inprocess.machine import ENDPOINT, HOUR, MINUTE, RENDER, PoolMachine, Up, run, settle_nodes
from tests.support.invariants import Kind
from tests.support.simulator import ABOVE, BEHIND, MOVED, TARGET, WINDOWS, job, vm_pool

SURGE = 2
"""The most nodes that a rollout here may add."""
FATES: tuple[dict[str, Any], ...] = (
    {"fail": "AllocationFailed", "times": 1},
    {"fail": "AllocationFailed", "failAfter": 1, "times": 1},
    {"startTask": "fail", "count": 1},
    {"state": "unusable", "count": 1},
    {"version": BEHIND, "count": 1},
)
VERSIONS = st.sampled_from((BEHIND, TARGET, TARGET, ABOVE))


class VmMachine(PoolMachine):
    """A pool of two nodes, tasks, and everybody who has something to do with it."""

    kind: ClassVar[Kind] = "image"
    by_moment: ClassVar[bool] = False
    """Whether moments are declared: then the nodes show no version."""
    operations: ClassVar[tuple[str, ...]] = (
        "Pool_Get",
        "ComputeNode_List",
        "Pool_Patch",
        "Pool_Resize",
        "Pool_RemoveNodes",
    )
    switches: ClassVar[tuple[str, ...]] = (
        "latestOfNewNodes",
        "removeNodesUnknownId",
        "removeNodesTimeoutCode",
        "removeNodesTimeoutTarget",
        "removeNodesWhileShort",
        "requeueCount",
    )

    def __init__(self) -> None:
        super().__init__()
        self.target = self.target_for(TARGET)
        self.world.unknowns.set(self.shown())
        self.policy = ImagePolicy("surge", 1)
        self.drain = 10 * MINUTE
        self.size = 2
        """How many nodes people want."""
        self.is_muddled = False
        """Somebody resized the pool in the middle of a renewal, and nobody has put that in order yet."""

    def shown(self) -> dict[str, str]:
        """What nodes of a pool on latest show."""
        return {"exactVersionOfLatest": "latest" if self.by_moment else "number"}

    def target_for(self, version: str) -> Target:
        """What is declared: an older version stands for a moment before all nodes, a newer one for now."""
        if not self.by_moment:
            return ImageVersion.parse(version)
        now = f"{iso(self.world.now)[:19]}Z"
        return AllocatedSince.parse({BEHIND: "2017-12-31", TARGET: "2024-06-01", ABOVE: now}[version])

    def seed(self) -> dict[str, Any]:
        start_task = {"commandLine": "cmd /c echo", "waitForSuccess": True}
        return {
            "pools": [vm_pool(startTask=start_task, exact="latest" if self.by_moment else "")],
            "images": [MOVED],
            "jobs": [job("render", 40, 90, 200, 10, 60)],
        }

    def rollout(self, reporter: Reporter, timeout: float, *, defer: bool) -> ImageRenewal:
        goal = DeclaredImage(RENDER, self.target, self.policy, self.drain, timeout, defer)
        return ImageRenewal(goal, RolloutContext(self.client, self.clock, reporter, lambda: 0.5))

    def look(self) -> VmPoolView:
        return read_view(self.client, RENDER)

    def plan(self) -> None:
        plan_image(read_view(self.client, RENDER), self.target, self.policy, HOUR)

    def is_empty_diff(self, seen: VmPoolView) -> bool:
        declared = {"account_endpoint": ENDPOINT, "pool_id": "render", self.target.property: self.target.text}
        known = {**declared, **of_vm_pool(seen, self.target)}
        return not PoolImageVersionProvider().diff("", known, declared).changes

    def judge_success(self, up: Up) -> None:
        assert (up.shown["state"], up.shown["allocationState"]) == ("active", "steady"), f"I4: {up.shown}"
        assert MARKER not in {entry["name"] for entry in up.shown.get("metadata", [])}, f"I4: {up.shown}"
        assert not [node for node in up.shown_nodes if self.is_behind(node)], f"I4: still there: {up.shown_nodes}"

    def is_behind(self, node: Mapping[str, Any]) -> bool:
        """Whether a node as shown is older than what is declared."""
        if isinstance(self.target, AllocatedSince):
            return parse_iso(node["allocationTime"]) < parse_iso(self.target.moment)
        return (parse_image_version(version_of(node)) or ()) < self.target.numbers

    def judge_up(self, up: Up) -> None:
        super().judge_up(up)
        pool = self.pool
        continues = "could not bring back" in str(up.error)
        if type(up.error) is RefusedError and up.undisturbed and pool and not (self.is_muddled or continues):
            assert mark_of(pool) is None, f"it is told before it is undone: {up.error}"

    def judge_write(self, up: Up, path: str, body: Mapping[str, Any]) -> None:
        """I2: an old node is asked to leave only when every node that was added takes tasks."""
        if not path.endswith("/removenodes"):
            return
        note = next(entry["value"] for entry in up.shown["metadata"] if entry["name"] == MARKER)
        began = parse_iso(json.loads(note)["newest"])
        added = [node for node in up.shown_nodes if parse_iso(node["allocationTime"]) > began]
        if not {node["id"] for node in added}.issuperset(body["nodeList"]):
            assert {node["state"] for node in added} <= set(READY), f"I2: {body} with {up.shown_nodes}"

    def judge_request(self, entry: Entry) -> None:
        body = json.loads(entry.detail.get("body", "{}"))
        if entry.operation == "Pool_RemoveNodes" and body:
            assert body["nodeDeallocationOption"] == "taskcompletion", "I3"
        if entry.operation == "Pool_Resize" and body and not self.is_muddled:
            asked = body["targetDedicatedNodes"]
            assert self.size <= asked <= self.size + SURGE, f"I8: resized to {asked}, people want {self.size}"

    def judge_pool(self) -> None:
        assert self.requeues() == self.lost_by_others, "I3: a task was interrupted"
        pool = self.pool
        if pool is None or pool.state == "deleting" or self.is_muddled:
            return
        target, mark = pool.target_dedicated, json.loads(mark_of(pool) or "{}")
        least = self.size - mark.get("unavailable", 0)
        assert least <= target <= self.size + SURGE, f"I8: the target is {target}, people want {self.size}"
        if not mark:
            assert target == self.size, f"an extra node stays: the target is {target}, people want {self.size}"

    # --- rules ---

    @rule(
        version=VERSIONS,
        steps=st.sampled_from(((1, 0), (SURGE, 0), (0, 1), (1, 1))),
        strategy=st.sampled_from(("surge", "surge", "when_empty")),
    )
    def declare(self, version: str, steps: tuple[int, int], strategy: Any) -> None:
        self._step("declare")
        surge, unavailable = steps
        self.target = self.target_for(version)
        self.policy = ImagePolicy(strategy, surge, max_unavailable=unavailable)

    @rule(size=st.integers(0, 4))
    def somebody_resizes(self, size: int) -> None:
        self._step("somebody resizes")
        self.others(lambda pool: self._resized(pool, size))

    def _resized(self, pool: Pool, size: int) -> None:
        resizes.resize(self.world, pool, (size, 0), None, "requeue")
        self.is_muddled = self.is_muddled or mark_of(pool) is not None
        self.size = size

    @rule(index=st.integers(0, 4))
    def somebody_removes_a_node(self, index: int) -> None:
        self._step("somebody removes a node")
        self.others(lambda pool: self._removed(pool, index))

    def _removed(self, pool: Pool, index: int) -> None:
        names = list(pool.nodes)[index : index + 1]
        if names:
            resizes.remove_nodes(self.world, pool, names, None, "requeue")
            self.is_muddled = self.is_muddled or mark_of(pool) is not None
            self.size = pool.target_dedicated

    @rule(fate=st.sampled_from(FATES))
    def nodes_to_come_are_in_for_it(self, fate: dict[str, Any]) -> None:
        self._step("nodes to come are in for it")
        self.others(lambda pool: setattr(pool, "script", dict(fate)))

    @rule(index=st.integers(0, 4))
    def node_breaks(self, index: int) -> None:
        self._step("a node breaks")
        self.others(lambda pool: strike(self.world, pool, index))

    @rule()
    def image_moves(self) -> None:
        self._step("the image moves")
        move_image(self.world)

    @rule(seconds=st.integers(1, 300))
    def somebody_adds_a_task(self, seconds: int) -> None:
        self._step("somebody adds a task")
        work = self.world.jobs["job-render"]
        tasks.add_task(self.world, work, f"more-{len(work.tasks)}", {"commandLine": f"sleep {seconds}"})
        tasks.schedule_pool_of(self.world, work)

    @rule()
    def somebody_notes_something(self) -> None:
        self._step("somebody notes something")
        entry = {"name": "owner", "value": "us"}
        self.others(lambda pool: pools.patch(self.world, pool, {"metadata": [entry, *others_of(pool)]}))

    @precondition(lambda self: self.pool is not None)
    @rule(seconds=st.sampled_from((1.0, 10.0)))
    def somebody_deletes_the_pool_and_creates_it_again(self, seconds: float) -> None:
        self._step("somebody deletes the pool")
        self.others(lambda pool: pools.delete(self.world, pool))
        self.clock.spend(seconds)
        self.up()
        self.clock.spend(MINUTE)
        if self.pool is None:
            self._create()

    def _create(self) -> None:
        fresh = World(VirtualClock(self.world.now, speed=0))
        load(fresh, {**self.seed(), "jobs": []})
        pool = fresh.pools["render"]
        pool.etag = f"{pool.etag}{self.world.now:X}"
        self.world.pools["render"] = pool
        upgrades.reconcile(self.world, pool)
        self.size, self.is_muddled = 2, False

    @rule(
        at=st.integers(1, 60),
        act=st.sampled_from(("resize", "remove", "delete", "break", "task", "note")),
        count=st.integers(0, 4),
    )
    def up_while_somebody_acts(self, at: int, act: str, count: int) -> None:
        self._step("up while somebody acts")

        def on(pool: Pool) -> None:
            if act == "resize":
                self._resized(pool, count)
            elif act == "remove":
                self._removed(pool, count)
            elif act == "delete":
                pools.delete(self.world, pool)
            elif act == "break":
                strike(self.world, pool, count)
            elif act == "note":
                pools.patch(self.world, pool, {"metadata": [{"name": "owner", "value": "us"}, *others_of(pool)]})

        self.up(cut=(at, lambda: self.others(on)))

    # --- the end ---

    def mend(self) -> None:
        """What the errors of a renewal ask people to do, and what people do anyway."""
        self.policy = ImagePolicy("surge", self.policy.surge, max_unavailable=self.policy.max_unavailable)
        self.drain = HOUR
        self.world.unknowns.reset()
        self.world.unknowns.set(self.shown())
        move_image(self.world)
        if self.pool is None:
            self._create()
        pool = self.pool
        assert pool is not None
        pool.script = None
        settle_nodes(pool)
        upgrades.reconcile(self.world, pool)
        self.clock.spend(HOUR)
        self.account.catch_up()
        if self.is_muddled:
            pools.patch(self.world, pool, {"metadata": [each for each in others_of(pool) if each["name"] != MARKER]})
            self.is_muddled = False
            self.size = pool.target_dedicated
        if pool.resize_errors and mark_of(pool) is not None:
            self.up(4 * HOUR)
        if pool.autoscale_enabled:
            return
        if not self.size or (pool.resize_errors and mark_of(pool) is None):
            self.size = max(self.size, 1)
            resizes.resize(self.world, pool, (self.size, 0), None, "requeue")

    def teardown(self) -> None:
        super().teardown()
        pool = self.pool
        assert pool is not None
        assert mark_of(pool) is None, "a note is left"
        assert len(pool.nodes) == self.size, f"{len(pool.nodes)} nodes, people want {self.size}"


FORMULAS = ("$TargetDedicatedNodes = 2;", "$TargetDedicatedNodes = 3;  // nights")


class Scaled(VmMachine):
    """The same pool; people may scale it by a formula."""

    def __init__(self) -> None:
        super().__init__()
        self.formula = ""
        """The formula that people want; empty for a fixed size."""

    @rule(formula=st.sampled_from(("", *FORMULAS)))
    def somebody_scales(self, formula: str) -> None:
        self._step("somebody scales")
        self.others(lambda pool: self._scaled(pool, formula))

    def _scaled(self, pool: Pool, formula: str) -> None:
        if formula:
            pool.autoscale_enabled_at = None
            resizes.enable_autoscale(self.world, pool, {"autoScaleFormula": formula})
        elif pool.autoscale_enabled:
            resizes.disable_autoscale(self.world, pool)
        else:
            return
        self.is_muddled = self.is_muddled or mark_of(pool) is not None
        self.formula, self.size = formula, pool.target_dedicated

    @rule(size=st.integers(1, 4))
    def the_formula_resizes(self, size: int) -> None:
        self._step("the formula resizes")
        self.others(lambda pool: self._formula_resizes(pool, size))

    def _formula_resizes(self, pool: Pool, size: int) -> None:
        if pool.autoscale_enabled and pool.allocation == "steady" and pool.state == "active":
            resizes.start_resize(self.world, pool, (size, 0), None, "taskcompletion")
            self.size = size

    def judge_formula(self) -> None:
        """A pool without a marker has the formula that people want."""
        pool = self.pool
        if pool is None or pool.state == "deleting" or self.is_muddled or mark_of(pool) is not None:
            return
        assert str(pool.props.get("autoScaleFormula", "")) == self.formula, f"people want {self.formula!r}"

    def _create(self) -> None:
        super()._create()
        self.formula = ""


class EmptyMachine(Scaled):
    """The same pool, pinned, and emptied for each change; people may scale it by a formula."""

    operations: ClassVar[tuple[str, ...]] = (
        "Pool_Get",
        "ComputeNode_List",
        "Pool_Patch",
        "Pool_Resize",
        "Pool_DisableAutoScale",
        "Pool_EnableAutoScale",
    )
    switches: ClassVar[tuple[str, ...]] = (
        "patchAfterSteady",
        "enableAutoscaleWithin30s",
        "nodesAfterDrainTimeout",
        "removeNodesTimeoutTarget",
        "metadataValueLimit",
        "requeueCount",
    )

    def __init__(self) -> None:
        super().__init__()
        self.policy = ImagePolicy("empty", autoscale="hold")

    def seed(self) -> dict[str, Any]:
        seed = super().seed()
        start_task = {"commandLine": "cmd /c echo", "waitForSuccess": True}
        return {**seed, "pools": [vm_pool(startTask=start_task, version=BEHIND)]}

    def is_empty_diff(self, seen: VmPoolView) -> bool:
        declared = {"account_endpoint": ENDPOINT, "pool_id": "render", self.target.property: self.target.text}
        declared["strategy"] = self.policy.strategy
        known = {**declared, **of_vm_pool(seen, self.target, self.policy.strategy)}
        return not PoolImageVersionProvider().diff("", known, declared).changes

    def judge_success(self, up: Up) -> None:
        assert up.shown["state"] == "active", f"I4: {up.shown}"
        assert MARKER not in {entry["name"] for entry in up.shown.get("metadata", [])}, f"I4: {up.shown}"
        pin = up.shown["virtualMachineConfiguration"]["imageReference"]["version"]
        assert pin == self.target.text, f"I4: {pin}"
        wrong = [node for node in up.shown_nodes if version_of(node) != self.target.text]
        assert not wrong, f"I4: still there: {wrong}"

    def judge_up(self, up: Up) -> None:
        """Nodes that Batch cannot allocate, or that do not leave, keep the marker: the next `up` continues."""
        continues = "the pool runs" in str(up.error) or "cannot go back" in str(up.error)
        muddled, self.is_muddled = self.is_muddled, self.is_muddled or continues
        super().judge_up(up)
        self.is_muddled = muddled

    def judge_write(self, up: Up, path: str, body: Mapping[str, Any]) -> None:
        """The image changes only in a pool that was shown without nodes; each size is in the marker."""
        if "virtualMachineConfiguration" in body:
            assert up.shown["currentDedicatedNodes"] == 0, f"I2: {body} with {up.shown}"
        if path.endswith("/resize"):
            note = json.loads(next(entry["value"] for entry in up.shown["metadata"] if entry["name"] == MARKER))
            asked = (body["targetDedicatedNodes"], body["targetLowPriorityNodes"])
            wanted = ((0, 0), (min(note["canary"], note["size"]), 0), (note["size"], note["spot"]))
            held = "formula" in note and asked[0] == up.shown["targetDedicatedNodes"]
            assert asked in wanted or held, f"I8: {body} with {note}"

    def judge_request(self, entry: Entry) -> None:
        body = json.loads(entry.detail.get("body", "{}"))
        if entry.operation == "Pool_Resize" and body:
            assert body["nodeDeallocationOption"] == "taskcompletion", "I3"

    def judge_pool(self) -> None:
        assert self.requeues() == self.lost_by_others, "I3: a task was interrupted"
        self.judge_formula()
        pool = self.pool
        if pool is None or pool.state == "deleting" or self.is_muddled or mark_of(pool) is not None:
            return
        if not self.formula:
            assert pool.target_dedicated == self.size, f"the target is {pool.target_dedicated}, people want {self.size}"

    # --- rules ---

    @rule(
        version=st.sampled_from((BEHIND, TARGET, ABOVE)),
        canary=st.integers(1, 2),
        strategy=st.sampled_from(("empty", "empty", "empty", "when_empty")),
    )
    def declare(self, version: str, canary: int, strategy: Any) -> None:
        self._step("declare")
        self.target, self.policy = ImageVersion.parse(version), ImagePolicy(strategy, 1, canary, "hold")

    @rule(fate=st.sampled_from(FATES[:-1]))
    def nodes_to_come_are_in_for_it(self, fate: dict[str, Any]) -> None:
        self._step("nodes to come are in for it")
        self.others(lambda pool: setattr(pool, "script", dict(fate)))

    @rule(version=st.sampled_from((BEHIND, "20348.1.1")))
    def somebody_changes_the_image(self, version: str) -> None:
        self._step("somebody changes the image")
        self.others(lambda pool: self._changed(pool, version))

    def _changed(self, pool: Pool, version: str) -> None:
        machine = dict(pool.virtual_machine or {})
        machine["imageReference"] = {**machine["imageReference"], "version": version}
        self.world.images = [
            {**WINDOWS, "versions": [*MOVED["versions"], {"version": ABOVE}, {"version": "20348.1.1"}]}
        ]
        pools.patch(self.world, pool, {"virtualMachineConfiguration": machine})
        self.is_muddled = self.is_muddled or mark_of(pool) is not None

    # --- the end ---

    def mend(self) -> None:
        policy = ImagePolicy("empty", 1, self.policy.canary, "hold")
        super().mend()
        self.policy = policy
        pool = self.pool
        assert pool is not None
        if self.is_muddled:
            return
        if pool.autoscale_enabled and (pool.resize_errors or not pool.target_dedicated):
            self._formula_resizes(pool, max(1, pool.target_dedicated))

    def teardown(self) -> None:
        PoolMachine.teardown(self)
        pool = self.pool
        assert pool is not None
        assert mark_of(pool) is None, "a note is left"
        assert str(pool.props.get("autoScaleFormula", "")) == self.formula
        assert self.formula or len(pool.nodes) == self.size, f"{len(pool.nodes)} nodes, people want {self.size}"


def version_of(node: Mapping[str, Any]) -> str:
    """The image version that a node shows."""
    return str(node["virtualMachineInfo"]["imageReference"]["exactVersion"])


def others_of(pool: Pool) -> list[dict[str, str]]:
    """The metadata of a pool without what people note here."""
    return [each for each in pool.props.get("metadata", []) if each["name"] != "owner"]


def mark_of(pool: Pool) -> str | None:
    """The note of an unfinished renewal."""
    return next((each["value"] for each in pool.props.get("metadata", []) if each["name"] == MARKER), None)


def move_image(world: World) -> None:
    """A newer version is offered from now on."""
    versions = [*MOVED["versions"], {"version": ABOVE, "since": iso(world.now)}]
    world.images = [{**WINDOWS, "versions": versions}]


def strike(world: World, pool: Pool, index: int) -> None:
    """A node is of no use any more."""
    there = [node for node in pool.nodes.values() if node.state != "leavingpool"]
    if index < len(there) and pool.state != "deleting":
        nodes.tasks.evict(world, there[index], terminate=False)
        nodes.set_state(world, pool, there[index], "unusable")
        upgrades.reconcile(world, pool)


class SinceMachine(Scaled):
    """The same, of a pool whose nodes show ``latest``: it is declared since when they exist. A formula is held."""

    by_moment = True
    operations: ClassVar[tuple[str, ...]] = (
        *VmMachine.operations,
        "Pool_DisableAutoScale",
        "Pool_EnableAutoScale",
    )
    switches: ClassVar[tuple[str, ...]] = (*VmMachine.switches, "enableAutoscaleWithin30s", "metadataValueLimit")

    def __init__(self) -> None:
        super().__init__()
        self.policy = replace(self.policy, autoscale="hold")

    def judge_pool(self) -> None:
        self.judge_formula()
        if self.formula:
            assert self.requeues() == self.lost_by_others, "I3: a task was interrupted"
        else:
            super().judge_pool()

    def judge_request(self, entry: Entry) -> None:
        if not self.formula:
            super().judge_request(entry)

    @rule(
        version=VERSIONS,
        steps=st.sampled_from(((1, 0), (SURGE, 0), (0, 1), (1, 1))),
        strategy=st.sampled_from(("surge", "surge", "when_empty")),
    )
    def declare(self, version: str, steps: tuple[int, int], strategy: Any) -> None:
        super().declare(version, steps, strategy)
        self.policy = replace(self.policy, autoscale="hold")

    def mend(self) -> None:
        super().mend()
        self.policy = replace(self.policy, autoscale="hold")
        pool = self.pool
        if pool is not None and pool.autoscale_enabled and (pool.resize_errors or not pool.target_dedicated):
            self._formula_resizes(pool, max(1, pool.target_dedicated))

    def teardown(self) -> None:
        PoolMachine.teardown(self)
        pool = self.pool
        assert pool is not None
        assert mark_of(pool) is None, "a note is left"
        assert str(pool.props.get("autoScaleFormula", "")) == self.formula
        assert self.formula or len(pool.nodes) == self.size, f"{len(pool.nodes)} nodes, people want {self.size}"


def test_whatever_befalls_a_vm_pool() -> None:
    run(VmMachine, count=12, least=150)


def test_whatever_befalls_a_pool_that_is_emptied() -> None:
    run(EmptyMachine, count=12, least=150)


def test_whatever_befalls_a_vm_pool_of_which_a_moment_is_declared() -> None:
    run(SinceMachine, count=8, least=100)
