"""Pins that a program that the language host interrupts ends without a traceback, and is changed in nothing else.

The launcher is played by a script of its name, in a process of its own: signals and hooks are facts of a process.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

LAUNCHER = """
import asyncio, runpy, sys
from concurrent.futures import ThreadPoolExecutor

loop = asyncio.new_event_loop()
executor = ThreadPoolExecutor()

async def program():
    runpy.run_path(sys.argv[1], run_name="__main__")
    await asyncio.sleep(20)

try:
    loop.run_until_complete(program())
finally:
    executor.shutdown(wait=True)
    loop.close()
"""
PROGRAM = """
import os, signal, sys, threading, time
from batch_os_provider.engine import program_end

def interrupt():
    os.kill(os.getpid(), signal.SIGINT)

def soon(seconds=0.2):
    threading.Timer(seconds, interrupt).start()

program_end.be_quiet()
program_end.be_quiet()
"""


def run(tmp_path: Path, program: str, *, launcher: str = "pulumi-language-python-exec") -> tuple[int, str]:
    """Run a program as the language host does. Returns its exit code and what it printed."""
    (tmp_path / launcher).write_text(LAUNCHER, encoding="utf-8")
    (tmp_path / "program.py").write_text(PROGRAM + dedent(program), encoding="utf-8")
    done = subprocess.run(  # noqa: S603 - ours
        [sys.executable, str(tmp_path / launcher), "program.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    "program",
    [
        "soon()",
        "soon(); soon(0.4)\nthreading.Timer(1, lambda: None).start()",
        # Past its end: threads are awaited.
        "threading.Timer(1, lambda: None).start(); soon(0.2); soon(0.5)",
    ],
    ids=["once", "twice", "while threads end"],
)
def test_an_interrupt_prints_nothing_and_ends_as_before(tmp_path: Path, program: str) -> None:
    assert run(tmp_path, program) == (-signal.SIGINT, "")


def test_without_us_it_prints_a_traceback(tmp_path: Path) -> None:
    """Else the tests above would prove nothing."""
    code, said = run(tmp_path, "soon()", launcher="another-launcher")
    assert code == -signal.SIGINT
    assert "Traceback" in said
    assert said.rstrip().endswith("KeyboardInterrupt")


def test_an_interrupt_past_the_end_of_the_program_prints_nothing(tmp_path: Path) -> None:
    code, said = run(tmp_path, "threading.Timer(1, interrupt).start(); sys.exit(3)")
    assert (code, said) == (3, "")


@pytest.mark.parametrize(
    ("program", "last"),
    [
        ("soon()\ntime.sleep(20)", "KeyboardInterrupt"),
        ("soon()\ndef work():\n    time.sleep(20)\nwork()", "KeyboardInterrupt"),
        ("raise ValueError('a bug')", "ValueError: a bug"),
        (
            "soon()\ntry:\n    time.sleep(20)\nexcept KeyboardInterrupt:\n    raise ValueError('left')",
            "ValueError: left",
        ),
    ],
    ids=["the program's own code", "a function of it", "another error", "an error of its clean-up"],
)
def test_what_the_program_does_keeps_its_traceback(tmp_path: Path, program: str, last: str) -> None:
    code, said = run(tmp_path, program)
    assert code != 0
    assert "program.py" in said
    assert said.rstrip().endswith(last)


def test_a_program_still_catches_an_interrupt_and_keeps_its_handler(tmp_path: Path) -> None:
    caught = """
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        soon()
        try:
            time.sleep(20)
        except KeyboardInterrupt:
            print("cleaned up")
            sys.exit(5)
    """
    assert run(tmp_path, caught) == (5, "cleaned up\n")
    own = """
        signal.signal(signal.SIGINT, lambda *_: (print("heard", flush=True), os._exit(6)))
        soon()
    """
    assert run(tmp_path, own) == (6, "heard\n")


def test_hooks_of_the_program_are_called_as_before(tmp_path: Path) -> None:
    said = run(
        tmp_path, "assert sys.excepthook.__module__ == 'batch_os_provider.engine.program_end'\nraise SystemExit(4)"
    )
    assert said == (4, "")
    hooked = (
        "sys.excepthook = lambda kind, *_: print('mine', kind.__name__)\n"
        "program_end._is_quiet = False\nprogram_end.be_quiet()\n"
    )
    assert run(tmp_path, f"{hooked}raise ValueError") == (1, "mine ValueError\n")
    assert run(tmp_path, f"{hooked}soon()") == (-signal.SIGINT, "")


def test_other_unraisable_errors_are_still_shown(tmp_path: Path) -> None:
    broken = """
        class Broken:
            def __del__(self):
                raise ValueError("in a finaliser")
        Broken()
        soon()
    """
    code, said = run(tmp_path, broken)
    assert code == -signal.SIGINT
    assert "ValueError: in a finaliser" in said


@pytest.mark.parametrize("launcher", ["driver.py", "pulumi-language-python-exec.py"])
def test_anywhere_else_nothing_is_changed(tmp_path: Path, launcher: str) -> None:
    unchanged = """
        assert sys.excepthook is sys.__excepthook__
        assert sys.unraisablehook is sys.__unraisablehook__
        sys.exit(9)
    """
    assert run(tmp_path, unchanged, launcher=launcher) == (9, "")
    # A thread of the program is not where an interrupt arrives.
    threaded = f"""
        program_end._is_quiet = False
        sys.excepthook, sys.unraisablehook = sys.__excepthook__, sys.__unraisablehook__
        thread = threading.Thread(target=program_end.be_quiet)
        thread.start()
        thread.join()
        {dedent(unchanged).strip().splitlines()[0]}
        sys.exit(9)
    """
    assert run(tmp_path, threaded) == (9, "")


def test_at_the_end_of_a_process_each_is_called_once(tmp_path: Path) -> None:
    assert run(tmp_path, "program_end.at_end(lambda: print('end'))\nprint('program')\nsys.exit(0)") == (
        0,
        "program\nend\n",
    )
