"""Pins the text of a line and how often lines come."""

from __future__ import annotations

from dataclasses import replace

import pytest

from batch_os_provider.pool import Node
from batch_os_provider.report import IDLE_AFTER, Nodes, Progress, Reporter, duration
from tests.unit.doubles import at
from tests.unit.stage import Listener

BACK = Node("tvm-0", "idle", at(60))
BUSY = Node("tvm-1", "reimaging", at(-60))
BROKEN = Node("tvm-2", "starttaskfailed", at(60), "FailureExitCode: 1")
THREE = Nodes((BACK, BUSY, BROKEN), since=at(0))
UNDER_WAY = Progress("A", "B", "upgrading", "upgrading", 75.0, THREE)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.4, "0s"),
        (45, "45s"),
        (59.6, "1m00s"),
        (190, "3m10s"),
        (3599.7, "1h00m"),
        (7500, "2h05m"),
        (2592000, "720h00m"),
        (-1, "0s"),
    ],
)
def test_a_duration_has_two_units_at_most(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_line_tells_from_to_nodes_and_time() -> None:
    assert str(UNDER_WAY) == "A -> B: 1 of 3 nodes back, 1m15s"
    assert str(replace(UNDER_WAY, nodes=None)) == "A -> B: upgrading, 1m15s"
    resizing = Progress("A", "B", "resizing", "a resize is under way", 5.0)
    assert str(resizing) == "A -> B: a resize is under way, 5s"


def test_idleness_is_told_from_fifteen_minutes_on() -> None:
    assert "no node moved" not in str(replace(UNDER_WAY, idle_for=IDLE_AFTER - 1))
    assert str(replace(UNDER_WAY, idle_for=34 * 60.0)).endswith(", no node moved for 34m00s")


def test_nodes_of_an_upgrade_whose_start_is_not_known_are_only_counted() -> None:
    assert str(replace(THREE, since=None)) == "3 nodes"
    assert replace(THREE, since=None).name_laggards() == THREE.name_laggards(), "those that are not up"
    assert str(Nodes((), since=at(0))) == "no nodes"


def test_laggards_are_named_with_state_and_error_those_with_an_error_first() -> None:
    assert THREE.name_laggards() == "tvm-2 is starttaskfailed (FailureExitCode: 1), tvm-1 is reimaging"
    many = Nodes(tuple(Node(f"tvm-{n}", "reimaging", None) for n in range(8)), since=at(0))
    assert many.name_laggards().endswith("tvm-4 is reimaging and 3 more")


def test_movement_is_any_change_of_any_node_in_any_order() -> None:
    assert THREE.movement() == Nodes((BROKEN, BACK, BUSY), since=at(0)).movement()
    assert THREE.movement() != Nodes((BACK, replace(BUSY, state="starting"), BROKEN), since=at(0)).movement()
    assert THREE.movement() != Nodes((BACK, BUSY), since=at(0)).movement()
    assert THREE.movement() == Nodes((replace(BACK, state="running"), BUSY, BROKEN), since=at(0)).movement(), "a task"
    rebooted = replace(BACK, last_boot_time=at(99))
    assert THREE.movement() != Nodes((rebooted, BUSY, BROKEN), since=at(0)).movement()


def test_a_new_phase_or_reason_is_said_at_once_and_new_counts_after_the_interval() -> None:
    voice = Listener()
    reporter = Reporter(voice)
    reporter.progress(UNDER_WAY, 0.0)
    reporter.progress(replace(UNDER_WAY, elapsed=90.0), 15.0)
    assert len(voice.said) == 1, "only the time has changed"
    reporter.progress(replace(UNDER_WAY, phase="conflict", nodes=None), 16.0)
    reporter.progress(replace(UNDER_WAY, phase="conflict", why="another", nodes=None), 17.0)
    assert len(voice.said) == 3
    reporter.progress(replace(UNDER_WAY, phase="conflict", why="another", nodes=None, elapsed=200.0), 17.0 + 30.0)
    assert len(voice.said) == 4


def test_the_same_text_is_not_said_again() -> None:
    voice = Listener()
    reporter = Reporter(voice)
    reporter.progress(UNDER_WAY, 0.0)
    reporter.progress(UNDER_WAY, 100.0)
    assert len(voice.said) == 1


def test_a_terminal_gets_counts_every_two_seconds() -> None:
    voice = Listener()
    reporter = Reporter(voice, node_interval=2.0)
    for second in range(10):
        reporter.progress(replace(UNDER_WAY, elapsed=float(second)), float(second))
    assert len(voice.said) == 5


def test_a_warning_is_said_once_for_each_key() -> None:
    voice = Listener()
    reporter = Reporter(voice)
    for key in ("idle", "idle", "nodes", "idle"):
        reporter.warn_once(key, f"about {key}")
    assert voice.lines("warn") == ["about idle", "about nodes"]


def test_idle_nodes_are_named_in_one_warning() -> None:
    voice = Listener()
    reporter = Reporter(voice)
    for minutes in (16.0, 17.0, 34.0):
        reporter.progress(replace(UNDER_WAY, idle_for=minutes * 60), minutes * 60)
    assert len(voice.lines("warn")) == 1
    assert "tvm-2 is starttaskfailed (FailureExitCode: 1)" in voice.lines("warn")[0]


def test_a_summary_stays() -> None:
    voice = Listener()
    Reporter(voice).summary("done")
    assert voice.said == [("info", "done")]
