"""What only a POSIX system has: a fork to kill, a pipe whose end shows without a write, and scripts as programs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from batch_os_provider.cli.doctor.native_plugin import COMMAND, ask
from batch_os_provider.cli.doctor.plugin_process import PluginError

KILLED_AT_EACH_MOMENT = """
import json, os, signal, sys
from pathlib import Path
from batch_os_provider.cli.bump.write_files import replace_all

folder = Path(sys.argv[1])
files = [folder / name for name in ("a.py", "b.py", "Pulumi.prod.yaml")]
found = []
for moment in range(1, 100):
    for file in files:
        file.write_text("old")
    child = os.fork()
    if not child:
        seen = 0

        def watch(event, arguments):
            global seen
            if event in ("open", "os.rename", "os.chmod", "os.remove"):
                seen += 1
                if seen == moment:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(watch)
        replace_all({file: b"new" for file in files})
        os._exit(0)
    _, status = os.waitpid(child, 0)
    texts = [file.read_text() for file in files]
    replace_all({file: b"new" for file in files})
    after = [each.name for each in folder.iterdir()], [file.read_text() for file in files]
    found.append([os.waitstatus_to_exitcode(status), texts, after])
    if not status:
        break
print(json.dumps(found))
"""


def test_a_kill_at_any_moment_leaves_each_file_whole_and_the_next_call_ends_it(tmp_path: Path) -> None:
    done = subprocess.run(  # noqa: S603 - the module under test
        [sys.executable, "-c", KILLED_AT_EACH_MOMENT, str(tmp_path)], capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout)
    assert [code for code, _, _ in found] == [-9] * (len(found) - 1) + [0]
    states = [texts for _, texts, _ in found]
    assert states == sorted(states, reverse=True), "one file after the other"
    assert {texts.count("new") for texts in states} == {0, 1, 2, 3}
    assert {text for texts in states for text in texts} == {"old", "new"}
    for _, _, (names, texts) in found:
        assert (sorted(names), set(texts)) == (["Pulumi.prod.yaml", "a.py", "b.py"], {"new"})


CLOSED = """
from batch_os_provider.cli.watch import command as watch
from batch_os_provider.cli.watch.moving import Moving
watch.POLL_INTERVAL = 0.05
watch.shared_client = lambda _endpoint: None
watch.poll = lambda _client: (Moving("render", "upgrading", "0 of 6 nodes back"),)
watch.command(["https://farm.westeurope.batch.azure.com"])
"""


@pytest.mark.parametrize("lines", [0, 1], ids=["before the first line", "after it, with nothing more to say"])
def test_a_closed_pipe_ends_it_quietly(lines: int) -> None:
    with subprocess.Popen(  # noqa: S603 - this Python
        [sys.executable, "-c", CLOSED], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ}
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        for _ in range(lines):
            assert "render: upgrading" in process.stdout.readline()
        process.stdout.close()
        assert process.wait(30) == 0
        assert process.stderr.read() == ""


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("#!/bin/sh\necho no module >&2\nexit 1\n", "does not start: no module"),
        ("#!/nowhere/python\n", "does not start: No such file"),
        ("#!/bin/sh\necho 1\n", "does not answer: "),
        ("#!/bin/sh\n", "does not start: it printed nothing"),
    ],
)
def test_a_provider_that_does_not_work_says_why(tmp_path: Path, text: str, why: str) -> None:
    script = tmp_path / COMMAND
    script.write_text(text, encoding="utf-8")
    script.chmod(0o755)
    with pytest.raises(PluginError, match=why):
        ask(str(script))
