"""What `batch-os probe` asks about VM pools, and what each answer means.

No document answers these questions, and the simulator has a switch for most of them: an answer of a real account
sets the switch. Each question finds the pool in any size, and leaves it steady.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from batch_os_provider.batch.client import LAST_WITH_UPGRADE_OS, NEWEST
from batch_os_provider.batch.image_version import parse_image_version
from batch_os_provider.cli.probe.throwaway_pool import ACCEPTED, NOT_IMPLEMENTED, ProbeError, ThrowawayPool

__all__ = ["NODES", "NO_VERSION", "ON_RETURN", "Question", "ask_what_nodes_show", "questions", "version_of"]

NODES = 2
"""The size of the pool, except during a question."""
NO_VERSION = "nodes of this account name {!r} and no version, so Batch does not show what a new node gets"
"""In public recordings since November 2024, of pools whose image version is `latest`."""
_TASK = "sleep 1200"  # far longer than the drain, and it ends without us if the job is not deleted
_NO_SUCH_VERSION = "0.0.1"
_FORMULA = {"autoScaleFormula": f"$TargetDedicatedNodes={NODES};", "autoScaleEvaluationInterval": "PT15M"}
_NODE_FIELDS = (
    "id,state,isDedicated,allocationTime,virtualMachineInfo,runningTasksCount,errors,startTaskInfo,nodeAgentInfo"
)
"""The fields of a node that the provider selects; whether Batch accepts the list is a question too."""


@dataclass(frozen=True)
class Question:
    """One step of the probe: the findings it settles, what it does, and how long that takes."""

    names: tuple[str, ...]
    does: str
    takes: str
    ask: Callable[[ThrowawayPool], None]


def questions(gallery_image: str = "") -> list[Question]:
    """The questions of one run, in their order; ``gallery_image`` is a resource id, or empty."""
    return [
        Question(
            ("retiredApiVersions", "apiVersionUnknownCode"),
            "lists pools with the API version that upgradeos needs, and with one that never was",
            "nothing",
            _api_versions,
        ),
        Question(
            ("upgradeosGoneCode", "iaasPoolCode", "getOnUpgradeosCode"),
            "asks its pool for upgradeos, which VM pools refuse",
            "nothing",
            _upgrade_os,
        ),
        Question(
            ("nodeSelect", "staleIfMatch"),
            "lists nodes as the provider does, and sends a write with an ETag that is not the pool's",
            "nothing",
            _conditions,
        ),
        Question(
            ("metadataValueLimit",),
            "writes metadata values of up to 8,192 characters to its pool, then the metadata from before",
            "nothing",
            _metadata_limit,
        ),
        Question(
            ("patchNonEmptyCode",),
            f"asks for another image version while the pool has {NODES} nodes, which Batch refuses",
            "nothing",
            _patch_non_empty,
        ),
        Question(("reimage", "reimagedVersion"), "reimages one node", "about 10 minutes", _reimage),
        Question(
            ("removeNodesOnAutoscale",),
            "turns on a formula that keeps the size, asks for the removal of one node, turns the formula off",
            "up to 10 minutes, one node replaced",
            _remove_on_autoscale,
        ),
        Question(
            ("enableAutoscaleWithin30s",),
            "turns a formula that keeps the size on, off, and on again at once; then off",
            "one minute",
            _enable_twice,
        ),
        Question(
            ("removeNodesTimeoutCode", "removeNodesTimeoutTarget", "nodesAfterDrainTimeout"),
            "runs a task of 20 minutes on each node and removes one of them with taskcompletion and PT5M",
            "about 10 minutes",
            _drain_timeout,
        ),
        Question(
            ("removeNodesWhileShort", "removeNodesUnknownId"),
            "begins to add a node and stops that, removes a node, then names the node that is gone in another removal",
            "about 20 minutes, two nodes replaced",
            _remove_while_short,
        ),
        Question(
            ("patchAfterSteady", "unknownImageVersion", "agentOfAnotherImage"),
            "adds a node if the pool is empty, empties it and at once writes its image as it is; then asks for image "
            f"version {_NO_SUCH_VERSION}, which no image has, for another image's node agent, and for its own again",
            "about 5 minutes",
            _unknown_version,
        ),
        Question(
            ("galleryExactVersion",),
            "empties the pool, gives it the gallery image, adds one node (only with --gallery-image)",
            "about 10 minutes" if gallery_image else "nothing",
            lambda pool: _gallery(pool, gallery_image),
        ),
    ]


def version_of(node: Mapping[str, Any]) -> str:
    """The image version that Batch shows for a node; empty if it shows none."""
    return str(node.get("virtualMachineInfo", {}).get("imageReference", {}).get("exactVersion", ""))


def ask_what_nodes_show(pool: ThrowawayPool) -> bool:
    """What do nodes of a pool on latest show? Reads one pool of the account that has such nodes.

    Returns:
        Whether there is an answer. An account without such a pool has none yet.
    """
    listed = pool.send("GET", "/pools")
    for each in (listed.body or {}).get("value", []):
        reference = each.get("virtualMachineConfiguration", {}).get("imageReference", {})
        if not reference.get("offer") or str(reference.get("version") or "latest").lower() != "latest":
            continue
        if not each.get("currentDedicatedNodes"):
            continue
        nodes = pool.send("GET", f"/pools/{quote(str(each['id']), safe='')}/nodes")
        shown = [version for node in (nodes.body or {}).get("value", []) if (version := version_of(node))]
        if shown:
            value = "number" if parse_image_version(shown[0]) else "latest"
            pool.findings.answer("exactVersionOfLatest", value, f"a node of pool {each['id']} shows {shown[0]!r}")
            return True
    return False


def _api_versions(pool: ThrowawayPool) -> None:
    """Which API versions does Batch answer, and how does it refuse the others?"""
    old = pool.send("GET", "/pools", api=LAST_WITH_UPGRADE_OS)
    retired = "none" if old.outcome == ACCEPTED else "before-2025-06-01"
    pool.findings.answer("retiredApiVersions", retired, f"{LAST_WITH_UPGRADE_OS}: {old}")
    unknown = pool.send("GET", "/pools", api="2001-01-01.0.0")
    pool.findings.answer("apiVersionUnknownCode", unknown.outcome, str(unknown))


def _upgrade_os(pool: ThrowawayPool) -> None:
    """How does Batch refuse upgradeos for a VM pool?"""
    path, body = f"{pool.path}/upgradeos", {"targetOSVersion": "*"}
    newest = pool.send("POST", path, body)
    pool.findings.answer("upgradeosGoneCode", newest.outcome, f"{NEWEST}: {newest}")
    if pool.send("GET", "/pools", api=LAST_WITH_UPGRADE_OS).outcome != ACCEPTED:
        why = f"API version {LAST_WITH_UPGRADE_OS} is not answered any more"
        pool.findings.leave_open(["iaasPoolCode", "getOnUpgradeosCode"], why)
        return
    refused = pool.send("POST", path, body, api=LAST_WITH_UPGRADE_OS)
    pool.findings.answer("iaasPoolCode", refused.outcome, str(refused))
    read = pool.send("GET", path, api=LAST_WITH_UPGRADE_OS)
    pool.findings.answer("getOnUpgradeosCode", read.outcome, str(read))


def _conditions(pool: ThrowawayPool) -> None:
    """Does Batch accept $select on nodes, and refuse a write whose If-Match is stale?"""
    selected = pool.send("GET", f"{pool.path}/nodes", query=f"&$select={_NODE_FIELDS}")
    nodes = (selected.body or {}).get("value", [])
    given = sorted(set().union(*(node.keys() for node in nodes)))
    pool.findings.answer("nodeSelect", selected.outcome, f"{selected}; fields given: {', '.join(given)}")
    stale = pool.send("PATCH", pool.path, {"metadata": []}, etag="0x8000000000000000")
    pool.findings.answer("staleIfMatch", stale.outcome, str(stale))


def _metadata_limit(pool: ThrowawayPool) -> None:
    """How long may a metadata value of a pool be?"""
    before = pool.read().get("metadata") or []
    longest, refusal = 0, ""
    for length in (256, 4096, 8192):
        reply = pool.send("PATCH", pool.path, {"metadata": [*before, {"name": "length", "value": "x" * length}]})
        if reply.outcome != ACCEPTED:
            refusal = f"; {length}: {reply}"
            break
        longest = length
    pool.demand("PATCH", pool.path, {"metadata": before})
    pool.findings.answer("metadataValueLimit", str(longest) if refusal else "none", f"{longest}: accepted{refusal}")


def _patch_non_empty(pool: ThrowawayPool) -> None:
    """How does Batch refuse a PATCH of the image while the pool has nodes?"""
    pool.resize(NODES)
    configuration = pool.read()["virtualMachineConfiguration"]
    reference = {**configuration["imageReference"], "version": version_of(pool.nodes()[0]) or "latest"}
    reference.pop("exactVersion", None)
    body = {"virtualMachineConfiguration": {**configuration, "imageReference": reference}}
    reply = pool.send("PATCH", pool.path, body)
    pool.findings.answer("patchNonEmptyCode", reply.outcome, str(reply))
    if reply.outcome == ACCEPTED:
        raise ProbeError("Batch changed the image of a pool that has nodes; what follows would not mean anything")


def _reimage(pool: ThrowawayPool) -> None:
    """Does Batch accept the reimage of a node?"""
    pool.resize(NODES)
    if _reimaged(pool):
        why = "nothing newer was out; use --leave now and --return-to in a month"
        pool.findings.leave_open(["reimagedVersion"], why)


def _reimaged(pool: ThrowawayPool) -> str:
    """Reimage a node and return its version afterwards; empty if the reimage was refused."""
    node = pool.nodes()[0]
    name = str(node["id"])
    reply = pool.send("POST", f"{pool.path}/nodes/{name}/reimage", {"nodeReimageOption": "taskcompletion"})
    if reply.status == NOT_IMPLEMENTED:
        pool.findings.leave_open(["reimage", "reimagedVersion"], f"the service does not offer it: {reply}")
        return ""
    pool.findings.answer("reimage", reply.outcome, str(reply))
    if reply.outcome != ACCEPTED:
        pool.findings.leave_open(["reimagedVersion"], "the reimage was refused")
        return ""

    def back() -> Mapping[str, Any] | None:
        now = next((each for each in pool.nodes() if each["id"] == name), {})
        booted = now.get("lastBootTime") != node.get("lastBootTime")
        return now if booted and now.get("state") in ("idle", "running") else None

    return version_of(pool.wait_until(back, "the reimaged node is back"))


def _remove_on_autoscale(pool: ThrowawayPool) -> None:
    """Does Batch accept removenodes on a pool that scales itself?"""
    node = pool.resize(NODES)[0]
    pool.demand("POST", f"{pool.path}/enableautoscale", _FORMULA)
    pool.wait_steady()
    reply = pool.remove_nodes(str(node["id"]))
    pool.findings.answer("removeNodesOnAutoscale", reply.outcome, str(reply))
    pool.wait_steady()
    pool.demand("POST", f"{pool.path}/disableautoscale", {})


def _enable_twice(pool: ThrowawayPool) -> None:
    """Does Batch accept a second enableautoscale within 30 s, with a disableautoscale in between?"""
    pool.resize(NODES)

    def is_accepted() -> bool:
        return pool.send("POST", f"{pool.path}/enableautoscale", _FORMULA).outcome == ACCEPTED

    # The question before may have turned a formula on within the last 30 s.
    pool.wait_until(is_accepted, "Batch accepts a formula")
    pool.demand("POST", f"{pool.path}/disableautoscale", {})
    reply = pool.send("POST", f"{pool.path}/enableautoscale", _FORMULA)
    pool.findings.answer("enableAutoscaleWithin30s", reply.outcome, str(reply))
    if reply.outcome == ACCEPTED:
        pool.demand("POST", f"{pool.path}/disableautoscale", {})
    pool.wait_steady()


def _drain_timeout(pool: ThrowawayPool) -> None:
    """What does removenodes with taskcompletion do when a task runs longer than resizeTimeout?"""
    name = str(pool.resize(NODES)[0]["id"])
    pool.has_job = True
    pool.demand("POST", "/jobs", {"id": pool.ref.pool_id, "poolInfo": {"poolId": pool.ref.pool_id}})
    for number in range(NODES):
        pool.demand("POST", f"{pool.job_path}/tasks", {"id": f"task-{number}", "commandLine": _TASK})
    pool.wait_until(lambda: all(each.get("state") == "running" for each in pool.nodes()), "each node runs a task")
    reply = pool.remove_nodes(name)
    if reply.outcome != ACCEPTED:
        raise ProbeError(f"removenodes was refused: {reply}")
    now = pool.wait_steady()
    nodes = pool.nodes()
    left = {str(node["id"]) for node in nodes}
    codes = [str(each.get("code")) for each in now.get("resizeErrors") or []]
    tasks = pool.demand("GET", f"{pool.job_path}/tasks").get("value", [])
    task: Mapping[str, Any] = next((task for task in tasks if task.get("nodeInfo", {}).get("nodeId") == name), {})
    seen = (
        f"target {NODES} -> {now.get('targetDedicatedNodes')}, nodes {len(left)}, resizeErrors {codes}, "
        f"the task is {task.get('state', 'not there')}, requeues {task.get('executionInfo', {}).get('requeueCount', 0)}"
    )
    pool.demand("DELETE", pool.job_path)
    pool.has_job = False
    if name not in left:
        pool.findings.answer("drainedNode", "removed", seen)
        why = f"the node went although its task ran: {seen}"
        names = ["removeNodesTimeoutCode", "removeNodesTimeoutTarget", "nodesAfterDrainTimeout"]
        pool.findings.leave_open(names, why)
        return
    pool.findings.answer("drainedNode", "stayed", seen)
    pool.findings.answer("removeNodesTimeoutCode", codes[0] if codes else "none", seen)
    lowered = now.get("targetDedicatedNodes") == NODES - 1
    pool.findings.answer("removeNodesTimeoutTarget", "lowered" if lowered else "restored", seen)
    scheduling = next(str(node.get("schedulingState")) for node in nodes if str(node["id"]) == name)
    pool.findings.answer("nodesAfterDrainTimeout", scheduling, f"schedulingState {scheduling}; {seen}")
    if scheduling == "disabled":
        # It would take no task in the questions that follow, and count as a node that is not ready.
        pool.remove_nodes(name)
        pool.wait_steady()


def _remove_while_short(pool: ThrowawayPool) -> None:
    """What does removenodes do on a pool below its target, and with the id of a node that is gone?"""
    # An idle node: the job of the question before may still be ending on the other one.
    pool.resize(NODES)
    idle = pool.wait_until(lambda: [node for node in pool.nodes() if node.get("state") == "idle"], "an idle node")
    first = str(idle[0]["id"])
    pool.demand("POST", f"{pool.path}/resize", {"targetDedicatedNodes": NODES + 1, "targetLowPriorityNodes": 0})
    stopped = pool.send("POST", f"{pool.path}/stopresize", {})
    now = pool.wait_steady()
    target, count = now.get("targetDedicatedNodes"), now.get("currentDedicatedNodes")
    reply = pool.remove_nodes(first)
    if reply.outcome != ACCEPTED:
        raise ProbeError(f"removenodes was refused: {reply}")
    now, left = pool.wait_steady(), len(pool.nodes())
    seen = (
        f"stopresize: {stopped}; target {target}, nodes {count}; "
        f"then removenodes of 1: target {now.get('targetDedicatedNodes')}, nodes {left}"
    )
    if (target, count) == (NODES + 1, NODES):
        pool.findings.answer("removeNodesWhileShort", "onlyRemoves" if left < NODES else "fillsUp", seen)
    else:
        why = f"the resize could not be stopped short of its target: {seen}"
        pool.findings.leave_open(["removeNodesWhileShort"], why)

    living = str(pool.resize(NODES)[0]["id"])
    reply = pool.remove_nodes(first, living)
    if reply.outcome != ACCEPTED:
        pool.findings.answer("removeNodesUnknownId", reply.outcome, str(reply))
        return
    pool.wait_steady()
    stayed = living in {str(node["id"]) for node in pool.nodes()}
    seen = f"{reply}; the node that was there {'stayed' if stayed else 'went'}"
    pool.findings.answer("removeNodesUnknownId", "ignored", seen)


def _unknown_version(pool: ThrowawayPool) -> None:
    """Does Batch accept a change right after a resize to zero, a version that no image has, the agent of another image?

    The emptied pool then gets its own image back.
    """
    pool.resize(pool.read().get("currentDedicatedNodes") or 1)
    pool.resize(0)
    before = pool.read()["virtualMachineConfiguration"]

    def is_accepted() -> bool:
        return pool.send("PATCH", pool.path, {"virtualMachineConfiguration": before}).outcome == ACCEPTED

    first = pool.send("PATCH", pool.path, {"virtualMachineConfiguration": before})
    if first.outcome != ACCEPTED:
        pool.wait_until(is_accepted, "Batch accepts a change of the emptied pool")
    value = ACCEPTED if first.outcome == ACCEPTED else "refusedForShortTime"
    pool.findings.answer("patchAfterSteady", value, str(first))
    wanted = {**before, "imageReference": {**before["imageReference"], "version": _NO_SUCH_VERSION}}
    reply = pool.send("PATCH", pool.path, {"virtualMachineConfiguration": wanted})
    pool.findings.answer("unknownImageVersion", reply.outcome, str(reply))
    is_windows = "windows" in str(before["nodeAgentSKUId"]).lower()
    agent = "batch.node.ubuntu 24.04" if is_windows else "batch.node.windows amd64"
    other = pool.send("PATCH", pool.path, {"virtualMachineConfiguration": {**before, "nodeAgentSKUId": agent}})
    pool.findings.answer("agentOfAnotherImage", other.outcome, str(other))
    if ACCEPTED in (reply.outcome, other.outcome):
        pool.demand("PATCH", pool.path, {"virtualMachineConfiguration": before})


def _gallery(pool: ThrowawayPool, image: str) -> None:
    """Does Batch show a version for nodes of a gallery image? The emptied pool gets that image."""
    if not image:
        pool.findings.leave_open(["galleryExactVersion"], "no --gallery-image was given")
        return
    pool.resize(0)
    configuration = {**pool.read()["virtualMachineConfiguration"], "imageReference": {"virtualMachineImageId": image}}
    reply = pool.send("PATCH", pool.path, {"virtualMachineConfiguration": configuration})
    if reply.outcome != ACCEPTED:
        pool.findings.leave_open(["galleryExactVersion"], f"the emptied pool did not take the image: {reply}")
        return
    (node,) = pool.resize(1)
    seen = json.dumps(node.get("virtualMachineInfo", {}).get("imageReference", {}))
    pool.findings.answer("galleryExactVersion", "present" if version_of(node) else "absent", seen)


def _latest(pool: ThrowawayPool) -> None:
    """Which version do a reimaged and a new node of an old pool on ``latest`` get, once ``latest`` has moved?"""
    old = max((version_of(node) for node in pool.wait_ready()), key=_numbers, default="")
    if not _numbers(old):
        raise ProbeError(NO_VERSION.format(old))
    reimaged = _reimaged(pool)
    steps: list[tuple[str, Callable[[], list[Mapping[str, Any]]]]] = [
        ("newest", lambda: pool.resize(len(pool.nodes()) + 1)),
        ("asFirstNode", lambda: [*pool.resize(0), *pool.resize(1)]),
        ("asFirstNodeEver", lambda: _patched_empty(pool)),
    ]
    for value, step in steps:
        before = {str(node["id"]) for node in pool.nodes()}
        new = max((version_of(node) for node in step() if str(node["id"]) not in before), key=_numbers)
        if _numbers(new) > _numbers(old):
            pool.findings.answer("latestOfNewNodes", value, f"the pool began at {old}; {value}: {new}")
            if reimaged:
                kept = "unchanged" if reimaged == old else "newest"
                pool.findings.answer("reimagedVersion", kept, f"{old} -> {reimaged}")
            return
    raise ProbeError(f"`latest` has not moved since the pool began, at {old}; come back later")


def _patched_empty(pool: ThrowawayPool) -> list[Mapping[str, Any]]:
    pool.resize(0)
    pool.demand("PATCH", pool.path, {"virtualMachineConfiguration": pool.read()["virtualMachineConfiguration"]})
    return pool.resize(1)


def _numbers(version: str) -> tuple[int, ...]:
    return parse_image_version(version) or ()


ON_RETURN = Question(
    ("reimage", "reimagedVersion", "latestOfNewNodes"),
    "reimages the node; adds one; if that is still old, empties the pool and adds one, then once more after a PATCH",
    "up to 30 minutes, up to three nodes",
    _latest,
)
"""The question of a second visit to a pool that ``--leave`` left."""
