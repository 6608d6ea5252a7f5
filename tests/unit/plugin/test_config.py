"""The configuration of the native provider: what is refused, and what reaches the credentials."""

from __future__ import annotations

from typing import Any

import pytest

from batch_os_provider.batch.credentials import find
from batch_os_provider.plugin.bags import UNKNOWN
from batch_os_provider.plugin.config import OPTIONS, Config, check

HERE = "https://myaccount.westeurope.batch.azure.com"
KEY = "bm90IGEgcmVhbCBrZXk="


@pytest.mark.parametrize(
    ("bag", "name", "reason"),
    [
        ({"accountKey": KEY}, "accountKey", "it is set without accountEndpoint"),
        ({"accountKey": KEY, "accountEndpoint": "http://127.0.0.1:1"}, "accountKey", "it is set without accountName"),
        ({"accountName": "myaccount"}, "accountName", "it is set without accountKey"),
        ({"accountEndpoint": "ftp://x"}, "accountEndpoint", "is not an account endpoint"),
        ({"accountEndpoint": 7}, "accountEndpoint", "7 is not allowed; allowed: a string"),
        ({"accountKey": ["a"], "accountEndpoint": HERE}, "accountKey", "the secret value is not allowed"),
        ({"useOidc": "perhaps"}, "useOidc", "allowed: true or false"),
        ({"previewLook": 1}, "previewLook", "allowed: true or false"),
        ({"account_key": KEY}, "account_key", "did you mean accountKey?"),
        ({"clientSecret": KEY}, "clientSecret", "it is set without tenantId and clientId"),
        ({"oidcToken": KEY, "tenantId": "a"}, "oidcToken", "it is set without clientId, so it has no use"),
        ({"useOidc": True, "clientId": "a"}, "useOidc", "it is set without tenantId"),
        (
            {"oidcRequestUrl": "http://ci/"},
            "oidcRequestUrl",
            "'http://ci/' is not allowed; allowed: a URL",
        ),
        ({"useOidc": False, "oidcRequestUrl": HERE}, "oidcRequestUrl", "it is set with useOidc: false"),
        ({"clientSecret": KEY, "oidcToken": "t"}, "clientSecret", "it is set with oidcToken, so it has no use"),
        (
            {"accountEndpoint": HERE, "accountKey": "k", "clientSecret": KEY},
            "clientSecret",
            "it is set with accountKey, so it has no use; remove one of the two",
        ),
        ({"oidcTokenFilePath": ["a"]}, "oidcTokenFilePath", "['a'] is not allowed"),
        ({"oidc_token": KEY}, "oidc_token", "did you mean oidcToken?"),
        ({"colour": "red"}, "colour", "it is not an option of the provider batchos; allowed: accountEndpoint, "),
    ],
)
def test_a_wrong_configuration_is_refused_with_a_sentence(bag: dict[str, Any], name: str, reason: str) -> None:
    (failure,) = check(bag)
    assert failure.property == name
    assert reason in failure.reason
    assert KEY not in failure.reason


@pytest.mark.parametrize(
    "bag",
    [
        {},
        {"accountEndpoint": HERE, "accountKey": KEY},
        {"accountEndpoint": HERE, "accountKey": UNKNOWN},
        {"accountEndpoint": UNKNOWN, "accountKey": KEY},
        {"useOidc": True, "previewLook": "false", "tenantId": "a", "clientId": "b"},
        {"accountEndpoint": HERE, "version": "0.1.0", "__internal": {}},
    ],
)
def test_a_right_configuration_passes(bag: dict[str, Any]) -> None:
    assert check(bag) == []


def test_options_stand_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_BATCH_ACCOUNT", "other")
    monkeypatch.setenv("AZURE_BATCH_ACCESS_KEY", "b3RoZXI=")
    monkeypatch.setenv("ARM_TENANT_ID", "tenant")
    config = Config.of({"accountEndpoint": f"{HERE.upper()}/", "accountKey": KEY, "previewLook": "false"})
    assert config.endpoint == HERE
    assert not config.looks
    assert config.environ["AZURE_BATCH_ACCOUNT"] == "myaccount"
    assert config.environ["AZURE_BATCH_ACCESS_KEY"] == KEY
    assert config.environ["ARM_TENANT_ID"] == "tenant"
    assert KEY not in repr(config)
    text = "AZURE_BATCH_ACCESS_KEY is not base64, and ARM_TENANT_ID is wrong"
    assert config.spell(text) == "accountKey is not base64, and ARM_TENANT_ID is wrong"


