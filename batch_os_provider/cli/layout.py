"""Prints tables and sentences on a terminal of any width, without cutting a word.

In 40 columns a table prints one letter a line, and a version that is cut in two cannot be copied. A table is printed
if it fits with every word whole; otherwise each row becomes a block of lines.
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.measure import Measurement
from rich.text import Text

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["Block", "columns", "show", "wrapped"]

_LEAST = 20  # columns: a terminal that reports fewer, or none, is wrong

_ENDLESS = 10_000  # columns: wide enough to measure the least width of a table without folding


@dataclass(frozen=True)
class Block:
    """A table, and its rows as blocks: a head, then names and values. Empty values are left out.

    ``narrower`` has the same content in fewer columns, for a terminal that the first table does not fit.
    """

    table: Table
    rows: Sequence[tuple[str, Sequence[tuple[str, str]]]]
    narrower: Table | None = None


def show(*parts: Text | Block | str, console: Console | None = None) -> None:
    """Print texts and tables on standard output, in the width and with the colours of the terminal."""
    console = console or Console(highlight=False)
    with console.capture() as captured:
        for part in parts:
            _put(part, console)
    text = "".join(f"{line.rstrip()}\n" for line in captured.get().splitlines())
    # Through click: on a closed pipe rich would end the process with exit code 1. Rich has decided about colours
    # already; an old Windows console would print their codes.
    click.echo(text, file=console.file, nl=False, color=not console.legacy_windows)


def _put(part: Text | Block | str, console: Console) -> None:
    if not isinstance(part, Block):
        text = part if isinstance(part, Text) else Text(part)
        lines = [piece for line in text.plain.split("\n") for piece in wrapped(line, console.width)]
        console.print(Text("\n".join(lines), style=text.style), overflow="ignore", crop=False)
        return
    for table in filter(None, (part.table, part.narrower)):
        if _fits(table, console):
            console.print(table)
            return
    for head, fields in part.rows:
        console.print(Text(head, style="bold"), overflow="ignore", crop=False)
        for line in [line for name, value in fields for line in _field(name, value, console.width)]:
            console.print(Text(line), overflow="ignore", crop=False)
        console.print()


def _fits(table: Table, console: Console) -> bool:
    """Whether a table fits with every word whole; if so, set widths that keep the words whole.

    Rich would narrow the widest column first, also below its longest word.
    """
    endless = console.options.update(max_width=_ENDLESS)
    needs = [
        [Measurement.get(console, endless, cell) for cell in (column.header, *column.cells)] for column in table.columns
    ]
    wanted = [max(each.maximum for each in column) for column in needs]
    widths = [
        most if column.no_wrap else max(each.minimum for each in cells)
        for column, cells, most in zip(table.columns, needs, wanted, strict=True)
    ]
    for column, width in zip(table.columns, widths, strict=True):
        column.width = width
    spare = console.width - Measurement.get(console, endless, table).minimum
    if spare < 0:
        return False
    while spare and widths != wanted:
        for number, column in enumerate(table.columns):
            if spare and widths[number] < wanted[number]:
                widths[number] += 1
                spare -= 1
            column.width = widths[number]
    return True


def _field(name: str, value: str, width: int) -> list[str]:
    """``  name: value``, with further lines indented below."""
    if not value:
        return []
    first, *more = value.splitlines()
    lines = wrapped(f"  {name}: {first}", width, indent="    ")
    return lines + [piece for line in more for piece in wrapped(f"    {line}", width, indent="    ")]


def columns() -> int | None:
    """The width of the terminal; None if standard output is a file or pipe, whose lines stay whole."""
    return Console().width if sys.stdout is not None and sys.stdout.isatty() else None


def wrapped(line: str, width: int, *, indent: str = "") -> list[str]:
    """Fold a line at ``width``; a longer word stays whole, on its own line."""
    return textwrap.wrap(
        line,
        max(width, _LEAST),
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
        drop_whitespace=True,
    ) or [""]
