from __future__ import annotations

import pytest

from batch_os_provider.wording import counted, plural
from tests.unit.plurals import wrong_plurals


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 nodes"), (1, "1 node"), (2, "2 nodes"), (11, "11 nodes"), (21, "21 nodes")]
)
def test_a_number_with_its_noun(number: int, text: str) -> None:
    assert counted(number, "node") == text


@pytest.mark.parametrize(("number", "text"), [(0, "0 canaries"), (1, "1 canary"), (2, "2 canaries")])
def test_a_noun_with_a_plural_of_its_own(number: int, text: str) -> None:
    assert counted(number, "canary", "canaries") == text


def test_a_word_alone() -> None:
    assert [plural(number, "is", "are") for number in (0, 1, 2)] == ["are", "is", "are"]


@pytest.mark.parametrize(
    "text",
    [
        "1 nodes",
        "1 running tasks finish",
        "0 node",
        "2 node",
        "12 more node are behind",
        "1 node are behind",
        "1 of 3 nodes are behind",
        "2 of 3 nodes is behind",
        "3 pools has no version",
        "3 pool(s)",
    ],
)
def test_the_judge_finds_wrong_forms(text: str) -> None:
    assert wrong_plurals(text)


@pytest.mark.parametrize(
    "text",
    [
        "1 of 1 nodes is behind",
        "0 nodes are behind",
        "1 node is behind, 2 are extra",
        "2 nodes are behind",
        "1 running task finishes first",
        "7.57_202510-01 -> 7.58_202511-01",
        "node tvm-1 is idle",
        "0.1 seconds",
        "the pool runs 20348.2402.240607 nodes of it do not",
        "a 2-node pool",
    ],
)
def test_the_judge_leaves_right_forms(text: str) -> None:
    assert wrong_plurals(text) == []
