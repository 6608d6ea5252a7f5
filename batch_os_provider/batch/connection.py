"""One account's connection: sends calls through the official client, and classifies every answer.

Three rules hold only because all calls are made here. First, a write is never repeated without a decision of the
rollout: azure-core would send a POST answered 409 with Retry-After three times, so its retries are off. Second, errors
are classified by HTTP status and Batch code. Third, each call is bounded: 5 s to connect, 20 s to read, and the bounds
of ``transport`` for a whole answer.

Calls use the client's ``send_request``. Its methods for resize and removenodes start a thread that keeps polling after
^C and treats failures as success (azure-batch 15.1).
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from batch_os_provider.batch import credentials
from batch_os_provider.batch.advice import NOT_BATCH, OTHERS, TRUST, UNTRUSTED, denied, failed
from batch_os_provider.batch.lost_connection import readable
from batch_os_provider.batch.response_headers import header, http_date, retry_after
from batch_os_provider.batch.tokens import CONNECT_TIMEOUT, READ_TIMEOUT, NoTokenError, TokenCredentialAdapter
from batch_os_provider.errors import (
    ALREADY_THERE,
    NODE_GONE,
    NOT_EMPTY,
    TRANSIENT,
    ConflictError,
    CredentialError,
    PermanentError,
    PoolGoneError,
    ServiceAnswer,
    ServiceError,
    TokenError,
    TransientError,
)
from batch_os_provider.runtime import library_warnings, request_log

if TYPE_CHECKING:
    from azure.batch import BatchClient as AzureBatchClient
    from azure.core.pipeline.transport import HttpTransport

__all__ = ["CONNECT_TIMEOUT", "READ_TIMEOUT", "Connection", "json_object"]

_MAX_PAGES = 1000

# The pool has changed since it was read, even if the status is not 409 or 412.
_OURS_TO_DECIDE = frozenset({ALREADY_THERE, NODE_GONE, NOT_EMPTY})
# Invalid text, JSON or lengths; an unknown charset; brackets nested too deep.
_UNREADABLE = (ValueError, LookupError, RecursionError)
_JSON = "application/json; odata=minimalmetadata; charset=utf-8"


class Connection:
    """The signed pipeline to one account.

    Args:
        endpoint: the account's endpoint, normalised.
        environ: the environment that holds the credentials.
        transport: carries the signed requests; None is bounded HTTP. A test may give a service in the same process.

    Raises:
        CredentialError: no credential fits the endpoint.
    """

    def __init__(
        self, endpoint: str, environ: Mapping[str, str], transport: HttpTransport[Any, Any] | None = None
    ) -> None:
        self.endpoint = endpoint
        self._found = credentials.find(endpoint, environ)
        self._was_accepted = False
        self._azure = self._connect(transport)

    def _connect(self, transport: HttpTransport[Any, Any] | None) -> AzureBatchClient:
        from azure.batch import BatchClient as AzureClient  # noqa: PLC0415 - imported when a call needs it
        from azure.core.pipeline.policies import RetryPolicy  # noqa: PLC0415 - as above

        from batch_os_provider.batch.transport import bounded, user_agent  # noqa: PLC0415 - as above

        library_warnings.hear()
        settings: dict[str, Any] = {
            "transport": transport or bounded(CONNECT_TIMEOUT, READ_TIMEOUT),
            "retry_policy": RetryPolicy.no_retries(),
            # A redirect would carry the signed request, or the token, to another host.
            "permit_redirects": False,
            "user_agent": user_agent(),
        }
        found = self._found.credential
        if isinstance(found, credentials.Identity):
            settings["credential_scopes"] = [found.scope]
            # The client calls get_token_info if it exists; its type asks for get_token.
            credential: Any = TokenCredentialAdapter(found.credential)
            return AzureClient(self.endpoint, credential, **settings)
        return AzureClient(self.endpoint, found.credential, **settings)

    @property
    def signed_in_as(self) -> str:
        """The name of the credential in messages; never the credential."""
        return self._found.name

    def pools(self, path: str) -> Iterator[tuple[Mapping[str, Any], datetime | None]]:
        """The pools of a list, every page, each with the time of its answer. Raises as ``_pages``."""
        return self._pages(path, self.endpoint, "listing pools")

    def pages(self, path: str, about: str, doing: str = "listing nodes") -> Iterator[Mapping[str, Any]]:
        """The items of another list, every page. Raises as ``_pages``."""
        return (item for item, _ in self._pages(path, about, doing))

    def images(self, path: str) -> Iterator[Mapping[str, Any]]:
        """The supported images of a list, every page. Raises as ``_pages``."""
        return (item for item, _ in self._pages(path, self.endpoint, "listing supported images"))

    def _pages(self, path: str, about: str, doing: str) -> Iterator[tuple[Mapping[str, Any], datetime | None]]:
        """The items of a list, every page, each with the time of its answer by the service's clock, or None.

        Raises:
            PermanentError: the list does not end, or continues on another host. Else as ``send``.
        """
        link: str | None = path
        for _ in range(_MAX_PAGES):
            if link is None:
                return
            response = self.send("GET", link, about, doing=doing)
            body, at = json_object(response, about, doing), http_date(response.headers.get("Date"))
            items = body.get("value")
            yield from ((item, at) for item in items if isinstance(item, Mapping)) if isinstance(items, list) else ()
            following = body.get("odata.nextLink")
            link = following if isinstance(following, str) and following else None
            if link is not None and not link.startswith(self.endpoint + "/"):
                raise PermanentError(
                    ServiceAnswer(message=f"the next page is on another host: {link!r}"),
                    pool=about,
                    doing=doing,
                    next_step=NOT_BATCH,
                )
        answer = ServiceAnswer(message=f"more than {_MAX_PAGES} pages")
        raise PermanentError(answer, pool=about, doing=doing, next_step=NOT_BATCH)

    def send(  # noqa: PLR0913 - the parts of a call
        self,
        method: str,
        path: str,
        about: str,
        *,
        doing: str = "reading it",
        right: str = "",
        etag: str = "",
        body: Mapping[str, Any] | None = None,
    ) -> Any:
        """Make one call and return the client's response.

        Args:
            method: the HTTP method.
            path: path and query below the endpoint, or a whole URL on it.
            about: the URL of the pool, or the account's endpoint, for messages.
            doing: the purpose of the call, for messages.
            right: the Azure action that a write needs, for messages.
            etag: the write happens only if this still matches; empty for reads, and if Batch sent none.
            body: JSON to send.

        Raises:
            PoolGoneError, CredentialError, ConflictError, TransientError, PermanentError: see there.
        """
        from azure.core.exceptions import AzureError  # noqa: PLC0415 - imported when a call needs it
        from azure.core.rest import HttpRequest  # noqa: PLC0415 - as above

        # The service returns our id only on request; the id connects our log with that of the service.
        asked = {"Accept": "application/json", "return-client-request-id": "true"}
        asked |= {"Content-Type": _JSON} if body is not None else {}
        asked |= {"If-Match": etag} if etag else {}
        request = HttpRequest(method, path, headers=asked, json=body)
        started = time.monotonic()
        try:
            response = self._azure.send_request(request)
        except (AzureError, NoTokenError) as error:
            failure = (
                self._no_token(error, about, doing)
                if isinstance(error, NoTokenError)
                else self._classed(error, about, doing, right)
            )
            request_log.record(method, self.endpoint, path, time.monotonic() - started, failure.answer, sent=asked)
            raise failure from error
        except _UNREADABLE as error:
            answer = ServiceAnswer(message=f"the answer cannot be read ({type(error).__name__})")
            request_log.record(method, self.endpoint, path, time.monotonic() - started, answer, sent=asked)
            raise TransientError(answer, pool=about, doing=doing, next_step=NOT_BATCH) from error
        self._was_accepted = True
        seconds = time.monotonic() - started
        answer = ServiceAnswer(status=response.status_code, request_id=header(response, "request-id"))
        request_log.record(method, self.endpoint, path, seconds, answer, sent=asked, received=response.headers)
        return response

    def _classed(
        self, error: Exception, about: str, doing: str, right: str
    ) -> ServiceError | CredentialError | PoolGoneError:
        """The error for an exception of the client, by status and Batch code."""
        answer = _answer(error)
        status, code = answer.status, answer.code
        if status in (401, 403):
            return self._denied(answer, about, doing, right)
        if status == 404 and code == "PoolNotFound":  # noqa: PLR2004 - HTTP status
            return PoolGoneError(
                "Batch says that it does not exist (404 PoolNotFound)",
                pool=about,
                next_step="Check account_endpoint and pool_id; create the pool first, "
                "or remove the resource from the program",
                answer=answer,
            )
        if status in (409, 412) or code in _OURS_TO_DECIDE:
            next_step = OTHERS if code in _OURS_TO_DECIDE else failed(answer)
            return ConflictError(answer, pool=about, doing=doing, next_step=next_step)
        lasts = UNTRUSTED in answer.message if not status else status not in TRANSIENT
        failure = PermanentError if lasts else TransientError
        return failure(answer, pool=about, doing=doing, next_step=failed(answer))

    def _denied(self, answer: ServiceAnswer, about: str, doing: str, right: str) -> CredentialError:
        seen = f"{doing} failed: Batch refused {self._found.name}: {str(answer).rstrip('.')}"
        if self._was_accepted and answer.code == "AuthenticationFailed":
            seen += "; it was accepted before, so it has been rotated or withdrawn since"
        if self._found.passed_over:
            seen += f"; {self._found.passed_over}"
        next_step = denied(answer, by_key=isinstance(self._found.credential, credentials.SharedKey), right=right)
        return CredentialError(seen.rstrip("."), pool=about, next_step=next_step, answer=answer)

    def _no_token(self, error: NoTokenError, about: str, doing: str) -> CredentialError | TokenError:
        """The error for a missing token: TokenError if it may pass or a token was accepted before."""
        answer = ServiceAnswer(
            message=f"could not get a token from {self._found.name}: {error.why}"
            + (f"; {self._found.passed_over}" if self._found.passed_over else ""),
            request_id=error.trace,
            retry_after=error.retry_after,
        )
        next_step = TRUST if UNTRUSTED in error.why else self._found.check
        if error.passing:
            next_step = "Check that the endpoint that gives tokens can be reached from here, then run the command again"
        if error.passing or self._was_accepted:
            return TokenError(answer, pool=about, doing=doing, next_step=next_step, refused=not error.passing)
        return CredentialError(f"{doing} failed: {answer}", pool=about, next_step=next_step, answer=answer)


def _answer(error: Exception) -> ServiceAnswer:
    """The answer in an exception of the azure client."""
    response = getattr(error, "response", None)
    if response is None or getattr(response, "status_code", None) is None:
        return ServiceAnswer(message=_first_line(error))
    model = getattr(error, "model", None)
    message = getattr(getattr(model, "message", None), "value", None) or getattr(response, "reason", None) or ""
    rows = getattr(model, "error_values", None)
    rows = rows if isinstance(rows, list) else []
    # azure-core returns values of an undocumented shape unchanged.
    details = [f"{row.key}={str(row.value).rstrip('.')}" for row in rows if hasattr(row, "key")]
    first = str(message).partition("\n")[0].strip()
    return ServiceAnswer(
        status=int(response.status_code),
        code=str(getattr(model, "code", None) or ""),
        message=f"{first.rstrip('.')} ({', '.join(details)})" if details else first,
        request_id=header(response, "request-id"),
        retry_after=retry_after(response),
    )


def json_object(response: Any, about: str, doing: str) -> Mapping[str, Any]:
    """The JSON object of an answer. Raises TransientError if the body is anything else."""
    try:
        body = response.json()
    except _UNREADABLE as error:
        answer = ServiceAnswer(status=response.status_code, message="the answer is not JSON")
        raise TransientError(answer, pool=about, doing=doing, next_step=NOT_BATCH) from error
    if not isinstance(body, Mapping):
        answer = ServiceAnswer(status=response.status_code, message="the answer is not a JSON object")
        raise TransientError(answer, pool=about, doing=doing, next_step=NOT_BATCH)
    return body


def _first_line(error: Exception) -> str:
    """The first line of the client's text. The error names the account, so the host is left out."""
    return readable(error, host=False).strip().partition("\n")[0].strip()
