"""An upgrade seen from inside: pure, on a clock that the test moves."""

from __future__ import annotations

import pytest

from batch_os_provider.simulator.state.load import load
from batch_os_provider.simulator.world import pools, resizes, tasks, upgrades
from batch_os_provider.simulator.world.clock import TICKS
from batch_os_provider.simulator.world.errors import BatchError
from batch_os_provider.simulator.world.world import World
from tests.simulator.seeds import NEW, OLD, job, moves, paas, pass_time, vm


def start(world: World, *more: dict, nodes: int = 3) -> None:
    load(world, {"pools": [paas(nodes=nodes)], "jobs": list(more)})


def test_nodes_are_taken_one_after_the_other_on_a_small_pool(world):
    start(world)
    pool = world.pool("p")
    upgrades.upgrade_os(world, pool, NEW)
    seen = set()
    while pool.state == "upgrading":
        out = sum(node.state in ("reimaging", "starting") for node in pool.nodes.values())
        seen.add(out)
        assert out <= 1
        pass_time(world, 1)
    assert seen == {1}
    assert pool.cloud_service == {"osFamily": "5", "targetOSVersion": NEW, "currentOSVersion": NEW}
    for node in pool.nodes.values():
        assert moves(world, "node", node.id) == [("idle", "reimaging"), ("reimaging", "starting"), ("starting", "idle")]


def test_three_nodes_take_no_longer_than_recorded(world):
    start(world)
    begun = world.now
    upgrades.upgrade_os(world, world.pool("p"), NEW)
    pass_time(world, 3_600)
    ended = next(entry for entry in reversed(world.audit.entries) if entry.detail["resource"] == "pool")
    assert ended.detail["to"] == "active"
    assert 60 < (ended.virtual - begun) / TICKS <= 96


def test_a_fifth_of_a_large_pool_is_out_at_a_time(world):
    start(world, nodes=20)
    pool = world.pool("p")
    upgrades.upgrade_os(world, pool, NEW)
    widest = 0
    while pool.state == "upgrading":
        widest = max(widest, sum(node.state not in ("idle", "running") for node in pool.nodes.values()))
        pass_time(world, 1)
    assert widest == 4


def test_last_boot_time_moves_for_every_node_and_only_once(world):
    start(world)
    posted = world.now
    before = {node.id: node.boot_time for node in world.pool("p").nodes.values()}
    upgrades.upgrade_os(world, world.pool("p"), NEW)
    pass_time(world, 3_600)
    for node in world.pool("p").nodes.values():
        assert node.boot_time > max(posted, before[node.id])


def test_the_recorded_warts(world):
    load(world, {"pools": [paas(creationTime="2018-01-01T00:00:00Z")]})
    pool = world.pool("p")
    tag = pool.etag
    allocation = pool.allocation_time
    pass_time(world, 100)
    posted = world.now
    upgrades.upgrade_os(world, pool, NEW)
    assert pool.etag != tag
    assert pool.state_time == pool.modified == posted
    tag = pool.etag
    pass_time(world, 3_600)
    assert pool.state == "active"
    assert pool.state_time == pool.created
    assert (pool.etag, pool.modified) == (tag, posted)
    assert (pool.allocation, pool.allocation_time) == ("steady", allocation)


def test_running_tasks_go_back_to_the_queue_and_all_finish(world):
    start(world, job(*["sleep 300"] * 6))
    pool, work = world.pool("p"), world.job("j")
    upgrades.upgrade_os(world, pool, NEW)
    first = work.tasks["t1"]
    assert (first.state, first.previous_state, first.node, first.requeues) == ("active", "running", None, 1)
    pass_time(world, 7_200)
    assert {task.state for task in work.tasks.values()} == {"completed"}
    assert {task.exit_code for task in work.tasks.values()} == {0}
    assert {task.retries for task in work.tasks.values()} == {0}
    assert sum(task.requeues for task in work.tasks.values()) >= 3
    for task in work.tasks.values():
        assert moves(world, "task", f"j/{task.id}").count(("running", "completed")) == 1


def test_a_failing_task_counts_retries_not_requeues(world):
    load(world, {"pools": [paas()], "jobs": [job("cmd /c exit 3")]})
    task = world.task("j", "t1")
    task.props["constraints"] = {"maxTaskRetryCount": 2}
    pass_time(world, 600)
    assert (task.state, task.exit_code, task.retries, task.requeues) == ("completed", 3, 2, 0)


def test_an_empty_pool_passes_through_upgrading(world):
    start(world, nodes=0)
    pool = world.pool("p")
    upgrades.upgrade_os(world, pool, NEW)
    assert pool.state == "upgrading"
    pass_time(world, 5)
    assert moves(world, "pool") == [("active", "upgrading"), ("upgrading", "active")]


@pytest.mark.parametrize("target", ["*", "WA-GUEST-OS-5.23_201809-01"])
def test_any_change_is_an_upgrade(world, target):
    start(world)
    upgrades.upgrade_os(world, world.pool("p"), target)
    pass_time(world, 3_600)
    assert world.pool("p").cloud_service["currentOSVersion"] == target


def test_the_same_version_is_refused(world):
    start(world)
    with pytest.raises(BatchError, match="PoolVersionEqualsUpgradeVersion"):
        upgrades.upgrade_os(world, world.pool("p"), OLD)


