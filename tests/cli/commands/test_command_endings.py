"""How each subcommand of `batch-os` ends in bad surroundings: in a sentence and with its documented code, never in a
traceback; and what it prints on narrow terminals and in code pages that lack letters."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from batch_os_provider.cli.main import COMMANDS as SUBCOMMANDS
from tests.support import fork_server
from tests.support.simulator import Simulator, nowhere

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

PROGRAM = "import pulumi\nfor pool in pulumi.Config().require_object('pools'):\n    print(pool)\n"
PREVIEW = {"changeSummary": {}, "diagnostics": [], "duration": 1, "steps": []}
CLOSED_PIPE, INTERRUPTED = 141, 130
BATCH_OS = (sys.executable, "-c", "from batch_os_provider.cli.main import main; main()")


@pytest.fixture
def farm(sim: Simulator) -> Simulator:
    """An account with both kinds of pools: Ubuntu, HPC, RHEL and two Windows Servers."""
    example = resources.files("batch_os_provider.simulator").joinpath("examples", "mixed.json")
    sim.put("state", {**sim.get("state"), **json.loads(example.read_text(encoding="utf-8"))})
    return sim


@pytest.fixture
def files(tmp_path: Path) -> Iterator[Path]:
    """A folder with a file of each bad kind, and a program with two stacks."""
    folder = tmp_path / "files"
    (folder / "program").mkdir(parents=True)
    (folder / "folder.json").mkdir()
    (folder / "program" / "__main__.py").write_text(PROGRAM, encoding="utf-8")
    for stack in ("dev", "prod-weu"):
        (folder / "program" / f"Pulumi.{stack}.yaml").write_text("config: {}\n", encoding="utf-8")
    (folder / "preview.json").write_text(json.dumps(PREVIEW), encoding="utf-8")
    (folder / "utf16.json").write_bytes(json.dumps(PREVIEW).encode("utf-16"))
    (folder / "empty.json").write_bytes(b"")
    (folder / "latin1.json").write_bytes(b'{"steps": "\xe9\xff"}')
    (folder / "numbers.json").write_text('{"numbers": [7]}', encoding="utf-8")
    with socket.socket(socket.AF_UNIX) as unreadable:
        unreadable.bind(str(folder / "unreadable.json"))  # nobody can open it, root neither
        yield folder


def environment(sim: Simulator | None, more: Mapping[str, str]) -> dict[str, str]:
    return {"PATH": str(Path(sys.executable).parent), "LANG": "C.UTF-8", **(sim.environment if sim else {}), **more}


def forked(sim: Simulator | None, *arguments: str, **more: Any) -> subprocess.Popen[bytes]:
    """A command whose terminal and whose end are as usual."""
    return start(sim, *arguments, command=fork_server.command("batch-os"), **more)


def start(
    sim: Simulator | None,
    *arguments: str,
    command: Sequence[str] = BATCH_OS,
    cwd: Path | None = None,
    stdout: Any = subprocess.PIPE,
    **more: str,
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 - the command under test
        [*command, *arguments],
        env=environment(sim, more),
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
    )


def ended(process: subprocess.Popen[bytes]) -> tuple[int, bytes, str]:
    out, err = process.communicate(timeout=120)
    text = err.decode("utf-8", "replace")
    assert "Traceback" not in text, text
    assert "Exception ignored" not in text, text
    return process.returncode, out, text


COMMANDS = {
    "help": ["--help"],
    "version": ["--version"],
    "status": ["status", "ENDPOINT"],
    "status json": ["status", "--json", "ENDPOINT"],
    "status help": ["status", "--help"],
    "outdated": ["outdated", "ENDPOINT"],
    "outdated json": ["outdated", "--json", "ENDPOINT"],
    "outdated help": ["outdated", "--help"],
    "watch help": ["watch", "--help"],
    "adopt": ["adopt", "ENDPOINT"],
    "adopt check": ["adopt", "ENDPOINT", "--check", "preview.json"],
    "adopt help": ["adopt", "--help"],
    "bump help": ["bump", "--help"],
    "comment": ["comment", "dev=preview.json"],
    "comment json": ["comment", "--json", "dev=preview.json"],
    "comment help": ["comment", "--help"],
    "catalogue": ["catalogue"],
    "catalogue json": ["catalogue", "--json"],
    "catalogue help": ["catalogue", "--help"],
    "doctor": ["doctor", "ENDPOINT"],
    "doctor help": ["doctor", "--help"],
    "restore help": ["restore", "--help"],
    "probe help": ["probe", "--help"],
}
CODES = {"adopt check": 3, "doctor": 3}
"""Where it is not 0: nobody declares the pools, and this machine has no `pulumi` on PATH."""


def words_of(name: str, sim: Simulator) -> list[str]:
    return [sim.endpoint if word == "ENDPOINT" else word for word in COMMANDS[name]]


SURROUNDINGS = {
    "40 columns, ascii, no colour": {"COLUMNS": "40", "NO_COLOR": "1", "LC_ALL": "C", "PYTHONIOENCODING": "ascii"},
    "200 columns, a Windows code page": {"COLUMNS": "200", "PYTHONIOENCODING": "cp1252"},
}


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_in_each_terminal(farm: Simulator, files: Path, name: str) -> None:
    running = [start(farm, *words_of(name, farm), cwd=files, **more) for more in SURROUNDINGS.values()]
    said = [ended(process) for process in running]
    assert [code for code, _, _ in said] == [CODES.get(name, 0)] * len(said), said
    assert all(out.strip() for _, out, _ in said)
    if name.endswith("help"):
        listed = [line for _, out, _ in said for line in out.decode().splitlines()]
        assert not [line for line in listed if line.endswith("...") and not line.startswith("Usage:")]


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "doctor"])
def test_a_reader_that_leaves_at_once_ends_a_command_quietly(farm: Simulator, files: Path, name: str) -> None:
    with start(farm, *words_of(name, farm), cwd=files) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        assert process.stderr.read() in {b"", b"4 of 8 pools declared; comments name the pools that are left out\n"}
    assert process.returncode == CLOSED_PIPE


@pytest.mark.parametrize("name", ["status", "catalogue"])
def test_a_reader_that_leaves_after_a_line_ends_a_command_quietly(farm: Simulator, files: Path, name: str) -> None:
    with start(farm, *words_of(name, farm), cwd=files) as process:
        assert process.stdout
        assert process.stderr
        assert process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    # 0 where everything had been written before the reader left.
    assert process.returncode in {0, CLOSED_PIPE}


def test_a_full_disk_and_a_closed_stderr(farm: Simulator) -> None:
    with Path("/dev/full").open("wb") as full:
        for name in ("status", "catalogue json"):
            with start(farm, *words_of(name, farm), stdout=full) as process:
                assert process.stderr
                said = process.stderr.read()
            assert said == b"error: the output cannot be written: No space left on device\n"
            assert process.returncode == 1
    with start(farm, "status", "--nonsense") as process:
        assert process.stderr
        process.stderr.close()
    assert process.returncode in {2, CLOSED_PIPE}


def test_no_word_is_cut_in_forty_columns(farm: Simulator) -> None:
    texts = {}
    for columns in ("40", "80", "200"):
        code, out, _ = ended(forked(farm, "status", farm.endpoint, COLUMNS=columns))
        assert code == 0
        texts[columns] = out.decode()
    assert max(map(len, texts["40"].splitlines())) <= 40
    assert max(map(len, texts["80"].splitlines())) <= 80
    assert "─" not in texts["40"], "blocks, where a table would need to cut"
    assert "─" in texts["80"]
    for text in texts.values():
        for pool in farm.get("state")["pools"]:
            assert pool["id"] in text
            image = pool.get("virtualMachineConfiguration", {}).get("imageReference", {})
            for part in ("publisher", "offer", "sku"):
                assert image.get(part, "") in text
            for node in pool["nodes"]:
                assert node.get("virtualMachineInfo", {}).get("imageReference", {}).get("exactVersion", "") in text


BAD_FILES: dict[str, tuple[list[str], str]] = {
    "missing": (["none.json"], "No such file|does not exist"),
    "folder": (["folder.json"], "Is a directory"),
    "unreadable": (["unreadable.json"], "No such device"),
    "not text": (["latin1.json"], "no?t? text in UTF-8 or UTF-16"),
    "other json": (["numbers.json"], "neither a preview nor an export|not what `pulumi preview --json` writes"),
}


@pytest.mark.parametrize("bad", BAD_FILES)
def test_a_file_that_cannot_be_read_is_one_sentence(files: Path, bad: str) -> None:
    (name,), sentence = BAD_FILES[bad]
    runs = {
        "check": ["adopt", "http://127.0.0.1:1", "--check", name],
        "update": ["catalogue", "--update", name, "--output", "new.json"],
        "comment": ["comment", f"dev={name}"],
    }
    for command, arguments in runs.items():
        code, out, err = ended(forked(None, *arguments, cwd=files))
        assert (code, out) == (1, b""), (command, code, out)
        assert re.fullmatch(r"[Ee]rror: [^\n]+\n(Next: [^\n]+\n)?", err), err
        assert "Errno" not in err
        assert re.search(sentence, err) or command == "update", err
    assert not (files / "new.json").exists()
    code, out, err = ended(forked(None, "catalogue", BATCH_OS_CATALOGUE=name, cwd=files))
    assert code == 1
    assert b"of the installed package: 447 releases" in out
    assert err.startswith(f"error: BATCH_OS_CATALOGUE: {name} ")


def test_an_empty_file_and_one_of_powershell(files: Path, farm: Simulator) -> None:
    code, _, err = ended(forked(farm, "adopt", farm.endpoint, "--check", "empty.json", cwd=files))
    assert (code, err.startswith("error: empty.json is empty.")) == (1, True)
    code, out, _ = ended(forked(farm, "adopt", farm.endpoint, "--check", "utf16.json", cwd=files))
    assert (code, b"of 8 pools" in out) == (3, True)
    code, out, _ = ended(forked(None, "comment", "dev=utf16.json", cwd=files))
    assert (code, b"nothing changes" in out) == (0, True)


STACKS: dict[str, tuple[list[str], str]] = {
    "not there": (["program", "--stack", "nostack"], r"has no stack nostack: .*\nNext: Name one of dev, prod-weu"),
    "which": (["program"], "has config for several stacks: dev, prod-weu"),
    "config": (["program", "--stack", "dev"], r"ConfigMissingError: .*'program:pools'.* \(.*__main__.py, line 2\)"),
    "no program": (["folder.json/.."], "has no program in Python or YAML: it has neither __main__.py nor"),
    "config, no program": (["program/Pulumi.dev.yaml"], "is the config of a stack"),
}


@pytest.mark.parametrize("case", STACKS)
def test_a_stack_or_program_that_is_not_there_is_a_line_and_its_next_step(files: Path, case: str) -> None:
    arguments, sentence = STACKS[case]
    code, out, err = ended(forked(None, "adopt", "http://127.0.0.1:1", "--check", *arguments, cwd=files))
    assert (code, out) == (1, b""), err
    assert re.search(sentence, err), err
    assert re.fullmatch(r"error: .*\nNext: .*\n", err), err


@pytest.mark.parametrize("command", ["status", "adopt", "doctor"])
def test_an_account_that_does_not_answer_or_has_no_credential(command: str) -> None:
    key = {"AZURE_BATCH_ACCOUNT": "batchsim", "AZURE_BATCH_ACCESS_KEY": "AAAA"}
    wanted = 3 if command == "doctor" else 2
    with nowhere() as closed:
        for arguments, more in (([closed], key), ([closed], {}), (["https://nobody.invalid"], key)):
            code, _, err = ended(forked(None, command, *arguments, **more))
            assert code == wanted, err
    code, _, err = ended(forked(None, command, "--nonsense", "x"))
    assert code == 2
    assert "No such option" in err
    code, _, err = ended(forked(None, command, "ftp://farm"))
    assert code == 2
    assert "allowed: https://<account>.<region>.batch.azure.com" in err


@pytest.mark.parametrize("command", ["status", "adopt"])
def test_an_interrupt_is_a_sentence(command: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        where = f"http://127.0.0.1:{server.getsockname()[1]}"
        process = start(None, command, where, AZURE_BATCH_ACCOUNT="batchsim", AZURE_BATCH_ACCESS_KEY="AAAA")
        connection, _ = server.accept()  # it waits for an answer that never comes
        with connection:
            process.send_signal(signal.SIGINT)
            code, out, err = ended(process)
    assert (code, out) == (INTERRUPTED, b"")
    assert err.strip() == "interrupted by ^C; nothing was written to Batch"


def test_completion_knows_every_subcommand() -> None:
    more = {"_BATCH_OS_COMPLETE": "bash_complete", "COMP_WORDS": "batch-os ", "COMP_CWORD": "1"}
    done: subprocess.CompletedProcess[Any] = subprocess.run(
        ["batch-os"],  # noqa: S607 - the variable's name comes from the command's
        env=environment(None, more),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == [f"plain,{name}" for name in SUBCOMMANDS]
