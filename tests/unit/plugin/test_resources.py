"""What the native provider answers, with plain bags: check, changes, what is known before an `up`, deadlines."""

from __future__ import annotations

from typing import Any

import pytest

from batch_os_provider.plugin.bags import UNKNOWN, is_unknown
from batch_os_provider.plugin.resources import IMAGE, OS, RESOURCES, Change, Resource
from batch_os_provider.schema import inputs
from batch_os_provider.schema.declared import Declared, DeclaredImage
from batch_os_provider.schema.resource_types import kind_of
from batch_os_provider.schema.spelling import camel

HERE = "https://myaccount.westeurope.batch.azure.com"
OLD, NEW = "WA-GUEST-OS-6.70_202411-01", "WA-GUEST-OS-6.71_202412-01"
PLACE = {"account_endpoint": HERE, "pool_id": "render"}
AT_OLD = {"current_os_version": OLD, "pool_state": "active", "os_family": "6"}


def test_the_tokens() -> None:
    assert list(RESOURCES) == ["batchos:index:PoolOsVersion", "batchos:index:PoolImageVersion"]
    assert list(map(kind_of, RESOURCES)) == ["os", "image"], "commands and policies know them"


@pytest.mark.parametrize(
    ("news", "name", "reason"),
    [
        ({"pool_id": "a", "poolId": "a", "targetOsVersion": OLD}, "pool_id", "did you mean poolId?"),
        ({"poolId": "a", "targetOsVersion": OLD, "colour": 1}, "colour", "not an input of PoolOsVersion; allowed: acc"),
        ({"poolId": "a"}, "targetOsVersion", "it is missing; required: "),
        ({"poolId": "a b", "targetOsVersion": OLD}, "poolId", "did you mean a-b?"),
        ({"poolId": "a", "targetOsVersion": OLD, "timeout": True}, "timeout", "True is not a duration"),
        ({"poolId": "a", "targetOsVersion": [OLD]}, "targetOsVersion", "is not a string"),
        ({"poolId": {"4dabf": "x"}, "targetOsVersion": OLD}, "poolId", "is not a pool id"),
        ({"poolId": "a", "targetOsVersion": OLD, "onTimeout": "Defer"}, "onTimeout", "did you mean defer?"),
    ],
)
def test_a_wrong_input_is_refused(news: dict[str, Any], name: str, reason: str) -> None:
    (failure,) = OS.check(news, HERE)[1]
    assert failure.property == name
    assert reason in failure.reason


def test_the_account_of_the_provider_is_the_default() -> None:
    given = {"poolId": "a", "targetOsVersion": OLD}
    assert OS.check(given, HERE)[0]["account_endpoint"] == HERE
    other = "https://other.eastus.batch.azure.com"
    assert OS.check({**given, "accountEndpoint": other}, HERE)[0]["account_endpoint"] == other
    (failure,) = OS.check(given, "")[1]
    assert (failure.property, failure.reason[:13]) == ("accountEndpoint", "it is missing")


def test_values_that_are_not_known_pass() -> None:
    kept, failures = OS.check({"poolId": UNKNOWN, "targetOsVersion": OLD, "soak": UNKNOWN}, HERE)
    assert failures == []
    assert kept["pool_id"] is UNKNOWN


GOOD: dict[str, dict[str, Any]] = {
    "PoolOsVersion": {"poolId": "a", "targetOsVersion": OLD},
    "PoolImageVersion": {"poolId": "a", "targetImageVersion": "22.04.202405140", "strategy": "empty"},
}
STRANGE = [
    True,
    0,
    -1,
    1.5,
    1e300,
    "",
    " ",
    "x",
    "\x00",
    [],
    [OLD],
    [[1]],
    {},
    {"a": {"b": UNKNOWN}},
    [UNKNOWN],
    UNKNOWN,
]
"""Values of any type, as a program in another language can send them to any input."""


@pytest.mark.parametrize("resource", RESOURCES.values(), ids=lambda each: each.name)
def test_any_value_of_any_input_is_refused_with_a_sentence_or_can_be_used(resource: Resource) -> None:
    for name in map(camel, resource.spec.names):
        for value in STRANGE:
            kept, failures = resource.check({**GOOD[resource.name], name: value}, HERE)
            assert all(each.reason and "object at 0x" not in each.reason for each in failures), (name, value)
            if not failures and not is_unknown(kept):
                assert (Declared if resource is OS else DeclaredImage).of(kept).ref.pool_id
            if not failures:
                assert set(resource.spec.names) | set(resource.shown) >= set(kept | resource._expected(kept))


