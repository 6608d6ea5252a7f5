"""Pins that each seam to the engine opens where it can, and where a private part is missing costs comfort only."""

from __future__ import annotations

import functools
import io
import json
import re
import subprocess
import sys
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import pytest

from batch_os_provider.engine import diagnostics, pulumi_process, seams
from batch_os_provider.engine.diagnostics import ResourceLog
from batch_os_provider.errors import RefusedError
from batch_os_provider.runtime import request_log
from batch_os_provider.runtime.cancellation import CancellationToken, StopReason
from tests.support.stack import wait_until

URN = "urn:pulumi:dev::demo::pulumi-python:dynamic/batch:PoolOsVersion::pool"
SEAMS = {
    "other width": seams._keep_other_width,
    "widen": seams._widen,
    "cancel": seams._hear_cancel,
    "clean errors": seams._clean_errors,
    "other calls": seams._tell_calls_apart,
    "watch": seams._watch,
}


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "debug.log"
    monkeypatch.setenv(request_log.VARIABLE, str(path))
    return path


@pytest.fixture(autouse=True)
def no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["plugin"])
    monkeypatch.setattr(diagnostics, "_stub", None)
    monkeypatch.setattr(seams, "stop", CancellationToken())


def notes(path: Path) -> list[str]:
    return [json.loads(line)["note"] for line in path.read_text(encoding="utf-8").splitlines()]


def test_the_table_has_each_seam_once() -> None:
    names = [seam.name for seam in seams.SEAMS]
    noted = re.findall(r"seam '([^']+)' is missing", Path(diagnostics.__file__).read_text(encoding="utf-8"))
    assert sorted(names) == sorted({*SEAMS, *noted})


def test_the_page_names_the_versions_on_which_the_seams_are_proven() -> None:
    page = (Path(__file__).parents[3] / "docs" / "limits.md").read_text(encoding="utf-8")
    assert "Pulumi CLI {Pulumi CLI} with SDK {Pulumi SDK}".format(**seams.PROVEN_ON) in page


def test_outside_a_plugin_process_nothing_is_attached(log: Path) -> None:
    seams.attach()
    assert not seams._is_attached
    assert not log.exists()


@pytest.mark.parametrize("name", SEAMS)
def test_a_missing_private_part_is_noted_and_nothing_else(name: str, log: Path) -> None:
    """A test process is no plugin: no worker thread, no gRPC server, no call, no engine's address."""
    seams._open(name, SEAMS[name])
    assert len(notes(log)) == 1
    assert f"seam '{name}' is missing" in notes(log)[0]


def test_a_worker_that_is_no_executors_is_noted(log: Path) -> None:
    for arguments in ((), (lambda: None,), ("text",)):
        thread = threading.Thread(target=lambda *_: seams._open("widen", SEAMS["widen"]), args=arguments)
        thread.start()
        thread.join()
    assert len(notes(log)) == 3


def test_the_executor_of_the_worker_is_widened() -> None:
    with ThreadPoolExecutor(4) as executor:
        executor.submit(SEAMS["widen"]).result()
        assert executor._max_workers == seams.WORKERS


