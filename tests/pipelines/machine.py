"""Runs the jobs of the pipelines in examples/pipelines, step by step, as their services would.

A step that is only ever read is a step that does not work. Every script runs as it stands in the file,
by the shell that the service takes, in a fresh copy of the repository, with the environment that the file declares.
What cannot run here, since it belongs to the service, is listed in ``STAND_INS``, with what takes its place.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.pipelines.servers import TOKEN
from tests.support import fork_server, processes
from tests.support.stack import COMMAND_TIMEOUT, LAUNCHERS, Result, base_environment, write_launchers

ROOT = Path(__file__).resolve().parents[2]
PIPELINES = ROOT / "examples" / "pipelines"
GITHUB = PIPELINES / "github"
AZURE_DEVOPS = PIPELINES / "azure-devops"
PROJECT = ROOT / "examples" / "promotion"
STEP_TIMEOUT = 240
INSTALLS = "-m pip install --requirement requirements.txt"
"""What the step that installs gives Python."""

STAND_INS = {
    "actions/checkout@v6": "a copy of the repository",
    "actions/setup-python@v6": "the Python that runs the tests",
    "pulumi/actions@v7": "the Pulumi CLI that runs the tests",
    "checkout: self": "a copy of the repository",
    "UsePythonVersion@0": "the Python that runs the tests",
    "AzureCLI@2": "its script, with the variables that it sets for its service connection",
}
"""What a service does itself, and what does it here."""

STACKS = ("dev", "stage", "prod")
MARK = "<!-- batch-os comment v1 -->"
ACCOUNT = "https://acme.westeurope.batch.azure.com"

GITHUB_CONTEXT = {
    "vars.AZURE_TENANT_ID": "tenant",
    "vars.AZURE_READER_CLIENT_ID": "batch-os-reader",
    "vars.AZURE_SUBSCRIPTION_ID": "",
    "vars.AZURE_WRITER_CLIENT_ID": "batch-os-writer",
    "vars.PULUMI_ORGANIZATION": "",
    "vars.PULUMI_BACKEND_URL": "",
    "secrets.PULUMI_ACCESS_TOKEN": "",
    "secrets.PULUMI_CONFIG_PASSPHRASE": "test",
    "github.token": TOKEN,
    "github.event.pull_request.number": "7",
}
"""What GitHub puts in the place of expressions. A variable or secret that is not set is empty."""

AZURE_CONTEXT = {"PULUMI_ACCESS_TOKEN": "secret", "System.AccessToken": TOKEN}
"""What Azure Pipelines puts in the place of macros."""

_EXPRESSION = re.compile(r"\$\{\{\s*(.*?)\s*\}\}")
_MACRO = re.compile(r"\$\(([\w.]+)\)")
_COMMAND = re.compile(r"^##vso\[task\.(\w+)[^\]]*\](.*)$", re.MULTILINE)
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class Step:
    """One step of a job: a script, or something that the service does (then ``script`` is empty)."""

    name: str
    script: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    shell: tuple[str, ...] = ()
    after_failure: bool = False
    service: str = ""
    connection: str = ""


@dataclass(frozen=True)
class Job:
    """A job as its file has it, all templates and called workflows put in."""

    name: str
    steps: tuple[Step, ...]
    minutes: int
    text: Mapping[str, Any]


def loaded(file: Path) -> Any:
    """A file with all scalars as text, which is how both services read them."""
    return yaml.load(file.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)  # noqa: S506 - it makes text only


# ── GitHub ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def github_jobs(name: str, context: Mapping[str, str], **inputs: str) -> list[Job]:
    """The jobs of a workflow, in order."""
    jobs = []
    known = {**context, **{f"inputs.{key}": value for key, value in inputs.items()}}
    for job_name, job in loaded(GITHUB / name)["jobs"].items():
        if "uses" in job:
            called = job["uses"].removeprefix("./.github/workflows/")
            jobs += github_jobs(called, context, **job.get("with", {}))
            continue
        assert job["defaults"]["run"]["shell"] == "bash", job_name
        steps = tuple(_github_step(step, filled(job.get("env", {}), known), known) for step in job["steps"])
        title = "-".join((*inputs.values(), job_name))
        jobs.append(Job(title, steps, int(job["timeout-minutes"]), job))
    return jobs


def _github_step(step: Mapping[str, Any], job_env: Mapping[str, str], known: Mapping[str, str]) -> Step:
    if "uses" in step:
        return Step(step["uses"], service=step["uses"])
    assert step.get("if") in (None, "${{ !cancelled() }}"), step["name"]
    # What `shell: bash` means, by GitHub's documentation.
    shell = ("bash", "--noprofile", "--norc", "-eo", "pipefail")
    env = {**job_env, **filled(step.get("env", {}), known)}
    return Step(step["name"], step["run"], env, shell, after_failure="if" in step)


def filled(env: Mapping[str, str], known: Mapping[str, str]) -> dict[str, str]:
    """An `env:` with its expressions' values."""
    return {key: _EXPRESSION.sub(lambda match: known[match[1]], value) for key, value in env.items()}


