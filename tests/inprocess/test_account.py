"""The simulator, the client and the rollouts in one process: the ground that the long tests stand on."""

from __future__ import annotations

from typing import Any

import pytest

from batch_os_provider.batch.address import PoolRef
from batch_os_provider.batch.vm_target import ImageVersion
from batch_os_provider.errors import TransientError
from batch_os_provider.rollout.context import RolloutContext
from batch_os_provider.rollout.image_renewal.renewal import ImageRenewal
from batch_os_provider.rollout.os_upgrade.upgrade import OsUpgrade
from batch_os_provider.rollout.progress import Reporter
from batch_os_provider.schema.declared import Declared, DeclaredImage, ImagePolicy, Policy
from tests.support.inprocess import ENDPOINT, Account
from tests.support.simulator import MOVED, NEW, OLD, TARGET, job, paas_pool, vm_pool
from tests.unit.rollout.doubles import VirtualWaiter
from tests.unit.rollout.stage import Listener

RENDER = PoolRef(ENDPOINT, "render")


def upgrade(account: Account, waiter: VirtualWaiter, **goal: Any) -> OsUpgrade:
    wanted = Declared(RENDER, NEW, Policy(), **{"timeout": 7200.0, **goal})
    return OsUpgrade(wanted, RolloutContext(account.client(), waiter, Reporter(Listener(), 30.0), lambda: 0.5))


def writes(account: Account) -> list[str | None]:
    return [e.operation for e in account.world.audit.entries if e.kind == "request" and e.method not in ("GET", "HEAD")]


def test_an_upgrade_runs_on_virtual_time() -> None:
    waiter = VirtualWaiter()
    account = Account(waiter, {"pools": [paas_pool()], "jobs": [job("render", 60, 60)]})
    ended = upgrade(account, waiter).run()
    assert ended.pool.current_os_version == NEW
    assert writes(account) == ["Pool_UpgradeOS"]
    assert 60 < waiter.now() < 3600


def test_a_renewal_runs_on_virtual_time() -> None:
    waiter = VirtualWaiter()
    account = Account(waiter, {"pools": [vm_pool()], "images": [MOVED], "jobs": [job("render", 60, 60)]})
    wanted = ImageVersion.parse(TARGET)
    goal = DeclaredImage(RENDER, wanted, ImagePolicy("surge", 1), drain_timeout=3600.0, timeout=7200.0)
    ImageRenewal(goal, RolloutContext(account.client(), waiter, Reporter(Listener(), 30.0), lambda: 0.5)).run()
    pool = account.world.pool("render")
    assert {node.image["exactVersion"] for node in pool.nodes.values() if node.image} == {TARGET}
    assert writes(account).count("Pool_RemoveNodes") == 2


def test_a_quiet_time_ends_when_there_is_something_new_to_read() -> None:
    waiter = VirtualWaiter()
    account = Account(waiter, {"pools": [paas_pool()], "jobs": [job("render", 200)]})
    client = account.client()
    client.get_pool(RENDER)
    account.pass_quietly(150)
    assert waiter.now() == pytest.approx(150, abs=1)
    account.pass_quietly(150)
    assert waiter.now() == pytest.approx(200, abs=1), "the task has ended"
    account.pass_quietly(150)
    assert waiter.now() == pytest.approx(200, abs=1), "which was not read yet"
    client.upgrade_os(RENDER, NEW, etag=client.get_pool(RENDER).etag)
    account.pass_quietly(150)
    assert waiter.now() == pytest.approx(200, abs=1), "a rollout reads soon after a write"


@pytest.mark.parametrize(("kind", "committed"), [("dropBefore", False), ("dropAfter", True)])
def test_a_lost_answer_is_lost_where_it_was(kind: str, committed: bool) -> None:
    waiter = VirtualWaiter()
    account = Account(waiter, {"pools": [paas_pool()]})
    account.faults.add({"match": {"operation": "Pool_UpgradeOS"}, "effect": {"kind": kind}})
    client = account.client()
    with pytest.raises(TransientError, match="Connection aborted"):
        client.upgrade_os(RENDER, NEW, client.get_pool(RENDER).etag)
    assert (account.world.pool("render").state == "upgrading") is committed


def test_an_answer_after_the_read_timeout_comes_too_late_and_the_write_happens_then() -> None:
    waiter = VirtualWaiter()
    account = Account(waiter, {"pools": [paas_pool()]})
    account.faults.add({"match": {"operation": "Pool_UpgradeOS"}, "effect": {"kind": "delay", "seconds": 30}})
    client = account.client()
    etag = client.get_pool(RENDER).etag
    with pytest.raises(TransientError, match="Read timed out"):
        client.upgrade_os(RENDER, NEW, etag)
    assert 20 < waiter.now() < 21
    assert account.world.pool("render").state == "active"
    assert client.get_pool(RENDER).current_os_version == OLD
    waiter.spend(10)
    account.catch_up()
    assert account.world.pool("render").state == "upgrading"


def test_a_hook_may_end_everything_at_any_boundary() -> None:
    waiter = VirtualWaiter()
    account = Account(waiter, {"pools": [paas_pool()]})
    seen: list[str] = []

    def hook(moment: str, method: str, path: str) -> None:
        seen.append(f"{moment} {method} {path}")
        if moment == "after" and method == "POST":
            raise KeyboardInterrupt

    account.hook = hook
    with pytest.raises(KeyboardInterrupt):
        upgrade(account, waiter).run()
    assert seen[-2:] == ["before POST /pools/render/upgradeos", "after POST /pools/render/upgradeos"]
    assert account.world.pool("render").state == "upgrading"
