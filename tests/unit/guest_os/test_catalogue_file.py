"""Which Guest OS catalogue counts on a machine: the package's, the user's file, or the one that a variable names."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from batch_os_provider.guest_os import catalogue, catalogue_file
from batch_os_provider.guest_os.catalogue import Catalogue, CatalogueError, Family, Release
from batch_os_provider.guest_os.catalogue_file import VARIABLE, as_text, find, parse, read_file, user_file
from batch_os_provider.guest_os.version import GuestOsVersion

OWN = catalogue.load()
NEWER = "WA-GUEST-OS-7.59_202601-01"
DISABLED = "WA-GUEST-OS-7.56_202509-01"


def release(text: str, released: date, disabled: date | None = None) -> Release:
    return Release(GuestOsVersion.parse(text), "Windows Server 2022", released, disabled)


def newer() -> Catalogue:
    """The package's catalogue, and what February 2026 brought: a release, and a day on which another was disabled."""
    came = release(NEWER, date(2026, 2, 12))
    gone = release(DISABLED, date(2025, 10, 6), date(2026, 2, 12))
    return OWN.updated_by(Catalogue((came, gone), (OWN.families[7],)))


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    return {name: str(tmp_path / "home") for name in ("HOME", "LOCALAPPDATA")}  # Windows asks for the second


def written(path: Path | None, known: Catalogue) -> str:
    assert path is not None
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(as_text(known), encoding="utf-8")
    return str(path)


def test_a_file_holds_the_whole_catalogue() -> None:
    for known in (OWN, newer()):
        read = parse(as_text(known))
        assert read.releases == known.releases
        assert dict(read.families) == dict(known.families)
        assert as_text(read) == as_text(known)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_file_in_any_encoding_of_powershell_is_read(tmp_path: Path, encoding: str) -> None:
    file = tmp_path / "c.json"
    file.write_text(as_text(newer()), encoding=encoding)
    assert read_file(file).release(NEWER) is not None


USER_FILES = {
    "linux": ("linux", {"HOME": "/home/u"}, "/home/u/.local/share/batch-os/guestos-catalogue.json"),
    "xdg": ("linux", {"HOME": "/home/u", "XDG_DATA_HOME": "/data"}, "/data/batch-os/guestos-catalogue.json"),
    "xdg that is not absolute does not count": (
        *("linux", {"HOME": "/home/u", "XDG_DATA_HOME": "data"}),
        "/home/u/.local/share/batch-os/guestos-catalogue.json",
    ),
    "macOS": (
        *("darwin", {"HOME": "/Users/u", "XDG_DATA_HOME": "/data"}),
        "/Users/u/Library/Application Support/batch-os/guestos-catalogue.json",
    ),
    "Windows": ("win32", {"LOCALAPPDATA": "/u/AppData/Local"}, "/u/AppData/Local/batch-os/guestos-catalogue.json"),
    "a service": ("linux", {}, None),
    "a Windows service": ("win32", {"HOME": "/home/u"}, None),
}


@pytest.mark.parametrize("name", USER_FILES)
def test_the_users_file_is_where_the_platform_has_data(name: str) -> None:
    platform, environ, wanted = USER_FILES[name]
    found = user_file(environ, platform)
    assert (found and found.as_posix()) == wanted


def test_which_one_counts(home: dict[str, str], tmp_path: Path) -> None:
    assert find({}) == find(home) == catalogue_file.Current(OWN, "package")
    users = written(user_file(home), newer())
    found = find(home)
    assert (found.source, found.file, found.unused, found.trouble) == ("user", users, None, "")
    assert found.catalogue.covers_until == date(2026, 2, 12)

    latest = newer().updated_by(
        Catalogue((release("WA-GUEST-OS-7.60_202602-01", date(2026, 3, 10)),), (OWN.families[7],))
    )
    named = written(tmp_path / "repository" / "catalogue.json", latest)
    found = find({**home, VARIABLE: named})
    assert (found.source, found.file, found.catalogue.covers_until) == ("variable", named, date(2026, 3, 10))
    assert find({**home, VARIABLE: ""}).source == "user", "an empty variable is none"


def test_a_file_adds_and_corrects_and_loses_nothing(tmp_path: Path) -> None:
    corrected = replace(OWN.releases[-1], disabled=date(2026, 3, 1))
    some = Catalogue((release(NEWER, date(2026, 2, 12)), corrected), (Family(7, "Windows Server 2022 LTSC"),))
    found = find({VARIABLE: written(tmp_path / "some.json", some)}).catalogue
    assert len(found.releases) == len(OWN.releases) + 1
    assert found.release(corrected.text) == replace(corrected, windows_server="Windows Server 2022 LTSC")
    assert {each.windows_server for each in found.releases if each.version.family == 7} == {"Windows Server 2022 LTSC"}
    assert found.families[3] == OWN.families[3], "an end of life that only a notice tells is kept"


