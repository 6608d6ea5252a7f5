"""How long a plugin process takes to its first answer: started and asked as the engine does it, without the engine.

On the real CLI this time is buried in that of everything else. The launcher is Pulumi's own, and the
pickled provider is that of the state of a stack that was deployed.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import psutil
from google.protobuf import struct_pb2
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc

from tests.support.simulator import NEW

from .evidence import MEASURED
from .imports import extra, import_times
from .names import NO_OP, OURS, YAML
from .processes import MEGABYTE
from .runs import Ground, RunError, ground

LAUNCHERS = {YAML: "pulumi-resource-batchos"}
"""What the engine starts for a program, if it is not the launcher of dynamic providers."""
LONGEST = 30.0
"""Seconds after which a plugin is given up."""


@dataclass(frozen=True)
class Subject:
    """A stack whose plugin is started, and the resource that it checks."""

    ground: Ground
    urn: str
    inputs: Mapping[str, Any]
    launcher: str

    @classmethod
    def of(cls, program: str, place: Ground) -> Subject:
        """Deploy the stack and take its resource."""
        place.run("up", "--yes", "--skip-preview")
        exported = place.stack.run("stack", "export", "--show-secrets").ok()
        resources = json.loads(exported.text)["deployment"]["resources"]
        resource = next(each for each in resources if each["type"].startswith(MEASURED))
        inputs = {key: _plain(value) for key, value in resource["inputs"].items()}
        return cls(place, resource["urn"], inputs, LAUNCHERS.get(program, "pulumi-resource-pulumi-python"))

    def answer(self, engine: str, **environment: str) -> tuple[float, float, str]:
        """Start a plugin, configure it and check the unchanged resource.

        Returns:
            The seconds that took, the plugin's resident megabytes then, and its stderr.
        """
        stack = self.ground.stack
        began = time.perf_counter()
        plugin = subprocess.Popen(  # noqa: S603 - Pulumi's own launcher, or our command
            [self.launcher, engine],
            cwd=stack.program_folder,
            env={**stack.environment, "PULUMI_PROJECT": "bench", **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            answered = self._checked(plugin)
            return answered - began, _resident(plugin), _ended(plugin)
        finally:
            if plugin.poll() is None:
                _ended(plugin)

    def _checked(self, plugin: subprocess.Popen[str]) -> float:
        if plugin.stdout is None:
            raise RunError("the plugin has no stdout")
        port = plugin.stdout.readline().strip()
        bag = struct_pb2.Struct()
        bag.update(self.inputs)
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            stub = provider_pb2_grpc.ResourceProviderStub(channel)
            configure = provider_pb2.ConfigureRequest(acceptSecrets=True, acceptResources=True)
            stub.Configure(configure, timeout=LONGEST, wait_for_ready=True)
            answer = stub.Check(provider_pb2.CheckRequest(urn=self.urn, olds=bag, news=bag), timeout=LONGEST)
            answered = time.perf_counter()
        if answer.failures:
            raise RunError(f"check failed: {answer.failures}")
        return answered


def _resident(plugin: subprocess.Popen[str]) -> float:
    """The memory of a plugin, in megabytes: of the process itself, or of the one that a launcher has started."""
    process = psutil.Process(plugin.pid)
    return max(float(each.memory_info().rss) for each in (process, *process.children(recursive=True))) / MEGABYTE


def _plain(value: Any) -> Any:
    """A value of an exported state, a secret as its text."""
    return json.loads(value["plaintext"]) if isinstance(value, dict) and "plaintext" in value else value


def _ended(plugin: subprocess.Popen[str]) -> str:
    """End a plugin, and return what it said on stderr. The launcher is a shell; what it started is in its group."""
    os.killpg(plugin.pid, signal.SIGKILL)
    return plugin.communicate(timeout=LONGEST)[1]


@contextmanager
def _engine() -> Iterator[str]:
    """An address that answers, as the engine's does: without an answer our plugin ends."""
    server = grpc.server(ThreadPoolExecutor(max_workers=2))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(0).wait()


def starts_of_doors(template: Path, repeats: int) -> dict[str, list[dict[str, float]]]:
    """Start the plugins of both doors in turn: program -> seconds to the first answer and resident megabytes then."""
    taken: dict[str, list[dict[str, float]]] = {OURS: [], YAML: []}
    with ExitStack() as ending:
        engine = ending.enter_context(_engine())
        grounds = {name: ending.enter_context(ground(name, 1, template, at=NEW)) for name in taken}
        subjects = {name: Subject.of(name, place) for name, place in grounds.items()}
        for number in range(repeats + 1):
            for name, subject in subjects.items():
                seconds, resident, _ = subject.answer(engine)
                if number:  # the first start writes byte code and warms the disk
                    taken[name].append({"seconds": round(seconds, 4), "rss": round(resident, 1)})
    return taken


def starts(template: Path, repeats: int) -> tuple[dict[str, list[float]], dict[str, list[list[Any]]]]:
    """Start plugins in turn.

    Returns:
        program -> seconds to the first answer, and program -> [package, milliseconds] of what its start imports that
        the other's does not, the slowest first.

    """
    taken: dict[str, list[float]] = {OURS: [], NO_OP: []}
    with ExitStack() as ending:
        engine = ending.enter_context(_engine())
        grounds = {name: ending.enter_context(ground(name, 1, template, at=NEW)) for name in taken}
        subjects = {name: Subject.of(name, place) for name, place in grounds.items()}
        for subject in subjects.values():
            subject.answer(engine)  # byte code is written, the disk is warm
        for _ in range(repeats):
            for name, subject in subjects.items():
                taken[name].append(round(subject.answer(engine)[0], 4))
        profiles = {
            name: import_times(subject.answer(engine, PYTHONPROFILEIMPORTTIME="1")[2])
            for name, subject in subjects.items()
        }
    return taken, {OURS: extra(profiles[OURS], profiles[NO_OP]), NO_OP: extra(profiles[NO_OP], profiles[OURS])}
