"""The main road on the real CLI: preview, up, drift, refresh, and what must cost no call. Pools lie side by side."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from tests.support.door_marks import both_doors
from tests.support.doors import os_version, read_os
from tests.support.simulator import NEW, OLD, OTHER, SHORT_NEW, SHORT_OLD, Simulator, paas_pool

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.support.stack import Stack


def declare(stack: Stack, sim: Simulator, pools: Mapping[str, Mapping[str, Any]], *, reads: bool = False) -> None:
    """Declare pools by the names of their resources; a pool has that id. With ``reads`` one more is only read."""
    declared = [os_version(name, **{"account_endpoint": sim.endpoint, **inputs}) for name, inputs in pools.items()]
    seen = [read_os("seen", f"{sim.endpoint}/pools/read")] if reads else []
    shown = {"current": ("seen", "current_os_version"), "family": ("seen", "os_family")} if reads else {}
    stack.write(*declared, *seen, outputs=shown)


def current(sim: Simulator, pool_id: str) -> str:
    return str(sim.pool(pool_id)["cloudServiceConfiguration"]["currentOSVersion"])


@both_doors
def test_from_the_first_preview_to_the_destroy(sim: Simulator, stack: Stack) -> None:
    names = ("render", "calm", "drifts", "moves", "spelled")
    sim.pools(*map(paas_pool, (*names, "read")))
    pools: dict[str, dict[str, Any]] = {name: {"target_os_version": OLD} for name in names}
    pools["render"] = {"target_os_version": NEW}
    pools["calm"] |= {"timeout": "45m", "on_timeout": "defer"}
    pools["spelled"] |= {"timeout": "2h"}
    target = stack.door.spell("target_os_version")
    declare(stack, sim, pools, reads=True)
    shown = stack.preview().ok()
    assert re.search(rf'{target} *: "{NEW}"', shown.text)
    assert "+ 6 to create" in shown.text, "the stack itself and the pools"
    assert not sim.writes()

    # One POST, and success only when the service is done; a pool at its target is adopted without a write.
    sim.speed(60)
    done = stack.up().ok()
    pool = sim.pool()
    assert pool["state"] == "active"
    assert pool["cloudServiceConfiguration"]["currentOSVersion"] == NEW
    (post,) = sim.writes()
    assert (post["operation"], post["pool"], post["status"]) == ("Pool_UpgradeOS", "render", 202)
    last_read = sim.seen("render", "Pool_Get")[-1]
    (ended,) = sim.transitions("pool", "active")
    assert post["seq"] < ended["seq"] < last_read["seq"], "success was reported before the service was done"
    assert re.search(rf"done, 3 of 3 nodes back, \w+; {SHORT_OLD} -> {SHORT_NEW}", done.text)
    assert done.text.count(f"nothing was written; the pool already runs {SHORT_OLD}") >= 4
    assert stack.all_outputs()["render"] == {
        "account_endpoint": sim.endpoint,
        "pool_id": "render",
        "target_os_version": NEW,
        "current_os_version": NEW,
        "os_family": "4",
        "pool_state": "active",
        "unhealthy_nodes": 0,
    }
    assert json.loads(stack.run("stack", "output", "--json").ok().text) == {"current": OLD, "family": "4"}

    # A second `up`, with its preview, changes nothing, and asks Batch only about the pool that is read.
    before = len(sim.requests())
    assert re.search(r"Resources:\s+6 unchanged", stack.run("up", "--yes").ok().text)
    assert {each["pool"] for each in sim.requests()[before:]} == {"read"}

    # Drift: unseen without a refresh, then a property change that the preview shows.
    sim.move_to(OTHER, "drifts")
    assert re.search(r"Resources:\s+6 unchanged", stack.preview().ok().text)
    refreshed = stack.refresh().ok()
    assert re.search(rf'{target} *: "{OLD}" => "{OTHER}"', refreshed.text)
    assert set(re.findall(r"\S+ => \S+", refreshed.text)) == {f'"{OLD}" => "{OTHER}"'}, "of one pool"
    # The same by meaning in other spellings: no change.
    pools["spelled"] |= {"timeout": 7200, "pool_id": "SPELLED", "account_endpoint": sim.endpoint.upper() + "/"}
    pools["moves"]["target_os_version"] = NEW
    declare(stack, sim, pools, reads=True)
    shown = stack.preview().ok()
    assert f'~ {target}: "{OTHER}" => "{OLD}"' in shown.text
    assert f'~ {target}: "{OLD}" => "{NEW}"' in shown.text
    assert "~ 2 to update" in shown.text
    assert len(sim.upgrades()) == 1
    stack.up().ok()
    assert [current(sim, name) for name in ("drifts", "moves")] == [OLD, NEW]
    assert sorted(str(each["pool"]) for each in sim.writes()) == ["drifts", "moves", "render"]
    assert stack.all_outputs()["moves"]["current_os_version"] == NEW

    before = len(sim.requests())
    stack.run("destroy", "--yes", "--skip-preview").ok()
    assert stack.resources() == []
    assert len(sim.requests()) == before


def test_what_changes_in_the_program_without_a_write_to_batch(
    sim: Simulator, stack: Stack, new_stack: Callable[..., Stack]
) -> None:
    """Another deadline, another pool, another name of the resource, another back end."""
    sim.pools(*map(paas_pool, ("render", "old", "other", "named")))
    at = {"target_os_version": OLD}
    declare(stack, sim, {"render": {**at, "timeout": "2h"}, "old": at, "named": at})
    stack.up().ok()
    changed = {"render": {**at, "timeout": "3h"}, "old": {**at, "pool_id": "other"}, "new": {**at, "pool_id": "named"}}
    declare(stack, sim, changed)
    shown = stack.preview().ok()
    assert re.search(r'~ timeout *: "2h" => "3h"', shown.text)
    assert re.search(r"\(replace\[retain\]\)\s+\[id=\S+/pools/old\]", shown.text), shown.text
    assert re.search(r"\(delete\[retain\]\)\s+\[id=\S+/pools/named\]", shown.text), shown.text
    before = len(sim.requests())
    stack.up().ok()
    asked = [(entry["operation"], entry["pool"]) for entry in sim.requests()[before:]]
    assert asked.count(("Pool_List", None)) == 1, "one look for the plan of all"
    assert [operation for operation, pool in asked if pool == "render"] == ["Pool_Get"], "it reads once"
    assert "old" not in {pool for _, pool in asked}
    assert not sim.writes()
    state = {each["urn"].rpartition("::")[2]: each["id"] for each in stack.resources()}
    ids = {"render": "render", "old": "other", "new": "named"}
    assert state == {name: f"{sim.endpoint}/pools/{pool}" for name, pool in ids.items()}

    exported = stack.folder / "exported.json"
    stack.run("stack", "export", "--file", str(exported)).ok()
    there = new_stack("there")
    declare(there, sim, changed)
    there.run("stack", "import", "--file", str(exported)).ok()
    before = len(sim.requests())
    assert "unchanged" in there.preview("--expect-no-changes").ok().text
    assert len(sim.requests()) == before
