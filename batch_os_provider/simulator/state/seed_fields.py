"""What a seed can say: each field of a state, and what it means.

A seed is written by hand. This table is printed in docs/simulator.md, and a test compares it with what
:mod:`.state` and its neighbours read, so that no field is missing from the page and none is invented there.
"""

from __future__ import annotations

from typing import Final

__all__ = ["FIELDS"]

FIELDS: Final[tuple[tuple[str, str, str], ...]] = (
    ("state", "version", "`1`, the version of this format; may be left out"),
    ("state", "virtual", "the virtual time at the start; default now"),
    ("state", "account", "`name` and `key` (base64) of the account; default `batchsim` and a published key"),
    (
        "account",
        "allowedAuthenticationModes",
        "a list of `SharedKey` and `AAD`, as Azure Resource Manager has it; default both",
    ),
    (
        "account",
        "publicNetworkAccess",
        "`Enabled` (default) or `Disabled`: every request is then 403 `AuthorizationFailure`",
    ),
    ("state", "quota", "the most `dedicatedNodes` and `lowPriorityNodes` of all pools together; default no limit"),
    ("state", "principals", "Entra identities: see [above](#sign-in-as-an-entra-identity)"),
    ("state", "images", "Guest OS versions and VM images that exist: see `image`"),
    ("state", "pools", "see `pool`"),
    ("state", "jobs", "see `job`"),
    ("image", "osVersion", "a Guest OS version; with it only `state`: `available` (default), `disabled`, `expired`"),
    ("image", "publisher", "of a marketplace image, with `offer` and `sku`"),
    ("image", "virtualMachineImageId", "of a gallery image; also `sharedGalleryImageId`, `communityGalleryImageId`"),
    ("image", "versions", "a list of `version` and `since`: from when on `latest` can mean it; without `since` always"),
    ("image", "version", "one version in place of `versions`, with `since` if there is a day"),
    ("image", "osType", "`linux` or `windows`; this and the four below are shown by `/supportedimages` only"),
    ("image", "nodeAgentSKUId", "the node agent for it"),
    ("image", "verificationType", "`verified` (default) or `unverified`"),
    ("image", "capabilities", "a list of texts"),
    ("image", "batchSupportEndOfLife", "a time"),
    ("pool", "id", "and any property that a GET of the pool shows; what is left out is filled in"),
    (
        "pool",
        "cloudServiceConfiguration",
        "of a Cloud Services pool: `osFamily`, `targetOSVersion`, `currentOSVersion`",
    ),
    ("pool", "virtualMachineConfiguration", "of a VM pool: `imageReference`, `nodeAgentSKUId` and more"),
    ("pool", "state", "`active` (default), `upgrading`, `deleting`"),
    ("pool", "allocationState", "`steady` (default), `resizing`, `stopping`; since `allocationStateTransitionTime`"),
    ("pool", "targetDedicatedNodes", "and `targetLowPriorityNodes`; default as many as `nodes` lists"),
    ("pool", "currentDedicatedNodes", "and `currentLowPriorityNodes`; has to agree with `nodes` if both are there"),
    ("pool", "resizeErrors", "errors of the last resize"),
    ("pool", "nodes", "see `node`; without a list, the counts make idle nodes up"),
    (
        "pool",
        "simulator.allocation",
        "what goes wrong with nodes to come: [`resizes.py`](../batch_os_provider/simulator/world/resizes.py)",
    ),
    ("pool", "simulator.latest", "the version that `latest` was resolved to for this pool's first node"),
    ("pool", "simulator.previousOSVersion", "the version that a rollback by the platform goes back to"),
    ("pool", "simulator.upgrade", "an upgrade in flight: nodes `pending` and `out`, `until`, `rollback`"),
    (
        "pool",
        "simulator.resize",
        "a resize in flight: `due`, `deadline`, `nodeDeallocationOption`, `leaving`, `removal`, `earlierErrors`",
    ),
    ("pool", "simulator.deleteDue", "when a pool that is being deleted is gone"),
    ("pool", "simulator.autoScaleEnabled", "when autoscale was enabled"),
    ("pool", "simulator.nodeCounter", "the number of the last node that was made"),
    ("node", "id", "needed"),
    ("node", "isDedicated", "default true"),
    ("node", "state", "default `running` with a task, else `idle`; one on its way moves on by itself"),
    ("node", "schedulingState", "`enabled` (default) or `disabled`"),
    ("node", "lastBootTime", "and `allocationTime`, `stateTransitionTime`; default when the pool was made"),
    ("node", "virtualMachineInfo", "`imageReference` with `exactVersion`; default what a node made now gets"),
    ("node", "startTaskInfo", "what became of the start task, as Batch shows it"),
    ("node", "errors", "a list, as Batch shows it"),
    ("node", "totalTasksRun", "and `totalTasksSucceeded`"),
    ("node", "simulator.stuck", "true: it stays in its state"),
    ("node", "simulator.due", "when its state ends by itself"),
    ("node", "simulator.fate", "how its boot ends: `starttaskfailed`, `hangs`, `unusable`, `unknown`"),
    ("node", "simulator.nextFate", "how its next boot ends"),
    ("job", "id", "and any property that a GET of the job shows"),
    ("job", "poolInfo", "`poolId`: where its tasks run"),
    ("job", "state", "`active` (default), `disabled`, `deleting` and Batch's others"),
    ("job", "tasks", "see `task`"),
    ("job", "simulator.deleteDue", "when a job that is being deleted is gone"),
    ("task", "id", "and any property that a GET of the task shows"),
    ("task", "commandLine", "a number after `sleep` or `timeout /t` is how long it runs, in seconds; default 60"),
    ("task", "state", "`active` (default): it starts where there is room; also `running`, `completed`"),
    ("task", "previousState", "and `previousStateTransitionTime`"),
    ("task", "nodeInfo", "`nodeId` (and `poolId`) of a task that runs"),
    ("task", "executionInfo", "`startTime`, `endTime`, `exitCode`, `retryCount`, `requeueCount`, `lastRequeueTime`"),
    ("task", "simulator.due", "when a task that runs ends"),
)
"""Where it stands, its name, and what it means. Every object with times also takes ``creationTime``, ``lastModified``,
``stateTransitionTime`` and ``eTag``, as Batch shows them."""
