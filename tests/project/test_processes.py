"""The search for a stack's processes, which must find the same by /proc and by ps."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.support import processes


def test_both_ways_find_the_same_process(tmp_path: Path) -> None:
    mark = f"BATCH_OS_TEST_STACK={tmp_path}"
    name, _, value = mark.partition("=")
    command = [sys.executable, "-c", "print(flush=True); input('odd-name')"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env={**os.environ, name: value}, stdin=pipe, stdout=pipe) as process:  # noqa: S603
        assert process.stdout is not None
        process.stdout.readline()
        found = [
            processes.marked(mark, word, proc=proc) for word in ("odd-name", "") for proc in (processes.PROC, tmp_path)
        ]
        none = [processes.marked(mark, "other-name", proc=proc) for proc in (processes.PROC, tmp_path)]
        processes.kill(mark)
        assert process.wait(60) == -signal.SIGKILL
    assert (found, none) == ([[process.pid]] * 4, [[], []])
