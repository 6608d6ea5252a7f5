"""The table: every fault of the list, on both kinds of rollout, and all invariants asked after each.

The promise is about whatever fails, so the list is worked through row by row. Each row is one story:
a preview, an `up` in which it happens, the next `up` when it is over, a preview again, and one more `up` that must
have nothing to do. Then one judge (`tests/support/invariants.py`) asks I1 to I12. What does not apply says why, in
``NOT_HERE`` for a fault and in the row for an invariant; nothing is left blank, and the last test counts.
"""

from __future__ import annotations

import io
from contextlib import redirect_stderr
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest

from batch_os_provider.batch.image_reference import without_version
from batch_os_provider.schema.declared import Gate, Policy
from batch_os_provider.schema.units import Share
from batch_os_provider.simulator.world import nodes, pools, resizes, upgrades
from tests.support.invariants import INVARIANTS, Run, Snapshot, broken
from tests.support.simulator import IMAGES, NEW, OLD, OTHER
from tests.support.trial import Shape, Trial, empty_shape, fault_free, image_shape, os_shape, with_goal

if TYPE_CHECKING:
    from collections.abc import Callable

    from batch_os_provider.simulator.world.model import Pool

    Condition = Callable[[Trial], bool]
    Deed = Callable[[Trial], object]

OS = os_shape(60, 60, 60, 60)
IMAGE = image_shape(60, 60, 60)
INTERVAL = {"autoScaleEvaluationInterval": "PT5M"}
SCALED = {"enableAutoScale": True, "autoScaleFormula": "$TargetDedicatedNodes=3;", **INTERVAL}
EMPTY = empty_shape(60, 60, 60, nodes=3, image=IMAGES["ubuntu"], **SCALED)
FIXED = empty_shape(60, 60, 60, nodes=3, canary=2, image=IMAGES["rhel"])
SPARING = replace(image_shape(60, 60, 60, surge=0), unavailable=1)
"""A pool without spare quota: an old node leaves first."""
HELD = replace(image_shape(60, 60, 60, **SCALED), autoscale="hold")
"""A pool whose formula is held while its nodes are replaced."""
SHAPES = (OS, IMAGE, EMPTY)
START_TASK = {"commandLine": "cmd /c setup", "waitForSuccess": True}
BACK = empty_shape(
    60,
    60,
    60,
    nodes=3,
    image=IMAGES["windows-2019"],
    startTask=START_TASK,
    simulator={"allocation": {"startTask": "fail", "count": 1}},
)
DONE = "done"
CONVERGES_ELSEWHERE = "somebody else wanted another size, and has it"
DISTURBED = "the capacity that is missing was taken by somebody else"
READS = (
    (OS, "Pool_Get"),
    *((shape, operation) for shape in (IMAGE, EMPTY) for operation in ("Pool_Get", "ComputeNode_List")),
)
"""The reads that a rollout decides by; a list of nodes is comfort for an upgrade, with rows of its own."""
WRITES = {
    "os": {"upgradeos": ("Pool_UpgradeOS", 1)},
    "image": {
        "note": ("Pool_Patch", 1),
        "resize": ("Pool_Resize", 1),
        "removenodes": ("Pool_RemoveNodes", 1),
        "clearing": ("Pool_Patch", 2),
    },
    "empty": {
        "note": ("Pool_Patch", 1),
        "hold": ("Pool_DisableAutoScale", 1),
        "drain": ("Pool_Resize", 1),
        "change": ("Pool_Patch", 2),
        "canary": ("Pool_Resize", 2),
        "formula": ("Pool_EnableAutoScale", 1),
        "clearing": ("Pool_Patch", 3),
    },
}


BACK_WRITES = {
    "the canary's drain": ("Pool_Resize", 3),
    "the old image": ("Pool_Patch", 3),
    "the old size": ("Pool_Resize", 4),
    "clearing": ("Pool_Patch", 4),
}
"""The way back of a pool of fixed size; its marker, drain and canary are those of any other."""


def kind_of(shape: Shape) -> str:
    """The kind of rollout: the strategy ``empty`` is one of its own."""
    return "empty" if shape.strategy == "empty" else shape.kind


@dataclass(frozen=True)
class Row:
    """One fault on one kind of rollout.

    ``ends`` is how the `up` ends in which it happens: DONE, or the class of its error; ``next_ends`` the same of the
    next one, ``says`` what has to be in the words of the first. ``happens`` are deeds of others, each done once, at
    the first moment at which its condition holds. ``upgrades`` may be begun in all. ``without`` names the invariants
    that do not apply and why; ``expects`` is the end state as somebody else has changed it.
    """

    fault: str
    name: str
    shape: Shape
    faults: tuple[dict[str, Any], ...] = ()
    happens: tuple[tuple[Condition, Deed], ...] = ()
    unknowns: dict[str, Any] = field(default_factory=dict)
    ends: str = DONE
    next_ends: str = DONE
    says: str = ""
    upgrades: int = 1
    without: dict[str, str] = field(default_factory=dict)
    expects: Callable[[Snapshot], Snapshot] = lambda end: end
    also: Callable[[Trial, Run], None] = lambda _trial, _run: None
    mends: Deed = lambda _trial: None

    @property
    def id(self) -> str:
        """The row in the tests' names."""
        return f"{self.fault} {kind_of(self.shape)}: {self.name}"


def rule(operation: str, kind: str, *, nth: int | None = None, probability: float | None = None, **effect: Any) -> dict:
    """A fault of the simulator."""
    match = {"operation": operation, "nth": nth, "probability": probability, "seed": 7 if probability else None}
    given = {name: value for name, value in match.items() if value is not None}
    return {"match": given, "effect": {"kind": kind, **effect}}


