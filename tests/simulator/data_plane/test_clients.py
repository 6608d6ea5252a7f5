"""Official clients of two generations, unchanged."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from azure.batch import BatchClient, models
from azure.core import MatchConditions
from azure.core.credentials import AzureNamedKeyCredential
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceModifiedError, ResourceNotFoundError
from azure.core.rest import HttpRequest

from tests.simulator.raw_client import LAST
from tests.simulator.seeds import NEW, OLD, job, paas, vm

IMAGES = [{"publisher": "canonical", "offer": "ubuntu", "sku": "22_04-lts", "version": "22.04.10"}]


@pytest.fixture
def batch(client):
    credential = AzureNamedKeyCredential(client.simulator.account, client.simulator.key)
    with BatchClient(client.simulator.endpoint, credential, retry_total=0) as made:
        yield made


def machine():
    image = models.BatchVmImageReference(publisher="canonical", offer="ubuntu", sku="22_04-lts", version="latest")
    return models.VirtualMachineConfiguration(image_reference=image, node_agent_sku_id="batch.node.ubuntu 22.04")


def test_pools_of_today(batch, client):
    client.put(images=IMAGES)
    options = models.BatchPoolCreateOptions(
        id="v", vm_size="standard_d2s_v3", virtual_machine_configuration=machine(), target_dedicated_nodes=2
    )
    batch.create_pool(options)
    with pytest.raises(ResourceExistsError) as caught:
        batch.create_pool(options)
    assert caught.value.error.code == "PoolExists"
    assert batch.pool_exists("v")
    with pytest.raises(ResourceNotFoundError):  # the client's own fault: its policy raises where it means to say False
        batch.pool_exists("w")
    with pytest.raises(ResourceNotFoundError) as missing:
        batch.get_pool("w")
    assert missing.value.error.code == "PoolNotFound"
    client.advance(300)
    pool = batch.get_pool("v")
    assert (pool.state, pool.allocation_state, pool.current_dedicated_nodes) == ("active", "steady", 2)
    assert [found.id for found in batch.list_pools(filter="state eq 'active'", select=["id"])] == ["v"]
    nodes = list(batch.list_nodes("v", max_results=1))
    assert [node.state for node in nodes] == ["idle", "idle"]
    node = batch.get_node("v", nodes[0].id)
    assert node.virtual_machine_info.image_reference.exact_version == "latest"
    (counts,) = batch.list_pool_node_counts()
    assert (counts.dedicated.idle, counts.dedicated.upgrading_os, counts.dedicated.total) == (2, 0, 2)


def test_writes_of_today(batch, client):
    client.put(vm())
    pool = batch.get_pool("v")
    patch = models.BatchPoolUpdateOptions(metadata=[models.BatchMetadataItem(name="a", value="b")])
    batch.update_pool("v", patch, etag=pool.etag, match_condition=MatchConditions.IfNotModified)
    with pytest.raises(ResourceModifiedError) as caught:
        batch.update_pool("v", patch, etag=pool.etag, match_condition=MatchConditions.IfNotModified)
    assert caught.value.error.code == "ConditionNotMet"
    replace = models.BatchPoolReplaceOptions(application_package_references=[], metadata=[])
    batch.replace_pool_properties("v", replace)
    assert not batch.get_pool("v").metadata
    batch.begin_resize_pool("v", models.BatchPoolResizeOptions(target_dedicated_nodes=5), polling_interval=0)
    assert batch.get_pool("v").allocation_state == "resizing"
    batch.begin_stop_pool_resize("v", polling_interval=0)
    client.advance(60)
    assert batch.get_pool("v").allocation_state == "steady"
    batch.begin_delete_pool("v", polling_interval=0)
    client.advance(60)
    assert list(batch.list_pools()) == []


def test_jobs_and_tasks_of_today(batch, client):
    client.put(vm())
    batch.create_job(models.BatchJobCreateOptions(id="j", pool_info=models.BatchPoolInfo(pool_id="v")))
    batch.create_task("j", models.BatchTaskCreateOptions(id="one", command_line="sleep 10"))
    more = [models.BatchTaskCreateOptions(id=f"t{place}", command_line="sleep 10") for place in range(150)]
    assert len(batch.create_tasks("j", more).result_values) == 150
    assert batch.get_job("j").state == "active"
    assert len(list(batch.list_tasks("j"))) == 151
    client.advance(2_000)
    assert {task.state for task in batch.list_tasks("j", max_results=40)} == {"completed"}
    assert batch.get_task("j", "one").execution_info.exit_code == 0
    batch.delete_task("j", "one")
    assert [found.id for found in batch.list_jobs()] == ["j"]


def send(batch, method, path, body=None, **headers):
    request = HttpRequest(method, f"{path}?api-version={LAST}", json=body, headers=headers)
    return batch.send_request(request)


def test_the_upgrade_through_the_client_of_today(batch, client):
    client.put(paas(), jobs=[job("sleep 500")])
    with pytest.raises(HttpResponseError) as caught:
        send(batch, "POST", "/pools/p/upgradeos", {"targetOSVersion": OLD})
    assert (caught.value.status_code, caught.value.error.code) == (400, "PoolVersionEqualsUpgradeVersion")
    assert caught.value.reason == "The pool is already with the given version."
    tag = send(batch, "GET", "/pools/p").json()["eTag"]
    answer = send(batch, "POST", "/pools/p/upgradeos", {"targetOSVersion": NEW}, **{"If-Match": f'"{tag}"'})
    assert (answer.status_code, answer.text()) == (202, "")
    with pytest.raises(ResourceModifiedError):
        send(batch, "POST", "/pools/p/upgradeos", {"targetOSVersion": NEW}, **{"If-Match": f'"{tag}"'})
    assert send(batch, "GET", "/pools/p").json()["state"] == "upgrading"
    assert batch.get_pool("p").state == "active"
    client.advance(600)
    assert send(batch, "GET", "/pools/p").json()["cloudServiceConfiguration"]["currentOSVersion"] == NEW


def test_a_lost_answer_looks_like_one(batch, client):
    client.put(vm())
    client.control("POST", "faults", {"effect": {"kind": "dropBefore"}})
    with pytest.raises(Exception, match=r"(?i)connection|closed|aborted"):
        batch.get_pool("v")


def test_the_last_generation_with_upgradeos(client):
    python = os.environ.get("BATCH_OS_TEST_AZURE_BATCH_5")
    assert python, "BATCH_OS_TEST_AZURE_BATCH_5 names no Python with azure-batch 5; run the tests with `make test`"
    script = Path(__file__).with_name("azure_batch_5.py")
    where = (client.simulator.endpoint, client.simulator.account, client.simulator.key)
    done = subprocess.run([python, script, *where], capture_output=True, text=True, timeout=120, check=False)  # noqa: S603 - ours
    assert (done.stdout.strip(), done.returncode) == ("ok", 0), done.stderr
