"""Pins the cycle of ``surge``: its end without a failure, and that each failure is undone before it is reported."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_os_provider.batch.image_version import parse_image_version
from batch_os_provider.batch.vm_pool import MARKER, Marker
from batch_os_provider.batch.vm_target import AllocatedSince
from batch_os_provider.errors import DeadlineError, RefusedError
from batch_os_provider.schema.units import Share
from tests.support.examples import examples
from tests.unit.rollout.image_renewal.image_doubles import (
    MOMENTS,
    NEWER,
    OLD,
    TARGET,
    WANTED,
    FakeVmService,
    Machine,
    TargetKind,
    VmScript,
    VmState,
    When,
    both_kinds,
    is_as_before,
    play_image,
    pool_of,
    renew,
)

HOUR = 3600.0


def versions(state: VmState) -> list[str]:
    """The versions of the dedicated nodes."""
    return sorted(node.version for node in state.dedicated)


@both_kinds
@examples(40)
@given(
    count=st.integers(1, 12),
    surge=st.integers(1, 5),
    fine=st.integers(0, 4),
    busy=st.lists(st.floats(0, 3000), max_size=12),
    works=st.floats(0, 2000),
    restored=st.booleans(),
)
def test_any_pool_ends_done_with_its_size_and_as_many_writes_as_rounds(
    kind: TargetKind, count: int, surge: int, fine: int, busy: list[float], works: float, restored: bool
) -> None:
    behind = pool_of(count, busy=dict(enumerate(busy)))
    good = tuple(Machine(f"good-{index}", NEWER, -500.0) for index in range(fine))
    state = replace(behind, nodes=behind.nodes + good, size=count + fine)
    script = VmScript(busy=lambda _number: works, target_restored=restored)
    played = play_image(state, script, surge=surge, kind=kind)
    assert not played.end.deferred
    service = played.service
    assert is_as_before(service, count + fine)
    assert all((parse_image_version(text) or ()) >= WANTED.numbers for text in versions(service.state))
    rounds = math.ceil(count / surge)
    assert played.writes == ["mark", *["resize", "remove"] * rounds, "unmark"]
    assert min(service.capacity) >= count + fine
    assert service.state.metadata == (("owner", "render team"),)
    assert played.voice.lines("warn") == []


@both_kinds
def test_idle_nodes_go_before_busy_ones_and_broken_ones_before_idle_ones(kind: TargetKind) -> None:
    state = pool_of(4, busy={0: 900.0})
    broken = replace(state.nodes[2], fate="unusable")
    played = play_image(replace(state, nodes=(*state.nodes[:2], broken, state.nodes[3])), kind=kind)
    assert [what for kind, what in played.service.took if kind == "remove"] == [
        ("old-02",),
        ("old-01",),
        ("old-03",),
        ("old-00",),
    ]


@both_kinds
def test_a_share_is_of_the_size_at_the_start_and_does_not_grow_with_the_surge(kind: TargetKind) -> None:
    played = play_image(pool_of(9), surge=Share(25, percent=True), kind=kind)
    assert [what for kind, what in played.service.took if kind == "resize"] == [12, 12, 12]
    assert is_as_before(played.service, 9)


@both_kinds
def test_the_last_round_adds_no_more_than_are_left(kind: TargetKind) -> None:
    played = play_image(pool_of(5), surge=3, kind=kind)
    assert [what for kind, what in played.service.took if kind == "resize"] == [8, 7]


@both_kinds
def test_spot_nodes_are_told_and_left_alone(kind: TargetKind) -> None:
    state = pool_of(2)
    spot = Machine("spot-0", OLD, -50.0, dedicated=False)
    played = play_image(replace(state, nodes=(*state.nodes, spot), spot=1), kind=kind)
    assert played.service.state.spot == 1
    assert spot in played.service.state.nodes
    assert ", 1 spot node not renewed, " in played.voice.lines("info")[0]


@both_kinds
def test_a_hundred_nodes_at_most_are_named_in_a_call(kind: TargetKind) -> None:
    played = play_image(pool_of(130), surge=100, kind=kind)
    assert [len(what) for kind, what in played.service.took if kind == "remove"] == [100, 30]


def test_latest_moving_between_rounds_is_fine_as_it_is_a_floor() -> None:
    script = VmScript(latest=((-math.inf, TARGET), (150.0, NEWER)))
    played = play_image(pool_of(4), script)
    assert is_as_before(played.service, 4)
    assert set(versions(played.service.state)) == {TARGET, NEWER}


@both_kinds
def test_done_is_seen_on_a_node_list_begun_after_the_last_write(kind: TargetKind) -> None:
    played = play_image(pool_of(2), kind=kind)
    assert [kind for kind, _ in played.service.calls][-3:] == ["unmark", "pool", "nodes"]


@pytest.mark.parametrize(
    ("state", "text"),
    [
        (pool_of(3, at=TARGET), "nothing was written, 3 nodes at the target or newer; 20348.2461.240510"),
        (pool_of(1, at=TARGET), "nothing was written, 1 node at the target or newer; 20348.2461.240510"),
        (pool_of(3, at=NEWER), "nothing was written, 3 nodes at the target or newer; 20348.2461.240510"),
        (pool_of(0), "nothing was written, no nodes, new nodes get the newest version; 20348.2461.240510"),
        (pool_of(0, version=NEWER), f"nothing was written, no nodes, pinned to {NEWER}; 20348.2461.240510"),
    ],
)
def test_nothing_behind_is_adopted_with_one_look_and_says_so(state: VmState, text: str) -> None:
    played = play_image(state)
    assert played.voice.lines("info") == [text]
    assert [kind for kind, _ in played.service.calls] == ["pool", "nodes"]


@pytest.mark.parametrize(
    ("state", "text"),
    [
        (pool_of(3, at=TARGET), "nothing was written, 3 nodes new enough; allocated since 2018-12-01"),
        (pool_of(1, at=NEWER), "nothing was written, 1 node new enough; allocated since 2018-12-01"),
        (pool_of(0), "nothing was written, no nodes; allocated since 2018-12-01"),
        (pool_of(0, version=OLD), "nothing was written, no nodes; allocated since 2018-12-01"),
    ],
)
def test_nothing_behind_a_moment_is_adopted_too(state: VmState, text: str) -> None:
    played = play_image(state, kind=MOMENTS)
    assert played.voice.lines("info") == [text]
    assert [kind for kind, _ in played.service.calls] == ["pool", "nodes"]


@pytest.mark.parametrize("surge", [1, 2, 3])
def test_a_canary_on_the_wrong_version_is_removed_by_name_and_told(surge: int) -> None:
    played = play_image(pool_of(4), VmScript(latest=((-math.inf, OLD),)), surge=surge)
    assert type(played.error) is RefusedError
    assert f"Batch still allocates {OLD} (node new-00); no old node was touched" in played.text
    assert is_as_before(played.service, 4)
    assert [node.name for node in played.service.state.nodes] == ["old-00", "old-01", "old-02", "old-03"]
    assert played.writes == ["mark", "resize", "remove", "unmark"]


@both_kinds
@pytest.mark.parametrize("fate", ["starttaskfailed", "unusable"])
@pytest.mark.parametrize("surge", [1, 2])
def test_a_canary_that_does_not_come_up_is_removed_by_name_and_told(kind: TargetKind, fate: str, surge: int) -> None:
    played = play_image(pool_of(3), VmScript(fates={surge - 1: fate}), surge=surge, kind=kind)
    assert type(played.error) is RefusedError
    why = ": The task exited with 1" if fate == "starttaskfailed" else ""
    assert f"the new node new-{surge - 1:02d} is {fate}{why}; no old node was touched; this came" in played.text
    assert ".\nNext: Fix the start task or the image, then run `pulumi up` again." in played.text
    assert is_as_before(played.service, 3)
    assert versions(played.service.state) == [OLD] * 3


@both_kinds
@pytest.mark.parametrize(("quota", "surge", "missing"), [(3, 1, 1), (3, 2, 2), (4, 2, 1), (4, 3, 2)])
def test_quota_that_lacks_is_undone_and_told_with_what_is_missing(
    kind: TargetKind, quota: int, surge: int, missing: int
) -> None:
    played = play_image(pool_of(3), VmScript(quota=quota), surge=surge, kind=kind)
    assert type(played.error) is RefusedError
    assert (
        f"Batch could not allocate {missing} more node{'s' * (missing > 1)} (AccountCoreQuotaReached: The account has "
        "reached its core quota); no old node was touched; this came after "
    ) in played.text
    assert (
        "nodes are behind.\nNext: Ask for more core quota, or declare a smaller surge, then run `pulumi up`"
    ) in played.text
    assert is_as_before(played.service, 3)
    assert versions(played.service.state) == [OLD] * 3


@pytest.mark.parametrize("surge", [1, 2])
def test_a_new_node_from_before_the_moment_is_removed_by_name_and_told(surge: int) -> None:
    """The clock of Batch that answers may be ahead of the clock that allocates."""

    def early(state: VmState) -> VmState:
        nodes = tuple(replace(node, allocated=node.allocated - 1800.0) if node.ours else node for node in state.nodes)
        return replace(state, nodes=nodes)

    set_back = When(lambda state: any(node.ours for node in state.nodes), early)
    kind = TargetKind(AllocatedSince.parse("2018-12-01T12:00:00Z"))
    played = play_image(pool_of(4), VmScript(whens=(set_back,)), surge=surge, kind=kind)
    assert type(played.error) is RefusedError
    # The second node of a round is a millisecond younger.
    assert re.search(
        r"the new node new-00 was allocated at 2018-12-01T11:\d\d:\d\dZ, which is before nodes_since "
        r"2018-12-01T12:00:00Z; no old node was touched",
        played.text,
    )
    assert "Next: Declare a moment in nodes_since that has passed by the clock of Batch" in played.text
    assert is_as_before(played.service, 4)
    assert [node.name for node in played.service.state.nodes] == ["old-00", "old-01", "old-02", "old-03"]
    assert played.writes == ["mark", "resize", "remove", "unmark"]


@both_kinds
def test_an_undo_leaves_the_renewed_nodes_and_takes_the_broken_one(kind: TargetKind) -> None:
    """The third new node fails; two rounds are done, and their nodes must stay."""
    played = play_image(pool_of(4), VmScript(fates={2: "starttaskfailed"}), kind=kind)
    assert type(played.error) is RefusedError
    assert [node.name for node in played.service.state.nodes] == ["old-02", "old-03", "new-00", "new-01"]
    assert is_as_before(played.service, 4)


def test_an_undo_takes_the_node_on_the_wrong_version_not_the_renewed_ones() -> None:
    script = VmScript(latest=((-math.inf, TARGET), (150.0, OLD)))
    played = play_image(pool_of(4), script)
    assert "Batch still allocates" in played.text
    kept = [node for node in played.service.state.nodes if node.ours]
    assert {node.version for node in kept} == {TARGET}, "what was renewed stays"
    assert is_as_before(played.service, 4)


@both_kinds
def test_an_error_after_the_first_round_does_not_claim_that_no_old_node_was_touched(kind: TargetKind) -> None:
    """Two old nodes are gone by then. The fates are such that the undo itself takes the right node."""
    played = play_image(pool_of(3), VmScript(quota=3.0, whens=()), surge=1, kind=kind)
    assert "no old node was touched" in played.text, "true in the first round"
    full = When(lambda state: state.size == 4 and any(n.ours for n in state.nodes) and len(state.nodes) == 3, _denied)
    played = play_image(pool_of(3), VmScript(whens=(full,), allocation_takes=200.0), kind=kind)
    assert "could not allocate" in played.text
    assert sum(node.ours for node in played.service.state.nodes) == 1, "a round was done"
    assert "no old node was touched" not in played.text


def _denied(state: VmState) -> VmState:
    return replace(state, allocation="steady", grows_at=math.inf, errors=("AllocationFailed: no capacity",))


@both_kinds
@pytest.mark.parametrize("restored", [True, False])
@pytest.mark.parametrize("surge", [1, 2])
def test_a_drain_that_runs_out_goes_on_with_others_then_is_undone_and_names_the_nodes(
    kind: TargetKind, restored: bool, surge: int
) -> None:
    state = pool_of(4, busy={1: math.inf})
    played = play_image(state, VmScript(target_restored=restored), surge=surge, kind=kind)
    assert type(played.error) is RefusedError
    assert "1 old node did not finish its tasks within drain_timeout: old-01; no task was stopped" in played.text
    assert is_as_before(played.service, 4)
    assert versions(played.service.state) == [OLD, TARGET, TARGET, TARGET]
    assert played.voice.lines("warn") == [
        "1 old node did not finish its tasks within drain_timeout: old-01; no task was stopped"
    ]
    left = next(node for node in played.service.state.nodes if node.name == "old-01")
    assert not left.leaving


@both_kinds
@pytest.mark.parametrize("restored", [True, False])
def test_a_drain_that_runs_out_while_the_new_nodes_work_too_comes_back_to_the_size(
    kind: TargetKind, restored: bool
) -> None:
    """The undo's own removal outlasts drain_timeout once: the next read must not take that for another actor."""
    script = VmScript(target_restored=restored, busy=lambda _number: 3.2 * HOUR)
    played = play_image(pool_of(2, busy={0: math.inf, 1: math.inf}), script, kind=kind)
    assert type(played.error) is RefusedError
    assert "did not finish their tasks within drain_timeout: old-00, old-01" in played.text
    assert is_as_before(played.service, 2)


