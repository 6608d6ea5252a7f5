"""Another image over the wire: the agent that is looked up, the one PATCH, the way back, and what Batch refuses."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from batch_os_provider.batch.vm_target import AllocatedSince, ImageVersion, Target
from batch_os_provider.batch.wanted_image import WantedImage
from batch_os_provider.errors import BatchOsError, PermanentError, RefusedError
from batch_os_provider.schema.declared import ImagePolicy
from tests.inprocess.switches import Place
from tests.support.simulator import IMAGES, NOBLE, WINDOWS_2016, Image, job, vm_pool
from tests.support.trial import Trial, move_shape

JAMMY, WINDOWS_2022 = IMAGES["ubuntu"], IMAGES["windows-2022"]
GALLERY = "/subscriptions/s-1/resourceGroups/Farm_RG/providers/Microsoft.Compute/galleries/studio/images/render"
SETUP = {"commandLine": "/bin/setup", "waitForSuccess": True}
EMPTY, WHEN_EMPTY = ImagePolicy("empty"), ImagePolicy("when_empty")
Made = tuple[dict[str, Any], str]


def name_of(image: Image) -> str:
    """``publisher:offer:sku``."""
    return ":".join(image.reference.values())


def at(image: Image, version: str) -> Made:
    """What a pool of this image and version shows: its reference, and its agent."""
    return {**image.reference, "version": version}, image.agent


def wanted(image: Image, version: str = "latest", agent: str = "") -> Target:
    """A program that declares this image."""
    return ImageVersion.parse(version, WantedImage(name_of(image), agent))


@dataclass
class MovePlace(Place):
    """A place that remembers each image, with its agent, that the pool got by a PATCH."""

    seen: list[Made] = field(default_factory=list)

    def watch(self) -> None:
        """Begin to remember."""
        now, plans = self.made, self.account.hook

        def after(moment: str, method: str, path: str) -> None:
            plans(moment, method, path)
            if moment == "after" and method == "PATCH" and self.made != (self.seen or [now])[-1]:
                self.seen.append(self.made)

        self.account.hook = after

    @property
    def made(self) -> Made:
        """The image and the agent of the pool now."""
        machine = self.pool().virtual_machine or {}
        assert machine["dataDisks"] == [{"lun": 0, "diskSizeGB": 64}], "a PATCH keeps the rest of the configuration"
        return dict(machine["imageReference"]), str(machine["nodeAgentSKUId"])

    def whole(self, nodes: int = 3) -> None:
        """Size as before, no marker, each task ran once."""
        pool = self.pool()
        assert (len(pool.nodes), pool.target_dedicated, pool.allocation) == (nodes, nodes, "steady")
        assert not pool.props.get("metadata")
        self.tasks_done()
        assert {task.requeues for each in self.world.jobs.values() for task in each.tasks.values()} <= {0}


def place_of(image: Image, version: str, *, nodes: int = 3, setting: Any = None, **pool: Any) -> MovePlace:
    """A pool of this image, beside images that it may move to."""
    place = MovePlace(setting or {})
    seed = vm_pool("render", nodes=nodes, image=image, version=version, **pool)
    seed["virtualMachineConfiguration"]["dataDisks"] = [{"lun": 0, "diskSizeGB": 64}]
    rows = [each.row for each in (JAMMY, NOBLE, WINDOWS_2016, WINDOWS_2022)]
    rows.append({"virtualMachineImageId": GALLERY, "versions": [{"version": "1.2.3"}]})
    place.seed(seed, images=rows, jobs=[job("render", 60, 90)] if nodes else [])
    place.watch()
    return place


@pytest.mark.parametrize(
    ("before", "pin", "after", "version"),
    [
        (JAMMY, JAMMY.behind, NOBLE, "latest"),
        (JAMMY, "latest", NOBLE, NOBLE.target),
        (WINDOWS_2016, "latest", WINDOWS_2022, WINDOWS_2022.behind),
        (WINDOWS_2016, WINDOWS_2016.target, WINDOWS_2022, "latest"),
    ],
)
def test_a_pool_moves_in_one_patch_and_goes_back(before: Image, pin: str, after: Image, version: str) -> None:
    place = place_of(before, pin)
    place.renew(EMPTY, target=wanted(after, version)).done()
    assert place.seen == [at(after, version)]
    place.whole()
    written = len(place.writes())
    for policy in (EMPTY, WHEN_EMPTY):
        place.renew(policy, target=wanted(after, version)).done()
    assert len(place.writes()) == written, "a pool of its image needs nothing"
    # The pull request is reverted, and the program then still names the image from before.
    place.renew(EMPTY, target=wanted(before, pin)).done()
    assert place.seen[1:] == [at(before, pin)]


@pytest.mark.parametrize("policy", [EMPTY, WHEN_EMPTY], ids=lambda policy: policy.strategy)
def test_an_empty_pool_moves_at_once(policy: ImagePolicy) -> None:
    place = place_of(JAMMY, "latest", nodes=0)
    place.renew(policy, target=AllocatedSince.parse("2024-05-01", WantedImage(name_of(NOBLE)))).done()
    assert place.seen == [at(NOBLE, "latest")]
    place.whole(0)


def test_a_gallery_image_gets_the_declared_agent_and_a_program_without_the_image_keeps_it() -> None:
    place = place_of(JAMMY, JAMMY.behind)
    target = ImageVersion.parse("1.2.3", WantedImage(GALLERY, NOBLE.agent))
    place.renew(EMPTY, target=target).done()
    assert place.seen == [({"virtualMachineImageId": f"{GALLERY}/versions/1.2.3"}, NOBLE.agent)]
    place.whole()
    place.renew(EMPTY, target="1.2.3").done()
    assert len(place.seen) == 1


@pytest.mark.parametrize("pin", ["latest", JAMMY.behind])
def test_a_canary_that_fails_brings_image_and_agent_back(pin: str) -> None:
    fails = {"allocation": {"startTask": "fail", "count": 1}}
    place = place_of(JAMMY, pin, startTask=SETUP, simulator=fails)
    back = f"this run puts the pool back to {name_of(JAMMY)} {pin} and 3 nodes"
    ending = place.renew(EMPTY, target=wanted(NOBLE))
    ending.failed(RefusedError, "the canary failed", back)
    assert place.seen == [at(NOBLE, "latest"), at(JAMMY, pin)]
    place.whole()


@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [
        ("InvalidPropertyValue", BatchOsError, "400 InvalidPropertyValue"),
        ("accepted", RefusedError, "the canary failed: the new node"),
    ],
)
def test_a_wrong_agent_is_refused_or_makes_nodes_unusable_and_the_pool_goes_back(
    code: str, kind: type[BatchOsError], words: str
) -> None:
    place = place_of(JAMMY, JAMMY.behind, setting={"agentOfAnotherImage": code})
    place.renew(EMPTY, target=wanted(NOBLE, agent="batch.node.el 9")).failed(kind, words)
    assert place.made == at(JAMMY, JAMMY.behind)
    place.whole()
    place.renew(EMPTY, target=wanted(NOBLE)).done()
    assert place.seen[-1] == at(NOBLE, "latest")


def test_a_list_that_cannot_be_read_is_tried_again_and_ends_before_the_first_write() -> None:
    place = place_of(JAMMY, JAMMY.behind)
    place.fault("Account_ListSupportedImages", kind="status", status=503)
    place.renew(EMPTY, target=wanted(NOBLE)).done()
    closed = place_of(JAMMY, JAMMY.behind)
    closed.account.faults.add(
        {"match": {"operation": "Account_ListSupportedImages"}, "effect": {"kind": "status", "status": 403}}
    )
    closed.renew(EMPTY, target=wanted(NOBLE)).failed(BatchOsError, "403")
    assert not closed.writes()
    # With the agent in the program nothing has to be looked up.
    closed.renew(EMPTY, target=wanted(NOBLE, agent=NOBLE.agent)).done()


@pytest.mark.parametrize(("limit", "is_refused"), [(256, True), (4096, False)])
def test_a_marker_of_two_long_names_changes_nothing_where_it_is_too_long(limit: int, is_refused: bool) -> None:
    place = place_of(JAMMY, JAMMY.behind, setting={"metadataValueLimit": limit})
    ending = place.renew(EMPTY, target=ImageVersion.parse("1.2.3", WantedImage(GALLERY, NOBLE.agent)))
    if is_refused:
        ending.failed(PermanentError, "nothing was changed; the marker has 3", "shorten the autoscale formula")
        assert not place.seen
    else:
        ending.done()
    place.whole()


def test_an_image_that_batch_does_not_list_is_refused_with_a_similar_name() -> None:
    place = place_of(JAMMY, JAMMY.behind)
    target = ImageVersion.parse("latest", WantedImage(f"{name_of(NOBLE)}-gen3"))
    place.renew(EMPTY, target=target).failed(
        RefusedError, f"a listed image with a similar name is {name_of(NOBLE)}", "or node_agent_sku if Batch accepts"
    )
    assert not place.writes()


def test_restore_brings_the_image_from_before_back_after_a_kill() -> None:
    """The process dies as soon as the pool has its new image, and while the canary starts."""
    first = Trial(move_shape(60, nodes=2))
    before = first.end.image
    images: list[tuple[str, str]] = []
    first.at_moment = lambda _number, _name: images.append(first.end.image)
    assert first.up().succeeded
    changed = next(number for number, image in enumerate(images) if image != before)
    for moment in (changed, changed + 8):
        trial = Trial(move_shape(60, nodes=2))
        assert trial.up(crash_at=moment).crashed
        assert trial.end.image == (name_of(NOBLE), NOBLE.agent)
        trial.shape = replace(trial.shape, strategy="restore")
        trial.up()
        assert (trial.end.image, trial.end.pin, trial.end.target) == (before, JAMMY.behind, 2)
        assert not trial.end.marked
