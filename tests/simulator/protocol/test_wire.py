"""Answers byte for byte: what was recorded, and what clients insist on."""

from __future__ import annotations

import asyncio
import socket
from email.utils import formatdate, parsedate_to_datetime

import pytest
from uvicorn.server import ServerState

from batch_os_provider.simulator.app import build
from batch_os_provider.simulator.data_plane.exchange import BatchProtocol
from batch_os_provider.simulator.server import bind, make_server
from batch_os_provider.simulator.world.clock import VirtualClock
from batch_os_provider.simulator.world.world import World
from tests.simulator.raw_client import LAST, NEWEST
from tests.simulator.seeds import NEW, OLD, job, paas, vm


def test_a_pool_may_be_deleted_while_it_upgrades(client):
    """As recorded (in no detail)."""
    client.put(paas(nodes=0))
    client.upgrade(NEW)
    assert client("DELETE", "/pools/p").status == 202


# --- headers ---


def test_spelling_of_headers_on_the_wire(client):
    client.put(paas())
    answer = client("GET", "/pools/p", headers={"client-request-id": "x", "return-client-request-id": "true"})
    assert {name for name, _ in answer.headers} == {
        *("ETag", "Last-Modified", "Server", "Strict-Transport-Security", "X-Content-Type-Options", "Date"),
        *("DataServiceVersion", "request-id", "client-request-id", "Content-Type", "Content-Length", "Connection"),
    }
    assert answer["client-request-id"] == "x"
    assert abs(parsedate_to_datetime(answer["Date"]).timestamp() - parsedate_to_datetime(formatdate()).timestamp()) < 5


@pytest.mark.parametrize(
    ("asked", "echoed"), [("true", True), ("True", True), ("false", False), ("[object]", False), (None, False)]
)
def test_the_client_request_id_comes_back_on_demand_only(client, asked, echoed):
    answer = client("GET", "/pools", headers={"client-request-id": "abc", "return-client-request-id": asked})
    assert ("client-request-id" in answer) is echoed


def test_unknown_request_headers_are_never_refused(client):
    assert (
        client("GET", "/pools", headers={"accept-language": "en", "X-Odd": "1", "x-ms-client-request-id": "2"}).status
        == 200
    )


def test_head(client):
    client.put(paas())
    found, missing = client("HEAD", "/pools/p"), client("HEAD", "/pools/q")
    assert (found.status, found.body, found["ETag"]) == (200, b"", client.pool()["eTag"])
    assert (missing.status, missing.body) == (404, b"")


def test_an_answer_keeps_the_connection_for_the_next_request(client):
    """Two pipelined requests on one connection, the second asking to close."""
    from tests.simulator.raw_client import exchange  # noqa: PLC0415 - only here

    received = exchange(
        client.simulator.endpoint,
        b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\nGET /nothing/else HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    )
    assert received.count(b"HTTP/1.1 400 The requested URI") == 2


# --- what is refused ---


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/", 400, "InvalidUri"),
        ("GET", "/nothing", 400, "InvalidUri"),
        ("GET", "/pools/p/nothing", 400, "InvalidUri"),
        ("GET", "/pools/", 400, "InvalidUri"),
        ("POST", "/pools/p/nodes/n/upgradeos", 400, "InvalidUri"),
        ("GET", "/pools/p/upgradeos", 405, "UnsupportedHttpVerb"),
        ("PUT", "/pools", 405, "UnsupportedHttpVerb"),
        ("GET", "/pools/q", 404, "PoolNotFound"),
        ("GET", "/pools/p/nodes/q", 404, "NodeNotFound"),
        ("GET", "/jobs/q", 404, "JobNotFound"),
        ("GET", "/jobs/j/tasks/q", 404, "TaskNotFound"),
        ("DELETE", "/pools/q", 404, "PoolNotFound"),
        ("POST", "/pools/q/stopresize", 404, "PoolNotFound"),
        ("POST", "/pools/p/stopresize", 409, "OperationInvalidForCurrentState"),
        ("POST", "/pools/p/evaluateautoscale", 501, "NotImplemented"),
        ("POST", "/pools/q/removenodes", 404, "PoolNotFound"),
        ("POST", "/pools/p/nodes/n/reimage", 501, "NotImplemented"),
        ("GET", "/pools/p/nodes/n/files/a/b%2Fc", 501, "NotImplemented"),
        ("GET", "/certificates(thumbprintAlgorithm=sha1,thumbprint=ab)", 501, "NotImplemented"),
        ("GET", "/nodeagentskus", 501, "NotImplemented"),
        ("GET", "/supportedimages", 400, "InvalidUri"),
    ],
)
def test_paths_and_verbs(client, method, path, status, code):
    client.put(paas(), jobs=[job()])
    answer = client(method, path)
    assert (answer.status, answer.code) == (status, code)
    assert answer.reason == answer.json["message"]["value"].split("\n")[0]


