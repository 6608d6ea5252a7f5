"""Old spot nodes: never green in silence under ``surge``, and counted under each strategy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from batch_os_provider.batch.vm_target import AllocatedSince, ImageVersion, Target
from batch_os_provider.errors import RefusedError
from batch_os_provider.preview.plan import Plan, plan_image
from batch_os_provider.rollout.actions import Done, Refuse, Wait
from batch_os_provider.rollout.image_renewal.decide import decide_image
from batch_os_provider.rollout.image_renewal.steps import ImageAction, ImageHistory, SetMarker
from batch_os_provider.schema.declared import ImagePolicy
from batch_os_provider.schema.outputs import is_behind, of_vm_pool
from tests.support.simulator import IMAGES
from tests.unit.plurals import wrong_plurals
from tests.unit.rollout.image_renewal.image_doubles import OLD, TARGET, Machine, play_image, pool_of
from tests.unit.rollout.image_renewal.looks import NEW, SCALED, Look

SINCE = AllocatedSince.parse("2026-11-24")
HPC = IMAGES["ubuntu-hpc"]
FLOOR = ImageVersion.parse(HPC.target)
SURGE, WHEN_EMPTY, EMPTY = (ImagePolicy(each) for each in ("surge", "when_empty", "empty"))
UNAVAILABLE = ImagePolicy("surge", max_unavailable=1)
FRESH: Mapping[str, Any] = {
    "allocationTime": NEW,
    "virtualMachineInfo": {"imageReference": {"exactVersion": HPC.target}},
}


def pool(dedicated: int, old: int, new: int = 0, **more: Any) -> Look:
    """A pool of new dedicated nodes, and of old and new spot nodes; all show a number."""
    nodes = (*[FRESH] * dedicated, *[{}] * old, *[FRESH] * new)
    return Look(HPC, pin="latest", shown=HPC.behind, nodes=nodes, spot=old + new, sizes=(dedicated, old + new), **more)


def step(look: Look, policy: ImagePolicy, target: Target) -> ImageAction:
    """The step for a pool."""
    return decide_image(look.view, target, policy, ImageHistory())


@pytest.mark.parametrize("target", [SINCE, FLOOR], ids=["moment", "version"])
@pytest.mark.parametrize("old", [1, 2])
@pytest.mark.parametrize("more", [{}, {"more": SCALED}], ids=["fixed", "scaled"])
def test_a_pool_of_old_spot_nodes_alone_is_refused_with_the_lines_to_paste(
    old: int, target: Target, more: dict[str, Any]
) -> None:
    action = step(pool(0, old, new=1, **more), SURGE, target)
    assert isinstance(action, Refuse)
    assert action.reason.startswith("1 spot node " if old == 1 else "2 spot nodes ")
    assert 'the pool has no dedicated nodes, and strategy="surge" renews only those' in action.reason
    held = ', autoscale="hold"' if more else ""
    assert f"declare max_unavailable=1{held}: they leave" in action.next_step
    assert f'or strategy="empty"{held}: `up` lets' in action.next_step
    assert action.property == "strategy"
    assert wrong_plurals(action.reason) == wrong_plurals(action.next_step) == []


@pytest.mark.parametrize("target", [SINCE, FLOOR], ids=["moment", "version"])
def test_spot_nodes_that_are_new_enough_are_fine(target: Target) -> None:
    for policy in (SURGE, WHEN_EMPTY, UNAVAILABLE):
        assert step(pool(0, 0, new=2), policy, target) == Done()
        told = plan_image(pool(0, 0, new=2).view, target, policy, 7200.0)
        assert isinstance(told, Plan)
        assert "2 nodes" in told.text
        assert (told.what, told.nodes, told.warnings) == ("adopt", 2, ())


@pytest.mark.parametrize("target", [SINCE, FLOOR], ids=["moment", "version"])
def test_when_empty_waits_for_old_spot_nodes_and_max_unavailable_renews_them(target: Target) -> None:
    for dedicated in (0, 2):
        assert isinstance(step(pool(dedicated, 1), WHEN_EMPTY, target), Wait)
        assert isinstance(step(pool(dedicated, 1), UNAVAILABLE, target), SetMarker)


def test_spot_nodes_that_show_no_version_are_refused_where_no_other_node_shows_one() -> None:
    action = step(pool(0, 2, more={}), SURGE, FLOOR)
    assert isinstance(action, Refuse)
    silent = Look(HPC, pin="latest", shown="latest", nodes=2, spot=2, sizes=(0, 2))
    action = step(silent, SURGE, FLOOR)
    assert isinstance(action, Refuse)
    assert "(Batch shows 'latest' for 2 of 2 nodes)" in action.reason
    gone = Look(HPC, pin="latest", shown="latest", nodes=({"state": "preempted"},), spot=1, sizes=(0, 1))
    assert step(gone, SURGE, FLOOR) == Done()


@pytest.mark.parametrize("target", [SINCE, FLOOR], ids=["moment", "version"])
@pytest.mark.parametrize("old", [1, 3])
def test_beside_new_dedicated_nodes_they_are_a_warning(old: int, target: Target) -> None:
    look = pool(2, old)
    assert step(look, SURGE, target) == Done()
    told = plan_image(look.view, target, SURGE, 7200.0)
    assert isinstance(told, Plan)
    assert told.warnings == ("spot nodes",)
    assert f"{'1 spot node' if old == 1 else '3 spot nodes'} " in told.text
    assert 'or strategy="empty"' in told.text
    assert wrong_plurals(told.text) == []


@pytest.mark.parametrize(
    ("policy", "dedicated", "drift"),
    [(SURGE, 2, False), (SURGE, 0, True), (UNAVAILABLE, 2, True), (WHEN_EMPTY, 2, True), (EMPTY, 2, True)],
    ids=["surge", "surge alone", "max_unavailable", "when_empty", "empty"],
)
def test_they_are_counted_and_are_drift_where_the_strategy_renews_them(
    policy: ImagePolicy, dedicated: int, drift: bool
) -> None:
    for target in (SINCE, FLOOR) if policy is not EMPTY else (SINCE,):
        outputs = of_vm_pool(pool(dedicated, 1, new=1).view, target, policy.strategy, renews_spot=policy.renews_spot)
        assert outputs["nodes_behind"] == 1
        assert is_behind(outputs, target, policy.strategy) == drift, target


@pytest.mark.parametrize("old", [1, 2])
def test_a_run_that_succeeds_names_the_old_spot_nodes_and_the_ways(old: int) -> None:
    state = pool_of(2, at=TARGET)
    spot = tuple(Machine(f"spot-{number}", OLD, dedicated=False) for number in range(old))
    played = play_image(replace(state, nodes=state.nodes + spot, spot=old))
    assert played.end.deferred is False
    assert played.writes == []
    nodes = "1 spot node" if old == 1 else "2 spot nodes"
    (said,) = played.voice.lines("info")
    assert said.startswith(f"nothing was written, 2 nodes at the target or newer, {nodes} not renewed")
    (warned,) = played.voice.lines("warn")
    assert f"{nodes} {'has' if old == 1 else 'have'} an older image version and stay" in warned
    assert "declare max_unavailable=1: they leave after their tasks" in warned
    alone = play_image(replace(state, nodes=spot, size=0, spot=old))
    assert type(alone.error) is RefusedError
    assert alone.writes == []
