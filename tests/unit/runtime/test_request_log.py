"""Pins the debug log: one JSON line per request, no secret by construction, and never the end of an upgrade."""

from __future__ import annotations

import io
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from batch_os_provider.errors import ServiceAnswer
from batch_os_provider.runtime import request_log

ENDPOINT = "https://acct.westeurope.batch.azure.com"


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "debug.log"
    monkeypatch.setenv(request_log.VARIABLE, str(path))
    return path


def entries(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_request_has_its_ids_and_timing(log: Path) -> None:
    answer = ServiceAnswer(409, "PoolBeingResized", "being resized", "guid-1", 5.0)
    sent, received = {"If-Match": "0x1"}, {"client-request-id": "guid-2", "ETag": "0x2", "Date": "today"}
    request_log.record("POST", ENDPOINT, "/pools/a/upgradeos", 0.1234, answer, sent=sent, received=received)
    (entry,) = entries(log)
    assert entry.pop("time").endswith("+00:00")
    assert entry.pop("pid") > 0
    assert entry == {
        "request": f"POST {ENDPOINT}/pools/a/upgradeos",
        "ms": 123,
        "If-Match": "0x1",
        "status": 409,
        "code": "PoolBeingResized",
        "message": "being resized",
        "request-id": "guid-1",
        "retry-after": 5.0,
        "client-request-id": "guid-2",
        "ETag": "0x2",
        "Date": "today",
    }


def test_no_header_but_the_named_ones_is_ever_written(log: Path) -> None:
    secrets = {"Authorization": "SharedKey acct:sig", "Cookie": "hunter2", "x-ms-token": "hunter2"}
    request_log.record("GET", ENDPOINT, "/pools/a", 0.1, ServiceAnswer(200), sent=secrets, received=secrets)
    text = log.read_text(encoding="utf-8")
    assert "SharedKey" not in text
    assert "hunter2" not in text
    assert set(entries(log)[0]) == {"time", "pid", "request", "ms", "status"}


def test_a_request_without_an_answer_and_a_next_page_are_written_too(log: Path) -> None:
    request_log.record("GET", ENDPOINT, f"{ENDPOINT}/pools/a/nodes?skip=1", 1.0, ServiceAnswer(message="reset"))
    request_log.record("GET", ENDPOINT, "/pools/a", 1.0, None)
    first, second = entries(log)
    assert first["request"] == f"GET {ENDPOINT}/pools/a/nodes?skip=1"
    assert first["message"] == "reset"
    assert "status" not in first
    assert second["request"] == f"GET {ENDPOINT}/pools/a"


def test_many_threads_write_whole_lines(log: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(request_log.note, [f"{n} " + "x" * 500 + "\n\udcff" for n in range(200)]))
    assert sorted(int(entry["note"].split()[0]) for entry in entries(log)) == list(range(200))


def test_without_the_variable_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for value in (None, ""):
        if value is None:
            monkeypatch.delenv(request_log.VARIABLE, raising=False)
        else:
            monkeypatch.setenv(request_log.VARIABLE, value)
        request_log.note("x")
    assert list(tmp_path.iterdir()) == []
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("kind", ["a directory", "a missing directory", "a name too long"])
def test_a_log_that_cannot_be_written_is_said_once_and_never_raises(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    where = {"a directory": "", "a missing directory": "no/such/log", "a name too long": "x" * 300}[kind]
    monkeypatch.setenv(request_log.VARIABLE, str(tmp_path / where))
    for _ in range(3):
        request_log.note("x")
        request_log.record("GET", ENDPOINT, "/pools/a", 0.1, None)
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert request_log.VARIABLE in said[0]
    assert str(tmp_path) in said[0]


def test_a_closed_stderr_on_top_of_it_does_not_raise_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(request_log.VARIABLE, str(tmp_path / "no" / "such" / "log"))
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stderr", closed)
    request_log.note("x")
