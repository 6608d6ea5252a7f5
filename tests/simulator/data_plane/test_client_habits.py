"""Habits of official clients in other languages, on the wire: the simulator must accept what they always send.

Signatures are in ``test_auth``, pages in ``test_lists``, headers of answers in
``test_recordings`` and ``test_wire``.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import pytest

from batch_os_provider.simulator.state.load import StateError, load
from tests.simulator.raw_client import FULL_TYPE, LAST, NEWEST, Answer, Client
from tests.simulator.seeds import NEW, job, paas, vm, windows

TYPED = "application/json; charset=utf-8"
CREATED = {
    "id": "made",
    "vmSize": "small",
    "virtualMachineConfiguration": {
        "imageReference": {"publisher": "canonical", "offer": "ubuntu", "sku": "22_04-lts", "version": "latest"},
        "nodeAgentSKUId": "batch.node.ubuntu 22.04",
    },
}
ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,7})?Z")


@pytest.mark.parametrize("length", ["0", None])
@pytest.mark.parametrize(("method", "status"), [("DELETE", 202), ("HEAD", 200), ("GET", 200)])
def test_a_length_of_nothing_is_signed_as_it_is_sent(client: Client, method: str, status: int, length: str) -> None:
    client.put(paas())
    assert client(method, "/pools/p", headers={"Content-Length": length}).status == status


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/pools", 200), ("DELETE", "/pools/p", 202)])
def test_a_content_type_without_content_is_signed_and_taken(
    client: Client, method: str, path: str, status: int
) -> None:
    client.put(paas())
    assert client(method, path, headers={"Content-Type": TYPED}).status == status


@pytest.mark.parametrize("kind", [FULL_TYPE, TYPED, "application/json", "application/json;odata=minimalmetadata"])
def test_bodies_come_with_any_json_type(client: Client, kind: str) -> None:
    client.put(paas())
    assert client.upgrade(NEW, headers={"Content-Type": kind}).status == 202


@pytest.mark.parametrize(
    ("path", "most"), [("/pools", 1000), ("/pools/p/nodes", 1000), ("/jobs", 1000), ("/nodecounts", 10)]
)
def test_a_timeout_and_the_most_results_are_always_sent(client: Client, path: str, most: int) -> None:
    client.put(paas())
    assert client("GET", path, query=f"api-version={LAST}&maxresults={most}&timeout=30").status == 200
    assert client("GET", path, query=f"timeOut=30&api-version={LAST}").status == 200


def test_one_request_id_is_used_for_all_pages(client: Client) -> None:
    client.put(*(paas(f"p{place}", nodes=0) for place in range(3)))
    given = "b7a0e9a4-53d6-4a5f-9b8e-0c27fbd2b5ce"
    headers: dict[str, str | None] = {
        "client-request-id": given,
        "return-client-request-id": "true",
        "x-ms-client-request-id": "another",
    }
    first = client("GET", "/pools", query=f"api-version={LAST}&maxresults=1", headers=headers)
    parts = urlsplit(first.json["odata.nextLink"])
    second = client.send("GET", f"{parts.path}?{parts.query}", None, headers)
    assert first["client-request-id"] == second["client-request-id"] == given
    assert first["request-id"] != second["request-id"]


def test_a_next_link_survives_a_client_that_decodes_it_twice(client: Client) -> None:
    client.put(*(paas(f"p{place}", nodes=0) for place in range(3)))
    link = client("GET", "/pools", query=f"api-version={LAST}&maxresults=1").json["odata.nextLink"]
    token = link.partition("$skiptoken=")[2].partition("&")[0]
    assert token
    assert unquote(unquote(token)) == token
    assert "+" not in token


def test_the_rows_of_a_task_collection(client: Client) -> None:
    client.put(paas(), jobs=[job("sleep 1")])
    body = {"value": [{"id": "new", "commandLine": "x"}, {"id": "t1", "commandLine": "x"}]}
    new, present = client("POST", "/jobs/j/addtaskcollection", body).json["value"]
    assert set(new) == {"status", "taskId", "eTag", "lastModified", "location"}
    assert (new["status"], new["taskId"]) == ("Success", "new")
    assert new["location"] == f"{client.simulator.endpoint}/jobs/j/tasks/new"
    assert (present["status"], present["error"]["code"]) == ("clienterror", "TaskExists")
    assert set(present["error"]["message"]) == {"lang", "value"}


def test_a_client_that_halves_a_chunk_that_is_too_large_gets_through(client: Client) -> None:
    client.put(paas(), jobs=[job()])
    tasks = [{"id": f"t{place}", "commandLine": "x" * 12_000} for place in range(100)]
    whole = client("POST", "/jobs/j/addtaskcollection", {"value": tasks})
    assert (whole.status, whole.code) == (413, "RequestBodyTooLarge")
    for half in (tasks[:50], tasks[50:]):
        assert client("POST", "/jobs/j/addtaskcollection", {"value": half}).status == 200


@pytest.mark.parametrize("version", ["2016-02-01.3.0", LAST, "2023-05-01.17.0", NEWEST])
def test_all_times_are_iso_with_z_and_at_most_seven_decimals(client: Client, version: str) -> None:
    client.put(paas(), vm("v"), windows("w"), jobs=[job("sleep 1", "exit 1")])
    client.upgrade(NEW)
    client.advance(500)
    times: list[tuple[str, str]] = []
    for path in ("/pools", "/pools/p/nodes", "/pools/v/nodes", "/jobs", "/jobs/j/tasks"):
        text = client("GET", path, query={"api-version": version}).body.decode()
        times += re.findall(r'"\w*[tT]ime": ?"([^"]*)"|"lastModified": ?"([^"]*)"', text)
    times = [pair for pair in times if not pair[0].startswith("P")]  # maxWallClockTime and retentionTime
    assert times
    assert all(ISO.fullmatch(either or other) for either, other in times), times


def test_a_user_agent_may_tell_of_the_machine_and_is_not_kept(client: Client) -> None:
    client("GET", "/pools", headers={"User-Agent": "BatchSDK/1.0 MacAddressHash/0123456789abcdef"})
    assert "0123456789abcdef" not in str(client.audit())


@pytest.mark.parametrize(
    "text",
    [
        "startswith(id,'f')",
        "(state eq 'active') or (allocationState eq 'resizing')",
        "creationTime gt DateTime'2018-01-01T00:00:00Z' and not (id eq 'sixth')",
    ],
)
@pytest.mark.parametrize("blank", ["%20", "+"])
def test_filters_that_portals_and_programs_send(client: Client, text: str, blank: str) -> None:
    client.put(paas("fifth", nodes=0))
    found = client.send("GET", f"/pools?api-version={LAST}&%24filter={quote(text).replace('%20', blank)}", None)
    assert [pool["id"] for pool in found.json["value"]] == ["fifth"]


def test_a_task_with_all_that_clients_can_say_of_one(client: Client) -> None:
    client.put(paas(), jobs=[job()])
    said = {
        "containerSettings": {"imageName": "ubuntu"},
        "exitConditions": {"exitCodes": [{"code": 3, "exitOptions": {"jobAction": "none"}}]},
        "multiInstanceSettings": {"coordinationCommandLine": "x", "numberOfInstances": 2},
        "authenticationTokenSettings": {"access": ["job"]},
    }
    assert client("POST", "/jobs/j/tasks", {"id": "rich", "commandLine": "x", **said}).status == 201
    seen = client("GET", "/jobs/j/tasks/rich").json
    assert {name: seen[name] for name in said} == said


def test_a_job_with_tasks_of_its_own(client: Client) -> None:
    said = {
        "jobManagerTask": {"id": "manager", "commandLine": "x"},
        "jobPreparationTask": {"commandLine": "x"},
        "jobReleaseTask": {"commandLine": "x"},
        "onTaskFailure": "performexitoptionsjobaction",
    }
    assert client("POST", "/jobs", {"id": "own", "poolInfo": {"poolId": "p"}, **said}).status == 201
    seen = client("GET", "/jobs/own").json
    assert {name: seen[name] for name in said} == said


@pytest.mark.parametrize("wanted", [{"taskIds": ["1"]}, {"taskIdRanges": [{"start": 1, "end": 1}]}])
@pytest.mark.parametrize(("command", "state"), [("exit 0", "running"), ("exit 1", "active")])
def test_a_task_waits_for_those_it_depends_on(client: Client, wanted: dict[str, Any], command: str, state: str) -> None:
    client.put(paas(), jobs=[{**job(), "usesTaskDependencies": True}])
    for task in (
        {"id": "after", "commandLine": "sleep 9999", "dependsOn": wanted},
        {"id": "1", "commandLine": command},
    ):
        assert client("POST", "/jobs/j/tasks", task).status == 201
    assert client("GET", "/jobs/j/tasks/after").json["state"] == "active"
    client.advance(60)
    assert client("GET", "/jobs/j/tasks/1").json["state"] == "completed"
    assert client("GET", "/jobs/j/tasks/after").json["state"] == state


def test_dependencies_must_be_ones_and_the_job_must_use_them(client: Client) -> None:
    client.put(paas(), jobs=[job(), {**job(name="k"), "usesTaskDependencies": True}])

    def add(where: str, wanted: object) -> Answer:
        return client("POST", f"/jobs/{where}/tasks", {"id": "t", "commandLine": "x", "dependsOn": wanted})

    assert (add("j", {"taskIds": ["a"]}).status, add("j", {"taskIds": ["a"]}).code) == (
        409,
        "TaskDependenciesNotSpecifiedOnJob",
    )
    for wrong in ([], {"taskIds": "a"}, {"taskIds": [1]}, {"taskIdRanges": [{"start": "1"}]}, {"taskIdRanges": [7]}):
        assert add("k", wrong).code == "InvalidPropertyValue"
    assert add("k", {"taskIdRanges": [{"start": 0, "end": 2**31 - 1}]}).status == 201  # not walked


def test_a_pool_tells_how_its_nodes_are_spoken_to(client: Client) -> None:
    version = "2022-10-01.16.0"
    body = {**CREATED, "targetNodeCommunicationMode": "simplified"}
    assert client("POST", "/pools", body, query={"api-version": version}).status == 201
    seen = client("GET", "/pools/made", query={"api-version": version}).json
    assert seen["targetNodeCommunicationMode"] == "simplified"
    assert "targetNodeCommunicationMode" not in client("GET", "/pools/made", query={"api-version": NEWEST}).json


def test_certificates_are_there_until_the_version_before_the_newest(client: Client) -> None:
    query = {"api-version": "2024-07-01.20.0"}
    client.put(vm("v"))
    body: dict[str, Any] = {"certificateReferences": [], "applicationPackageReferences": [], "metadata": []}
    assert client("POST", "/pools/v/updateproperties", body, query=query).status == 204
    refused = client("POST", "/pools/v/updateproperties", body, query={"api-version": NEWEST})
    assert (refused.code, refused.values) == ("UnsupportedProperty", {"PropertyName": "certificateReferences"})


@pytest.mark.parametrize("word", ["taskCompletion", "taskcompletion", "TaskCompletion"])
def test_words_come_in_any_case(client: Client, word: str) -> None:
    client.put(paas(), jobs=[job("sleep 600")])
    body = {"nodeList": ["tvm-1"], "nodeDeallocationOption": word}
    assert client("POST", "/pools/p/removenodes", body).status == 202
    client.advance(60)
    assert client("GET", "/jobs/j/tasks/t1").json["state"] == "running"


def test_a_seed_with_impossible_dependencies_is_refused_with_a_sentence(client: Client) -> None:
    wrong = {**job("x"), "tasks": [{"id": "t", "dependsOn": {"taskIds": [1]}}]}
    with pytest.raises(StateError, match=r"task j/t: dependsOn.taskIds: The value must be a list of ids"):
        load(client.simulator.world, {"pools": [paas()], "jobs": [wrong]})
