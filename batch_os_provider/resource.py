"""The resources that a Pulumi program declares: typed inputs and outputs, and nothing else.

This is the face that people see in their editor. Importing it must cost a
program no more than Pulumi itself: nothing of azure is imported while a program runs.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, ClassVar, Literal, TypeVar

import pulumi
from pulumi import Input, Output, ResourceOptions, dynamic

from batch_os_provider.engine import arguments, parallel_hint, program_end
from batch_os_provider.image_provider import PoolImageVersionProvider
from batch_os_provider.pool_provider import PoolProvider
from batch_os_provider.provider import PoolOsVersionProvider
from batch_os_provider.schema.outputs import IMAGE_OUTPUTS, OUTPUTS

__all__ = ["PoolImageVersion", "PoolOsVersion", "PoolResource"]


R = TypeVar("R", bound="PoolResource")


class PoolResource(dynamic.Resource):
    """What both resources share: how they are made, and how a pool is read without managing it.

    A subclass that presets arguments is the same resource: it keeps the type token, and takes over a state in which it
    has the token that Pulumi's SDK gives a subclass.
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
        who = arguments.check_name(type(self).__name__, resource_name)
        arguments.check_options(who, opts)
        # A removal then reads `delete[retain]` in the preview, which is the truth: the pool stays.
        own = ResourceOptions(retain_on_delete=True, aliases=self._former(opts))
        # Pulumi makes an attribute of every key, so the outputs are seeded with None.
        seeded: dict[str, Any] = {**dict.fromkeys(self._shown), **arguments.carried(who, declared)}
        super().__init__(self._kept_by(), resource_name, seeded, ResourceOptions.merge(own, opts))
        for warning in arguments.strange_names(opts, (*self._kept_by.spec.names, *self._shown)):
            pulumi.log.warn(warning, resource=self)
        parallel_hint.count(self.pool_state)

    def _former(self, opts: ResourceOptions | None) -> Sequence[pulumi.Alias]:
        """What the resource may be in the state: this name, or a former one, with a former type of its class."""
        given = [alias for alias in (opts and opts.aliases) or () if isinstance(alias, pulumi.Alias)]
        # The SDK puts an ellipsis where no type is given.
        alike = [pulumi.Alias(), *(alias for alias in given if not isinstance(alias.type_, str))]
        former = []
        for type_ in dict.fromkeys(self._former_types):
            for alias in map(copy.copy, alike):
                alias.type_ = type_
                former.append(alias)
        return former

    @classmethod
    def get(  # noqa: PYI019 - Self is not in Python 3.10, and one word is no reason for a dependency
        cls: type[R],
        resource_name: str,
        id: Input[str],  # noqa: A002 - Pulumi's own name for it
        opts: ResourceOptions | None = None,
    ) -> R:
        """Read a pool that another stack keeps, by its URL ``{account_endpoint}/pools/{pool_id}``; nothing is managed.

        Args:
            resource_name: the resource's name in the program.
            id: the pool's URL, which is also the id of the resource. Not secret: Pulumi keeps ids as plain text.
            opts: Pulumi's resource options.

        Raises:
            pulumi.RunError: an argument is not allowed.
            An error at preview and at `up`: there is no such pool, it is of the other kind, or it cannot be read.
        """
        program_end.be_quiet()
        who = arguments.check_name(f"{cls.__name__}.get", resource_name)
        arguments.check_options(who, opts)
        resource = cls.__new__(cls)
        options = ResourceOptions.merge(opts, ResourceOptions(id=arguments.pool_url(who, id)))
        empty: dict[str, Any] = dict.fromkeys((*cls._kept_by.spec.names, *cls._shown))
        dynamic.Resource.__init__(resource, cls._kept_by(), resource_name, empty, options)
        return resource


