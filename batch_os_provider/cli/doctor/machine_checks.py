"""The checks of `batch-os doctor` that concern this machine: versions, seams, the debug log, the catalogue.

What a pipeline's machine lacks shows late elsewhere, and in other words. Each check says what it found and what to do
about it.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from importlib import metadata
from pathlib import Path

from batch_os_provider.cli.doctor.check import Check
from batch_os_provider.cli.doctor.plugin_check import missing_seams
from batch_os_provider.cli.doctor.plugin_process import PluginError
from batch_os_provider.engine.diagnostics import VARIABLE as TAIL
from batch_os_provider.engine.pulumi_process import not_shown
from batch_os_provider.engine.seams import PROVEN_ON, SEAMS
from batch_os_provider.guest_os import catalogue_file
from batch_os_provider.guest_os.catalogue_file import Current
from batch_os_provider.runtime.request_log import VARIABLE

__all__ = ["catalogue", "judge_version", "machine"]

CLI = ((3, 251), (4,))
SDK = ((3, 260), (4,))
AZURE_BATCH = ((15, 1), (16,))
PYTHON = ((3, 11), (3, 15))
"""What is supported: from the first, and below the second."""
TESTED = {
    "Python": "3.11 to 3.14",
    "Pulumi CLI": "3.251.0 to 3.276.0",
    "Pulumi SDK": "3.260.0 to 3.272.0",
    "azure-batch": "15.1.0",
}
"""The versions that passed the tests: docs/support.md has each combination."""
_PROXIES = ("grpc_proxy", "https_proxy", "http_proxy")
"""The variables that gRPC reads, in its order."""
_PULUMI_SECONDS = 30.0
_SYSTEM = not_shown()


def machine(environ: Mapping[str, str] = os.environ) -> list[Check]:
    """All checks of this machine."""
    python = _dotted(sys.version_info[:3])
    return [
        judge_version("Python", python, *PYTHON, fix=f"Use Python {TESTED['Python']}"),
        Check("machine", "batch-os-provider", "ok", metadata.version("batch-os-provider")),
        _cli(),
        _installed("Pulumi SDK", "pulumi", *SDK),
        _installed("azure-batch", "azure-batch", *AZURE_BATCH),
        *_seams(missing_seams, environ),
        _log(environ.get(VARIABLE, "")),
        *_tail(environ.get(TAIL, "")),
        catalogue(catalogue_file.find(environ), datetime.now(UTC).date()),
    ]


def judge_version(name: str, text: str, least: tuple[int, ...], below: tuple[int, ...], *, fix: str) -> Check:
    """Whether a version is supported; a newer one may work, so it is a warning."""
    found = re.match(r"v?(\d+(?:\.\d+)*)", text)
    tested = f"; tested with {TESTED[name]}"
    if found is None:
        return Check("machine", name, "warn", f"{text!r} cannot be read as a version{tested}", fix)
    version = tuple(int(part) for part in found[1].split("."))
    if version < least:
        return Check("machine", name, "fail", f"{found[1]} is older than {_dotted(least)}{tested}", fix)
    if version >= below:
        return Check("machine", name, "warn", f"{found[1]} is newer than the supported versions{tested}", fix)
    return Check("machine", name, "ok", f"{found[1]}{tested}")


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


def _installed(name: str, package: str, least: tuple[int, ...], below: tuple[int, ...]) -> Check:
    fix = f"Run `pip install '{package}>={_dotted(least)},<{_dotted(below)}'`"
    try:
        version = metadata.version(package)
    except metadata.PackageNotFoundError:
        return Check("machine", name, "fail", "it is not installed", fix)
    return judge_version(name, version, least, below, fix=fix)


def _cli() -> Check:
    name, fix = "Pulumi CLI", f"Install the Pulumi CLI {_dotted(CLI[0])} or newer, and put its folder on PATH"
    found = shutil.which("pulumi")
    if found is None:
        return Check("machine", name, "fail", "`pulumi` is not on PATH", fix)
    try:
        said = subprocess.run(  # noqa: S603 - the Pulumi CLI of the user
            [found, "version"],
            env={**os.environ, "PULUMI_SKIP_UPDATE_CHECK": "true"},
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=_PULUMI_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        return Check("machine", name, "fail", f"`{found} version` failed: {error}", fix)
    return judge_version(name, said.stdout.strip(), *CLI, fix=fix)


def _seams(probe: Callable[[], Mapping[str, str]], environ: Mapping[str, str], system: str = _SYSTEM) -> list[Check]:
    """Start a plugin process as Pulumi does, and ask which seams it missed.

    The gRPC of Pulumi's SDK takes a proxy of the environment also to this machine, so Python programs then fail too.
    ``system`` is the reason of the seams that this system never has: no version of Pulumi would bring them.
    """
    name = "seams"
    fix = f"Use the versions that were tested: Pulumi CLI {PROVEN_ON['Pulumi CLI']} and SDK {PROVEN_ON['Pulumi SDK']}"
    try:
        missing = probe()
    except PluginError as error:
        proxy = next((each for each in _PROXIES if environ.get(each)), None)
        if proxy and "127.0.0.1" not in environ.get("no_grpc_proxy", environ.get("no_proxy", "")):
            fix = f"Set no_proxy=127.0.0.1,localhost: Pulumi programs in Python call this machine through {proxy}"
        return [Check("machine", name, "fail", f"no provider could be started: {error}", fix)]
    lost = {seam.name: seam.without for seam in SEAMS}
    without = [seam for seam, why in missing.items() if system and why == system]
    if len(without) == len(missing):
        seen = f"all {len(SEAMS)} to Pulumi are there"
        if without:
            seen = f"{len(SEAMS) - len(without)} of {len(SEAMS)} to Pulumi are there. {system}: "
            seen += "; ".join(lost[seam] for seam in without)
        return [Check("machine", name, "ok", seen)]
    return [
        Check("machine", name, "warn", f"{seam!r} is missing ({why}): {lost.get(seam, 'less comfort')}", fix)
        for seam, why in missing.items()
        if seam not in without
    ]


def catalogue(used: Current, today: date) -> Check:
    """The Guest OS catalogue in use: a broken file fails, an old catalogue is a warning."""
    until, unused = f"releases until {used.catalogue.covers_until}", used.unused
    where = {"package": "of this package", "user": used.file, "variable": f"{used.file} ({catalogue_file.VARIABLE})"}
    seen, name = f"{until}, {where[used.source]}", "catalogue"
    if unused is not None and unused.broken:
        file = shlex.quote(unused.file)
        fix = f"Remove the file; `batch-os catalogue --update --output {file}` writes a new one"
        return Check("machine", name, "fail", used.trouble, fix)
    if unused is not None:
        seen += f"; {unused.why}"
    if used.catalogue.outdated(today):
        fix = "Bring it up to date with `batch-os catalogue --update`, or with a newer batch-os-provider"
        return Check("machine", name, "warn", f"{seen}; newer versions are not known", fix)
    return Check("machine", name, "ok", seen)


def _tail(asked: str) -> list[Check]:
    """Whether the variable for tails has a known value; no check if it is not set."""
    if asked.strip().lower() in ("", "always", "never"):
        return [Check("machine", TAIL, "ok", asked)] if asked else []
    return [Check("machine", TAIL, "warn", f"{asked!r} is ignored", "Set it to always or never, or unset it")]


def _log(path: str) -> Check:
    if not path:
        return Check("machine", VARIABLE, "ok", "not set: no debug log")
    file = Path(path)
    if os.access(file, os.W_OK) and file.is_file():
        return Check("machine", VARIABLE, "ok", f"{path} can be written")
    if not file.exists() and file.parent.is_dir() and os.access(file.parent, os.W_OK):
        return Check("machine", VARIABLE, "ok", f"{path} can be created")
    return Check("machine", VARIABLE, "fail", f"{path} cannot be written", "Name a file in a folder that exists")
