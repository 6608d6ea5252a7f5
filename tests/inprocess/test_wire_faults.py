"""Each kind of fault in one process: it does to the real client what it does on a socket, in virtual time alone."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from batch_os_provider.batch.address import PoolRef
from batch_os_provider.batch.client import BatchClient
from batch_os_provider.batch.pool import PoolState
from batch_os_provider.errors import BatchOsError, ConflictError, TransientError
from batch_os_provider.simulator.faults.effects import KINDS
from tests.support.inprocess import ENDPOINT, Account
from tests.support.simulator import NEW, OLD, OTHER, paas_pool
from tests.unit.rollout.doubles import VirtualWaiter

RENDER = PoolRef(ENDPOINT, "render")


class Place:
    """An account with a pool, its client and its clock."""

    def __init__(self) -> None:
        self.waiter = VirtualWaiter()
        self.account = Account(self.waiter, {"pools": [paas_pool()]})
        self.client: BatchClient = self.account.client()
        self.etag = self.client.get_pool(RENDER).etag

    def fault(self, kind: str, operation: str = "Pool_Get", **effect: Any) -> None:
        match = {"operation": operation}
        self.account.faults.add({"match": match, "effect": {"kind": kind, **effect}})

    @property
    def upgrading(self) -> bool:
        return self.account.world.pool("render").state == "upgrading"


@pytest.fixture
def place() -> Place:
    return Place()


@pytest.mark.parametrize(
    ("kind", "effect", "committed"),
    [
        ("dropBefore", {}, False),
        ("dropAfter", {}, True),
        ("reset", {}, False),
        ("reset", {"after": True}, True),
        ("truncate", {}, True),
        ("status", {"status": 500}, False),
        ("delay", {"seconds": 30, "after": True}, True),
        ("delay", {"seconds": 30}, False),
        ("slow", {"seconds": 60, "pieces": 2}, True),
    ],
)
def test_a_write_that_fails_for_its_client(place: Place, kind: str, effect: dict[str, Any], committed: bool) -> None:
    place.fault(kind, "Pool_UpgradeOS", **effect)
    with pytest.raises(TransientError):
        place.client.upgrade_os(RENDER, NEW, place.etag)
    assert place.upgrading is committed


@pytest.mark.parametrize("kind", ["dropBefore", "dropAfter", "reset", "truncate", "garbage"])
def test_a_read_that_fails_for_its_client(place: Place, kind: str) -> None:
    place.fault(kind)
    with pytest.raises(BatchOsError):
        place.client.get_pool(RENDER)
    place.account.faults.clear()
    assert place.client.get_pool(RENDER).current_os_version == OLD


def test_a_slow_body_takes_virtual_time_and_is_whole(place: Place) -> None:
    place.fault("slow", seconds=150)
    begun = place.waiter.now()
    assert place.client.get_pool(RENDER).current_os_version == OLD
    assert 150 <= place.waiter.now() - begun < 151


def test_a_body_that_stops_for_longer_than_the_read_timeout(place: Place) -> None:
    place.fault("slow", seconds=210)  # ten pieces, so 21 seconds for each
    begun = place.waiter.now()
    with pytest.raises(TransientError, match="Read timed out"):
        place.client.get_pool(RENDER)
    assert 20 <= place.waiter.now() - begun < 21
    place.waiter.spend(300)
    place.account.catch_up()
    place.account.faults.clear()
    assert place.client.get_pool(RENDER).current_os_version == OLD


def test_what_is_wrong_in_an_answer_that_can_be_read(place: Place) -> None:
    place.fault("unknownState")
    assert place.client.get_pool(RENDER).state is PoolState.UNKNOWN
    place.account.faults.clear()
    place.fault("extraFields")
    assert place.client.get_pool(RENDER).current_os_version == OLD
    place.account.faults.clear()
    place.fault("missingFields", names=["currentOSVersion"])
    assert place.client.get_pool(RENDER).current_os_version is None
    place.account.faults.clear()
    last = place.client.get_pool(RENDER).changed_at
    place.fault("clockSkew", seconds=86400)
    skewed = place.client.get_pool(RENDER).changed_at
    assert last is not None
    assert skewed == last + timedelta(days=1)


def test_a_read_that_lags_behind(place: Place) -> None:
    place.fault("stale", changes=1)
    place.client.upgrade_os(RENDER, NEW, place.etag)
    assert place.client.get_pool(RENDER).state is PoolState.ACTIVE
    assert place.upgrading
    place.account.faults.clear()
    assert place.client.get_pool(RENDER).state is PoolState.UPGRADING


def test_somebody_else_just_before_a_write(place: Place) -> None:
    other = {"kind": "upgrade", "targetOSVersion": OTHER}
    actor = place.account.actor({"operation": "Pool_UpgradeOS", "nth": 1, "moment": "before"}, other)
    with pytest.raises(ConflictError, match="condition"):
        place.client.upgrade_os(RENDER, NEW, place.etag)
    assert (actor.fired, actor.refused) == (1, None)
    assert place.client.get_pool(RENDER).target_os_version == OTHER


def test_no_kind_is_left_out(request: pytest.FixtureRequest) -> None:
    text = request.path.read_text()
    assert [kind for kind in KINDS if f'"{kind}"' not in text] == []
