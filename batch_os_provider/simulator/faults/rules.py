"""The rules that select requests for a fault.

Tests check a rollout when an answer is refused, late or lost. A rule says which request gets which effect, and counts
how often it fired, so that a test can prove that its fault happened. Rules after the one that answers a request do not
see the request.

After ``dropBefore`` the write did not happen; after ``dropAfter`` it happened and the client has no answer. The other
kinds are in :mod:`.effects` and :mod:`.corrupt`.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from batch_os_provider.simulator.faults import effects
from batch_os_provider.simulator.protocol.operations import OPERATIONS, check_id
from batch_os_provider.simulator.world.clock import http_date, seconds
from batch_os_provider.simulator.world.reader import RefusedError

if TYPE_CHECKING:
    from batch_os_provider.simulator.world.world import World

_WRITES: Final = {operation.id: operation.writes for operation in OPERATIONS}
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


@dataclass(slots=True)
class Fault:
    """One rule. ``matched`` counts the requests that its match describes, ``fired`` those that it applied to."""

    id: str
    match: dict[str, Any]
    effect: dict[str, Any]
    rng: random.Random
    fired: int = 0
    matched: int = field(default=0)

    def matches(self, operation: str, pool: str | None) -> bool:
        """Whether the rule applies to this request. Each call counts the request."""
        wanted_operation, wanted_pool = self.match.get("operation"), self.match.get("pool")
        if wanted_operation is not None and wanted_operation != operation:
            return False
        if wanted_pool is not None and (pool is None or wanted_pool.lower() != pool.lower()):
            return False
        if self.effect["kind"] == "stale" and _WRITES[operation]:
            return False
        self.matched += 1
        nth, probability = self.match.get("nth"), self.match.get("probability")
        if nth is not None and self.matched != nth:
            return False
        if probability is not None and self.rng.random() >= probability:
            return False
        self.fired += 1
        return True

    def to_json(self) -> dict[str, Any]:
        """The rule in the shape of ``/_simulator/faults``."""
        return {"id": self.id, "match": self.match, "effect": self.effect, "fired": self.fired}


class Faults:
    """The active rules of one world, in the order in which they were added."""

    def __init__(self, world: World) -> None:
        self.rules: list[Fault] = []
        self._added = 0
        self._world = world

    def add(self, given: object) -> Fault:
        """Add ``{"match": {...}, "effect": {"kind": ...}}``.

        Raises:
            RefusedError: a field is invalid.
        """
        if not isinstance(given, dict):
            raise RefusedError("a fault is an object with match and effect")
        match, effect = _match(given.get("match", {})), effects.check(given.get("effect"))
        if effect["kind"] == "stale" and _WRITES.get(match.get("operation", ""), False):
            raise RefusedError(f"only a read can be stale, and {match['operation']} is a write")
        self._added += 1
        name = str(given.get("id") or f"fault-{self._added}")
        if any(rule.id == name for rule in self.rules):
            raise RefusedError(f"the id {name!r} already belongs to another fault")
        # Seeded, so that a fault applies to the same requests in every run.
        rng = random.Random(match.get("seed", 0))  # noqa: S311 - no secret depends on it
        rule = Fault(name, match, effect, rng)
        self.rules.append(rule)
        self._keep_history()
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
        self._keep_history()

    def clear(self) -> None:
        """Remove all rules and restart their numbering."""
        self.rules = []
        self._added = 0
        self._keep_history()

    def _keep_history(self) -> None:
        self._world.history.enable(self._world, wanted=any(rule.effect["kind"] == "stale" for rule in self.rules))

    def matching(self, operation: str, pool: str | None) -> list[Fault]:
        """The rules that apply to this request: delays add up, the first other effect ends the list."""
        hit: list[Fault] = []
        for rule in self.rules:
            if rule.matches(operation, pool):
                hit.append(rule)
                if rule.effect["kind"] != "delay":
                    break
        return hit


def _match(match: object) -> dict[str, Any]:
    if not isinstance(match, dict) or not set(match) <= _MATCH:
        raise RefusedError(f"match is an object with any of: {', '.join(sorted(_MATCH))}")
    for name in ("operation", "pool"):
        if match.get(name) is not None and not isinstance(match[name], str):
            raise RefusedError(f"match.{name} is a string")
    if match.get("operation") is not None:
        check_id(match["operation"])
    nth = match.get("nth")
    if nth is not None and not (isinstance(nth, int) and not isinstance(nth, bool) and nth >= 1):
        raise RefusedError("match.nth is a whole number from 1: the nth matching request since the fault was added")
    if match.get("probability") is not None and not effects.is_number(match["probability"], 0, 1):
        raise RefusedError("match.probability is a number from 0 to 1")
    if match.get("seed") is not None and not isinstance(match["seed"], (int, str)):
        raise RefusedError("match.seed is a number or a string")
    return match


def status_code(effect: dict[str, Any]) -> str:
    """The Batch code of a ``status`` effect: the given code, or the usual code of the status."""
    return str(effect.get("code") or _USUAL_CODE.get(effect["status"], "InternalError"))


def retry_after(effect: dict[str, Any], wall: int) -> str | None:
    """The Retry-After of a ``status`` effect: as given, or its seconds from now as an HTTP date."""
    after = effect.get("retryAfter")
    if after is not None and effect.get("retryAfterAs") == "date":
        return http_date(wall + seconds(after))
    return None if after is None else str(after)
