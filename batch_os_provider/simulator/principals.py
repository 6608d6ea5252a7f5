"""Who may ask with a token: the ``principals`` of the state.

Why it exists: the data plane and the endpoints that issue tokens must agree on who there is, so both look here.

A row is ``{"token": "...", "readOnly": true}``; ``name`` is what the holder shows to get the token (without it the
token itself), and ``expires`` is real time.
"""

from __future__ import annotations

import hmac
import re
from typing import TYPE_CHECKING, Any, Final

from .clock import parse_iso
from .reading import Reader, StateError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")


def read(row: object) -> dict[str, Any]:
    """Read one row.

    Raises:
        StateError: it is not one.
    """
    reader = Reader("principals", row)
    principal: dict[str, Any] = {
        "token": reader.take("token", str),
        "readOnly": reader.take("readOnly", bool, default=False),
    }
    name, expires = reader.take("name", str, None), reader.take("expires", str, None)
    if name is not None:
        if _NAME.fullmatch(name) is None:
            raise StateError(
                f"principals: {name!r} is not a name: 1 to 64 letters, digits, dots, hyphens, underscores."
            )
        principal["name"] = name
    if expires is not None:
        reader.time("expires", expires)
        principal["expires"] = expires
    reader.finish()
    return principal


def by_token(principals: Sequence[Mapping[str, Any]], token: bytes) -> Mapping[str, Any] | None:
    """Whose token it is."""
    return next((each for each in principals if _same(each["token"], token)), None)


def by_secret(principals: Sequence[Mapping[str, Any]], secret: bytes) -> Mapping[str, Any] | None:
    """Who gets a token for this: the name, or the token of one without a name."""
    return next((each for each in principals if _same(each.get("name", each["token"]), secret)), None)


def _same(known: str, given: bytes) -> bool:
    return hmac.compare_digest(known.encode(), given)


def expiry(principal: Mapping[str, Any]) -> int | None:
    """When the token ends, in ticks of wall time; None for never."""
    expires = principal.get("expires")
    return None if expires is None else parse_iso(expires)


def twice(principals: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Names and tokens that are there twice, as sentences: who asks must be one and the same principal."""
    names = [each["name"] for each in principals if "name" in each]
    yield from (
        f"There are two principals with the name {name}." for name in dict.fromkeys(names) if names.count(name) > 1
    )
    tokens = [each["token"] for each in principals]
    if len(set(tokens)) < len(tokens):
        yield "There are two principals with the same token."
