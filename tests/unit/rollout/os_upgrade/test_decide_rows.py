"""Pins each row of the decide table by a named example, with the parts of its text."""

from __future__ import annotations

from dataclasses import replace

import pytest

from batch_os_provider.batch.pool import AllocationState, Kind, Pool, PoolState
from batch_os_provider.errors import ServiceAnswer
from batch_os_provider.guest_os.version import same_version
from batch_os_provider.rollout.actions import GRACE, Done, Refuse, Wait
from batch_os_provider.rollout.os_upgrade.decide import Action, History, Refusal, Upgrade, decide
from batch_os_provider.schema.declared import Policy
from tests.unit.rollout.doubles import OTHER_FAMILY, REF, V24, V25, V26

ACTIVE = Pool(
    REF,
    Kind.CLOUD_SERVICES,
    PoolState.ACTIVE,
    "active",
    AllocationState.STEADY,
    "steady",
    etag="0x1",
    os_family="5",
    current_os_version=V24,
    target_os_version=V24,
)
UPGRADING = replace(ACTIVE, state=PoolState.UPGRADING, state_text="upgrading", target_os_version=V25)
RESIZING = replace(ACTIVE, allocation=AllocationState.RESIZING, allocation_text="resizing")
TAKEN = History(accepted_at=100.0)


def deciding(
    seen: Pool, target: str = V25, policy: Policy | None = None, history: History | None = None, now: float = 100.0
) -> Action:
    return decide(seen, target, policy or Policy(), history or History(), now)


def refusal(action: Action) -> str:
    assert isinstance(action, Refuse), action
    return f"{action.reason}. {action.next_step}."


def waiting(action: Action) -> Wait:
    assert isinstance(action, Wait), action
    return action


def test_a_deleting_pool_is_refused_even_at_its_target() -> None:
    deleting = replace(ACTIVE, state=PoolState.DELETING, state_text="deleting", current_os_version=V25)
    assert "being deleted" in refusal(deciding(deleting))


def test_a_vm_pool_is_refused_with_the_resource_to_use_filled_in() -> None:
    machine = replace(ACTIVE, kind=Kind.VM, current_os_version=None, os_family=None, image="windowsserver 2022")
    text = refusal(deciding(machine))
    for part in ("VM pool", "windowsserver 2022", "PoolImageVersion(", REF.endpoint, REF.pool_id, "Cloud Services"):
        assert part in text


def test_a_pool_of_no_known_kind_is_refused_without_claiming_that_it_is_a_vm_pool() -> None:
    text = refusal(deciding(replace(ACTIVE, kind=Kind.UNKNOWN)))
    assert "VM pool" not in text
    assert "cloudServiceConfiguration" in text


def test_another_family_is_refused_naming_both_and_what_is_allowed() -> None:
    text = refusal(deciding(ACTIVE, OTHER_FAMILY))
    for part in (OTHER_FAMILY, "family 4", "family 5", "WA-GUEST-OS-5.", "*"):
        assert part in text


def test_a_star_fits_the_pools_family_and_equals_a_star_only() -> None:
    assert deciding(ACTIVE, "*") == Upgrade("*", "0x1")
    assert deciding(replace(ACTIVE, current_os_version="*"), "*") == Done()
    assert deciding(replace(ACTIVE, current_os_version="*"), V25) == Upgrade(V25, "0x1")


def test_an_older_target_is_an_upgrade_too() -> None:
    assert deciding(replace(ACTIVE, current_os_version=V26), V24) == Upgrade(V24, "0x1")


@pytest.mark.parametrize("allocation", AllocationState)
def test_at_target_is_done_whatever_the_allocation_state(allocation: AllocationState) -> None:
    assert deciding(replace(ACTIVE, allocation=allocation), V24, Policy(if_resizing="fail")) == Done()


def test_an_upgrade_to_our_target_is_joined_or_watched() -> None:
    assert waiting(deciding(UPGRADING)).phase == "joined"
    assert waiting(deciding(UPGRADING, history=TAKEN)).phase == "upgrading"


def test_an_upgrade_to_our_target_is_joined_though_a_resize_is_under_way() -> None:
    seen = replace(UPGRADING, allocation=AllocationState.RESIZING)
    assert waiting(deciding(seen, policy=Policy(if_resizing="fail"))).phase == "joined"


def test_an_upgrade_to_another_target_is_refused_naming_both_versions_and_the_way_out() -> None:
    text = refusal(deciding(replace(UPGRADING, target_os_version=V26)))
    for part in (V26, V25, 'on_conflict="wait"', "pulumi up"):
        assert part in text


