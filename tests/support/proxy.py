"""A proxy that stands where Azure would: what is asked of Azure's hosts reaches simulators on this machine.

With it a program keeps real endpoints, whose names decide the credential, the cloud and the audience. It ends TLS with
certificates of an authority of its own, as a company's proxy does.
"""

from __future__ import annotations

import select
import socket
import socketserver
import ssl
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import trustme

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_HEAD = 64 * 1024


@dataclass
class Proxy:
    """A running proxy: its URL, who vouches for it, and the hosts that were asked for."""

    url: str
    authority: Path
    asked: list[str] = field(default_factory=list)


@contextmanager
def standing_in(endpoints: Mapping[str, str], folder: Path) -> Iterator[Proxy]:
    """Lead each host to the plain http endpoint of a simulator; no other host can be reached.

    Args:
        endpoints: by host name.
        folder: where the authority's certificate goes.
    """
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*endpoints).configure_cert(context)
    authority.cert_pem.write_to_path(folder / "proxy.pem")
    asked: list[str] = []

    class Handler(socketserver.BaseRequestHandler):
        """One connection."""

        def handle(self) -> None:
            """Find out where it leads, and carry bytes both ways until one side ends."""
            host = _connect(self.request)
            asked.append(host)
            if host not in endpoints:
                self.request.sendall(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")
                return
            self.request.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            where = urlsplit(endpoints[host])
            try:
                with (
                    context.wrap_socket(self.request, server_side=True) as client,
                    socket.create_connection((str(where.hostname), where.port or 0)) as server,
                ):
                    _carry(client, server)
            except OSError:
                pass  # a side that is gone: the other one sees it too

    class Server(socketserver.ThreadingTCPServer):
        """A thread for each connection; none outlives the test."""

        daemon_threads = True
        block_on_close = False

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield Proxy(f"http://127.0.0.1:{server.server_address[1]}", folder / "proxy.pem", asked)
        finally:
            server.shutdown()
            thread.join()


def _connect(client: socket.socket) -> str:
    """The host of a CONNECT."""
    head = b""
    while b"\r\n\r\n" not in head and len(head) < _HEAD:
        more = client.recv(4096)
        if not more:
            return ""
        head += more
    method, target, *_ = head.decode("latin-1").split(" ", 2)
    return target.rpartition(":")[0] if method == "CONNECT" else ""


def _carry(client: ssl.SSLSocket, server: socket.socket) -> None:
    while True:
        # What TLS has read ahead is in no socket any more.
        ready = [client] if client.pending() else select.select([client, server], [], [])[0]
        for source in ready:
            data = source.recv(64 * 1024)
            if not data:
                return
            (server if source is client else client).sendall(data)
