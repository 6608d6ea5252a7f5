"""The provider behind ``PoolOsVersion``: bags in, bags out.

Why it exists: Pulumi calls check, diff, create, update, read and delete with plain
dictionaries. This room turns them into typed values, runs the rollout, and turns what was
seen back into a bag. It holds no state: Pulumi pickles the provider into the stack's state by
reference, so ``batch_os_provider.provider.PoolOsVersionProvider`` is a persistent name that
must never change.

Facts of the engine that shape it (Pulumi CLI 3.259, SDK 3.272): a preview calls check and diff
only; numbers arrive as floats and None values not at all; a failed create stores nothing and a
failed update keeps the old state; refresh calls ``diff`` with the new outputs as olds and the
old inputs as news; the preview shows differences of inputs only, so drift has to be written
into the inputs that ``read`` returns.
"""

from __future__ import annotations

import threading
from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from pulumi import dynamic
from pulumi.output import Unknown

from batch_os_provider import engine, inputs
from batch_os_provider.amounts import shown
from batch_os_provider.decide import same_version
from batch_os_provider.errors import InputError
from batch_os_provider.inputs import Declared
from batch_os_provider.outputs import CURRENT, STATE, UNPROVEN
from batch_os_provider.pool import PoolRef, PoolState, parse_pool_url
from batch_os_provider.program import CONFIG, Known, Program, is_on
from batch_os_provider.version import short

if TYPE_CHECKING:
    from collections.abc import Mapping

    from batch_os_provider.preview import Refused

__all__ = ["PoolOsVersionProvider", "PoolProvider", "is_unknown", "program", "ref_of"]

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
program = Program()
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
        engine.attach()
        program.looks = is_on(req.config.get(CONFIG))

    def check(self, _olds: dict[str, Any], news: dict[str, Any]) -> dynamic.CheckResult:
        """Validate and normalise the inputs."""
        program.checked(engine.current_urn())
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
    def preview(self, bag: Mapping[str, Any], known: Known | None) -> Refused | None:
        """Tell on the row what an `up` would do; the refusal, if it would refuse."""

    def is_open(self, bag: Mapping[str, Any]) -> bool:
        """Whether an input is not known yet."""
        return any(is_unknown(bag.get(name)) for name in self.spec.names)

    def tell_change(self, news: Mapping[str, Any], known: Known, replaces: list[str]) -> None:
        """Tell a planned change, where a program asks; a pool in another place is told when it is checked anew.

        Raises:
            RefusedError: `up` would refuse.
        """
        if replaces or self.is_open(news) or not program.declares(engine.current_urn()):
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
        program.read(engine.current_urn())
        seen = self.look(ref, props)
        return dynamic.ReadResult(None, {}) if seen is None else dynamic.ReadResult(id_, *seen)

    @abstractmethod
    def look(self, ref: PoolRef, props: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """Look for a refresh: the outputs with the inputs, and the inputs; None where the pool is gone."""

    def delete(self, _id: str, _props: dict[str, Any]) -> None:
        """Forget the pool; nothing is touched, and no call is made."""


class PoolOsVersionProvider(PoolProvider):
    """Keeps the OS version of one Cloud Services pool as declared."""

    spec = inputs.OS

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> dynamic.DiffResult:
        """Compare the last observed version with the target, and every other input by its meaning.

        No call is made where nothing changed.
        """
        changed, replaces = self.changed(_olds, _news)
        target = _news.get(inputs.TARGET)
        seen = _olds.get(CURRENT)
        behind = not is_unknown(target) and not same_version(seen, str(target))
        # A pool last seen upgrading does not stay at the version it shows, wherever the upgrade goes.
        # One that was not seen to pass its gate has to pass it, or whoever depends on it would go ahead.
        open_ = _olds.get(STATE) in (PoolState.UPGRADING.value, UNPROVEN)
        if changed or behind or open_:
            self.tell_change(_news, _known(_olds, _news, changed=bool(changed)), replaces)
        return dynamic.DiffResult(changes=bool(changed) or behind or open_, replaces=replaces)

    def preview(self, bag: Mapping[str, Any], known: Known | None) -> Refused | None:
        """Tell what an upgrade would take."""
        from batch_os_provider.preview import preview_os  # noqa: PLC0415 - what has not changed needs none of it

        return preview_os(Declared.of(bag), known, look=program.looks)

    def create(self, props: dict[str, Any]) -> dynamic.CreateResult:
        """Adopt the pool: upgrade it if it does not run the target, else write nothing."""
        from batch_os_provider import calls  # noqa: PLC0415 - as above

        return dynamic.CreateResult(Declared.of(props).ref.url, calls.upgrade_os(props, {}))

    def update(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> dynamic.UpdateResult:
        """The same rollout as create."""
        from batch_os_provider import calls  # noqa: PLC0415 - as above

        return dynamic.UpdateResult(calls.upgrade_os(_news, _olds))

    def look(self, ref: PoolRef, props: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """Look at the pool.

        ``target_os_version`` becomes the observed version, in inputs and outputs, so that drift is
        a property change in the next preview. Where the state declares a gate the nodes are judged too: a
        failed update keeps the old state, and a refresh that looked at the version alone would then make
        it look fine, with whoever depends on it.
        """
        from batch_os_provider import calls  # noqa: PLC0415 - as above

        return calls.read_os(ref, props)


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
    urn = engine.current_urn()
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


def _known(olds: Mapping[str, Any], news: Mapping[str, Any], *, changed: bool) -> Known:
    """What the state says, and why a change is planned though no property changed."""
    at, target = olds.get(CURRENT), news.get(inputs.TARGET)
    if changed or not at:
        return Known(at or "")
    if same_version(at, str(target)):
        if olds.get(STATE) == UNPROVEN:
            return Known(at, f"at {short(at)}, but its nodes were not seen to be as declared", UNPROVEN)
        return Known(at, f"still at {short(at)}, but it was upgrading when last looked at", "moving")
    return Known(at, f"still at {short(at)}; upgrade to {short(str(target))} was deferred", "deferred")
