"""What the rest of the package needs of Azure Batch, as protocols; ``client.BatchClient`` is the real one.

Rollouts, previews and commands depend on these few calls and not on the client, so tests can play Batch on a virtual
clock.
"""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from batch_os_provider.batch.address import PoolRef
from batch_os_provider.batch.empty_marker import EmptyMarker, PoolImage
from batch_os_provider.batch.pool import Node, Pool
from batch_os_provider.batch.supported_images import SupportedImage
from batch_os_provider.batch.vm_pool import Marker, VmNode, VmPool

__all__ = ["AccountReader", "ImageReader", "PolledAccount", "Service", "VmService"]


class AccountReader(Protocol):
    """What a preview and the commands read of an account."""

    @property
    def signed_in_as(self) -> str:
        """The name of the credential in messages."""

    def list_pools(self) -> tuple[Pool, ...]:
        """All pools, as the last API version with upgradeos shows them."""

    def list_vm_pools(self) -> tuple[VmPool, ...]:
        """All pools, as the newest API version shows them."""

    def get_pool(self, ref: PoolRef) -> Pool:
        """One pool, as the last API version with upgradeos shows it."""

    def get_vm_pool(self, ref: PoolRef) -> VmPool:
        """One pool, as the newest API version shows it."""

    def list_nodes(self, ref: PoolRef) -> tuple[Node, ...]:
        """All nodes of a Cloud Services pool."""

    def list_vm_nodes(self, ref: PoolRef) -> tuple[VmNode, ...]:
        """All nodes of a VM pool, with the image version of each."""


class ImageReader(Protocol):
    """What a preview, the command `status` and a policy ask about the end of images."""

    def list_supported_images(self) -> tuple[SupportedImage, ...]:
        """All images that Batch supports in this account."""


class Service(Protocol):
    """What an upgrade needs of Batch."""

    def get_pool(self, ref: PoolRef) -> Pool:
        """Read the pool."""

    def list_nodes(self, ref: PoolRef) -> tuple[Node, ...]:
        """Read all its nodes."""

    def upgrade_os(self, ref: PoolRef, target: str, etag: str) -> datetime | None:
        """Start the upgrade, once."""

    def newest_image_version(self, ref: PoolRef) -> str:
        """Read the newest image version on a VM pool's nodes; empty if no node shows a version."""


class VmService(Protocol):
    """What a renewal needs of Batch. Each write is conditional on the ETag of the pool, if Batch sent one."""

    def get_vm_pool(self, ref: PoolRef) -> VmPool:
        """Read the pool."""

    def list_vm_nodes(self, ref: PoolRef) -> tuple[VmNode, ...]:
        """Read all its nodes."""

    def set_marker(self, pool: VmPool, marker: Marker | EmptyMarker | None) -> None:
        """Write the marker to the pool's metadata, or clear it (None); other entries stay."""

    def resize(self, pool: VmPool, size: int) -> None:
        """Set the number of dedicated nodes."""

    def remove_nodes(self, pool: VmPool, nodes: tuple[str, ...], timeout: float) -> None:
        """Remove nodes; their tasks have ``timeout`` seconds to finish."""

    def resize_all(self, pool: VmPool, dedicated: int, spot: int, timeout: float | None = None) -> None:
        """Set the numbers of dedicated and spot nodes; nodes that leave finish their tasks first."""

    def disable_autoscale(self, pool: VmPool) -> None:
        """Turn the pool's formula off."""

    def enable_autoscale(self, pool: VmPool, formula: str, interval: str) -> None:
        """Turn a formula on."""

    def repin(self, pool: VmPool, version: str, onto: PoolImage | None = None) -> None:
        """Change the image version of an empty pool, or its image and node agent SKU (``onto``)."""

    def list_supported_images(self) -> tuple[SupportedImage, ...]:
        """All images that Batch supports in this account, with the node agent SKU of each."""


class PolledAccount(Service, VmService, Protocol):
    """What a ``SharedPoller`` needs of Batch: the calls that it passes on, and the lists that it shares."""

    def list_upgrading(self) -> tuple[Pool, ...]:
        """Read all pools that are upgrading."""

    def list_resizing(self) -> tuple[Pool, ...]:
        """Read all pools that are not steady."""

    def list_resizing_vms(self) -> tuple[VmPool, ...]:
        """Read all pools that are not steady, as VM pools."""
