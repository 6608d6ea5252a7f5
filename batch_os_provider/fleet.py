"""A component that brings many pools to one version in waves; its children are ordinary pools.

Without waves, one `up` changes all pools at once, and a bad version breaks all of them. The Pulumi engine can already
work in steps: a resource starts only after the resources that it depends on have succeeded. A fleet declares these
dependencies. Each pool keeps its own row, state and health gate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Literal

import pulumi
from pulumi import Input, ResourceOptions

from batch_os_provider.batch.address import parse_endpoint
from batch_os_provider.engine import parallel_hint
from batch_os_provider.engine.arguments import check_name, check_options, is_pending, refuse, unknown_names
from batch_os_provider.resource import PoolImageVersion, PoolOsVersion
from batch_os_provider.schema import inputs
from batch_os_provider.schema.units import shown
from batch_os_provider.schema.waves import Member, Wave, WavesError, arrange, find, members

__all__ = ["PoolFleet"]

_ALIASES_FORM = "a pool of the fleet, and the name of a resource without a parent, a URN, or a pulumi.Alias"


class PoolFleet(pulumi.ComponentResource):
    """Brings many Batch pools to one version in waves; a wave starts when the previous wave has succeeded.

    Each pool is a child of the fleet: a ``PoolOsVersion`` or ``PoolImageVersion`` with its own row, state and errors.
    A child depends on all children of the previous wave. If one of them fails, the other pools of its wave continue,
    and no later wave starts. The next `up` skips the pools that are done and tries the others again.

    ``pools``, ``canary``, ``waves`` and ``aliases`` must be plain values, since they decide which resources the program
    registers. All other arguments may be outputs.

    Args:
        resource_name: the fleet's name in the program. The name of a child is ``{resource_name}-{pool id}``. In
            another account than ``account_endpoint`` it is ``{resource_name}-{account}.{region}-{pool id}``.
        pools: the pools, each once, compared without case: pool ids in ``account_endpoint``, or pool URLs
            ``{account_endpoint}/pools/{pool_id}`` of any account.
        account_endpoint: the Batch account of the pools that are given by id; required if there are such pools.
        target_os_version: the version for pools of the Cloud Services kind; the children are ``PoolOsVersion``.
        target_image_version: the version for VM pools; the children are ``PoolImageVersion``.
        nodes_since: the moment for VM pools, as for ``PoolImageVersion``; the children are ``PoolImageVersion``.
            Declare exactly one of the three targets; with ``strategy="automatic"`` none is needed.
        canary: the first wave: a pool, or a list of pools. ``[]`` is no canary. Default: the first of ``pools``.
        waves: the waves after the canary. A percentage such as ``"25%"`` is the share of the whole fleet, canary
            included, that is done when the wave ends, rounded down. A number is the number of pools in the wave. A
            list names them. The remaining pools form a last wave, and empty waves are left out. Default: all other
            pools at once.
        timeout: how long one `up` may take for each pool, as for the pool's resource.
        on_timeout: as for the pool's resource. A fleet with several waves refuses ``defer``: a deferred pool counts as
            a success, so the next wave would start.
        if_resizing: as for ``PoolOsVersion``.
        on_conflict: as for ``PoolOsVersion``.
        stall_after: as for ``PoolOsVersion``.
        max_unhealthy: as for ``PoolOsVersion``. It is the gate between the waves: without it, a wave succeeds when its
            pools run the target, even with unhealthy nodes. A preview of several waves warns about that.
        soak: as for ``PoolOsVersion``. It also delays the next wave.
        strategy: as for ``PoolImageVersion``; required for VM pools.
        target_image: as for ``PoolImageVersion``.
        node_agent_sku: as for ``PoolImageVersion``.
        surge: as for ``PoolImageVersion``.
        max_unavailable: as for ``PoolImageVersion``.
        canary_nodes: ``canary`` of each ``PoolImageVersion``: how many new nodes prove an emptied pool.
        autoscale: as for ``PoolImageVersion``.
        drain_timeout: as for ``PoolImageVersion``.
        aliases: the former resource of a pool that another declaration managed before. A key is a pool as in
            ``pools``; a value is the name of a resource without a parent, a URN, or a ``pulumi.Alias``. The pool keeps
            its state: Pulumi creates and deletes nothing. Default: none.
        opts: Pulumi's resource options, for the fleet.

    Raises:
        pulumi.RunError: an argument is not allowed. The program has then registered no resource of the fleet.

    """

    pools: Mapping[str, PoolOsVersion | PoolImageVersion]
    """The children. A key is a pool as the program spells it."""
    waves: Sequence[Sequence[str]]
    """The pools of each wave, as the program spells them. An output of the fleet, so a preview shows it."""

    def __init__(  # noqa: PLR0913 - one argument for each input of both kinds
        self,
        resource_name: str,
        *,
        pools: Sequence[str],
        account_endpoint: Input[str] | None = None,
        target_os_version: Input[str] | None = None,
        target_image_version: Input[str] | None = None,
        nodes_since: Input[str] | None = None,
        canary: str | Sequence[str] | None = None,
        waves: Sequence[Wave] | None = None,
        timeout: Input[str | int | float | timedelta] | None = None,
        on_timeout: Input[Literal["fail", "defer"]] | None = None,
        if_resizing: Input[Literal["wait", "fail"]] | None = None,
        on_conflict: Input[Literal["fail", "wait"]] | None = None,
        stall_after: Input[str | int | float | timedelta] | None = None,
        max_unhealthy: Input[str | int] | None = None,
        soak: Input[str | int | float | timedelta] | None = None,
        strategy: Input[Literal["surge", "when_empty", "empty", "automatic"]] | None = None,
        target_image: Input[str] | None = None,
        node_agent_sku: Input[str] | None = None,
        surge: Input[int | str] | None = None,
        max_unavailable: Input[int | str] | None = None,
        canary_nodes: Input[int] | None = None,
        autoscale: Input[Literal["refuse", "hold"]] | None = None,
        drain_timeout: Input[str | int | float | timedelta] | None = None,
        aliases: Mapping[str, str | pulumi.Alias] | None = None,
        opts: ResourceOptions | None = None,
    ) -> None:
        label = check_name(type(self).__name__, resource_name)
        check_options(label, opts)
        plain = {"pools": pools, "canary": canary, "waves": waves, "aliases": aliases}
        bag = {
            "account_endpoint": account_endpoint,
            "target_os_version": target_os_version,
            "target_image_version": target_image_version,
            "nodes_since": nodes_since,
            "timeout": timeout,
            "on_timeout": on_timeout,
            "if_resizing": if_resizing,
            "on_conflict": on_conflict,
            "stall_after": stall_after,
            "max_unhealthy": max_unhealthy,
            "soak": soak,
            "strategy": strategy,
            "target_image": target_image,
            "node_agent_sku": node_agent_sku,
            "surge": surge,
            "max_unavailable": max_unavailable,
            "canary": canary_nodes,
            "autoscale": autoscale,
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
            refuse(label, [str(error)])

        super().__init__("batch:index:PoolFleet", resource_name, None, opts)
        for warning in unknown_names(opts, ("waves",)):
            pulumi.log.warn(warning, resource=self)
        self.waves = [[member.spelled for member in wave] for wave in arranged]
        if len(arranged) > 1 and kind is PoolOsVersion and max_unhealthy is None and pulumi.runtime.is_dry_run():
            pulumi.log.warn(
                f"fleet {resource_name}: max_unhealthy is not declared, so a wave passes when its pools run the "
                "target, even with unhealthy nodes; declare max_unhealthy=0, or the number of nodes that each pool can "
                "lose",
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
    """Refuse an output, also inside lists and mappings: its value is not known while the program runs."""
    if is_pending(value):
        raise WavesError(
            f"{name}: it is or contains an output, whose value is not known while the program runs; allowed: plain "
            "values, such as those of pulumi.Config, since they decide which resources the program registers"
        )
    if isinstance(value, Mapping):
        _check_plain(name, [*value, *value.values()])
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for each in value:
            _check_plain(name, each)


def _spelled(name: str) -> str:
    """The argument of the fleet for an input of its pools: a fleet's own ``canary`` names pools."""
    return "canary_nodes" if name == inputs.CANARY else name


