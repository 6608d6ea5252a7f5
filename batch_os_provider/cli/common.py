"""What the subcommands share: exit codes, ENDPOINT, `--fail-on`, and how they print a document or an error.

People write an endpoint in several forms and sometimes twice, and an exit code is a promise: each is handled once.
"""

from __future__ import annotations

import difflib
import json
import os
import sys
from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Any, NoReturn, TextIO

import click

from batch_os_provider.batch.address import parse_endpoint

__all__ = [
    "CLOSED_PIPE",
    "FAILED",
    "INTERRUPTED",
    "NO",
    "UNREADABLE",
    "discard_unwritten",
    "endpoints_of",
    "fail",
    "fail_on_words",
    "print_json",
]

FAILED, UNREADABLE, NO = 1, 2, 3
"""Exit codes: an error of the machine or the input; an account could not be read; the answer is "no"."""
INTERRUPTED, CLOSED_PIPE = 130, 141
"""Exit codes: ^C; no program reads the output any more. A shell uses the same two."""


def endpoints_of(_context: click.Context, _parameter: click.Parameter, given: tuple[str, ...]) -> tuple[str, ...]:
    """Each account once, normalised, in the order given; for click's ``callback``."""
    try:
        return tuple(dict.fromkeys(parse_endpoint(each) for each in given))
    except ValueError as error:
        # Without the value: it may hold a password.
        raise click.BadParameter(
            f"not an account endpoint: {error}; allowed: https://<account>.<region>.batch.azure.com, "
            "as `az batch account show` prints in accountEndpoint"
        ) from None


def fail_on_words(given: tuple[str, ...], known: Collection[str]) -> list[str]:
    """The words of `--fail-on`: separated by commas, the option given several times.

    Raises:
        click.BadParameter: a word is unknown, or the option names none.
    """
    words = [word.strip() for each in given for word in each.split(",") if word.strip()]
    for word in words:
        if word not in known:
            near = difflib.get_close_matches(word, known, 1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise click.BadParameter(
                f"{word!r} is not one of its words; {hint}all: {', '.join(known)}", param_hint="--fail-on"
            )
    if given and not words:
        # A misspelt or unset variable of the pipeline. Without this error the pipeline would pass without any gate.
        raise click.BadParameter("names no word; leave the option out for no gates", param_hint="--fail-on")
    return words


def print_json(document: Mapping[str, Any]) -> None:
    """Print one document on standard output."""
    click.echo(json.dumps(document, indent=2))


def fail(text: str) -> NoReturn:
    """Print an error of the machine or the input, and end the process."""
    click.echo(f"error: {text}", err=True)
    sys.exit(FAILED)


def discard_unwritten() -> None:
    """Discard what a broken stream still buffers, or the interpreter fails to write it once more at its end."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and _is_broken(stream):
            with suppress(OSError, ValueError):
                devnull = os.open(os.devnull, os.O_WRONLY)
                os.dup2(devnull, stream.fileno())
                os.close(devnull)


def _is_broken(stream: TextIO) -> bool:
    try:
        stream.flush()
    except OSError:
        return True
    return False
