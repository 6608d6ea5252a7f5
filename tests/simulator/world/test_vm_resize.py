"""VM pools from inside: images that move, nodes removed by name, growth that goes wrong."""

from __future__ import annotations

import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_os_provider.simulator.state.dump import dump
from batch_os_provider.simulator.state.load import StateError, load
from batch_os_provider.simulator.world import pools, resizes
from batch_os_provider.simulator.world.clock import VirtualClock, parse_iso
from batch_os_provider.simulator.world.errors import BatchError
from batch_os_provider.simulator.world.world import World
from tests.simulator.seeds import FIRST, MOVING, SECOND, WINDOWS, job, moves, paas, pass_time, versions, vm, windows
from tests.support.examples import examples

BASE = "http://127.0.0.1:1"
START = parse_iso("2018-08-24T07:46:48.3436665Z")


def start(world: World, *more: dict, **pool: object) -> None:
    load(world, {"pools": [windows(**pool)], "images": MOVING, "jobs": list(more)})


def grow(world: World, size: int, wait: float = 300) -> None:
    resizes.resize(world, world.pool("v"), (size, None), None, "requeue")
    pass_time(world, wait)


def remove(world: World, *names: str, option: str = "requeue", timeout: str | None = None) -> None:
    resizes.remove_nodes(world, world.pool("v"), list(names), timeout, option)


# --- images ---


def test_latest_moves_with_the_clock_alone(world):
    start(world, nodes=1, exact=None)
    assert versions(world.pool("v")) == [FIRST]
    grow(world, 2)
    pass_time(world, 3_600)
    grow(world, 3)
    assert versions(world.pool("v")) == [FIRST, FIRST, SECOND]


def test_a_node_may_be_seeded_with_its_exact_version_alone(world):
    pool = windows(nodes=1)
    pool["nodes"][0]["virtualMachineInfo"] = {"imageReference": {"exactVersion": "7.7.7"}}
    load(world, {"pools": [pool], "images": MOVING})
    assert world.pool("v").nodes["tvm-1"].image == {**WINDOWS, "version": "latest", "exactVersion": "7.7.7"}


def test_a_pinned_pool_gets_its_pin_known_or_not(world):
    start(world, nodes=1, exact=None, version="1.2.3")
    grow(world, 2)
    assert versions(world.pool("v")) == ["1.2.3", "1.2.3"]


def test_the_highest_version_wins_and_unlisted_images_have_one_too(world):
    rows = [{**WINDOWS, "versions": [{"version": "9.10.0"}, {"version": "9.9.0"}]}]
    load(world, {"pools": [windows(nodes=1, exact=None), vm("other", nodes=1)], "images": rows})
    assert versions(world.pool("v")) == ["9.10.0"]
    assert versions(world.pool("other")) == ["1.0.0"]


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ({**WINDOWS}, "either version or versions"),
        ({**WINDOWS, "version": "1", "versions": []}, "either version or versions"),
        ({**WINDOWS, "versions": [{"since": "2026-01-01T00:00:00Z"}]}, "version is missing"),
        ({**WINDOWS, "versions": [{"version": "1", "since": "soon"}]}, "is not a UTC time"),
        ({**WINDOWS, "versions": [{"version": "1", "until": "x"}]}, "unknown property until"),
        ({**WINDOWS, "versions": [], "osType": "beos"}, "not one of linux, windows"),
        ({**WINDOWS, "versions": [], "batchSupportEndOfLife": "never"}, "is not a UTC time"),
        ({"publisher": "p", "versions": []}, "or one gallery id"),
        ({**WINDOWS, "virtualMachineImageId": "i", "versions": []}, "or one gallery id"),
        ({"versions": []}, "or one gallery id"),
    ],
)
def test_images_that_are_refused(world, row, sentence):
    with pytest.raises(StateError, match=sentence):
        load(world, {"images": [row]})


# --- removenodes ---


