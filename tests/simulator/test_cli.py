"""The command, as a user starts it."""

from __future__ import annotations

import ast
import json
import re
import signal
import socket
import ssl
import subprocess
import sys
import urllib.request
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest

from batch_os_provider.simulator import cli
from batch_os_provider.simulator.state.seed_fields import FIELDS
from batch_os_provider.simulator.world.world import DEFAULT_ACCOUNT, DEFAULT_KEY
from tests.simulator.raw_client import Client
from tests.simulator.seeds import NEW, job, paas

COMMAND = Path(sys.executable).with_name("batch-simulator")


@contextmanager
def started(*arguments):
    process = subprocess.Popen(  # noqa: S603 - our own command
        [COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        line = process.stdout.readline()
        yield process, json.loads(line) if line else None
    finally:
        process.kill()
        process.communicate()


def ended(process, number=signal.SIGTERM):
    """Exit code, what is left on stdout, and stderr."""
    process.send_signal(number)
    out, err = process.communicate(timeout=20)
    return process.returncode, out, err


def client_of(line):
    return Client(SimpleNamespace(**line))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_first_line_and_end(number):
    with started() as (process, line):
        assert set(line) == {"endpoint", "account", "key", "control"}
        assert line["endpoint"].startswith("http://127.0.0.1:")
        assert line["control"] == line["endpoint"] + "/_simulator"
        assert (line["account"], line["key"]) == (DEFAULT_ACCOUNT, DEFAULT_KEY)
        client = client_of(line)
        assert client("GET", "/pools").json["value"] == []
        assert client.control("GET", "clock")["speed"] == 1
        code, out, err = ended(process, number)
    assert (code, out) == (0, "")
    assert "NOT Azure" in err
    assert "WARNING" not in err


def test_an_open_connection_does_not_hold_the_end():
    with started() as (process, line):
        host, port = line["endpoint"].removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(b"GET /pools HTTP/1.1\r\nHost: x\r\n\r\n")
            assert connection.recv(100)
            assert ended(process)[0] == 0


def test_seed_speed_and_account(tmp_path):
    seed = tmp_path / "seed.json"
    account = {"name": "mine", "key": "bWluZQ=="}
    seed.write_text(json.dumps({"account": account, "pools": [paas()], "jobs": [job("sleep 9")]}))
    with started("--seed", str(seed), "--speed", "0") as (_, line):
        assert (line["account"], line["key"]) == ("mine", "bWluZQ==")
        client = client_of(line)
        assert client.control("GET", "clock")["speed"] == 0
        assert client.upgrade(NEW).status == 202
        client.control("POST", "reset")
        assert client.pool()["state"] == "active"


def test_the_state_file_goes_on_where_it_was(tmp_path):
    seed, state = tmp_path / "seed.json", tmp_path / "state.json"
    seed.write_text(json.dumps({"pools": [paas()], "jobs": [job("sleep 500")]}))
    options = ("--seed", str(seed), "--state", str(state), "--speed", "0")
    with started(*options) as (process, line):
        client = client_of(line)
        client.upgrade(NEW)
        client.advance(40)
        before, first = client.control("GET", "state"), line["endpoint"]
        process.kill()  # what was answered was written, even so
        process.wait()
    with started(*options) as (process, line):
        client = client_of(line)
        after = client.control("GET", "state")
        assert json.loads(json.dumps(before).replace(first, line["endpoint"])) == after
        client.advance(600)
        assert client.pool()["cloudServiceConfiguration"]["currentOSVersion"] == NEW
        assert ended(process)[0] == 0
    saved = json.loads(state.read_text())
    assert saved["pools"][0]["cloudServiceConfiguration"]["currentOSVersion"] == NEW
    assert [path.name for path in tmp_path.iterdir() if path.name not in ("seed.json", "state.json")] == []


def test_tls():
    with started("--tls") as (process, line):
        assert set(line) == {"endpoint", "account", "key", "control", "ca"}
        assert line["endpoint"].startswith("https://127.0.0.1:")
        trusting = ssl.create_default_context(cafile=line["ca"])
        with urllib.request.urlopen(line["control"] + "/clock", context=trusting, timeout=60) as answer:  # noqa: S310 - https
            assert json.load(answer)["speed"] == 1
        where = ("127.0.0.1", int(line["endpoint"].rsplit(":", 1)[1]))
        for name in ("localhost", "127.0.0.1"):
            with socket.create_connection(where) as plain, trusting.wrap_socket(plain, server_hostname=name):
                pass
        with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
            urllib.request.urlopen(line["control"] + "/clock", timeout=60)  # noqa: S310 - https
        assert ended(process)[0] == 0
    assert not Path(line["ca"]).exists()


def failing(*arguments):
    done = subprocess.run([COMMAND, *arguments], capture_output=True, text=True, timeout=30, check=False)  # noqa: S603 - ours
    assert done.stdout == ""
    return done.returncode, done.stderr


BAD = {
    "not there": (None, "cannot read"),
    "not json": ("{", "is not JSON"),
    "not a state": ("[]", "expected an object"),
    "impossible": (json.dumps({"pools": [paas(targetDedicatedNodes=9)]}), "steady with 3 dedicated nodes"),
}


@pytest.mark.parametrize("option", ["--seed", "--state"])
@pytest.mark.parametrize("name", BAD)
def test_a_bad_file(tmp_path, name, option):
    text, sentence = BAD[name]
    file = tmp_path / "file.json"
    if text is not None:
        file.write_text(text)
    elif option == "--state":  # a state file need not exist, but this one cannot be read
        file.mkdir()
    code, err = failing(option, str(file))
    assert code == 2
    assert sentence in err
    assert "Traceback" not in err


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_seed_that_powershell_wrote(tmp_path, encoding):
    seed = tmp_path / "seed.json"
    seed.write_text(json.dumps({"pools": [paas()]}), encoding=encoding)
    with started("--seed", str(seed), "--speed", "0") as (_, line):
        assert len(client_of(line)("GET", "/pools").json["value"]) == 1


IMAGES = {
    "cloud-services": {"5", "6", "7"},
    "vm": {"2022-datacenter-core", "2019-datacenter-smalldisk", "22_04-lts", "2204", "8_10-hpc-gen2", "8-lvm-gen2"},
    "mixed": {
        *("6", "7", "2022-datacenter-core", "2019-datacenter-smalldisk"),
        *("22_04-lts", "2204", "8_10-hpc-gen2", "8-lvm-gen2"),
    },
}


@pytest.mark.parametrize("name", cli.EXAMPLES)
def test_an_example(name):
    with started("--example", name, "--speed", "0") as (process, line):
        client = client_of(line)
        state = client.control("GET", "state")
        kinds = set()
        for pool in state["pools"]:
            cloud, machine = pool.get("cloudServiceConfiguration"), pool.get("virtualMachineConfiguration")
            kinds.add(cloud["osFamily"] if cloud else machine["imageReference"]["sku"])
        assert kinds == IMAGES[name]
        assert len({len(pool["nodes"]) for pool in state["pools"]}) >= 4, "node counts vary"
        client.control("POST", "clock", {"advance": 5})
        tasks = [task for one in client.control("GET", "state")["jobs"] for task in one["tasks"]]
        assert sum(task["state"] == "running" for task in tasks) >= 2
        client.control("POST", "reset")
        assert [pool["id"] for pool in client.control("GET", "state")["pools"]] == [
            pool["id"] for pool in state["pools"]
        ]
        code, out, err = ended(process)
    assert (code, out) == (0, "")
    assert f"export AZURE_BATCH_ACCOUNT={line['account']}\n" in err
    assert f"export AZURE_BATCH_ACCESS_KEY={line['key']}\n" in err
    assert f"export ENDPOINT={line['endpoint']}\n" in err


def test_exports_can_be_pasted(tmp_path):
    values = {"A": 'it\'s $5 "x" `y` \\', "B": "http://127.0.0.1:1"}
    lines = cli.exports(values, "linux")
    shell = ["sh", "-c", "\n".join([*lines, 'printf \'%s\\n\' "$A" "$B"'])]
    done = subprocess.run(shell, capture_output=True, text=True, check=True)  # noqa: S603 - our own lines
    assert done.stdout.splitlines() == list(values.values())
    assert cli.exports(values, "win32") == [
        "$env:A = 'it''s $5 \"x\" `y` \\'",
        "$env:B = 'http://127.0.0.1:1'",
    ]


def test_the_version():
    done = subprocess.run([COMMAND, "--version"], capture_output=True, text=True, check=True)  # noqa: S603 - ours
    assert done.stdout == f"batch-simulator {metadata.version('batch-os-provider')}\n"


def test_a_reader_that_left_before_the_first_line_ends_it():
    with subprocess.Popen([COMMAND], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:  # noqa: S603
        process.stdout.close()
        err = process.stderr.read()
    assert process.returncode == 2
    assert err.endswith("batch-simulator: the first line cannot be written to stdout: Broken pipe\n")
    assert "Traceback" not in err


def test_the_table_of_seed_fields_has_what_the_reader_reads():
    """In both directions: a field that is read is in the table, and a field of the table is read."""
    taken, words = set(), set()
    readers = (
        "state/load",
        "state/load_pools",
        "state/load_jobs",
        "state/allocation_script",
        "identity/account_access",
        "world/vm_images",
        "world/guest_os_images",
    )
    for name in readers:
        for node in ast.walk(ast.parse((Path(cli.__file__).parent / f"{name}.py").read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                words.add(node.value)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
                first = node.args[0]
                if node.func.attr in {"take", "take_time"} and isinstance(first, ast.Constant):
                    taken.add(first.value)
    table = "\n".join(f"{name} {means}" for _, name, means in FIELDS)
    everywhere = {"creationTime", "lastModified", "eTag", "stateTransitionTime", "simulator", "osVersion"}
    assert {name for name in taken - everywhere if not re.search(rf"\b{name}\b", table)} == set()
    # These are put together from two words, or belong to one of Batch's own objects.
    composed = {f"{one}{kind}Nodes" for one in ("target", "current") for kind in ("Dedicated", "LowPriority")}
    assert {name.split(".")[-1] for _, name, _ in FIELDS} - words - composed == set()


def test_a_port_in_use():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        code, err = failing("--port", str(taken.getsockname()[1]))
    assert code == 2
    assert "cannot listen on 127.0.0.1" in err


@pytest.mark.parametrize(
    "arguments",
    [("--speed", "-1"), ("--speed", "fast"), ("--port", "x"), ("--port", "65536"), ("--speed", "nan"), ("--nothing",)],
)
def test_wrong_arguments(arguments):
    assert failing(*arguments)[0] == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--seed", "a.json", "--example", "vm"), "not allowed with"),
        (("--example", "farm"), "choose from"),
        (("--state", "no/such/folder.json"), "cannot write no/such/folder.json: the folder "),
        (("--host", "no.such.host.invalid"), "cannot listen on no.such.host.invalid port 0: "),
        (("--seed", "/dev/null"), "/dev/null is empty; a state is a JSON object"),
    ],
)
def test_a_start_that_fails_is_a_sentence(arguments, said):
    code, err = failing(*arguments)
    assert code == 2
    assert said in err
    assert "Traceback" not in err


def test_another_host_is_warned_of():
    with started("--host", "0.0.0.0", "--speed", "0") as (process, line):  # noqa: S104 - the point of the test
        assert line["endpoint"].startswith("http://0.0.0.0:")
        said = ended(process)[2]
        assert "WARNING: listening on 0.0.0.0" in said
        assert f"export ENDPOINT={line['endpoint'].replace('0.0.0.0', '127.0.0.1')}\n" in said  # noqa: S104 - as above


def test_without_the_extra(monkeypatch, capsys):
    monkeypatch.setattr(cli, "find_spec", lambda name: None if name == "trustme" else object())
    assert cli.main([]) == 2
    assert "trustme missing; install the extra: pip install 'batch-os-provider[simulator]'" in capsys.readouterr().err


def test_a_state_that_cannot_be_written_ends_loudly(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    with started("--state", str(folder / "state.json"), "--speed", "0") as (_, line):
        client = client_of(line)
        (folder / "state.json").unlink()
        (folder / "state.json").mkdir()
        pool = {"id": "p", "vmSize": "small", "cloudServiceConfiguration": {"osFamily": "5"}}
        assert client("POST", "/pools", pool).status == 500
    assert [path.name for path in folder.iterdir()] == ["state.json"]


def test_the_state_file_is_written_after_each_change(tmp_path):
    state = tmp_path / "state.json"
    state.write_text(json.dumps({"pools": [paas()]}))
    with started("--state", str(state), "--speed", "0") as (_, line):
        client_of(line).upgrade(NEW)
        assert json.loads(state.read_text())["pools"][0]["state"] == "upgrading"
        client_of(line).advance(600)
        assert json.loads(state.read_text())["pools"][0]["state"] == "active"
