"""Scenario of command.md: a new image is known, `outdated` shows it, and `bump` writes it into a program."""

from __future__ import annotations

from datetime import UTC, datetime

from scripts.docs.ground import NEW, OLD, Ground, batch_os, paas_pool
from scripts.docs.pages import Outputs, transcript
from tests.support.simulator import IMAGES, vm_pool

SUBSCRIPTION = "6f1d7a3e-0000-4000-8000-3b5f7c9d1e2a"
HPC, NEWER_HPC = "22.04.2024102301", "22.04.2026082801"
WINDOWS = "20348.2461.260810"
PROGRAM = """\
import pulumi
from batch_os_provider import PoolImageVersion, PoolOsVersion

at = pulumi.Config().require("endpoint")

PoolImageVersion(
    "train",
    account_endpoint=at,
    pool_id="train",
    target_image_version="{HPC}",  # since October
    strategy="empty",
)
PoolImageVersion("simulate", account_endpoint=at, pool_id="simulate", nodes_since="2026-05-01", strategy="surge")
PoolOsVersion("render", account_endpoint=at, pool_id="render", target_os_version="{NEW}")
"""


def newer(ground: Ground) -> Outputs:
    """command.md: `outdated` and `bump` with Azure Resource Manager."""
    simulator = ground.simulator(tls=True)
    simulate = vm_pool("simulate", nodes=8, exact="latest")
    for node in simulate["nodes"]:
        node["allocationTime"] = "2026-05-02T08:00:00Z"
    images = [
        {**IMAGES["ubuntu-hpc"].reference, "versions": [{"version": HPC}, {"version": NEWER_HPC}]},
        {**IMAGES["windows-2022"].reference, "version": WINDOWS},
    ]
    train = vm_pool("train", image=IMAGES["ubuntu-hpc"], version=HPC)
    simulator.seed(train, simulate, paas_pool(current=OLD), images=images)
    simulator.unknown(exactVersionOfLatest="latest")
    environ = simulator.by_secret("reader", readOnly=True, subscriptions=[SUBSCRIPTION])
    stack = ground.stack(simulator, COLUMNS="112")
    for name in ("AZURE_BATCH_ACCOUNT", "AZURE_BATCH_ACCESS_KEY"):
        stack.environment.pop(name)
    stack.environment |= environ
    folder = stack.program_folder
    (folder / "__main__.py").write_text(PROGRAM.replace("{HPC}", HPC).replace("{NEW}", NEW), encoding="utf-8")
    (folder / "Pulumi.dev.yaml").write_text(f"config:\n  farm:endpoint: {simulator.endpoint}\n", encoding="utf-8")
    (folder / "Pulumi.yaml").write_text("name: farm\nruntime: python\n", encoding="utf-8")

    def call(command: str, *arguments: str) -> str:
        said = batch_os(stack, folder, *arguments).replace(today(), "2026-11-28")
        return transcript(command, said.replace(SUBSCRIPTION, "$SUBSCRIPTION"))

    with_list = ("--subscription", SUBSCRIPTION)
    out = {
        "outdated": call(
            "batch-os outdated $ENDPOINT --subscription $SUBSCRIPTION", "outdated", simulator.endpoint, *with_list
        ),
    }
    out["bump"] = call("batch-os bump . --subscription $SUBSCRIPTION --yes", "bump", ".", "--yes", *with_list)
    if not out["bump"].endswith("2 versions to change in 1 file: written\n"):
        raise AssertionError(f"bump wrote something else: {out['bump']}")
    return out


def today() -> str:
    """The day that `bump` writes."""
    return datetime.now(UTC).date().isoformat()
