"""Authentication: shared key signatures and bearer tokens.

A signing mistake must be found here and not on the real service, so the signature is verified over the bytes on the
wire. Nothing is normalised: a header that a client did not send is signed as empty. Client generations differ in five
points: names of query parameters as sent or lower-cased, values decoded once or twice, empty values signed or left out,
path as sent or decoded, account as given or lower-cased. Every combination is accepted.
"""

from __future__ import annotations

import base64
import hmac
from email.utils import parsedate_to_datetime
from functools import lru_cache
from itertools import product
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, unquote_plus

from batch_os_provider.simulator.identity import principals
from batch_os_provider.simulator.identity.account_access import AUTHENTICATION_MODES
from batch_os_provider.simulator.world.clock import TICKS
from batch_os_provider.simulator.world.errors import BatchError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from batch_os_provider.simulator.protocol.wire import Incoming
    from batch_os_provider.simulator.world.world import World

MAX_DATE_SKEW: Final = 15 * 60
"""Seconds of wall time by which the signed date may be early or late."""

AUDIENCE: Final = "https://batch.core.windows.net/"
"""The audience of Batch's tokens in public Azure."""
LEEWAY: Final = 10
"""Seconds after its expiry for which an issued token is accepted, so that a token sent at the last moment arrives in
time. Services allow minutes; here a client that does not renew must be found sooner."""

_SIGNED: Final = (
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
)


def _refused(detail: str) -> BatchError:
    return BatchError("AuthenticationFailed", ("AuthenticationErrorDetail", detail))


def _check_access(access: Mapping[str, Any], mode: str) -> None:
    """Refuse a request that the settings of the account do not allow.

    Source of the detail: Azure/BatchExplorer#239. Batch's answer to a blocked network was never recorded. Azure Storage
    answers so, and Batch has the same code (Azure/BatchExplorer#2203).
    """
    if access.get("publicNetworkAccess") == "Disabled":
        raise BatchError("AuthorizationFailure")
    if mode not in access.get("allowedAuthenticationModes", AUTHENTICATION_MODES):
        raise _refused(f"The specified type of authentication {mode} is not allowed for this account.")


def authenticate(world: World, incoming: Incoming, wall: int) -> bool:
    """Check the Authorization header; True when the principal may only read. ``wall`` is wall time in ticks.

    Raises:
        BatchError: MissingRequiredHeader; AuthenticationFailed with the reason in its values; AuthorizationFailure
            without network access.
    """
    headers = incoming.headers
    if "authorization" not in headers:
        raise BatchError("MissingRequiredHeader", ("HeaderName", "Authorization"))
    scheme, _, credentials = headers["authorization"].partition(" ")
    if scheme.lower() in ("bearer", "sharedkey"):
        _check_access(world.access, "AAD" if scheme.lower() == "bearer" else "SharedKey")
    if scheme.lower() == "bearer":
        return _bearer(world, credentials.strip(), wall)
    if scheme.lower() != "sharedkey":
        raise _refused("The scheme of the Authorization header is neither SharedKey nor Bearer.")
    account, _, signature = credentials.strip().rpartition(":")
    if account.lower() != world.account.lower():
        raise _refused("The account of the Authorization header is not the account of this endpoint.")
    _check_date(headers, wall)
    key = _decoded_key(world.key)
    for text in _strings_to_sign(incoming, account):
        expected = base64.b64encode(hmac.digest(key, text.encode(), "sha256"))
        if hmac.compare_digest(expected, signature.encode("latin-1")):
            return False
    raise _refused("The MAC signature found in the HTTP request is not the same as any computed signature.")


@lru_cache(maxsize=8)
def _decoded_key(key: str) -> bytes:
    return base64.b64decode(key)


def _bearer(world: World, token: str, wall: int) -> bool:
    principal = principals.by_token(world.principals, token.encode("latin-1"))
    end = None if principal is None else principals.expiry(principal)
    issued = world.issued.tokens.get(token)
    if issued is not None and issued.audience:
        # Source of the sentence: Azure/azure-sdk-for-net#8026.
        raise _refused(
            f"The access token has been obtained from wrong audience or resource '{issued.audience}'. It should "
            f"exactly match (including forward slash) with one of the allowed audiences '{AUDIENCE}'."
        )
    if principal is None and issued is not None:
        principal, end = principals.by_name(world.principals, issued.holder), issued.end + LEEWAY * TICKS
    if principal is None:
        raise _refused("The access token is not one of this account's principals.")
    if end is not None and end <= wall:
        raise _refused("The access token has expired.")
    return bool(principal["readOnly"])


@lru_cache(maxsize=64)
def _seconds_of(date: str) -> float | None:
    try:
        return parsedate_to_datetime(date).timestamp()
    except (ValueError, TypeError):
        return None


def _check_date(headers: Mapping[str, str], wall: int) -> None:
    text = headers.get("ocp-date") or headers.get("date")
    if not text:
        raise _refused("Neither ocp-date nor Date was sent.")
    sent = _seconds_of(text)
    if sent is None:
        raise _refused("The date of the request is not in the RFC 1123 format.")
    if abs(wall / TICKS - sent) > MAX_DATE_SKEW:
        raise _refused("The date of the request is more than 15 minutes away from the time of the server.")


def _strings_to_sign(incoming: Incoming, account: str) -> Iterator[str]:
    """Each string that an official client may have signed for this request; the usual one first."""
    headers = incoming.headers
    head = "\n".join((incoming.method, *(headers.get(name, "") for name in _SIGNED)))
    ocp = "".join(f"\n{name}:{headers[name]}" for name in sorted(headers) if name.startswith("ocp-"))
    pairs = [pair.partition("=")[::2] for pair in incoming.query.split("&") if pair]
    paths = dict.fromkeys((incoming.path, unquote(incoming.path)))
    names = dict.fromkeys((account.lower(), account))
    for lower, twice, blanks in product((True, False), (False, True), (False, True)):
        lines = "".join(_query_lines(pairs, lower=lower, twice=twice, blanks=blanks))
        for name, shown in product(names, paths):
            yield f"{head}{ocp}\n/{name}{shown}{lines}"


def _query_lines(pairs: list[tuple[str, str]], *, lower: bool, twice: bool, blanks: bool) -> list[str]:
    decoded = []
    for raw_name, raw_value in pairs:
        name, value = unquote_plus(raw_name), unquote_plus(raw_value)
        if twice:
            name, value = unquote_plus(name), unquote_plus(value)
        if value or blanks:
            decoded.append((name.lower() if lower else name, value))
    decoded.sort(key=lambda pair: pair[0])
    return [f"\n{name}:{value}" for name, value in decoded]
