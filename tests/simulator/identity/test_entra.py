"""Entra's token endpoint and a CI system's assertions: driven by the real azure-identity over TLS, and by hand."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from urllib.parse import quote, urlencode

import pytest
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError
from azure.identity import ClientAssertionCredential, ClientSecretCredential

from batch_os_provider.batch.address import PoolRef
from batch_os_provider.batch.client import BatchClient
from batch_os_provider.errors import BatchOsError, CredentialError, PermanentError, TokenError
from batch_os_provider.simulator.data_plane.auth import LEEWAY
from batch_os_provider.simulator.state.dump import dump
from batch_os_provider.simulator.state.load import load
from batch_os_provider.simulator.world.clock import TICKS
from batch_os_provider.simulator.world.reader import StateError
from tests.simulator.seeds import paas
from tests.support import simulator as simulators

SCOPE = "https://batch.core.windows.net//.default"
CHINA = "https://batch.chinacloudapi.cn//.default"
APP = {"name": "app", "token": "token-of-the-app", "readOnly": False, "tenant": "contoso", "secret": "a-secret"}
CI = {"name": "ci", "token": "token-of-the-ci", "readOnly": False, "secret": "b-secret", "assertions": {"once": True}}
FORM = {"grant_type": "client_credentials", "client_id": "app", "client_secret": "a-secret", "scope": SCOPE}
JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


@pytest.fixture(scope="module")
def tls():
    """One simulator over TLS for the module; each test adds its own principals."""
    yield from simulators.running_command(("--tls", "--speed", "0"))


@pytest.fixture
def secure(tls, monkeypatch):
    """A pool, no principals, and a machine that trusts the simulator's certificate authority."""
    tls.post("reset", {})
    tls.pools(simulators.paas_pool())
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tls.authority))
    return tls


def read(sim, environ):
    """The pool, read with what is found in an environment."""
    return BatchClient(sim.endpoint, environ).get_pool(PoolRef(sim.endpoint, "render"))


def refused(sim, environ, kind=CredentialError):
    with pytest.raises(BatchOsError) as caught:
        read(sim, environ)
    assert type(caught.value) is kind
    return str(caught.value)


# --- the provider's own credentials, over TLS ---


def ways(sim):
    """Every way to sign in as a principal with Entra."""
    job = sim.by_oidc("file-ci")
    return {
        "clientSecret": sim.by_secret("by-secret"),
        "clientAssertion of a URL": sim.by_oidc("by-url"),
        "clientAssertion of GitHub": sim.by_oidc("by-actions", "ACTIONS_ID_TOKEN_REQUEST"),
        "clientAssertion of a variable": {**job, "ARM_OIDC_TOKEN": assertion(sim, job)},
    }


def assertion(sim, job, name="ARM_OIDC_REQUEST"):
    """What a CI system gives a job."""
    request = urllib.request.Request(job[f"{name}_URL"], headers={"Authorization": f"Bearer {job[f'{name}_TOKEN']}"})  # noqa: S310 - loopback
    with urllib.request.urlopen(request, context=sim.trusted()) as answer:  # noqa: S310 - as above
        return json.load(answer)["value"]


def test_each_way_to_sign_in_reads_the_pool(secure, tmp_path):
    for way, environ in ways(secure).items():
        assert read(secure, environ).current_os_version == simulators.OLD, way
        granted = secure.tokens(way.partition(" ")[0])[-1]
        assert (granted["principal"], granted["scope"]) == (environ["ARM_CLIENT_ID"], SCOPE)
    file = tmp_path / "assertion"
    job = secure.by_oidc("by-file")
    file.write_text(assertion(secure, job) + "\n")
    assert read(secure, {**job, "ARM_OIDC_TOKEN_FILE_PATH": str(file)}).state.value == "active"
    assert secure.tokens("clientAssertion")[-1]["principal"] == "by-file"


