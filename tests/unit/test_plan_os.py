"""Pins the line of a preview of a Cloud Services pool, row by row of the table that `up` follows."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from itertools import product
from typing import Any

import pytest

from batch_os_provider.decide import Done, History, Policy, Refuse, Upgrade, Wait, decide
from batch_os_provider.plan import Plan, is_rollback, plan_os
from batch_os_provider.pool import AllocationState, Kind, Node, Pool, PoolState
from tests.unit.doubles import REF, V24, V25, V26

STARTED = datetime(2026, 11, 1, tzinfo=timezone.utc)
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
        ({}, f"{V24} -> {V25}: 3 nodes, no task runs", "upgrade", ()),
        ({"nodes": BUSY}, f"{V24} -> {V25}: 3 nodes, 6 running tasks go back to the queue", "upgrade", ()),
        ({"nodes": None}, f"{V24} -> {V25}: 3 nodes, whose running tasks go back to the queue", "upgrade", ()),
        ({"nodes": (), "node_count": 0}, f"{V24} -> {V25}: no nodes", "upgrade", ()),
        ({"target": "*"}, f"{V24} -> *: 3 nodes, no task runs", "upgrade", ()),
        ({"current_os_version": V25}, f"adopts without a write: it runs {V25}", "adopt", ()),
        ({"current_os_version": V25, **RESIZING}, f"adopts without a write: it runs {V25}", "adopt", ()),
        ({"current_os_version": V26}, f"ROLLBACK {V26} -> {V25}: 3 nodes, no task runs", "rollback", ("rollback",)),
        ({"current_os_version": "*"}, f"* -> {V25}: 3 nodes, no task runs", "upgrade", ()),
        (JOINED, f"{V24} -> {V25}: 0 of 3 nodes back, this up joins the upgrade in flight", "join", ()),
        (
            {**JOINED, "nodes": (*FREE[:2], replace(FREE[2], last_boot_time=STARTED + timedelta(minutes=1)))},
            f"{V24} -> {V25}: 1 of 3 nodes back, this up joins the upgrade in flight",
            "join",
            (),
        ),
        (
            {**JOINED, "changed_at": None},
            f"{V24} -> {V25}: 3 nodes, this up joins the upgrade in flight",
            "join",
            (),
        ),
        (
            {**JOINED, "nodes": None},
            f"{V24} -> {V25}: 3 nodes, this up joins the upgrade in flight",
            "join",
            (),
        ),
        (
            {**JOINED, "current_os_version": V26},
            f"ROLLBACK {V26} -> {V25}: 0 of 3 nodes back, this up joins the upgrade in flight",
            "join",
            ("rollback",),
        ),
        (
            RESIZING,
            (
                f"{V24} -> {V25}: 3 nodes, no task runs; a resize is under way (resizing); this up waits for it, "
                "at most 2h00m, and upgrades then"
            ),
            "wait",
            ("resize",),
        ),
        (
            {**JOINED, "target_os_version": V26, "policy": Policy(on_conflict="wait")},
            (
                f"{V24} -> {V25}: 3 nodes, no task runs; an upgrade {V24} -> {V26} is in flight, {V25} comes after it; "
                "this up waits for it, at most 2h00m, and upgrades then"
            ),
            "wait",
            ("conflict",),
        ),
        (
            {"state": PoolState.UNKNOWN, "state_text": "dreaming"},
            (
                f"{V24} -> {V25}: 3 nodes, no task runs; Batch shows state 'dreaming'; this up waits for it, "
                "at most 2h00m, and upgrades then"
            ),
            "wait",
            ("unknown state",),
        ),
    ],
)
def test_the_lines(changes: dict[str, Any], text: str, what: str, warnings: tuple[str, ...]) -> None:
    told = planned(**changes)
    assert (told.text, told.what, told.warnings) == (text, what, warnings)


def test_programs_get_the_same() -> None:
    tail = planned(BUSY).tail(REF.url, "os")
    assert (tail.pool, tail.kind, tail.what, tail.came_from, tail.target) == (REF.url, "os", "upgrade", V24, V25)
    assert (tail.nodes, tail.tasks, tail.back, tail.behind) == (3, 6, None, None)
    assert planned(None).tail(REF.url, "os").tasks is None, "nobody has counted them"
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
