"""The measures P1 to P10: what was aimed at, what came, and whether that is met. Pure, from the results.

The rules by which a number is judged stand in one place, away from how it is got and how it is shown.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .evidence import Window
from .figures import Figure, figure, ratio
from .names import AS_IS, NO_OP, OURS, PEER, YAML
from .results import Ups

WALL_AIM = 1.2
READS_AIM = 1 / 20
LAG_AIM = 1.0
PREVIEW_AIM = 1.3
MEMORY_AIM = 1.5
START_AIM = 1.3
RATE_AIM = 2000
LOOP_AIM = 0.05
DOOR_AIM = 1.2
READS_GROWTH = 1.5
"""How many times the requests a minute of the fewest pools the most may send and still follow endpoints, not pools."""


@dataclass(frozen=True)
class Got:
    """One measure."""

    name: str
    text: str = "not measured"
    met: bool | None = None

    @property
    def verdict(self) -> str:
        """In a word."""
        return {None: "open", True: "met", False: "**missed**"}[self.met]


def wall(run: Mapping[str, Any]) -> float:
    """The whole command, in seconds."""
    return float(run["wall"])


def excess(run: Mapping[str, Any]) -> float:
    """What the command took beyond the upgrade of one pool, which differs from repeat to repeat; in seconds."""
    return float(run["wall"]) - float(run.get("upgrade", {}).get("median", 0.0))


def lag(run: Mapping[str, Any]) -> float:
    """The median of a run from a pool that is done to its resource that is done, in seconds."""
    return float(run["lag"]["median"])


def waiting(run: Mapping[str, Any]) -> Window:
    """The time in which pools wait."""
    return Window(**run["waiting"])


def reads(run: Mapping[str, Any]) -> float:
    """The reads of that time."""
    return float(waiting(run).count)


def resident(run: Mapping[str, Any]) -> float:
    """The plugin's memory, in megabytes; not a number where it ended before the first sample."""
    return float(run.get("plugin", {}).get("rss", math.nan))


def threads(run: Mapping[str, Any]) -> float:
    """The plugin's threads; not a number where it ended before the first sample."""
    return float(run.get("plugin", {}).get("threads", math.nan))


def requests(run: Mapping[str, Any]) -> float:
    """All requests of a run."""
    return float(sum(run["requests"].values()))


def overhead(run: Mapping[str, Any]) -> float:
    """How much longer a renewal took than the steps of Batch in it, as a share of these."""
    return float(run["wall"]) / float(run["bound"]) - 1


