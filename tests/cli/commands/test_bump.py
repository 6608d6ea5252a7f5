"""`batch-os bump` on a program with a pool of each kind of text, over the wire."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from batch_os_provider.cli.outdated.listings import NO_SUBSCRIPTION
from tests.cli.commands.test_command_endings import ended, environment, forked
from tests.support import fork_server
from tests.support.simulator import IMAGES, Simulator, vm_pool

if TYPE_CHECKING:
    from pathlib import Path

UNASKED = f"{NO_SUBSCRIPTION}\n"
FIRST, OLD, NEW = "20348.2300.240301", "20348.2402.240402", "20348.2461.240510"
OTHER_OLD, OTHER_NEW = "17763.3124.2111130129", "17763.3200.220101"

PROGRAM = """import pulumi
from batch_os_provider import PoolImageVersion

config = pulumi.Config()
AT = config.require("endpoint")
BY_NAME = "{old}"


def pool(name, version):
    PoolImageVersion(name, account_endpoint=AT, pool_id=name, target_image_version=version, strategy="surge")


# {old} is what they ran in May
PoolImageVersion("literal", account_endpoint=AT, pool_id="literal",
    target_image_version='{old}', strategy="surge")  # keep me
pool("by-name", BY_NAME)
pool("shared-1", config.require("version"))
pool("shared-2", config.require("version"))
pool("mixed-1", config.require("mixed"))
PoolImageVersion("since", account_endpoint=AT, pool_id="since", nodes_since=config.require("since"), strategy="surge")
pool("mixed-2", config.require("mixed"))
"""


@pytest.fixture
def program(sim: Simulator, tmp_path: Path) -> Path:
    """A program with CRLF line ends, its config, and its pools beside one that runs a newer version."""
    names = ("literal", "by-name", "shared-1", "shared-2", "mixed-1")
    sim.pools(
        *(vm_pool(name, exact=OLD) for name in names),
        vm_pool("mixed-2", exact=OTHER_OLD, image=IMAGES["windows-2019"]),
        vm_pool("newer", exact=NEW),
        vm_pool("since", image=IMAGES["ubuntu"], exact="latest"),
        vm_pool("pinned", image=IMAGES["ubuntu"], version="22.04.202405140", exact="latest"),
        vm_pool("other-newer", exact=OTHER_NEW, image=IMAGES["windows-2019"]),
    )
    (tmp_path / "__main__.py").write_bytes(PROGRAM.format(old=OLD).replace("\n", "\r\n").encode())
    literal = f"from batch_os_provider import PoolOsVersion\nPoolOsVersion('x', target_os_version='{OLD}')\n"
    for name in ("tests/made.py", ".venv/lib.py", "inner/__main__.py", "test_program.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(literal, encoding="utf-8")
    (tmp_path / "inner" / "Pulumi.yaml").write_text("name: inner\nruntime: python\n", encoding="utf-8")
    (tmp_path / "Pulumi.yaml").write_text("name: farm\nruntime: python\n", encoding="utf-8")
    (tmp_path / "Pulumi.prod.yaml").write_text(
        f"config:\n  farm:endpoint: {sim.endpoint}\n  farm:version: {OLD}  # since May\n"
        f"  farm:unused: {OLD}\n  farm:mixed: {FIRST}\n  farm:since: '2024-04-01'  # as Pulumi writes it\n",
        encoding="utf-8",
    )
    return tmp_path


def test_it_writes_only_what_it_can_prove_and_names_the_rest(sim: Simulator, program: Path) -> None:
    before = {file: file.read_bytes() for file in program.iterdir() if file.is_file()}

    code, out, err = ended(forked(sim, "bump", str(program)))
    assert (code, "the question was not answered" in err, "Next: Give --yes" in err) == (1, True, True)
    assert f"+    target_image_version='{NEW}', strategy=\"surge\")  # keep me" in out.decode()
    code, out, err = ended(forked(sim, "bump", str(program), "--json"))
    assert (code, json.loads(out)["written"]) == (0, False)
    assert {file: file.read_bytes() for file in before} == before

    code, out, err = ended(forked(sim, "bump", str(program), "--json", "--yes"))
    document = json.loads(out)
    assert (code, err, document["written"], document["not_asked"]) == (0, UNASKED, True, [UNASKED.strip()])
    assert [(each["file"], each["line"], each["key"]) for each in document["changes"]] == [
        ("__main__.py", 15, None),
        ("Pulumi.prod.yaml", 3, "farm:version"),
        ("Pulumi.prod.yaml", 6, "farm:since"),
    ]
    day = document["changes"][-1]["to"]
    assert document["reasons"] == [
        {"from": "2024-04-01", "to": day, "newest": "22.04.202405140", "source": f"{sim.endpoint}/pools/pinned"},
        {"from": OLD, "to": NEW, "newest": NEW, "source": f"{sim.endpoint}/pools/newer"},
    ]
    assert {each["name"] for each in document["left"]} == {"by-name", "mixed-1", "mixed-2"}
    main, config = program / "__main__.py", program / "Pulumi.prod.yaml"
    assert main.read_bytes() == before[main].replace(f"'{OLD}'".encode(), f"'{NEW}'".encode())
    assert config.read_bytes() == before[config].replace(f"{OLD}  #".encode(), f"{NEW}  #".encode()).replace(
        b"2024-04-01", day.encode()
    )

    code, out, err = ended(forked(sim, "bump", str(program), "--yes"))
    assert (code, out.decode().splitlines()[-1]) == (0, "0 versions to change in 0 files: nothing to write")


YAML = """name: farm
runtime: yaml
config:
  endpoint: {{type: string}}
  version: {{type: string}}
