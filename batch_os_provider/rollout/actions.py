"""The actions that both decision tables can return.

Both tables share these types, so the loop and the preview handle both kinds of pool in the same way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from batch_os_provider.errors import ServiceAnswer

__all__ = ["GRACE", "Done", "Phase", "Refuse", "Wait"]


GRACE = 30.0
"""Seconds after our 202 in which a read may still show the pool as it was before."""


Phase = Literal[
    "upgrading",
    "joined",
    "conflict",
    "resizing",
    "settling",
    "unknown state",
    # of VM pools:
    "lagging",
    "until renewed",
    "until empty",
    "allocating",
    "proving",
    "canary",
]


@dataclass(frozen=True)
class Done:
    """The pool runs the target."""


@dataclass(frozen=True)
class Wait:
    """Read the pool again later. ``why`` is for the row; ``warning`` is printed once."""

    phase: Phase
    why: str
    warning: str = ""


@dataclass(frozen=True)
class Refuse:
    """Stop with an error; nothing more is written.

    ``property`` is the name of the wrong input in a program; empty means the declared version.
    """

    reason: str
    next_step: str
    answer: ServiceAnswer | None = None
    property: str = ""
