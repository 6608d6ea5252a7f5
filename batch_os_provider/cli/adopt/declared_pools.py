"""Finds the pools that a program declares, from the program or from a file that Pulumi wrote about it.

A program of ``adopt`` is soon edited into loops and modules, so its text does not show the pools. ``run_program`` runs
it with a stand-in for the engine. For programs that cannot run so, there are the files of ``pulumi preview --json
--show-sames`` and ``pulumi stack export``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from batch_os_provider.batch.address import POOL_ID, PoolRef, parse_endpoint
from batch_os_provider.cli.adopt.declaration import DeclaredPool
from batch_os_provider.cli.adopt.project import Project, text_of
from batch_os_provider.cli.adopt.yaml_program import RUNTIME, read_yaml
from batch_os_provider.errors import InputError
from batch_os_provider.schema.resource_types import kind_of
from batch_os_provider.schema.spelling import in_core

__all__ = ["DeclaredPool", "read"]

RUN_SECONDS = 300.0
"""A program that takes longer waits for something that the stand-in cannot give."""
_FORGOTTEN = frozenset({"delete", "delete-replaced", "discard", "discard-replaced", "read", "read-replacement"})
_RUN_IT = "Give the missing config with --config key=value, and install its packages for this Python"
_LET_PULUMI = "let Pulumi run it: `pulumi preview --json --show-sames > preview.json`, then --check preview.json"
_LAST_LINES = 15
_OR_A_FILE = "For a program in another language, name a file that `pulumi preview --json --show-sames` wrote"
_WRITE_IT = "Write it with `pulumi preview --json --show-sames`, or with `pulumi stack export`"


def read(
    source: Path, stacks: tuple[str, ...], config: Mapping[str, str], *, takes_files: bool = True
) -> list[DeclaredPool]:
    """The pools that a program declares in the named stacks.

    Args:
        source: a program in Python or YAML, its folder, or a JSON file of Pulumi's.
        stacks: read the program with the config of each; without stacks, of the only stack that has a file.
        config: config on top of the stack's, as ``project:key`` or ``key``.
        takes_files: the caller also takes a JSON file of Pulumi's, so an error may advise to write one.

    Raises:
        InputError: the source cannot be read or run.
    """
    if not os.path.exists(source):  # noqa: PTH110 - Path.exists raises if it has no right to look
        raise InputError(f"{source} does not exist", next_step="Name a program, its folder, or a JSON file of Pulumi's")
    if source.suffix == ".json":
        return _from_json(source)
    if source.name == "Pulumi.yaml":
        source = source.parent
    if source.is_file() and source.suffix not in (".py", ".yaml"):
        raise InputError(
            f"{source} is neither a program in Python (.py) or YAML (.yaml) nor a JSON file of Pulumi's (.json)",
            next_step=_WRITE_IT,
        )
    project = Project.of(source)
    if project.runtime == RUNTIME or source.suffix == ".yaml":
        _refuse_a_stack(source, project)
        return [pool for stack in stacks or project.only_stack() for pool in read_yaml(project, source, stack, config)]
    if project.runtime not in ("", "python") and source.is_dir():
        raise InputError(
            f"{source} has a program of the runtime {project.runtime}; only Python and YAML can be read here",
            next_step="Name a file that `pulumi preview --json --show-sames` wrote"
            if takes_files
            else "Change the versions by hand",
        )
    if not (project.main / "__main__.py").is_file() and not project.main.is_file():
        raise InputError(
            f"{project.main} has no program in Python or YAML: it has neither __main__.py nor a Pulumi.yaml with "
            "runtime: yaml",
            next_step="Name the folder of a program in Python or YAML" + (f". {_OR_A_FILE}" if takes_files else ""),
        )
    found = []
    for stack in stacks or project.only_stack():
        try:
            found += _run(project, source, stack, config)
        except _NotRunError as error:
            next_step = _RUN_IT + (f", or {_LET_PULUMI}" if takes_files else "")
            raise InputError(
                f"{source} could not be run for stack {stack} without Pulumi: {error}", next_step=next_step
            ) from error
    return found


def _refuse_a_stack(source: Path, project: Project) -> None:
    """Refuse a YAML file that is not a program: one of a stack's config, or of a project in another language."""
    if source.is_dir():
        return
    if source.name.startswith("Pulumi."):
        raise InputError(f"{source} is the config of a stack", next_step="Name the folder of the program, and --stack")
    if project.runtime != RUNTIME:
        said = f"says runtime: {project.runtime}" if project.runtime else "names no runtime"
        raise InputError(
            f"{source} is not a program: {project.folder / 'Pulumi.yaml'} {said}",
            next_step="Name the folder of the program",
        )


