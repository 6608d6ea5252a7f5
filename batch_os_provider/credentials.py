"""Which credential is used for an account, found in the environment at run time.

Why it exists: a credential must never reach Pulumi's state, outputs, logs or errors, so it is
neither an input nor stack config (all stack config is copied into the provider's state). The
order is the one Pulumi users of Azure know: Batch's shared key where it is for this very
account, else the ``ARM_*`` variables of azure-native, else ``DefaultAzureCredential``.

The azure packages are imported when a credential is made, not before: checking and comparing
declarations must not pay for them.
"""

from __future__ import annotations

import base64
import binascii
import json
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

from batch_os_provider.errors import CredentialError
from batch_os_provider.pool import is_loopback

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from azure.core.credentials import AzureNamedKeyCredential, TokenCredential

__all__ = ["Cloud", "Found", "Identity", "SharedKey", "cloud_of", "find"]

ACCOUNT, KEY = "AZURE_BATCH_ACCOUNT", "AZURE_BATCH_ACCESS_KEY"
_TOKEN_TIMEOUT = 20.0
_TRUE = frozenset({"true", "1", "yes"})


@dataclass(frozen=True)
class Cloud:
    """What differs between Azure's clouds: the token scope of Batch, and who signs tokens."""

    scope: str
    authority: str


PUBLIC = Cloud("https://batch.core.windows.net//.default", "login.microsoftonline.com")
# Source: azure-batch's default scope, azure-identity's AzureAuthorityHosts, Batch's endpoint suffixes by cloud.
_CLOUDS = {
    ".batch.chinacloudapi.cn": Cloud("https://batch.chinacloudapi.cn//.default", "login.chinacloudapi.cn"),
    ".batch.usgovcloudapi.net": Cloud("https://batch.core.usgovcloudapi.net//.default", "login.microsoftonline.us"),
}


@dataclass(frozen=True)
class SharedKey:
    """An account's shared key. Not printable: the key is kept out of ``repr``."""

    account: str
    credential: AzureNamedKeyCredential

    def __repr__(self) -> str:
        return f"SharedKey({self.account})"


@dataclass(frozen=True)
class Identity:
    """An Entra identity and the scope its tokens are for."""

    credential: TokenCredential
    scope: str

    def __repr__(self) -> str:
        return "Identity(...)"


@dataclass(frozen=True)
class Found:
    """The credential for an endpoint, what to call it in messages, and why a shared key was passed over."""

    credential: SharedKey | Identity
    name: str
    passed_over: str = ""


def cloud_of(endpoint: str) -> Cloud:
    """The cloud an endpoint belongs to; public Azure where the suffix says nothing else."""
    host = urlsplit(endpoint).hostname or ""
    return next((cloud for suffix, cloud in _CLOUDS.items() if host.endswith(suffix)), PUBLIC)


def find(endpoint: str, environ: Mapping[str, str]) -> Found:
    """The credential for an account.

    Args:
        endpoint: the account's endpoint, normalised.
        environ: the process environment.

    Raises:
        CredentialError: a shared key is there and cannot be one, or http would carry a token.

    """
    account, key = environ.get(ACCOUNT, "").strip(), environ.get(KEY, "").strip()
    first_label = (urlsplit(endpoint).hostname or "").partition(".")[0]
    passed_over = ""
    if account and key:
        if is_loopback(endpoint) or first_label.lower() == account.lower():
            return _shared_key(endpoint, account, key)
        passed_over = f"the shared key in {KEY} is for account {account}, not {first_label}, so it was not used"
    elif account or key:
        there, missing = (ACCOUNT, KEY) if account else (KEY, ACCOUNT)
        passed_over = f"{there} is set without {missing}, so no shared key was used"
    if endpoint.startswith("http://"):
        raise CredentialError(
            f"{endpoint} is plain http, which carries no Entra token" + (f"; {passed_over}" if passed_over else ""),
            next_step=f"Set {ACCOUNT} and {KEY} to the account name and key of this endpoint",
        )
    return _identity(endpoint, environ, passed_over)


