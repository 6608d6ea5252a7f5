"""What every test process needs before anything is started from it."""

from __future__ import annotations

import signal

# A shell that starts the tests in the background ignores ^C for them, and each process that a test starts would
# inherit that: it could not be interrupted. A handler of our own is not inherited; such a process has its default.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
