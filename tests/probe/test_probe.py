"""`batch-os probe` on the simulator: it finds what the switches say, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from batch_os_provider.cli.probe.questions import questions
from batch_os_provider.simulator.world.unknowns import BY_NAME, VM_TABLE
from tests.support import fork_server
from tests.support import simulator as simulators
from tests.support.stack import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.simulator import Simulator

SPEED = "100"  # a drain of five minutes takes three seconds
GALLERY = "/galleries/ours/images/linux"
LINUX = {"publisher": "canonical", "offer": "0001-com-ubuntu-server-jammy", "sku": "22_04-lts"}
FIRST, SECOND = "22.04.202404090", "22.04.202405150"
MONTH = 30 * 24 * 3600

TURNED = {
    "patchNonEmptyCode": "PropertyCannotBeUpdated",
    "removeNodesOnAutoscale": "accepted",
    "removeNodesUnknownId": "ignored",
    "removeNodesTimeoutCode": "AllocationTimedout",
    "removeNodesTimeoutTarget": "restored",
    "removeNodesWhileShort": "fillsUp",
    "galleryExactVersion": "present",
    "upgradeosGoneCode": "UnsupportedHttpVerb",
    "iaasPoolCode": "PoolNotEligibleForOSVersionUpgrade",
    "getOnUpgradeosCode": "ResourceNotFound",
    "apiVersionUnknownCode": "InvalidQueryParameterValue",
    "unknownImageVersion": "accepted",
    "agentOfAnotherImage": "accepted",
    "metadataValueLimit": 4096,
    "nodesAfterDrainTimeout": "disabled",
}
WITHIN_SECONDS = {
    "enableAutoscaleWithin30s": "TooManyEnableAutoScaleRequests",
    "patchAfterSteady": "refusedForShortTime",
}
"""Seconds that are over at once at the speed of the other tests."""
ONE_SITTING = {*TURNED, "retiredApiVersions", "exactVersionOfLatest"}


@pytest.fixture
def account() -> Iterator[Simulator]:
    """An account with somebody else's pool, and an image whose ``latest`` moves in a month."""
    for simulator in simulators.running_command(["--speed", SPEED]):
        state = simulator.get("state")
        moved = [{"version": FIRST}, {"version": SECOND, "since": later(state["virtual"])}]
        images = [{**LINUX, "versions": moved}, {"virtualMachineImageId": GALLERY, "version": "1.2.3"}]
        simulator.put("state", {**state, "images": images, "pools": [simulators.vm_pool("theirs")], "jobs": []})
        yield simulator


def later(virtual: str) -> str:
    """The same day of the month after next."""
    year, month, rest = int(virtual[:4]), int(virtual[5:7]) + 1, "15T00:00:00Z"
    return f"{year + month // 12:04d}-{month % 12 + 1:02d}-{rest}"


def command(account: Simulator, *arguments: str) -> list[str]:
    start = (*fork_server.command("batch-os"), "probe", account.endpoint)
    return [*start, "--poll", "0.05", "--patience", "60", *arguments]


def environment(account: Simulator) -> dict[str, str]:
    return {**os.environ, **account.environment}


