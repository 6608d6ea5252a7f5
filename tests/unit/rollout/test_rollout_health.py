"""Pins what a rollout makes of the health that is declared: when it judges, waits, gives up, and what it says."""

from __future__ import annotations

import itertools
from dataclasses import replace
from functools import partial

import pytest

from batch_os_provider.errors import (
    CredentialError,
    DeadlineError,
    InterruptedRolloutError,
    StalledError,
    TransientError,
    UnhealthyError,
)
from batch_os_provider.rollout.poll_schedule import MAX_FAILURES
from batch_os_provider.schema.declared import Gate
from batch_os_provider.schema.units import Share
from tests.unit.rollout.doubles import REF, V24, V25, V26, At, Lost, Script, State, begun, transient
from tests.unit.rollout.stage import Play, play, refused, wanting

AT_TARGET = State(current=V25, target=V25)
BROKEN = replace(AT_TARGET, resting={1: "unusable"})
NONE = wanting(gate=Gate(max_unhealthy=Share(0)))
ONE = wanting(gate=Gate(max_unhealthy=Share(1)))
HOUR = wanting(gate=Gate(soak=3600.0))
STALL = wanting(stall_after=1800.0)
STUCK = State(stuck=(1,))


def fail(failure: Exception, _number: int) -> Exception:
    return failure


def count(played: Play, *kinds: str) -> list[int]:
    return [played.service.count(kind) for kind in kinds]


# --- max_unhealthy ---


def test_a_pool_at_its_target_is_judged_though_nothing_is_written() -> None:
    played = refused(UnhealthyError, state=BROKEN, goal=NONE)
    assert count(played, "read", "nodes", "post") == [1, 1, 0]
    assert f"it runs {V25}, but 1 of 3 nodes is unhealthy, max_unhealthy 0: tvm-1 is unusable" in played.text
    assert "Run `pulumi up` again" in played.text
    assert "no upgrade was started" not in played.text


def test_an_upgrade_that_ends_with_unhealthy_nodes_fails_after_one_post() -> None:
    played = refused(UnhealthyError, state=State(resting={1: "starttaskfailed"}), goal=NONE)
    assert count(played, "post") == [1]
    assert f"it runs {V25}, but 1 of 3 nodes is unhealthy" in played.text
    assert "revert the program and run `pulumi up --refresh`" in played.text
    assert "goes on in Batch" not in played.text


@pytest.mark.parametrize("state", [State(resting={1: "unusable"}), BROKEN])
def test_as_many_as_allowed_pass_and_are_warned_about(state: State) -> None:
    played = play(state, goal=ONE)
    assert played.end.pool.current_os_version == V25
    assert "1 of 3 nodes is unhealthy, max_unhealthy 1" in played.voice.lines("info")[-1]
    assert played.voice.lines("warn") == [f"the pool runs {V25}, but 1 of 3 nodes is unhealthy: tvm-1 is unusable"]


def test_a_pool_that_was_adopted_well_says_so_in_its_one_line() -> None:
    played = play(AT_TARGET, goal=NONE)
    (line,) = played.voice.lines("info")
    assert (
        line == "nothing was written; 0 of 3 nodes are unhealthy, max_unhealthy 0; the pool already runs 5.25_201811-01"
    )


def test_a_gate_is_never_passed_in_silence_by_a_pool_without_nodes() -> None:
    assert "; no nodes" in play(replace(AT_TARGET, nodes=0), goal=NONE).voice.lines("info")[-1]


def test_nodes_on_their_way_are_waited_for_with_a_list_every_thirty_seconds() -> None:
    arriving = replace(AT_TARGET, resting={1: "waitingforstarttask"})
    played = play(arriving, Script(events=(At(100, {"resting": {}}),)), goal=NONE)
    assert played.end.pool.current_os_version == V25
    looks = played.service.begun("nodes")
    assert 100 < looks[-1] < 135
    assert all(later - earlier >= 30.0 for earlier, later in itertools.pairwise(looks))
    assert played.voice.lines("status")[0] == (
        "3 nodes, 0s; the pool runs the target; 0 of 3 nodes are unhealthy, max_unhealthy 0, 1 not ready yet; "
        "1 waitingforstarttask; 5.25_201811-01"
    )


def test_a_node_that_fails_on_its_way_fails_the_gate_then() -> None:
    arriving = replace(AT_TARGET, resting={1: "waitingforstarttask"})
    events = (At(100, {"resting": {1: "starttaskfailed"}}),)
    played = refused(UnhealthyError, state=arriving, script=Script(events=events), goal=NONE)
    assert "tvm-1 is starttaskfailed" in played.text


