"""Pins what a renewal does after a kill, a lost answer, a refusal, another actor, ^C and the deadline."""

from __future__ import annotations

import contextlib
import math
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_os_provider.batch.vm_pool import MARKER, Marker
from batch_os_provider.errors import (
    BatchOsError,
    ConflictError,
    DeadlineError,
    InterruptedRolloutError,
    PoolGoneError,
    RefusedError,
    TransientError,
)
from tests.support.examples import examples
from tests.unit.rollout.doubles import Lost, gone, transient
from tests.unit.rollout.image_renewal.image_doubles import (
    NEWER,
    OLD,
    TARGET,
    VERSIONS,
    FakeVmService,
    ImagePlay,
    Killed,
    Machine,
    TargetKind,
    VmScript,
    VmState,
    When,
    both_kinds,
    conflict,
    is_as_before,
    play_image,
    pool_of,
    renew,
    resized,
)

HOUR = 3600.0


def killed_at(
    number: int, committed: bool, state: VmState, script: VmScript, surge: int, kind: TargetKind = VERSIONS
) -> FakeVmService:
    """A pool after a renewal that died at its n-th write."""
    service = FakeVmService(state, replace(script, kill=(number, committed)), kind=kind)
    with pytest.raises(Killed):
        renew(service, surge=surge)
    service.script = script
    return service


