"""VM pools through the official client of today."""

from __future__ import annotations

import datetime as dt

import pytest
from azure.batch import BatchClient, models
from azure.core import MatchConditions
from azure.core.credentials import AzureNamedKeyCredential
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceModifiedError, ResourceNotFoundError

from tests.simulator.raw_client import NEWEST
from tests.simulator.seeds import FIRST, MOVING, SECOND, WINDOWS, job, windows

FIELDS = ["id", "state", "isDedicated", "virtualMachineInfo", "runningTasksCount", "errors", "startTaskInfo"]
FIELDS += ["schedulingState", "allocationTime", "nodeAgentInfo"]


@pytest.fixture
def batch(client):
    credential = AzureNamedKeyCredential(client.simulator.account, client.simulator.key)
    with BatchClient(client.simulator.endpoint, credential, retry_total=0) as made:
        yield made


def remove(batch, *names, **more):
    return batch.begin_remove_nodes("v", models.BatchNodeRemoveOptions(node_ids=list(names), **more))


def resize(batch, size):
    return batch.begin_resize_pool("v", models.BatchPoolResizeOptions(target_dedicated_nodes=size))


def exact(batch):
    return {node.id: node.virtual_machine_info.image_reference.exact_version for node in batch.list_nodes("v")}


def refused(kind, code, call, *arguments, **more):
    with pytest.raises(kind) as caught:
        call(*arguments, **more)
    assert caught.value.error.code == code


def test_a_surge_roll_by_hand(batch, client):
    client.control("PUT", "unknowns", {"exactVersionOfLatest": "number"})
    client.put(windows(), images=MOVING, jobs=[job("sleep 2000", "sleep 2000", pool="v")], virtual=NOON)
    assert set(exact(batch).values()) == {FIRST}
    resize(batch, 6)
    client.advance(300)
    new = [name for name, version in exact(batch).items() if version == SECOND]
    assert len(new) == 2
    remove(batch, "tvm-1", "tvm-3", node_deallocation_option=models.BatchNodeDeallocationOption.TASK_COMPLETION)
    pool = batch.get_pool("v")
    assert (pool.allocation_state, pool.target_dedicated_nodes, pool.current_dedicated_nodes) == ("resizing", 4, 6)
    states = {node.id: node.state for node in batch.list_nodes("v", select=["id", "state"])}
    assert (states["tvm-1"], states["tvm-3"]) == ("running", "leavingpool")
    client.advance(901)
    pool = batch.get_pool("v")
    assert (pool.allocation_state, pool.resize_errors[0].code) == ("steady", "RemoveNodesFailed")
    client.advance(1_000)
    remove(batch, "tvm-1", "tvm-2", "tvm-4")
    client.advance(60)
    assert set(exact(batch).values()) == {SECOND}
    assert {task.state for task in batch.list_tasks("j")} == {"completed"}
    assert {task.execution_info.requeue_count for task in batch.list_tasks("j")} == {0}


NOON = "2018-08-24T12:00:00Z"


def test_what_removenodes_refuses(batch, client):
    client.put(windows(), images=MOVING)
    for names in ([], [f"n{place}" for place in range(101)]):
        refused(HttpResponseError, "InvalidPropertyValue", remove, batch, *names)
    short = dt.timedelta(minutes=4)
    refused(HttpResponseError, "InvalidPropertyValue", remove, batch, "tvm-1", resize_timeout=short)
    refused(HttpResponseError, "InvalidPropertyValue", remove, batch, "tvm-1", node_deallocation_option="gently")
    refused(ResourceNotFoundError, "NodeNotFound", remove, batch, "tvm-1", "gone")
    options = models.BatchNodeRemoveOptions(node_ids=["tvm-1"])
    stale = {"etag": "0x1", "match_condition": MatchConditions.IfNotModified}
    refused(ResourceModifiedError, "ConditionNotMet", batch.begin_remove_nodes, "v", options, **stale)
    assert batch.get_pool("v").target_dedicated_nodes == 4
    remove(batch, "tvm-1", resize_timeout=dt.timedelta(minutes=5))
    refused(ResourceExistsError, "PoolBeingResized", remove, batch, "tvm-2")
    refused(ResourceExistsError, "PoolBeingResized", resize, batch, 5)
    (entry,) = [row for row in client.audit("request") if row["status"] == 202]
    assert entry["operation"] == "Pool_RemoveNodes"
    assert '"tvm-1"' in entry["detail"]["body"]


