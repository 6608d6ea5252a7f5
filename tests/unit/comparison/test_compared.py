"""Pins what makes a change, for both kinds of pools: state and inputs in, names and reasons out."""

from __future__ import annotations

from typing import Any

import pytest

from batch_os_provider.comparison.compared import Compared, PriorState, compare_image, compare_os
from batch_os_provider.comparison.drift import image_drift
from batch_os_provider.schema.declared import target_in

PLACE = {"account_endpoint": "https://acme.westeurope.batch.azure.com", "pool_id": "render"}
OLD, NEW = "WA-GUEST-OS-5.24_201810-01", "WA-GUEST-OS-5.25_201811-01"
UNKNOWN = object()

OS = {**PLACE, "target_os_version": NEW}
OS_STATE = {**OS, "current_os_version": NEW, "pool_state": "active"}
IMAGE: dict[str, Any] = {**PLACE, "target_image_version": "22.04.202410020", "strategy": "empty"}
IMAGE_STATE = {
    **IMAGE,
    "image": "microsoft-dsvm ubuntu-hpc 2204 22.04.202410020",
    "pool_image_version": "22.04.202410020",
    "oldest_node_version": "22.04.202410020",
    "nodes_behind": 0,
    "pool_state": "active",
}
SURGE = {"strategy": "surge", "pool_image_version": "latest"}


def is_unknown(value: object) -> bool:
    return value is UNKNOWN


def reasons(found: Compared) -> str:
    """What makes the change, in short."""
    names = {"behind": found.is_behind, "unfinished": found.is_unfinished, "open": found.is_open}
    return " ".join([*found.changed, *(name for name, is_so in names.items() if is_so)])


@pytest.mark.parametrize(
    ("state", "program", "expected", "prior"),
    [
        ({}, {}, "", None),
        (
            {"current_os_version": OLD},
            {},
            "behind",
            PriorState(OLD, "still at 5.24_201810-01; upgrade to 5.25_201811-01 was deferred", "deferred"),
        ),
        (
            {"pool_state": "upgrading"},
            {},
            "unfinished",
            PriorState(NEW, "still at 5.25_201811-01, but it was upgrading at the last read", "moving"),
        ),
        (
            {"pool_state": "unproven"},
            {},
            "unfinished",
            PriorState(NEW, "at 5.25_201811-01, but the pool has not yet met max_unhealthy and soak", "unproven"),
        ),
        ({}, {"timeout": "3h"}, "timeout", PriorState(NEW)),
        ({"timeout": "180m"}, {"timeout": "3h"}, "", None),
        ({}, {"target_os_version": OLD}, "target_os_version behind", PriorState(NEW)),
        ({}, {"target_os_version": UNKNOWN}, "target_os_version open", PriorState(NEW)),
        ({}, {"pool_id": "encode"}, "pool_id", PriorState(NEW)),
        ({}, {"pool_id": UNKNOWN}, "pool_id open", PriorState(NEW)),
    ],
)
def test_a_cloud_services_pool(
    state: dict[str, Any], program: dict[str, Any], expected: str, prior: PriorState | None
) -> None:
    found = compare_os({**OS_STATE, **state}, {**OS, **program}, is_unknown)
    assert reasons(found) == expected
    assert found.has_changes == bool(expected)
    assert found.replaces == (("pool_id",) if program.get("pool_id") == "encode" else ())
    assert prior in (None, found.prior), "without a change it is not shown"


@pytest.mark.parametrize(
    ("state", "program", "expected", "version"),
    [
        ({}, {}, "", "22.04.202410020"),
        ({"pool_image_version": "22.04.202406010"}, {}, "behind", "22.04.202406010"),
        ({"pool_image_version": "22.04.202412310"}, {}, "behind", "22.04.202412310"),  # the pin is exact
        ({"pool_state": "renewing"}, {}, "unfinished", "22.04.202410020"),
        ({**SURGE}, {"strategy": "surge"}, "", "22.04.202410020"),
        ({**SURGE, "oldest_node_version": "22.04.202412310"}, {"strategy": "surge"}, "", "22.04.202412310"),
        ({**SURGE, "oldest_node_version": "22.04.202406010"}, {"strategy": "surge"}, "behind", "22.04.202406010"),
        ({}, {"target_image_version": UNKNOWN}, "target_image_version open", "22.04.202410020"),
        ({}, {"account_endpoint": "https://b.eastus.batch.azure.com"}, "account_endpoint", "22.04.202410020"),
    ],
)
def test_a_vm_pool(state: dict[str, Any], program: dict[str, Any], expected: str, version: str) -> None:
    found = compare_image({**IMAGE_STATE, **state}, {**IMAGE, **program}, is_unknown)
    assert reasons(found) == expected
    assert found.replaces == (("account_endpoint",) if "account_endpoint" in program else ())
    assert found.prior == PriorState(version)


def test_an_input_of_a_new_address_replaces_nothing_that_the_state_does_not_have() -> None:
    assert compare_os({}, OS, is_unknown).replaces == ()


@pytest.mark.parametrize(
    ("observed", "declared", "expected"),
    [
        ({}, IMAGE, {}),
        ({"pool_image_version": "22.04.202412310"}, IMAGE, {"target_image_version": "22.04.202412310"}),
        ({"pool_image_version": "latest"}, IMAGE, {"target_image_version": "latest"}),
        ({}, {}, {"target_image_version": "22.04.202410020"}),  # a program only reads the pool
        (
            {"oldest_node_allocated": "2026-10-01T08:00:00Z"},
            {"nodes_since": "2026-11-24", "strategy": "surge"},
            {"nodes_since": "2026-10-01T08:00:00Z"},
        ),
        ({}, {"nodes_since": "2026-11-24", "strategy": "surge"}, {}),
    ],
)
def test_what_a_refresh_writes(observed: dict[str, Any], declared: dict[str, Any], expected: dict[str, Any]) -> None:
    shown = {name: value for name, value in {**IMAGE_STATE, **observed}.items() if name not in IMAGE}
    assert image_drift(shown, target_in(declared), declared.get("strategy")) == expected
