"""The native provider in a test's own process, called by gRPC as the engine calls it, and an engine that listens."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf import empty_pb2, json_format, struct_pb2
from pulumi.runtime.proto import (
    engine_pb2_grpc,
    provider_pb2,
    provider_pb2_grpc,
    resource_pb2,
    resource_pb2_grpc,
    status_pb2,
)

from batch_os_provider.batch import credentials
from batch_os_provider.engine import diagnostics, seams
from batch_os_provider.plugin.main import serve
from batch_os_provider.plugin.server import BatchosProvider
from batch_os_provider.runtime import per_account
from batch_os_provider.runtime.cancellation import CancellationToken

if TYPE_CHECKING:
    import pytest

OS, IMAGE = "batchos:index:PoolOsVersion", "batchos:index:PoolImageVersion"
FLEET = "batchos:index:PoolFleet"
SECRET = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270"}
UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"


def secret(value: Any) -> dict[str, Any]:
    """A secret as the engine marks it."""
    return {**SECRET, "value": value}


def bag(values: Mapping[str, Any]) -> struct_pb2.Struct:
    """A bag as the engine sends it."""
    return json_format.ParseDict(dict(values), struct_pb2.Struct())


def read(values: struct_pb2.Struct) -> dict[str, Any]:
    """A bag as the engine gets it."""
    return json_format.MessageToDict(values)


class Engine(engine_pb2_grpc.EngineServicer):
    """Keeps what a provider logs, as (name of the resource, text)."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []

    def Log(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802 - the protocol's
        self.lines.append((request.urn.rpartition("::")[2], request.message))
        return empty_pb2.Empty()


class Monitor(resource_pb2_grpc.ResourceMonitorServicer):
    """The engine's resource monitor: keeps what a component registers, and answers as the engine does.

    ``answers`` has the outputs of a resource by its name, or the error of its registration: a status, or the engine's
    number for a failure. A registration of a name in ``held`` waits until ``release`` is set.
    """

    def __init__(self, preview: bool = False) -> None:
        self.registered: list[Any] = []
        self.outputs: dict[str, dict[str, Any]] = {}
        self.answers: dict[str, Any] = {}
        self.held: set[str] = set()
        self.release = threading.Event()
        self.address = ""
        self.preview = preview
        self._lock = threading.Lock()

    def RegisterResource(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol's
        with self._lock:
            self.registered.append(request)
        if request.name in self.held:
            self.release.wait(60)
        answer = self.answers.get(request.name, {})
        if isinstance(answer, grpc.StatusCode):
            context.abort(answer, "the engine's text")
        parent = f"{request.parent.split('::')[2]}$" if request.custom else ""
        urn = f"urn:pulumi:dev::p::{parent}{request.type}::{request.name}"
        if isinstance(answer, int):
            return resource_pb2.RegisterResourceResponse(urn=urn, result=answer)
        seen = {**read(request.object), **answer}
        return resource_pb2.RegisterResourceResponse(urn=urn, id="" if self.preview else "id", object=bag(seen))

    def RegisterResourceOutputs(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802 - the protocol's
        self.outputs[request.urn] = read(request.outputs)
        return empty_pb2.Empty()

    @property
    def names(self) -> list[str]:
        """The registered names, in order."""
        return [each.name for each in self.registered]

    def one(self, name: str) -> Any:
        """The registration of a name."""
        (found,) = [each for each in self.registered if each.name == name]
        return found


@contextmanager
def monitoring(*, preview: bool = False) -> Iterator[Monitor]:
    """A resource monitor on loopback."""
    monitor = Monitor(preview)
    server = grpc.server(ThreadPoolExecutor(64))
    resource_pb2_grpc.add_ResourceMonitorServicer_to_server(monitor, server)
    monitor.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    yield monitor
    monitor.release.set()
    server.stop(None)


class FailedCallError(Exception):
    """A call that the provider refused: its text, and what it keeps in the state."""

    def __init__(self, error: grpc.RpcError) -> None:
        super().__init__(error.details())
        self.code = error.code()
        self.kept: Any = None
        for key, value in error.trailing_metadata() or ():
            if key == "grpc-status-details-bin":
                self.kept = provider_pb2.ErrorResourceInitFailed()
                assert status_pb2.Status.FromString(value).details[0].Unpack(self.kept)


@dataclass
class Plugin:
    """A provider, its stub, and its engine."""

    stub: Any
    engine: Engine
    kinds: Any = field(default=provider_pb2)

    def call(self, name: str, /, **fields: Any) -> Any:
        """One call; bags are mappings, and the URN is that of a resource of this name."""
        request = {
            key: bag(value) if isinstance(value, Mapping) and key not in _MAPS else value
            for key, value in fields.items()
            if key != "kind"
        }
        if "urn" in request and not str(request["urn"]).startswith("urn:"):
            request["urn"] = f"urn:pulumi:dev::p::{fields.get('kind', OS)}::{request['urn']}"
        message = {"Cancel": empty_pb2.Empty, "GetPluginInfo": empty_pb2.Empty}.get(name)
        made = message() if message else getattr(provider_pb2, _REQUESTS.get(name, f"{name}Request"))(**request)
        try:
            return getattr(self.stub, name)(made, timeout=60)
        except grpc.RpcError as error:
            raise FailedCallError(error) from None

    def said(self, name: str) -> list[str]:
        """What was said on the row of a resource."""
        return [text for row, text in self.engine.lines if row == name]


_MAPS = frozenset({"inputDependencies", "providers"})
"""Fields that are maps of the protocol, not bags."""
_REQUESTS = {"CheckConfig": "CheckRequest", "DiffConfig": "DiffRequest", "Handshake": "ProviderHandshakeRequest"}


@contextmanager
def running(patch: pytest.MonkeyPatch) -> Iterator[Plugin]:
    """A provider as a new process has it, on loopback."""
    engine = Engine()
    listener = grpc.server(ThreadPoolExecutor(8))
    engine_pb2_grpc.add_EngineServicer_to_server(engine, listener)
    address = f"127.0.0.1:{listener.add_insecure_port('127.0.0.1:0')}"
    listener.start()
    provider = BatchosProvider()
    patch.setattr(sys, "argv", ["pulumi-resource-batchos", address])
    patch.setattr(seams, "stop", CancellationToken())
    patch.setattr(diagnostics, "_stub", None)
    patch.setattr(diagnostics, "_door", diagnostics.Door(provider.spell, after_refusal=""))
    patch.setattr(credentials, "_environ", credentials.environ())
    per_account.reset()
    server, port = serve(provider)
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield Plugin(provider_pb2_grpc.ResourceProviderStub(channel), engine)
    server.stop(None)
    listener.stop(None)
    per_account.reset()


def wait_for(plugin: Plugin, name: str, word: str, seconds: float = 20.0) -> None:
    """Wait until a row has said a word."""
    until(lambda: any(word in text for text in plugin.said(name)), seconds)


def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait for something that another thread does."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)
