"""Another image for a pool: each step of ``empty`` and ``when_empty``, the way back, refusals, and the preview."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from batch_os_provider.batch.empty_marker import EmptyMarker, PoolImage
from batch_os_provider.batch.supported_images import SupportedImage
from batch_os_provider.batch.vm_target import AllocatedSince, ImageVersion, Target
from batch_os_provider.batch.wanted_image import WantedImage
from batch_os_provider.preview.plan import Plan, plan_image
from batch_os_provider.rollout.actions import Done, Refuse, Wait
from batch_os_provider.rollout.image_renewal.decide import decide_image
from batch_os_provider.rollout.image_renewal.empty import capacity_back
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
from batch_os_provider.schema.outputs import is_behind, of_vm_pool
from tests.support.simulator import IMAGES
from tests.unit.plurals import wrong_plurals
from tests.unit.rollout.image_renewal.looks import FORMULA, INTERVAL, NEW, SCALED, Look

JAMMY, NOBLE = "canonical:0001-com-ubuntu-server-jammy:22_04-lts", "canonical:ubuntu-24_04-lts:server"
JAMMY_AGENT, NOBLE_AGENT, NEXT_AGENT = (f"batch.node.ubuntu {each}" for each in ("22.04", "24.04", "26.04"))
SERVER = "microsoftwindowsserver:windowsserver:2022-datacenter"
GALLERY = "/subscriptions/s/resourceGroups/r/providers/Microsoft.Compute/galleries/studio/images/farm"
MANAGED = "/subscriptions/s/resourceGroups/r/providers/Microsoft.Compute/images/golden"
WANTED = WantedImage(NOBLE, NOBLE_AGENT)
LATEST = ImageVersion.parse("latest", WANTED)
PINNED = ImageVersion.parse("24.04.202609040", WANTED)
SINCE = AllocatedSince.parse("2026-11-24", WANTED)
EMPTY, WHEN_EMPTY, RESTORE = (ImagePolicy(each) for each in ("empty", "when_empty", "restore"))
HOLD = replace(EMPTY, autoscale="hold")
ZERO: dict[str, Any] = {"sizes": (0, 0), "nodes": 0}
NEW_ONES = PoolImage(NOBLE, "latest", NOBLE_AGENT)
PIN = "22.04.202404090"


def jammy(pin: str = PIN, **more: Any) -> Look:
    """A pool of Ubuntu 22.04."""
    return Look(IMAGES["ubuntu"], pin=pin, **more)


def noble(version: str = "latest", agent: str = NOBLE_AGENT, **more: Any) -> Look:
    """The same pool after its move to Ubuntu 24.04."""
    publisher, offer, sku = NOBLE.split(":")
    reference = {"publisher": publisher, "offer": offer, "sku": sku, "version": version}
    return Look(configuration={"imageReference": reference, "nodeAgentSKUId": agent}, shown="latest", **more)


def mark(pin: str = PIN, size: int = 3, **change: Any) -> EmptyMarker:
    """The marker of a rollout from Ubuntu 22.04 to the latest 24.04."""
    marker = EmptyMarker(size, 0, JAMMY, (pin,)).towards(NEW_ONES, JAMMY_AGENT)
    return replace(marker, **change)


def step(
    look: Look, policy: ImagePolicy = EMPTY, history: ImageHistory | None = None, target: Target = LATEST
) -> ImageAction:
    """The step for a pool; every message in it has right plurals."""
    action = decide_image(look.view, target, policy, history or ImageHistory())
    refuse = action.failure if isinstance(action, Undo) else action
    texts = [refuse.reason, refuse.next_step] if isinstance(refuse, Refuse) else []
    assert not [wrong for text in texts for wrong in wrong_plurals(text)], texts
    return action


def text_of(action: ImageAction) -> str:
    """The whole text of a refusal, or of a failure that is undone first."""
    refuse = action.failure if isinstance(action, Undo) else action
    assert isinstance(refuse, Refuse), action
    return f"{refuse.reason}\n{refuse.next_step}"


DRAINED = ImageHistory(drains=1)
BACK, RESIZED = Repin(PIN, PoolImage(JAMMY, PIN, JAMMY_AGENT)), ResizeAll(3, 0, "back to the size before the rollout")
FAILED = ImageHistory(failure=Refuse("the canary failed", "Fix it"), drains=1, sizes=frozenset({(1, 0)}))
HELD = mark(formula=FORMULA, interval=INTERVAL)
PINNED_GOAL = PoolImage(NOBLE, PINNED.text, NOBLE_AGENT)
STEPS: dict[str, tuple[Look, ImagePolicy, ImageHistory, Target, ImageAction]] = {
    "marker": (jammy(), EMPTY, ImageHistory(), LATEST, SetMarker(mark())),
    "marker, from latest": (jammy("latest"), EMPTY, ImageHistory(), LATEST, SetMarker(mark("latest"))),
    "marker, to a version": (
        jammy(),
        EMPTY,
        ImageHistory(),
        PINNED,
        SetMarker(EmptyMarker(3, 0, JAMMY, (PIN,)).towards(PINNED_GOAL, JAMMY_AGENT)),
    ),
    "marker, with a moment": (jammy(), EMPTY, ImageHistory(), SINCE, SetMarker(mark())),
    "marker, held": (jammy(more=SCALED), HOLD, ImageHistory(), LATEST, SetMarker(HELD)),
    "hold": (jammy(marker=HELD, more=SCALED), HOLD, ImageHistory(), LATEST, HoldAutoscale()),
    "drain": (jammy(marker=mark()), EMPTY, ImageHistory(), LATEST, Drain()),
    "change": (jammy(marker=mark(), **ZERO), EMPTY, DRAINED, LATEST, Repin("latest", NEW_ONES)),
    "change, no longer listed": (
        jammy(marker=mark(), **ZERO),
        EMPTY,
        DRAINED,
        replace(LATEST, image=WantedImage(NOBLE, "", ())),
        Repin("latest", NEW_ONES),
    ),
    "canary": (
        noble(marker=mark(), **ZERO),
        EMPTY,
        DRAINED,
        LATEST,
        ResizeAll(1, 0, f"adding 1 node to prove {NEW_ONES}"),
    ),
    "canary with a moment": (
        noble(marker=mark(), **ZERO),
        EMPTY,
        DRAINED,
        SINCE,
        ResizeAll(1, 0, f"adding 1 node to prove {NEW_ONES}"),
    ),
    "fill": (
        noble(marker=mark(), sizes=(1, 0), nodes=1),
        EMPTY,
        DRAINED,
        LATEST,
        ResizeAll(3, 0, "filling the pool: 3 nodes"),
    ),
    "fill with the formula": (
        noble(marker=HELD, sizes=(1, 0), nodes=1),
        HOLD,
        DRAINED,
        LATEST,
        EnableAutoscale(FORMULA, INTERVAL),
    ),
    "end": (noble(marker=mark()), EMPTY, ImageHistory(sizes=frozenset({(3, 0)})), LATEST, SetMarker(None)),
    "done": (noble(), EMPTY, ImageHistory(), LATEST, Done()),
    "done, spelled otherwise": (
        noble(),
        EMPTY,
        ImageHistory(),
        ImageVersion.parse("latest", WantedImage(NOBLE.upper())),
        Done(),
    ),
    "done at the version": (noble(PINNED.text), EMPTY, ImageHistory(), PINNED, Done()),
    "a moment keeps a pin": (noble(PINNED.text, allocated=NEW), EMPTY, ImageHistory(), SINCE, Done()),
    "a moment is compared too": (
        noble(),
        EMPTY,
        ImageHistory(),
        SINCE,
        SetMarker(EmptyMarker(3, 0, NOBLE, ("latest",))),
    ),
    "pinned by hand": (
        noble("24.04.1"),
        EMPTY,
        ImageHistory(),
        LATEST,
        SetMarker(EmptyMarker(3, 0, NOBLE, ("24.04.1", "latest"))),
    ),
    "another agent": (
        noble(agent=JAMMY_AGENT),
        EMPTY,
        ImageHistory(),
        LATEST,
        SetMarker(EmptyMarker(3, 0, NOBLE, ("latest",)).towards(NEW_ONES, JAMMY_AGENT)),
    ),
    "empty pool": (jammy(**ZERO), EMPTY, ImageHistory(), LATEST, Repin("latest", NEW_ONES)),
    "empty pool, when_empty": (jammy(**ZERO), WHEN_EMPTY, ImageHistory(), PINNED, Repin(PINNED.text, PINNED_GOAL)),
    "empty pool, when_empty, a moment": (jammy(**ZERO), WHEN_EMPTY, ImageHistory(), SINCE, Repin("latest", NEW_ONES)),
    "when_empty waits": (
        jammy(),
        WHEN_EMPTY,
        ImageHistory(),
        LATEST,
        Wait("until empty", f"made from {JAMMY} {PIN} with 3 nodes; waiting until the pool is empty"),
    ),
    "when_empty, a moment": (
        jammy(allocated=NEW),
        WHEN_EMPTY,
        ImageHistory(),
        SINCE,
        Wait("until empty", f"made from {JAMMY} {PIN} with 3 nodes; waiting until the pool is empty"),
    ),
    "when_empty is done": (noble(), WHEN_EMPTY, ImageHistory(), LATEST, Done()),
    "when_empty, old nodes": (
        noble(),
        WHEN_EMPTY,
        ImageHistory(),
        SINCE,
        Wait("until renewed", "scale-in and growth renew the nodes"),
    ),
    "from a managed image": (
        Look(
            configuration={"imageReference": {"virtualMachineImageId": MANAGED}, "nodeAgentSKUId": JAMMY_AGENT},
            shown="none",
        ),
        EMPTY,
        ImageHistory(),
        LATEST,
        SetMarker(EmptyMarker(3, 0, MANAGED, ("latest",)).towards(NEW_ONES, JAMMY_AGENT)),
    ),
    "turned": (jammy(marker=mark()), EMPTY, DRAINED, PINNED, SetMarker(mark().towards(PINNED_GOAL))),
    "back: empty again": (noble(marker=mark(), sizes=(1, 0), nodes=1), EMPTY, FAILED, LATEST, Drain()),
    "back: the old image": (noble(marker=mark(), **ZERO), EMPTY, FAILED, LATEST, BACK),
    "back: the sizes": (jammy(marker=mark(), **ZERO), EMPTY, FAILED, LATEST, RESIZED),
    "restore: the old image": (noble(marker=mark(), **ZERO), RESTORE, ImageHistory(), LATEST, BACK),
    "restore: also from a third image": (
        Look(IMAGES["ubuntu-hpc"], marker=mark(), **ZERO),
        RESTORE,
        ImageHistory(),
        LATEST,
        BACK,
    ),
    "another strategy keeps a declared image": (
        noble(marker=mark(), **ZERO),
        WHEN_EMPTY,
        ImageHistory(),
        LATEST,
        RESIZED,
    ),
    # The program was reverted: without target_image the image is the one from before.
    "reverted": (noble(marker=mark(), sizes=(1, 0), nodes=1), EMPTY, ImageHistory(), ImageVersion.parse(PIN), Drain()),
    "reverted, empty": (noble(marker=mark(), **ZERO), EMPTY, ImageHistory(), AllocatedSince.parse("2026-11-24"), BACK),
    "reverted before the change": (
        jammy(marker=mark()),
        EMPTY,
        ImageHistory(),
        ImageVersion.parse(PIN),
        SetMarker(None),
    ),
}


@pytest.mark.parametrize("name", STEPS)
def test_each_step(name: str) -> None:
    look, policy, history, target, expected = STEPS[name]
    assert step(look, policy, history, target) == expected


OTHER = WantedImage("canonical:ubuntu-26_04-lts:server", NEXT_AGENT)
REFUSED: dict[str, tuple[Look, Target, list[str]]] = {
    "a gallery image without its agent": (
        jammy(),
        ImageVersion.parse("1.2.3", WantedImage(GALLERY)),
        [
            f"the node agent SKU of {GALLERY} cannot be looked up",
            f'Declare node_agent_sku="{JAMMY_AGENT}" if the image',
        ],
    ),
    "not listed": (
        jammy(),
        ImageVersion.parse("latest", WantedImage(NOBLE, "", (), f"{NOBLE}-gen1")),
        [
            f"Batch does not list the image {NOBLE}; a listed image with a similar name is {NOBLE}-gen1",
            "or node_agent_sku if Batch",
        ],
    ),
    "two agents": (
        jammy(),
        ImageVersion.parse("latest", WantedImage(NOBLE, "", (NOBLE_AGENT, NEXT_AGENT))),
        [
            f"Batch lists several node agent SKUs for {NOBLE}",
            f'Declare node_agent_sku="{NOBLE_AGENT}" or node_agent_sku="{NEXT_AGENT}"',
        ],
    ),
    "from Windows to Linux": (
        Look(),
        LATEST,
        ["a move between Windows and Linux would", "Create a new pool from the image"],
    ),
    "from Linux to Windows": (
        jammy(),
        ImageVersion.parse("latest", WantedImage(SERVER, "batch.node.windows amd64")),
        ["a move between Windows and Linux would"],
    ),
    "guarded": (
        jammy(configuration={"extensions": [{}]}),
        LATEST,
        ["(protectedSettings) again", f"Change the image version to {NEW_ONES} where the pool"],
    ),
}


@pytest.mark.parametrize("policy", [EMPTY, WHEN_EMPTY], ids=lambda policy: policy.strategy)
@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_work_is_refused_before_the_pool_is_emptied(name: str, policy: ImagePolicy) -> None:
    look, target, words = REFUSED[name]
    looks = (replace(look, **ZERO),) if "guarded" in name and policy is WHEN_EMPTY else (look, replace(look, **ZERO))
    for each in looks:
        action = step(each, policy, target=target)
        assert isinstance(action, Refuse), action
        for word in words:
            assert word in text_of(action), text_of(action)
        assert isinstance(plan_image(each.view, target, policy, 7200.0), Refuse)


def test_a_move_that_turns_into_one_that_cannot_work_goes_back() -> None:
    action = step(jammy(marker=mark(), **ZERO), target=ImageVersion.parse("1.2.3", WantedImage(GALLERY)))
    assert isinstance(action, Undo)
    assert "cannot be looked up" in text_of(action)


def test_another_image_of_another_person_is_named_with_both() -> None:
    text = text_of(step(Look(IMAGES["ubuntu-hpc"], marker=mark(), pin="22.04.1")))
    assert f"began with {JAMMY} {PIN}, and the pool now has microsoft-dsvm:ubuntu-hpc:2204 22.04.1" in text
    wrong_agent = step(noble(agent="batch.node.el 9", marker=mark(), **ZERO))
    assert "another person or program changed the image" in text_of(wrong_agent)
    theirs = mark().towards(PoolImage(OTHER.name, "latest", OTHER.agent))
    text = text_of(step(jammy(marker=theirs), history=ImageHistory(marker=mark())))
    assert f"this one declares {NEW_ONES}, the other one {OTHER.name} latest" in text
    gone = step(jammy(), history=ImageHistory(marker=mark()))
    assert f"the pool had {JAMMY} {PIN} and 3 nodes, and now {JAMMY} {PIN}" in text_of(gone)


def test_a_failed_canary_says_that_image_and_agent_come_back() -> None:
    broken = noble(marker=mark(), sizes=(1, 0), nodes=({"state": "unusable"},))
    action = step(broken, history=DRAINED)
    assert isinstance(action, Undo)
    assert (
        f"the canary failed: the new node tvm-00 is unusable; this run puts the pool back to {JAMMY} {PIN} and 3"
        in text_of(action)
    )
    stays = step(jammy(marker=mark(), sizes=(0, 0), nodes=1), history=DRAINED)
    assert "no task was stopped; this run puts the pool back to 3 nodes" in text_of(stays)
    assert capacity_back(jammy(marker=mark(), **ZERO).view) == ResizeAll(
        3, 0, "back to the size before the rollout: the time is up"
    )
    assert capacity_back(noble(marker=mark(), **ZERO).view) is None


def test_a_marker_without_the_agent_restores_only_a_version() -> None:
    old = EmptyMarker(3, 0, JAMMY, (PIN, "22.04.202405140"))
    assert "only a version is restored" in text_of(step(noble(marker=old, **ZERO), RESTORE))


TO = f"{JAMMY} {PIN} -> {NOBLE} latest"
CONTINUES = "this up continues an unfinished rollout: the pool has 1 of 3 nodes"
EMPTIES = "empties the pool: no task runs, then 0 nodes until about 3 new ones start"
TO_SERVER = f"microsoftwindowsserver:windowsserver:2019-datacenter-core latest -> {SERVER} 20348.2461.240510"
AGENTS = f"node agent {JAMMY_AGENT} -> {NOBLE_AGENT}"
COMES_BACK = "canary of 1 new node: if it fails, the old image and node agent come back"
TWO_COME_BACK = COMES_BACK.replace("1 new node", "2 new nodes")


@pytest.mark.parametrize(
    ("look", "policy", "target", "text", "what", "warnings"),
    [
        (
            jammy(),
            EMPTY,
            LATEST,
            f"ANOTHER IMAGE: {EMPTIES}; {AGENTS}; {COMES_BACK}; {TO}",
            "renew",
            ("empties", "another image"),
        ),
        (
            jammy(),
            EMPTY,
            ImageVersion.parse("latest", WantedImage(NOBLE)),
            f"ANOTHER IMAGE: {EMPTIES}; node agent {JAMMY_AGENT} -> the one that Batch lists; {COMES_BACK}; {TO}",
            "renew",
            ("empties", "another image"),
        ),
        (
            Look(IMAGES["windows-2019"], pin="latest"),
            replace(EMPTY, canary=2),
            ImageVersion.parse("20348.2461.240510", WantedImage(SERVER, "batch.node.windows amd64")),
            f"ANOTHER IMAGE: {EMPTIES}; node agent batch.node.windows amd64 as before; {TWO_COME_BACK}; {TO_SERVER}",
            "renew",
            ("empties", "another image"),
        ),
        (
            noble(marker=mark(), sizes=(1, 0), nodes=1),
            EMPTY,
            LATEST,
            f"ANOTHER IMAGE: {CONTINUES}; {AGENTS}; {COMES_BACK}; {TO}",
            "renew",
            ("empties", "another image"),
        ),
        (
            jammy(**ZERO),
            EMPTY,
            LATEST,
            f"ANOTHER IMAGE: the pool is empty: this up changes its image; {AGENTS}; {TO}",
            "repin",
            ("another image",),
        ),
        (
            jammy(),
            WHEN_EMPTY,
            LATEST,
            f"ANOTHER IMAGE: the pool holds 3 nodes: this up waits until it is empty, at most 2h00m; {AGENTS}; {TO}",
            "wait",
            ("another image",),
        ),
        (
            jammy(allocated=NEW, **ZERO),
            WHEN_EMPTY,
            SINCE,
            f"ANOTHER IMAGE: the pool is empty: this up changes its image; {AGENTS}; {TO}",
            "repin",
            ("another image",),
        ),
        (noble(), EMPTY, LATEST, "no change needed; the pool is on latest, 3 nodes", "adopt", ()),
    ],
)
def test_the_preview_names_the_move_its_canary_and_the_way_back(
    look: Look, policy: ImagePolicy, target: Target, text: str, what: str, warnings: tuple[str, ...]
) -> None:
    told = plan_image(look.view, target, policy, 7200.0)
    assert isinstance(told, Plan), told
    assert (told.text, told.what, told.warnings) == (text, what, warnings)
    assert wrong_plurals(told.text) == []
    moves = "another image" in warnings
    assert bool(told.from_image) == bool(told.to_image) == moves
    assert not moves or told.to_image == target.image.name  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("look", "target", "behind", "nodes"),
    [
        (jammy(), LATEST, True, 3),
        (jammy(**ZERO), LATEST, True, 0),
        (jammy(), SINCE, True, 3),
        (noble(), LATEST, False, 0),
        (noble(), SINCE, True, 3),
        (noble(allocated=NEW), SINCE, False, 0),
        (noble("24.04.1"), LATEST, True, 3),
        (noble(PINNED.text), PINNED, False, 0),
        (noble("24.04.999999999"), PINNED, True, 3),
        (noble(agent=JAMMY_AGENT), LATEST, True, 3),
    ],
)
def test_outputs_show_another_image_and_another_agent(look: Look, target: Target, behind: bool, nodes: int) -> None:
    outputs = of_vm_pool(look.view, target, "empty")
    assert (is_behind(outputs, target, "empty"), outputs["nodes_behind"]) == (behind, nodes)


def test_the_agent_is_looked_up_by_the_name_without_case() -> None:
    listed = (SupportedImage("Canonical", "ubuntu-24_04-lts", "server", NOBLE_AGENT),)
    found = replace(LATEST, image=WantedImage(NOBLE.upper()).looked_up(listed, jammy().view.pool))
    action = step(jammy(**ZERO), target=found)
    assert action == Repin("latest", PoolImage(NOBLE.upper(), "latest", NOBLE_AGENT))


def test_the_more_of_a_configuration_stays() -> None:
    more: Mapping[str, Any] = {"dataDisks": [{"lun": 0}]}
    assert step(jammy(configuration=more)) == SetMarker(mark())