def both(fault: str, name: str, make: Callable[[Shape], dict[str, Any]]) -> list[Row]:
    """The same fault on all kinds."""
    return [Row(fault, name, shape, **make(shape)) for shape in SHAPES]


def reads(fault: str, name: str, kind: str, *nths: int, **more: Any) -> list[Row]:
    """A fault on these reads, a row for each kind and what it reads; what is no field of a row is one of the effect."""
    fields = {key: more.pop(key) for key in list(more) if key in Row.__dataclass_fields__}
    return [
        Row(
            fault,
            f"{name}, on {'the pool' if operation == 'Pool_Get' else 'its nodes'}",
            shape,
            tuple(rule(operation, kind, nth=nth, **more) for nth in nths),
            **fields,
        )
        for shape, operation in READS
    ]


def node_lists(fault: str, name: str, kind: str, **effect: Any) -> Row:
    """A fault on every list of nodes of an upgrade, which goes on without counts."""
    return Row(fault, f"{name}, on the list of nodes", OS, (rule("ComputeNode_List", kind, **effect),))


def writes(fault: str, name: str, kind: str, without: tuple[Shape, ...] = (), **effect: Any) -> list[Row]:
    """A fault on each write of both kinds, a row for each."""
    fields = {key: effect.pop(key) for key in list(effect) if key in Row.__dataclass_fields__}
    return [
        Row(fault, f"{name}, on {what}", shape, (rule(operation, kind, nth=nth, **effect),), **fields)
        for shape in SHAPES
        for what, (operation, nth) in WRITES[kind_of(shape)].items()
        if shape not in without
    ]


def back(fault: str, name: str, kind: str, **effect: Any) -> list[Row]:
    """A fault on what only a pool of fixed size has: the fill, and each write of the way back after a bad canary."""
    fields = {key: effect.pop(key) for key in list(effect) if key in Row.__dataclass_fields__}
    failed = {"ends": "RefusedError", "says": "starttaskfailed", **fields}
    # A bad canary that a refusal leaves there is found again by the next run, which then goes back.
    again = {"next_ends": "RefusedError"} if fields else {}
    return [
        Row(fault, f"{name}, on the fill", FIXED, (rule("Pool_Resize", kind, nth=3, **effect),), **fields),
        *(
            Row(
                fault,
                f"{name}, on the way back: {what}",
                BACK,
                (rule(operation, kind, nth=nth, **effect),),
                **failed,
                **(again if what == "the canary's drain" else {}),
            )
            for what, (operation, nth) in BACK_WRITES.items()
        ),
    ]


# --- conditions, and what others do ---


def pool_of(trial: Trial) -> Pool:
    """The pool, as it is now."""
    trial.account.catch_up()
    return trial.world.pool("render")


def upgrading(trial: Trial) -> bool:
    """An upgrade is under way."""
    return pool_of(trial).state == "upgrading"


def growing(trial: Trial) -> bool:
    """The cycle has more nodes than the pool began with, and all are ready."""
    pool = pool_of(trial)
    return pool.allocation == "steady" and len(pool.nodes) > trial.size


def emptied(trial: Trial) -> bool:
    """The pool has no nodes, and nobody resizes it."""
    pool = pool_of(trial)
    return pool.allocation == "steady" and not pool.nodes


def fewer(trial: Trial) -> bool:
    """An old node has left, and the pool gets no new one yet."""
    pool = pool_of(trial)
    return pool.allocation == "steady" and len(pool.nodes) < trial.size


def middle_of(shape: Shape) -> Condition:
    """A moment in the middle of a rollout of this kind."""
    return {"os": upgrading, "image": growing, "empty": emptied}[kind_of(shape)]


def before_write(trial: Trial) -> bool:
    """The rollout has read, and its next request is a write."""
    return trial.moments[-1].startswith(("before POST", "before PATCH"))


def arrived(trial: Trial) -> bool:
    """The pool is active at the target, and the rollout has not seen it."""
    pool = pool_of(trial)
    return pool.state == "active" and bool(pool.cloud_service) and pool.cloud_service["currentOSVersion"] == NEW


def second_page(trial: Trial) -> bool:
    """The first page of the nodes was read, and the next is asked for."""
    return trial.moments[-2:] == ["after GET /pools/render/nodes", "before GET /pools/render/nodes"]


def canary(trial: Trial) -> bool:
    """An emptied pool has few nodes of the new image."""
    pool = pool_of(trial)
    return pool.allocation == "steady" and 0 < len(pool.nodes) < trial.size and pool.target_dedicated == len(pool.nodes)


def filling(trial: Trial) -> bool:
    """All nodes of an emptied pool are there again, and not all are ready."""
    pool = pool_of(trial)
    starting = any(node.state not in ("idle", "running") for node in pool.nodes.values())
    is_new = trial.shape.target in str(pool.virtual_machine)
    return pool.allocation == "steady" and len(pool.nodes) == trial.size and starting and is_new


def nth(number: int, condition: Condition) -> Condition:
    """The nth moment at which something holds."""
    left = [number]

    def holds(trial: Trial) -> bool:
        left[0] -= condition(trial)
        return left[0] <= 0

    return holds


def touch(trial: Trial) -> None:
    """Somebody changes something that we do not look at: the ETag moves."""
    trial.world.touch(pool_of(trial))


def holding(trial: Trial) -> bool:
    """The formula is off, and the cycle has added a node."""
    return growing(trial) and not pool_of(trial).autoscale_enabled


def enable_theirs(trial: Trial) -> None:
    """Somebody enables another formula."""
    pool = pool_of(trial)
    pool.autoscale_enabled_at = None
    resizes.enable_autoscale(trial.world, pool, {"autoScaleFormula": "$TargetDedicatedNodes=9;"})