# ── Azure DevOps ─────────────────────────────────────────────────────────────────────────────────────────────────────


def azure_jobs(name: str, context: Mapping[str, str]) -> list[Job]:
    """The jobs of a pipeline, in order. ``context`` has what macros ask for, and the variables of the group."""
    pipeline = expanded(loaded(AZURE_DEVOPS / name))
    variables = {each["name"]: each["value"] for each in pipeline["variables"] if "name" in each}
    stages = pipeline.get("stages") or [{"stage": "", "jobs": pipeline["jobs"]}]
    jobs = []
    for stage in stages:
        for job in stage["jobs"]:
            steps = job.get("steps") or job["strategy"]["runOnce"]["deploy"]["steps"]
            title = "-".join(filter(None, (stage["stage"], job.get("job") or job["deployment"])))
            made = tuple(_azure_step(step, variables, context) for step in steps)
            jobs.append(Job(title, made, int(job["timeoutInMinutes"]), job))
    return jobs


def _azure_step(step: Mapping[str, Any], variables: Mapping[str, str], context: Mapping[str, str]) -> Step:
    if "checkout" in step:
        return Step("checkout", service=f"checkout: {step['checkout']}")
    inputs = step.get("inputs", {})
    script = step.get("bash") or inputs.get("inlineScript", "")
    if not script:
        return Step(step["task"], service=step["task"])
    assert step.get("condition") in (None, "succeededOrFailed()"), step["displayName"]
    env = {key: _MACRO.sub(lambda match: context[match[1]], value) for key, value in step.get("env", {}).items()}
    service = step.get("task", "")
    if service:
        assert (inputs["scriptType"], inputs["scriptLocation"]) == ("bash", "inlineScript"), step["displayName"]
    return Step(
        step["displayName"],
        script,
        {**variables, **env},
        ("bash", "--noprofile", "--norc"),  # neither -e nor pipefail: the scripts have to ask for them
        after_failure="condition" in step,
        service=service,
        connection=inputs.get("azureSubscription", ""),
    )


def expanded(node: Any, parameters: Mapping[str, str] | None = None) -> Any:
    """A pipeline with its templates put in their places."""
    known = {f"parameters.{key}": value for key, value in (parameters or {}).items()}
    if isinstance(node, str):
        return _EXPRESSION.sub(lambda match: known[match[1]], node)
    if isinstance(node, list):
        return [each for item in node for each in _expanded_item(item, parameters)]
    return {key: expanded(value, parameters) for key, value in node.items()}


def _expanded_item(item: Any, parameters: Mapping[str, str] | None) -> Iterator[Any]:
    if not isinstance(item, dict) or "template" not in item:
        yield expanded(item, parameters)
        return
    template = loaded(AZURE_DEVOPS / item["template"])
    given = expanded(item.get("parameters", {}), parameters)
    values = {each["name"]: given.get(each["name"], each.get("default")) for each in template["parameters"]}
    yield from expanded(template.get("steps") or template["stages"], values)


