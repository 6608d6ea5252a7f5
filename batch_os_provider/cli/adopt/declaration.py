"""A pool that a program declares, in whatever language.

Each reader of programs makes these values, and the commands that compare programs with accounts need nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from batch_os_provider.batch.address import PoolRef

__all__ = ["DeclaredPool"]


@dataclass(frozen=True)
class DeclaredPool:
    """One resource of this package. ``ref`` is None if its pool is not known here, for the reason ``unknown``.

    ``inputs`` holds the inputs that are known without a deployment, by the names of the Python classes. ``is_native``
    says that the program spells them as the native provider does; messages then do so too.
    """

    program: str
    name: str
    ref: PoolRef | None
    pool_id: str = ""
    inputs: Mapping[str, Any] = field(default_factory=dict)
    unknown: str = "only a deployment knows where"
    is_native: bool = False
