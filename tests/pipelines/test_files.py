"""The files themselves: both services would take them, and they keep the promises of docs/pipelines.md."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.pipelines.machine import (
    AZURE_CONTEXT,
    AZURE_DEVOPS,
    GITHUB,
    GITHUB_CONTEXT,
    PROJECT,
    ROOT,
    STACKS,
    STAND_INS,
    Machine,
    azure_jobs,
    github_jobs,
    loaded,
)

PAGE = (ROOT / "docs" / "pipelines.md").read_text(encoding="utf-8")
WORKFLOWS = sorted(GITHUB.glob("*.yml"))
PIPELINES = sorted(AZURE_DEVOPS.glob("*.yml"))
NAMES = ("pull-request.yml", "deploy.yml", "drift.yml", "bump.yml")
JOBS = [
    *(job for name in NAMES for job in github_jobs(name, GITHUB_CONTEXT)),
    *(job for name in NAMES for job in azure_jobs(name, AZURE_CONTEXT)),
]


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)  # noqa: S603 - our tools


def schema_says(schema: str, *files: Path) -> subprocess.CompletedProcess[str]:
    # The second schema has patterns that only Python's kind of regular expressions takes.
    options = ("--regex-variant", "python", "--builtin-schema", schema)
    return run(sys.executable, "-m", "check_jsonschema", *options, *files)


@pytest.fixture(scope="module")
def actionlint() -> str:
    found = run(sys.executable, ROOT / "scripts" / "actionlint.py")
    assert found.returncode == 0, found.stderr
    return found.stdout.strip()


def lint(actionlint: str, *files: Path) -> subprocess.CompletedProcess[str]:
    """Alone: what else is installed on a machine must not change the answer."""
    return run(actionlint, "-no-color", "-shellcheck=", "-pyflakes=", *files)


def test_actionlint_has_nothing_to_say_about_the_workflows(actionlint: str, tmp_path: Path) -> None:
    """In the folders of a repository, where a workflow finds the one that it calls."""
    (tmp_path / ".git").mkdir()
    shutil.copytree(GITHUB, tmp_path / ".github" / "workflows")
    done = lint(actionlint, *(tmp_path / ".github" / "workflows" / file.name for file in WORKFLOWS))
    assert (done.returncode, done.stdout) == (0, "")


def test_actionlint_would_say_it(actionlint: str, tmp_path: Path) -> None:
    broken = tmp_path / "broken.yml"
    broken.write_text((GITHUB / "drift.yml").read_text().replace("vars.AZURE_TENANT_ID", "vares.AZURE_TENANT_ID"))
    done = lint(actionlint, broken)
    assert done.returncode == 1
    assert 'undefined variable "vares"' in done.stdout


def test_the_workflows_are_as_githubs_schema_wants_them() -> None:
    done = schema_says("vendor.github-workflows", *WORKFLOWS)
    assert done.returncode == 0, done.stdout


def as_its_schema_reads(node: Any, *, inputs: bool = False) -> Any:
    """Azure's schema reads scalars as text, as the service does, but a task's inputs that are switches as switches."""
    if isinstance(node, dict):
        return {key: as_its_schema_reads(value, inputs=inputs or key == "inputs") for key, value in node.items()}
    if isinstance(node, list):
        return [as_its_schema_reads(each, inputs=inputs) for each in node]
    return {"true": True, "false": False}.get(node, node) if inputs else node


def test_the_pipelines_are_as_azures_schema_wants_them(tmp_path: Path) -> None:
    good, broken = [], []
    for file in PIPELINES:
        text = json.dumps(as_its_schema_reads(loaded(file)))
        good.append(tmp_path / f"{file.stem}.json")
        good[-1].write_text(text, encoding="utf-8")
        broken.append(tmp_path / f"{file.stem}-broken.json")
        misspelt = text.replace('"steps"', '"stepps"').replace('"stages"', '"stagges"')
        broken[-1].write_text(misspelt, encoding="utf-8")
    done = schema_says("vendor.azure-pipelines", *good)
    assert done.returncode == 0, done.stdout[-2000:]
    done = schema_says("vendor.azure-pipelines", *broken)
    assert done.returncode == 1
    assert [file.name for file in broken if file.name not in done.stdout] == [], "a mistake would be seen in each"


def test_scripts_are_plain_bash() -> None:
    """Values come by the environment: what a service writes into a script could hold anything."""
    for job in JOBS:
        for step in job.steps:
            assert "${{" not in step.script, step.name
            assert not re.search(r"\$\([\w.]+\)", step.script), step.name
            checked = subprocess.run(["bash", "-n"], input=step.script, text=True, check=False)  # noqa: S607 - as a service
            assert checked.returncode == 0, step.name


def test_azures_scripts_ask_for_what_githubs_shell_gives() -> None:
    for pipeline in NAMES:
        for job in azure_jobs(pipeline, AZURE_CONTEXT):
            for step in job.steps:
                assert len(step.script.splitlines()) <= 1 or step.script.startswith("set -euo pipefail\n"), step.name


def test_all_that_no_test_runs_is_known() -> None:
    services = {step.service for job in JOBS for step in job.steps if step.service}
    assert services == set(STAND_INS)


def test_every_page_names_the_versions_that_the_files_use() -> None:
    """A page with an older version would show what GitHub no longer runs."""
    used = {name for name in STAND_INS if "@" in name}
    shown = set()
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        shown |= {(page.name, name) for name in re.findall(r"\b\w[\w-]*(?:/[\w-]+)?@v?\d+\b", page.read_text())}
    shown = {each for each in shown if each[1].partition("@")[0] in {name.partition("@")[0] for name in used}}
    assert {name for _, name in shown} >= {"actions/checkout@v6", "pulumi/actions@v7"}
    assert [each for each in sorted(shown) if each[1] not in used] == []


def test_up_ends_before_its_job_is_killed() -> None:
    ups = [(job, step) for job in JOBS for step in job.steps if "pulumi up" in step.script]
    assert len(ups) == 2 * len(STACKS)
    for job, step in ups:
        limit = re.fullmatch(r"(\d+)m", step.env["UP_LIMIT"])
        grace = re.search(r"exec timeout --foreground --signal=INT --kill-after=(\d+)m", step.script)
        assert limit is not None
        assert grace is not None
        assert int(limit[1]) + int(grace[1]) + 5 <= job.minutes, "5 minutes are left for what comes before"


def test_one_up_of_a_stack_at_a_time_after_approval() -> None:
    up = loaded(GITHUB / "deploy-stack.yml")["jobs"]["up"]
    assert up["environment"] == "${{ inputs.stack }}"
    assert up["concurrency"] == {"group": "up-${{ inputs.stack }}", "cancel-in-progress": "false"}
    assert up["needs"] == "preview"
    preview, deploy = loaded(AZURE_DEVOPS / "deploy-stack.yml")["stages"]
    assert deploy["lockBehavior"] == "sequential"
    assert deploy["jobs"][0]["environment"] == "${{ parameters.stack }}"
    assert "environment" not in str(preview), "an approval is asked for before the stage, and the preview is for it"


def test_the_stacks_follow_one_another() -> None:
    jobs = loaded(GITHUB / "deploy.yml")["jobs"]
    assert list(jobs) == list(STACKS)
    assert [job.get("needs") for job in jobs.values()] == [None, *STACKS[:-1]]
    stages = loaded(AZURE_DEVOPS / "deploy.yml")["stages"]
    assert [stage["parameters"]["stack"] for stage in stages] == list(STACKS)


def test_tokens_can_do_no_more_than_they_must() -> None:
    base = {"contents": "read", "id-token": "write"}
    for file in WORKFLOWS:
        more = {"pull-requests": "write"} if file.name in ("pull-request.yml", "bump.yml") else {}
        more |= {"contents": "write"} if file.name == "bump.yml" else {}  # it pushes a branch
        assert loaded(file)["permissions"] == {**base, **more}, file.name
    (preview,) = loaded(GITHUB / "pull-request.yml")["jobs"].values()
    assert preview["if"] == "github.event.pull_request.head.repo.full_name == github.repository"


def test_secrets_go_to_the_steps_that_run_pulumi_and_to_no_other() -> None:
    for job in JOBS:
        for step in job.steps:
            secret = {"PULUMI_ACCESS_TOKEN", "PULUMI_CONFIG_PASSPHRASE", "ARM_CLIENT_ID"} & step.env.keys()
            wanted = "batch-os bump" if secret == {"ARM_CLIENT_ID"} else "pulumi "
            assert not secret or "pulumi " in step.script or wanted in step.script, f"{job.name}: {step.name}"


def test_the_installed_cli_is_the_one_that_the_tests_run_on() -> None:
    pinned = re.search(r'^PINNED = "(.+)"', (ROOT / "scripts" / "pulumi_cli.py").read_text(), re.MULTILINE)
    assert pinned is not None
    for file in WORKFLOWS:
        assert set(re.findall(r"pulumi-version: (.+)", file.read_text())) <= {pinned[1]}
    assert loaded(AZURE_DEVOPS / "setup.yml")["parameters"][0]["default"] == pinned[1]


# ── docs/pipelines.md ────────────────────────────────────────────────────────────────────────────────────────────────


def blocks(language: str) -> Iterator[str]:
    return iter(re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE))


def test_the_page_names_every_file_and_everything_that_has_to_be_set() -> None:
    for file in (*WORKFLOWS, *PIPELINES):
        assert f"`{file.name}`" in PAGE
    wanted = {name for file in WORKFLOWS for name in re.findall(r"\b(?:vars|secrets)\.(\w+)", file.read_text())}
    assert wanted == set(re.findall(r"^\| `([A-Z_]+)` \|", PAGE, re.MULTILINE))
    for name in ("batch-os-reader", "batch-os-<stack>", "`batch-os` with", "`ORGANIZATION`"):
        assert name in PAGE


def test_the_page_shows_the_lines_of_the_promotion_example() -> None:
    (shown,) = blocks("python")
    assert len(shown.splitlines()) <= 5
    assert shown in (PROJECT / "__main__.py").read_text(encoding="utf-8")


def test_the_pages_commands_do_what_it_says(machine: Machine, identities: dict[str, dict[str, str]]) -> None:
    shutil.rmtree(machine.repository / "pipelines")
    setting = {"BATCH_OS": str(ROOT), "PULUMI_BACKEND_URL": machine.backend, "PULUMI_CONFIG_PASSPHRASE": "test"}
    reader = {"ARM_USE_OIDC": "true", "ARM_TENANT_ID": "tenant", "ARM_CLIENT_ID": "batch-os-reader"}
    env = {**machine.environment, **setting, **reader, **identities["batch-os-reader"]}
    for block in blocks("sh"):
        command = ["bash", "-euo", "pipefail", "-c", block]
        done = subprocess.run(command, cwd=machine.repository, env=env, capture_output=True, text=True, check=False)  # noqa: S603
        assert done.returncode == 0, done.stdout + done.stderr
    copied = {file.name for file in (machine.repository / "pipelines").iterdir()}
    assert copied == {"bump_pull_request.py", "pull_request_comment.py", *(file.name for file in PIPELINES)}
    assert {file.name for file in (machine.repository / ".github" / "workflows").iterdir()} == {
        file.name for file in WORKFLOWS
    }
    assert "adopt" in (machine.repository / "comment.md").read_text(encoding="utf-8")
