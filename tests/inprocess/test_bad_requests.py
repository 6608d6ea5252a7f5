"""Whatever is sent to the simulator: a Batch error, a sentence, or a closed connection, and it goes on serving.

Most requests are put to the application in process, past the parser and past the signature, since what breaks is
behind both. The others are bytes on a socket.
"""

from __future__ import annotations

import json
import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from batch_os_provider.simulator.app import build
from batch_os_provider.simulator.data_plane.data_plane import DataPlane
from batch_os_provider.simulator.protocol.api_versions import ORDER
from batch_os_provider.simulator.protocol.operations import OPERATIONS
from batch_os_provider.simulator.server import Simulator, running
from batch_os_provider.simulator.world.unknowns import ROWS
from batch_os_provider.simulator.world.world import World
from tests.inprocess.machine import brief
from tests.support.simulator import LEGACY, MOVED, NEWEST, job, paas_pool, vm_pool

TOKEN = "a-token-for-tests"
SEED = {
    "principals": [{"name": "tester", "token": TOKEN, "readOnly": False}],
    "images": [MOVED],
    "pools": [paas_pool(), vm_pool("machines")],
    "jobs": [job("render", 60)],
}
NAMES = ("render", "machines", "job-render", "t0", "tvm-001", "no-such-thing")

words = st.one_of(st.sampled_from((*NAMES, "", "*", "²", "\ud800", "0" * 5000, "../..", "%")), st.text(max_size=20))
numbers = st.one_of(
    st.integers(-3, 5),
    st.sampled_from((2**31, -(2**63), 10**400, 1e308, float("inf"), float("nan"), 0.1, True)),
)
scalars = st.one_of(st.none(), st.booleans(), numbers, words)
anything = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(words, inner, max_size=3)),
    max_leaves=8,
)
deep = st.builds(lambda depth: b'{"a":' * depth, st.sampled_from((10, 900, 100_000)))


def fitting(*names: str) -> st.SearchStrategy[dict[str, Any]]:
    """Objects whose names are known, so that their values are looked at."""
    return st.dictionaries(st.sampled_from(names), anything, max_size=4)


BODIES = fitting(
    *("id", "vmSize", "targetDedicatedNodes", "targetLowPriorityNodes", "targetOSVersion", "resizeTimeout", "nodeList"),
    *("nodeDeallocationOption", "enableAutoScale", "autoScaleFormula", "autoScaleEvaluationInterval", "startTask"),
    *("cloudServiceConfiguration", "virtualMachineConfiguration", "metadata", "upgradePolicy", "taskSlotsPerNode"),
    *("poolInfo", "commandLine", "constraints", "value", "priority", "requiredSlots", "applicationPackageReferences"),
)
payloads = st.one_of(
    st.builds(lambda body: json.dumps(body).encode(), st.one_of(BODIES, anything)), st.binary(max_size=40), deep
)


class Caller:
    """Calls the application without a server: ASGI in, status and body out. An exception that nobody caught is ours."""

    def __init__(self) -> None:
        self.app = build(World(), SEED, lambda: None)
        for route in self.app.routes:
            plane = getattr(route, "app", None)
            if isinstance(plane, DataPlane):
                plane._pause = _at_once  # a delay that was asked for is not what is tested here

    def __call__(
        self, method: str, path: str, query: str = "", headers: dict[str, str] | None = None, body: bytes = b""
    ) -> tuple[int, bytes]:
        """One request; the status is 0 where the connection was closed."""
        exchange = _Exchange()
        given = {"host": "127.0.0.1", "content-length": str(len(body)), **(headers or {})}
        scope = {
            "type": "http",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode("utf-8", "replace"),
            "root_path": "",
            "query_string": query.encode("utf-8", "replace"),
            "headers": [(k.encode("latin-1", "replace"), v.encode("latin-1", "replace")) for k, v in given.items()],
            "extensions": {"batch.exchange": exchange},
        }
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        _finish(self.app(scope, receive, send))  # type: ignore[arg-type]  # plain functions are ASGI enough
        if not sent:
            return exchange.status, exchange.body
        return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])


