"""A fleet on the real CLI: waves in order, a gate that stops them, and a state that stays with each pool."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import simulator as simulators
from tests.support.simulator import NEW, OLD, TARGET, Simulator, paas_pool, vm_pool
from tests.support.stack import TYPE, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.stack import Stack

IDS = ("render", "a", "b", "c")
FLEET = "batch:index:PoolFleet"
GATE = "1 of 3 nodes is unhealthy, max_unhealthy 0"


@pytest.fixture
def other() -> Iterator[Simulator]:
    """A second account."""
    yield from simulators.running()


def declare(stack: Stack, sim: Simulator, target: str = NEW, **inputs: Any) -> None:
    """A fleet of the pools of one account: a canary, two pools, and the last one."""
    declared = {
        "pools": list(IDS),
        "account_endpoint": sim.endpoint,
        "target_os_version": target,
        "waves": ["75%"],
        "max_unhealthy": 0,
        **inputs,
    }
    stack.program(f"PoolFleet('farm', {', '.join(f'{name}={value!r}' for name, value in declared.items())})\n")


def upgraded(sim: Simulator) -> list[str | None]:
    """The pools whose upgrade Batch was asked for, in order."""
    return [each["pool"] for each in sim.upgrades()]


def assert_in_order(sim: Simulator, *waves: set[str]) -> None:
    """No pool of a wave was touched before every pool of the wave before had come back."""
    asked = {str(each["pool"]): each["seq"] for each in sim.upgrades()}
    done = {str(each["pool"]): each["seq"] for each in sim.transitions("pool", "active")}
    assert set(asked) == set(done) == set().union(*waves)
    for before, after in pairwise(waves):
        assert max(done[pool] for pool in before) < min(asked[pool] for pool in after), (before, after)


def test_a_canary_that_ends_unhealthy_stops_the_fleet_and_mending_it_lets_all_waves_pass(
    sim: Simulator, stack: Stack
) -> None:
    sim.pools(*map(paas_pool, IDS))
    sim.unknown(upgradeWithFailedNode="ends")
    declare(stack, sim, OLD)
    stack.up().ok()
    declare(stack, sim)
    narrow = json.loads(stack.run("preview", "--json", "--parallel", "1").ok().text)
    steps = [each for each in narrow["steps"] if TYPE in each["urn"] and each["op"] != "same"]
    assert [each["op"] for each in steps] == ["update"] * 4, "each pool is a row of its own"
    order = [each["urn"].rpartition("::")[2] for each in steps]
    assert (order[0], {*order[1:3]}, order[3]) == ("farm-render", {"farm-a", "farm-b"}, "farm-c"), "wave by wave"
    assert {each["urn"].split("::")[2] for each in steps} == {f"{FLEET}${TYPE}"}
    hint = "4 pools change, up to 2 at once, but the engine runs 1 step at once; pass --parallel 2"
    assert any(hint in each["message"] for each in narrow["diagnostics"])

    running = stack.start_up()
    wait_until(lambda: sim.pool()["nodes"][0]["state"] == "reimaging", "the first node is taken out")
    sim.change_node("tvm-001", simulator={"fate": "unusable"})
    sim.speed(60)
    assert f"it runs {NEW}, but {GATE}: tvm-001 is unusable" in running.wait().failed().flat
    for more in ((), ("--refresh", "--continue-on-error")):
        assert GATE in stack.up(*more).failed().flat
        assert upgraded(sim) == ["render"], more
    assert not [each for each in sim.writes() if each["pool"] != "render"]

    sim.speed(600)
    sim.change_node("tvm-001", state="idle", errors=[])
    stack.up().ok()
    assert_in_order(sim, {"render"}, {"a", "b"}, {"c"})
    assert len(sim.upgrades()) == len(IDS)
    stack.run("preview", "--refresh", "--expect-no-changes").ok()


def test_pools_change_waves_are_dropped_and_are_taken_over_without_a_write_or_a_call(
    sim: Simulator, stack: Stack
) -> None:
    sim.pools(*map(paas_pool, IDS))
    stack.program(
        "".join(
            f"PoolOsVersion({name!r}, account_endpoint={sim.endpoint!r}, pool_id={pool!r}, target_os_version={OLD!r})\n"
            for name, pool in (("first", "render"), ("second", "a"), ("third", "b"))
        )
    )
    stack.up().ok()
    before = {each["outputs"]["pool_id"]: each["created"] for each in stack.resources()}
    seen = {pool: len([each for each in sim.requests() if each["pool"] == pool]) for pool in ("render", "a")}
    # Two pools come with their state; the third is left by one resource and adopted by the other.
    declare(stack, sim, OLD, aliases={"render": "first", "a": "second"}, max_unhealthy=None)
    planned = stack.preview().ok()
    assert re.findall(r"\[urn=\S+::(\S+)\]", planned.text.partition("delete[retain]")[2])[:1] == ["third"]
    assert "- 1 to delete" in planned.flat
    assert "replace" not in planned.text
    assert "max_unhealthy is not declared, so a wave passes when its pools run the target" in planned.flat
    stack.up().ok()
    assert {each["urn"].rpartition("::")[2] for each in stack.resources()} == {f"farm-{pool}" for pool in IDS}
    after = {each["outputs"]["pool_id"]: each["created"] for each in stack.resources()}
    assert {pool: after[pool] for pool in seen} == {pool: before[pool] for pool in seen}, "the same resources"
    assert {pool: len([each for each in sim.requests() if each["pool"] == pool]) for pool in seen} == seen

    seen_in_all = len(sim.requests())
    declare(stack, sim, OLD, canary="c", waves=[["b"], 1], max_unhealthy=None)
    stack.up().ok()
    dependencies = {each["outputs"]["pool_id"]: len(each.get("dependencies", [])) for each in stack.resources()}
    assert dependencies == {"c": 0, "b": 1, "render": 1, "a": 1}
    declare(stack, sim, OLD, pools=["render"], canary=[], waves=[], max_unhealthy=None)
    assert "delete[retain]" in stack.preview().ok().text
    stack.up().ok()
    assert [each["outputs"]["pool_id"] for each in stack.resources()] == ["render"]
    assert len(sim.requests()) == seen_in_all, "Batch was not even asked"
    assert not sim.writes()


def test_vm_pools_renew_in_waves(sim: Simulator, stack: Stack) -> None:
    sim.seed(vm_pool("render", nodes=1), vm_pool("a", nodes=1))
    sim.speed(120)
    stack.program(
        f"""
        fleet = PoolFleet("farm", pools=["render", "a"], account_endpoint={sim.endpoint!r}, strategy="surge",
            target_image_version={TARGET!r})
        pulumi.export("behind", fleet.pools["a"].nodes_behind)
        """
    )
    stack.up().ok()
    assert (sim.versions("render"), sim.versions("a")) == ([TARGET], [TARGET])
    writes = [each["pool"] for each in sim.writes()]
    assert writes == sorted(writes, key=["render", "a"].index), "no write to a before the last one to render"


def test_two_accounts_have_pools_of_one_name_and_an_error_of_a_program_has_no_half_a_fleet(
    sim: Simulator, other: Simulator, stack: Stack
) -> None:
    # Two hosts, and one key for both: which credential goes where is the business of test_accounts.
    account = {"name": sim.account, "key": sim.key}
    other.put("state", {**other.get("state"), "account": account, "pools": [paas_pool()]})
    program = """
        PoolFleet("farm", pools=["render", {url!r}], account_endpoint={endpoint!r}, target_os_version={target!r},
            max_unhealthy=0, waves={waves})
        """
    url = f"{other.endpoint}/pools/render"
    stack.program(program.format(url=url, endpoint=sim.endpoint, target=NEW, waves=["110%"]))
    refused = stack.up().failed().flat
    assert "PoolFleet farm: waves[0]: '110%' is not a wave; allowed: the percentage" in refused
    assert "Correct the program and run `pulumi preview`." in refused
    assert stack.resources() == []
    stack.program(program.format(url=url, endpoint=sim.endpoint, target=NEW, waves=None))
    sim.speed(60)
    other.speed(60)
    stack.up().ok()
    assert upgraded(sim) == upgraded(other) == ["render"]
    names = {each["urn"].rpartition("::")[2] for each in stack.resources()}
    host = other.endpoint.partition("://")[2].replace(":", "-")
    assert names == {"farm-render", f"farm-{host}-render"}
    assert {each["id"] for each in stack.resources()} == {f"{sim.endpoint}/pools/render", url}