def take_the_quota(trial: Trial) -> None:
    """Other pools take the cores that the old node has left."""
    trial.world.quota["dedicatedNodes"] = len(pool_of(trial).nodes)


def resize(size: int) -> Deed:
    """Somebody resizes the pool."""
    return lambda trial: resizes.resize(trial.world, pool_of(trial), (size, None), None, "requeue")


def quota(nodes_at_most: int | None) -> Deed:
    """The account may have so many dedicated nodes from now on; None is any number."""
    if nodes_at_most is None:
        return lambda trial: trial.world.quota.clear()
    return lambda trial: trial.world.quota.update(dedicatedNodes=nodes_at_most)


def scale(formula: str) -> Deed:
    """Somebody enables a formula, with the interval of ``SCALED``."""

    def do(trial: Trial) -> None:
        pool = pool_of(trial)
        pool.autoscale_enabled_at = None
        resizes.enable_autoscale(trial.world, pool, {**INTERVAL, "autoScaleFormula": formula})

    return do


def repin(version: str) -> Deed:
    """Somebody changes the image version of the pool."""

    def do(trial: Trial) -> None:
        pool = pool_of(trial)
        machine = dict(pool.virtual_machine or {})
        machine["imageReference"] = {**machine["imageReference"], "version": version}
        trial.world.unknowns.set({"unknownImageVersion": "accepted"})
        pools.patch(trial.world, pool, {"virtualMachineConfiguration": machine})

    return do


def delete(trial: Trial) -> None:
    """Somebody deletes the pool."""
    pools.delete(trial.world, pool_of(trial))


def upgrade_to(target: str) -> Deed:
    """Somebody upgrades the pool."""
    return lambda trial: upgrades.upgrade_os(trial.world, pool_of(trial), target)


def roll_back(trial: Trial) -> None:
    """The platform puts the pool back to where it was."""
    pool = pool_of(trial)
    assert pool.cloud_service is not None
    pool.cloud_service |= {"currentOSVersion": OLD, "targetOSVersion": OLD}
    pool.upgrade = None
    for node in pool.nodes.values():
        if node.state not in ("idle", "running"):
            nodes.set_state(trial.world, pool, node, "idle")
    trial.world.record_change("pool", pool.id, pool.state, "active", pool=pool.id)
    pool.state = "active"


def lose_a_node(trial: Trial) -> None:
    """A node is preempted, or breaks down so that Batch takes it out."""
    pool = pool_of(trial)
    nodes.remove(trial.world, pool, next(iter(pool.nodes.values())))


def stick(trial: Trial) -> None:
    """Nodes that are on their way stay where they are."""
    for node in pool_of(trial).nodes.values():
        if node.state not in ("idle", "running"):
            node.due = None


def unstick(trial: Trial) -> None:
    """They come back after all."""
    pool = pool_of(trial)
    for node in pool.nodes.values():
        if node.state not in ("idle", "running"):
            nodes.set_state(trial.world, pool, node, node.state)


def break_a_node(trial: Trial) -> None:
    """A node is no good any more."""
    pool = pool_of(trial)
    nodes.set_state(trial.world, pool, next(iter(pool.nodes.values())), "unusable")


def repair(trial: Trial) -> None:
    """Broken nodes are as good as new."""
    pool = pool_of(trial)
    for node in pool.nodes.values():
        if node.state == "unusable":
            nodes.set_state(trial.world, pool, node, "idle")


def another_up(trial: Trial) -> None:
    """A second run of the same, from another stack, from its beginning to its end."""
    deeds, trial.at_moment = trial.at_moment, lambda _number, _name: None
    moments = trial.moments
    run = trial.up()
    trial.at_moment, trial.moments = deeds, moments
    assert run.succeeded, run.text


# --- what a row may look at besides ---


def waits(seconds: float) -> Callable[[Trial, Run], None]:
    """Nothing is asked before Retry-After is over."""

    def look(trial: Trial, _run: Run) -> None:
        asked = [entry for entry in trial.world.audit.entries if entry.kind == "request"]
        hit = next(index for index, entry in enumerate(asked) if entry.detail.get("faults"))
        gap = trial.account.sent[hit + 1].at - trial.account.sent[hit].at
        assert gap >= seconds, f"the next call came after {gap:g}s"

    return look


def gives_up_at_once(trial: Trial, run: Run) -> None:
    """At most one call after a permanent refusal."""
    asked = [entry for entry in trial.world.audit.entries if entry.kind == "request"]
    ours = asked[run.first : run.first + len(run.sent)]
    refused = next(index for index, entry in enumerate(ours) if entry.detail.get("faults"))
    assert len(ours) - 1 - refused <= 1, f"{len(ours) - 1 - refused} calls after it"


def sized(count: int) -> Callable[[Snapshot], Snapshot]:
    """The end that somebody else's resize has made."""
    return lambda end: replace(end, nodes=count, target=count)


SERVER_ERRORS = {"status": 500, "code": "OperationTimedOut"}
STARTED = Shape("os", {**OS.pool, "startTask": START_TASK}, OS.tasks)
FOREIGN = {"I7": CONVERGES_ELSEWHERE, "I1": CONVERGES_ELSEWHERE, "I8": CONVERGES_ELSEWHERE, "I2": DISTURBED}

