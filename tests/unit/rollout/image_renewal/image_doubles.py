"""A VM pool that follows the rules of Batch on virtual time, and the run of one renewal on it.

The state is frozen and replaced as a whole. At every call the service asserts what a renewal may never do in any
situation: ``ForbiddenError`` is an ``AssertionError`` that no code catches.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest

from batch_os_provider.batch.address import PoolRef
from batch_os_provider.batch.empty_marker import PoolImage
from batch_os_provider.batch.image_version import parse_image_version
from batch_os_provider.batch.supported_images import SupportedImage
from batch_os_provider.batch.vm_pool import MARKER, Marker, VmNode, VmPool
from batch_os_provider.batch.vm_target import AllocatedSince, ImageVersion, Target
from batch_os_provider.batch.vm_view import VmPoolView
from batch_os_provider.errors import BatchOsError, ConflictError, ServiceAnswer
from batch_os_provider.rollout.context import RolloutContext
from batch_os_provider.rollout.image_renewal.renewal import ImageRenewal
from batch_os_provider.rollout.loop import Outcome
from batch_os_provider.rollout.progress import Reporter
from batch_os_provider.schema.declared import DeclaredImage, ImagePolicy
from tests.unit.rollout.doubles import EPOCH, REF, Lost, VirtualWaiter, at, transient
from tests.unit.rollout.stage import Listener

OLD, TARGET, NEWER = "20348.2402.240402", "20348.2461.240510", "20348.2500.240601"
WANTED = ImageVersion.parse(TARGET)
HOUR, DAY = 3600.0, 86400.0


class ForbiddenError(AssertionError):
    """The renewal did something that is never allowed."""


class Killed(BaseException):
    """The process was killed."""


@dataclass(frozen=True)
class Machine:
    """The state of a node in Batch; times are virtual seconds. ``fate`` is its state after the start."""

    name: str
    version: str = OLD
    allocated: float = -86400.0
    shown_from: float = -math.inf
    ready_from: float = -math.inf
    fate: str = "idle"
    busy_until: float = -math.inf
    dedicated: bool = True
    ours: bool = False
    leaving: bool = False

    def state(self, now: float) -> str:
        """The state at this time."""
        if self.leaving and now >= self.busy_until:
            return "leavingpool"
        if now < self.shown_from:
            return "creating"
        if now < self.ready_from:
            return "starting"
        return "running" if self.fate == "idle" and now < self.busy_until else self.fate

    def counts(self, now: float) -> bool:
        """Whether the node takes tasks."""
        return self.dedicated and not self.leaving and self.state(now) in {"idle", "running"}


@dataclass(frozen=True)
class TargetKind:
    """What a program declares, and what the nodes of its pool show.

    A ``Machine`` has a version in both worlds, which says whether it is old or new enough. With a moment its node shows
    the word ``latest``, and a machine that is new enough was allocated after the moment.
    """

    target: Target

    @property
    def by_version(self) -> bool:
        """Whether a version is declared."""
        return isinstance(self.target, ImageVersion)

    def enter(self, state: VmState) -> VmState:
        """The same pool, where the nodes that are new enough were also allocated after the moment."""
        if self.by_version:
            return state
        return replace(state, nodes=tuple(map(self._later, state.nodes)))

    @staticmethod
    def _later(node: Machine) -> Machine:
        is_new = (parse_image_version(node.version) or ()) >= WANTED.numbers
        return replace(node, allocated=node.allocated + DAY - HOUR) if is_new and node.allocated < -DAY / 2 else node

    def node_body(self, node: Machine, now: float) -> dict[str, Any]:
        """A node as Batch's JSON."""
        shown = node if self.by_version else replace(node, version=node.version and "latest")
        return node_body(shown, now)

    def look(self, state: VmState, now: float = 0.0) -> VmPoolView:
        """The view of a pool, without a service."""
        state = self.enter(state)
        pool = VmPool.from_json(REF, body_of(state), etag=state.etag, seen_at=at(now))
        return VmPoolView(pool, tuple(VmNode.from_json(self.node_body(node, now)) for node in state.nodes))

    def change(self, came_from: str = OLD) -> str:
        """The end of a line about old nodes; without old nodes give an empty ``came_from``."""
        if self.by_version:
            return f"{came_from} -> {TARGET}" if came_from else TARGET
        return f"allocated since 2018-11-30 -> {self.target}" if came_from else f"allocated since {self.target}"


