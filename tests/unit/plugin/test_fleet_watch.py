"""What a run that fails leaves to its fleets: an answer before the connection closes, and the names of what failed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from batch_os_provider.plugin.fleet_watch import FleetWatch

if TYPE_CHECKING:
    from collections.abc import Callable


class Call:
    """The context of a call, which ends when its answer is on its way."""

    def __init__(self, *, over: bool = False) -> None:
        self.ends: list[Callable[[], None]] = []
        self.over = over

    def add_callback(self, callback: Callable[[], None]) -> bool:
        self.ends += [] if self.over else [callback]
        return not self.over


def test_the_wait_ends_when_every_fleet_has_answered() -> None:
    watch = FleetWatch()
    assert watch.wait(0), "without a fleet"
    east, west = Call(), Call()
    watch.begin(east)
    watch.begin(west)
    watch.begin(Call(over=True))
    assert not watch.wait(0.01)
    east.ends[0]()
    assert not watch.wait(0.01), "one fleet is left"
    west.ends[0]()
    assert watch.wait(0)


@pytest.mark.parametrize("name", ["farm-a", "odd::farm-a"])
def test_the_last_end_of_a_resource_counts(name: str) -> None:
    watch = FleetWatch()
    urns = [f"urn:pulumi:dev::p::batchos:index:PoolFleet$batchos:index:PoolOsVersion::{each}" for each in (name, "b")]
    assert watch.failed(urns) == []
    for urn in reversed(urns):
        watch.ended(urn, failed=True)
    assert watch.failed(urns) == [name, "b"]
    watch.ended(urns[0], failed=False)
    assert watch.failed(urns) == ["b"]
