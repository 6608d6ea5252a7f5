"""What the processes of a run take: memory and threads of the plugin, processor time of all of them.

A stack is at least five processes, and "where does it bend" is the question which of them is busy.
"""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import psutil

EVERY = 0.25
"""Seconds between two samples."""
MEGABYTE = 1 << 20

ROLES = {
    "pulumi.dynamic": "plugin",
    "pulumi-resource-batchos": "plugin",
    "pulumi-language-python-exec": "program",
    "pulumi-language-python": "language host",
}
"""A word of the command line -> what the process is, first match wins."""


@dataclass(frozen=True)
class Sample:
    """The plugin at one moment."""

    at: float
    rss: float
    """Resident megabytes, shared libraries included."""
    private: float
    """Megabytes that would be free again if it ended."""
    threads: int

    def to_json(self) -> dict[str, float]:
        """The sample without its moment."""
        return {"rss": round(self.rss, 1), "private": round(self.private, 1), "threads": self.threads}


@dataclass
class Watch:
    """Samples the processes below the CLI, and the simulator, in a separate thread."""

    cli: int
    simulator: int
    samples: list[Sample] = field(default_factory=list)
    cpu: dict[str, float] = field(default_factory=dict)
    """Role -> seconds of processor time so far, as last seen alive."""
    _stop: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._known = {"engine": psutil.Process(self.cli), "simulator": psutil.Process(self.simulator)}
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Take no more samples."""
        self._stop.set()
        self._thread.join()

    def at(self, moment: float) -> Sample | None:
        """The sample nearest to a moment; None without samples."""
        return min(self.samples, key=lambda sample: abs(sample.at - moment), default=None)

    def most(self) -> Sample | None:
        """The sample with most memory."""
        return max(self.samples, key=lambda sample: sample.rss, default=None)

    def _run(self) -> None:
        while not self._stop.wait(EVERY):
            # Processes end while we read them.
            with contextlib.suppress(psutil.Error):
                self._look()

    def _look(self) -> None:
        self._find()
        for role, process in self._known.items():
            with contextlib.suppress(psutil.Error):
                times = process.cpu_times()
                self.cpu[role] = times.user + times.system
        plugin = self._known.get("plugin")
        if plugin is not None:
            memory = plugin.memory_full_info()
            self.samples.append(Sample(time.time(), memory.rss / MEGABYTE, memory.uss / MEGABYTE, plugin.num_threads()))

    def _find(self) -> None:
        for process in self._known["engine"].children(recursive=True):
            with contextlib.suppress(psutil.Error):
                command = process.cmdline()
                # The launcher of the plugin is a shell that waits for it, with the same words in its command line.
                if "python" not in process.exe() or not command:
                    continue
                line = " ".join(command)
                role = next((role for word, role in ROLES.items() if word in line), None)
                # A native provider first runs once for its schema; the later process is the one that serves the `up`.
                if role is not None and (role not in self._known or _is_later(process, self._known[role])):
                    self._known[role] = process


def _is_later(process: psutil.Process, known: psutil.Process) -> bool:
    return bool(process.create_time() > known.create_time())


def machine() -> dict[str, Any]:
    """The machine's relevant properties, without names."""
    return {"cores": psutil.cpu_count(), "memory": round(psutil.virtual_memory().total / (1 << 30))}
