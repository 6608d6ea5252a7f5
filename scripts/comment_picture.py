#!/usr/bin/env python3
"""Take a picture of a comment of `batch-os comment`, as a page on GitHub would show it.

    .venv/bin/python scripts/comment_picture.py                      docs/comment.png, of the comment in docs/comment.md
    .venv/bin/python scripts/comment_picture.py COMMENT.md PICTURE.png

`scripts/docs` writes the comment in docs/comment.md from real previews. Needs Chromium on PATH (Debian: apt-get install
chromium), or its path in CHROMIUM; no check and no test needs it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "comment.md"
BLOCK = re.compile(r"(?ms)^<!-- output: comment -->\n```markdown\n(.*?)^```$")
WIDTH = 960
STYLE = """
body { margin: 16px; background: #fff; color: #1f2328; font: 14px/1.5 "Segoe UI", "Noto Sans", "DejaVu Sans", Helvetica,
  Arial, sans-serif; }
main { border: 1px solid #d1d9e0; border-radius: 6px; }
header { padding: 8px 16px; background: #f6f8fa; border-bottom: 1px solid #d1d9e0; border-radius: 6px 6px 0 0;
  color: #59636e; }
article { padding: 16px; }
article > :first-child { margin-top: 0; }
article > :last-child { margin-bottom: 0; }
h3 { font-size: 1.25em; line-height: 1.25; margin: 0 0 16px; }
p, ul, table, details, pre { margin: 0 0 16px; }
summary { margin-bottom: 8px; }
ul { padding-left: 2em; }
table { border-collapse: collapse; display: block; width: max-content; max-width: 100%; overflow: auto; }
th, td { padding: 6px 13px; border: 1px solid #d1d9e0; text-align: left; }
tr:nth-child(2n) { background: #f6f8fa; }
code { padding: .2em .4em; font: 85% "DejaVu Sans Mono", monospace; background: #818b981f; border-radius: 6px; }
pre { padding: 16px; overflow: auto; font: 85%/1.45 "DejaVu Sans Mono", monospace; background: #f6f8fa; }
"""
QUIET = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)


def page(comment: str) -> str:
    """A comment as HTML, in a frame like that of GitHub; the first details are open, to show what is in them."""
    body = MarkdownIt("commonmark", {"html": True}).enable("table").render(comment)
    body = body.replace("<details>", "<details open>", 1)
    measure = "<script>document.title = document.documentElement.scrollHeight</script>"
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title></title><style>{STYLE}</style></head>'
        f"<body><main><header><b>github-actions</b> commented</header><article>{body}</article></main>{measure}</body>"
        "</html>\n"
    )


def picture(html: str, target: Path, chromium: str) -> None:
    """Show a page in Chromium, as high as it is, and write what it shows."""
    with tempfile.TemporaryDirectory(prefix="batch-os-picture-") as scratch:
        file = Path(scratch) / "comment.html"
        file.write_text(html, encoding="utf-8")
        command = [chromium, *QUIET, f"--user-data-dir={scratch}/profile"]
        dumped = run([*command, f"--window-size={WIDTH},600", "--dump-dom", file.as_uri()])
        height = re.search(r"<title>(\d+)</title>", dumped)
        if height is None:
            raise LookupError("Chromium did not report the height of the page")
        run([*command, f"--window-size={WIDTH},{height[1]}", f"--screenshot={target.resolve()}", file.as_uri()])


def run(command: list[str]) -> str:
    """Run Chromium; show its stderr only if it fails, since Chromium always prints some warning."""
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False, timeout=120)
    if done.returncode != 0:
        raise ChildProcessError(f"{command[0]} ended with {done.returncode}:\n{done.stderr}")
    return done.stdout


def main() -> int:
    """Take the picture."""
    given = [Path(each) for each in sys.argv[1:]]
    if len(given) not in (0, 2):
        print(__doc__, file=sys.stderr)
        return 2
    if given:
        comment, target = given[0].read_text(encoding="utf-8"), given[1]
    else:
        found = BLOCK.search(PAGE.read_text(encoding="utf-8"))
        if found is None:
            print(f"error: {PAGE} has no block of the output `comment`", file=sys.stderr)
            return 1
        comment, target = found[1], PAGE.with_suffix(".png")
    names = (os.environ.get("CHROMIUM"), "chromium", "chromium-browser", "google-chrome")
    chromium = next((path for name in names if name and (path := shutil.which(name))), None)
    if chromium is None:
        print("error: no Chromium; Debian: apt-get install chromium, elsewhere name it in CHROMIUM", file=sys.stderr)
        return 1
    picture(page(comment), target, chromium)
    print(f"{target}: {target.stat().st_size:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
