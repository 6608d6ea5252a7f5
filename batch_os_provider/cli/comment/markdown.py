"""Writes the digest of all stacks as one comment in Markdown.

Pool ids, versions and errors come from a program or from a service. None of them may become a table cell, a tag, a link
or a mention of a person, and the comment may not be longer than GitHub accepts. So foreign text is written with
character references, which stay text in Markdown and in HTML.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from batch_os_provider.cli.comment.fail_on import Tripped, not_seen
from batch_os_provider.cli.comment.rows import Message, Row, Stack
from batch_os_provider.wording import counted

__all__ = ["LIMIT", "comment", "marker", "plain", "prose"]

LIMIT = 65_536
"""Characters that GitHub accepts in a comment; Azure DevOps accepts 150,000."""
_CELL, _SENTENCE, _SHORT_ERROR = 80, 2_000, 300
_LINES = 40
_MOST = 10
_WHY = 240
_NOT_CHECKED = "not checked"
_NO_REASON = "the preview does not say why"
_RESERVE = 600
"""Room for the lines about parts that were left out, and for the frames of details."""
_SPECIAL = re.compile(r"[&<|`*\[\]\\~$@#]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|:(?=//)|(?<=www)\.", re.IGNORECASE)
"""What Markdown, HTML or GitHub interpret within a line; `_` only if it is not within a word."""
_OPENS_A_BLOCK = re.compile(r"[^\w&]|\d{1,9}[.)](?= |$)")
_MENTIONS = "@#"
_NAMED = {"&": "&amp;", "<": "&lt;"}
_ZERO_WIDTH = "&#8203;"
_PREFIX = "WA-GUEST-OS-"
_LABELS = {
    "refused": "**refused**",
    "failed": "**error**",
    "rollback": "**ROLLBACK**",
    "delete": "**stop managing**",
    "upgrade": "upgrade",
    "renew": "renew nodes",
    "repin": "re-pin",
    "undo": "undo a rollout",
    "join": "join an upgrade",
    "wait": "wait",
    "update": "settings only",
    "not looked at": _NOT_CHECKED,
    "warning": "warning only",
    "adopt": "adopt",
}
"""The words for ``Row.what``, the gravest first: the order of the summary, and of the rows that are kept."""
_NO_WRITE = "nothing to write"
_HEAD = "| Stack | Pool | What | From → to | Nodes | Running tasks | Warnings |\n|---|---|---|---|---|---|---|\n"


def marker(name: str = "") -> str:
    """The first line, by which a bot finds the comment to update."""
    return f"<!-- batch-os comment v1{' ' if name else ''}{name} -->"


def plain(text: str, most: int = _CELL) -> str:
    """Foreign text as one line without control characters, cut if it is too long; not escaped."""
    kinds = {"Cc": " ", "Zl": " ", "Zp": " ", "Zs": " ", "Cf": "\ufffd", "Cs": "\ufffd", "Co": "\ufffd"}
    line = " ".join("".join(kinds.get(unicodedata.category(each), each) for each in text).split())
    return line if len(line) <= most else f"{line[: most - 1]}…"


def _escaped(line: str, *, apart: bool) -> str:
    """The line with references for what Markdown or HTML would interpret; ``apart`` also prevents mentions."""

    def reference(match: re.Match[str]) -> str:
        char = match[0][0]
        return (
            f"{_NAMED.get(char, f'&#{ord(char)};')}{_ZERO_WIDTH if apart and char in _MENTIONS else ''}{match[0][1:]}"
        )

    opening = _OPENS_A_BLOCK.match(line)
    start = reference(opening) if opening else ""
    return start + _SPECIAL.sub(reference, line[opening.end() if opening else 0 :])


def prose(text: str, most: int = _SENTENCE) -> str:
    """Foreign text in a sentence."""
    return _escaped(plain(text, most), apart=True)


def code(text: str, most: int = _CELL) -> str:
    """Foreign text as a name, such as a pool's id; empty stays empty. It never mentions a person."""
    line = _escaped(plain(text, most), apart=False)
    return f"<code>{line}</code>" if line else ""


