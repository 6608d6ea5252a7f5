"""The script that brings the Guest OS catalogue up to date, on Microsoft's page: whole, cut short and damaged."""

from __future__ import annotations

import re
import threading
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from batch_os_provider.cli.catalogue.releases import MISPRINTS, URL
from batch_os_provider.cli.main import main
from batch_os_provider.guest_os import catalogue
from batch_os_provider.guest_os.catalogue import Family
from batch_os_provider.guest_os.catalogue_file import read_file, user_file
from scripts import guestos_releases

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[3]
PACKAGE = ROOT / "batch_os_provider" / "guest_os"
GUEST_OS = catalogue.load()

HEAD = "| Configuration string | Release date | Disable date |\n| --- | --- | --- |\n"
PAGE = f"""\
---
title: Learn about the latest Azure Guest OS Releases | Microsoft Docs
ms.date: 02/12/2026
---
# Azure Guest OS releases and SDK compatibility matrix

## News updates

###### **February 12, 2026**
The January 2026 Guest OS released.

## Releases

## Family 7 releases
**Windows Server 2022**

.NET Framework installed: 4.8

{HEAD}\
|  WA-GUEST-OS-7.59_202601-01 |  February 12, 2026  |  Post 7.62  |
|  WA-GUEST-OS-7.58_202511-01 |  January 14, 2026  |  Post 7.61  |
|  WA-GUEST-OS-7.57_202510-01 |  November 6, 2025  |  Post 7.60  |
|~~WA-GUEST-OS-7.56_202509-01~~|  October 6, 2025  |  February 12, 2026  |


## Family 6 releases
**Windows Server 2019**

> [!NOTE]
> The note of a family.

{HEAD}\
|  WA-GUEST-OS-6.88_202511-01 |  January 14, 2026  |  Post 6.91  |
|~~WA-GUEST-OS-6.31_202105-0~~|  May 26, 2021  |  August 13, 2021  |\x20\x20
|~~WA-GUEST-OS-6.9_201907-0~~|July 26, 2019 | October 7, 2019 |
|~~WA-GUEST-OS-6.8_201906-01~~|July 8, 2019 |August 4, 2019 |

## Family 5 releases
**Windows Server 2016**

{HEAD}\
|  WA-GUEST-OS-5.112_202511-01 |  January 14, 2026  |  Post 5.115  |
|~~WA-GUEST-OS-5.93_202403-02~~|  April 9, 2024  |  June 27, 2024 |

## Family 3 releases
**Windows Server 2012**

{HEAD}\
|~~WA-GUEST-OS-3.144_202410-01~~|  December 10, 2024  |  March 06, 2025  |
|~~WA-GUEST-OS-3.138_202404-01~~|  April 19, 2024  |  Post 3.141  |

## Family 2 releases
**Windows Server 2008 R2 SP1**

{HEAD}\
|~~WA-GUEST-OS-2.157_202411-01~~|  January 17, 2024  |  Post 2.157  |

## SDK support

| Guest OS family | Compatible SDK versions |
| --- | --- |
| 6 |Version 2.9.6+ |

**Configuration string for this release** - WA-GUEST-OS-2.12_201208-02
"""
"""The page in the shape it has (January 2026), cut short, with real misprints and an invented release of February."""

ROW = "|  WA-GUEST-OS-8.1_202601-01 |  February 12, 2026  |  Post 8.4  |\n"
FAMILY_8 = f"\n## Family 8 releases\n**Windows Server 2025**\n\n{HEAD}{ROW}"
CHANGED = "WA-GUEST-OS-7.56_202509-01"
ADDED = "WA-GUEST-OS-7.59_202601-01"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A copy of the package's tables."""
    folder = tmp_path / "data"
    folder.mkdir()
    for name in (catalogue.RELEASES_FILE, catalogue.FAMILIES_FILE):
        (folder / name).write_bytes((PACKAGE / name).read_bytes())
    return folder


def run(data: Path, *options: str) -> int:
    return guestos_releases.main([*options, "--data", str(data)])


def refresh(data: Path, page: str | bytes, *options: str) -> int:
    saved = data.parent / "page.md"
    saved.write_bytes(page if isinstance(page, bytes) else page.encode())
    return run(data, "--from", str(saved), *options)


