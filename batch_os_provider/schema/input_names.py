"""Which inputs exist: their names, their defaults, and the words that some of them take.

The names stand in programs and in the states of deployed stacks, so they must not change.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from batch_os_provider.batch.wanted_image import WantedImage

__all__ = [
    "ACCOUNT_ENDPOINT",
    "AUTOMATIC",
    "AUTOSCALE",
    "CANARY",
    "CHOICES",
    "DRAIN_TIMEOUT",
    "DURATIONS",
    "IF_RESIZING",
    "IMAGE",
    "IMAGE_TARGET",
    "INPUTS",
    "MAX_UNAVAILABLE",
    "MAX_UNHEALTHY",
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
    "Spec",
]

ACCOUNT_ENDPOINT, POOL_ID_NAME, TARGET = "account_endpoint", "pool_id", "target_os_version"
TIMEOUT, ON_TIMEOUT, IF_RESIZING, ON_CONFLICT = "timeout", "on_timeout", "if_resizing", "on_conflict"
STALL_AFTER, MAX_UNHEALTHY, SOAK = "stall_after", "max_unhealthy", "soak"
IMAGE_TARGET, NODES_SINCE = "target_image_version", "nodes_since"
TARGET_IMAGE, NODE_AGENT = WantedImage.input_name, WantedImage.agent_input
STRATEGY, SURGE, MAX_UNAVAILABLE, DRAIN_TIMEOUT = "strategy", "surge", "max_unavailable", "drain_timeout"
CANARY, AUTOSCALE = "canary", "autoscale"
DURATIONS = (TIMEOUT, DRAIN_TIMEOUT, STALL_AFTER, SOAK)
"""The inputs that take a duration."""

AUTOMATIC = "automatic"
"""The strategy of pools that Batch renews itself."""
CHOICES: Mapping[str, tuple[str, ...]] = {
    ON_TIMEOUT: ("fail", "defer"),
    IF_RESIZING: ("wait", "fail"),
    ON_CONFLICT: ("fail", "wait"),
    STRATEGY: ("surge", "when_empty", "empty", AUTOMATIC),
    AUTOSCALE: ("refuse", "hold"),
}


@dataclass(frozen=True)
class Spec:
    """The inputs of one resource: place, targets, what else is required, and the defaults of the others.

    A program declares exactly one of ``targets``. An input with the default None is off unless the program declares it.
    """

    place: tuple[str, ...]
    targets: tuple[str, ...]
    rules: tuple[str, ...]
    defaults: Mapping[str, str | int | None]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all inputs, in the order of the resource's arguments."""
        return (*self.place, *self.targets, *self.rules, *self.defaults)

    @property
    def required(self) -> tuple[str, ...]:
        """The names of the inputs that every program declares; of several targets none."""
        return (*self.place, *(self.targets if len(self.targets) == 1 else ()), *self.rules)

    def target_of(self, bag: Mapping[str, Any]) -> str:
        """The name of the target that a bag declares; the first one if it declares none."""
        return next((name for name in self.targets if bag.get(name) is not None), self.targets[0])

    def full(self, bag: Mapping[str, Any]) -> dict[str, Any]:
        """The inputs with the defaults applied."""
        return {**self.defaults, **{name: value for name, value in bag.items() if value is not None}}


OS = Spec(
    (ACCOUNT_ENDPOINT, POOL_ID_NAME),
    (TARGET,),
    (),
    {
        TIMEOUT: "2h",
        ON_TIMEOUT: "fail",
        IF_RESIZING: "wait",
        ON_CONFLICT: "fail",
        STALL_AFTER: None,
        MAX_UNHEALTHY: None,
        SOAK: None,
    },
)
IMAGE = Spec(
    (ACCOUNT_ENDPOINT, POOL_ID_NAME),
    (IMAGE_TARGET, NODES_SINCE),
    (STRATEGY,),
    {
        TARGET_IMAGE: None,
        NODE_AGENT: None,
        SURGE: 1,
        MAX_UNAVAILABLE: 0,
        CANARY: 1,
        AUTOSCALE: "refuse",
        DRAIN_TIMEOUT: "1h",
        TIMEOUT: "2h",
        ON_TIMEOUT: "fail",
    },
)
INPUTS = OS.names
