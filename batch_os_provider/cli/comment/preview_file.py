"""What a preview wrote to its file, whatever became of the preview.

A comment is needed most when the preview died, and then its file is empty, cut off, or holds an error
instead of JSON. A file that holds something else altogether is a mistake of the pipeline and must not look like that.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

from batch_os_provider.cli.text_file import NotTextError, decoded

__all__ = ["Document", "NotAPreviewError", "read"]

_STREAM = re.compile(r'^\{"sequence":', re.MULTILINE)
_FOR_PEOPLE = re.compile(r"^(Previewing|Refreshing|Updating|Destroying) ", re.MULTILINE)
"""How the CLI begins what it writes without --json."""


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
    try:
        text = decoded(raw, "it").strip()
    except NotTextError as not_text:
        raise NotAPreviewError("no text in UTF-8 or UTF-16") from not_text
    if not text:
        return Document(error="it wrote nothing: it was killed, or it failed before it began; see the log of the job")
    found = _objects(text)
    previews = [(start, end, body) for start, end, body in found if _is_preview(body)]
    if len(previews) > 1:
        raise NotAPreviewError(f"the output of {len(previews)} previews; write each preview to its own file")
    for start, end, body in previews:
        return Document(body, f"{text[:start]}\n{text[end:]}".strip())
    _refuse_what_is_not_cut_off(text, found)
    error = next((line.removeprefix("error:").strip() for line in text.splitlines() if line.startswith("error:")), "")
    if found:
        return Document(
            text=text[: found[0][0]].strip(), error=error or "what it wrote ends in the middle: it was cut off"
        )
    if not error and text.startswith("warning:"):
        error = "it wrote nothing but warnings: it was killed, or it failed before it began; see the log of the job"
    if error:
        return Document(text=text, error=error)
    raise _not_json(text)


def _objects(text: str) -> list[tuple[int, int, Any]]:
    """The JSON objects that begin a line, each with its start and end; the body of one that cannot be read is None."""
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
    """Whether a preview wrote this: one that ended counts its changes, and one that failed has messages.

    Other files have ``steps`` or ``duration`` too. Such a file read as a preview would look like "nothing changes".
    """
    return isinstance(body, dict) and (
        isinstance(body.get("changeSummary"), dict) or isinstance(body.get("diagnostics"), list)
    )


def _refuse_what_is_not_cut_off(text: str, found: list[tuple[int, int, Any]]) -> None:
    """Refuse what a preview with --json never writes, whole or cut off: a gate would find nothing in it to stop at."""
    if _STREAM.search(text):
        raise NotAPreviewError(
            "a stream of engine events; unset PULUMI_ENABLE_STREAMING_JSON_PREVIEW, which `pulumi preview` heeds"
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
