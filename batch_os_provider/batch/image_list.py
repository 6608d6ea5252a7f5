"""The lists of image versions in Azure Resource Manager: where each is, and what its answer says.

Nodes show versions only after they run them. The lists show which versions new nodes can get. Here they are paths and
JSON, without any call.

Sources, read on 2026-11-28 (learn.microsoft.com/rest/api/compute):

- virtual-machine-images/list (api-version 2024-07-01): a JSON array of ``{"id", "location", "name"}`` without pages,
  for one region. A publication date is not in it.
- gallery-image-versions/list-by-gallery-image (2024-03-03): ``value`` and ``nextLink``. ``publishingProfile`` has
  ``publishedDate``, ``excludeFromLatest`` and ``targetRegions``; ``provisioningState`` is ``Succeeded`` when all
  regions have the version.
- shared-gallery-image-versions/list and community-gallery-image-versions/list (2024-03-03): the versions that one
  region has; ``publishedDate`` and ``excludeFromLatest`` are directly in ``properties``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC
from typing import Any
from urllib.parse import quote

from batch_os_provider.batch.image_reference import parts_of_id, without_version
from batch_os_provider.batch.image_version import parse_image_version
from batch_os_provider.batch.pool import GALLERIES, parse_time

__all__ = ["ImageList", "list_of", "read"]

_IMAGES, _GALLERIES = "2024-07-01", "2024-03-03"
_COMPUTE = "Microsoft.Compute"


@dataclass(frozen=True)
class ImageList:
    """Where the versions of an image are listed: path and query, and the Azure action that reading it needs."""

    path: str
    right: str


def list_of(reference: Mapping[str, Any], subscription: str, region: str) -> ImageList | None:
    """The list of an image's versions; None for a managed image, which has none, and for an incomplete reference.

    Args:
        reference: the ``imageReference`` of a pool.
        subscription: the subscription that asks. A private gallery is asked in its own subscription.
        region: the region of the account.
    """
    place = f"/subscriptions/{subscription}/providers/{_COMPUTE}/locations/{region}"
    for name in GALLERIES:
        if reference.get(name):
            return _of_gallery(name, without_version({name: reference[name]}), place)
    parts = [str(reference.get(name) or "") for name in ("publisher", "offer", "sku")]
    if not all(parts):
        return None
    publisher, offer, sku = (quote(each, safe="") for each in parts)
    path = f"{place}/publishers/{publisher}/artifacttypes/vmimage/offers/{offer}/skus/{sku}/versions"
    right = f"{_COMPUTE}/locations/publishers/artifacttypes/offers/skus/versions/read"
    return ImageList(f"{path}?api-version={_IMAGES}", right)


def _of_gallery(name: str, image: str, place: str) -> ImageList | None:
    names = parts_of_id(image)
    query = f"versions?api-version={_GALLERIES}"
    if name == "virtualMachineImageId":
        if not {"subscriptions", "resourcegroups", "galleries", "images"} <= set(names):
            return None
        return ImageList(f"{quote(image, safe='/')}/{query}", f"{_COMPUTE}/galleries/images/versions/read")
    kind = "sharedGalleries" if name == "sharedGalleryImageId" else "communityGalleries"
    gallery, definition = names.get(kind.casefold(), ""), names.get("images", "")
    if not gallery or not definition:
        return None
    path = f"{place}/{kind}/{quote(gallery, safe='')}/images/{quote(definition, safe='')}/{query}"
    return ImageList(path, f"{_COMPUTE}/locations/{kind}/images/versions/read")


def read(items: Iterable[object], region: str) -> dict[str, str]:
    """The versions that a new node in the region can get, each with the time of its publication (UTC) or "".

    Left out are versions that a gallery excludes from ``latest``, that are not yet in all their regions, or that are
    not for this region; so is everything that is not a version.
    """
    found = {}
    for item in items:
        row = item if isinstance(item, Mapping) else {}
        inner = _bag(row.get("properties"))
        profile = _bag(inner.get("publishingProfile"))
        name, said = row.get("name"), {**inner, **profile}
        if (
            isinstance(name, str)
            and parse_image_version(name) is not None
            and said.get("excludeFromLatest") is not True
            and said.get("provisioningState", "Succeeded") == "Succeeded"
            and _is_for(profile.get("targetRegions"), region)
        ):
            found[name] = _time(said.get("publishedDate"))
    return found


def _is_for(regions: object, region: str) -> bool:
    """Whether a version is for a region. The list spells `West Europe`, endpoints `westeurope`."""
    if not isinstance(regions, list) or not regions:
        return True
    named = {str(each.get("name", "")).replace(" ", "").casefold(): each for each in map(_bag, regions)}
    return region.casefold() in named and named[region.casefold()].get("excludeFromLatest") is not True


def _time(value: object) -> str:
    time = parse_time(value)
    return "" if time is None else f"{time.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _bag(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
