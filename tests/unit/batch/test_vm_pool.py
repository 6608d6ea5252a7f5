"""Pins what is read of a VM pool and its nodes, the note, and what the client's writes send."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_os_provider.batch.client import BatchClient
from batch_os_provider.batch.image_version import parse_image_version
from batch_os_provider.batch.vm_pool import MARKER, Marker, VmNode, VmPool
from tests.unit.rollout.doubles import REF
from tests.unit.rollout.image_renewal.image_doubles import body_of, pool_of
from tests.unit.rollout.stage import quick

parts = st.lists(st.integers(0, 10**9 - 1), min_size=2, max_size=5)


@quick
@given(one=parts, other=parts)
def test_versions_are_ordered_by_their_numbers(one: list[int], other: list[int]) -> None:
    first, second = (parse_image_version(".".join(map(str, each))) for each in (one, other))
    assert first is not None
    assert second is not None
    assert (first < second) == (one < other)
    assert (first == second) == (one == other)


@pytest.mark.parametrize(
    "text", ["latest", "", "1", "1.", "1..2", "1.2 ", "1.2\n", "-1.2", "1.2.3.4.5.6", "\u0661.\u0662", None, 1.2]
)
def test_what_is_no_version(text: object) -> None:
    assert parse_image_version(text) is None


@quick
@given(size=st.integers(0, 10**6), surge=st.integers(1, 100), newest=st.text(max_size=40))
def test_a_note_comes_back_as_it_was(size: int, surge: int, newest: str) -> None:
    mark = Marker(size, surge, newest)
    assert Marker.parse(str(mark)) == mark
    assert '"v":1,' in str(mark), "every release reads it"
    assert json.loads(str(mark))["size"] == size


@quick
@given(
    size=st.integers(0, 10**6),
    spot=st.integers(0, 10**6),
    surge=st.integers(0, 100),
    unavailable=st.integers(1, 100),
)
def test_a_note_with_nodes_that_may_be_missing_has_a_form_of_its_own(
    size: int, spot: int, surge: int, unavailable: int
) -> None:
    """An earlier release takes it for the text of another program, and refuses the pool."""
    mark = Marker(size, surge, "2018-11-30T12:00:02.000000Z", spot, unavailable)
    assert Marker.parse(str(mark)) == mark
    assert json.loads(str(mark))["v"] == 3
    assert mark.sizes == (size, spot)


@quick
@given(formula=st.text(min_size=1, max_size=200), interval=st.sampled_from(("", "PT7M")), begun=st.booleans())
def test_a_note_keeps_the_formula_as_people_wrote_it(formula: str, interval: str, begun: bool) -> None:
    mark = Marker(3, 1, "2018-11-30T12:00:02.000000Z", 0, 0, formula, interval, begun)
    assert Marker.parse(str(mark)) == mark
    assert json.loads(str(mark))["formula"] == formula


@quick
@given(
    text=st.one_of(st.none(), st.text(), st.integers(), st.recursive(st.none() | st.text(), st.lists).map(json.dumps))
)
def test_anything_else_is_no_note_and_no_error(text: object) -> None:
    assert Marker.parse(text) is None


@pytest.mark.parametrize(
    "text",
    [
        '{"size":1}',
        '{"size":1,"surge":"x","newest":""}',
        '{"size":null,"surge":1,"newest":""}',
        '{"size":Infinity,"surge":1,"newest":""}',
        '{"size":NaN,"surge":1,"newest":""}',
        '{"size":-1,"surge":1,"newest":""}',
        '{"size":1,"surge":0,"newest":""}',
        '{"v":2,"size":1,"surge":1,"newest":""}',
        '{"v":3,"size":1,"surge":0,"newest":"","spot":0,"unavailable":0}',
        '{"v":3,"size":1,"surge":0,"newest":"","spot":-1,"unavailable":1}',
        '{"v":3,"size":1,"surge":-1,"newest":"","spot":0,"unavailable":2}',
        '{"v":3,"size":1,"surge":1,"newest":"","unavailable":1}',
        '{"v":4,"size":1,"surge":1,"newest":"","spot":0,"unavailable":1}',
    ],
)
def test_a_note_that_is_not_one_of_ours(text: str) -> None:
    """Each would make the cycle resize to nonsense, or for ever; a later form is not ours to read."""
    assert Marker.parse(text) is None


def test_the_note_is_read_from_metadata_among_others() -> None:
    mark = Marker(3, 1, "x")
    pool = VmPool.from_json(REF, body_of(pool_of(3, metadata=(("a", "b"), (MARKER, str(mark))))))
    assert (pool.marker, pool.marker_text) == (mark, str(mark))
    other = VmPool.from_json(REF, body_of(pool_of(3, metadata=((MARKER, "free text"),))))
    assert (other.marker, other.marker_text) == (None, "free text")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"virtualMachineConfiguration": "x", "metadata": "y", "resizeErrors": 3, "upgradePolicy": []},
        {
            "virtualMachineConfiguration": {"imageReference": []},
            "metadata": [None, {"name": 1}],
            "resizeErrors": [None],
        },
        {"targetDedicatedNodes": True, "currentDedicatedNodes": "5"},
    ],
    ids=["nothing", "other types", "other types inside", "no numbers"],
)
def test_a_pool_in_any_shape_is_read(body: dict[str, Any]) -> None:
    pool = VmPool.from_json(REF, body)
    assert (pool.size, pool.current, pool.marker, pool.automatic) == (0, 0, None, False)


@pytest.mark.parametrize(
    "body",
    [{}, {"virtualMachineInfo": None, "errors": {}, "startTaskInfo": 1}, {"errors": [None], "runningTasksCount": None}],
    ids=["nothing", "other types", "other types inside"],
)
def test_a_node_in_any_shape_is_read(body: dict[str, Any]) -> None:
    node = VmNode.from_json(body)
    assert (node.version, node.version_text, node.running_tasks, node.error) == (None, "", 0, "")
    assert node.dedicated
    assert not node.is_ready


@pytest.mark.parametrize("result", ["failure", "running"])
def test_a_node_whose_start_task_has_not_succeeded_is_not_ready_though_it_is_idle(result: str) -> None:
    """With waitForSuccess=false a node is idle while its start task runs, and after it has failed."""
    info = {"state": "running"} if result == "running" else {"state": "completed", "result": "failure", "exitCode": 1}
    node = VmNode.from_json({"id": "n", "state": "idle", "startTaskInfo": info})
    assert not node.is_ready


def test_times_sort_by_the_moment_not_by_the_text() -> None:
    early = VmNode.from_json({"allocationTime": "2026-01-01T12:00:00+02:00"})
    late = VmNode.from_json({"allocationTime": "2026-01-01T11:00:00Z"})
    assert early.allocated < late.allocated
    assert VmNode.from_json({"allocationTime": "2026-01-01T11:00:00.1234567Z"}).allocated > late.allocated


class Wire:
    """Stands for the connection: keeps what is sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str, str, Any]] = []

    def send(self, method: str, path: str, _ref: object, *, etag: str, body: Mapping[str, Any], **_rest: str) -> None:
        self.sent.append((method, path, etag, body))

    def pages(self, path: str, _ref: object) -> Iterator[Mapping[str, Any]]:
        self.sent.append(("GET", path, "", None))
        return iter(())


