"""`batch-os comment`: write one comment for a pull request from the previews of all its stacks.

A reviewer who has never heard of Batch reads the pull request and not the logs of its jobs. docs/comment.md shows the
comment, and how a pipeline uses it.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from batch_os_provider.cli.comment import fail_on, preview_file
from batch_os_provider.cli.comment.digest import digest
from batch_os_provider.cli.comment.markdown import comment as write
from batch_os_provider.cli.comment.rows import Row, Stack
from batch_os_provider.cli.common import NO, fail_on_words

__all__ = ["command", "json_document"]

_NAME = r"[A-Za-z0-9]+([._-][A-Za-z0-9]+)*"


@click.command("comment", short_help="Write one Markdown comment about previews.")
@click.argument("previews", nargs=-1, required=True, metavar="STACK=FILE...")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Write the comment there.")
@click.option("--json", "as_json", is_flag=True, help="Print the digest as JSON, and no comment without --output.")
@click.option(
    "--fail-on",
    "words",
    multiple=True,
    metavar="WORD,...",
    help=f"Exit with 3 if a preview shows one of: {', '.join(fail_on.MEANINGS)}.",
)
@click.option(
    "--marker", default="", metavar="NAME", help="Distinguishes this comment from others on the same pull request."
)
def command(
    previews: tuple[str, ...], output: Path | None, words: tuple[str, ...], marker: str, *, as_json: bool
) -> None:
    """Write one Markdown comment about the previews of all stacks.

    FILE is the output of `pulumi preview --json` for STACK. A preview that failed or was killed is shown as failed, and
    stops nothing unless --fail-on names `failed`.
    """
    if marker and not re.fullmatch(_NAME, marker):
        raise click.BadParameter("allowed: letters and digits, and . _ - between them", param_hint="--marker")
    wanted = fail_on_words(words, fail_on.MEANINGS)
    stacks = [digest(name, _read(name, path)) for name, path in _named(previews).items()]
    stopped = list(fail_on.tripped(wanted, stacks))
    text = write(stacks, name=marker, stopped=stopped)
    if output is not None:
        try:
            output.write_bytes(text.encode())
        except OSError as error:
            raise click.ClickException(f"the comment cannot be written: {output}: {error.strerror}") from error
    # Bytes, because a redirected Windows console uses a code page that lacks our arrows.
    if as_json:
        click.echo(json.dumps(json_document(stacks, stopped), indent=2).encode())
    elif output is None:
        click.echo(text.encode(), nl=False)
    for each in stopped:
        click.echo(f"--fail-on {each}", err=True)
    if stopped:
        raise click.exceptions.Exit(NO)


def json_document(stacks: list[Stack], stopped: list[fail_on.Tripped]) -> dict[str, Any]:
    """The digest for programs; docs/comment.md lists its keys."""
    return {
        "version": 1,
        "stacks": [
            {
                "stack": stack.name,
                "failed": bool(stack.error),
                "error": stack.error,
                "pools": [_row(row) for row in stack.rows],
                "unchanged": stack.unchanged,
                "otherChanges": dict(stack.others),
                "said": [asdict(each) for each in stack.said],
            }
            for stack in stacks
        ],
        "stoppedAt": [asdict(each) for each in stopped],
    }


def _row(row: Row) -> dict[str, Any]:
    names = {"came_from": "from", "target": "to", "pool_id": "poolId", "image_ends": "imageEnds"}
    names |= {"from_image": "fromImage", "to_image": "toImage"}
    return {names.get(name, name): value for name, value in asdict(row).items()}


def _named(previews: tuple[str, ...]) -> dict[str, Path]:
    """The files by stack. Raises UsageError if a name is missing, or a stack or file is given twice."""
    files: dict[str, Path] = {}
    for each in previews:
        name, separator, path = each.partition("=")
        if not (name.strip() and separator and path):
            raise click.UsageError(f"{each!r} is not STACK=FILE, such as dev=dev.json")
        if name in files:
            raise click.UsageError(f"stack {name} is given twice: {files[name]} and {path}")
        same = next((other for other, file in files.items() if file.resolve() == Path(path).resolve()), "")
        if same:
            raise click.UsageError(f"{path} is given twice, for stack {same} and for stack {name}")
        files[name] = Path(path)
    return files


def _read(name: str, path: Path) -> preview_file.Document:
    try:
        return preview_file.read(path.read_bytes())
    except OSError as error:
        raise click.ClickException(f"the preview of stack {name} cannot be read: {path}: {error.strerror}") from error
    except preview_file.NotAPreviewError as error:
        raise click.ClickException(f"{path}, given for stack {name}, is {error}") from error
