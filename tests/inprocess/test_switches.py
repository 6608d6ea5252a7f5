"""The rollout of a Cloud Services pool under every setting of every switch: the outcome is right under each.

``SCENARIOS`` has the oracles, ``OTHERWISE`` the few cells where what Batch does rightly turns the outcome.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import partial

import pytest

from batch_os_provider.errors import ApiRetiredError, DeadlineError, PermanentError, PoolGoneError, RefusedError
from batch_os_provider.schema.declared import Policy
from batch_os_provider.simulator.world import pools, resizes, upgrades
from batch_os_provider.simulator.world.errors import BatchError
from batch_os_provider.simulator.world.unknowns import BY_NAME, TABLE
from batch_os_provider.simulator.world.world import World
from tests.inprocess.switches import Ending, Otherwise, Place, Scenario, is_met, judge, quietly, settings_of
from tests.support.simulator import NEW, OLD, OTHER, job, paas_pool, vm_pool

CATALOGUE = [{"osVersion": version} for version in (OLD, NEW, OTHER)]
UNLISTED = "WA-GUEST-OS-4.99_202401-01"
OTHER_FAMILY = "WA-GUEST-OS-5.25_201811-01"
WORK = job("render", *[90] * 6)
SETTINGS = settings_of((row.name for row in TABLE), mixtures=4)


def resize(world: World, size: int = 5) -> None:
    """Somebody resizes the pool, if Batch lets them."""
    with contextlib.suppress(BatchError):
        resizes.resize(world, world.pool("render"), (size, None), None, "requeue")


def upgrade(world: World, target: str = NEW) -> None:
    upgrades.upgrade_os(world, world.pool("render"), target)


def delete(world: World) -> None:
    pools.delete(world, world.pool("render"))


# --- what is played ---


def plain(place: Place) -> Ending:
    place.seed(paas_pool(), images=CATALOGUE, jobs=[WORK])
    return place.upgrade()


def start_task(place: Place) -> Ending:
    place.seed(paas_pool(startTask={"commandLine": "setup", "waitForSuccess": True}), images=CATALOGUE)
    return place.upgrade()


def node_fails(place: Place) -> Ending:
    place.seed(paas_pool(), images=CATALOGUE)
    place.at(5, lambda world: setattr(world.node("render", "tvm-002"), "fate", "unusable"))
    return place.upgrade(timeout=600.0)


def already_there(place: Place) -> Ending:
    place.seed(paas_pool(current=NEW), images=CATALOGUE)
    return place.upgrade()


def to_star(place: Place) -> Ending:
    place.seed(paas_pool(), images=CATALOGUE)
    return place.upgrade("*")


def from_star_to_newest(place: Place) -> Ending:
    place.seed(paas_pool(current="*"), images=CATALOGUE)
    return place.upgrade(OTHER)


def from_star_to_older(place: Place) -> Ending:
    place.seed(paas_pool(current="*"), images=CATALOGUE)
    return place.upgrade()


def not_in_the_catalogue(place: Place) -> Ending:
    place.seed(paas_pool(), images=CATALOGUE)
    return place.upgrade(UNLISTED)


def no_nodes(place: Place) -> Ending:
    place.seed(paas_pool(nodes=0), images=CATALOGUE)
    return place.upgrade()


def faulty(place: Place, operation: str, nodes: int = 3, **effect: object) -> Ending:
    place.seed(paas_pool(nodes=nodes), images=CATALOGUE, jobs=[WORK] if nodes else [])
    place.fault(operation, **effect)
    return place.upgrade()


def resizing(place: Place, policy: Policy) -> Ending:
    place.seed(paas_pool(), images=CATALOGUE)
    resize(place.world)
    return place.upgrade(policy=policy)


def meanwhile(place: Place, act: Callable[[World], None]) -> Ending:
    """Somebody acts between our look and our POST."""
    place.seed(paas_pool(), images=CATALOGUE)
    place.just_before("POST", "/upgradeos", act)
    return place.upgrade()


def resized_meanwhile(place: Place) -> Ending:
    place.seed(paas_pool(), images=CATALOGUE, jobs=[WORK])
    place.at(20, resize)
    return place.upgrade()


def other_in_flight(place: Place, policy: Policy) -> Ending:
    place.seed(paas_pool(), images=CATALOGUE)
    upgrade(place.world, OTHER)
    return place.upgrade(policy=policy)


def deadline(place: Place, *, defer: bool = False) -> Ending:
    place.seed(paas_pool(), images=CATALOGUE)
    return place.upgrade(timeout=30.0, defer=defer)


def after_the_deadline(place: Place) -> Ending:
    deadline(place)
    return place.upgrade()


def other_family(place: Place, nodes: int) -> Ending:
    place.seed(paas_pool(nodes=nodes), images=[*CATALOGUE, {"osVersion": OTHER_FAMILY}])
    return place.upgrade(OTHER_FAMILY)


def a_vm_pool(place: Place) -> Ending:
    place.seed(vm_pool())
    return place.upgrade()


def deleting(place: Place) -> Ending:
    place.seed(paas_pool())
    delete(place.world)
    return place.upgrade()


def deleted_meanwhile(place: Place) -> Ending:
    place.seed(paas_pool(), images=CATALOGUE)
    place.at(20, delete)
    return place.upgrade()


# --- how it must end ---


def reached(place: Place, ending: Ending, target: str = NEW, nodes: int = 3, begun: int = 1) -> None:
    """At the target, active and steady, by so many upgrades in all; no node is missing and no task is lost."""
    ending.done()
    pool = place.pool()
    assert pool.cloud_service == {"osFamily": "4", "targetOSVersion": target, "currentOSVersion": target}
    assert (pool.state, pool.upgrade) == ("active", None)
    assert place.upgrades_begun() == begun
    place.tasks_done()
    assert (pool.allocation, len(pool.nodes)) == ("steady", nodes)
    assert {node.state for node in pool.nodes.values()} <= {"idle"}


def reached_with_one_post(place: Place, ending: Ending, target: str = NEW, nodes: int = 3, begun: int = 1) -> None:
    reached(place, ending, target, nodes, begun)
    assert place.writes() == [202]


def reached_without_a_post(place: Place, ending: Ending, begun: int = 1) -> None:
    reached(place, ending, begun=begun)
    assert not [status for status in place.writes() if status == 202]


def refused(place: Place, ending: Ending, *words: str, begun: int = 0) -> None:
    """Before anything was written."""
    ending.failed(RefusedError, *words)
    assert not place.writes()
    assert place.upgrades_begun() == begun


def as_it_was(place: Place, current: str) -> None:
    assert place.pool().cloud_service == {"osFamily": "4", "targetOSVersion": current, "currentOSVersion": current}
    assert place.upgrades_begun() == 0


def not_a_version(place: Place, ending: Ending) -> None:
    """Told at once, with the service's code; the pool is as it was."""
    ending.failed(PermanentError, "OSVersionNotFound")
    assert place.writes() == [400]
    as_it_was(place, OLD)


