"""Files that `bump` replaces together: what a kill at each moment leaves, and what stays of a file."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from batch_os_provider.cli.bump.write_files import replace_all

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


def test_if_one_file_cannot_be_written_none_is(tmp_path: Path) -> None:
    first, gone = tmp_path / "a.py", tmp_path / "gone" / "b.py"
    first.write_text("old", encoding="utf-8")
    with pytest.raises(OSError, match=r"b\.py"):
        replace_all({first: b"new", gone: b"new"})
    assert (first.read_text(encoding="utf-8"), list(tmp_path.iterdir())) == ("old", [first])


def test_permissions_and_a_link_stay(tmp_path: Path) -> None:
    real, link = tmp_path / "real.py", tmp_path / "__main__.py"
    real.write_text("old", encoding="utf-8")
    real.chmod(0o755)  # Windows keeps of it only whether the file may be written
    before = real.stat().st_mode
    link.symlink_to(real)
    replace_all({link: b"new"})
    assert (link.is_symlink(), real.read_bytes(), real.stat().st_mode) == (True, b"new", before)
