"""A crash at every moment there is: before and after each request, and in the middle of each sleep.

The promise is that the next `up` ends where a run without a crash would have ended. Each shape of a
pool is run once and its moments are listed, then it is run again with a crash at each of them that tells apart from
the one before: after every write, and wherever the pool has become something else. ``BATCH_OS_TEST_EVERY_MOMENT=1``
tries every moment with every pause: ten minutes. Who crashed told nobody anything, and the next run starts with
nothing but what the pool shows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from batch_os_provider.simulator.world.model import READY
from tests.support.invariants import broken
from tests.support.simulator import BEHIND, IMAGES
from tests.support.trial import (
    EVERY_MOMENT,
    SINCE,
    Shape,
    Trial,
    empty_shape,
    gallery_shape,
    held_shape,
    image_shape,
    move_shape,
    os_shape,
    since_shape,
    unavailable_shape,
)

if TYPE_CHECKING:
    from tests.support.invariants import Snapshot

PAUSES = (0.0, 25.0, 3600.0)
"""Seconds until the next `up`: the world goes on meanwhile."""
WRITES = ("POST", "PATCH")
RESIZING = {"allocationState": "resizing", "targetDedicatedNodes": 5}
AUTOSCALE = {"enableAutoScale": True, "autoScaleFormula": "$T=3", "autoScaleEvaluationInterval": "PT15M"}
FAILS_ONCE = {
    "startTask": {"commandLine": "cmd /c setup", "waitForSuccess": True},
    "simulator": {"allocation": {"startTask": "fail", "count": 1}},
}
EMPTY = Shape("image", image_shape(nodes=0, version=BEHIND).pool, strategy="when_empty")

SHAPES = {
    "os idle": os_shape(),
    "os busy": os_shape(300, 300, 300, 60, 60),
    "os without nodes": os_shape(nodes=0),
    "os resizing": os_shape(60, **RESIZING),
    "os autoscale": os_shape(60, 60, **AUTOSCALE),
    "os ten nodes": os_shape(*[120] * 12, nodes=10),
    "image idle": image_shape(),
    "image busy": image_shape(200, 200, 60),
    "image when empty": EMPTY,
    # Between a version and a moment only the comparison differs, so each shape of a pool has one of the two.
    "image since, surge 3": since_shape(*[100] * 6, nodes=4, surge=3),
    "image since, pinned": since_shape(60, version=BEHIND),
    # A kill at each write is also in tests/unit/rollout/image_renewal/test_unavailable.py, of larger pools.
    "unavailable": unavailable_shape(120, 60, nodes=2),
    "unavailable spot": unavailable_shape(60, nodes=3, spot=1, unavailable=2),
    "unavailable and surge": unavailable_shape(60, nodes=3, surge=1),
    "held": held_shape(60, 60),
    "held, unavailable": held_shape(60, surge=0, unavailable=2),
    "empty idle": empty_shape(nodes=2, image=IMAGES["ubuntu"]),
    "empty busy": empty_shape(200, 200, 60, nodes=3, canary=2),
    "empty one node": empty_shape(90, nodes=1, image=IMAGES["rhel"]),
    "empty held formula": empty_shape(60, 60, nodes=2, image=IMAGES["ubuntu-hpc"], **AUTOSCALE),
    "empty spot": empty_shape(60, 60, 60, nodes=3, spot=2, image=IMAGES["windows-2019"]),
    "empty from latest": empty_shape(60, nodes=2, version="latest"),
    "empty gallery": gallery_shape(60),
    "empty another image": move_shape(60, 90),
    "empty since": empty_shape(60, 60, nodes=2, version="latest", exact="latest", goal={"target": SINCE}),
}
BACK = empty_shape(nodes=2, image=IMAGES["windows-2019"], **FAILS_ONCE)
"""A pool whose canary fails its start task, once: the run that finds it puts the pool back and fails."""
OPERATIONS = {
    ("POST", "/pools/render/upgradeos"): "Pool_UpgradeOS",
    ("POST", "/pools/render/resize"): "Pool_Resize",
    ("POST", "/pools/render/removenodes"): "Pool_RemoveNodes",
    ("PATCH", "/pools/render"): "Pool_Patch",
    ("POST", "/pools/render/disableautoscale"): "Pool_DisableAutoScale",
    ("POST", "/pools/render/enableautoscale"): "Pool_EnableAutoScale",
}
# Not here: image pools that scale themselves, without hold (surge is refused there, when_empty writes nothing), and
# somebody else's resize of one (waited for without a write: the moments of "image idle", later).


class Story:
    """A run without faults: its moments, the end that all others have to reach, and the moments that matter."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.looks: list[object] = []
        trial = Trial(shape)
        trial.at_moment = lambda _number, _name: self.looks.append(look_of(trial))
        first = trial.up()
        self.moments = trial.moments
        assert first.succeeded or (shape is BACK and trial.up().succeeded), first.text
        trial.settle()
        self.expected = trial.evidence().end

    @property
    def around_writes(self) -> list[int]:
        """Before and after each write."""
        return [number for number, name in enumerate(self.moments) if name.split()[1:2] and name.split()[1] in WRITES]

    @property
    def after_writes(self) -> list[int]:
        """After each write."""
        return [number for number in self.around_writes if self.moments[number].startswith("after")]

    @property
    def telling(self) -> list[int]:
        """The first moment, the last, those after each write, and those at which the pool has changed.

        Before a write the pool is what it was at the last of these: only time has passed, and the pauses vary that.
        """
        numbers = {0, len(self.moments) - 1, *self.after_writes}
        numbers |= {at for at in range(1, len(self.looks)) if self.looks[at] != self.looks[at - 1]}
        return sorted(numbers)


