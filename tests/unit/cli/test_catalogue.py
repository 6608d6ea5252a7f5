"""`batch-os catalogue`, and the line of `doctor` about it: what they show, and how a newer catalogue gets in."""

from __future__ import annotations

import json
import shlex
import threading
from datetime import date, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner, Result

from batch_os_provider.cli.doctor import machine_checks
from batch_os_provider.cli.main import main
from batch_os_provider.guest_os import catalogue
from batch_os_provider.guest_os.catalogue import Catalogue
from batch_os_provider.guest_os.catalogue_file import VARIABLE, as_text, find, user_file
from tests.unit.guest_os.test_catalogue_file import NEWER, newer
from tests.unit.guest_os.test_guestos_releases import CHANGED, PAGE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

OWN = catalogue.load()
OLD = Catalogue(OWN.releases[:-1], tuple(OWN.families.values()))


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    home = str(tmp_path / "home")
    return {"HOME": home, "LOCALAPPDATA": home, "XDG_DATA_HOME": ""}  # each system asks for another one


@pytest.fixture
def run(home: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """The command, of a user with an empty home, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    for name in ("XDG_DATA_HOME", VARIABLE):
        monkeypatch.delenv(name, raising=False)

    def call(*arguments: str, **more: str) -> Result:
        return CliRunner().invoke(main, ["catalogue", *arguments], env={**home, "COLUMNS": "100", **more})

    return call


def test_the_packages_own_is_shown(run: Callable[..., Result]) -> None:
    done = run()
    assert done.exit_code == 0
    assert "Guest OS catalogue of the installed package: 447 releases until 2026-01-14" in done.stdout
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["7", "2022", "WA-GUEST-OS-7.58_202511-01", "2026-01-14", "not", "published"] in lines
    assert ["4", "2012", "R2", "WA-GUEST-OS-4.139_202502-01", "2025-02-26", "February", "2025"] in lines


@pytest.mark.parametrize("width", ["20", "40", "70", "75", "77", "80", "120"])
def test_no_word_is_cut_in_any_width(run: Callable[..., Result], width: str) -> None:
    shown = run(COLUMNS=width).stdout
    for release in (OWN.newest(family) for family in range(2, 8)):
        assert release is not None
        assert release.text in shown
    assert " ".join(shown.split()).count("not published") == 3
    assert "\N{HORIZONTAL ELLIPSIS}" not in shown


def test_the_document(run: Callable[..., Result], home: dict[str, str]) -> None:
    document = json.loads(run("--json").stdout)
    assert document.keys() == {
        *("version", "source", "file", "releases_until", "releases", "old", "families", "not_used"),
    }
    assert (document["source"], document["file"], document["releases_until"]) == ("package", None, "2026-01-14")
    assert document["families"][3] == {
        "family": 4,
        "windows_server": "Windows Server 2012 R2",
        "retirement_announced": "2024-07-31",
        "end_of_life": "2025-02-28",
        "newest": "WA-GUEST-OS-4.139_202502-01",
        "newest_released": "2025-02-26",
    }
    assert document["families"][0]["newest"] is None
    Path("old.json").write_text(as_text(OLD), encoding="utf-8")
    assert json.loads(run("--json", **{VARIABLE: "old.json"}).stdout)["source"] == "variable", (
        "as new, and less: it adds"
    )
    Path("broken.json").write_text("{", encoding="utf-8")
    done = run("--json", **{VARIABLE: "broken.json"})
    assert done.exit_code == 1
    assert json.loads(done.stdout)["not_used"]["broken"] is True
    assert done.stderr.startswith(f"error: {VARIABLE}: broken.json is not a Guest OS catalogue")


def test_a_saved_page_becomes_the_users_catalogue(run: Callable[..., Result], home: dict[str, str]) -> None:
    Path("page.md").write_text(PAGE, encoding="utf-16")
    done = run("--update", "page.md")
    assert (done.exit_code, done.stdout) == (0, "")
    users = user_file(home)
    assert done.stderr.splitlines()[-3:] == [
        f"~ {CHANGED}, disabled not yet -> 2026-02-12",
        f"+ {NEWER}, released 2026-02-12, disabled not yet",
        f"{users}: 448 releases until 2026-02-12",
    ]
    found = find(home)
    assert (found.source, found.file) == ("user", str(users))
    assert found.catalogue.release(NEWER) is not None
    assert found.catalogue.families[3].end_of_life == date(2025, 2, 28)
    shown = run().stdout
    assert "Guest OS catalogue of the user: 448 releases until 2026-02-12" in shown
    assert str(users) in shown
    again = run("--update", "page.md")
    assert again.stderr.splitlines()[-1] == f"{users}: nothing new, 448 releases until 2026-02-12"
    assert "+ " not in again.stderr, "nothing is new"
    assert [each.name for each in Path(str(users)).parent.iterdir()] == ["guestos-catalogue.json"]


def test_a_pipeline_gets_a_file_of_its_own(run: Callable[..., Result], home: dict[str, str]) -> None:
    Path("page.md").write_text(PAGE, encoding="utf-8")
    file = Path("repository/guestos-catalogue.json")
    assert run("--update", "page.md", "--output", str(file)).exit_code == 0
    users = user_file(home)
    assert users is not None
    assert not users.exists()
    found = find({**home, VARIABLE: str(file)})
    assert (found.source, found.catalogue.covers_until) == ("variable", date(2026, 2, 12))
    # A colleague takes over the same file, with the package alone.
    assert run("--update", str(file)).exit_code == 0
    assert users.read_bytes() == file.read_bytes()


def test_what_an_output_file_knows_already_is_kept(run: Callable[..., Result]) -> None:
    Path("page.md").write_text(PAGE, encoding="utf-8")
    file = Path("catalogue.json")
    document = json.loads(as_text(newer()))
    for family in document["families"]:
        if family["family"] == 5:  # written in by hand, from a notice
            family["end_of_life"] = "2027-01-31"
    file.write_text(json.dumps(document), encoding="utf-8")
    assert run("--update", "page.md", "--output", str(file)).exit_code == 0
    assert find({VARIABLE: str(file)}).catalogue.families[5].end_of_life == date(2027, 1, 31)


REFUSED: dict[str, tuple[Callable[[], str | bytes], str]] = {
    "an old page": (lambda: PAGE.replace("2026", "2025"), "line 21"),
    "a page cut off": (lambda: PAGE.partition("## Family 5")[0], "was it cut off"),
    "html": (lambda: "<html></html>", "this is HTML"),
    "empty": (lambda: "", "no table of releases"),
    "an older catalogue": (
        lambda: as_text(
            Catalogue(
                tuple(each for each in OWN.releases if each.released < date(2025, 9, 1)), tuple(OWN.families.values())
            )
        ),
        "is older: its newest release is of 2025-07-30, and the catalogue has one of 2026-",
    ),
    "a broken catalogue": (lambda: as_text(OWN)[:-9], "is not a Guest OS catalogue: it is not JSON"),
    "a contradiction": (lambda: PAGE.replace("7.58_202511-01", "7.58_202512-01"), "contradicts the catalogue: "),
    "not text": (lambda: b"\xe9\xff\x81", "is not text in UTF-8 or UTF-16"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_source_that_is_older_or_broken_is_refused_and_changes_nothing(
    run: Callable[..., Result], home: dict[str, str], name: str
) -> None:
    make, why = REFUSED[name]
    text = make()
    Path("source").write_bytes(text if isinstance(text, bytes) else text.encode())
    Path("kept.json").write_text(as_text(newer()), encoding="utf-8")
    for output in ([], ["--output", "kept.json"]):
        done = run("--update", "source", *output)
        assert (done.exit_code, done.stdout) == (1, "")
        assert why in " ".join(done.stderr.split())
        assert done.stderr.endswith(". Nothing was written\n")
    assert Path("kept.json").read_text(encoding="utf-8") == as_text(newer())
    assert find(home).source == "package"


def test_an_update_that_would_have_no_effect_is_refused(run: Callable[..., Result]) -> None:
    Path("page.md").write_text(PAGE, encoding="utf-8")
    Path("repo.json").write_text(as_text(newer()), encoding="utf-8")
    done = run("--update", "page.md", **{VARIABLE: "repo.json"})
    assert done.exit_code == 1
    assert f"{VARIABLE} names repo.json, which counts before the user's file" in done.stderr
    assert "--update --output repo.json" in done.stderr
    assert run("--update", "page.md", "--output", "repo.json", **{VARIABLE: "repo.json"}).exit_code == 0


def test_a_user_without_a_home_and_a_place_that_cannot_be_written(run: Callable[..., Result]) -> None:
    Path("page.md").write_text(PAGE, encoding="utf-8")
    done = run("--update", "page.md", HOME="", LOCALAPPDATA="")
    assert done.exit_code == 1
    assert "\nNext: Name a file with --output." in done.stderr
    done = run("--update", "page.md", "--output", "page.md/c.json")
    assert done.exit_code == 1
    assert f"{Path('page.md/c.json')} cannot be written: " in done.stderr
    assert run("--output", "c.json").exit_code == 2, "--output goes with --update"


@pytest.fixture
def site() -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/nonsense":
                self.wfile.write(b"HELLO\r\n\r\n")
                return
            self.send_response(200 if self.path == "/page.md" else 404)
            self.end_headers()
            self.wfile.write(PAGE.encode() if self.path == "/page.md" else b"")

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_page_is_fetched_over_https_only(run: Callable[..., Result], site: str, home: dict[str, str]) -> None:
    assert run("--update", f"{site}/page.md", no_proxy="127.0.0.1").exit_code == 0
    assert find(home).source == "user"
    for source, why in (
        (f"{site}/moved.md", "HTTP 404 Not Found; the page may have moved"),
        ("http://example.com/page.md", "does not begin with https://"),
        ("ftp://example.com/page.md", "does not begin with https://"),
        ("http://127.0.0.1:1/page.md", "save the page in another way, and name the file"),
        ("https://[half", "save the page in another way, and name the file"),
        (f"{site}/no answer", "save the page in another way, and name the file"),
        (f"{site}/nonsense", "save the page in another way, and name the file"),
    ):
        done = run("--update", source, no_proxy="127.0.0.1")
        assert done.exit_code == 1
        assert why in done.stderr


def test_doctor_says_how_old_the_catalogue_is(home: dict[str, str], tmp_path: Path) -> None:
    last = OWN.covers_until + timedelta(days=60)
    check: Any = machine_checks.catalogue(find(home), last)
    assert (check.status, check.seen) == ("ok", "releases until 2026-01-14, of this package")
    check = machine_checks.catalogue(find(home), last + timedelta(days=1))
    assert (check.status, check.fix.startswith("Bring it up to date with `batch-os catalogue --update`")) == (
        "warn",
        True,
    )
    file = tmp_path / "file.json"
    file.write_text(as_text(newer()), encoding="utf-8")
    check = machine_checks.catalogue(find({VARIABLE: str(file)}), last + timedelta(days=1))
    assert (check.status, check.seen) == ("ok", f"releases until 2026-02-12, {file} ({VARIABLE})")
    file.write_text("{", encoding="utf-8")
    check = machine_checks.catalogue(find({VARIABLE: str(file)}), last)
    assert check.status == "fail"
    assert (
        check.fix
        == f"Remove the file; `batch-os catalogue --update --output {shlex.quote(str(file))}` writes a new one"
    )
