"""`batch-os status`, `adopt` and `doctor` against simulators, and what `adopt` writes on the real Pulumi CLI."""

from __future__ import annotations

import html
import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from batch_os_provider.guest_os import catalogue
from batch_os_provider.guest_os.catalogue import Catalogue, Release
from batch_os_provider.guest_os.catalogue_file import as_text
from batch_os_provider.guest_os.version import GuestOsVersion
from batch_os_provider.preview import message_tail
from tests.support import fork_server
from tests.support import simulator as simulators
from tests.support.simulator import BEHIND, NEW, OLD, TARGET, Simulator, nowhere, paas_pool, vm_pool

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.stack import Stack

SEAMS = Path(__file__).parents[1] / "missing_seams"
DENIED = {"kind": "status", "status": 403, "code": "AuthorizationFailure", "message": "No."}


@dataclass(frozen=True)
class Said:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str

    @property
    def flat(self) -> str:
        """What it printed, with all white space as single blanks."""
        return " ".join(self.out.split())

    @property
    def document(self) -> dict[str, Any]:
        """What `--json` printed: one document and nothing else."""
        found: dict[str, Any] = json.loads(self.out)
        return found


def batch_os(simulator: Simulator, *arguments: str | Path, **environment: str) -> Said:
    """Run the command as a pipeline does: no terminal, and only this simulator's credentials."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["BATCH_OS_TEST_PULUMI"], os.environ["PATH"]])
    done = subprocess.run(  # noqa: S603 - the command under test
        [*fork_server.command("batch-os"), *map(str, arguments)],
        env={"PATH": path, "LANG": "C.UTF-8", **simulator.environment, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "Traceback (most recent call last)\n  File" not in done.stderr, done.stderr
    return Said(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def other() -> Iterator[Simulator]:
    """A second account."""
    yield from simulators.running()


@pytest.fixture
def locked() -> Iterator[Simulator]:
    """An account whose key is another one than everybody's."""
    for simulator in simulators.running():
        account = {"name": simulator.account, "key": "AAAA" + simulator.key[4:]}
        simulator.put("state", {**simulator.get("state"), "account": account})
        yield simulator


@pytest.fixture
def nobody() -> Iterator[str]:
    """An endpoint at which nothing listens."""
    with nowhere() as closed:
        yield closed


def everything(sim: Simulator, other: Simulator, *more: dict[str, Any]) -> None:
    """Two accounts with every sort of pool, ids that collide included, and more pools in the first one."""
    gallery = vm_pool("gallery")
    gallery["virtualMachineConfiguration"]["imageReference"] = {
        "virtualMachineImageId": "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/galleries/g/images/i"
    }
    for each in gallery["nodes"]:
        del each["virtualMachineInfo"]
    mixed = vm_pool("mixed", nodes=3, exact=TARGET)
    mixed["nodes"][1]["virtualMachineInfo"]["imageReference"]["exactVersion"] = BEHIND
    sim.seed(paas_pool(), paas_pool("encode", nodes=0), mixed, vm_pool("pinned", version=BEHIND), gallery, *more)
    other.seed(
        paas_pool("Render", current="*"),
        paas_pool("busy"),
        vm_pool("auto", enableAutoScale=True, autoScaleFormula="$TargetDedicatedNodes=2"),
        vm_pool("empty", nodes=0),
        vm_pool("empty-pinned", nodes=0, version=TARGET),
    )
    other.outside("POST", "/pools/busy/upgradeos", {"targetOSVersion": NEW})