# ── Running ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass
class Ended:
    """How a job ended: what each script said, and what was put on the run's page."""

    results: dict[str, Result] = field(default_factory=dict)
    summary: str = ""

    @property
    def ok(self) -> bool:
        """Whether every step that ran succeeded."""
        return all(result.code == 0 for result in self.results.values())

    @property
    def text(self) -> str:
        """All it said."""
        return "\n".join(f"== {name} ({each.code})\n{each.text}" for name, each in self.results.items())


@dataclass
class Running:
    """A step under way."""

    process: subprocess.Popen[str]
    log: Path
    started: float

    @property
    def text(self) -> str:
        """What it has said so far."""
        return _COLOURS.sub("", self.log.read_text(encoding="utf-8", errors="replace"))

    def signal(self, number: signal.Signals) -> None:
        """Send its first process a signal, and no other."""
        self.process.send_signal(number)

    def wait(self) -> Result:
        """Wait for its end."""
        code = self.process.wait(STEP_TIMEOUT)
        return Result(code, self.text, time.monotonic() - self.started)


class Machine:
    """A build machine: a repository to check out, an environment, and who may be signed in.

    Args:
        folder: where all of it lives.
        template: what :func:`make_template` made, to begin with.
        identities: what signs in on GitHub, by client id: where a job asks for assertions and tokens.
        connections: what signs in on Azure DevOps, by service connection: where the step asks for assertions and
            tokens. The task AzureCLI says so, and the variables that a step sets are its own affair.
        forks: the address of the server from which Python processes come, if there is one.

    """

    def __init__(
        self,
        folder: Path,
        template: Path,
        identities: Mapping[str, Mapping[str, str]],
        connections: Mapping[str, Mapping[str, str]],
        forks: str = "",
    ) -> None:
        self.folder = folder
        self.repository = folder / "repository"
        self._identities = identities
        self._connections = connections
        shutil.copytree(template, folder)
        self.base = {**base_environment(folder), fork_server.VARIABLE: forks}
        # The pipelines set these themselves.
        for name in ("PULUMI_STACK", "PULUMI_BACKEND_URL", "PULUMI_CONFIG_PASSPHRASE"):
            del self.base[name]
        # The very step that installs runs, and finds everything in place: it must not need a network.
        offline = {"PIP_NO_INDEX": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "CI": "true"}
        self.environment = {**self.base, **offline}
        self._count = 0
        self._started: list[Running] = []

    def pulumi(self, *arguments: str) -> Result:
        """Run the CLI in the repository, as somebody who sets the stacks up."""
        self._count += 1
        log = self.folder / f"log-{self._count}.txt"
        env = {**self.environment, **self.base, "PULUMI_BACKEND_URL": self.backend, "PULUMI_CONFIG_PASSPHRASE": "test"}
        running = self._start(("pulumi", *arguments, "--non-interactive"), self.repository, env, log)
        return running.wait()

    @property
    def backend(self) -> str:
        """Where the stacks' state is."""
        return f"file://{self.folder / 'state'}"

    def configure(self, stack: str, **config: str) -> None:
        """Write a stack's configuration into the repository, as a person edits the file."""
        file = self.repository / f"Pulumi.{stack}.yaml"
        settings = loaded(file)
        project = loaded(self.repository / "Pulumi.yaml")["name"]
        settings["config"] |= {f"{project}:{key}": value for key, value in config.items()}
        file.write_text(yaml.safe_dump(settings), encoding="utf-8")

    def check_out(self, name: str) -> Path:
        """A fresh copy of the repository for a job."""
        self._count += 1
        workspace = self.folder / f"{name}-{self._count}"
        shutil.copytree(self.repository, workspace)
        return workspace

    def start(self, step: Step, workspace: Path, **changed: str) -> Running:
        """Start one step's script; ``changed`` are other values for variables that the file sets."""
        assert changed.keys() <= step.env.keys(), step.name
        self._count += 1
        script = self.folder / f"step-{self._count}.sh"
        script.write_text(step.script, encoding="utf-8")
        summary = {"GITHUB_STEP_SUMMARY": str(workspace.with_suffix(".summary"))}
        env = {**self.environment, **summary, **step.env, **changed}
        if step.connection:
            env |= self._connections[step.connection]
        if "ARM_CLIENT_ID" in env:
            env |= self._identities[env["ARM_CLIENT_ID"]]
        return self._start((*step.shell, str(script)), workspace, env, script.with_suffix(".log"))

    def run(self, job: Job, meanwhile: Mapping[str, Callable[[Running], None]] | None = None, **changed: str) -> Ended:
        """Run a job's steps in order; after a failure only those that want it.

        Args:
            job: the job.
            meanwhile: what happens while the step of that name runs.
            changed: other values for variables that the file sets.

        """
        workspace = self.check_out(job.name)
        path = self.environment["PATH"]
        ended = Ended()
        for step in job.steps:
            assert not step.service or step.service in STAND_INS, step.service
            if not step.script or not (ended.ok or step.after_failure):
                continue
            here = {key: value for key, value in changed.items() if key in step.env}
            running = self.start(step, workspace, **here)
            if meanwhile and step.name in meanwhile:
                meanwhile[step.name](running)
            result = running.wait()
            ended.results[step.name] = result
            for command, value in _COMMAND.findall(result.text):
                if command == "prependpath":
                    self.environment["PATH"] = value + os.pathsep + path
                elif command == "uploadsummary":
                    ended.summary += Path(value).read_text(encoding="utf-8")
        self.environment["PATH"] = path
        summary = workspace.with_suffix(".summary")
        ended.summary += summary.read_text(encoding="utf-8") if summary.exists() else ""
        return ended

    def plugins(self) -> list[int]:
        """The dynamic providers that are alive."""
        return processes.marked(self._mark, "pulumi.dynamic")

    def end(self) -> None:
        """End whatever a test has left running."""
        processes.kill(self._mark)
        for running in self._started:
            # A process without a wait for its end would become a warning in another test.
            running.process.wait(COMMAND_TIMEOUT)

    @property
    def _mark(self) -> str:
        return f"BATCH_OS_TEST_STACK={self.folder}"

    def _start(self, command: tuple[str, ...], folder: Path, env: Mapping[str, str], log: Path) -> Running:
        with log.open("w", encoding="utf-8") as output:
            process = subprocess.Popen(  # noqa: S603 - the example's own scripts, and the Pulumi CLI
                command,
                cwd=folder,
                env=dict(env),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,  # no terminal, as on a build machine
            )
        self._started.append(Running(process, log, time.monotonic()))
        return self._started[-1]