def test_an_untrusted_certificate_is_refused_by_every_way_to_sign_in_and_by_batch(secure, monkeypatch):
    found = ways(secure)
    identity = secure.signed_in_as("managed", read_only=True)
    before = secure.get("identity/record")
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    for way, environ in found.items():
        text = refused(secure, environ)
        assert "CERTIFICATE_VERIFY_FAILED" in text, way
        assert "name the certificate file of that authority in REQUESTS_CA_BUNDLE" in text, way
    for name, value in identity.items():
        if name.startswith("IDENTITY"):
            monkeypatch.setenv(name, value)
    assert "CERTIFICATE_VERIFY_FAILED" in refused(secure, {})
    assert "CERTIFICATE_VERIFY_FAILED" in refused(secure, secure.environment, PermanentError)
    assert secure.get("identity/record") == before, "no secret was sent to a stranger"
    assert not secure.requests()


def test_an_assertion_is_fetched_for_every_token_and_never_used_twice(secure):
    environ = secure.by_oidc("job", lifetime=1)
    client = BatchClient(secure.endpoint, environ)
    ref = PoolRef(secure.endpoint, "render")
    # A token lives for a second, so a few looks need a few of them.
    simulators.repeat_until(lambda: client.get_pool(ref), lambda: len(secure.tokens("clientAssertion")) >= 3)
    handed = [entry["assertion"] for entry in secure.tokens("assertion")]
    used = [entry["assertion"] for entry in secure.tokens("clientAssertion", None)]
    assert used == handed[: len(used)]
    assert len(set(used)) == len(used)
    assert {entry["status"] for entry in secure.tokens(status=None)} == {200}


def pipelines(secure, monkeypatch, **fields):
    """The environment of a step of Azure Pipelines; azure-identity reads the URL from the process itself."""
    environ = secure.by_pipelines("connection", **fields)
    monkeypatch.setenv("SYSTEM_OIDCREQUESTURI", environ["SYSTEM_OIDCREQUESTURI"])
    return environ


def test_in_azure_pipelines_an_assertion_is_fetched_for_every_token(secure, monkeypatch):
    environ = pipelines(secure, monkeypatch, lifetime=1)
    client, ref = BatchClient(secure.endpoint, environ), PoolRef(secure.endpoint, "render")
    simulators.repeat_until(lambda: client.get_pool(ref), lambda: len(secure.tokens("clientAssertion")) >= 3)
    used = [entry["assertion"] for entry in secure.tokens("clientAssertion", None)]
    assert used == [entry["assertion"] for entry in secure.tokens("assertion")][: len(used)]
    assert len(set(used)) == len(used)
    assert {(entry["principal"], entry["status"]) for entry in secure.tokens(status=None)} == {("connection", 200)}


def test_azure_pipelines_that_refuses_or_is_not_there_is_named_and_its_token_is_not_shown(secure, monkeypatch):
    environ = pipelines(secure, monkeypatch)
    for change in ({"SYSTEM_ACCESSTOKEN": "wrong"}, {"AZURESUBSCRIPTION_SERVICE_CONNECTION_ID": "of another job"}):
        text = refused(secure, {**environ, **change})
        assert (
            "(ARM_USE_OIDC): HTTP 401: The job may not use this service connection.\nNext: Check ARM_TENANT_ID" in text
        )
        assert "that this job may use the service connection" in text
        assert environ["SYSTEM_ACCESSTOKEN"] not in text
    monkeypatch.setenv("SYSTEM_OIDCREQUESTURI", "https://127.0.0.1:9/oidctoken")
    text = refused(secure, environ, TokenError)
    assert "127.0.0.1:9: " in text
    assert environ["SYSTEM_ACCESSTOKEN"] not in text
    assert not secure.requests()


def test_an_assertion_that_is_used_again_is_seen(secure):
    """The proof above is one: the simulator does refuse what it would have to."""
    job = secure.by_oidc("job")
    environ = {**job, "ARM_OIDC_TOKEN": assertion(secure, job)}
    read(secure, environ)
    assert "AADSTS50013: The assertion has been used before" in refused(secure, environ)


def test_an_assertion_that_came_too_late_is_named_by_entra_s_code_and_not_shown(secure):
    job = secure.by_oidc("job", assertions={"lifetime": 1})
    stale = assertion(secure, job)
    environ = {**job, "ARM_OIDC_TOKEN": stale}
    secure.principal("job", assertions={"lifetime": 1})
    texts = []

    def look():
        try:
            read(secure, environ)
        except CredentialError as error:
            texts.append(str(error))

    simulators.repeat_until(look, lambda: texts)
    assert "OIDC as client job (ARM_USE_OIDC): AADSTS700024: Client assertion is not within its valid time" in texts[0]
    assert (
        "ARM_OIDC_TOKEN is one assertion and ends within minutes: for longer runs set ARM_OIDC_REQUEST_URL" in texts[0]
    )
    assert "request id" in texts[0]
    assert not [part for part in stale.split(".") if part in texts[0]]


