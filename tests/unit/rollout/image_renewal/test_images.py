"""Pins images and nodes as Azure has them: spellings of versions, nodes that show none or are stopped, errors kept.

Windows 2022 alone would hide most of it, so each kind is tried on all images of ``tests.support.simulator.IMAGES``.
"""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from batch_os_provider.batch.image_version import made_on, parse_image_version
from batch_os_provider.batch.pool import GALLERIES, Pool
from batch_os_provider.batch.vm_pool import VmPool
from batch_os_provider.batch.vm_target import ImageVersion
from batch_os_provider.errors import RefusedError
from batch_os_provider.preview.plan import Plan, plan_image
from batch_os_provider.rollout.actions import Refuse, Wait
from batch_os_provider.rollout.image_renewal.decide import decide_image
from batch_os_provider.rollout.image_renewal.steps import ImageHistory
from batch_os_provider.rollout.os_upgrade import decide as os_table
from batch_os_provider.schema.declared import DeclaredImage, ImagePolicy, Policy
from batch_os_provider.schema.inputs import IMAGE, check, same
from batch_os_provider.schema.outputs import is_behind, lowest, of_vm_pool
from tests.support.simulator import IMAGES, Image
from tests.unit.rollout.doubles import REF, at
from tests.unit.rollout.image_renewal.image_doubles import (
    NEWER,
    OLD,
    TARGET,
    WANTED,
    FakeVmService,
    Machine,
    VmScript,
    VmState,
    is_as_before,
    look,
    play_image,
    pool_of,
    renew,
)

OTHER_SPELLING = "22.4.202405140"
UBUNTU = IMAGES["ubuntu"]


def planned(state: VmState, target: str = TARGET, strategy: str = "surge") -> Plan:
    """The plan for a state."""
    told = plan_image(look(state), ImageVersion.parse(target), ImagePolicy(strategy), 7200.0)  # type: ignore[arg-type]
    assert isinstance(told, Plan), told
    return told


# --- the grammar ---


@pytest.mark.parametrize(
    "text",
    [
        *(text for image in IMAGES.values() for text in (image.behind, image.target)),
        *("7.9.2021052401", "24.04.202609040"),
        *("1.0.3", "0.0.0", f"1.0.{2**32 - 1}"),
    ],
)
def test_what_azure_takes_is_a_version(text: str) -> None:
    version = ImageVersion.parse(text)
    assert str(version) == text
    assert version.numbers == tuple(map(int, text.split(".")))
    bag = {"account_endpoint": REF.endpoint, "pool_id": "p", "target_image_version": text, "strategy": "surge"}
    assert check(bag, lambda _: False, IMAGE)[1] == []
    assert DeclaredImage.of(bag).target == version


@pytest.mark.parametrize(
    "text", [f"1.0.{2**32}", "1.0.99999999999", "22", "", "latest", "1.0.-3", "1..3", "1.0.x", 1.0]
)
def test_what_azure_does_not_take_is_none(text: object) -> None:
    assert parse_image_version(text) is None
    with pytest.raises(ValueError, match="is not an exact image version"):
        ImageVersion.parse(text)
    bag = {"account_endpoint": REF.endpoint, "pool_id": "p", "target_image_version": text, "strategy": "surge"}
    (failure,) = check(bag, lambda _: False, IMAGE)[1]
    assert "4294967295" in failure.reason or failure.reason.startswith("'latest' changes over time")


# --- the declared text ---


@pytest.mark.parametrize("image", [*IMAGES.values()], ids=[*IMAGES])
def test_the_text_as_declared_is_what_is_written_and_said(image: Image) -> None:
    behind, target = image.behind, image.target
    goal = ImageVersion.parse(target)
    played = play_image(pool_of(0, version=behind), target=goal)
    assert played.service.took == [("repin", target)]
    said = played.voice.lines("info")[0]
    assert said.startswith(f"done, no nodes, pinned to {target}, ")
    assert said.endswith(f"; {behind} -> {target}")
    assert planned(pool_of(0, version=behind), target).text == (
        f"the pinned pool is empty: this up re-pins it; {behind} -> {target}"
    )
    guarded = pool_of(0, version=behind, configuration={"extensions": [{"name": "x"}]})
    assert f"Change the image version to {target} where" in play_image(guarded, target=goal).text
    line = planned(pool_of(2, at=behind), target).text
    assert line.startswith("2 of 2 nodes behind")
    assert line.endswith(f"; {behind} -> {target}")
    assert f"run {target} or newer" in planned(pool_of(2, at=target), target).text
    outputs = of_vm_pool(look(pool_of(2, at=behind, version=behind)), goal)
    assert (outputs["oldest_node_version"], outputs["pool_image_version"]) == (behind, behind)
    assert is_behind(outputs, goal)
    assert lowest(behind, target) == lowest(target, behind) == behind
    late = play_image(pool_of(2, at=behind), target=goal, timeout=1.0)
    assert f"{target} was not reached" in late.text


