"""What is read from /proc and, on macOS, from ps and lsof: both must find the same. For systems with both."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from batch_os_provider.engine.pulumi_process import Cli, find
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


def test_the_real_ps_lists_what_proc_lists() -> None:
    """The words for ps and lsof are valid here too: both systems find no CLI above a test."""
    assert find(platform="darwin") is None
    assert find(platform="linux") is None


def test_both_ways_find_the_same_cli(tmp_path: Path) -> None:
    module = "batch_os_provider.engine.pulumi_process"
    look = f"from {module} import find; assert find(platform='darwin') == find(); print(find())"
    script, output = tmp_path / "cli.sh", tmp_path / "output.txt"
    (tmp_path / "pulumi").symlink_to("/bin/sh")
    script.write_text(f'{sys.executable} -c "{look}"\nexit\n', encoding="utf-8")
    with output.open("w", encoding="utf-8") as stdout:
        subprocess.run([tmp_path / "pulumi", script, "preview", "--json"], stdout=stdout, check=True)  # noqa: S603
    expected = Cli((str(script), "preview", "--json"), str(output))
    assert output.read_text(encoding="utf-8").strip() == str(expected)
