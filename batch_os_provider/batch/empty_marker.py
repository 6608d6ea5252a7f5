"""The marker of the strategy ``empty``: how a pool was before it was emptied, in its metadata entry ``batch-os``.

A pool without nodes shows nothing of its size, formula or image before. So these must outlive the process that
empties the pool: a later run, or a person with ``batch-os restore``, puts the pool back from this text alone. Each
release reads the markers of all earlier ones; the marker of ``surge`` (``"v":1``) is in ``vm_pool``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

__all__ = ["EmptyMarker"]

_VERSION = 2


@dataclass(frozen=True)
class EmptyMarker:
    """How the pool was: target sizes, formula and interval, image; and how many nodes prove the change.

    ``formula`` is empty for a pool of fixed size. ``image`` names the image without its version. ``pins`` are the image
    versions that the pool has had or will get: the first is the one from before, the last is the declared one.
    """

    size: int
    spot: int
    image: str
    pins: tuple[str, ...]
    formula: str = ""
    interval: str = ""
    canary: int = 1

    def __str__(self) -> str:
        body = {"v": _VERSION, "size": self.size, "spot": self.spot, "canary": self.canary, "image": self.image}
        held = {"formula": self.formula, "interval": self.interval} if self.formula else {}
        return json.dumps({**body, "pins": list(self.pins), **held}, separators=(",", ":"), ensure_ascii=False)

    @classmethod
    def parse(cls, text: object) -> EmptyMarker | None:
        """Read a marker; None if the text is anything else."""
        try:
            body = json.loads(str(text))
            pins = body["pins"]
            if body["v"] != _VERSION or not isinstance(pins, list) or not all(isinstance(pin, str) for pin in pins):
                return None
            marker = cls(
                int(body["size"]),
                int(body["spot"]),
                str(body["image"]),
                tuple(pins),
                str(body.get("formula", "")),
                str(body.get("interval", "")),
                int(body["canary"]),
            )
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
            return None
        return marker if pins and min(marker.size, marker.spot) >= 0 and marker.canary > 0 else None

    @property
    def sizes(self) -> tuple[int, int]:
        """The target numbers of dedicated and spot nodes before."""
        return self.size, self.spot

    @property
    def canary_sizes(self) -> tuple[int, int]:
        """The target numbers while the canary is proven: dedicated nodes first, never more than the pool had."""
        dedicated = min(self.canary, self.size)
        return dedicated, min(self.canary - dedicated, self.spot)

    @property
    def way_back(self) -> str:
        """The image version from before the rollout."""
        return self.pins[0]

    @property
    def goal(self) -> str:
        """The image version that the rollout brings."""
        return self.pins[-1]

    def towards(self, version: str) -> EmptyMarker:
        """The marker of a rollout whose program now declares another version."""
        between = [pin for pin in self.pins[1:] if pin != version]
        return replace(self, pins=(self.way_back, *dict.fromkeys(between), version))