def make_template(folder: Path) -> None:
    """The promotion example as a repository, with its three stacks, which were never deployed."""
    for name in ("home", "state"):
        (folder / name).mkdir(parents=True)
    repository = folder / "repository"
    shutil.copytree(PROJECT, repository)
    (repository / "pipelines").mkdir()
    for script in PIPELINES.glob("*.py"):
        shutil.copy(script, repository / "pipelines")
    write_launchers(folder / LAUNCHERS)
    remember_installation(folder / LAUNCHERS)
    for stack in STACKS:
        subprocess.run(  # noqa: S603 - the Pulumi CLI
            ["pulumi", "stack", "init", stack, "--non-interactive"],  # noqa: S607 - on the PATH we made
            cwd=repository,
            env={**base_environment(folder), "PULUMI_STACK": stack},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=True,
            timeout=STEP_TIMEOUT,
        )


def remember_installation(folder: Path) -> None:
    """Write a ``python`` that runs the step which installs once, and gives what it said again in later jobs.

    pip finds everything in place, which takes it as much processor time as a small `pulumi preview`, in every job.
    """
    launcher = folder / "python"
    launcher.write_text(
        "#!/bin/sh\n"
        'said="${0%/*}/installed.txt"\n'
        f'[ "$*" = "{INSTALLS}" ] || exec "{sys.executable}" "$@"\n'
        f'[ -f "$said" ] || {{ "{sys.executable}" "$@" >"$said.new" && mv "$said.new" "$said"; }} || exit\n'
        'exec cat "$said"\n',
        encoding="utf-8",
    )
    launcher.chmod(0o755)
