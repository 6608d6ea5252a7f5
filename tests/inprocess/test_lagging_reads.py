"""A renewal does not believe a look that is older than its own last write."""

from __future__ import annotations

import pytest

from tests.support.invariants import broken
from tests.support.simulator import IMAGES
from tests.support.trial import Shape, Trial, empty_shape, fault_free, image_shape

SHAPE = image_shape(60, 60, 60)
EMPTY = empty_shape(60, 60, nodes=2, image=IMAGES["ubuntu"])


def lagging_after(write: str, operation: str, changes: int, shape: Shape = SHAPE) -> Trial:
    """A trial in which the looks that follow a write show the pool as it was some changes before, four times."""
    trial = Trial(shape)
    trial.waiter.account = None  # how long a look is not believed is a matter of seconds

    def lag(_number: int, name: str) -> None:
        if name == f"after {write}" and not trial.faults.rules:
            for _ in range(4):
                match = {"operation": operation, "nth": 1}
                trial.faults.add({"match": match, "effect": {"kind": "stale", "changes": changes}})

    trial.at_moment = lag
    # Views are kept from the first rule for old ones on, which would be too late for what came before the write.
    trial.world.history.enable(trial.world, wanted=True)
    run = trial.up()
    assert run.succeeded, run.text
    assert any(entry.detail.get("faults") for entry in trial.evidence().requests), "no look was old"
    assert all(rule.fired for rule in trial.faults.rules)
    trial.preview()
    trial.settle()
    return trial


@pytest.mark.parametrize("operation", ["Pool_Get", "ComputeNode_List"])
@pytest.mark.parametrize("changes", [1, 2])
@pytest.mark.parametrize(
    "write", ["PATCH /pools/render", "POST /pools/render/resize", "POST /pools/render/removenodes"]
)
def test_a_look_from_before_the_write_is_accepted_for_what_it_is(write: str, operation: str, changes: int) -> None:
    trial = lagging_after(write, operation, changes)
    assert not broken(trial.evidence(fault_free(SHAPE)[1]))
    assert "within drain_timeout" not in trial.runs[0].text
    assert "its marker in the metadata is gone" not in trial.runs[0].text
    asked = [entry.operation for entry in trial.evidence().writes]
    assert asked.count("Pool_RemoveNodes") == 2, asked


@pytest.mark.parametrize("operation", ["Pool_Get", "ComputeNode_List"])
@pytest.mark.parametrize("changes", [1, 2])
@pytest.mark.parametrize("write", ["PATCH /pools/render", "POST /pools/render/resize"])
def test_a_pool_that_is_emptied_takes_no_step_twice(write: str, operation: str, changes: int) -> None:
    trial = lagging_after(write, operation, changes, EMPTY)
    assert not broken(trial.evidence(fault_free(EMPTY)[1]))
    asked = [entry.operation for entry in trial.evidence().writes]
    assert asked == ["Pool_Patch", "Pool_Resize", "Pool_Patch", "Pool_Resize", "Pool_Resize", "Pool_Patch"]


def test_what_can_only_be_told_by_waiting_is_believed_after_a_while() -> None:
    """A pool whose count never agrees with its list of nodes is renewed all the same: nothing promises that it does."""
    trial = Trial(SHAPE)
    trial.faults.add(
        {"match": {"operation": "Pool_Get"}, "effect": {"kind": "missingFields", "names": ["currentDedicatedNodes"]}}
    )
    run = trial.up()
    assert run.succeeded, run.text
    assert "Batch does not show the last change yet" in run.text
