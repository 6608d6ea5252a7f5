"""Pins bags in, bags out: the diff table, check's answers, what create, update and read return, and the pickle."""

from __future__ import annotations

import base64
import pickletools
import re
import subprocess
import sys
from dataclasses import replace
from typing import Any

import dill  # type: ignore[import-untyped]
import pytest
from pulumi.dynamic.dynamic import serialize_provider
from pulumi.output import UNKNOWN, Unknown

from batch_os_provider import crud, pool_provider
from batch_os_provider.batch.client import shared_client
from batch_os_provider.comparison.declared_once import DeclaredPools
from batch_os_provider.engine import diagnostics
from batch_os_provider.engine.refresh import RefreshDetector
from batch_os_provider.errors import (
    ApiRetiredError,
    BatchOsError,
    CredentialError,
    InputError,
    PoolGoneError,
    RefusedError,
    UnhealthyError,
)
from batch_os_provider.preview.message_tail import split
from batch_os_provider.provider import PoolOsVersionProvider
from batch_os_provider.runtime import per_account
from batch_os_provider.schema.inputs import is_on
from batch_os_provider.schema.outputs import OUTPUTS
from tests.unit.rollout.doubles import REF, V24, V25, V26, FakeService, Script, State, VirtualWaiter

ENDPOINT = REF.endpoint
S24, S25 = "5.24_201810-01", "5.25_201811-01"
"""V24 and V25 as a row shows them."""
INPUTS: dict[str, Any] = {"account_endpoint": ENDPOINT, "pool_id": REF.pool_id, "target_os_version": V25}
OUTS: dict[str, Any] = {**INPUTS, "current_os_version": V25, "os_family": "5", "pool_state": "active"}
COUNTED: dict[str, Any] = {**OUTS, "unhealthy_nodes": 0}
AT_TARGET = State(current=V25, target=V25)
PROVIDER = PoolOsVersionProvider()


URN = "urn:pulumi:dev::farm::pulumi-python:dynamic/batch:PoolOsVersion::render"


@pytest.fixture(autouse=True)
def program(monkeypatch: pytest.MonkeyPatch) -> RefreshDetector:
    """Begin a new plugin process that serves one resource, which nobody has asked about yet."""
    monkeypatch.setattr(diagnostics, "current_urn", lambda: URN)
    per_account.reset()
    fresh = RefreshDetector()
    monkeypatch.setattr(pool_provider, "program", fresh)
    monkeypatch.setattr(pool_provider, "_declared", DeclaredPools())
    return fresh


@pytest.fixture
def batch(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Stand a scripted pool in for the account's client."""

    def stand_in(state: State = AT_TARGET, script: Script | None = None) -> FakeService:
        service = FakeService(VirtualWaiter(), state, script or Script())
        per_account.reset()
        shared_client.put(ENDPOINT, service)
        return service

    return stand_in


def diff(olds: dict[str, Any], news: dict[str, Any]) -> tuple[bool | None, list[str] | None]:
    """Compare as a refresh asks: nothing was checked."""
    result = PROVIDER.diff(REF.url, olds, news)
    return result.changes, result.replaces


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, (False, [])),
        ({"account_endpoint": "HTTPS://Acct.WestEurope.batch.azure.com/"}, (False, [])),
        ({"account_endpoint": "acct.westeurope.batch.azure.com:443"}, (False, [])),
        ({"account_endpoint": "https://other.westeurope.batch.azure.com"}, (True, ["account_endpoint"])),
        ({"pool_id": REF.pool_id.swapcase()}, (False, [])),
        ({"pool_id": "render-b"}, (True, ["pool_id"])),
        ({"target_os_version": V26}, (True, [])),
        ({"target_os_version": "*"}, (True, [])),
        ({"timeout": "2h"}, (True, [])),
        ({"on_timeout": "defer"}, (True, [])),
        ({"if_resizing": "fail"}, (True, [])),
        ({"on_conflict": "wait"}, (True, [])),
        ({"account_endpoint": UNKNOWN}, (True, [])),
        ({"pool_id": UNKNOWN}, (True, [])),
        ({"target_os_version": UNKNOWN}, (True, [])),
        ({"timeout": UNKNOWN}, (True, [])),
        ({"pool_id": "render-b", "account_endpoint": "https://x.example"}, (True, ["account_endpoint", "pool_id"])),
    ],
    ids=lambda value: str(value).replace(str(UNKNOWN), "unknown"),
)
def test_the_diff_of_a_change(change: dict[str, Any], expected: tuple[bool, list[str]]) -> None:
    assert diff(OUTS, {**INPUTS, **change}) == expected


