"""Programs given to the Automation API as functions: many run in one process, which outlives them."""

from __future__ import annotations

import json
import subprocess
import sys
from textwrap import dedent
from typing import TYPE_CHECKING

from tests.support.simulator import NEW, Simulator, paas_pool
from tests.support.stack import COMMAND_TIMEOUT, PROJECT, STACK

if TYPE_CHECKING:
    from tests.support.stack import Stack

DRIVER = """
    import json, sys
    from pulumi import automation
    from batch_os_provider import PoolOsVersion

    endpoint, target, project, name = sys.argv[1:]
    pools = 0

    def program():
        for number in range(pools):
            PoolOsVersion(f"p{number}", account_endpoint=endpoint, pool_id=f"p{number}", target_os_version=target)

    stack = automation.create_or_select_stack(name, project_name=project, program=program)
    said = []
    for pools in (3, 2, 4):
        said.append([])

        def hear(event):
            if event.diagnostic_event and "--parallel" in event.diagnostic_event.message:
                said[-1].append(event.diagnostic_event.message.strip())

        stack.preview(parallel=2, on_event=hear)
    print(json.dumps(said))
"""


def test_each_preview_tells_its_own_count_once(sim: Simulator, stack: Stack) -> None:
    sim.pools(*(paas_pool(f"p{number}") for number in range(4)))
    driver = stack.folder / "driver.py"
    driver.write_text(dedent(DRIVER), encoding="utf-8")
    done = subprocess.run(  # noqa: S603 - ours
        [sys.executable, str(driver), sim.endpoint, NEW, PROJECT, STACK],
        cwd=stack.folder,
        env=stack.environment,
        capture_output=True,
        text=True,
        timeout=COMMAND_TIMEOUT,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == [
        ["3 pools change, but the engine runs 2 steps at once; pass --parallel 3"],
        [],
        ["4 pools change, but the engine runs 2 steps at once; pass --parallel 4"],
    ]
    assert "Task was destroyed" not in done.stderr
