"""One pool, and the runs of one rollout on it, in one process: with faults, crashes, and all of it kept.

Every test of the fault table and of crashes tells the same story (look, run, something happens,
run again, look) and asks the same questions of it. A run is cut into moments: before and after each request,
and in the middle of each sleep. A crash is an end at one of them, without a last word, as kill -9 has it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from batch_os_provider.batch.address import PoolRef
from batch_os_provider.batch.vm_target import AllocatedSince, Target
from batch_os_provider.errors import BatchOsError
from batch_os_provider.preview.plan import Plan, plan_image, plan_os
from batch_os_provider.rollout.context import RolloutContext
from batch_os_provider.rollout.image_renewal.renewal import ImageRenewal, read_view
from batch_os_provider.rollout.os_upgrade.upgrade import OsUpgrade
from batch_os_provider.rollout.progress import NODE_INTERVAL, Reporter
from batch_os_provider.schema.declared import Declared, DeclaredImage, ImagePolicy, Policy
from tests.support.inprocess import ENDPOINT, Account
from tests.support.invariants import Evidence, Kind, Run, Sent, Snapshot, snapshot, target_from
from tests.support.simulator import IMAGES, MOVED, NEW, NOBLE, TARGET, WINDOWS_2022, Image, job, paas_pool, vm_pool
from tests.unit.rollout.doubles import VirtualWaiter
from tests.unit.rollout.stage import Listener

if TYPE_CHECKING:
    import requests

RENDER = PoolRef(ENDPOINT, "render")
GALLERY_IMAGE = "/subscriptions/s/resourceGroups/r/providers/Microsoft.Compute/galleries/studio/images/farm"
FORMULA = "$TargetDedicatedNodes = 2;  // nights"
EVERY_MOMENT = bool(os.environ.get("BATCH_OS_TEST_EVERY_MOMENT"))
LONGEST_SLEEP = 30.0
"""Seconds."""
SINCE = "2024-06-01"
"""A moment before the beginning of a trial, after the allocation of the seeded nodes."""


class Oversleeper(VirtualWaiter):
    """A waiter whose sleeps end when the account has something new to show, and at the latest ``LONGEST_SLEEP`` later.

    Nine of ten reads of a rollout show what the read before has shown, and they were half of the time of these tests.
    A provider on a busy machine sleeps too long as well. ``BATCH_OS_TEST_EVERY_MOMENT=1`` sleeps exactly as asked.
    """

    def __init__(self) -> None:
        super().__init__()
        self.account: Account | None = None

    def sleep(self, seconds: float) -> None:
        """Sleep as asked, then on."""
        super().sleep(seconds)
        if self.account is not None and not EVERY_MOMENT:
            self.account.pass_quietly(LONGEST_SLEEP - seconds)


class CrashError(BaseException):
    """The process is gone: nothing of the provider may catch this."""


class Clockwork(Oversleeper):
    """A waiter that tells when half of a sleep is over."""

    def __init__(self) -> None:
        super().__init__()
        self.moment: Callable[[str], None] = lambda _name: None

    def sleep(self, seconds: float) -> None:
        """Sleep in two halves."""
        if seconds > 0:
            VirtualWaiter.sleep(self, seconds / 2)
            self.moment("asleep")
            seconds /= 2
        super().sleep(seconds)


class Watched(Account):
    """An account that keeps what was sent to it, as it was sent."""

    def __init__(self, waiter: VirtualWaiter, seed: dict[str, Any]) -> None:
        super().__init__(waiter, seed)
        self.sent: list[Sent] = []
        self._waiter = waiter

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        """Keep it, then carry it over."""
        etag = request.headers.get("If-Match", "")
        self.sent.append(Sent(str(request.method), str(request.path_url), str(etag), self._waiter.now()))
        return super().send(request, *args, **kwargs)


@dataclass(frozen=True)
class Shape:
    """What a pool is when all begins, and what is wanted of it; the goal is that of the kind."""

    kind: Kind
    pool: dict[str, Any]
    tasks: tuple[int, ...] = ()
    goal: dict[str, Any] = field(default_factory=dict)
    surge: int = 1
    strategy: Any = "surge"
    canary: int = 1
    autoscale: Any = "refuse"
    more: dict[str, Any] = field(default_factory=dict)
    unavailable: int = 0

    @property
    def seed(self) -> dict[str, Any]:
        """The account to begin with."""
        jobs = [job("render", *self.tasks)] if self.tasks else []
        return {"pools": [self.pool], "images": [MOVED], "jobs": jobs, **self.more}

    @property
    def target(self) -> str:
        """The declared version."""
        wanted: str = self.goal.get("target", NEW if self.kind == "os" else TARGET)
        return wanted


def os_shape(*tasks: int, nodes: int = 3, goal: dict[str, Any] | None = None, **pool: Any) -> Shape:
    """A Cloud Services pool with tasks of so many seconds."""
    return Shape("os", paas_pool(nodes=nodes, **pool), tasks, goal or {})


def image_shape(*tasks: int, nodes: int = 2, surge: int = 1, goal: dict[str, Any] | None = None, **pool: Any) -> Shape:
    """A VM pool with tasks of so many seconds, whose nodes are behind."""
    return Shape("image", vm_pool(nodes=nodes, **pool), tasks, goal or {}, surge)


def since_shape(*tasks: int, nodes: int = 2, surge: int = 1, **pool: Any) -> Shape:
    """The same, of a pool whose nodes show ``latest``: a moment is declared, before which its nodes were allocated."""
    exact = "" if pool.get("version", "latest") != "latest" else "latest"
    return image_shape(*tasks, nodes=nodes, surge=surge, goal={"target": SINCE}, exact=exact, **pool)


def unavailable_shape(*tasks: int, unavailable: int = 1, surge: int = 0, spot: int = 0, **pool: Any) -> Shape:
    """A VM pool without spare quota, whose old nodes leave first; the last ``spot`` of its nodes are spot nodes."""
    shape = since_shape(*tasks, surge=surge, **pool)
    return replace(shape, pool=with_spot(shape.pool, spot), unavailable=unavailable)


def held_shape(*tasks: int, surge: int = 1, unavailable: int = 0, **pool: Any) -> Shape:
    """A VM pool that scales itself, and whose formula is held while its old nodes are replaced."""
    scaled = {"enableAutoScale": True, "autoScaleFormula": FORMULA, "autoScaleEvaluationInterval": "PT7M"}
    shape = since_shape(*tasks, surge=surge, **pool)
    return replace(shape, pool={**shape.pool, **scaled}, autoscale="hold", unavailable=unavailable)


def with_spot(pool: dict[str, Any], spot: int) -> dict[str, Any]:
    """The same pool, whose last ``spot`` nodes are spot nodes."""
    count = len(pool["nodes"])
    nodes = [{**each, "isDedicated": number < count - spot} for number, each in enumerate(pool["nodes"])]
    sizes = {"Dedicated": count - spot, "LowPriority": spot}
    targets = {f"{when}{name}Nodes": sizes[name] for name in sizes for when in ("current", "target")}
    return {**pool, "nodes": nodes, **targets}


def empty_shape(
    *tasks: int,
    canary: int = 1,
    spot: int = 0,
    image: Image = WINDOWS_2022,
    goal: dict[str, Any] | None = None,
    **pool: Any,
) -> Shape:
    """A pinned VM pool with tasks of so many seconds, that is emptied; a formula of it is held.

    The last ``spot`` of its nodes are spot nodes.
    """
    seed = with_spot(vm_pool(**{"version": image.behind, "image": image, **pool}), spot)
    wanted = {"target": image.target, **(goal or {})}
    return Shape("image", seed, tasks, wanted, 0, "empty", canary, "hold", {"images": [image.row]})


def gallery_shape(*tasks: int, nodes: int = 2, image: str = GALLERY_IMAGE) -> Shape:
    """A pool of a gallery image without a version, that is pinned to one."""
    shape = empty_shape(*tasks, nodes=nodes, image=IMAGES["ubuntu"], goal={"target": "1.2.3"})
    reference = {"virtualMachineImageId": image}
    shape.pool["virtualMachineConfiguration"]["imageReference"] = reference
    for each in shape.pool["nodes"]:
        each["virtualMachineInfo"] = {"imageReference": reference}
    return replace(shape, more={"images": [{**reference, "versions": [{"version": "1.0.3"}, {"version": "1.2.3"}]}]})


def move_shape(*tasks: int, nodes: int = 2) -> Shape:
    """A pool of Ubuntu 22.04 that moves to a version of 24.04."""
    old, new = IMAGES["ubuntu"], NOBLE
    wanted = {"target": f"{':'.join(new.reference.values())} {new.target}"}
    return replace(empty_shape(*tasks, nodes=nodes, image=old, goal=wanted), more={"images": [old.row, new.row]})


class Trial:
    """The story of one pool. ``moments`` names what the run under way has come through."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.waiter = Clockwork()
        self.account = Watched(self.waiter, shape.seed)
        self.world = self.account.world
        by_moment = shape.kind == "image" and isinstance(self._wanted, AllocatedSince)
        self.world.unknowns.set({"exactVersionOfLatest": "latest" if by_moment else "number"})
        self.faults = self.account.faults
        self.runs: list[Run] = []
        self.moments: list[str] = []
        self.size = self.world.pool("render").target_dedicated
        self.spot = self.world.pool("render").target_low_priority
        self.at_moment: Callable[[int, str], None] = lambda _number, _name: None
        self.account.hook = lambda moment, method, path: self._moment(f"{moment} {method} {path}")
        self.waiter.moment = self._moment
        self.waiter.account = self.account

    def _moment(self, name: str) -> None:
        self.moments.append(name)
        self.at_moment(len(self.moments) - 1, name)

    def up(self, *, crash_at: int | None = None, **goal: Any) -> Run:
        """Run the rollout to its end, or to its crash at a moment; nothing of an earlier run is known to it."""
        self.moments = []
        listener, outcome, run = Listener(), None, Run()
        began, before = len(self.account.sent), self.at_moment

        def crash(number: int, name: str) -> None:
            before(number, name)
            if number == crash_at:
                raise CrashError

        self.at_moment = crash
        try:
            outcome = self._rollout(listener, goal).run()
        except BatchOsError as error:
            run.error = error
        except CrashError:
            run.crashed = True
        finally:
            self.at_moment = before
        run.outcome, run.said, run.sent = outcome, listener.said, self.account.sent[began:]
        run.first = began
        return self._kept(run)

    def preview(self) -> Run:
        """Look as a preview and a refresh do; a failure is part of the story."""
        began, run = len(self.account.sent), Run(reads=True)
        try:
            planned = self._plan()
            run.planned = planned.what if isinstance(planned, Plan) else "refuse"
        except BatchOsError as error:
            run.said.append(("error", str(error)))
        run.sent, run.first = self.account.sent[began:], began
        return self._kept(run)

    def _kept(self, run: Run) -> Run:
        self.world.advance()
        asked = [entry for entry in self.world.audit.entries if entry.kind == "request"]
        last = asked[-1] if asked else None
        run.answered = last is not None and last.status is not None and last.status < 400
        run.end = snapshot(self.world, "render")
        self.runs.append(run)
        return run

    def _rollout(self, listener: Listener, changes: dict[str, Any]) -> OsUpgrade | ImageRenewal:
        reporter, client = Reporter(listener, NODE_INTERVAL), self.account.client()
        goal = {"timeout": 7200.0, **self.shape.goal, **changes}
        if self.shape.kind == "os":
            wanted = Declared(RENDER, **{"target": NEW, "policy": Policy(), **goal})
            return OsUpgrade(wanted, RolloutContext(client, self.waiter, reporter, lambda: 0.5))
        image = {"drain_timeout": 3600.0, "policy": self._policy, **goal, "target": self._wanted}
        return ImageRenewal(DeclaredImage(RENDER, **image), RolloutContext(client, self.waiter, reporter, lambda: 0.5))

    def _plan(self) -> Any:
        client = self.account.client()
        if self.shape.kind == "os":
            pool = client.get_pool(RENDER)
            policy = self.shape.goal.get("policy", Policy())
            return plan_os(pool, client.list_nodes(RENDER), self.shape.target, policy, 7200.0)
        return plan_image(read_view(client, RENDER), self._wanted, self._policy, 7200.0)

    @property
    def _policy(self) -> ImagePolicy:
        shape = self.shape
        return ImagePolicy(shape.strategy, shape.surge, shape.canary, shape.autoscale, shape.unavailable)

    @property
    def _wanted(self) -> Target:
        return target_from(self.shape.target)

    @property
    def end(self) -> Snapshot:
        """The pool as it is now."""
        end = snapshot(self.world, "render")
        assert end is not None
        return end

    def settle(self, seconds: float = 7200.0) -> None:
        """Let the world go on by itself: tasks end, late requests arrive."""
        for _ in range(8):
            self.waiter.spend(seconds / 8)
            self.account.catch_up()

    def evidence(self, expected: Snapshot | None = None, **more: Any) -> Evidence:
        """Everything there is to judge."""
        shape = self.shape
        return Evidence(
            shape.kind,
            "render",
            shape.target,
            self.size,
            self.world,
            self.runs,
            surge=shape.surge,
            unavailable=shape.unavailable,
            holds=shape.autoscale == "hold",
            strategy=shape.strategy,
            spot=self.spot,
            canary=shape.canary,
            expected=expected,
            **more,
        )


def fault_free(shape: Shape) -> tuple[Trial, Snapshot]:
    """A run in which nothing goes wrong, and the end that every other run has to reach."""
    trial = Trial(shape)
    run = trial.up()
    assert run.succeeded, run.text
    trial.settle()
    end = snapshot(trial.world, "render")
    assert end is not None
    return trial, end


def with_goal(shape: Shape, **goal: Any) -> Shape:
    """The same pool with something else wanted of it."""
    return replace(shape, goal={**shape.goal, **goal})
