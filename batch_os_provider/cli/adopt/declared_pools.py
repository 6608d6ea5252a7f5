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
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]  # it ships no types

from batch_os_provider.batch.address import POOL_ID, PoolRef, parse_endpoint
from batch_os_provider.cli.text_file import NotTextError, read_text
from batch_os_provider.errors import InputError
from batch_os_provider.schema.resource_types import kind_of
from batch_os_provider.schema.spelling import in_core

__all__ = ["DeclaredPool", "read"]

RUN_SECONDS = 300.0
"""A program that takes longer waits for something that the stand-in cannot give."""
_FORGOTTEN = frozenset({"delete", "delete-replaced", "discard", "discard-replaced", "read", "read-replacement"})
_RUN_IT = "Give the missing config with --config key=value, and install its packages for this Python"
_LET_PULUMI = "let Pulumi run it: `pulumi preview --json --show-sames > preview.json`, then --check preview.json"
_SECRET = "[secret]"  # noqa: S105 - a placeholder
_LAST_LINES = 15
_OR_A_FILE = "For a program in another language, name a file that `pulumi preview --json --show-sames` wrote"
_WRITE_IT = "Write it with `pulumi preview --json --show-sames`, or with `pulumi stack export`"


@dataclass(frozen=True)
class DeclaredPool:
    """One resource of this package. ``ref`` is None if only a deployment knows its pool.

    ``inputs`` holds the inputs that are known without a deployment.
    """

    program: str
    name: str
    ref: PoolRef | None
    pool_id: str = ""
    inputs: Mapping[str, Any] = field(default_factory=dict)


def read(
    source: Path, stacks: tuple[str, ...], config: Mapping[str, str], *, takes_files: bool = True
) -> list[DeclaredPool]:
    """The pools that a program declares in the named stacks.

    Args:
        source: a program, its folder, or a JSON file of Pulumi's.
        stacks: run the program with the config of each; without stacks, of the only stack that has a file.
        config: config on top of the stack's, as ``project:key`` or ``key``.
        takes_files: the caller also takes a JSON file of Pulumi's, so an error may advise to write one.

    Raises:
        InputError: the source cannot be read or run.
    """
    if not os.path.exists(source):  # noqa: PTH110 - Path.exists raises if it has no right to look
        raise InputError(f"{source} does not exist", next_step="Name a program, its folder, or a JSON file of Pulumi's")
    if source.suffix == ".json":
        return _from_json(source)
    if source.is_file() and source.suffix != ".py":
        raise InputError(
            f"{source} is neither a Python program (.py) nor a JSON file of Pulumi's (.json)", next_step=_WRITE_IT
        )
    project = _Project.of(source)
    if not (project.main / "__main__.py").is_file() and not project.main.is_file():
        raise InputError(
            f"{project.main} has no Python program: __main__.py is missing",
            next_step="Name the folder of a Python program" + (f". {_OR_A_FILE}" if takes_files else ""),
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


# ── A file of Pulumi's ───────────────────────────────────────────────────────────────────────────────────────────────


def _from_json(source: Path) -> list[DeclaredPool]:
    text = _text_of(source)
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


def _text_of(source: Path) -> str:
    try:
        return read_text(source)
    except NotTextError as error:
        raise InputError(str(error)) from error


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
        _declared(program, str(each.get("urn", "")).rpartition("::")[2], in_core(_bag(each.get("inputs"))))
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


@dataclass(frozen=True)
class _Project:
    """A program's folder, its settings in ``Pulumi.yaml``, and the path of the program."""

    folder: Path
    name: str
    main: Path
    defaults: Mapping[str, Any]

    @classmethod
    def of(cls, source: Path) -> _Project:
        """The project of a program or folder; without a ``Pulumi.yaml`` it has the name of the folder."""
        folder = (source if source.is_dir() else source.parent).resolve()
        file = folder / "Pulumi.yaml"
        said = _yaml(file) if file.is_file() else {}
        main = source.resolve() if source.is_file() else folder / str(said.get("main") or ".")
        config = said.get("config")
        return cls(folder, str(said.get("name") or folder.name), main, config if isinstance(config, dict) else {})

    def only_stack(self) -> tuple[str]:
        """The one stack that has a config file. Raises InputError if there are several."""
        stacks = self._stacks()
        if len(stacks) > 1:
            raise InputError(
                f"{self.folder} has config for several stacks: {', '.join(stacks)}",
                next_step="Name the stacks to check with --stack, which can be given more than once",
            )
        return (stacks[0] if stacks else "dev",)

    def _stacks(self) -> list[str]:
        """The stacks that have a config file."""
        files = sorted(self.folder.glob("Pulumi.*.yaml"))
        return [file.name.removeprefix("Pulumi.").removesuffix(".yaml") for file in files]

    def config(self, stack: str, given: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
        """The config of a stack as Pulumi passes it to a program, and the secret keys."""
        file = self.folder / f"Pulumi.{stack}.yaml"
        others = self._stacks()
        if others and stack not in others:
            raise InputError(
                f"{self.folder} has no stack {stack}: it has no {file.name}",
                next_step=f"Name one of {', '.join(others)}, or create that file, which may be empty",
            )
        said = (_yaml(file) if file.is_file() else {}).get("config") or {}
        values: dict[str, str] = {}
        secrets: list[str] = []
        for key, value in self.defaults.items():
            plain = value.get("value", value.get("default")) if isinstance(value, dict) else value
            values |= {} if plain is None else {self._full(key): _text(plain)}
        for key, value in said.items():
            secret = isinstance(value, dict) and "secure" in value
            secrets += [self._full(key)] if secret else []
            values[self._full(key)] = _SECRET if secret else _text(value)
        return {**values, **{self._full(key): value for key, value in given.items()}}, secrets

    def _full(self, key: object) -> str:
        return str(key) if ":" in str(key) else f"{self.name}:{key}"


def _text(value: object) -> str:
    """A config value as a program gets it: text, or JSON; of a day without quotes what Go makes of a time."""
    if isinstance(value, date):
        time = value if isinstance(value, datetime) else datetime(value.year, value.month, value.day)  # noqa: DTZ001 - as YAML reads it
        zone = f"{time:%z}" or "+0000"
        return f"{time:%Y-%m-%d %H:%M:%S} {zone} {'UTC' if zone == '+0000' else zone}"
    return value if isinstance(value, str) else json.dumps(value)


def _yaml(file: Path) -> dict[str, Any]:
    try:
        said = yaml.safe_load(_text_of(file))
    except yaml.YAMLError as error:
        raise InputError(f"{file} is not YAML: {' '.join(str(error).split())}") from error
    return said if isinstance(said, dict) else {}


def _run(project: _Project, source: Path, stack: str, given: Mapping[str, str]) -> list[DeclaredPool]:
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