# ── status ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_status_shows_every_pool_and_which_resource_fits(sim: Simulator, other: Simulator) -> None:
    everything(sim, other)
    said = batch_os(sim, "status", "--json", sim.endpoint, other.endpoint, sim.endpoint + "/")
    assert said.code == 0, said.err
    first, second = said.document["accounts"]
    assert first["signed_in_as"] == f"the shared key of account {sim.account} (AZURE_BATCH_ACCESS_KEY)"
    fits = {pool["id"]: pool["resource"] for account in (first, second) for pool in account["pools"]}
    assert fits == {
        "encode": "PoolOsVersion",
        "gallery": "PoolImageVersion",
        "mixed": "PoolImageVersion",
        "pinned": "PoolImageVersion",
        "render": "PoolOsVersion",
        "auto": "PoolImageVersion",
        "busy": "PoolOsVersion",
        "empty": "PoolImageVersion",
        "empty-pinned": "PoolImageVersion",
        "Render": "PoolOsVersion",
    }
    found = {pool["id"]: pool for pool in (*first["pools"], *second["pools"])}
    assert found["mixed"]["node_versions"] == {BEHIND: 1, TARGET: 2}
    assert found["mixed"]["current"] == BEHIND
    assert found["pinned"]["target"] == BEHIND
    assert (found["busy"]["state"], found["busy"]["current"], found["busy"]["target"]) == ("upgrading", OLD, NEW)
    assert found["auto"]["autoscale"] is True
    assert not sim.writes()


def test_status_in_a_log_of_eighty_columns(sim: Simulator, other: Simulator) -> None:
    everything(sim, other)
    said = batch_os(sim, "status", sim.endpoint, other.endpoint, COLUMNS="80")
    assert said.code == 0, said.err
    # A word is never cut, so one that is longer, such as the id of a gallery image, stands alone.
    assert not [line for line in said.out.splitlines() if len(line) > 80 and len(line.split()) > 1]
    for text in (OLD, f"-> {NEW}", f"1 x {BEHIND}", f"2 x {TARGET}", "new nodes: latest", sim.endpoint):
        assert text in said.out, text
    assert "\x1b" not in said.out, "no colours where there is no terminal"


def test_status_names_what_could_not_be_read_and_shows_the_rest(sim: Simulator, locked: Simulator, nobody: str) -> None:
    said = batch_os(sim, "status", sim.endpoint, locked.endpoint, nobody)
    assert said.code == 2
    assert "2 of 3 accounts could not be read" in said.err
    assert OLD in said.out
    assert f"Batch refused the shared key of account {sim.account} (AZURE_BATCH_ACCESS_KEY): HTTP 403" in said.flat
    tried = f"tried the shared key of account {sim.account} (AZURE_BATCH_ACCESS_KEY)"
    assert f"{nobody} could not be read, {tried}: account {nobody}: listing pools failed:" in said.flat
    document = batch_os(sim, "status", "--json", sim.endpoint, locked.endpoint, nobody).document
    assert [bool(each["error"]) for each in document["accounts"]] == [False, True, True]
    assert document["accounts"][1]["signed_in_as"].startswith("the shared key of account")


def test_status_without_any_credential(sim: Simulator) -> None:
    said = batch_os(sim, "status", "--json", sim.endpoint, AZURE_BATCH_ACCESS_KEY="")
    assert said.code == 2
    (account,) = said.document["accounts"]
    assert account["signed_in_as"] is None
    assert "Set AZURE_BATCH_ACCOUNT and AZURE_BATCH_ACCESS_KEY" in account["error"]


def test_status_where_nodes_may_not_be_read(sim: Simulator) -> None:
    sim.seed(vm_pool("vm"), paas_pool())
    sim.fault("ComputeNode_List", DENIED)
    said = batch_os(sim, "status", "--json", sim.endpoint)
    assert said.code == 2
    found = {pool["id"]: pool for pool in said.document["accounts"][0]["pools"]}
    assert "403 AuthorizationFailure" in found["vm"]["error"]
    assert found["render"]["current"] == OLD


def test_status_once_the_old_api_is_retired(sim: Simulator) -> None:
    sim.seed(vm_pool("vm"), paas_pool())
    sim.unknown(retiredApiVersions="before-2025-06-01")
    said = batch_os(sim, "status", "--json", sim.endpoint)
    assert said.code == 0, said.err
    found = {pool["id"]: pool for pool in said.document["accounts"][0]["pools"]}
    assert found["vm"]["resource"] == "PoolImageVersion"
    assert (found["render"]["kind"], found["render"]["current"], found["render"]["resource"]) == ("unknown", None, None)
    assert "Batch no longer answers API version 2018-08-01.7.0" in found["render"]["why"]


