"""A simulator that a test starts, and what the test asks of it.

It runs in a thread of the tests' own process: a process for each test, as a user starts it, costs 0.2 s of processor
time. Tests that need the command's options or its end start the command.

Time belongs to the test: the simulator starts frozen unless a speed is given, and a test
that needs progress advances it or lets it run.
"""

from __future__ import annotations

import json
import secrets
import socket
import ssl
import subprocess
import time
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

from batch_os_provider.simulator import server
from tests.support.fork_server import BIN
from tests.support.stack import COMMAND_TIMEOUT, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

S = TypeVar("S", bound="Simulator")
OLD = "WA-GUEST-OS-4.58_201809-01"
NEW = "WA-GUEST-OS-4.59_201810-01"
OTHER = "WA-GUEST-OS-4.60_201811-01"
READY = ("idle", "running")
CREATED = "2018-11-01T00:00:00Z"
LEGACY = "2018-08-01.7.0"
SHORT_OLD, SHORT_NEW, SHORT_OTHER = (each.removeprefix("WA-GUEST-OS-") for each in (OLD, NEW, OTHER))
"""The same versions as a row shows them."""
NEWEST = "2025-06-01"
BEHIND = "20348.2402.240402"
TARGET = "20348.2461.240510"
ABOVE = "20348.2527.240613"
WINDOWS = {"publisher": "microsoftwindowsserver", "offer": "windowsserver", "sku": "2022-datacenter-core"}
MOVED = {
    **WINDOWS,
    "versions": [{"version": BEHIND}, {"version": TARGET, "since": "2024-05-10T00:00:00Z"}],
}
"""An image whose ``latest`` has moved since the pools' nodes were made."""


@dataclass(frozen=True)
class Image:
    """A marketplace image as teams use it, and two of its versions: what nodes run, and what ``latest`` has become."""

    publisher: str
    offer: str
    sku: str
    agent: str
    behind: str
    target: str

    @property
    def reference(self) -> dict[str, str]:
        """Its imageReference without a version."""
        return {"publisher": self.publisher, "offer": self.offer, "sku": self.sku}

    @property
    def row(self) -> dict[str, Any]:
        """A row of a seed's ``images``: ``latest`` has moved since the pools' nodes were made."""
        versions = [{"version": self.behind}, {"version": self.target, "since": "2024-05-10T00:00:00Z"}]
        return {**self.reference, "nodeAgentSKUId": self.agent, "versions": versions}


WINDOWS_2022 = Image(*WINDOWS.values(), "batch.node.windows amd64", BEHIND, TARGET)
IMAGES = {
    "windows-2022": WINDOWS_2022,
    "windows-2019": Image(
        "microsoftwindowsserver",
        "windowsserver",
        "2019-datacenter-core",
        "batch.node.windows amd64",
        "17763.2928.220505",
        "17763.3124.2111130129",
    ),
    "ubuntu": Image(
        "canonical",
        "0001-com-ubuntu-server-jammy",
        "22_04-lts",
        "batch.node.ubuntu 22.04",
        "22.04.202404090",
        "22.04.202405140",
    ),
    "ubuntu-hpc": Image(
        "microsoft-dsvm", "ubuntu-hpc", "2204", "batch.node.ubuntu 22.04", "22.04.2024073001", "22.04.2024102301"
    ),
    "almalinux-hpc": Image(
        "almalinux", "almalinux-hpc", "8_7-hpc-gen2", "batch.node.el 8", "8.7.2023060501", "8.7.2024042601"
    ),
    "rhel": Image("redhat", "rhel", "8_1", "batch.node.el 8", "8.1.2020082713", "8.1.2021040910"),
}
"""Images whose versions are spelled in all the ways there are: leading zeros, ten digits, two to five digits first."""
NOBLE = Image(
    "canonical", "ubuntu-24_04-lts", "server", "batch.node.ubuntu 24.04", "24.04.202404230", "24.04.202405100"
)
"""The image to which pools of Ubuntu 22.04 move."""
WINDOWS_2016 = Image(
    "microsoftwindowsserver",
    "windowsserver",
    "2016-datacenter",
    "batch.node.windows amd64",
    "14393.6897.240402",
    "14393.6981.240504",
)
"""An image that Batch supports until 2027-01-12."""


