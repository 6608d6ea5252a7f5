#!/usr/bin/env python3
"""Run the tests on each promised combination of versions, and write docs/support.md from what ran.

usage: .venv/bin/python scripts/matrix.py [--workers N] [--part PART] [NAME ...]
       .venv/bin/python scripts/matrix.py --page

Each combination gets an environment in `.venv-matrix`. Without names, all combinations run whose Python is here; a
name whose Python is missing is an error. `--part` runs one part of each. The last results stay in scripts/matrix.json,
and the page is written from that file: what has not run is named as such, or its cell is empty. `--page` writes only
the page. Exit code 1: a test failed.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal
from xml.etree import ElementTree as ET

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts import pulumi_cli
from scripts.project import ROOT
from scripts.setting_up import SetupError
from scripts.test import environment as surroundings

FOLDER = ROOT / ".venv-matrix"
RESULTS = ROOT / "scripts" / "matrix.json"
PAGE = ROOT / "docs" / "support.md"
LOCK = ROOT / "requirements" / "dev.txt"
PROJECT: Mapping[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
NAME = re.compile(r"^[\w.-]+")
FLOOR = re.compile(r">=([\d.]+)")

PYTHONS = tuple(
    line.removeprefix("Programming Language :: Python :: ")
    for line in PROJECT["classifiers"]
    if re.fullmatch(r"Programming Language :: Python :: 3\.\d+", line)
)
"""The promised ones, as the package's classifiers name them."""
FLOORS = {NAME.findall(each)[0]: FLOOR.findall(each)[0] for each in PROJECT["dependencies"]}
"""The lowest allowed version of each direct dependency."""
OLDEST_SDK = f"{FLOORS['pulumi']}.0"
OLDEST_CLI = ".".join(map(str, pulumi_cli.OLDEST))
NEWEST_CLI = "3.276.0"

PARTS = {
    "unit": ("tests/unit",),
    "simulator": ("tests/simulator",),
    "in process": ("tests/inprocess",),
    "main road": ("tests/cli/main_road",),
    "other runs of the CLI": ("tests/cli/preview", "tests/cli/interruptions", "tests/cli/releases"),
}
"""The columns of the table, and the tests behind each."""
SHORT = ("unit", "simulator", "in process", "main road")
NOT_RUN = "not run here; the GitHub workflow runs it"
"""What the table says of a combination without a result."""
REAL_CLI = ("main road", "other runs of the CLI")
POLICY_PACK = (
    "tests/unit/test_policies.py",
    "tests/cli/preview/test_policies.py",
)
"""What needs `pulumi-policy`, whose own floors are above ours."""


class MatrixError(Exception):
    """A combination could not be tried; the text says why."""


@dataclass(frozen=True)
class Combination:
    """Versions that are tried together.

    ``packages`` says which versions of the direct dependencies: those of the lock, the lowest allowed, or the newest.
    ``sdk`` and ``cli`` are versions of Pulumi in place of those; without ``cli`` it is the one of `make test`.
    """

    name: str
    python: str
    packages: Literal["locked", "lowest", "newest"]
    parts: tuple[str, ...] = SHORT
    sdk: str = ""
    cli: str = ""


COMBINATIONS = (
    *(Combination(f"python-{python}", python, "locked") for python in PYTHONS),
    Combination("lowest", PYTHONS[0], "lowest"),
    Combination("newest", PYTHONS[-2], "newest"),
    Combination("newest-python", PYTHONS[-1], "newest"),
    Combination("oldest-pulumi", PYTHONS[0], "locked", REAL_CLI, sdk=OLDEST_SDK, cli=OLDEST_CLI),
    Combination("newest-cli", PYTHONS[0], "locked", REAL_CLI, cli=NEWEST_CLI),
)


@dataclass(frozen=True)
class Count:
    """How many tests of a part passed, how many did not, the day, and the commit that was tested."""

    passed: int
    failed: int
    day: str
    tree: str

    def __str__(self) -> str:
        return f"{self.failed:,} of {self.passed + self.failed:,} failed" if self.failed else f"{self.passed:,}"


