"""Reads Microsoft's page of Guest OS releases, and adds it to a catalogue.

`batch-os catalogue --update` and ``scripts/guestos_releases.py`` (which updates the package's own tables) read the same
page: "Azure Guest OS releases and SDK compatibility matrix", in the Markdown that Microsoft publishes. A page with one
unknown part changes nothing. Releases that the page lacks are kept, since Microsoft has removed old ones before. Where
both have a release, the page wins, except that "Post 7.61" does not remove a date.
"""

from __future__ import annotations

import re
import urllib.error
import urllib.request
from dataclasses import dataclass
from datetime import date
from http.client import HTTPException

from batch_os_provider.guest_os.catalogue import Catalogue, Family, Release, contradictions
from batch_os_provider.guest_os.version import GuestOsVersion, VersionSyntaxError
from batch_os_provider.runtime.text_file import NotTextError, decoded
from batch_os_provider.wording import plural

__all__ = ["LOOPBACK", "MISPRINTS", "URL", "Page", "PageError", "differences", "fetch", "merge", "parse"]

URL = (
    "https://raw.githubusercontent.com/MicrosoftDocs/azure-docs/main/"
    "articles/cloud-services-extended-support/cloud-services-guestos-update-matrix.md"
)
"""The page's source. It was under articles/cloud-services/ until Cloud Services (classic) ended, and may move again."""
LOOPBACK = "http://127.0.0.1"
SECONDS = 30
MOST = 8 * 2**20  # bytes; the page has 50,000

HEADING = re.compile(r"#+\s+(.*?)\s*")
FAMILY = re.compile(r"Family (\d{1,3}) releases", re.IGNORECASE)
SERVER = re.compile(r"\*\*(Windows Server [^*|]+?)\s*\*\*")
COLUMNS = ["configuration string", "release date", "disable date"]
DAY = re.compile(r"([A-Z][a-z]{2})[a-z]*\.? (\d{1,2}), (\d{4})")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
OPEN = re.compile(r"Post \d+\.\d+")
"""In place of a disable date: Microsoft will disable the release after that version is out."""

MISPRINTS = {
    ("", "WA-GUEST-OS-6.9_201907-0"): "WA-GUEST-OS-6.9_201907-01",
    ("", "WA-GUEST-OS-6.31_202105-0"): "WA-GUEST-OS-6.31_202105-01",
    # Patches of November 2024, after 2.156 of December 10, 2024; the other families say 2025.
    ("WA-GUEST-OS-2.157_202411-01", "January 17, 2024"): "January 17, 2025",
    # Disabled when 4.106 came out, on August 3; the other families say so.
    ("WA-GUEST-OS-4.103_202205-01", "August 2, 2022"): "August 3, 2022",
}
"""Misprints of the page (version, and the printed day; or a printed version), and what is meant.

A misprint that Microsoft corrects no longer applies.
"""


class PageError(Exception):
    """The page cannot be used; the text says why, a line for each fault."""


@dataclass(frozen=True)
class Page:
    """The content of the page."""

    servers: dict[int, str]
    releases: tuple[Release, ...]
    misprints: tuple[str, ...]


# ── Reading the page ─────────────────────────────────────────────────────────────────────────────────────────────────


def fetch(url: str) -> str:
    """The text behind a URL.

    Raises:
        PageError: it cannot be read, or the URL does not begin with https.
    """
    if not url.startswith(("https://", f"{LOOPBACK}:")):
        raise PageError(f"{url} does not begin with https://")
    try:
        with urllib.request.urlopen(url, timeout=SECONDS) as answer:  # noqa: S310 - https and loopback only, see above
            return decoded(answer.read(MOST), url)
    except NotTextError as error:
        raise PageError(str(error)) from error
    except urllib.error.HTTPError as error:
        with error:
            raise PageError(f"{url}: HTTP {error.code} {error.reason}; the page may have moved") from error
    except (OSError, HTTPException, ValueError) as error:  # ValueError: not a URL
        why = getattr(error, "reason", None) or error
        raise PageError(f"{url}: {why}; save the page in another way, and name the file") from error


