"""What was handed out: tokens and assertions of a short life, and a record of who asked.

A test must see that a token was renewed, and with an assertion that nobody had used before, and no
secret may stand in what it reads. So what was handed out is known here by its text and shown by its number.
Nothing of this is in the state: after a restart the holders sign in again, as after a revocation.
"""

from __future__ import annotations

import base64
import json
import secrets
from collections import deque
from dataclasses import dataclass
from typing import Any, Final

from batch_os_provider.simulator.world.clock import TICKS, iso

MAX_KEPT: Final = 10_000
"""Entries of the record, tokens, and assertions kept; older ones fall out."""


@dataclass(slots=True)
class IssuedToken:
    """Something handed out: its number, whose it is, and when it ends (ticks of wall time)."""

    number: int
    holder: str
    end: int
    used: bool = False


class Issued:
    """Everything that was handed out since the beginning."""

    def __init__(self) -> None:
        self.tokens: dict[str, IssuedToken] = {}
        self.assertions: dict[str, IssuedToken] = {}
        self.record: deque[dict[str, Any]] = deque(maxlen=MAX_KEPT)
        self._number = 0

    def clear(self) -> None:
        """Forget everything."""
        self.tokens.clear()
        self.assertions.clear()
        self.record.clear()
        self._number = 0

    def token(self, holder: str, end: int) -> str:
        """A new token."""
        return self._issue(self.tokens, secrets.token_urlsafe(32), holder, end)

    def assertion(self, holder: str, end: int, audience: str) -> str:
        """A new assertion, which looks like a JWT and is signed by nobody."""
        claims = {"sub": holder, "aud": audience, "exp": end // TICKS, "jti": secrets.token_hex(8)}
        parts = [{"alg": "none", "typ": "JWT"}, claims]
        text = ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts)
        return self._issue(self.assertions, f"{text}.{secrets.token_urlsafe(32)}", holder, end)

    def _issue(self, kind: dict[str, IssuedToken], text: str, holder: str, end: int) -> str:
        self._number += 1
        kind[text] = IssuedToken(self._number, holder, end)
        if len(kind) > MAX_KEPT:
            del kind[next(iter(kind))]
        return text

    def log(self, wall: int, way: str, **what: Any) -> None:
        """Record a request: which way it came, and what became of it."""
        self.record.append({"wall": iso(wall), "way": way, **what})
