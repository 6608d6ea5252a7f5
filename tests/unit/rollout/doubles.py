"""Test doubles of a rollout's context: a clock that moves only on request, and a small scripted pool.

A ``State`` is frozen, and a ``Script`` lists the events and their times. After a run the service has the last state
and every call. ``check_consistency`` refuses a script that Batch could not play, so that no test passes on nonsense.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from batch_os_provider.batch.address import PoolRef
from batch_os_provider.batch.pool import Node, Pool
from batch_os_provider.errors import ConflictError, PoolGoneError, ServiceAnswer, TransientError
from batch_os_provider.guest_os import version
from batch_os_provider.runtime import cancellation
from batch_os_provider.runtime.cancellation import Canceled, StopReason

T = TypeVar("T")

V24 = "WA-GUEST-OS-5.24_201810-01"
V25 = "WA-GUEST-OS-5.25_201811-01"
V26 = "WA-GUEST-OS-5.26_201812-01"
OTHER_FAMILY = "WA-GUEST-OS-4.59_201810-01"
REF = PoolRef("https://acct.westeurope.batch.azure.com", "Render-A")
EPOCH = datetime(2018, 12, 1, 12, 0, 0, tzinfo=UTC)
"""The service's time at virtual second 0."""


class ImpossibleScriptError(AssertionError):
    """The script shows something that Batch cannot show."""


class VirtualWaiter:
    """``cancellation.Waiter`` on virtual time; ``stop_at`` is the time of ^C, and may be changed."""

    def __init__(self, *, stop_at: float = math.inf, reason: StopReason = StopReason.CANCELED) -> None:
        self._now = 0.0
        self.stop_at = stop_at
        self._reason = reason
        self.sleeps: list[float] = []

    def now(self) -> float:
        """Virtual seconds since the start."""
        return self._now

    def sleep(self, seconds: float) -> None:
        """Move the clock, or stop when ``stop_at`` comes first."""
        assert seconds >= 0, "a negative sleep is a bug in the loop"
        self.sleeps.append(seconds)
        if self._now + seconds >= self.stop_at:
            self._now = max(self._now, self.stop_at)
            raise Canceled(self._reason)
        self._now += seconds

    def call(self, function: Callable[[], T], *, write: bool = False) -> T:
        """Call at once. A stop during the call ends it; a write has its grace first."""
        if self._now >= self.stop_at:
            raise Canceled(self._reason)
        allowed = self.stop_at + (cancellation.WRITE_GRACE if write else 0.0)
        try:
            return function()
        finally:
            if self._now > allowed or (self._now >= allowed and not write):
                self._now = allowed
                raise Canceled(self._reason, in_call=True)

    def spend(self, seconds: float) -> None:
        """Move the clock by the duration of a call."""
        self._now += seconds


@dataclass(frozen=True)
class State:
    """The state of a pool in Batch."""

    current: str | None = V24
    target: str | None = V24
    state: str = "active"
    allocation: str = "steady"
    family: str | None = "5"
    vm_image: Mapping[str, str] | None = None
    etag: str = "0x1"
    resize_began: float = -600.0
    autoscale: bool = False
    upgrade_began: float | None = None
    upgrade_ends: float = math.inf
    finished: float | None = None
    nodes: int = 3
    stuck: tuple[int, ...] = ()
    """Indexes of nodes that stay in their reimage; the upgrade then does not end."""
    resting: Mapping[int, str] = field(default_factory=dict)
    """States of nodes, by index, while no upgrade runs; the others are up."""


def check_consistency(state: State) -> None:
    """Refuse a state that Batch cannot show."""
    wrong = {
        "an active pool has no upgrade in flight": state.state == "active" and state.upgrade_began is not None,
        "an upgrading pool has an upgrade in flight": state.state == "upgrading" and state.upgrade_began is None,
        "an upgrade goes from one version to another": state.state == "upgrading" and state.current == state.target,
        "a VM pool has no Guest OS": state.vm_image is not None and (state.current, state.family) != (None, None),
        "a version is of the pool's family": state.current not in (None, "*")
        and state.family is not None
        and version.family_of(str(state.current)) != state.family,
        "a stuck node is one of the pool's": any(not 0 <= index < state.nodes for index in state.stuck),
        "a node that rests is one of the pool's": any(not 0 <= index < state.nodes for index in state.resting),
    }
    for sentence, is_wrong in wrong.items():
        if is_wrong:
            raise ImpossibleScriptError(sentence)


