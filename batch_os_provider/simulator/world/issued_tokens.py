"""Issued tokens and assertions, and a record of the requests for them.

A test must see that a token was renewed with an unused assertion, without reading a secret. So tokens and assertions
are stored by their text and listed by their number. They are not in the state: after a restart the principals sign in
again, as after a revocation.
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
"""Number of record entries, of tokens and of assertions kept; older ones are removed."""


@dataclass(slots=True)
class IssuedToken:
    """A token or an assertion: its number, its principal, its expiry (ticks of wall time), and whom it is for.

    ``audience`` is empty for Batch.
    """

    number: int
    holder: str
    end: int
    used: bool = False
    audience: str = ""


class Issued:
    """All tokens and assertions since the start."""

    def __init__(self) -> None:
        self.tokens: dict[str, IssuedToken] = {}
        self.assertions: dict[str, IssuedToken] = {}
        self.record: deque[dict[str, Any]] = deque(maxlen=MAX_KEPT)
        self._number = 0

    def clear(self) -> None:
        """Remove everything, and restart the numbering."""
        self.tokens.clear()
        self.assertions.clear()
        self.record.clear()
        self._number = 0

    def token(self, holder: str, end: int, audience: str = "") -> str:
        """A new token; ``audience`` is empty for Batch."""
        text = self._issue(self.tokens, secrets.token_urlsafe(32), holder, end)
        self.tokens[text].audience = audience
        return text

    def assertion(self, holder: str, end: int, audience: str) -> str:
        """A new assertion: it has the form of a JWT, without a signature."""
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
        """Record a request: the kind of sign-in, and its result."""
        self.record.append({"wall": iso(wall), "way": way, **what})
