"""The calls to Batch: one method for each, for both kinds of pools.

Of the provider only this module knows paths, API versions and bodies; ``connection`` sends the calls and classifies
the answers.

API versions: upgradeos exists up to 2018-08-01.7.0, so a pool is read with that version. If the service refuses it, the
pool is read again with the newest version, only to learn the kind of the pool. VM pools are renewed with the newest
version.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import isodate

from batch_os_provider.batch.address import PoolRef
from batch_os_provider.batch.connection import Connection, json_object
from batch_os_provider.batch.empty_marker import EmptyMarker, PoolImage
from batch_os_provider.batch.image_reference import at_version, list_versions, reference_of
from batch_os_provider.batch.pool import Kind, Node, Pool
from batch_os_provider.batch.response_headers import header, http_date
from batch_os_provider.batch.supported_images import SupportedImage
from batch_os_provider.batch.vm_pool import MARKER, Marker, VmNode, VmPool
from batch_os_provider.errors import ApiRetiredError, PermanentError, PoolGoneError, ServiceAnswer, ServiceError
from batch_os_provider.runtime.per_account import PerAccount
from batch_os_provider.wording import counted

if TYPE_CHECKING:
    from azure.core.pipeline.transport import HttpTransport

__all__ = ["LAST_WITH_UPGRADE_OS", "NEWEST", "BatchClient", "shared_client"]

LAST_WITH_UPGRADE_OS = "2018-08-01.7.0"
"""The last API version that has upgradeos (swagger; it is gone from 2018-12-01.8.0)."""
NEWEST = "2025-06-01"
"""The newest API version, the default of azure-batch 15.1."""

_VERSION_REFUSED = "UnsupportedRequestVersion"
# Possible answers to an operation that no longer exists; Azure does not document which one comes.
_OPERATION_UNKNOWN = frozenset({"InvalidUri", "ResourceNotFound", "UnsupportedHttpVerb", _VERSION_REFUSED})
_NODE_FIELDS = "id,state,lastBootTime,runningTasksCount,errors,startTaskInfo"
_POOL_FIELDS = (
    "id,state,stateTransitionTime,allocationState,allocationStateTransitionTime,eTag,enableAutoScale,"
    "currentDedicatedNodes,currentLowPriorityNodes,virtualMachineConfiguration"
)
# The newest version has no such property; it may refuse the name.
_OLD_POOL_FIELDS = f"{_POOL_FIELDS},cloudServiceConfiguration"
_VM_POOL_FIELDS = (
    f"{_POOL_FIELDS},targetDedicatedNodes,targetLowPriorityNodes,resizeErrors,metadata,upgradePolicy,"
    "autoScaleFormula,autoScaleEvaluationInterval"
)
_VM_NODE_FIELDS = (
    "id,state,isDedicated,allocationTime,virtualMachineInfo,runningTasksCount,errors,startTaskInfo,nodeAgentInfo"
)
_MARKER_REFUSED = frozenset({400, 413})
"""Statuses of a body that Batch does not accept; nothing was changed then."""
_NOT_STEADY = "allocationState ne 'steady'"
_WRITE = "Microsoft.Batch/batchAccounts/pools/write"
_UPGRADE = "Microsoft.Batch/batchAccounts/pools/upgradeOs/action"
# Azure no longer lists this action and refuses custom roles that name it; the built-in role has pools/*.
_HOLDS_UPGRADE = "which the role Azure Batch Data Contributor holds"


class BatchClient:
    """One account's data plane.

    Args:
        endpoint: the account's endpoint, normalised.
        environ: the environment that holds the credentials.
        transport: as for ``Connection``.

    Raises:
        CredentialError: no credential fits the endpoint.
    """

    def __init__(
        self, endpoint: str, environ: Mapping[str, str], transport: HttpTransport[Any, Any] | None = None
    ) -> None:
        self._connection = Connection(endpoint, environ, transport)

    @property
    def signed_in_as(self) -> str:
        """The name of the credential in messages; never the credential."""
        return self._connection.signed_in_as

    def list_pools(self) -> tuple[Pool, ...]:
        """All pools of the account, as the last API version with upgradeos shows them, every page.

        If Batch no longer answers that version, they come from the newest one, which shows of Cloud Services pools only
        that they are not VM pools.

        Raises:
            CredentialError, TransientError, PermanentError: see there.
        """
        try:
            return tuple(self._pools(LAST_WITH_UPGRADE_OS, _OLD_POOL_FIELDS))
        except PermanentError as error:
            if not _is_version_refused(error):
                raise
            return tuple(self._pools(NEWEST, _POOL_FIELDS))

    def list_upgrading(self) -> tuple[Pool, ...]:
        """The pools that are upgrading, as the last API version with upgradeos shows them, every page.

        Raises:
            CredentialError, TransientError, PermanentError: see there.
        """
        return tuple(self._pools(LAST_WITH_UPGRADE_OS, _OLD_POOL_FIELDS, "state eq 'upgrading'"))

    def list_resizing(self) -> tuple[Pool, ...]:
        """The pools that are not steady, as the last API version with upgradeos shows them, every page.

        Raises:
            CredentialError, TransientError, PermanentError: see there.
        """
        return tuple(self._pools(LAST_WITH_UPGRADE_OS, _OLD_POOL_FIELDS, _NOT_STEADY))

    def list_resizing_vms(self) -> tuple[VmPool, ...]:
        """The pools that are not steady, as the newest API version shows them, every page.

        Raises:
            CredentialError, TransientError, PermanentError: see there.
        """
        return tuple(self._vm_pools(_list_path(NEWEST, _VM_POOL_FIELDS, _NOT_STEADY)))

    def list_vm_pools(self) -> tuple[VmPool, ...]:
        """All pools of the account as the newest API version shows them, every page.

        Raises:
            CredentialError, TransientError, PermanentError: see there.
        """
        return tuple(self._vm_pools(f"/pools?{urlencode({'api-version': NEWEST})}"))

    def list_supported_images(self) -> tuple[SupportedImage, ...]:
        """All images that Batch supports in this account, as the newest API version shows them, every page.

        Raises:
            CredentialError, TransientError, PermanentError: see there.
        """
        path = f"/supportedimages?{urlencode({'api-version': NEWEST})}"
        return tuple(SupportedImage.from_json(body) for body in self._connection.images(path))

    def _pools(self, api_version: str, fields: str, condition: str = "") -> Iterator[Pool]:
        for body, at in self._connection.pools(_list_path(api_version, fields, condition)):
            yield Pool.from_json(self._ref(body), body, seen_at=at)

    def _vm_pools(self, path: str) -> Iterator[VmPool]:
        for body, at in self._connection.pools(path):
            yield VmPool.from_json(self._ref(body), body, seen_at=at)

    def _ref(self, body: Mapping[str, Any]) -> PoolRef:
        return PoolRef(self._connection.endpoint, str(body.get("id", "")))

    def get_pool(self, ref: PoolRef) -> Pool:
        """Read a pool, as the last API version with upgradeos shows it.

        If Batch no longer answers that version, a VM pool comes from the newest one; the values are the same.

        Raises:
            PoolGoneError: 404 PoolNotFound.
            ApiRetiredError: Batch refuses the version, and the pool is not a VM pool.
            CredentialError, TransientError, PermanentError: see there.

        """
        try:
            return self._pool(ref, LAST_WITH_UPGRADE_OS)
        except PermanentError as error:
            if not _is_version_refused(error):
                raise
            try:
                pool = self._pool(ref, NEWEST)
            except PoolGoneError:
                # The newest version may hide a pool of the retired kind, so this does not prove that the pool is gone.
                raise _retired(ref, error.reply) from error
            if pool.kind is Kind.VM:
                return pool
            raise _retired(ref, error.reply) from error

    def list_nodes(self, ref: PoolRef) -> tuple[Node, ...]:
        """All nodes of a pool, every page.

        Raises:
            PoolGoneError, CredentialError, TransientError, PermanentError: as ``get_pool``.

        """
        query = urlencode({"api-version": LAST_WITH_UPGRADE_OS, "$select": _NODE_FIELDS}, safe="$,")
        return tuple(Node.from_json(body) for body in self._connection.pages(f"{_path(ref)}/nodes?{query}", ref.url))

    def upgrade_os(self, ref: PoolRef, target: str, etag: str) -> datetime | None:
        """POST upgradeos once. Return the service's time of the change (``Last-Modified``), or None.

        Args:
            ref: the pool.
            target: ``targetOSVersion``, already validated.
            etag: the pool's ETag as just read; the write happens only if it still matches. Empty if the service sent
                none: then the write is unconditional.

        Raises:
            ConflictError: 409, 412, or 400 PoolVersionEqualsUpgradeVersion: read, then decide again.
            ApiRetiredError: Batch no longer has the operation.
            TransientError: the write may have happened: read, then decide again.
            PoolGoneError, CredentialError, PermanentError: see there.

        """
        try:
            response = self._connection.send(
                "POST",
                f"{_path(ref)}/upgradeos?api-version={LAST_WITH_UPGRADE_OS}",
                ref.url,
                doing="starting the upgrade (POST upgradeos)",
                right=f"{_UPGRADE}, {_HOLDS_UPGRADE}",
                etag=etag,
                body={"targetOSVersion": target},
            )
        except PermanentError as error:
            if error.code in _OPERATION_UNKNOWN or _is_version_refused(error):
                raise _retired(ref, error.reply) from error
            raise
        return http_date(response.headers.get("Last-Modified"))

    def get_vm_pool(self, ref: PoolRef) -> VmPool:
        """Read a pool as the newest API version shows it.

        Raises:
            PoolGoneError, CredentialError, TransientError, PermanentError: see there.
        """
        body, headers = self._read(ref, NEWEST)
        pool = VmPool.from_json(ref, body, etag=headers["ETag"], seen_at=http_date(headers["Date"]))
        if pool.base.kind is not Kind.UNKNOWN:
            return pool
        try:
            # The newest version does not show the configuration of a Cloud Services pool; the last old one does.
            return replace(pool, base=self._pool(ref, LAST_WITH_UPGRADE_OS))
        except PermanentError as error:
            if not _is_version_refused(error):
                raise
            return pool

    def list_vm_nodes(self, ref: PoolRef) -> tuple[VmNode, ...]:
        """All nodes of a VM pool with the image version of each, every page.

        Raises:
            PoolGoneError, CredentialError, TransientError, PermanentError: see there.
        """
        query = urlencode({"api-version": NEWEST, "$select": _VM_NODE_FIELDS}, safe="$,")
        return tuple(VmNode.from_json(body) for body in self._connection.pages(f"{_path(ref)}/nodes?{query}", ref.url))

    def newest_image_version(self, ref: PoolRef) -> str:
        """The newest image version on a VM pool's nodes; empty if no node shows a version.

        Raises:
            PoolGoneError, CredentialError, TransientError, PermanentError: see there.
        """
        versions = [(node.version, node.version_text) for node in self.list_vm_nodes(ref) if node.version is not None]
        return max(versions)[1] if versions else ""

    def set_marker(self, pool: VmPool, marker: Marker | EmptyMarker | None) -> None:
        """PATCH the pool's metadata with our marker, or without it (None); other entries stay as read.

        Raises:
            ConflictError: the pool has changed since it was read. Else as ``get_vm_pool``; PermanentError also where
                Batch does not accept the marker, for instance because it is too long.
        """
        kept = [dict(entry) for entry in pool.metadata if entry.get("name") != MARKER]
        marked = [] if marker is None else [{"name": MARKER, "value": str(marker)}]
        doing = "writing the marker of the renewal to the pool's metadata"
        try:
            self._write("PATCH", "", pool, doing, {"metadata": kept + marked})
        except PermanentError as error:
            if marker is not None and error.reply.status in _MARKER_REFUSED:
                unchanged = "the marker was not changed" if pool.is_marked else "nothing was changed"
                error.add(f"{unchanged}; the marker has {counted(len(str(marker)), 'character')}")
                error.next_step = (
                    "Read the service's text. If the marker is too long, shorten the autoscale formula, or empty the "
                    'pool by hand and declare strategy="when_empty"'
                )
            raise

    def resize(self, pool: VmPool, size: int) -> None:
        """POST resize to ``size`` dedicated nodes; the target of spot nodes is sent as read.

        Raises:
            ConflictError: the pool is being resized, scales itself, or has changed. Else as ``get_vm_pool``.
        """
        body = {"targetDedicatedNodes": size, "targetLowPriorityNodes": pool.target_spot}
        self._write("POST", "/resize", pool, f"resizing it to {counted(size, 'node')}", body)

    def remove_nodes(self, pool: VmPool, nodes: tuple[str, ...], timeout: float) -> None:
        """POST removenodes with the option taskcompletion: tasks are not stopped.

        Args:
            pool: the pool as just read.
            nodes: at most 100 node ids.
            timeout: seconds that the nodes' tasks may take; nodes with tasks after that stay.

        Raises:
            ConflictError: the pool is being resized, or has changed. Else as ``get_vm_pool``.
        """
        body = {
            "nodeList": list(nodes),
            "nodeDeallocationOption": "taskcompletion",
            "resizeTimeout": isodate.duration_isoformat(timedelta(seconds=timeout)),
        }
        self._write("POST", "/removenodes", pool, f"removing {counted(len(nodes), 'node')}", body)

    def resize_all(self, pool: VmPool, dedicated: int, spot: int, timeout: float | None = None) -> None:
        """POST resize to these numbers of dedicated and spot nodes, with the option taskcompletion.

        Args:
            pool: the pool as just read.
            dedicated: the target number of dedicated nodes.
            spot: the target number of spot nodes.
            timeout: seconds that the tasks of leaving nodes may take (``resizeTimeout``); None is Batch's default.

        Raises:
            ConflictError: the pool is being resized, scales itself, or has changed. Else as ``get_vm_pool``.
        """
        body: dict[str, Any] = {
            "targetDedicatedNodes": dedicated,
            "targetLowPriorityNodes": spot,
            "nodeDeallocationOption": "taskcompletion",
        }
        if timeout is not None:
            body["resizeTimeout"] = isodate.duration_isoformat(timedelta(seconds=timeout))
        self._write("POST", "/resize", pool, f"resizing it to {counted(dedicated + spot, 'node')}", body)

    def disable_autoscale(self, pool: VmPool) -> None:
        """POST disableautoscale: the targets stay, and Batch forgets the formula.

        The operation documents no conditional headers. If-Match is sent all the same: where Batch honours it, a formula
        that was edited in the same instant is not lost.

        Raises:
            ConflictError: the pool has changed since it was read. Else as ``get_vm_pool``.
        """
        self._write("POST", "/disableautoscale", pool, "holding its autoscale formula")

    def enable_autoscale(self, pool: VmPool, formula: str, interval: str) -> None:
        """POST enableautoscale with a formula, and its interval as Batch showed it (empty: Batch's default).

        Raises:
            ConflictError: the pool is being resized, or has changed. Else as ``get_vm_pool``; TransientError also for a
                second call within 30 s.
        """
        body = {"autoScaleFormula": formula, **({"autoScaleEvaluationInterval": interval} if interval else {})}
        self._write("POST", "/enableautoscale", pool, "enabling its autoscale formula", body)

    def repin(self, pool: VmPool, version: str, onto: PoolImage | None = None) -> None:
        """PATCH the configuration of an empty pool as read, with only the image version changed.

        ``version`` is the declared text: Azure has `22.04.202405140` and not `22.4.202405140`. The version of a gallery
        image is the end of its id; ``latest`` is the id without it. ``onto`` is another image; its reference and its
        node agent SKU are then changed together.

        Raises:
            ConflictError: the pool is no longer empty, or has changed. Else as ``get_vm_pool``; PermanentError
                also where the image has no such version.
        """
        if onto is None:
            reference, agent = at_version(pool.configuration["imageReference"], version), pool.agent
            doing = f"pinning its image to {version}"
        else:
            reference, agent = reference_of(onto.name, onto.version), onto.agent or pool.agent
            doing = f"changing its image to {onto} ({agent})"
        body = {"imageReference": reference, **({"nodeAgentSKUId": agent} if agent else {})}
        try:
            self._write("PATCH", "", pool, doing, {"virtualMachineConfiguration": {**pool.configuration, **body}})
        except PermanentError as error:
            if error.code == "InvalidPropertyValue":
                error.next_step = (
                    f"List the versions with `{list_versions(reference)}`, and declare one of them, spelled as there"
                )
                if onto is not None:
                    error.next_step += (
                        ". `az batch pool supported-images list` has the node agent SKU of each image (node_agent_sku)"
                    )
            raise

    def _write(self, method: str, action: str, pool: VmPool, doing: str, body: Mapping[str, Any] | None = None) -> None:
        ref = pool.base.ref
        path = f"{_path(ref)}{action}?api-version={NEWEST}"
        self._connection.send(method, path, ref.url, doing=doing, right=_WRITE, etag=pool.base.etag, body=body)

    def _pool(self, ref: PoolRef, api_version: str) -> Pool:
        body, headers = self._read(ref, api_version)
        return Pool.from_json(ref, body, etag=headers["ETag"], seen_at=http_date(headers["Date"]))

    def _read(self, ref: PoolRef, api_version: str) -> tuple[Mapping[str, Any], Mapping[str, str]]:
        """A pool's JSON, and its headers ETag and Date."""
        response = self._connection.send("GET", f"{_path(ref)}?api-version={api_version}", ref.url)
        headers = {name: header(response, name) for name in ("ETag", "Date")}
        return json_object(response, ref.url, "reading the pool"), headers


def _list_path(api_version: str, fields: str, condition: str) -> str:
    query = {"api-version": api_version, **({"$filter": condition} if condition else {}), "$select": fields}
    return f"/pools?{urlencode(query, safe='$,', quote_via=quote)}"


def _path(ref: PoolRef) -> str:
    return f"/pools/{quote(ref.pool_id, safe='')}"


def _is_version_refused(error: ServiceError) -> bool:
    """The two codes seen for an API version that is not served (status table, and a recording on ARM)."""
    if error.code == _VERSION_REFUSED:
        return True
    return error.code == "InvalidQueryParameterValue" and "api-version" in error.reply.message.lower()


def _retired(ref: PoolRef, answer: ServiceAnswer) -> ApiRetiredError:
    return ApiRetiredError(
        f"Batch no longer answers API version {LAST_WITH_UPGRADE_OS}, the last one with upgradeos, "
        "so the OS version of Cloud Services pools can no longer be changed",
        pool=ref.url,
        next_step="Move the work to a VM pool (virtualMachineConfiguration) "
        "and remove this PoolOsVersion from the program",
        answer=answer,
    )


shared_client = PerAccount(lambda endpoint: BatchClient(endpoint, os.environ))
"""One client, credential and connection pool for each account. Raises CredentialError: no credential fits."""