def equal_for_batch(place: Place, ending: Ending) -> None:
    """A look and a second try, since the answer might be about a POST of ours; then the service's text."""
    ending.failed(RefusedError, "PoolVersionEqualsUpgradeVersion", "twice while nothing changed")
    assert place.writes() == [400, 400]
    as_it_was(place, "*")


def gone(place: Place, ending: Ending) -> None:
    ending.failed(PoolGoneError)
    assert place.upgrades_begun() <= 1


def late(place: Place, ending: Ending) -> None:
    """The error tells that the upgrade goes on, and it does, to its end."""
    ending.failed(DeadlineError, f"the upgrade {OLD} -> {NEW} goes on in Batch", "starts no second upgrade")
    place.pass_time(600)
    assert place.pool().cloud_service == {"osFamily": "4", "targetOSVersion": NEW, "currentOSVersion": NEW}
    assert place.writes() == [202]


def deferred(place: Place, ending: Ending) -> None:
    assert ending.error is None
    assert ending.deferred
    assert place.writes() == [202]


def waits_for_a_node(place: Place, ending: Ending) -> None:
    """Batch goes on waiting for the node that has failed, and the error says so."""
    ending.failed(DeadlineError, f"the upgrade {OLD} -> {NEW} goes on in Batch")
    assert place.writes() == [202]