@both_kinds
@pytest.mark.parametrize("committed", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("surge", [1, 2])
@pytest.mark.parametrize("number", range(1, 7))
@pytest.mark.parametrize("waits", [0.0, 10 * HOUR], ids=["at once", "much later"])
def test_death_at_any_write_then_up_comes_to_the_same_end(
    kind: TargetKind, number: int, surge: int, committed: bool, waits: float
) -> None:
    service = killed_at(number, committed, pool_of(4, busy={1: 700.0}), VmScript(), surge, kind)
    assert len(service.state.dedicated) <= 4 + surge, "at most surge extra nodes"
    service.waiter.spend(waits)
    assert renew(service, surge=surge).end
    assert is_as_before(service, 4)
    assert {node.version for node in service.state.nodes} == {TARGET}
    assert min(service.capacity) >= 4


@pytest.mark.parametrize("committed", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("number", range(1, 5))
def test_death_in_an_undo_then_up_comes_back_to_the_size(number: int, committed: bool) -> None:
    script = VmScript(latest=((-math.inf, OLD),))
    service = killed_at(number, committed, pool_of(3), script, 1)
    if (number, committed) == (4, True):
        assert is_as_before(service, 3)
        return
    assert type(renew(service).error) is RefusedError
    assert is_as_before(service, 3)


@both_kinds
def test_death_in_the_undo_of_a_growth_that_was_half_allocated_does_not_wait_for_ever(kind: TargetKind) -> None:
    """Died between removing the one that came and the resize back: steady, a node short, and no error to see."""
    service = killed_at(4, False, pool_of(2), VmScript(quota=3), 2, kind)
    assert (service.state.size, len(service.state.nodes), service.state.errors) == (3, 2, ())
    assert type(renew(service, surge=2).error) is RefusedError
    assert is_as_before(service, 2)


@both_kinds
def test_the_answer_to_clearing_the_note_may_be_lost(kind: TargetKind) -> None:
    """Batch accepted the write: no other actor has cleared the marker, and the renewal is done."""
    played = play_image(pool_of(1), VmScript(writes={4: Lost(committed=True)}), kind=kind)
    assert played.end
    assert is_as_before(played.service, 1)


@both_kinds
@pytest.mark.parametrize("number", range(1, 7))
def test_a_run_with_another_surge_finishes_what_died(kind: TargetKind, number: int) -> None:
    service = killed_at(number, True, pool_of(4), VmScript(), 3, kind)
    assert renew(service, surge=1).end
    assert is_as_before(service, 4)


@both_kinds
def test_a_run_that_finds_everything_renewed_but_the_note_puts_it_in_order(kind: TargetKind) -> None:
    service = killed_at(3, True, pool_of(1), VmScript(), 1, kind)
    played = renew(service)
    assert played.writes[-1] == "unmark"
    assert is_as_before(service, 1)


@both_kinds
@examples(40)
@given(
    faults=st.dictionaries(
        st.integers(1, 14),
        st.sampled_from(
            [
                Lost(committed=True),
                Lost(committed=False),
                transient(503, "ServerBusy", "busy"),
                transient(500, "InternalError", "broken"),
                conflict("ConditionNotMet", 412),
                conflict("PoolBeingResized"),
            ]
        ),
        max_size=8,
    ),
    reads=st.sets(st.integers(2, 60), max_size=12),
    restored=st.booleans(),
    surge=st.integers(1, 3),
)
def test_no_single_faults_change_the_end(
    kind: TargetKind, faults: dict[int, Exception | Lost], reads: set[int], restored: bool, surge: int
) -> None:
    script = VmScript(
        writes=faults,
        reads=dict.fromkeys(reads, transient(503, "ServerBusy", "busy")),
        target_restored=restored,
    )
    played = play_image(pool_of(4, busy={0: 300.0}), script, surge=surge, kind=kind)
    assert played.end
    assert is_as_before(played.service, 4)


@both_kinds
def test_answers_that_never_come_end_it_after_ten_tries(kind: TargetKind) -> None:
    script = VmScript(writes={n: Lost(committed=False) for n in range(1, 40)})
    played = play_image(pool_of(2), script, kind=kind)
    assert type(played.error) is TransientError
    assert "given up after 10 tries" in played.text


@both_kinds
def test_a_lasting_refusal_of_the_first_write_is_told_as_it_is(kind: TargetKind) -> None:
    script = VmScript(writes={n: conflict("OperationInvalidForCurrentState") for n in range(1, 40)})
    played = play_image(pool_of(2), script, kind=kind)
    assert type(played.error) is ConflictError
    assert len([kind for kind, _ in played.service.calls if kind == "mark"]) == 2


@both_kinds
@pytest.mark.parametrize("first", [2, 3])
def test_a_lasting_refusal_mid_cycle_is_undone_then_told(kind: TargetKind, first: int) -> None:
    script = VmScript(writes={n: conflict("OperationInvalidForCurrentState") for n in (first, first + 1)})
    played = play_image(pool_of(2), script, kind=kind)
    assert type(played.error) is RefusedError
    assert "Batch refused the same step twice while nothing changed: HTTP 409 OperationInvalid" in played.text
    assert "Batch code OperationInvalidForCurrentState" in played.text
    assert is_as_before(played.service, 2)


@both_kinds
@pytest.mark.parametrize("size", [1, 2, 9])
@pytest.mark.parametrize("busy", [0.0, 500.0])
def test_somebody_elses_resize_mid_cycle_is_told_with_both_sizes_and_nothing_more_is_written(
    kind: TargetKind, size: int, busy: float
) -> None:
    mid = When(
        lambda state: state.allocation == "steady" and state.size == 5 and len(state.dedicated) == 5, resized(size)
    )
    played = play_image(pool_of(4, busy={0: busy}), VmScript(whens=(mid,)), kind=kind)
    assert type(played.error) is RefusedError
    assert "the rollout began at 4 nodes" in played.text
    assert f"the target is now {size}; nothing more was changed" in played.text
    assert played.writes == ["mark", "resize"]
    assert played.service.state.marker is not None, "nothing more, not even the marker"


@both_kinds
def test_somebody_elses_growth_in_the_last_round_is_never_removed(kind: TargetKind) -> None:
    """Nothing is behind any more when they have grown it: their nodes are not ours, whenever they came."""
    last = When(
        lambda state: (
            state.allocation == "steady"
            and state.marker is not None
            and all(node.version == TARGET for node in state.dedicated)
        ),
        resized(9),
    )
    played = play_image(pool_of(2), VmScript(whens=(last,)), kind=kind)
    theirs = [node.name for node in played.service.state.nodes if node.name.startswith("theirs")]
    assert len(theirs) == 7
    assert not any(node.leaving for node in played.service.state.nodes)


@both_kinds
def test_a_note_left_for_long_never_shrinks_a_pool_that_its_owner_has_rebuilt(kind: TargetKind) -> None:
    """A crash has left a marker of 3; the owner emptied the pool and grew it to 20 by hand. All is new enough."""
    marker = ((MARKER, str(Marker(3, 1, "2018-11-30T12:00:02.000000Z"))),)
    nodes = tuple(Machine(f"theirs-{index:02d}", TARGET, 100.0 + index) for index in range(20))
    service = FakeVmService(VmState(nodes, 20, metadata=marker), start=20, kind=kind)
    played = renew(service)
    assert "remove" not in played.writes
    assert len(service.state.nodes) == 20


@both_kinds
def test_a_note_that_somebody_took_away_mid_cycle_does_not_make_the_pool_bigger(kind: TargetKind) -> None:
    """Another tool replaced the metadata while the pool was at size + 1: another actor acts."""
    taken = When(
        lambda state: state.allocation == "steady" and state.size == 3,
        lambda state: replace(state, metadata=(("owner", "another tool"),)),
    )
    played = play_image(pool_of(2), VmScript(whens=(taken,)), kind=kind)
    assert type(played.error) is RefusedError, f"it took the grown size for the size: {played.service.state.size}"
    assert played.writes == ["mark", "resize"]


@both_kinds
def test_two_runs_on_one_pool_both_end_and_leave_nothing(kind: TargetKind) -> None:
    service = killed_at(2, True, pool_of(3), VmScript(), 1, kind)
    other = When(
        lambda state: state.allocation == "steady" and state.size == 4,
        lambda state: replace(state, edition=state.edition + 1),
    )
    service._whens.extend([other, other])
    assert renew(service).end
    assert is_as_before(service, 3)


@both_kinds
def test_a_pool_that_somebody_resizes_before_we_begin_is_waited_for(kind: TargetKind) -> None:
    state = replace(pool_of(2), allocation="resizing", size=3, grows_at=500.0)
    played = play_image(state, kind=kind)
    assert is_as_before(played.service, 3)
    assert played.voice.lines("status")[0] == (
        f"2 of 2 nodes behind, 0s; a resize is under way (resizing); {kind.change()}"
    )


@both_kinds
def test_a_pool_that_goes_away_mid_cycle_is_told_as_gone(kind: TargetKind) -> None:
    played = play_image(pool_of(2), VmScript(reads={9: gone()}), kind=kind)
    assert type(played.error) is PoolGoneError
    played = play_image(pool_of(2, state="deleting"), kind=kind)
    assert type(played.error) is PoolGoneError


@both_kinds
def test_an_unknown_state_is_waited_for_with_a_warning(kind: TargetKind) -> None:
    played = play_image(pool_of(2, allocation="defragmenting"), timeout=60.0, kind=kind)
    assert type(played.error) is DeadlineError
    assert "'defragmenting'" in played.voice.lines("warn")[0]


@pytest.mark.parametrize("strategy", ["when_empty", "surge"])
def test_a_pool_that_batch_renews_is_not_waited_for(strategy: str) -> None:
    played = play_image(pool_of(2, automatic=True), timeout=60.0, strategy=strategy)
    assert type(played.error) is RefusedError
    assert 'Declare strategy="automatic"' in played.text
    assert played.writes == []
    assert played.seconds < 5.0


def test_when_empty_repins_as_soon_as_the_pool_is_empty() -> None:
    emptied = When(lambda _state: True, lambda state: replace(state, nodes=(), size=0, gone=2))
    later = When(lambda _state: True, lambda state: state)
    played = play_image(pool_of(2, version=OLD), VmScript(whens=(later, later, emptied)), strategy="when_empty")
    assert played.writes == ["repin"]
    (said,) = played.voice.lines("info")
    assert re.fullmatch(rf"done, no nodes, pinned to {TARGET}, \w+; {OLD} -> {TARGET}", said), said


@both_kinds
def test_a_deadline_with_defer_succeeds_and_warns_how_far_it_is(kind: TargetKind) -> None:
    played = play_image(pool_of(3, busy=dict.fromkeys(range(3), 9 * HOUR)), timeout=600.0, defer=True, kind=kind)
    assert played.end.deferred
    (warning,) = played.voice.lines("warn")
    renewal = f"renewal to {TARGET}" if kind.by_version else "renewal of nodes from before 2018-12-01"
    assert warning == (
        f"{renewal} was deferred: 3 of 4 nodes are behind; the renewal began at 3 nodes, "
        "1 is extra now; no task was stopped. "
        "Run `pulumi up` again: it continues from the pool's state, or undoes the unfinished renewal"
    )


@both_kinds
def test_at_the_deadline_nothing_new_begins(kind: TargetKind) -> None:
    played = play_image(pool_of(4), timeout=61.0, kind=kind)
    assert type(played.error) is DeadlineError
    assert "remove" not in played.writes


@both_kinds
def test_a_failure_is_told_even_where_the_undo_outlasts_the_deadline(kind: TargetKind) -> None:
    script = VmScript(fates={1: "starttaskfailed"}, busy=lambda _number: 9 * HOUR)
    played = play_image(pool_of(3), script, surge=2, timeout=600.0, kind=kind)
    assert "starttaskfailed" in played.text


@both_kinds
@pytest.mark.parametrize("second", [0.0, 0.07, 0.2, 0.5, 1.0, 30.0, 62.0, 80.0, 100.0, 105.0, 150.0, 200.0, 260.0])
def test_an_interrupt_tells_what_there_is(kind: TargetKind, second: float) -> None:
    played = play_image(pool_of(3, busy={0: 500.0, 1: 500.0, 2: 500.0}), stop_at=second, kind=kind)
    assert type(played.error) is InterruptedRolloutError
    assert "Run `pulumi up` again: it continues from the pool's state, or undoes the unfinished renewal" in played.text
    tells_truth(played)


def tells_truth(played: ImagePlay) -> None:
    """An error that ends a renewal early reports the marker and the size as the pool has them."""
    state, text = played.service.state, played.text
    if state.marker is None:
        assert "the renewal began" not in text
    else:
        assert "nothing is under way" not in text
        assert "nothing was changed" not in text
        assert f"began at {state.marker.size} nodes" in text, (
            f"the pool has a marker that the text does not name: {text}"
        )
        extra = max(state.size, len(state.dedicated)) - state.marker.size
        if extra:
            assert ", 0 are extra now" not in text, f"{extra} are ordered: {text}"


@both_kinds
@examples(40)
@given(second=st.floats(0.0, 1200.0))
def test_the_truth_at_any_second(kind: TargetKind, second: float) -> None:
    played = play_image(pool_of(3, busy={0: 500.0, 1: 500.0, 2: 500.0}), stop_at=second, kind=kind)
    if played.error is not None:
        assert type(played.error) is InterruptedRolloutError
        tells_truth(played)


@both_kinds
@examples(40)
@given(seconds=st.floats(1.0, 1200.0), defer=st.booleans())
def test_the_truth_at_any_deadline(kind: TargetKind, seconds: float, defer: bool) -> None:
    played = play_image(pool_of(3, busy={0: 500.0, 1: 500.0, 2: 500.0}), timeout=seconds, defer=defer, kind=kind)
    if played.error is not None:
        assert type(played.error) is DeadlineError
        tells_truth(played)
    assert played.error is None or not defer


@both_kinds
@examples(40)
@given(second=st.floats(0.0, 1200.0), surge=st.integers(1, 3), restored=st.booleans())
def test_an_interrupt_at_any_second_then_up_comes_to_the_same_end(
    kind: TargetKind, second: float, surge: int, restored: bool
) -> None:
    service = FakeVmService(pool_of(3, busy={0: 500.0, 1: 800.0}), VmScript(target_restored=restored), kind=kind)
    renew(service, stop_at=second, surge=surge)
    assert renew(service, surge=surge).end
    assert is_as_before(service, 3)


@examples(40)
@given(
    count=st.integers(1, 5),
    surge=st.integers(1, 3),
    number=st.integers(1, 12),
    committed=st.booleans(),
    restored=st.booleans(),
    busy=st.lists(st.sampled_from([0.0, 400.0, 4000.0, math.inf]), max_size=5),
    quota=st.sampled_from([3.0, 5.0, math.inf]),
    latest=st.sampled_from([OLD, TARGET, NEWER]),
)
def test_whatever_befalls_it_ends_in_done_or_in_a_refusal_that_leaves_nothing(
    count: int, surge: int, number: int, committed: bool, restored: bool, busy: list[float], quota: float, latest: str
) -> None:
    until = {index: seconds for index, seconds in enumerate(busy) if index < count}
    script = VmScript(target_restored=restored, quota=max(quota, count), latest=((-math.inf, latest),))
    service = FakeVmService(pool_of(count, busy=until), replace(script, kill=(number, committed)))
    with contextlib.suppress(Killed):
        renew(service, surge=surge)
    service.script = script
    played = renew(service, surge=surge)
    assert played.error is None or type(played.error) is RefusedError, played.text
    assert is_as_before(service, count), f"{service.state} {played.error}"


def test_every_error_ends_with_what_to_do() -> None:
    plays = [
        play_image(pool_of(2), VmScript(quota=2)),
        play_image(pool_of(2, autoscale=True)),
        play_image(pool_of(2, version=OLD)),
        play_image(pool_of(2), timeout=30.0),
    ]
    for played in plays:
        assert isinstance(played.error, BatchOsError)
        assert played.error.next_step
        assert "None" not in played.text
