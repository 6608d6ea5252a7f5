"""Tokens of principals: the real azure-identity library gets them, and each principal may do what the state allows."""

from __future__ import annotations

import json
import logging
import re
import socket
import urllib.error
import urllib.request
from datetime import UTC, datetime

import pytest
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import DefaultAzureCredential, ManagedIdentityCredential

from batch_os_provider.simulator.protocol.operations import OPERATIONS
from batch_os_provider.simulator.state.dump import dump
from batch_os_provider.simulator.state.load import load
from batch_os_provider.simulator.world.reader import StateError
from tests.simulator.raw_client import LAST, NEWEST
from tests.simulator.seeds import NEW, job, paas

SCOPE = "https://batch.core.windows.net//.default"
READER = {"name": "reader", "token": "token-of-the-reader", "readOnly": True}
WRITER = {"name": "writer", "token": "token-of-the-writer", "readOnly": False}
GOOD = {"api-version": "2019-08-01", "resource": "https://batch.core.windows.net/"}


@pytest.fixture
def principals(client, monkeypatch):
    """An account with a pool and both principals; the machine is the reader's."""
    client.put(paas(), principals=[READER, WRITER])
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"{client.simulator.control}/identity/token")
    monkeypatch.setenv("IDENTITY_HEADER", "reader")
    for name in ("IDENTITY_SERVER_THUMBPRINT", "AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_TOKEN_CREDENTIALS"):
        monkeypatch.delenv(name, raising=False)
    return client


def bearer(principal):
    return {"Authorization": f"Bearer {principal['token']}"}


def ask(client, secret, **query):
    """The endpoint without any library: status and body."""
    text = "&".join(f"{name}={value}" for name, value in query.items())
    headers = {"X-IDENTITY-HEADER": secret} if secret is not None else {}
    url = f"{client.simulator.control}/identity/token?{text}"
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=60) as answer:  # noqa: S310 - loopback
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def test_the_real_library_signs_in_as_the_principal_of_the_header(principals, monkeypatch):
    for principal in (READER, WRITER):
        monkeypatch.setenv("IDENTITY_HEADER", principal["name"])
        with ManagedIdentityCredential() as credential:
            token = credential.get_token(SCOPE)
        assert token.token == principal["token"]
        now = datetime.now(UTC).timestamp()
        assert now + 23 * 3600 < token.expires_on <= now + 24 * 3600


def test_the_default_credential_stops_at_this_endpoint_and_probes_nothing(principals, monkeypatch, caplog):
    with socket.create_server(("127.0.0.1", 0)) as metadata_service:
        metadata_service.setblocking(False)
        monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", f"http://127.0.0.1:{metadata_service.getsockname()[1]}")
        with caplog.at_level(logging.INFO, "azure.identity"), DefaultAzureCredential() as credential:
            assert credential.get_token(SCOPE).token == READER["token"]
        assert "DefaultAzureCredential acquired a token from ManagedIdentityCredential" in caplog.text
        with pytest.raises(BlockingIOError):
            metadata_service.accept()


def test_a_header_of_nobody_is_refused_in_words_that_the_library_shows(principals, monkeypatch):
    monkeypatch.setenv("IDENTITY_HEADER", "nobody")
    with ManagedIdentityCredential() as credential, pytest.raises(ClientAuthenticationError) as caught:
        credential.get_token(SCOPE)
    assert "401, X-IDENTITY-HEADER names no principal of this account." in str(caught.value)


def test_a_token_for_something_else_than_batch_is_refused(principals):
    with ManagedIdentityCredential() as credential, pytest.raises(ClientAuthenticationError) as caught:
        credential.get_token("https://vault.azure.net/.default")
    assert "is neither https://batch.core.windows.net/ (Batch) nor https://management.azure.com" in str(caught.value)


