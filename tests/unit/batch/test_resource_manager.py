"""Answers of Azure Resource Manager that the simulator does not give: pages, broken ones, and errors."""

from __future__ import annotations

import io
import json
import time
from typing import Any

import pytest
import requests
from azure.core.credentials import AccessTokenInfo
from azure.core.exceptions import ServiceRequestError
from azure.core.pipeline.transport import RequestsTransport
from requests.adapters import BaseAdapter, HTTPAdapter
from urllib3.response import HTTPResponse

from batch_os_provider.batch.credentials import Identity
from batch_os_provider.batch.resource_manager import ResourceManager
from batch_os_provider.errors import BatchOsError, CredentialError, PermanentError, TokenError, TransientError
from batch_os_provider.runtime.backoff import retry

URL = "https://management.azure.com"
SCOPE = f"{URL}/.default"


class Answers(BaseAdapter):
    """Gives one answer after the other, and remembers the requests."""

    def __init__(self, *answers: tuple[int, object] | Exception, **headers: str) -> None:
        super().__init__()
        self.answers, self.headers = list(answers), headers
        self.asked: list[requests.PreparedRequest] = []

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        self.asked.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        body = answer[1] if isinstance(answer[1], bytes) else json.dumps(answer[1]).encode()
        headers = {"Content-Type": "application/json", **self.headers}
        raw = HTTPResponse(io.BytesIO(body), headers, answer[0], preload_content=False)
        return HTTPAdapter().build_response(request, raw)

    def close(self) -> None:
        pass


class Signed:
    def __init__(self, failure: Exception | None = None) -> None:
        self.failure = failure

    def get_token_info(self, *scopes: str, **_: object) -> AccessTokenInfo:
        assert scopes == (SCOPE,)
        if self.failure:
            raise self.failure
        return AccessTokenInfo("a-token", int(time.time()) + 3600)


def manager(answers: Answers, failure: Exception | None = None) -> ResourceManager:
    session = requests.Session()
    session.mount("https://", answers)
    transport = RequestsTransport(session=session, session_owner=False)
    identity = Identity(Signed(failure), SCOPE)  # type: ignore[arg-type]
    return ResourceManager(URL, "the client secret of client app", identity, "Check it", transport)


def page(*names: str, link: object = None) -> tuple[int, object]:
    return 200, {"value": [{"name": name} for name in names], **({} if link is None else {"nextLink": link})}


def test_a_list_and_its_pages() -> None:
    assert manager(Answers((200, [{"name": "1.0.0"}]))).items("/x") == [{"name": "1.0.0"}]
    answers = Answers(page("1", link=f"{URL}/x?$skiptoken=a"), page(link=f"{URL}/x?$skiptoken=b"), page("2", link=""))
    assert manager(answers).items("/x?api-version=1") == [{"name": "1"}, {"name": "2"}]
    assert [each.url for each in answers.asked] == [
        f"{URL}/x?api-version=1",
        f"{URL}/x?$skiptoken=a",
        f"{URL}/x?$skiptoken=b",
    ]
    sent = answers.asked[0].headers
    assert (sent["Authorization"], sent["Accept"]) == ("Bearer a-token", "application/json")
    assert sent["User-Agent"].startswith("batch-os-provider/")


DENIED = {"error": {"code": "AuthorizationFailed", "message": "The client 'x' may not.\nMore."}}


@pytest.mark.parametrize(
    ("answers", "kind", "text"),
    [
        (
            [(403, DENIED)],
            CredentialError,
            "listing image versions failed: HTTP 403 AuthorizationFailed: The client 'x' may not.",
        ),
        ([(401, {})], CredentialError, "listing image versions failed: HTTP 401."),
        (
            [(404, {"error": {"code": "NotFound", "message": "Artifact: VMImage was not found."}})],
            PermanentError,
            "VMI",
        ),
        ([(400, {"error": "no object"})], PermanentError, "HTTP 400"),
        ([(302, b"")], PermanentError, "HTTP 302"),
        ([(200, b"<html>")], PermanentError, "not JSON"),
        ([(200, {"value": {}})], PermanentError, "the answer is not a list"),
        ([(200, "text")], PermanentError, "the answer is not a list"),
        ([(200, None)], PermanentError, "HTTP 200"),
        ([page(link="https://elsewhere.example/x")], PermanentError, "the next page is on another host"),
        ([page(link=f"{URL}.elsewhere.example/x")], PermanentError, "the next page is on another host"),
        ([page(link=f"{URL}/x")] * 100, PermanentError, "more than 100 pages"),
        ([(503, {"error": {"code": "ServerBusy"}})], TransientError, "HTTP 503 ServerBusy"),
        ([(429, b"")], TransientError, "HTTP 429"),
        ([requests.ConnectionError("refused")], TransientError, "refused"),
    ],
)
def test_a_failure_is_one_of_our_errors(answers: list[Any], kind: type[BatchOsError], text: str) -> None:
    given = Answers(*answers)
    with pytest.raises(BatchOsError) as caught:
        manager(given).items("/x")
    assert type(caught.value) is kind
    assert text in str(caught.value)
    assert not given.answers, "each answer was read"
    assert all(str(each.url).startswith(f"{URL}/") for each in given.asked), "no token for another host"


def test_a_busy_service_says_when_to_come_back() -> None:
    pauses: list[float] = []
    answers = Answers((429, {}), (200, []), **{"Retry-After": "7"})
    assert retry(lambda: manager(answers).items("/x"), tries=2, sleep=pauses.append) == []
    assert pauses == [7]


def test_no_token() -> None:
    with pytest.raises(TokenError, match="could not get a token from the client secret of client app: no way"):
        manager(Answers(), ServiceRequestError("no way")).items("/x")
    with pytest.raises(CredentialError, match="AADSTS700016: who"):
        manager(Answers(), ValueError("AADSTS700016: who")).items("/x")
