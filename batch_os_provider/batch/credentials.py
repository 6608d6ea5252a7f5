"""The credential for an account, found in the environment at run time.

A credential must never reach Pulumi's state, outputs, logs or errors. So it is neither an input nor stack config (all
stack config is copied into the provider's state). The order is the one that Pulumi users of Azure know: Batch's shared
key if it belongs to this account, else the ``ARM_*`` variables of azure-native, else ``DefaultAzureCredential``. The
endpoint's cloud determines the token authority, unless ``AZURE_AUTHORITY_HOST`` names another one.

The azure packages are imported only when a credential is made, so that checking and comparing inputs stays fast.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from batch_os_provider.batch.address import account_in, is_loopback
from batch_os_provider.batch.clouds import AUTHORITIES, cloud_of
from batch_os_provider.batch.tokens import CONNECT_TIMEOUT, READ_TIMEOUT, assertion_of_file, assertion_of_url
from batch_os_provider.errors import CredentialError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from azure.core.credentials import AzureNamedKeyCredential, SupportsTokenInfo

    from batch_os_provider.batch.clouds import Cloud

__all__ = [
    "ASSERTIONS",
    "FILE",
    "TOKEN",
    "USE_OIDC",
    "Found",
    "Identity",
    "SharedKey",
    "environ",
    "find",
    "find_for_manager",
    "use_environ",
]

ACCOUNT, KEY = "AZURE_BATCH_ACCOUNT", "AZURE_BATCH_ACCESS_KEY"
AUTHORITY = "AZURE_AUTHORITY_HOST"
"""azure-identity's variable for another token authority than the one of the endpoint's cloud."""
_TRUE = frozenset({"true", "1", "yes"})
_TENANT = re.compile(r"[A-Za-z0-9.-]+")
USE_OIDC, TOKEN, FILE = "ARM_USE_OIDC", "ARM_OIDC_TOKEN", "ARM_OIDC_TOKEN_FILE_PATH"
_REQUESTS = (
    ("ARM_OIDC_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_URL"),
    ("ARM_OIDC_REQUEST_TOKEN", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"),
)
"""The URL and the token of a CI system that gives out OIDC assertions: our variable, and that of GitHub Actions."""
_CONNECTIONS = (
    "ARM_ADO_PIPELINE_SERVICE_CONNECTION_ID",
    "ARM_OIDC_AZURE_SERVICE_CONNECTION_ID",
    "AZURESUBSCRIPTION_SERVICE_CONNECTION_ID",
)
"""The id of an Azure DevOps service connection. Source: the azurerm and azapi providers; AzureCLI@2 sets the last."""

ASSERTIONS = frozenset({TOKEN, FILE, *_CONNECTIONS})
"""The variables whose OIDC assertion goes before one that is requested by a URL."""


_environ: Mapping[str, str] = os.environ


def environ() -> Mapping[str, str]:
    """Where the clients of this process find credentials: its environment, unless ``use_environ`` has set another."""
    return _environ


def use_environ(other: Mapping[str, str]) -> None:
    """Set where the clients of this process find credentials; for clients that are made later."""
    global _environ  # noqa: PLW0603 - a fact of the process
    _environ = other


@dataclass(frozen=True)
class SharedKey:
    """An account's shared key; ``repr`` does not contain the key."""

    account: str
    credential: AzureNamedKeyCredential

    def __repr__(self) -> str:
        return f"SharedKey({self.account})"


@dataclass(frozen=True)
class Identity:
    """An Entra identity and the scope of its tokens."""

    credential: SupportsTokenInfo
    scope: str

    def __repr__(self) -> str:
        return "Identity(...)"


@dataclass(frozen=True)
class Found:
    """The credential for an endpoint.

    ``name`` is its name in messages. ``passed_over`` says why a shared key was not used. ``check`` is the next step if
    it gives no token, a sentence without its final period.
    """

    credential: SharedKey | Identity
    name: str
    passed_over: str = ""
    check: str = ""


def find(endpoint: str, environ: Mapping[str, str]) -> Found:
    """The credential for an account.

    Args:
        endpoint: the account's endpoint, normalised.
        environ: the process environment.

    Raises:
        CredentialError: the shared key is invalid, http would carry a token, or a variable is invalid.

    """
    account, key = environ.get(ACCOUNT, "").strip(), environ.get(KEY, "").strip()
    first_label = account_in(endpoint)
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
            f"{endpoint} is plain http, and Entra tokens need https" + (f"; {passed_over}" if passed_over else ""),
            next_step=f"Set {ACCOUNT} and {KEY} to the account name and key of this endpoint",
        )
    return _identity(endpoint, environ, cloud_of(endpoint).scope, passed_over)


def find_for_manager(endpoint: str, environ: Mapping[str, str]) -> tuple[Identity, Found]:
    """The identity for Azure Resource Manager of an account's cloud; a shared key of Batch is none.

    Args:
        endpoint: the account's endpoint, normalised.
        environ: the process environment.

    Raises:
        CredentialError: http would carry a token, or a variable is invalid.
    """
    if endpoint.startswith("http://"):
        raise CredentialError(f"{endpoint} is plain http, and Entra tokens need https")
    found = _identity(endpoint, environ, cloud_of(endpoint).manager_scope)
    return cast("Identity", found.credential), found


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