def test_removed_nodes_leave_and_the_target_falls_at_once(world):
    start(world)
    pool = world.pool("v")
    tag = pool.etag
    remove(world, "tvm-2", "TVM-3", "tvm-2")
    assert (pool.allocation, pool.target_dedicated, pool.etag != tag) == ("resizing", 2, True)
    assert [node.state for node in pool.nodes.values()] == ["idle", "leavingpool", "leavingpool", "idle"]
    with pytest.raises(BatchError, match="409 PoolBeingResized"):
        remove(world, "tvm-1")
    pass_time(world, 60)
    assert (pool.allocation, list(pool.nodes), pool.resize_errors) == ("steady", ["tvm-1", "tvm-4"], [])


@pytest.mark.parametrize(
    ("option", "state", "requeues"),
    [("requeue", "running", 1), ("terminate", "completed", 0), ("taskcompletion", "running", 0)],
)
def test_what_happens_to_running_tasks(world, option, state, requeues):
    start(world, job("sleep 100", pool="v"), nodes=2)
    remove(world, "tvm-1", option=option)
    task = world.task("j", "t1")
    assert (task.state, task.requeues, task.node) == (state, requeues, "tvm-2" if option == "requeue" else "tvm-1")
    pass_time(world, 300)
    assert list(world.pool("v").nodes) == ["tvm-2"]
    assert task.state == "completed"


def test_a_node_that_is_waited_for_takes_no_new_tasks(world):
    start(world, job("sleep 100", "sleep 100", "sleep 100", pool="v"), nodes=2)
    remove(world, "tvm-1", option="taskcompletion")
    pass_time(world, 101)
    assert world.task("j", "t3").node == "tvm-2"
    pass_time(world, 300)
    assert list(world.pool("v").nodes) == ["tvm-2"]
    assert {task.requeues for task in world.job("j").tasks.values()} == {0}


def test_nodes_that_are_still_busy_at_the_timeout_stay_and_work_on(world):
    start(world, job("sleep 400", *["sleep 50"] * 3, pool="v"), nodes=1)
    pool = world.pool("v")
    remove(world, "tvm-1", option="taskcompletion", timeout="PT5M")
    pass_time(world, 299)
    assert pool.allocation == "resizing"
    pass_time(world, 6)
    assert (pool.allocation, [error["code"] for error in pool.resize_errors]) == ("steady", ["RemoveNodesFailed"])
    assert pool.nodes["tvm-1"].state == "running"
    pass_time(world, 600)
    assert {task.state for task in world.job("j").tasks.values()} == {"completed"}
    assert {task.node for task in world.job("j").tasks.values()} == {"tvm-1"}


def test_a_removal_may_be_stopped(world):
    start(world, job("sleep 400", pool="v"), nodes=2)
    world.unknowns.set({"removeNodesTimeoutTarget": "restored"})
    pool = world.pool("v")
    remove(world, "tvm-1", "tvm-2", option="taskcompletion")
    resizes.stop_resize(world, pool)
    pass_time(world, 60)
    assert (pool.allocation, list(pool.nodes), pool.target_dedicated) == ("steady", ["tvm-1"], 1)
    assert pool.resize_errors[0]["code"] == "ResizeStopped"


def test_the_audit_says_where_a_task_ran_and_what_a_node_was(world):
    start(world, job("sleep 100", pool="v"), nodes=2)
    remove(world, "tvm-1")
    pass_time(world, 300)
    details = [entry.detail for entry in world.audit.entries if entry.kind == "transition"]
    tasks = [(row["from"], row["to"], row["node"]) for row in details if row["resource"] == "task"]
    assert tasks[-3:] == [
        ("running", "active", "tvm-1"),
        ("active", "running", "tvm-2"),
        ("running", "completed", "tvm-2"),
    ]
    assert all(row["dedicated"] for row in details if row["resource"] == "node")
    assert moves(world, "allocation") == [("steady", "resizing"), ("resizing", "steady")]


