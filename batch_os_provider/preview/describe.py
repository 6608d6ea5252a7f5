"""What a preview says about a pool that changes, and what it refuses.

The inputs show a reviewer the old and the new version, but not what the change costs or whether it can work. So the
pool of a resource that is new or changed is read. The plan goes on the row, a refusal of `up` becomes an error of the
preview, and the Guest OS catalogue adds what it knows about the target. Where a program reads the messages, each ends
in a ``message_tail``. An unchanged resource costs no call and gets no message.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any, TypeVar

from batch_os_provider.batch.address import PoolRef
from batch_os_provider.batch.client import shared_client
from batch_os_provider.batch.pool import Kind as PoolKind
from batch_os_provider.batch.pool import Node, Pool, PoolState
from batch_os_provider.batch.vm_pool import VmPool
from batch_os_provider.batch.vm_target import Target
from batch_os_provider.comparison.compared import PriorState
from batch_os_provider.engine import diagnostics, seams
from batch_os_provider.errors import BatchOsError, PoolGoneError, RefusedError, ServiceAnswer
from batch_os_provider.guest_os import catalogue_file
from batch_os_provider.guest_os.catalogue import Verdict
from batch_os_provider.guest_os.version import change, is_rollback, same_version, short
from batch_os_provider.preview import image_support
from batch_os_provider.preview.account_snapshot import AccountSnapshot, NotChecked
from batch_os_provider.preview.image_support import ImageList, ImageNote
from batch_os_provider.preview.message_tail import NO_SUCH_POOL, Kind, MessageTail, What
from batch_os_provider.preview.plan import Plan, plan_image, plan_os
from batch_os_provider.rollout.actions import Refuse
from batch_os_provider.runtime.cancellation import Canceled, RealWaiter
from batch_os_provider.runtime.per_account import PerAccount
from batch_os_provider.schema import inputs
from batch_os_provider.schema.declared import Declared, DeclaredImage, ref_of

__all__ = ["Refused", "images_of", "newest_clause", "newest_image", "preview_image", "preview_os", "snapshot_of"]

T = TypeVar("T")

# Warnings that make the message a warning of Pulumi; all other plans are information.
_GRAVE = frozenset(
    {"rollback", "conflict", "unknown state", "unhealthy", "another product", "another image", "timeout"}
    | {*image_support.CODES.values()}
)

_said: set[tuple[str, str]] = set()
snapshot_of = PerAccount(lambda endpoint: AccountSnapshot(lambda: shared_client(endpoint), RealWaiter(seams.stop)))
"""The snapshot of an account that all rows of a preview share."""
images_of = PerAccount(lambda endpoint: ImageList(endpoint, lambda: shared_client(endpoint), RealWaiter(seams.stop)))
"""The list of supported images of an account that all rows of a process share."""


@dataclass(frozen=True)
class Refused:
    """A refusal of `up`, and the message tail with it."""

    refuse: Refuse
    tail: MessageTail

    def wrong(self, bag: Mapping[str, Any], target: str) -> str:
        """The name of the wrong input; always a declared one, since the engine shows its value."""
        wrong = self.refuse.property or target
        return wrong if bag.get(wrong) is not None else "pool_id"

    def reason(self, name: str, value: object) -> str:
        """The text of a check failure of this input: the engine writes the name and the value before it."""
        reason = self.refuse.reason
        named = f"{name} {value} "
        reason = f"it {reason.removeprefix(named)}" if reason.startswith(named) else reason
        return _ended(str(self._as_error(reason)), self.tail)

    @property
    def error(self) -> RefusedError:
        """The refusal as an error that ``diff`` raises."""
        error = self._as_error(self.refuse.reason, pool=self.tail.pool, answer=self.refuse.answer)
        error.tail = _ended(str(error), self.tail)[len(str(error)) :].strip()
        return error

    def _as_error(self, reason: str, *, pool: str = "", answer: ServiceAnswer | None = None) -> RefusedError:
        """The refusal, with how to see all refusals: the engine ends a preview at the first one."""
        endpoint = self.tail.pool.partition("/pools/")[0]
        others = diagnostics.door().after_refusal.format(endpoint=endpoint)
        next_step = f"{self.refuse.next_step}. {others}" if others else self.refuse.next_step
        return RefusedError(f"an up would be refused: {reason}", pool=pool, next_step=next_step, answer=answer)


def _ended(sentence: str, tail: MessageTail) -> str:
    """The sentence; with the tail at its end if a program reads it."""
    return tail.after(sentence) if diagnostics.is_read_by_a_program() else sentence


def preview_os(
    declared: Declared, known: PriorState | None, *, look: bool, today: date | None = None
) -> Refused | None:
    """Say what an `up` would do to a Cloud Services pool. Return the refusal, if `up` would refuse.

    Args:
        declared: the inputs.
        known: what the state says; None if the resource is new.
        look: whether Batch may be asked.
        today: the day for the Guest OS catalogue; default today in UTC.
    """
    ref, target = declared.ref, declared.target
    row = _Row(ref, "os", target)
    seen = row.check(lambda: _plan_os(declared)) if look else None
    plan, pool = (seen, None) if seen is None or isinstance(seen, Refuse) else seen
    came_from = (pool.current_os_version if pool is not None else known.version if known else "") or ""
    if isinstance(plan, Refuse):
        return Refused(plan, row.tail("refused", came_from=came_from, why=plan.reason))
    family = pool.os_family if pool is not None else None
    verdicts = _judged(target, family, today or datetime.now(UTC).date())
    if plan is None and known is not None and known.version:
        plan = _plan_by_state(ref, known.version, target)
    elif plan is not None and known is not None and known.version and not same_version(known.version, came_from):
        plan = plan.noting("stale", f"the state is out of date: it says {short(known.version)}")
    if plan is not None:
        row.show(plan, known, verdicts)
    elif verdicts:
        codes = tuple(each.code for each in verdicts)
        row.say(verdicts[0].text, row.tail("warning", warnings=codes), warn=verdicts[0].is_warning)
    return None


def _judged(target: str, family: str | None, today: date) -> tuple[Verdict, ...]:
    """The catalogue's warnings about a target, or its verdict that the target is newer than the catalogue.

    Two lines about the catalogue are said once for all pools: the catalogue is too old to know this target, or the
    user's catalogue file cannot be read and so is missing from every verdict.
    """
    used = catalogue_file.current()
    verdicts = used.catalogue.judge(target, today, family)
    if used.trouble:
        _say_once(used.trouble, warn=True)
    if any(each.code == "newer" for each in verdicts) and (outdated := used.catalogue.outdated(today)):
        _say_once(outdated)
    return tuple(each for each in verdicts if each.is_warning or each.code == "newer")


def _say_once(text: str, *, warn: bool = False, about: str = "catalogue") -> None:
    """A line about the catalogue, or about an account, on the stack's row, once in this process."""
    if (about, text) not in _said:
        _said.add((about, text))
        row = diagnostics.ResourceLog("", about)
        (row.warn if warn else row.info)(text)