def _own(account_endpoint: object) -> str:
    """The endpoint of pools given by id; empty if it is unknown or wrong. ``_checked`` reports a wrong one."""
    try:
        return parse_endpoint(account_endpoint) if isinstance(account_endpoint, str) else ""
    except ValueError:
        return ""


def _where(member: Member) -> dict[str, str]:
    return {"account_endpoint": member.endpoint} if member.endpoint else {}


def _former(aliases: object, fleet: Sequence[Member], own: str) -> dict[Member, pulumi.Alias | str]:
    """The former resource of each pool that has an alias. Raises WavesError."""
    if aliases is None:
        return {}
    if not isinstance(aliases, Mapping):
        raise WavesError(f"aliases: {shown(aliases)} is not a mapping; allowed: {_ALIASES_FORM}")
    former: dict[Member, pulumi.Alias | str] = {}
    for pool, old in aliases.items():
        where = f"aliases[{shown(pool)}]"
        member = find(where, pool, fleet, own)
        if not isinstance(old, str | pulumi.Alias):
            raise WavesError(f"{where}: {shown(old)} is not a former resource; allowed: {_ALIASES_FORM}")
        is_name = isinstance(old, str) and not old.startswith("urn:")
        former[member] = pulumi.Alias(name=str(old), parent=pulumi.ROOT_STACK_RESOURCE) if is_name else old
    return former


