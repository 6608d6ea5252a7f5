"""The Guest OS catalogue in use on this machine: the one in the package, or a newer one in a file.

An installed package becomes old, and a program should not write to site-packages. So a newer catalogue is in the user's
file, or in a file that ``BATCH_OS_CATALOGUE`` names, such as one in a pipeline's repository. Previews, policies and
``batch-os`` all call ``current``.

The first existing one of these is used: the file that the variable names; the user's file, which
``batch-os catalogue --update`` writes; the catalogue in the package. A file extends and corrects the package's
catalogue. If a file cannot be read, or if its newest release is older than the package's, the package's catalogue is
used, and ``Current.unused`` has the reason.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any, Literal

from batch_os_provider.guest_os.catalogue import Catalogue, CatalogueError, Family, Release, contradictions, load
from batch_os_provider.guest_os.version import GuestOsVersion
from batch_os_provider.wording import counted

__all__ = ["VARIABLE", "Current", "Source", "Unused", "as_text", "current", "find", "parse", "read_file", "user_file"]

VARIABLE = "BATCH_OS_CATALOGUE"
"""Environment variable: the path of a catalogue file, used instead of the user's file."""

FORMAT = "batch-os guest os catalogue"
VERSION = 1
NAME = "guestos-catalogue.json"
MOST = 8 * 2**20  # bytes; the package's catalogue has 50,000

Source = Literal["package", "user", "variable"]


@dataclass(frozen=True)
class Unused:
    """A catalogue file that is not used; ``broken`` False means that it is only older than the package's catalogue."""

    file: str
    why: str
    broken: bool


@dataclass(frozen=True)
class Current:
    """The catalogue in use and its source; ``file`` is empty for the package's own."""

    catalogue: Catalogue
    source: Source
    file: str = ""
    unused: Unused | None = None

    @property
    def trouble(self) -> str:
        """A sentence about a broken file, else empty."""
        if self.unused is None or not self.unused.broken:
            return ""
        return f"{self.unused.why}; the catalogue of the installed package is used instead"


def current() -> Current:
    """The catalogue in use in this process; each file is read once."""
    user = user_file()
    return _find(os.environ.get(VARIABLE, ""), str(user) if user else "")


def find(environ: Mapping[str, str] = os.environ) -> Current:
    """The catalogue in use, read from the file now."""
    user = user_file(environ)
    return _find.__wrapped__(environ.get(VARIABLE, ""), str(user) if user else "")


@cache
def _find(named: str, user: str) -> Current:
    own = load()
    source: Source = "variable" if named else "user"
    file = named or user
    if not named and not (user and os.path.lexists(user)):
        return Current(own, "package")
    try:
        found = read_file(Path(file))
    except CatalogueError as error:
        prefix = f"{VARIABLE}: " if named else ""
        return Current(own, "package", unused=Unused(file, f"{prefix}{error}", broken=True))
    if found.covers_until < own.covers_until:
        why = (
            f"{file} is not used: it ends with the releases of {found.covers_until}, and the catalogue of the "
            f"installed package with those of {own.covers_until}"
        )
        return Current(own, "package", unused=Unused(file, why, broken=False))
    merged = own.updated_by(found)
    wrong = next(contradictions(merged.releases), None)
    if wrong is not None:
        why = f"{file} contradicts the catalogue of the installed package: {wrong[1]}"
        return Current(own, "package", unused=Unused(file, f"{VARIABLE}: {why}" if named else why, broken=True))
    return Current(merged, source, file)


def user_file(environ: Mapping[str, str] = os.environ, platform: str = sys.platform) -> Path | None:
    r"""The path of the user's catalogue file, which may not exist; None without a home folder, as for some services.

    Windows: ``%LOCALAPPDATA%\batch-os``. macOS: ``~/Library/Application Support/batch-os``. Other systems follow the
    XDG base directory rules: ``$XDG_DATA_HOME/batch-os`` if that is absolute, else ``~/.local/share/batch-os``.
    """
    if platform == "win32":
        local = environ.get("LOCALAPPDATA", "")
        return Path(local) / "batch-os" / NAME if local else None
    if platform != "darwin" and (data := environ.get("XDG_DATA_HOME", "")).startswith("/"):
        return Path(data) / "batch-os" / NAME
    home = environ.get("HOME", "")
    if not home:
        return None
    folder = ("Library", "Application Support") if platform == "darwin" else (".local", "share")
    return Path(home, *folder, "batch-os", NAME)


