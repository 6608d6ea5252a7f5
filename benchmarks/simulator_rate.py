"""How many signed GETs of a pool one core of the simulator answers in a second, beside the framework's hello world.

A measurement of a provider is valid only if the simulator is not the bottleneck. The
number alone says as much about the machine as about the simulator, so the same requests go, in turns, to the
smallest application that the same framework and server can run.

Each server has its own process and core, the load another. Every request is signed before the clock starts,
with a date that no other request of its round has, over connections that stay open, and every answer is checked:
status and the whole body. As other work on the machine takes from the wall time and not from the work done, the
rate by the server's own processor time is reported too.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import formatdate
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from typing import IO, Any, cast
from urllib.parse import urlsplit

POOLS = 64
"""Pools in the account; the requests ask for one after the other."""
CONNECTIONS = 8
"""Connections that stay open, each with one request under way."""
REQUESTS = 6_000
"""Requests of one round."""
REPEATS = 5
"""Rounds of each server, in turns."""
_DATES = 600
"""Seconds of the past over which the dates of a round are spread; the service takes 900."""
_OS = "WA-GUEST-OS-4.58_201809-01"
_THEN = "2018-11-01T00:00:00Z"
_VERSION = "2018-08-01.7.0"
_HELLO = b"Hello, world"
_SIGNED_AND_EMPTY = "\n" * 12
"""A GET without a body and without conditions signs twelve empty headers."""


@dataclass(frozen=True)
class Round:
    """What one round took."""

    per_second: float
    """Answers in a second of wall time."""
    per_core_second: float
    """Answers in a second of the server's processor time."""


def measure(requests: int = REQUESTS, repeats: int = REPEATS) -> dict[str, Any]:
    """Measure, in turns, the simulator and the hello world.

    Returns:
        For each of both ``median``, ``least``, ``most`` and ``rounds`` in answers a second, and ``core_median`` in
        answers a second of its processor time; the ``ratio`` of both ``core_median``; and what was asked.

    Raises:
        RuntimeError: an answer is not 200, or not the pool that was asked for.
    """
    cores = sorted(os.sched_getaffinity(0))
    rounds: dict[str, list[Round]] = {"simulator": [], "hello": []}
    with _own_core(cores[-1]), tempfile.TemporaryDirectory() as folder:
        seed = Path(folder) / "seed.json"
        seed.write_text(json.dumps({"pools": [_pool(name) for name in _names()]}), encoding="utf-8")
        simulator = [sys.executable, "-m", "batch_os_provider.simulator.cli", "--speed", "0", "--seed", str(seed)]
        hello = [sys.executable, "-m", __spec__.name, "hello"]
        with _server(simulator, cores[0]) as (face, asked), _server(hello, cores[0]) as (plain, said):
            bodies = {name: _body(face, name) for name in _names()}
            greetings = dict.fromkeys(bodies, _HELLO)
            for number in range(repeats + 1):
                both = (
                    _round(asked, face, bodies, _requests(face, requests)),
                    _round(said, plain, greetings, _requests({**face, **plain}, requests)),
                )
                if number:  # the first round warms both up
                    for name, each in zip(rounds, both, strict=True):
                        rounds[name].append(each)
    return {
        **{name: _figures(found) for name, found in rounds.items()},
        "ratio": round(_core_median(rounds["simulator"]) / _core_median(rounds["hello"]), 3),
        "requests": requests,
        "connections": CONNECTIONS,
        "pools": POOLS,
    }


def _core_median(rounds: Sequence[Round]) -> float:
    return median(each.per_core_second for each in rounds)


def _figures(rounds: Sequence[Round]) -> dict[str, Any]:
    rates = [round(each.per_second) for each in rounds]
    return {
        "median": round(median(rates)),
        "least": min(rates),
        "most": max(rates),
        "rounds": rates,
        "core_median": round(_core_median(rounds)),
    }


def _names() -> list[str]:
    return [f"pool-{number:03d}" for number in range(POOLS)]


def _pool(name: str) -> dict[str, Any]:
    node = {"state": "idle", "schedulingState": "enabled", "isDedicated": True}
    times = dict.fromkeys(("stateTransitionTime", "lastBootTime", "allocationTime"), _THEN)
    return {
        "id": name,
        "state": "active",
        **dict.fromkeys(("creationTime", "lastModified", "stateTransitionTime"), _THEN),
        "allocationState": "steady",
        "allocationStateTransitionTime": _THEN,
        "vmSize": "small",
        "cloudServiceConfiguration": {"osFamily": "4", "targetOSVersion": _OS, "currentOSVersion": _OS},
        **dict.fromkeys(("currentDedicatedNodes", "targetDedicatedNodes"), 10),
        **dict.fromkeys(("currentLowPriorityNodes", "targetLowPriorityNodes"), 0),
        "enableAutoScale": False,
        "nodes": [{"id": f"tvm-{number}", **node, **times} for number in range(10)],
    }


@contextmanager
def _own_core(core: int) -> Iterator[None]:
    """This process on one core, as long as the block lasts."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def _server(command: Sequence[str], core: int) -> Iterator[tuple[dict[str, str], int]]:
    """A server on its own core: the content of its first line, and its process id."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)  # noqa: S603 - ours
    try:
        os.sched_setaffinity(process.pid, {core})
        with cast("IO[bytes]", process.stdout) as said:
            yield json.loads(said.readline()), process.pid
    finally:
        process.terminate()
        process.wait()


