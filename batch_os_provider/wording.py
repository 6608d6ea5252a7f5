"""Plural forms of the words in messages.

Each message used to choose its own, and some said "1 nodes are": `tests/unit/plurals.py` judges
the texts that come out.
"""

from __future__ import annotations

__all__ = ["counted", "plural"]


def counted(number: int, one: str, many: str = "") -> str:
    """The number with its noun: ``1 node``, ``2 nodes``; ``many`` where an ``s`` at the end is not enough."""
    return f"{number} {plural(number, one, many)}"


def plural(number: int, one: str, many: str = "") -> str:
    """The word alone: ``plural(1, "is", "are")`` is ``is``; without ``many`` it is ``one`` with an ``s``."""
    return one if number == 1 else many or f"{one}s"
