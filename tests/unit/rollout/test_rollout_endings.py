"""Pins the endings short of the target (deadline, ^C, a dead engine) and that their texts are true."""

from __future__ import annotations

from dataclasses import replace

import pytest

from batch_os_provider.errors import (
    DeadlineError,
    InterruptedRolloutError,
    PoolGoneError,
    RefusedError,
    ServiceAnswer,
    TokenError,
    TransientError,
)
from batch_os_provider.rollout.loop import read
from batch_os_provider.runtime.cancellation import StopReason
from batch_os_provider.schema.declared import Policy
from tests.unit.rollout.doubles import (
    REF,
    V24,
    V25,
    V26,
    At,
    FakeService,
    Lost,
    Script,
    State,
    VirtualWaiter,
    begun,
    ended,
    transient,
)
from tests.unit.rollout.stage import play, refused, wanting

STUCK = State(stuck=(1,))
RESIZING = State(allocation="resizing")
AWAY = replace(State(), **begun(V26, began=-30.0))
GOES_ON = f"the upgrade {V24} -> {V25} goes on in Batch"
NOT_STARTED = "no upgrade was started"
IN_DOUBT = "its answer is not known"


def test_a_deadline_after_the_post_fails_and_says_that_the_upgrade_goes_on() -> None:
    played = refused(DeadlineError, state=STUCK, goal=wanting(timeout=300.0))
    for part in (REF.url, V25, "timeout of 5m00s", GOES_ON, "of 3 nodes back", "pulumi up", 'on_timeout="defer"'):
        assert part in played.text
    assert NOT_STARTED not in played.text


def test_a_deadline_before_the_post_fails_and_says_that_none_was_started_and_why() -> None:
    resize = refused(DeadlineError, state=RESIZING, goal=wanting(timeout=300.0))
    assert resize.service.count("post") == 0
    assert f"{NOT_STARTED}: a resize is under way" in resize.text
    assert "goes on" not in resize.text
    away = refused(DeadlineError, state=AWAY, goal=wanting(timeout=300.0, policy=Policy(on_conflict="wait")))
    assert f"{NOT_STARTED}: another upgrade is in flight" in away.text


def test_a_deadline_with_the_one_post_in_doubt_says_so() -> None:
    script = Script(posts={1: Lost(committed=True)}, reads=lambda n: transient(503, "B", "busy") if n > 1 else None)
    played = refused(DeadlineError, script=script, goal=wanting(timeout=20.0))
    assert IN_DOUBT in played.text
    assert "may run in Batch" in played.text


def test_the_last_read_falls_on_the_deadline() -> None:
    played = refused(DeadlineError, state=STUCK, goal=wanting(timeout=300.0))
    assert played.service.begun("read")[-1] == pytest.approx(300.0)
    assert played.waiter.now() <= 300.3


def test_an_upgrade_that_ends_between_the_last_poll_and_the_deadline_is_a_success() -> None:
    played = play(script=Script(upgrade_takes=299.5), goal=wanting(timeout=300.0))
    assert played.end.pool.current_os_version == V25
    assert not played.end.deferred


def test_deferring_after_the_post_succeeds_with_the_truth() -> None:
    played = play(STUCK, goal=wanting(timeout=300.0, defer=True))
    assert played.end.deferred
    assert played.end.pool.current_os_version == V24
    assert played.end.pool.state_text == "upgrading"
    said = [text for _, text in played.voice.said if "deferred" in text]
    assert len(said) == 1
    assert f"still at {V24}; upgrade to {V25} was deferred: 2 of 3 nodes back" in said[0]
    assert "Run `pulumi up` again to wait for the rest" in said[0]


def test_deferring_before_the_post_succeeds_and_says_that_none_was_started() -> None:
    played = play(RESIZING, goal=wanting(timeout=300.0, defer=True))
    assert played.end.deferred
    assert played.service.count("post") == 0
    assert any(f"deferred: {NOT_STARTED}: a resize is under way" in text for _, text in played.voice.said)


def test_deferring_does_not_hide_errors_that_are_no_deadline() -> None:
    goal = wanting(timeout=300.0, defer=True)
    refused(RefusedError, state=AWAY, goal=goal)
    refused(TransientError, script=Script(reads=lambda _: transient(503, "B", "busy")), goal=goal)


