"""Package, command, pages and the matrix promise the same versions, and the table claims what ran."""

from __future__ import annotations

import ast
import json
import re
import sys
from dataclasses import replace
from importlib import metadata
from typing import TYPE_CHECKING

import pytest

from batch_os_provider.cli.doctor import machine_checks
from scripts import matrix, pulumi_cli
from scripts.matrix import COMBINATIONS, FLOORS, PYTHONS, Count, MatrixError, Result, number
from scripts.project import ROOT

if TYPE_CHECKING:
    from pathlib import Path

PACKAGE = ROOT / "batch_os_provider"
DISTRIBUTIONS = {"google": "protobuf", "grpc": "grpcio", "yaml": "pyyaml"}
"""Where the name that is imported is not that of the distribution. All of azure is three distributions."""
AZURE = {"azure.batch": "azure-batch", "azure.core": "azure-core", "azure.identity": "azure-identity"}
RESULTS = matrix.read(matrix.RESULTS.read_text(encoding="utf-8"))
DAY, TREE = "2026-11-28", "1a1b06395"
RAN = Result(
    system="Linux x86_64",
    python="3.11.7",
    cli="3.259.0",
    seams="without tail",
    versions={name: f"{floor}.7" for name, floor in FLOORS.items()},
    tests={"unit": Count(1234, 0, DAY, TREE), "main road": Count(3, 2, DAY, TREE)},
)


