"""Every value of every switch can be reached, and makes a difference."""

from __future__ import annotations

import pytest

from batch_os_provider.simulator.protocol.response_shapes import node_json
from batch_os_provider.simulator.state.dump import dump
from batch_os_provider.simulator.state.load import load
from batch_os_provider.simulator.world import pools, resizes, supported_images, upgrades
from batch_os_provider.simulator.world.errors import BatchError
from batch_os_provider.simulator.world.reader import RefusedError
from batch_os_provider.simulator.world.unknowns import ROWS
from tests.simulator.raw_client import LAST, NEWEST
from tests.simulator.seeds import (
    FIRST,
    MOVING,
    NEW,
    OLD,
    SECOND,
    job,
    moves,
    paas,
    pass_time,
    versions,
    vm,
    windows,
)

OTHER_FAMILY = "WA-GUEST-OS-4.60_201811-01"
DISABLED = "WA-GUEST-OS-5.23_201809-01"
EXPIRED = "WA-GUEST-OS-5.15_201801-01"
CATALOGUE = [
    {"osVersion": OLD},
    {"osVersion": NEW},
    {"osVersion": DISABLED, "state": "disabled"},
    {"osVersion": EXPIRED, "state": "expired"},
]


def refusal(world, target, name="p"):
    """The code of the refusal, or None for a 202."""
    try:
        upgrades.upgrade_os(world, world.pool(name), target)
    except BatchError as error:
        return error.code
    return None


def iaas(world):
    load(world, {"pools": [vm("p")]})
    return refusal(world, NEW)


def same_target(world):
    load(world, {"pools": [paas()]})
    assert refusal(world, NEW) is None
    return refusal(world, NEW)


def latest(world):
    load(world, {"pools": [paas(current="*")], "images": CATALOGUE})
    assert refusal(world, OLD) is None
    load(world, {"pools": [paas(current="*")], "images": CATALOGUE})
    return refusal(world, NEW)


def resizing(world):
    load(world, {"pools": [paas(nodes=1)]})
    resizes.resize(world, world.pool("p"), (3, None), None, "requeue")
    return refusal(world, NEW)


def resize(world):
    load(world, {"pools": [paas()]})
    assert refusal(world, NEW) is None
    try:
        resizes.resize(world, world.pool("p"), (1, None), None, "requeue")
    except BatchError as error:
        return error.code
    return None


def deleting(world):
    load(world, {"pools": [paas()]})
    pools.delete(world, world.pool("p"))
    return refusal(world, NEW)


def family(world):
    seen = []
    for nodes in (0, 2):
        load(world, {"pools": [paas(nodes=nodes)]})
        seen.append(refusal(world, OTHER_FAMILY))
    return tuple(seen)


def validation(world):
    seen = []
    for target in ("5", DISABLED, EXPIRED, "WA-GUEST-OS-5.99_202401-01", NEW):
        load(world, {"pools": [paas()], "images": CATALOGUE})
        seen.append(refusal(world, target))
    return tuple(seen)


def requeue(world):
    load(world, {"pools": [paas(nodes=1)], "jobs": [job("sleep 100")]})
    assert refusal(world, NEW) is None
    return world.task("j", "t1").requeues


def node_state(world):
    load(world, {"pools": [paas(nodes=1)]})
    assert refusal(world, NEW) is None
    state = world.pool("p").nodes["tvm-1"].state
    pass_time(world, 100)
    assert world.pool("p").state == "active"
    return state


def start_task(world):
    load(world, {"pools": [paas(nodes=1, startTask={"commandLine": "x", "waitForSuccess": True})]})
    assert refusal(world, NEW) is None
    pass_time(world, 100)
    return ("starting", "waitingforstarttask") in moves(world, "node")


def failed_node(world):
    load(world, {"pools": [paas(nodes=2, startTask={"commandLine": "x", "waitForSuccess": True})]})
    assert refusal(world, NEW) is None
    pool = world.pool("p")
    pool.nodes["tvm-1"].fate = "starttaskfailed"
    pass_time(world, 1000)
    assert pool.nodes["tvm-1"].state == "starttaskfailed"
    return pool.state


