"""The marker of the strategy ``empty``: written, read again, and never taken from another text."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_os_provider.batch.address import PoolRef
from batch_os_provider.batch.empty_marker import EmptyMarker
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


@quick
@given(MARKERS)
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
    marker = EmptyMarker(2, 0, HPC, ("1.0", "2.0"))
    assert marker.towards("3.0").pins == ("1.0", "2.0", "3.0")
    assert marker.towards("3.0").towards("2.0").pins == ("1.0", "3.0", "2.0")
    back = marker.towards("1.0")
    assert (back.pins, back.goal, back.way_back) == (("1.0", "2.0", "1.0"), "1.0", "1.0")
    assert back.towards("2.0").pins == ("1.0", "1.0", "2.0")


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
