"""Where scenarios run: simulators and stacks that end with them, and the versions that they speak of."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.support import fork_server, vault
from tests.support import simulator as simulators
from tests.support.simulator import Simulator
from tests.support.stack import Result, Stack, wait_until

FAMILY_5 = "WA-GUEST-OS-5.25_201811-01"
# Of a family that lives: for a retired one every preview warns, whatever it is about.
OLD, NEW = "WA-GUEST-OS-7.57_202510-01", "WA-GUEST-OS-7.58_202511-01"
AFTER_UP = ("--yes", "--skip-preview")
QUIET = "--suppress-progress"  # in a log Pulumi otherwise prints a dot now and then, to show that it lives


class Ground:
    """Simulators and stacks of one scenario, ended with it."""

    def __init__(self, ending: ExitStack, template: Path, folder: Path, forks: str) -> None:
        self._ending = ending
        self._environment = {fork_server.VARIABLE: forks, **vault.environment()}
        self._template = template
        self._folder = folder

    def simulator(self, *pools: Mapping[str, Any], tls: bool = False) -> Simulator:
        """A frozen one with these pools."""
        started = simulators.running_command(("--speed", "0", "--tls")) if tls else simulators.running()
        simulator = self._ending.enter_context(contextmanager(lambda: started)())
        simulator.pools(*pools)
        return simulator

    def nowhere(self) -> str:
        """The URL of an account that is not there."""
        return self._ending.enter_context(simulators.nowhere())

    def stack(self, simulator: Simulator, name: str = "stack", **environment: str) -> Stack:
        """A stack that is signed in to a simulator."""
        environment = {**simulator.environment, **self._environment, **environment}
        stack = Stack(self._folder / name, self._template, environment)
        self._ending.callback(stack.end)
        return stack


def roll(simulator: Simulator, stack: Stack, *options: str) -> Result:
    """`pulumi up` for a pool. Its nodes come back only after the row reported that none is back yet."""
    running = stack.start("up", *AFTER_UP, QUIET, *options)
    wait_until(lambda: running.waits or running.process.poll() is not None, "it waits")
    simulator.speed(30)
    result = running.wait().ok()
    simulator.speed(0)
    return result


def batch_os(stack: Stack, folder: Path, *arguments: str) -> str:
    """What a `batch-os` command prints on both streams, as the user of a stack."""
    done = subprocess.run(
        ["batch-os", *arguments],  # noqa: S607 - on the PATH of the stack
        cwd=folder,
        env=stack.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        check=False,
    )
    return done.stdout


def let_it_end(simulator: Simulator) -> None:
    """What runs in the account runs to its end."""
    simulator.advance(3600)


def paas_pool(pool_id: str = "render", *, nodes: int = 3, current: str = OLD, **changes: Any) -> dict[str, Any]:
    """A Cloud Services pool of the newest OS family."""
    versions = {"osFamily": "7", "targetOSVersion": current, "currentOSVersion": current}
    return simulators.paas_pool(pool_id, nodes=nodes, **{"cloudServiceConfiguration": versions, **changes})


def message_for_programs(stack: Stack, name: str) -> str:
    """What `pulumi preview --json` says of one resource, which ends in a tail."""
    text = stack.run("preview", "--json").ok().text
    messages = json.loads(text[text.index("{") :])["diagnostics"]
    return next(str(each["message"]) for each in messages if str(each.get("urn")).endswith(f"::{name}"))
