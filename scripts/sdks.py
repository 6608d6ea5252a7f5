#!/usr/bin/env python3
"""Write the SDKs of the native provider for every language into a folder; without a folder, install what that needs.

usage: .venv/bin/python scripts/sdks.py [FOLDER]

FOLDER gets a folder for each language. The CLI's own hosts generate the SDKs where all of them are installed. Elsewhere
three small programs do, which are built once with Go from the same generators (tools/pulumi). What type-checks a
TypeScript program comes from npm (tools/pulumi/typescript/package-lock.json pins each package). Both are kept in the
user cache, under the hash of what they are made of.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts import pulumi_cli
from scripts.pulumi_cli import CACHE, TOOLS
from scripts.setting_up import SetupError, ended, say

if TYPE_CHECKING:
    from collections.abc import Callable

SCHEMA = Path(__file__).resolve().parents[1] / "batch_os_provider" / "plugin" / "schema.json"
LANGUAGES = ("nodejs", "python", "go", "dotnet", "java")
HOSTS = tuple(f"pulumi-language-{language}" for language in LANGUAGES)
GENERATORS = {
    "sdkgen": (TOOLS / "cli", "./sdkgen"),
    "sdkgen-dotnet": (TOOLS / "yaml", "./sdkgen"),
    "sdkgen-java": (TOOLS / "java", "."),
}
"""What Go builds: the program, its module, and the package in it."""
TYPESCRIPT = TOOLS / "typescript"
OLDEST_NODE = (20,)


def hash_of(*files: Path) -> str:
    """A short name for what these files hold."""
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()[:12]


def made_in_cache(name: str, make: Callable[[Path], None]) -> Path:
    """A folder of the user cache. It is made beside its place and renamed, so an interrupted run leaves no part."""
    place = CACHE / name
    if not place.exists():
        with pulumi_cli.alone():
            if not place.exists():  # the run we waited for may have made it
                for leftover in CACHE.glob(f"{name}.partial-*"):  # of a run that was killed; we hold the lock
                    shutil.rmtree(leftover, ignore_errors=True)
                with tempfile.TemporaryDirectory(prefix=f"{name}.partial-", dir=CACHE) as beside:
                    made = Path(beside) / "made"
                    made.mkdir()
                    make(made)
                    made.rename(place)
    return place


def own_hosts(pulumi: Path) -> bool:
    """Whether the CLI in this folder came with the hosts of all languages. A CLI that we built did not."""
    return all(shutil.which(host, path=str(pulumi)) for host in HOSTS)


def generators() -> Path:
    """The folder with the built generators."""
    sources = [file for module, package in GENERATORS.values() for file in sorted((module / package).glob("*.go"))]
    sources += sorted(file for module, _ in GENERATORS.values() for file in module.glob("go.*"))
    return made_in_cache(f"sdkgen-{hash_of(*sources, *sorted((TOOLS / 'sdkgen').iterdir()))}", _build)


def _build(folder: Path) -> None:
    if shutil.which("go") is None:
        raise SetupError(
            "no generator of SDKs: this Pulumi CLI comes without the hosts of all languages, and Go is not installed.\n"
            "Install the official Pulumi CLI (https://www.pulumi.com/docs/install/) so that it is on PATH,\n"
            "or Go 1.25 or newer (https://go.dev/dl/), and run this again."
        )
    say("generators of SDKs built from source with Go (once; 1 to 3 minutes)")
    for name, (module, package) in GENERATORS.items():
        pulumi_cli.go_build(folder / name, package, module, name)


def node_packages() -> Path:
    """The folder with ``node_modules``: TypeScript, and the Pulumi SDK that the generated one is written for."""
    node = shutil.which("node")
    version = _node_version(node) if node else ()
    if node is None or version < OLDEST_NODE or shutil.which("npm") is None:
        seen = f"is {'.'.join(map(str, version))}" if version else "is not on PATH, or does not run"
        raise SetupError(
            f"no TypeScript: Node.js 20 or newer with npm is needed, and node {seen}"
            f"{'' if shutil.which('npm') else '; npm is not on PATH'}.\n"
            "Install Node.js (https://nodejs.org/en/download) so that node and npm are on PATH, and run this again."
        )
    return made_in_cache(f"typescript-{hash_of(*sorted(TYPESCRIPT.iterdir()))}", _install)


def _node_version(node: str) -> tuple[int, ...]:
    try:
        done = subprocess.run([node, "--version"], capture_output=True, encoding="utf-8", timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return ()
    match = re.match(r"v(\d+)\.(\d+)\.(\d+)", done.stdout)
    return tuple(map(int, match.groups())) if match else ()


def _install(folder: Path) -> None:
    say("TypeScript and Pulumi's SDK for it, from npm (once; 115 MB, about half a minute)")
    for file in TYPESCRIPT.iterdir():
        shutil.copyfile(file, folder / file.name)
    options = ("--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier")
    pulumi_cli.run(["npm", "ci", *options], folder, "npm ci")


def generate(folder: Path, schema: Path = SCHEMA) -> str:
    """Write every SDK, and return what the generators said."""
    pulumi = pulumi_cli.find_or_install(is_announced=False)
    if own_hosts(pulumi):
        options = ("--out", str(folder))
        commands = [
            [str(pulumi / "pulumi"), "package", "gen-sdk", str(schema), "--language", language, *options]
            for language in LANGUAGES
        ]
    else:
        commands = [[str(generators() / name), str(schema), str(folder)] for name in GENERATORS]
    said = []
    for command in commands:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", check=False)
        if done.returncode != 0:
            raise SetupError(f"{Path(command[0]).name} failed ({done.returncode}):\n{done.stdout.rstrip()}")
        said.append(done.stdout)
    return "".join(said)


def install() -> None:
    """Install what `generate` and a type-check of TypeScript need."""
    node_packages()
    if not own_hosts(pulumi_cli.find_or_install(is_announced=False)):
        generators()


def main(arguments: list[str]) -> int:
    """Write the SDKs, or install what that needs."""
    if arguments:
        return ended(lambda: print(generate(Path(arguments[0])), end="", file=sys.stderr))
    return ended(install)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
