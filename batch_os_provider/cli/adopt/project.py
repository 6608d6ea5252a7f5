"""A Pulumi project on disk: its settings, its stacks, and their config as a program gets it.

Commands read programs without Pulumi's CLI and back end, so they find the config where Pulumi does.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]  # it ships no types

from batch_os_provider.errors import InputError
from batch_os_provider.runtime.text_file import NotTextError, read_text

__all__ = ["SECRET", "Project", "config_text", "not_yaml", "text_of", "yaml_file"]

SECRET = "[secret]"  # noqa: S105 - a placeholder


def text_of(source: Path) -> str:
    """The text of a file, in any encoding that people's tools write. Raises InputError."""
    try:
        return read_text(source)
    except NotTextError as error:
        raise InputError(str(error)) from error


@dataclass(frozen=True)
class Project:
    """A program's folder, its settings in ``Pulumi.yaml``, the path of the program, and its runtime if one is named."""

    folder: Path
    name: str
    main: Path
    defaults: Mapping[str, Any]
    runtime: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, source: Path) -> Project:
        """The project of a program or folder; without a ``Pulumi.yaml`` it has the name of the folder."""
        folder = (source if source.is_dir() else source.parent).resolve()
        file = folder / "Pulumi.yaml"
        said = yaml_file(file) if file.is_file() else {}
        main = source.resolve() if source.is_file() else folder / str(said.get("main") or ".")
        config = said.get("config")
        runtime = said.get("runtime")
        named = runtime if isinstance(runtime, dict) else {"name": runtime}
        options = named.get("options")
        return cls(
            folder,
            str(said.get("name") or folder.name),
            main,
            config if isinstance(config, dict) else {},
            str(named.get("name") or ""),
            options if isinstance(options, dict) else {},
        )

    def only_stack(self) -> tuple[str]:
        """The one stack that has a config file. Raises InputError if there are several."""
        stacks = self.stacks()
        if len(stacks) > 1:
            raise InputError(
                f"{self.folder} has config for several stacks: {', '.join(stacks)}",
                next_step="Name the stacks to check with --stack, which can be given more than once",
            )
        return (stacks[0] if stacks else "dev",)

    def stacks(self) -> list[str]:
        """The stacks that have a config file."""
        files = sorted(self.folder.glob("Pulumi.*.yaml"))
        return [file.name.removeprefix("Pulumi.").removesuffix(".yaml") for file in files]

    def config(self, stack: str, given: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
        """The config of a stack as Pulumi passes it to a program, and the secret keys."""
        file = self.folder / f"Pulumi.{stack}.yaml"
        others = self.stacks()
        if others and stack not in others:
            raise InputError(
                f"{self.folder} has no stack {stack}: it has no {file.name}",
                next_step=f"Name one of {', '.join(others)}, or create that file, which may be empty",
            )
        said = (yaml_file(file) if file.is_file() else {}).get("config") or {}
        values: dict[str, str] = {}
        secrets: list[str] = []
        for key, value in self.defaults.items():
            plain = value.get("value", value.get("default")) if isinstance(value, dict) else value
            values |= {} if plain is None else {self.full(key): config_text(plain)}
        for key, value in said.items():
            secret = isinstance(value, dict) and "secure" in value
            secrets += [self.full(key)] if secret else []
            values[self.full(key)] = SECRET if secret else config_text(value)
        return {**values, **{self.full(key): value for key, value in given.items()}}, secrets

    def full(self, key: object) -> str:
        """A config key with its namespace, which is the project's name by default."""
        return str(key) if ":" in str(key) else f"{self.name}:{key}"


def config_text(value: object) -> str:
    """A config value as a program gets it: text, or JSON; of a day without quotes what Go makes of a time."""
    if isinstance(value, date):
        time = value if isinstance(value, datetime) else datetime(value.year, value.month, value.day)  # noqa: DTZ001 - as YAML reads it
        zone = f"{time:%z}" or "+0000"
        return f"{time:%Y-%m-%d %H:%M:%S} {zone} {'UTC' if zone == '+0000' else zone}"
    return value if isinstance(value, str) else json.dumps(value)


def yaml_file(file: Path) -> dict[str, Any]:
    """The values of a YAML file; empty if it is not a mapping. Raises InputError."""
    try:
        said = yaml.safe_load(text_of(file))
    except yaml.YAMLError as error:
        raise not_yaml(file, error) from error
    return said if isinstance(said, dict) else {}


def not_yaml(file: Path, error: yaml.YAMLError) -> InputError:
    """The error of a file that is not YAML: the line, and what is wrong there."""
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
    where = f", line {mark.line + 1}" if mark is not None else ""
    what = " ".join(str(problem or error).split())
    return InputError(f"{file}{where}: it is not YAML: {what}", next_step="Correct the file")
