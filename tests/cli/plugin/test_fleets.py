"""Fleets in YAML programs on the real CLI: waves in order, several fleets at once, and a wave that fails."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from batch_os_provider.cli.comment import preview_file
from batch_os_provider.cli.comment.digest import digest
from tests.cli.plugin.test_yaml import stack
from tests.support.plugin import FLEET, OS
from tests.support.simulator import NEW, TARGET, Simulator, paas_pool, vm_pool
from tests.support.stack import PROJECT, names_of_pending, wait_until

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.support.stack import Stack

__all__ = ["stack"]  # the fixture

FLEETS = {"east": ("e1", "e2", "e3", "e4"), "west": ("w1", "w2", "w3")}


def declare(stack: Stack, sim: Simulator, fleets: Mapping[str, Mapping[str, Any]]) -> None:
    """Write a program (JSON is YAML) with an explicit provider, and a pool that waits for the fleet `east`."""
    account = {"accountEndpoint": sim.endpoint, "accountName": sim.account, "accountKey": {"fn::secret": sim.key}}
    options: dict[str, Any] = {"provider": "${account}", "retainOnDelete": True}
    resources: dict[str, Any] = {"account": {"type": "pulumi:providers:batchos", "properties": account}}
    for name, inputs in fleets.items():
        resources[name] = {"type": "batchos:PoolFleet", "properties": inputs, "options": options}
    resources["after"] = {
        "type": "batchos:PoolOsVersion",
        "properties": {"poolId": "after", "targetOsVersion": NEW},
        "options": {**options, "dependsOn": ["${east}"]},
    }
    outputs = {"waves": "${east.waves}", "first": '${east.pools["e1"].currentOsVersion}', "west": '${west.pools["w1"]}'}
    program = {"name": PROJECT, "runtime": "yaml", "resources": resources, "outputs": outputs}
    (stack.program_folder / "Pulumi.yaml").write_text(json.dumps(program), encoding="utf-8")


def state(stack: Stack) -> dict[str, dict[str, Any]]:
    found = stack.deployment()["resources"]
    return {each["urn"].rpartition("::")[2]: each for each in found}


def under_way(stack: Stack) -> set[str]:
    """The names of the resources that the state has as being created; none while it is being written."""
    try:
        return names_of_pending(stack.deployment())
    except (FileNotFoundError, ValueError):
        return set()


def test_fleets_side_by_side_bring_their_waves_in_order(sim: Simulator, stack: Stack) -> None:
    sim.seed(
        *map(paas_pool, (*FLEETS["east"], *FLEETS["west"], "after")), vm_pool("v1", nodes=1), vm_pool("v2", nodes=1)
    )
    hidden = {"fn::secret": "97m"}
    fleets: dict[str, dict[str, Any]] = {
        "east": {"pools": [*FLEETS["east"]], "targetOsVersion": NEW, "waves": ["75%"], "maxUnhealthy": 0},
        "west": {"pools": [*FLEETS["west"]], "targetOsVersion": NEW, "canary": "w2", "timeout": hidden},
        "vms": {"pools": ["v1", "v2"], "targetImageVersion": TARGET, "strategy": "surge"},
    }
    declare(stack, sim, fleets)
    shown = stack.run("preview", "--json").ok().text
    rows = digest("dev", preview_file.read(shown.encode()))
    assert {row.what for row in rows.rows} == {"upgrade", "renew"}
    assert len(rows.rows) == 10
    (said,) = [each.text for each in rows.said if "is not declared" in each.text]
    assert said.startswith("fleet west: maxUnhealthy is not declared, so a wave passes when its pools run the target")
    assert not sim.writes()

    sim.speed(600)
    up = stack.up().ok()
    order = [str(each["pool"]) for each in sim.upgrades()]
    east, west = ([name for name in order if name[0] == first] for first in "ew")
    assert (east[0], east[3], west[0]) == ("e1", "e4", "w2")
    assert order.index("after") > order.index("e4"), "what depends on a fleet waits for its last wave"
    writes = [each["pool"] for each in sim.writes() if str(each["pool"])[0] == "v"]
    assert writes == sorted(writes), "no write to v2 before the last one to v1"
    assert f'first: "{NEW}"' in up.flat
    resources = state(stack)
    (account,) = [each for each in resources.values() if each["type"] == "pulumi:providers:batchos"]
    pools = [each for each in resources.values() if "/pools/" in each.get("id", "")]
    assert {each["provider"] for each in pools} == {f"{account['urn']}::{account['id']}"}, "that of the fleet"
    assert all(each["retainOnDelete"] for each in pools), "an option of the fleet"
    assert {resources[f"west-{name}"]["parent"] for name in FLEETS["west"]} == {resources["west"]["urn"]}
    assert resources["east"]["outputs"]["pools"]["e2"]["url"] == f"{sim.endpoint}/pools/e2"
    stack.run("preview", "--expect-no-changes").ok()
    text = stack.state_file.read_text(encoding="utf-8")
    assert "97m" not in text
    for each in (text, *(text for _, text in stack.said())):
        assert sim.key not in each


def test_a_wave_that_fails_or_is_killed_stops_the_next_one(sim: Simulator, stack: Stack) -> None:
    sim.pools(*map(paas_pool, (*FLEETS["east"], *FLEETS["west"], "after")))
    fleets: dict[str, dict[str, Any]] = {
        "east": {"pools": [*FLEETS["east"]], "targetOsVersion": NEW, "canary": ["e1", "gone"], "maxUnhealthy": 0},
        "west": {"pools": [*FLEETS["west"]], "targetOsVersion": NEW, "maxUnhealthy": 0},
    }
    fleets["east"]["pools"].append("gone")
    declare(stack, sim, fleets)
    # Time stands still: both canaries wait. A kill leaves their upgrades to the next `up`.
    running = stack.start_up()
    wait_until(lambda: len(sim.upgrades()) == 2, "both canaries upgrade")
    # Pulumi also writes that `gone` has failed. A kill during that write may leave an empty file beside the state.
    wait_until(lambda: under_way(stack) == {"east-e1", "west-w1"}, "nothing else is to be written")
    running.kill()
    stack.run("cancel", "--yes").ok()
    sim.speed(300)
    failed = stack.up().failed()
    assert "PoolFleet resource 'east' has a problem: east-gone failed; 1 later wave does not start" in failed.flat
    # The engine does not answer a fleet of a run that fails: it closes the connection.
    assert "PoolFleet resource 'west' has a problem: Pulumi ended this run before the fleet was done" in failed.flat
    assert "connection is closing" not in failed.flat
    assert not {each["pool"] for each in sim.upgrades()} & {*FLEETS["east"][1:], "after"}

    fleets["east"]["pools"].remove("gone")
    fleets["east"]["canary"] = "e1"
    declare(stack, sim, fleets)
    stack.up().ok()
    upgraded = [str(each["pool"]) for each in sim.upgrades()]
    assert sorted(upgraded) == sorted([*FLEETS["east"], *FLEETS["west"], "after"]), "no second upgrade of a pool"
    kinds = {each["type"] for each in state(stack).values()}
    assert kinds == {"pulumi:pulumi:Stack", "pulumi:providers:batchos", FLEET, OS}
