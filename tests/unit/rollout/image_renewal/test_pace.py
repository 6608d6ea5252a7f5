"""Pins when a renewal reads again: rarely before the time that the last step of the kind took, often around it."""

from __future__ import annotations

from batch_os_provider.rollout.image_renewal.pace import Pace


def reads(pace: Pace, begun: float, takes: float, usual: float = 10.0) -> tuple[int, float]:
    """How many reads it takes to see the end of a step, and how late it is seen."""
    now, count = begun, 0
    while now < begun + takes:
        now += pace.pause(now, usual)
        count += 1
    return count, now - begun - takes


def test_a_step_that_is_known_is_seen_soon_in_few_reads() -> None:
    pace = Pace()
    for takes in (38.0, 95.0, 147.0, 505.0, 1200.0):
        pace.begin("x", 0.0)
        first = reads(pace, 0.0, takes)
        pace.begin("y", takes)
        pace.begin("x", 2 * takes)
        for actual in (takes, takes * 0.97, takes * 1.04):
            count, late = reads(pace, 2 * takes, actual)
            assert late <= max(1.0, 0.02 * takes) + 1e-6, (takes, actual, late)
            assert count <= first[0] + 6, (takes, actual, count)


def test_a_step_that_is_not_known_is_seen_a_tenth_late_at_most_and_never_later_than_usual() -> None:
    for takes in (5.0, 30.0, 90.0, 2000.0):
        pace = Pace()
        pace.begin("x", 100.0)
        _, late = reads(pace, 100.0, takes)
        assert late <= max(3.0, min(10.0, 0.1 * takes)) + 1e-6


def test_a_step_that_takes_much_longer_than_the_last_keeps_the_budget() -> None:
    pace = Pace()
    pace.begin("x", 0.0)
    pace.begin("x", 20.0)
    count, late = reads(pace, 20.0, 3600.0)
    assert count <= 3600 / 10 + 60
    assert late <= 10.0


def test_without_a_step_the_usual_pause_stays() -> None:
    pace = Pace()
    assert pace.pause(500.0, 7.0) == 7.0
    pace.begin("x", 0.0)
    pace.begin("", 50.0)
    assert pace.pause(60.0, 7.0) == 7.0
