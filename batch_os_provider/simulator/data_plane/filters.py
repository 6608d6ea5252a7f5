"""``$filter`` of the lists.

Clients filter on their own, and a filter that is ignored is worse than one that is refused. Supported:
``name eq 'value'`` and ``ne``; ``lt``, ``le``, ``gt``, ``ge`` on ids and, as ``DateTime'...'``, on times;
``startswith(id,'value')``; ``and``, ``or``, ``not`` and parentheses. The error of any other filter names the part that
is not supported.
"""

from __future__ import annotations

import operator
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from batch_os_provider.simulator.world.clock import parse_iso
from batch_os_provider.simulator.world.errors import BatchError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Predicate = Callable[[Mapping[str, Any]], bool]

_TOKEN = re.compile(r"\s*(?:(datetime'[^']*')|('(?:[^']|'')*')|([\w/]+)|([(),]))", re.IGNORECASE)
_CASELESS: Final = frozenset({"id", "poolId"})
_OPERATORS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    name: getattr(operator, name) for name in ("eq", "ne", "lt", "le", "gt", "ge")
}
_MAX_DEPTH: Final = 20
"""Levels of parentheses and of ``not``."""


class _FilterError(Exception):
    """The text is not understood; says why."""


@lru_cache(maxsize=256)
def parse_filter(text: str, allowed: frozenset[str]) -> Predicate:
    """Read a filter over the properties in ``allowed``. The predicate gets an item as Batch returns it.

    Raises:
        BatchError: InvalidQueryParameterValue, with the part that is not supported.
    """
    try:
        return _Parser(text, allowed).whole()
    except _FilterError as refused:
        raise BatchError(
            "InvalidQueryParameterValue",
            ("QueryParameterName", "$filter"),
            ("QueryParameterValue", text),
            ("Reason", str(refused)),
        ) from None


class _Parser:
    """One text, read from left to right."""

    def __init__(self, text: str, allowed: frozenset[str]) -> None:
        self._allowed = allowed
        self._tokens: list[str] = []
        self._depth = 0
        place, end = 0, len(text.rstrip())
        while place < end:
            match = _TOKEN.match(text, place)
            if match is None:
                raise _FilterError(f"It is not understood from {text[place:].strip()[:20]} on")
            self._tokens.append(match.group().strip())
            place = match.end()
        self._tokens.reverse()

    def whole(self) -> Predicate:
        """The predicate of the whole text."""
        found = self._or()
        if self._tokens:
            raise _FilterError(f"{self._tokens[-1]} is not expected where it is")
        return found

    def _take(self, *wanted: str) -> str:
        token = self._tokens.pop() if self._tokens else ""
        if not token or (wanted and token.lower() not in wanted):
            raise _FilterError(f"{' or '.join(wanted) or 'More'} is expected instead of {token or 'the end'}")
        return token

    def _next_is(self, word: str) -> bool:
        if self._tokens and self._tokens[-1].lower() == word:
            self._tokens.pop()
            return True
        return False

    def _or(self) -> Predicate:
        parts = [self._and()]
        while self._next_is("or"):
            parts.append(self._and())
        return lambda item: any(part(item) for part in parts)

    def _and(self) -> Predicate:
        parts = [self._not()]
        while self._next_is("and"):
            parts.append(self._not())
        return lambda item: all(part(item) for part in parts)

    def _not(self) -> Predicate:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise _FilterError(f"More than {_MAX_DEPTH} levels are not supported")
        try:
            if self._next_is("not"):
                negated = self._not()
                return lambda item: not negated(item)
            if self._next_is("("):
                found = self._or()
                self._take(")")
                return found
        finally:
            self._depth -= 1
        return self._comparison()

    def _comparison(self) -> Predicate:
        if self._next_is("startswith"):
            self._take("(")
            name = self._name()
            self._take(",")
            prefix = _text(self._take(), name)
            self._take(")")
            return lambda item: _normalized(name, str(item.get(name, ""))).startswith(prefix)
        name = self._name()
        word = self._take(*_OPERATORS).lower()
        value, compare = self._take(), _OPERATORS[word]
        if value.lower().startswith("datetime'"):
            return _by_time(name, compare, value[len("datetime'") : -1])
        wanted = _text(value, name)
        if word not in ("eq", "ne") and name not in _CASELESS:
            raise _FilterError(f"{word} is not supported on {name} with a text")
        return lambda item: compare(_normalized(name, str(item.get(name, ""))), wanted)

    def _name(self) -> str:
        name = self._take()
        if name not in self._allowed:
            raise _FilterError(f"Filtering on {name} is not supported; supported: {', '.join(sorted(self._allowed))}")
        return name


def _text(token: str, name: str) -> str:
    if not token.startswith("'"):
        raise _FilterError(f"A value in quotes is expected instead of {token}")
    return _normalized(name, token[1:-1].replace("''", "'"))


def _normalized(name: str, value: str) -> str:
    return value.lower() if name in _CASELESS else value


def _by_time(name: str, compare: Callable[[Any, Any], bool], text: str) -> Predicate:
    if not name.endswith("Time") and name != "lastModified":
        raise _FilterError(f"{name} is not a time")
    try:
        wanted = parse_iso(text)
    except ValueError as error:
        raise _FilterError(str(error)) from None
    return lambda item: name in item and compare(parse_iso(item[name]), wanted)
