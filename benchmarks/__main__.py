"""Measure, and write docs/performance.md.

    make bench                        all measures (an hour; leave the machine alone)
    make bench ARGS="P2 P3"           these only; the rest of the page keeps its results
    make bench ARGS=quick             everything at small size, to try the harness; shown, never kept
    make bench ARGS=page              write the page and its plots from results.json, without a run
    make bench ARGS="page --check"    change nothing; exit with 1 where the page is not that of results.json

Results are kept after each run, so that a bench that fails loses only the run that failed.
"""

from __future__ import annotations

import argparse
import difflib
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn

from . import page, plots, results
from .names import AS_IS, NATIVE, NO_OP, OURS, YAML
from .plan import FULL, MEASURES, QUICK, Sizes, Up, interleaved, of_doors, repeats

ROOT = Path(__file__).resolve().parent.parent


@dataclass
class Bench:
    """Runs measures, and keeps each result as it comes."""

    sizes: Sizes
    known: dict[str, Any]
    keep: Callable[[dict[str, Any]], None]
    template: Path
    began: float = field(default_factory=time.monotonic)
    _renewed: set[tuple[str, int]] = field(default_factory=set)

    def run(self, measures: Collection[str]) -> None:
        """Run what the measures need."""
        from . import runs, start  # noqa: PLC0415 - psutil and grpc are not needed to write the page

        self.known["machine"], self.known["sizes"] = described(), self.sizes.to_json()
        if "P9" in measures:
            self._tell("renewals of VM pools")
            self._set(renewals=renewals())
        if "P7" in measures:
            self._tell("simulator's rate")
            self._set(rate=rate(self.sizes))
        if "P6" in measures:
            self._tell("starts of the plugin")
            taken, imports = start.starts(self.template, self.sizes.starts)
            self._set(starts=taken, imports=imports)
        if "P4" in measures:
            self._tell(f"previews of {self.sizes.stack} resources")
            programs = (OURS, NO_OP)
            self._set(previews=runs.previews(self.sizes.stack, self.template, self.sizes.previews, programs))
        if "P5" in measures:
            self._memory(runs.memory)
        if "P10" in measures:
            self._doors(runs, start)
        wanted = repeats(measures, self.sizes)
        with self._beside(wanted, runs.up, runs.abandon) as beside:
            for each in interleaved(wanted, self.sizes):
                self._tell(f"{each.program}, {each.pools} pools")
                self._add(each, runs.up(each.program, each.pools, self.template, upgrade=each.upgrade))
            if beside is not None:
                self._tell(f"waits for: {AS_IS}")
                beside.result()

    @contextmanager
    def _beside(
        self, wanted: Collection[tuple[str, int]], up: Callable[..., dict[str, Any]], abandon: Callable[[], None]
    ) -> Iterator[Future[None] | None]:
        """Let the peer as is run beside all others; it ends with them where they fail."""
        pools = self.sizes.many
        if (AS_IS, pools) not in wanted:
            yield None
            return

        def run() -> None:
            record = up(AS_IS, pools, self.template, upgrade=self.sizes.upgrade)
            self._add(Up(AS_IS, pools, self.sizes.upgrade), record)

        with ThreadPoolExecutor(1) as thread:
            self._tell(f"{AS_IS}, {pools} pools, beside the others")
            future = thread.submit(run)
            try:
                yield future
            except BaseException:
                abandon()
                raise

    def _memory(self, memory: Callable[[int, Path], dict[str, float]]) -> None:
        taken: dict[str, list[dict[str, float]]] = {str(self.sizes.one): [], str(self.sizes.stack): []}
        for _ in range(self.sizes.memory):
            for pools, samples in taken.items():
                self._tell(f"memory at {pools} waiting")
                samples.append(memory(int(pools), self.template))
        self._set(memory=taken)

    def _doors(self, runs: Any, start: Any) -> None:
        """P10: everything interleaved, so that a load of the machine hits both doors."""
        self._tell("starts of both doors")
        taken: dict[str, Any] = {"starts": start.starts_of_doors(self.template, self.sizes.starts)}
        self._set(doors=taken)
        self._tell(f"previews of {self.sizes.stack} resources through both doors")
        programs = (OURS, NATIVE, YAML)
        taken["previews"] = runs.previews(self.sizes.stack, self.template, self.sizes.previews, programs)
        taken["ups"] = {OURS: {}, YAML: {}}
        for each in of_doors(self.sizes):
            self._tell(f"{each.program}, {each.pools} pools, to compare the doors")
            record = runs.up(each.program, each.pools, self.template, upgrade=each.upgrade)
            taken["ups"][each.program].setdefault(str(each.pools), []).append(record)
            self._set(doors=taken)

    def _add(self, each: Up, record: dict[str, Any]) -> None:
        """Keep a run: the first of this bench takes the place of those of an earlier one."""
        runs = self.known.setdefault("ups", {}).setdefault(each.program, {})
        key = (each.program, each.pools)
        old = runs.get(str(each.pools), []) if key in self._renewed else []
        self._renewed.add(key)
        runs[str(each.pools)] = [*old, record]
        self.keep(self.known)

    def _set(self, **more: Any) -> None:
        self.known.update(more)
        self.keep(self.known)

    def _tell(self, text: str) -> None:
        minutes, seconds = divmod(int(time.monotonic() - self.began), 60)
        print(f"{minutes:3d}:{seconds:02d}  {text}", flush=True)


