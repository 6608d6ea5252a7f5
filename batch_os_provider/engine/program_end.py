"""The end of a user's Pulumi program: a moment to speak, and an interrupt that prints no traceback.

This package is a guest in the program's process and must not change how the program runs. Two things happen at its end
nevertheless. What only the whole program tells (the ``--parallel`` hint) is said then. And language hosts since Pulumi
CLI 3.229 send SIGINT to a program after a failed or canceled update; Python then prints some 25 lines of
KeyboardInterrupt after the error that matters. The signal, the exception and the exit code stay as they are; only that
print is left out.
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
"""The script by which Pulumi's language host runs a program; its frames are below all others."""
_INLINE = "pulumi.automation._server"
"""The module of the SDK that runs a program given as a function (Automation API)."""

_lock = threading.Lock()
_is_quiet = False
_waiting: set[asyncio.Task[None]] = set()


def at_end(speak: Callable[[], None]) -> None:
    """Call ``speak`` once at the end of the program that runs: when its process ends, or its event loop.

    A program that is a function of an Automation API driver has no process of its own. There the SDK cancels, at the
    end of the program, every task that is left in the loop: one is left for that. ``speak`` may have to bear an engine
    that is gone.
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
    """Print no traceback when the language host interrupts this program. Does nothing anywhere else."""
    global _is_quiet  # noqa: PLW0603 - a fact of the process
    with _lock:
        if _is_quiet or not _is_launched(sys._getframe()):  # noqa: SLF001 - private, guarded by what is found
            return
        _is_quiet = True
        before, unraisable_before = sys.excepthook, sys.unraisablehook

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if is_hosts_interrupt(error, trace):
            # The host interrupts twice. The program is over; its last steps are not worth a second traceback.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        else:
            before(kind, error, trace)

    def unraisable(what: Any) -> None:
        # Past the program's end, where only threads are awaited and exit handlers run, the launcher's frame is gone.
        is_over = _is_main() and not _is_launched(sys._getframe())  # noqa: SLF001 - as above
        if what.exc_type is not KeyboardInterrupt or not is_over:
            unraisable_before(what)

    sys.excepthook, sys.unraisablehook = hook, unraisable


def is_hosts_interrupt(error: BaseException, trace: TracebackType | None) -> bool:
    """Whether an error is an interrupt that found the launcher waiting, and not the program's own code at work."""
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
    return os.path.basename(frame.f_code.co_filename) == LAUNCHER  # noqa: PTH119 - a name is asked, not a file


def _traced(trace: TracebackType | None) -> Iterator[FrameType]:
    while trace is not None:
        yield trace.tb_frame
        trace = trace.tb_next
