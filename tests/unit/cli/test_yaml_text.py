"""The YAML program that `adopt` writes: the same resources as in Python, whatever the pools are called."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from batch_os_provider.cli.adopt import command
from batch_os_provider.cli.adopt.declared_pools import read
from batch_os_provider.cli.adopt.outline import Outline, outline
from batch_os_provider.cli.adopt.proposal import propose
from batch_os_provider.cli.adopt.yaml_text import yaml_program
from batch_os_provider.cli.inventory import Account
from batch_os_provider.cli.main import main
from tests.support.simulator import paas_pool, vm_pool
from tests.unit.cli.test_program_text import LAB, LOCAL, NORTH, WEST, everything
from tests.unit.cli.test_proposal import seen

ODD_IDS = ("yes", "No", "null", "1_0", "1e3", "0o14", "010", "0x1F", "-1", "y", "x" * 64, "pulumi", "resources", "farm")


def of(*ids: str, at: str = WEST) -> Outline:
    return outline({at: [propose(seen(paas_pool(each), at)) for each in ids]})


def read_back(tmp_path: Path, text: str) -> dict[str, tuple[str, str]]:
    """The endpoint and the pool of each resource that `adopt --check` finds in a program."""
    (tmp_path / "Pulumi.yaml").write_text(text, encoding="utf-8")
    return {each.name: (each.ref.endpoint, each.ref.pool_id) for each in read(tmp_path, (), {}) if each.ref}


def test_every_pool_comes_back_under_its_own_name(tmp_path: Path) -> None:
    found = read_back(tmp_path, yaml_program(of(*ODD_IDS), "farm"))
    assert found == {each: (WEST, each) for each in ODD_IDS}


def test_the_resources_are_those_of_the_python_program(tmp_path: Path) -> None:
    said = everything()
    text = yaml_program(said, "farm")
    found = read_back(tmp_path, text)
    assert set(found) == {each.name for each in said.declared}
    by_name = {each.name: each for each in read(tmp_path, (), {})}
    for each in said.declared:
        inputs = {name: value for name, value in by_name[each.name].inputs.items() if name != "account_endpoint"}
        assert inputs == each.inputs


def test_the_program_says_what_is_left_out_and_keeps_every_pool_when_a_resource_goes() -> None:
    text = yaml_program(everything(), "farm")
    assert "  # Pool busy is not declared: it is being deleted.\n" in text
    assert f"  # {NORTH}: no pools\n" in text
    document = yaml.safe_load(text)
    assert (document["name"], document["runtime"]) == ("farm", "yaml")
    accounts = {key: each for key, each in document["resources"].items() if each["type"] == "pulumi:providers:batchos"}
    assert {key: each["properties"]["accountEndpoint"] for key, each in accounts.items()} == {
        "account-farm-westeurope": WEST,
        "account-lab": LAB,
    }, "an account of which nothing is declared needs no provider"
    for key, each in document["resources"].items():
        assert key in accounts or each["options"]["retainOnDelete"] is True


def test_notes_spell_the_properties_of_yaml() -> None:
    text = yaml_program(outline({WEST: [propose(seen(vm_pool("a", version="latest"), WEST))]}), "farm")
    assert "nodes_since" not in text


def test_a_provider_gives_way_to_pools(tmp_path: Path) -> None:
    found = read_back(tmp_path, yaml_program(of("account-farm", "Account-Farm-2", "pulumi", "pulumi-pool"), "farm"))
    assert found == {each: (WEST, each) for each in ("account-farm", "Account-Farm-2", "pulumi", "pulumi-pool")}


def test_a_loopback_account(tmp_path: Path) -> None:
    assert read_back(tmp_path, yaml_program(of("render", at=LOCAL), "farm")) == {"render": (LOCAL, "render")}


def test_an_account_without_anything_to_declare_is_a_program_too(tmp_path: Path) -> None:
    assert read_back(tmp_path, yaml_program(of(), "yes")) == {}
    assert yaml.safe_load((tmp_path / "Pulumi.yaml").read_text(encoding="utf-8")) == {
        "name": "yes",
        "runtime": "yaml",
        "resources": {},
    }


@pytest.mark.parametrize(
    ("options", "begins"),
    [
        ((), '"""'),
        (("--language", "python"), '"""'),
        (("--language", "yaml"), "# Azure Batch pools"),
        (("--output", "Pulumi.yaml"), "# Azure Batch pools"),
        (("--output", "x.YML"), "# Azure Batch pools"),
        (("--output", "x.txt", "--language", "yaml"), "# Azure Batch pools"),
        (("--output", "__main__.py"), '"""'),
    ],
)
def test_the_language_is_asked_for_or_follows_from_the_file(
    options: tuple[str, ...], begins: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(command, "survey", lambda _: [Account(WEST, "a key", pools=(seen(paas_pool(), WEST),))])
    ran = CliRunner().invoke(main, ["adopt", WEST, *options])
    assert ran.exit_code == 0, ran.output
    text = Path(options[1]).read_text(encoding="utf-8") if "--output" in options else ran.stdout
    assert text.startswith(begins)


@pytest.mark.parametrize("file", ["__main__.py", "Pulumi.yaml"])
def test_a_language_that_the_file_contradicts_is_a_wrong_usage(file: str) -> None:
    other = "yaml" if file.endswith(".py") else "python"
    ran = CliRunner().invoke(main, ["adopt", WEST, "--language", other, "--output", file])
    assert ran.exit_code == 2
    assert "are of two languages" in ran.output
    assert CliRunner().invoke(main, ["adopt", WEST, "--language", "yaml", "--check", "x"]).exit_code == 2


@pytest.mark.parametrize(
    ("folder", "name"), [("farm", "farm"), ("my farm!", "my-farm"), ("a" * 200, "a" * 100), ("ä", "pools")]
)
def test_the_project_has_the_name_of_its_folder_as_far_as_pulumi_takes_it(folder: str, name: str) -> None:
    assert command._project(Path("/x") / folder / "Pulumi.yaml") == name
