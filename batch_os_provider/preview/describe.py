"""What a preview says about a pool that changes, and what it refuses.

A reviewer sees from and to in the inputs, and nothing of what it costs or whether it can work.
So a resource that is new, or that ``diff`` calls changed, is looked at: the plan goes on its row, what `up`
would refuse is refused here, and the Guest OS catalogue adds what it knows of the target. Each message ends
in a ``message_tail`` where a program reads. Nothing is said of what does not change, and it costs no call.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timezone
from typing import Any, TypeVar

from batch_os_provider.batch.address import PoolRef
from batch_os_provider.batch.client import shared_client
from batch_os_provider.batch.pool import Kind as PoolKind
from batch_os_provider.batch.pool import Node, Pool
from batch_os_provider.engine import diagnostics, seams
from batch_os_provider.errors import BatchOsError, PoolGoneError, RefusedError
from batch_os_provider.guest_os import catalogue_file
from batch_os_provider.guest_os.catalogue import Verdict
from batch_os_provider.guest_os.version import change, is_rollback, same_version, short
from batch_os_provider.preview.account_snapshot import AccountSnapshot, NotChecked
from batch_os_provider.preview.message_tail import NO_SUCH_POOL, Kind, MessageTail, What
from batch_os_provider.preview.plan import Plan, plan_image, plan_os
from batch_os_provider.rollout.actions import Refuse
from batch_os_provider.runtime.cancellation import Canceled, RealWaiter
from batch_os_provider.schema.declared import Declared, DeclaredImage
from batch_os_provider.schema.outputs import PriorState

__all__ = ["NotChecked", "Refused", "lookout", "newest_image", "preview_image", "preview_os"]

T = TypeVar("T")

# Plans that a reviewer should stop at; the others' notes are news.
_GRAVE = frozenset({"rollback", "conflict", "unknown state", "unhealthy", "another product"})

_said: set[str] = set()
_lookouts: dict[str, AccountSnapshot] = {}
_lookouts_lock = threading.Lock()


def lookout(endpoint: str) -> AccountSnapshot:
    """The one lookout for an account in this process."""
    with _lookouts_lock:
        if endpoint not in _lookouts:
            _lookouts[endpoint] = AccountSnapshot(lambda: shared_client(endpoint), RealWaiter(seams.stop))
        return _lookouts[endpoint]


@dataclass(frozen=True)
class Refused:
    """What `up` would refuse, and the tail that says so to programs."""

    refuse: Refuse
    tail: MessageTail

    def wrong(self, bag: Mapping[str, Any], target: str) -> str:
        """The input that is wrong: one that is declared, since the engine shows its value."""
        wrong = self.refuse.property or target
        return wrong if bag.get(wrong) is not None else "pool_id"

    def reason(self, name: str, value: object) -> str:
        """For a check failure of this input: the engine writes its name and value before it."""
        reason = self.refuse.reason
        named = f"{name} {value} "
        reason = f"it {reason.removeprefix(named)}" if reason.startswith(named) else reason
        text = f"an up would be refused: {reason}. {self.refuse.next_step}. {self._others}."
        return _ended(text, self.tail)

    @property
    def _others(self) -> str:
        """Where to see the other refusals: the engine ends a preview at the first one."""
        endpoint = self.tail.pool.partition("/pools/")[0]
        return f"Pulumi stops here; `batch-os adopt {endpoint} --check .` shows every pool that is refused"

    @property
    def error(self) -> RefusedError:
        """For ``diff``."""
        reason, next_step = f"an up would be refused: {self.refuse.reason}", self.refuse.next_step
        next_step = f"{next_step}. {self._others}"
        error = RefusedError(reason, pool=self.tail.pool, next_step=next_step, answer=self.refuse.answer)
        error.tail = _ended(str(error), self.tail)[len(str(error)) :].strip()
        return error


def _ended(sentence: str, tail: MessageTail) -> str:
    """A sentence, with its tail where a program reads."""
    return tail.after(sentence) if diagnostics.is_read_by_a_program() else sentence


def preview_os(
    declared: Declared, known: PriorState | None, *, look: bool, today: date | None = None
) -> Refused | None:
    """Tell what an `up` would do to a Cloud Services pool; the refusal, if it would refuse.

    Args:
        declared: the inputs.
        known: what the state says; None where the resource is new.
        look: whether Batch may be asked.
        today: the day for which the Guest OS catalogue is asked; default today in UTC.
    """
    ref, target = declared.ref, declared.target
    speaker = _Speaker(ref, "os", target)
    seen = speaker.look(lambda: _plan_os(declared)) if look else None
    told, pool = (seen, None) if seen is None or isinstance(seen, Refuse) else seen
    came_from = (pool.current_os_version if pool is not None else known.version if known else "") or ""
    if isinstance(told, Refuse):
        return Refused(told, speaker.tail("refused", came_from=came_from, why=told.reason))
    family = pool.os_family if pool is not None else None
    verdicts = _judged(target, family, today or datetime.now(timezone.utc).date())
    if told is None and known is not None and known.version:
        told = _plan_by_state(known.version, target)
    elif told is not None and known is not None and known.version and not same_version(known.version, came_from):
        told = told.noting("stale", f"the state is older, it says {short(known.version)}")
    if told is not None:
        speaker.tell(told, known, verdicts)
    elif verdicts:
        codes = tuple(each.code for each in verdicts)
        speaker.say(verdicts[0].text, speaker.tail("warning", warnings=codes), warn=verdicts[0].is_warning)
    return None


def _judged(target: str, family: str | None, today: date) -> tuple[Verdict, ...]:
    """What the catalogue warns of, or that it is older than the target.

    That the catalogue is old is said only where it cannot speak of a target for that reason, once for all pools; and
    that a file of the user cannot be read, since what it holds is missing from every verdict.
    """
    used = catalogue_file.current()
    verdicts = used.catalogue.judge(target, today, family)
    if used.trouble:
        _say_once(used.trouble, warn=True)
    if any(each.code == "newer" for each in verdicts) and (outdated := used.catalogue.outdated(today)):
        _say_once(outdated)
    return tuple(each for each in verdicts if each.is_warning or each.code == "newer")


def _say_once(text: str, *, warn: bool = False) -> None:
    """A line about the catalogue on the stack's row, once in this process."""
    if text not in _said:
        _said.add(text)
        row = diagnostics.ResourceLog("", "catalogue")
        (row.warn if warn else row.info)(text)


