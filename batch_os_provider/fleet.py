"""Many pools brought to one version in waves: a component whose children are ordinary pools.

Sixty pools that change in one `up` all change at once, and the first sign of a bad version is then
sixty bad pools. The engine has all it takes to go in steps: what depends on a resource does not begin before that has
succeeded. A fleet writes these dependencies, and nothing more: each pool keeps a row, a state and a gate of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Literal

import pulumi
from pulumi import Input, ResourceOptions

from batch_os_provider.batch.address import parse_endpoint
from batch_os_provider.engine import parallel_hint
from batch_os_provider.engine.arguments import check_name, check_options, is_promised, refuse, strange_names
from batch_os_provider.resource import PoolImageVersion, PoolOsVersion
from batch_os_provider.schema import inputs
from batch_os_provider.schema.units import shown
from batch_os_provider.schema.waves import Member, Wave, WavesError, arrange, find, members

__all__ = ["PoolFleet"]

_ALIASES_FORM = "a pool of the fleet, and the name of a resource without a parent, a URN, or a pulumi.Alias"


class PoolFleet(pulumi.ComponentResource):
    """Many Batch pools at one version, brought there in waves: a wave begins when the one before has succeeded.

    Each pool is a child of the fleet, an ordinary ``PoolOsVersion`` or ``PoolImageVersion`` with a row, a state and an
    error of its own. A child depends on all children of the wave before: when one of them fails, the rest of its wave
    goes on to its end, and no later wave begins. The next `up` leaves alone what is done, and tries the others again.

    Which pools there are, and in which waves, has to be plain: it decides what the program registers. Everything else
    may be an output.

    Args:
        resource_name: the fleet's name in the program. A child is called ``{resource_name}-{pool id}``, and
            ``{resource_name}-{account}.{region}-{pool id}`` in another account than ``account_endpoint``.
        pools: the pools, each once, compared without case: ids of pools of ``account_endpoint``, or pool URLs
            ``{account_endpoint}/pools/{pool_id}`` of any account.
        account_endpoint: the Batch account of the pools that are given by id.
        target_os_version: the version for pools of the Cloud Services kind; the children are ``PoolOsVersion``.
        target_image_version: the version for VM pools; the children are ``PoolImageVersion``. Exactly one of the two.
        canary: the first wave: a pool, or a list of pools. Default: the first of ``pools``. ``[]``: none.
        waves: the waves after it. A percentage such as ``"25%"`` says how much of the whole fleet, canary included, is
            done when this wave is, rounded down; a number says how many pools the wave takes; a list names them. What
            no wave takes is a last wave, and a wave that would take nothing is left out. Default: all others at once.
        timeout: for each pool, as for its kind.
        on_timeout: as for its kind. ``defer`` is refused where a wave waits for another: a pool that is put off counts
            as a success, and the next wave would begin.
        if_resizing: as for ``PoolOsVersion``.
        on_conflict: as for ``PoolOsVersion``.
        stall_after: as for ``PoolOsVersion``.
        max_unhealthy: as for ``PoolOsVersion``: the gate between the waves. Without it a wave has succeeded when its
            pools run the target, whatever has become of their nodes; a preview of several waves warns of that.
        soak: as for ``PoolOsVersion``; it holds the next wave back as long.
        strategy: as for ``PoolImageVersion``, and required with ``target_image_version``.
        surge: as for ``PoolImageVersion``.
        drain_timeout: as for ``PoolImageVersion``.
        aliases: which resource a pool was before it came into the fleet, by the pool as ``pools`` has it: the name of a
            resource without a parent, a URN, or a ``pulumi.Alias``. Its state goes on; nothing is created or deleted.
        opts: Pulumi's resource options, for the fleet.

    Raises:
        pulumi.RunError: an argument is not allowed. Nothing of the fleet is registered then.

    """

    pools: Mapping[str, PoolOsVersion | PoolImageVersion]
    """The children, by the pool as the program has it."""
    waves: Sequence[Sequence[str]]
    """The pools of each wave, as the program has them; an output of the fleet, which a preview shows."""

    def __init__(  # noqa: PLR0913 - one argument for each input of both kinds
        self,
        resource_name: str,
        *,
        pools: Sequence[str],
        account_endpoint: Input[str] | None = None,
        target_os_version: Input[str] | None = None,
        target_image_version: Input[str] | None = None,
        canary: str | Sequence[str] | None = None,
        waves: Sequence[Wave] | None = None,
        timeout: Input[str | int | float | timedelta] | None = None,
        on_timeout: Input[Literal["fail", "defer"]] | None = None,
        if_resizing: Input[Literal["wait", "fail"]] | None = None,
        on_conflict: Input[Literal["fail", "wait"]] | None = None,
        stall_after: Input[str | int | float | timedelta] | None = None,
        max_unhealthy: Input[str | int] | None = None,
        soak: Input[str | int | float | timedelta] | None = None,
        strategy: Input[Literal["surge", "when_empty"]] | None = None,
        surge: Input[int] | None = None,
        drain_timeout: Input[str | int | float | timedelta] | None = None,
        aliases: Mapping[str, str | pulumi.Alias] | None = None,
        opts: ResourceOptions | None = None,
    ) -> None:
        who = check_name(type(self).__name__, resource_name)
        check_options(who, opts)
        plain = {"pools": pools, "canary": canary, "waves": waves, "aliases": aliases}
        bag = {
            "account_endpoint": account_endpoint,
            "target_os_version": target_os_version,
            "target_image_version": target_image_version,
            "timeout": timeout,
            "on_timeout": on_timeout,
            "if_resizing": if_resizing,
            "on_conflict": on_conflict,
            "stall_after": stall_after,
            "max_unhealthy": max_unhealthy,
            "soak": soak,
            "strategy": strategy,
            "surge": surge,
            "drain_timeout": drain_timeout,
        }
        try:
            for name, value in plain.items():
                _check_plain(name, value)
            own = _own(account_endpoint)
            fleet = members(pools, own)
            arranged = arrange(fleet, canary, waves, own)
            former = _former(aliases, fleet, own)
            kind = _kind(bag)
            declared = _checked(kind, bag, fleet, waits=len(arranged) > 1)
        except WavesError as error:
            refuse(who, [str(error)])

        super().__init__("batch:index:PoolFleet", resource_name, None, opts)
        for warning in strange_names(opts, ("waves",)):
            pulumi.log.warn(warning, resource=self)
        self.waves = [[member.spelled for member in wave] for wave in arranged]
        if len(arranged) > 1 and kind is PoolOsVersion and max_unhealthy is None and pulumi.runtime.is_dry_run():
            pulumi.log.warn(
                f"fleet {resource_name}: no max_unhealthy, so a wave has passed when its pools run the target, "
                "whatever has become of their nodes: declare max_unhealthy=0, or as many as a pool can do without",
                resource=self,
            )
        made: dict[str, PoolOsVersion | PoolImageVersion] = {}
        before: list[pulumi.Resource] = []
        for number, wave in enumerate(arranged):
            with parallel_hint.wave(self, number):
                for member in wave:
                    made[member.spelled] = kind(
                        f"{resource_name}-{member.label}",
                        **{**declared, "pool_id": member.pool_id, **_where(member)},
                        opts=ResourceOptions(
                            parent=self, depends_on=before, aliases=[former[member]] if member in former else None
                        ),
                    )
            before = [made[member.spelled] for member in wave]
        self.pools = {member.spelled: made[member.spelled] for member in fleet}
        self.register_outputs({"waves": self.waves})


def _check_plain(name: str, value: object) -> None:
    """Refuse what is not known while the program runs, wherever it stands."""
    if is_promised(value):
        raise WavesError(
            f"{name}: it is, or holds, an output, whose value is not known while the program runs; allowed: plain "
            "values, such as those of pulumi.Config, since they decide which resources there are"
        )
    if isinstance(value, Mapping):
        _check_plain(name, [*value, *value.values()])
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for each in value:
            _check_plain(name, each)


def _own(account_endpoint: object) -> str:
    """The account that ids belong to; empty where it is not known, or wrong, which the check of all inputs tells."""
    try:
        return parse_endpoint(account_endpoint) if isinstance(account_endpoint, str) else ""
    except ValueError:
        return ""


def _where(member: Member) -> dict[str, str]:
    return {"account_endpoint": member.endpoint} if member.endpoint else {}


def _former(aliases: object, fleet: Sequence[Member], own: str) -> dict[Member, pulumi.Alias | str]:
    """What each pool was before it came into the fleet."""
    if aliases is None:
        return {}
    if not isinstance(aliases, Mapping):
        raise WavesError(f"aliases: {shown(aliases)} is not a mapping; allowed: {_ALIASES_FORM}")
    former: dict[Member, pulumi.Alias | str] = {}
    for pool, old in aliases.items():
        where = f"aliases[{shown(pool)}]"
        member = find(where, pool, fleet, own)
        if not isinstance(old, str | pulumi.Alias):
            raise WavesError(f"{where}: {shown(old)} is no former resource; allowed: {_ALIASES_FORM}")
        is_name = isinstance(old, str) and not old.startswith("urn:")
        former[member] = pulumi.Alias(name=str(old), parent=pulumi.ROOT_STACK_RESOURCE) if is_name else old
    return former


def _kind(bag: Mapping[str, Any]) -> type[PoolOsVersion | PoolImageVersion]:
    given = [name for name in (inputs.TARGET, inputs.IMAGE_TARGET) if bag[name] is not None]
    if len(given) != 1:
        raise WavesError(
            f"{inputs.TARGET}, {inputs.IMAGE_TARGET}: {'both are' if given else 'neither is'} given; allowed: exactly "
            f"one, {inputs.TARGET} for pools of the Cloud Services kind, {inputs.IMAGE_TARGET} for VM pools"
        )
    return PoolOsVersion if given == [inputs.TARGET] else PoolImageVersion


def _checked(
    kind: type[PoolOsVersion | PoolImageVersion], bag: Mapping[str, Any], fleet: Sequence[Member], *, waits: bool
) -> dict[str, Any]:
    """What every child is declared with; what its check would refuse, once for each pool, is refused here."""
    spec = inputs.OS if kind is PoolOsVersion else inputs.IMAGE
    given = {name: value for name, value in bag.items() if value is not None}
    stranger = next((name for name in given if name not in (*spec.names, inputs.ACCOUNT_ENDPOINT)), None)
    if stranger is not None:
        allowed = ", ".join(name for name in spec.names if name in bag)
        raise WavesError(
            f"{stranger}: {shown(given[stranger])} is not for a fleet with {spec.target}; allowed with it: {allowed}"
        )
    by_id = next((member for member in fleet if not member.endpoint), None)
    if by_id is not None and inputs.ACCOUNT_ENDPOINT not in given:
        raise WavesError(
            f"account_endpoint: it is missing, and pools has {by_id.spelled!r} by its id; allowed: the account's URL, "
            "as `az batch account show` prints in accountEndpoint, or pool URLs {account_endpoint}/pools/{pool_id}"
        )
    # Every pool has been read, so that any of them stands for all.
    _, failures = inputs.check({**given, **_where(fleet[0]), "pool_id": fleet[0].pool_id}, is_promised, spec)
    _, wrong = inputs.check({"account_endpoint": given.get(inputs.ACCOUNT_ENDPOINT, "https://a.b")}, is_promised, spec)
    failures += [each for each in wrong if each.property == inputs.ACCOUNT_ENDPOINT and each not in failures]
    if failures:
        raise WavesError("; ".join(f"{failure.property}: {failure.reason}" for failure in failures))
    if waits and is_promised(given.get("on_timeout")):
        raise WavesError("on_timeout: it is an output; allowed where a wave waits for another: fail, as a plain value")
    if waits and given.get("on_timeout") == "defer":
        raise WavesError(
            "on_timeout: 'defer' is not for a fleet of several waves: a pool that is put off counts as a success, and "
            "the next wave would begin; allowed: fail, or a single wave (canary=[], and no waves)"
        )
    return given
