"""The control endpoints: clock, audit, faults, state, reset."""

from __future__ import annotations

import json
import logging
import time
import urllib.error
from email.utils import parsedate_to_datetime

import pytest

from batch_os_provider.simulator.faults.rules import Faults
from batch_os_provider.simulator.server import running
from batch_os_provider.simulator.world.clock import VirtualClock, parse_iso
from batch_os_provider.simulator.world.reader import RefusedError
from batch_os_provider.simulator.world.world import World
from tests.simulator.raw_client import Client
from tests.simulator.seeds import NEW, OLD, job, paas


def refused(client, method, path, body):
    """The sentence of a 400."""
    with pytest.raises(urllib.error.HTTPError) as caught:
        client.control(method, path, body)
    with caught.value as answer:
        assert answer.code in (400, 404)
        return json.load(answer)["error"]


def test_a_simulator_leaves_the_logging_of_its_process_as_it_is(simulator):
    assert Client(simulator).control("GET", "audit")
    assert logging.getLogger("uvicorn").handlers == []


# --- clock ---


class Dial:
    """A monotonic clock that a test turns."""

    def __init__(self) -> None:
        self.ticks = 0

    def __call__(self) -> int:
        return self.ticks


def test_speed_and_continuity():
    dial = Dial()
    clock = VirtualClock(1_000, speed=60, monotonic=dial)
    dial.ticks = 10
    assert clock.now() == 1_600
    clock.set_speed(0)
    dial.ticks = 500
    assert clock.now() == 1_600
    clock.set_speed(2)
    assert clock.now() == 1_600
    dial.ticks = 505
    assert clock.now() == 1_610
    clock.advance(0.0001)
    assert clock.now() == 2_610


def test_when_a_virtual_time_was_for_real():
    dial = Dial()
    clock = VirtualClock(1_000, speed=10, monotonic=dial)
    dial.ticks = 50
    assert clock.now() == 1_500
    assert clock.real_ago(1_500) == 0
    assert clock.real_ago(1_200) == 30
    assert clock.real_ago(1_000) == 50
    # What an advance jumps over happened at the jump; what happened in a frozen world, when it froze.
    clock.advance(0.00001)
    dial.ticks = 70
    assert clock.real_ago(1_550) == 20
    clock.set_speed(0)
    dial.ticks = 75
    assert clock.real_ago(clock.now()) == 5


def test_the_clock_over_http(client):
    before = client.control("GET", "clock")
    assert before["speed"] == 0
    time.sleep(0.01)
    assert client.control("GET", "clock") == before
    after = client.control("POST", "clock", {"advance": 90.5})
    assert parse_iso(after["virtual"]) - parse_iso(before["virtual"]) == 905_000_000
    assert client.control("POST", "clock", {"speed": 1000})["speed"] == 1000
    time.sleep(0.01)
    moved = client.control("POST", "clock", {"speed": 0})
    assert parse_iso(moved["virtual"]) > parse_iso(after["virtual"])


@pytest.mark.parametrize("body", [{}, [], {"advance": -1}, {"advance": "1"}, {"speed": True}, {"backwards": 1}])
def test_what_the_clock_does_not_take(client, body):
    assert refused(client, "POST", "clock", body)


def test_virtual_time_is_not_the_time_of_the_connection(client):
    client.put(paas())
    client.advance(1_000_000)
    answer = client.upgrade(NEW)
    far, near = parsedate_to_datetime(answer["Last-Modified"]), parsedate_to_datetime(answer["Date"])
    assert far.timestamp() - near.timestamp() > 900_000


# --- audit ---


def test_requests_and_their_effects_are_one_sequence(client):
    client.put(paas(nodes=1), jobs=[job("sleep 100")])
    client.upgrade(NEW, "P")
    client.advance(100)
    client("GET", "/pools/p")
    entries = client.audit()
    assert [entry["seq"] for entry in entries] == list(range(1, len(entries) + 1))
    assert set(entries[0]) == {
        *("seq", "kind", "virtual", "wall", "operation", "method", "path", "status", "code", "pool", "detail")
    }
    story = [
        entry["operation"] or (entry["detail"]["resource"], entry["detail"]["from"], entry["detail"]["to"])
        for entry in entries
    ]
    start = story.index("Pool_UpgradeOS")
    assert story[start:] == [
        "Pool_UpgradeOS",
        ("pool", "active", "upgrading"),
        ("task", "running", "active"),
        ("node", "running", "reimaging"),
        ("node", "reimaging", "starting"),
        ("node", "starting", "idle"),
        ("pool", "upgrading", "active"),
        ("task", "active", "running"),
        ("node", "idle", "running"),
        "Pool_Get",
    ]
    asked = entries[start]
    assert (asked["method"], asked["path"], asked["status"], asked["code"]) == ("POST", "/pools/P/upgradeos", 202, None)
    assert json.loads(asked["detail"]["body"]) == {"targetOSVersion": NEW}
    assert asked["detail"]["apiVersion"] == "2018-08-01.7.0"
    assert {entry["pool"].lower() for entry in entries} == {"p"}
    virtual = [parse_iso(entry["virtual"]) for entry in entries]
    assert virtual == sorted(virtual)
    assert client.control("GET", f"audit?since={entries[-1]['seq'] - 1}")["entries"] == entries[-1:]


