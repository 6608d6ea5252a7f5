"""A Python that has imported what programs, providers and commands import, and forks for each client.

usage: python -u server.py ADDRESS

It writes ``ready`` when it listens at the address, a file, and ends with its standard input.

A fork begins as a new process begins, but for its imports: the environment, the folder, the arguments and the open
files are those of the client. Its ``os.getpid`` names the client, since a provider looks for ``pulumi`` among the
parents of that process. gRPC must not have begun before a fork, so the server only imports it.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import io
import os
import pkgutil
import runpy
import select
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import batch_os_provider

ROOMS = ("batch", "cli", "engine", "guest_os", "plugin", "preview", "rollout", "runtime", "schema")
"""The rooms of the package: all but the simulator."""
OTHERS = ("pulumi.dynamic", "azure.batch", "azure.core.pipeline.transport", "azure.identity", "requests")


@dataclass(frozen=True)
class Request:
    """How a client wants Python to run. ``files`` become the standard input, output and error."""

    client: int
    arguments: Sequence[str]
    folder: str
    environment: Mapping[bytes, bytes]
    files: Sequence[int]


def import_all() -> None:
    """Import what takes a program, a provider or a command its first half second."""
    for name in OTHERS:
        importlib.import_module(name)
    import_package(batch_os_provider.__name__, ROOMS)


def import_package(name: str, only: Sequence[str] = ()) -> None:
    """Import the modules of a package, and its packages with theirs, or only those of these names."""
    for module in pkgutil.iter_modules(importlib.import_module(name).__path__):
        inner = f"{name}.{module.name}"
        if not module.ispkg:
            importlib.import_module(inner)
        elif not only or module.name in only:
            import_package(inner)


def read(connection: socket.socket) -> Request:
    """A client's request."""
    head, files, _, _ = socket.recv_fds(connection, 4, 3)
    size, message = int.from_bytes(head, "big"), b""
    while len(message) < size:
        message += connection.recv(size - len(message))
    client, folder, count, *fields = message.split(b"\0")
    arguments, environment = fields[: int(count)], fields[int(count) :]
    variables = dict(each.split(b"=", 1) for each in environment)
    return Request(int(client), [*map(os.fsdecode, arguments)], os.fsdecode(folder), variables, files)


def forked(connection: socket.socket) -> Request | None:
    """None in the server, at once. In the fork that is to run: the request.

    Between them is a process that waits. It passes on signals, ends the fork with its client, and answers the client
    with the fork's exit code.
    """
    if os.fork():
        connection.close()
        return None
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    request = read(connection)
    alive, held = os.pipe()
    fork = os.fork()
    if not fork:
        os.close(alive)
        connection.close()
        return request
    os.close(held)
    for file in request.files:
        os.close(file)
    while alive not in select.select([connection, alive], [], [])[0]:
        passed_on = connection.recv(1)
        os.kill(fork, passed_on[0] if passed_on else signal.SIGKILL)
    _, status = os.waitpid(fork, 0)
    with contextlib.suppress(OSError):  # the client is gone
        connection.sendall(os.waitstatus_to_exitcode(status).to_bytes(4, "big", signed=True))
    os._exit(0)


def serve(address: str) -> Request:
    """Listen until the standard input ends. Returns only in a fork."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen(64)
        sys.stdout.write("ready\n")
        while True:
            if sys.stdin in select.select([listener, sys.stdin], [], [])[0]:
                os._exit(0)
            request = forked(listener.accept()[0])
            if request is not None:
                return request


def begin(request: Request) -> None:
    """Become the process that the client has asked for, up to its first line."""
    for number, file in enumerate(request.files):
        os.dup2(file, number)
        os.close(file)
    open_streams(is_unbuffered="-u" in request.arguments)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # A test may write a program twice within the second that a .pyc remembers.
    sys.dont_write_bytecode = True
    os.chdir(request.folder)
    os.environb.clear()
    os.environb.update(request.environment)
    os.getpid = lambda: request.client


def open_streams(*, is_unbuffered: bool) -> None:
    """Make the standard streams as ``python`` makes them in the locale C.UTF-8."""
    buffering = 0 if is_unbuffered else -1
    sys.stdin = sys.__stdin__ = open(0, encoding="utf-8", errors="surrogateescape", closefd=False)  # noqa: SIM115 - it stays open
    for name, number, errors in (("stdout", 1, "surrogateescape"), ("stderr", 2, "backslashreplace")):
        stream = io.TextIOWrapper(
            open(number, "wb", buffering, closefd=False),  # noqa: SIM115 - it stays open
            encoding="utf-8",
            errors=errors,
            line_buffering=number == 2 or os.isatty(number),
            write_through=is_unbuffered,
        )
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def run(arguments: Sequence[str]) -> None:
    """What ``python`` does with these arguments."""
    what, *more = [each for each in arguments if each != "-u"]
    if what == "-m":
        sys.path[0], sys.argv = str(Path.cwd()), more
        runpy.run_module(more[0], run_name="__main__", alter_sys=True)
    else:
        sys.path[0], sys.argv = str(Path(what).parent), [what, *more]
        runpy.run_path(what, run_name="__main__")


def without_server(trace: TracebackType | None) -> TracebackType | None:
    """The part of a traceback that a process without a server would have."""
    while trace is not None and trace.tb_frame.f_code.co_filename in (__file__, runpy.run_path.__code__.co_filename):
        trace = trace.tb_next
    return trace


def main(address: str) -> None:
    """Serve; in a fork, run."""
    import_all()
    threads = Path("/proc/self/task")
    assert not threads.exists() or len([*threads.iterdir()]) == 1, "a fork has only one of the server's threads"
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    gc.collect()
    gc.freeze()
    request = serve(address)
    begin(request)
    try:
        run(request.arguments)
    except SystemExit:
        raise
    except BaseException as error:
        # The provider knows an interrupt of the language host by the outermost frame, which must not be this server's.
        error.__traceback__ = without_server(error.__traceback__)
        sys.excepthook(type(error), error, error.__traceback__)
        sys.excepthook = lambda *_: None
        raise


if __name__ == "__main__":
    main(sys.argv[1])
