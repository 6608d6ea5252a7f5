"""The Guest OS catalogue: what Microsoft has published about each version, judged as of a given day.

A pool does not show whether its target is a good choice. A version can be old, withdrawn or of a retired family, and
Batch accepted such versions with 202 (recordings a, e, f). Only Microsoft's table warns the reviewer of a change. The
table is package data, because a preview must not depend on a web page; a file can hold a newer one
(``catalogue_file``). This module reads no clock: the same catalogue and day give the same verdicts.

Published facts:

* *released*, *disabled*: the two dates of the release table. From the second date on Microsoft no longer offers the
  version, and nodes that run it continue. Without that date, the version was offered when the table was read, or it is
  the last of a retired family.
* *announced*, *end of life* of a family: the retirement notices; some give only the month. The policy calls the end of
  life the *expiration date*: after it Microsoft may stop nodes, delete them or force an upgrade.
* The latest two versions of a family are supported.

Microsoft has not published an expiry date for a single version ("sometime after it becomes disabled"), so a version
expires with its family.

Our own rules, where Microsoft publishes nothing: a month means its last day. A family past its end of life offers no
version. A version older than the table was disabled before the oldest version in the table, because all versions in the
table were disabled in order of age. docs/catalogue.md explains this to users.
"""

from __future__ import annotations

import csv
import io
from calendar import month_name, monthrange
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import cache
from importlib import resources
from itertools import pairwise
from types import MappingProxyType
from typing import Literal, TypeVar

from batch_os_provider.guest_os.version import LATEST, GuestOsVersion
from batch_os_provider.wording import counted

__all__ = [
    "FAMILIES_FILE",
    "RELEASES_FILE",
    "Catalogue",
    "CatalogueError",
    "Code",
    "Family",
    "Release",
    "Verdict",
    "contradictions",
    "load",
    "month_text",
    "read",
]

T = TypeVar("T")

RELEASES_FILE = "guestos-releases.csv"
FAMILIES_FILE = "guestos-families.csv"

Code = Literal["expired", "retired", "disabled", "unknown", "behind", "newer"]
"""The codes of verdicts, the worst first. Verdicts come in this order."""

SUPPORTED = 2
"""How many of a family's newest versions are supported (retirement policy). One release behind is only a note."""
LIFESPAN = timedelta(days=60)
"""A version is "normally disabled around 60 days after its release" (retirement policy). Then a catalogue is old."""


class CatalogueError(ValueError):
    """A table of the catalogue cannot be read; the text names file and line."""


@dataclass(frozen=True)
class Release:
    """One row of Microsoft's table."""

    version: GuestOsVersion
    windows_server: str
    released: date
    disabled: date | None = None
    """The first day on which Microsoft no longer offers the version; None if not published."""

    @property
    def text(self) -> str:
        """The version as Batch spells it."""
        return str(self.version)


@dataclass(frozen=True)
class Family:
    """A Guest OS family. Family 5, for example, is Windows Server 2016."""

    number: int
    windows_server: str
    announced: date | None = None
    """The day on which Microsoft announced the retirement; None if it has not."""
    end_of_life: date | None = None
    """The last day of the family's life; None if not published."""

    def has_ended(self, as_of: date) -> bool:
        """Whether the day is after the end of life."""
        return self.end_of_life is not None and as_of > self.end_of_life

    def __str__(self) -> str:
        return f"Guest OS family {self.number} ({self.windows_server})"


@dataclass(frozen=True)
class Verdict:
    """A fact about a target that a reviewer should know: a code for programs and a sentence for people."""

    code: Code
    text: str
    is_warning: bool = True
    """False for a mere note: the version is newer than the catalogue, or one release behind."""


