"""The debug log: ``BATCH_OS_LOG=path`` gets one JSON line per request to Batch.

It answers a question of Azure support: which request, when, with what id. The log contains ids, states and timings, and
no secret: only the headers named here are written. A log that cannot be written must not fail an upgrade: one line on
stderr says so, and logging ends.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from batch_os_provider.errors import ServiceAnswer

__all__ = ["VARIABLE", "note", "record", "to_stderr"]

VARIABLE = "BATCH_OS_LOG"
_SENT = ("If-Match",)
_RECEIVED = ("client-request-id", "ETag", "Last-Modified", "Date")
_lock = threading.Lock()
_broken: set[str] = set()


def record(  # noqa: PLR0913 - one line, all its fields
    method: str,
    endpoint: str,
    path: str,
    seconds: float,
    answer: ServiceAnswer | None,
    *,
    sent: Mapping[str, str] | None = None,
    received: Mapping[str, str] | None = None,
) -> None:
    """Write one request: method and URL, answer, and duration."""
    url = path if path.startswith(endpoint) else endpoint + path
    fields: dict[str, Any] = {"request": f"{method} {url}", "ms": round(seconds * 1000)}
    fields |= {name: sent[name] for name in _SENT if sent and name in sent}
    if answer is not None:
        named = {"status": answer.status, "code": answer.code, "request-id": answer.request_id}
        fields |= {key: value for key, value in named.items() if value}
        fields |= {"message": answer.message} if answer.message else {}
        fields |= {"retry-after": answer.retry_after} if answer.retry_after is not None else {}
    fields |= {name: received[name] for name in _RECEIVED if received and name in received}
    _write(fields)


def note(text: str) -> None:
    """Write a line that is not a request, such as a decision or a missing seam."""
    _write({"note": text})


def _write(fields: Mapping[str, Any]) -> None:
    path = os.environ.get(VARIABLE)
    if not path:
        return
    line = json.dumps({"time": datetime.now(UTC).isoformat(), "pid": os.getpid(), **fields})
    with _lock:
        if path in _broken:
            return
        try:
            # Opened per line and appended whole, so that several plugin processes can share one file.
            with open(path, "a", encoding="utf-8") as file:  # noqa: PTH123 - str path from the environment
                file.write(line + "\n")
        except OSError as error:
            _broken.add(path)
            to_stderr(f"{VARIABLE}={path} cannot be written ({error.strerror}); the debug log ends here")


def to_stderr(line: str) -> bool:
    """Write a line to stderr; False if stderr is closed. A failure to write must not end an upgrade."""
    try:
        sys.stderr.write(line + "\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        return False
    return True
