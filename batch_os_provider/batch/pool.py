"""A pool and its nodes, as frozen values read from Batch's JSON.

The JSON differs by API version, gets new fields, and may contain unknown states. This is the one place that reads it,
tolerantly; all other modules work on these values.

Sources: swagger 2018-08-01.7.0 (``CloudPool``, ``ComputeNode``), Batch 2025-06-01 models.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from batch_os_provider.batch.address import PoolRef

E = TypeVar("E", bound=enum.Enum)

__all__ = ["GALLERIES", "AllocationState", "Kind", "Node", "Pool", "PoolState", "parse_time"]


GALLERIES = ("virtualMachineImageId", "sharedGalleryImageId", "communityGalleryImageId")
"""The properties of an imageReference that name an image of a gallery: private, shared, community."""

_UP_STATES = frozenset({"idle", "running"})


class Kind(enum.Enum):
    """The two families of Batch pools."""

    CLOUD_SERVICES = "Cloud Services"
    VM = "VM"
    UNKNOWN = "unknown"
    """Neither configuration was in the answer (a newer API version hides the retired one)."""


class PoolState(enum.Enum):
    """``CloudPool.state``; the enum is open, and a new state is ``UNKNOWN``."""

    ACTIVE = "active"
    DELETING = "deleting"
    UPGRADING = "upgrading"
    UNKNOWN = "unknown"


class AllocationState(enum.Enum):
    """``CloudPool.allocationState``: a resize, independent of an upgrade."""

    STEADY = "steady"
    RESIZING = "resizing"
    STOPPING = "stopping"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Pool:
    """A pool as read. Only ``state`` and the versions prove that an upgrade has ended.

    ``etag`` is only for preconditions, and ``changed_at`` (``stateTransitionTime``) only for counting nodes: when a
    pool returns to active, the ETag stays and the time goes back to the creation time (recordings a and b).
    ``image_version`` is the newest one on a VM pool's nodes, if they were read. ``seen_at`` is when Batch answered, by
    the service's clock.
    """

    ref: PoolRef
    kind: Kind
    state: PoolState
    state_text: str
    allocation: AllocationState
    allocation_text: str
    allocation_changed_at: datetime | None = None
    etag: str = ""
    os_family: str | None = None
    current_os_version: str | None = None
    target_os_version: str | None = None
    changed_at: datetime | None = None
    autoscale: bool = False
    image: str = ""
    gallery: bool = False
    image_version: str = ""
    node_count: int = 0
    seen_at: datetime | None = None

    @classmethod
    def from_json(
        cls, ref: PoolRef, body: Mapping[str, Any], *, etag: str = "", seen_at: datetime | None = None
    ) -> Pool:
        """Read the JSON of any API version; a missing value stays empty."""
        cloud, machine = _mapping(body, "cloudServiceConfiguration"), _mapping(body, "virtualMachineConfiguration")
        kind = Kind.CLOUD_SERVICES if cloud is not None else Kind.VM if machine is not None else Kind.UNKNOWN
        cloud, machine = cloud or {}, machine or {}
        reference = _mapping(machine, "imageReference") or {}
        return cls(
            ref=ref,
            kind=kind,
            state=_enum(PoolState, body.get("state")),
            state_text=str(body.get("state", "missing")),
            allocation=_enum(AllocationState, body.get("allocationState")),
            allocation_text=str(body.get("allocationState", "missing")),
            allocation_changed_at=parse_time(body.get("allocationStateTransitionTime")),
            etag=etag or _text(body, "eTag") or "",
            os_family=_text(cloud, "osFamily"),
            current_os_version=_text(cloud, "currentOSVersion"),
            target_os_version=_text(cloud, "targetOSVersion"),
            changed_at=parse_time(body.get("stateTransitionTime")),
            autoscale=body.get("enableAutoScale") is True,
            image=_image(reference),
            gallery=any(_text(reference, key) for key in GALLERIES),
            node_count=(_count(body, "currentDedicatedNodes") or 0) + (_count(body, "currentLowPriorityNodes") or 0),
            seen_at=seen_at,
        )

    @property
    def is_being_resized(self) -> bool:
        """Whether Batch shows a resize that runs or is stopping."""
        return self.allocation in (AllocationState.RESIZING, AllocationState.STOPPING)

    @property
    def fingerprint(self) -> tuple[str, ...]:
        """The values on which a decision depends: equal fingerprints lead to equal decisions."""
        return (
            self.state_text,
            self.allocation_text,
            self.current_os_version or "",
            self.target_os_version or "",
            self.etag,
        )


@dataclass(frozen=True)
class Node:
    """A compute node as read: the values that progress and health need.

    ``start_task_failed`` is independent of the state: without waitForSuccess, the default of API 2018-08-01.7.0, a node
    is idle even if its start task has failed.
    """

    node_id: str
    state: str
    last_boot_time: datetime | None
    error: str = ""
    running_tasks: int = 0
    start_task_failed: bool = False

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Node:
        """Read a node; ``error`` is its first error, or the start task's failure."""
        errors = body.get("errors")
        first = errors[0] if isinstance(errors, list) and errors and isinstance(errors[0], Mapping) else {}
        start_task = _mapping(body, "startTaskInfo") or {}
        failure = first or _mapping(start_task, "failureInfo", "schedulingError") or {}
        return cls(
            node_id=str(body.get("id", "?")),
            state=str(body.get("state", "unknown")),
            last_boot_time=parse_time(body.get("lastBootTime")),
            error=": ".join(_first_line(failure[key]) for key in ("code", "message") if failure.get(key)),
            running_tasks=_count(body, "runningTasksCount") or 0,
            # During a retry the failure of the last try stays in the JSON.
            start_task_failed=start_task.get("state") != "running"
            and start_task.get("result") != "success"
            and (start_task.get("result") == "failure" or bool(start_task.get("failureInfo"))),
        )

    @property
    def is_up(self) -> bool:
        """Whether the node takes or runs tasks."""
        return self.state in _UP_STATES

    def is_back(self, since: datetime | None) -> bool:
        """Whether the node has booted after ``since`` and takes tasks again."""
        if not self.is_up or since is None:
            return False
        return self.last_boot_time is not None and self.last_boot_time > since


def _mapping(body: Mapping[str, Any], *names: str) -> Mapping[str, Any] | None:
    for name in names:
        value = body.get(name)
        if isinstance(value, Mapping):
            return value
    return None


def _text(body: Mapping[str, Any], name: str) -> str | None:
    value = body.get(name)
    return value if isinstance(value, str) and value else None


def _count(body: Mapping[str, Any], name: str) -> int | None:
    value = body.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def parse_time(value: object) -> datetime | None:
    """Read a Batch time (ISO with up to seven decimals and Z); None for any other value."""
    if not isinstance(value, str):
        return None
    import isodate  # noqa: PLC0415 - calls that ask Batch nothing need no isodate

    try:
        parsed: datetime = isodate.parse_datetime(value)
    except (ValueError, isodate.ISO8601Error):
        return None
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def _enum(kind: type[E], value: object) -> E:
    try:
        return kind(str(value).lower())
    except ValueError:
        return kind("unknown")


def _first_line(value: object) -> str:
    return str(value).partition("\n")[0].strip()


def _image(reference: Mapping[str, Any]) -> str:
    """An image reference in words, for messages about VM pools: the id of a gallery image, or its parts."""
    gallery = next((text for key in GALLERIES if (text := _text(reference, key))), None)
    if gallery:
        return gallery
    return " ".join(str(reference[key]) for key in ("publisher", "offer", "sku", "version") if reference.get(key))
