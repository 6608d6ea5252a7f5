"""The pool that `batch-os probe` makes and deletes, and the calls about it.

A probe writes to a real account, so each write passes one check here: it concerns the probe's own pool or job.

Calls use the provider's own connection. What is probed is then what the provider sends, byte for byte; no write is
sent twice (azure-batch's own methods retry writes), and no poller takes a failure for a success. Credentials are found
as the provider finds them, and are never printed.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import click

from batch_os_provider.batch.address import PoolRef, parse_endpoint
from batch_os_provider.batch.client import NEWEST
from batch_os_provider.batch.connection import Connection
from batch_os_provider.errors import BatchOsError, PoolGoneError, ServiceError, TransientError

__all__ = ["ACCEPTED", "NOT_IMPLEMENTED", "PREFIX", "Findings", "ProbeError", "Reply", "ThrowawayPool", "say"]

PREFIX = "batch-os-probe-"
"""How the ids of all pools of the probe begin."""
ACCEPTED = "accepted"
"""The outcome of a call that Batch accepted, as the simulator's switches spell it."""
NOT_IMPLEMENTED = 501
_MARKER = "batch-os-probe"
"""Metadata entry of a pool that was left for a second visit; its value is the pool's own id."""
_DRAIN = "PT5M"
"""The shortest resizeTimeout that Batch accepts."""
_TRIES = 5
_SWITCHLESS = frozenset({"nodeSelect", "staleIfMatch", "reimage", "reimagedVersion", "drainedNode", "leftPool"})
"""Questions for which the simulator has no switch: the answer sets nothing."""


class ProbeError(Exception):
    """The probe, or one of its questions, cannot go on; the text says why."""


def say(text: str) -> None:
    """Print a line for people, on standard error."""
    click.echo(text, err=True)


@dataclass(frozen=True)
class Reply:
    """An answer of Batch: the status, and the Batch code if Batch refused the call."""

    status: int
    code: str = ""
    message: str = ""
    body: Mapping[str, Any] | None = None

    @property
    def outcome(self) -> str:
        """The Batch code or ``accepted``, as a switch of the simulator spells it."""
        return self.code or (ACCEPTED if self.status < 300 else str(self.status))  # noqa: PLR2004 - HTTP

    def __str__(self) -> str:
        return " ".join(filter(None, [str(self.status), self.code, self.message]))


class Findings:
    """Prints one line of JSON for each question on standard output, and knows which questions have a line."""

    def __init__(self) -> None:
        self._printed: set[str] = set()

    def answer(self, name: str, value: str, seen: str) -> None:
        """Print the answer to a question: the value, as the simulator's switch spells it, and the evidence."""
        self._print(name, {"value": value, "seen": seen})

    def leave_open(self, names: Iterable[str], why: str) -> None:
        """Print that these questions stay open, except those that have an answer already."""
        for name in names:
            if name not in self._printed:
                self._print(name, {"value": None, "not answered": why})

    def _print(self, name: str, rest: Mapping[str, object]) -> None:
        self._printed.add(name)
        click.echo(json.dumps({"finding": name, "switch": None if name in _SWITCHLESS else name, **rest}))


