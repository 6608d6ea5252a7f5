"""`batch-os probe`: ask a real account what no document says about VM pools.

`PoolImageVersion` rests on these answers. This module reads the options, asks before each step, and deletes the pool
however the probe ends. docs/probe.md is its page.
"""

from __future__ import annotations

import secrets
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from types import FrameType
from typing import Any

import click

from batch_os_provider.batch.image_version import parse_image_version
from batch_os_provider.cli.common import FAILED, INTERRUPTED
from batch_os_provider.cli.probe.questions import (
    NO_VERSION,
    NODES,
    ON_RETURN,
    Question,
    ask_what_nodes_show,
    questions,
    version_of,
)
from batch_os_provider.cli.probe.throwaway_pool import ACCEPTED, PREFIX, ProbeError, ThrowawayPool, say
from batch_os_provider.errors import BatchOsError
from batch_os_provider.wording import counted

__all__ = ["Options", "command"]

_OFFERED = 8
"""How many images an error names."""


@dataclass(frozen=True)
class Options:
    """The options of the command line, except those that only ``ThrowawayPool`` needs."""

    vm_size: str
    image: str
    gallery_image: str
    returns: bool
    leaves: bool
    yes: bool


@click.command("probe", short_help="Ask a real account what no document says.")
@click.argument("endpoint")
@click.option("--yes", is_flag=True, help="Ask nothing.")
@click.option("--vm-size", default="standard_d2s_v3", show_default=True, help="The size of the nodes, for Linux.")
@click.option(
    "--image",
    default="canonical:0001-com-ubuntu-server-jammy:22_04-lts",
    show_default=True,
    help="A Linux image, as publisher:offer:sku.",
)
@click.option("--gallery-image", default="", help="Resource id of a gallery image for the same node agent.")
@click.option("--leave", "leaves", is_flag=True, help="Only make a pool of one node and leave it, see --return-to.")
@click.option("--return-to", metavar="POOL", help="Ask the pool that --leave left, then delete it.")
@click.option("--poll", type=float, default=10, show_default=True, help="Seconds between two reads.")
@click.option("--patience", type=float, default=3600, show_default=True, help="Seconds for one wait.")
def command(endpoint: str, *, return_to: str | None, leaves: bool, poll: float, patience: float, **rest: Any) -> None:
    """Ask the Batch account at ENDPOINT what no document says about VM pools, on a pool that probe makes and deletes.

    This costs money: two small nodes for about an hour. Before each step probe says what it does and how long that
    takes, and waits for a yes. Each answer is one line of JSON on standard output; other lines go to standard error.

    Writes to no other pool, and deletes its own at the end, after an error, and on ^C. Exit code 1 if a pool could
    not be made, read or deleted.
    """
    options = Options(returns=return_to is not None, leaves=leaves, **rest)
    # SIGINT too: a shell starts background jobs with ^C ignored, and the pool must be deleted all the same.
    signal.signal(signal.SIGINT, _interrupt)
    signal.signal(signal.SIGTERM, _interrupt)
    code, pool = 0, None
    try:
        pool = ThrowawayPool(endpoint, return_to or f"{PREFIX}{secrets.token_hex(4)}", poll, patience)
        _run(options, pool)
    except (ProbeError, BatchOsError, ValueError) as error:
        say(f"error: {error}")
        code = FAILED
    except KeyboardInterrupt:
        say("\nStopped.")
        code = INTERRUPTED
    finally:
        # A second ^C would leave a pool that costs money.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if pool is not None and not pool.clean_up():
            code = code or FAILED
    sys.exit(code)


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    """Handle a signal like a ^C."""
    raise KeyboardInterrupt


def _run(options: Options, pool: ThrowawayPool) -> None:
    """The whole probe, except the deletion of its pool."""
    if options.returns:
        pool.take_over()
        _ask(pool, ON_RETURN, yes=options.yes)
        return
    configuration = _configuration(pool, options.image)
    nodes = counted(1 if options.leaves else NODES, "node")
    say(f"This makes the pool {pool.ref.pool_id}: {nodes} of {options.vm_size}, {options.image}.")
    say("No other pool is touched." + ("" if options.leaves else " It is deleted at the end, after about an hour."))
    if not (options.yes or _agreed()):
        say("Nothing was made.")
        return
    if options.leaves:
        _leave(pool, configuration, options.vm_size)
        return
    is_known = ask_what_nodes_show(pool)
    pool.create(configuration, options.vm_size, NODES)
    pool.wait_ready()
    if not is_known and not ask_what_nodes_show(pool):
        pool.findings.leave_open(["exactVersionOfLatest"], "no node shows an exactVersion")
    for question in questions(options.gallery_image):
        _ask(pool, question, yes=options.yes)
    why = "the pool is as young as its image; use --leave now and --return-to in a month"
    pool.findings.leave_open(["latestOfNewNodes"], why)


def _ask(pool: ThrowawayPool, question: Question, *, yes: bool) -> None:
    """Announce a question, wait for a yes, ask it."""
    say(f"\n{', '.join(question.names)}: {question.does}. Takes: {question.takes}.")
    if not (yes or _agreed()):
        pool.findings.leave_open(question.names, "skipped")
        return
    try:
        question.ask(pool)
    except ProbeError as error:
        # The next question brings the pool back to its size, or stays open too.
        pool.findings.leave_open(question.names, str(error))


def _agreed() -> bool:
    """Read a yes from standard input; any other answer, and the end of input, is a no."""
    click.echo("Go on? [y/N] ", nl=False, err=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _configuration(pool: ThrowawayPool, image: str) -> dict[str, Any]:
    """The image with the node agent that Batch names for it. Raises ProbeError if Batch does not offer the image."""
    names = ("publisher", "offer", "sku")
    wanted = dict(zip(names, image.split(":"), strict=False))
    if len(image.split(":")) != len(names):
        raise ProbeError(f"--image {image!r} is not publisher:offer:sku")
    reply = pool.send("GET", "/supportedimages", query="&maxresults=1000")
    if reply.outcome != ACCEPTED:
        raise ProbeError(f"the images that Batch supports could not be listed: {reply}")
    offered = []
    for row in (reply.body or {}).get("value", []):
        reference = row.get("imageReference", {})
        offered.append(":".join(str(reference.get(name)) for name in names))
        if all(str(reference.get(name)).lower() == wanted[name].lower() for name in names):
            return {"imageReference": {**wanted, "version": "latest"}, "nodeAgentSKUId": row["nodeAgentSKUId"]}
    raise ProbeError(f"Batch does not offer the image {image}; some that it does: {', '.join(offered[:_OFFERED])}")


def _leave(pool: ThrowawayPool, configuration: Mapping[str, Any], vm_size: str) -> None:
    """Make a pool of one node, and leave it for a second visit."""
    pool.create(configuration, vm_size, 1, keep=True)
    (node,) = pool.wait_ready()
    version = version_of(node)
    if not parse_image_version(version):
        # A second visit would see nothing either. The pool is still ours, so it is deleted.
        pool.findings.leave_open(["latestOfNewNodes"], NO_VERSION.format(version))
        return
    pool.is_ours = False  # it stays
    pool.findings.answer("leftPool", pool.ref.pool_id, f"one node at {version}")
    say(f"\nPool {pool.ref.pool_id} stays, with one node, AND COSTS MONEY until it is deleted.")
    say("Next: When a newer version of the image is out, ask the pool and delete it:")
    say(f"  batch-os probe {pool.ref.endpoint} --return-to {pool.ref.pool_id}")
