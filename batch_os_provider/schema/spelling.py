"""How the native provider spells the names of this package: ``onTimeout`` for ``on_timeout``.

A state may come from either door, so the rooms that read states know both spellings.
"""

from __future__ import annotations

__all__ = ["camel"]


def camel(name: str) -> str:
    """``on_timeout`` as ``onTimeout``."""
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
