"""Pools with gallery images: the version is the pin of ``empty`` and ``when_empty``, else a floor that nodes show."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from batch_os_provider.batch.empty_marker import EmptyMarker
from batch_os_provider.batch.pool import GALLERIES
from batch_os_provider.batch.vm_target import AllocatedSince, ImageVersion
from batch_os_provider.preview.plan import Plan, plan_image
from batch_os_provider.rollout.actions import Done, Refuse, Wait
from batch_os_provider.rollout.image_renewal.decide import decide_image
from batch_os_provider.rollout.image_renewal.steps import (
    Drain,
    ImageAction,
    ImageHistory,
    Repin,
    ResizeAll,
    SetMarker,
)
from batch_os_provider.schema.declared import ImagePolicy
from batch_os_provider.schema.outputs import is_behind, of_vm_pool
from tests.unit.plurals import wrong_plurals
from tests.unit.rollout.image_renewal.looks import NEW, SCALED, Look

GALLERY_IDS = (
    "/subscriptions/s/resourceGroups/r/providers/Microsoft.Compute/galleries/studio/images/farm",
    "/SharedGalleries/0a1b-STUDIO/Images/cfd",
    "/CommunityGalleries/hpc-1f2e/Images/alma_8",
)
EACH = pytest.mark.parametrize(("key", "image"), [*zip(GALLERIES, GALLERY_IDS, strict=True)])
MANAGED = "/subscriptions/s/resourceGroups/r/providers/Microsoft.Compute/images/golden"
WANTED = ImageVersion.parse("1.2.3")
AUTOMATIC = {"upgradePolicy": {"automaticOSUpgradePolicy": {"enableAutomaticOSUpgrade": True}}}
RENEWED = "automatic OS upgrade is on: Batch renews"
PINS = "the image id gets the version, so new nodes no longer get the newest; latest -> 1.2.3"
EMPTY_POOL: dict[str, Any] = {"sizes": (0, 0), "nodes": 0}


def pool(pin: str = "", *, key: str = GALLERIES[0], image: str = GALLERY_IDS[0], shown: str = "", **more: Any) -> Look:
    """A pool with a gallery image at this pin (empty: without version); its nodes show ``shown``."""
    text = f"{image}/versions/{pin}" if pin else image
    return Look(configuration={"imageReference": {key: text}}, shown=shown or "none", **more)


def step(look: Look, strategy: str, history: ImageHistory | None = None, target: Any = WANTED) -> ImageAction:
    """The step for a pool, with right plurals."""
    action = decide_image(look.view, target, ImagePolicy(strategy), history or ImageHistory())  # type: ignore[arg-type]
    texts = [action.reason, action.next_step] if isinstance(action, Refuse) else []
    assert not [wrong for text in texts for wrong in wrong_plurals(text)], texts
    return action


def plan(look: Look, strategy: str) -> Plan:
    """The line of the preview."""
    told = plan_image(look.view, WANTED, ImagePolicy(strategy), 7200.0)  # type: ignore[arg-type]
    assert isinstance(told, Plan), told
    return told


@EACH
@pytest.mark.parametrize(("pin", "was"), [("1.0.3", "1.0.3"), ("", "latest"), ("1.10.0", "1.10.0")])
def test_empty_pins_each_kind_of_gallery_image(key: str, image: str, pin: str, was: str) -> None:
    """The marker has the id without its version, so a version of the rollout is never another image."""
    look = pool(pin, key=key, image=image)
    mark = EmptyMarker(3, 0, image, (was, "1.2.3"))
    assert step(look, "empty") == SetMarker(mark)
    assert step(replace(look, marker=mark), "empty") == Drain()
    assert step(replace(look, marker=mark, **EMPTY_POOL), "empty") == Repin("1.2.3")
    changed = pool("1.2.3", key=key, image=image, marker=mark, **EMPTY_POOL)
    assert isinstance(step(changed, "empty"), ResizeAll)
    failed = ImageHistory(failure=Refuse("the canary failed", "Fix it"))
    assert step(changed, "empty", failed) == Repin(was)


@EACH
def test_a_pool_at_the_pin_needs_nothing_whatever_its_nodes_show(key: str, image: str) -> None:
    for strategy in ("empty", "when_empty", "surge"):
        for shown in ("", "1.2.3", "latest"):
            assert step(pool("1.2.3", key=key, image=image, shown=shown), strategy) == Done()


@pytest.mark.parametrize("strategy", ["empty", "when_empty"])
@pytest.mark.parametrize("pin", ["", "1.0.3", "2.0.0"])
def test_an_empty_pool_gets_the_version_at_once(strategy: str, pin: str) -> None:
    assert step(pool(pin, **EMPTY_POOL), strategy) == Repin("1.2.3")


@pytest.mark.parametrize("shown", ["", "1.2.3", "1.9.0"])
def test_when_empty_waits_until_the_pool_can_take_the_version(shown: str) -> None:
    assert step(pool("1.0.3", shown=shown), "when_empty") == Wait(
        "until empty", "pinned to 1.0.3 with 3 nodes; waiting until the pool is empty"
    )
    assert step(pool(shown=shown), "when_empty") == Wait(
        "until empty", "on latest with 3 nodes; waiting until the pool is empty"
    )


@pytest.mark.parametrize(
    ("look", "strategy", "words"),
    [
        (pool("1.0.3"), "surge", ["the pool is pinned to 1.0.3", 'Declare strategy="empty": `up` lets']),
        (pool("1.0.3", more=SCALED), "surge", ['Declare strategy="empty", autoscale="hold": `up` lets']),
        (
            pool(),
            "surge",
            [
                f"a gallery image without a version ({GALLERY_IDS[0]}), and Batch shows no version of 3 of 3 nodes",
                'Declare strategy="empty": `up` pins the pool to the version. Or declare nodes_since="',
            ],
        ),
        (pool(**EMPTY_POOL), "surge", ["and it has no running nodes", 'Declare strategy="empty"']),
        (
            pool(more=AUTOMATIC),
            "empty",
            [RENEWED, 'Declare strategy="automatic": then'],
        ),
        (
            pool(more=AUTOMATIC),
            "when_empty",
            [RENEWED, 'Declare strategy="automatic": then'],
        ),
        *(
            (pool(image=MANAGED), strategy, [f"an image outside of a gallery ({MANAGED})", "Declare nodes_since"])
            for strategy in ("surge", "when_empty", "empty")
        ),
        (
            Look(configuration={"imageReference": {GALLERIES[0]: GALLERY_IDS[0]}, "extensions": [{}]}, **EMPTY_POOL),
            "when_empty",
            ["the pool is on latest and empty", "extensions (protectedSettings)"],
        ),
    ],
)
def test_what_cannot_work_is_refused_with_the_line_to_paste(look: Look, strategy: str, words: list[str]) -> None:
    action = step(look, strategy)
    assert isinstance(action, Refuse), action
    for word in words:
        assert word in f"{action.reason}\n{action.next_step}"


def test_surge_compares_versions_where_the_nodes_show_them() -> None:
    assert step(pool(shown="1.2.3"), "surge") == Done()
    assert isinstance(step(pool(shown="1.0.3"), "surge"), SetMarker)


def test_a_moment_needs_no_version() -> None:
    since = AllocatedSince.parse("2026-11-24")
    for image in (GALLERY_IDS[0], MANAGED):
        assert isinstance(step(pool(image=image), "surge", target=since), SetMarker)
        assert step(pool(image=image, allocated=NEW), "surge", target=since) == Done()


@pytest.mark.parametrize(
    ("look", "strategy", "text", "what", "warnings"),
    [
        (
            pool("1.0.3"),
            "empty",
            "empties the pool: no task runs, then 0 nodes until about 3 new ones start; 1.0.3 -> 1.2.3",
            "renew",
            ("empties",),
        ),
        (
            pool(),
            "empty",
            f"empties the pool: no task runs, then 0 nodes until about 3 new ones start; {PINS}",
            "renew",
            ("empties",),
        ),
        (
            pool("2.0.0"),
            "empty",
            "ROLLBACK: empties the pool: no task runs, then 0 nodes until about 3 new ones start; 2.0.0 -> 1.2.3",
            "rollback",
            ("rollback", "empties"),
        ),
        (
            pool(**EMPTY_POOL),
            "when_empty",
            f"the pool is empty: this up pins it; {PINS}",
            "repin",
            (),
        ),
        (
            pool(),
            "when_empty",
            f"the pool on latest holds 3 nodes: this up waits until it is empty, at most 2h00m; {PINS}",
            "wait",
            (),
        ),
        (pool("1.2.3"), "empty", "no change needed; the pool is pinned to 1.2.3, 3 nodes", "adopt", ()),
    ],
)
def test_the_preview_says_what_changes_and_that_a_pool_becomes_pinned(
    look: Look, strategy: str, text: str, what: str, warnings: tuple[str, ...]
) -> None:
    """Another first number is another release of the same image, not another product."""
    told = plan(look, strategy)
    assert (told.text, told.what, told.warnings) == (text, what, warnings)


@pytest.mark.parametrize(
    ("pin", "strategy", "behind"),
    [
        ("", "empty", True),
        ("", "when_empty", True),
        ("", "surge", False),
        ("1.2.3", "empty", False),
        ("1.2.3", "when_empty", False),
        ("1.10.0", "when_empty", True),
        ("1.10.0", "surge", False),
        ("1.0.3", "surge", True),
    ],
)
def test_the_outputs_show_a_pin_that_is_not_the_declared_version(pin: str, strategy: str, behind: bool) -> None:
    outputs = of_vm_pool(pool(pin).view, WANTED, strategy)
    assert is_behind(outputs, WANTED, strategy) == behind
    exact = strategy != "surge"
    assert outputs["nodes_behind"] == (3 if behind and exact else 0)
