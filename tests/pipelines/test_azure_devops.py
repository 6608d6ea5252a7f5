"""The Azure DevOps pipelines, each script as it stands, on the real Pulumi CLI against the simulator."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from azure.identity import AzurePipelinesCredential

from batch_os_provider.batch.credentials import Identity, find
from tests.pipelines import servers
from tests.pipelines.machine import ACCOUNT, AZURE_CONTEXT, MARK, STACKS, Machine, Step, azure_jobs
from tests.pipelines.servers import Service
from tests.support.simulator import NEW, OLD, Simulator

INSTALLER = """\
#!/bin/sh
# In the place of the official installer: puts the CLI where that one does, and lets it tell that it is this one.
set -eu
[ "$1" = --version ] && [ "$2" = 3.259.0 ]
mkdir -p "$HOME/.pulumi/bin"
ln -sf {bin}/pulumi-* "$HOME/.pulumi/bin/"
printf '#!/bin/sh\\necho "the installed CLI" >&2\\nexec {bin}/pulumi "$@"\\n' >"$HOME/.pulumi/bin/pulumi"
chmod +x "$HOME/.pulumi/bin/pulumi"
"""


@pytest.fixture
def azure_devops(machine: Machine) -> Iterator[Service]:
    with servers.running(servers.azure_devops) as service:
        machine.environment |= {
            "TF_BUILD": "True",
            "SYSTEM_COLLECTIONURI": f"{service.url}/acme/",
            "SYSTEM_TEAMPROJECT": "My Pools",
            "BUILD_REPOSITORY_ID": "r-1",
            "SYSTEM_PULLREQUEST_PULLREQUESTID": "7",
            # The variable group's; those that are no secrets are in the environment by themselves.
            "PULUMI_BACKEND_URL": machine.backend,
            "PULUMI_CONFIG_PASSPHRASE": "test",
            "ORGANIZATION": "organization/batch-os-promotion",
        }
        yield service


@pytest.fixture
def installer(tmp_path: Path) -> str:
    """Something for curl to fetch."""
    script = tmp_path / "install.sh"
    script.write_text(INSTALLER.format(bin=os.environ["BATCH_OS_TEST_PULUMI"]), encoding="utf-8")
    return script.as_uri()


def test_a_pull_request_an_upgrade_that_takes_too_long_and_drift(
    machine: Machine, sim: Simulator, azure_devops: Service, installer: str
) -> None:
    # A pull request. dev can be read, stage waits for a version of dev: its preview fails, and the comment says so.
    machine.configure("dev", targetOsVersion=NEW)
    (preview,) = azure_jobs("pull-request.yml", AZURE_CONTEXT)
    shown = machine.run(preview, STACKS="dev stage", FAIL_ON="rollback", PULUMI_INSTALLER=installer)
    assert {name: each.code for name, each in shown.results.items()} == {
        "Install the Pulumi CLI": 0,
        "Install the provider": 0,
        "Preview every stack": 1,
        "Write the comment, and fail if a gate stops": 0,
        "Post the comment": 0,
    }, shown.text
    assert "##vso[task.logissue type=error]The preview failed for: stage." in shown.text
    (thread,) = azure_devops.threads
    (comment,) = thread["comments"]
    assert comment["content"].startswith(f"{MARK}\n")
    assert NEW in comment["content"]
    assert "target_os_version" in comment["content"], "why stage failed"
    assert shown.summary == comment["content"]

    # The next push renews the thread, and a gate fails the job.
    again = machine.run(preview, STACKS="dev", PULUMI_INSTALLER=installer)
    assert again.results["Preview every stack"].code == 0, again.text
    assert again.results["Write the comment, and fail if a gate stops"].code == 3, again.text
    assert "updated thread 1" in again.results["Post the comment"].text
    assert sim.writes() == [], "the reader read"

    # Merged. The upgrade stands still: after its limit, by a real clock, `up` ends cleanly.
    show, up = (job for job in azure_jobs("deploy.yml", AZURE_CONTEXT) if job.name.startswith("dev"))
    shown = machine.run(show, PULUMI_INSTALLER=installer)
    assert shown.ok, shown.text
    assert shown.results["Preview"].text.startswith("the installed CLI\n")
    assert NEW in shown.summary
    sim.speed(0)
    stuck = machine.run(up, UP_LIMIT="30s", PULUMI_INSTALLER=installer).results["Up"]
    assert stuck.code == 124, stuck.text
    assert f"the upgrade {OLD} -> {NEW} goes on in Batch" in stuck.flat
    assert 30 <= stuck.seconds < 60

    # Run again, it joins.
    sim.speed(10)
    joined = machine.run(up, PULUMI_INSTALLER=installer)
    assert joined.ok, joined.text
    assert sim.pool("dev")["cloudServiceConfiguration"]["currentOSVersion"] == NEW
    assert [each["status"] for each in sim.seen("dev", "Pool_UpgradeOS")] == [202], "one POST, and one only"
    signed_in = {entry["principal"] for entry in sim.tokens("clientAssertion", None)}
    assert signed_in == {"client-of-batch-os-reader", "client-of-batch-os-dev"}

    # At night all is as declared, until somebody changes a pool.
    (drift,) = azure_jobs("drift.yml", AZURE_CONTEXT)
    night = machine.run(drift, STACKS="dev", PULUMI_INSTALLER=installer)
    assert night.ok, night.text
    sim.move_to(OLD, "dev")
    drifted = machine.run(drift, STACKS="dev", PULUMI_INSTALLER=installer)
    assert drifted.results["Compare"].code == 1, drifted.text
    assert "##vso[task.logissue type=error]Differs from the program, or could not be read: dev\n" in drifted.text


def test_an_installer_that_cannot_be_fetched_fails_its_step(tmp_path: Path, machine_template: Path) -> None:
    machine = Machine(tmp_path / "machine", machine_template, {}, {"batch-os-reader": {}})
    preview = azure_jobs("pull-request.yml", AZURE_CONTEXT)[0]
    ended = machine.run(preview, PULUMI_INSTALLER="file:///nowhere")
    assert ended.results["Install the Pulumi CLI"].code == 37, "curl's, for a file that is not there"
    assert "Preview every stack" not in ended.results
    assert "comment.md: No such file" in ended.results["Post the comment"].text


def test_each_job_signs_in_as_who_it_shall_be(tmp_path: Path, machine_template: Path) -> None:
    """What the scripts hand to the CLI, with a CLI that only writes its environment down."""
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "pulumi").write_text(f"#!/bin/sh\nenv >{tmp_path}/seen\n", encoding="utf-8")
    (tools / "pulumi").chmod(0o755)
    names = ("batch-os-reader", *(f"batch-os-{stack}" for stack in STACKS))
    given = {
        name: {
            "AZURESUBSCRIPTION_SERVICE_CONNECTION_ID": f"id of {name}",
            "AZURESUBSCRIPTION_CLIENT_ID": name,
            "AZURESUBSCRIPTION_TENANT_ID": "tenant",
            "SYSTEM_OIDCREQUESTURI": "https://vstoken.example/oidctoken",
        }
        for name in names
    }
    machine = Machine(tmp_path / "machine", machine_template, {}, given)
    machine.environment["PATH"] = f"{tools}{os.pathsep}{machine.environment['PATH']}"

    def signed_in(step: Step) -> str:
        assert machine.start(step, machine.check_out("job")).wait().code == 0
        seen = dict(line.partition("=")[::2] for line in (tmp_path / "seen").read_text().splitlines())
        found = find(ACCOUNT, seen)
        assert isinstance(found.credential, Identity)
        assert isinstance(found.credential.credential, AzurePipelinesCredential), "it renews for any length"
        return found.name

    found = {}
    (tools / "batch-os").symlink_to("pulumi")
    for pipeline in ("pull-request.yml", "deploy.yml", "drift.yml", "bump.yml"):
        for job in azure_jobs(pipeline, AZURE_CONTEXT):
            found |= {f"{pipeline} {job.name}": signed_in(step) for step in job.steps if step.connection}
    as_reader = "OIDC as client batch-os-reader (ARM_USE_OIDC)"
    ups = {f"deploy.yml {stack}-up": f"OIDC as client batch-os-{stack} (ARM_USE_OIDC)" for stack in STACKS}
    previews = {f"deploy.yml {stack}_preview-preview": as_reader for stack in STACKS}
    nights = {f"{name}.yml {name}": as_reader for name in ("drift", "bump")}
    assert found == {"pull-request.yml preview": as_reader, **previews, **ups, **nights}