@both_kinds
def test_a_drain_that_runs_out_defers_where_the_program_wants_that(kind: TargetKind) -> None:
    """Issue 4, the cycle (4): "goes on with others, then fails or defers"."""
    played = play_image(pool_of(2, busy={1: math.inf}), defer=True, kind=kind)
    assert played.error is None, f"it failed: {played.error}"
    assert played.end.deferred
    assert is_as_before(played.service, 2)


@both_kinds
def test_a_later_run_finishes_what_a_drain_has_left(kind: TargetKind) -> None:
    service = FakeVmService(pool_of(3, busy={1: 8 * HOUR}), kind=kind)
    assert type(renew(service).error) is RefusedError
    service.waiter.spend(8 * HOUR)
    assert renew(service).end
    assert is_as_before(service, 3)
    assert versions(service.state) == [TARGET] * 3


@both_kinds
@pytest.mark.parametrize("fate", ["starting"])
def test_a_canary_that_never_gets_ready_ends_at_the_deadline_with_the_truth(kind: TargetKind, fate: str) -> None:
    played = play_image(pool_of(3), VmScript(fates={0: fate}), timeout=1800.0, kind=kind)
    assert type(played.error) is DeadlineError
    assert "3 of 4 nodes are behind; the renewal began at 3 nodes, 1 is extra now; no task was stopped" in played.text
    assert [node.name for node in played.service.state.nodes if not node.ours] == ["old-00", "old-01", "old-02"]


