"""The provider's own lists of an account: every page, of both kinds of pools, whichever API version still answers."""

from __future__ import annotations

import pytest

from batch_os_provider.batch.client import LAST_WITH_UPGRADE_OS, NEWEST, BatchClient
from batch_os_provider.batch.pool import Kind, PoolState
from batch_os_provider.errors import CredentialError, TransientError
from tests.simulator.raw_client import Client
from tests.simulator.seeds import NEW, OLD, paas, windows

PAGE = 1000
"""Pools on a page, where the client asks for no other number."""


def batch_of(client: Client, **environ: str) -> BatchClient:
    at = client.simulator
    return BatchClient(at.endpoint, {"AZURE_BATCH_ACCOUNT": at.account, "AZURE_BATCH_ACCESS_KEY": at.key, **environ})


def asked(client: Client) -> list[str]:
    """The API version of each list of pools, in order; one that is no longer served is refused."""
    return [
        entry.detail.get("apiVersion", "refused")
        for entry in client.simulator.world.audit.entries
        if entry.path == "/pools"
    ]


def test_every_page_of_both_kinds_is_read(client: Client) -> None:
    client.put(windows("v"), *(paas(f"p{number:04}", nodes=0) for number in range(PAGE + 1)))
    pools = {pool.ref.pool_id: pool for pool in batch_of(client).list_pools()}
    assert len(pools) == PAGE + 2
    assert asked(client) == [LAST_WITH_UPGRADE_OS] * 2
    assert (pools["v"].kind, pools["v"].node_count, pools["v"].current_os_version) == (Kind.VM, 4, None)
    last = pools[f"p{PAGE:04}"]
    assert (last.kind, last.state, last.current_os_version) == (Kind.CLOUD_SERVICES, PoolState.ACTIVE, OLD)
    assert last.etag


def test_an_upgrade_in_flight_shows_both_versions(client: Client) -> None:
    client.put(paas())
    client.upgrade(NEW)
    (pool,) = batch_of(client).list_pools()
    assert (pool.state, pool.current_os_version, pool.target_os_version) == (PoolState.UPGRADING, OLD, NEW)
    assert pool.changed_at is not None


def test_where_the_old_version_is_refused_the_newest_one_lists(client: Client) -> None:
    client.put(paas(), windows("v"))
    client.control("PUT", "unknowns", {"retiredApiVersions": "before-2025-06-01"})
    kinds = {pool.ref.pool_id: pool.kind for pool in batch_of(client).list_pools()}
    assert asked(client) == ["refused", NEWEST]
    assert kinds == {"p": Kind.UNKNOWN, "v": Kind.VM}


def test_vm_pools_come_from_the_newest_version(client: Client) -> None:
    client.put(windows("v"))
    (pool,) = batch_of(client).list_vm_pools()
    assert asked(client) == [NEWEST]
    assert (pool.is_vm, pool.pin_text, pool.base.node_count) == (True, "latest", 4)


@pytest.mark.parametrize(
    ("effect", "error"),
    [
        ({"kind": "status", "status": 403}, CredentialError),
        ({"kind": "status", "status": 503, "retryAfter": 7}, TransientError),
        ({"kind": "dropAfter"}, TransientError),
    ],
)
def test_a_list_that_fails_is_about_the_account(client: Client, effect: dict[str, object], error: type) -> None:
    client.put(paas())
    client.control("POST", "faults", {"match": {"operation": "Pool_List"}, "effect": effect})
    with pytest.raises(error, match="listing pools") as raised:
        batch_of(client).list_pools()
    assert raised.value.pool == client.simulator.endpoint
