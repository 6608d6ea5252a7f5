#!/usr/bin/env python3
"""The whole provider on the real Pulumi CLI, no cloud account.

    scripts/demo.py        a pool upgraded, changed behind Pulumi's back, and brought back: about a minute
    scripts/demo.py vm     a VM pool whose busy nodes are renewed without a task lost: half a minute
    scripts/demo.py empty  a pinned VM pool that is emptied, gets another version and goes back: half a minute

`make demo`, `make demo-vm` and `make demo-empty` call it. Without make, as on Windows (`py scripts/demo.py`), it first
sets up what it needs. Everything it makes (a simulated Batch account, a Pulumi home, a state file, a copy of the
example project) lives in one temporary folder and ends with it, also on ^C.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts import environments
from scripts.environments import IS_WINDOWS, ROOT

BIN = environments.programs(ROOT / ".venv")

POOL = "render"
BEFORE = "WA-GUEST-OS-7.57_202510-01"
TARGET = "WA-GUEST-OS-7.58_202511-01"
SINCE = "2024-05-14"  # the day of the newer image in the account of the example
PINNED_BEFORE, PINNED = "8.7.2024042601", "8.7.2026071401"
REVERT = ("pulumi", "config", "set", "targetImageVersion", PINNED_BEFORE)

ON_TERMINAL = sys.stdout.isatty()
TEST = "py scripts/test.py" if IS_WINDOWS else "make test"
COLOUR = ON_TERMINAL and "NO_COLOR" not in os.environ


class Terminated(KeyboardInterrupt):
    """SIGTERM, which ends the demo as cleanly as ^C."""


class DemoError(Exception):
    """The demo cannot go on; the text says why and what to do."""


class Account(TypedDict):
    """The simulator's first line, where it is and how to sign, and how many tasks it began with."""

    endpoint: str
    account: str
    key: str
    control: str
    tasks: int


# ── What is said ─────────────────────────────────────────────────────────────────────────────────────────────────────


def style(code: str, text: str) -> str:
    """Colour for a terminal, plain text for a log."""
    return f"\033[{code}m{text}\033[0m" if COLOUR else text


def step(place: str, text: str) -> None:
    """Say what the next step is about to do."""
    print(f"\n{style('1', f'[{place}] {text}')}", flush=True)


def show(command: list[str]) -> None:
    """Show a command as a user would type it."""
    print(style("36", f"$ {shlex.join(command)}"), flush=True)


# ── What is run ──────────────────────────────────────────────────────────────────────────────────────────────────────


def end(process: subprocess.Popen[str], first: int | None, patience: float) -> None:
    """End a process: send `first`, if it is a signal, and kill the process after `patience` seconds.

    Windows has no signal for another process; there the process is ended at once.
    """
    if process.poll() is None:
        if first is not None and IS_WINDOWS:
            process.terminate()
        elif first is not None:
            process.send_signal(first)
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextlib.contextmanager
def simulator(story: Story, environment: dict[str, str]) -> Iterator[Account]:
    """A simulated Batch account on a free port; out of reach of ^C, so that Pulumi can still finish its last call."""
    process = subprocess.Popen(
        [environments.program(BIN.parent, "batch-simulator"), "--seed", story.seed, "--speed", str(story.speed)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        encoding="utf-8",
        start_new_session=not IS_WINDOWS,
        creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),  # the same on Windows
    )
    try:
        hello = process.stdout.readline() if process.stdout else ""
        if not hello:
            raise DemoError(f"the simulator did not start; see: {BIN / 'batch-simulator'} --seed {story.seed}")
        jobs = json.loads(story.seed.read_text(encoding="utf-8"))["jobs"]
        account: Account = json.loads(hello)
        account["tasks"] = sum(len(job["tasks"]) for job in jobs)
        yield account
    finally:
        end(process, signal.SIGTERM, 5)


class Shell:
    """Runs commands in the copy of the example project, as a user would in a terminal."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self.environment = environment

    def resolved(self, command: tuple[str, ...]) -> list[str]:
        """The command with the path of its program: Windows would search the PATH of this process."""
        return [shutil.which(command[0], path=self.environment["PATH"]) or command[0], *command[1:]]

    def quietly(self, *command: str) -> None:
        """Run a command of the preparation; its output shows only if it fails."""
        done = subprocess.run(
            self.resolved(command),
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
        if done.returncode != 0:
            raise DemoError(f"{shlex.join(command)} failed:\n{done.stdout}{done.stderr}")

    def pulumi(self, *command: str) -> None:
        """A Pulumi command; without a terminal, Pulumi's progress dots are off."""
        self.run("pulumi", *command, *([] if ON_TERMINAL else ["--suppress-progress"]), shown=["pulumi", *command])

    def run(self, *command: str, shown: list[str]) -> None:
        """A step: the command as a user would type it, then its output."""
        show(shown)
        process = subprocess.Popen(self.resolved(command), cwd=self.folder, env=self.environment, encoding="utf-8")
        try:
            code = process.wait()
        except KeyboardInterrupt as interrupt:
            # On a terminal Pulumi got the ^C too, and a second one would make it drop the update.
            heard = ON_TERMINAL and not isinstance(interrupt, Terminated)
            end(process, None if heard else signal.SIGINT, 20)
            raise
        if code != 0:
            raise DemoError(f"{shlex.join(command)} ended with {code}")


