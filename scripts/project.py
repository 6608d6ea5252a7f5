"""The project's version and address, read from pyproject.toml, which is the only place where they are written.

A regular expression reads them, since `scripts/release` replaces the version in the same place.
"""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VERSION = re.compile(r'^version = "(.*)"$', re.MULTILINE)
ADDRESS = re.compile(r'^\[project\.urls\]\n(?:#.*\n)*Homepage = "(.*)"$', re.MULTILINE)
LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^()\s]+)(?=\))")
"""The target of a link or picture that is relative to the repository."""
PICTURES = (".png", ".svg", ".gif")


def version(root: Path = ROOT) -> str:
    """The version."""
    (found,) = VERSION.findall((root / "pyproject.toml").read_text(encoding="utf-8"))
    return str(found)


def address(root: Path = ROOT) -> str:
    """Where the project is, such as https://github.com/OWNER/REPOSITORY; empty until its owner has chosen."""
    found = ADDRESS.search((root / "pyproject.toml").read_text(encoding="utf-8"))
    return found[1].rstrip("/") if found else ""


def absolute(text: str, address: str, version: str) -> str:
    """A page of the repository's root with absolute links, to the files and pictures of this version."""

    def target(match: re.Match[str]) -> str:
        kind = "raw" if match[1].endswith(PICTURES) else "blob"
        return f"{address}/{kind}/v{version}/{match[1].removeprefix('./')}"

    return LINK.sub(target, text)