class Reader:
    """Reads the page line by line, and remembers the section and table."""

    def __init__(self) -> None:
        self.servers: dict[int, str] = {}
        self.found: list[tuple[int, Release]] = []
        self.misprints: list[str] = []
        self._family: int | None = None
        self._in_table = False

    def line(self, number: int, line: str) -> None:
        """Read one line.

        Raises:
            ValueError: the line has a release that cannot be read.
        """
        if heading := HEADING.fullmatch(line):
            named = FAMILY.fullmatch(heading[1])
            self._family, self._in_table = int(named[1]) if named else None, False
        elif line.startswith("|"):
            self._row(number, [cell.strip(" \t~") for cell in line.strip().strip("|").split("|")])
        else:
            self._in_table = False
            if self._family is not None and (server := SERVER.fullmatch(line.strip())):
                self.servers.setdefault(self._family, server[1])

    def _row(self, number: int, cells: list[str]) -> None:
        if [cell.lower() for cell in cells] == COLUMNS:
            self._in_table = True
        elif any("WA-GUEST-OS-" in cell for cell in cells):
            if self._family is None:
                raise ValueError("a release outside the section of a family")
            if not self._in_table or len(cells) != len(COLUMNS):
                raise ValueError(f"a release outside a table with the columns {', '.join(COLUMNS)}")
            self.found.append((number, self._release(self._family, *cells)))

    def _release(self, family: int, printed: str, released: str, disabled: str) -> Release:
        text = self._meant("", printed)
        try:
            version = GuestOsVersion.parse(text)
        except VersionSyntaxError:
            raise ValueError(f"{text!r} is not a version (if it is a misprint, add it to MISPRINTS)") from None
        if version.family != family:
            raise ValueError(f"a release of family {version.family} under family {family}")
        if family not in self.servers:
            raise ValueError(f"family {family} does not say which Windows Server it is")
        is_open = OPEN.fullmatch(disabled) is not None
        return Release(
            version,
            self.servers[family],
            when(self._meant(text, released)),
            None if is_open else when(self._meant(text, disabled)),
        )

    def _meant(self, version: str, printed: str) -> str:
        meant = MISPRINTS.get((version, printed), printed)
        if meant != printed:
            self.misprints.append(f"{version} {printed}".strip() + f" is read as {meant}")
        return meant


def parse(text: str) -> Page:
    """Read the whole page.

    Raises:
        PageError: a part of it is not as expected; the error names each such part.
    """
    reader = Reader()
    wrong = []
    for number, line in enumerate(text.splitlines(), 1):
        try:
            reader.line(number, line)
        except ValueError as error:
            wrong.append(f"line {number}: {error}: {line.strip()}")
    lines = {id(release): number for number, release in reader.found}
    releases = [release for _, release in reader.found]
    wrong += [f"line {lines[id(release)]}: {why}" for release, why in contradictions(releases)]
    if not wrong and not reader.found:
        html = " (this is HTML; its Markdown source is needed)" if "<html" in text.lower() else ""
        wrong.append(f"it has no table of releases{html}")
    if wrong:
        raise PageError("\n  ".join(["the page is not as expected, and nothing was changed:", *wrong]))
    return Page(reader.servers, tuple(releases), tuple(reader.misprints))


def when(text: str) -> date:
    """A day as the page writes it: ``January 14, 2026``, ``March 06, 2025``.

    Raises:
        ValueError: the text is not a day.
    """
    match = DAY.fullmatch(text)
    if match is None or match[1] not in MONTHS:
        raise ValueError(f"{text!r} is not a date")
    return date(int(match[3]), MONTHS.index(match[1]) + 1, int(match[2]))


# ── What is new ──────────────────────────────────────────────────────────────────────────────────────────────────────


def merge(known: Catalogue, page: Page) -> tuple[Catalogue, list[str]]:
    """The catalogue with the releases of the page, and the differences, a line for each.

    Raises:
        PageError: the page is older than the catalogue, or a part of it is missing.
    """
    until = max(release.released for release in page.releases)
    if until < known.covers_until:
        raise PageError(
            f"the page is too old: its newest release is of {until}, and the catalogue has one of {known.covers_until}"
        )
    living = {
        family.number
        for family in known.families.values()
        if known.newest(family.number) is not None and not family.has_ended(until)
    }
    if missing := sorted(living - {release.version.family for release in page.releases}):
        which = f"{plural(len(missing), 'family', 'families')} {', '.join(map(str, missing))}"
        raise PageError(f"the page has no releases of {which}: was it cut off?")

    families = {number: Family(number, server) for number, server in page.servers.items()}
    lacking = {number: family for number, family in known.families.items() if number not in families}
    merged = known.updated_by(Catalogue(page.releases, (*families.values(), *lacking.values())))
    return merged, differences(known, merged)


def differences(before: Catalogue, after: Catalogue) -> list[str]:
    """The differences of a catalogue from an older one, a line for each."""
    changes = []
    for number, family in sorted(after.families.items()):
        old = before.families.get(number)
        if old is None:
            changes.append(f"+ family {number}: {family.windows_server}")
            continue
        if old.windows_server != family.windows_server:
            changes.append(f"~ family {number}: {old.windows_server} -> {family.windows_server}")
        for name, one, other in (
            ("announced", old.announced, family.announced),
            ("end of life", old.end_of_life, family.end_of_life),
        ):
            if one != other:
                changes.append(f"~ family {number}, {name} {one or 'not yet'} -> {other}")
    for release in after.releases:
        old_release = before.release(release.text)
        if old_release is None:
            changes.append(f"+ {release.text}, released {release.released}, disabled {release.disabled or 'not yet'}")
            continue
        for name in ("released", "disabled"):
            one, other = getattr(old_release, name), getattr(release, name)
            if one != other:
                changes.append(f"~ {release.text}, {name} {one or 'not yet'} -> {other}")
    return changes