@dataclass(frozen=True)
class At:
    """What another actor does to the pool at a virtual second."""

    second: float
    change: Mapping[str, Any]


@dataclass(frozen=True)
class Lost:
    """The answer to a POST is lost, after or before Batch accepted it."""

    committed: bool


@dataclass(frozen=True)
class Script:
    """The events of a run; reads, POSTs and node lists are numbered from 1."""

    events: tuple[At, ...] = ()
    upgrade_takes: float = 90.0
    reads: Mapping[int, Exception] | Callable[[int], Exception | None] = field(default_factory=dict)
    posts: Mapping[int, Exception | Lost] = field(default_factory=dict)
    node_lists: Callable[[int], Exception | None] = lambda _number: None
    stale_for: float = 0.0
    """Seconds after a 202 in which reads still show the pool as it was before."""
    read_takes: float = 0.05
    post_takes: float = 0.2
    nodes_take: float = 0.1
    refuses_while_resizing: bool = False
    gone_at: float = math.inf


@dataclass(frozen=True)
class Call:
    """One call of the audit: what, and the virtual second in which it began and ended."""

    kind: str
    began: float
    ended: float


class FakeService:
    """``rollout.Service``: one pool that follows a script."""

    def __init__(self, waiter: VirtualWaiter, state: State, script: Script) -> None:
        check_consistency(state)
        seconds = [event.second for event in script.events]
        if seconds != sorted(seconds) or any(second < 0 for second in seconds):
            msg = "events come in order of time, from 0 on"
            raise ImpossibleScriptError(msg)
        self._waiter = waiter
        self._script = script
        self._pending = list(script.events)
        self._before_post: State | None = None
        self._stale_until = -math.inf
        self._etag_read: str | None = None
        self.state = state
        self.calls: list[Call] = []
        self.upgrades: list[str] = []
        """The targets of the upgrades that Batch accepted."""

    def count(self, kind: str) -> int:
        """The number of calls of a kind."""
        return sum(call.kind == kind for call in self.calls)

    def begun(self, kind: str) -> list[float]:
        """The start times of the calls of a kind."""
        return [call.began for call in self.calls if call.kind == kind]

    def get_pool(self, ref: PoolRef) -> Pool:
        """Answer a read: as scripted, stale, or with the state at the end of the call."""
        number = self._begin("read", self._script.read_takes)
        failure = self._script.reads(number) if callable(self._script.reads) else self._script.reads.get(number)
        if failure is not None:
            raise failure
        if self._waiter.now() >= self._script.gone_at:
            raise gone()
        shown = self.state
        if self._before_post is not None and self._waiter.now() < self._stale_until:
            shown = self._before_post
        self._etag_read = shown.etag
        return Pool.from_json(ref, body_of(shown), etag=shown.etag, seen_at=at(self._waiter.now()))

    def list_pools(self) -> tuple[Pool, ...]:
        """The account's only pool, as a read shows it."""
        return (self.get_pool(REF),)

    def list_nodes(self, ref: PoolRef) -> tuple[Node, ...]:
        """Answer with the nodes, or as scripted."""
        assert ref == REF
        number = self._begin("nodes", self._script.nodes_take)
        failure = self._script.node_lists(number)
        if failure is not None:
            raise failure
        return nodes_of(self.state, self._waiter.now(), self._script.upgrade_takes)

    def newest_image_version(self, ref: PoolRef) -> str:
        """Answer with the image version of a VM pool's nodes."""
        assert ref == REF
        return "20348.2402.240402"

    def upgrade_os(self, ref: PoolRef, target: str, etag: str) -> datetime | None:
        """Accept or refuse an upgrade by the rules of Batch, or answer as scripted."""
        assert ref == REF
        assert self.calls[-1].kind == "read", "a write follows a read, always"
        assert etag == self._etag_read, "If-Match is the ETag just read"
        number = self._begin("post", self._script.post_takes)
        scripted = self._script.posts.get(number)
        if isinstance(scripted, Exception):
            raise scripted
        if scripted == Lost(committed=False):
            raise transient(0, "", "Connection reset by peer")
        began = self._take(target, etag)
        if isinstance(scripted, Lost):
            raise transient(0, "", "Read timed out")
        return at(began)

    def _take(self, target: str, etag: str) -> float:
        now = self._waiter.now()
        if self.state.state == "upgrading" and self.state.target != target:
            raise conflict(409, "UpgradePoolVersionConflict", "The pool is already upgrading to a different version.")
        if target in (self.state.current, self.state.target):
            raise conflict(400, "PoolVersionEqualsUpgradeVersion", "The pool is already with the given version.")
        if self._script.refuses_while_resizing and self.state.allocation != "steady":
            raise conflict(409, "PoolBeingResized", "The specified pool is being resized.")
        if etag != self.state.etag:
            raise conflict(412, "ConditionNotMet", "The specified condition is not met.")
        self._before_post, self._stale_until = self.state, now + self._script.stale_for
        ends = math.inf if self.state.stuck else now + self._script.upgrade_takes
        self._become(state="upgrading", target=target, etag=self.state.etag + "p", upgrade_began=now, upgrade_ends=ends)
        self.upgrades.append(target)
        return now

    def _begin(self, kind: str, seconds: float) -> int:
        began = self._waiter.now()
        self._waiter.spend(seconds)
        self.calls.append(Call(kind, began, self._waiter.now()))
        self._live(self._waiter.now())
        return self.count(kind)

    def _live(self, now: float) -> None:
        """Apply all events that are due, in order of time."""
        while True:
            event_at = self._pending[0].second if self._pending else math.inf
            if min(event_at, self.state.upgrade_ends) > now:
                return
            if event_at <= self.state.upgrade_ends:
                self._become(**self._pending.pop(0).change)
            else:
                self._become(**ended(self.state.target), finished=self.state.upgrade_ends)

    def _become(self, **change: Any) -> None:
        self.state = replace(self.state, **change)
        check_consistency(self.state)


