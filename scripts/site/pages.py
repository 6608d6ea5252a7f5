"""The pages that people write, as the site shows them: grouped by docs/README.md, with links that work there.

A page is written for the repository. On the site, a link to another page stays a link between pages, a link to a file
leads to the project's address, and without an address only its text is left.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath

from scripts.project import PICTURES, ROOT

INDEX = "docs/README.md"
GROUPS = ("Start", "Resources", "Pipelines", "Operate")
PROJECT = {
    "ARCHITECTURE.md": ("Architecture", "architecture.md"),
    "CONTRIBUTING.md": ("Contributing", "contributing.md"),
    "STYLE.md": ("Style", "style.md"),
    "CHANGELOG.md": ("Changelog", "changelog.md"),
    "SECURITY.md": ("Security", "security.md"),
    "CODE_OF_CONDUCT.md": ("Code of conduct", "code-of-conduct.md"),
}
"""The pages of the root that the last group has: title and name on the site."""
HOME = {"README.md": "index.md", INDEX: "all-pages.md"}

FENCE = re.compile(r"(?ms)^( *)```.*?^\1```$")
ROW = re.compile(r"^\| \[([^\]]+)\]\(([\w-]+\.md)\) \|", re.MULTILINE)
LINK = re.compile(r"\[((?:[^\[\]]|\[[^\[\]]*\])*)\]\((?![a-z]+:)([^()\s]+)\)")
MARK = re.compile(r"^<!-- .* -->\n", re.MULTILINE)

Nav = list[dict[str, "str | Nav"]]


class PageError(Exception):
    """A page cannot be shown: its place or one of its links is missing."""


def groups(root: Path = ROOT) -> dict[str, list[tuple[str, str]]]:
    """The four groups of docs/README.md: the title and the file of each page.

    Raises:
        PageError: the groups are others, or a page of docs/ is in no group or in two.
    """
    parts = re.split(r"^## (.+)$", (root / INDEX).read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    found = {title: ROW.findall(text) for title, text in zip(parts[::2], parts[1::2], strict=True)}
    if tuple(found) != GROUPS:
        raise PageError(f"{INDEX} has the groups {', '.join(found)}; the site has {', '.join(GROUPS)}")
    listed = [file for rows in found.values() for _, file in rows]
    for page in sorted({*listed, *(each.name for each in (root / "docs").glob("*.md"))} - {"README.md"}):
        if listed.count(page) != 1:
            raise PageError(f"docs/{page} is in {listed.count(page)} groups of {INDEX}; it must be in one")
    return found


def names(root: Path = ROOT) -> dict[str, str]:
    """The name on the site of each page of the repository."""
    docs = {f"docs/{file}": file for rows in groups(root).values() for _, file in rows}
    return {**HOME, **docs, **{page: name for page, (_, name) in PROJECT.items()}}


def navigation(reference: Nav, root: Path = ROOT) -> Nav:
    """All pages in their order, with the reference between those that people write and those about the project."""
    written: Nav = [
        {title: [{label.replace("`", ""): file} for label, file in rows]} for title, rows in groups(root).items()
    ]
    about: Nav = [{title: name} for title, name in PROJECT.values()]
    return [
        {"Home": [{"batch_os_provider": "index.md"}, {"All pages": "all-pages.md"}]},
        *written,
        {"Reference": reference},
        {"Project": about},
    ]


def staged(page: str, site: Mapping[str, str], address: Callable[[str], str], root: Path = ROOT) -> str:
    """A page of the repository as the site shows it.

    Args:
        page: its path in the repository.
        site: the name on the site of each page of the repository.
        address: where a file of the repository can be read; empty if nowhere.
        root: the repository.

    Raises:
        PageError: a link leads to no file.
    """
    text = (root / page).read_text(encoding="utf-8")
    return outside_fences(
        text, lambda prose: MARK.sub("", LINK.sub(lambda link: _link(link, page, site, address, root), prose))
    )


def outside_fences(text: str, change: Callable[[str], str]) -> str:
    """A text whose prose is changed; fenced blocks stay as they are."""
    parts, end = [], 0
    for fence in FENCE.finditer(text):
        parts += [change(text[end : fence.start()]), fence[0]]
        end = fence.end()
    return "".join([*parts, change(text[end:])])


def _link(link: re.Match[str], page: str, site: Mapping[str, str], address: Callable[[str], str], root: Path) -> str:
    words, target = link[1], link[2]
    path, mark, anchor = target.partition("#")
    if not path:
        return link[0]
    file = _resolved(page, path)
    if file in site:
        return f"[{words}]({site[file]}{mark}{anchor})"
    if not (root / file).exists():
        raise PageError(f"{page}: the link {target} leads to no file")
    if file.startswith("docs/") and (root / file).is_file():
        return f"[{words}]({file.removeprefix('docs/')})"  # a picture, or a file to download
    if file.endswith(PICTURES):
        raise PageError(f"{page}: the picture {target} is not in docs/, so the site does not have it")
    where = address(file)
    return f"[{words}]({where}{mark}{anchor})" if where else words


def _resolved(page: str, path: str) -> str:
    """A relative path of a page as a path in the repository."""
    parts: list[str] = []
    for part in (PurePosixPath(page).parent / path).parts:
        if part == "..":
            parts.pop()
        else:
            parts.append(part)
    return "/".join(parts)
