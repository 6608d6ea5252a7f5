"""Plural forms: the one place where a message learns whether it speaks of one thing or of several."""

from __future__ import annotations

__all__ = ["counted", "plural"]


def counted(number: int, one: str, many: str = "") -> str:
    """The number with its noun: ``1 node``, ``2 nodes``; ``many`` where an ``s`` at the end is not enough."""
    return f"{number} {plural(number, one, many)}"


def plural(number: int, one: str, many: str = "") -> str:
    """The word alone: ``plural(1, "is", "are")`` is ``is``; without ``many`` it is ``one`` with an ``s``."""
    return one if number == 1 else many or f"{one}s"
