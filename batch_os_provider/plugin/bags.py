"""Bags of properties as the engine sends them: values with marks for secrets, and a word for what is not known yet.

The engine marks values of a bag in its own way, and only this module knows the marks. A secret comes back marked under
the same name, so that the state never shows it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf import json_format, struct_pb2

__all__ = ["UNKNOWN", "Bag", "is_unknown", "pack", "unpack"]

# Source: pulumi/pulumi, sdk/go/common/resource/properties.go and plugin/rpc.go.
_SIGNATURE = "4dabf18193072939515e22adb298388d"
_SECRET = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105 - the mark of the protocol, not a secret
_UNKNOWN_TEXT = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
_UNKNOWN_WORDS = frozenset(
    {
        _UNKNOWN_TEXT,
        "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",
        "3eeb2bf0-c639-47a8-9e75-3b44932eb421",
        "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",
        "030794c1-ac77-496b-92df-f27374a8bd58",
        "e48ece36-62e2-4504-bad9-02848725956a",
        "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",
    }
)


class _Unknown:
    """A value that is not known yet; there is one of it."""

    def __repr__(self) -> str:
        return "a value that is not known yet"


UNKNOWN = _Unknown()
"""A value that is not known before an `up`."""


def is_unknown(value: object) -> bool:
    """Whether a value, or a part of it, is not known yet."""
    if isinstance(value, Mapping):
        return any(map(is_unknown, value.values()))
    return any(map(is_unknown, value)) if isinstance(value, list) else value is UNKNOWN


@dataclass(frozen=True)
class Bag:
    """The values of a bag without marks, and the names of those that are or contain a secret."""

    values: dict[str, Any]
    secrets: frozenset[str] = frozenset()

    def __repr__(self) -> str:
        return f"Bag({', '.join(self.values)})"  # the values may be secret


def unpack(bag: struct_pb2.Struct) -> Bag:
    """Read a bag of the engine."""
    raw: dict[str, Any] = json_format.MessageToDict(bag)
    secrets = frozenset(name for name, value in raw.items() if _has_secret(value))
    return Bag({name: _plain(value) for name, value in raw.items()}, secrets)


def pack(values: Mapping[str, Any], secrets: Collection[str] = ()) -> struct_pb2.Struct:
    """Write a bag for the engine, with marks at the values of these names."""
    marked = {name: _marked(value, is_secret=name in secrets) for name, value in values.items()}
    return json_format.ParseDict(marked, struct_pb2.Struct())


def _marked(value: object, *, is_secret: bool) -> object:
    sent = _sent(value)
    return {_SIGNATURE: _SECRET, "value": sent} if is_secret else sent


def _sent(value: object) -> object:
    if isinstance(value, Mapping):
        return {name: _sent(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_sent(each) for each in value]
    return _UNKNOWN_TEXT if value is UNKNOWN else value


def _has_secret(value: object) -> bool:
    if isinstance(value, dict):
        return value.get(_SIGNATURE) == _SECRET or any(map(_has_secret, value.values()))
    return isinstance(value, list) and any(map(_has_secret, value))


def _plain(value: object) -> object:
    if isinstance(value, dict):
        if value.get(_SIGNATURE) == _SECRET:
            return _plain(value.get("value"))
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return UNKNOWN if isinstance(value, str) and value in _UNKNOWN_WORDS else value
