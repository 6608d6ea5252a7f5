"""The end of a user's Pulumi program: runs functions there, and prints no traceback for the language host's interrupt.

This package must not change how the program runs, with two exceptions at the program's end. The ``--parallel`` hint
needs the complete program, so it comes then. And language hosts since Pulumi CLI 3.229 send SIGINT to a program after a
failed or canceled update. Python then prints about 25 lines of KeyboardInterrupt after the error that matters. This
module suppresses only these lines: the signal, the exception and the exit code stay the same.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import signal
import sys
import threading
from types import TracebackType
from typing import TYPE_CHECKING, Any

from batch_os_provider.engine.foreign_calls import up

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

__all__ = ["at_end", "be_quiet", "is_hosts_interrupt"]

LAUNCHER = "pulumi-language-python-exec"
"""The script with which Pulumi's language host runs a program. Its frame is the outermost."""
_INLINE = "pulumi.automation._server"
"""The module of the SDK that runs a function as a program (Automation API)."""

_lock = threading.Lock()
_is_quiet = False
_waiting: set[asyncio.Task[None]] = set()


def at_end(speak: Callable[[], None]) -> None:
    """Call ``speak`` once at the end of the present program: when its process ends, or its event loop.

    A program that is a function (Automation API) shares the process of its driver. At the end of such a program, the
    SDK cancels all tasks that are left in the loop, so this function leaves a task there. ``speak`` must handle an
    engine that is gone.
    """
    if not any(frame.f_globals.get("__name__") == _INLINE for frame in up(sys._getframe())):  # noqa: SLF001 - private, guarded
        atexit.register(speak)
        return
    task = asyncio.get_running_loop().create_task(_at_cancel(speak))
    with _lock:
        _waiting.add(task)
    task.add_done_callback(_waiting.discard)


async def _at_cancel(speak: Callable[[], None]) -> None:
    try:
        await asyncio.get_running_loop().create_future()
    except asyncio.CancelledError:
        speak()
        raise


def be_quiet() -> None:
    """Print no traceback when the language host interrupts this program. Does nothing in other processes."""
    global _is_quiet  # noqa: PLW0603 - a fact of the process
    with _lock:
        if _is_quiet or not _is_launched(sys._getframe()):  # noqa: SLF001 - private, guarded by what is found
            return
        _is_quiet = True
        before, unraisable_before = sys.excepthook, sys.unraisablehook

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if is_hosts_interrupt(error, trace):
            # The host interrupts twice. The program is over, so a second traceback would not help.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        else:
            before(kind, error, trace)

    def unraisable(what: Any) -> None:
        # After the program's end, Python waits for threads and runs exit handlers; the launcher's frame is then gone.
        is_over = _is_main() and not _is_launched(sys._getframe())  # noqa: SLF001 - as above
        if what.exc_type is not KeyboardInterrupt or not is_over:
            unraisable_before(what)

    sys.excepthook, sys.unraisablehook = hook, unraisable


def is_hosts_interrupt(error: BaseException, trace: TracebackType | None) -> bool:
    """Whether an error is a KeyboardInterrupt in the waiting launcher, not in the program's own code."""
    frames = list(_traced(trace))
    return (
        isinstance(error, KeyboardInterrupt)
        and bool(frames)
        and _is_launcher(frames[0])
        and not any(frame.f_globals.get("__name__") == "__main__" and not _is_launcher(frame) for frame in frames)
    )


def _is_main() -> bool:
    return threading.current_thread() is threading.main_thread()


def _is_launched(frame: FrameType | None) -> bool:
    return _is_main() and any(map(_is_launcher, up(frame)))


def _is_launcher(frame: FrameType) -> bool:
    return os.path.basename(frame.f_code.co_filename) == LAUNCHER  # noqa: PTH119 - only the name matters


def _traced(trace: TracebackType | None) -> Iterator[FrameType]:
    while trace is not None:
        yield trace.tb_frame
        trace = trace.tb_next
