"""What the rest of the package needs of Batch, as protocols; ``client.BatchClient`` is the real one.

A rollout depends on these few calls and not on the client, so tests can play Batch on a virtual clock.
"""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from batch_os_provider.batch.address import PoolRef
from batch_os_provider.batch.pool import Node, Pool
from batch_os_provider.batch.vm_pool import Marker, VmNode, VmPool

__all__ = ["Service", "VmService"]


class Service(Protocol):
    """What an upgrade needs of Batch; ``client.BatchClient`` is the real one."""

    def get_pool(self, ref: PoolRef) -> Pool:
        """Read the pool."""

    def list_nodes(self, ref: PoolRef) -> tuple[Node, ...]:
        """Read all its nodes."""

    def upgrade_os(self, ref: PoolRef, target: str, etag: str) -> datetime | None:
        """Start the upgrade, once."""

    def newest_image_version(self, ref: PoolRef) -> str:
        """Read the newest image version on a VM pool's nodes; empty where there is none."""


class VmService(Protocol):
    """What a renewal needs of Batch; ``client.BatchClient`` is the real one. Each write is conditional on the ETag."""

    def get_vm_pool(self, ref: PoolRef) -> VmPool:
        """Read the pool."""

    def list_vm_nodes(self, ref: PoolRef) -> tuple[VmNode, ...]:
        """Read all its nodes."""

    def set_marker(self, pool: VmPool, mark: Marker | None) -> None:
        """Write or clear the marker in the pool's metadata; other entries stay."""

    def resize(self, pool: VmPool, size: int) -> None:
        """Set the number of dedicated nodes."""

    def remove_nodes(self, pool: VmPool, nodes: tuple[str, ...], timeout: float) -> None:
        """Let nodes finish their tasks for at most ``timeout`` seconds, and go."""

    def repin(self, pool: VmPool, version: str) -> None:
        """Change the image version of an empty pool."""