def test_another_version_while_upgrading_is_a_conflict(world):
    start(world)
    upgrades.upgrade_os(world, world.pool("p"), NEW)
    with pytest.raises(BatchError, match="409 UpgradePoolVersionConflict"):
        upgrades.upgrade_os(world, world.pool("p"), "*")


def test_a_vm_pool_is_refused(world):
    load(world, {"pools": [vm()]})
    with pytest.raises(BatchError, match="409 OperationNotValidOnPool"):
        upgrades.upgrade_os(world, world.pool("v"), NEW)


def test_a_pool_may_be_deleted_while_it_upgrades(world):
    start(world, job("sleep 60"))
    pool = world.pool("p")
    upgrades.upgrade_os(world, pool, NEW)
    pools.delete(world, pool)
    assert pool.state == "deleting"
    with pytest.raises(BatchError, match="PoolBeingDeleted"):
        pools.delete(world, pool)
    pass_time(world, 60)
    assert world.pools == {}
    assert world.task("j", "t1").state == "active"


def test_a_node_that_leaves_meanwhile_is_not_waited_for(world):
    start(world, nodes=4)
    pool = world.pool("p")
    upgrades.upgrade_os(world, pool, NEW)
    resizes.resize(world, pool, (1, None), None, "requeue")
    pass_time(world, 3_600)
    assert (pool.state, pool.allocation, len(pool.nodes)) == ("active", "steady", 1)
    assert all(node.boot_time > pool.modified for node in pool.nodes.values())


def test_a_node_that_joins_meanwhile_is_on_the_new_version_already(world):
    start(world, nodes=2)
    pool = world.pool("p")
    upgrades.upgrade_os(world, pool, NEW)
    resizes.resize(world, pool, (4, None), None, "requeue")
    pass_time(world, 3_600)
    assert (pool.state, pool.allocation, len(pool.nodes)) == ("active", "steady", 4)
    reimaged = [entry for entry in world.audit.entries if entry.detail.get("to") == "reimaging"]
    assert len(reimaged) == 2


def test_the_start_task_runs_again_and_is_waited_for(world):
    start_task = {"commandLine": "cmd /c rem", "waitForSuccess": True}
    load(world, {"pools": [paas(nodes=1, startTask=start_task)]})
    upgrades.upgrade_os(world, world.pool("p"), NEW)
    pass_time(world, 3_600)
    assert ("starting", "waitingforstarttask") in moves(world, "node")
    assert world.pool("p").nodes["tvm-1"].start_task["state"] == "completed"


def test_a_node_whose_scheduling_is_off_returns_to_offline(world):
    pool = paas(nodes=1)
    pool["nodes"] = [{"id": "a", "state": "offline", "schedulingState": "disabled"}]
    load(world, {"pools": [pool]})
    upgrades.upgrade_os(world, world.pool("p"), NEW)
    pass_time(world, 3_600)
    assert world.pool("p").state == "active"
    assert world.pool("p").nodes["a"].state == "offline"


def test_order_does_not_depend_on_how_often_somebody_looks(world):
    def story(step: float) -> list[tuple[int, dict]]:
        fresh = World(type(world.clock)(world.clock.now(), speed=0))
        load(fresh, {"pools": [paas(nodes=7)], "jobs": [job(*[f"sleep {20 + n}" for n in range(12)])]})
        upgrades.upgrade_os(fresh, fresh.pool("p"), NEW)
        passed = 0.0
        while passed < 1_000:
            pass_time(fresh, step)
            passed += step
        return [(entry.virtual, entry.detail) for entry in fresh.audit.entries]

    assert story(1_000) == story(8) == story(0.5)


def test_jobs_of_higher_priority_go_first(world):
    load(
        world,
        {"pools": [paas(nodes=1)], "jobs": [job("sleep 10", name="low"), job("sleep 10", name="high", priority=5)]},
    )
    assert world.task("high", "t1").state == "running"
    assert world.task("low", "t1").state == "active"


def test_a_job_ends_with_its_last_task_if_it_says_so(world):
    load(world, {"pools": [paas()], "jobs": [job("sleep 5", "sleep 9", onAllTasksComplete="terminatejob")]})
    pass_time(world, 10)
    assert world.job("j").state == "completed"
    with pytest.raises(BatchError, match="OperationInvalidForCurrentState"):
        tasks.add_task(world, world.job("j"), "late", {"commandLine": "x"})


def test_a_deleted_job_makes_room(world):
    load(world, {"pools": [paas(nodes=1)], "jobs": [job("sleep 99", name="a"), job("sleep 99", name="b")]})
    tasks.delete_job(world, world.job("a"))
    assert world.task("b", "t1").state == "running"


@pytest.mark.parametrize(
    ("command", "length", "code"),
    [
        ("sleep 30", 30, 0),
        ("/bin/bash -c 'sleep 1.5; exit 4'", 1.5, 4),
        ("cmd /c timeout /t 7 & exit /b 2", 7, 2),
        ("powershell Start-Sleep -Seconds 11", 11, 0),
        ("powershell Start-Sleep 12", 12, 0),
        ("render.exe", 60, 0),
        ("sleep 0", 1, 0),
    ],
)
def test_a_command_line_says_how_long_it_runs_and_how_it_ends(command, length, code):
    assert tasks.run_time(command) == length * TICKS
    assert tasks.exit_code(command) == code
