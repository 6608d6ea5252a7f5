"""The configuration of the provider: one Batch account, and the credentials for it.

A dynamic provider takes credentials only from the environment, because stack config is copied into its state in plain
text. A native provider has configuration of its own, which the engine encrypts. Each explicit provider of a program is
a process of its own, so one program can use several accounts with different keys. What is not configured comes from the
environment, as for the dynamic provider.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from batch_os_provider.batch.address import account_in, is_loopback, parse_endpoint
from batch_os_provider.batch.credentials import ASSERTIONS, FILE, TOKEN, USE_OIDC
from batch_os_provider.plugin.bags import is_unknown
from batch_os_provider.schema import inputs
from batch_os_provider.schema.inputs import Failure
from batch_os_provider.schema.spelling import camel, strange
from batch_os_provider.schema.units import shown

__all__ = ["OPTIONS", "SECRETS", "Config", "check"]

ENDPOINT, NAME, KEY, LOOKS = camel(inputs.ACCOUNT_ENDPOINT), "accountName", "accountKey", "previewLook"
TENANT, CLIENT, SECRET, OIDC = "tenantId", "clientId", "clientSecret", "useOidc"
REQUEST_URL = "oidcRequestUrl"
_VARIABLES: Mapping[str, str] = {
    NAME: "AZURE_BATCH_ACCOUNT",
    KEY: "AZURE_BATCH_ACCESS_KEY",
    TENANT: "ARM_TENANT_ID",
    CLIENT: "ARM_CLIENT_ID",
    SECRET: "ARM_CLIENT_SECRET",
    OIDC: USE_OIDC,
    "oidcToken": TOKEN,
    "oidcTokenFilePath": FILE,
    REQUEST_URL: "ARM_OIDC_REQUEST_URL",
    "oidcRequestToken": "ARM_OIDC_REQUEST_TOKEN",
}
"""The options that stand for an environment variable. Pulumi's Azure providers have those of Entra with these names."""
_OF_OIDC = ("oidcToken", "oidcTokenFilePath", REQUEST_URL, "oidcRequestToken")
"""Where an OIDC token comes from; the first one that is set wins."""
OPTIONS: Mapping[str, str] = {
    ENDPOINT: "The Batch account's URL, as `az batch account show` prints in `accountEndpoint`. It is the default for "
    "the resources of this provider.",
    NAME: "The account's name, for a shared key. Default: the first part of the host in `accountEndpoint`.",
    KEY: "A shared key of the account. Default: the variables `AZURE_BATCH_ACCOUNT` and `AZURE_BATCH_ACCESS_KEY`.",
    TENANT: "The Entra tenant. Default: the variable `ARM_TENANT_ID`.",
    CLIENT: "The Entra client. Default: the variable `ARM_CLIENT_ID`.",
    SECRET: "A secret of the Entra client. Default: the variable `ARM_CLIENT_SECRET`.",
    OIDC: "Whether the client signs in with the OIDC token of a CI job. Default: true if an option beginning with "
    "`oidc` is set, else the variable `ARM_USE_OIDC`.",
    "oidcToken": "The OIDC token. It ends within minutes. Default: the variable `ARM_OIDC_TOKEN`.",
    "oidcTokenFilePath": "A file with the OIDC token, read again for each sign-in. Default: the variable "
    "`ARM_OIDC_TOKEN_FILE_PATH`.",
    REQUEST_URL: "The CI system's URL for OIDC tokens (https). Default: the variable `ARM_OIDC_REQUEST_URL` or "
    "`ACTIONS_ID_TOKEN_REQUEST_URL`.",
    "oidcRequestToken": "The token for requests to that URL. Default: the variable `ARM_OIDC_REQUEST_TOKEN` or "
    "`ACTIONS_ID_TOKEN_REQUEST_TOKEN`.",
    LOOKS: "Whether a preview reads pools. Default: true.",
}
"""Each option with its description."""
SECRETS = (KEY, SECRET, "oidcToken", "oidcRequestToken")
SWITCHES = (OIDC, LOOKS)
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
            given[NAME] = account_in(endpoint)
        way = _way(given)
        if OIDC in way:
            given[OIDC] = "true"
        set_here = {variable: given[name] for name, variable in _VARIABLES.items() if name in given}
        others = _overruled(way, given)
        return cls(
            endpoint,
            given.get(LOOKS, "true") == "true" and len(known) == len(bag),
            {**{name: value for name, value in os.environ.items() if name not in others}, **set_here},
            {variable: name for name, variable in _VARIABLES.items() if name in given},
        )

    def spell(self, text: str) -> str:
        """A text that names the options that are set here, in place of the variables that they stand for."""
        for variable, name in self.named.items():
            text = re.sub(rf"\b{variable}\b", name, text)
        return text