def _kind(bag: Mapping[str, Any]) -> type[PoolOsVersion | PoolImageVersion]:
    targets = (*inputs.OS.targets, *inputs.IMAGE.targets)
    given = [name for name in targets if bag[name] is not None]
    if bag[inputs.STRATEGY] == inputs.AUTOMATIC and inputs.TARGET not in given:
        return PoolImageVersion
    if len(given) != 1:
        raise WavesError(
            f"{', '.join(given or targets)}: {f'{len(given)} are' if given else 'none is'} given; allowed: exactly "
            f"one, {inputs.TARGET} for pools of the Cloud Services kind, {inputs.NODES_SINCE} for VM pools on latest, "
            f"{inputs.IMAGE_TARGET} for VM pools that are pinned to an exact version"
        )
    return PoolOsVersion if given == [inputs.TARGET] else PoolImageVersion


def _checked(
    kind: type[PoolOsVersion | PoolImageVersion], bag: Mapping[str, Any], fleet: Sequence[Member], *, waits: bool
) -> dict[str, Any]:
    """The inputs of every child. Raises WavesError once for a value that the check of each child would refuse."""
    spec = inputs.OS if kind is PoolOsVersion else inputs.IMAGE
    given = {name: value for name, value in bag.items() if value is not None}
    unfit = next((name for name in given if name not in (*spec.names, inputs.ACCOUNT_ENDPOINT)), None)
    if unfit is not None:
        target = spec.target_of(given)
        fits = (name for name in spec.names if name in bag and (name == target or name not in spec.targets))
        allowed = ", ".join(_spelled(name) for name in fits)
        raise WavesError(
            f"{_spelled(unfit)}: {shown(given[unfit])} is not allowed with {target}; allowed with it: {allowed}"
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
        raise WavesError("; ".join(f"{_spelled(failure.property)}: {failure.reason}" for failure in failures))
    if waits and is_pending(given.get("on_timeout")):
        raise WavesError("on_timeout: it is an output; allowed for a fleet of several waves: fail, as a plain value")
    if waits and given.get("on_timeout") == "defer":
        raise WavesError(
            "on_timeout: 'defer' is not allowed for a fleet of several waves: a deferred pool counts as a success, so "
            "the next wave would start; allowed: fail, or a single wave (canary=[], and no waves)"
        )
    return given
