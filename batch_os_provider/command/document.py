"""What a preview wrote to its file, whatever became of the preview.

Why it exists: a comment is needed most when the preview died, and then its file is empty, cut off, or holds an error
instead of JSON. A file that holds something else altogether is a mistake of the pipeline and must not look like that.
"""

from __future__ import annotations

import json
import re
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Document", "NotAPreviewError", "read"]

_KEYS = frozenset({"changeSummary", "diagnostics", "duration", "steps"})
_ENCODINGS = {BOM_UTF8: "utf-8-sig", BOM_UTF16_LE: "utf-16", BOM_UTF16_BE: "utf-16"}


class NotAPreviewError(ValueError):
    """The file holds something that no preview writes."""


@dataclass(frozen=True)
class Document:
    """The JSON of a preview, what stood around it, and what to say where there is no JSON."""

    body: dict[str, Any] = field(default_factory=dict)
    text: str = ""
    error: str = ""


def read(raw: bytes) -> Document:
    """Read a file that `pulumi preview --json` wrote, its stderr in it or not.

    Raises:
        NotAPreviewError: it is no text, text without JSON and without an error, or JSON of something else.
    """
    text = _decoded(raw).strip()
    if not text:
        return Document(error="it wrote nothing: it was killed, or it failed before it began; see the log of the job")
    if text.startswith('{"sequence":'):
        raise NotAPreviewError(
            "a stream of engine events; unset PULUMI_ENABLE_STREAMING_JSON_PREVIEW, which `pulumi preview` heeds"
        )
    starts = [match.start() for match in re.finditer(r"^\{", text, re.MULTILINE)]
    for start in starts:
        try:
            body, end = json.JSONDecoder().raw_decode(text, start)
        except (ValueError, RecursionError):
            continue
        if not _KEYS.isdisjoint(body):
            return Document(body, f"{text[:start]}\n{text[end:]}".strip())
    _refuse_other_json(text)
    error = next((line.removeprefix("error:").strip() for line in text.splitlines() if line.startswith("error:")), "")
    if starts:
        return Document(
            text=text[: starts[0]].strip(), error=error or "what it wrote ends in the middle: it was cut off"
        )
    if error:
        return Document(text=text, error=error)
    # What `pulumi preview` prints without --json also exits with 0: shown as a failed stack, no gate would stop it.
    raise NotAPreviewError(f"not JSON; was --json given? Its last line is {text.splitlines()[-1].strip()[:80]!r}")


def _decoded(raw: bytes) -> str:
    """The text; PowerShell 5 redirects as UTF-16."""
    encoding = next((name for bom, name in _ENCODINGS.items() if raw.startswith(bom)), "utf-8")
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError as error:
        raise NotAPreviewError("no text in UTF-8 or UTF-16") from error


def _refuse_other_json(text: str) -> None:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return
    raise NotAPreviewError("JSON, but not what `pulumi preview --json` writes")
