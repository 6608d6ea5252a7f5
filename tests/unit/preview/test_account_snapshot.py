"""Pins one look at an account for all rows of a preview: what is asked, how long it may take, what is remembered."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TypeVar

import pytest

from batch_os_provider.batch.address import PoolRef
from batch_os_provider.batch.pool import Kind, Node, Pool
from batch_os_provider.batch.vm_pool import VmNode, VmPool
from batch_os_provider.errors import (
    ApiRetiredError,
    BatchOsError,
    ConflictError,
    CredentialError,
    PermanentError,
    PoolGoneError,
    ServiceAnswer,
    TransientError,
)
from batch_os_provider.preview.account_snapshot import BUDGET, FRESH_FOR, AccountSnapshot, NotChecked
from batch_os_provider.runtime.cancellation import Canceled, CancellationToken, RealWaiter, StopReason
from tests.unit.rollout.doubles import V24, V25, VirtualWaiter, transient

ENDPOINT = "https://acct.westeurope.batch.azure.com"
SILENT = 15.0
T = TypeVar("T")


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


def lookout(account: Account) -> tuple[AccountSnapshot, VirtualWaiter]:
    waiter = VirtualWaiter()
    return AccountSnapshot(lambda: account, waiter), waiter


def why(look: Callable[[], object]) -> tuple[str, bool]:
    with pytest.raises(NotChecked) as caught:
        look()
    return caught.value.why, caught.value.is_reported


def test_one_list_serves_every_look_and_ids_are_compared_without_case() -> None:
    account = Account((pool("Render-A"), pool("render-b")))
    watch, _ = lookout(account)
    assert watch.pool(ref("render-a")).ref.pool_id == "Render-A"
    assert watch.pool(ref("RENDER-B")).ref.pool_id == "render-b"
    assert account.asked == ["pools"]
    with pytest.raises(PoolGoneError, match="the account has no such pool"):
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


def test_the_same_pool_asked_about_twice_is_no_sign_of_more() -> None:
    account = Account((pool("a"), pool("b")))
    watch, _ = lookout(account)
    assert watch.nodes(ref("a"), V25) == watch.nodes(ref("A"), V25)
    assert account.asked == ["pools", "nodes of a"]


def test_what_is_likely_goes_by_the_version_that_the_second_pool_is_to_run() -> None:
    account = Account((pool("a"), pool("b"), pool("c", V25), pool("star", "*")))
    watch, _ = lookout(account)
    watch.nodes(ref("a"), V25)
    watch.nodes(ref("b"), V25.lower())
    assert watch.nodes(ref("c"), V24), "whoever was not likely is read when asked about"
    assert watch.nodes(ref("star"), "*")
    asked = [f"nodes of {pool_id}" for pool_id in ("a", "b", "star", "c")]
    assert (account.asked[:2], sorted(account.asked[1:])) == (["pools", "nodes of a"], sorted(asked))


def test_nodes_that_nobody_asks_about_may_fail_unsaid() -> None:
    """A pool that another team owns must not cost the preview of ours."""

    class Strange(Account):
        def list_vm_nodes(self, ref: PoolRef) -> tuple[VmNode, ...]:
            if ref.pool_id == "theirs":
                raise CredentialError("not for you")
            return super().list_vm_nodes(ref)

    watch, _ = lookout(Strange(vm_pools=(vm_pool("a"), vm_pool("b"), vm_pool("theirs"), vm_pool("c"))))
    for pool_id in ("a", "b", "c"):
        assert watch.vm(ref(pool_id)).nodes
    assert "not for you" in why(lambda: watch.vm(ref("theirs")))[0]


def test_many_rows_at_once_share_one_list() -> None:
    account = Account(tuple(pool(str(number)) for number in range(12)))
    watch = AccountSnapshot(lambda: account, RealWaiter(CancellationToken()))
    with ThreadPoolExecutor(12) as rows:
        found = list(
            rows.map(lambda number: (watch.pool(ref(str(number))), watch.nodes(ref(str(number)), V25)), range(12))
        )
    assert [each.ref.pool_id for each, _ in found] == [str(number) for number in range(12)]
    assert [nodes[0].node_id for _, nodes in found if nodes] == [f"{number}-1" for number in range(12)]
    assert sorted(account.asked) == sorted(["pools", *(f"nodes of {number}" for number in range(12))])


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

    tried: list[int] = []

    def counting() -> Account:
        tried.append(1)
        return connect()

    watch = AccountSnapshot(counting, VirtualWaiter())
    assert not tried, "a preview in which nothing changes needs no credential"
    assert why(lambda: watch.pool(ref("a"))) == ("no credential fits.", False)
    assert why(lambda: watch.vm(ref("b"))) == ("no credential fits.", True)
    assert len(tried) == 1, "nobody is asked for a token once for every row"


def test_a_list_that_fails_in_passing_is_asked_for_again_and_not_before_retry_after() -> None:
    account = Account((pool("a"),), fails={1: transient(503, "ServerBusy", "busy", retry_after=4.0)})
    watch, waiter = lookout(account)
    assert watch.pool(ref("a"))
    assert account.asked == ["pools", "pools"]
    assert waiter.sleeps == [4.0]


def test_the_list_of_vm_pools_is_asked_for_again_too() -> None:
    account = Account(vm_pools=(vm_pool("m"),), fails={1: transient(0, "", "Connection reset by peer")})
    watch, waiter = lookout(account)
    assert watch.vm(ref("m"))
    assert (account.asked[:2], waiter.sleeps) == (["VM pools", "VM pools"], [0.8])


@pytest.mark.parametrize(
    "error",
    [
        PermanentError(ServiceAnswer(400, "InvalidHeaderValue", "no")),
        CredentialError("403"),
        ConflictError(ServiceAnswer(409, "AccountIsBusy", "no")),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_cannot_pass_is_not_tried_again(error: BatchOsError) -> None:
    account = Account((pool("a"),), fails={1: error})
    watch, waiter = lookout(account)
    assert why(lambda: watch.pool(ref("a"))) == (str(error), False)
    assert (account.asked, waiter.sleeps) == (["pools"], [])


def test_pauses_and_calls_come_out_of_one_purse() -> None:
    """A list that is asked for twice, 3 s each, with a pause of 4 s between leaves nothing for what comes next."""

    class Slow(VirtualWaiter):
        def call(self, function: Callable[[], T], *, write: bool = False) -> T:
            try:
                return super().call(function, write=write)
            finally:
                self.spend(3.0)

    waiter = Slow()
    account = Account((pool("a"),), fails={1: transient(429, "TooManyRequests", "busy", retry_after=4.0)})
    watch = AccountSnapshot(lambda: account, waiter)
    assert watch.pool(ref("a"))
    assert waiter.now() == BUDGET
    assert watch.nodes(ref("a"), V25) is None
    assert watch.pool(ref("a")), "what is known is still told"
    assert "Batch did not answer within 10s" in why(lambda: watch.vm(ref("a")))[0]
    assert account.asked == ["pools", "pools"], "nothing is begun that nobody would wait for"


def test_a_pause_longer_than_what_is_left_is_not_begun() -> None:
    busy = transient(503, "ServerBusy", "busy", retry_after=6.0)
    account = Account((pool("a"),), fails={1: busy, 2: busy})
    watch, waiter = lookout(account)
    assert "ServerBusy" in why(lambda: watch.pool(ref("a")))[0]
    assert waiter.sleeps == [6.0]


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
    assert watch.pool(ref("a")), "comfort that fails is no failure of the account"
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
    watch = AccountSnapshot(lambda: account, RealWaiter(CancellationToken()), budget=0.3)
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

    watch = AccountSnapshot(Silent, RealWaiter(CancellationToken()), budget=0.2)
    try:
        told = why(lambda: watch.pool(ref("a")))
        assert told == ("Batch did not answer within 0s, the time that a preview gives one account", False)
        assert why(lambda: watch.pool(ref("a")))[1]
        looking = [thread for thread in threading.enumerate() if thread.name == "batch-os-preview"]
        assert looking
        assert all(thread.daemon for thread in looking)
    finally:
        release.set()
    for thread in looking:
        thread.join(SILENT)
        assert not thread.is_alive(), "a call that answers after all leaves no thread"


def test_a_server_that_never_answers_does_not_hold_up_the_end_of_the_process() -> None:
    program = """