def patch(batch, condition=None, **properties):
    more = {"etag": condition, "match_condition": MatchConditions.IfNotModified} if condition else {}
    batch.update_pool("v", models.BatchPoolUpdateOptions(**properties), **more)


def machine(version):
    image = models.BatchVmImageReference(**WINDOWS, version=version)
    return models.VirtualMachineConfiguration(image_reference=image, node_agent_sku_id="batch.node.windows amd64")


def test_what_a_patch_may_change_and_when(batch, client):
    client.put(windows(), images=[*MOVING, {**WINDOWS, "version": "1.2.3"}])
    before = batch.get_pool("v").etag
    patch(batch, before, start_task=models.BatchStartTask(command_line="x"))
    patch(batch, metadata=[models.BatchMetadataItem(name="a", value="b")])
    reference = models.BatchApplicationPackageReference(application_id="app")
    patch(batch, application_package_references=[reference])
    assert batch.get_pool("v").etag != before
    refused(ResourceModifiedError, "ConditionNotMet", patch, batch, before, display_name="d")
    needs_empty = {
        "virtual_machine_configuration": machine("1.2.3"),
        "vm_size": "large",
        "display_name": "d",
        "task_slots_per_node": 2,
        "task_scheduling_policy": models.BatchTaskSchedulingPolicy(node_fill_type="pack"),
        "enable_inter_node_communication": True,
        "user_accounts": [models.UserAccount(name="n", password="p")],
        "upgrade_policy": models.UpgradePolicy(mode="manual"),
    }
    for name, value in needs_empty.items():
        refused(ResourceExistsError, "OperationInvalidForCurrentState", patch, batch, **{name: value})
    resize(batch, 0)
    refused(ResourceExistsError, "PoolBeingResized", patch, batch, vm_size="large")
    client.advance(60)
    patch(batch, **needs_empty)
    pool = batch.get_pool("v")
    assert (pool.vm_size, pool.display_name, pool.upgrade_policy.mode) == ("large", "d", "manual")
    assert pool.virtual_machine_configuration.image_reference.version == "1.2.3"
    resize(batch, 1)
    client.advance(300)
    assert list(exact(batch).values()) == ["1.2.3"]


def test_secrets_are_kept_and_not_shown(batch, client):
    client.put(images=MOVING)
    configuration = machine("latest")
    configuration.extensions = [
        models.VMExtension(name="n", publisher="p", type="t", protected_settings={"key": "hush"}, settings={"a": "b"})
    ]
    registry = models.ContainerRegistryReference(username="u", password="hush", registry_server="r")
    configuration.container_configuration = models.BatchContainerConfiguration(
        type="dockerCompatible", container_registries=[registry]
    )
    account = models.UserAccount(name="n", password="hush")
    options = models.BatchPoolCreateOptions(
        id="v", vm_size="s", virtual_machine_configuration=configuration, user_accounts=[account]
    )
    batch.create_pool(options)
    shown = [client.pool("v", **{"api-version": NEWEST}), client("GET", "/pools", query={"api-version": NEWEST}).json]
    assert "hush" not in str(shown)
    assert shown[0]["virtualMachineConfiguration"]["extensions"][0]["settings"] == {"a": "b"}
    assert batch.get_pool("v").virtual_machine_configuration.container_configuration.container_registries[0].username
    assert str(client.control("GET", "state")).count("hush") == 3
    client.advance(2)  # a new pool is resizing at first
    patch(batch, virtual_machine_configuration=batch.get_pool("v").virtual_machine_configuration)
    assert str(client.control("GET", "state")).count("hush") == 1  # who writes back what was shown loses the rest


