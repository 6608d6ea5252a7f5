"""The component ``PoolFleet`` of the native provider: the plan of a Python fleet, with native resources as children.

A program of any language declares a fleet, and the engine asks this provider to construct it. The rows, states, gates
and errors are those of the children; a wave is registered when the engine is done with the wave before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from batch_os_provider.batch.address import PoolRef, parse_endpoint
from batch_os_provider.engine.diagnostics import ResourceLog
from batch_os_provider.engine.steps_at_once import hint
from batch_os_provider.errors import InputError
from batch_os_provider.plugin import monitor
from batch_os_provider.plugin.bags import UNKNOWN, Bag, is_unknown, pack, unpack
from batch_os_provider.plugin.fleet_watch import FleetWatch
from batch_os_provider.plugin.monitor import Child, FailedChildError, Registered
from batch_os_provider.plugin.resources import IMAGE, OS, PACKAGE, Resource
from batch_os_provider.schema import fleet_plan, inputs, resource_types
from batch_os_provider.schema.fleet_plan import FleetPlan
from batch_os_provider.schema.spelling import camel, in_core, in_program, strange
from batch_os_provider.schema.waves import Member, WavesError
from batch_os_provider.wording import counted, plural

__all__ = ["NAME", "POOLS", "TOKEN", "URL", "WAVES", "Fleet", "Made", "construct", "not_started"]

NAME = "PoolFleet"
TOKEN = f"{PACKAGE}:index:{NAME}"
POOLS, WAVES, URL = "pools", "waves", "url"
"""The outputs, and the output of a pool that is not an output of its resource."""
_PLACE = (inputs.ACCOUNT_ENDPOINT, inputs.POOL_ID_NAME)
_ALIASES_FORM = "the name of a resource without a parent, or a URN"
_DYNAMIC = {OS.name: resource_types.OS_TYPE, IMAGE.name: resource_types.IMAGE_TYPE}


class _Late:
    """The value of an input that is checked with each pool: not known yet, secret, or an output of a resource."""

    def __init__(self, value: object) -> None:
        self.value = value

    def __repr__(self) -> str:
        return "an output"  # the value may be secret


def _is_late(value: object) -> bool:
    return isinstance(value, _Late)


@dataclass(frozen=True)
class Made:
    """What a constructed fleet answers: its URN, its outputs, and the URNs of its children."""

    urn: str
    outputs: Bag
    children: tuple[str, ...]


@dataclass(frozen=True)
class Fleet:
    """A fleet of a program, planned. ``secrets`` are arguments, ``needs`` the URNs of what each argument needs."""

    plan: FleetPlan
    former: Mapping[Member, str]
    secrets: frozenset[str]
    needs: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(cls, given: Bag, needs: Mapping[str, tuple[str, ...]], endpoint: str = "") -> Fleet:
        """Plan the fleet of a bag.

        Args:
            given: the inputs of the program.
            needs: the URNs of the resources whose outputs an input has, by the input's name.
            endpoint: the account of the provider, if it has one.

        Raises:
            InputError: the program has to be corrected.
        """
        known = {camel(name) for name in fleet_plan.NAMES}
        wrong = [strange(name, fleet_plan.NAMES, f"an input of {NAME}") for name in given.values if name not in known]
        if wrong:
            raise _refusal("; ".join(f"{each.property}: {each.reason}" for each in wrong))
        values = in_core({name: value for name, value in given.values.items() if value is not None})
        if endpoint:
            values.setdefault(inputs.ACCOUNT_ENDPOINT, endpoint)
        secrets = frozenset(in_core(dict.fromkeys(given.secrets)))
        urns = in_core({name: each for name, each in needs.items() if each})
        try:
            for name in fleet_plan.PLAIN:
                _check_plain(name, values.get(name), is_secret=name in secrets)
            late = {
                name: _Late(value)
                for name, value in values.items()
                if name in fleet_plan.SHARED and (name in secrets or name in urns or is_unknown(value))
            }
            arguments = {**values, **late}
            plan = fleet_plan.plan(arguments, _is_late)
            former = fleet_plan.former(arguments, plan, _alias, _ALIASES_FORM)
        except WavesError as error:
            raise _refusal(str(error)) from None
        return cls(plan, former, secrets, urns)

    @property
    def resource(self) -> Resource:
        """The resource of its pools."""
        return OS if self.plan.spec is inputs.OS else IMAGE

    def child(self, fleet: str, pool: Member, before: tuple[str, ...]) -> Child:
        """The resource of one pool, which depends on those of the wave before; ``fleet`` is the fleet's name."""
        shared = self.plan.inputs_of(pool)
        bag = in_program({name: value.value if isinstance(value, _Late) else value for name, value in shared.items()})
        own = {inputs.POOL_ID_NAME} | ({inputs.ACCOUNT_ENDPOINT} if pool.endpoint else set())
        of_fleet = {camel(name): fleet_plan.argument_of(name) for name in shared if name not in own}
        return Child(
            self.resource.token,
            f"{fleet}-{pool.label}",
            Bag(bag, frozenset(name for name, argument in of_fleet.items() if argument in self.secrets)),
            {name: self.needs[argument] for name, argument in of_fleet.items() if argument in self.needs},
            before,
            self._aliases(pool),
        )

    def _aliases(self, pool: Member) -> list[Any]:
        """The former resources of a pool: those of the program, and that of the dynamic provider."""
        dynamic = {"type": _DYNAMIC[self.resource.name]}
        old = self.former.get(pool)
        if old is None:
            return [monitor.alias(**dynamic)]
        if old.startswith("urn:"):
            return [monitor.alias_of(old), monitor.alias(**dynamic)]
        root = {"name": old, "noParent": True}
        return [monitor.alias(**root), monitor.alias(**root, **dynamic), monitor.alias(**dynamic)]

    def shown(self, registered: Mapping[Member, Registered], *, is_preview: bool) -> Bag:
        """The outputs of the fleet: its waves, and by the spelling of the program the outputs of each pool.

        Outside a preview an unknown value is left out: `up --target` can leave out a pool.
        """
        pools: dict[str, Any] = {}
        secrets: set[str] = set()
        for pool in self.plan.pools:
            bag = registered[pool].outputs
            # A state that a dynamic provider wrote has the names of the core.
            state = in_core(bag.values)
            seen = {URL: self._url(pool, state)} | {name: state[name] for name in self.resource.shown if name in state}
            known = {name: value for name, value in seen.items() if is_preview or not is_unknown(value)}
            pools[pool.spelled] = in_program(known)
            secrets |= in_core(dict.fromkeys(bag.secrets)).keys() & {*self.resource.shown, *_PLACE}
        return Bag({WAVES: self.plan.spelled, POOLS: pools}, frozenset({POOLS} if secrets else ()))

    def _url(self, pool: Member, state: Mapping[str, Any]) -> object:
        endpoint = self.plan.inputs_of(pool)[inputs.ACCOUNT_ENDPOINT]
        if _is_late(endpoint):
            endpoint = state.get(inputs.ACCOUNT_ENDPOINT, UNKNOWN)
        try:
            return PoolRef(parse_endpoint(endpoint), pool.pool_id).url if isinstance(endpoint, str) else UNKNOWN
        except ValueError:
            return UNKNOWN  # a late value that no check has seen, such as that of a resource that was left out


