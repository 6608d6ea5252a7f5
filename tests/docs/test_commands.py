"""The commands of the Makefile, of continuous integration and of CONTRIBUTING.md agree."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TOOLS = {"everything", "pulumi", "sdks", "actionlint"}  # parts of `make setup`, which no person types


def test_continuous_integration_runs_the_test_command_of_a_contributor():
    *_, last = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert last == "exec make test"
    assert re.search(r"^test: .*\n\t@\.venv/bin/python scripts/test\.py \$\(ARGS\)$", MAKEFILE, re.MULTILINE)
    assert "| `make test` |" in (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def test_help_lists_every_command():
    phony = re.search(r"^\.PHONY: (.+)$", MAKEFILE, re.MULTILINE)
    assert phony is not None
    done = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True)  # noqa: S607 - on PATH
    assert set(re.findall(r"^  make ([a-z-]+) ", done.stdout, re.MULTILINE)) == set(phony[1].split()) - TOOLS


def test_the_makefile_calls_scripts_that_exist():
    called = set(re.findall(r"\bscripts/[\w.]+", MAKEFILE))
    assert called
    assert [each for each in sorted(called) if not (ROOT / each).is_file()] == []
