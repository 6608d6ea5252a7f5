"""Filters, selections and pages."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_os_provider.simulator.data_plane.filters import parse_filter
from batch_os_provider.simulator.data_plane.odata import page
from batch_os_provider.simulator.world.errors import BatchError
from tests.simulator.raw_client import LAST
from tests.simulator.seeds import NEW, job, paas

NAMES = frozenset({"id", "state"})


@pytest.mark.parametrize(
    ("text", "passes"),
    [
        ("state eq 'active'", ["a", "b"]),
        ("state ne 'active'", ["c"]),
        ("id eq 'A'", ["a"]),
        ("(state eq 'active') and (id ne 'a')", ["b"]),
        ("state eq 'active' AND id eq 'b'", ["b"]),
        ("id eq 'it''s and eq'", []),
        ("state eq 'Active'", []),
        ("state eq 'deleting' or id eq 'a'", ["a", "c"]),
        ("id eq 'c' or id eq 'a' and state eq 'deleting'", ["c"]),
        ("(id eq 'c' or id eq 'a') and state eq 'active'", ["a"]),
        ("not (state eq 'active')", ["c"]),
        ("startswith(id,'A')", ["a"]),
        ("startswith(state, 'd') or id ge 'c'", ["c"]),
        ("id gt 'a' and id le 'b'", ["b"]),
    ],
)
def test_filters(text, passes):
    items = [{"id": "a", "state": "active"}, {"id": "b", "state": "active"}, {"id": "c", "state": "deleting"}]
    assert [item["id"] for item in items if parse_filter(text, NAMES)(item)] == passes


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "state",
            "state eq",
            "state eq active",
            "state gt 'a'",
            "((id eq 'a')",
            "id eq 'a')",
            "size eq '1'",
            "id eq '",
        ),
        *("state eq 'a' or", "or state eq 'a'", "startswith(state)", "startswith(size,'a')", "endswith(id,'a')", "not"),
        *("id eq DateTime'2018-01-01T00:00:00Z'", "state eq 'a' id eq 'b'", "(" * 5000, "not " * 5000 + "id eq 'a'"),
    ],
)
def test_filters_that_are_refused(text):
    with pytest.raises(BatchError, match="InvalidQueryParameterValue"):
        parse_filter(text, NAMES)


@given(st.text(st.characters(blacklist_categories=["Cs"])))
def test_any_value_can_be_filtered_for(value):
    quoted = value.replace("'", "''")
    assert parse_filter(f"state eq '{quoted}'", NAMES)({"state": value})


@given(st.sets(st.text("abc-_0", min_size=1), max_size=12), st.integers(1, 5))
def test_pages_hold_everything_once(names, size):
    seen: list[str] = []
    query = {"maxresults": str(size)}
    while True:
        rows = [(name, lambda name=name: {"id": name}) for name in names]
        shown = page(rows, query, 1000, None, lambda token: token)
        assert len(shown["value"]) <= size
        seen += [item["id"] for item in shown["value"]]
        if "odata.nextLink" not in shown:
            break
        assert all(character.isalnum() or character in "-_" for character in shown["odata.nextLink"])
        query["$skiptoken"] = shown["odata.nextLink"]
    assert seen == sorted(names)


def test_next_links_are_absolute_and_repeat_the_question(client):
    client.put(paas(nodes=5), jobs=[job("sleep 9")])
    query = f"api-version={LAST}&maxresults=2&%24filter=state%20eq%20'idle'&$select=id,state&timeout=30"
    answer = client("GET", "/pools/p/nodes", query=query).json
    assert [sorted(node) for node in answer["value"]] == [["id", "state"]] * 2
    seen = list(answer["value"])
    while "odata.nextLink" in answer:
        link = answer["odata.nextLink"]
        assert link.startswith(client.simulator.endpoint + "/pools/p/nodes?api-version=")
        for part in ("$filter=", "$select=", "maxresults=2", "$skiptoken="):
            assert part in link
        parts = urlsplit(link)
        answer = client.send("GET", f"{parts.path}?{parts.query}", None, {"Content-Type": "application/json"}).json
        seen += answer["value"]
    assert [node["id"] for node in seen] == [f"tvm-{place}" for place in (2, 3, 4, 5)]


def test_a_list_that_shrinks_between_pages_misses_nobody_who_stays(client):
    client.put(*(paas(f"p{place}", nodes=0) for place in range(4)))
    first = client("GET", "/pools", query=f"api-version={LAST}&maxresults=2").json
    client("DELETE", "/pools/p1")
    client.advance(60)
    parts = urlsplit(first["odata.nextLink"])
    rest = client.send("GET", f"{parts.path}?{parts.query}", None).json
    assert [pool["id"] for pool in rest["value"]] == ["p2", "p3"]


def test_pools_by_state_and_allocation_state(client):
    client.put(paas("a"), paas("b"), paas("c"))
    client.upgrade(NEW, "b")
    client("POST", "/pools/c/resize", {"targetDedicatedNodes": 9})

    def listed(text):
        return [
            pool["id"] for pool in client("GET", "/pools", query={"api-version": LAST, "$filter": text}).json["value"]
        ]

    assert listed("state eq 'upgrading'") == ["b"]
    assert listed("state eq 'active' and allocationState eq 'resizing'") == ["c"]
    assert listed("id eq 'A'") == ["a"]


def test_selection_of_one(client):
    client.put(paas())
    shown = client(
        "GET", "/pools/p", query={"api-version": LAST, "$select": "id,state,cloudServiceConfiguration/osFamily"}
    ).json
    assert set(shown) == {"odata.metadata", "id", "state", "cloudServiceConfiguration"}
