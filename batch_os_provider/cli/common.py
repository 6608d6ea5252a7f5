"""What the subcommands that look at accounts share: their arguments, and how they end.

An endpoint is spelled in many ways and given twice, and an exit code is a promise that is kept in one
place.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any, NoReturn

import click

from batch_os_provider.batch.address import parse_endpoint

__all__ = ["FAILED", "NO", "UNREADABLE", "endpoints_of", "fail", "print_json"]

FAILED, UNREADABLE, NO = 1, 2, 3
"""Exit codes: an error of machine or input; an account could not be read; the answer is "no"."""


def endpoints_of(_context: click.Context, _parameter: click.Parameter, given: tuple[str, ...]) -> tuple[str, ...]:
    """Each account once, normalised, in the order given; for click's ``callback``."""
    try:
        return tuple(dict.fromkeys(parse_endpoint(each) for each in given))
    except ValueError as error:
        # The value itself is not repeated: somebody may have put a password into it.
        raise click.BadParameter(
            f"not an account endpoint: {error}; allowed: https://<account>.<region>.batch.azure.com, "
            "as `az batch account show` prints in accountEndpoint"
        ) from None


def print_json(document: Mapping[str, Any]) -> None:
    """One document on standard output."""
    click.echo(json.dumps(document, indent=2))


def fail(text: str) -> NoReturn:
    """End with an error of machine or input."""
    click.echo(f"error: {text}", err=True)
    sys.exit(FAILED)
