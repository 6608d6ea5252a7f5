"""The images that Batch supports, and what their list says about the image of one pool.

The end of an image's support hurts more than an old version: Batch then accepts no new pool with the image, and may
force old pools to zero nodes. Only ``GET /supportedimages`` shows the date, for each image and node agent SKU. Here the
list is read tolerantly and judged, without words and without a clock.

A gallery image is not listed. Batch ends the support of an operating system with that of its node agent SKU, and names
images derived from it (Azure/Batch#169, #174, #180). So if each image with a pool's node agent ends, its gallery image
ends with the last of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from batch_os_provider.batch.pool import GALLERIES, parse_time

__all__ = ["ENDS_WITHIN", "ImageSupport", "Standing", "SupportedImage", "judge"]

ENDS_WITHIN = 90
"""Days before the end of its support from which an image counts as ending."""

Standing = Literal["listed", "ending", "ended", "unlisted"]
"""``unlisted``: Batch's list does not have the image, or no image with the node agent of a gallery image."""

_PARTS = ("publisher", "offer", "sku")
_DIGITS = re.compile(r"[0-9]{1,18}")  # Python reads no number of thousands of digits


@dataclass(frozen=True)
class SupportedImage:
    """A row of the list: an image with a node agent SKU. ``ends_at`` is None if Batch shows no end."""

    publisher: str
    offer: str
    sku: str
    agent: str
    os_type: str = ""
    verified: bool = True
    capabilities: frozenset[str] = frozenset()
    ends_at: datetime | None = None

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> SupportedImage:
        """Read a row; a missing or invalid value stays empty."""
        publisher, offer, sku = _parts(body.get("imageReference"))
        capabilities = body.get("capabilities")
        return cls(
            publisher,
            offer,
            sku,
            str(body.get("nodeAgentSKUId") or ""),
            str(body.get("osType") or "").lower(),
            str(body.get("verificationType") or "").lower() != "unverified",
            frozenset(str(each) for each in capabilities) if isinstance(capabilities, list) else frozenset(),
            _utc(parse_time(body.get("batchSupportEndOfLife"))),
        )

    @property
    def name(self) -> str:
        """``publisher:offer:sku``, as the Azure CLI spells an image."""
        return f"{self.publisher}:{self.offer}:{self.sku}"


@dataclass(frozen=True)
class ImageSupport:
    """What the list says about the image of a pool.

    ``image`` is ``publisher:offer:sku``, empty for a gallery image. ``agents`` counts the listed images with the node
    agent of a gallery image. ``ends_at`` is the end of the support, ``days`` the number of days from today until then
    (both in UTC); None without an end. ``instead`` is an image of the same publisher that stays, or empty.
    """

    standing: Standing
    image: str
    agent: str
    ends_at: datetime | None = None
    days: int | None = None
    agents: int = 0
    instead: str = ""

    @property
    def ends_on(self) -> str:
        """The day of the end, such as `2027-01-12`; empty without an end."""
        return "" if self.ends_at is None else self.ends_at.date().isoformat()


def judge(
    configuration: Mapping[str, Any], images: Sequence[SupportedImage], now: datetime, within: int = ENDS_WITHIN
) -> ImageSupport | None:
    """What the list says about a pool's image; None if it cannot say anything.

    Names are compared without case, as Azure does. The list cannot say anything if it is empty, which no real list is,
    or if the pool shows no image.

    Args:
        configuration: the pool's ``virtualMachineConfiguration``.
        images: the whole list.
        now: the time to judge for.
        within: an image that ends in so many days or fewer is ``ending``.
    """
    reference = configuration.get("imageReference")
    agent = str(configuration.get("nodeAgentSKUId") or "")
    gallery = isinstance(reference, Mapping) and any(reference.get(name) for name in GALLERIES)
    publisher, offer, sku = _parts(reference)
    if not images or not (agent if gallery else all((publisher, offer, sku))):
        return None
    with_agent = [each for each in images if not agent or each.agent.lower() == agent.lower()]
    if gallery:
        return _support("", agent, with_agent, now, within, agents=len(with_agent))
    wanted = SupportedImage(publisher, offer, sku, agent)
    found = [each for each in with_agent if each.name.lower() == wanted.name.lower()]
    same = [each for each in images if each.name.lower() == wanted.name.lower()]
    return _support(
        wanted.name, agent, found, now, within, instead=_instead((same or [wanted])[0], images, now, within)
    )


def _support(  # noqa: PLR0913 - the parts of a verdict
    image: str,
    agent: str,
    found: Sequence[SupportedImage],
    now: datetime,
    within: int,
    *,
    agents: int = 0,
    instead: str = "",
) -> ImageSupport:
    """The verdict from the rows that count: the last of them decides, and one without an end stays."""
    if not found:
        return ImageSupport("unlisted", image, agent, instead=instead)
    ends = [each.ends_at for each in found if each.ends_at is not None]
    if len(ends) < len(found):
        return ImageSupport("listed", image, agent, agents=agents)
    ends_at = max(ends)
    standing: Standing = "ended" if ends_at <= now else "ending" if _days(ends_at, now) <= within else "listed"
    return ImageSupport(standing, image, agent, ends_at, _days(ends_at, now), agents, instead)


def _utc(time: datetime | None) -> datetime | None:
    try:
        return None if time is None else time.astimezone(UTC)
    except OverflowError:  # in the first or the last hours of the calendar
        return None


def _days(ends_at: datetime, now: datetime) -> int:
    return (ends_at.date() - now.astimezone(UTC).date()).days


def _instead(image: SupportedImage, images: Iterable[SupportedImage], now: datetime, within: int) -> str:
    """A verified image of the same publisher that does not end soon; empty if the list has none.

    One without an end comes first, then the nearest relative, the newest, and the one with the shortest name. The order
    is a guess about names: `2016-datacenter` and `2022-datacenter` differ in numbers only.
    """

    def rank(each: SupportedImage) -> tuple[bool, bool, bool, bool, list[int], int, str]:
        return (
            each.ends_at is None,
            each.offer.lower() == image.offer.lower(),
            _DIGITS.sub("", each.sku.lower()) == _DIGITS.sub("", image.sku.lower()),
            each.capabilities == image.capabilities,
            [int(number) for number in _DIGITS.findall(f"{each.offer} {each.sku}")],
            -len(each.name),
            each.name,
        )

    stays = [
        each
        for each in images
        if each.publisher.lower() == image.publisher.lower()
        and each.name.lower() != image.name.lower()
        and image.os_type in ("", each.os_type)
        and each.verified
        and (each.ends_at is None or _days(each.ends_at, now) > within)
    ]
    return max(stays, key=rank).name if stays else ""


def _parts(reference: object) -> tuple[str, str, str]:
    bag = reference if isinstance(reference, Mapping) else {}
    publisher, offer, sku = (str(bag.get(name) or "") for name in _PARTS)
    return publisher, offer, sku
