"""Whatever comes back from Batch: a value or an error of ours, soon, and in bounded memory."""

from __future__ import annotations

import itertools
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any

import pytest
import requests
from azure.core.pipeline.transport import RequestsTransport
from hypothesis import example, given
from hypothesis import strategies as st

from batch_os_provider.batch.address import PoolRef
from batch_os_provider.batch.client import BatchClient
from batch_os_provider.batch.connection import CONNECT_TIMEOUT, READ_TIMEOUT
from batch_os_provider.batch.supported_images import judge
from batch_os_provider.batch.transport import MAX_ANSWER, bounded
from batch_os_provider.batch.vm_pool import Marker, VmPool
from batch_os_provider.batch.vm_target import ImageVersion
from batch_os_provider.errors import BatchOsError, PermanentError, TransientError
from batch_os_provider.rollout.context import RolloutContext
from batch_os_provider.rollout.image_renewal.renewal import ImageRenewal, read_view
from batch_os_provider.rollout.os_upgrade.upgrade import OsUpgrade
from batch_os_provider.rollout.progress import Reporter
from batch_os_provider.schema.declared import Declared, DeclaredImage, ImagePolicy, Policy
from batch_os_provider.simulator.world.world import DEFAULT_ACCOUNT, DEFAULT_KEY
from tests.inprocess.machine import RENDER, brief
from tests.support.inprocess import ENDPOINT, response_of
from tests.support.simulator import NEW, OLD, OTHER
from tests.unit.rollout.doubles import VirtualWaiter
from tests.unit.rollout.stage import Listener

ENVIRON = {"AZURE_BATCH_ACCOUNT": DEFAULT_ACCOUNT, "AZURE_BATCH_ACCESS_KEY": DEFAULT_KEY}


class Answers(requests.adapters.BaseAdapter):
    """A service that answers with these bytes, one after the other, and with the last of them for ever."""

    def __init__(self, *answers: bytes) -> None:
        super().__init__()
        self._answers = itertools.chain(answers, itertools.repeat(answers[-1]))
        self.asked = 0

    def send(self, request: requests.PreparedRequest, *_args: Any, **_kwargs: Any) -> requests.Response:
        self.asked += 1
        return response_of(request, next(self._answers))


def client(adapter: Answers) -> BatchClient:
    session = requests.Session()
    session.trust_env = False
    session.mount("http://", adapter)
    transport = RequestsTransport(
        session=session, session_owner=False, connection_timeout=CONNECT_TIMEOUT, read_timeout=READ_TIMEOUT
    )
    return BatchClient(ENDPOINT, ENVIRON, transport)


def vm(client: BatchClient) -> VmPool:
    """A pool that somebody has read before."""
    del client
    return VmPool.from_json(RENDER, {"virtualMachineConfiguration": {"imageReference": {}}}, etag="0x1")


JAMMY = {"imageReference": {"publisher": "canonical", "offer": "o", "sku": "s"}, "nodeAgentSKUId": "a"}
NOW = datetime(2026, 11, 28, tzinfo=UTC)
CALLS: dict[str, Callable[[BatchClient], object]] = {
    "get_pool": lambda c: c.get_pool(RENDER),
    "list_nodes": lambda c: c.list_nodes(RENDER),
    "list_pools": lambda c: c.list_pools(),
    "list_vm_pools": lambda c: c.list_vm_pools(),
    "get_vm_pool": lambda c: c.get_vm_pool(RENDER),
    "list_vm_nodes": lambda c: c.list_vm_nodes(RENDER),
    "list_supported_images": lambda c: judge(JAMMY, c.list_supported_images(), NOW),
    "newest_image_version": lambda c: c.newest_image_version(RENDER),
    "read_view": lambda c: read_view(c, RENDER),
    "upgrade_os": lambda c: c.upgrade_os(RENDER, NEW, "0x1"),
    "put_mark": lambda c: c.set_marker(vm(c), Marker(2, 1, "")),
    "resize": lambda c: c.resize(vm(c), 3),
    "remove_nodes": lambda c: c.remove_nodes(vm(c), ("tvm-1",), 300.0),
    "repin": lambda c: c.repin(vm(c), "1.2.3"),
}

