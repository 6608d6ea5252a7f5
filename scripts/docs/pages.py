"""What a command printed as a page shows it: what differs from run to run has fixed values, long lines are wrapped."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

from tests.support.stack import PROJECT, Result

ROOT = Path(__file__).resolve().parent.parent.parent
Outputs = dict[str, str]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
WIDTH = 118
BLOCK = re.compile(r"(?ms)(?<=<!-- output: )(?P<name>[\w-]+)(?P<open> -->\n```\w*\n)(?P<text>.*?)(?=^```$)")
GRID = re.compile(r"(?<=<!-- table: )(?P<name>[\w-]+)(?P<open> -->\n\n)(?P<text>(?:\|[^\n]*\n)*)")
PROGRAM = re.compile(r"(?ms)<!-- program -->\n```python\n(.*?)^```$")
FIXED = (
    (re.compile(r"127\.0\.0\.1:\d+"), "127.0.0.1:8700"),
    (re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"), "0f3c2b1a-5d4e-4f60-8a9b-7c6d5e4f3a2b"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"), "2018-11-20T09:30:00Z"),
    # The present day, in a line to declare.
    (re.compile(r'(?<=Declare nodes_since=")\d{4}-\d\d-\d\d(?=" in place)'), "2026-11-24"),
    (re.compile(r'(?<=passed, such as nodes_since=")\d{4}-\d\d-\d\d'), "2026-11-24"),
    (re.compile(r"tvm-\d+_\d+-\d{8}t\d{6}z"), "tvm-3257026573_3-20240510t093000z"),
    (re.compile(PROJECT), "farm"),
    (re.compile(r"\[Errno \d+\]"), "[Errno 111]"),
)
"""What differs from run to run, or from system to system, and what is shown in its place."""
DURATION = re.compile(r"\b(\d+h)?(\d+m)?\d+(\.\d+)?m?s\b|\b\d+h\d+m\b")


def fixed(text: str) -> str:
    """An output without what differs from run to run."""
    for pattern, value in FIXED:
        text = pattern.sub(value, text)
    return text


def shown(text: str) -> str:
    """An output as a page shows it."""
    lines: list[str] = []
    for line in fixed(text).splitlines():
        stripped = line.rstrip()
        if stripped.startswith("@ ") or (lines and lines[-1] == stripped):
            continue
        lines.append(stripped)
    while lines and not lines[-1]:
        lines.pop()
    return "".join(f"{piece}\n" for line in lines for piece in wrapped(line))


def wrapped(line: str) -> list[str]:
    """A long line as several, what follows indented below what begins it."""
    indent = line[: len(line) - len(line.lstrip())]
    return textwrap.wrap(
        line,
        WIDTH,
        subsequent_indent=f"{indent}    ",
        break_long_words=False,
        break_on_hyphens=False,
        drop_whitespace=True,
    ) or [""]


def same(old: str, new: str) -> bool:
    """Whether two texts differ in nothing but durations, and in what these do to line ends and to widths of tables."""

    def plain(text: str) -> str:
        return " ".join(re.sub("─+", "─", DURATION.sub("T", text)).split())

    return plain(old) == plain(new)


def transcript(command: str, result: Result | str) -> str:
    """A command as a user types it, and what came."""
    text = result if isinstance(result, str) else result.text
    return shown(f"$ {command}\n{text.strip()}\n")


def under_row(command: str, result: Result) -> str:
    """A command, and of what came only what stands under Diagnostics for the pool."""
    return transcript(command, diagnostics(result.text)["render"])


def row(result: Result) -> list[str]:
    """What the row of a new resource said, one after the other."""
    return re.findall(r"Pool\w+Version render creating \(\w+\) (.*)", result.text)


def diagnostics(text: str) -> dict[str, str]:
    """What Pulumi printed under each resource in Diagnostics."""
    found: dict[str, str] = {}
    name = ""
    for line in text.partition("\nDiagnostics:\n")[2].partition("\nResources:\n")[0].splitlines():
        head = re.fullmatch(r"  \S+ \((.+)\):", line)
        if head:
            name = head[1]
        elif line.strip():
            found[name] = found.get(name, "") + line.strip() + "\n"
    return found


def last_line(text: str) -> str:
    """The error with its `Next:` line, without the traceback before it."""
    lines = text.strip().splitlines()
    return "\n".join(lines[-2:] if lines[-1].startswith("Next: ") else lines[-1:])


def ageless(text: str) -> str:
    """What `doctor` prints while the catalogue is young: a page must not change because days go by."""
    line, aged = (
        re.compile(r"  warn(  catalogue .*?), (of this package)[^\n]*(?:\n {6}[^\n]*)*"),
        r"  ok  \1, \2",
    )
    text = re.sub(r"(?ms)^old: .*?^\n", "\n", text)
    return line.sub(aged, text)


def program_of(page: Path) -> str:
    """The one program of a page that a scenario runs."""
    found = PROGRAM.search(page.read_text(encoding="utf-8"))
    if found is None:
        raise LookupError(f"{page.name} has no python block marked <!-- program -->")
    return found[1]