import threading
from batch_os_provider.preview.account_snapshot import AccountSnapshot, NotChecked
from batch_os_provider.batch.address import PoolRef
from batch_os_provider.runtime.cancellation import RealWaiter, CancellationToken
class Silent:
    def list_pools(self):
        threading.Event().wait()
try:
    AccountSnapshot(Silent, RealWaiter(CancellationToken()), budget=0.05).pool(PoolRef("https://acct.example", "a"))
except NotChecked as error:
    print(error.why)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False)  # noqa: S603 - ours
    assert (done.returncode, done.stderr) == (0, "")
    assert "did not answer" in done.stdout


def test_a_stop_ends_a_look_and_is_no_failure_of_the_account() -> None:
    token = CancellationToken()
    account = Account((pool("a"),))
    watch = AccountSnapshot(lambda: account, RealWaiter(token))
    token.set(StopReason.CANCELED)
    with pytest.raises(Canceled):
        watch.pool(ref("a"))


def test_a_stop_during_a_silent_call_ends_the_look_at_once() -> None:
    release, token = threading.Event(), CancellationToken()

    class Stopping(Account):
        def list_pools(self) -> tuple[Pool, ...]:
            token.set(StopReason.CANCELED)
            release.wait(SILENT)
            return ()

    watch = AccountSnapshot(Stopping, RealWaiter(token), budget=SILENT)
    began = time.monotonic()
    try:
        with pytest.raises(Canceled):
            watch.pool(ref("a"))
        assert time.monotonic() - began < 5
    finally:
        release.set()


