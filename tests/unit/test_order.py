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


def test_the_longest_come_first_and_each_entry_of_a_row_is_spread_over_it() -> None:
    names = ["unit/a.py", *(f"inprocess/{n}.py" for n in range(6)), "cli/z/1.py", "probe/a.py", "cli/a/2.py"]
    names = [f"tests/{name}" for name in (*names, "pipelines/test_github.py::x", "simulator/a.py")]
    ordered = [names[n].removeprefix("tests/") for n in longest_first(names)]
    assert (ordered[0], ordered[-2:]) == ("pipelines/test_github.py::x", ["unit/a.py", "simulator/a.py"])
    row = ordered[1:-2]
    assert [n for n, name in enumerate(row) if name.startswith("cli/")] == [2, 6]
    assert row[6] == "cli/a/2.py", "the order within an entry stays"
    assert [name for name in row if name.startswith("inprocess/")] == [f"inprocess/{n}.py" for n in range(6)]
    assert longest_first([]) == []
