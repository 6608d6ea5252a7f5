"""Azure's clouds: where each takes tokens from, and where its Resource Manager is.

An account's endpoint names its cloud and its region, so no other setting is needed for them.

Sources: azure-batch's default scope, azure-identity's AzureAuthorityHosts, Batch's endpoint suffixes by cloud, and
azure-mgmt-core's ``get_arm_endpoints`` (the audience of US Government has another host than its endpoint).
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from batch_os_provider.batch.address import is_loopback

__all__ = ["AUTHORITIES", "SIMULATED_REGION", "Cloud", "cloud_of", "manager_of", "region_of"]

SIMULATED_REGION = "local"
"""The region of an account on this machine."""
_LABELS = 2


@dataclass(frozen=True)
class Cloud:
    """The differences between Azure's clouds: the token scope of Batch, the token authority, and Resource Manager."""

    suffix: str
    scope: str
    authority: str
    manager: str
    manager_scope: str


_CLOUDS = (
    Cloud(
        ".batch.azure.com",
        "https://batch.core.windows.net//.default",
        "login.microsoftonline.com",
        "https://management.azure.com",
        "https://management.azure.com/.default",
    ),
    Cloud(
        ".batch.chinacloudapi.cn",
        "https://batch.chinacloudapi.cn//.default",
        "login.chinacloudapi.cn",
        "https://management.chinacloudapi.cn",
        "https://management.chinacloudapi.cn/.default",
    ),
    Cloud(
        ".batch.usgovcloudapi.net",
        "https://batch.core.usgovcloudapi.net//.default",
        "login.microsoftonline.us",
        "https://management.usgovcloudapi.net",
        "https://management.core.usgovcloudapi.net/.default",
    ),
)
AUTHORITIES = frozenset(cloud.authority for cloud in _CLOUDS)
"""The authorities that Entra's instance discovery knows. Source: azure-identity's KnownAuthorities."""


def cloud_of(endpoint: str) -> Cloud:
    """The cloud of an endpoint; public Azure unless the suffix is that of another cloud."""
    host = urlsplit(endpoint).hostname or ""
    return next((cloud for cloud in _CLOUDS if host.endswith(cloud.suffix)), _CLOUDS[0])


def manager_of(endpoint: str) -> str:
    """The URL of Azure Resource Manager for an account. On this machine the simulator is both services."""
    return endpoint if is_loopback(endpoint) else cloud_of(endpoint).manager


def region_of(endpoint: str) -> str:
    """The region in ``account.region.batch.azure.com``; empty if the endpoint has another form."""
    if is_loopback(endpoint):
        return SIMULATED_REGION
    host, cloud = urlsplit(endpoint).hostname or "", cloud_of(endpoint)
    labels = host.removesuffix(cloud.suffix).split(".")
    return labels[1] if host.endswith(cloud.suffix) and len(labels) == _LABELS else ""
