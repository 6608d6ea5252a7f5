"""What a preview says of pools that change, on the real CLI: one look for all, a line each, and what it refuses."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

from batch_os_provider.preview.message_tail import MessageTail, split
from tests.support.simulator import (
    NEW,
    OLD,
    OTHER,
    SHORT_NEW,
    SHORT_OLD,
    SHORT_OTHER,
    TARGET,
    Simulator,
    job,
    paas_pool,
    vm_pool,
)
from tests.support.stack import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.stack import Result, Stack

PAGE = Path(__file__).resolve().parents[3] / "docs" / "preview.md"
MONITOR_ENDED = "Resource monitor has terminated, shutting down"
FAMILY_5 = "WA-GUEST-OS-5.25_201811-01"


def declare(stack: Stack, sim: Simulator, *pools: str, target: str = NEW, more: str = "") -> None:
    """Write a program of Cloud Services pools with one target."""
    where = f"account_endpoint={sim.endpoint!r}, target_os_version={target!r}{more}"
    stack.program("".join(f"PoolOsVersion({pool!r}, pool_id={pool!r}, {where})\n" for pool in pools))


def told(stack: Stack, *arguments: str) -> dict[str, tuple[str, MessageTail]]:
    """What `preview --json` says by the pool's id: sentence and tail."""
    text = stack.run("preview", "--json", *arguments).text
    found: dict[str, tuple[str, MessageTail]] = {}
    for each in json.loads(text[text.index("{") :]).get("diagnostics", []):
        sentence, tail = split(each["message"])
        if tail is not None and tail.what != "warning":
            pool = tail.pool.rpartition("/")[2]
            assert pool not in found, "one plan for each pool"
            found[pool] = (sentence, tail)
    return found


def operations(sim: Simulator) -> list[tuple[str, str | None]]:
    """What Batch was asked."""
    return [(each["operation"], each["pool"]) for each in sim.requests()]


def test_each_row_says_what_the_up_will_do(sim: Simulator, stack: Stack) -> None:
    started = {"state": "upgrading", "stateTransitionTime": "2018-11-20T00:00:00Z"}
    joined = paas_pool("joined", **started)
    joined["cloudServiceConfiguration"]["targetOSVersion"] = NEW
    joined["nodes"][0]["lastBootTime"] = "2018-11-20T00:10:00Z"
    for node in joined["nodes"][1:]:
        node["state"] = "upgradingos"
    sim.seed(
        paas_pool("busy"),
        joined,
        paas_pool("same", current=NEW),
        paas_pool("newer", current=OTHER),
        paas_pool("resizing"),
        paas_pool("none", nodes=0),
        jobs=[job("busy", 3600, 3600)],
    )
    sim.advance(60)
    sim.change("resizing", allocationState="resizing")
    declare(stack, sim, "busy", "joined", "same", "newer", "resizing", "none", "missing")
    said = told(stack)
    change = f"{SHORT_OLD} -> {SHORT_NEW}"
    expected = {
        "busy": ("upgrade", "3 nodes, 2 running tasks go back to the queue; ", change),
        "joined": ("join", "2 of 3 nodes back, this up joins the upgrade in flight; ", change),
        "same": ("adopt", "no change needed; ", f"the pool runs {SHORT_NEW}"),
        "newer": ("rollback", "ROLLBACK: 3 nodes, no task runs; ", f"{SHORT_OTHER} -> {SHORT_NEW}"),
        "resizing": (
            "wait",
            "3 nodes, no task runs; a resize is under way (resizing); this up waits for it",
            change,
        ),
        "none": ("upgrade", "no nodes; ", change),
        "missing": ("not looked at", "could not check the pool: the account has no such pool", "makes the pool first"),
    }
    assert {pool: tail.what for pool, (_, tail) in said.items()} == {
        pool: what for pool, (what, *_) in expected.items()
    }
    for pool, (_, first, last) in expected.items():
        assert said[pool][0].removeprefix("warning: ").startswith(first), said[pool][0]
        assert said[pool][0].endswith(last), said[pool][0]
        assert "expired" in said[pool][1].warnings or pool == "missing"
    assert said["busy"][1].tasks == 2
    assert said["joined"][1].back == 2
    asked = operations(sim)
    assert asked.count(("Pool_List", None)) == 1, "one list for the whole account"
    assert len(asked) == len(set(asked)), "nothing is asked twice"
    assert all(pool not in {"same", "none", "missing"} for _, pool in asked), "no nodes are read in vain"
    assert not sim.writes()


