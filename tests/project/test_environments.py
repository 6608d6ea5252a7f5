"""`scripts/environments.py`, `test.py` and `demo.py`: what they do where there is no make, on each system."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from scripts import demo, environments, pulumi_cli, test
from scripts.environments import ROOT


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with an environment that was made to its end."""
    (tmp_path / "requirements").mkdir()
    folder = tmp_path / ".venv"
    folder.mkdir()
    for file in (tmp_path / "pyproject.toml", tmp_path / "requirements" / "dev.txt", folder / "locked"):
        file.write_text("a==1\n", encoding="utf-8")
    (folder / "installed").touch()
    return tmp_path


def test_a_whole_environment_is_left_as_it_is(project: Path) -> None:
    python = environments.make(".venv", project)
    assert python == environments.program(project / ".venv", "python")
    assert sorted(each.name for each in (project / ".venv").iterdir()) == ["installed", "locked"]


def test_a_lock_that_is_only_newer_is_no_reason_to_build_again(project: Path) -> None:
    lock, locked = project / "requirements" / "dev.txt", project / ".venv" / "locked"
    os.utime(lock, (2_000_000_000, 2_000_000_000))
    with pytest.raises(FileNotFoundError):  # the project would be installed again, by a Python that is not there
        environments.make(".venv", project)
    assert environments.is_locked(project / ".venv", lock)
    lock.write_text("a==2\n", encoding="utf-8")
    assert not environments.is_locked(project / ".venv", lock)
    locked.unlink()
    assert not environments.is_locked(project / ".venv", lock), "the build did not end"


def test_a_script_does_not_run_in_an_environment_of_another_lock(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "prefix", str(project / ".venv"))
    environments.enter("test.py", [], project)
    (project / "requirements" / "dev.txt").write_text("a==2\n", encoding="utf-8")
    with pytest.raises(SystemExit, match=r"dev\.txt has changed since .*\nNext: Run make setup$"):
        environments.enter("test.py", [], project)


def test_programs_are_where_each_system_puts_them() -> None:
    assert environments.program(Path("v"), "pytest", is_windows=True) == Path("v") / "Scripts" / "pytest.exe"
    assert environments.program(Path("v"), "pytest", is_windows=False) == Path("v") / "bin" / "pytest"


def test_what_is_installed_once_lies_in_the_users_cache() -> None:
    local = {"LOCALAPPDATA": "/u/AppData/Local", "XDG_CACHE_HOME": "/u/cache"}
    assert pulumi_cli.user_cache(local, is_windows=True) == Path("/u/AppData/Local/batch-os-provider")
    assert pulumi_cli.user_cache(local, is_windows=False) == Path("/u/cache/batch-os-provider")
    assert pulumi_cli.user_cache({}, is_windows=False) == Path.home() / ".cache" / "batch-os-provider"


def test_every_lock_has_its_environment() -> None:
    locks = sorted(each.name for each in (ROOT / "requirements").glob("*.txt"))
    assert sorted(each.lock for each in environments.ENVIRONMENTS.values()) == locks


def test_an_unknown_environment_is_refused_with_the_known_ones() -> None:
    script = ROOT / "scripts" / "environments.py"
    done = subprocess.run([sys.executable, script, "venv"], capture_output=True, encoding="utf-8", check=False)  # noqa: S603
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"usage: environments.py {'|'.join(environments.ENVIRONMENTS)} ...\n"


def test_the_official_zip_of_windows_ends_in_bin(tmp_path: Path) -> None:
    release = tmp_path / "release.zip"
    with zipfile.ZipFile(release, "w") as files:
        for name in ("pulumi.exe", "pulumi-language-python.exe", "pulumi-resource-pulumi-python.cmd"):
            files.writestr(f"pulumi/bin/{name}", name)
    target = tmp_path / "target"
    target.mkdir()
    pulumi_cli.unpack(target, release.as_uri())
    assert [each.name for each in target.iterdir()] == ["bin"]
    assert (target / "bin" / "pulumi.exe").read_text(encoding="utf-8") == "pulumi.exe"
    release.write_bytes(b"<!DOCTYPE html>")
    with pytest.raises(pulumi_cli.SetupError, match=r"could not be fetched and unpacked \(File is not a zip file\)"):
        pulumi_cli.unpack(target, release.as_uri())


def test_the_demo_ends_with_lines_for_the_shell_of_the_system() -> None:
    windows = demo.by_hand(demo.STORIES["vm"], [".venv\\Scripts", "C:\\p"], is_windows=True).splitlines()
    assert windows[0] == '  $env:PATH = "$PWD\\.venv\\Scripts;C:\\p;$env:PATH"'
    assert windows[2:5] == [
        "  cd examples/vm_pool",
        "  pulumi stack init dev",
        "  pulumi config set accountEndpoint $env:ENDPOINT",
    ]
    posix = demo.by_hand(demo.STORIES["upgrade"], [".venv/bin"], is_windows=False).splitlines()
    assert posix[0].startswith('  export PATH="$PWD/.venv/bin:$PATH" ')
    assert posix[-1] == "  pulumi up"


def test_the_folders_of_windows_exist() -> None:
    assert [each for each in test.ON_WINDOWS if not (ROOT / each).is_dir()] == []
    for each, why in test.NOT_ON_WINDOWS.items():
        file, _, name = each.partition("::")
        text = (ROOT / file).read_text(encoding="utf-8")
        assert why in text
        assert f"def {name.partition('[')[0]}" in text
    typed = re.search(r"^files = (\[.*\])$", (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    assert typed is not None
    assert {*test.TYPED} == {*json.loads(typed[1])} - {"benchmarks"}