def environment_for(scratch: Path, pulumi: str) -> dict[str, str]:
    """The user's environment without other Pulumi settings; all files of the demo are in the scratch folder."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PULUMI_", "AZURE_BATCH_")) and name not in {"PYTHONHOME", "PYTHONPATH"}
    }
    kept.update(
        PATH=os.pathsep.join([str(BIN), pulumi, os.environ["PATH"]]),
        VIRTUAL_ENV=str(BIN.parent),
        NO_PROXY=",".join(filter(None, [os.environ.get("NO_PROXY"), "127.0.0.1,localhost"])),
        PULUMI_HOME=str(scratch / "home"),
        PULUMI_BACKEND_URL=f"file://{(scratch / 'state').as_posix()}",
        PULUMI_CONFIG_PASSPHRASE="",
        PULUMI_SKIP_UPDATE_CHECK="true",
    )
    kept["no_proxy"] = kept["NO_PROXY"]
    return kept


def pulumi_directory() -> str:
    """Where the Pulumi CLI is; `make demo` has installed it if there was none."""
    command = [sys.executable, str(ROOT / "scripts" / "pulumi_cli.py")]
    found = subprocess.run(command, stdout=subprocess.PIPE, encoding="utf-8", check=False)
    if found.returncode != 0:
        raise DemoError("the demo needs the Pulumi CLI; see the lines above")
    return found.stdout.strip()


# ── The stories ──────────────────────────────────────────────────────────────────────────────────────────────────────


def run_upgrade(shell: Shell, account: Account) -> None:
    """A Cloud Services pool: six steps, each announced before it runs."""
    step("1/6", f"What would Pulumi do? Six busy nodes run {BEFORE}; the program declares {TARGET}.")
    shell.pulumi("preview")

    step("2/6", "Do it. Batch upgrades a few nodes at a time; the row of the resource shows the progress.")
    shell.pulumi("up", "--yes", "--skip-preview")

    step("3/6", f"A script changes the pool behind Pulumi's back: it returns the pool to {BEFORE}.")
    script = [str(ROOT / "examples" / "upgradeos.py"), account["endpoint"], POOL, BEFORE]
    shell.run("python", *script, shown=["python", "examples/upgradeos.py", *script[1:]])

    step("4/6", "Refresh: Pulumi reads the real version of the pool. The pool does not change.")
    shell.pulumi("refresh", "--yes", "--skip-preview", "--diff")

    step("5/6", "The drift is now a plain line in the preview, seen => declared.")
    shell.pulumi("preview", "--diff")

    step("6/6", "Bring the pool back to what the program declares.")
    shell.pulumi("up", "--yes", "--skip-preview")
    print(tasks_of(account))


def run_renewal(shell: Shell, account: Account) -> None:
    """A VM pool: three steps."""
    step("1/3", f"Four busy nodes were allocated before {SINCE}, which the program declares. What would Pulumi do?")
    shell.pulumi("preview")

    step(
        "2/3",
        "Do it: add two nodes, check them, remove two old ones after their tasks; repeat; the pool keeps its size.",
    )
    shell.pulumi("up", "--yes", "--skip-preview")

    step("3/3", "Preview again, with a refresh of the pool: no change is left.")
    shell.pulumi("preview", "--refresh", "--diff")
    print(tasks_of(account))


def run_emptying(shell: Shell, account: Account) -> None:
    """A pinned VM pool with a formula: four steps, there and back."""
    step("1/4", f"Three busy nodes run {PINNED_BEFORE}; the program declares {PINNED}. What would Pulumi do?")
    shell.pulumi("preview")

    step("2/4", "Do it: hold the formula, let the tasks finish, change the image, prove one node, fill the pool.")
    shell.pulumi("up", "--yes", "--skip-preview")

    step("3/4", "The pull request is reverted. On a pinned pool that is a real way back.")
    shell.run(*REVERT, shown=[*REVERT])
    shell.pulumi("up", "--yes", "--skip-preview")

    step("4/4", "Preview again, with a refresh of the pool: no change is left.")
    shell.pulumi("preview", "--refresh", "--diff")
    print(tasks_of(account))


@dataclass(frozen=True)
class Story:
    """One story: a program and an account of examples/, and the function that runs its steps."""

    folder: str
    config: dict[str, str]
    speed: int
    run: Callable[[Shell, Account], None]

    @property
    def seed(self) -> Path:
        """The account that it begins with."""
        return ROOT / "examples" / self.folder / "account.json"

    @property
    def has_project(self) -> bool:
        """Whether the example has its own Pulumi.yaml; the one at the root belongs to the quickstart."""
        return (ROOT / "examples" / self.folder / "Pulumi.yaml").exists()


STORIES = {
    # Simulated seconds a second: six nodes take about seven seconds; two rounds of the renewal take about ten.
    "upgrade": Story("quickstart", {"targetOsVersion": TARGET}, 30, run_upgrade),
    "vm": Story("vm_pool", {"nodesSince": SINCE}, 60, run_renewal),
    "empty": Story("emptied_pool", {"targetImageVersion": PINNED}, 60, run_emptying),
}


def tasks_of(account: Account) -> str:
    """Describe the state of the pool's tasks after the story."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(f"{account['control']}/state", timeout=60) as answer:
        tasks = [task for job in json.load(answer)["jobs"] for task in job["tasks"]]
    again = sum(task.get("executionInfo", {}).get("requeueCount", 0) for task in tasks)
    states = Counter(task["state"] for task in tasks)
    counts = f"{states['completed']} completed, {states['running']} running, {states['active']} queued"
    lost = account["tasks"] - len(tasks)
    return f"The pool's tasks: {counts}. Running ones put back in the queue: {again}; tasks lost: {lost}."


