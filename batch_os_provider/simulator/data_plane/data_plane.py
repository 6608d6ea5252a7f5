"""The order in which a request is checked, from its first byte to its answer.

A request can have several errors, and clients see the one that the service checks first. The order is: path and verb,
authentication, api-version, the rest of the request. A fault applies only to a request that passed these checks. Then
the operation runs at one virtual instant, under the lock.

This module handles requests in general; the operations are in :mod:`.handlers`.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote_plus

from batch_os_provider.simulator.data_plane.auth import authenticate
from batch_os_provider.simulator.data_plane.handlers import HANDLERS
from batch_os_provider.simulator.data_plane.request import Request
from batch_os_provider.simulator.faults import actors
from batch_os_provider.simulator.faults.corrupt import corrupted, split_body, truncate
from batch_os_provider.simulator.faults.rules import retry_after, status_code
from batch_os_provider.simulator.protocol.api_versions import NEWEST, ORDER, within
from batch_os_provider.simulator.protocol.operations import UPGRADE_OS, Operation, resolve
from batch_os_provider.simulator.protocol.wire import Answer, Incoming, error_answer, new_id, render
from batch_os_provider.simulator.world.clock import seconds, wall_now
from batch_os_provider.simulator.world.errors import BatchError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from starlette.types import Receive, Scope, Send

    from batch_os_provider.simulator.data_plane.exchange import Exchange
    from batch_os_provider.simulator.faults.rules import Fault, Faults
    from batch_os_provider.simulator.world.audit import Entry
    from batch_os_provider.simulator.world.world import World

    Effect = dict[str, Any]

MAX_BODY: Final = 4 * 1024 * 1024
"""Bytes of a request body. The real limit is not documented; clients handle the 413."""
MAX_TASK_COLLECTION_BODY: Final = 1024 * 1024
"""Bytes of an addtaskcollection body (documented: 1 MB)."""
MAX_HEAD: Final = 16 * 1024
"""Bytes of a request's path, query and headers: the default of the Windows HTTP server that Batch names as its own."""
_INT32: Final = 2**31
_WITH_DETAIL: Final = frozenset({UPGRADE_OS, "Pool_Resize", "Pool_RemoveNodes"})
"""Operations whose body is recorded in the audit: tests check it, and it contains no secrets."""


_NO_EFFECT: Final[dict[str, Any]] = {"kind": "none"}
_UNANSWERED: Final = frozenset({"dropBefore", "dropAfter", "reset"})
"""Effects after which a request has no status, since the client never receives one."""


