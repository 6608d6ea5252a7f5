"""The result of one check of `batch-os doctor`.

All groups of checks return it, so that one place prints them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Check", "Status"]

Status = Literal["ok", "warn", "fail", "skip"]


@dataclass(frozen=True)
class Check:
    """The result of a check. ``about`` is ``machine`` or an endpoint; ``skip``: the check could not be made here."""

    about: str
    name: str
    status: Status
    seen: str
    fix: str = ""
