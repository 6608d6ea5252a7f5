"""Pins bags in, bags out of ``PoolImageVersion``; a scripted pool stands for the account's client."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from pulumi.output import UNKNOWN

from batch_os_provider import pool_provider
from batch_os_provider.batch.client import shared_client
from batch_os_provider.comparison.declared_once import DeclaredPools
from batch_os_provider.engine import diagnostics
from batch_os_provider.engine.refresh import RefreshDetector
from batch_os_provider.errors import BatchOsError, CredentialError, PoolGoneError, RefusedError
from batch_os_provider.image_provider import PoolImageVersionProvider
from batch_os_provider.preview.message_tail import split
from batch_os_provider.runtime import per_account
from batch_os_provider.schema.declared import target_in
from batch_os_provider.schema.outputs import IMAGE_OUTPUTS, is_behind
from tests.unit.rollout.doubles import REF, gone
from tests.unit.rollout.image_renewal.image_doubles import (
    DAY,
    MOMENTS,
    NEWER,
    OLD,
    TARGET,
    FakeVmService,
    VmScript,
    VmState,
    pool_of,
)

INPUTS: dict[str, Any] = {
    "account_endpoint": REF.endpoint,
    "pool_id": REF.pool_id,
    "target_image_version": TARGET,
    "strategy": "surge",
}
IMAGE = "microsoftwindowsserver windowsserver 2022-datacenter latest"
OUTS: dict[str, Any] = {
    **INPUTS,
    "image": IMAGE,
    "pool_image_version": "latest",
    "oldest_node_version": TARGET,
    "nodes_behind": 0,
    "pool_state": "active",
}
PROVIDER = PoolImageVersionProvider()
Batch = Callable[..., FakeVmService]


URN = "urn:pulumi:dev::farm::pulumi-python:dynamic/batch:PoolImageVersion::render"


@pytest.fixture(autouse=True)
def program(monkeypatch: pytest.MonkeyPatch) -> RefreshDetector:
    """Begin a new plugin process that serves one resource, which its program has declared."""
    monkeypatch.setattr(diagnostics, "current_urn", lambda: URN)
    per_account.reset()
    fresh = RefreshDetector()
    fresh.checked(URN)
    monkeypatch.setattr(pool_provider, "program", fresh)
    monkeypatch.setattr(pool_provider, "_declared", DeclaredPools())
    return fresh


@pytest.fixture
def batch(monkeypatch: pytest.MonkeyPatch) -> Batch:
    """Stand a scripted pool in for the account's client."""

    def stand_in(state: VmState, script: VmScript | None = None) -> FakeVmService:
        service = FakeVmService(state, script)
        shared_client.put(REF.endpoint, service)  # type: ignore[arg-type]
        return service

    return stand_in


def diff(olds: dict[str, Any], news: dict[str, Any]) -> tuple[bool | None, list[str] | None]:
    """Changes and replaces."""
    result = PROVIDER.diff(REF.url, olds, news)
    return result.changes, result.replaces


def test_an_unchanged_resource_is_compared_without_a_call(batch: Batch) -> None:
    service = batch(pool_of(2, at=TARGET))
    assert diff(OUTS, INPUTS) == (False, [])
    assert service.calls == []


@pytest.mark.parametrize("oldest", [TARGET, NEWER, "20348.10000.1", None])
def test_the_target_is_a_floor(oldest: str | None) -> None:
    assert diff({**OUTS, "oldest_node_version": oldest}, INPUTS) == (False, [])


def test_a_lower_target_is_a_change_that_writes_nothing(batch: Batch, capsys: pytest.CaptureFixture[str]) -> None:
    batch(pool_of(2, at=TARGET))
    assert diff(OUTS, {**INPUTS, "target_image_version": OLD}) == (True, [])
    assert "no change needed; all 2 nodes run" in capsys.readouterr().err


