"""A VM pool as Batch shows it, for the tables of the strategy ``empty``; images and counts vary on purpose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from batch_os_provider.batch.empty_marker import EmptyMarker
from batch_os_provider.batch.vm_pool import MARKER, VmNode, VmPool
from batch_os_provider.batch.vm_target import ImageVersion
from batch_os_provider.batch.vm_view import VmPoolView
from tests.support.simulator import IMAGES, Image
from tests.unit.rollout.doubles import REF

FORMULA, INTERVAL = "$TargetDedicatedNodes = 3;\n", "PT7M"
SCALED = {"enableAutoScale": True, "autoScaleFormula": FORMULA, "autoScaleEvaluationInterval": INTERVAL}
SHORT = {"resizeErrors": [{"code": "AccountCoreQuotaReached", "message": "The account has reached core quota"}]}
NEW, OLD = "2026-11-25T08:00:00Z", "2026-11-20T08:00:00Z"


@dataclass(frozen=True)
class Look:
    """A pool as Batch shows it: ``nodes`` are (kind, state, tasks, more of the body)."""

    image: Image = IMAGES["windows-2022"]
    pin: str = "behind"
    sizes: tuple[int, int] = (3, 0)
    nodes: int | tuple[Mapping[str, Any], ...] = 3
    spot: int = 0
    marker: object = None
    more: Mapping[str, Any] = field(default_factory=dict)
    configuration: Mapping[str, Any] = field(default_factory=dict)
    shown: str | None = None
    allocated: str = OLD

    @property
    def version(self) -> str:
        """The pool's pin as Batch shows it."""
        return {"behind": self.image.behind, "target": self.image.target}.get(self.pin, self.pin)

    @property
    def target(self) -> ImageVersion:
        """The declared version."""
        return ImageVersion.parse(self.image.target)

    def mark(self, *sizes: int, **change: Any) -> EmptyMarker:
        """The marker of a rollout on a pool of these sizes."""
        product = ":".join(self.image.reference.values())
        size, spot = (*sizes, 0)[:2]
        return replace(EmptyMarker(size, spot, product, (self.image.behind, self.image.target)), **change)

    @property
    def view(self) -> VmPoolView:
        """The values that the table gets."""
        given = self.nodes if isinstance(self.nodes, tuple) else tuple({} for _ in range(self.nodes))
        bodies = [
            {
                "id": f"tvm-{number:02d}",
                "state": "idle",
                "isDedicated": number < len(given) - self.spot,
                "allocationTime": self.allocated,
                "virtualMachineInfo": {"imageReference": {"exactVersion": self.shown or self.version}},
                "runningTasksCount": 0,
                **each,
            }
            for number, each in enumerate(given)
        ]
        nodes = tuple(VmNode.from_json(each) for each in bodies)
        dedicated = sum(node.dedicated for node in nodes)
        body = {
            "state": "active",
            "allocationState": "steady",
            "virtualMachineConfiguration": {
                "imageReference": {**self.image.reference, "version": self.version},
                "nodeAgentSKUId": self.image.agent,
                **self.configuration,
            },
            "targetDedicatedNodes": self.sizes[0],
            "targetLowPriorityNodes": self.sizes[1],
            "currentDedicatedNodes": dedicated,
            "currentLowPriorityNodes": len(nodes) - dedicated,
            "metadata": [] if self.marker is None else [{"name": MARKER, "value": str(self.marker)}],
            **self.more,
        }
        return VmPoolView(VmPool.from_json(REF, body, etag="0x1"), nodes)
