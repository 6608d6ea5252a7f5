"""The project's own files for GitHub: GitHub would take them, they may do no more than they must, their scripts run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from scripts.matrix import COMBINATIONS
from scripts.project import ROOT
from scripts.site.__main__ import OUTPUT
from tests.pipelines.machine import loaded
from tests.pipelines.test_files import actionlint, lint, schema_says

FOLDER = ROOT / ".github"
WORKFLOWS = sorted((FOLDER / "workflows").glob("*.yml"))
FORMS = [file for file in sorted((FOLDER / "ISSUE_TEMPLATE").glob("*.yml")) if file.name != "config.yml"]
JOBS = {f"{file.stem}/{name}": job for file in WORKFLOWS for name, job in loaded(file)["jobs"].items()}
STEPS = {f"{name}/{step['name']}": (job, step) for name, job in JOBS.items() for step in job["steps"] if "run" in step}
STAND_INS = ("make", "pipx", "gh")
"""Programs whose work is not done here: they write down their arguments."""

__all__ = ["actionlint"]  # the fixture


def test_actionlint_has_nothing_to_say(actionlint: str) -> None:
    done = lint(actionlint, *WORKFLOWS)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize(
    ("schema", "files"),
    [
        ("github-workflows", WORKFLOWS),
        ("github-issue-forms", FORMS),
        ("github-issue-config", [FOLDER / "ISSUE_TEMPLATE" / "config.yml"]),
        ("dependabot", [FOLDER / "dependabot.yml"]),
    ],
)
def test_each_file_is_as_its_schema_wants_it(schema: str, files: list[Path]) -> None:
    done = schema_says(f"vendor.{schema}", *files)
    assert done.returncode == 0, done.stdout


def test_every_action_is_pinned_by_its_commit_with_one_version_beside_it() -> None:
    pins: dict[str, set[str]] = {}
    for file in WORKFLOWS:
        text = file.read_text(encoding="utf-8")
        used = re.findall(r"uses: (\S+)@([0-9a-f]{40}) # (v\d+\.\d+\.\d+)\n", text)
        assert len(used) == text.count("uses: ")
        for action, commit, version in used:
            pins.setdefault(action, set()).add(f"{commit} {version}")
    assert {action for action, found in pins.items() if len(found) != 1} == set()


def test_a_job_may_do_no_more_than_it_must() -> None:
    for file in WORKFLOWS:
        assert loaded(file)["permissions"] == {}, file.name
    may = {
        name: {right: how for right, how in job["permissions"].items() if how != "read"} for name, job in JOBS.items()
    }
    assert {name: rights for name, rights in may.items() if rights} == {
        "release/publish": {"id-token": "write", "attestations": "write"},
        "release/describe": {"contents": "write"},
        "pages/publish": {"pages": "write", "id-token": "write"},
    }
    for name in ("release/publish", "release/describe", "pages/publish"):
        assert "checkout" not in str(JOBS[name]), f"{name}: no code of the tag runs there"
    assert JOBS["release/publish"]["environment"] == "pypi"
    assert all("timeout-minutes" in job for job in JOBS.values())
    for name, job in JOBS.items():
        for step in job["steps"]:
            if "actions/checkout" in step.get("uses", ""):
                assert step["with"]["persist-credentials"] == "false", name


def test_the_tags_of_a_fork_publish_nothing() -> None:
    # A job that needs one that did not run does not run either.
    for name in ("release/build", "pages/build"):
        assert JOBS[name]["if"] == "${{ !github.event.repository.fork }}"
    assert {name: JOBS[name].get("needs") for name in ("release/publish", "release/describe", "pages/publish")} == {
        "release/publish": "build",
        "release/describe": "publish",
        "pages/publish": "build",
    }


def test_a_release_and_its_pages_use_no_cache() -> None:
    made = [job for name, job in JOBS.items() if name.startswith(("release/", "pages/"))]
    assert "cache" not in {key for job in made for key in _inputs(job)}


def test_pages_publishes_the_folder_that_make_docs_writes() -> None:
    (upload,) = [step for step in JOBS["pages/build"]["steps"] if "upload-pages-artifact" in step.get("uses", "")]
    assert ROOT / upload["with"]["path"] == OUTPUT


def _inputs(job: Any) -> list[str]:
    return [key for step in job["steps"] for key in step.get("with", {})]


def test_every_combination_of_the_matrix_runs() -> None:
    rows = JOBS["ci/matrix"]["strategy"]["matrix"]["include"]
    assert [(row["name"], row["python"]) for row in rows] == [(each.name, each.python) for each in COMBINATIONS]


def run(name: str, folder: Path, **environment: str) -> tuple[int, str, list[str]]:
    """Run a step's script by the shell of its workflow: its code, its text, and the calls of stand-ins."""
    job, step = STEPS[name]
    assert "${{" not in step["run"], "values come by the environment"
    programs = folder / "stand-ins"
    programs.mkdir(exist_ok=True)
    for program in STAND_INS:
        (programs / program).write_text(f'#!/bin/sh\necho "{program} $*" >>"{programs}/calls"\n')
        (programs / program).chmod(0o755)
    (programs / "calls").write_text("")
    given = {key: environment.pop(key) for key in {**job.get("env", {}), **step.get("env", {})}}
    path = os.pathsep.join([str(programs), str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(  # noqa: S603 - the step as it stands
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],  # noqa: S607 - as GitHub
        cwd=folder,
        env={"PATH": path, **given},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, (programs / "calls").read_text().splitlines()


def test_every_script_is_run_by_a_test_here() -> None:
    assert {*STEPS} == {*MADE, "release/build/Compare the tag with the version, and write the notes", *ELSEWHERE}


MADE = {
    "ci/test/Test": ["make test"],
    "ci/matrix/Matrix": ["make matrix ARGS=lowest"],
    "ci/check/Check": ["make check"],
    "release/build/Install": ["make .venv/installed .venv-lowest/locked"],
    "pages/build/Build": ["make docs"],
}
GIVEN = {"ci/check/Check": {"PYTHON": "python"}, "ci/matrix/Matrix": {"PYTHON": "python", "NAME": "lowest"}}
ELSEWHERE = {
    "ci/windows/Test on Windows": "needs Windows: it has not run",
    "ci/windows/Demo on Windows": "needs Windows: it has not run",
    "ci/audit/Dependencies": "test_the_audit_reads_every_locked_file",
    "release/build/Build and check": "scripts/package, which `make test` runs",
    "release/describe/Make the GitHub release": "test_the_github_release_has_the_notes_and_the_files",
}


def test_windows_runs_scripts_that_exist_without_make() -> None:
    scripts = [step["run"].split() for step in JOBS["ci/windows"]["steps"] if "run" in step]
    assert [words[0] for words in scripts] == ["python"] * 2
    assert all((ROOT / words[1]).is_file() for words in scripts)
    page = (ROOT / "docs" / "windows.md").read_text(encoding="utf-8")
    assert [words[1] for words in scripts if f"`py {words[1]}`" not in page] == []


@pytest.mark.parametrize("name", MADE)
def test_what_make_is_asked_for_exists(name: str, tmp_path: Path) -> None:
    code, said, calls = run(name, tmp_path, **GIVEN.get(name, {}))
    assert (code, said, calls) == (0, "", MADE[name])
    targets = calls[0].split()[1:]
    asked = subprocess.run(["make", "--dry-run", *targets], cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603, S607
    assert asked.returncode == 0, asked.stderr


def test_the_audit_reads_every_locked_file(tmp_path: Path) -> None:
    code, _, calls = run("ci/audit/Dependencies", tmp_path)
    assert code == 0
    assert [re.findall(r"--requirement (\S+)", call)[0] for call in calls] == [
        "requirements/dev.txt",
        "requirements/docs.txt",
    ]
    assert all(re.match(r"pipx run pip-audit==\d+\.\d+\.\d+ ", call) for call in calls)


def test_the_notes_are_those_of_the_tag(tmp_path: Path) -> None:
    name = "release/build/Compare the tag with the version, and write the notes"
    (tmp_path / "scripts").mkdir()
    for script in ("__init__.py", "project.py", "release", "releasing.py"):
        shutil.copy(ROOT / "scripts" / script, tmp_path / "scripts" / script)
    (tmp_path / "pyproject.toml").write_text('version = "1.2.3"\n')
    (tmp_path / "CHANGELOG.md").write_text(
        "## [Unreleased]\n\n## [1.2.3] - 2026-12-01\n\n- This.\n\n## [1.2.2]\n\n- That.\n"
    )
    assert run(name, tmp_path, TAG="v1.2.3")[:2] == (0, "")
    assert (tmp_path / "notes.md").read_text() == "- This.\n"
    code, said, _ = run(name, tmp_path, TAG="v1.2.4")
    assert code == 1
    assert "the tag v1.2.4 is not that of version 1.2.3" in said


def test_the_github_release_has_the_notes_and_the_files(tmp_path: Path) -> None:
    (tmp_path / "dist").mkdir()
    for name in ("a.whl", "a.tar.gz"):
        (tmp_path / "dist" / name).touch()
    given = {"TAG": "v1.2.3", "GH_TOKEN": "t", "GH_REPO": "acme/batch-os"}
    code, _, calls = run("release/describe/Make the GitHub release", tmp_path, **given)
    assert code == 0
    assert calls == [
        "gh release create v1.2.3 dist/a.tar.gz dist/a.whl --verify-tag --title v1.2.3 --notes-file notes.md"
    ]


def test_reports_of_faults_come_with_doctor_and_the_log() -> None:
    for name in ("bug.yml", "batch.yml"):
        fields = {each.get("id"): each for each in loaded(FOLDER / "ISSUE_TEMPLATE" / name)["body"]}
        for field in ("doctor", "log"):
            assert fields[field]["validations"] == {"required": "true"}
        assert "batch-os doctor --json" in fields["doctor"]["attributes"]["label"]
        assert "BATCH_OS_LOG=" in fields["log"]["attributes"]["description"]
