"""What one value may be: for each input its check, its allowed form in words, and its meaning.

Each reason names the value, the allowed values and the nearest allowed spelling.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from batch_os_provider.batch.address import POOL_ID, parse_endpoint, parse_pool_url
from batch_os_provider.batch.image_reference import NAME_FORM
from batch_os_provider.batch.image_version import LARGEST_PART, parse_image_version
from batch_os_provider.batch.vm_target import AllocatedSince
from batch_os_provider.batch.wanted_image import LATEST
from batch_os_provider.guest_os import version
from batch_os_provider.schema.image_names import AGENT_FORM, check_agent, check_image
from batch_os_provider.schema.input_names import (
    ACCOUNT_ENDPOINT,
    CANARY,
    CHOICES,
    DRAIN_TIMEOUT,
    DURATIONS,
    IMAGE_TARGET,
    MAX_UNAVAILABLE,
    MAX_UNHEALTHY,
    NODE_AGENT,
    NODES_SINCE,
    POOL_ID_NAME,
    SOAK,
    STALL_AFTER,
    STRATEGY,
    SURGE,
    TARGET,
    TARGET_IMAGE,
    TIMEOUT,
)
from batch_os_provider.schema.units import (
    DURATION_FORM,
    SHARE_FORM,
    Share,
    did_you_mean,
    is_unquoted,
    parse_duration,
    parse_share,
    shown,
    suggest_duration,
    suggest_moment,
    suggest_share,
)

__all__ = ["MOST_NODES", "allowed", "same", "wrong"]

# Resource Manager, batchAccounts: 3 to 24 lower-case letters and digits.
_ACCOUNT_NAME = re.compile(r"(?!localhost$)[a-z0-9]{3,24}")
_ENDPOINT_FORM = "https://<account>.<region>.batch.azure.com, as `az batch account show` prints in accountEndpoint"


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
        return f"is not a Guest OS version; allowed: {version.ALLOWED}{did_you_mean(error.suggestion)}"
    return ""


def _readable(
    parse: Callable[[object], object], form: str, suggest: Callable[[object], str]
) -> Callable[[object], str]:
    """The check of a value that ``parse`` must read; its ValueError says what is wrong."""

    def check_readable(value: object) -> str:
        try:
            parse(value)
        except ValueError as error:
            return f"{error}; allowed: {form}{did_you_mean(suggest(value))}"
        return ""

    return check_readable


_check_duration = _readable(parse_duration, DURATION_FORM, suggest_duration)


def _choice(name: str) -> Callable[[object], str]:
    allowed = CHOICES[name]

    def check_choice(value: object) -> str:
        if value in allowed:
            return ""
        import difflib  # noqa: PLC0415 - only a wrong value needs it

        only = value[0] if isinstance(value, list) and len(value) == 1 else value
        text = only.strip().lower() if isinstance(only, str) else ""
        near = difflib.get_close_matches(text, allowed, n=1, cutoff=0.5)
        return f"is not allowed; allowed: {' or '.join(allowed)}{did_you_mean(''.join(near))}"

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
        return f"{wrong}; allowed: {_FORMS[NODES_SINCE]}{did_you_mean(suggest_moment(value))}"
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


def _parse_step(value: object) -> Share:
    share = parse_share(value)
    if share.number > MOST_NODES:
        raise ValueError(f"is more than {MOST_NODES} nodes")
    return share


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
    **dict.fromkeys((SURGE, MAX_UNAVAILABLE), _readable(_parse_step, _STEP_FORM, suggest_share)),
    CANARY: _check_nodes,
    TIMEOUT: _check_duration,
    STALL_AFTER: _check_duration,
    MAX_UNHEALTHY: _readable(parse_share, SHARE_FORM, suggest_share),
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
