"""Pools that Batch renews itself: the strategy ``automatic``, the refusal of all others, drift, and the words."""

from __future__ import annotations

from typing import Any

import pytest

from batch_os_provider.batch.vm_target import AllocatedSince, ImageVersion, Target
from batch_os_provider.comparison.compared import compare_image
from batch_os_provider.comparison.drift import has_other_policy, image_drift
from batch_os_provider.preview.plan import Plan, plan_image
from batch_os_provider.rollout.actions import Done, Refuse
from batch_os_provider.rollout.image_renewal.automatic import INTERRUPTS
from batch_os_provider.rollout.image_renewal.decide import decide_image
from batch_os_provider.rollout.image_renewal.steps import ImageAction, ImageHistory
from batch_os_provider.schema.declared import ImagePolicy
from batch_os_provider.schema.outputs import is_behind, of_vm_pool
from tests.support.simulator import IMAGES
from tests.unit.plurals import wrong_plurals
from tests.unit.rollout.image_renewal.image_doubles import FakeVmService as Service
from tests.unit.rollout.image_renewal.image_doubles import pool_of, renew
from tests.unit.rollout.image_renewal.looks import SCALED, Look

ANY = ImageVersion("latest", ())
SINCE = AllocatedSince.parse("2026-11-24")
UBUNTU = IMAGES["ubuntu"]
FLOOR = ImageVersion.parse(UBUNTU.target)
TWO_NODES = f"2 nodes, 1 behind {FLOOR}, 1 shows no version number"
DEFERRED = {"enableAutomaticOSUpgrade": True, "osRollingUpgradeDeferral": True}
OLD_NODES = ({}, {}, {"virtualMachineInfo": {"imageReference": {"exactVersion": UBUNTU.target}}})


def pool(policy: dict[str, Any] | None = None, **more: Any) -> Look:
    """A pool of Ubuntu 22.04 on latest that Batch renews; its nodes show a number."""
    rules = {"upgradePolicy": {"mode": "rolling", "automaticOSUpgradePolicy": DEFERRED if policy is None else policy}}
    return Look(UBUNTU, pin="latest", shown=UBUNTU.behind, **{**more, "more": {**rules, **more.pop("more", {})}})


def step(look: Look, strategy: str = "automatic", target: Target = ANY) -> ImageAction:
    """The step for a pool."""
    return decide_image(look.view, target, ImagePolicy(strategy), ImageHistory())  # type: ignore[arg-type]


@pytest.mark.parametrize("target", [ANY, FLOOR])
@pytest.mark.parametrize(
    "more",
    [
        {},
        {"nodes": OLD_NODES},
        {"more": {"allocationState": "resizing"}},
        {"more": SCALED},
        {"sizes": (0, 0), "nodes": 0},
        {"nodes": ({"state": "upgradingos"},)},
    ],
    ids=["old", "mixed", "resizing", "scaled", "empty", "upgrading"],
)
def test_nothing_is_written_and_nothing_is_waited_for(more: dict[str, Any], target: Target) -> None:
    assert step(pool(**more), target=target) == Done()


@pytest.mark.parametrize("policy", [{}, {"enableAutomaticOSUpgrade": False}, {"enableAutomaticOSUpgrade": "true"}])
def test_a_policy_that_is_off_is_refused_with_what_to_do(policy: dict[str, Any]) -> None:
    action = step(pool(policy))
    assert isinstance(action, Refuse)
    assert "automatic OS upgrade is off (upgradePolicy.automaticOSUpgradePolicy.enable" in action.reason
    assert "only while the pool has no nodes; or declare another strategy" in action.next_step
    assert action.property == "strategy"


@pytest.mark.parametrize("strategy", ["surge", "when_empty", "empty"])
@pytest.mark.parametrize("target", [FLOOR, SINCE])
@pytest.mark.parametrize("more", [{}, {"more": {"allocationState": "resizing"}}, {"sizes": (0, 0), "nodes": 0}])
def test_every_other_strategy_is_refused_with_that_line(strategy: str, target: Target, more: dict[str, Any]) -> None:
    """Also where no node is behind today: the next image of Batch would make it so."""
    action = step(pool(**more), strategy, target)
    assert isinstance(action, Refuse)
    assert f'so strategy="{strategy}" would work against it or wait in vain' in action.reason
    assert 'Declare strategy="automatic"' in action.next_step
    assert ("remove nodes_since" in action.next_step) == (target is SINCE)
    assert action.property == "strategy"


