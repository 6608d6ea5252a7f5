"""The unknown behaviours of Batch, as switches.

The real service can no longer be tested, and an assumption hidden in code looks like a fact. So each one is a row
here: the values that the evidence allows, a default, and the reason. A correct provider works with every value, so the
tests use all of them.

Recorded behaviour has no switch: ``*`` to ``*`` is refused, an empty pool passes through ``upgrading``, a pool can be
deleted while it upgrades, ETag and times stay unchanged on the return to ``active``. removenodes lowers the target at
once, stopresize keeps it, PATCH changes the image of an empty pool.

The reimage of a VM node has no switch and is not simulated (501): it is accepted (recorded since 2025), but the
resulting version is unknown.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from batch_os_provider.simulator.world.reader import RefusedError


@dataclass(frozen=True)
class Unknown:
    """One switch: ``why`` has what is known, and the reason for the default."""

    name: str
    default: str | float
    allowed: tuple[str | float, ...]
    why: str


TABLE: Final = (
    Unknown(
        "iaasPoolCode",
        "OperationNotValidOnPool",
        ("OperationNotValidOnPool", "PoolNotEligibleForOSVersionUpgrade"),
        "upgradeos on a VM pool: the REST page says 409 without a code. OperationNotValidOnPool is the 409 with a "
        "fitting text; PoolNotEligibleForOSVersionUpgrade (400) is the other candidate. For a reimage of a VM node the "
        "twin of the first code was recorded in 2021.",
    ),
    Unknown(
        "sameTargetWhileUpgrading",
        "PoolVersionEqualsUpgradeVersion",
        ("accepted", "PoolVersionEqualsUpgradeVersion", "UpgradePoolVersionConflict"),
        "upgradeos to the target of the running upgrade: not recorded. The conflict code is for a different version, "
        "so PoolVersionEqualsUpgradeVersion is the likely refusal; 202 is as likely.",
    ),
    Unknown(
        "pinnedEqualsLatest",
        "accepted",
        ("accepted", "PoolVersionEqualsUpgradeVersion"),
        "The current version is * and the target is the newest version of the family (by the seeded images): every "
        "recording stores versions literally, so they are compared literally.",
    ),
    Unknown(
        "upgradeWhileResizing",
        "PoolBeingResized",
        ("PoolBeingResized", "accepted"),
        "upgradeos while allocationState is resizing or stopping: not recorded, and the page does not require a steady "
        "pool. PoolBeingResized is the general code; a client that handles a refusal also handles 202.",
    ),
    Unknown(
        "resizeWhileUpgrading",
        "accepted",
        ("accepted", "OperationInvalidForCurrentState"),
        "resize while the pool upgrades: not recorded. In all recordings state and allocationState are independent.",
    ),
    Unknown(
        "upgradeWhileDeleting",
        "PoolBeingDeleted",
        ("PoolBeingDeleted", "PoolNotFound"),
        "upgradeos on a pool that is being deleted: the page names PoolBeingDeleted for update, patch and delete.",
    ),
    Unknown(
        "wrongFamily",
        "accepted",
        ("accepted", "refusedWithNodes", "refused"),
        "A target of another OS family: two recordings show 202 on empty pools; pools with nodes are not recorded. "
        "A refusal is 400 PoolNotEligibleForOSVersionUpgrade.",
    ),
    Unknown(
        "versionValidation",
        "none",
        ("none", "grammar", "catalogue"),
        "Three codes exist (OSVersionNotFound, OSVersionDisabled, OSVersionExpired), but versions that were disabled "
        "long before were accepted with 202, and the swagger example sends the invalid version 5. grammar: an invalid "
        "version is OSVersionNotFound; catalogue: the seeded images decide.",
    ),
    Unknown(
        "requeueCount",
        "increments",
        ("increments", "unchanged"),
        "requeueCount of a task on an upgraded node: the page says that the task returns to the queue; the description "
        "of the field names only node removal and job disable. (retryCount counts non-zero exits and does not change.)",
    ),
    Unknown(
        "nodeStateDuringUpgrade",
        "reimaging",
        ("reimaging", "rebooting"),
        "The node state while its OS is replaced: not documented. A new OS is a new image, so reimaging.",
    ),
    Unknown(
        "startTaskAfterUpgrade",
        "rerun",
        ("rerun", "notRun"),
        "Whether the start task runs again on an upgraded node: not documented. A reimaged node usually does.",
    ),
    Unknown(
        "upgradeWithFailedNode",
        "waits",
        ("waits", "ends"),
        "Whether a pool stays upgrading while an upgraded node is unusable or starttaskfailed: not documented. The "
        "page says that the pool is active when all its nodes are upgraded; whether such a node counts is open.",
    ),
    Unknown(
        "emptyPoolUpgradeSeconds",
        5,
        (0, 1, 5, 30, 120),
        "How long an empty pool is upgrading: two recordings show the state, but not its duration (virtual seconds).",
    ),
    Unknown(
        "apiVersionUnknownCode",
        "UnsupportedRequestVersion",
        ("UnsupportedRequestVersion", "InvalidQueryParameterValue"),
        "An unknown api-version: the error table has UnsupportedRequestVersion; a recorded call to the management "
        "plane got InvalidQueryParameterValue.",
    ),
    Unknown(
        "retiredApiVersions",
        "none",
        ("none", "before-2025-06-01"),
        "Microsoft announced on 2026-05-15 that every version before 2025-06-01 will be retired, without a date (its "
        "page promises one year's notice). before-2025-06-01: these versions get the answer of an unknown version.",
    ),
    Unknown(
        "upgradeosGoneCode",
        "InvalidUri",
        ("InvalidUri", "ResourceNotFound", "UnsupportedHttpVerb"),
        "upgradeos with an api-version that no longer has it (2018-12-01.8.0 and later): the error table allows 400, "
        "404 and 405. The path no longer names a resource, so InvalidUri.",
    ),
    Unknown(
        "getOnUpgradeosCode",
        "UnsupportedHttpVerb",
        ("UnsupportedHttpVerb", "ResourceNotFound"),
        "GET on an action path: the path exists for POST, so 405 by the error table; some gateways answer 404.",
    ),
    Unknown(
        "cloudServicePoolInNewestVersion",
        "withoutConfiguration",
        ("withoutConfiguration", "osVersion", "PoolNotFound"),
        "A Cloud Services pool in versions without them (2024-07-01.20.0 and later): the models no longer have the "
        "property, so it is left out. The older shape, recorded in 2024-02-01.19.0, or PoolNotFound is also possible.",
    ),
)

VM_TABLE: Final = (
    Unknown(
        "unknownImageVersion",
        "InvalidPropertyValue",
        ("InvalidPropertyValue", "accepted"),
        "A pool created with, or an empty pool changed to, an image version that does not exist (no row of images has "
        "this spelling): not recorded. The version is a value of the body, so the 400 for values is the nearest code. "
        "accepted: Batch may accept it and allocate no nodes.",
    ),
    Unknown(
        "latestOfNewNodes",
        "newest",
        ("newest", "asFirstNode", "asFirstNodeEver"),
        "The exactVersion of a node added to an old pool on latest: by the description, latest is resolved when a node "
        "is created (newest). The scale set behind the pool may keep the version of its first node until the pool is "
        "empty (asFirstNode), or longer (asFirstNodeEver; a PATCH of the configuration ends it).",
    ),
    Unknown(
        "galleryExactVersion",
        "absent",
        ("absent", "present"),
        "exactVersion on nodes of a gallery image: the description names only platform and marketplace images.",
    ),
    Unknown(
        "patchNonEmptyCode",
        "OperationInvalidForCurrentState",
        ("OperationInvalidForCurrentState", "OperationNotValidOnPool", "PropertyCannotBeUpdated"),
        "PATCH of the image (or of another property that needs an empty pool) on a pool with nodes: the rule is "
        "documented, the code is not. The first two are 409; the management plane has PropertyCannotBeUpdated (400).",
    ),
    Unknown(
        "removeNodesOnAutoscale",
        "OperationNotValidOnPool",
        ("OperationNotValidOnPool", "accepted"),
        "removenodes on an autoscale pool: not explicitly forbidden. Batch refuses resize there with this code.",
    ),
    Unknown(
        "removeNodesUnknownId",
        "NodeNotFound",
        ("NodeNotFound", "ignored"),
        "removenodes with the id of a node that no longer exists (replaced after preemption, or removed by another "
        "client): the code exists, but no page says that one missing node refuses the whole list.",
    ),
    Unknown(
        "removeNodesTimeoutCode",
        "RemoveNodesFailed",
        ("RemoveNodesFailed", "AllocationTimedout"),
        "The resizeError when tasks run longer than the resizeTimeout of a removenodes with taskcompletion: both codes "
        "are in the list of resizeErrors; no page says which one applies.",
    ),
    Unknown(
        "removeNodesTimeoutTarget",
        "lowered",
        ("lowered", "restored"),
        "The target of the pool after that timeout (or after stopresize), also of a resize with taskcompletion: it is "
        "lowered at the start (a live test shows 2 to 1). No page says that nodes that stayed are added to it again.",
    ),
    Unknown(
        "removeNodesWhileShort",
        "onlyRemoves",
        ("onlyRemoves", "fillsUp"),
        "removenodes on a pool with fewer nodes than its target (an earlier resize failed): whether the same resize "
        "also tries to allocate the missing nodes.",
    ),
    Unknown(
        "nodesAfterDrainTimeout",
        "enabled",
        ("enabled", "disabled"),
        "The scheduling of a node that a resize or removenodes with taskcompletion waited for, after the timeout: "
        "no page says whether the node takes tasks again (enabled) or keeps its scheduling disabled.",
    ),
    Unknown(
        "metadataValueLimit",
        "none",
        ("none", 4096, 256),
        "The most characters of a metadata value of a pool: no page has a limit. A longer value is refused with the "
        "400 for values. A marker with an autoscale formula may have several thousand characters.",
    ),
    Unknown(
        "enableAutoscaleWithin30s",
        "TooManyEnableAutoScaleRequests",
        ("TooManyEnableAutoScaleRequests", "accepted"),
        "A second enableautoscale within 30 s: the error table has TooManyEnableAutoScaleRequests (503). Whether a "
        "disableautoscale between the two starts the count again is open (accepted).",
    ),
    Unknown(
        "agentOfAnotherImage",
        "InvalidPropertyValue",
        ("InvalidPropertyValue", "accepted"),
        "A pool created with, or an empty pool changed to, a marketplace image and a node agent SKU that is not listed "
        "for it: not recorded. Both are values of the body, so the 400 for values is the nearest code. accepted: Batch "
        "may accept it, and new nodes become unusable. Gallery images are not listed, so they are always accepted.",
    ),
    Unknown(
        "patchAfterSteady",
        "accepted",
        ("accepted", "refusedForShortTime"),
        "PATCH of the image in the first seconds after a pool became steady without nodes: the recorded PATCH came "
        "later. The deployment may still be going away; refusedForShortTime refuses with patchNonEmptyCode for 12 s.",
    ),
)
"""The unknown behaviours of VM pools."""

NODE_TABLE: Final = (
    Unknown(
        "exactVersionOfLatest",
        "latest",
        ("latest", "number"),
        "The exactVersion of a node of a pool on latest, with a marketplace image: a number in 5 recordings until "
        "2024-09, the word latest in all 8 since 2024-11 (two regions; account kinds are not recorded). Nodes of "
        "pinned pools show the pin; an exactVersion in a state is shown as it is.",
    ),
)
"""What a node shows. Not with the other rows, since with ``latest`` the provider cannot renew by version."""

IMAGE_TABLE: Final = (
    Unknown(
        "endedImages",
        "listed",
        ("listed", "unlisted"),
        "Whether /supportedimages still has an image after its batchSupportEndOfLife: not recorded. After the date "
        "Batch accepts no new pool with it, and forces pools to 0 nodes; it may leave the list at once or later.",
    ),
)
"""The list of supported images, which no rollout reads."""

ROWS: Final = (*TABLE, *VM_TABLE, *NODE_TABLE, *IMAGE_TABLE)
BY_NAME: Final = {unknown.name: unknown for unknown in ROWS}


class Unknowns:
    """The switches of one simulator, and their values."""

    def __init__(self) -> None:
        self._values: dict[str, str | float] = {}

    def __getitem__(self, name: str) -> str | float:
        return self._values.get(name, BY_NAME[name].default)

    def set(self, wanted: dict[str, Any]) -> None:
        """Set switches by ``{name: value}``, or by the result of :meth:`to_json`: all of them, or none on an error.

        Raises:
            RefusedError: a name is unknown, or a value is not allowed.
        """
        values: dict[str, str | float] = {}
        for name, given in wanted.items():
            if name not in BY_NAME:
                raise RefusedError(f"unknown switch {name!r}; switches: {', '.join(BY_NAME)}")
            value = given.get("value") if isinstance(given, dict) else given
            allowed = BY_NAME[name].allowed
            if isinstance(value, bool) or value not in allowed:
                raise RefusedError(f"{name} cannot be {value!r}; allowed: {', '.join(map(str, allowed))}")
            values[name] = value
        self._values.update(values)

    def reset(self) -> None:
        """Set all switches to their defaults."""
        self._values.clear()

    def to_json(self) -> dict[str, dict[str, Any]]:
        """The table in the shape of ``GET /_simulator/unknowns``."""
        return {
            row.name: {"value": self[row.name], "allowed": list(row.allowed), "default": row.default, "why": row.why}
            for row in ROWS
        }
