"""What a survey makes of accounts that answer late, partly, or not at all."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

import pytest

from batch_os_provider.batch.address import PoolRef
from batch_os_provider.batch.pool import Pool
from batch_os_provider.batch.vm_pool import VmNode, VmPool
from batch_os_provider.cli.inventory import Account, survey
from batch_os_provider.errors import (
    ApiRetiredError,
    BatchOsError,
    CredentialError,
    PermanentError,
    PoolGoneError,
    ServiceAnswer,
    TransientError,
)
from batch_os_provider.runtime.threads import side_by_side
from tests.support.simulator import BEHIND, TARGET, paas_pool, vm_pool

ENDPOINT = "https://farm.westeurope.batch.azure.com"
BUSY = TransientError(ServiceAnswer(503, "ServerBusy", "busy"), pool=ENDPOINT, doing="listing pools")
DENIED = PermanentError(ServiceAnswer(400, "Odd", "odd"), pool=ENDPOINT, doing="listing nodes")


@dataclass
class FakeClient:
    """An account with these pools; ``failures`` come before answers, by method."""

    bodies: list[dict[str, Any]]
    failures: dict[str, list[BatchOsError]] = field(default_factory=dict)
    signed_in_as: str = "a key"
    calls: list[str] = field(default_factory=list)

    def _called(self, name: str) -> None:
        self.calls.append(name)
        if self.failures.get(name):
            raise self.failures[name].pop(0)

    def list_pools(self) -> tuple[Pool, ...]:
        self._called("list_pools")
        return tuple(Pool.from_json(PoolRef(ENDPOINT, each["id"]), each) for each in self.bodies)

    def list_vm_pools(self) -> tuple[VmPool, ...]:
        self._called("list_vm_pools")
        return tuple(VmPool.from_json(PoolRef(ENDPOINT, each["id"]), each) for each in self.bodies)

    def get_pool(self, ref: PoolRef) -> Pool:
        self._called("get_pool")
        return Pool.from_json(ref, paas_pool(ref.pool_id))

    def list_vm_nodes(self, ref: PoolRef) -> tuple[VmNode, ...]:
        self._called("list_vm_nodes")
        body = next(each for each in self.bodies if each["id"] == ref.pool_id)
        return tuple(VmNode.from_json(each) for each in body["nodes"])


def look(client: FakeClient) -> tuple[Account, list[float]]:
    pauses: list[float] = []
    (account,) = survey([ENDPOINT], lambda _: client, pauses.append)
    return account, pauses


def test_pools_come_by_name_with_the_versions_of_vm_nodes() -> None:
    body = vm_pool("Vm", nodes=3, exact=TARGET)
    body["nodes"][1]["virtualMachineInfo"]["imageReference"] = {"exactVersion": BEHIND}
    body["nodes"][2]["virtualMachineInfo"] = {}
    account, pauses = look(FakeClient([body, paas_pool("render")]))
    assert [each.pool.ref.pool_id for each in account.pools] == ["render", "Vm"]
    render, vm = account.pools
    assert dict(render.node_versions) == {}
    assert list(vm.node_versions.items()) == [(BEHIND, 1), (TARGET, 1), ("unknown", 1)]
    assert not account.troubles
    assert not pauses


def test_a_busy_account_is_asked_again() -> None:
    client = FakeClient([paas_pool()], {"list_pools": [BUSY, BUSY]})
    account, pauses = look(client)
    assert len(account.pools) == 1
    assert client.calls.count("list_pools") == 3
    assert len(pauses) == 2


def test_after_three_tries_it_is_told() -> None:
    account, _ = look(FakeClient([paas_pool()], {"list_pools": [BUSY] * 3}))
    assert "503 ServerBusy" in account.error
    assert account.troubles == (account.error,)


def test_a_service_that_asks_for_a_long_pause_is_told_of_at_once() -> None:
    later = TransientError(ServiceAnswer(429, "TooManyRequests", "slow down", retry_after=60), pool=ENDPOINT)
    account, pauses = look(FakeClient([], {"list_vm_pools": [later]}))
    assert "TooManyRequests" in account.error
    assert not pauses


def test_nodes_that_cannot_be_read_do_not_hide_the_pool() -> None:
    account, _ = look(FakeClient([vm_pool()], {"list_vm_nodes": [DENIED]}))
    assert not account.error
    assert len(account.pools) == 1
    assert account.troubles == (str(DENIED),)


def test_a_pool_that_went_meanwhile_is_not_shown() -> None:
    account, _ = look(FakeClient([vm_pool()], {"list_vm_nodes": [PoolGoneError("gone")]}))
    assert account.pools == ()
    assert not account.troubles


def test_a_pool_of_unknown_kind_is_read_by_itself() -> None:
    body = paas_pool()
    del body["cloudServiceConfiguration"]
    account, _ = look(FakeClient([body]))
    assert account.pools[0].pool.os_family == "4"
    retired, _ = look(FakeClient([body], {"get_pool": [ApiRetiredError("Batch no longer answers it")]}))
    assert retired.pools[0].retired == "Batch no longer answers it"
    assert not retired.troubles


def test_no_credential_is_an_account_that_cannot_be_read() -> None:
    def connect(endpoint: str) -> FakeClient:
        if endpoint == ENDPOINT:
            raise CredentialError("no credential")
        return FakeClient([paas_pool()])

    accounts = survey([ENDPOINT, "https://lab.westeurope.batch.azure.com"], connect)
    assert [each.error for each in accounts] == ["no credential.", ""]
    assert [len(each.pools) for each in accounts] == [0, 1]


def test_results_keep_their_order_and_no_more_run_than_allowed() -> None:
    lock, running, most = threading.Lock(), [0], [0]
    both = threading.Barrier(2)

    def work(number: int) -> int:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        both.wait(60)  # ends only when two run side by side
        with lock:
            running[0] -= 1
        return number * number

    assert side_by_side(work, range(8), at_once=2) == [number * number for number in range(8)]
    assert most[0] == 2
    assert side_by_side(work, []) == []


def test_what_a_call_raises_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        side_by_side(lambda number: 1 // number, [1, 0])