def test_a_file_that_is_older_than_the_package_does_not_count_and_is_no_trouble(home: dict[str, str]) -> None:
    old = Catalogue(
        tuple(each for each in OWN.releases if each.released < date(2025, 11, 1)), tuple(OWN.families.values())
    )
    users = written(user_file(home), old)
    for environ in (home, {VARIABLE: users}):
        found = find(environ)
        assert (found.catalogue, found.source, found.trouble) == (OWN, "package", "")
        assert found.unused is not None
        assert found.unused.why == (
            f"{users} is not used: it ends with the releases of 2025-10-06, and the catalogue of the installed package "
            "with those of 2026-01-14"
        )


def changed(**fields: Any) -> str:
    return json.dumps({**json.loads(as_text(newer())), **fields})


ROW = {"version": NEWER, "released": "2026-02-12", "disabled": None}
FAMILY = {"family": 7, "windows_server": "Windows Server 2022", "announced": None, "end_of_life": None}
BROKEN: dict[str, tuple[str | bytes, str]] = {
    "empty": ("", "it is empty"),
    "blank": ("\n \n", "it is empty"),
    "html": ("<!DOCTYPE html>", "it is not JSON"),
    "cut off": (as_text(newer())[:5000], "it is not JSON"),
    "not text": (b"\xe9\xff\x00\x81", "it is not JSON"),
    "a list": ("[]", "its format is not"),
    "another document": ('{"steps": []}', "its format is not"),
    "a later version": (changed(version=2), "its version is 2; this batch-os-provider reads version 1"),
    "no releases": (changed(releases=[]), "has no releases"),
    "releases missing": (
        '{"format": "batch-os guest os catalogue", "version": 1, "families": []}',
        "'releases' is missing",
    ),
    "not objects": (changed(releases=[7]), "releases is not a list of objects"),
    "families of numbers": (changed(families={"7": 1}), "families is not a list of objects"),
    "family as text": (changed(families=[{**FAMILY, "family": "7"}]), "family '7' is not a number"),
    "no server": (changed(families=[{**FAMILY, "windows_server": ""}]), "windows_server '' is not a text"),
    "version": (changed(releases=[{**ROW, "version": "7.59"}]), "'7.59' is not a Guest OS version"),
    "no version": (changed(releases=[{"released": "2026-02-12", "disabled": None}]), "'version' is missing"),
    "no day": (changed(releases=[{**ROW, "released": "2026-02-30"}]), "released '2026-02-30' is not a date"),
    "day as number": (changed(releases=[{**ROW, "released": 20260212}]), "released 20260212 is not a date"),
    "never released": (changed(releases=[{**ROW, "released": None}]), "has no release date"),
    "lost family": (changed(families=[]), "is of family 2, which families does not list"),
    "contradiction": (changed(releases=[{**ROW, "disabled": "2026-01-01"}]), "is disabled before it is released"),
    "twice": (changed(releases=[ROW, ROW]), "have the same number"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_refused_with_a_sentence_and_never_takes_effect(home: dict[str, str], name: str) -> None:
    text, why = BROKEN[name]
    users = user_file(home)
    assert users is not None
    users.parent.mkdir(parents=True)
    users.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(CatalogueError, match=r"is not a Guest OS catalogue: "):
        read_file(users)
    for environ, prefix in ((home, ""), ({VARIABLE: str(users)}, f"{VARIABLE}: ")):
        found = find(environ)
        assert (found.catalogue, found.source) == (OWN, "package")
        assert found.trouble.startswith(f"{prefix}{users} is not a Guest OS catalogue: ")
        assert why in found.trouble
        assert found.trouble.endswith("; the catalogue of the installed package is used instead")
        assert "\n" not in found.trouble


def test_a_file_that_contradicts_the_packages_catalogue_never_takes_effect(tmp_path: Path) -> None:
    """Each is fine by itself; together one number stands for two months."""
    other_month = release("WA-GUEST-OS-7.58_202512-01", date(2026, 1, 20))
    file = written(tmp_path / "file.json", Catalogue((other_month,), (OWN.families[7],)))
    found = find({VARIABLE: file})
    assert found.catalogue == OWN
    assert found.trouble == (
        f"{VARIABLE}: {file} contradicts the catalogue of the installed package: WA-GUEST-OS-7.58_202512-01 and "
        "WA-GUEST-OS-7.58_202511-01 have the same number; the catalogue of the installed package is used instead"
    )


def test_a_file_that_is_not_there_or_a_folder_is_refused_with_a_sentence(tmp_path: Path) -> None:
    missing = find({VARIABLE: str(tmp_path / "none.json")})
    assert missing.trouble.startswith(
        f"{VARIABLE}: {tmp_path / 'none.json'} cannot be read: No such file or directory;"
    )
    assert find({VARIABLE: str(tmp_path)}).trouble.startswith(f"{VARIABLE}: {tmp_path} is not a file;")
