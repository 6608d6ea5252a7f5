"""Write every output shown in README.md and docs/ from a real run.

    .venv/bin/python -m scripts.docs            rewrite the blocks in place
    .venv/bin/python -m scripts.docs --check    change nothing; exit with 1 and a diff where a block is out of date

`<!-- output: NAME -->` before a fenced block, and `<!-- table: NAME -->` before a table, mark what belongs to this
script. The outputs are those of small scenarios on the real Pulumi CLI against simulators, side by side.

What is not what the terminal showed: ports, request ids, times of day and the project's name have fixed values, a
line that repeats the one before it is left out, and long lines are wrapped. Durations are real ones, of the run
that wrote the block; a run that differs in nothing but durations leaves the block as it is.
"""

from __future__ import annotations

import difflib
import os
import re
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from scripts.docs.ground import Ground
from scripts.docs.pages import BLOCK, GRID, PAGES, ROOT, Outputs, same
from scripts.docs.scenarios_newer import newer
from scripts.docs.scenarios_os import (
    deferred,
    federated,
    fleet,
    interrupted,
    killed,
    main_road,
    previewed,
    proxied,
    refused,
    removed,
    unchecked,
    unhealthy,
)
from scripts.docs.scenarios_tools import commanded, levers, misread, newcomer, probed, reviewed, words
from scripts.docs.scenarios_vm import failed_renewals, refused_renewals, renewed_pool
from scripts.docs.tables import TABLES
from tests.support import fork_server
from tests.support.stack import make_template

SCENARIOS: tuple[Callable[[Ground], Outputs], ...] = (
    renewed_pool,
    probed,
    failed_renewals,
    refused_renewals,
    refused,
    interrupted,
    fleet,
    unhealthy,
    deferred,
    newcomer,
    newer,
    main_road,
    previewed,
    killed,
    removed,
    unchecked,
    proxied,
    federated,
    misread,
    levers,
    reviewed,
    commanded,
    words,
)
STARTED_AS_BY_USERS = (interrupted, killed)
"""Scenarios in which no process comes from a fork server."""


def play(scenario: Callable[[Ground], Outputs], template: Path, folder: Path, forks: str) -> Outputs:
    """Run one scenario. ``forks`` is the address of a fork server."""
    own = "" if scenario in STARTED_AS_BY_USERS else forks
    with ExitStack() as ending:
        return scenario(Ground(ending, template, folder / scenario.__name__, own))


def play_all() -> tuple[Outputs, list[str]]:
    """Run all of them; return the outputs and the failures."""
    outputs: Outputs = {}
    troubles: list[str] = []
    with tempfile.TemporaryDirectory(prefix="batch-os-docs-") as scratch, ThreadPoolExecutor(len(SCENARIOS)) as pool:
        folder = Path(scratch)
        template = make_template(folder / "template", has_vault=True)
        forks = fork_server.address()
        running = {each.__name__: pool.submit(play, each, template, folder, forks) for each in SCENARIOS}
        for name, future in running.items():
            try:
                outputs |= future.result()
            except Exception:  # noqa: BLE001 - the others' outputs are still worth having
                troubles.append(f"scenario {name} failed:\n{traceback.format_exc()}")
    return outputs, troubles


def renewed(page: str, pattern: re.Pattern[str], texts: Mapping[str, str], used: set[str]) -> str:
    """A page with the marked parts that have changed."""

    def renew(match: re.Match[str]) -> str:
        name, old = match["name"], match["text"]
        used.add(name)
        new = texts.get(name, old)
        return name + match["open"] + (old if same(old, new) else new)

    return pattern.sub(renew, page)


def write(pages: Iterable[Path], outputs: Outputs, *, check: bool) -> list[str]:
    """Update the pages, or return the differences (`check`); unknown and unused names of marks are findings too."""
    tables = {name: make() for name, make in TABLES.items()}
    used: set[str] = set()
    findings = []
    for page in pages:
        old = page.read_text(encoding="utf-8")
        new = renewed(renewed(old, BLOCK, outputs, used), GRID, tables, used)
        if new == old:
            continue
        name = str(page.relative_to(ROOT))
        if check:
            wanted = f"{name} as it should be"
            findings += ["\n".join(difflib.unified_diff(old.splitlines(), new.splitlines(), name, wanted, lineterm=""))]
        else:
            page.write_text(new, encoding="utf-8")
            print(f"renewed: {name}")
    findings += [f"no scenario makes the output {name!r}" for name in sorted(used - outputs.keys() - tables.keys())]
    findings += [f"no page shows the output {name!r}" for name in sorted((outputs.keys() | tables.keys()) - used)]
    return findings


def main() -> int:
    """Rewrite or check."""
    check = sys.argv[1:] == ["--check"]
    if sys.argv[1:] and not check:
        print(__doc__, file=sys.stderr)
        return 2
    if "BATCH_OS_TEST_PULUMI" not in os.environ:
        command = [sys.executable, str(ROOT / "scripts" / "pulumi_cli.py")]
        found = subprocess.run(command, stdout=subprocess.PIPE, encoding="utf-8", check=True)
        os.environ["BATCH_OS_TEST_PULUMI"] = found.stdout.strip()
    outputs, troubles = play_all()
    findings = troubles or write(PAGES, outputs, check=check)
    for finding in findings:
        print(finding, file=sys.stderr)
    if findings and check:
        print("\nThe pages are out of date.\nNext: Update them with .venv/bin/python -m scripts.docs", file=sys.stderr)
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
