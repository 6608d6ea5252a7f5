"""What a renewal says about its target: one set of sentences for a version, one for a moment.

The table, the cycle, the rollout and the preview follow the same steps for both targets, and only their words differ.
All of these words are here, so that a message about one target never uses the words of the other.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from batch_os_provider.batch.image_version import parse_image_version
from batch_os_provider.batch.vm_pool import VmNode, VmPool
from batch_os_provider.batch.vm_target import AllocatedSince, ImageVersion, Target
from batch_os_provider.batch.vm_view import VmPoolView
from batch_os_provider.guest_os import version
from batch_os_provider.wording import counted, plural

__all__ = ["TargetWords", "words_of"]

_DATE = 10
"""Characters of the date in a time."""


class TargetWords(ABC):
    """The sentences about one target. Counts are numbers of nodes."""

    lacking: str
    """What a node that cannot be judged does not show."""
    source: str
    """The property of a node that would show it."""

    @abstractmethod
    def came_from(self, seen: VmPoolView) -> str:
        """Where a renewal starts: what the oldest node shows, or the pin of a pool without nodes; empty if unknown."""

    @abstractmethod
    def change(self, came_from: str) -> str:
        """From what to what, as the end of a row; only the target if ``came_from`` is empty."""

    @abstractmethod
    def reached(self, count: int) -> str:
        """How many nodes are at the target, for the summary."""

    @abstractmethod
    def holds(self, count: int) -> str:
        """That all nodes are at the target already, for a preview."""

    @abstractmethod
    def empty(self, seen: VmPoolView) -> str:
        """That the pool has no nodes, and what a new node will be if that is known."""

    @abstractmethod
    def are_older(self, count: int) -> str:
        """The predicate of nodes that are behind: ``has an older image version``."""

    @property
    @abstractmethod
    def renewal(self) -> str:
        """The name of the renewal: ``renewal to 20348.2461.240510``."""

    @property
    @abstractmethod
    def missed(self) -> str:
        """What was not reached at a deadline."""

    @abstractmethod
    def new_node_is_behind(self, node: VmNode, pool: VmPool) -> tuple[str, str]:
        """Why a new node fails as the canary although it is healthy, and the next step."""

    @abstractmethod
    def new_node_is_silent(self, node: VmNode) -> str:
        """Why a new node cannot be judged."""


@dataclass(frozen=True)
class _VersionWords(TargetWords):
    target: ImageVersion
    lacking = "image version"
    source = "virtualMachineInfo"

    def came_from(self, seen: VmPoolView) -> str:
        oldest = seen.oldest(self.target)
        shown = self.target.shown(oldest) if oldest is not None else seen.pool.pin_text
        return shown if parse_image_version(shown) != self.target.numbers else ""

    def change(self, came_from: str) -> str:
        return version.change(came_from, self.target.text)

    def reached(self, count: int) -> str:
        return f"{counted(count, 'node')} at the target or newer"

    def holds(self, count: int) -> str:
        every = "" if count == 1 else "all "
        return f"{every}{counted(count, 'node')} {plural(count, 'runs', 'run')} {self.target.text} or newer"

    def empty(self, seen: VmPoolView) -> str:
        gets = "new nodes get the newest version" if seen.pool.is_latest else f"pinned to {seen.pool.pin_text}"
        return f"no nodes, {gets}"

    def are_older(self, count: int) -> str:
        return f"{plural(count, 'has', 'have')} an older image version"

    @property
    def renewal(self) -> str:
        return f"renewal to {self.target.text}"

    @property
    def missed(self) -> str:
        return f"{self.target.text} was not reached"

    def new_node_is_behind(self, node: VmNode, pool: VmPool) -> tuple[str, str]:
        reason = f"Batch still allocates {node.version_text} (node {node.node_id})"
        if node.version is not None and not pool.gallery and self.target.is_of_another_product(node.version):
            return reason, (
                f"Declare a target_image_version of the pool's own image ({node.version[0]}.*), or move the work to a "
                f"pool that is made of the image with {self.target}"
            )
        offered = "Wait until the image version is offered in this region, or declare an older target_image_version"
        return reason, offered

    def new_node_is_silent(self, node: VmNode) -> str:
        shows = f"{node.version_text!r} in place of a version number" if node.version_text else "no version number"
        return f"the new node {node.node_id} shows {shows}, so it cannot be compared"


@dataclass(frozen=True)
class _MomentWords(TargetWords):
    target: AllocatedSince
    lacking = "allocation time"
    source = "allocationTime"

    def came_from(self, seen: VmPoolView) -> str:
        oldest = seen.oldest(self.target)
        return self.target.shown(oldest) if oldest is not None and self.target.is_behind(oldest) else ""

    def change(self, came_from: str) -> str:
        """A date says enough, unless both moments are of the same day."""
        wanted = self.target.text
        start = came_from if came_from[:_DATE] == wanted[:_DATE] else came_from[:_DATE]
        return f"allocated since {start} -> {wanted}" if start else f"allocated since {wanted}"

    def reached(self, count: int) -> str:
        return f"{counted(count, 'node')} new enough"

    def holds(self, count: int) -> str:
        every = "" if count == 1 else "all "
        return f"{every}{counted(count, 'node')} {plural(count, 'was', 'were')} allocated since {self.target.text}"

    def empty(self, seen: VmPoolView) -> str:  # noqa: ARG002 - what a new node runs says nothing about a moment
        return "no nodes"

    def are_older(self, count: int) -> str:
        return f"{plural(count, 'was', 'were')} allocated before {self.target.text}"

    @property
    def renewal(self) -> str:
        return f"renewal of nodes from before {self.target.text}"

    @property
    def missed(self) -> str:
        return f"nodes_since {self.target.text} was not reached"

    def new_node_is_behind(self, node: VmNode, pool: VmPool) -> tuple[str, str]:  # noqa: ARG002 - the image says nothing about a moment
        at = self.target.shown(node)
        reason = f"the new node {node.node_id} was allocated at {at}, which is before nodes_since {self.target.text}"
        return reason, "Declare a moment in nodes_since that has passed by the clock of Batch"

    def new_node_is_silent(self, node: VmNode) -> str:
        return f"the new node {node.node_id} shows no allocation time, so it cannot be compared"


def words_of(target: Target) -> TargetWords:
    """The sentences about a target."""
    return _VersionWords(target) if isinstance(target, ImageVersion) else _MomentWords(target)
