"""One run: a fresh simulator, a fresh stack, one command of the real CLI, and what was seen.

Every number but those of `start` comes from here, so that all programs run under the same conditions:
the same pools, the same flags, a new state, and a separate simulator process with its default limits.
"""

from __future__ import annotations

import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import copy
from typing import Any

from batch_os_provider.simulator.world.clock import TICKS
from batch_os_provider.simulator.world.durations import state_duration
from tests.support import doors
from tests.support import simulator as simulators
from tests.support.doors import os_version
from tests.support.simulator import NEW, OLD, SimulatorProcess, paas_pool
from tests.support.stack import Running, Stack, wait_until

from .events import Listener, listening
from .evidence import Evidence, resources_done
from .figures import Figure
from .names import AS_IS, NATIVE, NO_OP, OURS, PEER, YAML
from .processes import Sample, Watch

HERE = Path(__file__).resolve().parent
NODES = 3
"""Nodes of a pool; an upgrade takes one after the other."""
MEMORY_AFTER = 10.0
"""Seconds after the last 202 at which the plugin's memory is read: all pools wait then."""
LONGEST = 30 * 60.0
"""Seconds after which a run is given up."""

PROGRAMS: Mapping[str, Sequence[str]] = {
    OURS: ("programs/ours.py",),
    PEER: ("peer/widened.py", "peer/wide.py", "peer/naive.py"),
    AS_IS: ("peer/as_is.py", "peer/naive.py"),
    NO_OP: ("programs/no_op.py", "programs/nothing.py"),
    NATIVE: ("programs/native.py",),
}
"""The program and the modules beside it; ``YAML``, which has no loops, is written for each number of pools."""


class RunError(RuntimeError):
    """A run did not do what was to be measured; the text has what was seen."""


def speed(upgrade: float) -> float:
    """The simulator's speed at which a pool takes so many real seconds. Nodes' durations follow from their ids."""
    nodes = [node["id"] for node in paas_pool(nodes=NODES)["nodes"]]
    virtual = sum(state_duration(state, node) for node in nodes for state in ("reimaging", "starting"))
    return virtual / TICKS / upgrade


_open: list[Stack] = []
"""Stacks that something may run in."""


def abandon() -> None:
    """End what runs in other threads too; they then fail and clean up after themselves."""
    for stack in tuple(_open):
        stack.end()


@dataclass
class Ground:
    """A simulator and a stack that nothing has happened in."""

    simulator: SimulatorProcess
    stack: Stack
    pools: int

    def run(self, *arguments: str) -> float:
        """Run a command that has to succeed; its wall time in seconds."""
        with ending(self.start(*arguments)) as running:
            return self.finish(running)

    def start(self, *arguments: str) -> Running:
        """Start a command, as many resources at once as there are pools."""
        parallel = ("--parallel", str(self.pools))
        return self.stack.start(*arguments, *(parallel if arguments[0] != "stack" else ()))

    def finish(self, running: Running) -> float:
        """Wait for the end of a command that has to succeed; its wall time in seconds."""
        try:
            result = running.wait(LONGEST)
        except subprocess.TimeoutExpired:
            raise RunError(f"no end after {LONGEST:g} s; last said:\n{running.text[-2000:]}") from None
        if result.code:
            raise RunError(f"pulumi ended with {result.code}:\n{result.text[-4000:]}")
        return result.seconds


@contextmanager
def ending(running: Running) -> Iterator[Running]:
    """End a command in every case: a bench that fails leaves nothing behind."""
    try:
        yield running
    finally:
        if running.process.poll() is None:
            running.kill()


@contextmanager
def ground(program: str, pools: int, template: Path, *, at: str = OLD, upgrade: float = 60.0) -> Iterator[Ground]:
    """A fresh simulator with so many pools, and a fresh stack with a program that declares them all at NEW.

    Args:
        program: one of PROGRAMS.
        pools: how many.
        template: a project with a stack that was never deployed.
        at: the version the pools run.
        upgrade: seconds that the service takes for each.

    """
    with tempfile.TemporaryDirectory(prefix="batch-os-bench-") as scratch:
        simulator = simulators.start(("--speed", repr(speed(upgrade))))
        try:
            simulator.pools(*(paas_pool(f"p{number}", nodes=NODES, current=at) for number in range(pools)))
            declared = {"BENCH_ENDPOINT": simulator.endpoint, "BENCH_POOLS": str(pools), "BENCH_TARGET": NEW}
            # The engine streams its events only where its debugging commands are on.
            debug = {"PULUMI_DEBUG_COMMANDS": "true"}
            stack = Stack(Path(scratch) / "stack", template, {**simulator.environment, **declared, **debug})
            _write(program, stack, declared)
            _open.append(stack)
            try:
                yield Ground(simulator, stack, pools)
            finally:
                _open.remove(stack)
                stack.end()
        finally:
            simulator.stop()


