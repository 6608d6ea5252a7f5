"""What a matrix of switches and scenarios is made of: settings, a place to play one rollout, and how it ended.

A scenario has one oracle for every setting of every switch of ``simulator/unknowns.py``. Where a switch rightly turns
the outcome, a row of :class:`Otherwise` says which oracle holds instead, and why; nothing else may differ.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from batch_os_provider.batch.address import PoolRef
from batch_os_provider.batch.vm_target import AllocatedSince
from batch_os_provider.errors import BatchOsError
from batch_os_provider.rollout.context import RolloutContext
from batch_os_provider.rollout.image_renewal.renewal import ImageRenewal
from batch_os_provider.rollout.os_upgrade.upgrade import OsUpgrade
from batch_os_provider.rollout.progress import Reporter
from batch_os_provider.schema.declared import Declared, DeclaredImage, ImagePolicy, Policy
from batch_os_provider.simulator.world.audit import Entry
from batch_os_provider.simulator.world.model import Pool
from batch_os_provider.simulator.world.unknowns import BY_NAME, TABLE, VM_TABLE, Unknowns
from batch_os_provider.simulator.world.world import World
from tests.support.inprocess import ENDPOINT, Account
from tests.support.invariants import target_from
from tests.support.simulator import NEW, TARGET, capacity
from tests.support.trial import Oversleeper
from tests.unit.rollout.stage import Listener

Setting = Mapping[str, str | float]

TURNING = ("retiredApiVersions", "latestOfNewNodes", "pinnedEqualsLatest", "versionValidation")
"""Switches that turn outcomes; in every second mixture they stay at their defaults, so that the others are seen."""


def _mixture(number: int) -> Setting:
    """Every switch odd at once, chosen by a seed; those that turn outcomes in every second mixture only."""
    dice = random.Random(number)
    odd = {
        row.name: dice.choice([value for value in row.allowed if value != row.default]) for row in (*TABLE, *VM_TABLE)
    }
    return {name: value for name, value in odd.items() if number % 2 or name not in TURNING}


def settings_of(names: Iterable[str], mixtures: int) -> Mapping[str, Setting]:
    """All defaults, each other value of each of these switches alone, and mixtures of all switches there are."""
    rows = [BY_NAME[name] for name in names]
    return {
        "defaults": {},
        **{f"{row.name}={value}": {row.name: value} for row in rows for value in row.allowed if value != row.default},
        **{f"mixture {number}": _mixture(number) for number in range(mixtures)},
    }


@dataclass
class Ending:
    """How a rollout ended, in an outcome or in an error."""

    error: BatchOsError | None
    deferred: bool
    voice: Listener

    def done(self) -> None:
        """It reached its target."""
        assert self.error is None, self.error
        assert not self.deferred

    def failed(self, kind: type[BatchOsError], *words: str) -> None:
        """It failed with an error that says this."""
        assert self.error is not None, f"it succeeded: {self.voice.said}"
        assert isinstance(self.error, kind), repr(self.error)
        for word in words:
            assert word in str(self.error), f"{word!r} is not in: {self.error}"


class _Watched(Unknowns):
    """Switches that tell which of them were read."""

    def __init__(self, read: set[str]) -> None:
        super().__init__()
        self._read = read

    def __getitem__(self, name: str) -> str | float:
        self._read.add(name)
        return super().__getitem__(name)


@dataclass
class Place:
    """An account under a setting, its clock, and what others do in it."""

    setting: Setting
    waiter: Oversleeper = field(default_factory=Oversleeper)
    account: Account = field(init=False)
    read: set[str] = field(default_factory=set)
    oversleeps: bool = True
    _plans: list[tuple[Callable[[str, str], bool], Callable[[World], None]]] = field(default_factory=list)

    def seed(self, *pools: Mapping[str, Any], **more: Any) -> None:
        """Begin."""
        self.account = Account(self.waiter, {"pools": list(pools), **more})
        self.account.world.unknowns = _Watched(self.read)
        self.account.world.unknowns.set({"exactVersionOfLatest": "number", **self.setting})
        self.account.hook = self._look_at_plans
        if self.oversleeps:
            self.waiter.account = self.account

    @property
    def world(self) -> World:
        """The account from inside."""
        return self.account.world

    def pool(self, pool_id: str = "render") -> Pool:
        """A pool from inside."""
        return self.world.pool(pool_id)

    def at(self, seconds: float, act: Callable[[World], None]) -> None:
        """Somebody else acts once so many seconds have passed, just before the next request comes."""
        self._plans.append((lambda _method, _path: self.waiter.now() >= seconds, act))

    def just_before(self, method: str, ending: str, act: Callable[[World], None]) -> None:
        """Somebody else acts between a look and the first request of this kind that follows it."""
        self._plans.append((lambda sent, path: sent == method and path.endswith(ending), act))

    def _look_at_plans(self, moment: str, method: str, path: str) -> None:
        if moment == "before":
            due = [plan for plan in self._plans if plan[0](method, path)]
            self._plans = [plan for plan in self._plans if plan not in due]
            for _, act in due:
                act(self.world)
                self.world.advance()

    def fault(self, operation: str, **effect: Any) -> None:
        """The first call of an operation goes wrong."""
        self.account.faults.add({"match": {"operation": operation, "nth": 1}, "effect": effect})

    def upgrade(self, target: str = NEW, policy: Policy | None = None, **goal: Any) -> Ending:
        """One ``up`` of a PoolOsVersion."""
        wanted = Declared(PoolRef(ENDPOINT, "render"), target, policy or Policy(), **{"timeout": 7200.0, **goal})
        return self._run(
            lambda reporter: OsUpgrade(
                wanted, RolloutContext(self.account.client(), self.waiter, reporter, lambda: 0.5)
            )
        )

    def renew(self, policy: ImagePolicy | None = None, since: str = "", **goal: Any) -> Ending:
        """One ``up`` of a PoolImageVersion, to a version or to a moment."""
        given = goal.pop("target", TARGET)
        given = target_from(given) if isinstance(given, str) else given
        target = AllocatedSince.parse(since) if since else given
        ref, chosen = PoolRef(ENDPOINT, "render"), policy or ImagePolicy("surge", 2)
        wanted = DeclaredImage(ref, target, chosen, **{"drain_timeout": 3600.0, "timeout": 36_000.0, **goal})
        return self._run(
            lambda reporter: ImageRenewal(
                wanted, RolloutContext(self.account.client(), self.waiter, reporter, lambda: 0.5)
            )
        )

    def _run(self, make: Callable[[Reporter], OsUpgrade | ImageRenewal]) -> Ending:
        voice = Listener()
        try:
            outcome = make(Reporter(voice, 30.0)).run()
        except BatchOsError as error:
            return Ending(error, deferred=False, voice=voice)
        finally:
            self.account.catch_up()
        return Ending(None, outcome.deferred, voice)

    def pass_time(self, seconds: float) -> None:
        """Nobody asks for anything."""
        self.waiter.spend(seconds)
        self.account.catch_up()

    def entries(self) -> Iterable[Entry]:
        """What has happened."""
        return self.world.audit.entries

    def writes(self, operation: str | None = None) -> list[int | None]:
        """The statuses of the requests so far that are no reads."""
        return [
            entry.status
            for entry in self.entries()
            if entry.kind == "request" and entry.method not in ("GET", "HEAD") and operation in (None, entry.operation)
        ]

    def upgrades_begun(self) -> int:
        """How often a pool went into ``upgrading``."""
        return sum(
            entry.detail.get("resource") == "pool" and entry.detail["to"] == "upgrading" for entry in self.entries()
        )

    def capacity(self, start: int) -> tuple[int, int]:
        """The least and the most dedicated nodes that took tasks at any time, of the ``start`` that there were."""
        return capacity((entry.to_json() for entry in self.entries()), start)

    def tasks_done(self) -> None:
        """Nothing is lost: every task ran to its end, however often it went back to the queue."""
        self.pass_time(20_000)
        for job in self.world.jobs.values():
            assert {task.state for task in job.tasks.values()} <= {"completed"}


def quietly(act: Callable[[World], None]) -> Callable[[World], None]:
    """Let somebody act on ``render`` without its ETag moving, so that Batch's own answer meets us and not a 412.

    Which changes move the ETag is not documented; that of an autoscale run, for one, need not.
    """

    def acting(world: World) -> None:
        pool = world.pool("render")
        stamps = pool.etag, pool.modified
        act(world)
        pool.etag, pool.modified = stamps

    return acting


Oracle = Callable[[Place, Ending], None]


@dataclass(frozen=True)
class Scenario:
    """``play`` seeds a place and runs a rollout; ``oracle`` says what must be true then."""

    play: Callable[[Place], Ending]
    oracle: Oracle


def exactly(play: Callable[[Place], Ending]) -> Callable[[Place], Ending]:
    """No sleep is longer than asked: where the seconds are what the scenario is about."""

    def playing(place: Place) -> Ending:
        place.oversleeps = False
        return play(place)

    return playing


@dataclass(frozen=True)
class Otherwise:
    """Where a switch stands at one of ``values``, these scenarios end in another way, and rightly so."""

    switch: str
    values: tuple[str | float, ...]
    scenarios: frozenset[str]
    oracle: Oracle
    why: str


def judge(name: str, scenario: Scenario, otherwise: Iterable[Otherwise], settings: Mapping[str, Setting]) -> int:
    """Play a scenario under all settings; returns how many runs that took.

    A run in which no switch of a setting was ever read is the run under the defaults, so it is not played again.
    """
    read = _judge_one(name, scenario, otherwise, "defaults", {})
    turned = {label: setting for label, setting in settings.items() if read & set(setting)}
    for label, setting in turned.items():
        _judge_one(name, scenario, otherwise, label, setting)
    return 1 + len(turned)


def _stands(setting: Setting, row: Otherwise) -> bool:
    return setting.get(row.switch, BY_NAME[row.switch].default) in row.values


def _judge_one(
    name: str, scenario: Scenario, otherwise: Iterable[Otherwise], label: str, setting: Setting
) -> frozenset[str]:
    """One cell of the matrix; the switches that were read in it. (A failure shows ``label``.)"""
    place = Place(setting)
    ending = scenario.play(place)
    oracle = next((row.oracle for row in otherwise if name in row.scenarios and _stands(setting, row)), scenario.oracle)
    oracle(place, ending)
    return frozenset(place.read)


def is_met(switch: str, scenario: Scenario) -> bool:
    """Whether a switch is read while a scenario is played, under the defaults or with old API versions retired."""
    for setting in ({}, {"retiredApiVersions": "before-2025-06-01"}):
        place = Place(setting)
        scenario.play(place)
        if switch in place.read:
            return True
    return False