def tables(folder: Path) -> list[bytes]:
    return [(folder / name).read_bytes() for name in (catalogue.RELEASES_FILE, catalogue.FAMILIES_FILE)]


def read(folder: Path) -> catalogue.Catalogue:
    return catalogue.read(*(text.decode() for text in tables(folder)))


def without(page: str, word: str) -> str:
    return "".join(line for line in page.splitlines(keepends=True) if word not in line)


def day(value: date) -> str:
    return f"{value:%B} {value.day}, {value.year}"


def whole_page() -> str:
    """The page that our table was made from, all of it, with every misprint."""
    printed = {(version, right): wrong for (version, wrong), right in MISPRINTS.items()}
    lines = []
    for number, family in sorted(GUEST_OS.families.items(), reverse=True):
        lines += [f"## Family {number} releases", f"**{family.windows_server}**", "", HEAD.rstrip("\n")]
        for release in (each for each in reversed(GUEST_OS.releases) if each.version.family == number):
            name = printed.get(("", release.text), release.text)
            dates = [day(release.released), f"Post {number}.{release.version.minor + 3}"]
            if release.disabled:
                name, dates[1] = f"~~{name}~~", day(release.disabled)
            dates = [printed.get((release.text, each), each) for each in dates]
            lines.append(f"|{name}|  {dates[0]}  |  {dates[1]}  |  ")
    return "\n".join(lines)


def test_the_whole_page_teaches_nothing_that_the_table_does_not_have(data: Path, capsys: Any):
    assert refresh(data, whole_page(), "--check") == 0
    out = capsys.readouterr().out
    assert out.endswith("nothing new: 447 releases until 2026-01-14\n")
    assert out.count("misprint: ") == 4 == len(MISPRINTS)


def test_from_the_whole_page_the_script_writes_our_table_byte_for_byte(data: Path):
    releases = data / catalogue.RELEASES_FILE
    lines = releases.read_bytes().splitlines(keepends=True)
    releases.write_bytes(b"".join([*lines[:1], *lines[300:]]))
    assert refresh(data, whole_page()) == 0
    assert tables(data) == tables(PACKAGE)


def test_what_is_new_on_the_page_is_written_and_said_and_nothing_is_lost(data: Path, capsys: Any):
    before = read(data)
    assert refresh(data, PAGE) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "misprint: WA-GUEST-OS-6.31_202105-0 is read as WA-GUEST-OS-6.31_202105-01",
        "misprint: WA-GUEST-OS-6.9_201907-0 is read as WA-GUEST-OS-6.9_201907-01",
        "misprint: WA-GUEST-OS-2.157_202411-01 January 17, 2024 is read as January 17, 2025",
        f"~ {CHANGED}, disabled not yet -> 2026-02-12",
        f"+ {ADDED}, released 2026-02-12, disabled not yet",
        "2 changes, written: 448 releases until 2026-02-12",
    ]
    after = read(data)
    assert after.newest(7) == after.release(ADDED)
    assert after.release(ADDED).windows_server == "Windows Server 2022"
    assert after.release(CHANGED).disabled == date(2026, 2, 12)
    unchanged = [each for each in before.releases if each.text != CHANGED]
    assert [each for each in after.releases if each.text not in {CHANGED, ADDED}] == unchanged
    assert tables(data)[1] == tables(PACKAGE)[1], "in the families a month stays a month"
    assert len(list(data.iterdir())) == 2, "nothing is left beside the tables"

    assert refresh(data, PAGE) == 0
    assert capsys.readouterr().out.endswith("nothing new: 448 releases until 2026-02-12\n")


def test_a_page_that_powershell_saved_is_read(data: Path):
    assert refresh(data, PAGE.encode("utf-16"), "--check") == 1
    assert refresh(data, PAGE.encode("utf-8-sig"), "--check") == 1


def test_check_tells_what_is_new_and_writes_nothing(data: Path, capsys: Any):
    assert refresh(data, PAGE, "--check") == 1
    assert capsys.readouterr().out.endswith("2 changes, not written\n")
    assert tables(data) == tables(PACKAGE)