def ended(at_version: str | None) -> dict[str, Any]:
    """What changes when an upgrade ends; the ETag stays (recording b)."""
    steady = {"state": "active", "upgrade_began": None, "upgrade_ends": math.inf}
    return {**steady, "current": at_version, "target": at_version}


def begun(target: str, began: float, ends: float = math.inf) -> dict[str, Any]:
    """What changes when another actor starts an upgrade."""
    return {"state": "upgrading", "target": target, "upgrade_began": began, "upgrade_ends": ends, "etag": f"0x{began}"}


def at(second: float) -> datetime:
    """The service's time at a virtual second."""
    return EPOCH + timedelta(seconds=second)


def body_of(state: State) -> dict[str, Any]:
    """The pool as Batch's JSON. On return to active the transition time goes back (recordings a and b)."""
    changed = at(-86400 if state.upgrade_began is None else state.upgrade_began)
    common: dict[str, Any] = {
        "id": REF.pool_id,
        "state": state.state,
        "stateTransitionTime": changed.isoformat(),
        "allocationState": state.allocation,
        "allocationStateTransitionTime": at(state.resize_began).isoformat(),
        "currentDedicatedNodes": state.nodes,
        "enableAutoScale": state.autoscale,
    }
    if state.vm_image is not None:
        return {**common, "virtualMachineConfiguration": {"imageReference": dict(state.vm_image)}}
    versions = {"osFamily": state.family, "currentOSVersion": state.current, "targetOSVersion": state.target}
    return {**common, "cloudServiceConfiguration": {k: v for k, v in versions.items() if v is not None}}


def nodes_of(state: State, now: float, takes: float) -> tuple[Node, ...]:
    """The nodes of a state: reimaged one after the other; stuck nodes stay in their reimage."""
    seen = []
    for index in range(state.nodes):
        name, boot, what, error = f"tvm-{index}", at(-86400), "running", ""
        if state.upgrade_began is not None:
            back_at = state.upgrade_began + takes * (index + 1) / state.nodes
            if index in state.stuck:
                what, error = "unusable", "AgentLost: The agent does not answer"
            elif now >= back_at:
                what, boot = "idle", at(back_at)
        else:
            if state.finished is not None:
                what, boot = "idle", at(state.finished)
            what = state.resting.get(index, what)
        seen.append(Node(name, what, boot, error))
    return tuple(seen)


def conflict(status: int, code: str, message: str) -> ConflictError:
    """A 409, a 412, or the 400 that means "already there"."""
    return ConflictError(ServiceAnswer(status, code, message, "req-1"), pool=REF.url, doing="starting the upgrade")


def transient(status: int, code: str, message: str, retry_after: float | None = None) -> TransientError:
    """A 429, a 5xx, or no answer (status 0)."""
    return TransientError(ServiceAnswer(status, code, message, "req-2", retry_after), pool=REF.url, doing="calling")


def gone() -> Exception:
    """404 PoolNotFound."""
    return PoolGoneError("Batch says that it does not exist (404 PoolNotFound)", pool=REF.url)
