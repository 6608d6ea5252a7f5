"""Starts a plugin process as the engine does, beside a stand-in for the engine."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import grpc
from google.protobuf import empty_pb2

__all__ = ["SECONDS", "PluginError", "engine", "last_line", "protocol", "started"]

SECONDS = 60.0
"""The longest time for a plugin to start, and for each answer."""
_ENGINE_SERVICE = "pulumirpc.Engine"


class PluginError(Exception):
    """No plugin could be started, or it did not answer; the text says why."""


def protocol() -> ModuleType:
    """The messages of the engine's protocol, a private part of the SDK.

    Raises:
        PluginError: the SDK is missing, too old or broken; each such SDK fails in its own way.
    """
    try:
        from pulumi.runtime import proto  # noqa: PLC0415 - what a check has to find out
        from pulumi.runtime.proto import engine_pb2, provider_pb2, provider_pb2_grpc  # noqa: F401, PLC0415 - as above
    except Exception as error:
        raise PluginError(f"the Pulumi SDK cannot be imported: {error}") from error
    return proto


@contextmanager
def started(command: Sequence[str], environ: Mapping[str, str] | None = None) -> Iterator[Any]:
    """The calls of a plugin process that lives until the end of the block.

    Args:
        command: the program, its arguments, and the engine's address.
        environ: its environment. Default: that of this process.

    Raises:
        PluginError: it prints no port, or as ``protocol``.
        OSError: the program cannot be started.
    """
    stub = protocol().provider_pb2_grpc.ResourceProviderStub
    with subprocess.Popen(  # noqa: S603 - what Pulumi would start
        command,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
    ) as process:
        # If anything hangs, the end of the process ends the wait for it too.
        end = threading.Timer(SECONDS, process.kill)
        end.start()
        try:
            port = process.stdout.readline().strip() if process.stdout else ""
            if not port.isdigit():
                process.kill()
                raise PluginError(last_line(process.stderr.read() if process.stderr else ""))
            with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
                yield stub(channel)
        finally:
            end.cancel()
            process.kill()


def engine(rows: list[Any]) -> tuple[grpc.Server, str]:
    """A stand-in for the engine, which stores the lines that it receives. Raises PluginError as ``protocol``."""
    messages = protocol().engine_pb2

    def hear(request: Any, _context: object) -> empty_pb2.Empty:
        rows.append(request)
        return empty_pb2.Empty()

    def root(_request: object, _context: object) -> Any:
        return messages.GetRootResourceResponse()

    calls = {
        "Log": grpc.unary_unary_rpc_method_handler(
            hear, messages.LogRequest.FromString, empty_pb2.Empty.SerializeToString
        ),
        "GetRootResource": grpc.unary_unary_rpc_method_handler(
            root,
            messages.GetRootResourceRequest.FromString,
            messages.GetRootResourceResponse.SerializeToString,
        ),
    }
    server = grpc.server(ThreadPoolExecutor(max_workers=4))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_ENGINE_SERVICE, calls),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, f"127.0.0.1:{port}"


def last_line(text: str | None) -> str:
    """The last line of what a process printed, or a word if it printed nothing."""
    return (text or "").strip().rpartition("\n")[2] or "it printed nothing"
