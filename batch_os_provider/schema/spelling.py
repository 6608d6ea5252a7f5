"""How the native provider spells names: ``onTimeout`` where Python has ``on_timeout``, in bags and in messages.

The rooms of this package use the names of the Python classes, also in messages. The native provider translates at its
border. Commands and policies read states and previews of both providers. One table, made from the specifications,
serves all of them.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from batch_os_provider.schema import fleet_plan, inputs, outputs
from batch_os_provider.schema.units import did_you_mean

__all__ = ["CoreNames", "camel", "in_core", "in_program", "near", "spell", "strange"]


def camel(name: str) -> str:
    """``on_timeout`` as ``onTimeout``."""
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


_ALL = tuple(
    dict.fromkeys(
        (
            *inputs.OS.names,
            *inputs.IMAGE.names,
            *outputs.OUTPUTS,
            *outputs.IMAGE_OUTPUTS,
            *fleet_plan.NAMES,
        )
    )
)


_CAMEL: Mapping[str, str] = {name: camel(name) for name in _ALL}
_SNAKE: Mapping[str, str] = {spelled: name for name, spelled in _CAMEL.items()}
# Not inside a URL, a quoted value or a longer word: a pool may have the name of a property.
_IN_TEXT = re.compile(rf"(?<![\w/'\"-])({'|'.join(sorted(_ALL, key=len, reverse=True))})(?![\w/-])(=(?=[\"\w\[]))?")
_TAIL = "[batch-os v"


def in_core(bag: Mapping[str, Any]) -> dict[str, Any]:
    """A bag of the program with the names of the core. Names that are not a property stay as they are.

    A state that a dynamic provider wrote has the names of the core already.
    """
    return {_SNAKE.get(name, name): value for name, value in bag.items()}


class CoreNames(Mapping[str, Any]):
    """A bag of any provider with the names of the core, for a bag whose values must not be read without need."""

    def __init__(self, bag: Mapping[str, Any]) -> None:
        self._bag = bag

    def __getitem__(self, name: str) -> Any:
        for each in self._bag:
            if _SNAKE.get(each, each) == name:
                return self._bag[each]
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return (_SNAKE.get(name, name) for name in self._bag)

    def __len__(self) -> int:
        return len(self._bag)


def in_program(bag: Mapping[str, Any]) -> dict[str, Any]:
    """A bag of the core with the names of the program, without entries that are None."""
    return {_CAMEL.get(name, name): value for name, value in bag.items() if value is not None}


def near(name: str, names: Iterable[str]) -> str:
    """The name of the program that an author probably meant; empty without a clear guess."""
    from difflib import get_close_matches  # noqa: PLC0415 - only a wrong name needs it

    known: Collection[str] = [_CAMEL.get(each, each) for each in names]
    folded = {each.casefold(): each for each in known}
    found = get_close_matches(name.replace("_", "").casefold(), folded, n=1, cutoff=0.75)
    return folded[found[0]] if found else ""


def strange(name: str, names: Iterable[str], what: str) -> inputs.Failure:
    """The refusal of a property that is not one of these. ``what`` they are, such as ``an input of PoolOsVersion``."""
    known = [_CAMEL.get(each, each) for each in names]
    return inputs.Failure(name, f"it is not {what}; allowed: {', '.join(known)}{did_you_mean(near(name, known))}")


def spell(text: str) -> str:
    """A text of the core as a program of the native provider spells names and values.

    ``declare on_timeout="defer"`` becomes ``declare onTimeout: "defer"``, which is right in YAML and in TypeScript. The
    tail for programs keeps its words.
    """
    words, tail, rest = text.partition(_TAIL)
    words = _IN_TEXT.sub(lambda found: _CAMEL[found[1]] + (": " if found[2] else ""), words)
    return f"{words.replace(inputs.CONFIG, 'batchos:previewLook')}{tail}{rest}"