def empty(world):
    load(world, {"pools": [paas(nodes=0)]})
    assert refusal(world, NEW) is None
    for count in range(200):
        pass_time(world, 0)
        if world.pool("p").state == "active":
            return count
        pass_time(world, 1)
    return None


# --- VM pools ---


def new_nodes(world):
    """The version of a node added to a pool whose latest has moved; and of one after the pool was empty."""
    load(world, {"pools": [windows(nodes=1)], "images": MOVING})
    pass_time(world, 3_600)
    seen = []
    for size in (2, 0, 1):
        resizes.resize(world, world.pool("v"), (size, None), None, "requeue")
        pass_time(world, 300)
        seen += versions(world.pool("v"))[-1:]
    return tuple(seen)


def shown(world):
    """The versions that nodes show: of pools on latest (seeded, new), pinned, and with a version in the state."""
    load(
        world,
        {
            "pools": [
                windows("v", nodes=2, exact=None),
                windows("pinned", nodes=1, exact=None, version=FIRST),
                windows("explicit", nodes=1, exact=FIRST),
                windows("says", nodes=1, exact="latest", version=FIRST),
            ],
            "images": MOVING,
        },
    )
    resizes.resize(world, world.pool("v"), (3, None), None, "requeue")
    pass_time(world, 300)
    load(world, dump(world, "http://account"))
    return tuple(
        node_json(world, pool, node, NEWEST, "")["virtualMachineInfo"]["imageReference"]["exactVersion"]
        for pool in world.pools.values()
        for node in pool.nodes.values()
    )


def gallery(world):
    reference = {"virtualMachineImageId": "/subscriptions/s/images/i/versions/1.2.3"}
    pool = {**windows(nodes=0), "targetDedicatedNodes": 1, "nodes": None}
    pool["virtualMachineConfiguration"] = {"imageReference": reference, "nodeAgentSKUId": "x"}
    load(world, {"pools": [pool]})
    (node,) = world.pool("v").nodes.values()
    assert node.image["virtualMachineImageId"] == reference["virtualMachineImageId"]
    return node.image.get("exactVersion")


def patch_refusal(world):
    load(world, {"pools": [windows()], "images": MOVING})
    try:
        pools.patch(world, world.pool("v"), {"vmSize": "large"})
    except BatchError as error:
        return error.code
    return None


def unknown_pin(world):
    """Creating with, and setting, a version that is listed; then one that is not, and one that is spelled otherwise."""
    load(world, {"pools": [windows(nodes=0)], "images": MOVING})

    def code(version, act):
        reference = {**windows()["virtualMachineConfiguration"]["imageReference"], "version": version}
        machine = {**windows()["virtualMachineConfiguration"], "imageReference": reference}
        try:
            act(machine)
        except BatchError as error:
            return error.code
        return None

    def create(machine):
        pools.add(world, f"p{len(world.pools)}", {}, (None, machine), (0, 0))

    def patch(machine):
        pools.patch(world, world.pool("v"), {"virtualMachineConfiguration": machine})

    assert code(FIRST, create) is code(FIRST, patch) is code("latest", create) is code("Latest", patch) is None
    other = FIRST.replace(".", ".0", 1)
    return tuple(code(version, act) for version in ("9.9.9", other, SECOND) for act in (create, patch))


def remove(world, *names, **more):
    """The code of the refusal, or the target after a 202."""
    load(world, {"pools": [windows(**more)], "images": MOVING})
    try:
        resizes.remove_nodes(world, world.pool("v"), list(names), None, "requeue")
    except BatchError as error:
        return error.code
    pass_time(world, 300)
    return world.pool("v").target_dedicated


def remove_on_autoscale(world):
    return remove(world, "tvm-1", enableAutoScale=True, autoScaleFormula="x")


