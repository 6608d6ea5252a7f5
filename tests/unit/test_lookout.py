"""Pins one look at an account for all rows of a preview: what is asked, how long it may take, what is remembered."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest

from batch_os_provider.errors import (
    ApiRetiredError,
    BatchOsError,
    CredentialError,
    PoolGoneError,
    ServiceAnswer,
    TransientError,
)
from batch_os_provider.lookout import BUDGET, FRESH_FOR, Lookout, NotLookedAt
from batch_os_provider.pool import Kind, Node, Pool, PoolRef
from batch_os_provider.vm import VmNode, VmPool
from batch_os_provider.wait import RealWaiter, Stop, Stopped, StopToken
from tests.unit.doubles import V24, V25, VirtualWaiter, transient

ENDPOINT = "https://acct.westeurope.batch.azure.com"
SILENT = 15.0


def ref(pool_id: str) -> PoolRef:
    return PoolRef(ENDPOINT, pool_id)


def pool(pool_id: str, current: str = V24, nodes: int = 1) -> Pool:
    body = {
        "state": "active",
        "allocationState": "steady",
        "currentDedicatedNodes": nodes,
        "cloudServiceConfiguration": {"osFamily": "5", "currentOSVersion": current, "targetOSVersion": current},
    }
    return Pool.from_json(ref(pool_id), body)


def vm_pool(pool_id: str, nodes: int = 1) -> VmPool:
    body = {"state": "active", "currentDedicatedNodes": nodes, "virtualMachineConfiguration": {}}
    return VmPool.from_json(ref(pool_id), body)


@dataclass
class Account:
    """An account that counts what it is asked; ``fails`` maps the n-th call of all to an error."""

    pools: tuple[Pool, ...] = ()
    vm_pools: tuple[VmPool, ...] = ()
    fails: dict[int, Exception] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def _ask(self, what: str) -> None:
        self.asked.append(what)
        if len(self.asked) in self.fails:
            raise self.fails[len(self.asked)]

    def list_pools(self) -> tuple[Pool, ...]:
        self._ask("pools")
        return self.pools

    def list_nodes(self, ref: PoolRef) -> tuple[Node, ...]:
        self._ask(f"nodes of {ref.pool_id}")
        return (Node(f"{ref.pool_id}-1", "idle", None),)

    def get_pool(self, ref: PoolRef) -> Pool:
        self._ask(f"pool {ref.pool_id}")
        return pool(ref.pool_id)

    def list_vm_pools(self) -> tuple[VmPool, ...]:
        self._ask("VM pools")
        return self.vm_pools

    def list_vm_nodes(self, ref: PoolRef) -> tuple[VmNode, ...]:
        self._ask(f"VM nodes of {ref.pool_id}")
        return (VmNode.from_json({"id": f"{ref.pool_id}-1"}),)

    def get_vm_pool(self, ref: PoolRef) -> VmPool:
        self._ask(f"VM pool {ref.pool_id}")
        return vm_pool(ref.pool_id)


def lookout(account: Account) -> tuple[Lookout, VirtualWaiter]:
    waiter = VirtualWaiter()
    return Lookout(lambda: account, waiter), waiter


def why(look: Callable[[], object]) -> tuple[str, bool]:
    with pytest.raises(NotLookedAt) as caught:
        look()
    return caught.value.why, caught.value.told


def test_one_list_serves_every_look_and_ids_are_compared_without_case() -> None:
    account = Account((pool("Render-A"), pool("render-b")))
    watch, _ = lookout(account)
    assert watch.pool(ref("render-a")).ref.pool_id == "Render-A"
    assert watch.pool(ref("RENDER-B")).ref.pool_id == "render-b"
    assert account.asked == ["pools"]
    with pytest.raises(PoolGoneError, match="not among the account's pools"):
        watch.pool(ref("other"))


def test_the_second_pool_brings_the_nodes_of_those_that_may_follow_and_of_no_other() -> None:
    done, empty, machine = pool("done", V25), pool("empty", nodes=0), replace(pool("vm"), kind=Kind.VM)
    account = Account((pool("a"), pool("b"), pool("c"), done, empty, machine))
    watch, _ = lookout(account)
    assert [node.node_id for node in watch.nodes(ref("a"), V25) or ()] == ["a-1"]
    assert account.asked == ["pools", "nodes of a"]
    for pool_id in ("b", "c", "B"):
        assert watch.nodes(ref(pool_id), V25)
    assert account.asked[0] == "pools"
    assert sorted(account.asked[1:]) == ["nodes of a", "nodes of b", "nodes of c"]


def test_a_look_at_vm_pools_is_one_list_and_the_nodes() -> None:
    account = Account(vm_pools=(vm_pool("a"), vm_pool("b"), vm_pool("c"), vm_pool("empty", nodes=0)))
    watch, _ = lookout(account)
    assert [node.node_id for node in watch.vm(ref("a")).nodes] == ["a-1"]
    assert watch.vm(ref("empty")).nodes == ()
    watch.vm(ref("b"))
    watch.vm(ref("c"))
    assert account.asked[0] == "VM pools"
    assert sorted(account.asked[1:]) == ["VM nodes of a", "VM nodes of b", "VM nodes of c"]


def test_a_pool_that_a_list_does_not_tell_the_kind_of_is_read_by_itself() -> None:
    account = Account((Pool.from_json(ref("old"), {"state": "active"}),), fails={2: ApiRetiredError("no more")})
    watch, _ = lookout(account)
    with pytest.raises(ApiRetiredError):
        watch.pool(ref("old"))
    assert watch.pool(ref("old")).kind is Kind.CLOUD_SERVICES, "a refusal is about one pool and not remembered"


def test_a_failure_is_remembered_and_told_once() -> None:
    account = Account((pool("a"),), fails={1: CredentialError("Batch refused it", pool=ENDPOINT)})
    watch, _ = lookout(account)
    assert why(lambda: watch.pool(ref("a"))) == (f"account {ENDPOINT}: Batch refused it.", False)
    assert why(lambda: watch.pool(ref("b")))[1]
    assert why(lambda: watch.vm(ref("c")))[1]
    assert account.asked == ["pools"]


def test_a_client_that_cannot_be_made_is_a_failure_like_any_other() -> None:
    def connect() -> Account:
        raise CredentialError("no credential fits")

    watch = Lookout(connect, VirtualWaiter())
    assert why(lambda: watch.pool(ref("a"))) == ("no credential fits.", False)


def test_a_list_that_fails_in_passing_is_asked_for_again_and_not_before_retry_after() -> None:
    account = Account((pool("a"),), fails={1: transient(503, "ServerBusy", "busy", retry_after=4.0)})
    watch, waiter = lookout(account)
    assert watch.pool(ref("a"))
    assert account.asked == ["pools", "pools"]
    assert waiter.now() >= 4


@pytest.mark.parametrize("retry_after", [None, 11.0])
def test_a_list_is_not_asked_for_for_ever(retry_after: float | None) -> None:
    busy = TransientError(ServiceAnswer(503, "ServerBusy", "busy", retry_after=retry_after))
    account = Account((pool("a"),), fails=dict.fromkeys(range(1, 99), busy))
    watch, waiter = lookout(account)
    assert "ServerBusy" in why(lambda: watch.pool(ref("a")))[0]
    assert len(account.asked) == (3 if retry_after is None else 1)
    assert waiter.now() < BUDGET


def test_nodes_are_comfort_for_one_kind_and_the_matter_itself_for_the_other() -> None:
    account = Account((pool("a"),), (vm_pool("m"),), fails={2: transient(500, "InternalError", "no")})
    watch, _ = lookout(account)
    assert watch.nodes(ref("a"), V25) is None
    account.asked.clear()
    assert "InternalError" in why(lambda: watch.vm(ref("m")))[0]
    assert watch.pool(ref("a")), "what was seen before is still good"
    assert watch.nodes(ref("a"), V25) is None


def test_the_time_is_for_all_looks_together() -> None:
    release = threading.Event()

    class Silent(Account):
        def list_nodes(self, ref: PoolRef) -> tuple[Node, ...]:  # noqa: ARG002 - as the real one
            release.wait(SILENT)
            return ()

    account = Silent(tuple(pool(str(number)) for number in range(10)))
    watch = Lookout(lambda: account, RealWaiter(StopToken()), budget=0.3)
    began = time.monotonic()
    try:
        assert [watch.nodes(ref(str(number)), V25) for number in range(10)] == [None] * 10
        assert time.monotonic() - began < 1.5, "ten times the budget would be three seconds"
        assert watch.pool(ref("3")), "what is known is still told"
    finally:
        release.set()


def test_silence_ends_at_the_budget_with_words_and_holds_up_nothing() -> None:
    release = threading.Event()

    class Silent(Account):
        def list_pools(self) -> tuple[Pool, ...]:
            release.wait(SILENT)
            return ()

    watch = Lookout(Silent, RealWaiter(StopToken()), budget=0.2)
    try:
        told = why(lambda: watch.pool(ref("a")))
        assert told == ("Batch did not answer within the 0s that looks at an account may take", False)
        assert why(lambda: watch.pool(ref("a")))[1]
        assert all(thread.daemon for thread in threading.enumerate() if thread.name == "batch-os-look")
    finally:
        release.set()


def test_a_stop_ends_a_look_and_is_no_failure_of_the_account() -> None:
    token = StopToken()
    account = Account((pool("a"),))
    watch = Lookout(lambda: account, RealWaiter(token))
    token.set(Stop.CANCELED)
    with pytest.raises(Stopped):
        watch.pool(ref("a"))


def test_a_list_is_good_for_a_minute() -> None:
    account = Account((pool("a"),), (vm_pool("m"),))
    watch, waiter = lookout(account)
    watch.pool(ref("a"))
    watch.vm(ref("m"))
    waiter.spend(FRESH_FOR)
    watch.pool(ref("a"))
    assert account.asked.count("pools") == 1
    waiter.spend(1)
    watch.pool(ref("a"))
    watch.vm(ref("m"))
    assert account.asked.count("pools") == account.asked.count("VM pools") == 2


def test_a_refusal_is_built_on_what_was_read_just_now() -> None:
    account = Account((pool("a"),))
    watch, waiter = lookout(account)
    assert not watch.look_anew(), "there is nothing to forget"
    watch.pool(ref("a"))
    assert not watch.look_anew()
    waiter.spend(1)
    assert watch.look_anew()
    watch.pool(ref("a"))
    assert account.asked == ["pools", "pools"]


def test_a_pool_that_goes_while_its_nodes_are_listed_is_gone_and_no_failure() -> None:
    account = Account(vm_pools=(vm_pool("m"), vm_pool("n")), fails={2: PoolGoneError("no such pool")})
    watch, _ = lookout(account)
    with pytest.raises(PoolGoneError):
        watch.vm(ref("m"))
    assert watch.vm(ref("n")).nodes


def test_errors_that_nobody_foresaw_come_through() -> None:
    account = Account((pool("a"),), fails={1: ZeroDivisionError("a bug")})
    watch, _ = lookout(account)
    with pytest.raises(ZeroDivisionError):
        watch.pool(ref("a"))
    assert not issubclass(ZeroDivisionError, BatchOsError)
