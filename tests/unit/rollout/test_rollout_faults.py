"""Pins the loop on a service that fails: which calls it repeats, how soon, how often, and when it gives up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from batch_os_provider.errors import (
    ConflictError,
    CredentialError,
    PermanentError,
    RefusedError,
    ServiceAnswer,
    TransientError,
)
from batch_os_provider.rollout.poll_schedule import FIRST_CONTACT_FAILURES, MAX_FAILURES
from batch_os_provider.runtime.backoff import back_off
from tests.unit.rollout.doubles import REF, V25, At, Lost, Script, State, begun, conflict, transient
from tests.unit.rollout.stage import Play, play, refused, wanting


def busy() -> TransientError:
    return transient(503, "ServerBusy", "The server is busy.")


def being_resized() -> ConflictError:
    return conflict(409, "PoolBeingResized", "The specified pool is being resized.")


def final() -> PermanentError:
    answer = ServiceAnswer(400, "PoolNotEligibleForOSVersionUpgrade", "The specified pool is not eligible.", "req-9")
    return PermanentError(answer, pool=REF.url, doing="starting the upgrade")


def denied() -> CredentialError:
    return CredentialError("Batch refused the shared key", pool=REF.url)


def posts(played: Play) -> list[float]:
    return played.service.begun("post")


def test_an_answer_lost_after_the_commit_brings_no_second_post() -> None:
    played = play(script=Script(posts={1: Lost(committed=True)}))
    assert played.service.count("post") == 1
    assert played.service.upgrades == [V25]
    assert "3 of 3 nodes back" in played.voice.lines("info")[-1], "nodes are counted from the upgrade's own start"


def test_an_answer_lost_before_the_commit_brings_a_second_post_after_a_read() -> None:
    played = play(script=Script(posts={1: Lost(committed=False)}))
    assert played.service.count("post") == 2
    assert played.service.upgrades == [V25]
    kinds = [call.kind for call in played.service.calls]
    assert kinds[:4] == ["read", "post", "read", "post"]


def test_a_lost_answer_whose_upgrade_is_not_seen_yet_is_read_as_refused_and_then_joined() -> None:
    """The view lags, the second POST is answered "already there": read again, never a third."""
    script = Script(posts={1: Lost(committed=True)}, stale_for=1.5)
    played = play(script=script)
    assert played.service.upgrades == [V25]
    assert played.service.count("post") == 2
    assert played.end.pool.current_os_version == V25


def test_a_lost_answer_whose_upgrade_shows_late_is_not_called_refused() -> None:
    """The same lag of ten seconds is waited out after a 202."""
    assert play(script=Script(stale_for=10.0)).end.pool.current_os_version == V25
    played = play(script=Script(posts={1: Lost(committed=True)}, stale_for=10.0))
    assert played.end.pool.current_os_version == V25
    assert played.service.upgrades == [V25]


def test_a_lost_answer_followed_by_412s_to_an_old_view_is_not_called_not_started() -> None:
    """The precondition fails because of our own upgrade, which the view does not show yet."""
    changed = conflict(412, "ConditionNotMet", "The specified condition is not met.")
    script = Script(posts={1: Lost(committed=True), 2: changed, 3: changed}, stale_for=10.0)
    played = play(script=script)
    assert played.service.upgrades == [V25]
    assert played.error is None or "no upgrade was started" not in played.text


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
@pytest.mark.parametrize("retry_after", [None, 17.0])
def test_a_transient_answer_to_the_post_is_repeated_after_its_pause_and_a_read(
    status: int, retry_after: float | None
) -> None:
    played = play(script=Script(posts={1: transient(status, "Code", "busy", retry_after)}))
    assert played.service.count("post") == 2
    assert played.service.upgrades == [V25]
    first, second = posts(played)
    assert second - first >= (retry_after or 0.8)
    assert second - first <= (retry_after or 1.2) + 1.0


def test_a_transient_answer_to_a_read_honours_retry_after_and_says_so() -> None:
    played = play(script=Script(reads={1: transient(429, "TooMany", "slow down", 33.0)}))
    first, second = played.service.begun("read")[:2]
    assert second - first >= 33.0
    assert any("slow down" in line and "33s" in line for line in played.voice.lines("status"))


def test_retry_after_is_never_longer_than_the_deadline_allows() -> None:
    script = Script(reads={2: transient(503, "ServerBusy", "busy", 3600.0)})
    played = play(State(stuck=(0,)), script, goal=wanting(timeout=120.0))
    assert played.waiter.now() == pytest.approx(120, abs=1)


def test_no_write_is_sent_sooner_than_retry_after_not_even_at_the_deadline() -> None:
    script = Script(posts={1: transient(503, "ServerBusy", "busy", 3600.0)})
    played = play(script=script, goal=wanting(timeout=60.0))
    assert played.service.count("post") == 1


def test_no_upgrade_is_started_with_no_time_left_to_see_it() -> None:
    script = Script(events=(At(59.99, {"allocation": "steady"}),))
    played = play(State(allocation="resizing"), script, goal=wanting(timeout=60.0))
    assert played.service.count("post") == 0


def test_pauses_double_up_to_half_a_minute() -> None:
    error = transient(503, "ServerBusy", "busy")
    assert [back_off(n, error, 0.5) for n in range(1, 8)] == [1, 2, 4, 8, 16, 30, 30]
    assert back_off(1, error, 0.0) < back_off(1, error, 1.0)
    assert back_off(1, transient(503, "ServerBusy", "busy", 90.0), 0.5) == 90


def test_a_412_is_read_again_and_written_with_the_new_etag() -> None:
    """Another actor changes the pool between our read and our write."""
    script = Script(events=(At(0.1, {"etag": "0x2"}),))
    played = play(script=script)
    assert played.service.count("post") == 2
    assert played.service.upgrades == [V25]


def test_somebody_elses_post_of_the_same_target_between_read_and_write_is_joined() -> None:
    script = Script(events=(At(0.1, begun(V25, 0.1, 90.0)),))
    played = play(script=script)
    assert played.service.count("post") == 1
    assert played.service.upgrades == []
    assert played.end.pool.current_os_version == V25


def test_somebody_elses_post_of_another_target_between_read_and_write_is_refused_naming_both() -> None:
    other = "WA-GUEST-OS-5.26_201812-01"
    played = refused(RefusedError, script=Script(events=(At(0.1, begun(other, 0.1, 90.0)),)))
    assert played.service.count("post") == 1
    assert other in played.text


def test_a_resize_that_the_view_does_not_show_yet_is_waited_out() -> None:
    played = play(script=Script(posts=dict.fromkeys(range(1, 15), being_resized())))
    assert played.service.count("post") == 15
    assert played.service.upgrades == [V25]


def test_a_lasting_refusal_twice_with_nothing_changed_ends_in_the_services_text_and_two_posts() -> None:
    answer = conflict(409, "OperationNotValidOnPool", "The specified operation is not valid on the pool.")
    played = refused(RefusedError, script=Script(posts=dict.fromkeys(range(1, 99), answer)))
    assert played.service.count("post") == 2
    for part in ("OperationNotValidOnPool", "not valid on the pool", "409", "request id req-1", "twice"):
        assert part in played.text
    assert ".." not in played.text, "one final stop"


def test_a_lasting_refusal_with_a_change_of_view_in_between_is_tried_again() -> None:
    answer = conflict(409, "OperationNotValidOnPool", "no")
    events = (At(0.5, {"etag": "0x2"}),)
    played = play(script=Script(posts={1: answer, 2: answer}, events=events))
    assert played.service.count("post") == 3


def test_two_different_refusals_in_turn_do_not_count_as_the_same_twice() -> None:
    one, other = conflict(409, "OperationNotValidOnPool", "no"), conflict(412, "ConditionNotMet", "no")
    assert play(script=Script(posts={1: one, 2: other})).service.count("post") == 3


def test_a_permanent_error_to_the_post_ends_at_once() -> None:
    played = refused(PermanentError, script=Script(posts={1: final()}))
    assert [call.kind for call in played.service.calls] == ["read", "post"]
    for part in ("PoolNotEligibleForOSVersionUpgrade", "not eligible", "request id req-9"):
        assert part in played.text


def test_a_permanent_or_credential_error_to_a_read_ends_at_once() -> None:
    assert refused(PermanentError, script=Script(reads={1: final()})).service.count("read") == 1
    assert refused(CredentialError, script=Script(reads={1: denied()})).service.count("read") == 1


def test_a_permanent_error_during_the_wait_says_that_the_upgrade_goes_on() -> None:
    played = refused(CredentialError, script=Script(reads={4: denied()}))
    assert f"the upgrade WA-GUEST-OS-5.24_201810-01 -> {V25} goes on in Batch" in played.text


@pytest.mark.parametrize("failure", [denied, busy])
def test_an_error_that_ends_the_rollout_after_a_lost_answer_says_that_it_may_run(
    failure: Callable[[], Exception],
) -> None:
    script = Script(posts={1: Lost(committed=True)}, reads=lambda number: failure() if number > 1 else None)
    played = play(script=script)
    assert "may run in Batch" in played.text


def test_an_error_that_ends_the_rollout_because_no_post_was_ever_answered_says_that_it_may_run() -> None:
    script = Script(posts=dict.fromkeys(range(1, 99), Lost(committed=False)))
    played = refused(TransientError, script=script)
    assert played.service.count("post") == MAX_FAILURES
    assert "may run in Batch" in played.text


def test_an_endpoint_that_never_answers_is_given_up_soon() -> None:
    played = refused(TransientError, script=Script(reads=lambda _: busy()))
    assert played.service.count("read") == FIRST_CONTACT_FAILURES
    assert f"given up after {FIRST_CONTACT_FAILURES} tries" in played.text
    assert played.waiter.now() < 15


def test_a_service_that_stops_answering_is_given_up_after_ten_reads_in_a_row() -> None:
    played = refused(TransientError, script=Script(reads=lambda number: busy() if number > 3 else None))
    assert played.service.count("read") == 3 + MAX_FAILURES
    assert "goes on in Batch" in played.text


def test_nine_failures_in_a_row_are_survived_again_and_again() -> None:
    played = play(script=Script(reads=lambda n: None if n % MAX_FAILURES == 1 else busy(), upgrade_takes=600.0))
    assert played.end.pool.current_os_version == V25


def test_conflicts_that_pass_do_not_use_up_the_budget_for_lost_answers() -> None:
    answers: dict[int, Exception | Lost] = {**dict.fromkeys(range(1, 12), being_resized()), 12: Lost(committed=True)}
    assert play(script=Script(posts=answers)).end.pool.current_os_version == V25


def test_an_already_there_refusal_twice_with_an_unchanged_view_ends_in_a_refusal() -> None:
    there = conflict(400, "PoolVersionEqualsUpgradeVersion", "The pool is already with the given version.")
    played = play(script=Script(posts={1: there, 2: there}))
    assert isinstance(played.error, RefusedError | ConflictError)
    assert "already with the given version" in played.text


def test_every_second_read_failing_makes_the_calls_fewer_and_not_more() -> None:
    """A busy service is asked less often; node lists keep their half minute."""
    state = State(stuck=(1,))
    played = play(state, Script(reads=lambda number: busy() if number % 2 else None), goal=wanting(timeout=3600.0))
    assert played.service.count("read") <= 60 * 8, f"{played.service.count('read') / 60:.0f} reads a minute"


def test_every_second_read_failing_does_not_make_node_lists_more_frequent() -> None:
    state = State(stuck=(1,))
    played = play(state, Script(reads=lambda number: busy() if number % 2 else None), goal=wanting(timeout=3600.0))
    assert played.service.count("nodes") <= 3600 / 30 + 2


def test_every_second_read_failing_does_not_flood_the_log() -> None:
    state = State(stuck=(1,))
    played = play(state, Script(reads=lambda number: busy() if number % 2 else None), goal=wanting(timeout=3600.0))
    assert len(played.voice.said) <= 3600 / 10


def test_a_view_that_flaps_keeps_to_the_budget_of_calls() -> None:
    """Replicas of the service that do not agree: two phases in turn."""
    flapping = tuple(At(float(s), {"state": "active" if s % 2 else "defragmenting"}) for s in range(1, 1800))
    played = play(State(allocation="resizing"), Script(events=flapping), goal=wanting(timeout=1800.0))
    assert played.service.count("read") <= 30 * 8, f"{played.service.count('read') / 30:.0f} reads a minute"


def test_the_doubles_refuse_a_write_that_no_read_precedes() -> None:
    played = play(replace(State(), current=V25, target=V25))
    with pytest.raises(AssertionError, match="If-Match"):
        played.service.upgrade_os(REF, V25, "0x9")


def test_a_refusal_that_comes_for_hours_has_a_pause_like_the_others() -> None:
    """A power of two for each failure ended in an OverflowError after some nine hours of 412."""
    assert back_off(5000, transient(503, "ServerBusy", "busy"), 0.5) == 30.0
