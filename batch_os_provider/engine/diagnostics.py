"""Lines on a resource's row and under Diagnostics, and the resource that a call is about.

The SDK passes no URN to a dynamic provider, and it offers no way to write a line while a call runs. This module uses
private parts of the SDK for both. Each use is guarded; ``seams.SEAMS`` says what the provider lacks without it.
"""

from __future__ import annotations

import os
import re
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import grpc

from batch_os_provider.engine import pulumi_process
from batch_os_provider.engine.foreign_calls import up
from batch_os_provider.runtime import request_log

__all__ = [
    "DIRECT",
    "EVERY_REFUSAL",
    "GUARDED",
    "VARIABLE",
    "Door",
    "ResourceLog",
    "about",
    "current_urn",
    "door",
    "engine_address",
    "engine_stub",
    "is_read_by_a_program",
    "is_terminal",
    "open_door",
]


DIRECT = ("grpc.enable_http_proxy", 0)
"""The option of a channel to a process of this machine, which a proxy of the environment cannot reach."""
_PREVIEWS = frozenset({"preview", "pre", "plan"})
_TERMINALS = ("/dev/pts/", "/dev/tty")


# pflag accepts these spellings of true, and groups of short flags such as -rj. A short flag with a value ends a group.
_JSON = re.compile(r"--json(=(1|t|T|true|TRUE|True))?|-[^-scmptxvC]*j.*")


_CALLS = frozenset({"Check", "Diff", "Create", "Update", "Delete", "Read"})


# The errors that a changed private part of the SDK can raise.
GUARDED = (AttributeError, LookupError, TypeError, ValueError, ImportError, OSError, RuntimeError)


_stub_lock = threading.Lock()


_stub: Any = None


EVERY_REFUSAL = "`batch-os adopt {endpoint} --check .` shows every pool that is refused"
"""Where to see what a preview that ends early leaves out; ``{endpoint}`` is the account."""


@dataclass(frozen=True)
class Door:
    """What differs between the providers of this package in their messages.

    ``spell`` writes a message with the names of the program's language. ``after_refusal`` follows the next step of a
    refusal in a preview; ``{endpoint}`` in it is the account.
    """

    spell: Callable[[str], str] = str
    after_refusal: str = f"Pulumi stops here; {EVERY_REFUSAL}"


_door = Door()
_urn: ContextVar[str] = ContextVar("urn", default="")


def door() -> Door:
    """The door of this process: that of Python programs, unless ``open_door`` has set another one."""
    return _door


def open_door(other: Door) -> None:
    """Set the door of this process."""
    global _door  # noqa: PLW0603 - a fact of the process
    _door = other


@contextmanager
def about(urn: str) -> Iterator[None]:
    """Inside this context the calls of this thread are about a resource: for a server that knows its requests."""
    before = _urn.set(urn)
    try:
        yield
    finally:
        _urn.reset(before)


def current_urn() -> str:
    """The URN of the resource that this thread's call is about; ``""`` if it cannot be found."""
    if _urn.get():
        return _urn.get()
    try:
        for frame in up(sys._getframe()):  # noqa: SLF001 - the seam itself
            if frame.f_code.co_name in _CALLS:
                urn = getattr(frame.f_locals.get("request"), "urn", "")
                if isinstance(urn, str) and urn:
                    return urn
    except GUARDED as error:
        request_log.note(f"seam 'urn' is missing: {type(error).__name__}: {error}")
    return ""


class ResourceLog:
    """Writes lines on the row of one resource and under Diagnostics.

    Args:
        urn: the resource; ``""`` writes on the stack's row.
        name: starts each line on the stack's row and on stderr, so that a reader can see the pool.

    """

    def __init__(self, urn: str, name: str) -> None:
        self._urn = urn
        self._name = name

    def status(self, text: str) -> None:
        """Replace the text on the row."""
        self._log("INFO", text, ephemeral=True)

    def info(self, text: str) -> None:
        """Write a line that stays."""
        self._log("INFO", text, ephemeral=False)

    def warn(self, text: str) -> None:
        """Write a warning that stays."""
        self._log("WARNING", text, ephemeral=False)

    def _log(self, severity: str, text: str, *, ephemeral: bool) -> None:
        text = _door.spell(text)
        line = text if self._urn else f"{self._name}: {text}"
        try:
            from pulumi.runtime.proto import engine_pb2  # noqa: PLC0415 - a private module of the SDK

            request = engine_pb2.LogRequest(
                severity=engine_pb2.LogSeverity.Value(severity),
                message=line,
                urn=self._urn,
                streamId=0,
                ephemeral=ephemeral,
            )
            engine_stub().Log(request, timeout=5)
        except (*GUARDED, grpc.RpcError) as error:
            request_log.note(f"seam 'row status' is missing: {type(error).__name__}: {error}")
            if not request_log.to_stderr(f"{self._name}: {text}"):
                request_log.note(f"stderr is closed, so this line was lost: {text}")


def engine_address() -> str | None:
    """The engine's address, which is the plugin's last argument; None outside a plugin process."""
    last = sys.argv[-1] if len(sys.argv) > 1 else ""
    host, separator, port = last.rpartition(":")
    return last if separator and host and port.isdigit() else None


def engine_stub() -> Any:
    """The engine's stub, with one channel per process. Raises LookupError outside a plugin process."""
    global _stub  # noqa: PLW0603 - one channel per process
    with _stub_lock:
        if _stub is None:
            from pulumi.runtime.proto import engine_pb2_grpc  # noqa: PLC0415 - a private module of the SDK

            address = engine_address()
            if address is None:
                raise LookupError("no engine address in the arguments")
            _stub = engine_pb2_grpc.EngineStub(grpc.insecure_channel(address, options=(DIRECT,)))
        return _stub


def is_terminal() -> bool:
    """Whether the engine's stdout is a terminal that redraws rows; False if that is not known.

    The answer comes from the stdout of the plugin's ancestor process ``pulumi``.
    """
    if os.environ.get("CI"):  # Pulumi then prints a log, also on a terminal
        return False
    try:
        cli = pulumi_process.find()
    except GUARDED as error:
        request_log.note(f"seam 'terminal' is missing: {type(error).__name__}: {error}")
        return False
    return cli is not None and cli.stdout.startswith(_TERMINALS) and "--non-interactive" not in cli.arguments


def is_read_by_a_program() -> bool:
    """Whether messages end in a tail for programs: in `pulumi preview --json`, and if ``VARIABLE`` is ``always``.

    The answer comes from the command line of the plugin's ancestor process ``pulumi``. Without this process, or where
    the system does not show it, the reader is not known. The answer is then True: a person can skip a tail, but a
    program needs it.
    """
    asked = os.environ.get(VARIABLE, "").strip().lower()
    if asked in ("always", "never"):
        return asked == "always"
    try:
        cli = pulumi_process.find()
    except GUARDED as error:
        request_log.note(f"seam 'tail' is missing: {type(error).__name__}: {error}")
        return True
    return cli is None or _is_json_preview(cli.arguments)


def _is_json_preview(arguments: Sequence[str]) -> bool:
    """Whether the CLI's arguments start a preview with JSON output."""
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    return not _PREVIEWS.isdisjoint(options) and any(_JSON.fullmatch(each) for each in options)


VARIABLE = "BATCH_OS_TAIL"
"""Environment variable: ``always`` or ``never`` decides on tails; with another value the command line decides."""
