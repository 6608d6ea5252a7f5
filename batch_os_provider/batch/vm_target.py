"""What a program declares about the nodes of a VM pool: an exact image version, or the moment since which they exist.

Nodes of a pinned pool, and nodes read before November 2024, show a version number. Since then a node of a pool on
``latest`` shows the word ``latest``, so only its allocation time says how old it is. Both targets have one interface,
so the rollout, the preview and the outputs do not ask which one is declared.

Sources: azure-batch 15.1 models (API 2025-06-01): ``allocationTime`` is when the node was allocated to the pool.
A reboot moves ``lastBootTime`` and a reimage keeps ``allocationTime``, so neither makes a node newer.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, ClassVar

from batch_os_provider.batch.empty_marker import PoolImage
from batch_os_provider.batch.image_version import Version, parse_image_version
from batch_os_provider.batch.vm_pool import sortable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from batch_os_provider.batch.vm_pool import VmNode, VmPool
    from batch_os_provider.batch.wanted_image import WantedImage

__all__ = ["AllocatedSince", "ImageVersion", "Target", "day_of", "to_the_second"]

_DATE, _TIME = "%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ"
_LATEST = "latest"
_MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?P<time>T[0-9]{2}:[0-9]{2}:[0-9]{2}Z)?")


@dataclass(frozen=True)
class ImageVersion:
    """An exact image version: the declared text, and its numbers.

    ``numbers`` are only for comparing. ``text`` is written to Batch and shown to people: `22.04.202405140` and
    `22.4.202405140` compare equal, and Azure offers only the first. With an ``image`` (None: that of the pool) the
    version may be ``latest``, which has no numbers.
    """

    property: ClassVar[str] = "target_image_version"
    """The name of the input."""

    text: str
    numbers: Version
    image: WantedImage | None = None

    @classmethod
    def parse(cls, text: object, image: WantedImage | None = None) -> ImageVersion:
        """Read a version. Raises ValueError if it is not an exact one, or with an image ``latest``."""
        numbers = parse_image_version(text)
        if numbers is None and not (image is not None and text == _LATEST):
            raise ValueError(f"{text!r} is not an exact image version")
        return cls(str(text), numbers or (), image)

    def __str__(self) -> str:
        return self.text

    @staticmethod
    def reads(node: VmNode) -> bool:
        """Whether the node shows what the target compares: a version number."""
        return node.version is not None

    def is_behind(self, node: VmNode) -> bool:
        """Whether the node shows an older version; False if it shows none."""
        return node.version is not None and node.version < self.numbers

    def is_above_pin(self, pool: VmPool) -> bool:
        """Whether the pool is pinned to an older version, so that new nodes would be behind too."""
        return not pool.is_latest and (pool.pin is None or pool.pin < self.numbers)

    def is_met_by(self, pool: VmPool) -> bool:
        """Whether new nodes of the pool get exactly what is declared: the version, and the image if there is one."""
        if self.image is not None and not self.image.is_image_of(pool):
            return False
        return pool.pin == self.numbers if self.numbers else pool.is_latest

    def goal(self, pool: VmPool) -> PoolImage:
        """What the pool must be made from. The agent is empty where the pool keeps its own."""
        if self.image is None:
            return PoolImage(pool.product, self.text)
        return _goal(self.image, pool, self.text)

    def is_the_pin(self, pool: VmPool) -> bool:
        """Whether the version is the pin for ``when_empty``: nodes of a gallery image may show no version."""
        return self.image is not None or pool.pin is not None or (pool.gallery and pool.has_versions)

    @staticmethod
    def is_known_by_pin(pool: VmPool) -> bool:
        """Whether the pin says what the nodes run: the image of a pool changes only while the pool is empty."""
        return pool.pin is not None

    @staticmethod
    def shown(node: VmNode) -> str:
        """What the node shows of it: its version, or another text; empty if it shows nothing."""
        return node.version_text

    @staticmethod
    def oldest(nodes: Iterable[VmNode]) -> VmNode | None:
        """The node with the oldest version, among the nodes that show one."""
        known = [node for node in nodes if node.version is not None]
        return min(known, key=lambda node: (node.version, node.node_id)) if known else None

    def is_of_another_product(self, version: Version | None) -> bool:
        """Whether a version belongs to another product: its first number (the release of the OS) differs."""
        return version is not None and self.numbers != () and version[0] != self.numbers[0]


@dataclass(frozen=True)
class AllocatedSince:
    """A moment: a node that was allocated before it is behind.

    ``text`` is the declared spelling, a date or a UTC time to the second. ``moment`` is the same moment as text that
    sorts with ``VmNode.allocated``. So a date and its midnight compare equal by ``moment``. With an ``image`` a pool of
    another image moves to the ``latest`` of it; a pin that a pool of this image has stays.
    """

    property: ClassVar[str] = "nodes_since"
    """The name of the input."""

    text: str
    moment: str
    image: WantedImage | None = None

    @classmethod
    def parse(cls, text: object, image: WantedImage | None = None) -> AllocatedSince:
        """Read ``2026-11-24`` (midnight UTC) or ``2026-11-24T06:30:00Z``. Raises ValueError for any other value."""
        match = _MOMENT.fullmatch(text) if isinstance(text, str) else None
        if match is None:
            raise ValueError("it is neither a date nor a UTC time")
        spelled = match[0]
        try:
            datetime.strptime(spelled, _TIME if match["time"] else _DATE).replace(tzinfo=UTC)
        except ValueError:
            raise ValueError("it is not in the calendar") from None
        moment = f"{spelled[:-1]}.000000Z" if match["time"] else f"{spelled}T00:00:00.000000Z"
        return cls(spelled, moment, image)

    def __str__(self) -> str:
        return self.text

    @staticmethod
    def reads(node: VmNode) -> bool:
        """Whether the node shows what the target compares: its allocation time."""
        return bool(node.allocated)

    def is_after(self, now: datetime) -> bool:
        """Whether the moment is in the future, so that a node of now would be behind too."""
        return self.moment > sortable(now)

    def is_behind(self, node: VmNode) -> bool:
        """Whether the node was allocated before the moment; False if it shows no allocation time."""
        return bool(node.allocated) and node.allocated < self.moment

    @staticmethod
    def is_above_pin(_pool: VmPool) -> bool:
        """False: a pin does not make a new node older."""
        return False

    def is_met_by(self, pool: VmPool) -> bool:
        """Whether the pool has the declared image; True if none is declared."""
        return self.image is None or self.image.is_image_of(pool)

    def goal(self, pool: VmPool) -> PoolImage:
        """What the pool must be made from. The agent is empty where the pool keeps its own."""
        if self.image is None or self.image.is_image_of(pool):
            return PoolImage(pool.product, pool.pin_text)
        same = pool.product.casefold() == self.image.name.casefold()
        return _goal(self.image, pool, pool.pin_text if same else _LATEST)

    def is_the_pin(self, pool: VmPool) -> bool:
        """Whether ``when_empty`` must change the image first."""
        return not self.is_met_by(pool)

    @staticmethod
    def is_known_by_pin(_pool: VmPool) -> bool:
        """False: a pin says nothing about the age of a node."""
        return False

    @staticmethod
    def shown(node: VmNode) -> str:
        """When the node was allocated, in UTC to the second; empty if it does not show that."""
        return to_the_second(node.allocated)

    @staticmethod
    def oldest(nodes: Iterable[VmNode]) -> VmNode | None:
        """The node that was allocated first, among the nodes that show their allocation time."""
        known = [node for node in nodes if node.allocated]
        return min(known, key=lambda node: (node.allocated, node.node_id)) if known else None


Target = ImageVersion | AllocatedSince
"""What a program declares: exactly one of the two."""


def _goal(image: WantedImage, pool: VmPool, version: str) -> PoolImage:
    """The declared image at a version. The agent of an image that the pool has already is empty if it stays."""
    if pool.product.casefold() != image.name.casefold():
        return PoolImage(image.name, version, image.agent)
    return PoolImage(pool.product, version, "" if image.agent.casefold() == pool.agent.casefold() else image.agent)


def day_of(at: datetime | None) -> str:
    """The day in UTC, as ``nodes_since`` takes it; a placeholder if the time is unknown."""
    return "<date>" if at is None else sortable(at).partition("T")[0]


def to_the_second(allocated: str) -> str:
    """A time of ``VmNode.allocated`` as ``2026-11-24T06:30:00Z``, rounded down; empty stays empty."""
    return f"{allocated[:19]}Z" if allocated else ""
