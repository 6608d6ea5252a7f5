"""Another image for a pool: what the program names, and the node agent SKU that belongs to it.

A pool takes another image only together with the node agent SKU that fits it. Batch lists this SKU for each marketplace
image (``GET /supportedimages``), and lists no gallery images. So it is looked up, or the program declares it. The
lookup is a call, so the tables get its result as a value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from batch_os_provider.batch.image_reference import is_image_name, reference_of

if TYPE_CHECKING:
    from batch_os_provider.batch.supported_images import SupportedImage
    from batch_os_provider.batch.vm_pool import VmPool

__all__ = ["LATEST", "WantedImage", "is_windows"]

LATEST = "latest"
"""The version of new nodes that a program may declare only together with an image."""


def is_windows(agent: str) -> bool:
    """Whether a node agent SKU is one for Windows, such as ``batch.node.windows amd64``."""
    return "windows" in agent.casefold()


@dataclass(frozen=True)
class WantedImage:
    """The image that a program declares.

    ``name`` is ``publisher:offer:sku`` or the id of a gallery image, without a version. ``agent`` is the declared node
    agent SKU, or the one that was looked up; empty if it is not known. ``listed`` are the agents that Batch lists for
    the image; None if they were not looked up. ``near`` is a listed image with a similar name, or empty.
    """

    input_name: ClassVar[str] = "target_image"
    """The name of the input."""
    agent_input: ClassVar[str] = "node_agent_sku"
    """The name of the input for ``agent``."""

    name: str
    agent: str = ""
    listed: tuple[str, ...] | None = None
    near: str = ""

    @classmethod
    def parse(cls, name: object, agent: object = None) -> WantedImage:
        """Read the two inputs. Raises ValueError if the name is not that of an image."""
        if not is_image_name(name):
            raise ValueError(f"{name!r} does not name an image")
        return cls(str(name), str(agent or ""))

    @property
    def is_listed_kind(self) -> bool:
        """Whether Batch may list the image: a marketplace image."""
        return not self.name.startswith("/")

    def is_image_of(self, pool: VmPool) -> bool:
        """Whether the pool has this image, and its node agent SKU if that is known."""
        same_agent = self.agent.casefold() in ("", pool.agent.casefold())
        return same_agent and pool.product.casefold() == self.name.casefold()

    def needs_lookup(self, pool: VmPool) -> bool:
        """Whether the agent must be looked up before the pool can take this image."""
        return self.is_listed_kind and not self.agent and self.listed is None and not self.is_image_of(pool)

    def looked_up(self, images: Sequence[SupportedImage], pool: VmPool) -> WantedImage:
        """The same with the agent of Batch's list; of several agents the pool's own, else none is chosen."""
        rows = [each for each in images if each.name.casefold() == self.name.casefold()]
        agents = tuple(dict.fromkeys(each.agent for each in rows if each.agent))
        own = [each for each in agents if each.casefold() == pool.agent.casefold()]
        chosen = own or (agents if len(agents) == 1 else ())
        near = "" if rows else self._near(images)
        return replace(self, agent=chosen[0] if chosen else "", listed=agents, near=near)

    def _near(self, images: Sequence[SupportedImage]) -> str:
        """The listed image with the most similar name, or empty."""
        from difflib import get_close_matches  # noqa: PLC0415 - only a wrong name needs it

        names = {each.name.casefold(): each.name for each in images}
        near = get_close_matches(self.name.casefold(), names, n=1, cutoff=0.6)
        return names[near[0]] if near else ""

    def configuration(self, version: str) -> dict[str, Any]:
        """The part of a ``virtualMachineConfiguration`` that names this image."""
        return {"imageReference": reference_of(self.name, version), "nodeAgentSKUId": self.agent}
