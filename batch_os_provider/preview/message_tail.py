"""The machine-readable end of what a preview says: ``[batch-os v1 {json}]``.

A preview speaks in sentences, and `pulumi preview --json` carries them as they are. Whoever
builds a table, a gate or a bot on them must not have to parse English. The form is stable: within ``v1`` keys
are only ever added, and a reader passes over what it does not know. docs/preview.md lists the keys.

A reason that the sentence gives is not repeated: ``MessageTail.after`` leaves ``why`` out where ``split`` finds
it in the sentence, so a reader of this module has it in any case.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, cast, get_args

__all__ = ["KINDS", "LEADS", "NO_SUCH_POOL", "WHATS", "Kind", "MessageTail", "What", "split"]


Kind = Literal["os", "image"]
"""Which resource speaks: ``PoolOsVersion`` or ``PoolImageVersion``."""
What = Literal[
    "adopt",
    "upgrade",
    "rollback",
    "join",
    "wait",
    "repin",
    "renew",
    "undo",
    "refused",
    "warning",
    "not looked at",
]
"""What an `up` would do, or why nothing of that is said."""
KINDS: tuple[str, ...] = get_args(Kind)
WHATS: tuple[str, ...] = get_args(What)
NO_SUCH_POOL = "there is no such pool in the account; this up fails unless it makes the pool first"
"""``why`` of a pool that is not there. Every other reason not to look holds for the whole account."""

LEADS: dict[str, tuple[str, ...]] = {
    "not looked at": ("not looked at: ",),
    "refused": ("an up would be refused: ",),
}
"""The words after which a sentence gives the reason, for each ``what`` that has one."""

_START = re.compile(r"\[batch-os v1 (?=\{)")
_NAMES = {"came_from": "from", "target": "to"}


@dataclass(frozen=True)
class MessageTail:
    """What one message says, for programs; what is not known is None or empty and left out.

    ``nodes`` counts all nodes, ``behind`` those that change (VM pools), ``tasks`` the tasks that run on
    what changes, ``back`` the nodes that an upgrade under way has brought back. ``warnings`` are codes.
    """

    pool: str
    kind: Kind
    what: What
    came_from: str = ""
    target: str = ""
    nodes: int | None = None
    behind: int | None = None
    tasks: int | None = None
    back: int | None = None
    warnings: tuple[str, ...] = ()
    why: str = ""

    def __str__(self) -> str:
        # The fields of a subclass are for people.
        known = {_NAMES.get(each.name, each.name): getattr(self, each.name) for each in fields(MessageTail)}
        body = {name: value for name, value in known.items() if value not in (None, "", ())}
        return f"[batch-os v1 {json.dumps(body, separators=(',', ':'))}]"

    def after(self, sentence: str) -> str:
        """The sentence with this tail at its end; the reason stands in one of them only."""
        tail = replace(self, why="") if self.why and _reason(sentence, self.what) == self.why else self
        return f"{sentence} {tail}"

    @classmethod
    def of(cls, body: Any) -> MessageTail | None:
        """Read the JSON of a tail; None where it is none of this version."""
        if not isinstance(body, dict) or body.get("kind") not in KINDS or body.get("what") not in WHATS:
            return None
        if not _text(body, "pool"):
            return None
        warnings = body.get("warnings")
        return cls(
            pool=body["pool"],
            kind=cast("Kind", body["kind"]),
            what=cast("What", body["what"]),
            came_from=_text(body, "from"),
            target=_text(body, "to"),
            nodes=_count(body, "nodes"),
            behind=_count(body, "behind"),
            tasks=_count(body, "tasks"),
            back=_count(body, "back"),
            warnings=tuple(each for each in warnings if isinstance(each, str)) if isinstance(warnings, list) else (),
            why=_text(body, "why"),
        )


def split(message: str) -> tuple[str, MessageTail | None]:
    """A message without its tail, and the tail; None where there is none, or none that can be read."""
    text = message.strip()
    # The sentence may quote anything, even the start of a tail, so each start is tried.
    for found in _START.finditer(text):
        try:
            tail = MessageTail.of(json.loads(text[found.end() : -1])) if text.endswith("}]") else None
        except (ValueError, RecursionError):
            continue
        if tail is not None:
            sentence = text[: found.start()].strip()
            return sentence, tail if tail.why else replace(tail, why=_reason(sentence, tail.what))
    return text, None


def _reason(sentence: str, what: str) -> str:
    """The reason that a sentence gives; empty where it gives none. Of a refusal it is the first sentence."""
    for lead in LEADS.get(what, ()):
        _, found, reason = sentence.rpartition(lead)
        if found:
            return reason.partition(". ")[0] if what == "refused" else reason
    return ""


def _text(body: dict[str, Any], name: str) -> str:
    value = body.get(name)
    return value if isinstance(value, str) else ""


def _count(body: dict[str, Any], name: str) -> int | None:
    value = body.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