@pytest.fixture
def wired() -> tuple[BatchClient, Wire]:
    """A client without an account."""
    client, wire = BatchClient.__new__(BatchClient), Wire()
    client._connection = wire  # type: ignore[assignment]
    return client, wire


POOL = VmPool.from_json(REF, body_of(pool_of(3, spot=7, configuration={"licenseType": "x"})), etag="0xAB")


def test_every_write_is_conditional_and_says_what_it_means(wired: tuple[BatchClient, Wire]) -> None:
    client, wire = wired
    client.resize(POOL, 4)
    client.remove_nodes(POOL, ("a", "b"), 5400.0)
    client.set_marker(POOL, Marker(3, 1, "x"))
    client.set_marker(POOL, None)
    client.repin(POOL, "1.2.3")
    assert {etag for *_, etag, _ in wire.sent} == {"0xAB"}
    resize, remove, note, clear, repin = (body for *_, body in wire.sent)
    assert resize == {"targetDedicatedNodes": 4, "targetLowPriorityNodes": 7}, "spot stays as it was read"
    assert remove == {"nodeList": ["a", "b"], "nodeDeallocationOption": "taskcompletion", "resizeTimeout": "PT1H30M"}
    owner = {"name": "owner", "value": "render team"}
    assert note == {"metadata": [owner, {"name": MARKER, "value": str(Marker(3, 1, "x"))}]}
    assert clear == {"metadata": [owner]}
    assert repin == {
        "virtualMachineConfiguration": {
            **POOL.configuration,
            "imageReference": {**POOL.configuration["imageReference"], "version": "1.2.3"},
        }
    }
    assert POOL.configuration["imageReference"]["version"] == "latest", "what was read is not changed"


@pytest.mark.parametrize(("seconds", "text"), [(300.0, "PT5M"), (3600.0, "PT1H"), (2592000.0, "P30D")])
def test_the_drain_timeout_is_sent_as_batch_spells_it(
    seconds: float, text: str, wired: tuple[BatchClient, Wire]
) -> None:
    client, wire = wired
    client.remove_nodes(POOL, ("a",), seconds)
    assert wire.sent[0][3]["resizeTimeout"] == text


def test_nodes_are_asked_for_with_all_that_is_read_of_them(wired: tuple[BatchClient, Wire]) -> None:
    client, wire = wired
    client.list_vm_nodes(REF)
    for name in ("id", "state", "isDedicated", "allocationTime", "virtualMachineInfo", "runningTasksCount", "errors"):
        assert name in wire.sent[0][1]
    assert "startTaskInfo" in wire.sent[0][1]
