"""`scripts/release`: what it refuses, and one release of a scratch copy, up to the tag and the wheel."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from batch_os_provider import __version__
from scripts import project, releasing, sdks

ROOT = project.ROOT
ADDRESS = "https://github.com/acme/batch-os"
LEFT_OUT = (".venv*", ".git", "__pycache__", ".*_cache", ".hypothesis", "dist", "node_modules")


class Scratch:
    """A copy of this project with a repository of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*LEFT_OUT))
        self.programs = folder.parent / "bin"
        self.programs.mkdir()
        make = self.programs / "make"
        # What `make test` leaves behind is the wheel; the checks themselves are not repeated here.
        make.write_text(
            f'#!/bin/sh\necho "$*" >>"{self.programs}/calls"\n'
            f'exec "{sys.executable}" -m build --no-isolation --wheel --outdir dist . >/dev/null\n'
        )
        make.chmod(0o755)
        self.git("init", "--quiet", "--initial-branch", "main")
        self.commit()

    def git(self, *words: str) -> str:
        who = ("-c", "user.name=A", "-c", "user.email=a@b.c")
        done = subprocess.run(["git", *who, *words], cwd=self.folder, capture_output=True, text=True, check=True)  # noqa: S603, S607
        return done.stdout

    def commit(self) -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "A change")

    def replace(self, name: str, before: str, after: str) -> None:
        text = (self.folder / name).read_text(encoding="utf-8")
        assert before in text
        (self.folder / name).write_text(text.replace(before, after, 1), encoding="utf-8")

    def choose_an_address(self) -> None:
        self.replace("pyproject.toml", "[project.urls]\n", f'[project.urls]\nHomepage = "{ADDRESS}"\n')
        self.replace(".github/CODEOWNERS", "# *", "* @acme")

    def release(self, *words: str) -> tuple[int, str]:
        """Run the steps; the wrapper `scripts/release` only finds Python for them."""
        identity = {f"GIT_{who}_{what}": "a@b.c" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        path = os.pathsep.join([str(self.programs), str(Path(sys.executable).parent), os.environ["PATH"]])
        done = subprocess.run(  # noqa: S603 - our script
            [sys.executable, "-m", "scripts.releasing", *words],
            cwd=self.folder,
            env={**os.environ, **identity, "PATH": path, "PYTHONPATH": str(self.folder)},
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr


@pytest.fixture
def scratch(tmp_path: Path) -> Scratch:
    return Scratch(tmp_path / "project")


def test_what_it_refuses_and_a_failed_check_leave_nothing_behind(scratch: Scratch) -> None:
    def refused(version: str, words: str) -> None:
        code, said = scratch.release(version)
        assert code == 1
        assert words in said
        assert "Traceback" not in said

    refused("1.0", "'1.0' is not a version: write it as 1.2.3")
    refused("0.0.9", "0.0.9 is not later than 0.1.0")
    refused("0.1.0", "set Homepage under\n[project.urls]")
    scratch.replace("pyproject.toml", "[project.urls]\n", f'[project.urls]\nHomepage = "{ADDRESS}"\n')
    refused("0.1.0", ".github/CODEOWNERS names no owner")
    scratch.replace(".github/CODEOWNERS", "# *", "* @acme")
    refused("0.1.0", "the tree has changes; commit or remove them:\n M .github/CODEOWNERS\n M pyproject.toml")
    scratch.commit()
    scratch.git("switch", "--quiet", "--create", "topic")
    refused("0.1.0", "the branch is topic: a release is made on main")
    scratch.git("switch", "--quiet", "main")
    scratch.git("tag", "v0.1.0")
    refused("0.1.0", "the tag v0.1.0 exists")
    text = (scratch.folder / "CHANGELOG.md").read_text(encoding="utf-8")
    (scratch.folder / "CHANGELOG.md").write_text(f"{text.partition(releasing.UNRELEASED)[0]}{releasing.UNRELEASED}\n")
    scratch.commit()
    refused("0.2.0", "CHANGELOG.md has nothing under ## [Unreleased]")
    assert scratch.git("log", "--format=%s").split("\n")[:1] == ["A change"]
    assert not (scratch.programs / "calls").exists()

    # A check that fails late: nothing is committed, and all that was written can be taken back.
    scratch.git("reset", "--quiet", "--hard", "HEAD~1")
    scratch.git("tag", "--delete", "v0.1.0")
    (scratch.programs / "make").write_text("#!/bin/sh\necho a test failed; exit 2\n")
    refused("0.1.0", "`make test` failed (2): the lines above say why\nNothing was committed. `git reset --hard")
    assert scratch.git("tag") == ""
    scratch.git("reset", "--quiet", "--hard")
    scratch.git("clean", "--quiet", "-d", "--force")
    assert scratch.git("status", "--porcelain") == ""


def test_a_release_is_a_commit_a_tag_a_state_and_a_wheel_without_a_relative_link(scratch: Scratch) -> None:
    scratch.choose_an_address()
    scratch.commit()
    code, said = scratch.release("0.2.0")
    assert code == 0, said
    assert "Publish it: git push origin main v0.2.0" in said
    assert (scratch.programs / "calls").read_text() == "test\n"
    assert scratch.git("status", "--porcelain") == ""
    assert scratch.git("log", "-1", "--format=%s %D").strip() == "Release 0.2.0 HEAD -> main, tag: v0.2.0"
    changed = set(scratch.git("show", "--format=", "--name-only", "HEAD").split())
    schema = "batch_os_provider/plugin/schema.json"
    assert changed == {"CHANGELOG.md", "pyproject.toml", schema, "tests/cli/states/0.2.0.json", *releasing.SHOWN}

    # Everything that shows the version shows this one, and the SDKs know where the project is.
    sdks.generate(scratch.folder.parent / "sdks", scratch.folder / schema)
    files = {
        "nodejs/package.json": '"version": "0.2.0",\n    "keywords": [',
        "python/pyproject.toml": f'Homepage = "{ADDRESS}"',
        "go/batchos/provider.go": '"github.com/acme/batch-os/sdk/go/batchos/internal"',
        "dotnet/Pulumi.Batchos.csproj": f"<RepositoryUrl>{ADDRESS}</RepositoryUrl>",
        "java/build.gradle": ADDRESS,
    }
    for name, words in files.items():
        assert words in (scratch.folder.parent / "sdks" / name).read_text(encoding="utf-8"), name
    for name, words in releasing.SHOWN.items():
        assert words.format("0.2.0") in (scratch.folder / name).read_text(encoding="utf-8")
    log = (scratch.folder / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(r"^## \[Unreleased\]\n\n## \[0\.2\.0\] - \d{4}-\d\d-\d\d\n\n### Added\n", log, re.MULTILINE)
    assert log.endswith(f"\n[Unreleased]: {ADDRESS}/compare/v0.2.0...HEAD\n[0.2.0]: {ADDRESS}/releases/tag/v0.2.0\n")
    assert "first release" not in log

    # The state has the resources of the release before, and nothing of this machine.
    states = [(scratch.folder / f"tests/cli/states/{each}.json").read_text() for each in ("0.1.0", "0.2.0")]
    before, after = ({each["urn"] for each in json.loads(state)["deployment"]["resources"]} for state in states)
    assert after == before
    for word in ("sourcePosition", "stackTrace", "ciphertext"):
        assert word not in states[1]

    # What an index of packages shows.
    (wheel,) = (scratch.folder / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as files:
        metadata = files.read("batch_os_provider-0.2.0.dist-info/METADATA").decode()
    assert f"\nProject-URL: Homepage, {ADDRESS}\n" in metadata
    assert "\nDescription-Content-Type: text/markdown\n" in metadata
    assert project.LINK.findall(metadata) == []
    assert f"({ADDRESS}/raw/v0.2.0/docs/comment.png)" in metadata
    assert f"({ADDRESS}/blob/v0.2.0/docs/limits.md#many-pools-need---parallel)" in metadata

    # The workflow of the tag asks for its notes, and the next release adds to the links.
    assert scratch.release("--check-tag", "v0.2.0")[0] == 0
    assert scratch.release("--check-tag", "v0.3.0") == (
        1,
        "error: the tag v0.3.0 is not that of version 0.2.0 in pyproject.toml\n",
    )
    code, notes = scratch.release("--notes", "0.2.0")
    assert code == 0
    assert notes.startswith("### Added\n")
    assert "[Unreleased]:" not in notes
    assert scratch.release("--notes", "0.3.0") == (1, "error: CHANGELOG.md has no section about 0.3.0\n")


def test_the_second_release_links_to_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "CHANGELOG.md"
    log.write_text("# Changelog\n\n## [Unreleased]\n\n### Added\n\n- One.\n")
    monkeypatch.setattr(releasing, "CHANGELOG", log)
    monkeypatch.setattr(project, "address", lambda: ADDRESS)
    releasing.move_changes("0.1.0", "2026-12-01")
    log.write_text(log.read_text().replace("[Unreleased]\n", "[Unreleased]\n\n### Fixed\n\n- Two.\n", 1))
    releasing.move_changes("0.1.1", "2026-12-24")
    assert log.read_text() == (
        "# Changelog\n\n## [Unreleased]\n\n## [0.1.1] - 2026-12-24\n\n### Fixed\n\n- Two.\n\n"
        "## [0.1.0] - 2026-12-01\n\n### Added\n\n- One.\n\n"
        f"[Unreleased]: {ADDRESS}/compare/v0.1.1...HEAD\n"
        f"[0.1.1]: {ADDRESS}/compare/v0.1.0...v0.1.1\n[0.1.0]: {ADDRESS}/releases/tag/v0.1.0\n"
    )
    assert releasing.section("0.1.0") == "### Added\n\n- One."
    assert releasing.section("Unreleased") == ""


def test_the_version_stands_in_one_place_and_what_shows_it_follows() -> None:
    assert project.version() == __version__, "run `make setup`"
    for name, words in releasing.SHOWN.items():
        assert words.format(__version__) in (ROOT / name).read_text(encoding="utf-8"), name
    known = {*releasing.SHOWN, "pyproject.toml", "CHANGELOG.md", "batch_os_provider/plugin/schema.json"}
    folders = ("batch_os_provider", "benchmarks", "docs", "examples", "plugin", "policies", "scripts")
    files = [*ROOT.glob("*.md"), *(file for folder in folders for file in (ROOT / folder).rglob("*"))]
    kinds = {".md", ".py", ".yaml", ".yml", ".toml", ".sh", ".json", ""}
    for file in files:
        name = file.relative_to(ROOT).as_posix()
        if file.is_file() and file.suffix in kinds and name not in known:
            words = re.findall(rf"(?<![\w.]){re.escape(__version__)}(?![\w.])", file.read_text(encoding="utf-8"))
            assert words == [], f"{name} shows the version: add it to SHOWN in scripts/releasing.py"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("[a](docs/a.md)", f"[a]({ADDRESS}/blob/v1.2.3/docs/a.md)"),
        ("[a](./LICENSE)", f"[a]({ADDRESS}/blob/v1.2.3/LICENSE)"),
        ("![p](docs/p.png)", f"![p]({ADDRESS}/raw/v1.2.3/docs/p.png)"),
        ("[![p](docs/p.svg)](docs/p.md)", f"[![p]({ADDRESS}/raw/v1.2.3/docs/p.svg)]({ADDRESS}/blob/v1.2.3/docs/p.md)"),
        ("[a](https://b.c/d)", "[a](https://b.c/d)"),
        ("[a](#below) and [m](mailto:a@b.c)", "[a](#below) and [m](mailto:a@b.c)"),
    ],
)
def test_links_become_absolute(text: str, wanted: str) -> None:
    assert project.absolute(text, ADDRESS, "1.2.3") == wanted
