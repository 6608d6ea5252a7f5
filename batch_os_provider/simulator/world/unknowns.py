"""What nobody has recorded, as switches.

The real service can no longer be asked, and a guess buried in code looks like knowledge. Each
guess about it is one row here: the values the evidence allows, a default, and a sentence on why. A provider
that is right must be right under every value, so tests turn every switch.

What is recorded is not a switch: ``*`` to ``*`` is refused, an empty pool passes through ``upgrading``, a pool
may be deleted while it upgrades, ETag and times do not move on the return to ``active``.

Reimage of a VM pool's node has no switch: SDK tests see it accepted, the documentation refuses it, and nobody knows
the version that comes back. It is not simulated (501).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from batch_os_provider.simulator.world.reader import RefusedError


@dataclass(frozen=True)
class Unknown:
    """One switch: ``why`` says what is known and why the default is what it is."""

    name: str
    default: str | float
    allowed: tuple[str | float, ...]
    why: str


TABLE: Final = (
    Unknown(
        "iaasPoolCode",
        "OperationNotValidOnPool",
        ("OperationNotValidOnPool", "PoolNotEligibleForOSVersionUpgrade"),
        "upgradeos on a VM pool: the REST page promises 409 and names no code; OperationNotValidOnPool is the 409 "
        "whose text fits, PoolNotEligibleForOSVersionUpgrade (400) the other candidate of the table.",
    ),
    Unknown(
        "sameTargetWhileUpgrading",
        "PoolVersionEqualsUpgradeVersion",
        ("accepted", "PoolVersionEqualsUpgradeVersion", "UpgradePoolVersionConflict"),
        "upgradeos to the target that is already in flight: no recording; the conflict code speaks of a different "
        "version, so the refusal that is left is the equals-code; 202 is as likely.",
    ),
    Unknown(
        "pinnedEqualsLatest",
        "accepted",
        ("accepted", "PoolVersionEqualsUpgradeVersion"),
        "current is * and the target is the newest version of the family (by the seeded images): versions are "
        "stored literally in every recording, so they are compared literally.",
    ),
    Unknown(
        "upgradeWhileResizing",
        "PoolBeingResized",
        ("PoolBeingResized", "accepted"),
        "upgradeos while allocationState is resizing or stopping: no recording, and the page asks for no steady "
        "pool; PoolBeingResized is the generic code, and who copes with a refusal copes with 202.",
    ),
    Unknown(
        "resizeWhileUpgrading",
        "accepted",
        ("accepted", "OperationInvalidForCurrentState"),
        "resize while the pool upgrades: no recording; state and allocationState are independent in all of them.",
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
        "a target of another OS family: two recordings show 202 on empty pools; with nodes nothing is known. "
        "A refusal is 400 PoolNotEligibleForOSVersionUpgrade.",
    ),
    Unknown(
        "versionValidation",
        "none",
        ("none", "grammar", "catalogue"),
        "three codes exist (OSVersionNotFound, OSVersionDisabled, OSVersionExpired), yet versions long disabled "
        "were taken with 202, and the swagger example sends the nonsense version 5. grammar: a text that is no "
        "version is OSVersionNotFound; catalogue: the seeded images decide.",
    ),
    Unknown(
        "requeueCount",
        "increments",
        ("increments", "unchanged"),
        "requeueCount of a task whose node is upgraded: the page says the task returns to the queue; the text of "
        "the field names node removal and job disable only. (retryCount counts non-zero exits and never moves.)",
    ),
    Unknown(
        "nodeStateDuringUpgrade",
        "reimaging",
        ("reimaging", "rebooting"),
        "the node state while its OS is replaced: undocumented; a new OS is a new image, so reimaging, then starting.",
    ),
    Unknown(
        "startTaskAfterUpgrade",
        "rerun",
        ("rerun", "notRun"),
        "whether the start task runs again on an upgraded node: not mentioned; a reimaged node normally reruns it.",
    ),
    Unknown(
        "upgradeWithFailedNode",
        "waits",
        ("waits", "ends"),
        "whether a pool stays upgrading while a node that was upgraded is unusable or starttaskfailed: not mentioned; "
        "the page says that the pool is active when all its nodes are upgraded, which such a node may be or not.",
    ),
    Unknown(
        "emptyPoolUpgradeSeconds",
        5,
        (0, 1, 5, 30, 120),
        "how long an empty pool shows upgrading: two recordings show that it does, none for how long (virtual time).",
    ),
    Unknown(
        "apiVersionUnknownCode",
        "UnsupportedRequestVersion",
        ("UnsupportedRequestVersion", "InvalidQueryParameterValue"),
        "an api-version nobody knows: the table says UnsupportedRequestVersion, a recorded call to the management "
        "plane got InvalidQueryParameterValue.",
    ),
    Unknown(
        "retiredApiVersions",
        "none",
        ("none", "before-2025-06-01"),
        "Microsoft announced on 2026-05-15 that every version before 2025-06-01 will be retired, without a date (its "
        "page promises a year's notice); with before-2025-06-01 they are answered like an unknown version.",
    ),
    Unknown(
        "upgradeosGoneCode",
        "InvalidUri",
        ("InvalidUri", "ResourceNotFound", "UnsupportedHttpVerb"),
        "upgradeos under an api-version that no longer has it (2018-12-01.8.0 and later): candidates by the table "
        "are 400, 404 and 405; the path no longer names a resource, so InvalidUri.",
    ),
    Unknown(
        "getOnUpgradeosCode",
        "UnsupportedHttpVerb",
        ("UnsupportedHttpVerb", "ResourceNotFound"),
        "GET on an action path: the path exists for POST, so 405 by the table; some fronts answer 404.",
    ),
    Unknown(
        "cloudServicePoolInNewestVersion",
        "withoutConfiguration",
        ("withoutConfiguration", "osVersion", "PoolNotFound"),
        "a Cloud Services pool under versions that know none (2024-07-01.20.0 and later): the property is gone "
        "from the models, so it is left out; older shape or no pool at all are possible.",
    ),
)

VM_TABLE: Final = (
    Unknown(
        "unknownImageVersion",
        "InvalidPropertyValue",
        ("InvalidPropertyValue", "accepted"),
        "a pool created with, or an empty pool set to, an image version that does not exist (no row of images lists "
        "it, spelled so): no recording; the version names a value of the body, so the 400 for values is the nearest. "
        "accepted: Batch may take it, and allocate nothing.",
    ),
    Unknown(
        "latestOfNewNodes",
        "newest",
        ("newest", "asFirstNode", "asFirstNodeEver"),
        "the exactVersion of a node added to an old pool on latest: the field says that latest is resolved when a "
        "node is made (newest); the hidden scale set may keep what it resolved for its first node until the pool is "
        "emptied (asFirstNode), or even after (asFirstNodeEver; a PATCH of the configuration ends it).",
    ),
    Unknown(
        "galleryExactVersion",
        "absent",
        ("absent", "present"),
        "exactVersion on nodes of a gallery image: the field speaks of platform and marketplace images only.",
    ),
    Unknown(
        "patchNonEmptyCode",
        "OperationInvalidForCurrentState",
        ("OperationInvalidForCurrentState", "OperationNotValidOnPool", "PropertyCannotBeUpdated"),
        "PATCH of the image (or anything else that needs an empty pool) on a pool with nodes: the rule is documented, "
        "the code is not; the first two are 409, PropertyCannotBeUpdated (400) is what the management plane says.",
    ),
    Unknown(
        "removeNodesOnAutoscale",
        "OperationNotValidOnPool",
        ("OperationNotValidOnPool", "accepted"),
        "removenodes on an autoscale pool: nothing forbids it by name; resize is refused there with this code.",
    ),
    Unknown(
        "removeNodesUnknownId",
        "NodeNotFound",
        ("NodeNotFound", "ignored"),
        "removenodes with the id of a node that is gone (preempted and replaced, removed by somebody else): the code "
        "exists, but no page says that one missing node refuses the whole list.",
    ),
    Unknown(
        "removeNodesTimeoutCode",
        "RemoveNodesFailed",
        ("RemoveNodesFailed", "AllocationTimedout"),
        "the resizeError when tasks outlast the resizeTimeout of a removenodes with taskcompletion: both codes are in "
        "the list of resizeErrors, no page says which.",
    ),
    Unknown(
        "removeNodesTimeoutTarget",
        "lowered",
        ("lowered", "restored"),
        "the pool's target after that timeout (or after stopresize): lowered at the start (a live test shows 2 to 1); "
        "nothing says that the nodes that stayed are added again.",
    ),
    Unknown(
        "removeNodesWhileShort",
        "onlyRemoves",
        ("onlyRemoves", "fillsUp"),
        "removenodes on a pool that has fewer nodes than its target (an earlier resize failed): whether the same "
        "resize also tries to allocate what is missing.",
    ),
)
"""What nobody has recorded of VM pools."""

ROWS: Final = (*TABLE, *VM_TABLE)
BY_NAME: Final = {unknown.name: unknown for unknown in ROWS}


class Unknowns:
    """The switches of one simulator and where they stand."""

    def __init__(self) -> None:
        self._values: dict[str, str | float] = {}

    def __getitem__(self, name: str) -> str | float:
        return self._values.get(name, BY_NAME[name].default)

    def set(self, wanted: dict[str, Any]) -> None:
        """Turn switches: ``{name: value}``, or what :meth:`to_json` gives. All or none.

        Raises:
            RefusedError: no such switch, or a value it does not allow.
        """
        values: dict[str, str | float] = {}
        for name, given in wanted.items():
            if name not in BY_NAME:
                raise RefusedError(f"there is no unknown called {name!r}; there are: {', '.join(BY_NAME)}")
            value = given.get("value") if isinstance(given, dict) else given
            allowed = BY_NAME[name].allowed
            if isinstance(value, bool) or value not in allowed:
                raise RefusedError(f"{name} cannot be {value!r}; allowed: {', '.join(map(str, allowed))}")
            values[name] = value
        self._values.update(values)

    def reset(self) -> None:
        """Back to the defaults."""
        self._values.clear()

    def to_json(self) -> dict[str, dict[str, Any]]:
        """The table in the shape of ``GET /_simulator/unknowns``."""
        return {
            row.name: {"value": self[row.name], "allowed": list(row.allowed), "default": row.default, "why": row.why}
            for row in ROWS
        }
