"""The operations on pools, their nodes, and the lists of an account.

A handler finds its pool, checks the conditional headers, calls a lifecycle of ``world`` and renders the result. The
rules are in the lifecycles.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from batch_os_provider.simulator.data_plane.answers import accepted, created, list_page, single, with_etag
from batch_os_provider.simulator.protocol import request_schemas
from batch_os_provider.simulator.protocol.redaction import redact
from batch_os_provider.simulator.protocol.response_shapes import counts_json, node_json, pool_json, visible
from batch_os_provider.simulator.protocol.wire import Answer
from batch_os_provider.simulator.world import pools, resizes, supported_images, upgrades
from batch_os_provider.simulator.world.errors import BatchError

if TYPE_CHECKING:
    from batch_os_provider.simulator.data_plane.answers import Rows
    from batch_os_provider.simulator.data_plane.request import Request
    from batch_os_provider.simulator.world.model import Pool

NODE_COUNTS_PAGE: Final = 10
"""Pools in one page of node counts."""


# --- pools ---


def _pool(request: Request) -> Pool:
    pool = request.world.pool(request.names[0])
    if not visible(request.world, pool, request.version):
        raise BatchError("PoolNotFound")
    request.check_condition(pool)
    return pool


def _pool_body(request: Request, pool: Pool) -> dict[str, Any]:
    return redact(pool_json(request.world, pool, request.version, request.base))


def pool_add(request: Request) -> Answer:
    """Pool_Add."""
    body = request.json(request_schemas.POOL_ADD)
    name = body.pop("id")
    cloud = body.pop("cloudServiceConfiguration", None)
    virtual = body.pop("virtualMachineConfiguration", None)
    if cloud is None and virtual is None:
        raise BatchError("MissingRequiredProperty", ("PropertyName", "virtualMachineConfiguration"))
    if cloud is not None and virtual is not None:
        raise BatchError(
            "InvalidPropertyValue",
            ("PropertyName", "virtualMachineConfiguration"),
            ("Reason", "cloudServiceConfiguration and virtualMachineConfiguration exclude each other"),
        )
    if cloud is not None:
        version = cloud.get("targetOSVersion", "*")
        cloud = {"osFamily": cloud["osFamily"], "targetOSVersion": version, "currentOSVersion": version}
    target = (body.pop("targetDedicatedNodes", 0), body.pop("targetLowPriorityNodes", 0))
    return created(request, pools.add(request.world, name, body, (cloud, virtual), target))


def pool_list(request: Request) -> Answer:
    """Pool_List."""
    world, version = request.world, request.version
    rows: Rows = [
        (pool.key, partial(_pool_body, request, pool)) for pool in world.pools.values() if visible(world, pool, version)
    ]
    return list_page(request, "pools", rows)


def pool_get(request: Request) -> Answer:
    """Pool_Get."""
    pool = _pool(request)
    return single(request, "pools", _pool_body(request, pool), pool)


def pool_exists(request: Request) -> Answer:
    """Pool_Exists."""
    return with_etag(200, _pool(request))


def pool_delete(request: Request) -> Answer:
    """Pool_Delete."""
    pool = _pool(request)
    pools.delete(request.world, pool)
    return Answer(202)


def pool_patch(request: Request) -> Answer:
    """Pool_Patch."""
    pool = _pool(request)
    pools.patch(request.world, pool, request.json(request_schemas.POOL_PATCH))
    return accepted(request, pool, 200)


def pool_update_properties(request: Request) -> Answer:
    """Pool_UpdateProperties: replaces the whole start task, packages, certificates and metadata."""
    pool = request.world.pool(request.names[0])  # the swagger file has no conditional headers here
    body = request.json(request_schemas.POOL_UPDATE)
    pools.update(request.world, pool, {"startTask": None, **{name: value or None for name, value in body.items()}})
    return accepted(request, pool, 204)


def pool_resize(request: Request) -> Answer:
    """Pool_Resize."""
    body = request.json(request_schemas.POOL_RESIZE)
    target = (body.get("targetDedicatedNodes"), body.get("targetLowPriorityNodes"))
    if target == (None, None):
        wanted = "targetDedicatedNodes and/or targetLowPriorityNodes"
        raise BatchError("MissingRequiredProperty", ("PropertyName", wanted))
    pool = _pool(request)
    option = body.get("nodeDeallocationOption", "requeue")
    resizes.resize(request.world, pool, target, body.get("resizeTimeout"), option)
    return accepted(request, pool)


def pool_remove_nodes(request: Request) -> Answer:
    """Pool_RemoveNodes."""
    pool = _pool(request)
    body = request.json(request_schemas.POOL_REMOVE_NODES)
    option = body.get("nodeDeallocationOption", "requeue")
    resizes.remove_nodes(request.world, pool, body["nodeList"], body.get("resizeTimeout"), option)
    return accepted(request, pool)


def pool_enable_autoscale(request: Request) -> Answer:
    """Pool_EnableAutoScale."""
    pool = _pool(request)
    resizes.enable_autoscale(request.world, pool, request.json(request_schemas.POOL_ENABLE_AUTOSCALE))
    return accepted(request, pool, 200)


def pool_disable_autoscale(request: Request) -> Answer:
    """Pool_DisableAutoScale."""
    pool = request.world.pool(request.names[0])  # the swagger file has no conditional headers here
    resizes.disable_autoscale(request.world, pool)
    return accepted(request, pool, 200)


def pool_stop_resize(request: Request) -> Answer:
    """Pool_StopResize."""
    pool = _pool(request)
    resizes.stop_resize(request.world, pool)
    return accepted(request, pool)


def pool_upgrade_os(request: Request) -> Answer:
    """Pool_UpgradeOS."""
    body = request.json(request_schemas.POOL_UPGRADE_OS)
    pool = _pool(request)
    upgrades.upgrade_os(request.world, pool, body["targetOSVersion"])
    return accepted(request, pool)


# --- nodes ---


def node_list(request: Request) -> Answer:
    """ComputeNode_List."""
    pool = _pool(request)
    rows: Rows = [
        (node.id.lower(), partial(node_json, request.world, pool, node, request.version, request.base))
        for node in pool.nodes.values()
    ]
    return list_page(request, "nodes", rows)


def node_get(request: Request) -> Answer:
    """ComputeNode_Get."""
    pool = _pool(request)
    node = request.world.node(*request.names)
    return single(request, "nodes", node_json(request.world, pool, node, request.version, request.base))


def node_counts(request: Request) -> Answer:
    """Account_ListPoolNodeCounts."""
    rows: Rows = [
        (pool.key, partial(counts_json, pool, request.version))
        for pool in request.world.pools.values()
        if visible(request.world, pool, request.version)
    ]
    return list_page(request, "poolnodecounts", rows, NODE_COUNTS_PAGE)


def list_supported_images(request: Request) -> Answer:
    """Account_ListSupportedImages."""
    rows: Rows = [(key, partial(dict, item)) for key, item in supported_images.supported_images(request.world)]
    return list_page(request, "supportedimages", rows)