@pytest.mark.parametrize(
    "change", [{"oldest_node_version": OLD}, {"pool_image_version": OLD, "oldest_node_version": None}]
)
def test_what_was_deferred_is_planned_again_with_the_line(
    change: dict[str, Any], batch: Batch, capsys: pytest.CaptureFixture[str]
) -> None:
    batch(pool_of(3))
    assert diff({**OUTS, **change}, INPUTS) == (True, [])
    said = "3 of 3 nodes behind, 0 running tasks, none will be stopped; surge 1: 3 rounds, +1 node at a time; "
    assert f"{said}{OLD} -> {TARGET}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"strategy": "when_empty"}, (True, [])),
        ({"surge": 2.0}, (True, [])),
        ({"drain_timeout": "2h"}, (True, [])),
        ({"pool_id": UNKNOWN}, (True, [])),
        ({"target_image_version": UNKNOWN}, (True, [])),
        ({"pool_id": REF.pool_id.swapcase()}, (False, [])),
    ],
    ids=["strategy", "surge", "drain", "unknown pool", "unknown target", "case of the pool id"],
)
def test_the_diff_of_a_change(change: dict[str, Any], expected: tuple[bool, list[str]], batch: Batch) -> None:
    batch(pool_of(2, at=TARGET))
    assert diff(OUTS, {**INPUTS, **change}) == expected


def test_another_pool_is_a_replacement(batch: Batch) -> None:
    service = batch(pool_of(2))
    service.script = VmScript(reads={1: gone()})
    found = PROVIDER.compare(OUTS, {**INPUTS, "pool_id": "other"})
    assert (found.changed, found.replaces) == (("pool_id",), ("pool_id",))


def test_a_planned_change_that_up_would_refuse_is_an_error_of_the_preview(batch: Batch) -> None:
    batch(pool_of(2, autoscale=True))
    with pytest.raises(RefusedError, match="an up would be refused: 2 nodes are behind, and the pool scales itself"):
        diff({**OUTS, "oldest_node_version": OLD}, INPUTS)


def test_a_refresh_can_show_the_drift_of_what_up_would_refuse(batch: Batch, program: RefreshDetector) -> None:
    service = batch(pool_of(2, autoscale=True))
    program.read(URN)
    assert diff({**OUTS, "oldest_node_version": OLD}, INPUTS) == (True, [])
    assert service.calls == []


@pytest.mark.parametrize(
    "failure", [gone(), CredentialError("Batch refused it", pool=REF.endpoint)], ids=["gone", "refused"]
)
def test_a_look_that_fails_is_told_and_the_plan_stands(
    failure: Exception, batch: Batch, capsys: pytest.CaptureFixture[str]
) -> None:
    batch(pool_of(2), VmScript(reads={1: failure}))
    assert diff({**OUTS, "oldest_node_version": OLD}, INPUTS) == (True, [])
    assert "could not check the pool: " in capsys.readouterr().err


_NOT_SHOWN = ("oldest_node_allocated", "upgrade_policy", "oldest_node_agent_version")


def test_reading_a_pool_at_its_target_changes_nothing(batch: Batch) -> None:
    batch(pool_of(2, at=TARGET))
    result = PROVIDER.read(REF.url, {**OUTS, "surge": 1.0})
    assert result.inputs == {**INPUTS, "surge": 1.0}
    assert result.outs == {**OUTS, "surge": 1.0}
    # Without a moment, and without a node behind it, no allocation time is shown.
    shown = tuple(name for name in IMAGE_OUTPUTS if name not in _NOT_SHOWN)
    assert tuple(key for key in result.outs if key not in result.inputs) == shown


def test_reading_nodes_above_the_target_shows_no_drift(batch: Batch) -> None:
    batch(pool_of(2, at=NEWER))
    result = PROVIDER.read(REF.url, OUTS)
    assert result.inputs == INPUTS
    assert diff({**(result.outs or {})}, INPUTS) == (False, [])


def test_reading_a_node_behind_shows_the_oldest_as_the_target(batch: Batch) -> None:
    state = pool_of(3, at=TARGET)
    batch(replace(state, nodes=(*state.nodes[:2], replace(state.nodes[2], version=OLD))))
    result = PROVIDER.read(REF.url, OUTS)
    assert {**(result.inputs or {})} == {**INPUTS, "target_image_version": OLD}
    assert {**(result.outs or {})}["nodes_behind"] == 1
    assert diff({**(result.outs or {})}, INPUTS)[0] is True


