"""The server: uvicorn, with the three things it cannot do for Batch.

Why it exists: uvicorn lower-cases header names, takes reason phrases from a table, and never closes a
connection without an answer. A small protocol class gives the data plane a writer for its own bytes
(``scope["extensions"]["batch.exchange"]``); everything else stays uvicorn's.

It also runs a simulator inside a test (:func:`running`), makes the certificates of ``--tls``, and keeps the
state file.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import struct
import tempfile
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import trustme
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from .app import build
from .clock import VirtualClock
from .dumping import dump
from .world import World

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from starlette.applications import Starlette

GRACE = 2
"""Seconds that open requests get at the end."""


MAX_UNFINISHED_HEAD = 256 * 1024
"""Bytes of a head that are kept while its end has not come."""


class Exchange:
    """The writer of one answer on its connection."""

    __slots__ = ("_cycle",)

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self._cycle = cycle

    @property
    def keep_alive(self) -> bool:
        """Whether the connection stays open after the answer."""
        return self._cycle.keep_alive

    def write(self, answer: bytes, *, close: bool) -> None:
        """Send an answer as it is; then the connection waits for the next request, or closes."""
        cycle = self._cycle
        if cycle.disconnected:
            return
        cycle.response_started = cycle.response_complete = True
        if answer:
            cycle.transport.write(answer)
        cycle.message_event.set()
        if close:
            cycle.transport.close()
        cycle.on_response()

    def write_part(self, part: bytes) -> None:
        """Send a part of an answer that :meth:`write` will end."""
        if not self._cycle.disconnected:
            self._cycle.response_started = True
            self._cycle.transport.write(part)

    async def outlast(self, pause: Awaitable[None]) -> None:
        """Wait, but no longer than the client does: an answer that nobody waits for would only hold up the end."""
        gone, waited = asyncio.ensure_future(self._until_gone()), asyncio.ensure_future(pause)
        await asyncio.wait((gone, waited), return_when=asyncio.FIRST_COMPLETED)
        gone.cancel()
        waited.cancel()

    async def _until_gone(self) -> None:
        cycle = self._cycle
        while not cycle.disconnected:
            cycle.message_event.clear()
            await cycle.message_event.wait()

    def drop(self) -> None:
        """Close the connection without an answer."""
        self.write(b"", close=True)

    def reset(self) -> None:
        """Break the connection: without lingering, the kernel sends RST instead of FIN."""
        transport = self._cycle.transport
        connection = transport.get_extra_info("socket")
        if connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
        self.write(b"", close=True)


class BatchProtocol(HttpToolsProtocol):
    """uvicorn's protocol, whose requests carry an :class:`Exchange`, and whose heads are bounded in memory."""

    _unfinished = 0

    def data_received(self, data: bytes) -> None:
        """Close on a head that never ends; one that ends and is too large is the data plane's to refuse."""
        self._unfinished += len(data)
        super().data_received(data)
        if self._unfinished > MAX_UNFINISHED_HEAD:
            self.transport.close()

    def on_body(self, body: bytes) -> None:
        """Bodies are bounded where they are read, not here."""
        self._unfinished = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The next head begins."""
        self._unfinished = 0
        super().on_message_complete()

    def on_headers_complete(self) -> None:
        """The application starts in a later turn of the loop, so the extension is there before it looks."""
        self._unfinished = 0
        super().on_headers_complete()
        self.scope["extensions"] = {"batch.exchange": Exchange(self.cycle)}  # type: ignore[dict-item]


class Server(uvicorn.Server):
    """uvicorn, telling when it accepts connections."""

    def __init__(self, config: uvicorn.Config, started: Callable[[], None]) -> None:
        super().__init__(config)
        self._tell = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then tell."""
        await super().startup(sockets=sockets)
        if self.started:
            self._tell()


@dataclass(frozen=True)
class Certificates:
    """Files of a fresh authority and of a certificate for this server."""

    authority: Path
    certificate: Path


def make_certificates(folder: Path, host: str) -> Certificates:
    """A certificate that only who trusts the authority's file will accept."""
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost", "127.0.0.1", "::1", *{host} - {"localhost", "127.0.0.1", "::1"})
    made = Certificates(folder / "ca.pem", folder / "server.pem")
    authority.cert_pem.write_to_path(made.authority)
    certificate.private_key_and_cert_chain_pem.write_to_path(made.certificate)
    return made


def bind(host: str, port: int) -> socket.socket:
    """A listening address.

    Raises:
        OSError: the port is in use, or the host is not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named, since asyncio switches Nagle's algorithm off only where it sees TCP: with it, the second part of an answer
    # waits 40 ms for the client to acknowledge the first.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
    except OSError:
        bound.close()
        raise
    return bound


def make_server(app: Starlette, started: Callable[[], None], certificates: Certificates | None = None) -> Server:
    """A server for :func:`bind`'s socket; it says nothing of its own in headers or logs."""
    config = uvicorn.Config(
        app,
        http=BatchProtocol,
        ws="none",
        lifespan="off",
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=GRACE,
        ssl_certfile=certificates.certificate if certificates else None,
    )
    return Server(config, started)


class Saver:
    """Keeps the state file: written whole beside it and moved over it, after changes and at the end."""

    def __init__(self, world: World, path: Path, base: str) -> None:
        self._world = world
        self._path = path
        self._base = base
        self._saved = -1

    def __call__(self) -> None:
        """Write the state if something has changed since the last time."""
        if self._saved != self._world.changes:
            self.write()

    def write(self) -> None:
        """Write the state."""
        self._saved = self._world.changes
        text = json.dumps(dump(self._world, self._base), indent=1)
        handle, name = tempfile.mkstemp(dir=self._path.parent, prefix=self._path.name + ".")
        try:
            with os.fdopen(handle, "w") as file:
                file.write(text)
            os.replace(name, self._path)  # noqa: PTH105 - the temporary name is a plain text
        except OSError:
            os.unlink(name)  # noqa: PTH108 - as above
            raise


@dataclass(frozen=True)
class Simulator:
    """A running simulator. Who touches ``world`` directly holds ``world.lock``."""

    endpoint: str
    control: str
    world: World

    @property
    def account(self) -> str:
        """The account name."""
        return self.world.account

    @property
    def key(self) -> str:
        """The account key."""
        return self.world.key


def url_of(bound: socket.socket, *, tls: bool) -> str:
    """The URL of a bound socket."""
    host, port = bound.getsockname()[:2]
    return f"http{'s' if tls else ''}://{f'[{host}]' if ':' in host else host}:{port}"


@contextmanager
def running(speed: float = 1.0, seed: dict[str, Any] | None = None) -> Iterator[Simulator]:
    """A simulator in a thread of this process, on a free loopback port; it ends with the block.

    Raises:
        StateError: the seed is not a state.
    """
    world = World(VirtualClock(speed=speed))
    app = build(world, seed or {}, lambda: None)
    bound = bind("127.0.0.1", 0)
    endpoint = url_of(bound, tls=False)
    accepting = threading.Event()
    server = make_server(app, accepting.set)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, name="batch-simulator", daemon=True)
    thread.start()
    try:
        if not accepting.wait(10):
            raise RuntimeError("the simulator did not start within 10 seconds")
        yield Simulator(endpoint, endpoint + "/_simulator", world)
    finally:
        server.should_exit = True
        thread.join(GRACE + 8)
        bound.close()