def imported(file: Path) -> set[str]:
    """The distributions that a file of the package imports."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        names = [each.name for each in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            # `from azure import core` would be the namespace alone.
            names = [node.module] if "." in node.module else [f"{node.module}.{each.name}" for each in node.names]
        for name in names:
            top = name.partition(".")[0]
            if top in sys.stdlib_module_names or top == "batch_os_provider":
                continue
            azure = ".".join(name.split(".")[:2])
            found.add(AZURE[azure] if top == "azure" else DISTRIBUTIONS.get(top, top))
    return found


def test_whatever_is_imported_is_a_declared_dependency_and_the_other_way_round() -> None:
    of_simulator = {each for file in (PACKAGE / "simulator").rglob("*.py") for each in imported(file)}
    of_rest = {
        each for file in PACKAGE.rglob("*.py") if PACKAGE / "simulator" not in file.parents for each in imported(file)
    }
    extra = {matrix.NAME.findall(each)[0] for each in matrix.PROJECT["optional-dependencies"]["simulator"]}
    assert of_rest == {*FLOORS}
    assert of_simulator <= {*FLOORS, *extra}
    assert extra - of_simulator == {"httptools"}, "uvicorn imports it, in the protocol class that the server extends"


def test_the_environment_of_the_tests_holds_what_is_declared() -> None:
    assert {name for name, floor in FLOORS.items() if number(metadata.version(name)) < number(floor)} == set()


def test_make_test_installs_the_wheel_with_the_lowest_versions() -> None:
    """`scripts/package` starts it there. A Python without wheels of the lowest version gets the first with wheels."""
    lock = (ROOT / "requirements" / "lowest.txt").read_text(encoding="utf-8")
    locked: dict[str, list[str]] = {}
    for name, version in re.findall(r"^([\w.-]+)==([^ ]+)", lock, re.MULTILINE):
        locked.setdefault(name, []).append(version)
    higher = {name for name, floor in FLOORS.items() if not f"{locked[name][0]}.".startswith(f"{floor}.")}
    assert not higher
    wheels = (ROOT / "requirements" / "lowest.in").read_text(encoding="utf-8")
    assert {name for name in FLOORS if len(locked[name]) > 1} == {*re.findall(r"^(\w+)>=", wheels, re.MULTILINE)}
    package = (ROOT / "scripts" / "package").read_text(encoding="utf-8")
    assert ".venv-lowest/bin" in package


def test_the_promise_is_the_same_in_package_command_scripts_and_pages() -> None:
    first, last = PYTHONS[0], PYTHONS[-1]
    cli, sdk = ".".join(map(str, pulumi_cli.OLDEST[:2])), FLOORS["pulumi"]
    assert matrix.PROJECT["requires-python"] == f">={first}"
    below = (3, int(last.partition(".")[2]) + 1)
    assert (tuple(map(int, first.split("."))), below) == machine_checks.PYTHON
    assert ".".join(map(str, machine_checks.CLI[0])) == cli
    assert ".".join(map(str, machine_checks.SDK[0])) == sdk
    assert ".".join(map(str, machine_checks.AZURE_BATCH[0])) == FLOORS["azure-batch"]
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    assert f"Supported: Python {first} to {last}, " in readme
    assert f"Pulumi CLI {cli} and Python SDK {sdk} and newer, azure-batch {FLOORS['azure-batch']} and newer" in readme
    assert f"They need Python {first} or newer" in readme
    assert f"You need Python {first} or newer" in (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    page = matrix.PAGE.read_text(encoding="utf-8")
    assert f"| Python | {', '.join(PYTHONS[:-1])} and {last} |" in page
    assert f"| Pulumi CLI | {cli} and newer, below 4 |" in page
    assert f"| Pulumi SDK for Python | {sdk} and newer, below 4 |" in page
    assert f"| azure-batch | {FLOORS['azure-batch']} and newer, below 16 |" in page
    minor = re.escape(first)
    assert re.search(rf"--python-version {minor} ", (ROOT / "scripts" / "lock").read_text(encoding="utf-8"))
    assert f"sys.version_info < ({first.replace('.', ', ')})" in (ROOT / "scripts" / "python").read_text(
        encoding="utf-8"
    )


def test_the_page_shows_the_results_of_the_file() -> None:
    page = matrix.PAGE.read_text(encoding="utf-8")
    tables = {"combinations": matrix.table(RESULTS), "packages": matrix.packages(RESULTS)}
    assert page == matrix.page(page, tables), "run: .venv/bin/python scripts/matrix.py --page"
    assert matrix.written(RESULTS) == matrix.RESULTS.read_text(encoding="utf-8")


def test_a_result_is_that_of_the_promised_versions() -> None:
    """A changed floor makes a result stale: it has to run again, or to go from the file."""
    assert {name: stale(name, result) for name, result in RESULTS.items()} == {name: [] for name in RESULTS}


def test_doctor_names_the_versions_that_ran() -> None:
    ran = {
        "Python": {result.python.rpartition(".")[0] for result in RESULTS.values()},
        "Pulumi CLI": {result.cli for result in RESULTS.values()},
        "Pulumi SDK": {result.versions["pulumi"] for result in RESULTS.values()},
        "azure-batch": {result.versions["azure-batch"] for result in RESULTS.values()},
    }
    ends = {name: (min(versions, key=number), max(versions, key=number)) for name, versions in ran.items()}
    assert {name: " to ".join(dict.fromkeys(each)) for name, each in ends.items()} == machine_checks.TESTED


def stale(name: str, result: Result) -> list[str]:
    """What of a result is not what its combination asks for."""
    (combination,) = (each for each in COMBINATIONS if each.name == name)
    lowest = combination.packages == "lowest"
    wanted = {
        "tests": result.good and {*result.tests} <= {*combination.parts},
        "Python": result.python.startswith(f"{combination.python}."),
        "CLI": combination.cli in ("", result.cli),
        "SDK": combination.sdk in ("", result.versions["pulumi"]),
        **{each: not lowest or f"{result.versions[each]}.".startswith(f"{floor}.") for each, floor in FLOORS.items()},
    }
    return [what for what, holds in wanted.items() if not holds]


def test_a_stale_result_is_noticed() -> None:
    changed = replace(RAN, python="3.15.1", versions={**RAN.versions, "click": "9.0"})
    assert stale("lowest", changed) == ["tests", "Python", "click"]
    assert stale("oldest-pulumi", RAN) == ["tests", "CLI", "SDK"], "it has no unit tests"


def test_the_matrix_has_each_python_and_both_ends_of_everything() -> None:
    assert {each.python for each in COMBINATIONS if each.packages == "locked"} == {*PYTHONS}
    assert {"lowest", "newest"} <= {each.packages for each in COMBINATIONS}
    clis = {each.cli for each in COMBINATIONS}
    assert {matrix.OLDEST_CLI, matrix.NEWEST_CLI, ""} == clis
    assert matrix.OLDEST_SDK in {each.sdk for each in COMBINATIONS}
    assert len({each.name for each in COMBINATIONS}) == len(COMBINATIONS)
    folders = [folder for part in matrix.PARTS.values() for folder in part]
    assert all((ROOT / name).exists() for name in (*folders, *matrix.POLICY_PACK))


def test_a_row_says_what_passed_what_failed_and_what_did_not_run() -> None:
    head, rule, *rows = matrix.table({"lowest": RAN}).splitlines()
    assert {row.count("|") for row in (head, rule, *rows)} == {head.count("|")}
    assert len(rows) == len(COMBINATIONS)
    (row,) = (row for row in rows if row.startswith("| `lowest` "))
    sdk = RAN.versions["pulumi"]
    assert row == (
        f"| `lowest` | 3.11.7 | 3.259.0 | {sdk} | lowest | 1,234 |  |  | 2 of 5 failed |  | without tail "
        "| 2026-11-28, Linux x86_64 | `1a1b06395` |"
    )
    others = [row for row in rows if not row.startswith("| `lowest` ")]
    assert all("not run here" in row for row in others)


def test_a_row_has_every_day_and_tree_of_its_parts() -> None:
    later = Count(1, 0, "2026-12-01", "220acec1f")
    parts = {"unit": later, "simulator": RAN.tests["unit"], "in process": later}
    (row,) = (row for row in matrix.table({"lowest": replace(RAN, tests=parts)}).splitlines() if "`lowest`" in row)
    assert row.endswith("| 2026-11-28, 2026-12-01, Linux x86_64 | `220acec1f`, `1a1b06395` |")


def test_the_tree_is_the_commit_and_says_if_it_was_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ROOT", "RESULTS", "PAGE"):
        monkeypatch.setattr(matrix, name, tmp_path / getattr(matrix, name).relative_to(ROOT))
    with pytest.raises(MatrixError, match="git"):
        matrix.tree()
    files = [tmp_path / "code.py", matrix.RESULTS, matrix.PAGE]
    for file in files:
        file.parent.mkdir(exist_ok=True)
        file.write_text("", encoding="utf-8")
    who = ["-c", "user.name=x", "-c", "user.email=x@example.com", "-c", "commit.gpgsign=false"]
    for words in (["init", "--quiet"], ["add", "."], [*who, "commit", "--quiet", "--message=first"]):
        matrix.run(["git", *words])
    clean = matrix.tree()
    assert re.fullmatch(r"[0-9a-f]{9}", clean)
    for file, seen in zip(reversed(files), (clean, clean, f"{clean} and changes"), strict=True):
        file.write_text("new\n", encoding="utf-8")
        assert matrix.tree() == seen


def test_the_newest_version_that_ran_is_compared_by_numbers() -> None:
    older, newer = replace(RAN, versions={"pulumi": "3.99.0"}), replace(RAN, versions={"pulumi": "3.272.0"})
    rows = matrix.packages({"lowest": newer, "newest": older}).splitlines()
    assert f"| pulumi | {FLOORS['pulumi']} | 3.272.0 |" in rows
    assert f"| click | {FLOORS['click']} |  |" in rows


def test_results_are_kept_and_those_of_unknown_combinations_are_left_out() -> None:
    text = matrix.written({"newest": RAN, "of the past": RAN, "lowest": RAN})
    assert list(json.loads(text)) == ["lowest", "newest"]
    assert matrix.read(text) == {"newest": RAN, "lowest": RAN}


def test_a_part_that_ran_later_joins_the_others_if_the_versions_are_the_same() -> None:
    later = Count(5, 0, "2026-12-01", "220acec1f")
    main_road = replace(RAN, tests={"main road": later})
    assert matrix.joined(None, main_road) == main_road
    both = replace(RAN, tests={"unit": RAN.tests["unit"], "main road": later})
    assert matrix.joined(RAN, main_road) == both
    newer = replace(main_road, cli="3.260.0")
    assert matrix.joined(RAN, newer) == newer


def test_a_result_is_good_if_tests_ran_and_none_failed() -> None:
    assert not RAN.good
    assert replace(RAN, tests={"unit": Count(1, 0, DAY, TREE)}).good
    assert not replace(RAN, tests={}).good


def test_a_page_keeps_its_text_and_needs_its_marks() -> None:
    text = "Before.\n\n<!-- matrix: a -->\n\n| old |\n| older |\n\nAfter.\n\n| kept |\n"
    assert matrix.page(text, {"a": "| new |\n"}) == text.replace("| old |\n| older |", "| new |")
    with pytest.raises(MatrixError, match="no mark 'b'"):
        matrix.page(text, {"b": ""})


def test_a_skipped_test_did_not_pass() -> None:
    report = '<testsuites><testsuite tests="9" failures="1" errors="2" skipped="1"/></testsuites>'
    assert matrix.counted(report, DAY, TREE) == Count(5, 4, DAY, TREE)


@pytest.mark.parametrize(
    ("checks", "words"),
    [
        ([{"check": "seams", "status": "ok", "seen": "all 10 to Pulumi are there"}], "all"),
        (
            [
                {"check": "seams", "status": "warn", "seen": "'tail' is missing (gone): less"},
                {"check": "Pulumi CLI", "status": "fail", "seen": "old"},
                {"check": "seams", "status": "warn", "seen": "'clean errors' is missing (gone): less"},
            ],
            "without tail, clean errors",
        ),
    ],
)
def test_seams_as_doctor_reports_them(checks: list[dict[str, str]], words: str) -> None:
    assert matrix.seams(json.dumps({"checks": checks})) == words


@pytest.mark.parametrize("checks", [[], [{"check": "seams", "status": "fail", "seen": "no provider"}]])
def test_a_doctor_that_found_no_provider_is_an_error(checks: list[dict[str, str]]) -> None:
    with pytest.raises(MatrixError, match="could not look for the seams"):
        matrix.seams(json.dumps({"checks": checks}))


def test_what_runs_is_what_was_asked_for_or_whatever_has_its_python() -> None:
    here = {PYTHONS[0]: "/usr/bin/python"}
    assert [each.name for each, _ in matrix.chosen(["lowest"], here)] == ["lowest"]
    assert {each.python for each, _ in matrix.chosen([], here)} == {PYTHONS[0]}
    with pytest.raises(MatrixError, match="not run: newest, whose Python is not here"):
        matrix.chosen(["lowest", "newest"], here)
    with pytest.raises(MatrixError, match="no combination is named lowst; all: python-3"):
        matrix.chosen(["lowst"], here)


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in front of PATH, a cache of its own, and no way to the official installer."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setattr(pulumi_cli, "CACHE", tmp_path / "cache")
    put(folder, "curl", "exit 6")
    return folder


def put(folder: Path, name: str, script: str) -> None:
    """A program in a folder."""
    (folder / name).write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    (folder / name).chmod(0o755)


@pytest.mark.parametrize(("version", "taken"), [("v3.250.9", False), ("v3.251.0", True), ("v3.276.0", True)])
def test_a_users_own_cli_is_taken_from_the_first_promised_one_on(programs: Path, version: str, taken: bool) -> None:
    for program in pulumi_cli.PROGRAMS:
        put(programs, program, f"echo {version}")
    assert pulumi_cli.on_path() == (programs if taken else None)


def test_another_cli_is_built_from_its_own_modules_and_keeps_its_place(programs: Path, tmp_path: Path) -> None:
    source = tmp_path / "source" / "python"
    for script in ("cmd/pulumi-language-python-exec", "dist/pulumi-resource-pulumi-python"):
        (source / script).parent.mkdir(parents=True)
        (source / script).write_text("#!/bin/sh\n", encoding="utf-8")
    put(
        programs,
        "go",
        f"""case "$1" in
mod) cp go.mod "{tmp_path}/go.mod" ;;
list) echo "{source.parent}" ;;
build)
    echo "$*" >>"{tmp_path}/builds"
    while [ "$1" != -o ]; do shift; done
    touch "$2" && chmod +x "$2" ;;
esac""",
    )
    place = pulumi_cli.at_version("3.276.0")
    assert place == tmp_path / "cache" / "pulumi-3.276.0" / "bin"
    assert pulumi_cli.lacking(place) == []
    required = re.findall(
        r"github.com/pulumi/pulumi/(\w+)/v3 v(\S+)", (tmp_path / "go.mod").read_text(encoding="utf-8")
    )
    assert required == [("pkg", "3.276.0"), ("sdk", "3.276.0")]
    builds = (tmp_path / "builds").read_text(encoding="utf-8").splitlines()
    assert [re.findall(r"[Vv]ersion=v(\S+)", build) for build in builds] == [
        ["3.276.0"],
        [pulumi_cli.HOST_SDK],
        [pulumi_cli.YAML],
    ]
    assert pulumi_cli.at_version("3.276.0") == place
    assert len((tmp_path / "builds").read_text(encoding="utf-8").splitlines()) == len(pulumi_cli.BUILT), "built once"
