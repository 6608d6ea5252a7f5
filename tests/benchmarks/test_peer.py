"""The peer is a provider that works: a comparison with a broken one would be worth nothing."""

from __future__ import annotations

import pytest

from benchmarks.peer import naive
from tests.support import simulator as simulators
from tests.support.simulator import NEW, OLD, paas_pool


@pytest.mark.parametrize(("at", "posts"), [(OLD, 1), (NEW, 0)], ids=["behind", "at its target"])
def test_the_peer_upgrades_a_pool_that_is_behind(at: str, posts: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(naive, "POLL", 0.05)
    for simulator in simulators.running_command(("--speed", "1000")):
        simulator.pools(paas_pool("p0", current=at))
        for name, value in simulator.environment.items():
            monkeypatch.setenv(name, value)
        declared = {"account_endpoint": simulator.endpoint, "pool_id": "p0", "target_os_version": NEW}
        created = naive.OsVersionProvider().create(declared)
        assert created.outs == {**declared, "current_os_version": NEW}
        assert simulator.pool("p0")["cloudServiceConfiguration"]["currentOSVersion"] == NEW
        assert len(simulator.upgrades()) == posts
        assert {entry["operation"] for entry in simulator.requests()} <= {"Pool_Get", "Pool_UpgradeOS"}
