"""The simulated Resource Manager: its lists, its own token audience, and its refusals, read by the real client."""

from __future__ import annotations

import json
import urllib.error
import urllib.request

import pytest

from batch_os_provider.batch.client import BatchClient
from batch_os_provider.batch.image_list import list_of, read
from batch_os_provider.batch.resource_manager import ResourceManager
from batch_os_provider.errors import BatchOsError, CredentialError
from tests.support import simulator as simulators

SUBSCRIPTION, FOREIGN = "6f1d7a3e-0000-4000-8000-3b5f7c9d1e2a", "aaaaaaaa-0000-4000-8000-3b5f7c9d1e2a"
UBUNTU = {"publisher": "canonical", "offer": "ubuntu-24_04-lts", "sku": "server"}
GALLERY = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/r/providers/Microsoft.Compute/galleries/studio/images/farm"
LATER = "2999-01-01T00:00:00Z"
IMAGES = [
    {**UBUNTU, "versions": [{"version": "24.04.202609040"}, {"version": "24.04.202608010", "since": LATER}]},
    {
        "virtualMachineImageId": GALLERY,
        "versions": [
            *({"version": f"1.0.{each}", "since": f"2026-01-0{each + 1}T00:00:00Z"} for each in range(7)),
            {"version": "2.0.0", "excludeFromLatest": True},
        ],
    },
    {"sharedGalleryImageId": "/sharedGalleries/S-1/images/farm", "version": "3.0.0"},
    {"communityGalleryImageId": "/CommunityGalleries/c-1/Images/farm", "version": "4.0.0"},
]
MARKETPLACE_PATH = (
    f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Compute/locations/local/publishers/canonical"
    "/artifacttypes/vmimage/offers/ubuntu-24_04-lts/skus/server/versions"
)


@pytest.fixture(scope="module")
def tls():
    yield from simulators.running_command(("--tls", "--speed", "0"))


@pytest.fixture
def secure(tls, monkeypatch):
    """A pool, the images, no principals, and a machine that trusts the simulator's certificate authority."""
    tls.post("reset", {})
    tls.put("state", {**tls.get("state"), "pools": [simulators.vm_pool()], "images": IMAGES})
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tls.authority))
    return tls


def listed(sim, environ, reference, subscription=SUBSCRIPTION):
    found = list_of(reference, subscription, "local")
    return read(ResourceManager.of(sim.endpoint, environ).items(found.path), "local")


@pytest.mark.parametrize(
    ("reference", "found"),
    [
        (UBUNTU, {"24.04.202609040": ""}),
        ({name: value.upper() for name, value in UBUNTU.items()}, {"24.04.202609040": ""}),
        (
            {"virtualMachineImageId": f"{GALLERY.replace('/studio', '/STUDIO')}/versions/1.0.0"},
            {f"1.0.{each}": f"2026-01-0{each + 1}T00:00:00Z" for each in range(7)},
        ),
        ({"sharedGalleryImageId": "/sharedGalleries/s-1/images/farm"}, {"3.0.0": "2024-01-01T00:00:00Z"}),
        ({"communityGalleryImageId": "/communityGalleries/c-1/images/farm"}, {"4.0.0": "2024-01-01T00:00:00Z"}),
    ],
)
def test_the_versions_that_new_nodes_can_get(secure, reference, found):
    environ = secure.by_secret("reader", readOnly=True, subscriptions=[SUBSCRIPTION])
    assert listed(secure, environ, reference) == found
    assert secure.tokens()[-1]["scope"] == "https://management.azure.com/.default"


def test_latest_is_never_a_version_that_its_gallery_excludes(secure):
    pool = simulators.vm_pool("studio", nodes=0)
    pool["virtualMachineConfiguration"]["imageReference"] = {"virtualMachineImageId": GALLERY}
    secure.put("state", {**secure.get("state"), "pools": [pool]})
    secure.unknown(galleryExactVersion="present")
    assert secure.outside("POST", "/pools/studio/resize", {"targetDedicatedNodes": 1}, "2025-06-01") == 202
    secure.advance(3600)
    assert secure.versions("studio") == ["1.0.6"]


def test_a_managed_identity_and_a_principal_without_a_name_get_tokens_too(secure, monkeypatch):
    secure.signed_in_as("vm", read_only=True)
    secure.principal("vm", subscriptions=[SUBSCRIPTION])
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"{secure.control}/identity/token")
    monkeypatch.setenv("IDENTITY_HEADER", "vm")
    assert listed(secure, {}, UBUNTU)
    secure.put("state", {**secure.get("state"), "principals": [{"token": "bare", "subscriptions": [SUBSCRIPTION]}]})
    monkeypatch.setenv("IDENTITY_HEADER", "bare")
    assert listed(secure, {}, UBUNTU)
    assert {entry["resource"] for entry in secure.tokens("managedIdentity")} == {"https://management.azure.com"}


