"""Pins when a list stands for a pool's own read, and how often lists are read."""

from __future__ import annotations

import itertools
import threading

import pytest

from batch_os_provider.batch.shared_list import _DUTY, _FORGET, LIST_INTERVAL, TICK_FIRST
from batch_os_provider.runtime.threads import in_a_thread
from tests.unit.batch.waiting_room import Room, Seen, steady

HANG = 30.0
"""How long the one test with a thread waits for what must come."""


# When a list tells.


def test_one_pool_alone_is_read_by_itself() -> None:
    room = Room("a")
    assert room.told("a") == ""
    assert (room.shared.pause("a"), room.lists) == (None, [])


def test_a_pool_that_was_not_seen_at_it_is_read_by_itself() -> None:
    room = Room("a", "b")
    room.pools["c"] = Seen(at_it=False)
    assert room.told("c", "c") == ""
    assert (room.shared.pause("c"), room.lists) == (None, [])


def test_pools_that_wait_share_one_list_for_each_tick() -> None:
    room = Room("a", "b", "c")
    for number in range(1, 9):
        assert room.told("b", "c", "a") == "bca"
        assert len(room.lists) == number
        room.wait()


def test_what_a_list_shows_is_what_is_told() -> None:
    room = Room("a", "b")
    room.pools["a"] = Seen(began=7)
    assert room.shared.look("a") == Seen(began=7)


def test_a_look_between_two_lists_is_the_pools_own() -> None:
    room = Room("a", "b")
    assert room.told("a") == "a"
    room.now += TICK_FIRST / 2
    assert room.told("a") == ""
    assert len(room.lists) == 1


@pytest.mark.parametrize("write", [False, True], ids=["read", "write"])
def test_a_list_begun_before_a_pools_own_read_or_write_is_no_evidence(*, write: bool) -> None:
    room = Room("a", "b", "c")

    def meanwhile() -> None:
        room.now += 1
        for key in "ac":
            if write:
                room.shared.expect(key, Seen())
            else:
                room.read(key)
        assert room.shared.look("c") is None, "nor while it is under way"
        assert len(room.lists) == 1, "and there are no two lists at once"

    room.takes, room.meanwhile = 2.0, meanwhile
    assert room.shared.look("a") is None, "who waited for the list when it happened"
    assert room.shared.look("b") == Seen()
    assert room.shared.look("c") is None


@pytest.mark.parametrize("shown", [None, Seen(at_it=False), Seen("1 -> 3")], ids=["missing", "at rest", "changed"])
def test_a_pool_that_a_list_does_not_show_as_it_was_is_read_by_itself(
    shown: Seen | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = Room("a", "b")
    monkeypatch.setattr(room.shared, "_read", lambda: {"b": Seen(), **({} if shown is None else {"a": shown})})
    assert room.told("a", "b") == "b"


def test_who_leaves_is_forgotten() -> None:
    room = Room("a", "b", "c")
    room.shared.forget("a")
    assert (room.shared.pause("a"), room.shared.look("a")) == (None, None)
    assert room.told("b") == "b"
    room.shared.forget("b")
    assert room.told("c") == "", "one is left, and alone"


# How often.


def test_the_interval_doubles_up_to_the_tick() -> None:
    room = Room("a", "b")
    for _ in range(6):
        room.told("a", "b")
        room.wait()
    assert [later - first for first, later in itertools.pairwise(room.lists)] == [0.5, 1, 2, 3, 3]
    assert (TICK_FIRST, LIST_INTERVAL) == (0.5, 3.0)


def test_the_interval_is_short_again_when_a_pool_joins() -> None:
    room = steady("a", "b")
    room.pools["c"] = Seen()
    room.now += 1
    room.read("c")
    assert room.shared.pause("a") == room.shared.pause("c") == TICK_FIRST
    room.wait()
    room.told("a", "b", "c")
    assert room.shared.pause("a") == TICK_FIRST


def test_pools_that_join_one_after_the_other_quicken_once_a_tick() -> None:
    room = steady("a", "b")
    begun = room.now
    for number in range(1000):
        room.pools[f"{number}"] = Seen()
        room.now += 0.02
        room.read(f"{number}")
        if room.shared.pause("a") == 0:
            room.told("a", "b")
    assert len(room.lists) - 9 <= 4 * (room.now - begun) / LIST_INTERVAL
    assert room.shared.pause("a") <= LIST_INTERVAL  # type: ignore[operator]


def test_a_pool_that_is_read_by_itself_again_quickens_nothing() -> None:
    room = steady("a", "b")
    room.now += 1
    room.read("a")
    assert room.shared.pause("a") == LIST_INTERVAL - 1


@pytest.mark.parametrize("joins", [False, True], ids=["", "a pool joins"])
def test_lists_that_take_long_are_read_less_often(*, joins: bool) -> None:
    room = steady("a", "b")
    room.wait()
    room.takes = 8.0
    assert room.told("a", "b") == "ab"
    room.pools["c"] = Seen()
    if joins:
        room.read("c")
    assert room.shared.pause("a") == 8.0 / _DUTY - 8.0


def test_who_cannot_be_told_by_a_long_list_is_not_read_more_often_than_alone() -> None:
    room = Room("a", "b")
    reads: list[float] = []

    def meanwhile() -> None:
        room.pools["c"], room.now = Seen(), 0.5
        while room.now < 9:
            assert room.told("c") == ""
            reads.append(room.now)
            room.wait("c")

    room.takes, room.meanwhile = 9.5, meanwhile
    room.told("a")
    assert reads == [0.5, 1.0, 2.0, 4.0, 8.0]


def test_the_pause_is_until_the_next_list_and_short_while_one_is_under_way() -> None:
    room = Room("a", "b")
    room.now = 1.0
    assert room.shared.pause("a") == 0.0, "it is due"
    pauses: list[float | None] = []

    def meanwhile() -> None:
        room.now += 0.1
        pauses.append(room.shared.pause("b"))

    room.takes, room.meanwhile = 0.1, meanwhile
    assert room.told("a", "b") == "ab"
    assert pauses == [TICK_FIRST]
    assert room.shared.pause("a") == pytest.approx(TICK_FIRST - 0.1)


def test_a_pool_about_which_nobody_asks_is_forgotten() -> None:
    room = steady("a", "b", "c")
    room.shared.forget("b")
    begun = room.now
    while room.are_used():
        room.wait()
        room.told("a")
        assert room.now < begun + _FORGET + 2 * LIST_INTERVAL
    assert room.now >= begun + _FORGET


def test_a_thread_beside_the_caller_tells_its_end_and_holds_up_no_process() -> None:
    release, threads = threading.Event(), []

    def function() -> None:
        threads.append(threading.current_thread())
        assert release.wait(HANG)

    wait = in_a_thread(function)
    assert not wait(0.0)
    release.set()
    assert wait(HANG)
    assert threads[0] is not threading.current_thread()
    assert threads[0].daemon
