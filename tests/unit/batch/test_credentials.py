"""Pins which credential is found in which environment, with the real azure-identity classes, and that none is shown."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from azure import identity
from hypothesis import given
from hypothesis import strategies as st

from batch_os_provider.batch import credentials
from batch_os_provider.batch.clouds import cloud_of
from batch_os_provider.batch.credentials import Found, Identity, SharedKey, find
from batch_os_provider.errors import CredentialError
from tests.unit.rollout.stage import quick

PUBLIC = "https://acct.westeurope.batch.azure.com"
CHINA = "https://acct.chinanorth.batch.chinacloudapi.cn"
GOVERNMENT = "https://acct.usgovvirginia.batch.usgovcloudapi.net"
KEY = base64.b64encode(b"a key that nobody may ever read").decode()
SHARED = {"AZURE_BATCH_ACCOUNT": "acct", "AZURE_BATCH_ACCESS_KEY": KEY}
SECRET = {"ARM_TENANT_ID": "t-1", "ARM_CLIENT_ID": "c-1", "ARM_CLIENT_SECRET": "s3cr3t-value"}
OIDC = {"ARM_TENANT_ID": "t-1", "ARM_CLIENT_ID": "c-1", "ARM_USE_OIDC": "true"}


def shared(found: Found) -> SharedKey:
    assert isinstance(found.credential, SharedKey), found
    return found.credential


def entra(found: Found) -> Identity:
    assert isinstance(found.credential, Identity), found
    return found.credential


def assertion(environ: dict[str, str]) -> Callable[[], str]:
    return credentials._assertion(environ)


@pytest.mark.parametrize(
    "endpoint",
    [
        PUBLIC,
        "https://acct.westeurope.batch.azure.com:8443",
        "http://127.0.0.1:10000",
        "http://localhost:1",
        "http://[::1]:1",
        "https://localhost:1",
    ],
)
def test_a_shared_key_is_used_for_its_own_account_and_on_loopback(endpoint: str) -> None:
    found = find(endpoint, {**SHARED, **SECRET})
    assert shared(found).account == "acct"
    assert shared(found).credential.named_key.key == KEY
    assert found.passed_over == ""
    assert "acct" in found.name


def test_an_account_name_is_compared_and_signed_without_case() -> None:
    found = find(PUBLIC, {**SHARED, "AZURE_BATCH_ACCOUNT": " ACCT "})
    assert shared(found).credential.named_key.name == "acct"


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://other.westeurope.batch.azure.com",
        "https://acct2.westeurope.batch.azure.com",
        "https://westeurope.acct.batch.azure.com",
    ],
)
def test_a_shared_key_of_another_account_is_passed_over_and_named(endpoint: str) -> None:
    found = find(endpoint, SHARED)
    entra(found)
    assert "AZURE_BATCH_ACCESS_KEY" in found.passed_over
    assert "acct" in found.passed_over
    assert endpoint.removeprefix("https://").partition(".")[0] in found.passed_over


@pytest.mark.parametrize("there", SHARED)
def test_one_variable_of_two_is_named_with_the_missing_one(there: str) -> None:
    found = find(PUBLIC, {there: SHARED[there], "AZURE_BATCH_X": "y"})
    entra(found)
    missing = next(name for name in SHARED if name != there)
    assert f"{there} is set without {missing}" in found.passed_over
    assert find(PUBLIC, {**SHARED, missing: "  "}).passed_over == found.passed_over, "blank is not set"


@given(st.text(min_size=1).filter(str.strip))
@quick
def test_a_key_that_is_not_base64_is_refused_and_never_printed(key: str) -> None:
    secret = f"hunter2{key}!"
    with pytest.raises(CredentialError) as caught:
        find(PUBLIC, {**SHARED, "AZURE_BATCH_ACCESS_KEY": secret})
    assert "hunter2" not in f"{caught.value}{caught.value!r}{caught.value.__cause__}{caught.value.__context__}"
    assert "not base64" in str(caught.value)
    assert "az batch account keys list" in str(caught.value)


@pytest.mark.parametrize("environ", [{}, SECRET, {"AZURE_BATCH_ACCOUNT": "acct"}])
def test_plain_http_carries_no_token(environ: dict[str, str]) -> None:
    with pytest.raises(CredentialError, match="plain http") as caught:
        find("http://127.0.0.1:10000", environ)
    assert "AZURE_BATCH_ACCESS_KEY" in str(caught.value)
    if "AZURE_BATCH_ACCOUNT" in environ:
        assert "is set without" in str(caught.value)


def test_a_client_secret_is_what_azure_native_reads() -> None:
    found = find(PUBLIC, SECRET)
    assert isinstance(entra(found).credential, identity.ClientSecretCredential)
    assert entra(found).scope == "https://batch.core.windows.net//.default"
    assert "c-1" in found.name


@pytest.mark.parametrize("switch", ["true", "TRUE", "1", "yes"])
def test_oidc_wins_over_a_secret_where_it_is_switched_on(switch: str) -> None:
    environ = {**SECRET, "ARM_USE_OIDC": switch, "ARM_OIDC_TOKEN": "jwt"}
    assert isinstance(entra(find(PUBLIC, environ)).credential, identity.ClientAssertionCredential)


@pytest.mark.parametrize("switch", ["false", "0", "", "no"])
def test_oidc_is_not_used_where_it_is_switched_off(switch: str) -> None:
    environ = {**SECRET, "ARM_USE_OIDC": switch, "ARM_OIDC_TOKEN": "jwt"}
    assert isinstance(entra(find(PUBLIC, environ)).credential, identity.ClientSecretCredential)


def test_a_token_in_the_environment_is_read_for_every_token() -> None:
    environ = {**OIDC, "ARM_OIDC_TOKEN": "first"}
    give = assertion(environ)
    assert give() == "first"
    environ["ARM_OIDC_TOKEN"] = "second"
    assert give() == "second"


def test_a_token_file_is_read_for_every_token(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("first\n", encoding="utf-8")
    environ = {**OIDC, "ARM_OIDC_TOKEN_FILE_PATH": str(file)}
    assert isinstance(entra(find(PUBLIC, environ)).credential, identity.ClientAssertionCredential)
    give = assertion(environ)
    assert give() == "first"
    file.write_text("second\n", encoding="utf-8")
    assert give() == "second"


def test_a_request_url_is_accepted_from_either_pair_of_variables() -> None:
    for prefix in ("ARM_OIDC_REQUEST", "ACTIONS_ID_TOKEN_REQUEST"):
        environ = {**OIDC, f"{prefix}_URL": "https://ci.example/token?v=1", f"{prefix}_TOKEN": "bearer"}
        assert isinstance(entra(find(PUBLIC, environ)).credential, identity.ClientAssertionCredential)


PIPELINES = {
    "SYSTEM_OIDCREQUESTURI": "https://vstoken.example/oidctoken",
    "SYSTEM_ACCESSTOKEN": "bearer-value",
    "AZURESUBSCRIPTION_SERVICE_CONNECTION_ID": "connection",
}


@pytest.mark.parametrize("name", credentials._CONNECTIONS)
def test_in_azure_pipelines_azures_own_credential_is_used(name: str) -> None:
    environ = {key: value for key, value in PIPELINES.items() if key.startswith("SYSTEM")} | {name: "connection"}
    # What azurerm wants to have set beside them is another system's protocol.
    both = {"ARM_OIDC_REQUEST_URL": "https://vstoken.example/oidctoken", "ARM_OIDC_REQUEST_TOKEN": "bearer-value"}
    found = find(PUBLIC, {**OIDC, **environ, **both})
    assert isinstance(entra(found).credential, identity.AzurePipelinesCredential)
    assert found.name == "OIDC as client c-1 (ARM_USE_OIDC)"
    assert "bearer-value" not in f"{found!r}{found.credential!r}{found.check}"


@pytest.mark.parametrize("explicit", ["ARM_OIDC_TOKEN", "ARM_OIDC_TOKEN_FILE_PATH"])
def test_an_assertion_that_is_named_wins_over_azure_pipelines(explicit: str) -> None:
    found = find(PUBLIC, {**OIDC, **PIPELINES, explicit: "/a/file"})
    assert isinstance(entra(found).credential, identity.ClientAssertionCredential)


@pytest.mark.parametrize("missing", PIPELINES)
def test_azure_pipelines_without_one_of_its_variables_says_what_to_set(missing: str) -> None:
    left = {key: value for key, value in PIPELINES.items() if key != missing}
    with pytest.raises(CredentialError, match=r"SYSTEM_ACCESSTOKEN: \$\(System.AccessToken\)"):
        find(PUBLIC, {**OIDC, **left})


def test_the_token_of_azure_pipelines_goes_only_over_https() -> None:
    with pytest.raises(CredentialError, match="the environment has no assertion"):
        find(PUBLIC, {**OIDC, **PIPELINES, "SYSTEM_OIDCREQUESTURI": "http://vstoken.example/oidctoken"})


@pytest.mark.parametrize(
    "half",
    [
        {},
        {"ARM_OIDC_REQUEST_URL": "https://ci.example/token"},
        {"ARM_OIDC_REQUEST_TOKEN": "bearer-value"},
        {"ARM_OIDC_REQUEST_URL": "http://ci.example/token", "ARM_OIDC_REQUEST_TOKEN": "bearer-value"},
    ],
    ids=["nothing", "url only", "token only", "not https"],
)
def test_oidc_without_a_way_to_an_assertion_is_refused_with_what_to_set(half: dict[str, str]) -> None:
    with pytest.raises(CredentialError, match="ARM_USE_OIDC") as caught:
        find(PUBLIC, {**OIDC, **half})
    for part in ("ARM_OIDC_TOKEN", "ARM_OIDC_TOKEN_FILE_PATH", "ARM_OIDC_REQUEST_URL", "id-token: write"):
        assert part in str(caught.value)
    assert "bearer-value" not in str(caught.value)


@pytest.mark.parametrize("missing", ["ARM_TENANT_ID", "ARM_CLIENT_ID", "ARM_CLIENT_SECRET"])
def test_an_incomplete_set_of_variables_falls_to_the_default_chain(missing: str) -> None:
    found = find(PUBLIC, {name: value for name, value in SECRET.items() if name != missing})
    assert isinstance(entra(found).credential, identity.DefaultAzureCredential)
    assert found.name == "DefaultAzureCredential"


@pytest.mark.parametrize(
    ("endpoint", "scope", "authority"),
    [
        (PUBLIC, "https://batch.core.windows.net//.default", "login.microsoftonline.com"),
        (CHINA, "https://batch.chinacloudapi.cn//.default", "login.chinacloudapi.cn"),
        (GOVERNMENT, "https://batch.core.usgovcloudapi.net//.default", "login.microsoftonline.us"),
        (
            "https://acct.batch.chinacloudapi.cn.example",
            "https://batch.core.windows.net//.default",
            "login.microsoftonline.com",
        ),
    ],
)
def test_scope_and_authority_follow_the_cloud_of_the_endpoint(endpoint: str, scope: str, authority: str) -> None:
    assert cloud_of(endpoint).authority == authority
    for environ in ({}, SECRET, {**OIDC, "ARM_OIDC_TOKEN": "jwt"}):
        assert entra(find(endpoint, environ)).scope == scope


def settings_of(credential: Any) -> tuple[str, bool | None]:
    """The authority and the instance discovery that azure-identity was told."""
    inner = getattr(credential, "_client", credential)
    return getattr(credential, "_authority", None) or inner._authority, getattr(credential, "_instance_discovery", None)


@pytest.mark.parametrize(
    ("named", "authority"),
    [
        ("", "https://login.chinacloudapi.cn"),
        (" ", "https://login.chinacloudapi.cn"),
        ("login.microsoftonline.us", "https://login.microsoftonline.us"),
        ("https://login.microsoftonline.us/", "https://login.microsoftonline.us"),
        ("https://sign.corp.example:8443/entra", "https://sign.corp.example:8443/entra"),
    ],
)
def test_azure_authority_host_wins_over_the_cloud_and_only_a_stranger_is_not_looked_up(
    named: str, authority: str
) -> None:
    for environ in (SECRET, {**OIDC, "ARM_OIDC_TOKEN": "jwt"}):
        found = entra(find(CHINA, {**environ, "AZURE_AUTHORITY_HOST": named}))
        assert found.scope == "https://batch.chinacloudapi.cn//.default", "the audience is Batch's, whoever signs"
        seen, discovery = settings_of(found.credential)
        assert seen == authority
        if environ is SECRET:
            assert discovery is (False if "corp" in named else None)


def test_a_secret_goes_to_no_authority_without_tls() -> None:
    with pytest.raises(CredentialError, match="AZURE_AUTHORITY_HOST is 'http:") as caught:
        find(PUBLIC, {**SECRET, "AZURE_AUTHORITY_HOST": "http://login.example"})
    assert "https URL, such as login.microsoftonline.com" in str(caught.value)
    assert "s3cr3t-value" not in str(caught.value)


@pytest.mark.parametrize("environ", [SECRET, {**OIDC, "ARM_OIDC_TOKEN": "jwt"}])
def test_a_tenant_that_cannot_be_one_is_named(environ: dict[str, str]) -> None:
    with pytest.raises(CredentialError, match="ARM_TENANT_ID is 'a/b', which is not a tenant"):
        find(PUBLIC, {**environ, "ARM_TENANT_ID": "a/b"})


def test_a_variable_that_the_default_chain_cannot_take_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "everything")
    with pytest.raises(CredentialError, match="AZURE_TOKEN_CREDENTIALS"):
        find(PUBLIC, {})


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        (SECRET, "Check ARM_TENANT_ID, ARM_CLIENT_ID and ARM_CLIENT_SECRET"),
        ({**OIDC, "ARM_OIDC_TOKEN": "jwt"}, "federated credential"),
        (
            {},
            "Sign in with `az login`, or set AZURE_BATCH_ACCOUNT and AZURE_BATCH_ACCESS_KEY; in a pipeline set the ARM",
        ),
    ],
)
def test_each_identity_says_what_to_check_when_it_gets_no_token(environ: dict[str, str], words: str) -> None:
    assert words in find(PUBLIC, environ).check


def test_nothing_that_can_be_printed_shows_a_secret() -> None:
    for environ in (SHARED, SECRET, {**OIDC, "ARM_OIDC_TOKEN": "jwt-value"}, {**SHARED, "AZURE_BATCH_ACCOUNT": "b"}):
        found = find(PUBLIC, environ)
        shown = f"{found!r}{found}{found.name}{found.passed_over}{found.credential!r}{found.credential.credential!r}"
        for secret in (KEY, "s3cr3t-value", "jwt-value"):
            assert secret not in shown
