"""Recognises and limits calls of other packages' dynamic providers in the same plugin process.

All Python dynamic resources without an explicit provider share one process, and ``seams`` changes its server. This
change must not affect other packages: their calls are not cut off, and no more of them run at a time than the SDK
allows. No public part of the SDK says which provider a thread serves, so this module reads the thread's frames.
"""

from __future__ import annotations

import functools
import sys
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType, ModuleType

__all__ = ["are_running", "confirm_ours", "is_ours", "keep_width", "up"]

_PACKAGE = "batch_os_provider."
_LIMITED = frozenset({"create", "update", "delete", "read"})


def up(frame: FrameType | None) -> Iterator[FrameType]:
    """The frame and its callers."""
    while frame is not None:
        yield frame
        frame = frame.f_back


def is_ours(provider: object) -> bool:
    """Whether a dynamic provider is of a class of this package or of a subclass."""
    return not isinstance(provider, _Limited) and any(
        each.__module__.startswith(_PACKAGE) for each in type(provider).__mro__
    )


def are_running(server: ModuleType) -> bool:
    """Whether a call of another package's provider is running.

    Args:
        server: the module of the SDK that serves the calls.
    """
    main = threading.main_thread().ident
    frames = sys._current_frames().items()  # noqa: SLF001 - the seam itself
    return any(_is_foreign(frame, server) for ident, frame in frames if ident != main)


def confirm_ours(server: ModuleType) -> None:
    """Check that the frames of this thread, which serves a call of this package, show that. Raises LookupError."""
    frames = [frame for frame in up(sys._getframe()) if frame.f_globals is vars(server)]  # noqa: SLF001 - the seam itself
    if not any(is_ours(frame.f_locals.get("provider")) for frame in frames):
        raise LookupError("the frames of the dynamic server do not show which provider they serve")


def _is_foreign(frame: FrameType, server: ModuleType) -> bool:
    """Whether the thread serves a call of another package. A call that has just started counts as one."""
    serving = [each for each in up(frame) if each.f_globals is vars(server)]
    return bool(serving) and not any(is_ours(each.f_locals.get("provider")) for each in serving)


def keep_width(server: ModuleType, width: int) -> None:
    """Limit other packages' providers to ``width`` resources at once, as before ``seams`` widened the server.

    Checks and diffs have no limit, because the engine sends them one at a time and our own wait behind them.

    Raises:
        TypeError: the server has no function ``get_provider``.
    """
    find: Callable[..., object] = server.get_provider
    if not callable(find):
        raise TypeError("get_provider of the dynamic server is not a function")
    slots = threading.BoundedSemaphore(width)

    @functools.wraps(find)
    def get_provider(*args: Any, **kwargs: Any) -> object:
        provider = find(*args, **kwargs)
        return provider if is_ours(provider) else _Limited(provider, slots)

    server.get_provider = get_provider  # type: ignore[attr-defined]


class _Limited:
    """Wraps a provider of another package: create, update, delete and read wait for a free slot."""

    def __init__(self, provider: object, slots: threading.BoundedSemaphore) -> None:
        self._provider = provider
        self._slots = slots

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._provider, name)
        if name not in _LIMITED:
            return value

        @functools.wraps(value)
        def call(*args: Any, **kwargs: Any) -> Any:
            with self._slots:
                return value(*args, **kwargs)

        return call
