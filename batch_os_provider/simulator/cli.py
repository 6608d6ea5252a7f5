"""The command ``batch-simulator``.

A client in any language must be able to start the simulator and find its endpoint. The first line on standard output
is one JSON object, written when connections are accepted. Text for people goes to standard error. The exit code is 0
after SIGTERM and SIGINT, and 2 if the simulator cannot start.
"""

from __future__ import annotations

import argparse
import ipaddress
import json
import os
import shlex
import signal
import socket
import sys
import tempfile
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from importlib.resources.abc import Traversable

    from batch_os_provider.simulator.server import Server, StateFile
    from batch_os_provider.simulator.world.world import World

BANNER = """\
batch-simulator: an Azure Batch data plane that exists only on this machine. This is NOT Azure: nothing here
runs, costs or is billed, and Azure may answer differently.
Its default account key is published in its source code and protects nothing.
"""
CANNOT_START = 2
MAX_SPEED = 1_000_000
MAX_PORT = 65_535
EXAMPLES = ("cloud-services", "vm", "mixed")
"""Files of the folder ``examples``."""
EXTRA_MODULES = ("starlette", "uvicorn", "httptools", "trustme")


class _Version(argparse.Action):
    """Prints the version, which only this option reads from the installation."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib import metadata  # noqa: PLC0415 - a tenth of the time of a start

        print(parser.prog, metadata.version("batch-os-provider"))
        parser.exit()


def parser() -> argparse.ArgumentParser:
    """What the command takes; docs pages are made from it."""
    parser = argparse.ArgumentParser(prog="batch-simulator", description="Simulate an Azure Batch account.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: loopback only)")
    parser.add_argument("--port", type=int, default=0, help="port (default 0: any free port)")
    parser.add_argument("--speed", type=float, default=1.0, help="virtual seconds per real second; 0 freezes time")
    seeds = parser.add_mutually_exclusive_group()
    seeds.add_argument("--seed", type=Path, metavar="FILE", help="JSON state to start from; a reset returns to it")
    seeds.add_argument("--example", choices=EXAMPLES, help="start from this example account; a reset returns to it")
    parser.add_argument(
        "--state",
        type=Path,
        metavar="FILE",
        help="JSON state to continue from if it exists; kept up to date",
    )
    parser.add_argument("--tls", action="store_true", help="HTTPS with a new certificate authority")
    parser.add_argument("--version", action=_Version, nargs=0, help="show program's version number and exit")
    return parser


def _read(path: Path | Traversable) -> Any:
    try:
        data = path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        raise SystemExit(_fail(f"cannot read {path}: {getattr(error, 'strerror', error)}")) from None
    if not data.strip():
        raise SystemExit(_fail(f"{path} is empty; a state is a JSON object, at least {{}}"))
    try:
        return json.loads(data)  # UTF-8, or UTF-16 as PowerShell 5 writes it
    except (ValueError, RecursionError) as error:
        raise SystemExit(_fail(f"{path} is not JSON: {error}")) from None


def _seed(options: argparse.Namespace) -> Any:
    """The state to start from, and to return to on reset."""
    if options.example:
        from importlib import resources  # noqa: PLC0415 - a tenth of the time of a start

        return _read(resources.files("batch_os_provider.simulator").joinpath("examples", f"{options.example}.json"))
    return _read(options.seed) if options.seed else {}


def _fail(message: str) -> int:
    _print_to_stderr(f"batch-simulator: {message}")
    return CANNOT_START


def _print_to_stderr(text: str) -> None:
    """Print a text for people. A closed stderr must not end the simulator, since programs may still use it."""
    with suppress(OSError, ValueError):
        print(text, file=sys.stderr, flush=True)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    options = parser().parse_args(arguments)
    if not 0 <= options.speed <= MAX_SPEED:
        return _fail(f"--speed is a number from 0 to {MAX_SPEED}, not {options.speed:g}")
    if not 0 <= options.port <= MAX_PORT:
        return _fail(f"--port is a number from 0 to {MAX_PORT}, not {options.port}; 0 takes a free port")
    if options.state and not options.state.resolve().parent.is_dir():
        return _fail(f"cannot write {options.state}: the folder {options.state.resolve().parent} does not exist")
    missing = [name for name in EXTRA_MODULES if find_spec(name) is None]
    if missing:
        return _fail(f"{', '.join(missing)} missing; install the extra: pip install 'batch-os-provider[simulator]'")
    with tempfile.TemporaryDirectory(prefix="batch-simulator-") as folder:
        return _serve(options, Path(folder))


def _serve(options: argparse.Namespace, folder: Path) -> int:
    from batch_os_provider.simulator import server  # noqa: PLC0415 - needs the extra; without it the command explains what to install
    from batch_os_provider.simulator.app import build  # noqa: PLC0415 - as above
    from batch_os_provider.simulator.state.load import StateError, load  # noqa: PLC0415 - as above
    from batch_os_provider.simulator.world.clock import VirtualClock  # noqa: PLC0415 - as above
    from batch_os_provider.simulator.world.world import World  # noqa: PLC0415 - as above

    world = World(VirtualClock(speed=options.speed))
    bound = _bind(server.bind, options.host, options.port)
    endpoint = server.url_of(bound, tls=options.tls)
    state_file = server.StateFile(world, options.state, endpoint) if options.state else None
    try:
        app = build(world, _seed(options), state_file or (lambda: None))
        if options.state and options.state.exists():
            load(world, _read(options.state))
    except StateError as error:
        bound.close()
        return _fail(f"invalid state: {error}")
    certificates = server.make_certificates(folder, options.host) if options.tls else None
    line = {"endpoint": endpoint, "account": world.account, "key": world.key, "control": endpoint + "/_simulator"}
    if certificates is not None:
        line["ca"] = str(certificates.authority)
    failures: list[str] = []

    def announce() -> None:
        try:
            print(json.dumps(line), flush=True)
        except OSError as error:
            # The program that started the simulator cannot learn its endpoint, and would never stop it.
            failures.append(f"the first line cannot be written to stdout: {error.strerror}")
            running.should_exit = True

    _print_banner(options.host, line)
    for number in (signal.SIGTERM, signal.SIGINT):
        # uvicorn stops at the signal and raises it again when it has shut down; then the signal has no more effect.
        signal.signal(number, lambda *_: None)
    running = server.make_server(app, announce, certificates)
    try:
        _run(running, bound, world, state_file)
    except OSError as error:
        if error.filename is None:
            raise
        failures.append(f"cannot write {options.state}: {error.strerror}")
    if not failures:
        return 0
    with suppress(OSError):  # otherwise the interpreter flushes the line again at exit, and fails
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return _fail(failures[0])


def _run(running: Server, bound: socket.socket, world: World, state_file: StateFile | None) -> None:
    """Serve until a signal. The state file is written before and after.

    Raises:
        OSError: the state file cannot be written.
    """
    if state_file is not None:
        state_file()
    running.run(sockets=[bound])
    if state_file is not None:
        world.advance()
        state_file.write()


def _bind(bind: Callable[[str, int], socket.socket], host: str, port: int) -> socket.socket:
    try:
        return bind(host, port)
    except OSError as error:
        raise SystemExit(_fail(f"cannot listen on {host} port {port}: {error.strerror}")) from None
    except UnicodeError:
        raise SystemExit(_fail(f"cannot listen on {host!r}: it is not a host name")) from None


def _print_banner(host: str, line: Mapping[str, str]) -> None:
    _print_to_stderr(BANNER)
    if not _is_loopback(host):
        _print_to_stderr(
            f"WARNING: listening on {host}, which other machines can reach. The key is public and the control "
            "endpoints need none: everyone who can connect can read and change everything here.\n"
        )
    _print_to_stderr(f"account {line['account']} at {line['endpoint']}; control at {line['control']}")
    names = {"account": "AZURE_BATCH_ACCOUNT", "key": "AZURE_BATCH_ACCESS_KEY", "endpoint": "ENDPOINT"}
    names["ca"] = "REQUESTS_CA_BUNDLE"
    variables = {name: line[key] for key, name in names.items() if key in line}
    for every, loopback in (
        ("//0.0.0.0:", "//127.0.0.1:"),
        ("//[::]:", "//[::1]:"),
    ):  # not an address to connect to
        variables["ENDPOINT"] = variables["ENDPOINT"].replace(every, loopback)
    _print_to_stderr("\n".join(["To use it, paste this into another terminal:", *exports(variables, sys.platform), ""]))


def exports(variables: Mapping[str, str], platform: str) -> list[str]:
    """Shell lines that set environment variables: PowerShell on Windows, a POSIX shell elsewhere."""
    if platform == "win32":
        quoted = {name: value.replace("'", "''") for name, value in variables.items()}
        return [f"$env:{name} = '{value}'" for name, value in quoted.items()]
    return [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]


if __name__ == "__main__":
    raise SystemExit(main())
