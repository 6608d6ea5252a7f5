"""A key that is rotated while an upgrade is waited for: said at once, and the next run with the new key joins."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from batch_os_provider.batch.address import PoolRef
from batch_os_provider.batch.vm_target import ImageVersion
from batch_os_provider.errors import BatchOsError, CredentialError
from batch_os_provider.provider import PoolOsVersionProvider
from batch_os_provider.rollout.context import RolloutContext
from batch_os_provider.rollout.image_renewal.renewal import ImageRenewal
from batch_os_provider.rollout.loop import Rollout
from batch_os_provider.rollout.os_upgrade.upgrade import OsUpgrade
from batch_os_provider.rollout.progress import Reporter
from batch_os_provider.runtime import per_account
from batch_os_provider.schema.declared import Declared, DeclaredImage, ImagePolicy, Policy
from tests.support import simulator as simulators
from tests.support.inprocess import ENDPOINT, Account
from tests.support.simulator import MOVED, NEW, OLD, TARGET, paas_pool, vm_pool
from tests.unit.rollout.doubles import VirtualWaiter
from tests.unit.rollout.stage import Listener

RENDER = PoolRef(ENDPOINT, "render")
FRESH_KEY = base64.b64encode(b"the key after the rotation").decode()


def upgrade(account: Account, waiter: VirtualWaiter) -> OsUpgrade:
    goal = Declared(RENDER, NEW, Policy(), timeout=7200.0)
    return OsUpgrade(goal, RolloutContext(account.client(), waiter, Reporter(Listener(), 30.0), lambda: 0.5))


def renewal(account: Account, waiter: VirtualWaiter) -> ImageRenewal:
    wanted = ImageVersion.parse(TARGET)
    goal = DeclaredImage(RENDER, wanted, ImagePolicy("surge", 1), drain_timeout=3600.0, timeout=7200.0)
    return ImageRenewal(goal, RolloutContext(account.client(), waiter, Reporter(Listener(), 30.0), lambda: 0.5))


def requests(account: Account, *operations: str) -> list[Any]:
    entries = [entry for entry in account.world.audit.entries if entry.kind == "request"]
    return [entry for entry in entries if not operations or entry.operation in operations]


def rotate_after(account: Account, operation: str, count: int) -> None:
    """Another key, once this operation has been answered so often."""

    def hook(moment: str, _method: str, _path: str) -> None:
        if moment == "after" and len(requests(account, operation)) == count:
            account.world.key = FRESH_KEY

    account.hook = hook


def denied(rollout: Rollout[Any], account: Account) -> str:
    """The error of a rollout that a rotated key ends, which must be the first refusal.

    But of the list of nodes in an upgrade: who may read the pool need not be allowed that, so the next read decides.
    """
    with pytest.raises(CredentialError) as caught:
        rollout.run()
    refusals = [entry for entry in requests(account) if entry.status == 403]
    assert {entry.code for entry in refusals} == {"AuthenticationFailed"}
    assert [entry.operation for entry in refusals[:-1]] in ([], ["ComputeNode_List"])
    assert requests(account)[-1].status == 403, "at once, and nothing after it"
    return str(caught.value)


@pytest.mark.parametrize("reads", range(2, 8))
def test_a_rotated_key_ends_an_upgrade_at_once_and_the_next_run_joins(reads: int) -> None:
    waiter = VirtualWaiter()
    account = Account(waiter, {"pools": [paas_pool()]})
    rotate_after(account, "Pool_Get", reads)
    text = denied(upgrade(account, waiter), account)
    assert "Batch refused the shared key of account batchsim (AZURE_BATCH_ACCESS_KEY): HTTP 403" in text
    assert "it was accepted before, so it has been rotated or withdrawn since" in text
    assert "; this came after " in text
    assert f"; the upgrade {OLD} -> {NEW} goes on in Batch. " in text
    assert "`az batch account keys list`" in text
    assert "Run `pulumi up` again: it continues from the pool's state and starts no second upgrade." in text
    assert FRESH_KEY not in text

    account.hook = lambda *_: None
    assert upgrade(account, waiter).run().pool.current_os_version == NEW
    assert len(requests(account, "Pool_UpgradeOS")) == 1


def test_a_key_that_is_rotated_before_the_post_starts_nothing_and_says_so() -> None:
    waiter = VirtualWaiter()
    account = Account(waiter, {"pools": [paas_pool()]})
    rotate_after(account, "Pool_Get", 1)
    text = denied(upgrade(account, waiter), account)
    assert "starting the upgrade (POST upgradeos) failed: " in text
    assert "goes on in Batch" not in text
    assert account.world.pool("render").state == "active"


@pytest.mark.parametrize("reads", range(1, 12, 2))
def test_a_rotated_key_ends_a_renewal_at_once_and_the_next_run_finishes_it(reads: int) -> None:
    waiter = VirtualWaiter()
    account = Account(waiter, {"pools": [vm_pool()], "images": [MOVED]})
    rotate_after(account, "Pool_Get", reads)
    text = denied(renewal(account, waiter), account)
    assert "it was accepted before, so it has been rotated or withdrawn since" in text
    account.hook = lambda *_: None
    renewal(account, waiter).run()
    nodes = account.world.pool("render").nodes.values()
    assert {node.image["exactVersion"] for node in nodes if node.image} == {TARGET}
    assert len(nodes) == 2


@pytest.mark.parametrize(
    ("name", "key", "expected"),
    [
        ("somebodyelse", "", "the shared key of account somebodyelse"),
        ("", "not/base64!secret", "AZURE_BATCH_ACCESS_KEY for {0} is not base64"),
        ("", None, "Set AZURE_BATCH_ACCOUNT and AZURE_BATCH_ACCESS_KEY"),
    ],
    ids=["of another account", "not base64", "missing"],
)
def test_a_key_that_cannot_be_right_ends_an_up_in_words(
    monkeypatch: pytest.MonkeyPatch, name: str, key: str | None, expected: str
) -> None:
    """Over HTTP, with the environment of the process."""
    for sim in simulators.running():
        sim.pools(paas_pool())
        given = {"AZURE_BATCH_ACCOUNT": name or sim.account, "AZURE_BATCH_ACCESS_KEY": sim.key if key == "" else key}
        for variable, value in {**given, "NO_PROXY": "127.0.0.1"}.items():
            if value is None:
                monkeypatch.delenv("AZURE_BATCH_ACCOUNT", raising=False)
                monkeypatch.delenv(variable, raising=False)
            else:
                monkeypatch.setenv(variable, value)
        per_account.reset()
        bag = {"account_endpoint": sim.endpoint, "pool_id": "render", "target_os_version": NEW}
        with pytest.raises(BatchOsError) as caught:
            PoolOsVersionProvider().create(bag)
        per_account.reset()
        assert expected.format(sim.endpoint) in str(caught.value)
        assert "not/base64!secret" not in str(caught.value)
        asked = [(each["operation"], each["status"]) for each in sim.requests()]
        assert asked == ([("Pool_Get", 403)] if name else []), "a permanent error ends it at once"
