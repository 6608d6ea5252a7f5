"""`batch-os bump`: write the newest known versions into a program and the config of its stacks.

The next preview then shows what `up` would do, as after an edit by hand. What cannot be changed without a guess stays
as it is, and is named.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

import click

from batch_os_provider.cli.adopt.declared_pools import read
from batch_os_provider.cli.adopt.project import Project
from batch_os_provider.cli.adopt.yaml_program import RUNTIME, program_file
from batch_os_provider.cli.bump.edits import replaced
from batch_os_provider.cli.bump.plan import Declared, Plan, Stacks, declared_of, identity, plan, target_of
from batch_os_provider.cli.bump.write_files import remove_leftovers, replace_all
from batch_os_provider.cli.common import UNREADABLE, endpoints_of, fail, print_json
from batch_os_provider.cli.inventory import Account, survey
from batch_os_provider.cli.outdated.listings import subscription_option
from batch_os_provider.cli.outdated.standings import standings_of
from batch_os_provider.errors import InputError
from batch_os_provider.wording import counted

__all__ = ["command"]

_NOT_OURS = frozenset({"venv", "env", "node_modules", "site-packages", "tests", "__pycache__"})


@click.command("bump", short_help="Write newer versions into a program and its config.")
@click.argument("folder", metavar="PROGRAM_FOLDER", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--yes", is_flag=True, help="Write without asking.")
@click.option("--json", "wants_json", is_flag=True, help="Print one JSON document; it writes only with --yes.")
@click.option(
    "--seen-in",
    "more",
    metavar="ENDPOINT",
    multiple=True,
    callback=endpoints_of,
    help="Another account whose nodes show versions. Can be given more than once.",
)
@click.option(
    "--config", "config", metavar="KEY=VALUE", multiple=True, help="Config for the program, on top of its own."
)
@subscription_option
def command(  # noqa: PLR0913 - the options
    *,
    folder: Path,
    yes: bool,
    wants_json: bool,
    more: tuple[str, ...],
    config: tuple[str, ...],
    subscription: str,
) -> None:
    """Write the newest known version of each pool into the program in PROGRAM_FOLDER.

    It changes literals of this package's resources in Python or YAML, and config values of all stacks that have a
    file. A pool with nodes_since gets a later day if its image is newer than that. It shows the difference and asks.
    What it leaves is printed with the reason. Exit code 2 if an account could not be read: then nothing is written.
    """
    if not all("=" in each for each in config):
        raise click.BadParameter("a config value has the form key=value", param_hint="--config")
    given = dict(each.partition("=")[::2] for each in config)
    try:
        _bump(folder, more, given, subscription, yes=yes, wants_json=wants_json)
    except InputError as error:
        fail(str(error))


def _bump(  # noqa: PLR0913 - the options
    folder: Path, more: tuple[str, ...], given: Mapping[str, str], subscription: str, *, yes: bool, wants_json: bool
) -> None:
    stacks = _declared(folder, given)
    refs = [pool.ref for pools in stacks.values() for pool in pools if pool.ref is not None]
    accounts = survey(tuple(dict.fromkeys([*(ref.endpoint for ref in refs), *more])))
    _end_if_unread(accounts)
    today = datetime.now(UTC).date()
    standings, unasked = standings_of(accounts, subscription, today)
    declared = declared_of(stacks, standings, today)
    files = {file: file.read_bytes() for file in _program_files(folder)}
    config = {stack: (file, file.read_bytes()) for stack in stacks if (file := _config_file(folder, stack)).is_file()}
    texts = files | dict(config.values())
    remove_leftovers(texts)
    found = plan(
        declared,
        files,
        config,
        lambda stack, key, new: read(folder, (stack,), {key: new, **given}, takes_files=False),
    )
    edited = {file: replaced(texts[file], changes) for file, changes in found.changes.items()}
    for line in unasked:
        click.echo(line, err=True)
    if not wants_json:
        for file, text in edited.items():
            click.echo(_diff(file.relative_to(folder), texts[file], text), nl=False)
        for old, new, newest, source in sorted(_reasons(declared, found)):
            brings = "" if newest == new else f" for {newest}"
            click.echo(f"{old} -> {new}{brings}, seen at {source}")
    writes = bool(edited) and (yes or (not wants_json and _agrees(len(edited))))
    now = _write(lambda: _declared(folder, given), stacks, declared, texts, edited) if writes else stacks
    left = _left(declared, now, found, written=writes)
    if wants_json:
        print_json({**_document(folder, declared, found, left, written=writes), "not_asked": unasked})
        return
    for each, why in left:
        click.echo(f"left: {each.pool} ({each.name}, stack {each.stack}): {why}")
    places = sum(map(len, found.changes.values()))
    state = "written" if writes else "not written" if places else "nothing to write"
    click.echo(f"{counted(places, 'version')} to change in {counted(len(edited), 'file')}: {state}")


def _declared(folder: Path, given: Mapping[str, str]) -> Stacks:
    """What the program declares in each stack that has a config file."""
    names = [each.name.removeprefix("Pulumi.").removesuffix(".yaml") for each in sorted(folder.glob("Pulumi.*.yaml"))]
    return {stack: read(folder, (stack,), given, takes_files=False) for stack in names or ["dev"]}


def _config_file(folder: Path, stack: str) -> Path:
    return folder / f"Pulumi.{stack}.yaml"


def _program_files(folder: Path) -> list[Path]:
    """The files that may be edited: of a YAML program the one that Pulumi reads."""
    project = Project.of(folder)
    if project.runtime != RUNTIME:
        return _python_files(folder)
    return [folder / program_file(project).relative_to(project.folder)]


def _python_files(folder: Path) -> list[Path]:
    """The program's own Python files: no tests, no virtual or hidden folder, and no program of a subfolder."""

    def is_own(file: Path) -> bool:
        inner = file.relative_to(folder)
        above = [folder / each for each in inner.parents if each.parts]
        return (
            not any(part.startswith(".") or part in _NOT_OURS for part in inner.parts)
            and not file.name.startswith("test_")
            and not any((each / "Pulumi.yaml").exists() for each in above)
        )

    return sorted(file for file in folder.rglob("*.py") if is_own(file) and file.is_file())


