#!/usr/bin/env python3
"""Find or install the Pulumi CLI with its hosts for Python and YAML, and print the directory to put on PATH.

In this order: the one on PATH if it is new enough; the one an earlier run left in the user cache; the official
installer (pinned, into the cache, shell profiles untouched), on Windows the official zip; a build from source with Go
(every module pinned by tools/pulumi/*/go.sum). What goes into the cache is made beside its place and renamed there, so
an interrupted run leaves no partial installation, and two runs at the same time wait for each other.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
import zipfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import IO

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.setting_up import SetupError, ended, say

OLDEST = (3, 251, 0)  # the oldest CLI that is promised (docs/support.md); a user's own is taken from here on
PINNED = "3.259.0"  # what is installed if it is missing or older
HOST_SDK = "3.79.0"  # the last SDK module that holds the Python language host; it drives today's Python SDK
YAML = "1.25.0"  # the YAML language host, whose releases have numbers of their own
INSTALLER = "https://get.pulumi.com"
ZIP = f"{INSTALLER}/releases/sdk/pulumi-v{{version}}-windows-{{machine}}.zip"
MACHINES = {"amd64": "x64", "arm64": "arm64"}
IS_WINDOWS = sys.platform == "win32"
ENDINGS = (".exe", ".cmd", "") if IS_WINDOWS else ("",)
"""What a program's file name ends in; two of Pulumi's programs are scripts."""

YAML_HOST = "pulumi-language-yaml"
PROGRAMS = (
    "pulumi",
    "pulumi-language-python",
    "pulumi-language-python-exec",
    "pulumi-resource-pulumi-python",
    YAML_HOST,
)
"""What Python programs with dynamic resources and YAML programs need."""

TOOLS = Path(__file__).resolve().parent.parent / "tools" / "pulumi"
SDK = "github.com/pulumi/pulumi/sdk/v3"
BUILT = {  # package, folder with the pinned modules, variable of the version, version
    "pulumi": (
        "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi",
        TOOLS / "cli",
        f"{SDK}/go/common/version.Version",
        PINNED,
    ),
    "pulumi-language-python": (
        f"{SDK}/python/cmd/pulumi-language-python",
        TOOLS / "langhost",
        f"{SDK}/go/common/version.Version",
        HOST_SDK,
    ),
    YAML_HOST: (
        f"github.com/pulumi/pulumi-yaml/cmd/{YAML_HOST}",
        TOOLS / "yaml",
        "github.com/pulumi/pulumi-yaml/pkg/version.Version",
        YAML,
    ),
}
"""What Go builds where the official installer does not work."""


def user_cache(environ: Mapping[str, str] = os.environ, *, is_windows: bool = IS_WINDOWS) -> Path:
    """The folder for what is installed once."""
    given = environ.get("LOCALAPPDATA" if is_windows else "XDG_CACHE_HOME")
    return Path(given or Path.home() / ".cache") / "batch-os-provider"


CACHE = user_cache()


def version_of(pulumi: str) -> tuple[int, ...]:
    """The version a CLI reports, or () when it cannot be run."""
    quiet = {**os.environ, "PULUMI_SKIP_UPDATE_CHECK": "true"}
    try:
        done = subprocess.run(
            [pulumi, "version"], capture_output=True, encoding="utf-8", timeout=60, check=True, env=quiet
        )
    except (OSError, subprocess.SubprocessError):
        return ()
    match = re.match(r"v?(\d+)\.(\d+)\.(\d+)", done.stdout.strip())
    return tuple(map(int, match.groups())) if match else ()


def on_path(*, is_announced: bool = True) -> Path | None:
    """The directory of the user's own CLI, if it is new enough and has its Python language host."""
    pulumi = shutil.which("pulumi")
    if pulumi is None:
        return None
    bin_dir = Path(pulumi).absolute().parent
    version = version_of(pulumi)
    if version < OLDEST:
        needed = ".".join(map(str, OLDEST))
        say(f"the Pulumi CLI on PATH ({pulumi}) is older than {needed}, or does not run: not used")
        return None
    # The engine searches PATH first, then its own folder; a link to the engine may hide the other programs.
    beside = f"{os.environ['PATH']}{os.pathsep}{Path(pulumi).resolve().parent}"
    missing = [program for program in PROGRAMS if shutil.which(program, path=beside) is None]
    if missing:
        say(f"the Pulumi CLI on PATH ({pulumi}) comes without {', '.join(missing)}: not used")
        return None
    if is_announced:
        say(f"Pulumi {'.'.join(map(str, version))} from PATH")
    return bin_dir


def lacking(bin_dir: Path) -> list[str]:
    """The programs that are not there, or cannot be run."""
    return [
        program
        for program in PROGRAMS
        if not any(os.access(bin_dir / f"{program}{ending}", os.X_OK) for ending in ENDINGS)
    ]


