"""`batch-os catalogue`: show and update the Guest OS catalogue that previews and policies use.

The package's own catalogue is as old as the package. With this command a team needs neither its next release nor
a write into site-packages. docs/catalogue.md says which file counts, and how a pipeline gets one.
"""

from __future__ import annotations

import os
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import click
from rich.table import Table
from rich.text import Text

from batch_os_provider.cli.catalogue.releases import URL, PageError, differences, fetch, merge, parse
from batch_os_provider.cli.common import fail, print_json
from batch_os_provider.cli.layout import Block, show
from batch_os_provider.cli.text_file import write_whole
from batch_os_provider.guest_os import catalogue_file
from batch_os_provider.guest_os.catalogue import Catalogue, CatalogueError, Family, contradictions, month_text
from batch_os_provider.guest_os.catalogue_file import VARIABLE, Current
from batch_os_provider.runtime.text_file import NotTextError, read_text
from batch_os_provider.wording import counted

__all__ = ["as_json", "command", "old"]


@click.command("catalogue", short_help="Show or update the Guest OS catalogue.")
@click.option(
    "--update",
    "source",
    metavar="[SOURCE]",
    is_flag=False,
    flag_value=URL,
    help="Add what is new in SOURCE: a catalogue file, Microsoft's page saved as Markdown, or its https URL. "
    "Without SOURCE: Microsoft's page on GitHub.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="With --update: write this file instead of the user's. For pipelines.",
)
@click.option("--json", "wants_json", is_flag=True, help="Print one JSON document; its shape is in docs/catalogue.md.")
def command(source: str | None, output: Path | None, wants_json: bool) -> None:  # noqa: FBT001 - click passes flags so
    """Show the Guest OS catalogue that previews and policies use, or update it.

    The file that BATCH_OS_CATALOGUE names counts first, then the user's file, then the catalogue of the package. A file
    that is older than the package's catalogue is not used. Exit code 1 if a file cannot be read.
    """
    if output is not None and source is None:
        raise click.UsageError("--output goes with --update")
    found = catalogue_file.find()
    if source is not None:
        _update(found, source, output)
        found = catalogue_file.find()
    if wants_json:
        print_json(as_json(found, datetime.now(UTC).date()))
    elif source is None:
        _render(found, datetime.now(UTC).date())
    if found.trouble and source is None:
        fail(found.trouble)


def old(found: Current, today: date) -> str:
    """A sentence if the catalogue in use is old on this day; else empty."""
    return found.catalogue.outdated(today) or ""


def as_json(found: Current, today: date) -> dict[str, Any]:
    """The document of ``--json``, version 1."""
    known = found.catalogue
    unused = found.unused
    return {
        "version": 1,
        "source": found.source,
        "file": found.file or None,
        "releases_until": known.covers_until.isoformat(),
        "releases": len(known.releases),
        "old": bool(old(found, today)),
        "families": [_family_json(known, family) for _, family in sorted(known.families.items())],
        "not_used": None if unused is None else {"file": unused.file, "why": unused.why, "broken": unused.broken},
    }


def _releases(known: Catalogue) -> str:
    return f"{counted(len(known.releases), 'release')} until {known.covers_until}"


def _family_json(known: Catalogue, family: Family) -> dict[str, Any]:
    newest = known.newest(family.number)
    return {
        "family": family.number,
        "windows_server": family.windows_server,
        "retirement_announced": family.announced.isoformat() if family.announced else None,
        "end_of_life": family.end_of_life.isoformat() if family.end_of_life else None,
        "newest": newest.text if newest else None,
        "newest_released": newest.released.isoformat() if newest else None,
    }


def _render(found: Current, today: date) -> None:
    known = found.catalogue
    where = {"package": "of the installed package", "user": "of the user", "variable": f"named by {VARIABLE}"}
    show(Text(f"Guest OS catalogue {where[found.source]}: {_releases(known)}"))
    if found.file:
        show(Text(f"file: {found.file}"))
    if found.unused is not None and not found.unused.broken:
        show(Text(f"note: {found.unused.why}"))
    if note := old(found, today):
        show(Text(f"old: {note}"))
    rows = [_row(known, family, today) for _, family in sorted(known.families.items())]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in _COLUMNS:
        table.add_column(name, no_wrap=True)
    for row in rows:
        table.add_row(*row)
    show("", Block(table, [(f"family {row[0]}", list(zip(_COLUMNS[1:], row[1:], strict=True))) for row in rows]))


_COLUMNS = ("Family", "Windows Server", "Newest release", "Released", "End of life")


def _row(known: Catalogue, family: Family, today: date) -> tuple[str, ...]:
    newest = known.newest(family.number)
    end = month_text(family.end_of_life) if family.end_of_life else "not published"
    if family.announced and not family.has_ended(today):
        end += f", announced {month_text(family.announced)}"
    return (
        str(family.number),
        family.windows_server.removeprefix("Windows Server "),
        newest.text if newest else "older than the catalogue",
        str(newest.released) if newest else "",
        end,
    )


def _update(found: Current, source: str, output: Path | None) -> None:
    """Write a newer catalogue file, and print what is new in it."""
    if output is None and (named := os.environ.get(VARIABLE)):
        fail(
            f"{VARIABLE} names {named}, which counts before the user's file.\nNext: Update that file with "
            f"`--update --output {named}`, or unset {VARIABLE}."
        )
    path = output or catalogue_file.user_file()
    if path is None:
        fail("this user has no data folder: HOME or LOCALAPPDATA is not set.\nNext: Name a file with --output.")
    if found.trouble and output is None:
        click.echo(f"warning: {found.trouble}", err=True)
    known = found.catalogue
    try:
        if output is not None and output.exists():
            # Keep what the file has: the dates of its families come from notices that the page does not have.
            known = known.updated_by(catalogue_file.read_file(output))
        merged, notes = _read(known, source)
    except (CatalogueError, PageError, NotTextError) as error:
        fail(f"{error}. Nothing was written")
    news = differences(known, merged)
    for line in [*notes, *news]:
        click.echo(line, err=True)
    try:
        write_whole(path, catalogue_file.as_text(merged))
    except OSError as error:
        fail(f"{path} cannot be written: {error.strerror}")
    nothing = "" if news else "nothing new, "
    click.echo(f"{path}: {nothing}{_releases(merged)}", err=True)


def _read(known: Catalogue, source: str) -> tuple[Catalogue, list[str]]:
    """The known catalogue with the news of a source, and notes about the source.

    Raises:
        CatalogueError, PageError, NotTextError: the source cannot be used; the error names it.
    """
    is_url = "://" in source
    text = fetch(source) if is_url else read_text(Path(source))
    if text.lstrip().startswith("{"):
        try:
            newer = catalogue_file.parse(text)
        except CatalogueError as error:
            raise CatalogueError(f"{source} is not a Guest OS catalogue: {error}") from error
        if newer.covers_until < known.covers_until:
            raise CatalogueError(
                f"{source} is older: its newest release is of {newer.covers_until}, and the catalogue has one of "
                f"{known.covers_until}"
            )
        merged, notes = known.updated_by(newer), []
    else:
        try:
            page = parse(text)
            merged, _ = merge(known, page)
        except PageError as error:
            raise PageError(f"{source}: {error}") from error
        notes = [f"misprint: {each}" for each in page.misprints]
    wrong = next(contradictions(merged.releases), None)
    if wrong is not None:
        raise CatalogueError(f"{source} contradicts the catalogue: {wrong[1]}")
    return merged, notes