def test_an_endpoint_that_is_none_is_a_wrong_usage(sim: Simulator) -> None:
    said = batch_os(sim, "status", "https://me:secret@farm.westeurope.batch.azure.com")
    assert said.code == 2
    assert "user name or password" in said.err
    assert "secret" not in said.err


def test_a_reader_may_look_at_everything() -> None:
    """An Entra identity that may only read: status, adopt and doctor need no more."""
    for secure in simulators.running_command(("--tls", "--speed", "0")):
        secure.pools(paas_pool(), vm_pool("vm"))
        reader = secure.signed_in_as("reader", read_only=True)
        signed_in = {"AZURE_BATCH_ACCOUNT": "", "AZURE_BATCH_ACCESS_KEY": "", **reader}
        status = batch_os(secure, "status", "--json", secure.endpoint, **signed_in)
        assert status.code == 0, status.out
        assert status.document["accounts"][0]["signed_in_as"] == "DefaultAzureCredential"
        adopted = batch_os(secure, "adopt", secure.endpoint, **signed_in)
        assert adopted.code == 0, adopted.err
        assert adopted.out.count("account_endpoint=") == 2
        doctor = batch_os(secure, "doctor", secure.endpoint, **signed_in)
        assert doctor.code == 0, doctor.out
        assert "skip  rights to write    not tried, as only a write would show" in doctor.out
        assert "ok    TLS                the certificate was verified" in doctor.out
        assert not secure.writes()
        distrusting = batch_os(secure, "doctor", secure.endpoint)
        assert distrusting.code == 3
        assert "fail  TLS" in distrusting.out
        assert "REQUESTS_CA_BUNDLE" in distrusting.out


# ── adopt ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def tails(document: dict[str, Any]) -> dict[str, str]:
    """What a preview says of each pool that is planned: by URL, adopt or else."""
    found = [message_tail.split(each["message"])[1] for each in document.get("diagnostics", [])]
    return {each.pool: each.what for each in found if each is not None and each.what != "warning"}


def test_the_program_adopts_two_accounts_and_writes_nothing(sim: Simulator, other: Simulator, stack: Stack) -> None:
    everything(sim, other)
    program = stack.program_folder / "__main__.py"
    before = len(other.writes())
    said = batch_os(sim, "adopt", sim.endpoint, other.endpoint, "--output", program)
    assert said.code == 0, said.err
    assert "9 of 10 pools declared" in said.err
    text = program.read_text(encoding="utf-8")
    assert "# Pool busy is not declared: an upgrade" in text
    # Neither shows a version: the day of the oldest node, and of a pool without nodes the present day.
    assert text.count("nodes_since=") == 2
    assert 'nodes_since="2018-11-01"' in text
    previewed = json.loads(stack.run("preview", "--json").ok().text)
    declared = {
        *(f"{sim.endpoint}/pools/{each}" for each in ("encode", "gallery", "mixed", "pinned", "render")),
        *(f"{other.endpoint}/pools/{each}" for each in ("auto", "empty", "empty-pinned", "Render")),
    }
    assert tails(previewed) == dict.fromkeys(declared, "adopt")
    assert {step["op"] for step in previewed["steps"]} == {"create"}
    stack.up().ok()
    assert {each["id"] for each in stack.resources()} == declared
    stack.run("preview", "--expect-no-changes", "--refresh").ok()
    assert not sim.writes()
    assert len(other.writes()) == before, "but for the upgrade that this test has started"


def test_a_file_is_overwritten_only_by_force(sim: Simulator, tmp_path: Path) -> None:
    file = tmp_path / "__main__.py"
    assert batch_os(sim, "adopt", sim.endpoint, "--output", file).code == 0
    first = file.read_text(encoding="utf-8")
    sim.move_to(NEW)
    refused = batch_os(sim, "adopt", sim.endpoint, "--output", file)
    assert refused.code == 1
    assert "--force overwrites it" in refused.err
    assert file.read_text(encoding="utf-8") == first
    assert batch_os(sim, "adopt", sim.endpoint, "--output", file, "--force").code == 0
    assert NEW in file.read_text(encoding="utf-8")
    nowhere = batch_os(sim, "adopt", sim.endpoint, "--output", tmp_path / "no" / "x.py")
    assert nowhere.code == 1
    assert "cannot be written" in nowhere.err


