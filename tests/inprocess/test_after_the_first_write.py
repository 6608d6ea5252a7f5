"""Whatever ends a rollout after its first write: it is undone by then, or the next `up` goes on and ends whole.

A table of both kinds of rollout: every call that fails for good, every refusal that the tables know once something was
written, and what others do at that time. What only people can decide is a row too: the error says what to do, and that
works.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest

from batch_os_provider.batch.vm_pool import MARKER
from batch_os_provider.errors import BatchOsError
from batch_os_provider.schema.declared import ImagePolicy
from batch_os_provider.simulator.world import nodes, resizes
from batch_os_provider.simulator.world.world import World
from tests.inprocess.switches import Ending, Place
from tests.support.simulator import BEHIND, IMAGES, MOVED, NEW, TARGET, Image, job, paas_pool, vm_pool

OLD_NODES = {f"tvm-{number:03d}" for number in range(1, 5)}
CODES = (
    (400, "InvalidPropertyValue"),
    (403, "InsufficientAccountPermissions"),
    (409, "OperationNotValidOnPool"),
    (412, "ConditionNotMet"),
    (500, "InternalError"),
    (503, "ServerBusy"),
)


def fails(place: Place, operation: str, status: int, code: str, pool: str = "render") -> None:
    """From now on every such call fails."""
    effect = {"kind": "status", "status": status, "code": code}
    place.account.faults.add({"match": {"operation": operation, "pool": pool}, "effect": effect})


START_TASK = {"startTask": {"commandLine": "prepare", "waitForSuccess": True}}


def scripted(**words: Any) -> dict[str, Any]:
    return {"simulator": {"allocation": words}}


def is_undone(place: Place) -> bool:
    pool = place.pool()
    return set(pool.nodes) == {name.lower() for name in OLD_NODES} and not pool.props.get("metadata")


@dataclass
class Renewal:
    """A row about VM pools. ``undone``: the pool is as it was when the error comes; else the next `up` goes on."""

    words: str
    undone: bool
    pool: dict[str, Any] = field(default_factory=dict)
    then: Callable[[Place], None] = lambda _: None
    goal: dict[str, Any] = field(default_factory=dict)
    tasks: tuple[int, ...] = (90,) * 8


def cancels_note(world: World) -> None:
    world.pool("render").props.pop("metadata")


def stop_new_nodes(world: World) -> None:
    """Somebody deallocates the nodes that were added."""
    pool = world.pool("render")
    for node in pool.nodes.values():
        if node.id not in OLD_NODES:
            nodes.set_state(world, pool, node, "deallocated")


def mends(place: Place) -> None:
    place.account.faults.clear()
    place.pool().script = None


RENEWALS: dict[str, Renewal] = {
    "canary too old": Renewal(f"Batch still allocates {BEHIND}", undone=True, pool=scripted(version=BEHIND)),
    "canary shows latest": Renewal(
        "shows 'latest' in place of a version number", undone=True, pool=scripted(version="latest")
    ),
    "canary shows nonsense": Renewal(
        "shows '8.7.x' in place of a version", undone=True, pool=scripted(version="8.7.x")
    ),
    "start task fails": Renewal("is starttaskfailed", undone=True, pool={**scripted(startTask="fail"), **START_TASK}),
    "canary unusable": Renewal("is unusable", undone=True, pool=scripted(state="unusable")),
    "canary deallocated": Renewal(
        "is deallocated; no old node was touched",
        undone=True,
        then=lambda place: place.at(60, stop_new_nodes),
    ),
    "quota": Renewal("Batch could not allocate 2 more nodes", undone=True, pool=scripted(fail="AllocationFailed")),
    "a task outlasts the drain": Renewal(
        "did not finish", undone=False, tasks=(10_000,) * 8, goal={"drain_timeout": 300.0}
    ),
    "deadline": Renewal("was not reached within", undone=False, goal={"timeout": 100.0}, tasks=(600,) * 8),
    **{
        f"{operation} {status}": Renewal(
            "was not reached within" if status == 412 else code,
            goal={"timeout": 1200.0} if status == 412 else {},
            undone=operation == "Pool_Resize" and status == 409,
            then=partial(
                lambda place, operation, status, code: place.just_before(
                    "POST", "/resize", lambda _: fails(place, operation, status, code)
                ),
                operation=operation,
                status=status,
                code=code,
            ),
        )
        for operation in ("Pool_Resize", "Pool_RemoveNodes", "Pool_Patch", "Pool_Get", "ComputeNode_List")
        for status, code in CODES
        if status != 412 or operation in ("Pool_Resize", "Pool_RemoveNodes", "Pool_Patch")
    },
}


@pytest.mark.parametrize("row", RENEWALS)
def test_a_renewal_that_failed_is_undone_or_resumed(row: str) -> None:
    case, place = RENEWALS[row], Place({})
    place.seed(vm_pool(nodes=4, **case.pool), images=[MOVED], jobs=[job("render", *case.tasks)])
    case.then(place)
    ending = place.renew(**case.goal)
    ending.failed(BatchOsError, case.words)
    assert place.writes(), "something was written"
    if case.undone:
        assert is_undone(place), row
    mends(place)
    place.pass_time(25_000)
    place.renew().done()
    whole(place, TARGET)


def whole(place: Place, target: str, count: int = 4) -> None:
    """Every node runs the target, the size is what it was, no note is left, and no task was lost."""
    pool = place.pool()
    assert {node.image["exactVersion"] for node in pool.nodes.values() if node.image} == {target}
    assert (len(pool.nodes), pool.target_dedicated, pool.allocation) == (count, count, "steady")
    assert not pool.props.get("metadata")
    place.tasks_done()


def resized(world: World) -> None:
    resizes.resize(world, world.pool("render"), (9, None), None, "requeue")


@pytest.mark.parametrize(
    ("act", "words", "mend"),
    [
        (resized, "another person or program resized the pool: the rollout began at 4 nodes", 9),
        (cancels_note, "its marker in the metadata is gone", None),
    ],
    ids=["resized", "note removed"],
)
def test_what_only_people_can_decide_says_so_and_what_it_says_works(
    act: Callable[[World], None], words: str, mend: int | None
) -> None:
    """The size that is wanted is in nobody's look: the error says to set it and to remove the note."""
    place = Place({})
    place.seed(vm_pool(nodes=4), images=[MOVED], jobs=[job("render", *[90] * 8)])
    place.just_before("POST", "/removenodes", act)
    ending = place.renew()
    ending.failed(BatchOsError, words, "remove the metadata entry batch-os")
    before = len(place.writes())
    place.renew()
    assert mend is None or len(place.writes()) == before, "nothing more is written before people have decided"
    pool = place.pool()
    pool.props["metadata"] = [each for each in pool.props.get("metadata", ()) if each["name"] != MARKER]
    place.renew().done()
    assert {node.image["exactVersion"] for node in place.pool().nodes.values() if node.image} == {TARGET}


