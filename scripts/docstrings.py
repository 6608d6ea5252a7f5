"""The docstrings of the resources: what the schema of the native provider and the reference pages are written from.

They are read from the source and not from the classes, since Python forgets the strings that follow attributes.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path


def classes_of(path: Path) -> dict[str, ast.ClassDef]:
    """The classes of a module, by name."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    return {node.name: node for node in body if isinstance(node, ast.ClassDef)}


def constructor(source: ast.ClassDef) -> ast.FunctionDef:
    """The constructor of a class, whose arguments are the inputs."""
    return next(node for node in source.body if isinstance(node, ast.FunctionDef) and node.name == "__init__")


def attributes_of(source: ast.ClassDef) -> dict[str, ast.AnnAssign]:
    """The attributes of a class, by name."""
    nodes = (node for node in source.body if isinstance(node, ast.AnnAssign))
    return {node.target.id: node for node in nodes if isinstance(node.target, ast.Name)}


def attribute_texts(source: ast.ClassDef) -> dict[str, str]:
    """The attributes of a class with the strings that follow them."""
    after = {id(one): two for one, two in zip(source.body, source.body[1:], strict=False)}
    following = {name: after[id(node)] for name, node in attributes_of(source).items()}
    return {name: ast.literal_eval(node.value) for name, node in following.items() if isinstance(node, ast.Expr)}


def sections(text: str) -> tuple[str, dict[str, str]]:
    """The docstring before ``Args:``, and the text of each argument."""
    summary, _, rest = text.partition("\nArgs:\n")
    block = re.split(r"\n(?=\S)", rest.partition("\nRaises:")[0])[0]
    found = re.split(r"^    (\w+): ", block, flags=re.MULTILINE)[1:]
    return summary, dict(zip(found[::2], found[1::2], strict=True))
