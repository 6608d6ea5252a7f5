"""A stack on the real Pulumi CLI, with a state, a home and a folder of its own.

Nothing is shared between two stacks but the CLI's binary, so any number of them run side by
side. The stack is made by copying a template that `pulumi stack init` wrote once.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING, Any

from batch_os_provider.schema.spelling import in_core
from tests.support import doors, fork_server, processes, vault
from tests.support.doors import DYNAMIC, HEAD, Door, Resource, image_version, os_version
from tests.support.interrupts import without_interrupts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import pytest

    from tests.support.simulator import Simulator

PROJECT = doors.PROJECT
STACK = "dev"
TYPE = DYNAMIC.type_of("PoolOsVersion")
IMAGE_TYPE = DYNAMIC.type_of("PoolImageVersion")
COMMAND_TIMEOUT = 120
"""Seconds for a command to end. It ends a test that hangs. It does not measure speed."""
LAUNCHERS = "bin"
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class Result:
    """What a command said and how it ended."""

    code: int
    text: str
    seconds: float

    def ok(self) -> Result:
        """Assert that it succeeded, showing all it said otherwise."""
        assert self.code == 0, self.text
        return self

    def failed(self) -> Result:
        """Assert that it failed, with words and not with a traceback (but for the language host's own interrupt)."""
        assert self.code != 0, self.text
        assert "Traceback (most recent call last)" not in without_interrupts(self.text), self.text
        return self

    @property
    def flat(self) -> str:
        """The text with all white space as single blanks: Pulumi wraps and indents."""
        return " ".join(self.text.split())


def names_of_pending(deployment: Mapping[str, Any]) -> set[str]:
    """The names of the resources of pending operations."""
    return {each["resource"]["urn"].rpartition("::")[2] for each in deployment.get("pending_operations") or ()}


def waits_for_nodes(text: str) -> bool:
    """Whether an `up` that said this waits for nodes. A preview of a join counts nodes too, but no time."""
    return re.search(r"nodes back, \d+s", text) is not None


@dataclass
class Running:
    """A command under way."""

    process: subprocess.Popen[str]
    log: Path
    command: str
    started: float = field(default_factory=time.monotonic)

    @property
    def text(self) -> str:
        """What it has said so far."""
        return _COLOURS.sub("", self.log.read_text(encoding="utf-8", errors="replace"))

    @property
    def waits(self) -> bool:
        """Whether it is an `up` that waits for nodes."""
        return waits_for_nodes(self.text)

    def interrupt(self) -> None:
        """^C."""
        self.process.send_signal(signal.SIGINT)

    def kill(self) -> None:
        """kill -9 of the CLI alone."""
        self.process.kill()
        self.process.wait(COMMAND_TIMEOUT)

    def wait(self, seconds: float = COMMAND_TIMEOUT) -> Result:
        """Wait for its end."""
        code = self.process.wait(seconds)
        return Result(code, self.text, time.monotonic() - self.started)


class Stack:
    """One stack in a folder of its own."""

    def __init__(self, folder: Path, template: Path, environment: Mapping[str, str], door: Door = DYNAMIC) -> None:
        shutil.copytree(template, folder)
        self.door = door
        self.folder = folder
        self.program_folder = folder / "program"
        self.environment = {**base_environment(folder), **environment}
        self._started: list[Running] = []

    def program(self, text: str) -> None:
        """Write a program in Python; pulumi and both resources are imported for it."""
        assert self.door is DYNAMIC, "a program for both doors is a list of resources"
        (self.program_folder / "__main__.py").write_text(HEAD + dedent(text), encoding="utf-8")

    def write(self, *resources: Resource, outputs: Mapping[str, tuple[str, str]] | None = None) -> None:
        """Write the program of these resources, in the language of the stack's door."""
        self.door.write(self.program_folder, resources, outputs or {})

    def declare(self, simulator: Simulator, target: str, *, name: str = "render", **inputs: Any) -> None:
        """Write a program that declares one pool."""
        declared = {
            "account_endpoint": simulator.endpoint,
            "pool_id": "render",
            "target_os_version": target,
            **inputs,
        }
        self.write(os_version(name, **declared))

    def declare_images(self, simulator: Simulator, target: str, **pools: Mapping[str, Any]) -> None:
        """Write a program that declares VM pools by their ids; strategy is surge where nothing else is given."""
        resources = []
        for pool_id, inputs in pools.items():
            declared = {
                "account_endpoint": simulator.endpoint,
                "pool_id": pool_id,
                **({} if "nodes_since" in inputs else {"target_image_version": target}),
                "strategy": "surge",
                **inputs,
            }
            resources.append(image_version(pool_id, **declared))
        self.write(*resources)

    def start(self, *arguments: str) -> Running:
        """Start a command."""
        log = self.folder / f"log-{len(self._started) + 1}.txt"
        with log.open("w", encoding="utf-8") as output:
            process = subprocess.Popen(  # noqa: S603 - the Pulumi CLI
                ["pulumi", *arguments, "--non-interactive", "--color", "never"],  # noqa: S607 - on the PATH we made
                cwd=self.program_folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                text=True,
                # A group of its own, so that whatever it leaves behind can be found and ended.
                start_new_session=True,
            )
        running = Running(process, log, " ".join(arguments))
        self._started.append(running)
        return running

    def run(self, *arguments: str, seconds: float = COMMAND_TIMEOUT) -> Result:
        """Run a command to its end."""
        return self.start(*arguments).wait(seconds)

    def preview(self, *arguments: str) -> Result:
        """`pulumi preview`, with every property of what changes."""
        return self.run("preview", "--diff", *arguments)

    def up(self, *arguments: str) -> Result:
        """`pulumi up` without its own preview."""
        return self.run("up", "--yes", "--skip-preview", *arguments)

    def start_up(self, *arguments: str) -> Running:
        """`pulumi up` without its own preview, under way."""
        return self.start("up", "--yes", "--skip-preview", *arguments)

    def refresh(self, *arguments: str) -> Result:
        """`pulumi refresh`."""
        return self.run("refresh", "--yes", "--skip-preview", "--diff", *arguments)

    @property
    def state_file(self) -> Path:
        """Where the backend keeps the state."""
        return self.folder / "state" / ".pulumi" / "stacks" / PROJECT / f"{STACK}.json"

    def steps(self) -> list[dict[str, Any]]:
        """The steps of `preview --json` for our resources."""
        process = subprocess.run(
            ["pulumi", "preview", "--json", "--non-interactive"],  # noqa: S607 - on the PATH we made
            cwd=self.program_folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT,
            check=False,
        )
        assert process.returncode == 0, process.stdout + process.stderr
        steps: list[dict[str, Any]] = json.loads(process.stdout)["steps"]
        return [step for step in steps if any(each in step["urn"] for each in self.door.types)]

    def deployment(self) -> dict[str, Any]:
        """The state, read from the backend's file: `pulumi stack export` costs a tenth of an `up`."""
        latest: dict[str, Any] | None = json.loads(self.state_file.read_text(encoding="utf-8"))["checkpoint"]["latest"]
        return latest or {}

    def resources(self) -> list[dict[str, Any]]:
        """Our resources in the state."""
        return [each for each in self.deployment().get("resources", ()) if each["type"] in self.door.types]

    def outputs(self) -> dict[str, Any]:
        """The outputs of our only resource, without the provider's pickle."""
        (outputs,) = self.all_outputs().values()
        return outputs

    def all_outputs(self) -> dict[str, dict[str, Any]]:
        """The outputs of our resources by pool id, with the names of Python and without the provider's pickle."""
        found = [in_core(each["outputs"]) for each in self.resources()]
        return {each["pool_id"]: {key: each[key] for key in each if key != "__provider"} for each in found}

    def plugins(self) -> list[int]:
        """Processes of this stack's providers that are alive, by their environment."""
        return processes.marked(self._mark, self.door.process)

    def kill_plugins(self) -> list[int]:
        """kill -9 of this stack's providers; those that were found."""
        return processes.kill(self._mark, self.door.process)

    def end(self) -> None:
        """End whatever a test has left running."""
        processes.kill(self._mark)
        for running in self._started:
            # A process without a wait for its end would become a warning in another test.
            running.process.wait(COMMAND_TIMEOUT)

    @property
    def _mark(self) -> str:
        return f"BATCH_OS_TEST_STACK={self.folder}"

    def said(self) -> list[tuple[str, str]]:
        """Each command of this stack, and the text that it has written."""
        return [(f"pulumi {running.command}", running.text) for running in self._started]


def base_environment(folder: Path) -> dict[str, str]:
    """A clean environment: the tests' own Python and Pulumi first, nothing of the user's Pulumi or Azure."""
    first = [str(folder / LAUNCHERS), str(Path(sys.executable).parent), os.environ["BATCH_OS_TEST_PULUMI"]]
    path = os.pathsep.join([*first, os.environ["PATH"]])
    return {
        "PATH": path,
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "PULUMI_HOME": str(folder / "home"),
        "PULUMI_BACKEND_URL": f"file://{folder / 'state'}",
        "PULUMI_CONFIG_PASSPHRASE": "test",
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        # Pulumi's language host lists packages with pip, which would look for a newer pip each time.
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        # A CLI that lives for seconds needs few garbage collections: this saves a tenth of a preview's processor time.
        "GOGC": "400",
        "PYTHONPATH": fork_server.SHORT_LIVED,
        "PULUMI_STACK": STACK,
        "BATCH_OS_TEST_STACK": str(folder),
    }


def make_template(folder: Path, *, has_vault: bool = False) -> Path:
    """A project with a stack that has never been deployed. Its secrets have a passphrase, or the stand-in for Vault."""
    for name in ("home", "state", "program"):
        (folder / name).mkdir(parents=True)
    write_launchers(folder / LAUNCHERS)
    (folder / "program" / "Pulumi.yaml").write_text(f"name: {PROJECT}\nruntime: python\n", encoding="utf-8")
    environment = {**base_environment(folder), **(vault.environment() if has_vault else {})}
    del environment["PULUMI_STACK"]
    provider = ("--secrets-provider", vault.PROVIDER) if has_vault else ()
    subprocess.run(  # noqa: S603 - the Pulumi CLI
        ["pulumi", "stack", "init", STACK, "--non-interactive", *provider],  # noqa: S607 - on the PATH we made
        cwd=folder / "program",
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
        timeout=COMMAND_TIMEOUT,
    )
    return folder


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder that the first worker of a test run makes for all of them."""
    import fcntl  # noqa: PLC0415 - Windows lacks it, and tests that run there import this module

    own = factory.getbasetemp()
    root = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    with (root / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        folder = root / name
        if not folder.exists():
            make(root / f"{name}.new")
            (root / f"{name}.new").rename(folder)
    return folder


def write_launchers(folder: Path) -> None:
    """Write a ``python3`` that gives pip's list of packages again, and otherwise is the tests' own Python.

    It and the project's programs beside it ask the fork server of the stack, if there is one.

    The language host asks for that list before each operation, which is a third of the processor time of a preview.
    The list is pip's real answer; packages do not change while tests run.
    """
    folder.mkdir(parents=True)
    asked = ("-m", "pip", "list", "-v", "--format", "json")
    answer = subprocess.run([sys.executable, *asked], capture_output=True, check=True, timeout=COMMAND_TIMEOUT)  # noqa: S603 - pip
    (folder / "packages.json").write_bytes(answer.stdout)
    launcher = folder / "python3"
    launcher.write_text(
        "#!/bin/sh\n"
        f'[ "$*" = "{" ".join(asked)}" ] && exec cat "${{0%/*}}/packages.json"\n'
        f'{fork_server.python_lines()}exec "{sys.executable}" "$@"\n',
        encoding="utf-8",
    )
    launcher.chmod(0o755)
    fork_server.write_programs(folder)


def wait_until(condition: Callable[[], object], what: str, seconds: float = COMMAND_TIMEOUT) -> None:
    """Wait for something that another process will do; fail with words if it does not.

    The limit ends a test that hangs. It does not measure speed: a loaded machine may need a minute for any step. Give a
    shorter one only where something else would end the wait before the default.
    """
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, f"did not happen within {seconds:g} s: {what}"
        time.sleep(0.05)  # another process is at work, which takes no clock of ours
