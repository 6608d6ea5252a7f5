"""The server: uvicorn, with a writer for the exact bytes of an answer.

Uvicorn lower-cases header names, takes reason phrases from a table, and never closes a connection without an answer.
:class:`.BatchProtocol` therefore gives the data plane its own writer (``scope["extensions"]["batch.exchange"]``).

This module also runs a simulator inside a test (:func:`running`), makes the certificates of ``--tls``, and writes the
state file.
"""

from __future__ import annotations

import json
import os
import socket
import tempfile
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvicorn

from batch_os_provider.simulator.app import build
from batch_os_provider.simulator.data_plane.exchange import BatchProtocol
from batch_os_provider.simulator.state.dump import dump
from batch_os_provider.simulator.world.clock import VirtualClock
from batch_os_provider.simulator.world.world import World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from starlette.applications import Starlette

SHUTDOWN_SECONDS = 2
"""Seconds that open requests get at shutdown."""
START_SECONDS = 60
"""Seconds for :func:`running` to start and to stop, on a machine under load."""


class Server(uvicorn.Server):
    """uvicorn that calls ``started`` when it accepts connections."""

    def __init__(self, config: uvicorn.Config, started: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_started = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then call ``started``."""
        await super().startup(sockets=sockets)
        if self.started:
            self._on_started()


@dataclass(frozen=True)
class Certificates:
    """Files of a new certificate authority and of a certificate for this server."""

    authority: Path
    certificate: Path


def make_certificates(folder: Path, host: str) -> Certificates:
    """A certificate that is accepted only by clients that trust the authority file."""
    import trustme  # noqa: PLC0415 - a quarter of the time of a start, and only --tls needs it

    authority = trustme.CA()
    certificate = authority.issue_cert("localhost", "127.0.0.1", "::1", *{host} - {"localhost", "127.0.0.1", "::1"})
    made = Certificates(folder / "ca.pem", folder / "server.pem")
    authority.cert_pem.write_to_path(made.authority)
    certificate.private_key_and_cert_chain_pem.write_to_path(made.certificate)
    return made


def bind(host: str, port: int) -> socket.socket:
    """A socket bound to an address.

    Raises:
        OSError: the port is in use, or the host is not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
    except OSError:
        bound.close()
        raise
    return bound


def make_server(app: Starlette, started: Callable[[], None], certificates: Certificates | None = None) -> Server:
    """A server for :func:`bind`'s socket; it adds no headers and no access log."""
    config = uvicorn.Config(
        app,
        http=BatchProtocol,
        ws="none",
        lifespan="off",
        log_config=None,  # it would be that of the whole process, which servers side by side would take from each other
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        ssl_certfile=certificates.certificate if certificates else None,
    )
    return Server(config, started)


class StateFile:
    """The state file, written after changes and at the end: first a temporary file, then moved over the old one."""

    def __init__(self, world: World, path: Path, base: str) -> None:
        self._world = world
        self._path = path
        self._base = base
        self._saved = -1

    def __call__(self) -> None:
        """Write the state if it has changed since the last write."""
        if self._saved != self._world.changes:
            self.write()

    def write(self) -> None:
        """Write the state."""
        self._saved = self._world.changes
        text = json.dumps(dump(self._world, self._base), indent=1)
        handle, name = tempfile.mkstemp(dir=self._path.parent, prefix=self._path.name + ".")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
            os.replace(name, self._path)  # noqa: PTH105 - the temporary name is a str
        except OSError:
            os.unlink(name)  # noqa: PTH108 - as above
            raise


@dataclass(frozen=True)
class Simulator:
    """A running simulator. Hold ``world.lock`` while you use ``world`` directly."""

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
    """A simulator in a thread of this process, on a free loopback port; it stops at the end of the block.

    Raises:
        StateError: the seed is not a valid state.
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
        if not accepting.wait(START_SECONDS):
            raise RuntimeError(f"the simulator did not start within {START_SECONDS} seconds")
        yield Simulator(endpoint, endpoint + "/_simulator", world)
    finally:
        server.should_exit = True
        thread.join(START_SECONDS)
        bound.close()
