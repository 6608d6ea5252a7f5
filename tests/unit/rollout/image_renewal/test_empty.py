"""The table of the strategy ``empty``: what the pool shows, and the one step that follows.

Each row is a pool as Batch would show it, with images and counts varied on purpose. The rollout itself runs over the
wire in ``tests/inprocess``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from batch_os_provider.batch.vm_pool import Marker
from batch_os_provider.batch.vm_target import AllocatedSince, ImageVersion, Target
from batch_os_provider.rollout.actions import Done, Refuse, Wait
from batch_os_provider.rollout.image_renewal.decide import decide_image
from batch_os_provider.rollout.image_renewal.empty import (
    capacity_back,
    is_undoable,
    leads_to_drain,
    no_time,
    too_late,
)
from batch_os_provider.rollout.image_renewal.steps import (
    Drain,
    EnableAutoscale,
    HoldAutoscale,
    ImageAction,
    ImageHistory,
    Repin,
    ResizeAll,
    SetMarker,
    Undo,
)
from batch_os_provider.schema.declared import ImagePolicy
from tests.support.simulator import IMAGES
from tests.unit.plurals import wrong_plurals
from tests.unit.rollout.image_renewal.looks import FORMULA, INTERVAL, NEW, OLD, SCALED, SHORT, Look

FAILED = Refuse("the canary failed", "Fix it")
EMPTY = ImagePolicy("empty")
HOLD = replace(EMPTY, autoscale="hold")
SINCE = AllocatedSince.parse("2026-11-24")


def step(
    look: Look, policy: ImagePolicy = EMPTY, history: ImageHistory | None = None, target: Target | None = None
) -> ImageAction:
    """The step for a pool; every message in it has right plurals."""
    action = decide_image(look.view, target or look.target, policy, history or ImageHistory())
    refuse = action.failure if isinstance(action, Undo) else action
    texts = {
        Refuse: lambda each: [each.reason, each.next_step],
        Wait: lambda each: [each.why],
        ResizeAll: lambda each: [each.why],
    }.get(type(refuse), lambda _each: [])(refuse)
    assert not [wrong for text in texts for wrong in wrong_plurals(text)], texts
    return action


def refusal(action: ImageAction) -> str:
    """The whole text of a refusal, or of a failure that is undone first."""
    refuse = action.failure if isinstance(action, Undo) else action
    assert isinstance(refuse, Refuse), action
    return f"{refuse.reason}\n{refuse.next_step}"


# --- beginning ---


@pytest.mark.parametrize("name", IMAGES)
def test_the_first_write_keeps_what_the_pool_had(name: str) -> None:
    image = IMAGES[name]
    look = Look(image, sizes=(2, 3), nodes=5, spot=3)
    assert step(look, replace(EMPTY, canary=2)) == SetMarker(look.mark(2, 3, canary=2))
    scaled = replace(look, more=SCALED)
    assert step(scaled, HOLD) == SetMarker(look.mark(2, 3, formula=FORMULA, interval=INTERVAL))
    latest = replace(look, pin="latest", shown="latest")
    assert step(latest) == SetMarker(look.mark(2, 3, pins=("latest", image.target)))


def test_at_the_pin_there_is_nothing_to_do_whatever_a_node_shows() -> None:
    assert step(Look(pin="target")) == Done()
    assert step(Look(pin="target", shown="latest")) == Done()
    assert step(Look(pin="target", nodes=0, sizes=(0, 0))) == Done()
    assert step(Look(pin="target", more=SCALED)) == Done()


def test_the_pin_is_exact_so_a_newer_one_goes_back() -> None:
    image = IMAGES["ubuntu-hpc"]
    newer = Look(image, pin="22.04.2026082801")
    assert step(newer) == SetMarker(newer.mark(3, pins=("22.04.2026082801", image.target)))
    spelled = Look(image, pin=image.target.replace(".04.", ".4."))
    assert step(spelled) == Done()


@pytest.mark.parametrize("more", [{}, SCALED])
def test_a_pool_at_zero_is_changed_at_once(more: Mapping[str, Any]) -> None:
    for pin in ("behind", "latest"):
        look = Look(IMAGES["rhel"], pin=pin, sizes=(0, 0), nodes=0, more=more)
        assert step(look) == Repin(IMAGES["rhel"].target)


@pytest.mark.parametrize(
    ("look", "policy", "words"),
    [
        (Look(more=SCALED), EMPTY, ["scales itself", 'Declare autoscale="hold"']),
        (
            Look(configuration={"extensions": [{"name": "x"}]}),
            EMPTY,
            ["extensions (protectedSettings)", "where the pool is declared"],
        ),
        (
            Look(configuration={"containerConfiguration": {"containerRegistries": [{"username": "u"}]}}),
            EMPTY,
            ["containerRegistries (password)"],
        ),
        (Look(configuration={"hardwareProfile": {}}), EMPTY, ["virtualMachineConfiguration.hardwareProfile"]),
        (
            Look(
                pin="latest", more={"upgradePolicy": {"automaticOSUpgradePolicy": {"enableAutomaticOSUpgrade": True}}}
            ),
            EMPTY,
            ["automatic OS upgrade is on: Batch renews", 'Declare strategy="automatic": then'],
        ),
        (Look(marker="theirs"), EMPTY, ["batch-os holds 'theirs'", "Remove or rename that metadata entry"]),
        (
            Look(configuration={"imageReference": {"virtualMachineImageId": "/s/images/golden"}}),
            EMPTY,
            ["it uses an image outside of a gallery (/s/images/golden), which has no versions"],
        ),
    ],
)
def test_what_cannot_work_is_refused_before_the_first_write(look: Look, policy: ImagePolicy, words: list[str]) -> None:
    action = step(look, policy)
    assert isinstance(action, Refuse)
    for word in words:
        assert word in refusal(action)


def test_guarded_parts_do_not_matter_to_a_moment() -> None:
    look = Look(configuration={"extensions": [{"name": "x"}]})
    assert isinstance(step(look, target=SINCE), SetMarker)


# --- on the way ---

BASE = Look()
MARK = BASE.mark(3)
HELD = BASE.mark(3, formula=FORMULA, interval=INTERVAL)
DRAINED = ImageHistory(drains=1)
GROWN = ImageHistory(sizes=frozenset({(1, 0), (3, 0)}))
ON_THE_WAY: dict[str, tuple[Look, ImagePolicy, ImageHistory, ImageAction]] = {
    "hold": (Look(marker=HELD, more=SCALED), HOLD, ImageHistory(), HoldAutoscale()),
    "no longer held": (Look(marker=HELD, more=SCALED), EMPTY, ImageHistory(), SetMarker(None)),
    "drain": (Look(marker=MARK), EMPTY, ImageHistory(), Drain()),
    "drain what was held": (Look(marker=HELD, sizes=(7, 0), nodes=7), HOLD, ImageHistory(), Drain()),
    "drain, killed": (Look(marker=MARK, sizes=(0, 0), nodes=2), EMPTY, ImageHistory(), Drain()),
    "drain, killed, stayed": (Look(marker=MARK, sizes=(2, 0), nodes=2, more=SHORT), EMPTY, ImageHistory(), Drain()),
    "change": (Look(marker=MARK, sizes=(0, 0), nodes=0), EMPTY, DRAINED, Repin(BASE.image.target)),
    "change, as the program spells it": (
        Look(marker=BASE.mark(3, pins=(BASE.image.behind, "20348.2461.0240510")), sizes=(0, 0), nodes=0),
        EMPTY,
        DRAINED,
        Repin(BASE.image.target),
    ),
    "canary": (
        Look(pin="target", marker=MARK, sizes=(0, 0), nodes=0),
        EMPTY,
        DRAINED,
        ResizeAll(1, 0, f"adding 1 node to prove {BASE.image.target}"),
    ),
    "canary of spot nodes": (
        Look(pin="target", marker=BASE.mark(0, 4, canary=2), sizes=(0, 0), nodes=0),
        EMPTY,
        DRAINED,
        ResizeAll(0, 2, f"adding 2 nodes to prove {BASE.image.target}"),
    ),
    "canary, missing": (
        Look(pin="target", marker=MARK, sizes=(1, 0), nodes=0, more=SHORT),
        EMPTY,
        ImageHistory(),
        ResizeAll(1, 0, "asking again for the missing nodes"),
    ),
    "canary, starting": (
        Look(pin="target", marker=MARK, sizes=(1, 0), nodes=({"state": "starting"},)),
        EMPTY,
        DRAINED,
        Wait("canary", "1 of 1 new nodes is not ready yet"),
    ),
    "canary, start task running": (
        Look(pin="target", marker=MARK, sizes=(1, 0), nodes=({"startTaskInfo": {"state": "running"}},)),
        EMPTY,
        DRAINED,
        Wait("canary", "1 of 1 new nodes is not ready yet"),
    ),
    "fill": (
        Look(pin="target", marker=MARK, sizes=(1, 0), nodes=1),
        EMPTY,
        DRAINED,
        ResizeAll(3, 0, "filling the pool: 3 nodes"),
    ),
    "fill with the formula": (
        Look(pin="target", marker=HELD, sizes=(1, 0), nodes=1),
        HOLD,
        DRAINED,
        EnableAutoscale(FORMULA, INTERVAL),
    ),
    "formula of a pool that had no target": (
        Look(pin="target", marker=replace(HELD, size=0), sizes=(0, 0), nodes=0),
        HOLD,
        DRAINED,
        EnableAutoscale(FORMULA, INTERVAL),
    ),
    "fill, missing": (
        Look(pin="target", marker=MARK, sizes=(3, 0), nodes=2, more=SHORT),
        EMPTY,
        ImageHistory(),
        ResizeAll(3, 0, "asking again for the missing nodes"),
    ),
    "fill, starting": (
        Look(pin="target", marker=MARK, nodes=({}, {"state": "creating"}, {"state": "waitingforstarttask"})),
        EMPTY,
        GROWN,
        Wait("proving", "2 of 3 new nodes are not ready yet"),
    ),
    "filled, one failed": (
        Look(pin="target", marker=MARK, nodes=({}, {"state": "starttaskfailed"}, {})),
        EMPTY,
        GROWN,
        SetMarker(None),
    ),
    "filled but for spot nodes": (
        Look(pin="target", marker=BASE.mark(2, 4), sizes=(2, 4), nodes=3, spot=1, more=SHORT),
        EMPTY,
        ImageHistory(sizes=frozenset({(2, 4)})),
        SetMarker(None),
    ),
    "filled by the formula": (
        Look(pin="target", marker=HELD, more=SCALED, sizes=(9, 0)),
        HOLD,
        DRAINED,
        SetMarker(None),
    ),
    "reverted before the drain": (
        Look(pin="target", marker=BASE.mark(3, pins=(BASE.image.target, "1.2"))),
        EMPTY,
        ImageHistory(),
        SetMarker(None),
    ),
    "turned on the way": (
        Look(pin="20348.9.9", marker=BASE.mark(3, pins=(BASE.image.behind, "20348.9.9")), sizes=(1, 0), nodes=1),
        EMPTY,
        ImageHistory(),
        SetMarker(BASE.mark(3, pins=(BASE.image.behind, "20348.9.9", BASE.image.target))),
    ),
    "turned, then drained": (
        Look(
            pin="20348.9.9",
            marker=BASE.mark(3, pins=(BASE.image.behind, "20348.9.9", BASE.image.target)),
            sizes=(1, 0),
            nodes=1,
        ),
        EMPTY,
        ImageHistory(),
        Drain(),
    ),
}


@pytest.mark.parametrize("name", ON_THE_WAY)
def test_a_step_on_the_way(name: str) -> None:
    look, policy, history, expected = ON_THE_WAY[name]
    assert step(look, policy, history) == expected


def test_a_resize_under_way_is_waited_for_in_words() -> None:
    growing = Look(pin="target", marker=MARK, nodes=1, more={"allocationState": "resizing"})
    assert step(growing) == Wait("resizing", "a resize is under way: 1 of 3 nodes")
    busy = ({"state": "running", "runningTasksCount": 2}, {"state": "running", "runningTasksCount": 1})
    leaving = Look(marker=MARK, sizes=(0, 0), nodes=busy, more={"allocationState": "resizing"})
    assert step(leaving) == Wait("resizing", "2 nodes finish 3 tasks, then leave")


# --- failures, and the way back ---


def test_nodes_that_outlast_the_drain_are_named_with_their_tasks() -> None:
    nodes = ({"state": "running", "runningTasksCount": 4}, {}, {"state": "running", "runningTasksCount": 1})
    for sizes, more in (((0, 0), {}), ((3, 0), SHORT)):
        action = step(Look(marker=MARK, sizes=sizes, nodes=nodes, more=more), history=DRAINED)
        assert isinstance(action, Undo)
        assert action.may_defer
        text = refusal(action)
        assert "tvm-00 (4 tasks), tvm-02 (1 task), tvm-01 (0 tasks)" in text
        assert "5 tasks still run, no task was stopped; this run puts the pool back to 3 nodes" in text


@pytest.mark.parametrize(
    ("node", "words"),
    [
        ({"state": "starttaskfailed"}, "tvm-00 is starttaskfailed"),
        ({"startTaskInfo": {"result": "failure"}}, "tvm-00 is idle, but its start task failed"),
        (
            {"state": "unusable", "errors": [{"code": "X", "message": "The disk is gone"}]},
            "is unusable: The disk is gone",
        ),
        ({"state": "deallocated"}, "tvm-00 is deallocated"),
        (
            {"virtualMachineInfo": {"imageReference": {"exactVersion": "20348.1.1"}}},
            "but the new node tvm-00 shows 20348.1.1",
        ),
    ],
)
def test_a_canary_that_fails_is_undone(node: Mapping[str, Any], words: str) -> None:
    action = step(Look(pin="target", marker=MARK, sizes=(1, 0), nodes=(node,)), history=DRAINED)
    assert isinstance(action, Undo)
    assert words in refusal(action)
    assert f"this run puts the pool back to {BASE.image.behind} and 3 nodes" in refusal(action)


def test_a_canary_without_quota_is_undone_and_a_fill_without_quota_stays_open() -> None:
    lacking = Look(pin="target", marker=MARK, sizes=(1, 0), nodes=0, more=SHORT)
    action = step(lacking, history=GROWN)
    assert isinstance(action, Undo)
    assert "could not allocate 1 more node of 1 (AccountCoreQuotaReached" in refusal(action)
    short = step(Look(pin="target", marker=MARK, nodes=2, more=SHORT), history=GROWN)
    assert isinstance(short, Refuse)
    assert f"the pool runs {BASE.image.target}, but Batch could not allocate 1 more node of 3" in refusal(short)


BACK = ImageHistory(failure=FAILED, drains=1, sizes=frozenset({(1, 0)}))
WAY_BACK: dict[str, tuple[Look, ImageHistory, ImageAction]] = {
    "empty again": (Look(pin="target", marker=MARK, sizes=(1, 0), nodes=1), BACK, Drain()),
    "the image": (Look(pin="target", marker=MARK, sizes=(0, 0), nodes=0), BACK, Repin(BASE.image.behind)),
    "back to latest": (
        Look(pin="target", marker=BASE.mark(3, pins=("latest", BASE.image.target)), sizes=(0, 0), nodes=0),
        BACK,
        Repin("latest"),
    ),
    "the sizes": (
        Look(marker=BASE.mark(3, 2), sizes=(0, 0), nodes=0),
        BACK,
        ResizeAll(3, 2, "back to the size before the rollout"),
    ),
    "the formula": (Look(marker=HELD, sizes=(0, 0), nodes=2), BACK, EnableAutoscale(FORMULA, INTERVAL)),
    "the marker": (Look(marker=MARK), BACK, SetMarker(None)),
    "the marker, fewer nodes": (Look(marker=MARK, nodes=1, more=SHORT), BACK, SetMarker(None)),
    "the marker of a formula": (Look(marker=HELD, more=SCALED), BACK, SetMarker(None)),
    "the end": (Look(), BACK, FAILED),
}


@pytest.mark.parametrize("name", WAY_BACK)
def test_a_step_of_the_way_back(name: str) -> None:
    look, history, expected = WAY_BACK[name]
    assert step(look, HOLD, history) == expected


def test_a_canary_that_does_not_leave_ends_the_way_back() -> None:
    stuck = Look(pin="target", marker=MARK, sizes=(0, 0), nodes=({"state": "running", "runningTasksCount": 1},))
    assert step(stuck, history=replace(BACK, drains=2)) == Drain()
    text = refusal(step(stuck, history=replace(BACK, drains=3)))
    assert "the canary failed; the image cannot go back" in text
    assert "while new nodes finish their tasks: tvm-00" in text


def test_a_part_that_cannot_be_sent_again_ends_the_way_back() -> None:
    look = Look(pin="target", marker=MARK, sizes=(0, 0), nodes=0, configuration={"hardwareProfile": {}})
    assert "the image cannot go back" in refusal(step(look, history=BACK))
    forward = replace(look, pin="behind")
    assert isinstance(step(forward), Undo)


@pytest.mark.parametrize("strategy", ["surge", "when_empty"])
def test_another_strategy_puts_the_pool_back_and_keeps_an_image_that_it_declares_too(strategy: Any) -> None:
    policy = ImagePolicy(strategy)
    half = Look(pin="target", marker=MARK, sizes=(1, 0), nodes=1)
    assert step(half, policy) == ResizeAll(3, 0, "back to the size before the rollout")
    other = ImageVersion.parse("20348.1.1")
    assert step(half, policy, target=other) == Drain()
    assert step(replace(half, sizes=(0, 0), nodes=0), policy, target=other) == Repin(BASE.image.behind)
    assert step(replace(half, sizes=(0, 0), nodes=0, marker=HELD), policy) == EnableAutoscale(FORMULA, INTERVAL)
    assert step(Look(pin="target", marker=MARK), policy) == SetMarker(None)


def test_the_marker_of_surge_is_tidied_before_a_pool_is_emptied() -> None:
    assert step(Look(marker=Marker(3, 1, OLD))) == SetMarker(None)
    grown = Look(marker=Marker(3, 1, "2026-11-21T08:00:00.000000Z"), sizes=(4, 0))
    assert isinstance(step(replace(grown, nodes=4)), Refuse), "four nodes that the cycle did not add"


# --- others ---


@pytest.mark.parametrize(
    ("look", "words"),
    [
        (Look(marker=MARK, sizes=(5, 0), nodes=5), ["began at 3 nodes, and the target is now 5 nodes"]),
        (
            Look(marker=BASE.mark(1, 2), sizes=(1, 9), nodes=10, spot=9),
            ["began at 1 node and 2 spot nodes, and the target is now 1 node and 9 spot nodes"],
        ),
        (
            Look(pin="20348.7.7", marker=MARK),
            [f"began with microsoftwindowsserver:windowsserver:2022-datacenter-core {BASE.image.behind}", "20348.7.7"],
        ),
        (
            Look(IMAGES["windows-2019"], pin=BASE.image.behind, marker=MARK),
            ["2022-datacenter-core", "and the pool now has microsoftwindowsserver:windowsserver:2019-datacenter-core"],
        ),
        (
            Look(marker=MARK, more=SCALED),
            ["enabled autoscale: the rollout began with a fixed size", "the formula '$TargetDedicatedNodes = 3;'"],
        ),
        (
            Look(marker=HELD, more={**SCALED, "autoScaleFormula": "$TargetDedicatedNodes = " + "1 + " * 40 + "1"}),
            ["the formula '$TargetDedicatedNodes = 3;' (PT7M)", "1 + 1 + 1", "...' (PT7M)"],
        ),
        (Look(marker=HELD, more={**SCALED, "autoScaleEvaluationInterval": "PT9M"}), ["(PT7M)", "(PT9M)"]),
    ],
)
@pytest.mark.parametrize("history", [ImageHistory(), replace(BACK, marker=MARK)], ids=["on the way", "on the way back"])
def test_what_others_have_done_is_theirs(look: Look, words: list[str], history: ImageHistory) -> None:
    text = refusal(step(look, HOLD, history))
    for word in (*words, "nothing more was changed", "`batch-os restore https://"):
        assert word in text


def test_a_resize_after_our_drain_is_theirs() -> None:
    assert "another person or program resized the pool" in refusal(step(Look(marker=MARK), history=DRAINED))


def test_two_programs_that_declare_different_versions_do_not_fight() -> None:
    marker = BASE.mark(3, pins=(BASE.image.behind, BASE.image.target, "20348.9.9"))
    action = step(Look(marker=marker), history=ImageHistory(marker=MARK))
    assert f"this one declares {BASE.image.target}, the other one 20348.9.9" in refusal(action)
    assert isinstance(step(Look(marker=marker)), SetMarker), "a run that begins takes over"


def test_a_marker_that_is_gone_is_the_end_of_another_run_or_refused() -> None:
    known = ImageHistory(marker=MARK)
    assert step(Look(pin="target"), history=known) == Done()
    assert step(Look(pin="target", more=SCALED), HOLD, ImageHistory(marker=HELD)) == Done()
    for look in (Look(), Look(pin="target", sizes=(1, 0), nodes=1), Look(sizes=(0, 0), nodes=0)):
        assert "its marker in the metadata is gone" in refusal(step(look, history=known))


# --- a moment ---


def test_a_moment_changes_no_image_and_is_proven_by_new_nodes() -> None:
    mark = BASE.mark(3, pins=("latest",))
    old = Look(pin="latest", shown="latest")
    new = replace(old, allocated=NEW, marker=mark)
    assert step(old, target=SINCE) == SetMarker(mark)
    assert step(replace(old, marker=mark), target=SINCE) == Drain()
    assert step(replace(new, sizes=(0, 0), nodes=0), target=SINCE) == ResizeAll(
        1, 0, "adding 1 node to prove new nodes of latest"
    )
    assert step(replace(new, sizes=(1, 0), nodes=1), target=SINCE) == ResizeAll(3, 0, "filling the pool: 3 nodes")
    assert step(new, target=SINCE, history=GROWN) == SetMarker(None)
    assert step(replace(new, marker=None), target=SINCE) == Done()
    assert step(replace(old, sizes=(0, 0), nodes=0), target=SINCE) == Done()
    late = replace(old, marker=mark, sizes=(1, 0), nodes=1)
    assert "is before nodes_since 2026-11-24" in refusal(step(late, target=SINCE, history=replace(GROWN, drains=1)))


def test_old_spot_nodes_count_for_a_moment_and_deallocated_ones_do_not() -> None:
    spot = Look(pin="latest", sizes=(0, 2), nodes=2, spot=2)
    assert step(spot, target=SINCE) == SetMarker(spot.mark(0, 2, pins=("latest",)))
    assert step(replace(spot, nodes=({"state": "deallocated"},) * 2), target=SINCE) == Done()


# --- batch-os restore ---

RESTORE = ImagePolicy("restore")
THEIRS = {**SCALED, "autoScaleFormula": "$TargetDedicatedNodes = 99;"}
RESTORED: dict[str, tuple[Look, ImageAction]] = {
    "nothing to do": (Look(), Done()),
    "a drained pool": (
        Look(marker=MARK, sizes=(0, 0), nodes=0),
        ResizeAll(3, 0, "back to the size before the rollout"),
    ),
    "a held formula": (Look(marker=HELD, sizes=(0, 0), nodes=0), EnableAutoscale(FORMULA, INTERVAL)),
    "another formula": (Look(marker=HELD, more=THEIRS), HoldAutoscale()),
    "a formula on a pool of fixed size": (Look(marker=MARK, more=SCALED), HoldAutoscale()),
    "the formula, another image": (Look(pin="target", marker=HELD, more=SCALED), HoldAutoscale()),
    "the formula is back": (Look(marker=HELD, more=SCALED), SetMarker(None)),
    "another size": (Look(marker=MARK, sizes=(9, 0), nodes=9), ResizeAll(3, 0, "back to the size before the rollout")),
    "another pin": (Look(pin="20348.7.7", marker=MARK, sizes=(9, 0), nodes=9), Drain()),
    "another pin, empty": (Look(pin="20348.7.7", marker=MARK, sizes=(0, 0), nodes=0), Repin(BASE.image.behind)),
    "the marker of surge": (Look(marker=Marker(3, 1, OLD)), SetMarker(None)),
}


@pytest.mark.parametrize("name", RESTORED)
def test_a_step_of_restore_also_undoes_what_others_have_done(name: str) -> None:
    look, expected = RESTORED[name]
    assert step(look, RESTORE) == expected


def test_restore_does_not_bring_back_another_image() -> None:
    text = refusal(step(Look(IMAGES["rhel"], marker=MARK), RESTORE))
    assert "the pool now has redhat:rhel:8_1: only a version is restored" in text


# --- the deadline ---


def test_a_canary_that_is_late_and_too_little_time_for_a_drain_go_back_and_may_be_deferred() -> None:
    late = Look(pin="target", marker=MARK, sizes=(1, 0), nodes=({"state": "waitingforstarttask"},))
    action = too_late(late.view, MARK)
    assert action.may_defer
    assert "the canary was not ready in time: tvm-00 is waitingforstarttask; this run puts the" in refusal(action)
    short = no_time(61.0, 360.0)
    assert short.may_defer
    assert "1m01s of timeout is left, and to empty the pool takes up to 6m00s" in refusal(short)


@pytest.mark.parametrize(
    ("action", "leads", "undoable"),
    [
        (SetMarker(MARK), True, False),
        (SetMarker(None), False, False),
        (SetMarker(Marker(3, 1, OLD)), False, False),
        (HoldAutoscale(), True, True),
        (Drain(), True, True),
        (Repin("1.2"), False, True),
        (ResizeAll(1, 0, "canary"), False, True),
        (ResizeAll(3, 0, "fill"), False, False),
        (EnableAutoscale(FORMULA, INTERVAL), False, False),
        (Done(), False, False),
    ],
    ids=str,
)
def test_which_steps_come_before_the_drain_and_which_are_undone(
    action: ImageAction, leads: bool, undoable: bool
) -> None:
    assert (leads_to_drain(action), is_undoable(action, MARK)) == (leads, undoable)


def test_an_empty_pool_of_the_old_image_gets_its_nodes_again_at_the_deadline() -> None:
    empty = Look(marker=BASE.mark(3, 1), sizes=(0, 0), nodes=0)
    assert capacity_back(empty.view) == ResizeAll(3, 1, "back to the size before the rollout: the time is up")
    assert capacity_back(replace(empty, marker=HELD).view) == EnableAutoscale(FORMULA, INTERVAL)
    for look in (
        replace(empty, pin="target"),
        replace(empty, sizes=(1, 0)),
        replace(empty, more={"allocationState": "resizing"}),
        replace(empty, marker=None),
    ):
        assert capacity_back(look.view) is None