def _request(face: dict[str, str], name: str, moment: float) -> bytes:
    """A GET of a pool, signed as the service's documentation says."""
    date = formatdate(moment, usegmt=True)
    account, path = face["account"], f"/pools/{name}"
    text = f"GET{_SIGNED_AND_EMPTY}ocp-date:{date}\n/{account}{path}\napi-version:{_VERSION}"
    signature = base64.b64encode(hmac.digest(base64.b64decode(face["key"]), text.encode(), "sha256")).decode()
    lines = (
        f"GET {path}?api-version={_VERSION} HTTP/1.1",
        f"Host: {urlsplit(face['endpoint']).netloc}",
        "User-Agent: batch-os-benchmark",
        "Accept-Encoding: gzip, deflate",
        "Accept: application/json; odata=minimalmetadata",
        "Connection: keep-alive",
        f"client-request-id: {name}",
        f"ocp-date: {date}",
        f"Authorization: SharedKey {account}:{signature}",
    )
    return "\r\n".join((*lines, "", "")).encode("latin-1")


def _requests(face: dict[str, str], count: int) -> list[tuple[str, bytes]]:
    now = int(time.time())
    names = islice(cycle(_names()), count)
    return [(name, _request(face, name, now - number % _DATES)) for number, name in enumerate(names)]


def _body(face: dict[str, str], name: str) -> bytes:
    """What the simulator answers for a pool, once it is seen to be that pool."""
    received: list[bytes] = []
    asyncio.run(_load(face, [(name, _request(face, name, time.time()))], received))
    body = received[0].partition(b"\r\n\r\n")[2]
    pool = json.loads(body)
    if (pool["id"], pool["cloudServiceConfiguration"]["currentOSVersion"]) != (name, _OS):
        raise RuntimeError(f"this is not the pool {name}: {body!r}")
    return body


def _round(process: int, face: dict[str, str], bodies: dict[str, bytes], requests: list[tuple[str, bytes]]) -> Round:
    received: list[bytes] = []
    begun, worked = time.perf_counter(), _worked(process)
    asked = asyncio.run(_load(face, requests, received))
    wall, work = time.perf_counter() - begun, _worked(process) - worked
    for name, answer in zip(asked, received, strict=True):
        if not answer.startswith(b"HTTP/1.1 200 ") or not answer.endswith(b"\r\n\r\n" + bodies[name]):
            raise RuntimeError(f"this is not the answer for {name}: {answer!r}")
    return Round(len(received) / wall, len(received) / max(work, 0.01))


def _worked(process: int) -> float:
    """Seconds of processor time that a process has used."""
    fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def _load(face: dict[str, str], requests: Sequence[tuple[str, bytes]], received: list[bytes]) -> list[str]:
    """Send everything over connections that stay open; keep the answers, and check them after the clock stops."""
    where = urlsplit(face["endpoint"])
    asked: list[str] = []
    left = iter(requests)
    loop = asyncio.get_running_loop()
    ends = [loop.create_future() for _ in range(CONNECTIONS)]
    for end in ends:
        await loop.create_connection(
            partial(_Connection, left, asked, received, end), str(where.hostname), int(where.port or 0)
        )
    await asyncio.gather(*ends)
    return asked


class _Connection(asyncio.Protocol):
    """One request after the other over one connection."""

    def __init__(
        self,
        requests: Iterator[tuple[str, bytes]],
        asked: list[str],
        received: list[bytes],
        end: asyncio.Future[None],
    ) -> None:
        self._requests, self._asked, self._received, self._end = requests, asked, received, end
        self._name = ""
        self._answer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        self._next()

    def _next(self) -> None:
        self._answer = b""
        self._name, request = next(self._requests, ("", b""))
        if request:
            self._transport.write(request)
        else:
            self._transport.close()
            self._end.set_result(None)

    def data_received(self, data: bytes) -> None:
        self._answer += data
        head, end, body = self._answer.partition(b"\r\n\r\n")
        if end and len(body) >= int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]):
            self._asked.append(self._name)
            self._received.append(self._answer)
            self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._end.done():
            self._end.set_exception(exc or ConnectionResetError("the server closed a connection"))


def _hello() -> None:
    """The smallest application of the framework, on the server and the settings of the simulator."""
    # Only the process that serves it needs the framework.
    import uvicorn  # noqa: PLC0415 - see above
    from starlette.applications import Starlette  # noqa: PLC0415 - see above
    from starlette.responses import Response  # noqa: PLC0415 - see above
    from starlette.routing import Route  # noqa: PLC0415 - see above

    from batch_os_provider.simulator.server import bind, url_of  # noqa: PLC0415 - see above

    async def greet(_request: Any) -> Response:
        return Response(_HELLO)

    bound = bind("127.0.0.1", 0)
    config = uvicorn.Config(
        Starlette(routes=[Route("/pools/{name}", greet)]),
        http="httptools",
        ws="none",
        lifespan="off",
        log_level="warning",
        access_log=False,
        server_header=False,
        date_header=False,
    )
    bound.listen()
    sys.stdout.write(json.dumps({"endpoint": url_of(bound, tls=False)}) + "\n")
    sys.stdout.flush()
    uvicorn.Server(config).run(sockets=[bound])


def main() -> None:
    """Print what was measured, as JSON."""
    sys.stdout.write(json.dumps(measure(), indent=1) + "\n")


if __name__ == "__main__":
    _hello() if sys.argv[1:] == ["hello"] else main()
