"""Pins the estimate of a renewal: from recorded times, compared with ``timeout``, and with what to declare instead."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from batch_os_provider.batch.vm_pool import MARKER, Marker
from batch_os_provider.preview.plan import Plan, plan_image
from batch_os_provider.recorded_times import round_of
from batch_os_provider.rollout.image_renewal.surge_view import rounds
from batch_os_provider.schema.declared import DeclaredImage, ImagePolicy
from batch_os_provider.schema.units import Share, parse_duration
from tests.unit.rollout.doubles import REF
from tests.unit.rollout.image_renewal.image_doubles import WANTED, VmState, look, pool_of

LINUX = {"nodeAgentSKUId": "batch.node.ubuntu 24.04"}
WINDOWS = {"nodeAgentSKUId": "batch.node.windows amd64"}
OF = " (estimated from recorded times of small {} nodes, without tasks), and timeout is 2h00m: declare "


def plan_of(state: VmState, timeout: float = 7200.0, **policy: Any) -> Plan:
    """The plan of a preview."""
    plan = plan_image(look(state), WANTED, ImagePolicy("surge", **policy), timeout)
    assert isinstance(plan, Plan), plan
    return plan


def test_a_round_of_small_windows_nodes_takes_nine_minutes_and_two_hours_cover_thirteen() -> None:
    assert 9 * 60 <= round_of(windows=True).most < 10 * 60
    assert "timeout" not in plan_of(pool_of(13, configuration=WINDOWS)).warnings
    assert "timeout" in plan_of(pool_of(14, configuration=WINDOWS)).warnings
    assert "timeout" not in plan_of(pool_of(48, configuration=LINUX)).warnings
    assert "timeout" in plan_of(pool_of(49, configuration=LINUX)).warnings


@pytest.mark.parametrize(
    ("count", "configuration", "timeout", "policy", "text"),
    [
        (
            20,
            WINDOWS,
            7200.0,
            {"surge": 1},
            "20 rounds take about 3h02m" + OF.format("Windows") + 'surge=2 or timeout="3h30m"',
        ),
        (
            60,
            LINUX,
            7200.0,
            {"surge": 1},
            "60 rounds take about 2h27m" + OF.format("Linux") + 'surge=2 or timeout="2h30m"',
        ),
        (30, WINDOWS, 7200.0, {"surge": 0, "max_unavailable": 1}, 'declare max_unavailable=3 or timeout="5h"'),
        (200, WINDOWS, 7200.0, {"surge": Share(5, percent=True)}, 'declare surge=16 or timeout="3h30m"'),
        (3, WINDOWS, 300.0, {"surge": 1}, 'and timeout is 5m00s: declare timeout="30m"'),
        (9000, WINDOWS, 3600.0, {"surge": 1}, "and timeout is 1h00m: declare larger steps and a longer timeout"),
        (1000, WINDOWS, 3600.0, {"surge": 1}, "about 151h40m (estimated from recorded times of small Windows nodes, "),
    ],
)
def test_what_is_too_long_names_rounds_times_and_what_to_declare(
    count: int, configuration: dict[str, str], timeout: float, policy: dict[str, Any], text: str
) -> None:
    plan = plan_of(pool_of(count, configuration=configuration), timeout, **policy)
    assert text in plan.detail
    assert "timeout" in plan.warnings


def test_an_unfinished_renewal_keeps_its_steps_so_only_the_time_can_change() -> None:
    state = pool_of(20, configuration=WINDOWS, metadata=((MARKER, str(Marker(20, 1, "2018-11-30T12:00:19.000000Z"))),))
    assert 'and timeout is 2h00m: declare timeout="3h30m"' in plan_of(state, surge=5).detail


@pytest.mark.parametrize("count", [40, 99, 250])
@pytest.mark.parametrize(
    "policy", [{"surge": 1}, {"surge": 0, "max_unavailable": 1}, {"surge": 2, "max_unavailable": 1}]
)
@pytest.mark.parametrize("timeout", [3000.0, 7200.0])
def test_what_it_says_to_declare_is_enough(count: int, policy: dict[str, Any], timeout: float) -> None:
    state = pool_of(count, configuration=WINDOWS)
    detail = plan_of(state, timeout, **policy).detail
    said = dict(re.findall(r'\b(surge|max_unavailable|timeout)="?([^" ]+)"?', detail.rpartition(": declare ")[2]))
    assert said
    for name, value in said.items():
        bag = {"account_endpoint": REF.endpoint, "pool_id": "a", "target_image_version": "1.2", "strategy": "surge"}
        full = {**policy, name: value} if name != "timeout" else policy
        declared = DeclaredImage.of({**bag, **full})
        longer = parse_duration(value) if name == "timeout" else timeout
        again = plan_image(look(state), WANTED, declared.policy, longer)
        assert isinstance(again, Plan)
        assert "timeout" not in again.warnings, (name, value, again.detail)


def test_the_pools_formula_is_held_for_as_long() -> None:
    scaled = pool_of(2, autoscale=True, configuration=LINUX)
    assert "+1 node at a time; formula held for about 5m; " in plan_of(scaled, autoscale="hold").text
    busy = replace(scaled, nodes=tuple(replace(node, busy_until=9e9) for node in scaled.nodes))
    assert "formula held for about 5m and the time of the tasks; " in plan_of(busy, autoscale="hold").text


@pytest.mark.parametrize(
    ("dedicated", "spot", "surge", "unavailable", "count"),
    [
        (0, 0, 1, 0, 0),
        (5, 3, 2, 0, 3),
        (0, 3, 2, 0, 0),
        (250, 0, 100, 0, 3),
        (201, 0, 0, 100, 3),
        (200, 0, 100, 100, 2),
    ],
)
def test_rounds(dedicated: int, spot: int, surge: int, unavailable: int, count: int) -> None:
    assert rounds(dedicated, spot, surge, unavailable) == count