class Measures:
    """All of them."""

    def __init__(self, results: Mapping[str, Any]) -> None:
        self.results = results
        self.sizes: Mapping[str, Any] = results["sizes"]
        self.ups = Ups(results)
        self.doors = Ups(results.get("doors", {}))

    def all(self) -> list[Got]:
        """P1 to P10; one without its runs is open."""
        found = []
        judges = (self.p1, self.p2, self.p3, self.p4, self.p5, self.p6, self.p7, self.p8, self.p9, self.p10)
        for number, judge in enumerate(judges, 1):
            text, met = judge() if self._has(number) else (Got("").text, None)
            found.append(Got(f"P{number}", text, met))
        return found

    def _has(self, number: int) -> bool:
        one, few, many, lots = (int(self.sizes[name]) for name in ("one", "few", "many", "lots"))
        both = ((OURS, many), (PEER, many))
        needed: dict[int, tuple[tuple[str, int], ...]] = {
            1: (*both, (OURS, one), (PEER, one)),
            2: both,
            3: both,
            8: ((OURS, few), (OURS, lots), (NO_OP, few), (NO_OP, lots)),
        }
        if number in needed:
            return all(self.ups.of(program, pools) for program, pools in needed[number])
        if number == 10:  # noqa: PLR2004 - the measure
            return all(self.doors.of(program, pools) for program in (OURS, YAML) for pools in (one, many))
        return {4: "previews", 5: "memory", 6: "starts", 7: "rate", 9: "renewals"}[number] in self.results

    def up(self, program: str, size: str, value: Callable[[Mapping[str, Any]], float]) -> Figure:
        """A value of the runs of a program at one of the sizes."""
        return figure(self.ups.of(program, int(self.sizes[size])), value)

    def grown(self, program: str) -> float:
        """The wall of many pools to that of one; the peer as is is the widened one where there is one pool."""
        single = PEER if program == AS_IS else program
        return ratio(self.up(program, "many", wall), self.up(single, "one", wall))

    def p1(self) -> tuple[str, bool]:
        """As fast as one."""
        ours = self.grown(OURS)
        text = f"{ours:.2f}; widened peer {self.grown(PEER):.2f}"
        if self.ups.of(AS_IS, int(self.sizes["many"])):
            text += f", peer as is {self.grown(AS_IS):.1f}"
        return text, ours <= WALL_AIM

    def p2(self) -> tuple[str, bool]:
        """Few calls."""
        ours, peer = self.up(OURS, "many", reads), self.up(PEER, "many", reads)
        share = ratio(ours, peer)
        text = f"1/{1 / share:.0f}: {ours.text(digits=0)} to {peer.text(digits=0)}"
        if not all(
            waiting(run).all_wait for name in (OURS, PEER) for run in self.ups.of(name, int(self.sizes["many"]))
        ):
            return f"{text}, but the first pool was done before the last was asked for", False
        return text, share <= READS_AIM

    def p3(self) -> tuple[str, bool]:
        """Short lag."""
        ours, peer = self.up(OURS, "many", lag), self.up(PEER, "many", lag)
        share = ratio(ours, peer)
        return f"{share:.2f}: {ours.text(' s', 2)} to {peer.text(' s', 2)}", share < LAG_AIM

    def p4(self) -> tuple[str, bool]:
        """A preview that does not feel like 200."""
        return _two(self.results["previews"], PREVIEW_AIM)

    def p5(self) -> tuple[str, bool]:
        """Memory follows need."""
        taken = self.results["memory"]
        most, one = (figure(taken[str(self.sizes[size])], lambda run: float(run["rss"])) for size in ("stack", "one"))
        share = ratio(most, one)
        return f"{share:.2f}: {most.text(' MB', 0)} to {one.text(' MB', 0)}", share <= MEMORY_AIM

    def p6(self) -> tuple[str, bool]:
        """A plugin that starts as one that does nothing."""
        return _two(self.results["starts"], START_AIM)

    def p7(self) -> tuple[str, bool]:
        """A simulator that is not the lid."""
        rate, hello = self.results["rate"]["simulator"], self.results["rate"]["hello"]
        text = (
            f"{rate['median']:,.0f} ({rate['least']:,.0f} to {rate['most']:,.0f}); "
            f"the framework's hello world {hello['median']:,.0f}, ratio {self.results['rate']['ratio']:.2f}"
        )
        return text, rate["median"] >= RATE_AIM

    def p8(self) -> tuple[str, bool]:
        """Flat growth."""
        flat = self.net("lots") / self.net("few")
        few, lots = (self.up(OURS, size, lambda run: waiting(run).per_minute).median for size in ("few", "lots"))
        sizes = f"at {self.sizes['few']} and {self.sizes['lots']}"
        text = (
            f"{sizes}: wall less no-op {self.net('few'):.1f} and {self.net('lots'):.1f} s ({flat:.2f}); "
            f"reads a minute {few:.0f} and {lots:.0f}"
        )
        return text, flat <= WALL_AIM and lots <= READS_GROWTH * few

    def p9(self) -> tuple[str, bool]:
        """A renewal that takes little longer than Batch does."""
        shares = [overhead(run) for run in self.results["renewals"]]
        return f"{min(shares):.1%} to {max(shares):.1%}", max(shares) <= LOOP_AIM

    def p10(self) -> tuple[str, bool]:
        """A native door that costs no more than the dynamic one."""
        one, many = int(self.sizes["one"]), int(self.sizes["many"])
        previews = self.results["doors"]["previews"]
        preview = ratio(Figure.of(previews[YAML]), Figure.of(previews[OURS]))
        walls = [ratio(*(figure(self.doors.of(door, pools), wall) for pools in (many, one))) for door in (YAML, OURS)]
        calls = ratio(*(figure(self.doors.of(door, many), reads) for door in (YAML, OURS)))
        text = (
            f"preview {preview:.2f}; wall of {many} to one {walls[0]:.2f} (dynamic {walls[1]:.2f}); reads while all "
            f"wait {calls:.2f}"
        )
        return text, preview <= DOOR_AIM and walls[0] <= WALL_AIM and calls <= DOOR_AIM

    def net(self, size: str) -> float:
        """Our wall at a size less that of as many resources that do nothing, in seconds."""
        return self.up(OURS, size, wall).median - self.up(NO_OP, size, wall).median


def _two(taken: Mapping[str, list[float]], aim: float) -> tuple[str, bool]:
    ours, no_op = Figure.of(taken[OURS]), Figure.of(taken[NO_OP])
    share = ratio(ours, no_op)
    return f"{share:.2f}: {ours.text(' s', 2)} to {no_op.text(' s', 2)}", share <= aim