def test_an_upgrade_to_another_target_is_waited_for_where_declared() -> None:
    action = waiting(deciding(replace(UPGRADING, target_os_version=V26), policy=Policy(on_conflict="wait")))
    assert action.phase == "conflict"
    assert (
        action.why == "another upgrade is in flight (5.24_201810-01 -> 5.26_201812-01), 5.25_201811-01 comes after it"
    )


def test_current_equal_to_target_while_upgrading_away_is_a_conflict_and_not_done() -> None:
    away = replace(UPGRADING, current_os_version=V25, target_os_version=V26)
    assert isinstance(deciding(away), Refuse)


@pytest.mark.parametrize("allocation", [AllocationState.RESIZING, AllocationState.STOPPING])
def test_a_resize_is_waited_for_or_refused_and_said_to_be_left_alone(allocation: AllocationState) -> None:
    seen = replace(ACTIVE, allocation=allocation, allocation_text=allocation.value)
    assert waiting(deciding(seen)).phase == "resizing"
    text = refusal(deciding(seen, policy=Policy(if_resizing="fail")))
    for part in (allocation.value, "does not stop it", 'if_resizing="wait"'):
        assert part in text


def test_a_pool_that_scales_itself_is_said_to_do_so() -> None:
    assert "scales itself" in waiting(deciding(replace(RESIZING, autoscale=True))).why
    assert "scales itself" not in waiting(deciding(RESIZING)).why


@pytest.mark.parametrize(
    "odd",
    [
        replace(ACTIVE, state=PoolState.UNKNOWN, state_text="defragmenting"),
        replace(ACTIVE, allocation=AllocationState.UNKNOWN, allocation_text="defragmenting"),
    ],
)
def test_a_state_nobody_has_heard_of_is_waited_out_with_a_warning_that_names_it(odd: Pool) -> None:
    action = waiting(deciding(odd, policy=Policy(if_resizing="fail", on_conflict="fail")))
    assert "defragmenting" in action.why
    assert "defragmenting" in action.warning


def test_an_unknown_current_version_is_never_upgraded_over() -> None:
    assert "currentOSVersion" in waiting(deciding(replace(ACTIVE, current_os_version=None))).warning


def test_after_our_202_the_old_view_is_waited_out_for_a_grace_and_then_refused() -> None:
    settling = replace(TAKEN, astray_since=101.0)
    assert waiting(deciding(ACTIVE, history=settling, now=101.0)).phase == "settling"
    assert waiting(deciding(ACTIVE, history=settling, now=101.0 + GRACE - 0.1)).phase == "settling"
    text = refusal(deciding(ACTIVE, history=settling, now=101.0 + GRACE))
    for part in ("moved away", V25, V24):
        assert part in text


def test_the_same_refusal_twice_to_one_view_is_final_with_the_services_text() -> None:
    answer = ServiceAnswer(409, "OperationNotValidOnPool", "The specified operation is not valid on the pool", "r")
    twice = Refusal(answer, ACTIVE.fingerprint, lasting=True, times=2)
    action = deciding(ACTIVE, history=History(refusal=twice))
    text = refusal(action)
    for part in (V24, V25, "409", "OperationNotValidOnPool", "not valid on the pool"):
        assert part in text
    assert isinstance(action, Refuse)
    assert action.answer is answer
    changed = replace(ACTIVE, etag="0x2")
    assert deciding(changed, history=History(refusal=twice)) == Upgrade(V25, "0x2")


def test_history_is_kept_by_values() -> None:
    answer, other = ServiceAnswer(409, "A"), ServiceAnswer(409, "B")
    once = History().refused(answer, ACTIVE, lasting=True)
    assert once.refusal == Refusal(answer, ACTIVE.fingerprint, lasting=True)
    twice = once.refused(answer, ACTIVE, lasting=True)
    assert twice.refusal is not None
    assert twice.refusal.times == 2
    for again in (
        twice.refused(other, ACTIVE, lasting=True),
        twice.refused(answer, replace(ACTIVE, etag="0x2"), lasting=True),
    ):
        assert again.refusal is not None
        assert again.refusal.times == 1, "another code or another view starts the count again"
    assert once.accepted(5.0) == History(accepted_at=5.0)


def test_astray_is_counted_from_the_first_look_and_forgotten_when_it_shows() -> None:
    first = TAKEN.observed(ACTIVE, V25, 101.0)
    assert first.observed(ACTIVE, V25, 110.0).astray_since == 101.0
    assert first.observed(UPGRADING, V25, 110.0).astray_since is None
    assert first.observed(replace(ACTIVE, current_os_version=V25), V25, 110.0).astray_since is None
    assert History().observed(ACTIVE, V25, 101.0).astray_since is None, "only after our 202"


def test_versions_compare_without_case_and_nothing_is_no_version() -> None:
    assert same_version(V25.lower(), V25)
    assert not same_version(None, V25)
    assert not same_version(V24, "*")
    assert same_version("*", "*")
