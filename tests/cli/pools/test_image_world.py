"""Images as teams have them, on the real CLI: HPC, RHEL, Ubuntu and Windows 2019 pools in one stack and one `up`."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING, Any

from tests.support import fork_server
from tests.support.simulator import IMAGES, TARGET, Simulator, job, vm_pool

if TYPE_CHECKING:
    from tests.support.stack import Stack

TIMED_OUT = {
    "code": "AllocationTimedout",
    "message": "Desired number of dedicated nodes could not be allocated as the resize timeout was reached",
}


def batch_os(sim: Simulator, *arguments: str) -> str:
    """What a read-only command says."""
    environment = {"PATH": str(fork_server.BIN), "COLUMNS": "160", **sim.environment}
    done = subprocess.run(  # noqa: S603 - the command under test
        [*fork_server.command("batch-os"), *arguments],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env=environment,
    )
    return " ".join(done.stdout.split())


def test_pools_as_teams_have_them(sim: Simulator, stack: Stack) -> None:
    """Renewed, pinned, undone, adopted and left alone: each version is spelled as it was declared, everywhere."""
    hpc, alma, rhel, ubuntu, older = (
        IMAGES[name] for name in ("ubuntu-hpc", "almalinux-hpc", "rhel", "ubuntu", "windows-2019")
    )
    stopped = vm_pool("stopped", nodes=3, image=older)
    stopped["nodes"][1] |= {"state": "deallocated"}
    sim.seed(
        vm_pool("hpc", nodes=2, image=hpc),
        vm_pool("alma", nodes=2, image=alma, simulator={"allocation": {"version": "latest"}}),
        vm_pool("settled", nodes=3, image=rhel, exact=rhel.target, resizeErrors=[TIMED_OUT]),
        vm_pool("pinned", nodes=0, image=ubuntu, version=ubuntu.behind),
        stopped,
        images=[image.row for image in IMAGES.values()],
        jobs=[job("hpc", *[90] * 4)],
    )
    declared: dict[str, dict[str, Any]] = {
        "hpc": {"target_image_version": hpc.target},
        "alma": {"target_image_version": alma.target},
        "settled": {"target_image_version": rhel.target},
        "pinned": {"target_image_version": ubuntu.target},
        "stopped": {"target_image_version": older.target},
    }
    stack.declare_images(sim, TARGET, **declared)
    shown = stack.preview().ok().flat
    assert re.search(rf"2 of 2 nodes behind, .*?; {hpc.behind} -> {hpc.target}", shown), shown
    assert f"this up re-pins it; {ubuntu.behind} -> {ubuntu.target}" in shown
    assert "2 of 2 nodes behind, 1 deallocated" in shown
    assert "its last resize ended with an error (AllocationTimedout: " in shown
    assert not sim.writes()
    sim.speed(120)
    failed = stack.up().failed()
    assert failed.text.count("**creating failed**") == 1
    assert (
        "shows 'latest' in place of a version number, so it cannot be compared; no old node was touched" in failed.flat
    )
    done = r"done, 2 nodes at the target or newer, \w+"
    assert re.search(rf"{done}; {hpc.behind} -> {hpc.target}", failed.flat), failed.text
    assert "2 nodes at the target or newer, 1 deallocated" in failed.flat
    assert [node["id"] for node in sim.pool("alma")["nodes"]] == ["tvm-001", "tvm-002"]
    assert not sim.pool("alma").get("metadata")
    assert sim.versions("hpc") == [hpc.target] * 2
    assert sim.versions("settled") == [rhel.target] * 3
    assert sorted(sim.versions("stopped")) == [older.behind, older.target, older.target]
    assert sim.pool("pinned")["virtualMachineConfiguration"]["imageReference"]["version"] == ubuntu.target
    assert not [entry for entry in sim.writes() if entry["pool"] == "settled"]
    sim.advance(1000)
    sim.assert_tasks_ran_once("hpc")
    outputs = stack.all_outputs()
    assert (outputs["hpc"]["target_image_version"], outputs["hpc"]["oldest_node_version"]) == (hpc.target,) * 2
    assert (outputs["pinned"]["target_image_version"], outputs["pinned"]["pool_image_version"]) == (ubuntu.target,) * 2
    # A change of nothing but the timeout, with the old error still there; the canary is what it should be now.
    sim.change("alma", simulator={})
    stack.declare_images(sim, TARGET, **{name: {**each, "timeout": "3h"} for name, each in declared.items()})
    stack.up().ok()
    assert sim.versions("alma") == [alma.target] * 2
    assert sim.pool("settled")["resizeErrors"] == [TIMED_OUT]
    stack.refresh("--expect-no-changes").ok()


def test_pools_that_cannot_be_compared_are_shown_as_they_are(sim: Simulator, stack: Stack) -> None:
    """tests/inprocess/test_refused_previews.py has how such a pool is refused."""
    hpc, older = IMAGES["ubuntu-hpc"], IMAGES["windows-2019"]
    shared = {"sharedGalleryImageId": "/sharedGalleries/team/images/render/versions/1.0.3"}
    gallery = vm_pool("gallery", image=hpc)
    gallery["virtualMachineConfiguration"]["imageReference"] = shared
    for node in gallery["nodes"]:
        node["virtualMachineInfo"] = {"imageReference": shared}
    sim.seed(
        vm_pool("words", image=hpc, exact="latest"),
        vm_pool("product", image=older),
        gallery,
        images=[image.row for image in IMAGES.values()],
    )
    stack.declare_images(sim, TARGET, product={})
    warned = stack.preview().ok().flat
    assert (
        f"the pool runs {older.behind} and {TARGET} is declared: another first number means another product" in warned
    )
    status = batch_os(sim, "status", sim.endpoint)
    assert "2 x latest" in status
    assert "VM,/sharedGalleries/team/images/render" in status.replace(" ", "")
    assert "1.0.3" in status
    program = batch_os(sim, "adopt", sim.endpoint).replace(" # ", " ")
    assert 'pool_id="product"' in program
    assert program.count('nodes_since="2018-11-01"') == 1, "the one whose nodes show no version"
    assert 'target_image_version="1.0.3"' in program, "the pin of a gallery image is its version"
    assert not sim.writes()