def test_an_operation_that_is_not_built_is_named(client):
    assert "ComputeNode_Reimage" in client("POST", "/pools/p/nodes/n/reimage", {}).json["message"]["value"]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("", "MissingRequiredQueryParameter"),
        ("api-version=", "MissingRequiredQueryParameter"),
        ("api-version=2018-08-01", "UnsupportedRequestVersion"),
        (f"api-version={LAST}&colour=red", "UnsupportedQueryParameter"),
        (f"api-version={LAST}&timeout=soon", "InvalidQueryParameterValue"),
        (f"api-version={LAST}&timeout=0", "OutOfRangeQueryParameterValue"),
        (f"api-version={LAST}&maxresults=1001", "InvalidQueryParameterValue"),
        (f"api-version={LAST}&maxresults=few", "InvalidQueryParameterValue"),
        (f"api-version={LAST}&$filter=colour%20eq%20'red'", "InvalidQueryParameterValue"),
        (f"api-version={LAST}&$filter=state%20lt%20'x'", "InvalidQueryParameterValue"),
        (f"api-version={LAST}&$select=colour", "InvalidQueryParameterValue"),
        (f"api-version={LAST}&$expand=nodes", "InvalidQueryParameterValue"),
        (f"api-version={LAST}&$skiptoken=%21", "InvalidQueryParameterValue"),
    ],
)
def test_queries(client, query, code):
    client.put(paas())
    answer = client("GET", "/pools", query=query)
    assert (answer.status, answer.code) == (400, code)


@pytest.mark.parametrize("query", ["timeout=30", "timeOut=30", "TIMEOUT=5&$expand=stats", "%24expand=stats"])
def test_queries_that_clients_do_send(client, query):
    client.put(paas())
    assert client("GET", "/pools", query=f"api-version={LAST}&{query}").status == 200


@pytest.mark.parametrize(
    ("body", "code", "values"),
    [
        (b"", "InvalidRequestBody", {}),
        (b"{", "InvalidRequestBody", {}),
        (b"\xff\xfe", "InvalidRequestBody", {}),
        ([], "InvalidRequestBody", {}),
        ({}, "MissingRequiredProperty", {"PropertyName": "targetOSVersion"}),
        ({"targetOSVersion": None}, "MissingRequiredProperty", {"PropertyName": "targetOSVersion"}),
        ({"targetOSVersion": 5}, "InvalidPropertyValue", {"PropertyName": "targetOSVersion", "PropertyValue": "5"}),
        ({"targetOSVersion": ""}, "InvalidPropertyValue", {"PropertyName": "targetOSVersion"}),
        ({"targetOSVersion": NEW, "colour": 1}, "UnsupportedProperty", {"PropertyName": "colour"}),
        ({"osVersion": NEW}, "UnsupportedProperty", {"PropertyName": "osVersion"}),
    ],
)
def test_bodies_of_an_upgrade(client, body, code, values):
    client.put(paas())
    answer = client("POST", "/pools/p/upgradeos", body)
    assert (answer.status, answer.code) == (400, code)
    assert values.items() <= answer.values.items()
    assert client.pool()["state"] == "active"


