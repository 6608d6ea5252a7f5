"""The pages are correct: outputs are those of real runs, links have a target, and shown programs and commands run."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from batch_os_provider.cli.probe.questions import ON_RETURN, questions
from batch_os_provider.schema import inputs
from batch_os_provider.schema.outputs import IMAGE_OUTPUTS, OUTPUTS
from batch_os_provider.simulator.state.load import load
from batch_os_provider.simulator.world.clock import VirtualClock
from batch_os_provider.simulator.world.world import World

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def prose(page: Path) -> str:
    """A page without its fenced blocks, which may contain any text."""
    return FENCE.sub("", read(page))


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in HEADING.findall(prose(page)))
    return {heading.replace(" ", "-") for heading in plain}


def fenced(page: Path, language: str) -> list[str]:
    return [text for found, text in FENCE.findall(read(page)) if found == language]


def test_every_output_is_that_of_a_run():
    assert "BATCH_OS_TEST_PULUMI" in os.environ, "the Pulumi CLI is needed; run the tests with `make test`"
    command = [sys.executable, "-m", "scripts.docs", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603 - ours
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_block_is_empty():
    for page in PAGES:
        assert all(text.strip() for _, text in FENCE.findall(read(page))), page.name


def test_readme_is_short():
    assert len(read(README).splitlines()) <= 215


def test_readme_begins_with_the_two_commands():
    commands = [line.partition("#")[0].strip() for text in fenced(README, "sh") for line in text.splitlines()]
    assert commands[:2] == ["make demo", "make test"]


def test_readme_has_one_program_and_a_scenario_runs_it():
    marked = re.findall(r"<!-- program -->\n```python\n(.*?)^```$", read(README), re.DOTALL | re.MULTILINE)
    assert marked == fenced(README, "python")
    assert len(marked) == 1
    for resource in ("PoolImageVersion(", "PoolOsVersion("):
        assert resource in marked[0], "both kinds side by side"


def test_readme_begins_with_what_people_have():
    text = read(README)
    places = [
        text.index(each) for each in ("batch-os status", "batch-os adopt", "pulumi up` writes nothing", "## Two kinds")
    ]
    assert places == sorted(places)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_python_blocks_compile(page: Path):
    for number, text in enumerate(fenced(page, "python")):
        compile(text, f"{page.name} block {number}", "exec")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_lead_somewhere(page: Path):
    for link in LINK.findall(prose(page)):
        if re.match(r"\w+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{page.name}: {link}"
        if anchor:
            assert anchor in anchors(target), f"{page.name}: {link}"


def test_the_index_has_every_page_once_and_says_what_it_tells():
    index = ROOT / "docs" / "README.md"
    before, *groups = re.split(r"^## (.+)$", read(index), flags=re.MULTILINE)
    assert groups[::2] == ["Start", "Resources", "Pipelines", "Operate"]
    rows = [
        row for group in groups[1::2] for row in re.findall(r"^\| \[[^\]]+\]\((\S+)\) \| (.+) \|$", group, re.MULTILINE)
    ]
    assert sorted(page for page, _ in rows) == sorted(page.name for page in ROOT.glob("docs/*.md") if page != index)
    assert all(LINK.search(text) is None for _, text in rows), "one page a line"
    order = LINK.findall(before)
    assert order[0] == "../README.md"
    assert set(order[1:]) <= {page for page, _ in rows}
    assert "docs/README.md" in LINK.findall(read(README))


def test_the_cloud_services_tables_have_every_input_with_its_default_and_every_output():
    page = read(ROOT / "docs" / "cloud-services.md")
    rows = {row[0]: row for row in re.findall(r"^\| `(\w+)` \| (.*)$", page, re.MULTILINE)}
    assert set(rows) == {*inputs.INPUTS, *OUTPUTS}
    for name in inputs.OS.required:
        assert "required" in rows[name][1]
    for name, default in inputs.OS.defaults.items():
        assert (", off |" if default is None else f", `{default}` |") in rows[name][1], name


def test_vm_pools_tables_have_every_input_with_its_default_and_every_output():
    page = read(ROOT / "docs" / "vm-pools.md").partition("## Inputs")[2].partition("\n## ")[0]
    rows = {row[0]: row for row in re.findall(r"^\| `(\w+)` \| (.*)$", page, re.MULTILINE)}
    assert set(rows) == {*inputs.IMAGE.names, *IMAGE_OUTPUTS}
    for name in inputs.IMAGE.required:
        assert "required" in rows[name][1]
    for name, default in inputs.IMAGE.defaults.items():
        assert f", `{default}` |" in rows[name][1], name


def test_the_fleets_page_shows_the_example():
    example = read(ROOT / "examples" / "fleet" / "__main__.py")
    assert example.partition('"""\n\n')[2] == fenced(ROOT / "docs" / "fleets.md", "python")[0]


@pytest.mark.parametrize("example", ["emptied_pool", "pinned_pools", "quickstart", "vm_pool"])
def test_the_account_of_an_example_is_possible_and_has_the_pools_of_its_jobs(example: str) -> None:
    account = json.loads(read(ROOT / "examples" / example / "account.json"))
    load(World(VirtualClock(0, speed=0)), account)  # an impossible seed is refused
    assert {job["poolInfo"]["poolId"] for job in account.get("jobs", [])} <= {pool["id"] for pool in account["pools"]}


def test_the_pinned_pools_example_declares_its_account_and_has_no_windows_2022():
    folder = ROOT / "examples" / "pinned_pools"
    text = read(folder / "account.json")
    account = json.loads(text)
    load(World(VirtualClock(0, speed=0)), account)  # an impossible seed is refused
    pins = {each["id"]: each["virtualMachineConfiguration"]["imageReference"]["version"] for each in account["pools"]}
    declared = re.findall(r'^    "(\w+)": "([\d.]+)",', read(folder / "__main__.py"), re.MULTILINE)
    assert dict(declared) == pins
    assert "20348." not in text, "the other examples have that image"


def test_the_probe_page_has_every_question():
    page = read(ROOT / "docs" / "probe.md")
    names = {name for question in (*questions(), ON_RETURN) for name in question.names}
    assert {"patchNonEmptyCode", "latestOfNewNodes"} <= names
    assert [name for name in sorted(names) if f"`{name}`" not in page and name != "reimagedVersion"] == []


def test_troubleshooting_shows_every_message_and_what_to_do():
    """The message's own `Next:` is enough. An entry without it says what to do."""
    text = read(ROOT / "docs" / "troubleshooting.md")
    sections = [part for part in re.split(r"^##+ ", text, flags=re.MULTILINE)[1:] if "<!-- output: " in part]
    assert len(sections) == len(re.findall(r"^### ", text, re.MULTILINE))
    for section in sections:
        assert "Next: " in section or "**Do.**" in section, section
