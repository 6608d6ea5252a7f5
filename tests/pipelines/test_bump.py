"""The nightly job that opens one pull request with newer versions: its script with real git, and both jobs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.pipelines import servers
from tests.pipelines.machine import (
    AZURE_CONTEXT,
    GITHUB_CONTEXT,
    MARK,
    PIPELINES,
    Job,
    Machine,
    azure_jobs,
    github_jobs,
)
from tests.pipelines.servers import TOKEN, Service
from tests.support.simulator import OLD, Simulator

BOT = "batch-os-bump@users.noreply.invalid"
PERSON = ("-c", "user.name=A Person", "-c", "user.email=person@example.com")
FIRST, SECOND, THIRD = "22.04.202405140", "22.04.202409010", "22.04.2026082801"


def git(folder: Path, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=True)  # noqa: S603, S607
    return done.stdout.strip()


def publish(folder: Path) -> Path:
    """Make a folder the checkout of a repository on a server; the server's folder."""
    server = folder.with_suffix(".git")
    git(folder.parent, "init", "--quiet", "--bare", "--initial-branch=main", str(server))
    git(folder, "init", "--quiet", "--initial-branch=main")
    git(folder, "add", "--all")
    git(folder, *PERSON, "commit", "--quiet", "--message", "The program")
    git(folder, "remote", "add", "origin", str(server))
    git(folder, "push", "--quiet", "origin", "main")
    return server


class Night:
    """A checkout each night, and what the script does in it."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.folder, self.environment = folder, environment
        (folder / "first").mkdir()
        (folder / "first" / "Pulumi.dev.yaml").write_text(
            f"config:\n  a:version: {FIRST}\n  a:x: 1\n  a:since: '2026-01-01'\n"
        )
        (folder / "first" / "__main__.py").write_text("# the program\n")
        self.server = publish(folder / "first")
        self.count = 0

    def run(self, version: str = SECOND, day: str = "2026-11-28", **more: Any) -> subprocess.CompletedProcess[str]:
        """A new checkout of main, as bump has changed it, and the script."""
        self.count += 1
        self.here = self.folder / f"night-{self.count}"
        git(self.folder, "clone", "--quiet", "--depth=1", f"file://{self.server}", str(self.here))
        file = self.here / "Pulumi.dev.yaml"
        file.write_text(file.read_text().replace(FIRST, version).replace("2026-01-01", day))
        reasons = [
            {"from": FIRST, "to": version, "newest": version, "source": "Azure Resource Manager, westeurope"},
            {"from": "2026-01-01", "to": day, "newest": "1.0.4", "source": "Azure Resource Manager, westeurope"},
        ]
        left = [{"stack": "dev", "name": "cfd", "why": "its pool was not read"}]
        document = {"changes": [{"file": "Pulumi.dev.yaml"}], "reasons": reasons, "left": left, "not_asked": [], **more}
        (self.here / "bump.json").write_text(json.dumps(document))
        command = [sys.executable, str(PIPELINES / "bump_pull_request.py"), "bump.json"]
        return subprocess.run(  # noqa: S603 - the example's script
            command, cwd=self.here, env=dict(self.environment), capture_output=True, text=True, check=False
        )

    def on_branch(self, what: str = "%H %ae") -> str:
        return git(self.server, "log", "-1", f"--format={what}", "batch-os-bump")


@pytest.fixture
def night(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Night, Service]]:
    """On GitHub, or on the service of the parameter."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "GIT_CONFIG_NOSYSTEM": "1"}
    name = getattr(request, "param", "github")
    with servers.running(getattr(servers, name)) as service:
        if name == "github":
            environment |= {
                "GITHUB_API_URL": service.url,
                "GITHUB_REPOSITORY": "acme/pools",
                "GITHUB_REF_NAME": "main",
                "GITHUB_TOKEN": TOKEN,
            }
        else:
            environment |= {
                "SYSTEM_COLLECTIONURI": f"{service.url}/acme/",
                "SYSTEM_TEAMPROJECT": "My Pools",
                "BUILD_REPOSITORY_ID": "r-1",
                "BUILD_SOURCEBRANCH": "refs/heads/main",
                "SYSTEM_ACCESSTOKEN": TOKEN,
            }
        yield Night(tmp_path, environment), service


@pytest.mark.parametrize("night", ["github", "azure_devops"], indirect=True)
def test_one_branch_and_one_pull_request_however_many_nights(night: tuple[Night, Service]) -> None:
    nights, service = night
    first = nights.run()
    assert (first.returncode, first.stdout) == (0, "branch batch-os-bump created; pull request 7\n"), first.stderr
    before = nights.on_branch()
    assert before.endswith(BOT)
    assert nights.on_branch("%B").splitlines() == [
        "Renew pools: 2 new versions",
        "",
        "- `2026-01-01` -> `1.0.4`, seen at Azure Resource Manager, westeurope",
        f"- `{FIRST}` -> `{SECOND}`, seen at Azure Resource Manager, westeurope",
        "",
        "`batch-os bump` wrote this. A newer version replaces the commit.",
    ]
    (pull,) = service.pulls
    assert "cfd (stack dev): its pool was not read" in pull.get("body", pull.get("description"))

    # The next night only the day differs: the commit stays, and the next steps see what it has.
    second = nights.run(day="2026-11-29")
    assert second.stdout == "branch batch-os-bump unchanged; pull request 7\n", second.stderr
    assert nights.on_branch() == before
    assert "2026-11-28" in (nights.here / "Pulumi.dev.yaml").read_text()

    # A newer version replaces the commit. So does a change of the same file on main.
    third = nights.run(THIRD)
    assert third.stdout == "branch batch-os-bump replaced; pull request 7\n", third.stderr
    assert git(nights.server, "rev-list", "--count", "main..batch-os-bump") == "1"
    file = nights.folder / "first" / "Pulumi.dev.yaml"
    file.write_text(file.read_text().replace("a:x: 1", "a:x: 2"))
    git(nights.folder / "first", *PERSON, "commit", "--quiet", "--all", "--message", "More")
    git(nights.folder / "first", "push", "--quiet", "origin", "main")
    assert "replaced" in nights.run(THIRD).stdout
    assert "a:x: 2" in git(nights.server, "show", "batch-os-bump:Pulumi.dev.yaml")
    assert len(service.pulls) == 1
    assert service.pulls[0]["title"] == "Renew pools: 2 new versions"


