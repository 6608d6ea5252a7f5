"""Pins that a list which is refused, fails, hangs, lags or lies is found out, and not used for a while."""

from __future__ import annotations

import itertools
import math

import pytest

from batch_os_provider.batch.shared_list import _LAG, AUDIT_EVERY, DISABLE_FOR, LIST_INTERVAL, LIST_TIMEOUT
from batch_os_provider.errors import CredentialError, PermanentError, ServiceAnswer, TransientError
from batch_os_provider.runtime import request_log
from batch_os_provider.runtime.backoff import BACKOFF_FIRST
from tests.unit.batch.waiting_room import Room, Seen, steady

BUSY = TransientError(
    ServiceAnswer(503, "ServerBusy", "busy", "r1"), pool="the account", doing="listing", next_step="x"
)


@pytest.fixture(autouse=True)
def notes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the debug log is told."""
    said: list[str] = []
    monkeypatch.setattr(request_log, "note", said.append)
    return said


def test_each_pool_in_turn_is_read_by_itself_every_audit() -> None:
    room = steady("a", "b", "c")
    audited = []
    while room.now < 4 * AUDIT_EVERY + LIST_INTERVAL:
        room.wait()
        told = room.told("c", "b", "a")
        audited += [(key, room.now) for key in "abc" if key not in told]
    assert "".join(key for key, _now in audited) == "abca"
    spans = [now - before for (_, before), (_, now) in itertools.pairwise(audited)]
    assert all(AUDIT_EVERY <= span <= AUDIT_EVERY + LIST_INTERVAL for span in spans)


@pytest.mark.parametrize(
    "failure",
    [PermanentError(ServiceAnswer(400, "InvalidQueryParameterValue")), CredentialError("no")],
    ids=["refused", "forbidden"],
)
def test_where_lists_are_refused_each_pool_is_read_by_itself_for_a_while(
    failure: BaseException, notes: list[str]
) -> None:
    room = Room("a", "b")
    room.failure = failure
    assert room.told("a", "b") == ""
    room.failure = None
    room.now = DISABLE_FOR - 0.1
    assert room.told("a", "b") == ""
    assert (room.shared.pause("a"), len(room.lists)) == (None, 1)
    room.now = DISABLE_FOR
    assert room.shared.pause("a") == 0.0
    assert "b" in room.told("a", "b"), "lists again"
    assert len(notes) == 1
    assert str(failure) in notes[0]


def test_a_list_that_hangs_is_not_waited_for_longer_than_patience(notes: list[str]) -> None:
    room = Room("a", "b", "c")
    room.takes = math.inf
    assert room.told("a") == ""
    assert room.now == LIST_TIMEOUT
    assert room.told("b", "c") == ""
    assert (room.now, len(room.lists), len(notes)) == (LIST_TIMEOUT, 1, 1)


def test_who_comes_to_a_list_that_hangs_is_kept_no_longer_either_and_it_is_said_once(notes: list[str]) -> None:
    room = Room("a", "b")

    def meanwhile() -> None:
        room.now = LIST_TIMEOUT / 2
        assert room.told("b") == ""
        assert room.now == 1.5 * LIST_TIMEOUT

    room.takes, room.meanwhile = math.inf, meanwhile
    assert room.told("a") == ""
    assert len(notes) == 1


@pytest.mark.parametrize("failure", [None, BUSY, PermanentError(ServiceAnswer(400))], ids=["good", "busy", "refused"])
@pytest.mark.parametrize("ends_at", [200.0, math.inf])
def test_whatever_becomes_of_a_list_that_hung_lists_are_read_again_after_distrust(
    failure: BaseException | None, ends_at: float
) -> None:
    room = Room("a", "b", "c")
    room.takes = math.inf
    room.told("a")
    if ends_at < DISABLE_FOR:
        room.now, room.failure = ends_at, failure
        assert room.told("a", "b", "c") == "", "they wait on"
        room.end()
    room.failure, room.takes, room.now = None, 0.0, LIST_TIMEOUT + DISABLE_FOR - 1
    assert room.told("a", "b", "c") == ""
    room.now += 1
    assert room.shared.pause("a") == 0.0
    assert room.told("a", "b", "c") == "bc", "it is a's turn to be audited"
    assert len(room.lists) == 2


def test_a_first_failure_is_told_to_each_who_waits_as_an_error_of_his_own() -> None:
    room = Room("a", "b")
    room.failure = BUSY
    caught = []
    for key in "ab":
        with pytest.raises(TransientError) as told:
            room.shared.look(key)
        caught.append(told.value)
    assert len({id(error) for error in (*caught, BUSY)}) == 3, "every rollout adds its own words"
    assert {(str(error), error.reply, error.doing) for error in caught} == {(str(BUSY), BUSY.reply, "listing")}
    assert room.shared.pause("a") == pytest.approx(0.8 * BACKOFF_FIRST)


def fail(room: Room) -> None:
    room.failure = BUSY
    with pytest.raises(TransientError):
        room.shared.look("a")
    room.failure = None
    room.wait()


def test_two_failures_in_a_row_are_not_told_and_end_the_lists(notes: list[str]) -> None:
    room = Room("a", "b")
    fail(room)
    room.failure = BUSY
    assert room.told("a", "b") == ""
    assert (room.shared.pause("a"), len(room.lists)) == (None, 2)
    assert "twice in a row" in notes[0]


def test_a_good_list_or_a_distrust_ends_the_row_of_failures() -> None:
    room = Room("a", "b")
    fail(room)
    assert room.told("a") == "a"
    room.wait()
    fail(room)
    room.failure = BUSY
    room.told("a", "b")
    room.now += DISABLE_FOR - 1
    room.failure = None
    room.told("a", "b")
    room.now += 1
    room.told("a")  # its audit
    fail(room)
    assert room.told("a", "b") == "ab"


@pytest.mark.parametrize("joins", [False, True], ids=["", "a pool joins"])
def test_no_list_is_read_before_the_service_wants_to_be_asked_again(*, joins: bool) -> None:
    room = Room("a", "b")
    room.now = LIST_INTERVAL
    room.failure = TransientError(ServiceAnswer(429, retry_after=20.0))
    with pytest.raises(TransientError):
        room.shared.look("a")
    room.pools["c"] = Seen()
    if joins:
        room.read("c")
    assert room.shared.pause("b") == 20.0


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ZeroDivisionError("a bug")])
def test_what_is_no_answer_of_batch_reaches_everybody_who_waits(error: BaseException) -> None:
    room = Room("a", "b")
    room.failure, room.takes = error, 1.0

    def other() -> None:
        with pytest.raises(type(error)):
            room.shared.look("b")

    room.meanwhile = other
    with pytest.raises(type(error)) as caught:
        room.shared.look("a")
    assert caught.value is error
    assert not room.are_used()


def ended(seen: Seen | None = None) -> Room:
    """Pool c, which lists have told of, was read by itself and is not at it any more."""
    room = steady("a", "b", "c")
    room.read("c")  # as for an audit
    room.shared.take("c", seen, room.now - 60)  # it took long: only from its answer on is anything known
    return room


def keep_showing(room: Room, seconds: float) -> None:
    """Let lists be read; they show what they have shown."""
    until = room.now + seconds
    while room.now < until and room.are_used():
        room.wait()
        room.told("a", "b")


@pytest.mark.parametrize("seen", [None, Seen(at_it=False)], ids=["gone", "at rest"])
def test_a_list_that_still_shows_a_pool_long_after_its_end_is_not_believed(seen: Seen | None, notes: list[str]) -> None:
    room = ended(seen)
    keep_showing(room, _LAG - LIST_INTERVAL + 1)
    assert room.are_used(), "it may lag"
    keep_showing(room, 2 * LIST_INTERVAL)
    assert not room.are_used()
    assert "still shows c" in notes[0]
    room.now += DISABLE_FOR - 1
    room.told("a", "b")
    room.now += 1
    keep_showing(room, 3 * _LAG)
    assert room.are_used(), "that was held against it once"


@pytest.mark.parametrize("shown", [None, Seen("2 -> 1"), Seen(began=9)], ids=["not", "another", "anew"])
def test_a_list_that_shows_the_end_or_what_began_after_it_is_believed(shown: Seen | None) -> None:
    room = ended()
    if shown is None:
        del room.pools["c"]
    else:
        room.pools["c"] = shown
    keep_showing(room, LIST_INTERVAL)
    room.pools["c"] = Seen()
    keep_showing(room, _LAG + 2 * LIST_INTERVAL)
    assert room.are_used()


def test_a_pool_that_is_at_it_again_has_not_ended() -> None:
    room = ended()
    room.read("c")
    keep_showing(room, _LAG + 2 * LIST_INTERVAL)
    assert room.are_used()


def test_a_pool_that_no_list_ever_showed_proves_nothing_by_its_end() -> None:
    room = steady("a", "b")
    room.pools["c"] = Seen()
    room.read("c")
    room.shared.take("c", None, room.now)
    keep_showing(room, _LAG + 2 * LIST_INTERVAL)
    assert room.are_used()


def test_what_lists_last_showed_of_a_pool_is_what_they_may_not_show_after_its_end() -> None:
    room = steady("a", "b")
    room.now += 1
    room.shared.expect("c", Seen(began=-1))
    room.pools["c"] = Seen(began=7)
    room.wait("c")
    assert room.told("c") == "c"
    room.shared.take("c", None, room.now)
    keep_showing(room, _LAG + 2 * LIST_INTERVAL)
    assert not room.are_used()


def test_only_a_list_from_after_the_end_shows_that_lists_know_it() -> None:
    room = steady("a", "b", "c")
    room.wait()

    def end() -> None:
        room.now += 0.5
        room.shared.take("c", None, room.now)
        del room.pools["c"]

    room.takes, room.meanwhile = 1.0, end
    assert room.told("a") == "a"
    room.takes, room.pools["c"] = 0.0, Seen()
    keep_showing(room, _LAG + 2 * LIST_INTERVAL)
    assert not room.are_used()


def test_who_leaves_after_its_end_is_not_held_against_the_list() -> None:
    room = ended()
    room.shared.forget("c")
    keep_showing(room, _LAG + LIST_INTERVAL)
    assert room.are_used()


def missing(ticks: str, *, change: bool = False) -> Room:
    """Pool c waits, and in these ticks the list shows it or does not: + or -."""
    room = steady("a", "b", "c")
    for shown in ticks:
        room.wait()
        seen = room.pools.pop("c")
        if shown == "+":
            room.pools["c"] = seen
        assert ("c" in room.told("a", "b", "c")) == (shown == "+")
        room.pools["c"] = Seen(f"{room.now}") if change else seen
        room.read("c")
    return room


def test_a_list_that_does_not_show_who_waits_for_long_is_not_believed(notes: list[str]) -> None:
    assert missing("----").are_used(), "it may lag"
    assert not missing("-----").are_used()
    assert "has not shown c" in notes[0]


def test_a_pool_that_changes_all_the_time_or_is_shown_in_between_is_not_missed() -> None:
    assert missing("------", change=True).are_used()
    assert missing("----+----+----").are_used()


def test_a_pool_that_lists_did_not_show_keeps_nobody_from_lists_for_ever() -> None:
    room = missing("-----")
    distrusted_at = room.now
    while room.now < distrusted_at + DISABLE_FOR:
        assert not room.are_used()
        room.now += 10
        room.read("a", "b", "c")
    assert room.are_used()
