#!/usr/bin/env python3
"""Find or install actionlint, which checks the GitHub workflows in examples/, and print its path.

In this order: the one on PATH if it is new enough; the one an earlier run left in the user cache; the official release
(its SHA-256 pinned here); a build from source with Go (every module pinned by tools/actionlint/go.sum). It is made
beside its place in the cache and renamed there, so interrupted and parallel runs leave no half program.
"""

from __future__ import annotations

import hashlib
import io
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.setting_up import SetupError, ended, say

OLDEST = (1, 7, 7)  # the oldest that knows everything our workflows use
PINNED = "1.7.12"  # what is installed if it is missing or older
PACKAGE = "github.com/rhysd/actionlint"
RELEASE = f"https://{PACKAGE}/releases/download/v{PINNED}/actionlint_{PINNED}_{{system}}.tar.gz"
SHA256 = {  # of the release's own list of checksums
    "linux_amd64": "8aca8db96f1b94770f1b0d72b6dddcb1ebb8123cb3712530b08cc387b349a3d8",
    "linux_arm64": "325e971b6ba9bfa504672e29be93c24981eeb1c07576d730e9f7c8805afff0c6",
    "darwin_amd64": "5b44c3bc2255115c9b69e30efc0fecdf498fdb63c5d58e17084fd5f16324c644",
    "darwin_arm64": "aba9ced2dee8d27fecca3dc7feb1a7f9a52caefa1eb46f3271ea66b6e0e6953f",
}
MACHINES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
MODULE = Path(__file__).resolve().parent.parent / "tools" / "actionlint"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "batch-os-provider"


def version_of(program: str) -> tuple[int, ...]:
    """The version a program reports, or () when it cannot be run."""
    try:
        done = subprocess.run([program, "-version"], capture_output=True, encoding="utf-8", timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return ()
    match = re.match(r"v?(\d+)\.(\d+)\.(\d+)", done.stdout.strip())
    return tuple(map(int, match.groups())) if match else ()


def download(target: Path) -> None:
    """Extract actionlint from the official release, after a check of the pinned SHA-256."""
    system = f"{platform.system().lower()}_{MACHINES.get(platform.machine().lower(), platform.machine())}"
    if system not in SHA256:
        raise SetupError(f"no official release is pinned for {system}")
    try:
        with urllib.request.urlopen(RELEASE.format(system=system), timeout=20) as answer:  # noqa: S310 - it is https
            archive = answer.read()
    except OSError as error:
        raise SetupError(f"the official release could not be fetched ({error})") from None
    seen = hashlib.sha256(archive).hexdigest()
    if seen != SHA256[system]:
        raise SetupError(f"the official release has SHA-256 {seen}, not the pinned {SHA256[system]}")
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        program = files.extractfile("actionlint")
        if program is None:
            raise SetupError("the official release holds no file named actionlint")
        target.write_bytes(program.read())


def build(target: Path) -> None:
    """Build actionlint with Go."""
    if shutil.which("go") is None:
        raise SetupError("Go is not installed, so it cannot be built from source")
    command = ["go", "build", "-mod=readonly", "-trimpath", "-ldflags", "-s -w"]
    environment = {"HOME": str(Path.home()), **os.environ, "CGO_ENABLED": "0", "GOWORK": "off"}
    command += ["-o", str(target), f"{PACKAGE}/cmd/actionlint"]
    done = subprocess.run(command, cwd=MODULE, env=environment, capture_output=True, encoding="utf-8", check=False)
    if done.returncode != 0:
        raise SetupError(f"the build from source failed:\n{done.stderr.rstrip()}")


def install(place: Path) -> None:
    """Install actionlint at this path by the first way that works."""
    troubles = []
    place.parent.mkdir(parents=True, exist_ok=True)
    for way, announcement in (
        (download, f"actionlint {PINNED} from its official release (2 MB)"),
        (build, f"actionlint {PINNED} built from source with Go (once; some seconds)"),
    ):
        say(announcement)
        with tempfile.TemporaryDirectory(prefix=f"{place.name}.partial-", dir=place.parent) as beside:
            made = Path(beside) / "actionlint"
            try:
                way(made)
            except SetupError as trouble:
                say(str(trouble))
                troubles.append(str(trouble).splitlines()[0].rstrip(":"))
                continue
            made.chmod(0o755)
            made.rename(place)
            return
    raise SetupError(
        f"no actionlint: {'; '.join(troubles)}.\n"
        f"Install actionlint {PINNED} (https://{PACKAGE}/blob/main/docs/install.md) so that it is on PATH,\n"
        "or Go 1.25 or newer (https://go.dev/dl/), and run this again."
    )


def find_or_install() -> Path:
    """Return the path of the program; install it where needed."""
    own = shutil.which("actionlint")
    if own is not None:
        if version_of(own) >= OLDEST:
            return Path(own).absolute()
        say(f"actionlint on PATH ({own}) is older than {'.'.join(map(str, OLDEST))}, or does not run: not used")
    place = CACHE / f"actionlint-{PINNED}"
    if not version_of(str(place)):
        install(place)
    return place


def main() -> int:
    """Print the path."""
    return ended(lambda: print(find_or_install()))


if __name__ == "__main__":
    sys.exit(main())
