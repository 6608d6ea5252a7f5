"""Signatures as client generations make them, and requests that must be refused."""

from __future__ import annotations

import base64
import hmac
from datetime import UTC, datetime
from email.utils import formatdate
from urllib.error import HTTPError

import pytest
from azure.batch._patch import BatchSharedKeyAuthPolicy
from azure.core.credentials import AzureNamedKeyCredential
from azure.core.pipeline import PipelineContext, PipelineRequest
from azure.core.rest import HttpRequest

from batch_os_provider.simulator.data_plane.auth import authenticate
from batch_os_provider.simulator.protocol.wire import Incoming
from batch_os_provider.simulator.world.clock import parse_iso, wall_now
from batch_os_provider.simulator.world.errors import BatchError
from batch_os_provider.simulator.world.world import DEFAULT_KEY, World
from tests.simulator.raw_client import FULL_TYPE, LAST, signature
from tests.simulator.seeds import NEW, paas

NOON = parse_iso("2018-08-24T12:00:00Z")
DATE = "Fri, 24 Aug 2018 12:00:00 GMT"


def signed(text: str, account: str = "batchsim", key: str = DEFAULT_KEY) -> str:
    made = hmac.digest(base64.b64decode(key), text.encode(), "sha256")
    return f"SharedKey {account}:{base64.b64encode(made).decode()}"


def ask(method: str, path: str, query: str, authorization: str, wall: int = NOON, **headers: str) -> bool:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    given |= {"authorization": authorization}
    return authenticate(World(), Incoming(method, path, query, given, "http://x", "id"), wall)


VECTORS = {
    "GET with ocp-date": (
        "GET",
        "api-version=2018-08-01.7.0&timeout=30",
        {"ocp_date": DATE},
        f"GET\n\n\n\n\n\n\n\n\n\n\n\nocp-date:{DATE}\n/batchsim/pools/p\napi-version:2018-08-01.7.0\ntimeout:30",
    ),
    "Date instead of ocp-date": (
        "GET",
        "api-version=1",
        {"date": DATE},
        f"GET\n\n\n\n\n\n{DATE}\n\n\n\n\n\n/batchsim/pools/p\napi-version:1",
    ),
    "POST with length, type and a condition": (
        "POST",
        "api-version=1",
        {"ocp_date": DATE, "content_length": "41", "content_type": FULL_TYPE, "if_match": '"0x8D1"'},
        f'POST\n\n\n41\n\n{FULL_TYPE}\n\n\n"0x8D1"\n\n\n\nocp-date:{DATE}\n/batchsim/pools/p\napi-version:1',
    ),
    "DELETE that signs 0": (
        "DELETE",
        "api-version=1",
        {"ocp_date": DATE, "content_length": "0"},
        f"DELETE\n\n\n0\n\n\n\n\n\n\n\n\nocp-date:{DATE}\n/batchsim/pools/p\napi-version:1",
    ),
    "DELETE that signs nothing": (
        "DELETE",
        "api-version=1",
        {"ocp_date": DATE},
        f"DELETE\n\n\n\n\n\n\n\n\n\n\n\nocp-date:{DATE}\n/batchsim/pools/p\napi-version:1",
    ),
    "GET that signs a content type": (
        "GET",
        "api-version=1",
        {"ocp_date": DATE, "content_type": "application/json; charset=utf-8"},
        f"GET\n\n\n\n\napplication/json; charset=utf-8\n\n\n\n\n\n\nocp-date:{DATE}\n/batchsim/pools/p\napi-version:1",
    ),
    "names lower-cased": (
        "GET",
        "timeOut=30&api-version=1",
        {"ocp_date": DATE},
        f"GET\n\n\n\n\n\n\n\n\n\n\n\nocp-date:{DATE}\n/batchsim/pools/p\napi-version:1\ntimeout:30",
    ),
    "names as sent": (
        "GET",
        "timeOut=30&api-version=1",
        {"ocp_date": DATE},
        f"GET\n\n\n\n\n\n\n\n\n\n\n\nocp-date:{DATE}\n/batchsim/pools/p\napi-version:1\ntimeOut:30",
    ),
    "blanks as %20, and %24filter": (
        "GET",
        "api-version=1&%24filter=state%20eq%20%27active%27",
        {"ocp_date": DATE},
        f"GET\n\n\n\n\n\n\n\n\n\n\n\nocp-date:{DATE}\n/batchsim/pools/p\n$filter:state eq 'active'\napi-version:1",
    ),
    "blanks as +": (
        "GET",
        "$filter=state+eq+'active'&api-version=1",
        {"ocp_date": DATE},
        f"GET\n\n\n\n\n\n\n\n\n\n\n\nocp-date:{DATE}\n/batchsim/pools/p\n$filter:state eq 'active'\napi-version:1",
    ),
    "decoded twice": (
        "GET",
        "$select=a%252Cb&api-version=1",
        {"ocp_date": DATE},
        f"GET\n\n\n\n\n\n\n\n\n\n\n\nocp-date:{DATE}\n/batchsim/pools/p\n$select:a,b\napi-version:1",
    ),
    "empty values left out": (
        "GET",
        "$select=&api-version=1",
        {"ocp_date": DATE},
        f"GET\n\n\n\n\n\n\n\n\n\n\n\nocp-date:{DATE}\n/batchsim/pools/p\napi-version:1",
    ),
    "empty values signed": (
        "GET",
        "$select=&api-version=1",
        {"ocp_date": DATE},
        f"GET\n\n\n\n\n\n\n\n\n\n\n\nocp-date:{DATE}\n/batchsim/pools/p\n$select:\napi-version:1",
    ),
}


