"""Official clients of two generations, and requests signed by hand, drive every operation the simulator claims."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conformance.ground import CLAIMED, CLIENTS, Results, renewed, run

PAGE = Path(__file__).parents[2] / "docs" / "parity.md"


@pytest.fixture(scope="module")
def results() -> Results:
    """The result of every cell."""
    return run()


@pytest.mark.parametrize("client", CLIENTS)
def test_every_claimed_operation(results: Results, client: str) -> None:
    played = {operation: trouble for (name, operation), trouble in results.items() if name == client}
    assert set(played) == set(CLAIMED)
    assert not any(played.values()), "\n".join(f"{name}:\n{text}" for name, text in played.items() if text)


def test_the_page_tells_what_the_run_has_shown(results: Results) -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert renewed(page, results) == page, "out of date; to renew it: .venv/bin/python scripts/parity.py"
