"""Five accounts in one stack, named as Azure names them: each is asked with the credential that is its own."""

from __future__ import annotations

import base64
import re
import secrets
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from batch_os_provider.simulator import server
from tests.support import simulator as simulators
from tests.support.proxy import Proxy, standing_in
from tests.support.simulator import NEW, SHORT_NEW, SHORT_OLD, Simulator, paas_pool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.stack import Stack

HOSTS = {
    "keyed": "keyed.westeurope.batch.azure.com",
    "public": "public.westeurope.batch.azure.com",
    "china": "china.chinanorth3.batch.chinacloudapi.cn",
    "government": "government.usgovvirginia.batch.usgovcloudapi.net",
    "stranger": "stranger.westeurope.batch.azure.com",
}
AUDIENCES = {
    "https://batch.core.windows.net//.default",
    "https://batch.chinacloudapi.cn//.default",
    "https://batch.core.usgovcloudapi.net//.default",
}


@pytest.fixture
def entra() -> Iterator[Simulator]:
    """Who signs tokens; its own account is nobody's business here."""
    yield from simulators.running_command(("--tls", "--speed", "0"))


@pytest.fixture
def accounts() -> Iterator[dict[str, server.Simulator]]:
    """Five accounts, each with a key of its own and a pool of the same name, on fast clocks."""
    with ExitStack() as ended:
        yield {name: ended.enter_context(server.running(speed=120.0, seed=seed_of(name))) for name in HOSTS}


def seed_of(name: str) -> dict[str, Any]:
    key = base64.b64encode(secrets.token_bytes(64)).decode()
    return {"account": {"name": name, "key": key}, "pools": [paas_pool()]}


@pytest.fixture
def proxy(accounts: dict[str, server.Simulator], tmp_path: Path) -> Iterator[Proxy]:
    with standing_in({HOSTS[name]: account.endpoint for name, account in accounts.items()}, tmp_path) as running:
        yield running


def posts(account: server.Simulator) -> list[int | None]:
    """The answers to each POST upgradeos."""
    with account.world.lock:
        return [entry.status for entry in account.world.audit.entries if entry.operation == "Pool_UpgradeOS"]


def let_in(account: server.Simulator, principal: dict[str, Any]) -> None:
    with account.world.lock:
        account.world.principals = [principal]


def test_five_accounts_in_one_stack(
    accounts: dict[str, server.Simulator],
    entra: Simulator,
    proxy: Proxy,
    new_stack: Callable[..., Stack],
    tmp_path: Path,
) -> None:
    signed_in = entra.by_secret("deployer")
    (principal,) = entra.get("state")["principals"]
    for name in ("public", "china", "government"):
        let_in(accounts[name], {"token": principal["token"], "readOnly": False})
    bundle = tmp_path / "bundle.pem"
    assert entra.authority is not None
    bundle.write_text(proxy.authority.read_text("utf-8") + entra.authority.read_text("utf-8"), encoding="utf-8")
    stack = new_stack(
        **signed_in
        | {"AZURE_BATCH_ACCOUNT": "keyed", "AZURE_BATCH_ACCESS_KEY": accounts["keyed"].key}
        | {"HTTPS_PROXY": proxy.url, "NO_PROXY": "127.0.0.1", "REQUESTS_CA_BUNDLE": str(bundle)}
    )
    stack.program(
        "".join(
            f"PoolOsVersion({name!r}, account_endpoint='https://{host}', pool_id='render', target_os_version={NEW!r})\n"
            for name, host in HOSTS.items()
        )
    )

    failed = stack.up("--continue-on-error").failed()
    assert (
        f"pool https://{HOSTS['stranger']}/pools/render: reading it failed: Batch refused the client secret of client "
        "deployer (ARM_CLIENT_SECRET): HTTP 403 AuthenticationFailed: " in failed.flat
    )
    assert (
        "; the shared key in AZURE_BATCH_ACCESS_KEY is for account keyed, not stranger, so it was not used."
        in failed.flat
    )
    assert len(re.findall(rf"done, [^;]+; {SHORT_OLD} -> {SHORT_NEW}", failed.flat)) >= 4
    assert {name: posts(account) for name, account in accounts.items()} == {
        **{name: [202] for name in HOSTS},
        "stranger": [],
    }
    assert {entry["scope"] for entry in entra.tokens("clientSecret")} == AUDIENCES
    assert set(proxy.asked) == set(HOSTS.values()), "no login host of Azure, where the secret must not go"
    seen = {each["outputs"]["account_endpoint"] for each in stack.resources()}
    assert seen == {f"https://{host}" for name, host in HOSTS.items() if name != "stranger"}

    let_in(accounts["stranger"], {"token": principal["token"], "readOnly": False})
    stack.up().ok()
    assert {name: posts(account) for name, account in accounts.items()} == {name: [202] for name in HOSTS}
