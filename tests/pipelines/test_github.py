"""The GitHub workflows, each script as it stands, on the real Pulumi CLI against the simulator."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest

from batch_os_provider.batch.credentials import find
from batch_os_provider.guest_os.version import change
from tests.pipelines import servers
from tests.pipelines.machine import ACCOUNT, GITHUB_CONTEXT, MARK, STACKS, Machine, Running, github_jobs
from tests.pipelines.servers import Service
from tests.support.simulator import NEW, OLD, Simulator
from tests.support.stack import wait_until, waits_for_nodes


@pytest.fixture
def context(machine: Machine) -> dict[str, str]:
    """What GitHub puts in the place of expressions, with the stacks in a folder of the machine."""
    return {**GITHUB_CONTEXT, "vars.PULUMI_BACKEND_URL": machine.backend}


@pytest.fixture
def github(machine: Machine) -> Iterator[Service]:
    with servers.running(servers.github) as service:
        machine.environment |= {
            "GITHUB_ACTIONS": "true",
            "GITHUB_API_URL": service.url,
            "GITHUB_REPOSITORY": "acme/pools",
        }
        yield service


def thawed(sim: Simulator) -> Callable[[Running], None]:
    """Batch goes on once the wait has begun."""

    def then(running: Running) -> None:
        waiting(running)
        sim.speed(60)

    return then


def waiting(running: Running) -> None:
    """Wait until `up` waits."""
    wait_until(lambda: waits_for_nodes(running.text), "`up` waits for the nodes")


def limit_reached(running: Running) -> None:
    """The 50 minutes are over: the alarm by which `timeout` learns of it, sent ahead of time."""
    waiting(running)
    running.signal(signal.SIGALRM)


def test_a_pull_request_is_shown_and_after_the_merge_an_upgrade_that_takes_too_long_is_joined(
    machine: Machine, sim: Simulator, context: dict[str, str], github: Service
) -> None:
    deploy = {job.name: job for job in github_jobs("deploy.yml", context)}

    # Two stacks are adopted: nothing is written.
    for name in ("dev-up", "stage-up"):
        adopted = machine.run(deploy[name])
        assert adopted.ok, adopted.text
    assert sim.writes() == []

    # A pull request that changes the one line in Pulumi.dev.yaml.
    machine.configure("dev", targetOsVersion=NEW)
    (preview,) = github_jobs("pull-request.yml", context)
    shown = machine.run(preview, STACKS="dev stage", FAIL_ON="rollback")
    assert shown.ok, shown.text
    (comment,) = github.comments
    assert comment["body"].startswith(f"{MARK}\n")
    assert change(OLD, NEW) in comment["body"]
    assert "stage: 1 unchanged" in comment["body"], "dev does not run it yet"
    assert shown.summary == comment["body"]

    # The next push renews the comment. A gate that trips fails the job, and the comment is there all the same.
    again = machine.run(preview, STACKS="dev")
    assert {name: each.code for name, each in again.results.items()} == {
        "Install the provider": 0,
        "Preview every stack": 0,
        "Write the comment, and fail if a gate stops": 3,
        "Post the comment": 0,
    }, again.text
    assert "--fail-on expired: dev" in again.text
    assert "updated" in again.results["Post the comment"].text
    assert len(github.comments) == 1
    assert sim.writes() == [], "the reader read"

    # Merged. It takes too long: `up` ends cleanly at its limit, and its job fails.
    sim.speed(0)
    shown = machine.run(deploy["dev-preview"])
    assert NEW in shown.summary, shown.text
    stuck = machine.run(deploy["dev-up"], {"Up": limit_reached}).results["Up"]
    assert stuck.code == 124, stuck.text
    assert f"the upgrade {OLD} -> {NEW} goes on in Batch" in stuck.flat

    # Run again, it joins, and says so before.
    shown = machine.run(deploy["dev-preview"])
    assert r"\"what\":\"join\"" in shown.results["Preview"].text, shown.text
    joined = machine.run(deploy["dev-up"], {"Up": thawed(sim)})
    assert joined.ok, joined.text
    assert sim.pool("dev")["cloudServiceConfiguration"]["currentOSVersion"] == NEW
    assert [each["status"] for each in sim.upgrades()] == [202], "one POST, and one only"
    signed_in = {(each["principal"], each["status"]) for each in sim.tokens("clientAssertion", None)}
    assert signed_in == {("batch-os-reader", 200), ("batch-os-writer", 200)}, "each assertion was a new one"


def test_a_version_is_promoted_to_production_and_drift_is_found(
    machine: Machine, sim: Simulator, context: dict[str, str], github: Service
) -> None:
    machine.configure("dev", targetOsVersion=NEW)
    for stack, job in zip(
        [stack for stack in STACKS for _ in ("preview", "up")], github_jobs("deploy.yml", context), strict=True
    ):
        ended = machine.run(job)
        assert ended.ok, ended.text
        if job.name == f"{stack}-preview":
            assert NEW in ended.summary, "stage and prod are shown what the stack before them runs"
        else:
            assert job.name == f"{stack}-up"
            assert sim.pool(stack)["cloudServiceConfiguration"]["currentOSVersion"] == NEW
            assert [each["status"] for each in sim.seen(stack, "Pool_UpgradeOS")] == [202]
    assert len(sim.writes()) == 3

    # At night all is as declared, until somebody changes a pool.
    (drift,) = github_jobs("drift.yml", context)
    night = machine.run(drift, STACKS="dev")
    assert night.ok, night.text
    sim.move_to(OLD, "prod")
    drifted = machine.run(drift)
    assert drifted.results["Compare"].code == 1, drifted.text
    assert "::error::Differs from the program, or could not be read: prod\n" in drifted.text
    assert len(sim.writes()) == 3, "the reader read"


def test_a_cancelled_run_ends_in_time_and_a_hung_one_by_force(
    machine: Machine, sim: Simulator, context: dict[str, str], github: Service
) -> None:
    machine.configure("dev", targetOsVersion=NEW)
    (up,) = [job for job in github_jobs("deploy.yml", context) if job.name == "dev-up"]
    sim.speed(0)

    # As GitHub does it: ^C to the step's first process and to no other; SIGTERM 7.5 s later; force after 10 s.
    seconds: list[float] = []

    def cancelled(running: Running) -> None:
        waiting(running)
        began = time.monotonic()
        running.signal(signal.SIGINT)
        try:
            running.process.wait(7.5)
        except subprocess.TimeoutExpired:
            running.signal(signal.SIGTERM)
        running.wait()
        seconds.append(time.monotonic() - began)

    ended = machine.run(up, {"Up": cancelled}).results["Up"]
    assert "interrupted by ^C" in ended.flat
    assert seconds[0] < 10

    # A plugin that hears nothing any more holds up the CLI too, until --kill-after. That run leaves a lock.
    def hung(running: Running) -> None:
        waiting(running)
        for plugin in machine.plugins():
            os.kill(plugin, signal.SIGSTOP)
        running.signal(signal.SIGALRM)
        wait_until(lambda: "^C received; cancelling" in running.text, "the CLI hears of the end")
        running.signal(signal.SIGALRM)  # the five minutes of --kill-after are over

    killed = machine.run(up, {"Up": hung}).results["Up"]
    assert killed.code == 137, killed.text
    machine.end()
    locked = machine.run(up).results["Up"]
    assert locked.code != 0
    assert "the stack is currently locked by 1 lock(s)" in locked.text
    machine.pulumi("cancel", "--yes", "--stack", "dev").ok()
    assert machine.run(up, {"Up": thawed(sim)}).ok
    assert [each["status"] for each in sim.seen("dev", "Pool_UpgradeOS")] == [202]


def test_each_job_signs_in_as_who_it_shall_be() -> None:
    runner = {"ACTIONS_ID_TOKEN_REQUEST_URL": "https://runner.example/token?v=1", "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "t"}
    found = {}
    for workflow in ("pull-request.yml", "deploy.yml", "drift.yml", "bump.yml"):
        for job in github_jobs(workflow, GITHUB_CONTEXT):
            for step in job.steps:
                if "ARM_CLIENT_ID" in step.env:
                    found[f"{workflow} {job.name}"] = find(ACCOUNT, {**runner, **step.env}).name
    reader, writer = (f"OIDC as client batch-os-{name} (ARM_USE_OIDC)" for name in ("reader", "writer"))
    ups = {f"deploy.yml {stack}-up": writer for stack in STACKS}
    previews = {f"deploy.yml {stack}-preview": reader for stack in STACKS}
    assert found == {
        "pull-request.yml preview": reader,
        **previews,
        **ups,
        "drift.yml drift": reader,
        "bump.yml bump": reader,
    }
