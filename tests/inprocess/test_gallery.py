"""Pools with gallery images over the wire: the body of the PATCH, the whole way of ``empty``, and the way back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from batch_os_provider.errors import PermanentError, RefusedError
from batch_os_provider.schema.declared import ImagePolicy
from batch_os_provider.simulator.world.world import World
from tests.inprocess.switches import Place
from tests.support.simulator import job, vm_pool

PRIVATE = "/subscriptions/s-1/resourceGroups/Farm_RG/providers/Microsoft.Compute/galleries/studio/images/render"
SHARED = "/SharedGalleries/0a1b-STUDIO/Images/cfd"
COMMUNITY = "/communityGalleries/hpc-1f2e/images/alma_8"
EACH = pytest.mark.parametrize(
    ("key", "image"),
    [("virtualMachineImageId", PRIVATE), ("sharedGalleryImageId", SHARED), ("communityGalleryImageId", COMMUNITY)],
)
SHOWS = pytest.mark.parametrize("shows", ["absent", "present"])
SETUP = {"commandLine": "/bin/setup", "waitForSuccess": True}


@dataclass
class GalleryPlace(Place):
    """A place that remembers each image reference that the pool got by a PATCH."""

    references: list[dict[str, Any]] = field(default_factory=list)

    def watch(self) -> None:
        """Begin to remember."""
        now, plans = self.reference, self.account.hook

        def after(moment: str, method: str, path: str) -> None:
            plans(moment, method, path)
            if moment == "after" and method == "PATCH" and self.reference != (self.references or [now])[-1]:
                self.references.append(self.reference)

        self.account.hook = after

    @property
    def reference(self) -> dict[str, Any]:
        """The image reference of the pool now."""
        machine = self.pool().virtual_machine or {}
        assert machine["nodeAgentSKUId"], "a PATCH keeps the rest of the configuration"
        return dict(machine["imageReference"])


def place_of(
    image: str, key: str, *, shows: str = "absent", nodes: int = 3, version: str = "", **pool: Any
) -> GalleryPlace:
    """A pool of this gallery image; ``latest`` of the image is 2.0.0."""
    place = GalleryPlace({"galleryExactVersion": shows})
    seed = vm_pool("render", nodes=nodes, **pool)
    reference = {key: f"{image}/versions/{version}" if version else image}
    seed["virtualMachineConfiguration"]["imageReference"] = reference
    for node in seed["nodes"]:
        node["virtualMachineInfo"] = {"imageReference": reference}
    versions = [{"version": each} for each in ("1.0.3", "1.2.3", "2.0.0")]
    place.seed(seed, images=[{key: image, "versions": versions}], jobs=[job("render", 60, 90)] if nodes else [])
    place.watch()
    return place


def assert_whole(place: GalleryPlace, nodes: int) -> None:
    """Size as before, no marker, each task ran once."""
    pool = place.pool()
    assert (len(pool.nodes), pool.target_dedicated, pool.allocation) == (nodes, nodes, "steady")
    assert not pool.props.get("metadata")
    place.tasks_done()
    assert {task.requeues for each in place.world.jobs.values() for task in each.tasks.values()} <= {0}


@EACH
@SHOWS
@pytest.mark.parametrize("version", ["", "1.0.3", "2.0.0"])
def test_empty_brings_the_declared_version(key: str, image: str, shows: str, version: str) -> None:
    place = place_of(image, key, shows=shows, version=version)
    place.renew(ImagePolicy("empty"), target="1.2.3").done()
    assert place.references == [{key: f"{image}/versions/1.2.3"}]
    assert_whole(place, 3)
    written = len(place.writes())
    for strategy in ("empty", "when_empty", "surge"):
        place.renew(ImagePolicy(strategy), target="1.2.3").done()  # type: ignore[arg-type]
    assert len(place.writes()) == written, "a pool at its pin needs nothing"


@EACH
@SHOWS
@pytest.mark.parametrize("version", ["", "1.0.3"])
def test_a_canary_that_fails_brings_the_image_id_of_before_back(key: str, image: str, shows: str, version: str) -> None:
    fails = {"allocation": {"startTask": "fail", "count": 1}}
    place = place_of(image, key, shows=shows, version=version, startTask=SETUP, simulator=fails)
    before = {key: f"{image}/versions/{version}" if version else image}
    place.renew(ImagePolicy("empty"), target="1.2.3").failed(RefusedError, "the canary failed")
    assert place.references == [{key: f"{image}/versions/1.2.3"}, before]
    assert_whole(place, 3)


@EACH
def test_a_version_that_the_gallery_does_not_have_names_the_command_that_lists_them(key: str, image: str) -> None:
    place = place_of(image, key, version="1.0.3", nodes=0)
    place.renew(ImagePolicy("when_empty"), target="1.9.9").failed(
        PermanentError,
        "List the versions with `az sig image-version list",
        f"--gallery-image-definition {image.rsplit('/', maxsplit=1)[-1]}`",
    )
    place.renew(ImagePolicy("when_empty"), target="1.2.3").done()
    assert place.references[-1] == {key: f"{image}/versions/1.2.3"}
    assert_whole(place, 0)


@SHOWS
def test_surge_needs_nodes_that_show_a_version(shows: str) -> None:
    place = place_of(PRIVATE, "virtualMachineImageId", shows=shows)
    for node in place.pool().nodes.values():
        node.image = {**(node.image or {}), **({"exactVersion": "1.0.3"} if shows == "present" else {})}
    ending = place.renew(ImagePolicy("surge", 2), target="1.2.3")
    if shows == "absent":
        ending.failed(RefusedError, "Batch shows no version of 3 of 3 nodes", 'Declare strategy="empty"')
        assert not place.writes()
        return
    ending.done()
    assert {node.image["exactVersion"] for node in place.pool().nodes.values() if node.image} == {"2.0.0"}
    assert_whole(place, 3)


def test_another_image_of_the_gallery_is_the_work_of_another_person() -> None:
    """The version of a rollout is the end of the id; another definition in it is another image."""
    place = place_of(PRIVATE, "virtualMachineImageId", version="1.0.3")

    def change(world: World) -> None:
        machine = dict(world.pool("render").virtual_machine or {})
        machine["imageReference"] = {"virtualMachineImageId": f"{PRIVATE}-gpu/versions/1.0.3"}
        world.pool("render").virtual_machine = machine

    place.just_before("PATCH", "", lambda _world: place.just_before("POST", "/resize", change))
    place.renew(ImagePolicy("empty"), target="1.2.3").failed(
        RefusedError, "another person or program changed the image", f"{PRIVATE}-gpu 1.0.3"
    )
    assert not place.references