DECLARED = {**PLACE, "target_os_version": OLD, "timeout": "2h"}


@pytest.mark.parametrize(
    ("olds", "news", "drawn"),
    [
        ({}, {}, {}),
        ({}, {"timeout": "120m"}, {}),
        ({}, {"timeout": "3h"}, {"timeout": Change("update")}),
        ({}, {"timeout": None}, {"timeout": Change("delete")}),
        ({}, {"soak": "10m"}, {"soak": Change("add")}),
        ({}, {"target_os_version": NEW}, {"target_os_version": Change("update")}),
        ({"current_os_version": NEW}, {}, {"target_os_version": Change("update", of_inputs=False)}),
        ({"current_os_version": None}, {}, {"target_os_version": Change("update", of_inputs=False)}),
        ({"pool_state": "upgrading"}, {}, {"pool_state": Change("update")}),
        ({"pool_state": "unproven"}, {"soak": "1h"}, {"soak": Change("add")}),
        ({}, {"pool_id": "RENDER"}, {}),
        ({}, {"pool_id": "other"}, {"pool_id": Change("update")}),
        ({}, {"pool_id": UNKNOWN}, {"pool_id": Change("update")}),
        # The output of the target shows what the pool runs; the inputs say what was declared.
        ({"target_os_version": NEW}, {}, {}),
    ],
)
def test_what_a_preview_draws(olds: dict[str, Any], news: dict[str, Any], drawn: dict[str, Change]) -> None:
    state, declared = {**DECLARED, **AT_OLD, **olds}, {**DECLARED, **news}
    found = OS.compare(DECLARED, state, declared)
    assert OS.changes(found, DECLARED, declared) == drawn
    assert found.replaces == (("pool_id",) if news.get("pool_id") == "other" else ())


@pytest.mark.parametrize(
    ("bag", "known"),
    [
        ({"target_os_version": NEW}, {"current_os_version": NEW, "pool_state": "active"}),
        ({"target_os_version": NEW, "on_timeout": "defer"}, {}),
        ({"target_os_version": UNKNOWN}, {"pool_state": "active"}),
    ],
)
def test_outputs_that_follow_from_a_success_are_known_before_it(bag: dict[str, Any], known: dict[str, Any]) -> None:
    expected = OS._expected(bag)
    assert {name: value for name, value in expected.items() if value is not UNKNOWN} == known
    assert set(expected) == set(OS.shown)


@pytest.mark.parametrize(
    ("declared", "custom", "used"),
    [
        (None, 0, None),
        ("1h", 0, "1h"),
        (None, 7200, 7200),
        ("1h", 7200, "1h"),
        ("2h", 7200, "2h"),
        ("3h", 7200, 7200),
        (None, 1e9, 2592000),
    ],
)
def test_the_shorter_deadline_counts(declared: str | None, custom: float, used: object) -> None:
    bag = {inputs.TIMEOUT: declared} if declared else {}
    assert OS._within(bag, custom).get(inputs.TIMEOUT) == used


SEEN = {"image": "canonical ubuntu 22", "pool_image_version": "latest", "nodes_behind": 2, "pool_state": "active"}


@pytest.mark.parametrize(
    ("resource", "bag", "seen", "target", "shown"),
    [
        (OS, {"target_os_version": NEW}, {"current_os_version": OLD}, "target_os_version", OLD),
        (OS, {"target_os_version": NEW.lower()}, {"current_os_version": NEW}, "target_os_version", NEW.lower()),
        (OS, {"target_os_version": NEW}, {"current_os_version": None}, "target_os_version", NEW),
        (
            IMAGE,
            {"target_image_version": "22.04.202405140", "strategy": "surge"},
            {**SEEN, "oldest_node_version": "22.04.202404090"},
            "target_image_version",
            "22.04.202404090",
        ),
        (
            IMAGE,
            {"nodes_since": "2026-11-24", "strategy": "surge"},
            {**SEEN, "oldest_node_version": None, "oldest_node_allocated": "2026-11-01T00:00:00Z"},
            "nodes_since",
            "2026-11-01T00:00:00Z",
        ),
    ],
)
def test_the_target_in_the_state_is_what_the_pool_shows(
    resource: Any, bag: dict[str, Any], seen: dict[str, Any], target: str, shown: str
) -> None:
    assert resource._as_state(bag, seen)[target] == shown