VERSIONS = TargetKind(WANTED)
MOMENTS = TargetKind(AllocatedSince.parse("2018-12-01"))
"""Midnight is half a day before second 0. The old nodes of ``pool_of`` were allocated a day before it."""
both_kinds = pytest.mark.parametrize("kind", [VERSIONS, MOMENTS], ids=["version", "moment"])
"""Run a test with each kind of target."""


@dataclass(frozen=True)
class VmState:
    """The state of a pool in Batch."""

    nodes: tuple[Machine, ...] = ()
    size: int = 0
    version: str | None = "latest"
    configuration: Mapping[str, Any] = field(default_factory=dict)
    state: str = "active"
    allocation: str = "steady"
    spot: int = 0
    autoscale: bool = False
    automatic: bool = False
    errors: tuple[str, ...] = ()
    metadata: tuple[tuple[str, str], ...] = (("owner", "render team"),)
    edition: int = 1
    grows_at: float = math.inf
    drain_ends: float = math.inf
    gone: int = 0
    """Ready nodes that other actors have removed."""

    @property
    def dedicated(self) -> tuple[Machine, ...]:
        """The dedicated nodes."""
        return tuple(node for node in self.nodes if node.dedicated)

    @property
    def marker(self) -> Marker | None:
        """The marker of this provider."""
        return next((Marker.parse(value) for name, value in self.metadata if name == MARKER), None)

    @property
    def etag(self) -> str:
        """The ETag, which changes with every change."""
        return f"0x{self.edition:X}"


def pool_of(count: int, *, busy: Mapping[int, float] | None = None, at: str = OLD, **change: Any) -> VmState:
    """A steady pool of ``count`` nodes; ``busy`` maps nodes with a task to the end of the task."""
    until = busy or {}
    nodes = tuple(
        Machine(f"old-{index:02d}", at, -86400.0 + index, busy_until=until.get(index, -math.inf))
        for index in range(count)
    )
    return replace(VmState(nodes, count), **change)


@dataclass(frozen=True)
class When:
    """What another actor does as soon as ``so`` is true of the pool."""

    so: Callable[[VmState], bool]
    change: Callable[[VmState], VmState]


def resized(size: int) -> Callable[[VmState], VmState]:
    """Another actor has resized the pool, and its new nodes are up."""

    def change(state: VmState) -> VmState:
        kept = state.dedicated[:size]
        added = tuple(Machine(f"theirs-{index:02d}", TARGET, 5000.0 + index) for index in range(size - len(kept)))
        lost = len(state.dedicated) - len(kept)
        return replace(state, nodes=kept + added, size=size, gone=state.gone + max(0, lost))

    return change


@dataclass(frozen=True)
class VmScript:
    """The events of a run. Writes and reads are numbered from 1, new nodes from 0."""

    latest: tuple[tuple[float, str], ...] = ((-math.inf, TARGET),)
    allocation_takes: float = 60.0
    start_takes: float = 30.0
    quota: float = math.inf
    spot_left: float = math.inf
    """New spot nodes that one resize gets at most."""
    fates: Mapping[int, str] = field(default_factory=dict)
    busy: Callable[[int], float] = lambda _number: 0.0
    """Seconds of work of a new node as soon as it is ready."""
    target_restored: bool = True
    """Whether the target size rises again by the nodes that stayed after a drain ran out."""
    writes: Mapping[int, Exception | Lost] = field(default_factory=dict)
    reads: Mapping[int, Exception] = field(default_factory=dict)
    kill: tuple[int, bool] = (0, False)
    """The write at which the process dies, and whether Batch accepted it."""
    whens: tuple[When, ...] = ()
    write_takes: float = 0.2


