"""The configuration of the provider: one Batch account, and the credentials for it.

A dynamic provider takes credentials only from the environment, because stack config is copied into its state in plain
text. A native provider has configuration of its own, which the engine encrypts. Each explicit provider of a program is
a process of its own, so one program can use several accounts with different keys. What is not configured comes from the
environment, as for the dynamic provider.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from batch_os_provider.batch.address import is_loopback, parse_endpoint
from batch_os_provider.plugin.bags import is_unknown
from batch_os_provider.schema import inputs
from batch_os_provider.schema.inputs import Failure
from batch_os_provider.schema.spelling import camel, strange
from batch_os_provider.schema.units import shown

__all__ = ["OPTIONS", "SECRETS", "Config", "check"]

ENDPOINT, NAME, KEY, LOOKS = camel(inputs.ACCOUNT_ENDPOINT), "accountName", "accountKey", "previewLook"
_VARIABLES: Mapping[str, str] = {
    NAME: "AZURE_BATCH_ACCOUNT",
    KEY: "AZURE_BATCH_ACCESS_KEY",
    "tenantId": "ARM_TENANT_ID",
    "clientId": "ARM_CLIENT_ID",
    "clientSecret": "ARM_CLIENT_SECRET",
    "useOidc": "ARM_USE_OIDC",
}
"""The options that stand for an environment variable."""
OPTIONS: Mapping[str, str] = {
    ENDPOINT: "The Batch account's URL, as `az batch account show` prints in `accountEndpoint`. It is the default for "
    "the resources of this provider.",
    NAME: "The account's name, for a shared key. Default: the first part of the host in `accountEndpoint`.",
    KEY: "A shared key of the account. Default: the variables `AZURE_BATCH_ACCOUNT` and `AZURE_BATCH_ACCESS_KEY`.",
    "tenantId": "The Entra tenant. Default: the variable `ARM_TENANT_ID`.",
    "clientId": "The Entra client. Default: the variable `ARM_CLIENT_ID`.",
    "clientSecret": "A secret of the Entra client. Default: the variable `ARM_CLIENT_SECRET`.",
    "useOidc": "Whether the client signs in with the OIDC token of a CI job. Default: the variable `ARM_USE_OIDC`.",
    LOOKS: "Whether a preview reads pools. Default: true.",
}
"""Each option with its description."""
SECRETS = (KEY, "clientSecret")
SWITCHES = ("useOidc", LOOKS)
# The engine adds these to the inputs of a provider.
_OF_THE_ENGINE = frozenset({"version", "pluginDownloadURL", "parameterization"})


@dataclass(frozen=True)
class Config:
    """A configuration that ``check`` has passed. ``environ`` is the environment with the credentials in it."""

    endpoint: str = ""
    looks: bool = True
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)
    named: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, bag: Mapping[str, Any]) -> Config:
        """Read a bag that ``check`` has passed. With a value that is not known yet, a preview reads no pool."""
        known = {name: value for name, value in bag.items() if not is_unknown(value)}
        given = {name: _text(value) for name, value in known.items() if name in OPTIONS and value is not None}
        endpoint = parse_endpoint(given[ENDPOINT]) if given.get(ENDPOINT) else ""
        if KEY in given and NAME not in given:
            given[NAME] = _account(endpoint)
        set_here = {variable: given[name] for name, variable in _VARIABLES.items() if name in given}
        return cls(
            endpoint,
            given.get(LOOKS, "true") == "true" and len(known) == len(bag),
            {**os.environ, **set_here},
            {variable: name for name, variable in _VARIABLES.items() if name in given},
        )

    def spell(self, text: str) -> str:
        """A text that names the options that are set here, in place of the variables that they stand for."""
        for variable, name in self.named.items():
            text = text.replace(variable, name)
        return text


def check(bag: Mapping[str, Any]) -> list[Failure]:
    """What is wrong with a configuration. Values that are not known yet pass. No text shows a secret."""
    others = (name for name in bag if name not in OPTIONS and not _is_of_the_engine(name))
    failures = [strange(name, OPTIONS, "an option of the provider batchos") for name in others]
    given = {
        name: value for name, value in bag.items() if name in OPTIONS and value is not None and not is_unknown(value)
    }
    failures += [Failure(name, reason) for name, value in given.items() if (reason := _wrong(name, value))]
    if failures or any(map(is_unknown, bag.values())):
        return failures
    if KEY in given and NAME not in given:
        endpoint = given.get(ENDPOINT)
        if endpoint is None:
            failures.append(
                Failure(KEY, f"it is set without {ENDPOINT}, so its account is not known; set {ENDPOINT} too")
            )
        elif is_loopback(parse_endpoint(endpoint)):
            failures.append(Failure(KEY, f"it is set without {NAME}, and {endpoint} does not name it; set {NAME} too"))
    if NAME in given and KEY not in given:
        failures.append(Failure(NAME, f"it is set without {KEY}, so it has no use; set {KEY} too, or remove it"))
    return failures


def _is_of_the_engine(name: str) -> bool:
    return name in _OF_THE_ENGINE or name.startswith("__")


def _wrong(name: str, value: object) -> str:
    if name in SWITCHES:
        return "" if _text(value) in ("true", "false") else f"{shown(value)} is not allowed; allowed: true or false"
    if not isinstance(value, str) or not value.strip():
        seen = "the value" if name in SECRETS else shown(value)
        return f"{seen} is not allowed; allowed: a string that is not empty"
    return inputs.wrong(inputs.ACCOUNT_ENDPOINT, value) if name == ENDPOINT else ""


def _text(value: object) -> str:
    return str(value).strip().lower() if isinstance(value, bool) else str(value).strip()


def _account(endpoint: str) -> str:
    return (urlsplit(endpoint).hostname or "").partition(".")[0]
