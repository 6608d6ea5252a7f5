"""Pins what becomes of a credential's failures: one line, no secret, and whether it passes."""

from __future__ import annotations

import json
import threading
import traceback
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from azure.core.credentials import AccessTokenInfo
from azure.core.exceptions import ClientAuthenticationError, ServiceRequestError, ServiceResponseError

from batch_os_provider.batch.tokens import NoTokenError, TokenCredentialAdapter, assertion_of_file, assertion_of_url

JWT = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJqb2IifQ.c2lnbmF0dXJl"
BEARER = "b3arer"
TRACE = "0f3c2b1a-5d4e-4f60-8a9b-7c6d5e4f3a2b"
ENTRA = (
    "Microsoft Entra ID error '(invalid_client) AADSTS700024: Client assertion is not within its valid time range. "
    f"Trace ID: {TRACE} Correlation ID: 1111 Timestamp: 2026-01-01'\nAssertion: {JWT}"
)
CHAIN = """DefaultAzureCredential failed to retrieve a token from the included credentials.
Attempted credentials:
\tEnvironmentCredential: EnvironmentCredential authentication unavailable. Nothing is configured.
Visit https://aka.ms/somewhere to troubleshoot this issue.
\tManagedIdentityCredential: HTTPSConnection(host='169.254.169.254', port=443): Read timed out.
To mitigate this issue, please refer to the troubleshooting guidelines."""


