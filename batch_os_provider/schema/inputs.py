"""Grammar, defaults and comparison of every input.

One place checks everything that needs no network, before the provider sends a call. Each failure names the property,
the value, the allowed values and the nearest allowed spelling. A rollout applies the defaults when it starts. They are
never written into the inputs, so the state and policy packs contain the values of the program.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from batch_os_provider.batch.address import POOL_ID, parse_endpoint, parse_pool_url
from batch_os_provider.batch.image_reference import NAME_FORM
from batch_os_provider.batch.image_version import LARGEST_PART, parse_image_version
from batch_os_provider.batch.vm_target import AllocatedSince
from batch_os_provider.batch.wanted_image import LATEST, WantedImage
from batch_os_provider.errors import InputError
from batch_os_provider.guest_os import version
from batch_os_provider.schema.image_names import AGENT_FORM, check_agent, check_image
from batch_os_provider.schema.units import (
    DURATION_FORM,
    SHARE_FORM,
    is_unquoted,
    parse_duration,
    parse_share,
    shown,
    suggest_duration,
    suggest_moment,
    suggest_share,
)

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
    "check",
    "is_on",
    "same",
    "wrong",
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
_ONLY_WITH = {
    TARGET_IMAGE: ("empty", "when_empty"),
    CANARY: ("empty",),
    AUTOSCALE: ("surge", "empty"),
    MAX_UNAVAILABLE: ("surge",),
}
"""The strategies that use an input, if not all do."""


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

# Resource Manager, batchAccounts: 3 to 24 lower-case letters and digits.
_ACCOUNT_NAME = re.compile(r"(?!localhost$)[a-z0-9]{3,24}")
_ENDPOINT_FORM = "https://<account>.<region>.batch.azure.com, as `az batch account show` prints in accountEndpoint"


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
                failures.append(Failure(name, f"it is missing; required: {_FORMS[name]}"))
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


def wrong(name: str, value: object) -> str:
    """The value and the reason why it is not allowed for an input; empty if it is allowed."""
    reason = _CHECKS[name](value)
    return f"{shown(value)} {reason}" if reason else ""


def allowed(name: str) -> str:
    """The allowed values of an input, in words."""
    return _FORMS.get(name) or " or ".join(CHOICES[name])


def same(name: str, old: object, new: object) -> bool:
    """Whether two allowed values of one input mean the same."""
    if old is None or new is None:
        return old is new
    meaning = _MEANINGS.get(name)
    try:
        return old == new if meaning is None else meaning(old) == meaning(new)
    except ValueError:  # a state of an earlier version may contain a value that is no longer allowed
        return False


def _check_endpoint(value: object) -> str:
    if not isinstance(value, str):
        return f"is not a string; allowed: {_ENDPOINT_FORM}"
    try:
        parse_endpoint(value)
    except ValueError as error:
        return f"is not an account endpoint: {error}; allowed: {_ENDPOINT_FORM}{_endpoint_hint(value)}"
    return ""


def _endpoint_hint(value: str) -> str:
    """Suggest an endpoint: for an account's name, for a pool's URL, or for a URL with a path."""
    if _ACCOUNT_NAME.fullmatch(value.strip().lower()):
        return f"; did you mean https://{value.strip().lower()}.<region>.batch.azure.com?"
    candidates: list[Callable[[], str]] = [
        lambda: parse_pool_url(value).endpoint,
        lambda: parse_endpoint("https://" + value.strip().partition("://")[2].partition("/")[0]),
    ]
    for candidate in candidates:
        try:
            return f"; did you mean {candidate()}?"
        except ValueError:
            continue
    return ""


def _check_pool_id(value: object) -> str:
    if isinstance(value, str) and POOL_ID.fullmatch(value):
        return ""
    hint = ""
    if isinstance(value, str):
        guess = re.sub(r"[^A-Za-z0-9_-]+", "-", value.strip().rpartition("/")[2]).strip("-")
        hint = f"; did you mean {guess}?" if POOL_ID.fullmatch(guess) else ""
    return f"is not a pool id; allowed: {_FORMS[POOL_ID_NAME]}{hint}"


def _check_target(value: object) -> str:
    if not isinstance(value, str):
        return f"is not a string; allowed: {version.ALLOWED}"
    try:
        version.family_of(value)
    except version.VersionSyntaxError as error:
        hint = f"; did you mean {error.suggestion}?" if error.suggestion else ""
        return f"is not a Guest OS version; allowed: {version.ALLOWED}{hint}"
    return ""


def _check_duration(value: object) -> str:
    try:
        parse_duration(value)
    except ValueError as error:
        return f"{error}; allowed: {DURATION_FORM}{_did_you_mean(suggest_duration(value))}"
    return ""


def _check_max_unhealthy(value: object) -> str:
    try:
        parse_share(value)
    except ValueError as error:
        return f"{error}; allowed: {SHARE_FORM}{_did_you_mean(suggest_share(value))}"
    return ""


def _did_you_mean(guess: str) -> str:
    return f"; did you mean {guess}?" if guess else ""


def _choice(name: str) -> Callable[[object], str]:
    allowed = CHOICES[name]

    def check_choice(value: object) -> str:
        if value in allowed:
            return ""
        import difflib  # noqa: PLC0415 - only a wrong value needs it

        only = value[0] if isinstance(value, list) and len(value) == 1 else value
        text = only.strip().lower() if isinstance(only, str) else ""
        near = difflib.get_close_matches(text, allowed, n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]}?" if near else ""
        return f"is not allowed; allowed: {' or '.join(allowed)}{hint}"

    return check_choice


def _check_image_target(value: object) -> str:
    if parse_image_version(value) is not None:
        return ""
    if isinstance(value, str) and value.strip().lower() == "latest":
        return (
            f"changes over time, so a reviewer cannot check it; allowed: "
            f"{LATEST} only with {TARGET_IMAGE}, else "
            f"{_FORMS[IMAGE_TARGET]}; list versions with `az vm image list --all -p <publisher> -f <offer> -s <sku>`"
        )
    return f"is not an exact image version; allowed: {_FORMS[IMAGE_TARGET]}"


def _check_since(value: object) -> str:
    try:
        AllocatedSince.parse(value)
    except ValueError:
        wrong = "is not a string" if not isinstance(value, str) else "is not a moment in UTC"
        if is_unquoted(value):
            wrong = "is what Pulumi makes of a day or a time without quotes in a stack's config"
        return f"{wrong}; allowed: {_FORMS[NODES_SINCE]}{_did_you_mean(suggest_moment(value))}"
    return ""


def _check_drain(value: object) -> str:
    reason = _check_duration(value)
    if not reason and parse_duration(value) < _SHORTEST_RESIZE:
        return "is shorter than 5m, the shortest resizeTimeout that Batch allows; allowed: 5m to 720h"
    return reason


def _check_nodes(value: object) -> str:
    number = value if isinstance(value, (int, float)) and not isinstance(value, bool) else 0
    whole = 1 <= number <= MOST_NODES and float(number).is_integer()
    return "" if whole else f"is not a number of nodes; allowed: {_FORMS[CANARY]}"


def _check_step(value: object) -> str:
    try:
        reason = f"is more than {MOST_NODES} nodes" if parse_share(value).number > MOST_NODES else ""
    except ValueError as error:
        reason = str(error)
    return f"{reason}; allowed: {_STEP_FORM}{_did_you_mean(suggest_share(value))}" if reason else ""


_MEANINGS: Mapping[str, Callable[[Any], object]] = {
    ACCOUNT_ENDPOINT: lambda value: parse_endpoint(str(value)),
    POOL_ID_NAME: lambda value: str(value).casefold(),
    TARGET: lambda value: str(value).casefold(),
    IMAGE_TARGET: lambda value: parse_image_version(value) or str(value).casefold(),
    NODES_SINCE: lambda value: AllocatedSince.parse(value).moment,
    TARGET_IMAGE: lambda value: str(value).casefold(),
    NODE_AGENT: lambda value: str(value).casefold(),
    MAX_UNHEALTHY: parse_share,
    SURGE: parse_share,
    MAX_UNAVAILABLE: parse_share,
    **dict.fromkeys(DURATIONS, parse_duration),
}
"""Normal form of the inputs that can be written in several ways."""
_SHORTEST_RESIZE = 300
MOST_NODES = 100
"""Nodes in one step: removenodes names at most so many, and a resize adds as many."""
_STEP_FORM = (
    f'a whole number of nodes from 0 to {MOST_NODES}, or a whole percentage of the pool\'s nodes from "0%" to "100%"'
)
_CHECKS: Mapping[str, Callable[[Any], str]] = {
    ACCOUNT_ENDPOINT: _check_endpoint,
    POOL_ID_NAME: _check_pool_id,
    TARGET: _check_target,
    IMAGE_TARGET: _check_image_target,
    NODES_SINCE: _check_since,
    TARGET_IMAGE: check_image,
    NODE_AGENT: check_agent,
    SURGE: _check_step,
    MAX_UNAVAILABLE: _check_step,
    CANARY: _check_nodes,
    TIMEOUT: _check_duration,
    STALL_AFTER: _check_duration,
    MAX_UNHEALTHY: _check_max_unhealthy,
    SOAK: _check_duration,
    DRAIN_TIMEOUT: _check_drain,
    **{name: _choice(name) for name in CHOICES},
}
_FORMS: Mapping[str, str] = {
    ACCOUNT_ENDPOINT: _ENDPOINT_FORM,
    POOL_ID_NAME: "1 to 64 letters, digits, hyphens and underscores",
    TARGET: version.ALLOWED,
    IMAGE_TARGET: f"exact numbers with dots, each at most {LARGEST_PART}, such as 22.04.202405140 or 20348.2461.240510",
    NODES_SINCE: "a date such as 2026-11-24 (midnight UTC), or a UTC time to the second such as 2026-11-24T06:30:00Z",
    TARGET_IMAGE: NAME_FORM,
    NODE_AGENT: AGENT_FORM,
    SURGE: _STEP_FORM,
    MAX_UNAVAILABLE: _STEP_FORM,
    CANARY: f"a whole number from 1 to {MOST_NODES}",
    MAX_UNHEALTHY: SHARE_FORM,
    **dict.fromkeys(DURATIONS, DURATION_FORM),
    STRATEGY: "surge (adds new nodes, then removes old ones after their tasks), when_empty (never touches a node) or "
    "empty (lets the tasks finish, empties the pool, changes its image and fills it again), or automatic (Batch renews "
    "the nodes itself: writes nothing)",
}


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