class Catalogue:
    """All releases and families, in order."""

    def __init__(self, releases: tuple[Release, ...], families: tuple[Family, ...]) -> None:
        """Build a catalogue from releases and families in any order.

        Raises:
            CatalogueError: ``releases`` is empty, has a release twice, or has a release of an unknown family.
        """
        self.families = MappingProxyType({family.number: family for family in families})
        self.releases = tuple(sorted(releases, key=lambda release: release.version))
        if not self.releases:
            raise CatalogueError(f"{RELEASES_FILE} has no releases")
        lost = sorted({release.version.family for release in releases} - set(self.families))
        if lost:
            raise CatalogueError(f"{RELEASES_FILE} has releases of family {lost[0]}, which {FAMILIES_FILE} lacks")
        self.covers_until = max(release.released for release in releases)
        """The newest release date. The catalogue does not know later releases."""
        self._by_text = {release.text: release for release in self.releases}
        if len(self._by_text) != len(self.releases):
            raise CatalogueError(f"{RELEASES_FILE} has a release twice")

    def release(self, text: str) -> Release | None:
        """The release with exactly this version, or None."""
        return self._by_text.get(text)

    def newest(self, family: int, as_of: date | None = None) -> Release | None:
        """The newest release of a family, or the newest one on a given day; None without a release."""
        return max(self._out(family, as_of or date.max), key=lambda release: release.version, default=None)

    def outdated(self, as_of: date) -> str | None:
        """A sentence if the catalogue is too old to judge that day, else None.

        It is too old if its newest release is so old that Microsoft may have disabled it and released another.
        """
        if as_of - self.covers_until <= LIFESPAN:
            return None
        return (
            f"the Guest OS catalogue ends with the releases of {self.covers_until} and does not know later changes. "
            "Update it with `batch-os catalogue --update`, or with a newer batch-os-provider"
        )

    def updated_by(self, other: Catalogue) -> Catalogue:
        """The union of both catalogues. ``other`` overrides entries, but it cannot remove a date."""
        families = dict(self.families)
        for number, family in other.families.items():
            old = families.get(number, family)
            families[number] = replace(
                family, announced=family.announced or old.announced, end_of_life=family.end_of_life or old.end_of_life
            )
        releases = {release.text: release for release in self.releases}
        for release in other.releases:
            old_release = releases.get(release.text, release)
            releases[release.text] = replace(release, disabled=release.disabled or old_release.disabled)
        # Use one name for a family, also for releases that only the older catalogue has.
        named = (
            replace(each, windows_server=families[each.version.family].windows_server) for each in releases.values()
        )
        return Catalogue(tuple(named), tuple(families.values()))

    def judge(self, text: str, as_of: date, family: str | None = None) -> tuple[Verdict, ...]:
        """The verdicts about a target on a day, the worst first.

        ``*`` is always the newest version, so only its family can be a problem. ``family`` is the pool's family as
        Batch spells it (``"5"``), or None if it is not known. It matters only for ``*``.

        Raises:
            VersionSyntaxError: the text is neither a Guest OS version nor ``*``.
        """
        if text == LATEST:
            found = next((known for known in self.families.values() if str(known.number) == family), None)
            verdicts = [] if found is None else [_retired(found, as_of)]
        else:
            version = GuestOsVersion.parse(text)
            known = self.families.get(version.family)
            verdicts = [] if known is None else [_expired(version, known, as_of), _retired(known, as_of)]
            verdicts += [
                self._disabled(version, as_of),
                self._unknown_or_newer(version, as_of),
                self._behind(version, as_of),
            ]
        return tuple(verdict for verdict in verdicts if verdict is not None)

    def _out(self, family: int, as_of: date) -> Iterator[Release]:
        """The releases of a family that were published by a day, in order."""
        return (each for each in self.releases if each.version.family == family and each.released <= as_of)

    def _disabled(self, version: GuestOsVersion, as_of: date) -> Verdict | None:
        release, oldest = self.release(str(version)), self._older_than(version)
        family = self.families.get(version.family)
        if release is not None and release.disabled is not None and as_of >= release.disabled:
            since = f"since {release.disabled}"
        elif oldest is not None and oldest.disabled is not None and as_of >= oldest.disabled:
            since = f"since before {oldest.disabled}, when Microsoft disabled the later {oldest.text}"
        elif family is not None and family.has_ended(as_of):
            since = "at the latest since the end of its family"
        else:
            return None
        nodes = "nodes that run it continue until Microsoft stops or force-upgrades them, on an unpublished day"
        after = "" if family is not None and family.has_ended(as_of) else f"; {nodes}"
        return Verdict(
            "disabled", f"{version} is disabled {since}: Microsoft no longer offers it, and Batch may refuse it{after}"
        )

    def _unknown_or_newer(self, version: GuestOsVersion, as_of: date) -> Verdict | None:
        release = self.release(str(version))
        if release is not None:
            if as_of >= release.released:
                return None
            return _newer(f"{version} was released on {release.released}, after {as_of}; the catalogue cannot judge it")
        if self._is_newer(version):
            return _newer(
                f"{version} is newer than the Guest OS catalogue, which ends with the releases of "
                f"{self.covers_until} and cannot judge it"
            )
        oldest = self._older_than(version)
        if oldest is not None:
            why = f"is older than Microsoft's table of Guest OS releases, which begins with {oldest.text}"
        elif self.newest(version.family) is None:
            why = f"is of family {version.family}, which Microsoft's table of Guest OS releases does not list"
        else:
            why = "is not in Microsoft's table of Guest OS releases, although the table covers its time"
        nearest = None if oldest is not None else self._nearest(version)
        hint = "" if nearest is None else f"; did you mean {nearest.text}?"
        return Verdict("unknown", f"{version} {why}{hint}")

    def _behind(self, version: GuestOsVersion, as_of: date) -> Verdict | None:
        older_than_table = self._older_than(version) is not None
        if self.release(str(version)) is None and not older_than_table:
            return None  # an unknown version has no place in the order
        later = [each for each in self._out(version.family, as_of) if each.version > version]
        if not later:
            return None
        least = "at least " if older_than_table or self.outdated(as_of) else ""
        return Verdict(
            "behind",
            f"{version} is {least}{counted(len(later), 'release')} behind: it has Microsoft's security fixes up to "
            f"{_month(version)}, {later[-1].text} has those up to {_month(later[-1].version)}",
            is_warning=len(later) >= SUPPORTED,
        )

    def _older_than(self, version: GuestOsVersion) -> Release | None:
        """The oldest listed release of the family, if the version is older by number and month; else None."""
        oldest = next(self._out(version.family, date.max), None)
        if oldest is None or version >= oldest.version or version.month > oldest.version.month:
            return None
        return oldest

    def _is_newer(self, version: GuestOsVersion) -> bool:
        """Whether the version may be later than the catalogue. A new number with an old month is a typing error."""
        newest = self.newest(version.family)
        if newest is None:
            last = self.releases[-1].version  # of the newest family; a later family has a higher number
            return version.family > last.family and version.month >= last.month
        if self.families[version.family].has_ended(self.covers_until):
            return False  # the list of an ended family is complete
        return version > newest.version and version.month >= newest.version.month

    def _nearest(self, version: GuestOsVersion) -> Release | None:
        """The listed release that the author probably meant: one with the same number, else with the same month."""
        family = [each for each in self.releases if each.version.family == version.family]
        same_number = (each for each in family if each.version.minor == version.minor)
        same_month = (each for each in family if each.version.month == version.month)
        return next(same_number, None) or next(same_month, None)