def rate(sizes: Sizes) -> dict[str, Any]:
    """P7, which is also a separate program."""
    taken: dict[str, Any] = import_module("benchmarks.simulator_rate").measure(sizes.requests, sizes.rates)
    return taken


def renewals() -> list[dict[str, Any]]:
    """P9: seconds of real time, on virtual time."""
    taken: list[dict[str, Any]] = import_module("benchmarks.renewals").measure()
    return taken


def described() -> dict[str, Any]:
    """The machine and the versions; no names."""
    from .processes import machine  # noqa: PLC0415 - psutil is not needed to write the page

    cli = Path(os.environ["BATCH_OS_TEST_PULUMI"]) / "pulumi"
    done = subprocess.run([cli, "version"], stdout=subprocess.PIPE, text=True, check=True)  # noqa: S603 - the Pulumi CLI
    return {
        **machine(),
        "python": platform.python_version(),
        "pulumi": done.stdout.strip().removeprefix("v"),
        "sdk": version("pulumi"),
        "azure-batch": version("azure-batch"),
    }


def write(known: dict[str, Any], *, check: bool) -> int:
    """Write the page and its plots, or print what differs from the results."""
    old = page.PATH.read_text(encoding="utf-8")
    new = page.renewed(old, page.Tables(known).all())
    stale = [plot for plot in plots.plots(known) if not plots.is_drawn(plot)]
    if not check:
        page.PATH.write_text(new, encoding="utf-8")
        for plot in stale:
            plots.draw(plot)
        return 0
    lines = difflib.unified_diff(old.splitlines(), new.splitlines(), page.PATH.name, "as results.json is", lineterm="")
    findings = [*lines, *(f"{plot.path.name} does not show what results.json holds" for plot in stale)]
    print("\n".join(findings), end="\n" if findings else "")
    return 1 if findings else 0


def measure(measures: Collection[str], *, quick: bool) -> int:
    """Run a bench."""
    from tests.support.stack import make_template  # noqa: PLC0415 - not needed to write the page

    found = subprocess.run(  # noqa: S603 - our own script
        [sys.executable, ROOT / "scripts" / "pulumi_cli.py"], stdout=subprocess.PIPE, text=True, check=True
    )
    os.environ["BATCH_OS_TEST_PULUMI"] = found.stdout.strip()
    known = {} if quick else results.load()
    keep: Callable[[dict[str, Any]], None] = (lambda _: None) if quick else results.save
    with tempfile.TemporaryDirectory(prefix="batch-os-bench-") as scratch:
        bench = Bench(QUICK if quick else FULL, known, keep, make_template(Path(scratch) / "template"))
        try:
            bench.run(measures)
        except (AssertionError, RuntimeError) as error:
            print(f"{error}\n\nThe bench has ended; its results so far are kept.", file=sys.stderr)
            return 1
    if not quick:
        return write(known, check=False)
    print("\n".join(page.Tables(known).all().values()))
    return 0


def main() -> int:
    """Read the arguments."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("what", nargs="*", metavar="P1..P10 | quick | page", help="default: all measures")
    parser.add_argument("--check", action="store_true", help="with page: change nothing")
    given = parser.parse_args()
    words = set(given.what)
    unknown = words - {*MEASURES, "quick", "page"}
    if unknown or (given.check and words != {"page"}):
        parser.error(f"allowed: {', '.join(MEASURES)}, quick, page, page --check; not {' '.join(sys.argv[1:])}")
    if "page" in words:
        return write(results.load(), check=given.check)
    signal.signal(signal.SIGTERM, _terminated)
    # A shell starts what runs in its background deaf to ^C, and the CLI and its plugins would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    return measure(sorted(words - {"quick"}) or MEASURES, quick="quick" in words)


def _terminated(*_: object) -> NoReturn:
    """An end from outside goes the way of ^C, past everything that has to be ended."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
