"""The gRPC service ``ResourceProvider``, as the Pulumi engine calls it.

The SDK's own provider classes put their frames into every error, have no partial failure, and hold one loop while a
call blocks. So this module serves the engine's protocol directly, with the SDK's generated messages and nothing else of
the SDK. Each call only translates: ``bags`` and ``spelling`` read a request, ``resources`` answers it.

These facts about the engine shape the service (Pulumi CLI 3.259):

* A preview calls Create and Update too, with ``preview`` set. A refresh calls Read and Diff only.
* ``Cancel`` ends all calls. It comes twice on ^C, and before the engine closes the connection of a run.
* An import calls Read with an id and no bag of inputs; that of a `get` is empty. An answer without an id says that the
  pool is gone.
* A failed Create with ``ErrorResourceInitFailed`` keeps the resource in the state, and the next `up` updates it.
* Check, Diff and Configure run one after the other, Create, Update and Read side by side.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import wraps
from importlib.metadata import version
from importlib.resources import files
from typing import Any

import grpc
from google.protobuf import any_pb2, empty_pb2, struct_pb2
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc, status_pb2

from batch_os_provider.batch.credentials import use_environ
from batch_os_provider.comparison.declared_once import DeclaredPools
from batch_os_provider.engine import diagnostics, seams
from batch_os_provider.errors import BatchOsError, InputError
from batch_os_provider.plugin import config
from batch_os_provider.plugin.bags import Bag, is_unknown, pack, unpack
from batch_os_provider.plugin.config import Config
from batch_os_provider.plugin.fleet_watch import FleetWatch
from batch_os_provider.plugin.resources import PACKAGE, RESOURCES, Change, Resource
from batch_os_provider.runtime import request_log
from batch_os_provider.runtime.cancellation import Canceled, StopReason
from batch_os_provider.schema.inputs import Failure
from batch_os_provider.schema.spelling import camel, in_core, in_program, spell

__all__ = ["BatchosProvider", "schema"]

Method = Callable[[Any, Any, Any], Any]
"""Provider, request and context in, answer out."""

_KINDS = provider_pb2.PropertyDiff
_DRAWN: Mapping[tuple[str, bool], int] = {
    ("add", False): _KINDS.ADD,
    ("add", True): _KINDS.ADD_REPLACE,
    ("delete", False): _KINDS.DELETE,
    ("delete", True): _KINDS.DELETE_REPLACE,
    ("update", False): _KINDS.UPDATE,
    ("update", True): _KINDS.UPDATE_REPLACE,
}
"""How the protocol writes a change, and whether it replaces the resource."""


def schema() -> str:
    """The schema of the package, as JSON."""
    return files(__package__).joinpath("schema.json").read_text(encoding="utf-8")


def _answering(method: Method) -> Method:
    """Answer an error of this package with its text alone. A bug names its place; the debug log has the traceback."""

    @wraps(method)
    def call(self: BatchosProvider, request: Any, context: grpc.ServicerContext) -> Any:
        with diagnostics.about(getattr(request, "urn", "")):
            try:
                return method(self, request, context)
            except BatchOsError as error:
                code, text = grpc.StatusCode.UNKNOWN, str(error)
            except Canceled:
                code, text = grpc.StatusCode.CANCELLED, "interrupted by ^C\nNext: Run the command again."
            except Exception as error:  # noqa: BLE001 - the engine would show a bug as a lost connection
                request_log.note(traceback.format_exc())
                place = traceback.extract_tb(error.__traceback__)[-1]
                where = f"{place.filename.rpartition('batch_os_provider')[2].lstrip('/')}:{place.lineno}"
                code, text = grpc.StatusCode.INTERNAL, f"a bug in {PACKAGE}: {type(error).__name__} at {where}"
                text += f"\nNext: Set {request_log.VARIABLE} to a file, run the command again, and report that file."
        return context.abort(code, self.spell(text))  # it raises

    return call


def _watched(method: Method) -> Method:
    """Note the end of a resource, for the fleet of a failed one."""

    @wraps(method)
    def call(self: BatchosProvider, request: Any, context: Any) -> Any:
        failed = True
        try:
            answer = method(self, request, context)
            failed = False
        finally:
            self._watch.ended(request.urn, failed=failed)
        return answer

    return call


class BatchosProvider(provider_pb2_grpc.ResourceProviderServicer):
    """The provider of one process, which has one configuration."""

    def __init__(self) -> None:
        self._declared = DeclaredPools()
        self._config = Config()
        self._refused: list[Failure] = []
        self._reference = ""
        self._watch = FleetWatch()

    def _usable(self) -> Config:
        """The configuration, for a call that needs it. Raises InputError if something is wrong with it."""
        if self._refused:
            raise InputError(
                "; ".join(f"{each.property}: {each.reason}" for each in self._refused),
                next_step=f"Correct the options of the provider {PACKAGE}",
            )
        return self._config

    def spell(self, text: str) -> str:
        """A message with the names of the program and of the configuration."""
        return self._config.spell(spell(text))

    def _failed(self, failures: Iterable[Failure], secrets: Collection[str]) -> list[Any]:
        """Failures for the engine, which writes the value of a named property before the reason, also a secret."""
        return [
            provider_pb2.CheckFailure(reason=f"{each.property}: {self.spell(each.reason)}")
            if each.property in secrets
            else provider_pb2.CheckFailure(property=each.property, reason=self.spell(each.reason))
            for each in failures
        ]

    @_answering
    def Handshake(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002 - the protocol's
        """Say what this provider can read."""
        return provider_pb2.ProviderHandshakeResponse(accept_secrets=True)

    @_answering
    def GetPluginInfo(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002 - the protocol's
        """The version of the package."""
        return plugin_pb2.PluginInfo(version=version("batch-os-provider"))

    @_answering
    def GetSchema(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002 - the protocol's
        """The schema. Raises InputError for a form of the schema that is newer than this provider."""
        if request.version:
            raise InputError(
                f"the Pulumi CLI asks for version {request.version} of the schema's format; this provider has version "
                "0 only",
                next_step="Install a newer version of batch-os-provider",
            )
        return provider_pb2.GetSchemaResponse(schema=schema())

    @_answering
    def CheckConfig(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002 - the protocol's
        """Validate the configuration. Keys come back marked as secrets, so that the state never shows them."""
        bag = unpack(request.news)
        failures = config.check(bag.values, bag.secrets)
        secrets = bag.secrets.union(config.SECRETS)
        # The value of a misspelled option may be a key.
        hidden = secrets.union(bag.values.keys() - config.OPTIONS)
        return provider_pb2.CheckResponse(inputs=pack(bag.values, secrets), failures=self._failed(failures, hidden))

    @_answering
    def DiffConfig(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002 - the protocol's
        """A change of the configuration never replaces the provider: that would replace all its resources."""
        olds, news = unpack(request.olds).values, unpack(request.news).values
        names = sorted(name for name in {*olds, *news} if olds.get(name) != news.get(name))
        return _difference({name: Change("update") for name in names}, ())

    @_answering
    def Configure(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002 - the protocol's
        """Take the configuration of this process. If it is wrong, each call that needs it is refused.

        A destroy has no ``CheckConfig``, an environment of its own, and no need for credentials. So it goes on.
        """
        bag = unpack(request.args)
        self._refused = config.check(bag.values, bag.secrets)
        if not self._refused:
            self._config = Config.of(bag.values)
            use_environ(self._config.environ)
        self._reference = f"{request.urn}::{request.id}" if request.urn and request.id else ""
        return provider_pb2.ConfigureResponse(acceptSecrets=True, supportsPreview=True)

    @_answering
    def Check(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002 - the protocol's
        """Validate and normalise the inputs of a resource."""
        resource, bag, given = _resource(request), unpack(request.news), self._usable()
        kept, failures = resource.check(bag.values, given.endpoint, look=given.looks, secrets=bag.secrets)
        if not failures:
            twice = self._declared.declared_twice(request.urn, kept, is_unknown)
            failures = [Failure(camel(each.property), each.reason) for each in twice]
        if failures:
            self._watch.ended(request.urn, failed=True)
        return provider_pb2.CheckResponse(
            inputs=pack(in_program(kept), bag.secrets), failures=self._failed(failures, bag.secrets)
        )

    @_answering
    def Diff(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002 - the protocol's
        """Compare the state with the inputs. No call to Batch."""
        resource = _resource(request)
        olds, old_inputs, news = map(_core, (request.olds, request.old_inputs, request.news))
        found = resource.compare(old_inputs, olds, news)
        return _difference(resource.changes(found, old_inputs or olds, news), found.replaces)

    @_answering
    @_watched
    def Create(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol's
        """Adopt the pool; in a preview only look at it."""
        resource, bag = _resource(request), unpack(request.properties)
        news = in_core(bag.values)
        if request.preview:
            seen = resource.preview(news, None, look=self._usable().looks)
            return provider_pb2.CreateResponse(properties=pack(in_program(seen), bag.secrets))
        seen = self._run(resource, request, context, bag, {})
        return provider_pb2.CreateResponse(id=resource.id_of(news), properties=pack(in_program(seen), bag.secrets))

    @_answering
    @_watched
    def Update(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol's
        """Run the same rollout as Create; in a preview only look at the pool."""
        resource, bag, olds = _resource(request), unpack(request.news), _core(request.olds)
        news = in_core(bag.values)
        if request.preview:
            found = resource.compare(_core(request.old_inputs), olds, news)
            seen = resource.preview(news, found.prior, look=self._usable().looks)
        else:
            seen = self._run(resource, request, context, bag, olds)
        return provider_pb2.UpdateResponse(properties=pack(in_program(seen), bag.secrets))

    def _run(
        self, resource: Resource, request: Any, context: grpc.ServicerContext, bag: Bag, olds: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Run the rollout. A failure that may have changed the pool keeps the resource in the state."""
        self._usable()
        news = in_core(bag.values)
        try:
            return resource.run(news, olds, request.timeout)
        except BatchOsError as error:
            kept = resource.after_failure(news, olds, error)
            if kept is None:
                raise
            reason = self.spell(str(error))
            detail = provider_pb2.ErrorResourceInitFailed(
                id=resource.id_of(news),
                properties=pack(in_program(kept), bag.secrets),
                reasons=[reason],
                inputs=pack(bag.values, bag.secrets),
            )
            packed = any_pb2.Any()
            packed.Pack(detail)
            status = status_pb2.Status(code=grpc.StatusCode.UNKNOWN.value[0], message=reason, details=[packed])
            context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
            raise

    @_answering
    def Read(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002 - the protocol's
        """Read the pool for a refresh, an import or a `get`."""
        resource, state, declared = _resource(request), unpack(request.properties), unpack(request.inputs)
        is_import = not request.HasField("inputs")
        self._usable()
        seen = resource.read(request.id, in_core(state.values), in_core(declared.values), is_import=is_import)
        if seen is None:
            return provider_pb2.ReadResponse()
        # A state that a dynamic provider wrote has the names of the core.
        secrets = in_program(dict.fromkeys(state.secrets | declared.secrets, True))
        outputs, inputs = (pack(in_program(each), secrets) for each in seen)
        return provider_pb2.ReadResponse(id=request.id, properties=outputs, inputs=inputs)

    @_answering
    def Construct(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol's
        """Make the children of a component. Raises InputError for one that the package does not have."""
        from batch_os_provider.plugin import fleet  # noqa: PLC0415 - most programs have no fleet

        if request.type != fleet.TOKEN:
            raise InputError(
                f"the package {PACKAGE} has no component {request.type}; it has {fleet.TOKEN}",
                next_step="Correct the type in the program",
            )
        self._watch.begin(context)
        made = fleet.construct(request, self._reference, self._usable().endpoint, self._watch)
        depends = provider_pb2.ConstructResponse.PropertyDependencies(urns=made.children)
        return provider_pb2.ConstructResponse(
            urn=made.urn,
            state=pack(made.outputs.values, made.outputs.secrets),
            stateDependencies={fleet.POOLS: depends},
        )

    @_answering
    def Invoke(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002 - the protocol's
        """Run a function. Raises InputError for one that the package does not have."""
        from batch_os_provider.plugin.functions import FUNCTIONS  # noqa: PLC0415 - it imports azure

        if request.tok not in FUNCTIONS:
            raise InputError(
                f"the package {PACKAGE} has no function {request.tok}; it has {' and '.join(FUNCTIONS)}",
                next_step="Correct the function in the program",
            )
        bag = unpack(request.args)
        result, failures = FUNCTIONS[request.tok].call(bag.values, self._usable().endpoint, bag.secrets)
        answer = provider_pb2.InvokeResponse(failures=self._failed(failures, bag.secrets))
        getattr(answer, "return").CopyFrom(pack(result))
        return answer

    @_answering
    def Delete(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002 - the protocol's
        """Do nothing: the pool stays as it is, and Batch gets no call."""
        return empty_pb2.Empty()

    @_answering
    def Cancel(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002 - the protocol's
        """End every rollout of this process; each reports what it leaves. Fleets answer before this call."""
        seams.stop.set(StopReason.CANCELED)
        self._watch.wait()
        return empty_pb2.Empty()


def _core(bag: struct_pb2.Struct) -> dict[str, Any]:
    return in_core(unpack(bag).values)


def _resource(request: Any) -> Resource:
    """The resource of a request. Raises InputError for a type that the package does not have."""
    token = request.urn.split("::")[2].rpartition("$")[2]
    if token not in RESOURCES:
        raise InputError(
            f"the package {PACKAGE} has no resource {token}; it has {' and '.join(RESOURCES)}",
            next_step="Correct the type in the program",
        )
    return RESOURCES[token]


def _difference(drawn: Mapping[str, Change], replaces: tuple[str, ...]) -> Any:
    """The answer to a Diff, with names of the program."""
    return provider_pb2.DiffResponse(
        changes=provider_pb2.DiffResponse.DIFF_SOME if drawn else provider_pb2.DiffResponse.DIFF_NONE,
        replaces=[camel(name) for name in replaces],
        diffs=[camel(name) for name in drawn],
        detailedDiff={
            camel(name): provider_pb2.PropertyDiff(
                kind=_DRAWN[each.kind, name in replaces],  # type: ignore[arg-type]  # a value of the enum
                inputDiff=each.of_inputs,
            )
            for name, each in drawn.items()
        },
        hasDetailedDiff=True,
    )
