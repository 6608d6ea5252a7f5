"""The configuration of the native provider: what is refused, and what reaches the credentials."""

from __future__ import annotations

from typing import Any

import pytest

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
        ({"accountKey": ["a"], "accountEndpoint": HERE}, "accountKey", "the value is not allowed"),
        ({"useOidc": "perhaps"}, "useOidc", "allowed: true or false"),
        ({"previewLook": 1}, "previewLook", "allowed: true or false"),
        ({"account_key": KEY}, "account_key", "did you mean accountKey?"),
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
