"""States written by hand, read back, and refused."""

from __future__ import annotations

import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_os_provider.simulator.state.dump import dump
from batch_os_provider.simulator.state.load import StateError, load
from batch_os_provider.simulator.world import pools, resizes, upgrades
from batch_os_provider.simulator.world.clock import VirtualClock, iso, parse_duration, parse_iso
from batch_os_provider.simulator.world.errors import BatchError
from batch_os_provider.simulator.world.world import World
from tests.simulator.seeds import FIRST, MOVING, NEW, OLD, SECOND, job, paas, pass_time, vm, windows
from tests.support.examples import examples

BASE = "http://127.0.0.1:1"
START = parse_iso("2018-08-24T07:46:48.3436665Z")


def test_the_least_that_a_pool_needs(world):
    load(world, {"pools": [{"id": "p", "cloudServiceConfiguration": {"osFamily": "5"}}]})
    shown = dump(world, BASE)["pools"][0]
    assert shown["state"] == "active"
    assert shown["allocationState"] == "steady"
    assert shown["cloudServiceConfiguration"] == {"osFamily": "5", "targetOSVersion": "*", "currentOSVersion": "*"}
    assert shown["nodes"] == []


def test_nodes_may_be_counted_instead_of_listed(world):
    load(world, {"pools": [paas(nodes=0) | {"nodes": None, "targetDedicatedNodes": 3}, vm(nodes=2)]})
    assert [node.state for node in world.pool("p").nodes.values()] == ["idle"] * 3
    assert [node.image["exactVersion"] for node in world.pool("v").nodes.values()] == ["1.0.0"] * 2


def test_active_tasks_are_put_on_nodes_at_once(world):
    load(world, {"pools": [paas(nodes=2)], "jobs": [job("sleep 9", "sleep 9", "sleep 9")]})
    assert [task.state for task in world.job("j").tasks.values()] == ["running", "running", "active"]
    assert [node.state for node in world.pool("p").nodes.values()] == ["running", "running"]


def test_a_running_task_may_name_its_node(world):
    work = job("sleep 9")
    work["tasks"][0] |= {"state": "running", "nodeInfo": {"nodeId": "tvm-2"}}
    load(world, {"pools": [paas(nodes=2)], "jobs": [work]})
    assert [node.state for node in world.pool("p").nodes.values()] == ["idle", "running"]
    pass_time(world, 10)
    assert world.task("j", "t1").state == "completed"


def test_an_upgrade_seen_from_outside_can_be_seeded(world):
    pool = paas(
        state="upgrading",
        stateTransitionTime="2018-08-24T07:00:00Z",
        cloudServiceConfiguration={"osFamily": "5", "targetOSVersion": NEW, "currentOSVersion": OLD},
        nodes=0,
    )
    pool["nodes"] = [
        {"id": "done", "lastBootTime": "2018-08-24T07:30:00Z"},
        {"id": "out", "state": "reimaging", "lastBootTime": "2018-08-23T07:30:00Z"},
        {"id": "old", "lastBootTime": "2018-08-23T07:30:00Z"},
    ]
    load(world, {"pools": [pool]})
    pass_time(world, 600)
    assert world.pool("p").state == "active"
    booted = {node.id: node.boot_time > START for node in world.pool("p").nodes.values()}
    assert booted == {"done": False, "out": True, "old": True}


def test_a_resize_seen_from_outside_can_be_seeded(world):
    load(world, {"pools": [paas(nodes=1, allocationState="resizing", targetDedicatedNodes=3)]})
    pass_time(world, 600)
    assert (world.pool("p").allocation, len(world.pool("p").nodes)) == ("steady", 3)


def test_what_is_visible_wins_over_saved_work(world):
    load(world, {"pools": [paas()]})
    upgrades.upgrade_os(world, world.pool("p"), NEW)
    saved = dump(world, BASE)
    pool = saved["pools"][0]
    assert pool["simulator"]["upgrade"]["out"] == ["tvm-1"]
    pool |= {"state": "active", "cloudServiceConfiguration": {"osFamily": "5", "currentOSVersion": OLD}}
    pool["nodes"][0]["state"] = "unusable"
    load(world, saved)
    pass_time(world, 3_600)
    assert world.pool("p").cloud_service["currentOSVersion"] == OLD
    assert world.pool("p").nodes["tvm-1"].state == "unusable"