POOL = {"id": "n", "vmSize": "small", "cloudServiceConfiguration": {"osFamily": "5"}}


@pytest.mark.parametrize(
    ("version", "change", "code"),
    [
        (LAST, {"vmSize": None}, "MissingRequiredProperty"),
        (LAST, {"cloudServiceConfiguration": None}, "MissingRequiredProperty"),
        (LAST, {"cloudServiceConfiguration": {}}, "MissingRequiredProperty"),
        (LAST, {"cloudServiceConfiguration": {"osFamily": "5", "osVersion": "*"}}, "UnsupportedProperty"),
        (LAST, {"id": "no good"}, "InvalidPropertyValue"),
        (LAST, {"targetDedicatedNodes": -1}, "InvalidPropertyValue"),
        (LAST, {"targetDedicatedNodes": True}, "InvalidPropertyValue"),
        (LAST, {"resizeTimeout": "PT1M"}, "InvalidPropertyValue"),
        (LAST, {"resizeTimeout": "soon"}, "InvalidPropertyValue"),
        (LAST, {"targetDedicated": 1}, "UnsupportedProperty"),
        (LAST, {"taskSlotsPerNode": 1}, "UnsupportedProperty"),
        ("2016-07-01.3.1", {"targetDedicatedNodes": 1}, "UnsupportedProperty"),
        (
            "2018-12-01.8.0",
            {"cloudServiceConfiguration": {"osFamily": "5", "targetOSVersion": "*"}},
            "UnsupportedProperty",
        ),
        (NEWEST, {}, "UnsupportedProperty"),
        (LAST, {"virtualMachineConfiguration": vm()["virtualMachineConfiguration"]}, "InvalidPropertyValue"),
        (LAST, {"id": "P"}, "PoolExists"),
    ],
)
def test_bodies_of_a_new_pool(client, version, change, code):
    client.put(paas())
    answer = client("POST", "/pools", {**POOL, **change}, query={"api-version": version})
    assert answer.code == code
    assert client("GET", "/pools/n").status == 404


def test_a_new_pool(client):
    answer = client("POST", "/pools", {**POOL, "targetDedicatedNodes": 2, "maxTasksPerNode": 4, "odata.type": "x"})
    assert (answer.status, answer.reason) == (201, "Created")
    assert answer["DataServiceId"] == answer["Location"] == f"{client.simulator.endpoint}/pools/n"
    shown = client.pool("n")
    assert shown["allocationState"] == "resizing"
    assert (shown["targetDedicatedNodes"], shown["currentDedicatedNodes"]) == (2, 0)
    assert (shown["maxTasksPerNode"], shown["url"]) == (4, f"{client.simulator.endpoint}/pools/n")
    client.advance(200)
    assert [node["state"] for node in client.nodes("n")] == ["idle", "idle"]


def test_a_head_that_is_too_large(client):
    client.put(paas())
    answer = client("GET", "/pools/p", headers={"x-large": "x" * 17_000})
    assert (answer.status, answer.code) == (400, "InvalidHeaderValue")
    assert client("GET", "/pools/p").status == 200


def test_a_head_that_never_ends_is_cut_off(client):
    host, port = client.simulator.endpoint.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall(b"GET /pools HTTP/1.1\r\nHost: x\r\nx-endless: ")
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            connection.sendall(b"x" * 64 * 1024 * 1024)
    assert client("GET", "/pools").status == 200


def test_lengths(client):
    client.put(paas(), jobs=[job()])
    assert client.upgrade(NEW, headers={"Content-Length": None}).code == "MissingContentLengthHeader"
    huge = client("POST", "/jobs/j/addtaskcollection", {"value": [{"id": "t", "commandLine": "x" * 1_100_000}]})
    assert (huge.status, huge.code) == (413, "RequestBodyTooLarge")
    many = [{"id": f"t{n}", "commandLine": "x"} for n in range(101)]
    assert client("POST", "/jobs/j/addtaskcollection", {"value": many}).status == 413
    assert client.upgrade(NEW, headers={"Content-Type": "text/plain"}).code == "InvalidHeaderValue"
    assert client.upgrade(NEW, headers={"Content-Type": None}).status == 202


