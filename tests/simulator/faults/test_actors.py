"""Other actors: they act at their time, follow Batch's rules, and do the same in every run."""

from __future__ import annotations

import json
import urllib.error
import urllib.request

import pytest

from batch_os_provider.simulator.faults import actors
from batch_os_provider.simulator.faults.actor_actions import ACTIONS
from batch_os_provider.simulator.state.dump import dump
from batch_os_provider.simulator.state.load import load
from batch_os_provider.simulator.world import resizes
from batch_os_provider.simulator.world.clock import VirtualClock, iso, seconds
from batch_os_provider.simulator.world.errors import CODES
from batch_os_provider.simulator.world.model import Actor
from batch_os_provider.simulator.world.reader import RefusedError
from batch_os_provider.simulator.world.upgrades import upgrade_os
from batch_os_provider.simulator.world.world import World
from tests.simulator.seeds import NEW, OLD, job, moves, paas, pass_time, windows

HERE = "http://here"
LATER = "WA-GUEST-OS-5.26_201812-01"
START_TASK = {"commandLine": "cmd /c exit 0", "waitForSuccess": True}


def script(world: World, kind: str, after: float = 0, pool: str = "p", **do: object) -> Actor:
    """Something is done so many seconds from now."""
    return actors.add(world, {"when": {"after": after}, "pool": pool, "do": {"kind": kind, **do}})


def act(world: World, kind: str, pool: str = "p", **do: object) -> str | None:
    """Something is done now; why not, if it is refused."""
    actor = script(world, kind, 0, pool, **do)
    world.advance()
    assert actor.fired == 1
    return actor.refused


def states(world: World, pool: str = "p") -> list[str]:
    return [node.state for node in world.pool(pool).nodes.values()]


def versions(world: World) -> tuple[str, str, str]:
    pool = world.pool("p")
    assert pool.cloud_service is not None
    return pool.state, pool.cloud_service["currentOSVersion"], pool.cloud_service["targetOSVersion"]


# --- invalid actors ---


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ([], "an actor is an object"),
        ({"who": "me"}, "an actor is an object with when, pool, do"),
        ({}, "when has either after"),
        ({"when": {"after": 1, "operation": "Pool_Get"}}, "when has either after"),
        ({"when": {"after": 1, "nth": 1}}, "after is the only field"),
        ({"when": {"after": -1}}, "virtual seconds from 0"),
        ({"when": {"operation": "Pool_get"}}, "did you mean Pool_Get"),
        ({"when": {"operation": ["?"]}}, "unknown operation"),
        ({"when": {"operation": "Pool_Get", "seed": 1}}, "when has only these fields"),
        ({"when": {"operation": "Pool_Get", "pool": 1}}, "when.pool is a string"),
        ({"when": {"operation": "Pool_Get", "nth": 0}}, "when.nth is a whole number from 1"),
        ({"when": {"operation": "Pool_Get", "moment": "during"}}, "when.moment is before or after, not 'during'"),
        ({"do": None}, "unknown action None; actions: resize, delete"),
        ({"do": {"kind": "explode"}}, "unknown action 'explode'"),
        ({"do": {"kind": "delete", "count": 1}}, "delete has only these fields: kind"),
        ({"do": {"kind": "resize"}}, "resize needs targetDedicatedNodes or"),
        ({"do": {"kind": "resize", "targetDedicatedNodes": -1}}, "targetDedicatedNodes is a whole number from 0"),
        ({"do": {"kind": "addNodes"}}, "addNodes needs count"),
        ({"do": {"kind": "addNodes", "count": True}}, "count is a whole number from 1"),
        ({"do": {"kind": "stick"}}, "stick needs count or ids"),
        ({"do": {"kind": "stick", "count": 1, "ids": ["a"]}}, "stick needs count or ids"),
        ({"do": {"kind": "stick", "ids": []}}, "do.ids is a list"),
        ({"do": {"kind": "stick", "ids": ["a", "A"]}}, "without duplicates"),
        ({"do": {"kind": "stick", "count": 1, "state": "asleep"}}, "do.state is one of unusable"),
        ({"do": {"kind": "upgrade"}}, "upgrade needs targetOSVersion"),
        ({"pool": None}, "pool is the id of the pool"),
    ],
)
def test_a_script_that_is_not_understood(world, given, sentence):
    whole = {"when": {"after": 1}, "pool": "p", "do": {"kind": "delete"}}
    if isinstance(given, dict) and given and "who" not in given:
        given = {**whole, **given}
    with pytest.raises(RefusedError, match=sentence):
        actors.add(world, given)
    assert not world.actors


