"""The cells of the official client of today, on VM pools; upgradeos goes through its ``send_request``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from azure.batch import BatchClient, models
from azure.core import MatchConditions
from azure.core.credentials import AzureNamedKeyCredential
from azure.core.exceptions import HttpResponseError
from azure.core.rest import HttpRequest

from tests.simulator.raw_client import LAST, Client
from tests.simulator.seeds import NEW, OLD, WINDOWS

LONG = 3600
"""Its pollers run in their own threads; the cells do not wait for them."""


def refused(code: str, call: Callable[..., Any], *arguments: Any, **more: Any) -> None:
    """The call must fail with this Batch code."""
    seen = None
    try:
        call(*arguments, **more)
    except HttpResponseError as error:
        seen = error.error.code if error.error is not None else error.status_code
    assert str(seen) == code, f"{code} was expected, {seen} came"


def pool_add(batch: BatchClient) -> None:
    image = models.BatchVmImageReference(**WINDOWS, version="latest")
    machine = models.VirtualMachineConfiguration(image_reference=image, node_agent_sku_id="batch.node.windows amd64")
    pool = models.BatchPoolCreateOptions(id="n", vm_size="small", virtual_machine_configuration=machine)
    batch.create_pool(pool)
    refused("PoolExists", batch.create_pool, pool)


def pool_list(batch: BatchClient) -> None:
    (pool,) = batch.list_pools(filter="id eq 'v'", select=["id", "state"], max_results=1)
    assert (pool.id, pool.state) == ("v", models.BatchPoolState.ACTIVE)
    assert {each.id for each in batch.list_pools(max_results=1)} == {"p", "v"}
    refused("InvalidQueryParameterValue", lambda: list(batch.list_pools(filter="colour eq 'red'")))


def pool_get(batch: BatchClient) -> None:
    assert batch.get_pool("v").current_dedicated_nodes == 2
    refused("PoolNotFound", batch.get_pool, "q")


def pool_exists(batch: BatchClient) -> None:
    assert batch.pool_exists("v")
    # The client's own fault: its policy raises where it means to say False.
    refused("404", batch.pool_exists, "q")


def pool_delete(batch: BatchClient) -> None:
    batch.begin_delete_pool("v", polling_interval=LONG)
    assert batch.get_pool("v").state == models.BatchPoolState.DELETING
    refused("PoolBeingDeleted", batch.begin_delete_pool, "v", polling_interval=LONG)


def pool_patch(batch: BatchClient) -> None:
    pool = batch.get_pool("v")
    patch = models.BatchPoolUpdateOptions(metadata=[models.BatchMetadataItem(name="a", value="b")])
    condition: dict[str, Any] = {"etag": pool.etag, "match_condition": MatchConditions.IfNotModified}
    batch.update_pool("v", patch, **condition)
    refused("ConditionNotMet", batch.update_pool, "v", patch, **condition)


def pool_update_properties(batch: BatchClient) -> None:
    replace = models.BatchPoolReplaceOptions(application_package_references=[], metadata=[])
    batch.replace_pool_properties("v", replace)
    refused("PoolNotFound", batch.replace_pool_properties, "q", replace)


def resize(batch: BatchClient, size: int) -> None:
    batch.begin_resize_pool("v", models.BatchPoolResizeOptions(target_dedicated_nodes=size), polling_interval=LONG)


def pool_resize(batch: BatchClient) -> None:
    resize(batch, 3)
    assert batch.get_pool("v").allocation_state == models.AllocationState.RESIZING
    refused("PoolBeingResized", resize, batch, 4)


def pool_stop_resize(batch: BatchClient) -> None:
    refused("OperationInvalidForCurrentState", batch.begin_stop_pool_resize, "v", polling_interval=LONG)
    resize(batch, 3)
    batch.begin_stop_pool_resize("v", polling_interval=LONG)
    assert batch.get_pool("v").allocation_state == models.AllocationState.STOPPING


def remove(batch: BatchClient, name: str) -> None:
    batch.begin_remove_nodes("v", models.BatchNodeRemoveOptions(node_ids=[name]), polling_interval=LONG)


def pool_remove_nodes(batch: BatchClient) -> None:
    refused("NodeNotFound", remove, batch, "tvm-9")
    remove(batch, "tvm-1")
    assert batch.get_pool("v").target_dedicated_nodes == 1


def pool_enable_autoscale(batch: BatchClient) -> None:
    scale = models.BatchPoolEnableAutoScaleOptions(auto_scale_formula="$TargetDedicatedNodes=1")
    batch.enable_pool_auto_scale("v", scale)
    assert batch.get_pool("v").enable_auto_scale
    refused("TooManyEnableAutoScaleRequests", batch.enable_pool_auto_scale, "v", scale)


def pool_disable_autoscale(batch: BatchClient) -> None:
    batch.disable_pool_auto_scale("v")
    refused("PoolNotFound", batch.disable_pool_auto_scale, "q")


def pool_upgrade_os(batch: BatchClient) -> None:
    def upgrade(target: str) -> int:
        request = HttpRequest("POST", f"/pools/p/upgradeos?api-version={LAST}", json={"targetOSVersion": target})
        return batch.send_request(request).status_code

    refused("PoolVersionEqualsUpgradeVersion", upgrade, OLD)
    assert upgrade(NEW) == 202
    refused("UpgradePoolVersionConflict", upgrade, "*")


def node_list(batch: BatchClient) -> None:
    assert [node.state for node in batch.list_nodes("v", max_results=1)] == [models.BatchNodeState.IDLE] * 2
    refused("PoolNotFound", lambda: list(batch.list_nodes("q")))


def node_get(batch: BatchClient) -> None:
    assert batch.get_node("v", "tvm-1").is_dedicated
    refused("NodeNotFound", batch.get_node, "v", "tvm-9")


def node_counts(batch: BatchClient) -> None:
    assert {row.pool_id: row.dedicated.total for row in batch.list_pool_node_counts()} == {"p": 3, "v": 2}
    refused("InvalidQueryParameterValue", lambda: list(batch.list_pool_node_counts(filter="colour eq 'red'")))


def supported_images(batch: BatchClient) -> None:
    assert WINDOWS["sku"] in {row.image_reference.sku for row in batch.list_supported_images()}
    refused("InvalidQueryParameterValue", lambda: list(batch.list_supported_images(filter="colour eq 'red'")))


def job_add(batch: BatchClient) -> None:
    job = models.BatchJobCreateOptions(id="n", pool_info=models.BatchPoolInfo(pool_id="v"))
    batch.create_job(job)
    refused("JobExists", batch.create_job, job)


def job_list(batch: BatchClient) -> None:
    assert [job.id for job in batch.list_jobs()] == ["j"]
    refused("InvalidQueryParameterValue", lambda: list(batch.list_jobs(filter="colour eq 'red'")))


def job_get(batch: BatchClient) -> None:
    assert batch.get_job("j").state == models.BatchJobState.ACTIVE
    refused("JobNotFound", batch.get_job, "q")


def job_delete(batch: BatchClient) -> None:
    batch.begin_delete_job("j", polling_interval=LONG)
    refused("JobBeingDeleted", batch.begin_delete_job, "j", polling_interval=LONG)


def task_add(batch: BatchClient) -> None:
    task = models.BatchTaskCreateOptions(id="n", command_line="sleep 1")
    batch.create_task("j", task)
    refused("TaskExists", batch.create_task, "j", task)


def task_add_collection(batch: BatchClient) -> None:
    tasks = [models.BatchTaskCreateOptions(id=name, command_line="sleep 1") for name in ("a", "t1")]
    added, present = batch.create_task_collection("j", models.BatchTaskGroup(task_values=tasks)).result_values or []
    # The service writes Success, and this client has success.
    assert (str(added.status).lower(), added.task_id) == (models.BatchTaskAddStatus.SUCCESS.value, "a")
    assert (present.status, present.error.code) == (models.BatchTaskAddStatus.CLIENT_ERROR, "TaskExists")


def task_list(batch: BatchClient) -> None:
    assert [task.state for task in batch.list_tasks("j")] == [models.BatchTaskState.RUNNING]
    refused("JobNotFound", lambda: list(batch.list_tasks("q")))


def task_get(batch: BatchClient) -> None:
    assert batch.get_task("j", "t1").node_info.pool_id == "p"
    refused("TaskNotFound", batch.get_task, "j", "t9")


def task_delete(batch: BatchClient) -> None:
    batch.delete_task("j", "t1")
    refused("TaskNotFound", batch.delete_task, "j", "t1")


def _signed_in(cell: Callable[[BatchClient], None]) -> Callable[[Client], None]:
    def play(client: Client) -> None:
        at = client.simulator
        with BatchClient(at.endpoint, AzureNamedKeyCredential(at.account, at.key), retry_total=0) as batch:
            cell(batch)

    return play


CELLS: dict[str, Callable[[Client], None]] = {
    name: _signed_in(cell)
    for name, cell in {
        "Pool_Add": pool_add,
        "Pool_List": pool_list,
        "Pool_Get": pool_get,
        "Pool_Exists": pool_exists,
        "Pool_Delete": pool_delete,
        "Pool_Patch": pool_patch,
        "Pool_UpdateProperties": pool_update_properties,
        "Pool_Resize": pool_resize,
        "Pool_StopResize": pool_stop_resize,
        "Pool_RemoveNodes": pool_remove_nodes,
        "Pool_EnableAutoScale": pool_enable_autoscale,
        "Pool_DisableAutoScale": pool_disable_autoscale,
        "Pool_UpgradeOS": pool_upgrade_os,
        "ComputeNode_List": node_list,
        "ComputeNode_Get": node_get,
        "Account_ListPoolNodeCounts": node_counts,
        "Account_ListSupportedImages": supported_images,
        "Job_Add": job_add,
        "Job_List": job_list,
        "Job_Get": job_get,
        "Job_Delete": job_delete,
        "Task_Add": task_add,
        "Task_AddCollection": task_add_collection,
        "Task_List": task_list,
        "Task_Get": task_get,
        "Task_Delete": task_delete,
    }.items()
}
