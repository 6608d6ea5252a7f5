"""The base of both providers.

Pulumi calls check, diff, create, update, read and delete with plain dictionaries ("bags"). This module has the rules
that are the same for both kinds of pools, such as check, comparison and read. A provider has no state of its own,
because Pulumi pickles it by reference; the state of the process is in this module.
"""

from __future__ import annotations

from abc import abstractmethod
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar

from pulumi import dynamic
from pulumi.output import Unknown

from batch_os_provider.batch.address import PoolRef, parse_pool_url
from batch_os_provider.comparison.compared import PriorState, is_open
from batch_os_provider.comparison.declared_once import DeclaredPools, state_of_another
from batch_os_provider.engine import diagnostics, seams
from batch_os_provider.engine.refresh import RefreshDetector
from batch_os_provider.errors import InputError
from batch_os_provider.schema import inputs
from batch_os_provider.schema.inputs import CONFIG, is_on
from batch_os_provider.schema.units import shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from batch_os_provider import crud
    from batch_os_provider.comparison.compared import Compared
    from batch_os_provider.preview import describe
    from batch_os_provider.preview.describe import Refused
else:

    class _AtFirstUse:
        """A module that is imported when one of its names is first used."""

        def __init__(self, module: str) -> None:
            self._module = module

        def __getattr__(self, name: str) -> Any:
            return getattr(import_module(self._module), name)

    # These two import azure. A program, a check and an unchanged resource do not need it.
    crud = _AtFirstUse("batch_os_provider.crud")
    describe = _AtFirstUse("batch_os_provider.preview.describe")

__all__ = ["PoolProvider", "crud", "describe", "is_unknown", "program", "ref_of"]


_declared = DeclaredPools()

program = RefreshDetector()
"""What this process knows about the program that it serves."""


class PoolProvider(dynamic.ResourceProvider):
    """Base of both providers: a subclass has ``spec``, ``compare``, ``preview``, ``create``, ``update``, ``look``."""

    # The pickle contains only the name of the class, so it holds no secret.
    serialize_as_secret_always = False
    spec: ClassVar[inputs.Spec]

    def __getstate__(self) -> None:
        """Put no state into the pickle, so that it never changes."""

    def configure(self, req: dynamic.ConfigureRequest) -> None:
        """Open the engine's seams and read stack config ``batch:previewLook``. Pulumi calls this first."""
        seams.attach()
        program.looks = is_on(req.config.get(CONFIG))

    def check(self, _olds: dict[str, Any], news: dict[str, Any]) -> dynamic.CheckResult:
        """Validate and normalise the inputs."""
        program.checked(diagnostics.current_urn())
        kept, failures = inputs.check(news, is_unknown, self.spec)
        failures = failures or state_of_another(_olds)
        failures = failures or _declared.declared_twice(diagnostics.current_urn(), kept, is_unknown)
        # For an existing resource, diff decides whether a preview reads the pool.
        if not failures and not _olds and not is_open(self.spec, kept, is_unknown):
            refused = self.preview(kept, None)
            if refused is not None:
                name = refused.wrong(kept, self.spec.target_of(kept))
                failures = [inputs.Failure(name, refused.reason(name, kept[name]))]
        return dynamic.CheckResult(kept, [dynamic.CheckFailure(f.property, f.reason) for f in failures])

    @abstractmethod
    def preview(self, bag: Mapping[str, Any], known: PriorState | None) -> Refused | None:
        """Write on the row what an `up` would do. Returns the refusal if `up` would refuse, else None."""

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> dynamic.DiffResult:
        """Compare the state with the inputs. An unchanged resource needs no call to Batch.

        A planned change is written on the row, except during a refresh. Nothing is written for a replacement: Pulumi
        then calls ``check`` for the new pool, which writes the line.

        Raises:
            RefusedError: `up` would refuse.
        """
        found = self.compare(_olds, _news)
        is_shown = found.has_changes and not found.replaces and not found.is_open
        if is_shown and program.declares(diagnostics.current_urn()):
            refused = self.preview(_news, found.prior)
            if refused is not None:
                raise refused.error
        return dynamic.DiffResult(changes=found.has_changes, replaces=list(found.replaces))

    @abstractmethod
    def compare(self, olds: Mapping[str, Any], news: Mapping[str, Any]) -> Compared:
        """How the state and the inputs of the program differ."""

    def read(self, id_: str, props: dict[str, Any]) -> dynamic.ReadResult:
        """Read the pool with ``look``. An empty result says that the pool is gone."""
        ref = ref_of(id_)
        program.read(diagnostics.current_urn())
        seen = self.look(ref, props)
        return dynamic.ReadResult(None, {}) if seen is None else dynamic.ReadResult(id_, *seen)

    @abstractmethod
    def look(self, ref: PoolRef, props: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """Read the pool for a refresh: outputs together with inputs, and inputs; None if the pool is gone."""

    def delete(self, _id: str, _props: dict[str, Any]) -> None:
        """Do nothing: the pool stays as it is, and Batch gets no call."""


def ref_of(id_: str) -> PoolRef:
    """The pool of a resource's id. Raises InputError if the id is not the URL of a pool."""
    try:
        return parse_pool_url(id_)
    except ValueError as error:
        raise InputError(
            f"the id {shown(id_)} is not the URL of a pool: {error}",
            next_step="Give {account_endpoint}/pools/{pool_id}, such as "
            "https://myaccount.westeurope.batch.azure.com/pools/render",
        ) from error


def is_unknown(value: object) -> bool:
    """Whether a value is the engine's placeholder for one that is not known yet."""
    return isinstance(value, Unknown)