# --- growth ---


def test_the_quota_ends_a_growth_early(world):
    load(world, {"pools": [windows(), windows("other", nodes=2)], "images": MOVING, "quota": {"dedicatedNodes": 7}})
    grow(world, 6)
    pool = world.pool("v")
    assert (pool.allocation, len(pool.nodes), pool.target_dedicated) == ("steady", 5, 6)
    assert [error["code"] for error in pool.resize_errors] == ["AccountCoreQuotaReached"]
    remove(world, "tvm-1")
    pass_time(world, 60)
    assert (len(pool.nodes), pool.target_dedicated) == (4, 5)
    assert pool.resize_errors
    grow(world, 5)
    assert (len(pool.nodes), pool.resize_errors) == (5, [])


def test_the_quota_of_spot_nodes_is_another(world):
    load(world, {"pools": [windows(nodes=1)], "images": MOVING, "quota": {"lowPriorityNodes": 1}})
    resizes.resize(world, world.pool("v"), (2, 3), None, "requeue")
    pass_time(world, 300)
    pool = world.pool("v")
    assert (pool.count(dedicated=True), pool.count(dedicated=False)) == (2, 1)
    assert [error["code"] for error in pool.resize_errors] == ["AccountLowPriorityCoreQuotaReached"]


def test_one_kind_goes_on_where_the_other_is_stuck(world):
    load(world, {"pools": [windows(nodes=1)], "images": MOVING, "quota": {"dedicatedNodes": 2}})
    resizes.resize(world, world.pool("v"), (5, 9), None, "requeue")
    pass_time(world, 600)
    pool = world.pool("v")
    assert (pool.count(dedicated=True), pool.count(dedicated=False)) == (2, 9)
    assert [error["code"] for error in pool.resize_errors] == ["AccountCoreQuotaReached"]


def scripted(world: World, script: dict, *, size: int = 6, wait: float = 300, **pool: object) -> list:
    """The nodes that came under a script."""
    start(world, simulator={"allocation": script}, **pool)
    grow(world, size, wait)
    return list(world.pool("v").nodes.values())[4:]


def test_a_growth_that_fails(world):
    assert len(scripted(world, {"fail": "AllocationFailed", "failAfter": 1, "times": 1})) == 1
    pool = world.pool("v")
    assert (pool.allocation, pool.resize_errors[0]["code"], pool.script) == ("steady", "AllocationFailed", {})
    grow(world, 6)
    assert (len(pool.nodes), pool.resize_errors) == (6, [])


def test_a_growth_that_takes_too_long(world):
    assert scripted(world, {"fail": "AllocationTimedout"}, wait=890) == []
    assert world.pool("v").allocation == "resizing"
    pass_time(world, 20)
    assert (world.pool("v").allocation, world.pool("v").resize_errors[0]["code"]) == ("steady", "AllocationTimedout")


def test_nodes_with_an_older_image(world):
    new = scripted(world, {"version": "20348.2000.1", "count": 1})
    assert [node.image["exactVersion"] for node in new] == ["20348.2000.1", FIRST]


@pytest.mark.parametrize(("word", "state"), [("fail", "starttaskfailed"), ("hang", "waitingforstarttask")])
def test_nodes_whose_start_task_does_not_succeed(world, word, state):
    start_task = {"commandLine": "x", "waitForSuccess": True}
    new = scripted(world, {"startTask": word, "count": 1}, startTask=start_task)
    assert [node.state for node in new] == [state, "idle"]
    assert new[0].start_task["state"] == ("completed" if word == "fail" else "running")
    assert new[0].start_task.get("result") == ("failure" if word == "fail" else None)
    load(world, json.loads(json.dumps(dump(world, BASE))))
    pass_time(world, 3_600)
    assert world.pool("v").nodes[new[0].id].state == state


