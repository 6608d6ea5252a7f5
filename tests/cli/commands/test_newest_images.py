"""`batch-os outdated` and `bump` with Azure Resource Manager: a version that no node runs yet, over TLS."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.cli.commands.test_command_endings import ended, forked
from tests.support import simulator as simulators
from tests.support.simulator import IMAGES, Simulator, vm_pool

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SUBSCRIPTION = "6f1d7a3e-0000-4000-8000-3b5f7c9d1e2a"
GALLERY = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/r/providers/Microsoft.Compute/galleries/studio/images/farm"
HPC_NEW, WINDOWS_NEW = "22.04.2026082801", "20348.2461.260810"
OLD_DAY = "2026-05-01T08:00:00Z"
IMAGE_ROWS: list[dict[str, Any]] = [
    {**IMAGES["ubuntu-hpc"].reference, "versions": [{"version": "22.04.2024102301"}, {"version": HPC_NEW}]},
    {**IMAGES["windows-2022"].reference, "version": WINDOWS_NEW},
    {"virtualMachineImageId": GALLERY, "versions": [{"version": "1.0.4", "since": "2026-06-01T00:00:00Z"}]},
]
PROGRAM = f"""from batch_os_provider import PoolImageVersion
AT = "ENDPOINT"
for name in ("cfd-1", "cfd-2"):
    PoolImageVersion(name, account_endpoint=AT, pool_id=name, target_image_version="22.04.2024102301", strategy="empty")
PoolImageVersion("render", account_endpoint=AT, pool_id="render", nodes_since="2026-04-01", strategy="surge")
PoolImageVersion("studio", account_endpoint=AT, pool_id="studio", nodes_since="{OLD_DAY}", strategy="empty")
"""


@pytest.fixture
def farm() -> Iterator[Simulator]:
    """Pools of three images in an account over TLS: pinned, on latest, and of a gallery."""
    for sim in simulators.running_command(("--tls", "--speed", "0")):
        render, studio = vm_pool("render", exact="latest"), vm_pool("studio")
        studio["virtualMachineConfiguration"]["imageReference"] = {"virtualMachineImageId": GALLERY}
        for node in [*render["nodes"], *studio["nodes"]]:
            node["allocationTime"] = OLD_DAY
        for node in studio["nodes"]:
            node["virtualMachineInfo"] = {"imageReference": {"virtualMachineImageId": GALLERY}}
        pinned = [vm_pool(name, image=IMAGES["ubuntu-hpc"], version="22.04.2024102301") for name in ("cfd-1", "cfd-2")]
        sim.seed(*pinned, render, studio, images=IMAGE_ROWS)
        sim.unknown(exactVersionOfLatest="latest")
        yield sim


def test_a_new_image_reaches_the_program_before_any_node_runs_it(farm: Simulator, tmp_path: Path) -> None:
    by_role = farm.by_secret("reader", readOnly=True, subscriptions=[SUBSCRIPTION])
    code, out, err = ended(forked(None, "outdated", farm.endpoint, "--json", "--subscription", SUBSCRIPTION, **by_role))
    document = json.loads(out)
    assert (code, err, document["not_asked"]) == (0, "", [])
    rows = {row["id"]: (row["standing"], row["current"], row["newest"]) for row in document["accounts"][0]["pools"]}
    assert rows == {
        "cfd-1": ("behind", "22.04.2024102301", HPC_NEW),
        "cfd-2": ("behind", "22.04.2024102301", HPC_NEW),
        "render": ("behind", None, WINDOWS_NEW),
        "studio": ("behind", None, "1.0.4"),
    }
    asked = [entry["scope"] for entry in farm.tokens("clientSecret")]
    assert set(asked) == {"https://batch.core.windows.net//.default", "https://management.azure.com/.default"}
    assert asked.count("https://management.azure.com/.default") == 1, "one sign-in for three lists"

    main = tmp_path / "__main__.py"
    main.write_text(PROGRAM.replace("ENDPOINT", farm.endpoint), encoding="utf-8")
    code, out, err = ended(forked(None, "bump", str(tmp_path), "--yes", AZURE_SUBSCRIPTION_ID=SUBSCRIPTION, **by_role))
    assert (code, err) == (0, "")
    text = main.read_text(encoding="utf-8")
    assert (f'"{HPC_NEW}"' in text, OLD_DAY in text, "2026-04-01" in text) == (True, False, False)
    lines = out.decode().splitlines()
    assert lines[-1] == "3 versions to change in 1 file: written"
    assert f"22.04.2024102301 -> {HPC_NEW}, seen at Azure Resource Manager, local" in lines
    assert any(line.endswith(" for 1.0.4, seen at Azure Resource Manager, local") for line in lines)


def test_without_the_right_the_rest_is_shown(farm: Simulator) -> None:
    farm.principal("owner", subscriptions=[SUBSCRIPTION])
    by_role = farm.by_secret("reader", readOnly=True)
    code, out, err = ended(forked(None, "outdated", farm.endpoint, "--subscription", SUBSCRIPTION, **by_role))
    assert code == 0
    assert out.decode().splitlines()[-1] == "0 of 4 pools behind; 2 without a known newer version; 2 not known"
    (line,) = err.splitlines()
    assert line.startswith(
        "not known: 3 lists of image versions; the first: listing image versions failed: HTTP 403 AuthorizationFailed: "
        "The client 'reader' with object id 'reader' does not have authorization to perform action 'Microsoft.Compute/"
    )
    code, _, err = ended(forked(None, "outdated", farm.endpoint, "--subscription", "production", **by_role))
    assert (code, "'production' is not a subscription id; `az account show --query id` prints yours" in err) == (
        2,
        True,
    )