def test_two_spellings_of_the_same_numbers_are_no_change_and_each_is_shown_as_it_is() -> None:
    assert same("target_image_version", UBUNTU.target, OTHER_SPELLING)
    assert not same("target_image_version", UBUNTU.target, UBUNTU.behind)
    assert lowest(None, "latest") is None
    assert lowest(UBUNTU.target, "latest") == UBUNTU.target


# --- new nodes that cannot be compared ---


@pytest.mark.parametrize("surge", [1, 2, 3])
@pytest.mark.parametrize("text", ["latest", "", "rolling", "22.04.99999999999"])
def test_a_new_node_that_shows_nothing_comparable_is_a_failed_canary(text: str, surge: int) -> None:
    played = play_image(pool_of(4), VmScript(latest=((-math.inf, text),)), surge=surge)
    assert type(played.error) is RefusedError
    shows = f"shows {text!r} in place of a version number" if text else "shows no version number"
    assert f"the new node new-00 {shows}, so it cannot be compared; no old node was touched" in played.text
    assert played.writes == ["mark", "resize", "remove", "unmark"]
    assert is_as_before(played.service, 4)
    assert [node.name for node in played.service.state.nodes] == ["old-00", "old-01", "old-02", "old-03"]


def test_the_nodes_renewed_before_such_a_canary_stay_and_are_counted() -> None:
    played = play_image(pool_of(4), VmScript(latest=((-math.inf, TARGET), (150.0, "latest"))))
    assert "so it cannot be compared; 1 node is renewed, no other node was touched" in played.text
    assert {node.version for node in played.service.state.nodes if node.ours} == {TARGET}
    assert is_as_before(played.service, 4)


def test_what_a_crash_leaves_of_such_a_canary_is_undone_by_the_next_up_which_says_why() -> None:
    """The pool has 3 nodes and the marker of an earlier release; the preview reports the undo."""
    service = FakeVmService(pool_of(2), VmScript(latest=((-math.inf, "latest"),)))
    assert renew(service, stop_at=90.0).writes == ["mark", "resize"]
    seen = look(service.state, 100.0)
    told = plan_image(seen, WANTED, ImagePolicy("surge"), 7200.0)
    assert isinstance(told, Plan)
    assert told.what == "undo"
    assert "because the new node new-00 shows 'latest'" in told.text
    again = renew(service)
    assert "the new node new-00 shows 'latest'" in again.text
    assert is_as_before(service, 2)


def test_the_cause_is_still_said_where_somebody_resized_while_it_was_undone() -> None:
    state = pool_of(2)
    played = play_image(state, VmScript(latest=((-math.inf, "latest"),)))
    mark = next(what for kind, what in played.service.took if kind == "mark")
    strange = replace(state, nodes=(*state.nodes, Machine("x", "latest", 9e4), Machine("y", "latest", 9e4)), size=4)
    seen = replace(strange, metadata=(("batch-os", str(mark)),))
    text = renew(FakeVmService(seen)).text
    assert "another person or program resized the pool" in text
    assert "the new node x shows 'latest'" in text


@pytest.mark.parametrize(
    "state", ["creating", "starting", "waitingforstarttask", "rebooting", "reimaging", "upgradingos"]
)
def test_a_node_that_is_not_up_is_waited_for(state: str) -> None:
    """A node may show its version later, so this is not a reason to undo or to refuse."""
    nodes = (*pool_of(2, at=TARGET).nodes, Machine("new-00", "", 10.0, fate=state))
    action = decide_image(look(replace(pool_of(0), nodes=nodes, size=3)), WANTED, ImagePolicy("surge"), ImageHistory())
    assert isinstance(action, Wait)


