"""What the scripts that install something have in common: how they speak, how they fail, and how they end."""

from __future__ import annotations

import sys
from collections.abc import Callable


class SetupError(Exception):
    """Something the user has to install or repair; the text says what."""


def say(text: str) -> None:
    """Print a message on stderr, because stdout carries only the answer."""
    print(f"setup: {text}", file=sys.stderr, flush=True)


def ended(work: Callable[[], object]) -> int:
    """Do the work of a script, and return its exit code: 1 with the text of a `SetupError`, 130 after ^C, else 0."""
    try:
        work()
    except SetupError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0
