"""Pins the table of VM pools over its whole product, against a second table in the order of the design.

The second table is a list of (row, when, then), first match wins; it shares only the value types.
Cells in which the design's own rows leave a choice are named in tests of their own below.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import pytest

from batch_os_provider.batch.pool import AllocationState, Kind, PoolState
from batch_os_provider.batch.vm_pool import MARKER, Marker, sortable
from batch_os_provider.batch.vm_target import AllocatedSince, ImageVersion
from batch_os_provider.batch.vm_view import VmPoolView
from batch_os_provider.rollout.actions import Done, Refuse, Wait
from batch_os_provider.rollout.image_renewal.decide import decide_image
from batch_os_provider.rollout.image_renewal.steps import (
    ImageAction,
    ImageHistory,
    RemoveNodes,
    Repin,
    Resize,
    SetMarker,
    Undo,
    with_failure,
)
from batch_os_provider.schema.declared import ImagePolicy
from tests.unit.rollout.doubles import at
from tests.unit.rollout.image_renewal.image_doubles import (
    DAY,
    MOMENTS,
    NEWER,
    OLD,
    TARGET,
    VERSIONS,
    WANTED,
    Machine,
    TargetKind,
    VmState,
    both_kinds,
    look,
    pool_of,
)

FAILED = Refuse("it failed", "Fix it")
NEWEST = "2018-11-30T12:00:01.000000Z"
"""When the last of two old nodes was allocated."""
MARKS = ("none", "ours", "foreign text")
PINS = ("latest", NEWER, TARGET, OLD)


@dataclass(frozen=True)
class Case:
    """One cell of the product."""

    kind: TargetKind
    seen: VmPoolView
    version: str
    policy: ImagePolicy
    behind: int
    marker: str
    failed: bool
    extra: int
    """Target size minus the size in the marker."""

    @property
    def history(self) -> ImageHistory:
        """What the run has done."""
        return ImageHistory(failure=FAILED if self.failed else None)

    @property
    def pinned_elsewhere(self) -> bool:
        """Whether the pool has another pin than declared; for ``surge`` a newer one is fine."""
        newer = self.version == NEWER and self.policy.strategy == "when_empty"
        return self.kind.by_version and (self.version == OLD or newer)

    @property
    def is_known_by_pin(self) -> bool:
        """Whether the pin alone says what the nodes run."""
        return self.kind.by_version and self.policy.strategy == "when_empty" and self.version != "latest"

    @property
    def nothing_behind(self) -> bool:
        """The Done row."""
        return (not self.behind or self.is_known_by_pin) and not self.pinned_elsewhere


def seen_of(
    kind: Kind,
    state: PoolState,
    allocation: AllocationState,
    target: TargetKind = VERSIONS,
    **change: object,
) -> VmPoolView:
    """A look with the parts of the pool that the wire spells set by hand."""
    seen = target.look(VmState(**change))  # type: ignore[arg-type]
    base = replace(seen.pool.base, kind=kind, state=state, allocation=allocation)
    return VmPoolView(replace(seen.pool, base=base), seen.nodes)


def product(target: TargetKind) -> Iterator[Case]:
    """Every cell: two old nodes or two good ones, and ``extra`` new ones that are ready."""
    shapes = [
        (kind, state, allocation)
        for kind, state, allocation in itertools.product(Kind, PoolState, AllocationState)
        # These three alone decide about a pool that is not a steady VM pool; one cell of each is enough for the rest.
    ]
    for kind, state, allocation in shapes:
        steady_vm = (kind, state, allocation) == (Kind.VM, PoolState.ACTIVE, AllocationState.STEADY)
        rest = list(
            itertools.product(
                PINS,
                (0, 2),
                ("surge", "when_empty"),
                (False, True),
                (False, True),
                MARKS,
                (-1, 0, 1, 2),
                (False, True),
                (False, True),
            )
        )
        for version, behind, strategy, autoscale, automatic, noted, extra, errors, failed in (
            rest if steady_vm else rest[::41]
        ):
            old = target.enter(pool_of(2, at=OLD if behind else TARGET)).nodes
            new = tuple(Machine(f"new-{n}", TARGET, 10.0 + n, ours=True) for n in range(max(0, extra)))
            marker = {
                "none": (),
                "ours": ((MARKER, str(Marker(2, 1, sortable(at(max(node.allocated for node in old)))))),),
                "foreign text": ((MARKER, "keep out"),),
            }[noted]
            seen = seen_of(
                kind,
                state,
                allocation,
                target,
                nodes=old[: 2 + min(0, extra)] + new,
                size=2 + extra,
                version=version,
                autoscale=autoscale,
                automatic=automatic,
                errors=("AllocationFailed: none",) if errors else (),
                metadata=marker,
            )
            there = behind + min(0, extra) if behind else 0
            policy = ImagePolicy(strategy, 1)  # type: ignore[arg-type]
            yield Case(target, seen, version, policy, there, noted, failed, extra)


Row = tuple[str, Callable[[Case], bool], Callable[[Case], str]]


def tidied(case: Case) -> str:
    """What a marker leads to: within its bounds a clean-up, outside of them another actor has acted."""
    if case.extra not in {0, 1}:
        return "Refuse"
    # If the pool scales itself, only the marker is ours.
    return "RemoveNodes" if case.extra and not case.seen.pool.base.autoscale else "SetMarker"


def finished(case: Case) -> str:
    """Nothing behind: the marker is cleared, extra nodes are removed, and a failure is reported at the end.

    No node lacks here, so an error of an earlier resize is over.
    """
    if case.marker == "ours":
        return tidied(case)
    return "Refuse" if case.failed else "Done"


def cycle(case: Case) -> str:
    """The cycle's step. No node lacks here, so an error of an earlier resize is over."""
    if case.marker == "foreign text":
        return "Refuse"
    if case.marker == "none":
        return "Refuse" if case.failed else "SetMarker"
    if case.failed or case.extra not in {0, 1}:
        return tidied(case)
    return "RemoveNodes" if case.extra else "Resize"


