"""The effects of faults: each kind, its fields, and the error for an invalid value.

A misspelt rule must be refused when it is added. If it silently did nothing, its test would prove nothing. The kinds
are applied in :mod:`.corrupt` and in the data plane.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from batch_os_provider.simulator.world.reader import RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

HOUR: Final = 3_600
DAY: Final = 24 * HOUR
_MAX_CHANGES: Final = 100
_MAX_PIECES: Final = 1_000
STATES: Final = ("state", "allocationState")
"""The fields that ``unknownState`` can replace."""
UNKNOWN_STATE: Final = "defragmenting"
"""A state that Batch does not have."""


def is_number(value: object, low: float, high: float) -> bool:
    """Whether a value is a number (not a bool) from ``low`` to ``high``."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and low <= value <= high


def _number(low: float, high: float) -> tuple[Callable[[object], bool], str]:
    return lambda value: is_number(value, low, high), f"a number from {low} to {high}"


def _whole(low: int, high: int) -> tuple[Callable[[object], bool], str]:
    return lambda value: isinstance(value, int) and is_number(value, low, high), f"a whole number from {low} to {high}"


def _texts(*allowed: str) -> tuple[Callable[[object], bool], str]:
    def fits(value: object) -> bool:
        listed = isinstance(value, list) and value and all(isinstance(name, str) and name for name in value)
        return bool(listed) and (not allowed or set(value) <= set(allowed))  # type: ignore[call-overload]  # a list

    return fits, f"a list of {'any of ' + ', '.join(allowed) if allowed else 'names'}, at least one"


_TEXT: Final = (lambda value: isinstance(value, str), "a string")
_TRUTH: Final = (lambda value: isinstance(value, bool), "true or false")
_UNITS: Final = ("seconds", "date")
_STATUS: Final = (lambda value: isinstance(value, int) and is_number(value, 300, 599), "an HTTP status from 300 to 599")
_RETRY: Final = (
    lambda value: isinstance(value, str) or is_number(value, 0, DAY),
    "a number of seconds or an HTTP date",
)

_FIELDS: Final[Mapping[str, Mapping[str, tuple[Callable[[Any], bool], str]]]] = {
    "status": {
        "status": _STATUS,
        "code": _TEXT,
        "message": _TEXT,
        "retryAfter": _RETRY,
        "retryAfterAs": (lambda value: value in _UNITS, " or ".join(_UNITS)),
    },
    "delay": {"seconds": _number(0, HOUR), "after": _TRUTH},
    "dropBefore": {},
    "dropAfter": {},
    "reset": {"after": _TRUTH},
    "truncate": {"bytes": _whole(0, 1_000_000)},
    "slow": {"seconds": _number(0, HOUR), "pieces": _whole(1, _MAX_PIECES)},
    "stale": {"changes": _whole(1, _MAX_CHANGES), "seconds": _number(0, DAY)},
    "garbage": {"body": _TEXT},
    "unknownState": {"value": _TEXT, "fields": _texts(*STATES)},
    "extraFields": {},
    "missingFields": {"names": _texts()},
    "clockSkew": {"seconds": _number(-DAY, DAY)},
}
_REQUIRED: Final = {
    "status": ("status",),
    "delay": ("seconds",),
    "slow": ("seconds",),
    "missingFields": ("names",),
    "clockSkew": ("seconds",),
}
KINDS: Final = tuple(_FIELDS)
"""Every kind of effect."""


def check(effect: object) -> dict[str, Any]:
    """The effect, checked; null is the same as absent.

    Raises:
        RefusedError: the effect is invalid; the text names the field and what it may be.
    """
    kind = effect.get("kind") if isinstance(effect, dict) else None
    if not isinstance(effect, dict) or not isinstance(kind, str) or kind not in _FIELDS:
        raise RefusedError(f"unknown effect kind {kind!r}; kinds: {', '.join(KINDS)}")
    fields, given = _FIELDS[kind], {name for name, value in effect.items() if value is not None and name != "kind"}
    if not given <= set(fields):
        raise RefusedError(f"effect {kind} has only these fields: {', '.join(sorted(['kind', *fields]))}")
    for name, (fits, words) in fields.items():
        if not fits(effect[name]) if name in given else name in _REQUIRED.get(kind, ()):
            raise RefusedError(f"effect.{name} is {words}")
    if kind == "stale" and len(given) != 1:
        raise RefusedError("effect stale needs exactly one of: changes, seconds")
    if "retryAfterAs" in given and not is_number(effect.get("retryAfter"), 0, DAY):
        raise RefusedError("effect.retryAfterAs needs effect.retryAfter as a number of seconds")
    return effect
