"""Which resource fits a pool, and what it says so that nothing is written."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from batch_os_provider.batch.address import PoolRef
from batch_os_provider.batch.pool import Pool
from batch_os_provider.batch.vm_pool import VmNode, VmPool
from batch_os_provider.batch.vm_view import VmPoolView
from batch_os_provider.cli.adopt.proposal import Declaration, Left, fit, propose
from batch_os_provider.cli.inventory import PoolSeen
from tests.support.simulator import ABOVE, BEHIND, NEW, OLD, TARGET, paas_pool, vm_pool

ENDPOINT = "https://farm.westeurope.batch.azure.com"


def seen(body: dict[str, Any], endpoint: str = ENDPOINT) -> PoolSeen:
    """A pool as a survey would have seen it."""
    ref = PoolRef(endpoint, body["id"])
    pool = Pool.from_json(ref, body)
    if "virtualMachineConfiguration" not in body:
        return PoolSeen(pool)
    nodes = tuple(VmNode.from_json(each) for each in body["nodes"])
    return PoolSeen(pool, VmPoolView(VmPool.from_json(ref, body), nodes))


def declared(body: dict[str, Any]) -> Declaration:
    proposal = propose(seen(body))
    assert isinstance(proposal, Declaration), proposal
    return proposal


def left(body: dict[str, Any]) -> str:
    proposal = propose(seen(body))
    assert isinstance(proposal, Left), proposal
    return proposal.why


def image(body: dict[str, Any], **reference: str) -> dict[str, Any]:
    """The pool with another image reference."""
    return {**body, "virtualMachineConfiguration": {"imageReference": reference, "nodeAgentSKUId": "x"}}


def test_cloud_services_pool_is_pinned_to_what_runs() -> None:
    found = declared(paas_pool(current=OLD))
    assert found.resource == "PoolOsVersion"
    assert found.inputs == {"account_endpoint": ENDPOINT, "pool_id": "render", "target_os_version": OLD}
    assert not found.note


def test_star_is_kept_and_explained() -> None:
    found = declared(paas_pool(current="*"))
    assert found.inputs["target_os_version"] == "*"
    assert "newest of the family" in found.note


def test_a_resize_does_not_matter_to_a_cloud_services_pool_that_stays_as_it_is() -> None:
    assert declared(paas_pool(allocationState="resizing")).inputs["target_os_version"] == OLD


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"state": "deleting"}, "it is being deleted"),
        ({"cloudServiceConfiguration": {"osFamily": "4", "targetOSVersion": OLD}}, "no currentOSVersion"),
        ({"cloudServiceConfiguration": {"osFamily": "4", "currentOSVersion": "4.58"}}, "is not a Guest OS version"),
        (
            {
                "state": "upgrading",
                "cloudServiceConfiguration": {"osFamily": "4", "targetOSVersion": NEW, "currentOSVersion": OLD},
            },
            f"an upgrade {OLD} -> {NEW} is in flight; run `batch-os adopt` again when it has ended",
        ),
    ],
)
def test_cloud_services_pool_that_cannot_be_adopted_now(change: dict[str, Any], why: str) -> None:
    assert why in left(paas_pool(**change))


def test_vm_pool_is_pinned_to_its_oldest_node() -> None:
    body = vm_pool(nodes=3, exact=TARGET)
    body["nodes"][1]["virtualMachineInfo"]["imageReference"] = {"exactVersion": BEHIND}
    found = declared(body)
    assert found.resource == "PoolImageVersion"
    assert found.inputs["target_image_version"] == BEHIND
    assert found.inputs["strategy"] == "surge"


def test_surge_would_be_refused_where_the_pool_scales_itself() -> None:
    found = declared(vm_pool(enableAutoScale=True))
    assert found.inputs["strategy"] == "when_empty"
    assert "the pool scales itself" in found.note


@pytest.mark.parametrize(("pin", "runs", "target"), [(BEHIND, BEHIND, BEHIND), (ABOVE, TARGET, ABOVE)])
def test_surge_would_be_refused_on_a_pinned_pool(pin: str, runs: str, target: str) -> None:
    found = declared(vm_pool(version=pin, exact=runs))
    assert found.inputs["target_image_version"] == target
    assert found.inputs["strategy"] == "when_empty"
    assert f"pinned to {pin}" in found.note


def test_an_empty_pinned_pool_is_kept_at_its_pin() -> None:
    assert declared(vm_pool(nodes=0, version=TARGET)).inputs["target_image_version"] == TARGET


def test_an_empty_pool_that_follows_latest_is_kept_at_the_present_day() -> None:
    assert "it has no nodes" in left(vm_pool(nodes=0)), "the time is not known"
    pool = seen(vm_pool(nodes=0))
    assert pool.vm is not None
    at = datetime(2026, 11, 28, 16, tzinfo=UTC)
    vm = replace(pool.vm, pool=replace(pool.vm.pool, base=replace(pool.vm.pool.base, seen_at=at)))
    proposal = propose(replace(pool, vm=vm))
    assert isinstance(proposal, Declaration)
    assert proposal.inputs["nodes_since"] == "2026-11-28"


def test_vm_pool_that_is_being_resized_is_left_for_later() -> None:
    assert "a resize is under way (resizing)" in left(vm_pool(allocationState="resizing"))


def test_an_unfinished_renewal_would_be_a_write() -> None:
    mark = '{"v":1,"size":2,"surge":1,"newest":"2018-11-01T00:00:00.000000Z"}'
    assert left(vm_pool(metadata=[{"name": "batch-os", "value": mark}]))


def test_a_node_that_tells_no_version_is_named() -> None:
    body = vm_pool()
    body["nodes"][0]["virtualMachineInfo"] = {}
    assert "1 node shows no image version, so it cannot be compared: tvm-001 (idle)" in left(body)


@pytest.mark.parametrize("autoscale", [False, True])
@pytest.mark.parametrize("gallery", [False, True])
def test_a_pool_whose_nodes_show_no_version_is_kept_at_the_day_of_its_oldest_node(
    gallery: bool, autoscale: bool
) -> None:
    """The day is not after the allocation of any node, so an `up` adopts the pool without a write."""
    body = vm_pool(exact="latest", enableAutoScale=autoscale)
    for number, each in enumerate(body["nodes"]):
        each["allocationTime"] = f"2026-11-2{number}T08:12:44.1234567Z"
    if gallery:
        body = image(body, virtualMachineImageId="/subscriptions/s/galleries/g/images/i")
    found = declared(body)
    strategy = "when_empty" if autoscale else "surge"
    assert found.inputs == {
        "account_endpoint": ENDPOINT,
        "pool_id": "render",
        "nodes_since": "2026-11-20",
        "strategy": strategy,
    }
    assert found.note.startswith("nodes_since: no node is older than this day; a later day renews the older nodes")
    assert ("the pool scales itself" in found.note) == autoscale
    assert fit(seen(body)).resource == "PoolImageVersion"


@pytest.mark.parametrize("autoscale", [False, True])
@pytest.mark.parametrize("exact", ["latest", "1.2.3", "2.0.0"])
def test_the_version_of_a_gallery_image_is_its_pin_whatever_its_nodes_show(exact: str, autoscale: bool) -> None:
    body = image(
        vm_pool(exact=exact, enableAutoScale=autoscale),
        communityGalleryImageId="/CommunityGalleries/g/Images/i/Versions/1.2.3",
    )
    found = declared(body)
    assert (found.inputs["target_image_version"], found.inputs["strategy"]) == ("1.2.3", "when_empty")


def test_a_gallery_image_that_a_formula_scales_is_kept_by_the_age_of_its_nodes() -> None:
    """`when_empty` with a version would pin it; a pool of fixed size is kept at the version that its nodes show."""
    gallery = {"virtualMachineImageId": "/subscriptions/s/galleries/g/images/i"}
    fixed, scaled = (image(vm_pool(exact="1.2.3", enableAutoScale=each), **gallery) for each in (False, True))
    assert declared(fixed).inputs["target_image_version"] == "1.2.3"
    assert "nodes_since" in declared(scaled).inputs


def test_no_resource_fits_a_pool_of_neither_kind() -> None:
    body = paas_pool()
    del body["cloudServiceConfiguration"]
    assert "neither a cloudServiceConfiguration nor" in left(body)


def test_a_retired_api_is_the_reason_where_it_is_one() -> None:
    body = paas_pool()
    del body["cloudServiceConfiguration"]
    pool = PoolSeen(seen(body).pool, retired="Batch no longer answers it")
    assert fit(pool).why == "Batch no longer answers it"


@pytest.mark.parametrize("change", [{}, {"allocationState": "resizing"}, {"nodes": 0}])
def test_a_pool_that_batch_renews_is_left_to_it(change: dict[str, Any]) -> None:
    policy = {"upgradePolicy": {"automaticOSUpgradePolicy": {"enableAutomaticOSUpgrade": True}}}
    found = declared(vm_pool(**policy, **change))
    assert found.resource == "PoolImageVersion"
    assert found.inputs == {"account_endpoint": ENDPOINT, "pool_id": "render", "strategy": "automatic"}
    assert found.note == "automatic: Batch renews the nodes of this pool itself, and `up` writes nothing"