def test_without_options_the_environment_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_BATCH_ACCOUNT", "other")
    config = Config.of({})
    assert (config.endpoint, config.looks, config.environ["AZURE_BATCH_ACCOUNT"]) == ("", True, "other")


def test_an_account_whose_key_is_not_known_yet_is_not_read_with_other_credentials() -> None:
    assert Config.of({"accountEndpoint": HERE}).looks
    assert not Config.of({"accountEndpoint": HERE, "accountKey": UNKNOWN}).looks


def test_every_option_says_what_happens_without_it() -> None:
    for name, text in OPTIONS.items():
        assert text.endswith("."), name
        assert "Default: " in text or "default" in text, name


ENTRA = {"tenantId": "contoso", "clientId": "deployer"}
STRANGER = {
    "AZURE_BATCH_ACCOUNT": "myaccount",
    "AZURE_BATCH_ACCESS_KEY": KEY,
    "ARM_TENANT_ID": "other",
    "ARM_CLIENT_ID": "other",
    "ARM_CLIENT_SECRET": "of another client",
    "ARM_USE_OIDC": "true",
    "ARM_OIDC_TOKEN": "of another client",
    "ARM_OIDC_TOKEN_FILE_PATH": "/of/another/client",
}
"""An environment that signs in otherwise, in every way that there is."""


@pytest.mark.parametrize(
    ("bag", "name"),
    [
        ({"accountKey": KEY}, "the shared key of account myaccount (accountKey)"),
        ({**ENTRA, "clientSecret": "s"}, "the client secret of client deployer (clientSecret)"),
        ({**ENTRA, "useOidc": True}, "OIDC as client deployer (useOidc)"),
        ({**ENTRA, "oidcToken": "t"}, "OIDC as client deployer (useOidc)"),
        ({**ENTRA, "useOidc": True, "oidcTokenFilePath": "/own/file"}, "OIDC as client deployer (useOidc)"),
        ({**ENTRA, "oidcRequestUrl": "https://ci/", "oidcRequestToken": "t"}, "OIDC as client deployer (useOidc)"),
    ],
)
def test_the_way_to_sign_in_that_is_configured_is_the_one_that_is_used(
    bag: dict[str, Any], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, value in STRANGER.items():
        monkeypatch.setenv(variable, value)
    assert check({"accountEndpoint": HERE, **bag}) == []
    config = Config.of({"accountEndpoint": HERE, **bag})
    assert config.spell(find(HERE, config.environ).name) == name
    sources = {variable: config.environ.get(variable) for variable in STRANGER if "OIDC_TOKEN" in variable}
    if "oidcTokenFilePath" in bag:
        assert sources == {"ARM_OIDC_TOKEN": None, "ARM_OIDC_TOKEN_FILE_PATH": "/own/file"}
    if "oidcRequestUrl" in bag:
        assert set(sources.values()) == {None}
    if "oidc" not in str(bag):
        assert set(sources.values()) == {STRANGER["ARM_OIDC_TOKEN"], STRANGER["ARM_OIDC_TOKEN_FILE_PATH"]}


def test_half_of_a_request_may_come_from_the_ci_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "t")
    config = Config.of({**ENTRA, "oidcRequestUrl": "https://ci/"})
    assert find(HERE, config.environ).name == "OIDC as client deployer (ARM_USE_OIDC)"


def test_only_whole_names_of_variables_are_spelled() -> None:
    config = Config.of({**ENTRA, "oidcToken": "t"})
    text = "set ARM_OIDC_REQUEST_URL, or ARM_OIDC_TOKEN_FILE_PATH in place of ARM_OIDC_TOKEN"
    assert config.spell(text) == "set ARM_OIDC_REQUEST_URL, or ARM_OIDC_TOKEN_FILE_PATH in place of oidcToken"
