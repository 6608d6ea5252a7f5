"""Pins that any JSON object is read as a pool or node without an exception, and the shapes Batch is known to send."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from batch_os_provider.batch.pool import AllocationState, Kind, Node, Pool, PoolState
from tests.unit.rollout.doubles import REF, V24, V25
from tests.unit.rollout.stage import quick

POST_TIME = datetime(2018, 12, 1, 4, 20, 56, 512345, tzinfo=UTC)

CLOUD_SERVICES = {
    "odata.metadata": "https://acct.westeurope.batch.azure.com/$metadata#pools/@Element",
    "id": "Render-A",
    "eTag": "0x8D6575C3A4F1E00",
    "lastModified": "2018-12-01T04:20:56.5123456Z",
    "state": "upgrading",
    "stateTransitionTime": "2018-12-01T04:20:56.5123456Z",
    "allocationState": "steady",
    "allocationStateTransitionTime": "2018-11-30T10:00:00Z",
    "vmSize": "small",
    "cloudServiceConfiguration": {"osFamily": "5", "targetOSVersion": V25, "currentOSVersion": V24},
    "currentDedicatedNodes": 3,
    "currentLowPriorityNodes": 2,
    "enableAutoScale": True,
    "a field of the future": {"x": 1},
}
VM = {
    "id": "vm",
    "state": "active",
    "allocationState": "resizing",
    "virtualMachineConfiguration": {
        "imageReference": {"publisher": "microsoftwindowsserver", "offer": "windowsserver", "sku": "2022-datacenter"},
        "nodeAgentSKUId": "batch.node.windows amd64",
    },
}


def test_a_cloud_services_pool_of_the_last_version_with_upgradeos() -> None:
    pool = Pool.from_json(REF, CLOUD_SERVICES, etag="0xHEADER")
    assert (pool.kind, pool.state, pool.allocation) == (
        Kind.CLOUD_SERVICES,
        PoolState.UPGRADING,
        AllocationState.STEADY,
    )
    assert (pool.os_family, pool.current_os_version, pool.target_os_version) == ("5", V24, V25)
    assert pool.etag == "0xHEADER", "the header is the one to send back"
    assert pool.changed_at == POST_TIME
    assert pool.autoscale


def test_the_etag_of_the_body_stands_in_for_a_missing_header() -> None:
    assert Pool.from_json(REF, CLOUD_SERVICES).etag == "0x8D6575C3A4F1E00"


def test_a_vm_pool_names_its_image_and_has_no_guest_os() -> None:
    pool = Pool.from_json(REF, VM)
    assert pool.kind is Kind.VM
    assert pool.image == "microsoftwindowsserver windowsserver 2022-datacenter"
    assert (pool.os_family, pool.current_os_version) == (None, None)
    gallery = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/galleries/x/images/y/versions/1.0.0"
    shape = {"virtualMachineConfiguration": {"imageReference": {"virtualMachineImageId": gallery}}}
    assert Pool.from_json(REF, shape).image == gallery


def test_a_newer_api_that_hides_the_configuration_is_of_unknown_kind() -> None:
    assert Pool.from_json(REF, {"id": "x", "state": "active", "allocationState": "steady"}).kind is Kind.UNKNOWN


def test_an_unknown_state_keeps_its_text() -> None:
    pool = Pool.from_json(REF, {"state": "defragmenting", "allocationState": "pausing"})
    assert (pool.state, pool.state_text) == (PoolState.UNKNOWN, "defragmenting")
    assert (pool.allocation, pool.allocation_text) == (AllocationState.UNKNOWN, "pausing")
    assert Pool.from_json(REF, {}).state is PoolState.UNKNOWN


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
times = st.datetimes().map(lambda t: t.isoformat() + "Z") | st.text(alphabet="0123456789-:TZ.+W", max_size=28)
MINE = [*CLOUD_SERVICES, *VM, "errors", "startTaskInfo", "lastBootTime", "currentDedicated", "failureInfo"]
bodies = st.dictionaries(
    st.sampled_from(MINE),
    json_values
    | times
    | st.dictionaries(st.sampled_from(["osFamily", "currentOSVersion", "imageReference", "failureInfo"]), json_values)
    | st.lists(st.dictionaries(st.sampled_from(["code", "message"]), json_values)),
)


@given(bodies)
@example({"stateTransitionTime": "T", "allocationStateTransitionTime": "2018-12-01T24:00:00Z"})
@example({"stateTransitionTime": "9999-12-31T23:59:60Z", "lastBootTime": "2018-W01-1T00:00:00+99:99"})
@example({"lastBootTime": "0000-00-00T00:00:00Z", "errors": [[]], "startTaskInfo": {"failureInfo": []}})
@example({"lastBootTime": "2018-12-01T99999999999999999999:00:00Z"})
@quick
def test_no_json_object_is_too_odd_to_be_a_pool_or_a_node(body: dict[str, Any]) -> None:
    pool = Pool.from_json(REF, body)
    assert all(isinstance(part, str) for part in pool.fingerprint)
    assert pool.changed_at is None or pool.changed_at.tzinfo is not None
    node = Node.from_json(body)
    assert isinstance(node.error, str)
    assert node.is_back(POST_TIME) in (True, False)


@pytest.mark.parametrize("state", ["idle", "running"])
def test_a_node_is_back_when_it_booted_after_the_start_and_takes_tasks(state: str) -> None:
    def node(boot: datetime | None, state: str = state) -> Node:
        return Node("tvm", state, boot)

    assert node(POST_TIME + timedelta(seconds=1)).is_back(POST_TIME)
    assert not node(POST_TIME).is_back(POST_TIME)
    assert not node(POST_TIME - timedelta(days=1)).is_back(POST_TIME)
    assert not node(None).is_back(POST_TIME)
    assert not node(POST_TIME + timedelta(seconds=1)).is_back(None)
    assert not node(POST_TIME + timedelta(seconds=1), "starttaskfailed").is_back(POST_TIME)


def test_a_nodes_error_is_its_first_or_its_start_tasks() -> None:
    error = {"code": "AgentLost", "message": "no answer"}
    assert Node.from_json({"id": "n", "errors": [error, {"code": "Second"}]}).error == "AgentLost: no answer"
    failed = {"id": "n", "startTaskInfo": {"failureInfo": {"code": "FailureExitCode"}}}
    assert Node.from_json(failed).error == "FailureExitCode"
    older = {"id": "n", "startTaskInfo": {"schedulingError": {"code": "BlobNotFound"}}}
    assert Node.from_json(older).error == "BlobNotFound"
    assert Node.from_json({}) == Node("?", "unknown", None)


def test_a_nodes_error_is_one_line() -> None:
    error = {"code": "AgentLost", "message": "no answer\nRequestId:1\nTime:2"}
    assert "\n" not in Node.from_json({"errors": [error]}).error
