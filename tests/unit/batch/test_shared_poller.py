"""Pins what of an account's calls is shared by all that wait in it, and what is always a pool's own."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from batch_os_provider.batch.address import PoolRef
from batch_os_provider.batch.pool import Kind, Pool, PoolState
from batch_os_provider.batch.shared_list import _LAG, LIST_INTERVAL, TICK_FIRST
from batch_os_provider.batch.shared_poller import _TURN_LOST, COUNT_EVERY
from batch_os_provider.batch.vm_pool import Marker, VmPool
from batch_os_provider.errors import PoolGoneError, TransientError
from tests.unit.batch.account_double import NODE, VM_NODE, Hall
from tests.unit.rollout.doubles import REF, V24, V25, V26, State, at, begun, body_of, transient
from tests.unit.rollout.image_renewal import image_doubles

REFS = {name: PoolRef(REF.endpoint, name) for name in "abcde"}
A, B, C = (REFS[name] for name in "abc")
RESIZING = Pool.from_json(A, body_of(State(allocation="resizing")))
UPGRADING = Pool.from_json(A, body_of(State(**begun(V25, 0.0))))
STEADY = Pool.from_json(A, body_of(State()))
VM_STEADY = image_doubles.look(image_doubles.pool_of(2)).pool
VM_RESIZING = image_doubles.look(image_doubles.pool_of(2, allocation="resizing")).pool
MARK = Marker(3, 1, "2026-01-01")


KINDS = [(UPGRADING, "upgrading"), (RESIZING, "resizing"), (VM_RESIZING, "resizing VMs")]
each_kind = pytest.mark.parametrize(("pool", "what"), KINDS, ids=[what for _pool, what in KINDS])


# Looks.


@each_kind
def test_pools_that_wait_for_the_same_share_one_list(pool: Any, what: str) -> None:
    hall = Hall(dict.fromkeys(REFS.values(), pool))
    for _ in range(3):
        assert hall.calls(*REFS.values()) == {what: 1}
        hall.tick()


@pytest.mark.parametrize(
    "pool",
    [
        STEADY,
        VM_STEADY,
        replace(UPGRADING, kind=Kind.VM),
        replace(UPGRADING, current_os_version=None),
        replace(UPGRADING, target_os_version=None),
        replace(UPGRADING, state=PoolState.DELETING),
        replace(RESIZING, kind=Kind.VM),
        replace(RESIZING, current_os_version=None),
        replace(RESIZING, state=PoolState.DELETING),
        replace(VM_RESIZING, base=replace(VM_RESIZING.base, state=PoolState.DELETING)),
    ],
)
def test_a_pool_that_waits_for_nothing_or_tells_too_little_is_always_read_by_itself(pool: Any) -> None:
    hall = Hall({A: pool, B: pool})
    for _ in range(3):
        assert hall.calls(A, B) in ({"Pool_Get": 2}, {"VmPool_Get": 2})
        assert hall.observer.pause(A) is None
        hall.tick()


@pytest.mark.parametrize(
    ("pool", "now"),
    [
        (UPGRADING, replace(UPGRADING, target_os_version=V26)),
        (UPGRADING, replace(UPGRADING, current_os_version=V26)),
        (UPGRADING, STEADY),
        (RESIZING, replace(RESIZING, current_os_version=V25)),
        (RESIZING, STEADY),
        (VM_RESIZING, replace(VM_RESIZING, marker_text="another")),
        (VM_RESIZING, VM_STEADY),
    ],
)
def test_a_pool_that_has_changed_is_told_by_its_own_read(pool: Any, now: Any) -> None:
    hall = Hall({A: pool, B: pool, C: pool})
    hall.account.pools[A] = hall.account.named(A, now)
    assert hall.own(A) == 1
    assert hall.own(B, C) == 0


def test_versions_are_compared_without_case() -> None:
    hall = Hall({A: UPGRADING, B: UPGRADING})
    hall.account.pools[A] = replace(UPGRADING, target_os_version=V25.lower())
    assert hall.own(A, B) == 0


def test_a_pool_is_known_by_each_of_its_spellings() -> None:
    hall = Hall({A: UPGRADING, B: UPGRADING})
    hall.observer.get_pool(PoolRef(REF.endpoint, "A"))
    assert hall.account.calls[2:] == [("upgrading", "")]


@each_kind
@pytest.mark.parametrize("anew", [False, True])
def test_a_list_that_shows_an_end_for_long_as_going_on_is_not_believed_unless_it_began_anew(
    pool: Any, what: str, *, anew: bool
) -> None:
    hall = Hall({A: pool, B: pool, C: pool})
    assert hall.own(A, B, C) == 0
    shown = hall.account.pools[C]
    hall.account.pools[C] = hall.account.named(C, VM_STEADY if isinstance(pool, VmPool) else STEADY)
    hall.look(C)
    later: dict[str, Any] = {"changed_at": at(99), "allocation_changed_at": at(99)}
    changed = replace(shown, **later) if isinstance(shown, Pool) else replace(shown, base=replace(shown.base, **later))
    hall.account.pools[C] = changed if anew else shown
    for _ in range(int(_LAG / LIST_INTERVAL) + 2):
        hall.tick()
        hall.calls(A, B)
    assert (hall.observer.pause(A) is not None) == anew


@each_kind
def test_a_pool_that_is_gone_is_company_to_nobody(pool: Any, what: str) -> None:
    hall = Hall({A: pool, B: pool})
    del hall.account.pools[B]
    with pytest.raises(PoolGoneError):
        (hall.observer.get_vm_pool if isinstance(pool, VmPool) else hall.observer.get_pool)(B)
    hall.tick()
    assert hall.own(A) == 1
    assert hall.observer.pause(A) is None


@pytest.mark.parametrize("pool", [UPGRADING, VM_RESIZING])
def test_a_read_counts_from_its_beginning(pool: Any) -> None:
    hall = Hall({A: STEADY, B: pool, C: pool})
    assert hall.own(B) == 0
    hall.account.pools[A] = hall.account.named(A, pool)

    def another_list_is_read() -> None:
        hall.account.during = lambda: None
        hall.tick()
        assert hall.own(B) == 0
        hall.now += TICK_FIRST / 2

    hall.account.during = another_list_is_read
    hall.look(A)
    assert hall.own(A) == 0, "the list began while it was read"


# Writes.


def test_no_list_from_before_an_upgrade_is_accepted_tells_of_it() -> None:
    hall = Hall({A: STEADY, B: UPGRADING, C: UPGRADING})
    hall.tick()

    def upgrade() -> None:
        hall.account.during = lambda: None
        assert hall.own(B) == 0, "a list, while the write is under way"
        hall.account.pools[A] = UPGRADING
        hall.now += TICK_FIRST / 2

    hall.account.during = upgrade
    assert hall.observer.upgrade_os(A, V25, "0x1") == at(7)
    assert hall.account.calls[-2:] == [(f"upgrade_os {V25} 0x1", "a"), ("upgrading", "")]
    assert hall.observer.pause(A) == TICK_FIRST / 2, "it waits with the others"
    assert hall.own(C) == 0
    assert hall.own(A) == 1
    hall.tick()
    assert hall.own(A, B) == 0


def test_an_upgrade_is_waited_for_as_it_was_asked_for() -> None:
    hall = Hall({A: STEADY, B: UPGRADING})
    hall.observer.upgrade_os(A, V26, "0x1")
    hall.account.pools[A] = replace(UPGRADING, target_os_version=V26)
    hall.now += TICK_FIRST
    assert (STEADY.current_os_version, hall.own(A)) == (V24, 0)


@pytest.mark.parametrize("pool", [UPGRADING, RESIZING])
def test_an_upgrade_that_failed_is_not_expected_and_the_next_look_is_its_own(pool: Pool) -> None:
    hall = Hall({A: pool, B: pool, C: UPGRADING})
    hall.account.failure = transient(0, "", "Read timed out")
    with pytest.raises(TransientError):
        hall.observer.upgrade_os(A, V25, "0x1")
    hall.account.failure = None
    assert hall.observer.pause(A) is None
    hall.tick()
    assert hall.calls(A) == {"Pool_Get": 1}


@pytest.mark.parametrize(
    ("write", "sent"),
    [
        (lambda observer, pool: observer.set_marker(pool, MARK), f"put_mark {MARK}"),
        (lambda observer, pool: observer.resize(pool, 4), "resize 4"),
        (lambda observer, pool: observer.remove_nodes(pool, ("n",), 60.0), "remove_nodes ('n',) 60"),
        (lambda observer, pool: observer.repin(pool, "1.2.3"), "repin 1.2.3"),
    ],
    ids=["put_mark", "resize", "remove_nodes", "repin"],
)
def test_after_a_write_a_vm_pool_is_read_by_itself(write: Callable[..., None], sent: str) -> None:
    hall = Hall({A: VM_RESIZING, B: VM_RESIZING, C: VM_RESIZING})
    hall.tick()
    write(hall.observer, hall.account.pools[A])
    assert hall.account.calls[-1] == (sent, "a")
    assert hall.observer.pause(A) is None
    assert hall.own(A) == 1
    assert hall.own(B, C) == 0


def test_everything_else_is_passed_on() -> None:
    hall = Hall({A: STEADY})
    assert hall.observer.list_nodes(A) == (NODE,)
    assert hall.observer.list_vm_nodes(A) == (VM_NODE,)
    assert hall.observer.newest_image_version(A) == "1.2.3"


# The company.


def test_the_pause_is_to_the_soonest_list_that_tells_of_the_pool() -> None:
    hall = Hall({A: UPGRADING, B: UPGRADING})
    hall.calls(A, B)
    hall.account.pools |= {ref: hall.account.named(ref, VM_RESIZING) for ref in (A, B, C)}
    hall.calls(A, B)
    assert hall.observer.pause(A) == 0.0, "as a VM pool"
    assert hall.observer.pause(C) is None
    hall.calls(A, B)
    assert hall.observer.pause(A) == TICK_FIRST


def counted(
    hall: Hall, names: str, seconds: float, *, every: float = 30.0, step: float = 1.0
) -> list[tuple[str, float]]:
    """Which pools may count, and when; each asks again when it has not counted for ``every`` seconds."""
    last: dict[str, float] = {}
    turns = []
    until = hall.now + seconds
    while hall.now < until:
        for name in names:
            if hall.now - last.get(name, -every) >= every and hall.observer.may_list_nodes(REFS[name], every):
                last[name] = hall.now
                turns.append((name, hall.now))
        hall.now += step
    return turns


def test_nodes_are_read_in_the_order_in_which_pools_asked() -> None:
    hall = Hall()
    assert hall.observer.may_list_nodes(A, 30.0), "no other pool has listed them yet"
    assert not hall.observer.may_list_nodes(C, 30.0)
    assert not hall.observer.may_list_nodes(B, 30.0)
    assert "".join(name for name, _now in counted(hall, "bac", 30.0, every=5.0)) == "cbacb"


def test_who_waits_long_for_its_turn_and_asks_on_keeps_its_place() -> None:
    hall = Hall()
    assert hall.observer.may_list_nodes(A, 30.0)
    for name in "cdeab":
        assert not hall.observer.may_list_nodes(REFS[name], 30.0)
    assert "".join(name for name, _now in counted(hall, "abcde", 30.0, every=60.0)) == "cdeab"


@pytest.mark.parametrize("every", [30.0, 2.0])
def test_an_account_is_counted_at_most_once_every_so_often(every: float) -> None:
    times = [now for _name, now in counted(Hall(), "abcde", 60.0, every=every)]
    spans = [later - first for first, later in itertools.pairwise(times)]
    assert min(spans) == min(every, COUNT_EVERY)


def test_each_of_many_pools_is_counted_and_none_more_often_than_it_wants() -> None:
    turns = counted(Hall(), "abcde", 300.0, every=30.0)
    for name in "abcde":
        times = [now for each, now in turns if each == name]
        assert {later - first for first, later in itertools.pairwise(times)} == {30.0}


def test_a_pool_that_asks_no_more_loses_its_place() -> None:
    hall = Hall()
    hall.observer.may_list_nodes(A, 30.0)
    assert not hall.observer.may_list_nodes(B, 30.0)
    hall.now = _TURN_LOST
    assert not hall.observer.may_list_nodes(C, 30.0), "b was first"
    hall.now += 0.1
    assert hall.observer.may_list_nodes(C, 30.0)
