"""Pins the line of a preview of a Cloud Services pool, row by row of the table that `up` follows."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import pytest

from batch_os_provider.batch.pool import AllocationState, Kind, Node, Pool, PoolState
from batch_os_provider.guest_os.version import is_rollback
from batch_os_provider.preview.message_tail import split
from batch_os_provider.preview.plan import Plan, plan_os
from batch_os_provider.rollout.actions import Done, Refuse, Wait
from batch_os_provider.rollout.os_upgrade.decide import History, Upgrade, decide
from batch_os_provider.schema.declared import Gate, Policy
from batch_os_provider.schema.units import Share
from tests.unit.rollout.doubles import OTHER_FAMILY, REF, V24, V25, V26, At, Script, State, body_of, nodes_of
from tests.unit.rollout.stage import play, wanting

S24, S25, S26 = "5.24_201810-01", "5.25_201811-01", "5.26_201812-01"
"""The same versions as a row shows them."""
THEN = "this up waits for it, at most 2h00m, and then upgrades"
STARTED = datetime(2026, 11, 1, tzinfo=UTC)
POOL = Pool(
    ref=REF,
    kind=Kind.CLOUD_SERVICES,
    state=PoolState.ACTIVE,
    state_text="active",
    allocation=AllocationState.STEADY,
    allocation_text="steady",
    os_family="5",
    current_os_version=V24,
    target_os_version=V24,
    changed_at=STARTED,
    node_count=3,
)
FREE = tuple(Node(f"n{number}", "idle", STARTED - timedelta(days=1)) for number in range(3))
BUSY = tuple(replace(node, state="running", running_tasks=2) for node in FREE)
JOINED = {"state": PoolState.UPGRADING, "state_text": "upgrading", "target_os_version": V25}
DEFAULT = Policy()
RESIZING = {"allocation": AllocationState.RESIZING, "allocation_text": "resizing"}


def planned(nodes: tuple[Node, ...] | None = FREE, target: str = V25, policy: Policy = DEFAULT, **changes: Any) -> Plan:
    told = plan_os(replace(POOL, **changes), nodes, target, policy, 7200.0)
    assert isinstance(told, Plan), told
    return told


@pytest.mark.parametrize(
    ("changes", "text", "what", "warnings"),
    [
        ({}, f"3 nodes, no task runs; {S24} -> {S25}", "upgrade", ()),
        ({"nodes": BUSY}, f"3 nodes, 6 running tasks go back to the queue; {S24} -> {S25}", "upgrade", ()),
        ({"nodes": None}, f"3 nodes, running tasks go back to the queue; {S24} -> {S25}", "upgrade", ()),
        ({"nodes": (), "node_count": 0}, f"no nodes; {S24} -> {S25}", "upgrade", ()),
        ({"target": "*"}, f"3 nodes, no task runs; {S24} -> *", "upgrade", ()),
        ({"current_os_version": V25}, f"no change needed; the pool runs {S25}", "adopt", ()),
        ({"current_os_version": V25, **RESIZING}, f"no change needed; the pool runs {S25}", "adopt", ()),
        ({"current_os_version": V26}, f"ROLLBACK: 3 nodes, no task runs; {S26} -> {S25}", "rollback", ("rollback",)),
        ({"current_os_version": "*"}, f"3 nodes, no task runs; * -> {S25}", "upgrade", ()),
        (JOINED, f"0 of 3 nodes back, this up joins the upgrade in flight; {S24} -> {S25}", "join", ()),
        (
            {**JOINED, "nodes": (*FREE[:2], replace(FREE[2], last_boot_time=STARTED + timedelta(minutes=1)))},
            f"1 of 3 nodes back, this up joins the upgrade in flight; {S24} -> {S25}",
            "join",
            (),
        ),
        (
            {**JOINED, "changed_at": None},
            f"3 nodes, this up joins the upgrade in flight; {S24} -> {S25}",
            "join",
            (),
        ),
        (
            {**JOINED, "nodes": None},
            f"3 nodes, this up joins the upgrade in flight; {S24} -> {S25}",
            "join",
            (),
        ),
        (
            {**JOINED, "current_os_version": V26},
            f"ROLLBACK: 0 of 3 nodes back, this up joins the upgrade in flight; {S26} -> {S25}",
            "join",
            ("rollback",),
        ),
        (
            RESIZING,
            f"3 nodes, no task runs; a resize is under way (resizing); {THEN}; {S24} -> {S25}",
            "wait",
            ("resize",),
        ),
        (
            {**JOINED, "target_os_version": V26, "policy": Policy(on_conflict="wait")},
            (
                f"ROLLBACK: 3 nodes, no task runs; another upgrade is in flight ({S24} -> {S26}), {S25} comes after "
                f"it; {THEN}; {S26} -> {S25}"
            ),
            "wait",
            ("rollback", "conflict"),
        ),
        (
            {**JOINED, "target": V24, "policy": Policy(on_conflict="wait")},
            (
                f"ROLLBACK: 3 nodes, no task runs; another upgrade is in flight ({S24} -> {S25}), {S24} comes after "
                f"it; {THEN}; {S25} -> {S24}"
            ),
            "wait",
            ("rollback", "conflict"),
        ),
        (
            {**JOINED, "target": V26, "policy": Policy(on_conflict="wait")},
            (
                f"3 nodes, no task runs; another upgrade is in flight ({S24} -> {S25}), {S26} comes after "
                f"it; {THEN}; {S25} -> {S26}"
            ),
            "wait",
            ("conflict",),
        ),
        (
            {**JOINED, "target_os_version": None, "policy": Policy(on_conflict="wait")},
            (
                f"3 nodes, no task runs; another upgrade is in flight ({S24} -> an unknown version), {S25} comes after "
                f"it; {THEN}; {S24} -> {S25}"
            ),
            "wait",
            ("conflict",),
        ),
        (
            {"current_os_version": V26, **RESIZING, "allocation": AllocationState.STOPPING},
            f"ROLLBACK: 3 nodes, no task runs; a resize is under way (resizing); {THEN}; {S26} -> {S25}",
            "wait",
            ("rollback", "resize"),
        ),
        (
            {"current_os_version": None},
            (
                "3 nodes, no task runs; Batch does not show the pool's OS version (currentOSVersion); "
                f"this up waits for it, at most 2h00m, and then upgrades; an unknown version -> {S25}"
            ),
            "wait",
            ("unknown state",),
        ),
        (
            {"state": PoolState.UNKNOWN, "state_text": "dreaming", "current_os_version": V25},
            f"3 nodes, no task runs; Batch shows state 'dreaming'; {THEN}; {S25}",
            "wait",
            ("unknown state",),
        ),
        (
            {**JOINED, "target": "*", "target_os_version": "*"},
            f"0 of 3 nodes back, this up joins the upgrade in flight; {S24} -> *",
            "join",
            (),
        ),
        (
            {**JOINED, "nodes": (), "node_count": 0},
            f"no nodes, this up joins the upgrade in flight; {S24} -> {S25}",
            "join",
            (),
        ),
        ({"nodes": None, "node_count": 0}, f"no nodes; {S24} -> {S25}", "upgrade", ()),
        ({"nodes": BUSY[:1]}, f"1 node, 2 running tasks go back to the queue; {S24} -> {S25}", "upgrade", ()),
        (
            {"nodes": (replace(BUSY[0], running_tasks=1),)},
            f"1 node, 1 running task goes back to the queue; {S24} -> {S25}",
            "upgrade",
            (),
        ),
        ({"current_os_version": V25.lower()}, f"no change needed; the pool runs {S25}", "adopt", ()),
        (
            {"state": PoolState.UNKNOWN, "state_text": "dreaming"},
            f"3 nodes, no task runs; Batch shows state 'dreaming'; {THEN}; {S24} -> {S25}",
            "wait",
            ("unknown state",),
        ),
    ],
)
def test_the_lines(changes: dict[str, Any], text: str, what: str, warnings: tuple[str, ...]) -> None:
    told = planned(**changes)
    assert (told.text, told.what, told.warnings) == (text, what, warnings)


def test_programs_get_the_same() -> None:
    tail = planned(BUSY)
    assert (tail.pool, tail.kind, tail.what, tail.came_from, tail.target) == (REF.url, "os", "upgrade", V24, V25)
    assert (tail.nodes, tail.tasks, tail.back, tail.behind) == (3, 6, None, None)
    assert planned(None).tasks is None, "the nodes are not known"
    unseen = planned(current_os_version=None)
    assert (unseen.what, unseen.came_from) == ("wait", ""), "what is not known is left out, not described"
    behind = planned(**JOINED, target=V24, policy=Policy(on_conflict="wait"))
    assert behind.came_from == V24, "the version that runs, whatever the upgrade will start from"
    assert planned(**JOINED).back == 0
    assert planned(**JOINED, nodes=None).back is None


@pytest.mark.parametrize(
    ("came_from", "target", "expected"),
    [
        (V25, V24, True),
        (V24, V25, False),
        (V25, V25, False),
        ("WA-GUEST-OS-5.9_201801-01", "WA-GUEST-OS-5.10_201802-01", False),
        ("WA-GUEST-OS-6.1_201801-01", V25, False),
        ("*", V25, False),
        (V25, "*", False),
        (None, V25, False),
        ("", V25, False),
    ],
)
def test_a_rollback_is_an_older_version_of_the_same_family(came_from: str | None, target: str, expected: bool) -> None:
    assert is_rollback(came_from, target) is expected


def test_the_line_never_promises_what_an_up_would_not_do() -> None:
    """Every view against the table: refused here if and only if refused there, and the same kind of action."""
    kinds = {Done: {"adopt"}, Upgrade: {"upgrade", "rollback"}, Wait: {"join", "wait"}}
    views = product(Kind, PoolState, AllocationState, (V24, V25, V26, None), (V25, V26, None), ("4", "5", None))
    for kind, state, allocation, current, aim, family in views:
        pool = replace(
            POOL,
            kind=kind,
            state=state,
            state_text=state.value,
            allocation=allocation,
            allocation_text=allocation.value,
            current_os_version=current,
            target_os_version=aim,
            os_family=family,
        )
        for resize, conflict in product(("wait", "fail"), ("wait", "fail")):
            policy = Policy(if_resizing=resize, on_conflict=conflict)  # type: ignore[arg-type]
            action = decide(pool, V25, policy, History(), 0.0)
            told = plan_os(pool, FREE, V25, policy, 60.0)
            if isinstance(action, Refuse):
                assert told == action
            else:
                assert isinstance(told, Plan)
                assert told.what in kinds[type(action)]
                assert_fits(told, pool)


def assert_fits(told: Plan | Refuse, pool: Pool) -> None:
    """What holds of every line, whatever the view."""
    assert isinstance(told, Plan)
    sentence, tail = split(f"{told.text} {told}")
    assert tail is not None
    assert (sentence, str(tail)) == (told.text, str(told))
    assert "None" not in told.text
    # A terminal cuts the end: what changes stands first, and the versions, without what they share, last.
    assert "WA-GUEST-OS-" not in told.text
    assert told.text.endswith(f"{S25}"), told.text
    if told.what != "adopt":
        assert not told.text.removeprefix("ROLLBACK: ").startswith(("5.", "an unknown")), told.text
    assert told.came_from == (pool.current_os_version or "")
    assert (told.target, told.nodes, told.behind) == (V25, 3, None)
    assert ("rollback" in told.warnings) == told.text.startswith("ROLLBACK: ")
    assert (told.what == "rollback") <= ("rollback" in told.warnings)
    assert (told.what == "wait") == ("this up waits for it, at most 1m00s" in told.text)
    assert (told.back is not None) == (told.what == "join")


@pytest.mark.parametrize("nodes", [None, (), FREE, BUSY], ids=["unlisted", "none", "free", "busy"])
@pytest.mark.parametrize("changes", [{}, JOINED, RESIZING, {"state": PoolState.DELETING}, {"kind": Kind.VM}])
def test_the_nodes_are_comfort_and_decide_nothing(changes: dict[str, Any], nodes: tuple[Node, ...] | None) -> None:
    pool = replace(POOL, **changes)
    told, with_nodes = (plan_os(pool, each, V25, DEFAULT, 60.0) for each in (FREE, nodes))
    if isinstance(told, Refuse):
        assert with_nodes == told
    else:
        assert isinstance(with_nodes, Plan)
        assert (with_nodes.what, with_nodes.change, with_nodes.warnings) == (told.what, told.change, told.warnings)


def test_the_refusals_are_those_of_the_table_word_for_word() -> None:
    for changes, word in (
        ({"state": PoolState.DELETING}, "being deleted"),
        ({"kind": Kind.VM}, "it is a VM pool"),
        ({"kind": Kind.UNKNOWN}, "neither"),
        ({"os_family": "4"}, "of OS family 4"),
        ({**JOINED, "target_os_version": V26}, "cannot cancel or reverse"),
    ):
        told = plan_os(replace(POOL, **changes), None, V25, DEFAULT, 60.0)  # type: ignore[arg-type]
        assert isinstance(told, Refuse)
        assert word in told.reason


STEADY_AGAIN = Script(events=(At(60.0, {"allocation": "steady"}),), upgrade_takes=60.0)
IN_FLIGHT = {"state": "upgrading", "upgrade_began": -30.0, "upgrade_ends": 60.0}
SOAKS = "the newest boot was 24h00m ago, soak is 48h00m"
WAITS = Policy(on_conflict="wait")


@pytest.mark.parametrize(
    ("state", "target", "policy", "what", "posts"),
    [
        (State(), V25, DEFAULT, "upgrade", [V25]),
        (State(nodes=0), V25, DEFAULT, "upgrade", [V25]),
        (State(), "*", DEFAULT, "upgrade", ["*"]),
        (State(current="*", target="*"), V25, DEFAULT, "upgrade", [V25]),
        (State(current="*", target="*"), "*", DEFAULT, "adopt", []),
        (State(current=V26, target=V26), V25, DEFAULT, "rollback", [V25]),
        (State(current=V25, target=V25), V25, DEFAULT, "adopt", []),
        (State(current=V25, target=V25, allocation="resizing"), V25, Policy(if_resizing="fail"), "adopt", []),
        (State(target=V25, **IN_FLIGHT), V25, DEFAULT, "join", []),
        (State(target=V26, **IN_FLIGHT), V25, WAITS, "wait", [V25]),
        (State(target=V25, **IN_FLIGHT), V24, WAITS, "wait", [V24]),
        (State(target=V26, **IN_FLIGHT), V25, DEFAULT, "refused", []),
        (State(allocation="resizing"), V25, DEFAULT, "wait", [V25]),
        (State(allocation="stopping"), V25, DEFAULT, "wait", [V25]),
        (State(allocation="resizing"), V25, Policy(if_resizing="fail"), "refused", []),
        (State(state="deleting"), V25, DEFAULT, "refused", []),
        (State(current=None, target=None, family=None, vm_image={"sku": "2022"}), V25, DEFAULT, "refused", []),
        (State(), OTHER_FAMILY, DEFAULT, "refused", []),
    ],
    ids=lambda value: getattr(value, "state", None),
)
def test_an_up_does_what_its_preview_said(
    state: State, target: str, policy: Policy, what: str, posts: list[str]
) -> None:
    """The same pool, first as a preview shows it, then lived through by a rollout."""
    seen = Pool.from_json(REF, body_of(state))
    told = plan_os(seen, nodes_of(state, 0.0, 60.0), target, policy, 7200.0)
    played = play(state, STEADY_AGAIN, goal=wanting(target=target, policy=policy))
    assert played.service.upgrades == posts
    if isinstance(told, Refuse):
        assert what == "refused"
        assert told.reason.removesuffix(".") in played.text.replace("20348.2402.240402", "<exact version>")
    else:
        assert told.what == what
        assert played.end.pool.current_os_version == target


JUDGED = {"current_os_version": V25, "gate": Gate(Share(0), 86400.0 * 2), "at": STARTED}
WELL, RUNS = "no change needed", f"the pool runs {S25}"
FAILS = "this up fails unless this changes"
SOAKS = "the newest boot was 24h00m ago, soak is 48h00m"
WAITS = "this up waits for it, at most 2h00m, and writes nothing"
SICK = replace(FREE[1], state="unusable", error="AgentLost")


@pytest.mark.parametrize(
    ("changes", "text", "what", "warnings"),
    [
        ({"gate": Gate(Share(0))}, f"{WELL}; 0 of 3 nodes are unhealthy, max_unhealthy 0; {RUNS}", "adopt", ()),
        (
            {"nodes": (SICK, *FREE[1:])},
            f"1 of 3 nodes is unhealthy, max_unhealthy 0: n1 is unusable (AgentLost); {FAILS}; {RUNS}",
            "adopt",
            ("unhealthy",),
        ),
        (
            {},
            f"0 of 3 nodes are unhealthy, max_unhealthy 0; {SOAKS}; {WAITS}; {RUNS}",
            "wait",
            (),
        ),
        (
            {"nodes": (*FREE[:2], replace(FREE[2], state="starting"))},
            f"0 of 3 nodes are unhealthy, max_unhealthy 0, 1 not ready yet; {WAITS}; {RUNS}",
            "wait",
            (),
        ),
        ({"nodes": None}, f"{WELL}; this up checks its nodes, which the preview could not list; {RUNS}", "adopt", ()),
        ({"nodes": (), "node_count": 0}, f"{WELL}; {RUNS}", "adopt", ()),
    ],
)
def test_a_pool_at_its_target_whose_nodes_have_to_be_well(
    changes: dict[str, Any], text: str, what: str, warnings: tuple[str, ...]
) -> None:
    wanted = {"nodes": FREE, **JUDGED, **changes}
    nodes, gate, at = (wanted.pop(name) for name in ("nodes", "gate", "at"))
    told = plan_os(replace(POOL, **wanted), nodes, V25, DEFAULT, 7200.0, gate=gate, at=at)
    assert isinstance(told, Plan)
    assert (told.text, told.what, told.warnings) == (text, what, warnings)


def test_what_is_asked_of_the_nodes_changes_no_other_plan() -> None:
    for nodes in (FREE, BUSY, None):
        told = plan_os(POOL, nodes, V25, DEFAULT, 7200.0, gate=Gate(Share(0), 3600.0), at=STARTED)
        assert told == plan_os(POOL, nodes, V25, DEFAULT, 7200.0)