def test_every_deed_has_its_fields_and_its_place_on_the_page(request):
    text = (request.config.rootpath / "docs" / "simulator.md").read_text()
    assert set(actors._FIELDS) == set(ACTIONS)
    assert [kind for kind in ACTIONS if f"| `{kind}` |" not in text] == []


# --- when ---


def test_it_acts_at_its_exact_instant_however_late_anybody_looks(world):
    load(world, {"pools": [paas()]})
    begun = world.now
    actor = script(world, "upgrade", 100, targetOSVersion=NEW)
    assert actor.to_json()["due"] == iso(begun + seconds(100))
    pass_time(world, 99)
    assert actor.fired == 0
    pass_time(world, 5000)
    assert (actor.fired, actor.due, actor.refused) == (1, None, None)
    assert versions(world) == ("active", NEW, NEW)
    entry = next(e for e in world.audit.entries if e.detail.get("resource") == "actor")
    assert (entry.virtual, entry.pool, entry.detail["to"]) == (begun + seconds(100), "p", "upgrade")


def test_a_new_state_leaves_it_in_force(world):
    load(world, {"pools": [paas()]})
    kept, gone = script(world, "delete", 100), script(world, "delete", 50)
    load(world, dump(world, HERE))
    del world.actors[gone.id]
    pass_time(world, 60)
    assert world.pool("p").state == "active"
    pass_time(world, 60)
    assert "p" not in world.pools
    assert kept.fired == 1


