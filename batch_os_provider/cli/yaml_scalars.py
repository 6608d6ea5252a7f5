"""Texts in YAML programs: how Pulumi reads one, and how one is written so that every reader gets the same text.

Pulumi reads YAML with a library of Go, which follows neither YAML 1.1 nor 1.2 exactly: a plain `yes` is a text, and
`1e3`, `0o14` and `1_000` are numbers. PyYAML follows 1.1. A pool may have any of these as its id, so a text is plain
only if both agree. PyYAML, which Pulumi's SDK brings, does the quoting and the escapes.
"""

from __future__ import annotations

import re

import yaml  # type: ignore[import-untyped]  # it ships no types

__all__ = ["literal", "reads_as", "written"]

_NUMBER = re.compile(
    r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?0[xX][0-9a-fA-F]+|[-+]?0[oO]?[0-7]+|[-+]?0[bB][01]+"
    r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
)
_WORDS: dict[str, tuple[str, ...]] = {
    "null": ("", "~", "null", "Null", "NULL"),
    "a boolean": ("true", "True", "TRUE", "false", "False", "FALSE"),
}
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_./:-]+")
"""Words of this form are plain in YAML, unless one of the readers takes them for something else."""
_STR = "tag:yaml.org,2002:str"


def reads_as(plain: str) -> str:
    """What Pulumi reads in a plain scalar: ``null``, ``a boolean``, ``a number``; empty for a text."""
    word = next((kind for kind, words in _WORDS.items() if plain in words), "")
    return word or ("a number" if _NUMBER.fullmatch(plain.replace("_", "")) else "")


def written(text: str) -> str:
    """A text as a scalar on one line, in quotes if it needs them."""
    is_plain = _PLAIN.fullmatch(text) and not reads_as(text) and yaml.safe_load(text) == text
    style = None if is_plain else '"'
    node = yaml.ScalarNode(_STR, text, style=style)
    # A document of one plain scalar ends with a line of dots.
    return str(yaml.serialize(node, width=float("inf"), allow_unicode=True)).removesuffix("...\n").removesuffix("\n")


def literal(text: str) -> str:
    """A text as a value of a Pulumi program, which must not take a part of it for a reference."""
    return written(text.replace("$", "$$") if "$$" in text or "${" in text else text)
