"""What has to be run for which measure, and how often: pure.

Several measures share runs, repeats are interleaved so that a disturbance hits all programs alike,
and all of it has to end within an hour.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass

from .names import AS_IS, NO_OP, OURS, PEER, YAML

MEASURES = ("P1", "P2", "P3", "P4", "P5", "P6", "P7", "P8", "P9", "P10")


@dataclass(frozen=True)
class Sizes:
    """How large everything is; what is measured is the same at any size."""

    one: int = 1
    few: int = 8
    many: int = 64
    lots: int = 256
    most: int = 1024
    """Once, and ours only."""
    stack: int = 200
    """Of the preview (P4) and the memory (P5)."""
    upgrade: float = 60.0
    """Seconds that the service takes for a pool, in the first repeat."""
    shift: float = 1.0
    """Seconds more in each further repeat. The peer reads every 5 s, and 60 is a multiple of that: without this it
    would read at the same point of its interval in every run, and its lag would be luck."""
    repeats: int = 3
    pairs: int = 5
    """Repeats of what is compared for calls and lag (P2, P3): one for each second of the peer's interval."""
    growth: int = 2
    """Repeats of what only the growth (P8) needs."""
    previews: int = 7
    doors: int = 3
    """Repeats of each `up` that compares the doors (P10)."""
    memory: int = 3
    starts: int = 20
    rates: int = 5
    requests: int = 6_000
    """In each of the repeats of the simulator's rate (P7)."""

    def to_json(self) -> dict[str, float]:
        """For the results."""
        return asdict(self)


FULL = Sizes()
QUICK = Sizes(
    1,
    2,
    4,
    6,
    8,
    5,
    upgrade=6.0,
    repeats=2,
    pairs=2,
    growth=1,
    previews=2,
    doors=1,
    memory=1,
    starts=3,
    rates=1,
    requests=500,
)


@dataclass(frozen=True)
class Up:
    """One `pulumi up`."""

    program: str
    pools: int
    upgrade: float


def repeats(measures: Collection[str], sizes: Sizes) -> dict[tuple[str, int], int]:
    """How often each program is brought up with how many pools."""
    wanted: dict[tuple[str, int], int] = {}

    def want(times: int, pools: int, *programs: str) -> None:
        for program in programs:
            wanted[program, pools] = max(times, wanted.get((program, pools), 0))

    if "P8" in measures:
        for pools in (sizes.few, sizes.lots):
            want(sizes.growth, pools, OURS, PEER, NO_OP)
        want(sizes.repeats, sizes.many, OURS, PEER, NO_OP)
        want(1, sizes.most, OURS, NO_OP)
    if "P1" in measures:
        want(sizes.repeats, sizes.one, OURS, PEER, NO_OP)
        want(sizes.repeats, sizes.many, OURS, PEER, NO_OP)
        want(1, sizes.many, AS_IS)
    if {"P2", "P3"} & set(measures):
        want(sizes.pairs, sizes.many, OURS, PEER)
    return wanted


def of_doors(sizes: Sizes) -> Iterator[Up]:
    """The runs that compare the doors, in turn; the lengths of upgrades are as in ``interleaved``."""
    for number in range(sizes.doors):
        for pools in (sizes.one, sizes.many):
            for program in (OURS, YAML):
                yield Up(program, pools, sizes.upgrade + number * sizes.shift)


def interleaved(wanted: dict[tuple[str, int], int], sizes: Sizes) -> Iterator[Up]:
    """All runs but those of the peer as is, round by round; the largest stack comes last, alone.

    The peer as is takes a quarter of an hour in which it hardly does anything, so it runs beside the others.
    """
    order = sorted((pools, program) for program, pools in wanted if program != AS_IS)
    rounds = max((wanted[program, pools] for pools, program in order), default=0)
    last = []
    for number in range(rounds):
        for pools, program in order:
            if number < wanted[program, pools]:
                run = Up(program, pools, sizes.upgrade + number * sizes.shift)
                if pools == sizes.most:
                    last.append(run)
                else:
                    yield run
    yield from last
