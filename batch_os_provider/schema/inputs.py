"""Checks the inputs of a program before the provider sends a call: everything that needs no network.

The names come from ``input_names`` and the rules of single values from ``input_values``; other modules take both from
here. A rollout applies the defaults when it starts. They are never written into the inputs, so the state and policy
packs contain the values of the program.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from batch_os_provider.batch.address import parse_endpoint
from batch_os_provider.batch.image_reference import NAME_FORM
from batch_os_provider.batch.wanted_image import LATEST
from batch_os_provider.errors import InputError
from batch_os_provider.schema.input_names import (
    ACCOUNT_ENDPOINT,
    AUTOMATIC,
    AUTOSCALE,
    CANARY,
    DRAIN_TIMEOUT,
    DURATIONS,
    IF_RESIZING,
    IMAGE,
    IMAGE_TARGET,
    INPUTS,
    MAX_UNAVAILABLE,
    MAX_UNHEALTHY,
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
    Spec,
)
from batch_os_provider.schema.input_values import MOST_NODES, allowed, same, wrong
from batch_os_provider.schema.units import parse_share, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = [
    "ACCOUNT_ENDPOINT",
    "AUTOMATIC",
    "AUTOSCALE",
    "CANARY",
    "CONFIG",
    "DRAIN_TIMEOUT",
    "DURATIONS",
    "IF_RESIZING",
    "IMAGE",
    "IMAGE_TARGET",
    "INPUTS",
    "LATEST",
    "MAX_UNAVAILABLE",
    "MAX_UNHEALTHY",
    "MOST_NODES",
    "NODES_SINCE",
    "NODE_AGENT",
    "ON_CONFLICT",
    "ON_TIMEOUT",
    "OS",
    "POOL_ID_NAME",
    "SOAK",
    "STALL_AFTER",
    "STRATEGY",
    "SURGE",
    "TARGET",
    "TARGET_IMAGE",
    "TIMEOUT",
    "Failure",
    "Spec",
    "allowed",
    "asks_for_latest",
    "check",
    "is_on",
    "same",
    "wrong",
]

_ONLY_WITH = {
    TARGET_IMAGE: ("empty", "when_empty"),
    CANARY: ("empty",),
    AUTOSCALE: ("surge", "empty"),
    MAX_UNAVAILABLE: ("surge",),
}
"""The strategies that use an input, if not all do."""


@dataclass(frozen=True)
class Failure:
    """A property with a value that is not allowed, and the reason for the author of the program."""

    property: str
    reason: str


def check(
    bag: Mapping[str, Any], is_unknown: Callable[[Any], bool], spec: Spec = OS
) -> tuple[dict[str, Any], list[Failure]]:
    """Validate and normalise a bag of inputs.

    Only the endpoint changes: it is normalised. Unknown values pass, and so do keys that are not in ``spec``.

    Args:
        bag: the inputs as the program declared them.
        is_unknown: whether a value is the engine's placeholder for one that is not known yet.
        spec: the inputs of the resource.

    Returns:
        The inputs to keep, and the failures.

    """
    kept = dict(bag)
    failures: list[Failure] = []
    for name in spec.names:
        value = bag.get(name)
        if is_unknown(value):
            continue
        if value is None:
            if name in spec.required:
                failures.append(Failure(name, f"it is missing; required: {allowed(name)}"))
            continue
        reason = "" if name == IMAGE_TARGET and _is_latest_of_an_image(bag) else wrong(name, value)
        if reason:
            failures.append(Failure(name, reason))
        elif name == ACCOUNT_ENDPOINT:
            kept[name] = parse_endpoint(value)
    failures += _check_targets(bag, is_unknown, spec)
    return kept, failures or _unused(bag, is_unknown, spec)


def _check_targets(bag: Mapping[str, Any], is_unknown: Callable[[Any], bool], spec: Spec) -> list[Failure]:
    """Refuse a bag of a VM pool that declares both of its targets, or none of them."""
    declared = [name for name in spec.targets if bag.get(name) is not None]
    if bag.get(STRATEGY) == AUTOMATIC and len(spec.targets) > 1:
        return _check_floor(bag, is_unknown)
    if len(spec.targets) == 1 or len(declared) == 1 or any(is_unknown(bag[name]) for name in declared):
        return []
    both = " and ".join(spec.targets)
    if declared:
        return [Failure(declared[-1], f"{shown(bag[declared[-1]])} is one too many: {both} are declared; {ONE_TARGET}")]
    return [Failure(spec.targets[0], f"it is missing, and so is {spec.targets[1]}; {ONE_TARGET}")]


def _check_floor(bag: Mapping[str, Any], is_unknown: Callable[[Any], bool]) -> list[Failure]:
    """Refuse a moment for a pool that Batch renews; a version is a floor there, and may be left out."""
    since = bag.get(NODES_SINCE)
    if since is None or is_unknown(since):
        return []
    return [
        Failure(
            NODES_SINCE,
            f'{shown(since)} is not allowed with strategy="{AUTOMATIC}": Batch renews nodes in place, and they keep '
            f"their allocation time; allowed: {IMAGE_TARGET} as a floor, or no target",
        )
    ]


def _is_latest_of_an_image(bag: Mapping[str, Any]) -> bool:
    return bag.get(IMAGE_TARGET) == LATEST and bag.get(TARGET_IMAGE) is not None


def asks_for_latest(name: str, bag: Mapping[str, Any]) -> bool:
    """Whether this input is the image version, and its value is ``latest``, which names no version."""
    return name == IMAGE_TARGET and str(bag.get(name)).strip().lower() == LATEST


def _unused(bag: Mapping[str, Any], is_unknown: Callable[[Any], bool], spec: Spec) -> list[Failure]:
    """The inputs that the declared strategy does not use, and those that cannot do anything by themselves."""
    strategy = bag.get(STRATEGY)
    if STRATEGY not in spec.names:
        return []
    if is_unknown(strategy):
        return _alone(bag, is_unknown)
    unused = [
        Failure(
            name,
            f'{shown(bag[name])} is not allowed with strategy="{strategy}"; allowed only with '
            + " or ".join(f'strategy="{each}"' for each in users),
        )
        for name, users in _ONLY_WITH.items()
        if bag.get(name) is not None and not is_unknown(bag[name]) and strategy not in users
    ]
    return [*unused, *_alone(bag, is_unknown)] or _standstill(bag, is_unknown)


def _standstill(bag: Mapping[str, Any], is_unknown: Callable[[Any], bool]) -> list[Failure]:
    """Refuse ``surge=0`` without ``max_unavailable``: no node may be added first, and none may be removed first."""
    surge, unavailable = bag.get(SURGE), bag.get(MAX_UNAVAILABLE)
    if bag[STRATEGY] != "surge" or surge is None or is_unknown(surge) or is_unknown(unavailable):
        return []
    if parse_share(surge).number or parse_share(unavailable or 0).number:
        return []
    and_none = "" if unavailable is None else f" with max_unavailable {shown(unavailable)}"
    return [
        Failure(
            SURGE,
            f"{shown(surge)}{and_none} renews no node; allowed: surge=1 (a node is added first, which needs core "
            "quota), or surge=0, max_unavailable=1 (a node leaves first, which needs none)",
        )
    ]


def _alone(bag: Mapping[str, Any], is_unknown: Callable[[Any], bool]) -> list[Failure]:
    """Refuse a node agent SKU without the image that it belongs to."""
    agent = bag.get(NODE_AGENT)
    if agent is None or is_unknown(agent) or bag.get(TARGET_IMAGE) is not None:
        return []
    return [Failure(NODE_AGENT, f"{shown(agent)} is not allowed alone; allowed only with {TARGET_IMAGE}, {NAME_FORM}")]


ONE_TARGET = (
    "allowed: exactly one of them: nodes_since for a pool on latest, whose nodes show no version number; "
    "target_image_version for a pool that is pinned to an exact version"
)
"""Which target fits which pool, as a failed check says it."""

CONFIG = "batch:previewLook"


_WORDS = {"true": True, "false": False}


def is_on(configured: str | None) -> bool:
    """Read the stack config ``batch:previewLook``; None is True. Raises InputError unless it is true or false."""
    if configured is None:
        return True
    if configured.strip().lower() not in _WORDS:
        raise InputError(
            f"stack config {CONFIG} is {configured!r}; allowed: true or false",
            next_step=f"Run `pulumi config set {CONFIG} true`, or set it to false for previews without calls to Batch",
        )
    return _WORDS[configured.strip().lower()]
