"""Post a comment to the pull request of this pipeline run, or renew the one that an earlier run posted.

    python pull_request_comment.py comment.md

A reviewer shall find one comment that is true, not one for each push. The comment's first line is its
hidden mark, as `batch-os comment` writes it; the first comment on the pull request that begins with the same line is
replaced, and where there is none a new one is posted.

It needs Python 3.10 and nothing else, and takes all it has to know from the environment:

GitHub Actions   GITHUB_REPOSITORY and GITHUB_API_URL are there by themselves; GITHUB_TOKEN and PULL_REQUEST, its
                 number, are set on the step. The job has `permissions: pull-requests: write`.
Azure Pipelines  SYSTEM_COLLECTIONURI, SYSTEM_TEAMPROJECT, BUILD_REPOSITORY_ID and SYSTEM_PULLREQUEST_PULLREQUESTID are
                 there by themselves; SYSTEM_ACCESSTOKEN is set on the step. The build service has the repository's
                 right "Contribute to pull requests".

Exit codes: 0 posted or renewed, 1 not, with the reason on stderr. Nothing is tried twice: a second POST could make a
second comment.
"""

from __future__ import annotations

import json
import os
import re
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Iterator

TIMEOUT = 30
NEXT = re.compile(r'<([^>]+)>;\s*rel="next"')


class PostError(Exception):
    """Why there is no comment now; the text says what to do."""


class _StayHere(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: it would carry the token to wherever it leads."""

    def redirect_request(self, *_: Any) -> None:
        """Let the answer be an error."""


class Api:
    """A REST API, and the token for it."""

    def __init__(self, token: str, headers: dict[str, str], hint: str) -> None:
        self._headers = {
            "Authorization": f"Bearer {token}",
            "Content-Type": "application/json",
            "User-Agent": "batch-os-pull-request-comment",
            **headers,
        }
        self._hint = hint
        self._opener = urllib.request.build_opener(_StayHere)

    def call(self, method: str, url: str, body: dict[str, Any] | None = None) -> tuple[Any, str]:
        """The answer's JSON and its Link header.

        Raises:
            PostError: anything but a success in JSON.

        """
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data=data, method=method, headers=self._headers)  # noqa: S310 - CI's own URL
        try:
            with self._opener.open(request, timeout=TIMEOUT) as answer:
                status, text, link = answer.status, answer.read(), answer.headers.get("Link", "")
        except urllib.error.HTTPError as error:
            with error:
                raise PostError(f"{method} {url}: {error.code} {_reason(error)}{self._advice(error.code)}") from None
        except OSError as error:
            raise PostError(f"{method} {url}: {error}") from None
        try:
            return json.loads(text), link
        except ValueError:
            # Azure DevOps answers a bad token with its sign-in page and 203.
            raise PostError(f"{method} {url}: {status} without JSON{self._advice(401)}") from None

    def _advice(self, status: int) -> str:
        """What to look at where the answer smells of rights."""
        return f". {self._hint}" if status in (301, 302, 401, 403, 404) else ""


def _reason(error: urllib.error.HTTPError) -> str:
    """What the server says about an error: both APIs put it in `message`."""
    try:
        return str(json.load(error)["message"])
    except (ValueError, KeyError, TypeError):
        return error.reason


def to_github(environ: dict[str, str], text: str) -> str:
    """Post or renew the comment on GitHub; what was done."""
    token, number = needed(environ, "GITHUB_TOKEN"), needed(environ, "PULL_REQUEST")
    base = environ.get("GITHUB_API_URL", "https://api.github.com").rstrip("/")
    issues = f"{base}/repos/{needed(environ, 'GITHUB_REPOSITORY')}/issues"
    headers = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}
    api = Api(token, headers, "Give the job `permissions: pull-requests: write`; a fork's token never has it")

    def comments() -> Iterator[dict[str, Any]]:
        page = f"{issues}/{quote(number)}/comments?per_page=100"
        while page:
            found, link = api.call("GET", page)
            yield from found
            following = NEXT.search(link)
            page = following[1] if following else ""

    mark = mark_of(text)
    for comment in comments():
        if mark_of(comment["body"] or "") == mark:
            api.call("PATCH", f"{issues}/comments/{comment['id']}", {"body": text})
            return f"renewed {comment['html_url']}"
    posted, _ = api.call("POST", f"{issues}/{quote(number)}/comments", {"body": text})
    return f"posted {posted['html_url']}"


def to_azure_devops(environ: dict[str, str], text: str) -> str:
    """Post or renew the comment, a thread of its own, on Azure DevOps; what was done."""
    project, repository = needed(environ, "SYSTEM_TEAMPROJECT"), needed(environ, "BUILD_REPOSITORY_ID")
    number = needed(environ, "SYSTEM_PULLREQUEST_PULLREQUESTID")
    collection = needed(environ, "SYSTEM_COLLECTIONURI").rstrip("/")
    threads = f"{collection}/{quote(project)}/_apis/git/repositories/{repository}/pullRequests/{number}/threads"
    version = "?api-version=7.1"
    # Suppress: an error instead of a redirect to the sign-in page.
    headers = {"Accept": "application/json", "X-TFS-FedAuthRedirect": "Suppress"}
    hint = (
        "Set SYSTEM_ACCESSTOKEN: $(System.AccessToken) on the step, and give the project's build service the "
        'repository\'s right "Contribute to pull requests"'
    )
    api = Api(needed(environ, "SYSTEM_ACCESSTOKEN"), headers, hint)
    mark = mark_of(text)
    listed, _ = api.call("GET", f"{threads}{version}")  # all of them: this list has no pages
    for thread in listed["value"]:
        # A deleted comment stays in the list, without its text.
        first = next((each for each in thread["comments"] if mark_of(each.get("content") or "") == mark), None)
        if first is not None:
            api.call("PATCH", f"{threads}/{thread['id']}/comments/{first['id']}{version}", {"content": text})
            return f"renewed thread {thread['id']} of pull request {number}"
    comment = {"parentCommentId": 0, "commentType": "text", "content": text}
    # Closed: it informs, and a policy that wants all threads resolved shall not wait for it.
    thread, _ = api.call("POST", f"{threads}{version}", {"comments": [comment], "status": "closed"})
    return f"posted thread {thread['id']} to pull request {number}"


def read(file: Path) -> str:
    """The comment to post."""
    text = file.read_text(encoding="utf-8")
    if not mark_of(text).startswith("<!--"):
        raise PostError(f"{file} does not begin with a hidden mark, as `batch-os comment` writes it")
    return text


def mark_of(text: str) -> str:
    """A comment's first line; services may store other line ends."""
    return text.partition("\n")[0].strip()


def needed(environ: dict[str, str], name: str) -> str:
    """A variable that has to be there."""
    value = environ.get(name, "")
    # Azure Pipelines leaves what it does not know as it is written.
    if not value or value.startswith("$("):
        raise PostError(f"{name} is not set. Is this the run of a pull request? See the head of {Path(__file__).name}")
    return value


def main(arguments: list[str], environ: dict[str, str]) -> int:
    """Post the file's text."""
    if len(arguments) != 1:
        print(__doc__, file=sys.stderr)
        return 1
    try:
        text = read(Path(arguments[0]))
        post = to_azure_devops if environ.get("SYSTEM_COLLECTIONURI") else to_github
        print(post(environ, text))
    except (OSError, PostError) as error:
        print(f"error: no comment was posted: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], dict(os.environ)))
