"""Pins when a preview says that the engine runs fewer steps than pools change, and in which words."""

from __future__ import annotations

import pytest

from batch_os_provider.parallel import hint


def test_the_words_name_the_flag() -> None:
    assert hint(60, 8) == "60 to change, engine runs 8: pass --parallel 60"


@pytest.mark.parametrize(("changes", "at_once"), [(8, 8), (0, 8), (7, 8), (60, None), (60, 0), (60, 2**31 - 1)])
def test_nothing_is_said_where_all_fit_or_there_is_no_limit(changes: int, at_once: int | None) -> None:
    assert not hint(changes, at_once)
