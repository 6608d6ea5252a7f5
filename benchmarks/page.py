"""The tables of docs/performance.md, from the results: pure.

The numbers of a page are those of a run, and the prose around them is written by hand.
`<!-- bench: NAME -->` before a table marks it as this module's. A table of what was not run has a head and no rows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from .figures import EMPTY, Figure, figure, ratio
from .measures import (
    Measures,
    excess,
    lag,
    overhead,
    reads,
    requests,
    resident,
    threads,
    waiting,
    wall,
)
from .names import AS_IS, NATIVE, NO_OP, OURS, PEER, YAML

PATH = Path(__file__).resolve().parent.parent / "docs" / "performance.md"
MARK = re.compile(r"(?<=<!-- bench: )(?P<name>[\w-]+)(?P<open> -->\n\n)(?P<text>(?:\|[^\n]*\n)*)")
ROLES = ("engine", "plugin", "program", "language host", "simulator")

Rows = list[Sequence[str]]


class PageError(Exception):
    """A mark that no table fills, or a table that no mark shows."""


def grid(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of Markdown."""
    lines = (head, ["---"] * len(head), *rows)
    return "".join(f"| {' | '.join(line)} |\n".replace("| --- |", "|---|").replace(" --- |", "---|") for line in lines)


class Tables:
    """All tables by name."""

    def __init__(self, results: Mapping[str, Any]) -> None:
        self._results = results
        self._measures = Measures(results)
        self._ups = self._measures.ups
        self._sizes = self._measures.sizes

    def all(self) -> dict[str, str]:
        """Mark -> table."""
        return {
            "machine": self.machine(),
            "aims": self.aims(),
            "walls": self.walls(),
            "reads": self.reads(),
            "previews": self.repeats("previews", "preview"),
            "memory": self.memory(),
            "starts": self.repeats("starts", "first Check answered after"),
            "imports": self.imports(),
            "growth": self.growth(),
            "lids": self.lids(),
            "each": self.each(),
            "renewals": self.renewals(),
            "doors": self.doors(),
            "waits": self.waits(),
        }

    def machine(self) -> str:
        """What it ran on."""
        names = {
            "cores": "Cores",
            "memory": "Memory, GiB",
            "python": "Python",
            "pulumi": "Pulumi CLI",
            "sdk": "Pulumi SDK",
            "azure-batch": "azure-batch",
        }
        machine = self._results["machine"]
        return grid(("What", "Which"), [(text, str(machine[name])) for name, text in names.items()])

    def aims(self) -> str:
        """The table of the aims."""
        s = self._sizes
        asked = {
            "P1": (
                f"{s['many']} pools, upgrades of {s['upgrade']:g} s, `--parallel {s['many']}`: wall / wall of one",
                "<= 1.2",
            ),
            "P2": ("GETs begun after the last 202 and before the first pool is done, ours / widened peer", "<= 1/20"),
            "P3": ("median lag service-done to resource-done, ours / widened peer, in the runs of P2", "< 1"),
            "P4": (f"preview of {s['stack']} unchanged / the same stack of no-op dynamic resources", "<= 1.3"),
            "P5": (f"plugin memory at {s['stack']} waiting / at one", "<= 1.5"),
            "P6": ("time to the first Check answered / that of a bare dynamic resource", "<= 1.3"),
            "P7": ("simulator: signed GETs of a pool per second on one core", ">= 2,000"),
            "P8": (f"growth from {s['few']} to {s['lots']} pools", "wall flat; requests by endpoints"),
            "P9": ("renewal of 20 and 200 VM nodes: time beyond the steps of Batch itself", "<= 5 %"),
            "P10": (
                f"native provider from YAML / dynamic one: preview of {s['stack']}; wall and reads as P1 and P2",
                "<= 1.2 each",
            ),
        }
        rows = [(got.name, *asked[got.name], got.text, got.verdict) for got in self._measures.all()]
        return grid(("", "Measure", "Aim", "Got", "Verdict"), rows)

    def walls(self) -> str:
        """P1 in full."""
        one, many = int(self._sizes["one"]), int(self._sizes["many"])
        rows: Rows = []
        for program in (OURS, PEER, AS_IS, NO_OP):
            single = PEER if program == AS_IS else program
            if not (self._ups.of(program, many) and self._ups.of(single, one)):
                continue
            first, last = figure(self._ups.of(single, one), wall), figure(self._ups.of(program, many), wall)
            beyond = figure(self._ups.of(program, many), excess)
            net = EMPTY
            if program != NO_OP and self._ups.of(NO_OP, many) and self._ups.of(NO_OP, one):
                base, top = (figure(self._ups.of(NO_OP, pools), wall).median for pools in (one, many))
                net = f"{(last.median - top) / (first.median - base):.2f}"
            rows.append(
                (program, first.text(" s"), last.text(" s"), f"{ratio(last, first):.2f}", net, beyond.text(" s"))
            )
        head = ("Program", "One pool", f"{many} pools", "Ratio", "Ratio less no-op", f"{many} pools beyond one upgrade")
        return grid(head, rows)

    def reads(self) -> str:
        """P2 by operation, and P3."""
        many = int(self._sizes["many"])
        runs = {program: self._ups.of(program, many) for program in (OURS, PEER)}
        if not all(runs.values()):
            return grid(("Read", OURS, PEER), [])
        names = sorted({name for each in runs.values() for run in each for name in waiting(run).reads})
        rows: Rows = [
            (
                f"`{name}`",
                *(
                    figure(each, lambda run, name=name: float(waiting(run).reads.get(name, 0))).text(digits=0)  # type: ignore[misc]
                    for each in runs.values()
                ),
            )
            for name in names
        ]
        values: tuple[tuple[str, Callable[[Mapping[str, Any]], float], str, int], ...] = (
            ("all of them", reads, "", 0),
            ("length of the window", lambda run: waiting(run).seconds, " s", 1),
            ("a minute", lambda run: waiting(run).per_minute, "", 0),
            ("lag, median of a run", lag, " s", 2),
            ("lag, the longest of a run", lambda run: float(run["lag"]["most"]), " s", 2),
        )
        rows += [
            (text, *(figure(each, value).text(unit, digits) for each in runs.values()))
            for text, value, unit, digits in values
        ]
        return grid(("Read", OURS, PEER), rows)

    def repeats(self, name: str, what: str) -> str:
        """P4 and P6: seconds of both programs."""
        taken = self._results.get(name, {})
        rows = [(program, figure(values, float).text(" s", 3), str(len(values))) for program, values in taken.items()]  # type: ignore[arg-type]
        return grid(("Program", what.capitalize(), "Repeats"), sorted(rows, reverse=True))

    def memory(self) -> str:
        """P5 in full."""
        rows: Rows = []
        for pools, samples in sorted(self._results.get("memory", {}).items(), key=lambda item: int(item[0])):
            texts = (figure(samples, lambda run, name=name: float(run[name])).text(unit, 0) for name, unit in _PLUGIN)  # type: ignore[misc]
            rows.append((pools, *texts, str(len(samples))))
        return grid(("Pools that wait", "Resident", "Private", "Threads", "Repeats"), rows)

    def imports(self) -> str:
        """What the start of a plugin imports that a bare one does not."""
        rows = [(f"`{name}`", f"{taken:.1f} ms") for name, taken in self._results.get("imports", {}).get(OURS, [])]
        return grid(("Package", "Its own time, profiled"), rows)

    def growth(self) -> str:
        """P8 in full."""
        rows: Rows = []
        for pools in sorted({size for program in (OURS, PEER, AS_IS, NO_OP) for size in self._ups.sizes(program)}):
            base = self._ups.of(NO_OP, pools)
            for program in (OURS, PEER, AS_IS, NO_OP):
                runs = self._ups.of(program, pools)
                if runs:
                    rows.append((f"{pools:,}", program, *_grown(runs, base if program != NO_OP else [])))
        head = (
            "Pools",
            "Program",
            "Wall",
            "less no-op",
            "Requests",
            "Reads a minute",
            "Plugin",
            "less no-op",
            "Threads",
        )
        return grid(head, rows)

    def lids(self) -> str:
        """Where the time goes as our stacks grow."""
        rows: Rows = []
        for pools in self._ups.sizes(OURS):
            runs = self._ups.of(OURS, pools)
            phases = ("first", "last")
            rows.append(
                (
                    f"{pools:,}",
                    *(figure(runs, lambda run, name=name: float(run[name])).text(" s") for name in phases),  # type: ignore[misc]
                    figure(runs, lambda run: float(run["upgrade"]["median"])).text(" s"),
                    figure(runs, lambda run: float(run["lag"]["most"])).text(" s"),
                    *(
                        figure(runs, lambda run, role=role: float(run["cpu"].get(role, 0))).text(" s")  # type: ignore[misc]
                        for role in ROLES
                    ),
                )
            )
        head = ("Pools", "First 202 at", "Last 202 at", "One upgrade", "Longest lag", *(f"CPU of {r}" for r in ROLES))
        return grid(head, rows)

    def each(self) -> str:
        """What one pool more costs, from the two largest of our stacks and of those that do nothing."""
        rows: Rows = []
        for program in (OURS, NO_OP):
            sizes = self._ups.sizes(program)[-2:]
            if len(sizes) < 2:  # noqa: PLR2004 - a slope has two ends
                continue
            low, high = (self._ups.of(program, size) for size in sizes)
            values = (
                (wall, 1000, " ms"),
                (lambda run: float(run["cpu"].get("engine", 0)), 1000, " ms"),
                (lambda run: float(run["cpu"].get("plugin", 0)), 1000, " ms"),
                (resident, 1024, " KB"),
            )
            more = sizes[1] - sizes[0]
            slopes = [
                Figure.of([(figure(high, value).median - figure(low, value).median) * factor / more]).text(unit, 0)
                for value, factor, unit in values
            ]
            rows.append((program, f"{sizes[0]:,} to {sizes[1]:,}", *slopes))
        return grid(("Program", "Between", "Wall", "CPU of engine", "CPU of plugin", "Plugin memory"), rows)

    def renewals(self) -> str:
        """P9 in full."""
        rows = [
            (
                f"{run['nodes']} {run['system']}",
                run["surge"],
                run["max_unavailable"],
                str(run["rounds"]),
                f"{run['wall']:,.0f} s",
                f"{run['bound']:,.0f} s",
                f"{overhead(run):.1%}",
                str(run["calls"]),
                f"{60 * run['reads'] / run['wall']:.0f}",
            )
            for run in self._results.get("renewals", [])
        ]
        head = ("Nodes", "`surge`", "`max_unavailable`", "Rounds", "Wall", "Lower bound", "Beyond it", "Calls")
        return grid((*head, "Reads a minute"), rows)

    def doors(self) -> str:
        """P10: preview, start and memory."""
        taken = self._results.get("doors", {})
        previews, starts = taken.get("previews", {}), taken.get("starts", {})
        rows: Rows = []
        for program in (OURS, NATIVE, YAML):
            if program not in previews:
                continue
            preview = Figure.of(previews[program])
            started = starts.get(program, [])
            texts = [
                figure(started, lambda each, name=name: float(each[name])).text(unit, digits)  # type: ignore[misc]
                for name, unit, digits in _START
                if started
            ] or ["as from YAML"] * len(_START)
            rows.append((program, preview.text(" s", 2), f"{ratio(preview, Figure.of(previews[OURS])):.2f}", *texts))
        head = (f"Preview of {self._sizes['stack']}", "to ours", "First check answered after", "Memory then")
        return grid(("Program", *head), rows)

    def waits(self) -> str:
        """P10: many pools that wait."""
        one, many = int(self._sizes["one"]), int(self._sizes["many"])
        rows: Rows = []
        for program in (OURS, YAML):
            single, runs = self._measures.doors.of(program, one), self._measures.doors.of(program, many)
            if single and runs:
                first, last = figure(single, wall), figure(runs, wall)
                rows.append(
                    (
                        program,
                        first.text(" s"),
                        last.text(" s"),
                        f"{ratio(last, first):.2f}",
                        figure(runs, reads).text(digits=0),
                        figure(runs, lag).text(" s", 2),
                        figure(runs, resident).text(" MB", 0),
                        figure(runs, lambda run: float(run["cpu"].get("plugin", 0))).text(" s"),
                        figure(runs, lambda run: sum(run["cpu"].values()) - run["cpu"]["simulator"]).text(" s"),
                    )
                )
        head = ("One pool", f"{many} pools", "Ratio", "Reads while all wait", "Lag", "Plugin", "CPU of plugin")
        return grid(("Program", *head, "CPU of all but the simulator"), rows)


