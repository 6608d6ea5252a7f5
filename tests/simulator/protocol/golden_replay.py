"""Replays the recorded exchanges of ``golden/`` against the simulator, and says where the answers differ.

The files are facts of public test recordings and stay as they are. They say the state in which an exchange was
recorded, so this module brings the simulator into that state first. Ids, times and ETags are compared by form only, and
of a list as many rows as both answers have.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from batch_os_provider.simulator.world import nodes
from batch_os_provider.simulator.world.model import Node, Pool
from tests.simulator.raw_client import Answer, Client

FOLDER = Path(__file__).with_name("golden")
FILES = {path.stem[:2]: json.loads(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.json"))}
STEMS = {path.stem[:2]: path.stem for path in sorted(FOLDER.glob("*.json"))}
EXCHANGES = [
    (number, place) for number, content in FILES.items() for place in range(1, 1 + len(content.get("exchanges", ())))
]
"""The number of the file, and of the exchange in it, from 1."""

_LATEST_SINCE = "2024-11-13"
"""The first recording in which a node shows the word ``latest`` (file 00)."""
_WINDOWS = {"publisher": "MicrosoftWindowsServer", "offer": "WindowsServer", "sku": "2019-datacenter-smalldisk"}
_FOCAL = {"publisher": "canonical", "offer": "0001-com-ubuntu-server-focal", "sku": "20_04-lts"}
_JAMMY = {"publisher": "canonical", "offer": "0001-com-ubuntu-server-jammy", "sku": "22_04-lts"}
_NOBLE = {"publisher": "Canonical", "offer": "ubuntu-24_04-lts", "sku": "server"}
_PLACES = {"pool": "p", "node": None, "job": "j", "task": "t"}
_TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,7})?Z"
_FREE = {
    "eTag": "0x8[0-9A-F]{14}",
    "ipAddress": r"(\d{1,3}\.){3}\d{1,3}",
    "nodeAgentInfo.version": r"\d+\.\d+\.\d+",
}
"""The form of a value that is different each time, by the end of its path."""
_OURS = {"Connection"}
"""The client of these tests closes each connection."""


def is_old(number: str, place: int) -> bool:
    """Whether the exchange has behaviour that a later recording contradicts."""
    return FILES[number]["exchanges"][place - 1].get("note", "").startswith("OLD")


def version_of(number: str) -> str:
    """The api-version of the last source of a file."""
    return str(_source(number)["apiVersion"])


def _source(number: str) -> dict[str, Any]:
    source = FILES[number]["source"]
    return dict(source[-1] if isinstance(source, list) else source)


# --- the state before a file ---


def _machine(image: dict[str, str]) -> dict[str, Any]:
    agent = {_NOBLE["offer"]: "ubuntu 24.04", _JAMMY["offer"]: "ubuntu 22.04"}.get(image["offer"], "ubuntu 20.04")
    agent = f"batch.node.{'windows amd64' if image is _WINDOWS else agent}"
    return {"imageReference": {**image, "version": "latest"}, "nodeAgentSKUId": agent}


def _pool(count: int = 0, image: dict[str, str] = _WINDOWS, name: str = "p", **more: Any) -> dict[str, Any]:
    return {
        "id": name,
        "vmSize": "STANDARD_D1_v2",
        "virtualMachineConfiguration": _machine(image),
        "targetDedicatedNodes": count,
        **more,
    }


_JAMMY_POOL = _pool(1, _JAMMY, vmSize="STANDARD_D2S_V3", startTask={"commandLine": "/bin/bash -c 'echo hello'"})
_JOB = {"id": "j", "poolInfo": {"poolId": "p"}, "priority": 600, "constraints": {"maxTaskRetryCount": 3}}
_TASK = {"id": "t", "commandLine": "cmd /c echo hello", "constraints": {"maxTaskRetryCount": 3}}
_POLICY = FILES["15"]["exchanges"][0]["body"]["value"][0]["upgradePolicy"]
_XENIAL = FILES["22"]["exchanges"][0]["body"]["value"][0]
_ACCOUNTS: dict[str, dict[str, Any]] = {
    "14": {"images": [{**_FOCAL, "version": "20.04.202403190"}]},
    "22": {"supportedImages": [_XENIAL]},
}
_SETUP: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "02": [("/pools", _JAMMY_POOL)],
    "09": [("/pools", _pool())],
    "10": [("/pools", _pool())],
    "11": [("/pools", _pool())],
    "12": [("/pools", _pool(2)), ("/pools", _pool(name="q"))],
    "14": [("/pools", _pool(2, _FOCAL))],
    "15": [("/pools", _pool(upgradePolicy=_POLICY))],
    "16": [("/pools", _pool(1))],
    "17": [("/pools", _pool(1))],
    "18": [("/pools", _pool())],
    "19": [("/pools", _pool()), ("/jobs", _JOB), ("/jobs/j/tasks", _TASK)],
    "20": [("/pools", _pool()), ("/jobs", {"id": "j", "poolInfo": {"poolId": "p"}})],
    "24": [("/pools", _pool())],
    "25": [("/pools", _pool())],
    "26": [("/pools", _pool())],
    "27": [("/pools", _pool(3, _NOBLE))],
    "28": [("/pools", _pool(1))],
}
_CLOUD = {
    "id": "p",
    "vmSize": "small",
    "cloudServiceConfiguration": {"osFamily": "4", "osVersion": "*"},
}
_SEEDS: dict[str, dict[str, Any]] = {
    "cloud": {"pools": [{**_CLOUD, "nodes": []}]},
    "stopped": {
        "pools": [
            {
                **_CLOUD,
                "targetLowPriorityNodes": 3,
                "nodes": [],
                "resizeErrors": FILES["21"]["exchanges"][1]["body"]["resizeErrors"],
            }
        ]
    },
}
_CLOUD_NODE = {"pools": [{**_CLOUD, "vmSize": "standard_d1_v2", "nodes": [{"id": "tvm-1"}]}]}


def set_up(client: Client, number: str) -> None:
    """Bring an empty account into the state before the first exchange of a file."""
    client.version = version_of(number)
    client.put(**_ACCOUNTS.get(number, {}))
    example = FILES[number]["kind"] != "recording"
    shown = "latest" if example or _source(number)["recorded"] >= _LATEST_SINCE else "number"
    client.control("PUT", "unknowns", {"exactVersionOfLatest": shown})
    for path, body in _SETUP.get(number, ()):
        answer = client("POST", path, body)
        assert answer.status == 201, answer.body
    if number in _SETUP:
        _until(client, lambda pool: pool.allocation == "steady")
    if number == "27":  # the example says no state
        _reach(client, number, "idle")


# --- the state before an exchange ---


def _found(client: Client) -> Pool | None:
    return client.simulator.world.pools.get("p")


def _first(pool: Pool) -> Node | None:
    return next(iter(pool.nodes.values()), None)


def _until(client: Client, met: Any) -> None:
    for _ in range(600):
        pool = _found(client)
        if pool is None or met(pool):
            return
        client.advance(1)
    raise AssertionError("the simulator did not come into this state within 600 seconds")


def _reach(client: Client, number: str, state: str) -> None:
    if state == "cloud" and number == "23":
        client.control("PUT", "state", _CLOUD_NODE)
    elif state in _SEEDS:
        client.control("PUT", "state", _SEEDS[state])
    elif state in ("steady", "empty"):
        _until(client, lambda pool: pool.allocation == "steady")
    elif state == "gone":
        _until(client, lambda _: False)
    elif state == "reimaging":
        world, pool = client.simulator.world, _found(client)
        assert pool is not None
        _until(client, lambda pool: getattr(_first(pool), "state", None) == "idle")
        with world.lock:
            node = _first(pool)
            assert node is not None
            nodes.set_state(world, pool, node, "reimaging")
    elif state not in ("anonymous", "upgradePolicy"):
        every = state == "idle"
        _until(client, lambda pool: _is_in(pool, state, every=every))


def _is_in(pool: Pool, state: str, *, every: bool) -> bool:
    """Whether the first node, or every node, is in a state."""
    states = [node.state for node in pool.nodes.values()]
    return set(states) == {state} if every else states[:1] == [state]


def _filled(value: Any, client: Client) -> Any:
    """A recorded request with the names of this account."""
    if isinstance(value, dict):
        return {name: _filled(each, client) for name, each in value.items()}
    if isinstance(value, list):
        return [_filled(each, client) for each in value]
    if not isinstance(value, str):
        return value
    pool = _found(client)
    node = _first(pool) if pool else None
    names = {**_PLACES, "node": node.id if node else "tvm-1"}
    return re.sub(r"\{(pool|node|job|task)\}", lambda found: str(names[found[1]]), value)


def play(client: Client, number: str, place: int) -> list[str]:
    """Send one exchange; the differences between its answer and the recorded one."""
    exchange = FILES[number]["exchanges"][place - 1]
    _reach(client, number, exchange.get("state", "anonymous"))
    anonymous = exchange.get("state") == "anonymous"
    answer = client(
        exchange["method"],
        _filled(exchange["path"], client),
        _filled(exchange["request"], client),
        query={"api-version": client.version, **exchange["query"]},
        sign=not anonymous,
    )
    return list(_differences(client, exchange, answer))


def _differences(client: Client, exchange: dict[str, Any], answer: Answer) -> Iterator[str]:
    if answer.status != exchange["status"]:
        code = f" {answer.code}" if answer.status >= 400 and answer.body else ""
        yield f"status {exchange['status']}: {answer.status}{code}"
        return
    names, recorded = {name for name, _ in answer.headers} - _OURS, set(exchange["headers"])
    if recorded:
        yield from (f"header {name}: absent" for name in sorted(recorded - names))
        yield from (f"header {name}: only here" for name in sorted(names - recorded))
    if exchange["body"] is not None:
        only = not recorded  # an example of the specification, which is shortened
        yield from _compare(answer.json, exchange["body"], "", client.simulator.endpoint, shortened=only)


def _compare(seen: Any, recorded: Any, where: str, endpoint: str, *, shortened: bool) -> Iterator[str]:
    if isinstance(recorded, dict) and isinstance(seen, dict):
        yield from (f"{where}{name}: absent" for name in recorded if name not in seen)
        yield from (f"{where}{name}: only here" for name in seen if name not in recorded and not shortened)
        for name in recorded:
            if name in seen:
                yield from _compare(seen[name], recorded[name], f"{where}{name}.", endpoint, shortened=shortened)
    elif isinstance(recorded, list) and isinstance(seen, list):
        if bool(seen) is not bool(recorded) or (len(seen) != len(recorded) and where != "value."):
            yield f"{where[:-1]} has {len(recorded)}: {len(seen)}"
        # The rows of a list have one shape, so a difference of several rows is yielded once.
        found: dict[str, None] = {}
        for left, right in zip(seen, recorded, strict=False):
            found |= dict.fromkeys(_compare(left, right, where, endpoint, shortened=shortened))
        yield from found
    elif not _same(seen, recorded, where[:-1], endpoint):
        yield f"{where[:-1]} {recorded!r}: {seen!r}"


def _same(seen: Any, recorded: Any, where: str, endpoint: str) -> bool:
    if isinstance(recorded, str) and isinstance(seen, str):
        return re.fullmatch(_pattern(recorded, where, endpoint), seen) is not None
    return type(seen) is type(recorded) and bool(seen == recorded)


def _pattern(recorded: str, where: str, endpoint: str) -> str:
    form = next((form for end, form in _FREE.items() if where.endswith(end)), None)
    if form is not None:
        return form
    pieces = re.split(rf"({_TIME}|\{{[a-z-]+\}}|\.\.\.)", recorded)
    names = {"{base}": re.escape(endpoint), "{pool}": "[pq]", "{job}": "j", "{task}": "t"}
    return "".join(
        _TIME if re.fullmatch(_TIME, piece) else names.get(piece, ".+") if place % 2 else re.escape(piece)
        for place, piece in enumerate(pieces)
    )
