"""Calls of other packages' dynamic providers, which run in the same plugin process as ours.

All Python dynamic resources that name no provider of their own share one process, and the server in it is patched for
our rollouts. Other packages must find it as it was: their calls are not cut off, and no more of them run at a time than
the SDK allows. Nothing public of the SDK tells whose call a thread serves; its frames do.
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
    """Whether a dynamic provider is one of this package, or made from one."""
    return not isinstance(provider, _Limited) and any(
        each.__module__.startswith(_PACKAGE) for each in type(provider).__mro__
    )


def are_running(server: ModuleType) -> bool:
    """Whether a call of another package's provider is being served.

    Args:
        server: the SDK's module whose functions serve the calls.
    """
    main = threading.main_thread().ident
    frames = sys._current_frames().items()  # noqa: SLF001 - the seam itself
    return any(_is_foreign(frame, server) for ident, frame in frames if ident != main)


def confirm_ours(server: ModuleType) -> None:
    """Check that a call of ours, which this thread serves, is known as ours. Raises LookupError where it is not."""
    frames = [frame for frame in up(sys._getframe()) if frame.f_globals is vars(server)]  # noqa: SLF001 - the seam itself
    if not any(is_ours(frame.f_locals.get("provider")) for frame in frames):
        raise LookupError("the frames of the dynamic server do not tell whose call they serve")


def _is_foreign(frame: FrameType, server: ModuleType) -> bool:
    """Whether the thread serves a call that is not known to be ours: one that begins is not known yet."""
    serving = [each for each in up(frame) if each.f_globals is vars(server)]
    return bool(serving) and not any(is_ours(each.f_locals.get("provider")) for each in serving)


def keep_width(server: ModuleType, width: int) -> None:
    """Let other packages' providers work on at most ``width`` resources at once, as before the server was widened.

    Checks and diffs are not limited: the engine sends them one after the other, and ours wait behind them.
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
    """A provider of another package: as it is, but its work waits for a free slot."""

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
