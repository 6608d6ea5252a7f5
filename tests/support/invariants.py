"""I1 to I12: what must hold after anything, judged from what the account and the caller have seen.

A fault is survived when nothing was lost and nothing done twice, whatever the fault was. So there
is one judge for all of them. It looks at the world and its audit, at the calls as they left the client, and at
what each run said and how it ended; it knows no fault, no rollout and no test.

===  =========================================================================================
I1   at most one effective upgrade; never more nodes than the pool had and ``surge``
I2   no disruption beyond Batch's own: one kind of write, or removals and resizes that wait for tasks; no more nodes
     are missing than declared
I3   no task is lost; for VM pools none runs twice
I4   success if and only if the pool is at its target (and its gate met); what is not back is named
I5   a preview and a read write nothing
I6   after a success the next look plans nothing and the next ``up`` writes nothing
I7   the end state is that of a run without faults
I8   no pool deleted or stopped in its resize; no size that the strategy has no use for
I9   every write carries the ETag of the look that it follows from
I10  no secret in anything that is said, asked or kept
I11  calls in a minute stay within the budget, whatever fails
I12  a failure names pool, target or state, request id and the next command
===  =========================================================================================
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from batch_os_provider.batch.image_reference import pin_of, without_version
from batch_os_provider.batch.image_version import parse_image_version
from batch_os_provider.batch.pool import parse_time
from batch_os_provider.batch.vm_pool import MARKER, sortable
from batch_os_provider.batch.vm_target import AllocatedSince, ImageVersion, Target
from batch_os_provider.batch.wanted_image import WantedImage
from batch_os_provider.errors import BatchOsError, InterruptedRolloutError, UnhealthyError
from batch_os_provider.guest_os.version import same_version
from batch_os_provider.rollout.loop import Outcome
from batch_os_provider.simulator.world.audit import Entry
from batch_os_provider.simulator.world.clock import iso
from batch_os_provider.simulator.world.model import READY
from batch_os_provider.simulator.world.world import World

Kind = Literal["os", "image"]
CALLS_IN_A_MINUTE = {"os": 30, "image": 60}
"""Calls of one rollout in any minute: a quick beginning or two, then a look in ten seconds (for VM pools two calls)."""
_WRITES = {
    "os": {"Pool_UpgradeOS"},
    "surge": {"Pool_Patch", "Pool_Resize", "Pool_RemoveNodes"},
    "when_empty": {"Pool_Patch"},
    "empty": {"Pool_Patch", "Pool_Resize"},
}
_HOLDING = {"Pool_DisableAutoScale", "Pool_EnableAutoScale"}


@dataclass(frozen=True)
class Sent:
    """A request as it left the client, at a virtual second."""

    method: str
    path: str
    if_match: str
    at: float


@dataclass(frozen=True)
class Snapshot:
    """A pool and its jobs at an instant, without times and names; ``versions`` are those of its nodes or its OS."""

    state: str
    allocation: str
    versions: tuple[str, ...]
    nodes: int
    target: int
    marked: bool
    tasks: tuple[tuple[str, str, int | None], ...]
    """Id, state and exit code of each."""
    pin: str = ""
    """The image version of new nodes of a VM pool."""
    image: tuple[str, str] = ("", "")
    """The image of a VM pool without its version, and its node agent SKU."""
    formula: tuple[str, str] = ("", "")
    """The formula that scales the pool, and its interval."""
    spot: int = 0
    not_ready: tuple[str, ...] = field(compare=False, default=())
    requeued: int = field(compare=False, default=0)
    allocated: tuple[str, ...] = field(compare=False, default=())
    """When each node was allocated."""


@dataclass
class Run:
    """One run of a rollout, or (``reads``) a preview: how it ended, what it said and sent, and the pool at its end."""

    reads: bool = False
    outcome: Outcome[Any] | None = None
    error: BatchOsError | None = None
    crashed: bool = False
    said: list[tuple[str, str]] = field(default_factory=list)
    sent: list[Sent] = field(default_factory=list)
    first: int = 0
    """How many requests the account had got before."""
    answered: bool = True
    """Whether the last request was answered well."""
    end: Snapshot | None = None
    planned: str = ""

    @property
    def succeeded(self) -> bool:
        """Whether it said that the target is reached."""
        return self.outcome is not None and not self.outcome.deferred

    @property
    def writes(self) -> list[Sent]:
        """What it sent that is not a read."""
        return [each for each in self.sent if each.method not in ("GET", "HEAD")]

    @property
    def text(self) -> str:
        """Everything that it said, its error included."""
        return "\n".join([*(text for _, text in self.said), str(self.error or "")])


@dataclass
class Evidence:
    """Everything that is judged. ``size`` is the pool's number of dedicated nodes when all began.

    ``upgrades`` is how many upgrades the account may have begun: one, and one for each that somebody else has
    begun or undone. ``expected`` is the end state of a run without faults.
    """

    kind: Kind
    pool_id: str
    target: str
    size: int
    world: World
    runs: list[Run]
    surge: int = 1
    strategy: str = "surge"
    spot: int = 0
    canary: int = 1
    unavailable: int = 0
    holds: bool = False
    """Whether a formula may be turned off and on again."""
    upgrades: int = 1
    expected: Snapshot | None = None

    @property
    def sizes(self) -> set[tuple[int, int]]:
        """The targets that an emptied pool may have."""
        dedicated = min(self.canary, self.size)
        return {(0, 0), (dedicated, min(self.canary - dedicated, self.spot)), (self.size, self.spot)}

    @property
    def requests(self) -> list[Entry]:
        """The requests that reached the account."""
        return [entry for entry in self.world.audit.entries if entry.kind == "request"]

    @property
    def writes(self) -> list[Entry]:
        """Those of them that write."""
        return [entry for entry in self.requests if entry.method not in ("GET", "HEAD")]

    @property
    def end(self) -> Snapshot | None:
        """The pool as it is now."""
        return snapshot(self.world, self.pool_id)


def snapshot(world: World, pool_id: str) -> Snapshot | None:
    """The pool now; None if it does not exist."""
    pool = world.pools.get(pool_id.lower())
    if pool is None:
        return None
    if pool.cloud_service is not None:
        versions = [pool.cloud_service["currentOSVersion"]]
    else:
        versions = sorted({str((node.image or {}).get("exactVersion")) for node in pool.nodes.values()})
    machine = pool.virtual_machine or {}
    tasks = [
        (job, task) for job in world.jobs.values() if job.pool_id.lower() == pool.key for task in job.tasks.values()
    ]
    return Snapshot(
        pool.state,
        pool.allocation,
        tuple(versions),
        pool.count(dedicated=True),
        pool.target_dedicated,
        any(entry.get("name") == MARKER for entry in pool.props.get("metadata") or []),
        tuple(sorted((f"{job.id}/{task.id}", task.state, task.exit_code) for job, task in tasks)),
        pin=pin_of(machine.get("imageReference", {})),
        image=(without_version(machine.get("imageReference", {})), str(machine.get("nodeAgentSKUId", ""))),
        formula=tuple(str(pool.props.get(name, "")) for name in ("autoScaleFormula", "autoScaleEvaluationInterval")),
        spot=pool.target_low_priority,
        not_ready=tuple(node.id for node in pool.nodes.values() if node.state not in READY),
        requeued=sum(task.requeues for _, task in tasks),
        allocated=tuple(iso(node.allocation_time) for node in pool.nodes.values()),
    )


def target_from(text: str) -> Target:
    """The target of a VM pool: a version or a moment; another image stands before the version."""
    name, _, version = text.rpartition(" ")
    if name:
        return ImageVersion.parse(version, WantedImage.parse(name))
    return ImageVersion.parse(text) if parse_image_version(text) is not None else AllocatedSince.parse(text)


def is_at_target(seen: Snapshot | None, kind: Kind, target: str, strategy: str = "surge") -> bool:
    """Whether the pool is what a success claims."""
    if seen is None or seen.state != "active":
        return False
    if kind == "os":
        return same_version(seen.versions[0], target)
    wanted = target_from(target)
    if isinstance(wanted, AllocatedSince):
        times = [parse_time(each) for each in seen.allocated]
        return not seen.marked and all(each is not None and sortable(each) >= wanted.moment for each in times)
    versions = [parse_image_version(each) for each in seen.versions]
    if wanted.image is not None and seen.image[0] != wanted.image.name:
        return False
    if seen.image[0].startswith("/"):
        versions = []  # a node of a gallery image may show none
    if strategy == "empty":
        return not seen.marked and {parse_image_version(seen.pin), *versions} == {wanted.numbers}
    return not seen.marked and all(each is not None and each >= wanted.numbers for each in versions)


def capacity(entries: Iterable[Entry], pool_id: str, start: int) -> tuple[int, int, int]:
    """The least and most dedicated nodes that took tasks, and the most that there were, at any time."""
    ready = least = most = there = all_there = start
    for entry in entries:
        detail = entry.detail
        if (
            entry.kind == "transition"
            and entry.pool == pool_id
            and detail["resource"] == "node"
            and detail["dedicated"]
        ):
            ready += (detail["to"] in READY) - (detail["from"] in READY)
            there += (detail["from"] is None) - (detail["to"] is None)
            least, most, all_there = min(least, ready), max(most, ready), max(all_there, there)
    return least, most, all_there


def begun_upgrades(entries: Iterable[Entry], pool_id: str) -> int:
    """How many OS upgrades the account has begun, whoever asked."""
    return sum(
        entry.kind == "transition"
        and entry.pool == pool_id
        and (entry.detail["resource"], entry.detail["to"]) == ("pool", "upgrading")
        for entry in entries
    )


def one_effect(seen: Evidence) -> None:
    """I1."""
    entries = seen.world.audit.entries
    if seen.kind == "os":
        begun = begun_upgrades(entries, seen.pool_id)
        assert begun <= seen.upgrades, f"{begun} upgrades were begun, {seen.upgrades} may be"
        return
    _, _, most = capacity(entries, seen.pool_id, seen.size)
    more = seen.surge if seen.strategy == "surge" else 0
    assert most <= seen.size + more, f"{most} nodes in a pool of {seen.size} and surge {more}"


def no_more_disruption(seen: Evidence) -> None:
    """I2."""
    for entry in seen.writes:
        allowed = _WRITES[seen.kind if seen.kind == "os" else seen.strategy]
        allowed = allowed | _HOLDING if seen.holds else allowed
        assert entry.operation in allowed, f"{entry.operation} is not a write of this provider"
        if seen.strategy == "empty" and entry.operation == "Pool_Resize" and "body" in entry.detail:
            body = json.loads(entry.detail["body"])
            assert body["nodeDeallocationOption"] == "taskcompletion", body
        if entry.operation == "Pool_RemoveNodes" and "body" in entry.detail:
            body = json.loads(entry.detail["body"])
            assert body["nodeDeallocationOption"] == "taskcompletion", body
            most = seen.surge + seen.unavailable
            assert len(body["nodeList"]) <= most, f"{len(body['nodeList'])} nodes at once, {most} allowed"
    if seen.kind == "image" and seen.strategy != "empty":
        least, _, _ = capacity(seen.world.audit.entries, seen.pool_id, seen.size)
        floor = seen.size - seen.unavailable
        assert least >= floor, f"capacity fell from {seen.size} to {least}, {seen.unavailable} may be missing"


def no_task_lost(seen: Evidence) -> None:
    """I3."""
    end = seen.end
    if end is None:
        return
    expected = len(seen.expected.tasks) if seen.expected is not None else len(end.tasks)
    assert len(end.tasks) == expected, f"{expected} tasks became {len(end.tasks)}"
    lost = [task for task in end.tasks if task[1:] != ("completed", 0)]
    assert not lost, f"not completed: {lost}"
    assert seen.kind == "os" or not end.requeued, f"{end.requeued} tasks were stopped and ran again"


def success_is_true(seen: Evidence) -> None:
    """I4."""
    for run in _rollouts(seen):
        there = is_at_target(run.end, seen.kind, seen.target, seen.strategy)
        if run.succeeded:
            assert there, f"success, but the pool is {run.end}"
            assert run.end is not None
            # Later runs write nothing and count no nodes.
            hidden = [node for node in run.end.not_ready if run.writes and node not in run.text]
            assert seen.kind == "image" or not hidden, f"success hides {hidden}"
        elif run.outcome is not None:
            assert not there, "deferred, but the pool is at its target"
        elif run.answered and not isinstance(run.error, (InterruptedRolloutError, UnhealthyError)):
            assert not there, f"the pool is at its target, but: {run.error}"


def previews_write_nothing(seen: Evidence) -> None:
    """I5."""
    previews = [run for run in seen.runs if run.reads]
    assert previews, "nothing was previewed"
    for run in previews:
        assert not run.writes, f"a preview wrote: {run.writes}"


def settled_after_success(seen: Evidence) -> None:
    """I6: whoever looks or runs after a success, and began after it, finds nothing to do."""
    before: Run | None = None
    for run in seen.runs:
        if before is not None and before.succeeded and run.first >= before.first + len(before.sent):
            if run.reads:
                assert run.planned in ("adopt", ""), f"after a success the preview plans to {run.planned}"
            else:
                assert not run.writes, f"after a success: {run.writes}"
        if not run.reads or before is None:
            before = run


def converged(seen: Evidence) -> None:
    """I7."""
    assert seen.end == seen.expected, f"ended as {seen.end}, without faults as {seen.expected}"


def nothing_taken(seen: Evidence) -> None:
    """I8."""
    for entry in seen.writes:
        assert entry.operation not in ("Pool_Delete", "Pool_StopResize"), entry.operation
        if entry.operation == "Pool_Resize" and "body" in entry.detail:
            body = json.loads(entry.detail["body"])
            asked = body["targetDedicatedNodes"]
            if seen.strategy == "empty":
                assert (asked, body["targetLowPriorityNodes"]) in seen.sizes, f"a pool of {seen.sizes}: {body}"
                continue
            assert asked >= seen.size, f"a pool of {seen.size} nodes was resized to {asked}"
            assert body["targetLowPriorityNodes"] == seen.spot, f"a pool of {seen.spot} spot nodes: {body}"


def writes_are_conditional(seen: Evidence) -> None:
    """I9."""
    for run in seen.runs:
        bare = [each for each in run.writes if not each.if_match]
        assert not bare, f"written without If-Match: {bare}"


def no_secret(seen: Evidence) -> None:
    """I10."""
    asked = [json.dumps(entry.to_json()) for entry in seen.world.audit.entries if entry.kind == "request"]
    for text in (*(run.text for run in seen.runs), *asked):
        assert seen.world.key not in text, f"the key is in: {text}"
        assert "SharedKey" not in text, f"a signature is in: {text}"


def within_budget(seen: Evidence) -> None:
    """I11."""
    for run in seen.runs:
        worst = most_in_a_minute([each.at for each in run.sent])
        assert worst <= CALLS_IN_A_MINUTE[seen.kind], f"{worst} calls in a minute"


def failures_help(seen: Evidence) -> None:
    """I12."""
    for run in seen.runs:
        if run.error is None:
            continue
        text, error = str(run.error), run.error
        assert f"/pools/{seen.pool_id}" in text, f"names no pool: {text}"
        assert error.next_step, f"names no next step: {text}"
        answer = error.answer
        if answer is not None and answer.status:
            assert answer.code in text, f"hides the code: {text}"
            assert not answer.request_id or answer.request_id in text, f"hides the request id: {text}"
        assert "Traceback" not in text


def most_in_a_minute(times: Sequence[float]) -> int:
    """The most of these instants that lie within 60 seconds."""
    worst = first = 0
    for last, now in enumerate(times):
        while now - times[first] >= 60.0:
            first += 1
        worst = max(worst, last - first + 1)
    return worst


def _rollouts(seen: Evidence) -> list[Run]:
    return [run for run in seen.runs if not run.reads and not run.crashed]


INVARIANTS: dict[str, Callable[[Evidence], None]] = {
    "I1": one_effect,
    "I2": no_more_disruption,
    "I3": no_task_lost,
    "I4": success_is_true,
    "I5": previews_write_nothing,
    "I6": settled_after_success,
    "I7": converged,
    "I8": nothing_taken,
    "I9": writes_are_conditional,
    "I10": no_secret,
    "I11": within_budget,
    "I12": failures_help,
}


def broken(seen: Evidence, without: Iterable[str] = ()) -> dict[str, str]:
    """The invariants that do not hold, each with what was found; those in ``without`` are not asked."""
    found = {}
    for name, holds in INVARIANTS.items():
        if name in without:
            continue
        try:
            holds(seen)
        except AssertionError as error:
            found[name] = str(error).split("\nassert ")[0]
    return found
