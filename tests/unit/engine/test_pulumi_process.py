"""The process `pulumi` above a plugin, on systems with and without /proc."""

from __future__ import annotations

import os
import sys

import pytest

from batch_os_provider.engine import pulumi_process
from batch_os_provider.engine.pulumi_process import Cli, find


def prints(text: str) -> tuple[str, ...]:
    """A command that prints a text, in place of ps or lsof."""
    return sys.executable, "-c", f"print({text!r})"


def processes(command: str) -> tuple[str, ...]:
    """A list of processes as macOS writes it, in which this one is a grandchild of a command."""
    return prints(
        f"    1     0 /sbin/launchd\n  501   400 {command}\n"
        f"  777   501 /usr/bin/python3 /opt/pulumi run\n{os.getpid():5}   777 python -m pulumi.dynamic 127.0.0.1:1\n"
        "  400     1 -zsh"
    )


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("pulumi preview --json", ("preview", "--json")),
        ("/opt/homebrew/bin/pulumi up --yes", ("up", "--yes")),
        ("pulumi", ()),
    ],
)
def test_macos_shows_the_cli_by_ps_and_its_stdout_by_lsof(command: str, arguments: tuple[str, ...]) -> None:
    open_file = (sys.executable, "-c", "import sys; print(f'p{sys.argv[1]}\\nf1\\nn/dev/ttys003')")
    assert find(platform="darwin", ps=processes(command), lsof=open_file) == Cli(arguments, "/dev/ttys003")


@pytest.mark.parametrize("command", ["node pulumi up", "/usr/bin/pulumi-watch up", "grep /bin/pulumi", "pulumi2 up"])
def test_another_program_is_not_the_cli(command: str) -> None:
    assert find(platform="darwin", ps=processes(command), lsof=prints("")) is None


@pytest.mark.parametrize(
    "ps",
    [prints("nothing"), (sys.executable, "-c", "import sys; sys.exit(1)"), ("no-such-program",)],
    ids=["does not list this process", "fails", "is missing"],
)
def test_a_ps_without_an_answer_is_an_error_that_the_seam_guards(ps: tuple[str, ...]) -> None:
    with pytest.raises((OSError, LookupError)):
        find(platform="darwin", ps=ps)


def test_windows_shows_nothing() -> None:
    assert pulumi_process.not_shown("win32") == "Windows does not show a process the command line above it"
    assert (pulumi_process.not_shown("linux"), pulumi_process.not_shown("darwin")) == ("", "")
    with pytest.raises(LookupError, match=r"^Windows does not show"):
        find(platform="win32")
