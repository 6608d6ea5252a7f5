"""What the state machines of both kinds of pools share: an operator, other actors, faults, crashes, and the promises.

A machine is one account on one virtual clock. Rules are what people and the platform do; each `up` is the real rollout
over the real client. Whatever happens at a boundary (before a request reaches the account, after its answer has left
it) happens inside the call of the rollout that is held up there: a kill, another actor, or a whole second `up`.

The promises are the invariants I1 to I12. They are checked on each request as it is sent, after each step, and at the
end: all faults off, everybody else gone, one more `up` reaches what is declared.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from batch_os_provider.batch.address import PoolRef
from batch_os_provider.errors import BatchOsError
from batch_os_provider.rollout.loop import Rollout, read
from batch_os_provider.rollout.progress import Reporter
from batch_os_provider.simulator.faults import actor_actions
from batch_os_provider.simulator.world.audit import Entry
from batch_os_provider.simulator.world.durations import TRANSITIONS
from batch_os_provider.simulator.world.errors import BatchError
from batch_os_provider.simulator.world.model import READY, Pool
from batch_os_provider.simulator.world.reader import RefusedError
from batch_os_provider.simulator.world.unknowns import BY_NAME
from tests.support.examples import examples, is_soak
from tests.support.inprocess import ENDPOINT, Account
from tests.support.invariants import (
    Evidence,
    Kind,
    Run,
    Sent,
    failures_help,
    within_budget,
    writes_are_conditional,
)
from tests.unit.rollout.doubles import VirtualWaiter
from tests.unit.rollout.stage import Listener

if TYPE_CHECKING:
    import requests

RENDER = PoolRef(ENDPOINT, "render")
MINUTE, HOUR = 60.0, 3600.0

EFFECTS: tuple[dict[str, Any], ...] = (
    {"kind": "dropBefore"},
    {"kind": "dropAfter"},
    {"kind": "delay", "seconds": 3},
    {"kind": "delay", "seconds": 45},
    {"kind": "status", "status": 429, "retryAfter": 7},
    {"kind": "status", "status": 503, "retryAfter": 40},
    {"kind": "status", "status": 500, "code": "OperationTimedOut"},
    {"kind": "status", "status": 412},
    {"kind": "status", "status": 409, "code": "PoolBeingResized"},
    {"kind": "status", "status": 409},
    {"kind": "status", "status": 403},
    {"kind": "status", "status": 400},
    {"kind": "reset"},
    {"kind": "reset", "after": True},
    {"kind": "truncate", "bytes": 40},
    {"kind": "slow", "seconds": 30, "pieces": 5},
    {"kind": "delay", "seconds": 45, "after": True},
    {"kind": "stale", "changes": 1},
    {"kind": "stale", "seconds": 20},
    {"kind": "garbage"},
    {"kind": "unknownState"},
    {"kind": "extraFields"},
    {"kind": "clockSkew", "seconds": -7200},
)
MISHAPS: tuple[dict[str, Any], ...] = (
    {"kind": "stick", "count": 1},
    {"kind": "stick", "count": 1, "state": "unusable"},
    {"kind": "failStartTask", "count": 1},
    {"kind": "recover", "count": 1},
)
BOUNDARY = st.one_of(st.integers(1, 8), st.integers(1, 40))
"""Which boundary of an `up`: two for each request, counted from 1."""


def brief(count: int) -> settings:
    """So many examples of few steps, each of which may take its time."""
    return examples(count, stateful_step_count=25, suppress_health_check=list(HealthCheck))


def run(machine: type[PoolMachine], count: int, least: int) -> None:
    """Run a machine: so many examples, of at least so many steps in all, teardowns not counted."""
    machine.steps = 0
    machine.seen = Counter()
    run_state_machine_as_test(machine, settings=brief(count))
    happened = ", ".join(f"{what} {count}" for what, count in sorted(machine.seen.items()))
    print(f"{machine.__name__}: {machine.steps} steps; {happened}")  # noqa: T201 - pytest -s and `make soak` show it
    if is_soak():
        return
    assert machine.steps >= least
    for what in ("succeeded", "refused or failed", "killed", "inner up", "settled"):
        assert machine.seen[what], f"it never came to: {what}"


class Killed(BaseException):
    """The plugin is gone, with everything that it knew."""


@dataclass
class Up(Run):
    """One run of `pulumi up`, what it was shown, and what came of it."""

    undisturbed: bool = True
    shown: dict[str, Any] = field(default_factory=dict)
    """The pool, as the account last showed it."""
    shown_nodes: list[dict[str, Any]] = field(default_factory=list)


class Watched(Account):
    """An account that knows whose request it has, and holds each write to what its sender was shown."""

    def __init__(self, clock: VirtualWaiter, seed: dict[str, Any]) -> None:
        super().__init__(clock, seed)
        self._time = clock
        self.judge: Callable[[Up, str, Mapping[str, Any]], None] = lambda _up, _path, _body: None
        self.current: list[Up] = []
        self.senders: dict[str, Up] = {}
        self.strangers: list[str] = []
        """Writes of somebody who may not write: a preview or a refresh."""

    @property
    def is_quiet(self) -> bool:
        """Whether nothing goes wrong, and no request is on its way whose client has given up on it."""
        return not self._late and not self.faults.rules

    def send(self, request: requests.PreparedRequest, timeout: tuple[float, float]) -> requests.Response:
        """Carry one request."""
        method, path = str(request.method), request.path_url.partition("?")[0]
        if self.current:
            up = self.current[-1]
            up.sent.append(Sent(method, path, str(request.headers.get("If-Match", "")), self._time.now()))
            self.senders[str(request.headers["client-request-id"])] = up
            if method != "GET":
                self.judge(up, path, json.loads(request.body or "{}"))
        elif method != "GET":
            self.strangers.append(f"{method} {path}")
        return super().send(request, timeout)

    def _answer(self, request: requests.PreparedRequest, exchange: Any, patience: float) -> None:
        super()._answer(request, exchange, patience)
        if request.method != "GET" or not self.current:
            return
        try:
            body = json.loads(exchange.answer.partition(b"\r\n\r\n")[2])
        except ValueError:
            return
        up = self.current[-1]
        if "value" in body:
            up.shown_nodes = body["value"]
        elif "id" in body:
            up.shown = body


class PoolMachine(RuleBasedStateMachine):
    """One pool, its operator and everybody else."""

    steps: ClassVar[int] = 0
    seen: ClassVar[Counter[str]] = Counter()
    """How often each thing happened, so that nobody has to believe that it did."""
    kind: ClassVar[Kind]
    operations: ClassVar[tuple[str, ...]]
    """What a rollout may ask of Batch (I8): nothing else, whatever happens."""
    switches: ClassVar[tuple[str, ...]]
    """The unknowns that a rollout meets."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = VirtualWaiter()
        self.account = Watched(self.clock, self.seed())
        self.account.judge = self.judge_write
        self.world = self.account.world
        self.client = self.account.client()
        self.judged = 0
        """The last entry of the audit that was judged."""
        self.lost_by_others = 0
        """Times that a task went back to the queue because of what somebody else did."""

    # --- what a kind of pool brings ---

    def seed(self) -> dict[str, Any]:
        """The account in the beginning."""
        raise NotImplementedError

    def rollout(self, reporter: Reporter, timeout: float, *, defer: bool) -> Rollout[Any]:
        """A rollout to what is declared."""
        raise NotImplementedError

    def look(self) -> Any:
        """What a refresh reads."""
        raise NotImplementedError

    def plan(self) -> None:
        """A preview."""
        raise NotImplementedError

    def is_empty_diff(self, seen: Any) -> bool:
        """Whether a refresh that has read this, and a preview, show no change."""
        raise NotImplementedError

    def judge_success(self, up: Up) -> None:
        """I4, at the moment of the last look."""
        raise NotImplementedError

    def judge_write(self, up: Up, path: str, body: Mapping[str, Any]) -> None:
        """I2: a write follows from what was shown before it."""

    def judge_request(self, entry: Entry) -> None:
        """I2, I8: a rollout asks for nothing but what its cycle needs."""

    def judge_pool(self) -> None:
        """What must hold of the pool at any time."""

    def mend(self) -> None:
        """Before the last `up`: people put in order what no provider may."""

    # --- the operator ---

    @property
    def pool(self) -> Pool | None:
        """The pool at present."""
        self.account.catch_up()
        return self.world.pools.get("render")

    def up(
        self,
        timeout: float = 15 * MINUTE,
        *,
        defer: bool = False,
        stop_after: float = math.inf,
        cut: tuple[int, Callable[[], None]] | None = None,
    ) -> Up:
        """`pulumi up`, perhaps with ^C after so many seconds, or with something that happens at a boundary."""
        up, voice = Up(), Listener()
        with self._running(up, self.clock.now() + stop_after, cut):
            try:
                up.outcome = self.rollout(Reporter(voice), timeout, defer=defer).run()
            except BatchOsError as error:
                up.error = error
            except Killed:
                up.crashed = True
        up.said = voice.said
        self.judge_up(up)
        return up

    @contextmanager
    def _running(self, up: Up, stop_at: float, cut: tuple[int, Callable[[], None]] | None) -> Iterator[None]:
        passed = 0

        def hook(_moment: str, _method: str, _path: str) -> None:
            nonlocal passed
            passed += 1
            if cut is not None and passed == cut[0]:
                up.undisturbed = False
                cut[1]()

        earlier = self.account.hook, self.clock.stop_at
        self.account.hook, self.clock.stop_at = hook, stop_at
        self.account.current.append(up)
        try:
            yield
        finally:
            self.account.current.pop()
            self.account.hook, self.clock.stop_at = earlier

    def refresh(self) -> Any:
        """`pulumi refresh`: what is read; None where there is no pool, or Batch does not answer."""
        try:
            return read(RENDER, self.look, self.clock, lambda: 0.5)
        except BatchOsError as error:
            self.judge_error(error)
            return None

    # --- rules that both kinds share ---

    def _step(self, what: str) -> None:
        type(self).steps += 1
        self.seen[what] += 1

    @initialize(data=st.data())
    def turn_switches(self, data: st.DataObject) -> None:
        """Batch is one of those that the evidence allows."""
        for name in data.draw(st.lists(st.sampled_from(self.switches), max_size=3, unique=True)):
            self.world.unknowns.set({name: data.draw(st.sampled_from(BY_NAME[name].allowed))})

    @rule()
    def up_to_the_end(self) -> None:
        self._step("up")
        up = self.up()
        self.check_settled(up)

    @rule(timeout=st.sampled_from((1.0, 20.0, 75.0)), defer=st.booleans())
    def up_with_a_short_timeout(self, timeout: float, defer: bool) -> None:
        self._step("up with a short timeout")
        self.up(timeout, defer=defer)

    @rule(seconds=st.sampled_from((0.0, 0.01, 0.03, 2.0, 31.0, 110.0)))
    def up_and_interrupt(self, seconds: float) -> None:
        self._step("up and ^C")
        self.up(stop_after=seconds)

    @rule(at=BOUNDARY)
    def up_and_kill(self, at: int) -> None:
        self._step("up and kill")

        def kill() -> None:
            raise Killed

        up = self.up(cut=(at, kill))
        self.seen["killed"] += up.crashed

    @rule(at=BOUNDARY, timeout=st.sampled_from((20.0, 15 * MINUTE)))
    def up_inside_an_up(self, at: int, timeout: float) -> None:
        self._step("up inside an up")
        self.up(cut=(at, lambda: self._inner(timeout)))

    def _inner(self, timeout: float) -> None:
        self.seen["inner up"] += 1
        self.up(timeout)

    @rule()
    def refresh_and_preview(self) -> None:
        self._step("refresh and preview")
        self.refresh()
        try:
            self.plan()
        except BatchOsError as error:
            self.judge_error(error)
        assert not self.account.strangers, f"I5: written by a refresh or a preview: {self.account.strangers}"

    @rule(seconds=st.sampled_from((0.5, 5.0, 33.0, 100.0, 600.0)))
    def time_passes(self, seconds: float) -> None:
        self._step("time passes")
        self.clock.spend(seconds)
        self.account.catch_up()

    @rule(
        data=st.data(),
        effect=st.sampled_from(EFFECTS),
        match=st.one_of(
            st.builds(lambda nth: {"nth": nth}, st.integers(1, 4)),
            st.builds(lambda seed: {"probability": 0.3, "seed": seed}, st.integers(0, 9)),
        ),
    )
    def fault(self, data: st.DataObject, effect: dict[str, Any], match: dict[str, Any]) -> None:
        self._step("fault")
        reads = ("Pool_Get", "ComputeNode_List")
        operation = data.draw(st.sampled_from(reads if effect["kind"] == "stale" else (None, *self.operations)))
        self.account.faults.add({"match": {**match, "operation": operation}, "effect": dict(effect)})

    @rule(do=st.sampled_from(MISHAPS))
    def mishap(self, do: dict[str, Any]) -> None:
        self._step("a mishap")
        self.others(lambda _pool: actor_actions.perform(self.world, "render", do))

    @precondition(lambda self: bool(self.account.faults.rules))
    @rule()
    def no_faults(self) -> None:
        self._step("no faults")
        self.account.faults.clear()

    # --- the promises ---

    def check_settled(self, up: Up) -> None:
        """I6: after a success a refresh and a preview are empty."""
        if not up.succeeded or not self.account.is_quiet:
            return
        seen = self.refresh()
        if seen is not None:
            assert self.is_empty_diff(seen), f"I6: after a success something is left to do: {seen}"
            self.seen["settled"] += 1

    def judge_up(self, up: Up) -> None:
        """What must hold of one run."""
        for key, happened in (
            ("succeeded", up.succeeded),
            ("deferred", up.outcome is not None and up.outcome.deferred),
            ("refused or failed", up.error is not None),
        ):
            self.seen[key] += happened
        if up.error is not None:
            self.seen[type(up.error).__name__] += 1
        assert self.world.key not in up.text, "I10"
        evidence = Evidence(self.kind, "render", "", 0, self.world, [up])
        writes_are_conditional(evidence)
        within_budget(evidence)
        failures_help(evidence)
        if up.succeeded:
            self.judge_success(up)
        self.judge_audit()

    def judge_error(self, error: BatchOsError) -> None:
        """I10, I12, of a refresh or a preview."""
        assert self.world.key not in str(error), "I10"
        failures_help(Evidence(self.kind, "render", "", 0, self.world, [Run(reads=True, error=error)]))

    def judge_audit(self) -> None:
        """I8: no rollout asks for anything that it has no business with."""
        self.account.catch_up()
        fresh = [entry for entry in self.world.audit.entries if entry.seq > self.judged]
        for entry in fresh:
            self.judged = entry.seq
            if entry.kind == "request":
                assert entry.operation in self.operations, f"I8: {entry.operation}"
                self.judge_request(entry)

    def effective(self, operation: str, up: Up | None = None) -> list[Entry]:
        """The writes of one `up`, or of all, that the account has carried out."""
        return [
            entry
            for entry in self.world.audit.entries
            if entry.operation == operation
            and "body" in entry.detail
            and (up is None or self.account.senders.get(entry.detail.get("clientRequestId", "")) is up)
        ]

    @invariant()
    def check(self) -> None:
        """After each step."""
        self.judge_audit()
        assert not self.account.strangers, f"I5: {self.account.strangers}"
        self.judge_pool()

    # --- everybody else ---

    def others(self, act: Callable[[Pool], None]) -> None:
        """Let somebody else do something to the pool, if there is one; Batch may refuse it."""
        pool = self.pool
        if pool is None:
            return
        before = self.requeues()
        try:
            act(pool)
        except (BatchError, RefusedError):
            self.seen["others were refused"] += 1
        self.world.advance()
        self.lost_by_others += self.requeues() - before

    def requeues(self) -> int:
        """How often tasks went back to the queue."""
        return sum(task.requeues for job in self.world.jobs.values() for task in job.tasks.values())

    # --- the end ---

    def teardown(self) -> None:
        """I7: faults off, everybody gone: one more `up` reaches what is declared, and nothing is lost."""
        self.account.faults.clear()
        self.clock.spend(HOUR)  # what is on its way arrives, what runs ends
        self.account.catch_up()
        self.mend()
        self.clock.spend(HOUR)
        self.account.catch_up()
        up = self.up(4 * HOUR)
        assert up.succeeded, f"I7: the last `up` did not reach what is declared: {up.error or up.outcome}"
        self.check_settled(up)
        again = self.up(4 * HOUR)
        assert again.succeeded, again.error
        assert len(again.sent) <= 2, "a second `up` only looks"
        self.clock.spend(HOUR)
        self.account.catch_up()
        for job in self.world.jobs.values():
            for task in job.tasks.values():
                assert task.state == "completed", f"I3: {job.id}/{task.id} is {task.state}"
        self.check()


def settle_nodes(pool: Pool) -> None:
    """People have repaired every node that would stay out for ever."""
    for node in pool.nodes.values():
        if node.state not in (*READY, *TRANSITIONS) or (node.state in TRANSITIONS and node.due is None):
            node.state, node.due, node.fate, node.errors, node.start_task = "idle", None, None, [], None