def remove_unknown(world):
    return remove(world, "tvm-1", "gone")


def remove_outlasted(world):
    load(world, {"pools": [windows(nodes=2)], "images": MOVING, "jobs": [job("sleep 9999", pool="v")]})
    pool = world.pool("v")
    resizes.remove_nodes(world, pool, ["tvm-1", "tvm-2"], "PT5M", "taskcompletion")
    assert pool.target_dedicated == 0
    pass_time(world, 400)
    assert (pool.allocation, list(pool.nodes)) == ("steady", ["tvm-1"])
    return pool.resize_errors[0]["code"], pool.target_dedicated


def remove_while_short(world):
    errors = [{"code": "AllocationFailed", "message": "x"}]
    load(world, {"pools": [windows(targetDedicatedNodes=6, resizeErrors=errors)], "images": MOVING})
    resizes.remove_nodes(world, world.pool("v"), ["tvm-1"], None, "requeue")
    pass_time(world, 600)
    assert world.pool("v").allocation == "steady"
    return len(world.pool("v").nodes), world.pool("v").target_dedicated


def drained(world):
    """The scheduling of a node that outlasts a resize to zero, and the target of its pool."""
    load(world, {"pools": [windows(nodes=2)], "images": MOVING, "jobs": [job("sleep 999", "sleep 5", pool="v")]})
    pool = world.pool("v")
    resizes.resize(world, pool, (0, 0), "PT5M", "taskcompletion")
    pass_time(world, 400)
    assert (pool.allocation, list(pool.nodes)) == ("steady", ["tvm-1"])
    scheduling = pool.nodes["tvm-1"].scheduling
    pass_time(world, 999)
    load(world, dump(world, "http://account"))
    return scheduling, world.pool("v").nodes["tvm-1"].state, world.pool("v").target_dedicated


def long_metadata(world):
    """The codes of the refusals of values of 256, 257 and 5000 characters, on three ways to write them."""
    load(world, {"pools": [windows()], "images": MOVING})

    def code(act, length):
        try:
            act({"metadata": [{"name": "a", "value": "x" * length}]})
        except BatchError as error:
            return error.code
        return None

    def create(props):
        pools.add(world, f"p{len(world.pools)}", props, (None, dict(world.pool("v").virtual_machine)), (0, 0))

    ways = (create, lambda props: pools.patch(world, world.pool("v"), props))
    found = [tuple(code(act, length) for length in (256, 257, 5000)) for act in ways]
    assert found[0] == found[1]
    return found[0]


def enable_twice(world):
    """Enabled, disabled, enabled again."""
    load(world, {"pools": [windows()], "images": MOVING})
    pool = world.pool("v")
    resizes.enable_autoscale(world, pool, {"autoScaleFormula": "x"})
    resizes.disable_autoscale(world, pool)
    try:
        resizes.enable_autoscale(world, pool, {"autoScaleFormula": "x"})
    except BatchError as error:
        pass_time(world, 31)
        resizes.enable_autoscale(world, pool, {"autoScaleFormula": "x"})
        return error.code
    return None


def patch_at_once(world):
    """An image changed as soon as a pool is empty, and 15 s later."""
    load(world, {"pools": [windows(nodes=1)], "images": MOVING})
    pool = world.pool("v")
    resizes.resize(world, pool, (0, 0), None, "taskcompletion")
    while pool.allocation != "steady":
        pass_time(world, 1)
    machine = {"virtualMachineConfiguration": dict(pool.virtual_machine)}
    try:
        pools.patch(world, pool, dict(machine))
    except BatchError as error:
        pass_time(world, 15)
        pools.patch(world, pool, dict(machine))
        return error.code
    return None


