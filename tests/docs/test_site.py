"""The documentation site: every page has a place, the reference follows the code, and nothing comes from elsewhere."""

from __future__ import annotations

import ast
import asyncio
import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import pulumi
import pytest
import yaml

import batch_os_provider
from batch_os_provider import errors
from batch_os_provider.cli.main import COMMANDS
from batch_os_provider.schema import fleet_plan
from scripts.plugin_examples import EXAMPLES
from scripts.project import ROOT
from scripts.site import __main__ as site
from scripts.site import commands, http_interface, native, pages, picture, resources

TROUBLESHOOTING = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
REFERENCE = {page.name: resources.reference(page, TROUBLESHOOTING) for page in resources.PAGES}
REMOTE = re.compile(r"""<(?:script|link|img|iframe|source)\b[^>]*\b(?:src|href)=["']?(?:https?:)?//[^\s>"']+""")


def tree(folder: Path, **files: str) -> Path:
    """A repository with an index of four groups and these pages of docs/."""
    (folder / "docs").mkdir()
    rows = iter([files.pop("listed", "a.md"), "", "", ""])
    text = "".join(
        f"## {group}\n\n| [A]({row}) | a |\n" if row else f"## {group}\n"
        for group, row in zip(pages.GROUPS, rows, strict=True)
    )
    (folder / "docs" / "README.md").write_text(text)
    for name, content in files.items():
        (folder / "docs" / f"{name}.md").write_text(content)
    return folder


def test_the_site_is_built_strictly_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "scripts.site", "--output", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603 - ours
    assert (done.returncode, done.stderr) == (0, "")
    built = {str(file.relative_to(tmp_path)): file.read_text(encoding="utf-8") for file in tmp_path.rglob("*.html")}
    wanted = {name.removesuffix(".md") + ".html" for name in [*pages.names().values(), *site.reference()[0]]}
    assert {*built} == {*wanted, "404.html"}
    assert {name: REMOTE.findall(text) for name, text in built.items() if REMOTE.search(text)} == {}
    for name, text in built.items():
        assert "<p>|" not in text, f"{name}: a table that is none"
        assert not re.search(r"<p>[^<]*\n- ", text), f"{name}: a list that is none"
    found = json.loads((tmp_path / "search" / "search_index.json").read_text(encoding="utf-8"))["docs"]
    assert {entry["location"].partition("#")[0] for entry in found} == wanted


def test_a_dead_anchor_ends_the_build(tmp_path: Path) -> None:
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages" / "index.md").write_text("# Home\n\n[there](other.md#nowhere)\n")
    (tmp_path / "pages" / "other.md").write_text("# Other\n")
    (tmp_path / "mkdocs.yml").write_text((site.HERE / "mkdocs.yml").read_text(encoding="utf-8"))
    troubles = site.build(tmp_path / "mkdocs.yml", tmp_path / "site")
    assert any("other.md#nowhere" in each for each in troubles)
    assert sum(each.startswith("WARNING") for each in troubles) == 1


def test_a_page_is_in_exactly_one_group(tmp_path: Path) -> None:
    with pytest.raises(pages.PageError, match=r"docs/b\.md is in 0 groups"):
        pages.groups(tree(tmp_path, a="# A\n", b="# B\n"))


def test_links_of_the_repository_become_links_of_the_site(tmp_path: Path) -> None:
    text = "[a](../README.md#x) [`b`](b.md) [c](../scripts/c.py) [d](pic.svg) [e](https://e.example) [f](#g)\n"
    text += "```md\n[h](i.md)\n```\n"
    root = tree(tmp_path, a=text)
    for name in ("README.md", "docs/b.md", "docs/pic.svg", "scripts/c.py"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).touch()
    names = {"README.md": "index.md", "docs/a.md": "a.md", "docs/b.md": "b.md"}
    without = pages.staged("docs/a.md", names, lambda _: "", root)
    assert without == text.replace("../README.md#x", "index.md#x").replace("[c](../scripts/c.py)", "c")
    addressed = pages.staged("docs/a.md", names, lambda file: f"https://host/{file}", root)
    assert "[c](https://host/scripts/c.py)" in addressed


def test_a_link_to_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(pages.PageError, match=r"docs/a\.md: the link \.\./gone\.py leads to no file"):
        pages.staged("docs/a.md", {}, lambda _: "", tree(tmp_path, a="[a](../gone.py)\n"))


def test_the_sites_address_follows_the_projects() -> None:
    assert site.pages_address("https://github.com/Contoso/batch-os") == "https://contoso.github.io/batch-os/"
    assert site.pages_address("https://git.example/contoso/batch-os") == ""


def test_files_of_the_repository_are_linked_at_the_tag(tmp_path: Path) -> None:
    site.stage(tmp_path, "https://github.com/contoso/batch-os")
    text = (tmp_path / "pages" / "vm-pools.md").read_text(encoding="utf-8")
    version = site.project.version()
    assert f"](https://github.com/contoso/batch-os/blob/v{version}/examples/vm_pool/__main__.py)" in text
    settings = (tmp_path / "mkdocs.yml").read_text(encoding="utf-8")
    assert "site_url: https://contoso.github.io/batch-os/\n" in settings


