"""The words of `--fail-on`, and the findings that each stops at.

Each team decides which findings stop a pull request, so each finding has a word. The table of docs/comment.md is
generated from this module.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from batch_os_provider.cli.comment.rows import Row, Stack

__all__ = ["MEANINGS", "Tripped", "not_seen", "tripped"]


@dataclass(frozen=True)
class Tripped:
    """A finding that stops: the word, the stack and the pool; ``pool`` is empty if the stack itself failed."""

    word: str
    stack: str
    pool: str = ""

    def __str__(self) -> str:
        return f"{self.word}: {self.stack}{', ' if self.pool else ''}{self.pool}"


def _what(word: str) -> Callable[[Row], bool]:
    return lambda row: row.what == word


def _code(code: str) -> Callable[[Row], bool]:
    return lambda row: code in row.warnings


def _rollback(row: Row) -> bool:
    return row.what == "rollback" or "rollback" in row.warnings


def _warning(row: Row) -> bool:
    return any(message.severity == "warning" for message in row.said)


def _image_ending(row: Row) -> bool:
    return not {"image ending", "image ended"}.isdisjoint(row.warnings)


def not_seen(row: Row) -> bool:
    """Whether the pool changes, and the preview did not check it.

    A pool that Pulumi forgets needs no check, and a failed one stops the preview.
    """
    if row.what == "warning":
        return bool(row.unseen)  # a message without a step, or a warning about a pool that does not change
    return not row.looked and row.what not in ("delete", "failed")


_Rule = tuple[Callable[[Row], bool], str]
_RULES: dict[str, _Rule] = {
    "rollback": (_rollback, "a pool gets an older version, also if `up` joins or waits"),
    "refused": (_what("refused"), "a pool whose `up` would be refused"),
    "delete": (_what("delete"), "a pool that Pulumi stops managing"),
    "not-looked-at": (not_seen, "a pool that changes and was not checked: its cost is not known"),
    "warning": (_warning, "a pool with any warning"),
    "expired": (_code("expired"), "a target whose family is past its end of life"),
    "retired": (_code("retired"), "a target of a family whose retirement is announced or over"),
    "disabled": (_code("disabled"), "a target that Microsoft does not offer any more"),
    "unknown": (_code("unknown"), "a target that the catalogue should know and does not"),
    "behind": (_code("behind"), "a target that is not the newest of its family"),
    "newer": (_code("newer"), "a target newer than the catalogue, which is fine but unproven"),
    "resize": (_code("resize"), "a pool that is being resized"),
    "conflict": (_code("conflict"), "a pool that is being upgraded to another version"),
    "stale": (_code("stale"), "a pool that runs another version than Pulumi's state says"),
    "deferred": (_code("deferred"), "a pool whose upgrade the last `up` deferred"),
    "moving": (_code("moving"), "a pool that was upgrading when Pulumi last looked"),
    "unhealthy": (_code("unhealthy"), "a pool that has more unhealthy nodes than the program allows"),
    "unproven": (_code("unproven"), "a pool whose nodes Pulumi has not seen in the declared state"),
    "unknown-state": (_code("unknown state"), "a pool in an unknown state"),
    "another-product": (_code("another product"), "a VM pool whose target is of another product than its nodes"),
    "another-image": (_code("another image"), "a VM pool that moves to another image, with its node agent"),
    "resize-errors": (_code("resize errors"), "a VM pool that shows an error of an earlier resize"),
    "deallocated": (_code("deallocated"), "a VM pool with deallocated nodes, which `up` does not change"),
    "spot-nodes": (_code("spot nodes"), "a VM pool with old spot nodes, which `up` does not change"),
    "empties": (_code("empties"), "a VM pool that has no nodes for a while"),
    "interrupts-tasks": (_code("interrupts tasks"), "a VM pool that Batch upgrades while its tasks run"),
    "policy-changed": (_code("policy changed"), "a VM pool whose upgrade policy is another one than at the last `up`"),
    "timeout": (_code("timeout"), "a VM pool whose renewal takes longer than `timeout`, by an estimate"),
    "image-ended": (_code("image ended"), "a VM pool whose image Batch no longer supports"),
    "image-ending": (_image_ending, "a VM pool whose image Batch supports for 90 days or less, or no longer"),
    "image-unlisted": (_code("image unlisted"), "a VM pool whose image is not in Batch's list of supported images"),
    "image-not-checked": (_code("image not checked"), "a VM pool for which that list could not be read"),
    "upgrade": (_what("upgrade"), "an upgrade"),
    "renew": (_what("renew"), "a VM pool whose nodes are renewed"),
    "repin": (_what("repin"), "an empty VM pool that gets another pin"),
    "undo": (_what("undo"), "a pool where an earlier rollout is undone"),
    "join": (_what("join"), "an upgrade in flight that is joined"),
    "wait": (_what("wait"), "a pool where something else comes first"),
    "update": (_what("update"), "a pool with changes of other settings only"),
    "adopt": (_what("adopt"), "a pool that needs no write"),
}
MEANINGS = {**{word: meaning for word, (_, meaning) in _RULES.items()}, "failed": "a stack whose preview failed"}
"""Every word of `--fail-on`, and what it stops at."""


def tripped(words: Iterable[str], stacks: Iterable[Stack]) -> Iterator[Tripped]:
    """The findings that stop, by word, then stack, then pool. Raises KeyError for an unknown word."""
    stacks = list(stacks)
    for word in dict.fromkeys(words):
        for stack in stacks:
            if word == "failed":
                yield from [Tripped(word, stack.name)] if stack.error else []
            else:
                stops, _ = _RULES[word]
                yield from (Tripped(word, stack.name, row.name) for row in stack.rows if stops(row))
