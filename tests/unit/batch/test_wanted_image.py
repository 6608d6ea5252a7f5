"""The node agent SKU of a declared image: looked up in Batch's list, or declared."""

from __future__ import annotations

import pytest

from batch_os_provider.batch.supported_images import SupportedImage
from batch_os_provider.batch.wanted_image import WantedImage
from tests.support.simulator import IMAGES
from tests.unit.rollout.image_renewal.looks import Look

NOBLE, GALLERY = "canonical:ubuntu-24_04-lts:server", "/sharedGalleries/0a1b-STUDIO/images/cfd"
JAMMY_AGENT, NEXT_AGENT = "batch.node.ubuntu 22.04", "batch.node.ubuntu 26.04"
OWN, NOBLE_AGENT = "Batch.Node.Ubuntu 22.04", "batch.node.ubuntu 24.04"
POOL = Look(IMAGES["ubuntu"]).view.pool


def row(name: str, agent: str) -> SupportedImage:
    """A row of the list."""
    return SupportedImage(*name.split(":"), agent)


@pytest.mark.parametrize(
    ("rows", "agent", "listed", "near"),
    [
        ((row(NOBLE.upper(), NOBLE_AGENT),), NOBLE_AGENT, (NOBLE_AGENT,), ""),
        ((row(NOBLE, NOBLE_AGENT), row(NOBLE, NEXT_AGENT)), "", (NOBLE_AGENT, NEXT_AGENT), ""),
        ((row(NOBLE, NOBLE_AGENT), row(NOBLE, OWN)), OWN, (NOBLE_AGENT, OWN), ""),
        ((row(f"{NOBLE}-gen1", NOBLE_AGENT), row("redhat:rhel:9", "batch.node.el 9")), "", (), f"{NOBLE}-gen1"),
        ((row("redhat:rhel:9", "batch.node.el 9"),), "", (), ""),
        ((), "", (), ""),
    ],
)  # fmt: skip
def test_the_agent_is_the_listed_one_or_of_several_the_own(
    rows: tuple[SupportedImage, ...], agent: str, listed: tuple[str, ...], near: str
) -> None:
    assert WantedImage(NOBLE).looked_up(rows, POOL) == WantedImage(NOBLE, agent, listed, near)


def test_only_another_marketplace_image_without_its_agent_is_looked_up() -> None:
    assert WantedImage(NOBLE).needs_lookup(POOL)
    assert not WantedImage(NOBLE).looked_up((), POOL).needs_lookup(POOL)
    assert not WantedImage(NOBLE, NOBLE_AGENT).needs_lookup(POOL)
    assert not WantedImage(GALLERY).needs_lookup(POOL)
    assert not WantedImage(POOL.product.upper()).needs_lookup(POOL)


def test_a_declared_agent_is_part_of_the_image() -> None:
    assert WantedImage(POOL.product.upper(), POOL.agent.upper()).is_image_of(POOL)
    assert not WantedImage(POOL.product, NOBLE_AGENT).is_image_of(POOL)
    assert WantedImage(NOBLE, NOBLE_AGENT).configuration("latest") == {
        "imageReference": {
            "publisher": "canonical",
            "offer": "ubuntu-24_04-lts",
            "sku": "server",
            "version": "latest",
        },
        "nodeAgentSKUId": NOBLE_AGENT,
    }


@pytest.mark.parametrize("name", ["", "canonical", f"{NOBLE}:latest", f"{GALLERY}/versions/1.0.3", None, 3])
def test_what_is_no_name_is_not_read(name: object) -> None:
    with pytest.raises(ValueError, match="does not name an image"):
        WantedImage.parse(name)