def other_agent(world):
    """A node agent SKU of another image: the codes of a PATCH and of a creation, and the state of a new node."""
    load(world, {"pools": [windows(nodes=0)], "images": MOVING})
    server = windows()["virtualMachineConfiguration"]["imageReference"]
    codes = []
    for number, (reference, agent) in enumerate(
        (
            (server, "batch.node.windows amd64"),
            ({"virtualMachineImageId": "/galleries/ours/images/linux"}, "batch.node.el 9"),
            ({**server, "sku": "not-in-any-list"}, "batch.node.el 9"),
            ({**server, "sku": "2022-datacenter"}, "batch.node.ubuntu 24.04"),
        )
    ):
        machine = {"imageReference": {**reference}, "nodeAgentSKUId": agent}
        try:
            pools.patch(world, world.pool("v"), {"virtualMachineConfiguration": {**machine}})
            pools.add(world, f"p{number}", {}, (None, machine), (0, 0))
        except BatchError as error:
            codes.append(error.code)
    resizes.resize(world, world.pool("v"), (1, 0), None, "requeue")
    pass_time(world, 600)
    return codes, [node.state for node in world.pool("v").nodes.values()]


def ended_images(world):
    load(world, {"virtual": "2027-01-12T00:00:00Z"})
    listed = {row["imageReference"]["sku"] for _, row in supported_images.supported_images(world)}
    assert {"2019-datacenter", "22_04-lts"} <= listed
    return "2016-datacenter" in listed