def farewell(story: Story, seconds: float, pulumi: str) -> None:
    """What the user can try now."""
    path = [str(BIN.relative_to(ROOT)), *([] if shutil.which("pulumi") else [pulumi])]
    print(f"""
{style("1", f"Done in {seconds:.0f} s; nothing is left running.")} To try it by hand, start an account here:

  {Path(path[0]) / "batch-simulator"} --speed {story.speed} --seed examples/{story.folder}/account.json

and in a second terminal paste the lines that it prints, then:

{by_hand(story, path, is_windows=IS_WINDOWS)}

The program is examples/{story.folder}/__main__.py. `{TEST}` runs every check there is.""")


def by_hand(story: Story, path: list[str], *, is_windows: bool) -> str:
    """The lines to paste: for PowerShell on Windows, for a POSIX shell elsewhere."""
    settings = {"accountEndpoint": "$ENDPOINT", **story.config}
    if is_windows:
        settings["accountEndpoint"] = "$env:ENDPOINT"
        lines = [
            f'$env:PATH = "$PWD\\{";".join(path)};$env:PATH"',
            "$env:PULUMI_BACKEND_URL = 'file://~'; $env:PULUMI_CONFIG_PASSPHRASE = 'demo'",
        ]
    else:
        lines = [f'export PATH="$PWD/{":".join(path)}:$PATH" PULUMI_BACKEND_URL=file://~ PULUMI_CONFIG_PASSPHRASE=']
    if story.has_project:
        lines.append(f"cd examples/{story.folder}")
    lines += ["pulumi stack init dev", *(f"pulumi config set {key} {value}" for key, value in settings.items())]
    return "\n".join(f"  {line}" for line in [*lines, "pulumi up"])


def stop(_signal: int, _frame: FrameType | None) -> None:
    """Handle SIGTERM like ^C."""
    raise Terminated


def main() -> int:
    """Prepare, run the story, clean up."""
    (name, *rest) = sys.argv[1:] or ["upgrade"]
    story = STORIES.get(name)
    if story is None or rest:
        print(__doc__, file=sys.stderr)
        return 2
    environments.enter(__file__, sys.argv[1:])
    signal.signal(signal.SIGTERM, stop)
    try:
        with ExitStack() as ending:
            pulumi = pulumi_directory()
            started = time.monotonic()
            scratch = Path(ending.enter_context(tempfile.TemporaryDirectory(prefix="batch-os-demo-")))
            project = scratch / "project"
            (scratch / "state").mkdir()
            project.mkdir()
            folder = Path("examples") / story.folder
            shutil.copytree(ROOT / folder, project / folder)
            if not story.has_project:
                shutil.copy(ROOT / "Pulumi.yaml", project)
                folder = Path()

            environment = environment_for(scratch, pulumi)
            account = ending.enter_context(simulator(story, environment))
            environment.update(AZURE_BATCH_ACCOUNT=account["account"], AZURE_BATCH_ACCESS_KEY=account["key"])
            print(f"A simulated Batch account at {account['endpoint']}; {story.speed} of its seconds take one here.")

            shell = Shell(project / folder, environment)
            shell.quietly("pulumi", "stack", "init", "demo")
            for key, value in {"accountEndpoint": account["endpoint"], **story.config}.items():
                shell.quietly("pulumi", "config", "set", key, value)
            story.run(shell, account)
        farewell(story, time.monotonic() - started, pulumi)
    except DemoError as error:
        print(f"\nerror: {error}\nNothing is left running.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped; nothing is left running.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
