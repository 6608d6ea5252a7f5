"""The inputs of a resource as typed values with the defaults applied.

A rollout reads them when its work starts. The defaults are never written into the inputs that Pulumi stores.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

from batch_os_provider.batch.address import PoolRef, parse_endpoint, parse_pool_url
from batch_os_provider.batch.vm_target import AllocatedSince, ImageVersion, Target
from batch_os_provider.batch.wanted_image import WantedImage
from batch_os_provider.errors import InputError
from batch_os_provider.schema.inputs import (
    ACCOUNT_ENDPOINT,
    AUTOMATIC,
    AUTOSCALE,
    CANARY,
    DRAIN_TIMEOUT,
    IF_RESIZING,
    IMAGE,
    IMAGE_TARGET,
    LATEST,
    MAX_UNAVAILABLE,
    MAX_UNHEALTHY,
    MOST_NODES,
    NODE_AGENT,
    NODES_SINCE,
    ON_CONFLICT,
    ON_TIMEOUT,
    OS,
    POOL_ID_NAME,
    SOAK,
    STALL_AFTER,
    STRATEGY,
    SURGE,
    TARGET,
    TARGET_IMAGE,
    TIMEOUT,
)
from batch_os_provider.schema.units import Share, parse_duration, parse_share, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "NO_GATE",
    "Declared",
    "DeclaredImage",
    "Gate",
    "ImagePolicy",
    "Policy",
    "gate_of",
    "ref_of",
    "renews_spot",
    "target_in",
    "target_of",
]


@dataclass(frozen=True)
class Policy:
    """How a rollout treats a resize or an upgrade that it did not start."""

    if_resizing: Literal["wait", "fail"] = "wait"
    on_conflict: Literal["fail", "wait"] = "fail"


@dataclass(frozen=True)
class Gate:
    """The health that a pool's nodes must have at the target version.

    ``max_unhealthy`` None means no limit. ``soak`` is in seconds; 0 means off.
    """

    max_unhealthy: Share | None = None
    soak: float = 0.0

    @property
    def is_declared(self) -> bool:
        """Whether the program declared ``max_unhealthy`` or ``soak``."""
        return self.max_unhealthy is not None or self.soak > 0


NO_GATE = Gate()
"""The gate of a program that declares neither ``max_unhealthy`` nor ``soak``."""


@dataclass(frozen=True)
class ImagePolicy:
    """How a rollout renews nodes.

    ``surge``: how many nodes it adds at a time, or which share of them. ``canary``: how many new nodes prove an emptied
    pool. ``autoscale``: whether it may turn a formula off while it works. ``max_unavailable``: how many nodes may be
    missing or not ready at a time, or which share of them. The strategy ``restore`` is not an input: with it `batch-os
    restore` puts a pool back to what its marker says.
    """

    strategy: Literal["surge", "when_empty", "empty", "automatic", "restore"]
    surge: int | Share = 1
    canary: int = 1
    autoscale: Literal["refuse", "hold"] = "refuse"
    max_unavailable: int | Share = 0

    def surge_of(self, nodes: int) -> int:
        """How many nodes it adds at a time to a pool of so many dedicated nodes, 0 to 100; a share is rounded up."""
        surge = _share(self.surge)
        return min(MOST_NODES, max(1, surge.rounded_up(nodes))) if surge.number else 0

    def unavailable_of(self, nodes: int) -> int:
        """How many of so many nodes may be missing, 0 to 100; a share is rounded down, to at least one node."""
        unavailable = _share(self.max_unavailable)
        return min(MOST_NODES, max(1, unavailable.of(nodes))) if unavailable.number else 0

    @property
    def renews_spot(self) -> bool:
        """Whether it renews spot nodes too: they are replaced only after they have left."""
        return self.strategy == "empty" or (self.strategy == "surge" and _share(self.max_unavailable).number > 0)


def _share(value: int | Share) -> Share:
    return Share(value) if isinstance(value, int) else value


@dataclass(frozen=True)
class Declared:
    """The inputs of a PoolOsVersion as typed values, defaults applied.

    ``timeout`` is in seconds and starts when work starts. ``defer``: a rollout that reaches its deadline succeeds and
    reports what is left. ``gate`` is the health that the nodes need at the target. ``stall_after`` is how many seconds
    no node may move before the wait ends with an error; None sets no limit.
    """

    ref: PoolRef
    target: str
    policy: Policy
    timeout: float
    defer: bool = False
    gate: Gate = NO_GATE
    stall_after: float | None = None

    @classmethod
    def of(cls, bag: Mapping[str, Any]) -> Declared:
        """Read a bag. ``check`` must have passed it."""
        full = OS.full(bag)
        return cls(
            ref=PoolRef(parse_endpoint(full[ACCOUNT_ENDPOINT]), full[POOL_ID_NAME]),
            target=full[TARGET],
            timeout=parse_duration(full[TIMEOUT]),
            defer=full[ON_TIMEOUT] == "defer",
            policy=Policy(
                if_resizing=cast('Literal["wait", "fail"]', full[IF_RESIZING]),
                on_conflict=cast('Literal["fail", "wait"]', full[ON_CONFLICT]),
            ),
            stall_after=None if full[STALL_AFTER] is None else parse_duration(full[STALL_AFTER]),
            gate=gate_of(full),
        )


@dataclass(frozen=True)
class DeclaredImage:
    """The inputs of a PoolImageVersion as typed values, defaults applied. Both timeouts are in seconds."""

    ref: PoolRef
    target: Target
    policy: ImagePolicy
    drain_timeout: float
    timeout: float
    defer: bool = False

    @classmethod
    def of(cls, bag: Mapping[str, Any]) -> DeclaredImage:
        """Read a bag. ``check`` must have passed it."""
        full = IMAGE.full(bag)
        return cls(
            ref=PoolRef(parse_endpoint(full[ACCOUNT_ENDPOINT]), full[POOL_ID_NAME]),
            target=target_of(full),
            policy=ImagePolicy(
                cast('Literal["surge", "when_empty", "empty", "automatic"]', full[STRATEGY]),
                parse_share(full[SURGE]),
                int(full[CANARY]),
                cast('Literal["refuse", "hold"]', full[AUTOSCALE]),
                parse_share(full[MAX_UNAVAILABLE]),
            ),
            drain_timeout=parse_duration(full[DRAIN_TIMEOUT]),
            timeout=parse_duration(full[TIMEOUT]),
            defer=full[ON_TIMEOUT] == "defer",
        )


def target_of(bag: Mapping[str, Any]) -> Target:
    """The target that the bag of a VM pool declares. Raises ValueError if it declares none that is allowed."""
    since, name = bag.get(NODES_SINCE), bag.get(TARGET_IMAGE)
    image = None if name is None else WantedImage.parse(name, bag.get(NODE_AGENT))
    if since is None and bag.get(STRATEGY) == AUTOMATIC and bag.get(IMAGE_TARGET) is None:
        return ImageVersion(LATEST, ())  # what Batch renews the nodes to
    if since is None:
        return ImageVersion.parse(bag.get(IMAGE_TARGET), image)
    return AllocatedSince.parse(since, image)


def target_in(bag: Mapping[str, Any]) -> Target | None:
    """The same of a bag that no check has passed, such as that of a state; None if it declares no allowed target."""
    try:
        return target_of(bag)
    except ValueError:
        return None


def renews_spot(bag: Mapping[str, Any]) -> bool:
    """Whether a bag that no check has passed lets ``surge`` renew spot nodes: ``max_unavailable`` is more than 0."""
    try:
        return parse_share(bag.get(MAX_UNAVAILABLE) or 0).number > 0
    except ValueError:
        return False


def gate_of(bag: Mapping[str, Any]) -> Gate:
    """The gate that a bag declares. ``check`` must have passed the bag."""
    most, soak = bag.get(MAX_UNHEALTHY), bag.get(SOAK)
    return Gate(
        max_unhealthy=None if most is None else parse_share(most), soak=0.0 if soak is None else parse_duration(soak)
    )


def ref_of(id_: str) -> PoolRef:
    """The pool of a resource's id. Raises InputError if the id is not the URL of a pool."""
    try:
        return parse_pool_url(id_)
    except ValueError as error:
        raise InputError(
            f"the id {shown(id_)} is not the URL of a pool: {error}",
            next_step="Give {account_endpoint}/pools/{pool_id}, such as "
            "https://myaccount.westeurope.batch.azure.com/pools/render",
        ) from error
