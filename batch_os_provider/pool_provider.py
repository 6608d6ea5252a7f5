"""The base of both providers.

Pulumi calls check, diff, create, update, read and delete with plain dictionaries ("bags"). This module has the rules
that are the same for both kinds of pools, such as check, comparison and read. A provider has no state of its own,
because Pulumi pickles it by reference; the state of the process is in this module.
"""

from __future__ import annotations

import threading
from abc import abstractmethod
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar

from pulumi import dynamic
from pulumi.output import Unknown

from batch_os_provider.batch.address import PoolRef, parse_pool_url
from batch_os_provider.engine import diagnostics, seams
from batch_os_provider.engine.refresh import RefreshDetector
from batch_os_provider.errors import InputError
from batch_os_provider.schema import inputs
from batch_os_provider.schema.inputs import CONFIG, is_on
from batch_os_provider.schema.outputs import PriorState
from batch_os_provider.schema.units import shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from batch_os_provider import crud
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


_REPLACING = (inputs.ACCOUNT_ENDPOINT, inputs.POOL_ID_NAME)


class _Register:
    """Remembers which resource declares which pool, to find a pool that is declared twice."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pools: dict[str, str] = {}

    def other_owner(self, urn: str, pool: PoolRef) -> str:
        """Record that ``urn`` declares ``pool``. Returns the URN of another resource that declares it, or ``""``."""
        with self._lock:
            self._pools[urn] = pool.key
            return next((other for other, key in self._pools.items() if key == pool.key and other != urn), "")


_register = _Register()


program = RefreshDetector()
"""What this process knows about the program that it serves."""


class PoolProvider(dynamic.ResourceProvider):
    """Base of both providers. A subclass has ``spec``, ``diff``, ``preview``, ``create``, ``update`` and ``look``."""

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
        failures = failures or _of_another(_olds) or _declared_twice(kept)
        # For an existing resource, diff decides whether a preview reads the pool.
        if not failures and not _olds and not self.is_open(kept):
            refused = self.preview(kept, None)
            if refused is not None:
                name = refused.wrong(kept, self.spec.target_of(kept))
                failures = [inputs.Failure(name, refused.reason(name, kept[name]))]
        return dynamic.CheckResult(kept, [dynamic.CheckFailure(f.property, f.reason) for f in failures])

    @abstractmethod
    def preview(self, bag: Mapping[str, Any], known: PriorState | None) -> Refused | None:
        """Write on the row what an `up` would do. Returns the refusal if `up` would refuse, else None."""

    def is_open(self, bag: Mapping[str, Any]) -> bool:
        """Whether the value of an input is not known yet."""
        return any(is_unknown(bag.get(name)) for name in self.spec.names)

    def preview_change(self, news: Mapping[str, Any], known: PriorState, replaces: list[str]) -> None:
        """Write a planned change on the row, except during a refresh.

        It writes nothing for a replacement: Pulumi then calls ``check`` for the new pool, which writes the line.

        Raises:
            RefusedError: `up` would refuse.
        """
        if replaces or self.is_open(news) or not program.declares(diagnostics.current_urn()):
            return
        refused = self.preview(news, known)
        if refused is not None:
            raise refused.error

    def changed(self, olds: Mapping[str, Any], news: Mapping[str, Any]) -> tuple[list[str], list[str]]:
        """The names of the inputs whose meaning changed, and the names among them that replace the resource."""
        names = [n for n in self.spec.names if is_unknown(news.get(n)) or not inputs.same(n, olds.get(n), news.get(n))]
        return names, [n for n in names if n in _REPLACING and not is_unknown(news[n]) and olds.get(n)]

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


def _of_another(olds: Mapping[str, Any]) -> list[inputs.Failure]:
    """Refuse the state of another dynamic resource. An alias can lead to one, such as that of a subclass."""
    if not olds or any(olds.get(name) is not None for name in _REPLACING):
        return []
    reason = (
        "in the state, another dynamic resource has the name and the type of this resource or of one of its aliases; "
        "give this resource another name"
    )
    return [inputs.Failure(inputs.POOL_ID_NAME, reason)]


def _declared_twice(kept: Mapping[str, Any]) -> list[inputs.Failure]:
    urn = diagnostics.current_urn()
    if not urn or any(is_unknown(kept[name]) for name in _REPLACING):
        return []
    ref = PoolRef(kept[inputs.ACCOUNT_ENDPOINT], kept[inputs.POOL_ID_NAME])
    other = _register.other_owner(urn, ref)
    if not other:
        return []
    reason = (
        f"this pool of {ref.endpoint} is declared twice, by {other} and by {urn}; "
        "allowed: one resource of this package for each pool; remove one of them"
    )
    return [inputs.Failure(inputs.POOL_ID_NAME, reason)]
