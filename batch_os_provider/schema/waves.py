"""Which pools of a fleet come in which wave: pure, from the plain values that a program gives.

What a share counts, what a wave takes, and in which order, is arithmetic that people have to be
able to foretell. It is judged here, before anything is registered, and tested without an engine.

A percentage says how much of the whole fleet is done when its wave is, as the checkpoints of an EC2 instance
refresh and the weights of Argo Rollouts count; it is rounded down, as ``max_unhealthy`` is, so that an early wave
is rather too small. A number counts the pools of its wave. A list names them, and keeps them out of other waves.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeGuard

from batch_os_provider.batch.address import POOL_ID, PoolRef, parse_pool_url
from batch_os_provider.schema.units import Share, parse_share, shown, suggest_share

__all__ = ["Member", "Wave", "WavesError", "arrange", "find", "members"]

Wave = str | int | Sequence[str]
"""A share of the fleet such as ``"25%"``, a number of pools, or a list of pools."""

_POOLS_FORM = (
    "pool ids (1-64 of letters, digits, hyphen and underscore), or pool URLs {account_endpoint}/pools/{pool_id}"
)
_WAVE_FORM = (
    'a percentage of the fleet that is done by then, from "1%" to "100%", a number of pools from 1 on, '
    "or a list of pools of the fleet"
)


class WavesError(ValueError):
    """A fleet that cannot be meant; the text names the property, the value and what is allowed."""


@dataclass(frozen=True)
class Member:
    """A pool of a fleet; ``endpoint`` is empty for a pool of the fleet's own account, ``spelled`` is as declared."""

    spelled: str
    pool_id: str
    endpoint: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """Equal for two spellings of one pool: Batch compares pool ids without case."""
        return self.endpoint, self.pool_id.casefold()

    @property
    def label(self) -> str:
        """The pool in a resource's name: it hangs on nothing but the pool, so that no other pool can change it."""
        host = self.endpoint.partition("://")[2].removesuffix(".batch.azure.com").replace(":", "-")
        return "-".join(part for part in (host, self.pool_id.casefold()) if part)


def members(pools: object, own: str = "") -> tuple[Member, ...]:
    """Read the pools of a fleet, in the order of the program.

    Args:
        pools: pool ids and pool URLs.
        own: the normalised endpoint of the account that ids belong to; empty where it is not known.

    Raises:
        WavesError: no list, no pool, one that is none, or one twice.

    """
    if not _is_list(pools):
        raise WavesError(f"pools: {shown(pools)} is not a list; allowed: a list of {_POOLS_FORM}")
    if not pools:
        raise WavesError(f"pools: it is empty; allowed: a list of {_POOLS_FORM}")
    found: dict[tuple[str, str], Member] = {}
    for index, spelled in enumerate(pools):
        member = _member(f"pools[{index}]", spelled, own)
        if member.key in found:
            raise WavesError(
                f"pools[{index}]: {shown(spelled)} is there already, as {found[member.key].spelled!r}; "
                "allowed: each pool once, compared without case"
            )
        found[member.key] = member
    return tuple(found.values())


