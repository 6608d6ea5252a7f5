"""Pins which traceback the CLI's tests overlook: the language host's interrupt, and no other."""

from __future__ import annotations

import pytest

from tests.support.interrupts import without_interrupts

# Recorded: CLI 3.259, language host 3.260, Python 3.11; paths shortened.
INTERRUPT = """\
Traceback (most recent call last):
  File "/usr/bin/pulumi-language-python-exec", line 232, in <module>
    loop.run_until_complete(coro)
  File "/usr/lib/python3.11/asyncio/base_events.py", line 640, in run_until_complete
    self.run_forever()
  File "/usr/lib/python3.11/asyncio/base_events.py", line 1884, in _run_once
    event_list = self._selector.select(timeout)
                 ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  File "/usr/lib/python3.11/selectors.py", line 468, in select
    fd_event_list = self._selector.poll(timeout, max_ev)
                    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
KeyboardInterrupt
"""
TWICE = f"""{INTERRUPT}During handling of the above exception, another exception occurred:
Traceback (most recent call last):
  File "/usr/bin/pulumi-language-python-exec", line 244, in <module>
    executor.shutdown(wait=True)
  File "/usr/lib/python3.11/threading.py", line 1139, in _wait_for_tstate_lock
    if lock.acquire(block, timeout):
       ^^^^^^^^^^^^^^^^^^^^^^^^^^^^
KeyboardInterrupt
"""
OURS = """\
Traceback (most recent call last):
  File "/venv/pulumi/dynamic/__main__.py", line 90, in wrapper
    return fn(self, request, context)
KeyError: '__provider'
"""
BEFORE, AFTER = "error: update failed\n", "Resources:\n    2 errored\n"


def rows(text: str) -> str:
    """As the CLI prints a program's lines while it runs; the clock goes on."""
    return "".join(
        f" +  pulumi:pulumi:Stack batch-os-test-dev creating ({9 + number // 4}s) {line}"
        for number, line in enumerate(text.splitlines(keepends=True))
    )


def indented(text: str) -> str:
    """As the CLI prints them under Diagnostics."""
    return "".join(f"    {line}" if line.strip() else line for line in text.splitlines(keepends=True))


@pytest.mark.parametrize("shown", [str, rows, indented], ids=["plain", "rows", "diagnostics"])
@pytest.mark.parametrize("text", [INTERRUPT, TWICE, TWICE.replace("During", "\nDuring")], ids=["once", "twice", "gap"])
def test_the_hosts_interrupt_is_overlooked(text: str, shown: type[str]) -> None:
    assert without_interrupts(BEFORE + shown(text) + AFTER) == BEFORE + AFTER


@pytest.mark.parametrize("shown", [str, rows, indented], ids=["plain", "rows", "diagnostics"])
@pytest.mark.parametrize(
    "text",
    [
        OURS,
        INTERRUPT.replace("KeyboardInterrupt", "KeyError: 'bug'"),
        INTERRUPT.replace("KeyboardInterrupt", "grpc.RpcError: gone"),
        INTERRUPT.replace("KeyboardInterrupt\n", ""),
        INTERRUPT.replace("-exec", "-exec.py"),
        "Traceback (most recent call last):\n",
        OURS.replace("KeyError: '__provider'", "KeyboardInterrupt"),
    ],
    ids=["another file", "another error", "an error with a module", "cut off", "another name", "no frame", "not there"],
)
def test_every_other_traceback_stays(text: str, shown: type[str]) -> None:
    whole = BEFORE + shown(text) + AFTER
    assert without_interrupts(whole) == whole


def test_an_error_beside_the_interrupt_stays() -> None:
    assert without_interrupts(INTERRUPT + OURS) == OURS
    assert without_interrupts(OURS + INTERRUPT) == OURS
    # One that came while the interrupt was handled is an error of the program.
    chained = TWICE.rpartition("KeyboardInterrupt")[0] + "ValueError: bug\n"
    assert "ValueError: bug" in without_interrupts(chained)