ROWS: tuple[Row, ...] = (
    *reads("F1", "429, Retry-After in seconds", "status", 3, status=429, retryAfter=40, also=waits(40)),
    *reads(
        "F1", "429, Retry-After as a date", "status", 3, status=429, retryAfter=40, retryAfterAs="date", also=waits(38)
    ),
    *reads("F1", "503 without Retry-After", "status", 3, status=503),
    *writes("F2", "429", "status", status=429, retryAfter=30, also=waits(30)),
    *writes("F2", "503", "status", status=503),
    *reads("F3", "a burst of 503", "status", 3, 3, 3, 3, 3, status=503),
    *reads("F3", "a burst of 500 OperationTimedOut", "status", 3, 3, 3, 3, 3, **SERVER_ERRORS),
    *reads("F3", "503 at the first contact", "status", 1, 1, status=503),
    *reads(
        "F3", "503 for ever", "status", *[3] * 12, status=503, ends="TransientError", says="given up after 10 tries"
    ),
    *writes("F3", "500 OperationTimedOut", "status", **SERVER_ERRORS),
    *writes("F4", "reset before the commit", "reset"),
    *writes("F4", "closed before the commit", "dropBefore"),
    *writes("F5", "reset after the commit", "reset", after=True),
    *writes("F5", "closed after the commit", "dropAfter"),
    *writes("F5", "truncated after the commit", "truncate", bytes=0),
    *reads("F5", "truncated body", "truncate", 3, bytes=20),
    *reads("F5", "reset", "reset", 3),
    *reads("F6", "no answer in 20 s", "delay", 3, seconds=25),
    *reads("F6", "a body that comes too slowly", "slow", 3, seconds=60, pieces=2),
    *reads("F6", "a body that trickles", "slow", 3, seconds=15, pieces=50),
    *writes("F6", "carried out after we gave up on it", "delay", seconds=30),
    *writes("F6", "carried out, and told after we gave up on it", "delay", seconds=30, after=True),
    *both("F7", "412: somebody changed what we do not look at", lambda _shape: {"happens": ((before_write, touch),)}),
    *writes("F7", "412", "status", status=412),
    Row("F7", "412: the ETag never holds", OS, (rule("Pool_UpgradeOS", "status", status=412),), ends="RefusedError"),
    Row("F7", "412: the ETag never holds", IMAGE, (rule("Pool_Resize", "status", status=412),), ends="DeadlineError"),
    Row(
        "F8",
        "a resize comes first",
        OS,
        happens=((before_write, resize(5)),),
        expects=sized(5),
    ),
    Row(
        "F8",
        "a resize comes first, and Batch takes the upgrade all the same",
        OS,
        happens=((before_write, resize(5)),),
        unknowns={"upgradeWhileResizing": "accepted"},
        expects=sized(5),
    ),
    Row(
        "F8",
        "a resize is being stopped",
        OS,
        happens=(
            (lambda trial: len(trial.moments) == 1, resize(5)),
            (lambda trial: len(trial.moments) == 2, lambda trial: resizes.stop_resize(trial.world, pool_of(trial))),
        ),
        without={"I7": CONVERGES_ELSEWHERE},
    ),
    Row(
        "F8",
        "a resize, and if_resizing says fail",
        with_goal(OS, policy=Policy(if_resizing="fail")),
        happens=((before_write, resize(5)),),
        ends="RefusedError",
        mends=lambda trial: trial.settle(600),
        expects=sized(5),
    ),
    Row(
        "F8",
        "a resize comes first",
        IMAGE,
        happens=((before_write, resize(3)),),
        expects=sized(3),
        without={
            "I1": CONVERGES_ELSEWHERE,
        },
    ),
    *writes("F8", "409 PoolBeingResized", "status", status=409, code="PoolBeingResized"),
    *both(
        "F9",
        "the pool is deleted while we wait",
        lambda shape: {
            "happens": ((middle_of(shape), delete),),
            "ends": "PoolGoneError",
            "next_ends": "PoolGoneError",
            "without": {
                "I7": "there is no pool any more",
                "I2": "the pool goes with its nodes",
                "I3": "its tasks wait for a pool",
            },
        },
    ),
    *both(
        "F9",
        "the pool is deleted between read and write",
        lambda _shape: {
            "happens": ((before_write, delete),),
            "ends": "PoolGoneError",
            "next_ends": "PoolGoneError",
            "without": {
                "I7": "there is no pool any more",
                "I2": "the pool goes with its nodes",
                "I3": "its tasks wait for a pool",
            },
        },
    ),
    Row("F10", "somebody has begun the same upgrade", OS, happens=((before_write, upgrade_to(NEW)),)),
    Row(
        "F10",
        "somebody has begun the same upgrade, and Batch takes it again",
        OS,
        happens=((before_write, upgrade_to(NEW)),),
        unknowns={"sameTargetWhileUpgrading": "accepted"},
    ),
    Row(
        "F10",
        "somebody has begun the same upgrade, and Batch tells a conflict",
        OS,
        happens=((before_write, upgrade_to(NEW)),),
        unknowns={"sameTargetWhileUpgrading": "UpgradePoolVersionConflict"},
    ),
    Row(
        "F10",
        "already there, says Batch, and shows it",
        OS,
        (rule("Pool_UpgradeOS", "status", status=400, code="PoolVersionEqualsUpgradeVersion"),),
        happens=((before_write, upgrade_to(NEW)),),
    ),
    Row(
        "F11",
        "another target came first",
        OS,
        happens=((before_write, upgrade_to(OTHER)),),
        ends="RefusedError",
        says=OTHER,
        upgrades=2,
        mends=lambda trial: trial.settle(600),
    ),
    Row(
        "F11",
        "another target came first, and on_conflict says wait",
        with_goal(OS, policy=Policy(on_conflict="wait")),
        happens=((before_write, upgrade_to(OTHER)),),
        upgrades=2,
    ),
    *reads(
        "F12",
        "403",
        "status",
        4,
        status=403,
        code="AuthenticationFailed",
        ends="CredentialError",
        also=gives_up_at_once,
    ),
    *reads("F12", "400", "status", 4, status=400, code="InvalidInput", ends="PermanentError", also=gives_up_at_once),
    *writes(
        "F12",
        "403",
        "status",
        status=403,
        code="InsufficientAccountPermissions",
        ends="CredentialError",
        also=gives_up_at_once,
    ),
    *writes("F12", "400", "status", (EMPTY,), status=400, ends="PermanentError", also=gives_up_at_once),
    *(
        Row(
            "F12",
            f"400, on {what}",
            EMPTY,
            (rule(operation, "status", nth=number, status=400),),
            ends=ends,
            without={"I7": "the simulator evaluates no formula"} if what in ("change", "canary") else {},
        )
        for what, (operation, number) in WRITES["empty"].items()
        for ends in ("PermanentError" if what in ("note", "formula", "clearing") else "RefusedError",)
    ),
    Row(
        "F7",
        "412: the ETag never holds",
        EMPTY,
        (rule("Pool_Resize", "status", status=412),),
        ends="RefusedError",
        says="takes up to 6m00s; Batch refused the last step with ConditionNotMet",
    ),
    Row(
        "F8",
        "a resize comes first",
        FIXED,
        happens=((before_write, resize(5)),),
        expects=sized(5),
        without={"I8": CONVERGES_ELSEWHERE, "I1": CONVERGES_ELSEWHERE},
    ),
    Row(
        "F12",
        "quota",
        replace(FIXED, more={**FIXED.more, "quota": {"dedicatedNodes": 2}}),
        ends="RefusedError",
        says="core quota",
        mends=lambda trial: trial.world.quota.clear(),
    ),
    *(
        Row(
            fault,
            name,
            FIXED,
            happens=((emptied, resize(size)),),
            ends="RefusedError",
            next_ends="RefusedError",
            says="another person or program resized the pool",
            without=FOREIGN,
        )
        for fault, name, size in (("F14", "grows in the middle", 5),)
    ),
    *back("F3", "500 OperationTimedOut", "status", **SERVER_ERRORS),
    *back("F5", "closed after the commit", "dropAfter"),
    *back("F6", "carried out after we gave up on it", "delay", seconds=30),
    *back("F7", "412", "status", status=412),
    *back("F8", "409 PoolBeingResized", "status", status=409, code="PoolBeingResized"),
    *back(
        "F12", "403", "status", status=403, code="InsufficientAccountPermissions", ends="CredentialError", says="403"
    ),
    Row(
        "F12",
        "quota is gone when the pool is filled",
        FIXED,
        happens=((canary, quota(2)),),
        ends="RefusedError",
        says="core quota",
        mends=quota(None),
    ),
    Row(
        "F12",
        "quota is gone on the way back",
        BACK,
        happens=((canary, quota(1)),),
        ends="RefusedError",
        says="starttaskfailed",
        mends=quota(None),
    ),
    Row(
        "F11",
        "the image was changed in the middle",
        FIXED,
        happens=((emptied, repin("8.1.2020010101")),),
        ends="RefusedError",
        next_ends="RefusedError",
        says="another",
        without=FOREIGN,
    ),
    Row(
        "F14",
        "another formula is enabled in the middle",
        EMPTY,
        happens=((emptied, scale("$TargetDedicatedNodes=7;")),),
        ends="RefusedError",
        next_ends="RefusedError",
        says="formula",
        without=FOREIGN,
    ),
    Row(
        "F14",
        "its own formula is enabled in the middle",
        EMPTY,
        happens=((emptied, scale(SCALED["autoScaleFormula"])),),
    ),
    Row(
        "F15",
        "the canary is lost",
        FIXED,
        happens=((canary, lose_a_node),),
        without={"I3": "the lost node's task runs again"},
    ),
    Row(
        "F16",
        "scaled to zero with the canary",
        FIXED,
        happens=((canary, resize(0)),),
        without={"I3": "somebody else requeues its tasks"},
    ),
    Row(
        "F17",
        "the canary is stuck",
        empty_shape(
            60, 60, 60, nodes=3, startTask=START_TASK, simulator={"allocation": {"startTask": "hang", "count": 1}}
        ),
        ends="RefusedError",
        says="the canary was not ready in time",
    ),
    Row(
        "F17",
        "a node of the fill is stuck",
        FIXED,
        happens=((filling, stick),),
        ends="DeadlineError",
        says="the pool has 3 nodes",
        mends=unstick,
    ),
    Row(
        "F18",
        "the canary's start task fails",
        empty_shape(
            60, 60, 60, nodes=3, startTask=START_TASK, simulator={"allocation": {"startTask": "fail", "count": 1}}
        ),
        ends="RefusedError",
        says="starttaskfailed",
    ),
    Row(
        "F26",
        "the version is unknown to Batch",
        FIXED,
        (rule("Pool_Patch", "status", nth=2, status=400, code="InvalidPropertyValue"),),
        ends="RefusedError",
        says="InvalidPropertyValue",
    ),
    Row(
        "F12",
        "quota",
        replace(IMAGE, more={"quota": {"dedicatedNodes": 2}}),
        ends="RefusedError",
        says="core quota",
        mends=lambda trial: trial.world.quota.clear(),
    ),
    *reads(
        "F13", "the token has expired", "status", 4, status=401, code="AuthenticationFailed", ends="CredentialError"
    ),
    Row("F14", "grows while it upgrades", OS, happens=((upgrading, resize(5)),), expects=sized(5)),
    Row(
        "F14",
        "grows in the middle of the cycle",
        IMAGE,
        happens=((growing, resize(5)),),
        ends="RefusedError",
        next_ends="RefusedError",
        says="another person or program resized the pool",
        without=FOREIGN,
    ),
    Row("F15", "shrinks while it upgrades", OS, happens=((upgrading, resize(2)),), expects=sized(2)),
    Row(
        "F15",
        "a node is lost while it upgrades",
        OS,
        happens=((nth(4, upgrading), lose_a_node),),
        expects=lambda end: replace(end, nodes=2),
    ),
    Row(
        "F15",
        "a node is lost in the middle of the cycle",
        IMAGE,
        happens=((growing, lose_a_node),),
        without={"I2": DISTURBED, "I3": "the lost node's task runs again"},
    ),
    Row(
        "F16",
        "scaled to zero while it upgrades",
        OS,
        happens=((upgrading, resize(0)),),
        without={"I3": "its tasks wait for nodes", "I7": "its tasks wait for nodes"},
    ),
    Row(
        "F16",
        "scaled to zero in the middle of the cycle",
        IMAGE,
        happens=((growing, resize(0)),),
        ends="RefusedError",
        next_ends="RefusedError",
        without={**FOREIGN, "I3": "its tasks wait for nodes"},
    ),
    Row(
        "F17",
        "a node is stuck",
        OS,
        happens=((nth(3, upgrading), stick),),
        ends="DeadlineError",
        says="no node moved for",
        mends=unstick,
    ),
    Row(
        "F17",
        "a new node is stuck",
        image_shape(60, 60, 60, startTask=START_TASK, simulator={"allocation": {"startTask": "hang", "count": 1}}),
        ends="DeadlineError",
        mends=unstick,
    ),
    Row(
        "F18",
        "a node breaks when all are back",
        OS,
        happens=((arrived, break_a_node),),
        says="unusable",
    ),
    Row(
        "F18",
        "the new node's start task fails",
        image_shape(60, 60, 60, startTask=START_TASK, simulator={"allocation": {"startTask": "fail", "count": 1}}),
        ends="RefusedError",
        says="starttaskfailed",
    ),
    Row(
        "F18",
        "the new node is unusable",
        image_shape(60, 60, 60, simulator={"allocation": {"state": "unusable", "count": 1}}),
        ends="RefusedError",
        says="unusable",
    ),
    Row(
        "F19",
        "the platform rolls back while we wait",
        OS,
        happens=((nth(4, upgrading), roll_back),),
        ends="RefusedError",
        upgrades=2,
    ),
    Row(
        "F19",
        "the platform rolls back after it was done",
        OS,
        upgrades=2,
        mends=roll_back,
        without={"I6": "the next up has to upgrade again: that is the fault"},
    ),
    *both(
        "F20",
        "a read as before the last change",
        lambda _shape: {"faults": tuple(rule("Pool_Get", "stale", nth=each, changes=1) for each in range(2, 30))},
    ),
    *both(
        "F20",
        "every third look is 20 s old",
        lambda _shape: {
            "faults": (
                rule("Pool_Get", "stale", probability=0.3, seconds=20),
                rule("ComputeNode_List", "stale", probability=0.3, seconds=20),
            )
        },
    ),
    *both(
        "F20",
        "every look is 8 s old",
        lambda _shape: {"faults": (rule("Pool_Get", "stale", seconds=8), rule("ComputeNode_List", "stale", seconds=8))},
    ),
    *reads("F21", "a state that nobody has heard of", "unknownState", 3, 4),
    *(
        Row(
            "F21",
            "unknown fields everywhere",
            shape,
            (rule("Pool_Get", "extraFields"), rule("ComputeNode_List", "extraFields")),
            ends=ends,
            says=says,
        )
        for shape, ends, says in (
            (OS, DONE, ""),
            (IMAGE, DONE, ""),
            (EMPTY, "RefusedError", "imageReference.futureProperty"),
        )
    ),
    *reads(
        "F21",
        "fields are missing",
        "missingFields",
        4,
        names=["state", "allocationState", "lastBootTime", "stateTransitionTime"],
    ),
    *reads("F21", "an answer that is no JSON", "garbage", 4),
    *both(
        "F22",
        "the service's clock is two hours ahead",
        lambda _shape: {
            "faults": (
                rule("Pool_Get", "clockSkew", seconds=7200),
                rule("ComputeNode_List", "clockSkew", seconds=7200),
                rule("Pool_UpgradeOS", "clockSkew", seconds=7200),
            )
        },
    ),
    *both(
        "F22",
        "the service's clock is two hours behind",
        lambda _shape: {
            "faults": (
                rule("Pool_Get", "clockSkew", seconds=-7200),
                rule("ComputeNode_List", "clockSkew", seconds=-7200),
                rule("Pool_UpgradeOS", "clockSkew", seconds=-7200),
            )
        },
    ),
    *both("F24", "another up comes first", lambda _shape: {"happens": ((before_write, another_up),)}),
    *both(
        "F24",
        "another up in the middle",
        lambda shape: {"happens": ((middle_of(shape), another_up),)},
    ),
    Row(
        "F26",
        "the version is unknown to Batch",
        OS,
        (rule("Pool_UpgradeOS", "status", status=400, code="OSVersionNotFound"),),
        ends="PermanentError",
    ),
    Row(
        "F26",
        "the version is disabled",
        OS,
        (rule("Pool_UpgradeOS", "status", status=400, code="OSVersionDisabled"),),
        ends="PermanentError",
    ),
    Row(
        "F26",
        "the version has expired",
        OS,
        (rule("Pool_UpgradeOS", "status", status=400, code="OSVersionExpired"),),
        ends="PermanentError",
    ),
    Row(
        "F26",
        "the pool is not eligible",
        OS,
        (rule("Pool_UpgradeOS", "status", status=400, code="PoolNotEligibleForOSVersionUpgrade"),),
        ends="PermanentError",
    ),
    Row(
        "F26",
        "Batch allocates an older image",
        image_shape(60, 60, 60, simulator={"allocation": {"version": "20348.2227.240104", "count": 1}}),
        ends="RefusedError",
        says="Batch still allocates",
    ),
    Row("F26b", "to the star", with_goal(OS, target="*")),
    Row("F26b", "from the star", os_shape(60, 60, current="*")),
    Row(
        "F27",
        "a node leaves between two pages of a list",
        os_shape(nodes=1001),
        happens=((second_page, lose_a_node),),
        expects=lambda end: replace(end, nodes=1000, target=1001),
    ),
    node_lists("F1", "429", "status", status=429, retryAfter=40),
    node_lists("F3", "500 OperationTimedOut", "status", **SERVER_ERRORS),
    node_lists("F5", "truncated body", "truncate", bytes=20),
    node_lists("F6", "no answer in 20 s", "delay", seconds=25),
    node_lists("F12", "403", "status", status=403, code="InsufficientAccountPermissions"),
    node_lists("F21", "an answer that is no JSON", "garbage"),
    Row(
        "F17",
        "a node is stuck, and stall_after gives up",
        with_goal(OS, stall_after=1200.0),
        happens=((nth(3, upgrading), stick),),
        ends="StalledError",
        says="no node moved for",
        mends=unstick,
    ),
    Row(
        "F18",
        "a node breaks when all are back, and max_unhealthy allows none",
        with_goal(OS, gate=Gate(max_unhealthy=Share(0))),
        happens=((arrived, break_a_node),),
        ends="UnhealthyError",
        says="unusable",
        mends=repair,
    ),
    *(
        Row(fault, f"max_unavailable: {name}, on {operation}", SPARING, (rule(operation, effect, nth=1, **more),))
        for operation in ("Pool_RemoveNodes", "Pool_Resize")
        for fault, name, effect, more in (
            ("F4", "reset before the commit", "reset", {}),
            ("F5", "closed after the commit", "dropAfter", {}),
            ("F6", "carried out after we gave up on it", "delay", {"seconds": 30}),
            ("F8", "409 PoolBeingResized", "status", {"status": 409, "code": "PoolBeingResized"}),
        )
    ),
    Row(
        "F12",
        "max_unavailable: the quota is gone on the way back",
        SPARING,
        happens=((fewer, take_the_quota),),
        ends="RefusedError",
        says="could not bring back 1 node of 2 (AccountCoreQuotaReached",
        mends=lambda trial: trial.world.quota.clear(),
    ),
    Row(
        "F14",
        "max_unavailable: grows in the middle of the cycle",
        SPARING,
        happens=((fewer, resize(5)),),
        ends="RefusedError",
        next_ends="RefusedError",
        says="another person or program resized the pool",
        without=FOREIGN,
    ),
    Row(
        "F18",
        "max_unavailable: the canary is unusable",
        replace(SPARING, pool={**SPARING.pool, "simulator": {"allocation": {"state": "unusable", "count": 1}}}),
        ends="RefusedError",
        says="1 old node has left, no other node was touched",
        mends=repair,
    ),
    Row("F24", "max_unavailable: another up in the middle", SPARING, happens=((fewer, another_up),)),
    *(
        Row(fault, f"hold: {name}, on {operation}", HELD, (rule(operation, effect, nth=nth, **more),))
        for operation, nth in (("Pool_DisableAutoScale", 1), ("Pool_EnableAutoScale", 1), ("Pool_Patch", 2))
        for fault, name, effect, more in (
            ("F4", "reset before the commit", "reset", {}),
            ("F5", "closed after the commit", "dropAfter", {}),
            ("F6", "carried out after we gave up on it", "delay", {"seconds": 30}),
            ("F7", "412", "status", {"status": 412}),
        )
    ),
    *(
        Row("F12", f"hold: 400, on {operation}", HELD, (rule(operation, "status", nth=1, status=400),), ends=ends)
        for operation, ends in (
            ("Pool_Patch", "PermanentError"),
            ("Pool_DisableAutoScale", "RefusedError"),
            ("Pool_Resize", "RefusedError"),
            ("Pool_RemoveNodes", "RefusedError"),
            ("Pool_EnableAutoScale", "PermanentError"),
        )
    ),
    Row(
        "F12",
        "hold: quota",
        replace(HELD, more={"quota": {"dedicatedNodes": 2}}),
        ends="RefusedError",
        says="core quota",
        mends=lambda trial: trial.world.quota.clear(),
    ),
    Row(
        "F14",
        "hold: somebody enables another formula in the middle",
        HELD,
        happens=((holding, enable_theirs),),
        ends="RefusedError",
        next_ends="RefusedError",
        says="the rollout began with the formula '$TargetDedicatedNodes=3;' (PT5M), and the pool now has the formula "
        "'$TargetDedicatedNodes=9;'",
        without=FOREIGN,
    ),
    Row(
        "F14",
        "hold: grows in the middle of the cycle",
        HELD,
        happens=((holding, resize(5)),),
        ends="RefusedError",
        next_ends="RefusedError",
        says="its autoscale formula is held, and nothing more was changed",
        without=FOREIGN,
    ),
    Row(
        "F17",
        "hold: a new node is stuck",
        replace(
            HELD,
            pool={
                **HELD.pool,
                "startTask": START_TASK,
                "simulator": {"allocation": {"startTask": "hang", "count": 1}},
            },
        ),
        ends="RefusedError",
        says="the nodes were not ready in time",
    ),
    Row(
        "F18",
        "hold: the new node is unusable",
        replace(HELD, pool={**HELD.pool, "simulator": {"allocation": {"state": "unusable", "count": 1}}}),
        ends="RefusedError",
        says="unusable",
    ),
    Row("F24", "hold: another up in the middle", HELD, happens=((holding, another_up),)),
)

