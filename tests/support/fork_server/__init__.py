"""A fork server for the Python processes of a stack, so that not each of them imports the same modules again.

A `pulumi` starts two: the program and its provider. Each imports Pulumi's SDK, and the provider imports azure-batch
too. That is a third of the processor time of a preview. `batch-os` spends nearly all its time on imports. Tests that
are about starts, ends and kills do without the server: see ``STARTED_AS_BY_USERS`` in tests/cli/conftest.py.
"""

from __future__ import annotations

import atexit
import os
import subprocess
import sys
import tempfile
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
BIN = Path(sys.executable).parent
SHORT_LIVED = str(HERE.parent / "short_lived")
"""The PYTHONPATH of a stack."""
CLIENT = (sys.executable, "-I", "-S", str(HERE / "client.py"))
PROGRAMS = ("batch-os", "pulumi-resource-batchos")
VARIABLE = "BATCH_OS_TEST_FORK_SERVER"
"""In the environment of a stack: the address of its server."""
_FORK = " ".join(["exec", *(f'"{each}"' for each in CLIENT), f'"${VARIABLE}"'])


@cache
def address() -> str:
    """The address of this process's own server, which ends with this process."""
    ending = ExitStack()
    atexit.register(ending.close)
    return ending.enter_context(serving())


@contextmanager
def serving() -> Iterator[str]:
    """A server whose forks have the PYTHONPATH of stacks; its address."""
    with tempfile.TemporaryDirectory(prefix="fork-") as folder:  # the path of a socket may have 100 bytes
        at = str(Path(folder) / "server")
        server = subprocess.Popen(  # noqa: S603 - the tests' own Python
            [sys.executable, "-u", str(HERE / "server.py"), at],
            env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "PYTHONPATH": SHORT_LIVED},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        with server:
            assert server.stdout
            assert server.stdout.readline() == "ready\n", "the fork server has not begun"
            yield at
            assert server.stdin
            server.stdin.close()


def command(name: str) -> tuple[str, ...]:
    """What starts a program of the project as a fork, instead of the path of the program."""
    return (*CLIENT, address(), str(BIN / name))


def python_lines() -> str:
    """Lines of a shell script that is a stack's ``python3``: the program and the provider come from its server."""
    return _guarded(
        '    case "$*" in\n'
        f'    "-u -m pulumi.dynamic "* | */pulumi-language-python-exec" "*) {_FORK} "$@" ;;\n'
        "    esac\n"
    )


def write_programs(folder: Path) -> None:
    """Write the programs of the project that a stack starts: they come from its server, if it has one."""
    for name in PROGRAMS:
        launcher = folder / name
        fork = _guarded(f'    {_FORK} "{BIN / name}" "$@"\n')
        launcher.write_text(f'#!/bin/sh\n{fork}exec "{BIN / name}" "$@"\n', encoding="utf-8")
        launcher.chmod(0o755)


def _guarded(lines: str) -> str:
    """Lines of a shell script for a process that has a server, and whose PYTHONPATH is that of the server."""
    return f'if [ -n "${{{VARIABLE}:-}}" ] && [ "$PYTHONPATH" = "{SHORT_LIVED}" ]; then\n{lines}fi\n'