TABLE: tuple[Row, ...] = (
    ("deleting", lambda c: c.seen.pool.base.state is PoolState.DELETING, lambda _: "Refuse"),
    ("not a VM pool", lambda c: c.seen.pool.base.kind is not Kind.VM, lambda _: "Refuse"),
    ("automatic OS upgrade on", lambda c: c.seen.pool.automatic and c.marker != "ours", lambda _: "Refuse"),
    (
        "an unknown state",
        lambda c: (
            c.seen.pool.base.state is not PoolState.ACTIVE or c.seen.pool.base.allocation is AllocationState.UNKNOWN
        ),
        lambda _: "Wait, warned",
    ),
    ("resizing", lambda c: c.seen.pool.base.allocation is not AllocationState.STEADY, lambda _: "Wait"),
    ("nothing behind, pin fine", lambda c: c.nothing_behind, finished),
    (
        "a marker, but no cycle any more",
        lambda c: (
            c.marker == "ours"
            and (
                c.pinned_elsewhere
                or c.policy.strategy == "when_empty"
                or c.seen.pool.base.autoscale
                or c.seen.pool.automatic
            )
        ),
        tidied,
    ),
    (
        "pinned below, nodes present",
        lambda c: c.pinned_elsewhere,
        lambda c: "Wait" if c.policy.strategy == "when_empty" else "Refuse",
    ),
    ("some behind, when_empty", lambda c: c.policy.strategy == "when_empty", lambda _: "Wait"),
    ("some behind, autoscale", lambda c: c.seen.pool.base.autoscale, lambda _: "Refuse"),
    ("the cycle", lambda _: True, cycle),
)


def kind_of(action: ImageAction) -> str:
    """An action as the second table names it."""
    return "Wait, warned" if isinstance(action, Wait) and action.warning else type(action).__name__


def is_foreign_when_finished(case: Case) -> bool:
    """Cells that ``test_with_nothing_behind_a_size_that_is_not_ours_...`` is about."""
    return case.nothing_behind and case.marker == "ours" and case.extra in (-1, 2)


@both_kinds
def test_the_whole_product_decides_as_the_design_says_first_match_first(kind: TargetKind) -> None:
    rows: Counter[str] = Counter()
    for case in product(kind):
        name, expected = next((name, then(case)) for name, when, then in TABLE if when(case))
        rows[name] += 1
        action = decide_image(case.seen, case.kind.target, case.policy, case.history)
        assert kind_of(action) == expected, f"{name}: {case} -> {action}"
    by_pin = {"pinned below, nodes present"}
    assert set(rows) == {name for name, _, _ in TABLE} - (set() if kind.by_version else by_pin), "every row is reached"


