"""Turns one `pulumi preview --json` into a row for each pool of the stack.

The document holds every step of every provider, and a reviewer needs only the tails of a few messages. A row takes its
facts from the tails, or without tails from the step. It relies on what the real CLI (3.259) was seen to do:

* Steps without a change are left out; with `--refresh` each resource has a `refresh` step.
* A replacement is one `replace` step, and its old state names the pool that the resource leaves.
* A refused resource has no step. Its message has severity `error`; the preview ends there, with exit code 1.
* `changeSummary` counts the stack itself, and is missing if a refresh failed.
* A violated mandatory policy writes only `error: preview failed`: violations are not in the document.
* An error before the program runs (backend, passphrase, unknown stack) writes no JSON; a kill writes nothing.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from batch_os_provider.batch.address import parse_pool_url
from batch_os_provider.batch.image_version import parse_image_version
from batch_os_provider.batch.vm_target import AllocatedSince
from batch_os_provider.cli.comment.preview_file import Document
from batch_os_provider.cli.comment.rows import Message, Row, Stack
from batch_os_provider.guest_os.version import is_rollback
from batch_os_provider.preview.message_tail import NO_SUCH_POOL, MessageTail, split
from batch_os_provider.schema.resource_types import FLEETS, kind_of
from batch_os_provider.schema.spelling import in_core
from batch_os_provider.wording import plural

__all__ = ["digest"]

_STACK = "pulumi:pulumi:Stack"
_OF_THE_MACHINE = re.compile(r"using pulumi-\S+ from \$PATH at ")
"""A warning of Pulumi in each run, about the machine of the pipeline. It says nothing about pools."""
_FRAMES = ("", _STACK, *FLEETS)
"""Resources that only group pools. Their changes are not counted; their messages belong to the stack."""
_TARGETS = {"os": ("target_os_version",), "image": ("target_image_version", "nodes_since")}
_SEEN = {"os": ("current_os_version",), "image": ("oldest_node_version", "pool_image_version")}
_SEEN_OF_MOMENTS = ("oldest_node_allocated",)
_CHANGES = ("create", "update", "replace", "create-replacement", "import", "import-replacement")
_DELETES = ("delete", "discard")
_QUIET = ("same", "refresh", "read", "read-discard", "delete-replaced", "discard-replaced", "remove-pending-replace")
_UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
_HIDDEN = "[secret]"
_NOT_PLANS = ("warning", "not looked at")
_SAYS_NOTHING = "preview failed"
_LOOKS = ("batch:previewLook", "batchos:previewLook")
_OPEN = "not known before `up`"
_FOREIGN = "its message comes from another version of batch_os_provider, which this command cannot read"
_ANY_TAIL = re.compile(r"\[batch-os v\d+ \{")
_SILENT = Message(
    "info",
    "the preview has no message about this pool; what `up` would do is unknown, or known only from Pulumi's state",
)


def digest(name: str, document: Document) -> Stack:
    """The stack that a preview describes."""
    if document.error:
        return Stack(name, error=document.error, full_error=document.text)
    steps = [step for step in _dicts(document.body.get("steps")) if isinstance(step.get("urn"), str)]
    messages = [each for each in _dicts(document.body.get("diagnostics")) if isinstance(each.get("message"), str)]
    kinds = _kinds(steps, messages)
    ours: dict[str, list[dict[str, Any]]] = {urn: [] for urn in kinds}
    by_pool = {_pool(_bag(step, "newState")).lower(): step["urn"] for step in steps if step["urn"] in ours}
    for each in messages:
        urn, (_, tail) = each.get("urn"), _text(each)
        if urn not in ours and tail is not None:
            # A provider that does not know its URN writes its message on the stack's row.
            urn = by_pool.get(tail.pool.lower(), f"::::::{_pool_id(tail.pool)}")
            kinds.setdefault(urn, tail.kind)
        if urn in kinds:
            ours.setdefault(urn, []).append(each)
    rows = [
        row for urn, said in ours.items() for row in _rows(urn, kinds[urn], [s for s in steps if s["urn"] == urn], said)
    ]
    error, full_error = _first_error(messages, document.text, kinds)
    others = Counter(
        str(step.get("op"))
        for step in steps
        if step["urn"] not in kinds and _type(step["urn"]) not in _FRAMES and step.get("op") not in _QUIET
    )
    said = [
        Message("warning", _text(each)[0])
        for each in messages
        if each.get("severity") == "warning" and _type(each.get("urn")) in _FRAMES and _text(each)[1] is None
    ]
    said = [each for each in said if not _OF_THE_MACHINE.match(each.text)]
    return Stack(
        name,
        tuple(
            sorted(
                _with_reasons(_without_renames(rows), _bag(document.body, "config")),
                key=lambda row: (row.name.lower(), row.pool, row.resource, row.what),
            )
        ),
        error,
        full_error,
        dict(sorted(others.items())),
        None if error else _unchanged(document.body, steps),
        tuple(dict.fromkeys(said)),
    )


def _dicts(value: object) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _type(urn: object) -> str:
    """The type of a resource, without those of its parents."""
    parts = urn.split("::", 3) if isinstance(urn, str) else []
    return parts[2].rpartition("$")[2] if len(parts) > 3 else ""  # noqa: PLR2004 - urn:pulumi:STACK::PROJECT::TYPE::NAME


def _kinds(steps: list[dict[str, Any]], messages: list[dict[str, Any]]) -> dict[str, str]:
    """The pools by URN, ``os`` or ``image``: by type, by the inputs of a step, or by a tail in a message."""
    kinds: dict[str, str] = {}
    for step in steps:
        names = [*_bag(_bag(step, "oldState"), "inputs"), *_bag(_bag(step, "newState"), "inputs")]
        kinds[step["urn"]] = kinds.get(step["urn"]) or kind_of(_type(step["urn"]), names)
    for each in messages:
        urn, (_, tail) = each.get("urn"), _text(each)
        if isinstance(urn, str) and _type(urn) not in _FRAMES:
            kinds[urn] = kinds.get(urn) or kind_of(_type(urn)) or (tail.kind if tail is not None else "")
    return {urn: kind for urn, kind in kinds.items() if kind}


def _text(message: Mapping[str, Any]) -> tuple[str, MessageTail | None]:
    """The text of a message, without its severity and tail; and the tail."""
    text, tail = split(message["message"])
    return text.removeprefix(f"{message.get('severity')}: ").strip(), tail


def _rows(urn: str, kind: str, steps: list[dict[str, Any]], messages: list[dict[str, Any]]) -> Iterator[Row]:
    """The rows of one resource: none if nothing changes, two if it leaves one pool for another."""
    name = urn.split("::", 3)[3]
    step = next((each for each in steps if each.get("op") in (*_CHANGES, *_DELETES)), {})
    op = str(step.get("op", ""))
    old, new = _bag(step, "oldState"), _bag(step, "newState")
    texts = [_text(each) for each in messages]
    said = tuple(
        dict.fromkeys(
            Message(str(each.get("severity")), text) for each, (text, _) in zip(messages, texts, strict=True) if text
        )
    )
    tails = _Tails(
        tuple(tail for _, tail in texts if tail is not None), any(each.get("severity") == "error" for each in messages)
    )
    if op in _DELETES:
        yield _left(Row(name, kind, op, "delete", said=said), old)
        return
    if not op and not said:
        return
    refreshed = next((_bag(each, "newState") or _bag(each, "oldState") for each in steps), {})
    row = tails.row(_by_step(Row(name, kind, op, "", said=said or (_SILENT,)), old, new or refreshed))
    yield row
    before = _pool(old)
    if "replace" in op and before and row.pool and before.lower() != row.pool.lower():
        text = f"the resource {name} moves from this pool to {row.pool}; this pool does not change"
        yield _left(Row(name, kind, op, "delete", said=(Message("info", text),)), old)


@dataclass(frozen=True)
class _Tails:
    """The tails of the messages of one resource, and whether one of them is an error."""

    tails: tuple[MessageTail, ...]
    failed: bool

    def row(self, row: Row) -> Row:
        """The row with the facts of the tails; the last plan counts."""
        plan = next((tail for tail in reversed(self.tails) if tail.what not in _NOT_PLANS), None)
        warnings = tuple(dict.fromkeys(code for tail in self.tails for code in tail.warnings))
        for tail in self.tails:
            row = replace(
                row,
                pool=tail.pool,
                pool_id=_pool_id(tail.pool) or row.pool_id,
                target=tail.target or tail.since or row.target,
                warnings=warnings,
                unseen=tail.why if tail.what == "not looked at" else row.unseen,
                image_ends=tail.image_ends or row.image_ends,
            )
        if self.failed and (plan is None or plan.what != "refused"):
            return replace(row, what="failed", came_from="", target="")
        if plan is not None:
            return replace(
                row,
                what=plan.what,
                came_from=plan.came_from or plan.oldest,
                nodes=plan.nodes,
                behind=plan.behind,
                tasks=plan.tasks,
                back=plan.back,
                from_image=plan.from_image,
                to_image=plan.to_image,
                looked=plan.nodes is not None or plan.what == "refused",
            )
        return row if row.op else replace(row, what="warning")


def _by_step(row: Row, old: Mapping[str, Any], new: Mapping[str, Any]) -> Row:
    """The row with the facts of the step: the versions and, for an update, what `up` would do by the state."""
    target = _first(_bag(new, "inputs"), _TARGETS[row.kind])
    pool = _pool(new)
    row = replace(row, what="not looked at", pool=pool, pool_id=_pool_id(pool), target=target, unseen=_open(new))
    if row.op != "update":
        return row
    came_from = _came_from(row.kind, old)
    if _value(_bag(new, "inputs"), "nodes_since"):
        came_from = _first(_bag(old, "outputs"), _SEEN_OF_MOMENTS)
    return replace(row, came_from=came_from, what=_by_state(row.kind, came_from, target))


def _open(new: Mapping[str, Any]) -> str:
    """Why a preview cannot check a pool with unknown inputs; empty if all are known."""
    bag = new.get("inputs")
    names = [name for name, value in bag.items() if value == _UNKNOWN] if isinstance(bag, dict) else []
    return f"{' and '.join(names)} {plural(len(names), 'is', 'are')} {_OPEN}" if names else ""


def _by_state(kind: str, came_from: str, target: str) -> str:
    if kind == "os":
        if not target or came_from == target:
            return "update"
        return "rollback" if is_rollback(came_from, target) else "upgrade"
    seen, wanted = _sortable(came_from), _sortable(target)
    is_one_kind = seen is not None and type(seen) is type(wanted)
    return "renew" if is_one_kind and seen < wanted else "update"  # type: ignore[operator]


def _sortable(text: str) -> tuple[int, ...] | str | None:
    """A version or a moment for comparing; None for any other text."""
    version = parse_image_version(text)
    if version is not None:
        return version
    try:
        return AllocatedSince.parse(text).moment
    except ValueError:
        return None


def _came_from(kind: str, old: Mapping[str, Any]) -> str:
    """The version or moment in the state: the last observed one, else the last declared one."""
    seen = _SEEN_OF_MOMENTS if _value(_bag(old, "inputs"), "nodes_since") else _SEEN[kind]
    bags = (_bag(old, "outputs"), _bag(old, "inputs"))
    return next((value for bag in bags if (value := _first(bag, (*seen, *_TARGETS[kind])))), "")


def _first(bag: Mapping[str, Any], names: Iterable[str]) -> str:
    """The first value among these names, else empty."""
    return next((value for name in names if (value := _value(bag, name))), "")


def _left(row: Row, old: Mapping[str, Any]) -> Row:
    """A pool that Pulumi forgets."""
    pool = _pool(old)
    said = row.said or (Message("info", "Pulumi forgets this pool and does not change it"),)
    return replace(row, pool=pool, pool_id=_pool_id(pool), came_from=_came_from(row.kind, old), said=said)


def _without_renames(rows: Iterable[Row]) -> Iterator[Row]:
    """The rows, without the `delete` row of a pool that another resource now declares."""
    rows = list(rows)
    left: dict[str, list[str]] = {}
    for row in rows:
        if row.what == "delete" and row.pool:
            left.setdefault(row.pool.lower(), []).append(row.resource)
    taken = {row.pool.lower() for row in rows if row.what != "delete"}
    for row in rows:
        key = row.pool.lower()
        if row.what != "delete" and key in left:
            note = Message("info", f"until now the resource {', '.join(left[key])} declares this pool")
            yield replace(row, said=(*row.said, note))
        elif row.what != "delete" or not key or key not in taken:
            yield row


def _with_reasons(rows: Iterable[Row], config: Mapping[str, Any]) -> Iterator[Row]:
    """The rows with the reason why the preview did not check the pool, if the document shows one.

    A preview reports a reason that concerns a whole account once; the account's other pools have no message.
    """
    rows = list(rows)
    look = next((name for name in _LOOKS if _value(config, name).strip().lower() == "false"), "")
    off = f"stack config {look} is false" if look else ""
    own = ("", NO_SUCH_POOL)
    shared = {_endpoint(row): row.unseen for row in rows if row.unseen not in own and not row.unseen.endswith(_OPEN)}
    for row in rows:
        if row.looked:
            yield replace(row, unseen="")
        elif row.op not in _CHANGES:
            yield row
        elif any(_ANY_TAIL.search(message.text) for message in row.said):
            yield replace(row, unseen=_FOREIGN)
        else:
            yield replace(row, unseen=row.unseen or off or shared.get(_endpoint(row), ""))


def _endpoint(row: Row) -> str:
    return row.pool.rpartition("/pools/")[0].lower()


def _bag(holder: Mapping[str, Any], name: str) -> dict[str, Any]:
    """An object of a document; properties of a resource with the names of the core."""
    value = holder.get(name)
    if not isinstance(value, dict):
        return {}
    return in_core(value) if name in ("inputs", "outputs") else value


def _value(bag: Mapping[str, Any], name: str) -> str:
    """A text; empty if it is missing, unknown or secret."""
    value = bag.get(name)
    return value if isinstance(value, str) and value not in (_UNKNOWN, _HIDDEN) else ""


def _pool(state: Mapping[str, Any]) -> str:
    """The pool's URL by the inputs, or the id without inputs; empty if an input is unknown."""
    inputs = _bag(state, "inputs")
    endpoint, pool_id = _value(inputs, "account_endpoint"), _value(inputs, "pool_id")
    return f"{endpoint}/pools/{pool_id}" if endpoint and pool_id else _value(state, "id")