@pytest.mark.parametrize("page", resources.PAGES, ids=lambda page: page.name)
def test_a_reference_page_has_every_input_and_output_in_both_spellings(page: resources.Page) -> None:
    text = REFERENCE[page.name]
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["Usage", "Inputs", "Outputs", "Import", "Errors"]
    inputs = text.partition("\n## Inputs\n")[2].partition("\n## Outputs\n")[0]
    python, others = inputs.split('=== "YAML and TypeScript"')
    names = page.spec.names if page.spec else fleet_plan.NAMES
    assert re.findall(r"^ +`(\w+)`\{", python, re.MULTILINE) == [
        name for name in inspect.signature(getattr(batch_os_provider, page.name)).parameters if name in names
    ]
    schema = json.loads(resources.FILE.read_text(encoding="utf-8"))["resources"][f"batchos:index:{page.name}"]
    assert re.findall(r"^ +`(\w+)`\{", others, re.MULTILINE) == [*schema["inputProperties"]]
    for name in schema["properties"]:
        assert f"`{name}`{{" in text
    required = re.findall(r"^ +`(\w+)`\{[^\n]*>required<", python, re.MULTILINE)
    assert required == list(page.spec.required if page.spec else ["pools"])


def test_a_value_of_yaml_is_the_same_in_python() -> None:
    values = """
    [true, false, null, 7, 0.25, "25%", "a \\"quoted\\" one", 'back\\slash', "über 😀", [], {},
     {true: [false, {name: null}], "1.0": "true"}]
    """
    given = yaml.safe_load(values)
    text = resources.literal(given)
    assert ast.literal_eval(text) == given
    assert text.startswith('[True, False, None, 7, 0.25, "25%", ')
    with pytest.raises(TypeError, match=r"datetime\.date\(2025, 11, 1\) is a date; write it as a string"):
        resources.literal(yaml.safe_load("2025-11-01"))


@pytest.mark.parametrize("page", resources.PAGES, ids=lambda page: page.name)
def test_the_python_programs_are_those_of_the_other_languages(page: resources.Page) -> None:
    for title, in_yaml, _ in EXAMPLES[page.name]:
        program = resources.python_of(in_yaml)
        declared: list[tuple[str, dict[str, object]]] = []

        def declare(name: str, **given: object) -> pulumi.Output[None]:
            inspect.signature(getattr(batch_os_provider, page.name)).bind(name, **given)
            declared.append((name, given))  # noqa: B023 - called in this turn
            return pulumi.Output.from_input(None)

        imported, _, rest = program.rpartition(f"from batch_os_provider import {page.name}\n")
        assert imported in ("", "import pulumi\n"), title
        shown = compile(re.sub(r"(?m)^pulumi\.export.*$", "", rest), title, "exec")

        async def run() -> None:
            exec(shown, {page.name: declare})  # noqa: B023, S102 - called in this turn; ours

        asyncio.run(run())  # an output needs a loop
        given = yaml.safe_load(in_yaml)["resources"]
        pools = {name: each["properties"] for name, each in given.items() if each["type"] == f"batchos:{page.name}"}
        assert [name for name, _ in declared] == [*pools]
        for name, arguments in declared:
            values = [*arguments.values()]
            assert values[-len(pools[name]) :] == [*pools[name].values()]
            assert "account_endpoint" in arguments


def test_the_page_of_the_native_provider_has_every_option_function_and_type() -> None:
    text, schema = native.page(), json.loads(resources.FILE.read_text(encoding="utf-8"))
    for name in schema["provider"]["inputProperties"]:
        assert f"\n`{name}`{{" in text
    for function in schema["functions"].values():
        for name in (*function["inputs"]["properties"], *function["outputs"]["properties"]):
            assert f"\n`{name}`{{" in text
    for referenced in re.findall(r"(?:list|map) of ([A-Z]\w+)", text + REFERENCE["PoolFleet"]):
        assert f"\n### {referenced}\n" in text


def test_only_cloud_services_pools_have_their_errors() -> None:
    for name in ("UnhealthyError", "StalledError", "ApiRetiredError"):
        assert f"`{name}`" in REFERENCE["PoolOsVersion"]
        assert f"`{name}`" not in REFERENCE["PoolImageVersion"]
    assert "Batch could not allocate" not in REFERENCE["PoolOsVersion"]
    assert [each.__name__ for each in resources.kinds() if each.__name__ not in errors.__all__] == []
    assert {*resources.kinds()} >= {errors.TokenError, errors.InputError}


def test_every_subcommand_has_a_page_with_every_option() -> None:
    found = commands.subcommands()
    assert tuple(found) == tuple(COMMANDS)
    for name, command in found.items():
        text = commands.page(name, command)
        for parameter in command.params:
            if parameter.param_type_name == "option":
                assert f"`{', '.join(parameter.opts)}" in text, f"{name} {parameter.name}"
        assert "(../" in text, f"{name}: no page of docs/ explains it"
    for code in (0, 1, 2, 3, 130, 141):
        assert f"| {code} |" in commands.overview()


def test_the_simulators_page_has_every_option_and_request() -> None:
    text = commands.simulator_page()
    for flag in re.findall(r"--[a-z]+", commands.simulator.parser().format_help()):
        assert flag in text
    interface = http_interface.page()
    for request in (
        "PUT /_simulator/state",
        "POST /_simulator/identity/{tenant}/oauth2/v2.0/token",
        "POST /pools/{poolId}/upgradeos",
    ):
        assert f"| `{request}` | " in interface
    assert "|  |" not in interface, "a request without a docstring"


def test_the_picture_names_rooms_of_the_package() -> None:
    package = Path(batch_os_provider.__file__).parent
    for room in (room for box in (*picture.CHAIN, *picture.BESIDE) for room in box.rooms):
        assert (package / room).is_dir() or (package / f"{room}.py").is_file(), room
    assert "http" not in picture.architecture().replace("http://www.w3.org/2000/svg", "")
