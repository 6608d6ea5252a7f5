"""The image reference of a VM pool: where its version stands, and how to change only that.

A marketplace image has its version in a property of its own, an image of a gallery at the end of its id. A pool takes
another version only through a PATCH with the whole reference, so this must keep all other parts as they were read.

Sources: azure-batch 15.1 models (API 2025-06-01), ``BatchVmImageReference``: an id without ``/versions/`` means the
newest version; ``exactVersion`` is read-only. Azure compares ids without case.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from batch_os_provider.batch.pool import GALLERIES

__all__ = [
    "NAME_FORM",
    "at_version",
    "is_gallery_image",
    "is_image_name",
    "list_versions",
    "nearest_name",
    "parts_of_id",
    "pin_of",
    "reference_of",
    "without_version",
]

_IN_ID = re.compile(r"/versions/", re.IGNORECASE)
_FLAGS = (("-p", "publisher"), ("-f", "offer"), ("-s", "sku"))
_PART, _WORD = r"[A-Za-z0-9][A-Za-z0-9._-]*", r"(?=[^:]*[A-Za-z])"
_MARKETPLACE = re.compile(f"{_WORD}{_PART}:{_WORD}{_PART}:{_PART}")
_IDS = {
    name: re.compile(form.replace("*", r"[^/\s:]+"), re.IGNORECASE)
    for name, form in zip(
        GALLERIES,
        (
            r"/subscriptions/*/resourceGroups/*/providers/Microsoft\.Compute/galleries/*/images/*",
            "/sharedGalleries/*/images/*",
            "/communityGalleries/*/images/*",
        ),
        strict=True,
    )
}
NAME_FORM = (
    "publisher:offer:sku such as canonical:ubuntu-24_04-lts:server, or the id of a gallery image without /versions/: "
    "/subscriptions/<id>/resourceGroups/<name>/providers/Microsoft.Compute/galleries/<name>/images/<name>, "
    "/sharedGalleries/<name>/images/<name> or /communityGalleries/<name>/images/<name>"
)
"""The names of images that a program may declare, in words."""


def is_gallery_image(text: object) -> bool:
    """Whether a text is the id of an image in a private, shared or community gallery."""
    return isinstance(text, str) and "galleries/" in text.casefold()


def is_image_name(text: object) -> bool:
    """Whether a text names an image without its version: ``publisher:offer:sku``, or the id of a gallery image."""
    return isinstance(text, str) and any(form.fullmatch(text) for form in (_MARKETPLACE, *_IDS.values()))


def nearest_name(text: object) -> str:
    """The allowed name that a text probably means: without a version, with colons; empty if there is no clear guess."""
    if not isinstance(text, str):
        return ""
    name, _ = _split(text.strip())
    parts = re.split(r"\s*[:/,\s]\s*", name)
    guesses = (name, f"/{name}", ":".join(parts[:3]) if len(parts) in (3, 4) and not name.startswith("/") else "")
    return next((each for each in guesses if is_image_name(each) and each != text), "")


def reference_of(name: str, version: str) -> dict[str, str]:
    """The image reference of a name from ``without_version``, at a version: the inverse of it and of ``pin_of``."""
    if not name.startswith("/"):
        publisher, offer, sku = name.split(":")
        return {"publisher": publisher, "offer": offer, "sku": sku, "version": version}
    key = next((key for key, form in _IDS.items() if form.fullmatch(name)), GALLERIES[0])
    return {key: name if version.lower() == "latest" else f"{name}/versions/{version}"}


def without_version(reference: Mapping[str, Any]) -> str:
    """The image without its version: ``publisher:offer:sku``, or the id of a gallery image."""
    image_id = _image_id(reference)
    return _split(image_id)[0] if image_id else ":".join(str(reference.get(name, "")) for _, name in _FLAGS)


def pin_of(reference: Mapping[str, Any]) -> str:
    """The image version of new nodes: ``latest``, or the version that the reference names."""
    image_id = _image_id(reference)
    return (_split(image_id)[1] if image_id else str(reference.get("version") or "")) or "latest"


def at_version(reference: Mapping[str, Any], version: str) -> dict[str, Any]:
    """The reference with another version, ready to be written; ``latest`` takes the version out of an image id."""
    changed = {name: value for name, value in reference.items() if name != "exactVersion"}
    for name in GALLERIES:
        if reference.get(name):
            image = without_version(reference)
            return {**changed, name: image if version.lower() == "latest" else f"{image}/versions/{version}"}
    return {**changed, "version": version}


def list_versions(reference: Mapping[str, Any]) -> str:
    """The command of the Azure CLI that lists the versions of the image."""
    if not _image_id(reference):
        return "az vm image list --all " + " ".join(f"{flag} {reference.get(name, '?')}" for flag, name in _FLAGS)
    names = parts_of_id(without_version(reference))
    image = f"--gallery-image-definition {names.get('images', '?')}"
    if reference.get("sharedGalleryImageId"):
        gallery = f"list-shared --location <region> --gallery-unique-name {names.get('sharedgalleries', '?')}"
    elif reference.get("communityGalleryImageId"):
        gallery = f"list-community --location <region> --public-gallery-name {names.get('communitygalleries', '?')}"
    else:
        group = names.get("resourcegroups", "?")
        gallery = f"list --resource-group {group} --gallery-name {names.get('galleries', '?')}"
    return f"az sig image-version {gallery} {image}"


def parts_of_id(image_id: str) -> dict[str, str]:
    """The names in an id by the kind before each, in lower case: ``{"galleries": ..., "images": ...}``."""
    return {kind.casefold(): name for kind, name in pairwise(image_id.split("/"))}


def _image_id(reference: Mapping[str, Any]) -> str:
    return next((str(reference[name]) for name in GALLERIES if reference.get(name)), "")


def _split(image_id: str) -> tuple[str, str]:
    """The id of an image without its version, and the version; empty if the id has none."""
    image, *version = _IN_ID.split(image_id.rstrip("/"), maxsplit=1)
    return image, version[0] if version else ""
