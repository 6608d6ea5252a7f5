"""The machine-readable end of a preview's message: ``[batch-os v1 {json}]``.

`pulumi preview --json` contains the sentences of a preview unchanged. A table, a gate or a bot must not have to parse
English. The form is stable: within ``v1`` keys are only added, and a reader ignores unknown keys. docs/preview.md lists
the keys.

The tail does not repeat a reason that the sentence gives: ``MessageTail.after`` leaves ``why`` out, and ``split`` takes
it from the sentence.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, Self, cast, get_args

from batch_os_provider.batch.vm_target import ImageVersion, Target

__all__ = ["KINDS", "LEADS", "NO_SUCH_POOL", "WHATS", "Kind", "MessageTail", "What", "split"]


Kind = Literal["os", "image"]
"""The resource that sends the message: ``PoolOsVersion`` or ``PoolImageVersion``."""
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
"""What an `up` would do, or why the message does not say that."""
KINDS: tuple[str, ...] = get_args(Kind)
WHATS: tuple[str, ...] = get_args(What)
NO_SUCH_POOL = "the account has no such pool; this up fails unless it makes the pool first"
"""``why`` of a missing pool. Every other reason holds for the whole account."""

LEADS: dict[str, tuple[str, ...]] = {
    "not looked at": ("could not check the pool: ", "not looked at: "),
    "refused": ("an up would be refused: ",),
}
"""The words before the reason in a sentence, for each ``what`` that has a reason; also those of earlier releases."""

_START = re.compile(r"\[batch-os v1 (?=\{)")
_NAMES = {"came_from": "from", "target": "to"}


@dataclass(frozen=True)
class MessageTail:
    """What one message says to programs. An unknown value is None or empty, and is left out.

    ``came_from`` and ``target`` are versions. ``oldest`` and ``since`` are moments: when the oldest node was allocated,
    and the declared ``nodes_since``. ``nodes`` counts all nodes, ``behind`` the nodes that change (VM pools), ``tasks``
    the running tasks on nodes that change, and ``back`` the nodes that a running upgrade has brought back. ``warnings``
    are codes. ``image_ends`` is the day on which Batch ends the support of a VM pool's image, such as `2027-01-12`.
    ``from_image`` and ``to_image`` are images without their versions, where a pool gets another one.
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
    image_ends: str = ""
    oldest: str = ""
    since: str = ""
    from_image: str = ""
    to_image: str = ""

    def between(self, target: Target, came_from: str) -> Self:
        """The same with what the pool shows and what is declared, in the fields of this kind of target."""
        if isinstance(target, ImageVersion):
            return replace(self, came_from=came_from, target=target.text)
        return replace(self, oldest=came_from, since=target.text)

    def __str__(self) -> str:
        # The fields of a subclass are for people.
        known = {_NAMES.get(each.name, each.name): getattr(self, each.name) for each in fields(MessageTail)}
        body = {name: value for name, value in known.items() if value not in (None, "", ())}
        return f"[batch-os v1 {json.dumps(body, separators=(',', ':'))}]"

    def after(self, sentence: str) -> str:
        """The sentence with this tail at its end; only one of the two contains the reason."""
        tail = replace(self, why="") if self.why and _reason(sentence, self.what) == self.why else self
        return f"{sentence} {tail}"

    @classmethod
    def of(cls, body: Any) -> MessageTail | None:
        """Read the JSON of a tail; None if the JSON is not a tail of this version."""
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
            image_ends=_text(body, "image_ends"),
            oldest=_text(body, "oldest"),
            since=_text(body, "since"),
            from_image=_text(body, "from_image"),
            to_image=_text(body, "to_image"),
        )


def split(message: str) -> tuple[str, MessageTail | None]:
    """A message without its tail, and the tail; None if it has no tail, or an unreadable one."""
    text = message.strip()
    # The sentence may quote any text, even the start of a tail, so each start is tried.
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
    """The reason in a sentence, or empty. The reason of a refusal ends with the first sentence."""
    for lead in LEADS.get(what, ()):
        _, found, reason = sentence.rpartition(lead)
        if found:
            return re.split(r"\.\s", reason, maxsplit=1)[0] if what == "refused" else reason
    return ""


def _text(body: dict[str, Any], name: str) -> str:
    value = body.get(name)
    return value if isinstance(value, str) else ""


def _count(body: dict[str, Any], name: str) -> int | None:
    value = body.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
