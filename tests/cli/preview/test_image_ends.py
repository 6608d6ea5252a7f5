"""The end of images on the real CLI: pools side by side in one preview, its comment, and a list that is refused."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from tests.cli.commands.test_command import batch_os as command
from tests.cli.commands.test_comment import batch_os as comment
from tests.cli.commands.test_comment import preview
from tests.support.simulator import IMAGES, Simulator, vm_pool

if TYPE_CHECKING:
    from tests.support.stack import Stack

LIST = "Account_ListSupportedImages"
POOLS = {
    "films": IMAGES["windows-2019"],
    "etl-22-04": IMAGES["ubuntu"],
    "CFD_2026": IMAGES["ubuntu-hpc"],
    "mpi": IMAGES["almalinux-hpc"],
}


def day(days: int) -> str:
    return (datetime.now(UTC) + timedelta(days=days)).date().isoformat()


def declare(sim: Simulator, stack: Stack, *, renewed: bool = False) -> dict[str, str]:
    """Declare four pools, whose images end at different days; returns the days."""
    ends = {"films": day(40), "etl-22-04": day(-3), "CFD_2026": day(400)}
    rows = [
        {**image.row, "batchSupportEndOfLife": f"{ends[name]}T00:00:00Z"}
        for name, image in POOLS.items()
        if name in ends
    ]
    pools = [
        vm_pool(name, image=image, exact=image.target if renewed else image.behind) for name, image in POOLS.items()
    ]
    sim.seed(*pools, images=[*rows, POOLS["mpi"].row], supportedImages=None)
    targets: dict[str, Any] = {name: {"target_image_version": image.target} for name, image in POOLS.items()}
    stack.declare_images(sim, "", **targets)
    return ends


def test_a_preview_of_several_pools_names_each_end_and_the_gates_stop(sim: Simulator, stack: Stack) -> None:
    ends = declare(sim, stack)
    file = preview(stack)
    shown = comment(f"dev={file}", "--json", "--fail-on", "image-ending,image-ended,image-unlisted,image-not-checked")
    assert shown.code == 3
    assert shown.stderr.splitlines() == [
        "--fail-on image-ending: dev, etl-22-04",
        "--fail-on image-ending: dev, films",
        "--fail-on image-ended: dev, etl-22-04",
    ]
    rows = {row["poolId"]: row for row in json.loads(shown.stdout)["stacks"][0]["pools"]}
    assert {name: row["imageEnds"] for name, row in rows.items()} == {**ends, "mpi": ""}
    codes = {"films": ["image ending"], "etl-22-04": ["image ended"], "CFD_2026": [], "mpi": []}
    assert {name: row["warnings"] for name, row in rows.items()} == codes
    said = {name: row["said"][0] for name, row in rows.items()}
    assert {name: each["severity"] == "warning" for name, each in said.items()} == {
        name: bool(code) for name, code in codes.items()
    }
    films = POOLS["films"]
    assert (
        f"image {films.publisher}:{films.offer}:{films.sku} of pool films ends on {ends['films']}, in "
        in said["films"]["text"]
    )
    assert 'declare another image, such as target_image="canonical:ubuntu-24_04-lts:' in said["etl-22-04"]["text"]
    assert f"image ended {ends['etl-22-04']} |" in comment(f"dev={file}").stdout
    assert len(sim.requests(LIST)) == 1
    status = command(sim, "status", sim.endpoint, "--json", "--fail-on", "image-ended")
    assert (status.code, status.err) == (3, f"--fail-on image-ended: {sim.endpoint}/pools/etl-22-04\n")
    found = {each["id"]: each["image_ends"] for each in status.document["accounts"][0]["pools"]}
    assert found == {**ends, "mpi": None}


def test_a_list_that_is_refused_fails_no_preview_and_no_up(sim: Simulator, stack: Stack) -> None:
    declare(sim, stack, renewed=True)
    sim.fault(LIST, {"kind": "status", "status": 403, "code": "InsufficientAccountPermissions"})
    done = stack.up().ok()
    assert "no change needed" in done.flat
    line = f"{sim.endpoint}: could not check when the support of images ends: listing supported images failed: "
    assert line in done.flat
    assert "warning:" not in done.text
    refused = len(sim.requests(LIST))
    assert refused >= 1
    stack.refresh().ok()
    assert len(sim.requests(LIST)) == refused, "a refresh does not ask"
