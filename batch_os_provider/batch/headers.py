"""What the headers of an answer say: an ETag, a time, how long to wait.

Batch and whoever gives out tokens spell them alike, and both may send what nobody can read. Each is
read once, tolerantly: what is no value is None or empty.
"""

from __future__ import annotations

import re
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any

__all__ = ["header", "http_date", "retry_after"]

_SECONDS = re.compile(r"[0-9]{1,9}")


def header(response: Any, name: str) -> str:
    """A header of an answer, without the quotes that an ETag may have; empty where it is missing."""
    return str(response.headers.get(name) or "").strip('"')


def http_date(text: str | None) -> datetime | None:
    """A time as HTTP headers spell it; None where there is none."""
    if not text:
        return None
    try:
        parsed = parsedate_to_datetime(text)
    except ValueError:
        return None
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=timezone.utc)


def retry_after(response: Any) -> float | None:
    """Retry-After in seconds, from its number or its date (measured by the service's own Date)."""
    text = str(response.headers.get("Retry-After") or "").strip()
    if not text:
        return None
    if _SECONDS.fullmatch(text):
        return float(text)
    until, now = http_date(text), http_date(response.headers.get("Date")) or datetime.now(timezone.utc)
    return max(0.0, (until - now).total_seconds()) if until is not None else None