@dataclass(frozen=True)
class Result:
    """What a run of a combination showed. ``versions`` are those of the direct dependencies."""

    system: str
    python: str
    cli: str
    seams: str
    versions: Mapping[str, str]
    tests: Mapping[str, Count] = field(default_factory=dict)

    @property
    def good(self) -> bool:
        """Whether every test passed."""
        return bool(self.tests) and not any(each.failed for each in self.tests.values())

    @property
    def days(self) -> list[str]:
        """The days on which its parts ran."""
        return sorted({each.day for each in self.tests.values()})

    @property
    def trees(self) -> list[str]:
        """The commits that were tested, in the order of the parts."""
        return list(dict.fromkeys(each.tree for each in self.tests.values()))


def joined(before: Result | None, after: Result) -> Result:
    """The later result with the parts that only the earlier one has, if both have the same versions."""
    if before is None or replace(before, tests=after.tests) != after:
        return after
    tests = {**before.tests, **after.tests}
    return replace(after, tests={part: tests[part] for part in PARTS if part in tests})


def read(text: str) -> dict[str, Result]:
    """The results in the file, by the name of the combination."""
    return {
        name: Result(**{**body, "tests": {part: Count(**count) for part, count in body["tests"].items()}})
        for name, body in json.loads(text).items()
    }


def written(results: Mapping[str, Result]) -> str:
    """The file of these results. Results of a combination that was removed are left out."""
    known = [each.name for each in COMBINATIONS if each.name in results]
    return json.dumps({name: asdict(results[name]) for name in known}, indent=1) + "\n"


def number(version: str) -> list[int]:
    """A version, so that it can be compared."""
    return [int(part) for part in re.findall(r"\d+", version)]


# The page


def table(results: Mapping[str, Result]) -> str:
    """A row for each combination."""
    parts = (part[0].upper() + part[1:] for part in PARTS)
    head = ("Combination", "Python", "CLI", "SDK", "Other packages", *parts, "Seams", "Ran", "Tree")
    rows = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for each in COMBINATIONS:
        result = results.get(each.name)
        if result is None:
            versions = (each.python, each.cli or pulumi_cli.PINNED, each.sdk or each.packages)
            cells = (*versions, each.packages, *("" for _ in PARTS), "", NOT_RUN, "")
        else:
            counts = (str(result.tests.get(part, "")) for part in PARTS)
            versions = (result.python, result.cli, result.versions["pulumi"])
            ran = f"{', '.join(result.days)}, {result.system}"
            trees = ", ".join(f"`{tree}`" for tree in result.trees)
            cells = (*versions, each.packages, *counts, result.seams, ran, trees)
        rows.append(f"| `{each.name}` | {' | '.join(cells)} |")
    return "".join(f"{row}\n" for row in rows)


def packages(results: Mapping[str, Result]) -> str:
    """The direct dependencies: from which version, and the newest that ran."""
    rows = ["| Package | From | Newest that ran |", "|---|---|---|"]
    for name, floor in FLOORS.items():
        ran = {each.versions[name] for each in results.values() if name in each.versions}
        newest = max(ran, key=number, default="")
        rows.append(f"| {name} | {floor} | {newest} |")
    return "".join(f"{row}\n" for row in rows)


def page(text: str, tables: Mapping[str, str]) -> str:
    """The page with these tables after their marks."""
    for name, rows in tables.items():
        mark = f"<!-- matrix: {name} -->\n\n"
        before, found, after = text.partition(mark)
        if not found:
            raise MatrixError(f"docs/support.md has no mark {name!r}")
        text = before + mark + rows + re.sub(r"^(?:\|.*\n)*", "", after)
    return text


def write_page(results: Mapping[str, Result]) -> None:
    """Bring docs/support.md up to date."""
    tables = {"combinations": table(results), "packages": packages(results)}
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8"), tables), encoding="utf-8")


# The runs