@both_kinds
def test_with_nothing_behind_a_size_that_is_not_ours_refuses_naming_both_and_writes_nothing(kind: TargetKind) -> None:
    """Issue 4: "a size that is neither size nor size + surge means that someone else acted"; no row is exempt."""
    wrong = []
    for case in product(kind):
        plain = case.seen.pool.base.kind is Kind.VM and case.seen.pool.base.state is PoolState.ACTIVE
        if not (plain and case.seen.pool.is_steady and is_foreign_when_finished(case)):
            continue
        action = decide_image(case.seen, case.kind.target, case.policy, case.history)
        if not isinstance(action, Refuse) and f"{kind_of(action)} at {case.seen.pool.size}" not in wrong:
            wrong.append(f"{kind_of(action)} at {case.seen.pool.size}")
    assert wrong == [], "began at 2 with surge 1"


@both_kinds
def test_no_cell_writes_what_is_not_allowed(kind: TargetKind) -> None:
    for case in product(kind):
        action = decide_image(case.seen, case.kind.target, case.policy, case.history)
        pool = case.seen.pool
        if isinstance(action, (SetMarker, Resize, RemoveNodes, Repin)):
            assert pool.is_steady, "a write is for a steady pool"
            assert pool.is_vm
        if isinstance(action, (Resize, RemoveNodes)):
            assert case.marker == "ours", "sizes and nodes are changed only under our marker"
        if isinstance(action, RemoveNodes) and not is_foreign_when_finished(case):
            assert len(action.nodes) <= 1, "never more than the surplus"
        if pool.automatic and case.marker != "ours":
            assert isinstance(action, (Wait, Refuse)), "automatic OS upgrade: never a write"
        if case.policy.strategy == "when_empty" and case.behind and case.marker != "ours":
            assert isinstance(action, (Wait, Refuse, Done)), "when_empty never touches a node"
        if isinstance(action, RemoveNodes) and case.policy.strategy == "when_empty":
            assert action.ours, "except nodes that a cycle has added"


WORDS_OF_A_VERSION = re.compile(r"version|20348")
WORDS_OF_A_MOMENT = re.compile(r"nodes_since|allocat(ed|ion time)")


@both_kinds
def test_every_refusal_and_every_wait_has_whole_words_and_none_of_the_other_kind(kind: TargetKind) -> None:
    other = WORDS_OF_A_MOMENT if kind.by_version else WORDS_OF_A_VERSION
    for case in itertools.islice(product(kind), 0, None, 7):
        if case.seen.pool.base.kind is not Kind.VM:
            continue  # the refusal shows the other resource, whose target is a version
        action = decide_image(case.seen, case.kind.target, case.policy, case.history)
        action = action.failure if isinstance(action, Undo) else action
        if isinstance(action, Refuse):
            assert action.reason
            assert action.next_step
            assert "None" not in action.reason + action.next_step
            assert not action.reason.endswith(".")
            assert not action.next_step.endswith(".")
            assert other.search(action.reason + action.next_step) is None, action
        elif isinstance(action, Wait):
            assert action.why
            assert "None" not in action.why + action.warning


def decided(
    state: VmState, strategy: str = "surge", surge: int = 1, history: ImageHistory | None = None
) -> ImageAction:
    """The action for a state."""
    return decide_image(look(state), WANTED, ImagePolicy(strategy, surge), history or ImageHistory())  # type: ignore[arg-type]


def refused(state: VmState, strategy: str = "surge") -> str:
    """The text of a refusal."""
    action = decided(state, strategy)
    assert isinstance(action, Refuse), action
    return f"{action.reason}. {action.next_step}"


def test_a_cloud_services_pool_is_told_the_line_to_paste() -> None:
    seen = seen_of(Kind.CLOUD_SERVICES, PoolState.ACTIVE, AllocationState.STEADY)
    base = replace(seen.pool.base, current_os_version="WA-GUEST-OS-5.24_201810-01")
    action = decide_image(VmPoolView(replace(seen.pool, base=base), ()), WANTED, ImagePolicy("surge"), ImageHistory())
    assert isinstance(action, Refuse)
    assert (
        'PoolOsVersion("Render-A", account_endpoint="https://acct.westeurope.batch.azure.com", pool_id="Render-A", '
        'target_os_version="WA-GUEST-OS-5.24_201810-01")'
    ) in action.next_step


@pytest.mark.parametrize("strategy", ["surge", "when_empty"])
def test_an_empty_pool_on_an_old_pin_is_repinned_by_either_strategy(strategy: str) -> None:
    assert decided(pool_of(0, version=OLD), strategy) == Repin(TARGET)


