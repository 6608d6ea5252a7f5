"""The values of response headers: an ETag, a time, how long to wait.

Batch and token endpoints use the same headers, and both may send invalid ones. Only this module parses
them; an invalid value is None or empty.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

__all__ = ["header", "http_date", "retry_after"]

_SECONDS = re.compile(r"[0-9]{1,9}")


def header(response: Any, name: str) -> str:
    """A header, without the quotes that an ETag may have; empty if missing."""
    return str(response.headers.get(name) or "").strip('"')


def http_date(text: str | None) -> datetime | None:
    """A time in the format of HTTP headers; None if missing or invalid."""
    if not text:
        return None
    try:
        parsed = parsedate_to_datetime(text)
    except ValueError:
        return None
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def retry_after(response: Any) -> float | None:
    """Retry-After in seconds, from its number or its date (compared with the service's own Date)."""
    text = str(response.headers.get("Retry-After") or "").strip()
    if not text:
        return None
    if _SECONDS.fullmatch(text):
        return float(text)
    until, now = http_date(text), http_date(response.headers.get("Date")) or datetime.now(UTC)
    return max(0.0, (until - now).total_seconds()) if until is not None else None
