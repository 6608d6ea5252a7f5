"""Leave out the warnings that azure and urllib3 log while they work for this package; keep all others.

If a process configures no logging, Python prints a library's warnings on stderr, and Pulumi shows them as lines of the
stack. Our errors say more than these warnings. Other packages in the same process use the same libraries, and their
users may need the warnings.
"""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["LIBRARIES", "hear"]

LIBRARIES = ("azure", "urllib3")
_PACKAGE = "batch_os_provider."


class _OthersOnly(logging.Handler):
    """Replaces Python's handler of last resort, which works only while a logger has no handler."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print a warning of another package, unless another handler prints it."""
        last = logging.lastResort
        if last is None or record.levelno < last.level or _works_for_us() or _has_another_handler(record.name):
            return
        last.handle(record)


_handler = _OthersOnly()


def hear() -> None:
    """Replace Python's own handler for these libraries. May be called repeatedly."""
    for name in LIBRARIES:
        logging.getLogger(name).addHandler(_handler)


def _works_for_us() -> bool:
    """Whether this package is among the callers of this thread."""
    frame = sys._getframe()  # noqa: SLF001 - logging itself finds callers so
    while frame is not None:
        name = frame.f_globals.get("__name__")  # code compiled at run time may have no name
        if isinstance(name, str) and name.startswith(_PACKAGE) and name != __name__:
            return True
        frame = frame.f_back  # type: ignore[assignment]  # None ends the loop
    return False


def _has_another_handler(name: str) -> bool:
    handlers = (handler for logger in _loggers(name) for handler in logger.handlers)
    return any(handler is not _handler for handler in handlers)


def _loggers(name: str) -> Iterator[logging.Logger]:
    """The logger, and the loggers to which it passes its records."""
    logger: logging.Logger | None = logging.getLogger(name)
    while logger is not None:
        yield logger
        logger = logger.parent if logger.propagate else None