def probe(account: Simulator, *arguments: str, answer: str = "") -> subprocess.CompletedProcess[str]:
    done = subprocess.run(  # noqa: S603 - the command under test
        command(account, *arguments),
        env=environment(account),
        input=answer,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert account.key not in done.stdout + done.stderr
    return done


def findings(done: subprocess.CompletedProcess[str]) -> dict[str, dict[str, Any]]:
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    found = {line["finding"]: line for line in lines}
    assert len(found) == len(lines), "one line for each question"
    for line in lines:
        assert line["switch"] in (None, line["finding"])
        assert line["switch"] is None or line["switch"] in BY_NAME
    return found


def values(account: Simulator) -> dict[str, Any]:
    return {name: row["value"] for name, row in account.get("unknowns").items()}


def pools(account: Simulator) -> list[str]:
    """The pools that stay."""
    return [pool["id"] for pool in account.get("state")["pools"] if pool["state"] != "deleting"]


def assert_clean(account: Simulator) -> None:
    """Nothing is left, and nobody else's pool was written to."""
    assert pools(account) == ["theirs"]
    assert [job for job in account.get("state")["jobs"] if job["state"] != "deleting"] == []
    assert [entry for entry in account.writes() if entry["pool"] == "theirs"] == []


@pytest.mark.parametrize("turned", [{}, TURNED], ids=["as they are", "all turned"])
def test_it_finds_what_the_switches_say(account, turned):
    account.unknown(**turned)
    done = probe(account, "--yes", "--gallery-image", GALLERY)
    assert done.returncode == 0, done.stderr
    found = findings(done)
    said = {name: line["value"] for name, line in found.items() if line["switch"] and line["value"] is not None}
    assert {name: value for name, value in said.items() if name not in WITHIN_SECONDS} == {
        name: str(values(account)[name]) for name in ONE_SITTING
    }
    assert said.keys() >= WITHIN_SECONDS.keys()
    assert {name: line["value"] for name, line in found.items() if not line["switch"] and line["value"]} == {
        "nodeSelect": "accepted",
        "staleIfMatch": "ConditionNotMet",
        "drainedNode": "stayed",
    }
    for name in ("reimage", "reimagedVersion"):
        assert "501" in found[name]["not answered"]
    assert found.keys() >= {unknown.name for unknown in VM_TABLE}
    assert_clean(account)


@pytest.mark.parametrize(
    "turned", [WITHIN_SECONDS, dict.fromkeys(WITHIN_SECONDS, "accepted")], ids=["refused", "accepted"]
)
def test_what_depends_on_seconds_is_asked_at_once(account, turned):
    account.unknown(**turned)
    account.speed(20)
    asked = questions()
    answers = ["y" if WITHIN_SECONDS.keys() & set(each.names) else "n" for each in asked]
    done = probe(account, answer="\n".join(["y", *answers, ""]))
    assert done.returncode == 0, done.stderr
    found = findings(done)
    assert {name: found[name]["value"] for name in turned} == turned
    assert_clean(account)


def test_an_api_that_is_retired_leaves_its_questions_open(account):
    account.unknown(retiredApiVersions="before-2025-06-01")
    done = probe(account, answer="y\ny\ny\n" + "n\n" * (len(questions()) - 2))
    assert done.returncode == 0, done.stderr
    found = findings(done)
    assert found["retiredApiVersions"]["value"] == "before-2025-06-01"
    assert "not answered any more" in found["iaasPoolCode"]["not answered"]
    assert found["removeNodesTimeoutCode"]["not answered"] == "skipped"
    assert_clean(account)


@pytest.mark.parametrize("rule", ["newest", "asFirstNode", "asFirstNodeEver"])
def test_a_pool_that_was_left_tells_what_its_new_nodes_get(account, rule):
    account.unknown(latestOfNewNodes=rule)
    left = findings(probe(account, "--yes", "--leave"))["leftPool"]["value"]
    assert pools(account) == ["theirs", left]
    account.advance(3 * MONTH)
    done = probe(account, "--yes", "--return-to", left)
    assert done.returncode == 0, done.stderr
    assert findings(done)["latestOfNewNodes"]["value"] == rule
    assert_clean(account)


def test_nodes_that_name_only_latest_leave_the_question_open(account):
    left = findings(probe(account, "--yes", "--leave"))["leftPool"]["value"]
    (node,) = account.pool(left)["nodes"]
    reference = {**node["virtualMachineInfo"]["imageReference"], "exactVersion": "latest"}
    account.change_node(node["id"], left, virtualMachineInfo={"imageReference": reference})
    done = probe(account, "--yes", "--return-to", left)
    assert "nodes of this account name 'latest' and no version" in findings(done)["latestOfNewNodes"]["not answered"]
    assert_clean(account)


def test_a_pool_is_not_left_where_its_node_names_no_version(account):
    account.fault("ComputeNode_List", {"kind": "missingFields", "names": ["virtualMachineInfo"]})
    found = findings(probe(account, "--yes", "--leave"))
    assert "leftPool" not in found
    assert "no version" in found["latestOfNewNodes"]["not answered"]
    assert_clean(account)


def test_too_early_a_return_says_so_and_keeps_nothing(account):
    left = findings(probe(account, "--yes", "--leave"))["leftPool"]["value"]
    done = probe(account, "--yes", "--return-to", left)
    assert "has not moved" in findings(done)["latestOfNewNodes"]["not answered"]
    assert_clean(account)


@pytest.mark.parametrize("name", ["theirs", "batch-os-probe-12345678"])
def test_it_touches_no_pool_that_it_did_not_make(account, name):
    theirs = simulators.vm_pool(name, metadata=[{"name": "batch-os-probe", "value": "batch-os-probe-87654321"}])
    account.pools(theirs)
    done = probe(account, "--yes", "--return-to", name)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"error: pool {name} was not made by this probe; nothing was touched" in done.stderr
    assert account.writes() == []


def test_without_a_yes_nothing_is_made(account):
    done = probe(account)
    assert (done.returncode, done.stdout) == (0, "")
    assert "Nothing was made." in done.stderr
    assert account.writes() == []


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_an_end_from_outside_deletes_the_pool(account, end):
    account.speed(1)
    running = subprocess.Popen(  # noqa: S603 - the command under test
        command(account, "--yes"),
        env=environment(account),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_until(lambda: len(pools(account)) > 1, "the pool is there")
    running.send_signal(end)
    _, said = running.communicate(timeout=90)
    assert running.returncode == 130
    assert "Deleted pools/batch-os-probe-" in said
    assert_clean(account)


def test_a_lost_answer_to_the_creation_leaves_no_pool(account):
    account.fault("Pool_Add", {"kind": "dropAfter"})
    done = probe(account, "--yes")
    assert done.returncode == 1, done.stderr
    assert_clean(account)


def test_a_pool_that_gets_no_nodes_ends_it(account):
    state = account.get("state")
    account.put("state", {**state, "quota": {"dedicatedNodes": 2}})
    done = probe(account, "--yes")
    assert done.returncode == 1
    assert "AccountCoreQuotaReached" in done.stderr
    assert_clean(account)


def test_a_wrong_key_ends_it_before_anything(account):
    done = subprocess.run(  # noqa: S603 - the command under test
        command(account, "--yes"),
        env={**environment(account), "AZURE_BATCH_ACCESS_KEY": "bm90IHRoZSBrZXk="},
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "AuthenticationFailed" in done.stderr
    assert "bm90IHRoZSBrZXk=" not in done.stderr
    assert pools(account) == ["theirs"]