def read_file(path: Path) -> Catalogue:
    """Read a catalogue file.

    Raises:
        CatalogueError: the file does not exist, cannot be read, or is not a catalogue; the text names the file.
    """
    try:
        if path.exists() and not path.is_file():
            raise CatalogueError(f"{path} is not a file")
        with path.open("rb") as file:
            data = file.read(MOST + 1)
    except OSError as error:
        raise CatalogueError(f"{path} cannot be read: {error.strerror}") from error
    try:
        return parse(data)
    except CatalogueError as error:
        raise CatalogueError(f"{path} is not a Guest OS catalogue: {error}") from error


def parse(data: bytes | str) -> Catalogue:
    """Read a catalogue from the content of a file.

    Raises:
        CatalogueError: the content is not a catalogue, or it contradicts itself.
    """
    if len(data) > MOST:
        raise CatalogueError(f"it has more than {counted(MOST, 'byte')}")
    try:
        document = json.loads(data)  # bytes in UTF-8 or UTF-16, as PowerShell writes them
    except (ValueError, RecursionError) as error:
        raise CatalogueError(f"it is not JSON: {error}" if data.strip() else "it is empty") from None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise CatalogueError(f"its format is not {FORMAT!r}; `batch-os catalogue --update --output FILE` writes one")
    if document.get("version") != VERSION:
        raise CatalogueError(
            f"its version is {document.get('version')!r}; this batch-os-provider reads version {VERSION}"
        )
    try:
        families = tuple(_family(row) for row in _rows(document, "families"))
        servers = {family.number: family.windows_server for family in families}
        releases = tuple(_release(row, servers) for row in _rows(document, "releases"))
    except KeyError as error:
        raise CatalogueError(f"{error} is missing") from None
    except ValueError as error:
        raise CatalogueError(str(error)) from None
    wrong = next(contradictions(releases), None)
    if wrong is not None:
        raise CatalogueError(wrong[1])
    return Catalogue(releases, families)


def as_text(catalogue: Catalogue) -> str:
    """The text of a catalogue file: JSON with one line for each release, so that a pull request shows changes well."""
    families = [
        {
            "family": family.number,
            "windows_server": family.windows_server,
            "announced": _day_text(family.announced),
            "end_of_life": _day_text(family.end_of_life),
        }
        for _, family in sorted(catalogue.families.items())
    ]
    releases = [
        {"version": each.text, "released": _day_text(each.released), "disabled": _day_text(each.disabled)}
        for each in catalogue.releases
    ]
    parts = [f'"format": {json.dumps(FORMAT)}', f'"version": {VERSION}']
    for name, rows in (("families", families), ("releases", releases)):
        lines = ",\n".join(f"    {json.dumps(row)}" for row in rows)
        parts.append(f'"{name}": [\n{lines}\n  ]')
    body = ",\n  ".join(parts)
    return f"{{\n  {body}\n}}\n"


def _day_text(day: date | None) -> str | None:
    return None if day is None else day.isoformat()


def _rows(document: dict[str, Any], name: str) -> list[dict[str, Any]]:
    rows = document[name]
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError(f"{name} is not a list of objects")
    return rows


def _family(row: dict[str, Any]) -> Family:
    number = row["family"]
    if type(number) is not int or number < 1:
        raise ValueError(f"family {number!r} is not a number")
    return Family(number, _text(row, "windows_server"), _day(row, "announced"), _day(row, "end_of_life"))


def _release(row: dict[str, Any], servers: Mapping[int, str]) -> Release:
    version = GuestOsVersion.parse(_text(row, "version"))
    released = _day(row, "released")
    if released is None:
        raise ValueError(f"{version} has no release date")
    if version.family not in servers:
        raise ValueError(f"{version} is of family {version.family}, which families does not list")
    return Release(version, servers[version.family], released, _day(row, "disabled"))


def _text(row: dict[str, Any], name: str) -> str:
    value = row[name]
    if not isinstance(value, str) or not value:
        raise ValueError(f"{name} {value!r} is not a text")
    return value


def _day(row: dict[str, Any], name: str) -> date | None:
    value = row[name]
    if value is None:
        return None
    if not isinstance(value, str):
        raise ValueError(f"{name} {value!r} is not a date")  # noqa: TRY004 - one error for every bad value
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise ValueError(f"{name} {value!r} is not a date such as 2026-01-14") from None
