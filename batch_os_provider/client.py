"""The only room that speaks to Batch, through the official client and nothing else.

Why it exists: three rules of this project would be lost if calls were made anywhere else.
First, a write is never repeated behind our back: azure-core would send a POST answered 409
with Retry-After three times, so its retries are off and the rollout decides. Second, an error
is classed by HTTP status and Batch code. Third, no call is unbounded: 5 s to connect, 20 s to
read.

API versions: upgradeos exists up to 2018-08-01.7.0, so a pool is read with that version. Where
the service refuses it, the pool is read once more with the newest version, only to tell what
kind of pool it is.
"""

from __future__ import annotations

import logging
import os
import re
import threading
import time
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from importlib import metadata
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from batch_os_provider import credentials, requestlog
from batch_os_provider.errors import (
    ALREADY_THERE,
    ApiRetiredError,
    ConflictError,
    CredentialError,
    PermanentError,
    PoolGoneError,
    ServiceAnswer,
    ServiceError,
    TransientError,
)
from batch_os_provider.pool import Kind, Node, Pool, PoolRef

if TYPE_CHECKING:
    from azure.batch import BatchClient as AzureBatchClient

__all__ = ["LAST_WITH_UPGRADE_OS", "NEWEST", "BatchClient", "shared_client"]

LAST_WITH_UPGRADE_OS = "2018-08-01.7.0"
"""The last API version that has upgradeos (swagger; it is gone from 2018-12-01.8.0)."""
NEWEST = "2025-06-01"
"""The newest API version, the one azure-batch 15.1 speaks by itself."""
CONNECT_TIMEOUT, READ_TIMEOUT = 5, 20
"""Seconds; a call that takes longer has failed."""
_MAX_PAGES = 1000

_TRANSIENT = frozenset({408, 429, 500, 502, 503, 504})
_VERSION_REFUSED = "UnsupportedRequestVersion"
# What a service may answer to an operation it no longer has (upgradeos.md of the API status: not documented).
_OPERATION_UNKNOWN = frozenset({"InvalidUri", "ResourceNotFound", "UnsupportedHttpVerb", _VERSION_REFUSED})
_UNTRUSTED = "CERTIFICATE_VERIFY_FAILED"
_CONNECTION = re.compile(r"^HTTPS?Connection(Pool)?\(.*?\): ")
_NODE_FIELDS = "id,state,lastBootTime,errors,startTaskInfo"
_clients: dict[str, BatchClient] = {}
_clients_lock = threading.Lock()


def shared_client(endpoint: str) -> BatchClient:
    """One client, credential and connection pool per account and process.

    Raises:
        CredentialError: no credential fits the endpoint.

    """
    with _clients_lock:
        if endpoint not in _clients:
            _clients[endpoint] = BatchClient(endpoint, os.environ)
        return _clients[endpoint]


