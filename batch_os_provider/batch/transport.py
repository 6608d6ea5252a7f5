"""HTTP whose answers are bounded: in bytes, and in the time that they take.

A read time-out bounds the silence between two pieces of an answer, and nothing bounds how many pieces
come. A broken proxy, or whoever answers under the account's name, could fill the memory of a plugin or hold a call for
ever, and with it the deadline of an `up`. Everything between the client and its sockets is still the official client's.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import requests
from azure.core.pipeline.transport import RequestsTransport
from requests.adapters import HTTPAdapter
from urllib3.exceptions import ProtocolError
from urllib3.util.retry import Retry

__all__ = ["ANSWER_SECONDS", "KEPT_CONNECTIONS", "MAX_ANSWER", "BoundedAdapter", "bounded"]

MAX_ANSWER = 32 * 1024 * 1024
"""Bytes of an answer, unpacked. A page of 1,000 nodes with everything that a node can tell is a few MB."""
ANSWER_SECONDS = 60.0
"""Seconds from the head of an answer to its end."""
KEPT_CONNECTIONS = 128
"""Connections to an account that are kept alive for the next call. A call beyond them makes its own and closes it; none
ever waits for that of another, which may hang."""


class BoundedAdapter(HTTPAdapter):
    """The adapter of ``requests``, giving up an answer that is too long or too slow.

    Args:
        seconds: what an answer may take, from its head to its end.
    """

    def __init__(self, seconds: float = ANSWER_SECONDS) -> None:
        # As the official client has it: urllib3 tries nothing again, and tells the failure itself.
        super().__init__(
            max_retries=Retry(total=False, redirect=False, raise_on_status=False), pool_maxsize=KEPT_CONNECTIONS
        )
        self._seconds = seconds

    def build_response(self, req: requests.PreparedRequest, resp: Any) -> requests.Response:
        """Bound the body before anybody reads it."""
        resp.stream = _Bounded(resp, self._seconds)
        return super().build_response(req, resp)


class _Bounded:
    """``urllib3.HTTPResponse.stream``, in bounds. What it raises is told as a connection that broke."""

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
        except ProtocolError as error:
            self._response.close()  # what is still to come is not for the next call
            if self._late:
                raise ProtocolError(self._too_slow) from error
            raise
        finally:
            alarm.cancel()
        if self._late:  # where only the end of the connection ends the body, it looks like the end
            raise ProtocolError(self._too_slow)

    @property
    def _too_slow(self) -> str:
        return f"the answer took more than {self._seconds:g} s"

    def _give_up(self) -> None:
        """End the read that is going on, from outside: it may be waiting for its next byte."""
        self._late = True
        with suppress(OSError, RuntimeError, ValueError, AttributeError):  # it is over already
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
