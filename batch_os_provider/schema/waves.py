"""Puts the pools of a fleet into waves, from the plain values of a program.

People must be able to predict the waves, so the arithmetic is pure: it runs before the program registers a resource,
and its tests need no engine.

A percentage is the share of the whole fleet that is done when its wave ends; the checkpoints of an EC2 instance refresh
and the weights of Argo Rollouts count in the same way. It is rounded down, like ``max_unhealthy``, so an early wave is
too small rather than too large. A number counts the pools of its wave. A list names them; other waves do not take them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeGuard

from batch_os_provider.batch.address import POOL_ID, PoolRef, parse_pool_url
from batch_os_provider.schema.units import Share, did_you_mean, parse_share, shown, suggest_share

__all__ = ["Member", "Wave", "WavesError", "arrange", "find", "members"]

Wave = str | int | Sequence[str]
"""A share of the fleet such as ``"25%"``, a number of pools, or a list of pools."""

_POOLS_FORM = (
    "pool ids (1 to 64 letters, digits, hyphens and underscores), or pool URLs {account_endpoint}/pools/{pool_id}"
)
_WAVE_FORM = (
    'the percentage of the fleet that is done when the wave ends, from "1%" to "100%", a number of pools from 1 on, '
    "or a list of pools of the fleet"
)


class WavesError(ValueError):
    """An argument of a fleet is wrong; the text names the argument, its value and the allowed values."""


@dataclass(frozen=True)
class Member:
    """A pool of a fleet. ``spelled`` is the pool as declared; ``endpoint`` is empty for the fleet's own account."""

    spelled: str
    pool_id: str
    endpoint: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """Identifies the pool: equal for all spellings, since Batch compares pool ids without case."""
        return self.endpoint, self.pool_id.casefold()

    @property
    def label(self) -> str:
        """The pool's part of a resource name. It depends on this pool only, so other pools cannot change it."""
        host = self.endpoint.partition("://")[2].removesuffix(".batch.azure.com").replace(":", "-")
        return "-".join(part for part in (host, self.pool_id.casefold()) if part)


def members(pools: object, own: str = "") -> tuple[Member, ...]:
    """Read the pools of a fleet, in the order of the program.

    Args:
        pools: pool ids and pool URLs.
        own: the normalised endpoint of the account of pool ids; empty if it is not known.

    Raises:
        WavesError: ``pools`` is not a list, is empty, or contains a wrong value or one pool twice.

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
                f"pools[{index}]: {shown(spelled)} is the same pool as {found[member.key].spelled!r}; "
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
        canary: the pool or pools of the first wave. None is the first pool, an empty list leaves the canary out.
        waves: the waves after the canary. The remaining pools form a last wave. Empty waves are left out: their share
            is already reached, or no pool is left.
        own: as for ``members``.

    Raises:
        WavesError: a wave is wrong.

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
                        f"{where}: {member.spelled!r} is already in {taken[member]}; allowed: each pool in one wave"
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
    """Find a pool of the fleet by its URL, by its id in the fleet's account, or by an id that only one pool has.

    Raises:
        WavesError: ``spelled`` is not a pool, is not in the fleet, or fits several pools.

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
        raise WavesError(f"{where}: {shown(spelled)} is the id of pools in several accounts; write {urls}")
    from difflib import get_close_matches  # noqa: PLC0415 - only a wrong name needs it

    near = get_close_matches(str(spelled), [member.spelled for member in fleet], n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise WavesError(f"{where}: {shown(spelled)} is not in pools; allowed: a pool that pools contains{hint}")


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
        raise WavesError(f"{where}: {twice.spelled!r} appears twice; allowed: each pool once")
    return found


def _share(where: str, value: object, last: Share) -> Share:
    """Read a wave's percentage or number; a percentage must be more than ``last``. Raises WavesError."""
    try:
        share = parse_share(value)
    except ValueError:
        share = Share(0)
    if not share.number:
        hint = did_you_mean(suggest_share(value))
        raise WavesError(f"{where}: {shown(value)} is not a wave; allowed: {_WAVE_FORM}{hint}")
    if share.percent and share.number <= last.number:
        raise WavesError(
            f"{where}: {shown(value)} is not more than {str(last)!r} before it; allowed: growing percentages, since "
            "each counts the whole fleet up to the end of its wave"
        )
    return share
