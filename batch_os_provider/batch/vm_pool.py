"""A VM pool and its nodes, as frozen values read from Batch 2025-06-01.

The pool shows the image of its next node. Each node shows the image that it was made from
(``virtualMachineInfo.imageReference.exactVersion``): a number, or since November 2024 the word ``latest`` on pools
that are not pinned. This is the one place that reads the values for the table of ``image_renewal``, tolerantly.
``vm_target`` compares them with what is declared, and ``vm_view`` holds a pool with its nodes.

Sources: azure-batch 15.1 models (API 2025-06-01).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from batch_os_provider.batch.address import PoolRef
from batch_os_provider.batch.empty_marker import EmptyMarker, PoolImage
from batch_os_provider.batch.image_reference import is_gallery_image, pin_of, without_version
from batch_os_provider.batch.image_version import Version, parse_image_version
from batch_os_provider.batch.pool import GALLERIES, AllocationState, Kind, Pool, PoolState, parse_time

__all__ = ["MARKER", "Marker", "VmNode", "VmPool", "sortable"]

MARKER = "batch-os"
"""Name of the pool metadata entry that holds the marker of an unfinished rollout."""
_WITH_MORE = 3
"""The version of a marker that has more than the first one; ``empty_marker`` has version 2."""

_KNOWN_PARTS = frozenset(
    {"imageReference", "nodeAgentSKUId", "windowsConfiguration", "dataDisks", "licenseType", "containerConfiguration"}
    | {"diskEncryptionConfiguration", "nodePlacementConfiguration", "extensions", "osDisk", "securityProfile"}
    | {"serviceArtifactReference"}
)
"""The properties of virtualMachineConfiguration in API 2025-06-01."""
_KNOWN_REFERENCE = frozenset({"publisher", "offer", "sku", "version", "exactVersion", *GALLERIES})
"""The properties of an imageReference in API 2025-06-01."""
_READY = frozenset({"idle", "running"})
_FAILED = frozenset({"starttaskfailed", "unusable"})
_DEALLOCATED = frozenset({"deallocated", "deallocating"})
_COMING = frozenset({"creating", "starting", "waitingforstarttask", "rebooting", "reimaging", "upgradingos"})


@dataclass(frozen=True)
class Marker:
    """The marker of an unfinished rollout of ``surge``: the pool's original size, and how far the rollout may leave it.

    ``surge`` nodes may be added, and ``unavailable`` ones may be missing. ``newest`` is the latest allocation time of a
    node before the first change: the rollout, or Batch, has added all nodes with a later one. ``spot`` is the original
    target of spot nodes; only a rollout with ``unavailable`` changes them. ``formula`` and ``interval`` are those that
    the rollout turns off; a pool of fixed size has none. ``begun`` is False until the formula is off: a formula changes
    the size at any time, so only then are the sizes those of the start.
    """

    size: int
    surge: int
    newest: str
    spot: int = 0
    unavailable: int = 0
    formula: str = ""
    interval: str = ""
    begun: bool = True

    def __str__(self) -> str:
        # The first form is the one that every release reads.
        body: dict[str, int | str | bool] = {"v": 1, "size": self.size, "surge": self.surge, "newest": self.newest}
        if self.unavailable or self.formula:
            body |= {"v": _WITH_MORE, "spot": self.spot, "unavailable": self.unavailable}
        if self.formula:
            body |= {"formula": self.formula, "interval": self.interval}
        if not self.begun:
            body |= {"begun": False}
        return json.dumps(body, separators=(",", ":"), ensure_ascii=False)

    @classmethod
    def parse(cls, text: object) -> Marker | None:
        """Read a marker; None if this provider did not write the text."""
        try:
            body = json.loads(str(text))
            mark = cls(int(body["size"]), int(body["surge"]), str(body["newest"]))
            if body["v"] == _WITH_MORE:
                mark = replace(
                    mark,
                    spot=int(body["spot"]),
                    unavailable=int(body["unavailable"]),
                    formula=str(body.get("formula", "")),
                    interval=str(body.get("interval", "")),
                    begun=body.get("begun", True) is not False,
                )
            elif body["v"] != 1:
                return None
        except (ValueError, TypeError, KeyError, OverflowError):
            return None
        least = min(mark.size, mark.surge, mark.spot, mark.unavailable)
        return mark if least >= 0 and mark.surge + mark.unavailable > 0 else None

    @property
    def sizes(self) -> tuple[int, int]:
        """The target numbers of dedicated and spot nodes before."""
        return self.size, self.spot


@dataclass(frozen=True)
class VmNode:
    """A node as read. ``version`` is None if the node does not show one.

    ``allocated`` is its allocation time as text that sorts, with microseconds; empty if missing or invalid.
    ``agent_version`` is the version of the node agent; empty if the node does not show one yet. ``start_task`` is
    ``running`` or ``failure`` if the start task has not succeeded: without waitForSuccess the node is idle even then.
    """

    node_id: str
    state: str
    dedicated: bool
    version_text: str
    version: Version | None
    allocated: str
    running_tasks: int
    error: str = ""
    start_task: str = ""
    agent_version: str = ""

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> VmNode:
        """Read the JSON of a node."""
        info = body.get("virtualMachineInfo")
        agent = body.get("nodeAgentInfo")
        agent = agent.get("version") if isinstance(agent, Mapping) else None
        reference = info.get("imageReference") if isinstance(info, Mapping) else None
        exact = reference.get("exactVersion") if isinstance(reference, Mapping) else None
        start = body.get("startTaskInfo")
        start = start if isinstance(start, Mapping) else {}
        failure = start.get("failureInfo")
        # A start task that succeeded may still show the failure of an earlier try.
        result, runs = start.get("result"), start.get("state") == "running"
        failed = result == "failure" or (bool(failure) and result != "success")
        errors = body.get("errors")
        first = errors[0] if isinstance(errors, list) and errors else failure
        count, allocated = body.get("runningTasksCount"), parse_time(body.get("allocationTime"))
        return cls(
            node_id=str(body.get("id", "?")),
            state=str(body.get("state", "unknown")).lower(),
            dedicated=body.get("isDedicated") is not False,
            version_text=exact if isinstance(exact, str) else "",
            version=parse_image_version(exact),
            allocated=sortable(allocated) if allocated is not None else "",
            running_tasks=count if isinstance(count, int) else 0,
            error=str(first.get("message", "")).partition("\n")[0] if isinstance(first, Mapping) else "",
            start_task="running" if runs else "failure" if failed else "",
            agent_version=agent if isinstance(agent, str) else "",
        )

    @property
    def is_ready(self) -> bool:
        """Whether the node takes tasks and its start task has succeeded."""
        return self.state in _READY and not self.start_task

    @property
    def has_failed(self) -> bool:
        """Whether the node will not take tasks again without help."""
        return self.state in _FAILED or self.start_task == "failure"

    @property
    def is_coming(self) -> bool:
        """Whether the node is not up yet: it may show its version later."""
        return self.state in _COMING

    @property
    def is_deallocated(self) -> bool:
        """Whether the machine is stopped and not billed; the node stays in the pool until it is started."""
        return self.state in _DEALLOCATED


@dataclass(frozen=True)
class VmPool:
    """A VM pool as read."""

    base: Pool
    image: str
    gallery: bool
    pin_text: str
    size: int
    target_spot: int
    current: int
    spot: int
    automatic: bool
    upgrade_policy: str
    resize_errors: tuple[str, ...]
    marker: Marker | None
    emptying: EmptyMarker | None
    marker_text: str | None
    formula: str
    interval: str
    configuration: Mapping[str, Any]
    metadata: tuple[Mapping[str, Any], ...]

    @classmethod
    def from_json(
        cls, ref: PoolRef, body: Mapping[str, Any], *, etag: str = "", seen_at: datetime | None = None
    ) -> VmPool:
        """Read the JSON of API 2025-06-01."""
        configuration = body.get("virtualMachineConfiguration")
        configuration = configuration if isinstance(configuration, Mapping) else {}
        reference = configuration.get("imageReference")
        reference = reference if isinstance(reference, Mapping) else {}
        base = Pool.from_json(ref, body, etag=etag, seen_at=seen_at)
        entries = body.get("metadata")
        metadata = tuple(each for each in entries if isinstance(each, Mapping)) if isinstance(entries, list) else ()
        noted = next((each.get("value") for each in metadata if each.get("name") == MARKER), None)
        return cls(
            base=base,
            image=base.image,
            gallery=base.gallery,
            pin_text=pin_of(reference),
            size=_number(body, "targetDedicatedNodes"),
            target_spot=_number(body, "targetLowPriorityNodes"),
            current=_number(body, "currentDedicatedNodes"),
            spot=_number(body, "currentLowPriorityNodes"),
            automatic=_is_automatic(body.get("upgradePolicy")),
            upgrade_policy=_policy_text(body.get("upgradePolicy")),
            resize_errors=_errors(body.get("resizeErrors")),
            marker=Marker.parse(noted) if noted is not None else None,
            emptying=EmptyMarker.parse(noted) if noted is not None else None,
            marker_text=None if noted is None else str(noted),
            formula=str(body.get("autoScaleFormula") or ""),
            interval=str(body.get("autoScaleEvaluationInterval") or ""),
            configuration=configuration,
            metadata=metadata,
        )

    @property
    def is_latest(self) -> bool:
        """Whether new nodes get the newest image version."""
        return self.pin_text.lower() == "latest"

    @property
    def pin(self) -> Version | None:
        """The version that new nodes get; None if the pool is not pinned to an exact one."""
        return parse_image_version(self.pin_text)

    @property
    def product(self) -> str:
        """The image without its version: ``publisher:offer:sku``, or the id of a gallery image."""
        reference = self.configuration.get("imageReference")
        return without_version(reference if isinstance(reference, Mapping) else {})

    @property
    def agent(self) -> str:
        """The node agent SKU (``nodeAgentSKUId``); empty if Batch shows none."""
        return str(self.configuration.get("nodeAgentSKUId") or "")

    @property
    def made_from(self) -> PoolImage:
        """What new nodes are made from."""
        return PoolImage(self.product, self.pin_text, self.agent)

    @property
    def has_versions(self) -> bool:
        """Whether the image has versions: a managed image, which is in no gallery, has none."""
        return not self.gallery or is_gallery_image(self.product)

    @property
    def pinned(self) -> str:
        """The pin, as the end of a sentence about the pool: ``pinned to 1.0.3``."""
        return "on latest" if self.is_latest else f"pinned to {self.pin_text}"

    @property
    def sizes(self) -> tuple[int, int]:
        """The target numbers of dedicated and spot nodes."""
        return self.size, self.target_spot

    @property
    def is_marked(self) -> bool:
        """Whether the pool has the marker of an unfinished rollout of any strategy."""
        return self.marker is not None or self.emptying is not None

    @property
    def is_steady(self) -> bool:
        """Whether no resize runs."""
        return self.base.allocation is AllocationState.STEADY

    @property
    def is_being_resized(self) -> bool:
        """Whether this is an active VM pool and Batch shows a running resize."""
        return self.base.is_being_resized and self.is_vm and self.base.state is PoolState.ACTIVE

    @property
    def is_vm(self) -> bool:
        """Whether this is a VM pool."""
        return self.base.kind is Kind.VM

    def guarded_parts(self) -> list[str]:
        """Parts of the configuration that a PATCH could lose: a GET hides values in them, or they are new here."""
        found = []
        extensions = self.configuration.get("extensions")
        if isinstance(extensions, list) and extensions:
            found.append("virtualMachineConfiguration.extensions (protectedSettings)")
        containers = self.configuration.get("containerConfiguration")
        registries = containers.get("containerRegistries") if isinstance(containers, Mapping) else None
        if isinstance(registries, list) and any(
            isinstance(each, Mapping) and "username" in each for each in registries
        ):
            found.append("virtualMachineConfiguration.containerConfiguration.containerRegistries (password)")
        reference = self.configuration.get("imageReference")
        # A newer property, such as hardwareProfile: a PATCH of this API version may refuse it, or lose it.
        found += [f"virtualMachineConfiguration.{name}" for name in self.configuration if name not in _KNOWN_PARTS]
        if isinstance(reference, Mapping):
            found += [f"imageReference.{name}" for name in reference if name not in _KNOWN_REFERENCE]
        return found


def sortable(at: datetime) -> str:
    """A time as text that sorts: ISO in UTC with microseconds, as ``VmNode.allocated`` has it."""
    return f"{at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='microseconds')}Z"


def _number(body: Mapping[str, Any], name: str) -> int:
    value = body.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def _errors(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        return ()
    rows = [each for each in value if isinstance(each, Mapping)]
    texts = (": ".join(str(each[key]) for key in ("code", "message") if each.get(key)) for each in rows)
    return tuple(text.partition("\n")[0] for text in texts)


def _policy_text(policy: object) -> str:
    """The whole upgrade policy as ``name=value`` words in a fixed order, to compare it; empty if it has no values."""

    def leaves(bag: Mapping[str, Any]) -> Iterator[str]:
        for name, value in bag.items():
            if isinstance(value, Mapping):
                yield from leaves(value)
            elif value is not None:
                yield f"{name}={str(value).lower() if isinstance(value, bool) else value}"

    return " ".join(sorted(leaves(policy))) if isinstance(policy, Mapping) else ""


def _is_automatic(policy: object) -> bool:
    automatic = policy.get("automaticOSUpgradePolicy") if isinstance(policy, Mapping) else None
    return isinstance(automatic, Mapping) and automatic.get("enableAutomaticOSUpgrade") is True