resources:
  account: {{type: "pulumi:providers:batchos", properties: {{accountEndpoint: "${{endpoint}}"}}}}

  # {old} is what they ran in May
  literal:
    type: batchos:PoolImageVersion
    properties: {{poolId: literal, targetImageVersion: {old}, strategy: surge}}  # keep me
    options: {{provider: "${{account}}"}}
  shared-1:
    type:   batchos:PoolImageVersion
    properties: {{poolId: shared-1, targetImageVersion: "${{version}}", strategy: surge}}
    options: {{provider: "${{account}}"}}
  mixed-2:
    type: batchos:PoolImageVersion
    properties: {{poolId: mixed-2, targetImageVersion: "${{mixed}}", strategy: surge}}
    options: {{provider: "${{account}}"}}
"""


def test_a_yaml_program_keeps_its_comments_and_its_layout(sim: Simulator, program: Path) -> None:
    for each in program.glob("*.py"):
        each.unlink()
    file, config = program / "Pulumi.yaml", program / "Pulumi.prod.yaml"
    file.write_bytes(YAML.format(old=OLD).replace("\n", "\r\n").encode())
    before = config.read_bytes()
    code, out, err = ended(forked(sim, "bump", str(program), "--yes", "--json"))
    assert (code, err) == (0, UNASKED), err
    document = json.loads(out)
    changes = {(each["file"], each["key"], each["from"], each["to"]) for each in document["changes"]}
    assert changes == {("Pulumi.yaml", None, OLD, NEW), ("Pulumi.prod.yaml", "farm:version", OLD, NEW)}
    wanted = YAML.format(old=OLD).replace(f"targetImageVersion: {OLD}", f"targetImageVersion: {NEW}")
    assert file.read_bytes() == wanted.replace("\n", "\r\n").encode()
    assert config.read_bytes() == before.replace(f"version: {OLD}".encode(), f"version: {NEW}".encode())


@pytest.mark.parametrize(("answer", "state"), [("n", "not written"), ("YES", "written")])
def test_it_asks(sim: Simulator, program: Path, answer: str, state: str) -> None:
    before = (program / "__main__.py").read_bytes()
    done = subprocess.run(  # noqa: S603 - the command under test
        [*fork_server.command("batch-os"), "bump", str(program)],
        env=environment(sim, {}),
        input=f"{answer}\n".encode(),
        capture_output=True,
        check=True,
    )
    assert done.stdout.decode().splitlines()[-1] == f"3 versions to change in 2 files: {state}"
    assert ((program / "__main__.py").read_bytes() == before) is (state == "not written")


KILLED = """
import os, signal, sys
seen = []
def watch(event, arguments):
    if event == "os.rename" and "batch-os-bump" in str(arguments[0]):
        seen.append(event)
        if len(seen) == 2:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(watch)