EQUAL = "PoolVersionEqualsUpgradeVersion"
NOT_ELIGIBLE = "PoolNotEligibleForOSVersionUpgrade"
INSIDE = {
    ("iaasPoolCode", "OperationNotValidOnPool"): (iaas, "OperationNotValidOnPool"),
    ("iaasPoolCode", NOT_ELIGIBLE): (iaas, NOT_ELIGIBLE),
    ("sameTargetWhileUpgrading", "accepted"): (same_target, None),
    ("sameTargetWhileUpgrading", EQUAL): (same_target, EQUAL),
    ("sameTargetWhileUpgrading", "UpgradePoolVersionConflict"): (same_target, "UpgradePoolVersionConflict"),
    ("pinnedEqualsLatest", "accepted"): (latest, None),
    ("pinnedEqualsLatest", EQUAL): (latest, EQUAL),
    ("upgradeWhileResizing", "PoolBeingResized"): (resizing, "PoolBeingResized"),
    ("upgradeWhileResizing", "accepted"): (resizing, None),
    ("resizeWhileUpgrading", "accepted"): (resize, None),
    ("resizeWhileUpgrading", "OperationInvalidForCurrentState"): (resize, "OperationInvalidForCurrentState"),
    ("upgradeWhileDeleting", "PoolBeingDeleted"): (deleting, "PoolBeingDeleted"),
    ("upgradeWhileDeleting", "PoolNotFound"): (deleting, "PoolNotFound"),
    ("wrongFamily", "accepted"): (family, (None, None)),
    ("wrongFamily", "refusedWithNodes"): (family, (None, NOT_ELIGIBLE)),
    ("wrongFamily", "refused"): (family, (NOT_ELIGIBLE, NOT_ELIGIBLE)),
    ("versionValidation", "none"): (validation, (None, None, None, None, None)),
    ("versionValidation", "grammar"): (validation, ("OSVersionNotFound", None, None, None, None)),
    ("versionValidation", "catalogue"): (
        validation,
        ("OSVersionNotFound", "OSVersionDisabled", "OSVersionExpired", "OSVersionNotFound", None),
    ),
    ("requeueCount", "increments"): (requeue, 1),
    ("requeueCount", "unchanged"): (requeue, 0),
    ("nodeStateDuringUpgrade", "reimaging"): (node_state, "reimaging"),
    ("nodeStateDuringUpgrade", "rebooting"): (node_state, "rebooting"),
    ("startTaskAfterUpgrade", "rerun"): (start_task, True),
    ("startTaskAfterUpgrade", "notRun"): (start_task, False),
    ("upgradeWithFailedNode", "waits"): (failed_node, "upgrading"),
    ("upgradeWithFailedNode", "ends"): (failed_node, "active"),
    ("latestOfNewNodes", "newest"): (new_nodes, (SECOND, SECOND)),
    ("unknownImageVersion", "InvalidPropertyValue"): (unknown_pin, ("InvalidPropertyValue",) * 6),
    ("unknownImageVersion", "accepted"): (unknown_pin, (None,) * 6),
    ("latestOfNewNodes", "asFirstNode"): (new_nodes, (FIRST, SECOND)),
    ("latestOfNewNodes", "asFirstNodeEver"): (new_nodes, (FIRST, FIRST)),
    ("exactVersionOfLatest", "number"): (shown, (FIRST, FIRST, FIRST, FIRST, FIRST, "latest")),
    ("exactVersionOfLatest", "latest"): (shown, ("latest", "latest", "latest", FIRST, FIRST, "latest")),
    ("galleryExactVersion", "absent"): (gallery, None),
    ("galleryExactVersion", "present"): (gallery, "1.2.3"),
    **{
        ("patchNonEmptyCode", code): (patch_refusal, code)
        for code in ("OperationInvalidForCurrentState", "OperationNotValidOnPool", "PropertyCannotBeUpdated")
    },
    ("removeNodesOnAutoscale", "OperationNotValidOnPool"): (remove_on_autoscale, "OperationNotValidOnPool"),
    ("removeNodesOnAutoscale", "accepted"): (remove_on_autoscale, 3),
    ("removeNodesUnknownId", "NodeNotFound"): (remove_unknown, "NodeNotFound"),
    ("removeNodesUnknownId", "ignored"): (remove_unknown, 3),
    ("removeNodesTimeoutCode", "RemoveNodesFailed"): (remove_outlasted, ("RemoveNodesFailed", 0)),
    ("removeNodesTimeoutCode", "AllocationTimedout"): (remove_outlasted, ("AllocationTimedout", 0)),
    ("removeNodesTimeoutTarget", "lowered"): (remove_outlasted, ("RemoveNodesFailed", 0)),
    ("removeNodesTimeoutTarget", "restored"): (remove_outlasted, ("RemoveNodesFailed", 1)),
    ("nodesAfterDrainTimeout", "enabled"): (drained, ("enabled", "idle", 0)),
    ("nodesAfterDrainTimeout", "disabled"): (drained, ("disabled", "offline", 0)),
    ("metadataValueLimit", "none"): (long_metadata, (None, None, None)),
    ("metadataValueLimit", 4096): (long_metadata, (None, None, "InvalidPropertyValue")),
    ("metadataValueLimit", 256): (long_metadata, (None, "InvalidPropertyValue", "InvalidPropertyValue")),
    ("enableAutoscaleWithin30s", "TooManyEnableAutoScaleRequests"): (enable_twice, "TooManyEnableAutoScaleRequests"),
    ("enableAutoscaleWithin30s", "accepted"): (enable_twice, None),
    ("agentOfAnotherImage", "InvalidPropertyValue"): (other_agent, (["InvalidPropertyValue"], ["idle"])),
    ("agentOfAnotherImage", "accepted"): (other_agent, ([], ["unusable"])),
    ("patchAfterSteady", "accepted"): (patch_at_once, None),
    ("patchAfterSteady", "refusedForShortTime"): (patch_at_once, "OperationInvalidForCurrentState"),
    ("removeNodesWhileShort", "onlyRemoves"): (remove_while_short, (3, 5)),
    ("removeNodesWhileShort", "fillsUp"): (remove_while_short, (5, 5)),
    ("endedImages", "listed"): (ended_images, True),
    ("endedImages", "unlisted"): (ended_images, False),
    **{("emptyPoolUpgradeSeconds", count): (empty, count) for count in (0, 1, 5, 30, 120)},
}


def unknown_version(client):
    return client("GET", "/pools", query={"api-version": "2017-13-01.9.9"}).code


def old_version(client):
    return client("GET", "/pools").status, client("GET", "/pools", query={"api-version": NEWEST}).status