def test_a_pool_that_was_never_seen_cannot_be_deferred() -> None:
    script = Script(reads=lambda _: transient(503, "B", "busy", 90.0))
    refused(DeadlineError, script=script, goal=wanting(timeout=60.0, defer=True))


def test_after_our_202_an_upgrade_to_another_target_is_not_called_ours() -> None:
    """Our upgrade ended and another actor started one: no upgrade of this rollout runs."""
    events = (At(30, ended(V25)), At(30.0, begun(V26, 30.0)))
    script = Script(events=events, upgrade_takes=5000.0)
    played = refused(DeadlineError, script=script, goal=wanting(timeout=120.0, policy=Policy(on_conflict="wait")))
    assert GOES_ON not in played.text


def test_the_version_named_is_the_one_that_our_upgrade_started_from() -> None:
    """With on_conflict=wait the pool runs another version by the time ours starts."""
    away = replace(State(), **begun(V26, began=-30.0, ends=60.0))
    goal = wanting(timeout=120.0, policy=Policy(on_conflict="wait"))
    played = refused(DeadlineError, state=away, goal=goal)
    assert f"the upgrade {V26} -> {V25} goes on in Batch" in played.text


def test_a_refusal_after_our_202_says_that_batch_took_the_upgrade() -> None:
    """The view lags behind our 202 and a resize begins: the error must not read as if nothing was written."""
    script = Script(stale_for=20.0)
    state = State()
    played = play(state, script, goal=wanting(policy=Policy(if_resizing="fail")))
    assert played.end.pool.current_os_version == V25
    moved = Script(events=(At(40, {**ended(V24), "allocation": "resizing"}),))
    left = refused(RefusedError, script=moved, goal=wanting(policy=Policy(if_resizing="fail")))
    assert "Batch accepted the upgrade" in left.text


def test_a_pool_that_moved_away_into_endless_resizes_is_still_found_out() -> None:
    moved = Script(events=(At(40, {**ended(V24), "allocation": "resizing"}),))
    played = play(script=moved, goal=wanting(timeout=600.0))
    assert "no longer shows it" in played.text or "moved away" in played.text


@pytest.mark.parametrize(
    ("reason", "words"),
    [(StopReason.CANCELED, "interrupted by ^C"), (StopReason.ENGINE_GONE, "the Pulumi engine is gone")],
)
def test_a_stop_during_the_wait_says_that_the_upgrade_goes_on(reason: StopReason, words: str) -> None:
    played = refused(InterruptedRolloutError, state=STUCK, stop_at=300.0, reason=reason)
    assert played.waiter.now() == 300.0
    for part in (words, "after 5m00s", GOES_ON, "pulumi up", "no second upgrade"):
        assert part in played.text


def test_a_stop_before_anything_began_makes_no_call() -> None:
    played = refused(InterruptedRolloutError, stop_at=0.0)
    assert played.service.calls == []
    assert NOT_STARTED in played.text


def test_a_stop_during_the_first_read_makes_no_write() -> None:
    played = refused(InterruptedRolloutError, script=Script(read_takes=5.0), stop_at=1.0)
    assert played.service.count("post") == 0
    assert NOT_STARTED in played.text


def test_a_stop_before_the_post_says_that_none_was_started_and_why() -> None:
    played = refused(InterruptedRolloutError, state=RESIZING, stop_at=100.0)
    assert f"{NOT_STARTED}: a resize is under way" in played.text
    assert played.service.count("post") == 0


def test_a_stop_during_a_short_post_waits_for_its_answer_and_knows_what_became_of_it() -> None:
    played = refused(InterruptedRolloutError, script=Script(post_takes=1.5), stop_at=0.5)
    assert GOES_ON in played.text
    assert played.waiter.now() <= 0.5 + 3.0


def test_a_stop_during_a_long_post_says_that_its_answer_is_not_known() -> None:
    played = refused(InterruptedRolloutError, script=Script(post_takes=20.0), stop_at=0.5)
    assert IN_DOUBT in played.text
    assert NOT_STARTED not in played.text
    assert GOES_ON not in played.text
    assert played.waiter.now() <= 0.5 + 3.0


def test_a_stop_in_a_back_off_after_a_refused_post_makes_no_second_one() -> None:
    script = Script(posts={1: transient(503, "ServerBusy", "busy", 60.0)})
    played = refused(InterruptedRolloutError, script=script, stop_at=30.0)
    assert played.waiter.now() == 30.0
    assert played.service.count("post") == 1
    assert GOES_ON not in played.text