from batch_os_provider.cli.main import main
main()
"""


def test_a_kill_between_two_files_is_finished_by_the_next_call(sim: Simulator, program: Path) -> None:
    before = {file: file.read_bytes() for file in program.iterdir() if file.is_file()}
    words = [sys.executable, "-c", KILLED, "bump", str(program), "--yes"]
    done = subprocess.run(words, env=environment(sim, {}), capture_output=True, check=False)  # noqa: S603 - as above
    assert done.returncode == -9, done.stderr
    changed = [file.name for file in before if file.read_bytes() != before[file]]
    assert changed == ["__main__.py"]

    code, out, err = ended(forked(sim, "bump", str(program), "--yes"))
    assert (code, err, out.decode().splitlines()[-1]) == (0, UNASKED, "2 versions to change in 1 file: written")
    assert sorted(file.name for file in program.iterdir() if file.is_file()) == sorted(file.name for file in before)
    assert NEW in (program / "Pulumi.prod.yaml").read_text(encoding="utf-8")


def test_a_program_that_does_not_run_ends_it_with_its_own_advice(program: Path) -> None:
    config = program / "Pulumi.prod.yaml"
    config.write_text(config.read_text(encoding="utf-8").replace("farm:mixed", "farm:other"), encoding="utf-8")
    code, out, err = ended(forked(None, "bump", str(program), "--yes"))
    assert (code, out) == (1, b"")
    assert err.endswith(
        "Next: Give the missing config with --config key=value, and install its packages for this Python.\n"
    )
    assert "farm:mixed" in err
    (program / "__main__.py").unlink()
    code, _, err = ended(forked(None, "bump", str(program), "--yes"))
    assert (code, err.splitlines()[-1]) == (1, "Next: Name the folder of a program in Python or YAML.")


def test_an_account_that_cannot_be_read_ends_it(program: Path) -> None:
    before = (program / "__main__.py").read_bytes()
    code, out, err = ended(forked(None, "bump", str(program), "--yes"))
    assert (code, out) == (2, b"")
    assert err.endswith("nothing was written: newer versions may be where it could not be read\n")
    assert (program / "__main__.py").read_bytes() == before


def test_a_program_that_then_declares_something_else_is_put_back(sim: Simulator, program: Path) -> None:
    main = program / "__main__.py"
    main.write_bytes(main.read_bytes() + f"if '{NEW}' in open(__file__).read(): pool('more', '1.2.3')\n".encode())
    main.write_bytes(main.read_bytes().replace(f"if '{NEW}'".encode(), f"if 'version=\\'{NEW}'".encode()))
    before = {file: file.read_bytes() for file in program.iterdir() if file.is_file()}
    code, _, err = ended(forked(sim, "bump", str(program), "--yes"))
    assert code == 1, err
    assert err == (
        f"{UNASKED}the files are as they were\n"
        "error: with the new versions the program declares something else than expected: other pools\n"
        "Next: Change the versions by hand\n"
    )
    assert {file: file.read_bytes() for file in before} == before


def test_outdated_is_a_gate(sim: Simulator, program: Path) -> None:
    code, out, _ = ended(forked(sim, "outdated", sim.endpoint, "--fail-on", "behind"))
    assert (code, out.decode().splitlines()[-1]) == (
        3,
        "7 of 10 pools behind; 3 without a known newer version; 0 not known",
    )
    code, _, err = ended(forked(sim, "outdated", sim.endpoint, "--fail-on", "behnd"))
    assert (code, "did you mean behind?" in err) == (2, True)