def gone(client):
    client.put(paas())
    return client.upgrade(NEW, query={"api-version": "2018-12-01.8.0"}).code


def get_on_action(client):
    return client("GET", "/pools/p/upgradeos").code


def newest(client):
    client.put(paas())
    shown = client("GET", "/pools/p", query={"api-version": NEWEST})
    listed = len(client("GET", "/pools", query={"api-version": NEWEST}).json["value"])
    counted = len(client("GET", "/nodecounts", query={"api-version": NEWEST}).json["value"])
    assert listed == counted == (shown.status == 200)
    assert client("GET", "/pools/p", query={"api-version": LAST}).status == 200
    return shown.json.get("cloudServiceConfiguration") if shown.status == 200 else shown.code


OUTSIDE = {
    ("apiVersionUnknownCode", "UnsupportedRequestVersion"): (unknown_version, "UnsupportedRequestVersion"),
    ("apiVersionUnknownCode", "InvalidQueryParameterValue"): (unknown_version, "InvalidQueryParameterValue"),
    ("retiredApiVersions", "none"): (old_version, (200, 200)),
    ("retiredApiVersions", "before-2025-06-01"): (old_version, (400, 200)),
    ("upgradeosGoneCode", "InvalidUri"): (gone, "InvalidUri"),
    ("upgradeosGoneCode", "ResourceNotFound"): (gone, "ResourceNotFound"),
    ("upgradeosGoneCode", "UnsupportedHttpVerb"): (gone, "UnsupportedHttpVerb"),
    ("getOnUpgradeosCode", "UnsupportedHttpVerb"): (get_on_action, "UnsupportedHttpVerb"),
    ("getOnUpgradeosCode", "ResourceNotFound"): (get_on_action, "ResourceNotFound"),
    ("cloudServicePoolInNewestVersion", "withoutConfiguration"): (newest, None),
    ("cloudServicePoolInNewestVersion", "osVersion"): (newest, {"osFamily": "5", "osVersion": OLD}),
    ("cloudServicePoolInNewestVersion", "PoolNotFound"): (newest, "PoolNotFound"),
}


@pytest.mark.parametrize("switch", INSIDE, ids=lambda switch: f"{switch[0]}={switch[1]}")
def test_in_the_world(world, switch):
    act, expected = INSIDE[switch]
    world.unknowns.set(dict([switch]))
    assert act(world) == expected


@pytest.mark.parametrize("switch", OUTSIDE, ids=lambda switch: f"{switch[0]}={switch[1]}")
def test_on_the_wire(client, switch):
    act, expected = OUTSIDE[switch]
    client.control("PUT", "unknowns", {switch[0]: {"value": switch[1]}})
    assert act(client) == expected


def test_every_value_of_every_switch_is_tried_here():
    assert set(INSIDE) | set(OUTSIDE) == {(row.name, value) for row in ROWS for value in row.allowed}


def test_each_row_has_its_default_among_its_values_and_a_sentence():
    for row in ROWS:
        assert row.default in row.allowed
        assert len(row.why) > 40


def test_the_table_over_http_takes_what_it_gives(client):
    table = client.control("GET", "unknowns")
    assert set(table["requeueCount"]) == {"value", "allowed", "default", "why"}
    table["requeueCount"]["value"] = "unchanged"
    assert client.control("PUT", "unknowns", table) == table
    client.control("POST", "reset")
    assert client.control("GET", "unknowns")["requeueCount"]["value"] == "increments"


@pytest.mark.parametrize("wanted", [{"nonsense": 1}, {"requeueCount": "perhaps"}, {"requeueCount": {"value": True}}])
def test_a_wrong_switch_or_value_is_refused_and_nothing_turns(world, wanted):
    with pytest.raises(RefusedError, match=r"allowed|switches"):
        world.unknowns.set({"startTaskAfterUpgrade": "notRun", **wanted})
    assert world.unknowns["startTaskAfterUpgrade"] == "rerun"
