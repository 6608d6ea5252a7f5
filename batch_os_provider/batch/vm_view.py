"""A VM pool together with its nodes, as one frozen value: what the tables of ``image_renewal`` decide from.

Which of the nodes are behind depends on what is declared, so this stands above both the values that are read
(``vm_pool``) and the targets (``vm_target``).
"""

from __future__ import annotations

from dataclasses import dataclass

from batch_os_provider.batch.image_version import parse_image_version
from batch_os_provider.batch.vm_pool import VmNode, VmPool
from batch_os_provider.batch.vm_target import ImageVersion, Target

__all__ = ["VmPoolView"]

_PREEMPTED = "preempted"


@dataclass(frozen=True)
class VmPoolView:
    """A pool and its nodes, read one after the other."""

    pool: VmPool
    nodes: tuple[VmNode, ...]

    @property
    def dedicated(self) -> tuple[VmNode, ...]:
        """The dedicated nodes, including deallocated ones: the nodes that the pool's target counts."""
        return tuple(node for node in self.nodes if node.dedicated)

    @property
    def deallocated(self) -> tuple[VmNode, ...]:
        """The dedicated nodes with stopped machines: a rollout does not change them."""
        return tuple(node for node in self.dedicated if node.is_deallocated)

    @property
    def judged(self) -> tuple[VmNode, ...]:
        """The nodes that a rollout renews: dedicated (Batch replaces spot nodes at any time) and not deallocated."""
        return tuple(node for node in self.dedicated if not node.is_deallocated)

    def behind(self, target: Target, *, spot: bool = False) -> tuple[VmNode, ...]:
        """The judged nodes that are older than the target; with ``spot`` the older spot nodes too."""
        nodes = (node for node in self.nodes if not node.is_deallocated) if spot else self.judged
        return tuple(node for node in nodes if target.is_behind(node))

    @property
    def spot(self) -> tuple[VmNode, ...]:
        """The spot nodes that Azure has not taken away."""
        return tuple(node for node in self.nodes if not node.dedicated and node.state != _PREEMPTED)

    @property
    def compared(self) -> tuple[VmNode, ...]:
        """The nodes that must show what the target compares: the judged ones; in a pool of spot nodes only, those."""
        return self.judged or self.spot

    def old_spot(self, target: Target) -> tuple[VmNode, ...]:
        """The spot nodes that are older than the target."""
        return tuple(node for node in self.spot if target.is_behind(node))

    def oldest(self, by: type[Target] | Target = ImageVersion) -> VmNode | None:
        """The compared node with the oldest version, or the one that was allocated first (``AllocatedSince``)."""
        return by.oldest(self.compared)

    @property
    def oldest_agent(self) -> str:
        """The oldest version of the node agent on a node, spot nodes included; empty if no node shows one."""
        shown = [node.agent_version for node in (*self.judged, *self.spot) if node.agent_version]
        return min(shown, key=lambda text: (parse_image_version(text) or (), text), default="")

    @property
    def past_errors(self) -> tuple[str, ...]:
        """Errors of the last resize that do not explain missing nodes.

        Batch keeps ``resizeErrors`` until the next resize, and does not say to which kind of nodes they belong. If all
        dedicated nodes are there, the errors are old or belong to spot nodes.
        """
        return () if self.is_short else self.pool.resize_errors

    @property
    def is_short(self) -> bool:
        """Whether dedicated nodes are missing."""
        return len(self.dedicated) < self.pool.size
