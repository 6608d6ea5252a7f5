"""A command on a pseudo-terminal, and the screen that a person would see.

What a person can read of a row depends on how wide the terminal is and on what Pulumi draws over what: only a terminal
that is really drawn on can tell.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import termios
import threading
from typing import TYPE_CHECKING

import pyte

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

ROWS = 40
# A cursor that is hidden, and the bracketed paste of a shell: nothing that draws.
_CURSOR = re.compile(rb"\x1b\[\?[0-9;]*[hl]")


class Terminal:
    """A command that runs on a terminal of so many columns.

    Args:
        command: program and arguments.
        columns: how wide the terminal is.
        environment: of the command; ``TERM`` is added.
        folder: where it runs.
    """

    def __init__(
        self, command: Sequence[str], columns: int, environment: Mapping[str, str], folder: Path | None = None
    ) -> None:
        self._screen = pyte.Screen(columns, ROWS)
        self._stream = pyte.ByteStream(self._screen)
        self._lock = threading.Lock()
        self.raw = b""
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, columns, 0, 0))
        self.process = subprocess.Popen(  # noqa: S603 - the command under test
            command,
            cwd=folder,
            env={**environment, "TERM": "xterm-256color"},
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        # The read fails once the other end is closed.
        with contextlib.suppress(OSError):
            while some := os.read(self._master, 65536):
                with self._lock:
                    self.raw += some
                    self._stream.feed(_CURSOR.sub(b"", some))

    @property
    def lines(self) -> list[str]:
        """The screen, line by line, without blanks at the end."""
        with self._lock:
            return [line.rstrip() for line in self._screen.display]

    @property
    def text(self) -> str:
        """The screen."""
        return "\n".join(self.lines).strip()

    def line(self, word: str) -> str:
        """The first line with this word, else empty."""
        return next((line for line in self.lines if word in line), "")

    def interrupt(self) -> None:
        """^C."""
        self.process.send_signal(signal.SIGINT)

    def wait(self, seconds: float = 60.0) -> int:
        """Wait for its end, and for all that it has drawn."""
        code = self.process.wait(seconds)
        self._reader.join(seconds)
        return code

    def end(self) -> None:
        """Stop whatever is left of it."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(60)
        self._reader.join(60)
        os.close(self._master)