def test_a_date_that_microsoft_puts_right_is_accepted_over_but_post_takes_back_none(data: Path, capsys: Any):
    assert refresh(data, PAGE.replace("|  April 9, 2024  |", "|  April 10, 2024  |")) == 0
    assert "~ WA-GUEST-OS-5.93_202403-02, released 2024-04-09 -> 2024-04-10\n" in capsys.readouterr().out
    assert "3.138_202404-01~~|  April 19, 2024  |  Post 3.141" in PAGE
    assert read(data).release("WA-GUEST-OS-3.138_202404-01").disabled == date(2024, 7, 31)


def test_a_misprint_that_microsoft_puts_right_is_no_misprint(data: Path, capsys: Any):
    assert refresh(data, PAGE.replace("6.9_201907-0~", "6.9_201907-01~").replace("17, 2024", "17, 2025")) == 0
    assert capsys.readouterr().out.count("misprint: ") == 1


def test_a_new_family_is_accepted_over(data: Path, capsys: Any):
    assert refresh(data, PAGE + FAMILY_8) == 0
    assert "+ family 8: Windows Server 2025\n" in capsys.readouterr().out
    known = read(data)
    assert known.families[8] == Family(8, "Windows Server 2025")
    assert known.newest(8).windows_server == "Windows Server 2025"
    assert tables(data)[1] == tables(PACKAGE)[1] + b"8,Windows Server 2025,,\r\n"


def test_a_family_that_is_called_otherwise_is_called_so_in_all_its_releases(data: Path, capsys: Any):
    assert refresh(data, PAGE.replace("2008 R2 SP1", "2008 R2")) == 0
    assert "~ family 2: Windows Server 2008 R2 SP1 -> Windows Server 2008 R2\n" in capsys.readouterr().out
    known = read(data)
    assert {each.windows_server for each in known.releases if each.version.family == 2} == {"Windows Server 2008 R2"}
    assert known.families[2].end_of_life == date(2024, 12, 31)