# --- errors of the past ---

TIMED_OUT = "AllocationTimedout: Desired number of dedicated nodes could not be allocated"


@pytest.mark.parametrize("strategy", ["surge", "when_empty"])
def test_an_error_of_a_resize_that_is_over_is_a_warning(strategy: str) -> None:
    state = pool_of(3, at=TARGET, errors=(TIMED_OUT,))
    played = play_image(state, strategy=strategy)
    assert not played.end.deferred
    assert played.writes == []
    (warning,) = played.voice.lines("warn")
    assert warning == (
        f"its last resize ended with an error ({TIMED_OUT}), but the pool has its target of 3 dedicated nodes: Batch "
        "keeps the error until the next resize"
    )
    told = planned(state, strategy=strategy)
    assert (told.what, told.warnings) == ("adopt", ("resize errors",))
    assert warning in told.text


def test_an_error_that_spot_nodes_left_is_a_warning() -> None:
    """Batch does not say which kind of nodes an error is about; all dedicated ones are here."""
    state = pool_of(2, at=TARGET, errors=(TIMED_OUT,), spot=4)
    assert play_image(state).writes == []
    assert planned(state).what == "adopt"


@pytest.mark.parametrize(
    ("count", "size", "text"), [(2, 3, "1 of 3 nodes is missing"), (1, 3, "2 of 3 nodes are missing")]
)
def test_an_error_that_explains_what_is_missing_now_is_one(count: int, size: int, text: str) -> None:
    state = replace(pool_of(count, at=TARGET, errors=(TIMED_OUT,)), size=size)
    assert f"{text} since the last resize failed ({TIMED_OUT})" in play_image(state).text


def test_an_old_error_does_not_stop_a_renewal() -> None:
    played = play_image(pool_of(3, errors=(TIMED_OUT,)))
    assert is_as_before(played.service, 3)
    assert played.voice.lines("warn") == []


# --- nodes that are stopped ---


def with_stopped(state: VmState, *indexes: int, fate: str = "deallocated") -> VmState:
    """The same pool with these nodes stopped."""
    nodes = tuple(replace(node, fate=fate) if n in indexes else node for n, node in enumerate(state.nodes))
    return replace(state, nodes=nodes)


@pytest.mark.parametrize("fate", ["deallocated", "deallocating"])
@pytest.mark.parametrize("surge", [1, 3])
@pytest.mark.parametrize("stopped", [(0,), (1, 3)])
def test_a_stopped_node_is_left_counted_apart_and_said(stopped: tuple[int, ...], surge: int, fate: str) -> None:
    state = with_stopped(pool_of(5), *stopped, fate=fate)
    told = planned(state)
    awake, names = 5 - len(stopped), [f"old-{index:02d}" for index in stopped]
    assert f"{awake} of {awake} nodes behind, {len(stopped)} deallocated" in told.text
    assert (told.nodes, told.behind, told.warnings) == (5, awake, ("deallocated",))
    played = play_image(state, surge=surge)
    assert is_as_before(played.service, 5)
    left = [node.name for node in played.service.state.nodes if not node.ours]
    assert left == names
    assert f"{awake} nodes at the target or newer, {len(stopped)} deallocated" in played.voice.lines("info")[0]
    (warning,) = played.voice.lines("warn")
    assert ", ".join(names) in warning
    assert warning.endswith("To renew such a node start it, then run `pulumi up` again")
    assert of_vm_pool(look(played.service.state, 1e6), WANTED)["nodes_behind"] == 0, "no lasting drift"


def test_a_pool_of_stopped_nodes_alone_is_adopted() -> None:
    state = with_stopped(pool_of(2), 0, 1)
    assert planned(state).text.endswith("; all its nodes are deallocated")
    played = play_image(state)
    assert played.writes == []
    assert "nothing was written, 0 nodes at the target or newer, 2 deallocated" in played.voice.lines("info")[0]