def test_the_same_each_time():
    def run(step):
        world = World(VirtualClock(0, speed=0))
        load(world, {"pools": [paas(nodes=10, startTask=START_TASK)], "jobs": [job(*["sleep 50"] * 20)]})
        script(world, "upgrade", 10, targetOSVersion=NEW)
        script(world, "stick", 40, count=1)
        script(world, "failStartTask", 41, count=2)
        script(world, "removeNodes", 45, count=2)
        script(world, "recover", 400, count=1)
        for _ in range(2000 // step):
            pass_time(world, step)
        return [(e.virtual, e.pool, e.detail) for e in world.audit.entries]

    assert run(2000) == run(1)


def test_before_and_after_a_request(client):
    client.put(paas())
    when = {"operation": "Pool_UpgradeOS", "pool": "P", "nth": 1}
    do = {"kind": "upgrade", "targetOSVersion": LATER}
    before = {"id": "mine", "when": {**when, "moment": "before"}, "pool": "p", "do": do}
    made = client.control("POST", "actors", [before, {"when": when, "pool": "p", "do": {"kind": "delete"}}])
    assert made[0] == {**before, "fired": 0, "refused": None}
    assert client.upgrade(NEW).code == "UpgradePoolVersionConflict"
    assert client.pool()["state"] == "deleting"
    assert client.upgrade(NEW).status == 409
    assert [actor["fired"] for actor in client.control("GET", "actors")] == [1, 1]


def test_each_such_request_unless_it_is_counted(client):
    client.put(paas())
    when = {"operation": "Pool_Get", "moment": "before"}
    do = {"kind": "resize", "targetDedicatedNodes": 5}
    name = client.control("POST", "actors", {"when": when, "pool": "p", "do": do})["id"]
    client.pool()
    client.pool()
    actor = client.control("GET", f"actors/{name}")
    assert actor["fired"] == 2
    assert actor["refused"].startswith("409 PoolBeingResized: ")


def test_scripts_can_be_taken_back_and_a_reset_ends_them(client):
    client.put(paas())
    given = {"when": {"after": 10}, "pool": "p", "do": {"kind": "delete"}}
    first, second = (client.control("POST", "actors", given)["id"] for _ in range(2))
    assert [actor["id"] for actor in client.control("DELETE", f"actors/{first}")] == [second]
    for method, name in (("GET", first), ("DELETE", "nobody")):
        assert "does not exist" in _refused(client, method, f"actors/{name}")
    assert "already" in _refused(client, "POST", "actors", {**given, "id": second})
    assert client.control("DELETE", "actors") == []
    client.control("POST", "actors", given)
    client.control("POST", "reset")
    assert client.control("GET", "actors") == []
    client.put(paas())
    client.advance(100)
    assert client.pool()["state"] == "active"


def _refused(client, method, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{client.simulator.control}/{path}", data, method=method)  # noqa: S310 - loopback
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=60)  # noqa: S310 - loopback
    with caught.value as answer:
        return json.load(answer)["error"]


# --- people, by Batch's rules ---


def test_a_resize_and_one_on_top_of_it(world):
    load(world, {"pools": [paas()]})
    assert act(world, "resize", targetDedicatedNodes=5) is None
    assert act(world, "addNodes", count=1) == f"409 PoolBeingResized: {CODES['PoolBeingResized'][1]}"
    pass_time(world, 300)
    assert act(world, "addNodes", count=1) is None
    pass_time(world, 300)
    assert len(world.pool("p").nodes) == 6
    assert act(world, "resize", targetLowPriorityNodes=2) is None
    pass_time(world, 300)
    assert [node.dedicated for node in world.pool("p").nodes.values()] == [True] * 6 + [False] * 2


def test_nodes_removed_by_name_and_by_number(world):
    load(world, {"pools": [paas(nodes=4)]})
    assert act(world, "removeNodes", ids=["TVM-2"]) is None
    pass_time(world, 100)
    assert act(world, "removeNodes", count=1) is None
    pass_time(world, 100)
    assert list(world.pool("p").nodes) == ["tvm-3", "tvm-4"]
    assert act(world, "removeNodes", ids=["tvm-2"]) == "node 'tvm-2' is not in the pool."
    assert act(world, "removeNodes", count=3) == "the pool has 2 nodes not leaving the pool, and count is 3."


def test_a_pool_deleted_and_one_that_is_not_there(world):
    load(world, {"pools": [paas()]})
    assert act(world, "delete") is None
    assert (act(world, "delete") or "").startswith("409 PoolBeingDeleted")
    pass_time(world, 100)
    assert (act(world, "delete") or "").startswith("404 PoolNotFound")


# --- the platform ---


def test_an_upgrade_rolled_back_on_its_way(world):
    load(world, {"pools": [paas(nodes=4)]})
    upgrade_os(world, world.pool("p"), NEW)
    pass_time(world, 50)
    assert act(world, "rollback") is None
    assert versions(world) == ("upgrading", OLD, OLD)
    assert act(world, "rollback") == "the upgrade of the pool is already being rolled back."
    state = dump(world, HERE)
    load(world, state)
    assert dump(world, HERE) == state
    pass_time(world, 300)
    assert versions(world) == ("active", OLD, OLD)
    assert states(world) == ["idle"] * 4
    out = [moves(world, "node", f"tvm-{number}").count(("idle", "reimaging")) for number in (1, 2, 3, 4)]
    assert out in ([2, 1, 0, 0], [2, 2, 0, 0])


def test_an_upgrade_rolled_back_after_its_end(world):
    load(world, {"pools": [paas()]})
    upgrade_os(world, world.pool("p"), NEW)
    pass_time(world, 300)
    load(world, dump(world, HERE))
    assert act(world, "rollback") is None
    assert versions(world) == ("upgrading", NEW, OLD)
    pass_time(world, 300)
    assert versions(world) == ("active", OLD, OLD)


def test_an_upgrade_of_an_empty_pool_rolled_back(world):
    load(world, {"pools": [paas(nodes=0)]})
    upgrade_os(world, world.pool("p"), NEW)
    assert act(world, "rollback") is None
    pass_time(world, 10)
    assert versions(world) == ("active", OLD, OLD)


def test_nothing_to_roll_back(world):
    load(world, {"pools": [paas(), windows()]})
    for name in ("p", "v"):
        assert act(world, "rollback", pool=name) == "the pool has not had an upgrade to roll back."


def test_low_priority_nodes_are_preempted_and_allocated_again(world):
    load(world, {"pools": [paas()], "jobs": [job("sleep 500", "sleep 500", "sleep 500")]})
    assert act(world, "preempt", count=1) == "the pool has 0 nodes with low priority, and count is 1."
    assert act(world, "preempt", ids=["tvm-1"]) == "node tvm-1 (running) is not one of the nodes with low priority."
    assert act(world, "resize", targetDedicatedNodes=0, targetLowPriorityNodes=2) is None
    pass_time(world, 300)
    assert act(world, "preempt", count=1) is None
    assert states(world) == ["preempted", "running"]
    assert act(world, "recover", count=1) is None
    assert states(world) == ["creating", "running"]
    pass_time(world, 60)
    assert states(world) == ["running", "running"]


def test_a_node_sticks_where_it_is_until_it_recovers(world):
    load(world, {"pools": [paas()]})
    assert act(world, "stick", count=1) == "the pool has 0 nodes in transition, and count is 1."
    upgrade_os(world, world.pool("p"), NEW)
    pass_time(world, 5)
    assert act(world, "stick", count=1) is None
    load(world, dump(world, HERE))
    pass_time(world, 5000)
    assert states(world) == ["reimaging", "idle", "idle"]
    assert versions(world) == ("upgrading", OLD, NEW)
    assert act(world, "recover", ids=["tvm-1"]) is None
    pass_time(world, 300)
    assert versions(world) == ("active", NEW, NEW)
    assert act(world, "recover", count=1) == "the pool has 0 nodes stuck, failed or preempted, and count is 1."


@pytest.mark.parametrize("state", ["unusable", "unknown", "starting", "waitingforstarttask"])
def test_a_node_put_into_a_state_that_it_does_not_leave(world, state):
    load(world, {"pools": [paas()], "jobs": [job("sleep 500")]})
    assert act(world, "stick", ids=["tvm-1"], state=state) is None
    load(world, dump(world, HERE))
    pass_time(world, 5000)
    assert states(world)[0] == state
    assert world.job("j").tasks["t1"].requeues == 1
    assert act(world, "recover", count=1) is None
    pass_time(world, 300)
    assert states(world) == ["idle"] * 3


def test_a_start_task_that_fails_the_next_time(world):
    load(world, {"pools": [paas(startTask=START_TASK), paas("q")]})
    assert act(world, "failStartTask", count=1, pool="q") == "the pool has no start task that could fail."
    assert act(world, "failStartTask", count=1) is None
    load(world, dump(world, HERE))
    assert states(world) == ["idle"] * 3
    upgrade_os(world, world.pool("p"), NEW)
    pass_time(world, 600)
    assert states(world)[0] == "starttaskfailed"
    assert act(world, "recover", count=1) is None
    pass_time(world, 600)
    assert states(world) == ["idle"] * 3
    assert versions(world) == ("active", NEW, NEW)


def test_a_start_task_that_fails_on_the_way(world):
    load(world, {"pools": [paas(startTask=START_TASK)]})
    upgrade_os(world, world.pool("p"), NEW)
    pass_time(world, 10)
    assert act(world, "failStartTask", ids=["tvm-1"]) is None
    pass_time(world, 60)
    assert states(world)[0] == "starttaskfailed"


def test_a_vm_pool_has_actors_too(world):
    load(world, {"pools": [windows()]})
    resizes.resize(world, world.pool("v"), (5, None), None, "requeue")
    assert (act(world, "removeNodes", pool="v", count=1) or "").startswith("409 PoolBeingResized")
    assert (act(world, "upgrade", pool="v", targetOSVersion=NEW) or "").startswith("409 OperationNotValidOnPool")
    pass_time(world, 300)
    assert states(world, "v") == ["idle"] * 5