def preview_image(
    declared: DeclaredImage, known: PriorState | None, *, look: bool, now: datetime | None = None
) -> Refused | None:
    """Say what an `up` would do to a VM pool. Return the refusal, if `up` would refuse.

    Args:
        declared: the inputs.
        known: what the state says; None if the resource is new.
        look: whether Batch may be asked.
        now: the time, for answers of Batch without one and for the end of the image's support; default now.
    """
    row = _Row(declared.ref, "image", declared.target)
    at = now or datetime.now(UTC)
    seen = row.check(lambda: _plan_image(declared, at)) if look else None
    plan, pool = (seen, None) if seen is None or isinstance(seen, Refuse) else seen
    note = ImageNote()
    if pool is not None and pool.is_vm and pool.base.state is not PoolState.DELETING:
        note = _image_note(pool, at, declared.target)
    if isinstance(plan, Refuse):
        if note.text:
            row.say(note.text, row.tail("warning", warnings=(note.code,), image_ends=note.ends), warn=True)
        return Refused(plan, row.tail("refused", came_from=known.version if known else "", why=plan.reason))
    if plan is not None:
        row.show(note.on(plan), known)
    return None


def _image_note(pool: VmPool, now: datetime, target: Target) -> ImageNote:
    """What to say about the end of the image that the pool has or gets. A failed list is said once for each account."""
    endpoint = pool.base.ref.endpoint
    listed = images_of(endpoint)
    try:
        note = image_support.note_of(pool, listed.images(), now, target.image)
    except Canceled:
        return image_support.note_of(pool, None, now)
    if listed.failure:
        _say_once(f"could not check when the support of images ends: {listed.failure}", about=endpoint)
    return note


def newest_image(ref: PoolRef) -> str:
    """The newest image version on a VM pool's nodes; empty if no node shows a version.

    Raises as ``AccountSnapshot.vm``.
    """
    versions = [(node.version, node.version_text) for node in snapshot_of(ref.endpoint).vm(ref).nodes if node.version]
    return max(versions)[1] if versions else ""


def newest_clause(bag: Mapping[str, Any]) -> str:
    """What follows the refusal of ``latest``: the newest version on the pool's nodes; empty if the pool is not known.

    Args:
        bag: the inputs, of which some may be wrong, missing or not known yet.
    """
    named = [bag.get(name) for name in (inputs.ACCOUNT_ENDPOINT, inputs.POOL_ID_NAME)]
    if not all(isinstance(value, str) for value in named):
        return ""
    try:
        newest = newest_image(ref_of(f"{named[0]}/pools/{named[1]}"))
    except (BatchOsError, NotChecked, Canceled) as error:
        return f"; could not read its nodes: {error}"
    return (
        f"; the newest on this pool's nodes is {newest}"
        if newest
        else "; no node of this pool shows a version number: declare nodes_since in place of it, "
        f"{inputs.allowed(inputs.NODES_SINCE)}"
    )


