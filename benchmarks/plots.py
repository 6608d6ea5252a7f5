"""The two plots of docs/performance.md.

How a thing grows is seen, not read. matplotlib is imported here alone, since it lives in the bench's own
environment; `series` and `digest` need none of it, so that `make test` can check that a plot shows the results.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .figures import figure
from .measures import waiting, wall
from .names import AS_IS, NO_OP, OURS, PEER
from .results import Ups

FOLDER = Path(__file__).resolve().parent.parent / "docs"
COLOURS = {OURS: "#0b62a4", PEER: "#c2571a", AS_IS: "#7a2d8c", NO_OP: "#6b6b6b"}
MARKERS = {OURS: "o", PEER: "s", AS_IS: "^", NO_OP: "x"}


@dataclass(frozen=True)
class Plot:
    """One plot: what is on its axis, and the points of each program."""

    name: str
    label: str
    lines: Mapping[str, list[tuple[int, float]]]

    @property
    def path(self) -> Path:
        """Where it is."""
        return FOLDER / f"performance-{self.name}.svg"

    @property
    def digest(self) -> str:
        """What its points are, in short."""
        return hashlib.sha256(json.dumps(self.lines, sort_keys=True).encode()).hexdigest()


def plots(results: Mapping[str, Any]) -> tuple[Plot, Plot]:
    """Both plots of the results: wall, and reads a minute while pools wait."""
    ups = Ups(results)
    walls, rates = {}, {}
    for program in (OURS, PEER, AS_IS, NO_OP):
        runs = {pools: ups.of(program, pools) for pools in ups.sizes(program)}
        if runs:
            walls[program] = [(pools, round(figure(each, wall).median, 1)) for pools, each in runs.items()]
        if runs and program != NO_OP:
            rates[program] = [
                (pools, round(figure(each, lambda run: waiting(run).per_minute).median, 1))
                for pools, each in runs.items()
            ]
    return Plot("wall", "wall of pulumi up, s", walls), Plot("requests", "reads a minute while pools wait", rates)


def draw(plot: Plot) -> None:
    """Write a plot: the same bytes for the same points, and the digest in it."""
    import matplotlib as mpl  # noqa: PLC0415 - only in the bench's environment

    mpl.use("svg")
    from matplotlib import pyplot as plt  # noqa: PLC0415 - as above
    from matplotlib.ticker import FuncFormatter, NullLocator  # noqa: PLC0415 - as above

    mpl.rcParams.update({"svg.hashsalt": plot.name, "svg.fonttype": "none", "font.size": 10})
    image, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    plain = FuncFormatter(lambda value, _: f"{value:,g}")
    for program, points in plot.lines.items():
        axes.loglog(*zip(*points, strict=True), label=program, color=COLOURS[program], marker=MARKERS[program])
    sizes = sorted({pools for points in plot.lines.values() for pools, _ in points})
    axes.set_xticks(sizes)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(plain)
    axes.yaxis.set_major_formatter(plain)
    axes.set_xlabel("pools")
    axes.set_ylabel(plot.label)
    axes.grid(visible=True, which="major", alpha=0.3)
    if plot.lines:
        axes.legend()
    image.savefig(plot.path, metadata={"Date": None, "Creator": None, "Description": plot.digest})
    plt.close(image)


def is_drawn(plot: Plot) -> bool:
    """Whether the plot that is there has these points."""
    return plot.path.exists() and plot.digest in plot.path.read_text(encoding="utf-8")