def test_reading_a_pin_below_shows_the_pin(batch: Batch) -> None:
    batch(pool_of(0, version=OLD))
    result = PROVIDER.read(REF.url, OUTS)
    assert {**(result.inputs or {})}["target_image_version"] == OLD
    assert {**(result.outs or {})}["oldest_node_version"] is None


# --- the pin is the version ---

PINNED = {**OUTS, "pool_image_version": TARGET}


@pytest.mark.parametrize("strategy", ["empty", "when_empty"])
@pytest.mark.parametrize(
    ("pin", "oldest", "changes"),
    [(TARGET, OLD, False), (TARGET, None, False), (OLD, TARGET, True), (NEWER, NEWER, True), (NEWER, None, True)],
)
def test_on_a_pinned_pool_the_pin_alone_counts_in_both_directions(
    strategy: str, pin: str, oldest: str | None, changes: bool
) -> None:
    program = {**INPUTS, "strategy": strategy}
    state = {**OUTS, "strategy": strategy, "pool_image_version": pin, "oldest_node_version": oldest}
    assert diff(state, program)[0] is changes


def test_empty_pins_a_pool_on_latest_and_the_others_leave_it_there() -> None:
    for strategy, changes in (("empty", True), ("when_empty", False), ("surge", False)):
        assert diff({**OUTS, "strategy": strategy}, {**INPUTS, "strategy": strategy})[0] is changes
    assert diff({**PINNED, "pool_image_version": NEWER}, INPUTS)[0] is False, "for surge a version is a floor"


@pytest.mark.parametrize("strategy", ["empty", "when_empty"])
@pytest.mark.parametrize(("pin", "count"), [(NEWER, 3), (OLD, 3), (TARGET, 0)])
def test_a_refresh_shows_another_pin_as_the_target(strategy: str, pin: str, count: int, batch: Batch) -> None:
    batch(pool_of(3, at=pin, version=pin))
    declared = {**INPUTS, "strategy": strategy}
    result = PROVIDER.read(REF.url, {**PINNED, "strategy": strategy})
    assert {**(result.inputs or {})} == {**declared, "target_image_version": pin}
    outs = {**(result.outs or {})}
    assert (outs["pool_image_version"], outs["nodes_behind"]) == (pin, count)
    assert diff(outs, declared)[0] is (pin != TARGET)


def test_a_refresh_shows_a_pool_that_someone_put_on_latest(batch: Batch) -> None:
    batch(pool_of(2, at=TARGET))
    result = PROVIDER.read(REF.url, {**PINNED, "strategy": "empty"})
    assert {**(result.inputs or {})}["target_image_version"] == "latest"
    assert diff({**(result.outs or {})}, {**INPUTS, "strategy": "empty"})[0] is True


# --- a moment in place of a version ---

SINCE = {key: value for key, value in INPUTS.items() if key != "target_image_version"} | {"nodes_since": "2018-12-01"}
SINCE_OUTS = {key: value for key, value in {**OUTS, **SINCE}.items() if key != "target_image_version"} | {
    "oldest_node_version": None
}


def at_moments(batch: Batch, state: VmState) -> FakeVmService:
    """Stand in a pool whose nodes show ``latest``."""
    service = batch(MOMENTS.enter(state))
    service.kind = MOMENTS
    return service