@both_kinds
def test_an_old_node_that_breaks_mid_cycle_is_no_reason_to_stop(kind: TargetKind) -> None:
    breaks = When(
        lambda state: any(node.ours for node in state.nodes),
        lambda state: replace(
            state, nodes=(*state.nodes[:2], replace(state.nodes[2], fate="unusable"), *state.nodes[3:]), gone=1
        ),
    )
    played = play_image(pool_of(3), VmScript(whens=(breaks,)), kind=kind)
    assert played.end
    assert is_as_before(played.service, 3)


@both_kinds
def test_an_old_node_that_is_accepted_away_mid_cycle_ends_at_the_size_it_had(kind: TargetKind) -> None:
    taken = When(
        lambda state: state.allocation == "steady" and any(node.ours for node in state.nodes),
        lambda state: replace(state, nodes=state.nodes[1:], gone=1),
    )
    played = play_image(pool_of(3), VmScript(whens=(taken,)), timeout=HOUR, kind=kind)
    # Batch brings a lost node back, or does not: then it ends at the deadline, and says what there is.
    assert type(played.error) is DeadlineError or is_as_before(played.service, 3)


@both_kinds
def test_a_new_node_that_breaks_after_its_round_is_removed_and_no_other(kind: TargetKind) -> None:
    def breaking(state: VmState) -> VmState:
        nodes = tuple(replace(n, fate="unusable") if n.name == "new-01" else n for n in state.nodes)
        return replace(state, nodes=nodes, gone=state.gone + 1)

    breaks = When(lambda state: any(n.name == "new-02" for n in state.nodes), breaking)
    played = play_image(pool_of(4), VmScript(whens=(breaks,)), kind=kind)
    assert "new-01 is unusable" in played.text
    assert "new-01" not in {node.name for node in played.service.state.nodes}
    assert is_as_before(played.service, 4)


