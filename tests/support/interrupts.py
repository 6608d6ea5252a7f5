"""The one traceback that is not ours: of a program that Pulumi's language host has interrupted."""

from __future__ import annotations

import re

LAUNCHER = "pulumi-language-python-exec"
_TRACEBACK = "Traceback (most recent call last):"
_CHAINED = "During handling of the above exception, another exception occurred:"
_ROW = re.compile(r"^[ +~@*-]*pulumi:pulumi:Stack \S+ (?:\S+ )?(?:\(\d+s\) )?")


def without_interrupts(text: str) -> str:
    """A command's output without tracebacks that start in the launcher and end in KeyboardInterrupt.

    Language hosts since Pulumi CLI 3.229 send SIGINT to a program after a failure, and Python prints these where
    batch_os_provider was not in the program yet, or could not leave them out. Every other traceback stays.
    """
    lines = text.splitlines(keepends=True)
    bare = [_ROW.sub("", line).strip() for line in lines]
    kept: list[str] = []
    at = 0
    while at < len(lines):
        end = _end_of_interrupt(bare, at)
        if end is None:
            kept.append(lines[at])
            at += 1
        else:
            at = end
    return "".join(kept)


def _end_of_interrupt(bare: list[str], start: int) -> int | None:
    """The line after the interrupt's traceback that starts here; None where none does."""
    if bare[start] != _TRACEBACK or not bare[start + 1 : start + 2]:
        return None
    if not re.match(rf'File "(?:[^"]*/)?{LAUNCHER}", line ', bare[start + 1]):
        return None
    for number in range(start + 2, len(bare)):
        if bare[number] == "KeyboardInterrupt":
            chained = number + 1
            while chained < len(bare) and not bare[chained]:
                chained += 1
            return chained + 1 if bare[chained : chained + 1] == [_CHAINED] else number + 1
        if bare[number] == _TRACEBACK or re.match(r"[\w.]+(Error|Exception|Exit)\b", bare[number]):
            return None
    return None