# --- conditions ---


def conditions(client):
    tag = client.pool()["eTag"]
    now = client("GET", "/pools/p")["Last-Modified"]
    past = "Mon, 01 Jan 2018 00:00:00 GMT"
    return {
        "tag": tag,
        "quoted": f'"{tag}"',
        "weak": f'W/"{tag}"',
        "now": now,
        "past": past,
        "other": "0x8D5000000000000",
    }


@pytest.mark.parametrize(
    ("header", "value", "met"),
    [
        ("If-Match", "tag", True),
        ("If-Match", "quoted", True),
        ("If-Match", "weak", True),
        ("If-Match", "*", True),
        ("If-Match", "other", False),
        ("if-none-match", "quoted", False),
        ("if-none-match", "*", False),
        ("if-none-match", "other", True),
        ("If-Modified-Since", "past", True),
        ("If-Modified-Since", "now", False),
        ("If-Unmodified-Since", "past", False),
        ("If-Unmodified-Since", "now", True),
    ],
)
def test_conditional_headers(client, header, value, met):
    client.put(paas())
    headers = {header: conditions(client).get(value, value)}
    read = client("GET", "/pools/p", headers=headers)
    assert (read.status, read.body == b"") == ((200, False) if met else (304, True))
    write = client.upgrade(NEW, headers=headers)
    assert write.status == (202 if met else 412)
    if not met:
        assert write.code == "ConditionNotMet"
        assert client.pool()["state"] == "active"


def test_two_conditional_headers_or_a_bad_date(client):
    client.put(paas())
    both = {"If-Match": "*", "If-None-Match": "0x1"}
    assert client.upgrade(NEW, headers=both).code == "MultipleConditionHeadersNotSupported"
    assert client.upgrade(NEW, headers={"If-Modified-Since": "yesterday"}).code == "InvalidHeaderValue"


def test_an_old_etag_does_not_upgrade(client):
    client.put(paas())
    old = client.pool()["eTag"]
    assert client("PATCH", "/pools/p", {"metadata": [{"name": "a", "value": "b"}]}).status == 200
    assert client.upgrade(NEW, headers={"If-Match": old}).status == 412


# --- the operations ---


def test_patch_and_update_properties(client):
    client.put(paas(displayName="d"))
    first = client.pool()
    client("PATCH", "/pools/p", {"startTask": {"commandLine": "x"}, "metadata": [{"name": "a", "value": "b"}]})
    patched = client.pool()
    assert (patched["startTask"]["commandLine"], patched["metadata"]) == ("x", [{"name": "a", "value": "b"}])
    assert patched["eTag"] != first["eTag"]
    bodies = {"certificateReferences": [], "applicationPackageReferences": [], "metadata": []}
    assert client("POST", "/pools/p/updateproperties", {"metadata": []}).code == "MissingRequiredProperty"
    assert client("POST", "/pools/p/updateproperties", bodies).status == 204
    updated = client.pool()
    assert "startTask" not in updated
    assert "metadata" not in updated
    assert updated["displayName"] == "d"


def test_a_vm_pool_takes_a_new_image_only_while_it_is_empty(client):
    machine = vm(version="1.2.3")["virtualMachineConfiguration"]
    image = {key: machine["imageReference"][key] for key in ("publisher", "offer", "sku", "version")}
    client.put(vm("full"), vm("empty", nodes=0), images=[image])
    query = {"api-version": NEWEST}
    full = client("PATCH", "/pools/full", {"virtualMachineConfiguration": machine}, query=query)
    empty = client("PATCH", "/pools/empty", {"virtualMachineConfiguration": machine}, query=query)
    assert (full.status, empty.status) == (409, 200)
    client("POST", "/pools/empty/resize", {"targetDedicatedNodes": 1}, query=query)
    client.advance(200)
    node = client("GET", "/pools/empty/nodes", query=query).json["value"][0]
    assert node["virtualMachineInfo"]["imageReference"]["exactVersion"] == "1.2.3"