def test_the_answer_is_the_documented_one(principals):
    status, body = ask(principals, "reader", **GOOD)
    assert status == 200
    assert re.fullmatch(r"\d{10}", body.pop("expires_on"))
    assert body == {"access_token": READER["token"], "resource": GOOD["resource"], "token_type": "Bearer"}


@pytest.mark.parametrize("resource", ["https://batch.core.windows.net", "https://batch.core.usgovcloudapi.net/"])
def test_batch_is_known_by_every_name_it_has(principals, resource):
    assert ask(principals, "reader", **{**GOOD, "resource": resource})[0] == 200


@pytest.mark.parametrize(
    ("secret", "changes", "status", "words"),
    [
        (None, {}, 401, "names no principal"),
        ("", {}, 401, "names no principal"),
        ("\xff", {}, 401, "names no principal"),
        (READER["token"], {}, 401, "names no principal"),
        ("reader", {"api-version": "2017-09-01"}, 400, "2019-08-01"),
        ("reader", {"resource": ""}, 400, "is neither https://batch"),
        ("reader", {"client_id": "some-other-identity"}, 400, "No User Assigned"),
    ],
)
def test_what_gets_no_token(principals, secret, changes, status, words):
    seen, body = ask(principals, secret, **{**GOOD, **changes})
    assert (seen, body["statusCode"]) == (status, status)
    assert words in body["message"]
    assert READER["token"] not in str(body)


def test_a_principal_without_a_name_shows_its_token(principals):
    principals.put(paas(), principals=[{"token": "only-a-token"}])
    assert ask(principals, "only-a-token", **GOOD)[1]["access_token"] == "only-a-token"


def test_the_end_of_a_token_is_told(principals):
    principals.put(paas(), principals=[{**READER, "expires": "2018-01-01T00:00:00Z"}])
    assert ask(principals, "reader", **GOOD)[1]["expires_on"] == "1514764800"


def test_names_survive_a_state(world):
    load(world, {"principals": [READER, {"token": "x"}]})
    assert dump(world, "http://x")["principals"] == [READER, {"token": "x", "readOnly": False}]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([READER, {**WRITER, "name": "reader"}], "Two principals have the name reader"),
        ([READER, {**WRITER, "token": READER["token"]}], "Two principals have the same token"),
        ([{**READER, "name": "a b"}], "is not a name"),
        ([{**READER, "role": "owner"}], "role"),
    ],
)
def test_principals_that_cannot_be(world, rows, words):
    with pytest.raises(StateError, match=words):
        load(world, {"principals": rows})


def every_operation():
    """Each operation that is built, with a path that leads somewhere and a version that has it."""
    ids = {"poolId": "p", "nodeId": "tvm-1", "jobId": "j", "taskId": "t1"}
    for operation in OPERATIONS:
        if operation.implemented:
            version = LAST if operation.until == LAST else NEWEST
            yield pytest.param(operation.method, operation.path.format(**ids), version, id=operation.id)


@pytest.mark.parametrize(("method", "path", "version"), list(every_operation()))
def test_a_reader_may_read_everything_and_write_nothing(principals, method, path, version):
    principals.put(paas(), jobs=[job("sleep 60")], principals=[READER, WRITER])
    before = principals.control("GET", "state")
    query = {"api-version": version}
    seen = principals(method, path, headers=bearer(READER), query=query)
    assert principals.control("GET", "state") == before
    if method in ("GET", "HEAD"):
        assert seen.status == 200
    else:
        assert (seen.status, seen.code) == (403, "InsufficientAccountPermissions")
        # An empty body is wrong in most of them, but not forbidden.
        assert principals(method, path, headers=bearer(WRITER), query=query).status != 403


def test_only_the_writer_upgrades(principals):
    refused = principals.upgrade(NEW, headers=bearer(READER))
    assert (refused.status, refused.code) == (403, "InsufficientAccountPermissions")
    assert principals.pool()["state"] == "active"
    assert principals.upgrade(NEW, headers=bearer(WRITER)).status == 202