@pytest.mark.parametrize("name", VECTORS)
def test_every_way_of_signing(name):
    method, query, headers, text = VECTORS[name]
    assert ask(method, "/pools/p", query, signed(text), **headers) is False


@pytest.mark.parametrize("name", VECTORS)
def test_any_other_text_fails(name):
    method, query, headers, text = VECTORS[name]
    for wrong in (text + "x", text.replace("batchsim", "other"), text.replace("/pools/p", "/pools/q"), text.lower()):
        with pytest.raises(BatchError, match="403 AuthenticationFailed"):
            ask(method, "/pools/p", query, signed(wrong), **headers)


def test_content_length_is_not_normalised():
    method, query, headers, text = VECTORS["DELETE that signs 0"]
    with pytest.raises(BatchError, match="AuthenticationFailed"):
        ask(method, "/pools/p", query, signed(text), ocp_date=DATE)
    with pytest.raises(BatchError, match="AuthenticationFailed"):
        ask(method, "/pools/p", query, signed(VECTORS["DELETE that signs nothing"][3]), **headers)


def test_an_account_in_other_case_and_an_encoded_path():
    text = f"GET\n\n\n\n\n\n\n\n\n\n\n\nocp-date:{DATE}\n/BatchSim/pools/a b\napi-version:1"
    ask("GET", "/pools/a%20b", "api-version=1", signed(text, "BatchSim"), ocp_date=DATE)


@pytest.mark.parametrize(("minutes", "passes"), [(0, True), (14, True), (-14, True), (16, False), (-16, False)])
def test_the_window_of_15_minutes(minutes, passes):
    method, query, headers, text = VECTORS["GET with ocp-date"]
    wall = NOON + minutes * 60 * 10_000_000
    if passes:
        ask(method, "/pools/p", query, signed(text), wall, **headers)
    else:
        with pytest.raises(BatchError) as caught:
            ask(method, "/pools/p", query, signed(text), wall, **headers)
        assert "15 minutes" in caught.value.values[0][1]


@pytest.mark.parametrize(
    ("authorization", "date", "why"),
    [
        ("", DATE, "scheme"),
        ("SharedKeyLite batchsim:x", DATE, "scheme"),
        ("Basic eDp5", DATE, "scheme"),
        ("SharedKey batchsim", DATE, "account"),
        ("SharedKey other:x", DATE, "account"),
        ("SharedKey batchsim:x", "", "Neither"),
        ("SharedKey batchsim:x", "yesterday", "RFC 1123"),
        ("SharedKey batchsim:", DATE, "signature"),
        ("SharedKey batchsim:\xff", DATE, "signature"),
        ("Bearer nobody", DATE, "principals"),
    ],
)
def test_what_does_not_pass_says_why(authorization, date, why):
    with pytest.raises(BatchError, match="403 AuthenticationFailed") as caught:
        ask("GET", "/pools", "api-version=1", authorization, ocp_date=date)
    assert why in caught.value.values[0][1]


@pytest.mark.parametrize("query", ["api-version=2018-08-01.7.0&timeOut=30", "$filter=id%20eq%20%27a%27&api-version=1"])
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "HEAD"])
def test_the_official_policy_of_today_agrees(method, query):
    """The signature that azure-batch 15 computes, without any network."""
    request = HttpRequest(method, f"https://x/pools/p?{query}", headers={"ocp-date": DATE})
    policy = BatchSharedKeyAuthPolicy(AzureNamedKeyCredential("batchsim", DEFAULT_KEY))
    policy.on_request(PipelineRequest(request, PipelineContext(None)))
    headers = {"ocp_date": DATE} | ({} if method in ("GET", "HEAD") else {"content_length": "0"})
    assert ask(method, "/pools/p", query, request.headers["Authorization"], **headers) is False


def test_over_the_wire(client):
    assert client("GET", "/pools").status == 200
    refused = client("GET", "/pools", sign=False)
    assert (refused.status, refused.code) == (400, "MissingRequiredHeader")
    old = formatdate(datetime(2018, 1, 1, tzinfo=UTC).timestamp(), usegmt=True)
    assert client("GET", "/pools", headers={"ocp-date": old}).code == "AuthenticationFailed"
    seen = [(entry["status"], entry["code"]) for entry in client.audit("request")]
    assert seen == [(200, None), (400, "MissingRequiredHeader"), (403, "AuthenticationFailed")]