@pytest.mark.parametrize(
    "state",
    [
        pool_of(0, version=OLD, spot=1),
        replace(pool_of(0, version=OLD), size=2),
        replace(pool_of(0, version=OLD), nodes=(Machine("spot-0", dedicated=False),)),
    ],
    ids=["spot wanted", "nodes wanted", "a spot node there"],
)
def test_a_pinned_pool_that_is_not_wholly_empty_is_never_repinned(state: VmState) -> None:
    assert isinstance(decided(state, "when_empty"), Wait)
    assert isinstance(decided(state), Refuse)


@pytest.mark.parametrize(
    ("configuration", "named"),
    [
        ({"extensions": [{"name": "x"}]}, "extensions (protectedSettings)"),
        (
            {"containerConfiguration": {"containerRegistries": [{"username": "u", "registryServer": "r"}]}},
            "containerRegistries (password)",
        ),
    ],
)
def test_a_repin_that_could_lose_a_part_is_refused_naming_it(configuration: dict[str, object], named: str) -> None:
    text = refused(pool_of(0, version=OLD, configuration=configuration))
    assert named in text
    assert TARGET in text


def test_registries_by_identity_and_empty_extensions_are_no_reason_to_refuse() -> None:
    registries = [{"registryServer": "r", "identityReference": {"resourceId": "i"}}]
    configuration = {"extensions": [], "containerConfiguration": {"containerRegistries": registries}}
    assert decided(pool_of(0, version=OLD, configuration=configuration)) == Repin(TARGET)


@pytest.mark.parametrize("strategy", ["surge", "when_empty"])
@pytest.mark.parametrize("text", ["latest", "rolling", "20348", "22.04.99999999999"])
def test_nodes_that_show_no_number_are_refused_and_called_what_they_are(text: str, strategy: str) -> None:
    action = decided(pool_of(2, at=text), strategy)
    assert isinstance(action, Refuse)
    assert f"(Batch shows {text!r} for 2 of 2 nodes), so the version of a node cannot be compared" in action.reason
    assert action.next_step.startswith('Declare nodes_since="2018-12-01" in place of target_image_version: nodes that')
    assert action.next_step.endswith(
        'To keep the version, declare it with strategy="empty": `up` empties the pool after its tasks and pins it'
    )
    assert action.property == "target_image_version"


@pytest.mark.parametrize("strategy", ["surge", "when_empty"])
@pytest.mark.parametrize(
    "state",
    [
        pool_of(2, at="latest"),
        pool_of(2, at=""),
        pool_of(2, at="20348"),
        pool_of(2, version="rolling"),
        pool_of(2, version=OLD),
        pool_of(2, version=NEWER),
    ],
    ids=["latest", "silent", "odd", "odd pin", "older pin", "newer pin"],
)
@pytest.mark.parametrize("gallery", [False, True])
def test_a_moment_compares_no_version_whatever_the_nodes_show(state: VmState, strategy: str, gallery: bool) -> None:
    seen = look(state)
    seen = VmPoolView(replace(seen.pool, gallery=gallery), seen.nodes)
    action = decide_image(seen, MOMENTS.target, ImagePolicy(strategy), ImageHistory())  # type: ignore[arg-type]
    expected = SetMarker(Marker(2, 1, NEWEST)) if strategy == "surge" else Wait("until renewed", action.why)  # type: ignore[union-attr]
    assert action == expected


@pytest.mark.parametrize(
    ("since", "text"),
    [
        (
            "2018-12-02",
            "2018-12-02 is in the future: the clock of Batch shows 2018-12-01T12:00:00Z, so new nodes",
        ),
        ("2018-12-01T12:00:01Z", "2018-12-01T12:00:01Z is in the future"),
        ("2018-12-01T12:00:00Z", ""),
        ("2018-12-01", ""),
    ],
)
@pytest.mark.parametrize("count", [0, 2])
def test_a_moment_in_the_future_is_refused_by_the_clock_of_batch(since: str, text: str, count: int) -> None:
    """Also for an empty pool, in which no node is behind yet. Our own clock is not asked: it may be wrong."""
    for state in (pool_of(count, at="latest"), pool_of(count, at="latest", allocation="resizing")):
        target = AllocatedSince.parse(since)
        action = decide_image(look(state), target, ImagePolicy("surge"), ImageHistory(), now=at(-1e9))
        assert isinstance(action, Refuse) == bool(text)
        if isinstance(action, Refuse):
            assert action.reason.startswith(f"nodes_since {text}")
            assert action.next_step == 'Declare a moment that has passed, such as nodes_since="2018-12-01"'
            assert action.property == "nodes_since"