@pytest.mark.parametrize(
    ("old", "new", "changes"),
    [
        ("2h", 7200.0, False),
        (7200.0, "120m", False),
        ("2h", "3h", True),
        ("2h", None, True),
        (None, "2h", True),
        (None, None, False),
    ],
)
def test_the_diff_of_a_timeout_is_by_its_meaning(old: object, new: object, changes: bool) -> None:
    assert diff({**OUTS, "timeout": old}, {**INPUTS, "timeout": new}) == (changes, [])


def test_a_value_that_goes_is_a_change_as_one_that_comes() -> None:
    assert diff({**OUTS, "on_timeout": "defer"}, INPUTS) == (True, [])
    assert diff({**OUTS, "on_timeout": None}, INPUTS) == (False, [])


def test_drift_written_by_a_refresh_is_a_change_without_replacement() -> None:
    drifted = {**OUTS, "target_os_version": V24, "current_os_version": V24}
    assert diff(drifted, INPUTS) == (True, [])


def test_an_unchanged_resource_is_compared_without_a_call(batch: Any) -> None:
    service = batch()
    assert diff(OUTS, INPUTS) == (False, [])
    assert service.calls == []


def planned(olds: dict[str, Any], news: dict[str, Any]) -> tuple[bool | None, list[str] | None]:
    """Compare as a program asks: check comes first."""
    assert PROVIDER.check(INPUTS, news).failures == []
    return diff(olds, news)


def test_a_deferred_upgrade_is_planned_again_and_the_row_says_why(
    batch: Any,
    capsys: pytest.CaptureFixture[str],
) -> None:
    service = batch(State())
    assert planned({**OUTS, "current_os_version": V24}, INPUTS) == (True, [])
    assert service.count("post") == 0
    said = capsys.readouterr().err
    assert re.search(rf"3 nodes, no task runs; .*; still at {S24}; upgrade to {S25} was deferred \[batch-os", said)
    _, tail = split(said)
    assert tail is not None
    assert (tail.what, tail.came_from, tail.target, tail.nodes) == ("upgrade", V24, V25, 3)
    assert "deferred" in tail.warnings


