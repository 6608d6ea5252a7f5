#!/usr/bin/env python3
"""Run the inner loop: lint, and beside it the tests of the rooms that have changed.

    make check              what differs from the branch main, or on main from the last commit
    make check ARGS=all     all unit tests, as also where nothing differs

A room is a folder of the package, and its tests are in the folder of the same name. What other rooms do with the
changed one only `make test` shows, which also has the tests on the real CLI.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.environments import ROOT, program
from scripts.setting_up import SetupError, ended

UNIT = "tests/unit"
RUNS_ALONE = ("tests/unit", "tests/simulator", "tests/inprocess", "tests/project")
"""Folders whose tests need nothing but the Python environment."""
OF_ALL = ("pyproject.toml", "requirements/", "tests/support/", "tests/conftest.py")
"""What every test depends on."""
OF_THE_PROJECT = ("scripts/", ".github/", "Makefile", "README.md", "CHANGELOG.md", "SECURITY.md")


def git(*words: str) -> list[str] | None:
    """The lines that git writes; None if it fails."""
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S607 - that of PATH
    return done.stdout.splitlines() if done.returncode == 0 else None


def changed() -> list[str] | None:
    """The files that differ from main, also those that git does not know yet; None without a main to compare with."""
    base = git("merge-base", "HEAD", "main")
    if not base:
        return None
    differing = git("diff", "--name-only", "--no-renames", base[0])
    unknown = git("ls-files", "--others", "--exclude-standard")
    return None if differing is None or unknown is None else sorted({*differing, *unknown})


def selected(files: Iterable[str]) -> list[str]:
    """The tests to run for these files: folders and modules, in order, without those inside of others.

    Args:
        files: paths from the root of the repository; a file may be gone.
    """
    found = {where for file in files for where in _tests_of(file)}
    return sorted(each for each in found if not any(str(parent) in found for parent in PurePosixPath(each).parents))


def _tests_of(file: str) -> Iterable[str]:
    path = PurePosixPath(file)
    if file.startswith(OF_ALL):
        return [UNIT]
    if path.parts[0] == "tests":
        mine = file if path.name.startswith("test_") else str(path.parent)
        return [mine] if file.startswith(RUNS_ALONE) and (ROOT / mine).exists() else []
    if path.parts[0] == "batch_os_provider":
        room = path.parts[1]
        if room == "simulator":
            return ["tests/simulator"]
        if (ROOT / UNIT / room).is_dir():
            return [f"{UNIT}/{room}"]
        return sorted(each.relative_to(ROOT).as_posix() for each in (ROOT / UNIT).glob("test_*.py"))
    return ["tests/project"] if file.startswith(OF_THE_PROJECT) else []


def chosen(words: list[str]) -> list[str]:
    """The tests to run; a word of the command line is only ``all``."""
    if words not in ([], ["all"]):
        raise SetupError(f"make check takes ARGS=all or nothing, not {' '.join(words)}")
    files = changed() if not words else None
    return selected(files) if files else [UNIT]


def main(words: list[str]) -> None:
    """Lint and test side by side: lint keeps one processor busy, and the tests the others. Lint speaks last."""
    tests = chosen(words)
    print(f"== {' '.join(tests) or 'no test for what has changed'}", flush=True)
    checks = [sys.executable, str(ROOT / "scripts" / "test.py"), "--lint"]
    pytest = [
        str(program(ROOT / ".venv", "pytest")),
        "--quiet",
        f"--numprocesses={os.cpu_count() or 1}",
        "--dist=worksteal",
    ]
    with subprocess.Popen(checks, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as lint:
        failed = bool(tests) and subprocess.run([*pytest, *tests], cwd=ROOT, check=False).returncode != 0
        said, _ = lint.communicate()
    sys.stdout.write(said.decode(errors="replace"))
    if lint.returncode or failed:
        raise SetupError("the check failed: see above")


if __name__ == "__main__":
    sys.exit(ended(lambda: main(sys.argv[1:])))
