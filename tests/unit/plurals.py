"""A judge of plural forms: what is wrong with the numbers in a text that people read."""

from __future__ import annotations

import re

_NOUN = (
    "account|attempt|byte|call|canary|change|character|day|error|finding|hour|image|instance|line|message|minute|node|pool"
    "|preview|problem|refusal|release|request|resource|round|run|second|slot|stack|step|task|time|try|upgrade|version"
    "|warning|wave"
)
_MANY = _NOUN.replace("|", "s|").replace("canarys", "canaries").replace("trys", "tries") + "s"
_KIND = (
    r"(?:(?:active|dedicated|deallocated|extra|idle|later|low-priority|more|new|newer|old|older|other|queued|running|spot|such|unchanged"
    r"|unhealthy) ){0,2}"  # "2 more old nodes"
)
_NUMBER = r"(?<![\w.,:/-])"  # begins here: no part of a version, a time or a name
_SEVERAL = rf"{_NUMBER}(?:0|[2-9]|[1-9]\d+) "

_WRONG = tuple(
    re.compile(pattern)
    for pattern in (
        rf"(?<!of ){_NUMBER}1 {_KIND}(?:{_MANY})\b",  # 1 nodes, but not 1 of 1 nodes
        rf"{_SEVERAL}{_KIND}(?:{_NOUN})\b(?!-)",  # 2 node
        rf"{_NUMBER}(?<!of )1 (?:of \d+ )?{_KIND}(?:{_NOUN}|{_MANY}) (?:are|have|were|run|show|do|wait|go|change)\b",
        rf"(?<!of ){_SEVERAL}(?:of \d+ )?{_KIND}(?:{_MANY}) (?:is|has|was|runs|shows|does|waits|goes|changes)\b",
        r"\(e?s\)",  # node(s)
    )
)


def wrong_plurals(text: str) -> list[str]:
    """Every phrase of the text whose number and word do not fit; empty where all is well."""
    return [found.group() for wrong in _WRONG for found in wrong.finditer(text)]
