"""The main road on the real CLI: preview, up, drift, refresh, and what must cost no call."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from tests.support.simulator import NEW, OLD, OTHER, SHORT_NEW, SHORT_OLD, Simulator, paas_pool

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.stack import Stack


def test_preview_of_a_new_resource_writes_nothing(sim: Simulator, stack: Stack) -> None:
    stack.declare(sim, NEW)
    shown = stack.preview().ok()
    assert f'target_os_version: "{NEW}"' in shown.text
    assert "+ 2 to create" in shown.text  # the stack itself and the resource
    assert not sim.writes()


def test_up_posts_once_and_returns_only_when_the_service_is_done(sim: Simulator, stack: Stack) -> None:
    stack.declare(sim, NEW)
    sim.speed(60)
    done = stack.up().ok()
    pool = sim.pool()
    assert pool["state"] == "active"
    assert pool["cloudServiceConfiguration"]["currentOSVersion"] == NEW
    (post,) = sim.upgrades()
    assert post["status"] == 202
    last_read = sim.requests("Pool_Get")[-1]
    (ended,) = sim.transitions("pool", "active")
    assert post["seq"] < ended["seq"] < last_read["seq"], "success was reported before the service was done"
    assert re.search(rf"done, 3 of 3 nodes back, \w+; {SHORT_OLD} -> {SHORT_NEW}", done.text)
    assert stack.outputs() == {
        "account_endpoint": sim.endpoint,
        "pool_id": "render",
        "target_os_version": NEW,
        "current_os_version": NEW,
        "os_family": "4",
        "pool_state": "active",
        "unhealthy_nodes": 0,
    }


def test_second_up_changes_nothing_and_asks_batch_nothing(sim: Simulator, stack: Stack) -> None:
    stack.declare(sim, NEW)
    sim.speed(60)
    stack.up().ok()
    before = len(sim.requests())
    assert "unchanged" in stack.run("up", "--yes").ok().text
    assert len(sim.requests()) == before


def test_changed_target_shows_from_and_to_and_up_updates(sim: Simulator, stack: Stack) -> None:
    stack.declare(sim, OLD)
    stack.up().ok()
    stack.declare(sim, NEW)
    assert f'~ target_os_version: "{OLD}" => "{NEW}"' in stack.preview().ok().text
    assert not sim.writes()
    sim.speed(60)
    stack.up().ok()
    assert len(sim.upgrades()) == 1
    assert stack.outputs()["current_os_version"] == NEW


def test_drift_is_a_visible_property_change(sim: Simulator, stack: Stack) -> None:
    stack.declare(sim, OLD)
    stack.up().ok()
    sim.move_to(OTHER)
    assert "no changes" in stack.preview().ok().text.lower() or "unchanged" in stack.preview().text
    refreshed = stack.refresh().ok()
    assert f'"{OLD}" => "{OTHER}"' in refreshed.text
    assert f'~ target_os_version: "{OTHER}" => "{OLD}"' in stack.preview().ok().text
    sim.speed(60)
    stack.up().ok()
    assert sim.pool()["cloudServiceConfiguration"]["currentOSVersion"] == OLD
    assert len(sim.upgrades()) == 1


def test_refresh_without_drift_shows_no_change(sim: Simulator, stack: Stack) -> None:
    stack.declare(sim, OLD, timeout="45m", on_timeout="defer")
    stack.up().ok()
    assert "unchanged" in stack.refresh().ok().text
    assert "unchanged" in stack.preview().ok().text


def test_pool_that_already_runs_the_target_is_adopted_without_a_write(sim: Simulator, stack: Stack) -> None:
    stack.declare(sim, OLD)
    adopted = stack.up().ok()
    assert f"nothing was written; the pool already runs {SHORT_OLD}" in adopted.text
    assert not sim.writes()


def test_other_inputs_and_spellings(sim: Simulator, stack: Stack) -> None:
    stack.declare(sim, OLD, timeout="2h")
    stack.up().ok()
    # The same by meaning: no change.
    stack.declare(sim, OLD, timeout=7200, pool_id="RENDER", account_endpoint=sim.endpoint.upper() + "/")
    assert "unchanged" in stack.preview("--expect-no-changes").ok().text
    # Another meaning: an update. It is looked at for the plan, reads once, and writes nothing.
    stack.declare(sim, OLD, timeout="3h")
    assert '~ timeout : "2h" => "3h"' in stack.preview().ok().flat
    before = len(sim.requests())
    stack.up().ok()
    assert [entry["operation"] for entry in sim.requests()[before:]] == ["Pool_List", "Pool_Get"]


def test_another_pool_replaces_and_leaves_the_old_one_alone(sim: Simulator, stack: Stack) -> None:
    sim.pools(paas_pool(), paas_pool("other"))
    stack.declare(sim, OLD)
    stack.up().ok()
    stack.declare(sim, OLD, pool_id="other")
    assert "replace" in stack.preview().ok().text
    stack.up().ok()
    assert not sim.writes()
    (resource,) = stack.resources()
    assert resource["id"] == f"{sim.endpoint}/pools/other"


def test_rename_adopts_without_a_write(sim: Simulator, stack: Stack) -> None:
    stack.declare(sim, OLD)
    stack.up().ok()
    stack.declare(sim, OLD, name="renamed")
    assert "delete[retain]" in stack.preview().ok().text or "[retain]" in stack.preview().text
    stack.up().ok()
    assert not sim.writes()
    (resource,) = stack.resources()
    assert resource["urn"].endswith("::renamed")


def test_destroy_touches_nothing(sim: Simulator, stack: Stack) -> None:
    stack.declare(sim, OLD)
    stack.up().ok()
    before = len(sim.requests())
    stack.run("destroy", "--yes", "--skip-preview").ok()
    assert stack.resources() == []
    assert len(sim.requests()) == before


def test_get_reads_a_pool_by_its_url_and_manages_nothing(sim: Simulator, stack: Stack) -> None:
    stack.program(
        f"""
        seen = PoolOsVersion.get("seen", "{sim.endpoint}/pools/render")
        pulumi.export("current", seen.current_os_version)
        pulumi.export("family", seen.os_family)
        """
    )
    stack.preview().ok()
    stack.up().ok()
    outputs = json.loads(stack.run("stack", "output", "--json").ok().text)
    assert outputs == {"current": OLD, "family": "4"}
    assert not sim.writes()
    stack.run("destroy", "--yes", "--skip-preview").ok()
    assert not sim.writes()


def test_state_moves_to_another_back_end_without_a_change(
    sim: Simulator, stack: Stack, new_stack: Callable[..., Stack]
) -> None:
    stack.declare(sim, OLD, timeout="45m")
    stack.up().ok()
    exported = stack.folder / "exported.json"
    stack.run("stack", "export", "--file", str(exported)).ok()
    other = new_stack("other")
    other.declare(sim, OLD, timeout="45m")
    other.run("stack", "import", "--file", str(exported)).ok()
    before = len(sim.requests())
    assert "unchanged" in other.preview("--expect-no-changes").ok().text
    assert len(sim.requests()) == before