class PoolOsVersion(PoolResource, module="batch", name="PoolOsVersion"):
    """The OS version of an Azure Batch pool of the Cloud Services kind, kept as declared.

    `pulumi preview` shows from and to; `pulumi up` asks Batch for the upgrade once and waits
    until every node runs the target; `pulumi refresh` shows drift as a changed property. The
    pool itself is not managed: it must exist, creating this resource adopts it, and removing it
    leaves the pool as it is (by default with ``retain_on_delete``, which the preview shows).

    During an upgrade Batch takes a few nodes at a time out of service and puts their running
    tasks back into the queue; a small pool may be unavailable for a while (REST page "Upgrade
    the operating system of compute nodes in a pool").

    Credentials come from the environment and never from inputs: ``AZURE_BATCH_ACCOUNT`` with
    ``AZURE_BATCH_ACCESS_KEY``, the ``ARM_*`` variables of azure-native, or whatever
    ``DefaultAzureCredential`` finds.

    Args:
        resource_name: the resource's name in the program.
        account_endpoint: the Batch account's URL, as ``az batch account show`` prints in
            ``accountEndpoint``. Without a scheme it is https; http is for loopback only; case and a
            trailing slash do not matter. A change replaces the resource; the old pool is left alone.
        pool_id: the pool, 1-64 of letters, digits, ``-`` and ``_``; compared without case. A change
            replaces the resource; the old pool is left alone.
        target_os_version: ``WA-GUEST-OS-<family>.<minor>_<YYYYMM>-<NN>`` of the pool's own family,
            or ``*`` for the latest of the family. An older version than the present one is allowed.
        timeout: how long one `up` waits for this pool, from the moment its work starts: ``90s``,
            ``1h30m``, ``PT2H``, seconds, or a ``timedelta``; more than 0, at most 720h. Default ``2h``.
        on_timeout: at the deadline: ``fail`` ends with an error that says the upgrade goes on (the
            default); ``defer`` succeeds, reports the version that runs, and plans the rest again in
            the next preview.
        if_resizing: the pool is being resized: ``wait`` until it is steady (the default), or ``fail``.
            A resize is never stopped.
        on_conflict: an upgrade to another version is in flight: ``fail``, naming both (the default),
            or ``wait`` for it and upgrade then.
        stall_after: no node has moved for so long, while this `up` waits for nodes: an error that names
            them; the upgrade goes on in Batch. A duration as for ``timeout``. Default: off.
        max_unhealthy: how many nodes may be unhealthy at the target: a whole number from 0 on, or a
            percentage of the pool's nodes such as ``"10%"``, rounded down. A node is unhealthy when Batch shows
            it as ``unusable`` or ``starttaskfailed``, or when its start task has failed. More of them fail this
            resource, whoever upgraded the pool, at once and until they are mended; what depends on it does not
            begin. Default: no limit, unhealthy nodes are warned about.
        soak: how long ago the newest boot of a node has to be, by the service's clock, before the pool counts
            as upgraded. An interrupted soak goes on where it was. A duration as for ``timeout``, and ``timeout``
            still bounds the whole. Default: off.
        opts: Pulumi's resource options; they win over this class's default ``retain_on_delete=True``.

    Errors come at `pulumi preview` for what can be judged from the program alone, and at
    `pulumi up` for what Batch says; each names the pool, what was seen and the next command.

    Raises:
        pulumi.RunError: a value that Pulumi cannot send, or a resource option that could have no effect.

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
    """How long one `up` waits, as declared; None where it was left to the default, two hours."""
    on_timeout: Output[str | None]
    """``fail`` or ``defer``, as declared; None where it was left to the default, ``fail``."""
    if_resizing: Output[str | None]
    """``wait`` or ``fail``, as declared; None where it was left to the default, ``wait``."""
    on_conflict: Output[str | None]
    """``fail`` or ``wait``, as declared; None where it was left to the default, ``fail``."""
    stall_after: Output[Any]
    """How long no node may move, as declared; None where it was left out."""
    max_unhealthy: Output[Any]
    """How many nodes may be unhealthy, as declared; None where it was left out."""
    soak: Output[Any]
    """How long ago the newest boot has to be, as declared; None where it was left out."""
    current_os_version: Output[str | None]
    """What Batch last showed as ``currentOSVersion``; None for a VM pool."""
    os_family: Output[str | None]
    """What Batch last showed as ``osFamily``, such as ``5``; None for a VM pool."""
    pool_state: Output[str | None]
    """What Batch last showed as the pool's ``state``: ``active``, ``upgrading`` or ``deleting``; ``unproven`` where it
    was active, and its nodes not yet as ``max_unhealthy`` and ``soak`` ask."""
    unhealthy_nodes: Output[int | None]
    """How many nodes were unhealthy when they were last looked at, at the version that runs: by the first `up` that
    finds it at the target, and by each `up` and refresh where ``max_unhealthy`` or ``soak`` is declared. None where
    nobody has looked, and for a VM pool."""

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
    """The image version of an Azure Batch pool of virtual machines, kept at or above what is declared. Experimental.

    Nothing upgrades a VM node in place, so old nodes are replaced by new ones, and no task is stopped:
    nodes are added, proven to be healthy and new enough, and then as many old nodes finish their tasks
    and go. The pool never has fewer nodes than before. The pool itself is not managed: it must exist,
    creating this resource adopts it, and removing it leaves the pool as it is.

    The declared version is a floor: nodes above it are fine, and nodes that Batch adds later cause no
    change. Spot nodes are reported and not looked after.

    It has not been run on a real Batch account yet; docs/vm-pools.md says what to probe first.

    Args:
        resource_name: the resource's name in the program.
        account_endpoint: the Batch account's URL, as for ``PoolOsVersion``. A change replaces the
            resource; the old pool is left alone.
        pool_id: the pool. A change replaces the resource; the old pool is left alone.
        target_image_version: exact numbers such as ``22.04.202405140`` or ``20348.2461.240510``, each at
            most 4294967295, compared part by part; written and shown as declared. ``latest`` is refused:
            it is a moving target that cannot be reviewed.
        strategy: ``surge`` adds nodes and lets old ones go; ``when_empty`` never touches a node and waits
            until scale-in and growth have renewed the pool, or, for a pool that is pinned to an older
            version, until it is empty and its image can be changed.
        surge: how many nodes are added at a time, 1 to 100. Default 1. Needs that much core quota.
        drain_timeout: how long an old node may take to finish its tasks, at least ``5m``. Default ``1h``.
            A node that takes longer stays, and the rollout ends with an error that names it.
        timeout: how long one `up` waits for this pool. Default ``2h``. Each round takes a drain, so a
            large pool with long tasks needs more.
        on_timeout: ``fail`` (the default) or ``defer``, as for ``PoolOsVersion``.
        opts: Pulumi's resource options; they win over this class's default ``retain_on_delete=True``.

    Errors come at `pulumi preview` for what can be judged from the program or seen in the pool, and at
    `pulumi up` for what Batch says; each names the pool, what was seen and the next command.

    Raises:
        pulumi.RunError: as for ``PoolOsVersion``.
    """

    _kept_by = PoolImageVersionProvider
    _shown = IMAGE_OUTPUTS

    account_endpoint: Output[str]
    """The Batch account's URL: scheme, host in lower case, port if there is one."""
    pool_id: Output[str]
    """The pool's id, as declared."""
    target_image_version: Output[str]
    """The declared version; after a refresh that finds a node or the pin behind, the oldest version seen."""
    strategy: Output[str]
    """``surge`` or ``when_empty``."""
    surge: Output[Any]
    """Nodes added at a time, as declared; None where it was left to the default, 1."""
    drain_timeout: Output[Any]
    """How long a node may drain, as declared; None where it was left to the default, one hour."""
    timeout: Output[Any]
    """How long one `up` waits, as declared; None where it was left to the default, two hours."""
    on_timeout: Output[str | None]
    """``fail`` or ``defer``, as declared; None where it was left to the default, ``fail``."""
    image: Output[str | None]
    """The pool's image reference in words: publisher, offer, SKU and version."""
    pool_image_version: Output[str | None]
    """What new nodes are made from: ``latest`` or the version that the pool is pinned to."""
    oldest_node_version: Output[str | None]
    """The oldest version among the dedicated nodes when last seen; None where there were none."""
    nodes_behind: Output[int]
    """How many dedicated nodes were below the target when last seen; 0 after a success."""
    pool_state: Output[str | None]
    """``active`` or ``deleting`` as Batch last showed it; ``renewing`` where a renewal is unfinished."""

    def __init__(  # noqa: PLR0913 - one argument for each input of the resource
        self,
        resource_name: str,
        *,
        account_endpoint: Input[str],
        pool_id: Input[str],
        target_image_version: Input[str],
        strategy: Input[Literal["surge", "when_empty"]],
        surge: Input[int] | None = None,
        drain_timeout: Input[str | int | float | timedelta] | None = None,
        timeout: Input[str | int | float | timedelta] | None = None,
        on_timeout: Input[Literal["fail", "defer"]] | None = None,
        opts: ResourceOptions | None = None,
    ) -> None:
        declared = {
            "account_endpoint": account_endpoint,
            "pool_id": pool_id,
            "target_image_version": target_image_version,
            "strategy": strategy,
            "surge": surge,
            "drain_timeout": drain_timeout,
            "timeout": timeout,
            "on_timeout": on_timeout,
        }
        super().__init__(resource_name, declared, opts)