def test_without_a_gate_one_list_at_the_end_of_an_upgrade_reports_what_is_unhealthy() -> None:
    played = play(State(resting={0: "starttaskfailed", 2: "unusable"}))
    assert played.end.pool.current_os_version == V25
    (warning,) = played.voice.lines("warn")
    assert warning.startswith(f"the pool runs {V25}, but 2 of 3 nodes are unhealthy: tvm-0 is starttaskfailed, tvm-2")
    assert count(play(BROKEN), "read", "nodes") == [1, 0], "and none where nothing was upgraded"


def test_unhealthy_nodes_are_reported_also_where_nobody_knows_when_the_upgrade_began() -> None:
    played = play(State(resting={1: "unusable"}), Script(posts={1: Lost(committed=True)}, upgrade_takes=1.0))
    assert "1 of 3 nodes is unhealthy" in played.voice.lines("warn")[0]


# --- what cannot be read ---


def test_nodes_that_cannot_be_listed_now_are_tried_again() -> None:
    busy = transient(503, "ServerBusy", "busy")
    played = play(AT_TARGET, Script(node_lists=lambda number: busy if number < 4 else None), goal=NONE)
    assert played.end.pool.current_os_version == V25
    assert count(played, "nodes") == [4]


def test_nodes_that_cannot_be_listed_at_all_fail_a_gate_and_not_a_report() -> None:
    busy, denied = transient(503, "ServerBusy", "busy"), CredentialError("denied", pool=REF.url)
    for failure, kind, lists in ((busy, TransientError, MAX_FAILURES), (denied, CredentialError, 1)):
        script = Script(node_lists=partial(fail, failure))
        played = refused(kind, state=AT_TARGET, script=script, goal=NONE)
        assert count(played, "nodes", "post") == [lists, 0]
    after = refused(CredentialError, script=Script(node_lists=partial(fail, denied)), goal=NONE)
    assert f"; the pool runs {V25}" in after.text


# --- soak ---


def test_a_soak_counts_from_the_newest_boot_and_not_from_this_run() -> None:
    played = play(replace(AT_TARGET, finished=-3000.0), goal=HOUR)
    assert 600 <= played.waiter.now() < 640
    assert (
        "soaking, 0s; 0 of 3 nodes are unhealthy; the newest boot was 50m00s ago, soak is 1h00m; 5.25_201811-01"
        in played.voice.lines("status")
    )
    assert count(played, "post") == [0]


def test_a_pool_that_has_settled_long_ago_passes_at_once() -> None:
    played = play(AT_TARGET, goal=HOUR)
    assert played.waiter.now() < 1
    assert count(played, "read", "nodes") == [1, 1]


def test_a_soak_follows_an_upgrade_and_reads_every_thirty_seconds() -> None:
    played = play(script=Script(upgrade_takes=300.0), goal=HOUR)
    assert 3900 <= played.waiter.now() < 3940
    late = [began for began in played.service.begun("nodes") if began > 400]
    assert all(later - earlier >= 29.9 for earlier, later in itertools.pairwise(late[:-1]))
    assert len(late) <= 3600 / 30 + 2
    assert "3 of 3 nodes back" in played.voice.lines("info")[-1]
    assert not any("no node moved" in line for _, line in played.voice.said), "to soak is to keep still"


def test_an_interrupted_soak_says_so_and_the_next_run_goes_on_where_it_was() -> None:
    first = refused(InterruptedRolloutError, script=Script(upgrade_takes=300.0), goal=HOUR, stop_at=2000.0)
    assert f"the pool runs {V25}; 0 of 3 nodes are unhealthy; the newest boot was 2" in first.text
    assert "starts no second upgrade" in first.text
    state = replace(AT_TARGET, finished=300.0 - 2000.0)
    assert 1890 <= play(state, goal=HOUR).waiter.now() < 1940


def test_a_node_that_boots_again_begins_the_soak_anew() -> None:
    again = At(600, {"finished": 590.0})
    played = play(replace(AT_TARGET, finished=-10.0), Script(events=(again,)), goal=HOUR)
    assert 4190 <= played.waiter.now() < 4240


