"""Post a comment to the pull request of this pipeline run, or update the comment of an earlier run.

    python pull_request_comment.py comment.md

A reviewer needs one current comment, not one for each push. The comment's first line is its hidden marker, as
`batch-os comment` writes it. The script updates the first comment on the pull request that begins with the same line.
If none does, it posts a new one.

It needs only Python 3.11, and reads these variables from the environment:

GitHub Actions   The service sets GITHUB_REPOSITORY and GITHUB_API_URL. Set GITHUB_TOKEN and PULL_REQUEST (its number)
                 on the step. The job needs `permissions: pull-requests: write`.
Azure Pipelines  The service sets SYSTEM_COLLECTIONURI, SYSTEM_TEAMPROJECT, BUILD_REPOSITORY_ID and
                 SYSTEM_PULLREQUEST_PULLREQUESTID. Set SYSTEM_ACCESSTOKEN on the step. The build service needs the
                 repository's right "Contribute to pull requests".

Exit codes: 0 posted or updated, 1 failed, with the reason on stderr. The script retries nothing, because a second POST
could create a second comment.
"""

from __future__ import annotations

import json
import os
import re
import sys
import urllib.error
import urllib.request
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Iterator

TIMEOUT = 30
NEXT = re.compile(r'<([^>]+)>;\s*rel="next"')


class PostError(Exception):
    """The comment was not posted; the text has the reason and what to do."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Refuses redirects: a redirect would send the token to another server."""

    def redirect_request(self, *_: Any) -> None:
        """Return None, so that the answer becomes an error."""


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
        self._opener = urllib.request.build_opener(_NoRedirect)

    def call(self, method: str, url: str, body: dict[str, Any] | None = None) -> tuple[Any, str]:
        """Send a request; return the JSON of the answer and its Link header.

        Raises:
            PostError: the request failed, or the answer is not JSON.

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
            # For a bad token, Azure DevOps answers 203 with its sign-in page.
            raise PostError(f"{method} {url}: {status} without JSON{self._advice(401)}") from None

    def _advice(self, status: int) -> str:
        """The advice for an answer that points to missing rights, else an empty text."""
        return f". {self._hint}" if status in (301, 302, 401, 403, 404) else ""


def _reason(error: urllib.error.HTTPError) -> str:
    """The server's text for an error: both APIs put it in `message`."""
    try:
        return str(json.load(error)["message"])
    except (ValueError, KeyError, TypeError):
        return error.reason


def to_github(environ: dict[str, str], text: str) -> str:
    """Post or update the comment on GitHub; return a text that says which."""
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

    marker = marker_of(text)
    for comment in comments():
        if marker_of(comment["body"] or "") == marker:
            api.call("PATCH", f"{issues}/comments/{comment['id']}", {"body": text})
            return f"updated {comment['html_url']}"
    posted, _ = api.call("POST", f"{issues}/{quote(number)}/comments", {"body": text})
    return f"posted {posted['html_url']}"


def to_azure_devops(environ: dict[str, str], text: str) -> str:
    """Post or update the comment on Azure DevOps, as a separate thread; return a text that says which."""
    project, repository = needed(environ, "SYSTEM_TEAMPROJECT"), needed(environ, "BUILD_REPOSITORY_ID")
    number = needed(environ, "SYSTEM_PULLREQUEST_PULLREQUESTID")
    collection = needed(environ, "SYSTEM_COLLECTIONURI").rstrip("/")
    threads = f"{collection}/{quote(project)}/_apis/git/repositories/{repository}/pullRequests/{number}/threads"
    version = "?api-version=7.1"
    # Suppress: Azure DevOps then answers with an error, not with a redirect to the sign-in page.
    headers = {"Accept": "application/json", "X-TFS-FedAuthRedirect": "Suppress"}
    hint = (
        "Set SYSTEM_ACCESSTOKEN: $(System.AccessToken) on the step, and give the project's build service the "
        'repository\'s right "Contribute to pull requests"'
    )
    api = Api(needed(environ, "SYSTEM_ACCESSTOKEN"), headers, hint)
    marker = marker_of(text)
    listed, _ = api.call("GET", f"{threads}{version}")  # all threads: this list has no pages
    for thread in listed["value"]:
        # The list keeps a deleted comment, without its text.
        first = next((each for each in thread["comments"] if marker_of(each.get("content") or "") == marker), None)
        if first is not None:
            api.call("PATCH", f"{threads}/{thread['id']}/comments/{first['id']}{version}", {"content": text})
            return f"updated thread {thread['id']} of pull request {number}"
    comment = {"parentCommentId": 0, "commentType": "text", "content": text}
    # Closed: the comment only informs, so a policy that needs resolved threads must not wait for it.
    thread, _ = api.call("POST", f"{threads}{version}", {"comments": [comment], "status": "closed"})
    return f"posted thread {thread['id']} to pull request {number}"


def read(file: Path) -> str:
    """The comment to post."""
    text = text_of(file)
    if not marker_of(text).startswith("<!--"):
        raise PostError(f"{file} does not begin with a hidden marker, as `batch-os comment` writes it")
    return text


def text_of(file: Path) -> str:
    """The text of a file in UTF-8, or in UTF-16 as PowerShell 5 redirects."""
    raw = file.read_bytes()
    return raw.decode("utf-16" if raw.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) else "utf-8-sig")


def marker_of(text: str) -> str:
    """A comment's first line; services may store other line ends."""
    return text.partition("\n")[0].strip()


def needed(environ: dict[str, str], name: str) -> str:
    """A required variable.

    Raises:
        PostError: it is not set.

    """
    value = environ.get(name, "")
    # Azure Pipelines does not replace unknown variables: their value is the text `$(NAME)`.
    if not value or value.startswith("$("):
        raise PostError(f"{name} is not set. Is this the run of a pull request? Read the head of {Path(__file__).name}")
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