@pytest.mark.parametrize("stop_at", [0.0, 2.0], ids=["before the call", "in the pause"])
def test_a_stop_is_not_remembered(stop_at: float) -> None:
    """It passes through, and whoever still looks is not told that the account had failed."""

    class OneStop(VirtualWaiter):
        def sleep(self, seconds: float) -> None:
            self._pass(lambda: super(OneStop, self).sleep(seconds))

        def call(self, function: Callable[[], T], *, write: bool = False) -> T:
            return self._pass(lambda: super(OneStop, self).call(function, write=write))

        def _pass(self, function: Callable[[], T]) -> T:
            try:
                return function()
            except Canceled:
                self.stop_at = float("inf")
                raise

    account = Account((pool("a"),), fails={1: transient(503, "ServerBusy", "busy", retry_after=4.0)})
    watch = AccountSnapshot(lambda: account, OneStop(stop_at=stop_at))
    with pytest.raises(Canceled):
        watch.pool(ref("a"))
    assert watch.pool(ref("a"))


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


def test_nodes_age_with_their_list() -> None:
    account = Account((pool("a"),), (vm_pool("m"),))
    watch, waiter = lookout(account)
    for _ in range(2):
        watch.nodes(ref("a"), V25)
        watch.vm(ref("m"))
        waiter.spend(FRESH_FOR + 1)
    assert account.asked == ["pools", "nodes of a", "VM pools", "VM nodes of m"] * 2


@pytest.mark.parametrize("kind", ["os", "vm"])
def test_a_pool_that_was_made_since_the_list_is_found(kind: str) -> None:
    """Within an `up`: the program makes one pool after the other, and looks at each."""
    account = Account((pool("a"),), (vm_pool("a"),))
    watch, waiter = lookout(account)

    def look(pool_id: str) -> object:
        return watch.pool(ref(pool_id)) if kind == "os" else watch.vm(ref(pool_id)).pool

    look("a")
    account.pools += (pool("b"),)
    account.vm_pools += (vm_pool("b"),)
    with pytest.raises(PoolGoneError):
        look("b")
    assert sum("pools" in each for each in account.asked) == 1, "many new pools in one preview do not list as often"
    waiter.spend(2)
    assert look("b")
    assert look("a")
    assert sum("pools" in each for each in account.asked) == 2


def test_a_list_that_cannot_be_made_anew_is_not_good_after_all() -> None:
    """Within an `up` an hour later: an old view is no view."""
    account = Account((pool("a"),), fails={2: CredentialError("the token has expired")})
    watch, waiter = lookout(account)
    watch.pool(ref("a"))
    waiter.spend(FRESH_FOR + 1)
    assert why(lambda: watch.pool(ref("a"))) == ("the token has expired.", False)
    assert why(lambda: watch.nodes(ref("a"), V25))[1]


def test_a_refusal_is_built_on_what_was_read_just_now() -> None:
    account = Account((pool("a"),))
    watch, waiter = lookout(account)
    assert not watch.refresh_if_stale(), "there is nothing to forget"
    watch.pool(ref("a"))
    assert not watch.refresh_if_stale()
    waiter.spend(1)
    assert watch.refresh_if_stale()
    assert not watch.refresh_if_stale(), "it is forgotten already"
    watch.pool(ref("a"))
    assert account.asked == ["pools", "pools"]
    assert not watch.refresh_if_stale(), "and now it is new"


def test_the_older_of_two_lists_says_whether_a_view_has_aged() -> None:
    account = Account((pool("a"),), (vm_pool("m"),))
    watch, waiter = lookout(account)
    watch.vm(ref("m"))
    waiter.spend(2)
    watch.pool(ref("a"))
    assert watch.refresh_if_stale()
    watch.vm(ref("m"))
    assert account.asked.count("VM pools") == 2


def test_a_pool_of_no_known_kind_is_read_by_itself_among_vm_pools_too() -> None:
    unknown = VmPool.from_json(ref("old"), {"state": "active", "currentDedicatedNodes": 3})
    account = Account(vm_pools=(unknown, vm_pool("m")))
    watch, _ = lookout(account)
    assert watch.vm(ref("old")).nodes == ()
    assert account.asked == ["VM pools", "VM pool old"]


def test_a_pool_that_is_not_in_the_list_of_vm_pools_is_gone_and_no_failure() -> None:
    watch, _ = lookout(Account(vm_pools=(vm_pool("m"),)))
    with pytest.raises(PoolGoneError):
        watch.vm(ref("other"))
    assert watch.vm(ref("M")).nodes


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
