"""The command ``pulumi-resource-batchos``, which the Pulumi engine starts.

The process serves one engine: it prints its port, and ends with the engine. An executor of its own runs all calls that
the engine sends at the same time.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import grpc

from batch_os_provider.engine import diagnostics, seams
from batch_os_provider.plugin import messages
from batch_os_provider.runtime import library_warnings
from batch_os_provider.runtime.cancellation import StopReason

if TYPE_CHECKING:
    from batch_os_provider.plugin.server import BatchosProvider

__all__ = ["GRACE", "after_refusal", "main", "serve"]

GRACE = 2.0
"""Seconds that calls get to end, after a signal or the loss of the engine."""


_YAML = re.compile(rb"""\bruntime["']?\s*:\s*\{?\s*(["']?name["']?\s*:\s*)?["']?yaml\b""")


def after_refusal(folder: Path) -> str:
    """How to see all refusals: the engine ends a preview at some of them. ``folder`` is that of the program.

    Empty where `batch-os adopt` cannot read the program: it reads Python and YAML.
    """
    try:
        text = (folder / "Pulumi.yaml").read_bytes()
    except OSError:
        return ""
    return f"Pulumi may stop here; {diagnostics.EVERY_REFUSAL}" if _YAML.search(text) else ""


def serve(provider: BatchosProvider) -> tuple[grpc.Server, int]:
    """Start a server on loopback. Returns it with its port."""
    from pulumi.runtime.proto import provider_pb2_grpc  # noqa: PLC0415 - see `messages`

    server = grpc.server(ThreadPoolExecutor(seams.WORKERS, "batchos"), options=(messages.LARGEST,))
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(provider, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, port


def main() -> NoReturn:
    """Serve the engine until it ends this process, or is gone. The exit code is 2 without an engine, else 0."""
    if diagnostics.engine_address() is None:
        print(  # noqa: T201 - for a person
            "pulumi-resource-batchos is a plugin of Pulumi: the Pulumi CLI starts it for programs that use batchos.",
            file=sys.stderr,
        )
        sys.exit(2)
    library_warnings.hear()
    messages.load()
    from batch_os_provider.plugin.server import BatchosProvider  # noqa: PLC0415 - see `messages`

    provider = BatchosProvider()
    diagnostics.open_door(diagnostics.Door(provider.spell, after_refusal=after_refusal(Path())))
    server, port = serve(provider)
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    ends = [signal.SIGINT, signal.SIGTERM]
    if sys.platform == "win32":
        ends.append(signal.SIGBREAK)  # by which the engine ends a plugin there
    for number in ends:
        signal.signal(number, lambda _number, _frame: _end(server, StopReason.CANCELED))
    threading.Thread(target=_watch, args=(server,), daemon=True, name="batchos-watch").start()
    server.wait_for_termination()
    # The executor's threads would hold up the end of the process; nothing is left to answer.
    os._exit(0)


def _end(server: grpc.Server, reason: StopReason) -> None:
    """End all rollouts, so that they can still report what they leave, and then the server."""
    seams.stop.set(reason)
    threading.Thread(target=server.stop, args=(GRACE,), daemon=True, name="batchos-end").start()


def _watch(server: grpc.Server) -> None:
    """End with the engine: without it, no state records what a rollout does."""
    seams.wait_for_loss(diagnostics.engine_stub(), threading.Event())
    _end(server, StopReason.ENGINE_GONE)
