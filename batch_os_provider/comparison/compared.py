"""Compares the state of a resource with the inputs of a program, without a call to Batch.

Two things make a change: an input whose meaning changed, and a pool that is not as declared by the last observation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from batch_os_provider.batch.pool import PoolState
from batch_os_provider.batch.vm_target import AllocatedSince
from batch_os_provider.guest_os.version import same_version, short
from batch_os_provider.schema import inputs
from batch_os_provider.schema import outputs as out
from batch_os_provider.schema.declared import target_in

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from batch_os_provider.schema.inputs import Spec

__all__ = ["REPLACING", "Compared", "PriorState", "compare_image", "compare_os", "is_open"]

REPLACING = (inputs.ACCOUNT_ENDPOINT, inputs.POOL_ID_NAME)
"""The inputs that name the pool: another pool is another resource."""


@dataclass(frozen=True)
class PriorState:
    """What Pulumi's state says about an existing resource: the last version, and why a change is planned.

    ``why`` is a text for people and ``code`` the same reason for programs. Both are empty if an input changed.
    """

    version: str
    why: str = ""
    code: str = ""


@dataclass(frozen=True)
class Compared:
    """How a state and a program differ.

    Attributes:
        changed: the names of the inputs whose meaning changed.
        replaces: the names among them that make another resource.
        is_behind: whether the pool, when it was last read, was not at the target.
        is_unfinished: whether a change of the pool was under way then, or was not proven.
        is_open: whether the value of an input is not known yet.
        prior: what the state says, for the message of a planned change.
    """

    changed: tuple[str, ...]
    replaces: tuple[str, ...]
    is_behind: bool
    is_unfinished: bool
    is_open: bool
    prior: PriorState

    @property
    def has_changes(self) -> bool:
        """Whether an `up` would call the provider."""
        return bool(self.changed) or self.is_behind or self.is_unfinished


def compare_os(olds: Mapping[str, Any], news: Mapping[str, Any], is_unknown: Callable[[Any], bool]) -> Compared:
    """Compare the last observed OS version with the target, and the meaning of every other input.

    Args:
        olds: the state: outputs together with inputs.
        news: the inputs of the program.
        is_unknown: whether a value is the engine's placeholder for one that is not known yet.
    """
    changed, replaces = _changed(inputs.OS, olds, news, is_unknown)
    target, at = news.get(inputs.TARGET), olds.get(out.CURRENT)
    return Compared(
        changed,
        replaces,
        is_behind=not is_unknown(target) and not same_version(at, str(target)),
        # An upgrading pool will not stay at the version that it showed, whatever the target of the upgrade.
        # An unproven pool must pass its gate before resources that depend on it start.
        is_unfinished=olds.get(out.STATE) in (PoolState.UPGRADING.value, out.UNPROVEN),
        is_open=is_open(inputs.OS, news, is_unknown),
        prior=PriorState(at or "") if changed or not at else _prior_os(str(at), str(target), olds.get(out.STATE)),
    )


def _prior_os(at: str, target: str, state: object) -> PriorState:
    """The version in the state, and the reason for a planned change without a changed input."""
    if same_version(at, target):
        if state == out.UNPROVEN:
            return PriorState(at, f"at {short(at)}, but the pool has not yet met max_unhealthy and soak", out.UNPROVEN)
        return PriorState(at, f"still at {short(at)}, but it was upgrading at the last read", "moving")
    return PriorState(at, f"still at {short(at)}; upgrade to {short(target)} was deferred", "deferred")


def compare_image(olds: Mapping[str, Any], news: Mapping[str, Any], is_unknown: Callable[[Any], bool]) -> Compared:
    """Compare the meaning of every input, and the last observed pin and nodes with the target. Arguments: as above."""
    changed, replaces = _changed(inputs.IMAGE, olds, news, is_unknown)
    unknown = is_open(inputs.IMAGE, news, is_unknown)
    target = None if unknown else target_in(news)
    strategy = news.get(inputs.STRATEGY)
    exact = out.is_pin_exact(strategy, olds.get(out.PIN), olds.get(out.IMAGE)) or bool(news.get(inputs.TARGET_IMAGE))
    shown: tuple[str, ...] = (out.PIN, out.OLDEST) if exact else (out.OLDEST, out.PIN)
    shown = (out.OLDEST_ALLOCATED,) if isinstance(target, AllocatedSince) else shown
    return Compared(
        changed,
        replaces,
        is_behind=out.is_behind(olds, target, strategy),
        is_unfinished=olds.get(out.STATE) in (out.RENEWING, out.POLICY_CHANGED),
        is_open=unknown,
        prior=_prior_image(next((str(olds[name]) for name in shown if olds.get(name)), ""), olds.get(out.STATE)),
    )


def _prior_image(shown: str, state: object) -> PriorState:
    if state == out.POLICY_CHANGED:
        return PriorState(shown, "its upgrade policy is another one than at the last `up`", out.POLICY_CHANGED)
    return PriorState(shown)


def is_open(spec: Spec, bag: Mapping[str, Any], is_unknown: Callable[[Any], bool]) -> bool:
    """Whether the value of an input is not known yet."""
    return any(is_unknown(bag.get(name)) for name in spec.names)


def _changed(
    spec: Spec, olds: Mapping[str, Any], news: Mapping[str, Any], is_unknown: Callable[[Any], bool]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The names of the inputs whose meaning changed, and the names among them that replace the resource."""
    names = [n for n in spec.names if is_unknown(news.get(n)) or not inputs.same(n, olds.get(n), news.get(n))]
    return tuple(names), tuple(n for n in names if n in REPLACING and not is_unknown(news[n]) and olds.get(n))
