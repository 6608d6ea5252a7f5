"""Write the state that this version leaves behind, for the tests of later versions: tests/cli/states/VERSION.json."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from scripts import project, pulumi_cli
from tests.cli.releases.test_older_states import ENDPOINT, PROGRAM
from tests.support.simulator import NEW, TARGET, paas_pool, running, vm_pool
from tests.support.stack import Stack, make_template

OF_A_MACHINE = ("sourcePosition", "stackTrace")


def state(folder: Path) -> dict[str, Any]:
    """What `pulumi stack export` gives after an `up` of ``PROGRAM``, without what belongs to this machine."""
    os.environ["BATCH_OS_TEST_PULUMI"] = str(pulumi_cli.find_or_install())
    with contextmanager(running)() as simulator:
        simulator.seed(paas_pool(current=NEW), vm_pool("frames", exact=TARGET))
        stack = Stack(folder / "stack", make_template(folder / "template"), simulator.environment)
        try:
            stack.program(PROGRAM.format(endpoint=simulator.endpoint, target=NEW, image=TARGET))
            stack.up().ok()
            exported = stack.folder / "exported.json"
            stack.run("stack", "export", "--file", str(exported)).ok()
        finally:
            stack.end()
        found: dict[str, Any] = json.loads(exported.read_text(encoding="utf-8").replace(simulator.endpoint, ENDPOINT))
    for resource in found["deployment"]["resources"]:
        for key in OF_A_MACHINE:
            resource.pop(key, None)
    return found


def main() -> int:
    """Write the file. A release changes no file of another one, nor its own if it was made before."""
    file = project.ROOT / "tests" / "cli" / "states" / f"{project.version()}.json"
    if file.exists():
        print(f"{file.name} is there: kept")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        file.write_text(json.dumps(state(Path(folder)), indent=1) + "\n", encoding="utf-8")
    print(f"{file.name} written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
