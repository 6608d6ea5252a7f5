"""The program that `adopt` writes: names that are unique and stay, and text that needs no formatter."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from batch_os_provider.cli.adopt.outline import Outline, outline, resource_names
from batch_os_provider.cli.adopt.program_text import constants, python_program
from batch_os_provider.cli.adopt.proposal import propose
from tests.support.simulator import OLD, paas_pool, vm_pool
from tests.unit.cli.test_proposal import seen

WEST = "https://farm.westeurope.batch.azure.com"
NORTH = "https://farm.northeurope.batch.azure.com"
LAB = "https://lab.westeurope.batch.azure.com"
LOCAL = "http://127.0.0.1:8700"


def names(**accounts: list[str]) -> list[str]:
    """The names of pools by the constants' names of their accounts."""
    at = {"west": WEST, "north": NORTH, "lab": LAB, "local": LOCAL}
    pools = {at[key]: [propose(seen(paas_pool(each), at[key])) for each in ids] for key, ids in accounts.items()}
    return list(resource_names(pools).values())


def test_a_pool_is_named_by_its_id() -> None:
    assert names(west=["render", "Encode"], lab=["test"]) == ["render", "Encode", "test"]


def test_the_account_stands_in_front_where_ids_collide() -> None:
    assert names(west=["render", "encode"], lab=["Render"]) == ["farm-render", "encode", "lab-Render"]


def test_the_region_too_where_accounts_are_called_alike() -> None:
    assert names(west=["render"], north=["render"]) == ["farm-westeurope-render", "farm-northeurope-render"]


def test_a_loopback_account_is_told_by_its_port() -> None:
    assert names(local=["render"], lab=["render"]) == ["127-0-0-1-8700-render", "lab-render"]


def test_a_name_that_another_pool_has_as_its_id_is_not_taken() -> None:
    found = names(west=["render"], lab=["render", "farm-render"])
    assert len({each.lower() for each in found}) == 3, found


def test_names_do_not_depend_on_the_order_of_accounts() -> None:
    assert set(names(west=["render"], lab=["render"])) == set(names(lab=["render"], west=["render"]))


def test_constants_are_python_names() -> None:
    found = constants([WEST, LAB, NORTH, LOCAL])
    assert list(found.values()) == ["FARM_WESTEUROPE", "LAB", "FARM_NORTHEUROPE", "ACCOUNT_127_0_0_1_8700"]
    assert all(each.isidentifier() for each in found.values())


def everything() -> Outline:
    """A program with all that one can hold."""
    long_id = "x" * 64
    pools = [paas_pool(), paas_pool("star", current="*"), paas_pool(long_id), vm_pool("vm"), vm_pool("no", nodes=0)]
    pinned = vm_pool("pinned", version="20348.2402.240402")
    return outline(
        {
            WEST: [propose(seen(each, WEST)) for each in pools],
            LAB: [propose(seen(pinned, LAB)), propose(seen(paas_pool("busy", state="deleting"), LAB))],
            NORTH: [],
        }
    )


def ruff(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - the project's own ruff
        [Path(sys.executable).parent / "ruff", *arguments, "--isolated", "--no-cache", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_text_needs_no_formatter_and_has_no_lint(tmp_path: Path) -> None:
    (tmp_path / "__main__.py").write_text(python_program(everything()), encoding="utf-8")
    for length in ("88", "120"):
        formatted = ruff("format", "--diff", "--line-length", length, folder=tmp_path)
        assert formatted.returncode == 0, formatted.stdout
    linted = ruff("check", "--select", "E,F,I,D,ERA,W,UP", "--ignore", "D203,D213,E501", folder=tmp_path)
    assert linted.returncode == 0, linted.stdout


def test_only_what_is_used_is_imported() -> None:
    text = python_program(outline({WEST: [propose(seen(paas_pool(), WEST))]}))
    assert "from batch_os_provider import PoolOsVersion\n" in text
    assert "PoolImageVersion" not in text


def test_a_pool_that_is_left_out_is_named_with_the_reason() -> None:
    text = python_program(everything())
    assert "# Pool busy is not declared: it is being deleted." in text
    assert "# Pool no is not declared: it has no nodes." in text
    assert f"# {NORTH}: no pools" in text
    assert f'FARM_WESTEUROPE = "{WEST}"' in text
    assert "NORTHEUROPE" not in text, "an account of which nothing is declared needs no constant"


def test_an_account_without_anything_to_declare_is_a_program_all_the_same(tmp_path: Path) -> None:
    text = python_program(outline({WEST: []}))
    compile(text, "program", "exec")
    (tmp_path / "__main__.py").write_text(text, encoding="utf-8")
    assert ruff("format", "--diff", folder=tmp_path).returncode == 0
    assert OLD not in text
