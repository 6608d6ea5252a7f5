"""The cells of the last client generation with upgradeos, azure-batch 5, on Cloud Services pools.

It needs its own environment, so it is a script: ``azure_batch_5.py ENDPOINT ACCOUNT KEY`` reads one operation a line
and answers each with a line of JSON: the error as a string, empty on success.
"""

from __future__ import annotations

import json
import sys
import traceback
from typing import Any

from azure.batch import BatchServiceClient, models
from azure.batch.batch_auth import SharedKeyCredentials

OLD, NEW = "WA-GUEST-OS-5.24_201810-01", "WA-GUEST-OS-5.25_201811-01"


def refused(code: str, call: Any, *arguments: Any) -> None:
    """The call must fail with this Batch code."""
    seen = None
    try:
        call(*arguments)
    except models.BatchErrorException as error:
        seen = error.error.code
    assert seen == code, f"{code} was expected, {seen} came"


class Cells:
    """One method for each operation, by its name in lower case."""

    def __init__(self, endpoint: str, account: str, key: str) -> None:
        self.batch = BatchServiceClient(SharedKeyCredentials(account, key), base_url=endpoint)
        self.batch.config.retry_policy.policy.total = 0

    def pool_add(self) -> None:
        cloud = models.CloudServiceConfiguration(os_family="5")
        pool = models.PoolAddParameter(id="n", vm_size="small", cloud_service_configuration=cloud)
        self.batch.pool.add(pool)
        refused("PoolExists", self.batch.pool.add, pool)

    def pool_list(self) -> None:
        listed = self.batch.pool.list
        (pool,) = listed(models.PoolListOptions(filter="id eq 'p'", select="id,state", max_results=1))
        assert (pool.id, pool.state) == ("p", models.PoolState.active)
        assert {each.id for each in listed(models.PoolListOptions(max_results=1))} == {"p", "v"}
        wrong = models.PoolListOptions(filter="colour eq 'red'")
        refused("InvalidQueryParameterValue", lambda: list(listed(wrong)))

    def pool_get(self) -> None:
        assert self.batch.pool.get("p").cloud_service_configuration.current_os_version == OLD
        refused("PoolNotFound", self.batch.pool.get, "q")

    def pool_exists(self) -> None:
        assert self.batch.pool.exists("p")
        assert not self.batch.pool.exists("q")

    def pool_delete(self) -> None:
        self.batch.pool.delete("p")
        refused("PoolBeingDeleted", self.batch.pool.delete, "p")

    def pool_patch(self) -> None:
        patch = models.PoolPatchParameter(metadata=[models.MetadataItem(name="a", value="b")])
        options = models.PoolPatchOptions(if_match=self.batch.pool.get("p").e_tag)
        self.batch.pool.patch("p", patch, options)
        refused("ConditionNotMet", self.batch.pool.patch, "p", patch, options)

    def pool_updateproperties(self) -> None:
        update = models.PoolUpdatePropertiesParameter(
            certificate_references=[], application_package_references=[], metadata=[]
        )
        self.batch.pool.update_properties("p", update)
        refused("PoolNotFound", self.batch.pool.update_properties, "q", update)

    def pool_resize(self) -> None:
        size = models.PoolResizeParameter(target_dedicated_nodes=5)
        self.batch.pool.resize("p", size)
        refused("PoolBeingResized", self.batch.pool.resize, "p", size)

    def pool_stopresize(self) -> None:
        refused("OperationInvalidForCurrentState", self.batch.pool.stop_resize, "p")
        self.batch.pool.resize("p", models.PoolResizeParameter(target_dedicated_nodes=5))
        self.batch.pool.stop_resize("p")
        assert self.batch.pool.get("p").allocation_state == models.AllocationState.stopping

    def pool_removenodes(self) -> None:
        def remove(name: str) -> None:
            self.batch.pool.remove_nodes("p", models.NodeRemoveParameter(node_list=[name]))

        refused("NodeNotFound", remove, "tvm-9")
        remove("tvm-1")
        assert self.batch.pool.get("p").target_dedicated_nodes == 2

    def pool_enableautoscale(self) -> None:
        formula = "$TargetDedicatedNodes=1"
        self.batch.pool.enable_auto_scale("p", auto_scale_formula=formula)
        assert self.batch.pool.get("p").auto_scale_formula == formula
        refused("TooManyEnableAutoScaleRequests", self.batch.pool.enable_auto_scale, "p", formula)

    def pool_disableautoscale(self) -> None:
        self.batch.pool.disable_auto_scale("p")
        refused("PoolNotFound", self.batch.pool.disable_auto_scale, "q")

    def pool_upgradeos(self) -> None:
        refused("PoolVersionEqualsUpgradeVersion", self.batch.pool.upgrade_os, "p", OLD)
        raw = self.batch.pool.upgrade_os("p", NEW, raw=True)
        assert raw.headers["ETag"] == self.batch.pool.get("p").e_tag
        assert raw.headers["DataServiceId"].endswith("/pools/p/upgradeos")
        assert self.batch.pool.get("p").state == models.PoolState.upgrading
        refused("UpgradePoolVersionConflict", self.batch.pool.upgrade_os, "p", "*")

    def computenode_list(self) -> None:
        nodes = list(self.batch.compute_node.list("p", models.ComputeNodeListOptions(max_results=1)))
        assert [node.id for node in nodes] == ["tvm-1", "tvm-2", "tvm-3"]
        refused("PoolNotFound", lambda: list(self.batch.compute_node.list("q")))

    def computenode_get(self) -> None:
        assert self.batch.compute_node.get("p", "tvm-1").is_dedicated
        refused("NodeNotFound", self.batch.compute_node.get, "p", "tvm-9")

    def account_listpoolnodecounts(self) -> None:
        counts = self.batch.account.list_pool_node_counts
        assert {row.pool_id: row.dedicated.total for row in counts()} == {"p": 3, "v": 2}
        wrong = models.AccountListPoolNodeCountsOptions(filter="colour eq 'red'")
        refused("InvalidQueryParameterValue", lambda: list(counts(wrong)))

    def account_listsupportedimages(self) -> None:
        """Came with a later API version than this client speaks."""
        assert not hasattr(self.batch.account, "list_supported_images")

    def job_add(self) -> None:
        job = models.JobAddParameter(id="n", pool_info=models.PoolInformation(pool_id="p"))
        self.batch.job.add(job)
        refused("JobExists", self.batch.job.add, job)

    def job_list(self) -> None:
        assert [job.id for job in self.batch.job.list()] == ["j"]
        wrong = models.JobListOptions(filter="colour eq 'red'")
        refused("InvalidQueryParameterValue", lambda: list(self.batch.job.list(wrong)))

    def job_get(self) -> None:
        assert self.batch.job.get("j").state == models.JobState.active
        refused("JobNotFound", self.batch.job.get, "q")

    def job_delete(self) -> None:
        self.batch.job.delete("j")
        refused("JobBeingDeleted", self.batch.job.delete, "j")

    def task_add(self) -> None:
        task = models.TaskAddParameter(id="n", command_line="sleep 1")
        self.batch.task.add("j", task)
        refused("TaskExists", self.batch.task.add, "j", task)

    def task_addcollection(self) -> None:
        tasks = [models.TaskAddParameter(id=f"n{place}", command_line="sleep 1") for place in range(150)]
        added = self.batch.task.add_collection("j", tasks).value
        assert [row.status for row in added] == [models.TaskAddStatus.success] * 150
        # A task that is there already counts as added with this client.
        assert len(self.batch.task.add_collection("j", tasks[:1]).value) == 1
        codes = []
        try:
            self.batch.task.add_collection("q", tasks[:1])
        except models.CreateTasksErrorException as error:
            codes = [each.error.code for each in error.errors]
        assert codes == ["JobNotFound"]

    def task_list(self) -> None:
        assert [task.state for task in self.batch.task.list("j")] == [models.TaskState.running]
        refused("JobNotFound", lambda: list(self.batch.task.list("q")))

    def task_get(self) -> None:
        assert self.batch.task.get("j", "t1").node_info.pool_id == "p"
        refused("TaskNotFound", self.batch.task.get, "j", "t9")

    def task_delete(self) -> None:
        self.batch.task.delete("j", "t1")
        refused("TaskNotFound", self.batch.task.delete, "j", "t1")


def main() -> None:
    """Play what is asked for."""
    cells = Cells(*sys.argv[1:])
    for line in sys.stdin:
        trouble = ""
        try:
            getattr(cells, line.strip().lower())()
        except Exception:  # noqa: BLE001 - whatever it is, the other cells are played too
            trouble = traceback.format_exc()
        print(json.dumps(trouble), flush=True)  # noqa: T201 - its result


if __name__ == "__main__":
    main()