def check(bag: Mapping[str, Any], secrets: Collection[str] = ()) -> list[Failure]:
    """What is wrong with a configuration. Values that are not known yet pass.

    No text shows the value of an option that holds a secret, or of one of ``secrets``.
    """
    others = (name for name in bag if name not in OPTIONS and not _is_of_the_engine(name))
    failures = [strange(name, OPTIONS, "an option of the provider batchos") for name in others]
    given = {
        name: value for name, value in bag.items() if name in OPTIONS and value is not None and not is_unknown(value)
    }
    hidden = {*SECRETS, *secrets}
    failures += [
        Failure(name, reason) for name, value in given.items() if (reason := _wrong(name, value, hidden=name in hidden))
    ]
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
    return failures or _useless(given)


def _useless(given: Mapping[str, Any]) -> list[Failure]:
    """Options to sign in that would not be used: another credential would take their place without a word."""
    used = _way(given)
    other = next((name for name in used if name in given), f"{OIDC}: false")
    unused = f"it is set with {other}, so it has no use; remove one of the two"
    failures = [Failure(name, unused) for name in (*_OF_OIDC, SECRET) if name in given and name not in used]
    lacks = [name for name in (TENANT, CLIENT) if name not in given and not os.environ.get(_VARIABLES[name])]
    if failures or not lacks or KEY in used:
        return failures
    missing, variables = " and ".join(lacks), " and ".join(_VARIABLES[name] for name in lacks)
    alone = f"it is set without {missing}, so it has no use; set {missing} too, or {variables} in the environment"
    return [Failure(name, alone) for name in used if name in given]


def _way(given: Mapping[str, Any]) -> tuple[str, ...]:
    """The options of the way to sign in that is used, of those that are configured."""
    if KEY in given:
        return (KEY,)
    is_on = _text(given[OIDC]) == "true" if OIDC in given else any(name in given for name in _OF_OIDC)
    if is_on:
        return (*_OF_OIDC, OIDC)
    return (SECRET,) if SECRET in given else ()


def _overruled(way: tuple[str, ...], given: Collection[str]) -> frozenset[str]:
    """The variables that would overrule options: a way to sign in that is configured is the one that is used.

    With ``useOidc`` alone, the environment says where the token comes from.
    """
    key = {_VARIABLES[NAME], _VARIABLES[KEY]}
    if OIDC in way:
        return frozenset(key | ASSERTIONS if any(name in given for name in _OF_OIDC) else key)
    return frozenset({*key, USE_OIDC} if SECRET in way else ())


def _is_of_the_engine(name: str) -> bool:
    return name in _OF_THE_ENGINE or name.startswith("__")


def _wrong(name: str, value: object, *, hidden: bool) -> str:
    seen = "the secret value" if hidden else shown(value)
    if name in SWITCHES:
        return "" if _text(value) in ("true", "false") else f"{seen} is not allowed; allowed: true or false"
    if not isinstance(value, str) or not value.strip():
        return f"{seen} is not allowed; allowed: a string that is not empty"
    if name == REQUEST_URL and not value.strip().startswith("https://"):
        return f"{seen} is not allowed; allowed: a URL that begins with https://"
    reason = inputs.wrong(inputs.ACCOUNT_ENDPOINT, value) if name == ENDPOINT else ""
    return f"{seen} is not allowed; allowed: {inputs.allowed(inputs.ACCOUNT_ENDPOINT)}" if reason and hidden else reason


def _text(value: object) -> str:
    return str(value).strip().lower() if isinstance(value, bool) else str(value).strip()
