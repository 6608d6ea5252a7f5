"""The Guest OS versions that exist: rows of the ``images`` of a state.

"latest", OSVersionDisabled and OSVersionExpired depend on a list of versions. The list comes from the seed, so that a
test can let a version expire between plan and apply.

A row is a Guest OS version: ``{"osVersion": "WA-GUEST-OS-5.25_201811-01", "state": "available"}`` (or ``disabled``,
``expired``). The other rows, VM images, are read by :mod:`.vm_images`.
"""

from __future__ import annotations

from typing import Any, Final

from batch_os_provider.guest_os.version import LATEST, GuestOsVersion, VersionSyntaxError
from batch_os_provider.simulator.world.errors import BatchError
from batch_os_provider.simulator.world.reader import Reader, StateError

_STATES: Final = ("available", "disabled", "expired")


def guest_os(row: object) -> dict[str, Any]:
    """Read one Guest OS row.

    Raises:
        StateError: the row is invalid.
    """
    reader = Reader("images", row)
    image = {name: value for name in ("osVersion", "state") if (value := reader.take(name, str, None)) is not None}
    reader.finish()
    try:
        GuestOsVersion.parse(image.get("osVersion", ""))
    except VersionSyntaxError:
        raise StateError(f"images: {row!r} is neither a Guest OS version nor an image.") from None
    if image.get("state", "available") not in _STATES:
        raise StateError(f"images: the state {image['state']!r} is not one of {', '.join(_STATES)}.")
    return image


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
    """The newest available version of a family; None if ``images`` has none."""
    known = (
        GuestOsVersion.parse(row["osVersion"])
        for row in images
        if "osVersion" in row and row.get("state", "available") == "available"
    )
    newest = max((version for version in known if str(version.family) == family), default=None)
    return None if newest is None else str(newest)
