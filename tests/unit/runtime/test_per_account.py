from __future__ import annotations

import pytest

from batch_os_provider.runtime import per_account
from batch_os_provider.runtime.per_account import PerAccount


def test_a_value_is_made_once_for_each_account_until_the_reset() -> None:
    made: list[str] = []
    kept = PerAccount(lambda endpoint: made.append(endpoint) or object())
    assert kept("a") is kept("a") is not kept("b")
    per_account.reset()
    kept("a")
    assert made == ["a", "b", "a"]


def test_a_failure_is_not_kept() -> None:
    answers = iter([ValueError("no credential"), "client"])

    def make(_endpoint: str) -> str:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    kept = PerAccount(make)
    with pytest.raises(ValueError, match="no credential"):
        kept("a")
    assert kept("a") == "client"


def test_a_double_takes_the_place_of_the_value() -> None:
    kept = PerAccount(lambda _endpoint: "real")
    kept.put("a", "double")
    assert (kept("a"), kept("b")) == ("double", "real")
