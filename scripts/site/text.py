"""Docstrings and help texts as Markdown."""

from __future__ import annotations

import html
import re
import textwrap


def paragraphs(text: str) -> str:
    """A docstring as Markdown: each paragraph on one line, names as code, and no HTML in ``<name>``.

    A page of docs/ that it names becomes a link, as seen from the folder of the reference.
    """
    blocks = [" ".join(block.split()) for block in re.split(r"\n\s*\n", text.strip())]
    parts = re.split(r"(`[^`]+`)", re.sub(r"``(.+?)``", r"`\1`", "\n\n".join(blocks)))
    return "".join(part if place % 2 else _prose(part) for place, part in enumerate(parts))


def _prose(text: str) -> str:
    return re.sub(r"\bdocs/([\w-]+)\.md\b", r"[\1](../\1.md)", text.replace("<", "&lt;"))


def indented(text: str) -> str:
    """A text that belongs to the item before it."""
    return textwrap.indent(text, "    ")


def plain(text: str) -> str:
    """A text without a meaning in HTML and Markdown."""
    return re.sub(r"([\\`*_\[\]|])", r"\\\1", html.escape(text, quote=False))


def cell(text: str) -> str:
    """A text in a cell of a table."""
    return " ".join(text.split()).replace("|", r"\|")