def test_each_service_refuses_the_token_of_the_other(secure, monkeypatch):
    environ = secure.by_secret("reader", subscriptions=[SUBSCRIPTION])
    manager, batch = ResourceManager.of(secure.endpoint, environ), BatchClient(secure.endpoint, environ)
    assert manager.items(f"{MARKETPLACE_PATH}?api-version=2024-07-01")
    assert batch.list_pools()
    from batch_os_provider.batch import credentials  # noqa: PLC0415 - only here below the clients

    theirs = credentials.find(secure.endpoint, environ).credential
    ours, _ = credentials.find_for_manager(secure.endpoint, environ)
    token = {each.scope: each.credential.get_token_info(each.scope).token for each in (theirs, ours)}
    assert asked(secure, MARKETPLACE_PATH, token[theirs.scope])[:2] == (401, "InvalidAuthenticationTokenAudience")
    status, code, body = asked(secure, "/pools", token[ours.scope], "2025-06-01")
    assert (status, code) == (403, "AuthenticationFailed")
    assert "wrong audience or resource 'https://management.azure.com'" in body


def asked(sim, path, token, version="2024-07-01"):
    """Status, code and body of a GET by hand."""
    query = f"?api-version={version}" if version else ""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    request = urllib.request.Request(f"{sim.endpoint}{path}{query}", headers=headers)  # noqa: S310 - loopback
    try:
        with urllib.request.urlopen(request, context=sim.trusted()) as answer:  # noqa: S310 - as above
            return answer.status, "", answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            text = error.read().decode()
            body = json.loads(text)
            return error.code, body.get("error", body)["code"], text


@pytest.mark.parametrize(
    ("path", "version", "signed", "refusal"),
    [
        (MARKETPLACE_PATH, "2024-07-01", False, (401, "AuthenticationFailed")),
        (MARKETPLACE_PATH, "", True, (400, "MissingApiVersionParameter")),
        (MARKETPLACE_PATH, "2015-06-15", True, (400, "NoRegisteredProviderFound")),
        (MARKETPLACE_PATH.replace("/local/", "/westeurope/"), "2024-07-01", True, (400, "NoRegisteredProviderFound")),
        (MARKETPLACE_PATH.replace("canonical", "another"), "2024-07-01", True, (404, "NotFound")),
        (f"{GALLERY}-2/versions", "2024-03-03", True, (404, "ParentResourceNotFound")),
        (MARKETPLACE_PATH.replace(SUBSCRIPTION, "gone"), "2024-07-01", True, (404, "SubscriptionNotFound")),
        (
            MARKETPLACE_PATH.replace(SUBSCRIPTION, FOREIGN),
            "2024-07-01",
            True,
            (401, "InvalidAuthenticationTokenTenant"),
        ),
        (f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Batch", "2024-07-01", True, (404, "InvalidResourceType")),
    ],
)
def test_refusals(secure, path, version, signed, refusal):
    environ = secure.by_secret("reader", tenant="contoso", subscriptions=[SUBSCRIPTION])
    secure.principal("stranger", tenant="fabrikam", subscriptions=[FOREIGN])
    from batch_os_provider.batch import credentials  # noqa: PLC0415 - as above

    identity, _ = credentials.find_for_manager(secure.endpoint, environ)
    token = identity.credential.get_token_info(identity.scope).token if signed else ""
    assert asked(secure, path, token, version)[:2] == refusal


def test_a_refusal_names_the_missing_right(secure):
    secure.principal("owner", subscriptions=[SUBSCRIPTION])
    environ = secure.by_secret("reader")
    with pytest.raises(CredentialError) as caught:
        listed(secure, environ, UBUNTU)
    text = str(caught.value)
    assert "HTTP 403 AuthorizationFailed" in text
    assert "Microsoft.Compute/locations/publishers/artifacttypes/offers/skus/versions/read" in text
    with pytest.raises(CredentialError, match=r"Microsoft\.Compute/galleries/images/versions/read"):
        listed(secure, environ, {"virtualMachineImageId": GALLERY})
    with pytest.raises(CredentialError, match=r"Microsoft\.Compute/locations/sharedGalleries/images/versions/read"):
        listed(secure, environ, {"sharedGalleryImageId": "/sharedGalleries/s-1/images/farm"})


def test_a_token_ends_and_a_principal_can_go(secure):
    environ = secure.by_secret("reader", lifetime=1, subscriptions=[SUBSCRIPTION])
    from batch_os_provider.batch import credentials  # noqa: PLC0415 - as above

    identity, _ = credentials.find_for_manager(secure.endpoint, environ)
    token = identity.credential.get_token_info(identity.scope).token
    codes = []
    simulators.repeat_until(
        lambda: codes.append(asked(secure, MARKETPLACE_PATH, token)[1]),
        lambda: codes[-1:] == ["ExpiredAuthenticationToken"],
    )
    secure.put("state", {**secure.get("state"), "principals": []})
    assert asked(secure, MARKETPLACE_PATH, token)[1] == "InvalidAuthenticationToken"


def test_plain_http_carries_no_token():
    with pytest.raises(BatchOsError, match="is plain http, and Entra tokens need https"):
        ResourceManager.of("http://127.0.0.1:8000", {})


@pytest.mark.parametrize("given", [[], ["a b"], [7], "x"])
def test_subscriptions_of_a_principal_are_a_list_of_ids(secure, given):
    with pytest.raises(AssertionError, match="subscriptions"):
        secure.put("state", {**secure.get("state"), "principals": [{"token": "x", "subscriptions": given}]})
