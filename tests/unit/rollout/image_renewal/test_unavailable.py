"""Pins ``max_unavailable``: old nodes leave first, so few that enough take tasks, and each step is proven as ever."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_os_provider.batch.image_version import parse_image_version
from batch_os_provider.batch.vm_pool import MARKER, Marker
from batch_os_provider.errors import DeadlineError, RefusedError
from batch_os_provider.preview.plan import Plan, plan_image
from batch_os_provider.rollout.image_renewal.surge_view import rounds
from batch_os_provider.schema.declared import ImagePolicy
from batch_os_provider.schema.units import Share
from tests.support.examples import examples
from tests.unit.rollout.image_renewal.image_doubles import (
    NEWER,
    OLD,
    TARGET,
    WANTED,
    FakeVmService,
    ImagePlay,
    Killed,
    Machine,
    TargetKind,
    VmScript,
    VmState,
    When,
    both_kinds,
    is_as_before,
    look,
    play_image,
    pool_of,
    renew,
)

HOUR = 3600.0


def with_spot(state: VmState, spot: int, version: str = OLD) -> VmState:
    """The same pool with so many spot nodes."""
    nodes = tuple(Machine(f"spot-{index:02d}", version, -86000.0 + index, dedicated=False) for index in range(spot))
    return replace(state, nodes=state.nodes + nodes, spot=spot)


def steps_of(played: ImagePlay) -> str:
    """The sizes that were asked for, and as ``r2`` the numbers of nodes that were asked to leave, in order."""
    took = [each for each in played.service.took if "mark" not in each[0]]
    return " ".join(f"r{len(what)}" if step == "remove" else str(what) for step, what in took)


@both_kinds
@examples(40)
@given(
    count=st.integers(0, 10),
    spot=st.integers(0, 4),
    surge=st.integers(0, 3),
    unavailable=st.integers(1, 4),
    fine=st.integers(0, 3),
    busy=st.lists(st.floats(0, 3000), max_size=10),
    works=st.floats(0, 2000),
    restored=st.booleans(),
)
def test_any_pool_ends_done_with_its_sizes_in_the_rounds_of_the_preview(
    kind: TargetKind,
    count: int,
    spot: int,
    surge: int,
    unavailable: int,
    fine: int,
    busy: list[float],
    works: float,
    restored: bool,
) -> None:
    behind = pool_of(count, busy=dict(enumerate(busy)))
    good = tuple(Machine(f"good-{index}", NEWER, -500.0) for index in range(fine))
    state = with_spot(replace(behind, nodes=behind.nodes + good, size=count + fine), spot)
    script = VmScript(busy=lambda _number: works, target_restored=restored)
    played = play_image(state, script, surge=surge, max_unavailable=unavailable, kind=kind)
    assert not played.end.deferred
    service = played.service
    assert is_as_before(service, count + fine)
    assert service.state.spot == len(service.state.nodes) - len(service.state.dedicated) == spot
    assert all((parse_image_version(node.version) or ()) >= WANTED.numbers for node in service.state.nodes)
    assert min(service.capacity) >= count + fine - unavailable
    assert played.writes.count("remove") == rounds(count, spot, surge, unavailable)
    assert played.writes[:1] + played.writes[-1:] == (["mark", "unmark"] if count + spot else [])
    assert service.state.metadata == (("owner", "render team"),)
    assert played.voice.lines("warn") == []


@both_kinds
@pytest.mark.parametrize(
    ("count", "surge", "unavailable", "steps"),
    [
        (3, 0, 1, "r1 3 r1 3 r1 3"),
        (6, 0, 3, "r1 6 r3 6 r2 6"),
        (6, 0, Share(50, percent=True), "r1 6 r3 6 r2 6"),
        (6, 2, 1, "8 r3 8 r3 6"),
        (5, 1, 2, "6 r3 6 r2 5"),
        (4, 1, 4, "5 r4 4"),
        (4, 4, 1, "8 r4"),
        (1, 0, 1, "r1 1"),
        (2, 0, Share(1, percent=True), "r1 2 r1 2"),
    ],
)
def test_the_canary_goes_first_and_each_round_takes_what_both_allow(
    kind: TargetKind, count: int, surge: int, unavailable: int | Share, steps: str
) -> None:
    played = play_image(pool_of(count), surge=surge, max_unavailable=unavailable, kind=kind)
    assert steps_of(played) == steps
    assert is_as_before(played.service, count)


@both_kinds
@pytest.mark.parametrize("fate", ["starttaskfailed", "unusable"])
def test_a_canary_that_fails_costs_one_node_and_the_next_up_takes_no_other(kind: TargetKind, fate: str) -> None:
    service = FakeVmService(pool_of(5), VmScript(fates={0: fate}), kind=kind)
    played = renew(service, surge=0, max_unavailable=2)
    assert type(played.error) is RefusedError
    assert f"the new node new-00 is {fate}" in played.text
    assert "1 old node has left, no other node was touched" in played.text
    assert is_as_before(service, 5)
    assert sum(node.ours for node in service.state.nodes) == 1
    again = renew(service, surge=0, max_unavailable=1)
    assert f": 1 node is not ready: new-00 ({fate}); max_unavailable 1 allows no more." in again.text
    assert again.writes == played.writes, "nothing was written"


def test_a_new_node_of_an_old_version_costs_one_node() -> None:
    played = play_image(pool_of(4), VmScript(latest=((-math.inf, OLD),)), surge=0, max_unavailable=3)
    assert f"Batch still allocates {OLD} (node new-00); 1 old node has left" in played.text
    assert is_as_before(played.service, 4)
    assert steps_of(played) == "r1 4"


@both_kinds
def test_broken_old_nodes_leave_first_and_cost_no_capacity(kind: TargetKind) -> None:
    state = pool_of(5)
    nodes = tuple(replace(node, fate="unusable") if index in (1, 3) else node for index, node in enumerate(state.nodes))
    played = play_image(replace(state, nodes=nodes), surge=0, max_unavailable=2, kind=kind)
    assert [what for step, what in played.service.took if step == "remove"] == [
        ("old-01",),
        ("old-03", "old-00"),
        ("old-02", "old-04"),
    ]
    assert is_as_before(played.service, 5)


@both_kinds
def test_quota_that_is_gone_on_the_way_back_keeps_the_marker_and_the_next_up_goes_on(kind: TargetKind) -> None:
    service = FakeVmService(pool_of(4), VmScript(quota=3), kind=kind)
    played = renew(service, surge=0, max_unavailable=2)
    assert type(played.error) is RefusedError
    assert "Batch could not bring back 1 node of 4 (AccountCoreQuotaReached: The account has" in played.text
    assert "the target size is still 4, and no other node was touched" in played.text
    assert "Next: Free or ask for core quota, then run `pulumi up` again: it asks for the missing nodes" in played.text
    assert (service.state.size, len(service.state.dedicated), service.state.marker is None) == (4, 3, False)
    assert steps_of(played) == "r1 4"
    service.script = VmScript()
    assert renew(service, surge=0, max_unavailable=2).end
    assert is_as_before(service, 4)
    assert {node.version for node in service.state.nodes} == {TARGET}


@both_kinds
def test_quota_that_lacks_for_the_surge_alone_is_undone(kind: TargetKind) -> None:
    played = play_image(pool_of(4), VmScript(quota=4), surge=1, max_unavailable=1, kind=kind)
    assert "could not allocate 1 more node" in played.text
    assert "declare surge=0, max_unavailable=1: then an old node leaves first" in played.text
    assert is_as_before(played.service, 4)


@both_kinds
@pytest.mark.parametrize("restored", [True, False])
@pytest.mark.parametrize(("surge", "unavailable"), [(0, 1), (0, 2), (2, 2)])
def test_a_drain_that_runs_out_goes_on_with_others_and_then_names_the_nodes(
    kind: TargetKind, restored: bool, surge: int, unavailable: int
) -> None:
    state = with_spot(pool_of(4, busy={1: math.inf}), 1)
    script = VmScript(target_restored=restored)
    played = play_image(state, script, surge=surge, max_unavailable=unavailable, kind=kind)
    assert type(played.error) is RefusedError
    assert "1 old node did not finish its tasks within drain_timeout: old-01; no task was stopped" in played.text
    assert is_as_before(played.service, 4)
    assert played.service.state.spot == 1
    assert sorted(node.version for node in played.service.state.nodes) == [OLD, *[TARGET] * 4]


@both_kinds
def test_spot_capacity_that_is_gone_stops_before_the_next_node_leaves(kind: TargetKind) -> None:
    service = FakeVmService(with_spot(pool_of(0), 4), VmScript(spot_left=0), kind=kind)
    played = renew(service, surge=0, max_unavailable=1)
    assert "1 node is missing; max_unavailable 1 allows no more" in played.text
    assert (service.state.spot, len(service.state.nodes), service.state.marker) == (4, 3, None)
    service.script = VmScript()
    again = renew(service, surge=0, max_unavailable=2)
    assert again.end
    assert {node.version for node in service.state.nodes} == {TARGET}


@both_kinds
@pytest.mark.parametrize("seconds", range(100, 1500, 100))
def test_a_deadline_leaves_no_target_lowered(kind: TargetKind, seconds: int) -> None:
    """The drain ends before the deadline, and the last write brings back what has left."""
    service = FakeVmService(pool_of(3, busy=dict.fromkeys(range(3), 5000.0)), kind=kind)
    played = renew(service, surge=0, max_unavailable=1, timeout=float(seconds))
    assert isinstance(played.error, DeadlineError | RefusedError), "the tasks outlast it"
    service.waiter.spend(10_000.0)
    assert service.state.size == 3
    assert renew(service, surge=0, max_unavailable=1).end
    assert is_as_before(service, 3)


@both_kinds
@pytest.mark.parametrize("taken", [False, True])
@pytest.mark.parametrize(("surge", "unavailable"), [(0, 2), (1, 1)])
def test_a_kill_at_any_write_ends_as_if_it_had_not_been(
    kind: TargetKind, taken: bool, surge: int, unavailable: int
) -> None:
    state = with_spot(pool_of(3, busy={0: 100.0}), 1)
    writes = len(play_image(state, surge=surge, max_unavailable=unavailable, kind=kind).writes)
    for write in range(1, writes + 1):
        service = FakeVmService(state, VmScript(kill=(write, taken)), kind=kind)
        with pytest.raises(Killed):
            renew(service, surge=surge, max_unavailable=unavailable)
        assert service.state.size >= 3 - unavailable
        service.script = VmScript()
        assert renew(service, surge=surge, max_unavailable=unavailable).end, write
        assert is_as_before(service, 3), write
        assert service.state.spot == 1
        assert {node.version for node in service.state.nodes} == {TARGET}


@both_kinds
@pytest.mark.parametrize("size", [0, 1, 6])
def test_another_size_in_the_middle_is_theirs(kind: TargetKind, size: int) -> None:
    def change(state: VmState) -> VmState:
        return replace(state, nodes=state.nodes[:size], size=size, gone=9)

    comes = When(lambda state: any(node.ours for node in state.nodes) and state.allocation == "steady", change)
    played = play_image(pool_of(4), VmScript(whens=(comes,)), surge=0, max_unavailable=2, kind=kind)
    assert f"resized the pool: the rollout began at 4 nodes and the target is now {size}" in played.text
    assert played.service.state.size == size


@both_kinds
def test_the_marker_goes_on_whatever_is_declared_now(kind: TargetKind) -> None:
    mark = Marker(3, 0, "2018-11-30T12:00:02.000000Z", 0, 1)
    for policy in ({"surge": 2}, {"strategy": "when_empty"}):
        service = FakeVmService(replace(pool_of(2), size=2, metadata=((MARKER, str(mark)),)), kind=kind)
        renew(service, timeout=HOUR, **policy)
        assert service.state.size == 3, "what had left is asked for again"


BROKEN = replace(pool_of(2), nodes=(*pool_of(1).nodes, Machine("bad", TARGET, fate="unusable")))


def said(state: VmState, surge: int | Share, unavailable: int | Share) -> str:
    """The line of a preview."""
    plan = plan_image(look(state), WANTED, ImagePolicy("surge", surge, max_unavailable=unavailable), 7200.0)
    return plan.text if isinstance(plan, Plan) else plan.reason


@pytest.mark.parametrize(
    ("state", "surge", "unavailable", "text"),
    [
        (
            with_spot(pool_of(2), 1),
            0,
            1,
            "3 of 3 nodes behind, 0 running tasks, none will be stopped; max_unavailable 1: 3 rounds, up to 1 node",
        ),
        (pool_of(21), 0, Share(10, percent=True), "max_unavailable 10%: 11 rounds, up to 2 nodes missing at a time"),
        (pool_of(10), 1, 2, "surge 1, max_unavailable 2: 4 rounds, +1 node and up to 2 nodes missing at a time"),
        (with_spot(pool_of(0), 5), 0, 2, "max_unavailable 2: 3 rounds, up to 2 nodes missing at a time"),
        (BROKEN, 0, 1, "1 node is not ready: bad (unusable); max_unavailable 1 allows no more"),
    ],
)
def test_the_line_of_a_preview(state: VmState, surge: int | Share, unavailable: int | Share, text: str) -> None:
    assert text in said(state, surge, unavailable)
