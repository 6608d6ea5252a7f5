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
from batch_os_provider.client import shared_client
from batch_os_provider.decide import same_version
from batch_os_provider.errors import ApiRetiredError, InputError
from batch_os_provider.health import Failed, Passed, age_of, judge, unhealthy
from batch_os_provider.inputs import Declared
from batch_os_provider.observer import Observer
from batch_os_provider.pool import Kind, Node, Pool, PoolRef, PoolState, parse_pool_url
from batch_os_provider.preview import CONFIG, Known, Program, Refused, is_on, preview_os
from batch_os_provider.report import NODE_INTERVAL, NODE_INTERVAL_TERMINAL, Reporter
from batch_os_provider.rollout import read
from batch_os_provider.upgrade import Goal, OsUpgrade
from batch_os_provider.wait import RealWaiter

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["OUTPUTS", "PoolOsVersionProvider", "PoolProvider", "is_unknown", "known", "observer", "program", "ref_of"]

CURRENT, FAMILY, STATE, UNHEALTHY = "current_os_version", "os_family", "pool_state", "unhealthy_nodes"
OUTPUTS = (CURRENT, FAMILY, STATE, UNHEALTHY)
"""What the provider adds to the inputs."""
UNPROVEN = "unproven"
"""The ``pool_state`` of a pool that is active, and whose nodes were not seen to be as the program asks."""

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
_observers: dict[str, Observer] = {}
_observers_lock = threading.Lock()
program = Program()
"""The program whose resources this process serves."""


