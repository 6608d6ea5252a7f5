"""Pins the words of a failed connection: the same whatever a version of urllib3 writes for its objects."""

from __future__ import annotations

import socket
import ssl
from http.client import RemoteDisconnected

import pytest
import requests
from azure.core.exceptions import AzureError, ClientAuthenticationError, ServiceRequestError, ServiceResponseError
from urllib3 import HTTPSConnectionPool
from urllib3.connection import HTTPSConnection
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    MaxRetryError,
    NameResolutionError,
    NewConnectionError,
    ProtocolError,
    ProxyError,
    ReadTimeoutError,
    SSLError,
)

from batch_os_provider.batch.connection import _first_line
from batch_os_provider.batch.lost_connection import below, readable

HOST = "login.example"
REFUSED = "Failed to establish a new connection: [Errno 111] Connection refused"
NO_ADDRESS = f"Failed to resolve '{HOST}' ([Errno -2] Name or service not known)"
LATE = f"Connection to {HOST} timed out. (connect timeout=5)"


class OfOldUrllib3(HTTPSConnection):
    """As urllib3 2.3 writes a connection."""

    __str__ = __repr__ = object.__repr__


class OfNewUrllib3(HTTPSConnection):
    """As urllib3 2.8 writes a connection."""

    def __str__(self) -> str:
        return f"HTTPSConnection(host={self.host!r}, port={self.port!r})"

    def __repr__(self) -> str:
        return f"<{self} at {id(self):#x}>"


def lost(error: Exception) -> AzureError:
    """As azure-core raises it: the error is an attribute, and no cause."""
    return ServiceRequestError(error, error=error)


@pytest.mark.parametrize("kind", [OfOldUrllib3, OfNewUrllib3, HTTPSConnection])
def test_the_words_are_the_same_with_each_version_of_urllib3(kind: type[HTTPSConnection]) -> None:
    connection, pool, proxy = kind(HOST, 443), HTTPSConnectionPool(HOST, 443), kind("proxy.example", 3128)
    no_address = socket.gaierror(-2, "Name or service not known")
    refused_by_proxy = NewConnectionError(proxy, REFUSED)
    cases: list[tuple[HTTPError, str, str]] = [
        (NewConnectionError(connection, REFUSED), f"{HOST}:443: ", REFUSED),
        (NewConnectionError(kind("::1", 9), REFUSED), "[::1]:9: ", REFUSED),
        (NameResolutionError(HOST, connection, no_address), f"{HOST}:443: ", NO_ADDRESS),
        (ConnectTimeoutError(connection, LATE), f"{HOST}:443: ", LATE),
        (ReadTimeoutError(pool, "/x", "Read timed out. (read timeout=20)"), f"{HOST}:443: ", "Read timed out. (read"),
        (MaxRetryError(pool, "/x", NewConnectionError(connection, REFUSED)), f"{HOST}:443: ", REFUSED),
        (MaxRetryError(pool, "/x"), f"{HOST}:443: ", "Max retries exceeded with url: /x"),
        (
            ProxyError("Unable to connect to proxy", refused_by_proxy),
            "",
            f"Unable to connect to proxy: proxy.example:3128: {REFUSED}",
        ),
        (
            ProxyError("Unable to connect to proxy", OSError("Tunnel connection failed: 407")),
            "",
            "Unable to connect to proxy: Tunnel connection failed: 407",
        ),
        (ProtocolError("Connection aborted.", RemoteDisconnected("No answer")), "", "Connection aborted: No answer"),
        (ProtocolError("the answer has more than 32 MB"), "", "the answer has more than 32 MB"),
        (SSLError(ssl.SSLError(1, "[SSL: CERTIFICATE_VERIFY_FAILED] no")), "", "[SSL: CERTIFICATE_VERIFY_FAILED] no"),
    ]
    for error, host, words in cases:
        for raised in (lost(error), lost(requests.ConnectionError(error))):
            assert readable(raised).startswith(f"{host}{words}")
            assert _first_line(raised).startswith(words), "the pool's URL already names the account"


@pytest.mark.parametrize("kind", [OfOldUrllib3, OfNewUrllib3])
@pytest.mark.parametrize("late", [False, True])
def test_what_azure_identity_quotes_is_found_below_its_own_error(kind: type[HTTPSConnection], late: bool) -> None:
    """It quotes the text of azure-core, and chains the error."""
    connection = kind(HOST, 443)
    inner = lost(ConnectTimeoutError(connection, LATE) if late else NewConnectionError(connection, REFUSED))
    outer = ClientAuthenticationError(f"Authentication failed: {inner}\nMore lines.")
    outer.__cause__ = inner
    assert readable(outer) == f"Authentication failed: {HOST}:443: {LATE if late else REFUSED}\nMore lines."


@pytest.mark.parametrize(
    ("quoted", "words"),
    [
        (f"<urllib3.connection.HTTPSConnection object at 0x7f8218bb2d90>: {REFUSED}", REFUSED),
        (f"HTTPSConnection(host='{HOST}', port=443): {REFUSED}", f"{HOST}:443: {REFUSED}"),
        (f"HTTPConnectionPool(host='::1', port=80): {REFUSED}", f"[::1]:80: {REFUSED}"),
        (f"(<urllib3.connection.HTTPConnection object at 0x7f8218bb2d90>, '{LATE}')", LATE),
        (f"(<HTTPConnection(host='{HOST}', port=80) at 0x7f82AB>, \"it's late\")", "it's late"),
        ("an <html> page at 0x1: kept", "an <html> page at 0x1: kept"),
    ],
)
def test_what_a_chain_quotes_without_its_error_is_read_from_the_text(quoted: str, words: str) -> None:
    text = "Attempted credentials:\n\tManagedIdentityCredential: {}\n\tAzureCliCredential: Azure CLI not found"
    assert readable(ClientAuthenticationError(text.format(quoted))) == text.format(words)


def test_an_error_without_text_or_in_a_circle_ends() -> None:
    empty = lost(ProtocolError())
    assert readable(empty) == str(empty)
    one, other = ServiceResponseError("one"), ValueError("other")
    one.__cause__, other.__context__ = other, one
    assert list(below(one)) == [one, other]
    assert readable(one) == "one"