def demand_whole(bin_dir: Path) -> None:
    """Refuse an installation in which a program is missing."""
    missing = lacking(bin_dir)
    if missing:
        raise SetupError(f"the installation comes without {', '.join(missing)}")


@contextmanager
def alone() -> Iterator[None]:
    """Hold the cache's lock, so that two runs do not do the same work. The lock ends with the process."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w", encoding="utf-8") as lock:
        if not _locked(lock):
            say("another run is installing the Pulumi CLI; waiting for it")
            while not _locked(lock):
                time.sleep(0.5)  # Windows has no lock that waits for more than ten seconds
        yield


def _locked(lock: IO[str]) -> bool:
    """Take the lock of a file, if no other process has it."""
    try:
        if sys.platform == "win32":
            import msvcrt  # noqa: PLC0415 - Windows only

            msvcrt.locking(lock.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl  # noqa: PLC0415 - not on Windows

            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True


def run(command: list[str], cwd: Path, what: str) -> None:
    """Run quietly with a sign of life every half minute; on failure show the end of its output."""
    started = time.monotonic()
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as log:
        process = subprocess.Popen(command, cwd=cwd, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        try:
            while True:
                try:
                    code = process.wait(timeout=30)
                    break
                except subprocess.TimeoutExpired:
                    say(f"... {what}, {time.monotonic() - started:.0f} s")
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
        if code != 0:
            log.seek(0)
            tail = "".join(f"    {line}" for line in log.readlines()[-15:])
            raise SetupError(f"{what} failed ({code}):\n{tail.rstrip()}")


def download_official(target: Path, version: str) -> None:
    """Let the official installer put a release into ``target/bin``; on Windows, unpack the official zip there."""
    if IS_WINDOWS:
        unpack(target, ZIP.format(version=version, machine=MACHINES.get(platform.machine().lower(), "x64")))
        return
    script = target / "install.sh"
    if shutil.which("curl"):
        fetch = ["curl", "-fsSL", "--connect-timeout", "10", "-o", str(script), INSTALLER]
    elif shutil.which("wget"):
        fetch = ["wget", "-q", "--timeout=10", "--tries=1", "-O", str(script), INSTALLER]
    else:
        raise SetupError("neither curl nor wget is installed")
    run(fetch, target, "fetching the official installer")
    options = ["--version", version, "--install-root", str(target), "--no-edit-path"]
    run(["sh", str(script), *options], target, "the official installer")
    script.unlink()


def unpack(target: Path, url: str) -> None:
    """Unpack a release's zip, and put the folder with its programs at ``target/bin``."""
    archive, unpacked = target / "pulumi.zip", target / "unpacked"
    try:
        with urllib.request.urlopen(url, timeout=60) as answer, archive.open("wb") as file:  # noqa: S310 - https, above
            shutil.copyfileobj(answer, file)
        with zipfile.ZipFile(archive) as files:
            files.extractall(unpacked)
    except (OSError, zipfile.BadZipFile) as error:
        raise SetupError(f"{url} could not be fetched and unpacked ({error})") from None
    found = sorted(unpacked.rglob("pulumi.exe"))
    if not found:
        raise SetupError(f"{url} holds no pulumi.exe")
    found[0].parent.rename(target / "bin")
    archive.unlink()
    shutil.rmtree(unpacked)


def build(name: str, bin_dir: Path) -> None:
    """Build one program with Go."""
    build_in(BUILT[name][1], name, BUILT[name][3], bin_dir)


def build_in(module: Path, name: str, version: str, bin_dir: Path) -> None:
    """Build one program in a module that requires this version of it."""
    package, _, variable, _ = BUILT[name]
    program = bin_dir / (f"{name}.exe" if IS_WINDOWS else name)
    go_build(program, package, module, f"{name} {version}", f" -X {variable}=v{version}")


def go_build(program: Path, package: str, module: Path, name: str, flags: str = "") -> None:
    """Build a package of a module that pins what it needs; ``flags`` are further ones for the linker."""
    os.environ.update(CGO_ENABLED="0", GOWORK="off")
    os.environ.setdefault("HOME", str(Path.home()))  # Go wants it for its caches
    command = ["go", "build", "-mod=readonly", "-trimpath", "-tags", "osusergo,grpcnotrace"]
    run([*command, "-ldflags", f"-s -w{flags}", "-o", str(program), package], module, f"building {name}")


