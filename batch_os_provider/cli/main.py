"""The command `batch-os`: its subcommands, how they are loaded, and how they end.

A subcommand is imported when it is called, so that `batch-os comment` does not wait for azure to load. An early end
(^C, a closed pipe, a full disk) becomes an exit code without a traceback, for all subcommands in one place.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import Any

import click

from batch_os_provider.cli.common import CLOSED_PIPE, FAILED, INTERRUPTED, discard_unwritten

__all__ = ["main"]

COMMANDS = {
    "status": "Show every pool, and the resource that fits it.",
    "outdated": "Show the pools for which a newer version is known.",
    "watch": "Follow the pools that are being changed.",
    "adopt": "Write a Pulumi program for the pools of accounts.",
    "bump": "Write newer versions into a program and its config.",
    "comment": "Write one Markdown comment about previews.",
    "catalogue": "Show or update the Guest OS catalogue.",
    "doctor": "Check this machine, and accounts.",
    "restore": "Put a VM pool back to what its marker says.",
    "probe": "Ask a real account what no document says.",
}
"""The subcommands in the order of the help, with the first sentence of each: the help imports none of them."""

_CLOSED = (errno.EPIPE, errno.EINVAL) if os.name == "nt" else (errno.EPIPE,)
_OF_OUTPUT = frozenset({errno.ENOSPC, errno.EIO, errno.EFBIG, *_CLOSED})
"""How a write of output fails. Windows reports a closed pipe as EINVAL."""


@contextmanager
def _ending() -> Iterator[None]:
    """Turn an early end into its exit code, and write all output before the process ends."""
    try:
        try:
            yield
        finally:
            # The interpreter flushes too late: a failure then only prints "Exception ignored".
            for stream in (sys.stdout, sys.stderr):
                if stream is not None:
                    stream.flush()
    except KeyboardInterrupt:
        _say("interrupted by ^C; nothing was written to Batch")
        raise click.exceptions.Exit(INTERRUPTED) from None
    except OSError as error:
        # Subcommands explain errors of files, which have a name. This one is about the output.
        discard_unwritten()
        if error.filename is not None or error.errno not in _OF_OUTPUT:
            raise
        if error.errno in _CLOSED:
            raise click.exceptions.Exit(CLOSED_PIPE) from None
        _say(f"error: the output cannot be written: {error.strerror}")
        raise click.exceptions.Exit(FAILED) from None


def _say(text: str) -> None:
    with suppress(OSError):
        click.echo(text, err=True)


class _Group(click.Group):
    """A group whose subcommands are folders of `cli/`."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run the command line; click prints what is wrong with it."""
        try:
            return super().main(*args, **kwargs)
        except BrokenPipeError:  # of stderr
            discard_unwritten()
            sys.exit(CLOSED_PIPE)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """The subcommands, in the order in which the help lists them."""
        return list(COMMANDS)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        """Write the list of subcommands."""
        with formatter.section("Commands"):
            formatter.write_dl([*COMMANDS.items()])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """The command of this name."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"batch_os_provider.cli.{cmd_name}.command").command
        return command

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        """Parse the arguments; `--help` and `--version` print and end here."""
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):
                # A code page that lacks a letter must not end a command; the letter is shown as \\x2192.
                stream.reconfigure(errors="backslashreplace")
        with _ending():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the subcommand."""
        with _ending():
            return super().invoke(ctx)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="batch-os-provider", prog_name="batch-os")
def main() -> None:
    """See, adopt and review the pools that Pulumi programs declare.

    Exit codes: 0 done; 1 an error of this machine or of the input; 2 an account could not be read, or wrong usage;
    3 the answer is "no" (--fail-on stops, no program declares a pool, a check of doctor failed); 130 ^C (watch: 0);
    141 no program reads the output any more.
    """
