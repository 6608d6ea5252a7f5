"""Refusals of an account on the wire: the advice in the error is for their cause."""

from __future__ import annotations

from typing import Any

import pytest

from batch_os_provider.batch.address import PoolRef
from batch_os_provider.batch.client import BatchClient
from batch_os_provider.errors import BatchOsError, ConflictError, CredentialError, PermanentError, TransientError
from tests.support.inprocess import ENDPOINT, Account
from tests.support.simulator import paas_pool
from tests.unit.rollout.doubles import VirtualWaiter

RENDER = PoolRef(ENDPOINT, "render")
ABOUT_KEY = "key belongs to this account"


def refusal(account: Account) -> BatchOsError:
    with pytest.raises(BatchOsError) as caught:
        account.client().get_pool(RENDER)
    return caught.value


def account_of(**settings: Any) -> Account:
    return Account(VirtualWaiter(), {"account": settings, "pools": [paas_pool()]})


def test_an_account_that_takes_no_keys_says_to_sign_in_with_entra() -> None:
    error = refusal(account_of(allowedAuthenticationModes=["AAD"]))
    assert type(error) is CredentialError
    assert error.code == "AuthenticationFailed"
    assert "The specified type of authentication SharedKey is not allowed for this account" in str(error)
    assert "unset AZURE_BATCH_ACCOUNT and AZURE_BATCH_ACCESS_KEY, and sign in with Entra (`az login`" in str(error)
    assert ABOUT_KEY not in str(error)
    account_of(allowedAuthenticationModes=["AAD", "SharedKey"]).client().get_pool(RENDER)


def test_an_account_without_public_network_access_says_to_look_at_the_network() -> None:
    error = refusal(account_of(publicNetworkAccess="Disabled"))
    assert type(error) is CredentialError
    assert error.code == "AuthorizationFailure"
    assert "run this where its private endpoint can be reached" in str(error)
    assert ABOUT_KEY not in str(error)
    account_of(publicNetworkAccess="Enabled").client().get_pool(RENDER)


def test_a_wrong_key_is_about_the_key_and_the_clock() -> None:
    account = account_of()
    client = account.client()
    account.world.key = "YW5vdGhlciBrZXk="
    with pytest.raises(CredentialError, match=ABOUT_KEY):
        client.get_pool(RENDER)


def test_an_account_whose_host_has_no_address_says_to_check_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the real resolver: a name below .invalid never has an address (RFC 6761)."""
    monkeypatch.setenv("NO_PROXY", "*")
    endpoint = "https://acct.westeurope.batch.invalid"
    environ = {"AZURE_BATCH_ACCOUNT": "acct", "AZURE_BATCH_ACCESS_KEY": "a2V5"}
    with pytest.raises(TransientError, match="Check the account's name and region in account_endpoint"):
        BatchClient(endpoint, environ).get_pool(PoolRef(endpoint, "render"))


@pytest.mark.parametrize(
    ("effect", "kind", "expected"),
    [
        ({"status": 403, "code": "InsufficientAccountPermissions"}, CredentialError, "A shared key needs no role"),
        ({"status": 403, "code": "AccountIsDisabled"}, CredentialError, "Check the account and its subscription"),
        (
            {"status": 403, "code": "Forbidden", "message": "Your IP address 203.0.113.7 is not allowed."},
            CredentialError,
            "add this machine's public address to its selected networks",
        ),
        ({"status": 401, "code": "AuthenticationFailed"}, CredentialError, ABOUT_KEY),
        ({"status": 404, "code": "ResourceNotFound"}, PermanentError, "Check account_endpoint and pool_id"),
        ({"status": 409, "code": "PoolQuotaReached"}, ConflictError, "Ask Azure for more quota"),
        ({"status": 409, "code": "PoolBeingDeleted"}, ConflictError, "check its state"),
        ({"status": 429}, TransientError, "Batch is busy or limits the requests"),
        ({"status": 503}, TransientError, "Batch is busy or limits the requests"),
        ({"status": 500}, TransientError, "fails for now"),
    ],
)
def test_an_answer_has_the_advice_for_its_cause(
    effect: dict[str, Any], kind: type[BatchOsError], expected: str
) -> None:
    account = account_of()
    account.faults.add({"match": {"operation": "Pool_Get"}, "effect": {"kind": "status", **effect}})
    error = refusal(account)
    assert type(error) is kind
    assert expected in str(error)
