"""Decides which places of a program get which version.

A text does not show which pools it governs. So a literal changes only if all pools that declare this text want the same
newer version. A config value is tried: the program runs with the new value, and only pools that want it may change.
After the files are written the program runs once more. So a place is never changed on a guess.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from batch_os_provider.batch.image_version import parse_image_version
from batch_os_provider.batch.vm_target import AllocatedSince
from batch_os_provider.cli.adopt.declaration import DeclaredPool
from batch_os_provider.cli.bump.edits import TARGETS, Place, config_places, literals, yaml_literals
from batch_os_provider.cli.outdated.newest import NEWEST, UNKNOWN, Standing
from batch_os_provider.errors import InputError
from batch_os_provider.guest_os.version import GuestOsVersion, VersionSyntaxError
from batch_os_provider.schema.inputs import TARGET_IMAGE

__all__ = ["Declared", "Plan", "declared_of", "identity", "plan", "target_of"]

Stacks = Mapping[str, Sequence[DeclaredPool]]
"""What a program declares, by stack."""


@dataclass(frozen=True)
class Declared:
    """A declaration: its version or moment, and the newer one that is known.

    ``newer`` is empty if none is known; ``why`` says then why it is not known, or is empty. ``newest`` is the version
    that ``newer`` brings, and ``source`` where it was seen.
    """

    stack: str
    name: str
    pool: str
    text: str
    newer: str = ""
    why: str = ""
    newest: str = ""
    source: str = ""


@dataclass(frozen=True)
class Plan:
    """The changes of each file."""

    changes: dict[Path, dict[Place, str]] = field(default_factory=dict)

    def add(self, file: Path, place: Place, new: str) -> None:
        """Change a place of a file."""
        self.changes.setdefault(file, {})[place] = new

    @property
    def texts(self) -> set[tuple[str, str]]:
        """The old and the new text of each change."""
        return {(place.text, new) for changes in self.changes.values() for place, new in changes.items()}


def target_of(pool: DeclaredPool) -> str:
    """The version or the moment that a declaration has; empty if only a deployment knows it."""
    return next((text for each in TARGETS if isinstance(text := pool.inputs.get(each), str)), "")


def identity(pool: DeclaredPool) -> tuple[str, str]:
    """The name of a declaration and its pool: two classes may have resources of one name."""
    return pool.name, pool.ref.url if pool.ref is not None else pool.pool_id


def declared_of(stacks: Stacks, standings: Iterable[Standing], today: date) -> list[Declared]:
    """Each declaration of the stacks beside what is known of its pool.

    Args:
        stacks: what the program declares.
        standings: what is known of the pools.
        today: the day in UTC that a declaration of a moment gets.
    """
    known = {each.seen.pool.ref.key: each for each in standings}
    found = []
    for stack, pools in stacks.items():
        for pool in pools:
            text, (_, where) = target_of(pool), identity(pool)
            standing = known.get(pool.ref.key) if pool.ref is not None else None
            if standing is None:
                why = "its pool was not read" if pool.ref is not None else "only a deployment knows its pool"
                found.append(Declared(stack, pool.name, where, text, why=why))
            elif _is_other_image(pool, standing):
                why = "it declares another image than its pool has now"
                found.append(Declared(stack, pool.name, where, text, why=why))
            else:
                moment = _moment(text)
                newer, why = _later(moment, standing, today) if moment is not None else _newer(text, standing)
                found.append(Declared(stack, pool.name, where, text, newer, why, standing.newest, standing.source))
    return found


def _is_other_image(pool: DeclaredPool, standing: Standing) -> bool:
    """Whether the pool will move to another image: a version of the present one says nothing about it."""
    name = pool.inputs.get(TARGET_IMAGE)
    vm = standing.seen.vm
    return isinstance(name, str) and vm is not None and name.casefold() != vm.pool.product.casefold()


def _moment(text: str) -> AllocatedSince | None:
    try:
        return AllocatedSince.parse(text)
    except ValueError:
        return None


def _later(declared: AllocatedSince, standing: Standing, today: date) -> tuple[str, str]:
    """Today if the newest image was made after the declared moment, else why that cannot be said.

    The day on which an image was made would be too early: nodes that were allocated between that day and its
    publication have the image before it.
    """
    view = standing.seen.vm
    if view is None:
        return "", standing.why or "it declares a moment for a Cloud Services pool"
    if view.pool.pin is not None:
        return "", f"its pool is pinned to {view.pool.pin_text}, so a later day brings no newer image"
    if standing.word == NEWEST:
        return "", ""
    if not standing.made:
        return "", f"the day on which {standing.newest} was made is not known" if standing.newest else standing.why
    is_older = declared.moment < AllocatedSince.parse(standing.made).moment
    return (today.isoformat(), "") if is_older else ("", "")


def _newer(text: str, standing: Standing) -> tuple[str, str]:
    """The newest version if it is newer than the declared text, else why that cannot be said."""
    if standing.word == UNKNOWN and (not standing.newest or parse_image_version(text) is None):
        return "", standing.why
    if standing.seen.vm is None:
        try:
            is_older = GuestOsVersion.parse(text) < GuestOsVersion.parse(standing.newest)
            same = GuestOsVersion.parse(text).family == GuestOsVersion.parse(standing.newest).family
        except VersionSyntaxError:
            return "", "it declares no Guest OS version"
    else:
        mine, theirs = parse_image_version(text), parse_image_version(standing.newest)
        if mine is None or theirs is None:
            return "", "it declares no exact image version"
        is_older, same = mine < theirs, standing.seen.vm.pool.gallery or mine[0] == theirs[0]
    if not same:
        return "", f"{text} and {standing.newest} are versions of different products"
    return (standing.newest, "") if is_older else ("", "")


def plan(
    declared: Sequence[Declared],
    files: Mapping[Path, bytes],
    config: Mapping[str, tuple[Path, bytes]],
    attempt: Callable[[str, str, str], Sequence[DeclaredPool]],
) -> Plan:
    """The places to change.

    Args:
        declared: the declarations of all stacks.
        files: the Python files of the program, or the one file of a YAML program.
        config: the config file of each stack.
        attempt: runs the program for a stack with a config key and value, and returns what it declares then; raises
            InputError if it does not run.
    """
    found = Plan()
    wanted = _agreed(declared)
    for file, source in files.items():
        for place in literals(source) if file.suffix == ".py" else yaml_literals(source):
            if place.text in wanted:
                found.add(file, place, wanted[place.text])
    for stack, (file, source) in config.items():
        mine = [each for each in declared if each.stack == stack]
        before = {(each.name, each.pool): each for each in mine}
        for place in config_places(source):
            for new in sorted({each.newer for each in mine if each.text == place.text and each.newer}):
                try:
                    after = {identity(pool): target_of(pool) for pool in attempt(stack, place.key, new)}
                except InputError:  # the program does not take this value here, so the pool is named as left
                    continue
                changed = [before[name] for name in before if after.get(name) != before[name].text]
                if (
                    changed
                    and set(after) == set(before)
                    and all(each.newer == after[each.name, each.pool] for each in changed)
                ):
                    found.add(file, place, new)
                    break
    return found


def _agreed(declared: Iterable[Declared]) -> dict[str, str]:
    """The texts for which all declarations that have them want the same newer version."""
    wants: dict[str, set[str]] = {}
    for each in declared:
        wants.setdefault(each.text, set()).add(each.newer)
    return {text: next(iter(newer)) for text, newer in wants.items() if text and len(newer) == 1 and newer != {""}}
