"""The two doors of the provider: how a program declares the same resources through each, and what only differs in name.

A test that runs over both doors declares resources once, with the names of Python, and asserts once. A door writes the
program, and spells the names in what a test expects.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from batch_os_provider.schema.spelling import camel, spell

PROJECT = "batch-os-test"
HEAD = (
    "import pulumi\nfrom pulumi import ResourceOptions\n"
    "from batch_os_provider import PoolFleet, PoolImageVersion, PoolOsVersion\n"
)


@dataclass(frozen=True)
class Resource:
    """A resource of a program: declared with inputs, or read by its id. ``after`` are the names that it depends on."""

    kind: str
    name: str
    inputs: Mapping[str, Any] = field(default_factory=dict)
    after: tuple[str, ...] = ()
    id: str = ""


def os_version(name: str, *, after: tuple[str, ...] = (), **inputs: Any) -> Resource:
    """A ``PoolOsVersion``; its pool has the name of the resource unless another id is given."""
    return Resource("PoolOsVersion", name, {"pool_id": name, **inputs}, after)


def image_version(name: str, *, after: tuple[str, ...] = (), **inputs: Any) -> Resource:
    """A ``PoolImageVersion``, as above."""
    return Resource("PoolImageVersion", name, {"pool_id": name, **inputs}, after)


def read_os(name: str, url: str) -> Resource:
    """A ``PoolOsVersion`` that the program only reads."""
    return Resource("PoolOsVersion", name, id=url)


@dataclass(frozen=True)
class Door:
    """One door. ``token`` is the beginning of its type tokens, and ``process`` a word of its plugin's command line."""

    name: str
    token: str
    process: str

    @property
    def is_native(self) -> bool:
        """Whether programs in YAML use it."""
        return self is NATIVE

    def type_of(self, kind: str) -> str:
        """The type token of a resource."""
        return self.token + kind

    @property
    def types(self) -> tuple[str, str]:
        """The type tokens of its pools."""
        return self.type_of("PoolOsVersion"), self.type_of("PoolImageVersion")

    def spell(self, text: str) -> str:
        """A text with the names of Python, as this door writes it."""
        return spell(text) if self.is_native else text

    def write(self, folder: Path, resources: Iterable[Resource], outputs: Mapping[str, tuple[str, str]]) -> None:
        """Write a program. ``outputs`` of the stack are by name: a resource and one of its outputs."""
        if self.is_native:
            (folder / "Pulumi.yaml").write_text(json.dumps(_yaml(resources, outputs)), encoding="utf-8")
        else:
            (folder / "__main__.py").write_text(HEAD + _python(resources, outputs), encoding="utf-8")


def _python(resources: Iterable[Resource], outputs: Mapping[str, tuple[str, str]]) -> str:
    lines = ["made = {}"]
    for each in resources:
        if each.id:
            lines.append(f"made[{each.name!r}] = {each.kind}.get({each.name!r}, {each.id!r})")
            continue
        inputs = ", ".join(f"{name}={value!r}" for name, value in each.inputs.items())
        after = f"ResourceOptions(depends_on=[made[name] for name in {each.after!r}])"
        lines.append(f"made[{each.name!r}] = {each.kind}({each.name!r}, {inputs}, opts={after})")
    lines += [f"pulumi.export({name!r}, made[{of!r}].{output})" for name, (of, output) in outputs.items()]
    return "\n".join(lines) + "\n"


def _yaml(resources: Iterable[Resource], outputs: Mapping[str, tuple[str, str]]) -> dict[str, Any]:
    """The program; JSON is YAML. The Python classes set ``retainOnDelete`` themselves."""
    declared: dict[str, Any] = {}
    for each in resources:
        if each.id:
            declared[each.name] = {"type": f"batchos:{each.kind}", "get": {"id": each.id}}
            continue
        declared[each.name] = {
            "type": f"batchos:{each.kind}",
            "properties": {camel(name): value for name, value in each.inputs.items()},
            "options": {"retainOnDelete": True, "dependsOn": [f"${{{name}}}" for name in each.after]},
        }
    exported = {name: f"${{{of}.{camel(output)}}}" for name, (of, output) in outputs.items()}
    return {"name": PROJECT, "runtime": "yaml", "resources": declared, "outputs": exported}


DYNAMIC = Door("python", "pulumi-python:dynamic/batch:", "pulumi.dynamic")
NATIVE = Door("yaml", "batchos:index:", "pulumi-resource-batchos")
DOORS = (DYNAMIC, NATIVE)