def test_no_program_is_written_that_lacks_an_account(sim: Simulator, locked: Simulator, tmp_path: Path) -> None:
    file = tmp_path / "__main__.py"
    said = batch_os(sim, "adopt", sim.endpoint, locked.endpoint, "--output", file)
    assert said.code == 2
    assert "HTTP 403 AuthenticationFailed" in said.err
    assert "no program was written" in said.err
    assert not file.exists()
    assert not said.out


def test_options_that_do_not_go_together(sim: Simulator, tmp_path: Path) -> None:
    for options in (
        ("--check", tmp_path, "--output", "x"),
        ("--force",),
        ("--json",),
        ("--check", tmp_path, "--config", "x"),
    ):
        assert batch_os(sim, "adopt", sim.endpoint, *options).code == 2


LOOP = """
for name, version in {{"render": "{old}", "encode": "{old}", "gone": "{old}"}}.items():
    PoolOsVersion(name, account_endpoint="{endpoint}", pool_id=name, target_os_version=version)
"""


def test_check_finds_pools_that_nobody_declares_whatever_tells_it(sim: Simulator, stack: Stack, tmp_path: Path) -> None:
    """The program itself, its preview and its state say the same."""
    sim.seed(paas_pool(), paas_pool("encode"), paas_pool("gone"), vm_pool("vm"))
    stack.program(LOOP.format(endpoint=sim.endpoint, old=OLD))
    stack.up().ok()
    sim.seed(paas_pool(), paas_pool("encode"), vm_pool("vm"))
    preview, export = tmp_path / "preview.json", tmp_path / "export.json"
    preview.write_text(stack.run("preview", "--json", "--show-sames").ok().text, encoding="utf-8")
    export.write_text(stack.run("stack", "export").ok().text, encoding="utf-8")
    for source in (stack.program_folder, stack.program_folder / "__main__.py", preview, export):
        said = batch_os(sim, "adopt", sim.endpoint, "--check", source, "--json")
        assert said.code == 3, said.err
        assert said.document["undeclared"] == [{"url": f"{sim.endpoint}/pools/vm", "resource": "PoolImageVersion"}]
        assert [each["url"] for each in said.document["missing"]] == [f"{sim.endpoint}/pools/gone"]
    words = batch_os(sim, "adopt", sim.endpoint, "--check", stack.program_folder)
    assert f"{sim.endpoint}/pools/vm is not declared; PoolImageVersion fits it" in words.out
    assert "which does not exist" in words.out
    assert "not declared: 1 of 3 pools" in words.out


SEVERAL = """
where = dict(account_endpoint={endpoint!r})
PoolOsVersion("fine", pool_id="fine", target_os_version={old!r}, **where)
PoolOsVersion("deleting", pool_id="deleting", target_os_version={new!r}, **where)
PoolOsVersion("conflict", pool_id="conflict", target_os_version={old!r}, **where)
PoolOsVersion("resizing", pool_id="resizing", target_os_version={new!r}, if_resizing="fail", **where)
PoolOsVersion("family", pool_id="family", target_os_version="WA-GUEST-OS-5.25_201811-01", **where)
PoolOsVersion("machines", pool_id="machines", target_os_version={new!r}, **where)
PoolImageVersion("pinned", pool_id="pinned", target_image_version={target!r}, strategy="surge", **where)
PoolImageVersion("services", pool_id="fine2", target_image_version={target!r}, strategy="surge", **where)
"""


