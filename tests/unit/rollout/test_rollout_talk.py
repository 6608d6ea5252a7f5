"""Pins what a rollout says while it waits, and that talk never decides anything."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace
from functools import partial

import pytest

from batch_os_provider.errors import CredentialError, PermanentError, ServiceAnswer
from batch_os_provider.schema.declared import Policy
from tests.unit.rollout.doubles import REF, V25, V26, At, Lost, Script, State, begun, transient
from tests.unit.rollout.stage import Play, play, wanting

STUCK = State(stuck=(1,))
HOUR = wanting(timeout=3600.0, defer=True)
S24, S25, S26 = "5.24_201810-01", "5.25_201811-01", "5.26_201812-01"
"""V24, V25 and V26 as a row shows them."""


def fail(failure: Exception, _number: int) -> Exception:
    return failure


def lines(played: Play) -> list[str]:
    return played.voice.lines("status")


def test_every_line_of_the_wait_stands_alone() -> None:
    played = play(script=Script(upgrade_takes=300.0))
    assert lines(played)
    for line in lines(played):
        assert "\n" not in line
        assert re.fullmatch(rf"[a-z0-9][^;]*, \d+(s|m\d\ds|h\d\dm)(; [^;]+)*; {S24} -> {S25}", line), line


def test_a_change_of_phase_is_said_at_once() -> None:
    played = play(State(allocation="resizing"), Script(events=(At(60, {"allocation": "steady"}),)))
    said = lines(played)
    assert "resize is under way" in said[0]
    assert any("starting the upgrade" in line for line in said)
    posted = next(call for call in played.service.calls if call.kind == "post")
    assert posted.began < 75
    first_look = next(call for call in played.service.calls if call.kind == "nodes")
    assert first_look.began <= posted.ended + 1, "the first count comes with the new phase"


def test_node_counts_come_at_most_every_thirty_seconds() -> None:
    played = play(script=Script(upgrade_takes=600.0))
    looks = played.service.begun("nodes")[:-1]
    assert all(later - earlier >= 30.0 for earlier, later in itertools.pairwise(looks))
    assert len([line for line in lines(played) if "nodes back" in line]) <= 600 / 30 + 2


def test_node_counts_come_more_often_at_a_terminal_but_never_with_more_than_one_list_per_read() -> None:
    played = play(script=Script(upgrade_takes=600.0), node_interval=2.0)
    assert 25 <= played.service.count("nodes") <= played.service.count("read")


def test_counts_go_from_none_to_all_and_the_last_line_says_how_long_it_took() -> None:
    played = play(script=Script(upgrade_takes=300.0))
    counts = [int(found[1]) for line in lines(played) if (found := re.search(r"(\d) of 3 nodes back", line))]
    assert counts == sorted(counts)
    assert counts[0] == 0
    summary = played.voice.lines("info")
    assert len(summary) == 1
    assert re.fullmatch(rf"done, 3 of 3 nodes back, 5m\d\ds; {S24} -> {S25}", summary[0])


def test_a_node_that_does_not_come_back_is_named_once_after_fifteen_minutes_without_movement() -> None:
    played = play(STUCK, goal=HOUR)
    warnings = [line for line in played.voice.lines("warn") if "no node moved" in line]
    assert len(warnings) == 1
    assert "tvm-1 is unusable (AgentLost: The agent does not answer)" in warnings[0]
    assert "reboot or reimage the nodes that are stuck" in warnings[0]
    idle = [line for line in lines(played) if "no node moved for" in line]
    assert re.fullmatch(rf"2 of 3 nodes back, \d+m\d\ds; no node moved for 15m; 1 unusable; {S24} -> {S25}", idle[0]), (
        idle[0]
    )
    assert "no node moved for 34m" in "\n".join(idle), "it goes on counting"


def test_fourteen_minutes_without_movement_are_not_mentioned() -> None:
    played = play(STUCK, goal=wanting(timeout=14 * 60.0, defer=True))
    assert "no node moved" not in str(played.voice.said)


def test_a_failed_list_of_nodes_now_and_then_does_not_hide_that_nothing_moves() -> None:
    denied = transient(503, "ServerBusy", "busy")
    played = play(STUCK, Script(node_lists=lambda number: denied if number % 20 == 0 else None), goal=HOUR)
    assert any("no node moved for 34m" in line for line in lines(played))


def test_a_list_of_nodes_that_always_fails_costs_one_warning_and_nothing_else() -> None:
    answer = ServiceAnswer(400, "InvalidQueryParameterValue", "no such field")
    for failure in (
        PermanentError(answer, pool=REF.url, doing="listing nodes"),
        CredentialError("denied", pool=REF.url),
        transient(503, "ServerBusy", "busy"),
    ):
        played = play(script=Script(node_lists=partial(fail, failure)))
        assert played.end.pool.current_os_version == V25
        assert len(played.voice.lines("warn")) == 1
        assert "node counts are not available" in played.voice.lines("warn")[0]
        assert re.fullmatch(rf"done, \w+; {S24} -> {S25}", played.voice.lines("info")[-1])


def test_a_joined_upgrade_is_said_to_be_joined() -> None:
    joined = replace(State(), **begun(V25, began=-30.0, ends=60.0))
    first = lines(play(joined))[0]
    said = rf"1 of 3 nodes back, \d+s; joined an upgrade that was under way(; [^;]+)?; {S24} -> {S25}"
    assert re.fullmatch(said, first), first


def test_a_conflict_that_is_waited_for_names_both_versions() -> None:
    away = replace(State(), **begun(V26, began=-30.0, ends=60.0))
    first = lines(play(away, goal=wanting(policy=Policy(on_conflict="wait"))))[0]
    other = f"another upgrade is in flight ({S24} -> {S26}), {S25} comes after it"
    assert first == f"{other}, 0s; {S24} -> {S25}"


def test_nodes_that_are_not_back_when_the_pool_is_done_are_warned_about() -> None:
    """Success of the pool hides no broken node."""
    played = play(State(nodes=2), Script(upgrade_takes=60.0, events=(At(70, {"nodes": 2}),)))
    assert played.voice.lines("warn") == []
    moved = {"state": "active", "current": V25, "target": V25, "upgrade_began": None, "finished": None}
    broken = play(State(nodes=2), Script(upgrade_takes=600.0, events=(At(60, moved),)))
    assert any("not every node is back: tvm-0 is running, tvm-1" in line for line in broken.voice.lines("warn"))


def test_a_failed_call_is_said_with_the_services_text_and_the_pause() -> None:
    script = Script(reads={3: transient(503, "ServerBusy", "The server is busy.", 45.0)})
    said = [line for line in lines(play(script=script)) if "ServerBusy" in line]
    assert len(said) == 1
    assert "trying again in 45s" in said[0]
    assert ".;" not in said[0], "one mark at a time"


def test_the_pause_that_is_said_is_the_pause_that_is_made() -> None:
    failing = 60
    played = play(State(stuck=(1,)), Script(reads={failing: transient(503, "ServerBusy", "busy")}), goal=HOUR)
    (said,) = [line for line in lines(played) if "ServerBusy" in line]
    found = re.search(r"trying again in (\d+)s", said)
    assert found is not None
    before, after = played.service.begun("read")[failing - 1 : failing + 1]
    assert float(found[1]) == pytest.approx(after - before, abs=1.0)


def test_a_service_that_answers_again_is_said_to_at_once() -> None:
    failing = 60
    played = play(State(stuck=(1,)), Script(reads={failing: transient(503, "ServerBusy", "busy")}), goal=HOUR)
    said = lines(played)
    at_failure = next(index for index, line in enumerate(said) if "ServerBusy" in line)
    seconds = [int(m[1]) * 60 + int(m[2]) for line in said if (m := re.search(r", (\d+)m(\d\d)s", line))]
    offset = len(said) - len(seconds)
    assert seconds[at_failure + 1 - offset] - seconds[at_failure - offset] <= 12, "the row must not stay at the failure"


def test_a_lost_answer_is_said_not_to_be_known() -> None:
    script = Script(posts={1: Lost(committed=True)})
    assert any("trying again" in line for line in lines(play(script=script)))


@pytest.mark.parametrize("state", [State(), State(nodes=0), State(current="*", target="*")])
def test_nothing_that_is_said_has_a_hole_in_it(state: State) -> None:
    said = "\n".join(text for _, text in play(state).voice.said)
    assert "None" not in said
    assert "?" not in said
