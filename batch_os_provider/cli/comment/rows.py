"""The values that a digest of previews consists of: a stack, its pools, and their messages.

``digest`` makes them, ``markdown`` and ``fail_on`` read them, so they depend on none of the three.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["Message", "Row", "Stack"]


@dataclass(frozen=True)
class Message:
    """One sentence of the preview, without its tail; ``severity`` as Pulumi spells it, such as ``warning``."""

    severity: str
    text: str


@dataclass(frozen=True)
class Row:
    """One pool of a stack.

    ``what`` is that of the tail. Without a tail it is ``update`` (other settings), ``delete`` (Pulumi stops managing
    the pool) or ``failed`` (an error). ``looked`` is True if the preview has checked the pool, and ``unseen`` says
    why it has not (empty if the document does not show why).
    ``warnings`` are the codes of all tails, the other fields (such as ``image_ends``) as in
    ``message_tail.MessageTail``.
    """

    resource: str
    kind: str
    op: str
    what: str
    pool: str = ""
    pool_id: str = ""
    came_from: str = ""
    target: str = ""
    nodes: int | None = None
    behind: int | None = None
    tasks: int | None = None
    back: int | None = None
    warnings: tuple[str, ...] = ()
    looked: bool = False
    unseen: str = ""
    image_ends: str = ""
    from_image: str = ""
    to_image: str = ""
    said: tuple[Message, ...] = ()

    @property
    def name(self) -> str:
        """The pool's id, or the resource's name if no pool is known."""
        return self.pool_id or self.resource

    @property
    def account(self) -> str:
        """The account's name, or its host if it has no such name; empty if no pool is known."""
        host = self.pool.partition("://")[2].partition("/")[0]
        return host.partition(".")[0] if host.endswith(".batch.azure.com") else host


@dataclass(frozen=True)
class Stack:
    """The preview of one stack; ``error`` is its first error, empty if it succeeded.

    ``others`` counts the changes of other resources, by operation; ``unchanged`` counts the resources that do not
    change, None if the preview ended too early to know.
    """

    name: str
    rows: tuple[Row, ...] = ()
    error: str = ""
    full_error: str = ""
    others: Mapping[str, int] = field(default_factory=dict)
    unchanged: int | None = None
    said: tuple[Message, ...] = ()
