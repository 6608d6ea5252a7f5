"""^C, kill -9, deadlines and a dead engine: what is said, and what the next `up` finds."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

from tests.support.simulator import NEW, OLD, SHORT_NEW, SHORT_OLD, Simulator, paas_pool
from tests.support.stack import wait_until

if TYPE_CHECKING:
    from tests.support.stack import Stack


def finish(sim: Simulator, stack: Stack) -> None:
    """The next `up` reaches the target, and there was one POST in all."""
    sim.speed(60)
    stack.up().ok()
    assert sim.pool()["cloudServiceConfiguration"]["currentOSVersion"] == NEW
    assert len(sim.upgrades()) == 1
    assert stack.outputs()["current_os_version"] == NEW
    assert "unchanged" in stack.preview("--refresh").ok().text


def test_ctrl_c_in_the_wait_tells_that_the_upgrade_goes_on(sim: Simulator, stack: Stack) -> None:
    stack.declare(sim, NEW)
    running = stack.start_up()
    wait_until(lambda: len(sim.upgrades()) == 1 and "nodes back" in running.text, "the wait begins")
    running.interrupt()
    # 3 s are ours and the CLI may take five more; nothing else would end it, so a slow machine may have time.
    wait_until(lambda: "interrupted by ^C" in running.text, "the wait ends")
    ended = running.wait().failed()
    assert "interrupted by ^C" in ended.flat
    assert f"the upgrade {OLD} -> {NEW} goes on in Batch" in ended.flat
    assert "Run `pulumi up` again" in ended.flat
    finish(sim, stack)


def test_revert_after_ctrl_c_is_seen_with_a_refresh(sim: Simulator, stack: Stack) -> None:
    stack.declare(sim, OLD)
    stack.up().ok()
    stack.declare(sim, NEW)
    running = stack.start_up()
    wait_until(lambda: "nodes back" in running.text, "the wait begins")
    running.interrupt()
    assert "To go back instead, revert the program and run `pulumi up --refresh`" in running.wait().failed().flat
    stack.declare(sim, OLD)
    # Batch still shows the old version as the current one, but it will not stay there.
    early = stack.up("--refresh").failed()
    assert f"an upgrade {OLD} -> {NEW} is in flight, and {OLD} is declared" in early.flat
    sim.speed(60)
    wait_until(lambda: sim.pool()["state"] == "active", "the upgrade ends")
    stack.up("--refresh").ok()
    assert sim.pool()["cloudServiceConfiguration"]["currentOSVersion"] == OLD
    assert len(sim.upgrades()) == 2


def test_ctrl_c_before_the_post_tells_that_nothing_was_started(sim: Simulator, stack: Stack) -> None:
    assert sim.outside("POST", "/pools/render/resize", {"targetDedicatedNodes": 5}) == 202
    stack.declare(sim, NEW)
    running = stack.start_up()
    # The preview's line tells of the resize too; the one of the wait tells how long it has taken.
    wait_until(lambda: re.search(r"a resize is under way.*, \d+s; ", running.text), "the wait begins")
    running.interrupt()
    ended = running.wait().failed()
    assert "no upgrade was started: a resize is under way" in ended.flat
    assert not sim.upgrades()
    finish(sim, stack)


def test_ctrl_c_while_batch_is_silent_ends_in_time(sim: Simulator, stack: Stack) -> None:
    sim.fault("Pool_Get", {"kind": "delay", "seconds": 120})
    stack.declare(sim, NEW)
    running = stack.start_up()
    wait_until(lambda: sim.requests("Pool_Get"), "the plugin reads the pool")
    running.interrupt()
    wait_until(lambda: "interrupted by ^C" in running.text, "the wait ends, long before Batch answers", seconds=60)
    assert "no upgrade was started" in running.wait().failed().flat


def test_after_cancel_no_queued_resource_makes_its_first_write(sim: Simulator, stack: Stack) -> None:
    sim.pools(*(paas_pool(f"p{number}") for number in range(4)))
    stack.program(
        "last = None\n"
        "for n in range(4):\n"
        f'    last = PoolOsVersion(f"p{{n}}", account_endpoint="{sim.endpoint}", pool_id=f"p{{n}}",\n'
        f'        target_os_version="{NEW}", opts=ResourceOptions(depends_on=[last] if last else []))\n'
    )
    running = stack.start_up()
    wait_until(lambda: "nodes back" in running.text, "the first pool is upgrading")
    running.interrupt()
    running.wait().failed()
    assert len(sim.upgrades()) == 1


def test_killed_cli_leaves_a_lock_and_no_second_post(sim: Simulator, stack: Stack) -> None:
    stack.declare(sim, NEW)
    running = stack.start_up()
    wait_until(lambda: "nodes back" in running.text, "the wait begins")
    running.kill()
    asked = len(sim.requests())
    wait_until(lambda: stack.plugins() == [], "the orphaned plugin ends by itself")
    time.sleep(1)  # that no call comes can only be seen by waiting for one
    assert len(sim.requests()) <= asked + 3, "no Batch call once the engine is known to be gone"
    locked = stack.up()
    assert locked.code != 0
    assert "the stack is currently locked by 1 lock(s)" in locked.text
    stack.run("cancel", "--yes").ok()
    finish(sim, stack)


def test_deadline_fails_and_says_what_goes_on(sim: Simulator, stack: Stack) -> None:
    stack.declare(sim, NEW, timeout="2s")
    failed = stack.up().failed()
    assert f"{NEW} was not reached within the timeout of 2s" in failed.flat
    assert f"the upgrade {OLD} -> {NEW} goes on in Batch (0 of 3 nodes back)" in failed.flat
    stack.declare(sim, NEW)
    finish(sim, stack)


def test_deferred_deadline_succeeds_truthfully_and_is_planned_again(sim: Simulator, stack: Stack) -> None:
    stack.declare(sim, NEW, timeout="2s", on_timeout="defer")
    deferred = stack.up().ok()
    said = f"still at {OLD}; upgrade to {NEW} was deferred: 0 of 3 nodes back"
    assert said in deferred.flat
    assert stack.outputs()["current_os_version"] == OLD
    assert stack.outputs()["pool_state"] == "upgrading"
    previewed = stack.preview().ok()
    assert "0 of 3 nodes back, this up joins the upgrade in flight; " in previewed.flat
    assert f"; still at {SHORT_OLD}; upgrade to {SHORT_NEW} was deferred" in previewed.flat
    assert "~ 1 to update" in previewed.text
    sim.speed(60)
    wait_until(lambda: sim.pool()["state"] == "active", "the upgrade ends")
    stack.up().ok()
    assert len(sim.upgrades()) == 1
    assert stack.outputs()["current_os_version"] == NEW
    assert "unchanged" in stack.preview().ok().text
