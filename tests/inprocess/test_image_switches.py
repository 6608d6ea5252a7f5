"""The renewal of a VM pool under every setting of every switch that can reach it: the outcome is right under each.

``SCENARIOS`` has the oracles, ``OTHERWISE`` the few cells where what Batch does rightly turns the outcome.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from batch_os_provider.batch.vm_target import ImageVersion
from batch_os_provider.batch.wanted_image import WantedImage
from batch_os_provider.errors import BatchOsError, DeadlineError, PermanentError, PoolGoneError, RefusedError
from batch_os_provider.schema.declared import ImagePolicy
from batch_os_provider.simulator.world import nodes, resizes
from batch_os_provider.simulator.world.unknowns import BY_NAME, VM_TABLE
from batch_os_provider.simulator.world.world import World
from tests.inprocess.switches import Ending, Otherwise, Place, Scenario, exactly, is_met, judge, quietly, settings_of
from tests.support.simulator import BEHIND, IMAGES, MOVED, NOBLE, TARGET, WINDOWS, job, paas_pool, vm_pool

# All switches of VM pools; of the others those that a renewal meets: the versions answered, pools of the other kind.
SWITCHES = (
    *(row.name for row in VM_TABLE),
    *("retiredApiVersions", "apiVersionUnknownCode", "cloudServicePoolInNewestVersion"),
)
SETTINGS = settings_of(SWITCHES, mixtures=2)
SURGE = ImagePolicy("surge", 2)
WHEN_EMPTY = ImagePolicy("when_empty")
EMPTY = ImagePolicy("empty", canary=2)
HOLD = ImagePolicy("empty", autoscale="hold")
HELD = ImagePolicy("surge", 2, autoscale="hold")
SPARING = ImagePolicy("surge", 0, max_unavailable=2)
SCALED = {"enableAutoScale": True, "autoScaleFormula": "$T=4", "autoScaleEvaluationInterval": "PT15M"}
LONG_FORMULA = {**SCALED, "autoScaleFormula": "$T = 4;  // " + "nights " * 700}
JAMMY = IMAGES["ubuntu"]
WORK = job("render", *[90] * 8)
LONG = job("render", 20_000, 60, 60)
UNLISTED = {
    "imageReference": {**WINDOWS, "offer": "another", "version": BEHIND},
    "nodeAgentSKUId": "batch.node.windows amd64",
}
SHORT = {"simulator": {"allocation": {"fail": "AllocationFailed", "failAfter": 1, "times": 1}}}
GALLERY = {
    "imageReference": {"virtualMachineImageId": "/subscriptions/s/galleries/g/images/i/versions/1.2.3"},
    "nodeAgentSKUId": "batch.node.windows amd64",
}


def resize(world: World, size: int) -> None:
    resizes.resize(world, world.pool("render"), (size, None), None, "requeue")


# --- what is played ---


def renewal(place: Place, policy: ImagePolicy = SURGE, nodes: int = 4, **pool: Any) -> Ending:
    place.seed(vm_pool(nodes=nodes, **pool), images=[MOVED], jobs=[WORK] if nodes else [])
    return place.renew(policy)


def since(place: Place, **pool: Any) -> Ending:
    """Nodes show the word ``latest``, and a moment is declared."""
    place.seed(vm_pool(nodes=4, **{"exact": "latest", **pool}), images=[MOVED], jobs=[WORK])
    place.world.unknowns.set({"exactVersionOfLatest": "latest"})
    return place.renew(SURGE, target="2024-06-01")


def faulty(place: Place, operation: str, **effect: Any) -> Ending:
    place.seed(vm_pool(nodes=4), images=[MOVED], jobs=[WORK])
    place.fault(operation, **effect)
    return place.renew(SURGE)


def emptied(place: Place, **pool: Any) -> Ending:
    """Whoever owns the pool lets it go empty."""
    place.seed(vm_pool(nodes=2, **pool), images=[MOVED])
    place.at(60, lambda world: resize(world, 0))
    return place.renew(WHEN_EMPTY)


def full(place: Place) -> Ending:
    """Whoever owns the pool never lets it go empty."""
    place.seed(vm_pool(nodes=2), images=[MOVED])
    return place.renew(WHEN_EMPTY, timeout=120.0)


def stays(place: Place, policy: ImagePolicy = SURGE) -> Ending:
    place.seed(vm_pool(nodes=3), images=[MOVED], jobs=[LONG])
    return place.renew(policy, drain_timeout=300.0)


def stays_then_goes(place: Place) -> Ending:
    stays(place)
    place.pass_time(25_000)
    return place.renew(SURGE)


def short_then_whole(place: Place) -> Ending:
    renewal(place, **SHORT)
    return place.renew(SURGE)


def deadline(place: Place) -> Ending:
    place.seed(vm_pool(nodes=3), images=[MOVED], jobs=[job("render", *[300] * 6)])
    return place.renew(SURGE, timeout=200.0)


def after_the_deadline(place: Place) -> Ending:
    deadline(place)
    return place.renew(SURGE)


def before_the_pin(place: Place, act: Callable[[World], None]) -> Ending:
    """Somebody acts between our look and our PATCH of the image."""
    place.seed(vm_pool(nodes=0, version=BEHIND), images=[MOVED])
    place.just_before("PATCH", "/render", act)
    return place.renew(SURGE)


def node_appears(world: World) -> None:
    world.pool("render").target_dedicated = 1
    nodes.create(world, world.pool("render"), dedicated=True)


def before_the_removal(place: Place, act: Callable[[World], None]) -> Ending:
    """Somebody acts between our look and the removal of old nodes, whose tasks have ended by then."""
    place.seed(vm_pool(nodes=4), images=[MOVED], jobs=[job("render", 60, 60, 60, 60)])
    place.just_before("POST", "/removenodes", act)
    return place.renew(SURGE)


def node_vanishes(world: World) -> None:
    """It is gone, and Batch brings the pool back to its target."""
    pool = world.pool("render")
    for node in list(pool.nodes.values())[:4]:
        if node.state == "idle":
            del pool.nodes[node.id]
            world.record_change("node", node.id, node.state, None, pool=pool.id, dedicated=True)
            return


def autoscale_begins(world: World) -> None:
    resizes.enable_autoscale(world, world.pool("render"), {"autoScaleFormula": "x"})


def autoscale_then_when_empty(place: Place) -> Ending:
    before_the_removal(place, quietly(autoscale_begins))
    return place.renew(WHEN_EMPTY, timeout=120.0)


def of_the_other_kind(place: Place) -> Ending:
    place.seed(paas_pool())
    return place.renew(SURGE)


def to_empty(place: Place, *works: dict[str, Any], policy: ImagePolicy = EMPTY, **more: Any) -> Ending:
    """A pinned pool of four nodes is emptied; what is no goal belongs to the pool."""
    goal = {name: more.pop(name) for name in ("drain_timeout", "timeout") if name in more}
    place.seed(vm_pool(**{"nodes": 4, "version": BEHIND, **more}), images=[MOVED], jobs=list(works or [WORK]))
    return place.renew(policy, **goal)


def to_a_moment(place: Place, policy: ImagePolicy = EMPTY, spot: int = 0, **pool: Any) -> Ending:
    """The nodes are from 2018; ``spot`` of them are spot nodes."""
    seed = vm_pool(nodes=4, **pool)
    for node in seed["nodes"][4 - spot :]:
        node["isDedicated"] = False
    for kind, count in (("Dedicated", 4 - spot), ("LowPriority", spot)):
        seed |= {f"current{kind}Nodes": count, f"target{kind}Nodes": count}
    place.seed(seed, images=[MOVED], jobs=[WORK])
    return place.renew(policy, target="2024-06-01T12:00:00Z")


def outlasts(place: Place) -> Ending:
    return to_empty(place, LONG, drain_timeout=300.0)


def outlasts_then_goes(place: Place) -> Ending:
    outlasts(place)
    place.pass_time(25_000)
    return place.renew(EMPTY)


def formula_changes(place: Place) -> Ending:
    """Somebody enables another formula between our look and our resize to zero."""
    place.seed(vm_pool(nodes=4, version=BEHIND, **SCALED), images=[MOVED], jobs=[WORK])
    place.just_before("POST", "/resize", quietly(enable_theirs))
    return place.renew(HOLD)


def enable_theirs(world: World) -> None:
    pool = world.pool("render")
    pool.autoscale_enabled_at = None
    resizes.enable_autoscale(world, pool, {"autoScaleFormula": "$TargetDedicatedNodes=9"})


# --- how it must end ---


def whole(place: Place, nodes: int, without: int = 0) -> None:
    """Its size, never fewer nodes that take tasks, at most ``surge`` more, no note, and each task ran once.

    ``without`` is how many nodes take no tasks because of what Batch does.
    """
    pool = place.pool()
    assert (len(pool.nodes), pool.target_dedicated, pool.allocation) == (nodes, nodes, "steady")
    assert not pool.props.get("metadata")
    least, most = place.capacity(nodes)
    assert nodes - without <= least <= most <= nodes + SURGE.surge
    place.tasks_done()
    tasks = [task for each in place.world.jobs.values() for task in each.tasks.values()]
    assert {task.requeues for task in tasks} <= {0}


def versions(place: Place) -> set[str]:
    return {node.image["exactVersion"] for node in place.pool().nodes.values() if node.image}


def renewed(place: Place, ending: Ending, nodes: int = 4, without: int = 0) -> None:
    ending.done()
    whole(place, nodes, without)
    assert versions(place) == {TARGET}


def renewed_and_scaled(place: Place, ending: Ending) -> None:
    """As renewed, and the pool has its formula again."""
    renewed(place, ending)
    assert place.pool().props["autoScaleFormula"] in (SCALED["autoScaleFormula"], LONG_FORMULA["autoScaleFormula"])
    assert place.pool().props["autoScaleEvaluationInterval"] == SCALED["autoScaleEvaluationInterval"]


def replaced_in_place(place: Place, ending: Ending) -> None:
    """All nodes are new; at most two were missing at any time, and none was added."""
    ending.done()
    pool = place.pool()
    assert (len(pool.nodes), pool.target_dedicated, pool.props.get("metadata") or []) == (4, 4, [])
    least, most = place.capacity(4)
    assert 2 <= least <= most <= 4
    assert versions(place) == {TARGET}
    place.tasks_done()


def one_is_lost(place: Place, ending: Ending) -> None:
    """The canary has an old version: its place was that of an old node, and no other node was touched."""
    ending.failed(RefusedError, STILL_OLD, "1 old node has left, no other node was touched")
    assert (len(place.pool().nodes), place.pool().target_dedicated) == (4, 4)
    assert not place.pool().props.get("metadata")


def all_new(place: Place, ending: Ending) -> None:
    """Each of the nodes is a new one, whatever version it got."""
    ending.done()
    whole(place, 4)
    assert {node.id for node in place.pool().nodes.values()}.isdisjoint({f"tvm-{number:03d}" for number in range(1, 5)})


def untouched(place: Place, ending: Ending) -> None:
    """Nothing to do, nothing written."""
    ending.done()
    assert not place.writes()


def refused(place: Place, ending: Ending, *words: str, kind: type[BatchOsError] = RefusedError) -> None:
    ending.failed(kind, *words)
    assert not place.writes()


def failed_and_undone(place: Place, ending: Ending, *words: str, nodes: int = 4) -> None:
    """The error says why; the pool has the very nodes that it had."""
    ending.failed(RefusedError, *words)
    whole(place, nodes)
    names = {node.id for node in place.pool().nodes.values()}
    assert names == {f"tvm-{number:03d}" for number in range(1, nodes + 1)}


def one_stayed(place: Place, ending: Ending) -> None:
    """The busy node was left with its task; the others are new, and the size is what it was."""
    ending.failed(RefusedError, "did not finish its tasks within drain_timeout: tvm-001; no task was stopped")
    assert sorted(node.image["exactVersion"] for node in place.pool().nodes.values() if node.image) == [
        BEHIND,
        TARGET,
        TARGET,
    ]
    whole(place, 3)


def waited(place: Place, ending: Ending) -> None:
    """The owner has emptied it, and nothing was written."""
    ending.done()
    assert not place.writes()
    assert not place.pool().nodes


def never_renewed(place: Place, ending: Ending) -> None:
    """Waited for until the deadline, and nothing was written."""
    ending.failed(DeadlineError, "2 of 2 nodes are behind")
    assert not place.writes()


def pinned(place: Place, ending: Ending) -> None:
    ending.done()
    machine = place.pool().virtual_machine
    assert machine is not None
    assert machine["imageReference"]["version"] == TARGET
    assert place.writes()[-1] == 200
    assert set(place.writes()[:-1]) <= {400, 409}, "refused for a moment, then accepted once"


def emptied_and_filled(place: Place, ending: Ending, pin: str = TARGET, **scaled: Any) -> None:
    """The pool has its pin, its size or its formula, no marker, and each task ran once."""
    ending.done()
    as_before(place, pin, **scaled)
    assert versions(place) == {pin}


def as_before(place: Place, pin: str = BEHIND, *, by_formula: bool = False) -> None:
    pool = place.pool()
    assert pool.virtual_machine is not None
    assert pool.virtual_machine["imageReference"]["version"] == pin
    assert not pool.props.get("metadata")
    shown = {name: pool.props.get(name) for name in SCALED}
    assert (shown == SCALED) == by_formula, shown
    if not by_formula:
        assert (len(pool.nodes), pool.target_dedicated, pool.allocation) == (4, 4, "steady")
    _, most = place.capacity(4)
    assert most <= 4
    place.tasks_done()
    tasks = [task for each in place.world.jobs.values() for task in each.tasks.values()]
    assert {task.requeues for task in tasks} <= {0}


def failed_and_put_back(place: Place, ending: Ending, *words: str) -> None:
    ending.failed(RefusedError, *words)
    as_before(place)


def drain_timeouts(place: Place) -> list[str]:
    """The resizeTimeouts that Batch was asked for."""
    bodies = [json.loads(entry.detail["body"]) for entry in place.entries() if "body" in entry.detail]
    return [body["resizeTimeout"] for body in bodies if "resizeTimeout" in body]


def ended_before_the_deadline(place: Place, ending: Ending) -> None:
    """The drain is as long as the time that is left allows, in whole seconds, and the size is back in time."""
    outlasted(place, ending)
    (asked,) = drain_timeouts(place)
    assert re.fullmatch(r"PT18M(\d+S)?", asked), asked


def outlasted(place: Place, ending: Ending) -> None:
    """The busy node is named and was not stopped; the pool has its size again."""
    ending.failed(RefusedError, "did not finish its tasks in time: tvm-001 (1 task)", "no task was stopped")
    as_before(place)


def to_another_image(place: Place, agent: str = "") -> Ending:
    """Ubuntu 22.04 moves to 24.04."""
    place.seed(
        vm_pool(nodes=4, image=JAMMY, version=JAMMY.behind),
        images=[JAMMY.row, NOBLE.row],
        jobs=[job("render", 60, 90)],
    )
    image = WantedImage(":".join(NOBLE.reference.values()), agent)
    return place.renew(EMPTY, target=ImageVersion.parse(NOBLE.target, image))


def moved(place: Place, ending: Ending) -> None:
    emptied_and_filled(place, ending, NOBLE.target)
    assert (place.pool().virtual_machine or {})["nodeAgentSKUId"] == NOBLE.agent


def not_moved(place: Place, ending: Ending) -> None:
    """Batch refuses the agent, or its nodes are unusable; either way image and agent are as before."""
    ending.failed(BatchOsError, "/pools/render")
    as_before(place, JAMMY.behind)
    assert (place.pool().virtual_machine or {})["nodeAgentSKUId"] == JAMMY.agent


def gallery_filled(place: Place, ending: Ending) -> None:
    """The version is the end of the image id, whatever the nodes show of it; each task ran once."""
    ending.done()
    pool = place.pool()
    image = GALLERY["imageReference"]["virtualMachineImageId"].removesuffix("1.2.3")  # type: ignore[index]
    assert pool.virtual_machine is not None
    assert pool.virtual_machine["imageReference"] == {"virtualMachineImageId": f"{image}{TARGET}"}
    assert all(node.allocation_time > pool.created for node in pool.nodes.values())
    assert (len(pool.nodes), pool.props.get("metadata") or []) == (4, [])
    place.tasks_done()


def allocated_again(place: Place, ending: Ending, spot: int = 0) -> None:
    """All nodes are new, spot nodes too; nobody changed the image, and each task ran once."""
    ending.done()
    pool = place.pool()
    assert all(node.allocation_time > pool.created for node in pool.nodes.values())
    assert (pool.count(dedicated=True), pool.count(dedicated=False)) == (4 - spot, spot)
    assert pool.virtual_machine is not None
    assert pool.virtual_machine["imageReference"]["version"] == "latest"
    assert place.writes("Pool_Patch") == [200, 200], "the marker, written and cleared"
    assert not pool.props.get("metadata")
    place.tasks_done()
    tasks = [task for each in place.world.jobs.values() for task in each.tasks.values()]
    assert {task.requeues for task in tasks} <= {0}


def left_to_theirs(place: Place, ending: Ending) -> None:
    """Another formula is not touched; both are named, and the marker stays for the owner."""
    ending.failed(RefusedError, "enabled autoscale", "the formula '$T=4' (PT15M)", "'$TargetDedicatedNodes=9'")
    assert place.pool().props["autoScaleFormula"] == "$TargetDedicatedNodes=9"
    assert place.pool().props["metadata"]


def not_begun(place: Place, ending: Ending) -> None:
    ending.failed(PermanentError, "nothing was changed", "shorten the autoscale formula")
    assert place.writes() == [400]
    assert place.pool().props["autoScaleFormula"] == LONG_FORMULA["autoScaleFormula"]


def long_formula_held(place: Place, ending: Ending) -> None:
    ending.done()
    assert place.pool().props["autoScaleFormula"] == LONG_FORMULA["autoScaleFormula"]
    assert not place.pool().props["metadata"]


def not_a_version(place: Place, ending: Ending) -> None:
    """Batch refuses the PATCH, which changed nothing; the error says where to find what can be declared."""
    ending.failed(PermanentError, "InvalidPropertyValue", f"pinning its image to {TARGET}", "`az vm image list --all")
    machine = place.pool().virtual_machine
    assert machine is not None
    assert machine["imageReference"]["version"] == BEHIND
    assert place.writes() == [400]


def overtaken_before_the_pin(place: Place, ending: Ending) -> None:
    """There is a node now: nothing was pinned, and it says what to do."""
    ending.failed(RefusedError, f"the pool is pinned to {BEHIND}", 'Declare strategy="empty"')
    assert 200 not in place.writes()


def left_to_the_formula(place: Place, ending: Ending) -> None:
    """It says what to declare now, and takes its note away, which would stand in the way of that."""
    ending.failed(RefusedError, "the pool scales itself", 'strategy="when_empty"')
    assert not place.pool().props.get("metadata")


def left_to_the_formula_and_followed(place: Place, ending: Ending) -> None:
    """What the refusal says can be done: it waits for the formula and writes nothing more."""
    ending.failed(DeadlineError, "nodes are behind; nothing is under way")
    assert not place.pool().props.get("metadata")
    assert place.writes()[-1] == 200
    assert place.writes("Pool_RemoveNodes") in ([202], [409])


def late(place: Place, ending: Ending) -> None:
    """The error says how far it is; the note in the pool lets the next run go on."""
    ending.failed(DeadlineError, "no task was stopped")
    assert place.pool().props["metadata"]


STILL_OLD = f"Batch still allocates {BEHIND}"
FAULTS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    *(("lost answer", operation, {"kind": "dropAfter"}) for operation in ("Pool_Patch", "Pool_Resize")),
    ("lost answer", "Pool_RemoveNodes", {"kind": "dropAfter"}),
    ("lost request", "Pool_RemoveNodes", {"kind": "dropBefore"}),
    ("late answer", "Pool_Resize", {"kind": "delay", "seconds": 25}),
    ("late answer", "Pool_RemoveNodes", {"kind": "delay", "seconds": 25}),
    ("503", "Pool_Patch", {"kind": "status", "status": 503}),
)
FAULTY = {
    f"{name}, {operation}": Scenario(partial(faulty, operation=operation, **effect), renewed)
    for name, operation, effect in FAULTS
}
SCENARIOS = {
    "surge": Scenario(renewal, renewed),
    "since": Scenario(since, all_new),
    "since, pinned": Scenario(partial(since, version=BEHIND, exact=BEHIND), all_new),
    "since, gallery image": Scenario(partial(since, virtualMachineConfiguration=GALLERY), all_new),
    **FAULTY,
    "at target": Scenario(partial(renewal, exact=TARGET), untouched),
    "no nodes": Scenario(partial(renewal, nodes=0), untouched),
    "when_empty": Scenario(emptied, waited),
    "when_empty, never empty": Scenario(full, never_renewed),
    "pinned, no nodes": Scenario(partial(renewal, nodes=0, version=BEHIND), pinned),
    "pinned, no nodes, a version that does not exist": Scenario(
        partial(renewal, nodes=0, version=BEHIND, virtualMachineConfiguration=UNLISTED), not_a_version
    ),
    "pinned, surge": Scenario(
        partial(renewal, version=BEHIND), lambda p, e: refused(p, e, f"the pool is pinned to {BEHIND}")
    ),
    "pinned, when_empty": Scenario(partial(emptied, version=BEHIND), pinned),
    "pinned, resized before the PATCH": Scenario(
        partial(before_the_pin, act=partial(resize, size=1)), overtaken_before_the_pin
    ),
    "pinned, a node before the PATCH": Scenario(
        partial(before_the_pin, act=quietly(node_appears)), overtaken_before_the_pin
    ),
    "empty": Scenario(to_empty, emptied_and_filled),
    "empty, a moment": Scenario(to_a_moment, allocated_again),
    "empty, a moment, spot nodes": Scenario(partial(to_a_moment, spot=2), partial(allocated_again, spot=2)),
    "empty, from latest": Scenario(partial(to_empty, version="latest"), emptied_and_filled),
    "empty, a held formula": Scenario(
        partial(to_empty, policy=HOLD, **SCALED), partial(emptied_and_filled, by_formula=True)
    ),
    "empty, a long formula": Scenario(partial(to_empty, policy=HOLD, **LONG_FORMULA), long_formula_held),
    "empty, another formula": Scenario(formula_changes, left_to_theirs),
    "empty, a node stays": Scenario(outlasts, outlasted),
    "empty, a node stays, little time": Scenario(
        exactly(lambda place: to_empty(place, LONG, timeout=1171.3)), ended_before_the_deadline
    ),
    "empty, a node stays, then goes": Scenario(outlasts_then_goes, emptied_and_filled),
    "empty, another image": Scenario(to_another_image, moved),
    "empty, another image, a wrong agent": Scenario(partial(to_another_image, agent="batch.node.el 9"), not_moved),
    "empty, the canary fails": Scenario(
        partial(
            to_empty,
            startTask={"commandLine": "setup", "waitForSuccess": True},
            simulator={"allocation": {"startTask": "fail", "count": 1}},
        ),
        lambda p, e: failed_and_put_back(p, e, "the canary failed", f"puts the pool back to {BEHIND} and 4 nodes"),
    ),
    "empty, a version that does not exist": Scenario(
        partial(to_empty, virtualMachineConfiguration=UNLISTED),
        lambda p, e: failed_and_put_back(p, e, "InvalidPropertyValue", "`az vm image list --all"),
    ),
    "a node vanishes before its removal": Scenario(
        exactly(partial(before_the_removal, act=quietly(node_vanishes))), renewed
    ),
    "autoscale begins": Scenario(partial(before_the_removal, act=quietly(autoscale_begins)), left_to_the_formula),
    "autoscale begins, then when_empty": Scenario(autoscale_then_when_empty, left_to_the_formula_and_followed),
    "gallery image, new nodes": Scenario(partial(to_empty, virtualMachineConfiguration=GALLERY), gallery_filled),
    "a node stays": Scenario(stays, one_stayed),
    "a node stays, then goes": Scenario(stays_then_goes, partial(renewed, nodes=3)),
    "allocation falls short": Scenario(
        partial(renewal, **SHORT), lambda p, e: failed_and_undone(p, e, "Batch could not allocate 1 more node")
    ),
    "allocation falls short once": Scenario(short_then_whole, renewed),
    "gallery image": Scenario(
        partial(renewal, virtualMachineConfiguration=GALLERY),
        lambda p, e: refused(p, e, "the pool is pinned to 1.2.3", 'strategy="empty"'),
    ),
    "surge, a held formula": Scenario(partial(renewal, policy=HELD, **SCALED), renewed_and_scaled),
    "surge, a long formula": Scenario(partial(renewal, policy=HELD, **LONG_FORMULA), renewed_and_scaled),
    "max_unavailable": Scenario(partial(renewal, policy=SPARING), replaced_in_place),
    "autoscale": Scenario(
        partial(renewal, enableAutoScale=True, autoScaleFormula="x"),
        lambda p, e: refused(p, e, "the pool scales itself", 'strategy="when_empty"'),
    ),
    "deadline": Scenario(deadline, late),
    "after the deadline": Scenario(after_the_deadline, partial(renewed, nodes=3)),
    "Cloud Services pool": Scenario(
        of_the_other_kind, lambda p, e: refused(p, e, "it is not a VM pool", 'PoolOsVersion("render"')
    ),
}

_RENEWING = frozenset({"surge", *FAULTY, "allocation falls short once", "a node vanishes before its removal"})
OTHERWISE = (
    Otherwise(
        "unknownImageVersion",
        ("accepted",),
        frozenset({"pinned, no nodes, a version that does not exist"}),
        pinned,
        "Batch takes any text, so the pool is pinned as the program asks",
    ),
    Otherwise(
        "unknownImageVersion",
        ("accepted",),
        frozenset({"empty, a version that does not exist"}),
        emptied_and_filled,
        "as above",
    ),
    Otherwise(
        "metadataValueLimit",
        (4096, 256),
        frozenset({"empty, a long formula", "surge, a long formula"}),
        not_begun,
        "the marker does not fit, so nothing is changed",
    ),
    Otherwise(
        "latestOfNewNodes",
        ("asFirstNode", "asFirstNodeEver"),
        _RENEWING,
        lambda place, ending: failed_and_undone(place, ending, STILL_OLD, "no old node was touched"),
        "new nodes are as old as the others, so a renewal cannot work; what was added is removed again",
    ),
    Otherwise(
        "latestOfNewNodes",
        ("asFirstNode", "asFirstNodeEver"),
        frozenset({"surge, a held formula", "surge, a long formula"}),
        lambda place, ending: failed_and_undone(place, ending, STILL_OLD, "no old node was touched"),
        "as above; the formula comes back too",
    ),
    Otherwise(
        "latestOfNewNodes",
        ("asFirstNode", "asFirstNodeEver"),
        frozenset({"max_unavailable"}),
        one_is_lost,
        "without spare quota the canary takes the place of an old node",
    ),
    Otherwise(
        "latestOfNewNodes",
        ("asFirstNode", "asFirstNodeEver"),
        frozenset({"a node stays", "a node stays, then goes", "deadline", "after the deadline"}),
        lambda place, ending: failed_and_undone(place, ending, STILL_OLD, "no old node was touched", nodes=3),
        "as above",
    ),
    Otherwise(
        "nodesAfterDrainTimeout",
        ("disabled",),
        frozenset({"a node stays, then goes"}),
        partial(renewed, nodes=3, without=1),
        "the node that stayed takes no new tasks until the next `up` removes it",
    ),
    Otherwise(
        "cloudServicePoolInNewestVersion",
        ("PoolNotFound",),
        frozenset({"Cloud Services pool"}),
        lambda place, ending: refused(place, ending, kind=PoolGoneError),
        "the API version of VM pools does not know that there is such a pool",
    ),
)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_renewal(scenario: str) -> None:
    judge(scenario, SCENARIOS[scenario], OTHERWISE, SETTINGS)


def test_what_may_end_in_another_way_is_a_value_of_a_switch_and_a_scenario() -> None:
    for row in OTHERWISE:
        assert set(row.values) < set(BY_NAME[row.switch].allowed)
        assert row.scenarios <= set(SCENARIOS)


MET = {
    "unknownImageVersion": "pinned, no nodes, a version that does not exist",
    "latestOfNewNodes": "surge",
    "galleryExactVersion": "gallery image, new nodes",
    "patchNonEmptyCode": "pinned, a node before the PATCH",
    "removeNodesOnAutoscale": "autoscale begins",
    "removeNodesUnknownId": "a node vanishes before its removal",
    "removeNodesTimeoutCode": "a node stays",
    "removeNodesTimeoutTarget": "a node stays",
    "removeNodesWhileShort": "surge",
    "nodesAfterDrainTimeout": "a node stays",
    "metadataValueLimit": "empty, a long formula",
    "enableAutoscaleWithin30s": "empty, another formula",
    "patchAfterSteady": "empty",
    "agentOfAnotherImage": "empty, another image, a wrong agent",
    "retiredApiVersions": "Cloud Services pool",
    "apiVersionUnknownCode": "Cloud Services pool",
    "cloudServicePoolInNewestVersion": "Cloud Services pool",
}
"""Switch to a scenario that meets it: a setting that no scenario reads would show nothing."""


def test_every_switch_is_met() -> None:
    assert set(MET) == set(SWITCHES)


@pytest.mark.parametrize("switch", MET)
def test_a_scenario_meets(switch: str) -> None:
    assert is_met(switch, SCENARIOS[MET[switch]])
