"""Reads of Azure Resource Manager: the versions of images, for programs that say which one is the newest.

Its answers are never needed: an identity of the data plane may lack this right. So each failure is one of our errors,
with the service's own words, and the caller goes on without the list.

The calls go through azure-core's pipeline, which azure-batch brings, as those to Batch do: with bounds, and without
redirects and hidden retries. azure-mgmt-compute (39.0) would add two packages and 9 MB for four GETs. Its pipeline
retries by itself, and registers a resource provider by itself, which is a write.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from batch_os_provider.batch.clouds import manager_of
from batch_os_provider.batch.credentials import Identity, find_for_manager
from batch_os_provider.batch.lost_connection import readable
from batch_os_provider.batch.response_headers import header, retry_after
from batch_os_provider.batch.tokens import CONNECT_TIMEOUT, READ_TIMEOUT, NoTokenError, TokenCredentialAdapter
from batch_os_provider.errors import (
    TRANSIENT,
    CredentialError,
    PermanentError,
    ServiceAnswer,
    ServiceError,
    TokenError,
    TransientError,
)
from batch_os_provider.runtime import request_log

if TYPE_CHECKING:
    from azure.core import PipelineClient
    from azure.core.pipeline.transport import HttpTransport

__all__ = ["ResourceManager"]

_MAX_PAGES = 100
_OK, _UNAUTHORIZED, _FORBIDDEN = 200, 401, 403


class ResourceManager:
    """Azure Resource Manager of one cloud.

    Args:
        url: its URL.
        name: the name of the identity in messages.
        identity: the identity, with the scope of its tokens.
        check: the next step if the identity gives no token.
        transport: carries the requests; None is bounded HTTP.
    """

    def __init__(
        self,
        url: str,
        name: str,
        identity: Identity,
        check: str = "",
        transport: HttpTransport[Any, Any] | None = None,
    ) -> None:
        self.url = url
        self._name, self._check = name, check
        self._client = self._connect(identity, transport)

    @classmethod
    def of(cls, endpoint: str, environ: Mapping[str, str]) -> ResourceManager:
        """That of the cloud of an account, with the identity in the environment.

        Raises:
            CredentialError: no identity can be made.
        """
        identity, found = find_for_manager(endpoint, environ)
        return cls(manager_of(endpoint), found.name, identity, found.check)

    def _connect(self, identity: Identity, transport: HttpTransport[Any, Any] | None) -> PipelineClient[Any, Any]:
        from azure.core import PipelineClient  # noqa: PLC0415 - imported when a call needs it
        from azure.core.pipeline.policies import (  # noqa: PLC0415 - as above
            BearerTokenCredentialPolicy,
            HeadersPolicy,
            ProxyPolicy,
            RequestIdPolicy,
            UserAgentPolicy,
        )

        from batch_os_provider.batch.transport import bounded, user_agent  # noqa: PLC0415 - as above

        # The policy calls get_token_info if it exists; its type asks for get_token.
        credential: Any = TokenCredentialAdapter(identity.credential)
        return PipelineClient(
            self.url,
            policies=[
                RequestIdPolicy(),
                HeadersPolicy({"Accept": "application/json"}),
                UserAgentPolicy(user_agent(), user_agent_overwrite=True),
                ProxyPolicy(),
                BearerTokenCredentialPolicy(credential, identity.scope),
            ],
            transport=transport or bounded(CONNECT_TIMEOUT, READ_TIMEOUT),
        )

    def items(self, path: str) -> list[object]:
        """The items of a list: a JSON array, or every page of ``value`` and ``nextLink``.

        Raises:
            CredentialError: the identity gives no token, or the token was refused (401, 403).
            TransientError, PermanentError: any other failure.
        """
        found: list[object] = []
        link = self.url + path
        for _ in range(_MAX_PAGES):
            body = self._get(link)
            if isinstance(body, list):
                return body
            rows = body.get("value") if isinstance(body, Mapping) else None
            if not isinstance(rows, list):
                raise PermanentError(ServiceAnswer(message="the answer is not a list"), doing=_DOING)
            found += rows
            following = body.get("nextLink")
            if not following:
                return found
            link = str(following)
            if not link.lower().startswith(self.url + "/"):
                # The token must not go to another host.
                raise PermanentError(ServiceAnswer(message=f"the next page is on another host: {link!r}"), doing=_DOING)
        raise PermanentError(ServiceAnswer(message=f"more than {_MAX_PAGES} pages"), doing=_DOING)

    def _get(self, url: str) -> Any:
        from azure.core.exceptions import AzureError  # noqa: PLC0415 - imported when a call needs it
        from azure.core.rest import HttpRequest  # noqa: PLC0415 - as above

        started = time.monotonic()
        try:
            response = self._client.send_request(HttpRequest("GET", url))
        except NoTokenError as error:
            raise self._no_token(error) from None
        except AzureError as error:
            lost = TransientError(ServiceAnswer(message=readable(error).partition("\n")[0]), doing=_DOING)
            request_log.record("GET", self.url, url, time.monotonic() - started, lost.answer)
            raise lost from error
        try:
            body = response.json()
        except (ValueError, LookupError, RecursionError):  # also for an empty body
            body = None
        answer = _answer(response, body)
        request_log.record("GET", self.url, url, time.monotonic() - started, answer)
        if answer.status == _OK and body is not None:
            return body
        raise self._failure(answer)

    def _no_token(self, error: NoTokenError) -> CredentialError | TokenError:
        answer = ServiceAnswer(message=f"could not get a token from {self._name}: {error.why}")
        if error.passing:
            return TokenError(answer, doing=_DOING)
        return CredentialError(f"{_DOING} failed: {answer}", next_step=self._check, answer=answer)

    @staticmethod
    def _failure(answer: ServiceAnswer) -> ServiceError | CredentialError:
        if answer.status in (_UNAUTHORIZED, _FORBIDDEN):
            return CredentialError(f"{_DOING} failed: {answer}", answer=answer)
        failure = TransientError if answer.status in TRANSIENT else PermanentError
        return failure(answer, doing=_DOING)


_DOING = "listing image versions"


def _answer(response: Any, body: object) -> ServiceAnswer:
    """Status, code and first line of an answer. Source of the shape: Azure Resource Manager's error contract."""
    error = body.get("error") if isinstance(body, Mapping) else None
    said = error if isinstance(error, Mapping) else {}
    message = str(said.get("message") or ("" if body is not None else "the answer is not JSON"))
    return ServiceAnswer(
        status=int(response.status_code),
        code=str(said.get("code") or ""),
        message=message.partition("\n")[0].strip() if response.status_code != _OK or body is None else "",
        request_id=header(response, "x-ms-request-id"),
        retry_after=retry_after(response),
    )