class FakeVmService:
    """``renewal.VmService``: one pool that follows a script."""

    def __init__(
        self,
        state: VmState,
        script: VmScript | None = None,
        *,
        start: int | None = None,
        kind: TargetKind = VERSIONS,
    ) -> None:
        self.state = kind.enter(state)
        self.kind = kind
        self.script = script or VmScript()
        self.waiter = VirtualWaiter()
        self.calls: list[tuple[str, float]] = []
        self.took: list[tuple[str, Any]] = []
        """The writes that Batch accepted."""
        self.capacity: list[int] = []
        self.supported: tuple[SupportedImage, ...] | BatchOsError = ()
        """The images that Batch supports, or why the list cannot be read."""
        self.image_lists = 0
        """How often they were listed; no rollout does."""
        self._whens = list(self.script.whens)
        self._etag = ""
        self._fresh: list[str] = []
        self._added = 0
        ready = sum(node.counts(0.0) for node in state.nodes)
        self._start = ready if start is None else start

    def begin(self, waiter: VirtualWaiter) -> None:
        """Begin a new process, without memory of the last one."""
        waiter.spend(self.waiter.now())
        self.waiter, self._fresh, self._etag = waiter, [], ""

    # -- reads

    def get_vm_pool(self, ref: PoolRef) -> VmPool:
        """Read the pool."""
        assert ref == REF
        self._count("pool", 0.05)
        for index, each in enumerate(self._whens):
            if each.so(self.state):
                del self._whens[index]
                self._become(**vars(each.change(self.state)))
                break
        self._etag = self.state.etag
        self._fresh = ["pool"]
        return VmPool.from_json(ref, body_of(self.state), etag=self._etag, seen_at=at(self.waiter.now()))

    def list_vm_pools(self) -> tuple[VmPool, ...]:
        """The account's only pool, as a read shows it."""
        return (self.get_vm_pool(REF),)

    def list_vm_nodes(self, ref: PoolRef) -> tuple[VmNode, ...]:
        """Read its nodes."""
        assert ref == REF
        self._count("nodes", 0.05)
        self._fresh.append("nodes")
        now = self.waiter.now()
        return tuple(VmNode.from_json(self.kind.node_body(node, now)) for node in self.state.nodes)

    def list_supported_images(self) -> tuple[SupportedImage, ...]:
        """The images that Batch supports."""
        self.image_lists += 1
        if isinstance(self.supported, BatchOsError):
            raise self.supported
        return self.supported

    def newest_image_version(self, ref: PoolRef) -> str:
        """The newest image version, which PoolOsVersion asks for."""
        assert ref == REF
        return max((node.version for node in self.state.nodes), default="")

    # -- writes

    def set_marker(self, pool: VmPool, mark: Marker | None) -> None:
        """PATCH metadata."""

        def take() -> None:
            if mark is not None:
                self._forbid(self.state.marker is not None, "a marker is never written over another")
                self._forbid(mark.size != self.state.size, "the marker has the size of the pool")
            kept = tuple(entry for entry in self.state.metadata if entry[0] != MARKER)
            self._become(metadata=kept + (() if mark is None else ((MARKER, str(mark)),)))

        self._write("mark" if mark else "unmark", pool, mark, take)

    def resize(self, pool: VmPool, size: int) -> None:
        """POST resize; the target of spot nodes stays."""
        self._resize(pool, size, self.state.spot)

    def resize_all(self, pool: VmPool, dedicated: int, spot: int, timeout: float | None = None) -> None:
        """POST resize of dedicated and spot nodes."""
        assert timeout is None, "only an emptied pool has a deadline for its tasks here"
        self._resize(pool, dedicated, spot)

    def _resize(self, pool: VmPool, size: int, spot: int) -> None:
        def take() -> None:
            mark, there = self.state.marker, len(self.state.dedicated)
            self._forbid(mark is None, "no resize without a marker")
            assert mark is not None
            self._forbid(not mark.size <= size <= mark.size + mark.surge, f"{size} is not of the cycle of {mark}")
            self._forbid(spot != (mark.spot if mark.unavailable else self.state.spot), f"{spot} spot nodes of {mark}")
            self._forbid(size < there, "in a shrink by resize Batch chooses the nodes")
            self._conflicts(autoscale=True)
            grows = size > there or spot > len(self.state.nodes) - there
            takes = self.script.allocation_takes if grows else 1.0
            self._become(size=size, spot=spot, allocation="resizing", errors=(), grows_at=self.waiter.now() + takes)

        self._write("resize", pool, size, take)

    def remove_nodes(self, pool: VmPool, nodes: tuple[str, ...], timeout: float) -> None:
        """POST removenodes with option taskcompletion."""

        def take() -> None:
            if not {node.name for node in self.state.nodes}.issuperset(nodes):
                raise conflict("NodeNotFound", 404)  # classed with the conflicts: read, then decide again
            self._may_leave(nodes)
            self._conflicts(autoscale=True)
            now = self.waiter.now()
            leaving = tuple(replace(n, leaving=True) if n.name in nodes else n for n in self.state.nodes)
            spot = sum(not node.dedicated for node in self.state.nodes if node.name in nodes)
            self._become(
                nodes=leaving,
                size=self.state.size - len(nodes) + spot,
                spot=self.state.spot - spot,
                allocation="resizing",
                errors=(),
                drain_ends=now + timeout,
                grows_at=math.inf,
            )

        self._write("remove", pool, nodes, take)

    def repin(self, pool: VmPool, version: str, onto: PoolImage | None = None) -> None:
        """PATCH virtualMachineConfiguration."""

        def take() -> None:
            self._forbid(bool(pool.guarded_parts()), "a part could be lost")
            self._forbid(onto is not None, "no test of this pool declares another image")
            if self.state.nodes or self.state.allocation != "steady":
                raise conflict("OperationInvalidForCurrentState")
            self._become(version=version)

        self._write("repin", pool, version, take)

    # -- rules

    @staticmethod
    def _forbid(is_wrong: bool, sentence: str) -> None:
        if is_wrong:
            raise ForbiddenError(sentence)

    def _conflicts(self, *, autoscale: bool) -> None:
        if self.state.allocation != "steady":
            raise conflict("PoolBeingResized")
        if autoscale and self.state.autoscale:
            raise conflict("OperationNotValidOnPool")

    def _may_leave(self, names: tuple[str, ...]) -> None:
        """Assert what must hold before a node is asked to leave."""
        mark, now = self.state.marker, self.waiter.now()
        self._forbid(mark is None, "no removal without a marker")
        assert mark is not None
        self._forbid(not 1 <= len(names) <= 100, "1 to 100 nodes a call")
        self._forbid(len(set(names)) != len(names), "a node is named twice")
        chosen = [node for node in self.state.nodes if node.name in names]
        surplus, most = len(self.state.dedicated) - mark.size, mark.unavailable
        dedicated = sum(node.dedicated for node in chosen)
        spot = len(chosen) - dedicated
        self._forbid(len(names) > surplus + most, f"{len(names)} named, {surplus} are over the start size")
        self._forbid(self.state.size - dedicated < mark.size - most, "the target would fall below the start size")
        self._forbid(spot > 0 and not most, "spot nodes are left alone")
        self._forbid(spot > 0 and self.state.spot - spot < mark.spot - most, "the target of spot nodes would fall")
        self._forbid(
            any(not node.ours and parse_image_version(node.version) >= WANTED.numbers for node in chosen),  # type: ignore[operator]
            "a node of the pool's own that is not behind is asked to leave",
        )
        if not all(node.ours for node in chosen):
            new = [node for node in self.state.nodes if node.ours and (node.dedicated or most)]
            works = [n for n in new if n.leaving is False and n.state(now) in {"idle", "running"}]
            proven = [n for n in works if parse_image_version(n.version) >= WANTED.numbers]  # type: ignore[operator]
            first = most and not new and len(chosen) == 1
            unproven = len(proven) != len(new) or (not first and (not new or (len(new) < len(chosen) and not most)))
            self._forbid(unproven, "an old node leaves, but no new node is proven")
        left = sum(node.counts(now) for node in self.state.nodes if node.name not in names)
        floor = self._start - self.state.gone - most
        self._forbid(left < floor, f"capacity would be {left}, below {floor}")

    def _write(self, kind: str, pool: VmPool, what: Any, take: Callable[[], None]) -> None:
        number = self._count(kind, self.script.write_takes)
        self._forbid(self._fresh != ["pool", "nodes"], f"{kind} without a fresh look at pool and nodes")
        self._forbid(pool.base.etag != self._etag, "If-Match is not the ETag just read")
        self._fresh = []
        scripted = self.script.writes.get(number)
        if self.script.kill == (number, False):
            raise Killed
        if isinstance(scripted, Exception):
            raise scripted
        if scripted == Lost(committed=False):
            raise transient(0, "", "Connection reset by peer")
        if self.state.allocation != "steady":
            raise conflict("PoolBeingResized")
        if pool.base.etag != self.state.etag:
            raise conflict("ConditionNotMet", 412)
        take()
        self.took.append((kind, what))
        if self.script.kill == (number, True):
            raise Killed
        if isinstance(scripted, Lost):
            raise transient(0, "", "Read timed out")

    def _count(self, kind: str, seconds: float) -> int:
        self.waiter.spend(seconds)
        self.calls.append((kind, self.waiter.now()))
        self._live(self.waiter.now())
        self.capacity.append(sum(node.counts(self.waiter.now()) for node in self.state.nodes))
        reads = sum(each in {"pool", "nodes"} for each, _ in self.calls)
        if kind in {"pool", "nodes"}:
            failure = self.script.reads.get(reads)
            if failure is not None:
                raise failure
        return len(self.calls) - reads

    # -- life

    def _live(self, now: float) -> None:
        """Apply all events that are due, in order of time."""
        while True:
            state = self.state
            goes = min((max(n.busy_until, 0.0) for n in state.nodes if n.leaving), default=math.inf)
            due = min(state.grows_at, state.drain_ends, goes)
            if due > now:
                return
            if due == goes:
                left = tuple(n for n in state.nodes if not (n.leaving and n.busy_until <= due))
                self._become(nodes=left)
                self._settle()
            elif due == state.grows_at:
                self._grow(due)
            else:
                self._run_out()

    def _settle(self) -> None:
        if not any(node.leaving for node in self.state.nodes):
            self._become(allocation="steady", drain_ends=math.inf)

    def _grow(self, now: float) -> None:
        state = self.state
        lacking = state.size - len(state.dedicated)
        given = int(max(0, min(lacking, self.script.quota - len(state.dedicated))))
        lacks_spot = max(0, state.spot - (len(state.nodes) - len(state.dedicated)))
        spot = int(min(lacks_spot, self.script.spot_left))
        added = tuple(self._new(now, dedicated=number < given) for number in range(given + spot))
        errors = ("AccountCoreQuotaReached: The account has reached its core quota",) if given < lacking else ()
        errors += ("AllocationFailed: Desired number of low priority nodes could not be allocated",) * (
            spot < lacks_spot
        )
        self._become(nodes=state.nodes + added, allocation="steady", errors=errors, grows_at=math.inf)

    def _new(self, now: float, *, dedicated: bool = True) -> Machine:
        number, script = self._added, self.script
        self._added += 1
        ready = now + 5.0 + script.start_takes
        return Machine(
            f"new-{number:02d}",
            [version for since, version in script.latest if since <= now][-1],
            allocated=now + number / 1000,
            shown_from=now + 5.0,
            ready_from=ready if script.fates.get(number) != "starting" else math.inf,
            fate=script.fates.get(number, "idle"),
            busy_until=ready + script.busy(number),
            dedicated=dedicated,
            ours=True,
        )

    def _run_out(self) -> None:
        state = self.state
        stayed = sum(node.leaving and node.dedicated for node in state.nodes) * self.script.target_restored
        spot = sum(node.leaving and not node.dedicated for node in state.nodes) * self.script.target_restored
        self._become(
            nodes=tuple(replace(node, leaving=False) for node in state.nodes),
            size=state.size + stayed,
            spot=state.spot + spot,
            allocation="steady",
            errors=("RemoveNodesFailed: Nodes did not finish their tasks",),
            drain_ends=math.inf,
        )

    def _become(self, **change: Any) -> None:
        self.state = replace(self.state, **{**change, "edition": self.state.edition + 1})


