"""Tests are dealt so that the longest ones begin first, and those that wait beside those that compute."""

from __future__ import annotations

import pytest

from tests.conftest import dealt, longest_first


@pytest.mark.parametrize("count", [0, 1, 3, 4, 10, 11, 12, 13])
@pytest.mark.parametrize("workers", [1, 2, 4])
def test_each_worker_begins_with_its_share_of_the_longest_tests(count: int, workers: int) -> None:
    left = dealt(range(count), workers)
    assert sorted(left) == list(range(count))
    begins = []
    for remaining in range(workers, 0, -1):  # as pytest-xdist cuts the list with --dist=worksteal
        size = len(left) // remaining
        part, left = left[:size], left[size:]
        assert part == sorted(part)
        begins += part[:1]
    assert sorted(begins) == list(range(min(count, workers)))


def test_one_worker_keeps_the_order() -> None:
    assert dealt("abc", 1) == ["a", "b", "c"]


def test_the_longest_come_first_and_those_that_wait_are_spread_among_those_that_compute() -> None:
    names = [
        "tests/unit/a.py",
        *(f"tests/inprocess/{n}.py" for n in range(6)),
        "tests/cli/b/1.py",
        "tests/cli/pools/2.py",
    ]
    names += ["tests/pipelines/test_github.py::x", "tests/simulator/a.py"]
    assert [names[n].removeprefix("tests/") for n in longest_first(names)] == [
        "pipelines/test_github.py::x",
        "inprocess/0.py",
        "cli/b/1.py",
        "inprocess/1.py",
        "inprocess/2.py",
        "inprocess/3.py",
        "cli/pools/2.py",
        "inprocess/4.py",
        "inprocess/5.py",
        "unit/a.py",
        "simulator/a.py",
    ]
    assert longest_first([]) == []