# ── A file of Pulumi's ───────────────────────────────────────────────────────────────────────────────────────────────


def _from_json(source: Path) -> list[DeclaredPool]:
    text = text_of(source)
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{source} is not JSON: {error}" if text.strip() else f"{source} is empty", next_step=_WRITE_IT
        ) from error
    if isinstance(document, dict) and isinstance(document.get("steps"), list):
        return _of_resources(str(source), _planned(source, document))
    deployment = document.get("deployment") if isinstance(document, dict) else None
    if isinstance(deployment, dict):
        resources = _bags(deployment.get("resources"))
        return _of_resources(
            str(source), (each for each in resources if not (each.get("external") or each.get("delete")))
        )
    raise InputError(
        f"{source} is neither a preview nor an export of a stack",
        next_step=_WRITE_IT,
    )


def _planned(source: Path, document: Mapping[str, Any]) -> list[dict[str, Any]]:
    steps = _bags(document["steps"])
    unchanged = sum(step.get("op") == "same" for step in steps)
    summary = document.get("changeSummary")
    same = summary.get("same") if isinstance(summary, dict) else None
    if isinstance(same, int) and unchanged < same:
        raise InputError(
            f"{source} does not name the resources that stay as they are",
            next_step="Write it with `pulumi preview --json --show-sames`",
        )
    return _bags([step.get("newState") for step in steps if step.get("op") not in _FORGOTTEN])


def _bags(value: object) -> list[dict[str, Any]]:
    """The objects of a list; empty if the value is not a list."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _of_resources(program: str, resources: Iterable[Mapping[str, Any]]) -> list[DeclaredPool]:
    ours = (each for each in resources if kind_of(str(each.get("type")), _bag(each.get("inputs"))))
    return [
        replace(
            _declared(program, str(each.get("urn", "")).rpartition("::")[2], in_core(_bag(each.get("inputs")))),
            is_native=str(each.get("type")).startswith("batchos:"),
        )
        for each in ours
    ]


def _bag(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _declared(program: str, name: str, bag: Mapping[str, Any]) -> DeclaredPool:
    endpoint, pool_id = bag.get("account_endpoint"), bag.get("pool_id")
    known = pool_id if isinstance(pool_id, str) and POOL_ID.fullmatch(pool_id) else ""
    inputs = bag.get("inputs", bag)
    try:
        ref = PoolRef(parse_endpoint(endpoint), known) if endpoint and known else None
        return DeclaredPool(program, name, ref, known, inputs)
    except (ValueError, AttributeError):  # a preview's placeholder for an unknown value is not an endpoint
        return DeclaredPool(program, name, None, known, inputs)


# ── A program, run ───────────────────────────────────────────────────────────────────────────────────────────────────


def _run(project: Project, source: Path, stack: str, given: Mapping[str, str]) -> list[DeclaredPool]:
    config, secrets = project.config(stack, given)
    with tempfile.TemporaryDirectory(prefix="batch-os-") as scratch:
        answer = Path(scratch) / "answer.json"
        request = {
            "program": str(project.main),
            "folder": str(project.main if project.main.is_dir() else project.folder),
            "project": project.name,
            "stack": stack,
            "config": config,
            "secrets": secrets,
            "answer": str(answer),
        }
        try:
            done = subprocess.run(
                [sys.executable, "-m", "batch_os_provider.cli.adopt.run_program"],
                input=json.dumps(request),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                encoding="utf-8",
                errors="replace",
                timeout=RUN_SECONDS,
                env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise _NotRunError(f"it did not end within {RUN_SECONDS:g} s") from error
        if done.returncode != 0 or not answer.is_file():
            last = "\n".join(done.stdout.strip().splitlines()[-_LAST_LINES:])
            raise _NotRunError(f"it ended with exit code {done.returncode}:\n{last}\n")
        found = json.loads(answer.read_text(encoding="utf-8"))
    if "failed" in found:
        where = f" ({found['where']})" if found["where"] else ""
        raise _NotRunError(f"{found['failed']}{where}")
    return [_declared(f"{source} ({stack})", each["name"], each) for each in found["declared"]]


class _NotRunError(Exception):
    """Why a program did not run."""