@pytest.mark.parametrize(
    ("olds", "news", "changes"),
    [
        ({}, {}, False),
        ({}, {"nodes_since": "2018-12-01T00:00:00Z"}, False),
        ({}, {"nodes_since": "2018-12-02"}, True),
        ({"oldest_node_allocated": "2018-11-30T12:00:00Z"}, {}, True),
        ({"oldest_node_allocated": "2018-12-01T00:00:00Z"}, {}, False),
        ({"oldest_node_allocated": "soon"}, {}, False),
        ({"oldest_node_version": OLD, "pool_image_version": OLD}, {}, False),
        ({"pool_state": "renewing"}, {}, True),
        ({"nodes_since": None, "target_image_version": TARGET}, {}, True),
        ({}, {"nodes_since": UNKNOWN}, True),
    ],
)
def test_the_diff_compares_moments_and_no_version(
    olds: dict[str, Any], news: dict[str, Any], changes: bool, batch: Batch
) -> None:
    service = at_moments(batch, pool_of(2, at=TARGET))
    service.waiter.spend(2 * DAY)
    assert diff({**SINCE_OUTS, **olds}, {**SINCE, **news}) == (changes, [])
    assert bool(service.calls) == (changes and news.get("nodes_since") is not UNKNOWN)


@pytest.mark.parametrize("count", [0, 1, 4])
def test_a_refresh_shows_nothing_while_no_node_is_behind(count: int, batch: Batch) -> None:
    """Nodes of a pool that scales itself come and go."""
    at_moments(batch, pool_of(count, at=TARGET))
    result = PROVIDER.read(REF.url, SINCE_OUTS)
    assert (result.inputs, result.outs) == (SINCE, SINCE_OUTS)


@pytest.mark.parametrize("others", [0, 3])
def test_a_refresh_shows_the_oldest_node_that_is_behind_as_the_moment(others: int, batch: Batch) -> None:
    good, behind = pool_of(others, at=TARGET), pool_of(2)
    at_moments(batch, replace(good, nodes=good.nodes + behind.nodes, size=others + 2))
    result = PROVIDER.read(REF.url, SINCE_OUTS)
    drift = {"nodes_since": "2018-11-30T12:00:00Z"}
    assert result.inputs == {**SINCE, **drift}
    shown = {"oldest_node_allocated": "2018-11-30T12:00:00Z", "nodes_behind": 2}
    assert result.outs == {**SINCE_OUTS, **drift, **shown}
    assert diff({**(result.outs or {})}, SINCE)[0] is True
    assert diff({**SINCE_OUTS, **shown}, SINCE)[0] is True, "as an up that defers leaves it"


def test_a_get_shows_when_the_oldest_node_was_allocated(batch: Batch) -> None:
    at_moments(batch, pool_of(2, at=TARGET))
    outs = PROVIDER.read(REF.url, {}).outs or {}
    assert outs["oldest_node_allocated"] == "2018-12-01T11:00:00Z"
    assert "nodes_since" not in outs
    assert "target_image_version" not in outs


def test_an_up_to_a_moment_keeps_its_outputs_quiet(batch: Batch) -> None:
    service = at_moments(batch, pool_of(2, at=TARGET))
    assert PROVIDER.create(SINCE).outs == SINCE_OUTS
    assert [kind for kind, _ in service.calls] == ["pool", "nodes"]


def test_a_refused_moment_names_its_own_property_and_its_tail_has_it(batch: Batch) -> None:
    at_moments(batch, pool_of(3))
    (failure,) = PROVIDER.check({}, {**SINCE, "nodes_since": "2018-12-24"}).failures
    assert failure.property == "nodes_since"
    text, tail = split(failure.reason)
    assert "an up would be refused: it is in the future: the clock of Batch shows 2018-12-01T12:00:" in text
    assert 'Next: Declare a moment that has passed, such as nodes_since="2018-12-01"' in text
    assert tail is not None
    assert (tail.what, tail.since, tail.target) == ("refused", "2018-12-24", "")


def test_a_version_for_nodes_that_show_latest_is_refused_with_the_line_to_paste(batch: Batch) -> None:
    at_moments(batch, pool_of(3))
    (failure,) = PROVIDER.check({}, INPUTS).failures
    assert failure.property == "target_image_version"
    assert (
        'Next: Declare nodes_since="2018-12-01" in place of target_image_version: nodes that were allocated before '
        'that day are renewed. To keep the version, declare it with strategy="empty": `up` empties the pool after its '
        "tasks and pins it. Pulumi stops"
    ) in failure.reason
    assert "Remove this resource" not in failure.reason
    (failure,) = PROVIDER.check({}, {**INPUTS, "target_image_version": "latest"}).failures
    assert (
        "; no node of this pool shows a version number: declare nodes_since in place of it, a date such as 2026-11-24"
    ) in failure.reason


