"""kill -9 at every boundary of an upgrade and of a VM cycle, on the real CLI: the plugin, the CLI, and both.

`tests/inprocess/test_crash_points.py` crashes a rollout everywhere, but a rollout is no process. Here
real ones are killed. The boundaries are read off the audit of a run without faults; then one stack has a pool for each
of them, a fault holds each pool at its own, and one kill hits all. A held request is never carried out by then:
what the pool shows is all that the next `up` has.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import simulator as simulators
from tests.support.doors import DYNAMIC, NATIVE, image_version, os_version
from tests.support.simulator import BEHIND, NEW, OLD, TARGET, Simulator, job, paas_pool, vm_pool
from tests.support.stack import STACK, Stack, made_once, names_of_pending, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HELD = 600
"""Seconds of real time: longer than any test."""
WRITES = ("Pool_UpgradeOS", "Pool_Patch", "Pool_Resize", "Pool_RemoveNodes")
SPEED = 20
WAIT = 240.0
"""Seconds for anything to happen on a machine that is busy with other tests; alone, the longest takes fifteen."""
MANY = ("--yes", "--skip-preview", "--parallel", "64")


@dataclass(frozen=True)
class Boundary:
    """Before or after a request: the nth of its operation since a write (the nth of its own), or since the start."""

    model: str
    operation: str
    nth: int
    after: bool
    since: str = ""
    since_nth: int = 0

    @property
    def pool_id(self) -> str:
        """The pool that is held there."""
        began = f"{self.since}{self.since_nth}-" if self.since else ""
        return f"{self.model}-{began}{self.operation}{self.nth}-{'after' if self.after else 'before'}".replace("_", "")


@dataclass(frozen=True)
class Model:
    """A pool to hold at its boundaries: how it is seeded, and what is wanted of it."""

    kind: str
    nodes: int
    marked: bool = False

    def pool(self, pool_id: str) -> dict[str, Any]:
        """The pool as it begins."""
        if self.kind == "os":
            return paas_pool(pool_id, nodes=self.nodes)
        if not self.marked:
            return vm_pool(pool_id, nodes=self.nodes)
        note = f'{{"v":1,"size":{self.nodes},"surge":1,"newest":"2018-11-01T00:00:00.000000Z"}}'
        left = vm_pool(pool_id, nodes=self.nodes, exact=TARGET)
        return {**left, "metadata": [{"name": "batch-os", "value": note}]}


MODELS = {
    "upgrade": Model("os", 3),
    "empty": Model("os", 0),
    "cycle": Model("vm", 1),
    # What is left of a cycle when only its note has to be cleared: here also the end comes without a wait before it.
    "clearing": Model("vm", 1, marked=True),
}
MID_WAIT = {"upgrading": Model("os", 9), "draining": Model("vm", 1)}
"""Pools that are in the middle of a wait when the kill comes, held by nothing but their nodes."""


def model_of(pool_id: str) -> Model:
    """The model of a pool, by the beginning of its id."""
    return {**MODELS, **MID_WAIT}[pool_id.split("-", maxsplit=1)[0]]


def seed(sim: Simulator, *pool_ids: str, busy: bool = False) -> None:
    """Put pools into the account, all behind; an empty one is upgraded at once."""
    sim.unknown(emptyPoolUpgradeSeconds=0)
    jobs = [job("draining", 4000)] if busy else []
    sim.seed(*(model_of(pool_id).pool(pool_id) for pool_id in pool_ids), jobs=jobs)


def declare(stack: Stack, sim: Simulator, pool_ids: list[str], *, new: bool) -> None:
    """Declare them all, at what they run or at the target."""
    os = {"account_endpoint": sim.endpoint, "target_os_version": NEW if new else OLD}
    image = {"account_endpoint": sim.endpoint, "target_image_version": TARGET if new else BEHIND, "strategy": "surge"}
    stack.write(
        *(os_version(each, **os) if model_of(each).kind == "os" else image_version(each, **image) for each in pool_ids)
    )


def boundaries_of(model: str, requests: list[dict[str, Any]]) -> list[Boundary]:
    """Both sides of each request of a rollout; of the many looks in a wait the first."""
    found: list[Boundary] = []
    since, counts, writes, shown = ("", 0), dict[str, int](), dict[str, int](), set[str]()
    for entry in requests:
        operation = entry["operation"]
        if operation in WRITES:
            writes[operation] = writes.get(operation, 0) + 1
            found += [Boundary(model, operation, writes[operation], after) for after in (False, True)]
            since, counts, shown = (operation, writes[operation]), {}, set()
            continue
        counts[operation] = counts.get(operation, 0) + 1
        if operation not in shown:
            shown.add(operation)
            found += [Boundary(model, operation, counts[operation], after, *since) for after in (False, True)]
    return found


@dataclass(frozen=True)
class Ground:
    """What each kill begins with: the boundaries, and the state of a stack that has adopted a pool for each of them."""

    boundaries: list[Boundary]
    endpoint: str
    state: str

    def begin(self, stack: Stack, sim: Simulator) -> None:
        """Give a stack this state, as if it had adopted the pools of this simulator."""
        stack.state_file.write_text(self.state.replace(self.endpoint, sim.endpoint), encoding="utf-8")


def without_looks(stack: Stack) -> Stack:
    """The stack without looks of the preview: both doors then ask Batch for the same things, in the same order."""
    config = stack.program_folder / f"Pulumi.{STACK}.yaml"
    given = config.read_text(encoding="utf-8") if config.exists() else ""
    config.write_text(f'{given}config:\n  batch:previewLook: "false"\n', encoding="utf-8")
    return stack


def prepare(folder: Path, template: Path) -> None:
    """Write the ground: from one run in which nothing goes wrong, and one that adopts a pool for each boundary."""
    folder.mkdir()
    found: list[Boundary] = []
    for sim in simulators.running():
        seed(sim, *MODELS)
        stack = without_looks(Stack(folder / "stack", template, sim.environment))
        declare(stack, sim, list(MODELS), new=True)
        sim.speed(SPEED)
        stack.run("up", *MANY, seconds=WAIT).ok()
        for model in MODELS:
            requests = [entry for entry in sim.requests() if entry["pool"] == model]
            assert [entry["status"] // 100 for entry in requests] == [2] * len(requests), requests
            found += boundaries_of(model, requests)
        # Those in the middle of a wait are left out, so that the kill finds them in their create.
        pool_ids = [each.pool_id for each in found]
        seed(sim, *pool_ids)
        adopting = without_looks(Stack(folder / "adopting", template, sim.environment))
        declare(adopting, sim, pool_ids, new=False)
        before = len(sim.writes())
        adopting.run("up", *MANY, seconds=WAIT).ok()
        assert all("clearing" in entry["pool"] for entry in sim.writes()[before:])
        state = adopting.state_file.read_text(encoding="utf-8")
        made = {"boundaries": [asdict(each) for each in found], "endpoint": sim.endpoint, "state": state}
        (folder / "ground.json").write_text(json.dumps(made), encoding="utf-8")
        for each in (stack, adopting):
            each.end()


@pytest.fixture(scope="module")
def ground(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Ground:
    """The ground, made by the first worker that needs it. The native provider moves its state by alias."""
    folder = made_once(tmp_path_factory, "crash-matrix", lambda new: prepare(new, template))
    made = json.loads((folder / "ground.json").read_text(encoding="utf-8"))
    return Ground([Boundary(**each) for each in made["boundaries"]], made["endpoint"], made["state"])


def pools_of(boundaries: list[Boundary]) -> list[str]:
    """A pool for each boundary, and those in the middle of a wait."""
    return [*(each.pool_id for each in boundaries), *MID_WAIT]


class Holding:
    """Holds pools at their boundaries: first, where there is one, waits for the write before; then for the request.

    The client gives up on a silent request after 20 s and asks again, so a pool that was held once is held
    whatever it asks then.
    """

    def __init__(self, sim: Simulator, boundaries: list[Boundary]) -> None:
        self._sim = sim
        self._waiting = {each.pool_id: each for each in boundaries}
        self._armed: dict[str, str] = {}
        self.held: set[str] = set()
        for each in boundaries:
            if each.since:
                # Long enough to put the next rule in its place, short enough to be waited for.
                self._rule(each, each.since, each.since_nth, {"kind": "delay", "seconds": 6, "after": True}, "since")
            else:
                self._hold(each)

    def _rule(self, each: Boundary, operation: str, nth: int, effect: dict[str, Any], stage: str) -> None:
        match = {"operation": operation, "pool": each.pool_id, "nth": nth}
        self._sim.post("faults", {"id": f"{stage} {each.pool_id}", "match": match, "effect": effect})
        self._armed[f"{stage} {each.pool_id}"] = each.pool_id

    def _hold(self, each: Boundary) -> None:
        effect = {"kind": "delay", "seconds": HELD, **({"after": True} if each.after else {})}
        self._rule(each, each.operation, each.nth, effect, "hold")

    def go_on(self) -> bool:
        """Put the next rules in their places; whether all are held."""
        rules: Any = self._sim.get("faults")
        for rule in rules:
            pool_id = self._armed.get(rule["id"])
            if pool_id is None or not rule["fired"]:
                continue
            del self._armed[rule["id"]]
            if rule["id"].startswith("since "):
                self._hold(self._waiting[pool_id])
            else:
                self.held.add(pool_id)
                self._sim.post("faults", {"match": {"pool": pool_id}, "effect": {"kind": "delay", "seconds": HELD}})
        return self.held == set(self._waiting)

    def upgrades_are_armed(self) -> bool:
        """Whether each upgrade has begun that has to, and the rule for what follows is in its place."""
        self.go_on()
        return not any(rule.startswith("since ") and model_of(pool).kind == "os" for rule, pool in self._armed.items())


def whole_state(stack: Stack, pool_ids: list[str], what: str) -> None:
    """The state file can be read and has every pool. Of a killed CLI the engine remembers the creates under way."""
    deployment = json.loads(stack.run("stack", "export").ok().text)["deployment"]
    assert names_of_pending(deployment) == ({*MID_WAIT} if "cli" in what else set())
    assert sorted(stack.all_outputs()) == sorted(pool_ids)


def assert_as_without_faults(sim: Simulator, pool_ids: list[str]) -> None:
    """The target, the size it had, one effective upgrade or cycle, no note, and every task done once."""
    entries, pools = sim.get("audit")["entries"], {pool["id"]: pool for pool in sim.get("state")["pools"]}
    begun = [
        entry["pool"]
        for entry in entries
        if entry["kind"] == "transition"
        and (entry["detail"]["resource"], entry["detail"]["to"]) == ("pool", "upgrading")
    ]
    created = [
        entry["pool"]
        for entry in entries
        if entry["kind"] == "transition" and (entry["detail"]["resource"], entry["detail"]["from"]) == ("node", None)
    ]
    for pool_id in pool_ids:
        pool, model = pools[pool_id], model_of(pool_id)
        assert (pool["state"], pool["allocationState"]) == ("active", "steady"), pool_id
        assert (len(pool["nodes"]), pool["targetDedicatedNodes"]) == (model.nodes, model.nodes), pool_id
        assert not pool.get("metadata"), pool_id
        if model.kind == "os":
            assert pool["cloudServiceConfiguration"]["currentOSVersion"] == NEW, pool_id
            assert begun.count(pool_id) == 1, f"{pool_id}: {begun.count(pool_id)} upgrades"
        else:
            images = [node["virtualMachineInfo"]["imageReference"]["exactVersion"] for node in pool["nodes"]]
            assert set(images) == {TARGET}, pool_id
            assert created.count(pool_id) == (0 if model.marked else model.nodes), pool_id
            assert sim.capacity(model.nodes, pool_id)[0] >= model.nodes, pool_id


def kill(stack: Stack, cli: Any, what: str) -> None:
    """kill -9."""
    if "cli" in what:
        cli.kill()
    if "plugin" in what:
        assert stack.kill_plugins() or "cli" in what, "there is a plugin to be killed"


@pytest.mark.parametrize(
    ("door", "what"),
    [(DYNAMIC, "plugin"), (DYNAMIC, "cli"), (NATIVE, "plugin and cli")],
    ids=lambda each: each if isinstance(each, str) else each.name,
)
def test_kill_9_at_every_boundary(sim: Simulator, new_stack: Callable[..., Stack], ground: Ground, what: str) -> None:
    boundaries = ground.boundaries
    for model, least in {"upgrade": 8, "empty": 8, "cycle": 28, "clearing": 10}.items():
        assert sum(each.model == model for each in boundaries) >= least, f"{model}: {boundaries}"
    pool_ids = pools_of(boundaries)
    stack = without_looks(new_stack())
    ground.begin(stack, sim)
    seed(sim, *pool_ids, busy=True)
    declare(stack, sim, pool_ids, new=True)
    holding = Holding(sim, boundaries)
    sim.fault("Pool_UpgradeOS", {"kind": "delay", "seconds": 6}, pool="upgrading")  # it is to outlast the cycles
    sim.speed(0)
    cli = stack.start("up", *MANY)
    wait_until(holding.upgrades_are_armed, "the upgrades have begun", seconds=WAIT)
    sim.speed(SPEED)
    wait_until(holding.go_on, "every pool is held", seconds=WAIT)
    wait_until(lambda: sim.seen("draining", "Pool_RemoveNodes", 202), "a node drains", seconds=WAIT)
    wait_until(lambda: sim.seen("upgrading", "Pool_UpgradeOS", 202), "an upgrade runs", seconds=WAIT)
    sim.speed(0)
    kill(stack, cli, what)
    sim.no_faults()
    cli.wait(WAIT)
    wait_until(lambda: stack.plugins() == [], "no process is left", seconds=WAIT)
    written = len(sim.writes())
    if "cli" in what:
        stack.run("cancel", "--yes").ok()
    sim.speed(600)
    stack.run("up", *MANY, seconds=WAIT).ok()
    assert len(sim.writes()) > written, "there was something left to do"
    sim.advance(5000)
    assert_as_without_faults(sim, pool_ids)
    sim.assert_tasks_ran_once("draining")
    whole_state(stack, pool_ids, what)
    stack.run("preview", "--refresh", "--expect-no-changes", seconds=WAIT).ok()
    assert stack.plugins() == []
