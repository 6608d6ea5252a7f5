"""VM images: the version that ``latest`` means, and when it changes.

A VM pool on ``latest`` does not name a version; its nodes do. A new node gets the newest version of its instant. So an
image is a list of versions with dates, and the virtual clock changes ``latest`` without a request.

A row of the state's ``images`` (:mod:`.guest_os_images` reads Guest OS versions)::

    {"publisher": "...", "offer": "...", "sku": "...",
     "versions": [{"version": "20348.2402.240402", "since": "2026-01-01T00:00:00Z"}, ...],
     "nodeAgentSKUId": "...", "osType": "windows", "verificationType": "verified", "capabilities": [...],
     "batchSupportEndOfLife": "2027-01-01T00:00:00Z"}

All fields after ``versions`` are optional and only returned by ``GET /supportedimages`` (:mod:`.supported_images`). A
version without ``since`` always exists. One with ``"excludeFromLatest": true`` is never what ``latest`` means. A single
version may be written as ``{"publisher", "offer", "sku", "version"}``. A gallery image is named by
``virtualMachineImageId``, ``sharedGalleryImageId`` or ``communityGalleryImageId`` instead of publisher, offer and sku.
A node of a state without exactVersion gets the version of a node created now.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from batch_os_provider.simulator.world.clock import parse_iso
from batch_os_provider.simulator.world.errors import BatchError
from batch_os_provider.simulator.world.reader import Reader, StateError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from batch_os_provider.simulator.world.model import Node, Pool
    from batch_os_provider.simulator.world.world import World

MARKETPLACE: Final = ("publisher", "offer", "sku")
GALLERY: Final = ("virtualMachineImageId", "sharedGalleryImageId", "communityGalleryImageId")
UNLISTED_VERSION: Final = "1.0.0"
"""The exact version of ``latest`` for an image that the state does not list."""

_DETAILS: Final = ("nodeAgentSKUId", "osType", "verificationType", "batchSupportEndOfLife")
_DIGITS: Final = re.compile(r"[0-9]{1,18}")
OS_TYPES: Final = ("linux", "windows")
_IN_ID: Final = re.compile(r"/versions/", re.IGNORECASE)


def read(row: object) -> dict[str, Any]:
    """One row of ``images`` that is not a Guest OS version.

    Raises:
        StateError: the row is invalid.
    """
    reader = Reader("images", row)
    names = (*MARKETPLACE, *GALLERY, "version", "since", *_DETAILS)
    image: dict[str, Any] = {name: value for name in names if (value := reader.take(name, str, None)) is not None}
    image |= {
        name: rows for name in ("versions", "capabilities") if (rows := reader.take(name, list, None)) is not None
    }
    reader.finish()
    marketplace = set(image) & set(MARKETPLACE)
    named = [name for name in GALLERY if name in image]
    if (marketplace != set(MARKETPLACE) or named) and (marketplace or len(named) != 1):
        raise StateError(f"images: {row!r} needs publisher, offer and sku, or one gallery id.")
    if ("version" in image) is ("versions" in image):
        raise StateError(f"images: {row!r} needs either version or versions.")
    if image.get("osType", "linux") not in OS_TYPES:
        raise StateError(f"images: the osType {image['osType']!r} is not one of {', '.join(OS_TYPES)}.")
    for given in image.get("versions", [image]):
        _check_version(given, flat=given is image)
    if "batchSupportEndOfLife" in image:
        reader.parse_time("batchSupportEndOfLife", image["batchSupportEndOfLife"])
    return image


def _check_version(given: object, *, flat: bool) -> None:
    reader = Reader("images versions", given)
    reader.take("version", str)
    reader.take_time("since", None)
    if not flat:
        reader.take("excludeFromLatest", bool, default=False)
        reader.finish()


def _versions(rows: list[dict[str, Any]]) -> Iterator[tuple[int, str]]:
    """The time from which each version exists, and the version."""
    for row in rows:
        for given in row.get("versions", [row]):
            yield (parse_iso(given["since"]) if given.get("since") else 0), given["version"]


def listed(images: list[dict[str, Any]], reference: Mapping[str, Any], now: int) -> list[dict[str, Any]] | None:
    """The versions of an image that exist now, as the state has them; None if the state does not have the image."""
    rows = [row for row in images if "osVersion" not in row and _matches(row, reference)]
    found = [given for row in rows for given in row.get("versions", [row])]
    return [each for each in found if not each.get("since") or parse_iso(each["since"]) <= now] if rows else None


def release_times(images: list[dict[str, Any]], now: int) -> list[int]:
    """The future times at which a version appears."""
    return sorted({since for since, _ in _versions([row for row in images if "osVersion" not in row]) if since > now})


def _matches(row: Mapping[str, Any], reference: Mapping[str, Any]) -> bool:
    """Whether a row is this image; names are compared without case, as Azure does."""
    names = [name for name in GALLERY if name in reference] or MARKETPLACE
    return all(
        str(row.get(name)).lower() == _IN_ID.split(str(reference.get(name)), maxsplit=1)[0].lower() for name in names
    )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) if _DIGITS.fullmatch(part) else 0 for part in version.split("."))


def newest(images: list[dict[str, Any]], reference: Mapping[str, Any], now: int) -> str | None:
    """What ``latest`` of an image means at a time: the highest version that exists; None if none is listed."""
    known = [each["version"] for each in listed(images, reference, now) or [] if not each.get("excludeFromLatest")]
    return max(known, key=_numbers, default=None)


def pinned_version(reference: Mapping[str, Any]) -> str | None:
    """The version that a reference names; None for ``latest``."""
    for name in GALLERY:
        if name in reference:
            version = "".join(_IN_ID.split(str(reference[name]), maxsplit=1)[1:])
            return None if version.lower() in ("", "latest") else version
    version = str(reference.get("version", "latest"))
    return None if version.lower() == "latest" else version


def refuse_unknown_pin(world: World, reference: Mapping[str, Any]) -> None:
    """Refuse an image version that ``images`` does not list now, with this spelling; of galleries only listed images.

    The rule and its code are the switch ``unknownImageVersion``. A seed may name any version.

    Raises:
        BatchError: the image does not have the version.
    """
    code = world.unknowns["unknownImageVersion"]
    if code == "accepted":
        return
    gallery = any(name in reference for name in GALLERY)
    if gallery and not any(_matches(row, reference) for row in world.images):
        return
    version = pinned_version(reference)
    known = {
        known
        for since, known in _versions([row for row in world.images if _matches(row, reference)])
        if since <= world.now
    }
    if version is not None and version not in known:
        raise BatchError(str(code))


def image_of_new_node(world: World, pool: Pool) -> dict[str, Any]:
    """The imageReference of a node created now; an unlisted pin from a seed is accepted.

    The switch ``latestOfNewNodes`` decides the version of a pool on ``latest``.
    """
    reference: dict[str, Any] = (pool.virtual_machine or {})["imageReference"]
    scripted = (pool.script or {}).get("version")
    gallery = any(name in reference for name in GALLERY)
    if gallery and world.unknowns["galleryExactVersion"] == "absent":
        return dict(reference)
    version = pinned_version(reference)
    if version is None:
        rule = world.unknowns["latestOfNewNodes"]
        empty = not pool.nodes and rule != "asFirstNodeEver"
        if pool.resolved_latest is None or rule == "newest" or empty:
            pool.resolved_latest = newest(world.images, reference, world.now) or UNLISTED_VERSION
        version = pool.resolved_latest
    return {**reference, "exactVersion": scripted or version}


def shown_image(world: World, node: Node) -> dict[str, Any] | None:
    """The imageReference that a node returns; None for a node without an image.

    A node of a marketplace image on ``latest`` shows its version as the switch ``exactVersionOfLatest`` says.
    """
    image = node.image
    if image is None or node.shown_version is not None:
        return image and {**image, "exactVersion": node.shown_version}
    gallery = any(name in image for name in GALLERY)
    hidden = world.unknowns["exactVersionOfLatest"] == "latest"
    if hidden and "exactVersion" in image and not gallery and pinned_version(image) is None:
        return {**image, "exactVersion": "latest"}
    return image
