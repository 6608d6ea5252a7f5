"""The differences between the recorded traffic and the simulator that are left, each with its reason.

docs/parity.md prints this table. A test replays every exchange: a difference that is not here fails, and so does a row
whose difference has vanished.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

KINDS: Final = {
    "not built": "the simulator does not have it",
    "old": "the service did this once, and a later recording contradicts it",
    "unknowable": "no recording can settle it",
}
"""Why a difference is left."""


@dataclass(frozen=True)
class Left:
    """A difference: the exchanges in which it occurs as ``file.place``, its texts, and why it is left."""

    exchanges: tuple[str, ...]
    differences: tuple[str, ...]
    what: str
    kind: str
    why: str


_NOT_IMPLEMENTED: Final = "501 NotImplemented"
BODIES: Final = ("header Transfer-Encoding: absent", "header Content-Length: only here")
"""Both are in each answer with 200 and a JSON body."""
_CHUNKS: Final = "faults cut and slow a body of known length"
LEFT: Final = (
    Left(
        ("03.6", "16.3"),
        (f"status 202: {_NOT_IMPLEMENTED}",),
        "reboot of a node",
        "not built",
        "this provider never reboots a node",
    ),
    Left(
        ("03.7", "17.1"),
        (f"status 202: {_NOT_IMPLEMENTED}",),
        "reimage of a node of a VM pool",
        "not built",
        "the version of a reimaged node is not known, so this provider never reimages one",
    ),
    Left(
        ("16.1", "16.2"),
        (f"status 200: {_NOT_IMPLEMENTED}",),
        "disablescheduling and enablescheduling",
        "not built",
        "this provider does not use them; a state can have nodes with disabled scheduling",
    ),
    Left(
        ("09.2", "10.1"),
        (f"status 200: {_NOT_IMPLEMENTED}",),
        "evaluateautoscale (also the error of an invalid formula has status 200)",
        "not built",
        "formulas are kept and shown, never evaluated",
    ),
    Left(
        ("03.17",),
        (*BODIES, "resizeTimeout 'PT7M9.497S': 'PT15M'"),
        "the resizeTimeout of a pool that is being deleted (PT7M9.497S)",
        "unknowable",
        "one recording does not show how the service computes it; here it stays as it was",
    ),
    Left(
        ("21.3",),
        ("status 400: 201",),
        "a pool with an image that Batch does not support is refused with InvalidPropertyValue",
        "not built",
        "the simulator takes every image, also one that it does not list as supported",
    ),
    Left(
        ("24.1",),
        ("status 409: 200",),
        "a package of an unknown application is refused with InvalidApplicationPackageReferences",
        "not built",
        "applications are not simulated",
    ),
)
OLD: Final = ("17.2",)
"""Exchanges that are not replayed: in 2021 a reimage of a VM node was 409, in 2025 and 2026 it is 202 (17.1)."""


def golden_table() -> str:
    """The table of docs/parity.md."""
    rows = ["| Recorded | Exchanges | Left because |", "|---|---|---|"]
    rows.append(f"| JSON answers are chunked | all with status 200 and a body | not built: {_CHUNKS} |")
    rows += [f"| {left.what} | {', '.join(left.exchanges)} | {left.kind}: {left.why} |" for left in LEFT]
    old = "reimage of a node of a VM pool is refused with 409 (2021)"
    rows.append(f"| {old} | {', '.join(OLD)} | old: since 2025 it is accepted |")
    return "".join(f"{row}\n" for row in rows)