def arrange(
    fleet: Sequence[Member], canary: object = None, waves: object = None, own: str = ""
) -> tuple[tuple[Member, ...], ...]:
    """Put every pool into exactly one wave; pools keep their order within it.

    Args:
        fleet: the pools.
        canary: the pool or pools of the first wave; None is the first pool, an empty list none.
        waves: the waves after it; what none of them takes is a last wave. A wave that would take nothing, because its
            share is reached already or no pool is left, is left out.
        own: as for ``members``.

    Raises:
        WavesError: a wave that cannot be meant.

    """
    first = (
        [fleet[0]] if canary is None else _named("canary", [canary] if isinstance(canary, str) else canary, fleet, own)
    )
    given = [] if waves is None else waves
    if not _is_list(given):
        raise WavesError(f"waves: {shown(given)} is not a list; allowed: a list, each wave {_WAVE_FORM}")
    taken = dict.fromkeys(first, "canary")
    lists: dict[int, list[Member]] = {}
    for index, wave in enumerate(given):
        if _is_list(wave):
            where = f"waves[{index}]"
            lists[index] = _named(where, wave, fleet, own)
            if not lists[index]:
                raise WavesError(f"{where}: it is empty; allowed: {_WAVE_FORM}")
            for member in lists[index]:
                if member in taken:
                    raise WavesError(
                        f"{where}: {member.spelled!r} is in {taken[member]} already; allowed: each pool in one wave"
                    )
                taken[member] = where
    free = [member for member in fleet if member not in taken]
    arranged, reached, last = [first], len(first), Share(0, percent=True)
    for index, wave in enumerate(given):
        if index in lists:
            now = lists[index]
        else:
            share = _share(f"waves[{index}]", wave, last)
            if share.percent:
                last = share
            count = max(0, share.of(len(fleet)) - reached) if share.percent else share.number
            now, free = free[:count], free[count:]
        arranged.append(now)
        reached += len(now)
    return tuple(tuple(sorted(wave, key=fleet.index)) for wave in (*arranged, free) if wave)


def find(where: str, spelled: object, fleet: Sequence[Member], own: str = "") -> Member:
    """The pool of the fleet that is meant: by its URL, by its id in the fleet's account, or by an id that is unique.

    Raises:
        WavesError: it is no pool, or none of this fleet, or one of several.

    """
    wanted = _member(where, spelled, own)
    alike = [
        member
        for member in fleet
        if member.key == wanted.key or (not wanted.endpoint and member.key[1] == wanted.key[1])
    ]
    exact = [member for member in alike if member.key == wanted.key]
    if exact or len(alike) == 1:
        return (exact or alike)[0]
    if alike:
        urls = " or ".join(member.spelled for member in alike)
        raise WavesError(f"{where}: {shown(spelled)} is a pool of several accounts; write {urls}")
    near = difflib.get_close_matches(str(spelled), [member.spelled for member in fleet], n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise WavesError(f"{where}: {shown(spelled)} is not in pools; allowed: what pools has{hint}")


def _is_list(value: object) -> TypeGuard[Sequence[object]]:
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes, bytearray, memoryview))


def _member(where: str, spelled: object, own: str) -> Member:
    if not isinstance(spelled, str):
        raise WavesError(f"{where}: {shown(spelled)} is not a string; allowed: {_POOLS_FORM}")
    if POOL_ID.fullmatch(spelled):
        return Member(spelled, spelled)
    if "/" not in spelled:
        raise WavesError(f"{where}: {shown(spelled)} is not a pool id; allowed: {_POOLS_FORM}")
    try:
        ref: PoolRef = parse_pool_url(spelled)
    except ValueError as error:
        raise WavesError(f"{where}: {shown(spelled)} is not a pool URL: {error}; allowed: {_POOLS_FORM}") from None
    return Member(spelled, ref.pool_id, "" if ref.endpoint == own else ref.endpoint)


def _named(where: str, pools: object, fleet: Sequence[Member], own: str) -> list[Member]:
    if not _is_list(pools):
        raise WavesError(f"{where}: {shown(pools)} is not a list; allowed: a pool of the fleet, or a list of them")
    found = [find(where, spelled, fleet, own) for spelled in pools]
    twice = next((member for index, member in enumerate(found) if member in found[:index]), None)
    if twice is not None:
        raise WavesError(f"{where}: {twice.spelled!r} is there twice; allowed: each pool once")
    return found


def _share(where: str, value: object, last: Share) -> Share:
    """A wave's share or number, of which a share has to be more than ``last``."""
    try:
        share = parse_share(value)
    except ValueError:
        share = Share(0)
    if not share.number:
        guess = suggest_share(value)
        hint = f"; did you mean {guess}?" if guess else ""
        raise WavesError(f"{where}: {shown(value)} is not a wave; allowed: {_WAVE_FORM}{hint}")
    if share.percent and share.number <= last.number:
        raise WavesError(
            f"{where}: {shown(value)} is not more than {str(last)!r} before it; allowed: percentages that grow, since "
            "each says how much of the fleet is done by then"
        )
    return share