def test_the_tail_is_there_only_where_a_program_reads(sim: Simulator, new_stack: Callable[..., Stack]) -> None:
    sim.seed(paas_pool("plain"))
    sim.speed(60)
    stack = new_stack()
    asks, never = new_stack("asks", BATCH_OS_TAIL="always"), new_stack("never", BATCH_OS_TAIL="never")
    for each in (stack, asks, never):
        declare(each, sim, "plain", "missing")
    for arguments in (("preview", "--diff"), ("up", "--yes", "--continue-on-error")):
        said = stack.run(*arguments).text
        assert "no task runs" in said, "the plan itself"
        assert "batch-os v1" not in said
    read = told(stack, "--refresh")
    assert set(read) == {"missing"}, "the other is upgraded"
    assert read["missing"][1].why.startswith("the account has no such pool")
    asked = re.findall(r'\[batch-os v1 {"pool":"[^"]+/(\w+)"', asks.run("preview").ok().text)
    assert set(asked) == {"plain", "missing"}
    assert "batch-os v1" not in never.run("pre", "-j").ok().text


def test_more_pools_than_the_engine_runs_at_once_are_told_and_unchanged_ones_cost_no_call(
    sim: Simulator, stack: Stack
) -> None:
    pools = [f"p{number}" for number in range(4)]
    sim.seed(*(paas_pool(pool) for pool in pools), vm_pool("vm", exact=TARGET))
    where = f"account_endpoint={sim.endpoint!r}"
    stack.program(
        "".join(f"PoolOsVersion({pool!r}, pool_id={pool!r}, {where}, target_os_version={OLD!r})\n" for pool in pools)
        + f"PoolImageVersion('vm', pool_id='vm', {where}, target_image_version={TARGET!r}, strategy='surge')\n"
    )
    assert (
        "5 pools change, but the engine runs 3 steps at once; pass --parallel 5"
        in stack.run("preview", "--parallel", "3").ok().flat
    )
    assert "pass --parallel" not in stack.up("--parallel", "5").ok().flat
    before = len(sim.requests())
    unchanged = stack.run("preview", "--json", "--parallel", "3").ok().text
    assert "pass --parallel" not in unchanged, "none of them changes"
    assert "batch-os v1" not in unchanged
    assert len(sim.requests()) == before


def test_a_failure_is_told_once_and_the_preview_goes_on(sim: Simulator, new_stack: Callable[..., Stack]) -> None:
    sim.seed(*(paas_pool(pool) for pool in ("a", "b", "c")))
    stack = new_stack(AZURE_BATCH_ACCESS_KEY="d3Jvbmc=")
    declare(stack, sim, "a", "b", "c")
    previewed = stack.run("preview", "--json")
    assert json.loads(previewed.text)["changeSummary"] == {"create": 4}, previewed.text
    assert previewed.text.count("could not check the pool: account") == 1
    assert "Batch refused the shared key" in previewed.text
    assert operations(sim) == [("Pool_List", None)]


def test_a_service_that_does_not_answer_holds_up_a_preview_for_ten_seconds_in_all(sim: Simulator, stack: Stack) -> None:
    sim.seed(*(paas_pool(pool) for pool in ("a", "b", "c", "d")))
    sim.fault("Pool_List", {"kind": "delay", "seconds": 60})
    declare(stack, sim, "a", "b", "c", "d")
    previewed = stack.run("preview").ok()
    assert (
        "could not check the pool: Batch did not answer within 10s, the time that a preview gives one account"
        in previewed.flat
    )
    assert "+ 5 to create" in previewed.text
    assert 10 < previewed.seconds < 40


def test_looks_can_be_turned_off_for_a_stack(sim: Simulator, stack: Stack) -> None:
    sim.seed(paas_pool("a", current=OTHER))
    declare(stack, sim, "a", target=OTHER)
    stack.up().ok()
    (command,) = re.findall(r"```sh\npulumi (.*)\n```", PAGE.read_text(encoding="utf-8"))
    stack.run(*command.split()).ok()
    declare(stack, sim, "a", target=OLD)
    before = len(sim.requests())
    assert re.search(
        rf"ROLLBACK: according to the state; the pool was not checked; .*; {SHORT_OTHER} -> {SHORT_OLD}",
        stack.run("preview").ok().flat,
    )
    assert len(sim.requests()) == before
    stack.run("config", "set", "batch:previewLook", "off").ok()
    failed = stack.run("preview").failed()
    assert "stack config batch:previewLook is 'off'; allowed: true or false" in failed.flat
    assert "pulumi config set batch:previewLook true" in failed.flat