@pytest.mark.parametrize("strategy", ["surge", "when_empty", "empty"])
def test_a_rollout_that_was_under_way_ends_first(strategy: str) -> None:
    marked = pool(marker=Look(UBUNTU).mark(3, pins=("latest", UBUNTU.target)), nodes=3)
    assert not isinstance(step(marked, strategy, FLOOR), Refuse)
    action = step(marked)
    assert isinstance(action, Refuse)
    assert "the marker of an unfinished rollout" in action.reason
    assert "`batch-os restore " in action.next_step


@pytest.mark.parametrize(
    ("look", "target", "text", "warnings"),
    [
        (pool(), ANY, "no change needed; automatic OS upgrade is on, 3 nodes", ()),
        (pool(nodes=1), FLOOR, f"no change needed; automatic OS upgrade is on, 1 node, 1 behind {FLOOR}", ()),
        (pool(nodes=OLD_NODES), FLOOR, f"no change needed; automatic OS upgrade is on, 3 nodes, 2 behind {FLOOR}", ()),
        (
            pool(nodes=2, spot=1, sizes=(1, 1)),
            FLOOR,
            f"no change needed; automatic OS upgrade is on, 2 nodes, 2 behind {FLOOR}",
            (),
        ),
        (pool(nodes=0, sizes=(0, 0)), FLOOR, "no change needed; automatic OS upgrade is on, no nodes", ()),
        (
            pool({"enableAutomaticOSUpgrade": True}, nodes=({}, {"virtualMachineInfo": {}})),
            FLOOR,
            f"no change needed; {INTERRUPTS}; automatic OS upgrade is on, {TWO_NODES}",
            ("interrupts tasks",),
        ),
    ],
)
def test_the_row_reports_the_nodes(look: Look, target: Target, text: str, warnings: tuple[str, ...]) -> None:
    told = plan_image(look.view, target, ImagePolicy("automatic"), 7200.0)
    assert isinstance(told, Plan)
    assert (told.text, told.what, told.warnings) == (text, "adopt", warnings)
    assert wrong_plurals(told.text) == []


def test_a_run_ends_at_once_and_says_how_the_nodes_stand() -> None:
    played = renew(Service(pool_of(3, automatic=True)), strategy="automatic", timeout=60.0)
    assert played.end.deferred is False
    assert played.writes == []
    (said,) = played.voice.lines("info")
    assert said == "nothing was written; automatic OS upgrade is on, 3 nodes, 3 behind 20348.2461.240510"
    assert "its upgrades interrupt running tasks" in played.voice.lines("warn")[0]


NEWS = {"account_endpoint": "https://a.b", "pool_id": "render", "strategy": "automatic"}


def outputs(look: Look, target: Target = ANY) -> dict[str, Any]:
    """What a state has after an `up`."""
    return of_vm_pool(look.view, target, "automatic")


def test_a_policy_that_was_turned_off_or_changed_is_drift_and_old_nodes_are_none() -> None:
    before = outputs(pool(nodes=OLD_NODES), FLOOR)
    words = "enableAutomaticOSUpgrade=true mode=rolling osRollingUpgradeDeferral=true"
    assert (before["upgrade_policy"], before["nodes_behind"]) == (words, 2)
    assert not is_behind(before, FLOOR, "automatic")
    off = outputs(pool({}))
    assert off["upgrade_policy"] == "off"
    assert is_behind(off, ANY, "automatic")
    changed = outputs(pool({"enableAutomaticOSUpgrade": True}))
    assert has_other_policy(before, changed)
    assert has_other_policy({**changed, "pool_state": "policy changed"}, changed), "until an `up` accepts it"
    assert not has_other_policy(before, off), "that is a refusal already"
    assert not has_other_policy(before, before)
    assert not has_other_policy({}, before), "a program has only now declared it"
    assert image_drift(off, ANY, "automatic") == {}
    seen = compare_image({**NEWS, **changed, "pool_state": "policy changed"}, NEWS, lambda _: False)
    assert (seen.has_changes, seen.prior.code) == (True, "policy changed")
    assert not compare_image({**NEWS, **before}, NEWS, lambda _: False).has_changes


def test_other_strategies_have_no_output_for_the_policy() -> None:
    assert "upgrade_policy" not in of_vm_pool(Look().view, Look().target, "empty")
