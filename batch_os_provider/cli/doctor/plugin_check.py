"""Start the provider as Pulumi does, and find out which seams to the engine are missing.

The seams of ``engine`` depend on private parts of Pulumi's SDK, gRPC and Python. No document says which version has
them, so they are tried: with a real plugin process of the SDK, a stand-in for the engine, and one ``Check`` of a pool
with an old version. The provider then opens every seam, and writes a line on the pool's row. No call goes to Batch.
"""

from __future__ import annotations

import base64
import json
import os
import pickle
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import empty_pb2, struct_pb2

from batch_os_provider.runtime.request_log import VARIABLE

__all__ = ["SECONDS", "PluginError", "engine", "last_line", "load_sdk", "missing_seams"]

SECONDS = 60.0
"""The longest time for the plugin to start, and for each answer."""
_URN = "urn:pulumi:doctor::doctor::pulumi-python:dynamic/batch:PoolOsVersion::doctor"
_OLD_VERSION = "WA-GUEST-OS-4.58_201809-01"
_ENGINE_SERVICE = "pulumirpc.Engine"


class PluginError(Exception):
    """No plugin could be started, or it did not answer; the text says why."""


def load_sdk() -> None:
    """Import the SDK. Call it in the main thread: an SDK before 3.224 needs the loop of that thread."""
    import pulumi.runtime.proto  # noqa: F401, PLC0415 - as below


def missing_seams() -> dict[str, str]:
    """The missing seams, each with the reason.

    Raises:
        PluginError: the provider cannot be started.
    """
    rows: list[Any] = []
    with tempfile.TemporaryDirectory(prefix="batch-os-") as scratch:
        log = Path(scratch) / "log"
        server, address = engine(rows)
        try:
            _check_once(address, log)
        except grpc.RpcError as error:
            raise PluginError(f"the plugin process failed: {last_line(error.details())}") from error
        finally:
            server.stop(None)
        notes = [json.loads(line).get("note", "") for line in log.read_text().splitlines()] if log.exists() else []
    missing = {}
    for note in notes:
        if note.startswith("seam '"):
            name, _, why = note.removeprefix("seam '").partition("' is missing: ")
            missing[name] = why
    if not rows and "row status" not in missing:
        missing["row status"] = "the provider sent no line"
    if rows and "urn" not in missing and _URN not in [row.urn for row in rows]:
        missing["urn"] = "no line came for the resource"
    if not Path("/proc/self/stat").exists():
        missing |= dict.fromkeys(("terminal", "tail"), "this system has no /proc")
    return missing


def engine(rows: list[Any]) -> tuple[grpc.Server, str]:
    """A stand-in for the engine, which stores the lines that it receives."""
    from pulumi.runtime.proto import engine_pb2  # noqa: PLC0415 - as in engine: a private part of the SDK

    def hear(request: Any, _context: object) -> empty_pb2.Empty:
        rows.append(request)
        return empty_pb2.Empty()

    def root(_request: object, _context: object) -> Any:
        return engine_pb2.GetRootResourceResponse()

    calls = {
        "Log": grpc.unary_unary_rpc_method_handler(
            hear, engine_pb2.LogRequest.FromString, empty_pb2.Empty.SerializeToString
        ),
        "GetRootResource": grpc.unary_unary_rpc_method_handler(
            root,
            engine_pb2.GetRootResourceRequest.FromString,
            engine_pb2.GetRootResourceResponse.SerializeToString,
        ),
    }
    server = grpc.server(ThreadPoolExecutor(max_workers=4))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_ENGINE_SERVICE, calls),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, f"127.0.0.1:{port}"


def _check_once(engine: str, log: Path) -> None:
    """Have a plugin process check one pool."""
    from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc  # noqa: PLC0415 - as above

    from batch_os_provider.provider import PoolOsVersionProvider  # noqa: PLC0415 - it imports Pulumi

    provider = base64.b64encode(pickle.dumps(PoolOsVersionProvider())).decode()
    pool = {"account_endpoint": "https://doctor.invalid", "pool_id": "doctor", "target_os_version": _OLD_VERSION}
    with subprocess.Popen(  # noqa: S603 - this Python, the SDK's own module
        [sys.executable, "-u", "-m", "pulumi.dynamic", engine],
        env={**os.environ, VARIABLE: str(log)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
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
                stub = provider_pb2_grpc.ResourceProviderStub(channel)
                stub.Configure(
                    provider_pb2.ConfigureRequest(args=_struct({"batch:previewLook": "false"})), timeout=SECONDS
                )
                stub.Check(
                    provider_pb2.CheckRequest(
                        urn=_URN, olds=_struct({}), news=_struct({**pool, "__provider": provider})
                    ),
                    timeout=SECONDS,
                )
        finally:
            end.cancel()
            process.kill()


def _struct(values: dict[str, str]) -> struct_pb2.Struct:
    made = struct_pb2.Struct()
    made.update(values)
    return made


def last_line(text: str | None) -> str:
    """The last line of what a process printed, or a word if it printed nothing."""
    return (text or "").strip().rpartition("\n")[2] or "it printed nothing"