def test_resize_and_stop(client):
    client.put(paas(nodes=1))
    assert client("POST", "/pools/p/resize", {}).code == "MissingRequiredProperty"
    assert client("POST", "/pools/p/resize", {"targetDedicatedNodes": 9}).status == 202
    assert client("POST", "/pools/p/resize", {"targetDedicatedNodes": 8}).code == "PoolBeingResized"
    assert client.upgrade(NEW).code == "PoolBeingResized"
    assert client("POST", "/pools/p/stopresize").status == 202
    assert client.pool()["allocationState"] == "stopping"
    client.advance(11)
    shown = client.pool()
    assert (shown["allocationState"], shown["resizeErrors"][0]["code"]) == ("steady", "ResizeStopped")


def test_node_counts(client):
    client.put(paas(nodes=3), paas("q", nodes=0), jobs=[job("sleep 99")])
    client.upgrade(NEW)
    listed = client("GET", "/nodecounts").json["value"]
    assert [row["poolId"] for row in listed] == ["p", "q"]
    dedicated = listed[0]["dedicated"]
    assert (dedicated["reimaging"], dedicated["running"], dedicated["idle"], dedicated["total"]) == (1, 1, 1, 3)
    only = client("GET", "/nodecounts", query=f"api-version={LAST}&$filter=poolId%20eq%20'Q'").json["value"]
    assert [row["poolId"] for row in only] == ["q"]
    assert client("GET", "/nodecounts", query={"api-version": "2017-09-01.6.0"}).code == "InvalidUri"


def test_jobs_and_tasks(client):
    client.put(paas(nodes=1))
    assert client("POST", "/jobs", {"id": "j", "poolInfo": {"poolId": "p"}}).status == 201
    assert client("POST", "/jobs", {"id": "J", "poolInfo": {"poolId": "p"}}).code == "JobExists"
    assert client("POST", "/jobs/j/tasks", {"id": "a", "commandLine": "sleep 30"}).status == 201
    assert client("POST", "/jobs/j/tasks", {"id": "a", "commandLine": "x"}).code == "TaskExists"
    both = client(
        "POST",
        "/jobs/j/addtaskcollection",
        {"value": [{"id": "b", "commandLine": "sleep 30"}, {"id": "A", "commandLine": "x"}]},
    )
    assert [(row["taskId"], row["status"]) for row in both.json["value"]] == [("b", "Success"), ("A", "clienterror")]
    assert both.json["value"][1]["error"]["code"] == "TaskExists"
    running = client("GET", "/jobs/j/tasks", query=f"api-version={LAST}&$filter=state+eq+'running'").json["value"]
    assert [task["id"] for task in running] == ["a"]
    assert running[0]["nodeInfo"]["nodeId"] == "tvm-1"
    assert client("DELETE", "/jobs/j/tasks/a").status == 200
    client.advance(31)
    done = client("GET", "/jobs/j/tasks/b").json
    assert (done["state"], done["executionInfo"]["exitCode"], done["executionInfo"]["result"]) == (
        "completed",
        0,
        "success",
    )
    assert [found["id"] for found in client("GET", "/jobs").json["value"]] == ["j"]
    assert client("DELETE", "/jobs/j").status == 202
    assert client("DELETE", "/jobs/j").code == "JobBeingDeleted"
    client.advance(60)
    assert client("GET", "/jobs/j").status == 404


def test_a_pool_is_gone_after_its_deletion(client):
    client.put(paas())
    client("DELETE", "/pools/P")
    assert client.pool()["state"] == "deleting"
    assert client.upgrade(NEW).code == "PoolBeingDeleted"
    assert client("POST", "/pools", {**POOL, "id": "p"}).code == "PoolBeingDeleted"
    client.advance(30)
    assert client("GET", "/pools/p").code == "PoolNotFound"


# --- the shape follows the version ---


