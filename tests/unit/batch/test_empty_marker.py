"""The marker of the strategy ``empty``: written, read again, and never taken from another text."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_os_provider.batch.address import PoolRef
from batch_os_provider.batch.empty_marker import EmptyMarker, PoolImage
from batch_os_provider.batch.vm_pool import MARKER, Marker, VmPool
from tests.unit.rollout.stage import quick

HPC = "microsoft-dsvm:ubuntu-hpc:2204"
FORMULA = '// "nights"\r\n$TargetDedicatedNodes = min(4, $PendingTasks.GetSample(1)); \u00e9\\n'
MARKERS = st.builds(
    EmptyMarker,
    size=st.integers(0, 10_000),
    spot=st.integers(0, 10_000),
    image=st.text(max_size=80),
    pins=st.lists(st.text(max_size=30), min_size=1, max_size=4).map(tuple),
    formula=st.text(max_size=200),
    interval=st.just(""),
    canary=st.integers(1, 100),
)
MOVED = st.builds(
    lambda marker, moves, agent: replace(marker, moves=tuple(moves), agent=agent),
    MARKERS,
    st.lists(st.builds(PoolImage, st.text(max_size=80), st.text(max_size=20), st.text(max_size=30)), min_size=1),
    st.text(max_size=30),
)


@quick
@given(MARKERS | MOVED)
def test_what_is_written_is_read_again(marker: EmptyMarker) -> None:
    assert EmptyMarker.parse(str(marker)) == marker
    assert Marker.parse(str(marker)) is None


def test_the_text_of_a_marker_stays_as_it_is() -> None:
    """Older and newer releases read it, and so do people."""
    fixed = EmptyMarker(31, 4, HPC, ("22.04.2024073001", "22.04.2024102301"))
    assert str(fixed) == (
        f'{{"v":2,"size":31,"spot":4,"canary":1,"image":"{HPC}","pins":["22.04.2024073001","22.04.2024102301"]}}'
    )
    held = EmptyMarker(3, 0, HPC, ("latest", "22.04.2024102301"), FORMULA, "PT7M", 2)
    assert json.loads(str(held)) == {
        "v": 2,
        "size": 3,
        "spot": 0,
        "canary": 2,
        "image": HPC,
        "pins": ["latest", "22.04.2024102301"],
        "formula": FORMULA,
        "interval": "PT7M",
    }


BODY = {"v": 2, "size": 1, "spot": 0, "canary": 1, "image": HPC, "pins": ["1.2"]}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "[]",
        "null",
        '{"v":1,"size":4,"surge":2,"newest":"2024-06-01T12:00:00.000000Z"}',
        *(json.dumps({key: value for key, value in BODY.items() if key != left}) for left in BODY),
        *(
            json.dumps({**BODY, **change})
            for change in (
                {"v": 3},
                {"size": -1},
                {"spot": -2},
                {"canary": 0},
                {"pins": []},
                {"pins": "1.2"},
                {"pins": [1]},
                {"size": "many"},
                {"size": None},
                {"size": 1e999},
            )
        ),
    ],
)
def test_another_text_is_no_marker(text: str) -> None:
    assert EmptyMarker.parse(text) is None


@pytest.mark.parametrize(
    ("sizes", "canary", "expected"),
    [
        ((31, 0), 1, (1, 0)),
        ((2, 0), 5, (2, 0)),
        ((0, 6), 2, (0, 2)),
        ((1, 6), 3, (1, 2)),
        ((1, 1), 9, (1, 1)),
        ((0, 0), 1, (0, 0)),
    ],
)
def test_the_canary_is_never_larger_than_the_pool(
    sizes: tuple[int, int], canary: int, expected: tuple[int, int]
) -> None:
    marker = EmptyMarker(*sizes, HPC, ("1.2",), canary=canary)
    assert (marker.sizes, marker.canary_sizes) == (sizes, expected)


def test_a_rollout_that_turns_keeps_its_way_back_and_knows_each_pin() -> None:
    def to(version: str) -> PoolImage:
        return PoolImage(HPC, version)

    marker = EmptyMarker(2, 0, HPC, ("1.0", "2.0"))
    assert marker.towards(to("3.0")).pins == ("1.0", "2.0", "3.0")
    assert marker.towards(to("3.0")).towards(to("2.0")).pins == ("1.0", "3.0", "2.0")
    back = marker.towards(to("1.0"))
    assert (back.pins, back.goal, back.way_back) == (("1.0", "2.0", "1.0"), to("1.0"), "1.0")
    assert back.towards(to("2.0")).pins == ("1.0", "1.0", "2.0")


NOBLE = PoolImage("canonical:ubuntu-24_04-lts:server", "latest", "batch.node.ubuntu 24.04")
JAMMY = "batch.node.ubuntu 22.04"


def test_a_move_to_another_image_keeps_the_whole_image_from_before() -> None:
    """A rollout that turns knows each image that the pool may have; without a move the text is that of version 2."""
    moved = EmptyMarker(31, 4, HPC, ("22.04.2024102301",)).towards(NOBLE, JAMMY)
    assert str(moved) == (
        f'{{"v":4,"size":31,"spot":4,"canary":1,"image":"{HPC}","pins":["22.04.2024102301"],"agent":"{JAMMY}",'
        f'"moves":[["{NOBLE.name}","latest","{NOBLE.agent}"]]}}'
    )
    assert EmptyMarker.parse(str(moved)) == moved
    assert (moved.before, moved.goal) == (PoolImage(HPC, "22.04.2024102301", JAMMY), NOBLE)
    pinned = replace(NOBLE, version="24.04.202609040")
    turned = moved.towards(pinned, "not the agent from before")
    assert (turned.moves, turned.agent, turned.goal) == ((NOBLE, pinned), JAMMY, pinned)
    assert turned.towards(NOBLE).moves == (pinned, NOBLE)
    back = turned.towards(PoolImage(HPC, "22.04.2026082801"))
    assert (back.goal.version, back.pins, len(back.images)) == ("22.04.2026082801", moved.pins, 4)


@pytest.mark.parametrize(
    "change",
    [
        {"moves": None},
        {"moves": []},
        {"moves": [["a", "1.0"]]},
        {"moves": [["a", "1.0", "x", "y"]]},
        {"moves": [["a", 1, "x"]]},
        {"moves": "abc"},
        {"agent": None},
        {"v": 3},
        {"v": 5},
    ],
)
def test_a_move_of_another_form_is_not_a_marker(change: dict[str, object]) -> None:
    body = json.loads(str(EmptyMarker(3, 0, HPC, ("1.0",)).towards(NOBLE, JAMMY)))
    text = json.dumps({key: value for key, value in {**body, **change}.items() if value is not None})
    assert EmptyMarker.parse(text) is None


@pytest.mark.parametrize("text", [str(EmptyMarker(2, 1, HPC, ("1.0", "2.0"))), str(Marker(4, 2, "t")), "theirs"])
def test_a_pool_has_the_marker_of_one_strategy_at_most(text: str) -> None:
    body = {"metadata": [{"name": "owner", "value": "us"}, {"name": MARKER, "value": text}]}
    pool = VmPool.from_json(PoolRef("https://a.eastus.batch.azure.com", "render"), body)
    assert pool.marker_text == text
    assert pool.is_marked == (text != "theirs")
    assert (pool.marker is None) != (pool.emptying is None) or text == "theirs"


@pytest.mark.parametrize(
    ("reference", "product"),
    [
        (
            {"publisher": "canonical", "offer": "ubuntu-24_04-lts", "sku": "server", "version": "24.04.202609040"},
            "canonical:ubuntu-24_04-lts:server",
        ),
        ({"virtualMachineImageId": "/subscriptions/s/images/i/versions/1.0.3"}, "/subscriptions/s/images/i"),
        ({"communityGalleryImageId": "/CommunityGalleries/g/Images/i"}, "/CommunityGalleries/g/Images/i"),
        (None, "::"),
    ],
)
def test_an_image_without_its_version(reference: object, product: str) -> None:
    body = {"virtualMachineConfiguration": {"imageReference": reference}}
    assert VmPool.from_json(PoolRef("https://a.eastus.batch.azure.com", "render"), body).product == product
