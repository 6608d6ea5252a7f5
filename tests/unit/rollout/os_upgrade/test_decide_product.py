"""Pins the decide table over its whole product, against a second table written from the design alone.

The second table is a list of (row, when, then), first match wins, in the design's order. It shares
no code with ``decide`` but the value types.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from batch_os_provider.batch.pool import AllocationState, Kind, Pool, PoolState
from batch_os_provider.errors import ServiceAnswer
from batch_os_provider.rollout.actions import Done, Refuse, Wait
from batch_os_provider.rollout.os_upgrade.decide import Action, History, Refusal, Upgrade, decide
from batch_os_provider.schema.declared import Policy
from tests.unit.rollout.doubles import OTHER_FAMILY, REF, V24, V25, V26

NOW = 1000.0
ETAG = "0x8D6575C3A4F1E00"
ANSWER = ServiceAnswer(409, "OperationNotValidOnPool", "The specified operation is not valid on the pool")
HISTORIES = (
    "nothing",
    "accepted just now",
    "astray for 5 s",
    "astray for an hour",
    "refused once",
    "refused twice, same view",
    "refused twice, another view",
    "refused twice, but it passes",
)


@dataclass(frozen=True)
class Case:
    """One cell of the product."""

    seen: Pool
    target: str
    policy: Policy
    history_name: str
    history: History

    @property
    def ours(self) -> bool:
        """Whether the upgrade in flight is to our target."""
        return self.seen.target_os_version == self.target

    @property
    def accepted(self) -> bool:
        """Whether this rollout has a 202."""
        return self.history_name in HISTORIES[1:4]


def pool(kind: Kind, state: PoolState, allocation: AllocationState, current: str | None, goes_to: str | None) -> Pool:
    """A pool as it may be seen, impossible mixtures included: the table has to be total."""
    return Pool(
        REF,
        kind,
        state,
        "defragmenting" if state is PoolState.UNKNOWN else state.value,
        allocation,
        "pausing" if allocation is AllocationState.UNKNOWN else allocation.value,
        etag=ETAG,
        os_family="5" if kind is Kind.CLOUD_SERVICES else None,
        current_os_version=current,
        target_os_version=goes_to,
    )


def history_of(name: str, seen: Pool) -> History:
    """A history by its name."""
    once = Refusal(ANSWER, seen.fingerprint, lasting=True)
    twice = Refusal(ANSWER, seen.fingerprint, lasting=True, times=2)
    return {
        "nothing": History(),
        "accepted just now": History(accepted_at=NOW - 1),
        "astray for 5 s": History(accepted_at=NOW - 100, astray_since=NOW - 5),
        "astray for an hour": History(accepted_at=NOW - 4000, astray_since=NOW - 3600),
        "refused once": History(refusal=once),
        "refused twice, same view": History(refusal=twice),
        "refused twice, another view": History(refusal=Refusal(ANSWER, ("another", "view"), lasting=True, times=2)),
        "refused twice, but it passes": History(refusal=Refusal(ANSWER, seen.fingerprint, lasting=False, times=2)),
    }[name]


def product() -> Iterator[Case]:
    """Every cell."""
    policies = [
        Policy(if_resizing=resizing, on_conflict=conflict)
        for resizing in ("wait", "fail")
        for conflict in ("fail", "wait")
    ]
    for kind, state, allocation in itertools.product(Kind, PoolState, AllocationState):
        for current, goes_to in itertools.product((V24, "*", None), (V25, V26, "*", None)):
            seen = pool(kind, state, allocation, current, goes_to)
            for target, policy, name in itertools.product((V24, V25, "*", OTHER_FAMILY), policies, HISTORIES):
                yield Case(seen, target, policy, name, history_of(name, seen))


Row = tuple[str, Callable[[Case], bool], Callable[[Case], str]]

TABLE: tuple[Row, ...] = (
    ("deleting", lambda c: c.seen.state is PoolState.DELETING, lambda _: "Refuse"),
    ("VM, or of no known kind", lambda c: c.seen.kind is not Kind.CLOUD_SERVICES, lambda _: "Refuse"),
    ("another OS family", lambda c: c.target == OTHER_FAMILY, lambda _: "Refuse"),
    (
        "active at target",
        lambda c: c.seen.state is PoolState.ACTIVE and c.seen.current_os_version == c.target,
        lambda _: "Done",
    ),
    ("upgrading to ours", lambda c: c.seen.state is PoolState.UPGRADING and c.ours, lambda _: "Wait"),
    (
        "upgrading to another",
        lambda c: c.seen.state is PoolState.UPGRADING,
        lambda c: "Wait" if c.policy.on_conflict == "wait" else "Refuse",
    ),
    (
        "an unknown state",
        lambda c: c.seen.state is PoolState.UNKNOWN or c.seen.current_os_version is None,
        lambda _: "Wait, warned",
    ),
    (
        "resizing or stopping",
        lambda c: c.seen.allocation in (AllocationState.RESIZING, AllocationState.STOPPING),
        lambda c: "Wait" if c.policy.if_resizing == "wait" else "Refuse",
    ),
    (
        "an unknown allocation state",
        lambda c: c.seen.allocation is AllocationState.UNKNOWN,
        lambda _: "Wait, warned",
    ),
    (
        "after our 202",
        lambda c: c.accepted,
        lambda c: "Refuse" if c.history_name == "astray for an hour" else "Wait",
    ),
    (
        "refused twice while nothing changed",
        lambda c: c.history_name == "refused twice, same view",
        lambda _: "Refuse",
    ),
    ("active, steady, current differs", lambda _: True, lambda _: "Upgrade"),
)


def kind_of(action: Action) -> str:
    """An action as the second table names it."""
    if isinstance(action, Wait):
        return "Wait, warned" if action.warning else "Wait"
    return type(action).__name__


def test_the_whole_product_decides_as_the_design_says_first_match_first() -> None:
    rows: Counter[str] = Counter()
    for case in product():
        name, expected = next((name, then(case)) for name, when, then in TABLE if when(case))
        action = decide(case.seen, case.target, case.policy, case.history, NOW)
        assert kind_of(action) == expected, f"{name}: {case} -> {action}"
        rows[name] += 1
    assert set(rows) == {name for name, _, _ in TABLE}, "every row is reached"
    assert rows.total() == 3 * 4 * 4 * 3 * 4 * 4 * 4 * 8


def test_no_cell_writes_without_need_or_knowledge() -> None:
    for case in product():
        action = decide(case.seen, case.target, case.policy, case.history, NOW)
        if isinstance(action, Upgrade):
            assert action == Upgrade(case.target, ETAG), "the write is for our target and on the ETag just read"
            assert not case.accepted, "never a second POST after our 202"
            assert case.seen.state is PoolState.ACTIVE
            assert case.seen.allocation is AllocationState.STEADY
            assert case.seen.current_os_version not in (None, case.target)
        elif isinstance(action, Done):
            assert case.seen.state is PoolState.ACTIVE
            assert case.seen.current_os_version == case.target


def test_every_refusal_says_what_was_seen_and_what_to_do_and_every_wait_why() -> None:
    for case in itertools.islice(product(), 0, None, 7):
        action = decide(case.seen, case.target, case.policy, case.history, NOW)
        if isinstance(action, Refuse):
            assert action.reason
            assert action.next_step
            assert "None" not in action.reason + action.next_step, f"a hole in the text: {action}"
            assert not action.reason.endswith("."), "the error sets the final stop"
            assert not action.next_step.endswith(".")
        elif isinstance(action, Wait):
            assert action.why
            assert "None" not in action.why + action.warning


def test_deciding_twice_decides_alike() -> None:
    for case in itertools.islice(product(), 0, None, 97):
        first = decide(case.seen, case.target, case.policy, case.history, NOW)
        assert decide(case.seen, case.target, case.policy, case.history, NOW) == first
