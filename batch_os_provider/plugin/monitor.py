"""Registers resources with the engine, as a program does: for the children of a component.

The engine's ``Construct`` gives a provider the address of its resource monitor. The SDK can register resources there,
but only with globals of the process: two components at once would share them, and every process of the provider would
load the whole SDK. The monitor's protocol is one request for each resource, so this module sends that request itself.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import grpc
from pulumi.runtime.proto import alias_pb2, resource_pb2, resource_pb2_grpc

from batch_os_provider.engine import seams
from batch_os_provider.engine.diagnostics import DIRECT
from batch_os_provider.errors import BatchOsError
from batch_os_provider.plugin.bags import Bag, pack, unpack
from batch_os_provider.plugin.fleet_watch import FleetWatch, name_in
from batch_os_provider.plugin.messages import LARGEST

if TYPE_CHECKING:
    from google.protobuf import struct_pb2

__all__ = ["Child", "FailedChildError", "Monitor", "MonitorClosedError", "Registered", "alias", "alias_of", "connected"]

_CLOSED = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED})

_REPORTED = "Correct what Pulumi reports, and run the command again"


class MonitorClosedError(BatchOsError):
    """The engine registers no more resources: another resource has failed, or a person has cancelled."""

    def __init__(self) -> None:
        super().__init__(
            "Pulumi ended this run before the fleet was done",
            next_step="Correct what the rows of the other resources show, if they show an error; then run `pulumi up` "
            "again",
        )


class FailedChildError(BatchOsError):
    """The engine could not bring a resource to its inputs; its own row has the error."""


@dataclass(frozen=True)
class Child:
    """A resource to register. ``depends_on`` are URNs, of each input in ``input_dependencies``."""

    type: str
    name: str
    inputs: Bag
    input_dependencies: Mapping[str, Collection[str]] = field(default_factory=dict)
    depends_on: Collection[str] = ()
    aliases: Iterable[Any] = ()


@dataclass(frozen=True)
class Registered:
    """A resource that the engine has brought to its inputs, or would bring in an `up`."""

    urn: str
    outputs: Bag


class Monitor:
    """The resource monitor, for the component of one ``Construct`` request."""

    def __init__(self, stub: Any, request: Any, provider: str, watch: FleetWatch) -> None:
        self._stub = stub
        self._request = request
        self._provider = provider
        self._watch = watch
        self._urn = ""

    def register_component(self) -> str:
        """Register the component itself. Returns its URN."""
        request = self._registration(
            type=self._request.type,
            name=self._request.name,
            parent=self._request.parent,
            providers=dict(self._request.providers),
            dependencies=list(self._request.dependencies),
            aliases=list(self._request.aliases),
        )
        call = self._stub.RegisterResource.future(request)
        _wait([call])
        try:
            self._urn = _registered(call).urn
        except FailedChildError as error:
            raise FailedChildError(f"the registration of the fleet {error.reason}", next_step=_REPORTED) from None
        return self._urn

    def register(self, children: Iterable[Child]) -> list[Registered]:
        """Register resources side by side, and wait until the engine is done with all of them.

        Raises:
            FailedChildError: a resource has failed; the others are done.
            MonitorClosedError: the engine has stopped.
        """
        wanted = {self._urn_of(each): self._child(each) for each in children}
        calls = {urn: self._stub.RegisterResource.future(request) for urn, request in wanted.items()}
        made: list[Registered] = []
        failed: list[str] = []
        try:
            _wait(list(calls.values()))
        except MonitorClosedError:
            if ended := self._watch.failed(wanted):
                raise FailedChildError(", ".join(f"{name} failed" for name in ended)) from None
            raise
        for urn, call in calls.items():
            try:
                made.append(_registered(call))
            except FailedChildError as error:
                failed.append(f"{name_in(urn)} {error.reason}")
        if failed:
            raise FailedChildError(", ".join(failed))
        return made

    def register_outputs(self, outputs: struct_pb2.Struct) -> None:
        """Save the outputs of the component."""
        request = resource_pb2.RegisterResourceOutputsRequest(urn=self._urn, outputs=outputs)
        call = self._stub.RegisterResourceOutputs.future(request)
        _wait([call])
        _answer(call)

    def _urn_of(self, child: Child) -> str:
        return f"{self._urn.removesuffix(f'::{self._request.name}')}${child.type}::{child.name}"

    def _child(self, child: Child) -> Any:
        needed = {*child.depends_on, *(urn for urns in child.input_dependencies.values() for urn in urns)}
        # Without an entry for each input the engine takes every dependency for one of each input.
        entries = {name: child.input_dependencies.get(name, ()) for name in child.inputs.values}
        properties = resource_pb2.RegisterResourceRequest.PropertyDependencies
        return self._registration(
            type=child.type,
            name=child.name,
            parent=self._urn,
            custom=True,
            object=pack(child.inputs.values, child.inputs.secrets),
            provider=self._provider,
            dependencies=sorted(needed),
            propertyDependencies={name: properties(urns=sorted(urns)) for name, urns in entries.items()},
            aliases=list(child.aliases),
        )

    def _registration(self, **fields: Any) -> Any:
        """A registration with the options of the component, which its children inherit."""
        given = self._request
        options = {name: getattr(given, name) for name in ("protect", "retainOnDelete") if given.HasField(name)}
        return resource_pb2.RegisterResourceRequest(
            **fields,
            **options,
            deletedWith=given.deletedWith,
            aliasSpecs=True,
            acceptSecrets=True,
            supportsPartialValues=True,
            supportsResultReporting=True,
            parentStackTraceHandle=given.stack_trace_handle,
        )


@contextmanager
def connected(request: Any, provider: str, watch: FleetWatch) -> Iterator[Monitor]:
    """The monitor of a ``Construct`` request; ``provider`` is the reference of the provider of the children."""
    with grpc.insecure_channel(request.monitorEndpoint, options=(LARGEST, DIRECT)) as channel:
        yield Monitor(resource_pb2_grpc.ResourceMonitorStub(channel), request, provider, watch)


def alias(**spec: Any) -> Any:
    """A former resource by what differs: ``type``, ``name`` or ``noParent``."""
    return alias_pb2.Alias(spec=alias_pb2.Alias.Spec(**spec))


def alias_of(urn: str) -> Any:
    """A former resource by its URN."""
    return alias_pb2.Alias(urn=urn)


def _registered(call: Any) -> Registered:
    answer = _answer(call)
    if answer.result != resource_pb2.SUCCESS:
        raise FailedChildError("failed" if answer.result == resource_pb2.FAIL else "was skipped")
    return Registered(answer.urn, unpack(answer.object))


def _answer(call: Any) -> Any:
    try:
        return call.result()
    except grpc.RpcError as error:
        if error.code() in _CLOSED:
            raise MonitorClosedError from None
        raise FailedChildError(f"failed: {error.details()}") from None


def _wait(calls: Sequence[Any]) -> None:
    """Wait for the answers. Raises MonitorClosedError if this process has to end."""
    changed = threading.Event()
    for call in calls:
        call.add_done_callback(lambda _call: changed.set())
    with seams.stop.also_setting(changed):
        while not all(call.done() for call in calls):
            if seams.stop.reason is not None:
                raise MonitorClosedError
            changed.wait()
            changed.clear()