def module_of(version: str, folder: Path) -> Path:
    """A Go module that builds this CLI. Go's checksum database judges what the lock of tools/pulumi does not hold."""
    folder.mkdir()
    needs = f"require (\n\tgithub.com/pulumi/pulumi/pkg/v3 v{version}\n\t{SDK} v{version}\n)\n"
    (folder / "go.mod").write_text(f"module cli\n\ngo 1.25\n\n{needs}", encoding="utf-8")
    imports = f'//go:build tools\n\npackage tools\n\nimport _ "{BUILT["pulumi"][0]}"\n'
    (folder / "tools.go").write_text(imports, encoding="utf-8")
    run(["go", "mod", "tidy"], folder, f"finding the modules of pulumi {version}")
    return folder


def build_from_source(target: Path, version: str) -> None:
    """Build the CLI and both hosts with Go; the launcher scripts lie in the Go module beside the source.

    The hosts are those of the lock: they drive every CLI that is promised.
    """
    bin_dir = target / "bin"
    bin_dir.mkdir()
    module = TOOLS / "cli" if version == PINNED else module_of(version, target / "module")
    for name in BUILT:
        if name == "pulumi":
            build_in(module, name, version, bin_dir)
        else:
            build(name, bin_dir)
    find = ["go", "list", "-mod=readonly", "-m", "-f", "{{.Dir}}", SDK]
    source = Path(subprocess.run(find, cwd=module, capture_output=True, encoding="utf-8", check=True).stdout.strip())
    launcher = f"dist/pulumi-resource-pulumi-python{'.cmd' if IS_WINDOWS else ''}"
    for script in ("cmd/pulumi-language-python-exec", launcher):
        copy = bin_dir / Path(script).name
        shutil.copyfile(source / "python" / script, copy)
        copy.chmod(0o755)


def install(place: Path, version: str = PINNED) -> None:
    """Fill ``place`` by the first way that works, all at once."""
    for leftover in place.parent.glob(f"{place.name}.partial-*"):  # of a run that was killed; we hold the lock
        shutil.rmtree(leftover, ignore_errors=True)
    troubles = []
    for way, announcement in (
        (download_official, f"Pulumi {version} by the official installer (some 100 MB, about half a minute)"),
        (build_from_source, f"Pulumi {version} built from source with Go (once; 3 to 6 minutes, 3 GB of Go caches)"),
    ):
        if way is build_from_source and shutil.which("go") is None:
            troubles.append("Go is not installed, so it cannot be built from source either")
            break
        say(announcement)
        beside = Path(tempfile.mkdtemp(prefix=f"{place.name}.partial-", dir=place.parent))
        try:
            way(beside, version)
            demand_whole(beside / "bin")
            beside.chmod(0o755)  # mkdtemp keeps others out
            if place.exists():
                shutil.rmtree(place)
            beside.rename(place)
        except SetupError as trouble:
            say(str(trouble))
            troubles.append(str(trouble).splitlines()[0].rstrip(":"))
        else:
            return
        finally:
            shutil.rmtree(beside, ignore_errors=True)
    raise SetupError(
        f"no Pulumi CLI: {'; '.join(troubles)}.\n"
        f"Install the Pulumi CLI {PINNED} or newer (https://www.pulumi.com/docs/install/) so that it is on PATH,\n"
        "or Go 1.25 or newer (https://go.dev/dl/), and run this again."
    )


def complete(bin_dir: Path) -> None:
    """Add the YAML host to an installation that an earlier version of this script has built."""
    say(f"{YAML_HOST} {YAML} built from source with Go (once; 1 to 3 minutes)")
    with tempfile.TemporaryDirectory(prefix="partial-", dir=bin_dir.parent) as beside:
        build(YAML_HOST, Path(beside))
        (built,) = Path(beside).iterdir()
        built.rename(bin_dir / built.name)


def find_or_install(*, is_announced: bool = True) -> Path:
    """The directory that holds the CLI. One of several scripts in a row announces which it is."""
    found = on_path(is_announced=is_announced)
    if found:
        return found
    place = CACHE / f"pulumi-{PINNED}"
    if lacking(place / "bin"):
        with alone():
            missing = lacking(place / "bin")  # the run we waited for may have done it
            if missing == [YAML_HOST] and shutil.which("go"):
                complete(place / "bin")
            elif missing:
                install(place)
    if is_announced:
        say(f"Pulumi {PINNED} from {place / 'bin'}")
    return place / "bin"


def at_version(version: str) -> Path:
    """The directory of the CLI of this version, which is never a user's own: tests compare versions with it."""
    place = CACHE / f"pulumi-{version}"
    if lacking(place / "bin"):
        with alone():
            if lacking(place / "bin"):  # the run we waited for may have done it
                install(place, version)
    return place / "bin"


def main() -> int:
    """Print the directory."""
    return ended(lambda: print(find_or_install()))


if __name__ == "__main__":
    sys.exit(main())
