"""What `--fail-on` can stop at.

Which finding stops a pull request is the team's decision, so each is a word that they name. The table
of docs/comment.md is written from the one here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from batch_os_provider.cli.comment.digest import Row, Stack

__all__ = ["MEANINGS", "Tripped", "not_seen", "tripped"]


@dataclass(frozen=True)
class Tripped:
    """One finding that stops: the word, and where; ``pool`` is empty where the stack itself stops it."""

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


def not_seen(row: Row) -> bool:
    """Whether the pool changes, and the preview did not look at it.

    A pool that Pulumi forgets needs no look, and one that failed stops the preview itself.
    """
    if row.what == "warning":
        return bool(row.unseen)  # a message that belongs to no step, or a warning about a pool that does not change
    return not row.looked and row.what not in ("delete", "failed")


_Rule = tuple[Callable[[Row], bool], str]
_RULES: dict[str, _Rule] = {
    "rollback": (_rollback, "a pool goes to an older version, also by joining or waiting"),
    "refused": (_what("refused"), "a pool whose `up` would be refused"),
    "delete": (_what("delete"), "a pool that Pulumi stops managing"),
    "not-looked-at": (not_seen, "a pool that changes, but was not looked at: its cost is not known"),
    "warning": (_warning, "a pool of which a message warns, whatever it says"),
    "expired": (_code("expired"), "a target whose family is past its end of life, so that it expired"),
    "retired": (_code("retired"), "a target of a family whose retirement is announced or over"),
    "disabled": (_code("disabled"), "a target that Microsoft does not offer any more"),
    "unknown": (_code("unknown"), "a target that the catalogue should know and does not"),
    "behind": (_code("behind"), "a target that is not the newest of its family"),
    "newer": (_code("newer"), "a target newer than the catalogue, which is fine but unproven"),
    "resize": (_code("resize"), "a pool that is resized right now"),
    "conflict": (_code("conflict"), "a pool that is being upgraded to another version"),
    "stale": (_code("stale"), "a pool that runs another version than Pulumi's state says"),
    "deferred": (_code("deferred"), "a pool whose upgrade the last `up` deferred"),
    "moving": (_code("moving"), "a pool that was upgrading when Pulumi last looked"),
    "unhealthy": (_code("unhealthy"), "a pool that has more unhealthy nodes than the program allows"),
    "unproven": (_code("unproven"), "a pool whose nodes Pulumi has not seen to be as the program asks"),
    "unknown-state": (_code("unknown state"), "a pool in a state that nobody has heard of"),
    "another-product": (_code("another product"), "a VM pool whose target is of another product than its nodes"),
    "resize-errors": (_code("resize errors"), "a VM pool that keeps an error of a resize that is over"),
    "deallocated": (_code("deallocated"), "a VM pool with deallocated nodes, which are left as they are"),
    "upgrade": (_what("upgrade"), "an upgrade"),
    "renew": (_what("renew"), "a VM pool whose nodes are renewed"),
    "repin": (_what("repin"), "an empty VM pool that gets another pin"),
    "undo": (_what("undo"), "an earlier rollout that is undone"),
    "join": (_what("join"), "an upgrade in flight that is joined"),
    "wait": (_what("wait"), "a pool where something else comes first"),
    "update": (_what("update"), "a pool of which only other settings change"),
    "adopt": (_what("adopt"), "a pool where there is nothing to write"),
}
MEANINGS = {**{word: meaning for word, (_, meaning) in _RULES.items()}, "failed": "a stack whose preview failed"}
"""Every word that `--fail-on` takes, and what it stops at."""


def tripped(words: Iterable[str], stacks: Iterable[Stack]) -> Iterator[Tripped]:
    """What stops, in the order of the words, then of the stacks and pools. Raises KeyError for a word that is none."""
    stacks = list(stacks)
    for word in dict.fromkeys(words):
        for stack in stacks:
            if word == "failed":
                yield from [Tripped(word, stack.name)] if stack.error else []
            else:
                stops, _ = _RULES[word]
                yield from (Tripped(word, stack.name, row.name) for row in stack.rows if stops(row))
