"""The seams between a dynamic provider and the Pulumi engine that the SDK leaves open.

The SDK's dynamic server ignores ``Cancel``, runs four calls at a time, turns every error into a traceback, passes no
URN to the provider, and keeps running after the engine has died. This module and its neighbours open these seams on
private parts of the SDK.

The same process serves dynamic resources of other packages. The seams change only our own calls. Other calls keep
their limit and their tracebacks, and are not cut off.

Each seam is guarded. If a private part is missing or has changed, the provider still works, and the debug log names
the missing seam. ``SEAMS`` says what the provider then lacks.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import FrameType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf import empty_pb2

from batch_os_provider.engine import foreign_calls
from batch_os_provider.engine.diagnostics import (
    GUARDED,
    engine_address,
    engine_stub,
)
from batch_os_provider.engine.foreign_calls import up
from batch_os_provider.errors import BatchOsError
from batch_os_provider.runtime import request_log
from batch_os_provider.runtime.cancellation import CancellationToken, StopReason

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["PROVEN_ON", "SEAMS", "WORKERS", "Seam", "attach", "stop", "wait_for_loss"]


@dataclass(frozen=True)
class Seam:
    """One place where the provider uses a private part of the SDK.

    ``without`` says what a user loses if that part is missing. Programs and documentation read these values.
    """

    name: str
    without: str


PROVEN_ON = {"Pulumi CLI": "3.259.0", "Pulumi SDK": "3.272.0"}
"""The versions on which the tests exercise every seam."""

SEAMS: tuple[Seam, ...] = (
    Seam("other width", "dynamic resources of other packages run more than four at once"),
    Seam("widen", "the provider works on at most four pools at once; the fifth waits for a free worker"),
    Seam("cancel", "the provider notices ^C only after the running rollouts have ended"),
    Seam("clean errors", "Pulumi prints a traceback before each error of this provider"),
    Seam(
        "urn",
        "lines stand on the stack's row instead of the resource's row, and the provider does not notice a pool that is "
        "declared twice",
    ),
    Seam("row status", "lines go to stderr, which Pulumi shows under Diagnostics"),
    Seam("watch", "after a kill -9 of the CLI, the plugin continues until its rollouts end"),
    Seam("other calls", "after a kill -9 of the CLI, the rollouts stop, but the plugin's process stays"),
    Seam("terminal", "node counts come every 30 s, also on a terminal"),
    Seam("tail", "the tail for programs ends each message of a preview, also where a person reads it"),
)
"""All seams. The debug log, `batch-os doctor` and docs/limits.md use these names."""

WORKERS = 1024
"""Maximum threads of the dynamic server. It creates a thread only for a call, so a high number costs nothing."""
WATCH_EVERY = 1.5
"""Seconds between two calls that check whether the engine is alive."""
_MISSES = 2
_EXIT_AFTER = 2.0
"""Seconds that our rollouts get to end, and then again the process."""
_LOOK_EVERY = 0.25
"""Seconds between two checks for calls of other packages, after the engine is gone."""
_CANCEL = "/pulumirpc.ResourceProvider/Cancel"

stop = CancellationToken()
"""Set by ^C and by the loss of the engine. Every wait in this process ends when it is set."""

_attached = threading.Lock()
_is_attached = False
_can_tell_calls = False


def attach() -> None:
    """Open the seams, once per plugin process. Does nothing outside a plugin process."""
    global _is_attached  # noqa: PLW0603 - a fact of the process
    main = sys.modules.get("__main__")
    if getattr(getattr(main, "__spec__", None), "name", "") != "pulumi.dynamic.__main__":
        return
    with _attached:
        if _is_attached:
            return
        _is_attached = True
    for name, seam in (
        ("other width", _keep_other_width),
        ("widen", _widen),
        ("cancel", _hear_cancel),
        ("clean errors", _clean_errors),
        ("other calls", _tell_calls_apart),
        ("watch", _watch),
    ):
        _open(name, seam)


def _open(name: str, seam: Callable[[], None]) -> None:
    try:
        seam()
    except GUARDED as error:
        request_log.note(f"seam {name!r} is missing: {type(error).__name__}: {error}")


def _executor() -> ThreadPoolExecutor:
    """The executor of this worker thread. Raises one of GUARDED in another thread."""
    # The first argument of an executor's worker thread is a weak reference to the executor.
    executor = threading.current_thread()._args[0]()  # type: ignore[attr-defined]  # noqa: SLF001 - the seam itself
    if not isinstance(executor, ThreadPoolExecutor):
        raise TypeError("the current thread is not a worker of an executor")
    return executor


def _keep_other_width() -> None:
    """Keep the present limit for calls of other packages. Must run before ``_widen``."""
    foreign_calls.keep_width(sys.modules["__main__"], _executor()._max_workers)  # noqa: SLF001 - the seam itself


def _widen() -> None:
    """Let the dynamic server run all calls that the engine sends; the SDK allows four at a time."""
    executor = _executor()
    executor._max_workers = max(WORKERS, executor._max_workers)  # noqa: SLF001 - the seam itself


def _hear_cancel() -> None:
    """Handle ``Cancel``, which the SDK ignores; the SDK still sends the answer."""
    frame: FrameType | None = sys._current_frames()[threading.main_thread().ident or 0]  # noqa: SLF001 - the seam itself
    for candidate in up(frame):
        server = candidate.f_locals.get("server")
        if isinstance(server, grpc.Server):
            handlers = server._state.generic_handlers  # noqa: SLF001 - the seam itself
            # Insert the handler by hand: the public method refuses one after the server's start.
            handlers.insert(0, _CancelHandler(list(handlers)))
            return
    raise LookupError("no grpc server in the main thread")


class _CancelHandler(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc has no types
    """Sets the stop token on ``Cancel``, then answers with the SDK's own handlers."""

    def __init__(self, before: list[grpc.GenericRpcHandler]) -> None:
        self._before = before

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        if details.method != _CANCEL:
            return None
        answers = (handler.service(details) for handler in self._before)
        answer = next((each for each in answers if each is not None), None)

        def cancel(request: object, context: object) -> object:
            stop.set(StopReason.CANCELED)
            return empty_pb2.Empty() if answer is None else answer.unary_unary(request, context)

        return grpc.unary_unary_rpc_method_handler(
            cancel,
            request_deserializer=empty_pb2.Empty.FromString,
            response_serializer=empty_pb2.Empty.SerializeToString,
        )


