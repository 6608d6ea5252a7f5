"""Gallery images on the real CLI: private, shared and community images side by side, in both directions."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from tests.support.door_marks import native_door
from tests.support.simulator import Simulator, job, vm_pool

if TYPE_CHECKING:
    from tests.support.stack import Stack

pytestmark = native_door

PRIVATE = "/subscriptions/s-1/resourceGroups/Farm_RG/providers/Microsoft.Compute/galleries/studio/images/render"
SHARED = "/SharedGalleries/0a1b-STUDIO/Images/cfd"
COMMUNITY = "/communityGalleries/hpc-1f2e/images/alma_8"
KEYS = {PRIVATE: "virtualMachineImageId", SHARED: "sharedGalleryImageId", COMMUNITY: "communityGalleryImageId"}
BECOMES = "the image id gets the version, so new nodes no longer get the newest; latest -> 1.2.3"


def gallery_pool(pool_id: str, image: str, version: str, nodes: int) -> dict[str, Any]:
    """A pool of this gallery image; without ``version`` its id has none."""
    pool = vm_pool(pool_id, nodes=nodes)
    reference = {KEYS[image]: f"{image}/versions/{version}" if version else image}
    pool["virtualMachineConfiguration"]["imageReference"] = reference
    for node in pool["nodes"]:
        node["virtualMachineInfo"] = {"imageReference": reference}
    return pool


def test_pools_of_each_gallery_get_a_version_and_go_back(sim: Simulator, stack: Stack) -> None:
    versions = [{"version": each} for each in ("1.0.3", "1.2.3", "2.0.0")]
    sim.seed(
        gallery_pool("private", PRIVATE, "1.0.3", nodes=3),
        gallery_pool("Shared_2", SHARED, "", nodes=1),
        gallery_pool("community", COMMUNITY, "", nodes=0),
        images=[{key: image, "versions": versions} for image, key in KEYS.items()],
        jobs=[job("private", 200, 90), job("Shared_2", 60)],
    )
    empty = {"strategy": "empty"}
    pools = {"private": empty, "Shared_2": empty, "community": {"strategy": "when_empty"}}
    stack.declare_images(sim, "1.2.3", **{**pools, "Shared_2": {"strategy": "surge"}})
    refused = stack.run("preview").failed().flat
    assert f"a gallery image without a version ({SHARED}), and Batch shows no version of 1 of 1 nodes" in refused
    assert 'Next: Declare strategy: "empty": `up` pins the pool to the version. Or declare nodesSince: "' in refused
    stack.declare_images(sim, "1.2.3", **pools)
    shown = stack.preview().ok().flat
    assert re.search(
        r"empties the pool: 2 running tasks finish first .*? about 3 new ones start; 1\.0\.3 -> 1\.2\.3", shown
    )
    assert f"about 1 new one starts; {BECOMES}" in shown
    assert f"the pool is empty: this up pins it; {BECOMES}" in shown
    assert not sim.writes()
    sim.speed(200)
    done = stack.up().ok().flat
    assert re.search(r"done, 3 nodes, pinned to 1\.2\.3, \w+; 1\.0\.3 -> 1\.2\.3", done), done
    names = {"private": PRIVATE, "Shared_2": SHARED, "community": COMMUNITY}
    for pool_id, image in names.items():
        pool = sim.pool(pool_id)
        assert pool["virtualMachineConfiguration"]["imageReference"] == {KEYS[image]: f"{image}/versions/1.2.3"}
        assert pool.get("metadata") in (None, []), pool_id
    sim.advance(1000)
    sim.assert_tasks_ran_once("private")
    outputs = stack.all_outputs()
    assert {outputs[name]["pool_image_version"] for name in names} == {"1.2.3"}
    assert {outputs[name]["nodes_behind"] for name in names} == {0}
    stack.refresh("--expect-no-changes").ok()
    stack.declare_images(sim, "1.0.3", **pools)
    back = stack.preview().ok().flat
    assert re.search(r"ROLLBACK: empties the pool: .*?; 1\.2\.3 -> 1\.0\.3", back), back