def test_an_answer_without_a_time_is_judged_by_the_given_clock_or_not() -> None:
    seen = look(pool_of(2, at="latest"))
    seen = VmPoolView(replace(seen.pool, base=replace(seen.pool.base, seen_at=None)), seen.nodes)
    target = AllocatedSince.parse("2018-12-02")
    assert isinstance(decide_image(seen, target, ImagePolicy("surge"), ImageHistory(), now=at(0)), Refuse)
    assert isinstance(decide_image(seen, target, ImagePolicy("surge"), ImageHistory(), now=at(DAY)), SetMarker)
    assert isinstance(decide_image(seen, target, ImagePolicy("surge"), ImageHistory()), SetMarker), "the canary proves"
    unknown = decide_image(seen, WANTED, ImagePolicy("surge"), ImageHistory())
    assert isinstance(unknown, Refuse)
    assert 'Declare nodes_since="<date>" in place of target_image_version' in unknown.next_step


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("starting", Wait("allocating", "1 node is starting")),
        ("creating", Wait("allocating", "1 node is starting")),
        ("idle", "1 node shows no allocation time, so it cannot be compared: old-00 (idle)"),
        ("unusable", "1 node shows no allocation time, so it cannot be compared: old-00 (unusable)"),
    ],
)
def test_a_node_without_an_allocation_time_is_waited_for_while_it_starts(state: str, expected: Wait | str) -> None:
    seen = look(pool_of(2, at="latest"))
    nodes = (replace(seen.nodes[0], state=state, allocated=""), seen.nodes[1])
    action = decide_image(VmPoolView(seen.pool, nodes), MOMENTS.target, ImagePolicy("surge"), ImageHistory())
    if isinstance(expected, Wait):
        assert action == expected
    else:
        assert isinstance(action, Refuse)
        assert action.reason == expected
        asked = (
            "Fix what has failed (old-00), then run" if state == "unusable" else "when Batch shows allocationTime of"
        )
        assert asked in action.next_step


def test_one_node_of_a_pool_that_shows_no_number_is_enough() -> None:
    """Nodes from before November 2024 show numbers, those that came since show the word."""
    state = replace(pool_of(3), nodes=(*pool_of(2).nodes, Machine("new-00", "latest", 10.0)))
    assert "(Batch shows 'latest' for 1 of 3 nodes)" in refused(state)


@pytest.mark.parametrize("text", ["latest", ""])
def test_nodes_of_a_pinned_pool_run_the_pin_whatever_they_show(text: str) -> None:
    assert decided(pool_of(2, at=text, version=TARGET)) == Done()
    assert "the pool is pinned to" in refused(pool_of(2, at=text, version=OLD))


@pytest.mark.parametrize(
    ("fates", "text"),
    [
        (("idle",), "1 node shows no image version, so it cannot be compared: old-00 (idle). Run `pulumi up` again"),
        (
            ("offline", "idle"),
            "2 nodes show no image version, so they cannot be compared: old-00, old-01 (idle, offline)",
        ),
        (("unusable", "idle"), "Fix what has failed (old-00), then run"),
    ],
)
def test_a_node_without_a_version_is_named_and_only_a_failed_one_is_to_be_fixed(
    fates: tuple[str, ...], text: str
) -> None:
    state = pool_of(len(fates), at="")
    nodes = tuple(replace(node, fate=fate) for node, fate in zip(state.nodes, fates, strict=True))
    assert text in refused(replace(state, nodes=nodes))


@pytest.mark.parametrize("text", ["", "latest", "rolling"])
@pytest.mark.parametrize("fate", ["idle", "unusable", "offline", "unknown"])
def test_no_message_tells_people_to_remove_a_node(text: str, fate: str) -> None:
    state = pool_of(2, at=text)
    action = decided(replace(state, nodes=tuple(replace(node, fate=fate) for node in state.nodes)))
    assert isinstance(action, Refuse)
    assert "remove the node" not in action.next_step.lower()


def test_done_needs_a_pool_without_resize_errors() -> None:
    """Issue 4: "Done = pool active, steady, no resizeErrors, ..."."""
    short = replace(pool_of(2, at=TARGET), size=3, errors=("AllocationFailed: no capacity",))
    assert not isinstance(decided(short), Done)


def test_resize_errors_of_a_shrink_that_is_over_do_not_stop_a_renewal() -> None:
    assert isinstance(decided(pool_of(2, errors=("RemoveNodesFailed: some stayed",))), SetMarker)


