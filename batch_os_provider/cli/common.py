"""What the subcommands share: exit codes, the argument ENDPOINT, and how they print a document or an error.

People write an endpoint in several forms and sometimes twice, and an exit code is a promise: each is handled once.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
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
