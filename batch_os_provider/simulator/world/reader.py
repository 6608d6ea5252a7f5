"""Reading hand-written JSON with errors that name the place.

Seeds are written by people. Each object is taken apart by name; what is of the wrong type, or
left over at the end, is refused with a sentence, so that a misspelt property is never silently ignored.
"""

from __future__ import annotations

from typing import Any, TypeVar, overload

from batch_os_provider.simulator.world.clock import parse_iso

T = TypeVar("T")
_REQUIRED: Any = object()


class RefusedError(ValueError):
    """A control endpoint refuses what it was given; the text is the sentence that it answers."""


class StateError(RefusedError):
    """The state is not one, or is impossible; the text says where and why."""


def with_defaults(props: dict[str, Any], **defaults: Any) -> dict[str, Any]:
    """The properties, with defaults for those that are missing."""
    return {**defaults, **props}


class Reader:
    """One JSON object that is being taken apart. ``where`` names it in errors."""

    def __init__(self, where: str, data: object) -> None:
        if not isinstance(data, dict):
            raise StateError(f"{where}: an object is expected, not {type(data).__name__}.")
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
        """Leave out a property that follows from others."""
        self._left.pop(name, None)

    def take_rest(self, allowed: frozenset[str] | set[str]) -> dict[str, Any]:
        """Whatever is left, all of it allowed."""
        unknown = sorted(set(self._left) - allowed)
        if unknown:
            raise StateError(f"{self.where}: there is no property {', '.join(unknown)}.")
        left = {name: value for name, value in self._left.items() if value is not None}
        self._left = {}
        return left

    def finish(self) -> None:
        """Nothing may be left."""
        self.take_rest(frozenset())
