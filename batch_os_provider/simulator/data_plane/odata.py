"""``$select`` and paging of the lists (``$filter`` is :mod:`.filters`).

Clients page on their own; some always send maxresults=1000.

A skip token is the id after which the next page begins, in base64url. It works for clients that decode a query twice.
If the list changes between two pages, no node is listed twice and no node that stays is missed.
"""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from batch_os_provider.simulator.world.errors import BatchError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from batch_os_provider.simulator.data_plane.filters import Predicate

MAX_RESULTS: Final = 1000
_ALWAYS: Final = ("odata.", "virtualMachineInfo", "upgradePolicy")
"""Returned whatever ``$select`` says: the last two are recorded so, for nodes (2024-03) and for pools (2025-07)."""


def _bad(name: str, value: str, reason: str) -> BatchError:
    return BatchError(
        "InvalidQueryParameterValue",
        ("QueryParameterName", name),
        ("QueryParameterValue", value),
        ("Reason", reason),
    )


@lru_cache(maxsize=256)
def parse_select(text: str, known: frozenset[str]) -> frozenset[str]:
    """Read a ``$select``: names, or paths whose first segment is used.

    Raises:
        BatchError: InvalidQueryParameterValue for a name that no version has.
    """
    names = frozenset(part.strip().split("/")[0] for part in text.split(",") if part.strip())
    for name in sorted(names - known):
        raise _bad("$select", text, f"The property {name} does not exist")
    return names


def select(item: dict[str, Any], names: frozenset[str] | None) -> dict[str, Any]:
    """The item with the selected properties and the odata annotations."""
    if not names:
        return item
    return {name: value for name, value in item.items() if name in names or name.startswith(_ALWAYS)}


def max_results(text: str | None, limit: int) -> int:
    """The page size.

    Raises:
        BatchError: InvalidQueryParameterValue, with the recorded message.
    """
    if text is None:
        return limit
    try:
        count = int(text)
    except ValueError:
        raise _bad("maxresults", text, "MaxResults must be an integer") from None
    if count < 1:
        raise _bad("maxresults", text, "MaxResults cannot be less than 1")
    if count > limit:
        raise _bad("maxresults", text, f"MaxResults cannot be greater than {limit}")
    return count


def _token(name: str) -> str:
    return urlsafe_b64encode(name.encode()).decode().rstrip("=")


def _id_in(token: str) -> str:
    try:
        name = urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode()
    except (binascii.Error, UnicodeDecodeError):
        name = ""
    if _token(name) != token:
        raise _bad("$skiptoken", token, "The skip token is not one that this service gave out")
    return name


def page(
    rows: Iterable[tuple[str, Callable[[], dict[str, Any]]]],
    query: Mapping[str, str],
    limit: int,
    predicate: Predicate | None,
    next_url: Callable[[str], str],
) -> dict[str, Any]:
    """One page of ``(key, make)`` rows: sorted by key, filtered, and with a link to the next page if there is one."""
    size = max_results(query.get("maxresults"), limit)
    token = query.get("$skiptoken")
    start = _id_in(token) if token else ""
    items: list[dict[str, Any]] = []
    last = ""
    for key, make in sorted(rows, key=lambda row: row[0]):
        if key <= start:
            continue
        item = make()
        if predicate is not None and not predicate(item):
            continue
        if len(items) == size:
            return {"value": items, "odata.nextLink": next_url(_token(last))}
        items.append(item)
        last = key
    return {"value": items}


def link(url: str, query: Mapping[str, str], token: str) -> str:
    """The absolute link to the next page: the query of the request and a skip token. Clients request it unchanged."""
    kept = {name: value for name, value in query.items() if name not in ("$skiptoken", "timeout")}
    pairs = [*kept.items(), ("$skiptoken", token)]
    return url + "?" + "&".join(f"{quote(name, safe='$-')}={quote(value, safe='')}" for name, value in pairs)