def test_a_secret_a_tenant_and_a_client_that_are_wrong_are_named(secure):
    environ = secure.by_secret("app", tenant="contoso")
    secret = environ["ARM_CLIENT_SECRET"]
    for change, words in (
        ({"ARM_CLIENT_SECRET": "wrong"}, "client app (ARM_CLIENT_SECRET): AADSTS7000215: Invalid client secret"),
        (
            {"ARM_CLIENT_ID": "else"},
            "client else (ARM_CLIENT_SECRET): AADSTS700016: Application with identifier 'else'",
        ),
        ({"ARM_TENANT_ID": "fabrikam"}, "Unable to get authority configuration"),
    ):
        text = refused(secure, {**environ, **change})
        assert words in text
        assert "Check ARM_TENANT_ID, ARM_CLIENT_ID and ARM_CLIENT_SECRET" in text
        assert secret not in text
    job = secure.by_oidc("job", tenant="contoso")
    assert "AADSTS90002: Tenant 'fabrikam' not found" in refused(secure, {**job, "ARM_TENANT_ID": "fabrikam"})
    assert "the assertion endpoint 127.0.0.1 refused with HTTP 401" in refused(
        secure, {**job, "ARM_OIDC_REQUEST_TOKEN": "wrong"}
    )


def test_what_an_account_refuses_has_the_advice_that_gets_in(secure):
    """The key of an account that takes Entra only: as the error says, without the key and with an identity."""
    state = secure.get("state")
    key = {"AZURE_BATCH_ACCOUNT": secure.account, "AZURE_BATCH_ACCESS_KEY": secure.key}
    secure.put("state", {**state, "account": {**state["account"], "allowedAuthenticationModes": ["AAD"]}})
    identity = secure.by_secret("app")
    text = refused(secure, {**key, **identity})
    assert "unset AZURE_BATCH_ACCOUNT and AZURE_BATCH_ACCESS_KEY, and sign in with Entra" in text
    assert "clock" not in text
    assert read(secure, identity).ref.pool_id == "render"

    state = secure.get("state")
    secure.put("state", {**state, "account": {**state["account"], "allowedAuthenticationModes": ["SharedKey"]}})
    assert "set AZURE_BATCH_ACCOUNT and AZURE_BATCH_ACCESS_KEY" in refused(secure, identity)
    assert read(secure, key).ref.pool_id == "render"


def test_a_token_endpoint_that_is_not_there_passes_and_is_named(secure):
    environ = {**secure.by_secret("app"), "AZURE_AUTHORITY_HOST": "https://127.0.0.1:9/entra"}
    text = refused(secure, environ, TokenError)
    assert "could not get a token from the client secret of client app (ARM_CLIENT_SECRET): " in text
    assert "127.0.0.1:9: " in text
    assert "Check that the endpoint that gives tokens can be reached from here" in text
    assert not secure.requests()


def test_a_refusal_after_it_worked_gets_another_try_and_one_before_does_not(secure):
    # Tokens of less than five minutes are renewed at every request, so that no test waits for an expiry.
    environ = secure.by_secret("app", lifetime=200)
    client, ref = BatchClient(secure.endpoint, environ), PoolRef(secure.endpoint, "render")
    client.get_pool(ref)
    secure.principal("app", secret="rotated")
    with pytest.raises(TokenError, match="AADSTS7000215") as caught:
        client.get_pool(ref)
    assert caught.value.tries == 2
    assert "Check ARM_TENANT_ID" in str(caught.value)
    secure.principal("app", secret=environ["ARM_CLIENT_SECRET"])
    client.get_pool(ref)
    assert [entry["status"] for entry in secure.tokens("clientSecret", None)] == [200, 401, 200]


def test_a_managed_identity_is_renewed_too(secure, monkeypatch):
    for name, value in secure.signed_in_as("managed", read_only=True).items():
        monkeypatch.setenv(name, value)
    secure.principal("managed", lifetime=1)
    client, ref = BatchClient(secure.endpoint, {}), PoolRef(secure.endpoint, "render")
    simulators.repeat_until(lambda: client.get_pool(ref), lambda: len(secure.tokens("managedIdentity")) >= 3)
    assert {entry["status"] for entry in secure.tokens("managedIdentity", None)} == {200}