UPGRADES = {
    **{
        f"{operation} {status}": (operation, status, code)
        for operation in ("Pool_Get", "ComputeNode_List")
        for status, code in CODES
        if status not in (409, 412)
    },
    "deadline": None,
    "stalls": None,
}


@pytest.mark.parametrize("row", UPGRADES)
def test_an_upgrade_that_failed_after_its_post_is_joined_by_the_next_up(row: str) -> None:
    """Batch goes on with it whatever became of us, and it is never asked twice."""
    place, fault = Place({}), UPGRADES[row]
    place.seed(paas_pool(nodes=3), jobs=[job("render", *[90] * 6)])
    if fault is not None:
        place.just_before("GET", "/pools/render", lambda _: None)
        place.at(1, lambda _: fails(place, *fault))
    goal = {"deadline": {"timeout": 15.0}, "stalls": {"stall_after": 30.0}}.get(row, {"stall_after": 60.0})
    ending = place.upgrade(**goal)
    if ending.error is not None:
        assert "pulumi up" in str(ending.error) or fault is not None
    place.account.faults.clear()
    place.upgrade().done()
    assert place.upgrades_begun() == 1
    assert place.writes("Pool_UpgradeOS").count(202) == 1
    assert place.pool().cloud_service is not None
    assert place.pool().cloud_service["currentOSVersion"] == NEW
    place.tasks_done()


@pytest.mark.parametrize("image", [*IMAGES.values()], ids=[*IMAGES])
def test_every_image_is_renewed_with_its_version_spelled_as_declared(image: Image) -> None:
    place = Place({})
    place.seed(vm_pool(nodes=4, image=image), images=[image.row], jobs=[job("render", *[90] * 8)])
    ending: Ending = place.renew(ImagePolicy("surge", 2), target=image.target)
    ending.done()
    whole(place, image.target)
    said = ending.voice.lines("info")[0]
    assert said.startswith("done, 4 nodes at the target or newer, ")
    assert said.endswith(f"; {image.behind} -> {image.target}")