def preview_image(declared: DeclaredImage, known: PriorState | None, *, look: bool) -> Refused | None:
    """Tell what an `up` would do to a VM pool; the refusal, if it would refuse.

    Args:
        declared: the inputs.
        known: what the state says; None where the resource is new.
        look: whether Batch may be asked.
    """
    ref, target = declared.ref, declared.target.text
    speaker = _Speaker(ref, "image", target)
    told = speaker.look(lambda: _plan_image(declared)) if look else None
    if isinstance(told, Refuse):
        return Refused(told, speaker.tail("refused", came_from=known.version if known else "", why=told.reason))
    if told is not None:
        speaker.tell(told, known)
    return None


def newest_image(ref: PoolRef) -> str:
    """The newest image version on a VM pool's nodes; empty where no node shows one.

    Raises as ``AccountSnapshot.vm``.
    """
    told = [(node.version, node.version_text) for node in lookout(ref.endpoint).vm(ref).nodes if node.version]
    return max(told)[1] if told else ""


class _Speaker:
    """One resource's row, with a tail after each message."""

    def __init__(self, ref: PoolRef, kind: Kind, target: str) -> None:
        self._row = diagnostics.ResourceLog(diagnostics.current_urn(), ref.pool_id)
        self._ref = ref
        self._kind = kind
        self._target = target

    def tail(self, what: What, *, came_from: str = "", warnings: tuple[str, ...] = (), why: str = "") -> MessageTail:
        """A tail about this pool."""
        return MessageTail(self._ref.url, self._kind, what, came_from, self._target, warnings=warnings, why=why)

    def say(self, text: str, tail: MessageTail, *, warn: bool) -> None:
        """One message."""
        (self._row.warn if warn else self._row.info)(_ended(text, tail))

    def tell(self, told: Plan, known: PriorState | None, verdicts: tuple[Verdict, ...] = ()) -> None:
        """Say the plan, with why it is planned and the heaviest of what the catalogue has to say of the target."""
        if known is not None and known.why:
            told = replace(told, change=known.why, warnings=(*told.warnings, known.code))
        if verdicts:
            codes = tuple(each.code for each in verdicts)
            told = replace(told, detail=f"{told.detail}; {verdicts[0].text}", warnings=(*told.warnings, *codes))
        warn = any(each.is_warning for each in verdicts) or not _GRAVE.isdisjoint(told.warnings)
        self.say(told.text, told.tail(self._ref.url, self._kind), warn=warn)

    def look(self, look: Callable[[], T]) -> T | Refuse | None:
        """What a look gives; None where there is none to be had, which is said."""
        try:
            return look()
        except PoolGoneError:
            why = NO_SUCH_POOL
        except RefusedError as error:
            return Refuse(error.reason, error.next_step, error.answer)
        except NotChecked as error:
            if error.told:
                return None
            why = error.why
        except Canceled:
            why = "interrupted by ^C"
        self.say(f"not looked at: {why}", self.tail("not looked at", why=why), warn=True)
        return None


def _plan_os(declared: Declared) -> tuple[Plan | Refuse, Pool]:
    ref, watch = declared.ref, lookout(declared.ref.endpoint)

    def plan(pool: Pool, nodes: tuple[Node, ...] | None) -> Plan | Refuse:
        now = datetime.now(timezone.utc)
        return plan_os(pool, nodes, declared.target, declared.policy, declared.timeout, gate=declared.gate, at=now)

    pool = watch.pool(ref)
    told = plan(pool, None)
    if isinstance(told, Refuse):
        if watch.refresh_if_stale():
            return _plan_os(declared)
        if pool.kind is PoolKind.VM:
            told = plan(_with_image(pool), None)
    elif pool.node_count and (told.what != "adopt" or declared.gate.is_declared):
        told = plan(pool, watch.nodes(ref, declared.target))
    return told, pool


def _with_image(pool: Pool) -> Pool:
    """A VM pool with the version that its nodes run: the refusal names the resource to use instead, filled in."""
    try:
        return replace(pool, image_version=newest_image(pool.ref))
    except (BatchOsError, NotChecked):
        # The refusal is right without it: whoever may not list nodes still learns that it is a VM pool.
        return pool


def _plan_image(declared: DeclaredImage) -> Plan | Refuse:
    watch = lookout(declared.ref.endpoint)
    told = plan_image(watch.vm(declared.ref), declared.target, declared.policy, declared.timeout)
    return _plan_image(declared) if isinstance(told, Refuse) and watch.refresh_if_stale() else told


def _plan_by_state(at: str, target: str) -> Plan:
    """The plan as far as the state tells, where nobody has looked."""
    back = is_rollback(at, target)
    warnings = ("rollback",) if back else ()
    return Plan(
        "rollback" if back else "upgrade",
        "as the state has it, not looked at",
        at,
        target,
        warnings=warnings,
        change=change(at, target),
    )
