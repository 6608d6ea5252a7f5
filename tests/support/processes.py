"""The processes that a stack has started, by a text in their environment: from /proc, and elsewhere from ``ps``."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

PROC = Path("/proc")
# macOS writes the environment behind the command with -E, and Linux with e.
PS = (
    ("ps", "-axEww", "-o", "pid=", "-o", "command=")
    if sys.platform == "darwin"
    else ("ps", "axeww", "-o", "pid=,args=")
)


def marked(mark: str, command: str = "", *, proc: Path = PROC, ps: Sequence[str] = PS) -> list[int]:
    """The processes with this text in their environment, and the other one in their command."""
    if not (proc / "self" / "environ").exists():
        return _listed(mark, command, ps)
    found = []
    for entry in proc.iterdir():
        # Processes end while we look.
        with contextlib.suppress(OSError):
            if (
                entry.name.isdigit()
                and mark.encode() in (entry / "environ").read_bytes()
                and command.encode() in (entry / "cmdline").read_bytes()
            ):
                found.append(int(entry.name))
    return found


def _listed(mark: str, command: str, ps: Sequence[str]) -> list[int]:
    done = subprocess.run(ps, stdout=subprocess.PIPE, check=True, timeout=60)  # noqa: S603 - ps of the system
    lines = (re.match(r"\s*(\d+) (.*)", line) for line in done.stdout.decode(errors="replace").splitlines())
    return [int(line[1]) for line in lines if line and mark in line[2] and command in line[2]]


def kill(mark: str, command: str = "") -> list[int]:
    """Kill these processes, and return them. One may end by itself before."""
    found = marked(mark, command)
    for process in found:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(process, signal.SIGKILL)
    return found