def paas_pool(pool_id: str = "render", *, nodes: int = 3, current: str = OLD, **changes: Any) -> dict[str, Any]:
    """A Cloud Services pool as a seed holds it: active, steady, all nodes idle."""
    pool = {
        "id": pool_id,
        "state": "active",
        "creationTime": CREATED,
        "stateTransitionTime": CREATED,
        "lastModified": CREATED,
        "allocationState": "steady",
        "allocationStateTransitionTime": CREATED,
        "vmSize": "small",
        "cloudServiceConfiguration": {"osFamily": "4", "targetOSVersion": current, "currentOSVersion": current},
        "currentDedicatedNodes": nodes,
        "targetDedicatedNodes": nodes,
        "currentLowPriorityNodes": 0,
        "targetLowPriorityNodes": 0,
        "enableAutoScale": False,
        "nodes": [node(f"tvm-{number:03d}") for number in range(1, nodes + 1)],
    }
    return {**pool, **changes}


def vm_pool(
    pool_id: str = "render",
    *,
    nodes: int = 2,
    version: str = "latest",
    exact: str = "",
    image: Image = WINDOWS_2022,
    **changes: Any,
) -> dict[str, Any]:
    """A VM pool as a seed holds it: ``version`` is what it is declared with, ``exact`` what its nodes run.

    Without ``exact`` they run what the image had before its ``latest`` moved.
    """
    pool = paas_pool(pool_id, nodes=nodes)
    del pool["cloudServiceConfiguration"]
    pool["virtualMachineConfiguration"] = {
        "imageReference": {
            **image.reference,
            "version": version,
        },
        "nodeAgentSKUId": image.agent,
    }
    pool["vmSize"] = "standard_d2s_v3"
    for each in pool["nodes"]:
        each["virtualMachineInfo"] = {
            "imageReference": {
                **pool["virtualMachineConfiguration"]["imageReference"],
                "exactVersion": exact or image.behind,
            },
        }
    return {**pool, **changes}


def job(pool_id: str, *seconds: int) -> dict[str, Any]:
    """A job of tasks that run so many seconds each."""
    tasks = [{"id": f"t{number}", "commandLine": f"sleep {each}"} for number, each in enumerate(seconds)]
    return {"id": f"job-{pool_id}", "poolInfo": {"poolId": pool_id}, "tasks": tasks}


def node(node_id: str) -> dict[str, Any]:
    """An idle node that booted long ago."""
    return {
        "id": node_id,
        "state": "idle",
        "schedulingState": "enabled",
        "stateTransitionTime": CREATED,
        "lastBootTime": CREATED,
        "allocationTime": CREATED,
        "isDedicated": True,
    }


def capacity(entries: Iterable[dict[str, Any]], start: int, pool_id: str = "render") -> tuple[int, int]:
    """The least and the most dedicated nodes of a pool that took tasks at any time, of the ``start`` that it had."""
    ready = least = most = start
    for entry in entries:
        detail = entry["detail"]
        if entry["pool"] == pool_id and detail.get("resource") == "node" and detail["dedicated"]:
            ready += (detail["to"] in READY) - (detail["from"] in READY)
            least, most = min(least, ready), max(most, ready)
    return least, most