def observer(endpoint: str) -> Observer:
    """The one observer of an account in this process. Raises CredentialError: no credential fits the endpoint."""
    with _observers_lock:
        if endpoint not in _observers:
            _observers[endpoint] = Observer(shared_client(endpoint))
        return _observers[endpoint]


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
        failures = failures or _declared_twice(kept)
        # A resource that exists is compared by diff, which knows whether there is anything to look at.
        if not failures and not _olds and not self.is_open(kept):
            refused = self.preview(kept, None)
            failures = [inputs.Failure(self.spec.target, refused.reason)] if refused is not None else []
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
        return preview_os(Declared.of(bag), known, look=program.looks)

    def create(self, props: dict[str, Any]) -> dynamic.CreateResult:
        """Adopt the pool: upgrade it if it does not run the target, else write nothing."""
        return dynamic.CreateResult(Declared.of(props).ref.url, _roll(props, {}))

    def update(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> dynamic.UpdateResult:
        """The same rollout as create."""
        return dynamic.UpdateResult(_roll(_news, _olds))

    def read(self, id_: str, props: dict[str, Any]) -> dynamic.ReadResult:
        """What the pool shows now.

        ``target_os_version`` becomes the observed version, in inputs and outputs, so that drift is
        a property change in the next preview. Where the state declares a gate the nodes are judged too: a
        failed update keeps the old state, and a refresh that looked at the version alone would then make
        it look fine, with whoever depends on it.
        """
        ref = ref_of(id_)
        program.read(engine.current_urn())
        bag = {inputs.ACCOUNT_ENDPOINT: ref.endpoint, inputs.POOL_ID_NAME: ref.pool_id, **known(inputs.INPUTS, props)}
        row = engine.Row(engine.current_urn(), ref.pool_id)
        try:
            client = shared_client(ref.endpoint)
            gate = inputs.gate_of(bag)

            def look() -> tuple[Pool, tuple[Node, ...] | None]:
                pool = client.get_pool(ref)
                at_rest = pool.kind is Kind.CLOUD_SERVICES and pool.state is PoolState.ACTIVE
                return pool, client.list_nodes(ref) if gate.is_declared and at_rest else None

            seen = read(ref, look, RealWaiter(engine.stop))
        except ApiRetiredError as error:
            # Not gone, and nothing is known that contradicts the state: no reason to block every refresh of the stack.
            row.warn(str(error))
            return dynamic.ReadResult(id_, {**bag, **known(OUTPUTS, props)}, dict(bag))
        if seen is None:
            return dynamic.ReadResult(None, {})
        pool, nodes = seen
        if pool.kind is not Kind.CLOUD_SERVICES:
            row.warn(f"pool {ref.url} is a {pool.kind.value} pool; upgradeos works on Cloud Services pools only")
        if pool.current_os_version is not None:
            bag[inputs.TARGET] = pool.current_os_version
        if nodes is None:
            return dynamic.ReadResult(id_, {**bag, **_observed(pool, _last_count(pool, props))}, dict(bag))
        verdict = judge(nodes, gate, age_of(nodes, pool.seen_at))
        # What only waits has been waited for, where the state says that this version has passed.
        passed = props.get(STATE) == PoolState.ACTIVE.value and props.get(CURRENT) == pool.current_os_version
        proven = isinstance(verdict, Passed) or (passed and not isinstance(verdict, Failed))
        outputs = _observed(pool, len(unhealthy(nodes)), proven=proven)
        return dynamic.ReadResult(id_, {**bag, **outputs}, dict(bag))


def _roll(bag: Mapping[str, Any], olds: Mapping[str, Any]) -> dict[str, Any]:
    """Bring one pool to its target and return the outputs; ``olds`` are what they were, if they were any."""
    declared = Declared.of(bag)
    row = engine.Row(engine.current_urn(), declared.ref.pool_id)
    interval = NODE_INTERVAL_TERMINAL if engine.is_terminal() else NODE_INTERVAL
    goal = Goal(
        declared.ref,
        declared.target,
        declared.policy,
        declared.timeout,
        declared.defer,
        declared.gate,
        declared.stall_after,
        report=olds.get(UNHEALTHY) is None or not same_version(olds.get(CURRENT), declared.target),
    )
    account = observer(declared.ref.endpoint)
    rollout = OsUpgrade(goal, account, RealWaiter(engine.stop), Reporter(row, interval), company=account)
    pool = rollout.run().pool
    count = _last_count(pool, olds) if rollout.unhealthy is None else rollout.unhealthy
    return {**known(inputs.INPUTS, bag), **_observed(pool, count, proven=rollout.is_proven)}


def known(names: Iterable[str], bag: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a bag that has these names and is not None."""
    return {name: bag[name] for name in names if bag.get(name) is not None}


def ref_of(id_: str) -> PoolRef:
    """The pool that a resource's id names. Raises InputError where it names none."""
    try:
        return parse_pool_url(id_)
    except ValueError as error:
        raise InputError(
            f"the id {id_!r} is not the URL of a pool: {error}",
            next_step="Give {account_endpoint}/pools/{pool_id}, such as "
            "https://myaccount.westeurope.batch.azure.com/pools/render",
        ) from error


def _observed(pool: Pool, unhealthy_nodes: int | None, *, proven: bool = True) -> dict[str, Any]:
    state = pool.state_text if proven or pool.state is not PoolState.ACTIVE else UNPROVEN
    outputs = {CURRENT: pool.current_os_version, FAMILY: pool.os_family, STATE: state}
    # None is no output to Pulumi, and would be one that goes.
    return outputs if unhealthy_nodes is None else {**outputs, UNHEALTHY: unhealthy_nodes}


def _last_count(pool: Pool, olds: Mapping[str, Any]) -> int | None:
    """The unhealthy nodes as last counted at this version, where nobody has looked since."""
    count = olds.get(UNHEALTHY)
    same = pool.current_os_version is not None and olds.get(CURRENT) == pool.current_os_version
    return int(count) if count is not None and same else None


def is_unknown(value: object) -> bool:
    """Whether a value is the engine's stand-in for one that is not known yet."""
    return isinstance(value, Unknown)


def _declared_twice(kept: Mapping[str, Any]) -> list[inputs.Failure]:
    urn = engine.current_urn()
    if not urn or any(is_unknown(kept[name]) for name in _REPLACING):
        return []
    ref = PoolRef(kept[inputs.ACCOUNT_ENDPOINT], kept[inputs.POOL_ID_NAME])
    other = _register.other_owner(urn, ref)
    if not other:
        return []
    reason = (
        f"{ref.pool_id!r} of {ref.endpoint} is declared twice, by {other} and by {urn}; "
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
            return Known(at, f"at {at}, but its nodes were not seen to be as declared", UNPROVEN)
        return Known(at, f"still at {at}, but it was upgrading when last looked at", "moving")
    return Known(at, f"still at {at}; upgrade to {target} was deferred", "deferred")
