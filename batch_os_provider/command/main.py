"""The group `batch-os` and what its subcommands share: exit codes and how they are loaded.

Why it exists: a subcommand is imported when it is called, so `batch-os comment` never pays for azure.
"""

from __future__ import annotations

from importlib import import_module, metadata

import click

__all__ = ["main"]

COMMANDS = ("status", "watch", "adopt", "comment", "doctor")


class _Lazy(click.Group):
    """A group whose commands live in a module of their name each."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """The subcommands, in the order in which people meet them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """The command of this name."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"batch_os_provider.command.{cmd_name}").command
        return command


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(metadata.version("batch-os-provider"), prog_name="batch-os")
def main() -> None:
    """See, adopt and review the pools that Pulumi programs keep.

    \b
    Exit codes: 0 done, 1 an error of this machine or of the input, 2 an account could not be read
    or the command was called in a wrong way, 3 the answer is "no" (a gate of --fail-on, a pool that
    nobody declares, a check of doctor that failed).
    """  # noqa: D301 - \b is click's own mark
