"""Pins the loop on a service without failures: its writes, its waits, and how often it reads."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace

import pytest

from batch_os_provider.errors import PoolGoneError, RefusedError
from batch_os_provider.schema.declared import Policy
from tests.unit.rollout.doubles import (
    OTHER_FAMILY,
    V24,
    V25,
    V26,
    At,
    ImpossibleScriptError,
    Script,
    State,
    at,
    begun,
    ended,
)
from tests.unit.rollout.stage import play, refused, wanting

S24, S25 = "5.24_201810-01", "5.25_201811-01"
"""V24 and V25 as a row shows them."""
AT_TARGET = State(current=V25, target=V25)
IN_FLIGHT = replace(State(), **begun(V25, began=-30.0, ends=60.0))
AWAY = replace(State(), **begun(V26, began=-30.0, ends=60.0))
RESIZING = State(allocation="resizing", resize_began=-10.0)
MACHINE = State(current=None, target=None, family=None, vm_image={"offer": "windowsserver", "sku": "2022"})
STEADY_AT_45 = At(45, {"allocation": "steady"})


def test_a_pool_at_its_target_is_adopted_with_one_read_and_no_write() -> None:
    played = play(AT_TARGET)
    assert [call.kind for call in played.service.calls] == ["read"]
    assert played.end.pool.current_os_version == V25
    assert not played.end.deferred
    assert played.voice.lines("info") == [f"nothing was written; the pool already runs {S25}"]


def test_an_upgrade_is_one_post_and_success_is_active_at_target_on_a_read_begun_after_the_202() -> None:
    played = play()
    assert played.service.upgrades == [V25]
    assert played.service.count("post") == 1
    taken = next(call for call in played.service.calls if call.kind == "post")
    last_read = [call for call in played.service.calls if call.kind == "read"][-1]
    assert last_read.began >= taken.ended
    assert played.end.pool.current_os_version == V25
    assert played.end.pool.state_text == "active"
    assert played.waiter.now() == pytest.approx(90, abs=12), "the end is noticed within one poll"


def test_the_first_read_after_the_202_comes_at_once() -> None:
    played = play()
    taken = next(call for call in played.service.calls if call.kind == "post")
    assert min(t for t in played.service.begun("read") if t >= taken.ended) == taken.ended


def test_an_empty_pool_passes_through_upgrading_too() -> None:
    played = play(State(nodes=0))
    assert played.service.count("post") == 1
    assert "no nodes" in played.voice.lines("info")[-1]
    assert "0 of 0" not in str(played.voice.said)


def test_an_older_target_and_a_star_are_upgrades_like_any_other() -> None:
    assert play(State(current=V26, target=V26), goal=wanting(target=V24)).service.upgrades == [V24]
    assert play(goal=wanting(target="*")).end.pool.current_os_version == "*"


def test_an_upgrade_in_flight_to_our_target_is_joined_without_a_write() -> None:
    played = play(IN_FLIGHT)
    assert played.service.count("post") == 0
    assert played.end.pool.current_os_version == V25
    assert re.fullmatch(rf"done, 3 of 3 nodes back, \w+; {S24} -> {S25}", played.voice.lines("info")[-1])


def test_a_joined_upgrade_counts_nodes_from_its_own_start() -> None:
    played = play(IN_FLIGHT, Script(upgrade_takes=90))
    assert "1 of 3 nodes back" in played.voice.lines("status")[0], "tvm-0 came back as we came"


def test_another_target_in_flight_is_refused_and_nothing_is_written() -> None:
    played = refused(RefusedError, state=AWAY)
    assert played.service.count("post") == 0
    assert V26 in played.text
    assert V25 in played.text


def test_another_target_in_flight_is_waited_for_and_then_comes_ours() -> None:
    played = play(AWAY, goal=wanting(policy=Policy(on_conflict="wait")))
    assert played.service.upgrades == [V25]
    posted = next(call for call in played.service.calls if call.kind == "post")
    assert posted.began >= 60
    assert played.end.pool.current_os_version == V25


def test_another_upgrade_that_ends_at_our_target_needs_no_write() -> None:
    events = (At(60, ended(V26)), At(60.0, begun(V25, 60.0, 120.0)))
    played = play(AWAY, Script(events=events), goal=wanting(policy=Policy(on_conflict="wait")))
    assert played.service.count("post") == 0
    assert played.end.pool.current_os_version == V25


def test_a_resize_is_waited_for_and_never_stopped() -> None:
    played = play(RESIZING, Script(events=(STEADY_AT_45,)))
    posted = next(call for call in played.service.calls if call.kind == "post")
    assert 45 <= posted.began <= 45 + 12
    assert {call.kind for call in played.service.calls} == {"read", "post", "nodes"}
    assert any("resize is under way" in line for line in played.voice.lines("status"))


def test_a_resize_is_refused_where_declared() -> None:
    played = refused(RefusedError, state=RESIZING, goal=wanting(policy=Policy(if_resizing="fail")))
    assert [call.kind for call in played.service.calls] == ["read"]
    assert "does not stop it" in played.text


def test_a_resize_of_a_pool_at_its_target_is_nobodys_business() -> None:
    state = replace(AT_TARGET, allocation="resizing")
    assert play(state, goal=wanting(policy=Policy(if_resizing="fail"))).service.count("read") == 1


def test_resizes_that_come_again_are_counted_and_said() -> None:
    events = (*(At(40.0 * n, {"resize_began": 40.0 * n}) for n in range(1, 4)), At(150, {"allocation": "steady"}))
    played = play(replace(RESIZING, autoscale=True), Script(events=events))
    said = "\n".join(played.voice.lines("status"))
    assert "number 4 in this run" in said
    assert "scales itself" in said
    assert played.service.upgrades == [V25]


def test_another_family_and_a_vm_pool_and_a_deleting_pool_are_refused_on_one_read() -> None:
    family = refused(RefusedError, goal=wanting(target=OTHER_FAMILY))
    machine = refused(RefusedError, state=MACHINE)
    deleting = refused(PoolGoneError, state=State(state="deleting"))
    for played in (family, machine, deleting):
        assert [call.kind for call in played.service.calls] == ["read"]
        assert "pools/Render-A" in played.text


def test_a_pool_deleted_during_the_wait_ends_the_wait_without_another_write() -> None:
    deleting = {"state": "deleting", "upgrade_began": None, "upgrade_ends": float("inf")}
    played = refused(PoolGoneError, script=Script(events=(At(30, deleting),)))
    assert "being deleted" in played.text
    vanished = refused(PoolGoneError, script=Script(gone_at=30))
    assert "does not exist" in vanished.text
    for one in (played, vanished):
        assert one.service.count("post") == 1
        assert one.waiter.now() < 45


def test_an_old_view_right_after_the_202_is_not_acted_on() -> None:
    played = play(script=Script(stale_for=20.0))
    assert played.service.count("post") == 1
    assert played.end.pool.current_os_version == V25


def test_a_pool_that_moved_away_after_our_202_is_refused_and_not_fought() -> None:
    played = refused(RefusedError, script=Script(events=(At(40, ended(V24)),)))
    assert "moved away" in played.text
    assert played.service.count("post") == 1
    assert 70 <= played.waiter.now() <= 85, "after a grace of 30 s"


def test_a_pool_that_is_at_target_again_within_the_grace_is_done() -> None:
    events = (At(40, ended(V24)), At(55, ended(V25)))
    played = play(script=Script(events=events))
    assert played.end.pool.current_os_version == V25


def test_an_unknown_state_is_waited_out_with_one_warning() -> None:
    events = (At(60, {"state": "active"}),)
    played = play(State(state="defragmenting"), Script(events=events))
    assert len([line for line in played.voice.lines("warn") if "defragmenting" in line]) == 1
    assert played.service.upgrades == [V25]
    assert min(played.service.begun("post")) >= 60


def test_polls_are_quick_at_first_and_then_at_most_ten_seconds_apart() -> None:
    played = play(script=Script(upgrade_takes=600.0))
    taken = next(call for call in played.service.calls if call.kind == "post")
    reads = [t for t in played.service.begun("read") if t >= taken.ended]
    gaps = [later - earlier for earlier, later in itertools.pairwise(reads)]
    assert gaps[0] <= 1.0
    assert sum(gaps[:4]) <= 6.0, "four looks within the first six seconds"
    assert max(gaps) <= 10.0 + 0.2, "ten seconds and the calls themselves"
    assert min(gaps[12:]) >= 8.9


@pytest.mark.parametrize("chance", [0.0, 0.5, 1.0])
def test_two_hours_of_waiting_keep_to_the_budget_of_calls(chance: float) -> None:
    played = play(State(stuck=(1,)), goal=wanting(timeout=7200.0), chance=chance)
    minutes = [int(t // 60) for t in played.service.begun("read")]
    assert max(minutes.count(minute) for minute in range(1, 120)) <= 7
    assert played.service.count("read") <= 120 * 7 + 15
    assert played.service.count("nodes") <= 7200 / 30 + 1
    assert played.service.count("post") == 1


def test_chance_spreads_the_polls_of_many_pools() -> None:
    early, late = (play(script=Script(upgrade_takes=600.0), chance=chance) for chance in (0.0, 1.0))
    assert early.service.begun("read")[5] < late.service.begun("read")[5]


def test_a_script_that_batch_cannot_play_is_refused() -> None:
    for impossible in (
        State(state="upgrading"),
        State(current=OTHER_FAMILY),
        replace(MACHINE, current=V24),
        State(stuck=(9,)),
    ):
        with pytest.raises(ImpossibleScriptError):
            play(impossible)
    with pytest.raises(ImpossibleScriptError):
        play(script=Script(events=(At(5, {}), At(3, {}))))
    assert at(0) < at(1)