class _Row:
    """One resource's row; adds a tail to each message."""

    def __init__(self, ref: PoolRef, kind: Kind, target: str | Target) -> None:
        self._row = diagnostics.ResourceLog(diagnostics.current_urn(), ref.pool_id)
        self._ref = ref
        self._kind = kind
        self._target = target

    def tail(
        self, what: What, *, came_from: str = "", warnings: tuple[str, ...] = (), why: str = "", image_ends: str = ""
    ) -> MessageTail:
        """A tail about this pool."""
        tail = MessageTail(self._ref.url, self._kind, what, warnings=warnings, why=why, image_ends=image_ends)
        if isinstance(self._target, str):
            return replace(tail, came_from=came_from, target=self._target)
        return tail.between(self._target, came_from)

    def say(self, text: str, tail: MessageTail, *, warn: bool) -> None:
        """Write one message."""
        (self._row.warn if warn else self._row.info)(_ended(text, tail))

    def show(self, plan: Plan, known: PriorState | None, verdicts: tuple[Verdict, ...] = ()) -> None:
        """Write the plan, with its reason from the state and the gravest verdict of the catalogue."""
        if known is not None and known.why:
            plan = replace(plan, change=known.why, warnings=(*plan.warnings, known.code))
        if verdicts:
            codes = tuple(each.code for each in verdicts)
            plan = replace(plan, detail=f"{plan.detail}; {verdicts[0].text}", warnings=(*plan.warnings, *codes))
        warn = any(each.is_warning for each in verdicts) or not _GRAVE.isdisjoint(plan.warnings)
        self.say(plan.text, plan, warn=warn)

    def check(self, read: Callable[[], T]) -> T | Refuse | None:
        """The result of ``read``; None if the pool cannot be checked, which the row then says."""
        try:
            return read()
        except PoolGoneError:
            why = NO_SUCH_POOL
        except RefusedError as error:
            return Refuse(error.reason, error.next_step, error.answer)
        except NotChecked as error:
            if error.is_reported:
                return None
            why = error.why
        except Canceled:
            why = "interrupted by ^C"
        self.say(f"could not check the pool: {why}", self.tail("not looked at", why=why), warn=True)
        return None


def _plan_os(declared: Declared) -> tuple[Plan | Refuse, Pool]:
    ref, snapshot = declared.ref, snapshot_of(declared.ref.endpoint)

    def plan(pool: Pool, nodes: tuple[Node, ...] | None) -> Plan | Refuse:
        now = datetime.now(UTC)
        return plan_os(pool, nodes, declared.target, declared.policy, declared.timeout, gate=declared.gate, at=now)

    pool = snapshot.pool(ref)
    answer = plan(pool, None)
    if isinstance(answer, Refuse):
        if snapshot.refresh_if_stale():
            return _plan_os(declared)
        if pool.kind is PoolKind.VM:
            answer = plan(_with_image(pool), None)
    elif pool.node_count and (answer.what != "adopt" or declared.gate.is_declared):
        answer = plan(pool, snapshot.nodes(ref, declared.target))
    return answer, pool


def _with_image(pool: Pool) -> Pool:
    """A VM pool with the version that its nodes run, so that the refusal can show the resource to declare instead."""
    try:
        return replace(pool, image_version=newest_image(pool.ref))
    except (BatchOsError, NotChecked):
        # The refusal is right without the version: it must also reach users who may not list nodes.
        return pool


def _plan_image(declared: DeclaredImage, now: datetime) -> tuple[Plan | Refuse, VmPool]:
    snapshot = snapshot_of(declared.ref.endpoint)
    seen = snapshot.vm(declared.ref)
    target = _looked_up(declared.target, seen.pool)
    answer = plan_image(seen, target, declared.policy, declared.timeout, declared.drain_timeout, now=now)
    if isinstance(answer, Refuse) and snapshot.refresh_if_stale():
        return _plan_image(declared, now)
    return answer, seen.pool


def _looked_up(target: Target, pool: VmPool) -> Target:
    """The target with the node agent SKU of its image, if the pool needs it and Batch lists it now."""
    if target.image is None or not pool.is_vm or not target.image.needs_lookup(pool):
        return target
    images = images_of(pool.base.ref.endpoint).images()
    return target if images is None else replace(target, image=target.image.looked_up(images, pool))


def _plan_by_state(ref: PoolRef, at: str, target: str) -> Plan:
    """The plan as far as the state shows it, where the pool was not read."""
    back = is_rollback(at, target)
    return Plan(
        ref.url,
        "os",
        "rollback" if back else "upgrade",
        at,
        target,
        warnings=("rollback",) if back else (),
        detail="according to the state; the pool was not checked",
        change=change(at, target),
    )
