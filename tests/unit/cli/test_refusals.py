"""Which declared pools an `up` would refuse: judged by the tables, all of them in one run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from batch_os_provider.batch.address import PoolRef
from batch_os_provider.batch.supported_images import SupportedImage
from batch_os_provider.cli.adopt.declaration import DeclaredPool
from batch_os_provider.cli.adopt.refusals import refused
from batch_os_provider.cli.inventory import Account
from tests.support.simulator import BEHIND, IMAGES, NEW, NOBLE, OLD, TARGET, paas_pool, vm_pool
from tests.unit.cli.test_proposal import ENDPOINT, seen

FAMILY_7 = "WA-GUEST-OS-7.58_202511-01"
DELETING = paas_pool(state="deleting")
PINNED = vm_pool(version=BEHIND)
OS = {"target_os_version": NEW}
IMAGE = {"target_image_version": TARGET, "strategy": "surge"}


def declaration(**inputs: Any) -> DeclaredPool:
    bag = {"account_endpoint": ENDPOINT, "pool_id": "render", **inputs}
    return DeclaredPool("program (dev)", "mine", PoolRef(ENDPOINT, "render"), "render", bag)


def judged(body: dict[str, Any], declared: DeclaredPool) -> list[tuple[str, str]]:
    found = refused([Account(ENDPOINT, pools=(seen(body),))], [declared])
    assert all(each.next_step and each.url == f"{ENDPOINT}/pools/render" for each in found)
    return [(each.property, each.why) for each in found]


@pytest.mark.parametrize(
    ("body", "inputs", "wrong", "why"),
    [
        (DELETING, OS, "pool_id", "it is being deleted"),
        (paas_pool(), {"target_os_version": FAMILY_7}, "target_os_version", "is of OS family 7"),
        (paas_pool(allocationState="resizing"), {**OS, "if_resizing": "fail"}, "if_resizing", "a resize is under way"),
        (vm_pool(), OS, "pool_id", "it is a VM pool"),
        (paas_pool(), IMAGE, "pool_id", "it is not a VM pool"),
        (PINNED, IMAGE, "strategy", f"the pool is pinned to {BEHIND}"),
    ],
)
def test_a_refusal_has_the_input_that_is_wrong_and_why(
    body: dict[str, Any], inputs: dict[str, str], wrong: str, why: str
) -> None:
    ((told, said),) = judged(body, declaration(**inputs))
    assert told == wrong
    assert why in said


def test_a_refusal_spells_the_property_as_the_program_does() -> None:
    resizing = paas_pool(allocationState="resizing")
    declared = declaration(**OS, if_resizing="fail")
    accounts = [Account(ENDPOINT, pools=(seen(resizing),))]
    (in_python,), (in_yaml,) = (refused(accounts, [replace(declared, is_native=each)]) for each in (False, True))
    assert (in_python.property, in_yaml.property) == ("if_resizing", "ifResizing")
    assert "ifResizing" in in_yaml.why + in_yaml.next_step
    assert "if_resizing" not in in_yaml.why + in_yaml.next_step


@pytest.mark.parametrize(
    ("body", "inputs"),
    [
        (paas_pool(current=OLD), {"target_os_version": OLD}),
        (paas_pool(current=OLD), OS),
        (paas_pool(allocationState="resizing"), OS),
        (PINNED, {**IMAGE, "strategy": "when_empty"}),
        # What is not known without a deployment cannot be judged.
        (DELETING, {}),
        (DELETING, {**OS, "timeout": "04da6b54-80e4-46f7-96ec-b56ff0331ba9"}),
    ],
)
def test_what_up_would_do_or_nobody_can_judge_is_no_refusal(body: dict[str, Any], inputs: dict[str, str]) -> None:
    assert judged(body, declaration(**inputs)) == []


def test_a_pool_that_is_not_there_or_was_not_read_is_not_judged() -> None:
    pool = seen(DELETING)
    one = declaration(**OS)
    assert len(refused([Account(ENDPOINT, pools=(pool,))], [one, one])) == 2, "each declaration by itself"
    assert refused([Account(ENDPOINT, pools=(replace(pool, trouble="403"),))], [one]) == ()
    assert refused([Account(ENDPOINT)], [one, replace(one, ref=None)]) == ()


def test_a_cloud_services_pool_that_no_api_version_upgrades_is_refused() -> None:
    retired = replace(seen(paas_pool()), retired="Batch no longer answers API version 2024-02-01.19.0")
    (found,) = refused([Account(ENDPOINT, pools=(retired,))], [declaration(**OS)])
    assert found.why.startswith("Batch no longer answers")


NOBLE_NAME = ":".join(NOBLE.reference.values())
MOVE = {"target_image": NOBLE_NAME, "target_image_version": "latest", "strategy": "empty"}


@pytest.mark.parametrize(
    ("listed", "why"),
    [
        ((SupportedImage(*NOBLE.reference.values(), NOBLE.agent),), ""),
        ((), f"Batch does not list the image {NOBLE_NAME}"),
        (None, ""),
    ],
)
def test_the_node_agent_of_another_image_is_looked_up_once(listed: Any, why: str) -> None:
    """A list that cannot be read refuses nothing: `up` looks the agent up again."""
    asked: list[str] = []

    def images(endpoint: str) -> Any:
        asked.append(endpoint)
        return listed

    pool, one = seen(vm_pool(image=IMAGES["ubuntu"])), declaration(**MOVE)
    found = refused([Account(ENDPOINT, pools=(pool,))], [one, one], images)
    assert [each.why for each in found] == [why, why] * bool(why)
    assert asked == [ENDPOINT]
    refused([Account(ENDPOINT, pools=(pool,))], [declaration(**IMAGE)], images)
    assert asked == [ENDPOINT], "only for another image"