def test_several_refused_pools_one_by_the_preview_and_all_by_check(
    sim: Simulator, stack: Stack, tmp_path: Path
) -> None:
    """The engine ends a preview at the first failed check; the error names the command that shows every refusal."""
    both = {"osFamily": "4", "targetOSVersion": NEW, "currentOSVersion": OLD}
    sim.seed(
        *(paas_pool(name) for name in ("fine", "fine2", "family")),
        paas_pool("deleting", state="deleting"),
        paas_pool("conflict", state="upgrading", cloudServiceConfiguration=both),
        paas_pool("resizing", allocationState="resizing"),
        vm_pool("machines"),
        vm_pool("pinned", version=BEHIND),
    )
    stack.program(SEVERAL.format(endpoint=sim.endpoint, old=OLD, new=NEW, target=TARGET))
    preview = stack.run("preview", "--json").failed().text
    assert f"Pulumi stops here; `batch-os adopt {sim.endpoint} --check .` shows every pool" in preview
    assert preview.count("an up would be refused: ") == 1
    (tmp_path / "preview.json").write_text(preview, encoding="utf-8")
    comment = batch_os(sim, "comment", f"dev={tmp_path / 'preview.json'}")
    # Pulumi does not promise in which order it asks.
    shown = re.search(r"\*\*dev: the preview failed:\*\* (\w+): (.*?)\. Other changes", comment.out)
    assert shown is not None, comment.out
    assert not sim.writes()

    words = batch_os(sim, "adopt", sim.endpoint, "--check", stack.program_folder)
    assert words.code == 3, words.err
    assert "refused by `up`: 7 of 8 pools" in words.out
    assert "not declared: none of 8 pools" in words.out
    said = batch_os(sim, "adopt", sim.endpoint, "--check", stack.program_folder, "--json")
    assert said.code == 3, said.err
    found = {each["name"]: each for each in said.document["refused"]}
    assert {name: each["property"] for name, each in found.items()} == {
        "deleting": "pool_id",
        "conflict": "on_conflict",
        "resizing": "if_resizing",
        "family": "target_os_version",
        "machines": "pool_id",
        "pinned": "strategy",
        "services": "pool_id",
    }
    in_comment = f"{sim.endpoint}/pools/{shown[1]}", html.unescape(shown[2]).replace("\u200b", "")
    assert in_comment in {(each["url"], each["why"]) for each in found.values()}
    for name, each in found.items():
        assert f"({name}): an up would be refused: {each['why']}.\n    Next: {each['next_step']}.\n" in words.out
        assert each["url"] == f"{sim.endpoint}/pools/{'fine2' if name == 'services' else name}"


def test_check_is_content_with_what_adopt_wrote_and_with_several_programs(
    sim: Simulator, other: Simulator, tmp_path: Path
) -> None:
    other.pools(paas_pool("other"))
    first, second = tmp_path / "first.py", tmp_path / "second.py"
    assert batch_os(sim, "adopt", sim.endpoint, "--output", first).code == 0
    assert batch_os(sim, "adopt", other.endpoint, "--output", second).code == 0
    alone = batch_os(sim, "adopt", sim.endpoint, other.endpoint, "--check", first)
    assert alone.code == 3, alone.err
    both = batch_os(sim, "adopt", sim.endpoint, other.endpoint, "--check", first, "--check", second)
    assert both.code == 0, both.err
    assert "not declared: none of 2 pools" in both.out