def construct(request: Any, provider: str, endpoint: str, watch: FleetWatch) -> Made:
    """Make the children of a fleet, wave by wave, for a ``Construct`` request.

    Args:
        request: the request of the engine.
        provider: the reference of the provider of this process; empty if the engine does not say it. The children get
            it, also if the option ``providers`` of the fleet has another one: ``endpoint`` is the account of this one.
        endpoint: the account of the provider, if it has one.
        watch: the failures of this process.

    Raises:
        InputError: the program has to be corrected; nothing was registered.
        FailedChildError: a pool has failed, so no later wave started.
        MonitorClosedError: the engine has stopped.
    """
    needs = {name: tuple(each.urns) for name, each in request.inputDependencies.items()}
    fleet = Fleet.of(unpack(request.inputs), needs, endpoint)
    waves = fleet.plan.waves
    registered: dict[Member, Registered] = {}
    with monitor.connected(request, provider or request.providers.get(PACKAGE, ""), watch) as engine:
        urn = engine.register_component()
        row = ResourceLog(urn, request.name)
        if request.dryRun:
            _warn(row, fleet.plan.warning(request.name))
            if request.customTimeouts.ListFields():
                _warn(row, "customTimeouts of a fleet has no effect; declare timeout, which is that of each pool")
        before: tuple[str, ...] = ()
        for number, wave in enumerate(waves, 1):
            try:
                made = engine.register([fleet.child(request.name, pool, before) for pool in wave])
            except FailedChildError as error:
                if number < len(waves):
                    error.add(not_started(len(waves) - number))
                error.next_step = "Correct the cause that the rows of these pools show, and run `pulumi up` again"
                raise
            registered |= zip(wave, made, strict=True)
            before = tuple(each.urn for each in made)
        if request.dryRun:
            # As in Python programs: what a preview does not know changes.
            changes = [sum(is_unknown(registered[pool].outputs.values) for pool in wave) for wave in waves]
            _warn(row, hint(sum(changes), request.parallel, max(changes)))
        outputs = fleet.shown(registered, is_preview=request.dryRun)
        engine.register_outputs(pack(outputs.values, outputs.secrets))
    return Made(urn, outputs, tuple(each.urn for each in registered.values()))


def not_started(waves: int) -> str:
    """What becomes of the waves after one that failed."""
    return f"{counted(waves, 'later wave')} {plural(waves, 'does', 'do')} not start"


def _warn(row: ResourceLog, text: str) -> None:
    if text:
        row.warn(text)


def _check_plain(name: str, value: object, *, is_secret: bool) -> None:
    """Refuse a value that cannot decide which resources a fleet has."""
    why = "since it decides which resources the program registers"
    if is_secret:
        raise WavesError(f"{name}: it is or contains a secret; allowed: plain values, {why}")
    if is_unknown(value):
        raise WavesError(
            f"{name}: it is or contains a value that is not known yet; allowed: values that a preview knows, {why}"
        )


def _alias(old: object) -> str | None:
    return old if isinstance(old, str) and old else None


def _refusal(reason: str) -> InputError:
    return InputError(reason, next_step="Correct the program and run `pulumi preview`")