def test_autoscale(batch, client):
    client.put(windows(), images=MOVING)
    options = models.BatchPoolEnableAutoScaleOptions
    refused(HttpResponseError, "MissingRequiredProperty", batch.enable_pool_auto_scale, "v", options())
    batch.enable_pool_auto_scale("v", options(auto_scale_formula="$TargetDedicatedNodes=4"))
    pool = batch.get_pool("v")
    assert (pool.enable_auto_scale, pool.auto_scale_formula) == (True, "$TargetDedicatedNodes=4")
    refused(ResourceExistsError, "OperationNotValidOnPool", resize, batch, 5)
    refused(ResourceExistsError, "OperationNotValidOnPool", remove, batch, "tvm-1")
    again = options(auto_scale_evaluation_interval=dt.timedelta(minutes=5))
    refused(HttpResponseError, "TooManyEnableAutoScaleRequests", batch.enable_pool_auto_scale, "v", again)
    client.control("PUT", "state", client.control("GET", "state"))
    client.advance(29)
    refused(HttpResponseError, "TooManyEnableAutoScaleRequests", batch.enable_pool_auto_scale, "v", again)
    client.advance(1)
    batch.enable_pool_auto_scale("v", again)
    assert batch.get_pool("v").auto_scale_evaluation_interval == dt.timedelta(minutes=5)
    batch.disable_pool_auto_scale("v")
    pool = batch.get_pool("v")
    assert (pool.enable_auto_scale, pool.auto_scale_formula) == (False, None)
    resize(batch, 5)
    refused(ResourceExistsError, "PoolBeingResized", batch.enable_pool_auto_scale, "v", options(auto_scale_formula="x"))


def test_nodes_as_listed(batch, client):
    pool = windows()
    pool["nodes"][0] |= {"state": "preempted", "isDedicated": False}
    pool["nodes"][1] |= {"state": "starttaskfailed", "errors": [{"code": "x", "message": "y"}]}
    pool["nodes"][2] |= {"state": "offline", "schedulingState": "disabled"}
    client.put(pool, images=MOVING, jobs=[job("sleep 99", pool="v")])
    nodes = {node.id: node for node in batch.list_nodes("v", select=FIELDS)}
    assert [node.state for node in nodes.values()] == ["preempted", "starttaskfailed", "offline", "running"]
    assert [node.is_dedicated for node in nodes.values()] == [False, True, True, True]
    assert nodes["tvm-4"].running_tasks_count == 1
    assert nodes["tvm-2"].errors[0].code == "x"
    assert nodes["tvm-3"].scheduling_state == "disabled"
    assert nodes["tvm-1"].virtual_machine_info.image_reference.exact_version == FIRST
    assert nodes["tvm-1"].vm_size is None
    running = batch.list_nodes("v", filter="state eq 'running'")
    assert [node.id for node in running] == ["tvm-4"]
    assert batch.get_pool("v").current_low_priority_nodes == 1


def test_the_upgrade_policy_is_shown_as_declared(batch, client):
    policy = {
        "mode": "automatic",
        "automaticOSUpgradePolicy": {"enableAutomaticOSUpgrade": True, "osRollingUpgradeDeferral": True},
    }
    client.control("PUT", "unknowns", {"exactVersionOfLatest": "number"})
    client.put(windows(nodes=2, upgradePolicy=policy), images=MOVING, virtual="2018-08-24T07:46:48Z")
    shown = batch.get_pool("v").upgrade_policy.automatic_os_upgrade_policy
    assert (shown.enable_automatic_os_upgrade, shown.os_rolling_upgrade_deferral) == (True, True)
    client.advance(800)
    states = [node.state for node in batch.list_nodes("v")]
    assert states == ["upgradingos", "idle"]
    older = client("GET", "/pools/v/nodes", query={"api-version": "2023-11-01.18.0"}).json["value"]
    assert [node["state"] for node in older] == ["rebooting", "idle"]
    client.advance(600)
    assert set(exact(batch).values()) == {SECOND}


def test_somebody_else_meanwhile(batch, client):
    client.put(windows(), images=MOVING, durations="short")
    resize(batch, 6)
    client.advance(31)
    saved = client.control("GET", "state")
    saved["pools"][0]["nodes"][1]["state"] = "unusable"
    saved["pools"][0]["nodes"].pop(0)
    saved["pools"][0].pop("currentDedicatedNodes")
    client.control("PUT", "state", saved)
    client.advance(600)
    pool = batch.get_pool("v")
    assert (pool.allocation_state, pool.current_dedicated_nodes, pool.resize_errors) == ("steady", 6, None)
    assert sorted(node.state for node in batch.list_nodes("v")) == ["idle"] * 5 + ["unusable"]