def told_of_a_node(place: Place, ending: Ending) -> None:
    """Batch has ended the upgrade without the node: done, and the node is named."""
    ending.done()
    assert place.writes() == [202]
    assert any("tvm-002 is unusable" in text for text in ending.voice.lines("warn"))


def retired(place: Place, ending: Ending) -> None:
    """Nothing can be upgraded any more, and nothing was written."""
    ending.failed(ApiRetiredError, "Batch no longer answers API version 2018-08-01.7.0")
    assert not place.writes()


SCENARIOS = {
    "plain": Scenario(plain, reached_with_one_post),
    "start task": Scenario(start_task, reached_with_one_post),
    "a node fails": Scenario(node_fails, waits_for_a_node),
    "already there": Scenario(already_there, partial(reached_without_a_post, begun=0)),
    "to *": Scenario(to_star, partial(reached_with_one_post, target="*")),
    "from * to the newest": Scenario(from_star_to_newest, partial(reached_with_one_post, target=OTHER)),
    "from * to an older one": Scenario(from_star_to_older, reached_with_one_post),
    "not in the catalogue": Scenario(not_in_the_catalogue, partial(reached_with_one_post, target=UNLISTED)),
    "no nodes": Scenario(no_nodes, partial(reached_with_one_post, nodes=0)),
    "lost answer": Scenario(partial(faulty, operation="Pool_UpgradeOS", kind="dropAfter"), reached),
    "lost answer, no nodes": Scenario(
        partial(faulty, operation="Pool_UpgradeOS", nodes=0, kind="dropAfter"), partial(reached, nodes=0)
    ),
    "lost request": Scenario(partial(faulty, operation="Pool_UpgradeOS", kind="dropBefore"), reached),
    "late answer": Scenario(partial(faulty, operation="Pool_UpgradeOS", kind="delay", seconds=25), reached),
    "503 to the POST": Scenario(partial(faulty, operation="Pool_UpgradeOS", kind="status", status=503), reached),
    "lost read": Scenario(partial(faulty, operation="Pool_Get", kind="dropBefore"), reached_with_one_post),
    "resizing, wait": Scenario(partial(resizing, policy=Policy()), partial(reached_with_one_post, nodes=5)),
    "resizing, fail": Scenario(
        partial(resizing, policy=Policy(if_resizing="fail")), lambda p, e: refused(p, e, "a resize is under way")
    ),
    "resized between look and POST": Scenario(partial(meanwhile, act=resize), partial(reached, nodes=5)),
    "resized quietly": Scenario(partial(meanwhile, act=quietly(resize)), partial(reached, nodes=5)),
    "resized meanwhile": Scenario(resized_meanwhile, partial(reached_with_one_post, nodes=5)),
    "other in flight, fail": Scenario(
        partial(other_in_flight, policy=Policy()),
        lambda p, e: refused(p, e, f"an upgrade {OLD} -> {OTHER} is in flight, and {NEW} is declared", begun=1),
    ),
    "other in flight, wait": Scenario(
        partial(other_in_flight, policy=Policy(on_conflict="wait")), partial(reached_with_one_post, begun=2)
    ),
    "overtaken by the same": Scenario(partial(meanwhile, act=upgrade), reached_without_a_post),
    "overtaken quietly by the same": Scenario(partial(meanwhile, act=quietly(upgrade)), reached),
    "deadline": Scenario(deadline, late),
    "deadline, defer": Scenario(partial(deadline, defer=True), deferred),
    "after the deadline": Scenario(after_the_deadline, reached_with_one_post),
    "other family": Scenario(partial(other_family, nodes=3), lambda p, e: refused(p, e, "the pool is of OS family 4")),
    "other family, no nodes": Scenario(
        partial(other_family, nodes=0), lambda p, e: refused(p, e, "the pool is of OS family 4")
    ),
    "VM pool": Scenario(a_vm_pool, lambda p, e: refused(p, e, "it is a VM pool", 'PoolImageVersion("render"')),
    "deleting": Scenario(deleting, gone),
    "deleted between look and POST": Scenario(partial(meanwhile, act=delete), gone),
    "deleted quietly": Scenario(partial(meanwhile, act=quietly(delete)), gone),
    "deleted meanwhile": Scenario(deleted_meanwhile, gone),
}


