"""What the providers of both resources share: bags in, bags out.

Pulumi calls check, diff, create, update, read and delete with plain dictionaries. This module turns them into typed
values and back, and keeps the rules that are the same for every kind of pool. It holds no state that outlives the
process: Pulumi pickles the providers by reference.
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
    """Which resource of this program declares which pool, to notice a pool declared twice."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pools: dict[str, str] = {}

    def other_owner(self, urn: str, pool: PoolRef) -> str:
        """Note that ``urn`` declares ``pool``; the URN of another resource that does too, or ``""``."""
        with self._lock:
            self._pools[urn] = pool.key
            return next((other for other, key in self._pools.items() if key == pool.key and other != urn), "")


_register = _Register()


program = RefreshDetector()
"""The program whose resources this process serves."""


class PoolProvider(dynamic.ResourceProvider):
    """What the providers of both resources share."""

    # The pickle names the class and nothing else, so there is no secret in it.
    serialize_as_secret_always = False
    spec: ClassVar[inputs.Spec]

    def __getstate__(self) -> None:
        """Nothing: the pickle stays the same for ever."""

    def configure(self, req: dynamic.ConfigureRequest) -> None:
        """Open the engine's seams and read the one stack config there is; the first call in each plugin process."""
        seams.attach()
        program.looks = is_on(req.config.get(CONFIG))

    def check(self, _olds: dict[str, Any], news: dict[str, Any]) -> dynamic.CheckResult:
        """Validate and normalise the inputs."""
        program.checked(diagnostics.current_urn())
        kept, failures = inputs.check(news, is_unknown, self.spec)
        failures = failures or _of_another(_olds) or _declared_twice(kept)
        # A resource that exists is compared by diff, which knows whether there is anything to look at.
        if not failures and not _olds and not self.is_open(kept):
            refused = self.preview(kept, None)
            if refused is not None:
                name = refused.wrong(kept, self.spec.target)
                failures = [inputs.Failure(name, refused.reason(name, kept[name]))]
        return dynamic.CheckResult(kept, [dynamic.CheckFailure(f.property, f.reason) for f in failures])

    @abstractmethod
    def preview(self, bag: Mapping[str, Any], known: PriorState | None) -> Refused | None:
        """Tell on the row what an `up` would do; the refusal, if it would refuse."""

    def is_open(self, bag: Mapping[str, Any]) -> bool:
        """Whether an input is not known yet."""
        return any(is_unknown(bag.get(name)) for name in self.spec.names)

    def tell_change(self, news: Mapping[str, Any], known: PriorState, replaces: list[str]) -> None:
        """Tell a planned change, where a program asks; a pool in another place is told when it is checked anew.

        Raises:
            RefusedError: `up` would refuse.
        """
        if replaces or self.is_open(news) or not program.declares(diagnostics.current_urn()):
            return
        refused = self.preview(news, known)
        if refused is not None:
            raise refused.error

    def changed(self, olds: Mapping[str, Any], news: Mapping[str, Any]) -> tuple[list[str], list[str]]:
        """The inputs that changed by their meaning, and those of them that replace."""
        names = [n for n in self.spec.names if is_unknown(news.get(n)) or not inputs.same(n, olds.get(n), news.get(n))]
        return names, [n for n in names if n in _REPLACING and not is_unknown(news[n]) and olds.get(n)]

    def read(self, id_: str, props: dict[str, Any]) -> dynamic.ReadResult:
        """What the pool shows now: ``look``."""
        ref = ref_of(id_)
        program.read(diagnostics.current_urn())
        seen = self.look(ref, props)
        return dynamic.ReadResult(None, {}) if seen is None else dynamic.ReadResult(id_, *seen)

    @abstractmethod
    def look(self, ref: PoolRef, props: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """Look for a refresh: the outputs with the inputs, and the inputs; None where the pool is gone."""

    def delete(self, _id: str, _props: dict[str, Any]) -> None:
        """Forget the pool; nothing is touched, and no call is made."""


def ref_of(id_: str) -> PoolRef:
    """The pool that a resource's id names. Raises InputError where it names none."""
    try:
        return parse_pool_url(id_)
    except ValueError as error:
        raise InputError(
            f"the id {shown(id_)} is not the URL of a pool: {error}",
            next_step="Give {account_endpoint}/pools/{pool_id}, such as "
            "https://myaccount.westeurope.batch.azure.com/pools/render",
        ) from error


def is_unknown(value: object) -> bool:
    """Whether a value is the engine's stand-in for one that is not known yet."""
    return isinstance(value, Unknown)


def _of_another(olds: Mapping[str, Any]) -> list[inputs.Failure]:
    """Refuse a state that is not a pool's: an alias leads to one, such as that of a subclass to its former type."""
    if not olds or any(olds.get(name) is not None for name in _REPLACING):
        return []
    reason = (
        "in the state, another dynamic resource has the name and the type that this resource, or an alias of it, had; "
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
