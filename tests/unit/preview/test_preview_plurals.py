"""Renders each line of a preview that contains a number with 0, 1, 2 and 3 of everything."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from batch_os_provider.batch.pool import Node
from batch_os_provider.batch.vm_pool import MARKER, Marker
from batch_os_provider.preview.plan import Plan, plan_image, plan_os
from batch_os_provider.schema.declared import Gate, ImagePolicy, Policy
from batch_os_provider.schema.units import Share
from tests.unit.plurals import wrong_plurals
from tests.unit.preview.test_plan_os import JOINED, POOL, RESIZING, STARTED, V24, V25
from tests.unit.rollout.image_renewal.image_doubles import OLD, TARGET, WANTED, Machine, VmState, look, pool_of

NUMBERS = (0, 1, 2, 3)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"current_os_version": V25},
        RESIZING,
        JOINED,
        {**JOINED, "target_os_version": V24},
        {"current_os_version": None},
    ],
    ids=["upgrade", "adopt", "resize", "join", "conflict", "unknown"],
)
@pytest.mark.parametrize("count", NUMBERS)
def test_the_lines_of_a_cloud_services_pool(changes: dict[str, object], count: int) -> None:
    for tasks, back, bad in product(NUMBERS, (True, False), NUMBERS[: count + 1]):
        nodes = tuple(
            Node(f"n{n}", "unusable" if n < bad else "idle", STARTED if back else None, running_tasks=0 if n else tasks)
            for n in range(count)
        )
        for seen in (nodes, None):
            for gate in (Gate(), Gate(Share(0)), Gate(Share(1), 60.0)):
                pool = replace(POOL, node_count=count, **changes)  # type: ignore[arg-type]
                plan = plan_os(pool, seen, V25, Policy(on_conflict="wait"), 7200.0, gate=gate)
                assert isinstance(plan, Plan)
                assert wrong_plurals(plan.text) == [], plan.text


def vm_states() -> list[VmState]:
    """Pools with 0 to 3 nodes: behind, at the target, pinned, deallocated, with tasks, and with a marker."""
    states = [pool_of(count, version=version) for count in NUMBERS for version in (OLD, "latest")]
    states += [pool_of(count, at=TARGET) for count in NUMBERS]
    states += [pool_of(count, automatic=True) for count in NUMBERS]
    states += [pool_of(3, busy=dict.fromkeys(range(busy), 900.0)) for busy in NUMBERS]
    for behind, fine in product(NUMBERS, NUMBERS):
        nodes = (*pool_of(behind).nodes, *(Machine(f"fine-{n}", TARGET, -9.0) for n in range(fine)))
        states.append(replace(pool_of(behind), nodes=nodes, size=len(nodes)))
        marker = ((MARKER, str(Marker(len(nodes), 1, "2018-11-30T12:00:01.000000Z"))),)
        states += [replace(states[-1], metadata=marker, size=len(nodes) + more) for more in NUMBERS]
    return states


@pytest.mark.parametrize(
    "policy",
    [
        ImagePolicy("surge", 1),
        ImagePolicy("surge", 2),
        ImagePolicy("when_empty", 1),
        ImagePolicy("surge", 0, max_unavailable=1),
        ImagePolicy("surge", 1, max_unavailable=2),
    ],
    ids=str,
)
def test_the_lines_of_a_vm_pool(policy: ImagePolicy) -> None:
    for state in vm_states():
        plan = plan_image(look(state), WANTED, policy, 7200.0)
        text = plan.text if isinstance(plan, Plan) else f"{plan.reason}. {plan.next_step}"
        assert wrong_plurals(text) == [], text
