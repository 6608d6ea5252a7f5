"""The marker of the strategy ``empty``: how a pool was before it was emptied, in its metadata entry ``batch-os``.

A pool without nodes shows nothing of its size, formula or image before. So these must outlive the process that
empties the pool: a later run, or a person with ``batch-os restore``, puts the pool back from this text alone. Each
release reads the markers of all earlier ones; the marker of ``surge`` (``"v":1``) is in ``vm_pool``.

Version 2 knows one image with several versions. Version 4 is written only by a rollout that moves the pool to another
image: it has the node agent SKU from before, and each image that the pool may get. No document has a limit for the
length of a metadata value, so a marker names an image only where it differs.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

__all__ = ["EmptyMarker", "PoolImage"]

_VERSION, _WITH_MOVES = 2, 4


@dataclass(frozen=True)
class PoolImage:
    """What the nodes of a pool are made from: the image without its version, the version, and the node agent SKU.

    An empty ``agent`` is unknown.
    """

    name: str
    version: str
    agent: str = ""

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


@dataclass(frozen=True)
class EmptyMarker:
    """How the pool was: target sizes, formula and interval, image; and how many nodes prove the change.

    ``formula`` is empty for a pool of fixed size. ``image`` names the image without its version. ``pins`` are the image
    versions of it that the pool has had or will get, the first one from before. ``moves`` are the other images that it
    will get after them; the last of all is the declared one. ``agent`` is the node agent SKU from before, known only
    with ``moves``.
    """

    size: int
    spot: int
    image: str
    pins: tuple[str, ...]
    formula: str = ""
    interval: str = ""
    canary: int = 1
    agent: str = ""
    moves: tuple[PoolImage, ...] = ()

    def __str__(self) -> str:
        version = _WITH_MOVES if self.moves else _VERSION
        body = {"v": version, "size": self.size, "spot": self.spot, "canary": self.canary, "image": self.image}
        moved = [[each.name, each.version, each.agent] for each in self.moves]
        more = {"agent": self.agent, "moves": moved} if moved else {}
        held = {"formula": self.formula, "interval": self.interval} if self.formula else {}
        return json.dumps({**body, "pins": list(self.pins), **more, **held}, separators=(",", ":"), ensure_ascii=False)

    @classmethod
    def parse(cls, text: object) -> EmptyMarker | None:
        """Read a marker; None if the text is anything else."""
        try:
            body = json.loads(str(text))
            pins = body["pins"]
            if body["v"] not in (_VERSION, _WITH_MOVES) or not _are_texts(pins):
                return None
            has_moves = body["v"] == _WITH_MOVES
            moves = body["moves"] if has_moves else []
            if not isinstance(moves, list) or bool(moves) is not has_moves or not all(map(_are_texts, moves)):
                return None
            marker = cls(
                int(body["size"]),
                int(body["spot"]),
                str(body["image"]),
                tuple(pins),
                str(body.get("formula", "")),
                str(body.get("interval", "")),
                int(body["canary"]),
                str(body["agent"]) if moves else "",
                tuple(PoolImage(name, pin, agent) for name, pin, agent in moves),
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
    def images(self) -> tuple[PoolImage, ...]:
        """What the pool has been made from and will be: the first is from before, the last is the declared one."""
        return (*(PoolImage(self.image, pin, self.agent) for pin in self.pins), *self.moves)

    @property
    def before(self) -> PoolImage:
        """The image from before the rollout."""
        return self.images[0]

    @property
    def goal(self) -> PoolImage:
        """The image that the rollout brings."""
        return self.images[-1]

    def towards(self, goal: PoolImage, agent: str = "") -> EmptyMarker:
        """The marker of a rollout whose program now declares this; ``agent`` is that of the image from before."""
        if not self.moves and goal.name.casefold() == self.image.casefold() and goal.agent == "":
            between = [pin for pin in self.pins[1:] if pin != goal.version]
            return replace(self, pins=(self.way_back, *dict.fromkeys(between), goal.version))
        others = dict.fromkeys(each for each in self.moves if each != goal)
        return replace(self, agent=self.agent or agent, moves=(*others, goal))


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)
