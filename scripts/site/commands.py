"""A page for each command: usage, arguments, options and exit codes, from the parsers themselves."""

from __future__ import annotations

import argparse
import inspect
import re
from collections.abc import Iterable
from pathlib import Path

import click

from batch_os_provider.cli.main import COMMANDS, main
from batch_os_provider.simulator import cli as simulator
from scripts.project import ROOT
from scripts.site.resources import anchor
from scripts.site.text import indented, paragraphs

COMMAND, SIMULATOR = "batch-os", "batch-simulator"


def subcommands() -> dict[str, click.Command]:
    """The subcommands of batch-os, in the order of its help."""
    context = click.Context(main, info_name=COMMAND)
    found = {name: main.get_command(context, name) for name in COMMANDS}
    return {name: command for name, command in found.items() if command is not None}


def overview() -> str:
    """The page of batch-os itself."""
    rows = [
        f"| [`{name}`]({COMMAND}-{name}.md) | {command.get_short_help_str(200)} |"
        for name, command in subcommands().items()
    ]
    help_ = inspect.cleandoc(main.help or "")
    before, _, codes = help_.partition("Exit codes: ")
    exits = [f"| {code} | {text} |" for code, text in re.findall(r"(\d+) (.+?)(?:; |\.$)", " ".join(codes.split()))]
    return "\n\n".join(
        [
            f"# {COMMAND}",
            paragraphs(before),
            f"```text\n{_usage(main, COMMAND)}\n```",
            "\n".join(["| Subcommand | What it does |", "|---|---|", *rows]),
            "## Exit codes",
            "\n".join(["| Code | Means |", "|---|---|", *exits]),
            "[The command `batch-os`](../command.md) explains them with examples.\n",
        ]
    )


def page(name: str, command: click.Command, docs: Path = ROOT / "docs") -> str:
    """The page of a subcommand of batch-os."""
    options = [each for each in command.params if isinstance(each, click.Option) and not each.hidden]
    parts = [
        f"# {COMMAND} {name}",
        paragraphs(inspect.cleandoc(command.help or "")),
        f"```text\n{_usage(command, f'{COMMAND} {name}')}\n```",
        "## Options",
        "\n\n".join([*(_option(each) for each in options), _item("-h, --help", "Show the help and exit.")]),
    ]
    guide = _guide(name, docs)
    return "\n\n".join([*parts, *([f"[Examples and details]({guide})"] if guide else []), ""])


def _usage(command: click.Command, path: str) -> str:
    context = click.Context(command, info_name=path)
    return " ".join([path, *command.collect_usage_pieces(context)])


def _option(option: click.Option) -> str:
    head, _ = option.get_help_record(click.Context(click.Command("any"))) or ("", "")
    text = option.help or ""
    default = option.default
    # Without a default click shows a marker of its own, whose type has no public name.
    if not option.is_flag and isinstance(default, (str, int, float)) and default != "" and "efault" not in text:
        text += f" Default: `{default}`."
    if option.multiple and "more than once" not in text:
        text += " Can be given more than once."
    if option.required:
        text += " Required."
    return _item(head, text)


def _item(head: str, text: str) -> str:
    return f"`{head}`\n:   {indented(paragraphs(text)).strip()}"


def _guide(name: str, docs: Path) -> str:
    """The page or the section that explains a subcommand; empty without one."""
    if (docs / f"{name}.md").exists():
        return f"../{name}.md"
    headings = re.findall(r"^## (.+)$", (docs / "command.md").read_text(encoding="utf-8"), re.MULTILINE)
    found = next((each for each in headings if re.match(rf"`?{name}\b", each)), "")
    return f"../command.md#{anchor(found)}" if found else ""


def simulator_page() -> str:
    """The page of batch-simulator."""
    parser = simulator.parser()
    usage = " ".join(parser.format_usage().removeprefix("usage: ").split())
    rows = ("| 0 | SIGTERM or ^C ended it |", "| 2 | it cannot start; standard error says why |")
    return "\n\n".join(
        [
            f"# {SIMULATOR}",
            parser.description or "",
            paragraphs(inspect.cleandoc(simulator.__doc__ or "").partition("\n\n")[2]),
            f"```text\n{usage}\n```",
            "## Options",
            "\n\n".join(_arguments(parser)),
            "## Exit codes",
            "\n".join(["| Code | Means |", "|---|---|", *rows]),
            "See also [its HTTP interface](simulator-http.md), and [the simulator](../simulator.md) with examples.\n",
        ]
    )


def _arguments(parser: argparse.ArgumentParser) -> Iterable[str]:
    formatter = argparse.HelpFormatter(parser.prog)
    for action in parser._actions:  # noqa: SLF001 - argparse has no public list
        metavar = "" if action.nargs == 0 else f" {action.metavar or _choices(action)}"
        text = formatter._expand_help(action) if action.help else ""  # noqa: SLF001 - fills in %(default)s
        yield _item(", ".join(action.option_strings) + metavar, text[:1].upper() + text[1:].rstrip(".") + ".")


def _choices(action: argparse.Action) -> str:
    return "{" + ",".join(map(str, action.choices)) + "}" if action.choices else action.dest.upper()