def conflict(code: str, status: int = 409) -> ConflictError:
    """A refusal by Batch."""
    return ConflictError(ServiceAnswer(status, code, "The specified operation is not valid", "req-3"), pool=REF.url)


def stamp(second: float) -> str:
    """The service's time as it writes it, with seven decimals."""
    return (EPOCH + timedelta(seconds=second)).strftime("%Y-%m-%dT%H:%M:%S.%f") + "0Z"


def body_of(state: VmState) -> dict[str, Any]:
    """The pool as Batch's JSON."""
    reference = {"publisher": "microsoftwindowsserver", "offer": "windowsserver", "sku": "2022-datacenter"}
    if state.version is not None:
        reference["version"] = state.version
    return {
        "id": REF.pool_id,
        "state": state.state,
        "allocationState": state.allocation,
        "allocationStateTransitionTime": stamp(-600),
        "targetDedicatedNodes": state.size,
        "currentDedicatedNodes": len(state.dedicated),
        "targetLowPriorityNodes": state.spot,
        "currentLowPriorityNodes": len(state.nodes) - len(state.dedicated),
        "enableAutoScale": state.autoscale,
        "upgradePolicy": {
            "mode": "automatic",
            "automaticOSUpgradePolicy": {"enableAutomaticOSUpgrade": state.automatic},
        },
        "resizeErrors": [dict(zip(("code", "message"), text.split(": ", 1), strict=False)) for text in state.errors],
        "metadata": [{"name": name, "value": value} for name, value in state.metadata],
        "virtualMachineConfiguration": {
            "imageReference": reference,
            "nodeAgentSKUId": "batch.node.windows amd64",
            **state.configuration,
        },
    }


