"""The next step after a failed call, by the text of the answer and not only by its HTTP status.

One status has many causes. Batch answers 403 for a wrong key, for an account that takes no keys, for network rules and
for a missing role. The advice for one of these causes misleads the reader with another one.

Sources: the table "Batch Status and Error Codes"; Azure/BatchExplorer#239 and MicrosoftDocs/azure-docs#51092 (the key
is not allowed: AuthenticationFailed, and only the detail shows the cause); Azure/azure-sdk-for-net#8026 (a token for
another audience); Azure/BatchExplorer#2203 (AuthorizationFailure, with no cause named). That network rules answer with
AuthorizationFailure is known from Azure Storage, and not recorded for Batch.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from batch_os_provider.errors import ServiceAnswer

__all__ = ["NOT_BATCH", "OTHERS", "TRUST", "UNTRUSTED", "denied", "failed"]

UNTRUSTED = "CERTIFICATE_VERIFY_FAILED"
"""The code of Python's ssl for a certificate without a trusted issuer."""
TRUST = (
    "If a proxy or a simulator signs with a private authority, "
    "name the certificate file of that authority in REQUESTS_CA_BUNDLE; otherwise do not trust this endpoint"
)
OTHERS = "Another program or Batch itself is changing the pool: check its state, then run the command again"
NOT_BATCH = "Check that account_endpoint is that of a Batch account, then run the command again"

_WRONG_KEY = (
    "Check that the key belongs to this account and is current "
    "(`az batch account keys list`), and that this machine's clock is right"
)
_SIGN_IN = (
    "This account does not take shared keys: unset AZURE_BATCH_ACCOUNT and AZURE_BATCH_ACCESS_KEY, and sign in with "
    "Entra (`az login`, or the ARM_* variables)"
)
_USE_KEY = (
    "This account does not take Entra identities: set AZURE_BATCH_ACCOUNT and AZURE_BATCH_ACCESS_KEY, or add AAD to "
    "the account's allowedAuthenticationModes"
)
_TENANT = (
    "Sign in to the tenant and the cloud of the account's subscription (`az login --tenant <tenant>`, or "
    "ARM_TENANT_ID; AZURE_AUTHORITY_HOST names another cloud)"
)
_NETWORK = (
    "Check the account's networking (`az batch account show --query publicNetworkAccess`): run this where its private "
    "endpoint can be reached, or add this machine's public address to its selected networks; a new rule takes "
    "some minutes"
)
_DISABLED = "Check the account and its subscription in the Azure portal; run the command again when they are enabled"
_NO_ROLE = (
    "A shared key needs no role, so the key and the clock are not the cause: check the account's networking in the "
    "Azure portal, and quote the request id to Azure support"
)
_BEFORE_BATCH = (
    "The answer has no code of Batch, so it may come from a proxy or a firewall: check HTTPS_PROXY and NO_PROXY, and "
    "that account_endpoint is that of a Batch account"
)
_REACHABLE = "Check that account_endpoint is right and reachable from here, then run the command again"
_NAME = (
    "Check the account's name and region in account_endpoint; if the account has a private endpoint, this machine "
    "needs the private DNS zone of Batch (privatelink.batch.azure.com)"
)
_PROXY = "Check the proxy that HTTPS_PROXY names and its credentials; NO_PROXY lists hosts that need none"
_TLS = "Check that account_endpoint is right and that no proxy on the way breaks TLS, then run the command again"
_BUSY = "Batch is busy or limits the requests to this account: wait some minutes, then run the command again"
_OUTAGE = (
    "Batch, or a proxy in front of it, fails for now: wait some minutes, then run the command again; "
    "https://azure.status.microsoft lists outages"
)
_QUOTA = "Ask Azure for more quota of this account, or free some of it, then run the command again"
_ADDRESS = "Check account_endpoint and pool_id, then run the command again"

_NOT_ALLOWED = re.compile(r"type of authentication \w+ is not allowed", re.IGNORECASE)
_ABOUT_NETWORK = re.compile(
    r"public network access|network rule|network security perimeter|private endpoint|firewall|\bIP address",
    re.IGNORECASE,
)
# The texts of Linux, macOS, Windows and urllib3 for a host without an address.
_UNRESOLVED = re.compile(
    r"failed to resolve|name or service not known|nodename nor servname|getaddrinfo|name resolution", re.IGNORECASE
)
_ABOUT_PROXY = re.compile(r"\bproxy|tunnel connection failed", re.IGNORECASE)
_ABOUT_TLS = re.compile(r"\bSSL|\bTLS|certificate", re.IGNORECASE)


def denied(answer: ServiceAnswer, *, by_key: bool, right: str = "") -> str:  # noqa: PLR0911 - a table
    """The next step after a 401 or 403.

    Args:
        answer: the answer of the service.
        by_key: whether a shared key signed the request; else an identity's token.
        right: the Azure action that the call needs besides reading.
    """
    code, said = answer.code, answer.message
    if _NOT_ALLOWED.search(said):
        return _SIGN_IN if by_key else _USE_KEY
    if code == "AccountIsDisabled":
        return _DISABLED
    if _ABOUT_NETWORK.search(said):
        return _NETWORK
    if code == "AuthenticationFailed":
        return _WRONG_KEY if by_key else _TENANT
    if not code:
        return _BEFORE_BATCH
    if code == "AuthorizationFailure":
        # A key has all rights, so with a key a missing role is not the cause.
        return _NETWORK if by_key else f"{_role(right)}. If it has them: {_NETWORK[0].lower()}{_NETWORK[1:]}"
    return _NO_ROLE if by_key else _role(right)


def _role(right: str) -> str:
    rights = "needs Microsoft.Batch/batchAccounts/pools/read" + (f" and {right}" if right else "")
    return f"Check who is signed in (`az account show`, or the ARM_* variables); the identity {rights}"


def failed(answer: ServiceAnswer) -> str:  # noqa: C901, PLR0911 - a table
    """The next step after any other answer, or after none (status 0)."""
    status, code, said = answer.status, answer.code, answer.message
    if not status:
        if UNTRUSTED in said:
            return TRUST
        if _ABOUT_PROXY.search(said):
            return _PROXY
        if _UNRESOLVED.search(said):
            return _NAME
        return _TLS if _ABOUT_TLS.search(said) else _REACHABLE
    if status in _BUSY_STATUS:
        return _BUSY
    if status in _OUTAGE_STATUS:
        return _OUTAGE
    if status == _PROXY_WANTS_CREDENTIALS:
        return _PROXY
    if "Quota" in code:
        return _QUOTA
    if status in _CONFLICTS:
        return OTHERS
    if status < _FIRST_ERROR or not code:
        return NOT_BATCH
    if status == _NOT_FOUND:
        return _ADDRESS
    if code.startswith("OSVersion"):
        return "Declare another target_os_version; Batch would refuse this one again"
    return "The same request would be refused again: change what the service names, then run `pulumi up` again"


_BUSY_STATUS = frozenset({429, 503})
_OUTAGE_STATUS = frozenset({408, 500, 502, 504})
_CONFLICTS = frozenset({409, 412})
_PROXY_WANTS_CREDENTIALS, _NOT_FOUND, _FIRST_ERROR = 407, 404, 400
