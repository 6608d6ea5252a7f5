"""Build the documentation site.

    .venv/bin/python -m scripts.site                   into site/: open site/index.html
    .venv/bin/python -m scripts.site --output FOLDER   into another folder
    .venv/bin/python -m scripts.site --stage FOLDER    only write the pages, as Markdown, and the builder's file

A dead link, a dead anchor, a page that is in no group: each is an error. Building needs no network.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml  # type: ignore[import-untyped]  # it ships no types

from scripts import project
from scripts.project import ROOT
from scripts.site import commands, http_interface, native, pages, picture, resources

HERE = Path(__file__).resolve().parent
BUILDER = ROOT / ".venv-docs" / ("Scripts" if os.name == "nt" else "bin") / "mkdocs"
OUTPUT = ROOT / "site"
DRAWN = "## Layers\n"
"""The heading of ARCHITECTURE.md above which the site shows the picture."""
QUIET = {"NO_MKDOCS_2_WARNING": "1"}
"""mkdocs-material advertises its successor at every build."""


def reference() -> tuple[dict[str, str], pages.Nav]:
    """The generated pages by their names on the site, and their part of the navigation."""
    troubleshooting = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    made = {page.file: resources.reference(page, troubleshooting) for page in resources.PAGES}
    nav: pages.Nav = [{page.name: page.file} for page in resources.PAGES]
    made["reference/batchos.md"] = native.page()
    made["reference/batch-os.md"] = commands.overview()
    listed: pages.Nav = [{"batch-os": "reference/batch-os.md"}]
    for name, command in commands.subcommands().items():
        file = f"reference/{commands.COMMAND}-{name}.md"
        made[file] = commands.page(name, command)
        listed.append({f"batch-os {name}": file})
    made["reference/batch-simulator.md"] = commands.simulator_page()
    made["reference/simulator-http.md"] = http_interface.page()
    return made, [
        *nav,
        {native.NAME: "reference/batchos.md"},
        {"Commands": [*listed, {"batch-simulator": "reference/batch-simulator.md"}]},
        {"The simulator's HTTP interface": "reference/simulator-http.md"},
    ]


def stage(folder: Path, address: str = "") -> None:
    """Write all pages below a folder, and the file that the builder reads.

    Args:
        folder: an empty folder.
        address: the project's address; without one the pages have no links to files of the repository.
    """
    version = project.version()

    def where(file: str) -> str:
        kind = "tree" if (ROOT / file).is_dir() else "blob"
        return f"{address}/{kind}/v{version}/{file}" if address else ""

    made, nav = reference()
    site = pages.names()
    texts = {name: pages.staged(page, site, where) for page, name in site.items()}
    if DRAWN not in texts["architecture.md"]:
        raise pages.PageError(f"ARCHITECTURE.md has no heading {DRAWN.strip()!r}, above which the picture is shown")
    texts["architecture.md"] = texts["architecture.md"].replace(DRAWN, f"{picture.architecture()}\n\n{DRAWN}", 1)
    target = folder / "pages"
    # Pictures, and the files to download.
    shutil.copytree(ROOT / "docs", target, ignore=shutil.ignore_patterns("*.md"))
    for name, text in {**made, **texts}.items():
        (target / name).parent.mkdir(exist_ok=True)
        (target / name).write_text(text, encoding="utf-8")
    shutil.copy(HERE / "site.css", target / "site.css")
    settings = {
        "nav": pages.navigation(nav),
        "copyright": f"Version {version}. Not affiliated with Microsoft or Pulumi.",
    }
    settings |= {"repo_url": address, "site_url": pages_address(address)} if address else {}
    # The builder's own tags cannot be read here, so the settings are added as text.
    text = (HERE / "mkdocs.yml").read_text(encoding="utf-8")
    (folder / "mkdocs.yml").write_text(text + yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")


def pages_address(address: str) -> str:
    """Where GitHub Pages shows the site of a project on GitHub; empty for any other host."""
    host, _, rest = address.removeprefix("https://").partition("/")
    owner, _, repository = rest.partition("/")
    return f"https://{owner.lower()}.github.io/{repository}/" if host == "github.com" and repository else ""


def build(config: Path, output: Path) -> list[str]:
    """Build staged pages; what is wrong with them.

    Raises:
        FileNotFoundError: the builder is not installed.
    """
    # Not --quiet: then warnings are dropped before they are counted, and `strict` has no effect.
    command = [str(BUILDER), "build", "--config-file", str(config), "--site-dir", str(output)]
    done = subprocess.run(command, env={**os.environ, **QUIET}, capture_output=True, text=True, check=False)
    found = [line for line in done.stderr.splitlines() if line.strip() and not line.startswith("INFO ")]
    return (found or [f"the builder ended with {done.returncode}"]) if done.returncode else []


def main() -> int:
    """Stage and build."""
    parser = argparse.ArgumentParser(prog="scripts.site", description="Build the documentation site.")
    parser.add_argument("--output", type=Path, default=OUTPUT, metavar="FOLDER")
    parser.add_argument("--stage", type=Path, metavar="FOLDER")
    options = parser.parse_args()
    try:
        if options.stage:
            stage(options.stage, project.address())
            return 0
        with tempfile.TemporaryDirectory(prefix="batch-os-site-") as scratch:
            stage(Path(scratch), project.address())
            output = options.output.resolve()
            troubles = build(Path(scratch) / "mkdocs.yml", output)
    except pages.PageError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except FileNotFoundError as error:
        if error.filename != str(BUILDER):
            raise
        print("error: the builder is not installed.\nNext: Run `make docs`, which installs it.", file=sys.stderr)
        return 1
    for trouble in troubles:
        print(trouble, file=sys.stderr)
    if troubles:
        return 1
    print(f"built: {output / 'index.html'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