def node_body(node: Machine, now: float) -> dict[str, Any]:
    """A node as Batch's JSON."""
    state = node.state(now)
    body: dict[str, Any] = {
        "id": node.name,
        "state": state,
        "isDedicated": node.dedicated,
        "allocationTime": stamp(node.allocated),
        "runningTasksCount": int(now < node.busy_until and now >= node.ready_from),
    }
    if state != "creating":
        body["virtualMachineInfo"] = {"imageReference": {"exactVersion": node.version}}
    if state == "starttaskfailed":
        failure = {"category": "usererror", "code": "FailureExitCode", "message": "The task exited with 1\nmore"}
        body["startTaskInfo"] = {"state": "completed", "result": "failure", "failureInfo": failure}
    return body


def look(state: VmState, now: float = 0.0) -> VmPoolView:
    """The view of a pool, without a service."""
    return VERSIONS.look(state, now)


@dataclass(frozen=True)
class ImagePlay:
    """The result of one renewal."""

    outcome: Outcome[VmPoolView] | None
    error: BatchOsError | None
    service: FakeVmService
    voice: Listener
    seconds: float

    @property
    def text(self) -> str:
        """The error's text."""
        assert self.error is not None, f"it succeeded: {self.outcome}"
        return str(self.error)

    @property
    def end(self) -> Outcome[VmPoolView]:
        """The outcome of a renewal that succeeded."""
        assert self.outcome is not None, f"it failed: {self.error}"
        return self.outcome

    @property
    def writes(self) -> list[str]:
        """The kinds of writes that Batch took."""
        return [kind for kind, _ in self.service.took]


