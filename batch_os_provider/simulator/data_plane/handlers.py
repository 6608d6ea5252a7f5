"""Which function handles which operation.

Here requests meet the simulated account: a handler takes a checked request and returns an answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from batch_os_provider.simulator.data_plane import job_handlers, pool_handlers

if TYPE_CHECKING:
    from collections.abc import Callable

    from batch_os_provider.simulator.data_plane.request import Request
    from batch_os_provider.simulator.protocol.wire import Answer

HANDLERS: Final[dict[str, Callable[[Request], Answer]]] = {
    "Pool_Add": pool_handlers.pool_add,
    "Pool_List": pool_handlers.pool_list,
    "Pool_Get": pool_handlers.pool_get,
    "Pool_Exists": pool_handlers.pool_exists,
    "Pool_Delete": pool_handlers.pool_delete,
    "Pool_Patch": pool_handlers.pool_patch,
    "Pool_UpdateProperties": pool_handlers.pool_update_properties,
    "Pool_Resize": pool_handlers.pool_resize,
    "Pool_StopResize": pool_handlers.pool_stop_resize,
    "Pool_RemoveNodes": pool_handlers.pool_remove_nodes,
    "Pool_EnableAutoScale": pool_handlers.pool_enable_autoscale,
    "Pool_DisableAutoScale": pool_handlers.pool_disable_autoscale,
    "Pool_UpgradeOS": pool_handlers.pool_upgrade_os,
    "ComputeNode_List": pool_handlers.node_list,
    "ComputeNode_Get": pool_handlers.node_get,
    "Account_ListPoolNodeCounts": pool_handlers.node_counts,
    "Account_ListSupportedImages": pool_handlers.list_supported_images,
    "Job_Add": job_handlers.job_add,
    "Job_List": job_handlers.job_list,
    "Job_Get": job_handlers.job_get,
    "Job_Delete": job_handlers.job_delete,
    "Task_Add": job_handlers.task_add,
    "Task_AddCollection": job_handlers.task_add_collection,
    "Task_List": job_handlers.task_list,
    "Task_Get": job_handlers.task_get,
    "Task_Delete": job_handlers.task_delete,
}
"""Operation id -> its function."""
