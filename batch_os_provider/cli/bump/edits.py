"""Finds the versions and moments of a program that can be replaced in place: literals of our resources, and config.

Only their characters change, so comments, order, quotes and line endings stay. A text that is not exactly
one literal (an f-string, a name, two joined strings, a YAML alias) is not found, and its pool stays as it is.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import yaml  # type: ignore[import-untyped]  # it ships no types

from batch_os_provider.cli.adopt.yaml_program import token
from batch_os_provider.cli.adopt.yaml_values import entries
from batch_os_provider.cli.yaml_scalars import reads_as
from batch_os_provider.schema.resource_types import FLEETS, kind_of
from batch_os_provider.schema.spelling import camel

__all__ = ["TARGETS", "Place", "config_places", "literals", "replaced", "yaml_literals"]

TARGETS = ("target_os_version", "target_image_version", "nodes_since")
"""The inputs that hold a version or a moment."""

_PACKAGE = "batch_os_provider"
_RESOURCES = frozenset({"PoolOsVersion", "PoolImageVersion", "PoolFleet"})
_LITERAL = re.compile(rb"""[rRuU]?(?P<quote>'''|\"""|'|")(?P<text>[^'"\\]*)(?P=quote)""")
_SCALAR = re.compile(r"""(?P<quote>['"]?)(?P<text>[^'"\\]*)(?P=quote)""")
_LINE = re.compile(rb"[^\r\n]*(?:\r\n|\r|\n|\Z)")
_BOM = b"\xef\xbb\xbf"
_NO_TEXT = re.compile(r"[0-9]+(\.[0-9]+)?|[0-9]{4}-.*")
"""A plain YAML scalar of this form is a number, so 1.10 would be 1.1; or a time, which Pulumi spells in another way."""


@dataclass(frozen=True)
class Place:
    """A version or a moment in a file: its first byte, its text, its line (from 1), and its config key.

    The key is empty for a literal.
    """

    start: int
    text: str
    line: int
    key: str = ""
    is_plain: bool = False


def literals(source: bytes) -> list[Place]:
    """The versions and moments that calls of our resources have as literals.

    Args:
        source: the bytes of a Python file. One that is not UTF-8 or cannot be parsed has none.
    """
    try:
        source.decode("utf-8")
        tree = ast.parse(source)
    except (UnicodeDecodeError, SyntaxError, ValueError):
        return []
    skipped = len(_BOM) if source.startswith(_BOM) else 0
    starts = [skipped + match.start() for match in _LINE.finditer(source[skipped:])]
    names, modules = _imported(tree)
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call) and _is_ours(node.func, names, modules))
    found = []
    for keyword in (each for call in calls for each in call.keywords if each.arg in TARGETS):
        value = keyword.value
        if not isinstance(value, ast.Constant) or not isinstance(value.value, str):
            continue
        first = starts[value.lineno - 1] + value.col_offset
        last = starts[(value.end_lineno or value.lineno) - 1] + (value.end_col_offset or 0)
        match = _LITERAL.fullmatch(source[first:last])
        if match and match["text"].decode() == value.value:
            found.append(Place(first + match.start("text"), value.value, value.lineno))
    return sorted(found, key=lambda place: place.start)


def _imported(tree: ast.Module) -> tuple[set[str], set[str]]:
    """The names of our resources in a file, and the names of our package."""
    names, modules = set(), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == _PACKAGE and not node.level:
            names |= {each.asname or each.name for each in node.names if each.name in _RESOURCES}
        elif isinstance(node, ast.Import):
            modules |= {each.asname or each.name for each in node.names if each.name == _PACKAGE}
    return names, modules


def _is_ours(function: ast.expr, names: set[str], modules: set[str]) -> bool:
    if isinstance(function, ast.Name):
        return function.id in names
    return (
        isinstance(function, ast.Attribute)
        and function.attr in _RESOURCES
        and isinstance(function.value, ast.Name)
        and function.value.id in modules
    )


def yaml_literals(source: bytes) -> list[Place]:
    """The versions and moments that our resources have as literals in a YAML program.

    Args:
        source: the bytes of the program. One that is not UTF-8, begins with a byte order mark or has an alias has none.
    """
    text, root = _composed(source)
    bags = [entries(each) for each in entries(entries(root).get("resources")).values()]
    ours = [bag for bag in bags if kind_of(token(bag.get("type"))) or token(bag.get("type")) in FLEETS]
    values = [entries(bag.get("properties")).get(camel(name)) for bag in ours for name in TARGETS]
    found = [each for node in values if isinstance(node, yaml.ScalarNode) for each in _scalar(text, "", node)]
    # A plain 1.10 is a number: its resource does not declare this text.
    return sorted(
        (each for each in found if not (each.is_plain and reads_as(each.text))), key=lambda place: place.start
    )


def config_places(source: bytes) -> list[Place]:
    """The config values of a stack's file that are one text each.

    Args:
        source: the bytes of a ``Pulumi.<stack>.yaml``. One that is not UTF-8, begins with a byte order mark or has an
            alias has none.
    """
    text, root = _composed(source)
    return [each for key, node in _config(root) for each in _scalar(text, key, node)]


def _composed(source: bytes) -> tuple[str, yaml.Node | None]:
    """A YAML file whose characters can be replaced: its text and its nodes; None if they cannot."""
    try:
        text = source.decode("utf-8")
        if source.startswith(_BOM) or any(isinstance(each, yaml.AliasEvent) for each in yaml.parse(text)):
            return "", None
        return text, yaml.compose(text)
    except (UnicodeDecodeError, yaml.YAMLError):
        return "", None


def _config(root: object) -> Iterator[tuple[str, yaml.ScalarNode]]:
    pairs = root.value if isinstance(root, yaml.MappingNode) else []
    for bag in (value for key, value in pairs if key.value == "config" and isinstance(value, yaml.MappingNode)):
        yield from ((str(key.value), value) for key, value in bag.value if isinstance(value, yaml.ScalarNode))


def _scalar(text: str, key: str, node: yaml.ScalarNode) -> Iterator[Place]:
    first, last = node.start_mark.index, node.end_mark.index
    match = _SCALAR.fullmatch(text[first:last])
    if match and match["text"] == node.value:
        start = len(text[: first + match.start("text")].encode())
        yield Place(start, node.value, node.start_mark.line + 1, key, not match["quote"])


def replaced(source: bytes, changes: Mapping[Place, str]) -> bytes:
    """A file with other texts at these places."""
    for place in _from_the_end(changes):
        new = changes[place]
        if place.is_plain and _NO_TEXT.fullmatch(new):
            new = f'"{new}"'
        end = place.start + len(place.text.encode())
        source = source[: place.start] + new.encode() + source[end:]
    return source


def _from_the_end(places: Iterable[Place]) -> list[Place]:
    """So that a change does not move the places that are still to be changed."""
    return sorted(places, key=lambda place: place.start, reverse=True)