GOAL = DeclaredImage(REF, WANTED, ImagePolicy("surge", 1), drain_timeout=3600.0, timeout=20 * 3600.0)


def renew(service: FakeVmService, *, stop_at: float = math.inf, goal: DeclaredImage = GOAL, **wanted: Any) -> ImagePlay:
    """Run one renewal in a process of its own; the inputs of the policy go there."""
    policy = {key: wanted.pop(key) for key in ("surge", "max_unavailable", "strategy") if key in wanted}
    goal = replace(goal, policy=replace(goal.policy, **policy), **{"target": service.kind.target, **wanted})
    waiter, voice = VirtualWaiter(stop_at=service.waiter.now() + stop_at), Listener()
    service.begin(waiter)
    began = waiter.now()
    renewal = ImageRenewal(goal, RolloutContext(service, waiter, Reporter(voice), lambda: 0.5))
    outcome, error = None, None
    try:
        outcome = renewal.run()
    except BatchOsError as raised:
        error = raised
    return ImagePlay(outcome, error, service, voice, waiter.now() - began)


def play_image(state: VmState, script: VmScript | None = None, kind: TargetKind = VERSIONS, **kwargs: Any) -> ImagePlay:
    """Run one renewal from a state through a script to its end."""
    return renew(FakeVmService(state, script, kind=kind), **kwargs)


def is_as_before(service: FakeVmService, size: int) -> bool:
    """Whether nothing of a cycle is left: the size, the count, the marker."""
    state = service.state
    return state.size == size == len(state.dedicated) and not any(name == MARKER for name, _ in state.metadata)
