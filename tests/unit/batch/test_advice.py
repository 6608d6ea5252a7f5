"""What to do about a refusal: one status has many causes, and each cause has one advice."""

from __future__ import annotations

import pytest

from batch_os_provider.batch.advice import denied, failed
from batch_os_provider.errors import ServiceAnswer

WRITE = "Microsoft.Batch/batchAccounts/pools/write"
NOT_AUTHENTICATED = "Server failed to authenticate the request"
KEY = "Check that the key belongs to this account and is current"
ENTRA = "This account does not take shared keys: unset AZURE_BATCH_ACCOUNT and AZURE_BATCH_ACCESS_KEY"
NETWORK = "heck the account's networking (`az batch account show --query publicNetworkAccess`)"
ROLE = f"the identity needs Microsoft.Batch/batchAccounts/pools/read and {WRITE}"
TENANT = "Sign in to the tenant and the cloud of the account's subscription"


def detail(text: str) -> str:
    """A message as Batch's authentication errors end up in an answer."""
    return f"{NOT_AUTHENTICATED} (AuthenticationErrorDetail={text})"


@pytest.mark.parametrize(
    ("code", "message", "by_key", "expected"),
    [
        ("AuthenticationFailed", NOT_AUTHENTICATED, True, KEY),
        ("AuthenticationFailed", detail("The MAC signature is not the same"), True, KEY),
        (
            "AuthenticationFailed",
            detail("The specified type of authentication SharedKey is not allowed for this account"),
            True,
            ENTRA,
        ),
        (
            "AuthenticationFailed",
            detail(
                "The specified type of authentication SharedKey is not allowed when external resources of type Compute "
                "are linked"
            ),
            True,
            ENTRA,
        ),
        (
            "AuthenticationFailed",
            detail("The specified type of authentication AAD is not allowed for this account"),
            False,
            "This account does not take Entra identities",
        ),
        (
            "AuthenticationFailed",
            detail(
                "The access token has been obtained from wrong audience or resource 'https://batch.core.windows.net'"
            ),
            False,
            TENANT,
        ),
        ("AuthorizationFailure", "This request is not authorized to perform this operation", True, f"C{NETWORK}"),
        ("AuthorizationFailure", "This request is not authorized to perform this operation", False, ROLE),
        ("AuthorizationFailure", "This request is not authorized to perform this operation", False, f"c{NETWORK}"),
        ("Forbidden", "Public network access is disabled for this account", True, f"C{NETWORK}"),
        ("Forbidden", "Public network access is disabled for this account", False, f"C{NETWORK}"),
        ("InsufficientAccountPermissions", "The account does not have sufficient permissions", False, ROLE),
        ("InsufficientPermissions", "The user identity does not have the required privilege", False, ROLE),
        ("PermissionDenied", "No permission", False, ROLE),
        ("InsufficientAccountPermissions", "The account does not have sufficient permissions", True, "needs no role"),
        ("AccountIsDisabled", "The account is disabled", True, "when they are enabled"),
        ("", "Forbidden", True, "it may come from a proxy or a firewall"),
        ("", "Forbidden", False, "it may come from a proxy or a firewall"),
    ],
)
@pytest.mark.parametrize("status", [401, 403])
def test_a_denial_is_told_by_its_code_and_its_detail(
    status: int, code: str, message: str, by_key: bool, expected: str
) -> None:
    advice = denied(ServiceAnswer(status, code, message), by_key=by_key, right=WRITE)
    assert expected in advice
    about_key = "key belongs to this account" in advice
    assert about_key is (expected == KEY), "only AuthenticationFailed is about the key or the clock"


RESOLVERS = (
    "Failed to resolve 'acct.westeurope.batch.azure.com' ([Errno -2] Name or service not known)",
    "[Errno 8] nodename nor servname provided, or not known",
    "[Errno 11001] getaddrinfo failed",
    "Temporary failure in name resolution",
)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        *((ServiceAnswer(message=text), "private DNS zone of Batch") for text in RESOLVERS),
        (ServiceAnswer(message="Failed to establish a new connection: [Errno 111] Connection refused"), "reachable"),
        (ServiceAnswer(message="Read timed out"), "reachable from here"),
        (ServiceAnswer(message="[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed"), "REQUESTS_CA_BUNDLE"),
        (ServiceAnswer(message="[SSL: WRONG_VERSION_NUMBER] wrong version number"), "no proxy on the way breaks TLS"),
        (ServiceAnswer(message="Unable to connect to proxy; Tunnel connection failed: 407"), "HTTPS_PROXY"),
        (ServiceAnswer(407, "", "Proxy Authentication Required"), "HTTPS_PROXY"),
        (ServiceAnswer(429, "TooManyRequests", "Slow down"), "Batch is busy or limits the requests"),
        (ServiceAnswer(503, "ServerBusy", "Server is busy"), "Batch is busy or limits the requests"),
        (ServiceAnswer(503, "TooManyEnableAutoScaleRequests", "Wait"), "Batch is busy or limits the requests"),
        (ServiceAnswer(500, "InternalError", "Server encountered an error"), "fails for now"),
        (ServiceAnswer(408, "", "Request Timeout"), "fails for now"),
        (ServiceAnswer(502, "", "Bad Gateway"), "fails for now"),
        (ServiceAnswer(504, "", "Gateway Timeout"), "fails for now"),
        (ServiceAnswer(409, "PoolBeingResized", "The pool is being resized"), "is changing the pool"),
        (ServiceAnswer(412, "ConditionNotMet", "The condition is not met"), "is changing the pool"),
        (ServiceAnswer(409, "PoolQuotaReached", "The quota has been reached"), "Ask Azure for more quota"),
        (ServiceAnswer(302, "", "Found"), "is that of a Batch account"),
        (ServiceAnswer(404, "", "Not Found"), "is that of a Batch account"),
        (ServiceAnswer(404, "ResourceNotFound", "The resource does not exist"), "Check account_endpoint and pool_id"),
        (ServiceAnswer(400, "OSVersionExpired", "The version has expired"), "Declare another target_os_version"),
        (ServiceAnswer(400, "InvalidPropertyValue", "The value is invalid"), "would be refused again"),
    ],
)
def test_any_other_answer_has_the_advice_for_its_cause(answer: ServiceAnswer, expected: str) -> None:
    advice = failed(answer)
    assert expected in advice
    assert not advice.endswith(".")


@pytest.mark.parametrize("status", [300, 400, 404, 405, 409, 412, 429, 500, 501, 503, 0])
@pytest.mark.parametrize("code", ["", "NeverHeardOf"])
def test_a_code_that_is_not_known_has_an_advice_too(status: int, code: str) -> None:
    assert len(failed(ServiceAnswer(status, code, "Never heard of"))) > 20