def test_a_principal_that_is_removed_is_refused_at_once_though_its_token_lives(secure):
    client, ref = BatchClient(secure.endpoint, secure.by_secret("app")), PoolRef(secure.endpoint, "render")
    client.get_pool(ref)
    secure.put("state", {**secure.get("state"), "principals": []})
    with pytest.raises(CredentialError, match="it was accepted before, so it has been rotated or withdrawn since"):
        client.get_pool(ref)


@pytest.mark.parametrize(
    ("endpoint", "scope"),
    [
        ("https://acct.westeurope.batch.azure.com", SCOPE),
        ("https://acct.chinanorth.batch.chinacloudapi.cn", CHINA),
        ("https://acct.usgovvirginia.batch.usgovcloudapi.net", "https://batch.core.usgovcloudapi.net//.default"),
    ],
)
def test_each_cloud_is_asked_for_its_own_audience(secure, endpoint, scope):
    from batch_os_provider.batch import credentials  # noqa: PLC0415 - only here below the client

    for environ in (secure.by_secret("app"), secure.by_oidc("job")):
        found = credentials.find(endpoint, environ).credential
        found.credential.get_token_info(found.scope)
        assert secure.tokens()[-1]["scope"] == scope


# --- azure-identity alone ---


def test_a_token_for_something_else_than_batch_is_refused(secure):
    environ = secure.by_secret("app")
    where = {"authority": environ["AZURE_AUTHORITY_HOST"], "retry_total": 0}
    with (
        ClientSecretCredential(
            "contoso", "app", environ["ARM_CLIENT_SECRET"], disable_instance_discovery=True, **where
        ) as credential,
        pytest.raises(ClientAuthenticationError, match="AADSTS500011"),
    ):
        credential.get_token("https://graph.microsoft.com/.default")
    with (
        ClientAssertionCredential("contoso", "app", lambda: "eyJ.made.up", **where) as credential,
        pytest.raises(HttpResponseError, match="AADSTS700213"),
    ):
        credential.get_token(SCOPE)


# --- by hand ---


def post(client, form, tenant="contoso"):
    """A token request without any library: status and body."""
    url = f"{client.simulator.control}/identity/{quote(tenant)}/oauth2/v2.0/token"
    data = form if isinstance(form, bytes) else urlencode(form).encode()
    return call(urllib.request.Request(url, data=data))  # noqa: S310 - loopback


def call(request):
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - loopback
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


@pytest.fixture
def apps(client):
    client.put(paas(), principals=[APP, CI])
    return client


def test_the_answer_is_the_documented_one(apps):
    status, body = post(apps, FORM)
    assert status == 200
    assert body.pop("expires_in") == body.pop("ext_expires_in") == 24 * 3600
    assert body == {"token_type": "Bearer", "access_token": APP["token"]}


@pytest.mark.parametrize(
    ("changes", "tenant", "status", "error", "code"),
    [
        ({"client_secret": "wrong"}, "contoso", 401, "invalid_client", 7000215),
        ({"client_secret": ""}, "contoso", 401, "invalid_client", 7000215),
        ({"client_id": "nobody"}, "contoso", 400, "unauthorized_client", 700016),
        ({}, "fabrikam", 400, "unauthorized_client", 700016),
        ({"grant_type": "password"}, "contoso", 400, "unsupported_grant_type", 70003),
        ({"scope": SCOPE.removesuffix("/.default")}, "contoso", 400, "invalid_scope", 1002012),
        ({"scope": "https://vault.azure.net/.default"}, "contoso", 400, "invalid_resource", 500011),
        ({"client_assertion": "x"}, "contoso", 400, "invalid_request", 90014),
        (
            {"client_assertion": "x", "client_assertion_type": JWT_BEARER},
            "contoso",
            401,
            "invalid_client",
            700213,
        ),
    ],
)
def test_what_gets_no_token(apps, changes, tenant, status, error, code):
    seen, body = post(apps, {**FORM, **changes}, tenant)
    assert (seen, body["error"], body["error_codes"]) == (status, error, [code])
    assert re.fullmatch(
        rf"AADSTS{code}: [^\n]+\. Trace ID: \S{{36}} Correlation ID: \S{{36}} Timestamp: \S+", body["error_description"]
    )
    assert APP["secret"] not in str(body)
    assert APP["token"] not in str(body)