def test_the_key_of_the_state_is_the_key(client):
    other = base64.b64encode(b"another key").decode()
    client.control("PUT", "state", {"account": {"name": "mine", "key": other}, "pools": [paas()]})
    assert client("GET", "/pools/p").status == 200
    headers = {"ocp-date": formatdate(usegmt=True)}
    made = signature(DEFAULT_KEY, "mine", "GET", f"/pools?api-version={LAST}", headers)
    assert client("GET", "/pools", headers={**headers, "Authorization": f"SharedKey mine:{made}"}).status == 403
    client.control("POST", "reset")
    assert (client.simulator.account, client.simulator.key) == ("batchsim", DEFAULT_KEY)


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


def test_bearer_tokens(client):
    principals = [
        {"token": "writer", "readOnly": False},
        {"token": "reader", "readOnly": True},
        {"token": "late", "readOnly": False, "expires": "2018-01-01T00:00:00Z"},
        {"token": "soon", "readOnly": False, "expires": "2999-01-01T00:00:00Z"},
    ]
    client.put(paas(), principals=principals)
    assert client("GET", "/pools/p", headers=bearer("reader")).status == 200
    refused = client.upgrade(NEW, headers=bearer("reader"))
    assert (refused.status, refused.code) == (403, "InsufficientAccountPermissions")
    assert client("GET", "/pools/p", headers=bearer("late")).code == "AuthenticationFailed"
    assert client("GET", "/pools/p", headers=bearer("other")).code == "AuthenticationFailed"
    assert client("GET", "/pools/p", headers=bearer("soon")).status == 200
    assert client.upgrade(NEW, headers=bearer("writer")).status == 202


NOT_ALLOWED = "The specified type of authentication {} is not allowed for this account."


def detail(answer):
    """The detail of a refusal to authenticate."""
    assert (answer.status, answer.code) == (403, "AuthenticationFailed")
    return answer.json["values"][0]["value"]


def test_an_account_takes_the_kinds_of_sign_in_that_its_settings_allow(client):
    client.put(paas(), principals=[{"token": "writer", "readOnly": False}])
    state = client.control("GET", "state")
    for modes, by_key, by_token in ((["AAD"], 403, 200), (["SharedKey"], 200, 403), (["AAD", "SharedKey"], 200, 200)):
        account = {**state["account"], "allowedAuthenticationModes": modes}
        kept = client.control("PUT", "state", {**state, "account": account})
        assert kept["account"]["allowedAuthenticationModes"] == modes
        key, token = client("GET", "/pools/p"), client("GET", "/pools/p", headers=bearer("writer"))
        assert (key.status, token.status) == (by_key, by_token)
        for answer, mode in ((key, "SharedKey"), (token, "AAD")):
            assert answer.status == 200 or detail(answer) == NOT_ALLOWED.format(mode)
    client.control("PUT", "state", state)
    assert client("GET", "/pools/p").status == 200, "what is left out is the default again"


def test_an_account_without_public_network_access_refuses_everybody(client):
    client.put(paas(), principals=[{"token": "writer", "readOnly": False}])
    state = client.control("GET", "state")
    account = {**state["account"], "publicNetworkAccess": "Disabled"}
    client.control("PUT", "state", {**state, "account": account})
    for answer in (client("GET", "/pools/p"), client("GET", "/pools/p", headers=bearer("writer"))):
        assert (answer.status, answer.code) == (403, "AuthorizationFailure")


@pytest.mark.parametrize(
    "settings",
    [
        {"allowedAuthenticationModes": []},
        {"allowedAuthenticationModes": ["Entra"]},
        {"allowedAuthenticationModes": [["AAD"]]},
        {"publicNetworkAccess": "Off"},
        {"publicNetworkAccess": True},
    ],
)
def test_settings_that_azure_does_not_have_are_refused(client, settings):
    with pytest.raises(HTTPError) as refused:
        client.control("PUT", "state", {"account": settings})
    with refused.value as answer:
        assert answer.code == 400
        assert next(iter(settings)) in answer.read().decode()


def test_no_secret_leaves_by_any_other_door_than_the_state(client):
    client.put(paas(), principals=[{"token": "very-secret-token", "readOnly": False}])
    client("GET", "/pools/p", headers={**bearer("very-secret-token"), "User-Agent": "hash-of-a-card"})
    client("GET", "/pools/p", headers=bearer("wrong-secret"))
    shown = str([client.audit(), client("GET", "/pools/p").json, client.control("GET", "unknowns")])
    for secret in (DEFAULT_KEY, "very-secret-token", "wrong-secret", "hash-of-a-card"):
        assert secret not in shown


def test_wall_time_is_wall_time():
    assert abs(wall_now() / 10_000_000 - datetime.now(UTC).timestamp()) < 5
