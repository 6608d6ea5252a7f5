"""What to do next with a Cloud Services pool: one table, first match wins.

A wrong decision here would change a pool that must not change, so this module is pure. ``decide`` takes the pool, the
target, the policy and the history of this rollout, and returns an action. It does not sleep, log or call Batch. The
table can be compared with the REST page from top to bottom.

===============================================  ================================================
Seen                                             Then
===============================================  ================================================
deleting                                         Refuse
VM pool, or neither kind                         Refuse, naming what to use instead
another OS family than the target's              Refuse (the service takes it on an empty pool)
active, current = target                         Done, whatever the allocation state
upgrading to our target                          Wait (join)
upgrading to another target                      Refuse naming both, or Wait (``on_conflict``)
an unknown pool state                            Wait, with a warning
a resize under way                               Wait or Refuse (``if_resizing``); never stop it
active, differs, Batch answered 202              Wait for a short grace, then Refuse: moved away
active, differs, refused twice, nothing changed  Refuse with the service's text
active, differs                                  Upgrade, If-Match the ETag just read
===============================================  ================================================

A pool that does not exist is not in the table: the read raises ``PoolGoneError``.

Sources: REST page "Upgrade the operating system of compute nodes in a pool" (states, 409 on VM
pools), swagger 2018-08-01.7.0, recordings R1 and R2.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from batch_os_provider.batch.pool import AllocationState, Kind, Pool, PoolState
from batch_os_provider.batch.vm_target import day_of
from batch_os_provider.guest_os import version
from batch_os_provider.guest_os.version import same_version
from batch_os_provider.rollout.actions import GRACE, Done, Refuse, Wait
from batch_os_provider.schema.declared import Policy

if TYPE_CHECKING:
    from batch_os_provider.errors import ServiceAnswer

__all__ = ["Action", "History", "Refusal", "Upgrade", "decide"]


@dataclass(frozen=True)
class Refusal:
    """A POST that the service refused, and the view of the pool before it."""

    answer: ServiceAnswer
    seen: tuple[str, ...]
    lasting: bool
    """Whether the same answer to the same view is final."""
    times: int = 1


@dataclass(frozen=True)
class History:
    """What this rollout has done so far; every change makes a new value.

    Times are seconds on the rollout's clock. ``astray_since`` is when, after our 202, the pool first showed active
    without the target.
    """

    accepted_at: float | None = None
    astray_since: float | None = None
    refusal: Refusal | None = None

    def accepted(self, now: float) -> History:
        """The service answered 202."""
        return replace(self, accepted_at=now, astray_since=None, refusal=None)

    def refused(self, answer: ServiceAnswer, seen: Pool, *, lasting: bool) -> History:
        """The service refused the POST; counts equal refusals of the same view."""
        last, fingerprint = self.refusal, seen.fingerprint
        again = last is not None and last.answer.code == answer.code and last.seen == fingerprint
        times = last.times + 1 if last is not None and again else 1
        return replace(self, refusal=Refusal(answer, fingerprint, lasting, times))

    def observed(self, seen: Pool, target: str, now: float) -> History:
        """Record since when, after our 202, the pool is active without the target."""
        astray = (
            self.accepted_at is not None
            and seen.state is PoolState.ACTIVE
            and not same_version(seen.current_os_version, target)
        )
        if not astray:
            return replace(self, astray_since=None)
        return self if self.astray_since is not None else replace(self, astray_since=now)


@dataclass(frozen=True)
class Upgrade:
    """POST upgradeos with ``If-Match: etag``."""

    target: str
    etag: str


Action = Done | Upgrade | Wait | Refuse


def decide(seen: Pool, target: str, policy: Policy, history: History, now: float) -> Action:  # noqa: PLR0911 - a table
    """The next action for a Cloud Services pool.

    Args:
        seen: the pool; the read began after our 202, if there was one.
        target: the declared version, after the check of its grammar.
        policy: how to treat a resize or an upgrade to another target.
        history: what this rollout has done so far, including ``observed``.
        now: seconds on the rollout's clock.

    """
    if seen.state is PoolState.DELETING:
        return Refuse(
            "it is being deleted", "Remove the resource from the program, or create the pool again", property="pool_id"
        )
    if seen.kind is not Kind.CLOUD_SERVICES:
        return _refuse_kind(seen)
    family = version.family_of(target)
    if family is not None and seen.os_family is not None and family != seen.os_family:
        return Refuse(
            f"target_os_version {target} is of OS family {family}, but the pool is of OS family {seen.os_family}",
            f"Declare a version of family {seen.os_family} (WA-GUEST-OS-{seen.os_family}.x) or *; "
            "the family of a pool cannot be changed: use another pool for another family",
        )
    at_target = same_version(seen.current_os_version, target)
    if seen.state is PoolState.ACTIVE and at_target:
        return Done()
    if seen.state is PoolState.UPGRADING:
        return _upgrading(seen, target, policy, history)
    if seen.state is PoolState.UNKNOWN:
        odd = f"Batch shows state {seen.state_text!r}"
        return Wait("unknown state", odd, f"{odd}, which this release does not know; waiting")
    if seen.current_os_version is None:
        silent = "Batch does not show the pool's OS version (currentOSVersion)"
        return Wait("unknown state", silent, f"{silent}; waiting until it does")
    if seen.allocation is not AllocationState.STEADY:
        return _resizing(seen, policy)
    return _active_and_steady(seen, target, history, now)


def _refuse_kind(seen: Pool) -> Refuse:
    if seen.kind is Kind.UNKNOWN:
        return Refuse(
            "Batch shows neither a cloudServiceConfiguration nor a virtualMachineConfiguration",
            "Check the pool in the portal; only Cloud Services pools can be upgraded with upgradeos",
            property="pool_id",
        )
    image = f" (image {seen.image})" if seen.image else ""
    # Nodes of a pool on latest, or of a gallery image, show no version that can be compared.
    by_version = bool(seen.image_version) and not seen.gallery
    target = f'target_image_version="{seen.image_version}"' if by_version else f'nodes_since="{day_of(seen.seen_at)}"'
    return Refuse(
        f"it is a VM pool{image}, and upgradeos works on Cloud Services pools only",
        "Declare it as a VM pool instead: "
        f'PoolImageVersion("{seen.ref.pool_id}", account_endpoint="{seen.ref.endpoint}", '
        f'pool_id="{seen.ref.pool_id}", {target}, strategy="surge")',
        property="pool_id",
    )


def _upgrading(seen: Pool, target: str, policy: Policy, history: History) -> Action:
    if same_version(seen.target_os_version, target):
        ours = history.accepted_at is not None
        return Wait("upgrading", "upgrading") if ours else Wait("joined", "joined an upgrade that was under way")
    names = seen.current_os_version or "an unknown version", seen.target_os_version or "an unknown version"
    other = " -> ".join(names)
    if policy.on_conflict == "wait":
        shown = " -> ".join(map(version.short, names))
        return Wait("conflict", f"another upgrade is in flight ({shown}), {version.short(target)} comes after it")
    return Refuse(
        f"an upgrade {other} is in flight, and {target} is declared; Batch cannot cancel or reverse a running upgrade",
        'Run `pulumi up` again when it has ended, or declare on_conflict="wait" to wait for it and upgrade then',
        property="on_conflict",
    )


def _resizing(seen: Pool, policy: Policy) -> Action:
    known = seen.allocation is not AllocationState.UNKNOWN
    why = f"a resize is under way ({seen.allocation_text})" if known else f"allocation state {seen.allocation_text!r}"
    if policy.if_resizing == "fail" and known:
        return Refuse(
            f"{why}; this `up` does not stop it",
            'Run `pulumi up` again when the pool is steady, or declare if_resizing="wait"',
            property="if_resizing",
        )
    autoscale = "; the pool scales itself, so this can happen again" if seen.autoscale else ""
    return Wait(
        "resizing", why + autoscale, "" if known else f"Batch shows {why}, which this release does not know; waiting"
    )


def _active_and_steady(seen: Pool, target: str, history: History, now: float) -> Action:
    if history.accepted_at is not None:
        astray_for = now - (now if history.astray_since is None else history.astray_since)
        if astray_for < GRACE:
            return Wait("settling", "Batch accepted the upgrade and does not show it yet")
        return Refuse(
            f"moved away from {target}: the pool is active and runs {seen.current_os_version} again",
            "Find out what changed the version (another program, a person or Azure), then run `pulumi up` again",
        )
    refusal = history.refusal
    if refusal is not None and refusal.lasting and refusal.times > 1 and refusal.seen == seen.fingerprint:
        return Refuse(
            f"Batch refused the upgrade {seen.current_os_version} -> {target} twice while nothing changed: "
            f"{refusal.answer}",
            "Read the service's text; declare another target_os_version or change the pool, then run `pulumi up` again",
            answer=refusal.answer,
        )
    return Upgrade(target, seen.etag)