@pytest.mark.parametrize("form", [b"", b"\xff" * 100, b"a=1&" * 200, b"client_id=" + b"x" * 200_000])
def test_a_form_that_is_none_is_refused(apps, form):
    assert post(apps, form)[0] == 400


def test_a_tenant_that_nobody_is_in_is_not_found(apps):
    apps.put(paas(), principals=[APP])
    where = f"{apps.simulator.control}/identity/fabrikam/v2.0/.well-known/openid-configuration"
    assert post(apps, FORM, "fabrikam")[1]["error_codes"] == [90002]
    assert call(urllib.request.Request(where))[1]["error_codes"] == [90002]  # noqa: S310 - loopback


def test_a_token_with_a_lifetime_is_a_new_one_each_time_and_ends_with_its_principal(apps):
    apps.put(paas(), principals=[{**APP, "lifetime": 60}])
    first, second = (post(apps, FORM)[1] for _ in range(2))
    assert first["access_token"] != second["access_token"]
    assert first["expires_in"] == 60
    for token in (first, second):
        assert apps("GET", "/pools/p", headers={"Authorization": f"Bearer {token['access_token']}"}).status == 200
    apps.put(paas(), principals=[{**APP, "lifetime": 60, "expires": "2018-01-01T00:00:00Z"}])
    assert post(apps, FORM)[1]["expires_in"] == 0
    apps.put(paas(), principals=[CI])
    assert apps("GET", "/pools/p", headers={"Authorization": f"Bearer {first['access_token']}"}).status == 403


def test_a_token_that_has_ended_is_refused(apps):
    apps.put(paas(), principals=[{**APP, "lifetime": 1}])
    token = post(apps, FORM)[1]["access_token"]
    issued = apps.simulator.world.issued.tokens[token]
    issued.end -= (LEEWAY + 2) * TICKS
    seen = apps("GET", "/pools/p", headers={"Authorization": f"Bearer {token}"})
    assert (seen.status, seen.code) == (403, "AuthenticationFailed")


def test_the_record_and_the_audit_hold_no_secret_and_a_reset_forgets(apps):
    post(apps, FORM)
    post(apps, {**FORM, "client_id": "a-secret", "client_secret": "x"})
    ask = f"{apps.simulator.control}/identity/assertion"
    call(urllib.request.Request(ask, headers={"Authorization": "Bearer b-secret"}))  # noqa: S310 - loopback
    assert call(urllib.request.Request(ask))[0] == 401  # noqa: S310 - loopback
    record = apps.control("GET", "identity/record")
    assert [(each["way"], each["principal"], each["status"]) for each in record["entries"]] == [
        ("clientSecret", "app", 200),
        ("clientSecret", None, 400),
        ("assertion", "ci", 200),
        ("assertion", None, 401),
    ]
    shown = json.dumps([record, apps.control("GET", "audit")])
    for secret in (APP["secret"], CI["secret"], APP["token"], CI["token"], "eyJ"):
        assert secret not in shown
    apps.control("POST", "reset")
    assert apps.control("GET", "identity/record") == {"entries": []}


def test_applications_survive_a_state(world):
    load(world, {"principals": [APP, {**CI, "lifetime": 5}]})
    full = {**CI, "lifetime": 5, "assertions": {"lifetime": 300, "once": True}}
    assert dump(world, "http://x")["principals"] == [APP, full]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({**APP, "secret": ""}, "a secret cannot be empty"),
        ({**APP, "tenant": "a/b"}, "is not a tenant"),
        ({**APP, "lifetime": 0}, "lifetime is a number of seconds from 1 to 86400"),
        ({**CI, "assertions": {"lifetime": 90_000}}, "principals assertions: lifetime"),
        ({**CI, "assertions": {"twice": True}}, "twice"),
        ({"token": "x", "secret": "s"}, "secret needs a principal with a name"),
    ],
)
def test_applications_that_cannot_be(world, row, words):
    with pytest.raises(StateError, match=words):
        load(world, {"principals": [row]})