def test_a_stopped_node_at_the_target_needs_no_advice() -> None:
    state = with_stopped(pool_of(2, at=TARGET), 1)
    assert "; 1 deallocated node not changed: old-01; " in planned(state).text


def test_a_node_that_was_started_again_is_renewed_like_the_others() -> None:
    played = play_image(with_stopped(pool_of(3), 1))
    service = played.service
    service.state = replace(service.state, nodes=tuple(replace(n, fate="idle") for n in service.state.nodes))
    service._start = 3
    again = renew(service)
    assert again.writes.count("remove") == 3
    assert {node.version for node in service.state.nodes} == {TARGET}
    assert again.voice.lines("warn") == []


# --- another product ---


@pytest.mark.parametrize(
    ("runs", "target"),
    [("17763.3124.2111130129", TARGET), ("22.04.202405140", "24.04.202609040"), ("8.7.2024042601", "9.2.2024042601")],
)
def test_another_first_number_is_warned_of_before_a_node_is_allocated_and_undone_after(runs: str, target: str) -> None:
    told = planned(pool_of(2, at=runs), target)
    assert told.warnings == ("another product",)
    assert f"the pool runs {runs} and {target} is declared: another first number means another product" in told.text
    played = play_image(pool_of(2, at=runs), VmScript(latest=((-math.inf, runs),)), target=ImageVersion.parse(target))
    assert f"Batch still allocates {runs} (node new-00); no old node was touched" in played.text
    first = runs.partition(".")[0]
    assert f"Declare a target_image_version of the pool's own image ({first}.*), or move" in played.text
    assert is_as_before(played.service, 2)


@pytest.mark.parametrize("version", ["latest", "17763.2928.220505"])
def test_a_pinned_or_newer_product_is_warned_of_too(version: str) -> None:
    state = pool_of(0, version=version) if version != "latest" else pool_of(2, at=NEWER)
    told = planned(state, TARGET if version != "latest" else "17763.3124.2111130129")
    assert told.warnings == ("another product",)


def test_the_same_product_is_not_warned_of() -> None:
    for image in IMAGES.values():
        assert planned(pool_of(2, at=image.behind), image.target).warnings == ()
    assert planned(pool_of(2, at=OLD)).warnings == ()
    assert planned(pool_of(0)).warnings == ()


# --- gallery images ---

IDS = (
    "/subscriptions/s/resourceGroups/r/providers/Microsoft.Compute/galleries/g/images/i/versions/1.0.3",
    "/sharedGalleries/g-1/images/i/versions/1.0.3",
    "/CommunityGalleries/g-2/images/i",
)


@pytest.mark.parametrize(("key", "text"), [*zip(GALLERIES, IDS, strict=True)])
def test_an_image_of_any_gallery_is_named_by_its_id(key: str, text: str) -> None:
    configuration = {"imageReference": {key: text}, "nodeAgentSKUId": "batch.node.ubuntu 22.04"}
    body = {"id": "p", "state": "active", "allocationState": "steady", "virtualMachineConfiguration": configuration}
    pool = VmPool.from_json(REF, body)
    assert (pool.image, pool.gallery) == (text, True)
    assert pool.pin_text == ("1.0.3" if text.endswith("1.0.3") else "latest")
    old = os_table.decide(Pool.from_json(REF, body, seen_at=at(0)), "*", Policy(), os_table.History(), 0.0)
    assert isinstance(old, Refuse)
    assert f"it is a VM pool (image {text})" in old.reason
    assert 'pool_id="Render-A", nodes_since="2018-12-01", strategy="surge")' in old.next_step


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("22.04.202405100", "2024-05-10"),
        ("24.04.202609040", "2026-09-04"),
        ("22.04.2024102301", "2024-10-23"),
        ("8.1.2021040910", "2021-04-09"),
        ("20348.2461.240510", "2024-05-10"),
        ("17763.3124.2111130129", "2021-11-13"),
        ("17763.1697.2012312359", "2020-12-31"),
        ("14393.4169.20240229", "2024-02-29"),
        ("14393.4169.20230229", ""),
        ("1.2.241301", ""),
        ("1.0.3", ""),
        ("22.04.2024", ""),
        ("latest", ""),
    ],
)
def test_the_day_in_a_version(text: str, day: str) -> None:
    assert made_on(text) == day
