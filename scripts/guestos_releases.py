#!/usr/bin/env python3
"""Bring the Guest OS catalogue up to date with Microsoft's published table.

    .venv/bin/python scripts/guestos_releases.py                  read the page, write what is new into the package
    .venv/bin/python scripts/guestos_releases.py --check          change nothing; exit with 1 if there is something new
    .venv/bin/python scripts/guestos_releases.py --from page.md   read a page that was saved

It writes the tables of the package, for its next release. On a machine that only has the package installed,
`batch-os catalogue --update` reads the same page, with the same code, into a file of the user.

It never loses a release. Known misprints of the page are corrected, and each is named. A new one is an error that names
the line: add it to MISPRINTS in batch_os_provider/cli/catalogue/releases.py. When a family's retirement is announced,
Microsoft publishes its dates in a separate notice: write them into batch_os_provider/guest_os/guestos-families.csv by
hand (a day, or the month where only that is published). Then check the difference, run `make test ARGS=tests/unit`,
and adapt the tests that count rows.

Exit codes: 0 up to date, or written; 1 (--check) there is something new; 2 the page or a table cannot be read.
"""

from __future__ import annotations

import argparse
import csv
import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from batch_os_provider.cli.catalogue.releases import LOOPBACK, URL, Page, PageError, fetch, merge, parse  # noqa: E402 - as above
from batch_os_provider.cli.text_file import write_whole  # noqa: E402 - as above
from batch_os_provider.guest_os import catalogue  # noqa: E402 - the project itself, wherever this is started
from batch_os_provider.guest_os.catalogue import Catalogue, CatalogueError  # noqa: E402 - as above
from batch_os_provider.runtime.text_file import NotTextError, read_text  # noqa: E402 - as above

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


def releases_table(known: Catalogue) -> str:
    """The text of the table of releases."""
    head = "version,family,windows_server,minor,msrc_yyyymm,release,release_date,disable_date"
    return table(
        head,
        (
            (
                release.text,
                release.version.family,
                release.windows_server,
                release.version.minor,
                release.version.month,
                f"{release.version.release:02d}",
                release.released,
                release.disabled or "",
            )
            for release in known.releases
        ),
    )


def families_table(before: str, known: Catalogue) -> str:
    """The text of the table of families: dates stay as they were written, since some are only a month."""
    written = {line["family"]: line for line in csv.DictReader(io.StringIO(before, newline=""))}
    dates = ("announced", "end_of_life")
    return table(
        "family,windows_server,announced,end_of_life",
        (
            (number, family.windows_server, *(written.get(str(number), {}).get(name, "") for name in dates))
            for number, family in sorted(known.families.items())
        ),
    )


def table(head: str, rows: Iterator[tuple[object, ...]]) -> str:
    """A table as CSV."""
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(head.split(","))
    writer.writerows(rows)
    return out.getvalue()


def refresh(page: Page, folder: Path, *, check: bool) -> int:
    """Merge the page into the tables of a folder, and print what is new."""
    releases, families = folder / catalogue.RELEASES_FILE, folder / catalogue.FAMILIES_FILE
    written = families.read_bytes().decode()
    known = catalogue.read(releases.read_bytes().decode(), written)
    merged, changes = merge(known, page)
    for misprint in page.misprints:
        print(f"misprint: {misprint}")
    for change in changes:
        print(change)
    now = f"{len(merged.releases)} releases until {merged.covers_until}"
    if not changes:
        print(f"nothing new: {now}")
        return 0
    if check:
        print(f"{len(changes)} changes, not written")
        return 1
    write_whole(families, families_table(written, merged))  # first: a release needs its family
    write_whole(releases, releases_table(merged))
    print(f"{len(changes)} changes, written: {now}")
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    summary = (__doc__ or "").splitlines()[0]
    parser = argparse.ArgumentParser(prog="guestos_releases.py", description=summary)
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--from", dest="file", type=Path, metavar="FILE", help="read a page that was saved")
    source.add_argument("--url", default=URL, help="read another page (default: %(default)s)")
    parser.add_argument("--check", action="store_true", help="change nothing; exit with 1 if there is something new")
    folder = ROOT / "batch_os_provider" / "guest_os"
    parser.add_argument("--data", type=Path, default=folder, metavar="DIR", help="where the tables are (default: ours)")
    options = parser.parse_args(arguments)
    if not options.url.startswith(("https://", f"{LOOPBACK}:")):
        parser.error("--url has to begin with https://")
    try:
        text = read_text(options.file) if options.file else fetch(options.url)
        return refresh(parse(text), options.data, check=options.check)
    except (PageError, CatalogueError, NotTextError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
