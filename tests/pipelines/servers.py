"""Small stand-ins for what GitHub and Azure DevOps answer about comments, over real HTTP.

Why they exist: the script that posts a comment is tested by what it sends and by what it makes of answers. Shapes,
paging and refusals are those of the documented REST APIs (GitHub 2022-11-28, Azure DevOps 7.1).
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

TOKEN = "a-token-of-the-run"
FIRST = 7
"""The number of the pull request."""
SIGN_IN = "<html><title>Azure DevOps Services | Sign In</title></html>"


@dataclass
class Service:
    """One of the two, with what it was asked and what it holds."""

    url: str = ""
    requests: list[str] = field(default_factory=list)
    comments: list[dict[str, Any]] = field(default_factory=list)
    """GitHub's comments on pull request 7."""
    threads: list[dict[str, Any]] = field(default_factory=list)
    """Azure DevOps' threads of pull request 7."""
    pulls: list[dict[str, Any]] = field(default_factory=list)
    """Pull requests that a job opened."""
    refusal: tuple[int, str] | None = None
    """What every write is answered with."""
    moved_to: str = ""
    """Where every request is sent on to."""


def github(service: Service, method: str, path: str, query: dict[str, list[str]], body: Any) -> tuple[int, Any, str]:
    """Answer as GitHub does."""
    comments = "/repos/acme/pools/issues/7/comments"
    if method == "GET" and path == comments:
        page, size = int(query.get("page", ["1"])[0]), int(query.get("per_page", ["30"])[0])
        shown = service.comments[(page - 1) * size : page * size]
        more = page * size < len(service.comments)
        link = f'<{service.url}{path}?per_page={size}&page={page + 1}>; rel="next", <x>; rel="last"' if more else ""
        return 200, shown, link
    if method == "POST" and path == comments:
        number = len(service.comments) + 1
        made = {"id": number, "body": body["body"], "html_url": f"https://github.example/acme/pools/pull/7#{number}"}
        service.comments.append(made)
        return 201, made, ""
    if path.startswith("/repos/acme/pools/pulls"):
        wanted = {key: value[0].removeprefix("acme:") for key, value in query.items()}
        found = pull_requests(service, method, path, wanted, {**(body or {}), "number": FIRST, "state": "open"})
        return (*found, "")
    match = re.fullmatch(r"/repos/acme/pools/issues/comments/(\d+)", path)
    if method == "PATCH" and match:
        comment = next(each for each in service.comments if each["id"] == int(match[1]))
        comment["body"] = body["body"]
        return 200, comment, ""
    return 404, {"message": "Not Found"}, ""


def pull_requests(
    service: Service, method: str, path: str, wanted: dict[str, str], body: dict[str, Any]
) -> tuple[int, Any]:
    """List, open or change a pull request; both services have one at most, as the script wants it."""
    if method == "GET":
        return 200, [each for each in service.pulls if wanted.items() <= each.items()]
    if method == "POST":
        service.pulls.append(body)
        return 201, body
    assert path.endswith(f"/{FIRST}")
    service.pulls[0] |= body
    return 200, service.pulls[0]


def azure_devops(
    service: Service, method: str, path: str, query: dict[str, list[str]], body: Any
) -> tuple[int, Any, str]:
    """Answer as Azure DevOps does."""
    threads = "/acme/My Pools/_apis/git/repositories/r-1/pullRequests/7/threads"
    assert query["api-version"] == ["7.1"]
    if method == "GET" and path == threads:
        return 200, {"value": service.threads, "count": len(service.threads)}, ""
    if method == "POST" and path == threads:
        thread = {"id": len(service.threads) + 1, "status": body["status"], "comments": []}
        thread["comments"] = [{**each, "id": number} for number, each in enumerate(body["comments"], 1)]
        service.threads.append(thread)
        return 200, thread, ""
    if path.startswith("/acme/My Pools/_apis/git/repositories/r-1/pullrequests"):
        wanted = {key.partition(".")[2]: value[0] for key, value in query.items() if key != "api-version"}
        made = {**(body or {}), "pullRequestId": FIRST, "status": "active"}
        status, found = pull_requests(service, method, path, wanted, made)
        return status, {"value": found, "count": len(found)} if method == "GET" else found, ""
    match = re.fullmatch(re.escape(threads) + r"/(\d+)/comments/(\d+)", path)
    if method == "PATCH" and match:
        thread = next(each for each in service.threads if each["id"] == int(match[1]))
        comment = next(each for each in thread["comments"] if each["id"] == int(match[2]))
        comment["content"] = body["content"]
        return 200, comment, ""
    return 404, {"message": "TF401180: The requested pull request was not found."}, ""


@contextmanager
def running(answer: Any) -> Iterator[Service]:
    """Serve one of them on a free port of loopback."""
    service = Service()

    class Handler(BaseHTTPRequestHandler):
        def handle_one(self) -> None:
            parts = urlsplit(self.path)
            path, query = unquote(parts.path), parse_qs(parts.query)
            service.requests.append(f"{self.command} {path}")
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            if service.moved_to:
                self.reply(302, "", "", location=service.moved_to)
            elif self.headers["Authorization"] != f"Bearer {TOKEN}":
                # A bad token: GitHub refuses it, Azure DevOps shows its sign-in page.
                refused = (401, {"message": "Bad credentials"}) if answer is github else (203, SIGN_IN)
                self.reply(*refused, "")
            elif service.refusal and self.command != "GET":
                self.reply(service.refusal[0], {"message": service.refusal[1]}, "")
            else:
                self.reply(*answer(service, self.command, path, query, body))

        do_GET = do_POST = do_PATCH = handle_one  # noqa: N815 - http.server's names

        def reply(self, status: int, body: Any, link: str, location: str = "") -> None:
            data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            for name, value in (("Link", link), ("Location", location)):
                if value:
                    self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            """Say nothing: the test has the requests."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        service.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield service
        finally:
            server.shutdown()
            thread.join()
