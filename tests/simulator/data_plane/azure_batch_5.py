"""The last client generation with upgradeos, azure-batch 5, drives every operation that the simulator implements.

It needs its own environment, so it is a script: ``azure_batch_5.py ENDPOINT ACCOUNT KEY`` prints ``ok``.
"""

from __future__ import annotations

import json
import sys
import urllib.request
from typing import Any

from azure.batch import BatchServiceClient, models
from azure.batch.batch_auth import SharedKeyCredentials

NEW = "WA-GUEST-OS-5.25_201811-01"


def refused(code: str, call: Any, *arguments: Any) -> None:
    """The call must fail with this Batch code."""
    seen = None
    try:
        call(*arguments)
    except models.BatchErrorException as error:
        seen = error.error
    assert seen is not None, f"{code} was expected"
    assert seen.code == code, seen.code
    assert "RequestId:" in seen.message.value


class Story:
    """One pool from its creation to its end."""

    def __init__(self, endpoint: str, account: str, key: str) -> None:
        self.endpoint = endpoint
        self.client = BatchServiceClient(SharedKeyCredentials(account, key), base_url=endpoint)

    def advance(self, seconds: int) -> None:
        body = json.dumps({"advance": seconds}).encode()
        request = urllib.request.Request(f"{self.endpoint}/_simulator/clock", body, method="POST")  # noqa: S310 - loopback
        with urllib.request.urlopen(request, timeout=60):  # noqa: S310 - loopback
            pass

    def pools(self) -> None:
        """Add, exists, get, list, patch, update properties, resize, stop."""
        client, advance = self.client, self.advance
        configuration = models.CloudServiceConfiguration(os_family="5")
        pool = models.PoolAddParameter(
            id="five", vm_size="small", cloud_service_configuration=configuration, target_dedicated_nodes=3
        )
        client.pool.add(pool)
        refused("PoolExists", client.pool.add, pool)
        assert client.pool.exists("five")
        assert not client.pool.exists("six")
        refused("PoolNotFound", client.pool.get, "six")
        advance(300)
        seen = client.pool.get("five")
        assert seen.allocation_state == models.AllocationState.steady
        assert (seen.current_dedicated_nodes, seen.state) == (3, models.PoolState.active)
        client.pool.patch("five", models.PoolPatchParameter(metadata=[models.MetadataItem(name="a", value="b")]))
        update = models.PoolUpdatePropertiesParameter(
            certificate_references=[], application_package_references=[], metadata=[]
        )
        client.pool.update_properties("five", update)
        assert client.pool.get("five").metadata is None
        options = models.PoolListOptions(filter="state eq 'active'", select="id,state", max_results=1)
        assert [found.id for found in client.pool.list(options)] == ["five"]
        client.pool.resize("five", models.PoolResizeParameter(target_dedicated_nodes=6))
        refused("PoolBeingResized", client.pool.upgrade_os, "five", NEW)
        client.pool.stop_resize("five")
        advance(60)
        assert client.pool.get("five").resize_errors[0].code == "ResizeStopped"
        client.pool.resize("five", models.PoolResizeParameter(target_dedicated_nodes=3))
        advance(300)

    def nodes(self) -> None:
        """List in pages of one, and get."""
        client = self.client
        nodes = list(client.compute_node.list("five", models.ComputeNodeListOptions(max_results=1)))
        assert [node.state for node in nodes] == [models.ComputeNodeState.idle] * 3
        assert client.compute_node.get("five", nodes[0].id).is_dedicated

    def tasks(self) -> None:
        """Jobs and tasks: add, list, get."""
        client = self.client
        client.job.add(models.JobAddParameter(id="job", pool_info=models.PoolInformation(pool_id="five")))
        client.task.add("job", models.TaskAddParameter(id="first", command_line="sleep 300"))
        more = [models.TaskAddParameter(id=f"t{place}", command_line="sleep 300") for place in range(4)]
        assert [row.status for row in client.task.add_collection("job", more).value] == [
            models.TaskAddStatus.success
        ] * 4
        assert client.job.get("job").state == models.JobState.active
        assert [found.id for found in client.job.list()] == ["job"]
        assert client.task.get("job", "first").node_info.pool_id == "five"

    def upgrade(self) -> None:
        """The operation that this generation was the last to have."""
        client, advance, endpoint = self.client, self.advance, self.endpoint
        refused("PoolVersionEqualsUpgradeVersion", client.pool.upgrade_os, "five", "*")
        stale = models.PoolUpgradeOsOptions(if_match="0x8D5000000000000")
        refused("ConditionNotMet", client.pool.upgrade_os, "five", NEW, stale)
        fresh = models.PoolUpgradeOsOptions(if_match=client.pool.get("five").e_tag)
        raw = client.pool.upgrade_os("five", NEW, fresh, raw=True)
        assert raw.response.status_code == 202
        assert raw.headers["ETag"] == client.pool.get("five").e_tag
        assert raw.headers["DataServiceId"] == f"{endpoint}/pools/five/upgradeos"
        assert raw.headers["Last-Modified"] is not None
        refused("UpgradePoolVersionConflict", client.pool.upgrade_os, "five", "WA-GUEST-OS-5.24_201810-01")
        seen = client.pool.get("five")
        assert seen.state == models.PoolState.upgrading
        assert seen.cloud_service_configuration.current_os_version == "*"
        counts = next(iter(client.account.list_pool_node_counts())).dedicated
        assert (counts.reimaging, counts.running, counts.total) == (1, 2, 3)
        waiting = [task for task in client.task.list("job") if task.execution_info.requeue_count]
        assert [task.state for task in waiting] == [models.TaskState.active]
        advance(5000)
        seen = client.pool.get("five")
        assert seen.state == models.PoolState.active
        assert seen.cloud_service_configuration.current_os_version == NEW
        assert {task.execution_info.exit_code for task in client.task.list("job")} == {0}

    def end(self) -> None:
        """Delete everything."""
        client, advance = self.client, self.advance
        client.task.delete("job", "first")
        client.job.delete("job")
        client.pool.delete("five")
        refused("PoolBeingDeleted", client.pool.delete, "five")
        advance(60)
        assert not client.pool.exists("five")
        assert list(client.job.list()) == []


if __name__ == "__main__":
    story = Story(*sys.argv[1:])
    for part in (story.pools, story.nodes, story.tasks, story.upgrade, story.end):
        part()
    print("ok")  # noqa: T201 - its result