def _shared_key(endpoint: str, account: str, key: str) -> Found:
    try:
        # Checked here because the client would print the key in its error.
        decoded = base64.b64decode(key, validate=True)
    except (binascii.Error, ValueError):
        decoded = b""
    if not decoded:
        raise CredentialError(
            f"{KEY} for {endpoint} is not base64, so it is not a Batch account key",
            next_step="Copy a key of the account again: `az batch account keys list -n <account> -g <group>`",
        )
    from azure.core.credentials import AzureNamedKeyCredential  # noqa: PLC0415 - see the module docstring

    # Batch signs over the account name in lower case.
    credential = AzureNamedKeyCredential(account.lower(), key)
    return Found(SharedKey(account, credential), f"the shared key of account {account} ({KEY})")


def _identity(endpoint: str, environ: Mapping[str, str], passed_over: str) -> Found:
    from azure import identity  # noqa: PLC0415 - see the module docstring

    cloud = cloud_of(endpoint)
    tenant, client = environ.get("ARM_TENANT_ID", ""), environ.get("ARM_CLIENT_ID", "")
    secret = environ.get("ARM_CLIENT_SECRET", "")
    credential: Any
    if tenant and client and environ.get("ARM_USE_OIDC", "").lower() in _TRUE:
        assertion = _assertion(environ)
        credential = identity.ClientAssertionCredential(tenant, client, assertion, authority=cloud.authority)
        name = f"OIDC as client {client} (ARM_USE_OIDC)"
    elif tenant and client and secret:
        credential = identity.ClientSecretCredential(tenant, client, secret, authority=cloud.authority)
        name = f"the client secret of client {client} (ARM_CLIENT_SECRET)"
    else:
        credential = identity.DefaultAzureCredential(authority=cloud.authority)
        name = "DefaultAzureCredential"
    return Found(Identity(credential, cloud.scope), name, passed_over)


def _assertion(environ: Mapping[str, str]) -> Callable[[], str]:
    """Where the OIDC assertion comes from. It is fetched for every token: CI assertions live for minutes only."""
    if environ.get("ARM_OIDC_TOKEN"):
        return lambda: environ["ARM_OIDC_TOKEN"]
    if environ.get("ARM_OIDC_TOKEN_FILE_PATH"):
        path = Path(environ["ARM_OIDC_TOKEN_FILE_PATH"])
        return lambda: path.read_text(encoding="utf-8").strip()
    url = environ.get("ARM_OIDC_REQUEST_URL") or environ.get("ACTIONS_ID_TOKEN_REQUEST_URL", "")
    token = environ.get("ARM_OIDC_REQUEST_TOKEN") or environ.get("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "")
    if url.startswith("https://") and token:
        return lambda: _request_assertion(url, token)
    raise CredentialError(
        "ARM_USE_OIDC is set, but no assertion can be had",
        next_step="Set ARM_OIDC_TOKEN, or ARM_OIDC_TOKEN_FILE_PATH, or ARM_OIDC_REQUEST_URL (https) with "
        "ARM_OIDC_REQUEST_TOKEN; in GitHub Actions give the job `permissions: id-token: write`",
    )


def _request_assertion(url: str, token: str) -> str:
    """Ask the CI system for an assertion, as GitHub's `ACTIONS_ID_TOKEN_REQUEST_URL` is documented to be used."""
    separator = "&" if urlsplit(url).query else "?"
    request = urllib.request.Request(  # noqa: S310 - the caller has checked that the URL is https
        url + separator + urlencode({"audience": "api://AzureADTokenExchange"}),
        headers={"Authorization": f"Bearer {token}", "Accept": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=_TOKEN_TIMEOUT) as response:  # noqa: S310 - as above
        return str(json.load(response)["value"])