class Answers(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc has no types
    """The SDK's own handlers."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def service(self, details: Any) -> Any:
        return grpc.unary_unary_rpc_method_handler(lambda _request, _context: self.asked.append(details.method))


def test_cancel_is_heard_and_answered_by_the_sdk_and_every_other_call_as_before() -> None:
    server = grpc.server(ThreadPoolExecutor(1))
    sdk = Answers()
    server.add_generic_rpc_handlers([sdk])
    thread = ThreadPoolExecutor(1)
    try:
        # The seam looks for a local called `server` in the main thread's frames: this one.
        thread.submit(SEAMS["cancel"]).result()
        handler = server._state.generic_handlers[0]
        assert handler.service(SimpleNamespace(method="/pulumirpc.ResourceProvider/Check")) is None
        method = handler.service(SimpleNamespace(method="/pulumirpc.ResourceProvider/Cancel"))
        assert method is not None
        for _ in range(2):
            method.unary_unary(None, None)
        assert seams.stop.reason is StopReason.CANCELED
        assert sdk.asked == ["/pulumirpc.ResourceProvider/Cancel"] * 2
    finally:
        thread.shutdown()
        server.stop(None)


def test_our_errors_are_their_text_and_a_bug_keeps_its_traceback() -> None:
    try:
        raise RefusedError("no", pool="p")  # noqa: TRY301 - the seam reads the error being handled
    except RefusedError:
        assert seams._format_exc() == "pool p: no."
    try:
        raise KeyError("bug")  # noqa: TRY301
    except KeyError:
        assert "Traceback" in seams._format_exc()
        assert "Traceback" not in seams._format_exc(limit=0), "what the caller asks for is passed on"


def test_only_the_formatting_of_errors_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK, or code of another package in its main module, may use the rest of `traceback`."""
    main = SimpleNamespace(traceback=traceback)
    monkeypatch.setitem(sys.modules, "__main__", main)  # type: ignore[arg-type]  # what the seam uses of it
    seams._clean_errors()
    assert main.traceback is not traceback
    changed = {name for name, value in vars(traceback).items() if getattr(main.traceback, name) is not value}
    assert changed == {"format_exc"}


@pytest.mark.parametrize("main", [SimpleNamespace(traceback=1), SimpleNamespace()], ids=["another traceback", "none"])
def test_a_server_that_formats_errors_in_another_way_lacks_the_seam(main: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "__main__", main)
    with pytest.raises(AttributeError):
        seams._clean_errors()


def test_the_urn_is_the_request_of_the_call_that_this_thread_serves() -> None:
    def Check(request: Any) -> str:  # noqa: N802 - a method of the SDK's server
        return inner() if request is not None else ""

    def inner() -> str:
        return diagnostics.current_urn()

    def another_name(request: Any) -> str:
        return inner() if request is not None else ""

    assert Check(SimpleNamespace(urn=URN)) == URN
    assert Check(SimpleNamespace(urn="")) == ""
    assert Check(SimpleNamespace(urn=7)) == ""
    assert Check(SimpleNamespace()) == ""
    assert another_name(SimpleNamespace(urn=URN)) == ""
    assert diagnostics.current_urn() == ""


class Engine:
    """The engine's stub: keeps what is logged, or fails."""

    def __init__(self, error: Exception | None = None) -> None:
        self.requests: list[Any] = []
        self._error = error

    def Log(self, request: Any, timeout: float) -> None:  # noqa: N802 - the stub's own name
        assert timeout > 0, "an engine that hangs must not hang us"
        self.requests.append(request)
        if self._error is not None:
            raise self._error


def test_a_row_speaks_to_its_own_resource(monkeypatch: pytest.MonkeyPatch) -> None:
    stub = Engine()
    monkeypatch.setattr(diagnostics, "_stub", stub)
    row = ResourceLog(URN, "render-a")
    row.status("moving")
    row.info("done")
    row.warn("odd")
    told = [(r.message, r.urn, r.severity, r.ephemeral) for r in stub.requests]
    assert told == [("moving", URN, 1, True), ("done", URN, 1, False), ("odd", URN, 2, False)]


def test_lines_on_the_stacks_row_name_the_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    stub = Engine()
    monkeypatch.setattr(diagnostics, "_stub", stub)
    ResourceLog("", "render-a").info("done")
    assert stub.requests[0].message == "render-a: done"


@pytest.mark.parametrize("error", [None, grpc.RpcError("gone"), AttributeError("Log"), ValueError("no field")])
def test_a_row_without_an_engine_falls_back_to_stderr(
    error: Exception | None, log: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if error is not None:
        monkeypatch.setattr(diagnostics, "_stub", Engine(error))
    ResourceLog(URN, "render-a").status("1 of 3 nodes back")
    assert capsys.readouterr().err == "render-a: 1 of 3 nodes back\n"
    assert "seam 'row status' is missing" in notes(log)[0]


def test_a_closed_stderr_does_not_end_an_upgrade(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stderr", closed)
    ResourceLog(URN, "render-a").warn("odd")
    assert "stderr is closed" in notes(log)[-1]


@pytest.mark.parametrize(
    ("last", "address"),
    [
        ("127.0.0.1:4711", "127.0.0.1:4711"),
        ("[::1]:4711", "[::1]:4711"),
        ("127.0.0.1:", None),
        (":4711", None),
        ("--flag", None),
        ("host:port", None),
    ],
)
def test_the_engines_address_is_the_last_argument(
    last: str, address: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["plugin", last])
    assert diagnostics.engine_address() == address


def test_nothing_is_accepted_for_a_terminal_without_proof(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", "true")
    assert not diagnostics.is_terminal()
    monkeypatch.delenv("CI")
    assert not diagnostics.is_terminal(), "no ancestor of a test is called pulumi"
    monkeypatch.setattr(pulumi_process, "find", functools.partial(pulumi_process.find, tmp_path))
    assert not diagnostics.is_terminal()
    assert "seam 'terminal' is missing" in notes(log)[-1]


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("preview --json", True),
        ("preview -j", True),
        ("pre --json", True),
        ("plan --json=true", True),
        ("preview --json=1", True),
        ("-C farm preview --refresh --json --non-interactive", True),
        ("preview -rj", True),
        ("preview -jr --stack dev", True),
        ("preview", False),
        ("preview --json=false", False),
        ("preview --json=0", False),
        ("preview -m json", False),
        ("preview -sjan", False),
        ("preview --joke", False),
        ("preview -- --json", False),
        ("up --json", False),
        ("up --yes", False),
        ("refresh --json", False),
        ("", False),
    ],
)
def test_a_program_reads_where_a_preview_writes_json(command: str, expected: bool) -> None:
    assert diagnostics._is_json_preview(command.split()) is expected


def test_the_tail_is_there_where_nobody_can_tell_who_reads(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BATCH_OS_TAIL", raising=False)
    assert diagnostics.is_read_by_a_program(), "no ancestor of a test is called pulumi"
    monkeypatch.setattr(pulumi_process, "find", functools.partial(pulumi_process.find, tmp_path))
    assert diagnostics.is_read_by_a_program()
    assert "seam 'tail' is missing" in notes(log)[-1]


@pytest.mark.parametrize(
    ("asked", "command", "expected"),
    [
        ("always", "up", True),
        (" Always ", "preview", True),
        ("never", "preview --json", False),
        ("", "preview --json", True),
        ("sometimes", "preview --json", True),
        ("sometimes", "preview", False),
    ],
)
def test_a_pipeline_can_ask_for_the_tail(
    asked: str, command: str, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process of our own stands for the CLI."""
    cli = pulumi_process.Cli(tuple(command.split()), "/dev/null")
    monkeypatch.setattr(pulumi_process, "find", lambda: cli)
    monkeypatch.setenv("BATCH_OS_TAIL", asked)
    assert diagnostics.is_read_by_a_program() is expected


BARE_PLUGIN = """
import sys, types
from batch_os_provider.engine import diagnostics
from batch_os_provider.provider import PoolOsVersionProvider
main = sys.modules["__main__"]
main.__spec__ = types.SimpleNamespace(name="pulumi.dynamic.__main__")
del sys._current_frames, sys._getframe
request = types.SimpleNamespace(config={"batch:previewLook": "false"})
PoolOsVersionProvider().configure(request)
PoolOsVersionProvider().configure(request)
news = {"account_endpoint": "acct.batch.azure.com", "pool_id": "a", "target_os_version": "*"}
result = PoolOsVersionProvider().check({}, news)
assert not result.failures, result.failures
assert diagnostics.current_urn() == ""
assert not diagnostics.is_terminal()
diagnostics.ResourceLog("", "render-a").info("done")
"""


def test_a_plugin_whose_sdk_has_none_of_the_private_parts_still_works(log: Path) -> None:
    done = subprocess.run([sys.executable, "-c", BARE_PLUGIN], capture_output=True, text=True, timeout=60, check=False)  # noqa: S603
    assert (done.returncode, done.stderr.splitlines()[-1:]) == (0, ["render-a: done"])
    missing = [note.split("'")[1] for note in notes(log)]
    tried = ["other width", "widen", "cancel", "clean errors", "other calls", "watch"]
    assert missing[:6] == tried, "each is tried once, in one process"
    assert "urn" in missing
    assert missing[-1] == "row status"


ORPHAN = """
import sys, threading
from pathlib import Path
from batch_os_provider.engine import foreign_calls, seams
seams.WATCH_EVERY = seams._EXIT_AFTER = seams._LOOK_EVERY = 0.05
said = Path(sys.argv[1])

class Other:
    def create(self):
        (said / "began").touch()
        began.set()
        while not (said / "may-end").exists():
            threading.Event().wait(0.02)
        (said / "ended").touch()

def serve(provider):  # a function of the main module, as the SDK's are
    provider.create()

began = threading.Event()
if "call" in sys.argv:
    threading.Thread(target=serve, args=(Other(),), daemon=True).start()
    began.wait()
seams._can_tell_calls = "blind" not in sys.argv
seams._watch()
try:
    threading.Event().wait(60 if seams._can_tell_calls else 2)
except KeyboardInterrupt:  # as the SDK's server has it
    sys.exit(7)
sys.exit(8)
"""


ENDED = 1 if sys.platform == "win32" else 7
"""How an orphan ends: by an interrupt where there is one."""


def orphan(tmp_path: Path, *words: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", ORPHAN, str(tmp_path), *words, "127.0.0.1:1"])  # noqa: S603 - ours


def test_a_plugin_whose_engine_is_gone_ends_by_an_interrupt(log: Path, tmp_path: Path) -> None:
    assert orphan(tmp_path).wait(50) == ENDED
    assert "no call of another package runs" in notes(log)[-1]


def test_a_plugin_that_serves_another_package_ends_after_its_call(log: Path, tmp_path: Path) -> None:
    process = orphan(tmp_path, "call")
    wait_until(lambda: log.exists() and "our rollouts end" in log.read_text(encoding="utf-8"), "the engine is missed")
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(1)
    assert not (tmp_path / "ended").exists()
    (tmp_path / "may-end").touch()
    assert process.wait(50) == ENDED
    assert (tmp_path / "ended").exists()


def test_a_plugin_that_cannot_tell_calls_apart_stays(log: Path, tmp_path: Path) -> None:
    assert orphan(tmp_path, "blind").wait(50) == 8, "it ended by itself"
    assert "this process stays" in notes(log)[-1]
