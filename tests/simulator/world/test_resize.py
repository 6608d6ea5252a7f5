"""A resize seen from inside."""

from __future__ import annotations

import pytest

from batch_os_provider.simulator.state.load import load
from batch_os_provider.simulator.world import pools, resizes
from batch_os_provider.simulator.world.errors import BatchError
from tests.simulator.seeds import job, moves, paas, pass_time


def test_up(world):
    load(world, {"pools": [paas(nodes=1)]})
    pool = world.pool("p")
    resizes.resize(world, pool, (9, 3), None, "requeue")
    assert pool.allocation == "resizing"
    pass_time(world, 31)
    assert 1 < len(pool.nodes) < 12
    pass_time(world, 600)
    assert pool.allocation == "steady"
    assert (pool.count(dedicated=True), pool.count(dedicated=False)) == (9, 3)
    assert {node.state for node in pool.nodes.values()} == {"idle"}
    made = list(pool.nodes.values())[-1]
    assert moves(world, "node", made.id) == [(None, "creating"), ("creating", "starting"), ("starting", "idle")]


def test_down_takes_idle_nodes_first(world):
    load(world, {"pools": [paas(nodes=4)], "jobs": [job("sleep 1000")]})
    pool = world.pool("p")
    busy = next(node.id for node in pool.nodes.values() if node.running)
    resizes.resize(world, pool, (1, None), None, "requeue")
    pass_time(world, 60)
    assert pool.allocation == "steady"
    assert [node.id for node in pool.nodes.values()] == [busy]
    assert world.task("j", "t1").requeues == 0


@pytest.mark.parametrize(
    ("option", "state", "requeues"),
    [("requeue", "active", 1), ("terminate", "completed", 0), ("taskcompletion", "running", 0)],
)
def test_what_happens_to_running_tasks(world, option, state, requeues):
    load(world, {"pools": [paas(nodes=1)], "jobs": [job("sleep 100", "sleep 100")]})
    pool, task = world.pool("p"), world.task("j", "t1")
    resizes.resize(world, pool, (0, None), None, option)
    assert (task.state, task.requeues) == (state, requeues)
    pass_time(world, 300)
    assert (pool.allocation, len(pool.nodes)) == ("steady", 0)
    if option == "taskcompletion":
        assert (task.state, task.exit_code) == ("completed", 0)
    assert world.task("j", "t2").state == "active"


def test_a_resize_that_waits_for_tasks_gives_up_at_its_timeout(world):
    load(world, {"pools": [paas(nodes=1)], "jobs": [job("sleep 5000")]})
    pool = world.pool("p")
    resizes.resize(world, pool, (0, None), "PT5M", "taskcompletion")
    pass_time(world, 299)
    assert pool.allocation == "resizing"
    pass_time(world, 6)
    assert pool.allocation == "steady"
    assert [error["code"] for error in pool.resize_errors] == ["AllocationTimedout"]


def test_stop_keeps_what_is_there(world):
    load(world, {"pools": [paas(nodes=1)]})
    pool = world.pool("p")
    with pytest.raises(BatchError, match="409"):
        resizes.stop_resize(world, pool)
    resizes.resize(world, pool, (40, None), None, "requeue")
    pass_time(world, 31)
    resizes.stop_resize(world, pool)
    assert pool.allocation == "stopping"
    pass_time(world, 11)
    assert pool.allocation == "steady"
    assert 1 < len(pool.nodes) < 40
    assert pool.target_dedicated == 40
    assert pool.resize_errors[0]["code"] == "ResizeStopped"
    assert moves(world, "allocation") == [("steady", "resizing"), ("resizing", "stopping"), ("stopping", "steady")]


def test_only_one_resize_at_a_time(world):
    load(world, {"pools": [paas()]})
    pool = world.pool("p")
    resizes.resize(world, pool, (5, None), None, "requeue")
    with pytest.raises(BatchError, match="PoolBeingResized"):
        resizes.resize(world, pool, (6, None), None, "requeue")


def test_an_autoscale_pool_is_not_resized_by_hand(world):
    load(world, {"pools": [paas(enableAutoScale=True)]})
    with pytest.raises(BatchError, match="OperationNotValidOnPool"):
        resizes.resize(world, world.pool("p"), (5, None), None, "requeue")


def test_two_writes_in_one_frozen_instant_have_two_etags(world):
    load(world, {"pools": [paas(eTag="any text")]})
    pool = world.pool("p")
    tags = {pool.etag}
    for value in ("a", "b", "c"):
        pools.update(world, pool, {"metadata": [{"name": "n", "value": value}]})
        tags.add(pool.etag)
    assert len(tags) == 4