@dataclass
class Simulator:
    """A running simulator, seen through its control endpoints."""

    endpoint: str
    account: str
    key: str
    control: str
    authority: Path | None = None

    @property
    def environment(self) -> dict[str, str]:
        """What a user exports to sign in."""
        return {"AZURE_BATCH_ACCOUNT": self.account, "AZURE_BATCH_ACCESS_KEY": self.key}

    def signed_in_as(self, name: str, *, read_only: bool) -> dict[str, str]:
        """What a machine has whose managed identity is this principal (made here); ``--tls`` only, as a token wants."""
        self.principal(name, readOnly=read_only)
        return {
            "IDENTITY_ENDPOINT": f"{self.control}/identity/token",
            "IDENTITY_HEADER": name,
            "REQUESTS_CA_BUNDLE": str(self.authority),
        }

    def principal(self, name: str, **fields: Any) -> None:
        """Make a principal, or change one; what goes on, goes on."""
        state = self.get("state")
        known = {each["name"]: each for each in state["principals"] if "name" in each}
        made = {**known.get(name, {"name": name, "token": secrets.token_urlsafe(32), "readOnly": False}), **fields}
        self.put("state", {**state, "principals": [*({**known, name: made}.values())]})

    def entra(self, name: str, tenant: str = "contoso") -> dict[str, str]:
        """What points the azure-native variables at this simulator; how to sign in is still to be added."""
        assert self.authority is not None, "no Entra token goes over plain http"
        return {
            "AZURE_AUTHORITY_HOST": f"{self.control}/identity",
            "ARM_TENANT_ID": tenant,
            "ARM_CLIENT_ID": name,
            "REQUESTS_CA_BUNDLE": str(self.authority),
        }

    def by_secret(self, name: str, **fields: Any) -> dict[str, str]:
        """Make a principal with a client secret: what a machine has that signs in as it."""
        secret = secrets.token_urlsafe(32)
        self.principal(name, secret=secret, **fields)
        return {**self.entra(name), "ARM_CLIENT_SECRET": secret}

    def by_oidc(self, name: str, prefix: str = "ARM_OIDC_REQUEST", **fields: Any) -> dict[str, str]:
        """Make a principal that trusts a CI system: what a job of that system has. Each assertion works once."""
        secret = secrets.token_urlsafe(32)
        self.principal(name, **{"secret": secret, "assertions": {"once": True}, **fields})
        return {
            **self.entra(name),
            "ARM_USE_OIDC": "true",
            f"{prefix}_URL": f"{self.control}/identity/assertion?api-version=2.0",
            f"{prefix}_TOKEN": secret,
        }

    def by_pipelines(self, name: str, **fields: Any) -> dict[str, str]:
        """Make a principal of an Azure DevOps service connection: what a step of the task AzureCLI has then."""
        secret = secrets.token_urlsafe(32)
        self.principal(name, **{"secret": secret, "assertions": {"once": True}, **fields})
        return {
            **self.entra(name),
            "ARM_USE_OIDC": "true",
            "AZURESUBSCRIPTION_SERVICE_CONNECTION_ID": name,
            "SYSTEM_OIDCREQUESTURI": f"{self.control}/identity/oidctoken",
            "SYSTEM_ACCESSTOKEN": secret,
        }

    def tokens(self, way: str = "", status: int | None = 200) -> list[dict[str, Any]]:
        """The requests for tokens and assertions so far that came this way and were answered so; "" and None: all."""
        return [
            entry
            for entry in self.get("identity/record")["entries"]
            if way in ("", entry["way"]) and status in (None, entry["status"])
        ]

    def get(self, what: str) -> dict[str, Any]:
        """GET a control resource."""
        return self._call("GET", what, None)

    def put(self, what: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """PUT a control resource."""
        return self._call("PUT", what, body)

    def post(self, what: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """POST to a control resource."""
        return self._call("POST", what, body)

    def pools(self, *pools: Mapping[str, Any]) -> None:
        """Replace everything in the account by these pools."""
        self.put("state", {**self.get("state"), "pools": list(pools), "jobs": []})

    def seed(self, *pools: Mapping[str, Any], **more: Any) -> None:
        """Replace everything: these VM pools, an image whose ``latest`` has moved, and what else is given.

        The built-in list of supported images would make the tests depend on the day: its images end.
        """
        fresh = {"images": [MOVED], "supportedImages": [], "pools": list(pools), "jobs": []}
        self.put("state", {**self.get("state"), **fresh, **more})

    def pool(self, pool_id: str = "render") -> dict[str, Any]:
        """A pool as the simulator holds it, nodes included."""
        found: dict[str, Any] = next(pool for pool in self.get("state")["pools"] if pool["id"] == pool_id)
        return found

    def change(self, pool_id: str = "render", **changes: Any) -> None:
        """Change fields of a pool behind everybody's back; what else goes on, goes on."""
        state = self.get("state")
        for pool in state["pools"]:
            if pool["id"] == pool_id:
                pool.update(changes)
        self.put("state", state)

    def change_node(self, node_id: str, pool_id: str = "render", **changes: Any) -> None:
        """Change fields of a node behind everybody's back."""
        nodes = [{**each, **changes} if each["id"] == node_id else each for each in self.pool(pool_id)["nodes"]]
        self.change(pool_id, nodes=nodes)

    def move_to(self, version: str, pool_id: str = "render") -> None:
        """Another actor has brought the pool to a version, and is done."""
        pool = self.pool(pool_id)
        both = {"targetOSVersion": version, "currentOSVersion": version}
        self.change(pool_id, cloudServiceConfiguration={**pool["cloudServiceConfiguration"], **both})

    def speed(self, speed: float) -> None:
        """Virtual seconds in a real one."""
        self.post("clock", {"speed": speed})

    def advance(self, seconds: float) -> None:
        """Let virtual time pass at once."""
        self.post("clock", {"advance": seconds})

    def unknown(self, **values: Any) -> None:
        """Set switches for what is not known of the real service."""
        self.put("unknowns", {name: {"value": value} for name, value in values.items()})

    def fault(self, operation: str, effect: Mapping[str, Any], **match: Any) -> str:
        """Make calls of an operation go wrong; the id of the rule."""
        rule = {"match": {"operation": operation, **match}, "effect": dict(effect)}
        return str(self.post("faults", rule)["id"])

    def until_fault_fired(self, rule: str, times: int = 1) -> None:
        """Wait until a rule has hit so many requests; one with a delay then holds its request."""
        self._until_fired("faults", rule, times)

    def actor(self, when: Mapping[str, Any], do: Mapping[str, Any], pool: str = "render") -> str:
        """Let somebody else do something to a pool; the id of the script."""
        return str(self.post("actors", {"when": dict(when), "pool": pool, "do": dict(do)})["id"])

    def until_actor_acted(self, script: str, times: int = 1) -> None:
        """Wait until somebody else has done it, or was refused."""
        self._until_fired("actors", script, times)

    def _until_fired(self, what: str, name: str, times: int) -> None:
        wait_until(lambda: self.get(f"{what}/{name}")["fired"] >= times, f"{what}/{name} fired {times} times")

    def no_faults(self) -> None:
        """From now on nothing goes wrong on purpose."""
        self._call("DELETE", "faults", None)

    def requests(self, *operations: str) -> list[dict[str, Any]]:
        """The requests so far, of these operations, or of all."""
        entries = self.get("audit")["entries"]
        return [
            entry
            for entry in entries
            if entry["kind"] == "request" and (not operations or entry["operation"] in operations)
        ]

    def transitions(self, resource: str, to: str) -> list[dict[str, Any]]:
        """The state changes so far of pools, nodes or tasks to one state."""
        return [
            entry
            for entry in self.get("audit")["entries"]
            if entry["kind"] == "transition" and (entry["detail"]["resource"], entry["detail"]["to"]) == (resource, to)
        ]

    def upgrades(self) -> list[dict[str, Any]]:
        """Every POST upgradeos so far, refused ones included."""
        return self.requests("Pool_UpgradeOS")

    def writes(self) -> list[dict[str, Any]]:
        """Every request so far that is not a read."""
        return [entry for entry in self.requests() if entry["method"] not in ("GET", "HEAD")]

    def seen(self, pool_id: str, operation: str, status: int | None = None) -> list[dict[str, Any]]:
        """The requests of one operation on one pool so far, all or those with a status."""
        return [
            entry
            for entry in self.requests(operation)
            if entry["pool"] == pool_id and status in (None, entry["status"])
        ]

    def versions(self, pool_id: str = "render") -> list[str]:
        """The exact image version of each node of a pool."""
        return [node["virtualMachineInfo"]["imageReference"]["exactVersion"] for node in self.pool(pool_id)["nodes"]]

    def capacity(self, start: int, pool_id: str = "render") -> tuple[int, int]:
        """The least and the most dedicated nodes of a pool that took tasks at any time, by the audit."""
        return capacity(self.get("audit")["entries"], start, pool_id)

    def assert_tasks_ran_once(self, pool_id: str = "render") -> None:
        """Each task of a pool completed on the node that it started on, and nothing went back to the queue."""
        tasks = [
            task
            for each in self.get("state")["jobs"]
            if each["poolInfo"]["poolId"] == pool_id
            for task in each["tasks"]
        ]
        assert tasks
        assert {task["state"] for task in tasks} == {"completed"}
        assert {task["executionInfo"]["requeueCount"] for task in tasks} == {0}
        moves: dict[str, list[tuple[str, str]]] = {}
        for entry in self.get("audit")["entries"]:
            if entry["pool"] == pool_id and entry["detail"].get("resource") == "task" and entry["detail"]["from"]:
                moves.setdefault(entry["detail"]["id"], []).append((entry["detail"]["to"], entry["detail"]["node"]))
        for name, steps in moves.items():
            assert [to for to, _ in steps] == ["running", "completed"], (name, steps)
            assert len({node for _, node in steps}) == 1, (name, steps)

    def outside(self, method: str, path: str, body: Mapping[str, Any] | None = None, version: str = LEGACY) -> int:
        """Another actor's call to Batch, made with the official client; its HTTP status."""
        from azure.batch import BatchClient  # noqa: PLC0415 - most tests never need it
        from azure.core.credentials import AzureNamedKeyCredential  # noqa: PLC0415 - as above
        from azure.core.rest import HttpRequest  # noqa: PLC0415 - as above

        request = HttpRequest(method, f"{path}?api-version={version}", json=body)
        with BatchClient(self.endpoint, AzureNamedKeyCredential(self.account, self.key)) as client:
            return int(client.send_request(request).status_code)

    def trusted(self) -> ssl.SSLContext | None:
        """Who vouches for it; None over plain http."""
        return ssl.create_default_context(cafile=self.authority) if self.authority else None

    def _call(self, method: str, what: str, body: Mapping[str, Any] | None) -> dict[str, Any]:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(  # noqa: S310 - loopback
            f"{self.control}/{what}", data=data, method=method, headers={"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=30, context=self.trusted()) as response:  # noqa: S310 - loopback
                text = response.read()
        except urllib.error.HTTPError as error:
            with error:
                raise AssertionError(f"{method} {what}: {error.code} {error.read().decode()}") from None
        answer: dict[str, Any] = json.loads(text) if text else {}
        return answer


@dataclass(kw_only=True)
class SimulatorProcess(Simulator):
    """A simulator in a process of its own, as a user starts it."""

    process: subprocess.Popen[str]

    def stop(self) -> int:
        """End it as a service manager would; its exit code."""
        assert self.process.stdout is not None
        self.process.terminate()
        code = self.process.wait(COMMAND_TIMEOUT)
        self.process.stdout.close()
        return code


def start(
    arguments: Sequence[str] = ("--speed", "0"),
    *,
    environment: Mapping[str, str] | None = None,
    stderr: int | IO[str] = subprocess.DEVNULL,
) -> SimulatorProcess:
    """Start the command on a free port."""
    process = subprocess.Popen(  # noqa: S603 - our own command
        [BIN / "batch-simulator", *arguments],
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        env=environment,
    )
    assert process.stdout is not None
    hello = json.loads(process.stdout.readline())
    authority = Path(hello["ca"]) if "ca" in hello else None
    return _with_numbers(
        SimulatorProcess(
            hello["endpoint"], hello["account"], hello["key"], hello["control"], authority, process=process
        )
    )


def _with_numbers(simulator: S) -> S:
    """Let nodes on latest show numbers, since most tests distinguish versions; those of moments turn the switch.

    Nodes of VM pools come and go sooner than recorded ones.
    """
    simulator.put("state", {**simulator.get("state"), "durations": "short"})
    simulator.unknown(exactVersionOfLatest="number")
    return simulator


def repeat_until(act: Callable[[], object], condition: Callable[[], object], seconds: float = 30.0) -> None:
    """Do something again and again until it has had its effect; fail when it has none."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, f"did not happen within {seconds:g} s"
        act()


@contextmanager
def nowhere() -> Iterator[str]:
    """A URL at which nothing listens. The port stays taken, so that no server of another test gets it."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


def running() -> Iterator[Simulator]:
    """For a fixture: a frozen one in a thread, which ends with the test."""
    with server.running(speed=0.0) as started:
        yield _with_numbers(Simulator(started.endpoint, started.account, started.key, started.control))


def running_command(
    arguments: Sequence[str] = ("--speed", "0"), *, stderr: int | IO[str] = subprocess.DEVNULL
) -> Iterator[SimulatorProcess]:
    """For a fixture: start the command, and end it."""
    simulator = start(arguments, stderr=stderr)
    try:
        yield simulator
    finally:
        simulator.stop()