def comment(stacks: Sequence[Stack], *, name: str = "", stopped: Sequence[Tripped] = ()) -> str:
    """The comment.

    Args:
        stacks: the previews, in the order in which they are shown.
        name: distinguishes this comment from others on the same pull request; see ``marker``.
        stopped: the findings of --fail-on.
    """
    opening = [marker(name), f"### Batch pools: {_summary(stacks)}", ""]
    opening += [f"`--fail-on` stops here: {_listed(stopped)}", ""] if stopped else []
    closing = _closing(stacks)
    room = LIMIT - sum(len(line) + 1 for line in opening) - len(closing) - len(_HEAD) - _RESERVE

    failures, room = _fit([_Piece(0, _failure(each)) for each in stacks if each.error], room)
    rows, room = _fit([_Piece(_rank(row), line) for row, line in _table(stacks)], room)
    pieces = [(number, piece) for number, stack in enumerate(stacks) for piece in _details(stack)]
    details, room = _fit([_Piece(piece.rank, piece.text) for _, piece in pieces], room - 80 * len(stacks))

    text = "".join(f"{line}\n" for line in opening)
    text += "".join(f"{each.text}\n\n" for each in failures if each.kept)
    if rows:
        text += f"{_HEAD}{''.join(each.text for each in rows if each.kept)}\n"
    text += _left_out(failures, "failed preview", "failed previews") + _left_out(rows, "pool", "pools")
    text += closing
    for number, stack in enumerate(stacks):
        shown = [each.text for each, (owner, _) in zip(details, pieces, strict=True) if each.kept and owner == number]
        if shown:
            title = f"<details><summary>{prose(stack.name, _CELL)}: what the preview says</summary>"
            text += f"{title}\n\n{''.join(shown)}</details>\n\n"
    text += _left_out(details, "of the details", "of the details")
    return f"{text.rstrip()}\n"


# ── What fits ────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class _Piece:
    """A part of the comment that may be left out; the highest rank goes first."""

    rank: int
    text: str
    kept: bool = True


def _fit(pieces: Sequence[_Piece], room: int) -> tuple[list[_Piece], int]:
    """The pieces in their order, marked if they fit (the gravest first); and the room that is left."""
    fitted = list(pieces)
    for index in sorted(range(len(pieces)), key=lambda index: (pieces[index].rank, index)):
        piece = pieces[index]
        kept = len(piece.text) + 2 <= room
        room -= len(piece.text) + 2 if kept else 0
        fitted[index] = _Piece(piece.rank, piece.text, kept)
    return fitted, room


def _left_out(pieces: Sequence[_Piece], one: str, many: str) -> str:
    count = sum(not piece.kept for piece in pieces)
    if not count:
        return ""
    return f"{counted(count, one, many)} left out: a comment holds {LIMIT:,} characters.\n\n"


def _rank(row: Row) -> int:
    return 2 * list(_LABELS).index(row.what) + (not row.warnings and not not_seen(row))


# ── What is said ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _summary(stacks: Sequence[Stack]) -> str:
    """The counts of all stacks, as one line."""
    counts = Counter(_label(row).strip("*") for stack in stacks for row in stack.rows)
    order = [label.strip("*") for label in (*_LABELS.values(), _NO_WRITE)]
    # "2 x upgrade": most labels are not nouns, so they have no plural.
    changes = ", ".join(f"{counts[label]} x {label}" for label in order if counts[label])
    failed = sum(bool(stack.error) for stack in stacks)
    if failed:
        of = "the preview failed" if len(stacks) == 1 else f"{failed} of {len(stacks)} previews failed"
        return f"{of}{'; ' if changes else ''}{changes}"
    return changes or "nothing changes"


def _label(row: Row) -> str:
    """What `up` would do, in a word or two."""
    return _NO_WRITE if (row.what, row.op) == ("adopt", "update") else _LABELS[row.what]


def _listed(stopped: Sequence[Tripped]) -> str:
    shown = [f"**{each.word}** ({prose(each.stack, _CELL)}{_of(each.pool)})" for each in stopped[:_MOST]]
    return ", ".join(shown) + (f" and {len(stopped) - _MOST} more" if len(stopped) > _MOST else "")


def _of(pool: str) -> str:
    return f" {code(pool)}" if pool else ""


def _failure(stack: Stack) -> str:
    error = prose(stack.error, _SHORT_ERROR)
    end = "" if error.endswith((".", "…", "!", "?")) else "."
    return f"**{prose(stack.name, _CELL)}: the preview failed:** {error}{end} Other changes are not known."


def _table(stacks: Iterable[Stack]) -> Iterable[tuple[Row, str]]:
    """A line for each pool, and for each failed stack that has no pool to show."""
    for stack in stacks:
        accounts = {row.name: {each.account for each in stack.rows if each.name == row.name} for row in stack.rows}
        for row in stack.rows:
            pool = f"{row.account}/{row.name}" if len(accounts[row.name]) > 1 else row.name
            yield row, _line(stack.name, code(pool), row)
        if stack.error and not stack.rows:
            failed = Row("", "os", "", "failed")
            yield failed, _line(stack.name, "", failed)


