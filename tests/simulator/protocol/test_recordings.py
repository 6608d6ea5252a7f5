"""Golden traffic: what was recorded of the real service, replayed against the simulator.

A file of ``recordings/`` has the pool, the request and what came: status, reason phrase, headers by their exact names
in any order, the body, and what the next GET showed. Capitals stand for what differs each time (``MEANING``); a reason
of null was not recorded. Of R3 and R4 status, code, values and texts are published;
headers and envelope are those of R1.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from batch_os_provider.simulator.world.clock import http_date
from tests.simulator.raw_client import Client

FOLDER = Path(__file__).with_name("recordings")
RECORDINGS = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.json"))}
MEANING = {
    "GUID": r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    "DATE": r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) \d{4} [\d:]{8} GMT",
    "TIME": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{1,7}Z",
    "ETAG": "0x8[0-9A-F]{14}",
    "LENGTH": r"\d+",
    "TEXT": "[^\n]+",
}
LATER = {"X-Content-Type-Options"}
"""Came between 2016 and 2017, whatever the API version."""
OURS = {"Connection"}
"""This test closes each connection."""


def assert_like(seen: Any, recorded: Any, endpoint: str, where: str) -> None:
    """The same shape and the same texts, except values that are different each time."""
    if isinstance(recorded, dict):
        assert set(seen) == set(recorded), where
        for name, value in recorded.items():
            assert_like(seen[name], value, endpoint, f"{where}.{name}")
    elif isinstance(recorded, list):
        assert len(seen) == len(recorded), where
        for place, value in enumerate(recorded):
            assert_like(seen[place], value, endpoint, f"{where}[{place}]")
    elif isinstance(recorded, str):
        pattern = re.escape(recorded.replace("ENDPOINT", endpoint))
        for word, meaning in MEANING.items():
            pattern = re.sub(rf"\b{word}\b", lambda _, meaning=meaning: meaning, pattern)
        assert re.fullmatch(pattern, seen), f"{where}: {seen!r} is not {recorded!r}"
    else:
        assert seen == recorded, where


def seed(client: Client, pool: dict[str, Any]) -> None:
    client.put(
        {
            "id": "p",
            "state": pool.get("state", "active"),
            "cloudServiceConfiguration": {"osFamily": pool["family"], "currentOSVersion": pool["current"]},
            "nodes": [{"id": f"tvm-{place}"} for place in range(pool["nodes"])],
        }
    )


@pytest.mark.parametrize("name", RECORDINGS)
def test_the_simulator_answers_as_the_service_did(client: Client, name: str) -> None:
    pool, request, response, after = (RECORDINGS[name][part] for part in ("pool", "request", "response", "after"))
    seed(client, pool)
    answer = client(
        request["method"],
        request["path"],
        request.get("body"),
        query=request["query"],
        headers=request.get("headers"),
    )
    assert answer.status == response["status"]
    assert response["reason"] in (None, answer.reason)
    names = [header for header, _ in answer.headers]
    assert len(names) == len(set(names))
    came = dict(answer.headers)
    assert set(came) - OURS - set(response["headers"]) <= LATER
    assert_like({n: v for n, v in came.items() if n in response["headers"]}, response["headers"], at(client), "headers")
    if response["body"] is None:
        assert answer.body == b"0\r\n\r\n"
        assert answer["Last-Modified"] == http_date(client.simulator.world.now)
    else:
        assert_like(answer.json, response["body"], at(client), "body")
        assert int(answer["Content-Length"]) == len(answer.body)
        # One id, in the header and in the text.
        assert f"\nRequestId:{answer['request-id']}\n" in answer.json["message"]["value"]
    version = request["query"].partition("&")[0]
    shown = client("GET", "/pools/p", query=version)
    configuration = shown.json["cloudServiceConfiguration"]
    assert shown.json["state"] == after["state"]
    assert (configuration["targetOSVersion"], configuration["currentOSVersion"]) == (after["target"], after["current"])
    assert (shown.json["allocationState"], shown["ETag"]) == ("steady", shown.json["eTag"])
    if response["status"] == 202:
        assert shown["ETag"] == answer["ETag"]


def at(client: Client) -> str:
    return client.simulator.endpoint


def test_all_recordings_are_there() -> None:
    assert set(RECORDINGS) == {"R1", *(f"R2{letter}" for letter in "abcdef"), "R3", "R4"}


def test_no_later_look_shows_the_warts_undone(client: Client) -> None:
    """R2 a and b are one pool: back to active, eTag and lastModified are those of the POST."""
    seed(client, RECORDINGS["R2a"]["pool"])
    request = RECORDINGS["R2a"]["request"]
    created = client.pool()["creationTime"]
    answer = client("POST", request["path"], request["body"], query=request["query"])
    client.advance(95)
    shown = client("GET", "/pools/p", query=request["query"])
    assert (shown.json["state"], shown.json["stateTransitionTime"]) == ("active", created)
    assert (shown["ETag"], shown["Last-Modified"]) == (answer["ETag"], answer["Last-Modified"])
