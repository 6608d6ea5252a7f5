"""Finds the pools that a YAML program declares, by reading it.

Unlike a Python program it needs no run: it has no loops, and its references are to config, variables and resources.
What only a deployment knows stays unknown, with the reason.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

import yaml  # type: ignore[import-untyped]  # it ships no types

from batch_os_provider.batch.address import POOL_ID, PoolRef, parse_endpoint
from batch_os_provider.cli.adopt.declaration import DeclaredPool
from batch_os_provider.cli.adopt.project import SECRET, Project, config_text
from batch_os_provider.cli.adopt.yaml_values import Unknown, Value, composed, entries, evaluate, line_of, reference_of
from batch_os_provider.errors import InputError
from batch_os_provider.schema import fleet_plan, inputs
from batch_os_provider.schema.resource_types import FLEETS, kind_of
from batch_os_provider.schema.spelling import camel, in_core, spell
from batch_os_provider.schema.waves import WavesError

__all__ = ["RUNTIME", "program_file", "read_yaml", "token"]

RUNTIME = "yaml"
_FILES = ("Main.json", "Main.yaml", "Pulumi.yaml")
"""Pulumi reads the first of these that a folder has, and no other file."""
_PROVIDER = "pulumi:providers:batchos"
_ENDPOINT, _POOL_ID = camel(inputs.ACCOUNT_ENDPOINT), camel(inputs.POOL_ID_NAME)
_SIMPLE = (str, int, float)
_WAVES = ("canary", fleet_plan.WAVES)


def program_file(project: Project) -> Path:
    """The file of a YAML program.

    Raises:
        InputError: the folder has none, or a compiler makes the program.
    """
    if "compiler" in project.options:
        raise InputError(
            f"{project.folder / 'Pulumi.yaml'} names a compiler, so its program is not known without a run",
            next_step="Name a file that `pulumi preview --json --show-sames` wrote",
        )
    if project.main.is_file():
        return project.main
    found = next((file for name in _FILES if (file := project.main / name).is_file()), None)
    if found is None:
        raise InputError(
            f"{project.main} has no YAML program: it has none of {', '.join(_FILES)}",
            next_step="Name the folder of a program",
        )
    return found


def read_yaml(project: Project, source: Path, stack: str, given: Mapping[str, str]) -> list[DeclaredPool]:
    """The pools that a YAML program declares with the config of a stack.

    Raises:
        InputError: the program cannot be read, or the place of a pool needs config that has no value.
    """
    return list(_Program.of(project, stack, given).pools(f"{source} ({stack})"))


def token(node: yaml.Node | None) -> str:
    """The type token of a resource in full: ``batchos:PoolOsVersion`` is short for ``batchos:index:PoolOsVersion``."""
    text = node.value if isinstance(node, yaml.ScalarNode) else ""
    package, separator, name = text.partition(":")
    return f"{package}:index:{name}" if separator and ":" not in name else text


@dataclass(frozen=True)
class _Program:
    file: Path
    project: Project
    stack: str
    resources: Mapping[str, Mapping[str, yaml.Node]]
    variables: Mapping[str, yaml.Node]
    declared: Mapping[str, yaml.Node]
    config: Mapping[str, str]
    secrets: frozenset[str]

    @classmethod
    def of(cls, project: Project, stack: str, given: Mapping[str, str]) -> _Program:
        file = program_file(project)
        config, secrets = project.config(stack, given)
        top = entries(composed(file))
        declared = {**entries(top.get("configuration")), **entries(top.get("config"))}
        return cls(
            file,
            project,
            stack,
            {key: entries(node) for key, node in entries(top.get("resources")).items()},
            entries(top.get("variables")),
            declared,
            config,
            frozenset(secrets),
        )

    def pools(self, program: str) -> Iterator[DeclaredPool]:
        """What the program declares. A resource with ``get`` is only read."""
        for key, resource in self.resources.items():
            type_ = token(resource.get("type"))
            if (kind_of(type_) or type_ in FLEETS) and "get" not in resource:
                name = self._text_at(key, resource, "name") if "name" in resource else key
                yield from self._pools_of(program, str(name), key, type_ in FLEETS)

    def _pools_of(self, program: str, name: str, key: str, is_fleet: bool) -> Iterator[DeclaredPool]:  # noqa: FBT001 - one caller
        bag = self._value(self.resources[key].get("properties")) or {}
        if not isinstance(bag, Mapping):
            why = bag.why if isinstance(bag, Unknown) else "they are not a mapping"
            yield DeclaredPool(program, name, None, unknown=f"its properties are not known: {why}")
            return
        known = in_core({each: value for each, value in bag.items() if isinstance(value, _SIMPLE)})
        endpoint = self._endpoint(key, bag)
        known |= {inputs.ACCOUNT_ENDPOINT: endpoint} if isinstance(endpoint, str) else {}
        if is_fleet:
            yield from self._fleet(program, name, bag, endpoint)
            return
        pool_id = self._place(key, _POOL_ID, bag.get(_POOL_ID, Unknown(f"it declares no {_POOL_ID}")))
        yield _declared(program, name, endpoint, pool_id, known)

    def _fleet(self, program: str, name: str, bag: Mapping[str, Value], endpoint: Value) -> Iterator[DeclaredPool]:
        """The pools of a fleet, with the names that its children have."""
        arguments = {**in_core(bag), inputs.ACCOUNT_ENDPOINT: endpoint}
        pools = arguments.get(fleet_plan.POOLS)
        unknown = next((each for each in (pools if isinstance(pools, list) else [pools]) if _is_unknown(each)), None)
        if unknown is not None:
            yield DeclaredPool(program, name, None, unknown=f"its pools are not known: {unknown.why}")
            return
        # Waves do not change which pools a fleet has.
        known_enough = {
            each: value for each, value in arguments.items() if each not in _WAVES or not _is_unknown(value)
        }
        try:
            plan = fleet_plan.plan(known_enough, _is_unknown)
        except WavesError as error:
            raise InputError(f"{self.file}: fleet {name}: {spell(str(error))}", next_step="Correct it") from error
        for pool in plan.pools:
            known = {each: value for each, value in plan.inputs_of(pool).items() if isinstance(value, _SIMPLE)}
            yield _declared(program, f"{name}-{pool.label}", pool.endpoint or endpoint, pool.pool_id, known)

    def _endpoint(self, key: str, bag: Mapping[str, Value]) -> Value:
        """The account of a resource: its own property, or that of its provider."""
        if bag.get(_ENDPOINT) is not None:
            return self._normalised(key, self._place(key, _ENDPOINT, bag[_ENDPOINT]))
        provider = self._provider(key)
        if isinstance(provider, Unknown):
            return provider
        if provider:
            node = entries(self.resources[provider].get("properties")).get(_ENDPOINT)
            return (
                self._normalised(provider, self._place(provider, _ENDPOINT, self._value(node))) if node else _NO_ACCOUNT
            )
        full = f"batchos:{_ENDPOINT}"
        if full in self.secrets:
            return Unknown(f"config {full} is secret")
        return self._normalised(full, self.config[full]) if full in self.config else _NO_ACCOUNT

    def _provider(self, key: str) -> str | Unknown:
        """The key of the explicit provider of a resource; empty if it has the default one."""
        seen: set[str] = set()
        while key and key not in seen:
            seen.add(key)
            options = entries(self.resources[key].get("options"))
            for node in [options.get("provider"), *_listed(options.get("providers"))]:
                named = reference_of(node)
                if node is not None and named not in self.resources:
                    return Unknown("its provider is not a resource of the program")
                if named and token(self.resources[named].get("type")) == _PROVIDER:
                    return named
            key = reference_of(options.get("parent"))
            key = key if key in self.resources else ""
        return next((each for each, resource in self.resources.items() if _is_default(resource)), "")

    def _normalised(self, where: str, value: Value) -> Value:
        if isinstance(value, Unknown):
            return value
        try:
            return parse_endpoint(value)
        except ValueError as error:
            raise InputError(
                f"{self.file}: {_ENDPOINT} of {where}: {error}",
                next_step="Give the account's URL, as `az batch account show` prints in accountEndpoint",
            ) from error

    def _place(self, key: str, name: str, value: Value) -> Value:
        """A value that says where a pool is. Raises InputError if it is not a text, or if config can make it known."""
        node = entries(self.resources[key].get("properties")).get(name)
        where = f"{self.file}, line {line_of(node)}: {name} of {key}" if node is not None else f"{self.file}: {key}"
        if isinstance(value, Unknown) and value.next_step:
            raise InputError(f"{where}: {value.why}", next_step=value.next_step)
        if not isinstance(value, str | Unknown):
            shown = node.value if isinstance(node, yaml.ScalarNode) else json.dumps(value)
            raise InputError(f"{where}: {shown} is not a text", next_step="Put the value in quotes")
        if name == _POOL_ID and isinstance(value, str) and not POOL_ID.fullmatch(value):
            raise InputError(
                f"{where}: {value!r} is not a pool id",
                next_step="Give 1 to 64 letters, digits, hyphens and underscores",
            )
        return value

    def _text_at(self, key: str, resource: Mapping[str, yaml.Node], name: str) -> str:
        value = self._value(resource[name])
        return value if isinstance(value, str) else key

    def _value(self, node: yaml.Node | None, within: tuple[str, ...] = ()) -> Value:
        return evaluate(node, lambda name, path: self._look(name, path, within))

    def _look(self, name: str, path: str, within: tuple[str, ...]) -> Value:
        """The value of a name. ``within`` are the variables that are being read, so that a circle ends."""
        full = self.project.full(name)
        if name == "pulumi":
            return {"stack": self.stack, "project": self.project.name} | _OF_A_RUN
        if full in self.secrets:
            return Unknown(f"config {full} is secret")
        if full in self.config or name in self.declared:
            return self._config_value(name, full)
        if name in self.variables and name not in within:
            return self._value(self.variables[name], (*within, name))
        if name in self.resources:
            return Unknown(f"${{{path}}} is an output, which only a deployment knows")
        return Unknown(f"${{{path}}}: the program has nothing with the name {name}", "Correct the program")

    def _config_value(self, name: str, full: str) -> Value:
        schema = entries(self.declared.get(name))
        text = self.config.get(full)
        if text is None:
            default = self._value(schema.get("value") or schema.get("default"))
            if default is None:
                return Unknown(
                    f"config {full} has no value for stack {self.stack}",
                    f"Give it with --config {name}=VALUE, or write it into Pulumi.{self.stack}.yaml",
                )
            text = config_text(default)
        if self._value(schema.get("secret")) is True or text == SECRET:
            return Unknown(f"config {full} is secret")
        kind = self._value(schema.get("type"))
        try:
            return text if kind in (None, "string", "String") else json.loads(text)
        except ValueError:
            return text


_NO_ACCOUNT = Unknown(f"it declares no {_ENDPOINT}, and neither does its provider")
_OF_A_RUN = {
    name: Unknown(f"${{pulumi.{name}}} is known only in a run") for name in ("cwd", "organization", "rootDirectory")
}


def _is_unknown(value: object) -> TypeGuard[Unknown]:
    return isinstance(value, Unknown)


def _listed(node: yaml.Node | None) -> list[yaml.Node]:
    """The providers of the option ``providers``, a list or a mapping by package."""
    if isinstance(node, yaml.SequenceNode):
        return list(node.value)
    return list(entries(node).values())


def _is_default(resource: Mapping[str, yaml.Node]) -> bool:
    switch = resource.get("defaultProvider")
    return (
        token(resource.get("type")) == _PROVIDER
        and isinstance(switch, yaml.ScalarNode)
        and switch.value.lower() == "true"
    )


def _declared(program: str, name: str, endpoint: Value, pool_id: Value, known: Mapping[str, Any]) -> DeclaredPool:
    why = next((each.why for each in (endpoint, pool_id) if isinstance(each, Unknown)), "")
    id_ = pool_id if isinstance(pool_id, str) else ""
    ref = PoolRef(endpoint, id_) if not why else None
    return DeclaredPool(program, name, ref, id_, known, why, is_native=True)