NOT_HERE = {
    **{
        (fault, "empty"): f"as for image, which has the same loop and calls: {what}"
        for fault, what in (
            ("F10", "sizes, formula and version are absolute"),
            ("F19", "nothing rolls back by itself"),
            ("F23", "tests/inprocess/test_crash_points.py"),
            ("F25", "tests/cli/pools"),
            ("F26b", "no image has a star"),
            ("F27", "one module reads pages"),
            ("F28", "test_a_full_disk_and_a_closed_stderr_end_nothing"),
        )
    },
    ("F10", "image"): "no write of a renewal can be refused as already done: a note, a size and node ids are absolute",
    ("F11", "image"): "no call upgrades a VM pool, so no other target can be in flight",
    ("F19", "image"): "a node keeps the image it was made with; nothing rolls back",
    ("F23", "os"): "every moment: tests/inprocess/test_crash_points.py, tests/cli/interruptions/test_crash_matrix.py",
    ("F23", "image"): "as for os",
    ("F25", "os"): "one pool here; tests/cli/main_road/test_many.py has twenty in one up",
    ("F25", "image"): "as for os; tests/cli/interruptions/test_crash_matrix.py has 56 in one up",
    ("F26b", "image"): "a VM pool's image has no star, and its ETag moves with each write",
    ("F27", "image"): "as for os: one module reads pages, and a renewal looks again before each write",
    ("F28", "os"): "test_a_full_disk_and_a_closed_stderr_end_nothing",
    ("F28", "image"): "as for os",
}