def test_the_note_is_gone_though_it_stands_in_this_run() -> None:
    mark = Marker(2, 1, NEWEST)
    action = decided(pool_of(3), history=ImageHistory(marker=mark))
    assert isinstance(action, Refuse)
    assert "its marker in the metadata is gone: the rollout began at 2 nodes" in action.reason


def test_a_floor_is_compared_by_numbers_not_by_text() -> None:
    assert isinstance(decided(pool_of(2, at="20348.10000.1")), Done)
    assert isinstance(decided(pool_of(2, at="20348.246.999999")), SetMarker)
    assert isinstance(decided(pool_of(2, version="20348.10000.1", at="20348.10000.1")), Done)


def test_the_note_tells_size_surge_and_the_newest_node() -> None:
    assert decided(pool_of(2), surge=3) == SetMarker(Marker(2, 3, NEWEST))


def test_a_foreign_entry_is_named_and_left() -> None:
    said = refused(pool_of(2, metadata=((MARKER, "keep out"),)))
    assert "batch-os holds 'keep out', which this provider did not write" in said


def test_autoscale_points_to_when_empty() -> None:
    text = refused(pool_of(2, autoscale=True))
    assert "2 nodes are behind" in text
    assert "409" in text
    assert 'strategy="when_empty"' in text


@pytest.mark.parametrize("size", [1, 4, 40])
def test_a_foreign_size_mid_cycle_names_both(size: int) -> None:
    text = refused(replace(pool_of(2), size=size, metadata=((MARKER, str(Marker(2, 1, NEWEST))),)))
    assert "began at 2 nodes" in text
    assert f"the target is now {size}" in text
    assert "nothing more was changed" in text


def test_more_nodes_than_the_cycle_can_have_are_not_told_as_two_equal_sizes() -> None:
    text = refused(replace(pool_of(5), size=2, metadata=((MARKER, str(Marker(2, 1, NEWEST))),)))
    assert "began at 2 nodes and there are 5 now" in text


def test_a_note_of_an_earlier_run_keeps_its_own_surge() -> None:
    state = pool_of(4, metadata=((MARKER, str(Marker(4, 3, NEWEST))),))
    assert decided(state, surge=1) == Resize(7, "adding 3 nodes")


def test_a_target_raised_after_a_crash_does_not_blame_batch_for_nodes_of_the_earlier_run() -> None:
    """An earlier run renewed one of two nodes to a version that is now behind; Batch gives the new one."""
    nodes = (
        Machine("old-01", OLD, -86399.0),
        Machine("new-00", TARGET, 10.0, ours=True),
        Machine("new-01", NEWER, 20.0, ours=True),
    )
    state = replace(pool_of(0), nodes=nodes, size=3, metadata=((MARKER, str(Marker(2, 1, NEWEST))),))
    action = decide_image(look(state), ImageVersion.parse(NEWER), ImagePolicy("surge"), ImageHistory())
    assert isinstance(action, RemoveNodes), action


def test_a_note_that_lost_its_rollout_to_when_empty_is_undone() -> None:
    """Issue 4: a crash leaves a marker that the next `up` "reads and finishes or undoes", whatever its strategy."""
    nodes = (*pool_of(2).nodes, Machine("new-00", TARGET, 10.0, ours=True))
    state = replace(pool_of(0), nodes=nodes, size=3, metadata=((MARKER, str(Marker(2, 1, NEWEST))),))
    assert not isinstance(decided(state, "when_empty"), Wait)


def test_a_node_left_over_by_an_undo_is_removed_though_nothing_is_behind() -> None:
    """The drain ran out and the target stayed down: the marker must not be cleared while a node is extra."""
    nodes = (*pool_of(2, at=TARGET).nodes, Machine("new-00", TARGET, 10.0, busy_until=999.0, ours=True))
    state = replace(pool_of(0), nodes=nodes, size=2, metadata=((MARKER, str(Marker(2, 1, NEWEST))),))
    assert decided(state) != SetMarker(None)


def test_a_note_that_adds_nothing_does_not_resize_for_ever() -> None:
    assert decided(pool_of(2, metadata=((MARKER, str(Marker(2, 0, NEWEST))),))) != Resize(2, "adding 0 nodes")


def test_the_first_failure_counts() -> None:
    first = with_failure(ImageHistory(), FAILED)
    assert with_failure(first, Refuse("later", "x")).failure == FAILED
