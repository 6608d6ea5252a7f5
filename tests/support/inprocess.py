"""The simulator, the real client and a rollout in one process, on one virtual clock.

Nothing between the rollout and the simulated account is replaced but the wire itself: the request that azure-core
has signed goes to the data plane as ASGI, and the bytes that the data plane writes come back through urllib3 and
requests, so that a broken answer breaks where it would on a socket. Time is the rollout's waiter: sleeping moves the
account's clock, a delayed or slow answer moves it too, and where no byte comes for the client's read time-out, it gives
up.
"""

from __future__ import annotations

import io
import re
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from http import client as http_client
from typing import Any, Literal, Protocol
from urllib.parse import urlsplit

import requests
import urllib3
from azure.core.pipeline.transport import RequestsTransport
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict

from batch_os_provider.batch.client import BatchClient
from batch_os_provider.batch.connection import CONNECT_TIMEOUT, READ_TIMEOUT
from batch_os_provider.batch.transport import BoundedAdapter
from batch_os_provider.simulator.data_plane.data_plane import DataPlane
from batch_os_provider.simulator.faults import actors
from batch_os_provider.simulator.faults.rules import Faults
from batch_os_provider.simulator.state.load import load
from batch_os_provider.simulator.world.clock import TICKS, VirtualClock, parse_iso
from batch_os_provider.simulator.world.model import Actor
from batch_os_provider.simulator.world.world import World

ENDPOINT = "http://127.0.0.1:8700"
BEGINNING = "2024-06-01T12:00:00Z"
LATENCY = 0.02
"""Virtual seconds that a call takes."""
_BOUNDED = BoundedAdapter()
_TIMELESS = HTTPAdapter()
"""Answers of an account need no alarm, which is a thread for each: no real time passes between their bytes."""

_PLAIN_HEAD = re.compile(rb"HTTP/1\.1 ([1-5]\d\d) ([\x21-\x7e ]*)((?:\r\n[\w-]+: [\x21-\x7e ]*)+)")

Moment = Literal["before", "after"]
Hook = Callable[[Moment, str, str], None]
"""Told before a request reaches the account and after its answer has left it: moment, method, path. It may raise."""


class Clock(Protocol):
    """What moves time: ``tests.unit.rollout.doubles.VirtualWaiter`` does."""

    def now(self) -> float:
        """Virtual seconds."""

    def spend(self, seconds: float) -> None:
        """Let a call take its time."""