def _identity(endpoint: str, environ: Mapping[str, str], scope: str, passed_over: str = "") -> Found:
    from azure import identity  # noqa: PLC0415 - see the module docstring

    cloud = cloud_of(endpoint)
    tenant, client = environ.get("ARM_TENANT_ID", ""), environ.get("ARM_CLIENT_ID", "")
    secret = environ.get("ARM_CLIENT_SECRET", "")
    authority = _authority(environ, cloud)
    settings: dict[str, Any] = {
        "authority": authority,
        "connection_timeout": CONNECT_TIMEOUT,
        "read_timeout": READ_TIMEOUT,
    }
    # Instance discovery asks Entra about the authority, and Entra knows only its own hosts.
    discovery = {} if _host_of(authority) in AUTHORITIES else {"disable_instance_discovery": True}
    ours = {**settings, "retry_total": 0}  # the rollout decides about retries, and reports them
    check = "Check ARM_TENANT_ID, ARM_CLIENT_ID and "
    credential: Any
    if tenant and client and environ.get(USE_OIDC, "").lower() in _TRUE:
        credential = _federated(environ, _checked(tenant), client, ours)
        name = f"OIDC as client {client} (ARM_USE_OIDC)"
        check += "that the client has a federated credential for this job's subject"
        if isinstance(credential, identity.AzurePipelinesCredential):
            check += ", and that this job may use the service connection"
        if environ.get(TOKEN):
            check += (
                ". ARM_OIDC_TOKEN is one assertion and ends within minutes: for longer runs set ARM_OIDC_REQUEST_URL "
                "and ARM_OIDC_REQUEST_TOKEN instead, or ARM_OIDC_TOKEN_FILE_PATH if another program renews that file; "
                "in Azure Pipelines unset it and set SYSTEM_ACCESSTOKEN"
            )
    elif tenant and client and secret:
        credential = identity.ClientSecretCredential(_checked(tenant), client, secret, **ours, **discovery)
        name = f"the client secret of client {client} (ARM_CLIENT_SECRET)"
        check += "ARM_CLIENT_SECRET"
    else:
        try:
            credential = identity.DefaultAzureCredential(**settings, **discovery)
        except ValueError as error:
            # The class reads its own variables, and its text names the wrong one.
            raise CredentialError(
                f"DefaultAzureCredential cannot be made for {endpoint}: {str(error).partition(chr(10))[0]}",
                next_step="Correct or unset that variable",
            ) from None
        name = "DefaultAzureCredential"
        check = f"Sign in with `az login`, or set {ACCOUNT} and {KEY}; in a pipeline set the ARM_* variables"
    return Found(Identity(credential, scope), name, passed_over, check)


def _checked(tenant: str) -> str:
    """The tenant, if it can be part of a URL. Raises CredentialError otherwise."""
    if _TENANT.fullmatch(tenant) is None:
        raise CredentialError(
            f"ARM_TENANT_ID is {tenant!r}, which is not a tenant",
            next_step="Set it to the tenant's id (`az account show --query tenantId`) or one of its domain names",
        )
    return tenant


def _authority(environ: Mapping[str, str], cloud: Cloud) -> str:
    """The token authority: the one in the environment, or else that of the cloud."""
    named = environ.get(AUTHORITY, "").strip().rstrip("/")
    if not named:
        return cloud.authority
    if "://" in named and not named.startswith("https://"):
        raise CredentialError(
            f"{AUTHORITY} is {named!r}, and secrets are sent only over https",
            next_step=f"Unset {AUTHORITY}, or set it to a host or an https URL, such as {cloud.authority}",
        )
    return named


def _host_of(authority: str) -> str:
    return (urlsplit(authority if "://" in authority else f"https://{authority}").hostname or "").lower()


def _federated(environ: Mapping[str, str], tenant: str, client: str, settings: Mapping[str, Any]) -> SupportsTokenInfo:
    """A credential that reads a new OIDC assertion for every token, from the CI system or from a variable."""
    from azure import identity  # noqa: PLC0415 - see the module docstring

    if not environ.get(TOKEN) and not environ.get(FILE):
        connection = next((environ[name] for name in _CONNECTIONS if environ.get(name)), "")
        token = environ.get("SYSTEM_ACCESSTOKEN", "")
        # Azure Pipelines has its own protocol. This class reads the URL from the process environment.
        if connection and token and environ.get("SYSTEM_OIDCREQUESTURI", "").startswith("https://"):
            return identity.AzurePipelinesCredential(
                tenant_id=tenant,
                client_id=client,
                service_connection_id=connection,
                system_access_token=token,
                **settings,
            )
    return identity.ClientAssertionCredential(tenant, client, _assertion(environ), **settings)


def _assertion(environ: Mapping[str, str]) -> Callable[[], str]:
    """A function that returns the OIDC assertion; called for every token, because CI assertions live only minutes."""
    if environ.get(TOKEN):
        return lambda: environ[TOKEN]
    if environ.get(FILE):
        path = Path(environ[FILE])
        return lambda: assertion_of_file(path, FILE)
    url, token = (next((environ[name] for name in names if environ.get(name)), "") for names in _REQUESTS)
    if url.startswith("https://") and token:
        return lambda: assertion_of_url(url, token)
    raise CredentialError(
        "ARM_USE_OIDC is set, but the environment has no assertion",
        next_step="Set ARM_OIDC_TOKEN, or ARM_OIDC_TOKEN_FILE_PATH, or ARM_OIDC_REQUEST_URL (https) with "
        "ARM_OIDC_REQUEST_TOKEN; in GitHub Actions give the job `permissions: id-token: write`; in Azure Pipelines "
        "set SYSTEM_ACCESSTOKEN: $(System.AccessToken) on a step of the task AzureCLI",
    )
