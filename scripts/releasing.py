"""The steps of a release: `scripts/release VERSION`.

It also answers the workflow that publishes a tag: `--check-tag TAG` and `--notes VERSION`.
"""

from __future__ import annotations

import datetime as dt
import re
import subprocess
import sys
import zipfile

from scripts import project
from scripts.project import ROOT

CHANGELOG = ROOT / "CHANGELOG.md"
PYPROJECT = ROOT / "pyproject.toml"
UNRELEASED = "## [Unreleased]"
FIRST = re.compile(r"\n<!-- \S+ is the first release; .*? -->\n")
GRAMMAR = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")
SHOWN = {
    "README.md": "plugin install resource batchos {} --file",
    "policies/PulumiPolicy.yaml": "version: {}",
    "docs/policies.md": "batch-os@v{} (local: policies)",
    "docs/command.md": "batch-os-provider  {}",
    "docs/other-languages.md": "plugin install resource batchos {} --file",
}
"""Files that show the version, and the words around it. They follow pyproject.toml; a test compares them."""


class ReleaseError(Exception):
    """Why a release is not possible yet; the text says what to do."""


def run(*command: str, shown: bool = False) -> str:
    """Run a command in the repository and return what it printed, or show that at once."""
    output = None if shown else subprocess.PIPE
    done = subprocess.run(command, cwd=ROOT, stdout=output, encoding="utf-8", check=False)
    if done.returncode != 0:
        raise ReleaseError(f"`{' '.join(command)}` failed ({done.returncode}): the lines above say why")
    return done.stdout or ""


def section(version: str) -> str:
    """What CHANGELOG.md says about a version, without the heading; empty if it says nothing."""
    text = CHANGELOG.read_text(encoding="utf-8")
    heading = rf"^## \[{re.escape(version)}\][^\n]*\n"
    found = re.search(rf"{heading}(.*?)(?=^## |^\[[^\]]+\]: |\Z)", text, re.MULTILINE | re.DOTALL)
    return FIRST.sub("", found[1]).strip() if found else ""


def check(version: str) -> None:
    """Refuse a version or a tree of which no release can be made."""
    wanted = GRAMMAR.fullmatch(version)
    if wanted is None:
        raise ReleaseError(f"{version!r} is not a version: write it as 1.2.3")
    tags = run("git", "tag", "--list", "v*").split()
    if f"v{version}" in tags:
        raise ReleaseError(f"the tag v{version} exists: choose a later version")
    present = project.version()
    newer = tuple(map(int, wanted.groups())) > tuple(map(int, present.split(".")))
    if not newer and (version != present or f"v{present}" in tags):
        raise ReleaseError(f"{version} is not later than {present}, the version in pyproject.toml")
    if not project.address().startswith("https://"):
        raise ReleaseError(
            "the project has no address yet, and links in the package would lead nowhere: set Homepage under\n"
            "[project.urls] in pyproject.toml to https://github.com/OWNER/REPOSITORY, and commit it"
        )
    if not re.search(r"^\* +@\S", (ROOT / ".github" / "CODEOWNERS").read_text(encoding="utf-8"), re.MULTILINE):
        raise ReleaseError(".github/CODEOWNERS names no owner: write `* @NAME` into it, and commit it")
    changed = run("git", "status", "--porcelain")
    if changed:
        raise ReleaseError(f"the tree has changes; commit or remove them:\n{changed.rstrip()}")
    branch = run("git", "branch", "--show-current").strip()
    if branch != "main":
        raise ReleaseError(f"the branch is {branch or 'none'}: a release is made on main")
    if not section("Unreleased"):
        raise ReleaseError(f"CHANGELOG.md has nothing under {UNRELEASED}: write what has changed")


def set_version(version: str) -> None:
    """Write the version into pyproject.toml, and into what shows it."""
    before = project.version()
    text = PYPROJECT.read_text(encoding="utf-8")
    PYPROJECT.write_text(project.VERSION.sub(f'version = "{version}"', text, count=1), encoding="utf-8")
    for name, words in SHOWN.items():
        page = (ROOT / name).read_text(encoding="utf-8")
        (ROOT / name).write_text(page.replace(words.format(before), words.format(version)), encoding="utf-8")


def move_changes(version: str, day: str) -> None:
    """Give what is unreleased its number and date, and write the links of both headings."""
    text = FIRST.sub("", CHANGELOG.read_text(encoding="utf-8"))
    earlier = re.search(r"^\[Unreleased\]: \S+/compare/(v\S+)\.\.\.HEAD\n", text, re.MULTILINE)
    address = project.address()
    text = text.replace(UNRELEASED, f"{UNRELEASED}\n\n## [{version}] - {day}", 1)
    links = f"[Unreleased]: {address}/compare/v{version}...HEAD\n"
    if earlier:
        links += f"[{version}]: {address}/compare/{earlier[1]}...v{version}\n"
        text = text.replace(earlier[0], links)
    else:
        text = f"{text.rstrip()}\n\n{links}[{version}]: {address}/releases/tag/v{version}\n"
    CHANGELOG.write_text(text, encoding="utf-8")


def check_wheel(version: str) -> None:
    """Refuse a wheel of another version, or with a link that only works in the repository."""
    (wheel,) = (ROOT / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as files:
        (name,) = (name for name in files.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = files.read(name).decode()
    if f"\nVersion: {version}\n" not in metadata:
        raise ReleaseError(f"{wheel.name} has another version than {version}")
    relative = project.LINK.findall(metadata)
    if relative:
        raise ReleaseError(f"the description in {wheel.name} has relative links: {', '.join(relative)}")


def check_tag(tag: str) -> None:
    """Refuse a tag that is not that of the version in pyproject.toml."""
    if tag != f"v{project.version()}":
        raise ReleaseError(f"the tag {tag} is not that of version {project.version()} in pyproject.toml")


def notes(version: str) -> str:
    """What a release says about itself."""
    text = section(version)
    if not text:
        raise ReleaseError(f"CHANGELOG.md has no section about {version}")
    return text


def release(version: str) -> None:
    """All steps, up to a commit and a tag on this machine."""
    check(version)
    try:
        set_version(version)
        move_changes(version, dt.datetime.now(dt.UTC).date().isoformat())
        run(sys.executable, "scripts/plugin_schema.py")
        run(sys.executable, "-m", "scripts.release_state", shown=True)
        run("make", "test", shown=True)
        check_wheel(version)
        run("git", "add", "--all")
        run("git", "commit", "--quiet", "--message", f"Release {version}")
    except ReleaseError as error:
        raise ReleaseError(
            f"{error}\nNothing was committed. `git reset --hard && git clean -d --force` takes back what was written."
        ) from None
    run("git", "tag", "--annotate", f"v{version}", "--message", f"Release {version}")
    print(f"{version} is committed and tagged. Publish it: git push origin main v{version}")


def main(arguments: list[str]) -> int:
    """Make a release, or answer a question of the workflow that publishes it."""
    try:
        match arguments:
            case ["--check-tag", tag]:
                check_tag(tag)
            case ["--notes", version]:
                print(notes(version))
            case [version] if not version.startswith("-"):
                release(version)
            case _:
                print("usage: scripts/release VERSION | --check-tag TAG | --notes VERSION", file=sys.stderr)
                return 2
    except ReleaseError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