def contradictions(releases: Iterable[Release]) -> Iterator[tuple[Release, str]]:
    """Releases that cannot be right, each with the reason. The source probably has a misprint."""
    ordered = sorted(releases, key=lambda release: release.version)
    for release in ordered:
        if release.disabled is not None and release.disabled < release.released:
            yield release, f"{release.text} is disabled before it is released"
    for one, later in pairwise(ordered):
        if one.version.family != later.version.family:
            continue
        if one.version.minor == later.version.minor:
            yield later, f"{later.text} and {one.text} have the same number"
        elif (later.version.month, later.version.release) <= (one.version.month, one.version.release):
            yield (
                later,
                f"{later.text} has a later number than {one.text}, but neither a later month nor a later re-release",
            )
        elif later.released < one.released:
            yield later, f"{later.text} is released before {one.text}"


def _expired(version: GuestOsVersion, family: Family, as_of: date) -> Verdict | None:
    if family.end_of_life is None or not family.has_ended(as_of):
        return None
    return Verdict(
        "expired",
        f"{version} expired with its family in {month_text(family.end_of_life)}: Microsoft may stop, delete or "
        "force-upgrade nodes that run it",
    )


def _retired(family: Family, as_of: date) -> Verdict | None:
    if family.end_of_life is not None and family.has_ended(as_of):
        return Verdict(
            "retired",
            f"{family} is retired: its end of life was in {month_text(family.end_of_life)}, and it gets no more "
            "security fixes; move the work to a pool of another family",
        )
    if family.announced is None or as_of <= family.announced:
        return None
    end = "" if family.end_of_life is None else f", its end of life is in {month_text(family.end_of_life)}"
    return Verdict(
        "retired",
        f"{family} is being retired: Microsoft announced it in {month_text(family.announced)}{end}; plan to move the "
        "work to a pool of another family",
    )


