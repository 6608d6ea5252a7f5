"""The hint that a preview gives when more pools change than the engine takes at once.

Why it exists: the engine runs ``--parallel`` steps at a time, four for each processor by default, and an upgrade
takes an hour. Sixty pools then take eight hours instead of one, and nothing says why. Only the program knows both
numbers: how many of its pools have no known outputs in a preview, which is how Pulumi shows a planned change, and
how many steps the engine runs. It says so at its end, when both are final.
"""

from __future__ import annotations

import atexit
import threading
from typing import Any

import grpc
import pulumi
from pulumi.runtime import settings

from batch_os_provider import requestlog

__all__ = ["count", "hint"]

_lock = threading.Lock()
_declared = 0
_unchanged = 0


def count(output: pulumi.Output[Any]) -> None:
    """Count a resource of this program; ``output`` is known in a preview only where nothing changes."""
    global _declared  # noqa: PLW0603 - one program is one process
    if not pulumi.runtime.is_dry_run():
        return
    with _lock:
        _declared += 1
        first = _declared == 1
    if first:
        atexit.register(_tell)
    output.apply(_is_known)


def _is_known(_value: object) -> None:
    global _unchanged  # noqa: PLW0603 - as above
    with _lock:
        _unchanged += 1


def hint(changes: int, at_once: int | None) -> str:
    """The hint; empty where none is needed, or where the engine has no limit."""
    if not at_once or at_once < 1 or changes <= at_once:
        return ""
    return f"{changes} to change, engine runs {at_once}: pass --parallel {changes}"


def _tell() -> None:
    from pulumi.runtime.proto import engine_pb2  # noqa: PLC0415 - in the SDK, but not in its public face

    text = hint(_declared - _unchanged, settings.SETTINGS.parallel)
    engine = settings.get_engine()
    if not text or engine is None:
        return
    try:
        engine.Log(engine_pb2.LogRequest(severity=engine_pb2.LogSeverity.Value("WARNING"), message=text), timeout=5)
    except grpc.RpcError as error:
        requestlog.note(f"the engine is gone, unsaid: {text}: {error}")
