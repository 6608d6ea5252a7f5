"""A fork server for the Python processes of a stack, so that not each of them imports the same modules again.

A `pulumi` starts two: the program and its provider. Each imports Pulumi's SDK, and the provider imports azure-batch
too. That is a third of the processor time of a preview. Tests that are about starts, ends and kills do without the
server: see ``STARTED_AS_BY_USERS`` in tests/cli/conftest.py.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
VARIABLE = "BATCH_OS_TEST_FORK_SERVER"
"""In the environment of a stack: the address of its server."""


@contextmanager
def serving(python_path: str) -> Iterator[str]:
    """A server whose forks have this PYTHONPATH; its address."""
    with tempfile.TemporaryDirectory(prefix="fork-") as folder:  # the path of a socket may have 100 bytes
        address = str(Path(folder) / "server")
        server = subprocess.Popen(  # noqa: S603 - the tests' own Python
            [sys.executable, "-u", str(HERE / "server.py"), address],
            env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "PYTHONPATH": python_path},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        with server:
            assert server.stdout
            assert server.stdout.readline() == "ready\n", "the fork server has not begun"
            yield address
            assert server.stdin
            server.stdin.close()


def launcher_lines(python_path: str) -> str:
    """Lines of a shell script that is a stack's ``python3``: the program and the provider come from its server."""
    client = f'"{sys.executable}" -I -S "{HERE / "client.py"}" "${VARIABLE}" "$@"'
    return (
        f'if [ -n "${{{VARIABLE}:-}}" ] && [ "$PYTHONPATH" = "{python_path}" ]; then\n'
        '    case "$*" in\n'
        f'    "-u -m pulumi.dynamic "* | */pulumi-language-python-exec" "*) exec {client} ;;\n'
        "    esac\n"
        "fi\n"
    )
