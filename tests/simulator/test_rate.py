"""The rate measurement checks every answer; the rate itself is not asserted."""

from __future__ import annotations

from benchmarks.simulator_rate import measure


def test_a_short_measurement_is_answered_in_full():
    found = measure(requests=100, repeats=1)
    assert found["requests"] == 100
    assert all(len(found[name]["rounds"]) == 1 for name in ("simulator", "hello"))
