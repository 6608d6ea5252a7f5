"""A VM pool with its nodes: which nodes are compared, and the oldest node agent."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.rollout.image_renewal.looks import Look


def node(agent: object, **more: Any) -> dict[str, Any]:
    """A node with this version of the node agent."""
    return {"nodeAgentInfo": {"version": agent, "lastUpdateTime": "2026-11-20T08:00:00Z"}, **more}


@pytest.mark.parametrize(
    ("nodes", "spot", "oldest"),
    [
        ((node("1.12.39"), node("1.9.27"), node("1.12.4")), 0, "1.9.27"),
        ((node("1.12.39"), node("1.9.27")), 1, "1.9.27"),
        ((node("1.12.39"), node("1.9.27", state="deallocated")), 0, "1.12.39"),
        ((node("1.12.39"), node("1.9.27", state="preempted")), 1, "1.12.39"),
        (({"state": "creating"}, node("1.12.39")), 0, "1.12.39"),
        ((node(None), {"nodeAgentInfo": "1.9"}, {}), 0, ""),
        ((), 0, ""),
    ],
)
def test_the_oldest_node_agent_is_compared_by_its_numbers(
    nodes: tuple[dict[str, Any], ...], spot: int, oldest: str
) -> None:
    assert Look(nodes=nodes, spot=spot, sizes=(len(nodes) - spot, spot)).view.oldest_agent == oldest


def test_spot_nodes_are_compared_where_there_are_no_others() -> None:
    mixed, alone = Look(nodes=3, spot=1).view, Look(nodes=({}, {"state": "preempted"}), spot=2, sizes=(0, 2)).view
    assert [each.dedicated for each in mixed.compared] == [True, True]
    assert [each.node_id for each in alone.compared] == ["tvm-00"]