def run(command: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> str:
    """What a command prints; a failure shows the end of it."""
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise MatrixError(f"{' '.join(map(str, command))} failed:\n{done.stdout[-3000:]}")
    return done.stdout


def find_python(version: str) -> str | None:
    """A Python of this version that runs, from PATH or from pyenv."""
    places = sorted((Path.home() / ".pyenv" / "versions").glob(f"{version}.*/bin/python"))
    for candidate in (shutil.which(f"python{version}"), *map(str, reversed(places))):
        if candidate is None:
            continue
        try:
            said = run([candidate, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"])
        except MatrixError:  # a shim of pyenv for a version that is not active
            continue
        if said.strip() == version:
            return candidate
    return None


def requirements(combination: Combination, folder: Path, python: str) -> list[str]:
    """What uv is to install: the package's own requirements in the versions of this combination."""
    tools = ["--group", "tests"]
    if combination.packages == "newest":
        return ["--upgrade", ".[simulator]", *tools]
    if combination.packages == "lowest":
        pins = folder / "lowest.txt"
        how = ["--quiet", "--python", python, "--resolution", "lowest-direct", "--no-annotate"]
        run([uv(), "pip", "compile", *how, "pyproject.toml", "--extra", "simulator", "--output-file", str(pins)])
        return ["--requirements", str(pins), *tools]
    locked = re.findall(r"^([\w.-]+)(==[^\\\n]+)", LOCK.read_text(encoding="utf-8"), re.MULTILINE)
    pins = folder / "locked.txt"
    with pins.open("w", encoding="utf-8") as file:
        for name, pin in locked:
            other = combination.sdk if name == "pulumi" else ""
            print(f"{name}=={other}" if other else f"{name}{pin.strip()}", file=file)
    return ["--requirements", str(pins)]


def uv() -> str:
    """The uv of this environment, which the lock pins."""
    return str(Path(sys.executable).with_name("uv"))


def make_environment(combination: Combination, python: str) -> Path:
    """A new environment with the package in it; returns its folder of programs."""
    folder = FOLDER / combination.name
    run([uv(), "venv", "--quiet", "--clear", "--seed", "--python", python, folder])
    inside = str(folder / "bin" / "python")
    run([uv(), "pip", "install", "--quiet", "--python", inside, *requirements(combination, folder, inside)])
    install = ["install", "--quiet", "--python", inside, "--no-deps", "--no-build-isolation", "--reinstall"]
    run([uv(), "pip", *install, "--editable", "."])
    return folder / "bin"


def tree() -> str:
    """The commit that is tested. What the matrix itself writes does not count as a change of it."""
    written_here = [f":!{file.relative_to(ROOT)}" for file in (RESULTS, PAGE)]
    changed = run(["git", "status", "--porcelain", "--", ".", *written_here]).strip()
    return run(["git", "rev-parse", "--short=9", "HEAD"]).strip() + (" and changes" if changed else "")


def counted(report: str, day: str, tested: str) -> Count:
    """The tests in a JUnit report. One that was skipped did not pass."""
    suites = list(ET.fromstring(report).iter("testsuite"))  # noqa: S314 - pytest wrote it a moment ago
    total = sum(int(suite.get("tests", 0)) for suite in suites)
    failed = sum(int(suite.get(how, 0)) for suite in suites for how in ("failures", "errors", "skipped"))
    return Count(total - failed, failed, day, tested)


def test(part: str, programs: Path, environment: Mapping[str, str], workers: int) -> Count:
    """Run one part. What pytest says stays in a file beside the programs."""
    with_policies = (programs.parent / "lib").glob("python*/site-packages/pulumi_policy")
    left_out = [] if any(with_policies) else [f"--ignore={name}" for name in POLICY_PACK]
    log = programs.parent / f"{part.replace(' ', '-')}.log"
    day, tested = dt.datetime.now(dt.UTC).date().isoformat(), tree()
    with tempfile.TemporaryDirectory() as scratch, log.open("w", encoding="utf-8") as said:
        report = Path(scratch) / "report.xml"
        options = ["-q", "-p", "no:cacheprovider", f"--numprocesses={workers}", f"--junitxml={report}", *left_out]
        done = subprocess.run(
            [programs / "python", "-m", "pytest", *options, *PARTS[part]],
            cwd=ROOT,
            env=environment,
            stdout=said,
            stderr=said,
            check=False,
        )
        if not report.exists():
            raise MatrixError(f"pytest ended with {done.returncode} and no report; it says why in {log}")
        count = counted(report.read_text(encoding="utf-8"), day, tested)
    if count.failed:
        print(f"matrix: {part} has failures: {log}")
    return count


def seams(document: str) -> str:
    """What `batch-os doctor --json` says of the seams."""
    found = [check for check in json.loads(document)["checks"] if check["check"] == "seams"]
    missing = [re.findall(r"^'(.+?)' is missing", check["seen"])[0] for check in found if check["status"] == "warn"]
    if any(check["status"] == "fail" for check in found) or not found:
        raise MatrixError(f"batch-os doctor could not look for the seams: {found}")
    return f"without {', '.join(missing)}" if missing else "all"


def doctor(programs: Path, environment: Mapping[str, str]) -> str:
    """Its document; the exit code is about the whole machine, not about the seams."""
    done = subprocess.run(
        [programs / "batch-os", "doctor", "--json"],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    return done.stdout


def versions_in(programs: Path) -> dict[str, str]:
    """The installed versions of the direct dependencies."""
    listed = json.loads(run([uv(), "pip", "list", "--quiet", "--format", "json", "--python", programs / "python"]))
    installed = {each["name"]: each["version"] for each in listed}
    return {name: installed[name] for name in FLOORS}


def tried(combination: Combination, parts: Sequence[str], python: str, workers: int) -> Iterator[Result]:
    """Run these parts of a combination; there is a result after each."""
    print(f"matrix: {combination.name} with {python}", flush=True)
    cli = pulumi_cli.at_version(combination.cli) if combination.cli else pulumi_cli.find_or_install()
    programs = make_environment(combination, python)
    environment = surroundings(str(cli), programs)
    result = Result(
        system=f"{platform.system()} {platform.machine()}",
        python=run([programs / "python", "-c", "import platform; print(platform.python_version())"]).strip(),
        cli=run([cli / "pulumi", "version"], environment).strip().removeprefix("v"),
        seams=seams(doctor(programs, environment)),
        versions=versions_in(programs),
    )
    for part in parts:
        count = test(part, programs, environment, workers)
        print(f"matrix: {combination.name}: {part}: {count}", flush=True)
        yield replace(result, tests={part: count})


def keep(name: str, result: Result) -> None:
    """Write a result into the file and the page. Another run may have written its own in the meantime."""
    results = read(RESULTS.read_text(encoding="utf-8"))
    results[name] = joined(results.get(name), result)
    RESULTS.write_text(written(results), encoding="utf-8")
    write_page(results)


def chosen(names: Sequence[str], pythons: Mapping[str, str | None]) -> list[tuple[Combination, str]]:
    """The combinations to run, each with its Python; without names, all whose Python is here."""
    known = {each.name: each for each in COMBINATIONS}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise MatrixError(f"no combination is named {', '.join(unknown)}; all: {', '.join(known)}")
    asked = [known[name] for name in names] or list(COMBINATIONS)
    found = [(each, python) for each in asked if (python := pythons.get(each.python)) is not None]
    missing = [each.name for each in asked if pythons.get(each.python) is None]
    if names and missing:
        raise MatrixError(f"not run: {', '.join(missing)}, whose Python is not here")
    return found


def main(words: Sequence[str]) -> int:
    """Run what is asked for, and write file and page after each combination."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(each.name for each in COMBINATIONS)}")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="test processes side by side")
    parser.add_argument("--part", choices=PARTS, help="only this part of each")
    parser.add_argument("--page", action="store_true", help="run nothing, and write the page")
    asked = parser.parse_args(words)
    try:
        if asked.page:
            write_page(read(RESULTS.read_text(encoding="utf-8")))
            return 0
        good = True
        for combination, python in chosen(asked.names, {version: find_python(version) for version in PYTHONS}):
            parts = [part for part in combination.parts if asked.part in (None, part)]
            for result in tried(combination, parts, python, asked.workers):
                keep(combination.name, result)
                good &= result.good
    except (MatrixError, SetupError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
