"""Reads hand-written JSON; its errors name the place.

Seeds are written by people. Each property is taken by name. A property of the wrong type, or one that is left at the
end, is refused, so that a misspelt property is never ignored.
"""

from __future__ import annotations

from typing import Any, TypeVar, overload

from batch_os_provider.simulator.world.clock import parse_iso
from batch_os_provider.wording import plural

T = TypeVar("T")
_REQUIRED: Any = object()


class RefusedError(ValueError):
    """A control endpoint refuses a request; the text is its answer."""


class StateError(RefusedError):
    """The state is invalid or cannot exist; the text says where and why."""


def with_defaults(props: dict[str, Any], **defaults: Any) -> dict[str, Any]:
    """The properties, with defaults for those that are missing."""
    return {**defaults, **props}


class Reader:
    """The properties of one JSON object. ``where`` names it in errors."""

    def __init__(self, where: str, data: object) -> None:
        if not isinstance(data, dict):
            raise StateError(f"{where}: expected an object, not {type(data).__name__}.")
        self.where = where
        self._left: dict[str, Any] = dict(data)

    @overload
    def take(self, name: str, kind: type[T]) -> T: ...
    @overload
    def take(self, name: str, kind: type[T], default: None) -> T | None: ...
    @overload
    def take(self, name: str, kind: type[T], default: T) -> T: ...
    def take(self, name: str, kind: type[Any], default: Any = _REQUIRED) -> Any:
        """Take one property of the given type; null is the same as absent."""
        value = self._left.pop(name, None)
        if value is None:
            if default is _REQUIRED:
                raise StateError(f"{self.where}: {name} is missing.")
            return default
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise StateError(f"{self.where}: {name} must be of type {kind.__name__}, not {value!r}.")
        return value

    @overload
    def take_time(self, name: str, default: int) -> int: ...
    @overload
    def take_time(self, name: str, default: None) -> int | None: ...
    def take_time(self, name: str, default: int | None) -> int | None:
        """Take a time, in ticks."""
        text = self.take(name, str, None)
        return default if text is None else self.parse_time(name, text)

    def parse_time(self, name: str, text: str) -> int:
        """Read a time."""
        try:
            return parse_iso(text)
        except ValueError as error:
            raise StateError(f"{self.where}: {name}: {error}.") from None

    def discard(self, name: str) -> None:
        """Ignore a property that is derived from others."""
        self._left.pop(name, None)

    def take_rest(self, allowed: frozenset[str] | set[str]) -> dict[str, Any]:
        """Take the remaining properties, all of which must be allowed."""
        unknown = sorted(set(self._left) - allowed)
        if unknown:
            raise StateError(
                f"{self.where}: unknown {plural(len(unknown), 'property', 'properties')} {', '.join(unknown)}."
            )
        left = {name: value for name, value in self._left.items() if value is not None}
        self._left = {}
        return left

    def finish(self) -> None:
        """Refuse remaining properties."""
        self.take_rest(frozenset())