_START = (("seconds", " s", 3), ("rss", " MB", 0))
_PLUGIN = (("rss", " MB"), ("private", " MB"), ("threads", ""))


def _grown(runs: list[dict[str, Any]], base: list[dict[str, Any]]) -> list[str]:
    took, memory = figure(runs, wall), figure(runs, resident)
    windows = [waiting(run) for run in runs if "waiting" in run]
    minute = EMPTY
    if windows:
        rates = figure([{"rate": each.per_minute} for each in windows], lambda each: float(each["rate"]))
        minute = rates.text(digits=0) + ("" if all(each.all_wait for each in windows) else " *")
    return [
        took.text(" s"),
        Figure.of([took.median - figure(base, wall).median]).text(" s") if base else EMPTY,
        figure(runs, requests).text(digits=0),
        minute,
        memory.text(" MB", 0),
        Figure.of([memory.median - figure(base, resident).median]).text(" MB", 0) if base else EMPTY,
        figure(runs, threads).text(digits=0),
    ]


def renewed(page: str, tables: Mapping[str, str]) -> str:
    """A page with its tables as they should be.

    Raises:
        PageError: marks and tables do not fit.
    """
    marks = [match["name"] for match in MARK.finditer(page)]
    if sorted(marks) != sorted(tables):
        raise PageError(f"marks without a table, or tables without a mark: {sorted({*marks} ^ {*tables}) or marks}")
    return MARK.sub(lambda match: match["name"] + match["open"] + tables[match["name"]], page)