def look_of(trial: Trial) -> object:
    """What the next run could tell apart."""
    pool = trial.world.pool("render")
    nodes = sorted((node.id, node.state in READY) for node in pool.nodes.values())
    image = str(pool.virtual_machine), pool.autoscale_enabled
    return pool.state, pool.allocation, pool.target_dedicated, str(pool.props.get("metadata")), nodes, image


def finished(trial: Trial, expected: Snapshot | None) -> dict[str, str]:
    """What is broken after the next `up` of a trial; of one whose canary is bad, after the `up` that follows."""
    trial.faults.clear()
    ended = trial.up()
    if not ended.succeeded and trial.shape is BACK:
        ended = trial.up()
    if not ended.succeeded:
        return {"the end": ended.text}
    trial.preview()
    trial.up()
    trial.settle()
    return broken(trial.evidence(expected))


def crashed(story: Story, pause: float, *crashes: int) -> dict[str, str]:
    """What is broken after these crashes, one run after the other, and a last run without."""
    trial = Trial(story.shape)
    trial.preview()
    for moment in crashes:
        trial.up(crash_at=moment)
        trial.waiter.spend(pause)
        trial.account.catch_up()
    return finished(trial, story.expected)


def report(found: dict[str, dict[str, str]]) -> str:
    """The first few that are broken, in words."""
    return f"{len(found)} of them: " + "; ".join(f"{key}: {wrong}" for key, wrong in list(found.items())[:5])


def test_a_crash_around_each_write_of_the_way_back() -> None:
    """From the proof of a bad canary on; what comes before is as in "empty idle"."""
    story = Story(BACK)
    resizes = [number for number, name in enumerate(story.moments) if name == "before POST /pools/render/resize"]
    moments = range(len(story.moments)) if EVERY_MOMENT else story.around_writes
    tried = [number for number in moments if number > resizes[1]]
    found = {
        f"{number} {story.moments[number]}, next up after {pause:g}s": wrong
        for turn, number in enumerate(tried)
        if (wrong := crashed(story, pause := PAUSES[turn % len(PAUSES)], number))
    }
    assert not found, report(found)
    assert len(resizes) == 4, "drain, canary, drain, the size before"
    assert len(tried) >= 8


@pytest.mark.parametrize("name", SHAPES)
def test_one_crash_at_every_moment(name: str) -> None:
    story = Story(SHAPES[name])
    if EVERY_MOMENT:
        tried = [(number, pause) for number in range(len(story.moments)) for pause in PAUSES]
    else:
        tried = [(number, PAUSES[turn % len(PAUSES)]) for turn, number in enumerate(story.telling)]
    found = {
        f"{number} {story.moments[number]}, next up after {pause:g}s": wrong
        for number, pause in tried
        if (wrong := crashed(story, pause, number))
    }
    assert not found, report(found)
    assert len(tried) >= 3, "too few moments to be the whole story"


@pytest.mark.parametrize("name", ["os busy", "image idle", "empty held formula"])
def test_two_crashes_in_a_row_around_writes(name: str) -> None:
    """The first run is cut off before all or after a write, and the second one after each of its own writes."""
    story = Story(SHAPES[name])
    found: dict[str, dict[str, str]] = {}
    tried = 0
    for first in (0, *story.after_writes):
        trial = Trial(story.shape)
        trial.up(crash_at=first)
        trial.up()
        seconds = [at for at, name in enumerate(trial.moments) if name.startswith(tuple(f"after {w}" for w in WRITES))]
        for second in seconds or [len(trial.moments) - 1]:
            tried += 1
            if wrong := crashed(story, 0.0, first, second):
                found[f"{story.moments[first]}, then {trial.moments[second]}"] = wrong
    assert not found, report(found)
    assert tried >= 2


@pytest.mark.parametrize("kind", ["late", "dropAfter", "dropBefore", "503"])
@pytest.mark.parametrize("name", ["os busy", "image idle", "empty held formula"])
def test_a_crash_while_the_fate_of_a_write_is_open(name: str, kind: str) -> None:
    """The answer to a write never came, and then the process is gone: a late write falls into the next run."""
    effects: dict[str, dict[str, Any]] = {
        "late": {"kind": "delay", "seconds": 30},
        "dropAfter": {"kind": "dropAfter"},
        "dropBefore": {"kind": "dropBefore"},
        "503": {"kind": "status", "status": 503},
    }
    story = Story(SHAPES[name])
    found: dict[str, dict[str, str]] = {}
    sent = [number for number in story.around_writes if story.moments[number].startswith("before")]
    for number in sent:
        nth = 1 + sum(story.moments[other] == story.moments[number] for other in sent if other < number)
        method, path = story.moments[number].split()[1:]
        trial = Trial(story.shape)
        trial.preview()
        trial.faults.add({"match": {"operation": OPERATIONS[method, path], "nth": nth}, "effect": effects[kind]})
        hit = trial.up(crash_at=number + (1 if kind == "late" else 2))
        assert hit.crashed
        if wrong := finished(trial, story.expected):
            found[f"{path} number {nth}"] = wrong
    assert not found, report(found)
    assert sent
