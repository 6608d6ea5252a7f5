#!/usr/bin/env python3
"""Run every check: lint, types, contracts, the packages, and the tests; arguments go to pytest.

    make test                       sets up what the tests need, then comes here
    py scripts/test.py              the same on Windows, without make and without a shell: it sets up what it needs

Windows runs lint and the folders of ``ON_WINDOWS``. The other tests need a POSIX system: pseudo-terminals, shell
scripts and signals.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts import environments, pulumi_cli
from scripts.environments import IS_WINDOWS, ROOT, program, programs
from scripts.setting_up import SetupError

PYTHON = programs(ROOT / ".venv")
"""The folder of the programs of the tests' Python."""
TYPED = ("batch_os_provider", "examples", "policies", "scripts", "tests/typing")
"""What mypy checks on Windows: all but the benchmarks, which measure with system calls of Linux."""
LINT = {
    "ruff": (("ruff", "check", "--quiet"), ("ruff", "format", "--check", "--quiet")),
    "mypy": (("mypy", *(TYPED if IS_WINDOWS else ())),),
    "import contracts": (("lint-imports", "--no-cache", "--no-logo"),),
}
"""The checks that run nothing."""
ON_WINDOWS = ("tests/unit", "tests/simulator", "tests/inprocess")
NOT_ON_WINDOWS = {
    "tests/unit/engine/test_program_end.py": "signal.SIGINT",
    "tests/unit/plugin/test_main.py::test_it_serves_until_its_engine_ends_it_or_is_gone[signal]": "signal.SIGINT",
    "tests/simulator/test_cli.py": "signal.SIGTERM",
    "tests/simulator/test_rate.py": "simulator_rate",
    "tests/simulator/faults/test_faults.py::test_a_reset_is_one_on_the_socket": "reset",
    "tests/inprocess/test_bad_requests.py::test_bytes_that_are_no_request_hurt_nobody": "SHUT_WR",
    "tests/inprocess/test_bad_requests.py::test_a_body_that_is_too_long_is_refused_and_a_short_one_is_not_waited_for": (
        "SHUT_WR"
    ),
}
"""Of these folders, what Windows cannot run, with the reason in its text: a signal that a process handles, a measuring
script, a connection that is reset or closed on one side: asyncio closes it there."""


def environment(pulumi: str, python: Path = PYTHON) -> dict[str, str]:
    """The environment of the tests, with these folders of Pulumi's and Python's programs first on PATH."""
    path = [str(python), *filter(None, [pulumi]), os.environ["PATH"]]
    proxies = ",".join(filter(None, [os.environ.get("NO_PROXY"), "127.0.0.1,localhost"]))  # all servers are on loopback
    mine = {
        **os.environ,
        "PATH": os.pathsep.join(path),
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "NO_PROXY": proxies,
        "no_proxy": proxies,
        "GRPC_VERBOSITY": "ERROR",  # the tests' own clients lose their servers on purpose; stacks do not inherit it
        "BATCH_OS_TEST_PULUMI": pulumi,
        "BATCH_OS_TEST_AZURE_BATCH_5": str(program(ROOT / ".venv-azure-batch-5", "python")),
    }
    mine.pop("PYTHONDONTWRITEBYTECODE", None)
    return mine


def lint() -> int:
    """Format, lint, types and import contracts; the first code that is not 0."""
    for name, commands in LINT.items():
        print(f"== {name}", flush=True)
        for tool, *options in commands:
            code = subprocess.run([program(ROOT / ".venv", tool), *options], cwd=ROOT, check=False).returncode
            if code:
                return code
    return 0


def lint_and_package(mine: dict[str, str]) -> int:
    """Lint, and beside it build and check the packages. The packages' output comes after that of lint."""
    with tempfile.TemporaryFile() as output:
        beside = [subprocess.Popen([ROOT / "scripts" / "package"], stdout=output, stderr=output)]
        if not (ROOT / "tests" / "__pycache__").exists():
            # In a fresh clone one process compiles the tests for all workers, each of which would do it for itself.
            collect = [str(program(ROOT / ".venv", "pytest")), "--collect-only", "--quiet"]
            null = subprocess.DEVNULL
            beside.append(subprocess.Popen(collect, cwd=ROOT, env=mine, stdout=null, stderr=null))
        try:
            code = lint()
            packaged = beside[0].wait()
            for each in beside[1:]:
                each.wait()  # pytest says below what is wrong
        finally:
            for each in beside:
                if each.poll() is None:
                    each.terminate()
                    each.wait()
        output.seek(0)
        sys.stdout.write(output.read().decode(errors="replace"))
    return code or packaged


def tests(mine: dict[str, str], arguments: list[str]) -> int:
    """Run pytest."""
    print("== pytest", flush=True)
    # Tests on the real CLI mostly wait, so two processors have seven workers.
    workers = (2 if IS_WINDOWS else 7) * (os.cpu_count() or 1) // 2
    command = [str(program(ROOT / ".venv", "pytest")), f"--numprocesses={workers}", "--dist=worksteal", *arguments]
    if not IS_WINDOWS:
        os.chdir(ROOT)
        os.execve(command[0], command, mine)  # noqa: S606 - signals then reach pytest itself
    return subprocess.run(command, cwd=ROOT, env=mine, check=False).returncode


def main(arguments: list[str]) -> int:
    """Run everything; `--lint` alone runs only lint."""
    environments.enter(__file__, arguments)
    try:
        if arguments == ["--lint"]:
            return lint()
        if IS_WINDOWS:
            environments.make(".venv-azure-batch-5")
            without = [f"--deselect={each}" for each in NOT_ON_WINDOWS]
            return lint() or tests(environment(""), arguments or [*ON_WINDOWS, *without])
        mine = environment(str(pulumi_cli.find_or_install()))
        return lint_and_package(mine) or tests(mine, arguments)
    except SetupError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