def overtaken_by_another(place: Place, ending: Ending) -> None:
    ending.failed(RefusedError, f"an upgrade {OLD} -> {OTHER} is in flight, and {NEW} is declared")
    assert 202 not in place.writes()
    assert place.upgrades_begun() == 1


BY_ANOTHER = partial(upgrade, target=OTHER)
SCENARIOS |= {
    "overtaken by another": Scenario(partial(meanwhile, act=BY_ANOTHER), overtaken_by_another),
    "overtaken quietly by another": Scenario(partial(meanwhile, act=quietly(BY_ANOTHER)), overtaken_by_another),
}

OTHERWISE = (
    Otherwise(
        "retiredApiVersions",
        ("before-2025-06-01",),
        frozenset(SCENARIOS) - {"VM pool"},
        retired,
        "the API that upgradeos belongs to is answered no more, so nothing can be upgraded at all",
    ),
    Otherwise(
        "upgradeWithFailedNode",
        ("ends",),
        frozenset({"a node fails"}),
        told_of_a_node,
        "Batch says that the upgrade is over; whether a failed node is good enough is for max_unhealthy to say",
    ),
    Otherwise(
        "resizeWhileUpgrading",
        ("OperationInvalidForCurrentState",),
        frozenset({"resized meanwhile"}),
        partial(reached_with_one_post, nodes=3),
        "the resize of the other actor was refused, so the pool has the nodes that it had",
    ),
    Otherwise(
        "versionValidation",
        ("catalogue",),
        frozenset({"not in the catalogue"}),
        not_a_version,
        "Batch says that there is no such version; only it can know",
    ),
    Otherwise(
        "pinnedEqualsLatest",
        ("PoolVersionEqualsUpgradeVersion",),
        frozenset({"from * to the newest"}),
        equal_for_batch,
        "Batch holds * and the version behind it for the same, so the pool cannot be pinned to it while it is that; "
        "reported as done it would be a lie, since the pool still follows *",
    ),
)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_upgrade(scenario: str) -> None:
    judge(scenario, SCENARIOS[scenario], OTHERWISE, SETTINGS)


def test_what_may_end_in_another_way_is_a_value_of_a_switch_and_a_scenario() -> None:
    for row in OTHERWISE:
        assert set(row.values) < set(BY_NAME[row.switch].allowed)
        assert row.scenarios <= set(SCENARIOS)


MET = {
    "sameTargetWhileUpgrading": "overtaken quietly by the same",
    "pinnedEqualsLatest": "from * to the newest",
    "upgradeWhileResizing": "resized quietly",
    "resizeWhileUpgrading": "resized meanwhile",
    "upgradeWhileDeleting": "deleted quietly",
    "wrongFamily": "plain",
    "versionValidation": "not in the catalogue",
    "requeueCount": "plain",
    "nodeStateDuringUpgrade": "plain",
    "startTaskAfterUpgrade": "start task",
    "upgradeWithFailedNode": "a node fails",
    "emptyPoolUpgradeSeconds": "no nodes",
    "apiVersionUnknownCode": "plain",
    "retiredApiVersions": "plain",
    "cloudServicePoolInNewestVersion": "plain",
}
"""Switch to a scenario that meets it: a setting that no scenario reads would show nothing."""
NEVER_MET = {
    "iaasPoolCode": "a VM pool is refused before anything is sent",
    "upgradeosGoneCode": "upgradeos is sent in the last API version that has it, and in no other",
    "getOnUpgradeosCode": "nobody asks for it",
}


def test_every_switch_is_met_or_cannot_be() -> None:
    assert set(MET) | set(NEVER_MET) == {row.name for row in TABLE}


@pytest.mark.parametrize("switch", MET)
def test_a_scenario_meets(switch: str) -> None:
    assert is_met(switch, SCENARIOS[MET[switch]])
