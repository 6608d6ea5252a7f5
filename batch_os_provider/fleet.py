"""A component that brings many pools to one version in waves; its children are ordinary pools.

Without waves, one `up` changes all pools at once, and a bad version breaks all of them. The Pulumi engine can already
work in steps: a resource starts only after the resources that it depends on have succeeded. A fleet declares these
dependencies. Each pool keeps its own row, state and health gate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Literal

import pulumi
from pulumi import Input, ResourceOptions

from batch_os_provider.engine import parallel_hint
from batch_os_provider.engine.arguments import check_name, check_options, is_pending, refuse, unknown_names
from batch_os_provider.resource import PoolImageVersion, PoolOsVersion
from batch_os_provider.schema import inputs
from batch_os_provider.schema.fleet_plan import PLAIN, former
from batch_os_provider.schema.fleet_plan import plan as plan_of
from batch_os_provider.schema.resource_types import FLEET_TYPE
from batch_os_provider.schema.waves import Member, Wave, WavesError

__all__ = ["PoolFleet"]

_ALIASES_FORM = "the name of a resource without a parent, a URN, or a pulumi.Alias"


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
        canary: the first wave: a pool, or a list of pools. ``[]`` leaves it out. Default: the first of ``pools``.
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
        arguments = {
            "pools": pools,
            "canary": canary,
            "waves": waves,
            "aliases": aliases,
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
            "canary_nodes": canary_nodes,
            "autoscale": autoscale,
            "drain_timeout": drain_timeout,
        }
        try:
            for name in PLAIN:
                _check_plain(name, arguments[name])
            plan = plan_of(arguments, is_pending)
            old: dict[Member, pulumi.Alias | str] = former(arguments, plan, _alias, _ALIASES_FORM)
        except WavesError as error:
            refuse(label, [str(error)])

        super().__init__(FLEET_TYPE, resource_name, None, opts)
        for warning in unknown_names(opts, ("waves",)):
            pulumi.log.warn(warning, resource=self)
        self.waves = plan.spelled
        if pulumi.runtime.is_dry_run() and (warning := plan.warning(resource_name)):
            pulumi.log.warn(warning, resource=self)
        kind = PoolOsVersion if plan.spec is inputs.OS else PoolImageVersion
        made: dict[str, PoolOsVersion | PoolImageVersion] = {}
        before: list[pulumi.Resource] = []
        for number, wave in enumerate(plan.waves):
            with parallel_hint.wave(self, number):
                for member in wave:
                    made[member.spelled] = kind(
                        f"{resource_name}-{member.label}",
                        **plan.inputs_of(member),
                        opts=ResourceOptions(
                            parent=self, depends_on=before, aliases=[old[member]] if member in old else None
                        ),
                    )
            before = [made[member.spelled] for member in wave]
        self.pools = {member.spelled: made[member.spelled] for member in plan.pools}
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


def _alias(old: object) -> pulumi.Alias | str | None:
    if isinstance(old, str) and not old.startswith("urn:"):
        return pulumi.Alias(name=old, parent=pulumi.ROOT_STACK_RESOURCE)
    return old if isinstance(old, str | pulumi.Alias) else None
