"""The peer: the OS version of a Batch pool as a dynamic provider written in an afternoon.

It does the least that works: read the pool, ask for the upgrade where the version differs, then read again every
five seconds until the version is the target. It uses nothing of batch_os_provider. azure-batch has no method for
upgradeos any more, so the requests go through its `send_request`.
"""

from __future__ import annotations

import os
import time
from typing import Any

from azure.batch import BatchClient
from azure.core.credentials import AzureNamedKeyCredential
from azure.core.rest import HttpRequest
from pulumi.dynamic import CreateResult, Resource, ResourceProvider, UpdateResult

API = "api-version=2018-08-01.7.0"
POLL = 5.0
"""Seconds between two reads of a pool."""


def upgrade(props: dict[str, Any]) -> dict[str, Any]:
    """Bring the pool to its target, and wait until it is there; the outputs."""
    credential = AzureNamedKeyCredential(os.environ["AZURE_BATCH_ACCOUNT"], os.environ["AZURE_BATCH_ACCESS_KEY"])
    pool_id, target = props["pool_id"], props["target_os_version"]

    with BatchClient(props["account_endpoint"], credential) as client:

        def current() -> str:
            response = client.send_request(HttpRequest("GET", f"/pools/{pool_id}?{API}"))
            response.raise_for_status()
            return str(response.json()["cloudServiceConfiguration"]["currentOSVersion"])

        seen = current()
        if seen != target:
            body = {"targetOSVersion": target}
            client.send_request(HttpRequest("POST", f"/pools/{pool_id}/upgradeos?{API}", json=body)).raise_for_status()
            while (seen := current()) != target:
                time.sleep(POLL)
    return {**props, "current_os_version": seen}


class OsVersionProvider(ResourceProvider):
    """Create and update are the same: the pool exists already."""

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Upgrade the pool."""
        return CreateResult(props["pool_id"], upgrade(props))

    def update(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> UpdateResult:
        """Upgrade the pool again."""
        return UpdateResult(upgrade(_news))


class OsVersion(Resource):
    """The OS version of one pool."""

    def __init__(self, name: str, provider: ResourceProvider, **props: Any) -> None:
        super().__init__(provider, name, {**props, "current_os_version": None})
