"""^C, kill -9, deadlines and a dead engine: what is said, and what the next `up` finds."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

from tests.support.door_marks import both_doors, native_door
from tests.support.doors import Resource, os_version
from tests.support.simulator import NEW, OLD, SHORT_NEW, SHORT_OLD, Simulator, paas_pool
from tests.support.stack import wait_until

if TYPE_CHECKING:
    from tests.support.stack import Stack


def pool(sim: Simulator, name: str, *, after: tuple[str, ...] = (), **inputs: str) -> Resource:
    """A pool that is declared at NEW."""
    return os_version(name, after=after, account_endpoint=sim.endpoint, target_os_version=NEW, **inputs)


def finish(sim: Simulator, stack: Stack, *pool_ids: str) -> None:
    """The next `up` reaches the target, and there was one POST for each pool in all."""
    sim.speed(60)
    stack.up().ok()
    for pool_id in pool_ids:
        assert sim.pool(pool_id)["cloudServiceConfiguration"]["currentOSVersion"] == NEW, pool_id
    assert sorted(str(each["pool"]) for each in sim.upgrades()) == sorted(pool_ids)
    outputs = stack.all_outputs()
    assert {pool_id: each["current_os_version"] for pool_id, each in outputs.items()} == dict.fromkeys(pool_ids, NEW)
    assert "unchanged" in stack.preview("--refresh").ok().text


@both_doors
def test_ctrl_c_ends_every_wait_says_what_goes_on_and_no_queued_resource_begins(sim: Simulator, stack: Stack) -> None:
    """One ^C for a pool that is upgrading, one before its POST, one that Batch is silent about, and a queue."""
    names = ("render", "resizing", "silent", "queued", "last")
    sim.pools(*map(paas_pool, names))
    assert sim.outside("POST", "/pools/resizing/resize", {"targetDedicatedNodes": 5}) == 202
    sim.fault("Pool_Get", {"kind": "delay", "seconds": 120}, pool="silent")
    after = {"queued": ("render",), "last": ("queued",)}
    stack.write(*(pool(sim, name, after=after.get(name, ())) for name in names))
    running = stack.start_up()
    # The preview's line tells of the resize too; the one of the wait tells how long it has taken.
    begun = (
        r"render creating \(\d+s\) (0 of 3 nodes back|upgrading), ",
        r"resizing creating \(\d+s\) a resize is under way.*, \d+s; ",
    )
    wait_until(
        lambda: sim.seen("silent", "Pool_Get") and all(re.search(each, running.text) for each in begun), "they wait"
    )
    running.interrupt()
    # 3 s are ours and the CLI may take five more; Batch would answer about the silent pool long after that.
    wait_until(lambda: "interrupted by ^C" in running.text, "the waits end", seconds=60)
    ended = running.wait(60).failed()
    # The engine writes the reasons of a resource that it keeps as a list.
    said = {name: set(re.findall(rf"(?:error:|\*) pool \S+/{name}: (.*)", ended.text)) for name in names}
    assert {name: len(each) for name, each in said.items()} == {
        "render": 1,
        "resizing": 1,
        "silent": 1,
        "queued": 0,
        "last": 0,
    }, ended.text
    for name, expected in {
        "render": f"the upgrade {OLD} -> {NEW} goes on in Batch",
        "resizing": "no upgrade was started: a resize is under way",
        "silent": "no upgrade was started",
    }.items():
        assert expected in str(said[name])
        assert "interrupted by ^C" in str(said[name])
    assert "Run `pulumi up` again" in ended.flat
    assert [each["pool"] for each in sim.upgrades()] == ["render"]
    sim.no_faults()
    finish(sim, stack, *names)


@native_door
def test_revert_after_ctrl_c_is_seen_with_a_refresh(sim: Simulator, stack: Stack) -> None:
    stack.declare(sim, OLD)
    stack.up().ok()
    stack.declare(sim, NEW)
    running = stack.start_up()
    wait_until(lambda: running.waits, "the wait begins")
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


@both_doors
def test_killed_cli_leaves_a_lock_and_no_second_post(sim: Simulator, stack: Stack) -> None:
    stack.declare(sim, NEW)
    running = stack.start_up()
    wait_until(lambda: running.waits, "the wait begins")
    running.kill()
    asked = len(sim.requests())
    wait_until(lambda: stack.plugins() == [], "the orphaned plugin ends by itself")
    time.sleep(1)  # that no call comes can only be seen by waiting for one
    assert len(sim.requests()) <= asked + 3, "no Batch call once the engine is known to be gone"
    locked = stack.up()
    assert locked.code != 0
    assert "the stack is currently locked by 1 lock(s)" in locked.text
    stack.run("cancel", "--yes").ok()
    finish(sim, stack, "render")


def test_a_deadline_fails_or_defers_says_what_goes_on_and_is_planned_again(sim: Simulator, stack: Stack) -> None:
    sim.pools(paas_pool("fails"), paas_pool("defers"))

    def declare(**inputs: str) -> None:
        stack.write(pool(sim, "fails", **inputs), pool(sim, "defers", timeout="2s", on_timeout="defer"))

    declare(timeout="2s")
    failed = stack.up().failed()
    assert f"{NEW} was not reached within the timeout of 2s" in failed.flat
    assert failed.text.count("**creating failed**") == 1
    # Of several pools that wait in an account, not each has its nodes counted at once.
    counted = "goes on in Batch (0 of 3 nodes back). Next: ", f"upgrade to {NEW} was deferred: 0 of 3 nodes back"
    assert any(each in failed.flat for each in counted)
    assert f"the upgrade {OLD} -> {NEW} goes on in Batch" in failed.flat
    assert f"still at {OLD}; upgrade to {NEW} was deferred: " in failed.flat
    outputs = stack.outputs()
    assert (outputs["pool_id"], outputs["current_os_version"], outputs["pool_state"]) == ("defers", OLD, "upgrading")
    declare()
    previewed = stack.preview().ok()
    assert previewed.flat.count("0 of 3 nodes back, this up joins the upgrade in flight; ") == 2
    assert f"; still at {SHORT_OLD}; upgrade to {SHORT_NEW} was deferred" in previewed.flat
    assert "~ 1 to update" in previewed.text
    sim.speed(60)
    wait_until(lambda: {sim.pool(each)["state"] for each in ("fails", "defers")} == {"active"}, "the upgrades end")
    finish(sim, stack, "fails", "defers")