def test_a_refresh_asks_for_the_same_comparison_and_gets_it_without_a_look(
    batch: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    service = batch(State(state="deleting"))
    PROVIDER.check(INPUTS, INPUTS)
    PROVIDER.read(REF.url, OUTS)
    reads = len(service.calls)
    assert diff({**OUTS, "current_os_version": V24}, INPUTS) == (True, []), "an up would be refused, and drift is shown"
    assert (len(service.calls), capsys.readouterr().err) == (reads, "")


def test_a_planned_change_that_up_would_refuse_is_an_error_of_the_preview(batch: Any) -> None:
    batch(State(state="deleting"))
    with pytest.raises(RefusedError, match="an up would be refused: it is being deleted") as refused:
        planned({**OUTS, "current_os_version": V24}, INPUTS)
    text, tail = split(str(refused.value))
    assert text.startswith(f"pool {REF.url}: ")
    assert text.endswith(
        f" Pulumi stops here; `batch-os adopt {REF.endpoint} --check .` shows every pool that is refused."
    )
    assert tail is not None
    assert (tail.what, tail.why) == ("refused", "it is being deleted")


IN_FLIGHT = State(state="upgrading", target=V26, upgrade_began=-30.0, upgrade_ends=60.0)
V4 = "WA-GUEST-OS-4.59_201810-01"


@pytest.mark.parametrize(
    ("state", "inputs", "property_", "reason"),
    [
        (State(state="deleting"), {}, "pool_id", "it is being deleted.\nNext: Remove the resource"),
        (
            State(current=V4, target=V4, family="4"),
            {},
            "target_os_version",
            "it is of OS family 5, but the pool is of OS family 4.\nNext: Declare",
        ),
        (IN_FLIGHT, {"on_conflict": "fail"}, "on_conflict", f"an upgrade {V24} -> {V26} is in flight, and {V25} is"),
        # What is not declared has no value to show.
        (IN_FLIGHT, {}, "pool_id", f"an upgrade {V24} -> {V26} is in flight, and {V25} is declared"),
        (
            State(allocation="resizing"),
            {"if_resizing": "fail"},
            "if_resizing",
            "a resize is under way (resizing); this `up` does not stop it.\nNext: Run",
        ),
    ],
)
def test_a_new_resource_that_up_would_refuse_fails_on_the_input_that_is_wrong(
    batch: Any, state: State, inputs: dict[str, str], property_: str, reason: str
) -> None:
    batch(state)
    bag = {**INPUTS, **inputs}
    (failure,) = PROVIDER.check({}, bag).failures
    assert failure.property == property_
    assert failure.reason.startswith(f"an up would be refused: {reason}")
    text, tail = split(failure.reason)
    assert bag[property_] not in text.partition(". ")[0], "the engine has written the value already"
    assert tail is not None


def test_a_pool_in_another_place_is_told_once_when_it_is_checked_anew(batch: Any) -> None:
    service = batch(State())
    assert planned({**OUTS, "current_os_version": V24}, {**INPUTS, "pool_id": "other"}) == (True, ["pool_id"])
    assert service.calls == []


def test_state_that_is_older_than_the_service_is_said(batch: Any, capsys: pytest.CaptureFixture[str]) -> None:
    batch(AT_TARGET)
    assert planned({**OUTS, "current_os_version": V24}, {**INPUTS, "timeout": "3h"}) == (True, [])
    said = capsys.readouterr().err
    assert re.search(
        rf"no change needed; the state is out of date: it says {S24}; .*; the pool runs {S25} \[batch-os", said
    )


def test_an_older_target_is_a_rollback_and_never_refused(batch: Any, capsys: pytest.CaptureFixture[str]) -> None:
    batch(AT_TARGET)
    assert planned(OUTS, {**INPUTS, "target_os_version": V24}) == (True, [])
    assert re.search(rf"ROLLBACK: 3 nodes, no task runs; .*; {S25} -> {S24} \[batch-os", capsys.readouterr().err)


def test_looking_can_be_turned_off_and_the_state_still_tells_a_rollback(
    batch: Any, program: RefreshDetector, capsys: pytest.CaptureFixture[str]
) -> None:
    service = batch(AT_TARGET)
    program.looks = False
    assert planned(OUTS, {**INPUTS, "target_os_version": V24}) == (True, [])
    assert re.search(
        rf"ROLLBACK: according to the state; the pool was not checked; .*; {S25} -> {S24} \[", capsys.readouterr().err
    )
    assert PROVIDER.check({}, INPUTS).failures == []
    assert service.calls == []


@pytest.mark.parametrize("told", ["yes", "1", ""])
def test_the_stack_config_for_looks_is_true_or_false(told: str) -> None:
    assert is_on(None)
    assert is_on("True")
    assert not is_on("false")
    with pytest.raises(InputError, match=f"batch:previewLook is {told!r}; allowed: true or false"):
        is_on(told)


def test_a_look_that_fails_is_told_once_and_the_plan_stands(batch: Any, capsys: pytest.CaptureFixture[str]) -> None:
    refused = CredentialError("Batch refused it", pool=ENDPOINT, next_step="Sign in")
    service = batch(State(), Script(reads=lambda _: refused))
    for target in (V24, V26):
        assert planned(OUTS, {**INPUTS, "target_os_version": target})[0] is True
    said = capsys.readouterr().err
    assert said.count("could not check the pool: account") == 1
    assert "ROLLBACK" in said
    assert service.count("read") == 1


def test_a_pool_whose_version_was_never_seen_is_planned(batch: Any) -> None:
    batch()
    assert diff({**INPUTS}, INPUTS)[0] is True


def test_check_gives_pulumi_the_failures_and_keeps_what_it_was_given() -> None:
    result = PROVIDER.check({}, {**INPUTS, "timeout": "soon", "__provider": "x"})
    assert [(failure.property, "soon" in failure.reason) for failure in result.failures] == [("timeout", True)]
    assert result.inputs["__provider"] == "x"


def test_check_lets_unknown_values_pass() -> None:
    unknown = dict.fromkeys(INPUTS, UNKNOWN)
    result = PROVIDER.check({}, unknown)
    assert result.failures == []
    assert all(isinstance(value, Unknown) for value in result.inputs.values())


def test_one_pool_declared_twice_in_one_program_is_refused_naming_both_urns(
    monkeypatch: pytest.MonkeyPatch, program: RefreshDetector
) -> None:
    program.looks = False

    def check(urn: str, pool_id: str) -> Any:
        monkeypatch.setattr(diagnostics, "current_urn", lambda: urn)
        return PROVIDER.check({}, {**INPUTS, "pool_id": pool_id})

    assert check("urn:one", "twice-a").failures == []
    assert check("urn:one", "twice-a").failures == [], "checked again in the same up"
    assert check("urn:other", "twice-b").failures == []
    (failure,) = check("urn:other", "TWICE-A").failures
    assert failure.property == "pool_id"
    assert "urn:one" in failure.reason
    assert "urn:other" in failure.reason
    assert check("urn:other", "twice-b").failures == [], "corrected"


def test_a_pool_at_its_target_costs_one_read_and_no_write(batch: Any) -> None:
    service = batch()
    bag = {**INPUTS, "timeout": 90.0, "on_timeout": None}
    result: Any = PROVIDER.update(REF.url, COUNTED, bag)
    assert [call.kind for call in service.calls] == ["read"], "the nodes were counted before"
    assert result.outs == {**COUNTED, "timeout": 90.0}, "outputs are the inputs as declared and what was seen"


def test_a_pool_that_is_adopted_has_its_nodes_counted_once(batch: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever brought it there, an earlier run that was killed perhaps: success hides no unhealthy node."""
    service = batch()
    result = PROVIDER.create(INPUTS)
    assert (result.id, result.outs) == (REF.url, COUNTED)
    assert [call.kind for call in service.calls] == ["read", "nodes"]
    batch(SICK)
    assert PROVIDER.update(REF.url, {**COUNTED, "current_os_version": V24}, INPUTS).outs == {
        **OUTS,
        "unhealthy_nodes": 1,
    }
    assert f"the pool runs {V25}, but 1 of 3 nodes is unhealthy: tvm-1 is unusable" in capsys.readouterr().err


def test_nodes_that_cannot_be_counted_are_no_output_and_no_error(batch: Any) -> None:
    denied = CredentialError("denied", pool=REF.url)
    batch(AT_TARGET, Script(node_lists=lambda _: denied))
    assert PROVIDER.create(INPUTS).outs == OUTS


def test_reading_shows_drift_in_inputs_and_outputs(batch: Any) -> None:
    batch(State())
    result = PROVIDER.read(REF.url, {**OUTS, "timeout": "90s"})
    seen = {**INPUTS, "target_os_version": V24, "timeout": "90s"}
    assert result.id == REF.url
    assert result.inputs == seen
    assert result.outs == {**seen, "current_os_version": V24, "os_family": "5", "pool_state": "active"}


def test_a_refresh_without_a_real_change_shows_none(batch: Any) -> None:
    batch()
    result = PROVIDER.read(REF.url, OUTS)
    assert result.outs == OUTS
    assert result.inputs == INPUTS
    assert diff(result.outs, INPUTS) == (False, [])


def test_a_pool_can_be_read_by_its_url_alone(batch: Any) -> None:
    batch()
    assert PROVIDER.read(REF.url, {}).outs == OUTS


def test_a_pool_without_a_version_keeps_the_declared_one(batch: Any) -> None:
    machine = State(current=None, target=None, family=None, vm_image={"sku": "2022"})
    for state in (machine, replace(AT_TARGET, current=None)):
        batch(state)
        result = PROVIDER.read(REF.url, OUTS)
        assert result.id == REF.url
        assert result.inputs == INPUTS
        assert {**(result.outs or {})}["current_os_version"] is None


def test_only_a_pool_that_is_not_there_is_gone(batch: Any) -> None:
    batch(AT_TARGET, Script(gone_at=0.0))
    assert PROVIDER.read(REF.url, OUTS).id is None
    batch(replace(AT_TARGET, state="deleting"))
    result = PROVIDER.read(REF.url, OUTS)
    assert result.id == REF.url
    assert {**(result.outs or {})}["pool_state"] == "deleting"


def test_a_retired_api_neither_loses_the_resource_nor_changes_it(batch: Any) -> None:
    batch(AT_TARGET, Script(reads=lambda _: ApiRetiredError("no longer answered", pool=REF.url)))
    result = PROVIDER.read(REF.url, OUTS)
    assert result.id == REF.url
    assert result.outs == OUTS, "what was last observed stays"


GET = {"__provider": "pickle"}
"""What the engine passes for a `get`: no inputs, and None is not sent."""


@pytest.mark.parametrize(
    ("state", "script", "error", "words"),
    [
        (AT_TARGET, Script(gone_at=0.0), PoolGoneError, "it does not exist (404 PoolNotFound), so it cannot be read"),
        (State(current=None, family=None, vm_image={"sku": "8-gen2"}), Script(), InputError, "PoolImageVersion.get"),
        (replace(AT_TARGET, current=None), Script(), InputError, "does not show its OS version (currentOSVersion)"),
        (AT_TARGET, Script(reads=lambda _: ApiRetiredError("no longer", pool=REF.url)), ApiRetiredError, "no longer"),
    ],
    ids=["gone", "vm", "no version", "retired"],
)
def test_a_get_that_would_have_no_version_is_an_error(
    state: State, script: Script, error: type[BatchOsError], words: str, batch: Any
) -> None:
    batch(state, script)
    with pytest.raises(error) as caught:
        PROVIDER.read(REF.url, dict(GET))
    assert words in str(caught.value)
    assert REF.url in str(caught.value)
    # A refresh of the same pool goes on.
    assert PROVIDER.read(REF.url, {**OUTS, **GET}).outs is not None


def test_a_get_of_a_pool_that_is_being_deleted_reads_it_and_warns(batch: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    warned: list[str] = []
    monkeypatch.setattr(diagnostics.ResourceLog, "warn", lambda _, text: warned.append(text))
    batch(replace(AT_TARGET, state="deleting"))
    assert (PROVIDER.read(REF.url, dict(GET)).outs or {})["current_os_version"] == V25
    assert warned == [f"pool {REF.url} is being deleted; its outputs will soon be out of date"]
    PROVIDER.read(REF.url, dict(OUTS))
    assert len(warned) == 1, "a refresh shows pool_state"


def test_the_state_of_another_resource_is_not_taken_for_a_pools(batch: Any) -> None:
    batch()
    (failure,) = PROVIDER.check({"__provider": "x", "size": 1.0}, dict(INPUTS)).failures
    assert failure.property == "pool_id"
    assert "another dynamic resource" in failure.reason
    assert not PROVIDER.check(dict(INPUTS), dict(INPUTS)).failures
    assert not PROVIDER.check({}, dict(INPUTS)).failures


@pytest.mark.parametrize(
    "bad", ["render-a", "https://acct.batch.azure.com/pools/", "http://acct.batch.azure.com/pools/a"]
)
def test_an_id_that_is_no_pool_url_is_an_error_that_says_what_is_allowed(bad: str) -> None:
    with pytest.raises(BatchOsError) as caught:
        PROVIDER.read(bad, {})
    assert bad in str(caught.value)
    assert "/pools/" in str(caught.value)


def test_deleting_touches_nothing(batch: Any) -> None:
    service = batch()
    PROVIDER.delete(REF.url, OUTS)
    assert service.calls == []


def test_the_pickle_is_small_and_names_the_class_and_nothing_else() -> None:
    raw = base64.b64decode(serialize_provider(PROVIDER))
    assert len(raw) < 150
    names = [argument for _, argument, _ in pickletools.genops(raw) if isinstance(argument, str)]
    assert names == ["batch_os_provider.provider", "PoolOsVersionProvider"]
    assert isinstance(dill.loads(raw), PoolOsVersionProvider)  # noqa: S301 - our own bytes
    assert serialize_provider(PoolOsVersionProvider()) == serialize_provider(PROVIDER)
    assert PoolOsVersionProvider.serialize_as_secret_always is False


def test_the_outputs_are_the_fixed_names() -> None:
    assert OUTPUTS == ("current_os_version", "os_family", "pool_state", "unhealthy_nodes")


GATED: dict[str, Any] = {**INPUTS, "max_unhealthy": 0.0}
PROVEN: dict[str, Any] = {
    **GATED,
    "current_os_version": V25,
    "os_family": "5",
    "pool_state": "active",
    "unhealthy_nodes": 0,
}
SICK = replace(AT_TARGET, resting={1: "unusable"})
FRESH = replace(AT_TARGET, finished=-60.0)


def refreshed(props: dict[str, Any]) -> dict[str, Any]:
    """The outputs that a refresh writes."""
    return dict(PROVIDER.read(REF.url, props).outs or {})


def test_a_gate_that_holds_is_an_output_and_a_refresh_shows_no_change(batch: Any) -> None:
    service = batch()
    assert PROVIDER.create(GATED).outs == PROVEN
    assert refreshed(PROVEN) == PROVEN
    assert diff(PROVEN, GATED) == (False, [])
    assert [call.kind for call in service.calls] == ["read", "nodes", "read", "nodes"]


@pytest.mark.parametrize("verb", ["create", "update"])
def test_a_gate_that_fails_is_an_error_and_no_write(verb: str, batch: Any) -> None:
    service = batch(SICK)
    with pytest.raises(UnhealthyError, match="1 of 3 nodes is unhealthy, max_unhealthy 0"):
        PROVIDER.create(GATED) if verb == "create" else PROVIDER.update(
            REF.url, {**PROVEN, "current_os_version": V24}, GATED
        )
    assert [call.kind for call in service.calls] == ["read", "nodes"]


def test_a_refresh_after_a_failed_gate_does_not_make_it_look_fine(batch: Any) -> None:
    """The update kept the old state, with the old version in it; only the nodes tell what the new one is worth."""
    batch(SICK)
    before = {**PROVEN, "current_os_version": V24, "target_os_version": V24}
    after = refreshed(before)
    assert (after["current_os_version"], after["pool_state"], after["unhealthy_nodes"]) == (V25, "unproven", 1)
    assert diff(after, GATED) == (True, []), "though the version is the declared one"
    assert refreshed(after) == after, "and not by refreshing twice"


@pytest.mark.parametrize("state", [FRESH, replace(AT_TARGET, resting={0: "starting"})])
def test_a_refresh_while_nodes_soak_or_are_on_their_way_proves_nothing_new(state: State, batch: Any) -> None:
    """A version that has passed stays passed; one that was not seen to pass does not pass by a refresh."""
    batch(state)
    gated = {**GATED, "soak": "1h"}
    proven = {**PROVEN, **gated}
    assert refreshed(proven) == proven, "an added node is no drift"
    for unseen in ({"current_os_version": V24}, {"pool_state": "unproven"}, {"pool_state": "upgrading"}):
        after = refreshed({**proven, **unseen})
        assert after["pool_state"] == "unproven"
        assert diff(after, gated) == (True, [])


def test_a_refresh_that_finds_the_nodes_well_proves_the_version(batch: Any) -> None:
    batch(AT_TARGET)
    assert refreshed({**PROVEN, "soak": "1h", "pool_state": "unproven"})["pool_state"] == "active"


def test_a_node_that_fails_after_the_gate_has_passed_is_drift(batch: Any) -> None:
    batch(SICK)
    assert refreshed(PROVEN) == {**PROVEN, "pool_state": "unproven", "unhealthy_nodes": 1}
    tolerant = {**PROVEN, "max_unhealthy": "50%"}
    assert refreshed(tolerant) == {**tolerant, "unhealthy_nodes": 1}


def test_nodes_are_not_looked_at_where_there_is_nothing_to_judge(batch: Any) -> None:
    for state in (replace(AT_TARGET, state="deleting"), State(current=None, target=None, family=None, vm_image={})):
        service = batch(state)
        assert "unhealthy_nodes" not in refreshed({**PROVEN, "current_os_version": V24})
        assert service.count("nodes") == 0
    service = batch()
    PROVIDER.read(REF.url, OUTS)
    PROVIDER.update(REF.url, COUNTED, {**INPUTS, "stall_after": "30m"})
    assert service.count("nodes") == 0


def test_a_count_stays_while_its_version_runs_and_nobody_looks_again(batch: Any) -> None:
    batch()
    counted = {**OUTS, "unhealthy_nodes": 2.0}
    assert refreshed(counted) == {**OUTS, "unhealthy_nodes": 2}
    assert PROVIDER.update(REF.url, counted, {**INPUTS, "timeout": "3h"}).outs["unhealthy_nodes"] == 2
    assert "unhealthy_nodes" not in refreshed({**counted, "current_os_version": V24})


@pytest.fixture
def timely(batch: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let the rollout's time be that of the scripted pool."""

    def stand_in(state: State) -> None:
        waiter = batch(state)._waiter
        monkeypatch.setattr(crud, "RealWaiter", lambda _stop: waiter)

    return stand_in


def test_an_upgrade_without_a_gate_counts_what_is_unhealthy(timely: Any) -> None:
    timely(State(resting={0: "starttaskfailed"}))
    assert PROVIDER.create(INPUTS).outs == {**OUTS, "unhealthy_nodes": 1}


def test_a_deferred_soak_is_a_success_that_is_planned_again(timely: Any) -> None:
    timely(FRESH)
    wanted = {**GATED, "soak": "1h", "timeout": "10m", "on_timeout": "defer"}
    outs = PROVIDER.create(wanted).outs or {}
    assert (outs["current_os_version"], outs["pool_state"]) == (V25, "unproven")
    assert diff(outs, wanted) == (True, [])


def test_the_row_of_a_pool_that_is_not_proven_says_why_it_is_planned(
    batch: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    batch(SICK)
    assert planned({**PROVEN, "pool_state": "unproven"}, GATED) == (True, [])
    said = capsys.readouterr().err
    assert (
        ": 1 of 3 nodes is unhealthy, max_unhealthy 0: tvm-1 is unusable; this up fails unless this changes; " in said
    )
    assert f"; at {S25}, but the pool has not yet met max_unhealthy and soak [batch-os" in said
    _, tail = split(said)
    assert tail is not None
    assert tail.warnings[:2] == ("unhealthy", "unproven")


@pytest.mark.parametrize(
    "change", [{"max_unhealthy": 1}, {"max_unhealthy": None}, {"soak": "1h"}, {"stall_after": "1h"}]
)
def test_a_changed_gate_is_a_change(change: dict[str, Any]) -> None:
    assert diff(PROVEN, {**GATED, **change}) == (True, [])


HEAVY = ("azure", "click", "isodate", "msal", "requests", "rich", "urllib3")
CHEAP = f"""
import sys
import batch_os_provider
from batch_os_provider.provider import PoolOsVersionProvider
provider, inputs, outs = PoolOsVersionProvider(), {INPUTS!r}, {OUTS!r}
assert not provider.check(inputs, inputs).failures
assert provider.diff("id", outs, inputs).changes is False
loaded = sorted(name for name in sys.modules if name.partition(".")[0] in {HEAVY!r})
assert not loaded, loaded
"""


MANY = """
import sys
from pulumi.dynamic.dynamic import serialize_provider
from batch_os_provider.image_provider import PoolImageVersionProvider
from batch_os_provider.provider import PoolOsVersionProvider
for kind in (PoolOsVersionProvider, PoolImageVersionProvider):
    assert len({serialize_provider(kind()) for _ in range(sys.getrecursionlimit() + 500)}) == 1
"""


def test_a_program_may_declare_more_pools_than_the_pickler_of_the_sdk_stands() -> None:
    # It wraps itself once more for each resource, for good, and fails at some 310 whose pickle has dictionaries in it.
    done = subprocess.run([sys.executable, "-c", MANY], capture_output=True, text=True, timeout=60, check=False)  # noqa: S603 - ours
    assert (done.returncode, done.stderr) == (0, "")


def test_importing_checking_and_comparing_load_no_azure_module() -> None:
    done = subprocess.run([sys.executable, "-c", CHEAP], capture_output=True, text=True, timeout=60, check=False)  # noqa: S603
    assert (done.returncode, done.stderr) == (0, "")