class DataPlane:
    """The ASGI application at the root of the account URL.

    ``on_change`` is called after every request. ``pause`` sleeps real seconds. ``wall`` is the time that
    an answer shows; signatures and tokens are checked against the real time.
    """

    def __init__(
        self,
        world: World,
        faults: Faults,
        on_change: Callable[[], None],
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
        wall: Callable[[], int] = wall_now,
    ) -> None:
        self._world = world
        self._faults = faults
        self._on_change = on_change
        self._pause = pause
        self._wall = wall

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request with the writer of its connection (see :mod:`.exchange`)."""
        del send
        exchange = scope["extensions"]["batch.exchange"]
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        incoming = Incoming(
            method=scope["method"],
            path=scope["raw_path"].decode("latin-1"),
            query=scope["query_string"].decode("latin-1"),
            headers=headers,
            base=f"{scope['scheme']}://{headers.get('host', 'localhost')}",
            request_id=new_id(),
        )
        # Checked twice: httptools 0.6 misses Connection: close on a request with a body.
        close = not exchange.keep_alive or headers.get("connection", "").lower() == "close"
        effect: Effect = _NO_EFFECT
        try:
            _check_head(incoming)
            incoming.body = await _read_body(incoming, receive)
        except BatchError as error:
            with self._world.lock:
                answer = self._error_answer(self._record_request(incoming, None, []), error, incoming)
        else:
            answer, effect, held = await self._answer(incoming)
            if held:
                await exchange.wait_while_connected(self._pause(held))
        wall = self._wall() + (seconds(effect["seconds"]) if effect["kind"] == "clockSkew" else 0)
        close = close or effect["kind"] == "truncate"
        sent = render(corrupted(answer, effect), incoming, wall, close=close)
        await self._send(exchange, sent, effect, close=close)

    async def _send(self, exchange: Exchange, sent: bytes, effect: Effect, *, close: bool) -> None:
        """Write an answer to its connection, or break the connection as the fault says."""
        match effect["kind"]:
            case "dropBefore" | "dropAfter":
                exchange.drop()
            case "reset":
                exchange.reset()
            case "truncate":
                exchange.write(truncate(sent, effect.get("bytes")), close=True)
            case "slow":
                head, body = split_body(sent, effect.get("pieces"))
                exchange.write_part(head)
                for piece in body:
                    await exchange.wait_while_connected(self._pause(effect["seconds"] / len(body)))
                    exchange.write_part(piece)
                exchange.write(b"", close=close)
            case _:
                exchange.write(sent, close=close)

    def _record_request(self, incoming: Incoming, operation: Operation | None, names: list[str]) -> Entry:
        pool = names[0] if names and incoming.path.startswith("/pools/") else None
        entry = self._world.audit.request(
            self._world.advance(), operation.id if operation else None, incoming.method, incoming.path, pool
        )
        entry.detail["requestId"] = incoming.request_id
        if "client-request-id" in incoming.headers:
            entry.detail["clientRequestId"] = incoming.headers["client-request-id"]
        return entry

    async def _answer(self, incoming: Incoming) -> tuple[Answer, Effect, float]:
        """Check a request, wait for the delay of a fault, and run the operation.

        Returns the answer, the effect to apply to it, and the seconds to wait before it is sent.
        """
        operations, names = resolve(incoming.path)
        with self._world.lock:
            entry = self._record_request(incoming, operations.get(incoming.method), names)
            try:
                request = self._check(incoming, operations, names)
                hits = self._faults.matching(request.operation.id, entry.pool)
            except BatchError as error:
                return self._error_answer(entry, error, incoming), _NO_EFFECT, 0.0
        entry.detail["apiVersion"] = request.version
        effect: Effect = hits[-1].effect if hits else _NO_EFFECT
        if hits:
            entry.detail["faults"] = [fault.id for fault in hits]
            await self._pause(_delay(hits, after=False))
        with self._world.lock:
            self._world.advance()
            actors.run_for_request(self._world, "before", request.operation.id, entry.pool)
            try:
                answer = self._execute(request, entry, effect)
            except BatchError as error:
                answer = self._error_answer(entry, error, incoming)
            self._world.history.record(self._world)
            actors.run_for_request(self._world, "after", request.operation.id, entry.pool)
            if effect["kind"] in _UNANSWERED:
                entry.status = entry.code = None
            elif effect["kind"] == "garbage":
                entry.status, entry.code = 200, None
            self._on_change()
        return answer, effect, _delay(hits, after=True)

    def _error_answer(self, entry: Entry, error: BatchError, incoming: Incoming) -> Answer:
        entry.status, entry.code = error.status, error.code
        return error_answer(error, incoming, self._wall())

    def _execute(self, request: Request, entry: Entry, effect: Effect) -> Answer:
        kind = effect["kind"]
        if kind == "dropBefore" or (kind == "reset" and not effect.get("after")):
            return Answer(200)  # never sent
        if kind == "status":
            raise BatchError(
                status_code(effect),
                message=effect.get("message"),
                status=effect["status"],
                retry_after=retry_after(effect, self._wall()),
            )
        if kind == "stale":
            request = replace(request, world=self._world.history.older_world(self._world, effect))
        answer = HANDLERS[request.operation.id](request)
        if request.operation.id in _WITH_DETAIL and request.incoming.body:
            entry.detail["body"] = request.incoming.body.decode()
        entry.status = answer.status
        return answer

    def _check(self, incoming: Incoming, operations: dict[str, Operation], names: list[str]) -> Request:
        world = self._world
        if not operations:
            raise BatchError("InvalidUri")
        operation = operations.get(incoming.method)
        if operation is None:
            upgrade = any(other.id == UPGRADE_OS for other in operations.values())
            switch = upgrade and incoming.method == "GET"
            raise BatchError(str(world.unknowns["getOnUpgradeosCode"]) if switch else "UnsupportedHttpVerb")
        read_only = authenticate(world, incoming, wall_now())
        if not operation.implemented:
            raise BatchError(
                "NotImplemented", message=f"This simulator does not implement the operation {operation.id}."
            )
        parameters = _parse_query(incoming.query)
        version = _check_version(world, parameters)
        if not within(version, operation.since, operation.until):
            gone = str(world.unknowns["upgradeosGoneCode"])
            raise BatchError(gone if operation.id == UPGRADE_OS else "InvalidUri")
        if read_only and operation.writes:
            raise BatchError("InsufficientAccountPermissions")
        _check_parameters(operation, parameters)
        content_type = incoming.headers.get("content-type", "application/json")
        if incoming.body and not content_type.lower().startswith("application/json"):
            raise BatchError("InvalidHeaderValue", ("HeaderName", "Content-Type"), ("HeaderValue", content_type))
        return Request(world, operation, names, incoming, parameters, version)


def _delay(hits: list[Fault], *, after: bool) -> float:
    """Seconds to wait before the operation, or after it."""
    delays = [fault.effect for fault in hits if fault.effect["kind"] == "delay"]
    return sum(float(delay["seconds"]) for delay in delays if bool(delay.get("after")) is after)


def _check_head(incoming: Incoming) -> None:
    """Refuse a head that is too large (the answer of the real server is not documented)."""
    size = len(incoming.path) + len(incoming.query)
    size += sum(len(name) + len(value) for name, value in incoming.headers.items())
    if size > MAX_HEAD:
        raise BatchError("InvalidHeaderValue", ("Reason", f"Path, query and headers exceed {MAX_HEAD} bytes"))


async def _read_body(incoming: Incoming, receive: Receive) -> bytes:
    """The request body, read to its end even if it is refused: a client that is still sending would miss the answer.

    Raises:
        BatchError: MissingContentLengthHeader, RequestBodyTooLarge.
    """
    length = incoming.headers.get("content-length", "")
    if not length and incoming.method in ("GET", "HEAD", "DELETE"):
        return b""
    limit = MAX_TASK_COLLECTION_BODY if incoming.path.endswith("/addtaskcollection") else MAX_BODY
    body = bytearray()
    more = length != "0"
    while more:
        message = await receive()
        more = message.get("more_body", False)
        if length and int(length) <= limit:
            body += message.get("body", b"")
    if not length:
        raise BatchError("MissingContentLengthHeader")
    if int(length) > limit:
        raise BatchError("RequestBodyTooLarge", ("MaxLimit", str(limit)))
    return bytes(body)


def _parse_query(query: str) -> dict[str, str]:
    """Query parameters by lower-case name; clients send blanks as ``%20`` or ``+``."""
    found: dict[str, str] = {}
    for pair in query.split("&"):
        if pair:
            name, _, value = pair.partition("=")
            found.setdefault(unquote_plus(name).lower(), unquote_plus(value))
    return found


def _check_version(world: World, parameters: Mapping[str, str]) -> str:
    version = parameters.get("api-version", "")
    if not version:
        raise BatchError("MissingRequiredQueryParameter", ("QueryParameterName", "api-version"))
    retired = world.unknowns["retiredApiVersions"] != "none" and version != NEWEST
    if version not in ORDER or retired:
        code = str(world.unknowns["apiVersionUnknownCode"])
        raise BatchError(
            code,
            ("QueryParameterName", "api-version"),
            ("QueryParameterValue", version),
            ("Reason", "The api-version is not supported"),
        )
    return version


def _check_parameters(operation: Operation, parameters: Mapping[str, str]) -> None:
    for name in parameters:
        if name not in operation.query and name not in ("api-version", "timeout"):
            raise BatchError("UnsupportedQueryParameter", ("QueryParameterName", name))
    timeout = parameters.get("timeout")
    if timeout is not None:
        try:
            count = int(timeout)
        except ValueError:
            raise BatchError(
                "InvalidQueryParameterValue",
                ("QueryParameterName", "timeout"),
                ("QueryParameterValue", timeout),
                ("Reason", "The value must be an integer"),
            ) from None
        if not 0 < count < _INT32:
            raise BatchError(
                "OutOfRangeQueryParameterValue", ("QueryParameterName", "timeout"), ("QueryParameterValue", timeout)
            )
    expand = parameters.get("$expand")
    if expand not in (None, "", "stats"):
        raise BatchError(
            "InvalidQueryParameterValue",
            ("QueryParameterName", "$expand"),
            ("QueryParameterValue", str(expand)),
            ("Reason", "Only stats can be expanded"),
        )
