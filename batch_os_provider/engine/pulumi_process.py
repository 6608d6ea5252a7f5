"""The process ``pulumi`` above a plugin: its arguments and its stdout.

The engine does not say who reads the lines of a plugin: a person at a terminal, or a program. Only the command line and
the stdout of the CLI show it. Linux has both in /proc. macOS has ``ps`` and ``lsof``. Windows shows them to no other
process without native code, so there the reader stays unknown.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

__all__ = ["Cli", "find", "not_shown"]

PROC = Path("/proc")
PS = ("ps", "-ax", "-ww", "-o", "pid=", "-o", "ppid=", "-o", "args=")
LSOF = ("lsof", "-a", "-d", "1", "-F", "n", "-p")
_SECONDS = 5.0
_LINE = re.compile(r"\s*(\d+)\s+(\d+)\s+(.*)")
_PULUMI = re.compile(r"(?:\S*/)?pulumi(?:\s+(.*))?")


@dataclass(frozen=True)
class Cli:
    """A process ``pulumi``: its arguments without the program's name, and the path of its stdout."""

    arguments: tuple[str, ...]
    stdout: str


def not_shown(platform: str = sys.platform) -> str:
    """Why no process of this system sees the CLI above it; ``""`` where it can."""
    return "Windows does not show a process the command line above it" if platform == "win32" else ""


def find(
    proc: Path = PROC, platform: str = sys.platform, ps: Sequence[str] = PS, lsof: Sequence[str] = LSOF
) -> Cli | None:
    """The nearest ancestor process ``pulumi``; None without such a process.

    Raises:
        OSError: the processes cannot be read, or ``ps`` or ``lsof`` is missing.
        LookupError: this system does not show them.
        ValueError: they look different from what is known.
    """
    if not_shown(platform):
        raise LookupError(not_shown(platform))
    if platform == "darwin":
        return _listed(os.getpid(), tuple(ps), tuple(lsof))
    pid = os.getpid()
    while pid > 1:
        process = proc / str(pid)
        if (process / "comm").read_text(encoding="utf-8").strip() == "pulumi":
            arguments = (process / "cmdline").read_bytes().decode(errors="replace").removesuffix("\0").split("\0")[1:]
            return Cli(tuple(arguments), str((process / "fd" / "1").readlink()))
        stat = (process / "stat").read_text(encoding="utf-8")
        pid = int(stat.rpartition(")")[2].split()[1])
    return None


@cache  # two processes for each resource would cost more than the answer is worth
def _listed(pid: int, ps: tuple[str, ...], lsof: tuple[str, ...]) -> Cli | None:
    lines = filter(None, (_LINE.match(line) for line in _said(ps).splitlines()))
    parents = {int(line[1]): (int(line[2]), line[3]) for line in lines}
    if pid not in parents:
        raise LookupError(f"{ps[0]} does not list process {pid}")
    while pid in parents and pid > 1:
        parent, command = parents[pid]
        if found := _PULUMI.fullmatch(command.strip()):
            names = [line[1:] for line in _said((*lsof, str(pid))).splitlines() if line.startswith("n")]
            return Cli(tuple((found[1] or "").split()), names[0] if names else "")
        pid = parent
    return None


def _said(command: Sequence[str]) -> str:
    try:
        done = subprocess.run(  # noqa: S603 - ps and lsof of the system
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_SECONDS,
            check=True,
        )
    except subprocess.SubprocessError as error:
        raise OSError(f"{command[0]} failed: {error}") from error
    return done.stdout.decode(errors="replace")