def refused(result: Result) -> str:
    """The error of a preview; no program reads it, so it has no tail. CLI 3.276 also shows one of Pulumi's SDK."""
    lines = {line.strip() for line in result.failed().text.splitlines()} - {f"error: {MONITOR_ENDED}"}
    (line,) = (line for line in lines if line.startswith("error: "))
    assert "batch-os v1" not in line
    return line


def test_what_up_would_refuse_is_refused_in_the_preview(sim: Simulator, stack: Stack) -> None:
    """One refusal as Pulumi shows it; tests/inprocess/test_refused_previews.py has all of them."""
    declare(stack, sim, "render", target=FAMILY_5)
    why = "an up would be refused: it is of OS family 5, but the pool is of OS family 4"
    for result in (stack.run("preview"), stack.up()):
        assert f"property target_os_version value {{{FAMILY_5}}} has a problem: {why}" in refused(result)
    assert not sim.writes()


def test_an_update_that_up_would_refuse_is_an_error_and_a_refresh_still_shows_the_drift(
    sim: Simulator, stack: Stack
) -> None:
    sim.seed(paas_pool())
    declare(stack, sim, "render", target=OLD)
    stack.up().ok()
    sim.move_to(NEW)
    sim.change(state="deleting")
    refreshed = stack.refresh().ok()
    assert f'"{OLD}" => "{NEW}"' in refreshed.flat
    assert "not looked at" not in refreshed.flat
    assert f"pool {sim.endpoint}/pools/render: an up would be refused: it is being deleted" in refused(
        stack.run("preview")
    )
    assert "an up would be refused" in stack.up("--refresh").failed().flat
    assert not sim.writes()


def test_a_view_that_has_aged_is_looked_at_anew_within_an_up(sim: Simulator, stack: Stack) -> None:
    """The second pool is asked about when the first is done: a minute later, or an hour."""
    sim.seed(paas_pool("first"), paas_pool("second", allocationState="resizing"))
    stack.program(
        f"""
        where = dict(account_endpoint={sim.endpoint!r}, target_os_version={NEW!r})
        first = PoolOsVersion("first", pool_id="first", **where)
        wait = first.current_os_version.apply(lambda _: "second")
        PoolOsVersion("second", pool_id=wait, if_resizing="fail", **where)
        """
    )
    running = stack.start_up()
    wait_until(lambda: running.waits, "the first is being upgraded")
    sim.change("second", allocationState="steady")
    sim.speed(60)
    running.wait().ok()
    assert len(sim.upgrades()) == 2


def test_that_the_catalogue_is_old_is_said_once_and_only_where_a_verdict_needs_it(
    sim: Simulator, stack: Stack, tmp_path: Path
) -> None:
    known, newer = "WA-GUEST-OS-7.58_202511-01", "WA-GUEST-OS-7.59_202601-01"
    configuration = {"osFamily": "7", "targetOSVersion": known, "currentOSVersion": known}
    pools = [paas_pool(name, cloudServiceConfiguration=configuration) for name in ("render", "encode", "preview-4")]
    sim.seed(*pools)
    old = "the Guest OS catalogue ends with the releases of 2026-01-14 and does not know later changes"
    declare(stack, sim, "render", "encode", target=known)
    assert "catalogue" not in stack.preview().ok().flat, "nothing depends on it"

    declare(stack, sim, "render", "encode", "preview-4", target=newer)
    said = stack.preview().ok().flat
    assert said.count(old) == 1, "once for three pools"
    assert "`batch-os catalogue --update`" in said
    assert said.count(f"{newer} is newer than the Guest OS catalogue") == 3

    file = tmp_path / "catalogue.json"
    row = {"version": newer, "released": "2026-02-12", "disabled": None}
    family = {"family": 7, "windows_server": "Windows Server 2022", "announced": None, "end_of_life": None}
    document = {"format": "batch-os guest os catalogue", "version": 1, "families": [family], "releases": [row]}
    file.write_text(json.dumps(document), encoding="utf-16")
    stack.environment["BATCH_OS_CATALOGUE"] = str(file)
    assert "catalogue" not in stack.preview().ok().flat, "the file knows it"

    file.write_text("{}", encoding="utf-8")
    said = stack.preview().ok().flat
    assert said.count(f"BATCH_OS_CATALOGUE: {file} is not a Guest OS catalogue: its format is not") == 1
    assert said.count(old) == 1, "the package's own counts again"
