"""`surge` on a pool that scales itself: the formula is in the marker before it is off, and it always comes back."""

from __future__ import annotations

import json
from typing import Any

import pytest

from batch_os_provider.batch.vm_pool import MARKER
from batch_os_provider.errors import BatchOsError
from batch_os_provider.preview.plan import plan_image
from batch_os_provider.rollout.actions import Refuse
from batch_os_provider.rollout.context import RolloutContext
from batch_os_provider.rollout.image_renewal.renewal import ImageRenewal, read_view
from batch_os_provider.rollout.progress import Reporter
from batch_os_provider.schema.declared import DeclaredImage, ImagePolicy
from batch_os_provider.simulator.world import resizes
from tests.support.invariants import target_from
from tests.support.trial import FORMULA, RENDER, Trial, held_shape
from tests.unit.rollout.stage import Listener

SCALED = (FORMULA, "PT7M")


def formula_of(trial: Trial) -> tuple[str, str]:
    """The formula and the interval that scale the pool; empty while none does."""
    props = trial.world.pool("render").props
    return props.get("autoScaleFormula", ""), props.get("autoScaleEvaluationInterval", "")


def mark_of(trial: Trial) -> Any:
    """The marker's JSON; None if there is none."""
    entries = trial.world.pool("render").props.get("metadata") or []
    return next((json.loads(each["value"]) for each in entries if each["name"] == MARKER), None)


def restored(trial: Trial) -> BatchOsError | None:
    """Run `batch-os restore` once the pool has come to rest; returns its error."""
    trial.settle()
    goal = DeclaredImage(RENDER, target_from("1.1"), ImagePolicy("restore"), 3600.0, 7200.0)
    context = RolloutContext(trial.account.client(), trial.waiter, Reporter(Listener()), lambda: 0.5)
    try:
        ImageRenewal(goal, context).run()
    except BatchOsError as error:
        return error
    return None


def test_each_step_is_in_its_order_and_the_sizes_are_those_of_the_held_pool() -> None:
    """Between the first marker and the hold the formula may still resize the pool."""
    trial = Trial(held_shape(60))

    def grown(_number: int, name: str) -> None:
        pool = trial.world.pool("render")
        if name == "before POST /pools/render/disableautoscale" and len(pool.nodes) == 2:
            stamps = pool.etag, pool.modified
            resizes.start_resize(trial.world, pool, (3, 0), None, "requeue")
            pool.etag, pool.modified = stamps

    trial.at_moment = grown
    run = trial.up()
    assert run.succeeded, run.text
    assert [each.path.partition("?")[0].rpartition("/")[2] for each in run.writes] == [
        "render",
        "disableautoscale",
        "render",
        *["resize", "removenodes"] * 2,
        "enableautoscale",
        "render",
    ], "of the three nodes one was allocated since the moment"
    assert formula_of(trial) == SCALED
    assert mark_of(trial) is None
    assert len(trial.world.pool("render").nodes) == 3
    assert "scaled by its formula" in run.text


@pytest.mark.parametrize("seconds", [150, 250, 320, 400, 500, 700])
@pytest.mark.parametrize("unavailable", [0, 1])
def test_at_no_deadline_is_a_formula_lost(seconds: int, unavailable: int) -> None:
    trial = Trial(held_shape(*[3000] * 3, surge=1 - unavailable, unavailable=unavailable, nodes=3))
    run = trial.up(timeout=float(seconds))
    assert run.error is not None
    if formula_of(trial) != SCALED:
        assert "its autoscale formula is held; it comes back by the next `pulumi up`, or by `batch-os" in run.text
        assert mark_of(trial)["formula"] == FORMULA
    trial.settle(20_000)
    assert trial.up(timeout=20_000.0).succeeded
    assert formula_of(trial) == SCALED
    assert mark_of(trial) is None


@pytest.mark.parametrize("deed", ["nothing", "another formula", "another size"])
def test_restore_puts_the_formula_back_whatever_has_changed_since(deed: str) -> None:
    trial = Trial(held_shape(60, 60))
    trial.up(crash_at=next(at for at, name in enumerate(moments()) if name.endswith("removenodes")))
    trial.settle()
    assert (formula_of(trial)[0], mark_of(trial)["formula"]) == ("", FORMULA)
    pool = trial.world.pool("render")
    if deed == "another formula":
        resizes.enable_autoscale(trial.world, pool, {"autoScaleFormula": "$T=9"})
    elif deed == "another size":
        resizes.resize(trial.world, pool, (9, None), None, "requeue")
    assert restored(trial) is None
    assert formula_of(trial) == SCALED
    assert mark_of(trial) is None
    assert len(pool.nodes) == (9 if deed == "another size" else 2)


def moments() -> list[str]:
    """The moments of a run without faults."""
    trial = Trial(held_shape(60, 60))
    assert trial.up().succeeded
    return trial.moments


def test_without_hold_it_is_refused_with_the_line_to_paste() -> None:
    trial = Trial(held_shape(60))
    seen = read_view(trial.account.client(), RENDER)
    refusal = plan_image(seen, target_from("2024-06-01"), ImagePolicy("surge"), 7200.0)
    assert isinstance(refusal, Refuse)
    assert refusal.reason.startswith("2 nodes are behind, and the pool scales itself: Batch refuses to resize")
    assert refusal.next_step.startswith('Declare autoscale="hold": `up` turns the formula off, renews the nodes, and')
    assert not trial.world.audit.entries or all(entry.method == "GET" for entry in trial.evidence().requests)