def _newer(text: str) -> Verdict:
    return Verdict("newer", text, is_warning=False)


def month_text(day: date) -> str:
    """A day of a family as month and year, since Microsoft does not always publish the day."""
    return f"{month_name[day.month]} {day.year}"


def _month(version: GuestOsVersion) -> str:
    """The month of the version's newest patches, in words."""
    return f"{month_name[int(version.month[4:])]} {version.month[:4]}"


def read(releases: str, families: str) -> Catalogue:
    """Read a catalogue from the CSV text of its two tables.

    Raises:
        CatalogueError: a column is missing, or a row is wrong.
    """
    return Catalogue(
        tuple(_rows(RELEASES_FILE, releases, _release)),
        tuple(_rows(FAMILIES_FILE, families, _family)),
    )


@cache
def load() -> Catalogue:
    """The catalogue of this package. ``catalogue_file.current`` returns the one in use."""
    package = resources.files("batch_os_provider.guest_os")
    releases, families = (package.joinpath(name).read_text(encoding="utf-8") for name in (RELEASES_FILE, FAMILIES_FILE))
    return read(releases, families)


def _rows(file: str, text: str, make: Callable[[dict[str, str]], T]) -> Iterator[T]:
    """The rows of a CSV table as values. Raises CatalogueError."""
    table = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        for row in table:
            yield make(_whole(row))
    except KeyError as error:
        raise CatalogueError(f"{file} has no column {error}") from None
    except (csv.Error, ValueError) as error:
        raise CatalogueError(f"{file}, line {table.line_num}: {error}") from None


def _whole(row: dict[str, str]) -> dict[str, str]:
    """Check that a row has as many cells as the first line; csv marks other rows with None. Raises ValueError."""
    if None in row or None in row.values():
        raise ValueError("it does not have as many cells as the first line")
    return row


def _release(row: dict[str, str]) -> Release:
    disabled = row["disable_date"]
    return Release(
        GuestOsVersion.parse(row["version"]),
        row["windows_server"],
        date.fromisoformat(row["release_date"]),
        date.fromisoformat(disabled) if disabled else None,
    )


def _family(row: dict[str, str]) -> Family:
    return Family(int(row["family"]), row["windows_server"], _last_day(row["announced"]), _last_day(row["end_of_life"]))


def _last_day(text: str) -> date | None:
    """The day in a text (``2014-11-03``), or the last day of a month (``2024-12``); None for an empty text."""
    if not text:
        return None
    month = len(text) == len("2024-12")
    day = date.fromisoformat(f"{text}-01" if month else text)
    return day.replace(day=monthrange(day.year, day.month)[1]) if month else day