def _line(stack: str, pool: str, row: Row) -> str:
    codes = prose(", ".join(_warning(row, each) for each in row.warnings if each != row.what), 2 * _CELL)
    cells = (prose(stack, _CELL), pool, _label(row), _versions(row), _nodes(row), _tasks(row))
    return f"| {' | '.join((*cells, ', '.join(filter(None, (_unseen(row), codes)))))} |\n"


def _warning(row: Row, word: str) -> str:
    """The code of a warning; that of the end of an image with its day."""
    return f"{word} {row.image_ends}" if row.image_ends and word in ("image ending", "image ended") else word


def _unseen(row: Row) -> str:
    """Why a pool that changes was not checked, in bold: its numbers are missing, and `up` may fail."""
    if not not_seen(row):
        return ""
    why = prose(row.unseen or _NO_REASON, _WHY)
    return f"**{why if row.what == 'not looked at' else f'{_NOT_CHECKED}: {why}'}**"


def _versions(row: Row) -> str:
    if row.to_image:
        return " →<br>".join(f"{code(image)}<br>{code(at)}" for image, at in _images(row))
    came_from, target = (each.removeprefix(_PREFIX) for each in (row.came_from, row.target))
    if came_from == target or row.what == "delete" or not target:
        return code(came_from)
    # Two lines, since a browser would break a version at its hyphen.
    return f"{code(came_from)}{' →<br>' if came_from else '→ '}{code(target)}"


def _images(row: Row) -> tuple[tuple[str, str], tuple[str, str]]:
    """The two images of a pool that moves to another one, each with its version or the moment of its nodes."""
    return (row.from_image, row.came_from), (row.to_image, row.target)


def _nodes(row: Row) -> str:
    if row.nodes is None:
        return ""
    if row.back is not None:
        return f"{row.back} of {row.nodes} back"
    return f"{row.behind} of {row.nodes} behind" if row.behind else str(row.nodes)


def _tasks(row: Row) -> str:
    if row.tasks is None:
        return ""
    if not row.tasks:
        return "none"
    return f"{row.tasks} (requeued)" if row.kind == "os" else f"{row.tasks} (not stopped)"


def _closing(stacks: Sequence[Stack]) -> str:
    """What has no row: unchanged resources, and changes of other providers."""
    known = [stack for stack in stacks if stack.unchanged or (stack.others and not stack.error)]
    lines = [f"{prose(stack.name, _CELL)}: {_besides(stack.unchanged or 0, stack.others)}" for stack in known]
    if len(lines) > _MOST:
        others = Counter[str]()
        for stack in known:
            others.update(stack.others)
        lines = [f"{len(known)} stacks: {_besides(sum(stack.unchanged or 0 for stack in known), others)}"]
    return f"{'; '.join(lines)}.\n\n" if lines else ""


def _besides(unchanged: int, others: Mapping[str, int]) -> str:
    count = sum(others.values())
    changes = counted(count, "other change") if count else ""
    return " and ".join(filter(None, (f"{unchanged} unchanged" if unchanged else "", changes)))


def _details(stack: Stack) -> Iterable[_Piece]:
    """The messages of the preview, a piece for each pool, and one for the stack."""
    if stack.full_error:
        yield _Piece(0, f"<pre>{_lines(stack.full_error)}</pre>\n\n")
    for row in stack.rows:
        resource = "PoolOsVersion" if row.kind == "os" else "PoolImageVersion"
        head = (
            f"**{code(row.name)} {_label(row).strip('*')}**, {resource} {code(row.resource)}{', ' if row.pool else ''}"
        )
        yield _Piece(_rank(row), f"{head}{code(row.pool, _SENTENCE)}\n\n{''.join(map(_said, row.said))}\n")
    if stack.said:
        yield _Piece(2 * len(_LABELS), f"Besides:\n\n{''.join(map(_said, stack.said))}\n")


def _said(message: Message) -> str:
    severity = "" if message.severity == "info" else f"{prose(message.severity)}: "
    return f"- {severity}{prose(message.text)}\n"


def _lines(text: str) -> str:
    """The last lines of foreign text, with their indents: the error of a traceback is at its end."""
    lines = [line.rstrip() for line in text.splitlines() if line.strip()][-_LINES:]
    indents = [min(len(line) - len(line.lstrip()), _CELL // 4) for line in lines]
    return "\n".join(
        f"{' ' * indent}{_escaped(plain(line, 4 * _CELL), apart=False)}"
        for indent, line in zip(indents, lines, strict=True)
    )