class _Exchange:
    keep_alive = True
    answer = b""

    def write(self, answer: bytes, *, close: bool) -> None:
        del close
        self.answer += answer

    def drop(self) -> None:
        """Nothing is sent."""

    @property
    def status(self) -> int:
        return int(self.answer[9:12]) if self.answer else 0

    @property
    def body(self) -> bytes:
        return self.answer.partition(b"\r\n\r\n")[2]


async def _at_once(_seconds: float) -> None:
    """Time does not matter here."""


def _finish(handler: Any) -> None:
    """Nothing here waits for anything, so a coroutine runs to its end at once."""
    with pytest.raises(StopIteration):
        handler.send(None)


def is_refusal(status: int, body: bytes) -> None:
    """An answer is Batch's own, or the control endpoints'."""
    assert status != 500, body
    if status >= 400:
        told = json.loads(body)
        assert told.get("code") or told.get("error") or told.get("message"), told


signed = {"authorization": f"Bearer {TOKEN}"}
queries = st.lists(
    st.tuples(
        st.sampled_from(
            ("api-version", "$filter", "$select", "$expand", "maxresults", "$skiptoken", "timeout", "force")
        ),
        st.one_of(
            words,
            st.sampled_from((*ORDER, LEGACY, NEWEST)),
            st.sampled_from(("id eq 'render'", "state eq 'a' and id ne ''", "((id eq '')", "id,state", "id/" * 50)),
            st.builds(str, numbers),
        ),
    ),
    max_size=3,
)
headers = st.dictionaries(
    st.sampled_from(
        (
            *("if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "content-type", "ocp-date"),
            *("client-request-id", "return-client-request-id", "authorization", "connection", "accept", "date"),
        )
    ),
    st.one_of(
        words,
        st.sampled_from(
            (
                *("Mon, 01 Jan 0001 00:00:00 +2359", "Mon, 31 Feb 99999 25:61:61 GMT", "SharedKey batchsim:x"),
                *("Thu, 01 Jan 1970 00:00:00 -9999", "SharedKey :", "Bearer ", "Bearer ÿ", "application/json"),
                *("true", "close"),
            )
        ),
    ),
    max_size=3,
)


@brief(120)
@given(
    operation=st.sampled_from(OPERATIONS),
    method=st.sampled_from(("", "", "", "GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "BREW")),
    names=st.lists(words, min_size=3, max_size=3),
    version=st.sampled_from((LEGACY, NEWEST, "2019-06-01.9.0", "")),
    query=queries,
    sent=headers,
    body=payloads,
)
def test_batch_answers_anything(
    operation: Any, method: str, names: list[str], version: str, query: Any, sent: dict[str, str], body: bytes
) -> None:
    call = Caller()
    path = operation.path
    for part, name in zip(
        ("poolId", "jobId", "nodeId", "taskId", "userName"), [names[0], *names, *names], strict=False
    ):
        path = path.replace("{" + part + "}", quote(name, safe="", errors="replace"))
    pairs = [("api-version", version), *query] if version else query
    text = "&".join(f"{name}={quote(value, safe='', errors='replace')}" for name, value in pairs)
    status, answer = call(method or operation.method, path, text, {**signed, **sent}, body)
    if (method or operation.method) != "HEAD" and status not in (0, 304):
        is_refusal(status, answer)
    assert call("GET", "/pools", f"api-version={LEGACY}", signed)[0] == 200


known_state = st.dictionaries(
    st.sampled_from(("version", "virtual", "account", "principals", "images", "quota", "pools", "jobs", "x")),
    st.one_of(
        anything,
        st.lists(
            st.builds(
                lambda base, changes: {**base, **changes},
                st.sampled_from((paas_pool(), vm_pool("machines"), job("render", 60), MOVED, SEED["principals"][0])),
                fitting(
                    *(
                        "id",
                        "state",
                        "nodes",
                        "tasks",
                        "stateTransitionTime",
                        "allocationState",
                        "targetDedicatedNodes",
                    ),
                    *("cloudServiceConfiguration", "virtualMachineConfiguration", "simulator", "eTag", "metadata"),
                    *("versions", "version", "token", "expires", "creationTime", "poolInfo", "startTask", "vmSize"),
                ),
            ),
            max_size=2,
        ),
    ),
    max_size=4,
)
a_fault = st.fixed_dictionaries(
    {},
    optional={
        "id": scalars,
        "match": st.one_of(anything, fitting("operation", "pool", "nth", "probability", "seed")),
        "effect": st.one_of(
            anything,
            st.builds(
                lambda kind, more: {**more, "kind": kind},
                st.sampled_from(("status", "delay", "dropBefore", "dropAfter")),
                fitting("status", "code", "retryAfter", "message", "seconds"),
            ),
        ),
    },
)
switches = st.one_of(
    anything,
    st.dictionaries(
        st.sampled_from([row.name for row in ROWS]),
        st.one_of(anything, st.builds(lambda value: {"value": value}, anything)),
    ),
)
control = st.one_of(
    st.tuples(st.just("PUT"), st.just("/_simulator/state"), known_state),
    st.tuples(st.just("POST"), st.just("/_simulator/faults"), st.one_of(a_fault, st.lists(a_fault, max_size=3))),
    st.tuples(st.just("POST"), st.just("/_simulator/clock"), st.one_of(anything, fitting("advance", "speed"))),
    st.tuples(st.just("PUT"), st.just("/_simulator/unknowns"), switches),
    st.tuples(
        st.sampled_from(("GET", "DELETE", "PATCH", "POST")),
        st.sampled_from(("/_simulator/faults/x", "/_simulator/reset", "/_simulator/x", "/_simulator/identity/token")),
        anything,
    ),
)


@brief(120)
@example(call=("GET", "/_simulator/audit", None), query="since=%C2%B2")
@given(call=control, query=st.builds(lambda text: f"since={quote(text, errors='replace')}", words))
def test_the_levers_refuse_nonsense_with_a_sentence(call: tuple[str, str, Any], query: str) -> None:
    caller, (method, path, body) = Caller(), call
    status, answer = caller(method, path, query, body=json.dumps(body).encode())
    is_refusal(status, answer)
    assert caller("POST", "/_simulator/clock", body=b'{"advance": 1000}')[0] == 200
    for what in ("state", "faults", "clock", "unknowns", "audit"):
        status, answer = caller("GET", f"/_simulator/{what}")
        assert status == 200, answer
    state = caller("GET", "/_simulator/state")[1]
    assert caller("PUT", "/_simulator/state", body=state)[0] == 200, "PUT takes what GET gives"
    for version, path in ((LEGACY, "/pools"), (NEWEST, "/pools"), (NEWEST, "/jobs"), (LEGACY, "/pools/render/nodes")):
        status, answer = caller("GET", path, f"api-version={version}", signed)
        assert status in (0, 200) or json.loads(answer)["code"], answer


@brief(50)
@given(body=st.one_of(st.binary(max_size=40), deep), path=st.sampled_from(("state", "faults", "clock", "unknowns")))
def test_the_levers_refuse_what_is_not_json(body: bytes, path: str) -> None:
    caller = Caller()
    status, answer = caller("POST" if path in ("faults", "clock") else "PUT", f"/_simulator/{path}", body=body)
    is_refusal(status, answer)


# --- bytes on a socket ---


class Records(logging.Handler):
    """What the server says when something was not handled."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.told: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.told.append(self.format(record))


@contextmanager
def serving() -> Iterator[tuple[Simulator, Records]]:
    records = Records()
    logging.getLogger("uvicorn.error").addHandler(records)
    try:
        with running(0, SEED) as simulator:
            yield simulator, records
    finally:
        logging.getLogger("uvicorn.error").removeHandler(records)


def talk(endpoint: str, *pieces: bytes) -> bytes:
    """Send pieces, say that no more will come, and read to the end: a server that does not close hangs this test."""
    where = urlsplit(endpoint)
    received = b""
    with socket.create_connection((where.hostname, where.port), timeout=20) as connection:
        try:
            for piece in pieces:
                connection.sendall(piece)
            connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it has closed already, and may have said why
        try:
            while chunk := connection.recv(65536):
                received += chunk
        except ConnectionResetError:
            pass
    return received


HEADS = (
    b"GET /pools?api-version=2018-08-01.7.0 HTTP/1.1",
    b"POST /pools/render/upgradeos?api-version=2018-08-01.7.0 HTTP/1.1",
    b"PUT /_simulator/state HTTP/1.1",
    b"GET /_simulator/clock HTTP/1.1",
    b"POST /pools HTTP/1.0",
    b"BREW / HTTP/9.9",
    b"GET http://[::1/ HTTP/1.1",
    b"GET \xff\xfe HTTP/1.1",
    b"get / http/1.1",
    b"CONNECT example.org:443 HTTP/1.1",
    b"PRI * HTTP/2.0",
)
LINES = (
    b"Host: x",
    b"Host: a\x00b",
    b"Content-Length: 5",
    b"Content-Length: -1",
    b"Content-Length: 99999999999999999999999",
    b"Content-Length: 2147483648",
    b"Content-Length: 1\r\nContent-Length: 2",
    b"Transfer-Encoding: chunked",
    b"Transfer-Encoding: gzip, chunked",
    b"Expect: 100-continue",
    b"Connection: close",
    b"Connection: upgrade\r\nUpgrade: websocket",
    b"Authorization: Bearer " + TOKEN.encode(),
    b"X: " + b"y" * 20_000,
    b" folded: line",
    b"no colon",
    b": no name",
)
ENDS = (
    b"\r\n\r\n",
    b"\n\n",
    b"\r\n",
    b"",
    b"\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"\r\n\r\nFFFFFFFFFFFFFFFFF\r\nx",
    b"\r\n\r\n{}",
)
lines = st.builds(
    lambda head, rows, end: b"\r\n".join((head, *rows)) + end,
    st.sampled_from(HEADS),
    st.lists(st.sampled_from(LINES), max_size=4),
    st.sampled_from(ENDS),
)
sendings = st.lists(st.one_of(lines, lines, lines, st.binary(max_size=60)), min_size=1, max_size=3)


def test_bytes_that_are_no_request_hurt_nobody() -> None:
    with serving() as (simulator, records):

        @brief(50)
        @given(pieces=sendings)
        def send(pieces: list[bytes]) -> None:
            answer = talk(simulator.endpoint, *pieces)
            assert b"HTTP/1.1 500" not in answer, answer
            assert not records.told, records.told
            assert b'"speed": 0' in talk(simulator.endpoint, b"GET /_simulator/clock HTTP/1.1\r\nHost: x\r\n\r\n")

        send()


def test_a_body_that_is_too_long_is_refused_and_a_short_one_is_not_waited_for() -> None:
    with serving() as (simulator, records):
        head = b"POST /pools/render/upgradeos?api-version=2018-08-01.7.0 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
        longer = talk(simulator.endpoint, head + b"Content-Length: 6000000\r\n\r\n", b"x" * 6_000_000)
        chunked = talk(simulator.endpoint, head + b"Transfer-Encoding: chunked\r\n\r\n", *[chunk] * 120, b"0\r\n\r\n")
        assert b"RequestBodyTooLarge" in longer
        assert b"MissingContentLengthHeader" in chunked
        assert talk(simulator.endpoint, head + b"Content-Length: 50\r\n\r\n{}") == b""
        assert not records.told
