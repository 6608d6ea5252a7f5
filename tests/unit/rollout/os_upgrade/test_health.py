"""Pins the table that judges a pool's nodes, and the watch that knows how long they have been as they are."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_os_provider.batch.pool import Node
from batch_os_provider.rollout.os_upgrade.health import (
    Failed,
    Passed,
    Settling,
    Soaking,
    Verdict,
    age_of,
    judge,
    newest_boot,
    unhealthy,
)
from batch_os_provider.rollout.os_upgrade.node_tracker import NodeTracker
from batch_os_provider.schema.declared import NO_GATE, Gate
from batch_os_provider.schema.units import Share
from tests.unit.rollout.doubles import at
from tests.unit.rollout.stage import quick

NONE = Gate(max_unhealthy=Share(0))
ONE, TENTH = Gate(Share(1)), Gate(Share(10, percent=True))
HOUR = Gate(soak=3600.0)
BOTH = Gate(max_unhealthy=Share(0), soak=3600.0)
STATES = (
    "idle",
    "running",
    "offline",
    "unusable",
    "starttaskfailed",
    "leavingpool",
    "preempted",
    "creating",
    "starting",
    "waitingforstarttask",
    "reimaging",
    "rebooting",
    "unknown",
    "defragmenting",
)


def nodes(*states: str) -> tuple[Node, ...]:
    return tuple(Node(f"tvm-{number}", state, at(number)) for number, state in enumerate(states))


@pytest.mark.parametrize(
    ("states", "gate", "age", "kind", "why"),
    [
        # No gate: reported only, whatever they are.
        (("unusable", "unusable"), NO_GATE, 0.0, Passed, "2 of 2 nodes are unhealthy"),
        (("unknown",), NO_GATE, 0.0, Passed, "0 of 1 nodes are unhealthy"),
        # More than allowed, whatever else.
        (("idle", "unusable"), NONE, 1e9, Failed, "1 of 2 nodes is unhealthy, max_unhealthy 0"),
        (("starttaskfailed", "starting"), NONE, 0.0, Failed, "1 of 2 nodes is unhealthy, max_unhealthy 0"),
        (("unusable",), BOTH, 3600.0, Failed, "1 of 1 nodes is unhealthy, max_unhealthy 0"),
        # As many as allowed.
        (("unusable", "idle"), ONE, 0.0, Passed, "1 of 2 nodes is unhealthy, max_unhealthy 1"),
        (("idle",) * 9, TENTH, 0.0, Passed, "0 of 9 nodes are unhealthy, max_unhealthy 10% (0)"),
        (("unusable", *("idle",) * 9), TENTH, 0.0, Passed, "1 of 10 nodes is unhealthy, max_unhealthy 10% (1)"),
        # On their way: it hangs on them, or it does not.
        (("idle", "starting"), NONE, 0.0, Settling, "0 of 2 nodes are unhealthy, max_unhealthy 0, 1 not ready yet"),
        (("unknown", "odd"), NONE, 0.0, Settling, "0 of 2 nodes are unhealthy, max_unhealthy 0, 2 not ready yet"),
        (("idle", "starting"), ONE, 0.0, Passed, "0 of 2 nodes are unhealthy, max_unhealthy 1"),
        (("idle", "starting"), HOUR, 1e9, Settling, "0 of 2 nodes are unhealthy, 1 not ready yet"),
        # Rest is rest.
        (("idle", "running", "offline", "preempted", "leavingpool"), NONE, 0.0, Passed, "0 of 5 nodes are unhealthy"),
        # Soak.
        (("idle",), BOTH, 600.0, Soaking, "max_unhealthy 0; the newest boot was 10m00s ago, soak is 1h00m"),
        (("idle",), BOTH, 3600.0, Passed, "0 of 1 nodes are unhealthy, max_unhealthy 0"),
        (("unusable",), HOUR, 3600.0, Passed, "1 of 1 nodes is unhealthy"),
        # Nothing to judge.
        ((), BOTH, 0.0, Passed, "no nodes"),
    ],
)
def test_the_table(states: tuple[str, ...], gate: Gate, age: float, kind: type[Verdict], why: str) -> None:
    verdict = judge(nodes(*states), gate, age)
    assert type(verdict) is kind
    assert why in verdict.why
    if isinstance(verdict, Failed):
        assert verdict.nodes == unhealthy(nodes(*states))
    if isinstance(verdict, Soaking):
        assert verdict.left == gate.soak - age


@pytest.mark.parametrize("state", STATES)
def test_a_failed_start_task_is_unhealthy_where_the_node_stays(state: str) -> None:
    (node,) = nodes(state)
    by_state = state in ("unusable", "starttaskfailed")
    assert bool(unhealthy([node])) is by_state
    failed = replace(node, start_task_failed=True)
    # A node that starts again still shows the result of its last boot.
    assert bool(unhealthy([failed])) is (by_state or state in ("idle", "running", "offline"))


def test_unhealthy_nodes_come_with_those_first_that_say_why() -> None:
    silent, loud = nodes("unusable", "starttaskfailed")
    assert unhealthy((silent, replace(loud, error="FailureExitCode"))) == (
        replace(loud, error="FailureExitCode"),
        silent,
    )


@pytest.mark.parametrize(
    ("info", "failed"),
    [
        ({"state": "completed", "result": "failure", "failureInfo": {"code": "FailureExitCode"}}, True),
        ({"state": "completed", "result": "failure"}, True),
        ({"state": "completed", "failureInfo": {"code": "BlobNotFound"}}, True),
        ({"state": "completed", "result": "success"}, False),
        ({"state": "completed", "result": "success", "failureInfo": None}, False),
        ({"state": "running", "result": "failure", "retryCount": 1, "failureInfo": {"code": "x"}}, False),
        ({}, False),
        ("odd", False),
    ],
)
def test_how_a_start_task_ended_is_read(info: Any, failed: bool) -> None:
    assert Node.from_json({"id": "n", "state": "idle", "startTaskInfo": info}).start_task_failed is failed


def test_the_newest_boot_is_that_of_a_node_that_stays() -> None:
    first, second, third = nodes("idle", "unusable", "leavingpool")
    assert newest_boot((first, second, third)) == at(1)
    assert newest_boot((third, replace(first, last_boot_time=None))) is None
    assert age_of((first, second), at(61)) == 60.0
    assert age_of((first,), at(-5)) == 0.0, "a clock that is behind"
    assert age_of((first, second), at(61), since=at(11)) == 50.0, "a list from before the upgrade"
    assert age_of((first, second), at(61), since=at(-11)) == 60.0
    assert age_of((first,), None) == age_of((), at(0)) == 0.0


def test_the_watch_knows_an_age_by_either_clock() -> None:
    watch = NodeTracker(0.0)
    watch.take(nodes("idle", "idle"), 0.0)
    assert watch.age(at(101)) == 100.0
    watch.take(nodes("idle", "running"), 30.0)
    assert watch.age(None) == watch.age(at(-999)) == 30.0, "seen standing, whatever the service's clock says"
    watch.take(nodes("idle", "idle", "idle"), 60.0)
    assert watch.age(None) == 0.0, "a node has booted since"


def test_the_watch_counts_idleness_up_to_the_last_list() -> None:
    watch = NodeTracker(0.0)
    assert watch.idle == 0.0
    watch.take(nodes("reimaging", "idle"), 10.0)
    watch.take(nodes("reimaging", "running"), 40.0)
    assert watch.idle == 30.0, "a task has begun, no node has moved"
    watch.take(nodes("starting", "running"), 70.0)
    assert watch.idle == 0.0
    watch.take((), 100.0)
    watch.take((), 900.0)
    assert watch.idle == 0.0, "there are none to move"


some_nodes = st.lists(
    st.builds(
        Node,
        st.text("ab", max_size=2),
        st.sampled_from(STATES),
        st.none() | st.integers(-99, 99).map(at),
        start_task_failed=st.booleans(),
    ),
    max_size=8,
).map(tuple)


@given(some_nodes, st.sampled_from([Share(0), Share(1), Share(50, percent=True)]), st.floats(0, 1e5))
@quick
def test_a_gate_never_passes_with_more_than_allowed_and_never_fails_with_less(
    seen: tuple[Node, ...], most: Share, age: float
) -> None:
    too_many = len(unhealthy(seen)) > most.of(len(seen))
    for soak in (0.0, 3600.0):
        verdict = judge(seen, Gate(most, soak), age)
        assert isinstance(verdict, Failed) is too_many
        if isinstance(verdict, Passed) and soak and seen:
            assert age >= soak


@given(some_nodes, st.floats(0, 1e5))
@quick
def test_without_a_gate_everything_passes(seen: tuple[Node, ...], age: float) -> None:
    assert isinstance(judge(seen, NO_GATE, age), Passed)


def test_what_is_declared_is_a_gate() -> None:
    assert [gate.is_declared for gate in (NO_GATE, NONE, HOUR, BOTH)] == [False, True, True, True]
