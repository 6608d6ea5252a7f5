"""The connection of one request: writes the answer as bytes, or breaks.

A fault can send an answer in parts, drop it, or reset the connection, which ASGI cannot express.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
from typing import TYPE_CHECKING

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

if TYPE_CHECKING:
    from collections.abc import Awaitable

__all__ = ["MAX_UNFINISHED_HEAD", "BatchProtocol", "Exchange"]


MAX_UNFINISHED_HEAD = 256 * 1024
"""Bytes of an unfinished head that are kept in memory."""
_NO_LINGERING = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)


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
        """Send an answer unchanged; then the connection waits for the next request, or closes."""
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
        """Send a part of an answer; :meth:`write` sends the last one."""
        if not self._cycle.disconnected:
            self._cycle.response_started = True
            self._cycle.transport.write(part)

    async def wait_while_connected(self, pause: Awaitable[None]) -> None:
        """Wait until the pause ends or the client disconnects. A longer wait would only delay a shutdown."""
        gone, waited = asyncio.ensure_future(self._wait_for_disconnect()), asyncio.ensure_future(pause)
        await asyncio.wait((gone, waited), return_when=asyncio.FIRST_COMPLETED)
        gone.cancel()
        waited.cancel()

    async def _wait_for_disconnect(self) -> None:
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
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGERING)
        transport.abort()
        self.write(b"", close=True)


class BatchProtocol(HttpToolsProtocol):
    """uvicorn's protocol. Each request has an :class:`Exchange`, and an unfinished head is limited in memory."""

    _unfinished = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        """Send each write at once. With Nagle's algorithm a second write waits 40 ms for an acknowledgement.

        asyncio knows only some sockets as TCP: none on Windows, and none that was bound before.
        """
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Close the connection if a head does not end. The data plane refuses a complete head that is too large."""
        self._unfinished += len(data)
        super().data_received(data)
        if self._unfinished > MAX_UNFINISHED_HEAD:
            self.transport.close()

    def on_body(self, body: bytes) -> None:
        """A body begins; the data plane limits its size."""
        self._unfinished = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The next head begins."""
        self._unfinished = 0
        super().on_message_complete()

    def on_headers_complete(self) -> None:
        """Add the extension. The application starts in a later turn of the event loop and finds it."""
        self._unfinished = 0
        super().on_headers_complete()
        self.scope["extensions"] = {"batch.exchange": Exchange(self.cycle)}  # type: ignore[dict-item]
