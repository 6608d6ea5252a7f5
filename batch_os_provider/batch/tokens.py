"""An Entra token, or one line that says why the credential gave none.

azure-identity reports failures in many classes and many lines, and the text of a token endpoint may quote secrets that
it received. Here each failure becomes one sentence without a secret, and one of two kinds. Either the way to a token is
broken (a lost connection, 429, 5xx), which passes, or the identity was refused, which does not.

The assertions of CI systems live only minutes, so a new one is read for every token.
"""

from __future__ import annotations

import re
from contextlib import closing
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

from batch_os_provider.batch.advice import UNTRUSTED
from batch_os_provider.batch.lost_connection import below, readable
from batch_os_provider.batch.response_headers import retry_after
from batch_os_provider.runtime import request_log
from batch_os_provider.runtime.text_file import NotTextError, read_text

if TYPE_CHECKING:
    from pathlib import Path

    from azure.core.credentials import AccessTokenInfo, TokenRequestOptions
    from azure.core.credentials import SupportsTokenInfo as Credential

__all__ = [
    "CONNECT_TIMEOUT",
    "READ_TIMEOUT",
    "NoTokenError",
    "TokenCredentialAdapter",
    "assertion_of_file",
    "assertion_of_url",
]

CONNECT_TIMEOUT, READ_TIMEOUT = 5, 20
"""Seconds after which a call has failed."""
_PASSING = frozenset({408, 429, 500, 502, 503, 504})
_AUDIENCE = "api://AzureADTokenExchange"
# Entra's code and sentence; ids and a time follow.
_ENTRA = re.compile(r"AADSTS\d+: (?:(?! Trace ID:)[^\r\n])*")
_TRACE = re.compile(r"Trace ID: ([0-9A-Fa-f-]{36})")
_ATTEMPT = re.compile(r"^\t(\w+): (.*)$", re.MULTILINE)
# The texts of DefaultAzureCredential's sources: without an identity, and with an identity that is not assigned.
_EMPTY = re.compile(
    r"unavailable|not found on path|not installed|could not be found|requires the '.*' package|"
    r"az login|azd auth login|Connect-AzAccount",
    re.IGNORECASE,
)
_NOT_ASSIGNED = re.compile(r"identity has not been assigned", re.IGNORECASE)
_JWT = re.compile(r"eyJ[\w-]+(?:\.[\w-]*)*")


class NoTokenError(Exception):
    """The credential gave no token.

    Args:
        why: one line, without secrets.
        passing: the way to a token is broken, so a retry may succeed.
        trace: Entra's id of the request, for a support case.
        retry_after: seconds that the endpoint asked to wait.
    """

    def __init__(self, why: str, *, passing: bool = False, trace: str = "", retry_after: float | None = None) -> None:
        self.why = why
        self.passing = passing
        self.trace = trace
        self.retry_after = retry_after
        super().__init__(why)


class TokenCredentialAdapter:
    """A credential of azure-identity for the azure client; its failures become ``NoTokenError``."""

    def __init__(self, credential: Credential) -> None:
        self._credential = credential

    def get_token_info(self, *scopes: str, options: TokenRequestOptions | None = None) -> AccessTokenInfo:
        """A token for the scopes; the credential caches it until it must be renewed.

        Raises:
            NoTokenError: the credential gave none.
        """
        try:
            return self._credential.get_token_info(*scopes, options=options or {})
        except NoTokenError:
            raise
        except Exception as error:  # noqa: BLE001 - any failure leaves us without a token
            # Not chained: a traceback would show the secrets that the error quotes.
            raise _failure(error) from None

    def __repr__(self) -> str:
        return f"TokenCredentialAdapter({type(self._credential).__name__})"


def assertion_of_file(path: Path, variable: str) -> str:
    """The assertion in a file that another program renews.

    A byte order mark does not belong to it: people write such files with PowerShell.

    Raises:
        NoTokenError: the file cannot be read, or is empty.
    """
    try:
        text = read_text(path).strip()
    except NotTextError as error:
        raise NoTokenError(f"{variable} names a file without a token: {error}") from None
    if not text:
        raise NoTokenError(f"{variable} names {path}, which is empty")
    return text