words = st.one_of(st.text(max_size=12), st.sampled_from(("", "²", "\ud800", "9" * 400, "\r\n", "x\ny")))
scalars = st.one_of(
    st.none(), st.booleans(), words, st.integers(-5, 5), st.sampled_from((10**400, 1e308, float("nan"), float("inf")))
)
times = st.sampled_from(
    ("2024-06-01T12:00:00Z", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "2024-W01-1T00Z", "P1D", "24:00")
)
versions = st.sampled_from((OLD, NEW, OTHER, "*", "20348.2402.240402", "latest", "1.2.", "²"))
anything = st.recursive(
    st.one_of(scalars, times, versions),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(words, inner, max_size=3)),
    max_leaves=6,
)
NAMES = (
    *("id", "state", "stateTransitionTime", "allocationState", "allocationStateTransitionTime", "eTag", "errors"),
    *("cloudServiceConfiguration", "virtualMachineConfiguration", "currentOSVersion", "targetOSVersion", "osFamily"),
    *("imageReference", "version", "exactVersion", "virtualMachineInfo", "lastBootTime", "allocationTime", "metadata"),
    *("enableAutoScale", "upgradePolicy", "automaticOSUpgradePolicy", "resizeErrors", "startTaskInfo", "failureInfo"),
    *("runningTasksCount", "targetDedicatedNodes", "currentDedicatedNodes", "isDedicated", "name", "value", "result"),
    *("publisher", "offer", "sku", "nodeAgentSKUId", "batchSupportEndOfLife", "capabilities", "verificationType"),
    *("code", "message", "values", "key", "extensions", "containerConfiguration", "containerRegistries"),
)
shaped = st.recursive(
    st.one_of(anything, st.sampled_from(("active", "upgrading", "steady", "resizing", "idle", "batch-os", '{"v":1}'))),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(NAMES), inner, max_size=6)),
    max_leaves=20,
)
pools = st.fixed_dictionaries(
    {},
    optional={
        "id": anything,
        "state": st.one_of(st.sampled_from(("active", "upgrading", "deleting")), anything),
        "allocationState": st.one_of(st.sampled_from(("steady", "resizing")), anything),
        "cloudServiceConfiguration": shaped,
        "virtualMachineConfiguration": shaped,
        "metadata": st.one_of(shaped, st.lists(st.fixed_dictionaries({"name": st.just("batch-os"), "value": shaped}))),
        "targetDedicatedNodes": scalars,
        "stateTransitionTime": times,
        "resizeErrors": shaped,
        "upgradePolicy": shaped,
    },
)
lists = st.fixed_dictionaries(
    {"value": st.one_of(shaped, st.lists(shaped, max_size=4))},
    optional={
        "odata.nextLink": st.one_of(
            anything, st.sampled_from((f"{ENDPOINT}/pools?page=2", "http://elsewhere/pools", f"{ENDPOINT}.evil/x"))
        )
    },
)
envelopes = st.fixed_dictionaries({}, optional={"code": shaped, "message": shaped, "values": shaped})
bodies = st.one_of(
    st.builds(lambda body: json.dumps(body).encode(), st.one_of(pools, lists, envelopes, shaped)),
    st.binary(max_size=30),
    st.sampled_from(
        (b"", b"{", b"[" * 100_000, b'{"a":' * 3000 + b"1" + b"}" * 3000, b"\xff\xfe{\x00}\x00", b"1" * 5000)
    ),
)
header_lines = st.lists(
    st.one_of(
        st.sampled_from(
            (
                *(b"Retry-After: 5", b"Retry-After: \xb2", b"Retry-After: " + b"9" * 400, b"Retry-After: -1"),
                *(b"Retry-After: Thu, 01 Jan 1970 00:00:00 GMT", b"Retry-After: Mon, 01 Jan 0001 00:00:00 +2359"),
                *(b"Retry-After: Fri, 31 Dec 9999 23:59:59 -2359", b"Retry-After: soon", b"Retry-After: 1e999"),
                *(b"Date: Mon, 01 Jan 0001 00:00:00 +2359", b"Date: nonsense", b"Date: 99999999999999999999 Jan 1"),
                *(b"Last-Modified: Mon, 99 Foo 2024", b"Last-Modified: Mon, 01 Jan 2024 00:00:00 +9999999999"),
                *(b'ETag: "', b"ETag: \xff", b'ETag: W/"0x1"', b"request-id: \xe9\xb2", b"Content-Encoding: gzip"),
                *(b"Content-Encoding: br", b"Content-Length: 3", b"Content-Length: x", b"Content-Length: -3"),
                *(b"Content-Type: application/json; charset=utf-16", b"Content-Type: text/html; charset=nonsense"),
                *(b"Content-Type: application/xml", b"Location: http://elsewhere/", b"Transfer-Encoding: chunked"),
                *(b"Content-Type: application/json", b"no colon", b": no name", b" folded", b"X: " + b"y" * 70_000),
            )
        ),
        st.binary(max_size=20),
    ),
    max_size=4,
)
statuses = st.one_of(
    st.sampled_from((b"200", b"200", b"202", b"400", b"401", b"403", b"404", b"409", b"412", b"429", b"500", b"503")),
    st.sampled_from(
        (b"100", b"101", b"204", b"206", b"301", b"302", b"304", b"307", b"418", b"600", b"999", b"000", b"-1", b"x")
    ),
)
answers = st.one_of(
    st.builds(
        lambda status, lines, body: b"\r\n".join((b"HTTP/1.1 " + status + b" Such", *lines)) + b"\r\n\r\n" + body,
        statuses,
        header_lines,
        bodies,
    ),
    st.builds(lambda body: b"HTTP/1.1 200 OK\r\n\r\n" + body, bodies),
    st.binary(max_size=60),
    st.sampled_from((b"", b"HTTP/1.1", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}", b"<html>no</html>" * 50)),
)


def ok(body: object, *lines: bytes) -> bytes:
    """A good answer with this body."""
    return b"\r\n".join((b"HTTP/1.1 200 OK", *lines)) + b"\r\n\r\n" + json.dumps(body).encode()


def failure_of(call: Callable[[], object]) -> BatchOsError | None:
    """The error of ours that a call ends in; any other is the test's."""
    try:
        call()
    except BatchOsError as error:
        return error
    return None


def is_told(error: BatchOsError | None) -> None:
    """An error says where, and what to do next, and keeps the key to itself."""
    if error is not None:
        text = str(error)
        assert ENDPOINT in text, text
        assert error.next_step, text
        assert DEFAULT_KEY not in text


@brief(120)
@example(name="upgrade_os", received=[b"HTTP/1.1 503 Busy\r\nRetry-After: \xb2\r\n\r\n"])
@example(name="get_pool", received=[b"HTTP/1.1 503 Busy\r\nRetry-After: " + b"9" * 400 + b"\r\n\r\n"])
@example(name="get_pool", received=[b'HTTP/1.1 409 Conflict\r\n\r\n{"values": ["steady"], "code": "x"}'])
@example(name="resize", received=[b"HTTP/1.1 204 Such\r\nContent-Length: -3\r\nContent-Length: -3\r\n\r\n{}"])
@example(name="get_pool", received=[b"HTTP/1.1 200 OK\r\n\r\n" + b"[" * 100_000])
@given(name=st.sampled_from(sorted(CALLS)), received=st.lists(answers, min_size=1, max_size=3))
def test_every_answer_is_a_value_or_an_error_of_ours(name: str, received: list[bytes]) -> None:
    service = Answers(*received)
    is_told(failure_of(lambda: CALLS[name](client(service))))
    assert service.asked <= 1001, "no list is read for ever"


@brief(50)
@example(received=[b"HTTP/1.1 503 Busy\r\nRetry-After: " + b"9" * 400 + b"\r\n\r\n"], vm_pool=False)
@given(received=st.lists(st.one_of(answers, st.builds(ok, pools)), min_size=1, max_size=6), vm_pool=st.booleans())
def test_a_rollout_ends_in_its_own_words_whatever_it_is_told(received: list[bytes], vm_pool: bool) -> None:
    waiter, service, voice = VirtualWaiter(), Answers(*received), Listener()
    reporter = Reporter(voice)
    rollout: Any = OsUpgrade(
        Declared(RENDER, NEW, Policy(), 300.0), RolloutContext(client(service), waiter, reporter, lambda: 0.5)
    )
    if vm_pool:
        goal = DeclaredImage(RENDER, ImageVersion.parse("20348.2461.240510"), ImagePolicy("surge", 1), 300.0, 300.0)
        rollout = ImageRenewal(goal, RolloutContext(client(service), waiter, reporter, lambda: 0.5))
    is_told(failure_of(rollout.run))
    assert waiter.now() <= 300.0, "it ends at its deadline"
    assert all("\n" not in text for _, text in voice.said), voice.said


def test_an_answer_that_cannot_be_decompressed_is_closed_with_what_is_left_of_it() -> None:
    junk = b"no gzip " * 20_000
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(junk)
    response = response_of(requests.PreparedRequest(), head + junk)
    with pytest.raises(requests.exceptions.ContentDecodingError):
        _ = response.content
    assert response.raw.closed


def test_pages_without_end_come_to_an_end() -> None:
    service = Answers(ok({"value": [], "odata.nextLink": f"{ENDPOINT}/pools/render/nodes?again"}))
    with pytest.raises(PermanentError, match="more than 1000 pages"):
        client(service).list_nodes(RENDER)
    assert service.asked == 1000


# --- a body that never ends, on a socket ---


@contextmanager
def endless(head: bytes, piece: bytes, pause: float = 0.0) -> Iterator[str]:
    """A server that says ``head`` and then ``piece`` for as long as anybody listens."""

    over = threading.Event()

    def serve() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with connection:
                connection.recv(65536)
                try:
                    connection.sendall(head)
                    while not over.wait(pause):
                        connection.sendall(piece)
                except OSError:
                    continue

    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = threading.Thread(target=serve, daemon=True)
        server.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            over.set()
            with suppress(OSError):  # Windows has no shutdown of a listening socket; there its close ends the wait
                listening.shutdown(socket.SHUT_RDWR)
            listening.close()
            server.join(20)


@pytest.mark.parametrize("status", ["200 OK", "503 Busy"])
@pytest.mark.parametrize(
    ("header", "piece"),
    [
        ("Transfer-Encoding: chunked", b"10000\r\n" + b" " * 65536 + b"\r\n"),
        ("Content-Length: 99999999999", b" " * 65536),
        ("Connection: close", b" " * 65536),
    ],
)
def test_a_body_that_never_ends_is_given_up(status: str, header: str, piece: bytes) -> None:
    with endless(f"HTTP/1.1 {status}\r\n{header}\r\n\r\n".encode(), piece) as endpoint:
        transport = bounded(CONNECT_TIMEOUT, READ_TIMEOUT)
        with transport, pytest.raises(TransientError, match=f"more than {MAX_ANSWER >> 20} MB") as caught:
            BatchClient(endpoint, ENVIRON, transport).get_pool(PoolRef(endpoint, "render"))
        assert caught.value.next_step


def test_a_body_that_trickles_is_given_up() -> None:
    with endless(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", b" ", 0.05) as endpoint:
        transport = bounded(CONNECT_TIMEOUT, READ_TIMEOUT, seconds=0.2)
        slow = BatchClient(endpoint, ENVIRON, transport)
        with transport, pytest.raises(TransientError, match=r"took more than 0\.2 s"):
            slow.get_pool(PoolRef(endpoint, "render"))


def test_a_small_body_that_unpacks_to_a_huge_one_is_given_up() -> None:
    import gzip  # noqa: PLC0415 - here alone

    packed = gzip.compress(b" " * (MAX_ANSWER + 1))
    lines = (b"HTTP/1.1 200 OK", b"Content-Encoding: gzip", f"Content-Length: {len(packed)}".encode(), b"", packed)
    with pytest.raises(TransientError, match="more than"):
        client(Answers(b"\r\n".join(lines))).get_pool(RENDER)