def _end_if_unread(accounts: list[Account]) -> None:
    troubles = [trouble for account in accounts for trouble in account.troubles]
    for trouble in troubles:
        click.echo(f"could not be read: {trouble}", err=True)
    if troubles:
        click.echo("nothing was written: newer versions may be where it could not be read", err=True)
        sys.exit(UNREADABLE)


def _diff(name: Path, before: bytes, after: bytes) -> str:
    old, new = (each.decode().splitlines() for each in (before, after))
    lines = difflib.unified_diff(old, new, f"a/{name.as_posix()}", f"b/{name.as_posix()}", lineterm="")
    return "".join(f"{line}\n" for line in lines)


def _agrees(files: int) -> bool:
    # click's question would make ^C and a closed input the same error.
    click.echo(f"Write {counted(files, 'file')}? [y/N] ", nl=False)
    answer = sys.stdin.readline() if sys.stdin is not None else ""
    if not answer:
        click.echo()
        fail("nothing was written: the question was not answered\nNext: Give --yes to write without asking")
    return answer.strip().lower() in {"y", "yes"}


def _write(
    run: Callable[[], Stacks],
    stacks: Stacks,
    declared: list[Declared],
    before: Mapping[Path, bytes],
    after: Mapping[Path, bytes],
) -> Stacks:
    """Write the files and return what the program then declares; put them back if that was not wanted."""

    def put_back() -> None:
        replace_all({file: before[file] for file in after if file.read_bytes() != before[file]})

    try:
        replace_all(after)
        now = run()
    except OSError as error:
        _undo(put_back, f"{error.filename} cannot be written: {error.strerror}")
    except InputError as error:
        _undo(put_back, f"with the new versions, {error}")
    except BaseException:  # ^C too: versions that the program was not run with must not stay
        put_back()
        raise
    allowed = {(each.stack, each.name, each.pool): {each.text, each.newer or each.text} for each in declared}
    seen = _targets(now)
    wrong = [name for name in allowed if seen.get(name) not in allowed[name]]
    if wrong or len(seen) != len(allowed) or sum(map(len, now.values())) != sum(map(len, stacks.values())):
        names = ", ".join(f"{name} (stack {stack})" for stack, name, _ in wrong) or "other pools"
        _undo(put_back, f"with the new versions the program declares something else than expected: {names}")
    return now


def _undo(put_back: Callable[[], None], why: str) -> NoReturn:
    put_back()
    click.echo("the files are as they were", err=True)
    fail(f"{why}\nNext: Change the versions by hand" if "\nNext: " not in why else why)


def _targets(stacks: Stacks) -> dict[tuple[str, str, str], str]:
    """The declared version by stack, name and pool."""
    return {(stack, *identity(pool)): target_of(pool) for stack, pools in stacks.items() for pool in pools}


def _reasons(declared: list[Declared], found: Plan) -> set[tuple[str, str, str, str]]:
    """Each change once: the old text, the new one, the version that it brings, and where that was seen."""
    planned = found.texts
    return {
        (each.text, each.newer, each.newest, each.source) for each in declared if (each.text, each.newer) in planned
    }


def _left(declared: list[Declared], now: Stacks, found: Plan, *, written: bool) -> list[tuple[Declared, str]]:
    """The declarations that stay, each with the reason; those that have the newest known version are not listed."""
    texts, planned = _targets(now), found.texts
    rows = []
    for each in declared:
        if each.why:
            rows.append((each, each.why))
        elif each.newer and texts[each.stack, each.name, each.pool] != each.newer:
            if not written and (each.text, each.newer) in planned:
                continue
            rows.append(
                (each, f"{each.text} -> {each.newer}: no literal or config value is only for pools that want it")
            )
    return rows


def _document(
    folder: Path, declared: list[Declared], found: Plan, left: list[tuple[Declared, str]], *, written: bool
) -> dict[str, Any]:
    """The document of ``--json``, version 1."""
    return {
        "version": 1,
        "written": written,
        "changes": [
            {
                "file": file.relative_to(folder).as_posix(),
                "line": place.line,
                "key": place.key or None,
                "from": place.text,
                "to": new,
            }
            for file, changes in found.changes.items()
            for place, new in changes.items()
        ],
        "reasons": [
            {"from": old, "to": new, "newest": newest, "source": source}
            for old, new, newest, source in sorted(_reasons(declared, found))
        ],
        "left": [
            {
                "stack": each.stack,
                "name": each.name,
                "pool": each.pool or None,
                "declared": each.text or None,
                "newest": each.newer or None,
                "why": why,
            }
            for each, why in left
        ],
    }