def test_a_pool_can_be_read_by_its_url_alone(batch: Batch) -> None:
    batch(pool_of(2, at=TARGET))
    result = PROVIDER.read(REF.url, {})
    assert {**(result.inputs or {})} == {k: v for k, v in INPUTS.items() if k != "strategy"}


def test_an_empty_pool_read_by_its_url_alone_does_not_suggest_latest_which_check_refuses(batch: Batch) -> None:
    batch(pool_of(0))
    assert {**(PROVIDER.read(REF.url, {}).inputs or {})}.get("target_image_version") != "latest"


def test_a_pool_that_is_not_there_is_gone(batch: Batch) -> None:
    batch(pool_of(2), VmScript(reads={1: gone()}))
    assert PROVIDER.read(REF.url, OUTS).id is None


def test_a_get_of_a_pool_that_is_not_there_is_an_error(batch: Batch) -> None:
    batch(pool_of(2), VmScript(reads={1: gone()}))
    with pytest.raises(PoolGoneError, match="so it cannot be read"):
        PROVIDER.read(REF.url, {"__provider": "pickle"})


@pytest.mark.parametrize("verb", ["create", "update"])
def test_a_pool_at_its_target_costs_one_look_and_no_write(verb: str, batch: Batch) -> None:
    service = batch(pool_of(2, at=TARGET))
    bag = {**INPUTS, "surge": 2.0, "timeout": None}
    result: Any = PROVIDER.create(bag) if verb == "create" else PROVIDER.update(REF.url, OUTS, bag)
    assert [kind for kind, _ in service.calls] == ["pool", "nodes"]
    assert result.outs == {**OUTS, "surge": 2.0}


def test_a_first_check_tells_the_plan_and_a_later_one_makes_no_call(
    batch: Batch, capsys: pytest.CaptureFixture[str]
) -> None:
    service = batch(pool_of(3))
    assert PROVIDER.check({}, INPUTS).failures == []
    assert "surge 1: 3 rounds, +1 node at a time" in capsys.readouterr().err
    calls = len(service.calls)
    assert PROVIDER.check(INPUTS, INPUTS).failures == []
    assert len(service.calls) == calls


def test_a_first_check_of_what_up_would_refuse_fails_on_what_is_wrong(batch: Batch) -> None:
    batch(pool_of(3, version=OLD))
    (failure,) = PROVIDER.check({}, INPUTS).failures
    assert failure.property == "strategy"
    assert "surge" not in failure.reason.partition(". ")[0], "the engine has written the value already"
    assert failure.reason.startswith(f"an up would be refused: the pool is pinned to {OLD}")
    text, tail = split(failure.reason)
    assert (text.count(".\nNext: "), text.count(". ")) == (1, 1), (
        "the reason, what to do, and where the other refusals are"
    )
    assert tail is not None
    assert (tail.what, tail.target) == ("refused", TARGET)


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({"state": "deleting"}, "pool_id"),
        ({"autoscale": True}, "strategy"),
        ({"metadata": (("batch-os", "the render team's"),)}, "pool_id"),
    ],
)
def test_a_failed_check_names_the_input_that_is_wrong(batch: Batch, change: dict[str, Any], wrong: str) -> None:
    batch(pool_of(3, **change))
    (failure,) = PROVIDER.check({}, INPUTS).failures
    assert failure.property == wrong
    assert failure.reason.startswith("an up would be refused: ")


def test_latest_is_refused_with_the_newest_version_seen(batch: Batch) -> None:
    state = pool_of(2)
    batch(replace(state, nodes=(state.nodes[0], replace(state.nodes[1], version="20348.10000.1"))))
    (failure,) = PROVIDER.check({}, {**INPUTS, "target_image_version": "latest"}).failures
    assert failure.reason.endswith("; the newest on this pool's nodes is 20348.10000.1")


