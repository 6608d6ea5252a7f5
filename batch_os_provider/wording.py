"""Plural forms of the words in messages.

One place decides on the plural of each word, so that no message says "1 nodes are". `tests/unit/plurals.py` checks
the rendered messages.
"""

from __future__ import annotations

__all__ = ["counted", "plural"]


def counted(number: int, one: str, many: str = "") -> str:
    """The number with its noun: ``1 node``, ``2 nodes``; ``many`` if the plural is not ``one`` with an ``s``."""
    return f"{number} {plural(number, one, many)}"


def plural(number: int, one: str, many: str = "") -> str:
    """Only the word: ``plural(1, "is", "are")`` is ``is``. Without ``many`` the plural is ``one`` with an ``s``."""
    return one if number == 1 else many or f"{one}s"