IMPOSSIBLE = {
    "two pools": ([paas(), paas("P")], [], "Two pools have the id"),
    "two nodes": ([paas() | {"nodes": [{"id": "a"}, {"id": "A"}]}], [], "two nodes with the same id"),
    "bad id": ([paas("no good")], [], "is not an id"),
    "no configuration": ([{"id": "p"}], [], "must have either"),
    "both configurations": ([{**paas(), **vm("p")}], [], "must have either"),
    "no image": ([{"id": "v", "virtualMachineConfiguration": {}}], [], "without imageReference"),
    "vm upgrading": ([vm(state="upgrading")], [], "only Cloud Services pools"),
    "upgrade to same": ([paas(state="upgrading")], [], "to the same version"),
    "active between versions": (
        [paas(cloudServiceConfiguration={"osFamily": "5", "targetOSVersion": NEW, "currentOSVersion": OLD})],
        [],
        "differ only while the pool is upgrading",
    ),
    "steady without nodes": ([paas(nodes=2, targetDedicatedNodes=3)], [], "steady with 2 dedicated nodes"),
    "count": ([paas(nodes=2, currentDedicatedNodes=3)], [], "has currentDedicatedNodes 3"),
    "pool state": ([paas(state="broken")], [], "'broken', which is not one of"),
    "node state": ([paas() | {"nodes": [{"id": "a", "state": "asleep"}]}], [], "'asleep'"),
    "older name": ([paas(targetDedicated=3)], [], "unknown property targetDedicated"),
    "unknown property": ([paas(colour="red")], [], "unknown property colour"),
    "wrong type": ([paas(targetDedicatedNodes="3")], [], "must be of type int"),
    "bad time": ([paas(creationTime="yesterday")], [], "is not a UTC time"),
    "no such day": (
        [paas(creationTime="2018-02-30T00:00:00Z")],
        [],
        r"creationTime: day (is out of range|30 must be in range)",
    ),
    "task nowhere": ([], [job() | {"tasks": [{"id": "t", "state": "running"}]}], "does not name a node"),
    "task on idle node": (
        [paas() | {"nodes": [{"id": "a", "state": "idle"}]}],
        [job() | {"tasks": [{"id": "t", "state": "running", "nodeInfo": {"nodeId": "a"}}]}],
        "is idle, but tasks are running on it",
    ),
    "too many tasks": (
        [paas() | {"nodes": [{"id": "a"}]}],
        [job() | {"tasks": [{"id": x, "state": "running", "nodeInfo": {"nodeId": "a"}} for x in "xy"]}],
        "runs 2 tasks and has 1 slot",
    ),
    "two jobs": ([], [job(), job(name="J")], "Two jobs have the id"),
    "two tasks": ([], [job() | {"tasks": [{"id": "t"}, {"id": "T"}]}], "two tasks with the id"),
    "scheduling": ([paas() | {"nodes": [{"id": "a", "schedulingState": "disabled"}]}], [], "so its state is offline"),
}


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_an_impossible_state_is_refused_with_a_sentence_and_changes_nothing(world, name):
    given_pools, given_jobs, sentence = IMPOSSIBLE[name]
    load(world, {"pools": [paas("kept")]})
    before = dump(world, BASE)
    with pytest.raises(StateError, match=sentence):
        load(world, {"pools": given_pools, "jobs": given_jobs})
    assert dump(world, BASE) == before


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ([], "expected an object"),
        ({"version": 2}, "version 1 only"),
        ({"account": {"key": "not base64!"}}, "not base64"),
        ({"principals": [{"readOnly": True}]}, "token is missing"),
        ({"images": [{"osVersion": "5"}]}, "neither"),
        ({"images": [{"osVersion": NEW, "state": "lost"}]}, "not one of"),
        ({"pool": []}, "unknown property pool"),
    ],
)
def test_what_is_not_a_state(world, data, sentence):
    with pytest.raises(StateError, match=sentence):
        load(world, data)


# --- there and back ---

COMMANDS = st.sampled_from(["sleep 5", "sleep 50", "sleep 500", "exit 1"])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("pass"), st.integers(0, 90)),
        st.tuples(st.just("upgrade"), st.sampled_from([NEW, OLD, "*"])),
        st.tuples(st.just("resize"), st.integers(0, 7)),
        st.tuples(st.just("stop"), st.just(0)),
        st.tuples(st.just("delete"), st.just(0)),
    ),
    max_size=8,
)


def do(world: World, step: str, value: int | str) -> None:
    try:
        if step == "pass":
            pass_time(world, value)
        elif step == "upgrade":
            upgrades.upgrade_os(world, world.pool("p"), value)
        elif step == "resize":
            resizes.resize(world, world.pool("p"), (value, None), None, ("requeue", "taskcompletion")[value % 2])
        elif step == "stop":
            resizes.stop_resize(world, world.pool("p"))
        else:
            pools.delete(world, world.pool("p"))
    except BatchError:
        pass  # a refusal is part of the story