def test_a_node_that_fails_while_it_soaks_fails_the_gate() -> None:
    goal = wanting(gate=Gate(Share(0), 3600.0))
    script = Script(events=(At(600, {"resting": {0: "unusable"}}),))
    played = refused(UnhealthyError, state=replace(AT_TARGET, finished=0.0), script=script, goal=goal)
    assert 600 < played.waiter.now() < 640


def test_an_upgrade_to_something_else_while_it_soaks_is_met_as_ever() -> None:
    script = Script(events=(At(600, begun(V26, 600.0)),))
    played = play(replace(AT_TARGET, finished=0.0), script, goal=HOUR)
    assert f"{V25} -> {V26} is in flight" in played.text


# --- the deadline ---


def test_the_timeout_bounds_a_soak_and_says_what_is_missing() -> None:
    played = refused(DeadlineError, state=replace(AT_TARGET, finished=0.0), goal=replace(HOUR, timeout=600.0))
    assert "the declared health was not confirmed within the timeout of 10m00s" in played.text
    assert f"the pool runs {V25}; 0 of 3 nodes are unhealthy; the newest boot was" in played.text
    assert "was not reached" not in played.text


def test_a_deferred_soak_succeeds_and_says_that_nothing_is_proven() -> None:
    played = play(replace(AT_TARGET, finished=0.0), goal=replace(HOUR, timeout=600.0, defer=True))
    assert played.end.deferred
    (warning,) = played.voice.lines("warn")
    assert warning.startswith(f"the pool runs {V25}; 0 of 3 nodes are unhealthy; the newest boot was")
    assert warning.endswith("the health check was deferred. Run `pulumi up` again to wait for the rest")


def test_unhealthy_nodes_are_not_deferred() -> None:
    refused(UnhealthyError, state=BROKEN, goal=replace(NONE, defer=True))


# --- stall_after ---


def test_a_stall_ends_the_wait_and_names_the_nodes() -> None:
    played = refused(StalledError, state=STUCK, goal=STALL)
    assert "no node moved for 30m" in played.text
    assert "stall_after is 30m00s: tvm-1 is unusable (AgentLost: The agent does not answer)" in played.text
    assert f"the upgrade {V24} -> {V25} goes on in Batch" in played.text
    assert "Run `pulumi up` again" in played.text
    assert played.text.count("this came after") == 1
    assert 1800 < played.waiter.now() < 1800 + 90 + 45
    assert count(played, "post") == [1]
    assert any("no node moved for 15m" in line for line in played.voice.lines("warn")), "warned of before"


def test_without_it_a_stall_is_waited_out() -> None:
    refused(DeadlineError, state=STUCK)


def test_nodes_that_move_do_not_stall_and_a_stall_starts_anew_with_each_run() -> None:
    goal = wanting(stall_after=120.0)
    assert play(script=Script(upgrade_takes=300.0), goal=goal).end.pool.current_os_version == V25
    joined = replace(STUCK, **begun(V25, began=-9000.0))
    assert refused(StalledError, state=joined, goal=goal).waiter.now() >= 120


def test_a_stall_is_not_concluded_from_lists_that_fail() -> None:
    busy = transient(503, "ServerBusy", "busy")
    script = Script(node_lists=lambda number: busy if number > 1 else None)
    refused(DeadlineError, state=STUCK, script=script, goal=STALL)


def test_a_stall_is_an_error_also_where_the_deadline_is_deferred() -> None:
    refused(StalledError, state=STUCK, goal=replace(STALL, defer=True))


def test_nodes_that_stall_on_their_way_at_the_target_end_the_wait_too() -> None:
    goal = replace(NONE, stall_after=600.0)
    played = refused(StalledError, state=replace(AT_TARGET, resting={2: "starting"}), goal=goal)
    assert "no node moved for 10m" in played.text
    assert "stall_after is 10m00s: tvm-2 is starting; this came after" in played.text
    assert f"the pool runs {V25}; 0 of 3 nodes are unhealthy, max_unhealthy 0, 1 not ready yet" in played.text
    assert 600 <= played.waiter.now() < 640


def test_a_soak_does_not_stall() -> None:
    goal = replace(HOUR, stall_after=60.0)
    assert not play(replace(AT_TARGET, finished=0.0), goal=goal).end.deferred


def test_a_short_stall_has_the_nodes_counted_as_often_and_once_for_each_read_at_most() -> None:
    played = refused(StalledError, state=STUCK, goal=wanting(stall_after=5.0), script=Script(upgrade_takes=9e9))
    assert 5 <= played.waiter.now() < 20
    assert played.service.count("nodes") <= played.service.count("read")
