"""Least privilege: what a principal that may only read can do on the real CLI, and what the role files give."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from batch_os_provider.batch import client
from batch_os_provider.batch.image_list import list_of
from tests.support import simulator as simulators
from tests.support.simulator import BEHIND, NEW, OLD, TARGET, Simulator, job, paas_pool, vm_pool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.stack import Stack

DOCS = Path(__file__).resolve().parents[3] / "docs"
PAGE = (DOCS / "permissions.md").read_text(encoding="utf-8")
READER, WRITER, IMAGES = (DOCS / "roles" / f"batch-os-{name}.json" for name in ("reader", "writer", "image-reader"))
ACCOUNT = "Microsoft.Batch/batchAccounts/"
READS = {f"{ACCOUNT}read", f"{ACCOUNT}pools/read"}
REFUSED = (
    "Batch refused DefaultAzureCredential: HTTP 403 InsufficientAccountPermissions: The account being accessed does "
    "not have sufficient permissions to execute this operation. [Batch code InsufficientAccountPermissions, request id "
    "ID] Next: Check who is signed in (`az account show`, or the ARM_* variables); the identity needs "
    f"{ACCOUNT}pools/read and {ACCOUNT}pools/"
)


@pytest.fixture
def sim() -> Iterator[Simulator]:
    """A frozen simulator over TLS, with a pool of each kind, and a busy node in the one of VMs."""
    for simulator in simulators.running_command(("--tls", "--speed", "0")):
        simulator.seed(
            paas_pool("render"),
            paas_pool("fresh"),
            vm_pool("machines"),
            jobs=[job("machines", 60)],
        )
        yield simulator


@dataclass
class People:
    """One stack, and the two principals who may stand behind it."""

    sim: Simulator
    stack: Stack
    reader: dict[str, str]
    writer: dict[str, str]

    def become(self, who: dict[str, str]) -> None:
        self.stack.environment.update(who)

    def declare(self, render: str, machines: str, **fresh: str) -> None:
        """The versions of the pools; ``fresh`` is declared only where it is given."""
        lines = [
            f"PoolOsVersion({name!r}, account_endpoint={self.sim.endpoint!r}, pool_id={name!r}, "
            f"target_os_version={version!r})\n"
            for name, version in {"render": render, **fresh}.items()
        ]
        lines.append(
            f"PoolImageVersion('machines', account_endpoint={self.sim.endpoint!r}, pool_id='machines', "
            f"target_image_version={machines!r}, strategy='surge')\n"
        )
        self.stack.program("".join(lines))

    def tokens(self) -> list[str]:
        return [principal["token"] for principal in self.sim.get("state")["principals"]]


@pytest.fixture
def people(sim: Simulator, new_stack: Callable[..., Stack]) -> People:
    """A stack that the reader runs; no shared key is there."""
    reader, writer = (sim.signed_in_as(name, read_only=name == "reader") for name in ("reader", "writer"))
    stack = new_stack(AZURE_BATCH_ACCOUNT="", AZURE_BATCH_ACCESS_KEY="", BATCH_OS_LOG="batch-os.log", **reader)
    return People(sim, stack, reader, writer)


def account(sim: Simulator) -> Any:
    """Everything that a write could have changed."""
    state = sim.get("state")
    return state["pools"], state["jobs"]


def test_a_reader_previews_refreshes_and_adopts_and_an_up_that_must_write_changes_nothing(people: People) -> None:
    sim, stack = people.sim, people.stack
    before = account(sim)

    people.declare(OLD, BEHIND)
    stack.up().ok()
    stack.refresh("--expect-no-changes").ok()
    adopted = stack.all_outputs()
    assert adopted["render"]["current_os_version"] == OLD
    assert adopted["machines"]["oldest_node_version"] == BEHIND

    people.declare(NEW, TARGET, fresh=NEW)
    stack.preview("--refresh").ok()
    for command in ("status", "adopt", "doctor"):
        done = subprocess.run(  # noqa: S603 - our own command
            ["batch-os", command, sim.endpoint],  # noqa: S607 - on the PATH we made
            cwd=stack.program_folder,
            env=stack.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    assert sim.requests()
    assert {entry["status"] for entry in sim.requests()} <= {200, 404}, "doctor asks for a pool that is not there"
    assert not sim.writes()

    failed = stack.up("--continue-on-error").failed()
    flat = re.sub(r"(?<=request id )[^]]+", "ID", failed.flat)
    for pool_id in ("render", "fresh"):
        told = f"pool {sim.endpoint}/pools/{pool_id}: starting the upgrade (POST upgradeos) failed: "
        assert f"{told}{REFUSED}upgradeOs/action, which the role Azure Batch Data Contributor holds." in flat
    told = f"pool {sim.endpoint}/pools/machines: writing the marker of the renewal to the pool's metadata failed: "
    assert f"{told}{REFUSED}write." in flat
    assert {(entry["pool"], entry["operation"], entry["status"], entry["code"]) for entry in sim.writes()} == {
        ("render", "Pool_UpgradeOS", 403, "InsufficientAccountPermissions"),
        ("fresh", "Pool_UpgradeOS", 403, "InsufficientAccountPermissions"),
        ("machines", "Pool_Patch", 403, "InsufficientAccountPermissions"),
    }
    assert len(sim.writes()) == 3, "a refusal is final: nothing is sent twice"
    assert account(sim) == before
    assert stack.all_outputs() == adopted, "what was not done is in no state"
    (shown,) = re.findall(r"^```text\nerror: (pool .*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    real = " ".join(shown.split()).replace("https://<account>.<region>.batch.azure.com/pools/render", "URL")
    assert real in flat.replace(f"{sim.endpoint}/pools/machines", "URL")

    people.become(people.writer)
    sim.speed(120)
    said = stack.up().ok()
    written = "".join(path.read_text("utf-8", "replace") for path in stack.folder.rglob("*") if path.is_file())
    assert "upgradeos" in written, "the log of requests was looked through"
    for token in people.tokens():
        assert token not in written + said.text + failed.text
    assert {name: each.get("current_os_version") for name, each in stack.all_outputs().items()} == {
        "render": NEW,
        "fresh": NEW,
        "machines": None,
    }
    assert sim.versions("machines") == [TARGET, TARGET]
    sim.advance(4000)
    sim.assert_tasks_ran_once("machines")

    people.become(people.reader)
    stack.preview("--refresh", "--expect-no-changes").ok()


def test_somebody_who_is_nobody_gets_no_token(people: People) -> None:
    people.become({"IDENTITY_HEADER": "nobody"})
    people.declare(OLD, BEHIND)
    assert "could not check the pool: " in people.stack.preview().ok().flat
    failed = people.stack.up().failed()
    assert "could not get a token from DefaultAzureCredential: ManagedIdentityCredential: " in failed.flat
    assert not people.sim.requests(), "nothing was asked without a token"
    assert failed.seconds < 40, "no other place was searched at length"


def test_the_commands_of_the_simulator_page_sign_in_the_reader(people: People) -> None:
    page = (DOCS / "simulator.md").read_text(encoding="utf-8").partition("### Sign in as an Entra identity")[2]
    commands = re.findall(r"^```sh\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)[0]
    given = {
        "CONTROL": people.sim.control,
        "CA": str(people.sim.authority),
        "AZURE_BATCH_ACCOUNT": people.sim.account,
        "AZURE_BATCH_ACCESS_KEY": people.sim.key,
    }
    done = subprocess.run(  # noqa: S603 - the commands of our own page
        ["/bin/sh", "-euc", f"{commands}\nenv"], env=given, capture_output=True, text=True, check=True, timeout=10
    )
    seen = dict(line.split("=", 1) for line in done.stdout.splitlines())
    assert people.reader.items() <= seen.items()
    assert not {"AZURE_BATCH_ACCOUNT", "AZURE_BATCH_ACCESS_KEY"} & set(seen)


def test_plain_http_carries_no_token(people: People) -> None:
    for plain in simulators.running():
        plain.pools(paas_pool())
        people.stack.declare(plain, OLD)
        failed = people.stack.up().failed()
        assert f"{plain.endpoint} is plain http, and Entra tokens need https" in failed.flat
        assert not plain.requests()


# --- the role files and the page: no CLI ---


def role(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def rows() -> list[tuple[str, str, str]]:
    """Step, rights and role file of each row of the page's table."""
    table = PAGE.partition("| Step |")[2].partition("\n\n")[0].splitlines()[2:]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table]
    return [(step, rights, file) for step, _, rights, file in cells]


