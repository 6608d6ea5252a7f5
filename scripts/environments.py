#!/usr/bin/env python3
"""Make virtual environments, each with exactly its locked, hash-checked requirements.

    python scripts/environments.py .venv .venv-lowest

``make`` calls it with the Python that ``scripts/python`` finds. ``demo.py`` and ``test.py`` call it themselves, so that
they start without make and without a shell, as on Windows. An environment is whole only once its file ``locked`` is
there, and the project is installed in it once ``installed`` is. Until then the next run begins again.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.setting_up import SetupError, ended

ROOT = Path(__file__).resolve().parent.parent
OLDEST = (3, 11)
IS_WINDOWS = sys.platform == "win32"


@dataclass(frozen=True)
class Environment:
    """An environment: its lock in requirements/, and whether the project itself is installed in it."""

    lock: str
    has_project: bool = False


ENVIRONMENTS = {
    ".venv": Environment("dev.txt", has_project=True),
    ".venv-lowest": Environment("lowest.txt"),
    ".venv-azure-batch-5": Environment("azure-batch-5.txt"),
    ".venv-docs": Environment("docs.txt"),
    ".venv-bench": Environment("bench.txt", has_project=True),
}


def programs(folder: Path, *, is_windows: bool = IS_WINDOWS) -> Path:
    """The folder of an environment's programs."""
    return folder / ("Scripts" if is_windows else "bin")


def program(folder: Path, name: str, *, is_windows: bool = IS_WINDOWS) -> Path:
    """The path of a program of an environment."""
    return programs(folder, is_windows=is_windows) / (f"{name}.exe" if is_windows else name)


def is_locked(folder: Path, lock: Path) -> bool:
    """Whether the environment was made from this lock, to its end."""
    try:
        return (folder / "locked").read_bytes() == lock.read_bytes()
    except FileNotFoundError:
        return False


def make(name: str, root: Path = ROOT) -> Path:
    """Make an environment, or bring it up to date; returns its Python.

    Raises:
        SetupError: this Python cannot make it, or a package cannot be installed.
    """
    environment, folder = ENVIRONMENTS[name], root / name
    lock, python = root / "requirements" / environment.lock, program(folder, "python")
    if not is_locked(folder, lock):
        _build(folder, lock)
    if (folder / "locked").stat().st_mtime < lock.stat().st_mtime:
        os.utime(folder / "locked")  # make compares times
    if environment.has_project:
        installed = folder / "installed"
        younger = [folder / "locked", root / "pyproject.toml"]
        if not installed.exists() or any(installed.stat().st_mtime < each.stat().st_mtime for each in younger):
            # pip refuses an editable install among hashes, so the project comes after its requirements.
            _pip(python, "--no-deps", "--no-build-isolation", "--editable", str(root))
            installed.touch()
    return python


def _build(folder: Path, lock: Path) -> None:
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < OLDEST:
        raise SetupError(f"Python 3.11 or newer is needed; {sys.executable} is {version}")
    print(f"setup: {folder.name} from requirements/{lock.name} with Python {version} (up to a minute)", flush=True)
    if folder.exists():
        shutil.rmtree(folder)
    # Python of an environment belongs to that environment, which may be the one that was just removed.
    python = sys.executable if sys.prefix == sys.base_prefix else getattr(sys, "_base_executable", sys.executable)
    if subprocess.run([python, "-m", "venv", str(folder)], check=False).returncode != 0:
        raise SetupError(f"{python} cannot make virtual environments; on Debian and Ubuntu install python3-venv")
    _pip(program(folder, "python"), "--require-hashes", "-r", str(lock))
    shutil.copyfile(lock, folder / "locked")


def _pip(python: Path, *arguments: str) -> None:
    command = [str(python), "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-user", *arguments]
    if subprocess.run(command, check=False).returncode != 0:
        raise SetupError("pip failed; see the lines above")


def enter(script: str, arguments: list[str], root: Path = ROOT) -> None:
    """Go on in the project's environment: make it, and run the script again by its Python. Returns if this is it.

    A Python cannot make its own environment again: Windows does not delete a program that runs.
    """
    if Path(sys.prefix).resolve() == (root / ".venv").resolve():
        if not is_locked(root / ".venv", root / "requirements" / ENVIRONMENTS[".venv"].lock):
            how = "py scripts/environments.py .venv" if IS_WINDOWS else "make setup"
            sys.exit(f"error: requirements/dev.txt has changed since .venv was made from it.\nNext: Run {how}")
        return
    try:
        command = [str(make(".venv")), script, *arguments]
    except SetupError as error:
        sys.exit(f"error: {error}")
    if not IS_WINDOWS:
        os.execv(command[0], command)  # noqa: S606 - the same program in its environment
    # Windows has no exec: the shell would take the end of this process for the end of the script.
    with subprocess.Popen(command) as process:
        while True:
            try:
                sys.exit(process.wait())
            except KeyboardInterrupt:  # the script has got the ^C too, and ends by itself
                continue


def main(names: list[str]) -> int:
    """Make the environments of these names."""
    unknown = [name for name in names if name not in ENVIRONMENTS]
    if unknown or not names:
        print(f"usage: environments.py {'|'.join(ENVIRONMENTS)} ...", file=sys.stderr)
        return 2
    return ended(lambda: [make(name) for name in names])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