@pytest.mark.parametrize("status", [429, 503])
def test_an_answer_that_says_no_is_not_called_unknown(status: int) -> None:
    """429 and 503 are answers: nothing was started. 500, 502, 504 and silence are not."""
    script = Script(posts={1: transient(status, "ServerBusy", "busy", 60.0)})
    played = refused(InterruptedRolloutError, script=script, stop_at=30.0)
    assert IN_DOUBT not in played.text
    assert NOT_STARTED in played.text


def test_a_stop_in_a_back_off_after_a_lost_answer_says_that_it_may_run() -> None:
    script = Script(posts={1: Lost(committed=True)}, reads=lambda n: transient(503, "B", "busy") if n > 1 else None)
    played = refused(InterruptedRolloutError, script=script, stop_at=10.0)
    assert IN_DOUBT in played.text
    assert NOT_STARTED not in played.text


def test_a_stop_during_a_read_in_the_wait_says_that_the_upgrade_goes_on() -> None:
    played = play(STUCK, Script(read_takes=3.0), stop_at=301.0)
    assert GOES_ON in played.text
    assert played.waiter.now() == 301.0


def test_a_stop_while_a_joined_upgrade_runs_says_that_it_goes_on() -> None:
    joined = replace(State(), **begun(V25, began=-30.0, ends=600.0))
    played = refused(InterruptedRolloutError, state=joined, stop_at=60.0)
    assert GOES_ON in played.text
    assert played.service.count("post") == 0


def test_a_stop_during_the_last_count_of_nodes_does_not_unmake_a_success() -> None:
    """The pool was seen active at target; only the count for the summary was under way."""
    probe = play()
    last_list = [call for call in probe.service.calls if call.kind == "nodes"][-1]
    played = play(stop_at=(last_list.began + last_list.ended) / 2)
    assert played.error is None or GOES_ON not in played.text


def test_reading_for_refresh_is_bounded_and_tells_gone_from_broken() -> None:
    def reading(script: Script, stop_at: float = float("inf")) -> tuple[object, FakeService]:
        waiter = VirtualWaiter(stop_at=stop_at)
        service = FakeService(waiter, State(), script)
        try:
            return read(REF, lambda: service.get_pool(REF), waiter, lambda: 0.5), service
        except (TransientError, InterruptedRolloutError) as error:
            return error, service

    pool, service = reading(Script(reads={1: transient(503, "B", "busy", 20.0)}))
    assert getattr(pool, "current_os_version", None) == V24
    assert service.begun("read")[1] >= 20.0
    assert reading(Script(gone_at=0.0))[0] is None
    error, service = reading(Script(reads=lambda _: transient(503, "B", "busy")))
    assert isinstance(error, TransientError)
    assert service.count("read") == 4
    assert error.reason.endswith("; given up after 4 tries")
    token = TokenError(ServiceAnswer(message="AADSTS7000215"), refused=True)
    error, service = reading(Script(reads=lambda _: token))
    assert isinstance(error, TokenError)
    assert service.count("read") == 2
    assert error.reason.endswith("; given up after 2 tries"), "the tries that were made"
    error, service = reading(Script(reads=lambda _: transient(503, "B", "busy", 60.0)), stop_at=5.0)
    assert isinstance(error, InterruptedRolloutError)
    assert "nothing was written" in str(error)


def test_a_pool_that_is_gone_is_not_said_to_upgrade() -> None:
    for script in (Script(gone_at=30.0), Script(events=(At(30, {**ended(V24), "state": "deleting"}),))):
        played = refused(PoolGoneError, script=script)
        assert GOES_ON not in played.text


def test_a_202_that_the_view_never_showed_is_not_said_to_have_vanished() -> None:
    """The old view within the grace: not yet is not any more."""
    stop = refused(InterruptedRolloutError, script=Script(stale_for=20.0), stop_at=5.0)
    deadline = refused(DeadlineError, script=Script(stale_for=20.0), goal=wanting(timeout=5.0))
    for played in (stop, deadline):
        assert "any more" not in played.text
        assert NOT_STARTED not in played.text
        assert f"upgrade to {V25}" in played.text or GOES_ON in played.text


def test_a_gone_pool_is_no_deadline_and_no_refusal() -> None:
    played = refused(PoolGoneError, script=Script(gone_at=0.0))
    assert played.service.count("post") == 0
