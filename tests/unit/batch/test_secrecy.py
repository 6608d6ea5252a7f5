"""What must never be: TLS without verification, and a client or an error that shows what it signs in with."""

from __future__ import annotations

import ast
import base64
import secrets
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest

from batch_os_provider.batch.address import PoolRef
from batch_os_provider.batch.client import BatchClient
from batch_os_provider.batch.connection import Connection
from batch_os_provider.errors import BatchOsError
from tests.support.inprocess import ENDPOINT, Account
from tests.support.simulator import paas_pool
from tests.unit.rollout.doubles import VirtualWaiter

ROOT = Path(__file__).resolve().parents[3]
SOURCES = sorted([*(ROOT / "batch_os_provider").rglob("*.py"), *(ROOT / "examples").rglob("*.py")])
SWITCHES = {"verify", "connection_verify", "check_hostname", "ssl_verify", "verify_ssl"}
UNVERIFIED = {"CERT_NONE", "_create_unverified_context", "disable_warnings", "InsecureRequestWarning"}


def switched_off(tree: ast.AST) -> Iterator[str]:
    """Everything in a program that can take verification away."""
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg in SWITCHES:
            yield f"{node.arg}="
        elif isinstance(node, ast.Constant) and node.value in SWITCHES:
            yield repr(node.value)
        elif isinstance(node, ast.Attribute) and node.attr in SWITCHES | UNVERIFIED:
            yield f".{node.attr}"
        elif isinstance(node, ast.Name) and node.id in UNVERIFIED:
            yield node.id


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_tls_verification_is_never_switched(path: Path) -> None:
    assert not list(switched_off(ast.parse(path.read_text(encoding="utf-8"))))


@pytest.mark.parametrize(
    "text",
    [
        "get(url, verify=False)",
        "settings = {'connection_verify': False}",
        "session.verify = False",
        "context.check_hostname = False",
        "ssl.CERT_NONE",
        "from ssl import CERT_NONE; use(CERT_NONE)",
        "ssl._create_unverified_context()",
    ],
)
def test_the_check_sees_each_way_to_switch_it_off(text: str) -> None:
    assert list(switched_off(ast.parse(text)))


def shown(*things: object) -> str:
    """All that can be printed of things, tracebacks included."""
    texts = [f"{thing!r}{thing}" for thing in things]
    texts += ["".join(traceback.format_exception(thing)) for thing in things if isinstance(thing, BaseException)]
    return "\n".join(texts)


def test_no_client_and_no_error_shows_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    key, secret, bearer = base64.b64encode(secrets.token_bytes(64)).decode(), "s" + secrets.token_hex(16), "b3arer"
    app = {"ARM_TENANT_ID": "t", "ARM_CLIENT_ID": "c", "AZURE_AUTHORITY_HOST": "https://127.0.0.1:9/entra"}
    oidc = {"ARM_USE_OIDC": "true", "ARM_OIDC_REQUEST_URL": "https://127.0.0.1:9/ask", "ARM_OIDC_REQUEST_TOKEN": bearer}
    pipelines = {"ARM_USE_OIDC": "true", "SYSTEM_ACCESSTOKEN": bearer, "ARM_ADO_PIPELINE_SERVICE_CONNECTION_ID": "id"}
    pipelines["SYSTEM_OIDCREQUESTURI"] = "https://127.0.0.1:9/oidctoken"
    monkeypatch.setenv("SYSTEM_OIDCREQUESTURI", pipelines["SYSTEM_OIDCREQUESTURI"])
    https = "https://127.0.0.1:9"
    for endpoint, environ in (
        (https, {"AZURE_BATCH_ACCOUNT": "acct", "AZURE_BATCH_ACCESS_KEY": key}),
        (https, {**app, "ARM_CLIENT_SECRET": secret}),
        (https, {**app, **oidc}),
        (https, {**app, **pipelines}),
    ):
        client = BatchClient(endpoint, environ)
        with pytest.raises(BatchOsError) as caught:
            client.get_pool(PoolRef(endpoint, "render"))
        chain = [caught.value, caught.value.__cause__, caught.value.__context__]
        text = shown(client, client._connection, client._connection._azure, client._connection._found, *chain)
        for each in (key, secret, bearer):
            assert each not in text


def test_a_refused_key_is_in_no_error() -> None:
    account = Account(VirtualWaiter(), {"pools": [paas_pool()]})
    client = account.client()
    refused = account.world.key
    account.world.key = base64.b64encode(b"another").decode()
    with pytest.raises(BatchOsError) as caught:
        client.get_pool(PoolRef(ENDPOINT, "render"))
    text = shown(caught.value, caught.value.__cause__, client)
    assert refused not in text
    assert "SharedKey " not in text
    assert isinstance(client._connection, Connection)