@examples(60)
@given(nodes=st.integers(0, 7), commands=st.lists(COMMANDS, max_size=9), steps=STEPS, later=st.integers(0, 400))
def test_a_state_read_back_goes_on_as_if_nothing_had_happened(nodes, commands, steps, later):
    world = World(VirtualClock(START, speed=0))
    world.unknowns.set({"upgradeWhileResizing": "accepted"})
    load(world, {"pools": [paas(nodes=nodes)], "jobs": [job(*commands)]})
    for step, value in steps:
        do(world, step, value)
    saved = json.loads(json.dumps(dump(world, BASE)))
    other = World(VirtualClock(0, speed=0))
    load(other, copy.deepcopy(saved))
    assert dump(other, BASE) == saved
    pass_time(world, later)
    pass_time(other, later)
    assert dump(other, BASE) == dump(world, BASE)


@examples(60)
@given(nodes=st.integers(0, 9), commands=st.lists(COMMANDS, max_size=12), steps=STEPS)
def test_no_task_is_lost_and_everything_comes_to_rest(nodes, commands, steps):
    world = World(VirtualClock(START, speed=0))
    load(world, {"pools": [paas(nodes=nodes)], "jobs": [job(*commands)]})
    for step, value in steps:
        do(world, step, value)
    pass_time(world, 20_000)
    assert len(world.job("j").tasks) == len(commands)
    pool = world.pools.get("p")
    if pool is not None:
        assert (pool.state, pool.allocation) == ("active", "steady")
        assert pool.cloud_service["currentOSVersion"] == pool.cloud_service["targetOSVersion"]
        assert {node.state for node in pool.nodes.values()} <= {"idle"}
        if pool.nodes:
            assert {task.state for task in world.job("j").tasks.values()} <= {"completed"}


@given(st.integers(0, 4_000_000_000 * 10_000_000))
def test_times_read_back_exactly(ticks):
    assert parse_iso(iso(ticks)) == ticks


@pytest.mark.parametrize(("text", "count"), [("PT15M", 900), ("P1DT2H", 93_600), ("PT1.5S", 1.5)])
def test_durations(text, count):
    assert parse_duration(text) == count * 10_000_000


@pytest.mark.parametrize("text", ["P", "PT", "15M", "PT5X", ""])
def test_what_is_no_duration(text):
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"vmSize": 5}, "vmSize must be of type str"),
        ({"taskSchedulingPolicy": "spread"}, "taskSchedulingPolicy must be of type dict"),
        ({"startTask": "x"}, "startTask must be of type dict"),
        ({"networkConfiguration": []}, "networkConfiguration must be of type dict"),
        ({"userAccounts": {}}, "userAccounts must be of type list"),
        ({"userAccounts": [5]}, "userAccounts: expected an object"),
        ({"autoScaleEvaluationInterval": "6m"}, "autoScaleEvaluationInterval: '6m'"),
        (
            {"nodes": [{"id": "a", "virtualMachineInfo": {"imageReference": "x"}}]},
            "imageReference must be of type dict",
        ),
    ],
)
def test_a_property_that_an_answer_completes_has_its_type(world, changes, where):
    with pytest.raises(StateError, match=where):
        load(world, {"pools": [{**windows(nodes=0), **changes}]})


def test_the_constraints_of_jobs_and_tasks_are_objects(world):
    for changed in ({"constraints": 5}, {"tasks": [{"id": "t", "constraints": 5}]}):
        with pytest.raises(StateError, match="constraints must be of type dict"):
            load(world, {"pools": [windows()], "jobs": [{"id": "j", "poolInfo": {"poolId": "v"}, **changed}]})


def test_an_exact_version_that_is_edited_is_shown_and_the_real_one_stays(world):
    world.unknowns.set({"exactVersionOfLatest": "latest"})
    load(world, {"pools": [windows(nodes=3, exact=None)], "images": MOVING})
    state = dump(world, BASE)
    one, two, three = state["pools"][0]["nodes"]
    one["virtualMachineInfo"]["imageReference"]["exactVersion"] = SECOND
    load(world, state)
    assert [node.image["exactVersion"] for node in world.pool("v").nodes.values()] == [SECOND, FIRST, FIRST]
    for switch, shown in (("latest", "latest"), ("number", FIRST)):
        world.unknowns.set({"exactVersionOfLatest": switch})
        rows = dump(world, BASE)["pools"][0]["nodes"]
        assert [row["virtualMachineInfo"]["imageReference"]["exactVersion"] for row in rows] == [SECOND, shown, shown]
    two["virtualMachineInfo"]["imageReference"]["exactVersion"] = "nightly"
    three["simulator"]["shownBySwitch"] = FIRST  # so that latest is an edit
    load(world, state)
    rows = dump(world, BASE)["pools"][0]["nodes"]
    shown = [row["virtualMachineInfo"]["imageReference"]["exactVersion"] for row in rows]
    assert shown == [SECOND, "nightly", "latest"]
    assert list(world.pool("v").nodes.values())[2].image["exactVersion"] == FIRST
