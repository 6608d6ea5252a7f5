"""What an `up` would refuse is refused by `check` of a new resource: pool by pool, with the real client over HTTP.

Pulumi ends a preview at the first such failure, so each of these would need a preview of its own on the real CLI.
`tests/cli/preview` shows one of each resource there, and how it looks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from batch_os_provider.image_provider import PoolImageVersionProvider
from batch_os_provider.provider import PoolOsVersionProvider
from batch_os_provider.runtime import per_account
from tests.support import simulator as simulators
from tests.support.simulator import BEHIND, IMAGES, NEW, OLD, OTHER, TARGET, Simulator, paas_pool, vm_pool

if TYPE_CHECKING:
    from collections.abc import Iterator

FAMILY_5 = "WA-GUEST-OS-5.25_201811-01"
AUTOSCALE = {
    "enableAutoScale": True,
    "autoScaleFormula": "$TargetDedicatedNodes=2",
    "autoScaleEvaluationInterval": "PT15M",
}
EXTENSIONS = [{"name": "n", "publisher": "p", "type": "t", "protectedSettings": {"a": "b"}}]
REGISTRIES = {"type": "dockercompatible", "containerRegistries": [{"username": "u", "password": "w"}]}


@pytest.fixture
def sim(monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulator]:
    """A frozen simulator to which this process is signed in."""
    for simulator in simulators.running():
        for name, value in {**simulator.environment, "NO_PROXY": "127.0.0.1"}.items():
            monkeypatch.setenv(name, value)
        per_account.reset()
        yield simulator
        per_account.reset()


def refused(provider: PoolOsVersionProvider | PoolImageVersionProvider, bag: dict[str, Any]) -> tuple[str, str]:
    """The property and the reason of the one failure."""
    (failure,) = provider.check({}, bag).failures or []
    why = failure.reason
    assert why.startswith("an up would be refused: "), why
    return failure.property, why.removeprefix("an up would be refused: ")


def upgrading(target: str) -> dict[str, Any]:
    both = {"osFamily": "4", "targetOSVersion": target, "currentOSVersion": OLD}
    return paas_pool(state="upgrading", cloudServiceConfiguration=both)


OS: dict[str, tuple[dict[str, Any], dict[str, Any], str, str]] = {
    "family": (
        paas_pool(),
        {"target_os_version": FAMILY_5},
        "target_os_version",
        "it is of OS family 5, but the pool is of OS family 4",
    ),
    "vm": (
        vm_pool(),
        {},
        "pool_id",
        "it is a VM pool (image microsoftwindowsserver windowsserver 2022-datacenter-core latest)",
    ),
    "deleting": (paas_pool(state="deleting"), {}, "pool_id", "it is being deleted"),
    "resizing": (
        paas_pool(allocationState="resizing"),
        {"if_resizing": "fail"},
        "if_resizing",
        "a resize is under way (resizing); this `up` does not stop it",
    ),
    "conflict": (
        upgrading(OTHER),
        {"on_conflict": "fail"},
        "on_conflict",
        f"an upgrade {OLD} -> {OTHER} is in flight, and {NEW} is declared",
    ),
}


@pytest.mark.parametrize("row", OS)
def test_a_cloud_services_pool_that_up_would_refuse(sim: Simulator, row: str) -> None:
    pool, inputs, wrong, expected = OS[row]
    sim.seed(pool)
    bag = {"account_endpoint": sim.endpoint, "pool_id": "render", "target_os_version": NEW, **inputs}
    name, why = refused(PoolOsVersionProvider(), bag)
    assert name == wrong
    assert expected in why
    if row == "conflict":
        assert 'on_conflict="wait"' in why
    if row == "vm":
        assert (
            f'PoolImageVersion("render", account_endpoint="{sim.endpoint}", pool_id="render", '
            f'target_image_version="{BEHIND}", strategy="surge")'
        ) in why
    assert sim.requests("Pool_List")
    assert not sim.writes()


def test_a_vm_pool_is_told_apart_also_where_the_old_api_is_gone(sim: Simulator) -> None:
    sim.seed(vm_pool())
    sim.unknown(retiredApiVersions="before-2025-06-01")
    bag = {"account_endpoint": sim.endpoint, "pool_id": "render", "target_os_version": NEW}
    assert "it is a VM pool" in refused(PoolOsVersionProvider(), bag)[1]


def configured(pool: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {**pool, "virtualMachineConfiguration": {**pool["virtualMachineConfiguration"], **changes}}


def gallery() -> dict[str, Any]:
    image = {"virtualMachineImageId": "/subscriptions/s/galleries/g/images/i/versions/1.0.0"}
    pool = configured(vm_pool(), imageReference=image)
    for node in pool["nodes"]:
        node["virtualMachineInfo"] = {"imageReference": image}
    return pool


def unreadable() -> dict[str, Any]:
    pool = vm_pool()
    pool["nodes"][1]["virtualMachineInfo"]["imageReference"]["exactVersion"] = "nightly"
    return pool


IMAGE: dict[str, tuple[dict[str, Any], str]] = {
    "deleting": (vm_pool(state="deleting"), "it is being deleted"),
    "cloud services": (
        paas_pool(),
        (
            "it is not a VM pool, so its nodes have no image version. Next: "
            'Use PoolOsVersion("render", account_endpoint="{0}", pool_id="render", target_os_version="'
        ),
    ),
    "gallery": (gallery(), "it uses a gallery image (/subscriptions/s/galleries/g/images/i/versions/1.0.0)"),
    "unreadable": (
        unreadable(),
        "its nodes do not show a version number (Batch shows 'nightly' for 1 of 2 nodes)",
    ),
    "guarded": (
        configured(vm_pool(nodes=0, version=BEHIND), extensions=EXTENSIONS, containerConfiguration=REGISTRIES),
        (
            f"the pool is pinned to {BEHIND} and empty, but a change would have to send "
            "virtualMachineConfiguration.extensions (protectedSettings) and "
            "virtualMachineConfiguration.containerConfiguration.containerRegistries (password) again"
        ),
    ),
    "words": (
        vm_pool(image=IMAGES["ubuntu-hpc"], exact="latest"),
        (
            "its nodes do not show a version number (Batch shows 'latest' for 2 of 2 nodes), "
            "so the version of a node cannot be compared"
        ),
    ),
    "pinned": (vm_pool(version=BEHIND), f"the pool is pinned to {BEHIND}, so new nodes would get that version too"),
    "autoscale": (vm_pool(**AUTOSCALE), "the pool scales itself: Batch refuses to resize such a pool (409)"),
}


@pytest.mark.parametrize("row", IMAGE)
def test_a_vm_pool_that_up_would_refuse(sim: Simulator, row: str) -> None:
    pool, expected = IMAGE[row]
    sim.seed(pool)
    bag = {
        "account_endpoint": sim.endpoint,
        "pool_id": "render",
        "target_image_version": TARGET,
        "strategy": "surge",
    }
    _, why = refused(PoolImageVersionProvider(), bag)
    assert expected.format(sim.endpoint) in " ".join(why.split())
    if row == "words":
        assert 'Declare nodes_since="' in why
        assert "in place of target_image_version: nodes that were allocated before that day are renewed" in why
        assert "remove the node" not in why
    assert not sim.writes()


def test_latest_is_refused_with_the_newest_version_on_the_nodes(sim: Simulator) -> None:
    sim.seed(vm_pool())
    sim.change_node("tvm-002", virtualMachineInfo=vm_pool(exact=TARGET)["nodes"][0]["virtualMachineInfo"])
    bag = {
        "account_endpoint": sim.endpoint,
        "pool_id": "render",
        "target_image_version": "latest",
        "strategy": "surge",
    }
    (failure,) = PoolImageVersionProvider().check({}, bag).failures or []
    assert failure.property == "target_image_version"
    assert "'latest' changes over time, so a reviewer cannot check it" in failure.reason
    assert "list versions with `az vm image list --all -p <publisher> -f <offer> -s <sku>`" in failure.reason
    assert f"the newest on this pool's nodes is {TARGET}" in failure.reason