def assertion_of_url(url: str, token: str) -> str:
    """Ask the CI system for an assertion, as GitHub documents it for `ACTIONS_ID_TOKEN_REQUEST_URL`.

    The request uses azure-core's transport. So proxies and REQUESTS_CA_BUNDLE apply as they do for Batch, and no
    redirect sends the bearer token to another host.

    Raises:
        NoTokenError: the CI system gave none.
    """
    from azure.core.exceptions import AzureError  # noqa: PLC0415 - imported when a call needs it
    from azure.core.pipeline.transport import RequestsTransport  # noqa: PLC0415 - as above
    from azure.core.rest import HttpRequest  # noqa: PLC0415 - as above

    who = f"the assertion endpoint {urlsplit(url).hostname}"
    separator = "&" if urlsplit(url).query else "?"
    request = HttpRequest(
        "GET",
        url + separator + urlencode({"audience": _AUDIENCE}),
        headers={"Authorization": f"Bearer {token}", "Accept": "application/json"},
    )
    try:
        with closing(RequestsTransport(connection_timeout=CONNECT_TIMEOUT, read_timeout=READ_TIMEOUT)) as transport:
            response: Any = transport.send(request)
            status, answer = response.status_code, response.json() if response.status_code == _OK else None
    except AzureError as error:
        found = _failure(error)
        raise NoTokenError(f"{who} did not answer: {found.why}", passing=found.passing) from None
    except ValueError:
        raise NoTokenError(f"{who} answered with something that is not JSON", passing=True) from None
    if status != _OK:
        raise NoTokenError(f"{who} refused with HTTP {status}", passing=status in _PASSING)
    assertion = answer.get("value") if isinstance(answer, dict) else None
    if not isinstance(assertion, str) or not assertion:
        raise NoTokenError(f"{who} answered without an assertion")
    return assertion


_OK = 200


def _failure(error: Exception) -> NoTokenError:
    """The failure of a credential, by the answer if one came, else by the causes of the error."""
    from azure.core.exceptions import (  # noqa: PLC0415 - as above
        ClientAuthenticationError,
        ServiceRequestError,
        ServiceResponseError,
    )

    text = readable(error)  # with the host, which is not the account's
    answered = next((r for each in below(error) if (r := getattr(each, "response", None)) is not None), None)
    status = getattr(answered, "status_code", None)
    lost = any(isinstance(each, ServiceRequestError | ServiceResponseError) for each in below(error))
    trace = _TRACE.search(text)
    why = _one_line(text) or type(error).__name__
    if isinstance(error, ClientAuthenticationError) and error.response is not None and not _ENTRA.search(text):
        # Not Entra and not a chain, but Azure Pipelines, whose text alone does not show a refusal.
        why = f"HTTP {status}: {why.removeprefix('(None) ')}"
    return NoTokenError(
        why,
        passing=UNTRUSTED not in text and (status in _PASSING or (status is None and lost)),
        trace=trace[1] if trace else "",
        retry_after=retry_after(answered) if answered is not None else None,
    )


def _one_line(text: str) -> str:
    """Entra's sentence, or the cause in a chain, or else the first line. The debug log gets every source of a chain."""
    entra = _ENTRA.search(text)
    attempts = _ATTEMPT.findall(text)
    line = entra[0] if entra else text.strip().partition("\n")[0]
    if attempts:
        for name, said in attempts:
            request_log.note(_clean(f"{name} gave no token: {said}"))
        line = _cause(attempts, entra[0] if entra else "")
    return _clean(line)


def _cause(attempts: list[tuple[str, str]], entra: str) -> str:
    """Why a chain gave no token: the text of the first source with an identity, or else of the last source."""
    telling = [(name, said) for name, said in attempts if _ENTRA.search(said)]
    telling += [(name, said) for name, said in attempts if not _EMPTY.search(said) or _NOT_ASSIGNED.search(said)]
    if not telling and not entra and len(attempts) > 1:
        return "this machine has no identity: no AZURE_* variables, no managed identity, no login"
    name, said = telling[0] if telling else attempts[-1]
    return f"{name}: {entra or said}"


def _clean(line: str) -> str:
    return _JWT.sub("***", line).strip().rstrip(".")