def test_before_low_priority_nodes(client):
    client.put(paas(nodes=3))
    shown = client.pool(**{"api-version": "2016-07-01.3.1"})
    assert (shown["currentDedicated"], shown["targetDedicated"]) == (3, 3)
    assert not {"currentDedicatedNodes", "currentLowPriorityNodes"} & set(shown)
    node = client("GET", "/pools/p/nodes", query={"api-version": "2016-07-01.3.1"}).json["value"][0]
    assert "isDedicated" not in node


@pytest.mark.parametrize("version", ["2018-12-01.8.0", "2020-09-01.12.0", "2024-02-01.19.0"])
def test_after_upgradeos(client, version):
    client.put(paas())
    client.upgrade(NEW)
    shown = client.pool(**{"api-version": version})
    assert shown["state"] == "active"
    assert shown["cloudServiceConfiguration"] == {"osFamily": "5", "osVersion": NEW}
    assert ("taskSlotsPerNode" in shown) is (version > "2020-09")
    assert ("maxTasksPerNode" in shown) is (version < "2020-09")


def test_newer_node_states_have_older_names(client):
    states = ["upgradingos", "deallocated", "preempted", "idle"]
    client.put(paas() | {"nodes": [{"id": f"n{place}", "state": state} for place, state in enumerate(states)]})

    def seen(version):
        return [node["state"] for node in client("GET", "/pools/p/nodes", query={"api-version": version}).json["value"]]

    assert seen(NEWEST) == states
    assert seen(LAST) == ["rebooting", "offline", "preempted", "idle"]
    assert seen("2016-07-01.3.1") == ["rebooting", "offline", "unusable", "idle"]
    counts = client("GET", "/nodecounts", query={"api-version": NEWEST}).json["value"][0]["dedicated"]
    assert (counts["upgradingOS"], counts["deallocated"], counts["total"]) == (1, 1, 4)
    assert "upgradingOS" not in client("GET", "/nodecounts").json["value"][0]["dedicated"]


def test_vm_pools(client):
    images = [
        {"publisher": "canonical", "offer": "ubuntu", "sku": "22_04-lts", "version": version}
        for version in ("22.04.9", "22.04.10", "22.04.2")
    ]
    client.put(vm(), images=images)
    shown = client.pool("v", **{"api-version": NEWEST})
    assert shown["virtualMachineConfiguration"]["imageReference"]["version"] == "latest"
    node = client("GET", "/pools/v/nodes", query={"api-version": NEWEST}).json["value"][0]
    assert node["virtualMachineInfo"]["imageReference"]["exactVersion"] == "latest"
    client.control("PUT", "unknowns", {"exactVersionOfLatest": "number"})
    node = client("GET", "/pools/v/nodes", query={"api-version": NEWEST}).json["value"][0]
    assert node["virtualMachineInfo"]["imageReference"]["exactVersion"] == "22.04.10"
    assert (client.upgrade(NEW, "v").status, client.upgrade(NEW, "v").code) == (409, "OperationNotValidOnPool")
    assert client.upgrade(OLD, "v", query={"api-version": NEWEST}).code == "InvalidUri"


def test_the_account_url_is_not_the_clients_to_change(client):
    """No proxy stands before the simulator: what looks like one's header changes no link."""
    client.put(paas())
    plain = client("GET", "/pools/p").json["url"]
    answer = client("GET", "/pools/p", headers={"X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.1"})
    assert answer.json["url"] == plain


def test_an_answer_in_parts_waits_for_no_acknowledgement():
    """A control answer is two writes; asyncio itself sets TCP_NODELAY only on sockets that it knows to be TCP."""
    config = make_server(build(World(VirtualClock(speed=0)), {}, lambda: None), lambda: None).config
    config.load()
    taken: list[int] = []

    async def serve() -> None:
        connected = asyncio.Event()

        class Noticed(BatchProtocol):
            def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
                super().connection_made(transport)
                taken.append(transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
                connected.set()

        def protocol() -> BatchProtocol:
            return Noticed(config, ServerState(), {})

        async with await asyncio.get_running_loop().create_server(protocol, sock=bind("127.0.0.1", 0)) as server:
            _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            await connected.wait()
            writer.close()

    asyncio.run(serve())
    assert taken == [1]
