"""Pins the text of a line and how often lines come."""

from __future__ import annotations

from dataclasses import replace

import pytest

from batch_os_provider.batch.pool import Node
from batch_os_provider.guest_os.version import change
from batch_os_provider.rollout.progress import IDLE_AFTER, NodeCounts, Progress, Reporter
from batch_os_provider.schema.units import duration
from tests.unit.rollout.doubles import at
from tests.unit.rollout.stage import Listener

BACK = Node("tvm-0", "idle", at(60))
BUSY = Node("tvm-1", "reimaging", at(-60))
BROKEN = Node("tvm-2", "starttaskfailed", at(60), "FailureExitCode: 1")
THREE = NodeCounts((BACK, BUSY, BROKEN), since=at(0))
UNDER_WAY = Progress("A -> B", "upgrading", "upgrading", 75.0, THREE)


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


WA = "WA-GUEST-OS-"
UPGRADE = Progress(change(f"{WA}7.57_202510-01", f"{WA}7.58_202511-01"), "upgrading", "upgrading", 130.0, THREE)
RENEWAL = Progress(
    "20348.2402.240402 -> 20348.2461.240510", "resizing", "adding 2 nodes", 65.0, counts="2 of 4 nodes behind"
)


@pytest.mark.parametrize(
    ("progress", "text"),
    [
        (UNDER_WAY, "1 of 3 nodes back, 1m15s; 1 reimaging, 1 starttaskfailed; A -> B"),
        (replace(UNDER_WAY, nodes=NodeCounts((BACK,), at(0))), "1 of 1 nodes back, 1m15s; A -> B"),
        (replace(UNDER_WAY, nodes=None), "upgrading, 1m15s; A -> B"),
        (Progress("A -> B", "resizing", "a resize is under way", 5.0), "a resize is under way, 5s; A -> B"),
        (
            replace(UPGRADE, nodes=NodeCounts((BACK, BACK, BACK), at(0))),
            "3 of 3 nodes back, 2m10s; 7.57_202510-01 -> 7.58_202511-01",
        ),
        (
            replace(UPGRADE, phase="joined", why="joined an upgrade that was under way"),
            (
                "1 of 3 nodes back, 2m10s; joined an upgrade that was under way; 1 reimaging, 1 starttaskfailed; "
                "7.57_202510-01 -> 7.58_202511-01"
            ),
        ),
        (
            replace(UPGRADE, change=change(f"{WA}7.57_202510-01", "*"), nodes=None),
            "upgrading, 2m10s; 7.57_202510-01 -> *",
        ),
        # Before the first read, or if the pool runs the target already, the line has no version to come from.
        (replace(UPGRADE, change=change("", f"{WA}7.58_202511-01"), nodes=None), "upgrading, 2m10s; 7.58_202511-01"),
        (
            replace(UPGRADE, change=change(f"{WA}7.58_202511-01".lower(), f"{WA}7.58_202511-01"), nodes=None),
            "upgrading, 2m10s; 7.58_202511-01",
        ),
        (
            Progress(
                change("*", f"{WA}7.58_202511-01"),
                "trying again",
                "HTTP 503 ServerBusy",
                5.0,
                detail="trying again in 9s",
            ),
            "HTTP 503 ServerBusy, 5s; trying again in 9s; * -> 7.58_202511-01",
        ),
        (RENEWAL, "2 of 4 nodes behind, 1m05s; adding 2 nodes; 20348.2402.240402 -> 20348.2461.240510"),
        (replace(RENEWAL, why=""), "2 of 4 nodes behind, 1m05s; 20348.2402.240402 -> 20348.2461.240510"),
        (
            replace(RENEWAL, change="22.04.202404090 -> 22.04.202405140", counts="", why="the pool is empty"),
            "the pool is empty, 1m05s; 22.04.202404090 -> 22.04.202405140",
        ),
    ],
)
def test_a_line_has_the_news_first_and_the_short_versions_last(progress: Progress, text: str) -> None:
    assert str(progress) == text


def test_idleness_is_shown_from_fifteen_minutes_on_before_the_versions() -> None:
    assert "no node moved" not in str(replace(UNDER_WAY, idle_for=IDLE_AFTER - 1))
    states = "1 reimaging, 1 starttaskfailed"
    for seconds, told in ((IDLE_AFTER, "15m"), (34 * 60.0 + 59, "34m"), (3600.0, "1h00m"), (2 * 3600.0 + 300, "2h05m")):
        line = str(replace(UNDER_WAY, idle_for=seconds))
        assert line == f"1 of 3 nodes back, 1m15s; no node moved for {told}; {states}; A -> B"


def test_states_are_of_nodes_that_are_not_up_the_most_first() -> None:
    nodes = [Node(f"n{n}", state, None) for n, state in enumerate(("starting", "idle", "reimaging", "reimaging"))]
    assert NodeCounts(tuple(nodes), at(0)).states() == "2 reimaging, 1 starting"
    assert NodeCounts((Node("n", "running", None),), at(0)).states() == ""


def test_nodes_of_an_upgrade_whose_start_is_not_known_are_only_counted() -> None:
    assert str(replace(THREE, since=None)) == "3 nodes"
    assert replace(THREE, since=None).name_laggards() == THREE.name_laggards(), "those that are not up"
    assert str(NodeCounts((), since=at(0))) == "no nodes"


def test_laggards_are_named_with_state_and_error_those_with_an_error_first() -> None:
    assert THREE.name_laggards() == "tvm-2 is starttaskfailed (FailureExitCode: 1), tvm-1 is reimaging"
    many = NodeCounts(tuple(Node(f"tvm-{n}", "reimaging", None) for n in range(8)), since=at(0))
    assert many.name_laggards().endswith("tvm-4 is reimaging and 3 more")


def test_movement_is_any_change_of_any_node_in_any_order() -> None:
    assert THREE.movement() == NodeCounts((BROKEN, BACK, BUSY), since=at(0)).movement()
    assert THREE.movement() != NodeCounts((BACK, replace(BUSY, state="starting"), BROKEN), since=at(0)).movement()
    assert THREE.movement() != NodeCounts((BACK, BUSY), since=at(0)).movement()
    assert THREE.movement() == NodeCounts((replace(BACK, state="running"), BUSY, BROKEN), since=at(0)).movement(), (
        "a task"
    )
    rebooted = replace(BACK, last_boot_time=at(99))
    assert THREE.movement() != NodeCounts((rebooted, BUSY, BROKEN), since=at(0)).movement()


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
