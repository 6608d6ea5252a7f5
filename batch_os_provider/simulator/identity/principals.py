"""The ``principals`` of a state: Entra identities that may use the account.

The data plane and the token endpoints must agree on the principals, so both use this module.

A row is ``{"token": "...", "readOnly": true}``. The holder gets the token with ``name`` (by default with the token
itself). ``expires`` is real time. The fields of an Entra application are optional: ``name`` is its client id,
``tenant`` its only directory, ``secret`` its client secret. ``assertions`` describes those of the CI system that it
trusts (``lifetime`` in seconds; ``once``: each can be used once). With ``lifetime``, each token is new and valid for so
many seconds. ``subscriptions`` are the ids of those in which the principal may read image versions.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from typing import TYPE_CHECKING, Any, Final

from batch_os_provider.simulator.world.clock import parse_iso
from batch_os_provider.simulator.world.reader import Reader, StateError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_TENANT: Final = re.compile(r"[A-Za-z0-9.-]{1,64}")
_DAY: Final = 24 * 3600
ASSERTION_LIFETIME: Final = 300
"""Default lifetime of an assertion in seconds, as at GitHub."""


def read(row: object) -> dict[str, Any]:
    """Read one row.

    Raises:
        StateError: the row is invalid.
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
        reader.parse_time("expires", expires)
        principal["expires"] = expires
    subscriptions = reader.take("subscriptions", list, None)
    if subscriptions is not None:
        if not subscriptions or not all(isinstance(each, str) and _NAME.fullmatch(each) for each in subscriptions):
            raise StateError("principals: subscriptions is a list of subscription ids: at least one.")
        principal["subscriptions"] = subscriptions
    principal |= _application(reader, named=name is not None)
    reader.finish()
    return principal


def _application(reader: Reader, *, named: bool) -> dict[str, Any]:
    """The fields of an Entra application."""
    texts = {key: value for key in ("tenant", "secret") if (value := reader.take(key, str, None)) is not None}
    if "tenant" in texts and _TENANT.fullmatch(texts["tenant"]) is None:
        raise StateError(f"principals: {texts['tenant']!r} is not a tenant: 1 to 64 letters, digits, dots, hyphens.")
    if texts.get("secret") == "":
        raise StateError("principals: a secret cannot be empty.")
    found: dict[str, Any] = {**texts, **_lifetime("principals", reader)}
    assertions = reader.take("assertions", dict, None)
    if assertions is not None:
        inner = Reader("principals assertions", assertions)
        found["assertions"] = {
            "lifetime": ASSERTION_LIFETIME,
            **_lifetime(inner.where, inner),
            "once": inner.take("once", bool, default=False),
        }
        inner.finish()
    if not named and found:
        raise StateError(f"principals: {next(iter(found))} needs a principal with a name.")
    return found


def _lifetime(where: str, reader: Reader) -> dict[str, int]:
    seconds = reader.take("lifetime", int, None)
    if seconds is None:
        return {}
    if not 1 <= seconds <= _DAY:
        raise StateError(f"{where}: lifetime is a number of seconds from 1 to {_DAY}.")
    return {"lifetime": seconds}


def by_token(principals: Sequence[Mapping[str, Any]], token: bytes) -> Mapping[str, Any] | None:
    """The principal with a token."""
    return next((each for each in principals if secrets_match(each["token"], token)), None)


def by_name(principals: Sequence[Mapping[str, Any]], name: str) -> Mapping[str, Any] | None:
    """The principal with a name."""
    return next((each for each in principals if each.get("name") == name), None)


def by_secret(principals: Sequence[Mapping[str, Any]], secret: bytes) -> Mapping[str, Any] | None:
    """The principal that gets a token for this text: its name, or its token if it has no name."""
    return next((each for each in principals if secrets_match(each.get("name", each["token"]), secret)), None)


def secrets_match(known: str, given: bytes) -> bool:
    """Whether two secrets are equal, compared in constant time."""
    return hmac.compare_digest(known.encode(), given)


def expiry(principal: Mapping[str, Any]) -> int | None:
    """When the token expires, in ticks of wall time; None for never."""
    expires = principal.get("expires")
    return None if expires is None else parse_iso(expires)


def duplicates(principals: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """An error for each name or token that two principals share: a request must have one principal."""
    names = [each["name"] for each in principals if "name" in each]
    yield from (f"Two principals have the name {name}." for name in dict.fromkeys(names) if names.count(name) > 1)
    tokens = [each["token"] for each in principals]
    if len(set(tokens)) < len(tokens):
        yield "Two principals have the same token."


def usable_key(key: str) -> bool:
    """Whether a text can be an account key."""
    try:
        return len(base64.b64decode(key, validate=True)) > 0
    except (binascii.Error, ValueError):
        return False
