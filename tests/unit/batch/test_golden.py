"""The recorded traffic (tests/simulator/protocol/golden) as input of what reads the answers of Batch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from batch_os_provider.batch.address import PoolRef
from batch_os_provider.batch.pool import AllocationState, Kind, Node, Pool, PoolState
from batch_os_provider.batch.vm_pool import VmNode

FOLDER = Path(__file__).parents[2] / "simulator" / "protocol" / "golden"
REF = PoolRef("https://a.westeurope.batch.azure.com", "p")


def bodies(kind: str) -> list[Any]:
    """Every whole object of this kind in the answers of all recordings."""
    found = []
    for path in sorted(FOLDER.glob("*.json")):
        for place, exchange in enumerate(json.loads(path.read_text(encoding="utf-8")).get("exchanges", ()), 1):
            body = exchange["body"] or {}
            rows = body["value"] if isinstance(body.get("value"), list) else [body]
            if f"#{kind}" in body.get("odata.metadata", "") and "$select" not in exchange["query"]:
                found += [
                    pytest.param(row, id=f"{path.stem[:2]}.{place}.{row_place}") for row_place, row in enumerate(rows)
                ]
    return found


POOLS = [row for row in bodies("pools") if row.values[0]]
NODES = bodies("nodes")


@pytest.mark.parametrize("body", POOLS)
def test_a_recorded_pool_is_read(body: dict[str, Any]) -> None:
    pool = Pool.from_json(REF, body)
    assert pool.kind is (Kind.VM if "virtualMachineConfiguration" in body else Kind.CLOUD_SERVICES)
    assert pool.state in (PoolState.ACTIVE, PoolState.DELETING)
    assert pool.allocation in (AllocationState.STEADY, AllocationState.RESIZING, AllocationState.STOPPING)
    assert pool.etag == body["eTag"]
    assert pool.changed_at is not None
    assert pool.allocation_changed_at is not None
    assert pool.node_count == body["currentDedicatedNodes"] + body["currentLowPriorityNodes"]
    assert (pool.kind is Kind.VM) is bool(pool.image)


@pytest.mark.parametrize("body", NODES)
def test_a_recorded_node_is_read(body: dict[str, Any]) -> None:
    vm_node, node = VmNode.from_json(body), Node.from_json(body)
    exact = body["virtualMachineInfo"].get("imageReference", {}).get("exactVersion", "")
    assert (vm_node.node_id, node.node_id) == (body["id"], body["id"])
    assert vm_node.state == node.state == body["state"]
    assert (vm_node.version_text, vm_node.version) == (exact, None)  # each of these shows latest, or nothing
    assert vm_node.is_ready is node.is_up is (body["state"] == "idle")
    assert vm_node.allocated
    assert (node.last_boot_time is None) is ("lastBootTime" not in body)
    assert not vm_node.error
    assert not node.error


def test_there_are_pools_and_nodes_of_every_recorded_state() -> None:
    assert {row.values[0]["allocationState"] for row in POOLS} == {"steady", "resizing", "stopping"}
    assert {row.values[0]["state"] for row in NODES} == {"creating", "starting", "idle", "reimaging"}
