"""A subcommand is in several places: this names each place that lacks one. CONTRIBUTING.md has the recipe."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import click
import pytest

from batch_os_provider.cli.main import COMMANDS, main
from tests.cli.commands import test_command_endings as endings

ROOT = Path(__file__).resolve().parents[3]
CLI = ROOT / "batch_os_provider" / "cli"


def test_the_folders_of_the_command_are_its_subcommands() -> None:
    assert {path.parent.name for path in CLI.glob("*/command.py")} == set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_subcommand_has_help_and_says_in_its_first_line_what_it_does(name: str) -> None:
    command = import_module(f"batch_os_provider.cli.{name}.command").command
    assert isinstance(command, click.Command)
    assert command.name == name
    assert command.get_short_help_str(limit=100) == COMMANDS[name]
    assert (import_module(f"batch_os_provider.cli.{name}").__doc__ or "").strip()


@pytest.mark.parametrize("name", COMMANDS)
def test_a_subcommand_is_on_a_page(name: str) -> None:
    page = (ROOT / "docs" / "command.md").read_text(encoding="utf-8")
    section = re.search(rf"^## {name}: ", page, re.MULTILINE)
    link = f"[`batch-os {name}`]({name}.md)" in page and (ROOT / "docs" / f"{name}.md").exists()
    assert section or link, f"docs/command.md has no section '## {name}: ...' and no link to a page {name}.md"


@pytest.mark.parametrize("name", COMMANDS)
def test_the_end_of_a_subcommand_in_bad_surroundings_is_tested(name: str) -> None:
    assert name in {arguments[0] for arguments in endings.COMMANDS.values()}


def test_the_help_lists_the_subcommands_in_their_order_and_imports_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(main, click.Group)
    context = click.Context(main)
    assert main.list_commands(context) == [*COMMANDS]
    monkeypatch.setattr(type(main), "get_command", lambda *_: pytest.fail("the help has imported a subcommand"))
    lines = main.get_help(context).partition("Commands:\n")[2].splitlines()
    assert [line.split(maxsplit=1) for line in lines] == [[name, text] for name, text in COMMANDS.items()]
