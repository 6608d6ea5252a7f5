"""The process of the native provider: how it begins, and how it ends with its engine."""

from __future__ import annotations

import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
import yaml
from google.protobuf import empty_pb2
from pulumi.runtime.proto import engine_pb2_grpc, provider_pb2_grpc

from batch_os_provider import __version__
from batch_os_provider.plugin.main import after_refusal

ROOT = Path(__file__).parents[3]
MAIN = ROOT / "plugin" / "__main__.py"
COMMAND = Path(sys.executable).parent / "pulumi-resource-batchos"
HASTY = """
from batch_os_provider.engine import seams
from batch_os_provider.plugin import main
seams.WATCH_EVERY = seams._EXIT_AFTER = main.GRACE = 0.05
main.main()
"""


LOADED = """
import sys
{before}
from batch_os_provider.plugin import messages
messages.load()
from batch_os_provider.plugin import server
print(server.BatchosProvider.__mro__[1].__module__, "pulumi.output" in sys.modules)
"""


@pytest.mark.parametrize(
    ("before", "whole"),
    [("", False), ("import pulumi", True), ("sys.modules['pulumi.runtime.proto'] = None", True)],
    ids=["alone", "with the SDK", "do not load alone"],
)
def test_the_messages_load_without_the_rest_of_the_sdk_where_they_can(before: str, *, whole: bool) -> None:
    program = LOADED.format(before=before)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)  # noqa: S603 - ours
    assert done.stdout == f"pulumi.runtime.proto.provider_pb2_grpc {whole}\n"


@pytest.mark.parametrize(
    ("project", "named"),
    [
        ("name: p\nruntime: yaml\n", True),
        ('{"name": "p", "runtime": "yaml", "resources": {}}', True),
        ("runtime:\n  name: yaml\nname: p\n", True),
        ("runtime: {name: 'yaml'}\n", True),
        ("runtime: nodejs\ndescription: yaml\n", False),
        ("runtime:\n  name: go\n", False),
        (None, False),
    ],
)
def test_a_refusal_names_a_command_that_can_read_the_program(
    tmp_path: Path, project: str | None, *, named: bool
) -> None:
    if project is not None:
        (tmp_path / "Pulumi.yaml").write_text(project, encoding="utf-8")
    assert ("--check ." in after_refusal(tmp_path)) is named


def start(address: str) -> subprocess.Popen[str]:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, "-c", HASTY, "logs", address], **pipes)  # noqa: S603 - our own command


def test_a_person_who_starts_it_gets_a_sentence() -> None:
    done = subprocess.run([COMMAND], capture_output=True, text=True, check=False)  # noqa: S603 - our own command
    assert (done.returncode, done.stdout) == (2, "")
    assert "is a plugin of Pulumi: the Pulumi CLI starts it" in done.stderr


@pytest.mark.parametrize(
    "form", [[COMMAND], [sys.executable, ROOT / "plugin"], [sys.executable, MAIN, ROOT / "plugin"]]
)
def test_every_installed_form_serves_the_engine_that_is_its_last_argument(form: list[str | Path]) -> None:
    engine = grpc.server(ThreadPoolExecutor(2))
    address = f"127.0.0.1:{engine.add_insecure_port('127.0.0.1:0')}"
    engine.start()
    process = subprocess.Popen([*form, address], stdout=subprocess.PIPE, text=True)  # noqa: S603 - our own command
    assert process.stdout is not None
    try:
        with grpc.insecure_channel(f"127.0.0.1:{int(process.stdout.readline())}") as channel:
            stub = provider_pb2_grpc.ResourceProviderStub(channel)
            assert stub.GetPluginInfo(empty_pb2.Empty(), timeout=20, wait_for_ready=True).version == __version__
    finally:
        process.kill()
        process.communicate(timeout=20)
        engine.stop(None)


def test_the_folder_installs_the_project_that_it_belongs_to() -> None:
    folder = ROOT / "plugin"
    lines = (folder / "requirements.txt").read_text(encoding="utf-8").splitlines()
    (requirement,) = [line for line in lines if not line.startswith("#")]
    assert 'name = "batch-os-provider"' in (folder / requirement / "pyproject.toml").read_text(encoding="utf-8")
    options = {"name": "python", "options": {"virtualenv": "venv"}}
    assert yaml.safe_load((folder / "PulumiPlugin.yaml").read_text(encoding="utf-8")) == {"runtime": options}


@pytest.mark.parametrize("how", ["signal", "engine gone"])
def test_it_serves_until_its_engine_ends_it_or_is_gone(how: str) -> None:
    engine = grpc.server(ThreadPoolExecutor(2))
    engine_pb2_grpc.add_EngineServicer_to_server(engine_pb2_grpc.EngineServicer(), engine)
    address = f"127.0.0.1:{engine.add_insecure_port('127.0.0.1:0')}"
    engine.start()
    process = start(address)
    assert process.stdout is not None
    try:
        port = int(process.stdout.readline())
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            stub = provider_pb2_grpc.ResourceProviderStub(channel)
            assert stub.GetPluginInfo(empty_pb2.Empty(), timeout=20, wait_for_ready=True).version
        if how == "signal":
            process.send_signal(signal.SIGINT)
        else:
            engine.stop(None)
        out, err = process.communicate(timeout=20)
    finally:
        process.kill()
        engine.stop(None)
    assert (process.returncode, out) == (0, "")
    assert "Traceback" not in err  # gRPC itself may write that the connection has gone