def test_check_of_a_program_that_does_not_run(sim: Simulator, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text("import nothing_of_this_name\n", encoding="utf-8")
    said = batch_os(sim, "adopt", sim.endpoint, "--check", program)
    assert said.code == 1
    assert "No module named 'nothing_of_this_name'" in said.err
    assert "pulumi preview --json --show-sames" in said.err


def test_check_where_an_account_cannot_be_read(sim: Simulator, locked: Simulator, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text("", encoding="utf-8")
    said = batch_os(sim, "adopt", sim.endpoint, locked.endpoint, "--check", program)
    assert said.code == 2
    assert f"{sim.endpoint}/pools/render is not declared" in said.out


# ── doctor ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def lines(said: Said) -> dict[tuple[str, str], str]:
    """The status of each check, by what it is about and its name."""
    return {(each["about"], each["check"]): each["status"] for each in said.document["checks"]}


def test_doctor_where_all_is_well(sim: Simulator, tmp_path: Path) -> None:
    young = tmp_path / "catalogue.json"
    today = datetime.now(UTC).date()
    version = GuestOsVersion(7, 999, 1, f"{today:%Y%m}")
    release = Release(version, "Windows Server 2022", today)
    own = catalogue.load()
    young.write_text(as_text(own.updated_by(Catalogue((release,), (own.families[7],)))), encoding="utf-8")
    said = batch_os(sim, "doctor", "--json", sim.endpoint, BATCH_OS_CATALOGUE=str(young))
    assert said.code == 0, said.out
    assert said.document["ok"] is True
    assert set(lines(said).values()) == {"ok"}, said.out
    names = {name for _, name in lines(said)}
    assert {"Python", "Pulumi CLI", "Pulumi SDK", "azure-batch", "seams", "BATCH_OS_LOG", "catalogue"} <= names
    assert {"batchos", "YAML host"} <= names
    assert {"address", "credential", "TLS", "reads pools", "reads nodes", "API versions", "rights to write"} <= names
    assert not sim.writes()


def test_doctor_tells_accounts_apart(sim: Simulator, locked: Simulator, nobody: str) -> None:
    unknown = "https://nobody.invalid"
    said = batch_os(sim, "doctor", "--json", sim.endpoint, locked.endpoint, nobody, unknown)
    assert said.code == 3
    found = lines(said)
    assert found[sim.endpoint, "reads pools"] == "ok"
    assert found[locked.endpoint, "address"] == "ok"
    assert found[locked.endpoint, "reads pools"] == "fail"
    assert found[locked.endpoint, "rights to write"] == "skip"
    assert found[nobody, "address"] == "fail"
    assert found[nobody, "reads pools"] == "skip"
    assert found[unknown, "address"] == "fail"
    assert found[unknown, "credential"] == "warn", "a key is set, and it is for another account"
    fixes = {each["check"]: each["fix"] for each in said.document["checks"] if each["about"] == locked.endpoint}
    assert "az batch account keys list" in fixes["reads pools"]


def test_doctor_of_an_account_that_has_retired_the_old_api(sim: Simulator) -> None:
    sim.unknown(retiredApiVersions="before-2025-06-01")
    said = batch_os(sim, "doctor", sim.endpoint)
    assert said.code == 0, said.out
    assert "warn  API versions" in said.out
    assert "Batch answers 2025-06-01 and not 2018-08-01.7.0" in said.out
    assert "skip  reads nodes" in said.out
    sim.seed(paas_pool(), vm_pool("vm"))
    assert "ok    reads nodes        2 nodes of pool vm" in batch_os(sim, "doctor", sim.endpoint).out


def test_doctor_where_nodes_may_not_be_read(sim: Simulator) -> None:
    sim.fault("ComputeNode_List", DENIED)
    said = batch_os(sim, "doctor", "--json", sim.endpoint)
    assert said.code == 3
    assert lines(said)[sim.endpoint, "reads pools"] == "ok"
    assert lines(said)[sim.endpoint, "reads nodes"] == "fail"


def test_doctor_of_a_machine_without_pulumi_and_with_a_bad_log(sim: Simulator, tmp_path: Path) -> None:
    said = batch_os(sim, "doctor", PATH=str(tmp_path), BATCH_OS_LOG=str(tmp_path / "no" / "log"))
    assert said.code == 3
    assert "fail  Pulumi CLI         `pulumi` is not on PATH" in said.out
    assert "fail  BATCH_OS_LOG" in said.out
    assert "Next: Install the Pulumi CLI" in said.out
    assert "skip  batchos" in said.out


SEAM_HALVES = (("widen", "clean errors", "urn"), ("cancel", "row status", "watch"))


@pytest.mark.parametrize("missing", SEAM_HALVES)
def test_doctor_finds_missing_seams(sim: Simulator, missing: tuple[str, ...]) -> None:
    """A real plugin process, from which private parts of the SDK were taken away."""
    said = batch_os(sim, "doctor", PYTHONPATH=str(SEAMS), BATCH_OS_TEST_WITHOUT=",".join(missing))
    assert said.code == 0, said.out
    for half in SEAM_HALVES:
        for seam in half:
            assert (f"warn  seams              '{seam}' is missing" in said.out) is (half is missing), said.out


def test_help_tells_the_exit_codes(sim: Simulator) -> None:
    assert "Exit codes: 0 done" in batch_os(sim, "--help").out
    for name in ("status", "adopt", "doctor"):
        said = batch_os(sim, name, "--help")
        assert said.code == 0
        assert "ENDPOINT" in said.out