def rights_of(text: str) -> set[str]:
    """The actions that a cell of the table stands for."""
    named = {ACCOUNT + name for name in re.findall(r"`([\w/]+)`", text)}
    return named | (READS if "reads" in text else set())


@pytest.mark.parametrize("path", [READER, WRITER, IMAGES], ids=["reader", "writer", "images"])
def test_a_role_file_is_what_az_takes_and_names_exact_actions(path: Path) -> None:
    definition = role(path)
    assert list(definition) == [
        "Name",
        "IsCustom",
        "Description",
        "Actions",
        "NotActions",
        "DataActions",
        "NotDataActions",
        "AssignableScopes",
    ]
    assert definition["IsCustom"] is True
    assert definition["Name"]
    assert definition["Description"]
    assert definition["Actions"]
    assert definition["AssignableScopes"] == ["/subscriptions/00000000-0000-0000-0000-000000000000"]
    # Everything of pools is under Actions in Microsoft's list; under DataActions it would grant nothing.
    assert definition["NotActions"] == definition["DataActions"] == definition["NotDataActions"] == []
    for action in definition["Actions"]:
        of_batch = r"Microsoft\.Batch/batchAccounts/(pools/)?(read|write)"
        assert re.fullmatch(r"Microsoft\.Compute/[\w/]+/versions/read" if path == IMAGES else of_batch, action), action
        assert f"`{action}`" in PAGE
    assert f"`{path.name}`" in PAGE
    assert f"@docs/roles/{path.name}" in PAGE
    assert f'--role "{definition["Name"]}"' in PAGE


