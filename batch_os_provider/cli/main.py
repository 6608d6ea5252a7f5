"""The group `batch-os` and what its subcommands share: exit codes, how they are loaded, and how each of them ends.

A subcommand is imported when it is called, so `batch-os comment` never pays for azure. And whatever ends
a command early (^C, a reader of its output that has left, a full disk) ends it without a traceback, in one place.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module, metadata
from typing import Any, TextIO

import click

__all__ = ["CLOSED_PIPE", "INTERRUPTED", "main"]

COMMANDS = ("status", "watch", "adopt", "comment", "catalogue", "doctor")
FAILED, INTERRUPTED, CLOSED_PIPE = 1, 130, 141
"""Exit codes: the output cannot be written; ^C; the reader of the output has left. A shell uses the last two so."""

_CLOSED = (errno.EPIPE, errno.EINVAL) if os.name == "nt" else (errno.EPIPE,)
_OF_OUTPUT = frozenset({errno.ENOSPC, errno.EIO, errno.EFBIG, *_CLOSED})
"""How a write of output fails. Windows says EINVAL of a closed pipe."""


@contextmanager
def _ending() -> Iterator[None]:
    """Turn what ends a command from outside into its exit code, and send all output off before the process ends."""
    try:
        try:
            yield
        finally:
            # Now, since the interpreter does it too late to say anything but "Exception ignored".
            for stream in (sys.stdout, sys.stderr):
                if stream is not None:
                    stream.flush()
    except KeyboardInterrupt:
        _say("interrupted by ^C; nothing was written to Batch")
        raise click.exceptions.Exit(INTERRUPTED) from None
    except OSError as error:
        # Subcommands explain the errors of files, which have a name. What is left is the output itself.
        _give_up_output()
        if error.filename is not None or error.errno not in _OF_OUTPUT:
            raise
        if error.errno in _CLOSED:
            raise click.exceptions.Exit(CLOSED_PIPE) from None
        _say(f"error: the output cannot be written: {error.strerror}")
        raise click.exceptions.Exit(FAILED) from None


def _give_up_output() -> None:
    """Send to nowhere what is still in the buffers, or the interpreter fails at it again."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and _is_broken(stream):
            with suppress(OSError, ValueError):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, stream.fileno())
                os.close(nowhere)


def _is_broken(stream: TextIO) -> bool:
    try:
        stream.flush()
    except OSError:
        return True
    return False


def _say(text: str) -> None:
    with suppress(OSError):
        click.echo(text, err=True)


class _Group(click.Group):
    """A group whose commands live in a module of their name each."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run the command line; click itself prints what is wrong with it."""
        try:
            return super().main(*args, **kwargs)
        except BrokenPipeError:  # of stderr
            _give_up_output()
            sys.exit(CLOSED_PIPE)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """The subcommands, in the order in which people meet them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """The command of this name."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"batch_os_provider.cli.{cmd_name}.command").command
        return command

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        """Read the arguments; this prints the help and the version of the group."""
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):
                # A code page that lacks a letter must not end a command; what it lacks is shown as \\x2192.
                stream.reconfigure(errors="backslashreplace")
        with _ending():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the subcommand."""
        with _ending():
            return super().invoke(ctx)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(metadata.version("batch-os-provider"), prog_name="batch-os")
def main() -> None:
    """See, adopt and review the pools that Pulumi programs keep.

    Exit codes: 0 done, 1 an error of this machine or of the input, 2 an account could not be read or the command was
    called in a wrong way, 3 the answer is "no" (a gate of --fail-on, a pool that nobody declares, a check of doctor
    that failed), 130 ^C, 141 the reader of the output has left.
    """
