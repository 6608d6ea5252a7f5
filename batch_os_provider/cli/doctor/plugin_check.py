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
import sys
import tempfile
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import struct_pb2

from batch_os_provider.cli.doctor.plugin_process import SECONDS, PluginError, engine, last_line, protocol, started
from batch_os_provider.engine import pulumi_process
from batch_os_provider.runtime.request_log import VARIABLE

__all__ = ["missing_seams"]

_URN = "urn:pulumi:doctor::doctor::pulumi-python:dynamic/batch:PoolOsVersion::doctor"
_OLD_VERSION = "WA-GUEST-OS-4.58_201809-01"


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
        notes = (
            [json.loads(line).get("note", "") for line in log.read_text(encoding="utf-8").splitlines()]
            if log.exists()
            else []
        )
    missing = {}
    for note in notes:
        if note.startswith("seam '"):
            name, _, why = note.removeprefix("seam '").partition("' is missing: ")
            missing[name] = why
    if not rows and "row status" not in missing:
        missing["row status"] = "the provider sent no line"
    if rows and "urn" not in missing and _URN not in [row.urn for row in rows]:
        missing["urn"] = "no line came for the resource"
    missing |= dict.fromkeys(("terminal", "tail"), why) if (why := pulumi_process.not_shown()) else {}
    return missing


def _check_once(address: str, log: Path) -> None:
    """Have a plugin process check one pool."""
    from batch_os_provider.provider import PoolOsVersionProvider  # noqa: PLC0415 - it imports Pulumi

    requests = protocol().provider_pb2
    provider = base64.b64encode(pickle.dumps(PoolOsVersionProvider())).decode()
    pool = {"account_endpoint": "https://doctor.invalid", "pool_id": "doctor", "target_os_version": _OLD_VERSION}
    command = [sys.executable, "-u", "-m", "pulumi.dynamic", address]
    with started(command, {**os.environ, VARIABLE: str(log)}) as plugin:
        plugin.Configure(requests.ConfigureRequest(args=_struct({"batch:previewLook": "false"})), timeout=SECONDS)
        news = _struct({**pool, "__provider": provider})
        plugin.Check(requests.CheckRequest(urn=_URN, olds=_struct({}), news=news), timeout=SECONDS)


def _struct(values: dict[str, str]) -> struct_pb2.Struct:
    made = struct_pb2.Struct()
    made.update(values)
    return made