def test_the_reader_cannot_write_and_the_writer_can_do_what_the_reader_can() -> None:
    reader, writer = set(role(READER)["Actions"]), set(role(WRITER)["Actions"])
    assert all(action.endswith("/read") for action in reader)
    assert writer - reader == {client._WRITE}


def test_the_role_for_images_has_the_rights_of_the_lists() -> None:
    ids = {"virtualMachineImageId": "/subscriptions/s/resourceGroups/r/providers/p/galleries/g/images/i"}
    ids |= {f"{kind}GalleryImageId": f"/{kind}Galleries/g/images/i" for kind in ("shared", "community")}
    references = [{"publisher": "p", "offer": "o", "sku": "s"}, *({name: value} for name, value in ids.items())]
    rights = [found.right for each in references if (found := list_of(each, "s", "westeurope")) is not None]
    assert rights == role(IMAGES)["Actions"]


def test_each_step_of_the_page_is_covered_by_the_role_file_it_names() -> None:
    files = {READER.name: READER, WRITER.name: WRITER}
    steps = {step: (rights_of(rights), file.strip("`")) for step, rights, file in rows()}
    assert {file for _, file in steps.values()} - set(files) == {"none", "see [below](#cloud-services-pools)"}
    for step, (rights, file) in steps.items():
        if file in files:
            assert rights <= set(role(files[file])["Actions"]), step
        elif file == "none":
            assert not rights, step
        else:
            assert client._UPGRADE in rights, step
            assert f"`{client._UPGRADE}`" in PAGE
    for command in ("pulumi preview", "refresh", "adopts", "upgrades", "renews", "status", "doctor", "comment"):
        assert any(command in step for step in steps), command
