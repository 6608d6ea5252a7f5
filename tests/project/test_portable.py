"""What Windows lacks, and what a system's encoding changes, is used nowhere without a guard: read from the source."""

from __future__ import annotations

import ast
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from scripts.project import ROOT
from scripts.test import ON_WINDOWS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PACKAGE = sorted((ROOT / "batch_os_provider").rglob("*.py"))
SCRIPTS = [ROOT / "scripts" / f"{name}.py" for name in ("environments", "test", "demo", "pulumi_cli")]
"""The scripts that a person starts on Windows."""
FILES = [*PACKAGE, *SCRIPTS, *sorted((ROOT / "plugin").glob("*.py")), *sorted((ROOT / "examples").rglob("*.py"))]

MODULES = {"fcntl", "grp", "pty", "pwd", "resource", "syslog", "termios", "tty"}
"""Modules of the standard library that Windows lacks."""
NAMES = {
    "signal": {"SIGALRM", "SIGHUP", "SIGKILL", "SIGQUIT", "SIGUSR1", "SIGUSR2", "alarm", "pthread_kill", "setitimer"},
    "os": {"fork", "getuid", "geteuid", "killpg", "mkfifo", "pidfd_open", "setsid", "uname", "sysconf", "WNOHANG"},
    "select": {"POLLERR", "POLLHUP", "epoll", "kqueue", "poll"},
    "socket": {"AF_UNIX"},
}
"""Names that Windows lacks, by module."""
TEXT_FILES = {"read_text", "write_text"}
RUNS = {"run", "Popen", "check_output"}


def parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def asks_for_the_system(condition: ast.expr) -> bool:
    words = ast.unparse(condition)
    return (
        any(word in words for word in ("sys.platform", "platform ==", "IS_WINDOWS", "hasattr(")) or "os.name" in words
    )


def unguarded(tree: ast.AST, *, guarded: bool = False) -> Iterator[ast.AST]:
    """Every node that no `if` about the system stands above or before."""
    for field in ast.iter_child_nodes(tree):
        if not guarded:
            yield field
        inside = guarded or (isinstance(field, ast.If) and asks_for_the_system(field.test))
        yield from unguarded(field, guarded=inside)
        # What follows `if win32: return` runs elsewhere.
        if isinstance(field, ast.If) and asks_for_the_system(field.test) and isinstance(field.body[-1], ast.Return):
            guarded = True


def missing_on_windows(tree: ast.Module) -> list[str]:
    found = []
    for node in unguarded(tree):
        if isinstance(node, ast.Import):
            found += [each.name for each in node.names if each.name in MODULES]
        elif isinstance(node, ast.ImportFrom) and node.module in MODULES:
            found.append(node.module)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.attr in NAMES.get(node.value.id, ()):
                found.append(f"{node.value.id}.{node.attr}")
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("/proc/"):
            found.append(node.value)
    return found


def imported(file: Path) -> set[str]:
    """The modules that a file imports when it is itself imported."""
    found = set()
    for node in parsed(file).body:
        if isinstance(node, ast.Import):
            found |= {each.name for each in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{each.name}" for each in node.names)}
    return found


def test_what_runs_on_windows_can_be_imported_there() -> None:
    seen: dict[Path, set[str]] = {}
    ahead = [file for folder in ON_WINDOWS for file in sorted((ROOT / folder).rglob("*.py"))]
    while ahead:
        file = ahead.pop()
        if file not in seen:
            seen[file] = imported(file)
            places = [ROOT / each.replace(".", "/") for each in seen[file] if each.startswith(("tests.", "scripts."))]
            ahead += [each for place in places for each in (place.with_suffix(".py"), place / "__init__.py")]
            ahead = [each for each in ahead if each.is_file()]
    assert ROOT / "tests" / "support" / "simulator.py" in seen
    lacking = {str(file.relative_to(ROOT)): names & MODULES for file, names in seen.items()}
    assert {file: names for file, names in lacking.items() if names} == {}


def encoding_of_the_system(tree: ast.Module) -> list[str]:
    """Calls that read or write text in the encoding of the system, which is a code page on Windows."""
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or "encoding" in {each.arg for each in node.keywords}:
            continue
        name = ast.unparse(node.func)
        last = name.rpartition(".")[2]
        words = [each.value for each in node.args if isinstance(each, ast.Constant)]
        as_text = {each.arg: ast.unparse(each.value) for each in node.keywords}
        is_text = (
            (last in TEXT_FILES and "." in name)
            or (last in RUNS and as_text.get("text") == "True")
            or (last in {"open", "fdopen", "TemporaryFile"} and {"w", "a", "r", "w+", "x"} & {*map(str, words)})
            or (name == "open" and "b" not in "".join(map(str, words[1:])))
        )
        if is_text:
            found.append(f"line {node.lineno}: {ast.unparse(node)[:60]}")
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_nothing_is_used_that_windows_lacks(file: Path) -> None:
    tree = parsed(file)
    assert (missing_on_windows(tree), encoding_of_the_system(tree)) == ([], [])


def test_a_checkout_of_git_for_windows_has_our_line_ends(tmp_path: Path) -> None:
    shutil.copy(ROOT / ".gitattributes", tmp_path)
    git = ["git", "-C", str(tmp_path), "-c", "core.autocrlf=true", "-c", "user.name=A", "-c", "user.email=a@b.c"]
    files = {"lint": b"#!/bin/sh\nexit\n", "a.py": b"a = 1\n", "releases.csv": b"1,2\r\n", "a.png": b"\x89PNG\r\n\0\n"}
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    for words in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "-m", "A"], ["rm", "--quiet", *files]):
        subprocess.run([*git, *words], check=True)  # noqa: S603 - git
    subprocess.run([*git, "reset", "--quiet", "--hard"], check=True)  # noqa: S603 - git
    assert {name: (tmp_path / name).read_bytes() for name in files} == files


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("import fcntl", ["fcntl"]),
        ("from pwd import getpwuid", ["pwd"]),
        ("signal.signal(signal.SIGHUP, stop)", ["signal.SIGHUP"]),
        ("def f():\n    os.killpg(1, signal.SIGKILL)", ["os.killpg", "signal.SIGKILL"]),
        ("Path('/proc/self')", ["/proc/self"]),
        ("if sys.platform != 'win32':\n    import fcntl", []),
        ("def f():\n    if sys.platform == 'win32':\n        return\n    select.poll()", []),
        ("def f():\n    if busy:\n        return\n    select.poll()", ["select.poll"]),
        ("signal.signal(signal.SIGTERM, stop)", []),
    ],
)
def test_the_search_finds_what_windows_lacks(text: str, found: list[str]) -> None:
    assert missing_on_windows(ast.parse(text)) == found


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("path.read_text()", 1),
        ("path.read_text(encoding='utf-8')", 0),
        ("read_text(path)", 0),
        ("path.open('w')", 1),
        ("path.open('wb')", 0),
        ("open(path)", 1),
        ("os.fdopen(handle, 'w')", 1),
        ("subprocess.run(command, text=True)", 1),
        ("subprocess.run(command, encoding='utf-8')", 0),
        ("os.open(os.devnull, os.O_WRONLY)", 0),
    ],
)
def test_the_search_finds_the_encoding_of_the_system(text: str, count: int) -> None:
    assert len(encoding_of_the_system(ast.parse(text))) == count
