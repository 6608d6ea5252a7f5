"""Corrupted answers: pure functions from an answer, or its bytes, to a wrong one.

Tests check how a client handles an answer that is wrong in one exact way, on a real socket and in one process. So these
functions do not use sockets.
"""

from __future__ import annotations

import re
from dataclasses import replace
from email.utils import parsedate_to_datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from batch_os_provider.simulator.faults.effects import UNKNOWN_STATE
from batch_os_provider.simulator.protocol.wire import EMPTY_CHUNKED
from batch_os_provider.simulator.world.clock import TICKS, http_date, iso, parse_iso, seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from batch_os_provider.simulator.protocol.wire import Answer

GARBAGE: Final = "<html><body>Please sign in to the network.</body></html>"
"""The default body of ``garbage``: the sign-in page of a proxy."""
DEFAULT_PIECES: Final = 10
"""The default number of pieces into which ``slow`` cuts a body."""
_END_OF_HEAD: Final = b"\r\n\r\n"
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,7})?Z")
_EXTRA: Final[dict[str, Any]] = {
    "futureProperty": {"kind": "nested", "values": [1, None, {"deeper": True}]},
    "futureText": "\u96ea \u2028 0x00",
    "futureNumber": 1.5e300,
}


def corrupted(answer: Answer, effect: Mapping[str, Any]) -> Answer:
    """The answer changed by an effect; effects that do not change answers return it unchanged."""
    change = _CHANGES.get(effect["kind"])
    return answer if change is None else change(answer, effect)


def _unknown_state(answer: Answer, effect: Mapping[str, Any]) -> Answer:
    """Changes the resource, or each row of a list, but no nested state (start task, errors)."""
    word, names = effect.get("value") or UNKNOWN_STATE, effect.get("fields") or ["state"]

    def with_state(item: dict[str, Any]) -> dict[str, Any]:
        return {name: word if name in names else value for name, value in item.items()}

    body = answer.body
    if body is None:
        return answer
    rows = body.get("value")
    changed = {**body, "value": [with_state(row) for row in rows]} if isinstance(rows, list) else with_state(body)
    return replace(answer, body=changed)


def _extra_fields(answer: Answer, _effect: Mapping[str, Any]) -> Answer:
    return _everywhere(answer, lambda item: {**item, **_EXTRA})


def _missing_fields(answer: Answer, effect: Mapping[str, Any]) -> Answer:
    names = effect["names"]
    return _everywhere(answer, lambda item: {name: value for name, value in item.items() if name not in names})


def _garbage(answer: Answer, effect: Mapping[str, Any]) -> Answer:
    return replace(answer, status=200, reason=None, code=None, body=None, text=effect.get("body", GARBAGE))


def _clock_skew(answer: Answer, effect: Mapping[str, Any]) -> Answer:
    """Shifts every timestamp of the body, and Last-Modified; :mod:`.data_plane` shifts Date."""
    skew = seconds(effect["seconds"])

    def shifted(value: Any) -> Any:
        if isinstance(value, str):
            return _TIME.sub(lambda found: iso(parse_iso(found[0]) + skew), value)
        if isinstance(value, list):
            return [shifted(each) for each in value]
        return {name: shifted(each) for name, each in value.items()} if isinstance(value, dict) else value

    headers = [
        (name, _shifted_date(value, skew)) if name == "Last-Modified" else (name, value)
        for name, value in answer.headers
    ]
    return replace(answer, headers=headers, body=shifted(answer.body))


def _shifted_date(text: str, skew: int) -> str:
    return http_date(round(parsedate_to_datetime(text).timestamp()) * TICKS + skew)


_CHANGES: Final[Mapping[str, Callable[[Answer, Mapping[str, Any]], Answer]]] = {
    "unknownState": _unknown_state,
    "extraFields": _extra_fields,
    "missingFields": _missing_fields,
    "garbage": _garbage,
    "clockSkew": _clock_skew,
}


def _everywhere(answer: Answer, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Answer:
    def walk(value: Any) -> Any:
        if isinstance(value, dict):
            return change({name: walk(each) for name, each in value.items()})
        return [walk(each) for each in value] if isinstance(value, list) else value

    return replace(answer, body=walk(answer.body))


def truncate(sent: bytes, kept: int | None) -> bytes:
    """The whole head and the first ``kept`` bytes of the body: by default half, and never all of it.

    Of the empty chunked body, by default nothing is kept: clients accept the first half of its end as the end.
    """
    end = sent.index(_END_OF_HEAD) + len(_END_OF_HEAD)
    length = len(sent) - end
    half = 0 if sent[end:] == EMPTY_CHUNKED else length // 2
    return sent[: end + min(half if kept is None else kept, max(0, length - 1))]


def split_body(sent: bytes, count: int | None) -> tuple[bytes, list[bytes]]:
    """The head, and the body in ``count`` pieces; a short body has fewer, an empty body none."""
    end = sent.index(_END_OF_HEAD) + len(_END_OF_HEAD)
    body = sent[end:]
    number = min(len(body), count or DEFAULT_PIECES)
    cuts = [len(body) * place // number for place in range(number + 1)] if number else []
    return sent[:end], [body[here:there] for here, there in pairwise(cuts)]