@both_kinds
def test_a_new_node_that_dies_without_ever_telling_a_version_is_removed_too(kind: TargetKind) -> None:
    """A node that never came up has no image version; the rollout must not leave the node or the marker behind."""

    def dying(state: VmState) -> VmState:
        nodes = tuple(replace(n, version="", fate="unusable", ready_from=0.0) if n.ours else n for n in state.nodes)
        return replace(state, nodes=nodes)

    dies = When(lambda state: any(node.ours for node in state.nodes), dying)
    played = play_image(pool_of(3), VmScript(whens=(dies,)), kind=kind)
    assert type(played.error) is RefusedError
    assert is_as_before(played.service, 3), f"left behind: {played.service.state.metadata}, {played.text}"


@both_kinds
def test_no_old_node_goes_where_no_new_node_can_be_shown_from_the_old_ones(kind: TargetKind) -> None:
    """Without allocation times nothing is known to be ours: then nothing is proven, and nothing may go."""
    mark = Marker(2, 1, "2999-01-01T00:00:00.000000Z")
    state = pool_of(2)
    extra = Machine("extra-0", OLD, 10.0, fate="starttaskfailed")
    state = replace(state, nodes=(*state.nodes, extra), size=3, metadata=((MARKER, str(mark)),))
    played = renew(FakeVmService(state, start=2, kind=kind))
    assert "remove" not in played.writes


def test_a_node_that_vanishes_between_the_look_and_the_write_does_not_end_it() -> None:
    """404 NodeNotFound on removenodes: facts 5, "drop from plan"."""

    class Vanishing(FakeVmService):
        def remove_nodes(self, pool, nodes, timeout) -> None:
            if nodes == ("old-00",) and any(node.name == "old-00" for node in self.state.nodes):
                kept = tuple(node for node in self.state.nodes if node.name != "old-00")
                self.state = replace(self.state, nodes=kept, gone=1)  # the ETag of the pool does not move
            super().remove_nodes(pool, nodes, timeout)

    played = renew(Vanishing(pool_of(3)), timeout=2 * HOUR)
    assert type(played.error) in {type(None), DeadlineError}, played.text
