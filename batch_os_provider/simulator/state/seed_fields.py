"""The fields of a seed, and their meaning.

A seed is written by hand. This table is printed in docs/simulator.md. A test compares it with the fields that the
modules of this package read, so that the page is complete.
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
    (
        "state",
        "quota",
        "the largest number of `dedicatedNodes` and `lowPriorityNodes` of all pools together; default no limit",
    ),
    (
        "state",
        "durations",
        "of the nodes of VM pools: `recorded` (default), or `short`, which saves time: see [Time](#time)",
    ),
    ("state", "principals", "Entra identities: see [above](#sign-in-as-an-entra-identity)"),
    ("state", "images", "Guest OS versions and VM images that exist: see `image`"),
    (
        "state",
        "supportedImages",
        "`/supportedimages` lists these, `images` and the images of pools: see `supported image`; default built in",
    ),
    ("state", "pools", "see `pool`"),
    ("state", "jobs", "see `job`"),
    ("image", "osVersion", "a Guest OS version; with it only `state`: `available` (default), `disabled`, `expired`"),
    ("image", "publisher", "of a marketplace image, with `offer` and `sku`"),
    ("image", "virtualMachineImageId", "of a gallery image; also `sharedGalleryImageId`, `communityGalleryImageId`"),
    (
        "image",
        "versions",
        "a list of `version`, `since` (from then on `latest` can mean it; default always) and `excludeFromLatest`",
    ),
    ("image", "version", "one version instead of `versions`, optionally with `since`"),
    ("image", "osType", "`linux` or `windows`; only `/supportedimages` returns this field and the four below"),
    ("image", "nodeAgentSKUId", "its node agent"),
    ("image", "verificationType", "`verified` (default) or `unverified`"),
    ("image", "capabilities", "a list of strings"),
    ("image", "batchSupportEndOfLife", "a time; the virtual clock decides whether it has passed"),
    ("supported image", "imageReference", "`publisher`, `offer` and `sku`; `version` is `latest` if it is left out"),
    ("supported image", "nodeAgentSKUId", "required, such as `batch.node.ubuntu 22.04`"),
    ("supported image", "osType", "and `verificationType`, `capabilities`, `batchSupportEndOfLife`, as of `image`"),
    ("pool", "id", "and any property that a GET of the pool returns; missing ones get defaults"),
    (
        "pool",
        "cloudServiceConfiguration",
        "of a Cloud Services pool: `osFamily`, `targetOSVersion`, `currentOSVersion`",
    ),
    ("pool", "virtualMachineConfiguration", "of a VM pool: `imageReference`, `nodeAgentSKUId` and more"),
    ("pool", "state", "`active` (default), `upgrading`, `deleting`"),
    ("pool", "allocationState", "`steady` (default), `resizing`, `stopping`; since `allocationStateTransitionTime`"),
    ("pool", "targetDedicatedNodes", "and `targetLowPriorityNodes`; default as many as `nodes` lists"),
    ("pool", "currentDedicatedNodes", "and `currentLowPriorityNodes`; must agree with `nodes` if both are given"),
    ("pool", "resizeErrors", "errors of the last resize"),
    ("pool", "nodes", "see `node`; without a list, the counts give idle nodes"),
    (
        "pool",
        "simulator.allocation",
        "failures of future nodes: [`resizes.py`](../batch_os_provider/simulator/world/resizes.py)",
    ),
    ("pool", "simulator.latest", "the version of `latest` when the first node of the pool was created"),
    ("pool", "simulator.previousOSVersion", "the version that a rollback by the platform restores"),
    ("pool", "simulator.upgrade", "a running upgrade: nodes `pending` and `out`, `until`, `rollback`"),
    (
        "pool",
        "simulator.resize",
        "a running resize: `due`, `deadline`, `nodeDeallocationOption`, `leaving`, `removal`, `earlierErrors`",
    ),
    ("pool", "simulator.deleteDue", "when a pool in state `deleting` disappears"),
    ("pool", "simulator.autoScaleEnabled", "when autoscale was enabled"),
    ("pool", "simulator.nodeCounter", "the number of the last node that was created"),
    ("node", "id", "required"),
    ("node", "isDedicated", "default true"),
    ("node", "state", "default `running` with a task, else `idle`; a temporary state ends after its duration"),
    ("node", "schedulingState", "`enabled` (default) or `disabled`"),
    ("node", "lastBootTime", "and `allocationTime`, `stateTransitionTime`; default the creation of the pool"),
    ("node", "nodeAgentInfo", "`version` of the Batch node agent; default that of a node created now"),
    ("node", "virtualMachineInfo", "`imageReference` with `exactVersion`; default that of a node created now"),
    (
        "node",
        "simulator.unbooted",
        "true: it has never booted, so it has no `lastBootTime`; default for `creating` and `starting`",
    ),
    ("node", "simulator.imageVersion", "the version that the node runs, if it shows `latest`"),
    (
        "node",
        "simulator.shownBySwitch",
        "what a switch made the node show; another `exactVersion` in the state is shown under every switch",
    ),
    ("node", "startTaskInfo", "the result of the start task, as Batch returns it"),
    ("node", "errors", "a list, as Batch returns it"),
    ("node", "totalTasksRun", "and `totalTasksSucceeded`"),
    ("node", "simulator.stuck", "true: the node stays in its state"),
    ("node", "simulator.due", "when its temporary state ends"),
    ("node", "simulator.fate", "how its boot ends: `starttaskfailed`, `hangs`, `unusable`, `unknown`"),
    ("node", "simulator.nextFate", "how its next boot ends"),
    ("job", "id", "and any property that a GET of the job returns"),
    ("job", "poolInfo", "`poolId`: where its tasks run"),
    ("job", "state", "`active` (default), `disabled`, `deleting` and Batch's others"),
    ("job", "tasks", "see `task`"),
    ("job", "simulator.deleteDue", "when a job in state `deleting` disappears"),
    ("task", "id", "and any property that a GET of the task returns"),
    ("task", "commandLine", "a number after `sleep` or `timeout /t` is how long it runs, in seconds; default 60"),
    ("task", "state", "`active` (default): it starts on a free node; also `running`, `completed`"),
    ("task", "constraints", "`maxTaskRetryCount` is how often a task that fails runs again; a job has them too"),
    ("task", "previousState", "and `previousStateTransitionTime`"),
    ("task", "nodeInfo", "`nodeId` (and `poolId`) of a running task"),
    ("task", "executionInfo", "`startTime`, `endTime`, `exitCode`, `retryCount`, `requeueCount`, `lastRequeueTime`"),
    ("task", "simulator.due", "when a running task ends"),
)
"""The object, the field, and its meaning. Every object with times also takes ``creationTime``, ``lastModified``,
``stateTransitionTime`` and ``eTag``, as Batch returns them."""
