"""Pins the line of a preview: word for word as designed, and never more than an `up` would do."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from batch_os_provider.batch.vm_pool import MARKER, Marker
from batch_os_provider.batch.vm_target import AllocatedSince, ImageVersion, Target
from batch_os_provider.preview.message_tail import split
from batch_os_provider.preview.plan import Plan, plan_image
from batch_os_provider.rollout.actions import Refuse
from batch_os_provider.schema.declared import ImagePolicy
from batch_os_provider.schema.units import Share
from tests.unit.rollout.doubles import REF
from tests.unit.rollout.image_renewal.image_doubles import (
    MOMENTS,
    OLD,
    TARGET,
    WANTED,
    Machine,
    TargetKind,
    VmState,
    both_kinds,
    look,
    play_image,
    pool_of,
)

NOTE = ((MARKER, str(Marker(2, 1, "2018-11-30T12:00:01.000000Z"))),)


def told(state: VmState, strategy: str = "surge", surge: int | Share = 1, target: ImageVersion = WANTED) -> str:
    """The line."""
    told = plan_image(look(state), target, ImagePolicy(strategy, surge), 7200.0)  # type: ignore[arg-type]
    assert isinstance(told, Plan), told
    return told.text


def test_the_line_of_the_design_word_for_word() -> None:
    state = pool_of(17, busy=dict.fromkeys(range(17), 900.0), at="20348.2402")
    fine = tuple(Machine(f"fine-{index}", "20348.2461", -9.0) for index in range(3))
    # 17 of the nodes that are behind run a task each; the design's example has 31.
    assert told(
        replace(state, nodes=state.nodes + fine, size=20), surge=2, target=ImageVersion.parse("20348.2461")
    ) == (
        "17 of 20 nodes behind, 17 running tasks, none will be stopped; "
        "surge 2: 9 rounds, +2 nodes at a time; 20348.2402 -> 20348.2461"
    )


SINCE = MOMENTS.target
BEHIND = "2 of 2 nodes behind, 0 running tasks, none will be stopped; surge 1: 2 rounds, +1 node at a time"


def of_moments(state: VmState, target: Target = SINCE, strategy: str = "surge") -> Plan:
    """The plan for a pool whose nodes show ``latest``."""
    plan = plan_image(MOMENTS.look(state), target, ImagePolicy(strategy), 7200.0)  # type: ignore[arg-type]
    assert isinstance(plan, Plan), plan
    return plan


@pytest.mark.parametrize(
    ("state", "strategy", "text"),
    [
        (pool_of(2), "surge", f"{BEHIND}; allocated since 2018-11-30 -> 2018-12-01"),
        (
            pool_of(2, version=OLD),
            "surge",
            f"{BEHIND}; the pool stays pinned to {OLD}; allocated since 2018-11-30 -> 2018-12-01",
        ),
        (
            pool_of(3, autoscale=True),
            "when_empty",
            (
                "3 of 3 nodes behind; this up waits, at most 2h00m, and writes nothing; "
                "allocated since 2018-11-30 -> 2018-12-01"
            ),
        ),
        (
            pool_of(2, allocation="resizing"),
            "surge",
            (
                "2 of 2 nodes behind; a resize is under way (resizing); this up waits, at most 2h00m; "
                "allocated since 2018-11-30 -> 2018-12-01"
            ),
        ),
        (pool_of(2, at=TARGET), "surge", "no change needed; all 2 nodes were allocated since 2018-12-01"),
        (pool_of(1, at=TARGET, version=OLD), "surge", "no change needed; 1 node was allocated since 2018-12-01"),
        (pool_of(0), "surge", "no change needed; it has no nodes"),
    ],
)
def test_the_lines_of_a_moment(state: VmState, strategy: str, text: str) -> None:
    assert of_moments(state, strategy=strategy).text == text


@pytest.mark.parametrize(
    ("since", "change"),
    [
        ("2018-12-01", "2018-11-30 -> 2018-12-01"),
        ("2018-12-01T06:30:00Z", "2018-11-30 -> 2018-12-01T06:30:00Z"),
        ("2018-11-30T12:00:01Z", "2018-11-30T12:00:00Z -> 2018-11-30T12:00:01Z"),
    ],
)
def test_a_row_shows_days_where_they_are_enough(since: str, change: str) -> None:
    assert of_moments(pool_of(1), AllocatedSince.parse(since)).change == f"allocated since {change}"


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (pool_of(3), {"what": "renew", "oldest": "2018-11-30T12:00:00Z", "nodes": 3, "behind": 3, "tasks": 0}),
        (pool_of(2, at=TARGET), {"what": "adopt", "oldest": "2018-12-01T11:00:00Z", "nodes": 2, "behind": 0}),
        (
            pool_of(1, version=OLD),
            {
                "what": "renew",
                "oldest": "2018-11-30T12:00:00Z",
                "nodes": 1,
                "behind": 1,
                "tasks": 0,
                "warnings": ["pinned"],
            },
        ),
        (pool_of(0), {"what": "adopt", "nodes": 0, "behind": 0}),
    ],
)
def test_the_tail_of_a_moment_has_keys_of_its_own(state: VmState, expected: dict[str, object]) -> None:
    tail = str(of_moments(state))
    body = json.loads(tail.removeprefix("[batch-os v1 ").removesuffix("]"))
    assert body == {"pool": REF.url, "kind": "image", "since": "2018-12-01", **expected}
    _, read = split(f"{tail}")
    assert read is not None
    assert (read.oldest, read.since) == (expected.get("oldest", ""), "2018-12-01")
    assert (read.came_from, read.target) == ("", "")


@both_kinds
@pytest.mark.parametrize("fate", ["deallocated", "idle"])
def test_a_stopped_node_is_said_in_the_words_of_the_target(kind: TargetKind, fate: str) -> None:
    state = pool_of(2)
    state = replace(state, nodes=(replace(state.nodes[0], fate=fate), state.nodes[1]))
    plan = plan_image(kind.look(state), kind.target, ImagePolicy("surge"), 7200.0)
    assert isinstance(plan, Plan)
    older = "it has an older image version" if kind.by_version else "it was allocated before 2018-12-01"
    assert (f"1 deallocated node not changed: old-00; {older}. To renew" in plan.text) == (fate == "deallocated")


def test_an_empty_pool_that_is_repinned() -> None:
    text = told(pool_of(0, version=OLD))
    assert text == f"the pinned pool is empty: this up re-pins it; {OLD} -> {TARGET}"


def test_a_pinned_pool_with_nodes_waits() -> None:
    assert told(pool_of(12, version=OLD), "when_empty") == (
        f"the pinned pool holds 12 nodes: this up waits until it is empty, at most 2h00m; {OLD} -> {TARGET}"
    )


@pytest.mark.parametrize(
    ("state", "text"),
    [
        (pool_of(2, at=TARGET), f"no change needed; all 2 nodes run {TARGET} or newer"),
        (pool_of(1, at=TARGET), f"no change needed; 1 node runs {TARGET} or newer"),
        (pool_of(0), "no change needed; it has no nodes"),
    ],
)
def test_nothing_to_do(state: VmState, text: str) -> None:
    assert told(state) == text


def test_waiting_writes_nothing_and_says_so() -> None:
    assert told(pool_of(3), "when_empty") == (
        f"3 of 3 nodes behind; this up waits, at most 2h00m, and writes nothing; {OLD} -> {TARGET}"
    )


@pytest.mark.parametrize(
    "state",
    [
        pool_of(2, version=OLD),
        pool_of(2, autoscale=True),
        pool_of(2, at="rolling"),
        pool_of(2, state="deleting"),
        pool_of(2, automatic=True),
    ],
    ids=["pinned", "autoscale", "unreadable", "deleting", "automatic"],
)
def test_what_up_refuses_is_refused_here_in_the_same_words(state: VmState) -> None:
    refusal = plan_image(look(state), WANTED, ImagePolicy("surge"), 7200.0)
    assert isinstance(refusal, Refuse)
    assert refusal.reason in play_image(state).text


@pytest.mark.parametrize(("count", "surge"), [(1, 1), (5, 2), (9, 4)])
def test_the_rounds_are_those_that_an_up_makes(count: int, surge: int) -> None:
    assert f"surge {surge}: {play_image(pool_of(count), surge=surge).writes.count('remove')} round" in told(
        pool_of(count), surge=surge
    )


def test_a_share_of_the_pool_is_named_as_declared_with_what_it_means() -> None:
    assert "surge 25%: 4 rounds, +6 nodes at a time" in told(pool_of(21), surge=Share(25, percent=True))


def test_no_more_nodes_are_announced_than_are_added() -> None:
    """One node is behind: surge 2 adds one."""
    assert "+1 node at a time" in told(pool_of(1), surge=2)


def test_when_empty_announces_no_rounds_while_somebody_resizes() -> None:
    text = told(pool_of(2, allocation="resizing"), "when_empty")
    assert "rounds" not in text
    assert "surge" not in text


def test_nothing_behind_announces_no_rounds_while_somebody_resizes() -> None:
    assert "rounds" not in told(pool_of(2, at=TARGET, allocation="resizing"))


def test_nothing_behind_but_a_note_left_announces_no_rounds() -> None:
    assert "rounds" not in told(pool_of(2, at=TARGET, metadata=NOTE))


def test_a_cycle_that_an_up_would_undo_is_not_announced_as_going_on() -> None:
    """An earlier run has left a note at size + 1 and an allocation error: `up` undoes it and fails."""
    state = replace(pool_of(2, metadata=NOTE, errors=("AccountCoreQuotaReached: full",)), size=3)
    text = plan_image(look(state), WANTED, ImagePolicy("surge"), 7200.0)
    assert "rounds" not in str(text)


def test_the_rounds_of_a_cycle_found_half_way_are_those_of_its_note() -> None:
    """The note's surge of 1 goes on, whatever is declared now."""
    assert "2 rounds, +1 node" in told(pool_of(2, metadata=NOTE), surge=2)
