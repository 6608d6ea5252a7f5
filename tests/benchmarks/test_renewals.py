"""The renewal of a VM pool takes little longer than Batch itself, in few calls (P9 of `make bench`)."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.measures import LOOP_AIM, overhead
from benchmarks.renewals import lower_bound, measure


def at(second: int, **more: Any) -> dict[str, Any]:
    """An entry of an audit."""
    return {
        "kind": "transition",
        "virtual": f"2026-01-01T00:{second // 60:02d}:{second % 60:02d}Z",
        "detail": {},
        **more,
    }


def call(second: int, operation: str, status: int = 202) -> dict[str, Any]:
    return at(second, kind="request", operation=operation, status=status)


def change(second: int, resource: str, to: str) -> dict[str, Any]:
    return at(second, detail={"resource": resource, "to": to})


def test_the_lower_bound_is_what_the_accepted_steps_took() -> None:
    audit = [
        change(0, "node", "idle"),
        call(1, "Pool_Patch", 200),
        call(2, "Pool_Resize", 409),
        call(10, "Pool_Resize"),
        change(40, "allocation", "steady"),
        change(70, "node", "idle"),
        change(71, "node", "starting"),
        call(80, "Pool_Get", 200),
        call(90, "Pool_RemoveNodes"),
        change(95, "node", "idle"),
        change(110, "allocation", "steady"),
        call(130, "Pool_Patch", 200),
    ]
    assert lower_bound(audit) == (1, 60 + 20)


@pytest.mark.parametrize(("case", "rounds"), [(("Linux", 20, "25%", 0), 4), (("Windows", 20, 0, "25%"), 5)])
def test_the_loop_adds_at_most_a_twentieth(case: tuple[str, int, Any, Any], rounds: int) -> None:
    (run,) = measure([case])
    assert run["rounds"] == rounds
    assert overhead(run) <= LOOP_AIM, run
    assert 60 * run["reads"] / run["wall"] <= 30, run
