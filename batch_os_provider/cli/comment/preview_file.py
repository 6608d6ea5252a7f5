"""Reads the file of a preview, also of one that failed or was killed.

Reviewers need the comment most after a failure, and then the file is empty, cut off, or holds an error instead of JSON.
A file with any other content is a mistake of the pipeline, and is refused.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

from batch_os_provider.runtime.text_file import NotTextError, decoded

__all__ = ["Document", "NotAPreviewError", "read"]

_STREAM = re.compile(r'^\{"sequence":', re.MULTILINE)
_FOR_PEOPLE = re.compile(r"^(Previewing|Refreshing|Updating|Destroying) ", re.MULTILINE)
"""How the output of the CLI begins without --json."""


class NotAPreviewError(ValueError):
    """The file holds something that no preview writes."""


@dataclass(frozen=True)
class Document:
    """The JSON of a preview, the text around it, and the error if the text has no JSON."""

    body: dict[str, Any] = field(default_factory=dict)
    text: str = ""
    error: str = ""


def read(raw: bytes) -> Document:
    """Read a file that `pulumi preview --json` wrote, with or without its stderr.

    Raises:
        NotAPreviewError: it is not text, has neither JSON nor an error, or has other JSON.
    """
    try:
        text = decoded(raw, "it").strip()
    except NotTextError as not_text:
        raise NotAPreviewError("not text in UTF-8 or UTF-16") from not_text
    if not text:
        return Document(
            error="the preview wrote nothing: it was killed, or it failed before it began; see the log of the job"
        )
    found = _objects(text)
    previews = [(start, end, body) for start, end, body in found if _is_preview(body)]
    if len(previews) > 1:
        raise NotAPreviewError(f"the output of {len(previews)} previews; write each preview to its own file")
    for start, end, body in previews:
        return Document(body, f"{text[:start]}\n{text[end:]}".strip())
    _refuse_what_is_not_cut_off(text, found)
    error = next((line.removeprefix("error:").strip() for line in text.splitlines() if line.startswith("error:")), "")
    if found:
        return Document(text=text[: found[0][0]].strip(), error=error or "the output of the preview was cut off")
    if not error and text.startswith("warning:"):
        error = "the preview wrote only warnings: it was killed, or it failed before it began; see the log of the job"
    if error:
        return Document(text=text, error=error)
    raise _not_json(text)


def _objects(text: str) -> list[tuple[int, int, Any]]:
    """The JSON objects that begin a line, each with its start and end; the body is None if it is not JSON."""
    found: list[tuple[int, int, Any]] = []
    for match in re.finditer(r"^\{", text, re.MULTILINE):
        start = match.start()
        if found and start < found[-1][1]:
            continue  # a line within the object before
        try:
            body, end = json.JSONDecoder().raw_decode(text, start)
        except (ValueError, RecursionError):
            body, end = None, start
        found.append((start, end, body))
    return found


def _is_preview(body: Any) -> bool:
    """Whether a preview wrote this: a complete one counts its changes, and a failed one has messages.

    Other files have ``steps`` or ``duration`` too. Read as previews, they would mean "nothing changes".
    """
    return isinstance(body, dict) and (
        isinstance(body.get("changeSummary"), dict) or isinstance(body.get("diagnostics"), list)
    )


def _refuse_what_is_not_cut_off(text: str, found: list[tuple[int, int, Any]]) -> None:
    """Refuse what a preview with --json never writes, complete or cut off: a gate would find nothing there."""
    if _STREAM.search(text):
        raise NotAPreviewError(
            "a stream of engine events; unset PULUMI_ENABLE_STREAMING_JSON_PREVIEW, which `pulumi preview` obeys"
        )
    if _FOR_PEOPLE.search(text):
        raise _not_json(text)
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        if not found or any(body is None for _, _, body in found):
            return
    raise NotAPreviewError("JSON, but not what `pulumi preview --json` writes")


def _not_json(text: str) -> NotAPreviewError:
    return NotAPreviewError(f"not JSON; was --json given? Its last line is {text.splitlines()[-1].strip()[:80]!r}")