def test_a_start_task_that_nobody_waits_for_may_fail(world):
    new = scripted(world, {"startTask": "fail"}, startTask={"commandLine": "x", "waitForSuccess": False})
    assert [(node.state, node.start_task["result"]) for node in new] == [("idle", "failure")] * 2


def test_nodes_that_come_up_unusable(world):
    new = scripted(world, {"state": "unusable"})
    assert [(node.state, bool(node.errors)) for node in new] == [("unusable", True)] * 2


@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        ({"fail": "Nonsense"}, "fail is one of"),
        ({"startTask": "late"}, "startTask is one of fail, hang"),
        ({"state": "idle"}, "state is one of"),
        ({"failAfter": 1}, "failAfter needs fail"),
        ({"fail": "Unknown", "times": 0}, "times is at least 1"),
        ({"fail": "Unknown", "count": 1}, "count needs"),
        ({"color": "red"}, "unknown property color"),
    ],
)
def test_scripts_that_are_refused(world, script, sentence):
    with pytest.raises(StateError, match=sentence):
        start(world, simulator={"allocation": script})


def test_more_that_is_refused(world):
    with pytest.raises(StateError, match="needs a VM pool"):
        load(world, {"pools": [paas(simulator={"allocation": {"version": "1"}})]})
    with pytest.raises(StateError, match="dedicatedNodes cannot be -1"):
        load(world, {"quota": {"dedicatedNodes": -1}})
    with pytest.raises(StateError, match="unknown property cores"):
        load(world, {"quota": {"cores": 1}})
    for state in ("starting", "idle"):
        node = {"id": "a", "state": state, "simulator": {"fate": "doom"}}
        with pytest.raises(StateError, match="the fate 'doom', not one of"):
            load(world, {"pools": [{**windows(), "nodes": [node]}]})


# --- others act ---


def edited(world: World, node: str, state: str) -> None:
    """Read the state, change one node, and write it back, as a person would."""
    saved = json.loads(json.dumps(dump(world, BASE)))
    for row in saved["pools"][0]["nodes"]:
        if row["id"] == node:
            row["state"] = state
    load(world, saved)


@pytest.mark.parametrize("state", ["unusable", "preempted"])
@pytest.mark.parametrize("removed", ["tvm-1", "tvm-2"])
def test_a_node_lost_in_the_middle_of_a_removal(world, state, removed):
    start(world, job("sleep 200", pool="v"), nodes=2)
    remove(world, removed, option="taskcompletion")
    edited(world, "tvm-1", state)
    task = world.task("j", "t1")
    assert task.requeues == 1
    assert moves(world, "node", "tvm-1")[-1] == ("running", state)
    pass_time(world, 600)
    assert world.pool("v").allocation == "steady"
    assert list(world.pool("v").nodes) == [{"tvm-1": "tvm-2", "tvm-2": "tvm-1"}[removed]]
    assert task.state == ("completed" if removed == "tvm-1" else "active")


def test_a_node_lost_in_the_middle_of_a_growth(world):
    start(world, job("sleep 200", pool="v"), nodes=2)
    grow(world, 4, 31)
    edited(world, "tvm-1", "unusable")
    pass_time(world, 900)
    pool = world.pool("v")
    assert (pool.allocation, len(pool.nodes), world.task("j", "t1").state) == ("steady", 4, "completed")


def test_a_new_node_that_somebody_moves_on_has_no_fate_any_more(world):
    (node, _) = scripted(world, {"state": "unusable"}, wait=36)
    assert (node.state, node.fate) == ("creating", "unusable")
    edited(world, node.id, "idle")
    pass_time(world, 600)
    assert world.pool("v").nodes[node.id].state == "idle"
    assert sorted(each.state for each in world.pool("v").nodes.values()) == ["idle"] * 5 + ["unusable"]


# --- the automatic OS upgrade ---