def test_refused_requests_are_in_the_audit_and_control_calls_are_not(client):
    client("GET", "/nothing")
    client("GET", "/pools/p")
    client("POST", "/pools/p/nodes/n/reimage", {})
    client.control("GET", "state")
    assert [(entry["operation"], entry["status"], entry["code"]) for entry in client.audit("request")] == [
        (None, 400, "InvalidUri"),
        ("Pool_Get", 404, "PoolNotFound"),
        ("ComputeNode_Reimage", 501, "NotImplemented"),
    ]


# --- faults ---


def fault(client, effect, **match):
    return client.control("POST", "faults", {"match": match, "effect": effect})["id"]


def test_a_refusal_on_the_second_read(client):
    client.put(paas())
    fault(client, {"kind": "status", "status": 503, "retryAfter": 7}, operation="Pool_Get", pool="P", nth=2)
    first, second, third = (client("GET", "/pools/p") for _ in range(3))
    assert [first.status, second.status, third.status] == [200, 503, 200]
    assert (second.code, second["Retry-After"]) == ("ServerBusy", "7")
    (rule,) = client.control("GET", "faults")
    assert (rule["fired"], rule["match"]["nth"], rule["effect"]["kind"]) == (1, 2, "status")
    assert client.audit("request")[1]["detail"]["faults"] == [rule["id"]]


def test_a_refusal_in_words_and_with_a_date(client):
    date = "Fri, 24 Aug 2018 07:46:48 GMT"
    fault(client, {"kind": "status", "status": 429, "code": "Slow", "message": "Slow\r\ndown.", "retryAfter": date})
    answer = client("GET", "/pools")
    assert (answer.status, answer.reason, answer.code) == (429, "Slow", "Slow")
    assert answer["Retry-After"] == date
    assert answer.json["message"]["value"].startswith("Slow\r\ndown.\nRequestId:")


@pytest.mark.parametrize(("kind", "state"), [("dropBefore", "active"), ("dropAfter", "upgrading")])
def test_a_lost_answer(client, kind, state):
    client.put(paas())
    fault(client, {"kind": kind}, operation="Pool_UpgradeOS")
    with pytest.raises(ConnectionError):
        client.upgrade(NEW)
    assert client.pool()["state"] == state
    entry = next(entry for entry in client.audit("request") if entry["operation"] == "Pool_UpgradeOS")
    assert entry["status"] is None


def test_a_write_that_is_refused_changes_nothing(client):
    client.put(paas())
    fault(client, {"kind": "status", "status": 500, "code": "OperationTimedOut"}, operation="Pool_UpgradeOS", nth=1)
    assert client.upgrade(NEW).code == "OperationTimedOut"
    assert client.pool()["state"] == "active"
    assert client.upgrade(NEW).status == 202


def test_a_delay_is_wall_time(client):
    client.put(paas())
    fault(client, {"kind": "delay", "seconds": 0.2}, operation="Pool_Get")
    begun = time.monotonic()
    assert client("GET", "/pools/p").status == 200
    assert time.monotonic() - begun >= 0.2


def test_dice_fall_the_same_way_each_time(client):
    def thrown(seed):
        client.control("DELETE", "faults")
        fault(client, {"kind": "status", "status": 500}, probability=0.5, seed=seed)
        return [client("GET", "/pools").status for _ in range(12)]

    assert thrown(1) == thrown(1)
    assert set(thrown(1)) == {200, 500}
    assert thrown(1) != thrown(2)


def test_rules_can_be_taken_back(client):
    kept = fault(client, {"kind": "dropBefore"}, operation="Pool_Add")
    gone = fault(client, {"kind": "dropBefore"}, operation="Pool_List")
    assert [rule["id"] for rule in client.control("DELETE", f"faults/{gone}")] == [kept]
    assert client("GET", "/pools").status == 200
    assert "does not exist" in refused(client, "DELETE", "faults/nothing", None)
    assert client.control("DELETE", "faults") == []


