"""Tests are dealt to the workers so that the longest ones begin first."""

from __future__ import annotations

import pytest

from tests.conftest import dealt


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