class _Pause:
    """Suspends a handler until somebody lets the time pass."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def __await__(self) -> Any:
        yield self._seconds


async def _pause(seconds: float) -> None:
    await _Pause(seconds)


class _Exchange:
    """``simulator.server.Exchange`` without a connection: keeps what was written, and how it ended."""

    keep_alive = True

    def __init__(self) -> None:
        self.answer = b""
        self.broken: OSError | None = None

    def write(self, answer: bytes, *, close: bool) -> None:
        """Keep an answer; one that is cut short ends with the connection either way."""
        del close
        self.answer += answer

    def write_part(self, part: bytes) -> None:
        """Keep a part of an answer."""
        self.answer += part

    async def wait_while_connected(self, pause: Awaitable[None]) -> None:
        """Wait, also where the client has given up: nobody is held up by that in here."""
        await pause

    def drop(self) -> None:
        """End without an answer."""

    def reset(self) -> None:
        """Break the connection."""
        self.broken = ConnectionResetError(104, "Connection reset by peer")


class _Session(requests.Session):
    """Hands each request to the account as it is.

    A session's own work (cookies, redirects, the proxies of the environment) is a third of the processor time of a
    virtual request. The azure client uses none of it.
    """

    def __init__(self, account: Account) -> None:
        super().__init__()
        self._account = account

    def request(  # type: ignore[override]  # what the azure client passes
        self, method: str, url: str, *, headers: Mapping[str, str], data: Any, timeout: Any, stream: bool, **_: Any
    ) -> requests.Response:
        """Carry one request; its answer is read here unless it is streamed, as a session does it."""
        prepared = requests.PreparedRequest()
        prepared.method, prepared.url, prepared.body = method, url, data
        prepared.headers = CaseInsensitiveDict(headers)
        prepared.prepare_content_length(data)
        response = self._account.send(prepared, timeout=timeout)
        if not stream:
            _ = response.content
        return response


class Account:
    """A simulated account behind a ``requests`` session.

    Args:
        clock: moves time; the account's clock follows it.
        seed: the state to begin with.

    """

    def __init__(self, clock: Clock, seed: dict[str, Any]) -> None:
        self._clock = clock
        self.world = World(VirtualClock(parse_iso(BEGINNING), 1.0, lambda: int(clock.now() * TICKS)))
        load(self.world, {"durations": "short", **seed})
        # Most tests tell versions apart; those of moments turn this switch.
        self.world.unknowns.set({"exactVersionOfLatest": "number"})
        self.faults = Faults(self.world)
        self.hook: Hook = lambda _moment, _method, _path: None
        self._plane = DataPlane(self.world, self.faults, lambda: None, _pause, lambda: self.world.now)
        self._late: list[tuple[float, Coroutine[Any, Any, None]]] = []
        self._shown: int | None = None
        """How many changes the account had at its last request, if that was a read."""

    def client(self) -> BatchClient:
        """A client of the provider that is signed in to this account."""
        session = _Session(self)
        environ = {"AZURE_BATCH_ACCOUNT": self.world.account, "AZURE_BATCH_ACCESS_KEY": self.world.key}
        # The client hands its time-outs to a transport that it makes itself.
        transport = RequestsTransport(
            session=session, session_owner=False, connection_timeout=CONNECT_TIMEOUT, read_timeout=READ_TIMEOUT
        )
        return BatchClient(ENDPOINT, environ, transport)

    def actor(self, when: dict[str, Any], do: dict[str, Any], pool: str = "render") -> Actor:
        """Let somebody else do something to a pool."""
        self.world.advance()
        return actors.add(self.world, {"when": when, "pool": pool, "do": do})

    def catch_up(self) -> None:
        """Let everything happen that is due by now, requests included whose client has given up on them."""
        for due, handler in sorted(self._late, key=lambda late: late[0]):
            if due <= self._clock.now():
                self._late.remove((due, handler))
                if (more := _step(handler)) is not None:
                    self._late.append((due + more, handler))
        self.world.advance()

    def pass_quietly(self, longest: float) -> None:
        """Let time pass until there is something new to read, for so many seconds at the most."""
        end = self._clock.now() + longest
        self.catch_up()
        while self.world.changes == self._shown and (left := end - self._clock.now()) > 0:
            due = self.world.next_due()
            self._clock.spend(left if due is None else min(left, (due - self.world.clock.now()) / TICKS))
            self.catch_up()

    def send(self, request: requests.PreparedRequest, timeout: tuple[float, float]) -> requests.Response:
        """Carry one request to the account and its answer back."""
        method, where = str(request.method), urlsplit(str(request.url))
        self.catch_up()
        self.hook("before", method, where.path)
        exchange = _Exchange()
        self._answer(request, exchange, timeout[1])
        self._shown = self.world.changes if method == "GET" else None
        self.hook("after", method, where.path)
        if not exchange.answer:
            broken = exchange.broken or http_client.RemoteDisconnected("Remote end closed connection without response")
            raise requests.ConnectionError(urllib3.exceptions.ProtocolError("Connection aborted.", broken))
        if exchange.broken is None and (whole := plain_response(request, exchange.answer)) is not None:
            return whole
        return _response(request, _Wire(exchange.answer, exchange.broken), _TIMELESS)

    def _answer(self, request: requests.PreparedRequest, exchange: _Exchange, patience: float) -> None:
        handler = self._plane(_scope(request, exchange), _body_of(request), _no_send)
        self._clock.spend(LATENCY)
        waited, received = 0.0, 0
        while (seconds := _step(handler)) is not None:
            if len(exchange.answer) > received:
                waited, received = 0.0, len(exchange.answer)
            if waited + seconds > patience:
                self._late.append((self._clock.now() + seconds, handler))
                self._clock.spend(patience - waited)
                if not received:
                    raise requests.ReadTimeout(f"Read timed out. (read timeout={patience:g})")
                exchange.broken = TimeoutError("timed out")
                return
            self._clock.spend(seconds)
            waited += seconds


def _step(handler: Coroutine[Any, Any, None]) -> float | None:
    """Let a handler go on to its next pause, whose length is returned, or to its end."""
    try:
        return float(handler.send(None))  # type: ignore[arg-type]  # what a _Pause yields
    except StopIteration:
        return None


async def _no_send(_message: object) -> None:
    raise AssertionError("the data plane answers through its exchange")


def _scope(request: requests.PreparedRequest, exchange: _Exchange) -> dict[str, Any]:
    where = urlsplit(str(request.url))
    headers = [(name.lower().encode(), str(value).encode("latin-1")) for name, value in request.headers.items()]
    return {
        "type": "http",
        "method": request.method,
        "scheme": where.scheme,
        "raw_path": where.path.encode(),
        "query_string": where.query.encode(),
        "headers": [*headers, (b"host", where.netloc.encode())],
        "extensions": {"batch.exchange": exchange},
    }


def _body_of(request: requests.PreparedRequest) -> Callable[[], Coroutine[Any, Any, dict[str, Any]]]:
    body = request.body or b""
    payload = body.encode() if isinstance(body, str) else body

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": payload, "more_body": False}

    return receive


class _Wire(io.RawIOBase):
    """Bytes that have come, as ``http.client`` wants them; then the end, or what broke the connection."""

    def __init__(self, received: bytes, broken: OSError | None) -> None:
        self._left = received
        self._broken = broken

    def makefile(self, _mode: str) -> io.BufferedReader:
        """The bytes as a file."""
        return io.BufferedReader(self)

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: Any) -> int:
        """The next bytes."""
        if not self._left and self._broken is not None:
            raise self._broken
        size = min(len(buffer), len(self._left))
        buffer[:size], self._left = self._left[:size], self._left[size:]
        return size


def response_of(request: requests.PreparedRequest, received: bytes) -> requests.Response:
    """What the client makes of these bytes, with its bounds."""
    return _response(request, _Wire(received, None), _BOUNDED)


def plain_response(request: requests.PreparedRequest, answer: bytes) -> requests.Response | None:
    """What `_response` makes of an answer that is as it should be, at half the price; nothing for any other one."""
    head, _, body = answer.partition(b"\r\n\r\n")
    if (match := _PLAIN_HEAD.fullmatch(head)) is None or b"transfer-encoding" in head.lower():
        return None
    status, reason, lines = match.groups()
    headers = urllib3.HTTPHeaderDict(line.split(": ", 1) for line in lines.decode("latin-1").split("\r\n")[1:])
    if headers.get("content-length") != str(len(body)):
        return None
    raw = urllib3.HTTPResponse(
        body=io.BytesIO(body),
        headers=headers,
        status=int(status),
        reason=reason.decode("latin-1"),
        preload_content=False,
        request_method=request.method,
    )
    return _TIMELESS.build_response(request, raw)


def _response(request: requests.PreparedRequest, wire: _Wire, adapter: HTTPAdapter) -> requests.Response:
    read = http_client.HTTPResponse(wire, method=request.method)  # type: ignore[arg-type]
    try:
        read.begin()
    except (http_client.HTTPException, ValueError) as error:
        read.close()
        raise requests.ConnectionError(urllib3.exceptions.ProtocolError("Connection broken", error)) from error
    except OSError:
        read.close()
        raise
    body = urllib3.HTTPResponse(
        body=read,
        headers=urllib3.HTTPHeaderDict(read.getheaders()),
        status=read.status,
        reason=read.reason,
        preload_content=False,
        original_response=read,
        request_method=request.method,
        enforce_content_length=True,
    )
    return adapter.build_response(request, body)
