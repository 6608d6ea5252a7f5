"""What a fleet consists of: its pools in waves, and the inputs of each pool. Pure, and the same for both providers.

A fleet is refused as a whole, before the engine knows any of its resources: half a fleet would be worse than an error.
So everything that a program can have wrong is checked here, and a provider only registers the children of a plan.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from batch_os_provider.batch.address import parse_endpoint
from batch_os_provider.schema import inputs
from batch_os_provider.schema.units import shown
from batch_os_provider.schema.waves import Member, WavesError, arrange, find, members

__all__ = ["CANARY_NODES", "NAMES", "PLAIN", "SHARED", "FleetPlan", "argument_of", "former", "plan"]

Former = TypeVar("Former")

CANARY_NODES = "canary_nodes"
"""The fleet's name for the input ``canary`` of its pools: a fleet's own ``canary`` names pools."""
POOLS, WAVES, ALIASES = "pools", "waves", "aliases"
PLAIN = (POOLS, "canary", WAVES, ALIASES)
"""The arguments that decide which resources a fleet has."""
SHARED = (
    inputs.ACCOUNT_ENDPOINT,
    *inputs.OS.targets,
    *inputs.IMAGE.targets,
    *inputs.OS.defaults,
    *inputs.IMAGE.rules,
    *(CANARY_NODES if name == inputs.CANARY else name for name in inputs.IMAGE.defaults if name not in inputs.OS.names),
)
"""The arguments that every pool of a fleet gets."""
NAMES = (*PLAIN, *SHARED)
"""All arguments of a fleet."""


@dataclass(frozen=True)
class FleetPlan:
    """A fleet that can be registered. ``spec`` is the kind of its pools; ``shared`` are the inputs of each of them."""

    spec: inputs.Spec
    pools: tuple[Member, ...]
    waves: tuple[tuple[Member, ...], ...]
    shared: Mapping[str, Any]

    def inputs_of(self, pool: Member) -> dict[str, Any]:
        """The inputs of the resource of one pool."""
        return {**self.shared, inputs.POOL_ID_NAME: pool.pool_id, **_where(pool)}

    @property
    def spelled(self) -> list[list[str]]:
        """The pools of each wave, as the program spells them."""
        return [[pool.spelled for pool in wave] for wave in self.waves]

    def warning(self, name: str) -> str:
        """What a preview warns about: waves without a gate between them; empty if there is one."""
        if len(self.waves) < 2 or self.spec is not inputs.OS or inputs.MAX_UNHEALTHY in self.shared:  # noqa: PLR2004
            return ""
        return (
            f"fleet {name}: max_unhealthy is not declared, so a wave passes when its pools run the target, even with "
            "unhealthy nodes; declare max_unhealthy=0, or the number of nodes that each pool can lose"
        )


def plan(arguments: Mapping[str, Any], is_pending: Callable[[object], bool]) -> FleetPlan:
    """Plan a fleet.

    Args:
        arguments: the arguments by the names of ``NAMES``; None is as if not given. Those of ``PLAIN`` are known.
        is_pending: whether the value of an argument is not known yet. Such a value is checked with each pool.

    Raises:
        WavesError: an argument is not allowed.

    """
    own = _own(arguments.get(inputs.ACCOUNT_ENDPOINT))
    fleet = members(arguments.get(POOLS), own)
    arranged = arrange(fleet, arguments.get("canary"), arguments.get(WAVES), own)
    given = {_of_pool(name): arguments[name] for name in SHARED if arguments.get(name) is not None}
    spec = _spec(given)
    _check(spec, given, fleet, is_pending, waits=len(arranged) > 1)
    return FleetPlan(spec, fleet, arranged, given)


def former(
    arguments: Mapping[str, Any], fleet: FleetPlan, read: Callable[[object], Former | None], form: str
) -> dict[Member, Former]:
    """The former resource of each pool that has an alias.

    Args:
        arguments: as for ``plan``.
        fleet: the plan of these arguments.
        read: reads a former resource; None if the value is none.
        form: what ``read`` accepts.

    Raises:
        WavesError: an alias is wrong.

    """
    allowed = f"allowed: a pool of the fleet, and {form}"
    aliases = arguments.get(ALIASES)
    if aliases is None:
        return {}
    if not isinstance(aliases, Mapping):
        raise WavesError(f"aliases: {shown(aliases)} is not a mapping; {allowed}")
    found: dict[Member, Former] = {}
    for pool, old in aliases.items():
        where = f"aliases[{shown(pool)}]"
        member = find(where, pool, fleet.pools, _own(arguments.get(inputs.ACCOUNT_ENDPOINT)))
        known = read(old)
        if known is None:
            raise WavesError(f"{where}: {shown(old)} is not a former resource; {allowed}")
        found[member] = known
    return found


def _of_pool(name: str) -> str:
    return inputs.CANARY if name == CANARY_NODES else name


def argument_of(name: str) -> str:
    """The argument of a fleet for an input of its pools."""
    return CANARY_NODES if name == inputs.CANARY else name


def _own(account_endpoint: object) -> str:
    """The endpoint of pools given by id; empty if it is unknown or wrong. ``_check`` reports a wrong one."""
    try:
        return parse_endpoint(account_endpoint) if isinstance(account_endpoint, str) else ""
    except ValueError:
        return ""


def _where(member: Member) -> dict[str, str]:
    return {inputs.ACCOUNT_ENDPOINT: member.endpoint} if member.endpoint else {}


def _spec(given: Mapping[str, Any]) -> inputs.Spec:
    """The kind of the pools, which follows from the target. Raises WavesError."""
    targets = (*inputs.OS.targets, *inputs.IMAGE.targets)
    found = [name for name in targets if name in given]
    if given.get(inputs.STRATEGY) == inputs.AUTOMATIC and inputs.TARGET not in found:
        return inputs.IMAGE
    if len(found) != 1:
        raise WavesError(
            f"{', '.join(found or targets)}: {f'{len(found)} are' if found else 'none is'} given; allowed: exactly "
            f"one, {inputs.TARGET} for pools of the Cloud Services kind, {inputs.NODES_SINCE} for VM pools on latest, "
            f"{inputs.IMAGE_TARGET} for VM pools that are pinned to an exact version"
        )
    return inputs.OS if found == [inputs.TARGET] else inputs.IMAGE


def _check(
    spec: inputs.Spec,
    given: Mapping[str, Any],
    fleet: Sequence[Member],
    is_pending: Callable[[object], bool],
    *,
    waits: bool,
) -> None:
    """Check what each pool gets. Raises WavesError once for a value that the check of each child would refuse."""
    unfit = next((name for name in given if name not in (*spec.names, inputs.ACCOUNT_ENDPOINT)), None)
    if unfit is not None:
        target = spec.target_of(given)
        of_fleet = {inputs.ACCOUNT_ENDPOINT, *map(_of_pool, SHARED)}
        fits = (name for name in spec.names if name in of_fleet and (name == target or name not in spec.targets))
        allowed = ", ".join(argument_of(name) for name in fits)
        raise WavesError(
            f"{argument_of(unfit)}: {shown(given[unfit])} is not allowed with {target}; allowed with it: {allowed}"
        )
    by_id = next((member for member in fleet if not member.endpoint), None)
    if by_id is not None and inputs.ACCOUNT_ENDPOINT not in given:
        raise WavesError(
            f"account_endpoint: it is missing, and pools contains the pool id {by_id.spelled!r}; allowed: the "
            "account's URL, as `az batch account show` prints in accountEndpoint, or pool URLs "
            "{account_endpoint}/pools/{pool_id}"
        )
    # `members` has checked every pool, so the first pool represents all of them.
    _, failures = inputs.check({**given, **_where(fleet[0]), "pool_id": fleet[0].pool_id}, is_pending, spec)
    _, wrong = inputs.check({"account_endpoint": given.get(inputs.ACCOUNT_ENDPOINT, "https://a.b")}, is_pending, spec)
    failures += [each for each in wrong if each.property == inputs.ACCOUNT_ENDPOINT and each not in failures]
    if failures:
        raise WavesError("; ".join(f"{argument_of(failure.property)}: {failure.reason}" for failure in failures))
    if waits and is_pending(given.get(inputs.ON_TIMEOUT)):
        raise WavesError("on_timeout: it is an output; allowed for a fleet of several waves: fail, as a plain value")
    if waits and given.get(inputs.ON_TIMEOUT) == "defer":
        raise WavesError(
            "on_timeout: 'defer' is not allowed for a fleet of several waves: a deferred pool counts as a success, so "
            "the next wave would start; allowed: fail, or a single wave (canary=[], and no waves)"
        )
