"""The calls of the strategy ``empty``, by the real client to the simulated account: bodies, conditions, refusals."""

from __future__ import annotations

import json
from typing import Any

import pytest

from batch_os_provider.batch.address import PoolRef
from batch_os_provider.batch.client import BatchClient
from batch_os_provider.batch.empty_marker import EmptyMarker
from batch_os_provider.batch.vm_pool import VmPool
from batch_os_provider.errors import ConflictError, PermanentError, TransientError
from tests.support.inprocess import ENDPOINT, Account
from tests.support.simulator import BEHIND, IMAGES, TARGET, job, vm_pool
from tests.unit.rollout.doubles import VirtualWaiter

REF = PoolRef(ENDPOINT, "render")
FORMULA = "// nights\n$TargetDedicatedNodes = min(12, $PendingTasks.GetSample(1));"
SCALED = {"enableAutoScale": True, "autoScaleFormula": FORMULA, "autoScaleEvaluationInterval": "PT7M"}


class Scene:
    """A pool, and a client that reads it before each write."""

    def __init__(self, *tasks: int, **pool: Any) -> None:
        self.waiter = VirtualWaiter()
        jobs = [job("render", *tasks)] if tasks else []
        images = [image.row for image in IMAGES.values()]
        self.account = Account(self.waiter, {"pools": [vm_pool(**pool)], "jobs": jobs, "images": images})
        self.client: BatchClient = self.account.client()

    @property
    def pool(self) -> VmPool:
        """The pool as read now."""
        return self.client.get_vm_pool(REF)

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.waiter.spend(seconds)
        self.account.catch_up()

    def body(self) -> dict[str, Any]:
        """The body of the last write."""
        sent = [
            entry for entry in self.account.world.audit.entries if entry.kind == "request" and "body" in entry.detail
        ]
        body: dict[str, Any] = json.loads(sent[-1].detail["body"])
        return body


def test_a_formula_is_held_and_comes_back_as_it_was() -> None:
    scene = Scene(nodes=3, **SCALED)
    seen = scene.pool
    assert (seen.base.autoscale, seen.formula, seen.interval) == (True, FORMULA, "PT7M")
    scene.client.disable_autoscale(seen)
    held = scene.pool
    assert (held.base.autoscale, held.formula, held.interval, held.sizes) == (False, "", "", (3, 0))
    scene.client.enable_autoscale(held, seen.formula, seen.interval)
    again = scene.pool
    assert (again.base.autoscale, again.formula, again.interval) == (True, FORMULA, "PT7M")
    with pytest.raises(ConflictError, match="ConditionNotMet"):
        scene.client.enable_autoscale(held, "x", "")
    scene.client.disable_autoscale(again)
    with pytest.raises(TransientError, match="TooManyEnableAutoScaleRequests"):
        scene.client.enable_autoscale(scene.pool, FORMULA, "PT7M")


def test_a_resize_to_zero_waits_for_tasks_of_dedicated_and_spot_nodes() -> None:
    scene = Scene(200, nodes=2, version=BEHIND)
    scene.client.resize_all(scene.pool, 0, 0, 2700.0)
    assert scene.body() == {
        "targetDedicatedNodes": 0,
        "targetLowPriorityNodes": 0,
        "nodeDeallocationOption": "taskcompletion",
        "resizeTimeout": "PT45M",
    }
    scene.wait(120)
    assert (scene.pool.sizes, scene.pool.current, scene.pool.is_steady) == ((0, 0), 1, False)
    scene.wait(120)
    assert (scene.pool.current, scene.pool.is_steady) == (0, True)
    scene.client.resize_all(scene.pool, 1, 2)
    assert "resizeTimeout" not in scene.body()
    scene.wait(300)
    assert (scene.pool.sizes, scene.pool.current, scene.pool.spot) == ((1, 2), 1, 2)
    assert {task.requeues for task in scene.account.world.job("job-render").tasks.values()} == {0}


@pytest.mark.parametrize("name", IMAGES)
def test_an_empty_pool_of_any_image_changes_its_pin_and_goes_back(name: str) -> None:
    image = IMAGES[name]
    scene = Scene(nodes=0, version=image.behind, image=image)
    before = scene.pool
    scene.client.repin(before, image.target)
    assert (scene.pool.pin_text, scene.pool.product) == (image.target, before.product)
    scene.client.repin(scene.pool, image.behind)
    assert (scene.pool.pin_text, scene.pool.configuration) == (image.behind, before.configuration)


@pytest.mark.parametrize(("limit", "refused"), [("none", False), (4096, True), (256, True)])
def test_a_marker_that_is_too_long_changes_nothing_and_says_so(limit: object, refused: bool) -> None:
    scene = Scene(nodes=2, metadata=[{"name": "owner", "value": "render team"}], **SCALED)
    scene.account.world.unknowns.set({"metadataValueLimit": limit})
    seen = scene.pool
    marker = EmptyMarker(2, 0, seen.product, (BEHIND, TARGET), FORMULA + "\n// é" * 900, "PT7M")
    if refused:
        with pytest.raises(PermanentError, match=r"nothing was changed; the marker has 56\d\d characters") as caught:
            scene.client.set_marker(seen, marker)
        assert "shorten the autoscale formula" in caught.value.next_step
        assert scene.pool == seen
        return
    scene.client.set_marker(seen, marker)
    assert scene.pool.emptying == marker
    assert not scene.pool.marker
    scene.client.set_marker(scene.pool, None)
    assert scene.pool.metadata == seen.metadata


def test_a_marker_of_a_fixed_pool_is_short() -> None:
    """Its length stays below 256 for every image that we know, the smallest limit that the switch has."""
    for image in IMAGES.values():
        pool = Scene(nodes=3, version=image.behind, image=image).pool
        assert len(str(EmptyMarker(10_000, 10_000, pool.product, (image.behind, image.target)))) < 256