def _write(program: str, stack: Stack, declared: Mapping[str, str]) -> None:
    if program == YAML:
        where: dict[str, Any] = {
            "account_endpoint": declared["BENCH_ENDPOINT"],
            "target_os_version": declared["BENCH_TARGET"],
        }
        pools = (os_version(f"p{number}", **where) for number in range(int(declared["BENCH_POOLS"])))
        doors.NATIVE.write(stack.program_folder, pools, {})
        return
    main, *beside = PROGRAMS[program]
    copy(HERE / main, stack.program_folder / "__main__.py")
    for module in beside:
        copy(HERE / module, stack.program_folder)


def up(program: str, pools: int, template: Path, *, upgrade: float = 60.0) -> dict[str, Any]:
    """One `pulumi up` from nothing to all pools at the target, and what it took."""
    with ground(program, pools, template, upgrade=upgrade) as place, listening() as (listener, address):
        began = time.time()
        running = place.start("up", "--yes", "--skip-preview", "--event-log", address)
        with ending(running):
            watch = Watch(running.process.pid, place.simulator.process.pid)
            try:
                wall = place.finish(running)
            finally:
                watch.end()
        evidence = Evidence.of(place.simulator.get("audit")["entries"])
    return _judged(program, pools, upgrade, {"wall": round(wall, 3), **_seen(began, evidence, listener, watch)})


def _seen(began: float, evidence: Evidence, listener: Listener, watch: Watch) -> dict[str, Any]:
    reported = resources_done(listener.events())
    record: dict[str, Any] = {
        "resources": len(reported),
        "requests": evidence.operations,
        "cpu": {role: round(seconds, 2) for role, seconds in sorted(watch.cpu.items())},
    }
    sample = watch.most()
    window = evidence.waiting()
    if window is not None:
        first, last = min(evidence.accepted.values()), max(evidence.accepted.values())
        record["upgrade"] = _summary(evidence.upgrade_seconds)
        record["first"] = round(first - began, 3)
        record["last"] = round(last - began, 3)
        record["waiting"] = {
            "seconds": round(window.seconds, 3),
            "reads": dict(window.reads),
            "all_wait": window.all_wait,
        }
        record["lag"] = _summary(evidence.lags(reported))
        sample = watch.at(last + MEMORY_AFTER)
    if sample is not None:
        record["plugin"] = sample.to_json()
    return record


def _summary(values: Sequence[float]) -> dict[str, float]:
    return {
        "median": round(Figure.of(values).median, 3),
        "least": round(min(values), 3),
        "most": round(max(values), 3),
    }


def _judged(program: str, pools: int, upgrade: float, record: dict[str, Any]) -> dict[str, Any]:
    """A record that is what it says it is: every pool upgraded once, in the time that the page promises."""
    if record["resources"] != pools:
        raise RunError(f"{record['resources']} of {pools} resources were reported as done")
    if program != NO_OP:
        posts, took = record["requests"].get("Pool_UpgradeOS"), record["upgrade"]
        if posts != pools:
            raise RunError(f"{posts} POST upgradeos for {pools} pools")
        if abs(took["least"] - upgrade) > 1 or abs(took["most"] - upgrade) > 1:
            raise RunError(f"upgrades took {took}, not {upgrade:g} s")
    return record


def memory(pools: int, template: Path) -> dict[str, float]:
    """The plugin while so many pools wait, MEMORY_AFTER seconds after the last 202; then the command is cancelled."""
    with ground(OURS, pools, template) as place:
        running = place.start("up", "--yes", "--skip-preview")
        with ending(running):
            watch = Watch(running.process.pid, place.simulator.process.pid)
            try:
                wait_until(lambda: _accepted(running, place.simulator) >= pools, "every pool upgrades", seconds=120)
                time.sleep(MEMORY_AFTER)  # a moment of real time is what is measured here
                sample: Sample | None = watch.at(time.time())
            finally:
                watch.end()
            running.process.send_signal(signal.SIGINT)
            running.wait(60)
    if sample is None:
        raise RunError("the plugin was not found among the processes of the CLI")
    return sample.to_json()


def _accepted(running: Running, simulator: SimulatorProcess) -> int:
    if running.process.poll() is not None:
        raise RunError(f"pulumi ended early:\n{running.text[-4000:]}")
    time.sleep(0.5)  # each read is a request that the simulator serves
    return len(simulator.upgrades())


def previews(pools: int, template: Path, repeats: int, programs: Sequence[str]) -> dict[str, list[float]]:
    """Previews of so many unchanged resources, of each program in turn: program -> wall times in seconds."""
    walls: dict[str, list[float]] = {program: [] for program in programs}
    with ExitStack() as open_:
        places = {program: open_.enter_context(ground(program, pools, template, at=NEW)) for program in programs}
        for place in places.values():
            place.run("up", "--yes", "--skip-preview")
            place.run("preview", "--expect-no-changes")
        for _ in range(repeats):
            for program, place in places.items():
                walls[program].append(round(place.run("preview", "--expect-no-changes"), 3))
    return walls
