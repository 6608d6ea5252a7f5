"""What a provider says on a resource's row and under Diagnostics, and which resource a call is about.

The SDK passes no URN to a dynamic provider and has no way to speak while a call runs. Both are found here on private
parts of the SDK, each guarded; ``seams`` has the table of what is lost without them.
"""

from __future__ import annotations

import os
import re
import sys
import threading
from pathlib import Path
from typing import Any

import grpc

from batch_os_provider.engine.foreign_calls import up
from batch_os_provider.runtime import request_log

__all__ = [
    "GUARDED",
    "VARIABLE",
    "ResourceLog",
    "current_urn",
    "engine_address",
    "engine_stub",
    "is_read_by_a_program",
    "is_terminal",
]


_PREVIEWS = frozenset({b"preview", b"pre", b"plan"})


# pflag spells a true boolean in these ways, and takes short flags together: -rj. A short flag that takes a value
# ends such a group.
_JSON = re.compile(rb"--json(=(1|t|T|true|TRUE|True))?|-[^-scmptxvC]*j.*")


_CALLS = frozenset({"Check", "Diff", "Create", "Update", "Delete", "Read"})


# What private parts raise when they are not what they were.
GUARDED = (AttributeError, LookupError, TypeError, ValueError, ImportError, OSError, RuntimeError)


_stub_lock = threading.Lock()


_stub: Any = None


def current_urn() -> str:
    """The URN of the resource whose call this thread serves; ``""`` where it cannot be found."""
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
    """The voice of a rollout: one resource's row, and the diagnostics under it.

    Args:
        urn: the resource; ``""`` puts the lines on the stack's row.
        name: put before each line where there is no row to tell whose it is.

    """

    def __init__(self, urn: str, name: str) -> None:
        self._urn = urn
        self._name = name

    def status(self, text: str) -> None:
        """Replace the text on the row."""
        self._log("INFO", text, ephemeral=True)

    def info(self, text: str) -> None:
        """A line that stays."""
        self._log("INFO", text, ephemeral=False)

    def warn(self, text: str) -> None:
        """A warning that stays."""
        self._log("WARNING", text, ephemeral=False)

    def _log(self, severity: str, text: str, *, ephemeral: bool) -> None:
        line = text if self._urn else f"{self._name}: {text}"
        try:
            from pulumi.runtime.proto import engine_pb2  # noqa: PLC0415 - in the SDK, but not in its public face

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
                request_log.note(f"stderr is closed, unsaid: {text}")


def engine_address() -> str | None:
    """The engine's address is the plugin's last argument."""
    last = sys.argv[-1] if len(sys.argv) > 1 else ""
    host, separator, port = last.rpartition(":")
    return last if separator and host and port.isdigit() else None


def engine_stub() -> Any:
    """The engine's stub; one channel per process."""
    global _stub  # noqa: PLW0603 - one channel per process
    with _stub_lock:
        if _stub is None:
            from pulumi.runtime.proto import engine_pb2_grpc  # noqa: PLC0415 - in the SDK, not in its public face

            address = engine_address()
            if address is None:
                raise LookupError("no engine address in the arguments")
            _stub = engine_pb2_grpc.EngineStub(grpc.insecure_channel(address))
        return _stub


def is_terminal() -> bool:
    """Whether the engine's stdout is known to be a terminal that redraws rows; False where that cannot be known.

    Linux tells by /proc: the plugin's ancestor named ``pulumi`` has its stdout there.
    """
    if os.environ.get("CI"):  # Pulumi then prints a log, whatever stdout is
        return False
    try:
        process = _pulumi()
        if process is not None:
            stdout = str((process / "fd" / "1").readlink())
            return stdout.startswith(("/dev/pts/", "/dev/tty")) and b"--non-interactive" not in _arguments(process)
    except GUARDED as error:
        request_log.note(f"seam 'terminal' is missing: {type(error).__name__}: {error}")
    return False


def is_read_by_a_program() -> bool:
    """Whether messages end in a tail for programs: in `pulumi preview --json`, and where ``VARIABLE`` asks for it.

    The command line is that of the plugin's ancestor named ``pulumi``. Where there is none, or no /proc, it is not
    known who reads, and the answer is True: a person can skip a tail, and a program cannot do without.
    """
    asked = os.environ.get(VARIABLE, "").strip().lower()
    if asked in ("always", "never"):
        return asked == "always"
    try:
        process = _pulumi()
        return process is None or _is_json_preview(_arguments(process))
    except GUARDED as error:
        request_log.note(f"seam 'tail' is missing: {type(error).__name__}: {error}")
    return True


def _is_json_preview(arguments: list[bytes]) -> bool:
    """Whether a command line of the CLI is that of a preview which writes JSON."""
    options = arguments[: arguments.index(b"--")] if b"--" in arguments else arguments
    return not _PREVIEWS.isdisjoint(options) and any(_JSON.fullmatch(each) for each in options)


def _arguments(process: Path) -> list[bytes]:
    """The command line of a process, without the program's own name."""
    return (process / "cmdline").read_bytes().split(b"\0")[1:]


def _pulumi() -> Path | None:
    """The folder in /proc of our nearest ancestor named ``pulumi``; None where there is none."""
    pid = os.getpid()
    while pid > 1:
        process = Path("/proc") / str(pid)
        if (process / "comm").read_text(encoding="utf-8").strip() == "pulumi":
            return process
        stat = (process / "stat").read_text(encoding="utf-8")
        pid = int(stat.rpartition(")")[2].split()[1])
    return None


VARIABLE = "BATCH_OS_TAIL"
"""Environment variable: ``always`` or ``never`` decides on tails; anything else leaves it to ``engine``."""