def test_several_rules_at_once_and_the_shape_of_one(client):
    given = [{"id": "mine", "effect": {"kind": "delay", "seconds": 0}}, {"effect": {"kind": "dropBefore"}}]
    made = client.control("POST", "faults", given)
    assert made == client.control("GET", "faults")
    assert made[0] == {"id": "mine", "match": {}, "effect": {"kind": "delay", "seconds": 0}, "fired": 0}
    assert "already" in refused(client, "POST", "faults", given[0])


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ([], "an object"),
        ({}, "unknown effect kind None; kinds: status, delay, dropBefore, dropAfter, reset, truncate"),
        ({"effect": {"kind": "flood"}}, "kinds: status, delay, dropBefore, dropAfter, reset, truncate"),
        ({"effect": {"kind": "delay"}}, "seconds"),
        ({"effect": {"kind": "delay", "seconds": -1}}, "seconds"),
        ({"effect": {"kind": "delay", "seconds": 1, "status": 500}}, "has only these fields"),
        ({"effect": {"kind": "status"}}, "status"),
        ({"effect": {"kind": "status", "status": 200}}, "300 to 599"),
        ({"effect": {"kind": "status", "status": 500, "retryAfter": -1}}, "retryAfter"),
        ({"effect": {"kind": "status", "status": 500, "code": 5}}, "code is a string"),
        ({"effect": {"kind": "dropBefore"}, "match": {"path": "/"}}, "match is an object"),
        ({"effect": {"kind": "dropBefore"}, "match": {"pool": 5}}, "pool is a string"),
        ({"effect": {"kind": "dropBefore"}, "match": {"operation": "Pool_UpgradeOs"}}, "did you mean Pool_UpgradeOS"),
        ({"effect": {"kind": "dropBefore"}, "match": {"operation": "?"}}, "unknown operation"),
        ({"effect": {"kind": "dropBefore"}, "match": {"nth": 0}}, "nth"),
        ({"effect": {"kind": "dropBefore"}, "match": {"probability": 2}}, "probability"),
        ({"effect": {"kind": "dropBefore"}, "match": {"seed": []}}, "seed"),
    ],
)
def test_a_fault_that_is_not_understood(given, sentence):
    with pytest.raises(RefusedError, match=sentence):
        Faults(World()).add(given)


# --- state and reset ---


def test_a_state_goes_there_and_back_over_http(client):
    client.put(paas(), jobs=[job("sleep 500")])
    client.upgrade(NEW)
    client.advance(10)
    state = client.control("GET", "state")
    assert set(state) == {"version", "virtual", "account", "principals", "images", "pools", "jobs"}
    assert state["version"] == 1
    assert client.control("PUT", "state", state) == state
    client.advance(600)
    assert client.pool()["cloudServiceConfiguration"]["currentOSVersion"] == NEW


def test_an_impossible_state_is_a_400_with_a_sentence(client):
    client.put(paas())
    assert "steady with 3" in refused(client, "PUT", "state", {"pools": [paas(targetDedicatedNodes=9)]})
    assert client.pool()["targetDedicatedNodes"] == 3


def test_what_is_not_json(client):
    request = urllib.request.Request(f"{client.simulator.control}/state", b"{", method="PUT")  # noqa: S310 - loopback
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=60)  # noqa: S310 - loopback
    with caught.value as answer:
        assert "not JSON" in json.load(answer)["error"]


def test_reset_goes_back_to_the_seed():
    with running(speed=0, seed={"pools": [paas()]}) as simulator:
        client = Client(simulator)
        client.upgrade(NEW)
        client.control("POST", "faults", {"effect": {"kind": "dropBefore"}})
        client.control("PUT", "unknowns", {"requeueCount": "unchanged"})
        state = client.control("POST", "reset")
        assert state["pools"][0]["cloudServiceConfiguration"]["targetOSVersion"] == OLD
        assert client.audit() == []
        assert client.control("GET", "faults") == []
        assert client.control("GET", "unknowns")["requeueCount"]["value"] == "increments"
        assert client.upgrade(NEW).status == 202


def test_the_world_of_a_running_simulator_can_be_looked_into():
    with running(speed=0, seed={"pools": [paas()]}) as simulator:
        Client(simulator).upgrade(NEW)
        with simulator.world.lock:
            assert simulator.world.pool("p").state == "upgrading"