def _clean_errors() -> None:
    """Print only the text of our own errors. Bugs and errors of other packages keep their traceback."""
    main = sys.modules["__main__"]
    if main.traceback is not traceback:
        raise AttributeError("the dynamic server does not format errors with traceback")
    main.traceback = SimpleNamespace(**{**vars(traceback), "format_exc": _format_exc})  # type: ignore[attr-defined]


def _format_exc(*args: Any, **kwargs: Any) -> str:
    error = sys.exc_info()[1]
    return str(error) if isinstance(error, BatchOsError) else traceback.format_exc(*args, **kwargs)


def _tell_calls_apart() -> None:
    """Check that frames identify calls of other packages. This thread must serve a call of our own."""
    global _can_tell_calls  # noqa: PLW0603 - a fact of the process
    foreign_calls.confirm_ours(sys.modules["__main__"])
    _can_tell_calls = True


def _watch() -> None:
    """End our rollouts when the engine is gone: without an engine, no state records what they do."""
    if engine_address() is None:
        raise LookupError("no engine address in the arguments")
    engine = engine_stub()
    threading.Thread(target=_watch_engine, args=(engine,), daemon=True, name="batch-os-watch").start()


def wait_for_loss(engine: Any, pause: threading.Event) -> None:
    """Block until the engine no longer answers, then end our rollouts. ``pause`` is never set."""
    from pulumi.runtime.proto import engine_pb2  # noqa: PLC0415 - a private module of the SDK

    misses = 0
    # Do not wait on the stop token: ^C sets it, and the watch must continue after ^C.
    while misses < _MISSES:
        pause.wait(WATCH_EVERY)
        try:
            engine.GetRootResource(engine_pb2.GetRootResourceRequest(), timeout=WATCH_EVERY)
        except grpc.RpcError as error:
            # Any answer, even an error, shows that the engine is alive.
            misses = misses + 1 if error.code() is grpc.StatusCode.UNAVAILABLE else 0
        else:
            misses = 0
    stop.set(StopReason.ENGINE_GONE)
    request_log.note("the engine is gone; our rollouts end")
    pause.wait(_EXIT_AFTER)


def _watch_engine(engine: Any) -> None:
    pause = threading.Event()
    wait_for_loss(engine, pause)
    try:
        if not _can_tell_calls:
            raise LookupError("calls of other packages cannot be told apart")
        while foreign_calls.are_running(sys.modules["__main__"]):
            pause.wait(_LOOK_EVERY)
    except GUARDED as error:
        request_log.note(f"this process stays: {type(error).__name__}: {error}")
        return
    request_log.note("the engine is gone and no call of another package runs; this process ends")
    _end(pause)


def _end(pause: threading.Event) -> None:
    """End this process as the engine ends a plugin: first an interrupt, which runs exit handlers, then a kill."""
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        pause.wait(_EXIT_AFTER)
    os._exit(1)
