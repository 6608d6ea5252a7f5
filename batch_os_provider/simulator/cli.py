"""The command ``batch-simulator``.

Why it exists: anyone, with any client in any language, must be able to start the simulator and find it. The
first line on standard output is one JSON object, written once connections are accepted; all that is meant for
people goes to standard error. It ends with 0 on SIGTERM and SIGINT, and with 2 when it cannot start.
"""

from __future__ import annotations

import argparse
import ipaddress
import json
import signal
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .world import World

BANNER = """\
batch-simulator: an Azure Batch data plane that exists only on this machine. This is NOT Azure: nothing here
runs, costs or is billed, and what it answers is no promise of what Azure would answer.
Its default account key is published in its source code and protects nothing.
"""
CANNOT_START = 2
FASTEST = 1_000_000
EXTRA = ("starlette", "uvicorn", "httptools", "trustme")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="batch-simulator", description="Simulate an Azure Batch account.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: loopback only)")
    parser.add_argument("--port", type=int, default=0, help="port (default 0: a free one)")
    parser.add_argument("--speed", type=float, default=1.0, help="virtual seconds in a real second; 0 freezes time")
    parser.add_argument("--seed", type=Path, help="JSON state to start from, and to return to on reset")
    parser.add_argument("--state", type=Path, help="JSON state to go on from if it is there, kept up to date")
    parser.add_argument("--tls", action="store_true", help="HTTPS with a fresh certificate authority")
    return parser


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SystemExit(_fail(f"cannot read {path}: {error.strerror}")) from None
    except ValueError as error:
        raise SystemExit(_fail(f"{path} is not JSON: {error}")) from None


def _fail(message: str) -> int:
    print(f"batch-simulator: {message}", file=sys.stderr)
    return CANNOT_START


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    options = _parser().parse_args(arguments)
    if not 0 <= options.speed <= FASTEST:
        return _fail(f"--speed is a number from 0 to {FASTEST}")
    missing = [name for name in EXTRA if find_spec(name) is None]
    if missing:
        return _fail(f"{', '.join(missing)} missing; install the extra: pip install 'batch-os-provider[simulator]'")
    with tempfile.TemporaryDirectory(prefix="batch-simulator-") as folder:
        return _serve(options, Path(folder))


def _serve(options: argparse.Namespace, folder: Path) -> int:
    from . import server  # noqa: PLC0415 - it needs the extra, and without it the command must still explain itself
    from .app import build  # noqa: PLC0415 - as above
    from .clock import VirtualClock  # noqa: PLC0415 - as above
    from .state import StateError, load  # noqa: PLC0415 - as above
    from .world import World  # noqa: PLC0415 - as above

    world = World(VirtualClock(speed=options.speed))
    try:
        bound = server.bind(options.host, options.port)
    except OSError as error:
        return _fail(f"cannot listen on {options.host} port {options.port}: {error.strerror}")
    endpoint = server.url_of(bound, tls=options.tls)
    saver = server.Saver(world, options.state, endpoint) if options.state else None
    try:
        app = build(world, _read(options.seed) if options.seed else {}, saver or (lambda: None))
        if options.state and options.state.exists():
            load(world, _read(options.state))
    except StateError as error:
        bound.close()
        return _fail(f"the state is refused: {error}")
    certificates = server.make_certificates(folder, options.host) if options.tls else None

    def announce() -> None:
        line = {"endpoint": endpoint, "account": world.account, "key": world.key, "control": endpoint + "/_simulator"}
        if certificates is not None:
            line["ca"] = str(certificates.authority)
        print(json.dumps(line), flush=True)

    _greet(world, options.host, endpoint)
    for number in (signal.SIGTERM, signal.SIGINT):
        # uvicorn stops at the signal and raises it again at the end; by then it has done its work.
        signal.signal(number, lambda *_: None)
    if saver is not None:
        saver()
    server.make_server(app, announce, certificates).run(sockets=[bound])
    if saver is not None:
        world.advance()
        saver.write()
    return 0


def _greet(world: World, host: str, endpoint: str) -> None:
    print(BANNER, file=sys.stderr)
    if not _is_loopback(host):
        print(
            f"WARNING: listening on {host}, which other machines can reach. The key is public and the control "
            "endpoints ask for none: anybody who can connect can read and change everything here.\n",
            file=sys.stderr,
        )
    print(f"account {world.account} at {endpoint}; control at {endpoint}/_simulator", file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