DAMAGE = {
    "other columns": (lambda page: page.replace("Disable", "Expiry"), "line 21: .* outside a table with the columns"),
    "a column more": (lambda page: page.replace("7.62  |", "7.62  | 4.8 |"), "line 21: .* outside a table"),
    "no table": (lambda page: page.replace("| --- |\n|  WA-GUEST-OS-7", "| --- |\n\n|  WA-GUEST-OS-7"), "line 22: "),
    "no families": (lambda page: page.replace("## Family", "## Group"), "outside the section of a family"),
    "no server": (lambda page: page.replace("**Windows Server 2016**", ""), "family 5 does not say which"),
    "other family": (lambda page: page.replace("OS-5.93", "OS-4.93"), "release of family 4 under family 5"),
    "no tables": (lambda page: page.partition("## Releases")[0], "it has no table of releases$"),
    "html": (lambda _: "<!DOCTYPE html>\n<html><table></table></html>", "this is HTML"),
    "empty": (lambda _: "", "no table of releases"),
    "cut off": (lambda page: page.partition("## Family 5")[0], "no releases of family 5: was it cut off"),
    "old edition": (
        lambda page: without(without(page, "7.59_"), "_202511-01"),
        "2025-11-06, and the catalogue has one of 2026-01-14",
    ),
    "version": (lambda page: page.replace("7.59_202601-01", "7.59_202601-0"), "line 21: .*MISPRINTS"),
    "month": (lambda page: page.replace("7.59_202601", "7.59_202511"), "line 21: .*neither a later month nor"),
    "year": (lambda page: page.replace("12, 2026  |  Post", "12, 2025  |  Post"), "line 21: .*released before"),
    "too soon": (lambda page: page.replace("June 27, 2024", "June 27, 2023"), "is disabled before it is released"),
    "one number": (lambda page: page.replace("7.58_202511-01", "7.59_202511-01"), "have the same number"),
    "no date": (lambda page: page.replace("October 7, 2019", "soon"), "'soon' is not a date"),
    "no day": (
        lambda page: page.replace("June 27, 2024", "June 31, 2024"),
        "line .*day (is out of range|31 must be in range)",
    ),
    "no month": (lambda page: page.replace("June 27, 2024", "Joon 27, 2024"), "'Joon 27, 2024' is not a date"),
    "no text": (lambda page: page.encode() + b"\xe9\xff", "not text in UTF-8 or UTF-16"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_page_that_is_not_understood_changes_nothing_and_says_where(data: Path, capsys: Any, name: str):
    change, why = DAMAGE[name]
    assert refresh(data, change(PAGE)) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert re.search(why, error.rstrip()), error
    assert tables(data) == tables(PACKAGE)


def test_everything_that_is_wrong_with_a_page_is_named_at_once(data: Path, capsys: Any):
    assert refresh(data, PAGE.replace("October 7, 2019", "soon").replace("7.59_202601-01", "7.59_202601-0")) == 2
    assert capsys.readouterr().err.count("\n  line ") == 2


def test_a_page_that_is_not_there_changes_nothing(data: Path, capsys: Any):
    assert run(data, "--from", str(data / "none.md")) == 2
    assert "none.md" in capsys.readouterr().err
    assert tables(data) == tables(PACKAGE)


def test_a_damaged_table_of_ours_is_named_and_left_alone(data: Path, capsys: Any):
    half = tables(data)[0] + b"WA-GUEST-OS-7.59"
    (data / catalogue.RELEASES_FILE).write_bytes(half)
    assert refresh(data, PAGE) == 2
    assert "guestos-releases.csv, line 449: " in capsys.readouterr().err
    assert tables(data)[0] == half


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A web server with the page on it, and nothing else."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = self.path == "/page.md"
            self.send_response(200 if found else 404)
            self.end_headers()
            self.wfile.write(PAGE.encode() if found else b"404: Not Found")

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_the_page_is_fetched(site: str, data: Path):
    assert run(data, "--url", f"{site}/page.md") == 0
    assert read(data).covers_until == date(2026, 2, 12)


def test_the_commands_of_the_docstring_run(site: str, data: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(data.parent)
    Path("page.md").write_text(PAGE, encoding="utf-8")
    program = r"^    \.venv/bin/python scripts/guestos_releases\.py (.*?)  "
    shown = re.findall(program, guestos_releases.__doc__ or "", re.MULTILINE)
    assert sorted(shown) == ["", "--check", "--from page.md"]
    ended = [
        run(data, *options.split(), *(() if "--from" in options else ("--url", f"{site}/page.md")))
        for options in ("--check", "", "--from page.md")
    ]
    assert ended == [1, 0, 0]
    assert capsys.readouterr().out.endswith("nothing new: 448 releases until 2026-02-12\n")


def test_the_commands_of_the_page_run(site: str, data: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(data.parent)
    Path("page.md").write_text(PAGE, encoding="utf-8")
    text = (ROOT / "docs" / "catalogue.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```sh\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    # The home folder of each system, so that the file of a person who runs this test stays.
    home = {"HOME": str(data.parent / "home"), "LOCALAPPDATA": str(data.parent / "home"), "XDG_DATA_HOME": ""}
    ended = []
    for command in "".join(blocks).splitlines():
        program, *options = command.split()
        if program != "git":
            assert program == "batch-os"
            # Without a source it would ask GitHub; the page of this test is put in its place.
            where = [f"{site}/page.md"] if "--update" in options and "page.md" not in options else []
            at = options.index("--update") + 1 if where else 0
            done = CliRunner().invoke(main, [*options[:at], *where, *options[at:]], env=home)
            ended.append(done.exit_code)
    assert ended == [0, 0, 0, 0]
    for file in (Path("guestos-catalogue.json"), user_file(home)):
        assert file is not None
        assert read_file(file).covers_until == date(2026, 2, 12)


def test_a_page_that_moved_and_a_network_that_is_not_there_are_said(site: str, data: Path, capsys: Any):
    assert run(data, "--url", f"{site}/moved.md") == 2
    assert "/moved.md: HTTP 404 Not Found; the page may have moved" in capsys.readouterr().err
    assert run(data, "--url", "http://127.0.0.1:1/page.md") == 2
    assert "refused; save the page in another way, and name the file" in capsys.readouterr().err
    assert tables(data) == tables(PACKAGE)


def test_the_page_comes_from_microsoft_over_https(capsys: Any):
    assert URL.startswith("https://raw.githubusercontent.com/MicrosoftDocs/")
    with pytest.raises(SystemExit) as ended:
        guestos_releases.main(["--url", "http://example.com/page.md"])
    assert ended.value.code == 2
    assert "--url has to begin with https://" in capsys.readouterr().err
