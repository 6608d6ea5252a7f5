"""A fork of the server that starts the Python processes of a stack is what a new process would be."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support import fork_server
from tests.support.processes import PROC
from tests.support.stack import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ENVIRONMENT = {"A": "b=c\nd", "EMPTY": "", "LANG": "C.UTF-8"}
SHOWS = """
import json, os, sys
seen = {"argv": sys.argv, "folder": os.getcwd(), "path": sys.path[0], "name": __name__, "read": sys.stdin.read()}
more = {"pid": os.getpid(), "environment": dict(os.environ), "imported": "pulumi" in sys.modules}
print(json.dumps({**seen, **more}))
sys.exit(int(sys.argv[1]))
"""
WAITS = """
import os, signal, sys, time
if sys.argv[1] == "ignore":
    # Not print, which must not interrupt itself.
    signal.signal(signal.SIGTERM, lambda *_: os.write(1, b"asked to end\\n"))
print(os.readlink("/proc/self"), flush=True)
while True:
    time.sleep(60)
"""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with fork_server.serving() as served:
        yield served


def started(address: str, folder: Path, program: str, argument: str) -> subprocess.Popen[str]:
    script = folder / "a script.py"
    script.write_text(program, encoding="utf-8")
    return subprocess.Popen(  # noqa: S603 - a script of this test
        [*fork_server.CLIENT, address, script, argument],
        cwd=folder,
        env=ENVIRONMENT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("code", [0, 3, 255])
def test_it_has_everything_of_its_client(address: str, tmp_path: Path, code: int) -> None:
    with started(address, tmp_path, SHOWS, str(code)) as client:
        out, err = client.communicate("typed")
    assert (client.returncode, err) == (code, "")
    assert json.loads(out) == {
        "pid": client.pid,
        "argv": [str(tmp_path / "a script.py"), str(code)],
        "folder": str(tmp_path),
        "path": str(tmp_path),
        "name": "__main__",
        "read": "typed",
        "environment": ENVIRONMENT,
        "imported": True,
    }


def test_a_program_that_is_written_again_within_a_second_is_read_again(address: str, tmp_path: Path) -> None:
    for text in ("first", "again"):
        (tmp_path / "module.py").write_text(f"print('{text}')\n", encoding="utf-8")
        os.utime(tmp_path / "module.py", (1e9, 1e9))
        with started(address, tmp_path, "import module\n", "") as client:
            assert client.communicate() == (f"{text}\n", "")


@pytest.mark.parametrize("error", ["RuntimeError('no')", "KeyboardInterrupt"])
def test_an_error_is_shown_and_ends_it_as_without_the_server(address: str, tmp_path: Path, error: str) -> None:
    with started(address, tmp_path, f"def fail():\n    raise {error}\n\nfail()\n", "") as client:
        _, err = client.communicate()
    alone = subprocess.run([sys.executable, tmp_path / "a script.py"], capture_output=True, text=True, check=False)  # noqa: S603 - as above
    assert (client.returncode, err) == (alone.returncode, alone.stderr)
    assert err.count("Traceback (most recent call last):") == 1


def test_a_signal_reaches_it_and_how_it_ended_is_how_the_client_ends(address: str, tmp_path: Path) -> None:
    for signalled, ends_by in ((signal.SIGTERM, -signal.SIGTERM), (signal.SIGINT, -signal.SIGINT)):
        with started(address, tmp_path, WAITS, "") as client:
            assert client.stdout
            client.stdout.readline()
            client.send_signal(signalled)
            client.communicate()
        assert client.returncode == ends_by


def test_a_signal_that_comes_too_late_changes_nothing(address: str, tmp_path: Path) -> None:
    """The language host interrupts a program that has just ended."""
    with started(address, tmp_path, "import os\nprint(os.getppid(), flush=True)\ninput()\n", "") as client:
        assert client.stdin
        assert client.stdout
        waiting = PROC / client.stdout.readline().strip()  # for the fork's end; then it answers the client, and ends
        client.send_signal(signal.SIGSTOP)
        client.stdin.write("\n")
        client.stdin.flush()
        wait_until(lambda: not waiting.exists(), "the fork has ended")
        client.send_signal(signal.SIGINT)
        client.send_signal(signal.SIGCONT)
        assert client.communicate() == ("", "")
    assert client.returncode == 0


def test_it_may_refuse_to_end_and_ends_with_its_client(address: str, tmp_path: Path) -> None:
    with started(address, tmp_path, WAITS, "ignore") as client:
        assert client.stdout
        fork = PROC / client.stdout.readline().strip()
        client.terminate()
        assert client.stdout.readline() == "asked to end\n"
        assert fork.exists()
        client.kill()
    wait_until(lambda: not fork.exists(), "the fork ends")
