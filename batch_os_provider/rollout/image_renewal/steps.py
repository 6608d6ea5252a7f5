"""The steps of a renewal of a VM pool, as frozen values: what is asked for, what was done, what comes next.

The table (``decide``), the cycle (``surge``) and the rollout that carries their steps out speak
of the same few things, and none of them owns these.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from batch_os_provider.batch.vm_pool import ImageVersion, Marker, VmPoolView
from batch_os_provider.rollout.actions import Done, Refuse, Wait

__all__ = [
    "ImageAction",
    "ImageHistory",
    "RemoveNodes",
    "Repin",
    "Resize",
    "SetMarker",
    "Undo",
    "tally",
    "with_failure",
]


@dataclass(frozen=True)
class ImageHistory:
    """What this run has done so far.

    ``noted`` is the marker that it wrote or found, while it stands, and ``found`` the nodes that were there
    at its first look. ``failure`` ends the run as soon as
    everything is undone; ``may_defer``: time alone would mend it. ``asked`` are the nodes that were
    asked to leave, ``stayed`` those that did not in time.
    """

    marker: Marker | None = None
    found: frozenset[str] = frozenset()
    failure: Refuse | None = None
    may_defer: bool = False
    asked: frozenset[str] = frozenset()
    stayed: frozenset[str] = frozenset()


@dataclass(frozen=True)
class SetMarker:
    """PATCH the pool's metadata: write the size that we start from, or (None) clear the marker."""

    marker: Marker | None


@dataclass(frozen=True)
class Resize:
    """POST resize to this many dedicated nodes; spot nodes keep their target."""

    size: int
    why: str


@dataclass(frozen=True)
class RemoveNodes:
    """POST removenodes: these leave when their tasks are done. ``ours`` were added by the cycle and run nothing yet."""

    nodes: tuple[str, ...]
    ours: bool = False


@dataclass(frozen=True)
class Repin:
    """PATCH virtualMachineConfiguration as read, with only the image version changed: to the text as declared."""

    version: str


@dataclass(frozen=True)
class Undo:
    """Something failed that has to be undone first: remember why, then decide again."""

    failure: Refuse
    may_defer: bool = False


ImageAction = Done | Wait | Refuse | SetMarker | Resize | RemoveNodes | Repin | Undo


def tally(seen: VmPoolView, target: ImageVersion) -> str:
    """How many nodes are behind, in words; deallocated nodes are counted apart."""
    behind, judged, stopped = len(seen.behind(target.numbers)), len(seen.judged), len(seen.deallocated)
    text = f"{behind} of {judged} nodes behind"
    return f"{text}, {stopped} deallocated" if stopped else text


def with_failure(history: ImageHistory, failure: Refuse, *, may_defer: bool = False) -> ImageHistory:
    """Remember why the cycle has to be undone; the first reason counts."""
    if history.failure is not None:
        return history
    return replace(history, failure=failure, may_defer=may_defer)
