"""Each kind of fault, on a real socket: by a raw client, and by the client of the provider."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from datetime import timedelta
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import pytest

from batch_os_provider.batch.address import PoolRef
from batch_os_provider.batch.client import BatchClient
from batch_os_provider.batch.pool import PoolState
from batch_os_provider.errors import BatchOsError, TransientError
from batch_os_provider.simulator.data_plane.exchange import Exchange
from batch_os_provider.simulator.faults.corrupt import split_body, truncate
from batch_os_provider.simulator.faults.effects import KINDS, check
from batch_os_provider.simulator.faults.rules import Faults
from batch_os_provider.simulator.protocol.wire import EMPTY_CHUNKED
from batch_os_provider.simulator.state.load import load
from batch_os_provider.simulator.world import history
from batch_os_provider.simulator.world.clock import parse_iso
from batch_os_provider.simulator.world.reader import RefusedError
from batch_os_provider.simulator.world.world import World
from tests.simulator import raw_client
from tests.simulator.seeds import NEW, OLD, job, paas, pass_time
from tests.support.stack import wait_until

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"


def fault(client, kind, effect=(), **match):
    given = {"match": match, "effect": {"kind": kind, **dict(effect)}}
    return client.control("POST", "faults", given)["id"]


def fired(client, name):
    return next(rule["fired"] for rule in client.control("GET", "faults") if rule["id"] == name)


@pytest.fixture
def batch(client):
    where = client.simulator
    environ = {"AZURE_BATCH_ACCOUNT": where.account, "AZURE_BATCH_ACCESS_KEY": where.key}
    return BatchClient(where.endpoint, environ)


@pytest.fixture
def pool(client):
    client.put(paas())
    return PoolRef(client.simulator.endpoint, "p")


# --- invalid effects ---


@pytest.mark.parametrize(
    ("effect", "sentence"),
    [
        ({"kind": ["status"]}, "unknown effect kind"),
        ({"kind": "reset", "after": 1}, "after is true or false"),
        ({"kind": "delay", "seconds": 1, "after": "yes"}, "after is true or false"),
        ({"kind": "truncate", "bytes": -1}, "bytes is a whole number from 0"),
        ({"kind": "truncate", "bytes": True}, "bytes is a whole number"),
        ({"kind": "slow"}, "seconds is a number from 0 to 3600"),
        ({"kind": "slow", "seconds": 1, "pieces": 0}, "pieces is a whole number from 1"),
        ({"kind": "stale"}, "stale needs exactly one of: changes, seconds"),
        ({"kind": "stale", "changes": 1, "seconds": 1}, "exactly one of"),
        ({"kind": "stale", "changes": 0}, "changes is a whole number from 1"),
        ({"kind": "garbage", "body": {}}, "body is a string"),
        ({"kind": "unknownState", "fields": ["id"]}, "a list of any of state, allocationState"),
        ({"kind": "unknownState", "fields": []}, "at least one"),
        ({"kind": "missingFields"}, "names is a list of names"),
        ({"kind": "missingFields", "names": "state"}, "names is a list of names"),
        ({"kind": "clockSkew"}, "seconds is a number from -86400"),
        ({"kind": "extraFields", "names": ["a"]}, "has only these fields: kind"),
        ({"kind": "status", "status": 503, "retryAfterAs": "date"}, "retryAfterAs needs effect.retryAfter"),
        ({"kind": "status", "status": 503, "retryAfter": 5, "retryAfterAs": "minutes"}, "seconds or date"),
        ({"kind": "status", "status": 503, "retryAfter": "soon", "retryAfterAs": "date"}, "retryAfterAs needs"),
    ],
)
def test_an_effect_that_is_not_understood(effect, sentence):
    with pytest.raises(RefusedError, match=sentence):
        check(effect)


def test_a_write_cannot_be_stale():
    given = {"match": {"operation": "Pool_UpgradeOS"}, "effect": {"kind": "stale", "changes": 1}}
    with pytest.raises(RefusedError, match="only a read can be stale, and Pool_UpgradeOS is a write"):
        Faults(World()).add(given)


def test_every_kind_is_in_the_page_of_the_simulator(request):
    text = (request.config.rootpath / "docs" / "simulator.md").read_text()
    assert [kind for kind in KINDS if f"| `{kind}` |" not in text] == []


# --- refusals and delays ---


def test_a_retry_after_as_a_date_is_counted_from_the_answer(client):
    fault(client, "status", {"status": 503, "retryAfter": 90, "retryAfterAs": "date"})
    answer = client("GET", "/pools")
    waited = parsedate_to_datetime(answer["Retry-After"]) - parsedate_to_datetime(answer["Date"])
    assert timedelta(seconds=89) <= waited <= timedelta(seconds=91)


def test_a_delay_after_the_commit_holds_the_answer_and_not_the_write(client):
    client.put(paas())
    name = fault(client, "delay", {"seconds": 3600, "after": True}, operation="Pool_UpgradeOS")
    where = urlsplit(client.simulator.endpoint)
    with socket.create_connection((where.hostname, where.port)) as connection:
        connection.sendall(_signed_upgrade(client))
        wait_until(lambda: client.pool()["state"] == "upgrading", "the write is taken")
    assert fired(client, name) == 1
    entry = next(each for each in client.audit("request") if each["operation"] == "Pool_UpgradeOS")
    assert (entry["status"], entry["detail"]["faults"]) == (202, [name])


def _signed_upgrade(client):
    """The bytes of a signed upgrade request; its answer is not read."""
    target, body = f"/pools/p/upgradeos?api-version={client.version}", json.dumps({"targetOSVersion": NEW}).encode()
    headers = {
        "ocp-date": raw_client.formatdate(usegmt=True),
        "Content-Type": raw_client.FULL_TYPE,
        "Content-Length": str(len(body)),
    }
    where = client.simulator
    headers["Authorization"] = (
        f"SharedKey {where.account}:{raw_client.signature(where.key, where.account, 'POST', target, headers)}"
    )
    lines = [f"POST {target} HTTP/1.1", "Host: here", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body


# --- broken connections ---


@pytest.mark.parametrize(("after", "state"), [(False, "active"), (True, "upgrading")])
def test_a_reset_is_one_on_the_socket(client, after, state):
    client.put(paas())
    fault(client, "reset", {"after": after}, operation="Pool_UpgradeOS")
    with pytest.raises(ConnectionResetError, match=r"^(?!no answer)"):  # the system's words
        client.upgrade(NEW)
    assert client.pool()["state"] == state
    assert [each["status"] for each in client.audit("request") if each["method"] == "POST"] == [None]


@pytest.mark.parametrize("kind", ["dropBefore", "dropAfter", "reset"])
def test_a_lost_connection_is_transient_for_the_provider(client, batch, pool, kind):
    fault(client, kind, operation="Pool_Get", nth=1)
    with pytest.raises(TransientError):
        batch.get_pool(pool)
    assert batch.get_pool(pool).current_os_version == OLD


@pytest.mark.parametrize("kept", [None, 0, 17, 1_000_000])
def test_a_truncated_answer_promises_more_than_it_holds(client, kept):
    client.put(paas())
    fault(client, "truncate", {} if kept is None else {"bytes": kept}, operation="Pool_Get")
    answer = client("GET", "/pools/p")
    length = int(answer["Content-Length"])
    assert (answer.status, answer["Connection"]) == (200, "close")
    assert len(answer.body) == min(length // 2 if kept is None else kept, length - 1)


def test_a_truncated_write_has_happened(client, batch, pool):
    etag = batch.get_pool(pool).etag
    fault(client, "truncate", operation="Pool_UpgradeOS", nth=1)
    with pytest.raises(TransientError):
        batch.upgrade_os(pool, NEW, etag)
    assert client.pool()["state"] == "upgrading"


def test_cuts_and_pieces():
    assert truncate(HEAD + b"0123456789", None) == HEAD + b"01234"
    assert truncate(HEAD, 5) == HEAD
    assert truncate(HEAD + EMPTY_CHUNKED, None) == HEAD
    assert split_body(HEAD + b"0123456789", 3) == (HEAD, [b"012", b"345", b"6789"])
    assert split_body(HEAD + b"01", None) == (HEAD, [b"0", b"1"])
    assert split_body(HEAD, 3) == (HEAD, [])


def test_a_slow_answer_holds_up_nobody_else(client, batch, pool):
    name = fault(client, "slow", {"seconds": 3600, "pieces": 2}, operation="Pool_Get")
    answers = []
    where = urlsplit(client.simulator.endpoint)
    with socket.create_connection((where.hostname, where.port), timeout=60) as connection:
        connection.sendall(_signed_read(client))
        while b"\r\n\r\n" not in b"".join(answers):
            answers.append(connection.recv(65536))
        assert b"".join(answers).endswith(b"\r\n\r\n")  # the head has come, of the body nothing
        assert len(client.nodes()) == 3
    assert fired(client, name) == 1
    client.control("DELETE", "faults")
    assert batch.get_pool(pool).current_os_version == OLD


def _signed_read(client):
    target, headers = f"/pools/p?api-version={client.version}", {"ocp-date": raw_client.formatdate(usegmt=True)}
    where = client.simulator
    made = raw_client.signature(where.key, where.account, "GET", target, headers)
    lines = [f"GET {target} HTTP/1.1", "Host: here", f"ocp-date: {headers['ocp-date']}"]
    return "\r\n".join([*lines, f"Authorization: SharedKey {where.account}:{made}", "", ""]).encode()


def test_nothing_is_held_back_for_a_client_that_has_gone():
    class Cycle:
        disconnected = False

    async def run():
        cycle = Cycle()
        cycle.message_event = asyncio.Event()
        cycle.message_event.set()
        waiting = asyncio.ensure_future(Exchange(cycle).wait_while_connected(asyncio.sleep(3600)))
        await asyncio.sleep(0)
        cycle.disconnected = True
        cycle.message_event.set()
        await waiting
        await Exchange(cycle).wait_while_connected(asyncio.sleep(3600))

    asyncio.run(asyncio.wait_for(run(), 30))


def test_a_slow_answer_is_whole_at_its_end(client, batch, pool):
    fault(client, "slow", {"seconds": 0.2})
    assert batch.get_pool(pool).current_os_version == OLD
    assert client.upgrade(NEW).status == 202
    assert len(client.nodes()) == 3


# --- answers that are wrong ---


def test_garbage(client, batch, pool):
    fault(client, "garbage", operation="Pool_Get", nth=1)
    fault(client, "garbage", {"body": "{"}, operation="Pool_Get", nth=1)
    first, second = client("GET", "/pools/p"), client("GET", "/pools/p")
    assert (first.status, first.body[:6], second.body) == (200, b"<html>", b"{")
    client.control("DELETE", "faults")
    fault(client, "garbage", operation="Pool_Get")
    with pytest.raises(BatchOsError):
        batch.get_pool(pool)
    assert client.audit("request")[-1]["status"] == 200


def test_a_state_that_nobody_has_heard_of(client, batch, pool):
    fault(client, "unknownState", {"fields": ["state", "allocationState"]}, operation="Pool_Get")
    fault(client, "unknownState", {"value": "dreaming"}, operation="ComputeNode_List")
    shown = client.pool()
    assert (shown["state"], shown["allocationState"]) == ("defragmenting", "defragmenting")
    assert {node["state"] for node in client.nodes()} == {"dreaming"}
    assert batch.get_pool(pool).state is PoolState.UNKNOWN


def test_the_state_alone_unless_told(client):
    client.put(paas())
    fault(client, "unknownState")
    shown = client.pool()
    assert (shown["state"], shown["allocationState"]) == ("defragmenting", "steady")
    assert [row["state"] for row in client("GET", "/pools").json["value"]] == ["defragmenting"]
    assert client.upgrade(OLD).code == "PoolVersionEqualsUpgradeVersion"


def test_more_and_less_than_is_known(client, batch, pool):
    fault(client, "extraFields", operation="Pool_Get")
    fault(client, "missingFields", {"names": ["currentOSVersion", "stateTransitionTime"]}, operation="ComputeNode_List")
    shown = client.pool()
    assert shown["futureProperty"]["values"][2] == {"deeper": True}
    assert "futureText" in shown["cloudServiceConfiguration"]
    assert all("stateTransitionTime" not in node and "id" in node for node in client.nodes())
    assert batch.get_pool(pool).current_os_version == OLD
    client.control("DELETE", "faults")
    fault(client, "missingFields", {"names": ["currentOSVersion"]})
    assert "currentOSVersion" not in client.pool()["cloudServiceConfiguration"]
    assert batch.get_pool(pool).current_os_version is None


def test_a_clock_that_is_wrong(client):
    client.put(paas())
    right = client("GET", "/pools/p")
    fault(client, "clockSkew", {"seconds": -3600})
    wrong = client("GET", "/pools/p")
    for name in ("creationTime", "lastModified", "allocationStateTransitionTime"):
        assert parse_iso(wrong.json[name]) - parse_iso(right.json[name]) == -3600 * 10_000_000
    assert wrong.json["eTag"] == right.json["eTag"]
    for name, least in (("Last-Modified", 3600), ("Date", 3590)):
        assert timedelta(seconds=least) <= parsedate_to_datetime(right[name]) - parsedate_to_datetime(wrong[name])


# --- reads that lag behind ---


def test_a_read_from_before_the_write_that_was_taken(client, batch, pool):
    before = client.pool()
    fault(client, "stale", {"changes": 1}, nth=1, operation="Pool_Get")
    assert client.upgrade(NEW).status == 202
    assert client.pool() == before
    assert client.pool()["state"] == "upgrading"
    client.control("DELETE", "faults")
    fault(client, "stale", {"changes": 1})
    assert batch.get_pool(pool).state is PoolState.UPGRADING  # nothing older is known than when the rule was given


def test_upgrading_is_shown_although_it_is_over(client):
    client.put(paas())
    client.upgrade(NEW)
    fault(client, "stale", {"changes": 1})
    client.advance(600)
    assert client.pool()["state"] == "upgrading"
    assert sorted({node["state"] for node in client.nodes()}) == ["idle", "starting"]
    assert [row["state"] for row in client("GET", "/pools").json["value"]] == ["upgrading"]
    client.control("DELETE", "faults")
    assert client.pool()["state"] == "active"


def test_steady_is_shown_although_a_removal_was_taken(client):
    client.put(paas())
    fault(client, "stale", {"changes": 1}, nth=1)
    answer = client("POST", "/pools/p/removenodes", {"nodeList": ["tvm-1"]})
    assert answer.status == 202
    assert client.pool()["allocationState"] == "steady"
    assert client.pool()["allocationState"] == "resizing"


def test_as_it_was_so_many_seconds_ago(client):
    client.put(paas())
    fault(client, "stale", {"seconds": 30})
    client.advance(10)
    client.upgrade(NEW)
    shown = []
    for _ in range(4):
        shown.append(client.pool()["state"])
        client.advance(10)
    assert shown == ["active", "active", "active", "upgrading"]


def test_a_pool_that_was_not_there_yet_is_not_found(client):
    client.put()
    fault(client, "stale", {"changes": 1}, pool="p", operation="Pool_Get")
    body = {"id": "p", "vmSize": "small", "cloudServiceConfiguration": {"osFamily": "5"}}
    assert client("POST", "/pools", body).status == 201
    assert client("GET", "/pools/p").code == "PoolNotFound"


def test_a_write_under_a_stale_etag_is_refused(client):
    client.put(paas())
    fault(client, "stale", {"changes": 1}, operation="Pool_Get")
    client("PATCH", "/pools/p", {"metadata": []})
    old = client("GET", "/pools/p")["ETag"]
    assert client.upgrade(NEW, headers={"If-Match": old}).code == "ConditionNotMet"


def test_a_task_deleted_since_is_in_no_view(client):
    client.put(paas(), jobs=[job("sleep 500")])
    fault(client, "stale", {"changes": 1}, operation="ComputeNode_List")
    client("DELETE", "/jobs/j/tasks/t1")
    assert [node["state"] for node in client.nodes()] == ["running", "idle", "idle"]
    assert [node["runningTasksCount"] for node in client.nodes()] == [0, 0, 0]


def test_nothing_is_kept_where_nothing_is_stale_and_never_too_much(world):
    load(world, {"pools": [paas()]})
    faults = Faults(world)
    faults.add({"effect": {"kind": "dropBefore"}})
    world.pool("p").props["metadata"] = []
    world.touch(world.pool("p"))
    pass_time(world, 1)
    assert not world.history._views
    rule = faults.add({"effect": {"kind": "stale", "changes": 1}})
    for _ in range(history.MAX_CHANGES + 50):
        world.touch(world.pool("p"))
        world.history.record(world)
    assert len(world.history._views["p"]) == history.MAX_CHANGES + 1
    faults.remove(rule.id)
    assert not world.history._views


def test_requests_of_many_clients_are_hit_one_by_one(client):
    client.put(paas())
    fault(client, "status", {"status": 500}, nth=3, operation="Pool_Get")
    seen = []
    threads = [threading.Thread(target=lambda: seen.append(client("GET", "/pools/p").status)) for _ in range(6)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted(seen) == [200] * 5 + [500]
