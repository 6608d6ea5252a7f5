"""Guest OS version grammar, family and order.

Batch checks little of a version string and stores it as it is: it accepted an upgrade of an empty pool to another
family with 202 (recordings e and f). So the provider checks the grammar before it sends a version. The simulator uses
this module too.

Rules and their sources:

* ``WA-GUEST-OS-<family>.<minor>_<YYYYMM>-<NN>``: the published Guest OS release table. ``minor`` is an integer (2.10 is
  later than 2.1), ``YYYYMM`` the month of the newest patches in the release, ``NN`` a re-release of the same month.
* ``*``: "the latest of the family" (swagger 2018-08-01.7.0, ``CloudServiceConfiguration``). Batch stores ``*``
  literally and never shows the version behind it (recording R1), so only ``*`` equals ``*``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

__all__ = [
    "ALLOWED",
    "LATEST",
    "GuestOsVersion",
    "VersionSyntaxError",
    "change",
    "family_of",
    "is_rollback",
    "nearest",
    "same_version",
    "short",
]

LATEST = "*"
"""The target that means "the latest of the pool's family"."""

ALLOWED = "WA-GUEST-OS-<family>.<minor>_<YYYYMM>-<NN>, e.g. WA-GUEST-OS-5.25_201811-01, or *"
"""The allowed form, as every message shows it."""

_PREFIX = "WA-GUEST-OS-"

_STRICT = re.compile(r"WA-GUEST-OS-([1-9][0-9]{0,2})\.(0|[1-9][0-9]{0,4})_([0-9]{4})(0[1-9]|1[0-2])-([0-9]{2})")
# Common spellings: other case, no prefix, `_`, `.` or blanks in other places, one-digit release.
_LOOSE = re.compile(
    r"(?:WA[-_ ]*)?(?:GUEST[-_ ]*)?(?:OS[-_ ]*)?(\d{1,3})[._](\d{1,5})[-_. ]+(\d{4})-?(\d{2})(?:[-_. ]+(\d{1,2}))?",
    re.IGNORECASE,
)


class VersionSyntaxError(ValueError):
    """The text is neither a Guest OS version nor ``*``. ``suggestion`` is the nearest allowed spelling, or None."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.suggestion = nearest(text)
        hint = f"; did you mean {self.suggestion}?" if self.suggestion else ""
        super().__init__(f"{text!r} is not a Guest OS version; allowed: {ALLOWED}{hint}")


@dataclass(frozen=True, order=True)
class GuestOsVersion:
    """One published Guest OS version; sorts by family, minor and re-release.

    ``month`` is the patch month ``YYYYMM``. Order and equality ignore it, because Microsoft never uses a minor number
    for two months.
    """

    family: int
    minor: int
    release: int
    month: str = field(compare=False)

    @classmethod
    def parse(cls, text: str) -> GuestOsVersion:
        """Read a version exactly as Batch spells it.

        Raises:
            VersionSyntaxError: the text is not a version; ``*`` is not one either.

        """
        match = _STRICT.fullmatch(text)
        if match is None:
            raise VersionSyntaxError(text)
        family, minor, year, month, release = match.groups()
        return cls(int(family), int(minor), int(release), year + month)

    def __str__(self) -> str:
        return f"WA-GUEST-OS-{self.family}.{self.minor}_{self.month}-{self.release:02d}"


def family_of(text: str) -> str | None:
    """The OS family a target belongs to, as Batch spells it (``"5"``); None for ``*``, which fits every family.

    Raises:
        VersionSyntaxError: the text is not a version.

    """
    return None if text == LATEST else str(GuestOsVersion.parse(text).family)


def short(text: str) -> str:
    """A version as a row shows it, without ``WA-GUEST-OS-``; image versions and ``*`` stay as they are.

    The terminal cuts long rows, and the prefix is the same for all versions.
    """
    return text[len(_PREFIX) :] if text.upper().startswith(_PREFIX) else text


def change(came_from: str, target: str) -> str:
    """``FROM -> TO`` as a row shows it; only the target if ``came_from`` is empty or the same version."""
    same = came_from.casefold() == target.casefold()
    return f"{short(came_from)} -> {short(target)}" if came_from and not same else short(target)


def nearest(text: str) -> str | None:
    """The allowed spelling that ``text`` probably means, or None if it is allowed or there is no clear guess."""
    cleaned = text.strip().strip("'\"")
    if cleaned.lower() in {LATEST, "latest", "any", "**"}:
        return LATEST if text != LATEST else None
    match = _LOOSE.fullmatch(cleaned)
    if match is None:
        return None
    family, minor, year, month, release = match.groups()
    guess = f"WA-GUEST-OS-{int(family)}.{int(minor)}_{year}{month}-{int(release or 1):02d}"
    return guess if _STRICT.fullmatch(guess) and guess != text else None


def same_version(seen: str | None, target: str) -> bool:
    """Whether a version from Batch is the declared one. ``*`` equals only ``*`` (recording R1)."""
    return seen is not None and seen.casefold() == target.casefold()


def is_rollback(came_from: str | None, target: str) -> bool:
    """Whether ``target`` is an older version of the same family; False if one of the two is not an exact version."""
    try:
        seen, wanted = GuestOsVersion.parse(came_from or ""), GuestOsVersion.parse(target)
    except VersionSyntaxError:
        return False
    return seen.family == wanted.family and wanted < seen
