"""The values of a YAML program as Pulumi reads them, as far as they are known without a deployment.

A wrong guess would hide an undeclared pool, or report one that is declared. So each value is exact, or is ``Unknown``
with the reason. The rules are those of Pulumi's YAML language host 1.25 (`ast/interpolation.go`, `syntax/encoding`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]  # it ships no types

from batch_os_provider.cli.adopt.project import not_yaml, text_of
from batch_os_provider.cli.yaml_scalars import reads_as
from batch_os_provider.errors import InputError

__all__ = ["Unknown", "Value", "composed", "entries", "evaluate", "line_of", "reference_of"]

_PART = re.compile(r"\$\$|\$\{(?P<path>[^}]*)\}|\$(?![${])|[^$]+|\$")
_NAME = re.compile(r"[^.\[\]}]+")
_STR, _WHOLE = "tag:yaml.org,2002:str", re.compile(r"[-+]?[0-9]+")


@dataclass(frozen=True)
class Unknown:
    """A value that is not known here. ``why`` is a clause; ``next_step`` says how to make it known, if a person can."""

    why: str
    next_step: str = ""


Value = Any
"""A text, a number, a boolean, None, a list, a mapping, or ``Unknown``."""
Look = Callable[[str, str], Value]
"""The value of a name of the program, and the reference as it is written."""


def composed(file: Path) -> yaml.Node | None:
    """The nodes of a YAML file; None if it is empty.

    Raises:
        InputError: the file cannot be read, is not YAML, or has an alias, which Pulumi refuses.
    """
    text = text_of(file)
    try:
        alias = next((event for event in yaml.parse(text) if isinstance(event, yaml.AliasEvent)), None)
        if alias is None:
            return yaml.compose(text)
    except yaml.YAMLError as error:
        raise not_yaml(file, error) from error
    raise InputError(
        f"{file}, line {line_of(alias)}: the alias *{alias.anchor} is not allowed in a Pulumi program",
        next_step="Write the value in place of the alias",
    )


def line_of(node: Any) -> int:
    """The line of a node, from 1."""
    return int(node.start_mark.line) + 1


def entries(node: yaml.Node | None) -> dict[str, yaml.Node]:
    """The entries of a mapping by their keys; empty if the node is not a mapping."""
    if not isinstance(node, yaml.MappingNode):
        return {}
    return {key.value: value for key, value in node.value if isinstance(key, yaml.ScalarNode)}


def evaluate(node: yaml.Node | None, look: Look) -> Value:
    """The value of a node; ``look`` answers for names of the program."""
    if isinstance(node, yaml.SequenceNode):
        return [evaluate(each, look) for each in node.value]
    if isinstance(node, yaml.MappingNode):
        inner = entries(node)
        call = next((name for name in inner if name.lower().startswith("fn::")), "")
        if call:
            return Unknown("it is a secret" if call.lower() == "fn::secret" else f"it is a result of {call}")
        return {name: evaluate(value, look) for name, value in inner.items()}
    return None if node is None else _scalar(node, look)


def _scalar(node: yaml.ScalarNode, look: Look) -> Value:
    text = str(node.value)
    kind = reads_as(text) if not node.style and node.tag != "!" else ""
    if kind == "null":
        return None
    if kind == "a boolean":
        return text.lower() == "true"
    if kind == "a number":
        plain = text.replace("_", "")
        return int(plain) if _WHOLE.fullmatch(plain) and not plain.lstrip("+-").startswith("0") else float_of(plain)
    return _interpolated(text, look)


def float_of(plain: str) -> float | int:
    """A number that is not a plain whole one, as Go reads it."""
    sign, digits = (-1, plain[1:]) if plain.startswith("-") else (1, plain.removeprefix("+"))
    for prefix, base in (("0x", 16), ("0o", 8), ("0b", 2)):
        if digits.lower().startswith(prefix):
            return sign * int(digits[2:], base)
    if re.fullmatch(r"0[0-7]*", digits):
        return sign * int(digits, 8)
    return sign * float(digits.lstrip(".") if digits.lower() in (".inf", ".nan") else digits)


def _interpolated(text: str, look: Look) -> Value:
    """A text with the values of its references."""
    parts: list[Value] = []
    for found in _PART.finditer(text):
        if found["path"] is None:
            parts.append("$" if found[0] == "$$" else found[0])
        else:
            value = _at(found["path"], look)
            if isinstance(value, Unknown):
                return value
            parts.append(value)
    if len(parts) == 1:
        return parts[0]
    odd = next((part for part in parts if not isinstance(part, str)), None)
    if odd is not None:
        return Unknown(f"it joins a text and {json.dumps(odd, default=str)}")
    return "".join(parts)


def _at(path: str, look: Look) -> Value:
    """The value of a reference: a name, then properties and indexes."""
    whole = f"${{{path}}}"
    name = _NAME.match(path)
    if name is None:
        return Unknown(f"its reference {whole} is not a name")
    value = look(name[0], path)
    for dotted, index in re.findall(r"\.([^.\[]+)|\[([^\]]*)\]", path[name.end() :]):
        if isinstance(value, Unknown):
            return value
        key: Any = dotted or index.strip('"')
        if isinstance(value, list) and key.isdigit() and int(key) < len(value):
            value = value[int(key)]
        elif isinstance(value, Mapping) and key in value:
            value = value[key]
        else:
            return Unknown(f"{whole} has no value", "Correct the reference in the program")
    return value


def reference_of(node: yaml.Node | None) -> str:
    """The name of a value that is exactly one reference; empty for any other value."""
    found = re.fullmatch(r"\$\{([^.\[\]}]+)\}", node.value) if isinstance(node, yaml.ScalarNode) else None
    return found[1] if found else ""