def test_what_a_person_committed_is_never_overwritten(night: tuple[Night, Service]) -> None:
    nights, _ = night
    nights.run()
    git(nights.here, *PERSON, "commit", "--quiet", "--allow-empty", "--message", "Mine")
    git(nights.here, "push", "--quiet", "origin", "HEAD:batch-os-bump")
    before = nights.on_branch()
    done = nights.run(THIRD)
    assert done.stdout == (
        "branch batch-os-bump left alone, since person@example.com has committed to it; pull request 7\n"
    ), done.stderr
    assert nights.on_branch() == before
    assert git(nights.here, "log", "-1", "--format=%s") == "Mine", "the next steps preview what the pull request has"


def test_nothing_to_change_asks_no_service(night: tuple[Night, Service]) -> None:
    nights, service = night
    done = nights.run(changes=[])
    assert (done.returncode, done.stdout, service.requests) == (0, "nothing to change\n", [])
    assert not (nights.here / "pull-request.txt").exists()


@pytest.mark.parametrize("night", ["github", "azure_devops"], indirect=True)
def test_a_failure_is_one_line_without_the_token(night: tuple[Night, Service]) -> None:
    nights, service = night
    service.refusal = (403, "GitHub Actions is not permitted to create or approve pull requests.")
    done = nights.run()
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: no pull request was opened: POST ")
    assert "not permitted" in done.stderr
    assert "ontribute to pull requests" in done.stderr or "allow GitHub Actions to create" in done.stderr
    assert (done.stderr.count("\n"), TOKEN in done.stderr) == (1, False)
    service.refusal = None
    assert "unchanged; pull request 7" in nights.run().stdout, "the next night opens it"
    git(nights.server, "update-ref", "-d", "refs/heads/batch-os-bump")
    (nights.server / "hooks" / "pre-receive").write_text("#!/bin/sh\necho 'not allowed' >&2; exit 1\n")
    (nights.server / "hooks" / "pre-receive").chmod(0o755)
    done = nights.run()
    assert (done.returncode, "git push: " in done.stderr, done.stderr.count("\n")) == (1, True, 1)


# ── The jobs ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def without_installation(job: Job) -> Job:
    """Other tests run these steps, which take longer than all others here."""
    return replace(job, steps=tuple(step for step in job.steps if not step.name.startswith("Install the ")))


def test_a_night_on_github_ends_in_a_pull_request_with_its_comment(machine: Machine, sim: Simulator) -> None:
    (machine.repository / "Pulumi.prod.yaml").unlink()  # each stack is a run of the program
    server = publish(machine.repository)
    context = {**GITHUB_CONTEXT, "vars.PULUMI_BACKEND_URL": machine.backend}
    (job,) = github_jobs("bump.yml", context)
    with servers.running(servers.github) as service:
        machine.environment |= {
            "GITHUB_API_URL": service.url,
            "GITHUB_REPOSITORY": "acme/pools",
            "GITHUB_REF_NAME": "main",
        }
        ended = machine.run(without_installation(job), STACKS="dev")
        assert ended.ok, ended.text
        (comment,) = service.comments
    assert comment["body"].startswith(f"{MARK}\n")
    assert OLD.removeprefix("WA-GUEST-OS-") in comment["body"]
    assert ended.summary == comment["body"]
    changed = git(server, "diff", "--unified=0", "main", "batch-os-bump")
    assert f"-  batch-os-promotion:targetOsVersion: {OLD}" in changed
    assert sim.writes() == [], "the reader read"


def test_a_night_on_azure_devops_ends_in_a_pull_request(machine: Machine, sim: Simulator) -> None:
    for stack in ("stage", "prod"):
        (machine.repository / f"Pulumi.{stack}.yaml").unlink()
    server = publish(machine.repository)
    (job,) = azure_jobs("bump.yml", AZURE_CONTEXT)
    with servers.running(servers.azure_devops) as service:
        machine.environment |= {
            "SYSTEM_COLLECTIONURI": f"{service.url}/acme/",
            "SYSTEM_TEAMPROJECT": "My Pools",
            "BUILD_REPOSITORY_ID": "r-1",
            "BUILD_SOURCEBRANCH": "refs/heads/main",
        }
        ended = machine.run(without_installation(job))
        assert ended.ok, ended.text
        (pull,) = service.pulls
    assert (pull["targetRefName"], pull["sourceRefName"]) == ("refs/heads/main", "refs/heads/batch-os-bump")
    assert f"-  batch-os-promotion:targetOsVersion: {OLD}" in git(server, "diff", "main", "batch-os-bump")
    assert sim.writes() == [], "the reader read"
