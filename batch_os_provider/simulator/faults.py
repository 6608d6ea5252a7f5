"""What goes wrong on purpose.

Why it exists: a rollout is judged by what it does when an answer is refused, late or lost. Rules say which
request is hit and how; they count what they did, so that a test can prove that its fault did fire. A request
that one rule has answered is not seen by the rules after it.

The two losses differ in the only thing that matters: after ``dropBefore`` nothing happened, after ``dropAfter``
the write happened and nobody was told.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Final

from .operations import OPERATIONS
from .reading import RefusedError

_HOUR: Final = 3_600
_OPERATIONS: Final = tuple(operation.id for operation in OPERATIONS)
_USUAL_CODE: Final = {
    400: "InvalidInput",
    403: "AuthenticationFailed",
    404: "PoolNotFound",
    409: "OperationInvalidForCurrentState",
    412: "ConditionNotMet",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServerBusy",
}
_MATCH: Final = frozenset({"operation", "pool", "nth", "probability", "seed"})
_EFFECTS: Final = {
    "status": frozenset({"kind", "status", "code", "retryAfter", "message"}),
    "delay": frozenset({"kind", "seconds"}),
    "dropBefore": frozenset({"kind"}),
    "dropAfter": frozenset({"kind"}),
}


@dataclass(slots=True)
class Fault:
    """One rule. ``seen`` counts the requests that its match describes, ``fired`` those it hit."""

    id: str
    match: dict[str, Any]
    effect: dict[str, Any]
    dice: random.Random
    fired: int = 0
    seen: int = field(default=0)

    def hits(self, operation: str, pool: str | None) -> bool:
        """Whether this request is hit; to ask is to count it."""
        wanted_operation, wanted_pool = self.match.get("operation"), self.match.get("pool")
        if wanted_operation is not None and wanted_operation != operation:
            return False
        if wanted_pool is not None and (pool is None or wanted_pool.lower() != pool.lower()):
            return False
        self.seen += 1
        nth, probability = self.match.get("nth"), self.match.get("probability")
        if nth is not None and self.seen != nth:
            return False
        if probability is not None and self.dice.random() >= probability:
            return False
        self.fired += 1
        return True

    def to_json(self) -> dict[str, Any]:
        """The rule in the shape of ``/_simulator/faults``."""
        return {"id": self.id, "match": self.match, "effect": self.effect, "fired": self.fired}


class Faults:
    """The rules in force, in the order in which they were given."""

    def __init__(self) -> None:
        self.rules: list[Fault] = []
        self._given = 0

    def add(self, given: object) -> Fault:
        """Add ``{"match": {...}, "effect": {"kind": ...}}``.

        Raises:
            RefusedError: something in it is not understood.
        """
        if not isinstance(given, dict):
            raise RefusedError("a fault is an object with match and effect")
        match, effect = _match(given.get("match", {})), _effect(given.get("effect"))
        self._given += 1
        name = str(given.get("id") or f"fault-{self._given}")
        if any(rule.id == name for rule in self.rules):
            raise RefusedError(f"there is already a fault with the id {name!r}")
        # Seeded on purpose: a fault must hit the same requests in every run.
        dice = random.Random(match.get("seed", 0))  # noqa: S311 - no secret depends on it
        rule = Fault(name, match, effect, dice)
        self.rules.append(rule)
        return rule

    def remove(self, name: str) -> None:
        """Remove one rule.

        Raises:
            KeyError: no such rule.
        """
        kept = [rule for rule in self.rules if rule.id != name]
        if len(kept) == len(self.rules):
            raise KeyError(name)
        self.rules = kept

    def clear(self) -> None:
        """Remove all rules and start their numbering again."""
        self.rules = []
        self._given = 0

    def hitting(self, operation: str, pool: str | None) -> list[Fault]:
        """The rules that hit this request: delays add up, the first other effect ends the list."""
        hit: list[Fault] = []
        for rule in self.rules:
            if rule.hits(operation, pool):
                hit.append(rule)
                if rule.effect["kind"] != "delay":
                    break
        return hit


def _number(value: object, low: float, high: float) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and low <= value <= high


def _match(match: object) -> dict[str, Any]:
    if not isinstance(match, dict) or not set(match) <= _MATCH:
        raise RefusedError(f"match is an object with any of: {', '.join(sorted(_MATCH))}")
    for name in ("operation", "pool"):
        if match.get(name) is not None and not isinstance(match[name], str):
            raise RefusedError(f"match.{name} is a text")
    if match.get("operation") not in (None, *_OPERATIONS):
        near = get_close_matches(match["operation"], _OPERATIONS, 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise RefusedError(f"there is no operation {match['operation']!r}{hint}")
    nth = match.get("nth")
    if nth is not None and not (isinstance(nth, int) and not isinstance(nth, bool) and nth >= 1):
        raise RefusedError("match.nth is a whole number from 1: the nth matching request since the fault was given")
    if match.get("probability") is not None and not _number(match["probability"], 0, 1):
        raise RefusedError("match.probability is a number from 0 to 1")
    if match.get("seed") is not None and not isinstance(match["seed"], (int, str)):
        raise RefusedError("match.seed is a number or a text")
    return match


def _effect(effect: object) -> dict[str, Any]:
    kind = effect.get("kind") if isinstance(effect, dict) else None
    if not isinstance(effect, dict) or kind not in _EFFECTS:
        raise RefusedError(f"unknown effect kind {kind!r}; kinds: {', '.join(_EFFECTS)}")
    if not set(effect) <= _EFFECTS[kind]:
        raise RefusedError(f"effect {kind} knows only: {', '.join(sorted(_EFFECTS[kind]))}")
    if kind == "delay" and not _number(effect.get("seconds"), 0, _HOUR):
        raise RefusedError(f"effect.seconds is a number from 0 to {_HOUR}")
    if kind == "status":
        _check_status(effect)
    return effect


def _check_status(effect: dict[str, Any]) -> None:
    if not isinstance(effect.get("status"), int) or not _number(effect["status"], 300, 599):
        raise RefusedError("effect.status is an HTTP status from 300 to 599")
    for name in ("code", "message"):
        if effect.get(name) is not None and not isinstance(effect[name], str):
            raise RefusedError(f"effect.{name} is a text")
    after = effect.get("retryAfter")
    if after is not None and not isinstance(after, str) and not _number(after, 0, 24 * _HOUR):
        raise RefusedError("effect.retryAfter is a number of seconds or an HTTP date")


def status_code(effect: dict[str, Any]) -> str:
    """The Batch code of a ``status`` effect: the given one, or what the table has for the status."""
    return str(effect.get("code") or _USUAL_CODE.get(effect["status"], "InternalError"))
