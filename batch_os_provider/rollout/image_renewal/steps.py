"""The steps of a renewal of a VM pool, and its history, as frozen values.

The table (``decide``), the cycle (``surge``) and the rollout that carries out their steps share these types, so the
types have a module of their own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from batch_os_provider.batch.empty_marker import EmptyMarker, PoolImage
from batch_os_provider.batch.vm_pool import Marker
from batch_os_provider.batch.vm_target import Target
from batch_os_provider.batch.vm_view import VmPoolView
from batch_os_provider.rollout.actions import Done, Refuse, Wait

__all__ = [
    "Drain",
    "EnableAutoscale",
    "HoldAutoscale",
    "ImageAction",
    "ImageHistory",
    "RemoveNodes",
    "Repin",
    "Resize",
    "ResizeAll",
    "SetMarker",
    "Undo",
    "tally",
    "waited_for",
    "with_accepted",
    "with_failure",
]


@dataclass(frozen=True)
class ImageHistory:
    """What this run has done so far.

    ``marker`` is the marker that this run wrote or found, None after it is cleared. ``found`` are the nodes at the
    first read. ``failure`` ends the run after everything is undone. ``may_defer``: the failure needs only more time.
    ``asked`` are the nodes that were asked to leave; ``stayed`` are the nodes that did not leave in time. ``drains``
    counts the resizes to zero that Batch accepted from this run, ``sizes`` are the other targets that it accepted, of
    dedicated and spot nodes together.
    """

    marker: Marker | EmptyMarker | None = None
    found: frozenset[str] = frozenset()
    failure: Refuse | None = None
    may_defer: bool = False
    asked: frozenset[str] = frozenset()
    stayed: frozenset[str] = frozenset()
    drains: int = 0
    sizes: frozenset[tuple[int, int]] = frozenset()


@dataclass(frozen=True)
class SetMarker:
    """PATCH the pool's metadata: write the marker with the size at the start, or clear the marker (None)."""

    marker: Marker | EmptyMarker | None


@dataclass(frozen=True)
class Resize:
    """POST resize to this many dedicated nodes, and to so many spot nodes; None keeps their target."""

    size: int
    why: str
    spot: int | None = None


@dataclass(frozen=True)
class RemoveNodes:
    """POST removenodes: the nodes leave when their tasks are done. ``ours``: the cycle added them; they run no task."""

    nodes: tuple[str, ...]
    ours: bool = False


@dataclass(frozen=True)
class Drain:
    """POST resize to no nodes: dedicated and spot nodes leave when their tasks are done."""


@dataclass(frozen=True)
class ResizeAll:
    """POST resize to these targets of dedicated and spot nodes."""

    size: int
    spot: int
    why: str


@dataclass(frozen=True)
class HoldAutoscale:
    """POST disableautoscale; the formula is in the marker."""


@dataclass(frozen=True)
class EnableAutoscale:
    """POST enableautoscale with the formula and the interval of the marker."""

    formula: str
    interval: str


@dataclass(frozen=True)
class Repin:
    """PATCH virtualMachineConfiguration as it was read, with only the image version changed to this text.

    ``onto``: with another image, and its node agent SKU.
    """

    version: str
    onto: PoolImage | None = None


@dataclass(frozen=True)
class Undo:
    """A failure that has to be undone first: record the reason, then decide again."""

    failure: Refuse
    may_defer: bool = False


ImageAction = (
    Done
    | Wait
    | Refuse
    | SetMarker
    | Resize
    | RemoveNodes
    | Repin
    | Undo
    | Drain
    | ResizeAll
    | HoldAutoscale
    | EnableAutoscale
)


def tally(seen: VmPoolView, target: Target, *, spot: bool = False) -> str:
    """How many nodes are behind, in words (``spot``: spot nodes too); deallocated nodes are counted separately."""
    more = len(seen.nodes) - len(seen.dedicated) if spot else 0
    behind, judged, stopped = len(seen.behind(target, spot=spot)), len(seen.judged) + more, len(seen.deallocated)
    text = f"{behind} of {judged} nodes behind"
    return f"{text}, {stopped} deallocated" if stopped else text


def waited_for(action: ImageAction) -> str:
    """The kind of a step whose end takes Batch some time, such that two steps of a kind take about as long; else empty.

    A step may bring more nodes than the one before, which makes little difference: nodes come side by side.
    """
    if isinstance(action, Resize | ResizeAll):
        return "nodes come"
    return "nodes leave" if isinstance(action, RemoveNodes) else ""


def with_failure(history: ImageHistory, failure: Refuse, *, may_defer: bool = False) -> ImageHistory:
    """Record why the cycle has to be undone; the first reason stays."""
    if history.failure is not None:
        return history
    return replace(history, failure=failure, may_defer=may_defer)


def with_accepted(history: ImageHistory, action: ImageAction) -> ImageHistory:
    """Record a write that Batch accepted."""
    if isinstance(action, SetMarker):
        return replace(history, marker=action.marker)
    if isinstance(action, RemoveNodes) and not action.ours:
        return replace(history, asked=frozenset(action.nodes))
    if isinstance(action, Drain):
        return replace(history, drains=history.drains + 1)
    if isinstance(action, ResizeAll) or (isinstance(action, Resize) and action.spot is not None):
        return replace(history, sizes=history.sizes | {(action.size, action.spot or 0)})
    return history
