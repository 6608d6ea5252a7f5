"""The checks of `batch-os doctor` that concern an account: address, TLS, credential, rights, API versions.

"It does not work from the pipeline" has a dozen causes that look alike. They are checked one after the other, from the
network inwards, with reads only. A check that an earlier failure makes impossible is reported as skipped.
"""

from __future__ import annotations

import os
import socket
import urllib.request
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from batch_os_provider.batch import credentials
from batch_os_provider.batch.address import PoolRef
from batch_os_provider.batch.advice import UNTRUSTED
from batch_os_provider.batch.client import LAST_WITH_UPGRADE_OS, NEWEST, BatchClient, shared_client
from batch_os_provider.batch.pool import Kind
from batch_os_provider.batch.vm_pool import VmPool
from batch_os_provider.cli.doctor.check import Check
from batch_os_provider.cli.inventory import ask
from batch_os_provider.errors import ApiRetiredError, BatchOsError, PoolGoneError
from batch_os_provider.runtime.cancellation import CancellationToken, RealWaiter
from batch_os_provider.wording import counted

__all__ = ["account"]

_CONNECT_SECONDS = 5.0
_NO_POOL = "batch-os-doctor-asks-for-no-pool"
"""A pool id that no account has: the answer shows whether Batch still answers an API version."""
_LATER = ("TLS", "reads pools", "API versions", "reads nodes", "rights to write")


def account(endpoint: str, environ: Mapping[str, str] = os.environ) -> list[Check]:
    """All checks of one account, in order."""
    return list(_checks(endpoint, environ))


def _checks(endpoint: str, environ: Mapping[str, str]) -> Iterator[Check]:
    address = _address(endpoint)
    yield address
    credential, found = _credential(endpoint, environ)
    yield credential
    if address.status == "fail" or found is None:
        missing = "address" if address.status == "fail" else "credential"
        yield from (Check(endpoint, name, "skip", f"not tried without {missing}") for name in _LATER)
        return
    client = shared_client(endpoint)
    pools = ask(client.list_vm_pools, _pause)
    yield _tls(endpoint, pools if isinstance(pools, BatchOsError) else None)
    if isinstance(pools, BatchOsError):
        yield _failed(endpoint, "reads pools", pools)
        yield from (Check(endpoint, name, "skip", "not tried, as pools cannot be read") for name in _LATER[2:])
    else:
        yield Check(endpoint, "reads pools", "ok", counted(len(pools), "pool"))
        versions = _versions(endpoint, client)
        yield versions
        yield _nodes(endpoint, client, pools, only_vm=versions.status != "ok")
        yield _rights(endpoint, found)


def _pause(seconds: float) -> None:
    RealWaiter(CancellationToken()).sleep(seconds)


def _address(endpoint: str) -> Check:
    """Whether the host has an address, and accepts a connection."""
    parts = urlsplit(endpoint)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    if urllib.request.getproxies().get(parts.scheme) and not urllib.request.proxy_bypass(host):
        return Check(endpoint, "address", "skip", "not tried directly: a proxy is set")
    try:
        socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        fix = "Check the spelling of the endpoint; a private endpoint resolves only in its own network"
        return Check(endpoint, "address", "fail", f"{host} does not resolve: {error.strerror}", fix)
    try:
        with socket.create_connection((host, port), _CONNECT_SECONDS) as connection:
            number = connection.getpeername()[0]
    except OSError as error:
        fix = (
            "Check firewalls and the account's network access; a private endpoint is reached only from its own network"
        )
        why = error.strerror or str(error)
        return Check(endpoint, "address", "fail", f"{host} port {port} does not answer: {why}", fix)
    return Check(endpoint, "address", "ok", f"{number} port {port} answers")


def _credential(endpoint: str, environ: Mapping[str, str]) -> tuple[Check, credentials.Found | None]:
    """Which credential is used. Whether Batch accepts it shows when pools are read."""
    try:
        found = credentials.find(endpoint, environ)
    except BatchOsError as error:
        return _failed(endpoint, "credential", error), None
    if not found.passed_over:
        return Check(endpoint, "credential", "ok", f"tries {found.name}"), found
    fix = "Unset the variables that are not meant for this account, or set both variables for it"
    return Check(endpoint, "credential", "warn", f"tries {found.name}; {found.passed_over}", fix), found


def _tls(endpoint: str, error: BatchOsError | None) -> Check:
    """How the client judged the certificate, as its first call shows."""
    if not endpoint.startswith("https://"):
        return Check(endpoint, "TLS", "ok", "none: plain http, which is allowed only on this machine")
    if error is not None and UNTRUSTED in error.reason:
        return _failed(endpoint, "TLS", error)
    if error is not None and not (error.answer and error.answer.status):
        return Check(endpoint, "TLS", "skip", "not known: no answer came")
    return Check(endpoint, "TLS", "ok", "the certificate was verified")


def _nodes(endpoint: str, client: BatchClient, pools: tuple[VmPool, ...], *, only_vm: bool) -> Check:
    """Batch may deny nodes and allow pools. Nodes of Cloud Services pools are listed with the old API version."""
    pool = next((each.base for each in pools if each.base.node_count and (each.is_vm or not only_vm)), None)
    if pool is None:
        return Check(endpoint, "reads nodes", "skip", "not tried: no pool has nodes that can be listed")
    nodes = ask(lambda: (client.list_vm_nodes if pool.kind is Kind.VM else client.list_nodes)(pool.ref), _pause)
    if isinstance(nodes, BatchOsError):
        return _failed(endpoint, "reads nodes", nodes)
    return Check(endpoint, "reads nodes", "ok", f"{counted(len(nodes), 'node')} of pool {pool.ref.pool_id}")


def _versions(endpoint: str, client: BatchClient) -> Check:
    """Whether Batch answers both API versions; it has just answered the newest."""
    answer = ask(lambda: client.get_pool(PoolRef(endpoint, _NO_POOL)), _pause)
    if isinstance(answer, ApiRetiredError):
        seen = f"Batch answers {NEWEST} and not {LAST_WITH_UPGRADE_OS}, so the OS of Cloud Services pools cannot change"
        return Check(endpoint, "API versions", "warn", seen, "Move Cloud Services pools to VM pools")
    if isinstance(answer, BatchOsError) and not isinstance(answer, PoolGoneError):
        return _failed(endpoint, "API versions", answer)
    return Check(endpoint, "API versions", "ok", f"Batch answers {LAST_WITH_UPGRADE_OS} and {NEWEST}")


def _rights(endpoint: str, found: credentials.Found) -> Check:
    """Rights to write cannot be checked without a write."""
    if isinstance(found.credential, credentials.SharedKey):
        return Check(endpoint, "rights to write", "ok", "a shared key has all rights")
    return Check(
        endpoint,
        "rights to write",
        "skip",
        "not tried, as only a write would show; an `up` that writes needs Microsoft.Batch/batchAccounts/pools/write, "
        "for Cloud Services pools upgradeOs/action (docs/permissions.md)",
    )


def _failed(endpoint: str, name: str, error: BatchOsError) -> Check:
    seen = f"{error.reason} [request id {error.request_id}]" if error.request_id else error.reason
    return Check(endpoint, name, "fail", seen, error.next_step)
