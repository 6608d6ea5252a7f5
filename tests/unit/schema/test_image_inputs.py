"""Pins what a program may declare for a VM pool."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pulumi.output import UNKNOWN

from batch_os_provider.batch.vm_target import AllocatedSince, ImageVersion
from batch_os_provider.batch.wanted_image import WantedImage
from batch_os_provider.pool_provider import is_unknown
from batch_os_provider.schema import inputs
from batch_os_provider.schema.declared import DeclaredImage
from batch_os_provider.schema.units import Share, shown
from tests.unit.rollout.doubles import REF
from tests.unit.rollout.image_renewal.image_doubles import TARGET, WANTED
from tests.unit.rollout.stage import quick

BAG: dict[str, Any] = {
    "account_endpoint": REF.endpoint,
    "pool_id": REF.pool_id,
    "target_image_version": TARGET,
    "strategy": "surge",
}


def failures(**change: Any) -> list[tuple[str, str]]:
    """What is wrong with a bag."""
    bag = {key: value for key, value in {**BAG, **change}.items() if value is not None}
    return [(failure.property, failure.reason) for failure in inputs.check(bag, is_unknown, inputs.IMAGE)[1]]


def test_the_least_that_is_needed_and_its_defaults() -> None:
    assert failures() == []
    declared = DeclaredImage.of(BAG)
    assert (declared.ref, declared.target, declared.policy.surge, declared.policy.strategy) == (
        REF,
        WANTED,
        Share(1),
        "surge",
    )
    assert (declared.drain_timeout, declared.timeout, declared.defer) == (3600.0, 7200.0, False)


@pytest.mark.parametrize("name", ["account_endpoint", "pool_id", "strategy"])
def test_what_is_required(name: str) -> None:
    ((property_, reason),) = failures(**{name: None})
    assert property_ == name
    assert reason.startswith("it is missing; required: ")


SINCE = {"target_image_version": None, "nodes_since": "2026-11-24"}


def test_one_target_is_enough_and_each_fits_its_pools() -> None:
    assert failures(**SINCE) == []
    declared = DeclaredImage.of({**BAG, **SINCE})
    assert declared.target == AllocatedSince.parse("2026-11-24")
    assert inputs.IMAGE.targets == (ImageVersion.property, AllocatedSince.property)
    which = "allowed: exactly one of them: nodes_since for a pool on latest, whose nodes show no version number; "
    assert failures(nodes_since="2026-11-24") == [
        (
            "nodes_since",
            "'2026-11-24' is one too many: target_image_version and nodes_since are declared; " + inputs.ONE_TARGET,
        )
    ]
    assert failures(target_image_version=None) == [
        ("target_image_version", "it is missing, and so is nodes_since; " + inputs.ONE_TARGET)
    ]
    assert inputs.ONE_TARGET.startswith(which)
    assert failures(nodes_since=UNKNOWN) == [], "it may turn out to be none"
    assert failures(target_image_version=None, nodes_since=UNKNOWN) == []
    assert inputs.IMAGE.target_of({**BAG, **SINCE}) == "nodes_since"


@pytest.mark.parametrize(
    ("value", "near"),
    [
        ("2026-11-24 06:30:00Z", "2026-11-24T06:30:00Z"),
        ("2026-11-24t06:30:00z", "2026-11-24T06:30:00Z"),
        ("2026-11-24T06:30Z", "2026-11-24T06:30:00Z"),
        ("2026-11-24T06:30:00", "2026-11-24T06:30:00Z"),
        ("2026-11-24T06:30:00.5Z", "2026-11-24T06:30:00Z"),
        ("2026-11-24T06:30:00+01:00", "2026-11-24T05:30:00Z"),
        ("2026-11-24T00:30:00+0530", "2026-11-23T19:00:00Z"),
        ("2026-11-24T20:00:00-8", "2026-11-25T04:00:00Z"),
        ("2026-11-24 06:30 UTC", "2026-11-24T06:30:00Z"),
        (" 2026-11-24", "2026-11-24"),
        ("2026/1/2", "2026-01-02"),
        ("20261124", "2026-11-24"),
        (date(2026, 11, 24), "2026-11-24"),
        (datetime(2026, 11, 24, 6, 30, tzinfo=UTC), "2026-11-24T06:30:00Z"),
        *((value, "") for value in ("2026-02-30", "2026-13-01", "2026-11-24T25:00:00Z", "0001-01-01T00:00:00+10:00")),
        *((value, "") for value in ("2026-11-24T06:30:00+99:00", "24.11.2026", "yesterday", "latest", "", "2026-11")),
        *((value, "") for value in (20261124.0, 1764000000, True, ["2026-11-24"], {"a": 1}, float("nan"))),
    ],
    ids=repr,
)
def test_what_is_no_moment_names_the_value_what_is_allowed_and_the_nearest(value: object, near: str) -> None:
    ((property_, reason),) = failures(target_image_version=None, nodes_since=value)
    assert property_ == "nodes_since"
    assert reason.startswith(
        f"{shown(value)} is not a {'moment in UTC' if isinstance(value, str) else 'string'}; allowed: "
    )
    assert (
        "a date such as 2026-11-24 (midnight UTC), or a UTC time to the second such as 2026-11-24T06:30:00Z" in reason
    )
    assert reason.partition("; did you mean ")[2] == (f"{near}?" if near else "")
    assert not near or failures(target_image_version=None, nodes_since=near) == []


@pytest.mark.parametrize(
    ("value", "near"),
    [
        ("2026-05-01 00:00:00 +0000 UTC", "2026-05-01"),
        ("2026-05-01 06:30:00 +0000 UTC", "2026-05-01T06:30:00Z"),
        ("2026-05-01 06:30:00 +0200 +0200", "2026-05-01T04:30:00Z"),
    ],
)
def test_a_day_without_quotes_in_config_is_known(value: str, near: str) -> None:
    """As Pulumi 3.259 hands it to a program."""
    ((_, reason),) = failures(target_image_version=None, nodes_since=value)
    assert reason.startswith(
        f"'{value}' is what Pulumi makes of a day or a time without quotes in a stack's config; allowed: a date"
    )
    assert reason.endswith(f"; did you mean {near}?")


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("2026-11-24", "2026-11-24T00:00:00Z", True),
        ("2026-11-24", "2026-11-24T00:00:01Z", False),
        ("2026-11-24", "2026-11-23", False),
        ("2026-11-24", "20261124", False),
        ("2026-11-24", None, False),
    ],
)
def test_moments_are_the_same_by_their_time(one: str, other: str | None, is_same: bool) -> None:
    assert inputs.same("nodes_since", one, other) == inputs.same("nodes_since", other, one) == is_same


@pytest.mark.parametrize("value", ["latest", "LATEST", " Latest "])
def test_latest_is_refused_and_how_to_list_versions_is_told(value: str) -> None:
    ((property_, reason),) = failures(target_image_version=value)
    assert property_ == "target_image_version"
    assert "changes over time" in reason
    assert "az vm image list --all" in reason


@pytest.mark.parametrize(
    "value", ["", "20348", "20348.", ".1", "1.2-3", "20348.2461.x", 20348.2461, True, "1.2.3\n"], ids=repr
)
def test_what_is_no_exact_version(value: object) -> None:
    ((property_, reason),) = failures(target_image_version=value)
    assert property_ == "target_image_version"
    assert "20348.2461.240510" in reason


@pytest.mark.parametrize("name", ["surge", "max_unavailable"])
@pytest.mark.parametrize("value", [1, 2, 2.0, 100, "3", "1%", "25%", " 100% "])
def test_steps_that_are_numbers_or_shares_of_nodes(name: str, value: float | str) -> None:
    assert failures(**{name: value}) == []


@pytest.mark.parametrize("name", ["surge", "max_unavailable"])
@pytest.mark.parametrize(
    ("value", "why", "near"),
    [
        (-1, "is not a number of nodes", ""),
        (101, "is more than 100 nodes", ""),
        ("101", "is more than 100 nodes", ""),
        ("101%", "is more than all nodes", ""),
        (1.5, "is not a number of nodes", ""),
        (0.25, "is not a number of nodes", '"25%"'),
        ("25 percent", "is neither a number of nodes nor a percentage", '"25%"'),
        ("2.5%", "is neither a number of nodes nor a percentage", ""),
        (True, "is neither a number of nodes nor a percentage", ""),
        (float("nan"), "is not a number of nodes", ""),
        (float("inf"), "is not a number of nodes", ""),
        ([], "is neither a number of nodes nor a percentage", ""),
    ],
    ids=repr,
)
def test_steps_that_are_not(name: str, value: object, why: str, near: str) -> None:
    ((property_, reason),) = failures(**{name: value})
    assert property_ == name
    assert reason == f"{shown(value)} {why}; allowed: {inputs.allowed(name)}" + (f"; did you mean {near}?" * bool(near))


@pytest.mark.parametrize(
    ("surge", "nodes", "count"),
    [
        *((1, 40, 1), (7, 3, 7), ("25%", 20, 5), ("25%", 21, 6), ("25%", 1, 1), ("1%", 0, 1), ("100%", 31, 31)),
        *(("50%", 300, 100), ("100%", 101, 100), (100, 2000, 100), ("4", 10, 4)),
    ],
)
def test_a_share_of_the_pool_is_rounded_up_within_what_one_call_names(surge: int | str, nodes: int, count: int) -> None:
    assert DeclaredImage.of({**BAG, "surge": surge}).policy.surge_of(nodes) == count


@pytest.mark.parametrize(
    ("unavailable", "nodes", "count"),
    [(0, 40, 0), ("0%", 40, 0), (3, 40, 3), ("10%", 40, 4), ("10%", 49, 4), ("10%", 5, 1), ("60%", 300, 100)],
)
def test_a_share_that_may_be_missing_is_rounded_down_to_at_least_one(
    unavailable: int | str, nodes: int, count: int
) -> None:
    policy = DeclaredImage.of({**BAG, "max_unavailable": unavailable}).policy
    assert policy.unavailable_of(nodes) == count
    assert policy.renews_spot == bool(count)


WAYS_OUT = "allowed: surge=1 (a node is added first, which needs core quota), or surge=0, max_unavailable=1 (a node"


@pytest.mark.parametrize("surge", [0, 0.0, "0", "0%"], ids=repr)
@pytest.mark.parametrize("unavailable", [None, 0, "0%"], ids=repr)
def test_no_surge_needs_nodes_that_may_be_missing(surge: object, unavailable: object) -> None:
    ((property_, reason),) = failures(surge=surge, max_unavailable=unavailable)
    with_none = "" if unavailable is None else f" with max_unavailable {shown(unavailable)}"
    assert property_ == "surge"
    assert reason.startswith(f"{shown(surge)}{with_none} renews no node; {WAYS_OUT}")
    assert failures(surge=surge, max_unavailable=1) == []
    assert failures(surge=surge, max_unavailable=UNKNOWN) == [], "it may turn out to be more"
    assert failures(surge=UNKNOWN, max_unavailable=unavailable) == []


def test_surges_are_the_same_by_their_meaning() -> None:
    assert inputs.same("surge", 2, "2")
    assert inputs.same("surge", 2.0, 2)
    assert not inputs.same("surge", 25, "25%")


@pytest.mark.parametrize("value", ["5m", 300, "300", "1h", "720h"], ids=repr)
def test_drain_timeouts_that_batch_takes(value: object) -> None:
    assert failures(drain_timeout=value) == []


@pytest.mark.parametrize("value", ["4m59s", 299, 1, "0s", "721h", "soon", True], ids=repr)
def test_drain_timeouts_that_it_does_not(value: object) -> None:
    ((property_, reason),) = failures(drain_timeout=value)
    assert property_ == "drain_timeout"
    assert "allowed: " in reason


@pytest.mark.parametrize(("value", "near"), [("Surge", "surge"), ("whenempty", "when_empty"), ("rolling", "")])
def test_strategies_that_are_none(value: str, near: str) -> None:
    ((property_, reason),) = failures(strategy=value)
    assert property_ == "strategy"
    assert "allowed: surge or when_empty or empty or automatic" in reason
    assert ("did you mean" in reason) == bool(near)
    assert near in reason


@pytest.mark.parametrize("value", [1, 2, 2.0, 100])
def test_canaries_that_are_numbers_of_nodes(value: float) -> None:
    assert failures(strategy="empty", canary=value) == []
    assert DeclaredImage.of({**BAG, "strategy": "empty", "canary": value}).policy.canary == value


@pytest.mark.parametrize("value", [0, -1, 101, 1.5, "1", True, float("nan"), float("inf"), [], {"a": 1}], ids=repr)
def test_canaries_that_are_not(value: object) -> None:
    ((property_, reason),) = failures(strategy="empty", canary=value)
    assert property_ == "canary"
    assert "a whole number from 1 to 100" in reason


@pytest.mark.parametrize(
    ("value", "near"),
    [("Hold", "hold"), (True, ""), (1, ""), (["hold"], "hold"), ("", ""), ({}, ""), ("refused", "refuse")],
)
def test_what_autoscale_does_not_allow(value: object, near: str) -> None:
    ((property_, reason),) = failures(strategy="empty", autoscale=value)
    assert property_ == "autoscale"
    assert "allowed: refuse or hold" in reason
    assert ("did you mean" in reason) == bool(near)
    assert near in reason


@pytest.mark.parametrize(
    ("strategy", "name", "value", "only"),
    [
        ("surge", "canary", 2, 'strategy="empty"'),
        ("when_empty", "canary", 2, 'strategy="empty"'),
        ("when_empty", "autoscale", "hold", 'strategy="surge" or strategy="empty"'),
        ("when_empty", "autoscale", "refuse", 'strategy="surge" or strategy="empty"'),
        ("when_empty", "max_unavailable", 1, 'strategy="surge"'),
        ("empty", "max_unavailable", "10%", 'strategy="surge"'),
    ],
)
def test_what_a_strategy_does_not_use_is_refused(strategy: str, name: str, value: object, only: str) -> None:
    ((property_, reason),) = failures(strategy=strategy, **{name: value})
    assert property_ == name
    assert reason == f'{value!r} is not allowed with strategy="{strategy}"; allowed only with {only}'


def test_a_pool_that_batch_renews_needs_no_target_and_takes_a_version_as_floor() -> None:
    automatic = {"strategy": "automatic", "target_image_version": None}
    assert failures(**automatic) == []
    assert DeclaredImage.of({**BAG, **automatic}).target == ImageVersion("latest", ())
    assert failures(strategy="automatic") == []
    assert DeclaredImage.of({**BAG, "strategy": "automatic"}).target == WANTED
    assert failures(strategy="automatic", nodes_since=UNKNOWN) == []
    for bag in (automatic, {"strategy": "automatic"}):
        ((property_, reason),) = failures(**bag, nodes_since="2026-11-24")
        assert property_ == "nodes_since"
        assert reason == (
            "'2026-11-24' is not allowed with strategy=\"automatic\": Batch renews nodes in place, and they keep their "
            "allocation time; allowed: target_image_version as a floor, or no target"
        )
    unused = {"canary": 2, "autoscale": "hold", "max_unavailable": 1, "target_image": NOBLE}
    for name, value in unused.items():
        ((property_, reason),) = failures(strategy="automatic", **{name: value})
        assert property_ == name
        assert 'is not allowed with strategy="automatic"; allowed only with strategy=' in reason


NOBLE = "canonical:ubuntu-24_04-lts:server"
GALLERY = "/subscriptions/s/resourceGroups/r/providers/Microsoft.Compute/galleries/studio/images/farm"
MOVE = {"strategy": "empty", "target_image": NOBLE}


@pytest.mark.parametrize(
    "change",
    [
        MOVE,
        {**MOVE, "strategy": "when_empty"},
        {**MOVE, "target_image_version": "latest"},
        {**MOVE, "node_agent_sku": "batch.node.ubuntu 24.04"},
        {**MOVE, "target_image": GALLERY, "node_agent_sku": "batch.node.windows amd64"},
        {**MOVE, "target_image": UNKNOWN, "target_image_version": "latest"},
        {**MOVE, "strategy": UNKNOWN, "node_agent_sku": UNKNOWN},
        {**MOVE, **SINCE},
    ],
)
def test_another_image_with_each_target(change: dict[str, Any]) -> None:
    assert failures(**change) == []


@pytest.mark.parametrize(
    ("value", "near"),
    [
        (f"{NOBLE}:24.04.202609040", f'target_image="{NOBLE}" with target_image_version="24.04.202609040"'),
        (f"{NOBLE}:latest", f'target_image="{NOBLE}" with target_image_version="latest"'),
        (f"{GALLERY}/versions/1.0.3", f'target_image="{GALLERY}" with target_image_version="1.0.3"'),
        ("canonical/ubuntu-24_04-lts/server", NOBLE),
        ("/subscriptions/s/resourceGroups/r/providers/Microsoft.Compute/images/golden", ""),
        ("ubuntu", ""),
        ("", ""),
        (24.04, ""),
        (True, ""),
        ([NOBLE], ""),
        ({"publisher": "canonical"}, ""),
    ],
    ids=repr,
)
def test_what_is_no_image_names_the_value_what_is_allowed_and_the_nearest(value: object, near: str) -> None:
    ((property_, reason),) = failures(**{**MOVE, "target_image": value})
    assert property_ == "target_image"
    wrong = "does not name an image" if isinstance(value, str) else "is not a string"
    assert reason.startswith(f"{shown(value)} {wrong}; allowed: publisher:offer:sku such as")
    assert reason.partition("; did you mean ")[2] == (f"{near}?" if near else "")


@pytest.mark.parametrize(
    ("value", "near"),
    [
        ("ubuntu 24.04", "batch.node.ubuntu 24.04"),
        ("Batch.Node.Windows amd64", "batch.node.windows amd64"),
        ("batch.node.", ""),
        ("", ""),
        (24.04, ""),
        (False, ""),
        (["batch.node.el 9"], ""),
    ],
    ids=repr,
)
def test_what_is_no_node_agent_sku(value: object, near: str) -> None:
    ((property_, reason),) = failures(**MOVE, node_agent_sku=value)
    assert property_ == "node_agent_sku"
    assert "allowed: a node agent SKU of `az batch pool supported-images list`" in reason
    assert reason.partition("; did you mean ")[2] == (f"{near}?" if near else "")


def test_what_another_image_needs_and_what_needs_it() -> None:
    only = 'allowed only with strategy="empty" or strategy="when_empty"'
    assert failures(target_image=NOBLE) == [("target_image", f'{NOBLE!r} is not allowed with strategy="surge"; {only}')]
    ((property_, reason),) = failures(strategy="empty", node_agent_sku="batch.node.el 9")
    assert (property_, reason.partition("; ")[0]) == ("node_agent_sku", "'batch.node.el 9' is not allowed alone")
    assert "allowed only with target_image, publisher:offer:sku such as" in reason
    for version in ("LATEST", " latest", "1", 24.04):
        ((property_, _),) = failures(**{**MOVE, "target_image_version": version})
        assert property_ == "target_image_version"


def test_images_and_their_versions_are_the_same_by_their_meaning() -> None:
    assert inputs.same("target_image", NOBLE, NOBLE.upper())
    assert not inputs.same("target_image", NOBLE, None)
    assert inputs.same("node_agent_sku", "batch.node.el 9", "BATCH.node.el 9")
    assert inputs.same("target_image_version", "latest", "Latest")
    assert not inputs.same("target_image_version", "latest", "1.2.3")
    assert not inputs.same("target_image_version", "latest", "not a version")


def test_a_target_has_the_image_and_its_agent() -> None:
    declared = DeclaredImage.of({**BAG, **MOVE, "target_image_version": "latest", "node_agent_sku": "batch.node.el 9"})
    assert declared.target == ImageVersion("latest", (), WantedImage(NOBLE, "batch.node.el 9"))
    moment = DeclaredImage.of({**BAG, **MOVE, **SINCE}).target
    assert moment == AllocatedSince.parse("2026-11-24", WantedImage(NOBLE))


def test_a_strategy_that_is_not_known_yet_is_judged_later() -> None:
    unknown = object()
    bag = {**BAG, "strategy": unknown, "canary": 2}
    assert inputs.check(bag, lambda value: value is unknown, inputs.IMAGE)[1] == []
    late = {**BAG, "canary": unknown}
    assert inputs.check(late, lambda value: value is unknown, inputs.IMAGE)[1] == []


def test_the_defaults_of_empty() -> None:
    policy = DeclaredImage.of({**BAG, "strategy": "empty"}).policy
    assert (policy.strategy, policy.canary, policy.autoscale) == ("empty", 1, "refuse")


def test_inputs_of_the_other_resource_are_not_judged_here() -> None:
    assert failures(if_resizing="nonsense", target_os_version="nonsense") == []


@quick
@given(parts=st.lists(st.integers(0, 10**9 - 1), min_size=2, max_size=5), zeros=st.integers(0, 2))
def test_versions_are_the_same_by_their_numbers(parts: list[int], zeros: int) -> None:
    text = ".".join(map(str, parts))
    padded = ".".join(str(part).zfill(min(9, len(str(part)) + zeros)) for part in parts)
    assert inputs.same("target_image_version", text, padded)
    assert not inputs.same("target_image_version", text, text + "x")


def test_numbers_from_the_engine_are_the_same_as_declared() -> None:
    assert inputs.same("surge", 1, 1.0)
    assert inputs.same("drain_timeout", "1h", 3600.0)
    assert not inputs.same("surge", 1, 2)
    assert not inputs.same("strategy", "surge", "when_empty")
    assert DeclaredImage.of({**BAG, "surge": 2.0}).policy.surge == Share(2)