def _pool_id(url: str) -> str:
    try:
        return parse_pool_url(url).pool_id
    except ValueError:
        return url.rpartition("/pools/")[2]


def _unchanged(body: Mapping[str, Any], steps: list[dict[str, Any]]) -> int | None:
    """The number of unchanged resources, without the stack itself."""
    same = _bag(body, "changeSummary").get("same", 0)
    if not isinstance(same, int):
        return None
    root = any(_type(step["urn"]) == _STACK and step.get("op") == "same" for step in steps)
    return max(0, same - root)


def _first_error(messages: list[dict[str, Any]], around: str, pools: Mapping[str, str]) -> tuple[str, str]:
    """The first error as a sentence, and complete; both empty without an error."""
    errors = [(each, *_text(each)) for each in messages if each.get("severity") == "error"]
    telling = [each for each in errors if each[1] != _SAYS_NOTHING] or errors
    if not telling:
        line = next((line for line in around.splitlines() if line.startswith("error:")), "")
        return line.removeprefix("error:").strip(), ""
    found, text, tail = telling[0]
    if text == _SAYS_NOTHING:
        text = "the preview failed and does not say why; a violated policy is only in the log of the job"
    if tail is not None and tail.why:
        return f"{_pool_id(tail.pool)}: {tail.why}", ""
    if "Traceback (most recent call last)" in text:
        return next(line for line in reversed(text.splitlines()) if line.strip()).strip(), text
    # The details of the pool show the complete message.
    return text, "" if found.get("urn") in pools else text
