"""Renders an answer as bytes, spelled as the recorded service did.

Some clients read headers by exact spelling, and the recorded reason phrase of an error is its message. A usual ASGI
response loses both: names are lower-cased, phrases come from a fixed table. So an answer is rendered here, and its
connection sends it unchanged (:mod:`.exchange`).
"""

from __future__ import annotations

import json
import random
import uuid
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from batch_os_provider.simulator.world.clock import http_date, iso

if TYPE_CHECKING:
    from batch_os_provider.simulator.world.errors import BatchError

ERRORS: Final = "Microsoft.Azure.Batch.Protocol.Entities.Container.errors"
JSON_TYPE: Final = "application/json;odata=minimalmetadata"
EMPTY_CHUNKED: Final = b"0\r\n\r\n"
"""The recorded body of an answer without a body."""
_FIXED_HEADERS: Final = (
    "Server: Microsoft-HTTPAPI/2.0\r\n"
    "Strict-Transport-Security: max-age=31536000; includeSubDomains\r\n"
    "X-Content-Type-Options: nosniff\r\n"
    "DataServiceVersion: 3.0\r\n"
)
_PHRASES: Final = {status.value: status.phrase for status in HTTPStatus}
_NO_BODY: Final = (204, 304)

# Not a secret: ids only need the form of a GUID and must differ.
_ids = random.Random()  # noqa: S311 - see above


def new_id() -> str:
    """A request id."""
    return str(uuid.UUID(int=_ids.getrandbits(128), version=4))


@dataclass(slots=True)
class Incoming:
    """A request as received. Header names are in lower case; path and query are unchanged."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    base: str
    request_id: str
    body: bytes = b""

    @property
    def echo(self) -> str | None:
        """The client-request-id to send back: only if the client asks with ``true``; some clients send other values."""
        wanted = self.headers.get("return-client-request-id", "").lower() == "true"
        return self.headers.get("client-request-id") if wanted else None


@dataclass(slots=True)
class Answer:
    """Status, headers and body of one answer. ``body`` None with a 2xx is the recorded empty, chunked body.

    ``text`` is a body that is not JSON: a fault replaces the body by it.
    """

    status: int
    body: dict[str, Any] | None = None
    headers: list[tuple[str, str]] = field(default_factory=list)
    reason: str | None = None
    code: str | None = None
    text: str | None = None


def error_answer(error: BatchError, incoming: Incoming, wall: int) -> Answer:
    """The envelope of an error; ``values`` is absent when empty, and the answer has no ETag."""
    first_line = (error.message.splitlines() or [""])[0]
    text = f"{error.message}\nRequestId:{incoming.request_id}\nTime:{iso(wall)}"
    body: dict[str, Any] = {
        "odata.metadata": f"{incoming.base}/$metadata#{ERRORS}/@Element",
        "code": error.code,
        "message": {"lang": "en-US", "value": text},
    }
    if error.values:
        body["values"] = [{"key": key, "value": value} for key, value in error.values]
    headers = [("Retry-After", error.retry_after)] if error.retry_after is not None else []
    return Answer(error.status, body, headers, first_line, error.code)


def render(answer: Answer, incoming: Incoming, wall: int, *, close: bool) -> bytes:
    """The bytes of an answer."""
    status = answer.status
    lines = [
        f"HTTP/1.1 {status} {answer.reason or _PHRASES.get(status, '')}\r\n",
        *(f"{name}: {value}\r\n" for name, value in answer.headers),
        _FIXED_HEADERS,
        f"request-id: {incoming.request_id}\r\nDate: {http_date(wall)}\r\n",
    ]
    if incoming.echo is not None:
        lines.append(f"client-request-id: {incoming.echo}\r\n")
    if close:
        lines.append("Connection: close\r\n")
    body = b""
    if status in _NO_BODY:
        lines.append("Content-Length: 0\r\n" if status == HTTPStatus.NO_CONTENT else "")
    elif incoming.method == "HEAD":
        lines.append("Transfer-Encoding: chunked\r\n")  # recorded, without any chunk
    elif answer.text is not None:
        body = answer.text.encode()
        lines.append(f"Content-Type: text/html\r\nContent-Length: {len(body)}\r\n")
    elif answer.body is None:
        lines.append("Transfer-Encoding: chunked\r\n")
        body = EMPTY_CHUNKED
    else:
        body = json.dumps(answer.body, separators=(",", ":")).encode()
        lines.append(f"Content-Type: {JSON_TYPE}\r\nContent-Length: {len(body)}\r\n")
    lines.append("\r\n")
    return "".join(lines).encode("latin-1", "replace") + body
