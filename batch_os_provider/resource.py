"""The resources that a Pulumi program declares, with typed inputs and outputs.

Editors show these docstrings, so they are the reference of the resources. A program that imports this module
imports Pulumi, but no module of azure.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, ClassVar, Literal, Self

import pulumi
from pulumi import Input, Output, ResourceOptions, dynamic

from batch_os_provider.engine import arguments, parallel_hint, program_end
from batch_os_provider.image_provider import PoolImageVersionProvider
from batch_os_provider.pool_provider import PoolProvider
from batch_os_provider.provider import PoolOsVersionProvider
from batch_os_provider.schema.outputs import IMAGE_OUTPUTS, OUTPUTS

__all__ = ["PoolImageVersion", "PoolOsVersion", "PoolResource"]


class PoolResource(dynamic.Resource):
    """Base of both resources: registers the resource, and reads a pool without managing it (``get``).

    A subclass that presets arguments keeps the type token of its base. It also takes over a state in which it has the
    token that Pulumi's SDK gives a subclass.
    """

    _kept_by: ClassVar[type[PoolProvider]]
    _shown: ClassVar[tuple[str, ...]]
    _token: ClassVar[str] = ""
    _former_types: ClassVar[tuple[str, ...]] = ()
    pool_state: Output[str | None]

    def __init_subclass__(cls, module: str = "", name: str = "Resource", **kwargs: Any) -> None:
        super().__init_subclass__(module=module, name=name, **kwargs)
        given, token = cls._resource_type_name, cls._token
        if token:
            bases = [type_ for base in cls.__mro__[1:] for type_ in vars(base).get("_former_types", ())]
            cls._former_types = (*([f"pulumi-python:{given}"] if given != token else []), *bases)
            cls._resource_type_name = token
        elif module:
            cls._token = given

    def __init__(self, resource_name: str, declared: Mapping[str, Any], opts: ResourceOptions | None) -> None:
        program_end.be_quiet()
        label = arguments.check_name(type(self).__name__, resource_name)
        arguments.check_options(label, opts)
        # The preview of a removal then shows `delete[retain]`: the pool stays.
        own = ResourceOptions(retain_on_delete=True, aliases=self._former(opts))
        # Pulumi makes an attribute of every key, so the outputs are seeded with None.
        seeded: dict[str, Any] = {**dict.fromkeys(self._shown), **arguments.sendable(label, declared)}
        super().__init__(self._kept_by(), resource_name, seeded, ResourceOptions.merge(own, opts))
        for warning in arguments.unknown_names(opts, (*self._kept_by.spec.names, *self._shown)):
            pulumi.log.warn(warning, resource=self)
        parallel_hint.count(self.pool_state)

    def _former(self, opts: ResourceOptions | None) -> Sequence[pulumi.Alias]:
        """Aliases with each former type of the class, for the present name and for each former name."""
        given = [alias for alias in (opts and opts.aliases) or () if isinstance(alias, pulumi.Alias)]
        # The SDK sets an omitted type to an ellipsis.
        alike = [pulumi.Alias(), *(alias for alias in given if not isinstance(alias.type_, str))]
        former = []
        for type_ in dict.fromkeys(self._former_types):
            for alias in map(copy.copy, alike):
                alias.type_ = type_
                former.append(alias)
        return former

    @classmethod
    def get(
        cls,
        resource_name: str,
        id: Input[str],  # noqa: A002 - Pulumi's own name for it
        opts: ResourceOptions | None = None,
    ) -> Self:
        """Read a pool that another stack keeps, without managing it.

        No `up` changes the pool.

        Args:
            resource_name: the resource's name in the program.
            id: the pool's URL, ``{account_endpoint}/pools/{pool_id}``. It is also the id of the resource, so it must
                not be secret: Pulumi keeps ids as plain text.
            opts: Pulumi's resource options. Options without an effect on a read are refused.

        Returns:
            The resource, whose outputs show the pool as Batch shows it now.

        Raises:
            pulumi.RunError: an argument is not allowed. Other errors come at preview and at `up`: the pool does not
                exist, it is of the other kind, or the provider cannot read it.
        """
        program_end.be_quiet()
        label = arguments.check_name(f"{cls.__name__}.get", resource_name)
        arguments.check_options(label, opts)
        resource = cls.__new__(cls)
        options = ResourceOptions.merge(opts, ResourceOptions(id=arguments.pool_url(label, id)))
        empty: dict[str, Any] = dict.fromkeys((*cls._kept_by.spec.names, *cls._shown))
        dynamic.Resource.__init__(resource, cls._kept_by(), resource_name, empty, options)
        return resource


class PoolOsVersion(PoolResource, module="batch", name="PoolOsVersion"):
    """Keeps the OS version of one Azure Batch pool of the Cloud Services kind as declared.

    `pulumi preview` shows the present and the target version. `pulumi up` asks Batch for the upgrade once and waits
    until every node runs the target. `pulumi refresh` shows drift as a changed property.

    The resource does not manage the pool itself. The pool must exist, and creating this resource adopts it. Removing
    the resource leaves the pool as it is; ``retain_on_delete`` is on by default, so the preview shows that.

    During an upgrade, Batch takes a few nodes at a time out of service and puts their running tasks back into the
    queue. A small pool may be unavailable for a while (REST page "Upgrade the operating system of compute nodes in a
    pool").

    Credentials come from the environment, never from inputs: ``AZURE_BATCH_ACCOUNT`` with ``AZURE_BATCH_ACCESS_KEY``,
    the ``ARM_*`` variables of azure-native, or a credential that ``DefaultAzureCredential`` finds.

    Args:
        resource_name: the resource's name in the program.
        account_endpoint: the Batch account's URL, as ``az batch account show`` prints in ``accountEndpoint``.
            The default scheme is https; http is allowed for loopback only. Case and a trailing slash do not matter.
            A change replaces the resource and leaves the old pool as it is.
        pool_id: the pool's id: 1 to 64 letters, digits, ``-`` and ``_``, compared without case. A change replaces the
            resource and leaves the old pool as it is.
        target_os_version: ``WA-GUEST-OS-<family>.<minor>_<YYYYMM>-<NN>`` of the pool's own family, or ``*`` for the
            latest version of the family. It may be older than the present version.
        timeout: how long one `up` may take for this pool, from the start of its work: ``90s``, ``1h30m``, ``PT2H``,
            a number of seconds, or a ``timedelta``; more than 0 and at most 720h. Default ``2h``.
        on_timeout: what happens at the deadline. ``fail`` (the default) ends with an error; the upgrade continues in
            Batch. ``defer`` succeeds, reports the version that the pool runs, and the next preview plans the rest.
        if_resizing: what happens if the pool is being resized. ``wait`` (the default) waits until the pool is steady,
            ``fail`` ends with an error. The provider never stops a resize.
        on_conflict: what happens if Batch already upgrades the pool to another version. ``fail`` (the default) ends
            with an error that names both versions; ``wait`` waits for that upgrade and then starts this one.
        stall_after: ends this `up` with an error if no node changes its state for this long while the `up` waits for
            nodes. The error names the nodes; the upgrade continues in Batch. A duration as for ``timeout``.
            Default: off.
        max_unhealthy: how many nodes may be unhealthy at the target: a whole number from 0 on, or a percentage of the
            pool's nodes such as ``"10%"``, rounded down. A node is unhealthy if its state is ``unusable`` or
            ``starttaskfailed``, or if its start task failed. With more unhealthy nodes this resource fails at once,
            also if another program upgraded the pool, and each `up` fails until the nodes are fixed. Resources that
            depend on this one then do not start. Default: no limit, and a warning for unhealthy nodes.
        soak: how long ago the newest boot of a node must be, by the service's clock, before the pool counts as
            upgraded. The next `up` continues an interrupted soak. A duration as for ``timeout``, which also covers
            the soak. Default: off.
        opts: Pulumi's resource options. They override this class's default ``retain_on_delete=True``.

    `pulumi preview` reports every error that the program alone or the pool's present state shows. `pulumi up` reports
    the errors that Batch returns. Each error names the pool, what was seen, and what to do next.

    Raises:
        pulumi.RunError: Pulumi cannot send a value, or a resource option would have no effect.

    """

    _kept_by = PoolOsVersionProvider
    _shown = OUTPUTS

    account_endpoint: Output[str]
    """The Batch account's URL: scheme, host in lower case, port if there is one."""
    pool_id: Output[str]
    """The pool's id, as declared."""
    target_os_version: Output[str]
    """The declared version; after a refresh the observed one, so that drift shows as a change."""
    timeout: Output[Any]
    """How long one `up` may take, as declared; None if not declared (default: two hours)."""
    on_timeout: Output[str | None]
    """``fail`` or ``defer``, as declared; None if not declared (default: ``fail``)."""
    if_resizing: Output[str | None]
    """``wait`` or ``fail``, as declared; None if not declared (default: ``wait``)."""
    on_conflict: Output[str | None]
    """``fail`` or ``wait``, as declared; None if not declared (default: ``fail``)."""
    stall_after: Output[Any]
    """How long the nodes may stay unchanged, as declared; None if not declared (default: off)."""
    max_unhealthy: Output[Any]
    """How many nodes may be unhealthy, as declared; None if not declared (default: no limit)."""
    soak: Output[Any]
    """How long ago the newest boot must be, as declared; None if not declared (default: off)."""
    current_os_version: Output[str | None]
    """The last ``currentOSVersion`` that Batch showed; None for a VM pool."""
    os_family: Output[str | None]
    """The last ``osFamily`` that Batch showed, such as ``5``; None for a VM pool."""
    pool_state: Output[str | None]
    """The last pool ``state`` that Batch showed: ``active``, ``upgrading`` or ``deleting``. ``unproven`` is an active
    pool whose nodes have not yet met ``max_unhealthy`` and ``soak``."""
    unhealthy_nodes: Output[int | None]
    """How many nodes were unhealthy when the provider last counted them at the present version. The first `up` that
    finds the pool at the target counts them; with ``max_unhealthy`` or ``soak``, so do each `up` and refresh that read
    the pool. None before the first count, and for a VM pool."""

    def __init__(  # noqa: PLR0913 - one argument for each input of the resource
        self,
        resource_name: str,
        *,
        account_endpoint: Input[str],
        pool_id: Input[str],
        target_os_version: Input[str],
        timeout: Input[str | int | float | timedelta] | None = None,
        on_timeout: Input[Literal["fail", "defer"]] | None = None,
        if_resizing: Input[Literal["wait", "fail"]] | None = None,
        on_conflict: Input[Literal["fail", "wait"]] | None = None,
        stall_after: Input[str | int | float | timedelta] | None = None,
        max_unhealthy: Input[str | int] | None = None,
        soak: Input[str | int | float | timedelta] | None = None,
        opts: ResourceOptions | None = None,
    ) -> None:
        declared = {
            "account_endpoint": account_endpoint,
            "pool_id": pool_id,
            "target_os_version": target_os_version,
            "timeout": timeout,
            "on_timeout": on_timeout,
            "if_resizing": if_resizing,
            "on_conflict": on_conflict,
            "stall_after": stall_after,
            "max_unhealthy": max_unhealthy,
            "soak": soak,
        }
        super().__init__(resource_name, declared, opts)


class PoolImageVersion(PoolResource, module="batch", name="PoolImageVersion"):
    """Keeps the image version of one Azure Batch pool of virtual machines as declared. Experimental.

    Batch cannot upgrade a VM node in place, so the provider replaces old nodes without stopping a task. With
    ``strategy="surge"`` it adds nodes, waits until they are healthy and new enough, and then removes as many old nodes
    after their tasks have ended: the pool never has fewer nodes than before, unless ``max_unavailable`` allows it. With
    ``strategy="empty"`` the tasks finish, the pool goes to zero nodes, its image version changes, a canary is proven,
    and the pool is filled again.

    Declare exactly one target: ``nodes_since`` for a pool on ``latest``, whose nodes show no version number since
    November 2024, or ``target_image_version`` for a pool that is pinned to an exact version. Only
    ``strategy="automatic"`` needs no target.

    The resource does not manage the pool itself. The pool must exist, creating this resource adopts it, and removing
    the resource leaves the pool as it is.

    On a pool that is pinned to a version, the declared version is the pin, exactly, for ``empty`` and ``when_empty``:
    an older version goes back, and a pin that someone changed is drift. Elsewhere the declared target is a minimum:
    newer nodes are allowed, and nodes that Batch adds later cause no change. ``empty`` with a version pins a pool on
    ``latest``. ``surge`` replaces old spot nodes only with ``max_unavailable``; ``empty`` replaces them too.

    This resource has not run on a real Batch account yet; docs/vm-pools.md says what to probe first.

    Args:
        resource_name: the resource's name in the program.
        account_endpoint: the Batch account's URL, as for ``PoolOsVersion``. A change replaces the resource and leaves
            the old pool as it is.
        pool_id: the pool's id, as for ``PoolOsVersion``. A change replaces the resource and leaves the old pool as it
            is.
        target_image_version: exact numbers such as ``22.04.202405140`` or ``20348.2461.240510``, each at most
            4294967295, compared part by part. Outputs keep the spelling of the program. ``latest`` is refused, because
            it changes over time and cannot be reviewed; it is allowed with ``target_image``. For a gallery image
            (private, shared or community) it is the version in the image id, such as ``1.2.3``: with ``empty`` and
            ``when_empty`` a pool whose id has no
            version gets it too, and with ``surge`` it needs nodes that show a version.
        nodes_since: a date such as ``2026-11-24`` (midnight UTC), or a UTC time to the second such as
            ``2026-11-24T06:30:00Z``. A node that was allocated before it is behind. A reboot or a reimage does not
            make a node newer. New nodes prove that they start and that their start task succeeds; the image that they
            get is not compared. A moment in the future is refused.
        strategy: ``surge`` adds new nodes and then removes old ones. ``when_empty`` never touches a node: it waits
            until scaling has renewed the pool. If the pool is pinned to another version, it waits until the pool is
            empty and then changes the image. ``empty`` empties the pool itself after its tasks, changes the image and
            fills the pool again; while it does, the pool has no nodes. A canary that fails brings the old image back.
            ``automatic`` is for pools with automatic OS upgrade, which Batch renews itself: it writes nothing and waits
            for nothing. It shows drift if the policy is off or changed. It needs no target; a ``target_image_version``
            is a floor, for the count of nodes that are behind.
        target_image: with ``empty`` and ``when_empty``, the image itself: ``publisher:offer:sku``, or the id of a
            gallery image without ``/versions/``, compared without case. A pool of another image gets this one together
            with its node agent SKU while it has no nodes. Then ``target_image_version`` may also be ``latest``: new
            nodes get the newest version, and only the image is compared. With ``nodes_since`` the pool gets ``latest``
            of the image, or keeps the pin that it has there. Default: the image that the pool has.
        node_agent_sku: with ``target_image``, the node agent SKU of the image, such as ``batch.node.ubuntu 24.04``.
            Default: the one that Batch lists for the image. Required for a gallery image that the pool does not have
            yet, and for an image that Batch does not list. If declared, a pool with another one changes too.
        surge: with ``surge``, how many nodes the provider adds at a time, or a percentage of the pool's dedicated nodes
            such as ``"25%"``, rounded up, at most 100 nodes. The account needs the core quota for them. Default 1. 0 is
            allowed together with ``max_unavailable``.
        max_unavailable: with ``surge``, how many nodes may be missing or not ready at a time, or a percentage of the
            pool's nodes such as ``"10%"``, rounded down to at least one node, at most 100 nodes. So many old nodes
            leave after their tasks before new ones replace them, spot nodes too. With ``surge=0`` it needs no spare
            quota; the first round then renews a single node, the canary. Default 0: the pool never has fewer nodes
            than before, and spot nodes are left as they are.
        canary: with ``empty``, how many new nodes must be ready before the pool is filled, 1 to 100. Default 1.
        autoscale: with ``surge`` and ``empty``, what to do with a pool that scales itself: ``refuse`` (the default) or
            ``hold``. ``hold`` turns the formula off, and the same formula and interval on again at the end or after a
            failure.
        drain_timeout: how long an old node may take to finish its tasks: a duration as for ``timeout``, at least
            ``5m``. A slower node stays, and the `up` ends with an error that names it; an emptied pool first gets its
            size back. Default ``1h``.
        timeout: how long one `up` may take for this pool, as for ``PoolOsVersion``. Each round includes a drain, so a
            large pool with long tasks needs more. Default ``2h``.
        on_timeout: ``fail`` (the default) or ``defer``, as for ``PoolOsVersion``.
        opts: Pulumi's resource options. They override this class's default ``retain_on_delete=True``.

    `pulumi preview` reports every error that the program alone or the pool's present state shows. `pulumi up` reports
    the errors that Batch returns. Each error names the pool, what was seen, and what to do next.

    Raises:
        pulumi.RunError: as for ``PoolOsVersion``.
    """

    _kept_by = PoolImageVersionProvider
    _shown = IMAGE_OUTPUTS

    account_endpoint: Output[str]
    """The Batch account's URL: scheme, host in lower case, port if there is one."""
    pool_id: Output[str]
    """The pool's id, as declared."""
    target_image_version: Output[str | None]
    """The declared version; after a refresh that finds a node or the pin behind, the oldest version seen; where the pin
    is the version, the pin. None if not declared."""
    nodes_since: Output[str | None]
    """The declared moment; after a refresh that finds a node behind, when the oldest node was allocated. None if not
    declared."""
    strategy: Output[str]
    """``surge``, ``when_empty``, ``empty`` or ``automatic``."""
    target_image: Output[str | None]
    """The declared image; after a refresh that finds another one, the pool's image. None if not declared."""
    node_agent_sku: Output[str | None]
    """The declared node agent SKU; after a refresh that finds another one, the pool's. None if not declared."""
    surge: Output[Any]
    """How many nodes the provider adds at a time (or which share), as declared; None if not declared (default: 1)."""
    max_unavailable: Output[Any]
    """How many nodes may be missing at a time (or which share), as declared; None if not declared (default: 0)."""
    canary: Output[Any]
    """How many new nodes prove an emptied pool, as declared; None if not declared (default: 1)."""
    autoscale: Output[str | None]
    """``refuse`` or ``hold``, as declared; None if not declared (default: ``refuse``)."""
    drain_timeout: Output[Any]
    """How long a node may take to finish its tasks, as declared; None if not declared (default: one hour)."""
    timeout: Output[Any]
    """How long one `up` may take, as declared; None if not declared (default: two hours)."""
    on_timeout: Output[str | None]
    """``fail`` or ``defer``, as declared; None if not declared (default: ``fail``)."""
    image: Output[str | None]
    """The pool's image reference: publisher, offer, SKU and version."""
    pool_image_version: Output[str | None]
    """The version of new nodes: ``latest``, or the version that the pool is pinned to."""
    oldest_node_version: Output[str | None]
    """The oldest version among the dedicated nodes at the last read; None if there were none."""
    oldest_node_allocated: Output[str | None]
    """With ``nodes_since``: when the oldest node that is behind was allocated, in UTC to the second; None if no node is
    behind. With ``get``: when the oldest dedicated node was allocated."""
    nodes_behind: Output[int]
    """How many nodes were older than the target at the last read; 0 after a success, except for old spot nodes that
    ``surge`` leaves."""
    pool_state: Output[str | None]
    """``active`` or ``deleting``, as Batch last showed; ``renewing`` if a renewal is unfinished. With
    ``strategy="automatic"`` it is ``policy changed`` if a refresh found another upgrade policy than the last `up`."""
    upgrade_policy: Output[str | None]
    """With ``strategy="automatic"``: the pool's upgrade policy as ``name=value`` words, or ``off``. Else None."""
    oldest_node_agent_version: Output[str | None]
    """The oldest version of the Batch node agent on a node at the last read, such as ``1.12.39``; None if no node shows
    one. Only ``empty`` brings a newer agent, since a new deployment does. A state of an earlier release gets it with
    the next `up` that works on the pool."""

    def __init__(  # noqa: PLR0913 - one argument for each input of the resource
        self,
        resource_name: str,
        *,
        account_endpoint: Input[str],
        pool_id: Input[str],
        target_image_version: Input[str] | None = None,
        nodes_since: Input[str] | None = None,
        strategy: Input[Literal["surge", "when_empty", "empty", "automatic"]],
        target_image: Input[str] | None = None,
        node_agent_sku: Input[str] | None = None,
        surge: Input[int | str] | None = None,
        max_unavailable: Input[int | str] | None = None,
        canary: Input[int] | None = None,
        autoscale: Input[Literal["refuse", "hold"]] | None = None,
        drain_timeout: Input[str | int | float | timedelta] | None = None,
        timeout: Input[str | int | float | timedelta] | None = None,
        on_timeout: Input[Literal["fail", "defer"]] | None = None,
        opts: ResourceOptions | None = None,
    ) -> None:
        declared = {
            "account_endpoint": account_endpoint,
            "pool_id": pool_id,
            "target_image_version": target_image_version,
            "nodes_since": nodes_since,
            "strategy": strategy,
            "target_image": target_image,
            "node_agent_sku": node_agent_sku,
            "surge": surge,
            "max_unavailable": max_unavailable,
            "canary": canary,
            "autoscale": autoscale,
            "drain_timeout": drain_timeout,
            "timeout": timeout,
            "on_timeout": on_timeout,
        }
        super().__init__(resource_name, declared, opts)