class ThrowawayPool:
    """One account, and the one pool in it that the probe may write to.

    ``is_ours`` is True while the probe must delete the pool, ``has_job`` while it must delete the job. The job has the
    pool's id.

    Args:
        endpoint: the account's endpoint.
        pool_id: the pool's id.
        poll: seconds between two reads.
        patience: the longest time of one wait, in seconds.

    Raises:
        ValueError: the endpoint is not one of an account.
        CredentialError: no credential fits the endpoint.
    """

    def __init__(self, endpoint: str, pool_id: str, poll: float, patience: float) -> None:
        self.ref = PoolRef(parse_endpoint(endpoint), pool_id)
        self.findings = Findings()
        self.is_ours = False
        self.has_job = False
        self._connection = Connection(self.ref.endpoint, os.environ)
        self._poll = poll
        self._patience = patience

    # -- calls --

    @property
    def path(self) -> str:
        """The pool's path."""
        return f"/pools/{self.ref.pool_id}"

    @property
    def job_path(self) -> str:
        """The job's path."""
        return f"/jobs/{self.ref.pool_id}"

    def send(  # noqa: PLR0913 - one call, all its parts
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        api: str = NEWEST,
        query: str = "",
        etag: str = "",
    ) -> Reply:
        """Send one call; a refusal is an answer like any other. Only reads are retried after a transient error.

        Raises:
            ProbeError: the call would write to something that the probe did not make; it was not sent.
            BatchOsError: no answer came.
        """
        if method != "GET" and not self._may_write(method, path):
            raise ProbeError(f"{method} {path} is not about a pool that this probe has made; nothing was sent")
        for left in reversed(range(_TRIES)):
            try:
                response = self._connection.send(
                    method,
                    f"{path}?api-version={api}{query}",
                    self.ref.url,
                    doing=f"{method} {path}",
                    body=body,
                    etag=etag,
                )
            except TransientError as error:
                if error.reply.status == NOT_IMPLEMENTED or error.code:
                    return _refusal(error)
                if method != "GET" or not left:
                    raise
                time.sleep(self._poll)
            except (ServiceError, PoolGoneError) as error:
                return _refusal(error)
            else:
                text = response.text()
                return Reply(response.status_code, body=json.loads(text) if text else {})
        raise AssertionError("the last try returns or raises")

    def _may_write(self, method: str, path: str) -> bool:
        if (method, path) == ("POST", "/pools"):
            return True
        if path == "/jobs" or f"{path}/".startswith(f"{self.job_path}/"):
            return True
        return self.is_ours and f"{path}/".startswith(f"{self.path}/")

    def demand(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
        """Send a call that the probe cannot do without, and return the answer's body. Raises ProbeError if refused."""
        reply = self.send(method, path, body)
        if reply.outcome != ACCEPTED:
            raise ProbeError(f"{method} {path}: {reply}")
        return reply.body or {}

    # -- reads and waits --

    def read(self) -> Mapping[str, Any]:
        """The pool as it is now."""
        return self.demand("GET", self.path)

    def nodes(self) -> list[Mapping[str, Any]]:
        """The pool's nodes; one page holds more of them than a probe makes."""
        return list(self.demand("GET", f"{self.path}/nodes").get("value", []))

    def wait_until(self, condition: Callable[[], Any], what: str) -> Any:
        """Poll until the condition is true, and return its value. Raises ProbeError after ``patience``."""
        end = time.monotonic() + self._patience
        while not (value := condition()):
            if time.monotonic() > end:
                raise ProbeError(f"did not happen within {self._patience:g} s: {what}")
            time.sleep(self._poll)
        return value

    def wait_steady(self) -> Mapping[str, Any]:
        """Wait until Batch has ended each resize, and return the pool."""

        def steady() -> Mapping[str, Any] | None:
            pool = self.read()
            return pool if pool.get("allocationState") == "steady" else None

        found: Mapping[str, Any] = self.wait_until(steady, "the pool is steady")
        return found

    def wait_ready(self) -> list[Mapping[str, Any]]:
        """Wait until the pool is steady and every node accepts tasks, and return the nodes."""
        pool = self.wait_steady()
        if pool.get("resizeErrors") and pool.get("currentDedicatedNodes", 0) < pool.get("targetDedicatedNodes", 0):
            raise ProbeError(f"Batch could not allocate the nodes: {pool['resizeErrors']}")

        def all_ready() -> list[Mapping[str, Any]]:
            nodes = self.nodes()
            broken = [node["state"] for node in nodes if node.get("state") in ("unusable", "starttaskfailed")]
            if broken:
                raise ProbeError(f"a node of the probe's pool is {broken[0]}; run the probe again")
            return nodes if all(node.get("state") in ("idle", "running") for node in nodes) else []

        if not pool.get("currentDedicatedNodes"):
            return []
        return list(self.wait_until(all_ready, "every node accepts tasks"))

    # -- writes --

    def resize(self, size: int) -> list[Mapping[str, Any]]:
        """Resize the pool if it has another size, wait for its nodes, and return them."""
        pool = self.wait_steady()
        if (pool.get("targetDedicatedNodes"), pool.get("currentDedicatedNodes")) != (size, size):
            self.demand("POST", f"{self.path}/resize", {"targetDedicatedNodes": size, "targetLowPriorityNodes": 0})
        return self.wait_ready()

    def remove_nodes(self, *names: str) -> Reply:
        """Ask Batch to remove nodes after their tasks, or after five minutes."""
        body = {"nodeList": list(names), "nodeDeallocationOption": "taskcompletion", "resizeTimeout": _DRAIN}
        return self.send("POST", f"{self.path}/removenodes", body)

    def create(self, configuration: Mapping[str, Any], vm_size: str, nodes: int, *, keep: bool = False) -> None:
        """Make the pool; ``keep`` marks it, so that a second visit may take it over. Raises ProbeError if refused."""
        body = {
            "id": self.ref.pool_id,
            "vmSize": vm_size,
            "virtualMachineConfiguration": configuration,
            "targetDedicatedNodes": nodes,
            "metadata": [{"name": _MARKER, "value": self.ref.pool_id}] if keep else [],
        }
        # Ours from here on: Batch may have made the pool although its answer was lost, and the id is a random one.
        self.is_ours = True
        reply = self.send("POST", "/pools", body)
        if reply.outcome != ACCEPTED:
            self.is_ours = False
            raise ProbeError(f"the pool could not be made: {reply}")

    def take_over(self) -> None:
        """Take over a pool that an earlier probe left. Raises ProbeError for any other pool."""
        pool_id = self.ref.pool_id
        entries = self.read().get("metadata") or []
        if not pool_id.startswith(PREFIX) or {"name": _MARKER, "value": pool_id} not in entries:
            raise ProbeError(f"pool {pool_id} was not made by this probe; nothing was touched")
        self.is_ours = True

    def clean_up(self) -> bool:
        """Delete the job and the pool, then say how that went. False if one of them may be left."""
        said, is_clean = [], True
        for path in [self.job_path] * self.has_job + [self.path] * self.is_ours:
            why = self._delete(path)
            is_clean = is_clean and not why
            failure = f"error: {path[1:]} could not be deleted, delete it by hand: {why}"
            said.append(failure if why else f"Deleted {path[1:]}.")
        self.has_job = self.is_ours = False
        # Only now: if standard error has no reader any more, the first line would end the process.
        for line in said:
            say(line)
        return is_clean

    def _delete(self, path: str) -> str:
        """Delete; why it failed, empty if it did not."""
        try:
            reply = self.send("DELETE", path)
        except BatchOsError as error:
            return str(error)
        gone = reply.outcome == ACCEPTED or reply.status == 404 or reply.code.endswith("BeingDeleted")  # noqa: PLR2004 - HTTP
        return "" if gone else str(reply)


def _refusal(error: ServiceError | PoolGoneError) -> Reply:
    answer = error.answer
    if answer is None or not answer.status:
        raise error
    return Reply(answer.status, answer.code, answer.message)
