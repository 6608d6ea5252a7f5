"""The two spellings of a pool: its URL, which is the resource id, and (endpoint, pool id).

Inputs, resource ids and the command line share this grammar, which is checked without a network.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import quote, unquote, urlsplit

__all__ = ["POOL_ID", "PoolRef", "account_in", "is_loopback", "parse_endpoint", "parse_pool_url"]


POOL_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""Swagger: 1-64 of letters, digits, hyphen, underscore; case-preserving, case-insensitive."""


# The standard library silently drops these from a URL.
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


_HOST = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")


_DEFAULT_PORTS = {"https": 443, "http": 80}


@dataclass(frozen=True)
class PoolRef:
    """Where a pool is: the account's endpoint, normalised, and the pool id as declared."""

    endpoint: str
    pool_id: str

    @property
    def url(self) -> str:
        """The pool's URL, which is also the resource id in Pulumi."""
        return f"{self.endpoint}/pools/{quote(self.pool_id, safe='')}"

    @property
    def key(self) -> str:
        """Equal for two spellings of one pool: Batch compares pool ids without case."""
        return self.url.lower()


def parse_endpoint(text: str) -> str:
    """Normalise an account endpoint: ``scheme://host[:port]``, lower case, no trailing slash.

    No scheme means https; http is for loopback only (a key would cross the network in the
    clear otherwise). A host has a dot (``account.region.batch.azure.com``), or is an address or ``localhost``.
    Raises ValueError; its text says what is wrong.
    """
    stripped = text.strip()
    if _CONTROL.search(stripped):
        raise ValueError("it contains a control character")
    parts = urlsplit(stripped if "://" in stripped else f"https://{stripped}")
    scheme, host = parts.scheme.lower(), (parts.hostname or "").lower()
    if scheme not in _DEFAULT_PORTS:
        raise ValueError(f"the scheme {scheme!r} is not https")
    if "@" in stripped:  # also if a password with a slash makes it look like a path
        raise ValueError("it contains a user name or password")
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError(f"it has more than a host: {(parts.path + ('?' + parts.query if parts.query else ''))!r}")
    address = _ip(host)
    bracketed = isinstance(address, ipaddress.IPv6Address)
    if ("[" in parts.netloc) != bracketed or not (address or _HOST.fullmatch(host)):
        raise ValueError(f"{host!r} is not a host name")
    if address is None and "." not in host and not is_loopback(host):
        raise ValueError("it has no dot, so it is not the host of an account")
    if scheme == "http" and not is_loopback(host):
        raise ValueError("http is for loopback only, the account's key or token would cross the network in the clear")
    if parts.netloc.endswith(":"):
        raise ValueError("the port is missing")
    port = parts.port  # the standard library raises ValueError for an invalid port
    if port == 0:
        raise ValueError("0 is not a port")
    shown = host if address is None else f"[{address.compressed}]" if bracketed else address.compressed
    return f"{scheme}://{shown}" + ("" if port in (None, _DEFAULT_PORTS[scheme]) else f":{port}")


def parse_pool_url(url: str) -> PoolRef:
    """The inverse of ``PoolRef.url``. Raises ValueError; its text says what is wrong."""
    endpoint, separator, pool_id = url.strip().rstrip("/").rpartition("/pools/")
    if not separator:
        raise ValueError("it has no /pools/<pool id>")
    pool_id = unquote(pool_id)
    if not POOL_ID.fullmatch(pool_id):
        raise ValueError(f"{pool_id!r} is not a pool id (1-64 of letters, digits, - and _)")
    return PoolRef(parse_endpoint(endpoint), pool_id)


def account_in(endpoint: str) -> str:
    """The account's name by its endpoint, normalised: the first part of the host."""
    return (urlsplit(endpoint).hostname or "").partition(".")[0]


def is_loopback(host: str) -> bool:
    """Whether a host or an endpoint is always this machine."""
    name = (urlsplit(host).hostname or "") if "://" in host else host
    address = _ip(name)
    return name.lower() == "localhost" if address is None else address.is_loopback


def _ip(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
