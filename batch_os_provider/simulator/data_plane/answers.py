"""The answers that handlers share: a resource, a page of a list, an accepted write.

Each operation of Batch answers in one of five forms. Here the headers and the query of each form are applied once.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from batch_os_provider.simulator.data_plane.filters import parse_filter
from batch_os_provider.simulator.data_plane.odata import MAX_RESULTS, link, page, parse_select, select
from batch_os_provider.simulator.protocol.response_shapes import wire_names
from batch_os_provider.simulator.protocol.wire import Answer
from batch_os_provider.simulator.world.clock import http_date

if TYPE_CHECKING:
    from collections.abc import Callable

    from batch_os_provider.simulator.data_plane.request import Request
    from batch_os_provider.simulator.world.model import Job, Pool, Task

    Rows = list[tuple[str, Callable[[], dict[str, Any]]]]
    """The key by which a list is sorted, and what makes the item."""

_COMMON_FILTERS: Final = frozenset({"id", "state", "creationTime", "lastModified", "stateTransitionTime"})
_FILTERS: Final = {
    "pools": _COMMON_FILTERS | {"allocationState", "allocationStateTransitionTime"},
    "nodes": frozenset({"id", "state", "stateTransitionTime", "lastBootTime", "allocationTime"}),
    "poolnodecounts": frozenset({"poolId"}),
    "supportedimages": frozenset({"osType", "verificationType", "nodeAgentSKUId"}),
    "jobs": _COMMON_FILTERS,
    "tasks": _COMMON_FILTERS,
}


def with_etag(
    status: int, resource: Pool | Job | Task, *headers: tuple[str, str], body: dict[str, Any] | None = None
) -> Answer:
    """An answer with the ETag and the Last-Modified of a resource."""
    stamps = [("ETag", resource.etag), ("Last-Modified", http_date(resource.modified))]
    return Answer(status, body, [*stamps, *headers])


def accepted(request: Request, resource: Pool | Job | Task, status: int = 202) -> Answer:
    """The answer to an action on a resource, without a body."""
    return with_etag(status, resource, ("DataServiceId", request.url))


def created(request: Request, resource: Pool | Job | Task) -> Answer:
    """The answer to a new resource, without a body."""
    url = f"{request.url}/{resource.id}"
    return with_etag(201, resource, ("DataServiceId", url), ("Location", url))


def single(request: Request, kind: str, item: dict[str, Any], resource: Pool | Job | Task | None = None) -> Answer:
    """One resource, with the properties of ``$select``; ``resource`` gives the answer its ETag."""
    wanted = request.query.get("$select")
    names = parse_select(wanted, wire_names(kind)) if wanted else None
    body = {"odata.metadata": f"{request.base}/$metadata#{kind}/@Element", **select(item, names)}
    return Answer(200, body) if resource is None else with_etag(200, resource, body=body)


def list_page(request: Request, kind: str, rows: Rows, limit: int = MAX_RESULTS) -> Answer:
    """One page of a list, by ``$filter``, ``$select`` and the paging parameters; ``limit`` is the largest page."""
    query = request.query
    passes = parse_filter(query["$filter"], _FILTERS[kind]) if query.get("$filter") else None
    wanted = query.get("$select")
    names = parse_select(wanted, wire_names(kind)) if wanted and kind != "poolnodecounts" else None
    body = page(rows, query, limit, passes, partial(link, request.url, query))
    body["value"] = [select(item, names) for item in body["value"]]
    return Answer(200, {"odata.metadata": f"{request.base}/$metadata#{kind}", **body})
