"""HTTP with bounded answers: in bytes, and in time.

A read time-out bounds the silence between two pieces of an answer, but not the number of pieces. A broken proxy or a
false server could fill the memory of a plugin, or delay a call and the deadline of an `up` without end. All else
between the client and its sockets is the official client's.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress
from importlib import metadata
from typing import Any

import requests
from azure.core.pipeline.transport import RequestsTransport
from requests.adapters import HTTPAdapter
from urllib3.exceptions import ProtocolError
from urllib3.util.retry import Retry

__all__ = ["ANSWER_SECONDS", "KEPT_CONNECTIONS", "MAX_ANSWER", "BoundedAdapter", "bounded", "user_agent"]

MAX_ANSWER = 32 * 1024 * 1024
"""Bytes of an unpacked answer. A page of 1,000 nodes with all their properties has a few MB."""
ANSWER_SECONDS = 60.0
"""Seconds from the head of an answer to its end."""
KEPT_CONNECTIONS = 128
"""Connections to an account that stay open for the next call. A call beyond them opens a new one and closes it. No call
waits for the connection of another call, which may hang."""


class BoundedAdapter(HTTPAdapter):
    """The adapter of ``requests``; it abandons an answer that is too long or too slow.

    Args:
        seconds: how long an answer may take, from its head to its end.
    """

    def __init__(self, seconds: float = ANSWER_SECONDS) -> None:
        # As in the official client: urllib3 retries nothing and raises the failure.
        super().__init__(
            max_retries=Retry(total=False, redirect=False, raise_on_status=False), pool_maxsize=KEPT_CONNECTIONS
        )
        self._seconds = seconds

    def build_response(self, req: requests.PreparedRequest, resp: Any) -> requests.Response:
        """Bound the body before it is read."""
        resp.stream = _Bounded(resp, self._seconds)
        return super().build_response(req, resp)


class _Bounded:
    """``urllib3.HTTPResponse.stream`` with bounds. Beyond them it raises ProtocolError, as for a broken connection."""

    def __init__(self, response: Any, seconds: float) -> None:
        self._response, self._stream, self._seconds = response, response.stream, seconds
        self._late = False

    def __call__(self, amount: int, *, decode_content: bool | None = None) -> Iterator[bytes]:
        """The body in pieces."""
        alarm = threading.Timer(self._seconds, self._give_up)
        alarm.daemon = True
        alarm.start()
        try:
            yield from _measured(self._stream(amount, decode_content=decode_content))
        except BaseException as error:  # also a body that cannot be decompressed, and ^C
            self._response.close()  # the rest of this answer must not reach the next call
            if self._late and isinstance(error, ProtocolError):
                raise ProtocolError(self._too_slow) from error
            raise
        finally:
            alarm.cancel()
        if self._late:  # the alarm looks like the end of a body that has no length
            raise ProtocolError(self._too_slow)

    @property
    def _too_slow(self) -> str:
        return f"the answer took more than {self._seconds:g} s"

    def _give_up(self) -> None:
        """End the running read from another thread, since the read may be waiting for a byte."""
        self._late = True
        with suppress(OSError, RuntimeError, ValueError):  # the answer has already ended
            self._response.shutdown()


def _measured(pieces: Iterator[bytes]) -> Iterator[bytes]:
    size = 0
    for piece in pieces:
        size += len(piece)
        if size > MAX_ANSWER:
            raise ProtocolError(f"the answer has more than {MAX_ANSWER >> 20} MB")
        yield piece


def bounded(connect: float, read: float, seconds: float = ANSWER_SECONDS) -> RequestsTransport:
    """A transport for the official client.

    Args:
        connect: seconds for a connection to be made.
        read: seconds of silence after which a call has failed.
        seconds: as for ``BoundedAdapter``.
    """
    session = requests.Session()
    for scheme in ("https://", "http://"):
        session.mount(scheme, BoundedAdapter(seconds))
    return RequestsTransport(session=session, connection_timeout=connect, read_timeout=read)


def user_agent() -> str:
    """What this package says that it is, in each request."""
    return f"batch-os-provider/{metadata.version('batch-os-provider')}"