@pytest.mark.parametrize(("deferral", "state"), [(True, "upgradingos"), (False, "rebooting")])
def test_nodes_follow_latest_one_after_the_other(world, deferral, state):
    policy = {"enableAutomaticOSUpgrade": True, "osRollingUpgradeDeferral": deferral}
    start(
        world,
        job("sleep 1000", pool="v"),
        nodes=3,
        upgradePolicy={"mode": "automatic", "automaticOSUpgradePolicy": policy},
    )
    pool = world.pool("v")
    pass_time(world, 700)
    out = set()
    while set(versions(pool)) != {SECOND}:
        out.add(sum(node.state not in ("idle", "running") for node in pool.nodes.values()))
        pass_time(world, 1)
        assert world.now < START + 3_600 * 10_000_000
    assert out <= {0, 1}
    for name in pool.nodes:
        assert [to for _, to in moves(world, "node", name)].count(state) == 1
    pass_time(world, 2_000)
    assert world.task("j", "t1").state == "completed"
    assert (world.task("j", "t1").requeues == 0) is deferral


# --- there and back ---

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("pass"), st.integers(0, 400)),
        st.tuples(st.just("resize"), st.integers(0, 7)),
        st.tuples(st.just("remove"), st.integers(0, 7)),
        st.tuples(st.just("patch"), st.just(0)),
        st.tuples(st.just("stop"), st.just(0)),
    ),
    max_size=8,
)
SCRIPTS = st.fixed_dictionaries(
    {},
    optional={
        "fail": st.sampled_from(["AllocationFailed", "AllocationTimedout"]),
        "startTask": st.sampled_from(["fail", "hang"]),
        "version": st.just("1.1.1"),
        "state": st.sampled_from(["unusable", "unknown"]),
    },
)


def do(world: World, step: str, value: int) -> None:
    pool = world.pool("v")
    option = ("requeue", "taskcompletion", "terminate")[value % 3]
    try:
        if step == "pass":
            pass_time(world, value)
        elif step == "resize":
            resizes.resize(world, pool, (value, value % 2), None, option)
        elif step == "remove":
            resizes.remove_nodes(world, pool, list(pool.nodes)[value % 3 : value % 3 + 2] or ["none"], "PT5M", option)
        elif step == "patch":
            machine = windows(version="5.5.5")["virtualMachineConfiguration"]
            pools.patch(world, pool, {"virtualMachineConfiguration": machine})
        else:
            resizes.stop_resize(world, pool)
    except BatchError:
        pass  # a refusal is part of the story


@examples(60)
@given(
    nodes=st.integers(0, 5),
    commands=st.lists(st.sampled_from(["sleep 5", "sleep 50", "sleep 900", "exit 1"]), max_size=7),
    script=SCRIPTS,
    policy=st.sampled_from([None, True, False]),
    first=st.booleans(),
    steps=STEPS,
    later=st.integers(0, 2_000),
)
def test_a_state_read_back_goes_on_as_if_nothing_had_happened(nodes, commands, script, policy, first, steps, later):
    world = World(VirtualClock(START, speed=0))
    world.unknowns.set({"latestOfNewNodes": "asFirstNode" if first else "newest"})
    more = {"startTask": {"commandLine": "x"}, "simulator": {"allocation": script}}
    if policy is not None:
        automatic = {"enableAutomaticOSUpgrade": True, "osRollingUpgradeDeferral": policy}
        more["upgradePolicy"] = {"mode": "automatic", "automaticOSUpgradePolicy": automatic}
    start(world, job(*commands, pool="v"), nodes=nodes, **more)
    for step, value in steps:
        do(world, step, value)
    saved = json.loads(json.dumps(dump(world, BASE)))
    other = World(VirtualClock(0, speed=0))
    other.unknowns.set({"latestOfNewNodes": world.unknowns["latestOfNewNodes"]})
    load(other, copy.deepcopy(saved))
    assert dump(other, BASE) == saved
    pass_time(world, later)
    pass_time(other, later)
    assert dump(other, BASE) == dump(world, BASE)
    pass_time(world, 20_000)
    assert world.pool("v").allocation == "steady"