@cache
def expected_of(kind: str, *, scaled: bool = False) -> Snapshot:
    """How a run without faults ends."""
    return fault_free({"os": OS, "image": IMAGE, "empty": EMPTY if scaled else FIXED}[kind])[1]


def play(row: Row) -> tuple[Trial, Run, Run]:
    """The row's story: the trial, the run in which it happens, and the next one."""
    trial = Trial(row.shape)
    for name, value in row.unknowns.items():
        trial.world.unknowns.set({name: value})
    trial.preview()
    for each in row.faults:
        trial.faults.add(each)
    left = list(row.happens)

    def moment(_number: int, _name: str) -> None:
        for each in [each for each in left if each[0](trial)]:
            if each in left:
                left.remove(each)
                each[1](trial)

    trial.at_moment = moment
    hit = trial.up()
    assert not left, "it did not happen"
    assert all(rule.fired for rule in trial.faults.rules[:1]), "the fault did not fire"
    trial.at_moment = lambda _number, _name: None
    trial.faults.clear()
    row.mends(trial)
    trial.preview()
    following = trial.up()
    trial.preview()
    trial.up()
    trial.settle()
    return trial, hit, following


def ending(run: Run) -> str:
    """How a run ended."""
    return DONE if run.succeeded else type(run.error or run.outcome).__name__


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_after_a_fault(row: Row) -> None:
    trial, hit, following = play(row)
    assert (ending(hit), ending(following)) == (row.ends, row.next_ends), f"{hit.text}\n\nthen: {following.text}"
    assert row.says in hit.text, hit.text
    wrong = broken(trial.evidence(row.expects(own_end(row)), upgrades=row.upgrades), row.without)
    assert not wrong, wrong
    row.also(trial, hit)