class Failing:
    """A credential that fails."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def get_token_info(self, *_scopes: str, **_options: Any) -> AccessTokenInfo:
        raise self.error


def failure(error: Exception) -> NoTokenError:
    with pytest.raises(NoTokenError) as caught:
        TokenCredentialAdapter(Failing(error)).get_token_info("scope")  # type: ignore[arg-type]
    return caught.value


def answered(status: int, text: str = "no", **headers: str) -> ClientAuthenticationError:
    response: Any = SimpleNamespace(status_code=status, reason="", headers=headers)
    return ClientAuthenticationError(text, response=response)


def test_a_token_is_passed_on() -> None:
    class Working:
        def get_token_info(self, *scopes: str, options: Any = None) -> AccessTokenInfo:
            return AccessTokenInfo(f"{scopes}{options}", 1)

    assert (
        TokenCredentialAdapter(Working()).get_token_info("s", options={"enable_cae": True}).token
        == "('s',){'enable_cae': True}"
    )  # type: ignore[arg-type]
    assert TokenCredentialAdapter(Working()).get_token_info("s").token == "('s',){}"  # type: ignore[arg-type]


def test_entra_is_quoted_by_code_and_sentence_and_its_trace_is_kept() -> None:
    seen = failure(ClientAuthenticationError(ENTRA))
    assert seen.why == "AADSTS700024: Client assertion is not within its valid time range"
    assert seen.trace == TRACE
    assert not seen.passing


@pytest.mark.parametrize("separator", ["\r\n", "\n", " "])
def test_entra_s_ids_are_cut_off_however_they_are_separated(separator: str) -> None:
    text = f"AADSTS7000215: Invalid client secret provided.{separator}Trace ID: {TRACE}{separator}Timestamp: now"
    assert failure(ClientAuthenticationError(text)).why == "AADSTS7000215: Invalid client secret provided"


EMPTY = {
    "EnvironmentCredential": "EnvironmentCredential authentication unavailable. Environment variables are not set.",
    "WorkloadIdentityCredential": "WorkloadIdentityCredential authentication unavailable.",
    "ManagedIdentityCredential": "ManagedIdentityCredential unavailable, no response from the IMDS endpoint.",
    "SharedTokenCacheCredential": "SharedTokenCacheCredential authentication unavailable. No accounts were found.",
    "VisualStudioCodeCredential": "VisualStudioCodeCredential requires the 'azure-identity-broker' package.",
    "AzureCliCredential": "Azure CLI not found on path",
    "AzurePowerShellCredential": "PowerShell is not installed",
    "AzureDeveloperCliCredential": "Azure Developer CLI could not be found.",
    "BrokerCredential": f"InteractiveBrowserBrokerCredential unavailable, {JWT}.",
}
"""What the sources of DefaultAzureCredential (azure-identity 1.27) say on a machine without an identity."""


def chain(**said: str) -> ClientAuthenticationError:
    """The error of DefaultAzureCredential where some sources say something else."""
    tried = "".join(f"\t{name}: {text}\n" for name, text in {**EMPTY, **said}.items())
    return ClientAuthenticationError(f"DefaultAzureCredential failed.\nAttempted credentials:\n{tried}To mitigate.")


def test_a_chain_that_one_source_ends_says_what_that_one_said() -> None:
    assert failure(ClientAuthenticationError(CHAIN)).why == (
        "ManagedIdentityCredential: 169.254.169.254:443: Read timed out"
    )


def test_a_chain_without_an_identity_names_the_cause_and_its_sources_only_in_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "debug.log"
    monkeypatch.setenv("BATCH_OS_LOG", str(log))
    seen = failure(chain())
    assert seen.why == "this machine has no identity: no AZURE_* variables, no managed identity, no login"
    notes = [json.loads(line)["note"] for line in log.read_text(encoding="utf-8").splitlines()]
    assert [note.partition(" ")[0] for note in notes] == list(EMPTY)
    assert notes[5] == "AzureCliCredential gave no token: Azure CLI not found on path"
    assert JWT not in str(notes)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("ManagedIdentityCredential", "Token request error: (invalid_scope) 401, the header names no principal"),
        (
            "ManagedIdentityCredential",
            "ManagedIdentityCredential unavailable. The requested identity has not been assigned to this resource",
        ),
        ("AzureCliCredential", "Failed to invoke the Azure CLI"),
    ],
)
def test_the_cause_of_a_chain_is_the_source_that_has_an_identity(source: str, said: str) -> None:
    assert failure(chain(**{source: said})).why == f"{source}: {said}"


def test_the_only_source_that_was_asked_is_quoted() -> None:
    """As with AZURE_TOKEN_CREDENTIALS=AzureCliCredential."""
    text = "DefaultAzureCredential failed.\nAttempted credentials:\n\tAzureCliCredential: Azure CLI not found on path\n"
    assert failure(ClientAuthenticationError(text)).why == "AzureCliCredential: Azure CLI not found on path"


def test_a_machine_that_is_not_signed_in_has_no_identity() -> None:
    seen = failure(chain(AzureCliCredential="Please run 'az login' to set up an account"))
    assert seen.why.startswith("this machine has no identity")


def test_entra_s_word_in_a_chain_is_the_cause() -> None:
    text = (
        f"{CHAIN.partition('To mitigate')[0]}\tAzureCliCredential: ERROR: AADSTS700082: The refresh token has expired."
    )
    assert failure(ClientAuthenticationError(text)).why == (
        "AzureCliCredential: AADSTS700082: The refresh token has expired"
    )


def test_an_assertion_that_is_quoted_is_not_shown_in_any_way() -> None:
    for text in (f"bad assertion {JWT} given", f"AADSTS50027: JWT {JWT} is malformed.", f"{CHAIN} {JWT}"):
        error = ClientAuthenticationError(text)
        error.__cause__ = ValueError(JWT)
        seen = failure(error)
        shown = f"{seen}{seen!r}{seen.why}{''.join(traceback.format_exception(seen))}"
        assert not [part for part in JWT.split(".") if part in shown]


def wrapped(error: Exception) -> Exception:
    """As azure-identity wraps what it did not raise itself."""
    outer = ClientAuthenticationError(f"Authentication failed: {error}")
    outer.__cause__ = error
    return outer


def test_a_refusal_of_azure_pipelines_has_its_status_and_a_chain_has_none() -> None:
    assert failure(answered(401, "(None) The job may not use it.")).why == "HTTP 401: The job may not use it"
    outer = ClientAuthenticationError(CHAIN)
    outer.__cause__ = answered(400)
    assert failure(outer).why.startswith("ManagedIdentityCredential: 169")


@pytest.mark.parametrize(
    ("error", "passing"),
    [
        (ServiceRequestError("Connection refused"), True),
        (ServiceResponseError("Read timed out"), True),
        (wrapped(ServiceRequestError("Connection refused")), True),
        (ServiceRequestError("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed"), False),
        (answered(503), True),
        (answered(429), True),
        (answered(400), False),
        (answered(401), False),
        (wrapped(answered(503)), True),
        (ClientAuthenticationError("anything"), False),
        (ValueError("Unable to get authority configuration"), False),
        (KeyError(), False),
    ],
)
def test_what_passes_and_what_does_not(error: Exception, passing: bool) -> None:
    assert failure(error).passing is passing
    assert failure(error).why


def test_retry_after_is_kept() -> None:
    assert failure(answered(429, **{"Retry-After": "17"})).retry_after == 17
    assert failure(answered(429, **{"Retry-After": "soon"})).retry_after is None


@pytest.mark.parametrize("odd", ["\u00b2", "9" * 400])
def test_a_retry_after_that_is_no_number_of_seconds_is_none(odd: str) -> None:
    assert failure(answered(429, **{"Retry-After": odd})).retry_after is None


def test_nothing_of_the_credential_is_in_its_repr() -> None:
    assert repr(TokenCredentialAdapter(Failing(ValueError(JWT)))) == "TokenCredentialAdapter(Failing)"  # type: ignore[arg-type]


def test_a_file_that_cannot_be_read_is_named_with_its_variable(tmp_path: Path) -> None:
    for content, words in ((None, "No such file"), (b"\xe9", "not text"), (b"\xff\xfe", "empty"), (b" \n", "empty")):
        path = tmp_path / "token"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(NoTokenError, match=words) as caught:
            assertion_of_file(path, "ARM_OIDC_TOKEN_FILE_PATH")
        assert str(caught.value).startswith("ARM_OIDC_TOKEN_FILE_PATH names ")
        assert str(path) in str(caught.value)
        assert not caught.value.passing


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_token_has_no_mark_of_the_tool_that_wrote_its_file(tmp_path: Path, encoding: str) -> None:
    """PowerShell 5 writes UTF-16 or a byte order mark, and CRLF."""
    path = tmp_path / "token"
    path.write_bytes(f"{JWT}\r\n".encode(encoding))
    assert assertion_of_file(path, "ARM_OIDC_TOKEN_FILE_PATH") == JWT


class _Ci(BaseHTTPRequestHandler):
    """A CI system that answers each path in its own way."""

    asked: list[tuple[str, str]]

    def do_GET(self) -> None:
        type(self).asked.append((self.path, str(self.headers["Authorization"])))
        kind = self.path.partition("?")[0].strip("/")
        status = int(kind) if kind.isdigit() else 200
        bodies = {
            "good": json.dumps({"value": JWT}),
            "empty": "{}",
            "list": "[]",
            "text": "<html>",
            "number": '{"value": 1}',
        }
        body = bodies.get(kind, f"you sent {self.headers['Authorization']}").encode()
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "/good")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def ci() -> Iterator[str]:
    """Its URL."""
    _Ci.asked = []
    with HTTPServer(("127.0.0.1", 0), _Ci) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(("path", "query"), [("/good", "?"), ("/good?v=1", "&")])
def test_an_assertion_is_asked_for_as_github_documents_it(ci: str, path: str, query: str) -> None:
    assert assertion_of_url(ci + path, BEARER) == JWT
    assert _Ci.asked == [(f"{path}{query}audience=api%3A%2F%2FAzureADTokenExchange", f"Bearer {BEARER}")]


@pytest.mark.parametrize(
    ("path", "words", "passing"),
    [
        ("401", "refused with HTTP 401", False),
        ("503", "refused with HTTP 503", True),
        ("429", "refused with HTTP 429", True),
        ("empty", "without an assertion", False),
        ("list", "without an assertion", False),
        ("number", "without an assertion", False),
        ("text", "not JSON", True),
        ("302", "refused with HTTP 302", False),
    ],
)
def test_an_endpoint_that_gives_none_is_named_and_the_bearer_goes_nowhere_else(
    ci: str, path: str, words: str, passing: bool
) -> None:
    with pytest.raises(NoTokenError, match=words) as caught:
        assertion_of_url(f"{ci}/{path}", BEARER)
    assert caught.value.passing is passing
    assert "the assertion endpoint 127.0.0.1" in str(caught.value)
    assert BEARER not in "".join(traceback.format_exception(caught.value))
    assert len(_Ci.asked) == 1


def test_an_endpoint_that_is_not_there_passes() -> None:
    with pytest.raises(NoTokenError, match="did not answer") as caught:
        assertion_of_url("http://127.0.0.1:9/token", BEARER)
    assert caught.value.passing
