"""Pins the line of a preview of the strategy ``empty``: the cost first, the versions last."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from batch_os_provider.batch.vm_target import AllocatedSince, ImageVersion, Target
from batch_os_provider.preview.message_tail import split
from batch_os_provider.preview.plan import Plan, plan_image
from batch_os_provider.schema.declared import ImagePolicy
from tests.support.simulator import IMAGES
from tests.unit.plurals import wrong_plurals
from tests.unit.rollout.image_renewal.looks import FORMULA, INTERVAL, NEW, SCALED, Look

EMPTY = ImagePolicy("empty")
HOLD = ImagePolicy("empty", autoscale="hold")
HELD_FOR = "formula held for about 10m"
BUSY = {"state": "running", "runningTasksCount": 1}
BASE = Look()
MARK = BASE.mark(3)
HELD = BASE.mark(3, formula=FORMULA, interval=INTERVAL)
CHANGE = "20348.2402.240402 -> 20348.2461.240510"


def plan_of(look: Look, policy: ImagePolicy = EMPTY, target: Target | None = None, **times: float) -> Plan:
    """The plan for a pool; its line has right plurals, and its tail can be read."""
    timeout, drain = times.get("timeout", 7200.0), times.get("drain", 3600.0)
    plan = plan_image(look.view, target or look.target, policy, timeout, drain)
    assert isinstance(plan, Plan), plan
    assert not wrong_plurals(plan.text), plan.text
    assert split(plan.after(plan.text))[1] is not None
    return plan


def test_the_line_of_the_issue_word_for_word() -> None:
    look = Look(sizes=(31, 0), nodes=(BUSY,) * 31, more=SCALED)
    target = ImageVersion.parse("20348.2461")
    plan = plan_of(replace(look, pin="20348.2402"), HOLD, target)
    assert plan.text == (
        "empties the pool: 31 running tasks finish first (at most 1h00m), then 0 nodes until about 31 new ones start; "
        "formula held for about 10m and the time of the tasks; 20348.2402 -> 20348.2461"
    )
    assert (plan.what, plan.tasks, plan.nodes, plan.behind, plan.warnings) == ("renew", 31, 31, 31, ("empties",))


LINES: dict[str, tuple[Look, ImagePolicy, str, str, tuple[str, ...]]] = {
    "no task": (
        Look(sizes=(1, 0), nodes=1),
        EMPTY,
        f"empties the pool: no task runs, then 0 nodes until about 1 new one starts; {CHANGE}",
        "renew",
        ("empties",),
    ),
    "spot nodes": (
        Look(sizes=(1, 2), nodes=({}, BUSY, BUSY), spot=2),
        EMPTY,
        (
            "empties the pool: 2 running tasks finish first (at most 1h00m), then 0 nodes until about 3 new ones "
            f"start; {CHANGE}"
        ),
        "renew",
        ("empties",),
    ),
    "back": (
        Look(pin="20348.2527.240613"),
        EMPTY,
        (
            "ROLLBACK: empties the pool: no task runs, then 0 nodes until about 3 new ones start; "
            "20348.2527.240613 -> 20348.2461.240510"
        ),
        "rollback",
        ("rollback", "empties"),
    ),
    "from latest": (
        Look(pin="latest", shown="latest"),
        EMPTY,
        "empties the pool: no task runs, then 0 nodes until about 3 new ones start; latest -> 20348.2461.240510",
        "renew",
        ("empties",),
    ),
    "zero": (
        Look(sizes=(0, 0), nodes=0),
        EMPTY,
        f"the pinned pool is empty: this up re-pins it; {CHANGE}",
        "repin",
        (),
    ),
    "zero, on latest": (
        Look(pin="latest", sizes=(0, 0), nodes=0),
        EMPTY,
        "the pool is empty: this up pins it; latest -> 20348.2461.240510",
        "repin",
        (),
    ),
    "zero, back, when_empty": (
        Look(pin="20348.2527.240613", sizes=(0, 0), nodes=0),
        ImagePolicy("when_empty"),
        "ROLLBACK: the pinned pool is empty: this up re-pins it; 20348.2527.240613 -> 20348.2461.240510",
        "repin",
        ("rollback",),
    ),
    "waits, back, when_empty": (
        Look(pin="20348.2527.240613"),
        ImagePolicy("when_empty"),
        (
            "ROLLBACK: the pinned pool holds 3 nodes: this up waits until it is empty, at most 2h00m; "
            "20348.2527.240613 -> 20348.2461.240510"
        ),
        "wait",
        ("rollback",),
    ),
    "done": (
        Look(pin="target"),
        EMPTY,
        "no change needed; the pool is pinned to 20348.2461.240510, 3 nodes",
        "adopt",
        (),
    ),
    "interrupted before the drain": (
        Look(marker=HELD, more=SCALED),
        HOLD,
        f"continues to empty the pool: no task runs, then 0 nodes until about 3 new ones start; {HELD_FOR}; {CHANGE}",
        "renew",
        ("empties",),
    ),
    "interrupted at zero": (
        Look(marker=HELD, sizes=(0, 0), nodes=0),
        HOLD,
        f"this up continues an unfinished rollout: the pool has 0 of 3 nodes, its formula is held; {CHANGE}",
        "renew",
        ("empties",),
    ),
    "interrupted at the end": (
        Look(pin="target", marker=HELD, more=SCALED),
        HOLD,
        f"this up clears the marker of a finished rollout; {CHANGE}",
        "renew",
        (),
    ),
    "another strategy": (
        Look(pin="target", marker=MARK, sizes=(1, 0), nodes=1),
        ImagePolicy("when_empty"),
        f'this up puts the pool back after an unfinished strategy="empty": the pool has 1 of 3 nodes; {CHANGE}',
        "renew",
        (),
    ),
    "a resize comes first": (
        Look(more={"allocationState": "resizing"}),
        EMPTY,
        f"a resize is under way (resizing); then it empties the pool: 3 nodes; {CHANGE}",
        "renew",
        ("empties",),
    ),
    "deallocated": (
        Look(nodes=({}, {"state": "deallocated"}, {})),
        EMPTY,
        (
            "empties the pool: no task runs, then 0 nodes until about 3 new ones start; 1 deallocated node leaves too, "
            f"and a running one that is billed takes its place; {CHANGE}"
        ),
        "renew",
        ("empties", "deallocated"),
    ),
}


@pytest.mark.parametrize("name", LINES)
def test_the_line_of_a_pool(name: str) -> None:
    look, policy, text, what, warnings = LINES[name]
    plan = plan_of(look, policy)
    assert plan.text == text
    assert (plan.what, plan.warnings) == (what, warnings)


def test_the_time_for_tasks_is_never_longer_than_the_whole() -> None:
    look = Look(IMAGES["ubuntu"], nodes=(BUSY,) * 3)
    assert "(at most 30m00s)" in plan_of(look, drain=1800.0).text
    assert "(at most 20m00s)" in plan_of(look, timeout=1200.0).text


def test_a_moment_has_its_own_words() -> None:
    since = AllocatedSince.parse("2026-11-24")
    old = Look(pin="latest", shown="latest")
    plan = plan_of(old, target=since)
    end = "then 0 nodes until about 3 new ones start; allocated since 2026-11-20 -> 2026-11-24"
    assert plan.text == f"empties the pool: no task runs, {end}"
    assert plan.behind == 3
    fine: Any = plan_of(replace(old, allocated=NEW), target=since)
    assert fine.text == "no change needed; all 3 nodes were allocated since 2026-11-24"
