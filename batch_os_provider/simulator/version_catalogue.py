"""Which OS versions exist: the ``images`` of the state.

Why it exists: "latest" is a question to a catalogue, and so are the codes OSVersionDisabled and OSVersionExpired.
The catalogue is seeded, never built in, so that a test can let a version expire between plan and apply.

Two kinds of rows: Guest OS versions ``{"osVersion": "WA-GUEST-OS-5.25_201811-01", "state": "available"}`` (or
``disabled``, ``expired``), and marketplace images ``{"publisher", "offer", "sku", "version"}``.
"""

from __future__ import annotations

from typing import Any

from batch_os_provider.version import LATEST, GuestOsVersion, VersionSyntaxError

from .errors import BatchError

_MARKETPLACE = ("publisher", "offer", "sku")
UNLISTED = "1.0.0"
"""The exact version behind "latest" of an image that the catalogue does not list."""


def refuse_unknown_version(images: list[dict[str, Any]], target: str, *, catalogue: bool) -> None:
    """Check a target as strictly as the switch ``versionValidation`` says.

    Raises:
        BatchError: OSVersionNotFound, OSVersionDisabled, OSVersionExpired.
    """
    if target == LATEST:
        return
    try:
        GuestOsVersion.parse(target)
    except VersionSyntaxError:
        raise BatchError("OSVersionNotFound") from None
    if not catalogue:
        return
    states = {row["osVersion"]: row.get("state", "available") for row in images if "osVersion" in row}
    refusal = {"available": None, "disabled": "OSVersionDisabled", "expired": "OSVersionExpired"}
    code = refusal[states[target]] if target in states else "OSVersionNotFound"
    if code is not None:
        raise BatchError(code)


def latest_of_family(images: list[dict[str, Any]], family: str) -> str | None:
    """The version that ``*`` stands for, if the catalogue knows one."""
    known = (
        GuestOsVersion.parse(row["osVersion"])
        for row in images
        if "osVersion" in row and row.get("state", "available") == "available"
    )
    newest = max((version for version in known if str(version.family) == family), default=None)
    return None if newest is None else str(newest)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) if part.isdigit() else 0 for part in version.split("."))


def exact_image(images: list[dict[str, Any]], reference: dict[str, Any]) -> dict[str, Any]:
    """The imageReference of a node made now: "latest" is resolved at creation and reported as exactVersion."""
    if "virtualMachineImageId" in reference:
        return dict(reference)
    version = str(reference.get("version", "latest"))
    if version == "latest":
        wanted = [reference.get(name) for name in _MARKETPLACE]
        known = [str(row["version"]) for row in images if [row.get(name) for name in _MARKETPLACE] == wanted]
        version = max(known, key=_numbers, default=UNLISTED)
    return {**reference, "exactVersion": version}