def own_end(row: Row) -> Snapshot:
    """How a run without faults ends: the usual one, but for tasks, target and image that the row has chosen."""
    scaled = bool(row.shape.pool["enableAutoScale"])
    end = expected_of(kind_of(row.shape), scaled=scaled and row.shape.kind == "image")
    end = (
        replace(end, formula=(SCALED["autoScaleFormula"], "PT5M")) if row.shape.autoscale == "hold" and scaled else end
    )
    pin = row.shape.target if end.pin and row.shape.strategy == "empty" else end.pin
    tasks = tuple((f"job-render/t{number}", "completed", 0) for number in range(len(row.shape.tasks)))
    machine = row.shape.pool.get("virtualMachineConfiguration")
    image = (without_version(machine["imageReference"]), machine["nodeAgentSKUId"]) if machine else end.image
    return replace(end, tasks=tasks, versions=(row.shape.target,), pin=pin, image=image)


@pytest.mark.parametrize("shape", SHAPES, ids=kind_of)
def test_a_full_disk_and_a_closed_stderr_end_nothing(shape: Shape, monkeypatch: pytest.MonkeyPatch) -> None:
    """F28. What the CLI itself says is in tests/cli/failures/test_faults.py."""
    closed = io.StringIO()
    closed.close()
    monkeypatch.setenv("BATCH_OS_LOG", "/dev/full")
    trial = Trial(shape)
    with redirect_stderr(closed):
        trial.preview()
        assert trial.up().succeeded
        trial.preview()
    trial.settle()
    assert not broken(trial.evidence(expected_of(kind_of(shape), scaled=shape is EMPTY)))


def test_nothing_of_the_table_is_left_blank() -> None:
    """Every fault, on each kind, has a row or a reason; every invariant, in every row, is asked or has one."""
    faults = [*(f"F{number}" for number in range(1, 29)), "F26b"]
    there = {(row.fault, kind_of(row.shape)) for row in ROWS}
    blank = [
        cell
        for cell in ((fault, kind) for fault in faults for kind in ("os", "image", "empty"))
        if cell not in there and cell not in NOT_HERE
    ]
    assert not blank
    assert not there & set(NOT_HERE)
    for row in ROWS:
        assert set(row.without) <= set(INVARIANTS), row.id
        assert all(row.without.values()), row.id
    left_out = sum(len(row.without) for row in ROWS)
    asked = len(ROWS) * len(INVARIANTS) - left_out
    print(f"{len(ROWS)} rows, {asked} invariants asked, {left_out} do not apply")  # noqa: T201 - with `pytest -s`
    assert asked > 10 * len(ROWS)
