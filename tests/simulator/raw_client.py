"""A raw client: it signs by the published rules and returns the bytes of an answer unchanged."""

from __future__ import annotations

import base64
import hmac
import json
import socket
import urllib.request
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

from batch_os_provider.simulator.server import Simulator

LAST = "2018-08-01.7.0"
NEWEST = "2025-06-01"
FULL_TYPE = "application/json; odata=minimalmetadata; charset=utf-8"
SIGNED = [
    "content-encoding",
    "content-language",
    "content-length",
    "content-md5",
    "content-type",
    "date",
    "if-modified-since",
    "if-match",
    "if-none-match",
    "if-unmodified-since",
    "range",
]


@dataclass
class Answer:
    status: int
    reason: str
    headers: list[tuple[str, str]]
    body: bytes

    def __getitem__(self, name: str) -> str:
        """A header by its exact spelling."""
        return dict(self.headers)[name]

    def __contains__(self, name: str) -> bool:
        return name in dict(self.headers)

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        return self.json["code"]

    @property
    def values(self) -> dict[str, str]:
        return {row["key"]: row["value"] for row in self.json.get("values", [])}


def signature(key: str, account: str, method: str, target: str, headers: dict[str, str]) -> str:
    """The string to sign and its signature, written from the published description alone."""
    lower = {name.lower(): value for name, value in headers.items()}
    path, _, query = target.partition("?")
    lines = [method, *(lower.get(name, "") for name in SIGNED)]
    lines += [f"{name}:{lower[name]}" for name in sorted(lower) if name.startswith("ocp-")]
    text = "\n".join(lines) + f"\n/{account.lower()}{path}"
    pairs = sorted((name.lower(), value) for name, value in parse_qsl(query, keep_blank_values=True))
    text += "".join(f"\n{name}:{value}" for name, value in pairs)
    return base64.b64encode(hmac.digest(base64.b64decode(key), text.encode(), "sha256")).decode()


def exchange(endpoint: str, request: bytes) -> bytes:
    """Send bytes, and read until the server closes."""
    where = urlsplit(endpoint)
    with socket.create_connection((where.hostname, where.port), timeout=60) as connection:
        connection.sendall(request)
        received = b""
        while chunk := connection.recv(65536):
            received += chunk
    return received


class Client:
    """Signed requests, one connection each; and the control endpoints."""

    def __init__(self, simulator: Simulator, version: str = LAST) -> None:
        self.simulator = simulator
        self.version = version

    def __call__(self, method: str, path: str, body: Any = None, **options: Any) -> Answer:
        """``headers`` adds or, with None, removes headers; ``query`` replaces the api-version; ``sign`` is on."""
        query = options.get("query", {"api-version": self.version})
        text = query if isinstance(query, str) else "&".join(f"{k}={quote(str(v), safe='')}" for k, v in query.items())
        target = f"{path}?{text}" if text else path
        return self.send(method, target, body, options.get("headers"), sign=options.get("sign", True))

    def send(
        self, method: str, target: str, body: Any, extra: dict[str, str | None] | None = None, *, sign: bool = True
    ) -> Answer:
        payload = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        headers: dict[str, str | None] = {"ocp-date": formatdate(usegmt=True), "Connection": "close"}
        if method not in ("GET", "HEAD"):
            headers["Content-Length"] = str(len(payload))
        if payload:
            headers["Content-Type"] = FULL_TYPE
        headers = {name: value for name, value in {**headers, **(extra or {})}.items() if value is not None}
        if sign and "Authorization" not in headers:
            made = signature(self.simulator.key, self.simulator.account, method, target, headers)  # type: ignore[arg-type]
            headers["Authorization"] = f"SharedKey {self.simulator.account}:{made}"
        host = urlsplit(self.simulator.endpoint).netloc
        lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", *(f"{k}: {v}" for k, v in headers.items())]
        received = exchange(self.simulator.endpoint, "\r\n".join([*lines, "", ""]).encode() + payload)
        if not received:
            raise ConnectionResetError("no answer")
        head, _, rest = received.partition(b"\r\n\r\n")
        first, *rows = head.decode("latin-1").split("\r\n")
        _, status, reason = first.split(" ", 2)
        pairs = [tuple(row.split(": ", 1)) for row in rows]
        return Answer(int(status), reason, pairs, rest)  # type: ignore[arg-type]

    def control(self, method: str, path: str, body: Any = None) -> Any:
        """A control call that must succeed."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.simulator.control}/{path}", data, method=method)  # noqa: S310 - loopback
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - loopback
            return json.load(answer)

    def advance(self, count: float) -> None:
        self.control("POST", "clock", {"advance": count})

    def put(self, *pools: dict[str, Any], **more: Any) -> None:
        self.control("PUT", "state", {"pools": list(pools), **more})

    def pool(self, name: str = "p", **query: str) -> dict[str, Any]:
        return self("GET", f"/pools/{name}", query={"api-version": self.version, **query}).json

    def nodes(self, name: str = "p") -> list[dict[str, Any]]:
        return self("GET", f"/pools/{name}/nodes").json["value"]

    def upgrade(self, target: str, name: str = "p", **options: Any) -> Answer:
        return self("POST", f"/pools/{name}/upgradeos", {"targetOSVersion": target}, **options)

    def audit(self, kind: str | None = None) -> list[dict[str, Any]]:
        entries = self.control("GET", "audit")["entries"]
        return [entry for entry in entries if kind in (None, entry["kind"])]