class BatchClient:
    """One account's data plane.

    Args:
        endpoint: the account's endpoint, normalised.
        environ: where credentials are looked for.

    Raises:
        CredentialError: no credential fits the endpoint.

    """

    def __init__(self, endpoint: str, environ: Mapping[str, str]) -> None:
        self.endpoint = endpoint
        self._found = credentials.find(endpoint, environ)
        self._azure = self._connect()

    def get_pool(self, ref: PoolRef) -> Pool:
        """Read a pool, as the last API version with upgradeos shows it.

        A VM pool may come from the newest version instead, where the old one is no longer
        answered; it looks the same.

        Raises:
            PoolGoneError: 404 PoolNotFound.
            ApiRetiredError: Batch refuses the version, and the pool is not a VM pool.
            CredentialError, TransientError, PermanentError: see there.

        """
        path = f"/pools/{quote(ref.pool_id, safe='')}"
        try:
            return self._pool(ref, path, LAST_WITH_UPGRADE_OS)
        except PermanentError as error:
            if not _is_version_refused(error):
                raise
            try:
                pool = self._pool(ref, path, NEWEST)
            except PoolGoneError:
                # The newest version may not show a pool of the retired kind at all: that is no proof that it is gone.
                raise _retired(ref, error.reply) from error
            if pool.kind is Kind.VM:
                return pool
            raise _retired(ref, error.reply) from error

    def list_nodes(self, ref: PoolRef) -> tuple[Node, ...]:
        """All nodes of a pool, every page.

        Raises:
            PoolGoneError, CredentialError, TransientError, PermanentError: as ``get_pool``.

        """
        query = urlencode({"api-version": LAST_WITH_UPGRADE_OS, "$select": _NODE_FIELDS}, safe="$,")
        path = f"/pools/{quote(ref.pool_id, safe='')}/nodes?{query}"
        return tuple(Node.from_json(body) for body in self._pages(path, ref))

    def upgrade_os(self, ref: PoolRef, target: str, etag: str) -> datetime | None:
        """POST upgradeos once; returns the service's time of the change (``Last-Modified``), if it gave one.

        Args:
            ref: the pool.
            target: ``targetOSVersion``, checked before.
            etag: the pool's ETag as just read; the write happens only if it still holds. Empty
                where the service gave none: then the write is unconditional.

        Raises:
            ConflictError: 409, 412, or 400 PoolVersionEqualsUpgradeVersion: read, then decide again.
            ApiRetiredError: Batch no longer has the operation.
            TransientError: it may have happened or not: read, then decide again.
            PoolGoneError, CredentialError, PermanentError: see there.

        """
        path = f"/pools/{quote(ref.pool_id, safe='')}/upgradeos?api-version={LAST_WITH_UPGRADE_OS}"
        headers = {"Content-Type": "application/json; odata=minimalmetadata; charset=utf-8"}
        if etag:
            headers["If-Match"] = etag
        try:
            response = self._send("POST", path, ref, headers=headers, body={"targetOSVersion": target})
        except PermanentError as error:
            if error.code in _OPERATION_UNKNOWN or _is_version_refused(error):
                raise _retired(ref, error.reply) from error
            raise
        return _http_date(response.headers.get("Last-Modified"))

    def _connect(self) -> AzureBatchClient:
        from azure.batch import BatchClient as AzureClient  # noqa: PLC0415 - imported when a call needs it
        from azure.core.pipeline.policies import RetryPolicy  # noqa: PLC0415 - as above

        # urllib3 and azure warn on stderr by default, which Pulumi shows as the stack's own lines.
        for name in ("azure", "urllib3"):
            logging.getLogger(name).addHandler(logging.NullHandler())
        settings: dict[str, Any] = {
            "retry_policy": RetryPolicy.no_retries(),
            "connection_timeout": CONNECT_TIMEOUT,
            "read_timeout": READ_TIMEOUT,
            # A redirect would carry the signed request, or the token, to another host.
            "permit_redirects": False,
            "user_agent": f"batch-os-provider/{metadata.version('batch-os-provider')}",
        }
        found = self._found.credential
        if isinstance(found, credentials.Identity):
            settings["credential_scopes"] = [found.scope]
        return AzureClient(self.endpoint, found.credential, **settings)

    def _pool(self, ref: PoolRef, path: str, api_version: str) -> Pool:
        response = self._send("GET", f"{path}?api-version={api_version}", ref)
        return Pool.from_json(ref, _json_object(response, ref, "reading the pool"), etag=_header(response, "ETag"))

    def _pages(self, path: str, ref: PoolRef) -> Iterator[Mapping[str, Any]]:
        link: str | None = path
        for _ in range(_MAX_PAGES):
            if link is None:
                return
            body = _json_object(self._send("GET", link, ref), ref, "listing nodes")
            items = body.get("value")
            yield from (item for item in items if isinstance(item, Mapping)) if isinstance(items, list) else ()
            following = body.get("odata.nextLink")
            link = following if isinstance(following, str) and following else None
            if link is not None and not link.startswith(self.endpoint + "/"):
                raise PermanentError(
                    ServiceAnswer(message=f"the next page is said to be on another host: {link!r}"),
                    pool=ref.url,
                    doing="listing nodes",
                )
        raise PermanentError(
            ServiceAnswer(message=f"more than {_MAX_PAGES} pages"), pool=ref.url, doing="listing nodes"
        )

    def _send(
        self,
        method: str,
        path: str,
        ref: PoolRef,
        *,
        headers: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> Any:
        from azure.core.exceptions import AzureError  # noqa: PLC0415 - imported when a call needs it
        from azure.core.rest import HttpRequest  # noqa: PLC0415 - as above

        doing = "starting the upgrade (POST upgradeos)" if method == "POST" else "reading it"
        # The service echoes our id only when asked; with it a line of our log finds its line in theirs.
        asked = {"Accept": "application/json", "return-client-request-id": "true", **(headers or {})}
        request = HttpRequest(method, path, headers=asked, json=body)
        started = time.monotonic()
        try:
            response = self._azure.send_request(request)
        except AzureError as error:
            failure = self._classed(error, ref, doing)
            requestlog.record(method, self.endpoint, path, time.monotonic() - started, failure.answer, sent=headers)
            raise failure from error
        seconds = time.monotonic() - started
        answer = ServiceAnswer(status=response.status_code, request_id=_header(response, "request-id"))
        requestlog.record(method, self.endpoint, path, seconds, answer, sent=headers, received=response.headers)
        return response

    def _classed(self, error: Exception, ref: PoolRef, doing: str) -> ServiceError | CredentialError | PoolGoneError:
        """Our error for the client's: by status and Batch code, and by class only where no answer came."""
        answer = _answer(error)
        status, code = answer.status, answer.code
        if status in (401, 403) or (not status and _is_token_failure(error)):
            return self._denied(answer, ref, doing)
        if status == 404 and code == "PoolNotFound":  # noqa: PLR2004 - HTTP status
            return PoolGoneError(
                "Batch says that it does not exist (404 PoolNotFound)",
                pool=ref.url,
                next_step="Check account_endpoint and pool_id; create the pool first, "
                "or remove the resource from the program",
                answer=answer,
            )
        if status in (409, 412) or (status == 400 and code == ALREADY_THERE):  # noqa: PLR2004 - HTTP statuses
            return ConflictError(answer, pool=ref.url, doing=doing)
        if not status and _UNTRUSTED in answer.message:
            return PermanentError(
                answer,
                pool=ref.url,
                doing=doing,
                next_step="Where a proxy or a simulator signs with an authority of its own, "
                "name the file of that authority in REQUESTS_CA_BUNDLE; otherwise do not trust this endpoint",
            )
        if not status or status in _TRANSIENT:
            return TransientError(
                answer,
                pool=ref.url,
                doing=doing,
                next_step="Check that account_endpoint is right and reachable from here, then run the command again",
            )
        return PermanentError(answer, pool=ref.url, doing=doing, next_step=_mend(answer))

    def _denied(self, answer: ServiceAnswer, ref: PoolRef, doing: str) -> CredentialError:
        used = self._found.name
        if answer.status:
            seen = f"{doing} failed: Batch refused {used}: {answer}"
        else:
            seen = f"{doing} failed: no token could be had from {used}: {answer.message}"
        if self._found.passed_over:
            seen += f"; {self._found.passed_over}"
        rights = "needs Microsoft.Batch/batchAccounts/pools/read" + (
            " and .../pools/upgradeOs/action" if "POST" in doing else ""
        )
        next_step = (
            "Check that the key belongs to this account and is current "
            "(`az batch account keys list`), and that this machine's clock is right"
            if isinstance(self._found.credential, credentials.SharedKey)
            else f"Check who is signed in (`az account show`, or the ARM_* variables); the identity {rights}"
        )
        return CredentialError(seen.rstrip("."), pool=ref.url, next_step=next_step, answer=answer)


def _answer(error: Exception) -> ServiceAnswer:
    """What a failed call of the azure client brought back."""
    response = getattr(error, "response", None)
    if response is None or getattr(response, "status_code", None) is None:
        return ServiceAnswer(message=_first_line(error))
    model = getattr(error, "model", None)
    message = getattr(getattr(model, "message", None), "value", None) or getattr(response, "reason", None) or ""
    details = [f"{item.key}={str(item.value).rstrip('.')}" for item in getattr(model, "error_values", None) or ()]
    first = str(message).partition("\n")[0].strip()
    return ServiceAnswer(
        status=int(response.status_code),
        code=str(getattr(model, "code", None) or ""),
        message=f"{first.rstrip('.')} ({', '.join(details)})" if details else first,
        request_id=_header(response, "request-id"),
        retry_after=_retry_after(response),
    )


def _mend(answer: ServiceAnswer) -> str:
    """What to do about an answer that would come again."""
    if answer.code.startswith("OSVersion"):
        return "Declare another target_os_version; Batch would refuse this one again"
    return "The same request would be refused again: change what the service names, then run `pulumi up` again"


def _is_token_failure(error: Exception) -> bool:
    """A credential failed before any request: there is no status, so here alone the class decides."""
    from azure.core.exceptions import ClientAuthenticationError, ServiceRequestError  # noqa: PLC0415 - as above

    return isinstance(error, ClientAuthenticationError) or (
        isinstance(error, ServiceRequestError) and "non-TLS" in str(error)
    )


def _is_version_refused(error: ServiceError) -> bool:
    """The two codes seen for an API version that is not served (status table, and a recording on ARM)."""
    if error.code == _VERSION_REFUSED:
        return True
    return error.code == "InvalidQueryParameterValue" and "api-version" in error.reply.message.lower()


def _retired(ref: PoolRef, answer: ServiceAnswer) -> ApiRetiredError:
    return ApiRetiredError(
        f"Batch no longer answers API version {LAST_WITH_UPGRADE_OS}, the last one with upgradeos, "
        "so the OS version of Cloud Services pools can no longer be changed",
        pool=ref.url,
        next_step="Move the work to a VM pool (virtualMachineConfiguration) "
        "and remove this PoolOsVersion from the program; nothing was written",
        answer=answer,
    )


def _json_object(response: Any, ref: PoolRef, doing: str) -> Mapping[str, Any]:
    try:
        body = response.json()
    except ValueError as error:  # the client's decoding errors are ValueErrors
        raise TransientError(
            ServiceAnswer(status=response.status_code, message="the answer is not JSON"), pool=ref.url, doing=doing
        ) from error
    if not isinstance(body, Mapping):
        raise TransientError(
            ServiceAnswer(status=response.status_code, message="the answer is not a JSON object"),
            pool=ref.url,
            doing=doing,
        )
    return body


def _header(response: Any, name: str) -> str:
    return str(response.headers.get(name) or "").strip('"')


def _first_line(error: Exception) -> str:
    """The client's own words, without the connection object that they begin with."""
    return _CONNECTION.sub("", str(error).strip().partition("\n")[0].strip())


def _http_date(text: str | None) -> datetime | None:
    if not text:
        return None
    try:
        parsed = parsedate_to_datetime(text)
    except ValueError:
        return None
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=timezone.utc)


def _retry_after(response: Any) -> float | None:
    """Retry-After in seconds, from its number or its date (measured by the service's own Date)."""
    text = str(response.headers.get("Retry-After") or "").strip()
    if not text:
        return None
    if text.isdigit():
        return float(text)
    until, now = _http_date(text), _http_date(response.headers.get("Date")) or datetime.now(timezone.utc)
    return max(0.0, (until - now).total_seconds()) if until is not None else None