def test_latest_on_an_empty_pool_or_one_that_cannot_be_seen_says_so(batch: Batch) -> None:
    bag = {**INPUTS, "target_image_version": "latest"}
    batch(pool_of(0))
    assert "no node of this pool shows a version number" in PROVIDER.check({}, bag).failures[0].reason
    per_account.reset()
    batch(pool_of(1), VmScript(reads={1: CredentialError("Batch refused it", pool=REF.endpoint)}))
    assert "could not read its nodes: " in PROVIDER.check({}, bag).failures[0].reason
    assert "changes over time" in PROVIDER.check({}, {**bag, "pool_id": UNKNOWN}).failures[0].reason
    assert len(PROVIDER.check({}, {**bag, "account_endpoint": "ftp://x"}).failures) == 2


@pytest.mark.parametrize("name", ["account_endpoint", "pool_id"])
def test_latest_with_the_pool_not_named_is_two_failures_and_no_traceback(name: str) -> None:
    bag = {**INPUTS, "target_image_version": "latest"}
    del bag[name]
    assert {failure.property for failure in PROVIDER.check({}, bag).failures} == {name, "target_image_version"}


def test_an_id_that_is_no_pool_is_an_error() -> None:
    with pytest.raises(BatchOsError, match="is not the URL of a pool"):
        PROVIDER.read("render-a", {})


def test_deleting_touches_nothing(batch: Batch) -> None:
    service = batch(pool_of(2))
    PROVIDER.delete(REF.url, OUTS)
    assert service.calls == []


SERVER_2022, SERVER_2025 = (f"microsoftwindowsserver:windowsserver:{year}-datacenter" for year in (2022, 2025))
MOVE = {**INPUTS, "strategy": "empty", "target_image": SERVER_2022.upper(), "target_image_version": "latest"}


def test_a_pool_of_the_declared_image_is_no_change_and_another_image_is_drift(batch: Batch) -> None:
    """The state shows what the pool has, so that the next preview shows the change as that of a property."""
    batch(pool_of(2))
    made = PROVIDER.create(MOVE).outs or {}
    assert (made["target_image"], made["nodes_behind"]) == (SERVER_2022.upper(), 0)
    assert diff(made, MOVE) == (False, [])
    read = PROVIDER.read(REF.url, made)
    assert ((read.inputs or {}), (read.outs or {})["pool_image_version"]) == (MOVE, "latest")
    other = {**MOVE, "target_image": SERVER_2025, "node_agent_sku": "batch.node.windows arm64"}
    seen = PROVIDER.read(REF.url, {**made, **other})
    assert seen.inputs == {
        **other,
        "target_image": SERVER_2022,
        "node_agent_sku": "batch.node.windows amd64",
    }
    assert diff(seen.outs or {}, other) == (True, [])
    pinned = PROVIDER.read(REF.url, {**made, "target_image_version": TARGET}).inputs or {}
    assert (pinned["target_image"], pinned["target_image_version"]) == (MOVE["target_image"], "latest")
    since = {**MOVE, "nodes_since": "2018-12-24", "target_image": SERVER_2025}
    del since["target_image_version"]
    assert (PROVIDER.read(REF.url, since).inputs or {})["target_image"] == SERVER_2022


@pytest.mark.parametrize(
    ("image", "target", "expected"),
    [
        (IMAGE, SERVER_2022, False),
        (IMAGE, SERVER_2025, True),
        ("/sharedGalleries/x/images/cfd/versions/1.2.3", "/SharedGalleries/X/images/cfd", False),
        ("/sharedGalleries/x/images/cfd/versions/1.2.3", "/sharedGalleries/x/images/other", True),
        (None, SERVER_2022, True),
    ],
)
def test_a_deferred_move_is_planned_again_from_the_state(image: object, target: str, expected: bool) -> None:
    pin = "1.2.3" if "1.2.3" in str(image) else "latest"
    outs = {**OUTS, "strategy": "empty", "image": image, "pool_image_version": pin}
    declared = {**MOVE, "target_image": target, "target_image_version": pin}
    assert is_behind(outs, target_in(declared), "empty") == expected
    assert is_behind({**outs, "nodes_behind": 1}, target_in(declared), "empty")
